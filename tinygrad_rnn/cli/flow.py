"""``tinygrad-rnn flow``: how the gradient flows back through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..character_model.model import CELLS
from ..sequence_patterns import PATTERNS, build
from .frameworks import from_script


@click.command()
@click.argument("target", required=False)
@click.option(
    "--cell",
    "cells",
    multiple=True,
    type=click.Choice(list(CELLS)),
    help="Kind of cell; may be repeated. [default: all]",
)
@click.option(
    "--pattern", default="many-to-one", show_default=True, type=click.Choice(PATTERNS[1:]), help="Inputs to outputs."
)
@click.option("--steps", default=30, show_default=True, type=click.IntRange(2, 1000), help="Time steps.")
@click.option("--hidden", default=16, show_default=True, type=click.IntRange(1, 128), help="Hidden size.")
@click.option("--layers", default=1, show_default=True, type=click.IntRange(1, 8), help="Cells on each other.")
@click.option(
    "--panel", "panels", multiple=True, help="norms, jacobians, products, reach or transfer; may be repeated."
)
@click.option(
    "-o",
    "--output",
    default="out/flow.svg",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File; .svg .png .pdf for the figure, .csv .json for the numbers.",
)
def flow(
    target: str | None, cells: tuple[str, ...], pattern: str, steps: int, hidden: int, layers: int,
    panels: tuple[str, ...], output: Path,
) -> None:  # fmt: skip
    """Plot how the gradient of a loss flows back through time.

    Norms of the gradient at every state, singular values of the recurrent Jacobians, their product against its bound,
    and a map of what reaches what. TARGET is script.py:function, which returns a loss (or losses by name, in a dict),
    or a walk saved in the debugger; without one it is untrained networks on random data, side by side. A script is run,
    as python would run it, so give only files you trust.

    \b
    Examples:
      tinygrad-rnn flow --steps 50
      tinygrad-rnn flow --cell rnn --cell lstm --pattern many-to-many -o flow.png
      tinygrad-rnn flow model.py:loss --panel norms -o flow.csv
    """
    from .. import viz

    what: Any
    if target:
        path = Path(target)
        what = path if path.is_file() and path.suffix != ".py" else from_script(target)
    else:
        what = {cell.upper(): build(pattern, cell, steps, hidden, layers) for cell in cells or CELLS}
    viz.flow(what, output, panels=panels or None)
    click.echo(f"wrote {output}")
