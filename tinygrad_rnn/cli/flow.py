"""``tinygrad-rnn flow``: how the gradient flows back through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..character_model.model import CELLS
from ..sequence_patterns import PATTERNS, build
from .frameworks import from_script
from .options import number, one_of, output


@click.command()
@click.argument("target", required=False)
@click.option("--cell", "cells", multiple=True, type=click.Choice(list(CELLS)), help="May be repeated.  [default: all]")
@one_of("--pattern", PATTERNS[1:], "Inputs to outputs.", "many-to-one")
@number("--steps", "Time steps.", 30, 1000, least=2)
@number("--hidden", "Hidden size.", 16, 128)
@number("--layers", "Cells on each other.", 1, 8)
@click.option("--panel", "panels", multiple=True, help="norms, jacobians, products, reach, transfer; may be repeated.")
@output("File; .svg .png .pdf for the figure, .csv .json for the numbers.", "out/flow.svg")
def flow(
    target: str | None, cells: tuple[str, ...], panels: tuple[str, ...], output: Path, steps: int, **sizes: Any
) -> None:
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
        what = {cell.upper(): build(cell=cell, length=steps, **sizes) for cell in cells or CELLS}
    viz.flow(what, output, panels=panels or None)
    click.echo(f"wrote {output}")
