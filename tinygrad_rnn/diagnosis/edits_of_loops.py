"""Edits of the loop over time: steps left out, sums begun anew, values that another step saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Family, Scene, is_nonlinear
from .edited_rules import Valued, passed_on, so_far
from .edited_walks import Edit, Part, Record, Rule, Use, scaled
from .repeated_operations import times

#: of more rows than this, not each is tried
ROWS = 64


def of_loops(scene: Scene) -> Iterator[Edit]:
    """Edits of whole steps, of all weights together, and of operations that hold all steps at once."""
    for loop in _loops(scene):
        for kind in (_skipped, _every_weight, _saved_by_another_step):
            yield from scene.attempts.items(kind(scene, loop))
    yield from scene.attempts.items(_saved_by_another_cell(scene))
    yield from _at_once(scene)


Loop = dict[int, list[Node]]  #: by step


def _loops(scene: Scene) -> list[Loop]:
    """For each loop of the program: its nodes by time step, in the order of computation."""
    spans = sorted(
        (f[0].index, f[-1].index) for f in scene.all_families if len(f) > 1 and None not in {n.scope.step for n in f}
    )
    ranges: list[tuple[int, int]] = []
    for first, last in spans:
        if ranges and first < ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(last, ranges[-1][1])
        else:
            ranges.append((first, last))
    loops = []
    for first, last in ranges:
        loop: Loop = defaultdict(list)
        for node in scene.record.nodes:
            if node.op is not None and node.scope.step is not None and first <= node.index <= last:
                loop[node.scope.step].append(node)
        loops.append(dict(sorted(loop.items(), key=lambda each: each[1][0].index)))
    return [loop for loop in loops if len(loop) > 1]


def _skipped(scene: Scene, loop: Loop) -> Iterator[Edit]:
    """Edits that leave out the first or last step: it sends nothing, or hands on unchanged what was carried to it."""
    record, steps = scene.record, list(loop)
    ends = [(at, words, {n.index for n in loop[at]}) for at, words in ((steps[0], "first"), (steps[-1], "last"))]
    ends += [(at, words, _of_the_states(scene, whole)) for at, words, whole in ends]
    for at, words, inside in ends:
        cut: dict[Use, Rule] = {
            (index, slot): scaled(0.0)
            for index, slot in record.truth.contributions
            if index in inside
            and (target := record.nodes[record.target_of((index, slot))]).index not in inside
            and (target.op is None or target.shape)
        }
        text = f"The {words} step is left out, as by a loop over one step too few: nothing leaves it"
        yield Edit(f"{text}.", cut, cost=1.05)
        rows = {use: _without([steps.index(at)], axis) for use, axis, count in _with_rows(scene) if count == len(steps)}
        if rows:
            yield Edit(f"{text}, nor is its part of what is made of all steps at once.", cut | rows, cost=1.1)
        passed: dict[Use, Rule] = {}
        parts: dict[Use, Part] = {}
        for family in scene.states:
            chain = scene.chain(family)
            for t, uses in scene.carries(family).items():
                if t + 1 == len(chain):
                    continue
                users = scene.carries(family).get(t + 1) or record.users[chain[t + 1]]
                arriving = tuple((use,) for use in users if use in record.truth.contributions and use[0] not in inside)
                if chain[t + 1] in inside and arriving and uses[0] in cut:
                    passed[uses[0]], parts[uses[0]] = passed_on, Part(arriving, instead=True)
        if parts:
            text = f"{text}, and what was carried to it is handed on as it is."
            yield Edit(text, cut | passed, parts=parts, cost=1.1)


def _of_the_states(scene: Scene, step: set[int], states: Sequence[Family] | None = None) -> set[int]:
    """The nodes in ``step`` that the states of this step depend on; the others may be walked for all steps at once."""
    states = scene.states if states is None else states
    pending = [n.index for family in states for n in family if n.index in step]
    found = set(pending)
    while pending:
        new = {k for k in scene.record.nodes[pending.pop()].sources if k in step} - found
        found |= new
        pending += new
    return found


def _saved_by_another_step(scene: Scene, loop: Loop) -> Iterator[Edit]:
    """Edits in which every rule of a step, or of one layer's step, uses all values that another step saved."""
    record, steps = scene.record, list(loop)
    whole = {n.index for nodes in loop.values() for n in nodes}
    made_of = {scene.named(f[-1]): (f, _of_the_states(scene, whole, [f])) for f in scene.states}
    cells = dict[str, set[int]]()
    for name, (state, inside) in made_of.items():  # without what it reads of the layers below
        below = [other for f, other in made_of.values() if f[-1].index in inside and state[0].index not in other]
        cells[f"of the step of {name}"] = inside.difference(*below)
    last = len(steps) - 1
    for words, of in (
        ("the last step", lambda k: last),
        ("the first step", lambda k: 0),
        ("the step before", lambda k: max(k - 1, 0)),
        ("the step before, of the last at the first (index −1)", lambda k: k - 1),
        ("the step after", lambda k: min(k + 1, last)),
        ("the step counted from the other end", lambda k: last - k),
    ):
        for what, inside in {"of each step": whole, **cells}.items():
            uses: dict[Use, Rule] = {}
            for family in scene.families:
                at = {n.scope.step: n for n in family if n.index in inside}
                for k, step in enumerate(steps):
                    node, other = at.get(step), at.get(steps[of(k)])
                    if node is not None and other is not None and node is not other:
                        uses |= dict.fromkeys(_reading(record, node), Valued(_as_in(record, node, other)))
            if len({scene.place[index][0] for index, _ in uses}) > 1:
                yield Edit(f"Every rule {what} uses what {words} saved.", uses, cost=1.15)


