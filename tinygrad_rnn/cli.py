"""The command ``tinygrad-rnn``: the roof over engine and pictures. Nothing imports it.

A mistake of the user's ends in one line on standard error and exit code 2; ``--traceback`` shows where it arose.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from . import __version__
from .errors import DataError, TinygradError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Commands(click.Group):
    """A group whose commands end in one line where a usage text or a traceback would help nobody."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; turn whatever goes wrong as expected into a sentence and an exit code."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            _fail(error.format_message().rstrip(".") + hint)
        except (TinygradError, MemoryError, RecursionError) as error:
            if "--traceback" in (kwargs.get("args") or sys.argv):
                raise
            _fail(str(error) or f"out of resources ({type(error).__name__})")
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    click.echo("Error: " + " ".join(message.split()), err=True)
    sys.exit(2)


@click.group(cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, prog_name="tinygrad-rnn")
@click.option("--traceback", is_flag=True, help="On an error show the full traceback.")
@click.pass_context
def main(context: click.Context, traceback: bool) -> None:
    """Unrolled recurrent networks you can draw, step through and prove.

    \b
    Examples:
      tinygrad-rnn demo
      tinygrad-rnn render --cell lstm --steps 4 --detail gate --values --grads -o lstm.svg
      tinygrad-rnn train book.txt --cell gru --hidden 256 --steps 2000 -o book.ckpt
      tinygrad-rnn sample book.ckpt --prompt "The " --temperature 0.7
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


# demo ----------------------------------------------------------------------------------------------------


@main.command()
@click.option("-o", "--output", default="out", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and samples.")
def demo(output: Path, seed: int) -> None:
    """The lecture's character model: learn "hello", spell it, and draw three pictures of how.

    Reads "hell", predicts "ello", over the vocabulary h, e, l, o.
    """
    import numpy as np
    from rich.console import Console

    import viz

    from .language import LectureModel
    from .optim import Adam
    from .random import manual_seed

    console = Console(highlight=False)
    text, target = "hell", "ello"
    captions = [f"‘{a}’ → ‘{b}’" for a, b in zip(text, target, strict=True)]
    models = {}
    with _bar(console, "loss {task.fields[loss]:.3f}  h → {task.fields[spelt]}") as bar:
        for kind in ("rnn", "lstm"):
            manual_seed(seed)
            model = models[kind] = LectureModel("helo", kind, hidden=3)
            optimizer = Adam(model.parameters(), lr=0.1)
            task = bar.add_task(f"training the {kind.upper()}", total=500, loss=float("nan"), spelt="")
            for _ in range(500):
                optimizer.zero_grad()
                loss = model.unroll(text, target)
                loss.backward()
                optimizer.step()
                spelt = model.spell("h", 4)
                bar.update(task, advance=1, loss=loss.item(), spelt=spelt)
                if loss.item() < 0.01 and spelt == "hello":
                    break
            else:
                raise TinygradError(f"the {kind.upper()} did not learn to spell hello from seed {seed}; try another")
            bar.update(task, total=bar.tasks[task].completed)
    for kind, model in models.items():
        drawn = model.spell("h", 4, np.random.default_rng(seed))
        console.print(f"The {kind.upper()}, given “h” and fed back what it draws: [bold]{drawn}[/bold]")

    def picture(name: str, kind: str, shows: str, **options: Any) -> None:
        loss = models[kind].unroll(text, target)
        viz.render(loss, output / name, captions=captions, **options)
        console.print(f"[bold]{output / name}[/bold]  {shows}", soft_wrap=True)

    picture(
        "hello-rnn.svg", "rnn", "the RNN unrolled over four steps, as on the slides: x below, one W for every step, "
        "y and its loss above", values=True,
    )  # fmt: skip
    picture(
        "hello-lstm.svg", "lstm", "the same network as an LSTM at gate level: the value and gradient norm of every "
        "node, and what each step adds to dL/dW", detail="gate", values=True, grads=True,
    )  # fmt: skip
    picture(
        "hello-backward.svg", "rnn", "the RNN's forward graph with its backward graph: gradients flow from each loss "
        "down, and from right to left through time", backward=True,
    )  # fmt: skip


# render --------------------------------------------------------------------------------------------------


@main.command()
@click.argument("target", required=False)
@click.option("--cell", default="rnn", show_default=True, type=click.Choice(["rnn", "lstm", "gru"]))
@click.option(
    "--pattern", default="many-to-many", show_default=True,
    type=click.Choice(["one-to-one", "one-to-many", "many-to-one", "many-to-many", "seq2seq"]),
)  # fmt: skip
@click.option("--steps", default=4, show_default=True, type=click.IntRange(1, 100_000), help="Time steps.")
@click.option("--hidden", default=3, show_default=True, type=click.IntRange(1, 10_000), help="Hidden size.")
@click.option("--layers", default=1, show_default=True, type=click.IntRange(1, 20))
@click.option("--detail", default="cell", show_default=True, type=click.Choice(["cell", "gate", "op"]))
@click.option("--values", is_flag=True, help="Show every node's value or its norm.")
@click.option("--grads", is_flag=True, help="Show every node's gradient norm.")
@click.option("--backward", is_flag=True, help="Draw the backward graph too.")
@click.option("--rolled", is_flag=True, help="Draw the folded network.")
@click.option("--all-steps", is_flag=True, help="Leave no time step out, however many there are.")
@click.option(
    "-o", "--output", default="out/graph.svg", show_default=True, type=click.Path(path_type=Path, dir_okay=False),
    help="File; .svg .png .pdf .dot or .json.",
)  # fmt: skip
def render(
    target: str | None, cell: str, pattern: str, steps: int, hidden: int, layers: int, output: Path, all_steps: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Draw an unrolled network, or the graph of your own TARGET.

    TARGET is script.py:function; the function takes nothing and returns a tensor, a Graph or a module.

    \b
    Examples:
      tinygrad-rnn render --cell gru --detail gate -o gru.svg
      tinygrad-rnn render --pattern seq2seq --cell lstm -o seq2seq.png
      tinygrad-rnn render model.py:loss --detail op --grads -o loss.svg
    """
    import viz

    what = _from_script(target) if target else _network(pattern, cell, steps, hidden, layers)
    if all_steps:
        options["max_steps"] = None
    viz.render(what, output, **options)
    click.echo(f"wrote {output}")


