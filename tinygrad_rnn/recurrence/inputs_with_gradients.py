"""Inputs whose gradient was asked for: leaves that require one, as weights do, and are data all the same.

They are told by what a weight multiplies. Of a product of two leaves the weight is the factor that comes again, beside
another element of a sequence each time; what is multiplied by it is the input. A first state is none: in later steps
what was computed stands where it stood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node

#: What is made of more than so many values is not followed back to them.
MOST = 64
#: Operations and operands between a value and a product, a weight, and the weight's place in the product.
_Use = tuple[tuple[tuple[str, int], ...], int, int]


def with_inputs_named(graph: Graph) -> Graph:
    """``graph`` in which leaves that require a gradient and are inputs are called x.

    >>> import tinygrad_rnn as tg
    >>> w, u, x = (tg.ones(2, 2).requires_grad_() for _ in range(3))
    >>> h = tg.zeros(1, 2)
    >>> for t in range(2):
    ...     h = (x[t : t + 1] @ w + h @ u).tanh()
    >>> graph = with_inputs_named(tg.Graph(h))
    >>> [node.role for node in graph.nodes if node.op is None and node.requires_grad]
    [None, None, 'x']
    """
    asked = {node.index for node in graph.nodes if node.is_parameter and not node.role}
    found = _read_as_inputs(graph, asked) | _multiplied_by_weights(graph, asked)
    if not found:
        return graph
    return Graph.of([replace(n, role="x") if n.index in found else n for n in graph.nodes], graph.outputs)


def _read_as_inputs(graph: Graph, asked: set[int]) -> set[int]:
    """Leaves of which a time step reads a part that the program, or a layer, calls its x."""
    found = set[int]()
    for node in graph.nodes:
        if node.role == "x" and node.op is not None and node.op.name == "getitem" and node.scope.step is not None:
            while node.op is not None and node.op.kind == "movement" and len(node.sources) == 1:
                node = graph.nodes[node.sources[0]]
            found.add(node.index)
    return found & asked


def _multiplied_by_weights(graph: Graph, asked: set[int]) -> set[int]:
    found = set[int]()
    uses: dict[_Use, list[tuple[int, str, bool]]] = defaultdict(list)
    for node in graph.nodes if len(asked) > 1 else ():
        for place, alone in _weights_places(graph, node):
            if (weight := node.sources[place]) in asked:
                for way, origin, element in _origins(graph, node.sources[1 - place]):
                    uses[way, weight, place].append((origin, element, alone))
    given = any(_is_given(graph.nodes[i]) for read in uses.values() for i, *_ in read)
    for (_, weight, _), read in sorted(uses.items(), key=lambda item: -item[0][2]):  # first what stands at the left
        leaves = {origin for origin, *_ in read}
        if weight not in found and leaves & asked and all(graph.nodes[i].op is None for i in leaves):
            found |= {i for i in leaves & asked if _is_input(i, read, given)}
    return found


def _weights_places(graph: Graph, node: Node) -> Iterator[tuple[int, bool]]:
    """Places of a weight in a product, and if its other factor cannot be one, as it is a single sample."""
    if node.op is None or not node.op.is_product or node.scope.backward or len(node.sources) < 2:
        return
    left, right = (graph.nodes[i].shape for i in node.sources[:2])
    yield 1, node.op.name == "linear" or len(left) != 2 or left[0] == 1
    if node.op.name != "linear" and (len(right) == 1 or right[-1] == 1):
        yield 0, True


def _is_given(node: Node) -> bool:
    """Whether it is data that asks for no gradient, and no state that begins with zeros."""
    return node.op is None and not node.is_parameter and node.value is not None and bool(np.any(node.value))


def _is_input(leaf: int, read: Sequence[tuple[int, str, bool]], given: bool) -> bool:
    """Whether it is what a weight has ``read``: an element each time, or one of several leaves, or one sample.

    One sample beside data that is ``given`` is a first state that is learned.
    """
    elements = [element for origin, element, _ in read if origin == leaf]
    in_turn = [element for k, element in enumerate(elements) if not k or element != elements[k - 1]]
    if len(in_turn) > 1:
        return len(set(in_turn)) == len(in_turn)
    several = len(elements) == 1 and len({origin for origin, *_ in read}) > 1
    return several or (not given and all(alone for origin, _, alone in read if origin == leaf))


def _origins(graph: Graph, index: int) -> Iterator[tuple[tuple[tuple[str, int], ...], int, str]]:
    """The values that one was carried together from: the way, its origin, and which element of that it is."""
    pending: list[tuple[tuple[tuple[str, int], ...], int, str]] = [((), index, "")]
    told = 0
    while pending and (told := told + 1) < MOST:
        way, i, element = pending.pop()
        node = graph.nodes[i]
        if node.op is None or node.op.kind != "movement" or is_looked_up(graph.nodes, node):
            yield way, i, element
        else:
            read = str(node.attrs["index"]) if node.op.name == "getitem" else ""
            pending += [((*way, (node.op.name, slot)), s, element + read) for slot, s in enumerate(node.sources)]


def is_looked_up(nodes: Sequence[Node], node: Node) -> bool:
    """Whether it is a token's row of a table that is learned: the network's input."""
    if node.op is None or not node.sources or not nodes[node.sources[0]].is_parameter:
        return False
    by_numbers = any(isinstance(part, np.ndarray) for part in node.attrs.get("index", ()))
    return node.op.name == "take" or (node.op.name == "getitem" and by_numbers)
