"""Functions of tensors: the methods under their function names, and what takes several tensors.

Everything accepts tensors, arrays and numbers. Losses and other layers' functions are in `tinygrad_rnn.nn.functional`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from . import numpy_protocol
from . import primitives as P
from .arguments import answering, as_dtype, integer
from .array_conversion import asked_dtype, refuse_lost_gradients
from .errors import ArgumentError, DTypeError, KeywordError, ShapeError
from .random import generator
from .settings import get_default_dtype
from .tensors import Tensor, as_tensor


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """``a`` where ``condition`` (booleans) holds, ``b`` elsewhere, all broadcast.

    The branch not taken gets an exact 0 gradient, also where the branch itself is nan or infinite.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([0.0, 4.0], requires_grad=True)
    >>> tg.where(x > 0, x, 1.0).sqrt().sum().backward()
    >>> x.grad
    tensor([0.  , 0.25])
    """
    return P.where(as_tensor(condition), a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of ``a`` and ``b``, elementwise and broadcast; equal elements share the gradient half and half.

    >>> import tinygrad_rnn as tg
    >>> tg.maximum(tg.tensor([1.0, 5.0]), 3.0).tolist()
    [3.0, 5.0]
    """
    return _first(a, b)._record(P.maximum, (a, b), {})


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of ``a`` and ``b``, elementwise and broadcast; equal elements share the gradient half and half.

    >>> import tinygrad_rnn as tg
    >>> tg.minimum(tg.tensor([1.0, 5.0]), 3.0).tolist()
    [1.0, 3.0]
    """
    return _first(a, b)._record(P.minimum, (a, b), {})


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product ``a @ b``: (..., n, m), (..., m, p) -> (..., n, p).

    Leading dimensions broadcast; vectors as in NumPy. The gradients are ``g b^T`` and ``a^T g``. Raises
    `ShapeError` where the m differ.

    >>> import tinygrad_rnn as tg
    >>> tg.matmul(tg.ones(2, 3), tg.ones(3, 4)).shape
    (2, 4)
    """
    return _first(a, b)._record(P.matmul, (a, b), {})


