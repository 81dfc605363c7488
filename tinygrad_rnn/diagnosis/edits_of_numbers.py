"""Edits by which a rule uses wrong row numbers or classes: those of another word, another target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Family, Scene
from .edited_rules import AsIf, Valued, arrays_in, axis_of_rows, looks_up, rows_of
from .edited_walks import Edit, Rule, Use
from .row_numbers import axis_of, index_of, one_hot, row_numbers
from .series import Series

Place = tuple[int, ...]  #: of a look-up: its step, and its position in the array of row numbers


def of_numbers(scene: Scene) -> Iterator[Edit]:
    """Edits of operations that look rows up, choose elements, or have classes as targets."""
    numbers = list(row_numbers(scene))
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            yield from _other_numbers(scene, nodes, slot, numbers)
            yield from _other_ones(scene, nodes, slot, numbers)
    yield from scene.attempts.items(_rows_once(scene))
    yield from scene.attempts.items(_assigned(scene))


def _other_numbers(scene: Scene, family: Family, slot: int, numbers: list[Series]) -> Iterator[Edit]:
    """Edits in which the numbers of another step or value are used, for a look-up or as targets."""
    node, record = family[0], scene.record
    assert node.op is not None
    number = index_of(node)
    if node.op.name == "cross_entropy":
        own, size = [np.asarray(record.target(n, 1)) for n in family], record.target(node, 0).shape[-1]
    elif looks_up(node) or (number is not None and len({index_of(n) for n in family}) > 1):
        axis = axis_of_rows(node) if number is None else axis_of(node)
        own = [rows_of(record, n) if number is None else np.array([index_of(n)]) for n in family]
        size = np.shape(record.target(node, 0))[axis]
    else:
        return
    seen = set[bytes]()
    for words, values, cost in _candidates(scene, family, own, numbers):
        if len({o.size for o in own}) > 1:  # of a packed sequence fewer rows go on
            values = [v.ravel()[: o.size] for v, o in zip(values, own, strict=True)]
        fits = all(v.size == o.size and v.min(initial=0) >= 0 and v.max(initial=0) < size for v, o in zip(values, own))
        key = np.concatenate([v.ravel() for v in values]).astype(int).tobytes()
        if fits and key not in seen:
            seen.add(key)
            yield from _with_numbers(
                scene, family, slot, words, [v.reshape(o.shape) for v, o in zip(values, own)], cost
            )


def _candidates(
    scene: Scene, family: Family, own: list[Array], numbers: list[Series]
) -> Iterator[tuple[str, list[Array], float]]:
    """Numbers of other values or steps; for one operation that has the numbers of all steps, of all of them."""
    count, once = own[0].size, len(family) == 1
    for series in [*numbers, *_cut(numbers, len(family), count)]:
        places = scene.stand_ins.places(series, family)
        if places and not (once and len(series.steps) > 1 and count == len(series.steps)):
            yield from series.variants(places, near=True)
        if once and len(series.steps) == 1 and series.values[-1].size == count:
            flat = series.values[-1].ravel()
            series = Series(series.name, [flat[k : k + 1] for k in range(count)], 0, tuple(range(count)))
        if once and len(series.steps) * series.values[-1].size == count:
            for words, values, cost in series.variants(range(len(series.steps)), near=True):
                yield words, [np.concatenate([v.ravel() for v in values])], cost


def _cut(numbers: list[Series], steps: int, rows: int) -> Iterator[Series]:
    """Of one array with the numbers of all steps, those of each step, whichever axis came first."""
    for series in numbers:
        whole = series.values[-1]
        if len(series.steps) == 1 < min(steps, rows) and whole.size == steps * rows:
            for each in (whole.reshape(steps, rows), whole.reshape(rows, steps).T):
                yield Series(series.name, list(each), 0, tuple(range(steps)))


def _with_numbers(
    scene: Scene, family: Family, slot: int, words: str, values: list[Array], cost: float
) -> Iterator[Edit]:
    record, rules, chosen, subject = scene.record, dict[int, Rule](), dict[int, Array](), scene.subject(family, slot)
    for node, value in zip(family, values, strict=True):
        assert node.op is not None
        whole = value.astype(int)
        if node.op.name == "cross_entropy":
            operand = node.operands[1]
            result = np.asarray(node.op.forward(record.target(node, 0), whole, **node.attrs))
            rules[node.index] = Valued({operand.index: whole, node.index: result})  # type: ignore[union-attr]
        elif node.op.name == "take":
            rules[node.index] = Valued({node.operands[1].index: whole})  # type: ignore[union-attr]
        else:
            index = node.attrs["index"]
            put = whole if index_of(node) is None else int(whole.item())
            axis = axis_of_rows(node) if index_of(node) is None else axis_of(node)
            new = (*index[:axis], put, *index[axis + 1 :]) if isinstance(index, tuple) else put
            rules[node.index] = AsIf(replace(node, attrs={**node.attrs, "index": new}), 0)
            if record.nodes[record.target_of((node.index, 0))].op is not None:
                chosen[node.index] = np.asarray(node.op.forward(record.target(node, 0), **{**node.attrs, "index": new}))
    text = f"{subject} uses {words} where the right ones belong"
    yield from scene.at_times(family, slot, text, lambda n: rules[n.index], single=False, cost=0.2 + cost)
    if chosen:
        text = f"At every step, {subject} uses {words} where the right ones belong, and so does all that is made of it."
        uses = {(index, slot): rule for index, rule in rules.items()}
        yield Edit(text, uses, values=record.recomputed(chosen), cost=1.21 + cost)


def _rows_once(scene: Scene) -> Iterator[Edit]:
    """Edits by which, of a table's rows that are looked up again, some of the gradients do not count.

    A look-up has places along several axes: its step, and those of the array of row numbers. Along one of them rows are
    written one after another over what was there; or only those that are looked up together are, and the others added.
    """
    tables: dict[int, list[tuple[Family, int]]] = defaultdict(list)
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            if all(_looked_up(scene, n, slot) is not None for n in nodes):
                tables[scene.record.target_of((nodes[-1].index, slot))].append((nodes, slot))
    for table, found in tables.items():
        again = f"A row of {scene.named(scene.record.nodes[table])} that is looked up again"
        for nodes, slot in found:
            subject = f"{'At every step' if len(nodes) > 1 else 'Once'}, {scene.subject(nodes, slot)}"
            whole = f"{subject}: a row that is looked up again" if len(found) > 1 else again
            yield from _some_rows(scene, [(n, slot) for n in nodes], subject, whole)
        if len(found) > 1:
            uses = sorted(((n, slot) for nodes, slot in found for n in nodes), key=lambda use: use[0].index)
            yield from _some_rows(scene, uses, "", again)


def _assigned(scene: Scene) -> Iterator[Edit]:
    """Edits by which what a use sends to some elements is assigned, so that all is lost that they had received else."""
    record, sent = scene.record, scene.record.truth.contributions
    values = [[scene.record.leaves[k]] for k in range(len(record.leaves))] + scene.families
    for value in values:
        received = [record.senders(node.index) for node in value]
        chosen = [
            (scene.place[user][0], slot) for uses in received for user, slot in uses if _of_some(record.nodes[user])
        ]
        for number, slot in dict.fromkeys(chosen) if max(map(len, received)) > 1 else ():
            before, others = dict[Use, Rule](), dict[Use, Rule]()
            for node, uses in zip(value, received, strict=True):
                mine = {use for use in uses if (scene.place[use[0]][0], use[1]) == (number, slot)}
                filled = np.any([sent[use] != 0 for use in mine], axis=0) if mine else np.zeros(node.shape, bool)
                lost = np.zeros(node.shape, bool)
                for use in sorted(uses) if not filled.all() else ():
                    if lost.any():
                        before[use] = _sent_to(~lost)
                    if use in mine:
                        lost = lost | (sent[use] != 0)
                    elif filled.any():
                        others[use] = _sent_to(~filled)
            text = f"At every step, {scene.subject(scene.all_families[number], slot)} is written over what"
            for rules, which in (
                (before, "its row had received from all others"),
                (others, "was there from all others"),
            ):
                yield Edit(f"{text} {which}, not added to it.", rules, cost=1.15)


def _of_some(node: Node) -> bool:
    """Whether an operation may send to some elements of its operand alone."""
    return node.op is not None and (node.op.chooses or node.op.kind in ("movement", "index", "contraction"))


def _looked_up(scene: Scene, node: Node, slot: int) -> tuple[Array, int] | None:
    """The row numbers by which a use looks its operand up, also as ones among zeros, and the axis of the rows."""
    assert node.op is not None
    if looks_up(node) and slot == 0 and len(arrays_in(node)) < 2:
        return rows_of(scene.record, node), axis_of_rows(node)
    if axis_of(node) >= 0:
        return np.asarray(index_of(node)), axis_of(node)
    if node.op.name in ("matmul", "linear") and slot < 2 and isinstance(node.operands[1 - slot], Ref):
        hot, axis = np.asarray(scene.record.target(node, 1 - slot)), int(slot == 1)
        if hot.ndim == 2 and one_hot(hot, axis):
            return np.where(hot.any(axis), hot.argmax(axis), -1 - np.arange(hot.shape[1 - axis])), 1 - axis
    return None


def _some_rows(scene: Scene, uses: list[tuple[Node, int]], subject: str, again: str) -> Iterator[Edit]:
    found = [_looked_up(scene, *use) or (np.zeros(0, int), 0) for use in uses]
    row = {(t, *place): rows[place] for t, (rows, _) in enumerate(found) for place in np.ndindex(rows.shape)}
    several = len(uses) > 1
    kept: list[tuple[str, Iterable[Place]]] = []
    for axis in range(len(min(row, key=len, default=())) if len(set(map(len, row))) == 1 else 0):
        if subject:
            where = "" if not axis else f" in each {'row' if several else 'step'} of axis {axis - 1}"
            together = {(row[p], p[axis]): p for p in sorted(row)}
            kept.append((f"{subject} counts a row that is looked up twice only once{where}", together.values()))
        for ahead, back in ((1, 1), (-1, 1), (1, -1)) if axis or several else ():
            order = sorted(row, key=lambda p: (ahead * p[axis], back * p[0], p))
            which, step = "last" if ahead > 0 else "first", "last" if back > 0 else "first"
            text = f"{again} has only what the {which} of axis {axis - 1} sends, at its {step} step"
            if not several:
                text = f"{subject} is overwritten by the {which} row looked up along axis {axis - 1}"
            elif not axis:
                text = f"{again} has only what was written there {'first' if ahead > 0 else 'last'}"
            kept.append((f"{text}: it was overwritten" if several else text, {row[p]: p for p in order}.values()))
    first = {row[p]: p[0] for p in sorted(row, reverse=True)}
    if several:
        text = f"{again} has only what the earliest step that looks it up sends: it was overwritten"
        kept.append((text, [p for p in row if first[row[p]] == p[0]]))
    seen = {frozenset(row)}
    for text, places in kept:
        if (key := frozenset(places)) not in seen:
            seen.add(key)
            rules = dict[Use, Rule]()
            for t, ((node, slot), (rows, axis)) in enumerate(zip(uses, found, strict=True)):
                mask = np.array([(t, *place) in key for place in np.ndindex(rows.shape)], float).reshape(rows.shape)
                after = (1,) * (len(node.shape) - axis - rows.ndim)
                rules[node.index, slot] = _with_rows(mask.reshape((1,) * axis + rows.shape + after))
            yield Edit(f"{text}.", rules, cost=1.15 if "overwritten" in text else 1.0)


def _sent_to(mask: Array) -> Rule:
    return lambda record, node, slot, g: record.pull(node, slot, g) * mask


def _with_rows(mask: Array) -> Rule:
    return lambda record, node, slot, g: record.pull(node, slot, g * mask)


def _other_ones(scene: Scene, family: Family, slot: int, numbers: list[Series]) -> Iterator[Edit]:
    """Edits in which ones among zeros stand for other classes; a row that a mask left 0 stays so."""
    line = scene.line(family, 1 - slot) if len(family[0].operands) == 2 else None
    if line is None or any(scene.record.nodes[index].requires_grad for index in line):
        return
    hot, seen = [np.asarray(scene.record.values[index]) for index in line], set[bytes]()
    axes = [k for k in (0, 1) if all(v.ndim == 2 and (one_hot(v, k, ones=False) or not v.any()) for v in hot)]
    for axis, series in product(axes, numbers):
        places = scene.stand_ins.places(series, family)
        for words, values, cost in series.variants(places, near=True) if places else ():
            size, count = hot[0].shape[axis], hot[0].shape[1 - axis]
            if any(v.size != count or v.min() < 0 or v.max() >= size for v in values):
                continue
            classes = np.arange(size).reshape((1, -1) if axis else (-1, 1))
            ones = [
                h.sum(axis, keepdims=True) * (classes == np.expand_dims(v.ravel(), axis))
                for h, v in zip(hot, values, strict=True)
            ]
            key = b"".join(v.tobytes() for v in ones)
            if key not in seen and any(np.any(a != b) for a, b in zip(ones, hot, strict=True)):
                seen.add(key)
                rules = {n.index: Valued({i: v}) for n, i, v in zip(family, line, ones, strict=True)}
                text = f"{scene.subject(family, slot)} uses {words} where the right ones belong"
                yield from scene.at_times(
                    family, slot, text, lambda n, r=rules: r[n.index], single=False, cost=0.2 + cost
                )
