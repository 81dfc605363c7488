"""The losses of time steps: what a running total adds up."""

from __future__ import annotations

from ..graph import Graph


def step_losses(graph: Graph) -> list[int]:
    """The numbers without a label that an output of the graph adds up over several time steps.

    The sum may be scaled, as a mean is, and something may be added that is of no time step, as a penalty on weights is.

    >>> import tinygrad_rnn as tg
    >>> w, total = tg.tensor(2.0, requires_grad=True), tg.tensor(0.0)
    >>> for t in tg.steps(3):
    ...     total = total + (w * t).exp()
    >>> graph = tg.Graph(total / 3)
    >>> [(graph.nodes[n].op.name, graph.nodes[n].scope.step) for n in sorted(step_losses(graph))]
    [('exp', 0), ('exp', 1), ('exp', 2)]
    """
    nodes, found = graph.nodes, list[int]()
    pending = [i for i in graph.outputs if not nodes[i].shape]
    while pending:
        node = nodes[pending.pop()]
        if node.op is None or node.role:
            continue
        step = node.scope.step
        scales = node.op.infix in ("*", "/") and len(node.sources) == 1 and step is None
        if not node.shape and (node.op.infix == "+" or scales):
            pending += node.sources
        elif step is not None:
            found.append(node.index)
    return found if len({nodes[i].scope.step for i in found}) > 1 else []
