"""Changes of type, copies, and what PyTorch fills or draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .... import primitives as P
from ....tensors import Tensor, as_tensor
from ....words import words
from ...program import constant
from .table import handles, numpy_dtype

if TYPE_CHECKING:
    from ..recorder import Call


_COPIES = words(
    "to type type_as float double long int bool _to_copy half contiguous clone cpu alias lift_fresh_copy positive "
    "requires_grad view_as_real expand_copy pin_memory"
)


@handles(*_COPIES)
def _to(call: Call, x: Any, *_args: Any, **_kwargs: Any) -> Any:
    wanted = numpy_dtype(call.out.dtype)
    if wanted == x.dtype:
        return x
    if wanted.kind == "b":
        return P.not_equal(x, 0)
    return x.astype(wanted)


@handles("detach", "data")
def _detach(call: Call, x: Any) -> Any:
    return call.detached(x)


_DRAWN = words("rand_like randn_like uniform normal exponential bernoulli random")
_FILLED = words(
    "full_like fill zero zeros_like ones_like empty_like new_zeros new_ones new_full new_empty new new_empty_strided "
    "new_tensor"
)


@handles(*_FILLED, *_DRAWN)
def _frozen(call: Call, x: Any, *args: Any, **_kwargs: Any) -> Any:
    if call.name.rstrip("_") in _DRAWN:
        call.recorder.note(f"{call.name}: the random numbers stay as they were drawn", True)
        return constant(call.out.detach().numpy(), "random numbers")
    if args and isinstance(args[-1], Tensor) and args[-1].serial in call.recorder.live:
        return P.broadcast_to(args[-1], shape=tuple(call.out.shape))
    return constant(call.out.detach().numpy())


@handles("copy")
def _copy(call: Call, x: Any, source: Any, *_args: Any, **_kwargs: Any) -> Any:
    source = as_tensor(source).astype(x.dtype)
    return source if source.shape == x.shape else source.broadcast_to(x.shape)
