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
from tinygrad_rnn.tasks import adding

RHO, STEPS, RATE, HIDDEN, BATCH = 1.05, 100, 0.01, 32, 8
THRESHOLDS = (None, 10.0, 1.0)


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


def run(seed: int, threshold: float | None, updates: int) -> list[float]:
    """The loss at every update, on the adding problem, up to the first that is not a finite number."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Summer()
    optimizer = tg.optim.SGD(model.parameters(), lr=RATE)
    losses: list[float] = []
    with np.errstate(all="ignore"):
        while len(losses) < updates and (not losses or np.isfinite(losses[-1])):
            x, y = adding(STEPS, BATCH, rng)
            loss = tg.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            if threshold is not None:
                tg.nn.utils.clip_grad_norm_(model.parameters(), threshold)
            optimizer.step()
            losses.append(loss.item())
    return losses


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
        found.append(float(before @ after / np.linalg.norm(before) / np.linalg.norm(after)))
    return found[0], found[1]


def gradient(model: tg.nn.Module) -> Any:
    """Of all parameters, as one vector."""
    return np.concatenate([p.grad.numpy().ravel().astype(np.float64) for p in model.parameters()])


def main(out: Path = Path("out"), seeds: int = 10, updates: int = 60) -> dict[str, Any]:
    """Train with every threshold and seed, draw, and return how many runs diverged, by threshold."""
    runs = {threshold: [run(seed, threshold, updates) for seed in range(seeds)] for threshold in THRESHOLDS}
    diverged = {t: sum(not np.isfinite(losses[-1]) for losses in of) for t, of in runs.items()}
    for threshold, count in diverged.items():
        console.print(f"threshold {threshold}: {count} of {seeds} runs diverge")
    by_norm, by_value = directions()
    console.print(f"cosine with the gradient: clipped by norm {by_norm:.9f}, by value {by_value:.3f}")
    with panels(out / "clipping.svg", width=6.4) as axes:
        for (threshold, of), look in zip(runs.items(), LINES):
            for k, losses in enumerate(of):
                name = "without clipping" if threshold is None else f"norm clipped at {threshold:g}"
                shown = [x if np.isfinite(x) else np.nan for x in losses]
                axes.plot(range(1, len(shown) + 1), shown, label=None if k else name, **{**look, "markersize": 3})
        axes.set(yscale="log", xscale="log", xlabel="update", ylabel="loss", ylim=(1e-2, 1e6))
        axes.set_title(f"ReLU, ρ = {RHO}, T = {STEPS}, SGD {RATE}: {seeds} seeds each")
        axes.legend(fontsize=8, loc="upper right")
    return {"diverged": diverged, "by norm": by_norm, "by value": by_value}


if __name__ == "__main__":
    command(main)
