"""The cells side by side: one figure of how their gradients flow, one table of what they learn.

``python examples/cells/run.py`` takes some minutes and writes ``out/cells-flow.svg``, a picture and the equations of
each cell into ``out/cells/``, and the table below into ``examples/cells/README.md``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cells import CELLS, Network

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.files import write_atomically
from tinygrad_rnn.synthetic_tasks import adding, temporal_order

HERE = Path(__file__).parent
HIDDEN, LENGTH, BATCH, LR = 32, 20, 32, 5e-3


def last_loss(kind: str, length: int = 30, hidden: int = 12, seed: int = 0) -> tg.Tensor:
    """The loss of a new network after the last of so many random inputs."""
    tg.manual_seed(seed)
    x = tg.randn(length, 1, 4)
    return tg.nn.labelled(Network(kind, 4, hidden, 1)(x).square().sum(), "loss")


def flow(path: Path, length: int = 30) -> Any:
    """``||dL/dh_t||`` of every cell as it is made, in one figure."""
    return viz.flow({kind: last_loss(kind, length) for kind in CELLS}, path, panels=("norms",))


def pictures(folder: Path) -> None:
    """Each cell over three steps, folded and not, and the equations of its backward pass."""
    for kind in CELLS:
        name = kind.replace(" ", "-")
        loss = last_loss(kind, length=3, hidden=3)
        viz.render(loss, folder / f"{name}.svg", detail="op", title=kind)
        viz.derive(loss).save(folder / f"{name}.tex")


def learn(kind: str, task: str, steps: int, seed: int = 0) -> float:
    """Train on ever new batches; the share of unseen sequences that it answers right (adding: within 0.04)."""
    tg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Network(kind, 2 if task == "adding" else 6, HIDDEN, 1 if task == "adding" else 4)
    optimizer = tg.optim.Adam(model.parameters(), lr=LR)

    def batch(count: int) -> tuple[Any, Any]:
        if task == "adding":
            return adding(LENGTH, count, rng)
        symbols, classes = temporal_order(LENGTH, count, rng)
        return np.eye(6, dtype=np.float32)[symbols], classes

    @tg.compile
    def step(x: Any, y: Any) -> tg.Tensor:
        functions = tg.nn.functional
        loss = functions.mse_loss(model(x), y) if task == "adding" else functions.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    for _ in range(steps):
        step(*batch(BATCH))
    x, y = batch(1000)
    with tg.no_grad():
        answer = model(tg.tensor(x)).numpy()
    right = np.abs(answer - y) < 0.04 if task == "adding" else answer.argmax(1) == y
    return float(right.mean())


def table(steps: int, kinds: Any = tuple(CELLS)) -> str:
    """Markdown: a row for each cell."""
    lines = ["| cell | parameters | adding | temporal order |", "|---|---|---|---|"]
    for kind in kinds:
        count = sum(p.numel() for p in Network(kind, 2, HIDDEN, 1).parameters())
        scores = [f"{learn(kind, task, steps):.0%}" for task in ("adding", "temporal order")]
        lines.append(f"| {kind} | {count:,} | {' | '.join(scores)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600, help="training steps of each network")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    flow(options.out / "cells-flow.svg")
    pictures(options.out / "cells")
    page = HERE / "README.md"
    before, mark, _ = page.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    write_atomically(page, (before + mark + "\n" + table(options.steps)).encode())


if __name__ == "__main__":
    main()
