"""Levels of detail: nodes collapsed into boxes by their scope.

``op`` shows every node. ``gate`` makes one box of each named part of a cell. ``cell`` makes one box of a whole
cell and one of the state it puts out, as on a lecture's slide. In the two coarser levels, what only carries
values around (stacking the steps' outputs, reading one of them back) is seen through, and what only prepares
data or finishes a loss belongs to the box it feeds. Of a whole training step, the gradients of a layer are one box
in each step and one beside them, and all that is made of the gradients is another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np

from tinygrad_rnn.graph import Graph, Node
from tinygrad_rnn.primitives import broadcast_to
from tinygrad_rnn.recurrence.annotate_time_steps import timed
from tinygrad_rnn.recurrence.circles import circles_of
from tinygrad_rnn.recurrence.detached import DETACH, joined

from ..vocabulary import GATES
from . import time_columns as C
from .time_columns import Column, Key

DETAILS = ("cell", "gate", "op")


@dataclass(slots=True)
class Box:
    """Nodes that are drawn as one box. Boxes of one ``key`` stand at the same place of every column."""

    key: Key
    column: Column | None  #: None: it belongs to no time step
    kind: str  #: which look it has, see `style.LOOKS`
    main: int  #: the node whose value, name and tooltip it shows
    members: list[int]
    before: bool = False  #: an initial state: stands before the first step


@dataclass(slots=True)
class Edge:
    """``uses`` are the graph's own edges it stands for: (from, to, slot)."""

    source: int
    target: int
    kind: str
    uses: list[tuple[int, int, int]] = field(default_factory=list)
    cut: bool = False  #: what it brings was detached: no gradient flows back


@dataclass(slots=True)
class Level:
    """A graph seen at one level of detail."""

    graph: Graph
    detail: str
    boxes: list[Box]
    edges: list[Edge]
    columns: list[Column]
    recurrent: list[C.Path]  #: scopes that carry a state, in order
    roles: list[str]  #: by node; ``x``, ``h``, ``loss`` ...
    initial: Mapping[int, int | None] = field(default_factory=dict)  #: by first state the state that it stands for
    stands_for: Mapping[int, Sequence[int]] = field(default_factory=dict)  #: all of them: c and h may share one
    initial_of: Mapping[tuple[int, int], int | None] = field(default_factory=dict)  #: the one for a user of it
    before: Mapping[int, int] = field(default_factory=dict)  #: by first state its time, where that is not 0: −1
    makers: Mapping[int, int] = field(default_factory=dict)  #: by box of a state that of the cell that puts it out


def collapse(graph: Graph, detail: str) -> Level:
    """``graph`` at level ``detail``: "cell", "gate" or "op"; what repeats in it is found by `timed`."""
    known = timed(joined(graph))
    collapsing = _Collapsing(known, detail)
    if read_anew := collapsing.read_in_another_pass():
        collapsing = _Collapsing(known, detail, read_anew)
    return collapsing.level()


