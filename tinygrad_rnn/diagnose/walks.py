"""One true walk, kept; and walks with an edit, many at once, which follow only what the edits change.

A reverse walk is linear in the upstream gradient. So the difference an edit makes is itself walked back: it starts
where the edit is, and nodes that no difference reaches are not visited. The differences of many edits are walked as
one array with an axis more, and where only their products with fixed directions are wanted, a leaf receives these
numbers instead of arrays.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backward import _fitted
from ..check.noise import doubled
from ..errors import GraphError
from ..graph import Graph, Node, Ref
from ..norms import norm
from ..recurrence import timed
from ..tensor import Array, Tensor
from .pulls import Pulls

Use = tuple[int, int]  #: a node, and which operand of it
Rule = Callable[["Record", Node, int, Array], Array]  #: what an edited use sends, from its node's gradient
Rewrite = Callable[[Mapping[int, Array]], Array]  #: a leaf's gradient as written down, from those of all leaves


@dataclass(frozen=True)
class Scaled:
    """The true contribution, times a number."""

    factor: float

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """What is sent."""
        return self.factor * record.pull(node, slot, g)


def scaled(factor: float) -> Rule:
    """`Scaled`."""
    return Scaled(factor)


@dataclass(frozen=True)
class Part:
    """A use that sees another gradient than its node's: without, or with, what some uses sent."""

    of: tuple[tuple[Use, ...], ...]  #: what is left out, or added: a use, and those its share then passes, down to here
    sign: float = -1.0  #: 1: added
    instead: bool = False  #: nothing else is seen
    passed: bool = False  #: it is added to what is sent, as if nothing were between


@dataclass(eq=False)
class Edit:
    """One mistake: uses that follow another rule, saved values that are others, leaves written down wrongly."""

    words: str  #: what a student reads
    uses: dict[Use, Rule] = field(default_factory=dict, repr=False)
    values: dict[int, Array] = field(default_factory=dict, repr=False)  #: by node: what it was taken to be
    leaves: dict[int, Rewrite] = field(default_factory=dict, repr=False)
    parts: dict[Use, Part] = field(default_factory=dict, repr=False)
    seeds: dict[int, Array] = field(default_factory=dict, repr=False)  #: by node: what is added to its gradient
    sent: dict[Use, int | None] = field(default_factory=dict, repr=False)  #: what a use sends arrives at another node
    cost: float = 1.0  #: the less, the more likely it is named first
    term: str = ""  #: where in the equations it is: which term of whose gradient
    scaling: str | None = None  #: what is missing; another factor than 0 can be read off the given numbers

    def together(self, other: Edit) -> Edit | None:
        """Both mistakes; None where they are at one place."""
        mine, theirs = self._places(), other._places()
        if any(set(a) & set(b) for a, b in zip(mine, theirs, strict=True)) or set(self.uses) & set(other.parts):
            return None
        joined = [a | b for a, b in zip(mine, theirs, strict=True)]
        uses, values, leaves, parts, seeds, sent = joined
        return Edit(
            f"{self.words}\nAnd: {other.words}", uses, values, leaves, parts, seeds, sent, self.cost + other.cost
        )  # fmt: skip

    def _places(self) -> list[dict[Any, Any]]:
        return [self.uses, self.values, self.leaves, self.parts, self.seeds, self.sent]

    @property
    def only(self) -> Use | None:
        """The one use it is made at, if it is that simple."""
        if len(self.uses) != 1 or self.values or self.leaves or self.parts or self.seeds or self.sent:
            return None
        return next(iter(self.uses))


@dataclass
class Truth:
    """The true walk, by position in the graph."""

    gradients: dict[int, Array] = field(default_factory=dict)
    contributions: dict[Use, Array] = field(default_factory=dict)


@dataclass
class Stop:
    """One node's turn in an edited walk."""

    node: int
    gradient: Array
    sent: dict[int, tuple[int, Array]]  #: by operand: which node receives what


