"""If, Loop and Scan: graphs within the graph, computed on the values that are there. A round is a time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from ....errors import DataError
from ....tensors import Tensor
from ..constant_folding import MOST_ROUNDS, Constant
from .table import axis_of, operator, single

if TYPE_CHECKING:
    from ..running import Node


@operator("If")
def _if(node: Node, condition: Tensor, then_branch: Any, else_branch: Any) -> Any:
    return node.inside(then_branch if bool(single(condition, "the condition")) else else_branch, [])


@operator("Loop")
def _loop(node: Node, count: Tensor | None, condition: Tensor | None, *states: Tensor, body: Any) -> Any:
    """Rounds until the count is reached or the condition fails; what is scanned is stacked along a new first axis."""
    most = np.inf if count is None else int(single(count, "the count"))
    going = condition is None or bool(single(condition, "the condition"))
    if condition is None and np.inf > most > MOST_ROUNDS:
        raise DataError(f"it asks for {most} rounds; at most {MOST_ROUNDS} are unrolled")
    now, scanned, t = list(states), [], 0
    while going and t < min(most, MOST_ROUNDS):
        with node.named_round(t):
            counted = Constant(np.array(t, np.int64)), Constant(np.array(True))
            outer, *made = node.inside(body, [*counted, *now])
        going = bool(single(outer, "the condition"))
        now = made[: len(states)]
        scanned.append(made[len(states) :])
        t += 1
    if going and t == MOST_ROUNDS < most:
        raise DataError(f"it has not ended after {MOST_ROUNDS} rounds")
    each = len(node.outputs) - len(states)
    if not scanned and each:
        raise DataError("it has no rounds, so that the shape of what it would have collected is not known")
    return (*now, *(T.stack([made[k] for made in scanned]) for k in range(each)))


@operator("Scan")
def _scan(
    node: Node,
    *inputs: Any,
    body: Any,
    num_scan_inputs: int,
    scan_input_axes: Any = None,
    scan_input_directions: Any = None,
    scan_output_axes: Any = None,
    scan_output_directions: Any = None,
    directions: Any = None,
) -> Any:
    if node.opset >= 9:
        outputs = scan_output_axes, scan_output_directions
        return _scanned(node, inputs, body, num_scan_inputs, scan_input_axes, scan_input_directions, *outputs)
    lengths, *tensors = inputs  # before operator set 9: lengths first, and a batch in front of everything else
    if lengths is not None:
        raise DataError("sequence_lens of the Scan before operator set 9 is not supported")
    rows = [
        _scanned(node, [x[b] for x in tensors], body, num_scan_inputs, None, directions)
        for b in range(tensors[0].shape[0])
    ]
    return tuple(T.stack(parts) for parts in zip(*rows, strict=True))


def _scanned(
    node: Node,
    inputs: Sequence[Any],
    body: Any,
    count: int,
    axes: Any,
    directions: Any,
    out_axes: Any = None,
    out_directions: Any = None,
) -> tuple[Tensor, ...]:
    states, sequences = list(inputs[: len(inputs) - count]), list(inputs[len(inputs) - count :])
    axes = [axis_of(a, x.ndim) for a, x in zip(axes or [0] * count, sequences, strict=True)]
    lengths = {x.shape[a] for x, a in zip(sequences, axes)}
    if len(lengths) != 1:
        raise DataError(f"the scanned inputs have {sorted(lengths)} steps; they must have as many")
    (length,) = lengths
    backwards = directions or [0] * count
    collected: list[Any] = []
    for t in range(length):
        with node.named_round(t):
            parts = [
                x[(*(slice(None),) * a, length - 1 - t if back else t)]
                for x, a, back in zip(sequences, axes, backwards)
            ]
            made = node.inside(body, [*states, *parts])
        states = made[: len(states)]
        collected.append(made[len(states) :])
    if not collected:
        raise DataError("there is nothing to scan: the sequence has no steps")
    each = len(collected[0])
    stacked = []
    for k, axis, back in zip(range(each), out_axes or [0] * each, out_directions or [0] * each):
        order = collected[::-1] if back else collected
        stacked.append(T.stack([made[k] for made in order], axis))
    return (*states, *stacked)
