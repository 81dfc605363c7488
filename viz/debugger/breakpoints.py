"""Breakpoints and watchpoints: where to stop on the way."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.statistics import measure
from tinygrad_rnn.primitives import TABLE

from .. import style
from .breakpoint_conditions import Condition
from .inspection import Inspection

Test = Callable[[Inspection, int], str | None]


@dataclass
class Stop:
    """A breakpoint; ``test`` says why to stop at a position, or None."""

    number: int
    text: str
    test: Test
    condition: Condition | None = None
    temporary: bool = False
    enabled: bool = True
    ignore: int = 0
    hits: int = 0

    def reason(self, session: Inspection, position: int) -> str | None:
        """The reason to stop at ``position``, None if there is none; counts the hit."""
        if not self.enabled:
            return None
        why = self.test(session, position)
        if why is None or (self.condition is not None and not self.condition.holds(session, position)):
            return None
        self.hits += 1
        if self.ignore:
            self.ignore -= 1
            return None
        also = f", and {self.condition.text}" if self.condition is not None and why else ""
        return f"breakpoint {self.number}: {why}{also}" if why else f"breakpoint {self.number}"

    def __str__(self) -> str:
        notes = [f"if {self.condition.text}"] if self.condition is not None and not self.text.startswith("if ") else []
        notes += (["once"] if self.temporary else []) + (["disabled"] if not self.enabled else [])
        notes += [f"ignored {self.ignore} times more"] if self.ignore else []
        notes += [f"hit {self.hits} times"] if self.hits else []
        return f"{self.number}: {self.text}" + (f" ({', '.join(notes)})" if notes else "")


def parse(session: Inspection, text: str) -> tuple[str, Test, Condition | None]:
    """A stop from what follows ``break``: a node, ``op tanh``, ``t 3``, ``nan``, ``norm > 10``, ``if CONDITION``.

    All but the last may be followed by ``if CONDITION``.
    """
    what, has_condition, rest = (f" {text.strip()} ").partition(" if ")
    what, condition = what.strip(), Condition(rest) if has_condition else None
    if not what:
        if condition is None:
            kinds = "a node, op NAME, t 3, nan, inf, nonfinite, norm > 1, if CONDITION"
            raise tg.ArgumentError(f"it wants a place: {kinds}")
        return f"if {condition.text}", lambda s, p: _says(condition, s, p), None
    if what in ("nan", "inf", "nonfinite"):
        return what, lambda s, p: _not_finite(s, p, what), condition
    if match := re.fullmatch(r"norm\s*(>=|<=|>|<|above|below)\s*(\S+)", what):
        sign = {"above": ">", "below": "<"}.get(match[1], match[1])
        limit = Condition(f"norm {sign} {_number(match[2])}")
        return limit.text, lambda s, p: _says(limit, s, p), condition
    if match := re.fullmatch(r"t\s*[= ]=?\s*(\d{1,9})", what):
        time = int(match[1]) - 1
        if time not in session.graph.steps:
            raise tg.ArgumentError(f"there is no time step {match[1]}; {_times(session)}")
        return f"t={time + 1}", lambda s, p: _enters(s, p, time), condition
    if match := re.fullmatch(r"op[\s:=]+(\w+)", what):
        return f"op {match[1]}", _operation(session, match[1]), condition
    node = session.names.find(what)
    session.turn_of(node)
    name = session.shown(node)
    return name, lambda s, p: f"{name} has its turn" if s.node_at(p) == node and p else None, condition


def watch(session: Inspection, node: int) -> Test:
    """Stop whenever something arrives at the gradient of ``node``."""
    name = session.shown(node)

    def test(s: Inspection, position: int) -> str | None:
        if position <= 0:
            return None
        before, (now, expected) = s.arrived(node, position - 1)[0], s.arrived(node, position)
        if now == before:
            return None
        gradient = s.gradient(node, position)
        norm = "" if gradient is None else f", norm {style.number(measure(gradient).norm)}"
        return f"the gradient of {name} changed: {now} of {expected} arrived{norm}"

    return test


def _says(condition: Condition, session: Inspection, position: int) -> str | None:
    return condition.text if condition.holds(session, position) else None


def _operation(session: Inspection, name: str) -> Test:
    used = {node.op.name for node in session.graph.nodes if node.op}
    if name not in used:
        known = "is not used in this graph" if name in TABLE else "is no operation"
        near = difflib.get_close_matches(name[:40], used, 2, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it uses {', '.join(sorted(used)[:12])}"
        raise tg.ArgumentError(f"{name[:40]} {known}; {hint}")

    def test(s: Inspection, position: int) -> str | None:
        op = s.graph.nodes[s.node_at(position)].op
        return f"{name}" if op is not None and op.name == name else None

    return test


def _enters(session: Inspection, position: int, time: int) -> str | None:
    """The first position of a time step, coming from either side."""
    nodes = session.graph.nodes
    if nodes[session.node_at(position)].scope.step != time:
        return None
    neighbours = [p for p in (position - 1, position + 1) if session.first <= p <= session.last]
    inside = [nodes[session.node_at(p)].scope.step == time for p in neighbours]
    return f"time step {time + 1}" if not all(inside) else None


def _not_finite(session: Inspection, position: int, what: str) -> str | None:
    node = session.graph.nodes[session.node_at(position)]
    arrays = [np.asarray(node.value)] if position <= 0 else [session.trace.steps[position - 1].gradient]
    if position > 0:
        sent = range(len(session.trace.steps[position - 1].contributions))
        arrays += [session.trace.contribution(position, i) for i in sent]
    measures = [measure(array) for array in arrays if not np.isfinite(array).all()]
    nan, infinite = any(m.nan for m in measures), any(m.infinite for m in measures)
    found = {"nan": nan, "inf": infinite, "nonfinite": nan or infinite}[what]
    return f"{'nan' if nan and what != 'inf' else 'inf'} in {session.shown(node.index)}" if found else None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise tg.ArgumentError(f"{text[:40]} is not a number a norm can be compared with")
    return value


def _times(session: Inspection) -> str:
    steps = session.graph.steps
    return f"they go from {steps[0] + 1} to {steps[-1] + 1}" if steps else "this graph has none"
