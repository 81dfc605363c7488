"""Python objects outside its arguments that a function being compiled uses, and whether they have changed since.

While it is traced, every call of a function that is not a library's is looked at: which globals and names of enclosing
functions its bytecode reads (`bytecode`). Attributes are seen when they are read, however the code came to the object
(`attribute_reads`); those of modules and of libraries' objects are found in the bytecode, and classes are watched with
all that they have. Each is remembered as (dict, name). A program is used again only while every one still holds the
very same object, and containers among these the same elements (`found_outside`).

What the function writes there it would not write when replayed. So before it can be written, a snapshot is taken of
everything that outlives the call (`snapshots`), and compared when the recording has ended (`side_effects`).
"""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..nn.module import Module
from ..source_line import in_library, is_library, is_ours
from ..tensors import Tensor
from ..user_objects import entries_of, is_of
from .attribute_reads import hear, is_plain, is_users, is_users_module, listen, listen_to_modules, told_to
from .bytecode import imported_by, refuse_assignments, said_by
from .found_outside import CONTAINERS, Found, Things, elements, referred
from .guards import Guards
from .inner_parts import MISSING, content, enclosed, inner_parts
from .side_effects import LOGGING, refuse_date, refuse_entropy, refuse_iterator, refuse_log, refuse_world
from .snapshots import BYTES, FILES, GENERATORS, Snapshot, attributes, is_iterator, state_of
from .tensor_attributes import own
from .tracing import Traced

#: entries of a library's list, dict or set up to which it is compared, as a user's is; ``sys.modules`` is longer
_LISTED = 256
#: what gives all attributes of an object: those below are asked by copying and pickling
_ALL = frozenset(("__dict__", "__getstate__", "__reduce_ex__", "__copy__", "__deepcopy__"))
#: reads of attributes that nobody is told of: those of the object by itself, and of a slot
_UNHEARD = frozenset(("__getattribute__", "__get__"))


