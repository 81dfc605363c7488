"""Options that several commands have, and what is given with them: a network of random numbers, a file of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..character_model.model import CELLS
from ..errors import DataError
from ..sequence_patterns import PATTERNS, build
from ..tensors import Array
from .cost_warning import announce, foreseen

PATH: Any = click.Path(path_type=Path)
FILE: Any = click.Path(path_type=Path, dir_okay=False)

#: steps x weights of the largest network drawn: a picture's numbers are all in memory at once
LARGEST = 2e8

Option = Callable[[Any], Any]


def output(help: str, default: str | None = None, kind: Any = FILE) -> Option:
    """The option for the file that the result is written to."""
    return click.option("-o", "--output", default=default, show_default=True, type=kind, help=help)


def anyway(done: str) -> Option:
    """The option ``--anyway``: go ahead although it takes many minutes."""
    return click.option("--anyway", is_flag=True, help=f"{done} what will take many minutes.")


def number(name: str, help: str, default: int, most: int | None = None, least: int = 1) -> Option:
    """A whole number from ``least`` to ``most``."""
    return click.option(name, default=default, show_default=True, type=click.IntRange(least, most), help=help)


def one_of(name: str, choices: Any, help: str, default: str | None) -> Option:
    """A word out of ``choices``."""
    return click.option(name, default=default, show_default=True, type=click.Choice(list(choices)), help=help)


@dataclass(frozen=True)
class RandomNetwork:
    """The network of random numbers that a command line describes."""

    cell: str
    pattern: str
    steps: int
    hidden: int
    layers: int

    def loss(self, done: list[str], cure: str, anyway: bool, bidirectional: bool = False) -> Any:
        """Its loss, once it was said how long what is to be ``done`` takes; ``cure`` is what takes less."""
        if self.steps * self.hidden * self.hidden * self.layers > LARGEST:
            raise DataError(
                f"{self.steps} steps of hidden size {self.hidden} are more than a picture can hold; make one smaller"
            )
        made = partial(build, self.pattern, self.cell, hidden=self.hidden, layers=self.layers)
        if self.pattern == "one-to-one":
            note_idle("one-to-one is a plain network without time", "cell", "steps")
        else:
            nodes = foreseen(partial(made, bidirectional=bidirectional), self.steps)
            announce(nodes, ["recorded", *done], cure, anyway)
        return made(self.steps, bidirectional=bidirectional)


def network_options(cell: str, pattern: str | None) -> Option:
    """The options that describe a network, with these defaults; the command is given the `RandomNetwork`."""
    inputs = "Inputs to outputs." if pattern else "Random data in this shape instead of “hello”."
    options = [
        click.argument("target", required=False),
        one_of("--cell", CELLS, "Kind of cell.", cell),
        one_of("--pattern", PATTERNS, inputs, pattern),
        number("--steps", "Time steps.", 4, 100_000),
        number("--hidden", "Hidden size.", 3, 10_000),
        number("--layers", "Cells on each other.", 1, 20),
    ]

    def add(command: Any) -> Any:
        @wraps(command)
        def run(*, cell: str, pattern: str, steps: int, hidden: int, layers: int, **others: Any) -> Any:
            return command(network=RandomNetwork(cell, pattern, steps, hidden, layers), **others)

        for option in reversed(options):
            run = option(run)
        return run

    return add


def note_idle(why: str, *options: str) -> None:
    """Say so, if options were given that change nothing."""
    given = click.get_current_context().get_parameter_source
    idle = [name for name in options if given(name) is ParameterSource.COMMANDLINE]
    if idle:
        click.echo(f"note: {why}, --{' and --'.join(idle)} change nothing", err=True)


def arrays_in(file: Path) -> dict[str, Array]:
    """The arrays of an .npz file, by name."""
    from ..interchange.weights.files import read_file

    return read_file(file, ".npz")[0]
