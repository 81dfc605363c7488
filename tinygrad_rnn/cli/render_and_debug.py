"""``tinygrad-rnn render`` and ``tinygrad-rnn debug``: pictures of a graph, and backpropagation over it step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .cost_warning import announce, operations
from .frameworks import from_script, onnx_loss
from .options import FILE, PATH, RandomNetwork, anyway, network_options, note_idle, one_of, output
from .progress_bar import followed_loops


@click.command()
@network_options("rnn", "many-to-many")
@one_of("--detail", ("cell", "gate", "op"), "One box a cell, a gate, or an operation.", "cell")
@click.option("--bidirectional", is_flag=True, help="Read the sequence from both ends.")
@click.option("--values", is_flag=True, help="Show every node's value or its norm.")
@click.option("--grads", is_flag=True, help="Show every node's gradient norm.")
@click.option("--backward", is_flag=True, help="Draw the backward graph too.")
@click.option("--rolled", is_flag=True, help="Draw the folded network beside it.")
@click.option("--all-steps", is_flag=True, help="Leave no time step out, however many there are.")
@anyway("Draw also")
@output("File; .svg .png .pdf .dot or .json.", "out/graph.svg")
def render(
    target: str | None,
    network: RandomNetwork,
    output: Path,
    all_steps: bool,
    anyway: bool,
    bidirectional: bool,
    **options: Any,
) -> None:
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
        what = network.loss(drawn, cure, anyway, bidirectional)
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
@click.option("--inputs", type=PATH, help="Of an ONNX model: a .npz of arrays.")
@click.option("--output", help="Of an ONNX model: which output the loss is of.")
@click.option("--loss", help="Of an ONNX model: sum (the default), or script.py:function of the output.")
@click.option("--html", "page", type=FILE, help="Write a page for a browser instead.")
def debug(
    target: str | None,
    network: RandomNetwork,
    every: int,
    anyway: bool,
    commands: tuple[str, ...],
    page: Path | None,
    **of_onnx: Any,
) -> None:
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
    if target and target.endswith(".onnx"):
        what = onnx_loss(Path(target), **of_onnx)
    elif any(of_onnx.values()):
        raise click.UsageError("--inputs, --output and --loss are for an ONNX model: model.onnx as TARGET")
    elif target and (target.endswith(".py") or not Path(target).is_file()):
        what = from_script(target)
    elif target:
        what = Path(target)
    elif network.pattern:
        # what is too large to be walked the session itself refuses, and offers to keep one step in so many
        what = network.loss(["walked"], "", anyway=True)
    else:
        from ..character_model.model import LectureModel
        from ..random import manual_seed

        note_idle("the lecture's model has one layer and reads four letters (without --pattern)", "steps", "layers")
        manual_seed(0)
        what = LectureModel("helo", network.cell, hidden=network.hidden).unroll("hell", "ello")
    session = viz.debug(what, every=every, anyway=anyway)
    if page is None:
        session.terminal(commands)
        return
    session.html(page, title=target or f"{network.cell.upper()}, {network.pattern or 'hell → ello'}")
    click.echo(f"wrote {page}")
