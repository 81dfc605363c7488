"""The origin of a nan or an infinity: the first value or gradient that is not finite although its causes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.recording import Array
from tinygrad_rnn.element_places import first_place, subscript

from .. import style
from .session_data import Origin

if TYPE_CHECKING:
    from .inspection import Inspection


def find(session: Inspection) -> Origin | None:
    """The origin, or None if every number is finite.

    If the loss is not finite the cause is in the forward pass, on a way of such values that leads to the loss: where a
    nan was made, or the infinity it was made of, if an operation made that. An infinity that came in on purpose, such
    as a mask, is to blame only if nothing later is. Otherwise it is the first step back that made something infinite
    or nan of a finite gradient.
    """
    graph, trace = session.graph, session.trace
    if not _finite(graph.nodes[trace.output].value):
        return _forward(session, _cause(graph, graph.nodes[trace.output]))
    for k, step in enumerate(trace.steps, 1):
        name, made = session.shown(step.node), session.expression(step.node)
        what = f"in the walk back {name}" + (f" = {made}" if name != made else "")
        if not _finite(step.gradient):
            how = f"replaced by a {step.replaced}" if step.replaced else "what the walk was started with"
            at = first_place(~np.isfinite(step.gradient))
            text = f"{what} has the gradient {style.number(float(step.gradient[at]))}{subscript(at)}, {how}"
            return Origin(k, step.node, session.shown(step.node), "backward", text)
        for index, sent in enumerate(step.contributions):
            value = trace.contribution(k, index)
            if not _finite(value):
                at = first_place(~np.isfinite(value))
                to = f"{session.shown(sent.target)}{subscript(at)}"
                text = f"{what} received a finite gradient and sent {style.number(float(value[at]))} to {to}"
                text = "; ".join([text, *_ranges(session, graph.nodes[step.node])])
                return Origin(k, step.node, session.shown(step.node), "backward", text)
    return None


def _cause(graph: tg.Graph, node: tg.Node) -> tg.Node:
    """The value to blame for one that is not finite."""
    while _has_nan(node.value):
        before = [graph.nodes[i] for i in node.sources if _has_nan(graph.nodes[i].value)]
        if not before:
            break
        node = min(before, key=lambda each: each.index)
    found, pending, seen = list[tg.Node](), [node], set[int]()
    while pending:  # the infinities that it was made of
        here = pending.pop()
        before = [graph.nodes[i] for i in here.sources if not _finite(graph.nodes[i].value)]
        given = [x for x in here.operands if isinstance(x, float) and not np.isfinite(x)]
        if here.op is not None and not before and not given:
            found.append(here)
        pending += [each for each in before if each.index not in seen]
        seen |= {each.index for each in before}
    if found:
        return min(found, key=lambda each: each.index)
    if _has_nan(node.value):
        return node
    return min((graph.nodes[i] for i in {node.index, *seen}), key=lambda each: each.index)


def _has_nan(array: Array | None) -> bool:
    return array is not None and array.dtype.kind == "f" and bool(np.isnan(array).any())


def _forward(session: Inspection, node: tg.Node) -> Origin:
    assert node.value is not None
    at = first_place(~np.isfinite(node.value))
    name, value = session.shown(node.index), style.number(float(node.value[at]))
    if node.op is None:
        users = (p for p in range(session.first, 0) if node.index in session.graph.nodes[session.node_at(p)].sources)
        text = f"{name} is {session.expression(node.index)} and came in with {name}{subscript(at)} = {value}"
        return Origin(next(users, 0), node.index, name, "forward", text)
    if _has_nan(node.value):
        at = first_place(np.isnan(node.value))
        value = "nan"
    fine = all(_finite(session.graph.nodes[i].value) for i in node.sources)
    what = f"all operands of {session.expression(node.index)} are finite" if fine else "no operand is nan"
    text = f"{name}{subscript(at)} = {value}, and {what}"
    position = session.first + session.forward.index(node.index)
    return Origin(position, node.index, name, "forward", "; ".join([text, *_ranges(session, node)]))


def _ranges(session: Inspection, node: tg.Node) -> list[str]:
    """The range of each operand, which mostly says why."""
    found = []
    for source in list(dict.fromkeys(node.sources))[:3]:
        value = session.graph.nodes[source].value
        if value is not None and value.size:
            low, high = style.number(float(value.min())), style.number(float(value.max()))
            reach = f"is {low}" if low == high else f"goes from {low} to {high}"
            found.append(f"{session.shown(source)} {reach}")
    return found


def _finite(array: Array | None) -> bool:
    return array is None or array.dtype.kind != "f" or bool(np.isfinite(array).all())
