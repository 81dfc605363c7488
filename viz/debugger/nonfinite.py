"""Where a nan or an infinity came from: the first value or gradient that is not finite although its causes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.recording import Array

from .. import style
from .session_data import Origin

if TYPE_CHECKING:
    from .inspection import Inspection


def find(session: Inspection) -> Origin | None:
    """The origin, or None if every number is finite.

    If the loss is not finite the cause is in the forward pass: the first value that is not. Otherwise it is the first
    step back that made something infinite or nan of a finite gradient; a value of the forward pass that is infinite
    on purpose, such as a mask, is then not to blame.
    """
    graph, trace = session.graph, session.trace
    if not _finite(graph.nodes[trace.output].value):
        return _forward(session, next(node for node in graph.nodes if not _finite(node.value)))
    for k, step in enumerate(trace.steps, 1):
        name, made = session.shown(step.node), session.expression(step.node)
        what = f"in the walk back {name}" + (f" = {made}" if name != made else "")
        if not _finite(step.gradient):
            how = f"replaced by a {step.replaced}" if step.replaced else "what the walk was started with"
            at = _place(step.gradient)
            text = f"{what} has the gradient {style.number(float(step.gradient[at]))}{_index(at)}, {how}"
            return Origin(k, step.node, session.shown(step.node), "backward", text)
        for index, sent in enumerate(step.contributions):
            value = trace.contribution(k, index)
            if not _finite(value):
                at = _place(value)
                to = f"{session.shown(sent.target)}{_index(at)}"
                text = f"{what} received a finite gradient and sent {style.number(float(value[at]))} to {to}"
                text = "; ".join([text, *_ranges(session, graph.nodes[step.node])])
                return Origin(k, step.node, session.shown(step.node), "backward", text)
    return None


def _forward(session: Inspection, node: tg.Node) -> Origin:
    assert node.value is not None
    at = _place(node.value)
    name, value = session.shown(node.index), style.number(float(node.value[at]))
    if node.op is None:
        users = (p for p in range(session.first, 0) if node.index in session.graph.nodes[session.node_at(p)].sources)
        text = f"{name} is {session.expression(node.index)} and came in with {name}{_index(at)} = {value}"
        return Origin(next(users, 0), node.index, name, "forward", text)
    text = f"{name}{_index(at)} = {value}, and all operands of {session.expression(node.index)} are finite"
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


def _place(array: Array) -> tuple[int, ...]:
    """Where the first element that is not finite is."""
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


def _index(at: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, at))}]" if at else ""
