"""Backpropagation through time: the graph and the graph of its gradients, and what each time step adds to one W.

The loss is a sum over time steps. Its gradient runs from every loss back into the state of its step, and from each
state to the one before; wherever it passes the one W it leaves a contribution. dL/dW is their sum, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import command, console, draw

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.character_model.model import LectureModel


def main(steps: int = 30, out: Path = Path("out"), seed: int = 0) -> float:
    """Train a little, draw; returns how far the contributions' sum is from the gradient (exactly 0)."""
    tg.manual_seed(seed)
    model = LectureModel("helo", "rnn", hidden=3)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model.unroll("hell", "ello").backward()
        optimizer.step()

    draw(model.unroll("hell", "ello"), out / "bptt-backward.svg", backward=True)
    draw(model.unroll("hell", "ello"), out / "bptt-shares.svg", detail="gate", grads=True)

    loss, w = model.unroll("hell", "ello"), model.cell.weight_hh
    contributions, whole = {}, np.zeros(w.shape)
    for step in tg.walk([loss], [np.ones(())]):
        if step.node is w:
            whole = step.gradient
        for sent in step.contributions:
            if sent.target is w:
                contributions[step.node.scope.step] = sent.value
    for t in sorted(contributions):
        console.print(f"t = {t + 1} adds a matrix of norm {np.linalg.norm(contributions[t]):.4f} to ∂L/∂W_hh")
    difference = float(np.abs(sum(contributions.values()) - whole).max())
    console.print("their sum is " + (f"{difference:g} away from ∂L/∂W_hh" if difference else "exactly ∂L/∂W_hh"))
    viz.debug(model.unroll("hell", "ello")).html(out / "bptt.html", title="RNN, hell → ello")
    return difference


if __name__ == "__main__":
    command(main, quick=5)
