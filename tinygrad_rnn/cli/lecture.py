"""``tinygrad-rnn lecture``: every topic of the lecture on one page."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError
from .bar import progress_bar


@click.command()
@click.option("-o", "--output", default="out", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--only", multiple=True, metavar="NAME", help="This topic only, such as hello; may be repeated.")
def lecture(output: Path, only: tuple[str, ...]) -> None:
    """Build the lecture: every topic with its pictures, its numbers and the program that made them.

    One page that needs no network, index.html, with the figures beside it as SVG, PNG and PDF. What has not changed
    since the last time is not made again.

    \b
    Examples:
      tinygrad-rnn lecture -o lecture
      tinygrad-rnn lecture --only hello --only gates
    """
    from rich.console import Console

    from viz.lecture import TOPICS, Topic, build

    names = {Path(topic.program).stem: topic for topic in TOPICS}
    unknown = [name for name in only if name not in names]
    if unknown:
        raise DataError(f"no topic is called {unknown[0][:40]!r}; there are {', '.join(names)}")
    chosen = [topic for name, topic in names.items() if name in only or not only]
    with progress_bar(Console(highlight=False)) as bar:
        task = bar.add_task("the lecture", total=len(chosen), shown="")

        def done(topic: Topic) -> None:
            bar.update(task, advance=1, shown=topic.title)

        problems = build(output, chosen, done)
    for problem in problems:
        click.echo(f"note: {problem}", err=True)
    click.echo(f"wrote {output / 'index.html'}")
