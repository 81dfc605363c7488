#!/usr/bin/env bash
# Transformers' Mamba hands on its state as `cache_params`; given to the next call, it says, "the model uses the previous state
# in all the blocks". A call with one token does. A call with several tokens keeps what the short convolution remembers,
# begins the recurrence itself at zeros, and stores the state it ends in as if all had been read. A good guess: a long text
# may be read in stretches, as it may with Mamba-2, LSTMs and every attention model of the same library.
#
# Seen with transformers 5.23.0, torch 2.13.0: 24 tokens at once, and twelve and then twelve, differ by 1.7 (Mamba) and 0.7 (Falcon
# Mamba) in logits of up to 5.4; twelve and then one by one agree to 2e-6, and Mamba-2 agrees in both ways.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
import torch
import transformers
from transformers import FalconMambaConfig, FalconMambaForCausalLM, Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

transformers.logging.set_verbosity_error()
torch.set_grad_enabled(False)
small = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
models = {
    "Mamba": lambda: MambaForCausalLM(MambaConfig(**small)),
    "Falcon Mamba": lambda: FalconMambaForCausalLM(FalconMambaConfig(**small)),
    "Mamba-2": lambda: Mamba2ForCausalLM(Mamba2Config(**small, num_heads=4, head_dim=8, n_groups=1, chunk_size=4)),
}
apart = {}
for name, make in models.items():
    torch.manual_seed(0)
    model = make().eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(std=0.4)
    text = torch.randint(3, 20, (1, 24))
    whole = model(text).logits
    for way, lengths in (("twelve", (12, 12)), ("one by one", (12, *[1] * 12))):
        state, logits = None, []
        for tokens in text.split(lengths, 1):
            out = model(tokens, cache_params=state, use_cache=True)
            state = out.cache_params
            logits.append(out.logits)
        apart[name, way] = float((torch.cat(logits, 1) - whole).abs().max())
        print(f"transformers {transformers.__version__} {name}, largest logit {float(whole.abs().max()):.1f}: all at once, and twelve "
              f"and then {way}, differ by {apart[name, way]:.2g}")
for (name, way), off in apart.items():
    assert (off > 0.1) if way == "twelve" and name != "Mamba-2" else (off < 1e-4), "this has changed"
print("so a second stretch of tokens is read as if nothing had come before it, but for the convolution")
PY
