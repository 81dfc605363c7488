"""scan: a function of a state and an input, over a sequence, as ``jax.lax.scan``.

It is unrolled: every time step is there in the graph, to be drawn and stepped through. Compiled, one that is long is
recorded as a loop, see `loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from ..arguments import answering, integer
from ..errors import DTypeError, ShapeError
from ..functional import concat, stack, where
from ..scopes import layer_step, scope
from ..tensors import Tensor, as_tensor, from_array
from ..thread_state import current
from ..user_objects import each_part
from .loop import Unrolled, can_roll, roll


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    lengths: Any = None,
    reverse: bool = False,
    length: int | None = None,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for each row ``x`` of ``xs``; returns the last carry and the ``y`` stacked.

    ``init``, ``xs`` and what ``f`` returns are tensors, or tuples, lists and dicts of them; a ``y`` may be None. ``xs``
    has time in front; instead of it None and a ``length``. ``reverse`` goes from the last row to the first, and the
    results stand where their inputs do. ``lengths``: N integers from 0 to T for sequences of their own lengths, with
    the N of them in front in carries and ``y``. A sequence that has ended keeps its carry and puts out zeros, and
    ``reverse`` begins at its own end. Or a mask (T, N) of booleans, which may have holes: so does a step that is False.

    Raises `ShapeError` where times or carries do not fit, `DTypeError` where ``f`` does not return a pair.

    >>> import tinygrad_rnn as tg
    >>> def average(mean, x):
    ...     mean = 0.5 * mean + 0.5 * x
    ...     return mean, mean
    >>> final, means = tg.scan(average, tg.zeros(1), tg.tensor([[2.0], [4.0], [8.0]]))
    >>> final.tolist(), means.tolist()
    ([5.25], [[1.0], [2.5], [5.25]])
    """
    if not callable(f):
        raise DTypeError(f"scan: f is a function of (carry, x), not {type(f).__name__}")
    leaves: list[Tensor] = []

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        given = f(carry, x)
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            what = f"{len(given)} values" if isinstance(given, (tuple, list)) else type(given).__name__
            raise DTypeError(f"scan: f returns a pair (carry, y), y may be None; this one returned {what}")
        return given[0], given[1]

    def leaf(x: Any) -> Tensor:
        leaves.append(as_tensor(x))
        return leaves[-1]

    xs = mapped(leaf, xs)
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
    init = mapped(as_tensor, init)
    if current.tracer is not None and (kept := current.tracer.keeps_loops) is not None:
        return kept.scanned(f, init, xs, None if masks is None else masks.lengths, reverse, time)
    if leaves and can_roll(time):
        return rolled(step, init, xs, masks, reverse)
    with_time = [None] * time
    for t in range(time):
        with layer_step(t, time):
            with_time[t] = mapped(lambda x: x[t], xs)  # noqa: B023  called at once
    final, ys = unroll(step, init, with_time, masks, reverse)
    return final, mapped(lambda *each: stack(each), *ys)


def unroll(
    f: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Sequence[Any],
    masks: Masks | None = None,
    reverse: bool = False,
) -> tuple[Any, list[Any]]:
    """`scan` over inputs one by one, to outputs one by one. A carry of None is where all zeros begin."""
    ys: list[Any] = [None] * len(xs)
    order = range(len(xs))
    for t in reversed(order) if reverse else order:
        with layer_step(t, len(xs)):
            new, y = f(carry, xs[t])
            if carry is not None and t == order[-1 if reverse else 0]:
                mapped(_alike, carry, new)
            if masks is not None:
                y = mapped(lambda a: masks.where(t, a, 0.0), y)  # noqa: B023  called at once
                if carry is None:
                    carry = mapped(lambda _a: 0.0, new)
                new = mapped(lambda a, b: masks.where(t, a, b, a.role), new, carry)  # noqa: B023
            carry, ys[t] = new, y
    return carry, ys


