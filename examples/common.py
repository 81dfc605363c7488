"""What the examples share: a command line, training behind a progress bar, and the picture of a network."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.cli.errors_and_interrupts import noted_interrupt
from tinygrad_rnn.cli.progress_bar import progress_bar

console = Console(highlight=False)


def command(main: Callable[..., Any], quick: int) -> None:
    """Run ``main(steps, out, seed)`` with what the command line says; ``--quick`` trains ``quick`` steps only."""
    default = inspect.signature(main).parameters["steps"].default
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.add_argument("--steps", type=_count, default=default, help=f"training steps (default: {default})")
    parser.add_argument("--quick", action="store_const", const=quick, dest="steps", help=f"only {quick} steps")
    parser.add_argument("--seed", type=_count, default=0, help="of weights, data and samples (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default: out)")
    try:
        main(**vars(parser.parse_args()))
    except tg.TinygradError as error:
        parser.exit(2, f"Error: {error}\n")
    except KeyboardInterrupt:  # outside training
        parser.exit(130, "interrupted\n")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 on")
    return int(text)


def train(name: str, steps: int, step: Callable[[int], Any]) -> list[float]:
    """The losses that ``step(0)``, ``step(1)``, ... return. Ctrl-C ends the training, not the program."""
    losses: list[float] = []
    with progress_bar(console) as bar, noted_interrupt("stopping after this step") as interrupt:
        task = bar.add_task(f"training {name}", total=steps, shown="")
        while len(losses) < steps and not interrupt:
            losses.append(float(step(len(losses))))
            bar.update(task, advance=1, shown=f"loss {losses[-1]:.3f}")
    if interrupt:
        console.print(f"interrupted after {len(losses)} of {steps} steps; this is what it knows so far")
    return losses


def draw(what: Any, path: Path, *, walk: bool = False, **options: Any) -> None:
    """The picture of a network; with ``rolled=True`` folded and, beside it, unrolled.

    With ``walk`` also, named alike, a page that steps through its backward pass.
    """
    viz.render(what, path, **options)
    announce(path)
    if walk:
        viz.debug(what).html(path.with_suffix(".html"), title=path.stem.replace("-", " "))
        announce(path.with_suffix(".html"))


def announce(path: Path) -> None:
    """Say which file was written."""
    console.print(path, style="bold", markup=False, soft_wrap=True)
