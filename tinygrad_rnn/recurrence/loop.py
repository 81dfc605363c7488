"""Loop: a recurrence recorded once, whatever its length. What a compiled program makes of a long sequence.

The body is one time step, a graph of its own. Its leaves are rows of stacked inputs, what is carried from the step
before, and what is the same at every step; every value in it can be asked for, stacked over time. What depends on no
state is taken out of the body and done for all steps at once, as `compiler.passes` does with an unrolled network.
The reverse walk makes of a loop another one, from the last step to the first, whose inputs are the stacked values it
needs. A weight's gradient, summed over the steps, is one product of stacks (W. A. Wulf et al.'s loop-invariant code
motion, 1975, both ways).

Only a function being compiled records loops. What cannot be one, such as a step that draws random numbers or leaks a
tensor, is traced again without (`Unrolled`), as is what is shorter than `SHORTEST`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import primitives as P
from ..graph import Graph, GraphBuilder, Node, Ref
from ..primitives.record import Primitive, Shape, Unlisted, normalize_axis
from ..recorded_value import made_from
from ..reverse_walk import grad
from ..settings import recording
from ..source_line import source_lines
from ..tensors import Tensor, from_array, serials
from ..thread_state import Recorder, current
from .all_steps import how

#: recurrences of fewer steps are unrolled: there each step can be fitted to what surrounds it
SHORTEST = 20
#: or of fewer than so many times as many, where two threads may share a batch, which each run a recurrence of their own
SHARED = 50


class Unrolled(BaseException):
    """Raised where the recording cannot be a loop: trace again, step by step."""


@dataclass(eq=False, frozen=True)
class Body:
    """One time step of a loop. The first nodes are the leaves: inputs, states, what stays the same."""

    graph: Graph
    inputs: int  #: how many leaves are rows of stacks
    states: int  #: how many, after those, are carried
    constants: int  #: how many, after those, stay the same
    new: tuple[int, ...]  #: by state, the node of its next value
    length: int  #: time steps
    reverse: bool  #: whether they go from the last to the first

    @property
    def order(self) -> range:
        """The time steps as they are taken."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def state_of(self, index: int) -> int | None:
        """The number of the state that a node is before a step; None if it is none."""
        return index - self.inputs if self.inputs <= index < self.inputs + self.states else None


def _shape(*_shapes: Shape, body: Body, node: int, dtype: Any) -> Shape:
    return (body.length, *body.graph.nodes[node].shape)


def _reference(*operands: Any, body: Body, node: int, dtype: Any) -> Any:
    """The loop as Python runs it: one node's values, stacked."""
    nodes, first = body.graph.nodes, body.inputs + body.states
    values: list[Any] = [x.value for x in nodes]
    values[first : first + body.constants] = operands[first:]
    values[body.inputs : first] = operands[body.inputs : first]
    stack = np.empty((body.length, *nodes[node].shape), dtype)
    for t in body.order:
        values[: body.inputs] = [x[t] for x in operands[: body.inputs]]
        for x in nodes:
            if x.op is not None:
                operands_of = [values[y.index] if isinstance(y, Ref) else y for y in x.operands]
                values[x.index] = np.asarray(x.op.reference(*operands_of, **x.attrs))
        stack[t] = values[node]
        values[body.inputs : first] = [values[index] for index in body.new]
    return stack


def _counts(live: Any, _any_along: Any, _shape: Shape, *, body: Body, **_attrs: Any) -> None:
    """The live positions of an operand (None: all): all of it where all of the last step's result is live.

    The states lead from there to every step. Otherwise it differs between steps, and the loop is unrolled.
    """
    if not isinstance(live, np.ndarray) or not live[body.order[-1] if live.shape[0] > 1 else 0].all():
        raise Unrolled


def _pull(slot: int, g: Any, y: Any, *operands: Any, body: Body, node: int, dtype: Any) -> Any:
    known = vars(y).setdefault("_by_gradient", {})
    if g.serial not in known:
        known[g.serial] = _Reverse(_Recorded(body, operands, (y, node)), g).gradients()
    found = known[g.serial][slot]
    if found is None:  # no step sends it anything, so there is no gradient, not even zeros
        raise Unrolled
    return found


