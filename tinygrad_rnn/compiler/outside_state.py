"""What a function being compiled finds in Python outside its arguments, and whether that has changed since.

While it is traced, every call of a function that is not a library's is looked at: which globals and names of enclosing
functions its bytecode reads. Attributes are seen when they are read, however the code came to the object
(`attribute_reads`); those of modules and of libraries' objects are found in the bytecode, and classes are watched with
all that they have. Each is remembered as (dict, name). A program is used again only while every one still holds the
very same object, and containers among these the same elements.

What the function writes there it would not write when replayed. So before it can be written, a snapshot is taken of
everything that outlives the call (`snapshots`), and compared when the recording has ended (`side_effects`).
"""

from __future__ import annotations

import dis
import gc
import logging
import os
import random
import sys
import threading
import weakref
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, partial
from types import (
    BuiltinFunctionType,
    BuiltinMethodType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from ..errors import GraphError
from ..nn.module import Module, watch_attributes
from ..source_line import Site, in_library, is_library, is_ours
from ..tensors import Tensor
from ..user_objects import entries_of, is_of
from .attribute_reads import hear, is_plain, is_users, is_users_module, listen, listen_to_modules, told_to
from .guards import Guards
from .side_effects import LOGGING, level, refuse_date, refuse_entropy, refuse_iterator, refuse_log, refuse_world
from .snapshots import (
    BYTES,
    FILES,
    GENERATORS,
    NOTES,
    Snapshot,
    attributes,
    is_iterator,
    same_elements,
    same_mapping,
    state_of,
)
from .tensor_attributes import own, same_attributes, same_circumstances
from .tracing import Traced

_MISSING = object()
#: entries of a library's list, dict or set up to which it is compared, as a user's is; ``sys.modules`` is longer
_LISTED = 256
_CONTAINERS = (list, dict, tuple, set, frozenset, deque)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()), MappingProxyType)


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


#: what gives all attributes of an object: those below are asked by copying and pickling
_ALL = frozenset(("__dict__", "__getstate__", "__reduce_ex__", "__copy__", "__deepcopy__"))
#: reads of attributes that nobody is told of: those of the object by itself, and of a slot
_UNHEARD = frozenset(("__getattribute__", "__get__"))
#: what may ask anything for any attribute
_ANY = "getattr(...)"
_ASKING = frozenset(("getattr", "hasattr", "vars", "dir", "__dict__", "attrgetter", "getmembers"))


@cache
def _asked_of_anything(code: CodeType) -> frozenset[str]:
    """Attributes that are read from something without a name, such as an element; `_ANY` if it may be any attribute."""
    found, named = set(), False
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in ("LOAD_ATTR", "LOAD_METHOD") and not named:
            found.add(instruction.argval)
        elif name not in ("LOAD_ATTR", "LOAD_METHOD", "CACHE", "PRECALL", "EXTENDED_ARG"):
            named = name.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_CLASSDEREF"))
    return frozenset(found | ({_ANY} if not _ASKING.isdisjoint(code.co_names) else set()))


@cache
def _imports(code: CodeType, package: str) -> tuple[str, ...]:
    """The modules that the bytecode imports."""
    found, consts = [], [0, None]
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, name = consts[-2], instruction.argval
            found.append(f"{package.rsplit('.', level - 1)[0]}.{name}".rstrip(".") if level else name)
        elif instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            consts.append(instruction.argval)
    return tuple(found)


@cache
def _passed_on(code: CodeType) -> frozenset[str]:
    """Names that are read for what they stand for, not for an attribute of it that is named right away."""
    found, last = set(), None
    for instruction in dis.get_instructions(code):
        if last is not None and instruction.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            found.add(last)
        last = instruction.argval if instruction.opname.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST")) else None
    return frozenset(found)


@cache
def _stores(code: CodeType) -> tuple[tuple[str, bool, int], ...]:
    """Names outside that the bytecode assigns: (name, whether it is global, at which instruction)."""
    return tuple(
        (found.argval, found.opname == "STORE_GLOBAL", found.offset)
        for found in dis.get_instructions(code)
        if found.opname == "STORE_GLOBAL" or (found.opname == "STORE_DEREF" and found.argval in code.co_freevars)
    )


def refuse_assignments(code: CodeType, outside: Collection[str]) -> None:
    """A `GraphError` if a function assigns a global or one of the names ``outside`` it: a replay would not."""
    for name, is_global, instruction in _stores(code):
        if is_global or name in outside:
            raise GraphError(
                f"a compiled function would assign {name}, a name outside it (at {Site(code, instruction)}), when "
                "it is recorded only; return the value"
            )


