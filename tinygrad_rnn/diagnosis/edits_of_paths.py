"""Edits of several operations in a row: a student's formula for them is one product, their derivative one factor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from . import edited_rules
from .edit_context import Family, Scene
from .edited_walks import Edit, Part, Rule, Use, scaled

#: operations in a row that are taken for one
LONGEST = 4
Way = tuple[Use, ...]  #: uses from a value to one it is made of


def of_paths(scene: Scene) -> Iterator[Edit]:
    """The derivative of a value by another of the same step forgotten, or sent without the gradient that arrives."""
    for family in scene.families:
        found: dict[int, dict[int, list[Way]]] = defaultdict(dict)
        for t, node in enumerate(family):
            for target, ways in _ways(scene, node).items():
                number = scene.place[target][0] if target in scene.place else -1
                if number >= 0 and (len(ways) > 1 or len(ways[0]) > 1):
                    found[number][t] = ways
        for number, at in found.items():
            yield from _as_one(scene, family, scene.all_families[number], at)


def _as_one(scene: Scene, family: Family, target: Family, at: dict[int, list[Way]]) -> Iterator[Edit]:
    record = scene.record
    forgotten: dict[Use, Rule] = {}
    alone: dict[Use, Rule] = {}
    parts: dict[Use, Part] = {}
    for t, ways in at.items():
        node = family[t]
        arriving = [use for use in record.users[node.index] if use in record.truth.contributions]
        if not arriving:
            return
        first, *others = (way[-1] for way in ways)
        slope = sum((_slope(scene, node, way) for way in ways), start=np.zeros(node.shape))
        forgotten |= dict.fromkeys(others, scaled(0.0)) | {first: edited_rules.passed_on}
        alone |= dict.fromkeys(others, scaled(0.0)) | {first: edited_rules.always(slope)}
        parts[first] = Part(tuple((use,) for use in arriving), instead=True)
    into = f"At every step, what {scene.named(target[-1])} receives from {scene.named(family[-1])}, by all ways,"
    yield Edit(f"{into} is that gradient as it is: the derivative is forgotten.", forgotten, parts=parts, cost=1.2)
    yield Edit(f"{into} is the derivative alone: the gradient is not in it.", alone, cost=1.3)


def _slope(scene: Scene, node: Node, way: Way) -> Array:
    """The derivative along one way."""
    g = np.ones(node.shape)
    for index, slot in way:
        g = scene.record.pull(scene.record.nodes[index], slot, g)
    return g


def _ways(scene: Scene, node: Node) -> dict[int, list[Way]]:
    """By value of the same step and shape: the ways to it, where what is between is used for nothing else."""
    record, sent, found = scene.record, scene.record.truth.contributions, dict[int, list[Way]]()
    open_ways: list[tuple[Node, Way]] = [(node, ())]
    for _ in range(LONGEST):
        longer: list[tuple[Node, Way]] = []
        for last, way in open_ways:
            if last.op is None or not last.op.elementwise:
                continue
            for slot, operand in enumerate(last.operands):
                if not isinstance(operand, Ref) or (last.index, slot) not in sent:
                    continue
                source, further = record.nodes[operand.index], (*way, (last.index, slot))
                if source.shape != node.shape or source.scope.step != node.scope.step:
                    continue
                found.setdefault(source.index, []).append(further)
                longer.append((source, further))
        open_ways = longer
    inner = {index: {i for way in ways for i, _ in way[1:]} for index, ways in found.items()}
    passed = {index: {use for way in ways for use in way} for index, ways in found.items()}
    return {
        index: ways for index, ways in found.items()
        if all(use in passed[index] for i in inner[index] for use in record.users[i] if use in sent)
    }  # fmt: skip
