"""The carried state in backpropagation through time: Jacobians, highways, origins, cuts.

All of it is read off the trace's graph by walks between chosen nodes; the recorded walk is not touched.

The recurrent Jacobian and its products: Y. Bengio, P. Simard, P. Frasconi (1994), IEEE Trans. Neural Networks 5(2),
157-166; R. Pascanu, T. Mikolov, Y. Bengio (2013), ICML. The constant error carousel: S. Hochreiter,
J. Schmidhuber (1997), Neural Computation 9(8), 1735-1780.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np

import tinygrad_rnn as tg

from ..ancestors import ancestors
from ..graph import Ref
from ..recurrence.circles import circles_of
from . import local_rule
from .recording import Array, Trace
from .state_rows import HANDED_ON
from .step_losses import step_losses

Path = tuple[str, ...]
#: What the states of a cell are called that is computed only once, so that nothing shows what it carries.
STATES = ("h", "c")
#: The triangle has at most this many origins; of longer sequences they are taken evenly spread.
ORIGIN_LIMIT = 64


class Arrived(NamedTuple):
    """A gradient at a node, from which a walk can go on."""

    node: int
    gradient: Array
    live: Any = None  #: what counts of it, see `tinygrad_rnn.dead_positions`


def pull(
    trace: Trace, seeds: Iterable[Arrived], targets: Collection[int], *, through: bool = False, many: bool = False
) -> dict[int, Arrived]:
    """Gradients of sum(seed * node) with respect to ``targets``; those nothing reaches are missing.

    They are partial derivatives: the walk ends at a target, unless ``through``, which makes them total. With ``many``
    seeds and gradients have one axis more in front, for many walks at once.
    """
    position = {trace.tensors[index].serial: index for index in targets}
    outputs, gradients, live = zip(*[(trace.tensors[node], gradient, live) for node, gradient, live in seeds])
    inputs = [trace.tensors[index] for index in targets]
    found = {}
    send = local_rule.vjps if many else None
    with tg.no_grad(), np.errstate(all="ignore"):
        for step in tg.walk(outputs, gradients, inputs=inputs, through=through, live=live, send=send):
            index = position.get(step.node.serial)
            if index is not None and (step.live is None or step.live.any()):  # else: not a gradient of 0 but none
                found[index] = Arrived(index, step.gradient, step.live)
    return found


def total(so_far: Array | None, more: Array) -> Array:
    """Their sum; NumPy need not warn that inf and -inf have none."""
    if so_far is None:
        return more
    with np.errstate(all="ignore"):
        return so_far + more


# The carried states --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moment:
    """The state a layer carries out of one time step."""

    path: Path
    time: int  #: counted from 0
    nodes: dict[str, int]  #: by name, {"h": node} or {"h": node, "c": node}; see `output`

    @property
    def output(self) -> str:
        """The state that maps and bounds are about: h, or what is made last of the others."""
        return next(iter(self.nodes))


#: By carried state its moment.
States = Mapping[int, Moment]


def carried(trace: Trace) -> dict[Path, list[Moment]]:
    """Per recurrent layer its states, in the order they were computed (a reverse layer's last time step first).

    A state is what the graph carries from one time step to the next, whatever it is called. What is not carried on, as
    in the last step, in a network of one step or where only a state's values are handed on, goes by its name.
    """
    nodes = trace.graph.nodes
    found: dict[Path, dict[int, dict[str, int]]] = {}
    for row in trace.state_rows:
        for index in row.nodes:
            if index is not None and (step := nodes[index].scope.step) is not None:
                found.setdefault(row.path, {}).setdefault(step, {})[row.name] = index
    names = {path: {name for states in steps.values() for name in states} for path, steps in found.items()}
    first = {path: min(steps, key=lambda step: max(steps[step].values())) for path, steps in found.items()}
    for leaf, _, path in _constants(trace, first):
        names[path].add(nodes[leaf].role or "")
    around = {path[:length] for path in names for length in range(len(path))}  # what is called h there is made of them
    told: dict[Path, dict[int, dict[str, int]]] = {}
    for node in nodes:
        step, path = node.scope.step, node.scope.path
        computed = node.op is not None and node.op.name not in HANDED_ON and not node.scope.backward
        if (
            computed
            and step is not None
            and node.role
            and node.role in names.get(path, () if path in around else STATES)
        ):
            told.setdefault(path, {}).setdefault(step, {})[node.role] = node.index  # the last of a step
    for path, steps in told.items():
        for step, states in steps.items():
            moment = found.setdefault(path, {}).setdefault(step, {})
            moment |= states | moment
    return {
        path: sorted((_moment(path, *item) for item in steps.items()), key=lambda m: max(m.nodes.values()))
        for path, steps in found.items()
    }


def _moment(path: Path, time: int, nodes: dict[str, int]) -> Moment:
    order = sorted(nodes, key=lambda name: (name != "h", -nodes[name]))
    return Moment(path, time, {name: nodes[name] for name in order})


# The recurrent Jacobian ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gain:
    """The factors by which one step back in time, and all steps from the end, can stretch a gradient at most."""

    time: int  #: of the later state, from 0
    spectrum: tuple[float, ...]  #: singular values of d s_t / d s_(t-1); s is h, for an LSTM h and c together
    h: float | None  #: of its block d h_t / d h_(t-1), see `Moment.output`
    bound: float | None  #: for h = tanh or relu(... W h): sigma_max(W) times the largest slope, at least ``sigma``
    product: float | None  #: largest singular value of d s_T / d s_(t-1), see `_derivatives`
    product_bound: float | None  #: the product of the steps' largest; None where a step reads more than the one before

    @property
    def sigma(self) -> float | None:
        """The largest singular value; None if no gradient takes this step."""
        return self.spectrum[0] if self.spectrum else None


def gains(trace: Trace, moments: list[Moment]) -> list[Gain]:
    """Singular values of a layer's recurrent Jacobians, by time step; of a batch, its largest."""
    moments = together(trace, moments)
    blocks = [_blocks(trace, moments[:k], after) for k, after in enumerate(moments)]
    whole = dict(_derivatives(blocks, len(moments) - 1))
    limit: float | None = 1.0
    rows: list[Gain] = []
    for k in range(len(moments) - 1, 0, -1):
        before, after, block = moments[k - 1], moments[k], blocks[k].get(k - 1)
        spectrum = () if block is None else _spectrum(block)
        h = None
        if block is not None and after.output in before.nodes:
            h = _sigma(block[:, _columns(trace, after)[after.output], _columns(trace, before)[after.output]])
        product = _sigma(whole[k - 1]) if k - 1 in whole else None
        limit = limit * spectrum[0] if limit is not None and spectrum and len(blocks[k]) == 1 else None
        rows.append(Gain(after.time, spectrum, h, _bound(trace, before, after), product, limit))
    return rows[::-1]


def transfers(trace: Trace, moments: list[Moment]) -> dict[int, dict[int, float]]:
    """{s: {t: largest singular value of d s_s / d s_t}}: how far a nudge to the state of step t can reach."""
    moments = together(trace, moments)
    blocks = [_blocks(trace, moments[:k], after) for k, after in enumerate(moments)]
    return {
        moments[last].time: {moments[k].time: _sigma(whole) for k, whole in _derivatives(blocks, last)}
        for last in _spread(range(1, len(moments)))
    }


def _derivatives(blocks: Sequence[Mapping[int, Array]], last: int) -> Iterator[tuple[int, Array]]:
    """(k, d s_last / d s_k), from the end; ``blocks``: by step, by the earlier step that it reads, the Jacobian.

    It is the product of the Jacobians between, if every step reads just the one before; else a sum of such products.
    """
    found: dict[int, Array] = {}
    for j in range(last, -1, -1):
        whole = found.pop(j, None)
        if whole is not None:
            yield j, whole
        elif j < last:
            continue
        for k, block in blocks[j].items():
            with np.errstate(all="ignore"):
                found[k] = total(found.get(k), block if whole is None else whole @ block)


def together(trace: Trace, moments: list[Moment]) -> list[Moment]:
    """``moments`` with the states of all layers that this one feeds and is fed by: only together do they make the next.

    Told in the middle of the sequence, of layers with the same time steps.
    """
    times = [moment.time for moment in moments]
    layers = {path: own for path, own in carried(trace).items() if [moment.time for moment in own] == times}
    if len(layers) < 2 or len(times) < 2:
        return moments
    k = len(times) // 2
    before = {node: path for path, own in layers.items() for node in own[k - 1].nodes.values()}
    reads: dict[Path, set[Path]] = {}
    for path, own in layers.items():
        after = [trace.graph.nodes[node] for node in own[k].nodes.values()]
        arrived = pull(trace, [Arrived(node.index, np.ones(node.shape, node.dtype)) for node in after], list(before))
        reads[path] = {before[node] for node in arrived}
    circle = next((own for own in circles_of(reads) if moments[0].path in own), {moments[0].path})
    others = [own for path, own in layers.items() if path in circle and path != moments[0].path]
    return [
        replace(own, nodes=own.nodes | {f"{name} of {'.'.join(m.path)}": n for m in at for name, n in m.nodes.items()})
        for own, *at in zip(moments, *others, strict=True)
    ]


def _spread(items: Sequence[int]) -> list[int]:
    """All of them, or ``ORIGIN_LIMIT`` evenly spread."""
    if len(items) <= ORIGIN_LIMIT:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, ORIGIN_LIMIT)]


