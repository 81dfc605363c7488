"""``tinygrad-rnn check``: the gradients of a user's loss proven, or the checkers themselves judged."""

from __future__ import annotations

import click

from .graphs import from_script


@click.command()
@click.argument("target", required=False)
@click.option("--order", default=1, show_default=True, type=click.IntRange(1, 2), help="2: second derivatives too.")
@click.option("--planted", is_flag=True, help="Judge the checkers: who finds which planted bug.")
@click.option(
    "--seeds", default=100, show_default=True, type=click.IntRange(0, 10_000), help="To look for false alarms."
)
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
def check(target: str | None, order: int, planted: bool, seeds: int, markdown: bool) -> None:
    """Prove every gradient of a loss, time step by time step.

    TARGET is script.py:function, a function that returns a loss; exit code 1 if a gradient is wrong. With --planted
    instead: forty backward passes with one bug each, in three regimes, and which of them this check and the checkers of
    other libraries find.

    \b
    Examples:
      tinygrad-rnn check model.py:loss
      tinygrad-rnn check --planted
    """
    if planted == (target is not None):
        raise click.UsageError("say which loss (script.py:function), or --planted")
    if planted:
        _judge_the_checkers(seeds, markdown)
        return
    from ..check import check_gradients

    report = check_gradients(from_script(target or ""), order=order, raise_exception=False)
    click.echo(str(report))
    if not report:
        raise click.exceptions.Exit(1)


def _judge_the_checkers(seeds: int, markdown: bool) -> None:
    from ..testing.planted_bugs import BUGS, as_markdown, as_text, detection_table, false_alarms

    rows = detection_table()
    click.echo(as_markdown(rows) if markdown else as_text(rows))
    missed = [row for row in rows if not row.found_by["ours"]]
    click.echo(f"\n{len(BUGS)} bugs in {len(rows)} places; ours misses {len(missed)}.")
    if seeds:
        alarms = false_alarms(range(seeds), ["ours"])["ours"]
        click.echo(f"Right gradients of {12 * seeds} other problems: {alarms} false alarms of ours.")
