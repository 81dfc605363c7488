"""The gradients written into a picture: every node's gradient, and what each time step adds to a shared weight's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import GraphError
from tinygrad_rnn.progress import followed
from tinygrad_rnn.tensor import Array
from tinygrad_rnn.walked import Walk, shares, steps

from . import style
from .levels import Level

Use = tuple[int, int, int]


@dataclass(slots=True)
class Gradients:
    """What one reverse walk found; ``.grad`` of the tensors is neither read nor written."""

    of: dict[int, Array] = field(default_factory=dict)  #: by node
    shares: dict[tuple[int, int], float] = field(default_factory=dict)  #: norm, by (edge, parameter)
    totals: dict[int, float] = field(default_factory=dict)  #: sum of all shares, by parameter

    def fraction(self, edge: int, parameter: int) -> float:
        """A share among the norms of all shares of that parameter."""
        return self.shares[edge, parameter] / (self.totals[parameter] or 1.0)


def check_outputs(outputs: Sequence[tg.Tensor]) -> None:
    """Gradients start from scalars that depend on something that requires a gradient."""
    for output in outputs:
        if output.numel() != 1 or not output.requires_grad:
            what = f"has {output.numel()} elements; reduce it (.sum(), .mean())" if output.requires_grad else (
                "does not depend on anything that requires a gradient")  # fmt: skip
            raise GraphError(f"render: gradients start from a scalar loss, but {output._described()} {what}")


def gradients(outputs: Sequence[tg.Tensor], level: Level) -> Gradients:
    """Walk backward from the scalar ``outputs`` and keep all gradients, and each step's share of shared ones.

    It can be done any number of times, also after ``backward()``. Raises `GraphError` if an output is no scalar
    or needs no gradient, `MutationError` if a value the rules need was overwritten since.
    """
    check_outputs(outputs)
    walk = Walk(level.graph, ())  # its steps are let go as they come: of big matrices they do not fit into memory
    uses = {use: (i, use[0]) for i, edge in enumerate(level.edges) if edge.kind == "weight" for use in edge.uses}
    found = Gradients()

    def arriving() -> Iterator[tuple[Use, Array]]:
        seeds = [np.ones(output.shape, output.dtype) for output in outputs]
        back = steps(level.graph.by_serial(), outputs, seeds)
        for step in followed(back, "walking back", len(level.graph)):
            found.of[step.node] = step.gradient
            for sent in step.contributions:
                use = sent.target, step.node, sent.slot
                if use in uses:
                    yield use, walk.value(step, sent)

    with tg.no_grad():
        found.shares = {key: style.norm(share) for key, share in shares(uses, arriving())}
    for (_, parameter), value in found.shares.items():
        found.totals[parameter] = found.totals.get(parameter, 0.0) + value
    return found
