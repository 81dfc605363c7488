"""Points where a graph is not differentiable: the choices its primitives make, and their distance to another choice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .element_places import subscript
from .graph import Graph, Node, Ref
from .primitives.kinks import where_equal
from .tensors import Array


@dataclass(frozen=True)
class Kink:
    """A choice that a small step turns over."""

    node: Node
    index: tuple[int, ...]  #: of the element, in the node's result
    margin: float  #: how far the operands are from the other choice

    def __str__(self) -> str:
        assert self.node.op is not None
        step = "" if self.node.scope.step is None else f", time step {self.node.scope.step + 1}"
        name = f"{self.node.op.name}{subscript(self.index)}"
        return f"{name} (at {self.node.site}{step}) is {self.margin:.1e} from its other branch"


def find_kinks(
    graph: Graph, values: Sequence[Array], moving: Collection[int], wobble: Mapping[int, Array], reach: float = 0.0
) -> list[Kink]:
    """The choices that turn over when their operands wobble, or move by ``reach``, among what depends on ``moving``.

    A mask made from constants has no kinks, wherever it switches. Nor has one made from positions that were found, such
    as ``one_hot(argmax(x))``: it switches where they do, and there it is looked for.
    """
    depends = set(moving)
    for node in graph.nodes:
        if node.dtype.kind == "f" and any(source in depends for source in node.sources):
            depends.add(node.index)
    found = []
    for node in graph.nodes:
        if node.op is None or node.op.kink is None or not any(source in depends for source in node.sources):
            continue
        if node.op.kink is where_equal and node.operands[0] == node.operands[1]:
            continue  # a value compared with itself never turns over
        operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        wobbles = [wobble.get(x.index, 0.0) if isinstance(x, Ref) else 0.0 for x in node.operands]
        judged = node.op.kink(operands, wobbles, **node.attrs)
        if judged is not None:
            margin, room = judged
            for at in np.argwhere(np.broadcast_to(margin <= room + reach, node.shape)):
                place = tuple(map(int, at))
                found.append(Kink(node, place, float(margin[place])))
    return found


def downstream(graph: Graph, sources: Collection[int]) -> set[int]:
    """The nodes that change when ``sources`` do, themselves included."""
    moving = set(sources)
    for node in graph.nodes:
        if any(source in moving for source in node.sources):
            moving.add(node.index)
    return moving
