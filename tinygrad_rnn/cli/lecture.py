"""``tinygrad-rnn lecture``: every topic of the lecture on one page."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError
from .options import PATH, output
from .progress_bar import progress_bar


@click.command()
@output("Folder.", "out", PATH)
@click.option("--only", multiple=True, metavar="NAME", help="This topic or figure only; may be repeated.")
@click.option("--labels", type=PATH, help="TOML file of translations, read or started; see below.")
def lecture(output: Path, only: tuple[str, ...], labels: Path | None) -> None:
    """Build the lecture: every topic with its pictures, its numbers and the program that made them.

    One page that needs no network, index.html, with the figures beside it as SVG, PNG and PDF; on the page, s shows it
    as slides. What has not changed since the last time is not made again. The name of a topic, such as hello, makes
    the page of it; the name of a figure, such as lstm-gates, makes three files of that figure alone.

    --labels puts page and figures into another language. Its lines read "English" = "translation"; in texts of figures
    # stands for any number. A table that does not exist is started, with every text to translate; what one that does
    lacks is written, with what it has, to labels.toml in the folder.

    \b
    Examples:
      tinygrad-rnn lecture -o lecture
      tinygrad-rnn lecture --only hello --only gates
      tinygrad-rnn lecture --only lstm-gates -o slides
      tinygrad-rnn lecture --labels de.toml -o vorlesung
    """
    from rich.console import Console

    from ..viz.lecture import TOPICS, Topic, Translation, build, figure

    topics = {topic.name: topic for topic in TOPICS}
    figures = {name for topic in TOPICS for name in topic.captions} - topics.keys()
    unknown = [name for name in only if name not in topics and name not in figures]
    if unknown:
        raise DataError(
            f"no topic or figure is called {unknown[0][:40]!r}; there are the topics {', '.join(topics)}, "
            f"and the figures {', '.join(sorted(figures))}"
        )
    is_new = labels is not None and not labels.exists()
    words = Translation.read(labels) if labels and not is_new else Translation({})
    chosen = [topic for name, topic in topics.items() if name in only or not only]
    alone = [name for name in only if name in figures]
    problems: list[str] = []
    with progress_bar(Console(highlight=False)) as bar:
        task = bar.add_task("the lecture", total=len(chosen) + len(alone), shown="")

        def done(topic: Topic) -> None:
            bar.update(task, advance=1, shown=topic.title)

        written: list[Path] = []
        for name in alone:
            written += figure(output, name, words)
            bar.update(task, advance=1, shown=name)
        if chosen:
            problems = build(output, chosen, done, words)
            written.append(output / "index.html")
    if labels and words.missing:
        table = labels if is_new else output / "labels.toml"
        words.save(table)
        click.echo(f"note: {len(words.missing)} texts are not translated; they are in {table}", err=True)
    for problem in problems:
        click.echo(f"note: {problem}", err=True)
    for path in written:
        click.echo(f"wrote {path}")
