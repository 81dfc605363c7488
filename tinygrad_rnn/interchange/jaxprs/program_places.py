"""Places of equations in the user's program: source line, scopes, the time step a scope's name counts."""

from __future__ import annotations

import re
from typing import Any

from jax._src import source_info_util

from ...source_line import Foreign, installed


def line_of(eqn: Any) -> Foreign | None:
    """The innermost line of the user's, or of a library's if no frame is the user's; None within JAX's own helpers."""
    info = eqn.source_info
    try:
        frames = list(source_info_util.user_frames(info.traceback))
    except (AttributeError, TypeError):
        frames = list(source_info_util.user_frames(info))
    own = [frame for frame in frames if not installed(frame.file_name)]
    for frame in own or frames:
        return Foreign(frame.file_name, int(frame.start_line))
    return None


def path_of(eqn: Any) -> tuple[tuple[str, ...], int | None]:
    """Names of the scopes an equation is in, outermost first; and the step that one of them counts, as in ``step3``."""
    names: list[str] = []
    step = None
    for name in re.split(r"/", str(eqn.source_info.name_stack)):
        while found := re.fullmatch(r"[\w.]+\((.*)\)", name):  # vmap(cell): of a transformation
            name = found[1]
        counted = re.fullmatch(r"(?:step|t|time)[ _]?(\d+)", name)
        if counted:
            step = int(counted[1])
        elif name:
            names.append(name[:60])
    return tuple(names), step


def called_by_jax(eqn: Any, function: str) -> bool:
    """Whether it was JAX's own library that called ``function`` of it, not the user or a layer of theirs."""
    traceback = eqn.source_info.traceback
    frames = list(traceback.frames) if traceback is not None else []
    inside = False
    for frame in frames:
        if frame.function_name == function:
            inside = True
        elif inside and not frame.file_name.endswith("traceback_util.py"):
            return of_jax(frame.file_name)
    return False


def of_jax(filename: str) -> bool:
    """Whether a file is JAX's."""
    return "/jax/_src/" in filename.replace("\\", "/")
