"""Edits in which the gradient goes on where the program detaches a value, or stops one step beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..graph import Node
from ..primitives import Primitive
from ..tensors import Array
from .edit_context import Scene
from .edited_walks import Edit, Record, Rule, Use, scaled


def of_detached(scene: Scene) -> Iterator[Edit]:
    """Edits in which the gradient goes on where the program detaches a value, or stops at other steps instead."""
    record, places = scene.record, dict[int, list[Use]]()
    for use in record.cuts:
        places.setdefault(scene.place[use[0]][0], []).append(use)
    on = {use: _uncut(op) for use, op in record.cuts.items()}
    name = scene.named(record.nodes[record.target_of(min(on))]) if on else ""
    if on:
        yield Edit(f"The gradient of {name} goes on where the program detaches it.", on, cost=1.05)
    for number, uses in places.items() if len(places) > 1 else ():
        source = scene.named(scene.all_families[number][-1])
        text = f"The gradient of {name} goes on where the program detaches it, but only what comes from {source}"
        yield Edit(f"{text}.", {use: on[use] for use in uses}, cost=1.15)
        rest = {use: rule for use, rule in on.items() if use not in uses}
        yield Edit(f"{text.replace('only', 'for')}.", rest, cost=1.15)
    for family in scene.states:
        carries = scene.carries(family)
        at = [t for t, uses in carries.items() if any(use in on for use in uses)]
        for t in at if len(at) > 1 else ():
            some = {use: on[use] for use in carries[t] if use in on}
            text = f"The gradient of {name} goes on at step {t + 1}, where the program detaches it."
            yield Edit(text, some, cost=1.2)
        for words, by in (("later", 1), ("earlier", -1)) if at else ():
            moved: dict[Use, Rule] = dict(on)
            for use in (use for t in at for use in carries.get(t + by, ())):
                if use in record.truth.contributions and use not in on:
                    moved[use] = scaled(0.0)
            text = f"The gradient of {name} stops one time step {words} than where the program detaches it."
            yield Edit(text, moved, cost=1.1)


def _uncut(op: Primitive) -> Rule:
    """The rule of a use, if nothing were detached there."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        return record.pull(replace(node, op=op), slot, g)

    return rule
