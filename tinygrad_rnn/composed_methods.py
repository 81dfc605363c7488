"""Methods that PyTorch's users reach for, each a few lines of what the primitives already give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

import numpy as np

from . import primitives as P
from .arguments import answering_methods, integer, number
from .array_conversion import asked_dtype
from .errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from .max_min_pair import Extreme
from .operators import Axis, Operators, either_axis, kept, one_axis
from .primitives import record
from .thread_state import current

if TYPE_CHECKING:
    from .tensors import Tensor


class Sorted(NamedTuple):
    """The result of `sort` and `topk`, as in PyTorch: the elements, and their positions."""

    values: Tensor
    indices: Tensor


@answering_methods("Tensor")
class Composed(Operators):
    """Mixed into `Tensor`: what composes is composed, so every rule here is a rule of the primitives."""

    # Sizes and the like ----------------------------------------------------------------------------------

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def size(self, dim: int | None = None, *, axis: int | None = None) -> Any:
        """The shape, or the size of one dimension, ``dim`` (``axis``)."""
        chosen = axis if dim is None else dim
        return self.shape if chosen is None else self.shape[self._axes("size", chosen)[0]]

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def cpu(self) -> Self:
        """Itself: the device is the "cpu"."""
        return self

    def cuda(self, device: Any = None) -> Tensor | Self:
        """An `ArgumentError`, whatever the ``device``: tensors are in the memory of the processor.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).cuda()
        Traceback (most recent call last):
        tinygrad_rnn...ArgumentError: Tensor.to: tensors are in the memory of the processor...
        """
        return self.to(device="cuda")

    def contiguous(self) -> Self:
        """Itself: `reshape` copies where it must."""
        return self

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Tensor | Self:
        """In another dtype: ``to(tg.float64)``, ``to("cpu", dtype=...)``, ``to(other)``. The device is the "cpu"."""
        wanted = asked_dtype("Tensor.to", args, dtype, device)
        return self if wanted is None or np.dtype(wanted) == self.dtype else self.astype(wanted)

    def clone(self) -> Tensor:
        """A copy that gradients flow through."""
        return self * 1

    # Booleans --------------------------------------------------------------------------------------------

    def _logical(self, op: P.Primitive, sign: str, other: Any) -> Tensor:
        for x in (self, other):
            if np.dtype(getattr(x, "dtype", type(x))) != np.bool_:
                kind = getattr(x, "dtype", type(x).__name__)
                example = "~(x > 0)" if sign == "~" else f"(x > 0) {sign} (y > 0)"
                raise DTypeError(f"{sign} is for booleans, not {kind}; compare first, as in {example}")
        return self._record(op, (self, other), {})

    def __and__(self, other: Any) -> Tensor:
        return self._logical(P.minimum, "&", other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return self._logical(P.maximum, "|", other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return self._logical(P.not_equal, "^", other)

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        return self._logical(P.equal, "~", False)

    def isnan(self) -> Tensor:
        """Whether each element is nan: booleans of the shape of ``x``, without a gradient.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, float("nan")]).isnan().tolist()
        [False, True]
        """
        return self != self

    def isfinite(self) -> Tensor:
        """Whether each element is neither nan nor infinite: booleans of the shape of ``x``, without a gradient.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, float("inf"), float("nan")]).isfinite().tolist()
        [True, False, False]
        """
        return self.abs() < np.inf

    def any(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Whether an element is true, or not 0, over ``axis`` (None: all), which ``keepdims`` leaves at size 1.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[True, False], [False, False]]).any(1).tolist()
        [True, False]
        """
        return (self != 0).amax(either_axis(axis, dim), kept(keepdims, keepdim))

    def all(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true, or not 0, over ``axis`` (None: all), which ``keepdims`` leaves at size 1.

        >>> import tinygrad_rnn as tg
        >>> bool((tg.ones(3) > 0).all())
        True
        """
        return (self != 0).amin(either_axis(axis, dim), kept(keepdims, keepdim))

    # Numbers ---------------------------------------------------------------------------------------------

    def __floordiv__(self, other: Any) -> Tensor:
        return self._record(P.floor_divide, (self, other), {})

    def __rfloordiv__(self, other: Any) -> Tensor:
        return self._record(P.floor_divide, (other, self), {})

    def remainder(self, other: Any) -> Tensor:
        """``x % y = x - (x // y) y``, elementwise and broadcast, with the sign of ``other``.

        It is right to the rounding of ``x``, not of the result, and nan for an infinite ``other``. The derivatives are
        1 and ``-(x // y)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([5.5, -1.0, 7.0]).remainder(2.0).tolist()
        [1.5, 1.0, 1.0]
        """
        return self - (self // other) * other

    def __mod__(self, other: Any) -> Tensor:
        return self.remainder(other)

    def __rmod__(self, other: Any) -> Tensor:
        return other - (other // self) * self

    def std(
        self,
        axis: Axis = None,
        *,
        keepdims: bool = False,
        correction: int | None = None,
        unbiased: bool | None = None,
        dim: Axis = None,
        keepdim: bool = False,
    ) -> Tensor:
        """Standard deviation over ``axis``: the square root of `var`, with its ``keepdims``, ``correction``,
        ``unbiased``.

        >>> import tinygrad_rnn as tg
        >>> float(tg.tensor([1.0, 3.0]).std(correction=0))
        1.0
        """
        return self.var(
            either_axis(axis, dim), keepdims=kept(keepdims, keepdim), correction=correction, unbiased=unbiased
        ).sqrt()

    def norm(
        self, p: Any = 2, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False
    ) -> Tensor:
        """The ``p``-norm ``sum(|x|^p)^(1/p)`` over ``axis`` (None: all), which ``keepdims`` leaves at size 1.

        As `torch.linalg.vector_norm`: infinity gives the largest ``|x|``, minus infinity the smallest, 0 the number of
        elements that are not 0, whose derivative is 0. So is that of any norm at 0. "fro" is 2. Elements are divided by
        the largest first, so that no square overflows or vanishes. Raises `ArgumentError` for another negative ``p``.

        >>> import tinygrad_rnn as tg
        >>> float(tg.tensor([3e30, 4e30]).norm() / 1e30)
        5.0
        """
        axis, keep = either_axis(axis, dim), kept(keepdims, keepdim)
        p = 2 if p == "fro" else p
        if not (number(p, "norm: p") >= 0 or p == -np.inf):
            raise ArgumentError(f"norm: p is 0, positive, inf or -inf, not {p!r}; write (abs(x) ** p).sum() ** (1 / p)")
        magnitude = self.abs()
        if p == 0:
            return P.where(magnitude == 0, magnitude, 1.0).sum(axis, keep)
        if np.isinf(p):
            return magnitude.amax(axis, keep) if p > 0 else magnitude.amin(axis, keep)
        largest = magnitude.detach().amax(axis, True) if record.size_of(self.shape) else magnitude.sum(axis, True)
        scale = P.where((largest > 0) & largest.isfinite(), largest, 1.0)
        total = ((magnitude / scale) ** p).sum(axis, True)
        some = total > 0
        result = P.where(some, P.where(some, total, 1.0) ** (1.0 / p), 0.0) * scale
        return result if keep else result.sum(axis)

    # Choosing --------------------------------------------------------------------------------------------

    @overload
    def max(
        self, dim: None = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool | None = None
    ) -> Tensor: ...

    @overload
    def max(self, dim: int, keepdim: bool = False) -> Extreme: ...

    @overload
    def max(self, dim: int | tuple[int, ...], *, keepdims: bool) -> Tensor: ...

    @overload
    def max(self, dim: tuple[int, ...], keepdim: bool = False) -> Tensor: ...

    def max(
        self, dim: Axis = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool | None = None
    ) -> Tensor | Extreme:
        """The largest element of all; along one ``dim`` the pair ``(values, indices)``, as PyTorch's.

        The values have this shape without ``dim`` (size 1 there with ``keepdim``), and so have the integer indices, of
        the first if several are largest; the gradient goes to the element that is named. NumPy's words, ``axis`` and
        ``keepdims``, give NumPy's answer, the values alone, and so does a tuple of dimensions: that is `amax`, where
        equal elements share the gradient.

        >>> import tinygrad_rnn as tg
        >>> values, indices = tg.tensor([[1.0, 3.0], [4.0, 2.0]]).max(1)
        >>> values.tolist(), indices.tolist()
        ([3.0, 4.0], [1, 0])
        """
        if dim is None or axis is not None or keepdims is not None or isinstance(dim, (tuple, list)):
            return self.amax(either_axis(axis, dim), kept(keepdim, keepdims))
        return self._extreme("max", self.argmax(dim), dim, keepdim)

    @overload
    def min(
        self, dim: None = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool | None = None
    ) -> Tensor: ...

    @overload
    def min(self, dim: int, keepdim: bool = False) -> Extreme: ...

    @overload
    def min(self, dim: int | tuple[int, ...], *, keepdims: bool) -> Tensor: ...

    @overload
    def min(self, dim: tuple[int, ...], keepdim: bool = False) -> Tensor: ...

    def min(
        self, dim: Axis = None, keepdim: bool = False, *, axis: Axis = None, keepdims: bool | None = None
    ) -> Tensor | Extreme:
        """The smallest element of all; along one ``dim`` the pair ``(values, indices)``: see `max`.

        ``axis`` and ``keepdims`` are NumPy's words, and give the values alone.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[2.0, 1.0], [3.0, 4.0]]).min(dim=1).values.tolist()
        [1.0, 3.0]
        """
        if dim is None or axis is not None or keepdims is not None or isinstance(dim, (tuple, list)):
            return self.amin(either_axis(axis, dim), kept(keepdim, keepdims))
        return self._extreme("min", self._turned_over().argmax(dim), dim, keepdim)

    def _extreme(self, name: str, at: Tensor, dim: int, keepdim: bool) -> Extreme:
        (axis,) = self._axes(name, dim)
        kept = at.expand_dims(axis)
        values = self.gather(axis, kept)
        return Extreme(values, kept) if keepdim else Extreme(values.squeeze(axis), at)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """``value`` where ``mask`` holds, this tensor elsewhere; filled positions get a gradient of exactly 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 2.0]).masked_fill(tg.tensor([True, False]), 0.0).tolist()
        [0.0, 2.0]
        """
        return P.where(self._coerced(mask), value, self)

    def gather(self, dim: int | None = None, index: Any = None, *, axis: int | None = None) -> Tensor:
        """Elements at integer positions ``index`` along ``dim``: ``y[i][j] = x[index[i][j]][j]`` for ``dim=0``.

        ``index`` has as many dimensions as this tensor, and outside ``dim`` at most its sizes. Returns its shape.
        Raises `ShapeError` for another shape, `DTypeError` unless it holds integers, `OutOfRangeError` for one
        outside.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).gather(1, tg.tensor([[1], [0]])).tolist()
        [[2.0], [3.0]]
        """
        (chosen,) = self._axes("gather", one_axis("gather", axis, dim))
        index = self._coerced(index)
        if index.ndim != self.ndim or any(
            n > m for i, (n, m) in enumerate(zip(index.shape, self.shape)) if i != chosen
        ):
            raise ShapeError(
                f"gather: the index has shape {index.shape}, which must have as many dimensions as {self.shape} "
                f"and outside dimension {chosen} at most its sizes"
            )
        self._inside("gather", index, chosen)
        strides = [record.size_of(self.shape[i + 1 :]) for i in range(self.ndim)]
        others = np.zeros(index.shape, np.int64)
        for i, stride in enumerate(strides):
            if i != chosen:
                others = others + stride * np.arange(index.shape[i]).reshape(
                    [-1 if j == i else 1 for j in range(self.ndim)]
                )
        inside = (index >= 0) & (index < self.shape[chosen])  # what is outside stays outside, and `take` says so
        position = P.where(inside, index * strides[chosen] + others, record.size_of(self.shape))
        return P.take(self.reshape(-1), position)

    def index_select(self, dim: int | None = None, index: Any = None, *, axis: int | None = None) -> Tensor:
        """The slices along ``dim`` at ``index``, integers of one dimension; what is chosen twice adds up its gradients.

        Raises `ShapeError` for an ``index`` of more dimensions, `OutOfRangeError` for one outside, also below 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 2.0, 3.0]]).index_select(1, tg.tensor([2, 0])).tolist()
        [[3.0, 1.0]]
        """
        (chosen,) = self._axes("index_select", one_axis("index_select", axis, dim))
        index = self._coerced(index)
        if index.ndim > 1:
            raise ShapeError(f"index_select: the index is of one dimension, not of shape {index.shape}")
        self._inside("index_select", index, chosen)
        return self[(*[slice(None)] * chosen, index.reshape(-1))]

    def roll(
        self,
        shifts: int | tuple[int, ...] | list[int],
        dims: Axis | list[int] = None,
        *,
        axis: Axis | list[int] = None,
        dim: Axis | list[int] = None,
    ) -> Tensor:
        """Moved on by ``shifts`` along ``dims``, or ``axis``, what leaves at the end comes back at the start.

        Without them this is done with all elements in one row. Raises `ShapeError` unless there are as many shifts
        as dimensions.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1, 2, 3]).roll(1).tolist(), tg.tensor([[1, 2], [3, 4]]).roll((1, 1), (0, 1)).tolist()
        ([3, 1, 2], [[4, 3], [2, 1]])
        """
        chosen = either_axis(either_axis(dims, axis), dim)
        if chosen is None:
            return self.reshape(-1).roll(shifts, 0).reshape(self.shape)
        steps = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
        named = chosen if isinstance(chosen, tuple) else (chosen,)
        axes = [each for one in named for each in self._axes("roll", one)]
        if len(steps) != len(axes):
            raise ShapeError(f"roll: {len(steps)} shifts for {len(axes)} dimensions")
        rolled = self._coerced(self)
        for step, each in zip(steps, axes):
            order = np.roll(np.arange(self.shape[each]), integer(step, "roll: a shift"))
            rolled = rolled[(*[slice(None)] * each, order)]
        return rolled

    def _inside(self, name: str, index: Tensor, axis: int) -> None:
        """Refuse integers that are no place along ``axis``; what is being traced has no values to look at."""
        if index.dtype.kind not in "iu":
            raise DTypeError(f"{name}: the index must be integers, not {index.dtype}")
        if current.tracer is not None:
            return
        given = index._array
        outside = (given < 0) | (given >= self.shape[axis])
        if outside.any():
            at = tuple(map(int, np.argwhere(outside)[0]))
            raise OutOfRangeError(
                f"{name}: index {given[at]} at position {at} is outside dimension {axis} of {self._described()}; use "
                f"indices from 0 to {self.shape[axis] - 1}"
            )

    def argmin(
        self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None, keepdim: bool = False
    ) -> Tensor:
        """Position of the first smallest element along ``axis`` (None: in all); see `argmax` for ``keepdims``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 3.0], [4.0, 2.0]]).argmin(1).tolist()
        [0, 1]
        """
        return self._turned_over().argmax(axis if dim is None else dim, kept(keepdims, keepdim))

    def argsort(
        self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None
    ) -> Tensor:
        """Positions (int64) that put the elements along ``dim`` in order, or with ``descending`` in falling order.

        Equal ones keep theirs, whether ``stable`` asks for it or not.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([3.0, 1.0, 2.0]).argsort().tolist()
        [1, 2, 0]
        """
        (chosen,) = self._axes("argsort", integer(dim if axis is None else axis, "an axis"))
        return self._record(P.argsort, (-self if descending else self,), {"axis": chosen})

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None) -> Sorted:
        """The elements along ``dim`` in order (``descending``: falling), and where they were: ``(values, indices)``.

        Equal ones keep their order, whether ``stable`` asks for it or not.

        >>> import tinygrad_rnn as tg
        >>> values, indices = tg.tensor([3.0, 1.0, 2.0]).sort()
        >>> values.tolist(), indices.tolist()
        ([1.0, 2.0, 3.0], [1, 2, 0])
        """
        chosen = dim if axis is None else axis
        order = self.argsort(chosen, descending, stable)
        return Sorted(self.gather(chosen, order), order)

    def topk(
        self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, axis: int | None = None
    ) -> Sorted:
        """The ``k`` ``largest`` (or smallest) elements along ``dim``, best first: ``(values, indices)``.

        They are in order also where ``sorted`` does not ask for it. Raises `ShapeError` if there are not so many.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([3.0, 1.0, 2.0]).topk(2).indices.tolist()
        [0, 2]
        """
        (chosen,) = self._axes("topk", integer(dim if axis is None else axis, "an axis"))
        if not 0 <= integer(k, "topk: k") <= self.shape[chosen]:
            raise ShapeError(
                f"topk: k is {k}, but dimension {chosen} of {self.shape} has {self.shape[chosen]} elements"
            )
        order = self.argsort(chosen, largest)[(*[slice(None)] * chosen, slice(0, k))]
        return Sorted(self.gather(chosen, order), order)

    def tril(self, diagonal: int = 0) -> Tensor:
        """The lower triangle of the last two dimensions, 0 above ``diagonal`` (0: the main one, 1: the one above it).

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 3).tril().tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
        """
        return P.where(self._below("tril", diagonal), self, 0)

    def triu(self, diagonal: int = 0) -> Tensor:
        """The upper triangle of the last two dimensions, 0 below ``diagonal`` (0: the main one, 1: the one above it).

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 3).triu(1).tolist()
        [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
        """
        return P.where(~self._below("triu", integer(diagonal, "triu: diagonal") - 1), self, 0)

    def _below(self, name: str, diagonal: int) -> Tensor:
        """A mask of the last two dimensions, true on or below a diagonal."""
        if self.ndim < 2:
            raise ShapeError(f"{name}: a triangle is of two dimensions or more, not of shape {self.shape}")
        rows, columns = self.shape[-2:]
        return self._coerced(np.tri(rows, columns, integer(diagonal, f"{name}: diagonal"), dtype=bool))

    # Shapes ----------------------------------------------------------------------------------------------

    def bmm(self, other: Any) -> Tensor:
        """One matrix product per batch row with ``other``: (B, n, m) @ (B, m, p) -> (B, n, p), else `ShapeError`.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(4, 2, 3).bmm(tg.ones(4, 3, 5)).shape
        (4, 2, 5)
        """
        other = self._coerced(other)
        if self.ndim != 3 or other.ndim != 3 or self.shape[0] != other.shape[0]:
            raise ShapeError(
                f"bmm: takes (B, n, m) and (B, m, p), not {self.shape} and {other.shape}; @ broadcasts, this does not"
            )
        return self @ other

    def flatten(
        self, start_dim: int = 0, end_dim: int = -1, *, start_axis: int | None = None, end_axis: int | None = None
    ) -> Tensor:
        """Dimensions ``start_dim`` to ``end_dim`` (``start_axis``, ``end_axis``), both included, as one.

        Raises `ShapeError` if the first comes later.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2, 3, 4).flatten(1).shape
        (2, 12)
        """
        if not self.ndim:
            return self.reshape(1)
        start_dim = integer(start_dim if start_axis is None else start_axis, "flatten: start_dim")
        end_dim = integer(end_dim if end_axis is None else end_axis, "flatten: end_dim")
        (start,), (end,) = self._axes("flatten", start_dim), self._axes("flatten", end_dim)
        if start > end:
            raise ShapeError(f"flatten: dimension {start_dim} comes after {end_dim} in shape {self.shape}")
        merged = record.size_of(self.shape[start : end + 1])
        return self.reshape((*self.shape[:start], merged, *self.shape[end + 1 :]))

    def unbind(self, dim: int = 0, *, axis: int | None = None) -> tuple[Tensor, ...]:
        """The slices along ``dim``, without it, as a tuple: the rows of a matrix, the steps of a sequence.

        >>> import tinygrad_rnn as tg
        >>> [step.tolist() for step in tg.tensor([[1, 2], [3, 4]]).unbind()]
        [[1, 2], [3, 4]]
        """
        (chosen,) = self._axes("unbind", integer(dim if axis is None else axis, "an axis"))
        return tuple(self[(*[slice(None)] * chosen, i)] for i in range(self.shape[chosen]))

    def repeat(self, *sizes: int | tuple[int, ...] | list[int]) -> Tensor:
        """Copies side by side, ``sizes`` times along each dimension (new ones in front): NumPy's ``tile``.

        Raises `ShapeError` for fewer sizes than dimensions, or a size below 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 2.0]).repeat(2, 2).tolist()
        [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
        """
        given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
        times = tuple(integer(n, "repeat: a size") for n in given)
        if len(times) < self.ndim or min(times, default=0) < 0:
            raise ShapeError(
                f"repeat: wants a number of copies, from 0, for each dimension of {self.shape}, not {times}"
            )
        shape = (1,) * (len(times) - self.ndim) + self.shape
        apart = self.reshape(tuple(n for size in shape for n in (1, size)))
        copies = apart.broadcast_to(tuple(n for pair in zip(times, shape) for n in pair))
        return copies.reshape(tuple(t * n for t, n in zip(times, shape)))

    # Dtypes ----------------------------------------------------------------------------------------------

    def long(self) -> Tensor:
        """As int64, cut off towards 0; no gradient flows through integers.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.9, -1.9]).long().tolist()
        [1, -1]
        """
        return self.astype(np.int64)

    def bool(self) -> Tensor:
        """As booleans: whether each element is not 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0, 0.5]).bool().tolist()
        [False, True]
        """
        return self.astype(np.bool_)
