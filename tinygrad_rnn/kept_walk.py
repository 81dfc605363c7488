"""One reverse walk, kept: every node's gradient and what it sent to each operand, by position in the graph.

The debugger steps through it, equations are read off it, `check_gradients` judges it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .graph import Graph, Ref
from .progress import followed
from .reverse_walk import walk
from .rule_answers import fitted
from .tensors import Tensor

Use = TypeVar("Use", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)


class Sent(NamedTuple):
    """The contribution of one use of a node to its gradient."""

    slot: int  #: which operand of the sending node
    target: int  #: the node that receives it
    value: Any  #: None: one row of a large operand; `Walk.contribution` builds it


class WalkStep(NamedTuple):
    """One node's turn in the reverse walk."""

    node: int
    gradient: Any  #: complete: every consumer has contributed; an array, or a tensor if the walk was recorded
    contributions: tuple[Sent, ...]
    #: "hook", "what-if" or "mistake" if the gradient was replaced, so that it is not the sum of what arrived
    replaced: str | None = None
    #: {node: its partial sum} after the time steps a sampled trace left out just before this step
    brought: tuple[tuple[int, Any], ...] = ()
    live: Any = None  #: what counts of the gradient, see `dead_positions`; None: all of it, or nobody said


class Walk:
    """A walk back through ``graph``; ``steps[k - 1]`` is its step k. Indices of nodes are positions in the graph."""

    def __init__(self, graph: Graph, steps: Iterable[WalkStep]) -> None:
        self.graph = graph
        self.steps = tuple(steps)

    @cached_property
    def turn(self) -> dict[int, int]:
        """{node: the number of its step, from 1}; a node that is missing received nothing."""
        return {step.node: k for k, step in enumerate(self.steps, 1)}

    @cached_property
    def gradients(self) -> dict[int, Any]:
        """The gradient of each node."""
        return {step.node: step.gradient for step in self.steps}

    @cached_property
    def contributions(self) -> dict[tuple[int, int], Any]:
        """The contribution of each use: (node, operand slot)."""
        return {
            (step.node, sent.slot): self.contribution(k, index)
            for k, step in enumerate(self.steps, 1)
            for index, sent in enumerate(step.contributions)
        }

    def operands(self, node: int) -> list[Any]:
        """The values of a node's operands."""
        nodes = self.graph.nodes
        return [nodes[x.index].value if isinstance(x, Ref) else x for x in nodes[node].operands]

    def contribution(self, k: int, index: int) -> Any:
        """The value of contribution ``index`` of step ``k``, in its target's shape."""
        step = self.steps[k - 1]
        return self.value(step, step.contributions[index])

    def value(self, step: WalkStep, sent: Sent) -> Any:
        """The value of ``sent``, a contribution of ``step``, in its target's shape."""
        return self.pulled(step.node, sent.slot, step.gradient) if sent.value is None else sent.value

    def pulled(self, node: int, slot: int, gradient: Any) -> Any:
        """The contribution of ``node`` to its operand ``slot``, if its own gradient were ``gradient``."""
        made, operands = self.graph.nodes[node], self.operands(node)
        assert made.op is not None
        with np.errstate(all="ignore"):  # looking at a nan must not print a warning
            return fitted(made.op.pull(slot, gradient, made.value, operands, made.attrs), operands[slot])


def walked(graph: Graph, outputs: Sequence[Tensor], gradients: Sequence[Any], **how: Any) -> Walk:
    """Walk back from ``outputs``, whose graph is ``graph``, and keep everything; ``how``: see `reverse_walk.walk`."""
    found = steps(graph.by_serial(), outputs, gradients, **how)
    return Walk(graph, followed(found, "walking back", len(graph)))


def steps(
    position: Mapping[int, int], outputs: Sequence[Tensor], gradients: Sequence[Any], **how: Any
) -> Iterator[WalkStep]:
    """The steps of a walk over tensors whose place in the graph is ``position``, by serial number."""
    for seen in walk(outputs, gradients, **how):
        sent = tuple([Sent(slot, position[target.serial], value) for slot, target, value in seen.sent])
        yield WalkStep(
            position[seen.node.serial], seen.gradient, sent, "hook" if seen.replaced else None, live=seen.live
        )


def shares(keys: Mapping[Use, Key], arriving: Iterable[tuple[Use, Any]]) -> Iterator[tuple[Key, Any]]:
    """The sum of the contributions of each key's uses: of a weight's uses by time step, each step's share.

    ``keys`` names the uses, ``arriving`` what they contribute, in any order; of other uses, and of uses that contribute
    nothing, nothing is said. A share comes as soon as it is complete: a thousand time steps' shares of a big matrix do
    not fit into memory together.
    """
    missing, sums = Counter(keys.values()), dict[Key, Any]()
    for use, value in arriving:
        if use in keys:
            key = keys[use]
            sums[key] = sums[key] + value if key in sums else value
            missing[key] -= 1
            if not missing[key]:
                yield key, sums.pop(key)
    yield from sums.items()
