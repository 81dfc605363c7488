"""PyTorch's calls in our words: a function each, with PyTorch's arguments, on our tensors.

A name is the same whether the call is a function, a method, an operator or one written in place, and whether PyTorch's
Python or its core operators (aten) make it; so one table serves both. What is not here is taken apart by `fallback`.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ... import functional as T
from ... import primitives as P
from ...nn import functional as F
from ...tensor import Tensor, as_tensor
from ..program import constant

if TYPE_CHECKING:
    from .recorder import Call

#: PyTorch's float types
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: calls that draw random numbers, which are drawn once more to learn what they were
RANDOM = {
    "dropout", "lstm", "gru", "rnn_tanh", "rnn_relu", "alpha_dropout", "feature_dropout", "rrelu", "gumbel_softmax",
    "scaled_dot_product_attention", "multi_head_attention_forward",
}  # fmt: skip
_TABLE: dict[str, Callable[..., Any]] = {}


def find(name: str) -> Callable[..., Any] | None:
    """Who mirrors a call of this name, if anyone does."""
    plain = name.strip("_") if name.startswith("__") else name
    if name.startswith("__i") and plain[1:] in _TABLE and plain not in _TABLE:
        plain = plain[1:]
    if plain not in _TABLE and not name.startswith("_"):
        plain = plain.rstrip("_")
    return _TABLE.get(plain)


def handles(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function in the table."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        _TABLE.update(dict.fromkeys(names, function))
        return function

    return enter


def _numpy_dtype(dtype: Any) -> np.dtype[Any]:
    return torch.empty((), dtype=dtype).numpy().dtype


def _axes(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


def _float_like(x: Any, call: Call) -> Tensor:
    """``x`` as the float type of the result, where it is of integers."""
    x = as_tensor(x)
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    return x if x.dtype.kind == "f" or out.dtype not in FLOATS else x.astype(_numpy_dtype(out.dtype))


# Arithmetic ----------------------------------------------------------------------------------------------


def _widened(call: Call, *operands: Any) -> list[Any]:
    """Operands in the result's dtype: PyTorch's tensors without dimensions give way, ours do not."""
    if call.out.dtype not in FLOATS:
        return list(operands)
    wanted = _numpy_dtype(call.out.dtype)
    return [x.astype(wanted) if isinstance(x, Tensor) and x.dtype != wanted else x for x in operands]


@handles("add")
def _add(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = _widened(call, x, y)
    return (
        as_tensor(x) + (y if alpha == 1 else y * alpha)
        if not isinstance(x, Tensor)
        else x + (y if alpha == 1 else y * alpha)
    )


@handles("sub", "subtract")
def _sub(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = _widened(call, x, y)
    return x - (y if alpha == 1 else y * alpha)


@handles("rsub")
def _rsub(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = _widened(call, x, y)
    return y - (x if alpha == 1 else x * alpha)


@handles("radd")
def _radd(call: Call, x: Any, y: Any) -> Any:
    x, y = _widened(call, x, y)
    return y + x


@handles("mul", "multiply")
def _mul(call: Call, x: Any, y: Any) -> Any:
    x, y = _widened(call, x, y)
    return x * y


@handles("rmul")
def _rmul(call: Call, x: Any, y: Any) -> Any:
    return _mul(call, y, x)


@handles("div", "true_divide", "truediv", "divide")
def _div(call: Call, x: Any, y: Any, *, rounding_mode: Any = None) -> Any:
    if rounding_mode is not None:
        return NotImplemented
    x, y = _widened(call, x, y)
    return x / y


@handles("rdiv", "rtruediv", "reciprocal")
def _rdiv(call: Call, x: Any, y: Any = 1.0) -> Any:
    x, y = _widened(call, x, y)
    return y / x


@handles("pow")
def _pow(call: Call, x: Any, y: Any) -> Any:
    x, y = _widened(call, x, y)
    if isinstance(y, (int, float)) and y == 2:
        return x.square()
    return x**y


@handles("rpow")
def _rpow(call: Call, x: Any, y: Any) -> Any:
    return _pow(call, y, x)


@handles("matmul", "mm", "bmm", "mv", "dot")
def _matmul(_call: Call, x: Any, y: Any) -> Any:
    return x @ y


@handles("rmatmul")
def _rmatmul(_call: Call, x: Any, y: Any) -> Any:
    return y @ x


@handles("addmm", "baddbmm", "addmv")
def _addmm(_call: Call, bias: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = x @ y if alpha == 1 else (x @ y) * alpha
    return product if beta == 0 else (bias if beta == 1 else bias * beta) + product


@handles("addcmul")
def _addcmul(_call: Call, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a * b if value == 1 else a * b * value)


@handles("addcdiv")
def _addcdiv(_call: Call, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a / b if value == 1 else a / b * value)


@handles("lerp")
def _lerp(_call: Call, x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


@handles("outer", "ger")
def _outer(_call: Call, x: Any, y: Any) -> Any:
    return T.outer(x, y)


@handles("einsum")
def _einsum(_call: Call, equation: str, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return T.einsum(equation, *operands)


def _elementwise(method: str) -> Callable[..., Any]:
    def mirror(call: Call, x: Any, **_inplace: Any) -> Any:
        return getattr(_float_like(x, call), method)()

    return mirror


for _method in ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "square"):
    _TABLE[_method] = _elementwise(_method)


@handles("neg", "negative")
def _neg(_call: Call, x: Any) -> Any:
    return -x


@handles("abs", "absolute")
def _abs(_call: Call, x: Any) -> Any:
    return x.abs()


@handles("relu")
def _relu(_call: Call, x: Any, inplace: bool = False) -> Any:
    return x.relu()


@handles("sign", "sgn")
def _sign(_call: Call, x: Any) -> Any:
    return P.sign(x)


@handles("rsqrt")
def _rsqrt(call: Call, x: Any) -> Any:
    return 1.0 / _float_like(x, call).sqrt()


@handles("log1p")
def _log1p(call: Call, x: Any) -> Any:
    return (_float_like(x, call) + 1.0).log()


@handles("logsigmoid", "log_sigmoid")
def _logsigmoid(_call: Call, x: Any) -> Any:
    return -(-x).softplus()


@handles("silu")
def _silu(_call: Call, x: Any, inplace: bool = False) -> Any:
    return F.silu(x)


@handles("hardtanh")
def _hardtanh(_call: Call, x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    inside = (x > min_val), (x < max_val)
    return P.where(inside[1], P.where(inside[0], x, min_val), max_val)  # PyTorch's derivative on a limit is 0


@handles("hardsigmoid")
def _hardsigmoid(_call: Call, x: Any, inplace: bool = False) -> Any:
    return P.where(x < 3.0, P.where(x > -3.0, (x + 3.0) / 6.0, 0.0), 1.0)


@handles("leaky_relu")
def _leaky_relu(_call: Call, x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return x.leaky_relu(negative_slope)


@handles("elu")
def _elu(
    _call: Call, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0, *, inplace: bool = False
) -> Any:
    below = (P.where(x > 0, 0.0, x) * input_scale).exp() - 1.0
    return P.where(x > 0, x, below * alpha) * scale


@handles("softplus")
def _softplus(_call: Call, x: Any, beta: float = 1, threshold: float = 20) -> Any:
    soft = x.softplus() if beta == 1 else (x * beta).softplus() / beta
    return P.where(x * beta > threshold, x, soft)


@handles("clamp", "clip")
def _clamp(_call: Call, x: Any, min: Any = None, max: Any = None) -> Any:
    return x.clip(min, max)


@handles("clamp_min")
def _clamp_min(_call: Call, x: Any, min: Any) -> Any:
    return x.clip(min, None)


@handles("clamp_max")
def _clamp_max(_call: Call, x: Any, max: Any) -> Any:
    return x.clip(None, max)


@handles("maximum")
def _maximum(_call: Call, x: Any, y: Any) -> Any:
    return T.maximum(x, y)


@handles("minimum")
def _minimum(_call: Call, x: Any, y: Any) -> Any:
    return T.minimum(x, y)


def _comparison(op: P.Primitive) -> Callable[..., Any]:
    return lambda _call, x, y: op(x, y)


for _names, _op in (
    (("gt", "greater"), P.greater), (("ge", "greater_equal"), P.greater_equal), (("lt", "less"), P.less),
    (("le", "less_equal"), P.less_equal), (("eq",), P.equal), (("ne", "not_equal"), P.not_equal),
):  # fmt: skip
    for _name in _names:
        _TABLE[_name] = _comparison(_op)


@handles("logical_not", "invert", "bitwise_not")
def _not(_call: Call, x: Any) -> Any:
    return P.equal(x, False) if x.dtype.kind == "b" else NotImplemented


@handles("logical_and", "and", "bitwise_and", "rand")
def _and(_call: Call, x: Any, y: Any) -> Any:
    return _boolean(x) * _boolean(y) if _call.out.dtype == torch.bool else NotImplemented


@handles("logical_or", "or", "bitwise_or", "ror")
def _or(_call: Call, x: Any, y: Any) -> Any:
    return P.where(_boolean(x), True, _boolean(y)) if _call.out.dtype == torch.bool else NotImplemented


@handles("logical_xor", "xor", "bitwise_xor")
def _xor(_call: Call, x: Any, y: Any) -> Any:
    return P.not_equal(_boolean(x), _boolean(y)) if _call.out.dtype == torch.bool else NotImplemented


def _boolean(x: Any) -> Any:
    return x if not isinstance(x, Tensor) or x.dtype.kind == "b" else P.not_equal(x, 0)


@handles("where")
def _where(call: Call, condition: Any, x: Any, y: Any) -> Any:
    return T.where(condition, *_widened(call, x, y))


@handles("masked_fill")
def _masked_fill(_call: Call, x: Any, mask: Any, value: Any) -> Any:
    return x.masked_fill(mask, value)


# Types ---------------------------------------------------------------------------------------------------


@handles(
    "to", "type", "type_as", "float", "double", "long", "int", "bool", "_to_copy", "half", "contiguous", "clone", "cpu",
    "alias", "lift_fresh_copy", "positive", "requires_grad", "view_as_real", "expand_copy", "pin_memory",
)  # fmt: skip
def _to(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    wanted = _numpy_dtype(call.out.dtype)
    if wanted == x.dtype:
        return x
    if wanted.kind == "b":
        return P.not_equal(x, 0)
    return x.astype(wanted)


@handles("detach", "data")
def _detach(call: Call, x: Any) -> Any:
    return call.detached(x)


@handles(
    "full_like", "fill", "zero", "zeros_like", "ones_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "new_empty", "new_tensor", "rand_like", "randn_like", "uniform", "normal", "exponential", "bernoulli", "random",
)  # fmt: skip
def _frozen(call: Call, x: Any, *args: Any, **_kwargs: Any) -> Any:
    drawn = call.name.rstrip("_") in (
        "rand_like",
        "randn_like",
        "uniform",
        "normal",
        "exponential",
        "bernoulli",
        "random",
    )
    if drawn:
        call.recorder.note(f"{call.name}: the random numbers stay as they were drawn", True)
        return constant(call.out.detach().numpy(), "random numbers")
    if args and isinstance(args[-1], Tensor) and args[-1].serial in call.recorder.live:
        return P.broadcast_to(args[-1], shape=tuple(call.out.shape))
    return constant(call.out.detach().numpy())


@handles("copy")
def _copy(call: Call, x: Any, source: Any, *_args: Any, **_kwargs: Any) -> Any:
    source = as_tensor(source).astype(x.dtype)
    return source if source.shape == x.shape else source.broadcast_to(x.shape)


# Shapes --------------------------------------------------------------------------------------------------


@handles("reshape", "view", "_unsafe_view", "_reshape_alias", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as",
         "reshape_as", "ravel", "atleast_1d", "atleast_2d")  # fmt: skip
def _reshape(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    shape = tuple(call.out.shape)
    return x if x.shape == shape else x.reshape(shape)


@handles("permute")
def _permute(_call: Call, x: Any, *dims: Any, **kwargs: Any) -> Any:
    return x.permute(_sizes(dims or (kwargs["dims"],)))


@handles("transpose", "swapaxes", "swapdims")
def _transpose(_call: Call, x: Any, dim0: int, dim1: int) -> Any:
    return x.transpose(dim0, dim1) if x.ndim else x


@handles("movedim", "moveaxis")
def _movedim(_call: Call, x: Any, source: Any, destination: Any) -> Any:
    return x.permute(
        tuple(int(i) for i in np.moveaxis(np.arange(x.ndim).reshape((-1,)), 0, 0)[_moved(x.ndim, source, destination)])
    )


def _moved(rank: int, source: Any, destination: Any) -> list[int]:
    probe = np.moveaxis(np.empty(tuple(range(rank))), source, destination)
    return list(probe.shape)


@handles("t", "T", "mT", "adjoint", "H", "mH")
def _t(_call: Call, x: Any) -> Any:
    if _call.name in ("mT", "mH", "adjoint"):
        return x.transpose(-1, -2)
    return x.T if x.ndim > 1 else x


@handles("expand", "expand_as", "broadcast_to")
def _expand(call: Call, x: Any, *_sizes: Any, **_kwargs: Any) -> Any:
    shape = tuple(call.out.shape)
    return x if x.shape == shape else x.broadcast_to(shape)


@handles("repeat", "tile")
def _repeat(call: Call, x: Any, *sizes: Any, **kwargs: Any) -> Any:
    times = _sizes(sizes or tuple(kwargs.values()))
    rank = max(len(times), x.ndim)
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - x.ndim) + x.shape
    apart = x.reshape(tuple(n for size in shape for n in (1, size)))
    return apart.broadcast_to(tuple(n for pair in zip(times, shape) for n in pair)).reshape(tuple(call.out.shape))


@handles("repeat_interleave")
def _repeat_interleave(_call: Call, x: Any, repeats: Any, dim: Any = None, **_kwargs: Any) -> Any:
    if not isinstance(repeats, int):
        return NotImplemented
    if dim is None:
        x, dim = x.reshape(-1), 0
    dim %= x.ndim
    spread = x.expand_dims(dim + 1).broadcast_to((*x.shape[: dim + 1], repeats, *x.shape[dim + 1 :]))
    return spread.reshape((*x.shape[:dim], x.shape[dim] * repeats, *x.shape[dim + 1 :]))


@handles("cat", "concat", "concatenate")
def _cat(call: Call, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
    kept = [x for x in tensors if x.shape != (0,)]  # PyTorch lets an empty vector join anything
    return T.concat(_widened(call, *kept), kwargs.get("axis", dim))


@handles("stack")
def _stack(call: Call, tensors: Any, dim: int = 0) -> Any:
    return T.stack(_widened(call, *tensors), dim)


@handles("hstack")
def _hstack(call: Call, tensors: Any) -> Any:
    return T.concat(tensors, 0 if tensors[0].ndim == 1 else 1)


@handles("vstack")
def _vstack(_call: Call, tensors: Any) -> Any:
    return T.concat([x.expand_dims(0) if x.ndim == 1 else x for x in tensors], 0)


@handles("chunk", "split", "unsafe_chunk", "unsafe_split", "tensor_split", "split_with_sizes")
def _split(call: Call, x: Any, _size: Any = None, dim: int = 0, **_kwargs: Any) -> Any:
    return list(x.split([int(piece.shape[dim]) for piece in call.out], dim))


@handles("unbind", "iter")
def _unbind(_call: Call, x: Any, dim: int = 0) -> Any:
    before = (slice(None),) * (dim % x.ndim)
    return [x[(*before, i)] for i in range(x.shape[dim])]


@handles("flip")
def _flip(_call: Call, x: Any, *dims: Any, **kwargs: Any) -> Any:
    return x.flip(_sizes(dims or (kwargs["dims"],)))


@handles("roll")
def _roll(_call: Call, x: Any, shifts: Any, dims: Any = None) -> Any:
    where = np.roll(np.arange(x.numel()).reshape(x.shape), shifts, dims)
    return x.reshape(-1)[where]


@handles("pad", "constant_pad_nd")
def _pad(_call: Call, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    if mode != "constant":
        return NotImplemented
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    cut = x[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape))]
    widths = [(max(0, a), max(0, b)) for a, b in pairs]
    if not value:
        return cut.pad(widths)
    return cut.pad(widths) + constant(np.pad(np.zeros(cut.shape, x.dtype), widths, constant_values=value))


@handles("tril", "triu")
def _triangle(call: Call, x: Any, diagonal: int = 0) -> Any:
    keep = getattr(np, call.name.rstrip("_"))(np.ones(x.shape[-2:], bool), diagonal)
    return T.where(keep, x, 0)


@handles("diagonal")
def _diagonal(_call: Call, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    return x.reshape(-1)[np.arange(x.numel()).reshape(x.shape).diagonal(offset, dim1, dim2)]


# Reading and writing by position -------------------------------------------------------------------------


@handles("getitem")
def _getitem(call: Call, x: Any, index: Any) -> Any:
    index = list(index) if isinstance(index, tuple) else [index]
    if not any(isinstance(part, Tensor) and part.serial in call.recorder.live for part in index):
        return x[tuple(np.asarray(part) if isinstance(part, (Tensor, list)) else part for part in index)]
    if any(isinstance(part, Tensor) and part.dtype.kind == "b" for part in index):
        call.recorder.note("a mask that depends on data selects what it selected")
        return x[tuple(part.numpy() if isinstance(part, Tensor) else part for part in index)]
    return _taken(x, index)


def _taken(x: Tensor, index: list[Any]) -> Any:
    """``x[index]`` with tensors of integers in it: positions are computed, not stored, so that they may change."""
    if Ellipsis in [part for part in index if not isinstance(part, Tensor)]:
        at = next(i for i, part in enumerate(index) if part is Ellipsis)
        named = builtins.sum(part is not None for part in index) - 1
        index = [*index[:at], *[slice(None)] * (x.ndim - named), *index[at + 1 :]]
    plain = [slice(None) if isinstance(part, Tensor) else part for part in index]
    if any(part is None or isinstance(part, int) for part in plain):
        return NotImplemented
    if any(part != slice(None) for part in plain):
        x = x[tuple(plain)]
    axes = [axis for axis, part in enumerate(index) if isinstance(part, Tensor)]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        return NotImplemented
    first, count = axes[0], len(axes)
    flat: Any = 0
    for axis in axes:
        flat = flat * x.shape[axis] + _wrapped(index[axis], x.shape[axis])
    rest = [a for a in range(x.ndim) if a not in axes]
    rows = x.permute([*axes, *rest]) if first else x
    rows = rows.reshape((math.prod(x.shape[a] for a in axes), *(x.shape[a] for a in rest)))
    taken = T.take(rows, flat)
    if not first:
        return taken
    width = flat.ndim
    order = [*range(width, width + first), *range(width), *range(width + first, taken.ndim)]
    del count
    return taken.permute(order)


def _wrapped(index: Tensor, size: int) -> Tensor:
    return P.where(index < 0, index + size, index)


@handles("select")
def _select(_call: Call, x: Any, dim: int, index: Any) -> Any:
    before = (slice(None),) * (dim % x.ndim)
    if isinstance(index, Tensor):
        return _taken(x, [*before, index])
    return x[(*before, int(index))]


@handles("narrow")
def _narrow(_call: Call, x: Any, dim: int, start: Any, length: int) -> Any:
    return x[(*(slice(None),) * (dim % x.ndim), slice(int(start), int(start) + length))]


@handles("slice")
def _slice(_call: Call, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(*(slice(None),) * (dim % x.ndim), slice(start, end if end is None else min(end, x.shape[dim]), step))]


@handles("index")
def _index(call: Call, x: Any, indices: Any) -> Any:
    return _getitem(call, x, tuple(slice(None) if part is None else part for part in indices))


@handles("index_select")
def _index_select(call: Call, x: Any, dim: int, index: Any) -> Any:
    return _getitem(call, x, (*(slice(None),) * (dim % x.ndim), index))


@handles("take")
def _take(call: Call, x: Any, index: Any) -> Any:
    return _getitem(call, x.reshape(-1), index)


def _along(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Positions in the flattened ``x`` of ``x[i][index[i][j]][j]`` with ``index`` along ``dim``."""
    dim %= max(1, x.ndim)
    strides = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
    others: Any = np.zeros((), np.int64)
    for axis, (n, stride) in enumerate(zip(index.shape, strides)):
        if axis != dim:
            others = others + (np.arange(n) * stride).reshape((-1, *(1,) * (len(index.shape) - axis - 1)))
    return index * strides[dim] + constant(np.broadcast_to(others, index.shape))


