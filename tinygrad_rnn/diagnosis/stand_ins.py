"""Values of the program that may be mistaken for another: of the same shape, of any step, layer or loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edited_rules import Late, arrays_in, axis_of_rows, looks_up
from .row_numbers import axis_of, row_numbers
from .series import Series

if TYPE_CHECKING:
    from .edit_context import Scene
    from .edited_walks import Record

#: what is no likelier than this is only tried where it belongs, in one rule: not as a factor too many, or deep inside
LIKELY = 0.26
#: how what holds all steps at once is called in its own place
ITSELF = "itself"
Variant = tuple[str, Sequence[Late], float]  #: words, values, cost


class StandIns:
    """Finds, for the values of a scene, the other values that may be used in their place."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.record = scene, scene.record
        self._variants: dict[Any, list[tuple[str, list[Array], float]]] = {}

    @cached_property
    def series(self) -> list[Series]:
        """All values: computed ones, constants of each step, leaves, and products before their bias is added."""
        scene, values, found = self.scene, self.record.values, list[Series]()
        leaves: dict[tuple[int, ...], str] = {}
        for k, family in enumerate(scene.all_families):
            chain = scene.chain(family)
            before, steps = len(chain) - len(family), tuple(n.scope.step for n in family)
            made = [np.asarray(values[index]) for index in chain]
            name = scene.named(family[0])
            if not before and (first := self._of_the_first(family)) is not None:
                made, before = [first, *made], 1
            found.append(Series(name, made, before, steps, k))
            if family[0].op is not None and family[0].op.name == "linear" and len(family[0].operands) == 3:
                bare = [v - self.record.target(n, 2) for v, n in zip(made[before:], family, strict=True)]
                found.append(Series(f"{name} before its bias", bare, 0, steps))
            if (kept := _of_scores(self.record, family)) is not None:
                found.append(Series(f"{kept[0]} of {scene.name_of(family[-1], 0)}", kept[1], 0, steps))
            for slot, operand in enumerate(family[0].operands):
                line = scene.line(family, slot) if isinstance(operand, Ref) else None
                nodes = [self.record.nodes[index] for index in line or []]
                if nodes and all(n.op is None for n in nodes) and len(set(line or [])) == len(family):
                    assert line is not None
                    if tuple(line) not in leaves:
                        leaves[tuple(line)] = name = scene.name_of(family[-1], slot)
                        found.append(Series(name, [np.asarray(values[i]) for i in line], 0, steps))
        found += self._rows_of_tables()
        found += self._of_all_steps()
        return found + [
            Series(scene.named(leaf), [np.asarray(values[leaf.index])], 0, (None,))
            for leaf in self.record.leaves
            if (leaf.index,) not in leaves
        ]

    @cached_property
    def _listed(self) -> set[int]:
        """Families whose values are put together, so that a program has them of all steps in one array."""
        joined = (n for n in self.record.nodes if n.op is not None and n.op.name in ("stack", "concat"))
        first = ((n, self.scene.place.get(n.sources[0], (-1, 0))[0]) for n in joined if n.sources)
        return {
            number for n, number in first if number >= 0 and len(n.sources) == len(self.scene.all_families[number]) > 1
        }

    def _of_all_steps(self) -> Iterator[Series]:
        """Values that are computed of all steps at once, as a residual sum is, step by step."""
        for node in self.record.nodes if self.scene.loops else ():
            if node.op is None or not node.op.elementwise or node.scope.step is not None:
                continue
            for axis, n in enumerate(node.shape[:2] if len(node.shape) > 1 else ()):
                if n == self.scene.steps:
                    each = [np.take(self.record.values[node.index], k, axis) for k in range(n)]
                    yield Series(self.scene.named(node), each, 0, tuple(range(n)))

    def _rows_of_tables(self) -> Iterator[Series]:
        """Rows of a table, by the numbers of other words or of targets."""
        numbers = list(row_numbers(self.scene))
        for family in self.scene.all_families:
            node, count = family[0], axis_of(family[0])
            if node.op is None or node.op.name != "getitem" or not (looks_up(node) or count >= 0):
                continue
            table = self.record.target(node, 0)
            index = node.attrs["index"]
            parts = list(index) if isinstance(index, tuple) else [index]
            axis = count if count >= 0 else axis_of_rows(node)
            mine = np.shape(parts[axis])
            for series in numbers:
                size, count = table.shape[axis], int(np.prod(mine))
                fits = all(v.size == count and v.min() >= 0 and v.max() < size for v in series.values)
                if fits and len(series.steps) > 1 and len(arrays_in(node)) < 2:
                    rows = [table[(*parts[:axis], v.reshape(mine), *parts[axis + 1 :])] for v in series.values]
                    yield Series(f"the row of {self.scene.name_of(node, 0)} for {series.name}", rows, 0, series.steps)

    def _of_the_first(self, family: list[Node]) -> Array | None:
        """The function of a state that ``family`` is, applied to the initial state; None if it is no such function."""
        node, scene = family[0], self.scene
        operand = node.operands[0] if node.op is not None and len(node.operands) == 1 else None
        number, at = scene.place.get(operand.index, (-1, 1)) if isinstance(operand, Ref) else (-1, 1)
        if at or number not in scene.initial or node.op is None:
            return None
        made = node.op.forward(self.record.values[scene.initial[number]], **node.attrs)
        return np.asarray(np.broadcast_to(made, node.shape))

    @cached_property
    def _by_shape(self) -> dict[tuple[Any, ...], list[Series]]:
        """All series of real numbers by shape, with names that are distinct within one shape."""
        found: dict[tuple[Any, ...], list[Series]] = {}
        for series in self.series:
            if series.values[-1].dtype.kind == "f":
                shaped = found.setdefault(series.values[-1].shape, [])
                known = {self.scene.said(other.name) for other in shaped}
                names = (series.name, *(f"{series.name}, number {k}" for k in range(2, len(shaped) + 2)))
                name = next(n for n in names if self.scene.said(n) not in known)
                shaped.append(Series(name, series.values, series.before, series.steps, series.family))
        return found

    def places(self, series: Series, nodes: Sequence[Node]) -> list[int] | None:
        """The positions in ``series`` that belong to the steps of ``nodes``; None if there are none."""
        at = {step: k for k, step in enumerate(series.steps) if step is not None}
        found = [at.get(-1 if node.scope.step is None else node.scope.step) for node in nodes]
        if None not in found:
            return found  # type: ignore[return-value]
        if len(series.steps) == 1:
            return [0] * len(nodes)
        if len(nodes) == 1:
            return [len(series.steps) - 1]
        if len(series.steps) == len(nodes):
            return list(range(len(nodes)))
        return None

    def of(self, line: Sequence[int], nodes: Sequence[Node]) -> list[tuple[str, list[Array], float]]:
        """Values that may be used in the place of ``line`` in the rules of ``nodes``: words, values, cost."""
        key = tuple(line), tuple(n.index for n in nodes)
        if key not in self._variants:
            # of a value that is 0 everywhere, something is missing: that is said otherwise
            self._variants[key] = [found for found in self._of(line, nodes) if any(map(np.any, found[1]))]
        return self._variants[key]

    def _of(self, line: Sequence[int], nodes: Sequence[Node]) -> Iterator[tuple[str, list[Array], float]]:
        values = [np.asarray(self.record.values[index]) for index in line]
        shape, number, seen = values[-1].shape, self.scene.place.get(line[-1], (-1, 0))[0], {tuple(map(id, values))}
        packed = len({v.shape for v in values}) > 1
        if len({v.shape[1:] for v in values}) > 1:
            return
        first = self.scene.initial.get(number)
        same = [(number, -1) if index == first else self.scene.place.get(index, (number, -1)) for index in line]
        for series in self._by_shape.get(shape, ()):
            own = series.family == number and number >= 0 and all(k == number for k, _ in same)
            if len(line) > 1 and series.family is None and all(v is w for v, w in zip(values, series.values)):
                own, same = len(series.values) == len(line), [(number, k) for k in range(len(line))]  # constants
            if own and number >= 0:
                series = replace(series, name=self.scene.named(self.scene.all_families[number][0]))
            other_loop = not own and len(series.steps) > 1 and series.steps != tuple(n.scope.step for n in nodes)
            ways = [([at for _, at in same], 0.0)] if own else []
            if not own or len(set(line)) < len(line):
                ways.append((self.places(series, nodes) or [], 0.2 + 0.05 * other_loop))
            for places, more in ways:
                near = own or series.family in self.scene.initial or series.family in self._listed
                for words, found, cost in series.variants(places, near, other_loop) if places else ():
                    if packed and any(len(v) < len(w) for v, w in zip(found, values, strict=True)):
                        continue
                    found = [v[: len(w)] if packed else v for v, w in zip(found, values, strict=True)]
                    if (key := tuple(map(id, found))) not in seen:
                        seen.add(key)
                        yield words, found, cost + more
                if places and not own and not packed and len(set(places)) == len(line) > 1:
                    moved = [values[0], *series.moved(places, -1, "end")[1:]]
                    yield f"{series.name} of the step before, what belongs there at the first", moved, more + 0.2
        if 1 < len(set(line)) < len(line) and not packed:  # a state that not every step moves
            name = f"{self.scene.named(self.record.nodes[line[-1]])}, as it is read,"
            read = Series(name, values, 0, tuple(range(len(line))))
            for words, found, cost in read.variants(range(len(line)), near=True):
                if (key := tuple(map(id, found))) not in seen:
                    seen.add(key)
                    yield words, found, cost
        yield from self._along_an_axis(values, seen, nodes)

    def smaller(self, shape: tuple[int, ...], nodes: Sequence[Node]) -> Iterator[tuple[str, list[Array], float]]:
        """Values with fewer axes or sizes that broadcast to ``shape``, such as a vector or a column of lengths."""
        for theirs, found in self._by_shape.items():
            if theirs in (shape, ()) or len(theirs) > len(shape):
                continue
            if all(n in (1, m) for n, m in zip(theirs[::-1], shape[::-1], strict=False)):
                for series in found:
                    places = self.places(series, nodes) if len({v.shape for v in series.values}) == 1 else None
                    yield from series.variants(places, near=False) if places else ()

    def _along_an_axis(
        self, values: list[Array], seen: set[Any], nodes: Sequence[Node]
    ) -> Iterator[tuple[str, list[Array], float]]:
        """For a value that holds all steps: itself moved along an axis, or another value of all steps put together."""
        value = values[-1]
        if len(values) > 1:
            for axis in range(value.ndim if len(set(map(id, values))) == 1 else 0):
                yield f"{ITSELF} from the other end of axis {axis}", [np.flip(value, axis)] * len(values), 0.2
            return
        for axis in range(min(value.ndim, 2)):
            n = value.shape[axis]
            whole = Series(
                f"{ITSELF} along axis {axis}", [np.take(value, k, axis) for k in range(n)], 0, tuple(range(n))
            )
            if n > 1:
                for words, found, cost in whole.variants(range(n), near=True):
                    yield words, [np.stack(found, axis)], cost
            rows = value.shape[:axis] + value.shape[axis + 1 :]
            for series in self._by_shape.get(rows, ()) if n > 1 else ():
                if len(series.steps) == n:
                    for words, found, cost in series.variants(range(n), bool(series.before)):
                        yield f"{words} at all steps", [np.stack(found, axis)], cost + 0.2
        for series in self.series:
            each, n = series.values[-1], len(series.steps)
            fits = n > 1 and each.ndim > 0 and each.shape[1:] == value.shape[1:]
            for words, found, cost in series.variants(range(n), bool(series.before)) if fits else ():
                if (joined := np.concatenate(found)).shape == value.shape:
                    yield f"{words} at all steps", [joined], cost + 0.2


def _of_scores(record: Record, family: Sequence[Node]) -> tuple[str, list[Array]] | None:
    """The probabilities that a loss of scores computes on its way, with their name; None for other operations."""
    name = family[0].op.name if family[0].op is not None else ""
    if name == "log_softmax":
        return "the softmax", [np.exp(record.values[n.index]) for n in family]
    scores = [record.target(n, 0) for n in family]
    if name == "cross_entropy":
        powers = [np.exp(x - x.max(-1, keepdims=True)) for x in scores]
        return "the softmax", [e / e.sum(-1, keepdims=True) for e in powers]
    return ("the sigmoid", [1 / (1 + np.exp(-x)) for x in scores]) if name == "softplus" else None