def outer(a: Any, b: Any) -> Tensor:
    """``a[i] * b[j]`` of two vectors, (n,) and (m,): an (n, m) matrix. Raises `ShapeError` for others.

    >>> import tinygrad_rnn as tg
    >>> tg.outer([1.0, 2.0], [3.0, 4.0]).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(f"outer takes two vectors, not {a._described()} and {b._described()}")
    return a.expand_dims(1) * b


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Einstein summation of ``operands`` with NumPy's ``subscripts``.

    The output may be implicit, indices repeat, and ``...`` stands for several. Raises `ShapeError` where an index
    has two sizes or the subscripts do not fit, `DTypeError` if they are no text.

    >>> import tinygrad_rnn as tg
    >>> tg.einsum("ii->i", tg.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    if not isinstance(subscripts, str):
        raise DTypeError(f"einsum: the subscripts come first, a text, not {type(subscripts).__name__}")
    tensors = [as_tensor(x) for x in operands]
    terms, output, dots = _explicit_subscripts(subscripts, tensors)
    for k, term in enumerate(terms):
        for letter in dots:  # as in any broadcasting, a dimension of size 1 under ... repeats
            sizes = [x.shape[t.index(letter)] for x, t in zip(tensors, terms, strict=True) if letter in t]
            if letter in term and tensors[k].shape[term.index(letter)] == 1 and builtins.any(n != 1 for n in sizes):
                tensors[k] = tensors[k].squeeze(term.index(letter))
                terms[k] = term = term.replace(letter, "")
        for letter in dict.fromkeys(term):
            while term.count(letter) > 1:  # the diagonal of two equal indices
                first, second = term.index(letter), term.rindex(letter)
                if tensors[k].shape[first] != tensors[k].shape[second]:
                    raise ShapeError(
                        f"einsum: index {letter!r} repeats in operand {k} with sizes that differ: {tensors[k].shape}"
                    )
                axes = [i for i in range(len(term)) if i not in (first, second)]
                n = np.arange(tensors[k].shape[first])
                tensors[k] = tensors[k].permute([first, second, *axes])[n, n]
                term = letter + "".join(term[i] for i in axes)
        terms[k] = term
    return tensors[0]._record(P.einsum, tuple(tensors), {"subscripts": ",".join(terms) + "->" + output})


def _explicit_subscripts(subscripts: str, tensors: list[Tensor]) -> tuple[list[str], str, str]:
    """Subscripts with an output and letters in place of every ``...``; and these letters."""
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ShapeError(f"einsum: {subscripts!r} is for {len(terms)} operand(s), but got {len(tensors)}")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
    ranks = [x.ndim - len(term.replace("...", "")) for term, x in zip(terms, tensors, strict=True)]
    widest = builtins.max((rank for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0)
    dots = "".join(free[:widest])
    full = [
        term.replace("...", dots[widest - rank :] if rank > 0 else "") for term, rank in zip(terms, ranks, strict=True)
    ]
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        output = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    output = output.replace("...", dots)
    for letter in output:
        if not builtins.any(letter in term for term in full) or output.count(letter) > 1:
            raise ShapeError(f"einsum: output index {letter!r} of {subscripts!r} must be one index of an operand, once")
    return full, output, dots


def concat(tensors: Sequence[Any], axis: int = 0, *, dim: int | None = None) -> Tensor:
    """``tensors`` one after the other along an existing ``axis``; their other sizes are equal, else `ShapeError`.

    >>> import tinygrad_rnn as tg
    >>> tg.concat([tg.tensor([1.0]), tg.tensor([2.0, 3.0])]).tolist(), tg.cat([tg.ones(2, 1), tg.ones(2, 3)], 1).shape
    ([1.0, 2.0, 3.0], (2, 4))
    """
    operands = _some(tensors, "concat", axis)
    return operands[0]._record(P.concat, operands, {"axis": integer(axis if dim is None else dim, "an axis")})


cat = concat


def stack(tensors: Sequence[Any], axis: int = 0, *, dim: int | None = None) -> Tensor:
    """``tensors`` of one shape, else `ShapeError`, side by side along a new ``axis``.

    >>> import tinygrad_rnn as tg
    >>> tg.stack([tg.ones(3), tg.zeros(3)], axis=1).shape
    (3, 2)
    """
    operands = _some(tensors, "stack", axis)
    return operands[0]._record(P.stack, operands, {"axis": integer(axis if dim is None else dim, "an axis")})


def take(table: Any, indices: Any, axis: int = 0, *, dim: int | None = None) -> Tensor:
    """Rows of ``table`` (n, ...) at integer ``indices`` (any shape): (*indices, ...); repeats add up in the gradient.

    Along another ``axis`` its slices are taken, and the dimensions of ``indices`` stand in its place, as in NumPy.
    Raises `OutOfRangeError` for an index outside.

    >>> import tinygrad_rnn as tg
    >>> tg.take(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0]).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    table, indices = as_tensor(table), as_tensor(indices)
    (chosen,) = table._axes("take", integer(axis if dim is None else dim, "an axis"))
    if not chosen:
        return table._record(P.take, (table, indices), {})
    front = table.permute((chosen, *(i for i in range(table.ndim) if i != chosen)))
    taken, rank = take(front, indices), indices.ndim
    return taken.permute((*range(rank, rank + chosen), *range(rank), *range(rank + chosen, taken.ndim)))


