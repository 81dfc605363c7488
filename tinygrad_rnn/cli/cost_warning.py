"""The cost of a command, said before it begins; a command that makes no sense is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

import click

from ..errors import DataError
from ..graph import Graph
from ..tensors import Tensor

#: seconds an operation of a network of a few units, measured on a core of a laptop: linear in their number
SECONDS = {
    "recorded": 5e-5,
    "walked": 1e-4,
    "drawn": 2e-4,
    "drawn with gradients": 4e-4,
    "drawn with all steps": 1e-3,
    "drawn with the backward graph": 1.5e-3,
    "derived": 5e-4,
    "checked": 1e-3,
}
#: what takes longer is announced, and what takes this much longer is refused unless asked for
WORTH_SAYING = 5.0
MOST = 100.0
#: from how many steps on it is worth knowing beforehand how many operations a network records
MANY_STEPS = 100


def announce(nodes: int, done: Iterable[str], cure: str, anyway: bool) -> None:
    """Say how long ``nodes`` operations take to be ``done``; refuse what takes minutes, naming a ``cure``."""
    done = list(done)
    seconds = nodes * sum(SECONDS[name] for name in done)
    long = f"{seconds / 60:.0f} minutes" if seconds > MOST else f"{seconds:.0f} s"
    what = f"{nodes:,} operations to be {' and '.join(done)}, about {long}"
    if seconds > MOST and not anyway:
        raise DataError(f"{what}; {cure}, or add --anyway")
    if seconds > WORTH_SAYING:
        click.echo(what, err=True)


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Say on a terminal that ``what`` is still at work, after some seconds: how long it takes nobody knows."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    said = Timer(WORTH_SAYING, click.echo, [f"{what} is still running; Ctrl-C stops it"], {"err": True})
    said.daemon = True
    said.start()
    try:
        yield
    finally:
        said.cancel()


def operations(outputs: Any) -> int:
    """The number of operations recorded behind a result; 0 of anything but tensors."""
    if isinstance(outputs, Graph):
        return len(outputs)
    tensors = [outputs] if isinstance(outputs, Tensor) else outputs if isinstance(outputs, (list, tuple)) else []
    tensors = [x for x in tensors if isinstance(x, Tensor)]
    return len(Graph(*tensors)) if tensors else 0


def foreseen(build: Callable[[int], Tensor], steps: int) -> int:
    """The number of operations ``build(steps)`` will record: each step adds as many as the fourth adds to three."""
    if steps <= MANY_STEPS:
        return 0
    three, four = operations(build(3)), operations(build(4))
    return four + (steps - 4) * (four - three)
