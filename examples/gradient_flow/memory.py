"""How long a cell remembers: sigma(b)^T, a cell that keeps its bits for 10,000 steps, and an LSTM that forgets.

With f = 1 and i = 0 a cell state goes through any number of steps unchanged, bit for bit, and so does its gradient.
With a constant forget gate sigma(b) the gradient T steps back is sigma(b)^T: of forget biases 0, 1, 3 and 5, only the
last has something to speak of left after 100 steps. So an LSTM does not guarantee that nothing vanishes, it makes
keeping easy to learn: freshly initialised with forget bias 0, it loses its gradient like any RNN. All of it is true of
a GRU, too, whose z is forget and input gate in one: h_t = (1 - z) n + z h_(t-1).
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


def gru(update: float, *, weights: float = 1.0) -> tg.nn.GRUCell:
    """A fresh cell whose z has the bias ``update``; its weights times ``weights``."""
    made = tg.nn.GRUCell(INPUTS, HIDDEN, dtype=np.float64)
    for weight in (made.weight_ih, made.weight_hh, made.bias_ih, made.bias_hh):
        weight.data = weight * weights
    with tg.no_grad():
        made.bias_ih[HIDDEN : 2 * HIDDEN] = update
        made.bias_hh[HIDDEN : 2 * HIDDEN] = 0.0
    return made


def run(made: tg.nn.LSTMCell | tg.nn.GRUCell, steps: int, seed: int = 0, *, compiled: bool = False) -> list[tg.Tensor]:
    """The states c_0 ... c_T of an LSTM, or h_0 ... h_T of a GRU, on random inputs."""
    rng = np.random.default_rng(seed)
    step = tg.compile(made) if compiled else made
    h = tg.zeros(1, HIDDEN, dtype=np.float64)
    states = [tg.tensor(rng.normal(size=(1, HIDDEN)), requires_grad=True)]
    for _ in tg.steps(steps):
        x = rng.normal(size=(1, INPUTS))
        if isinstance(made, tg.nn.GRUCell):
            states.append(step(x, states[-1]))
        else:
            h, c = step(x, (h, states[-1]))
            states.append(c)
    return states


def still(kind: str) -> tg.nn.LSTMCell | tg.nn.GRUCell:
    """An LSTM's cell with f = 1 and i = 0, or a GRU's with z = 1."""
    tg.manual_seed(0)
    return cell(100.0, write=-100.0) if kind == "LSTM" else gru(100.0)


def keeps(kind: str = "LSTM", steps: int = 10_000) -> bool:
    """Whether its state is, after so many steps of random input, what it was, bit for bit."""
    with tg.no_grad():
        states = run(still(kind), steps, compiled=True)
    return states[-1].numpy().tobytes() == states[0].numpy().tobytes()


def keeps_the_gradient(kind: str = "LSTM", steps: int = 1000) -> bool:
    """Whether the gradient of that state, too, comes back as it started."""
    states = run(still(kind), steps)
    return bool((tg.grad(states[-1].sum(), states[0])[0].numpy() == 1.0).all())


def decay(made: tg.nn.LSTMCell | tg.nn.GRUCell) -> Any:
    """How long the gradient of the last state is 0 ... T steps back, relative to where it starts."""
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
    mixed = {b: decay(gru(b)) for b in BIASES}
    found = {
        "10,000 steps bit for bit": {kind: keeps(kind) for kind in ("LSTM", "GRU")},
        "gradient over 1000 steps exactly 1": {kind: keeps_the_gradient(kind) for kind in ("LSTM", "GRU")},
        "error of sigma(b)^T": max(abs(x[-1] / sigmoid(b) ** STEPS - 1) for b, x in constant.items()),
        "left": {b: float(x[-1]) for b, x in constant.items()},
        "counter-example, a fresh LSTM with forget bias 0": float(fresh[0.0][-1]),
        "counter-example, a fresh GRU with update bias 0": float(mixed[0.0][-1]),
    }
    for kind, how in (("LSTM", "f = 1 and i = 0"), ("GRU", "z = 1")):
        bits, gradient = found["10,000 steps bit for bit"][kind], found["gradient over 1000 steps exactly 1"][kind]
        console.print(f"{kind}: 10,000 steps with {how} {'keep every bit of' if bits else 'change'} the state")
        console.print(f"{kind}: the gradient over 1,000 of them is {'exactly' if gradient else 'not'} 1")
    table(
        [
            "bias b of the gate",
            "σ(b)",
            f"σ(b) to the power {STEPS}, measured",
            "left in a fresh LSTM",
            "in a fresh GRU",
        ],
        (
            (f"{b:g}", float(sigmoid(b)), float(constant[b][-1]), float(fresh[b][-1]), float(mixed[b][-1]))
            for b in BIASES
        ),
    )
    lags = np.arange(STEPS + 1)
    with panels(out / "memory.svg", 3) as (first, second, third):
        for b, look in zip(BIASES, LINES):
            first.plot(lags, constant[b], label=f"b = {b:g}: σ = {sigmoid(b):.3f}, {constant[b][-1]:.0e} left", **look)
            second.plot(lags, fresh[b], label=f"forget bias {b:g}", **look)
            third.plot(lags, mixed[b], label=f"bias of z {b:g}", **look)
        first.set(title="constant gate: σ(b) to the power T, exactly", ylabel="gradient of c, relative")
        second.set(title="fresh LSTMs on random input", ylabel="gradient of c, relative")
        third.set(title="fresh GRUs on random input", ylabel="gradient of h, relative")
        for axes in (first, second, third):
            axes.set(yscale="log", xlabel="steps back", ylim=(1e-32, 1e3))
            axes.legend(fontsize=8, loc="lower left")
    return found


if __name__ == "__main__":
    command(main)
