"""Equations, those that repeat from step to step written once, and the documents they are printed in."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import DataError
from tinygrad_rnn.files import PathLike, as_path, write_atomically
from tinygrad_rnn.optional_packages import needed

from .. import style
from .closed_form import ClosedForm, closed_form
from .expression import Expression, Symbol, operations, parts
from .formula_text import NOTHING, Latex, Text, steps_told, ways_to_count

_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation, ``left = right``."""

    left: Symbol
    right: Expression
    node: int  #: position in `Derivation.graph` of the value, or of the value whose gradient this is
    site: str | None  #: the source line that made it
    steps: tuple[int, ...] | None = None  #: the time steps it holds for, if it is written for a step t
    counted: int = NOTHING  #: whether indices, also numbers that are compared, or all, count on from step to step
    gathered: bool = False  #: whether terms that repeat from step to step are written once
    fixed: Set[Symbol] = frozenset()  #: what it reads of one step whatever its own is

    @property
    def text(self) -> str:
        """``dL/dh_3 = dy_3 @ W_hy + (dh_4 * (1 - h_4**2)) @ W_hh``; the right side is Python."""
        return self._written(Text)

    @property
    def latex(self) -> str:
        """As a blackboard has it."""
        return self._written(Latex)

    def _written(self, kind: type[Text]) -> str:
        step = self.left.step if self.steps else None
        writer = kind(step, counted=self.counted, gathered=self.gathered, fixed=self.fixed)
        return f"{writer.left(self.left)} = {writer(self.right)}"

    @cached_property
    def _has_sums(self) -> bool:
        """Whether several things are added up or put together, maybe over time."""
        return any(x.op in ("+", "stack", "concat") and len(x.args) > 2 for x in operations(self.right))

    @property
    def name(self) -> str:
        """The name of its value on the right side of other lines."""
        return Text()(self.left)


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
        groups: dict[tuple[Any, ...], list[Equation]] = {}
        for line in self.lines:
            ways = ways_to_count(line.right) if line.left.step is not None else []
            shared = read[line.left.stem, line.left.gradient]
            for fixed in (frozenset[Symbol](), shared) if shared else (frozenset[Symbol](),):
                for gathered, counted in product((False, True) if line._has_sums else (False,), ways):
                    text = Text(line.left.step, counted=counted, gathered=gathered, fixed=fixed)(line.right)
                    kind = (bool(fixed), gathered, counted, line.left.stem, line.left.gradient, text)
                    groups.setdefault(kind, []).append(line)
        runs: dict[int, Equation] = {}
        for (apart, gathered, counted, stem, of, _), group in sorted(
            groups.items(), key=lambda item: (-len(item[1]), item[0][:3])
        ):
            group = [line for line in group if id(line) not in runs]
            if len(group) > 1:
                steps = tuple(sorted(line.left.step or 0 for line in group))
                fixed = read[stem, of] if apart else frozenset()
                run = replace(group[0], steps=steps, counted=counted, gathered=gathered, fixed=fixed)
                runs |= dict.fromkeys(map(id, group), run)
        return tuple(dict.fromkeys(runs.get(id(line)) or replace(line, gathered=True) for line in self.lines))

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
        steps = f"t = {steps_told(line.steps)}" if line.steps else ""
        return ", ".join(filter(None, [steps, f"node #{line.node}", style.visible(line.site or "")]))

    def latex(self, *, every_step: bool = False) -> str:
        r"""The equations as an ``aligned`` environment."""
        rows = []
        for line in self.lines if every_step else self.recurrence:
            left, right = line.latex.split(" = ", 1)
            steps = rf" && t = {steps_told(line.steps, latex=True)}" if line.steps else ""
            rows.append(rf"{left} &= {right}{steps}")
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