def _aside(g: Any, _y: Any, loop: Any, *_operands: Any, body: Body, node: int, dtype: Any) -> Any:
    """Add the gradient to those that wait at the loop, whose one walk back uses all of them; send it zeros instead."""
    arrived = vars(loop).setdefault("_arrived", {})
    arrived[node] = arrived[node] + g if node in arrived else g
    return vars(loop).setdefault("_nothing", _zeros(loop))


#: a loop, and the values of one of the body's nodes, stacked over time
loop = Unlisted(
    "loop",
    "↻",
    _shape,
    _reference,
    vjp=_pull,
    rule=(r"\text{the loop backward}",),
    along=_counts,
)
#: another node's values of the loop that is operand 0; the other operands are the loop's
tap = Unlisted(
    "tap",
    "↻",
    lambda _loop, *shapes, **attrs: _shape(*shapes, **attrs),
    lambda _loop, *operands, **attrs: _reference(*operands, **attrs),
    vjp=(_aside,),
    along=_counts,
)


def _zeros(like: Any) -> Any:
    return P.broadcast_to(from_array(np.zeros((), like.dtype)), shape=like.shape)


class _Recorded:
    """A body with its operands: any of its nodes, stacked. The first that is asked for stands for the loop."""

    def __init__(self, body: Body, operands: Sequence[Any], first: tuple[Any, int] | None = None) -> None:
        self.body, self.operands = body, tuple(operands)
        self.main: Any
        self.main, self.node = first or (None, -1)
        self._known: dict[int, Any] = {} if self.main is None else vars(self.main).setdefault("_stacks", {})

    def stack(self, index: int) -> Any:
        """All values of a node, one a time step."""
        if index < self.body.inputs:
            return self.operands[index]
        if self.main is not None and index == self.node:
            return self.main
        if index not in self._known:
            attrs = {"body": self.body, "node": index, "dtype": self.body.graph.nodes[index].dtype}
            tracer = _tracer()
            if self.main is None:
                self.main, self.node = tracer.record(loop, self.operands, attrs), index
                vars(self.main)["_stacks"] = self._known
                return self.main
            self._known[index] = tracer.record(tap, (self.main, *self.operands), attrs)
        return self._known[index]

    def last(self, index: int) -> Any:
        """The value of the last step that is taken."""
        return P.getitem(self.stack(index), index=(self.body.order[-1],))


# Recording -----------------------------------------------------------------------------------------------------


def shortest(threads: int) -> int:
    """The number of time steps from which on a program of so many threads makes a loop."""
    return SHORTEST * (SHARED if threads > 1 else 1)


def can_roll(time: int) -> bool:
    """Whether a recurrence of so many steps is to be recorded as a loop."""
    tracer = current.tracer
    return tracer is not None and tracer.rolls is not None and time >= tracer.rolls


def _tracer() -> Recorder:
    assert current.tracer is not None
    return current.tracer


@contextmanager
def _aside_of(tracer: Recorder) -> Iterator[None]:
    """A context in which one step of a loop is recorded."""
    outer, tracer.aside = tracer.aside, True
    try:
        yield
    finally:
        tracer.aside = outer


def roll(
    step: Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]],
    inputs: Sequence[Any],
    states: Sequence[Any],
    reverse: bool = False,
    strange: bool = False,
    length: int | None = None,
) -> tuple[list[Any], list[Any]]:
    """``states, outputs = step(row of each input, states)`` for all rows: the last states, and the outputs stacked.

    ``strange``: what ``step`` does is not known to be the same each time, so it is looked at twice. ``length``: of how
    many steps, if there may be no inputs.
    """
    length = inputs[0].shape[0] if length is None else length
    states = list(states)
    for _ in range(3):
        traced = TracedStep(step, inputs, states)
        if all(a.shape == b.shape for a, b in zip(traced.new, states)):
            break
        # a first state may stand for all rows of a batch
        states = [a if a.shape == b.shape else P.broadcast_to(a, shape=b.shape) for a, b in zip(states, traced.new)]
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(traced.new, states)):
        raise Unrolled
    if strange and traced.text() != TracedStep(step, inputs, states).text():
        raise Unrolled
    return _Hoisted(traced, inputs, states, length, reverse).recorded()