def one_hot(indices: Any, num_classes: int, dtype: Any = None) -> Tensor:
    """Vectors with a 1 at ``indices`` (integers below ``num_classes``) and 0 elsewhere: (...) -> (..., num_classes).

    Of ``dtype``, the default dtype unless told. Raises `OutOfRangeError` for an index outside.

    >>> import tinygrad_rnn as tg
    >>> tg.one_hot([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    wanted = as_dtype(dtype, "one_hot") if dtype is not None else get_default_dtype()
    tensor, num_classes = as_tensor(indices), integer(num_classes, "one_hot: num_classes")
    return tensor._record(P.one_hot, (tensor,), {"num_classes": num_classes, "dtype": wanted, "strict": True})


def arange(
    start: float | None = None,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """``start`` (0 if only one number is given), and on in steps of ``step``, up to but without ``end``.

    Integers give int64, other numbers the default dtype, unless ``dtype`` says. Raises `ArgumentError` for a step of 0,
    and without an end.

    >>> import tinygrad_rnn as tg
    >>> tg.arange(1, 7, 2).tolist()
    [1, 3, 5]
    """
    if not step:
        raise ArgumentError("arange: a step of 0 never gets anywhere")
    if start is None and end is None:
        raise ArgumentError("arange: up to what? give an end, as in tg.arange(5)")
    first, last = (0, start) if end is None else (start or 0, end)
    values = np.arange(first, last, step)
    default = np.int64 if values.dtype.kind in "iu" else None
    return _new("arange", values, dtype, device, requires_grad, default)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included, at equal distances.

    >>> import tinygrad_rnn as tg
    >>> tg.linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    values = np.linspace(start, end, integer(steps, "linspace: steps"))
    return _new("linspace", values, dtype, device, requires_grad)


def full(
    size: int | Sequence[int], fill_value: float, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A new tensor of ``size``, its shape, with ``fill_value`` everywhere; floats take the default dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.full((2, 2), 7.0).tolist()
    [[7.0, 7.0], [7.0, 7.0]]
    """
    refuse_lost_gradients([fill_value])
    values = np.full(_shape(tuple(size) if isinstance(size, Sequence) else (size,)), fill_value)
    default = values.dtype if values.dtype.kind in "iub" else None
    return _new("full", values, dtype, device, requires_grad, default)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """The (``n``, ``m``) matrix with ones on its diagonal; square unless ``m`` is given.

    >>> import tinygrad_rnn as tg
    >>> tg.eye(2, 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    rows, columns = _shape((n, n if m is None else m))
    return _new("eye", np.eye(rows, columns), dtype, device, requires_grad)


def zeros_like(x: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros of the shape of ``x``, and of its dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.zeros_like(tg.tensor([1, 2])).tolist()
    [0, 0]
    """
    return full_like(x, 0, dtype=dtype, requires_grad=requires_grad, device=device)


