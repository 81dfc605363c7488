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
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from ..dead_positions import pulled
from ..errors import GraphError
from ..graph import Graph, Node, Ref
from ..kept_walk import Sent, Walk, WalkStep, steps
from ..kinks_nearby import find_kinks
from ..norms import norm
from ..primitives.record import Unlisted
from ..recorded_tensors import recorded, refuse_written
from ..recurrence.annotate_time_steps import timed
from ..reverse_walk import walk
from ..rounding_noise import Noise, doubled, noise
from ..rule_answers import fitted
from ..source_names import constants, variables
from ..tensors import Array, Tensor
from .attempts import Attempts
from .local_derivatives import Cuts, Pulls, mended, unbroadcast, with_cuts
from .repeated_operations import with_all_rows, with_ends, with_live_beginnings, with_steps_of_readers
from .variables import with_variables

BESIDE = "\nAnd: "  #: between the words of two mistakes
Use = tuple[int, int]  #: a node, and which operand of it
Rule = Callable[["Record", Node, int, Array], Array]  #: what an edited use sends, from its node's gradient
Rewrite = Callable[[Mapping[int, Array]], Array]  #: a leaf's gradient as written down, from those of all leaves


@dataclass(frozen=True)
class Scaled:
    """The true contribution, times a number."""

    factor: float

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution that this rule sends to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return self.factor * record.pull(node, slot, g)


def scaled(factor: float) -> Rule:
    """A `Scaled` rule."""
    return Scaled(factor)


class ByElement:
    """A rule that only multiplies the gradient by a factor, where the operation is elementwise."""

    def factor(self, record: Record, node: Node, slot: int) -> Array:
        """The factor, an array of the node's shape."""
        raise NotImplementedError

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution that this rule sends to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return np.asarray(g * self.factor(record, node, slot))


@dataclass(frozen=True)
class Part:
    """Another gradient for a use than its node's: without the contributions of some uses, or with them twice."""

    of: tuple[tuple[Use, ...], ...]  #: what is left out, or added: a use, and those its share then passes, down to here
    sign: float = -1.0  #: 1: added; 0: neither
    instead: bool = False  #: nothing else is seen
    passed: bool = False  #: it is added to what is sent, as if nothing were between


@dataclass(eq=False)
class Edit:
    """One mistake: uses with another rule, saved values replaced by others, leaves written down wrongly."""

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
        """An edit with both mistakes; None if both change the same place."""
        mine, theirs = self._places(), other._places()
        if any(set(a) & set(b) for a, b in zip(mine, theirs, strict=True)) or set(self.uses) & set(other.parts):
            return None
        joined = [a | b for a, b in zip(mine, theirs, strict=True)]
        uses, values, leaves, parts, seeds, sent = joined
        return Edit(
            f"{self.words}{BESIDE}{other.words}", uses, values, leaves, parts, seeds, sent, self.cost + other.cost
        )

    def _places(self) -> list[dict[Any, Any]]:
        return [self.uses, self.values, self.leaves, self.parts, self.seeds, self.sent]

    @property
    def only(self) -> Use | None:
        """The use that this edit changes, if one changed rule is all of it, else None."""
        if len(self.uses) != 1 or self.values or self.leaves or self.parts or self.seeds or self.sent:
            return None
        return next(iter(self.uses))


@dataclass
class Moved:
    """Differences between edited walks and the true one: arrays with an axis of edits in front."""

    nodes: dict[int, Array] = field(default_factory=dict)
    uses: dict[Use, tuple[int, Array]] = field(default_factory=dict)  #: which node receives it, and how much more


