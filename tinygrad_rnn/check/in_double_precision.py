"""A computation in single precision, done again in double: what is then wrong is wrong by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Graph
from ..recorded_tensors import recorded
from ..rounding_noise import doubled
from ..tensors import Tensor


def promoted(graph: Graph, outputs: Sequence[Tensor]) -> tuple[Graph, list[Tensor]]:
    """The same graph and outputs with every leaf, constant and cast to float32 in float64; hooks go with them.

    Nodes keep their position, source line and scope.
    """
    tensors, originals = doubled(graph).tensors(), recorded(*outputs)
    for node, made in zip(graph.nodes, tensors, strict=True):
        made._hooks = originals[node.serial]._hooks
    promoted_outputs = [tensors[index] for index in graph.outputs]
    return Graph(*promoted_outputs), promoted_outputs


def single(graph: Graph) -> bool:
    """Whether any value is in single precision."""
    return any(node.dtype == np.float32 for node in graph.nodes)
