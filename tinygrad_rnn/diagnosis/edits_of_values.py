"""Edits by which a rule uses another value of the program than the one that belongs there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Family, Scene, in_brackets, is_nonlinear
from .edited_rules import (
    PRODUCTS,
    AsIf,
    Late,
    OneReplaced,
    Times,
    Valued,
    axis_of_rows,
    blocks_transposed,
    by_itself,
    looks_up,
    made,
    of_another_gradient,
    rows_of,
    true_slope,
)
from .edited_walks import Edit, Rule, Use
from .stand_ins import ITSELF, Series, Variant, index_of, integers, one_hot

#: no likelier than this, a value is not taken for a factor too many, nor for one deep inside of another
LIKELY = 0.26


def of_values(scene: Scene) -> Iterator[Edit]:
    """At every place of every rule where a value enters: each other value that fits."""
    numbers = list(integers(scene))
    for family in scene.families:
        op = family[0].op
        assert op is not None
        for slot, nodes in scene.slots(family).items():
            result, needed = op.values_needed(slot)
            for other, operand in enumerate(nodes[0].operands):
                if isinstance(operand, Ref) and (needed is None or other in needed):
                    yield from _instead_of(scene, nodes, slot, other)
            if result and (op.elementwise or is_nonlinear(family[0])):
                yield from _instead_of(scene, nodes, slot, None)
            yield from _a_factor_too_many(scene, nodes, slot)
            yield from _other_numbers(scene, nodes, slot, numbers)
            yield from _equal_rows_once(scene, nodes, slot)
        yield from _instead_of_the_gradient(scene, family)
    yield from _of_stale_values(scene)
    yield from _other_weights(scene)
    yield from _carried_with_a_factor(scene)


def _instead_of(scene: Scene, family: Family, slot: int, other: int | None) -> Iterator[Edit]:
    """Another value where an operand's, or the result's (None), belongs; or that one made with another one in it."""
    record, op = scene.record, family[0].op
    line = [n.index for n in family] if other is None else scene.line(family, other)
    if line is None or op is None or record.values[line[-1]].dtype.kind != "f":  # numbers of rows: see below
        return
    subject, name = scene.subject(family, slot), scene.named(record.nodes[line[-1]])
    if is_nonlinear(family[0]):
        subject = f"at {scene.named(family[0])} the derivative of {op.name}"

    def edits(words: str, cost: float, values: Sequence[Late], rule: Callable[[int, Late], Rule]) -> Iterator[Edit]:
        rules = {n.index: rule(index, v) for n, index, v in zip(family, line, values, strict=True)}
        yield from scene.at_times(family, slot, words, lambda n: rules[n.index], single=cost == 0.05, cost=cost)

    def valued(index: int, value: Late) -> Rule:
        return Valued({index: value})

    values: Sequence[Late]
    product = PRODUCTS.get(true_slope(record, family[0]) or "", []) if other is None else []
    for words, values, cost in scene.stand_ins.of(line, family):
        where = "" if is_nonlinear(family[0]) or cost < 0.2 else f" where {name} belongs"
        yield from edits(f"{subject} uses {words}{where}", cost, values, valued)
        for slope in product:
            text = f"at {scene.named(family[0])} one of the two factors of the derivative of {op.name} uses {words}"
            yield from edits(text, 0.11 + cost, values, lambda _, v, s=slope: OneReplaced(s, v))  # type: ignore[misc]
        if other is not None and op.values_needed(slot)[0] and cost < 0.2:
            again = dict(zip(line, zip(family, _made(family, other, values, scene), strict=True), strict=True))
            yield from edits(
                f"{subject} uses {words}, and the result made of it", 0.01 + cost, values,
                lambda index, v, r=again: Valued({index: v, r[index][0].index: r[index][1]}),  # type: ignore[misc]
            )  # fmt: skip
    nodes = [record.nodes[index] for index in line]
    if all(n.shape == family[0].shape for n in (*nodes, *family)):
        rules = {n.index: by_itself(index) for n, index in zip(family, line, strict=True)}
        text = f"{subject} uses the gradient that arrives where {name} belongs"
        yield from scene.at_times(family, slot, text, lambda n: rules[n.index], single=False, cost=0.25)
    for words, values, cost in _remade(scene, nodes, depth=2) if len(set(line)) == len(line) else ():
        text = f"{subject} {words.format(in_brackets(name))}"
        yield from edits(text, 0.15 + cost, values, valued)


def _instead_of_the_gradient(scene: Scene, family: Family) -> Iterator[Edit]:
    """A value is taken for the gradient that arrives, in all that a node sends or in one use."""
    slots = scene.slots(family)
    for words, values, cost in scene.stand_ins.of([n.index for n in family], family):
        if cost > LIKELY or words.startswith(ITSELF) or any(len(nodes) < len(family) for nodes in slots.values()):
            continue
        rules = {n.index: of_another_gradient(made(v)) for n, v in zip(family, values, strict=True)}
        for some in [[*slots], *([slot] for slot in slots if len(slots) > 1)]:
            uses: dict[Use, Rule] = {(n.index, slot): rules[n.index] for n in family for slot in some}
            subject = scene.subject(family, some[0]) if len(some) == 1 else f"all that {scene.named(family[-1])} sends"
            yield Edit(f"At every step, {subject} comes from the value of {words}.", uses, cost=1.3 + cost)


def _made(nodes: Sequence[Node], place: int, values: Sequence[Late], scene: Scene) -> list[Late]:
    """What these nodes' results are with other values of one operand."""

    def result(node: Node, value: Late) -> Array:
        operands = [made(value) if k == place else scene.record.target(node, k) for k in range(len(node.operands))]
        assert node.op is not None
        return np.asarray(node.op.forward(*operands, **node.attrs))

    return [partial(result, node, value) for node, value in zip(nodes, values, strict=True)]


