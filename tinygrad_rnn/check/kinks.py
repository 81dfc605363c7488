"""Where a graph is not differentiable: the choices its primitives make, and how near they are to another choice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Graph, Node, Ref
from ..tensor import Array

COMPARISONS = ("maximum", "minimum", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal")


@dataclass(frozen=True)
class Kink:
    """A choice that a small step turns over."""

    node: Node
    index: tuple[int, ...]  #: of the element, in the node's result
    margin: float  #: how far the operands are from the other choice

    def __str__(self) -> str:
        assert self.node.op is not None
        where = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        step = "" if self.node.scope.step is None else f", time step {self.node.scope.step + 1}"
        return f"{self.node.op.name}{where} (at {self.node.site}{step}) is {self.margin:.1e} from its other branch"


def margins(node: Node, operands: Sequence[Any], wobbles: Sequence[Any]) -> tuple[Array, Array] | None:
    """Per element of the result, how far the operands are from another choice, and how far they may wobble.

    None for a primitive that makes no choice.
    """
    assert node.op is not None
    name, x = node.op.name, np.asarray(operands[0])
    if name in ("relu", "abs", "sign"):
        return np.abs(x), np.asarray(wobbles[0])
    if name in ("sqrt", "log"):  # at 0 the slope is infinite
        return np.abs(x), np.asarray(0.0)
    if name == "pow":  # at 0 the slope is infinite, or its own is, unless the exponent is 0, 1, 2, ...
        exponent = np.asarray(operands[1])
        smooth = (exponent >= 0) & (exponent == np.rint(exponent))
        return np.where(smooth, np.inf, np.abs(x)) + np.zeros(node.shape), np.asarray(0.0)
    if name in COMPARISONS:
        if not any(np.asarray(y).dtype.kind == "f" for y in operands):
            return None  # of integers and booleans: the choice was made where these were
        return np.abs(x - np.asarray(operands[1])), np.add(wobbles[0], wobbles[1])
    if name in ("max", "argmax"):
        axis, keepdims = node.attrs.get("axis"), node.attrs.get("keepdims", False)
        largest = x == x.max(axis=axis, keepdims=True)
        ahead = x.max(axis=axis) - np.where(largest, -np.inf, x).max(axis=axis)
        gap = np.where(largest.sum(axis=axis) > 1, 0.0, ahead)
        wobble = 2 * np.max(wobbles[0], axis=axis)
        return (gap.reshape(node.shape), np.reshape(wobble, node.shape)) if keepdims else (gap, wobble)
    if name == "argsort":  # an element changes places with its neighbour in the order
        axis = node.attrs["axis"]
        apart = np.diff(np.sort(x, axis), axis=axis)
        beside = [(0, 0)] * x.ndim
        beside[axis] = (1, 1)
        apart = np.pad(apart, beside, constant_values=np.inf)
        gap = np.minimum(np.take(apart, range(x.shape[axis]), axis), np.take(apart, range(1, x.shape[axis] + 1), axis))
        return gap, np.broadcast_to(2 * np.max(wobbles[0], axis=axis, keepdims=True, initial=0), x.shape)
    whole = name == "cast" and x.dtype.kind == "f" and np.dtype(node.attrs["dtype"]).kind in "iu"
    if name == "floor_divide" or whole:
        divisor = np.asarray(1.0 if whole else operands[1])
        beyond = np.mod(x, divisor)
        return np.minimum(np.abs(beyond), np.abs(divisor - beyond)), np.add(wobbles[0], 0.0 if whole else wobbles[1])
    return None


def find_kinks(
    graph: Graph, values: Sequence[Array], moving: Collection[int], wobble: Mapping[int, Array], reach: float = 0.0
) -> list[Kink]:
    """The choices that turn over when their operands wobble, or move by ``reach``, among what depends on ``moving``.

    A mask made from constants has no kinks, wherever it switches.
    """
    depends = downstream(graph, moving)
    found = []
    for node in graph.nodes:
        if node.op is None or not any(source in depends for source in node.sources):
            continue
        if node.op.name in COMPARISONS and node.operands[0] == node.operands[1]:
            continue  # a value compared with itself never turns over
        operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        wobbles = [wobble.get(x.index, 0.0) if isinstance(x, Ref) else 0.0 for x in node.operands]
        judged = margins(node, operands, wobbles)
        if judged is not None:
            margin, room = judged
            for at in np.argwhere(np.asarray(margin <= room + reach)):
                place = tuple(map(int, at))
                found.append(Kink(node, place, float(margin[place])))
    return found


def downstream(graph: Graph, sources: Collection[int]) -> set[int]:
    """The nodes that change when ``sources`` do, themselves included."""
    moving = set(sources)
    for node in graph.nodes:
        if any(source in moving for source in node.sources):
            moving.add(node.index)
    return moving