class Surroundings:
    """Collects while a function is traced.

    *Outside* is what was there before the call and is reached from the function: by a global, an enclosing name, an
    argument, or from something outside. Of what only turns up on the way nothing is known; it may be made by the
    function, so that it may be written there.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.places: dict[tuple[int, str], tuple[Mapping[str, Any], str]] = {}
        self.cells: dict[int, Any] = {}
        self.containers: dict[int, Any] = {}
        self.generators: dict[int, tuple[Any, str]] = {}  # with the state it was found in
        self.loggers: set[logging.Logger] = set()  # that were asked what they write
        self.snapshots: dict[int, Snapshot] = {}  # of what is outside, as it was come across
        self._functions: dict[int, FunctionType] = {}
        self._classes: dict[int, type] = {}  # watched with all that they have
        self._modules: dict[int, Mapping[str, Any]] = {}  # the names of modules, as far as all may be asked for
        self._instances: dict[int, Any] = {}  # outside, of users' classes
        self._owners: dict[int, Any] = {}  # id of a holder of attributes -> a weak reference to what they belong to
        self._copies: dict[int, Any] = {}  # containers among the arguments, and their attributes: others in each call
        self._whole: dict[int, Any] = {}  # attributes of objects that were asked for all of them
        self._attributes_of: dict[type, Mapping[str, Any]] = {}
        self._seen: set[Any] = set()
        self._returned: set[int] = set()
        self._inside: dict[CodeType, frozenset[str]] = {}  # functions made by what is traced; names from outside it
        self._codes: set[CodeType] = set()  # that ran
        self._known: set[CodeType] = set()  # of functions that were come across
        self._asks_types = False
        self._asked: set[str] = set()  # attributes that were read from what is not known, or from tensors
        self._of_libraries: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}  # names in their modules
        self._foreign: dict[int, Any] = {}  # outside, of libraries' classes
        self._tensors: dict[int, Tensor] = {}
        self._of_arguments: set[str] = set()  # attributes of their own that arguments have
        self._recording = True
        self.look: Any = None  #: the profiler, while it is the only one
        self._fn = fn
        self._code: CodeType | None = getattr(fn, "__code__", None)  # that runs
        self._alive: list[Any] = []  # so that no id is given to another object meanwhile
        self._value(fn, "the function")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at what this thread calls, and at the attributes it reads."""
        outer: Any = sys.getprofile()
        chained, entropy = callable(outer), os.urandom

        def look(frame: FrameType, event: Any, argument: Any) -> None:
            if is_ours(frame.f_code.co_filename) and argument is not entropy:  # nothing else there is looked at
                if chained:
                    outer(frame, event, argument)
                return
            if event in ("call", "c_call"):
                refuse_entropy(frame, event, argument)
            if event == "c_call":
                refuse_world(frame, argument)
            if event == "call" and frame.f_code in LOGGING:
                self.loggers.add(frame.f_locals["self"])
                refuse_log(frame)
            if event in ("call", "return") and not in_library(frame):
                if event == "call":
                    self._frame(frame)
                elif id(argument) not in self._returned:
                    self._returned.add(id(argument))
                    self._alive.append(argument)
                    listen(argument)
            if chained:
                outer(frame, event, argument)

        self.look = look if outer is None else None
        with told_to(self.read):
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

    def given(self, value: Any, label: str) -> None:
        """An argument as the function sees it; lists and dicts are copies that hold stand-ins."""
        if is_of(value, (list, dict, tuple)):
            self._copies[id(value)] = value
            if not is_of(value, tuple):
                self.snapshots[id(value)] = Snapshot(value, label)
            for item in dict.values(value) if is_of(value, dict) else value:
                self.given(item, label)
            if entries := entries_of(value):
                self._copies[id(entries)] = entries
                for item in entries.values():
                    self.given(item, label)
        else:
            if is_of(value, Tensor):
                self._of_arguments |= own(value).keys()
            self._value(value, label)

    def _frame(self, frame: FrameType) -> None:
        code, values = frame.f_code, frame.f_locals
        key = (code, *(id(v) for v in values.values() if not is_plain(v)))
        if key in self._seen:
            return
        self._seen.add(key)
        self._codes.add(code)
        self._code = code
        self._asked |= _asked_of_anything(code)
        if code.co_name == "<module>":  # it is imported now
            listen(sys.modules.get(frame.f_globals.get("__name__", "")))
        for imported in _imports(code, frame.f_globals.get("__package__") or ""):
            self._name_in_library(sys.modules, imported)
        refuse_date(frame)
        self._alive.extend(v for v in values.values() if not is_plain(v))
        for value in values.values():
            listen(value)
        outside = self._refuse_stores(code)
        if outside and code not in self._known and code not in self._inside:
            self._find_function(code, values)
        unheard = not _UNHEARD.isdisjoint(code.co_names)
        for kind, name, names in _reads(code):
            if unheard:
                held: Any = values.get(name, frame.f_globals.get(name))
                if is_users(type(held)):  # type: ignore[arg-type]
                    self._all_attributes(held)
            if kind == "GLOBA":
                if name not in frame.f_globals:
                    self._builtin(name, frame)
                    self._asked.update(names)
                    continue
                value = self._place(frame.f_globals, name, name)
                self._module(value, name in _passed_on(code))
            elif name in values:
                value = values[name]
                if name in outside:
                    self._value(value, name)
                elif type(value) not in (list, dict):  # arguments are looked into elsewhere
                    self._value(value, name, id(value) in self.snapshots)
                self._module(value, name in _passed_on(code))
            else:
                self._asked.update(names)
                continue
            for attribute in names:
                if value is _MISSING or is_of(value, Tensor):
                    self._asked.add(attribute)
                value = self._attribute(value, attribute)
        if code.co_argcount and _is_special(code, called_on := type(values.get(code.co_varnames[0]))):
            self._class(called_on)  # where Python finds it, without a read of an attribute
        if "__class__" in code.co_freevars:  # for `super`, which goes through the classes of the first argument
            for value in (values.get("__class__"), values.get(code.co_varnames[0]) if code.co_varnames else None):
                self._class(value if is_of(value, type) else type(value))

    def _builtin(self, name: str, frame: FrameType) -> None:
        self.places[id(frame.f_globals), name] = (frame.f_globals, name)  # where another one may appear
        self._name_in_library(frame.f_builtins, name)
        if name == "type":
            self._asks_types = True
        elif name == "globals":
            self._all_of(frame.f_globals)

    def _module(self, value: Any, passed_on: bool) -> None:
        """A user's module that is not just asked for a name in it, may be asked for any; a library's says for which."""
        if is_of(value, ModuleType) and not _of_library(value):
            self._snapshot(value, value.__name__)
            if passed_on:
                self._all_of(vars(value))
        elif passed_on and is_of(value, ModuleType):
            hear(value)

    def _all_of(self, names: dict[str, Any]) -> None:
        if id(names) not in self._modules:
            self._modules[id(names)] = names
            self._snapshot(names, "the globals")
            for name, value in list(names.items()):
                if not name.startswith("__") and not is_of(value, ModuleType):
                    self._value(value, name)

    def _find_function(self, code: CodeType, values: Mapping[str, Any]) -> None:
        """Find a function that a library called, such as a hook: of one code, the one with these ``values``."""
        for found in gc.get_referrers(code):
            if is_of(found, FunctionType) and all(
                _content(cell) is values.get(name, _MISSING)
                for name, cell in zip(code.co_freevars, found.__closure__ or (), strict=True)
            ):
                self._value(found, found.__name__)

    def _refuse_stores(self, code: CodeType) -> frozenset[str]:
        """Refuse what a function assigns outside itself. Returns its names from outside."""
        outside = self._inside.get(code, frozenset(code.co_freevars))
        for inner in code.co_consts:
            if is_of(inner, CodeType):
                self._inside.setdefault(inner, outside & frozenset(inner.co_freevars))
        refuse_assignments(code, outside)
        return outside

    def read(self, holder: Any, name: str) -> None:
        """An attribute is read; while it is looked up, other reads are not the function's."""
        if name == "__class__":
            if not is_ours(sys._getframe(3).f_code.co_filename):
                self._class(type(holder))
        elif (id(holder), name) not in self._seen:
            if is_of(holder, ModuleType):
                if in_library(sys._getframe(3)):
                    return
                if not _of_library(holder):
                    self._snapshot(holder, object.__getattribute__(holder, "__dict__").get("__name__", "a module"))
            self._seen.add((id(holder), name))
            self._alive.append(holder)
            if name not in _ALL:
                self._attribute(holder, name)
            elif not is_ours(sys._getframe(3).f_code.co_filename):  # modules watch their own
                self._all_attributes(holder, name != "__dict__")

    def _all_attributes(self, holder: Any, in_slots: bool = True) -> None:
        """Any attribute of an object may be read."""
        for slot in attributes(holder) if in_slots else ():
            self._attribute(holder, slot)
        entries = entries_of(holder)
        if entries is not None:
            self._own(entries, holder)
            self._whole[id(entries)] = entries

    def _attribute(self, holder: Any, name: str) -> Any:
        """Remember where an attribute is found, as Python looks it up."""
        if is_plain(holder):
            return _MISSING
        if _of_library(holder):
            found = vars(holder).get(name)
            listed = type(found) in (list, dict, set, deque) and len(found) <= _LISTED  # such as ``sys.argv``
            if listed or found is os.getenv or type(found) is type(os.environ):
                return self._place(vars(holder), name, name)
            return self._name_in_library(vars(holder), name)
        if is_of(holder, type):
            self._class(holder)
            return next((vars(owner)[name] for owner in holder.__mro__ if name in vars(owner)), _MISSING)
        outside = id(holder) in self.snapshots
        label = f"{name} of {type(holder).__name__}"
        entries = entries_of(holder)
        if entries is not None:
            self._own(entries, holder)
            value = self._place(entries, name, label, outside)
            if value is not _MISSING:
                return value
        for owner in type(holder).__mro__:
            if not is_users(owner):
                return _MISSING
            value = self._place(self._attributes_of.setdefault(owner, vars(owner)), name, label)
            if type(value) is MemberDescriptorType:
                slots = _Slots(holder)
                self._own(slots, holder)
                return self._place(slots, name, label, outside)
            if value is not _MISSING:
                return value
        return _MISSING

    def _name_in_library(self, names: dict[str, Any], name: str) -> Any:
        """What a library holds under a name; only what is a user's there is looked into."""
        value = names.get(name, _MISSING)
        self._of_libraries[id(names), name] = (names, name)
        if is_of(value, (FunctionType, MethodType, partial)):
            self._value(value, name)
        return value

    def _own(self, entries: Any, holder: Any) -> None:
        self._alive.append(entries)
        with suppress(TypeError):  # what has slots may have no weak references
            self._owners[id(entries)] = weakref.ref(holder)

    def _place(self, holder: Mapping[str, Any], name: str, label: str, outside: bool = True) -> Any:
        value = holder.get(name, _MISSING)
        if (id(holder), name) not in self.places:
            self.places[id(holder), name] = (holder, name)
        self._value(value, label, outside)
        return value

    def _snapshot(self, value: Any, label: str) -> None:
        if self._recording and id(value) not in self.snapshots:
            self._alive.append(value)
            self.snapshots[id(value)] = Snapshot(value, label)

    def _class(self, kind: type) -> None:
        """Watch a class with its bases and its own class, as far as they are users'."""
        meta: type = type(kind)
        for owner in (*kind.__mro__, *meta.__mro__):
            if is_users(owner) and id(owner) not in self._classes:
                self._classes[id(owner)] = owner
                self._snapshot(owner, owner.__name__)
                for name, value in list(attributes(owner).items()):
                    part: Any = value
                    if is_of(value, (staticmethod, classmethod)):
                        part = value.__func__
                    elif is_of(value, property):
                        part = value.fget
                    self._value(part, f"{name} of {owner.__name__}")

    def _value(self, value: Any, label: str, outside: bool = True) -> None:
        """Look into functions, for what encloses them, and into containers; remember how they were if outside."""
        if is_of(value, Tensor) and not self._recording:
            self._tensors[id(value)] = value
        if is_plain(value) or (id(value), outside) in self._seen:
            return
        self._seen.add((id(value), outside))
        self._alive.append(value)
        listen(value)
        inner: Sequence[Any] = ()
        if is_of(value, type):
            self._class(value)
        elif is_of(value, FunctionType):
            if not is_library(value.__code__.co_filename):
                self._known.add(value.__code__)
                self._functions[id(value)] = value
                for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
                    self.cells[id(cell)] = cell
                    self._value(_content(cell), name)
                inner = (*(value.__defaults__ or ()), value.__kwdefaults__)
                self._snapshot(value, value.__name__)
            elif value is os.getenv:
                inner = (os.environ,)
        elif is_of(value, MethodType):
            inner = (value.__func__, value.__self__)
        elif is_of(value, partial):
            inner = (value.func, value.args, value.keywords)
        elif is_of(value, (BuiltinMethodType, BuiltinFunctionType)):  # such as the ``rand`` of a generator
            inner = () if is_of(value.__self__, ModuleType) else (value.__self__,)
        elif is_of(value, CellType):
            inner = (_content(value),)
        elif is_of(value, SimpleNamespace) or _argparse_namespace(value):
            inner = (vars(value),)
        elif is_of(value, (UserDict, UserList, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)):
            inner = (vars(value).get("data"),)
        elif is_of(value, ChainMap):
            inner = (value.maps,)
        elif is_of(value, type(os.environ)):
            inner = (value._data,)  # type: ignore[attr-defined]
        elif type(value) in weakref.ProxyTypes:
            inner = (value.__repr__.__self__,)
        elif is_of(value, memoryview):
            inner = (value.obj,)
        elif is_of(value, _VIEWS):
            inner = [each for each in gc.get_referents(value) if is_of(each, dict)]
        elif is_of(value, GENERATORS):
            self.generators[id(value)] = value, state_of(value)
        elif is_of(value, (np.ndarray, *BYTES, ContextVar, threading.local)):
            self.containers[id(value)] = value
            if outside:
                self._snapshot(value, label)
            inner = list(value.flat) if is_of(value, np.ndarray) and value.dtype == object else ()
        elif is_of(value, _CONTAINERS):
            if not is_of(value, (tuple, frozenset)):
                self.containers[id(value)] = value
                if outside:
                    self._snapshot(value, label)
            inner = list(value.values() if is_of(value, dict) else value)
        elif is_of(value, FILES):
            if outside:
                self._snapshot(value, label)
        elif is_iterator(value) and not is_users(type(value)):  # type: ignore[arg-type]
            if outside and self._recording:
                refuse_iterator(self._code, value, label)
        elif outside and (is_users(type(value)) or is_of(value, Module)):  # type: ignore[arg-type]
            self._instances[id(value)] = value
            self._snapshot(value, type(value).__name__)
        elif outside and not is_of(value, ModuleType) and entries_of(value) is not None:
            self._foreign[id(value)] = value
        for part in inner:
            self._value(part, label, outside)

    # Afterwards ------------------------------------------------------------------------------------------

    def random_state(self) -> tuple[Any, ...]:
        """The states of all random numbers that can be reached: two differ if one was drawn in between."""
        numpys: Any = np.random.get_state(legacy=True)
        _, keys, position, has_gauss, gauss = numpys
        drawn = [state_of(g) for g, found in self.generators.values()]
        return random.getstate(), keys.tobytes(), position, has_gauss, gauss, drawn

    def drew(self, before: tuple[Any, ...]) -> bool:
        """Whether a random number was drawn since ``random_state()`` was ``before``."""
        own = any(state_of(g) != found for g, found in self.generators.values())
        return own or self.random_state()[:-1] != before[:-1]

    def written(self) -> list[Snapshot]:
        """What is outside and holds something else than when it was come across."""
        return [each for each in list(self.snapshots.values()) if each.changed]

    def restore(self) -> None:
        """Put back what was written, for it is recorded once more."""
        for each in self.written():
            each.restore()

    def depend_on(self, written: Sequence[Snapshot]) -> None:
        """What an earlier recording wrote must be as it left it."""
        for each in written:
            for name in each.names():
                holder = entries_of(each.thing)
                if holder is not None:
                    self._own(holder, each.thing)
                    self._place(holder, name, each.label)

    def _settle(self) -> None:
        """Forget what was made while tracing and is gone; look at what was assigned meanwhile."""
        self._recording = False
        if self._asks_types:
            for instance in self._instances.values():
                self._class(type(instance))
        self._alive.clear()
        self._seen.clear()
        self.containers.clear()
        self._value(self._fn, "")
        gone = {key for key, owner in self._owners.items() if owner() is None} | self._copies.keys()
        found = [(holder, name, holder.get(name, _MISSING)) for holder, name in self.places.values()]
        self.places = {
            (id(holder), name): (holder, name)
            for holder, name, value in found
            if id(holder) not in gone and not is_of(value, Traced)
        }
        for holder, name in list(self.places.values()):
            self._value(holder.get(name, _MISSING), "")
        for cell in list(self.cells.values()):
            self._value(_content(cell), "")
        for key, entries in self._whole.items():
            if key not in gone:
                self._value(entries, "")
        for kind in self._classes.values():
            for value in attributes(kind).values():
                self._value(value, "")

    def add_to(self, conditions: Guards, used: frozenset[int]) -> None:
        """What must hold for the trace to be used again, which has tensors with the serials ``used`` from outside."""
        self._settle()
        self._add_tensors(conditions, used)
        for library, name in self._of_libraries.values():
            if name in library:
                conditions.add("{}[{}] is {}", library, name, library[name])
            else:
                conditions.add("{} not in {}", name, library)
        for value in self._foreign.values() if _ANY in self._asked else ():
            conditions.add("{}()", same_mapping(partial(attributes, value)))
        compared = {id(names) for kind, names in self._attributes_of.items() if id(kind) in self._classes}
        for logger in self.loggers:
            conditions.add("{}({}) == {}", level, logger, level(logger))
        for holder, name in self.places.values():
            if id(holder) in compared and name not in NOTES:
                continue  # with all else that the class has, below
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
            if id(container) in self._whole:
                conditions.add("{}()", same_mapping(partial(_without_notes, container)))
            elif id(container) not in self._copies and not _made_inside(container):
                conditions.add("{}()", same_elements(container))
        for kind in self._classes.values():
            conditions.add("{}()", same_mapping(partial(attributes, kind)))
        for names in self._modules.values():
            conditions.add("{}()", same_mapping(partial(dict, names)))
        for function in self._functions.values():
            if vars(function) or _ANY in self._asked:
                conditions.add("{}()", same_mapping(partial(vars, function)))
            if function.__code__ in self._codes:
                conditions.add("{}.__code__ is {}", function, function.__code__)
                for given in ("__defaults__", "__kwdefaults__"):
                    if getattr(function, given):
                        conditions.add(f"{{}}.{given} is {{}}", function, getattr(function, given))
        for instance in self._instances.values():
            try:
                conditions.add("type({}()) is {}", weakref.ref(instance), type(instance))
            except TypeError:
                conditions.add("type({}) is {}", instance, type(instance))

    @property
    def asks_tensors(self) -> bool:
        """Whether code that ran may have asked a tensor for its name, or for something that only some tensors have."""
        return not self._asked.isdisjoint((_ANY, "name", "role")) or self._asks_one(self._tensors.values())

    @property
    def asks_arguments(self) -> bool:
        """The same of arguments, which may also have gradients though they ask for none."""
        return self.asks_tensors or "grad" in self._asked or not self._asked.isdisjoint(self._of_arguments)

    def _asks_one(self, tensors: Iterable[Tensor]) -> bool:
        return any(not self._asked.isdisjoint(own(x)) for x in tensors)

    def _add_tensors(self, conditions: Guards, used: frozenset[int]) -> None:
        """Tensors come across are asked for more than their values; methods of theirs may be replaced."""
        for name in self._asked:
            method = getattr(Tensor, name, None)
            if is_of(method, (FunctionType, property)):
                conditions.add("{}." + name + " is {}", Tensor, method)
        modules = [x for x in self._instances.values() if is_of(x, Module)]
        for kind in {type(part) for module in modules for part in module.modules()}:
            conditions.add("{}.forward is {}", kind, kind.forward)
        for instance in self._instances.values():
            if is_of(instance, Module):
                self._tensors.update((id(p), p) for p in instance.parameters())
                if _ANY in self._asked:
                    watch_attributes(instance, conditions)
                else:
                    for name in self._asked & vars(instance).keys():
                        conditions.add("{}.get({}) is {}", vars(instance), name, vars(instance)[name])
        tensors = [x for x in self._tensors.values() if not is_of(x, Traced)]
        unused = [x for x in tensors if x.serial not in used]
        if unused:
            conditions.add("{}()", same_circumstances(unused))
        if tensors and self.asks_tensors:
            conditions.add("{}()", same_attributes(tensors))


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


def _without_notes(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name not in NOTES}


def _made_inside(container: Any) -> bool:
    """Whether it holds what is traced, so that the next call makes another."""
    if not is_of(container, _CONTAINERS):
        return False
    return any(is_of(item, Traced) for item in (container.values() if is_of(container, dict) else container))


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


def _argparse_namespace(value: Any) -> bool:
    argparse = sys.modules.get("argparse")
    return argparse is not None and is_of(value, argparse.Namespace)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return _MISSING
