"""Edits of several operations in a row that a student may differentiate by one formula, such as a softmax."""

from __future__ import annotations

from ast import Expression, parse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from . import edited_rules, rules_as_text
from .edit_context import Family, Scene
from .edited_walks import Edit, Part, Rule, Use, scaled

#: operations in a row that are taken for one: of each element by itself, or along an axis
LONGEST, ALONG = 4, 10
Way = tuple[Use, ...]  #: uses from a value to one it is made of
Beside = tuple[Use, Rule, list[Use]]  #: a use, its wrong rule, and the uses through which its gradient arrives


def of_paths(scene: Scene) -> Iterator[Edit]:
    """Edits of all that a value receives from another value of the same step, along all paths between the two."""
    for family in scene.families:
        for target, at in _pairs(scene, family, LONGEST, along=False):
            yield from _as_one(scene, family, target, at)
            yield from _passing_by(scene, family, target, at)
        for target, at in _pairs(scene, family, ALONG, along=True):
            yield from _as_a_formula(scene, family, target, at)
            yield from _without_a_factor(scene, family, target, at)
        yield from scene.attempts.items(_beside_the_product(scene, family))


def _pairs(scene: Scene, family: Family, longest: int, along: bool) -> Iterator[tuple[Family, list[list[Way]]]]:
    """The families that ``family`` is computed from within a step, each with the paths to it at every step."""
    found: dict[int, list[list[Way]]] = defaultdict(list)
    for node in family:
        for target, ways in _ways(scene, node, longest, along).items():
            if target in scene.place and (len(ways) > 1 or len(ways[0]) > 1):
                found[scene.place[target][0]].append(ways)
    for number, at in found.items():
        if len(at) == len(family):
            yield scene.all_families[number], at


def _as_one(scene: Scene, family: Family, target: Family, at: list[list[Way]]) -> Iterator[Edit]:
    """Edits that replace the derivative along all paths by 1, or send it without the gradient."""
    forgotten = sent_together(scene, family, at, lambda node, ways: edited_rules.passed_on)
    alone = sent_together(
        scene, family, at, lambda node, ways: edited_rules.always(_pulled(scene, ways, np.ones(node.shape)))
    )
    into = f"At every step, what {scene.named(target[-1])} receives from {scene.named(family[-1])}, by all ways,"
    for words, edit, cost in (
        ("that gradient as it is: the derivative is forgotten", forgotten, 1.2),
        ("the derivative alone: the gradient is not in it", alone, 1.35),
    ):
        if edit is not None:
            yield replace(edit, words=f"{into} is {words}.", cost=cost)
    for words, slope in edited_rules.SLOPES.items():

        def sloped(node: Node, ways: list[Way], slope: edited_rules.Slope = slope) -> Rule:
            way = ways[0][-1]
            factor = slope(scene.record.values[node.index], scene.record.target(scene.record.nodes[way[0]], way[1]))
            return lambda record, node, slot, g: g * factor

        edit = sent_together(scene, family, at, sloped)
        if edit is not None and words[:2] != "1:":
            yield replace(edit, words=f"{into} is the gradient times {words}.", cost=1.35)


def _passing_by(scene: Scene, family: Family, target: Family, at: list[list[Way]]) -> Iterator[Edit]:
    """Edits in which a part of what a value receives passes several derivatives by, such as those of a clipping."""
    record, groups = scene.record, defaultdict[str, dict[Use, int | None]](dict)
    places = defaultdict[str, set[int]](set)
    for node, ways in zip(family, at, strict=True):
        if len(ways) > 1 or any(len({s for i, s in record.truth.contributions if i == k}) > 1 for k, _ in ways[0]):
            return
        end = record.target_of(ways[0][-1])
        for use in (use for use in record.senders(node.index)):
            later = record.nodes[use[0]].scope.step not in (None, node.scope.step)
            number = scene.place[use[0]][0]
            for source in ("the next step" if later else "its own step", scene.named(scene.all_families[number][-1])):
                groups[source][use] = end
                places[source].add(number)
    for source, sent in groups.items():
        if len(sent) < sum(len(uses) for uses in groups.values()) / 2 and (source[0] == "⟦" or len(places[source]) > 1):
            names = scene.named(family[-1]), scene.named(target[-1])
            text = f"At every step, what {names[0]} receives from {source} is handed on to {names[1]} as it is"
            yield Edit(f"{text}: the derivatives between them are not on it.", sent=sent, cost=1.2)


