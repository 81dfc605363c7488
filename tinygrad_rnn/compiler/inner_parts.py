"""The parts of Python's own objects: of a bound method its function and object, of a view its dict."""

from __future__ import annotations

import gc
import os
import sys
import types
import weakref
from collections import ChainMap, UserDict, UserList
from collections.abc import Callable, Sequence
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any

from ..user_objects import is_of

#: stands for the value of a name that is missing, and of an empty cell
MISSING = object()

_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()), types.MappingProxyType)
_Parts = Callable[[Any], Sequence[Any]]
_PARTS: tuple[tuple[type | tuple[type, ...], _Parts], ...] = (
    (types.MethodType, lambda x: (x.__func__, x.__self__)),
    (partial, lambda x: (x.func, x.args, x.keywords)),
    # such as the ``rand`` of a generator
    (types.BuiltinMethodType, lambda x: () if is_of(x.__self__, ModuleType) else (x.__self__,)),
    (CellType, lambda x: (content(x),)),
    (types.SimpleNamespace, lambda x: (vars(x),)),
    ((UserDict, UserList, weakref.WeakKeyDictionary, weakref.WeakValueDictionary), lambda x: (vars(x).get("data"),)),
    (ChainMap, lambda x: (x.maps,)),
    (type(os.environ), lambda x: (x._data,)),
    (weakref.ProxyTypes, lambda x: (x.__repr__.__self__,)),
    (memoryview, lambda x: (x.obj,)),
    (_VIEWS, lambda x: [each for each in gc.get_referents(x) if is_of(each, dict)]),
)


def inner_parts(thing: Any) -> Sequence[Any] | None:
    """Its parts; None of what is no such thing.

    >>> from tinygrad_rnn.compiler.inner_parts import inner_parts
    >>> losses = [0.5]
    >>> inner_parts(losses.append), inner_parts(losses)
    (([0.5],), None)
    """
    for kinds, parts in _PARTS:
        if is_of(thing, kinds):
            return parts(thing)
    argparse = sys.modules.get("argparse")
    return (vars(thing),) if argparse is not None and is_of(thing, argparse.Namespace) else None


def content(cell: CellType) -> Any:
    """The value of a name of an enclosing function."""
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return MISSING


def enclosed(function: FunctionType) -> dict[str, CellType]:
    """The cells of a function's names from enclosing functions."""
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