def _alike(old: Any, new: Any) -> None:
    if new is None or isinstance(new, (tuple, list, dict)):
        raise ShapeError(
            f"scan: f returned {'None' if new is None else f'a {type(new).__name__}'} for a carry that is a tensor; "
            "return a carry like the one that it is given, and y"
        )


def rolled(
    f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, masks: Masks | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """`scan` recorded as a loop; where ``carry`` is None, the first step comes before it."""
    time = len(leaves_of(xs)[0])
    going = () if masks is None else (masks.stacked(time),)
    if carry is None:
        at, rest = (time - 1, slice(0, -1)) if reverse else (0, slice(1, None))
        with scope(step=at):
            carry, y = _masked(None, *f(None, mapped(lambda x: x[at], xs)), *(g[at] for g in going))
        final, ys = _roll(f, carry, mapped(lambda x: x[rest], xs), tuple(g[rest] for g in going), reverse)

        def joined(one: Tensor, others: Tensor) -> Tensor:
            one = one.expand_dims(0)
            return concat([others, one] if reverse else [one, others])

        return final, mapped(joined, y, ys)
    return _roll(f, carry, xs, going, reverse)


def _roll(f: Any, carry: Any, xs: Any, going: tuple[Tensor, ...], reverse: bool) -> tuple[Any, Any]:
    trees: list[Any] = []

    def step(rows: list[Tensor], states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        values, before = iter(rows), iter(states)
        x, old = mapped(lambda _: next(values), xs), mapped(lambda _: next(before), carry)
        trees[:] = _masked(old, *f(old, x), *values)
        mapped(lambda _a, _b: None, trees[0], carry)  # raises where their parts differ
        return leaves_of(trees[0]), leaves_of(trees[1])

    last, stacks = roll(step, [*leaves_of(xs), *going], leaves_of(carry), reverse, strange=True)
    final, ys = (iter(last), iter(stacks))
    return mapped(lambda _: next(final), trees[0]), mapped(lambda _: next(ys), trees[1])


def _masked(old: Any, new: Any, y: Any, going: Tensor | None = None) -> tuple[Any, Any]:
    """The results of a step; of sequences that have ended, the old state and zeros."""
    if going is None:
        return new, y
    if old is None:
        old = mapped(lambda _: 0.0, new)
    mask = cache(lambda rank: going.reshape((-1, *(1,) * (rank - 1))))  # one for all values of a rank
    return mapped(lambda a, b: _chosen(mask, a, b, a.role), new, old), mapped(lambda a: _chosen(mask, a, 0.0), y)


def _chosen(mask: Callable[[int], Tensor], going: Tensor, ended: Any, role: str | None = None) -> Tensor:
    """``going`` where ``mask``, which gives booleans (N, 1, ...) of a rank, is True; ``ended`` elsewhere."""
    if not going.ndim:
        raise ShapeError(
            "scan: with lengths, carries and outputs need a first dimension, one row a sequence; f gave a number"
        )
    result = where(mask(going.ndim), going, ended)
    result.role = role
    return result


def leaves_of(tree: Any) -> list[Any]:
    """The tensors in tuples, lists and dicts, in order."""
    found: list[Any] = []
    mapped(found.append, tree)
    if not all(isinstance(x, Tensor) for x in found):
        raise Unrolled
    return found


class Masks:
    """Masks of the N sequences that go on at each of ``time`` steps: those not ended, or as a mask (T, N) says."""

    def __init__(
        self, name: str, lengths: Any, time: int, batch: int | None = None, least: int = 0, cure: str = ""
    ) -> None:
        self._known: dict[tuple[int, int], Tensor] = {}

        def check(array: Any) -> None:
            hint = cure if least and array.size and not (array.any(0) if array.ndim == 2 else array).all() else ""
            if array.dtype.kind == "b" or array.ndim == 2:
                wanted = (time, array.shape[-1] if batch is None else batch)
                if array.dtype.kind != "b" or array.shape != wanted:
                    raise DTypeError(
                        f"{name}: lengths are integers, a mask is of booleans {wanted}, a row a step; this is "
                        f"{array.dtype} {array.shape}"
                    )
                if hint:
                    raise ShapeError(f"{name}: the mask leaves a sequence no step at all{hint}")
                return
            if array.dtype.kind not in "iu":
                raise DTypeError(f"{name}: lengths must be integers, not {array.dtype}")
            right = array.ndim == 1 if batch is None else array.shape == (batch,)
            if not right or (array.size and (array.min() < least or array.max() > time)):
                count = "" if batch is None else f"{batch} "
                found = array.tolist()
                raise ShapeError(
                    f"{name}: lengths must be {count}integers from {least} to {time}, but are {found}{hint}"
                )

        self.lengths = lengths  #: checked: N integers, or booleans (T, N)
        if current.tracer is not None and isinstance(lengths, Tensor):
            current.tracer.confirm(check, [lengths])
        else:
            array = np.asarray(lengths)
            self.lengths = array if array.size else array.astype(np.int64)  # NumPy takes an empty list for floats
            check(self.lengths)

    def before_the_steps(self, time: int, rank: int) -> None:
        """Make the masks of all steps here, so that they are part of none."""
        for t in range(time):
            self.at(t, rank)

    def stacked(self, time: int) -> Tensor:
        """Booleans (T, N), of all steps."""
        return going_on(self.lengths, time)

    def at(self, t: int, rank: int) -> Tensor:
        """Booleans (N, 1, ...) of ``rank`` dimensions."""
        if (t, rank) not in self._known:
            self._known[t, rank] = self._column(self.lengths[t] if self.lengths.ndim == 2 else self.lengths > t, rank)
        return self._known[t, rank]

    def anywhere(self, rank: int) -> Tensor:
        """Booleans (N, 1, ...) of ``rank`` dimensions: which sequences have a step at all."""
        return self._column(self.lengths.sum(0) > 0 if self.lengths.ndim == 2 else self.lengths > 0, rank)

    @staticmethod
    def _column(going: Any, rank: int) -> Tensor:
        column = going.reshape((-1, *(1,) * (rank - 1)))
        return column if isinstance(column, Tensor) else from_array(column)

    def where(self, t: int, going: Tensor, ended: Any, role: str | None = None) -> Tensor:
        """``going`` for the sequences that have not ended at step ``t``, else ``ended``."""
        return _chosen(partial(self.at, t), going, ended, role)


def time_first(lengths: Any, batch_first: bool, unbatched: bool = False) -> Any:
    """A mask as booleans (T, N), laid out before as a layer's inputs are; lengths as they are."""
    if lengths is None:
        return None
    given = lengths if isinstance(lengths, Tensor) else np.asarray(lengths)
    if unbatched and given.ndim == 1 and given.dtype.kind == "b":
        return given.reshape((-1, 1))
    return given.T if batch_first and given.ndim == 2 else lengths


def going_on(lengths: Any, time: int) -> Tensor:
    """Booleans (T, N): which of N sequences of ``lengths``, checked before, are going on at each time step."""
    if lengths.ndim == 2:
        return lengths if isinstance(lengths, Tensor) else from_array(lengths)
    steps = np.arange(time)[:, None]
    if isinstance(lengths, Tensor):
        return lengths.expand_dims(0) > from_array(steps)
    return from_array(lengths[None] > steps)


def mapped(f: Callable[..., Any], *trees: Any) -> Any:
    """``f`` of what stands at the same place in tuples, lists and dicts; None stays."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, dict):
        if any(not isinstance(tree, dict) or tree.keys() != first.keys() for tree in trees):
            raise ShapeError("scan: a carry has other keys than the one before; return those that it is given")
        return each_part(lambda *each: mapped(f, *each), *trees)
    if isinstance(first, (tuple, list)):
        if any(not isinstance(tree, (tuple, list)) or len(tree) != len(first) for tree in trees):
            raise ShapeError("scan: a carry has other parts than the one before; return as many as it is given")
        return each_part(lambda *each: mapped(f, *each), *trees)
    return f(*trees)


answering(globals())
