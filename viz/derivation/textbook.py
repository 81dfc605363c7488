"""The network computed again as a textbook writes it: with its time steps, and first states as tall as the batch."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import TinygradError
from tinygrad_rnn.graph import Ref
from tinygrad_rnn.recurrence import find, timed
from tinygrad_rnn.scope import state
from tinygrad_rnn.tensor import Array, from_array


def rewritten(graph: tg.Graph) -> list[tg.Tensor]:
    """The nodes of ``graph`` as tensors of a new graph, in its order.

    Each has the time step and the role that `recurrence.timed` finds. A first state that is a constant with one row
    where the later ones have one for each sequence gets as many rows: then its equation is the others'. Where that
    would change any other value it stays as it is.
    """
    known = timed(graph)
    tall = _tall_states(graph)
    if tall:
        try:
            made = _computed(known, tall)
        except TinygradError:
            made = []
        if made and all(_same(node.value, x.numpy()) for node, x in zip(graph.nodes, made)):
            return made
    return _computed(known, {})


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


def _computed(graph: tg.Graph, values: dict[int, Array]) -> list[tg.Tensor]:
    tensors: list[tg.Tensor] = []
    outer = state.scope
    try:
        for node in graph.nodes:
            state.scope = node.scope
            if node.op is None:
                assert node.value is not None
                made = from_array(values.get(node.index, node.value))
                made.scope, made.requires_grad = node.scope, node.requires_grad
            else:
                made = node.op(*(tensors[x.index] if isinstance(x, Ref) else x for x in node.operands), **node.attrs)
            made.name, made.role = node.name, node.role
            tensors.append(made)
    finally:
        state.scope = outer
    return tensors


def _same(a: Array | None, b: Array) -> bool:
    """Whether they are equal to rounding, where the shorter is repeated."""
    try:
        return a is not None and np.allclose(a, b, rtol=1e-4, atol=1e-12, equal_nan=True)
    except ValueError:
        return False
