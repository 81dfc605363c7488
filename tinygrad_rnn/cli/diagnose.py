"""``tinygrad-rnn diagnose``: which mistake makes the gradients that somebody's own backward pass gave."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import GraphError
from .frameworks import from_script
from .options import FILE, arrays_in, number
from .progress_bar import progress_bar


@click.command()
@click.argument("target")
@click.argument("gradients", type=FILE)
@number("--max-edits", "2: pairs of mistakes too.", 2, 2)
def diagnose(target: str, gradients: Path, max_edits: int) -> None:
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

    given = arrays_in(gradients)
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
