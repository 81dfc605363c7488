"""The network again as a textbook writes it: with time steps, and first states with a row for each sequence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.state_rows import state_rows
from tinygrad_rnn.errors import GraphError
from tinygrad_rnn.graph import Ref
from tinygrad_rnn.primitives import getitem
from tinygrad_rnn.recurrence.annotate_time_steps import timed
from tinygrad_rnn.recurrence.detached import joined
from tinygrad_rnn.recurrence.repeats import find
from tinygrad_rnn.tensors import Array

from ..graph.time_columns import operands, roles
from .naming import Known


def rewritten(graph: tg.Graph, names: Known) -> list[tg.Tensor]:
    """The nodes of ``graph`` as tensors of a new graph, in its order.

    Each has the time step and the role that `recurrence.timed` finds, or pictures for scores and losses, or that its
    place among the states says. A constant that several states begin with is one for each. A first state that is a
    constant with one row where the later ones have one for each sequence gets as many rows: then its equation is the
    others'. Where that would change any other value it stays as it is.
    """
    known = _parted(_judged(timed(joined(graph)), names))
    more = len(known) - len(graph)
    tall = _tall_states(known)
    if tall:
        try:
            values = known.values(each=lambda node, value: tall.get(node.index, value))
        except GraphError:
            return known.tensors()[more:]
        if all(_same(node.value, value) for node, value in zip(known.nodes, values)):
            return known.with_values(values).tensors()[more:]
    return known.tensors()[more:]


def _judged(graph: tg.Graph, names: Known) -> tg.Graph:
    """``graph`` with names for what a textbook names.

    Scores and losses of a time step are called so, also the scores of a network that has them once; what one step alone
    reads, a target, is in that step. A state is called as it is elsewhere, in the cell that it belongs to. What a layer
    reads, or goes on from, and has been put out before is called as it was there.
    """
    nodes = list(graph.nodes)
    handed_on = operands(graph, see_through=True)[1]
    told = roles(graph, operands(graph, see_through=False)[0])
    for node, role in zip(graph.nodes, told, strict=True):
        name = names.of.get(node.index)
        if name is not None and name.letter in ("y", "L") and node.op is not None and not node.name:
            step = node.scope.step if name.step is None else name.step - 1
            said = "loss" if name.letter == "L" else "logits"
            nodes[node.index] = replace(node, role=said, scope=node.scope._replace(step=step))
        elif (role == "x" or node.scope.step is None) and node.op is not None and node.index in handed_on:
            nodes[node.index] = replace(node, role=None)
        readers = {graph.nodes[i].scope.step for i in graph.consumers[node.index]}
        given = node.op is None and not (node.role or node.name or node.requires_grad)
        if given and node.scope.step is None and len(readers) == 1:
            nodes[node.index] = replace(node, scope=node.scope._replace(step=readers.pop()))
    _place_beside_the_loop(graph, nodes)
    for row in state_rows(graph):
        for index in (n for n in row.nodes if n is not None):
            if not (nodes[index].role or nodes[index].name or row.is_named):
                nodes[index] = replace(nodes[index], role=row.name)
        for index in row.initial:
            node = nodes[index]
            if node.op is None and not node.name and index not in row.loop.weights:
                scope = node.scope._replace(path=row.path, step=-1)  # before the first
                nodes[index] = replace(node, role=row.name, scope=scope)
    return graph.of(nodes, graph.outputs)


def _place_beside_the_loop(graph: tg.Graph, nodes: list[tg.Node]) -> None:
    """Give what lies between a step's scores and loss outside of the loop, and is used there alone, that step."""
    placed = {n.index for n in nodes if n.scope.step is not None and graph.nodes[n.index].scope.step is None}
    for node in reversed(nodes):
        steps = {nodes[i].scope.step if i in placed else None for i in graph.consumers[node.index]}
        apart = node.scope.step is None and not (node.role or node.name or (node.requires_grad and node.op is None))
        if apart and len(steps) == 1 and None not in steps:
            placed.add(node.index)
            nodes[node.index] = replace(node, scope=node.scope._replace(step=steps.pop()))


def _parted(graph: tg.Graph) -> tg.Graph:
    """``graph`` with a constant of its own, put in front, for every further state that begins with the same one.

    What is read from the same place of what was given several times is read once.
    """
    uses: dict[tuple[int, Any], list[tuple[int, int]]] = defaultdict(list)  # (constant, state): (user, operand slot)
    rows = state_rows(graph)
    for loop in {row.loop: None for row in rows}:
        names = {n: (row.name, row.path) for row in rows if row.loop is loop for n in row.nodes if n is not None}
        for row in loop.rows:
            first, second = (None if n is None else graph.nodes[n] for n in row.nodes[:2])
            for slot, (x, later) in enumerate(zip(first.operands, second.operands) if first and second else ()):
                if isinstance(x, Ref) and isinstance(later, Ref) and later.index in names:
                    leaf = graph.nodes[x.index]
                    if leaf.op is None and not (leaf.requires_grad or leaf.name):
                        uses[x.index, names[later.index]].append((row.nodes[0] or 0, slot))
    of_state = {leaf: (graph.nodes[leaf].role, graph.nodes[leaf].scope.path) for leaf, _ in uses}
    more = [(leaf, state) for leaf, state in uses if state != of_state[leaf]]
    instead = {use: Ref(k) for k, key in enumerate(more) for use in uses[key]}
    nodes = [
        replace(node, index=k, role=name, scope=node.scope._replace(path=path))
        for k, (leaf, (name, path)) in enumerate(more)
        for node in [graph.nodes[leaf]]
    ]
    read: dict[str, int] = {}
    same = {
        node.index: read.setdefault(f"{node.operands} {node.attrs}", node.index)
        for node in graph.nodes
        if node.op is getitem and not node.requires_grad and graph.nodes[node.sources[0]].op is None
    }
    for node in graph.nodes:
        moved = [
            instead.get((node.index, slot), Ref(same.get(x.index, x.index) + len(more))) if isinstance(x, Ref) else x
            for slot, x in enumerate(node.operands)
        ]
        nodes.append(replace(node, index=node.index + len(more), operands=tuple(moved)))
    return tg.Graph.of(nodes, [output + len(more) for output in graph.outputs])


def _tall_states(graph: tg.Graph) -> dict[int, Array]:
    """First states that later ones are taller than, by position, with as many rows as those."""
    found: dict[int, Array] = {}
    for loop in find(graph):
        for (row, _), initial in zip(loop.carried, loop.initial, strict=True):
            later = next(graph.nodes[n] for n in loop.rows[row].nodes if n is not None)
            for index in initial:
                node = graph.nodes[index]
                if node.op is not None or node.requires_grad or node.value is None:
                    continue
                if node.shape != later.shape and node.shape[:1] == (1,) and node.shape[1:] == later.shape[1:]:
                    found[index] = np.broadcast_to(node.value, later.shape).copy()
    return found


def _same(a: Array | None, b: Array) -> bool:
    """Whether they are equal to rounding, where the shorter is repeated."""
    try:
        return a is not None and np.allclose(a, b, rtol=1e-4, atol=1e-12, equal_nan=True)
    except ValueError:
        return False
