"""Scans, and what recurrent layers do past a sequence's end, recorded as loops: what `nn` unrolls.

The results are those of the unrolled layers; the tests hold the two together, setting by setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...functional import where, zeros
from ...nn.cells import labelled
from ...recurrence.scan import going_on, mapped
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


def past_ends(
    recorder: ExportTracer, module: Any, suffix: str, x: Tensor, initial: tuple[Tensor, ...], lengths: Any
) -> tuple[tuple[Tensor, ...], Tensor]:
    """A layer in one direction, of settings that say what is past a sequence's end: its final state, its outputs."""
    time, batch = x.shape[:2]
    on = going_on(lengths, time).expand_dims(2)
    weights, reverse = module._weights(suffix), suffix.endswith("_reverse")
    # one row stands for the whole batch where no state was given
    start = tuple(labelled(s.broadcast_to((batch, s.shape[1])), r) for s, r in zip(initial, module.roles))
    live, repeats = module.past_end == "live", module.past_end == "repeat"
    masks = module.past_end in ("zeros", "repeat")
    shown = zeros(batch, start[0].shape[1], dtype=x.dtype) if repeats else None

    def step(carry: Any, row: Any) -> Any:
        (before, kept, shown), (value, mask) = carry, row
        new = module._cell(value, before, weights)
        y = where(mask, new[0], 0.0 if shown is None else shown) if masks else new[0]
        kept = module._chosen(mask, new, kept)
        before = new if live and not reverse else kept
        return (before, kept, y if repeats else None), y

    (state, last, _), made = recorder.loop(step, (start, start, shown), (x, on), time, reverse)
    if live and reverse:  # the padding comes after the sequence: in this direction, too

        def padding(carry: Any, row: Any) -> Any:
            value, mask, y = row
            new = module._cell(value, carry, weights)
            return module._chosen(mask, carry, new), where(mask, y, new[0])

        state, made = recorder.loop(padding, state, (x, on, made), time, True)
    if module.empty in ("zeros", "last"):
        other = state if module.empty == "last" else tuple(each * 0 for each in initial)
        last = module._chosen(on.sum(0) > 0, last, other)
    return last, made
