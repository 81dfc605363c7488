"""A layer that reads a sequence piece by piece: each call counts its steps from 0, yet they are one sequence's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ..graph import Graph, Node
from .twins import STATES


def continued(graph: Graph) -> Graph:
    """``graph`` with steps that go on where the call of a layer begins with the state that the call before has left.

    >>> import tinygrad_rnn as tg
    >>> layer, x = tg.nn.RNN(2, 2), tg.ones(2, 1, 2)
    >>> _, h = layer(x)
    >>> out, _ = layer(x, h)
    >>> graph = tg.Graph(out)
    >>> len(graph.steps), len(continued(graph).steps)
    (2, 4)
    """
    earlier: dict[int, int] = {}  # by node how many steps the calls before its own had
    for calls in _calls(graph).values():
        before = 0
        for k, call in enumerate(calls):
            steps = {node.scope.step or 0 for node in call}
            if call[0].scope.step or _repeats(call):
                return graph  # it reads from the last step to the first, or each call is one step
            before = before if k and _goes_on(graph, calls[k - 1], call) else 0
            earlier |= dict.fromkeys((node.index for node in call), before)
            before += max(steps) + 1
    if not any(earlier.values()):
        return graph
    nodes = list(graph.nodes)
    for node in (*nodes, *reversed(nodes)):  # what is done around the cells in their steps
        if node.scope.step is not None and node.index not in earlier and not node.scope.backward:
            near = {earlier[i] for i in (*graph.consumers[node.index], *node.sources) if i in earlier}
            if len(near) > 1:
                return graph
            earlier |= dict.fromkeys([node.index], near.pop()) if near else {}
    for i, before in earlier.items():
        node = nodes[i]
        nodes[i] = replace(node, scope=node.scope._replace(step=(node.scope.step or 0) + before))
    return Graph.of(nodes, graph.outputs)


def _calls(graph: Graph) -> dict[tuple[str, ...], list[list[Node]]]:
    """For each scope, what each call of its layer did; a call begins where the steps begin again."""
    calls: dict[tuple[str, ...], list[list[Node]]] = defaultdict(list)
    cells = {n.scope.path for n in graph.nodes if n.op is not None and n.role == "h" and n.scope.step is not None}
    for node in graph.nodes:
        path, step, _part, backward, _ = node.scope
        if node.op is not None and step is not None and path and path in cells and not backward:
            if not calls[path] or step < (calls[path][-1][-1].scope.step or 0):
                calls[path].append([])
            calls[path][-1].append(node)
    return calls


def _repeats(call: Sequence[Node]) -> bool:
    """Whether one step uses a parameter twice in the same way: it is several calls of one step each."""
    uses = Counter((n.op, n.scope.step, n.scope.part, n.sources) for n in call if n.op and n.op.kind == "contraction")
    return max(uses.values(), default=0) > 1


def _goes_on(graph: Graph, earlier: Sequence[Node], call: Sequence[Node]) -> bool:
    """Whether the first step of a call reads the state that the last step of the same layer's earlier call has made."""
    one, other = ({i for node in c for i in node.sources if graph.nodes[i].is_parameter} for c in (earlier, call))
    if one != other:
        return False
    last = {n.index for n in earlier if n.scope.step == earlier[-1].scope.step and n.role in STATES}
    return any(_handed_on(graph, source) in last for node in call if not node.scope.step for source in node.sources)


def _handed_on(graph: Graph, i: int) -> int:
    """The node whose value a node that belongs to no step only hands on; all layers' last states are one stack."""
    node, layer = graph.nodes[i], 0
    while node.scope.step is None and node.op is not None and node.op.kind == "movement" and node.sources:
        first, *_ = node.attrs.get("index", (layer,))
        layer = first if isinstance(first, int) else 0
        node = graph.nodes[node.sources[layer if len(node.sources) > 1 else 0]]
    return node.index
