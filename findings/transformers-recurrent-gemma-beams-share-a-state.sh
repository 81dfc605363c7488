#!/usr/bin/env bash
# Transformers' RecurrentGemma keeps the states of its recurrent layers in the modules, not in the cache that `generate` hands
# around. Beam search reorders the cache when it goes on from another beam; the recurrent states stay where they were, so a beam
# is continued with the state of another text. A good guess: use_cache=True is faster and finds the same beams.
#
# Seen with transformers 5.23.0, torch 2.13.0, float64: three beams find another text with the cache than without, a worse one, and
# give it a score of -0.84 where its mean log-probability is -0.96; without the cache both are -0.92. One beam agrees.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 transformers==5.23.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
import torch
import transformers
from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

transformers.logging.set_verbosity_error()
torch.set_grad_enabled(False)
torch.manual_seed(0)
config = RecurrentGemmaConfig(
    vocab_size=20, hidden_size=16, lru_width=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
    num_key_value_heads=1, attention_window_size=64, pad_token_id=0,
)
model = RecurrentGemmaForCausalLM(config).double().eval()
for weight in model.parameters():
    if weight.dim() > 1:
        weight.normal_(std=0.4)
prompt, same = torch.randint(3, 20, (1, 6)), {}
for beams in (1, 3):
    texts = []
    for cached in (True, False):
        out = model.generate(prompt, max_new_tokens=10, num_beams=beams, do_sample=False, use_cache=cached, eos_token_id=None,
                             return_dict_in_generate=True, output_scores=True)
        text = out.sequences
        logp = model(text[:, :-1], use_cache=False).logits.log_softmax(-1)[0, 5:]
        score = float(logp[torch.arange(10), text[0, 6:]].mean())
        said = f", score {float(out.sequences_scores):.4f}" if beams > 1 else ""
        print(f"transformers {transformers.__version__}, {beams} beam(s), cache {'on' if cached else 'off'}: "
              f"{text[0, 6:].tolist()}{said}; mean log-probability of this text {score:.4f}")
        texts.append(text.tolist())
        same[beams, cached] = beams == 1 or abs(float(out.sequences_scores) - score) < 1e-6
    same[beams] = texts[0] == texts[1]
assert same[1] and same[3, False] and not same[3] and not same[3, True], "this has changed"
print("so with the cache a beam goes on from a state that another beam left")
PY
