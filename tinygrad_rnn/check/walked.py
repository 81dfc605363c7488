"""What the engine says: the gradient of every node, each use's contribution, and the rounding noise in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backward import walk
from ..graph import Graph, Ref
from ..scope import state
from ..tensor import Array, Tensor, from_array
from .tolerances import ROUNDING_MARGIN

#: Monte Carlo arithmetic rounds at random to this many bits, and measures what comes of it
COARSE_BITS = 36
#: results of these are moved or chosen, not rounded
EXACT = {
    *("max", "maximum", "minimum", "relu", "abs", "sign", "neg", "where", "cast", "one_hot", "argmax"),
    *("getitem", "take", "reshape", "permute", "broadcast_to", "concat", "stack"),
}
#: and this often; the largest effect counts
SAMPLES = 3


@dataclass
class Walked:
    """One reverse walk, kept, by position in the graph; or, of the same shape, the noise in one."""

    gradients: dict[int, Array] = field(default_factory=dict)
    contributions: dict[tuple[int, int], Array] = field(default_factory=dict)  #: by (node, operand slot)
    values: dict[int, Array] = field(default_factory=dict)

    def scaled(self, factor: float) -> Walked:
        """The same in another unit: noise in another precision."""
        return Walked(
            {key: value * factor for key, value in self.gradients.items()},
            {key: value * factor for key, value in self.contributions.items()},
            {key: value * factor for key, value in self.values.items()},
        )


def total(contributions: Mapping[tuple[int, int], Array], uses: Collection[tuple[int, int]]) -> Array | None:
    """What several uses contribute together; None if none of them does."""
    found = [contributions[use] for use in uses if use in contributions]
    return sum(found[1:], start=found[0]) if found else None


def walked(graph: Graph, outputs: Sequence[Tensor], upstream: Sequence[Array]) -> Walked:
    """Walk back from ``outputs``, whose graph is ``graph``, and keep everything."""
    position, result = graph.by_serial(), Walked()
    for step in walk(outputs, upstream):
        index = position[step.node.serial]
        result.gradients[index] = np.array(step.gradient)
        for contribution in step.contributions:
            result.contributions[index, contribution.slot] = np.array(contribution.value)
    return result


def replay(graph: Graph, jitter: np.random.Generator | None = None) -> list[Tensor]:
    """The graph as tensors again: same operations, scopes and values, every float in double precision.

    With ``jitter`` every value is rounded at random to `COARSE_BITS` bits.
    """
    tensors: list[Tensor] = []
    outer = state.scope
    try:
        for node in graph.nodes:
            state.scope = node.scope
            if node.op is None:
                assert node.value is not None
                value = node.value.astype(np.float64) if node.dtype.kind == "f" else node.value.copy()
                made = from_array(value)
                made.scope = node.scope
                made.requires_grad = node.requires_grad
            else:
                operands = (tensors[x.index] if isinstance(x, Ref) else x for x in node.operands)
                made = node.op(*operands, **doubled(node.attrs))
            if jitter is not None and made.dtype.kind == "f" and not (node.op and node.op.name in EXACT):
                made._array = rounded(made._array, jitter)
            made.name, made.role = node.name, node.role
            tensors.append(made)
    finally:
        state.scope = outer
    return tensors


def doubled(attrs: dict[str, Any]) -> dict[str, Any]:
    """An operation's settings, float64 in place of float32."""
    single = np.dtype(np.float32)
    return {key: np.dtype(np.float64) if isinstance(x, np.dtype) and x == single else x for key, x in attrs.items()}


def rounded(x: Array, rng: np.random.Generator) -> Array:
    """``x (1 + ξ)`` with ``ξ`` uniform within `COARSE_BITS` bits."""
    return np.asarray(x * (1.0 + 2.0**-COARSE_BITS * rng.uniform(-1, 1, x.shape)))


def noise(graph: Graph, upstream: Sequence[Array], exact: Walked, dtype: Any) -> Walked:
    """What rounding to ``dtype`` does to every value, gradient and contribution, by Monte Carlo arithmetic.

    The pass is repeated with values rounded at random and much more coarsely; what that changes, scaled to the
    precision of ``dtype``, is the noise (D. S. Parker 1997, UCLA CSD-970002). ``exact`` is the same walk in double
    precision. Values are not scaled down: a choice the coarse rounding turns over makes the rest meaningless.
    """
    scale = float(np.finfo(dtype).eps) * 2.0**COARSE_BITS
    exact_values = [tensor.numpy() for tensor in replay(graph)]
    result = Walked()
    for seed in range(SAMPLES):
        rng = np.random.default_rng(seed)
        tensors = replay(graph, rng)
        outputs = [tensors[index] for index in graph.outputs]
        coarse_graph = Graph(*outputs)
        coarse = walked(coarse_graph, outputs, [rounded(np.asarray(g, np.float64), rng) for g in upstream])
        index_of = {tensor.serial: index for index, tensor in enumerate(tensors)}
        order = [index_of[node.serial] for node in coarse_graph.nodes]
        for index, value in coarse.gradients.items():
            _raise(result.gradients, order[index], scale * np.abs(value - exact.gradients[order[index]]))
        for (index, slot), value in coarse.contributions.items():
            key = order[index], slot
            _raise(result.contributions, key, scale * np.abs(value - exact.contributions[key]))
        for node, tensor in zip(graph.nodes, tensors, strict=True):
            if node.dtype.kind == "f":
                with np.errstate(invalid="ignore"):  # of two infinities
                    wobble = np.nan_to_num(np.abs(tensor.numpy() - exact_values[node.index]))
                _raise(result.values, node.index, max(scale * ROUNDING_MARGIN, 2.0) * wobble)
    return result


def _raise(held: dict[Any, Array], key: Any, value: Array) -> None:
    """The larger of what is held and ``value``; a nan says nothing about rounding."""
    held[key] = np.fmax(held[key], value) if key in held else np.nan_to_num(value)
