"""One sentence about each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.local_rule import diagonal
from tinygrad_rnn.bptt.statistics import measure, ratio

from .. import style

if TYPE_CHECKING:
    from .inspection import Inspection

ROLES = {
    "x": "the input",
    "h": "the hidden state",
    "c": "the cell state",
    "i": "the input gate",
    "f": "the forget gate",
    "g": "the candidate",
    "o": "the output gate",
    "r": "the reset gate",
    "z": "the update gate",
    "n": "the candidate",
    "logits": "the score vector",
}


def called(session: Inspection, index: int, user: int | None = None) -> str:
    """A node with what it is, to one that reads it: ``the forget gate f_3``."""
    name, said = session.shown(index, user), session.names.graph.nodes[index].role or ""
    if index == session.trace.output:
        return f"the loss {name}"
    role = ROLES.get(said if name == session.shown(index) else name[0])
    return f"{role} {name}" if role else name


def sentence(session: Inspection, position: int) -> str:
    """The moment in plain words."""
    index = session.node_at(position)
    node = session.graph.nodes[index]
    when = "" if node.scope.step is None else f"At t={node.scope.step + 1} "
    who = called(session, index)
    if position < 0:
        return _forward(session, node, when, who)
    if position == 0:
        seed = session.trace.seed
        value = f"is {_number(node.value)}" if seed.size == 1 else f"has {seed.size} elements"
        start = _number(seed) if seed.size == 1 else "it was given"
        return f"The forward pass is over: {who} {value}. The walk back starts here with the gradient {start}."
    step = session.trace.steps[position - 1]
    came = "" if step.replaced is None else f" (replaced by a {step.replaced})"
    if not step.contributions:
        count, leaf = (
            len(session.trace.arrivals[index]),
            session.names.both(index) if who == session.shown(index) else who,
        )
        what = f"{count} contributions have" if count > 1 else "only contribution has"
        first = f"The {what} arrived at {leaf}{came}" if count == 1 else f"All {what} arrived at {leaf}{came}"
        norm = style.number(measure(step.gradient).norm)
        return f"{first}: its gradient is finished, norm {norm}, and flows no further."
    names = [called(session, c.target, index) for c in step.contributions]
    targets = _and([name + (" (twice)" if names.count(name) > 1 else "") for name in dict.fromkeys(names)])
    assert node.op is not None
    how = node.op.sentence
    if (highway := _highway(session, position)) is not None:
        how = highway
    slope = _slope(session, node) if "{slope}" in how else ""
    text = f"{when}{who}{came} {how.format(targets=targets, slope=slope, y=session.shown(index))}"
    return f"{text[:1].upper()}{text[1:]}{_change(session, position)}."


def what_if(session: Inspection) -> str:
    """The supposition under which the shown walk goes; "" of a walk as it was recorded."""
    supposed = []
    for step in session.trace.steps:
        if step.replaced == "what-if":
            same = step.gradient.size and (step.gradient == step.gradient.flat[0]).all()
            value = _number(step.gradient) if same else f"another, of norm {style.number(measure(step.gradient).norm)}"
            supposed.append(f"the gradient of {session.shown(step.node)} were {value}")
    return f"What if {_and(supposed)}? This is not the walk that was recorded." if supposed else ""


def _forward(session: Inspection, node: tg.Node, when: str, who: str) -> str:
    found = measure(np.asarray(node.value, np.float64))
    operands = [session.shown(s, node.index) for s in dict.fromkeys(node.sources)]
    text = f"{when}{who} is computed from {_and(operands) or 'nothing'}"
    if found.size == 1:
        value = f"it is {_number(node.value)}"
    else:
        value = f"{found.size} values"
        if not found.nan:
            value += f" from {style.number(found.smallest)} to {style.number(found.largest)}"
    counts = (found.nan, "nan"), (found.infinite, "infinite")
    bad = "" if found.size == 1 else "".join(f", {count} of them {what}" for count, what in counts if count)
    return f"{text[:1].upper()}{text[1:]}: {value}{bad}."


def _slope(session: Inspection, node: tg.Node) -> str:
    slope = diagonal(session.trace, node, 0)
    if not slope.size:
        return ""
    low, high = style.number(float(slope.min())), style.number(float(slope.max()))
    return f" (here {low})" if low == high else f" (here {low} to {high})"


def _highway(session: Inspection, position: int) -> str | None:
    """The product that carries a state's gradient to the time step before."""
    sent = session.trace.steps[position - 1].contributions
    nodes = session.graph.nodes
    gate = next((nodes[c.target] for c in sent if nodes[c.target].role in ("f", "z")), None)
    state = next((nodes[c.target] for c in sent if nodes[c.target].role in ("c", "h")), None)
    if gate is None or state is None or gate.value is None or not gate.value.size:
        return None
    low, high = style.number(float(gate.value.min())), style.number(float(gate.value.max()))
    to = called(session, state.index, session.node_at(position))
    return (
        f"carries its gradient along the highway to {to}, times {called(session, gate.index)}"
        f" (here {low} to {high}), and tells the gate how much its being open mattered"
    )


def _change(session: Inspection, position: int) -> str:
    step = session.trace.steps[position - 1]
    before = measure(step.gradient)
    sent = [measure(session.trace.contribution(position, i)) for i in range(len(step.contributions))]
    if before.finite and not all(m.finite for m in sent):
        return "; what it received is finite, and what it sends is not"
    if not before.finite:
        return "; what it received is not finite already"
    if len(sent) == 1:
        change = ratio(sent[0].norm, before.norm)
        if change is not None and not 0.99 < change < 1.01:
            verb = "shrinks" if change < 1 else "grows"
            return f"; the norm {verb} from {style.number(before.norm)} to {style.number(sent[0].norm)}"
    return ""


def _and(items: list[str], limit: int = 4) -> str:
    shown = items if len(items) <= limit else [*items[: limit - 1], f"{len(items) - limit + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _number(value: object) -> str:
    return style.number(float(np.asarray(value).reshape(-1)[0]))