def _saved_by_another_cell(scene: Scene) -> Iterator[Edit]:
    """Edits in which every rule of a cell uses what another cell alike saved."""
    record, made = scene.record, defaultdict[tuple[str, bool], list[Edit]](list)
    for one, other, there in scene.alike.cells():
        names = [scene.named(scene.alike.node(place)) for place in (one, other)]
        text = f"Every rule of the cell of {names[0]} uses what that of {names[1]} saved"
        weights = {index for kind, index in there if kind == "leaf" and record.nodes[index].requires_grad}
        state = {n.index for n in scene.all_families[one[1]]}
        inside = {scene.place[n.index][0] for n in scene.made_of_step(scene.all_families[one[1]])} | {one[1]}
        cell = {k for k in inside if state & {(last := scene.all_families[k][-1].index), *scene.ancestors(last)}}
        around = {number for _, number in there}
        for how, back_to_front, kept, places in (
            ("", False, weights, around),
            (", but for what it is fed with", False, weights, cell),
            (", counted from the other end", True, weights, around),
            (", its weights too", False, set[int](), around),
        ):
            uses = dict[Use, Rule]()
            for (kind, number), (_, twin) in there.items():
                family = scene.all_families[number] if kind == "family" and number in places else []
                others = scene.all_families[twin][:: -1 if back_to_front else 1] if family else []
                for node, like in zip(family, others, strict=False):
                    own = {
                        i for i in node.sources if {*(record.nodes[i].sources or [i])} <= kept
                    }  # also a weight transposed
                    if (node.op, node.shape) == (like.op, like.shape) and node.scope.step is not None:
                        changed = {i: value for i, value in _as_in(record, node, like).items() if i not in own}
                        uses |= dict.fromkeys(_reading(record, node), Valued(changed))
            edit = Edit(f"{text}{how}.", uses, cost=1.15)
            yield edit
            if (onward := _goes_on(scene, one)) == _goes_on(scene, other):
                for before in made[how, not onward]:
                    if (both := before.together(edit)) is not None:
                        words = f"{before.words[:-1]}, and {edit.words[:1].lower()}{edit.words[1:]}"
                        yield replace(both, words=words, cost=1.2)
                made[how, onward].append(edit)


def _goes_on(scene: Scene, place: tuple[str, int]) -> bool:
    """Whether the first step of a state is the first in time."""
    family = scene.all_families[place[1]]
    return (family[0].scope.step or 0) < (family[-1].scope.step or 0)


def _reading(record: Record, node: Node) -> list[Use]:
    """The uses of ``node`` whose rules need a saved value."""
    assert node.op is not None
    uses = [
        (node.index, slot) for slot in range(len(node.operands)) if (node.index, slot) in record.truth.contributions
    ]
    return [use for use in uses if node.op.values_needed(use[1]) != (False, ())]


def _as_in(record: Record, node: Node, other: Node) -> dict[int, Array]:
    """The saved values of ``node`` and its operands replaced by those of ``other``, by node."""
    changed = {node.index: record.values[other.index]}
    for x, y in zip(node.operands, other.operands, strict=True):
        if isinstance(x, Ref) and isinstance(y, Ref) and record.nodes[x.index].shape == record.nodes[y.index].shape:
            changed[x.index] = record.values[y.index]
    return changed


