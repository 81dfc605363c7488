"""Trace: a record of one reverse walk, which the debugger steps through.

A trace is pure data: the graph as it was, and an event for every node the walk visited, holding the gradient that
had arrived and what it sent on. Nothing is ever run again to look at an earlier moment: stepping back is an index.
Partial sums are not stored; they are added up from the contributions, in the walk's order and with its arithmetic,
so the memory a trace takes is the contributions' own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import tinygrad_rnn as tg

from ..collector import collector_paused
from ..files import PathLike, read_text, write_atomically
from ..kept_walk import Sent, Walk, WalkStep
from ..kept_walk import steps as walk_steps
from ..recurrence.annotate_time_steps import timed
from ..recurrence.detached import joined
from ..reverse_walk import nodes_between, seeded
from . import saving
from .state_rows import StateRow, state_rows

Array = npt.NDArray[Any]

#: Beyond either of these `record` says what the walk would cost instead of starting it.
STEP_LIMIT, BYTE_LIMIT = 50_000, 2**30
_BYTES_PER_STEP, _SECONDS_PER_STEP = 1500, 2e-5


class Arrival(NamedTuple):
    """One addition to a node's gradient."""

    step: int  #: the step that sent it, from 1; 0 is the seed the walk starts from
    slot: int  #: which of that step's contributions; -1 for a partial sum brought by left-out time steps
    contribution: Sent | None


@dataclass(frozen=True, slots=True)
class Cost:
    """The rough cost of recording a walk."""

    steps: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{self.bytes / 2**30:.1f} GB" if self.bytes >= 2**30 else f"{max(self.bytes / 2**20, 1):.0f} MB"
        return f"{self.steps:,} steps, about {size} and {max(self.seconds, 1):.0f} s"


