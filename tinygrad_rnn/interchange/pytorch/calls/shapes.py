"""PyTorch's calls that move elements, and compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .... import functional as T
from ....nn import functional as F
from ....words import words
from ...composed_operators import read_through
from ...tables import enter_each
from ..shared_memory import positions
from .table import handles, sizes_of, widened

if TYPE_CHECKING:
    from ..recorder import Call


_RESHAPES = words(
    "reshape view _unsafe_view _reshape_alias flatten unflatten squeeze unsqueeze view_as reshape_as ravel atleast_1d "
    "atleast_2d"
)


@handles(*_RESHAPES)
def _reshape(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    shape = tuple(call.out.shape)
    return x if x.shape == shape else x.reshape(shape)


@handles("t", "T", "mT", "adjoint", "H", "mH")
def _t(_call: Call, x: Any) -> Any:
    if _call.name in ("mT", "mH", "adjoint"):
        return x.transpose(-1, -2)
    return x.T if x.ndim > 1 else x


@handles("expand", "expand_as", "broadcast_to")
def _expand(call: Call, x: Any, *_sizes: Any, **_kwargs: Any) -> Any:
    shape = tuple(call.out.shape)
    return x if x.shape == shape else x.broadcast_to(shape)


@handles("broadcast_in_dim")
def _broadcast_in_dim(_call: Call, x: Any, shape: Any, dimensions: Any) -> Any:
    """Dimension i of ``x`` is dimension ``dimensions[i]`` of the result."""
    wide = [1] * len(shape)
    for size, at in zip(x.shape, dimensions, strict=True):
        wide[at] = size
    return x.reshape(tuple(wide)).broadcast_to(sizes_of((shape,)))


@handles("unfold", "as_strided")
def _overlapping(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    if call.out.untyped_storage()._cdata != call.args[0].untyped_storage()._cdata:
        return NotImplemented  # `F.unfold`, which is something else
    return read_through(x, positions(call.args[0], call.out))


@handles("repeat", "tile")
def _repeat(_call: Call, x: Any, *sizes: Any, **kwargs: Any) -> Any:
    times = sizes_of(sizes or tuple(kwargs.values()))
    return x.repeat((1,) * (x.ndim - len(times)) + times)


@handles("cat", "concat", "concatenate")
def _cat(call: Call, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
    kept = [x for x in tensors if x.shape != (0,)]  # PyTorch lets an empty vector join anything
    return T.concat(widened(call, *kept), kwargs.get("axis", dim))


@handles("chunk", "split", "unsafe_chunk", "unsafe_split", "split_with_sizes")
def _split(call: Call, x: Any, _size: Any = None, dim: int = 0, **_kwargs: Any) -> Any:
    return list(x.split([int(piece.shape[dim]) for piece in call.out], dim))


@handles("unbind", "iter")
def _unbind(_call: Call, x: Any, dim: int = 0) -> Any:
    before = (slice(None),) * (dim % x.ndim)
    return [x[(*before, i)] for i in range(x.shape[dim])]


enter_each(
    handles,
    {
        "permute": lambda _, x, *dims, **kwargs: x.permute(sizes_of(dims or (kwargs["dims"],))),
        "transpose swapaxes swapdims": lambda _, x, dim0, dim1: x.transpose(dim0, dim1) if x.ndim else x,
        "stack": lambda call, tensors, dim=0: T.stack(widened(call, *tensors), dim),
        "roll": lambda _, x, shifts, dims=(): x.roll(shifts, None if dims == () else dims),
        "pad constant_pad_nd": lambda _, x, pad, mode="constant", value=None: F.pad(x, pad, mode, value),
        "flip": lambda _, x, *dims, **kwargs: x.flip(sizes_of(dims or (kwargs["dims"],))),
    },
)