def _columns(trace: Trace, moment: Moment) -> dict[str, slice]:
    """The columns of s that hold each state's units."""
    widths = [(trace.graph.nodes[node].shape or (1,))[-1] for node in moment.nodes.values()]
    ends = list(itertools.accumulate(widths))
    return {name: slice(end - width, end) for name, end, width in zip(moment.nodes, ends, widths, strict=True)}


def _blocks(trace: Trace, earlier: Sequence[Moment], after: Moment) -> dict[int, Array]:
    """The Jacobian of ``after`` for each moment, by place in ``earlier``, (batch, state after, state before).

    Samples do not mix, so one unit serves them all.
    """
    nodes = trace.graph.nodes
    places = {node: k for k, moment in enumerate(earlier) for node in moment.nodes.values()}
    targets = _read(trace, places, after.nodes.values())
    shapes = [nodes[node].shape for node in (*targets, *after.nodes.values())]
    if len({shape[:-1] for shape in shapes}) > 1 or any(shape[-1:] == (0,) for shape in shapes):
        return {}
    batch = math.prod(shapes[0][:-1])
    rows = _columns(trace, after)
    columns = {k: _columns(trace, earlier[k]) for k in {places[node] for node in targets}}
    found: dict[int, Array] = {}
    for name, at in rows.items():
        node = nodes[after.nodes[name]]
        width = at.stop - at.start
        units = np.zeros((width, *node.shape), node.dtype)
        units.reshape(width, -1, width)[range(width), :, range(width)] = 1
        for index, gradient, _ in pull(trace, [Arrived(node.index, units)], targets, many=True).values():
            k = places[index]
            if k not in found:
                found[k] = np.zeros((batch, *(max(at.stop for at in ends.values()) for ends in (rows, columns[k]))))
            other = next(other for other, state in earlier[k].nodes.items() if state == index)
            width = gradient.shape[-1] if gradient.ndim > 1 else 1
            found[k][:, at, columns[k][other]] = gradient.reshape(len(gradient), batch, width).swapaxes(0, 1)
    return found


