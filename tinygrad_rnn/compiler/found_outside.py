"""Objects found outside a function, each kind with its comparison before a recording is used again."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CellType, CodeType, FunctionType
from typing import Any, Generic, TypeVar

from ..nn.module import Module, watch_attributes
from ..tensors import Tensor
from ..user_objects import is_of
from .bytecode import ANY
from .guards import Guards
from .inner_parts import MISSING, content
from .side_effects import level
from .snapshots import NOTES, attributes, same_elements, same_mapping
from .tensor_attributes import own, same_attributes, same_circumstances
from .tracing import Traced

Kind = TypeVar("Kind")
CONTAINERS = (list, dict, tuple, set, frozenset, deque)


class Things(Generic[Kind]):
    """Any objects, each once; they are told apart by identity and kept, so that no id is given to another meanwhile."""

    def __init__(self) -> None:
        self._held: dict[int, Kind] = {}

    def add(self, thing: Kind) -> None:
        """Keep it."""
        self._held[id(thing)] = thing

    def __contains__(self, thing: object) -> bool:
        return id(thing) in self._held

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._held.values()))  # what is looked at may lead to others


class Places:
    """Places where names were looked up, as (dict, name): each has to hold the very same object again."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], tuple[Mapping[str, Any], str]] = {}

    def add(self, holder: Mapping[str, Any], name: str) -> Any:
        """Look it up, and keep where."""
        self._held.setdefault((id(holder), name), (holder, name))
        return holder.get(name, MISSING)

    def __iter__(self) -> Iterator[tuple[Mapping[str, Any], str, Any]]:
        return iter([(holder, name, holder.get(name, MISSING)) for holder, name in self._held.values()])

    def keep(self, wanted: Callable[[Mapping[str, Any], Any], bool]) -> None:
        """Forget those of which ``wanted(holder, what is there)`` is false."""
        self._held = {(id(holder), name): (holder, name) for holder, name, value in self if wanted(holder, value)}


class Found:
    """Filled by `Surroundings`, while a function is recorded."""

    def __init__(self) -> None:
        self.places = Places()
        self.library_names = Places()
        self.cells: Things[CellType] = Things()
        self.containers: Things[Any] = Things()
        self.whole: Things[dict[str, Any]] = Things()  #: attributes of objects that were asked for all of them
        self.copies: Things[Any] = Things()  #: containers among the arguments, and their attributes: new in each call
        self.modules: Things[dict[str, Any]] = Things()  #: the names in those that may be asked for any
        self.classes: Things[type] = Things()  #: the user's, watched with all that they have
        self.attributes_of: dict[type, Mapping[str, Any]] = {}  #: of classes: each asks for a new mapping
        self.functions: Things[FunctionType] = Things()
        self.codes: set[CodeType] = set()  #: that ran
        self.loggers: set[logging.Logger] = set()  #: that were asked what they write
        self.instances: Things[Any] = Things()  #: objects of users' classes
        self.foreign: Things[Any] = Things()  #: objects of libraries' classes
        self.tensors: Things[Tensor] = Things()
        self.asked: set[str] = set()  #: attributes that were read from what is not known, or from tensors

    def add_to(self, conditions: Guards, used: frozenset[int]) -> None:
        """Add the conditions for using the recording again, whose tensors have the serials ``used``."""
        self._add_tensors(conditions, used)
        watched = [names for kind, names in self.attributes_of.items() if kind in self.classes]
        compared = set(map(id, watched))  # with all else that the class has
        for holder, name, value in (*self.library_names, *self.places):
            if id(holder) in compared and name not in NOTES:
                continue
            if value is MISSING:
                conditions.add("{} not in {}", name, holder)
            else:
                conditions.add("{}[{}] is {}", holder, name, value)
        for logger in self.loggers:
            conditions.add("{}({}) == {}", level, logger, level(logger))
        for cell in self.cells:
            if content(cell) is MISSING:
                conditions.add("{}({}) is {}", content, cell, MISSING)
            else:
                conditions.add("{}.cell_contents is {}", cell, content(cell))
        for container in self.containers:
            if container in self.whole:
                conditions.add("{}()", same_mapping(partial(_without_notes, container)))
            elif container not in self.copies and not _made_inside(container):
                conditions.add("{}()", same_elements(container))
        asks_any = ANY in self.asked
        for thing in (*self.classes, *(self.foreign if asks_any else ())):
            conditions.add("{}()", same_mapping(partial(attributes, thing)))
        for names in self.modules:
            conditions.add("{}()", same_mapping(partial(dict, names)))
        for function in self.functions:
            if vars(function) or asks_any:
                conditions.add("{}()", same_mapping(partial(vars, function)))
            if function.__code__ in self.codes:
                for part in ("__code__", "__defaults__", "__kwdefaults__"):
                    if getattr(function, part):
                        conditions.add(f"{{}}.{part} is {{}}", function, getattr(function, part))
        for instance in self.instances:
            conditions.add("type({}()) is {}", referred(instance), type(instance))

    @property
    def asks_tensors(self) -> bool:
        """Whether code that ran may have asked a tensor for its name, or for something that only some tensors have."""
        asked = self.asked
        return not asked.isdisjoint((ANY, "name", "role")) or any(not asked.isdisjoint(own(x)) for x in self.tensors)

    def _add_tensors(self, conditions: Guards, used: frozenset[int]) -> None:
        """Tensors come across are asked for more than their values; methods of theirs may be replaced."""
        for name in self.asked:
            method = getattr(Tensor, name, None)
            if is_of(method, (FunctionType, property)):
                conditions.add("{}." + name + " is {}", Tensor, method)
        modules = [x for x in self.instances if is_of(x, Module)]
        for kind in {type(part) for module in modules for part in module.modules()}:
            conditions.add("{}.forward is {}", kind, kind.forward)
        for module in modules:
            for parameter in module.parameters():
                self.tensors.add(parameter)
            if ANY in self.asked:
                watch_attributes(module, conditions)
            else:
                for name in self.asked & vars(module).keys():
                    conditions.add("{}.get({}) is {}", vars(module), name, vars(module)[name])
        tensors = [x for x in self.tensors if not is_of(x, Traced)]
        unused = [x for x in tensors if x.serial not in used]
        if unused:
            conditions.add("{}()", same_circumstances(unused))
        if tensors and self.asks_tensors:
            conditions.add("{}()", same_attributes(tensors))


def referred(thing: Any) -> Callable[[], Any]:
    """A weak reference; where there can be none, as to some objects with slots, a strong one."""
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: thing


def _without_notes(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name not in NOTES}


def _made_inside(container: Any) -> bool:
    """Whether it holds what is traced, so that the next call makes another."""
    return is_of(container, CONTAINERS) and any(is_of(item, Traced) for item in elements(container))


def elements(container: Any) -> Iterable[Any]:
    """The elements of one of `CONTAINERS`; the values of a dict."""
    return container.values() if is_of(container, dict) else container
