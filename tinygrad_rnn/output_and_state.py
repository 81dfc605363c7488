"""The tuples that recurrent layers and cells return; used as a tensor, they raise an error that says how to unpack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .errors import DTypeError


class PairError(DTypeError, AttributeError):
    """A pair was asked for what a tensor has."""


class Returned(tuple[Any, ...]):
    """A plain tuple otherwise: it unpacks, compares and nests like any.

    >>> import tinygrad_rnn as tg
    >>> output, (h_n, c_n) = tg.nn.LSTM(3, 5)(tg.ones(7, 2, 3))
    """

    __slots__ = ()
    who, parts = "a recurrent layer returns", "output, state = layer(x)"

    def mistaken(self, use: str) -> NoReturn:
        """Say that it was taken for a tensor, and what to do."""
        raise PairError(f"{self.who} a pair, which {use}: unpack it, {self.parts}, and go on with the first")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self.mistaken(f"has no .{name}")


class State(Returned):
    """The two states of an LSTM's cell."""

    __slots__ = ()
    who, parts = "an LSTMCell returns", "h, c = cell(x)"


class LayerState(Returned):
    """The two last states of an LSTM."""

    __slots__ = ()
    who, parts = "the state of an LSTM is", "h_n, c_n = state"


def _refused(sign: str) -> Callable[..., Any]:
    def method(self: Returned, _other: Any = None) -> Any:
        self.mistaken(f"is no operand of {sign}")

    return method


def _no_number(self: Returned) -> NoReturn:
    self.mistaken("is no number")


for _name in ("__float__", "__int__"):
    setattr(Returned, _name, _no_number)
for _name, _sign in {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">=", "__neg__": "-"}.items():
    setattr(Returned, _name, _refused(_sign))
_TWO = {"__add__": "+", "__sub__": "-", "__mul__": "*", "__truediv__": "/", "__pow__": "**", "__matmul__": "@"}
for _name, _sign in _TWO.items():
    setattr(Returned, _name, _refused(_sign))
    setattr(Returned, f"__r{_name[2:]}", _refused(_sign))
Returned.__array_ufunc__ = None  # type: ignore[attr-defined]  # NumPy leaves arithmetic with arrays to the pair
