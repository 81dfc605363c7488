"""``tinygrad-rnn check``: the gradients of a user's loss proven, or the checkers themselves judged."""

from __future__ import annotations

import click

from ..errors import DataError
from ..graph import Graph
from ..tensors import Tensor
from .cost_warning import announce, operations, patience
from .frameworks import ours, save_smallest_of
from .options import anyway, number
from .progress_bar import followed_loops
from .user_scripts import script_function


@click.command()
@click.argument("target", required=False)
@number("--order", "2: second derivatives too.", 1, 2)
@click.option("--planted", is_flag=True, help="Judge the checkers: who finds which planted bug.")
@number("--seeds", "To look for false alarms.", 100, 10_000, least=0)
@anyway("Check also")
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
def check(target: str | None, order: int, planted: bool, seeds: int, anyway: bool, markdown: bool) -> None:
    """Prove every gradient of a loss, time step by time step.

    TARGET is script.py:function, which returns a loss or several tensors, PyTorch's and JAX's too. The script is run,
    as python would run it, and then the function, so give only files you trust. Exit code 1 if a gradient is wrong.

    With --planted instead: forty-six backward passes with one bug each, in three regimes, and which of them this check
    and the checkers of other libraries find.

    \b
    Examples:
      tinygrad-rnn check model.py:loss
      tinygrad-rnn check --planted
    """
    if planted == (target is not None):
        raise click.UsageError("say which loss (script.py:function), or --planted")
    if planted:
        with followed_loops():
            _judge_the_checkers(seeds, markdown)
        return
    from ..check import check_gradients

    target = target or ""
    with patience(target), script_function(target) as function:
        returned = function()
        made = ours(function, returned)
    outputs = made if isinstance(made, (tuple, list)) else [made]
    for y in outputs:
        if not isinstance(y, Tensor):
            raise DataError(f"{target} returned {type(y).__name__}; return a loss, or several tensors")
    if not outputs:
        raise DataError(f"{target} returned an empty {type(made).__name__}; return a loss, or several tensors")
    announce(operations(outputs), ["checked"], "check fewer time steps (a wrong rule is as wrong at 50)", anyway)
    # a function of several results was run already: what it recorded is judged
    judged = made if isinstance(made, Tensor) else Graph(*outputs)
    with followed_loops():
        report = check_gradients(judged, order=order, raise_exception=False)
    click.echo(str(report))
    if not report:
        if made is not returned:
            click.echo(save_smallest_of(function, target))
        raise click.exceptions.Exit(1)


def _judge_the_checkers(seeds: int, markdown: bool) -> None:
    from ..testing.planted_bugs import BUGS, KINDS, REGIMES, as_markdown, as_text, detection_table, false_alarms

    rows = detection_table()
    click.echo(as_markdown(rows) if markdown else as_text(rows))
    click.echo()
    for name in ("float64", "float32"):
        rows = detection_table(policies=["ours"], dtype=name) if name == "float32" else rows
        missed, bugs = [row for row in rows if not row.found_by["ours"]], len({row.bug for row in rows})
        small = f" ({len(BUGS) - bugs} more change less than its rounding)" if bugs < len(BUGS) else ""
        click.echo(f"In {name}: {bugs} bugs{small} in {len(rows)} places; ours misses {len(missed)}.")
        if seeds:
            alarms = false_alarms(range(seeds), ["ours"], name)["ours"]
            others = len(KINDS) * len(REGIMES) * seeds
            click.echo(f"In {name}: right gradients of {others} other problems; {alarms} false alarms of ours.")
