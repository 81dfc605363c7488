"""Edits in which a part of the loss, such as a penalty, is made of another value than the program makes it of."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Ref
from .edit_context import Family, Scene
from .edited_rules import Valued
from .edited_walks import Edit, Rule, Use
from .edits_of_saved_values import descendants

#: a value with more operations than this between it and the loss is not taken for a part of the loss
MOST = 60


def of_the_loss(scene: Scene) -> Iterator[Edit]:
    """Edits of every operation that only the loss is made of: it reads another value, and sends to that."""
    states = {n.index for family in scene.states for n in family}
    for family in scene.families:
        below = descendants(scene, family)
        if len(below) <= MOST and not states & below and family[0].shape:
            for slot in scene.slots(family):
                if family[0].operands.index(family[0].operands[slot]) == slot:
                    yield from scene.attempts.items(_of_another(scene, family, slot, below))


def _of_another(scene: Scene, family: Family, slot: int, below: set[int]) -> Iterator[Edit]:
    record, line = scene.record, scene.line(family, slot) or []
    for rival in scene.families if line and record.nodes[line[0]].op is not None else ():
        right = record.nodes[line[-1]]
        others = [rival[k] for k in scene.beside(rival, family)] if rival[0].shape == right.shape else []
        if not others or others[-1] is right or any(o.index >= n.index for o, n in zip(others, family, strict=True)):
            continue
        read = {i: record.values[other.index] for i, other in zip(line, others, strict=True)}
        rule = Valued(read | record.recomputed({n.index: record.forward(n, read) for n in family}))
        uses: dict[Use, Rule] = {use: rule for use in record.truth.contributions if use[0] in below}
        sent: dict[Use, int | None] = {
            (n.index, k): other.index
            for n, i, other in zip(family, line, others, strict=True)
            for k, x in enumerate(n.operands)
            if x == Ref(i)
        }
        names = scene.name_of(family[-1], slot), scene.named(others[-1])
        text = f"{scene.named(family[-1])} is made of {names[1]} where {names[0]} belongs, and sends to that"
        yield Edit(f"At every step, {text}.", uses, sent=sent, cost=1.2)
