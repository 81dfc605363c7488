"""The walk over what nodes of a graph are computed from, bounded below and by what it passes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from .graph import Node


def ancestors(
    nodes: Sequence[Node], ends: Iterable[int], *, least: int = 0, through: Callable[[Node], bool] | None = None
) -> Iterator[int]:
    """The positions of ``ends`` and of all nodes they are computed from, each once, in no order.

    None of what is before ``least``; and not what a node is computed from that ``through`` is false of.

    >>> import tinygrad_rnn as tg
    >>> x = tg.ones(1)
    >>> graph = tg.Graph(x * 2.0 + x.exp())
    >>> [graph.nodes[k].label for k in sorted(ancestors(graph.nodes, [2]))]
    ['constant', 'exp']
    """
    pending = list(ends)
    found = set(pending)
    while pending:
        node = nodes[pending.pop()]
        yield node.index
        if through is None or through(node):
            more = {index for index in node.sources if index >= least} - found
            found |= more
            pending += more
