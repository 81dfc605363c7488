"""The network again as a textbook writes it: with time steps, and first states with a row for each sequence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import GraphError
from tinygrad_rnn.recurrence.annotate_time_steps import timed
from tinygrad_rnn.recurrence.repeats import find
from tinygrad_rnn.tensors import Array

from ..graph.time_columns import operands, roles


def rewritten(graph: tg.Graph) -> list[tg.Tensor]:
    """The nodes of ``graph`` as tensors of a new graph, in its order.

    Each has the time step and the role that `recurrence.timed` finds, or pictures for scores and losses. A first state
    that is a constant with one row where the later ones have one for each sequence gets as many rows: then its equation
    is the others'. Where that would change any other value it stays as it is.
    """
    known = _judged(timed(graph))
    tall = _tall_states(graph)
    if tall:
        try:
            values = known.values(each=lambda node, value: tall.get(node.index, value))
        except GraphError:
            return known.tensors()
        if all(_same(node.value, value) for node, value in zip(graph.nodes, values)):
            return known.with_values(values).tensors()
    return known.tensors()


def _judged(graph: tg.Graph) -> tg.Graph:
    """``graph`` with names for what a textbook names.

    Scores and losses of a time step are called so, and whole numbers that one step reads, a target, are in that step.
    A first state belongs to the cell that begins with it. What a layer reads, or goes on from, and has been put out
    before is called as it was there.
    """
    nodes = list(graph.nodes)
    handed_on = operands(graph, see_through=True)[1]
    for node, role in zip(graph.nodes, roles(graph, operands(graph, see_through=False)[0]), strict=True):
        if role in ("logits", "loss") and node.scope.step is not None and not node.scope.backward:
            nodes[node.index] = replace(node, role=role)
        elif (role == "x" or node.scope.step is None) and node.op is not None and node.index in handed_on:
            nodes[node.index] = replace(node, role=None)
        readers = {graph.nodes[i].scope.step for i in graph.consumers[node.index]}
        given = node.op is None and not (node.role or node.requires_grad) and node.dtype.kind in "iu"
        if given and node.scope.step is None and len(readers) == 1:
            nodes[node.index] = replace(node, scope=node.scope._replace(step=readers.pop()))
    cells: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for loop in find(graph):
        for (row, _), initial in zip(loop.carried, loop.initial, strict=True):
            state = next(n for n in loop.rows[row].nodes if n is not None)
            for index in initial:
                cells[index].add(graph.nodes[state].scope.path)
    for index, paths in cells.items():
        node, (path, *others) = nodes[index], paths
        if node.op is None and node.role and not others and node.scope.path == path[: len(node.scope.path)]:
            nodes[index] = replace(node, scope=node.scope._replace(path=path))
    return graph.of(nodes, graph.outputs)


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