def ones_like(x: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones of the shape of ``x``, and of its dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.ones_like([[0.5, 2.0]]).tolist()
    [[1.0, 1.0]]
    """
    return full_like(x, 1, dtype=dtype, requires_grad=requires_grad, device=device)


def full_like(
    x: Any, fill_value: float, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """``fill_value`` everywhere, of the shape of ``x``, and of its dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.full_like(tg.zeros(3), 0.5).tolist()
    [0.5, 0.5, 0.5]
    """
    x = as_tensor(x)
    refuse_lost_gradients([fill_value])
    return _new("full_like", np.full(x.shape, fill_value), dtype, device, requires_grad, x.dtype)


def zeros(*shape: int | tuple[int, ...], dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A new tensor of zeros of ``shape`` (sizes, or one tuple of them), of the default dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.zeros(2, 3, dtype=tg.float64).dtype, tg.zeros((2, 3)).shape
    (dtype('float64'), (2, 3))
    """
    return _new("zeros", np.zeros(_shape(shape)), dtype, device, requires_grad)


def ones(*shape: int | tuple[int, ...], dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A new tensor of ones of ``shape`` (sizes, or one tuple of them), of the default dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.ones(2, requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """
    return _new("ones", np.ones(_shape(shape)), dtype, device, requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A new leaf tensor with a copy of an ``array``, of its dtype; PyTorch's shares the array's memory.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> tg.from_numpy(np.zeros(2)).dtype
    dtype('float64')
    """
    return Tensor(array)


def empty(*shape: int | tuple[int, ...], dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """`zeros` of ``shape``, so that what is read before it is written is the same in every run.

    >>> import tinygrad_rnn as tg
    >>> tg.empty(2, dtype=tg.long).fill_(7).tolist()
    [7, 7]
    """
    return zeros(*shape, dtype=dtype, requires_grad=requires_grad, device=device)


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors, ``input`` and ``other``, have one shape and the same elements.

    >>> import tinygrad_rnn as tg
    >>> tg.equal(tg.ones(2), tg.ones(2)), tg.equal(tg.ones(2), tg.ones(1))
    (True, False)
    """
    return np.array_equal(as_tensor(input).numpy(), as_tensor(other).numpy())


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all ``|input - other| <= atol + rtol |other|``; nan is close to nan only with ``equal_nan``.

    >>> import tinygrad_rnn as tg
    >>> tg.allclose(tg.ones(2), [1.0, 1.000001])
    True
    """
    return np.allclose(as_tensor(input).numpy(), as_tensor(other).numpy(), rtol, atol, equal_nan)


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor.

    >>> import tinygrad_rnn as tg
    >>> tg.is_tensor(tg.ones(1)), tg.is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


def rand(*shape: int | tuple[int, ...], dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A new tensor of ``shape``, drawn uniformly from [0, 1), of the default dtype unless told; see `manual_seed`.

    >>> import tinygrad_rnn as tg
    >>> x = tg.rand(2, 3)
    >>> x.shape, bool(0 <= x.amin() and x.amax() < 1)
    ((2, 3), True)
    """
    return _new("rand", generator().random(_shape(shape)), dtype, device, requires_grad)


def randn(*shape: int | tuple[int, ...], dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A new tensor of ``shape``, drawn from the standard normal distribution, of the default dtype unless told.

    `manual_seed` starts the numbers anew.

    >>> import tinygrad_rnn as tg
    >>> tg.randn(2, 3, dtype=tg.float64).dtype
    dtype('float64')
    """
    return _new("randn", generator().normal(size=_shape(shape)), dtype, device, requires_grad)


def rand_like(x: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """`rand` of the shape of ``x``, and of its dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.rand_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    x = as_tensor(x)
    return rand(x.shape, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad, device=device)


def randn_like(x: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """`randn` of the shape of ``x``, and of its dtype unless told.

    >>> import tinygrad_rnn as tg
    >>> tg.randn_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    x = as_tensor(x)
    return randn(x.shape, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad, device=device)


def randint(low: int, high: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Integers drawn uniformly from ``low`` up to but without ``high``, of shape ``size``: int64 unless told.

    ``randint(high, size)`` begins at 0. Raises `ArgumentError` where there is nothing to draw from.

    >>> import tinygrad_rnn as tg
    >>> sorted(set(tg.randint(3, (100,)).tolist())), tg.randint(5, 6, (2,)).tolist()
    ([0, 1, 2], [5, 5])
    """
    if size is None:
        low, high, size = 0, low, high
    first, end = integer(low, "randint: low"), integer(low if high is None else high, "randint: high")
    if first >= end:
        raise ArgumentError(f"randint: there are no integers from {first} up to but without {end}")
    drawn = generator().integers(first, end, _shape((size,)))
    return _new("randint", drawn, dtype, device, default=np.int64)


def randperm(n: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers below ``n`` in random order: int64 unless told.

    >>> import tinygrad_rnn as tg
    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    drawn = generator().permutation(integer(n, "randperm: n"))
    return _new("randperm", drawn, dtype, device, default=np.int64)


def multinomial(input: Any, num_samples: int, replacement: bool = False) -> Tensor:
    """``num_samples`` positions drawn with the probabilities ``input``, which need not add up to 1: int64, no gradient.

    (n,) -> (num_samples,), and (rows, n) -> (rows, num_samples), each row by itself; a position comes once unless
    ``replacement``. Raises `ShapeError` for other shapes, `ArgumentError` for what are no probabilities, or fewer of
    them above 0 than are drawn.

    >>> import tinygrad_rnn as tg
    >>> tg.multinomial(input=[[0.0, 3.0], [1.0, 0.0]], num_samples=2, replacement=True).tolist()
    [[1, 1], [0, 0]]
    """
    weights, count = as_tensor(input).numpy().astype(np.float64), integer(num_samples, "multinomial: num_samples")
    if weights.ndim not in (1, 2) or not weights.size or count < 1:
        raise ShapeError(f"multinomial: takes (n,) or (rows, n) and draws 1 or more, not {weights.shape} and {count}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(-1) > 0).all()):
        raise ArgumentError(
            "multinomial: probabilities are finite, not negative, and not all 0; take the softmax first"
        )
    rows = weights.reshape(-1, weights.shape[-1])
    if not replacement and ((rows > 0).sum(-1) < count).any():
        raise ArgumentError(
            f"multinomial: {count} without replacement, of fewer that are above 0; give replacement=True"
        )
    drawn = [generator().choice(len(row), count, replacement, row / row.sum()) for row in rows]
    return Tensor(np.array(drawn, np.int64).reshape((*weights.shape[:-1], count)))


def _new(name: str, values: Any, dtype: Any, device: Any, requires_grad: bool = False, default: Any = None) -> Tensor:
    """A leaf of the ``dtype`` that function ``name`` was asked for, else of ``default`` (None: the default dtype)."""
    wanted = asked_dtype(name, (), dtype, device)
    if wanted is None:
        wanted = get_default_dtype() if default is None else default
    return Tensor(values, wanted, requires_grad)


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    whole = tuple(integer(n, "a size") for n in sizes)
    if builtins.any(n < 0 for n in whole):
        raise ShapeError(f"sizes must not be negative, but are {whole}")
    return whole


def _first(*operands: Any) -> Tensor:
    """A tensor to record on."""
    for x in operands:
        if isinstance(x, Tensor):
            return x
    return as_tensor(operands[0])


def _some(tensors: Sequence[Any], name: str, axis: Any) -> tuple[Tensor, ...]:
    if isinstance(axis, Tensor):
        raise DTypeError(f"{name} takes its tensors in one list: {name}([a, b]); what comes second is the axis")
    if not isinstance(tensors, Iterable):
        raise DTypeError(f"{name} takes a list of tensors, not {type(tensors).__name__}")
    operands = tuple(as_tensor(x) for x in tensors)
    if not operands:
        raise ShapeError(f"{name} needs at least one tensor")
    return operands


# One-operand functions: tg.exp(x) is x.exp() --------------------------------------------------------------

Arguments = ParamSpec("Arguments")


Result = TypeVar("Result")
_NOTHING = object()


def _function(
    method: Callable[Concatenate[Tensor, Arguments], Result],
) -> Callable[Concatenate[Any, Arguments], Result]:
    @wraps(method)
    def function(x: Any = _NOTHING, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if x is _NOTHING:
            raise KeywordError(f"{method.__name__}() missing 1 required positional argument: 'x'")
        return method(as_tensor(x), *args, **kwargs)

    function.__module__ = __name__
    return function


exp = _function(Tensor.exp)
log = _function(Tensor.log)
sqrt = _function(Tensor.sqrt)
square = _function(Tensor.square)
sin = _function(Tensor.sin)
cos = _function(Tensor.cos)
tanh = _function(Tensor.tanh)
sigmoid = _function(Tensor.sigmoid)
softplus = _function(Tensor.softplus)
relu = _function(Tensor.relu)
leaky_relu = _function(Tensor.leaky_relu)
abs = _function(Tensor.abs)
clip = clamp = _function(Tensor.clip)
sum = _function(Tensor.sum)
mean = _function(Tensor.mean)
var = _function(Tensor.var)
prod = _function(Tensor.prod)
amax = _function(Tensor.amax)
amin = _function(Tensor.amin)
argmax = _function(Tensor.argmax)
argmin = _function(Tensor.argmin)
any = _function(Tensor.any)
all = _function(Tensor.all)
dot = _function(Tensor.dot)
mm = _function(Tensor.mm)
chunk = _function(Tensor.chunk)
logsumexp = _function(Tensor.logsumexp)
softmax = _function(Tensor.softmax)
log_softmax = _function(Tensor.log_softmax)
cumsum = _function(Tensor.cumsum)
reshape = _function(Tensor.reshape)
permute = _function(Tensor.permute)
transpose = _function(Tensor.transpose)
broadcast_to = _function(Tensor.broadcast_to)
expand_dims = unsqueeze = _function(Tensor.expand_dims)
squeeze = _function(Tensor.squeeze)
flip = _function(Tensor.flip)
pad = _function(Tensor.pad)
gather = _function(Tensor.gather)
index_select = _function(Tensor.index_select)
roll = _function(Tensor.roll)
masked_fill = _function(Tensor.masked_fill)
isnan = _function(Tensor.isnan)
isfinite = _function(Tensor.isfinite)
std = _function(Tensor.std)
norm = _function(Tensor.norm)
argsort = _function(Tensor.argsort)
sort = _function(Tensor.sort)
remainder = _function(Tensor.remainder)
floor = _function(Tensor.floor)
ceil = _function(Tensor.ceil)
round = _function(Tensor.round)
t = _function(Tensor.t)
topk = _function(Tensor.topk)
tril = _function(Tensor.tril)
triu = _function(Tensor.triu)
bmm = _function(Tensor.bmm)
flatten = _function(Tensor.flatten)
unbind = _function(Tensor.unbind)


def split(
    x: Any, split_size: int | list[int] | tuple[int, ...], axis: int = 0, *, dim: int | None = None
) -> tuple[Tensor, ...]:
    """``x`` in consecutive pieces along ``axis``, of ``split_size`` or of the sizes listed: see `Tensor.split`.

    >>> import tinygrad_rnn as tg
    >>> [piece.tolist() for piece in tg.split([1, 2, 3], 2)]
    [[1, 2], [3]]
    """
    return as_tensor(x).split(split_size, axis if dim is None else dim)


def max(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """The largest of ``x``, or along ``dim`` the pair ``(values, indices)``; ``keepdim`` leaves it at size 1.

    See `Tensor.max`; with a tensor in place of ``dim`` see `maximum`, as in PyTorch.

    >>> import tinygrad_rnn as tg
    >>> tg.max([1.0, 3.0]).item(), tg.max([[1.0, 3.0]], 1).indices.tolist()
    (3.0, [1])
    """
    if isinstance(dim, Tensor):
        return maximum(x, dim)
    kept: dict[str, Any] = {"keepdim": keepdim} if keepdims is None else {"keepdims": keepdims}
    return as_tensor(x).max(dim, axis=axis, **kept)


def min(x: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool | None = None) -> Any:
    """The smallest of ``x``, or along ``dim`` the pair ``(values, indices)``; ``keepdim`` leaves it at size 1.

    See `Tensor.min`; with a tensor in place of ``dim`` see `minimum`, as in PyTorch.

    >>> import tinygrad_rnn as tg
    >>> tg.min([1.0, 3.0]).item(), tg.min([[1.0, 3.0]], 1).indices.tolist()
    (1.0, [0])
    """
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    kept: dict[str, Any] = {"keepdim": keepdim} if keepdims is None else {"keepdims": keepdims}
    return as_tensor(x).min(dim, axis=axis, **kept)


answering(globals())
numpy_protocol.enter(globals())  # NumPy's calls are looked after, too
