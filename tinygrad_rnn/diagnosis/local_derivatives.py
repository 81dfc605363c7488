"""The derivative of one use: applied to many gradients at once, forwards, or by moving operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Graph, Node, Ref
from ..norms import norm
from ..primitives import Primitive
from ..primitives.variant import variant
from ..tensors import Array

if TYPE_CHECKING:
    from .edited_walks import Record

#: a matrix of derivatives with more entries than this is not kept; its use is then walked one gradient at a time
ENTRIES = 2**18
#: elements that are moved one at a time; a use of more is left with its own rule
MOVED = 2048
#: far below rounding, so that its square vanishes
TINY = 1e-100
#: times `TINY` nothing is left of a derivative of this size
UNSEEN = 1e-200
#: a derivative of this size is none: it was taken at a pole
POLE = 1e40


class Pulls:
    """Derivatives of the uses of one record, kept once they are computed."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.slopes: dict[tuple[int, int], Array] = {}
        self.matrices: dict[tuple[int, int], Array] = {}

    def slope(self, node: Node, slot: int) -> Array:
        """The derivative of an elementwise operation, by element."""
        use = node.index, slot
        if use not in self.slopes:
            raw = self.record.raw(node, slot, np.ones(node.shape))
            self.slopes[use] = np.broadcast_to(raw, node.shape)
        return self.slopes[use]

    def many(self, node: Node, slot: int, gradients: Array) -> Array:
        """The contributions of one use for many gradients, (count, *node) to (count, *operand)."""
        record, use = self.record, (node.index, slot)
        assert node.op is not None
        target, count = np.shape(record.target(node, slot)), len(gradients)
        if node.op.elementwise:
            return unbroadcast(gradients * self.slope(node, slot), target)
        if node.op.name == "linear" and slot == 0 and use not in record.cuts:
            return np.asarray(gradients @ record.target(node, 1)).reshape(count, *target)
        size = int(np.prod(node.shape))
        if use not in self.matrices and size * int(np.prod(target)) <= ENTRIES:
            units = np.eye(size).reshape(size, *node.shape)
            self.matrices[use] = np.array([record.pull(node, slot, unit).ravel() for unit in units]).reshape(size, -1)
        if use in self.matrices:
            return np.asarray(gradients.reshape(count, size) @ self.matrices[use]).reshape(count, *target)
        result = np.zeros((count, *target))
        for k, gradient in enumerate(gradients):
            if gradient.any():
                result[k] = record.pull(node, slot, gradient)
        return result

    def tangent(self, node: Node, slot: int, direction: Array) -> Array:
        """The derivative of the node along ``direction`` of one operand, of the node's shape."""
        assert node.op is not None
        if (node.index, slot) in self.record.cuts:
            return np.zeros(node.shape)
        operands = [self.record.target(node, k) for k in range(len(node.operands))]
        moved = _stepped(node.op, slot, direction, operands, node.attrs)
        if moved is not None:
            return moved
        units = np.eye(int(np.prod(node.shape))).reshape(-1, *node.shape)
        return np.array([np.vdot(self.record.pull(node, slot, unit), direction) for unit in units]).reshape(node.shape)


def unbroadcast(sent: Array, target: tuple[int, ...]) -> Array:
    """Contributions along a first axis, summed to the operand's shape ``target`` where it was broadcast."""
    extra = sent.ndim - 1 - len(target)
    axes = tuple(range(1, 1 + extra))
    axes += tuple(1 + extra + i for i, n in enumerate(target) if n == 1 and sent.shape[1 + extra + i] != 1)
    return np.asarray(sent.sum(axes).reshape(len(sent), *target) if axes else sent)


def _stepped(op: Primitive, slot: int, direction: Array, operands: Sequence[Any], attrs: Any) -> Array | None:
    """The derivative of the reference along ``direction`` of one operand, by a complex step.

    None if the reference does not take complex numbers, or chooses between values.
    """
    if op.keeps is not None and op.name not in ("relu", "where"):
        return None
    values = list(operands)
    values[slot] = values[slot] + 1j * TINY * direction
    try:
        return np.imag(op.reference(*values, **attrs)) / TINY
    except (TypeError, ValueError):
        return None


# Rules that are not the derivative -----------------------------------------------------------------------


