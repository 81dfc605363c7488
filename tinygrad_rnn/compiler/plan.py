"""Plan: a graph whose nodes know, besides what they compute, where a compiled program computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..graph import Graph, GraphBuilder, Node, Ref
from ..tensors import Literal


@dataclass(frozen=True, slots=True, eq=False)
class Planned(Node):
    """A node and its place in the program."""

    lane: int = 0  #: which of two threads computes it: 0 neither, but what comes before or after
    segment: int = 0  #: under a memory budget, the stretch of time it belongs to: forward above 0, backward below

    def moved(self, index: int, operands: tuple[Ref | Literal, ...]) -> Planned:
        """The node elsewhere: `dataclasses.replace`, which is slow."""
        return Planned(
            index,
            self.op,
            operands,
            self.attrs,
            shape=self.shape,
            dtype=self.dtype,
            value=self.value,
            requires_grad=self.requires_grad,
            scope=self.scope,
            name=self.name,
            role=self.role,
            site=self.site,
            serial=self.serial,
            starts=self.starts,
            lane=self.lane,
            segment=self.segment,
        )


class Plan(Graph):
    """A graph of planned nodes: what the tracer makes, the passes rewrite and `lower` reads."""

    nodes: tuple[Planned, ...]

    if TYPE_CHECKING:

        @classmethod
        def of(cls, nodes: Any, outputs: Sequence[int]) -> Plan: ...


class PlanBuilder(GraphBuilder[Planned]):
    """A `GraphBuilder` of planned nodes."""

    node = Planned

    def plan(self, outputs: Sequence[int]) -> Plan:
        """The nodes so far as a plan."""
        return Plan.of(self.nodes, outputs)
