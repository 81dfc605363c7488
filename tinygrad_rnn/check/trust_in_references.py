"""Whether the references themselves are to be believed at complex values: each is compared once with real differences.

A complex step proves nothing through a function that treats an imaginary part its own way (`np.conj`, `np.vdot`,
`np.abs` inside a product, a branch for complex values). Such a function has another slope along the real axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Node, Ref
from ..kinks_nearby import downstream
from ..progress import followed
from ..tensors import Array
from .derivatives import FIVE_POINTS, Forward

#: of the complex step, relative to a value's size: results as small as 1e-300 leave room for it
IMAGINARY = 1e-15
#: relative sizes of the real steps; one that agrees is enough, since a step may be too long or too short
STEPS = (2e-3, 1e-4, 1e-6)
#: by how much the two slopes may differ, relative to the larger
APART = 1e-3
#: a number this large, such as a mask's -1e30, does not change when 1 is added to it
HUGE = 1e16


def untrue(forward: Forward) -> str | None:
    """The first operation whose reference has another slope at complex values than at real ones; None if there is none.

    Each is moved along one random direction in all its operands together. Operations at a kink are left out: those have
    no one slope to compare.
    """
    rng = np.random.default_rng(0)
    moving = downstream(forward.graph, [leaf.index for leaf in forward.graph.parameters])
    for node in followed(forward.graph.nodes, "trying references", len(forward.graph)):
        if node.op is None or node.index not in moving:
            continue
        operands: list[Any] = [forward.values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        directions: list[Array | None] = [None] * len(operands)
        short = directions.copy()
        for k, (o, x) in enumerate(zip(node.operands, operands, strict=True)):
            if isinstance(o, Ref) and o.index in moving and x.dtype.kind == "f":
                way, size = rng.uniform(-1.0, 1.0, x.shape), np.where(x == 0, 1.0, np.abs(x))
                # Rows of -1e9 in a logsumexp are as good as equal, until they move by 1e-6 of themselves.
                directions[k], short[k] = way * size, way * np.minimum(size, 1.0)
        lengths = [0.0 if d is None else 3 * STEPS[0] * np.abs(d) for d in directions]
        kink = node.op.kink if all(np.size(x) for x in operands) else None
        edge = kink(operands, lengths, **node.attrs) if kink is not None else None
        if edge is not None and (edge[0] <= edge[1]).any():
            continue

        with np.errstate(all="ignore"):
            if not any(_agrees(node, operands, way) for way in (directions, short)):
                return f"{node.op.name} (at {node.site})"
    return None


def _agrees(node: Node, operands: Sequence[Any], directions: Sequence[Array | None]) -> bool:
    """Whether an operation has one slope along ``directions``, or none to be compared."""

    def at(step: complex) -> Array:
        moved = [x if d is None else x + step * d for x, d in zip(operands, directions, strict=True)]
        return np.asarray(node.op.reference(*moved, **node.attrs))  # type: ignore[union-attr]

    y = at(0.0)
    if y.dtype.kind != "f":
        return True
    claimed = np.imag(at(1j * IMAGINARY)) / IMAGINARY
    return any(_alike(claimed, _difference(at, y, step), y, step) for step in STEPS)


def _difference(at: Callable[[complex], Array], y: Array, step: float) -> Array:
    """The slope by five points on the real axis."""
    return np.asarray(sum(weight * (at(k * step) - y) for k, weight in FIVE_POINTS) / (12 * step))


def _alike(claimed: Array, seen: Array, y: Array, step: float) -> bool:
    """Whether two slopes are one, element by element; what is not finite cannot be told."""
    known = np.isfinite(claimed) & np.isfinite(seen) & np.isfinite(y)
    largest = np.max(np.abs(y), initial=0.0, where=known & (np.abs(y) < HUGE))
    rounding = 1e-14 * np.maximum(np.abs(y), largest) / step
    size = np.max(np.maximum(np.abs(claimed), np.abs(seen)), initial=0.0, where=known)
    return bool((np.abs(claimed - seen) <= APART * size + rounding)[known].all())
