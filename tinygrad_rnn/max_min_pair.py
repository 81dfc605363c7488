"""The pair ``(values, indices)`` that `Tensor.max` and `Tensor.min` return along one dimension, as PyTorch's do.

Until version 0.1 ``x.max(1)`` gave the values alone. Where a pair is used as if it still did, it stands for its values
and warns; from version 0.3 on it is a plain pair. What cannot be told apart has the new meaning at once, as in PyTorch:
``v, i = x.max(1)``, ``x.max(1)[0]``, ``len(x.max(1))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .source_line import warn

if TYPE_CHECKING:
    from .tensors import Tensor


class Extreme(NamedTuple):
    """The largest (or smallest) elements along a dimension, and where they were, as ``torch.return_types.max``."""

    values: Tensor
    indices: Tensor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(type(self.values), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; it is a pair (values, indices)")
        return getattr(meant(self, name), name)

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, key) if key in (0, 1, -1, -2) or isinstance(key, slice) else meant(self)[key]

    def __hash__(self) -> int:
        return hash(tuple(self))


def meant(pair: Extreme, use: str = "") -> Tensor:
    """The values of a pair that is used as they were, with a warning that names the user's line."""
    warn(
        f"x.max(dim) and x.min(dim) give a pair (values, indices), as PyTorch's, and .{use or 'values'} was asked of "
        "the pair; for one version it stands for its values: write x.max(dim).values, or x.amax(dim)",
        FutureWarning,
    )
    return pair.values


def _of_values(name: str) -> Callable[..., Any]:
    def method(self: Extreme, *args: Any) -> Any:
        return getattr(meant(self, name), name)(*args)

    method.__name__ = name
    return method


_ARITHMETIC = ("__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__pow__", "__matmul__")
_BITWISE = ("__and__", "__or__", "__xor__")
_TURNED = [f"__r{name[2:]}" for name in (*_ARITHMETIC, *_BITWISE)]
_COMPARED = ("__gt__", "__ge__", "__lt__", "__le__", "__eq__", "__ne__")
_OF_ONE = ("__neg__", "__abs__", "__invert__", "__float__", "__int__", "__bool__", "__array__")
for _name in (*_ARITHMETIC, *_BITWISE, *_TURNED, *_COMPARED, *_OF_ONE):
    setattr(Extreme, _name, _of_values(_name))
Extreme.__array_ufunc__ = None  # type: ignore[attr-defined]  # NumPy leaves arithmetic with arrays to the pair
