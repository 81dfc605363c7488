"""Snapshots: the contents of the things in Python that can change, to see whether they did, and to put them back.

They serve two ends. What a function writes outside itself while it is recorded, it would not write again when replayed,
so that is refused; and what is written there later, by others, makes the recording out of date.
"""

from __future__ import annotations

import random
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from io import IOBase
from operator import is_
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ..tensor_copies import slots
from ..user_objects import entries_of, is_of

_MISSING = object()
_VALUES = (int, float, complex, str, bytes, bool, type(None), np.generic)
#: what Python, and this package, note in an object for themselves
NOTES = frozenset(
    ("__getattribute__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl")
) | {"_changes", "_compiled_programs", "_name"}
BYTES = (bytearray, array)
#: what files are: a class without a way of its own to look at objects, which would ask for their ``__class__``
FILES: type = IOBase.__mro__[1]
GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)


class Snapshot:
    """The contents of an object at a moment, one level deep.

    >>> from tinygrad_rnn.compiler.snapshots import Snapshot
    >>> losses = [0.5]
    >>> before = Snapshot(losses, "losses")
    >>> losses.append(0.25)
    >>> before.changed
    True
    >>> before.restore()
    >>> losses
    [0.5]
    """

    def __init__(self, thing: Any, label: str) -> None:
        self.thing, self.label = thing, label
        self.contents = _contents(thing)

    @property
    def changed(self) -> bool:
        """Whether it holds something else now."""
        return not alike(self.contents, _contents(self.thing))

    @property
    def goes_forward(self) -> bool:
        """Whether it is a file, in which every call begins where the last one ended."""
        return issubclass(type(self.thing), FILES)

    def names(self) -> list[str]:
        """The names of attributes that are others now."""
        now, before = _contents(self.thing), self.contents
        if not is_of(now, dict) or is_of(self.thing, dict):
            return []
        return [k for k in {**before, **now} if k not in now or k not in before or not alike(before[k], now[k])]

    def values(self) -> Iterator[Any]:
        """The present contents, of a container or of an object with attributes."""
        now = _contents(self.thing)
        if is_of(now, (dict, list, set)):
            yield from now.values() if is_of(now, dict) else now

    def restore(self) -> None:
        """Put back what it held."""
        if self.changed:
            with suppress(AttributeError, TypeError, ValueError):
                _put(self.thing, self.contents)

    def __str__(self) -> str:
        names = self.names()
        if names:
            return f"{names[0]} of {self.label}"
        kind = type(self.thing).__name__
        return f"{self.label}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _contents(thing: Any) -> Any:
    if is_of(thing, np.ndarray):
        return thing.tobytes()
    if is_of(thing, BYTES):
        return bytes(thing)
    if is_of(thing, (dict, set)):
        return dict(thing) if is_of(thing, dict) else set(thing)
    if is_of(thing, (list, deque)):
        return list(thing)
    if is_of(thing, ContextVar):
        return thing.get(_MISSING)
    if is_of(thing, GENERATORS):
        return state_of(thing)
    if is_of(thing, FILES):
        try:
            return thing.tell()
        except ValueError:  # closed, or without a place, as a terminal is
            return None
        except OSError as error:  # while lines are taken from it, Python does not know its place
            return None if error.errno else object()
    return attributes(thing)


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of an object, a class, a module or a function itself, those in slots too."""
    try:
        found = type.__dict__["__dict__"].__get__(thing) if is_of(thing, type) else entries_of(thing) or {}
    except (AttributeError, TypeError):
        found = {}
    result = {name: value for name, value in found.items() if name not in NOTES}
    if not is_of(thing, (type, ModuleType, FunctionType)):
        for name, slot in slots(type(thing)).items():
            with suppress(AttributeError):
                result[name] = slot.__get__(thing)
    return result


def _put(thing: Any, contents: Any) -> None:
    if is_of(thing, np.ndarray):
        thing[...] = np.frombuffer(contents, thing.dtype).reshape(thing.shape)
    elif is_of(thing, array):
        del thing[:]
        thing.frombytes(contents)
    elif is_of(thing, (list, bytearray)):
        thing[:] = contents
    elif is_of(thing, deque):
        thing.clear()
        thing.extend(contents)
    elif is_of(thing, (dict, set)):
        thing.clear()
        thing.update(contents)
    elif is_of(thing, ContextVar):
        if contents is not _MISSING:
            thing.set(contents)
    elif is_of(thing, FILES):
        if is_of(contents, int):
            thing.seek(contents)
    elif not is_of(thing, GENERATORS):
        set_, delete = _writers(thing)
        now = attributes(thing)
        for name in now.keys() - contents.keys():
            delete(thing, name)
        for name, value in contents.items():
            if now.get(name, _MISSING) is not value:
                set_(thing, name, value)


def _writers(thing: Any) -> tuple[Callable[[Any, str, Any], None], Callable[[Any, str], None]]:
    if is_of(thing, type):
        return type.__setattr__, type.__delattr__
    return object.__setattr__, object.__delattr__


def alike(a: Any, b: Any) -> bool:
    """The same object; of numbers, text, and fresh containers and arrays of them, equal ones."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if is_of(a, _VALUES):
        return repr(a) == repr(b)
    if kind is tuple or kind is list:
        return len(a) == len(b) and all(map(alike, a, b))
    if kind is dict:
        return list(a) == list(b) and all(map(alike, a.values(), b.values()))
    if kind is set or kind is frozenset:
        return bool(a == b)
    return kind is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def is_iterator(thing: Any) -> bool:
    """Whether it goes forward when it is asked, so that nobody can look at it and leave it as it is."""
    return hasattr(type(thing), "__next__")


def state_of(generator: Any) -> str:
    """The state of a generator of random numbers; it is another one when a number was drawn."""
    if is_of(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if is_of(generator, np.random.BitGenerator):
        return repr(generator.state)
    if is_of(generator, np.random.RandomState):
        return repr(generator.get_state(legacy=False))
    try:
        return repr(generator.getstate())
    except NotImplementedError:  # the operating system's has none
        return ""


def same_elements(container: Any) -> Callable[[], bool]:
    """Whether a container holds the very same objects as now: asked before every call, so it is quick."""
    if is_of(container, (np.ndarray, *BYTES)):
        before = container.tobytes() if not is_of(container, bytearray) else bytes(container)
        if is_of(container, bytearray):
            return lambda: container == before
        return lambda: container.tobytes() == before
    if is_of(container, set):
        members = frozenset(container)
        return lambda: container == members
    if is_of(container, ContextVar):
        value = container.get(_MISSING)
        return lambda: container.get(_MISSING) is value
    if is_of(container, threading.local):  # each thread has its own
        return same_mapping(lambda: vars(container))
    if is_of(container, dict):
        return same_mapping(lambda: container)
    items = list(container)
    return lambda: len(container) == len(items) and all(map(is_, container, items))


def same_mapping(find: Callable[[], Mapping[Any, Any]]) -> Callable[[], bool]:
    """The same for what ``find()`` gives."""
    keys, values = list(find()), list(find().values())

    def same() -> bool:
        found = find()
        return list(found) == keys and all(map(is_, found.values(), values))

    return same
