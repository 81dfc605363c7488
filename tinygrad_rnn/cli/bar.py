"""The progress bar of demo and train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(console: Any, fields: str) -> Iterator[Any]:
    """A bar that moves on a terminal; in a file only its last state is left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn(fields), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=8) as bar:
        yield bar
