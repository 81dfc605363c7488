"""The equations of backpropagation through time, read off the graph of a network, and checked.

Nothing here knows about LSTMs: the equations are what the engine's own backward pass recorded. Each says what it is for
a time step t; the right sides are Python, so they can be checked by computing them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import command, console
from plots import formulas
from tinygrad_rnn.viz.equations import Equation

from tinygrad_rnn import viz
from tinygrad_rnn.sequence_patterns import build


def main(steps: int = 4, out: Path = Path("out"), seed: int = 0) -> float:
    """Typeset the equations of an RNN and an LSTM; returns how far one computed by hand is from the RNN's gradient."""
    found = {}
    for cell in ("rnn", "lstm"):
        found[cell] = viz.derive(build("many-to-many", cell, steps, seed=seed))
        lines = [line for line in found[cell].recurrence if line.left.stem != "L"]
        formulas(out / f"equations-{cell}.svg", [(line.latex, _steps(line)) for line in lines])
    for line in found["rnn"].lines:
        if line.left.gradient and line.left.step:
            console.print(line.text, soft_wrap=True, markup=False, highlight=False)

    values = found["rnn"].values
    delta = values[f"dh_{steps}"] * (1 - values[f"h_{steps}"] ** 2)
    by_hand = values[f"dy_{steps - 1}"] @ values["W_hy"] + delta @ values["W_hh"]
    difference = float(np.abs(by_hand - values[f"dh_{steps - 1}"]).max())
    how = f"is {difference:.0e} from" if difference else "equals"
    console.print(f"the line for dL/dh_{steps - 1}, computed by hand, {how} the engine's gradient")
    return difference


def _steps(line: Equation) -> str:
    return f"t = {line.steps[0]} … {line.steps[-1]}" if line.steps else ""


if __name__ == "__main__":
    command(main, quick=2)
