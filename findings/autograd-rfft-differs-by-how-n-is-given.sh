#!/usr/bin/env bash
# A linear recurrence is a long convolution, and state-space models compute it by FFT, padded with zeros so that nothing wraps round:
# irfft(rfft(u, n=N) * rfft(k, n=N), n=N), N twice the length. In autograd (the one for NumPy) all of this has the right value; the
# gradient of rfft(u, N) is right, that of rfft(u, n=N) is wrong, and nothing is said. A good guess: an argument is the same
# argument with its name and without. For fft it is.
#
# Seen with autograd 1.9.1, numpy 2.2.6: h_t = 0.9 h_(t-1) + u_t over 8 steps. Gradients by the loop, fft(u, n=16), rfft(u, 16) and
# rfft of u with zeros appended by hand agree with difference quotients to 3e-11; by rfft(u, n=16) they are off by 49 % of the largest.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 autograd==1.9.1
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import autograd.numpy as np
from autograd import grad

STEPS, N, DECAY = 8, 16, 0.9
u = np.random.default_rng(0).normal(size=STEPS)
target = np.random.default_rng(1).normal(size=STEPS)
kernel = DECAY ** np.arange(STEPS)
zeros = np.zeros(N - STEPS)


def loop(u):
    h, out = 0.0, []
    for t in range(STEPS):
        h = DECAY * h + u[t]
        out.append(h)
    return np.array(out)


ways = {
    "a loop": loop,
    "fft(u, n=N)": lambda u: np.real(np.fft.ifft(np.fft.fft(u, n=N) * np.fft.fft(kernel, n=N)))[:STEPS],
    "rfft of zeros appended by hand": lambda u: np.fft.irfft(np.fft.rfft(np.concatenate([u, zeros])) * np.fft.rfft(kernel, n=N))[:STEPS],
    "rfft(u, N)": lambda u: np.fft.irfft(np.fft.rfft(u, N) * np.fft.rfft(kernel, N), N)[:STEPS],
    "rfft(u, n=N)": lambda u: np.fft.irfft(np.fft.rfft(u, n=N) * np.fft.rfft(kernel, n=N), n=N)[:STEPS],
}
off = {}
for name, states in ways.items():
    loss = lambda u: np.sum((states(u) - target) ** 2)
    slope = np.array([(loss(u + step) - loss(u - step)) / 2e-5 for step in 1e-5 * np.eye(STEPS)])
    off[name] = float(abs(grad(loss)(u) - slope).max() / abs(slope).max())
    print(f"autograd {version('autograd')}, states by {name}: they differ from the loop's by {float(abs(states(u) - loop(u)).max()):.1g}, "
          f"the gradient from difference quotients by {100 * off[name]:.2g} %")
    assert abs(states(u) - loop(u)).max() < 1e-12, "values are not as they should be"
wrong = off.pop("rfft(u, n=N)")
assert wrong > 0.01 and max(off.values()) < 1e-6, "this has changed"
print("so a recurrence computed by rfft(u, n=N) learns from wrong gradients")
PY
