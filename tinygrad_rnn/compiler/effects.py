"""Effects: what a function does while it is recorded and a replay would not do again, and the line that does it."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from ..errors import GraphError
from ..source import Site, in_library
from .watched import Snapshot

#: where the standard library seeds a generator; without a seed the operating system gives one
_SEEDING = random.Random.seed.__code__


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
