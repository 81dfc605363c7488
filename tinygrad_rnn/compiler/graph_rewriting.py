"""Draft: a graph being rewritten. Passes add nodes, let one stand for another; ``finish`` puts it in order again."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

from ..errors import TinygradError
from ..graph import Node, Ref
from ..primitives.record import Primitive
from .plan import Plan, PlanBuilder, Planned

Operand = Any  #: a Ref, or a Python number
_REFS: list[Ref] = []  #: one for each position, shared by all graphs: every pass refers to every node again


class Draft:
    """Nodes by position, where operands may come after their users until `finish` sorts them."""

    def __init__(self, graph: Plan) -> None:
        self._graph = graph
        self._build = PlanBuilder(graph.nodes)
        self.nodes = self._build.nodes
        self.outputs = [Ref(index) for index in graph.outputs]
        self.order: list[float] = list(range(len(self.nodes)))  # where in the schedule a node would like to be
        self._stands_for: dict[int, int] = {}

    def __getitem__(self, operand: Operand) -> Planned:
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
            if type(x) is Ref and x.index in stands_for:
                return tuple([self.root(x) for x in node.operands])
        return node.operands

    def users(self) -> list[int]:
        """The number of uses of each node at present; being an output counts."""
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
        self, op: Primitive, operands: tuple[Operand, ...], attrs: dict[str, Any], like: Planned, lane: int = 0
    ) -> Ref:
        """A new node, in the scope of ``like`` and scheduled where it was."""
        operands = tuple(self.root(x) for x in operands)
        # what comes of parameters alone is the same in every segment
        lasting = all(isinstance(x, Ref) and self.nodes[x.index].is_parameter for x in operands)
        made = self._build.add(
            op,
            operands,
            attrs,
            requires_grad=like.requires_grad,
            scope=like.scope,
            site=like.site,
            serial=like.serial,
            lane=lane,
            segment=0 if lasting else like.segment,
        )
        self.order.append(self.order[like.index] if like.index < len(self.order) else made.index)
        return made

    def constant(self, value: Any, like: Planned) -> Ref:
        """A new leaf that holds ``value``."""
        made = self._build.leaf(value, name=like.name, role=like.role, site=like.site, serial=-1)
        self.order.append(self.order[like.index])
        return made

    def replace(self, node: Node, by: Operand) -> None:
        """Let ``by`` stand for ``node`` everywhere."""
        by = self.root(by)
        new = self.nodes[by.index]
        if new.shape != node.shape or new.dtype != node.dtype:
            raise TinygradError(
                f"the compiler made {new.shape} {new.dtype} of {node.label}, which is {node.shape} {node.dtype}, "
                "which is its mistake: please report it; without tg.compile it runs"
            )
        if new.op is not None and new.role is None:
            self.nodes[by.index] = replace(new, role=node.role, name=new.name or node.name)
        self._stands_for[node.index] = by.index

    def finish(self, dead: bool = False) -> Plan:
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
                sources[index] = used = {x.index for x in found if type(x) is Ref}
                pending.extend(used)
        order = self._sorted(sources)
        position = {index: k for k, index in enumerate(order)}
        _REFS.extend(map(Ref, range(len(_REFS), len(order))))
        nodes = []
        for k, index in enumerate(order):
            node = self.nodes[index]
            placed = tuple([_REFS[position[x.index]] if type(x) is Ref else x for x in operands[index]])
            nodes.append(node if node.index == k and node.operands == placed else node.moved(k, placed))
        return Plan.of(nodes, [position[index] for index in outputs])

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
