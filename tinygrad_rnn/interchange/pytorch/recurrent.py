"""PyTorch's recurrent calls, opened into time steps: layers, directions, projections, packed sequences.

What PyTorch computes in one call, ``lstm(...)``, becomes a cell a step with its gates, as if `tinygrad_rnn.nn` had
unrolled it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import primitives as P
from ...functional import concat, stack
from ...nn.cells import gru_step, labelled, lstm_step, rnn_step, zero_state
from ...nn.functional import linear
from ...scopes import scope
from ...tensors import Tensor
from ..program import constant
from .calls import dropout_mask, handles

if TYPE_CHECKING:
    from .recorder import Call

State = tuple[Tensor, ...]
_ROLES = {"lstm": ("h", "c"), "gru": ("h",), "rnn_tanh": ("h",), "rnn_relu": ("h",)}


def _step(kind: str, x: Tensor, state: State, weights: Sequence[Any]) -> State:
    four: Any = tuple(weights[:4])
    if kind == "lstm":
        h, c = lstm_step(x, state[0], state[1], four)
        if len(weights) == 5:
            h.role = None
            with scope(part="projection"):
                h = labelled(linear(h, weights[4]), "h")
        return h, c
    if kind == "gru":
        return (gru_step(x, state[0], four),)
    return (rnn_step(x, state[0], four, "relu" if kind == "rnn_relu" else "tanh"),)


@handles("lstm", "gru", "rnn_tanh", "rnn_relu")
def _layers(call: Call, x: Any, second: Any, third: Any, *rest: Any) -> Any:
    """A whole ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``; packed if a list of batch sizes comes second."""
    kind = call.name
    packed = not isinstance(rest[0], bool)
    if packed:
        hx, flat, (has_biases, layers, dropout, training, both_ways) = third, rest[0], rest[1:]
        sizes = [int(n) for n in call.args[1]]
    else:
        hx, flat, (has_biases, layers, dropout, training, both_ways, batch_first) = second, third, rest
        if batch_first:
            x = x.transpose(0, 1)
        sizes = [x.shape[1]] * x.shape[0]
    hx = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    directions = 2 if both_ways else 1
    each = len(flat) // (layers * directions)
    groups = [list(flat[i : i + each]) for i in range(0, len(flat), each)]
    if not has_biases:
        groups = [[*group[:2], None, None, *group[2:]] for group in groups]

    base = call.recorder.steps_before(call, groups[0][0], hx, len(sizes))
    starts = [sum(sizes[:t]) for t in range(len(sizes))]
    sequence: list[Tensor] = []
    for t, (start, size) in enumerate(zip(starts, sizes)):
        with scope(step=base + t):
            sequence.append(labelled(x[start : start + size] if packed else x[t], "x"))
    masks: list[Tensor] = []
    if training and dropout and layers > 1:
        width = directions * (groups[0][4].shape[0] if each == 5 or len(groups[0]) == 5 else hx[0].shape[-1])
        shape = (sum(sizes), width) if packed else (len(sizes), sizes[0], width)
        masks = dropout_mask(call, [call.out[0].new_empty(shape)] * (layers - 1), dropout)
    final: list[State] = []
    for layer in range(layers):
        if layer and masks:
            mask = masks[layer - 1]
            for t, (start, size) in enumerate(zip(starts, sizes)):
                with scope(step=base + t):
                    sequence[t] = sequence[t] * (mask[start : start + size] if packed else mask[t])
        outputs = []
        for direction in range(directions):
            suffix = f"l{layer}" + ("_reverse" if direction else "")
            with scope(suffix):
                state = tuple(_initial(call, s, len(final), role) for s, role in zip(hx, _ROLES[kind]))
                made, last = _unroll(kind, sequence, state, groups[len(final)], sizes, direction == 1, base)
            outputs.append(made)
            final.append(last)
        sequence = outputs[0] if directions == 1 else _joined(outputs, base)
    output = concat(sequence) if packed else stack(sequence)
    if not packed and batch_first:
        output = output.transpose(0, 1)
    return (output, *(stack([last[k] for last in final]) for k in range(len(hx))))


def _initial(call: Call, states: Tensor, index: int, role: str) -> Tensor:
    made_here = states.serial not in call.recorder.live or (states.op is None and not states.name)
    if made_here and not states.numpy()[index].any():
        return zero_state(role, *states.shape[1:], dtype=states.dtype)
    return labelled(states[index], role)


def _unroll(
    kind: str,
    sequence: Sequence[Tensor],
    start: State,
    weights: Sequence[Any],
    sizes: Sequence[int],
    backwards: bool,
    base: int,
) -> tuple[list[Tensor], State]:
    """One layer in one direction. Step t has the first ``sizes[t]`` rows of the batch, the longest sequences first."""
    outputs: list[Any] = [None] * len(sequence)
    order = list(range(len(sequence)))[:: -1 if backwards else 1]
    ended: list[State] = []  # states of sequences that are over, the last to end first
    state = tuple(_rows(s, 0, sizes[order[0]]) for s in start)
    for t, after in zip(order, [*order[1:], order[-1]]):
        with scope(step=base + t):
            have, want = state[0].shape[0], sizes[t]
            if want < have:
                state = tuple(s[:want] for s in state)
            elif want > have:
                begun = [_rows(s, have, want) for s in start]  # states from outside of the steps, as the first are
                state = tuple(_relabelled(concat([s, s0]), s) for s, s0 in zip(state, begun))
            state = _step(kind, sequence[t], state, weights)
            outputs[t] = state[0]
            if sizes[after] < want:
                ended.insert(0, tuple(s[sizes[after] :] for s in state))
    if ended:
        state = tuple(_relabelled(concat([s, *parts]), s) for s, *parts in zip(state, *ended))
    return outputs, state


def _rows(state: Tensor, start: int, end: int) -> Tensor:
    return state if (start, end) == (0, state.shape[0]) else _relabelled(state[start:end], state)


def _relabelled(made: Tensor, like: Tensor) -> Tensor:
    made.role = like.role
    return made


def _joined(directions: list[list[Tensor]], base: int) -> list[Tensor]:
    joined = []
    for t, pair in enumerate(zip(*directions, strict=True)):
        with scope(step=base + t):
            joined.append(concat(pair, axis=-1))
    return joined


@handles("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _cell(call: Call, x: Tensor, hx: Any, *weights: Any) -> Any:
    kind = call.name.removesuffix("_cell")
    state = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    for value, role in zip((x, *state), ("x", *_ROLES[kind])):
        if value.role is None and (role == "x" or value.op is None):
            value.role = role
    made = _step(kind, x, state, [*weights, *[None] * (4 - len(weights))])
    return made if len(made) > 1 else made[0]


@handles("_pack_padded_sequence")
def _packed(call: Call, x: Tensor, lengths: Any, batch_first: bool = False) -> Any:
    """The rows that are there, step after step."""
    sizes = call.out[1].numpy()
    call.recorder.note("lengths of packed sequences stay as they were")
    return x[_places(sizes, batch_first)], constant(sizes)


def _places(sizes: Any, batch_first: bool) -> tuple[Any, Any]:
    """The indices of packed rows in a padded batch: of step t the first ``sizes[t]``."""
    rows = np.concatenate([np.arange(n) for n in sizes])
    times = np.repeat(np.arange(len(sizes)), sizes)
    return (rows, times) if batch_first else (times, rows)


@handles("_pad_packed_sequence")
def _padded(
    call: Call, data: Tensor, batch_sizes: Any, batch_first: bool, padding_value: float, total_length: Any = None
) -> Any:
    """The rows put back where they were, and padding around them."""
    padded, lengths = call.out
    index = _places(call.args[1].numpy(), batch_first)
    put = P.scatter(data, index=index, shape=tuple(padded.shape))
    if padding_value:
        filling = np.full(padded.shape, padding_value, data.dtype)
        filling[index] = 0
        put = put + constant(filling)
    return put, constant(lengths.numpy())