def _beside_the_product(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits by which a factor is applied before a product with a matrix that belongs behind it, or the other way."""
    record, sent = scene.record, scene.record.truth.contributions
    after, before = defaultdict[int, list[Beside]](list), defaultdict[int, list[Beside]](list)
    for node in family if family[0].op is not None and family[0].op.kind == "contraction" else ():
        for slot in [k for k in range(len(node.operands)) if (node.index, k) in sent]:
            made = record.nodes[record.target_of((node.index, slot))]
            if made.op is None or made.shape != node.shape:
                continue
            arriving, factor = record.senders(node.index), np.ones(node.shape)
            while len(arriving) == 1 and _by_element(scene, node, arriving[0]):
                ((user, through),) = arriving
                factor, arriving = factor * record.slope(record.nodes[user], through), record.senders(user)
                if np.any(factor != 1):
                    after[scene.place[user][0]].append(((node.index, slot), edited_rules.Times(factor), arriving))
                    break
            for k in range(len(made.operands)) if len(record.users[made.index]) == 1 else ():
                if (made.index, k) in sent and _by_element(scene, node, (made.index, k)):
                    rule = _first_multiplied(node, slot, record.slope(made, k))
                    before[scene.place[made.index][0]].append(((made.index, k), rule, record.senders(node.index)))
    name = scene.named(family[-1])
    for found, where in ((after, "after the product with the matrix"), (before, "before the product with the matrix")):
        for number, changes in found.items():
            uses: dict[Use, Rule] = {use: rule for use, rule, _ in changes}
            parts = {use: Part(tuple((u,) for u in arriving), instead=True) for use, _, arriving in changes}
            at = scene.named(scene.all_families[number][-1])
            if len(changes) >= len(family) - 1:
                yield Edit(
                    f"At every step, on the way back through {name} the factor at {at} is applied {where}.",
                    uses,
                    parts=parts,
                    cost=1.25,
                )


def _by_element(scene: Scene, node: Node, use: Use) -> bool:
    user = scene.record.nodes[use[0]]
    return user.op is not None and user.op.elementwise and user.shape == node.shape


def _first_multiplied(node: Node, slot: int, factor: Array) -> Rule:
    """The contribution of ``node`` for the gradient times ``factor``."""
    return lambda record, _node, _slot, g: record.pull(node, slot, g * factor)


def _as_a_formula(scene: Scene, family: Family, target: Family, at: list[list[Way]]) -> Iterator[Edit]:
    """Edits of a softmax or a norm made of several operations: small changes of the formula for its gradient."""
    found = next(_recognized(scene, family[-1], at[-1]), None)
    if found is None:
        return
    formula, axis, divisor = found
    into = f"At every step, what {scene.named(target[-1])} receives from {scene.named(family[-1])}, by all ways,"
    for words, changed in rules_as_text.changed(formula):

        def rule(node: Node, ways: list[Way], formula: Expression = changed) -> Rule:
            return rules_as_text.written(formula, _values(scene, node, ways, divisor), axis)

        edit = sent_together(scene, family, at, rule)
        if edit is not None:
            yield replace(edit, words=f"{into} is {words} instead of {formula}.", cost=1.2)
    for other in range(len(family[-1].shape)):

        def along(node: Node, ways: list[Way], other: int = other) -> Rule:
            tree = parse(formula, mode="eval")
            return rules_as_text.written(tree, _values(scene, node, ways, divisor), axis, over=other)

        edit = sent_together(scene, family, at, along) if other != axis else None
        if edit is not None:
            yield replace(edit, words=f"{into} is {formula}, along axis {other}, not {axis}.", cost=1.2)


def _without_a_factor(scene: Scene, family: Family, target: Family, at: list[list[Way]]) -> Iterator[Edit]:
    """Edits that leave out a leaf which multiplies along the paths, such as a norm's gain."""
    record, (node, ways) = scene.record, (family[-1], at[-1])
    factors = {
        x.index
        for way in ways
        for i, slot in way
        if (op := record.nodes[i].op) is not None and op.infix == "*"
        for k, x in enumerate(record.nodes[i].operands)
        if k != slot and isinstance(x, Ref) and record.nodes[x.index].op is None
    }
    into = f"At every step, what {scene.named(target[-1])} receives from {scene.named(node)}, by all ways,"
    for index in factors:
        value = record.values[index]
        if np.all(value):
            edit = sent_together(
                scene,
                family,
                at,
                lambda n, w, v=value: lambda _record, _node, _slot, g: _pulled(scene, w, g / v),  # type: ignore[misc]
            )
            if edit is not None:
                yield replace(edit, words=f"{into} lacks the factor {scene.named(record.nodes[index])}.", cost=1.2)


def _recognized(scene: Scene, node: Node, ways: list[Way]) -> Iterator[tuple[str, int, Use]]:
    """Known formulas that give what the paths send: the formula, its axis, and the divisor's position on the paths."""
    g = np.random.default_rng(0).standard_normal(node.shape)
    right, (last, slot) = _pulled(scene, ways, g), ways[0][-1]
    for axis, size in enumerate(node.shape if max(map(len, ways)) > 2 else ()):
        small = [
            (k, j)
            for k, way in enumerate(ways)
            for j, (index, _) in enumerate(way)
            if np.size(scene.record.values[index]) * size == np.prod(node.shape)
        ]
        for formula, divisor in product(rules_as_text.TOGETHER, small):
            rule = rules_as_text.written(parse(formula, mode="eval"), _values(scene, node, ways, divisor), axis)
            if np.allclose(rule(scene.record, scene.record.nodes[last], slot, g), right, rtol=1e-9, atol=1e-12):
                yield formula, axis, divisor


def _values(scene: Scene, node: Node, ways: list[Way], divisor: Use) -> dict[str, Array]:
    way, position = divisor
    return {"y": scene.record.values[node.index], "s": scene.record.values[ways[way][position][0]]}


def sent_together(
    scene: Scene, family: Family, at: list[list[Way]], rule: Callable[[Node, list[Way]], Rule]
) -> Edit | None:
    """An edit by which all paths together send what ``rule`` gives for the gradient of each of the family's nodes.

    None if a node receives no gradient.
    """
    uses: dict[Use, Rule] = {}
    parts: dict[Use, Part] = {}
    for node, ways in zip(family, at, strict=True):
        arriving = scene.record.senders(node.index)
        first, *others = (way[-1] for way in ways)
        if not arriving:
            return None
        uses |= dict.fromkeys(others, scaled(0.0)) | {first: rule(node, ways)}
        parts[first] = Part(tuple((use,) for use in arriving), instead=True)
    return Edit("", uses, parts=parts)


def _pulled(scene: Scene, ways: list[Way], gradient: Array) -> Array:
    """The sum of what the paths send for ``gradient``."""
    total = np.zeros(gradient.shape)
    for way in ways:
        g = gradient
        for index, slot in way:
            g = scene.record.pull(scene.record.nodes[index], slot, g)
        total = total + g
    return total


def _ways(scene: Scene, node: Node, longest: int, along: bool) -> dict[int, list[Way]]:
    """The paths from ``node`` to values of the same step and shape, by value; what is between has no other use.

    They lead through elementwise operations; with ``along``, also through reductions, at least one of them.
    """
    record, sent, found = scene.record, scene.record.truth.contributions, dict[int, list[Way]]()
    open_ways: list[tuple[Node, Way]] = [(node, ())]
    for _ in range(longest):
        longer: list[tuple[Node, Way]] = []
        for last, way in open_ways:
            if last.op is None or last.op.kind not in (("elementwise", "reduction") if along else ("elementwise",)):
                continue
            for slot, operand in enumerate(last.operands):
                if not isinstance(operand, Ref) or (last.index, slot) not in sent:
                    continue
                source, further = record.nodes[operand.index], (*way, (last.index, slot))
                if source.scope.step == node.scope.step and (along or source.shape == node.shape):
                    longer.append((source, further))
        for source, further in longer:
            if source.shape == node.shape:
                found.setdefault(source.index, []).append(further)
        open_ways = longer
    inner = {index: {i for way in ways for i, _ in way[1:]} for index, ways in found.items()}
    passed = {index: {use for way in ways for use in way} for index, ways in found.items()}
    return {
        index: ways
        for index, ways in found.items()
        if all(use in passed[index] for i in inner[index] for use in record.senders(i))
        and (not along or any(record.nodes[i].op.kind == "reduction" for i in inner[index]))  # type: ignore[union-attr]
    }
