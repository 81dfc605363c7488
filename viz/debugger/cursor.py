"""Cursor: a position in a walk, what stands there, and the moves that need no looking inside.

Positions: step k of the walk back is position k, from 1; position 0 is the moment between the passes, when the loss
is known and nothing has flown back; negative positions are the forward pass, -1 its last operation. Moving is
setting an integer.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import answering_methods
from tinygrad_rnn.bptt import carried_state
from tinygrad_rnn.bptt.recording import Trace
from tinygrad_rnn.graph import Ref

from .. import style
from . import session_data
from .node_names import Names


@answering_methods("Session")
class Cursor:
    """A movable position in a `Trace`."""

    def __init__(self, trace: Trace) -> None:
        self.recorded = trace  #: the walk as it was
        self.use(trace)
        self.position = 0
        self.reason = "the loss is computed; nothing has flown back yet"  #: why the cursor is where it is

    def use(self, trace: Trace) -> None:
        """Look at another walk ``trace`` over the same graph, else `ArgumentError`; the position stays."""
        if trace.graph is not self.recorded.graph:
            raise tg.ArgumentError("that trace is of another graph; start a new session on it")
        self.trace = trace

    @property
    def graph(self) -> tg.Graph:
        """The graph both passes went through."""
        return self.recorded.graph

    @cached_property
    def names(self) -> Names:
        """The names of its nodes."""
        return Names(self.graph)

    @cached_property
    def forward(self) -> tuple[int, ...]:
        """The operations of the forward pass, in order."""
        return tuple(node.index for node in self.graph.nodes if node.op is not None)

    @cached_property
    def moments(self) -> dict[carried_state.Path, list[carried_state.Moment]]:
        """Per recurrent layer the states it carries."""
        return carried_state.carried(self.recorded)

    @cached_property
    def states(self) -> dict[int, carried_state.Moment]:
        """For each node that is a carried state the moment at which it is."""
        return {node: m for moments in self.moments.values() for m in moments for node in m.nodes.values()}

    # Moving ----------------------------------------------------------------------------------------------

    @property
    def first(self) -> int:
        """The position of the first operation of the forward pass."""
        return -len(self.forward)

    @property
    def last(self) -> int:
        """The position of the last step back."""
        return len(self.trace)

    def goto(self, position: int, reason: str = "you went there") -> None:
        """Set the cursor to ``position``, for a ``reason``; `ArgumentError` for a position that does not exist."""
        self.node_at(position)
        self.position, self.reason = position, reason

    def node_at(self, position: int | None = None) -> int:
        """The node whose turn it is; `ArgumentError` for a position that does not exist."""
        p = self.position if position is None else position
        if not self.first <= p <= self.last:
            raise tg.ArgumentError(f"positions go from {self.first} to {self.last}, and {p} does not exist")
        return self.trace.output if p == 0 else self.trace.steps[p - 1].node if p > 0 else self.forward[p - self.first]

    def turn_of(self, node: int) -> int:
        """The position at which a node has its turn: in the walk back, or if it has none there, forward.

        Raises `ArgumentError` for a constant.
        """
        turn = self.trace.turn.get(node)
        if turn is not None:
            return turn
        if self.graph.nodes[node].op is not None:
            return self.first + self.forward.index(node)
        raise tg.ArgumentError(f"{self.names.shown[node]} is a constant: neither pass stops at it")

    def other_time(self, direction: int) -> int | None:
        """The next position in ``direction`` at another time step (1: onward through the passes, -1: back)."""
        here = self.graph.nodes[self.node_at()].scope.step
        p = self.position + direction
        while self.first <= p <= self.last:
            time = self.graph.nodes[self.node_at(p)].scope.step
            if time is not None and time != here:
                return p
            p += direction
        return None

    def next_box(self) -> int | None:
        """The next position in another box: another gate, state or layer, as the gate-level picture draws them."""
        here = self._box(self.position)
        p = self.position + 1
        while p <= self.last:
            if self._box(p) != here:
                return p
            p += 1
        return None

    def _box(self, position: int) -> Any:
        node = self.graph.nodes[self.node_at(position)]
        place = node.scope.path, node.scope.step
        return (*place, node.scope.part) if node.scope.part else (*place, node.role or node.index)

    def what_if(self, node: int, value: Any) -> None:
        """Replace a node's gradient by ``value`` and propagate the rest anew; see `Trace.with_gradient` and `reset`."""
        self.use(self.trace.with_gradient(node, value))

    def reset(self) -> None:
        """Look at the recorded walk again, whatever `what_if` supposed."""
        self.use(self.recorded)

    # 1. Where --------------------------------------------------------------------------------------------

    def where(self, position: int | None = None) -> session_data.Where:
        """The cursor's place."""
        p = self.position if position is None else position
        node = self.graph.nodes[self.node_at(p)]
        step = node.scope.step
        return session_data.Where(
            p,
            self.first,
            self.last,
            "forward" if p < 0 else "backward" if p else "loss",
            node.index,
            self.names.both(node.index),
            node.op.name if node.op else "leaf",
            self.expression(node.index),
            None if step is None else step + 1,
            len(self.graph.steps),
            ".".join(node.scope.path),
            node.scope.part,
            node.role,
            self.site(node.index),
        )

    def site(self, node: int) -> str | None:
        """The line of the program that made a node, if it is known."""
        return self.trace.graph.nodes[node].site

    def expression(self, node: int) -> str:
        """The operation of a node and its operands' names: ``mul(f_3, c_2)``."""
        made = self.graph.nodes[node]
        if made.op is None:
            return "a parameter" if made.requires_grad else "a constant"
        shown = [
            self.names.read(x.index, node) if isinstance(x, Ref) else style.number(float(x)) for x in made.operands[:6]
        ]
        return f"{made.op.name}({', '.join(shown)}{', …' if len(made.operands) > 6 else ''})"
