"""Surroundings: what a function being compiled finds in Python outside its arguments, and whether that has changed.

While it is traced, every call of a function that is not a library's is looked at: which globals, names of enclosing
functions and attributes of its arguments its bytecode reads. Each is remembered as (dict, name); a program is used
again only while every one still holds the very same object, and lists, dicts and arrays among them the same elements.
Random numbers of Python and NumPy would be the same in every call, so drawing one is refused.
"""

from __future__ import annotations

import dis
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from operator import is_
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

import numpy as np

from ..errors import GraphError
from ..source import Site, installed, is_ours
from ..tensor import Tensor
from .trace import Traced

_MISSING = object()
#: numbers and strings: nothing to look into
_PLAIN = (int, float, str, bytes, bool, type(None), Tensor)


@cache
def _library(filename: str) -> bool:
    return is_ours(filename) or filename.startswith("<frozen") or installed(filename)


@cache
def _reads(code: CodeType) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What the bytecode reads, as (kind of the first name, the name, attributes after it)."""
    found: dict[tuple[str, str, tuple[str, ...]], None] = {}
    chain: tuple[str, str, tuple[str, ...]] | None = None
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_CLASSDEREF")):
            chain = (name[5:10].rstrip("_"), instruction.argval, ())
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and chain is not None:
            chain = (chain[0], chain[1], (*chain[2], instruction.argval))
        elif name not in ("CACHE", "PRECALL", "EXTENDED_ARG"):
            chain = None
        if chain is not None:
            found[chain] = None
    return tuple(found)


class Surroundings:
    """Collects while a function is traced."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.places: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}
        self.cells: dict[int, Any] = {}
        self.containers: dict[int, Any] = {}
        self.generators: dict[int, tuple[np.random.Generator, str]] = {}  # with the state it was found in
        self._seen: set[Any] = set()
        self._alive: list[Any] = []  # so that no id is given to another object meanwhile
        self._value(fn)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at what this thread calls."""
        outer = sys.getprofile()

        def look(frame: FrameType, event: Any, argument: Any) -> None:
            if event == "call" and not _library(frame.f_code.co_filename):
                self._frame(frame)
            if outer is not None:
                outer(frame, event, argument)

        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(outer)

    def _frame(self, frame: FrameType) -> None:
        code, values = frame.f_code, frame.f_locals
        key = (code, *(id(v) for v in values.values() if not isinstance(v, _PLAIN)))
        if key in self._seen:
            return
        self._seen.add(key)
        self._alive.extend(v for v in values.values() if not isinstance(v, _PLAIN))
        for kind, name, attributes in _reads(code):
            if kind == "GLOBA":
                if name not in frame.f_globals:
                    continue  # a builtin
                value = self._place(frame.f_globals, name)
            elif name in values:
                value = values[name]
                if name in code.co_freevars or type(value) not in (list, dict):  # arguments are looked into elsewhere
                    self._value(value)
            else:
                continue
            for attribute in attributes:
                value = self._attribute(value, attribute)

    def _attribute(self, holder: Any, name: str) -> Any:
        """Remember where an attribute is found, as Python looks it up."""
        if isinstance(holder, _PLAIN) or _library_made(holder):
            return _MISSING if isinstance(holder, _PLAIN) else vars(holder).get(name, _MISSING)
        entries = getattr(holder, "__dict__", None)
        if type(entries) is dict:
            value = self._place(entries, name)
            if value is not _MISSING:
                return value
        for owner in type(holder).__mro__:
            if _library(getattr(sys.modules.get(owner.__module__), "__file__", None) or "<frozen"):
                return _MISSING
            value = self._place(vars(owner), name)  # type: ignore[arg-type]
            if value is not _MISSING:
                return value
        return _MISSING

    def _place(self, holder: dict[str, Any], name: str) -> Any:
        value = holder.get(name, _MISSING)
        if (id(holder), name) not in self.places:
            self.places[id(holder), name] = (holder, name)
            self._value(value)
        return value

    def _value(self, value: Any) -> None:
        """Look into functions, for what encloses them, and into containers."""
        if isinstance(value, _PLAIN) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._alive.append(value)
        if isinstance(value, FunctionType):
            if not _library(value.__code__.co_filename):
                for cell in value.__closure__ or ():
                    self.cells[id(cell)] = cell
                    self._value(_content(cell))
        elif isinstance(value, MethodType):
            self._value(value.__func__)
        elif isinstance(value, np.random.Generator):
            self.generators[id(value)] = value, repr(value.bit_generator.state)
        elif type(value) is np.ndarray:
            self.containers[id(value)] = value
        elif type(value) in (list, dict):
            self.containers[id(value)] = value
            for item in value.values() if type(value) is dict else value:
                self._value(item)

    # Afterwards ------------------------------------------------------------------------------------------

    def random_state(self) -> tuple[Any, ...]:
        """The states of all random numbers that can be reached: two differ if one was drawn in between."""
        numpys: Any = np.random.get_state(legacy=True)
        _, keys, position, has_gauss, gauss = numpys
        drawn = [repr(g.bit_generator.state) for g, found in self.generators.values()]
        return random.getstate(), keys.tobytes(), position, has_gauss, gauss, drawn

    def drew(self, before: tuple[Any, ...]) -> bool:
        """Whether a random number was drawn since ``random_state()`` was ``before``."""
        own = any(repr(g.bit_generator.state) != found for g, found in self.generators.values())
        return own or self.random_state()[:-1] != before[:-1]

    def guards(self) -> list[Callable[[], bool]]:
        """What must hold for the trace to be used again."""
        made: list[Callable[[], bool]] = []
        if self.places:
            gets = [(holder.get, name) for holder, name in self.places.values()]
            then = [get(name, _MISSING) for get, name in gets]
            made.append(lambda: all(get(name, _MISSING) is value for (get, name), value in zip(gets, then)))
        if self.cells:
            cells = list(self.cells.values())
            contents = [_content(cell) for cell in cells]
            made.append(lambda: all(map(is_, map(_content, cells), contents)))
        made.extend(_same_elements(container) for container in self.containers.values() if not _made_inside(container))
        return made


def _made_inside(container: Any) -> bool:
    """Whether it holds what is traced, so that the next call makes another."""
    items = container.values() if type(container) is dict else () if type(container) is np.ndarray else container
    return any(isinstance(item, Traced) for item in items)


def _library_made(holder: Any) -> bool:
    """Whether attributes of it are a library's own business: a module of one, or an instance of its classes."""
    if type(holder).__name__ == "module":
        return _library(getattr(holder, "__file__", None) or "<frozen")
    return False


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return _MISSING


def _same_elements(container: Any) -> Callable[[], bool]:
    if type(container) is np.ndarray:
        before = container.tobytes()
        return lambda: container.tobytes() == before
    if type(container) is dict:
        keys, values = list(container), list(container.values())
        return lambda: list(container) == keys and all(map(is_, container.values(), values))
    items = list(container)
    return lambda: len(container) == len(items) and all(map(is_, container, items))


def refuse_random(run: Callable[[], Any], state: Callable[[], Any], fallback: CodeType | None) -> None:
    """Run again, line by line, until one draws a random number; then say which."""
    place: list[tuple[CodeType, int] | None] = [None if fallback is None else (fallback, 0)]
    before = state()
    drawn = False

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal drawn
        if _library(frame.f_code.co_filename):
            return None
        if not drawn:
            if state() != before:
                drawn = True
            else:
                place[0] = (frame.f_code, frame.f_lasti)
        return step

    outer = sys.gettrace()
    sys.settrace(step)
    try:
        run()
    finally:
        sys.settrace(outer)
    where = "" if place[0] is None else f" (at {Site(*place[0])})"
    raise GraphError(
        f"a random number of Python's or NumPy's is drawn{where} while a function is being compiled, and would be the "
        "same in every call; draw it outside and pass it in"
    )
