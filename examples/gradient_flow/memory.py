"""How long a cell remembers: sigma(b)^T, a cell that keeps its bits for 10,000 steps, and an LSTM that forgets.

With f = 1 and i = 0 a cell state goes through any number of steps unchanged, bit for bit, and so does its gradient.
With a constant forget gate sigma(b) the gradient T steps back is sigma(b)^T: of forget biases 0, 1, 3 and 5, only the
last has something to speak of left after 100 steps. So an LSTM does not guarantee that nothing vanishes, it makes
keeping easy to learn: freshly initialised with forget bias 0, it loses its gradient like any RNN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import LINES, command, console, norms, panels, table

import tinygrad_rnn as tg

BIASES, STEPS, HIDDEN, INPUTS = (0.0, 1.0, 3.0, 5.0), 100, 8, 3


def cell(forget: float, *, write: float | None = None, weights: float = 1.0) -> tg.nn.LSTMCell:
    """A fresh cell with the forget bias ``forget``, and the input gate's ``write``; its weights times ``weights``."""
    made = tg.nn.LSTMCell(INPUTS, HIDDEN, dtype=np.float64)
    for weight in (made.weight_ih, made.weight_hh, made.bias_ih, made.bias_hh):
        weight.data = weight * weights
    tg.nn.init.forget_bias_(made.bias_ih, forget)
    tg.nn.init.forget_bias_(made.bias_hh, 0.0)
    if write is not None:
        with tg.no_grad():
            made.bias_ih[:HIDDEN] = write
    return made


def run(made: tg.nn.LSTMCell, steps: int, seed: int = 0) -> list[tg.Tensor]:
    """The cell states c_0 ... c_T on random inputs."""
    rng = np.random.default_rng(seed)
    h, c = tg.zeros(1, HIDDEN, dtype=np.float64), tg.tensor(rng.normal(size=(1, HIDDEN)), requires_grad=True)
    states = [c]
    for _ in tg.steps(steps):
        h, c = made(rng.normal(size=(1, INPUTS)), (h, c))
        states.append(c)
    return states


def keeps(steps: int = 10_000) -> bool:
    """Whether with f = 1 and i = 0 the cell is, after so many steps of random input, what it was, bit for bit."""
    tg.manual_seed(0)
    with tg.no_grad():
        states = run(cell(100.0, write=-100.0), steps)
    return states[-1].numpy().tobytes() == states[0].numpy().tobytes()


def keeps_the_gradient(steps: int = 1000) -> bool:
    """Whether the gradient of that cell, too, comes back as it started."""
    tg.manual_seed(0)
    states = run(cell(100.0, write=-100.0), steps)
    return bool((tg.grad(states[-1].sum(), states[0])[0].numpy() == 1.0).all())


def decay(made: tg.nn.LSTMCell) -> Any:
    """How long the gradient of c_T is 0 ... T steps back, relative to where it starts."""
    states = run(made, STEPS)
    lengths = norms([g.numpy() for g in tg.grad(states[-1].sum(), states)])[::-1]
    return lengths / lengths[0]


def sigmoid(b: float) -> float:
    """1 / (1 + e^-b)."""
    return float(1 / (1 + np.exp(-b)))


def main(out: Path = Path("out")) -> dict[str, Any]:
    """Check, measure, draw, and return what was found."""
    tg.manual_seed(0)
    constant = {b: decay(cell(b, weights=0.0)) for b in BIASES}
    fresh = {b: decay(cell(b)) for b in BIASES}
    found = {
        "10,000 steps bit for bit": keeps(),
        "gradient over 1000 steps exactly 1": keeps_the_gradient(),
        "error of sigma(b)^T": max(abs(x[-1] / sigmoid(b) ** STEPS - 1) for b, x in constant.items()),
        "left": {b: float(x[-1]) for b, x in constant.items()},
        "counter-example, a fresh LSTM with forget bias 0": float(fresh[0.0][-1]),
    }
    console.print(f"10,000 steps with f = 1 and i = 0 keep the cell bit for bit: {found['10,000 steps bit for bit']}")
    console.print(f"the gradient over 1,000 of them is exactly 1: {found['gradient over 1000 steps exactly 1']}")
    table(
        ["forget bias b", "σ(b)", f"σ(b)^{STEPS}, measured", "left in a fresh LSTM"],
        ((f"{b:g}", float(sigmoid(b)), float(constant[b][-1]), float(fresh[b][-1])) for b in BIASES),
    )
    lags = np.arange(STEPS + 1)
    with panels(out / "memory.svg", 2, width=4.8) as (first, second):
        for b, look in zip(BIASES, LINES):
            first.plot(lags, constant[b], label=f"b = {b:g}: σ = {sigmoid(b):.3f}, {constant[b][-1]:.0e} left", **look)
            second.plot(lags, fresh[b], label=f"forget bias {b:g}", **look)
        first.set(title="constant gate: $σ(b)^T$, exactly")
        second.set(title="fresh LSTMs on random input")
        for axes in (first, second):
            axes.set(yscale="log", xlabel="steps back", ylabel="gradient of c, relative", ylim=(1e-32, 1e3))
            axes.legend(fontsize=8, loc="lower left")
    return found


if __name__ == "__main__":
    command(main)