class Record:
    """The computation in double precision: its graph, its values, and its true walk."""

    def __init__(self, loss: Tensor, failed: list[str] | None = None, as_it_is: bool = False) -> None:
        """``failed``: what could not be done is appended; ``as_it_is``: loops and names are not searched for."""
        if loss.numel() != 1 or not loss.requires_grad:
            raise GraphError("diagnose: the loss is one number that depends on a leaf with requires_grad=True")
        refuse_written(loss, "diagnose")
        self.attempts = Attempts([] if failed is None else failed)
        nothing: tuple[dict[int, str], dict[int, Any]] = {}, {}
        names, places = self.attempts.value("variables", lambda: variables([*recorded(loss).values()]), nothing)
        unwritten: dict[int, str] = {}
        texts = self.attempts.value("constants", lambda: dict(constants(recorded(loss), places)), unwritten)
        graph = plain = doubled(Graph(loss))
        own = {node.serial for node in graph.nodes if node.is_parameter}
        for rewrite in (
            lambda g: with_all_rows(g, places),
            lambda g: with_variables(timed(g), g, names),
            with_ends,
            with_steps_of_readers,
            lambda g: with_live_beginnings(g, places),
            mended,
        ):
            graph = self.attempts.value("reading the program", partial(rewrite, graph), graph)
        if as_it_is or not self.attempts.value("reading the program", lambda: self._keep(graph, places), False):
            self._keep(mended(plain), places, as_it_is=True)
        self.leaves = [node for node in self.nodes if node.op is None and node.serial in own]
        #: by node, how the program writes an array that is no tensor
        self.texts = {node.index: texts[node.serial] for node in self.nodes if node.serial in texts}

    def _keep(self, graph: Graph, places: Mapping[int, Any], as_it_is: bool = False) -> bool:
        self.graph, self.cuts = (graph, Cuts()) if as_it_is else with_cuts(graph)
        self.nodes = self.graph.nodes
        self.made_at: list[Any] = [places.get(node.serial) for node in self.nodes]  #: by which instruction
        self.values: list[Any] = [node.value for node in self.nodes]
        self.users: list[list[Use]] = [[] for _ in self.nodes]
        for source, target, slot in self.graph.edges:
            self.users[source].append((target, slot))
        self.pulled = Pulls(self)
        self.replaced: dict[Rule, dict[int, Array]] = {}  #: by rule, the values that it replaces
        tensors = self.graph.tensors()
        loss = tensors[self.graph.outputs[0]]
        position = {x.serial: index for index, x in enumerate(tensors)}
        self.truth = Walk(self.graph, steps(position, [loss], [np.ones(loss.shape)]))
        self.live = {step.node: step.live for step in self.truth.steps}
        return True

    @cached_property
    def _noise(self) -> Noise:
        """An estimate of the rounding error of the true walk, empty if rounding may move a choice across its kink.

        Values that are equal because they are one and the same value, or 0, stay equal: such a choice is not moved.
        """
        upstream = [np.ones(self.nodes[self.graph.outputs[0]].shape)]
        found = noise(self.graph, upstream, self.truth, np.float64, alike=True)
        leaves = [leaf.index for leaf in self.graph.parameters]
        kinks = find_kinks(self.graph, self.values, leaves, found.values)
        return Noise() if any(kink.margin or len(kink.node.operands) > 1 for kink in kinks) else found

    def noise(self, leaf: int, dtype: Any) -> Array:
        """The estimated error of a leaf's gradient, by element, if it is computed in ``dtype``."""
        found = self._noise.gradients.get(leaf, np.zeros(self.nodes[leaf].shape))
        return found * (np.finfo(dtype).eps / np.finfo(np.float64).eps)

    def scale(self, leaf: int) -> float:
        """The norm of the summed absolute contributions to a leaf: how large its gradient is without cancellation."""
        parts = [np.abs(self.truth.contributions[use]) for use in self.users[leaf] if use in self.truth.contributions]
        return norm(sum(parts)) if parts else 0.0

    def pull(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """The true contribution of a use for the gradient ``g``, in the operand's shape; ``changed``: other values."""
        return np.asarray(fitted(np.asarray(self.raw(node, slot, g, changed)), self.target(node, slot)))

    def raw(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """As `pull`, but not yet summed to the operand's shape where it was broadcast."""
        values = changed or {}
        operands = [values.get(x.index, self.values[x.index]) if isinstance(x, Ref) else x for x in node.operands]
        assert node.op is not None
        y = values.get(node.index, self.values[node.index])
        return np.asarray(pulled(node.op, slot, g, self.live.get(node.index), y, operands, node.attrs))

    def ruled(self, rule: Rule, node: Node, slot: int, g: Array) -> Array:
        """The contribution of a use by another rule, in the operand's shape."""
        return np.asarray(fitted(np.asarray(rule(self, node, slot, g)), self.target(node, slot)))

    def slope(self, node: Node, slot: int) -> Array:
        """The derivative of an elementwise operation, by element."""
        return self.pulled.slope(node, slot)

    def target(self, node: Node, slot: int) -> Any:
        """The value of an operand."""
        operand = node.operands[slot]
        return self.values[operand.index] if isinstance(operand, Ref) else operand

    def recomputed(self, feeds: Mapping[int, Array]) -> dict[int, Array]:
        """``feeds``, values by node, and every value that changes in the forward pass if those are given."""
        found = dict(feeds)
        for node in self.nodes:
            if node.index not in found and not found.keys().isdisjoint(node.sources):
                found[node.index] = self.forward(node, found)
        return found

    def forward(self, node: Node, changed: Mapping[int, Array]) -> Array:
        """The value of a node if some of its operands have other values, given by node."""
        operands = [changed.get(x.index, self.values[x.index]) if isinstance(x, Ref) else x for x in node.operands]
        assert node.op is not None
        return np.asarray(node.op.forward(*operands, **node.attrs))

    # Walks with edits ------------------------------------------------------------------------------------

    def differences(self, edit: Edit) -> dict[int, Array]:
        """For each leaf that is changed: the edited walk's gradient minus the true one."""
        moved = self.changes(edit)
        found = {leaf.index: moved[leaf.index][0] for leaf in self.leaves if leaf.index in moved}
        if edit.leaves:
            whole = {n.index: self.gradient(n.index) + found.get(n.index, 0.0) for n in self.leaves}
            for leaf, rewrite in edit.leaves.items():
                found[leaf] = np.asarray(rewrite(whole)) - self.gradient(leaf)
        return found

    def changes(self, edit: Edit) -> dict[int, Array]:
        """For each node that is changed: the edited walk's gradient minus the true one, with an axis more in front."""
        return self._walks([edit])[0].nodes

    def exact(self, edit: Edit) -> dict[int, Array]:
        """As `differences`, without the cancellation where the edited gradient is far smaller than the true one."""
        nothing = copy(self)
        blank = [
            WalkStep(
                step.node,
                np.zeros_like(step.gradient),
                tuple(
                    Sent(slot, target, np.zeros_like(self.truth.contributions[step.node, slot]))
                    for slot, target, _ in step.contributions
                ),
            )
            for step in self.truth.steps
        ]
        nothing.truth = Walk(self.graph, blank)
        loss = self.graph.outputs[0]
        seed = np.ones(self.nodes[loss].shape) + edit.seeds.get(loss, 0.0)
        found = nothing.differences(replace(edit, seeds={**edit.seeds, loss: seed}))
        return {leaf.index: found.get(leaf.index, 0.0) - self.gradient(leaf.index) for leaf in self.leaves}

    def walked(self, edit: Edit) -> Walk:
        """The whole edited walk: the nodes last made first, unless an edit that sends elsewhere needs another order."""
        moved, order = self._walks([edit])
        found = []
        for index in order:
            if index not in self.truth.gradients and index not in moved.nodes:
                continue
            sent = []
            for slot, operand in enumerate(self.nodes[index].operands):
                use = index, slot
                true = self.truth.contributions.get(use)
                if use in moved.uses:
                    target, more = moved.uses[use]
                    sent.append(Sent(slot, target, more[0] if use in edit.sent or true is None else true + more[0]))
                elif true is not None and isinstance(operand, Ref):
                    sent.append(Sent(slot, operand.index, true))
            gradient = self.gradient(index) + (moved.nodes[index][0] if index in moved.nodes else 0.0)
            found.append(WalkStep(index, gradient, tuple(sent)))
        rewritten = self.differences(edit) if edit.leaves else {}
        for k, step in enumerate(found):
            if step.node in edit.leaves:
                found[k] = step._replace(gradient=self.gradient(step.node) + rewritten[step.node], replaced="mistake")
        return Walk(self.graph, found)

    def sketches(self, edits: Sequence[Edit], functionals: Mapping[Use, Array], rows: int) -> Array:
        """For each edit ``rows`` numbers: the products of what it changes with fixed directions; shape (edits, rows).

        ``functionals``: for each use of a leaf (elements of the node, rows), the direction moved on to that node.
        """
        for edit in edits:
            assert not edit.leaves and not edit.sent
        result = np.zeros((len(edits), rows))
        moved = self._walks(edits, functionals, result)[0].nodes
        for leaf in self.leaves:
            if leaf.index in moved:  # a seed at a leaf
                result += np.array([self.sketched(leaf.index, row) for row in moved[leaf.index]])
        return result

    def _walks(
        self, edits: Sequence[Edit], functionals: Mapping[Use, Array] | None = None, result: Array | None = None
    ) -> tuple[Moved, list[int]]:
        """Walk the differences of all edits at once: what each changes, by node and use, and the order of the walk.

        With ``functionals``, the products of what arrives at leaves are added to ``result``, (edits, rows).
        """
        count, truth, moved = len(edits), self.truth, Moved()
        special: dict[Use, list[int]] = defaultdict(list)  #: by use: the edits that it is edited by
        scales: dict[Use, dict[int, float]] = defaultdict(dict)  #: those that only multiply
        #: those that multiply the gradient, element by element
        factors: dict[Use, dict[int, ByElement]] = defaultdict(dict)
        wanted: set[Use] = set()
        starts: dict[int, Array] = {}
        elsewhere: dict[Use, int | None] = {}
        for k, edit in enumerate(edits):
            nodes = {i for index in edit.values for i in (index, *(user for user, _ in self.users[index]))}
            slots = {(i, slot) for i in nodes for slot in range(len(self.nodes[i].operands))}
            for use in slots | set(edit.uses) | set(edit.parts):
                rule = edit.uses.get(use)
                if isinstance(rule, Scaled) and use not in edit.parts:
                    scales[use][k] = rule.factor
                elif self._by_element(use, rule) and not edit.parts and not edit.values:
                    factors[use][k] = rule  # type: ignore[assignment]
                else:
                    special[use].append(k)
            wanted |= {way[0] for part in edit.parts.values() for way in part.of}
            seeds = list(edit.seeds.items())
            seeds += [
                (self.target_of(use), -truth.contributions[use]) for use in edit.sent if use in truth.contributions
            ]
            for index, seed in seeds:
                starts.setdefault(index, np.zeros((count, *seed.shape)))[k] += seed
            elsewhere |= edit.sent
        blank = {
            index: np.broadcast_to(0.0, (count, *self.nodes[index].shape))
            for index in {index for index, _ in (*special, *scales, *factors, *elsewhere)}
            & set(truth.gradients) - set(starts)
        }
        tensors = self._joined(elsewhere) if elsewhere else self._as_they_are
        if tensors is None:
            return moved, []
        position = {x.serial: index for index, x in tensors.items()}
        kept: dict[Use, Array] = {}

        def send(sender: Tensor, slot: int, here: Array | None, *_: Any) -> Array | None:
            index = position[sender.serial]
            node, use = self.nodes[index], (index, slot)
            sent, true_gradient = truth.contributions.get(use), self.gradient(index)
            here = None if here is blank.get(index) else here
            added = use in elsewhere
            if sent is None:
                sent = self.pull(node, slot, true_gradient)
            others: dict[int, Array] = {}
            for k in special.get(use, ()):
                gradient = true_gradient if here is None else true_gradient + here[k]
                value = self._edited(edits[k], node, slot, gradient, kept, k)
                if value is not None:
                    others[k] = fitted(np.asarray(value), sent) - sent
            if use in factors:
                rows = list(factors[use])
                values = np.empty((len(rows), *node.shape))
                for row, rule in enumerate(factors[use].values()):
                    values[row] = rule.factor(self, node, slot)
                gradients = true_gradient[None] if here is None else true_gradient + here[rows]
                others |= dict(zip(rows, unbroadcast(gradients * values, sent.shape) - sent, strict=True))
            multiplied = list(scales.get(use, ()))
            numbers = np.array(list(scales.get(use, {}).values()))
            if here is None and not others and not multiplied and not added:
                return None
            if functionals is not None and use in functionals:
                assert result is not None
                more = np.zeros(result.shape) if here is None else here.reshape(count, -1) @ functionals[use]
                if others:
                    more[list(others)] = self._sketched_all(self.target_of(use), list(others.values()))
                if multiplied:
                    whole = self.sketched(self.target_of(use), sent)
                    more[multiplied] = np.outer(numbers - 1, whole) + numbers[:, None] * more[multiplied]
                np.add(result, more, out=result)
                return None
            change = np.zeros((count, *sent.shape)) if here is None else self.pulled.many(node, slot, here)
            if others or multiplied:
                change = change if change.flags.writeable else change.copy()
            if others:
                change[list(others)] = list(others.values())
            if multiplied:
                change[multiplied] = numbers.reshape(-1, *[1] * sent.ndim) * (sent + change[multiplied]) - sent
            if use in wanted:
                kept[use] = change
            if added:
                change = sent + change
            if functionals is None:
                moved.uses[use] = position[sender.operands[slot].serial], change  # type: ignore[union-attr]
            return change

        begin = blank | starts
        for step in walk([tensors[index] for index in begin], list(begin.values()), send=send):
            moved.nodes[position[step.node.serial]] = step.gradient
        return moved, sorted(tensors, key=lambda index: -tensors[index].serial)

    def _by_element(self, use: Use, rule: Rule | None) -> bool:
        op = self.nodes[use[0]].op
        return isinstance(rule, ByElement) and op is not None and op.elementwise

    def senders(self, index: int) -> list[Use]:
        """The uses of a node through which its gradient arrives."""
        return [use for use in self.users[index] if use in self.truth.contributions]

    def target_of(self, use: Use) -> int:
        """The index of the node that a use reads."""
        operand = self.nodes[use[0]].operands[use[1]]
        assert isinstance(operand, Ref)
        return operand.index

    def _joined(self, elsewhere: Mapping[Use, int | None]) -> dict[int, Tensor] | None:
        """The nodes as tensors whose operands are the targets of what they send; None if these form a circle."""
        arriving: list[dict[int, int]] = [{} for _ in self.nodes]  # by sender: slot, target
        for use in {**self.truth.contributions, **elsewhere}:
            target = elsewhere.get(use, self.target_of(use))
            if target is not None:
                arriving[use[0]][use[1]] = target
        return _tensors(self.nodes, arriving)

    @cached_property
    def _as_they_are(self) -> dict[int, Tensor] | None:
        return self._joined({})

    def _edited(
        self, edit: Edit, node: Node, slot: int, gradient: Array, kept: Mapping[Use, Array], k: int
    ) -> Array | None:
        """The contribution of a use in the ``k``-th edit, given its node's gradient; None if the true rule holds."""
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
            if part.instead or part.sign:
                gradient = np.asarray(whole if part.instead else gradient + part.sign * whole)
            extra = whole if part.passed else 0.0
        if rule is not None:
            return self.ruled(rule, node, slot, gradient) + extra
        if part is not None or any(
            index == node.index or (index, node.index) in self._operands for index in edit.values
        ):
            return self.pull(node, slot, gradient, edit.values) + extra
        return None

    @cached_property
    def _operands(self) -> set[tuple[int, int]]:
        return {(source, target) for source, target, _ in self.graph.edges}

    def gradient(self, index: int) -> Array:
        """The true gradient of a node."""
        found = self.truth.gradients.get(index)
        return np.zeros(self.nodes[index].shape) if found is None else found

    # Sketches --------------------------------------------------------------------------------------------

    #: by leaf: (elements, rows), zero but in the leaf's row
    directions: Mapping[int, Array]

    def sketched(self, leaf: int, value: Array) -> Array:
        """The products of a change of a leaf's gradient with the directions, shape (rows,)."""
        return self._sketched_all(leaf, [value])[0]

    def _sketched_all(self, leaf: int, values: Sequence[Array]) -> Array:
        direction = self.directions.get(leaf)
        return np.zeros((len(values), 1)) if direction is None else np.reshape(values, (len(values), -1)) @ direction

    def functionals(self, tangents: Sequence[Array]) -> dict[Use, Array]:
        """For each use of a leaf: the products of its node's unit gradients with the directions, (elements, rows)."""
        found = {}
        for leaf in self.leaves:
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
        """The derivative of every node along ``directions`` of the leaves, computed forwards by the true rules."""
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


def _tensors(nodes: Sequence[Node], arriving: Sequence[Mapping[int, int]]) -> dict[int, Tensor] | None:
    """One tensor per node, whose operands are the nodes in ``arriving`` (operand position to node); None for a circle.

    A tensor is made after those that it sends to, so that a walk visits senders first.
    """
    senders: dict[int, set[int]] = {index: set() for index in range(len(nodes))}
    for index, slots in enumerate(arriving):
        for target in slots.values():
            senders[target].add(index)
    sorter = TopologicalSorter(senders)
    try:
        sorter.prepare()
    except CycleError:
        return None
    order: list[int] = []
    ready: list[int] = []
    while sorter.is_active():
        for index in sorter.get_ready():
            heapq.heappush(ready, -index)
        order.append(-heapq.heappop(ready))
        sorter.done(order[-1])
    made: dict[int, Tensor] = {}
    for index in reversed(order):
        node, x = nodes[index], Tensor._leaf(np.asarray(nodes[index].value))
        x.requires_grad = node.requires_grad
        if arriving[index]:
            x.op = _SENDS
            x.operands = tuple(
                [made[arriving[index][slot]] if slot in arriving[index] else 0.0 for slot in range(len(node.operands))]
            )
        made[index] = x
    return made


#: of these tensors only who sends to whom counts: what is sent, the walks with edits say themselves
_SENDS = Unlisted("sends", "→", lambda *shapes: shapes[0], lambda x, *_: x, vjp=lambda _slot, g, _y, *_x: g)

__all__ = ["Edit", "Part", "Record", "Rewrite", "Rule", "Use"]
