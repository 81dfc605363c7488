"""Names from outside that a function reads, assigns and imports, found in its bytecode before it runs."""

from __future__ import annotations

import dis
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

from ..errors import GraphError
from ..source_line import Site

#: stands for any attribute: what calls ``getattr`` and the like may ask for each
ANY = "getattr(...)"
_ASKING = frozenset(("getattr", "hasattr", "vars", "dir", "__dict__", "attrgetter", "getmembers"))
#: instructions between a name and its attribute that say nothing
_SILENT = frozenset(("CACHE", "PRECALL", "EXTENDED_ARG"))
_ATTRIBUTE = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_NAMED = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST", "LOAD_CLASSDEREF")


class Read(NamedTuple):
    """``settings.decay.rate`` is a read of the name ``settings`` and of the attributes ``("decay", "rate")``."""

    is_global: bool
    name: str
    attributes: tuple[str, ...] = ()


@dataclass
class Bytecode:
    """The names in one code object."""

    reads: dict[Read, None] = field(default_factory=dict)  #: in order; of other local names, what they stand for
    passed_on: set[str] = field(default_factory=set)  #: names read for what they stand for, not for an attribute
    asked: set[str] = field(default_factory=set)  #: attributes of something without a name, such as an element
    imports: list[tuple[int, str]] = field(default_factory=list)  #: (dots before the name, the name)
    stores: list[tuple[str, bool, int]] = field(default_factory=list)  #: (name, whether it is global, instruction)


@cache
def said_by(code: CodeType) -> Bytecode:
    """The same for the same code.

    >>> from tinygrad_rnn.compiler.bytecode import said_by
    >>> def decayed(x):
    ...     return settings.decay.rate * x
    >>> list(said_by(decayed.__code__).reads)[2]
    Read(is_global=True, name='settings', attributes=('decay', 'rate'))
    """
    said = Bytecode()
    if not _ASKING.isdisjoint(code.co_names):
        said.asked.add(ANY)
    aliases: dict[str, Read] = {}
    read: Read | None = None  # that the next instruction may be an attribute of
    name: str | None = None  # that was read just now
    constants: list[Any] = [0, None]
    for each in dis.get_instructions(code):
        kind, argument = each.opname, each.argval
        if kind in _SILENT:
            continue
        if name is not None and kind not in _ATTRIBUTE:
            said.passed_on.add(name)
        name = None
        if kind.startswith(_NAMED):
            read = aliases.get(argument, Read(kind.startswith("LOAD_GLOBAL"), argument))
            name = argument
        elif kind in _ATTRIBUTE and read is None:
            said.asked.add(argument)
        elif kind in _ATTRIBUTE and read is not None:
            read = read._replace(attributes=(*read.attributes, argument))
        else:
            if kind.startswith("STORE_FAST") and read is not None:
                aliases[argument] = read
            elif kind == "STORE_GLOBAL" or (kind == "STORE_DEREF" and argument in code.co_freevars):
                said.stores.append((argument, kind == "STORE_GLOBAL", each.offset))
            elif kind in ("LOAD_CONST", "LOAD_SMALL_INT"):
                constants.append(argument)
            elif kind == "IMPORT_NAME":
                said.imports.append((constants[-2], argument))
            read = None
        if read is not None:
            said.reads[read] = None
    return said


def imported_by(code: CodeType, package: str) -> list[str]:
    """The full names of the modules that the bytecode of a module in ``package`` imports."""
    return [
        f"{package.rsplit('.', dots - 1)[0]}.{name}".rstrip(".") if dots else name
        for dots, name in said_by(code).imports
    ]


def refuse_assignments(code: CodeType, outside: Collection[str]) -> None:
    """A `GraphError` if a function assigns a global or one of the names ``outside`` it: a replay would not."""
    for name, is_global, instruction in said_by(code).stores:
        if is_global or name in outside:
            raise GraphError(
                f"a compiled function would assign {name}, a name outside it (at {Site(code, instruction)}), when "
                "it is recorded only; return the value"
            )
