"""The line debugger: a session under the hand, in the manner of pdb.

It reads commands from a terminal or a pipe, one a line. On a terminal there are colours, completion with Tab and a
history; in a pipe each command is echoed after the prompt, so that the output reads like the session it was. Whatever
is typed, the session goes on: a command that cannot be carried out says why on one line.
"""

from __future__ import annotations

import cmd
import difflib
import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import IO

import tinygrad_rnn as tg
from tinygrad_rnn.errors import CallError, MissingPackageError

from ... import style
from ..inspection import Inspection
from ..step_sentences import what_if
from . import prompt
from .breakpoint_commands import Stopping
from .change_commands import Acting
from .formatting import Screen
from .move_commands import Moving
from .show_commands import Looking

GROUPS = {
    "move": "step back next nextt prevt until continue rcontinue goto start end forward",
    "stop": "break tbreak watch condition ignore enable disable delete",
    "look": "where list up down print whatis value grad jac vjp contrib norms sv split triangle path frontier origin "
    "check source display undisplay",
    "act": "set clip",
    "emit": "plot dot html save load",
    "leave": "help quit",
}
ALIASES = {
    "s": "step",
    "n": "next",
    "b": "break",
    "c": "continue",
    "rc": "rcontinue",
    "g": "goto",
    "w": "where",
    "l": "list",
    "u": "up",
    "d": "down",
    "p": "print",
    "h": "help",
    "q": "quit",
    "exit": "quit",
    "EOF": "quit",
    "bt": "path",
    "ledger": "contrib",
    "j": "jac",
    "v": "value",
    "nt": "nextt",
    "pt": "prevt",
    "tb": "tbreak",
    "?": "help",
}


