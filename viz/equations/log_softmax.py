"""The gradient of log softmax as a textbook has it: the engine computes the same with more digits.

Its rule ``g - softmax(x) sum(g)`` is recorded as ``g (1 - e^y) - e^y (sum(g) - g)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.graph import Node
from tinygrad_rnn.primitives import cast, exp, greater, log_softmax, mul, one_hot, sub, sum_, where


class Found(NamedTuple):
    """Positions in the graph."""

    gradient: int  #: what arrives
    scores: int
    axis: int
    right: int | None  #: the right classes, one-hot, where the gradient is a multiple of them, as of a likelihood
    factor: int | None  #: and that multiple


def gradient(nodes: Sequence[Node], node: Node) -> Found | None:
    """The parts of a log softmax's gradient, if the recorded rule computes one in ``node``; else None."""
    if node.op is not sub or not node.scope.backward or len(node.sources) != 2:
        return None
    common = nodes[node.sources[1]]
    if common.op is not mul or len(common.sources) != 2:
        return None
    probabilities, rest = (nodes[i] for i in common.sources)
    if probabilities.op is not exp or rest.op is not sub or len(rest.sources) != 2:
        return None
    y, total, g = nodes[probabilities.sources[0]], nodes[rest.sources[0]], rest.sources[1]
    if y.op is not log_softmax or total.op is not sum_ or total.sources != (g,):
        return None
    factor, right = _multiple(nodes, nodes[g], y.attrs["axis"]) or (None, None)
    return Found(g, y.sources[0], y.attrs["axis"], right, factor)


def _multiple(nodes: Sequence[Node], node: Node, axis: int) -> tuple[int, int] | None:
    """A number for each row, and what is one-hot, if the node is their product."""
    if node.op is mul and len(node.sources) == 2:
        pairs = [node.sources, node.sources[::-1]]
    elif node.op is where and len(node.sources) == 2 and node.operands[2] == 0 and nodes[node.sources[0]].op is greater:
        pairs = [(node.sources[1], nodes[node.sources[0]].sources[0])]
    else:
        return None
    for factor, right in pairs:
        hot, value = nodes[right], nodes[factor].value
        while hot.op is cast:
            hot = nodes[hot.sources[0]]
        if hot.op is one_hot and hot.value is not None and value is not None:
            each = bool((hot.value.sum(axis) == 1).all())
            if each and (not value.ndim or np.ptp(value, axis).max(initial=0) == 0):
                return factor, right
    return None