class Record:
    """The computation in double precision, its values, and its true walk."""

    def __init__(self, loss: Tensor) -> None:
        if loss.numel() != 1 or not loss.requires_grad:
            raise GraphError("diagnose: the loss is one number that depends on a leaf with requires_grad=True")
        self.graph = timed(doubled(Graph(loss)))
        self.nodes = self.graph.nodes
        self.values: list[Any] = [node.value for node in self.nodes]
        self.users: list[list[Use]] = [[] for _ in self.nodes]
        for source, target, slot in self.graph.edges:
            self.users[source].append((target, slot))
        self.pulled = Pulls(self)
        self.truth = self._walked()

    def _walked(self) -> Truth:
        """The true walk."""
        truth = Truth({self.graph.outputs[0]: np.ones(self.nodes[self.graph.outputs[0]].shape)})
        for node in reversed(self.nodes):
            gradient = truth.gradients.get(node.index)
            if node.op is None or gradient is None:
                continue
            for slot, operand in enumerate(node.operands):
                if not isinstance(operand, Ref) or slot not in node.op.slots:
                    continue
                if not self.nodes[operand.index].requires_grad:
                    continue
                sent = truth.contributions[node.index, slot] = self.pull(node, slot, gradient)
                before = truth.gradients.get(operand.index)
                truth.gradients[operand.index] = sent if before is None else before + sent
        return truth

    def scale(self, leaf: int) -> float:
        """The norm of all that was added up to a leaf's gradient, cancellation undone."""
        parts = [np.abs(self.truth.contributions[use]) for use in self.users[leaf] if use in self.truth.contributions]
        return norm(sum(parts)) if parts else 0.0

    def pull(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """What a use sends by the true rule, perhaps with other saved values; in the target's shape."""
        return np.asarray(_fitted(np.asarray(self.raw(node, slot, g, changed)), self.target(node, slot)))

    def raw(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """Like `pull`, before un-broadcasting."""
        values = changed or {}
        operands = [
            values.get(x.index, self.values[x.index]) if isinstance(x, Ref) else x for x in node.operands
        ]  # fmt: skip
        assert node.op is not None
        y = values.get(node.index, self.values[node.index])
        if self.pulled.untrue(node, slot):
            return self.pulled.by_steps(node, slot, g, operands)
        return np.asarray(node.op.pull(slot, g, y, operands, node.attrs))

    def target(self, node: Node, slot: int) -> Any:
        """The value of an operand."""
        operand = node.operands[slot]
        return self.values[operand.index] if isinstance(operand, Ref) else operand

    def recomputed(self, feeds: Mapping[int, Array]) -> dict[int, Array]:
        """The values that change when some nodes are given others, those included."""
        found = dict(feeds)
        for node in self.nodes:
            if node.op is None or node.index in found:
                continue
            if any(isinstance(x, Ref) and x.index in found for x in node.operands):
                operands = [
                    found.get(x.index, self.values[x.index]) if isinstance(x, Ref) else x for x in node.operands
                ]
                found[node.index] = np.asarray(node.op.forward(*operands, **node.attrs))
        return found

    # Walks with edits ------------------------------------------------------------------------------------

    def differences(self, edit: Edit) -> dict[int, Array]:
        """By leaf, what the edited walk gives more than the true one; leaves that stay right are left out."""
        if edit.sent:
            found = self._resent(edit)
        else:
            found = {leaf: change[0] for leaf, change in self._walks([edit], None)[0].items()}
        if edit.leaves:
            whole = {n.index: self.gradient(n.index) + found.get(n.index, 0.0) for n in self.graph.parameters}
            for leaf, rewrite in edit.leaves.items():
                found[leaf] = np.asarray(rewrite(whole)) - self.gradient(leaf)
        return found

    def sketches(self, edits: Sequence[Edit], functionals: Mapping[Use, Array], rows: int) -> Array:
        """Of each edit ``rows`` numbers: the products of what it changes with fixed directions.

        ``functionals``: for each use of a leaf (elements of the node, rows), the direction moved on to that node.
        """
        for edit in edits:
            assert not edit.leaves and not edit.sent
        result = self._walks(edits, (functionals, rows))[1]
        assert result is not None
        return result

    def _walks(
        self, edits: Sequence[Edit], sketch: tuple[Mapping[Use, Array], int] | None
    ) -> tuple[dict[int, Array], Array | None]:
        """The differences that the edits make, each its row: of the leaves, or in sketch."""
        count, truth = len(edits), self.truth
        special: dict[Use, list[int]] = defaultdict(list)  #: by use: the edits that it is edited by
        scales: dict[Use, dict[int, float]] = defaultdict(dict)  #: those that only multiply
        wanted: set[Use] = set()
        moved: dict[int, Array] = {}
        for k, edit in enumerate(edits):
            nodes = {i for index in edit.values for i in (index, *(user for user, _ in self.users[index]))}
            slots = {(i, slot) for i in nodes for slot in range(len(self.nodes[i].operands))}
            for use in slots | set(edit.uses) | set(edit.parts):
                rule = edit.uses.get(use)
                if isinstance(rule, Scaled) and use not in edit.parts:
                    scales[use][k] = rule.factor
                else:
                    special[use].append(k)
            wanted |= {way[0] for part in edit.parts.values() for way in part.of}
            for index, seed in edit.seeds.items():
                moved.setdefault(index, np.zeros((count, *seed.shape)))[k] += seed
        busy = {index for index, _ in (*special, *scales)}
        kept: dict[Use, Array] = {}
        result = None if sketch is None else np.zeros((count, sketch[1]))
        for node in reversed(self.nodes):
            index = node.index
            if node.op is None or index not in truth.gradients:
                continue
            here = moved.pop(index, None)
            if here is None and index not in busy:
                continue
            true_gradient = truth.gradients[index]
            for slot, operand in enumerate(node.operands):
                use = index, slot
                sent = truth.contributions.get(use)
                if sent is None or not isinstance(operand, Ref):
                    continue
                others: dict[int, Array] = {}
                for k in special.get(use, ()):
                    gradient = true_gradient if here is None else true_gradient + here[k]
                    value = self._edited(edits[k], node, slot, gradient, kept, k)
                    if value is not None:
                        others[k] = value - sent
                multiplied = list(scales.get(use, ()))
                factors = np.array(list(scales.get(use, {}).values()))
                if here is None and not others and not multiplied:
                    continue
                if sketch is not None and use in sketch[0]:
                    assert result is not None
                    added = np.zeros(result.shape) if here is None else here.reshape(count, -1) @ sketch[0][use]
                    for k, value in others.items():
                        added[k] = self.sketched(operand.index, value)
                    if multiplied:
                        whole = self.sketched(operand.index, sent)
                        added[multiplied] = np.outer(factors - 1, whole) + factors[:, None] * added[multiplied]
                    result += added
                    continue
                change = np.zeros((count, *sent.shape)) if here is None else self.pulled.many(node, slot, here)
                if others or multiplied:
                    change = change if change.flags.writeable else change.copy()
                if others:
                    change[list(others)] = list(others.values())
                if multiplied:
                    change[multiplied] = factors.reshape(-1, *[1] * sent.ndim) * (sent + change[multiplied]) - sent
                if use in wanted:
                    kept[use] = change
                before = moved.get(operand.index)
                moved[operand.index] = change if before is None else before + change
        leaves = {leaf.index: moved[leaf.index] for leaf in self.graph.parameters if leaf.index in moved}
        if result is not None:
            for leaf, change in leaves.items():  # a seed at a leaf
                result += np.array([self.sketched(leaf, row) for row in change])
        return leaves, result

    def _edited(
        self, edit: Edit, node: Node, slot: int, gradient: Array, kept: Mapping[Use, Array], k: int
    ) -> Array | None:
        """What an edited use sends; None where this use follows the true rule."""
        use = node.index, slot
        part, rule = edit.parts.get(use), edit.uses.get(use)
        extra: Any = 0.0
        if part is not None:
            shares = []
            for first, *way in part.of:
                share = self.truth.contributions[first] + (kept[first][k] if first in kept else 0.0)
                for index, through in way:
                    share = self.pull(self.nodes[index], through, share)
                shares.append(share)
            whole = sum(shares[1:], start=shares[0])
            gradient = np.asarray(whole if part.instead else gradient + part.sign * whole)
            extra = whole if part.passed else 0.0
        if rule is not None:
            return np.asarray(rule(self, node, slot, gradient)) + extra
        if part is not None or any(
            index == node.index or (index, node.index) in self._operands for index in edit.values
        ):
            return self.pull(node, slot, gradient, edit.values) + extra
        return None

    @property
    def _operands(self) -> set[tuple[int, int]]:
        if not hasattr(self, "_pairs"):
            self._pairs = {(source, target) for source, target, _ in self.graph.edges}
        return self._pairs

    def walked(self, edit: Edit) -> list[Stop]:
        """The whole edited walk, in its order: last made first, or as what is sent elsewhere demands.

        Nodes that would have to wait for themselves are left out.
        """
        arriving: dict[int, list[Use]] = defaultdict(list)
        targets: dict[Use, int] = {}
        waits: dict[int, int] = defaultdict(int)
        for use in {**self.truth.contributions, **edit.sent}:
            operand = self.nodes[use[0]].operands[use[1]]
            target = edit.sent.get(use, operand.index if isinstance(operand, Ref) else None)
            if target is not None:
                targets[use] = target
                arriving[use[0]].append(use)
                waits[target] += 1
        totals: dict[int, Array] = {self.graph.outputs[0]: np.ones(self.nodes[self.graph.outputs[0]].shape)}
        for index, seed in edit.seeds.items():
            totals[index] = totals[index] + seed if index in totals else seed
        ready = [-index for index in {*totals, *arriving} if not waits[index]]
        heapq.heapify(ready)
        kept: dict[Use, Array] = {}
        stops: list[Stop] = []
        while ready:
            index = -heapq.heappop(ready)
            node = self.nodes[index]
            gradient = totals.get(index, np.zeros(node.shape))
            stop = Stop(index, gradient, {})
            stops.append(stop)
            for use in arriving[index]:
                value = self._edited(edit, node, use[1], gradient, kept, 0)
                value = self.pull(node, use[1], gradient) if value is None else value
                target = targets[use]
                stop.sent[use[1]] = target, value
                if use in self.truth.contributions:
                    kept[use] = (value - self.truth.contributions[use])[None]
                totals[target] = totals[target] + value if target in totals else value
                waits[target] -= 1
                if not waits[target]:
                    heapq.heappush(ready, -target)
        return stops

    def _resent(self, edit: Edit) -> dict[int, Array]:
        """By leaf, what a walk gives more in which some contributions arrive elsewhere."""
        done = {stop.node: stop.gradient for stop in self.walked(edit)}
        if any(index not in done for index in self.truth.gradients):
            return {}  # no order of the steps gives this
        return {leaf.index: done[leaf.index] - self.gradient(leaf.index) for leaf in self.graph.parameters
                if leaf.index in done}  # fmt: skip

    def gradient(self, leaf: int) -> Array:
        """The true gradient of a leaf."""
        return np.asarray(self.truth.gradients.get(leaf, np.zeros(self.nodes[leaf].shape)))

    # Sketches --------------------------------------------------------------------------------------------

    #: by leaf: (elements, rows), zero but in the leaf's row
    directions: Mapping[int, Array]

    def sketched(self, leaf: int, value: Array) -> Array:
        """A change of a leaf's gradient, in a few numbers."""
        direction = self.directions.get(leaf)
        return np.zeros(1) if direction is None else np.asarray(np.ravel(value) @ direction)

    def functionals(self, tangents: Sequence[Array]) -> dict[Use, Array]:
        """What `sketches` wants: by use of a leaf, what each element of the node's gradient adds to the sketch."""
        found = {}
        for leaf in self.graph.parameters:
            direction = self.directions.get(leaf.index)
            for use in self.users[leaf.index]:
                if use not in self.truth.contributions:
                    continue
                node = self.nodes[use[0]]
                found[use] = np.zeros((int(np.prod(node.shape)), tangents[leaf.index].shape[1]))
                for k in np.flatnonzero(np.any(direction != 0, 0)) if direction is not None else ():
                    moved = self.pulled.tangent(node, use[1], direction[:, k].reshape(leaf.shape))  # type: ignore[index]
                    found[use][:, k] = np.ravel(np.broadcast_to(moved, node.shape))
        return found

    def tangents(self, directions: Mapping[int, Array]) -> list[Array]:
        """How every node moves when leaves move along ``directions``: by the true derivatives, forwards."""
        moved: dict[int, Array] = {}
        for node in self.nodes:
            if node.op is None:
                if node.index in directions:
                    moved[node.index] = directions[node.index]
                continue
            for slot, operand in enumerate(node.operands):
                if (
                    isinstance(operand, Ref)
                    and operand.index in moved
                    and (node.index, slot) in self.truth.contributions
                ):
                    share = self.pulled.tangent(node, slot, moved[operand.index])
                    before = moved.get(node.index)
                    moved[node.index] = share if before is None else before + share
        return [moved[n.index] if n.index in moved else np.zeros(n.shape) for n in self.nodes]


__all__ = ["Edit", "Part", "Record", "Rewrite", "Rule", "Truth", "Use"]
