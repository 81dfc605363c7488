"""`UNMADE` is the value of a tensor that was made without `Tensor.__init__`: any use of it is an error that says so."""

from __future__ import annotations

from typing import Any

from .errors import GraphError


class UnmadeError(GraphError, AttributeError):
    """A tensor that has no value is asked for it."""


class _Unmade:
    def __getattribute__(self, name: str) -> Any:
        raise UnmadeError(
            "this tensor was made without Tensor.__init__ and has no value; "
            "a subclass with an __init__ of its own calls super().__init__(data)"
        )

    def _refuse(self, *_args: Any, **_settings: Any) -> Any:
        return self.shape

    __array__ = __array_ufunc__ = __array_function__ = __len__ = __getitem__ = __setitem__ = __repr__ = _refuse


UNMADE: Any = _Unmade()
