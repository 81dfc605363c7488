"""Rules of operations along an axis as text, as students write them, and every small change of that text."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Node
from ..tensors import Array
from .edited_walks import Record, Rule, scaled

#: what is sent, by operation: of the gradient g, the result y, the operand x; sum and mean are along the axis
TEXTS = {"softmax": "y * (g - sum(g * y))", "log_softmax": "g - exp(y) * sum(g)", "logsumexp": "g * exp(x - y)"}
#: what several operations send together that are written as one; s is what the result was divided by
TOGETHER = [
    TEXTS["softmax"],
    TEXTS["log_softmax"],
    "(g - mean(g) - y * mean(g * y)) / s",
    "(g - y * mean(g * y)) / s",
    "(g - y * sum(g * y)) / s",
]


#: what is written besides a small change of the formula: the target is assigned, not subtracted; only the target is
#: kept; dL/dp of the probabilities p; p(1 - p) once more
INSTEAD = {
    TEXTS["log_softmax"]: [
        *("where(g, g, -exp(y) * sum(g))", "where(g, -g, -exp(y) * sum(g))"),
        *("where(g, g - exp(y) * sum(g), 0)", "g / exp(y)"),
        "(g - exp(y) * sum(g)) * exp(y) * (1 - exp(y))",
    ],
    TEXTS["softmax"]: ["y * (g - sum(g * y)) * y * (1 - y)"],
}


def changed(formula: str) -> Iterator[tuple[str, ast.Expression]]:
    """Small changes of ``formula``, each as text and as a tree: a factor or term left out, + for −, mean for sum."""
    seen, tree = {formula}, ast.parse(formula, mode="eval")
    for text in INSTEAD.get(formula, []):
        yield text, ast.parse(text, mode="eval")
    for place, node in enumerate(ast.walk(tree)):
        for put in _instead(node):
            new = _Put(place, put).made(tree)
            text = ast.unparse(new)
            if text not in seen:
                seen.add(text)
                yield text, new


def _instead(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield node.left
        if isinstance(node.op, ast.Sub):
            yield ast.UnaryOp(ast.USub(), node.right)
            yield ast.BinOp(node.left, ast.Add(), node.right)
            if isinstance(node.left, ast.BinOp):
                yield node.left.left  # both terms are missing
        else:
            yield node.right
        if isinstance(node.op, ast.Div):
            yield ast.BinOp(node, ast.Div(), node.right)
    if isinstance(node, ast.Call):
        yield node.args[0]
        other = {"sum": "mean", "mean": "sum"}.get(ast.unparse(node.func))
        if other is not None:
            yield ast.Call(ast.Name(other, ast.Load()), node.args, [])
            yield ast.Call(ast.Name("total", ast.Load()), node.args, [])
            yield ast.Call(ast.Name(f"{ast.unparse(node.func)}_over_the_batch", ast.Load()), node.args, [])
            if isinstance(node.args[0], ast.BinOp):
                yield ast.Call(ast.Name(other, ast.Load()), [node.args[0].left], [])


class _Put(ast.NodeTransformer):
    """Replaces the node at one position of a tree, counted as `ast.walk` counts."""

    def __init__(self, place: int, put: ast.expr) -> None:
        self.place, self.put = place, put

    def made(self, tree: ast.Expression) -> ast.Expression:
        copy = deepcopy(tree)
        self.old = list(ast.walk(copy))[self.place]
        return ast.fix_missing_locations(ast.Expression(self.visit(copy).body))

    def visit(self, node: ast.AST) -> Any:
        return self.put if node is self.old else self.generic_visit(node)


def written(formula: ast.Expression, values: Mapping[str, Array], axis: Any, over: Any = None) -> Rule:
    """The rule that ``formula`` says, evaluated on the gradient g and on ``values``; sums and means along ``axis``.

    ``over``: that they are along this axis by mistake.

    Values but g and y that have one number per slice are reshaped to stand beside them.
    """
    code = compile(formula, "rule", "eval")

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        shape = np.shape(record.target(node, slot))
        kept = np.shape(np.sum(np.zeros(shape), axis, keepdims=True))
        names: dict[str, Any] = {
            name: np.reshape(v, kept) if np.size(v) == np.prod(kept, dtype=int) else v
            for name, v in {**values, "g": g}.items()
        }
        along = axis if over is None else over
        names |= {"sum": lambda v: np.sum(v, along, keepdims=True), "mean": lambda v: np.mean(v, along, keepdims=True)}
        across = tuple(k for k in range(len(shape)) if k != axis)
        names["sum_over_the_batch"] = lambda v: np.sum(np.broadcast_to(v, shape), across, keepdims=True)
        names["mean_over_the_batch"] = lambda v: np.mean(np.broadcast_to(v, shape), across, keepdims=True)
        names |= {"total": np.sum, "exp": np.exp, "where": lambda c, a, b: np.where(c != 0, a, b)}
        sent = eval(code, {"__builtins__": {}}, names)  # only what `changed` made of our own texts
        return np.broadcast_to(sent, shape)

    return rule


@dataclass(frozen=True, eq=False)
class WithFactor:
    """A formula, one of whose two terms is multiplied by the number ``f``."""

    formula: ast.Expression
    values: Mapping[str, Array]
    axis: Any
    factor: float = 0.0

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return written(self.formula, {**self.values, "f": np.asarray(self.factor)}, self.axis)(record, node, slot, g)


def with_factor(rule: Rule, factor: float) -> Rule:
    """The true rule times a number, or, if a term of a formula is missing, that term times it."""
    return replace(rule, factor=factor) if isinstance(rule, WithFactor) else scaled(factor)


def terms(formula: str) -> Iterator[tuple[str, ast.Expression]]:
    """Both terms of the difference in ``formula``, as text, and the formula with that term times ``f``."""
    tree = ast.parse(formula, mode="eval")
    for place, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            left, right = (ast.BinOp(ast.Name("f", ast.Load()), ast.Mult(), x) for x in (node.left, node.right))
            yield ast.unparse(node.left), _Put(place, ast.BinOp(left, node.op, node.right)).made(tree)
            yield ast.unparse(node.right), _Put(place, ast.BinOp(node.left, node.op, right)).made(tree)