class TracedStep:
    """A step of a loop, recorded on stand-ins for one row of each input and for each state.

    ``new`` and ``outputs`` are what it gives for ``rows`` and ``states``; ``order`` is all that these are made from.
    Raises `Unrolled` where it does more than compute them.
    """

    def __init__(self, step: Any, inputs: Sequence[Any], states: Sequence[Any]) -> None:
        tracer = _tracer()
        self.start = next(serials)
        effects = tracer.effects()
        self.rows = [_leaf(x.shape[1:], x.dtype, x.requires_grad, x.role) for x in inputs]
        self.states = [_leaf(x.shape, x.dtype, current.recording and x.dtype.kind == "f", x.role) for x in states]
        with _aside_of(tracer):
            new, outputs = step(self.rows, self.states)
        self.new, self.outputs = list(new), list(outputs)
        mine = {x.serial for x in (*self.rows, *self.states)}
        self.order = _between([*self.new, *self.outputs], lambda x: x.serial in mine or x.serial < self.start)
        for x in self.order:
            fresh = x.op is None and hasattr(x, "_tracer") and x.serial >= self.start and x.serial not in mine
            mine_cut = current.recording and x.serial >= self.start and x.serial not in mine and is_cut_off(x)
            if fresh or x._hooks or x._retains_grad or mine_cut:
                raise Unrolled
        if tracer.effects() != effects or len(self.new) != len(states):
            raise Unrolled

    def text(self) -> list[Any]:
        """The recorded step as a list that can be compared with another."""
        at = {x.serial: k for k, x in enumerate([*self.rows, *self.states, *self.order])}
        lines: list[Any] = []
        for x in self.order:
            if x.serial < self.start:
                lines.append(x.serial)
            elif x.op is None:
                lines.append(None if hasattr(x, "_tracer") else (x.dtype, x.shape, x._array.tobytes()))
            else:
                names = [at[y.serial] if isinstance(y, Tensor) else repr(y) for y in x.operands]
                lines.append((x.op.name, names, repr(x.attrs)))
        return [*lines, *(at[x.serial] for x in (*self.new, *self.outputs))]


def is_cut_off(x: Any) -> bool:
    """Whether no gradient flows through an operation that has a rule for it: it is detached, or under `no_grad`."""
    if x.op is None or x.requires_grad or x.dtype.kind != "f":
        return False
    return any(isinstance(y, Tensor) and y.requires_grad for k, y in enumerate(x.operands) if k in x.op.slots)


def _leaf(shape: Shape, dtype: Any, requires_grad: bool, role: str | None = None) -> Any:
    tracer = _tracer()
    made = tracer.leaf(np.broadcast_to(np.zeros((), dtype), shape), None, requires_grad)
    made.role = role
    tracer.inner.add(made.serial)
    return made


def _between(ends: Sequence[Any], stops: Callable[[Any], bool]) -> list[Any]:
    """The tensors the ``ends`` were made from, in order, back to where it ``stops``, which is included."""
    return made_from(ends, lambda x: () if stops(x) else x.operands)