class Trace(Walk):
    """The event log of one backward pass; `record` makes it, `load` reads it.

    ``node`` is a node's number in ``graph``, ``k`` a step of the walk back, from 1.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn.bptt.recording import Trace, record
    >>> w = tg.tensor([2.0, 3.0], requires_grad=True, name="w")
    >>> trace = record((w * w).sum())
    >>> trace
    Trace(3 steps back through 3 nodes)
    >>> [arrival.step for arrival in trace.arrivals[0]], trace.arrived(0, k=1), trace.arrived(0, k=2)
    ([2, 2], 0, 2)
    >>> trace.contribution(2, 1).tolist(), trace.summed(0, 1).tolist(), trace.gradient(0).tolist()
    ([2.0, 3.0], [2.0, 3.0], [4.0, 6.0])
    >>> step = trace.steps[1]
    >>> trace.value(step, step.contributions[0]).tolist(), trace.pulled(1, 0, np.ones(2)).tolist()
    ([2.0, 3.0], [2.0, 3.0])
    >>> [x.tolist() for x in trace.operands(1)], trace.with_gradient(1, 0.0).gradient(0).tolist()
    ([[2.0, 3.0], [2.0, 3.0]], [0.0, 0.0])
    >>> trace.save("walk.trace").output, Trace.load("walk.trace").output, Trace.from_json(trace.to_json()).output
    (2, 2, 2)
    """

    def __init__(self, graph: tg.Graph, seed: Array, steps: Sequence[WalkStep], every: int = 1) -> None:
        super().__init__(graph, steps)
        self.seed = seed  #: the gradient the walk started from at the output
        self.every = every  #: one time step in this many was kept
        self.files: dict[str, str] = {}  #: {name: path} of the source files the nodes were made in; not saved

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        sampled = f", one time step in {self.every}" if self.every > 1 else ""
        return f"Trace({len(self)} steps back through {len(self.graph)} nodes{sampled})"

    @property
    def output(self) -> int:
        """The node the walk started from."""
        return self.graph.outputs[0]

    # What arrived, and when ------------------------------------------------------------------------------

    @cached_property
    def tensors(self) -> list[tg.Tensor]:
        """The graph's nodes as tensors, for walks between any of them."""
        return self.graph.tensors()

    @cached_property
    def state_rows(self) -> list[StateRow]:
        """The values that the graph carries from one time step to the next."""
        return state_rows(self.graph)

    @cached_property
    def arrivals(self) -> dict[int, tuple[Arrival, ...]]:
        """Per node everything that is added to its gradient, in order."""
        found: dict[int, list[Arrival]] = {self.output: [Arrival(0, -1, None)]}
        for k, step in enumerate(self.steps, 1):
            for node, _ in step.brought:
                found.setdefault(node, []).append(Arrival(k - 1, -1, None))
            for index, sent in enumerate(step.contributions):
                found.setdefault(sent.target, []).append(Arrival(k, index, sent))
        return {node: tuple(events) for node, events in found.items()}

    def summed(self, node: int, count: int) -> Array | None:
        """The sum of the first ``count`` arrivals at ``node``, as the walk held it then; None before the first."""
        held, total = self._sums.get(node, (0, None))
        if held > count:
            held, total = 0, None
        for arrival in self.arrivals.get(node, ())[held:count]:
            total = self._added(node, total, arrival)
        if total is not None:
            self._sums[node] = count, total
        return total

    @cached_property
    def _sums(self) -> dict[int, tuple[int, Array]]:
        return {}  # the latest partial sum asked for: walking on from it costs one addition

    def arrived(self, node: int, k: int) -> int:
        """The number of ``arrivals[node]`` that have come when step ``k`` is over."""
        return bisect_right(self.arrivals.get(node, ()), k, key=lambda arrival: arrival.step)

    def gradient(self, node: int, k: int | None = None) -> Array | None:
        """The gradient of ``node`` when step ``k`` (default: the last) is over; None if nothing arrived yet."""
        turn = self.turn.get(node)
        if turn is not None and (k is None or k >= turn):
            return self.steps[turn - 1].gradient
        return self.summed(node, self.arrived(node, len(self) if k is None else k))

    def _added(self, node: int, total: Array | None, arrival: Arrival) -> Array:
        if arrival.contribution is not None:
            return self._plus(total, self.steps[arrival.step - 1], arrival.contribution)
        return self.seed if arrival.step == 0 and node == self.output else self._brought(node, arrival.step)

    def _plus(self, total: Array | None, step: WalkStep, sent: Sent) -> Array:
        """``total`` and one contribution more, added as the walk adds them."""
        if sent.value is not None:
            return sent.value if total is None else _quietly(np.add, total, sent.value)
        target, sender = self.graph.nodes[sent.target], self.graph.nodes[step.node]
        buffer = np.zeros(target.shape, target.dtype) if total is None else np.array(total)
        assert sender.op is not None and sender.op.accumulate is not None
        _quietly(sender.op.accumulate, buffer, step.gradient, sender.value, *self.operands(step.node), **sender.attrs)
        return buffer

    def _brought(self, node: int, k: int) -> Array:
        return next(total for target, total in self.steps[k].brought if target == node)

    # What if ---------------------------------------------------------------------------------------------

    def with_gradient(self, node: int, value: Any) -> Trace:
        """The walk as it would have gone had the gradient of ``node`` been ``value`` (broadcast to its shape).

        Everything before that node's turn stays; the rest is propagated anew. Hooks are not run again: what one of
        them put in place stays. Raises `GraphError` for a node without a gradient and for a sampled trace, `ShapeError`
        for a value that does not broadcast.
        """
        target = self.graph.nodes[node]
        if node not in self.turn:
            raise tg.GraphError(f"#{node} received no gradient in this walk, so there is none to replace")
        if self.every > 1:
            raise tg.GraphError("a sampled trace cannot propagate anew; record it without every=")
        try:
            chosen = np.broadcast_to(np.asarray(value, target.dtype), target.shape).copy()
        except ValueError:
            raise tg.ShapeError(f"#{node} has shape {target.shape}; give one number or values of that shape") from None
        tensors = self.graph.tensors()
        words = {step.node: step.replaced for step in self.steps if step.replaced} | {node: "what-if"}
        for index in words:
            put = chosen if index == node else self.steps[self.turn[index] - 1].gradient
            tensors[index].register_hook(_giving(put))
        position = {x.serial: index for index, x in enumerate(tensors)}
        with tg.no_grad(), np.errstate(all="ignore"):
            steps = list(walk_steps(position, [tensors[self.output]], [self.seed]))
        what_if = Trace(self.graph, self.seed, [step._replace(replaced=words.get(step.node)) for step in steps])
        what_if.files = self.files
        return what_if

    # Saving ----------------------------------------------------------------------------------------------

    def save(self, path: PathLike) -> Trace:
        """Write the trace as JSON into the file ``path``, whole or not at all, and return it."""
        write_atomically(path, self.to_json().encode(errors="backslashreplace"))
        return self

    def to_json(self) -> str:
        """The trace as JSON text."""
        return saving.dumps(saving.Stored(self.graph, self.seed, self.steps, self.every))

    @classmethod
    def from_json(cls, text: str, source: str = "the text") -> Trace:
        """The trace whose `to_json` gave ``text``; errors call that ``source``. Raises `DataError` if it is damaged."""
        return saving.loads(text, source, cls._of)

    @classmethod
    def load(cls, path: PathLike) -> Trace:
        """Read the file ``path`` that `save` wrote; one that is damaged or something else is a `DataError`."""
        return cls.from_json(read_text(path), str(path))

    @classmethod
    def _of(cls, stored: saving.Stored) -> Trace:
        trace = cls(*stored)
        for k, step in enumerate(trace.steps, 1):
            arrived = trace.summed(step.node, trace.arrived(step.node, k - 1))
            if arrived is None or not (step.replaced or np.array_equal(arrived, step.gradient, equal_nan=True)):
                raise tg.DataError(f"what arrived at node {step.node} does not add up to its gradient")
        return trace