class _Collapsing:
    def __init__(self, graph: Graph, detail: str, read_anew: Collection[int] = frozenset()) -> None:
        self.graph, self.detail = graph, detail
        self.feeds, self.unseen = C.operands(graph, see_through=detail != "op", read_anew=read_anew)
        self.users = C.consumers(self.feeds)
        self.roles = C.roles(graph, self.feeds)
        self.after_loss = C.after_losses(self.feeds, self.roles)
        self.update = self._updates()
        names = C.keys(graph, [node.scope.step for node in graph.nodes])
        backward = {node.index for node in graph.nodes if node.scope.backward}
        self.recurrent = C.recurrent_paths(graph, self.feeds, self.unseen | self.after_loss | backward)
        standing_in = C.initial_states(graph, self.feeds, names)
        self.initial = {source: state for (source, _), state in standing_in.items() if self.roles[source] != "x"}
        self.initial_of = {use: state for use, state in standing_in.items() if use[0] in self.initial}
        self.stands_for: dict[int, list[int]] = defaultdict(list)
        for (source, _), state in standing_in.items():
            if state is not None and state not in self.stands_for[source]:
                self.stands_for[source].append(state)
        self.before = C.times_before_the_first(graph, self.feeds, names, standing_in)
        # a state may be handed to the next pass in a stack
        through, _ = C.operands(graph, see_through=True, read_anew=read_anew)
        segments = C.segments(graph, through, C.initial_states(graph, through, names), self.recurrent, names)
        self.columns: list[Column | None] = [
            None if s is None or node.scope.step is None or self._is_total(node) else Column(s, node.scope.step)
            for node, s in zip(graph.nodes, segments, strict=True)
        ]
        self._place_stepless()
        self.names = C.keys(graph, self.columns)
        self.states = {self.names[i] for i in range(len(graph)) if self._may_be_state(i) and self._is_carried(i)}
        order: Counter[Column | None] = Counter()
        self.inputs: dict[int, int] = {}  # which of its step's inputs a node is, whatever made it
        for i, role in enumerate(self.roles):
            if role == "x" and i not in self.unseen:
                self.inputs[i] = order[self.columns[i]]
                order[self.columns[i]] += 1
        self.inputs = C.alike_in_all_steps(graph, self.inputs, {i: self.columns[i] for i in self.inputs})
        self.owners: list[tuple[Key, Column | None] | None] = [None] * len(graph)
        self.kinds: dict[Hashable, str] = {}
        self.heads: dict[Hashable, int] = {}  # the last node of each box
        self.columns_exist = any(column is not None for column in self.columns)
        self.fed_by_data: dict[int, list[tuple[Key, Column | None]]] = {}

    def read_in_another_pass(self) -> set[int]:
        """Nodes that read an element of the data which a step of the same number has read, in another pass."""
        first: dict[Hashable, set[int]] = {}
        found = set[int]()
        for node in self.graph.nodes:
            if node.op is not None and node.op.name == "getitem" and self.graph.nodes[node.sources[0]].op is None:
                columns = (self.columns[user] for user in self.graph.consumers[node.index])
                passes = {column.segment for column in columns if column is not None}
                known = first.setdefault((node.sources, repr(node.attrs), node.scope.step), passes)
                if passes and known and not passes & known and node.index in self.unseen:
                    found.add(node.index)
        return found

    def _updates(self) -> set[int]:
        """Nodes made of gradients that are no part of the loss, as a penalty on them is; and parameters less a step,
        from which the loss may be computed again."""
        made, nodes = C.after_gradients(self.graph, self.feeds), self.graph.nodes
        losses, pending = set[int](), [i for i in self.graph.outputs if nodes[i].requires_grad and not nodes[i].shape]
        while pending:
            losses.add(i := pending.pop())
            pending += {source for _, source in self.feeds[i]} - losses
        moved = set[int]()
        for i in sorted(made & losses):
            sources = [source for _, source in self.feeds[i]]
            sums = (op := nodes[i].op) is not None and op.infix in ("+", "-")
            if sums and any(
                (nodes[s].is_parameter or s in moved) and nodes[s].shape == nodes[i].shape for s in sources
            ):
                moved.add(i)
        found, pending = made - losses, [*moved]
        while pending:
            found.add(i := pending.pop())
            pending += [s for _, s in self.feeds[i] if s in made - found and not nodes[s].scope.backward]
        return found

    def _is_total(self, node: Node) -> bool:
        """Whether a node sums up losses; in the coarser levels the total stands beside the steps."""
        return node.index in self.after_loss and self.detail != "op"

    def _place_stepless(self) -> None:
        """Place nodes without a time step that belong to one all the same: computed from one, or feeding only one."""
        for node in self.graph.nodes:
            if node.role == "x" and self.detail != "op":  # a sample fed back belongs to the step that reads it
                readers = {self.columns[user] for user in self.users[node.index]} - {None}
                if len(readers) == 1:
                    self.columns[node.index] = readers.pop()
        reach: list[frozenset[Column]] = []
        for node in self.graph.nodes:
            found: frozenset[Column] = frozenset()
            if self.columns[node.index] is None and node.scope.backward and self.detail == "op":
                self.columns[node.index] = self._column_of_gradient(node)
            if self.columns[node.index] is None and node.op is not None:
                found = found.union(*(reach[source] for _, source in self.feeds[node.index]))
                found = frozenset(islice(found, 3))  # three are many: a running sum over time must not remember all
                if len(found) == 1 or (self.detail == "op" and len(found) == 2 and not _carries(node)):
                    self.columns[node.index] = max(found)
            column = self.columns[node.index]
            reach.append(found if column is None else frozenset([column]))
        for node in reversed(self.graph.nodes):
            if self.columns[node.index] is None and not node.is_parameter and node.index not in self.initial:
                used_in = {self.columns[user] for user in self.users[node.index]}
                parted = node.scope.backward and self.detail == "op"  # such as each step's part of a stack's gradient
                if len(used_in) == 1 and (parted or not reach[node.index]):
                    self.columns[node.index] = used_in.pop()

    def _column_of_gradient(self, node: Node) -> Column | None:
        """The step of the values that a rule reads; without any, the earlier one of its gradients."""
        read = [(self.graph.nodes[i].scope.backward, self.columns[i]) for _, i in self.feeds[node.index]]
        values = [column for backward, column in read if column is not None and not backward]
        return max(values) if values else min((column for _, column in read if column is not None), default=None)

    # Owners ----------------------------------------------------------------------------------------------

    def level(self) -> Level:
        """Give every node its box, then connect the boxes."""
        assign = self._own_box if self.detail == "op" else self._coarse_box
        after_state = self._after_state() if self.detail == "cell" else set()
        self.stages = self._stages() if self.detail == "cell" else []
        self.modules = self._modules() if self.detail == "gate" else {}
        for node in reversed(self.graph.nodes):
            assign(node, node.index in after_state)
        if self.detail != "op":
            self._unwind()
        index: dict[tuple[Key, Column | None], int] = {}
        boxes: list[Box] = []
        for node in self.graph.nodes:
            owner = self.owners[node.index]
            if owner is None:
                continue
            if owner not in index:
                index[owner] = len(boxes)
                boxes.append(Box(*owner, self.kinds[owner], node.index, [], owner[0][0] == "initial"))
            boxes[index[owner]].members.append(node.index)
        for box in boxes:
            box.main = self._main(box)
        self.makers = {i: made for i, box in enumerate(boxes) if (made := self._maker(box, index)) is not None}
        edges = self._edges(boxes, index)
        shown = sorted({box.column for box in boxes if box.column is not None})
        return Level(
            self.graph,
            self.detail,
            boxes,
            edges,
            shown,
            self._ordered_paths(),
            self.roles,
            self.initial,
            self.stands_for,
            self.initial_of,
            self.before,
            self.makers,
        )

    def _ordered_paths(self) -> list[C.Path]:
        first: dict[C.Path, int] = {}
        for node in self.graph.nodes:
            if node.scope.path in self.recurrent and node.scope.step is not None:
                first.setdefault(node.scope.path, node.index)
        return sorted(first, key=first.__getitem__)

    def _set(self, node: Node, key: Key, kind: str, column: Column | None) -> None:
        self.owners[node.index] = (key, column)
        self.kinds.setdefault((key, column), kind)
        self.heads.setdefault((key, column), node.index)

    def _own_box(self, node: Node, _after: bool) -> None:
        if node.is_parameter and node.index not in self.initial and self.columns_exist:
            return
        if not self.users[node.index] and node.index not in self.graph.outputs:  # what a state was cut off as
            return
        if node.index in self.initial and node.op is None:
            self._set(node, ("initial", *self.names[node.index]), "state", None)
        else:
            self._set(node, ("op", *self.names[node.index]), self._kind(node), self.columns[node.index])

    def _kind(self, node: Node) -> str:
        role = self.roles[node.index]
        if node.scope.backward:
            return "gradient"
        if role in C.STATES or self._is_other_state(node.index):
            return "state"
        if role in ("x", "logits", "loss"):
            return role
        if role in GATES:
            return "gate"
        if node.index in self.graph.outputs and not node.shape and node.op is not None:
            return "loss"
        if node.op is None:
            return "parameter" if node.is_parameter else "input"
        return "op"

    def _coarse_box(self, node: Node, after_state: bool) -> None:
        i, column, path = node.index, self.columns[node.index], node.scope.path
        inside = path in self.recurrent and column is not None and node.scope.step is not None
        is_output = i in self.graph.outputs
        if node.scope.backward and node.op is not None:
            in_step = column is not None and node.scope.step is not None
            self._set(node, ("gradient", path, in_step), "gradient", column if in_step else None)
            return
        if i in self.update:
            self._set(node, ("update",), "op", None)
            return
        if i in self.initial and (node.op is None or node.scope.step is None) and not self._is_carried(i):
            self._set(node, ("initial", path, node.role or "", *self.names[i][3:]), "state", None)
            return
        if node.is_parameter:
            return
        if not self.users[i] and not (is_output and not self._only_transport(node)):
            return
        if self._is_called_state(node, inside):
            self._set(node, ("state", node.role, path), "state", column)
        elif inside and self._is_other_state(i):
            self._set(node, ("state", "h", path, self.names[i]), "state", column)
        elif self.roles[i] == "x":
            self._set(node, ("x", self.inputs[i]), "x", column)
        elif self.roles[i] in ("logits", "loss"):
            self._set(node, (self.roles[i], *self.names[i]), self.roles[i], column)
        elif inside and (owner := self._loss_made_of(i) or self._target_of(node)) is not None:
            self.owners[i] = owner
        elif inside and self.detail == "cell":
            stage = self.stages[i]
            own = ("cell", path, *([stage] if stage else []))
            key, kind = (("state", "h", path), "state") if after_state else (own, "cell")
            self._set(node, key, kind, column)
        elif i in self.modules:
            self._set(node, ("module", path, *self.modules[i]), "op", column)
        elif inside and node.scope.part:
            kind = "gate" if any(self.graph.nodes[j].role == node.scope.part for j in self._siblings(node)) else "op"
            self._set(
                node, ("part", path, node.scope.part, *([self._calls[i]] if self._calls[i] else [])), kind, column
            )
        elif inside:
            self._set(node, ("op", *self.names[i]), self._kind(node), column)
        else:
            self._fold(node, is_output)

    def _loss_made_of(self, i: int) -> tuple[Key, Column | None] | None:
        """The loss that a node between the scores and it belongs to, though a program has it inside a cell's scope."""
        if self.graph.nodes[i].op is None or self.graph.nodes[i].scope.part:
            return None
        fed = {owner for user in self.users[i] for owner in self._owners_of(user)}
        owner = fed.pop() if len(fed) == 1 else None
        of_scores = owner is not None and self.kinds[owner] == "loss" and self._judges_scores(i)
        return owner if of_scores else None

    def _target_of(self, node: Node) -> tuple[Key, Column | None] | None:
        """The loss that alone reads what was given."""
        fed = {owner for user in self.users[node.index] for owner in self._owners_of(user)}
        owner = fed.pop() if len(fed) == 1 and node.op is None else None
        return owner if owner is not None and self.kinds[owner] == "loss" else None

    def _judges_scores(self, i: int) -> bool:
        """Whether a node is made of scores in its own time step."""
        found, pending = set[int](), [i]
        while pending:
            node = pending.pop()
            if self.roles[node] == "logits":
                return True
            found.add(node)
            pending += [s for _, s in self.feeds[node] if s not in found and self.columns[s] == self.columns[i]]
        return False

    def _fold(self, node: Node, is_output: bool) -> None:
        """A node outside the cells joins the one box it feeds, if it is that box's preparation; else it has its own."""
        i, column = node.index, self.columns[node.index]
        fed = {owner: None for user in self.users[i] for owner in self._owners_of(user)}
        kinds = {self.kinds[owner] for owner in fed}
        if (
            not is_output
            and column is None
            and fed
            and kinds == {"x"}
            and (self.detail == "cell" or node.op is not None or not node.requires_grad)
        ):
            self.fed_by_data[i] = list(fed)
            return
        forward = [owner for owner in fed if self.kinds[owner] != "gradient"]
        if (
            len(forward) == 1 and self.kinds[forward[0]] == "loss"
        ):  # the losses that it adds up; their gradient uses them
            fed = dict.fromkeys(forward)
        if not is_output and len(fed) == 1:
            owner = next(iter(fed))
            near = column in (None, owner[1]) or i in self.after_loss
            if near and self._is_detail_of(node, owner):
                self.owners[i] = owner
                return
        if not fed and not is_output:
            return
        self._set(node, ("op", *self.names[i]), self._kind(node), column)

    def _is_detail_of(self, node: Node, owner: tuple[Key, Column | None]) -> bool:
        """Whether a node outside the cells is better not shown beside the one box it feeds."""
        if owner[0] == ("update",):  # the optimizer's state
            return True
        if node.op is None and node.dtype.kind != "f":  # a target, an index; but which sequences have ended is told
            return node.dtype.kind != "b" or self.kinds[owner] not in ("state", "cell")
        if self.kinds[owner] == "op" and self._is_operand(node):
            return False
        if self.kinds[owner] == "loss":
            same_call = node.site == self.graph.nodes[self.heads[owner]].site and not self.roles[node.index]
            same_call &= not any(self.graph.nodes[source].is_parameter for source in node.sources)
            joins = _carries(node) and all(self.roles[source] == "logits" for _, source in self.feeds[node.index])
            return node.index in self.after_loss or (same_call and node.op is not None) or joins
        given = node.op is None and node.value is not None and node.value.size > 1 and np.any(node.value)
        return self.detail == "cell" and self.columns_exist and not given

    def _is_operand(self, node: Node) -> bool:
        """Whether an operation's box is not to be read without it: data, and what a layer of its own puts out."""
        if node.op is None:
            return node.value is not None and node.value.size > 1
        return node.op.is_product and any(self.graph.nodes[source].is_parameter for source in node.sources)

    def _owners_of(self, index: int) -> list[tuple[Key, Column | None]]:
        owner = self.owners[index]
        return [owner] if owner is not None else self.fed_by_data.get(index, [])

    def _only_transport(self, node: Node) -> bool:
        """Whether an output merely collects what has boxes of its own, or is it; one number of a state is a result."""
        if not node.shape and node.index not in self.unseen:
            return False
        while _carries(node):
            if node.op is not None and node.op.joins:
                return any(self.columns[source] is not None for source in node.sources)
            node = self.graph.nodes[node.sources[0]]
        return False

    def _is_carried(self, index: int) -> bool:
        """Whether another time step of the same scope uses it."""
        here, path, step = self.columns[index], *self.graph.nodes[index].scope[:2]
        return None not in (here, step) and any(
            self.columns[user] not in (here, None) and self.graph.nodes[user].scope[::3] == (path, False)
            for user in self.users[index]
        )

    @cached_property
    def _paths_with_h(self) -> set[C.Path]:
        nodes = (n for n in self.graph.nodes if n.role == "h" and n.op is not None and n.scope.step is not None)
        return {n.scope.path for n in nodes}

    def _siblings(self, node: Node) -> list[int]:
        return [j for j in (*self.users[node.index], node.index) if self.graph.nodes[j].scope.part == node.scope.part]

    def _modules(self) -> dict[int, C.Path]:
        """Each node's module inside a step, if that puts out one value: such a module is a box."""
        members: dict[tuple[C.Path, Column], list[int]] = defaultdict(list)
        for node in self.graph.nodes:
            column, said = self.columns[node.index], node.module
            plain = node.op is not None and not (self.roles[node.index] or node.scope.part or node.scope.backward)
            if plain and column is not None and said and node.index not in self.unseen:
                members[said, column].append(node.index)
        found: dict[C.Path, set[bool]] = defaultdict(set)
        for (said, _), own in members.items():
            inside = set(own)
            ends = [i for i in own if any(user not in inside for user in self.users[i]) or i in self.graph.outputs]
            states = any(self._is_other_state(i) or self._is_carried(i) for i in own)
            found[said].add(len(own) > 2 and len(ends) == 1 and not states)
        return {i: said for (said, _), own in members.items() if found[said] == {True} for i in own}

    def _is_other_state(self, index: int) -> bool:
        """Whether it is a state that is called neither h nor c."""
        of_cell = self.graph.nodes[index].scope.path in self.recurrent and index not in self.after_loss
        return of_cell and self._may_be_state(index) and self.names[index] in self.states

    def _is_called_state(self, node: Node, inside: bool) -> bool:
        """Whether it is called a state that has a box: c of a cell only at finer levels, or where there is no h."""
        if node.role not in C.STATES:
            return False
        if inside:
            return self.detail == "gate" or node.role == "h" or node.scope.path not in self._paths_with_h
        return node.op is not None and not _carries(node) and not node.scope.backward and node.scope.step is not None

    def _may_be_state(self, index: int) -> bool:
        """Whether its name says nothing else of it."""
        return self.roles[index] not in (*C.STATES, "x", "logits", "loss", *GATES)

    def _stages(self) -> list[int]:
        """Each node's number of states of its cell and time step that made it: a box reads no results of its own."""
        found: list[int] = []
        for node in self.graph.nodes:
            stage = 0
            for _, source in self.feeds[node.index]:
                other = self.graph.nodes[source]
                if other.scope.path == node.scope.path and self.columns[source] == self.columns[node.index]:
                    shown = other.op is not None and (
                        other.role == "h" or self._is_other_state(source) or self.roles[source] in ("logits", "loss")
                    )
                    stage = max(stage, found[source] + shown)
            found.append(stage)
        for node in reversed(self.graph.nodes):  # what a later part alone needs is a part of it
            users, here = self.users[node.index], (node.scope.path, self.columns[node.index])
            alike = all((self.graph.nodes[u].scope.path, self.columns[u]) == here for u in users)
            if users and alike and self._may_be_state(node.index) and not self._is_other_state(node.index):
                found[node.index] = min(found[u] for u in users)
        return found

    @cached_property
    def _calls(self) -> list[int]:
        """Each node's number of calls of its cell in its time step before the one that made it."""
        found: list[int] = []
        often = Counter[Hashable]()
        for node in self.graph.nodes:
            here = node.scope.path, self.columns[node.index]
            nodes = [self.graph.nodes[source] for _, source in self.feeds[node.index]]
            calls = [found[n.index] for n in nodes if (n.scope.path, self.columns[n.index]) == here]
            if node.op is not None and (weights := [n.index for n in nodes if n.is_parameter]):
                calls = [often[key := (*here, node.op, node.scope.part, *weights)]]
                often[key] += 1
            found.append(max(calls, default=0))
        return found

    def _after_state(self) -> set[int]:
        """Nodes of a cell that choose by a mask whether the state it has just put out counts."""
        found: set[int] = set()
        for node in self.graph.nodes:
            for _, source in self.feeds[node.index]:
                other = self.graph.nodes[source]
                same = (
                    other.scope.path == node.scope.path and self.columns[source] == self.columns[node.index] is not None
                )
                chosen = node.op is not None and node.op.name == "where"
                if same and chosen and (source in found or (other.role == "h" and other.op is not None)):
                    found.add(node.index)
        return found

    def _unwind(self) -> None:
        """Part the boxes that would read their own later results: what is made of them, and of what they have made."""
        for _ in range(4):
            feeds: dict[Hashable, set[Hashable]] = defaultdict(set)
            for node in self.graph.nodes:
                target = self.owners[node.index]
                for _, source in self.feeds[node.index] if target is not None else ():
                    origin = self.owners[source]
                    if origin is not None and origin != target:
                        feeds[origin].add(target)
            circles = [c for c in circles_of(feeds) if len(c) > 1]
            if not circles:
                return
            circle_of = {owner: k for k, circle in enumerate(circles) for owner in circle}
            round_trips: list[int] = []
            for node in self.graph.nodes:
                owner = self.owners[node.index]
                most = 0
                if owner in circle_of:
                    for _, source in self.feeds[node.index]:
                        if circle_of.get(self.owners[source]) == circle_of[owner]:
                            most = max(most, round_trips[source] + (self.owners[source] != owner))
                round_trips.append(most)
            self._part(circle_of, round_trips)

    def _part(self, circles: Collection[Hashable], round_trips: Sequence[int]) -> None:
        """Give the members of these boxes boxes of their own, one for each number of round trips."""
        told: dict[tuple[Key, Column | None], set[int]] = defaultdict(set)
        for i, owner in enumerate(self.owners):
            if owner is not None and owner in circles:
                told[owner].add(round_trips[i])
        for i, owner in enumerate(self.owners):
            if owner is None or owner not in told or len(told[owner]) < 2:
                continue
            which = sorted(told[owner]).index(round_trips[i])
            if which:
                (kind, *rest), column = owner
                key: Key = (
                    (kind, *rest[:1], (rest[1] if len(rest) > 1 else 0) + which)
                    if kind == "cell"
                    else (*owner[0], "again", which)
                )
                self.owners[i] = key, column
                self.kinds.setdefault((key, column), self.kinds[owner])
                self.heads[key, column] = max(i, self.heads.get((key, column), i))

    # Boxes and edges -------------------------------------------------------------------------------------

    def _main(self, box: Box) -> int:
        """The member a box is about: the last one with a role, else the last made."""
        nodes = [self.graph.nodes[i] for i in box.members]
        outputs = [n.index for n in nodes if n.index in self.graph.outputs]
        if box.kind in ("x", "logits", "loss", "state", "gate"):
            named = [n.index for n in nodes if self.roles[n.index]]
            return (named or outputs or box.members)[-1]
        return (outputs or box.members)[-1]

    def _edges(self, boxes: list[Box], index: dict[tuple[Key, Column | None], int]) -> list[Edge]:
        edges: dict[Hashable, Edge] = {}
        aliases: dict[Hashable, int] = {}
        for node in self.graph.nodes:
            for target in self._owners_of(node.index):
                for slot, source in self.feeds[node.index]:
                    origin = self.graph.nodes[source]
                    owner = self.owners[source]
                    end = index[target]
                    if owner is None and origin.is_parameter:
                        end = self.makers.get(end, end)
                        beside = self.detail == "cell" and self.recurrent and boxes[end].kind != "cell"
                        note = self._note_of(source, aliases, boxes) if beside else None
                        if beside and note is None:
                            boxes[end].members.append(source)
                            continue
                        start = self._alias(origin, end, boxes, aliases) if note is None else note
                    elif owner is None or owner == target:
                        continue
                    else:
                        start = index[owner]
                    end = self._entered(start, end, boxes)
                    ends: Hashable = (start, end, slot if self.detail == "op" else 0)
                    ends = (*ends, node.index) if self.detail == "op" else ends  # type: ignore[misc]
                    if ends not in edges:
                        kind = self._edge_kind(origin, node, boxes[start], boxes[end])
                        edges[ends] = Edge(start, end, kind, cut=node.op is DETACH)
                    edges[ends].uses.append((source, node.index, slot))
        return list(edges.values())

    def _entered(self, start: int, end: int, boxes: list[Box]) -> int:
        """The box where an edge ends: a state kept because a sequence has ended, and its mask, go into the cell."""
        of_step = boxes[start].kind == "state" and boxes[start].column == boxes[end].column
        return end if boxes[start].kind == "cell" or of_step else self.makers.get(end, end)

    def _maker(self, box: Box, index: dict[tuple[Key, Column | None], int]) -> int | None:
        """The box of the cell that puts out the state in ``box``."""
        if self.detail != "cell" or box.kind != "state" or box.column is None or box.key[0] != "state":
            return None
        for owner in (self.owners[source] for i in box.members for _, source in self.feeds[i]):
            if owner is not None and owner[0][:2] == ("cell", box.key[2]) and owner[1] == box.column:
                return index[owner]
        return None

    def _edge_kind(self, origin: Node, user: Node, start: Box, end: Box) -> str:
        if start.kind == "parameter":
            return "weight"
        if origin.scope.backward:
            return "gradient"
        apart = None not in (start.column, end.column) and start.column != end.column
        if apart and (start.kind in ("logits", "x") or (end.kind == "x" and start.kind != "state")):
            return "feedback"
        if start.kind == "cell" and start.column != end.column:
            return "c" if self.roles[origin.index] == "c" else "flow"
        if (start.before or apart) and start.kind != "loss" and origin.index not in self.after_loss:
            state = self.initial_of.get((origin.index, user.index))
            is_one = self.detail != "cell" or len(self.stands_for.get(origin.index, ())) == 1  # of a cell both are one
            carried = origin if state is None or not is_one else self.graph.nodes[state]
            return "c" if carried.role == "c" else "h"
        return "flow"

    @cached_property
    def _readers(self) -> dict[tuple[int, Column | None], dict[Key, None]]:
        """By parameter and step the boxes that use it."""
        found: dict[tuple[int, Column | None], dict[Key, None]] = defaultdict(dict)
        for parameter, users in enumerate(self.users):
            for key, place in (owner for user in users for owner in self._owners_of(user)):
                found[parameter, place][key] = None
        return found

    def _note_of(self, parameter: int, aliases: Mapping[Hashable, int], boxes: Sequence[Box]) -> int | None:
        """The note of a cell's parameters that has this one, whatever else reads it: a penalty on its size."""
        return next((note for note in aliases.values() if parameter in boxes[note].members), None)

    def _alias(self, parameter: Node, target: int, boxes: list[Box], aliases: dict[Hashable, int]) -> int:
        """The box of a shared parameter: one for all cells at cell level, else a copy in each step that uses it."""
        user = boxes[target]
        if self.detail == "cell":
            place: Hashable = user.key
            key: Key = ("W", *user.key)
            column = None
        elif self.detail == "gate":  # parameters that the same boxes of a step use stand in one note
            readers = tuple(self._readers[parameter.index, user.column])
            place, key, column = (user.column, readers), ("W", *readers), user.column
        else:
            place, key, column = (parameter.index, user.column), ("W", parameter.index), user.column
        if place not in aliases:
            aliases[place] = len(boxes)
            boxes.append(Box(key, column, "parameter", parameter.index, []))
        alias = aliases[place]
        if parameter.index not in boxes[alias].members:
            boxes[alias].members.append(parameter.index)
        return alias


def _carries(node: Node) -> bool:
    """Whether it only carries values around, each to one place."""
    return node.op is not None and node.op.kind == "movement" and node.op is not broadcast_to
