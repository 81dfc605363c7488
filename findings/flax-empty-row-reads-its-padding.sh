#!/usr/bin/env bash
# Flax: a row of length 0 ends in the state after *all* padded steps.
# A good guess: the initial state. seq_lengths picks the state at index length - 1, which for 0 is -1, the last one, so an
# empty row is the one row that reads all of its padding. Nothing is said.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check flax==0.12.4 jax==0.10.2
cd "$work" && "$work/venv/bin/python" - <<'PYTHON'
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

print("flax", flax.__version__, "jax", jax.__version__)
x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 2)), jnp.float32)
rnn = nn.RNN(nn.GRUCell(features=3), return_carry=True)
parameters = rnn.init(jax.random.key(0), x)


def final(lengths):
    return np.asarray(rnn.apply(parameters, x, seq_lengths=jnp.asarray(lengths))[0])


empty, full = final([4, 0]), final([4, 4])
print("length 0:", empty[1], "\nlength 4:", full[1])
assert np.array_equal(empty[1], full[1]), "an empty row is now something else than a full one"
assert full[1].any() and not np.array_equal(final([4, 2])[1], full[1])
PYTHON
