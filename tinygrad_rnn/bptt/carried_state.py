"""What backpropagation through time does to the carried state: Jacobians, highways, origins, cuts.

All of it is read off the trace's graph by walks between chosen nodes; the recorded walk is not touched.

The recurrent Jacobian and its products: Y. Bengio, P. Simard, P. Frasconi (1994), IEEE Trans. Neural Networks 5(2),
157-166; R. Pascanu, T. Mikolov, Y. Bengio (2013), ICML. The constant error carousel: S. Hochreiter,
J. Schmidhuber (1997), Neural Computation 9(8), 1735-1780.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

import tinygrad_rnn as tg

from . import local_rule
from .recording import Array, Trace

Path = tuple[str, ...]
STATES = ("h", "c")
#: Operations by which a state is packed up in one step and unpacked in the next.
HANDED_ON = ("stack", "getitem")
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
    nodes: dict[str, int]  #: {"h": node} or {"h": node, "c": node}


def carried(trace: Trace) -> dict[Path, list[Moment]]:
    """Per recurrent layer its states, in the order they were computed (a reverse layer's last time step first)."""
    found: dict[Path, dict[int, dict[str, int]]] = {}
    for node in trace.graph.nodes:
        step = node.scope.step
        computed = node.op is not None and node.op.name not in HANDED_ON and not node.scope.backward
        if computed and step is not None and node.role in STATES:
            found.setdefault(node.scope.path, {}).setdefault(step, {})[node.role] = node.index  # the last of a step
    return {
        path: sorted((Moment(path, step, nodes) for step, nodes in steps.items()), key=lambda m: max(m.nodes.values()))
        for path, steps in found.items()
    }


# The recurrent Jacobian ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gain:
    """How much one step back in time can stretch a gradient, and how much all of them from the end could."""

    time: int  #: of the later state, from 0
    spectrum: tuple[float, ...]  #: singular values of d s_t / d s_(t-1); s is h, for an LSTM h and c together
    h: float | None  #: of its block d h_t / d h_(t-1)
    bound: float | None  #: for h = tanh or relu(... W h): sigma_max(W) times the largest slope, at least ``sigma``
    product: float | None  #: largest singular value of d s_T / d s_(t-1), the product of all Jacobians from the end
    product_bound: float | None  #: the product of their largest singular values, at least ``product``

    @property
    def sigma(self) -> float | None:
        """The largest singular value; None if no gradient takes this step."""
        return self.spectrum[0] if self.spectrum else None


def gains(trace: Trace, moments: list[Moment]) -> list[Gain]:
    """Singular values of a layer's recurrent Jacobians, by time step; of a batch, its largest."""
    blocks = [_blocks(trace, before, after) for before, after in pairwise(moments)]
    product: Array | None = None
    limit: float | None = 1.0
    rows: list[Gain] = []
    for before, after, block in reversed(list(zip(moments, moments[1:], blocks))):
        spectrum = () if block is None else _spectrum(block)
        h = None
        if block is not None and "h" in after.nodes:
            width = _width(trace, after.nodes["h"])
            h = _sigma(block[:, :width, :width])
        if block is None or (rows and product is None):
            product = None
        else:
            product = block if product is None else _multiplied(product, block)
        limit = limit * spectrum[0] if spectrum and limit is not None else None
        bound = _bound(trace, before, after)
        rows.append(Gain(after.time, spectrum, h, bound, None if product is None else _sigma(product), limit))
    return rows[::-1]


def transfers(trace: Trace, moments: list[Moment]) -> dict[int, dict[int, float]]:
    """{s: {t: largest singular value of d s_s / d s_t}}: how far a nudge to the state of step t can reach."""
    blocks = [_blocks(trace, before, after) for before, after in pairwise(moments)]
    found: dict[int, dict[int, float]] = {}
    for last in _spread(range(len(blocks))):
        row = found.setdefault(moments[last + 1].time, {})
        product: Array | None = None
        for before, block in zip(moments[last::-1], blocks[last::-1]):
            if block is None:
                break
            product = block if product is None else _multiplied(product, block)
            row[before.time] = _sigma(product)
    return found


def _spread(items: Sequence[int]) -> list[int]:
    """All of them, or ``ORIGIN_LIMIT`` evenly spread."""
    if len(items) <= ORIGIN_LIMIT:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, ORIGIN_LIMIT)]


def _multiplied(product: Array, block: Array) -> Array:
    with np.errstate(all="ignore"):
        return product @ block


def _width(trace: Trace, node: int) -> int:
    shape = trace.graph.nodes[node].shape
    return shape[-1] if shape else 1


