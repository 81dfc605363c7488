"""Edits by which what was moved, chosen or joined in the forward pass is not put back where it was taken from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Scene
from .edited_rules import looks_up, made, selected
from .edited_walks import Edit, Record, Rule
from .edits_of_paths import Way, sent_together
from .edits_of_saved_values import reading
from .stand_ins import ITSELF

Taken = tuple[list[Way], Array]  #: ways to a value, and the flat places in it that its elements were taken from


def of_positions(scene: Scene) -> Iterator[Edit]:
    """Edits of every operation, or several in a row, that takes elements of one value from other places of it."""
    alike: dict[tuple[int, str], list[tuple[str, Edit]]] = defaultdict(list)
    for family in scene.families:
        for found in zip(*(_taken(scene, node) for node in family), strict=False):
            sources = [scene.record.nodes[scene.record.target_of(ways[0][-1])] for ways, _ in found]
            starts = [np.unravel_index(at, s.shape) for s, (_, at) in zip(sources, found, strict=True)]
            each = [
                _places(scene, node, s, at, starts) for node, s, (_, at) in zip(family, sources, found, strict=True)
            ]
            for rank, how in enumerate(each[0]):
                places = [others[how] for others in each if how in others]
                wrong = any(not np.array_equal(at, right) for at, (_, right) in zip(places, found, strict=False))
                if len(places) < len(family) or not wrong:
                    continue
                rules = {n.index: _put(at, s) for n, at, s in zip(family, places, sources, strict=True)}
                edit = sent_together(scene, family, [ways for ways, _ in found], lambda n, _, r=rules: r[n.index])  # type: ignore[misc]
                if edit is not None:
                    name = scene.named(family[-1])
                    words = f"At every step, what {scene.named(sources[-1])} receives from"
                    yield replace(edit, words=f"{words} {name} {how}.", cost=1.15 + 0.002 * rank)
                    if _is_cut(family[0]) and min(at.min(initial=0) for at in places) >= 0:
                        read = [
                            np.ravel(scene.record.values[s.index])[at] for s, at in zip(sources, places, strict=True)
                        ]
                        text = f"In every rule that needs it, {name} is read where what is sent back {how}"
                        taken = reading(scene, {n.index: v for n, v in zip(family, read, strict=True)})
                        yield Edit(f"{text}.", taken, cost=1.16 + 0.002 * rank)
                    alike[sources[-1].index, f"{words} {{}} {how}."].append((name, edit))
    for (_, words), edits in alike.items():
        together: Edit | None = edits[0][1]
        for _, edit in edits[1:]:
            together = together and together.together(edit)
        if together is not None and len(edits) > 1:
            yield replace(together, words=words.format(" and from ".join(name for name, _ in edits)), cost=1.2)


def _taken(scene: Scene, node: Node) -> Iterator[Taken]:
    """The ways from ``node`` to the value that its elements are taken from, and their flat places there.

    Of a maximum, also the value before a mask that keeps places from being the largest.
    """
    record, op = scene.record, node.op
    first = node.operands[0] if op is not None and node.operands else None
    if op is None or not isinstance(first, Ref):
        return
    source = record.nodes[first.index]
    numbers = _numbers(source)
    if looks_up(node) or _is_cut(node):
        yield [((node.index, 0),)], np.asarray(numbers[selected(record, node)])
    if op.name == "max" and isinstance(node.attrs["axis"], int):
        at = _largest(numbers, record.values[first.index], node)
        yield [((node.index, 0),)], at
        for slot in (1, 2) if source.op is not None and source.op.chooses and len(source.operands) > 2 else ():
            if (source.index, slot) in record.truth.contributions and np.shape(
                record.target(source, slot)
            ) == source.shape:
                yield [((node.index, 0), (source.index, slot))], at
    parts = [record.nodes[x.index] for x in node.operands if isinstance(x, Ref)] if op.joins else []
    cut = all(_is_cut(n) and len(n.shape) == len(node.shape) and len(record.users[n.index]) == 1 for n in parts)
    if cut and len(parts) == len(node.operands) > 1 and len({n.sources for n in parts}) == 1:
        numbers = _numbers(record.nodes[parts[0].sources[0]])
        at = np.concatenate([numbers[n.attrs["index"]] for n in parts], node.attrs["axis"])
        yield [((node.index, k), (n.index, 0)) for k, n in enumerate(parts)], at


def _is_cut(node: Node) -> bool:
    return node.op is not None and "index" in node.attrs and "shape" not in node.attrs


def _numbers(node: Node) -> Array:
    return np.arange(int(np.prod(node.shape))).reshape(node.shape)


def _largest(numbers: Array, value: Array, node: Node) -> Array:
    axis = node.attrs["axis"]
    at = np.expand_dims(value.argmax(axis), axis)
    return np.take_along_axis(numbers, at, axis).reshape(node.shape)


def _places(
    scene: Scene, node: Node, source: Node, right: Array, family: Sequence[Sequence[Array]]
) -> dict[str, Array]:
    """Wrong flat places in ``source`` for the elements of ``node``, by words; below 0: they are lost."""
    shape, found = source.shape, dict[str, Array]()
    largest = node.op is not None and node.op.name == "max"
    if largest:
        value = scene.record.values[source.index]
        others = [
            (f"{scene.named(source)}, also what a mask leaves out,", value, 0.0),
            *((w, made(v[0]), c) for w, v, c in scene.stand_ins.of([source.index], [node])),
        ]
        found |= {
            f"arrives where {w} is largest": _largest(_numbers(source), v, node)
            for w, v, c in others
            if c <= 0.2 and not w.startswith(ITSELF)
        }
        found["arrives where it is smallest"] = _largest(_numbers(source), -value, node)
    at = list(np.unravel_index(right, shape)) if right.size else []
    for axis, (q, n) in enumerate(zip(at, shape, strict=False)):
        own = [np.arange(m).reshape([-1 if b == a else 1 for b in range(q.ndim)]) for a, m in enumerate(q.shape)]
        if not np.ptp(q) or any(i.size == n and np.array_equal(q, np.broadcast_to(i, q.shape)) for i in own):
            continue
        own_place = None if largest or q.ndim < len(shape) or (looks_up(node) and q.shape[axis] != n) else own[axis]
        starts = [int(there[axis].min()) for there in family if there[axis].size]
        along = f" along axis {axis}" if len(shape) > 1 else ""
        for words, moved in _moved(q, n, own_place, starts):
            places = np.array(at)
            inside = (moved >= 0) & (moved < n)
            places[axis] = np.where(inside, moved, 0)
            found[(words + along).rstrip(",")] = np.where(inside, np.ravel_multi_index(list(places), shape), -1)
    return found


def _moved(q: Array, n: int, i: Array | None, starts: list[int]) -> Iterator[tuple[str, Array]]:
    """Wrong places along an axis of size ``n`` for those at ``q``, of which ``i`` are their own places; with words."""
    if i is not None:
        axis = int(np.argmax(i.shape))
        if i.size == n:
            yield "stays where it is, and is not moved back,", i + 0 * q
            yield "is turned round over the whole length, not within each row's own,", n - 1 - i + 0 * q
        for start in dict.fromkeys([0, *starts]):
            seen = f", seen from place {start}" if start else ""
            how = f"in the same direction as on the way there{seen}, not back,"
            yield f"is shifted {how}", 2 * (i + start) - q
            yield f"is rolled {how}", (2 * (i + start) - q) % n
        if i.size == n:
            yield "is moved by the same numbers once more, not back,", np.argsort(q, axis, kind="stable")
    if (apart := np.gcd.reduce((q - q.min()).ravel())) > 1:
        yield "arrives as if no place were passed over, without the stride,", q.min() + (q - q.min()) // apart
    yield "arrives at the last places of as many", q - q.max() + n - 1
    yield "arrives one place further on", q + 1
    yield "arrives one place before", q - 1
    yield "arrives one place further on, the last at the first,", (q + 1) % n
    yield "arrives one place before, the first at the last,", (q - 1) % n
    yield "arrives at the places counted from the other end", n - 1 - q
    yield "all arrives at the last place", np.full_like(q, n - 1)
    yield "all arrives at the first place", np.zeros_like(q)
    for axis, size in enumerate(q.shape):
        if size > 1 and np.any(np.ptp(q, axis=axis)):
            yield f"arrives for all of axis {axis} at the places of the first", np.take(q, [0], axis) + 0 * q
            yield f"arrives at the places of the other end of axis {axis}", np.flip(q, axis)


def _put(places: Array, source: Node) -> Rule:
    """The gradient with its elements added up at these flat places of ``source``."""
    kept = places >= 0

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        whole = np.zeros(int(np.prod(source.shape)))
        np.add.at(whole, places[kept], np.broadcast_to(g, places.shape)[kept])
        return whole.reshape(source.shape)

    return rule
