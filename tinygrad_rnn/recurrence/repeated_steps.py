"""Steps that repeat in what was recorded: written down as symbols, and compared operand by operand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import primitives as P
from ..tensors import Tensor
from .loop import is_cut_off
from .runs import Run


def symbols(nodes: Sequence[Any], done: set[int]) -> list[int]:
    """The same number for operations that are the same but for their tensors, and for the numbers in an index.

    Those of ``done`` are like no other.
    """
    known: dict[Any, int] = {}
    found: list[int] = []
    for x in nodes:
        if id(x) in done:
            found.append(-1 - len(found))
            continue
        blank = x.op.elementwise and x.op is not P.power  # where a number does what a tensor of it does
        literals = tuple([None if isinstance(y, Tensor) else type(y) if blank else _key(y) for y in x.operands])
        path, _, part, backward, _ = x.scope
        attrs = _key(x.attrs, x.op is P.getitem) if x.attrs else None
        made = id(x.op), attrs, literals, x._array.shape, x._array.dtype, x.requires_grad, x._starts
        found.append(known.setdefault((made, path, part, backward), len(known)))
    return found


def _key(value: Any, blank: bool = False) -> Any:
    """A key that equal settings share; other objects equal only themselves. ``blank``: all integers are equal."""
    kind = type(value)
    if kind is int:
        return int if blank else (int, value)
    if kind is dict:
        return tuple([(name, _key(each, blank)) for name, each in value.items()])
    if kind is tuple:
        return tuple([_key(each, blank) for each in value])
    if kind is slice:
        return slice, _key(value.start), _key(value.stop), _key(value.step)
    if kind is float:
        return kind, repr(value)
    return (kind, value) if kind in (str, bool) or isinstance(value, np.dtype) or value is None else (id(value),)


def _integers(x: Any) -> tuple[int, ...]:
    """The numbers in an index."""
    return tuple([part for part in x.attrs["index"] if type(part) is int])


class Operand(NamedTuple):
    kind: str  #: "literal", "same", "state", "constant", "row", "numbers"
    what: Any  #: the literal; the place in a step; which state; the tensor; the tensors; an array, by step


class Steps:
    """A stretch of ``nodes`` that repeats ``count`` times; ``operands`` says where those of a step come from."""

    def __init__(self, nodes: Sequence[Any], start: int, period: int, count: int) -> None:
        self.nodes, self.start, self.period, self.count = nodes, start, period, count
        self.operands: list[list[Operand]] = []  #: by place in a step
        self.rows: set[int] = set()  #: places that are rows themselves: of something else, another one each step
        self.new: list[int] = []  #: by state, the place of its next value
        self.initial: list[Any] = []
        self.outside: list[Any] = []  #: tensors that were there before

    @property
    def stop(self) -> int:
        return self.start + self.count * self.period

    @property
    def replaced(self) -> list[Any]:
        """The tensors that nothing is made of any more once there is a loop: of the steps, and what is read at once."""
        rows = [y for operands in self.operands for kind, what in operands if kind == "row" for y in what]
        return [*self.each_step, *rows]

    @property
    def each_step(self) -> list[Any]:
        """The tensors of all steps."""
        return list(self.nodes[self.start : self.stop])

    @property
    def differentiable(self) -> bool:
        return any(x.requires_grad for x in self.step(1))

    def step(self, r: int) -> Sequence[Any]:
        """The tensors of a step."""
        first = self.start + r * self.period
        return self.nodes[first : first + self.period]

    def each(self, place: int) -> list[Any]:
        """The tensors at a place, by step."""
        return list(self.nodes[self.start + place : self.stop : self.period])

    @staticmethod
    def of(nodes: Sequence[Any], run: Run, times: int) -> Steps | None:
        """The steps that repeat in a run, as often as they do; None if that is less than so many ``times``."""
        at = {id(x): k for k, x in enumerate(nodes[run.start : run.stop], run.start)}
        start = run.start + _boundary(nodes, at, run)
        for first in (start, start + run.period):  # what the first step makes may be there for all that follow
            count = (run.stop - first) // run.period
            while count >= times:
                found = Steps(nodes, first, run.period, count)
                alike = found._compare(at)
                if alike == count:
                    return found if found._usable() else None
                count = alike
        return None

    def _compare(self, at: dict[int, int]) -> int:
        """The number of steps from the first on that are alike; less than two if not even the first two are."""
        states: dict[tuple[int, int], int] = {}
        second = self.start + self.period
        count = self.count
        for place, x in enumerate(self.step(1)):
            found = []
            for slot, y in enumerate(x.operands):
                rows = [z.operands[slot] for z in self.each(place)]
                if not isinstance(y, Tensor):
                    numbers = _numbers(rows, x)
                    if numbers is None:
                        return 0
                    found.append(numbers)
                    continue
                distance = at.get(id(y), -1) - second
                if 0 <= distance < self.period:
                    wanted = self.each(distance)
                    found.append(Operand("same", distance))
                elif -self.period <= distance < 0:
                    source = distance + self.period
                    wanted = [rows[0], *self.each(source)[:-1]]
                    if at.get(id(rows[0]), -1) >= self.start:
                        return 0
                    key = (source, id(rows[0]))
                    if key not in states:
                        states[key] = len(states)
                        self.new.append(source)
                        self.initial.append(rows[0])
                    found.append(Operand("state", states[key]))
                elif all(z is y for z in rows):
                    found.append(Operand("constant", y))
                    self.outside.append(y)
                    continue
                else:
                    wanted = rows
                    late = next((r for r, z in enumerate(rows) if at.get(id(z), -1) >= self.start), len(rows))
                    count = min(count, late)
                    found.append(Operand("row", rows))
                    self.outside.extend(rows)
                count = min(count, next((r for r, (a, b) in enumerate(zip(rows, wanted)) if a is not b), count))
            self.operands.append(found)
            if x.op is P.getitem:
                indices = [_integers(z) for z in self.each(place)]
                if any(index != indices[0] for index in indices):
                    if found[0].kind != "constant":
                        return 0
                    self.rows.add(place)
        self.outside.extend(self.initial)
        return count

    def _usable(self) -> bool:
        if any(x._hooks or x._retains_grad or x._starts for x in self.replaced):
            return False
        if self.differentiable and any(map(is_cut_off, self.step(1))):
            return False
        for a, place in zip(self.initial, self.new):
            b = self.step(1)[place]
            if a.shape != b.shape or a.dtype != b.dtype:
                return False
        return True


def _numbers(values: list[Any], x: Any) -> Operand | None:
    """A literal, or an array of those that a step has another one of; of the dtype that they take in an operation."""
    if all(_key(value) == _key(values[0]) for value in values):
        return Operand("literal", values[0])
    dtypes = {y.dtype for y in x.operands if isinstance(y, Tensor) and y.dtype.kind != "b"}
    if len(dtypes) != 1 or type(values[0]) is bool:
        return None
    (dtype,) = dtypes
    return Operand("numbers", np.array(values, dtype if dtype.kind == "f" or type(values[0]) is int else np.float64))


def _boundary(nodes: Sequence[Any], at: dict[int, int], run: Run) -> int:
    """The best beginning of a step in a run: where the fewest values are carried on, which is where the user's does."""
    start, period = run.start, run.period
    last: dict[int, int] = {}
    for k in range(start + period, min(start + 3 * period, run.stop)):
        for y in nodes[k].operands:
            if isinstance(y, Tensor) and (source := at.get(id(y))) is not None:
                last[source] = k
    crossing = [0] * (3 * period + 1)
    for source, user in last.items():
        crossing[max(source - start, 0)] += 1
        crossing[user - start] -= 1
    totals = np.cumsum(crossing)[period - 1 : 2 * period - 1]  # values from before a place that are used there or later
    return int(np.argmin(totals))
