"""The way back through an LSTM's cell state and a GRU's state: the gate, element by element, and what flows beside it.

"c flows back by f only" is exact if h is cut: then dL/dc_(t-1) is f_t times dL/dc_t, element by element, to the last
bit. In the whole LSTM c_(t-1) also acts on h_(t-1), and h_(t-1) on all gates of step t. The same holds for a GRU: z_t
times dL/dh_t, and the rest through r, z and n. How large the rest is depends on the size of the recurrent weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import BOUND, LINES, command, console, panels, table

import tinygrad_rnn as tg
from tinygrad_rnn import viz

STEPS, HIDDEN, INPUTS = 40, 16, 4
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def lstm_without_h(seed: int = 0) -> bool:
    """Whether, with h cut, the gradient of every c is f times the next one's, bit for bit."""
    tg.manual_seed(seed)
    cell = tg.nn.LSTMCell(INPUTS, HIDDEN, dtype=np.float64)
    x = np.random.default_rng(seed).normal(size=(STEPS, 1, INPUTS))
    h = tg.zeros(1, HIDDEN, dtype=np.float64)
    cs = [tg.tensor(np.zeros((1, HIDDEN)), requires_grad=True)]
    for t in tg.steps(STEPS):
        h, c = cell(x[t], (h.detach(), cs[-1]))
        cs.append(c)
    gates = [gate(c, "f") for c in cs[1:]]
    found = [gradient.numpy() for gradient in tg.grad(cs[-1].sum(), cs)]
    return all(np.array_equal(before, f * after) for before, f, after in zip(found, gates, found[1:]))


def gru_without_gates(seed: int = 0) -> bool:
    """The same for a GRU whose gates and candidate see a cut h: z times the next gradient, bit for bit."""
    rng = np.random.default_rng(seed)
    u = [tg.tensor(rng.normal(size=(HIDDEN, HIDDEN)) / 4) for _ in range(3)]
    hs = [tg.tensor(np.zeros((1, HIDDEN)), requires_grad=True)]
    gates = []
    for _ in tg.steps(STEPS):
        x, h = rng.normal(size=(3, 1, HIDDEN)), hs[-1].detach()
        r, z = (x[0] + h @ u[0]).sigmoid(), (x[1] + h @ u[1]).sigmoid()
        n = (x[2] + r * (h @ u[2])).tanh()
        hs.append((1 - z) * n + z * hs[-1])
        gates.append(z.numpy())
    found = [gradient.numpy() for gradient in tg.grad(hs[-1].sum(), hs)]
    return all(np.array_equal(before, z * after) for before, z, after in zip(found, gates, found[1:]))


def gate(state: tg.Tensor, role: str) -> Any:
    """The value of the gate that multiplies the old state."""
    return next(
        x.numpy() for term in state.operands for x in getattr(term, "operands", ()) if getattr(x, "role", "") == role
    )


def ways(kind: str, scale: float, seed: int = 0) -> tuple[float, float]:
    """Mean lengths of what reaches a carried state along the gate, and of all else that reaches it from the next step.

    ``scale`` multiplies the recurrent weights; the loss looks at the last state only.
    """
    tg.manual_seed(seed)
    layer = getattr(tg.nn, kind)(INPUTS, HIDDEN, dtype=np.float64)
    layer.weight_hh_l0.data = layer.weight_hh_l0 * scale
    output, _ = layer(np.random.default_rng(seed).normal(size=(STEPS, 1, INPUTS)))
    session = viz.debug(output[-1].sum())
    session.goto(session.last)
    along, beside = [], []
    for moment in session.moments[session.layer()][:-1]:
        found = session.split(moment.nodes["c" if kind == "LSTM" else "h"]).ways
        length = np.linalg.norm(session.gradient(moment.nodes["c" if kind == "LSTM" else "h"]))
        highway = found.pop("highway")
        rest = sum(part for part in found.values() if part is not None)
        along.append(np.linalg.norm(highway) / length)
        beside.append(np.linalg.norm(rest) / length)
    return float(np.mean(along)), float(np.mean(beside))


def main(out: Path = Path("out")) -> dict[str, Any]:
    """Check, measure, draw, and return what was found."""
    exact = {"LSTM": lstm_without_h(), "GRU": gru_without_gates()}
    for kind, holds in exact.items():
        how = "to the last bit" if holds else "NOT exactly"
        console.print(f"{kind}, other ways cut: the gradient is the gate times the next step's, {how}")
    shares = {kind: [ways(kind, scale) for scale in SCALES] for kind in exact}
    table(
        ["share beside the gate, recurrent weights times", *map(str, SCALES)],
        ((kind, *(float(beside) for _, beside in of)) for kind, of in shares.items()),
    )
    with panels(out / "highway.svg", 2) as every:
        for axes, (kind, of) in zip(every, shares.items()):
            along, beside = zip(*of)
            name = "f · ∂L/∂c" if kind == "LSTM" else "z · ∂L/∂h"
            axes.plot(SCALES, along, label=f"along the gate, {name}", **{**LINES[0], "markevery": 1})
            axes.plot(SCALES, beside, label="beside it, through h and the gates", **{**LINES[1], "markevery": 1})
            axes.axhline(1, **BOUND)
            axes.set_xscale("log", base=2)
            axes.set_xticks(SCALES, [f"{s:g}" for s in SCALES])
            axes.set(ylim=(0, None), xlabel="recurrent weights, times", ylabel="length, relative to the whole gradient")
            axes.set_title(f"{kind}: what one step back is made of", fontsize=11)
            axes.legend(fontsize=8)
    return {"exact": exact, "shares": shares}


if __name__ == "__main__":
    command(main)
