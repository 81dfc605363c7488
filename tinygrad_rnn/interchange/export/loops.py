"""Recurrent layers and scans, recorded as loops: what `nn` unrolls, said over whole sequences.

The results are those of the unrolled layers; the tests hold the two together, setting by setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...functional import concat, stack, where, zeros
from ...nn.any_cell import beginning_anew, beginnings
from ...nn.cells import labelled
from ...nn.functional import dropout
from ...recurrence.scan import going_on, mapped
from ...scopes import scope
from ...tensors import Tensor

if TYPE_CHECKING:
    from .recorder import ExportTracer


def _column(mask: Tensor, rank: int) -> Tensor:
    return mask.reshape((-1, *(1,) * (rank - 1)))


def scanned(
    recorder: ExportTracer, f: Any, init: Any, xs: Any, lengths: Any, reverse: bool, time: int
) -> tuple[Any, Any]:
    """`scan`: ended sequences keep their carry and put out zeros. A carry of None is where all zeros begin."""
    if lengths is None:
        return recorder.loop(f, init, xs, time, reverse)

    def masked(carry: Any, row: Any) -> tuple[Any, Any]:
        x, on = row
        new, y = f(carry, x)
        before = carry if carry is not None else mapped(lambda _a: 0.0, new)

        def kept(a: Tensor, b: Any) -> Tensor:
            state = where(_column(on, a.ndim), a, b)
            state.role = a.role
            return state

        return mapped(kept, new, before), mapped(lambda a: where(_column(on, a.ndim), a, 0.0), y)

    return recorder.loop(masked, init, (xs, going_on(lengths, time)), time, reverse)


def recurrent(recorder: ExportTracer, module: Any, x: Tensor, hx: Any, lengths: Any) -> tuple[Tensor, Any]:
    """`nn.Recurrent`."""
    time, batch = x.shape[:2]
    final: list[Any] = []
    draw = recorder.out_here(module._mask)  # one mask for all steps, though its shape is only known in the loop
    for layer in range(module.num_layers):
        if layer and module.dropout:
            x = dropout(x, module.dropout, module.training)
        outputs = []
        for suffix in module._suffixes(layer):
            cell = getattr(module, suffix)
            start = module._start(suffix, hx, len(final), batch)
            given = x * module._mask(x.shape[1:]) if module._thins else x
            step, rows = module._step(cell, draw), given
            reverse = suffix.endswith("_reverse")
            if lengths is not None and module.begins_anew(suffix, start, lengths):
                start = recorder.beginning(step, given, time, reverse)  # constants are every row's, whenever it begins
                if start is None:
                    step, rows = beginning_anew(step), (given, beginnings(lengths, time, reverse))
            last, made = scanned(recorder, step, start, rows, lengths, reverse, time)
            outputs.append(made)
            final.append(last)
        x = outputs[0] if len(outputs) == 1 else concat(outputs, axis=-1)
    state: Any = tuple(map(stack, zip(*final))) if isinstance(final[0], tuple) else stack(final)
    return x, state


def layers(
    recorder: ExportTracer, module: Any, x: Tensor, initial: Any, lengths: Any
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`nn.RNN`, `nn.LSTM`, `nn.GRU`."""
    final: list[Any] = []
    on = None if lengths is None else going_on(lengths, x.shape[0]).expand_dims(2)
    for layer in range(module.num_layers):
        if layer and module.dropout:
            x = dropout(x, module.dropout, module.training)
        outputs = []
        for suffix in module._suffixes(layer):
            made, last = direction(
                recorder, module, suffix, x, module._start(suffix, initial, len(final), x.shape[1]), on
            )
            outputs.append(made)
            final.append(last)
        x = outputs[0] if len(outputs) == 1 else concat(outputs, axis=-1)
    return x, tuple(stack([last[k] for last in final]) for k in range(len(module.roles)))


def direction(
    recorder: ExportTracer, module: Any, suffix: str, x: Tensor, state: tuple[Tensor, ...], on: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer in one direction: its outputs (T, N, H), and its final state. ``on``: (T, N, 1), or None."""
    time, batch = x.shape[:2]
    weights, reverse, initial = module._weights(suffix), suffix.endswith("_reverse"), state
    with scope(suffix):
        # one row stands for the whole batch where no state was given
        state = tuple(labelled(s.broadcast_to((batch, s.shape[1])), r) for s, r in zip(state, module.roles))
        if on is None:

            def plain(carry: Any, row: Tensor) -> Any:
                new = module._cell(labelled(row, "x"), carry, weights)
                return new, new[0]

            last, made = recorder.loop(plain, state, x, time, reverse)
            return made, last
        live, repeats = module.past_end == "live", module.past_end == "repeat"
        masks = module.past_end in ("zeros", "repeat")
        shown = zeros(batch, state[0].shape[1], dtype=x.dtype) if repeats else None

        def step(carry: Any, row: Any) -> Any:
            (before, kept, shown), (value, mask) = carry, row
            new = module._cell(labelled(value, "x"), before, weights)
            y = where(mask, new[0], 0.0 if shown is None else shown) if masks else new[0]
            kept = module._chosen(mask, new, kept)
            before = new if live and not reverse else kept
            return (before, kept, y if repeats else None), y

        (state, last, _), made = recorder.loop(step, (state, state, shown), (x, on), time, reverse)
        if live and reverse:  # the padding comes after the sequence: in this direction, too

            def padding(carry: Any, row: Any) -> Any:
                value, mask, y = row
                new = module._cell(labelled(value, "x"), carry, weights)
                return module._chosen(mask, carry, new), where(mask, y, new[0])

            state, made = recorder.loop(padding, state, (x, on, made), time, True)
        if module.empty in ("zeros", "last"):
            other = state if module.empty == "last" else tuple(each * 0 for each in initial)
            last = module._chosen(on.sum(0) > 0, last, other)
    return made, last