def _every_weight(scene: Scene, loop: Loop) -> Iterator[Edit]:
    """Edits that drop, at some steps, all contributions to every weight, or to the weights of one gate."""
    sent: dict[int, list[Use]] = defaultdict(list)
    for nodes in loop.values():
        for node in nodes:
            for slot, x in enumerate(node.operands):
                weight = isinstance(x, Ref) and scene.record.nodes[x.index].op is None
                if weight and (node.index, slot) in scene.record.truth.contributions and not node.op.chooses:  # type: ignore[union-attr]
                    sent[x.index].append((node.index, slot))  # type: ignore[union-attr]
    step = {node.index: k for k, nodes in enumerate(loop.values()) for node in nodes}
    for words, uses in _groups(scene, {leaf: uses for leaf, uses in sent.items() if len(uses) > 1}).items():
        for when, at, price in times(len(loop), windows=True):
            lost = {use: scaled(0.0) for use in uses if step[use[0]] in at}
            text = f"{when}, what {words} receives"
            yield Edit(f"{text} is missing.", lost, cost=price + 0.1, scaling=text)


def _groups(scene: Scene, sent: Mapping[int, Sequence[Use]]) -> dict[str, list[Use]]:
    """Groups of weights that one mistake may concern, by description: all, the matrices, those of a gate, of a layer.

    The values are all contributions to the weights of the group.
    """
    record, found = scene.record, dict[str, set[int]]()
    found["every weight"] = set(sent)
    found["every matrix"] = {leaf for leaf in sent if len(record.nodes[leaf].shape) > 1}
    found["every bias"] = {leaf for leaf in sent if len(record.nodes[leaf].shape) == 1}
    cells: dict[str, set[int]] = defaultdict(set)
    for gate in scene.gates:
        pending, reached = list(gate[-1].sources), set[int]()
        while pending:
            node = record.nodes[pending.pop()]
            reached |= {node.index} & sent.keys()
            if node.op is not None and node.scope.step == gate[-1].scope.step and not is_nonlinear(node):
                pending += node.sources
        names = [scene.named(record.nodes[leaf]) for leaf in sorted(reached)]
        found[f"each of {', '.join(names)}"] = reached
        for cell in (".".join(gate[-1].scope.path), ""):
            cells[f"every weight of {cell or 'the recurrence'}"] |= reached
    found |= cells
    known: list[set[int]] = []
    groups: dict[str, list[Use]] = {}
    for words, leaves in found.items():
        if len(leaves) > 1 and leaves not in known:
            known.append(leaves)
            groups[words] = [use for leaf in leaves for use in sent[leaf]]
    return groups


def _with_rows(scene: Scene) -> Iterator[tuple[Use, int, int]]:
    """Uses of weights by one operation for all steps, or rows: the use, the axis of the steps, and their number."""
    for family in scene.families:
        node = family[0]
        if len(family) > 1 or node.op is None or not (node.op.kind == "contraction" or node.op.elementwise):
            continue
        for slot in scene.slots(family):
            leaf = scene.record.nodes[scene.record.target_of((node.index, slot))]
            for axis, count in enumerate(node.shape[:-1] or node.shape):
                if leaf.op is None and leaf.shape != node.shape and 1 < count <= ROWS:
                    yield (node.index, slot), axis, count


def _at_once(scene: Scene) -> Iterator[Edit]:
    """Edits that drop the contributions of some steps, or rows, of one operation that holds all of them."""
    for family in scene.families:
        node = family[0]
        uses = [(n.index, slot) for slot, nodes in scene.slots(family).items() for n in nodes]
        for axis, count in enumerate(node.shape[:-1]):
            if not 1 < count <= ROWS:
                continue
            text = f"At every step, the gradient of {scene.named(family[-1])} at each place along axis {axis}"
            for start, where in ((1, "before"), (-1, "after")):
                added: dict[Use, Rule] = dict.fromkeys(uses, so_far(axis, start))
                yield Edit(f"{text} is added to those {where} it: their array is not cleared.", added, cost=1.25)
            for k in range(1, count) if len(family) == 1 and node.op is not None and not node.op.chooses else ():
                for gone, where in ((range(k), f"up to place {k}"), (range(k, count), f"from place {k + 1} on")):
                    lost: dict[Use, Rule] = dict.fromkeys(uses, _without(gone, axis))
                    text = f"The gradient of {scene.named(node)} is missing {where} of axis {axis}."
                    yield Edit(text, lost, cost=1.3)
    for use, axis, count in _with_rows(scene):
        kind = "step" if count == scene.steps else f"row along axis {axis}" if axis else "row"
        subject = scene.subject([scene.record.nodes[use[0]]], use[1])
        for when, at, price in times(count, windows=True):
            text = f"{when.replace('step', kind)}, {subject} is missing."
            yield Edit(text, {use: _without(at, axis)}, cost=price + 0.02)


def _without(at: Sequence[int], axis: int) -> Rule:
    """The true rule, applied to the gradient with the rows ``at`` set to 0."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        kept = np.array(g)
        kept[(slice(None),) * axis + (list(at),)] = 0.0
        return record.pull(node, slot, kept)

    return rule
