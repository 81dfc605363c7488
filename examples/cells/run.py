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

sys.path.append(str(Path(__file__).parent.parent / "gradient_flow"))  # behind this folder, which has a run.py too
from cells import CELLS, Network
from lab import panels
from lab import table as table_of

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.files import write_atomically
from tinygrad_rnn.synthetic_tasks import adding, temporal_order

HERE = Path(__file__).parent
__all__ = ["HERE", "MARK", "flow", "picture", "table_of", "walk"]  #: for the programs of single topics
#: n is what an sLSTM divides by; its m only keeps the exponents small, so that its gradient is 0 up to rounding
STATE_COLOURS = {"h": "#0072b2", "c": "#d55e00", "n": "#009e73"}
MARK = "<!-- measured -->\n"
HIDDEN, LENGTH, BATCH, LR, SEEDS = 32, 20, 32, 5e-3, 3


def last_loss(kind: str, length: int = 30, hidden: int = 12, seed: int = 0) -> tg.Tensor:
    """The loss of a new network after the last of so many random inputs."""
    tg.manual_seed(seed)
    x = tg.randn(length, 1, 4)
    return tg.nn.labelled(Network(kind, 4, hidden, 1)(x).square().sum(), "loss")


def flow(path: Path, length: int = 30) -> Any:
    """``||dL/dh_t||`` of every cell as it is made, in one figure: a panel for each, all others in grey behind it."""
    found = viz.flow({kind: last_loss(kind, length) for kind in CELLS}, panels=("norms",))
    with panels(path, 4, 3, width=2.5, height=1.9) as every:
        for axes, kind in zip(every, CELLS):
            for layer in sorted(found.layers, key=lambda layer: layer.network == kind):
                own = layer.network == kind
                for role, colour in STATE_COLOURS.items():
                    norms = layer.norms.get(role, {})
                    look = {"color": colour, "label": role} if own else {"color": "#c8c8c8", "lw": 0.8}
                    if norms and (own or role == "h"):
                        axes.semilogy(list(norms), list(norms.values()), **look)
            axes.minorticks_off()  # the grid has a line for each power of ten
            axes.set_title(kind, fontsize=10)
            axes.legend(frameon=False, fontsize=8, loc="lower right")
        for axes in every[-4:]:
            axes.set_xlabel("time step t")
        for axes in every[::4]:
            axes.set_ylabel(r"$\|\partial L/\partial h_t\|,\ \|\partial L/\partial c_t\|$")
    return found


def picture(kind: str, folder: Path) -> None:
    """Two steps of a cell, gate by gate."""
    viz.render(last_loss(kind, length=2, hidden=3), folder / f"cell-{file_name(kind)}.svg", detail="gate", title=kind)


def walk(kind: str, folder: Path) -> None:
    """A page that steps through its backward pass."""
    session = viz.debug(last_loss(kind, length=3, hidden=3))
    session.html(folder / f"cell-{file_name(kind)}.html", title=f"{kind}, the loss at the last of three steps")


def file_name(kind: str) -> str:
    """What its files are called."""
    return kind.lower().replace(" ", "-")


def pictures(folder: Path) -> None:
    """Each cell over two steps, and the equations of its backward pass over three."""
    for kind in CELLS:
        picture(kind, folder)
        viz.derive(last_loss(kind, length=3, hidden=3)).save(folder / f"{file_name(kind)}.tex")


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
    """Markdown: a row for each cell, the median of its seeds and between what they lie."""
    lines = ["| cell | parameters | adding | temporal order |", "|---|---|---|---|"]
    for kind in kinds:
        count = sum(p.numel() for p in Network(kind, 2, HIDDEN, 1).parameters())
        scores = []
        for task in ("adding", "temporal order"):
            lowest, median, highest = np.quantile(
                [learn(kind, task, steps, seed) for seed in range(SEEDS)], [0, 0.5, 1]
            )
            scores.append(f"{median:.0%}" if highest == lowest else f"{median:.0%} ({lowest:.0%} to {highest:.0%})")
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
    before, _, _ = page.read_text(encoding="utf-8").partition(MARK)
    write_atomically(page, (before + MARK + "\n" + table(options.steps)).encode())


if __name__ == "__main__":
    main()