def _read(trace: Trace, earlier: Collection[int], after: Iterable[int]) -> list[int]:
    """The nodes in ``earlier`` that ``after`` is computed from without passing another one of them."""
    least = min(earlier, default=0)
    reached = {*ancestors(trace.graph.nodes, after, least=least, through=lambda node: node.index not in earlier)}
    return [index for index in earlier if index in reached]


def _spectrum(blocks: Array) -> tuple[float, ...]:
    """The singular values, largest first; of a batch the largest of each rank."""
    if not np.isfinite(blocks).all():
        return (float("nan"),) * min(blocks.shape[1:])
    return tuple(np.linalg.svd(blocks, compute_uv=False).max(axis=0, initial=0.0).tolist())


def _sigma(blocks: Array) -> float:
    return _spectrum(blocks)[0]


def _bound(trace: Trace, before: Moment, after: Moment) -> float | None:
    """``sigma_max(W) * max slope`` of a cell that is one nonlinearity of ``W h`` plus what does not depend on h."""
    nodes = trace.graph.nodes
    h, h_before = nodes[after.nodes[after.output]], before.nodes.get(after.output)
    if h.op is None or not h.op.elementwise or len(h.sources) != 1 or h_before is None or len(after.nodes) > 1:
        return None
    terms, pending = list[tg.Node](), [nodes[h.sources[0]]]
    while pending:
        a = pending.pop()
        if a.op is not None and a.op.name == "add":
            pending += [nodes[s] for s in a.sources]
        else:
            terms.append(a)
    mine = [x for x in terms if _read(trace, [h_before], [x.index])]
    if len(mine) != 1 or mine[0].op is None or not mine[0].op.is_product or mine[0].sources[0] != h_before:
        return None
    if _read(trace, [h_before], [mine[0].sources[1]]):
        return None
    weight = nodes[mine[0].sources[1]].value
    slope = np.abs(local_rule.diagonal(trace, h, 0).astype(np.float64))
    return None if weight is None else _sigma(weight[None].astype(np.float64)) * float(slope.max(initial=0.0))


