"""Edits by which a rule uses wrong row numbers or classes: those of another word, another target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from ..tensors import Array
from .edit_context import Family, Scene
from .edited_rules import AsIf, Valued, axis_of_rows, looks_up, rows_of
from .edited_walks import Edit, Rule
from .row_numbers import axis_of, index_of, one_hot, row_numbers
from .series import Series


def of_numbers(scene: Scene) -> Iterator[Edit]:
    """Edits of operations that look rows up, choose elements, or have classes as targets."""
    numbers = list(row_numbers(scene))
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            yield from _other_numbers(scene, nodes, slot, numbers)
            yield from _equal_rows_once(scene, nodes, slot)
            yield from _other_ones(scene, nodes, slot, numbers)


def _other_numbers(scene: Scene, family: Family, slot: int, numbers: list[Series]) -> Iterator[Edit]:
    """Edits in which the numbers of another step or value are used, for a look-up or as targets."""
    node, record = family[0], scene.record
    assert node.op is not None
    number = index_of(node)
    if node.op.name == "cross_entropy":
        mine, size = np.shape(record.target(node, 1)), record.target(node, 0).shape[-1]
    elif looks_up(node) or (number is not None and len({index_of(n) for n in family}) > 1):
        axis = axis_of_rows(node) if number is None else axis_of(node)
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
    scene: Scene,
    family: Family,
    slot: int,
    subject: str,
    series: Series,
    mine: tuple[int, ...],
    size: int,
    seen: set[bytes],
) -> Iterator[Edit]:
    """The same for one operation that has the numbers of all steps."""
    count = int(np.prod(mine))
    if len(series.steps) == 1 and series.values[-1].size == count:
        flat = series.values[-1].ravel()
        series = Series(series.name, [flat[k : k + 1] for k in range(count)], 0, tuple(range(count)))
    if len(series.steps) * series.values[-1].size == count:
        for words, values, cost in series.variants(range(len(series.steps)), near=True):
            together = np.concatenate([v.ravel() for v in values])
            yield from _with_numbers(scene, family, slot, subject, words, [together], mine, size, cost, seen)


def _with_numbers(
    scene: Scene,
    family: Family,
    slot: int,
    subject: str,
    words: str,
    values: list[Array],
    mine: tuple[int, ...],
    size: int,
    cost: float,
    seen: set[bytes],
) -> Iterator[Edit]:
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
            axis = axis_of_rows(node) if index_of(node) is None else axis_of(node)
            new = (*index[:axis], put, *index[axis + 1 :]) if isinstance(index, tuple) else put
            rules[node.index] = AsIf(replace(node, attrs={**node.attrs, "index": new}), 0)
    text = f"{subject} uses {words} where the right ones belong"
    yield from scene.at_times(family, slot, text, lambda n: rules[n.index], single=False, cost=0.2 + cost)


def _equal_rows_once(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """Edits of products with one-hot rows: of equal rows only the last is counted."""
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
