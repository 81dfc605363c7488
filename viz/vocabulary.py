"""Names wherever things are shown: the lecture's letters first, the parameters' own names second.

The input is x, the states are h and c, the scores are y, the loss is L; matrices are called by what they lead from and
to, W_xh, W_hh, W_hy; ∂L/∂h is a gradient, and a time step's share of a shared weight's gradient is the part of the
whole gradient that it makes up, so that all shares add up to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.state_rows import state_rows

#: The letters of what has one in the lecture, by role; other roles are letters themselves.
LETTERS: Mapping[str, str] = {"logits": "y", "loss": "L"}
#: Gates, in the order they are taught in.
GATES: Mapping[str, int] = {name: rank for rank, name in enumerate("ifogrzn")}


def letter(role: str) -> str:
    """The lecture's letter for values of a role.

    >>> letter("logits"), letter("h")
    ('y', 'h')
    """
    return LETTERS.get(role, role)


def unsaid_states(graph: tg.Graph) -> dict[int, str]:
    """By node what a state is called whose name nobody said, h if its cell has none, else h′, h″; and each first state
    that is a constant without a name."""
    nodes, found = graph.nodes, dict[int, str]()
    for row in state_rows(graph):
        first = [n for n in row.initial if nodes[n].op is None and not nodes[n].name and n not in row.loop.weights]
        found |= dict.fromkeys([*(n for n in row.nodes if n is not None and not row.is_named), *first], row.name)
    return found


def weights(graph: tg.Graph) -> dict[int, str]:
    """By parameter what a lecture calls it: W_xh, W_hh, W_hy, and b_xh, b_hh, b_hy for what is added to their products.

    Only where the letter is one parameter's alone; of several layers' the parameters' own names tell more. Those that
    have no name are numbered as they were made: W1, W2.

    >>> cell = tg.nn.LSTMCell(2, 3)
    >>> h, c = cell(tg.nn.labelled(tg.ones(1, 2), "x"))
    >>> [name for _, name in sorted(weights(tg.Graph(h)).items())]
    ['W_xh', 'W_hh', 'b_xh', 'b_hh']
    """
    states = state_letters(graph)
    found = {node.index: weight(graph, node, states) for node in graph.nodes if node.is_parameter}
    once = {name for name, count in Counter(found.values()).items() if count == 1}
    for use in graph.nodes:
        if use.op is not None and use.op.name == "linear" and len(use.sources) == 3:
            _, matrix, bias = use.sources
            if found.get(bias) == "b" and found.get(matrix) in once - {"W"}:
                found[bias] = found[matrix].replace("W", "b", 1)
    often = Counter(found.values())
    nameless = sorted((n for n in map(graph.nodes.__getitem__, found) if not n.name), key=lambda n: n.serial)
    numbers = {
        n.index: sum(found[m.index] == found[n.index] for m in nameless[: k + 1]) for k, n in enumerate(nameless)
    }
    told = {i: name + str(numbers.get(i, "")) * (often[name] > 1) for i, name in found.items()}
    return {i: name for i, name in told.items() if i in numbers or (often[found[i]] == 1 and "_" in name)}


def state_letters(graph: tg.Graph) -> dict[int, str]:
    """By state the letter in W_xh and W_hh: its own if it is all that its cell carries, else h; "" if it has none."""
    letters = {node.index: "h" for node in graph.nodes if node.role == "h"}
    rows = state_rows(graph)
    alone = Counter(id(row.loop) for row in rows)
    for row in rows:
        letter = row.name if len(row.name) == 1 and (row.name == "h" or alone[id(row.loop)] == 1) else ""
        for n in (*row.nodes, *row.initial):
            if n is not None:
                letters.setdefault(n, letter)
    return letters


def weight(graph: tg.Graph, node: tg.Node, states: Mapping[int, str]) -> str:
    """A lecture's name of a parameter: b, or by what it is multiplied with, W_xh, W_hh or W_hy, else W.

    ``states``: see `state_letters`.
    """
    if len(node.shape) < 2:
        return "b"
    others = set[str | None]()
    for use in (graph.nodes[i] for i in graph.consumers[node.index]):
        if use.op is not None and not use.scope.backward and use.op.name in ("matmul", "linear"):
            others |= {_letter(graph, i, states) for i in use.sources[:2] if i != node.index}
    letter, reached = others.pop() if len(others) == 1 else None, _reached_state(graph, node.index, states)
    return f"W_{letter}{reached}" if letter and reached else "W"


def _letter(graph: tg.Graph, index: int, states: Mapping[int, str]) -> str | None:
    """The role of a matrix's other factor, whatever moved it there; data without a label is the input."""
    node = graph.nodes[index]
    while node.index not in states and not node.role and _moves(node):
        node = graph.nodes[node.sources[0]]
    known = states.get(node.index)
    return known or ("x" if node.role == "x" or not (node.role or node.requires_grad) else None)


def _moves(node: tg.Node) -> bool:
    return node.op is not None and node.op.kind == "movement" and bool(node.sources)


def _reached_state(graph: tg.Graph, index: int, states: Mapping[int, str]) -> str:
    """The letter of the later state that is made from it, or h if what it is used for next is; y of none."""
    uses = [use for use in graph.consumers[index] if not graph.nodes[use].scope.backward]
    found, pending = set[int](), [(use, use) for use in uses]
    while pending:
        start, use = pending.pop()
        if use in found or graph.nodes[use].scope.backward:
            continue
        if use in states or (use != start and use in uses):
            return states.get(use, "h")
        found.add(use)
        pending += [(start, user) for user in graph.consumers[use]]
    return "y"
