"""The end of a command: a mistake of the user's is one line on standard error and exit code 2, never a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from ..errors import TinygradError

#: environment variable that asks for tracebacks
TRACEBACK = "TINYGRAD_RNN_TRACEBACK"


class Commands(click.Group):
    """A group whose commands end in one line where a usage text or a traceback would help nobody."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; turn whatever goes wrong into a sentence and an exit code."""
        kwargs["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # a terminal that lacks a character shows a question mark
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        try:
            code = super().main(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            _fail(error.format_message().rstrip(".") + hint)
        except click.Abort:  # Ctrl-C before the command began
            sys.exit(130)
        except BrokenPipeError:  # whoever read our output has seen enough
            _discard_output()
            sys.exit(1)
        except OSError as error:  # a full disk behind our standard output
            _fail(f"cannot write the output: {error.strerror}")
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, context: click.Context) -> Any:
        """Carry the command out; an error becomes its message, unless a traceback was asked for."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(130) from None
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if context.params["traceback"]:
                raise
            raise click.ClickException(_message(error)) from None


def _message(error: Exception) -> str:
    if isinstance(error, TinygradError):
        return str(error)
    if isinstance(error, OSError):
        return str(error.strerror or error) + (f": {error.filename}" if error.filename else "")
    if isinstance(error, MemoryError):
        return f"out of memory: {error or 'no more to be had'}; make the network or the batch smaller"
    return f"{type(error).__name__}: {error}; that was not foreseen, {TRACEBACK}=1 shows where it arose"


def _fail(message: str) -> NoReturn:
    try:
        sys.stdout.flush()
    except (OSError, AttributeError):  # full, or closed from the start
        _discard_output()
    click.echo("Error: " + " ".join(message.split()), err=True)
    sys.exit(2)


def _discard_output() -> None:
    """Let the interpreter flush what is left into nothing, not into a second error."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Interrupt:
    """True once Ctrl-C was pressed."""

    def __init__(self, at_once: bool) -> None:
        self.pressed = False
        self.at_once = at_once  #: nothing would be lost: Ctrl-C acts where it falls

    def __bool__(self) -> bool:
        return self.pressed


@contextmanager
def noted_interrupt(answer: str, at_once: bool = False) -> Iterator[Interrupt]:
    """No step is left half done: the first Ctrl-C is noted, to be looked at between steps; the second acts.

    The first is answered with a line at once, for a step may take long.
    """
    interrupt = Interrupt(at_once)

    def note(_signal: int, _frame: Any) -> None:
        interrupt.pressed = True
        signal.signal(signal.SIGINT, before)
        if interrupt.at_once:
            raise KeyboardInterrupt
        with suppress(OSError, AttributeError):  # no standard error, or nobody behind it
            os.write(sys.stderr.fileno(), f"{answer}; Ctrl-C again stops at once\n".encode())

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