def _network(pattern: str, cell: str, steps: int, hidden: int, layers: int) -> Any:
    from .patterns import build

    if steps * hidden * hidden * layers > 2e9:
        raise DataError(f"{steps} steps of hidden size {hidden} are more than a picture can hold; make one smaller")
    return build(pattern, cell, steps, hidden, layers)


def _from_script(target: str) -> Any:
    """What ``script.py:function`` returns."""
    import runpy
    import traceback

    path, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise DataError(f"{target!r} is not of the form script.py:function")
    if not Path(path).is_file():
        raise DataError(f"there is no script {path!r}")
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        function = runpy.run_path(path).get(name)
        if not callable(function):
            raise DataError(f"{path} defines no function {name!r}")
        return function()
    except TinygradError:
        raise
    except SystemExit:
        raise DataError(f"{path} ended the program; guard its main part with if __name__ == '__main__'") from None
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == Path(path).name]
        line = own[-1].lineno if own else getattr(error, "lineno", "?")
        raise DataError(f"{path}, line {line}: {type(error).__name__}: {error}") from error


# debug ---------------------------------------------------------------------------------------------------


@main.command()
@click.argument("target", required=False)
@click.option("--cell", default="lstm", show_default=True, type=click.Choice(["rnn", "lstm", "gru"]))
@click.option(
    "--pattern", help="Random data in this shape instead of “hello”.",
    type=click.Choice(["one-to-one", "one-to-many", "many-to-one", "many-to-many", "seq2seq"]),
)  # fmt: skip
@click.option("--steps", default=4, show_default=True, type=click.IntRange(1, 100_000), help="Time steps of --pattern.")
@click.option("--hidden", default=3, show_default=True, type=click.IntRange(1, 10_000), help="Hidden size.")
@click.option("--layers", default=1, show_default=True, type=click.IntRange(1, 20), help="Layers of --pattern.")
@click.option("--every", default=1, type=click.IntRange(1), help="Keep one time step in this many.")
@click.option("--anyway", is_flag=True, help="Record a walk however large.")
@click.option("-c", "--command", "commands", multiple=True, help="Carry this out first; may be repeated.")
def debug(
    target: str | None, cell: str, pattern: str | None, steps: int, hidden: int, layers: int, every: int, anyway: bool,
    commands: tuple[str, ...],
) -> None:  # fmt: skip
    """Step through backpropagation, one node at a time, forward and back.

    TARGET is script.py:function, which returns a loss, or a walk saved in the debugger; without one it is the
    lecture's model reading "hell", untrained. Type help at its prompt; commands can also come through a pipe.

    \b
    Examples:
      tinygrad-rnn debug
      tinygrad-rnn debug model.py:loss -c origin
      echo norms | tinygrad-rnn debug --pattern many-to-one --cell gru --steps 50
    """
    import viz

    what: Any
    if target and not Path(target).is_file():
        what = _from_script(target)
    elif target:
        what = Path(target)
    elif pattern:
        what = _network(pattern, cell, steps, hidden, layers)
    else:
        from .language import LectureModel
        from .random import manual_seed

        manual_seed(0)
        what = LectureModel("helo", cell, hidden=hidden).unroll("hell", "ello")
    viz.debug(what, every=every, anyway=anyway).terminal(commands)


