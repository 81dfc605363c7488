#!/usr/bin/env bash
# Mamba-2's `time_step_limit` bounds the time step of its recurrence. In Transformers a call with several tokens keeps it, a
# call with one token does not: what is generated comes from another recurrence than what was trained and what reads the prompt.
# A good guess: the logits of a token are the same whether the text is given at once or token by token.
# Nemotron-H, whose limit is `time_step_min`, has a lower bound of 0.001 as its default, and parts in the same way.
#
# Seen with transformers 5.23.0, torch 2.13.0: with the default (0, inf) both ways agree to 2e-6; with (0.05, 0.5) logits of up to
# 5.6 differ by 0.54.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
import torch
import transformers
from transformers import Mamba2Config, Mamba2ForCausalLM

transformers.logging.set_verbosity_error()
torch.set_grad_enabled(False)
apart = {}
for limits in ((0.0, float("inf")), (0.05, 0.5)):
    torch.manual_seed(0)
    config = Mamba2Config(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_heads=4, head_dim=8, state_size=4, n_groups=1,
                          chunk_size=4, time_step_limit=limits)
    model = Mamba2ForCausalLM(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(std=0.4)
    text = torch.randint(3, 20, (1, 12))
    whole, out, logits = model(text).logits, model(text[:, :6], use_cache=True), []
    for token in text[:, 6:].split(1, 1):
        out = model(token, cache_params=out.cache_params, use_cache=True)
        logits.append(out.logits)
    apart[limits] = float((torch.cat(logits, 1) - whole[:, 6:]).abs().max())
    print(f"transformers {transformers.__version__}, time_step_limit {limits}, largest logit {float(whole.abs().max()):.1f}: all at "
          f"once, and six and then one by one, differ by {apart[limits]:.2g}")
free, bounded = apart.values()
assert free < 1e-4 and bounded > 0.01, "this has changed"
print("so a single token's step is not bounded")
PY
