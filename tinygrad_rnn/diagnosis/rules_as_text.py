"""Rules of operations along an axis, as a student writes them down, and every small change of that text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from ..graph import Node
from ..tensors import Array
from .edited_walks import Record, Rule

#: what is sent, by operation: of the gradient g, the result y, the operand x; Σ and mean are along the axis
TEXTS = {
    "softmax": "y * (g - sum(g * y))",
    "log_softmax": "g - exp(y) * sum(g)",
    "logsumexp": "g * exp(x - y)",
}


def changed(op: str) -> Iterator[tuple[str, ast.Expression]]:
    """The rule with a factor or a term left out, + for −, or a mean for a sum: as text, and to evaluate."""
    seen = {TEXTS[op]} if op in TEXTS else set()
    tree = ast.parse(TEXTS.get(op, "g"), mode="eval")
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
        else:
            yield node.right
    if isinstance(node, ast.Call):
        yield node.args[0]
        if ast.unparse(node.func) == "sum":
            yield ast.Call(ast.Name("mean", ast.Load()), node.args, [])


class _Put(ast.NodeTransformer):
    """Another node at one place of the tree, counted as `ast.walk` counts."""

    def __init__(self, place: int, put: ast.expr) -> None:
        self.place, self.put = place, put

    def made(self, tree: ast.Expression) -> ast.Expression:
        copy = deepcopy(tree)
        self.old = list(ast.walk(copy))[self.place]
        return ast.fix_missing_locations(ast.Expression(self.visit(copy).body))

    def visit(self, node: ast.AST) -> Any:
        return self.put if node is self.old else self.generic_visit(node)


def written(tree: ast.Expression) -> Rule:
    """What the text gives."""
    code = compile(tree, "rule", "eval")

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        axis, x = node.attrs["axis"], record.target(node, slot)
        kept = np.shape(np.sum(x, axis, keepdims=True))
        names: dict[str, Any] = {"g": g, "y": record.values[node.index], "x": x, "exp": np.exp}
        names |= {k: np.reshape(v, kept) for k, v in names.items() if k in "gy" and np.shape(v) != np.shape(x)}
        names |= {"sum": lambda v: np.sum(v, axis, keepdims=True), "mean": lambda v: np.mean(v, axis, keepdims=True)}
        return np.broadcast_to(eval(code, {"__builtins__": {}}, names), np.shape(x))  # our own text, changed by us

    return rule