class Debugger(Moving, Stopping, Looking, Acting, cmd.Cmd):
    """Reads commands and carries them out on ``session``; `run` is the loop."""

    prompt = "(bptt) "

    def __init__(self, session: Inspection, stdin: IO[str] | None = None, stdout: IO[str] | None = None) -> None:
        nothing = io.StringIO()  # in a program without a console both streams are None
        super().__init__(stdin=stdin or sys.stdin or nothing, stdout=stdout or sys.stdout or nothing)
        self.interactive = self.stdin.isatty() and self.stdout.isatty()
        self.use_rawinput = self.interactive
        self.screen = Screen(self.stdout)
        self.displays: list[str] = []
        self.open(session)

    def open(self, session: Inspection) -> None:
        """Look at another session; breakpoints belong to the old one and go with it."""
        self.session = session
        self.stops = {}
        self.selected = None

    # The loop --------------------------------------------------------------------------------------------

    def run(self, commands: Iterable[str] = ()) -> None:
        """Carry out ``commands``, then what is typed, until ``quit`` or the input's end. A closed pipe ends it too."""
        for stream in (self.stdin, self.stdout):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            self.greet()
            for line in commands:
                self.screen.say(f"{self.prompt}{style.visible(line)}")
                if self.onecmd(line):
                    return
            self._read()
        except BrokenPipeError:
            _drop(self.stdout)

    def _read(self) -> None:
        loop = self._typing() if self.interactive else self.cmdloop
        while True:
            try:
                loop()
                return
            except KeyboardInterrupt:  # at the prompt: a fresh line; the way out is quit or the input's end
                self.screen.say("")

    def _typing(self) -> Callable[[], None]:
        """A loop with completion and a history: prompt_toolkit's, else readline's, which Windows lacks."""
        try:
            ask = prompt.asker(self.completions)
        except MissingPackageError as missing:
            if not _readline_delimiters():
                self.screen.say((str(missing), "dim"))
            return self.cmdloop
        return lambda: self._converse(ask)

    def _converse(self, ask: Callable[[str], str]) -> None:
        ended = False
        while not ended:
            try:
                line = ask(self.prompt)
            except EOFError:
                line = "EOF"
            ended = self.onecmd(line)

    def greet(self) -> None:
        """Say what is being debugged, and where we are."""
        session = self.session
        trace, graph = session.trace, session.graph
        times = f", {len(graph.steps)} time steps" if graph.steps else ""
        self.screen.say(
            ("Backpropagation, one node at a time. ", "bold"),
            f"{len(session.forward)} operations forward, {len(trace)} steps back{times}. help lists the commands.",
        )
        if supposed := what_if(session):
            self.screen.say((supposed, "bold yellow"))
        if trace.every > 1:
            self.screen.say((f"A sample: one time step in {trace.every}; the others are summed up between.", "yellow"))
        self.show()

    def precmd(self, line: str) -> str:
        """Echo what came through a pipe."""
        if not self.interactive:
            self.stdout.write("\n" if line == "EOF" else style.visible(line.rstrip("\n")) + "\n")
        return line

    def onecmd(self, line: str) -> bool:
        """Carry out one line; problems end as one line of explanation."""
        try:
            name, argument, _ = self.parseline(line)
            if line == "EOF":
                if self.interactive:
                    self.screen.say("")
                return True
            if not name and not line.strip():
                return bool(self.emptyline())
            self.lastcmd = line
            return self._carry_out(name or "", (argument or "").strip(), line)
        except CallError as error:  # the line that a call stands in tells nothing here: a command was typed
            self.screen.error(error.detail)
        except tg.TinygradError as error:
            self.screen.error(str(error))
        except KeyboardInterrupt:
            self.screen.say(("interrupted", "yellow"))
        return False

    def _carry_out(self, name: str, argument: str, line: str) -> bool:
        return bool(self._action(name, line.strip().split()[0])(argument))

    def _action(self, name: str, typed: str) -> Callable[[str], bool | None]:
        """The command of this name or alias; an error says what else may have been meant by what was typed."""
        found: Callable[[str], bool | None] | None = getattr(self, f"do_{ALIASES.get(name, name)}", None)
        if found is None:
            near = difflib.get_close_matches(typed[:40], _commands(), 2)
            hint = f"did you mean {' or '.join(near)}?" if near else "help lists the commands"
            raise tg.ArgumentError(f"there is no command {style.shown(typed, 40)}; {hint}")
        return found

    def emptyline(self) -> bool:
        """Repeat the last command."""
        return self.onecmd(self.lastcmd) if self.lastcmd else False

    # Leaving and help ------------------------------------------------------------------------------------

    def do_quit(self, _argument: str) -> bool:
        """quit: leave the debugger."""
        return True

    def do_help(self, argument: str) -> None:
        """help [COMMAND]: the list of commands, or how to use one."""
        if argument:
            described = self._action(argument, argument).__doc__ or ""
            for number, text in enumerate(described.strip().split("\n")):
                self.screen.say((text.strip() if number == 0 else "    " + text.strip(), "bold" if number == 0 else ""))
            word = ALIASES.get(argument, argument)
            short = [alias for alias, name in ALIASES.items() if name == word and alias not in ("EOF", "?")]
            if short:
                self.screen.say(("    short: " + ", ".join(short), "dim"))
            return
        for group, names in GROUPS.items():
            for line in textwrap.wrap(names, 90):
                self.screen.say((f"{group:6}", "bold"), line)
                group = ""
        self.screen.say("help COMMAND tells how to use it; an empty line repeats the last command.")
        self.screen.say("NODE is a name such as h_3, f_2, l1.c_4, weight_hh_l0, or #12; without it, the current node.")

    # Completion ------------------------------------------------------------------------------------------

    def completions(self, before: str) -> list[str]:
        """Completions of the last word of the line ``before``: commands, or the things that its command is about."""
        line = before.lstrip()
        name, space, _ = line.partition(" ")
        if not space:
            return self.completenames(line)
        text = line.rpartition(" ")[2]
        about = getattr(self, f"complete_{ALIASES.get(name, name)}", self.completedefault)
        found: list[str] = about(text, line, len(line) - len(text), len(line))
        return found

    def completenames(self, text: str, *_ignored: object) -> list[str]:
        """Commands that begin with ``text``."""
        return [f"{name} " for name in _commands() if name.startswith(text)]

    def completedefault(self, text: str, *_ignored: object) -> list[str]:
        """Nodes that begin with ``text``."""
        return self.session.names.starting(text)

    def complete_help(self, text: str, *_ignored: object) -> list[str]:
        """Commands, for help."""
        return [name for name in _commands() if name.startswith(text)]

    def complete_set(self, text: str, *_ignored: object) -> list[str]:
        """Words that `set` takes, and nodes."""
        return [word for word in ("grad ", "reset") if word.startswith(text)] + self.session.names.starting(text)

    def complete_break(self, text: str, line: str = "", begin: int = 0, _end: int = 0) -> list[str]:
        """Nodes and kinds of breakpoints; after op the operations there are."""
        if line[:begin].split()[1:] == ["op"]:
            operations = {node.op.name for node in self.session.graph.nodes if node.op}
            return sorted(name for name in operations if name.startswith(text))
        kinds = ["op ", "t ", "nan", "inf", "nonfinite", "norm ", "if "]
        return [kind for kind in kinds if kind.startswith(text)] + self.session.names.starting(text)

    complete_tbreak = complete_until = complete_break


def _commands() -> list[str]:
    return [name for names in GROUPS.values() for name in names.split()]


def _readline_delimiters() -> bool:
    """Let Tab complete names with dots and colons in them; False where there is no readline."""
    try:
        import readline
    except ImportError:
        return False
    readline.set_completer_delims(" \t\n")
    return True


def _drop(stream: IO[str]) -> None:
    """Nobody reads any more: let what is still buffered go nowhere instead of failing at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError, AttributeError):
        return


def run(
    session: Inspection, commands: Iterable[str] = (), stdin: IO[str] | None = None, stdout: IO[str] | None = None
) -> None:
    """Start the line debugger on a session."""
    Debugger(session, stdin, stdout).run(commands)
