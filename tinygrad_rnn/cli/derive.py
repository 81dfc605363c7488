"""``tinygrad-rnn derive``: the equations of backpropagation through time, of a network as it is."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from .cost_warning import announce, operations
from .frameworks import from_script
from .options import RandomNetwork, anyway, network_options, output
from .progress_bar import followed_loops


@click.command()
@network_options("rnn", "many-to-many")
@click.option("--wrt", multiple=True, metavar="NAME", help="Only the gradient of this leaf; may be repeated.")
@click.option("--every-step", is_flag=True, help="Write out what repeats from step to step.")
@click.option("--closed-form", is_flag=True, help="Add the recurrence solved: a sum of products of Jacobians.")
@anyway("Derive also")
@output("Write a file: .txt, .tex or .html.")
def derive(
    target: str | None,
    network: RandomNetwork,
    wrt: tuple[str, ...],
    every_step: bool,
    closed_form: bool,
    anyway: bool,
    output: Path | None,
) -> None:
    """Print the equations of a network and of its gradients.

    They are read off the graph, and so are those of a graph of your own: TARGET is script.py:function, which returns a
    loss; the script is run, as python would run it, so give only files you trust. What repeats from one time step to
    the next is written once.

    \b
    Examples:
      tinygrad-rnn derive --cell lstm
      tinygrad-rnn derive --steps 3 --every-step
      tinygrad-rnn derive --closed-form
      tinygrad-rnn derive model.py:loss --wrt weight_hh -o bptt.tex
    """
    from .. import viz

    cure = "take fewer steps (the equations are those of five)"
    if target:
        loss = from_script(target)
        announce(operations(loss), ["derived"], cure, anyway)
    else:
        loss = network.loss(["derived"], cure, anyway)
    with followed_loops():
        derivation = viz.derive(loss, list(wrt) or None)
    if closed_form:
        click.echo(f"The gradient's recurrence, solved\n{textwrap.indent(derivation.closed_form().text(), '  ')}\n")
    if output is None:
        click.echo(derivation.text(every_step=every_step))
        return
    derivation.save(output, every_step=every_step)
    click.echo(f"wrote {output}")
