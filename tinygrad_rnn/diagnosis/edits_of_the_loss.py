"""Edits in which a part of the loss, such as a penalty, is made of another value than the program makes it of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Node, Ref
from .edit_context import Family, Scene
from .edited_rules import Valued
from .edited_walks import Edit, Rule, Use
from .edits_of_saved_values import descendants

#: of more operations between a value and the loss, it is no part of the loss alone
MOST = 60


def of_the_loss(scene: Scene) -> Iterator[Edit]:
    """Edits of every operation that only the loss is made of: it reads another value, and sends to that."""
    states = {n.index for family in scene.states for n in family}
    for family in scene.families:
        below = descendants(scene, family)
        if len(below) <= MOST and not states & below and family[0].shape:
            for slot in scene.slots(family):
                if family[0].operands.index(family[0].operands[slot]) == slot:
                    yield from scene.attempts.items(_of_another(scene, family, slot, sorted(below)))


def _of_another(scene: Scene, family: Family, slot: int, below: list[int]) -> Iterator[Edit]:
    record, line = scene.record, scene.line(family, slot) or []
    if not line or record.nodes[line[0]].op is None:
        return
    for rival in _rivals(scene, family, record.nodes[line[-1]]):
        changed = dict(zip(line, (record.values[n.index] for n in rival), strict=True))
        for index in below:
            node = record.nodes[index]
            operands = [
                changed[x.index] if isinstance(x, Ref) and x.index in changed else record.target(node, k)
                for k, x in enumerate(node.operands)
            ]
            changed[index] = np.asarray(node.op.forward(*operands, **node.attrs))  # type: ignore[union-attr]
        rule = Valued(changed)
        uses: dict[Use, Rule] = {(index, k): rule for index in below for k in range(len(record.nodes[index].operands))}
        sent: dict[Use, int | None] = {
            (n.index, k): other.index
            for n, i, other in zip(family, line, rival, strict=True)
            for k, x in enumerate(n.operands)
            if x == Ref(i)
        }
        live = {use: rule for use, rule in uses.items() if use in record.truth.contributions}
        names = scene.name_of(family[-1], slot), scene.named(rival[-1])
        text = f"{scene.named(family[-1])} is made of {names[1]} where {names[0]} belongs, and sends to that"
        yield Edit(f"At every step, {text}.", live, sent=sent, cost=1.2)


def _rivals(scene: Scene, family: Family, right: Node) -> Iterator[Family]:
    """Other values of the same shape at the steps of ``family``, made before it."""
    for rival in scene.families:
        places = scene.beside(rival, family) if rival[0].shape == right.shape else []
        if (
            places
            and rival[-1].index != right.index
            and all(rival[k].index < n.index for k, n in zip(places, family, strict=True))
        ):
            yield [rival[k] for k in places]