@collector_paused()
def record(loss: tg.Tensor, gradient: Any = None, *, every: int = 1, anyway: bool = False) -> Trace:
    """Walk back from ``loss`` and keep every step; ``.grad`` and the graph stay as they are, hooks run.

    ``gradient``, of the shape of ``loss``, is where the walk starts; a scalar starts from 1. ``every=10`` keeps one
    time step in ten (and everything outside the recurrence); without it a walk of more than 50,000 steps or 1 GB is
    refused with what it would cost, unless ``anyway``.
    """
    if not isinstance(loss, tg.Tensor):
        raise tg.ArgumentError(f"a walk back starts at the loss, a tensor, not {type(loss).__name__}")
    if every < 1:
        raise tg.ArgumentError(f"every= is how many time steps to take one of, from 1 up, not {every}")
    seed = seeded(loss, gradient, False)
    order = nodes_between([loss])
    for tensor in order:
        if tensor._spent:
            raise tg.GraphError(
                f"the graph of {loss._described()} was walked backward already (at {tensor.site}); "
                "debug it before backward(), or call backward(retain_graph=True)"
            )
    graph = tg.Graph(loss)
    if not anyway and every == 1 and (said := _times(graph)):  # what costs too much is refused before steps are found
        _check_cost(graph, said, ())
    graph = _with_time(graph)
    times = _times(graph)
    left_out = set(times) - {*times[::every], *times[-1:]}
    if not anyway:
        _check_cost(graph, times, left_out)
    trace = Trace(graph, np.array(seed), (), every)
    sampler = _Sampler(trace, left_out)
    steps: list[WalkStep] = []
    with tg.no_grad(), np.errstate(all="ignore"):
        for step in walk_steps(graph.by_serial(), [loss], [trace.seed]):
            kept = sampler.take(step) if left_out else step
            if kept is not None:
                steps.append(kept)
    trace.steps = tuple(steps)
    paths = {x.site.filename for x in order if x.site}
    trace.files = {Path(path).name: path for path in paths}
    return trace


def _times(graph: tg.Graph) -> list[int]:
    """The time steps of the nodes."""
    return sorted({node.scope.step for node in graph.nodes if node.scope.step is not None})


