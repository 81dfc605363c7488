"""Equations, those that repeat from step to step written once, and the documents they are printed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import DataError
from tinygrad_rnn.files import PathLike, as_path, write_atomically
from tinygrad_rnn.optional_packages import needed

from .. import style
from .closed_form import ClosedForm, closed_form
from .expression import Expression, Symbol, operations, parts
from .formula_text import NOTHING, Latex, Text, blocks, steps_told, ways_to_count

_HERE = Path(__file__).parent


class Way(NamedTuple):
    """A way to write an equation."""

    gathered: bool = False  #: whether terms that repeat from step to step are written once
    counted: int = NOTHING  #: which numbers in it count on from step to step
    for_step: bool = False  #: whether it is written for a step t
    for_repetition: bool = False  #: and for a repetition k inside of a step
    stride: int = 0  #: the number of these, if it is the same in all steps
    fixed: Set[Symbol] = frozenset()  #: what it reads of one step whatever its own is


AS_IT_IS, ONCE = Way(), Way(gathered=True)


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation, ``left = right``."""

    left: Symbol
    right: Expression
    node: int  #: position in `Derivation.graph` of the value, or of the value whose gradient this is
    site: str | None  #: the source line that made it
    steps: tuple[int, ...] | None = None  #: the time steps it holds for, if it is written for a step t
    inner: tuple[int, ...] | None = None  #: repetitions inside of a step, if it is written for a repetition k
    way: Way = AS_IT_IS

    @property
    def text(self) -> str:
        """``dL/dh_3 = dy_3 @ W_hy + (dh_4 * (1 - h_4**2)) @ W_hh``; the right side is Python."""
        return self.written(self.way)

    @property
    def latex(self) -> str:
        """As a blackboard has it."""
        return self.written(self.way, Latex)

    def written(self, way: Way, kind: type[Text] = Text) -> str:
        """The text of it in one of its `ways`."""
        writer = kind(
            self.left.step if way.for_step else None,
            inner=self.left.inner if way.for_repetition else None,
            counted=way.counted,
            stride=way.stride,
            gathered=way.gathered,
            fixed=way.fixed,
        )
        return f"{writer.left(self.left)} = {writer(self.right)}"

    def ways(self, shared: Set[Symbol], stride: int) -> Iterator[Way]:
        """The ways in which it may be written for several times; ``shared``: what all equations of its kind read."""
        if self.left.step is None:
            return
        times = [(True, False)] if self.left.inner is None else [(True, True), (True, False), (False, True)]
        for fixed in (frozenset[Symbol](), shared) if shared else (frozenset[Symbol](),):
            for gathered in (False, True) if self._has_sums else (False,):
                for time in times:
                    for counted in ways_to_count(self.right, inside=all(time)):
                        yield Way(gathered, counted, *time, stride, fixed)

    def about(self, *, latex: bool = False) -> list[str]:
        """For which times it holds: ``t = 1..3``, ``k = 1..2``."""
        ranges = ("t", self.steps), ("k", self.inner)
        return [f"{letter} = {steps_told(own, latex=latex)}" for letter, own in ranges if own]

    @cached_property
    def _has_sums(self) -> bool:
        """Whether several things are added up or put together, maybe over time."""
        return any(x.op in ("+", "stack", "concat") and len(x.args) > 2 for x in operations(self.right))

    @property
    def name(self) -> str:
        """The name of its value on the right side of other lines."""
        return Text()(self.left)


def _several(times: Iterable[int | None]) -> tuple[int, ...] | None:
    """Different times in their order; None if there are not several."""
    found = tuple(dict.fromkeys(n for n in times if n is not None))
    return found if len(found) > 1 else None


