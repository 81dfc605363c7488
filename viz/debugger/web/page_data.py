"""The data of the page: the event log, with every array written once.

The page adds contributions up by itself, in the walk's order and in its precision, so its numbers are the engine's.
Arrays are base64 of their own bytes; of a large one only a corner is sent, with the measures of the whole. A long
walk is collapsed: the page stops at carried states, losses and weights only, and is told the sum of what arrived
in between.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import primitives as P
from tinygrad_rnn.bptt import carried_state, local_rule
from tinygrad_rnn.bptt.recording import Array
from tinygrad_rnn.bptt.statistics import measure, plain
from tinygrad_rnn.graph import Ref
from tinygrad_rnn.kept_walk import Sent
from tinygrad_rnn.primitives.missing_primitives import Absent

from ... import style
from ...mathml import mathml
from .. import rule_formulas
from ..inspection import Inspection
from ..session_data import data
from ..step_sentences import what_if

#: A page stops at every node of graphs up to this size; beyond it, it collapses by time step.
NODE_LIMIT = 3000
#: Characters of arrays for each node, and at least for all together.
ROOM_PER_NODE, ROOM = 600, 150_000
#: Products, whose rules are products themselves: the page knows of each what is transposed there.
PRODUCTS = {P.matmul: "matmul", P.linear: "linear"}

#: The sides of the corner that is sent of a large array, from the most to the least.
CORNERS = (24, 16, 12, 8, 6, 4, 2)
#: Beyond these the page leaves out the Jacobians (width³ × time steps), the triangle (a node costs as much as so many
#: multiplications) and the checks (elements, multiplications).
GAIN_LIMIT, TRIANGLE_LIMIT, CHECK_LIMIT, WORK_LIMIT = 30_000_000, 20_000_000_000, 80_000, 1_000_000_000
NODE_WORK = 30_000
#: How many elements of an operand the page's check compares: the most that keeps within these limits.
COMPARED = (16, 8, 4, 2, 1)
NAME_LIMIT = 60


class Arrays:
    """Arrays by number; equal ones share it."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.entries: list[
            list[Any]
        ] = []  #: [shape, dtype, base64] and of a corner also its shape and the whole's measures
        self._known: dict[tuple[Any, ...], int] = {}

    def __call__(self, array: Array | None) -> int | None:
        """The number of an array."""
        if array is None:
            return None
        array = np.asarray(array)
        kept = array.astype("<f4" if array.dtype == np.float32 else "<f8")
        corner = kept.reshape(math.prod(kept.shape[:-1]), kept.shape[-1]) if kept.ndim > 2 else np.atleast_1d(kept)
        corner = corner[: self.side, : self.side] if corner.ndim == 2 else corner[: self.side**2]
        raw = corner.tobytes()
        whole = None if corner.size == kept.size else [plain(x) for x in astuple(measure(kept))]
        key = raw, kept.dtype, kept.shape, str(whole)
        if key not in self._known:
            self._known[key] = len(self.entries)
            entry = [list(kept.shape), kept.dtype.char, base64.b64encode(raw).decode()]
            self.entries.append(entry if whole is None else [*entry, list(corner.shape), whole])
        return self._known[key]


