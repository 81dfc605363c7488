"""The names that values have in the user's program, as roles: what a diagnosis says is told in these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..graph import Graph


def with_variables(graph: Graph, said: Graph, names: Mapping[int, str]) -> Graph:
    """``graph`` with roles of values, and names of leaves, taken from ``names``, the variables.

    What the program itself ``said`` stays. Of several values that a step assigns to one variable, the last one gets the
    name. What a step reads from a leaf is called after that leaf.
    """
    last: dict[Any, list[int]] = {}
    for node in graph.nodes:
        if (name := names.get(node.serial)) is not None:
            key = name, node.op is None, node.scope.step, node.scope.path
            before = graph.nodes[last[key][-1]] if key in last else node
            again = (node.op, node.site) == (before.op, before.site)  # of an inner loop, or of a function called again
            last[key] = [*last.get(key, []), node.index] if again else [node.index]
    nodes = list(graph.nodes)
    for (name, leaf, *_), index in ((key, index) for key, indices in last.items() for index in indices):
        node = nodes[index]
        if leaf:
            nodes[index] = replace(node, name=node.name or name)
        elif not said.nodes[index].role and not any(
            nodes[i].role == name and node.scope.step in (None, nodes[i].scope.step) for i in node.sources
        ):  # else the variable has two values, of which the first keeps the name
            nodes[index] = replace(node, role=name)
    for node, before in zip(graph.nodes, said.nodes, strict=True):
        if node.op is None or node.role != "x" or before.role or nodes[node.index].role != "x":
            continue
        source = nodes[node.sources[0]] if node.sources else node
        if node.op.name == "getitem" and source.op is None and source.name:
            nodes[node.index] = replace(node, role=f"{source.name}_t")
        elif node.op.elementwise:  # such as 1 - m: what it is made of says more
            nodes[node.index] = replace(node, role=None)
    return Graph.of(nodes, graph.outputs)