def _modules(values: dict[str, Any]) -> dict[str, Any]:
    """By its name what has those values as attributes whose names have dots: ``z`` of ``z.weight``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        (*path, last), own = name.split("."), found
        for part in path:
            own = vars(own.setdefault(part, SimpleNamespace()))
        if path:
            own[last] = value
    return found


class Derivation:
    """The equations of a loss and of its gradients. Prints itself as text, and typeset in a notebook.

    ``lines``: every equation, the network's own in the order it computes, then the gradients' from the loss back;
    ``recurrence``: the same, those that repeat from step to step written once.
    """

    def __init__(self, graph: tg.Graph, lines: Sequence[Equation], values: dict[str, Any]) -> None:
        self.graph = graph  #: of the loss
        self.lines = tuple(lines)
        #: the array behind every name, ``h_3``, and ``dh_3`` for its gradient; what has attributes beside them
        self.values = values | _modules(values)

    @cached_property
    def recurrence(self) -> tuple[Equation, ...]:
        """The equations that repeat, written for a step t."""
        read: dict[tuple[str, bool], Set[Symbol]] = {}
        for line in self.lines:  # by all equations of a kind
            key, own = (line.left.stem, line.left.gradient), read.get((line.left.stem, line.left.gradient))
            if own is None or own:
                timed = {symbol for symbol in parts(line.right) if symbol.step is not None}
                read[key] = timed if own is None else own & timed
        repeated: dict[str, dict[int | None, set[int]]] = {}
        for line in self.lines:
            if line.left.inner:
                repeated.setdefault(line.left.stem, {}).setdefault(line.left.step, set()).add(line.left.inner)
        strides = {stem: len(own.popitem()[1]) for stem, own in repeated.items() if len({*map(len, own.values())}) == 1}
        groups: dict[tuple[Any, ...], dict[int, Way]] = {}
        for n, line in enumerate(self.lines):
            for way in line.ways(read[line.left.stem, line.left.gradient], strides.get(line.left.stem, 0)):
                kind = bool(way.fixed), *way[:4], line.left.stem, line.left.gradient, line.written(way)
                groups.setdefault(kind, {})[n] = way
        runs: dict[int, Equation] = {}
        for _, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0][:5])):
            left = {(line.left.step, line.left.inner): n for n in group if n not in runs for line in [self.lines[n]]}
            for block in blocks(sorted(left, key=lambda when: (when[0] or 0, when[1] or 0))):
                if len(block) > 1:
                    members = [left[when] for when in block]
                    way, times = group[min(members)], [*map(_several, zip(*block))]
                    steps, inner = times[0] if way.for_step else None, times[1] if way.for_repetition else None
                    way = way._replace(for_step=steps is not None, for_repetition=inner is not None)
                    runs |= dict.fromkeys(members, replace(self.lines[min(members)], steps=steps, inner=inner, way=way))
        return tuple(dict.fromkeys(runs.get(n) or replace(line, way=ONCE) for n, line in enumerate(self.lines)))

    def closed_form(self) -> ClosedForm:
        """The recurrence of the carried state's gradient solved: a sum over later losses of products of Jacobians.

        These are matrices of blocks where the state has several parts, such as an LSTM's; recurrences that have
        nothing to do with one another have a closed form each, in ``also``. Raises `GraphError` if no
        state is carried from step to step.

        >>> import tinygrad_rnn as tg, viz
        >>> W = tg.tensor([[0.5]], requires_grad=True, name="W")
        >>> h, loss = tg.ones(1, 1), 0.0
        >>> for t in tg.steps(3):
        ...     h = tg.nn.labelled((h @ W).tanh(), "h")
        ...     loss = loss + h.sum()
        >>> print(viz.derive(loss).closed_form())
        dh_t/dh_(t-1) = diag(1 - h_t**2) @ W.T
        dL_t/dh_t = 1
        dL/dh_t = sum(dL_k/dh_k @ dh_k/dh_(k-1) @ ... @ dh_(t+1)/dh_t for k=t..3)
        """
        symbols = {symbol for line in self.lines for symbol in (line.left, *parts(line.right))}
        shapes = {symbol: np.shape(self.values[Text()(symbol)]) for symbol in symbols}
        return closed_form({line.left: line.right for line in self.lines if line.left.gradient}, shapes)

    def text(self, *, every_step: bool = False) -> str:
        """The equations, one a line, each with the node it belongs to and where that was made."""
        lines = self.lines if every_step else self.recurrence
        written = [line.text for line in lines]
        width = min(max(map(len, written), default=0), 76)
        shown: list[str] = []
        for backward, heading in ((False, "The network"), (True, "Its gradients, from the loss back")):
            shown += ["", heading]
            shown += [
                f"  {text:<{width}}  # {self._about(line)}"
                for line, text in zip(lines, written)
                if line.left.gradient == backward
            ]
        return "\n".join(shown[1:])

    def _about(self, line: Equation) -> str:
        return ", ".join(filter(None, [*line.about(), f"node #{line.node}", style.visible(line.site or "")]))

    def latex(self, *, every_step: bool = False) -> str:
        r"""The equations as an ``aligned`` environment."""
        rows = []
        for line in self.lines if every_step else self.recurrence:
            left, right = line.latex.split(" = ", 1)
            about = r",\; ".join(line.about(latex=True))
            rows.append(rf"{left} &= {right}{' && ' if about else ''}{about}")
        return "\\begin{aligned}\n" + " \\\\[4pt]\n".join(rows) + "\n\\end{aligned}"

    def __str__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def save(self, path: PathLike, *, every_step: bool = False) -> Derivation:
        """Write ``.txt``, ``.tex`` (a document), or ``.html`` (a page with the graph, each line linked to its node).

        Returns the derivation.
        """
        target = as_path(path)
        suffix = target.suffix.lower()
        if suffix == ".txt":
            content = self.text(every_step=every_step) + "\n"
        elif suffix == ".tex":
            content = _DOCUMENT % self.latex(every_step=every_step)
        elif suffix == ".html":
            content = self._page(every_step)
        else:
            raise DataError(f"equations are written as .txt, .tex or .html, not {target.suffix or target.name!r}")
        write_atomically(target, content.encode())
        return self

    def _page(self, every_step: bool) -> str:
        with needed("a page", "html"):
            from jinja2 import Environment, FileSystemLoader
            from markupsafe import Markup

        from ..graph.render import render
        from ..mathml import mathml

        environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
        svg = render(self.graph, detail="op").svg
        places = {int(node): place for place, node in re.findall(r'id="([nw](\d+)(?:_s\d+_t\d+)?)"', svg)}
        lines = [
            (line, Markup(mathml(line.latex)), self._about(line), places.get(line.node))
            for line in (self.lines if every_step else self.recurrence)
        ]
        return environment.get_template("page.html").render(lines=lines, picture=Markup(svg[svg.index("<svg") :]))


_DOCUMENT = r"""\documentclass{article}
\usepackage{amsmath}
\usepackage[landscape,margin=15mm]{geometry}
\begin{document}
\[
%s
\]
\end{document}
"""
