"""The cliff: the loss of a recurrence as a landscape over its two weights, and what one step of SGD does at its edge.

One unit, h_t = w sigma(h_(t-1)) + b, from h_0 = 0.5 over 50 steps; the loss is (sigma(h_50) - 0.7)^2. The recurrence
settles in one of two fixed points; where h_0 changes sides the end state jumps from one to the other, and the loss
stands up like a wall. A step taken there flies off; clipped, it stays near. After R. Pascanu, T. Mikolov, Y. Bengio
(2013), On the difficulty of training recurrent neural networks, figure 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import LINES, command, drawing, table

import tinygrad_rnn as tg

STEPS, TARGET, POINTS = 50, 0.7, 200
W, B = (3.4, 5.6), (-2.9, -1.7)
START, RATE, THRESHOLD, UPDATES = (4.5, -2.5), 0.1, 0.1, 40


def loss(w: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """The loss for every pair of w and b."""
    h = tg.as_tensor(np.full(w.shape, 0.5))
    for _ in tg.steps(STEPS):
        h = w * h.sigmoid() + b
    return (h.sigmoid() - TARGET) ** 2


def landscape(points: int = POINTS) -> tuple[Any, Any, Any, Any]:
    """w and b on a grid, the loss there, and the length of its gradient."""
    w, b = (tg.tensor(x, requires_grad=True) for x in np.meshgrid(np.linspace(*W, points), np.linspace(*B, points)))
    height = loss(w, b)
    dw, db = tg.grad(height.sum(), [w, b])
    return w.numpy(), b.numpy(), height.numpy(), np.hypot(dw.numpy(), db.numpy())


def descend(threshold: float | None) -> Any:
    """The way (w, b) goes by gradient descent from above the cliff."""
    w, b = (tg.tensor(x, requires_grad=True, dtype=np.float64) for x in START)
    optimizer = tg.optim.SGD([w, b], lr=RATE)
    way = [START]
    for _ in range(UPDATES):
        optimizer.zero_grad()
        loss(w, b).backward()
        if threshold is not None:
            tg.nn.utils.clip_grad_norm_([w, b], threshold)
        optimizer.step()
        way.append((w.item(), b.item()))
    return np.array(way)


def main(out: Path = Path("out"), points: int = POINTS) -> dict[str, float]:
    """Compute the landscape and both ways over it, draw, and return the gradient's lengths and the longest steps."""
    w, b, height, steepness = landscape(points)
    ways = {"without clipping": descend(None), f"norm clipped at {THRESHOLD}": descend(THRESHOLD)}
    found = {"steepest": float(steepness.max()), "median": float(np.median(steepness))}
    for name, way in ways.items():
        found[f"longest step {name}"] = float(np.linalg.norm(np.diff(way, axis=0), axis=1).max())
    table(["length of the gradient and of steps", ""], found.items())
    with drawing(out / "cliff.svg", 10, 4.4) as figure:
        above = figure.add_subplot(1, 2, 1, projection="3d")
        above.plot_surface(w, b, height, cmap="cividis", rcount=90, ccount=90, linewidth=0, rasterized=True)
        above.view_init(34, -60)
        above.set(xlabel="w", ylabel="b", title=f"loss after {STEPS} steps")
        plan = figure.add_subplot(1, 2, 2)
        drawn = plan.pcolormesh(w, b, height, cmap="cividis", rasterized=True)
        for (name, way), look in zip(ways.items(), ({**LINES[1], "color": "#ffffff"}, LINES[1])):
            plan.plot(*way.T, label=name, **{**look, "markevery": 1, "markersize": 3, "markeredgecolor": "#1a1a1a"})
        plan.plot(*START, "*", color="#ffffff", markersize=13, markeredgecolor="#1a1a1a", label="start")
        plan.set(xlim=W, ylim=B, xlabel="w", ylabel="b", title="gradient descent from above the cliff")
        plan.legend(fontsize=8, loc="upper right", facecolor="#8c8c8c", framealpha=1)
        figure.colorbar(drawn, ax=plan, label="loss")
    return found


if __name__ == "__main__":
    command(main)