def _remade(scene: Scene, nodes: Sequence[Node], depth: int) -> Iterator[Variant]:
    """These values, made with another value, or none, in one place of their formula; + for −; parts exchanged."""
    op, record = nodes[0].op, scene.record
    if op is None or any(n.op is not op or n.shape != nodes[0].shape for n in nodes):
        return
    if not (op.elementwise or op.name == "concat") or not nodes[0].shape:
        return
    count = len(nodes[0].operands)
    operands = [[record.target(n, k) for k in range(count)] for n in nodes]
    if op.infix == "-":
        yield "has + for − in {}", [partial(np.add, *both) for both in operands], 0.05
    for place in (0, 1) if op.infix in ("+", "-") else ():
        if all(np.shape(both[1 - place]) == nodes[0].shape for both in operands):
            other = np.negative if op.infix == "-" and place == 0 else np.asarray
            alone: list[Late] = [partial(other, both[1 - place]) for both in operands]
            yield f"uses {{}} without {scene.name_of(nodes[-1], place)}", alone, 0.1
    if op.name == "concat" and count > 1:
        turned: list[Late] = [partial(np.concatenate, parts[::-1], nodes[0].attrs["axis"]) for parts in operands]
        yield "uses {} with its parts in the other order", turned, 0.1
    for place in range(count if count < 4 else 0):
        line = scene.line(list(nodes), place)
        if line is None or (op.infix and np.shape(record.values[line[0]]) != nodes[0].shape):
            continue
        mine = scene.name_of(nodes[-1], place)
        values: Sequence[Late]
        for words, values, cost in scene.stand_ins.of(line, nodes):
            yield f"uses {{}} with {words} in the place of {mine}", _made(nodes, place, values, scene), 0.1 + cost
        inner = [record.nodes[index] for index in line]
        for words, values, cost in (
            _remade(scene, inner, depth - 1) if depth > 1 and len(set(line)) == len(line) else ()
        ):
            if cost <= LIKELY:
                text = words.format(in_brackets(mine))
                yield f"uses {{}}, which {text}", _made(nodes, place, values, scene), 0.1 + cost


