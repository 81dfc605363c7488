"""Operations of different time steps that are one and the same, when the steps differ in a few of them.

The first step may lack a state, one step may drop an operand, another may print something. Steps are compared from what
is certain, the uses of one parameter, outward to its neighbours; what is left goes by its kind and position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from ..graph import Graph, Node, Ref

#: What cells call the states that they are handed and hand on.
STATES = ("h", "c")
#: Operands of an operation that are compared one by one; a stack of a thousand steps has more.
SLOTS = 6
#: How far from a parameter's use an operation is told from others of its kind.
ROUNDS = 60
#: Nodes looked at in all rounds together: of one huge step the rest goes by position.
WORK = 60_000
#: By node what it is compared by, and the places in which it could have a twin (None: not known).
Likeness = dict[int, tuple[Hashable, "set[Hashable] | None"]]


def aligned(graph: Graph, places: Sequence[Hashable | None]) -> list[int]:
    """A number for each node, shared by operations that do the same in different ``places`` (time steps).

    The uses of one parameter are the same; so is what leads to them in the same way, and what is made of them in the
    same way. What finds no twin so, because a step lacks an operand or has one more, goes by its operation and its
    position among those left over. Where ``places`` is None there are no twins.
    """
    return _Alignment(graph, places).row


class _Alignment:
    """Begins at the uses of parameters and at operations no step has twice; goes on from neighbour to neighbour."""

    def __init__(self, graph: Graph, places: Sequence[Hashable | None]) -> None:
        self.graph, self.places = graph, places
        # whether something is called a state: a cell calls so what it is handed, the last step's nobody
        roles = ["" if n.role in STATES else n.role or "" for n in graph.nodes]
        self.heads = [
            (n.scope.path, n.scope.part or "", role, n.op.name if n.op else "", n.scope.backward)
            for n, role in zip(graph.nodes, roles, strict=True)
        ]
        self.row = [-1] * len(graph)
        self.filled: list[set[Hashable]] = []  #: by row its places
        nodes = graph.nodes
        told = [tuple((k, s) for k, s in enumerate(n.sources[:SLOTS]) if nodes[s].is_parameter) for n in nodes]
        self._join({i: ((self.heads[i], of), None) for i, of in enumerate(told) if of})
        self._join({i: (head, None) for i, head in enumerate(self.heads) if self.row[i] < 0})
        for _ in range(max(8, min(ROUNDS, WORK // max(len(graph), 1)))):
            ways = [self._made(), self._used(), self._fed()]
            if not self._join(*ways, strict=True) and not self._join(*ways):
                break
        self._join_the_rest()

    def _open(self) -> list[int]:
        """The nodes that have no row yet, and those that may be their twins."""
        heads = {self.heads[i] for i, row in enumerate(self.row) if row < 0 and self.places[i] is not None}
        return [i for i, head in enumerate(self.heads) if head in heads]

    def _own(self, node: Node) -> list[tuple[int, int]]:
        """(slot, operand) of what was computed in the same place."""
        return [
            (slot, x.index)
            for slot, x in enumerate(node.operands[:SLOTS])
            if isinstance(x, Ref) and self.graph.nodes[x.index].op and self.places[x.index] == self.places[node.index]
        ]

    def _made(self) -> Likeness:
        """The likeness of operations made of rows alone."""
        found: Likeness = {}
        common: dict[tuple[int, ...], set[Hashable]] = {}
        for i in self._open():
            node = self.graph.nodes[i]
            own = [(slot, self.row[x]) for slot, x in self._own(node)]
            whole = len(own) == sum(not self.graph.nodes[s].is_parameter for s in node.sources[:SLOTS])
            if own and whole and all(row >= 0 for _, row in own):
                rows = tuple(row for _, row in own)
                if rows not in common:
                    common[rows] = set.intersection(*(self.filled[row] for row in rows))
                found[i] = (self.heads[i], tuple(own)), common[rows]
        return found

    def _used(self) -> Likeness:
        """The likeness of values used in the same place by one row."""
        found: Likeness = {}
        for i in self._open():
            uses = [
                (self.row[u], slot)
                for u in self.graph.consumers[i]
                if self.row[u] >= 0 and self.places[u] == self.places[i]
                for slot in (k for k, s in self._own(self.graph.nodes[u]) if s == i)
            ]
            if uses:
                found[i] = ("used", self.heads[i], min(uses)), self.filled[min(uses)[0]]
        return found

    def _fed(self) -> Likeness:
        """The likeness of operations that have one row among their operands."""
        found: Likeness = {}
        for i in self._open():
            of = [(slot, self.row[x]) for slot, x in self._own(self.graph.nodes[i]) if self.row[x] >= 0]
            if of:
                found[i] = ("fed", self.heads[i], of[0]), self.filled[of[0][1]]
        return found

    def _join(self, *ways: Likeness, strict: bool = False) -> bool:
        """One row for nodes that are alike and in different places, most at once first.

        With ``strict`` in all places where they could be.
        """
        classes: dict[Hashable, list[int]] = defaultdict(list)
        could: dict[Hashable, set[Hashable] | None] = {}
        for way, likes in enumerate(ways):
            for i, (like, places) in likes.items():
                if self.places[i] is not None:
                    classes[way, like].append(i)
                    could[way, like] = places
        joined = False
        for like, members in sorted(classes.items(), key=lambda item: -len(item[1])):
            rows = {self.row[i] for i in members} - {-1}
            new = [i for i in members if self.row[i] < 0]
            at = {self.places[i] for i in new}
            if not new or len(at) < len(new) or len(rows) > 1 or (not rows and len(at) < 2):
                continue
            if not rows and strict and at != could[like]:
                continue
            row = next(iter(rows), len(self.filled))
            if not rows:
                self.filled.append(set())
            if not self.filled[row] & at:
                joined = True
                self.filled[row] |= at
                for i in new:
                    self.row[i] = row
        return joined

    def _join_the_rest(self) -> None:
        rows: dict[Hashable, list[int]] = defaultdict(list)
        for i, row in enumerate(self.row):
            if row >= 0 and row not in rows[self.heads[i]]:
                rows[self.heads[i]].append(row)
        for i, place in enumerate(self.places):
            if self.row[i] < 0:
                own = rows[self.heads[i]]
                fitting = (row for row in own if place is not None and place not in self.filled[row])
                row = next(fitting, len(self.filled))
                if row == len(self.filled):
                    self.filled.append(set())
                    if place is not None:
                        own.append(row)
                self.filled[row].add(place)
                self.row[i] = row