@handles("gather", "take_along_dim")
def _gather(call: Call, x: Any, dim: int, index: Any, **_kwargs: Any) -> Any:
    if call.name == "take_along_dim":
        return NotImplemented
    if not x.ndim or index.ndim != x.ndim:
        return NotImplemented
    return T.take(x.reshape(-1), _along(x, dim, index))


@handles("scatter", "scatter_add")
def _scatter(
    call: Call, x: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    src = value if src is None else src
    if reduce is not None or not x.ndim:
        return NotImplemented
    flat = _along(x, dim, index)
    if isinstance(src, Tensor):
        src = src[tuple(slice(0, n) for n in index.shape)]
    else:
        src = constant(np.full(index.shape, src, x.dtype))
    added = P.scatter_rows(src.reshape(-1), flat.reshape(-1), rows=x.numel()).reshape(x.shape)
    if call.name.startswith("scatter_add"):
        return x + added
    hits = P.scatter_rows(constant(np.ones(index.size if isinstance(index.size, int) else index.numel(), x.dtype)),
                          flat.reshape(-1), rows=x.numel()).reshape(x.shape)  # fmt: skip
    if hits.numpy().max(initial=0) > 1:
        return NotImplemented  # which of two values wins is nobody's promise
    return T.where(hits > 0, added, x)


@handles("index_add")
def _index_add(_call: Call, x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    if dim % x.ndim:
        return NotImplemented
    return x + P.scatter_rows(source if alpha == 1 else source * alpha, index, rows=x.shape[0])


@handles("setitem")
def _setitem(call: Call, x: Any, index: Any, value: Any) -> Any:
    index = list(index) if isinstance(index, tuple) else [index]
    parts = []
    for part in index:
        if isinstance(part, Tensor):
            if part.serial in call.recorder.live:
                if part.dtype.kind == "b" and len(index) == 1 and part.shape == x.shape and _scalar(value):
                    return T.where(part, value, x)
                call.recorder.note("an index that depends on data writes where it wrote")
            part = part.numpy()
        parts.append(np.asarray(part) if isinstance(part, list) else part)
    where = np.arange(x.numel()).reshape(x.shape)[tuple(parts)]
    value = as_tensor(value).astype(x.dtype)
    if value.shape != where.shape:
        while value.ndim > where.ndim:
            value = value.squeeze(0)
        value = value.broadcast_to(where.shape)
    if (len(parts) == 1 and isinstance(parts[0], (int, slice))) or all(isinstance(p, (int, slice)) for p in parts):
        return _put(x, tuple(parts), value)
    return write_through(x, where, value)


def _scalar(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.ndim == 0


def _put(x: Tensor, index: tuple[Any, ...], value: Tensor) -> Tensor:
    """``x`` with ``value`` at ``index``, which names no element twice."""
    mask = np.zeros(x.shape, bool)
    mask[index] = True
    put = P.scatter(value, index=index, shape=x.shape)
    return put if mask.all() else T.where(constant(mask), put, x)


def read_through(owner: Tensor, where: np.ndarray[Any, Any]) -> Tensor:
    """What a view shows of its owner."""
    if where.shape == owner.shape and np.array_equal(where.ravel(), np.arange(where.size)):
        return owner
    return owner.reshape(-1)[where]


def write_through(owner: Tensor, where: np.ndarray[Any, Any], value: Tensor) -> Tensor:
    """The owner after ``value`` was written to the elements at ``where``."""
    flat = where.ravel()
    if flat.size and len(np.unique(flat)) < flat.size:  # of several values for one element the last stays
        last = {int(at): i for i, at in enumerate(flat)}
        value, flat = value.reshape(-1)[np.array(list(last.values()))], np.array(list(last))
    return _put(owner.reshape(-1), (flat,), value.reshape(-1)).reshape(owner.shape)


# Reductions ----------------------------------------------------------------------------------------------


@handles("sum")
def _sum(call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    x = _float_like(x, call)
    axis = _axes(dim if dim is not None else _kwargs.get("axis"))
    if axis == () or not x.ndim:
        axis = None
    if x.dtype.kind == "b":
        x = x.astype(np.int64)
    return x.sum(axis, keepdim)


@handles("mean")
def _mean(call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    axis = _axes(dim if dim is not None else _kwargs.get("axis"))
    return _float_like(x, call).mean(None if axis == () or not x.ndim else axis, keepdim)


@handles("var", "std")
def _var(
    call: Call, x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else int(correction)
    result = x.var(_axes(dim), keepdim, correction=correction)
    return result.sqrt() if call.name == "std" else result


@handles("prod")
def _prod(_call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    return x.prod(dim, keepdim)


@handles("norm", "linalg_norm", "linalg_vector_norm")
def _norm(call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    p = args[0] if args else kwargs.get("p", kwargs.get("ord", 2))
    dim = args[1] if len(args) > 1 else kwargs.get("dim")
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    if p not in (None, 2, 2.0, "fro") or (call.name == "linalg_norm" and p is not None and dim is None):
        return NotImplemented
    return x.square().sum(_axes(dim), keepdim).sqrt()


def _extreme(call: Call, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    smallest = call.name in ("min", "amin")
    dim = args[0] if args else kwargs.get("dim")
    if isinstance(dim, Tensor):
        return (T.minimum if smallest else T.maximum)(x, dim)
    keepdim = args[1] if len(args) > 1 else kwargs.get("keepdim", False)
    if call.name in ("amax", "amin") or dim is None:
        axis = None if dim is None or dim == () or dim == [] else _axes(dim)
        return x.min(axis, keepdim) if smallest else x.max(axis, keepdim)
    at = (-x if smallest else x).argmax(dim)
    kept = at.expand_dims(dim % x.ndim)
    value = T.take(x.reshape(-1), _along(x, dim, kept))  # the gradient goes to the one that is named, as PyTorch's
    return (value, kept) if keepdim else (value.squeeze(dim % x.ndim), at)


@handles("max", "min", "amax", "amin")
def _max(call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    return _extreme(call, x, args, kwargs)


@handles("argmax", "argmin")
def _argmax(call: Call, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    at = (-x if call.name == "argmin" else x).argmax(dim)
    return at.expand_dims(dim % x.ndim) if keepdim and dim is not None else at


@handles("any", "all")
def _any(call: Call, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    found = _boolean(x).astype(np.int64)
    found = found.max(_axes(dim), keepdim) if call.name == "any" else found.min(_axes(dim), keepdim)
    return found > 0


@handles("logsumexp")
def _logsumexp(_call: Call, x: Any, dim: Any, keepdim: bool = False) -> Any:
    return x.logsumexp(_axes(dim), keepdim)


@handles("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(call: Call, x: Any, dim: Any = None, *_args: Any, **_kwargs: Any) -> Any:
    if dim is None:
        return NotImplemented
    x = _float_like(x, call)
    return x.log_softmax(dim) if "log" in call.name else x.softmax(dim)


@handles("cumsum")
def _cumsum(call: Call, x: Any, dim: int, **_kwargs: Any) -> Any:
    x = _float_like(x, call)
    return (x.astype(np.int64) if x.dtype.kind == "b" else x).cumsum(dim) if x.ndim else x


@handles("topk", "sort")
def _sorted(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    values, at = call.out
    numbers = [a for a in (*_args, *_kwargs.values()) if isinstance(a, int) and not isinstance(a, bool)]
    if call.name == "topk":
        dim = _kwargs.get("dim", _args[1] if len(_args) > 1 else -1)
    else:
        dim = _kwargs.get("dim", numbers[0] if numbers else -1)
    del values
    call.recorder.note(f"{call.name}: the order stays as it was found")
    chosen = constant(at.numpy())
    return T.take(x.reshape(-1), _along(x, dim, chosen)), chosen


# Layers --------------------------------------------------------------------------------------------------


@handles("linear")
def _linear(_call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    return F.linear(x, weight, bias)


@handles("bilinear")
def _bilinear(_call: Call, x: Any, y: Any, weight: Any, bias: Any = None) -> Any:
    result = T.einsum("...i,oij,...j->...o", x, weight, y)
    return result if bias is None else result + bias


@handles("embedding")
def _embedding(call: Call, *args: Any, **kwargs: Any) -> Any:
    # F.embedding(input, weight, ...) and aten's embedding(weight, indices, ...) differ in their order
    first, second, *rest = args
    indices, weight = (first, second) if first.dtype.kind in "iu" else (second, first)
    padding = kwargs.get("padding_idx", rest[0] if rest else None)
    if kwargs.get("max_norm", rest[1] if len(rest) > 2 else None) is not None or True in (
        kwargs.get("scale_grad_by_freq"), kwargs.get("sparse"), *rest[1:],
    ):  # fmt: skip
        return NotImplemented
    rows = F.embedding(indices, weight)
    if padding is None or (padding == -1 and first.dtype.kind not in "iu") or not weight.requires_grad:
        return rows
    # the padding row has a value, but no gradient
    padded = (indices == padding % weight.shape[0]).expand_dims(-1)
    return T.where(padded, F.embedding(indices, call.detached(weight)), rows)


@handles("one_hot")
def _one_hot(call: Call, x: Any, num_classes: int = -1) -> Any:
    return P.one_hot(x, num_classes=int(call.out.shape[-1]), dtype=np.dtype(np.int64), strict=True)


@handles("dropout", "native_dropout", "feature_dropout", "alpha_dropout")
def _dropout(call: Call, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if call.name not in ("dropout", "dropout_"):
        return NotImplemented
    if not training or p == 0:
        return x
    return x * dropout_mask(call, [x.shape], p)[0]


def dropout_mask(call: Call, shapes: list[tuple[int, ...]], p: float) -> list[Tensor]:
    """The masks PyTorch drew in this call, in the order it drew them: drawn once more from the same state."""
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    after = torch.get_rng_state()
    torch.set_rng_state(call.random_state)
    try:
        drawn = [torch.dropout(torch.ones(shape, dtype=out.dtype), p, True).numpy() for shape in shapes]
    finally:
        torch.set_rng_state(after)
    call.recorder.note("dropout: the mask stays as it was drawn", True)
    return [constant(mask, "dropout mask") for mask in drawn]


@handles("layer_norm")
def _layer_norm(
    _call: Call, x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_cudnn: Any
) -> Any:
    return F.layer_norm(x, normalized_shape, weight, bias, eps)


@handles("rms_norm")
def _rms_norm(_call: Call, x: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    return F.rms_norm(x, normalized_shape, weight, eps)


@handles("scaled_dot_product_attention")
def _attention(
    call: Call, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if enable_gqa or dropout_p:
        return NotImplemented
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-1, -2)) * scale
    if is_causal:
        scores = T.where(constant(np.tril(np.ones(scores.shape[-2:], bool))), scores, -np.inf)
    if attn_mask is not None:
        scores = T.where(attn_mask, scores, -np.inf) if attn_mask.dtype.kind == "b" else scores + attn_mask
    return scores.softmax(-1) @ value


# Losses --------------------------------------------------------------------------------------------------


@handles("cross_entropy", "cross_entropy_loss")
def _cross_entropy(
    _call: Call, x: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None or not isinstance(reduction, str):
        return NotImplemented
    if target.dtype.kind in "iu":
        if weight is None and not label_smoothing:
            return _losses(F.cross_entropy(x, target, ignore_index, "none"), target, ignore_index, reduction)
        return F.cross_entropy(x, target, ignore_index, reduction, weight=weight, label_smoothing=label_smoothing)
    logs = x.log_softmax(min(1, x.ndim - 1))
    if logs.ndim > 2:
        logs = logs.permute([0, *range(2, logs.ndim), 1])
    classes = x.shape[min(1, x.ndim - 1)]
    wanted = target.permute([0, *range(2, target.ndim), 1]) if target.ndim > 2 else target
    wanted = wanted * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else wanted
    losses = -(logs * wanted if weight is None else logs * wanted * weight).sum(-1)
    return losses.sum() / max(1, losses.numel()) if reduction == "mean" else _reduced(losses, reduction)


def _losses(losses: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Any:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    # counted, not a mean: the targets of another call may be ones to ignore
    return losses.sum() / (target != ignore_index).astype(losses.dtype).sum()


def _nll(x: Tensor, target: Tensor, weight: Any, ignore_index: int, reduction: str) -> Any:
    losses = F.nll_loss(x, target, ignore_index, "none")
    if weight is None:
        return _losses(losses, target, ignore_index, reduction)
    kept = target != ignore_index
    share = T.where(kept, T.take(weight, T.where(kept, target, 0)), 0.0)
    weighted = losses * share
    if reduction == "none":
        return weighted
    return weighted.sum() if reduction == "sum" else weighted.sum() / share.sum()


@handles("nll_loss")
def _nll_loss(
    _call: Call, x: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None or not isinstance(reduction, str):
        return NotImplemented
    return _nll(x, target, weight, ignore_index, reduction)


def _reduced(losses: Tensor, reduction: Any) -> Any:
    if reduction in ("none", 0):
        return losses
    return losses.sum() if reduction in ("sum", 2) else losses.mean()


@handles("mse_loss", "l1_loss")
def _mse_loss(
    call: Call,
    x: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    weight: Any = None,
) -> Any:
    if size_average is not None or reduce is not None or weight is not None:
        return NotImplemented
    return _reduced((x - target).square() if call.name == "mse_loss" else (x - target).abs(), reduction)


@handles("binary_cross_entropy_with_logits")
def _bce_with_logits(
    _call: Call, x: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None or pos_weight is not None:
        return NotImplemented
    losses = x.softplus() - target * x
    return _reduced(losses if weight is None else losses * weight, reduction)


@handles("cosine_similarity")
def _cosine_similarity(_call: Call, x: Any, y: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    lengths = [v.square().sum(dim, True).sqrt().clip(eps, None) for v in (x, y)]
    return ((x / lengths[0]) * (y / lengths[1])).sum(dim)


@handles("normalize")
def _normalize(_call: Call, x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    return x / x.square().sum(dim, True).sqrt().clip(eps, None) if p == 2 else NotImplemented
