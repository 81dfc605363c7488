"""``tinygrad-rnn render`` and ``tinygrad-rnn debug``: pictures of a graph, and backpropagation over it step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..character_model.model import CELLS
from ..errors import DataError
from ..sequence_patterns import PATTERNS, build
from .cost_warning import announce, foreseen, operations
from .frameworks import from_script, onnx_loss
from .progress_bar import followed_loops

#: steps x weights of the largest network drawn: a picture's numbers are all in memory at once
LARGEST = 2e8


def network_options(cell: str, pattern: str | None) -> Callable[[Any], Any]:
    """The options that describe a network of random numbers, with these defaults."""
    options = [
        click.argument("target", required=False),
        click.option("--cell", default=cell, show_default=True, type=click.Choice(list(CELLS)), help="Kind of cell."),
        click.option(
            "--pattern",
            default=pattern,
            show_default=True,
            type=click.Choice(PATTERNS),
            help="Inputs to outputs." if pattern else "Random data in this shape instead of “hello”.",
        ),
        click.option("--steps", default=4, show_default=True, type=click.IntRange(1, 100_000), help="Time steps."),
        click.option("--hidden", default=3, show_default=True, type=click.IntRange(1, 10_000), help="Hidden size."),
        click.option("--layers", default=1, show_default=True, type=click.IntRange(1, 20), help="Cells on each other."),
    ]

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@network_options("rnn", "many-to-many")
@click.option(
    "--detail",
    default="cell",
    show_default=True,
    type=click.Choice(["cell", "gate", "op"]),
    help="One box a cell, a gate, or an operation.",
)
@click.option("--bidirectional", is_flag=True, help="Read the sequence from both ends.")
@click.option("--values", is_flag=True, help="Show every node's value or its norm.")
@click.option("--grads", is_flag=True, help="Show every node's gradient norm.")
@click.option("--backward", is_flag=True, help="Draw the backward graph too.")
@click.option("--rolled", is_flag=True, help="Draw the folded network beside it.")
@click.option("--all-steps", is_flag=True, help="Leave no time step out, however many there are.")
@click.option("--anyway", is_flag=True, help="Draw also what will take many minutes.")
@click.option(
    "-o",
    "--output",
    default="out/graph.svg",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File; .svg .png .pdf .dot or .json.",
)
def render(
    target: str | None, cell: str, pattern: str, steps: int, hidden: int, layers: int, output: Path, all_steps: bool,
    anyway: bool, bidirectional: bool, **options: Any,
) -> None:  # fmt: skip
    """Draw an unrolled network, or a graph of your own.

    With TARGET, script.py:function, what that function returns is drawn: it takes nothing and returns a tensor, a
    Graph or a module. The script is run, as python would run it, so give only files you trust.

    \b
    Examples:
      tinygrad-rnn render --cell gru --detail gate -o gru.svg
      tinygrad-rnn render --pattern seq2seq --cell lstm -o seq2seq.png
      tinygrad-rnn render model.py:loss --detail op --grads -o loss.svg
    """
    from .. import viz

    drawn = ["drawn with all steps" if all_steps else "drawn with gradients" if options["grads"] else "drawn"]
    drawn += ["drawn with the backward graph"] if options["backward"] else []
    cure = "draw fewer steps (beyond six the middle is left out anyway)"
    if target:
        what = from_script(target)
        announce(operations(what), drawn, cure, anyway)
    else:
        what = network(pattern, cell, steps, hidden, layers, ["recorded", *drawn], cure, anyway, bidirectional)
    if all_steps:
        options["max_steps"] = None
    with followed_loops():
        viz.render(what, output, **options)
    click.echo(f"wrote {output}")


@click.command()
@network_options("lstm", None)
@click.option("--every", default=1, type=click.IntRange(1), help="Keep one time step in this many.")
@click.option("--anyway", is_flag=True, help="Record a walk however large.")
@click.option("-c", "--command", "commands", multiple=True, help="Carry this out first; may be repeated.")
@click.option("--inputs", type=click.Path(path_type=Path), help="Of an ONNX model: a .npz of arrays.")
@click.option("--output", help="Of an ONNX model: which output the loss is of.")
@click.option("--loss", help="Of an ONNX model: sum (the default), or script.py:function of the output.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page for a browser instead."
)
def debug(
    target: str | None, cell: str, pattern: str | None, steps: int, hidden: int, layers: int, every: int, anyway: bool,
    commands: tuple[str, ...], page: Path | None, inputs: Path | None, output: str | None, loss: str | None,
) -> None:  # fmt: skip
    """Step through backpropagation, one node at a time.

    Forward and back. TARGET is script.py:function, which returns a loss (PyTorch's and JAX's too), an ONNX model, or a
    walk saved in the debugger; without one it is the lecture's model reading "hell", untrained. A script is run, as
    python would run it, so give only files you trust; models and walks are only read. Type help at its prompt; commands
    can also come through a pipe.

    \b
    Examples:
      tinygrad-rnn debug
      tinygrad-rnn debug --html hello.html
      tinygrad-rnn debug model.py:loss -c origin
      tinygrad-rnn debug model.onnx --inputs x.npz --output y
      echo norms | tinygrad-rnn debug --pattern many-to-one --cell gru --steps 50
    """
    from .. import viz

    what: Any
    if page and commands:
        raise click.UsageError("--html carries out no commands; end them with -c 'html FILE' -c quit")
    of_onnx = target is not None and target.endswith(".onnx")
    if not of_onnx and (inputs or output or loss):
        raise click.UsageError("--inputs, --output and --loss are for an ONNX model: model.onnx as TARGET")
    if target and of_onnx:
        what = onnx_loss(Path(target), inputs, output, loss or "sum")
    elif target and (target.endswith(".py") or not Path(target).is_file()):
        what = from_script(target)
    elif target:
        what = Path(target)
    elif pattern:
        # what is too large to be walked the session itself refuses, and offers to keep one step in so many
        what = network(pattern, cell, steps, hidden, layers, ["recorded", "walked"], "", anyway=True)
    else:
        from ..character_model.model import LectureModel
        from ..random import manual_seed

        _note_idle("the lecture's model has one layer and reads four letters (without --pattern)", "steps", "layers")
        manual_seed(0)
        what = LectureModel("helo", cell, hidden=hidden).unroll("hell", "ello")
    session = viz.debug(what, every=every, anyway=anyway)
    if page is None:
        session.terminal(commands)
        return
    session.html(page, title=target or f"{cell.upper()}, {pattern or 'hell → ello'}")
    click.echo(f"wrote {page}")


def network(
    pattern: str, cell: str, steps: int, hidden: int, layers: int, done: list[str], cure: str, anyway: bool,
    bidirectional: bool = False,
) -> Any:  # fmt: skip
    """The loss of a network of random numbers of this shape, once it was said how long what is to be ``done`` takes."""
    if steps * hidden * hidden * layers > LARGEST:
        raise DataError(f"{steps} steps of hidden size {hidden} are more than a picture can hold; make one smaller")
    if pattern == "one-to-one":
        _note_idle("one-to-one is a plain network without time", "cell", "steps")
    else:
        nodes = foreseen(lambda few: build(pattern, cell, few, hidden, layers, bidirectional=bidirectional), steps)
        announce(nodes, done, cure, anyway)
    return build(pattern, cell, steps, hidden, layers, bidirectional=bidirectional)


def _note_idle(why: str, *options: str) -> None:
    given = click.get_current_context().get_parameter_source
    idle = [name for name in options if given(name) is ParameterSource.COMMANDLINE]
    if idle:
        click.echo(f"note: {why}, --{' and --'.join(idle)} change nothing", err=True)
