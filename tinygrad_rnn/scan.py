"""scan: a function of a state and an input, over a sequence, as ``jax.lax.scan``.

It is unrolled: every time step is there in the graph, to be drawn and stepped through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arguments import answerable
from .current import current
from .errors import DTypeError, ShapeError
from .functional import stack, where
from .primitives.record import integer
from .scope import scope
from .tensor import Tensor, as_tensor, from_array


@answerable
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, lengths: Any = None, reverse: bool = False,
    length: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """``carry, y = f(carry, x)`` for each row ``x`` of ``xs``; returns the last carry and the ``y`` stacked.

    ``init``, ``xs`` and what ``f`` returns are tensors, or tuples, lists and dicts of them; a ``y`` may be None. ``xs``
    has time in front; instead of it None and a ``length``. ``reverse`` goes from the last row to the first, and the
    results stand where their inputs do. ``lengths``: N integers from 0 to T for sequences of their own lengths, with
    the N of them in front in carries and ``y``. A sequence that has ended keeps its carry and puts out zeros, and
    ``reverse`` begins at its own end.

    >>> import tinygrad_rnn as tg
    >>> def average(mean, x):
    ...     mean = 0.5 * mean + 0.5 * x
    ...     return mean, mean
    >>> final, means = tg.scan(average, tg.zeros(1), tg.tensor([[2.0], [4.0], [8.0]]))
    >>> final.tolist(), means.tolist()
    ([5.25], [[1.0], [2.5], [5.25]])
    """
    leaves: list[Tensor] = []
    xs = mapped(lambda x: leaves.append(as_tensor(x)) or leaves[-1], xs)  # type: ignore[func-returns-value]
    times = {len(x) for x in leaves} | ({integer(length, "scan: length")} if length is not None else set())
    if len(times) != 1:
        wanted = "xs, or a length" if not times else "xs of one length"
        raise ShapeError(
            f"scan: give {wanted}; its parts are of {', '.join(str(x.shape) for x in leaves) or 'nothing'}"
        )
    (time,) = times
    if not time:
        raise ShapeError("scan: the sequence has no time steps; give at least one")
    masks = None if lengths is None else Masks("scan", lengths, time)
    if current.tracer is not None and current.tracer.keeps_loops:
        return current.tracer.scanned(f, mapped(as_tensor, init), xs, lengths, reverse, time)
    with_time = [None] * time
    for t in range(time):
        with scope(step=t):
            with_time[t] = mapped(lambda x: x[t], xs)  # noqa: B023  called at once
    init = mapped(as_tensor, init)
    final, ys = unroll(f, init, with_time, masks, reverse)
    return final, mapped(lambda *each: stack(each), *ys)


def unroll(
    f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Sequence[Any], masks: Masks | None = None,
    reverse: bool = False,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """`scan` over inputs one by one, to outputs one by one. A carry of None is where all zeros begin."""
    ys: list[Any] = [None] * len(xs)
    order = range(len(xs))
    for t in reversed(order) if reverse else order:
        with scope(step=t):
            new, y = f(carry, xs[t])
            if masks is not None:
                y = mapped(lambda a: masks.where(t, a, 0.0), y)  # noqa: B023  called at once
                if carry is None:
                    carry = mapped(lambda _a: 0.0, new)
                new = mapped(lambda a, b: masks.where(t, a, b, a.role), new, carry)  # noqa: B023
            carry, ys[t] = new, y
    return carry, ys


class Masks:
    """Which of N sequences are still going on at each of ``time`` steps."""

    def __init__(self, name: str, lengths: Any, time: int, batch: int | None = None) -> None:
        self._known: dict[tuple[int, int], Tensor] = {}

        def check(array: Any) -> None:
            if array.dtype.kind not in "iu":
                raise DTypeError(f"{name}: lengths must be integers, not {array.dtype}")
            right = array.ndim == 1 if batch is None else array.shape == (batch,)
            if not right or (array.size and (array.min() < 0 or array.max() > time)):
                count = "" if batch is None else f"{batch} "
                raise ShapeError(f"{name}: lengths must be {count}integers from 0 to {time}, but are {array.tolist()}")

        self._lengths = lengths
        if current.tracer is not None and isinstance(lengths, Tensor):
            current.tracer.confirm(check, [lengths])
        else:
            array = np.asarray(lengths)
            self._lengths = array if array.size else array.astype(np.int64)  # NumPy takes an empty list for floats
            check(self._lengths)

    def at(self, t: int, rank: int) -> Tensor:
        """Booleans (N, 1, ...) of ``rank`` dimensions."""
        if (t, rank) not in self._known:
            going = self._lengths > t
            shape = (-1, *(1,) * (rank - 1))
            self._known[t, rank] = (
                going.reshape(shape) if isinstance(going, Tensor) else from_array(going.reshape(shape))
            )
        return self._known[t, rank]

    def where(self, t: int, going: Tensor, ended: Any, role: str | None = None) -> Tensor:
        """``going`` for the sequences that have not ended, else ``ended``."""
        if not going.ndim:
            raise ShapeError("scan: with lengths, carries and outputs have the sequences as their first dimension")
        result = where(self.at(t, going.ndim), going, ended)
        result.role = role
        return result


def mapped(f: Callable[..., Any], *trees: Any) -> Any:
    """``f`` of what stands at the same place in tuples, lists and dicts; None stays."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: mapped(f, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, (tuple, list)):
        if any(not isinstance(tree, (tuple, list)) or len(tree) != len(first) for tree in trees):
            raise ShapeError("scan: a carry has other parts than the one before; return as many as it is given")
        parts = [mapped(f, *each) for each in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return f(*trees)
