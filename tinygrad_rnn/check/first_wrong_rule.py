"""The operation whose rule went wrong first: the walk, followed from the outputs until it leaves the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..kept_walk import Walk
from ..norms import norm
from ..rounding_noise import Noise, shared
from ..tensors import Array
from .chain_rule import Chain
from .derivatives import Forward, Use
from .tolerances import bound, finite, tolerance, underflow

#: beyond this many nodes the search, quadratic in their number, would take too long
MOST_NODES = 1500


def first_wrong(forward: Forward, chain: Chain | None, engine: Walk, noise: Noise, dtype: Any) -> str | None:
    """The node nearest to the outputs whose gradient, or what it receives from one use, is wrong; None if all agree.

    ``noise`` is of the precision ``dtype``. Without a ``chain`` each is probed along one random direction.
    """
    graph = forward.graph
    if chain is None and len(graph) > MOST_NODES:
        return None
    rng, rtol = np.random.default_rng(0), tolerance("complex-step", dtype).rtol

    def agree(got: Array | None, index: int, uses: list[Use] | None, rounding: Array | None) -> bool:
        got = np.zeros(graph.nodes[index].shape) if got is None else got.astype(np.float64)
        size = 0.0
        if chain is not None:
            expected = chain.of(index, uses)
        else:
            v = np.asarray(rng.standard_normal(got.shape))
            size = norm(got)  # a random direction may be one along which little changes
            got, expected = np.asarray(np.sum(got * v)), np.asarray(forward.slope(index, v, uses))
        floor = (0.0 if rounding is None else norm(rounding)) + underflow(dtype, got.size)
        error = np.where(np.isfinite(expected), got - expected, 0.0)
        return norm(error) <= max(bound(finite(expected), rtol, floor), rtol * size)

    for node in reversed(graph.nodes):
        if not node.requires_grad:
            continue
        users: dict[int, list[Use]] = {}
        for use in forward.uses(node.index):
            if use[1] >= 0:
                users.setdefault(use[0], []).append(use)
        keys = {use: user for user, uses in users.items() for use in uses}
        sent, floors = shared(engine, keys), shared(noise, keys)
        for user, uses in users.items():  # what one operation sends to all slots that this operand is in
            if not agree(sent.get(user), node.index, uses, floors.get(user)):
                return f"{_described(graph.nodes[user])}: what it sends to operand {uses[0][1]}, {node.label}"
        if not agree(engine.gradients.get(node.index), node.index, None, noise.gradients.get(node.index)):
            return f"the sum of what the uses of {_described(node)} send: one is lost, doubled or overwritten"
    return None


def _described(node: Node) -> str:
    step = "" if node.scope.step is None else f", time step {node.scope.step + 1}"
    return f"{node.op.name if node.op else node.label} (at {node.site}{step})"
