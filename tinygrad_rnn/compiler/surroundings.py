"""Surroundings: what a function being compiled finds in Python outside its arguments, and whether that has changed.

While it is traced, every call of a function that is not a library's is looked at: which globals and names of enclosing
functions its bytecode reads. Attributes are seen when they are read, whatever the way to the object (`attributes`);
those of modules, classes and libraries' objects are found in the bytecode. Each is remembered as (dict, name); a
program is used again only while every one still holds the very same object, and lists, dicts, sets and arrays among
them the same elements. What is assigned outside is refused.
Random numbers of Python and NumPy would be the same in every call, so drawing one is refused.
"""

from __future__ import annotations

import dis
import random
import sys
import weakref
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from operator import is_
from types import (
    BuiltinMethodType,
    CodeType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from ..errors import GraphError
from ..source import Site, installed, is_ours
from ..tensor import Tensor
from .attributes import is_users, listen, told_to
from .conditions import Conditions
from .trace import Traced

_MISSING = object()
#: numbers and strings: nothing to look into
_PLAIN = (int, float, str, bytes, bool, type(None), Tensor)
_CONTAINERS = (list, dict, tuple, set, frozenset, deque)
_GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)


@cache
def _library(filename: str) -> bool:
    return is_ours(filename) or filename.startswith("<frozen") or installed(filename)


def _in_library(frame: FrameType) -> bool:
    filename, names = frame.f_code.co_filename, frame.f_globals
    if filename.startswith("<"):  # made from text: methods of a dataclass belong to its file, a named tuple to nobody
        if names.get("__name__", "").startswith("namedtuple_"):
            return True
        filename = names.get("__file__") or filename
    return _library(filename)


