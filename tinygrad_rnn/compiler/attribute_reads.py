"""Reports every attribute that is read from objects of users' classes while a function is traced.

For that long the class has a ``__getattribute__`` that reports the read and then does what it did before. So it does
not matter how the code came to the object: by another name, out of a list, from a call, with ``getattr``.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from ..source_line import installed, is_library, is_ours
from ..tensors import Tensor
from ..user_objects import is_of

_MISSING = object()
_lock = threading.Lock()
_told: dict[int, Callable[[Any, str], None]] = {}  #: who is told of reads, by thread
_own: dict[type, Any] = {}  #: each class that reports, and the ``__getattribute__`` of its own that it had

_PLAIN = frozenset((int, float, complex, str, bytes, bool, type(None)))
_modules: list[ModuleType] = []  #: those that report


def is_plain(value: Any) -> bool:
    """Whether it is a number, a text or a tensor, and of no class of the user's: there is nothing to look into."""
    return type(value) in _PLAIN or is_of(value, Tensor)


@contextmanager
def told_to(listener: Callable[[Any, str], None]) -> Iterator[None]:
    """Tell ``listener(object, name)`` what this thread reads from objects whose classes `listen` was shown."""
    me = threading.get_ident()
    outer = _told.get(me)  # a compiled function may be called inside another, by mistake
    _told[me] = listener
    try:
        yield
    finally:
        with _lock:
            if outer is None:
                del _told[me]
            else:
                _told[me] = outer
            if not _told:
                for kind, own in _own.items():
                    if own is _MISSING:
                        type.__delattr__(kind, "__getattribute__")
                    else:
                        type.__setattr__(kind, "__getattribute__", own)
                _own.clear()
                for module in _modules:
                    module.__class__ = ModuleType
                _modules.clear()


class _ReportingModule(ModuleType):
    """A module that reports what is read from it."""

    def __getattribute__(self, name: str) -> Any:
        _tell(self, name)
        return ModuleType.__getattribute__(self, name)


def _tell(holder: Any, name: str) -> None:
    me = threading.get_ident()
    listener = _told.get(me)
    if listener is not None:
        _told[me] = _ignore_reads
        try:
            listener(holder, name)
        finally:
            _told[me] = listener


def hear(module: ModuleType) -> None:
    """Let a module report what is read from it."""
    with _lock:
        if type(module) is ModuleType and threading.get_ident() in _told:
            _modules.append(module)
            module.__class__ = _ReportingModule


def listen(value: Any, depth: int = 4) -> None:
    """Let the class of ``value``, and of what it contains, report what is read from its objects; or a user's module."""
    kind = type(value)
    if kind is ModuleType:
        if is_users_module(value):
            hear(value)
            for item in list(vars(value).values()):  # objects of its classes may come from anywhere
                if is_of(item, type) and item not in _own and is_users(item):
                    _report(item)
        return
    if is_plain(value) or not depth:
        return
    if kind not in _own and is_users(kind):  # type: ignore[arg-type]
        _report(kind)
    if is_of(value, (list, tuple, set, frozenset, deque)) or (kind is np.ndarray and value.dtype == object):
        for item in value.flat if is_of(value, np.ndarray) else value:
            listen(item, depth - 1)
    elif is_of(value, dict):
        for item in dict.values(value):
            listen(item, depth - 1)


#: modules of libraries, by name: there are thousands, and each call that is recorded would ask them all again
_libraries: dict[str, ModuleType] = {}


def listen_to_modules() -> None:
    """Let all of the user's modules report what is read from them."""
    for name, module in list(sys.modules.items()):
        if _libraries.get(name) is module:
            continue
        if type(module) is ModuleType and not is_users_module(module):
            _libraries[name] = module
        else:
            listen(module)


@lru_cache(1024)
def is_users(kind: type) -> bool:
    """Whether the class is written by the user: of no library, and not built in."""
    if not kind.__flags__ & 1 << 9 or kind.__flags__ & 1 << 8:  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
        return False
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ in ("__main__", "types"):  # of text that was run, or made by a call
        return True
    file = getattr(module, "__file__", None)
    return file is not None and not is_ours(file) and not installed(file)


def is_users_module(module: ModuleType) -> bool:
    """Whether the user wrote it, in a file or while the program runs."""
    names = object.__getattribute__(module, "__dict__")
    file = names.get("__file__")
    if is_of(file, str):
        return not is_library(file)
    origin = getattr(names.get("__spec__"), "origin", None)
    return origin is None and not hasattr(names.get("__spec__"), "submodule_search_locations")


def _report(kind: type) -> None:
    with _lock:
        if kind in _own or threading.get_ident() not in _told:
            return
        # a class of a metaclass that reports would report these two reads, with the lock held
        before: Any = type.__getattribute__(kind, "__getattribute__")
        _own[kind] = type.__getattribute__(kind, "__dict__").get("__getattribute__", _MISSING)

        def look(self: Any, name: str) -> Any:
            _tell(self, name)
            return before(self, name)

        type.__setattr__(kind, "__getattribute__", look)


def _ignore_reads(_holder: Any, _name: str) -> None:
    """Takes the listener's place while it looks into a read: what it reads itself is not the function's."""
