"""What the experiments share: a command line, a figure with panels, and gradients at every state of a recurrence."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tinygrad_rnn.viz.plotting import COLOURS, MARKERS, encoded, settings

import tinygrad_rnn as tg
from tinygrad_rnn.files import write_atomically

console = Console(highlight=False)
LINES = tuple({"color": c, "marker": m, "markersize": 4, "markevery": 0.1} for c, m in zip(COLOURS, MARKERS))
BOUND = {"color": "#1a1a1a", "linestyle": "--", "linewidth": 1}


def command(main: Callable[[Path], Any]) -> None:
    """Run ``main(out)`` with the folder the command line names."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture (default: out)")
    try:
        main(parser.parse_args().out)
    except tg.TinygradError as error:
        parser.exit(2, f"Error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Any]:
    """An empty figure of so many inches; written to ``path`` when done."""
    from matplotlib.figure import Figure

    with settings():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
    write_atomically(path, encoded(figure, path.suffix[1:]))
    console.print(f"[bold]{path}[/bold]", soft_wrap=True)


@contextmanager
def panels(path: Path, columns: int = 1, rows: int = 1, *, width: float = 4.4, height: float = 3.6) -> Iterator[Any]:
    """Axes beside and below each other, with a grid."""
    with drawing(path, width * columns, height * rows) as figure:
        every = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in every:
            axes.grid(alpha=0.3)
        yield every if len(every) > 1 else every[0]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows of text and numbers, numbers to two digits."""
    printed = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for row in rows:
        printed.add_row(*(f"{x:.2g}" if isinstance(x, float) else str(x) for x in row))
    for column in printed.columns[1:]:
        column.justify = "right"
    console.print(printed)


def gradients(last: tg.Tensor, direction: Any, states: Sequence[tg.Tensor]) -> list[Any]:
    """Of <direction, last>: the gradient at every state."""
    return [found.numpy() for found in tg.grad((last * direction).sum(), list(states))]


def norms(arrays: Sequence[Any]) -> Any:
    """The length of each."""
    return np.array([np.linalg.norm(array) for array in arrays])
