"""Explaining a failed operation in one line: what, which operands, the user's own line."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, TinygradError
from .primitives.record import Primitive
from .source_line import user_site


def short(text: str, limit: int = 60) -> str:
    """One printable line of at most ``limit`` characters."""
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text)[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def result_of(op: Primitive, value: Any) -> Any:
    """The result of an operation's reference as an array; `ArgumentError` if it is neither array nor number."""
    if isinstance(value, (np.ndarray, np.generic, int, float, complex)):
        return np.asarray(value)
    raise ArgumentError(f"{op.name}: its reference computes an array, but gave {short(repr(value))}")


def refuse_other_shape(op: Primitive, ruled: tuple[int, ...], made: tuple[int, ...]) -> None:
    """Raise a `ShapeError` if an operation's shape rule says another shape than it makes."""
    if ruled != made:
        cure = "correct the rule; tg.testing.check_primitive says when it is right"
        raise ShapeError(f"{op.name}: its shape rule says {ruled}, but its result has {made}; {cure}")


def explained(error: Exception, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Exception:
    """The error again, as one line: what, which operands, the user's own line."""
    detail: Exception = error
    if not isinstance(error, (ShapeError, DTypeError, OutOfRangeError)):
        try:
            op.shape(*(x.shape if hasattr(x, "_described") else () for x in operands), **attrs)
        except (ShapeError, DTypeError, OutOfRangeError) as better:
            detail = better
        except Exception:  # the rule itself cannot make sense of the operands: NumPy's word must do
            pass
    shown = ", ".join(
        f"operand {i} {x._described()} {x.dtype}" if hasattr(x, "_described") else f"operand {i} {short(repr(x), 24)}"
        for i, x in enumerate(operands[:4])
    ) + (f", ... ({len(operands)} in all)" if len(operands) > 4 else "")
    kinds: dict[type[Exception], type[Exception]] = {
        TinygradError: type(detail),
        ValueError: ShapeError,
        TypeError: DTypeError,
        IndexError: OutOfRangeError,
        AttributeError: DTypeError,
        OverflowError: DTypeError,
        MemoryError: MemoryError,
    }
    kind = next(kind for base, kind in kinds.items() if isinstance(detail, base))  # NumPy raises subclasses
    return kind(f"{op.name}: {short(getattr(detail, 'detail', str(detail)), 400)} [{shown}; at {user_site()}]")