def _blocks(trace: Trace, before: Moment, after: Moment) -> Array | None:
    """The Jacobian of a batch, (batch, state after, state before); samples do not mix, so one unit serves them all."""
    roles = [role for role in STATES if role in after.nodes and role in before.nodes]
    nodes = trace.graph.nodes
    shape = nodes[after.nodes[roles[0]]].shape if roles else ()
    if not roles or 0 in shape[-1:] or any(nodes[m.nodes[r]].shape != shape for m in (before, after) for r in roles):
        return None
    width, batch = (shape[-1] if shape else 1), int(np.prod(shape[:-1]))
    targets = [before.nodes[role] for role in roles]
    rows = []
    for role in roles:
        node = after.nodes[role]
        units = np.zeros((width, *shape), nodes[node].dtype)
        for unit in range(width):
            units[unit, ..., unit] = 1
        rows.append(pull(trace, [Arrived(node, units)], targets, many=True))
    if not any(rows):
        return None
    result = np.zeros((batch, width * len(roles), width * len(roles)))
    for i, found in enumerate(rows):
        for j, target in enumerate(targets):
            if target in found:
                block = found[target].gradient.reshape(width, batch, width).swapaxes(0, 1)
                result[:, i * width : (i + 1) * width, j * width : (j + 1) * width] = block
    return result


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
    h = nodes[after.nodes.get("h", max(after.nodes.values()))]
    if h.op is None or not h.op.elementwise or len(h.sources) != 1 or "h" not in before.nodes:
        return None
    a = nodes[h.sources[0]]
    terms = [nodes[s] for s in a.sources] if a.op is not None and a.op.name == "add" else [a]
    depending = {before.nodes["h"]}
    for node in nodes[before.nodes["h"] + 1 : a.index + 1]:
        if not depending.isdisjoint(node.sources):
            depending.add(node.index)
    mine = [x for x in terms if x.index in depending]
    if len(mine) != 1 or mine[0].op is None or not mine[0].op.is_product or mine[0].sources[0] != before.nodes["h"]:
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


def split(trace: Trace, node: int, k: int | None = None) -> Split:
    """What had arrived at state ``node`` after step ``k``, by way.

    The highway of an LSTM is ``f * dc`` from the next cell state, of a GRU ``z * dh`` from the next state: an
    elementwise product with that gate. ``through the next step`` is the rest of what came from another time step, by
    its gates. The remainder came through the step's own h (an LSTM's c) or from its output (h).
    """
    state = trace.graph.nodes[node]
    own = "through h" if state.role == "c" else "from its output"
    ways: dict[str, Array | None] = {"highway": None, "through the next step": None, own: None}
    possible = {own}
    last = len(trace) if k is None else k
    for step, way, value in _ways(trace, state, node):
        way = way or own
        possible.add(way)
        if step <= last:
            ways[way] = total(ways[way], value)
    if state.role == "c":
        possible.add("highway")  # an LSTM's c has one; if nothing can come along it, that is worth seeing
    return Split(node, {way: part for way, part in ways.items() if way in possible})


def _ways(trace: Trace, state: tg.Node, node: int) -> Iterator[tuple[int, str | None, Array]]:
    """(step of arrival, way, value) of what arrives at ``node``, seen through the packing of states."""
    for arrival in trace.arrivals.get(node, ()):
        if arrival.contribution is None:
            continue
        sender = trace.graph.nodes[trace.steps[arrival.step - 1].node]
        if sender.op is not None and sender.op.name in HANDED_ON and sender.scope.step is not None:
            for _, way, value in _ways(trace, state, sender.index):
                part = trace.pulled(sender.index, arrival.contribution.slot, value)
                if part.any():
                    yield arrival.step, way, part
        else:
            yield arrival.step, _way(trace, state, sender), trace.contribution(arrival.step, arrival.slot)


def _way(trace: Trace, state: tg.Node, sender: tg.Node) -> str | None:
    """The way a contribution came from another time step; None from its own."""
    path, time = state.scope.path, state.scope.step
    if sender.scope.step in (None, time) or sender.scope.path[: len(path)] != path:
        return None
    gates = {trace.graph.nodes[source].role for source in sender.sources}
    if sender.op is not None and sender.op.name == "mul" and gates & {"f", "z"}:
        return "highway"
    return "through the next step"


def cuts(trace: Trace) -> list[tuple[int, int]]:
    """(constant, its consumer) wherever a cell past the first time step reads a state no gradient flows through.

    Such a leaf is a carry that was detached, or that somebody forgot to hand on. An initial state that is looked at
    once more at a later step, as in a line of delays, is neither.
    """
    first: dict[Path, int] = {path: moments[0].time for path, moments in carried(trace).items()}
    nodes, found = trace.graph.nodes, []

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
                and leaf.role in STATES
            ):
                found.append((source, node.index))
    return found


# Loss by origin ------------------------------------------------------------------------------------------


def origins(trace: Trace) -> dict[int, list[Arrived]]:
    """{time step: the gradients with which that step's part of the loss starts}.

    A part starts where the walk, coming from the loss, first enters a time step: at the step's own loss if it has
    one, past the sum of them. By linearity the gradients of the parts add up to the whole.
    """
    nodes = trace.graph.nodes
    over_losses: set[int] = set()
    entries: list[int] = []
    for node in nodes:
        if any(source in over_losses or _is_loss(nodes[source]) for source in node.sources):
            over_losses.add(node.index)
        elif node.scope.step is not None and node.requires_grad:
            entries.append(node.index)
    parts: dict[int, list[Arrived]] = {}
    for start in pull(trace, [Arrived(trace.output, trace.seed)], entries).values():
        parts.setdefault(cast(int, nodes[start.node].scope.step), []).append(start)
    return parts


def _is_loss(node: tg.Node) -> bool:
    return node.role == "loss" and node.scope.step is not None


def triangle(trace: Trace, moments: list[Moment], role: str = "h") -> Iterator[tuple[int, dict[int, Array]]]:
    """(s, {t: dL_s / d state_t}) for the loss of every time step s: backpropagation through time, taken apart."""
    targets = {moment.nodes[role]: moment.time for moment in moments if role in moment.nodes}
    parts = origins(trace)
    for time in _spread(sorted(parts)):
        found = pull(trace, parts[time], targets, through=True)
        yield time, {targets[node]: gradient for node, gradient, _ in found.values()}
