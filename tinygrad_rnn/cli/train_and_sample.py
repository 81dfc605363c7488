"""``tinygrad-rnn train`` and ``tinygrad-rnn sample``: character models of a text."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import click

from ..character_model.training import Settings, Trainer
from ..errors import DataError, TinygradError
from .errors_and_interrupts import noted_interrupt
from .options import FILE, PATH, number, one_of, output
from .progress_bar import progress_bar


def setting_options(command: Any) -> Any:
    """An option for every field of `Settings`; None where not given, for a resumed run keeps its own."""
    for each in reversed(fields(Settings)):
        allowed, kind = each.metadata["allowed"], {"int": int, "float": float, "str": str}[str(each.type)]
        command = click.option(
            f"--{each.name.replace('_', '-')}",
            type=click.Choice(allowed) if kind is str else kind,
            help=f"{each.metadata['help']}  [default: {each.default}]",
        )(command)
    return command


@click.command()
@click.argument("file", required=False, type=PATH)
@setting_options
@number("--steps", "Steps in all.", 500, 10**8)
@number("--checkpoint-every", "Steps between saves.", 100)
@output("The checkpoint.", "out/model.ckpt")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, bit for bit as if never interrupted.")
@click.option("--overwrite", is_flag=True, help="Start anew although the checkpoint exists.")
@click.option("--eager", is_flag=True, help="Do not compile the training step.")
@one_of("--engine", ("ours", "jax"), "Who computes the steps.", "ours")
@click.option("--devices", type=click.IntRange(1), help="With --engine jax: devices to divide the batch among.")
@click.option("--log", type=FILE, help="A CSV file with a row for each step, in nats.")
@click.option("--plot", type=FILE, help="The curve, as .svg, .png or .pdf.")
def train(
    file: Path | None,
    steps: int,
    checkpoint_every: int,
    output: Path,
    resume: bool,
    overwrite: bool,
    eager: bool,
    engine: str,
    devices: int | None,
    log: Path | None,
    plot: Path | None,
    **given: Any,
) -> None:
    """Train a character model on a text.

    FILE is any UTF-8 text; without one it is real English that every Python ships, its own help topics. At every
    checkpoint the model is also judged on the part of the text kept aside. Ctrl-C saves and stops; go on with --resume.

    \b
    Examples:
      tinygrad-rnn train --steps 300
      tinygrad-rnn train book.txt --cell gru --hidden 256 --layers 2 --dropout 0.2 -o book.ckpt
      tinygrad-rnn train book.txt --engine jax --devices 8 -o book.ckpt
      tinygrad-rnn train book.txt -o book.ckpt --resume --steps 5000 --log book.csv --plot book.svg
    """
    from rich.console import Console

    from ..character_model import checkpoint
    from .training_log import Records, check_ending

    console = Console(highlight=False)
    if plot is not None:
        check_ending(plot)  # better found now than after an hour
    if engine != "jax" and devices is not None:
        raise DataError("--devices divides the batch of --engine jax; the engine of this package has one machine")
    if engine == "jax" and eager:
        raise DataError("--eager is for the engine of this package; leave it out with --engine jax")
    trainer = _trainer(file, steps, output, resume, overwrite, given)
    trainer.eager = eager
    if engine == "jax":
        from ..interchange.export.xla import JaxEngine

        trainer.engine = JaxEngine(trainer, devices)
    s, count = trainer.settings, sum(p.numel() for p in trainer.model.parameters())
    console.print(
        f"{trainer.length:,} characters, {len(trainer.vocabulary)} different; "
        f"{s.layers} × {s.cell.upper()} of {s.hidden}, {count:,} parameters"
    )
    judged = trainer.judged_characters
    console.print(
        f"validation: {judged:,} of the {len(trainer.held_out):,} characters kept aside, every {checkpoint_every} steps"
        if judged
        else "validation: none, too little of the text is kept aside"
    )
    records = Records(log, trainer.step)
    smooth, read, began, judging = None, 0, time.perf_counter(), 0.0
    answer = "interrupted: the step at work is finished, then saved"
    checkpoint.save(trainer, output)  # an unwritable folder is better found now than after an hour
    records.write()
    with progress_bar(console) as bar, noted_interrupt(answer, at_once=True) as interrupt:
        task = bar.add_task("training", total=steps, completed=trainer.step, shown="")
        try:  # the first step is compiled, which takes longest, and until it is done nothing can be lost
            for done in trainer.run(steps):
                interrupt.at_once = False
                smooth = done.loss if smooth is None else 0.95 * smooth + 0.05 * done.loss
                read += done.characters
                rate = read / (time.perf_counter() - began)
                shown = f"loss {smooth:.3f} nats  {smooth / math.log(2):.2f} bits/char  {rate:,.0f} char/s"
                bar.update(task, completed=done.step, shown=shown)
                loss = None
                due = bool(interrupt) or done.step == steps or done.step % checkpoint_every == 0
                if due:
                    checkpoint.save(trainer, output)
                    before = time.perf_counter()
                    loss = None if interrupt else trainer.validate()
                    judging += time.perf_counter() - before
                    if loss is not None:
                        console.print(
                            f"step {done.step}: validation {loss:.3f} nats, {loss / math.log(2):.2f} bits per character"
                        )
                records.add(done, loss, time.perf_counter() - began)
                if due:
                    records.write()
                if interrupt:
                    break
        except TinygradError as error:
            raise DataError(f"{error}; the checkpoint {output} is the last one saved before") from None
        except KeyboardInterrupt:
            if not interrupt.at_once:
                raise
            click.echo(f"interrupted in the first step: {output} is as it was saved before it", err=True)
            sys.exit(130)
    if plot is not None and records.rows:
        records.plot(plot)
        console.print(f"[bold]{plot}[/bold]  the curve", soft_wrap=True)
    if judging:
        share = judging / (time.perf_counter() - began)
        console.print(f"validation took {judging:.1f} s, {share:.0%} of the time")
    if interrupt:
        click.echo(f"interrupted: {output} saved after step {trainer.step}; go on with --resume", err=True)
        sys.exit(130)
    console.print(f"[bold]{output}[/bold]  saved after step {trainer.step}", soft_wrap=True)


def _trainer(
    file: Path | None, steps: int, output: Path, resume: bool, overwrite: bool, given: dict[str, Any]
) -> Trainer:
    """A new trainer, or the checkpoint's, that has something left to do."""
    from ..character_model import checkpoint
    from ..character_model.text import read_text

    chosen = {name: value for name, value in given.items() if value is not None}
    if resume:
        if chosen:
            name = next(iter(chosen)).replace("_", "-")
            raise DataError(f"--resume goes on with the checkpoint's own settings; leave out --{name}")
        trainer = checkpoint.resume(output, read_text(file))
        if trainer.step >= steps:
            raise DataError(f"{output} has done {trainer.step} steps already; ask for more with --steps")
        return trainer
    if output.exists() and not overwrite:
        raise DataError(f"{output} exists; go on with --resume, start anew with --overwrite, or choose another -o")
    if file and file.exists() and output.exists() and output.samefile(file):
        raise DataError(f"the checkpoint would overwrite the text {file} it is trained on; choose another -o")
    return Trainer(read_text(file), Settings(**chosen))


