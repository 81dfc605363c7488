"""``tinygrad-rnn diagnose``: which mistake makes the gradients that somebody's own backward pass gave."""

from __future__ import annotations

import zipfile

import click
import numpy as np

from ..errors import DataError, GraphError
from .frameworks import from_script
from .progress_bar import progress_bar


@click.command()
@click.argument("target")
@click.argument("gradients", type=click.Path(exists=True, dir_okay=False))
@click.option("--max-edits", default=2, show_default=True, type=click.IntRange(1, 2), help="2: pairs of mistakes too.")
def diagnose(target: str, gradients: str, max_edits: int) -> None:
    """Name the mistake that makes exactly these wrong gradients.

    TARGET is script.py:function, a function that returns the loss; GRADIENTS an .npz file with one array a leaf, under
    the leaf's name. The script is run, as python would run it, so give only files you trust. Exit code 0 if they are
    right, 1 if not.

    \b
    Example:
      tinygrad-rnn diagnose model.py:loss wrong.npz
    """
    from rich.console import Console

    from ..diagnosis import diagnose as search
    from ..tensors import Tensor

    try:
        with np.load(gradients, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
        raise DataError(f"{gradients} is not an .npz file of arrays of numbers") from None
    loss = from_script(target)
    if not isinstance(loss, Tensor):
        raise GraphError(f"{target} returns {type(loss).__name__}, not a tensor; return the loss")
    console = Console(stderr=True)
    with progress_bar(console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("edits", total=None, shown="")
        found = search(
            loss, given, max_edits=max_edits, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    click.echo(str(found))
    if not found:
        raise click.exceptions.Exit(1)