class _Hoisted:
    """The step again, without what can be done for all steps at once."""

    def __init__(
        self, traced: TracedStep, inputs: Sequence[Any], states: list[Any], length: int, reverse: bool
    ) -> None:
        self.traced, self.length, self.reverse, self.initial = traced, length, reverse, states
        self._rows = dict(zip((x.serial for x in traced.rows), inputs))
        self._of_state = {x.serial for x in traced.states}
        self._varies = {x.serial for x in (*traced.rows, *traced.states)}
        self._stays = {x.serial for x in traced.new}  # a state is computed inside
        for x in traced.order:
            if any(isinstance(y, Tensor) and y.serial in self._varies for y in self._inputs(x)):
                self._varies.add(x.serial)
            if any(isinstance(y, Tensor) and y.serial in self._of_state for y in self._inputs(x)):
                self._of_state.add(x.serial)
        self._lifted: dict[int, Any] = {}
        self._made: dict[int, Any] = {x.serial: x for x in traced.states}
        self._inside: list[tuple[Any, Any]] = []  # (leaf, what it is a row of)
        self._record_of: list[Any] = []  # what was recorded inside

    def _inputs(self, x: Any) -> tuple[Any, ...]:
        return x.operands if x.serial >= self.traced.start and x.op is not None else ()

    def recorded(self) -> tuple[list[Any], list[Any]]:
        """The last states, and the stacked outputs."""
        t = self.traced
        new = [self._in(x) for x in t.new]
        outputs = [
            None if self._lift(x) is not None or x.serial not in self._varies else self._in(x) for x in t.outputs
        ]
        rows, stacks = [leaf for leaf, _ in self._inside], [stack for _, stack in self._inside]
        outer = [x for x in t.order if x.op is not None and x.serial >= t.start and x.serial not in self._varies]
        used = {y.serial for x in self._record_of for y in x.operands if isinstance(y, Tensor)}
        body, constants = body_of(
            t.start,
            rows,
            t.states,
            [x for x in outer if x.serial in used],
            new,
            [x for x in outputs if x is not None],
            self.length,
            self.reverse,
        )
        position, made = body
        rolled = _Recorded(made, (*stacks, *self.initial, *constants))
        found = []
        for x, made_inside in zip(t.outputs, outputs):
            if made_inside is not None:
                found.append(rolled.stack(position[made_inside.serial]))
            elif x.serial in self._varies:
                found.append(self._lift(x))
            else:
                found.append(P.broadcast_to(x, shape=(self.length, *x.shape)))
        return [rolled.last(index) for index in made.new], found

    def _in(self, x: Any) -> Any:
        """A value inside the loop; recursion is as deep as a cell."""
        if not isinstance(x, Tensor) or x.serial not in self._varies:
            return x
        if x.serial not in self._made:
            lifted = None if x.serial in self._stays else self._lift(x)
            self._made[x.serial] = self._record(x) if lifted is None else self._row_of(lifted, x)
        return self._made[x.serial]

    def _row_of(self, stack: Any, like: Any) -> Any:
        leaf = _leaf(stack.shape[1:], stack.dtype, stack.requires_grad, like.role)
        leaf.scope, leaf.name = like.scope, like.name
        self._inside.append((leaf, stack))
        return leaf

    def _record(self, x: Any) -> Any:
        operands = x.operands
        if x.op is None:
            raise Unrolled
        outer, current.scope = current.scope, x.scope
        try:
            operands = self._with_bias(x) or tuple(map(self._in, operands))
            made = _tracer().record(x.op, operands, x.attrs)
        finally:
            current.scope = outer
        made.role, made.name, made._made_at = x.role, x.name, x._made_at
        self._record_of.append(made)
        return made

    def _with_bias(self, x: Any) -> tuple[Any, Any] | None:
        """The operands of ``(W x + a) + (U h + b)`` with b added outside of the loop, too."""
        if x.op is not P.add or not all(isinstance(y, Tensor) for y in x.operands):
            return None
        for a, product in (x.operands, x.operands[::-1]):
            if (
                product.op is P.linear
                and len(product.operands) == 3
                and product.serial in self._of_state
                and product.operands[2].serial not in self._varies
                and a.op is P.linear
                and product.operands[1].serial not in self._varies
                and self._lift(a) is not None
            ):
                v, w, *bias = a.operands
                both = bias[0] + product.operands[2] if bias else product.operands[2]
                stacked = how(P.linear, {}, a.shape, (v, w, both), [True, False, False])
                row = self._row_of(stacked(self.length, lambda _slot: self._lift(v)), a)  # noqa: B023  called at once
                inside = P.linear(self._in(product.operands[0]), product.operands[1])
                self._record_of.append(inside)
                return row, inside
        return None

    def _lift(self, x: Any) -> Any:
        """A value for all steps at once, time in front; None if that cannot be had."""
        if x.serial in self._rows:
            return self._rows[x.serial]
        if x.serial in self._of_state or x.serial not in self._varies:
            return None
        if x.serial not in self._lifted:
            outer, current.scope = current.scope, x.scope
            try:
                self._lifted[x.serial] = self._lift_op(x)
            finally:
                current.scope = outer
        return self._lifted[x.serial]

    def _lift_op(self, x: Any) -> Any:
        moving = [isinstance(y, Tensor) and y.serial in self._varies for y in x.operands]
        operands = [self._lift(y) if moves else y for y, moves in zip(x.operands, moving)]
        if any(y is None for y in operands):
            return None
        done = how(x.op, x.attrs, x.shape, x.operands, moving)
        return None if done is None else done(self.length, operands.__getitem__)