@click.command()
@click.argument("file", metavar="CHECKPOINT", type=PATH)
@click.option("--prompt", default="", help="Text to go on from; by default one random character.")
@click.option("--temperature", default=1.0, show_default=True, type=click.FloatRange(0), help="0 takes the likeliest.")
@number("--length", "Characters to write.", 400, 10**7)
@click.option("--seed", default=None, type=click.IntRange(0), help="For the same sample again.")
@click.option("--eager", is_flag=True, help="Do not compile the model, however long the text.")
def sample(file: Path, prompt: str, temperature: float, length: int, seed: int | None, eager: bool) -> None:
    """Write text with a trained model.

    One character at a time, each drawn from the model and fed back to it.

    \b
    Example:
      tinygrad-rnn sample out/model.ckpt --prompt "The " --temperature 0.7 --seed 1
    """
    import numpy as np

    from ..character_model import checkpoint

    model, vocabulary = checkpoint.load_model(file)
    rng = np.random.default_rng(seed)
    start = prompt or vocabulary.characters[int(rng.integers(len(vocabulary)))]
    samples = model.sample(vocabulary.encode(start), length, temperature, rng, eager or None)
    first = next(samples)  # whatever is wrong is found before anything is written
    click.echo(_shown(start), nl=False)
    for index in chain([first], samples):
        click.echo(_shown(vocabulary.characters[index]), nl=False)
    click.echo()


def _shown(text: str) -> str:
    """On a terminal, control characters in words: a text may hold some that a terminal would obey."""
    if sys.stdout is None or not sys.stdout.isatty():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
