"""The derivative of one use, applied to many gradients at once, forwards, or by moving values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node, Ref
from ..norms import norm
from ..tensor import Array

if TYPE_CHECKING:
    from .walks import Record

#: a matrix of derivatives with more entries than this is not kept; its use is then walked one gradient at a time
ENTRIES = 2**18
#: far below rounding, so that its square vanishes
TINY = 1e-100


class Pulls:
    """The uses of one record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.slopes: dict[tuple[int, int], Array] = {}
        self.matrices: dict[tuple[int, int], Array] = {}
        self.judged: dict[tuple[int, int], bool] = {}
        self.moved: dict[tuple[int, int], Array] = {}

    def many(self, node: Node, slot: int, gradients: Array) -> Array:
        """What the use sends of every gradient along the first axis."""
        record, use = self.record, (node.index, slot)
        assert node.op is not None
        target, count = np.shape(record.target(node, slot)), len(gradients)
        if node.op.elementwise:
            if use not in self.slopes:
                ones = np.ones(node.shape)
                self.slopes[use] = np.broadcast_to(record.raw(node, slot, ones), node.shape)
            sent = gradients * self.slopes[use]
            extra = len(node.shape) - len(target)
            axes = tuple(range(1, 1 + extra))
            axes += tuple(1 + extra + i for i, n in enumerate(target) if n == 1 and node.shape[extra + i] != 1)
            return np.asarray(sent.sum(axes).reshape(count, *target) if axes else sent)
        if node.op.name == "linear" and slot == 0 and not self.untrue(node, slot):
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
        """How the node moves when its operand moves along ``direction``."""
        assert node.op is not None
        moved = self._stepped(node, slot, direction)
        if moved is not None:
            return moved
        units = np.eye(int(np.prod(node.shape))).reshape(-1, *node.shape)
        return np.array([np.vdot(self.record.pull(node, slot, unit), direction) for unit in units]).reshape(node.shape)

    def _stepped(self, node: Node, slot: int, direction: Array, operands: Sequence[Any] | None = None) -> Array | None:
        """By a complex step; None where the reference takes no complex values, or chooses between equals."""
        assert node.op is not None
        if node.op.keeps is not None and node.op.name not in ("relu", "where"):
            return None
        values = list(operands or [self.record.target(node, k) for k in range(len(node.operands))])
        values[slot] = values[slot] + 1j * TINY * direction
        try:
            return np.imag(node.op.reference(*values, **node.attrs)) / TINY
        except (TypeError, ValueError):
            return None

    # Rules that are not the derivative -------------------------------------------------------------------

    def untrue(self, node: Node, slot: int) -> bool:
        """Whether the operation's rule is not the derivative of its reference."""
        use = node.index, slot
        if use not in self.judged:
            self.judged[use] = self._judge(node, slot)
        return self.judged[use]

    def _judge(self, node: Node, slot: int) -> bool:
        record, op = self.record, node.op
        assert op is not None
        operand = node.operands[slot]
        if not isinstance(operand, Ref) or node.dtype.kind != "f":
            return False
        rng = np.random.default_rng(0)
        direction = np.asarray(rng.standard_normal(np.shape(record.target(node, slot))))
        gradient = np.asarray(rng.standard_normal(node.shape))
        moved = self._stepped(node, slot, direction)
        if moved is None:
            return False
        operands = [record.target(node, k) for k in range(len(node.operands))]
        try:
            sent = np.asarray(op.pull(slot, gradient, record.values[node.index], operands, node.attrs))
            claimed = float(np.sum(np.broadcast_to(sent, np.broadcast_shapes(sent.shape, direction.shape)) * direction))
        except (TypeError, ValueError, AttributeError):
            return True
        size = norm(gradient) * norm(moved)
        return not abs(claimed - float(np.vdot(gradient, moved))) <= 1e-9 * size

    def by_steps(self, node: Node, slot: int, g: Array, operands: Sequence[Any]) -> Array:
        """What the use should send, one element of the operand moved at a time."""
        use, shape = (node.index, slot), np.shape(operands[slot])
        same = all(x is self.record.target(node, k) for k, x in enumerate(operands))
        if same and use in self.moved:
            matrix = self.moved[use]
        else:
            units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
            rows = [self._stepped(node, slot, unit, operands) for unit in units]
            matrix = np.array([np.zeros(node.shape) if row is None else row for row in rows]).reshape(len(units), -1)
            if same and matrix.size <= ENTRIES:
                self.moved[use] = matrix
        return np.asarray(matrix @ np.ravel(g)).reshape(shape)
