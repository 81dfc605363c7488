"""Conditions a person types, such as ``norm > 1 and t == 3``, computed without running any of it as Python.

The text is parsed and only numbers, strings, the names below, comparisons, ``and or not in`` and ``+ - * /`` are
understood; anything else is refused when the condition is entered.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.local_rule import saturated
from tinygrad_rnn.bptt.statistics import measure, ratio

from .. import style
from .inspection import Inspection

LENGTH_LIMIT = 400

#: What a condition may speak of: the gradient of the step (forward: the value), and where the step is.
NAMES = {
    "k": "position: step of the walk back, negative in the forward pass",
    "t": "time step, from 1; none outside the recurrence",
    "norm": "length of the complete gradient (forward: of the value)",
    "ratio": "norm sent on, all operands together, over norm received",
    "min": "smallest element",
    "max": "largest element",
    "nan": "how many elements are nan",
    "inf": "how many are infinite",
    "zero": "how many are 0",
    "size": "how many elements there are",
    "saturated": "part of the elements of a nonlinearity (tanh, sigmoid, relu, ...) that is saturated, else 0",
    "uses": "how many contributions arrived",
    "op": "operation, such as 'tanh'; 'leaf'",
    "role": "'h', 'c', 'f', ... or ''",
    "name": "the node's name",
    "layer": "such as 'l0'",
    "phase": "'forward', 'loss' or 'backward'",
}

#: Those that are texts; all others are numbers.
TEXTS = {"op", "role", "name", "layer", "phase"}

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Condition:
    """A condition, checked when it is made."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        if len(self.text) > LENGTH_LIMIT:
            raise tg.ArgumentError(f"a condition has at most {LENGTH_LIMIT} characters")
        try:
            self._tree = ast.parse(self.text, mode="eval").body
            _check(self._tree)
        except tg.ArgumentError:
            raise
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            why = "it is not an expression such as norm > 1 and t == 3"
            raise tg.ArgumentError(f"cannot use the condition: {why}") from None

    def holds(self, session: Inspection, position: int) -> bool:
        """Whether it is true there; a comparison with something that is not there (t outside time) is false."""
        try:
            return bool(_value(self._tree, _Facts(session, position)))
        except (TypeError, ZeroDivisionError, OverflowError):
            return False


class _Facts:
    """The names' values at a position, computed when asked for."""

    def __init__(self, session: Inspection, position: int) -> None:
        self.session, self.position = session, position
        self.node = session.graph.nodes[session.node_at(position)]

    def __getitem__(self, name: str) -> Any:
        place = {
            "k": self.position,
            "t": None if self.node.scope.step is None else self.node.scope.step + 1,
            "op": self.node.op.name if self.node.op else "leaf",
            "role": self.node.role or "",
            "name": self.session.names[self.node.index],
            "layer": ".".join(self.node.scope.path),
            "phase": "forward" if self.position < 0 else "backward" if self.position else "loss",
        }
        if name in place:
            return place[name]
        if name == "uses":
            return self.session.arrived(self.node.index, self.position)[0]
        if name == "saturated":
            return saturated(self.session.trace, self.node) or 0.0
        gradient = self.session.gradient(self.node.index, self.position) if self.position >= 0 else self.node.value
        found = measure(np.asarray(gradient))
        if name == "ratio":
            sent = range(len(self.session.trace.steps[self.position - 1].contributions)) if self.position > 0 else ()
            norms = [measure(self.session.trace.contribution(self.position, i)).norm for i in sent]
            return ratio(style.norm(norms), found.norm)
        return getattr(found, {"min": "smallest", "max": "largest", "inf": "infinite"}.get(name, name))


def _check(tree: ast.AST) -> str:
    """Refuse what is not understood or could never be evaluated; returns what it is, a number or a text."""
    if isinstance(tree, ast.Name):
        if tree.id not in NAMES:
            near = difflib.get_close_matches(tree.id[:40], NAMES, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"it may speak of {', '.join(NAMES)}"
            raise tg.ArgumentError(f"{tree.id[:40]} is not known; {hint}")
        return "text" if tree.id in TEXTS else "number"
    if isinstance(tree, ast.Constant) and isinstance(tree.value, (int, float, str)):
        return "text" if isinstance(tree.value, str) else "number"
    if isinstance(tree, ast.BoolOp):
        for child in tree.values:
            _check(child)
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.Not, ast.USub)):
        if _check(tree.operand) == "text" and isinstance(tree.op, ast.USub):
            raise tg.ArgumentError(f"{_said(tree)}: a text has no negative")
    elif isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        if "text" in (_check(tree.left), _check(tree.right)):
            raise tg.ArgumentError(f"{_said(tree)}: one calculates with numbers, not with texts")
        fixed = not any(isinstance(part, ast.Name) for part in ast.walk(tree.right))
        if isinstance(tree.op, ast.Div) and fixed and not _value(tree.right, {}):
            raise tg.ArgumentError(f"{_said(tree)}: nothing can be divided by 0")
    elif isinstance(tree, ast.Compare) and all(type(op) in _OPERATORS for op in tree.ops):
        sides = [tree.left, *tree.comparators]
        _check_quotes(tree, sides)
        kinds = [_check(side) for side in sides]
        for op, left, right, before, after in zip(tree.ops, kinds, kinds[1:], sides, sides[1:]):
            if left != right:
                said = f"{_said(before)} is a {left} and {_said(after)} a {right}"
                raise tg.ArgumentError(f"{said}: they cannot be compared, so it would never be true")
            if isinstance(op, (ast.In, ast.NotIn)) and right != "text":
                raise tg.ArgumentError(f"{_said(after)} is a number: nothing is in it")
    else:
        raise tg.ArgumentError("only names, numbers, strings, comparisons, and, or, not, in, + - * / are understood")
    return "number"


def _check_quotes(tree: ast.Compare, sides: Sequence[ast.expr]) -> None:
    """Say what to write where a text has no quotes: ``role == f``."""
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    unknown = [name for name in names if name not in NAMES]
    if unknown and TEXTS.intersection(names):
        quoted = [
            ast.Constant(side.id) if isinstance(side, ast.Name) and side.id in unknown else side for side in sides
        ]
        written = _said(ast.Compare(quoted[0], tree.ops, quoted[1:]))
        raise tg.ArgumentError(f"{unknown[0][:40]} is not known; a text stands in quotes: {written}")


def _said(tree: ast.AST) -> str:
    return style.shown(ast.unparse(tree), 40)


def _value(tree: ast.AST, facts: _Facts | dict[str, Any]) -> Any:
    if isinstance(tree, ast.Name):
        return facts[tree.id]
    if isinstance(tree, ast.Constant):
        return tree.value
    if isinstance(tree, ast.BoolOp):
        values = (_value(child, facts) for child in tree.values)
        return all(values) if isinstance(tree.op, ast.And) else any(values)
    if isinstance(tree, ast.UnaryOp):
        operand = _value(tree.operand, facts)
        return not operand if isinstance(tree.op, ast.Not) else -operand
    if isinstance(tree, ast.BinOp):
        return _OPERATORS[type(tree.op)](_number(_value(tree.left, facts)), _number(_value(tree.right, facts)))
    assert isinstance(tree, ast.Compare)
    left = _value(tree.left, facts)
    for op, comparator in zip(tree.ops, tree.comparators):
        right = _value(comparator, facts)
        if not _OPERATORS[type(op)](left, right):
            return False
        left = right
    return True


def _number(value: Any) -> float:
    """Arithmetic is for numbers, so that nobody multiplies a string by a billion."""
    if not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)