class Surroundings:
    """Collects while a function is traced.

    *Outside* is what was there before the call and is reached from the function: by a global, an enclosing name, an
    argument, or from something outside. Of what only turns up on the way nothing is known; it may be made by the
    function, so that it may be written there.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.look: Any = None  #: the profiler, while it is the only one
        self._found = Found()
        self._snapshots: dict[int, Snapshot] = {}  # of what is outside, as it was come across
        self._generators: dict[int, tuple[Any, str]] = {}  # with the state that each was found in
        self._owners: dict[int, Callable[[], Any]] = {}  # id of a dict of attributes -> what they belong to, or None
        self._inside: dict[CodeType, frozenset[str]] = {}  # functions made by what is traced; names from outside it
        self._known: set[CodeType] = set()  # of functions that were come across
        self._of_arguments: set[str] = set()  # attributes of their own that arguments have
        self._asks_types = False
        self._recording = True
        self._fn = fn
        self._code: CodeType | None = getattr(fn, "__code__", None)  # that runs
        self._seen: set[Any] = set()
        self._alive: list[Any] = []  # so that no id is given to another object meanwhile
        self._value(fn, "the function")

    def _is_new(self, thing: Any, *how: Any) -> bool:
        """Whether a thing was not looked at before in this way."""
        new = (id(thing), *how) not in self._seen
        if new:
            self._seen.add((id(thing), *how))
            self._alive.append(thing)
        return new

    # While it runs: calls and reads ----------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at what this thread calls, and at the attributes it reads."""
        outer: Any = sys.getprofile()
        chained, entropy = callable(outer), os.urandom

        def look(frame: FrameType, event: Any, argument: Any) -> None:
            if not is_ours(frame.f_code.co_filename) or argument is entropy:  # nothing else of ours is looked at
                self._event(frame, event, argument)
            if chained:
                outer(frame, event, argument)

        self.look = look if outer is None else None
        with told_to(self._read):
            listen_to_modules()
            sys.setprofile(look)
            try:
                yield
            finally:
                self.look = None  # it holds what it looks for
                if outer is None or chained:
                    sys.setprofile(outer)
                else:  # cProfile's, which is no function
                    sys.setprofile(None)
                    outer.enable()

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            refuse_entropy(frame, event, argument)
            refuse_world(frame, argument)
        elif event == "call":
            refuse_entropy(frame, event, argument)
            if frame.f_code in LOGGING:
                self._found.loggers.add(frame.f_locals["self"])
                refuse_log(frame)
            if not in_library(frame):
                self._call(frame)
        elif event == "return" and not in_library(frame) and self._is_new(argument, "returned", None):
            listen(argument)

    def given(self, value: Any, label: str) -> None:
        """An argument as the function sees it; lists and dicts are copies that hold stand-ins."""
        if is_of(value, (list, dict, tuple)):
            entries = entries_of(value) or {}
            for copied in (value, entries):
                self._found.copies.add(copied)
            if not is_of(value, tuple):
                self._snapshots[id(value)] = Snapshot(value, label)
            for item in (*(dict.values(value) if is_of(value, dict) else value), *entries.values()):
                self.given(item, label)
        else:
            if is_of(value, Tensor):
                self._of_arguments |= own(value).keys()
            self._value(value, label)

    def _call(self, frame: FrameType) -> None:
        """Follow the names that a function is about to read."""
        code, values = frame.f_code, frame.f_locals
        held = [v for v in values.values() if not is_plain(v)]
        if not self._is_new(code, *map(id, held)):
            return
        self._alive.extend(held)
        self._code = code
        self._found.codes.add(code)
        self._found.asked |= said_by(code).asked
        if code.co_name == "<module>":  # it is imported now
            listen(sys.modules.get(frame.f_globals.get("__name__", "")))
        for imported in imported_by(code, frame.f_globals.get("__package__") or ""):
            self._name_in_library(sys.modules, imported)
        refuse_date(frame)
        for value in values.values():
            listen(value)
        outside = self._refuse_stores(code)
        if outside and code not in self._known and code not in self._inside:
            self._find_function(code, values)
        if not _UNHEARD.isdisjoint(code.co_names):
            for read in said_by(code).reads:
                asked = values.get(read.name, frame.f_globals.get(read.name))
                if is_users(type(asked)):  # type: ignore[arg-type]
                    self._all_attributes(asked)
        for is_global, name, names in said_by(code).reads:
            value = MISSING
            if is_global and name not in frame.f_globals:
                self._builtin(name, frame)
            elif is_global:
                value = self._place(frame.f_globals, name, name)
            elif name in values:
                value = values[name]
                if name in outside:
                    self._value(value, name)
                elif type(value) not in (list, dict):  # arguments are looked into elsewhere
                    self._value(value, name, id(value) in self._snapshots)
            self._module(value, name in said_by(code).passed_on)
            for attribute in names:
                if value is MISSING or is_of(value, Tensor):
                    self._found.asked.add(attribute)
                value = self._attribute(value, attribute)
        first = values.get(code.co_varnames[0]) if code.co_varnames else None
        if code.co_argcount and _is_special(code, type(first)):
            self._class(type(first))  # where Python finds it, without a read of an attribute
        if "__class__" in code.co_freevars:  # for `super`, which goes through the classes of the first argument
            for value in (values.get("__class__"), first):
                self._class(value if is_of(value, type) else type(value))

    def _builtin(self, name: str, frame: FrameType) -> None:
        self._found.places.add(frame.f_globals, name)  # where another one may appear
        self._name_in_library(frame.f_builtins, name)
        if name == "type":
            self._asks_types = True
        elif name == "globals":
            self._all_of(frame.f_globals)

    def _refuse_stores(self, code: CodeType) -> frozenset[str]:
        """Refuse what a function assigns outside itself. Returns its names from outside."""
        outside = self._inside.get(code, frozenset(code.co_freevars))
        for inner in code.co_consts:
            if is_of(inner, CodeType):
                self._inside.setdefault(inner, outside & frozenset(inner.co_freevars))
        refuse_assignments(code, outside)
        return outside

    def _find_function(self, code: CodeType, values: Mapping[str, Any]) -> None:
        """Find a function that a library called, such as a hook: of one code, the one with these ``values``."""
        for found in gc.get_referrers(code):
            if is_of(found, FunctionType) and all(
                content(cell) is values.get(name, MISSING) for name, cell in enclosed(found).items()
            ):
                self._value(found, found.__name__)

    def _read(self, holder: Any, name: str) -> None:
        """An attribute is read; while it is looked up, other reads are not the function's."""
        reader = sys._getframe(3)
        if name == "__class__":
            if not is_ours(reader.f_code.co_filename):
                self._class(type(holder))
        elif (id(holder), name) not in self._seen:
            if is_of(holder, ModuleType):
                if in_library(reader):
                    return
                if not _of_library(holder):
                    self._snapshot(holder, object.__getattribute__(holder, "__dict__").get("__name__", "a module"))
            self._is_new(holder, name)
            if name not in _ALL:
                self._attribute(holder, name)
            elif not is_ours(reader.f_code.co_filename):  # modules watch their own
                self._all_attributes(holder, name != "__dict__")

    # Where things are found ------------------------------------------------------------------------------

    def _module(self, value: Any, passed_on: bool) -> None:
        """A user's module that is not just asked for a name in it, may be asked for any; a library's says for which."""
        if not is_of(value, ModuleType):
            return
        if not _of_library(value):
            self._snapshot(value, value.__name__)
            if passed_on:
                self._all_of(vars(value))
        elif passed_on:
            hear(value)

    def _all_of(self, names: dict[str, Any]) -> None:
        if names not in self._found.modules:
            self._found.modules.add(names)
            self._snapshot(names, "the globals")
            for name, value in list(names.items()):
                if not name.startswith("__") and not is_of(value, ModuleType):
                    self._value(value, name)

    def _all_attributes(self, holder: Any, in_slots: bool = True) -> None:
        """Any attribute of an object may be read."""
        for slot in attributes(holder) if in_slots else ():
            self._attribute(holder, slot)
        entries = entries_of(holder)
        if entries is not None:
            self._own(entries, holder)
            self._found.whole.add(entries)

    def _attribute(self, holder: Any, name: str) -> Any:
        """Remember where an attribute is found, as Python looks it up."""
        if holder is MISSING or is_plain(holder):
            return MISSING
        if _of_library(holder):
            found = vars(holder).get(name)
            listed = type(found) in (list, dict, set, deque) and len(found) <= _LISTED  # such as ``sys.argv``
            if listed or found is os.getenv or type(found) is type(os.environ):
                return self._place(vars(holder), name, name)
            return self._name_in_library(vars(holder), name)
        if is_of(holder, type):
            self._class(holder)
            return next((vars(owner)[name] for owner in holder.__mro__ if name in vars(owner)), MISSING)
        outside = id(holder) in self._snapshots
        label = f"{name} of {type(holder).__name__}"
        entries = entries_of(holder)
        value = MISSING
        if entries is not None:
            self._own(entries, holder)
            value = self._place(entries, name, label, outside)
        for owner in type(holder).__mro__:
            if value is not MISSING or not is_users(owner):
                break
            value = self._place(self._found.attributes_of.setdefault(owner, vars(owner)), name, label)
            if type(value) is MemberDescriptorType:
                slots = _Slots(holder)
                self._own(slots, holder)
                return self._place(slots, name, label, outside)
        return value

    def _name_in_library(self, names: dict[str, Any], name: str) -> Any:
        """The value of a name in a library; only a user's object there is looked into."""
        value = self._found.library_names.add(names, name)
        if is_of(value, (FunctionType, MethodType, partial)):
            self._value(value, name)
        return value

    def _own(self, entries: Any, holder: Any) -> None:
        self._alive.append(entries)
        self._owners[id(entries)] = referred(holder)

    def _place(self, holder: Mapping[str, Any], name: str, label: str, outside: bool = True) -> Any:
        value = self._found.places.add(holder, name)
        self._value(value, label, outside)
        return value

    def _snapshot(self, value: Any, label: str) -> None:
        if self._recording and id(value) not in self._snapshots:
            self._alive.append(value)
            self._snapshots[id(value)] = Snapshot(value, label)

    # What they are ---------------------------------------------------------------------------------------

    def _class(self, kind: type) -> None:
        """Watch a class with its bases and its own class, as far as they are users'."""
        meta: type = type(kind)
        for owner in (*kind.__mro__, *meta.__mro__):
            if is_users(owner) and owner not in self._found.classes:
                self._found.classes.add(owner)
                self._snapshot(owner, owner.__name__)
                for name, value in list(attributes(owner).items()):
                    part: Any = value
                    if is_of(value, (staticmethod, classmethod)):
                        part = value.__func__
                    elif is_of(value, property):
                        part = value.fget
                    self._value(part, f"{name} of {owner.__name__}")

    def _function(self, function: FunctionType) -> Sequence[Any]:
        """Follow a user's function to what encloses it. Returns what else is to be looked into."""
        if is_library(function.__code__.co_filename):
            return (os.environ,) if function is os.getenv else ()
        self._known.add(function.__code__)
        self._found.functions.add(function)
        for name, cell in enclosed(function).items():
            self._found.cells.add(cell)
            self._value(content(cell), name)
        self._snapshot(function, function.__name__)
        return (*(function.__defaults__ or ()), function.__kwdefaults__)

    def _value(self, value: Any, label: str, outside: bool = True) -> None:
        """Look into functions, for what encloses them, and into containers; remember how they were if outside."""
        if is_of(value, Tensor) and not self._recording:
            self._found.tensors.add(value)
        if value is MISSING or is_plain(value) or not self._is_new(value, outside):
            return
        listen(value)
        inner: Sequence[Any] | None = ()
        compared = written = False  # whether its elements are compared, whether it may be written
        if is_of(value, type):
            self._class(value)
        elif is_of(value, FunctionType):
            inner = self._function(value)
        elif (inner := inner_parts(value)) is not None:
            pass
        elif is_of(value, GENERATORS):
            self._generators[id(value)] = value, state_of(value)
        elif is_of(value, (np.ndarray, *BYTES, ContextVar, threading.local)):
            compared = written = True
            inner = list(value.flat) if is_of(value, np.ndarray) and value.dtype == object else ()
        elif is_of(value, CONTAINERS):
            compared = written = not is_of(value, (tuple, frozenset))
            inner = list(elements(value))
        elif is_of(value, FILES):
            written = True
        elif is_iterator(value) and not is_users(type(value)):  # type: ignore[arg-type]
            if outside and self._recording:
                refuse_iterator(self._code, value, label)
        elif outside and (is_users(type(value)) or is_of(value, Module)):  # type: ignore[arg-type]
            self._found.instances.add(value)
            self._snapshot(value, type(value).__name__)
        elif outside and not is_of(value, ModuleType) and entries_of(value) is not None:
            self._found.foreign.add(value)
        if compared:
            self._found.containers.add(value)
        if written and outside:
            self._snapshot(value, label)
        for part in inner or ():
            self._value(part, label, outside)

    # Afterwards ------------------------------------------------------------------------------------------

    def random_state(self) -> tuple[Any, ...]:
        """The states of all random numbers that can be reached: two differ if one was drawn in between."""
        numpys: Any = np.random.get_state(legacy=True)
        _, keys, position, has_gauss, gauss = numpys
        drawn = [state_of(g) for g, found in self._generators.values()]
        return random.getstate(), keys.tobytes(), position, has_gauss, gauss, drawn

    def drew(self, before: tuple[Any, ...]) -> bool:
        """Whether a random number was drawn since ``random_state()`` was ``before``."""
        own = any(state_of(g) != found for g, found in self._generators.values())
        return own or self.random_state()[:-1] != before[:-1]

    def written(self) -> list[Snapshot]:
        """Snapshots of the objects outside that hold something else than when they were first used."""
        return [each for each in list(self._snapshots.values()) if each.changed]

    def restore(self) -> None:
        """Put back what was written, for it is recorded once more."""
        for each in self.written():
            each.restore()

    def depend_on(self, written: Sequence[Snapshot]) -> None:
        """Require that what an earlier recording wrote is as it left it."""
        for each in written:
            for name in each.names():
                holder = entries_of(each.thing)
                if holder is not None:
                    self._own(holder, each.thing)
                    self._place(holder, name, each.label)

    def add_to(self, conditions: Guards, used: frozenset[int]) -> None:
        """Add the conditions for using the trace again, which has tensors with the serials ``used`` from outside."""
        self._settle()
        self._found.add_to(conditions, used)

    def _settle(self) -> None:
        """Forget what was made while tracing and is gone; look at what was assigned meanwhile."""
        found = self._found
        self._recording = False
        if self._asks_types:
            for instance in found.instances:
                self._class(type(instance))
        self._alive.clear()
        self._seen.clear()
        found.containers = Things()
        self._value(self._fn, "")
        gone = {key for key, owner in self._owners.items() if owner() is None}
        found.places.keep(
            lambda holder, value: id(holder) not in gone and holder not in found.copies and not is_of(value, Traced)
        )
        here = [value for _, _, value in found.places]
        here += map(content, found.cells)
        here += (entries for entries in found.whole if id(entries) not in gone and entries not in found.copies)
        here += (value for kind in found.classes for value in attributes(kind).values())
        for value in here:
            self._value(value, "")

    @property
    def asks_arguments(self) -> bool:
        """Whether arguments may have been asked for a name, for an attribute of their own, or a gradient."""
        return self._found.asks_tensors or not self._found.asked.isdisjoint(("grad", *self._of_arguments))


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


def _is_special(code: CodeType, kind: type) -> bool:
    """Whether it is that of a special method, such as ``__len__``, of a user's class."""
    return is_users(kind) and any(
        name.startswith("__") and type(value) is FunctionType and value.__code__ is code
        for owner in kind.__mro__
        for name, value in vars(owner).items()
    )


def _of_library(holder: Any) -> bool:
    """Whether it is a module of a library's."""
    return is_of(holder, ModuleType) and not is_users_module(holder)
