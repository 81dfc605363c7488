"""Every gradient of a graph in one pass: derivatives of single operations by the complex step, multiplied together.

Each operation's reference is moved by a complex step, one operand at a time; what comes of it, times the gradient that
arrived at the result, is what this use sends to the operand. So the chain rule is all that this shares with the reverse
walk: no rule of a primitive has a part in it, nor any code of the walk. An operation whose results depend on one
element of the operand each (elementwise, broadcasting, moved about) needs three evaluations, any other as many as the
operand has elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node, Ref
from ..kinks_nearby import downstream
from ..primitives import Primitive
from ..progress import followed
from ..tensors import Array
from .derivatives import Forward, Use, steps_for

#: how far two looks at one slope may differ, relative to it, and still be the same number
SAME = 1e-13


class Chain:
    """``dL / d value`` of every value that depends on a parameter, and what each use of it contributes.

    ``most`` bounds how many evaluations of single operations are spent; where it does not suffice, ``complete`` is
    False, and nothing else may be asked.
    """

    def __init__(self, forward: Forward, most: float = np.inf) -> None:
        self.forward = forward
        self.gradients: dict[int, Array] = {}
        self.contributions: dict[tuple[int, int], Array] = {}  #: by (node, operand's position)
        self.complete = True
        self._left = most
        self._dense: set[tuple[Primitive, int]] = set()
        self._rng = np.random.default_rng(0)
        graph = forward.graph
        moving = downstream(graph, [leaf.index for leaf in graph.parameters])
        for output, g in zip(graph.outputs, forward.upstream, strict=True):
            self._arrive(output, g)
        with np.errstate(all="ignore"):
            for node in followed(reversed(graph.nodes), "comparing operations", len(graph)):
                if node.op is None or node.index not in self.gradients:
                    continue
                for source in dict.fromkeys(node.sources):
                    if source not in moving or graph.nodes[source].dtype.kind != "f":
                        continue
                    slots = [k for k, x in enumerate(node.operands) if isinstance(x, Ref) and x.index == source]
                    sent = self._sent(node, source, slots)
                    if sent is None:
                        self.complete = False
                        return
                    self.contributions[node.index, source] = sent
                    self._arrive(source, sent)

    def of(self, index: int, uses: list[Use] | None = None) -> Array:
        """The gradient of a value, or only what the nodes of ``uses`` contribute: all slots of one move together."""
        shape = self.forward.values[index].shape
        if uses is None:
            return self.gradients.get(index, np.zeros(shape))
        total = np.zeros(shape)
        for user in dict.fromkeys(user for user, slot in uses if slot >= 0):
            total = total + self.contributions.get((user, index), 0.0)
        return total + self.forward.seed(index) if any(slot < 0 for _, slot in uses) else total

    def _arrive(self, index: int, value: Array) -> None:
        self.gradients[index] = self.gradients[index] + value if index in self.gradients else np.array(value)

    def _sent(self, node: Node, source: int, slots: list[int]) -> Array | None:
        """The contribution of a node to an operand's gradient, in one slot or several; None if that is too dear."""
        assert node.op is not None
        reference, attrs, g = node.op.reference, node.attrs, self.gradients[node.index]
        operands: list[Any] = [self.forward.values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        x = self.forward.values[source]
        if not x.size or not g.any():  # nothing arrives, so nothing is sent, whatever the slope
            return np.zeros(x.shape)
        h = steps_for(x, self.forward.values[node.index])

        def slopes(direction: Array) -> Array:
            moved = x + 1j * (h * direction)
            for slot in slots:
                operands[slot] = moved
            return np.asarray(np.imag(reference(*operands, **attrs)))

        if x.size > 3 and (node.op, slots[0]) not in self._dense:
            self._left -= 3
            sent = _from_one_each(slopes, g, h, self._rng)
            if sent is not None:
                return sent
            self._dense.add((node.op, slots[0]))
        self._left -= x.size
        if self._left < 0:
            return None
        result = np.empty(x.size)
        for k in range(x.size):
            direction = np.zeros(x.size)
            direction[k] = 1.0
            result[k] = np.sum(_times(g, slopes(direction.reshape(x.shape)) / h.flat[k]))
        return result.reshape(x.shape)


def _from_one_each(slopes: Any, g: Array, h: Array, rng: np.random.Generator) -> Array | None:
    """The contribution, if every element of the result depends on one element of the operand; else None.

    Moved together, and together in proportion to their positions, the elements show which of them each result follows;
    moved at random, they show whether that is all it follows.
    """
    size = h.size
    together = slopes(np.ones(h.shape))
    if not np.isfinite(together).all():
        return None
    live = together != 0
    labels = (0.5 + (np.arange(size) + 0.5) / size).reshape(h.shape)
    found = np.where(live, slopes(labels) / np.where(live, together, 1.0), 0.5)
    source = np.rint((found - 0.5) * size - 0.5)
    if not np.isfinite(source).all() or (source[live] < 0).any() or (source[live] >= size).any():
        return None
    source = np.where(live, source, 0).astype(np.int64)
    random = rng.uniform(0.5, 1.5, h.shape)
    expected = together * random.flat[source.ravel()].reshape(source.shape)
    if not (np.abs(slopes(random) - expected) <= SAME * np.abs(expected)).all():
        return None
    total = np.zeros(size)
    np.add.at(total, source.ravel(), _times(g, together / h.flat[source.ravel()].reshape(source.shape)).ravel())
    return total.reshape(h.shape)


def _times(g: Array, slope: Array) -> Array:
    """Their product; where nothing arrives nothing is sent on, whatever the slope."""
    return np.where(g == 0, 0.0, g * slope)
