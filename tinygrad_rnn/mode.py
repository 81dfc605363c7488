"""The two settings: whether operations are recorded (per thread), and what dtype Python floats become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DTypeError
from .scope import state

_default_dtype: np.dtype[Any] = np.dtype(np.float32)


def get_default_dtype() -> np.dtype[Any]:
    """The dtype Python floats become: float32 unless changed."""
    return _default_dtype


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Make Python floats, layers' parameters and initial states float32 or float64."""
    global _default_dtype
    chosen = np.dtype(dtype)
    if chosen.char not in "fd":
        raise DTypeError(f"the default dtype is float32 or float64, not {chosen}")
    _default_dtype = chosen


@contextmanager
def recording(value: bool) -> Iterator[None]:
    before, state.recording = state.recording, value
    try:
        yield
    finally:
        state.recording = before


def no_grad() -> Any:
    """In ``with no_grad():`` (or below ``@no_grad()``) nothing is recorded, and leaves may be written."""
    return recording(False)


def enable_grad() -> Any:
    """Record again inside a `no_grad`."""
    return recording(True)


class set_grad_enabled:
    """Record from here on or not: ``set_grad_enabled(training)``, or ``with set_grad_enabled(training):``."""

    def __init__(self, mode: bool) -> None:
        self._before, state.recording = state.recording, bool(mode)

    def __enter__(self) -> None:
        """The mode is set already."""

    def __exit__(self, *_error: object) -> None:
        state.recording = self._before
