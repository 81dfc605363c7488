"""The command ``tinygrad-rnn``: the roof over engine and pictures. Nothing but ``__main__`` imports it."""

from __future__ import annotations

import click

from .. import __version__
from .check import check
from .demo import demo
from .derive import derive
from .diagnose import diagnose
from .errors_and_interrupts import TRACEBACK, Commands
from .flow import flow
from .lecture import lecture
from .render_and_debug import debug, render
from .train_and_sample import sample, train


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="tinygrad-rnn")
@click.option(
    "--traceback", is_flag=True, envvar=TRACEBACK, help=f"On an error show the full traceback (or {TRACEBACK}=1)."
)
@click.pass_context
def main(context: click.Context, traceback: bool) -> None:
    """Unrolled recurrent networks you can draw, step through and prove.

    \b
    Examples:
      tinygrad-rnn demo
      tinygrad-rnn render --cell lstm --steps 4 --detail gate --values --grads -o lstm.svg
      tinygrad-rnn debug
      tinygrad-rnn flow --pattern many-to-one --steps 50 -o flow.svg
      tinygrad-rnn check model.py:loss
      tinygrad-rnn diagnose model.py:loss wrong.npz
      tinygrad-rnn train book.txt --cell gru --hidden 256 --steps 2000 -o book.ckpt
      tinygrad-rnn derive --cell lstm
      tinygrad-rnn lecture -o lecture
      tinygrad-rnn sample book.ckpt --prompt "The " --temperature 0.7
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (demo, render, debug, derive, flow, check, diagnose, train, sample, lecture):
    main.add_command(command)
