"""Names of values in the user's program: the variables that results of operations are assigned to."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, takewhile
from types import CodeType
from typing import Any

from ..graph import Graph
from ..recorded_tensors import recorded
from ..tensors import Tensor
from .returned_values import returned
from .source_names import of_comprehensions

#: instructions that give a value a name; of those that do more, the name comes first
STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")


def variables(loss: Tensor) -> tuple[dict[int, str], dict[int, Any]]:
    """Two maps by serial number of the loss's tensors: the variable that each is assigned to, and where it was made.

    They are read from the program's instructions: the one after the call, or operator, that made the tensor.
    """
    places = dict[int, Any]()
    found, codes = dict[int, str](), dict[int, dict[int, str]]()
    tensors = recorded(loss)
    made = [(serial, tensors[serial]._made_at) for serial in sorted(tensors)]
    for (serial, place), (_, after) in pairwise([*made, (0, None)]):
        code, instruction = place or (None, 0)
        if isinstance(code, CodeType) and place != after:  # of all that one call of a library makes, the last
            places[serial] = code, _start(code, instruction)
            if id(code) not in codes:
                codes[id(code)] = _stored(code)
            if (name := codes[id(code)].get(instruction, "_")) != "_":
                found[serial] = name
    made_at = list(places.items())
    for serial, name in (*returned(made_at), *of_comprehensions(made_at)):
        found.setdefault(serial, name)
    return found, places


@lru_cache(maxsize=4096)
def _start(code: CodeType, at: int) -> int:
    """The offset at which the instruction begins: once it is specialized, ``at`` is behind what is kept with it."""
    return max(line.offset for line in dis.get_instructions(code) if line.offset <= at)


def _stored(code: CodeType) -> dict[int, str]:
    """For each instruction: the variable its result is assigned to, also one of several (``i, f = g(a), g(b)``)."""
    lines = list(dis.get_instructions(code))
    names: dict[int, str] = {}
    for first, (before, line) in enumerate(pairwise(lines), 1):
        if before.opname.startswith(STORES) or not line.opname.startswith(STORES):
            continue
        stores = list[str]()  # the first takes what lies on top
        for store in takewhile(lambda x: x.opname.startswith(STORES), lines[first:]):
            both = (store.argval,) if isinstance(store.argval, str) else store.argval
            stores += both if store.opname.count("STORE") == 2 else both[:1]
        end = first
        while lines[end - 1].opname == "SWAP" and (depth := int(lines[end - 1].arg or 0)) <= len(stores):
            stores[0], stores[depth - 1] = stores[depth - 1], stores[0]
            end -= 1
        if before.opname == "UNPACK_SEQUENCE" and lines[end - 2].opname == "BUILD_TUPLE":  # of four and more
            stores[: before.arg] = stores[: before.arg][::-1]
            end -= 2
        for name, at in zip(stores, _makers(lines, end), strict=False):
            names |= dict.fromkeys(range(lines[at].offset, lines[at + 1].offset), name)  # with what a call keeps behind
    return names


def _makers(lines: list[dis.Instruction], end: int) -> Iterator[int]:
    """The instructions that made the values on the stack before instruction ``end``, the topmost first."""
    yield end - 1
    found, depth = 1, 0
    for at in range(end - 1, 0, -1):
        if lines[at].opcode in dis.hasjrel or lines[at].opcode in dis.hasjabs:
            return  # two ways lead here
        depth += dis.stack_effect(lines[at].opcode, lines[at].arg, jump=False)
        if depth == found:
            yield at - 1
            found += 1


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