def body_of(
    start: int,
    rows: Sequence[Any],
    states: Sequence[Any],
    constants: Sequence[Any],
    new: Sequence[Any],
    others: Sequence[Any],
    length: int,
    reverse: bool,
) -> tuple[tuple[dict[int, int], Body], list[Any]]:
    """The graph of ``new`` and ``others`` above the leaves: positions by serial, the body, what stays the same."""
    leaves = {x.serial for x in (*rows, *states, *constants)}

    order = _between([*new, *others], lambda x: x.serial in leaves or x.serial < start)
    constants = [*constants, *(x for x in order if x.serial < start and x.serial not in leaves)]
    leaves |= {x.serial for x in constants}
    build: GraphBuilder[Node] = GraphBuilder()
    every = [*rows, *states, *constants, *(x for x in order if x.serial not in leaves)]
    for x, site in zip(every, source_lines((x._made_at for x in every), of_libraries=True), strict=True):
        if x.serial in leaves or x.op is None:
            build.tensor(x, None if x.serial in leaves else x._array, site, leaf=True)
        else:
            build.tensor(x, None, site)
    ends = tuple(build.position[x.serial] for x in new)
    graph = Graph.of(build.nodes, ends)
    made = Body(graph, len(rows), len(states), len(constants), ends, length, reverse)
    return (build.position, made), constants


# The reverse walk ----------------------------------------------------------------------------------------------