class _Strings:
    """Texts by number."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self._known: dict[str, int] = {}

    def __call__(self, text: str | None) -> int:
        text = text or ""
        if text not in self._known:
            self._known[text] = len(self.entries)
            self.entries.append(style.shown(text, NAME_LIMIT))
        return self._known[text]


def describe(session: Inspection) -> dict[str, Any]:
    """Everything the page shows, as JSON-able data."""
    stops = _stops(session)
    return _Log(session, stops, Arrays(_side(session, stops))).data()


def _side(session: Inspection, stops: Sequence[int]) -> int:
    """The side of the corners with which all arrays together fit into the room there is."""
    nodes = session.graph.nodes
    shapes = Counter(nodes[session.node_at(p)].shape for p in stops)
    shapes.update(nodes[c.target].shape for p in stops if p > 0 for c in session.trace.steps[p - 1].contributions)
    itemsize = nodes[session.trace.output].dtype.itemsize
    room = max(ROOM, ROOM_PER_NODE * len(nodes))
    fitting = (s for s in CORNERS if sum(n * _space(shape, s, itemsize) for shape, n in shapes.items()) <= room)
    return next(fitting, CORNERS[-1])


def _space(shape: tuple[int, ...], side: int, itemsize: int) -> int:
    """The number of characters that an array takes."""
    size, columns = math.prod(shape), shape[-1] if shape else 1
    kept = min(size // max(columns, 1), side) * min(columns, side) if len(shape) > 1 else min(size, side**2)
    return kept * itemsize * 4 // 3 + (24 if kept == size else 180)


def _work(graph: tg.Graph, index: int) -> int:
    """About how many multiplications it takes to compute a node."""
    node = graph.nodes[index]
    product = node.op is not None and node.op.is_product
    first = graph.nodes[node.sources[0]].shape if product else ()
    return math.prod(node.shape) * (first[-1] if first else 1)


def _stops(session: Inspection) -> list[int]:
    """The positions the page can stop at."""
    everything = range(session.first, session.last + 1)
    nodes = session.graph.nodes
    if len(nodes) <= NODE_LIMIT:
        return list(everything)
    found: list[int] = []
    states = set(session.states)
    losses = {node.index for node in nodes if node.role == "loss"}
    outputs = {moment.nodes[moment.output] for moment in session.states.values()}
    for wanted in (states | losses, outputs):
        found = [p for p in everything if session.node_at(p) in wanted] or list(everything)
        if len(found) <= NODE_LIMIT:
            break
    found = found[:: -(-len(found) // NODE_LIMIT)]
    leaves = [p for p in range(1, session.last + 1) if nodes[session.node_at(p)].op is None]
    return sorted({*found, *leaves[-NODE_LIMIT // 10 :], session.first, 0, session.last})


class _Log:
    """Collects the data; ``arrays`` says how much of an array is sent."""

    def __init__(self, session: Inspection, stops: Sequence[int], arrays: Arrays) -> None:
        self.session, self.trace, self.graph, self.stops = session, session.trace, session.graph, stops
        self.arrays, self.strings = arrays, _Strings()
        self.rules: dict[str, int] = {}
        self.formulas: list[str] = []
        self.shown = {session.node_at(p) for p in stops}
        self.nodes = [self.node(node) for node in self.graph.nodes]
        self.steps = {p: self.step(p) for p in stops if p > 0}
        self.brought = self.sums()
        self.splits = {node: self.split(node) for node in sorted(self.shown) if self.is_carried(node)}

    def data(self) -> dict[str, Any]:
        """The collected data and what belongs to the whole walk."""
        session = self.session
        origin = session.origin()
        found = {
            "first": session.first,
            "last": session.last,
            "times": len(self.graph.steps),
            "nodeCount": len(self.graph),
            "output": self.trace.output,
            "seed": self.arrays(self.trace.seed),
            "every": self.trace.every,
            "order": [step.node for step in self.trace.steps],
            "stops": [self.stops[0], self.stops[-1]] if self.is_whole else self.stops,
            "whole": self.is_whole,
            "nodes": self.nodes,
            "forward": session.forward,
            "steps": self.steps,
            "brought": self.brought,
            "formulas": self.formulas,
            "own": self.own(),
            "read": {f"{x} {reader}": name.text for (x, reader), name in self.session.names.as_read.items()},
            "sentences": [session.sentence(p) for p in self.stops],
            "splits": self.splits,
            "layers": [self.layer(path) for path in session.moments],
            "ledgers": [self.ledger(node.index) for node in self.graph.parameters if node.index in self.trace.turn],
            "checks": self.checks(),
            "cuts": self.cuts(),
            "absent": self.absent(),
            "whatIf": what_if(session),
            "origin": None if origin is None else [origin.position, origin.phase, origin.explanation],
            "strings": self.strings.entries,
            "arrays": self.arrays.entries,
        }
        result: dict[str, Any] = data(found)
        return result

    @property
    def is_whole(self) -> bool:
        return len(self.stops) == self.session.last - self.session.first + 1

    def node(self, node: tg.Node) -> list[Any]:
        """[name, op, operands, t, layer, part, role, line, dtype, shape, value, saturated, requires_grad]"""
        operands = [x.index if isinstance(x, Ref) else style.number(float(x)) for x in node.operands[:6]]
        names, kept = self.strings, self.is_whole or node.index in self.shown or node.is_parameter
        return [
            self.session.shown(node.index),
            names(node.op.name) if node.op else None,
            operands + (["…"] if len(node.operands) > 6 else []),
            0 if node.scope.step is None else node.scope.step + 1,
            names(".".join(node.scope.path)),
            names(node.scope.part),
            names(node.role),
            names(self.session.site(node.index)),
            names(str(node.dtype)),
            node.shape,
            self.arrays(node.value) if kept else None,
            local_rule.saturated(self.trace, node),
            int(node.requires_grad),
        ]

    def step(self, k: int) -> list[Any]:
        """[node, gradient, what was sent, what replaced the gradient]"""
        step = self.trace.steps[k - 1]
        sent = [self.sent(k, index) for index in range(len(step.contributions))]
        return [step.node, self.arrays(step.gradient), sent, step.replaced]

    def sent(self, k: int, index: int) -> list[Any]:
        """[operand, target, value, formula, kind of factor, factor], then what the page cannot add up by itself: the
        norm of the target's gradient then, if it has only a corner, and that gradient, if rows were added in place."""
        step = self.trace.steps[k - 1]
        sent, node = step.contributions[index], self.graph.nodes[step.node]
        kind, factor = self.factor(node, sent.slot)
        number = self.arrays(self.trace.contribution(k, index))
        assert number is not None
        entry = [sent.slot, sent.target, number, self.formula(node, sent), kind, self.arrays(factor)]
        is_corner = len(self.arrays.entries[number]) > 3
        if is_corner or sent.value is None:
            after = self.session.flows(k)[index].after
            entry.append(measure(after).norm if is_corner else None)
            entry += [self.arrays(after)] if sent.value is None else []
        return entry

    def factor(self, node: tg.Node, slot: int) -> tuple[str, Array | None]:
        """The factor of the upstream gradient: diagonal, Jacobian, or the other operand of a product that is named."""
        assert node.op is not None
        operands = self.trace.operands(node.index)
        if node.op.elementwise:
            return "diagonal", local_rule.diagonal(self.trace, node, slot)
        if node.op in PRODUCTS and slot < 2 and not rule_formulas.is_edited(node):
            return PRODUCTS[node.op], np.asarray(operands[1 - slot])
        entries = int(np.prod(node.shape)) * int(np.size(operands[slot]))
        if entries > self.arrays.side**2 or isinstance(node.op, Absent):
            return "none", None
        return "jacobian", local_rule.jacobian(self.trace, node.index, slot)

    def formula(self, node: tg.Node, sent: Sent) -> int:
        """The number of a rule's formula, which has places for names."""
        template = rule_formulas.template(node, sent.slot, len(self.trace.arrivals[sent.target]) > 1)
        if template not in self.rules:
            self.rules[template] = len(self.formulas)  # the page puts the names in
            self.formulas.append(mathml(template))
        return self.rules[template]

    def own(self) -> dict[int, str]:
        """The parameters' own names, where a letter stands for them."""
        names = self.session.names
        return {
            node.index: names[node.index]
            for node in self.graph.parameters
            if names[node.index] != names.shown[node.index]
        }

    def sums(self) -> list[list[int | None]]:
        """[target, step, partial sum] where what arrived cannot be added up from the steps that are sent."""
        found = []
        for target in sorted(self.shown.union(sent[1] for step in self.steps.values() for sent in step[2])):
            events = self.trace.arrivals.get(target, ())
            for i, event in enumerate(events):
                if event.step and (event.contribution is None or event.step not in self.steps):
                    found.append([target, event.step, self.arrays(self.trace.summed(target, i + 1))])
        return found

    def is_carried(self, node: int) -> bool:
        """Whether it is a state with a gradient that can be split by ways."""
        return node in self.session.states and node in self.trace.turn

    def split(self, node: int) -> list[list[Any]]:
        """[step, {way: what had come along it then}] whenever something arrived."""
        steps = dict.fromkeys(event.step for event in self.trace.arrivals[node])
        ways = [(k, carried_state.split(self.trace, self.session.states, node, k).ways) for k in steps]
        return [[k, {way: self.arrays(part) for way, part in found.items()}] for k, found in ways]

    def layer(self, path: carried_state.Path) -> dict[str, Any]:
        """The data of a recurrent layer: its states by time, its Jacobians, its triangle, its gates."""
        session, moments = self.session, self.session.moments[path]
        states = len(carried_state.together(session.trace, moments)[0].nodes)
        rows = [row for row in session.state_norms(0) if row.layer == ".".join(path)]
        width = max(self.graph.nodes[node].shape[-1:] or (1,) for m in moments for node in m.nodes.values())[0]
        small = not self.absent() and (width * states) ** 3 * len(moments) <= GAIN_LIMIT
        work = sum(NODE_WORK + _work(self.graph, step.node) for step in self.trace.steps)
        drawn = not self.absent() and work * min(len(self.graph.steps), carried_state.ORIGIN_LIMIT) <= TRIANGLE_LIMIT
        return {
            "name": style.shown(".".join(path), NAME_LIMIT),
            "joint": states > 1,
            "state": moments[-1].output,
            "states": [[row.time, row.role, row.node] for row in rows if row.node in self.shown],
            "gates": sorted({row.time: row.saturated for row in rows}.items()),
            "gains": [[g.time + 1, g.sigma, g.h, g.bound, g.product, g.product_bound] for g in session.gains(path)]
            if small
            else None,
            "triangle": session.triangle(path) if drawn else None,
        }

    def ledger(self, node: int) -> dict[str, Any]:
        """A parameter's finished ledger."""
        found = self.session.ledger(node, self.session.last)
        rows = [[r.time, r.label, r.uses, r.step, r.norm, r.share, r.running] for r in found.rows]
        return {"node": node, "total": found.total, "rows": rows}

    def checks(self) -> dict[int, list[list[Any]]] | None:
        """{step: [error, elements compared, passed, method] for each thing it sent}; None if that is too much."""
        nodes = self.graph.nodes
        targets = [(step[0], math.prod(nodes[s[1]].shape)) for step in self.steps.values() for s in step[2]]
        for compared in COMPARED:
            counts = [min(size, compared) for _, size in targets]
            work = sum(count * _work(self.graph, sender) for count, (sender, _) in zip(counts, targets))
            if sum(counts) <= CHECK_LIMIT and work <= WORK_LIMIT:
                break
        else:
            return None
        known = (k for k, step in self.steps.items() if step[2] and not isinstance(nodes[step[0]].op, Absent))
        found = {k: local_rule.check(self.trace, k, compared) for k in known}
        return {
            k: [[float(f"{c.error:.2g}"), c.compared, c.passed, c.method] for c in checks]
            for k, checks in found.items()
        }

    def absent(self) -> str:
        """The message where a rule is wanted that is not in this process; "" if all are there."""
        found = (node.op.missing for node in self.graph.nodes if isinstance(node.op, Absent))
        return style.shown(next(found, ""), 2 * NAME_LIMIT)

    def cuts(self) -> list[list[Any]]:
        """[consumer, line] of states that were cut out of the graph."""
        nodes = self.graph.nodes
        return [[consumer, self.strings(nodes[constant].site)] for constant, consumer in self.session.cuts()]
