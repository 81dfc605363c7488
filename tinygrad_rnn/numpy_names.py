"""NumPy's functions called on tensors: ``np.tanh(t)``, ``np.mean(t, axis=0)``, ``array * t``.

What has a counterpart here is recorded like any operation. Another function of arrays takes the tensor for its values,
as ``np.asarray`` does; another ufunc, which would lose the gradient of an arithmetic expression, is an error.
"""

from __future__ import annotations

from typing import Any

from . import primitives as P
from .errors import DTypeError

#: ufuncs and the primitives that compute the same
_UFUNCS = {
    "add": P.add, "subtract": P.sub, "multiply": P.mul, "divide": P.div, "power": P.power, "matmul": P.matmul,
    "floor_divide": P.floor_divide, "negative": P.neg, "absolute": P.abs_, "maximum": P.maximum, "minimum": P.minimum,
    "greater": P.greater, "greater_equal": P.greater_equal, "less": P.less, "less_equal": P.less_equal,
    "equal": P.equal, "not_equal": P.not_equal, "exp": P.exp, "log": P.log, "sqrt": P.sqrt, "sin": P.sin, "cos": P.cos,
    "tanh": P.tanh,
}  # fmt: skip
#: ufuncs that are methods of tensors
_METHODS = {
    "square": "square", "isnan": "isnan", "isfinite": "isfinite", "logical_and": "__and__", "logical_or": "__or__",
    "logical_not": "__invert__",
}  # fmt: skip
#: functions of arrays that are functions here, with the same arguments
_FUNCTIONS = {
    "concatenate": "concat", "amax": "amax", "amin": "amin", "max": "amax", "min": "amin",
    **{name: name for name in (
        "sum", "mean", "var", "std", "prod", "argmax", "argsort", "cumsum", "where", "stack", "einsum",
        "reshape", "squeeze", "expand_dims", "broadcast_to", "clip", "outer", "flip", "take", "tril", "triu",
    )},
}  # fmt: skip


def ufunc(function: Any, method: str, operands: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """A ufunc that met a tensor, called as such and without ``out`` and its like."""
    name = function.__name__
    if method == "__call__" and not settings:
        first = next(x for x in operands if hasattr(x, "_record"))
        if name in _UFUNCS:
            return first._record(_UFUNCS[name], operands, {})
        if name in _METHODS:
            return getattr(first, _METHODS[name])(*(x for x in operands if x is not first))
    call = f"np.{name}" if method == "__call__" else f"np.{name}.{method}"
    raise DTypeError(
        f"{call} of a tensor has no counterpart with a gradient here{' with out= and its like' if settings else ''}; "
        f"compose it of tg's functions, or take the values: {call}(t.numpy())"
    )


def function(called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of arrays that met a tensor."""
    from . import functional

    name = called.__name__
    if called.__module__ != "numpy" or name not in _FUNCTIONS:
        return called(*_arrays(args), **_arrays(kwargs))
    if name in ("var", "std"):  # NumPy divides by n unless told
        kwargs = {"correction": kwargs.get("ddof", 0), **{k: v for k, v in kwargs.items() if k != "ddof"}}
    return getattr(functional, _FUNCTIONS[name])(*args, **kwargs)


def _arrays(value: Any) -> Any:
    """Tensors as arrays, also inside lists, tuples and dictionaries."""
    if hasattr(value, "_record"):
        return value.numpy()
    if type(value) in (list, tuple):
        return type(value)(_arrays(each) for each in value)
    return {key: _arrays(each) for key, each in value.items()} if type(value) is dict else value
