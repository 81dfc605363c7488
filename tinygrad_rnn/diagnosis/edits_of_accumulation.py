"""Edits by which a variable of the backward loop is added up over the steps: ``+=`` where ``=`` belongs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..graph import Node
from .edit_context import Family, Scene
from .edited_walks import Edit, Part, Rule, Use, scaled


def of_accumulation(scene: Scene) -> Iterator[Edit]:
    """Edits that accumulate the gradient of a value, the contribution of a use, or all that a state receives."""
    for family in scene.families:
        if len(family) > 1:
            yield from scene.attempts.items(_gradient_added_up(scene, family))
            for slot, nodes in scene.slots(family).items():
                if len(nodes) > 1:
                    yield from scene.attempts.items(_share_added_up(scene, nodes, slot))
    for family in scene.states:
        yield from _carry_added_up(scene, family)


def _share_added_up(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """Edits in which the contribution of one use also contains those of all later steps."""
    record, text = scene.record, f"At every step, {scene.subject(family, slot)} is added to that of the step after"
    targets = {record.target_of((node.index, slot)) for node in family}
    if len(targets) == 1:  # of a weight: nothing is handed on, what step t sends counts t times
        uses: dict[Use, Rule] = {(n.index, slot): scaled(t + 1.0) for t, n in enumerate(family)}
        yield Edit(f"{text}, and the sum is added again at each step.", uses, cost=1.3)
        return
    parts = {
        (here.index, slot): Part((((after.index, slot),),), sign=0.0, passed=True)
        for here, after in pairwise(family)
        if record.nodes[record.target_of((here.index, slot))].shape
        == record.nodes[record.target_of((after.index, slot))].shape
    }
    yield Edit(f"{text}, not written anew.", parts=parts, cost=1.2)


def _carry_added_up(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which all that a state receives from the next step also contains that of all later steps."""
    carries = list(scene.carried(family).values())
    if len(carries) > 1 and max(map(len, carries)) > 1:
        parts = {
            here[0]: Part(tuple((use,) for use in after), sign=0.0, passed=True) for here, after in pairwise(carries)
        }
        text = f"At every step, all that {scene.named(family[-1])} receives of the next step is added to what it was"
        yield Edit(f"{text} for the step after, not written anew.", parts=parts, cost=1.15)


def _gradient_added_up(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which the gradient of a value also contains those of all later steps, as with one array for all."""
    record, name = scene.record, scene.named(family[-1])
    position = {node.scope.step: k for k, node in enumerate(family)}
    arriving = [record.senders(node.index) for node in family]
    if not all(arriving) or len({node.shape for node in family}) > 1:
        return

    def step(use: Use, otherwise: int) -> int:
        return position.get(record.nodes[use[0]].scope.step, otherwise)

    moved: dict[Use, int | None] = {}
    for k, uses in enumerate(arriving):
        for use in uses:
            if step(use, k) > k + 1:  # what is sent over several steps is in the array as soon as it is sent
                moved[use] = family[step(use, k) - 1].index
    parts: dict[Use, Part] = {}
    for k in range(len(family) - 1):
        own, after = [use for use in arriving[k] if use not in moved], _after(family, k, arriving, moved)
        if not own or min(own) >= min(after, default=(0, 0)):
            return
        parts[min(own)] = Part(tuple((use,) for use in after), sign=0.0, passed=True)
    begin = scene.carried(family).get(0, []) if scene.is_state(family) else []
    if begin and min(begin) < min(use for use in arriving[0] if use not in moved):
        parts[min(begin)] = Part(tuple((use,) for use in arriving[0] if use not in moved), sign=0.0, passed=True)
    text = f"At every step, the gradient of {name} is added to that of the step after"
    yield Edit(f"{text}: it is not begun anew.", parts=parts, sent=moved, cost=1.2)


def _after(family: list[Node], k: int, arriving: list[list[Use]], moved: dict[Use, int | None]) -> list[Use]:
    """The uses whose contributions arrive at the next node of the family, those moved there included."""
    there = family[k + 1].index
    return [use for use in arriving[k + 1] if use not in moved] + [use for use, to in moved.items() if to == there]
