"""Edits of what one operation sends to one of its operands."""

from __future__ import annotations

from ast import Expression, parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, permutations

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from . import edited_rules, rules_as_text
from .edit_context import Family, Scene, in_brackets, is_nonlinear
from .edited_rules import (
    SLOPES,
    Sloped,
    Times,
    Valued,
    blocks_transposed,
    logistic_slope,
    row,
)
from .edited_walks import Edit, Part, Record, Rule, Use, scaled
from .repeated_operations import times

#: of a value with more uses than this, not every part of what it receives is tried
MOST_PARTS = 6


def of_uses(scene: Scene) -> Iterator[Edit]:
    """Edits of single uses (a wrong rule, operand or gradient), then of groups of uses."""
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            yield from scene.attempts.items(_of_a_use(scene, nodes, slot))
    for kind in (_nonlinearities, _logistic, _summands, _everywhere):
        yield from scene.attempts.items(kind(scene))


def _of_a_use(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """All edits of what an operation sends to its operand ``slot``."""
    record, node = scene.record, family[0]
    assert node.op is not None
    subject = scene.subject(family, slot)
    yield from scene.missing(family, slot)
    target = np.shape(record.target(node, slot))
    leaf = all(record.nodes[i].op is None for i in scene.line(family, slot) or [])
    if len(family) > 1 and not leaf:  # of one use, any factor is read off
        for factor, words in scene.factors.items():
            uses: dict[Use, Rule] = {(n.index, slot): scaled(factor) for n in family}
            yield Edit(f"At every step, {subject} is {words}.", uses, cost=1.3)
        for words, nodes in (("first", family[1:]), ("last", family[:-1])):
            twice: dict[Use, Rule] = {(n.index, slot): scaled(2.0) for n in nodes}
            yield Edit(f"At every step but the {words}, {subject} is counted twice.", twice, cost=1.4)
    if scene.nearly:
        yield from scene.at_times(
            family, slot, f"{subject} was computed in float32", lambda _: edited_rules.single, cost=0.5
        )
        uses = {(n.index, slot): scaled(1 + 1e-7) for n in family}
        yield Edit(
            f"At every step, {subject} is a little too large.", uses, scaling=f"At every step, {subject}", cost=1.6
        )
    raw = record.raw(node, slot, record.truth.gradients[node.index])
    if raw.shape != target and len(raw.shape) >= len(target):
        for words, which in (("the first row instead of the sum", 0), ("the last row instead of the sum", -1)):
            text = f"{subject} is not un-broadcast: {words} over the batch"
            yield from scene.at_times(family, slot, text, lambda _, r=which: row(r))
        text = f"{subject} is summed over all axes, to one number for all elements"
        yield from scene.at_times(family, slot, text, lambda _: edited_rules.one_number, single=False, cost=0.1)
    if len({(n.shape, np.shape(record.target(n, slot))) for n in family}) == 1:
        yield from _along_axes(scene, family, slot, subject, raw.shape)
    if blocks_transposed(np.zeros(target)) is not None:
        yield from scene.at_times(family, slot, f"{subject} is transposed", lambda _: edited_rules.transposed)
    if node.op.name == "max":
        yield from scene.at_times(
            family, slot, f"{subject} is the whole gradient for every tie", lambda _: edited_rules.every_tie
        )
    if node.op.name == "cross_entropy":
        for text, rule in _cross_entropy().items():
            yield from scene.at_times(family, slot, f"{subject} {text}", lambda _, r=rule: r)
    formula = rules_as_text.TEXTS.get(node.op.name)
    for words, tree in rules_as_text.changed(formula) if formula else ():
        text = f"{subject} is {words} instead of {formula}"
        yield from scene.at_times(family, slot, text, lambda n, f=tree: _written(record, n, f), single=False)
    for words, tree in rules_as_text.terms(formula) if formula and "-" in formula[2:] else ():
        text = f"{subject}, {formula}, the term {words}"
        for when, at, price in times(len(family)):
            rules: dict[Use, Rule] = {}
            for n in (family[t] for t in at):
                saved = {"y": record.values[n.index], "x": record.target(n, 0)}
                rules[n.index, slot] = rules_as_text.WithFactor(tree, saved, n.attrs["axis"])
            yield Edit(f"{when}, in {text} is missing.", rules, cost=price + 0.1, scaling=f"{when}, in {text}")
    if formula == rules_as_text.TEXTS["softmax"]:
        for text in ("z * (g - sum(g * y))", "y * (g - sum(g * z))"):
            tree, where = parse(text, mode="eval"), "before the bracket" if text[0] == "z" else "in the sum"
            for words, values, cost in scene.stand_ins.of([n.index for n in family], family):
                others = {n.index: value for n, value in zip(family, values, strict=True)}
                yield from scene.at_times(
                    family,
                    slot,
                    f"{subject}, y * (g - sum(g * y)), has {words} for the y {where}",
                    lambda n, f=tree, o=others: _written(record, n, f, z=o[n.index]),
                    single=False,
                    cost=0.1 + cost,
                )
    for axis in range(len(node.shape)) if formula else ():
        if axis != node.attrs["axis"] % len(node.shape):
            text, tree = f"{subject} sums over axis {axis}", parse(str(formula), mode="eval")
            yield from scene.at_times(
                family, slot, text, lambda n, a=axis, f=tree: _written(record, n, f, a), single=False
            )
    if node.op.infix in ("*", "@", "/"):
        other = 1 - slot
        if isinstance(node.operands[other], Ref) and np.shape(record.target(node, other)) == target:
            text = f"{scene.name_of(family[-1], slot)} receives what {scene.name_of(family[-1], other)} should"
            try:
                record.pull(node, other, np.zeros(node.shape))
                yield from scene.at_times(
                    family,
                    slot,
                    f"from {scene.named(node)} {text}",
                    lambda n, o=other: edited_rules.AsIf(n, o),
                    single=False,
                )
            except (ValueError, TypeError):
                pass
            if slot == 1 and node.op.infix == "*" and 0 in scene.slots(family):
                names = f"{scene.name_of(family[-1], 0)} and {scene.name_of(family[-1], 1)}"
                both: dict[Use, Rule] = {(n.index, k): edited_rules.AsIf(n, 1 - k) for n in family for k in (0, 1)}
                text = f"At every step, {names} receive from {scene.named(node)} what the other one should"
                yield Edit(f"{text}: each is its own factor.", both, cost=1.05)
    if node.op.name == "div" and slot == 1:
        yield from scene.at_times(
            family,
            slot,
            f"{subject} is divided once, not by the square",
            lambda _: lambda r, n, s, g: r.pull(n, s, g * r.target(n, 1)),
            single=False,
        )
    if node.op.name == "div" and slot == 0:
        yield from _other_divisors(scene, family, subject)
    if node.op.name == "mul" or is_nonlinear(node):
        text = f"{subject} is the factor alone: the gradient that arrives is not in it"
        yield from scene.at_times(family, slot, text, lambda _: _alone, single=False, cost=0.3)
    if not leaf:
        yield from _other_slopes(scene, family, slot, subject)
    yield from _passed_by(scene, family, slot, subject, leaf)
    yield from _other_places(scene, family, slot, subject)
    yield from _other_gradients(scene, family, slot, subject, leaf)
    if not leaf:  # of leaves that is read off
        yield from _later_gradients(scene, family, slot, subject)
    yield from _other_operands(scene, family, slot, subject)


def _along_axes(scene: Scene, family: Family, slot: int, subject: str, shape: tuple[int, ...]) -> Iterator[Edit]:
    """Edits that add up, or average, along an axis, or along another one of the same size."""
    target = np.shape(scene.record.target(family[0], slot))
    for axis, size in enumerate(shape if len(shape) > 1 else ()):
        for words, change in (("averaged", np.mean), ("summed", np.sum)) if size > 1 else ():
            text = f"{subject} is {words} over axis {axis}, and each place along it is given that"
            yield from scene.at_times(
                family, slot, text, lambda _, a=axis, c=change: edited_rules.alike_along(c, a), single=False, cost=0.2
            )
        for other in range(axis):
            if shape[other] == size > 1 and (len(shape) > 2 or shape != target):
                text = f"{subject} has axes {other} and {axis} exchanged, which are of the same size"
                yield from scene.at_times(
                    family, slot, text, lambda _, a=axis, b=other: edited_rules.exchanged(a, b), single=False, cost=0.1
                )


def _other_divisors(scene: Scene, family: Family, subject: str) -> Iterator[Edit]:
    """Edits of a quotient: not divided, multiplied, or divided by another number, such as a length."""
    record, divisor = scene.record, family[0].operands[1]
    if not isinstance(divisor, Ref):
        return
    changes: dict[str, Callable[[Array], Array]] = {
        "not divided by": np.ones_like,
        "multiplied with, not divided by,": np.reciprocal,
        "divided twice by": np.square,
    }
    for words, change in changes.items():
        yield from scene.at_times(
            family,
            0,
            f"{subject} is {words} {scene.name_of(family[-1], 1)}",
            lambda n, c=change: Valued({n.operands[1].index: c(record.target(n, 1))}),
        )
    if record.nodes[divisor.index].requires_grad:
        return
    lengths = record.values[divisor.index]
    for number in sorted(
        {float(scene.steps), float(np.size(lengths)), float(np.max(lengths)), float(np.mean(lengths))}
    ):
        text = f"{subject} is divided by {number:g}, not by {scene.name_of(family[-1], 1)}"
        yield from scene.at_times(
            family, 0, text, lambda n, v=number: Valued({n.operands[1].index: np.full_like(lengths, v)}), single=False
        )


def _written(record: Record, node: Node, formula: Expression, axis: int | None = None, z: Array | None = None) -> Rule:
    names = {"y": record.values[node.index], "x": record.target(node, 0)} | ({} if z is None else {"z": z})
    return rules_as_text.written(formula, names, node.attrs["axis"] if axis is None else axis)


def _alone(record: Record, node: Node, slot: int, g: Array) -> Array:
    return record.pull(node, slot, np.ones(g.shape))


def _other_slopes(scene: Scene, family: Family, slot: int, subject: str) -> Iterator[Edit]:
    """Edits that multiply with, or divide by, the derivative of a nonlinearity of the same step."""
    for gate in scene.gates:
        places = scene.beside(gate, family) if gate[0].shape == family[0].shape else []
        if not places or np.shape(scene.record.target(family[0], slot)) != gate[0].shape:
            continue
        slopes = [scene.slope(gate[k]) for k in places]
        for words, power in (("multiplied with", 1), ("divided by", -1)):
            if power > 0 or all(map(np.all, slopes)):
                uses: dict[Use, Rule] = {(n.index, slot): Times(v**power) for n, v in zip(family, slopes, strict=True)}
                name = scene.named(gate[-1])
                yield Edit(f"At every step, {subject} is {words} the derivative at {name}.", uses, cost=1.35)


def _other_gradients(scene: Scene, family: Family, slot: int, subject: str, leaf: bool) -> Iterator[Edit]:
    """Edits that give the rule the gradient of another value of the same step, as before or after a nonlinearity."""
    record, shape = scene.record, family[0].shape
    known = {record.gradient(family[-1].index).tobytes()}
    for words, rival in scene.gradients(shape):
        places = scene.beside(rival, family)
        if not places or any(rival[k].index == n.index for k, n in zip(places, family, strict=True)):
            continue
        found = {n.index: rival[k].index for k, n in zip(places, family, strict=True)}
        content = record.gradient(found[family[-1].index]).tobytes()
        if content in known:
            continue
        known.add(content)
        text = f"At every step, {subject} comes from the gradient {words}."
        if leaf:  # nothing comes back from there
            given = {n.index: record.gradient(found[n.index]) for n in family}
            uses: dict[Use, Rule] = {(i, slot): edited_rules.of_another_gradient(g) for i, g in given.items()}
            yield Edit(text, uses, cost=1.25)
        elif twins := _twins(scene, family, slot, found):
            uses = {(here, slot): scaled(0.0) for here in found}
            uses |= {twin: _and_as(record.nodes[here], slot) for here, twin in twins.items()}
            yield Edit(text, uses, cost=1.25)
        else:
            arriving = {here: _arriving(scene, record.nodes[there])[0] for here, there in found.items()}
            if all(ways and all(way[0][0] > here for way in ways) for here, ways in arriving.items()):
                parts = {(here, slot): Part(tuple(ways), instead=True) for here, ways in arriving.items()}
                yield Edit(text, parts=parts, cost=1.25)


def _later_gradients(scene: Scene, family: Family, slot: int, subject: str) -> Iterator[Edit]:
    """Edits that give the rule a gradient of the step after: of the same value, of a state, or of a gate."""
    record, shape = scene.record, family[0].shape
    for rival in [family, *scene.states, *scene.gates] if len(family) > 1 else []:
        places = scene.beside(rival, family) if rival[0].shape == shape else []
        uses: dict[Use, Rule] = {}
        parts: dict[Use, Part] = {}
        for k, node in zip(places, family, strict=False):
            after = rival[k + 1].index if k + 1 < len(rival) else None
            ways = [use for use in record.users[after] if use in record.truth.contributions] if after else []
            if ways and min(ways)[0] > node.index:
                parts[node.index, slot] = Part(tuple((use,) for use in ways), instead=True)
            else:
                uses[node.index, slot] = scaled(0.0)
        if len(parts) + 1 == len(family):
            text = f"At every step, {subject} comes from the gradient of {scene.named(rival[-1])} of the step after"
            yield Edit(f"{text}, 0 at the last.", uses, parts=parts, cost=1.25 if rival is family else 1.3)


def _passed_by(scene: Scene, family: Family, slot: int, subject: str, leaf: bool) -> Iterator[Edit]:
    """Edits that forget a derivative, or a factor, on the path to this use alone."""
    record = scene.record
    if not leaf and len(scene.slots(family)) < 2:
        return  # that is the derivative forgotten for all
    found: dict[int, dict[Use, Part]] = defaultdict(dict)
    for node in family:
        direct = [use for use in record.users[node.index] if use in record.truth.contributions]
        for use in direct:
            way, here = [use], record.nodes[use[0]]
            for _ in range(4):
                over = [u for u in record.users[here.index] if u in record.truth.contributions]
                if is_nonlinear(here) or (here.op is not None and here.op.infix in ("*", "/") and over):
                    others = tuple((u,) for u in direct if u is not use)
                    ways = tuple((u, *reversed(way[:-1])) for u in over)
                    same = here.shape == np.shape(record.target(here, way[-1][1]))
                    if ways and same:
                        found[scene.place[here.index][0]][node.index, slot] = Part((*others, *ways), instead=True)
                if len(over) != 1 or record.nodes[over[0][0]].scope.step != node.scope.step:
                    break
                way.append(over[0])
                here = record.nodes[over[0][0]]
    for number, parts in found.items():
        if len(parts) == len(family):
            name = scene.named(scene.all_families[number][-1])
            yield Edit(f"At every step, in {subject} the derivative at {name} is forgotten.", parts=parts, cost=1.25)


def _other_places(scene: Scene, family: Family, slot: int, subject: str) -> Iterator[Edit]:
    """Edits that give an operand of a concatenation a part of the gradient from another position."""
    node, record = family[0], scene.record
    assert node.op is not None
    if node.op.name != "concat":
        return
    axis, target = node.attrs["axis"], np.shape(record.target(node, slot))
    if slot:
        yield from _parts_exchanged(scene, family, slot)
    size, whole = target[axis], node.shape[axis]
    sizes = [np.shape(record.target(node, k))[axis] for k in range(len(node.operands))]
    own = sum(sizes[:slot])
    for start in sorted({0, whole - size, *(sum(sizes[:k]) for k in range(len(sizes)))} - {own}):
        if start + size <= whole:
            text = f"{subject} is cut out from place {start} on, not from {own}"
            yield from scene.at_times(
                family, slot, text, lambda _, s=start, a=axis, n=size: edited_rules.cut(s, n, a), single=False
            )


def _parts_exchanged(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """Edits that exchange the parts of two operands of a concatenation."""
    for other in range(slot):
        uses: dict[Use, Rule] = {}
        for node in family:
            if np.shape(scene.record.target(node, other)) == np.shape(scene.record.target(node, slot)):
                uses |= {(node.index, slot): edited_rules.AsIf(node, other)}
                uses |= {(node.index, other): edited_rules.AsIf(node, slot)}
        if uses and uses.keys() <= scene.record.truth.contributions.keys():
            names = scene.name_of(family[-1], other), scene.name_of(family[-1], slot)
            text = f"At every step, {names[0]} and {names[1]} receive each other's part of {scene.named(family[-1])}."
            yield Edit(text, uses, cost=1.1)


def _twins(scene: Scene, family: Family, slot: int, found: Mapping[int, int]) -> dict[int, Use]:
    """For each node: the one use through which the gradient of ``found[node]`` reaches an equal operand, or nothing.

    The edited gradient can be sent from there at a moment of the walk at which it is known; where the node itself has
    its turn, it may not be known yet.
    """
    record, twins = scene.record, dict[int, Use]()
    for node in family:
        there, operand = found[node.index], node.operands[slot]
        before = {there}
        for _ in range(4):  # back through sums, which pass it on as it is
            sums = (record.nodes[i] for i in before if (op := record.nodes[i].op) is not None and op.infix == "+")
            before |= {
                x.index
                for added in sums
                for x in added.operands
                if isinstance(x, Ref) and record.nodes[x.index].shape == node.shape and len(record.users[x.index]) == 1
            }
        assert isinstance(operand, Ref)
        uses = [
            (i, k)
            for i in before
            if i != node.index
            for k, x in enumerate(record.nodes[i].operands)
            if isinstance(x, Ref)
            and (i, k) in record.truth.contributions
            and _alike(record.nodes[x.index], record.nodes[operand.index])
        ]
        if len(uses) != 1:
            return {}
        twins[node.index] = uses[0]
    return twins


def _alike(one: Node, two: Node) -> bool:
    """Whether both are one value, perhaps computed twice, so that both hand on to the same leaves."""
    same = one.op is not None and one.op is two.op and one.operands == two.operands
    return one.index == two.index or (same and repr(one.attrs) == repr(two.attrs))


def _and_as(other: Node, other_slot: int) -> Rule:
    """The true contribution plus the one that another use would send for the same gradient."""
    return lambda record, node, slot, g: np.asarray(record.pull(node, slot, g) + record.pull(other, other_slot, g))


def _cross_entropy() -> dict[str, Rule]:
    """Wrong rules for the scores of a cross-entropy, by description; the right one is g (p − 1 at the target)."""

    def probabilities(record: Record, node: Node) -> Array:
        scores = record.target(node, 0)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return np.asarray(e / e.sum(-1, keepdims=True))

    def chosen(record: Record, node: Node) -> Array:
        target, size = np.asarray(record.target(node, 1)), record.target(node, 0).shape[-1]
        return np.asarray((target[..., None] == np.arange(size)).astype(float))

    def times(factor: Callable[[Record, Node], Array]) -> Rule:
        return lambda record, node, slot, g: np.asarray(np.asarray(g)[..., None] * factor(record, node))

    return {
        "is the probabilities, the target is not subtracted": times(probabilities),
        "is only −1 at the target, the probabilities are missing": times(lambda r, n: -chosen(r, n)),
        "is the probabilities, and −1 in the place of that at the target": times(
            lambda r, n: np.where(chosen(r, n) != 0, -1.0, probabilities(r, n))
        ),
        "is the probabilities, and 1 in the place of that at the target": times(
            lambda r, n: np.where(chosen(r, n) != 0, 1.0, probabilities(r, n))
        ),
        "is −1/p at the target: softmax' is missing": times(lambda r, n: -chosen(r, n) / probabilities(r, n)),
        "is the probabilities plus 1 at the target, not minus": times(lambda r, n: probabilities(r, n) + chosen(r, n)),
        "is the probabilities times the gradient, minus 1 at the target: only one of the two is scaled": (
            lambda r, n, s, g: np.asarray(g)[..., None] * probabilities(r, n) - chosen(r, n)
        ),
        "is the probabilities, minus the gradient at the target: only one of the two is scaled": (
            lambda r, n, s, g: probabilities(r, n) - np.asarray(g)[..., None] * chosen(r, n)
        ),
        "is the scores minus the target: they were not made probabilities": times(
            lambda r, n: r.target(n, 0) - chosen(r, n)
        ),
        "has p(1 − p) as one factor more: softmax' is in it twice": times(
            lambda r, n: (probabilities(r, n) - chosen(r, n)) * probabilities(r, n) * (1 - probabilities(r, n))
        ),
    }


def _logistic(scene: Scene) -> Iterator[Edit]:
    """Edits of a loss of scores that take dL/dp for dL/dz, or multiply by the sigmoid's derivative twice."""
    record = scene.record
    for family in scene.families:
        made = [record.nodes[user] for user, _ in record.users[family[-1].index]]
        made += [record.nodes[user] for m in made for user, _ in record.users[m.index] if m.op and m.op.name == "neg"]
        if not any(m.op is not None and m.op.name == "softplus" for m in made):
            continue
        for words, power in (("multiplied with", 1), ("divided by", -1)):
            uses: dict[Use, Rule] = {
                use: Times(logistic_slope(record.values[n.index]) ** power)
                for n in family
                for use in record.users[n.index]
                if use in record.truth.contributions
            }
            name = scene.named(family[-1])
            text = f"what {name} receives of the loss is {words} σ'({name}): the sigmoid's derivative is"
            yield Edit(f"At every step, {text} {'in it already' if power > 0 else 'missing'}.", uses, cost=1.2)


def _other_operands(scene: Scene, family: Family, slot: int, subject: str) -> Iterator[Edit]:
    """Edits that use an operand's value transposed, squared, averaged, as 1 − value, or not at all."""
    record, node = scene.record, family[0]
    assert node.op is not None
    _, needed = node.op.values_needed(slot)
    for other, operand in enumerate(node.operands):
        if not isinstance(operand, Ref) or (needed is not None and other not in needed):
            continue
        value = record.values[operand.index]
        name = scene.name_of(family[-1], other)
        turned = blocks_transposed(value)
        same = turned is not None and all(np.shape(record.target(n, other)) == turned.shape for n in family)
        if same and node.op.kind == "contraction":
            yield from scene.at_times(
                family,
                slot,
                f"{subject} uses {name} transposed",
                lambda n, o=other: Valued({n.operands[o].index: np.asarray(blocks_transposed(record.target(n, o)))}),
            )
        if node.op.name == "mul":
            for words, change in (
                (f"lacks the factor {name}", lambda v: np.ones_like(v)),
                (f"has the factor 1 − {in_brackets(name)} instead of it", lambda v: 1 - v),
                (f"has the factor {name} twice", lambda v: v * v),
                (f"has the mean of {name} instead of it", lambda v: np.full_like(v, v.mean())),
            ):
                yield from scene.at_times(
                    family,
                    slot,
                    f"{subject} {words}",
                    lambda n, o=other, c=change: Valued({n.operands[o].index: c(record.target(n, o))}),
                )


def _nonlinearities(scene: Scene) -> Iterator[Edit]:
    """Edits that replace the derivative of a nonlinearity, at one place of the step or wherever it is used."""
    record = scene.record
    by_op: dict[str, list[Family]] = defaultdict(list)
    for family in scene.families:
        op, operand = family[0].op, family[0].operands[0]
        alone = op is not None and len(family[0].operands) == 1 and isinstance(operand, Ref)
        same = alone and record.nodes[operand.index].shape == family[0].shape  # type: ignore[union-attr]
        if op is not None and same and not op.moves(0):
            by_op[op.name].append(family)
    for name, group in by_op.items():
        for words, slope in SLOPES.items():
            text = f"the derivative of {name} is taken to be {words}"
            plain = [_plain(record, slope, family) for family in group]
            if not words.startswith("1:") and all(plain):
                continue  # 0, or 1, everywhere: that is said otherwise
            for family in group:
                at = f"at {scene.named(family[0])} {text}"
                yield from scene.at_times(family, 0, at, lambda _, s=words: Sloped(s), single=words in OFTEN)
            if len(group) > 1:
                uses: dict[Use, Rule] = {(n.index, 0): Sloped(words) for f in group for n in f}
                yield Edit(f"Everywhere, {text}.", uses, cost=0.9)
        for family in group:
            for words in SLOPES:
                text = (
                    f"at {scene.named(family[0])} the derivative of {name} is {words} alone: the gradient is not in it"
                )
                yield from scene.at_times(
                    family, 0, text, lambda _, s=words: Sloped(s, alone=True), single=False, cost=0.4
                )


def _plain(record: Record, slope: edited_rules.Slope, family: Family) -> bool:
    """Whether a slope is 0 everywhere, or 1."""
    found = [np.asarray(slope(record.values[n.index], record.target(n, 0))) for n in family]
    return any(all(np.all(v == number) for v in found) for number in (0.0, 1.0))


OFTEN = ("σ' (y(1 − y))", "tanh' (1 − y²)", "1: it is forgotten", "1 − y")


def _summands(scene: Scene) -> Iterator[Edit]:
    """Edits in which a use misses a part of its node's gradient, or passes a part on unchanged."""
    for family in scene.families:
        groups: dict[tuple[int, int], dict[int, list[tuple[Use, ...]]]] = defaultdict(lambda: defaultdict(list))
        far = False
        for t, node in enumerate(family):
            ways, through = _arriving(scene, node)
            far |= through
            for way in ways:
                user, slot = way[0]
                groups[scene.place[user][0], slot if len(ways) > 1 else 0][t].append(way)
        slots = scene.slots(family)
        if len(groups) < 2 and all(len(at[t]) < 2 for at in groups.values() for t in at):
            continue
        for (number, _), at in groups.items():
            source = scene.named(scene.all_families[number][-1])
            from_step = {(family[t].scope.step, scene.record.nodes[way[0][0]].scope.step) for t in at for way in at[t]}
            later = " of the next step" if any(there not in (None, here) for here, there in from_step) else ""
            for slot in slots:
                subject = f"{scene.subject(family, slot)}"
                sends = {
                    t: uses for t, uses in at.items() if (family[t].index, slot) in scene.record.truth.contributions
                }
                if len(slots) > 1 or far:
                    parts = {(family[t].index, slot): Part(tuple(uses)) for t, uses in sends.items()}
                    words = f"At every step, {subject} leaves out the part that came from {source}{later}"
                    yield Edit(f"{words}: it was computed before that part was added.", parts=parts, cost=1.15)
                same = np.shape(scene.record.target(family[0], slot)) == family[0].shape
                if same and (is_nonlinear(family[0]) or (family[0].op is not None and family[0].op.name == "mul")):
                    parts = {(family[t].index, slot): Part(tuple(uses), passed=True) for t, uses in sends.items()}
                    words = f"At every step, in {subject} the part that came from {source}{later} is passed on as it is"
                    yield Edit(f"{words}: the derivative is on the other summand only.", parts=parts, cost=1.15)
    for family in scene.families:
        if family[0].op is not None and family[0].op.infix in ("+", "-") and len(scene.slots(family)) == 2:
            yield from _in_place(scene, family)
        yield from _some_left(scene, family)
        yield from _exchanged(scene, family)


def _exchanged(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which two products with the same value send it each other's factor."""
    record = scene.record
    products: dict[int, dict[int, Use]] = defaultdict(dict)  #: by place, by step of the value
    for t, node in enumerate(family):
        for user, slot in record.users[node.index]:
            made = record.nodes[user]
            if made.op is not None and made.op.infix in ("*", "@") and (user, slot) in record.truth.contributions:
                products[scene.place[user][0]][t] = user, slot
    for one, two in combinations(products, 2) if len(products) <= MOST_PARTS else ():
        uses: dict[Use, Rule] = {}
        for t in products[one].keys() & products[two].keys():
            for (user, slot), (other, other_slot) in permutations((products[one][t], products[two][t])):
                mine, theirs = record.nodes[user].operands[1 - slot], record.nodes[other].operands[1 - other_slot]
                fits = slot == other_slot and isinstance(mine, Ref) and isinstance(theirs, Ref)
                if fits and record.nodes[mine.index].shape == record.nodes[theirs.index].shape:  # type: ignore[union-attr]
                    uses[user, slot] = Valued({mine.index: record.values[theirs.index]})  # type: ignore[union-attr]
        if uses:
            names = " and ".join(scene.named(scene.all_families[k][-1]) for k in (one, two))
            yield Edit(
                f"At every step, {scene.named(family[-1])} receives from {names} with each other's factor.",
                uses,
                cost=1.2,
            )


def _some_left(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits that drop several of the parts that a value's gradient is the sum of."""
    for parts in _parts(scene, family):
        subject = f"At every step, what {scene.named(family[0])} receives from"
        names = {part: f"{scene.named(scene.all_families[part[0]][-1])}{_later(part[1])}" for part in parts}
        for size in range(2, len(parts)):
            for lost in combinations(parts, size):
                every = f"{subject} {' and '.join(names[part] for part in lost)}"
                gone: dict[Use, Rule] = {use: scaled(0.0) for part in lost for use in parts[part]}
                kept = [names[part] for part in parts if part not in lost]
                only = f": only that from {kept[0]} is left" if len(kept) == 1 else ""
                yield Edit(f"{every} is missing{only}.", gone, cost=1.15, scaling=every)


def _parts(scene: Scene, family: Family) -> Iterator[dict[tuple[int, int], list[Use]]]:
    """The uses of a value, grouped by place and by how many steps later they are; nothing for too many groups."""
    record, steps = scene.record, [node.scope.step for node in family]
    reading = [(step, use) for step, node in zip(steps, family, strict=True) for use in record.users[node.index]]
    if scene.is_state(family) and steps[0] is not None:
        first = scene.chain(family)[0]
        alone = {k for k, index in scene.initial.items() if index == first} == {scene.place[family[0].index][0]}
        uses = record.users[first] if alone else scene.carries(family).get(0, [])
        reading += [(-1, use) for use in uses]
    found = defaultdict[tuple[int, int], list[Use]](list)
    for step, use in reading:
        if use in record.truth.contributions:
            later = record.nodes[use[0]].scope.step
            found[scene.place[use[0]][0], 0 if step is None or later is None else max(later - step, 0)].append(use)
    if len(found) > MOST_PARTS:
        together = defaultdict[tuple[int, int], list[Use]](list)
        farthest = {number: max(d for n, d in found if n == number) for number, _ in found}
        for (number, _), uses in found.items():
            together[number, min(farthest[number], 1)] += uses
        found = together
    if len(found) <= MOST_PARTS:
        yield dict(found)


def _later(steps: int) -> str:
    return "" if not steps else " of the next step" if steps == 1 else f" of {steps} steps later"


def _in_place(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which the gradient of a sum was changed in place for one operand, so that the other receives it too."""
    record = scene.record
    for slot in (0, 1):
        for factor in (0, 1):
            edited: dict[Use, Rule] = {}
            by = ""
            for node in family:
                product = node.operands[1 - slot]
                made = record.nodes[product.index] if isinstance(product, Ref) else node
                if made.op is None or made.op.name != "mul" or (node.index, slot) not in record.truth.contributions:
                    continue
                value = record.target(made, factor)
                if np.shape(value) == node.shape:
                    edited[node.index, slot], by = _multiplied(value), scene.name_of(made, factor)
            own: dict[Use, Rule] = {}
            for index, _ in edited:
                product = record.nodes[index].operands[1 - slot]
                if isinstance(product, Ref) and (product.index, factor) in record.truth.contributions:
                    own[product.index, factor] = _multiplied(record.target(record.nodes[product.index], factor))
            words = f"The gradient of {scene.named(family[0])} was multiplied with {by} in place"
            if edited:
                text = f"{words}: {scene.name_of(family[-1], slot)} receives it with that factor."
                yield Edit(text, edited, cost=1.2)
            if own:
                yield Edit(f"{words}, before its other uses.", edited | own, cost=1.2)
        parts: dict[Use, Part] = {}
        for node in family:
            mine = node.operands[1 - slot]
            if not isinstance(mine, Ref) or (node.index, slot) not in record.truth.contributions:
                continue
            others = [
                use for use in record.users[mine.index] if use[0] > node.index and use in record.truth.contributions
            ]
            if others and record.nodes[mine.index].shape == node.shape:
                parts[node.index, slot] = Part(tuple((use,) for use in others), sign=1.0)
        if parts:
            names = scene.name_of(family[-1], slot), scene.name_of(family[-1], 1 - slot)
            yield Edit(
                f"The gradient of {scene.named(family[0])} was edited in place: {names[0]} also receives what was "
                f"added to it for {names[1]}.",
                parts=parts,
                cost=1.2,
            )


def _multiplied(value: Array) -> Rule:
    return lambda record, node, slot, g: record.pull(node, slot, g * value)


def _arriving(scene: Scene, node: Node) -> tuple[list[tuple[Use, ...]], bool]:
    """Paths along which a node's gradient arrives, and whether they are longer than one use.

    A single use that passes the gradient on, or multiplies it, is followed to the uses of its result.
    """
    record, way = scene.record, list[Use]()
    for _ in range(6):
        uses = [use for use in record.users[node.index] if use in record.truth.contributions]
        if len(uses) != 1:
            break
        user = record.nodes[uses[0][0]]
        passes = user.op is not None and (user.op.infix in ("+", "*") or user.op.name in ("where", "neg"))
        if not passes or user.shape != node.shape:
            break
        way.insert(0, uses[0])
        node = user
    return [(use, *way) for use in uses], bool(way)


def _everywhere(scene: Scene) -> Iterator[Edit]:
    """Edits made at every place of a kind: all masks, all biases."""
    record = scene.record
    summed: list[Use] = []
    masks: dict[Use, Rule] = {}
    batch = set()
    for node, slot in record.truth.contributions:
        use, made = (node, slot), record.nodes[node]
        assert made.op is not None
        if made.op.name == "where":
            masks[use] = edited_rules.unmasked
        elif made.op.name == "mul" and _is_mask(scene, made.operands[1 - slot]):
            masks[use] = edited_rules.passed_on
        elif made.op.name in ("linear", "add") and np.ndim(record.target(made, slot)) == 1 and len(made.shape) == 2:
            summed.append(use)
            batch.add(made.shape[0])
    if masks:
        yield Edit("The masks are ignored: gradients pass as if every sequence were of full length.", masks)
    for which, words in ((0, "first"), (-1, "last")) if summed else ():
        yield Edit(
            f"Every bias is not un-broadcast: it receives the batch's {words} row, not the sum.",
            dict.fromkeys(summed, row(which)),
        )
    for n in sorted(batch - {1}):
        yield Edit(f"Every bias is averaged over the batch of {n}, not summed.", dict.fromkeys(summed, scaled(1 / n)))


def _is_mask(scene: Scene, operand: object) -> bool:
    """Whether an operand is a constant of zeros and one other number."""
    if not isinstance(operand, Ref) or scene.record.nodes[operand.index].requires_grad:
        return False
    value = np.asarray(scene.record.values[operand.index])
    return bool(value.size > 1 and np.any(value == 0) and len(np.unique(value[value != 0])) == 1)