# train and sample ----------------------------------------------------------------------------------------


def _setting(name: str, help: str = "", **options: Any) -> Callable[[Any], Any]:
    """An option whose default is `training.Settings`'s, applied only where given: a resumed run keeps its own."""
    return click.option(f"--{name}", default=None, help=help, **options)


@main.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_setting("cell", "rnn, lstm or gru.  [default: lstm]", type=click.Choice(["rnn", "lstm", "gru"]))
@_setting("hidden", "Hidden size.  [default: 128]", type=int)
@_setting("layers", "Layers.  [default: 1]", type=int)
@_setting("embedding", "Size of the character vectors.  [default: 32]", type=int)
@_setting("dropout", "Between layers.  [default: 0]", type=float)
@_setting("length", "Time steps unrolled at a time.  [default: 50]", type=int)
@_setting("batch", "Parallel streams of text.  [default: 32]", type=int)
@_setting("optimizer", "[default: adam]", type=click.Choice(["sgd", "adagrad", "rmsprop", "adam", "adamw"]))
@_setting("lr", "Learning rate.  [default: 0.002]", type=float)
@_setting("clip-norm", "Limit of the gradient's norm, 0 for none.  [default: 5]", type=float)
@_setting("clip-value", "Limit of each gradient element, 0 for none.  [default: 0]", type=float)
@_setting("validation", "Share of the text kept to judge by.  [default: 0.1]", type=float)
@_setting("seed", "[default: 0]", type=int)
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1, 10**8), help="Steps in all.")
@click.option("--checkpoint-every", default=100, show_default=True, type=click.IntRange(1), help="Steps between saves.")
@click.option(
    "-o", "--output", default="out/model.ckpt", show_default=True, type=click.Path(path_type=Path, dir_okay=False),
    help="The checkpoint.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, bit for bit as if never interrupted.")
