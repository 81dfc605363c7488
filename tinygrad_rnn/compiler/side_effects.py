"""Effects: what a function does while it is recorded and a replay would not do again, and the line that does it."""

from __future__ import annotations

import dis
import logging
import os
import random
import sys
from collections.abc import Callable
from datetime import date
from io import BytesIO, StringIO
from types import CodeType, FrameType
from typing import Any, NoReturn

import numpy as np

from ..errors import GraphError
from ..source_line import Site, in_library, user_site
from ..words import words
from .snapshots import FILES, Snapshot

#: where the standard library seeds a generator; without a seed the operating system gives one
_SEEDING = random.Random.seed.__code__
#: what is reported of a call whose answer may differ from one call to the next, and what to do instead
_CLOCK = "a clock is read", "read it outside, and pass the time in as a tensor"
_FILE = "a file is opened", "open it outside, and pass what it holds"
_READ = "a file is read", "read it outside, and pass what it holds"
_PRINTED = "a line is printed", "return what it shows, and print it outside"
_LOGGED = "a line is logged", "return what it shows, and log it outside"
_SYSTEM = "the operating system is asked", "ask it outside, and pass the answer in"
#: functions of the modules in `_ASKED` whose answer does not differ
_SAME_ANSWER = frozenset(("sleep", "mktime", "strptime", "tzset", "fspath", "cpu_count", "uname", "strerror"))
_ASKED = {
    "time": _CLOCK,
    **dict.fromkeys(
        ("posix", "nt", "_socket", "select", "resource", "_posixsubprocess", "pwd", "grp", "_winapi"), _SYSTEM
    ),
}
#: where a logger is asked what it writes, and where it writes a line
LOGGING = frozenset(
    function.__code__
    for function in (logging.Logger.isEnabledFor, logging.Logger.getEffectiveLevel, logging.Logger.handle)
)
#: libraries that ask on behalf of their caller; what others ask for themselves, such as a logger's time, is allowed
_ASKERS = words(
    "pathlib numpy io os posixpath ntpath genericpath glob shutil tempfile subprocess socket platform getpass "
    "fileinput timeit email datetime codecs"
)


def refuse_random(run: Callable[[], Any], state: Callable[[], Any], fallback: CodeType | None) -> None:
    """Run again, line by line, until one draws a random number; then say which."""
    before = state()
    found = _first_line(run, lambda: state() != before)
    place = found or (None if fallback is None else Site(fallback, 0))
    raise GraphError(_random_text("" if place is None else f" (at {place})"))


def _random_text(where: str) -> str:
    return (
        f"a random number of Python's or NumPy's is drawn{where} while a function is being compiled, and would be the "
        "same in every call; draw it outside and pass it in"
    )


def refuse_entropy(frame: FrameType, event: str, argument: Any) -> None:
    """Refuse random bytes of the operating system: every call would give others."""
    drawn = argument is os.urandom if event == "c_call" else frame.f_code is _SEEDING and frame.f_locals["a"] is None
    if not drawn:
        return
    caller: FrameType | None = frame
    while caller is not None and in_library(caller):
        if caller.f_code.co_name == "<module>" or caller.f_globals.get("__name__", "").startswith("numba."):
            return  # the first import of one that draws, a kernel's file that is named by chance
        caller = caller.f_back
    raise GraphError(_random_text("" if caller is None else f" (at {Site(caller.f_code, caller.f_lasti)})"))


def refuse_world(frame: FrameType, called: Any) -> None:
    """A clock shows another time in every call; a file, or what the operating system knows, may be another, too.

    What libraries do for themselves (a logger's time stamps, an import) is not the function's business.
    """
    asked = _asked(called)
    if asked is None or (called is print and _to_a_file(frame)):
        return
    while in_library(frame):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _ASKERS or frame.f_back is None:
            return
        frame = frame.f_back
    raise _of_the_world(asked, Site(frame.f_code, frame.f_lasti))


def level(logger: logging.Logger) -> tuple[int, int, bool]:
    """The level that decides whether a logger writes a line."""
    return logger.manager.disable, logger.getEffectiveLevel(), logger.disabled