@cache
def _reads(code: CodeType) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What the bytecode reads, as (kind of the first name, the name, attributes after it); other names followed."""
    found: dict[tuple[str, str, tuple[str, ...]], None] = {}
    aliases: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    chain: tuple[str, str, tuple[str, ...]] | None = None
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_CLASSDEREF")):
            chain = aliases.get(instruction.argval, (name[5:10].rstrip("_"), instruction.argval, ()))
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and chain is not None:
            chain = (chain[0], chain[1], (*chain[2], instruction.argval))
        elif name.startswith("STORE_FAST") and chain is not None:
            aliases[instruction.argval] = chain
            chain = None
        elif name not in ("CACHE", "PRECALL", "EXTENDED_ARG"):
            chain = None
        if chain is not None:
            found[chain] = None
    return tuple(found)


@cache
def _stores(code: CodeType) -> tuple[tuple[str, bool, int], ...]:
    """Names outside that the bytecode assigns: (name, whether it is global, at which instruction)."""
    return tuple(
        (found.argval, found.opname == "STORE_GLOBAL", found.offset)
        for found in dis.get_instructions(code)
        if found.opname == "STORE_GLOBAL" or (found.opname == "STORE_DEREF" and found.argval in code.co_freevars)
    )


class Surroundings:
    """Collects while a function is traced."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.places: dict[tuple[int, str], tuple[Mapping[str, Any], str]] = {}
        self.cells: dict[int, Any] = {}
        self.containers: dict[int, Any] = {}
        self.generators: dict[int, tuple[Any, str]] = {}  # with the state it was found in
        self._owners: dict[int, Any] = {}  # id of a holder of attributes -> a weak reference to what they belong to
        self._whole: dict[int, Any] = {}  # attributes of objects that were asked for all of them
        self._classes: dict[type, Mapping[str, Any]] = {}
        self._seen: set[Any] = set()
        self._returned: set[int] = set()
        self._inside: dict[CodeType, frozenset[str]] = {}  # functions made by what is traced; names from outside it
        self._fn = fn
        self._alive: list[Any] = []  # so that no id is given to another object meanwhile
        self._value(fn)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at what this thread calls, and at the attributes it reads."""
        outer = sys.getprofile()

        def look(frame: FrameType, event: Any, argument: Any) -> None:
            if event in ("call", "return") and not _in_library(frame):
                if event == "call":
                    self._frame(frame)
                elif id(argument) not in self._returned:
                    self._returned.add(id(argument))
                    self._alive.append(argument)
                    listen(argument)
            if callable(outer):
                outer(frame, event, argument)

        with told_to(self.read):
            sys.setprofile(look)
            try:
                yield
            finally:
                if outer is None or callable(outer):
                    sys.setprofile(outer)
                else:  # cProfile's, which is no function
                    sys.setprofile(None)
                    outer.enable()

    def _frame(self, frame: FrameType) -> None:
        code, values = frame.f_code, frame.f_locals
        key = (code, *(id(v) for v in values.values() if not isinstance(v, _PLAIN)))
        if key in self._seen:
            return
        self._seen.add(key)
        self._alive.extend(v for v in values.values() if not isinstance(v, _PLAIN))
        for value in values.values():
            listen(value)
        outside = self._refuse_stores(code)
        for kind, name, names in _reads(code):
            if kind == "GLOBA":
                if name not in frame.f_globals:
                    continue  # a builtin
                value = self._place(frame.f_globals, name)
            elif name in values:
                value = values[name]
                if name in outside or type(value) not in (list, dict):  # arguments are looked into elsewhere
                    self._value(value)
            else:
                continue
            for attribute in names:
                value = self._attribute(value, attribute)

    def _refuse_stores(self, code: CodeType) -> frozenset[str]:
        """What a function assigns outside itself, replaying it would not. Returns its names from outside."""
        outside = self._inside.get(code, frozenset(code.co_freevars))
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                self._inside.setdefault(inner, outside & frozenset(inner.co_freevars))
        for name, is_global, instruction in _stores(code):
            if is_global or name in outside:
                raise GraphError(
                    f"a compiled function would assign {name}, a name outside it (at {Site(code, instruction)}), when "
                    "it is recorded only; return the value"
                )
        return outside

    def read(self, holder: Any, name: str) -> None:
        """An attribute is read; while it is looked up, other reads are not the function's."""
        if (id(holder), name) not in self._seen:
            self._seen.add((id(holder), name))
            self._alive.append(holder)
            if name != "__dict__":
                self._attribute(holder, name)
            elif not is_ours(sys._getframe(2).f_code.co_filename):  # modules watch their own
                entries = object.__getattribute__(holder, name)
                self._own(entries, holder)
                self._whole[id(entries)] = entries

    def _attribute(self, holder: Any, name: str) -> Any:
        """Remember where an attribute is found, as Python looks it up."""
        if isinstance(holder, _PLAIN) or _library_made(holder):
            return _MISSING if isinstance(holder, _PLAIN) else vars(holder).get(name, _MISSING)
        entries = _entries(holder)
        if entries is not None:
            self._own(entries, holder)
            value = self._place(entries, name)
            if value is not _MISSING:
                return value
        for owner in type(holder).__mro__:
            if not is_users(owner):
                return _MISSING
            value = self._place(self._classes.setdefault(owner, vars(owner)), name)
            if type(value) is MemberDescriptorType:
                slots = _Slots(holder)
                self._own(slots, holder)
                return self._place(slots, name)
            if value is not _MISSING:
                return value
        return _MISSING

    def _own(self, entries: Any, holder: Any) -> None:
        self._alive.append(entries)
        with suppress(TypeError):  # what has slots may have no weak references
            self._owners[id(entries)] = weakref.ref(holder)

    def _place(self, holder: Mapping[str, Any], name: str) -> Any:
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
        listen(value)
        if isinstance(value, FunctionType):
            if not _library(value.__code__.co_filename):
                for cell in value.__closure__ or ():
                    self.cells[id(cell)] = cell
                    self._value(_content(cell))
                for default in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
                    self._value(default)
        elif isinstance(value, MethodType):
            self._value(value.__func__)
            self._value(value.__self__)
        elif isinstance(value, partial):
            for part in (value.func, value.args, value.keywords):
                self._value(part)
        elif isinstance(value, BuiltinMethodType):  # such as the ``rand`` of a generator
            self._value(value.__self__)
        elif isinstance(value, SimpleNamespace):
            self._value(vars(value))
        elif isinstance(value, (UserDict, UserList)):
            self._value(value.data)
        elif isinstance(value, ChainMap):
            self._value(value.maps)
        elif isinstance(value, _GENERATORS):
            self.generators[id(value)] = value, _state_of(value)
        elif type(value) is np.ndarray:
            self.containers[id(value)] = value
        elif isinstance(value, _CONTAINERS):
            if not isinstance(value, (tuple, frozenset)):
                self.containers[id(value)] = value
            for item in value.values() if isinstance(value, dict) else value:
                self._value(item)

    # Afterwards ------------------------------------------------------------------------------------------

    def random_state(self) -> tuple[Any, ...]:
        """The states of all random numbers that can be reached: two differ if one was drawn in between."""
        numpys: Any = np.random.get_state(legacy=True)
        _, keys, position, has_gauss, gauss = numpys
        drawn = [_state_of(g) for g, found in self.generators.values()]
        return random.getstate(), keys.tobytes(), position, has_gauss, gauss, drawn

    def drew(self, before: tuple[Any, ...]) -> bool:
        """Whether a random number was drawn since ``random_state()`` was ``before``."""
        own = any(_state_of(g) != found for g, found in self.generators.values())
        return own or self.random_state()[:-1] != before[:-1]

    def _settle(self) -> None:
        """Forget what was made while tracing and is gone; look at what was assigned meanwhile."""
        self._alive.clear()
        self._seen.clear()
        self.containers.clear()
        self._value(self._fn)
        gone = {key for key, owner in self._owners.items() if owner() is None}
        found = [(holder, name, holder.get(name, _MISSING)) for holder, name in self.places.values()]
        self.places = {
            (id(holder), name): (holder, name)
            for holder, name, value in found
            if id(holder) not in gone and not isinstance(value, Traced)
        }
        for holder, name in list(self.places.values()):
            self._value(holder.get(name, _MISSING))
        for cell in list(self.cells.values()):
            self._value(_content(cell))
        for key, entries in self._whole.items():
            if key not in gone:
                self._value(entries)

    def add_to(self, conditions: Conditions) -> None:
        """What must hold for the trace to be used again."""
        self._settle()
        for holder, name in self.places.values():
            if name in holder:
                conditions.add("{}[{}] is {}", holder, name, holder[name])
            else:
                conditions.add("{} not in {}", name, holder)
        for cell in self.cells.values():
            content = _content(cell)
            if content is _MISSING:
                conditions.add("{}({}) is {}", _content, cell, content)
            else:
                conditions.add("{}.cell_contents is {}", cell, content)
        for container in self.containers.values():
            if not _made_inside(container):
                conditions.add("{}()", _same_elements(container))


