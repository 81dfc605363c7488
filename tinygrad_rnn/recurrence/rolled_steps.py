"""Steps that repeat, recorded as a loop and what is done for all of them at once, before it and after it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import primitives as P
from ..tensors import Tensor, from_array
from ..thread_state import current
from .all_steps import how
from .loop import Unrolled, roll
from .repeated_steps import Steps
from .rows import alike, read_at_once, slices


class Becomes(NamedTuple):
    """The tensors of one place, by step, and the operation that each of them is of now."""

    tensors: list[Any]
    op: Any
    operands: tuple[Any, ...]
    attrs: list[dict[str, Any]]  #: by step


class RolledSteps:
    """Steps, recorded as a loop and what is done for all of them at once."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.time = steps, steps.count
        self.step = steps.step(1)
        self.constant = self._constants()
        self.sums = self._sums()
        self.ways = [self._way(place) for place in range(steps.period)]
        self.possible = self._partition()  #: whether it can be recorded
        self._stacks: dict[int, Any] = {}  # place -> its values of all steps
        self._given: dict[int, Any] = {}  # id of the rows -> them stacked

    def _constants(self) -> set[int]:
        """Places of what is the same at every step."""
        found: set[int] = set()
        for place, operands in enumerate(self.steps.operands):
            if place not in self.steps.rows and all(
                kind in ("literal", "constant") or (kind == "same" and what in found) for kind, what in operands
            ):
                found.add(place)
        return found

    def _sums(self) -> dict[int, int]:
        """States that are only added to, and what to, at which place."""
        steps, found = self.steps, {}
        uses = [0] * steps.period
        of_state = [0] * len(steps.new)
        for operands in steps.operands:
            for kind, what in operands:
                if kind == "same":
                    uses[what] += 1
                elif kind == "state":
                    of_state[what] += 1
        used_after = _used_after(steps)
        for state, place in enumerate(steps.new):
            x, operands = self.step[place], steps.operands[place]
            adds = x.op is P.add and x.dtype.kind == "f" and [kind for kind, _ in operands].count("state") == 1
            alone = of_state[state] == 1 and not uses[place] and steps.new.count(place) == 1
            alike = all(isinstance(y, Tensor) and y.shape == x.shape and y.dtype == x.dtype for y in x.operands)
            if adds and alone and alike and not any(id(y) in used_after for y in steps.each(place)[:-1]):
                found[state] = place
        return found

    def _moving(self, place: int) -> list[bool]:
        return [
            kind in ("state", "row", "numbers") or (kind == "same" and what not in self.constant)
            for kind, what in self.steps.operands[place]
        ]

    def _way(self, place: int) -> Any:
        """The way to do a place for all steps at once; None if there is none."""
        if place in self.constant or place in self.steps.rows:
            return None
        x = self.step[place]
        return how(x.op, x.attrs, x.shape, x.operands, self._moving(place))

    def _partition(self) -> bool:
        """Find what is inside the loop: what a state is made of that depends on one, and what must be there."""
        steps, places = self.steps, range(self.steps.period)
        apart = set(self.sums.values())
        of_state: set[int] = set()
        forced = set()
        for place in places:
            if place in self.constant or place in steps.rows or place in apart:
                continue
            if self.ways[place] is None:
                forced.add(place)
            if place in forced or any(
                (kind == "same" and what in of_state) or kind == "state" for kind, what in steps.operands[place]
            ):
                of_state.add(place)
        wanted = forced | {place for state, place in enumerate(steps.new) if state not in self.sums}
        for place in reversed(places):
            if place in wanted:
                wanted.update(what for kind, what in steps.operands[place] if kind == "same")
        self.inside = [place for place in places if place in wanted and place in of_state]
        self.states = [state for state in range(len(steps.new)) if state not in self.sums]
        if not all(steps.new[state] in self.inside for state in self.states) or bool(self.inside) != bool(self.states):
            return False
        if any(self.step[place].op.check is not None for place in self.inside):
            return False  # there is no way to say which one is wrong from inside a loop
        if len(self.constant) + len(steps.rows) == steps.period:
            return False  # nothing is computed
        stacks = [steps.each(place) for place in steps.rows]
        stacks += [what for operands in steps.operands for kind, what in operands if kind == "row"]
        return all(slices(rows) is not None or (self.inside and alike(rows)) for rows in stacks)

    # Recording

    def recorded(self) -> list[Becomes]:
        """The tensors that those of the steps become."""
        steps = self.steps
        inside = set(self.inside)
        before: set[int] = set()
        for place in range(steps.period):
            if place not in inside and place not in self.constant and place not in self.sums.values():
                known = before | self.constant
                if all(kind != "state" and (kind != "same" or what in known) for kind, what in steps.operands[place]):
                    before.add(place)
                    self._lift(place)
        self._inner()
        for place in range(steps.period):
            if place not in inside and place not in self.constant and place not in self.sums.values():
                self._lift(place)
        made: list[Becomes] = []
        row_of = [{"index": (r,)} for r in range(self.time)]
        for place in range(steps.period):
            if place in self.constant or place in steps.rows or place in self.sums.values():
                continue
            stack, x = self._stacks[place], self.step[place]
            if stack.requires_grad != x.requires_grad or stack.shape[1:] != x.shape or stack.dtype != x.dtype:
                raise Unrolled
            made.append(Becomes(steps.each(place), P.getitem, (stack,), row_of))
        for state, place in self.sums.items():
            made.append(self._sum(state, place))
        return made

    def _sum(self, state: int, place: int) -> Becomes:
        steps = self.steps
        last = steps.each(place)[-1]
        slot = next(k for k, (kind, _) in enumerate(steps.operands[place]) if kind != "state")
        current.scope = last.scope
        total = P.sum_(self._operand(place, slot), axis=(0,), keepdims=False)
        initial = steps.initial[state]
        if total.requires_grad != last.operands[slot].requires_grad:
            raise Unrolled
        return Becomes([last], P.add, (initial, total), [{}])

    def _operand(self, place: int, slot: int) -> Any:
        """An operand with time in front."""
        kind, what = self.steps.operands[place][slot]
        if kind == "row":
            return self._rows(what)
        if kind == "numbers":
            return from_array(what)
        if kind == "same":
            return self._stacks[what]
        if kind == "constant":
            return P.broadcast_to(what, shape=(self.time, *what.shape))
        return self._before(what)

    def _before(self, state: int) -> Any:
        """A state before each step."""
        initial, stack = self.steps.initial[state], self._stacks[self.steps.new[state]]
        first = P.reshape(initial, shape=(1, *initial.shape))
        return P.concat(first, P.getitem(stack, index=(slice(0, self.time - 1),)), axis=0)

    def _lift(self, place: int) -> None:
        if place in self._stacks:
            return
        x = self.step[place]
        if place in self.steps.rows:
            self._stacks[place] = self._rows(self.steps.each(place))
            return
        current.scope = x.scope._replace(step=None)
        made = self.ways[place](self.time, lambda slot: self._operand(place, slot))
        self._named(made, x)
        self._stacks[place] = made

    def _named(self, made: Any, x: Any) -> None:
        made._made_at, made.role, made.name = x._made_at, x.role, x.name

    def _rows(self, rows: list[Any]) -> Any:
        """Tensors of all steps, stacked."""
        key = id(rows[0])
        if key not in self._given:
            current.scope = rows[0].scope._replace(step=None)
            self._given[key] = read_at_once(rows)
        return self._given[key]

    def _inner(self) -> None:
        """The loop itself."""
        steps = self.steps
        if not self.inside:
            return
        inside = set(self.inside)
        rows: dict[Any, Any] = {}  # what is read inside -> all of it
        for place in self.inside:
            for slot, (kind, what) in enumerate(steps.operands[place]):
                if kind in ("row", "numbers") or (kind == "same" and what not in inside and what not in self.constant):
                    rows[self._row_key(place, slot)] = self._operand(place, slot)
        first = steps.step(0)

        def one(given: list[Any], states: list[Any]) -> tuple[list[Any], list[Any]]:
            leaves = dict(zip(rows, given))
            carried = dict(zip(self.states, states))
            values: dict[int, Any] = {}
            for place in self.inside:
                x, operands = self.step[place], []
                for slot, (kind, what) in enumerate(steps.operands[place]):
                    if kind == "state":
                        operands.append(carried[what])
                    elif kind == "same" and what in inside:
                        operands.append(values[what])
                    elif kind == "same" and what in self.constant:
                        operands.append(first[what])
                    elif kind in ("literal", "constant"):
                        operands.append(what)
                    else:
                        operands.append(leaves[self._row_key(place, slot)])
                current.scope = x.scope._replace(step=None)
                made = x.op(*operands, **x.attrs)
                self._named(made, x)
                if made.shape != x.shape or made.dtype != x.dtype or made.requires_grad != x.requires_grad:
                    raise Unrolled
                values[place] = made
            return [values[steps.new[state]] for state in self.states], [values[place] for place in self.inside]

        initial = [steps.initial[state] for state in self.states]
        _, stacks = roll(one, list(rows.values()), initial, length=self.time)
        for place, stack in zip(self.inside, stacks):
            self._stacks[place] = stack

    def _row_key(self, place: int, slot: int) -> Any:
        kind, what = self.steps.operands[place][slot]
        if kind == "row":
            return kind, id(what[0])
        return kind, id(what) if kind == "numbers" else what


def _used_after(steps: Steps) -> set[int]:
    """Tensors that are used after the steps."""
    return {id(y) for x in steps.nodes[steps.stop :] for y in x.operands}
