"""The table of functions that mirror PyTorch's calls, by name, and helpers that they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ....errors import UnsupportedError
from ....tensors import Tensor, as_tensor
from ...tables import entering

if TYPE_CHECKING:
    from ..recorder import Call

#: PyTorch's float types
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: by name, who mirrors it: a function of the call and, as our tensors, of its arguments
TABLE: dict[str, Callable[..., Any]] = {}
#: ``@handles("add")`` enters a function in the table
handles = partial(entering, TABLE)


def find(name: str) -> Callable[..., Any] | None:
    """The function that mirrors a call of this name; None if there is none."""
    plain = name.strip("_") if name.startswith("__") else name
    if name.startswith("__i") and plain[1:] in TABLE and plain not in TABLE:
        plain = plain[1:]
    if plain not in TABLE and not name.startswith("_"):
        plain = plain.rstrip("_")
    return TABLE.get(plain)


def mirrored(call: Call, args: Any, kwargs: Any) -> Any:
    """The results of a call on our tensors; `NotImplemented` where nothing mirrors it, or not with such arguments."""
    handler = find(call.name)
    try:
        return NotImplemented if handler is None else handler(call, *args, **kwargs)
    except UnsupportedError:
        raise
    except Exception:  # a keyword or a form of argument it does not know: core ATen may
        return NotImplemented


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """NumPy's name for a dtype of PyTorch's."""
    return torch.empty((), dtype=dtype).numpy().dtype


def axes_of(dim: Any) -> Any:
    """Dimensions as a tuple, or the one."""
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def sizes_of(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """``x.f(2, 3)`` and ``x.f((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


def float_like(x: Any, call: Call) -> Tensor:
    """``x`` as the float type of the result, where it is of integers."""
    x = as_tensor(x)
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    return x if x.dtype.kind == "f" or out.dtype not in FLOATS else x.astype(numpy_dtype(out.dtype))


def widened(call: Call, *operands: Any) -> list[Any]:
    """Operands in the result's dtype: PyTorch's tensors without dimensions give way, ours do not."""
    if call.out.dtype not in FLOATS:
        return list(operands)
    wanted = numpy_dtype(call.out.dtype)
    return [x.astype(wanted) if isinstance(x, Tensor) and x.dtype != wanted else x for x in operands]