def train(file: Path | None, steps: int, checkpoint_every: int, output: Path, resume: bool, **given: Any) -> None:
    """Train a character model on FILE (any UTF-8 text; without one, Python's own help topics).

    Ctrl-C saves and stops; go on with --resume.

    \b
    Examples:
      tinygrad-rnn train --steps 300
      tinygrad-rnn train book.txt --cell gru --hidden 256 --layers 2 --dropout 0.2 -o book.ckpt
      tinygrad-rnn train book.txt -o book.ckpt --resume --steps 5000
    """
    from rich.console import Console

    from . import checkpoint
    from .text import read_text
    from .training import Settings, Trainer

    console = Console(highlight=False)
    stop = _stop_on_interrupt()
    text = read_text(file)
    chosen = {name: value for name, value in given.items() if value is not None}
    if resume:
        if chosen:
            raise DataError(f"--resume goes on with the checkpoint's own settings; leave out --{next(iter(chosen))}")
        trainer = checkpoint.resume(output, text)
        if trainer.step >= steps:
            raise DataError(f"{output} has done {trainer.step} steps already; ask for more with --steps")
    else:
        trainer = Trainer(text, Settings(**chosen))
        checkpoint.save(trainer, output)  # an unwritable folder is better found now than after an hour
    s = trainer.settings
    console.print(
        f"{len(text):,} characters, {len(trainer.vocabulary)} different; {s.layers} × {s.cell.upper()} of {s.hidden}, "
        f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters"
    )
    fields = "loss {task.fields[loss]:.3f}  {task.fields[bits]:.2f} bits/char  {task.fields[rate]:,.0f} char/s"
    smooth, read, began = float("nan"), 0, time.perf_counter()
    with _bar(console, fields) as bar:
        nan = float("nan")
        task = bar.add_task("training", total=steps, completed=trainer.step, loss=nan, bits=nan, rate=0.0)
        try:
            for done in trainer.run(steps):
                smooth = done.loss if smooth != smooth else 0.95 * smooth + 0.05 * done.loss
                read += done.characters
                rate = read / (time.perf_counter() - began)
                bar.update(task, completed=done.step, loss=smooth, bits=smooth / 0.6931471805599453, rate=rate)
                if done.step % checkpoint_every == 0 or stop:
                    checkpoint.save(trainer, output)
                if stop:
                    break
        except TinygradError as error:
            raise DataError(f"{error}; the checkpoint {output} is the last one saved before") from None
    checkpoint.save(trainer, output)
    loss = None if stop else trainer.validate()
    if loss is not None:
        console.print(f"validation: {loss:.3f} nats, {loss / 0.6931471805599453:.2f} bits per character")
    console.print(f"[bold]{output}[/bold]  saved after step {trainer.step}", soft_wrap=True)
    if stop:
        console.print("interrupted; go on with --resume")
        sys.exit(130)


@main.command()
@click.argument("file", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option("--prompt", default="", help="Text to go on from; by default one random character.")
@click.option("--temperature", default=1.0, show_default=True, type=click.FloatRange(0), help="0 takes the likeliest.")
@click.option("--length", default=400, show_default=True, type=click.IntRange(1, 10**7), help="Characters to write.")
@click.option("--seed", default=None, type=click.IntRange(0), help="For the same sample again.")
def sample(file: Path, prompt: str, temperature: float, length: int, seed: int | None) -> None:
    """Write text with a trained model, one character at a time, each fed back.

    \b
    Example:
      tinygrad-rnn sample out/model.ckpt --prompt "The " --temperature 0.7 --seed 1
    """
    import numpy as np

    from . import checkpoint

    model, vocabulary = checkpoint.load_model(file)
    rng = np.random.default_rng(seed)
    start = prompt or vocabulary.characters[int(rng.integers(len(vocabulary)))]
    indices = vocabulary.encode(start)
    click.echo(start, nl=False)
    for index in model.sample(indices, length, temperature, rng):
        click.echo(vocabulary.characters[index], nl=False)
    click.echo()


# Shared --------------------------------------------------------------------------------------------------


@contextmanager
def _bar(console: Any, fields: str) -> Iterator[Any]:
    """A progress bar; on a terminal it moves, in a file it is left out."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn(fields), TimeRemainingColumn())
    with Progress(*columns, console=console, refresh_per_second=8) as bar:
        yield bar


class _Flag:
    """True once Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.raised = False

    def __bool__(self) -> bool:
        return self.raised


def _stop_on_interrupt() -> _Flag:
    """A step is never left half done: the first Ctrl-C is noted and seen between steps, the second one is obeyed."""
    flag = _Flag()

    def note(_signal: int, _frame: Any) -> None:
        flag.raised = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    return flag
