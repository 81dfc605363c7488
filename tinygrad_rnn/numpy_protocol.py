"""NumPy's functions called on tensors: ``np.tanh(t)``, ``np.mean(t, axis=0)``, ``array * t``.

What has a counterpart here is recorded like any operation. Another function of arrays takes the tensor for its values,
as ``np.asarray`` does, unless its floats would lose a gradient: then it is an error, and so is any other ufunc.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from . import primitives as P
from .errors import DTypeError
from .recorded_value import is_tensor
from .thread_state import current
from .words import words

#: ufuncs that are called otherwise than the primitive that computes the same
_RENAMED = {
    "subtract": P.sub,
    "multiply": P.mul,
    "divide": P.div,
    "power": P.power,
    "negative": P.neg,
    "absolute": P.abs_,
}
#: ufuncs and the primitives that compute the same
_UFUNCS = P.TABLE | _RENAMED
#: ufuncs that are methods of tensors
_METHODS = {
    "square": "square",
    "isnan": "isnan",
    "isfinite": "isfinite",
    "logical_and": "__and__",
    "logical_or": "__or__",
    "logical_not": "__invert__",
}
#: functions of arrays that are functions here, with the same name and arguments
_SAME = words(
    "sum mean var std prod argmax argsort cumsum where stack einsum reshape squeeze expand_dims broadcast_to clip "
    "outer flip take tril triu"
)
#: all that are functions here, with the same arguments
_FUNCTIONS = {
    "concatenate": "concat",
    "amax": "amax",
    "amin": "amin",
    "max": "amax",
    "min": "amin",
    **{name: name for name in _SAME},
}

#: how many arguments mean the same by position, where it is not two
_ALIKE = {"where": 3, "clip": 3, "take": 3}
#: functions that are about all elements in a row, unless an axis is given
_FLAT = ("cumsum", "take")

#: those functions; `functional` enters itself
_counterparts: dict[str, Any] = {}


def enter(functions: Mapping[str, Any]) -> None:
    """The functions here that NumPy's are looked up among, by name."""
    _counterparts.update(functions)


def ufunc(function: Any, method: str, operands: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """A ufunc that met a tensor, called as such and without ``out`` and its like."""
    name = function.__name__
    if method == "__call__" and not settings:
        first = next(x for x in operands if is_tensor(x))
        if name in _UFUNCS:
            return first._record(_UFUNCS[name], operands, {})
        if name == "remainder":
            return _counterparts[name](*operands)
        if name in _METHODS:
            return getattr(first, _METHODS[name])(*(x for x in operands if x is not first))
    call = f"np.{name}" if method == "__call__" else f"np.{name}.{method}"
    raise DTypeError(
        f"{call} of a tensor has no counterpart with a gradient here{' with out= and its like' if settings else ''}; "
        f"compose it of tg's functions, or take the values: {call}(t.numpy())"
    )


def function(called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of arrays that met a tensor."""
    name = called.__name__
    if called in (np.linalg.norm, np.sort):
        found = (_norm if called is np.linalg.norm else _sorted)(*args, **kwargs)
        if found is not NotImplemented:
            return found
    if called.__module__ == "numpy" and name in _FUNCTIONS:
        if name in ("var", "std"):  # NumPy divides by n unless told
            kwargs = {"correction": kwargs.get("ddof", 0), **{k: v for k, v in kwargs.items() if k != "ddof"}}
        counterpart = _counterparts[_FUNCTIONS[name]]
        strange = [f"{key}=" for key in kwargs if key not in _settings(counterpart)]
        strange += [f"{x!r:.20}" for x in args[_ALIKE.get(name, 2) :] if name != "einsum"]
        if strange:
            raise DTypeError(
                f"np.{name} of a tensor takes no {strange[0]} here; compose it of tg's functions, or take the values: "
                f"np.{name}(t.numpy())"
            )
        if name in _FLAT and len(args) < _ALIKE.get(name, 2) and "axis" not in kwargs:
            args = (args[0].reshape(-1), *args[1:])
        return counterpart(*args, **kwargs)
    result = called(*_arrays(args), **_arrays(kwargs))
    if current.recording and _any_of((args, kwargs), _needs_gradient) and _any_of(result, _is_inexact):
        call = f"{called.__module__.replace('numpy', 'np', 1)}.{name}"
        raise DTypeError(
            f"{call} gives plain numbers and loses the gradient of its tensor; compose it of tg's functions, or take "
            f"the values: {call}(t.numpy())"
        )
    return result


@cache
def _settings(counterpart: Any) -> frozenset[str]:
    """The names of the arguments that it takes."""
    return frozenset(inspect.signature(counterpart).parameters)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`numpy.linalg.norm` of vectors, and of all elements; not the norms of matrices as operators."""
    if not is_tensor(x) or isinstance(axis, tuple):
        return NotImplemented
    vectors = x.ndim == 1 or axis is not None
    if not (ord is None or (vectors and isinstance(ord, (int, float)) and (ord >= 0 or ord == -np.inf))):
        return NotImplemented
    return x.norm(2 if ord is None else ord, axis, keepdims)


def _sorted(x: Any, axis: int | None = -1, **settings: Any) -> Any:
    if not is_tensor(x) or settings:
        return NotImplemented
    return x.reshape(-1).sort().values if axis is None else x.sort(axis).values


def _needs_gradient(x: Any) -> bool:
    return is_tensor(x) and bool(x.requires_grad)


def _is_inexact(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "O") in "fc" or isinstance(x, float)


def _any_of(tree: Any, holds: Any) -> bool:
    """Whether ``holds(item)`` is true of any item in nested lists, tuples and dictionaries."""
    if isinstance(tree, (list, tuple)):
        return any(_any_of(each, holds) for each in tree)
    return any(_any_of(each, holds) for each in tree.values()) if isinstance(tree, dict) else bool(holds(tree))


def _arrays(value: Any) -> Any:
    """Tensors as arrays, also inside lists, tuples and dictionaries."""
    if is_tensor(value):
        return value.numpy()
    if type(value) in (list, tuple):
        return type(value)(_arrays(each) for each in value)
    return {key: _arrays(each) for key, each in value.items()} if type(value) is dict else value
