"""Saying where and why: the user's source line, and one-line messages.

An error names the operation, its operands with their names and shapes, and the line of the user's own code; a picture
and the debugger show the same line for every node.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from .errors import DTypeError, OutOfRangeError, ShapeError, TinygradError
from .primitives.record import Primitive

#: compared by hash for every node that is made
_OURS = frozenset(str(path) for path in Path(__file__).parent.rglob("*.py"))


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


def user_code() -> tuple[CodeType, int]:
    """The innermost place on the call stack that is not in this package: cheap, for every node keeps it."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename in _OURS and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def user_site() -> Site:
    """The user's source line that is being executed."""
    return Site(*user_code())


def short(text: str, limit: int = 60) -> str:
    """One printable line of at most ``limit`` characters."""
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def explained(error: Exception, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Exception:
    """The error again, as one line: what, which operands, the user's own line."""
    detail: Exception = error
    if not isinstance(error, (ShapeError, DTypeError, OutOfRangeError)):
        try:
            op.shape(*(x.shape if hasattr(x, "_described") else () for x in operands), **attrs)
        except (ShapeError, OutOfRangeError) as better:
            detail = better
        except Exception:  # the rule itself cannot make sense of the operands: NumPy's word must do
            pass
    shown = ", ".join(
        f"operand {i} {x._described()} {x.dtype}" if hasattr(x, "_described") else f"operand {i} {x!r}"
        for i, x in enumerate(operands[:4])
    ) + (f", ... ({len(operands)} in all)" if len(operands) > 4 else "")
    kinds: dict[type[Exception], type[Exception]] = {
        TinygradError: type(detail), ValueError: ShapeError, TypeError: DTypeError, IndexError: OutOfRangeError,
        AttributeError: DTypeError, MemoryError: MemoryError,
    }  # fmt: skip
    kind = next(kind for base, kind in kinds.items() if isinstance(detail, base))  # NumPy raises subclasses
    return kind(f"{op.name}: {short(str(detail), 400)} [{shown}; at {user_site()}]")
