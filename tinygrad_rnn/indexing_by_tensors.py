"""Indexing by integer tensors while a function is recorded: their numbers are not there yet, and differ between calls.

``x[i, :, j]`` is recorded as a `take` from the indexed dimensions laid end to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import primitives as P
from .errors import DTypeError, OutOfRangeError
from .primitives import record
from .recorded_value import Recorded
from .thread_state import current

if TYPE_CHECKING:
    from .operators import Operators
    from .tensors import Tensor


def follows_tensors(index: tuple[Any, ...]) -> bool:
    """Whether an index has an integer tensor that what is being recorded has to follow."""
    if current.tracer is None:
        return False
    return any(isinstance(part, Recorded) and cast("Tensor", part).dtype.kind in "iu" for part in index)


def taken(x: Operators, index: tuple[Any, ...]) -> Tensor:
    """``x[index]`` by NumPy's rules, for integers, integer arrays and tensors, slices, None and ``...``."""
    parts, dots = _spelled_out(x, index)
    chosen = [k for k, part in enumerate(parts) if part is not None and not isinstance(part, slice)]
    x = x[tuple(slice(None) if k in chosen else part for k, part in enumerate(parts))]
    others = [k for k in range(x.ndim) if k not in chosen]
    rows = x.permute(*chosen, *others).reshape(-1, *(x.shape[k] for k in others))
    place: Any = 0
    inside: Any = True
    for k in sorted(chosen, key=lambda k: isinstance(parts[k], np.ndarray)):  # a tensor first, which takes arrays in
        part, size = parts[k], x.shape[k]
        stride = record.size_of(tuple(x.shape[j] for j in chosen if j > k))
        place = place + (np if isinstance(part, np.ndarray) else P).where(part < 0, part + size, part) * stride
        within = (part >= -size) & (part < size)
        inside = within if inside is True else inside & within
    if len(chosen) > 1:  # of one dimension what is outside is outside the rows, too
        place = P.where(inside, place, -1)
    found = P.take(rows, place)
    apart = chosen != list(range(chosen[0], chosen[0] + len(chosen))) or chosen[0] < dots <= chosen[-1]
    if apart:  # then what they choose comes first, else where they stand
        return found
    count, front = found.ndim - len(others), chosen[0]
    return found.permute(*range(count, count + front), *range(count), *range(count + front, found.ndim))


def _spelled_out(x: Operators, index: tuple[Any, ...]) -> tuple[list[Any], int]:
    """One part for each dimension that ``x`` has or gets, with slices for ``...``; and where that stood."""
    used = sum(part is not None and part is not Ellipsis for part in index)
    if used > x.ndim:
        raise OutOfRangeError(f"{used} indices for the {x.ndim} dimensions of a tensor {x.shape}")
    dots = next((k for k, part in enumerate(index) if part is Ellipsis), len(index))
    parts = [*index[:dots], *[slice(None)] * (x.ndim - used), *index[dots + 1 :]]
    for k, part in enumerate(parts):
        if part is not None and not isinstance(part, (slice, Recorded)):
            parts[k] = np.asarray(part)
        if getattr(parts[k], "dtype", np.dtype(int)).kind not in "iu":
            raise DTypeError(
                f"indices beside an integer tensor must be integers, slices, None or ..., not {part!r:.40}"
            )
    return parts, dots
