"""Mistakes between the layers and directions of one network: lists of outputs, caches, carries, inputs."""

import numpy as np
import pytest
from frame_of_handwritten import Network, Networks, const, leaves_of
from nightly import some

import tinygrad_rnn as tg

NETWORKS = Networks()
T, N, H = 4, 2, 2


def program(p, x, y):
    w = leaves_of(p)

    def layer(xs, k):
        outs = []
        for d in "fb":
            h, out = tg.zeros(N, H, dtype=tg.float64), [None] * T
            for t in range(T) if d == "f" else reversed(range(T)):
                h = (xs[t] @ w[f"W{d}{k}"] + h @ w[f"U{d}{k}"]).tanh()
                out[t] = h
            outs.append(out)
        return [f + b for f, b in zip(*outs, strict=True)]

    low = layer([const(x[t]) for t in range(T)], 1)
    top, loss = layer(low, 2), 0.0
    for t in range(T):
        loss = loss + ((top[t] + low[t]) @ w["V"] - const(y[t])).square().sum()
    return loss, w


def by_hand(p, x, y):
    T, N = x.shape[:2]
    d = {k: np.zeros_like(v) for k, v in p.items()}
    order = {"f": list(range(T)), "b": list(range(T))[::-1]}

    def forward(xs, k):
        cache, out = {}, np.zeros((T, N, len(p["V"])))
        for way, steps in order.items():
            h = np.zeros((N, len(p["V"])))
            for t in steps:
                before, h = h, np.tanh(xs[t] @ p[f"W{way}{k}"] + h @ p[f"U{way}{k}"])
                cache[way, t] = before, h
                out[t] += h
        return out, cache

    def backward(xs, k, dout, cache):
        dx = np.zeros_like(xs)
        for way, steps in order.items():
            dh = np.zeros((N, len(p["V"])))
            for t in steps[::-1]:
                before, h = cache[way, t]
                da = (dout[t] + dh) * (1 - h * h)
                d[f"W{way}{k}"] += xs[t].T @ da
                d[f"U{way}{k}"] += before.T @ da
                dx[t] += da @ p[f"W{way}{k}"].T
                dh = da @ p[f"U{way}{k}"].T
        return dx

    low, lower = forward(x, 1)
    top, upper = forward(low, 2)
    error = 2 * ((top + low) @ p["V"] - y)
    d["V"] += np.einsum("tnh,tno->ho", top + low, error)
    dout = error @ p["V"].T
    dlow = backward(low, 2, dout, upper)
    backward(x, 1, dlow + dout, lower)
    return d


RNG = np.random.default_rng(3)
SHAPES = {f"{m}{d}{k}": (H, H) for k in (1, 2) for d in "fb" for m in "WU"} | {"V": (H, 2)}
NETWORKS["stacked"] = Network(
    {k: RNG.normal(0, 0.8, shape) for k, shape in SHAPES.items()},
    {"x": RNG.normal(size=(T, N, H)), "y": RNG.normal(size=(T, N, 2))},
    program,
    [by_hand],
)
MISTAKES = [
    ("dlow + dout, lower", "(dlow + dout)[::-1], lower", "from all that reads it arrives in reverse order."),
    (
        "backward(low, 2, dout, upper)",
        "backward(x, 2, dout, upper)",
        "every rule of its own step that needs h⁽¹⁾→ + h⁽¹⁾← uses xs[t].",
    ),
    ("dx[t] += da", "dx[T - 1 - t] += da", "@ Wf2 and (h⁽¹⁾→ + h⁽¹⁾←) @ Wb2 arrives in reverse order."),
    ("dx[t] += da", "dx[t] = da", "receives from (h⁽¹⁾→ + h⁽¹⁾←) @ Wf2 is missing."),
    (
        "2, dout, upper)",
        "2, dout, lower)",
        "uses what that of h⁽¹⁾→ saved, but for what it is fed with, and every rule of the cell of h⁽²⁾← uses",
    ),
    ("dlow + dout, lower", "dlow + dout[-1], lower", "is that of the last step: an index stands still."),
    (
        '            dh = np.zeros((N, len(p["V"])))\n            for t in steps[',
        '            dh = dh if way == "b" else np.zeros((N, len(p["V"])))\n            for t in steps[',
        "h⁽¹⁾← was not set to zero before the loop: it starts from what the loop over h⁽¹⁾→ left there. So too",
    ),
]


@pytest.mark.parametrize("old, new, says", some(MISTAKES, 2), ids=lambda text: text if "\n" not in text else "dh")
def test_a_mistake_between_layers_or_directions_is_named(old, new, says):
    found = tg.diagnose(NETWORKS.loss_of("stacked"), NETWORKS.gradients("stacked", old, new), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


def test_the_right_pass_is_right():
    assert tg.diagnose(NETWORKS.loss_of("stacked"), NETWORKS.gradients("stacked")).correct
