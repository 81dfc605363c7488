"""Exploding gradients, and clipping: by norm, which keeps the direction, and by value, which does not.

A ReLU network whose recurrent matrix is almost the identity, scaled to a spectral radius of 1.05, reads 100 steps:
1.05^100 is 131, and the second update of SGD with a learning rate of 0.01 already meets numbers beyond all bounds. With
the gradient's norm clipped, at 1 or at 10, the same runs stay finite and learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import LINES, command, console, panels

import tinygrad_rnn as tg
from tinygrad_rnn.synthetic_tasks import adding

RHO, STEPS, RATE, HIDDEN, BATCH = 1.05, 100, 0.01, 32, 8
THRESHOLDS = (None, 10.0, 1.0)
TOP = 1e8  #: of the picture
ARROW = np.array([3.0, 0.8])  #: the gradient of two weights that is drawn


class Summer(tg.nn.Module):
    """Reads pairs, and says a number after the last one."""

    def __init__(self) -> None:
        self.rnn = tg.nn.RNN(2, HIDDEN, nonlinearity="relu")
        self.head = tg.nn.Linear(HIDDEN, 1)
        w = np.eye(HIDDEN) + tg.nn.init.normal_(tg.zeros(HIDDEN, HIDDEN), std=0.01).numpy()
        self.rnn.weight_hh_l0.data = w * (RHO / np.abs(np.linalg.eigvals(w)).max())

    def forward(self, x: Any) -> tg.Tensor:
        """(T, N, 2) -> (N, 1)."""
        return self.head(self.rnn(x)[0][-1])


def runs(seeds: int, threshold: float | None, updates: int) -> list[list[float]]:
    """By seed the loss at every update, on the adding problem, up to the first that is not a finite number."""
    model = Summer()
    optimizer = tg.optim.SGD(model.parameters(), lr=RATE)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = tg.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        if threshold is not None:
            tg.nn.utils.clip_grad_norm_(model.parameters(), threshold)
        optimizer.step()
        return loss

    found: list[list[float]] = []
    for seed in range(seeds):
        tg.manual_seed(seed)
        rng = np.random.default_rng(seed)
        model.load_state_dict(Summer().state_dict())  # compiled once, for all seeds
        losses: list[float] = []
        with np.errstate(all="ignore"):
            while len(losses) < updates and (not losses or np.isfinite(losses[-1])):
                losses.append(step(*adding(STEPS, BATCH, rng)).item())
        found.append(losses)
    return found


def named(threshold: float | None) -> str:
    """What a run is called."""
    return "no clipping" if threshold is None else f"norm clipped at {threshold:g}"


def directions() -> tuple[float, float]:
    """The cosine between the gradient of one run and itself clipped by norm, and clipped by value."""
    found = []
    for clip in (tg.nn.utils.clip_grad_norm_, tg.nn.utils.clip_grad_value_):
        tg.manual_seed(0)
        model = Summer()
        x, y = adding(STEPS, BATCH, np.random.default_rng(0))
        tg.nn.functional.mse_loss(model(x), y).backward()
        before = gradient(model)
        clip(model.parameters(), 1.0)
        after = gradient(model)
        found.append(cosine(before, after))
    return found[0], found[1]


def cosine(a: Any, b: Any) -> float:
    """Of the angle between two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def gradient(model: tg.nn.Module) -> Any:
    """Of all parameters, as one vector."""
    return np.concatenate([p.grad.numpy().ravel().astype(np.float64) for p in model.parameters()])


def _arrows(axes: Any) -> None:
    """A gradient of two numbers, clipped in both ways."""
    g = ARROW
    named = {"gradient": g, "clipped by norm": g / np.linalg.norm(g), "clipped by value": np.clip(g, -1, 1)}
    for (name, (x, y)), look, width in zip(named.items(), LINES, (1.5, 5, 2.5)):
        axes.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": look["color"], "linewidth": width})
        axes.plot([], [], color=look["color"], linewidth=width, label=name)
    axes.set(xlim=(-0.1, 3.4), ylim=(-0.3, 2.2), aspect="equal", xlabel="first weight", ylabel="second weight")
    axes.set_title("by norm keeps the direction, by value does not", fontsize=11)


def main(out: Path = Path("out"), seeds: int = 10, updates: int = 60) -> dict[str, Any]:
    """Train with every threshold and seed, draw, and return how many runs diverged, by threshold."""
    found = {threshold: runs(seeds, threshold, updates) for threshold in THRESHOLDS}
    diverged = {t: sum(not np.isfinite(losses[-1]) for losses in of) for t, of in found.items()}
    for threshold, count in diverged.items():
        console.print(f"{named(threshold)}: {count} of {seeds} runs diverge")
    by_norm, by_value = directions()
    console.print(
        f"cosine of this network's gradient with itself clipped: by norm {by_norm:.3f}, by value {by_value:.3f}"
    )
    console.print(
        f"cosine of the arrows in the picture: by norm 1.000, by value {cosine(ARROW, np.clip(ARROW, -1, 1)):.3f}"
    )
    with panels(out / "clipping.svg", 2, width=5) as (first, second):
        for (threshold, of), look in zip(found.items(), LINES):
            length = min(len(losses) for losses in of)
            table = np.array([losses[:length] for losses in of])
            times, finite = np.arange(1, length + 1), np.where(np.isfinite(table), table, TOP)
            first.fill_between(times, finite.min(0), finite.max(0), color=look["color"], alpha=0.2, linewidth=0)
            first.plot(times, np.median(finite, 0), label=named(threshold), **look)
            if diverged[threshold]:
                first.annotate(
                    f"{diverged[threshold]} of {seeds} seeds:\nnot a number any more",
                    (length, TOP),
                    (12, TOP / 3e3),
                    arrowprops={"arrowstyle": "->"},
                )
        first.set(yscale="log", ylim=(1e-2, TOP), xlabel="update", ylabel="loss: median, and range over seeds")
        first.set_title(f"ReLU, ρ = {RHO}, T = {STEPS}, SGD {RATE}", fontsize=11)
        _arrows(second)
        for axes in (first, second):
            axes.legend(fontsize=8, loc="upper right")
    return {"diverged": diverged, "by norm": by_norm, "by value": by_value}


if __name__ == "__main__":
    command(main)