def refuse_log(frame: FrameType) -> None:
    """A line that the user's code logs, as one that is printed."""
    if frame.f_code is not logging.Logger.handle.__code__:
        return
    while frame.f_globals.get("__name__") == "logging" and frame.f_back is not None:
        frame = frame.f_back
    if not in_library(frame):
        raise _of_the_world(_LOGGED, Site(frame.f_code, frame.f_lasti))


def _of_the_world(asked: tuple[str, str], where: Site) -> GraphError:
    what, cure = asked
    return GraphError(
        f"{what} (at {where}) while a function is being compiled, and would not be in later calls; {cure}"
    )


def _asked(called: Any) -> tuple[str, str] | None:
    """The effect of calling it, and what to do instead."""
    of: Any = getattr(called, "__self__", None)
    name: str = called.__name__
    if called is print or (name.startswith("write") and (of is sys.stdout or of is sys.stderr)):
        return _PRINTED
    kind = type(of)  # `isinstance` would ask an object for its class, which is told to who records
    if called is open or called is np.fromfile:
        return _FILE
    if called is input:
        return _READ
    if issubclass(kind, type):
        return _CLOCK if issubclass(of, date) and name in ("now", "today", "utcnow") else None
    if issubclass(kind, FILES):
        return _READ if name.startswith(("read", "tell")) and not issubclass(kind, (StringIO, BytesIO)) else None
    asked = _ASKED.get(getattr(called, "__module__", None) or "")
    return None if asked is None or name in _SAME_ANSWER or name.startswith(("_", "W")) else asked


def _to_a_file(frame: FrameType) -> bool:
    """Whether ``print`` is told a ``file`` other than the console; what is outside is compared when recording ends."""
    code = frame.f_code
    before = [x for x in dis.get_instructions(code) if x.offset <= frame.f_lasti][-5:]
    names = [code.co_consts[x.arg or 0] if x.opname == "KW_NAMES" else x.argval for x in before]
    told = any("file" in each for each in names if isinstance(each, tuple))
    return told and "stdout" not in names and "stderr" not in names


def refuse_date(frame: FrameType) -> None:
    """``np.datetime64("now")`` is a clock, and no function that Python tells about."""
    code = frame.f_code
    texts = [x for x in code.co_consts if isinstance(x, str)]
    if "datetime64" not in code.co_names and not any(x.startswith(("datetime64", "M8", "<M8")) for x in texts):
        return
    named = {name: frame.f_globals.get(name) for name in code.co_names} | frame.f_locals
    for found in dis.get_instructions(code):
        value = found.argval if found.opname == "LOAD_CONST" else named.get(str(found.argval))
        if isinstance(value, str) and value in ("now", "today"):
            raise _of_the_world(_CLOCK, Site(code, found.offset))


def refuse_iterator(code: CodeType | None, value: Any, label: str) -> NoReturn:
    """Refuse to take from an iterator from outside: a replay would take nothing."""
    name, where = label.partition(" ")[0], user_site()
    for found in () if code is None else dis.get_instructions(code):
        if found.argval == name:
            where = Site(code, found.offset)  # type: ignore[arg-type]
            break
    raise GraphError(
        f"{label}, of type {type(value).__name__}, is an iterator from outside (at {where}): a compiled function would "
        "take from it when it is recorded only; take the value outside, and pass it in"
    )


def refuse_writes(run: Callable[[], Any], written: Callable[[], list[Snapshot]]) -> None:
    """Run again, line by line, until one changes what outlives the call; then say which. None does if others do."""
    seen: list[str] = []

    def changed() -> bool:
        seen.extend(str(each) for each in written())
        return bool(seen)

    place = _first_line(run, changed)
    if place is not None:
        raise GraphError(
            f"a compiled function changes {seen[0]} (at {place}) when it is recorded only, not in later calls; "
            "return the value, keep it in a tensor that is assigned with copy_(), or change it outside"
        )


def _first_line(run: Callable[[], Any], happened: Callable[[], bool]) -> Site | None:
    """The user's line after which something has happened; what the second run raises is not told."""
    last: Site | None = None
    found: list[Site | None] = []

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal last
        if in_library(frame):
            return None
        if not found:
            if happened():
                found.append(last or Site(frame.f_code, 0))
            else:
                last = Site(frame.f_code, frame.f_lasti)
        return step

    outer = sys.gettrace()
    sys.settrace(step)
    try:
        run()
    except Exception:
        if not found:
            raise
    finally:
        sys.settrace(outer)
    return found[0] if found else None
