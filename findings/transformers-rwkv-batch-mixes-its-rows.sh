#!/usr/bin/env bash
# RWKV mixes each token with the one before it. In Transformers a step with one token takes that neighbour from the state,
# (batch, features), and adds it to (batch, 1, features). Broadcasting makes (batch, batch, features) of it, each token mixed with
# the neighbour in every row, and the recurrence reads that as so many steps. `generate` takes the last: each prompt of a batch is
# continued with what the others read. A good guess: a prompt gives the same text alone and among prompts of its length.
#
# Seen with transformers 5.23.0, torch 2.13.0: three prompts of six tokens without padding; the logits of one step have shape
# (3, 3, 20), not (3, 1, 20), and all three continuations differ from those of the prompts alone. With a batch of one all is well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
import torch
import transformers
from transformers import RwkvConfig, RwkvForCausalLM

transformers.logging.set_verbosity_error()
torch.set_grad_enabled(False)
torch.manual_seed(0)
model = RwkvForCausalLM(RwkvConfig(vocab_size=20, hidden_size=16, num_hidden_layers=2, context_length=32)).double().eval()
for weight in model.parameters():
    if weight.dim() > 1:
        weight.normal_(std=0.4)
prompts, following = torch.randint(1, 20, (3, 6)), torch.randint(1, 20, (3, 1))

step = model(following, state=model(prompts, use_cache=True).state, use_cache=True).logits
whole = model(torch.cat([prompts, following], 1)).logits[:, -1]
off = [float((step[row, -1] - whole[row]).abs().max()) for row in range(3)]
print(f"transformers {transformers.__version__}: one step of three rows gives logits of shape {tuple(step.shape)}; in the last "
      f"place they differ from those of the whole text by {', '.join(f'{value:.2g}' for value in off)}")

settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
together = model.generate(prompts, **settings)[:, 6:].tolist()
alone = [model.generate(row[None], **settings)[0, 6:].tolist() for row in prompts]
for row in range(3):
    print(f"prompt {row} alone goes on with {alone[row]}, in the batch with {together[row]}")
assert step.shape == (3, 3, 20) and all(a != b for a, b in zip(alone, together)), "this has changed"
print("so in a batch a prompt is continued with what the other prompts read")
PY
