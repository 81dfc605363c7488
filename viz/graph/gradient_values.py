"""The gradients written into a picture: every node's gradient, and what each time step adds to a shared weight's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.errors import GraphError
from tinygrad_rnn.kept_walk import Walk, shares, steps
from tinygrad_rnn.progress import followed
from tinygrad_rnn.tensors import Array

from .. import style
from .detail_levels import Level

Use = tuple[int, int, int]


#: Numbers of shares that are kept until their sum is known; of more only the norms are told.
KEPT = 30_000_000


@dataclass(slots=True)
class Gradients:
    """The gradients of one reverse walk; ``.grad`` of the tensors is neither read nor written."""

    of: dict[int, Array] = field(default_factory=dict)  #: by node
    sizes: dict[tuple[int, int], float] = field(default_factory=dict)  #: norm of a share, by (box, parameter)
    #: the part of the whole gradient that it makes up, along it, as in the debugger: all parts add up to 1
    parts: dict[tuple[int, int], float] = field(default_factory=dict)


def check_outputs(outputs: Sequence[tg.Tensor]) -> None:
    """Gradients start from scalars that depend on something that requires a gradient."""
    for output in outputs:
        if output.numel() != 1 or not output.requires_grad:
            what = (
                f"has {output.numel()} elements; reduce it (.sum(), .mean())"
                if output.requires_grad
                else ("does not depend on anything that requires a gradient")
            )
            raise GraphError(f"render: gradients start from a scalar loss, but {output._described()} {what}")


def gradients(outputs: Sequence[tg.Tensor], level: Level) -> Gradients:
    """Walk backward from the scalar ``outputs`` and keep all gradients, and each step's share of shared ones.

    It can be done any number of times, also after ``backward()``. Raises `GraphError` if an output is no scalar
    or needs no gradient, `MutationError` if a value the rules need was overwritten since.
    """
    check_outputs(outputs)
    walk = Walk(level.graph, ())  # its steps are let go as they come: of big matrices they do not fit into memory
    uses = {use: (e.source, use[0]) for e in level.edges if e.kind == "weight" for use in e.uses}
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

    kept: dict[tuple[int, int], Array] = {}
    room = KEPT
    with tg.no_grad():
        for key, share in shares(uses, arriving()):
            found.sizes[key] = style.norm(share)
            room -= share.size
            if room > 0:
                kept[key] = share
    if room > 0:
        for (box, parameter), share in kept.items():
            whole = found.of[parameter].astype(np.float64)
            unit = float(np.max(np.abs(whole), initial=0.0)) or 1.0  # squares of the very large or small would be lost
            square = float(np.sum((whole / unit) ** 2))
            if square and np.isfinite(square):
                found.parts[box, parameter] = float(np.sum((share / unit) * (whole / unit))) / square
    return found
