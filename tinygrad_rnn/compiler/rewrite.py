"""Draft: a graph being rewritten. Passes add nodes, let one stand for another; ``finish`` puts it in order again."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import TinygradError
from ..graph import Graph, Node, Ref
from ..primitives.record import Primitive
from ..scope import Scope
from .trace import result_dtype

Operand = Any  #: a Ref, or a Python number


class Draft:
    """Nodes by position, where operands may come after their users until `finish` sorts them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.nodes: list[Node] = list(graph.nodes)
        self.outputs = [Ref(index) for index in graph.outputs]
        self.order: list[float] = list(range(len(self.nodes)))  # where in the schedule a node would like to be
        self._stands_for: dict[int, int] = {}

    def __getitem__(self, operand: Operand) -> Node:
        """The node an operand refers to, replacements followed."""
        return self.nodes[self.root(operand).index]

    def root(self, operand: Operand) -> Any:
        """An operand with replacements followed; numbers stay."""
        if not isinstance(operand, Ref):
            return operand
        index = operand.index
        if index not in self._stands_for:
            return operand
        while index in self._stands_for:
            index = self._stands_for[index]
        return Ref(index)

    def operands(self, node: Node) -> tuple[Operand, ...]:
        """A node's operands with replacements followed."""
        stands_for = self._stands_for
        for x in node.operands:
            if isinstance(x, Ref) and x.index in stands_for:
                return tuple([self.root(x) for x in node.operands])
        return node.operands

    def users(self) -> list[int]:
        """How often each node is used, as it stands now; being an output counts."""
        count = [0] * len(self.nodes)
        for index, node in enumerate(self.nodes):
            if index not in self._stands_for:
                for x in node.operands:
                    if isinstance(x, Ref):
                        count[self.root(x).index] += 1
        for x in self.outputs:
            count[self.root(x).index] += 1
        return count

    def add(
        self, op: Primitive, operands: tuple[Operand, ...], attrs: dict[str, Any], like: Node, lane: int = 0
    ) -> Ref:
        """A new node, in the scope of ``like`` and scheduled where it was."""
        operands = tuple(self.root(x) for x in operands)
        things = [self.nodes[x.index] if isinstance(x, Ref) else x for x in operands]
        shape = op.shape(*(x.shape if isinstance(x, Node) else () for x in things), **attrs)
        dtype = result_dtype(op, things, attrs)
        lasting = all(isinstance(x, Node) and x.is_parameter for x in things)  # the same in every segment
        index = len(self.nodes)
        self.nodes.append(
            Node(
                index, op, operands, attrs, shape, dtype, None, like.requires_grad, like.scope, None, None,
                like.site, like.serial, lane, 0 if lasting else like.segment,
            )
        )  # fmt: skip
        self.order.append(self.order[like.index] if like.index < len(self.order) else index)
        return Ref(index)

    def constant(self, value: Any, like: Node) -> Ref:
        """A new leaf that holds ``value``."""
        array = np.asarray(value)
        index = len(self.nodes)
        self.nodes.append(
            Node(
                index, None, (), {}, array.shape, array.dtype, array, False, Scope(), like.name, like.role,
                like.site, -1,
            )
        )  # fmt: skip
        self.order.append(self.order[like.index])
        return Ref(index)

    def replace(self, node: Node, by: Operand) -> None:
        """Let ``by`` stand for ``node`` everywhere."""
        by = self.root(by)
        new = self.nodes[by.index]
        if new.shape != node.shape or new.dtype != node.dtype:
            raise TinygradError(f"a pass replaced {node.shape} {node.dtype} by {new.shape} {new.dtype}")  # our bug
        if new.op is not None and new.role is None:
            self.nodes[by.index] = replace(new, role=node.role, name=new.name or node.name)
        self._stands_for[node.index] = by.index

    def finish(self, dead: bool = False) -> Graph:
        """The graph again: only what the outputs need, each node after its operands, else in the old order.

        With nothing replaced it is the old graph, unless ``dead`` nodes are to be looked for.
        """
        if not self._stands_for and not dead:
            return self._graph
        outputs = [self.root(x).index for x in self.outputs]
        operands: dict[int, tuple[Operand, ...]] = {}
        sources: dict[int, set[int]] = {}
        pending = list(outputs)
        while pending:
            index = pending.pop()
            if index not in operands:
                operands[index] = found = self.operands(self.nodes[index])
                sources[index] = used = {x.index for x in found if isinstance(x, Ref)}
                pending.extend(used)
        order = self._sorted(sources)
        position = {index: k for k, index in enumerate(order)}
        refs = [Ref(k) for k in range(len(order))]
        nodes = []
        for k, index in enumerate(order):
            node = self.nodes[index]
            placed = tuple([refs[position[x.index]] if isinstance(x, Ref) else x for x in operands[index]])
            nodes.append(node if node.index == k and node.operands == placed else _moved(node, k, placed))
        return Graph.of(nodes, [position[index] for index in outputs])

    def _sorted(self, sources: dict[int, set[int]]) -> list[int]:
        """Positions in the old order, as far as what each needs lets it be."""
        order = sorted(sources, key=lambda index: (self.order[index], index))
        seen: set[int] = set()
        for index in order:
            if not sources[index] <= seen:
                break
            seen.add(index)
        else:
            return order
        waiting = {index: len(used) for index, used in sources.items()}
        users: dict[int, list[int]] = {index: [] for index in sources}
        for index, used in sources.items():
            for source in used:
                users[source].append(index)
        ready = [(self.order[index], index) for index, count in waiting.items() if not count]
        heapq.heapify(ready)
        order = []
        while ready:
            _, index = heapq.heappop(ready)
            order.append(index)
            for user in users[index]:
                waiting[user] -= 1
                if not waiting[user]:
                    heapq.heappush(ready, (self.order[user], user))
        return order


def _moved(n: Node, index: int, operands: tuple[Operand, ...]) -> Node:
    """The node elsewhere: `dataclasses.replace`, which is slow."""
    return Node(
        index, n.op, operands, n.attrs, n.shape, n.dtype, n.value, n.requires_grad, n.scope, n.name, n.role,
        n.site, n.serial, n.lane, n.segment,
    )  # fmt: skip
