"""The rounding noise in every value, gradient and contribution of a walk, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .dead_positions import pulled
from .graph import Graph, Node
from .kept_walk import Key, Walk, shares, steps
from .progress import followed
from .rule_answers import fitted
from .tensors import Array, Tensor

#: how many times the measured rounding noise is still believed to be rounding
ROUNDING_MARGIN = 64.0

Use = tuple[int, int]  #: a node, and which operand of it

#: Monte Carlo arithmetic rounds at random to this many bits, and measures what comes of it
COARSE_BITS = 36
#: and this often; the largest effect counts
SAMPLES = 3


@dataclass
class Noise:
    """The rounding errors that a walk may have, by position in the graph."""

    gradients: dict[int, Array] = field(default_factory=dict)
    contributions: dict[Use, Array] = field(default_factory=dict)
    values: dict[int, Array] = field(default_factory=dict)

    def scaled(self, factor: float) -> Noise:
        """The same in another unit: noise in another precision."""
        return Noise(
            {key: value * factor for key, value in self.gradients.items()},
            {key: value * factor for key, value in self.contributions.items()},
            {key: value * factor for key, value in self.values.items()},
        )


def shared(kept: Walk | Noise, keys: Mapping[Use, Key]) -> dict[Key, Array]:
    """The noise of the sum of the contributions of each key's uses (node, operand slot)."""
    return dict(shares(keys, ((use, kept.contributions[use]) for use in keys if use in kept.contributions)))


def doubled(graph: Graph) -> Graph:
    """The graph with every leaf, constant and cast of float32 in float64, and its values computed again."""
    single, double = np.dtype(np.float32), np.dtype(np.float64)

    def wide(node: Node) -> Node:
        attrs = {k: double if isinstance(x, np.dtype) and x == single else x for k, x in node.attrs.items()}
        value = node.value.astype(double) if node.value is not None and node.dtype.kind == "f" else node.value
        return replace(node, attrs=attrs, value=value)

    wider = Graph.of(map(wide, graph.nodes), graph.outputs)
    return wider.with_values(wider.values())


def rounded(x: Array, rng: np.random.Generator, alike: bool = False) -> Array:
    """``x (1 + ξ)`` with ``ξ`` uniform within `COARSE_BITS` bits; ``alike``: the same for equal numbers."""
    if alike:
        different, which = np.unique(x, return_inverse=True)
        return rounded(different, rng)[which.reshape(x.shape)]
    return np.asarray(x * (1.0 + 2.0**-COARSE_BITS * rng.uniform(-1, 1, x.shape)))


def noise(graph: Graph, upstream: Sequence[Array], exact: Walk, dtype: Any, *, alike: bool = False) -> Noise:
    """The rounding noise of every value, gradient and contribution in ``dtype``, by Monte Carlo arithmetic.

    Both passes are repeated with values and gradients rounded at random and much more coarsely; what that changes,
    scaled to the precision of ``dtype``, is the noise (D. S. Parker 1997, UCLA CSD-970002). ``exact`` is the same walk
    in double precision. Values are not scaled down: a choice the coarse rounding turns over makes the rest meaningless.
    With ``alike`` equal numbers of one value are rounded alike, as a processor does, so that ties stay ties.
    """
    scale = float(np.finfo(dtype).eps) * 2.0**COARSE_BITS
    graph, result = doubled(graph), Noise()
    for seed in followed(range(SAMPLES), "measuring rounding", SAMPLES):
        rng = np.random.default_rng(seed)

        def jittered(node: Node, value: Array, rng: np.random.Generator = rng) -> Array:
            exact = value.dtype.kind != "f" or (node.op is not None and node.op.exact)
            return value if exact else rounded(value, rng, alike)

        rough = graph.with_values(graph.values(each=jittered))
        tensors = rough.tensors()
        position = {tensor.serial: index for index, tensor in enumerate(tensors)}
        begin = [np.asarray(g, np.float64)[None] for g in upstream]
        ends = [tensors[index] for index in graph.outputs]
        coarse = Walk(rough, steps(position, ends, begin, send=partial(_sent_roughly, rng)))
        for index, (gradient,) in coarse.gradients.items():
            _raise(result.gradients, index, scale * np.abs(gradient - exact.gradients[index]))
        for use, (contribution,) in coarse.contributions.items():
            _raise(result.contributions, use, scale * np.abs(contribution - exact.contributions[use]))
        for tensor, exactly in zip(tensors, graph.tensors(), strict=True):
            if tensor.dtype.kind == "f":
                with np.errstate(invalid="ignore"):  # of two infinities
                    wobble = np.nan_to_num(np.abs(tensor.numpy() - exactly.numpy()))
                _raise(result.values, position[tensor.serial], max(scale * ROUNDING_MARGIN, 2.0) * wobble)
    return result


def _sent_roughly(
    rng: np.random.Generator, node: Tensor, slot: int, gradients: Array, live: Any, operands: Sequence[Any]
) -> Array:
    """A node's contribution to an operand, of its rounded gradient; one more axis in front, as `walk` wants it."""
    assert node.op is not None
    gradient = rounded(gradients[0], rng)
    with np.errstate(all="ignore"):  # what is rounded so coarsely may overflow: -1e30 is moved by 1e19
        value = pulled(node.op, slot, gradient, live, node.numpy(), operands, node.attrs)
    return np.asarray(fitted(value, operands[slot]))[None]


def _raise(held: dict[Any, Array], key: Any, value: Array) -> None:
    """The larger of what is held and ``value``; a nan says nothing about rounding."""
    held[key] = np.fmax(held[key], value) if key in held else np.nan_to_num(value)