def _with_time(graph: tg.Graph) -> tg.Graph:
    """``graph`` with its states and time steps: as the program named them, or else as they are found in the graph.

    Cells that the program called alike, two of a top level's, are told apart as they are found; a layer that is called
    several times for one sequence goes on counting, as does one whose state was cut off in between.
    """
    found = timed(joined(graph)).nodes
    places: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for told, seen in zip(graph.nodes, found, strict=True):
        if told.role in ("h", "c") and told.scope.step is not None:
            places[told.scope.path].add(seen.scope.path)
    nodes = [
        replace(told, scope=told.scope if told.scope.step is not None else found[seen.sources[0]].scope)
        if told.op is not seen.op  # what was cut off, in the step that made it
        else replace(told, role=seen.role, scope=told.scope._replace(step=seen.scope.step))
        if len(places.get(told.scope.path, ())) == 1
        else seen
        for told, seen in zip(graph.nodes, found, strict=True)
    ]
    return tg.Graph.of(nodes, graph.outputs)


def _giving(gradient: Array) -> Callable[[tg.Tensor], tg.Tensor]:
    """A hook that puts ``gradient`` in place."""
    return lambda _arrived: tg.tensor(gradient)


class _Sampler:
    """Keeps the steps of some time steps, and of the others only what they brought to the kept ones."""

    def __init__(self, trace: Trace, left_out: Collection[int]) -> None:
        self.trace = trace
        self.dropped = {node.index for node in trace.graph.nodes if node.scope.step in left_out}
        self.totals: dict[int, Array] = {trace.output: trace.seed}
        self.brought: set[int] = set()

    def take(self, step: WalkStep) -> WalkStep | None:
        """The step as it is to be kept, or None if it is left out."""
        kept = step.node not in self.dropped
        if kept:
            brought = tuple((node, self.totals[node]) for node in sorted(self.brought))
            step = WalkStep(step.node, step.gradient, step.contributions, step.replaced, brought)
            self.brought.clear()
            self.totals.pop(step.node, None)
        for sent in step.contributions:
            if sent.target not in self.dropped:
                self.totals[sent.target] = self.trace._plus(self.totals.get(sent.target), step, sent)
                if not kept:
                    self.brought.add(sent.target)
        return step if kept else None


def estimate(graph: tg.Graph, left_out: Collection[int] = ()) -> Cost:
    """The cost of keeping the walk's steps: the memory of their contributions, and the time of the walk."""
    nodes = graph.nodes
    walked = [node for node in nodes if node.requires_grad]
    kept = [node for node in walked if node.scope.step not in left_out]
    size = sum(
        math.prod(nodes[x.index].shape) * nodes[x.index].dtype.itemsize
        for node in kept
        if node.op is not None
        for slot, x in enumerate(node.operands)
        if isinstance(x, tg.Ref) and nodes[x.index].requires_grad and not (slot == 0 and node.op.accumulate)
    )
    total = size + len(kept) * _BYTES_PER_STEP
    return Cost(len(kept), total, len(walked) * _SECONDS_PER_STEP + total / 2**31)


def _check_cost(graph: tg.Graph, times: Sequence[int], left_out: Collection[int]) -> None:
    cost = estimate(graph, left_out)
    if cost.steps <= STEP_LIMIT and cost.bytes <= BYTE_LIMIT:
        return
    offer = "reduce the graph"
    for every in (10, 100, 1000, 10_000):
        sampled = estimate(graph, set(times) - {*times[::every], *times[-1:]})
        if sampled.steps <= STEP_LIMIT and sampled.bytes <= BYTE_LIMIT:
            offer = f"keep one time step in {every} with every={every}, --every {every} ({sampled})"
            break
    raise tg.GraphError(f"this walk has {cost}; {offer}, or record it all with anyway=True, --anyway")


def _quietly(function: Any, *operands: Any, **attrs: Any) -> Any:
    """Computed without NumPy's warnings: looking at a nan must not print one."""
    with np.errstate(all="ignore"):
        return function(*operands, **attrs)
