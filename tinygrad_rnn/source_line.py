"""The user's source line: every node keeps it, every error about a call ends with it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

#: compared by hash for every node that is made
OURS: set[str] = set()


def pass_over(package: Path) -> None:
    """No line of this package's is the user's own."""
    OURS.update(str(path) for path in package.rglob("*.py"))


pass_over(Path(__file__).parent)


def is_ours(filename: str) -> bool:
    """Whether a file is one of this package's."""
    return filename in OURS


_frame = sys._getframe
_STDLIB = Path(os.__file__).parent


class Site(NamedTuple):
    """A place in the user's source."""

    code: CodeType
    instruction: int

    @property
    def filename(self) -> str:
        """Path of the file."""
        return self.code.co_filename

    @property
    def line(self) -> int:
        """Line number, from 1."""
        lines = (line for start, end, line in self.code.co_lines() if start <= self.instruction < end)
        return next(lines, None) or self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{Path(self.filename).name}:{self.line}"


class Foreign(NamedTuple):
    """A place in a source that is known by name only: an imported program's."""

    filename: str
    line: int
    variable: str | None = None  #: what is made there is assigned to

    def __str__(self) -> str:
        return f"{Path(self.filename).name}:{self.line}"


#: what a node remembers of where it was made
Place = tuple[CodeType, int] | Foreign


#: folders that installed libraries lie in
_PACKAGES = {"site-packages", "dist-packages"}


@cache
def installed(filename: str) -> bool:
    """Whether a file belongs to Python itself or an installed library: its user has nothing to look for there."""
    path = Path(filename)
    return not _PACKAGES.isdisjoint(path.parts) or path.is_relative_to(_STDLIB)


@cache
def is_library(filename: str) -> bool:
    """Whether a file is this package's, Python's own or an installed library's."""
    return is_ours(filename) or filename.startswith("<frozen") or installed(filename)


def in_library(frame: FrameType) -> bool:
    """Whether what runs there is no user's code."""
    filename, names = frame.f_code.co_filename, frame.f_globals
    if filename.startswith("<"):  # made from text: methods of a dataclass belong to its file, a named tuple to nobody
        if names.get("__name__", "").startswith("namedtuple_"):
            return True
        filename = names.get("__file__") or filename
    return is_library(filename)


def user_code() -> tuple[CodeType, int]:
    """The innermost place on the call stack that is in none of our packages: cheap, for every node keeps it."""
    frame = _frame(2)
    code = frame.f_code
    while code.co_filename in OURS and (caller := frame.f_back) is not None:
        frame, code = caller, caller.f_code
    return code, frame.f_lasti


def source_lines(places: Iterable[Place | None], *, of_libraries: bool = False) -> list[str | None]:
    """Each place as text, "file.py:12"; None where none is known or, unless ``of_libraries``, it is in a library."""
    known: dict[tuple[int, int], str | None] = {}
    found: list[str | None] = []
    for place in places:
        if place is None:
            found.append(None)
            continue
        if isinstance(place, Foreign):
            found.append(str(place) if of_libraries or not installed(place.filename) else None)
            continue
        key = id(place[0]), place[1]  # a code object's own hash goes through all its constants, every time
        if key not in known:
            site = Site(*place)
            known[key] = str(site) if of_libraries or not installed(site.filename) else None
        found.append(known[key])
    return found


def _user_frame() -> FrameType:
    """The user's frame that is being executed: beyond parts of Python that it calls, such as ``copy``.

    Not beyond an installed library: what calls the one that runs a command is no line of the user's program.
    """
    nearest: FrameType | None = None
    frame: FrameType | None = _frame(1)
    while frame is not None:
        if frame.f_code.co_filename not in OURS:
            nearest = nearest or frame
            if not in_library(frame):
                return frame
            if _PACKAGES & set(Path(frame.f_code.co_filename).parts):
                break
        frame = frame.f_back
    return nearest or _frame(1)


def user_site() -> Site:
    """The user's source line that is being executed."""
    frame = _user_frame()
    return Site(frame.f_code, frame.f_lasti)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the user's source line that is being executed, once a line, as Python does."""
    frame = _user_frame()
    known = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message, category, frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__"), known
    )
