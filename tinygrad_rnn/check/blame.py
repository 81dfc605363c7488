"""Which operation's rule went wrong first: the walk, followed from the outputs until it leaves the truth."""

from __future__ import annotations

import numpy as np

from ..graph import Node
from ..tensor import Array
from .derivatives import Forward
from .tolerances import bound, tolerance
from .walked import Walked

#: beyond this many nodes the search, quadratic in their number, would take too long
MOST_NODES = 1500


def first_wrong(forward: Forward, engine: Walked, noise: Walked) -> str | None:
    """The node nearest to the outputs whose gradient, or what it receives from one use, is wrong; None if all agree."""
    graph = forward.graph
    if len(graph) > MOST_NODES:
        return None
    rng = np.random.default_rng(0)
    for node in reversed(graph.nodes):
        if not node.requires_grad:
            continue
        v = np.asarray(rng.standard_normal(node.shape))
        for consumer, slot in forward.uses(node.index):
            if slot >= 0:
                expected = forward.slope(node.index, v, [(consumer, slot)])
                key = consumer, slot
                if not _agree(engine.contributions.get(key), v, expected, noise.contributions.get(key), node):
                    user = graph.nodes[consumer]
                    return f"{_described(user)}: what it sends to operand {slot}, {node.label}"
        expected = forward.slope(node.index, v)
        if not _agree(engine.gradients.get(node.index), v, expected, noise.gradients.get(node.index), node):
            return f"the sum of what the uses of {_described(node)} send: one is lost, doubled or overwritten"
    return None


def _agree(got: Array | None, v: Array, expected: float, noise: Array | None, node: Node) -> bool:
    value = np.zeros(v.shape) if got is None else got
    rtol = tolerance("complex-step", node.dtype).rtol
    size = max(abs(expected), float(np.linalg.norm(np.ravel(value))))
    floor = 0.0 if noise is None else float(np.linalg.norm(np.ravel(noise)))
    return abs(float(np.sum(value * v)) - expected) <= bound(size, rtol, floor)


def _described(node: Node) -> str:
    step = "" if node.scope.step is None else f", time step {node.scope.step + 1}"
    return f"{node.op.name if node.op else node.label} (at {node.site}{step})"
