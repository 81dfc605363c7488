"""The progress bars of the commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..progress import listening


@contextmanager
def progress_bar(console: Any, **options: Any) -> Iterator[Any]:
    """Bars, each followed by what its task has to say in ``shown``; in a file only their last state is left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=8, **options) as bar:
        yield bar


@contextmanager
def followed_loops() -> Iterator[None]:
    """A bar for every long loop, on standard error if that is a terminal, gone when all is done; else nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with progress_bar(Console(stderr=True), transient=True) as bar:

        def shown(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
            same = next((task.id for task in bar.tasks if task.description == what), None)
            task = bar.add_task(what, total=total, shown="") if same is None else same
            bar.reset(task, total=total)
            for item in items:
                yield item
                bar.advance(task)
            bar.update(task, completed=total)

        with listening(shown):
            yield