# The highway and the way through the cell ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Split:
    """A carried state's gradient by the way it came back."""

    node: int
    ways: dict[str, Array | None]  #: {way: the sum of what came along it, None if nothing did yet}


def split(trace: Trace, states: States, node: int, k: int | None = None) -> Split:
    """The gradient that had arrived at ``node`` after step ``k``, by way; ``states``: each carried state's moment.

    The highway is the way to the next state on which nothing mixes units or bends: of an LSTM ``f * dc`` from the next
    cell state, of a GRU ``z * dh`` from the next state. ``through the next step`` is the rest of what came from another
    time step, by its gates. The remainder came through another state of the step that is made of it (of an LSTM's c
    through h) or from its output.
    """
    moment = states[node]
    names = {index: name for name, index in moment.nodes.items()}
    later = [name for index, name in names.items() if index != node and _made_of(trace, index, node)]
    own = f"through {later[0]}" if later else "from its output"
    ways: dict[str, Array | None] = {"highway": None, "through the next step": None, own: None}
    possible = {own}
    last = len(trace) if k is None else k
    for step, way, value in _ways(trace, states, node, node):
        way = way or own
        possible.add(way)
        if step <= last:
            ways[way] = total(ways[way], value)
    if names[node] == "c":
        possible.add("highway")  # an LSTM's c has one; if nothing can come along it, that is worth seeing
    return Split(node, {way: part for way, part in ways.items() if way in possible})


def _ways(trace: Trace, states: States, state: int, node: int) -> Iterator[tuple[int, str | None, Array]]:
    """(step of arrival, way, value) of what arrives at ``node``, seen through the packing of states."""
    for arrival in trace.arrivals.get(node, ()):
        if arrival.contribution is None:
            continue
        sender = trace.graph.nodes[trace.steps[arrival.step - 1].node]
        if sender.op is not None and sender.op.name in HANDED_ON and sender.scope.step is not None:
            for _, way, value in _ways(trace, states, state, sender.index):
                part = trace.pulled(sender.index, arrival.contribution.slot, value)
                if part.any():
                    yield arrival.step, way, part
        else:
            way = _way(trace, states, state, Use(sender.index, arrival.contribution.slot))
            yield arrival.step, way, trace.contribution(arrival.step, arrival.slot)


class Use(NamedTuple):
    """An operand of an operation."""

    user: int
    slot: int