class _Reverse:
    """The loop backward: which gradients its operands receive."""

    def __init__(self, forward: _Recorded, g: Any) -> None:
        self.forward, self.body = forward, forward.body
        main = vars(forward.main)
        nothing = main.pop("_nothing", None)
        arrived = main.pop("_arrived", {})
        mine = _without(g, nothing)
        if mine is not None:
            node = forward.node
            arrived[node] = mine + arrived[node] if node in arrived else mine
        self.seeds = arrived

    def gradients(self) -> list[Any]:
        """The gradient of each operand, None where nothing arrives."""
        body, operands = self.body, self.forward.operands
        outer = current.scope
        with recording(True), _aside_of(_tracer()):
            try:
                self._replay()
                results, carried = self._walk()
                self._build(results, carried)
            finally:
                current.scope = outer
            found: list[Any] = []
            for index in range(len(operands)):
                result = results.get(index)
                if result is None:
                    found.append(None)
                elif index < body.inputs:
                    found.append(self._stack(result))
                elif index < body.inputs + body.states:
                    found.append(self.backward.last(self.position[result.serial]))
                else:
                    found.append(self._summed(result))
        return found

    def _replay(self) -> None:
        """The step's values, as tensors."""
        self._start = next(serials)
        self.made: list[Any] = []
        for node in self.body.graph.nodes:
            current.scope = node.scope
            if node.op is not None:
                operands = tuple(self.made[x.index] if isinstance(x, Ref) else x for x in node.operands)
                x = _tracer().record(node.op, operands, node.attrs)
            elif node.value is not None:
                x = from_array(node.value)
            else:
                is_state = self.body.state_of(node.index) is not None
                asks = node.dtype.kind == "f" if is_state else self.forward.operands[node.index].requires_grad
                x = _leaf(node.shape, node.dtype, asks)
            x.role, x.name, x.scope = node.role, node.name, node.scope
            self.made.append(x)
        self._index = {x.serial: k for k, x in enumerate(self.made)}

    def _walk(self) -> tuple[dict[int, Any], list[tuple[int, Any]]]:
        """The contributions of a step to each leaf; and (state, stand-in of what arrives at its new value)."""
        body, made = self.body, self.made
        self._sources: dict[int, Any] = {}  # serial of a stand-in -> what it is a row of
        seeds = []
        for index, g in self.seeds.items():
            if made[index].requires_grad:
                leaf = _leaf(made[index].shape, made[index].dtype, True)
                self._sources[leaf.serial] = g
                seeds.append((made[index], leaf))
        leaves = [k for k in range(len(self.forward.operands)) if made[k].requires_grad]
        active: list[int] = []
        while True:  # a state has a gradient only if a later step sends it one
            carried = [(k, _leaf(made[body.new[k]].shape, made[body.new[k]].dtype, True)) for k in active]
            ends = [*seeds, *((made[body.new[k]], leaf) for k, leaf in carried)]
            if not ends:
                return {}, []
            found = grad(
                [x for x, _ in ends],
                [made[k] for k in leaves],
                [g for _, g in ends],
                create_graph=True,
                allow_unused=True,
            )
            results = dict(zip(leaves, found))
            reached = [
                k
                for k, index in enumerate(body.new)
                if made[index].requires_grad and results.get(body.inputs + k) is not None
            ]
            if reached == active:
                return results, carried
            active = reached

    def _build(self, results: dict[int, Any], carried: list[tuple[int, Any]]) -> None:
        body = self.body
        wanted = [x for x in results.values() if x is not None]
        new = [results[body.inputs + k] for k, _ in carried]
        states = [leaf for _, leaf in carried]
        ends = {x.serial for x in states} | set(self._sources)
        first = body.inputs + body.states

        def stops(x: Any) -> bool:
            index = self._index.get(x.serial)
            return x.serial in ends or (index is not None and not (x.op is not None and x.op.view))

        rows, constants = [], []
        for x in _between(wanted, stops):
            index = self._index.get(x.serial)
            if x.serial in self._sources:
                rows.append(x)
            elif index is not None and stops(x) and not (x.op is None and not hasattr(x, "_tracer")):
                if first <= index < first + body.constants:
                    constants.append(x)
                else:
                    rows.append(x)
                    self._sources[x.serial] = self.forward.stack(index)
        initial = [from_array(np.zeros(x.shape, x.dtype)) for x in states]
        mine = {x.serial: self.forward.operands[self._index[x.serial]] for x in constants}
        (self.position, made), constants = body_of(
            self._start, rows, states, constants, new, wanted, body.length, not body.reverse
        )
        self._constants = {x.serial: mine.get(x.serial, x) for x in constants}
        stacks = [self._sources[x.serial] for x in rows]
        self.backward = _Recorded(made, (*stacks, *initial, *self._constants.values()))
        self._varying = {x.serial for x in (*rows, *states)}
        for x in _between(wanted, stops):
            if not stops(x) and any(isinstance(y, Tensor) and y.serial in self._varying for y in x.operands):
                self._varying.add(x.serial)

    # Sums over time: what is linear is done after the sum

    def _outer(self, x: Any) -> Any:
        """The value outside the loop of what is the same at every step."""
        if not isinstance(x, Tensor):
            return x
        if x.serial in self._constants:
            return self._constants[x.serial]
        return x if x.op is None else x.op(*map(self._outer, x.operands), **x.attrs)

    def _stack(self, x: Any) -> Any:
        """A value of all steps, time in front."""
        time = self.body.length
        if x.serial in self._sources:
            return self._sources[x.serial]
        if x.serial not in self._varying:
            return P.broadcast_to(self._outer(x), shape=(time, *x.shape))
        if x.op is P.permute:
            axes = (a % len(x.shape) for a in x.attrs["axes"])
            return P.permute(self._stack(x.operands[0]), axes=(0, *(a + 1 for a in axes)))
        if x.op is P.reshape:
            return P.reshape(self._stack(x.operands[0]), shape=(time, *x.shape))
        return self.backward.stack(self.position[x.serial])

    def _summed(self, x: Any) -> Any:
        """The sum over all steps of a value of each; as few and as large operations as there is a rule for."""
        if x.serial not in self._varying:
            return self._outer(x) * float(self.body.length)
        rule = _SUMMED.get(x.op)
        found = rule(self, x) if rule is not None else None
        if found is not None:
            return found
        if x.op.kind == "movement" and len(x.operands) == 1:  # the sum of what is moved alike is the sum, moved
            return x.op(self._summed(x.operands[0]), **x.attrs)
        return P.sum_(self._stack(x), axis=(0,), keepdims=False)

    def _summed_products(self, x: Any) -> Any:
        """One product, of the steps' matrices side by side."""
        time, (a, b) = self.body.length, x.operands
        if not len(a.shape) == len(b.shape) == 2:
            return None
        right = self._stack(b)
        right = P.reshape(right, shape=(time * b.shape[0], b.shape[1]))
        if a.op is P.permute:
            left = self._stack(a.operands[0])
            left = P.permute(P.reshape(left, shape=(time * a.shape[1], a.shape[0])), axes=(1, 0))
        else:
            left = P.permute(self._stack(a), axes=(1, 0, 2))
            left = P.reshape(left, shape=(a.shape[0], time * a.shape[1]))
        return P.matmul(left, right)

    def _summed_terms(self, x: Any) -> Any:
        if not all(isinstance(y, Tensor) and y.shape == x.shape for y in x.operands):
            return None
        return self._summed(x.operands[0]) + self._summed(x.operands[1])

    def _summed_multiples(self, x: Any) -> Any:
        first, factor = x.operands
        return None if isinstance(factor, Tensor) else self._summed(first) * factor

    def _summed_sums(self, x: Any) -> Any:
        (first,) = x.operands
        axes, stack = normalize_axis(x.attrs["axis"], len(first.shape)), self._stack(first)
        if axes == (0,):
            rows = P.reshape(stack, shape=(self.body.length * first.shape[0], *first.shape[1:]))
            summed = P.sum_(rows, axis=(0,), keepdims=False)
        else:
            summed = P.sum_(stack, axis=(0, *(a + 1 for a in axes)), keepdims=False)
        return P.reshape(summed, shape=x.shape)


