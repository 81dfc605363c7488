"""Edits of what one operation sends to one of its operands."""

from __future__ import annotations

from ast import Expression, parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations, permutations

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from . import edited_rules, rules_as_text
from .edit_context import Family, Scene, in_brackets, is_nonlinear
from .edited_rules import Sloped, Times, Valued, blocks_transposed, logistic_slope
from .edited_walks import Edit, Part, Record, Rule, Use, scaled
from .repeated_operations import times

#: of a value with more uses than this, not every part of what it receives is tried
MOST_PARTS = 6
Wrong = tuple[str, Callable[[Node], Rule], bool, float]  #: words, the rule of a node, whether at one step only, cost


def of_uses(scene: Scene) -> Iterator[Edit]:
    """Edits of single uses (a wrong rule, operand or gradient), then of groups of uses."""
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            yield from scene.attempts.items(_of_a_use(scene, nodes, slot))
    for kind in (_nonlinearities, _logistic, _summands, _masks):
        yield from scene.attempts.items(kind(scene))


def _of_a_use(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """All edits of what an operation sends to its operand ``slot``."""
    record, node = scene.record, family[0]
    assert node.op is not None
    subject = scene.subject(family, slot)
    yield from scene.missing(family, slot)
    leaf = all(record.nodes[i].op is None for i in scene.line(family, slot) or [])
    if len(family) > 1 and not leaf:  # of one use, any factor is read off
        for factor, words in scene.factors.items():
            uses: dict[Use, Rule] = {(n.index, slot): scaled(factor) for n in family}
            yield Edit(f"At every step, {subject} is {words}.", uses, cost=1.3)
    if scene.nearly:
        text, every = f"{subject} was computed in float32", f"At every step, {subject}"
        yield from scene.at_times(family, slot, text, _each(edited_rules.single), cost=0.5)
        uses = {(n.index, slot): scaled(1 + 1e-7) for n in family}
        yield Edit(f"{every} is a little too large.", uses, scaling=every, cost=1.6)
    for text, rule, single, cost in _wrong_rules(scene, family, slot):
        yield from scene.at_times(family, slot, f"{subject} {text}", rule, single=single, cost=cost)
    formula = rules_as_text.TEXTS.get(node.op.name)
    for words, tree in rules_as_text.terms(formula) if formula and "-" in formula[2:] else ():
        text = f"{subject}, {formula}, the term {words}"
        for when, at, price in times(len(family)):
            rules: dict[Use, Rule] = {}
            for n in (family[t] for t in at):
                saved = {"y": record.values[n.index], "x": record.target(n, 0)}
                rules[n.index, slot] = rules_as_text.WithFactor(tree, saved, n.attrs["axis"])
            yield Edit(f"{when}, in {text} is missing.", rules, cost=price + 0.1, scaling=f"{when}, in {text}")
    if node.op.name == "where":
        yield from _unmasked(scene, family, slot, subject)
    if slot == 1 and node.op.name == "mul" and 0 in scene.slots(family) and _exchangeable(scene, node, slot):
        names = f"{scene.name_of(family[-1], 0)} and {scene.name_of(family[-1], 1)}"
        both: dict[Use, Rule] = {(n.index, k): edited_rules.AsIf(n, 1 - k) for n in family for k in (0, 1)}
        text = f"At every step, {names} receive from {scene.named(node)} what the other one should"
        yield Edit(f"{text}: each is its own factor.", both, cost=1.05)
    yield from _passed_by(scene, family, slot, subject, leaf)
    yield from _other_places(scene, family, slot, subject)
    yield from _other_gradients(scene, family, slot, subject, leaf)
    if not leaf:  # of leaves that is read off
        yield from _later_gradients(scene, family, slot, subject)
    yield from _other_operands(scene, family, slot, subject)


def _exchangeable(scene: Scene, node: Node, slot: int) -> bool:
    """Whether the rule for the other operand of a product gives an array of this operand's shape."""
    other, record = 1 - slot, scene.record
    if not isinstance(node.operands[other], Ref):
        return False
    try:
        record.pull(node, other, np.zeros(node.shape))
    except (ValueError, TypeError):
        return False
    return np.shape(record.target(node, other)) == np.shape(record.target(node, slot))


def _each(rule: Rule) -> Callable[[Node], Rule]:
    """The same rule for every node."""
    return lambda node: rule


def _wrong_rules(scene: Scene, family: Family, slot: int) -> Iterator[Wrong]:
    """Other rules for a use."""
    record, node = scene.record, family[0]
    op, target = node.op, np.shape(record.target(node, slot))
    assert op is not None
    shape = record.raw(node, slot, record.truth.gradients[node.index]).shape
    if shape != target and len(shape) >= len(target):
        for which, k in (("first", 0), ("last", -1)):
            text = f"is not un-broadcast: the {which} row instead of the sum over the batch"
            yield text, _each(edited_rules.row(k)), True, 0.0
        yield "is summed over all axes, to one number for all elements", _each(edited_rules.one_number), False, 0.1
    same = len({(n.shape, np.shape(record.target(n, slot))) for n in family}) == 1
    for axis, size in enumerate(shape if len(shape) > 1 and same else ()):
        for words, change in (("averaged", np.mean), ("summed", np.sum)) if size > 1 else ():
            text = f"is {words} over axis {axis}, and each place along it is given that"
            yield text, _each(edited_rules.alike_along(change, axis)), False, 0.2 if size > 2 else 0.4
        for other in range(axis):
            if shape[other] == size > 1 and (len(shape) > 2 or shape != target):
                text = f"has axes {other} and {axis} exchanged, which are of the same size"
                yield text, _each(edited_rules.exchanged(axis, other)), False, 0.1
    for one, two in combinations(range(len(node.shape)), 2) if op.name == "reshape" else ():
        if 1 not in (node.shape[one], node.shape[two]):
            text = f"is put back as if axis {two} came before axis {one}"
            yield text, _each(edited_rules.put_back(one, two)), False, 0.1
    if blocks_transposed(np.zeros(target)) is not None:
        yield "is transposed", _each(edited_rules.transposed), True, 0.0
    if op.name == "max":
        yield "is the whole gradient for every tie", _each(edited_rules.every_tie), True, 0.0
    if op.name == "cross_entropy":
        for words, text in CROSS_ENTROPY.items():
            yield words, lambda n, f=text: _of_scores(record, n, f), True, 0.0  # type: ignore[misc]
    if (formula := rules_as_text.TEXTS.get(op.name)) is not None:
        yield from _other_formulas(scene, family, formula)
    if op.infix in ("*", "@", "/") and _exchangeable(scene, node, slot):
        text = f"is what {scene.name_of(family[-1], 1 - slot)} should receive"
        yield text, lambda n: edited_rules.AsIf(n, 1 - slot), False, 0.0
    if op.name == "div":
        yield from _other_divisors(scene, family, slot)
    if op.name == "mul" or is_nonlinear(node):
        yield "is the factor alone: the gradient that arrives is not in it", _each(_alone), False, 0.3


def _other_formulas(scene: Scene, family: Family, formula: str) -> Iterator[Wrong]:
    """Other rules for an operation along an axis: its formula with a small change, another value, or another axis."""
    record, node = scene.record, family[0]
    for words, tree in rules_as_text.changed(formula):
        yield f"is {words} instead of {formula}", lambda n, f=tree: _written(record, n, f), False, 0.0  # type: ignore[misc]
    for text in ("z * (g - sum(g * y))", "y * (g - sum(g * z))") if formula == rules_as_text.TEXTS["softmax"] else ():
        tree, where = parse(text, mode="eval"), "before the bracket" if text[0] == "z" else "in the sum"
        for words, values, cost in scene.stand_ins.of([n.index for n in family], family):
            others = {n.index: value for n, value in zip(family, values, strict=True)}
            yield (
                f"is y * (g - sum(g * y)) with {words} for the y {where}",
                lambda n, f=tree, o=others: _written(record, n, f, z=o[n.index]),  # type: ignore[misc]
                False,
                0.1 + cost,
            )
    for axis in range(len(node.shape)):
        if axis != node.attrs["axis"] % len(node.shape):
            tree = parse(formula, mode="eval")
            yield f"sums over axis {axis}", lambda n, a=axis, f=tree: _written(record, n, f, a), False, 0.0  # type: ignore[misc]


def _other_divisors(scene: Scene, family: Family, slot: int) -> Iterator[Wrong]:
    """Other rules for a quotient: not divided, multiplied, or divided by another number, such as a length."""
    record, divisor, name = scene.record, family[0].operands[1], scene.name_of(family[-1], 1)
    if slot == 1:
        once: Rule = lambda r, n, s, g: r.pull(n, s, g * r.target(n, 1))  # noqa: E731
        yield "is divided once, not by the square", _each(once), False, 0.0
    if slot == 1 or not isinstance(divisor, Ref):
        return

    by = partial(_with, record, 1)
    yield f"is not divided by {name}", by(np.ones_like), True, 0.0
    lengths = record.values[divisor.index]
    for number in sorted(
        {float(scene.steps), float(np.size(lengths)), float(np.max(lengths)), float(np.mean(lengths))}
    ):
        if not record.nodes[divisor.index].requires_grad:
            text = f"is divided by {number:g}, not by {name}"
            yield text, by(lambda v, k=number: np.full_like(v, k)), False, 0.0  # type: ignore[misc]


def _written(record: Record, node: Node, formula: Expression, axis: int | None = None, z: Array | None = None) -> Rule:
    names = {"y": record.values[node.index], "x": record.target(node, 0)} | ({} if z is None else {"z": z})
    return rules_as_text.written(formula, names, node.attrs["axis"] if axis is None else axis)


def _alone(record: Record, node: Node, slot: int, g: Array) -> Array:
    return record.pull(node, slot, np.ones(g.shape))


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
            uses: dict[Use, Rule] = {(i, slot): edited_rules.Instead(g) for i, g in given.items()}
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
            ways = record.senders(after) if after else []
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
        direct = record.senders(node.index)
        for use in direct:
            way, here = [use], record.nodes[use[0]]
            for _ in range(4):
                over = record.senders(here.index)
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
            yield from scene.at_times(family, slot, text, _each(edited_rules.cut(start, size, axis)), single=False)


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


def _unmasked(scene: Scene, family: Family, slot: int, subject: str) -> Iterator[Edit]:
    """Edits in which a choice hands its gradient on where the other value was chosen, too."""
    record = scene.record
    uses: dict[Use, Rule] = {(n.index, slot): edited_rules.passed_on for n in family}
    for node in family:
        chosen = record.nodes[record.target_of((node.index, slot))]
        if chosen.op is not None and chosen.op.name == "cross_entropy":  # it leaves the rows out itself
            uses[chosen.index, 0] = _of_scores(record, chosen, "g * (p - t)")
    yield Edit(f"At every step, {subject} is not masked: it is also sent where the other value was chosen.", uses)


#: wrong rules for the scores x of a cross-entropy, with probabilities p and ones t at the target; right is g * (p - t)
CROSS_ENTROPY = {
    "is the probabilities, the target is not subtracted": "g * p",
    "is only −1 at the target, the probabilities are missing": "-g * t",
    "is the probabilities, and −1 in the place of that at the target": "g * where(t, -1, p)",
    "is the probabilities, and 1 in the place of that at the target": "g * where(t, 1, p)",
    "is p − 1 at the target, and 0 elsewhere": "g * t * (p - 1)",
    "is −1/p at the target: softmax' is missing": "-g * t / p",
    "is the probabilities plus 1 at the target, not minus": "g * (p + t)",
    "is the probabilities times the gradient, minus 1 at the target: only one of the two is scaled": "g * p - t",
    "is the probabilities, minus the gradient at the target: only one of the two is scaled": "p - g * t",
    "is the scores minus the target: they were not made probabilities": "g * (x - t)",
    "has p(1 − p) as one factor more: softmax' is in it twice": "g * (p - t) * p * (1 - p)",
}


def _of_scores(record: Record, node: Node, formula: str) -> Rule:
    scores, target = record.target(node, 0), np.asarray(record.target(node, 1))
    e = np.exp(scores - scores.max(-1, keepdims=True))
    chosen = (target[..., None] == np.arange(scores.shape[-1])).astype(float)
    names = {"p": e / e.sum(-1, keepdims=True), "t": chosen, "x": scores}
    return rules_as_text.written(parse(formula, mode="eval"), names, scores.ndim - 1)


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
                for use in record.senders(n.index)
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
            turn = _with(record, other, blocks_transposed)
            yield from scene.at_times(family, slot, f"{subject} uses {name} transposed", turn)
        if node.op.name == "mul":
            for words, change in (
                (f"lacks the factor {name}", lambda v: np.ones_like(v)),
                (f"has the factor 1 − {in_brackets(name)} instead of it", lambda v: 1 - v),
                (f"has the factor {name} twice", lambda v: v * v),
                (f"has the mean of {name} instead of it", lambda v: np.full_like(v, v.mean())),
            ):
                yield from scene.at_times(family, slot, f"{subject} {words}", _with(record, other, change))


def _with(record: Record, other: int, change: Callable[[Array], Array | None]) -> Callable[[Node], Rule]:
    """The true rule, with the value of operand ``other`` changed."""
    return lambda n: Valued({record.target_of((n.index, other)): np.asarray(change(record.target(n, other)))})


def _nonlinearities(scene: Scene) -> Iterator[Edit]:
    """Edits that replace the derivative of a nonlinearity."""
    record = scene.record
    for family in scene.families:
        op, operand = family[0].op, family[0].operands[0]
        alone = op is not None and len(family[0].operands) == 1 and isinstance(operand, Ref) and not op.moves(0)
        if op is None or not alone or np.shape(record.target(family[0], 0)) != family[0].shape:
            continue
        for words, slope in edited_rules.SLOPES.items():
            if not words.startswith("1:") and _plain(record, slope, family):
                continue  # 0, or 1, everywhere: that is said otherwise
            text = f"at {scene.named(family[0])} the derivative of {op.name} is taken to be {words}"
            yield from scene.at_times(family, 0, text, lambda _, s=words: Sloped(s), single=words in OFTEN)


def _plain(record: Record, slope: edited_rules.Slope, family: Family) -> bool:
    """Whether a slope is 0 everywhere, or 1."""
    found = [np.asarray(slope(record.values[n.index], record.target(n, 0))) for n in family]
    return any(all(np.all(v == number) for v in found) for number in (0.0, 1.0))


OFTEN = ("σ' (y(1 − y))", "tanh' (1 − y²)", "1: it is forgotten", "1 − y")


def _summands(scene: Scene) -> Iterator[Edit]:
    """Edits in which a use misses a part of its node's gradient, or passes a part on unchanged."""
    for family in scene.families:
        groups: dict[tuple[str, int], dict[int, list[tuple[Use, ...]]]] = defaultdict(lambda: defaultdict(list))
        far, slots, sources = False, scene.slots(family), defaultdict[str, set[int]](set)
        for t, node in enumerate(family):
            ways, through = _arriving(scene, node)
            far |= through
            for user, slot in (way[0] for way in ways):
                later = scene.record.nodes[user].scope.step not in (None, node.scope.step)
                whole = "the next step" if later else "its own step"
                sources[whole].add(scene.place[user][0])
                groups[whole, -1][t] += [way for way in ways if way[0] == (user, slot)]
                source = f"{scene.named(scene.all_families[scene.place[user][0]][-1])}{' of the next step' * later}"
                square = len({*scene.record.nodes[user].operands}) == 1
                groups[source, 0 if square or len(ways) == 1 else slot][t] += groups[whole, -1][t][-1:]
        groups = {k: at for k, at in groups.items() if k[1] >= 0 or (len(sources) > 1 < len(sources[k[0]]))}
        if len(groups) < 2 and all(len(at[t]) < 2 for at in groups.values() for t in at):
            continue
        for (source, _), at in groups.items():
            for slot in slots:
                subject = f"{scene.subject(family, slot)}"
                sends = {
                    t: uses for t, uses in at.items() if (family[t].index, slot) in scene.record.truth.contributions
                }
                if len(slots) > 1 or far:
                    parts = {(family[t].index, slot): Part(tuple(uses)) for t, uses in sends.items()}
                    words = f"At every step, {subject} leaves out the part that came from {source}"
                    yield Edit(f"{words}: it was computed before that part was added.", parts=parts, cost=1.15)
                same = np.shape(scene.record.target(family[0], slot)) == family[0].shape
                op = family[0].op
                if same and op is not None and (is_nonlinear(family[0]) or (op.elementwise and not op.moves(slot))):
                    parts = {(family[t].index, slot): Part(tuple(uses), passed=True) for t, uses in sends.items()}
                    words = f"At every step, in {subject} the part that came from {source} is passed on as it is"
                    likely = is_nonlinear(family[0]) or op.name == "mul"
                    text = f"{words}: the derivative is on the other summand only."
                    yield Edit(text, parts=parts, cost=1.15 if likely else 1.3)
    for family in scene.families:
        if family[0].op is not None and family[0].op.infix in ("+", "-") and len(scene.slots(family)) == 2:
            yield from _in_place(scene, family)
            yield from _ends_exchanged(scene, family)
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
            text = f"At every step, {scene.named(family[-1])} receives from {names} with each other's factor."
            yield Edit(text, uses, cost=1.2)


def _ends_exchanged(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits of a sum of two products, such as z ⊙ h + (1 − z) ⊙ n, in which each factor stands beside the other's."""
    record = scene.record
    for across in (0, 1):
        uses: dict[Use, Rule] = {}
        for node in family:
            made = [record.nodes[x.index] for x in node.operands if isinstance(x, Ref)]
            if len(made) < 2 or any(m.op is None or m.op.infix != "*" for m in made):
                break
            one, two = ([(k, m.operands[k]) for k in (0, 1)] for m in made)
            pairs = [(a, b) for (_, a), (_, b) in zip(one, two[::-1] if across else two, strict=True)]
            refs = [x.index for pair in pairs for x in pair if isinstance(x, Ref)]
            if len(refs) < 4 or len({record.nodes[i].shape for i in refs}) > 1:
                break
            swapped = dict(zip(refs, (refs[k] for k in (1, 0, 3, 2)), strict=True))
            for m in made:
                for slot in (0, 1):
                    other = m.operands[1 - slot].index  # type: ignore[union-attr]
                    uses[m.index, slot] = Valued({other: record.values[swapped[other]]})
        else:
            names = [scene.name_of(made[k], slot) for k, slot in ((0, 0), (1, across), (0, 1), (1, 1 - across))]
            where = f"between the two products in {scene.named(family[-1])}"
            text = f"{names[0]} and {names[1]} have changed places {where}"
            live = {use: rule for use, rule in uses.items() if use in record.truth.contributions}
            yield Edit(f"At every step, {text}.", live, cost=1.1)


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
        parts: dict[Use, Part] = {}
        for node in family:
            mine = node.operands[1 - slot]
            if not isinstance(mine, Ref) or (node.index, slot) not in record.truth.contributions:
                continue
            others = [use for use in record.senders(mine.index) if use[0] > node.index]
            if others and record.nodes[mine.index].shape == node.shape:
                parts[node.index, slot] = Part(tuple((use,) for use in others), sign=1.0)
        if parts:
            names = scene.name_of(family[-1], slot), scene.name_of(family[-1], 1 - slot)
            also = f"{names[0]} also receives what was added to it for {names[1]}"
            yield Edit(f"The gradient of {scene.named(family[0])} was edited in place: {also}.", parts=parts, cost=1.2)


def _arriving(scene: Scene, node: Node) -> tuple[list[tuple[Use, ...]], bool]:
    """Paths along which a node's gradient arrives, and whether they are longer than one use.

    A single use by an operation of each element by itself is followed to the uses of its result.
    """
    record, way = scene.record, list[Use]()
    for _ in range(6):
        uses = record.senders(node.index)
        if len(uses) != 1:
            break
        user = record.nodes[uses[0][0]]
        if user.op is None or not user.op.elementwise or user.shape != node.shape:
            break
        way.insert(0, uses[0])
        node = user
    return [(use, *way) for use in uses], bool(way)


def _masks(scene: Scene) -> Iterator[Edit]:
    """Edits by which all masks are ignored."""
    record = scene.record
    masks: dict[Use, Rule] = {}
    for use in record.truth.contributions:
        node = record.nodes[use[0]]
        name, other = node.op and node.op.name, node.operands[1 - use[1]] if len(node.operands) == 2 else None
        if name == "where":
            masks[use] = edited_rules.unmasked
        elif name == "mul" and isinstance(other, Ref) and scene.is_mask(record.nodes[other.index]):
            masks[use] = edited_rules.passed_on
    if masks:
        yield Edit("The masks are ignored: gradients pass as if every sequence were of full length.", masks)