def _way(trace: Trace, states: States, state: int, use: Use) -> str | None:
    """The way a contribution came from another time step; None from its own."""
    moment, sender = states[state], trace.graph.nodes[use.user]
    if sender.scope.step in (None, moment.time) or sender.scope.path[: len(moment.path)] != moment.path:
        return None
    name = next(name for name, index in moment.nodes.items() if index == state)
    pending = [use]
    while pending:
        user, slot = pending.pop()
        node = trace.graph.nodes[user]
        if node.scope.step != sender.scope.step or node.op is None or not node.op.elementwise:
            continue
        of_result, of_operands = node.op.values_needed(slot)
        if of_result or of_operands is None or slot in of_operands:
            continue  # it bends: the rule depends on what comes in
        if user in states and states[user].nodes.get(name) == user:
            return "highway"
        uses = (trace.graph.nodes[index] for index in trace.graph.consumers[user])
        pending += [Use(use.index, k) for use in uses for k, x in enumerate(use.operands) if x == Ref(user)]
    return "through the next step"


def _made_of(trace: Trace, later: int, earlier: int) -> bool:
    """Whether a node is computed from another one of its time step."""
    nodes = trace.graph.nodes
    step = nodes[later].scope.step
    return earlier in ancestors(nodes, [later], least=earlier, through=lambda node: node.scope.step == step)


def cuts(trace: Trace) -> list[tuple[int, int]]:
    """(constant, its consumer) wherever a cell past the first time step reads a state no gradient flows through.

    Such a leaf is a carry that was detached, or that somebody forgot to hand on. An initial state that is looked at
    once more at a later step, as in a line of delays, is neither.
    """
    first = {path: moments[0].time for path, moments in carried(trace).items()}
    return [(leaf, user) for leaf, user, _ in _constants(trace, first)]


def _constants(trace: Trace, first: Mapping[Path, int]) -> Iterator[tuple[int, int, Path]]:
    """(constant, its consumer, the consumer's scope) where a state is expected; ``first``: each cell's first step."""
    stands_in = {index for row in trace.state_rows for index in row.initial}
    nodes = trace.graph.nodes

    def late(user: tg.Node) -> bool:
        start = first.get(user.scope.path)
        return start is not None and user.scope.step is not None and user.scope.step != start

    for node in nodes:
        for source in node.sources:
            leaf = nodes[source]
            if (
                all(late(nodes[user]) for user in trace.graph.consumers[source])
                and leaf.op is None
                and not leaf.requires_grad
                and (source in stands_in or leaf.role in STATES)
            ):
                yield source, node.index, node.scope.path


# Loss by origin ------------------------------------------------------------------------------------------


def origins(trace: Trace) -> dict[int, list[Arrived]]:
    """{time step: the gradients with which that step's part of the loss starts}.

    A part starts where the walk, coming from the loss, first enters a time step: at the step's own loss if it has
    one, past the sum of them. By linearity the gradients of the parts add up to the whole.
    """
    nodes = trace.graph.nodes
    losses = {node.index for node in nodes if node.role == "loss" and node.scope.step is not None}
    losses = losses or set(step_losses(trace.graph))
    over_losses: set[int] = set()
    entries: list[int] = []
    for node in nodes:
        if any(source in over_losses or source in losses for source in node.sources):
            over_losses.add(node.index)
        elif node.scope.step is not None and node.requires_grad:
            entries.append(node.index)
    parts: dict[int, list[Arrived]] = {}
    for start in pull(trace, [Arrived(trace.output, trace.seed)], entries).values():
        parts.setdefault(cast(int, nodes[start.node].scope.step), []).append(start)
    return parts


def triangle(trace: Trace, moments: list[Moment], role: str | None = None) -> Iterator[tuple[int, dict[int, Array]]]:
    """(s, {t: dL_s / d state_t}) for the loss of every time step s: backpropagation through time, taken apart.

    ``role`` is the state's name; None: `Moment.output`.
    """
    role = role or moments[-1].output
    targets = {moment.nodes[role]: moment.time for moment in moments if role in moment.nodes}
    parts = origins(trace)
    for time in _spread(sorted(parts)):
        found = pull(trace, parts[time], targets, through=True)
        yield time, {targets[node]: gradient for node, gradient, _ in found.values()}