#: The sum over time of an operation's results; None where another rule has to do.
_SUMMED: dict[Primitive, Callable[[_Reverse, Any], Any]] = {
    P.matmul: _Reverse._summed_products,
    P.add: _Reverse._summed_terms,
    P.mul: _Reverse._summed_multiples,
    P.sum_: _Reverse._summed_sums,
}


def _without(g: Any, nothing: Any) -> Any:
    """``g`` without the term ``nothing``, the zeros that `_aside` sends; None if it is no more than that."""
    if nothing is None or not isinstance(g, Tensor):
        return g
    if g is nothing:
        return None
    if g.op is P.add and any(y is nothing for y in g.operands):
        rest = [y for y in g.operands if y is not nothing]
        return rest[0] if rest else None
    if g.op is P.add:
        parts = [_without(y, nothing) for y in g.operands]
        if parts[0] is not g.operands[0] or parts[1] is not g.operands[1]:
            left = [y for y in parts if y is not None]
            return sum(left[1:], left[0]) if left else None
    return g


# Written out ---------------------------------------------------------------------------------------------------


def _write_loop(build: GraphBuilder[Any], node: Node, operands: tuple[Any, ...], known: dict[Any, Any]) -> Ref:
    """Every step; `known` keeps, by the loop's new place, what the body's nodes have become."""
    steps = _Writing(build, node.attrs["body"], operands).steps()
    made = _write_stack(build, node, steps)
    known[made.index] = steps
    return made


def _write_tap(build: GraphBuilder[Any], node: Node, operands: tuple[Any, ...], known: dict[Any, Any]) -> Ref:
    return _write_stack(build, node, known[operands[0].index])


def _write_stack(build: GraphBuilder[Any], node: Node, steps: list[list[Any]]) -> Ref:
    rows = tuple(values[node.attrs["node"]] for values in steps)
    return build.again(replace(node, op=P.stack, attrs={"axis": 0}), rows)


loop.written_out, tap.written_out = _write_loop, _write_tap


class _Writing:
    def __init__(self, build: GraphBuilder[Any], body: Body, operands: tuple[Any, ...]) -> None:
        self.build, self.body, self.operands = build, body, operands

    def steps(self) -> list[list[Any]]:
        """The counterparts of the body's nodes, for each time step."""
        body, nodes, first = self.body, self.body.graph.nodes, self.body.inputs + self.body.states
        constants = {x.index: self.build.again(x, ()) for x in nodes if x.op is None and x.value is not None}
        carried = self.operands[body.inputs : first]
        found: list[list[Any]] = [[] for _ in range(body.length)]
        for t in body.order:
            values: list[Any] = [constants.get(x.index) for x in nodes]
            values[body.inputs : first] = carried
            values[first : len(self.operands)] = self.operands[first:]
            for x, stack in zip(nodes, self.operands[: body.inputs]):
                row = replace(x, op=P.getitem, attrs={"index": (t,)})
                values[x.index] = self._at(t, row, (stack,))
            for x in nodes:
                if x.op is not None:
                    of_x = tuple(values[y.index] if isinstance(y, Ref) else y for y in x.operands)
                    values[x.index] = self._at(t, x, of_x)
            carried = tuple(values[index] for index in body.new)
            found[t] = values
        return found

    def _at(self, t: int, node: Node, operands: tuple[Any, ...]) -> Ref:
        return self.build.again(node, operands, scope=node.scope._replace(step=t), serial=next(serials))
