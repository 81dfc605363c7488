"""The graph computed by NumPy, primitive by primitive: what runs where Numba is switched off."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Ref
from ..tensors import Array
from .index_checks import check
from .plan import Plan
from .summary import Cost
from .tracing import TracedProgram


class ReferenceProgram:
    """Stands in for a `Program` when ``NUMBA_DISABLE_JIT`` is set: the same answers, without a compiled loop."""

    repeats = False  #: whether many calls may be one

    def __init__(self, graph: Plan, trace: TracedProgram, arena_bytes: int) -> None:
        self.graph, self.trace, self.rows = graph, trace, len(graph)
        self.arena_bytes = arena_bytes  #: what the compiled program would need; here each value has memory of its own
        self.host: dict[int, Any] = {}

    def bind(self) -> bool:
        """Whether what the cells hold fits the graph."""
        return all(cell.fits(cell.get()) for cell in self.trace.cells.values())

    def profile(self) -> dict[str, Cost]:
        """The number of occurrences of each operation; nothing is measured where nothing is compiled."""
        return {name: Cost(count) for name, count in self.graph.counts.items()}

    def run(self, arguments: list[Array]) -> list[Array]:
        """Evaluate all nodes; then write what is assigned."""
        trace = self.trace
        rates = {s: rate for schedule, serials in trace.schedules for s, rate in zip(serials, schedule())}
        values: list[Any] = []
        for node in self.graph.nodes:
            if node.op is not None:
                operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
                check(self.graph, node, operands, trace.ignoring)
                with np.errstate(all="ignore"):
                    values.append(np.asarray(node.op.reference(*operands, **node.attrs)))
            elif node.value is not None:
                values.append(node.value)
            elif node.serial in trace.arguments:
                values.append(arguments[trace.arguments[node.serial]])
            elif node.serial in rates:
                values.append(np.asarray(rates[node.serial], node.dtype))
            elif node.serial in trace.live:
                values.append(np.asarray(trace.live[node.serial](), node.dtype))
            else:
                values.append(trace.cells[node.serial].get())
        returned, looked_at, assigned = trace.parted([np.array(values[index]) for index in self.graph.outputs])
        trace.confirm(looked_at)
        for serial, value in zip(trace.assignments, assigned, strict=True):
            cell = trace.cells[serial]
            array = cell.get()
            if cell.lent(array):
                cell.set(value)
            else:
                array[...] = value
        return list(returned)
