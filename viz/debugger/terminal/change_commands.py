"""Commands that change what is looked at, or write it out."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.recording import Trace
from tinygrad_rnn.bptt.statistics import measure

from ... import style
from ...graph.render import render
from ..inspection import Inspection
from ..web import page
from .formatting import norm
from .overview_commands import Overview


class Acting(Overview):
    """Commands that change a gradient or write a file; each method is one, its docstring the help for it."""

    def do_set(self, argument: str) -> None:
        """set grad NODE VALUE: what if that node's gradient had been VALUE (a number, or a list of its shape)?
        The rest is propagated anew, and the leaves whose gradients change are listed. set reset undoes it."""
        session = self.session
        if argument == "reset":
            session.reset()
            self.screen.say("  the walk is as it was recorded")
            return
        asked = re.fullmatch(r"grad\s+(\S.*?)\s+(\[.*|\S+)", argument, re.DOTALL)
        if asked is None:
            raise tg.ArgumentError("set grad NODE VALUE, such as set grad c_2 0, or set reset")
        node, before = session.names.find(asked[1]), session.trace
        session.what_if(node, _literal(asked[2]))
        shown = style.shown(asked[2], 60)
        self.screen.say(f"  what if the gradient of {session.shown(node)} were {shown}:")
        rows = []
        for leaf in session.graph.parameters:
            old, new = before.gradient(leaf.index), session.trace.gradient(leaf.index)
            if old is not None and new is not None and old.tobytes() != new.tobytes():
                with np.errstate(invalid="ignore"):
                    difference = measure(np.asarray(new, np.float64) - np.asarray(old, np.float64)).norm
                lengths = measure(old).norm, measure(new).norm, difference
                rows.append((session.names.both(leaf.index), *map(norm, lengths)))
        if rows:
            self.screen.table(("leaf", "norm before", "norm now", "norm of the difference"), rows)
        else:
            self.screen.say("  no leaf's gradient changes")
        self.screen.say(("  set reset brings the recorded walk back", "dim"))

    def do_clip(self, argument: str) -> None:
        """clip MAX_NORM: what clipping all finished gradients to that norm would do; nothing is changed."""
        try:
            limit = float(argument)
        except ValueError:
            limit = math.nan
        found = self.session.clip(limit) if limit == limit else None
        if found is None:
            raise tg.ArgumentError(f"clip wants the largest norm to allow, such as clip 1.0, not {argument[:40]!r}")
        verdict = f"scaled by {style.number(found.scale)}" if not found.scale >= 1 else "left as they are"
        lengths = f"norm of all together {style.number(found.norm)}, threshold {style.number(limit)}"
        self.screen.say(f"  {lengths}: ", (verdict, "bold"))
        rows = [(row.name, norm(row.before), norm(row.after)) for row in found.rows]
        self.screen.table(("parameter", "before", "after"), rows)

    def do_plot(self, argument: str) -> None:
        """plot [NODE] [FILE]: gradient norms along time; of a weight, what each time step adds to it.
        As bars here, or as a figure in FILE (.svg, .png or .pdf by its ending)."""
        words = argument.split()
        if words and re.search(r"\.(svg|png|pdf)$", words[-1]):
            from ..figure import plot

            node = self.node(words[0]) if len(words) > 1 else None
            self._write(lambda file: plot(self.session, node, file), words[-1], "plot norms.svg")
        else:
            self.onecmd(f"contrib {argument}" if argument else "norms")

    def do_html(self, argument: str) -> None:
        """html FILE: write everything as one page for a browser, which opens at this step and needs no network."""
        self._write(lambda file: page.write(self.session, file), argument, "html walk.html")

    def do_dot(self, argument: str) -> None:
        """dot FILE: draw the graph, every operation, into FILE (.svg, .png, .pdf, .dot or .json by its ending)."""
        self._write(lambda file: render(self.session.graph, file, detail="op"), argument, "dot graph.svg")

    def do_save(self, argument: str) -> None:
        """save FILE: write this walk, to be looked at again with load, or given as a target."""
        self._write(self.session.trace.save, argument, "save walk.trace")

    def do_load(self, argument: str) -> None:
        """load FILE: look at a walk that save wrote, instead of this one."""
        if not argument:
            raise tg.ArgumentError("load wants a file that save wrote")
        self.open(Inspection(Trace.load(argument)))
        self.show()

    def _write(self, write: Callable[[str], object], file: str, example: str) -> None:
        if not file:
            raise tg.ArgumentError(f"{example.split()[0]} wants a file to write, such as {example}")
        write(file)
        self.screen.say(f"  wrote {style.visible(file)}")


def _literal(text: str) -> Any:
    """A number, nan, inf, or nested lists of numbers; nothing else is read."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        value = np.asarray(ast.literal_eval(text[:100_000]), np.float64)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise tg.ArgumentError(f"{style.shown(text, 40)} is not a number or a list of numbers") from None
    return value
