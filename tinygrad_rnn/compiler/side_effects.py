"""Effects: what a function does while it is recorded and a replay would not do again, and the line that does it."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from datetime import date
from types import CodeType, FrameType
from typing import Any

from ..errors import GraphError
from ..source_line import Site, in_library
from .snapshots import Snapshot

#: where the standard library seeds a generator; without a seed the operating system gives one
_SEEDING = random.Random.seed.__code__
_CLOCKS = {
    id(getattr(time, name + unit))
    for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time")
    for unit in ("", "_ns")
    if hasattr(time, name + unit)
}
#: libraries that open a file for who calls them
_OPENERS = ("pathlib", "numpy", "io")


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
    """What the operating system gives is another number in every call."""
    drawn = argument is os.urandom if event == "c_call" else frame.f_code is _SEEDING and frame.f_locals["a"] is None
    if not drawn:
        return
    caller: FrameType | None = frame
    while caller is not None and in_library(caller):
        if caller.f_code.co_name == "<module>":  # the first import of one that draws
            return
        caller = caller.f_back
    raise GraphError(_random_text("" if caller is None else f" (at {Site(caller.f_code, caller.f_lasti)})"))


def refuse_world(frame: FrameType, called: Any) -> None:
    """A clock shows another time in every call, and a file may hold something else.

    What libraries do for themselves (a logger's time stamps, an import) is not the function's business.
    """
    if called is open:
        while in_library(frame):
            if frame.f_globals.get("__name__", "").partition(".")[0] not in _OPENERS or frame.f_back is None:
                return
            frame = frame.f_back
        what, cure = "a file is opened", "open it outside, and pass what it holds"
    elif not in_library(frame) and (id(called) in _CLOCKS or _is_now(called)):
        what, cure = "a clock is read", "read it outside, and pass the time in as a tensor"
    else:
        return
    raise GraphError(
        f"{what} (at {Site(frame.f_code, frame.f_lasti)}) while a function is being compiled, and would not be in "
        f"later calls; {cure}"
    )


def _is_now(called: Any) -> bool:
    of = getattr(called, "__self__", None)
    return isinstance(of, type) and issubclass(of, date) and called.__name__ in ("now", "today", "utcnow")


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