def _a_factor_too_many(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """A factor too many, or one forgotten in a formula in which much had cancelled: another value of the same step."""
    line = scene.line(family, slot)
    if line is None or not np.shape(scene.record.target(family[0], slot)):
        return
    subject = scene.subject(family, slot)
    shapes = {n.shape for n in (*family, *(scene.record.nodes[index] for index in line))}
    smaller = scene.stand_ins.smaller(family[0].shape, family) if len(shapes) == 1 else ()
    for name, values, cost in [*scene.stand_ins.of(line, family), *smaller]:
        if cost > LIKELY:
            continue
        changes: list[tuple[str, Callable[[Array], Array]]] = [(f"multiplied with {name}", np.asarray)]
        changes += [(f"divided by {name}", np.reciprocal)] if all(map(np.all, values)) else []
        if all(np.all((v > 0) & (v < 1)) for v in values):
            changes.append((f"multiplied with 1 − {in_brackets(name)}", lambda v: 1 - v))
        for words, change in changes:
            rules = {n.index: Times(partial(change, v)) for n, v in zip(family, values, strict=True)}
            yield from scene.at_times(
                family, slot, f"{subject} is {words}", lambda n, r=rules: r[n.index], single=False, cost=0.25 + cost
            )


def _equal_rows_once(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """A product with rows of one 1 each looks rows up: those that are looked up again are not added."""
    line = scene.line(family, 1 - slot) if len(family[0].operands) == 2 else None
    if line is None or family[0].op is None or family[0].op.kind != "contraction":
        return
    hot = [np.asarray(scene.record.values[index]) for index in line]
    if all(v.ndim == 2 and one_hot(v, 1) for v in hot):
        again = [np.array([any(row @ later for later in v[k + 1 :]) for k, row in enumerate(v)]) for v in hot]
        rules = {
            n.index: Valued({index: np.where(twice[:, None], 0.0, v)})
            for n, index, v, twice in zip(family, line, hot, again, strict=True)
        }
        text = f"{scene.subject(family, slot)} counts a row that is looked up twice only once"
        yield from scene.at_times(family, slot, text, lambda n: rules[n.index], single=False)


def _carried_with_a_factor(scene: Scene) -> Iterator[Edit]:
    """All that a state receives from the next step has a factor too many."""
    record = scene.record
    for family in scene.states:
        chain, carries, name = scene.chain(family), scene.carries(family), scene.named(family[-1])
        at = [t for t, uses in carries.items() if t and any(use in record.truth.contributions for use in uses)]
        nodes = [record.nodes[chain[t]] for t in at]
        for words, values, cost in scene.stand_ins.of([chain[t] for t in at], nodes) if at else ():
            if cost <= LIKELY:
                uses: dict[Use, Rule] = {
                    use: Times(v) for t, v in zip(at, values, strict=True)
                    for use in carries[t] if use in record.truth.contributions
                }  # fmt: skip
                text = f"At every step, all that {name} receives from the step after it is multiplied with {words}"
                yield Edit(f"{text}, of that step.", uses, cost=1.25 + cost)


def _other_weights(scene: Scene) -> Iterator[Edit]:
    """In all rules that need a weight, or a part of it, another one of its shape is used, or it is transposed."""
    record = scene.record
    for leaf in record.leaves:
        parts = [leaf.index]
        for index in parts:
            users = (record.nodes[user] for user, _ in record.users[index])
            moving = (n for n in users if n.op is not None and n.op.kind in ("movement", "index"))
            parts += [n.index for n in moving if n.sources == (index,) and n.index not in parts]
        others = {
            scene.named(o): np.asarray(o.value)
            for o in record.leaves
            if o.shape == leaf.shape and o.index != leaf.index
        }
        turned = blocks_transposed(np.asarray(record.values[leaf.index]))
        if turned is not None and turned.shape == leaf.shape:
            others["it transposed"] = turned
        for words, value in others.items():
            changed = {leaf.index: value}
            for index in parts[1:]:
                node = record.nodes[index]
                operands = [changed.get(x.index) if isinstance(x, Ref) else x for x in node.operands]
                changed[index] = np.asarray(node.op.forward(*operands, **node.attrs))  # type: ignore[union-attr]
            uses: dict[Use, Rule] = {
                (user, k): Valued(changed)
                for index in parts for user, _ in record.users[index]
                for k, x in enumerate(record.nodes[user].operands)
                if (user, k) in record.truth.contributions and isinstance(x, Ref) and x.index not in parts
            }  # fmt: skip
            if len({scene.place[user][0] for user, _ in uses}) > 1:
                text = f"Every rule that needs {scene.named(leaf)} uses {words}."
                yield Edit(text, uses, cost=1.1)


# One value, wherever it is used ------------------------------------------------------------------------------


def _of_stale_values(scene: Scene) -> Iterator[Edit]:
    """A variable that held another value while a step was walked back: in all of the step's rules that use it."""
    together: dict[tuple[str, str], list[tuple[str, dict[Use, Rule]]]] = defaultdict(list)
    for line in _lines(scene):
        nodes = [scene.record.nodes[index] for index in line]
        own, later = _rules_with(scene, line)
        name = scene.named(nodes[-1])
        variants: list[Variant] = [(f"uses {words}", v, c) for words, v, c in scene.stand_ins.of(line, nodes)]
        variants += [(text.format(in_brackets(name)), v, 0.1 + c) for text, v, c in _remade(scene, nodes, depth=1)]
        for where, places in (("of its own step", own), ("of the step after", later)):
            for words, values, cost in variants:
                if places and cost <= LIKELY:
                    rules = _all_with(scene, places, line, values)
                    which = words.removeprefix(f"uses {name} ")
                    if which != words and cost <= 0.1 and where == "of its own step":
                        for group in {".".join(nodes[-1].scope.path), ""}:
                            together[which, group].append((name, rules))
                    if len({(scene.place[node][0], slot) for node, slot in places}) > 1:
                        text = f"At every step, every rule {where} that needs {name} {words}."
                        yield Edit(text, rules, cost=1.1 + cost)
    for (which, _), found in together.items():
        gates = [each for each in found if each[0] in {scene.named(f[-1]) for f in scene.gates if f[-1].role}]
        for some in (found, gates):
            if len(some) > 1:
                rules = {}
                for _, more in some:
                    for use, rule in more.items():
                        assert isinstance(rule, Valued)
                        before = rules.get(use, rule)
                        assert isinstance(before, Valued)
                        rules[use] = Valued({**before.changed, **rule.changed})
                names = ", ".join(dict.fromkeys(name for name, _ in some))
                yield Edit(f"At every step, every rule of their own step uses {names} {which}.", rules, cost=1.2)


def _lines(scene: Scene) -> Iterator[list[int]]:
    """Values that every step has: computed ones, and constants."""
    seen = set[tuple[int, ...]]()
    for family in scene.all_families:
        if len(family) > 1:
            yield [n.index for n in family]
        for slot in range(len(family[0].operands)):
            line = scene.line(family, slot)
            constant = line and all(scene.record.nodes[i].op is None for i in line)
            if line and constant and len(set(line)) == len(line) > 1 and tuple(line) not in seen:
                seen.add(tuple(line))
                yield line


def _rules_with(scene: Scene, line: list[int]) -> tuple[dict[Use, int], dict[Use, int]]:
    """The uses whose rules need these values, and which of them: in the same step, and in the next one."""
    record, own, later = scene.record, dict[Use, int](), dict[Use, int]()
    for t, index in enumerate(line):
        mine = record.nodes[index]
        read = {index, *_made_of(scene, index)}
        for node in (mine, *(record.nodes[user] for k in read for user, _ in record.users[k])):
            for slot in range(len(node.operands)):
                if (node.index, slot) not in record.truth.contributions or node.op is None:
                    continue
                result, needed = node.op.values_needed(slot)
                found = [k for k, x in enumerate(node.operands) if isinstance(x, Ref) and x.index in read]
                if (result and node is mine) or any(needed is None or k in needed for k in found):
                    same = mine.op is None or node.scope.step == mine.scope.step
                    (own if same else later)[node.index, slot] = t
    return own, later


def _made_of(scene: Scene, index: int) -> list[int]:
    """What a line of a program makes of a value and of numbers, such as 1 - z."""
    record, found = scene.record, [index]
    for made_of in found:
        for user, _ in record.users[made_of]:
            node = record.nodes[user]
            others = (x for x in node.operands if isinstance(x, Ref) and x.index not in found)
            plain = node.op is not None and (node.op.infix in ("+", "-", "*", "/") or node.op.name in ("neg", "pow"))
            if plain and user not in found and not any(record.nodes[x.index].requires_grad for x in others):
                found.append(user)
    return sorted(found[1:])


def _all_with(scene: Scene, places: dict[Use, int], line: list[int], values: Sequence[Late]) -> dict[Use, Rule]:
    rules = [Valued(_changed(scene, index, value)) for index, value in zip(line, values, strict=True)]
    return {use: rules[t] for use, t in places.items()}


def _changed(scene: Scene, index: int, value: Late) -> dict[int, Late]:
    """A value, and what is made of it and of numbers."""
    changed: dict[int, Late] = {index: value}
    for user in _made_of(scene, index):
        node = scene.record.nodes[user]

        def again(node: Node = node) -> Array:
            operands = [
                made(changed[x.index]) if isinstance(x, Ref) and x.index in changed else scene.record.target(node, k)
                for k, x in enumerate(node.operands)
            ]
            assert node.op is not None
            return np.asarray(node.op.forward(*operands, **node.attrs))

        changed[user] = again
    return changed


# Numbers of rows and of classes ------------------------------------------------------------------------------


def _other_numbers(scene: Scene, family: Family, slot: int, numbers: list[Series]) -> Iterator[Edit]:
    """Another word's row, or another class as the target."""
    node, record = family[0], scene.record
    assert node.op is not None
    number = index_of(node)
    if node.op.name == "cross_entropy":
        mine, size = np.shape(record.target(node, 1)), record.target(node, 0).shape[-1]
    elif looks_up(node) or (number is not None and len({index_of(n) for n in family}) > 1):
        axis = axis_of_rows(node)
        mine = np.shape(rows_of(record, node)) if number is None else (1,)
        size = np.shape(record.target(node, 0))[axis]
    else:
        return
    subject, seen = scene.subject(family, slot), set[bytes]()
    for series in numbers:
        places = scene.stand_ins.places(series, family)
        for words, values, cost in series.variants(places, near=True) if places else ():
            if len(family) == 1 and len(series.steps) > 1 and int(np.prod(mine)) == len(series.steps):
                continue
            yield from _with_numbers(scene, family, slot, subject, words, values, mine, size, cost, seen)
        if len(family) == 1:
            yield from _all_at_once(scene, family, slot, subject, series, mine, size, seen)


def _all_at_once(
    scene: Scene, family: Family, slot: int, subject: str, series: Series, mine: tuple[int, ...], size: int,
    seen: set[bytes],
) -> Iterator[Edit]:  # fmt: skip
    """The numbers of all steps, where one operation has them all."""
    count = int(np.prod(mine))
    if len(series.steps) == 1 and series.values[-1].size == count:
        flat = series.values[-1].ravel()
        series = Series(series.name, [flat[k : k + 1] for k in range(count)], 0, tuple(range(count)))
    if len(series.steps) * series.values[-1].size == count:
        for words, values, cost in series.variants(range(len(series.steps)), near=True):
            together = np.concatenate([v.ravel() for v in values])
            yield from _with_numbers(scene, family, slot, subject, words, [together], mine, size, cost, seen)


def _with_numbers(
    scene: Scene, family: Family, slot: int, subject: str, words: str, values: list[Array], mine: tuple[int, ...],
    size: int, cost: float, seen: set[bytes],
) -> Iterator[Edit]:  # fmt: skip
    if any(v.size != np.prod(mine, dtype=int) or v.min(initial=0) < 0 or v.max(initial=0) >= size for v in values):
        return
    key = np.concatenate([v.ravel() for v in values]).astype(int).tobytes()
    if key in seen:
        return
    seen.add(key)
    rules: dict[int, Rule] = {}
    for node, value in zip(family, values, strict=True):
        assert node.op is not None
        whole = value.reshape(mine).astype(int)
        if node.op.name == "cross_entropy":
            operand = node.operands[1]
            result = np.asarray(node.op.forward(scene.record.target(node, 0), whole, **node.attrs))
            rules[node.index] = Valued({operand.index: whole, node.index: result})  # type: ignore[union-attr]
        elif node.op.name == "take":
            rules[node.index] = Valued({node.operands[1].index: whole})  # type: ignore[union-attr]
        else:
            index = node.attrs["index"]
            put = whole if index_of(node) is None else int(whole.item())
            axis = axis_of_rows(node)
            new = (*index[:axis], put, *index[axis + 1 :]) if isinstance(index, tuple) else put
            rules[node.index] = AsIf(replace(node, attrs={**node.attrs, "index": new}), 0)
    text = f"{subject} uses {words} where the right ones belong"
    yield from scene.at_times(family, slot, text, lambda n: rules[n.index], single=False, cost=0.2 + cost)
