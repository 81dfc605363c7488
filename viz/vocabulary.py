"""What things are called wherever they are shown: the lecture's letters first, the parameters' own names second.

The input is x, the states are h and c, the scores are y, the loss is L; matrices are called by what they lead from and
to, W_xh, W_hh, W_hy; ∂L/∂h is a gradient, and a time step's share of a shared weight's gradient is the part of the
whole gradient that it makes up, so that all shares add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import tinygrad_rnn as tg

#: The letters of what has one in the lecture, by role; other roles are letters themselves.
LETTERS: Mapping[str, str] = {"logits": "y", "loss": "L"}


def letter(role: str) -> str:
    """What the lecture calls values of a role.

    >>> letter("logits"), letter("h")
    ('y', 'h')
    """
    return LETTERS.get(role, role)


def weight(graph: tg.Graph, node: tg.Node) -> str:
    """What a lecture calls a parameter without a name: b, or by what it is multiplied with, W_xh, W_hh or W_hy."""
    if len(node.shape) < 2:
        return "b"
    others = set[str | None]()
    for use in (graph.nodes[i] for i in graph.consumers[node.index]):
        if use.op is not None and use.op.name in ("matmul", "linear"):
            others |= {graph.nodes[i].role for i in use.sources[:2] if i != node.index}
    role = others.pop() if len(others) == 1 else None
    return f"W_{role}{'h' if _reaches_state(graph, node.index) else 'y'}" if role in ("x", "h") else "W"


def _reaches_state(graph: tg.Graph, index: int) -> bool:
    """Whether a later state is made from it."""
    found, pending = set[int](), list(graph.consumers[index])
    while pending:
        use = pending.pop()
        if use not in found and not graph.nodes[use].scope.backward:
            if graph.nodes[use].role == "h":
                return True
            found.add(use)
            pending += graph.consumers[use]
    return False