def mended(graph: Graph) -> Graph:
    """``graph`` with the derivative of the reference wherever an operation's own rule is not that."""

    def true(node: Node) -> Node:
        operands = [graph.nodes[x.index].value if isinstance(x, Ref) else x for x in node.operands]
        wrong = {
            k
            for k, x in enumerate(node.operands)
            if isinstance(x, Ref)
            and graph.nodes[x.index].requires_grad
            and node.op is not None
            and k in node.op.slots
            and (node.op.elementwise or np.prod(graph.nodes[x.index].shape) <= MOVED)
            and _untrue(node, k, operands)
        }
        return replace(node, op=_with_the_derivative(node.op, wrong)) if node.op is not None and wrong else node

    return Graph.of(map(true, graph.nodes), graph.outputs)


def _untrue(node: Node, slot: int, operands: list[Any]) -> bool:
    """Whether the operation's rule is not the derivative of its reference."""
    op = node.op
    assert op is not None
    if node.dtype.kind != "f":
        return False
    rng = np.random.default_rng(0)
    direction = np.asarray(rng.standard_normal(np.shape(operands[slot])))
    gradient = np.asarray(rng.standard_normal(node.shape))
    moved = _stepped(op, slot, direction, operands, node.attrs)
    if moved is None or norm(moved) > POLE:
        return False
    try:
        sent = np.asarray(op.pull(slot, gradient, node.value, operands, node.attrs))
        claimed = float(np.sum(np.broadcast_to(sent, np.broadcast_shapes(sent.shape, direction.shape)) * direction))
    except (TypeError, ValueError, AttributeError):
        return True
    size = norm(gradient) * norm(moved)
    return not abs(claimed - float(np.vdot(gradient, moved))) <= 1e-9 * size + UNSEEN


def _with_the_derivative(op: Primitive, slots: set[int]) -> Primitive:
    """``op`` with the derivative of its reference for the operands ``slots``, computed one element at a time."""

    def rule(slot: int, g: Array, y: Array, *operands: Any, **attrs: Any) -> Array:
        if slot not in slots:
            return op.pull(slot, g, y, operands, attrs)
        shape = np.shape(operands[slot])
        if op.elementwise and (slope := _stepped(op, slot, np.ones(shape), operands, attrs)) is not None:
            return unbroadcast((g * slope)[None], shape)[0]
        units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        rows = [_stepped(op, slot, unit, operands, attrs) for unit in units]
        return np.array([0.0 if row is None else np.vdot(row, g) for row in rows]).reshape(shape)

    return variant(op, vjp=rule, accumulate=None)


# Detached values ------------------------------------------------------------------------------------------

#: by a use that reads a detached value: the operation as it is, with the rule that would send on
Cuts = dict[tuple[int, int], Primitive]


def with_cuts(graph: Graph) -> tuple[Graph, Cuts]:
    """``graph`` with computed values in the place of their detached copies, read by rules that send nothing there."""
    computed: dict[bytes, int] = {}
    cuts, nodes = Cuts(), list(graph.nodes)
    for node in graph.nodes:
        value = np.asarray(node.value)
        if node.op is not None:
            cut = {}
            for slot, x in enumerate(node.operands):
                source = nodes[x.index] if isinstance(x, Ref) else node
                if source.op is None and not source.requires_grad and _tells(np.asarray(source.value)):
                    known = computed.get(np.asarray(source.value).tobytes(), -1)
                    if known >= 0 and nodes[known].shape == source.shape:
                        cut[slot] = Ref(known)
            if cut:
                cuts |= {(node.index, slot): node.op for slot in cut}
                operands = tuple(cut.get(slot, x) for slot, x in enumerate(node.operands))
                nodes[node.index] = replace(node, operands=operands, op=_cut(node.op, set(cut)), requires_grad=True)
            if node.requires_grad and _tells(value):
                computed[value.tobytes()] = node.index
    return (Graph.of(nodes, graph.outputs), cuts) if cuts else (graph, cuts)


def _tells(value: Array) -> bool:
    """Whether a value has so many different numbers that two that are equal are the same."""
    return value.dtype.kind == "f" and len(np.unique(value)) > 2


def _cut(op: Primitive, slots: set[int]) -> Primitive:
    """``op``, with nothing sent to the operands ``slots``."""

    def rule(slot: int, g: Array, y: Array, *operands: Any, **attrs: Any) -> Array:
        return np.zeros(np.shape(operands[slot])) if slot in slots else op.pull(slot, g, y, operands, attrs)

    return variant(op, vjp=rule, accumulate=None)