class _Slots(Mapping[str, Any]):
    """The attributes of an object that keeps them in slots, as a mapping."""

    def __init__(self, holder: Any) -> None:
        self.holder = holder

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self.holder, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _entries(holder: Any) -> dict[str, Any] | None:
    """An object's ``__dict__``."""
    try:
        entries = object.__getattribute__(holder, "__dict__")
    except (AttributeError, TypeError):
        return None
    return entries if type(entries) is dict else None


def _made_inside(container: Any) -> bool:
    """Whether it holds what is traced, so that the next call makes another."""
    items = () if type(container) is np.ndarray else container.values() if isinstance(container, dict) else container
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
    if isinstance(container, set):
        members = frozenset(container)
        return lambda: container == members
    if isinstance(container, dict):
        keys, values = list(container), list(container.values())
        return lambda: list(container) == keys and all(map(is_, container.values(), values))
    items = list(container)
    return lambda: len(container) == len(items) and all(map(is_, container, items))


def _state_of(generator: Any) -> str:
    """The state of a generator of random numbers; it is another one when a number was drawn."""
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if isinstance(generator, np.random.BitGenerator):
        return repr(generator.state)
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state(legacy=False))
    try:
        return repr(generator.getstate())
    except NotImplementedError:  # the operating system's has none
        return ""


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
