"""A function as a graph in which loops are loops and a gradient is one node: what leaves for another engine.

The tracer of `compile` runs the function once on stand-ins. Here it keeps two things whole that it would else write
out. A loop, of a recurrent layer or of `scan`, is recorded as one time step, a `Body`, so that what is exported does
not grow with the length of the sequence. And ``backward`` is recorded as a question, the gradients of these values
with respect to those: the other engine differentiates its own loops, and does it well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...compiler.compiled_function import CompiledFunction
from ...compiler.plan import PlanBuilder
from ...compiler.tracing import Traced, TracedProgram, Tracer
from ...errors import GraphError, UnsupportedError
from ...functional import concat
from ...graph import Graph
from ...primitives.record import Primitive, Unlisted
from ...recurrence.first_state import matched
from ...recurrence.scan import mapped
from ...reverse_walk import nodes_between
from ...scopes import placed
from ...source_line import source_lines, user_site
from ...tensors import Array, Tensor
from ...thread_state import current
from . import loops

#: how often the body of a loop is recorded at most, until its carries keep their shape and dtype: a first time, again
#: after a carry was broadcast, and again after its dtype changed with that
ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Body:
    """One time step as a graph: leaves are carries, rows of the sequences, and what is the same at every step.

    The outputs are the new carries, then what is put out at each step.
    """

    graph: Graph
    carries: tuple[int, ...]  #: positions of the leaves
    rows: tuple[int, ...]
    fixed: tuple[int, ...]
    length: int
    reverse: bool

    @property
    def collected(self) -> int:
        """The number of values each step puts out."""
        return len(self.graph.outputs) - len(self.carries)


def marker(name: str, symbol: str) -> Unlisted:
    """A placeholder in what is being exported, for a loop, say: it computes nothing, the exporter writes it out."""

    def reference(*_operands: Any, **_attrs: Any) -> Any:
        raise UnsupportedError(
            "what is being exported has no values yet: the other framework computes them; read them from its results"
        )

    return Unlisted(name, symbol, lambda *_shapes, **_attrs: (), reference, vjp=_handed_on, rule=("",))


def _handed_on(_slot: int, g: Any, _y: Any, *_operands: Any, **_attrs: Any) -> Any:
    return g


#: operands: the first carries, the sequences, what is fixed; settings: its ``body``
loop = marker("loop", "loop")
#: operands: values, a seed for each, and the tensors with respect to which; settings: how many ``values``
gradient = marker("gradient", "∇")
#: one of the results of a node that has several
part = marker("part", "·")
#: the same value, through which no gradient flows
cut = marker("detach", "detach")
#: operands: a value, the tensors it was computed from, and what else its author's backward pass uses; settings: that
#: pass, an `Own`, and the ``author``, the name of its class
own = marker("backward pass of its own", "·")
#: a dropout mask: zeros with probability ``p``, else ``1 / (1 - p)``
drawn = marker("dropout mask", "~")


@dataclass(frozen=True, eq=False)
class Own:
    """An author's backward pass as a graph: leaves are the gradient, the value, the tensors, and what else it uses.

    The outputs are gradients of the tensors at ``asked``.
    """

    graph: Graph
    leaves: tuple[int, ...]
    asked: tuple[int, ...]


@dataclass
class _Step:
    """A time step while it is recorded."""

    length: int
    rows: list[tuple[Tensor, Traced]] = field(default_factory=list)  #: more sequences, and what stands for their rows


class ExportTracer(Tracer):
    """The tracer that keeps loops and gradients; see the module's text."""

    ignoring = True  # what is exported cannot be recorded anew when it meets one

    def __init__(self, met: Iterable[int] = ()) -> None:
        super().__init__(met)
        self._steps: list[_Step] = []

    def node(
        self,
        op: Primitive,
        operands: Sequence[Any],
        attrs: dict[str, Any],
        shape: tuple[int, ...] = (),
        dtype: Any = np.float32,
        differentiable: bool | None = None,
    ) -> Traced:
        """A node of the export's own."""
        operands = tuple(self._operand(x) for x in operands)
        made = self._new(shape, np.dtype(dtype))
        made.op, made.operands, made.attrs = op, operands, attrs
        needed = any(isinstance(x, Tensor) and x.requires_grad for x in operands)
        made.requires_grad = (needed if differentiable is None else differentiable) and current.recording
        return made

    def parts(self, whole: Traced, shapes: Sequence[tuple[tuple[int, ...], Any]]) -> list[Tensor]:
        """The results of a node, of these shapes and dtypes."""
        return [
            self.node(part, (whole,), {"index": k}, shape, dtype, whole.requires_grad and np.dtype(dtype).kind == "f")
            for k, (shape, dtype) in enumerate(shapes)
        ]

    def refuse_reading(self, tensor: Tensor) -> None:
        """As the compiler's; a program that left cannot ask Python how to go on."""
        if isinstance(tensor, Traced) or tensor.serial < self.started:
            raise GraphError(
                f"{tensor._described()} is read (at {user_site()}), but what is exported computes it anew in every "
                "call: give lengths to the layer or to tg.scan (lengths=n) and choose with tg.where; what Python must "
                "know when it is exported is a number or a list, no tensor"
            )

    def detach(self, tensor: Tensor) -> Tensor:
        """An alias that no gradient flows through."""
        result = self.node(cut, (tensor,), {}, tensor.shape, tensor.dtype, False)
        result.name, result.role = tensor.name, tensor.role
        return result

    def record(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Traced:
        """As the compiler does; what is computed without recording gradients is cut off from them."""
        if not current.recording:
            operands = tuple(self.detach(x) if isinstance(x, Tensor) and x.requires_grad else x for x in operands)
        return super().record(op, operands, attrs)

    def ruled(self, kind: type, value: Tensor, backward: Any, tensors: tuple[Tensor, ...]) -> Tensor:
        """A `Function`'s value; its backward pass is recorded, for the other engine to call in the place of its own."""
        if not any(x.requires_grad for x in tensors):
            return self.detach(value)
        given = [self._stand_in_for(x, x.shape, x.requires_grad) for x in (value, value, *tensors)]
        found = backward.shares_of(*given[:2], given[2:])
        graph, fixed, places = self._graph(given, [self._as_tensor(x) for x in found.values()])
        settings = {"backward": Own(graph, tuple(places), tuple(found)), "author": kind.__name__}
        return self.node(own, [value, *tensors, *fixed], settings, value.shape, value.dtype, True)

    # Loops -----------------------------------------------------------------------------------------------

    def loop(
        self, f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int, reverse: bool = False
    ) -> tuple[Any, Any]:
        """``carry, y = f(carry, x)`` over the rows of ``xs``; the last carry and all ``y``, time in front.

        A carry of None is what ``f`` makes its own beginning of: where that is the same step from constants, from those
        it starts; else the first step is taken before the loop.
        """
        if carry is None:
            carry = self.beginning(f, xs, length, reverse)
            if carry is None:
                return self._after_the_first(f, xs, length, reverse)
        for _ in range(ROUNDS):
            step, (leaves, rows), (new, ys) = self._recorded(f, carry, xs, length)
            fits = mapped(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), new, carry)
            if all(_leaves(fits)):
                return self._looped(carry, xs, step, leaves, rows, new, ys, reverse)
            carry = mapped(_like, carry, new)
        raise GraphError(
            "a loop's state changes its shape or dtype from step to step, which no exported loop can; keep them"
        )

    def _recorded(self, f: Any, carry: Any, xs: Any, length: int) -> tuple[_Step, Any, Any]:
        """One step on stand-ins: they, and what it returned."""
        leaves = mapped(lambda a: a if a is None else self._stand_in_for(a, a.shape, True), carry)
        rows = mapped(lambda x: self._stand_in_for(x, x.shape[1:], x.requires_grad), xs)
        step = _Step(length)
        self._steps.append(step)
        try:
            made = f(leaves, rows)
        finally:
            self._steps.pop()
        return step, (leaves, rows), (mapped(self._as_tensor, made[0]), mapped(self._as_tensor, made[1]))

    def _stand_in_for(self, x: Tensor, shape: tuple[int, ...], requires_grad: bool) -> Traced:
        made = self.leaf(np.broadcast_to(np.zeros((), x.dtype), shape), x.name, requires_grad and x.dtype.kind == "f")
        made.role = x.role
        return made

    def _as_tensor(self, x: Any) -> Tensor:
        return x if isinstance(x, Tensor) else Tensor(x)

    def _looped(
        self, carry: Any, xs: Any, step: _Step, leaves: Any, rows: Any, new: Any, ys: Any, reverse: bool
    ) -> tuple[Any, Any]:
        first, sequences = _leaves(carry), [*_leaves(xs), *(x for x, _ in step.rows)]
        own = [*_leaves(leaves), *_leaves(rows), *(x for _, x in step.rows)]
        results = [*_leaves(new), *_leaves(ys)]
        graph, fixed, places = self._graph(own, results)
        counts = len(first), len(own)
        body = Body(
            graph,
            tuple(places[: counts[0]]),
            tuple(places[counts[0] : counts[1]]),
            tuple(places[counts[1] :]),
            step.length,
            reverse,
        )
        whole = self.node(loop, [*first, *sequences, *fixed], {"body": body})
        shapes = [(x.shape, x.dtype) for x in first]
        shapes += [((step.length, *y.shape), y.dtype) for y in results[len(first) :]]
        made = iter(self.parts(whole, shapes))

        def named(like: Tensor) -> Tensor:
            result = next(made)
            result.role = like.role
            return result

        return mapped(named, new), mapped(named, ys)

    def _graph(self, own: Sequence[Tensor], results: Sequence[Tensor]) -> tuple[Graph, list[Tensor], list[int]]:
        """The graph of ``results`` from the stand-ins ``own``; tensors that depend on none of them are fixed."""
        reached: dict[int, tuple[Tensor, list[Tensor]]] = {}  # by serial: a tensor, and what it was traced from
        pending = list(results)
        while pending:
            x = pending.pop()
            if x.serial not in reached:
                operands = [y for y in x.operands if isinstance(y, Tensor)] if isinstance(x, Traced) else []
                reached[x.serial] = x, operands
                pending += operands
        depends = {x.serial for x in own}
        inside: list[Tensor] = []
        fixed = {x.serial: x for x in results}
        for serial, (x, operands) in sorted(reached.items()):  # each after its operands
            if serial not in depends and any(y.serial in depends for y in operands):
                depends.add(serial)
                inside.append(x)
                fixed |= {y.serial: y for y in operands}
        fixed = {serial: x for serial, x in fixed.items() if serial not in depends}
        order = [*own, *fixed.values(), *inside]
        sites = source_lines((x._made_at for x in order), of_libraries=True)
        given, build = {x.serial for x in own} | fixed.keys(), PlanBuilder()
        for x, site in zip(order, sites, strict=True):
            build.tensor(x, None, site, leaf=x.serial in given)
        graph = build.plan([build.position[x.serial] for x in results])
        return graph, list(fixed.values()), list(range(len(own) + len(fixed)))

    def beginning(self, f: Any, xs: Any, length: int, reverse: bool) -> Any:
        """The constants that a cell called with no state begins with; None if its first step is another one."""
        _, (_, rows), (new, ys) = self._recorded(f, None, xs, length)
        _, (leaves, again), (newer, later) = self._recorded(f, mapped(lambda x: x, new), xs, length)
        found = matched(
            [*_leaves(new), *_leaves(ys)],
            [*_leaves(newer), *_leaves(later)],
            _leaves(rows),
            _leaves(again),
            _leaves(leaves),
            lambda a, b: a.name == b.name == drawn.name,
        )
        constants = iter(found or ())
        return None if found is None else mapped(lambda _: next(constants), leaves)

    def _after_the_first(self, f: Any, xs: Any, length: int, reverse: bool) -> tuple[Any, Any]:
        first = length - 1 if reverse else 0
        carry, y = f(None, mapped(lambda x: x[first], xs))
        carry, y = mapped(self._as_tensor, carry), mapped(self._as_tensor, y)
        if length == 1:
            return carry, mapped(lambda a: a.expand_dims(0), y)
        others = slice(0, length - 1) if reverse else slice(1, length)
        carry, ys = self.loop(f, carry, mapped(lambda x: x[others], xs), length - 1, reverse)
        one = mapped(lambda a: a.expand_dims(0), y)
        return carry, mapped(lambda a, b: concat([b, a] if reverse else [a, b]), one, ys)

    @property
    def keeps_loops(self) -> ExportTracer:  # type: ignore[override]
        """Itself."""
        return self

    # what `scan` and the layers of `nn` ask a tracer that keeps loops for
    scanned, past_ends = loops.scanned, loops.past_ends

    def layers(self, module: Any, x: Tensor, initial: Any, lengths: Any) -> Any:
        """None: no layer is kept whole."""

    def dropped(self, compute: Callable[[], Any], like: Array, p: float) -> Tensor:
        """A mask drawn by the other engine; in a loop, anew at every step."""
        return self._drawn(len(self._steps), like.shape, like.dtype, p)

    def out_here(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """``f`` whose dropout masks are drawn at the present depth of loops, also when a loop inside calls it."""
        depth = len(self._steps)

        def outside(*args: Any) -> Any:
            inside, self._steps = self._steps, self._steps[:depth]
            try:
                return f(*args)
            finally:
                self._steps = inside

        return outside

    def _drawn(self, depth: int, shape: tuple[int, ...], dtype: Any, p: float) -> Tensor:
        if not depth:
            made = self.node(drawn, (), {"p": p}, shape, dtype, False)
            made.name = "dropout mask"
            return made
        step = self._steps[depth - 1]
        every = self._drawn(depth - 1, (step.length, *shape), dtype, p)
        row = self.leaf(np.broadcast_to(np.zeros((), dtype), shape), "dropout mask")
        step.rows.append((every, row))
        return row

    # Gradients -------------------------------------------------------------------------------------------

    def derived(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor], inputs: Sequence[Tensor] | None
    ) -> list[tuple[Tensor, Tensor]]:
        """The gradients of ``outputs`` as one node, for the other engine to find."""
        order = nodes_between(outputs, inputs)
        for x in order:
            if x._hooks:
                raise UnsupportedError(
                    f"{x._described()} (made at {x.site}) has a hook on its gradient, which cannot be exported; "
                    "write what it does into the step"
                )
        asked = None if inputs is None else {x.serial for x in inputs}
        wanted = [
            x for x in order if (x.op is None or x._starts or x._retains_grad if asked is None else x.serial in asked)
        ]
        with placed(current.scope._replace(backward=True)):
            whole = self.node(gradient, [*outputs, *seeds, *wanted], {"values": len(outputs)})
            return list(zip(wanted, self.parts(whole, [(x.shape, x.dtype) for x in wanted])))


def _leaves(tree: Any) -> list[Any]:
    found: list[Any] = []
    mapped(found.append, tree)
    return found


def _like(x: Tensor, other: Tensor) -> Tensor:
    """A first carry in the shape and dtype it has after a step."""
    wanted = np.broadcast_shapes(x.shape, other.shape)
    made = x if x.shape == wanted else x.broadcast_to(wanted)
    made = made if made.dtype == other.dtype else made.astype(np.result_type(made.dtype, other.dtype))
    made.role = x.role
    return made


class Recording(CompiledFunction):
    """A function to be recorded: with all that `compile` refuses, each refusal with its line."""

    recorder = ExportTracer
    returns_aliases = False

    def record(self, args: Sequence[Any]) -> tuple[TracedProgram, Any]:
        """The program for arguments like these, and the form of the result."""
        return self._trace(tuple(args), {})


def walk(graph: Graph) -> Iterator[Any]:
    """Every node, those in bodies of loops as well."""
    for node in graph.nodes:
        yield node
        if node.op is loop:
            yield from walk(node.attrs["body"].graph)
        elif node.op is own:
            yield from walk(node.attrs["backward"].graph)
