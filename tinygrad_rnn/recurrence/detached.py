"""States that were cut off from the graph, as truncated backpropagation does it, joined to what they are copies of.

``h = h.detach()`` leaves a constant, of which a graph does not say what it was. Its numbers do: they are
those of a value that was computed before it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Ref
from ..primitives.record import Unlisted

#: Hands on its operand, in another shape if a layer stacked it, but no gradient to it.
DETACH = Unlisted(
    "detach",
    "detach",
    lambda _x, *, shape: shape,
    lambda x, *, shape: np.reshape(x, shape),
    vjp=(None,),
    kind="movement",
)


def joined(graph: Graph) -> Graph:
    """``graph`` in which constants that are copies of computed values are made of them, by an operation `DETACH`.

    >>> import tinygrad_rnn as tg
    >>> h = (tg.tensor([0.3]).requires_grad_() * 0.7).tanh()
    >>> graph = tg.Graph((h.detach() * 2 + h).sum())
    >>> [node.op.name for node in joined(graph).nodes if node.op]
    ['mul', 'tanh', 'detach', 'mul', 'add', 'sum']
    """
    nodes = list(graph.nodes)
    copies = {node.index for node in nodes if _may_be_a_copy(node)}
    last = max((nodes[i].serial for i in copies), default=-1)
    computed: dict[Hashable, int] = {}
    for node in sorted(nodes, key=lambda node: node.serial):
        if node.index in copies:
            origin = computed.get(_numbers(node), len(nodes))
            for copy in _as_it_is_read(graph, node) if origin < node.index else ():
                nodes[copy.index] = replace(
                    copy, op=DETACH, operands=(Ref(origin),), attrs={"shape": copy.shape}, name=None, role=None
                )
        elif node.op is not None and node.serial < last and not node.scope.backward and _tells(node):
            told = _numbers(node)  # the last of them: h is (1 - z) * 0 + n, and not n
            computed[told] = computed.get(told, node.index) if node.op.kind == "movement" else node.index
    return graph if all(a is b for a, b in zip(nodes, graph.nodes)) else Graph.of(nodes, graph.outputs)


def _as_it_is_read(graph: Graph, copy: Node) -> list[Node]:
    """A copy, or where a layer takes it from the stack of its first states, what it takes."""
    readers = [graph.nodes[i] for i in graph.consumers[copy.index]]
    size = np.prod(copy.shape)
    whole = all(n.op is not None and n.op.kind == "movement" and np.prod(n.shape) == size for n in readers)
    return readers if whole and readers else [copy]


def through(graph: Graph) -> Graph:
    """``graph`` in which what reads such a copy reads what it is a copy of."""
    origin = {node.index: node.sources[0] for node in graph.nodes if node.op is DETACH}
    if not origin:
        return graph
    nodes = list(graph.nodes)
    for node in graph.nodes:
        if node.op is not DETACH and any(source in origin for source in node.sources):
            read = tuple([Ref(origin.get(x.index, x.index)) if isinstance(x, Ref) else x for x in node.operands])
            nodes[node.index] = replace(node, operands=read)
    return Graph.of(nodes, graph.outputs)


def in_the_step_that_reads_it(graph: Graph) -> Graph:
    """``graph`` in which a copy is in the time step and the cell of what reads it, where that is said."""
    nodes = list(graph.nodes)
    for node in graph.nodes if any(node.op is DETACH for node in graph.nodes) else ():
        readers = [nodes[user].scope for user in graph.consumers[node.index]]
        if node.op is DETACH and readers and None not in {scope.step for scope in readers}:
            nodes[node.index] = replace(node, scope=min(readers, key=lambda scope: scope.step or 0)._replace(part=None))
    return Graph.of(nodes, graph.outputs)


def _may_be_a_copy(node: Node) -> bool:
    return node.op is None and not node.requires_grad and node.role in (None, "h", "c") and _tells(node)


def _tells(node: Node) -> bool:
    """Whether its numbers say which value it is: ones and zeros, as of a mask, are many values."""
    value = node.value
    return value is not None and value.dtype.kind == "f" and bool((value != np.round(value)).any())


def _numbers(node: Node) -> Hashable:
    assert node.value is not None
    return node.dtype, node.value.tobytes()
