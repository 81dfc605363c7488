"""Values that a network carries from one time step to the next, and their names: found without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..graph import Graph, Node
from ..recurrence.repeats import Recurrence, Row, find

#: Operations by which a state is packed up in one step and unpacked in the next.
HANDED_ON = ("stack", "getitem")


class StateRow(NamedTuple):
    """One state through all time steps."""

    name: str  #: as the program calls it; where it does not, h, or if its cell has an h, h′, h″
    is_named: bool  #: whether the program does
    path: tuple[str, ...]  #: the scope that all of it is in
    nodes: tuple[int | None, ...]  #: by repetition; None where it is not computed
    initial: tuple[int, ...]  #: what stands in for it before it was computed
    loop: Recurrence


def state_rows(graph: Graph) -> list[StateRow]:
    """Every state of every recurrence, in the order in which the recurrences begin.

    >>> import tinygrad_rnn as tg
    >>> w, h, m = tg.ones(2, 2).requires_grad_(), tg.zeros(1, 2), tg.zeros(1, 2)
    >>> for t in range(3):
    ...     h, m = tg.tanh(h @ w + m), 0.9 * m + h
    >>> [row.name for row in state_rows(tg.Graph((h + m).sum()))]
    ['h', 'h′']
    """
    return [state for loop in find(graph) for state in _states(graph, loop)]


def _states(graph: Graph, loop: Recurrence) -> Iterator[StateRow]:
    initial: dict[Row, list[int]] = {row: [] for row in _unpacked(graph, loop)}
    for (k, _), found in zip(loop.carried, loop.initial, strict=True):
        initial.get(loop.rows[k], []).extend(found)
    labels = {row: _label(graph.nodes, row) for row in initial}
    primes = "′" if "h" in labels.values() else ""
    for row, constants in initial.items():
        name = labels[row]
        if name is None:
            name, primes = f"h{primes}", f"{primes}′"
        paths = [graph.nodes[n].scope.path for n in row.nodes if n is not None]
        depth = next(k for k in range(len(paths[0]), -1, -1) if all(path[:k] == paths[0][:k] for path in paths))
        yield StateRow(name, labels[row] is not None, paths[0][:depth], row.nodes, tuple(constants), loop)


def _unpacked(graph: Graph, loop: Recurrence) -> list[Row]:
    """The rows that are carried; where one only packs up others of its step, those."""
    row_of = {n: (t, row) for row in loop.rows for t, n in enumerate(row.nodes) if n is not None}

    def parts(row: Row) -> list[Row]:
        time, node = next((t, graph.nodes[n]) for t, n in enumerate(row.nodes) if n is not None)
        if row.op not in HANDED_ON or node.role:
            return [row]
        sources = [row_of.get(s) for s in node.sources]
        of_this_step = [place[1] for place in sources if place and place[0] == time]
        found = [part for other in of_this_step for part in parts(other)]
        whole = len(of_this_step) == len(sources) and all(part.op not in HANDED_ON for part in found)
        return found if whole else [row]

    return list(dict.fromkeys(part for row in loop.states for part in parts(row)))


def _label(nodes: Sequence[Node], row: Row) -> str | None:
    """The program's name of a row; of the last step's state, which is handed to no cell that names it, maybe None."""
    said = [(node := handed_on(nodes, n)).role or node.name for n in row.nodes if n is not None]
    return next(filter(None, said), None)


def handed_on(nodes: Sequence[Node], n: int) -> Node:
    """The state that a node without a role only hands on: a layer's last state is in its output and in its h_n, too.

    >>> import tinygrad_rnn as tg
    >>> h = tg.nn.labelled(tg.ones(1, 2) + 0, "h")
    >>> graph = tg.Graph(tg.stack([h]))
    >>> handed_on(graph.nodes, graph.outputs[0]).role
    'h'
    """
    node = nodes[n]
    while not node.role and node.op is not None and node.op.kind == "movement" and len(node.sources) == 1:
        node = nodes[node.sources[0]]
    return node
