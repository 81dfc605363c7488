"""The two settings: whether operations are recorded (per thread), and what dtype Python floats become."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import answering, as_dtype
from .errors import ArgumentError
from .thread_state import current

_default_dtype: np.dtype[Any] = np.dtype(np.float32)


def get_default_dtype() -> np.dtype[Any]:
    """The dtype Python floats become: float32 unless changed.

    >>> import tinygrad_rnn as tg
    >>> tg.get_default_dtype()
    dtype('float32')
    """
    return _default_dtype


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Make Python floats, layers' parameters and initial states ``dtype``: float32 or float64, else `DTypeError`.

    >>> import tinygrad_rnn as tg
    >>> tg.set_default_dtype(tg.float64)
    >>> tg.ones(2).dtype
    dtype('float64')
    >>> tg.set_default_dtype(tg.float32)
    """
    global _default_dtype
    _default_dtype = as_dtype(dtype, "set_default_dtype", floats=True)


class recording:
    """Record or not, inside a ``with`` block or in every call of a decorated function."""

    __slots__ = ("before", "value")

    def __init__(self, value: bool) -> None:
        self.value = value

    def __enter__(self) -> None:
        self.before, current.recording = current.recording, self.value

    def __exit__(self, *_error: object) -> None:
        current.recording = self.before

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, run in this mode; a generator or coroutine, each time it goes on."""
        if not callable(function):
            name = "enable_grad" if self.value else "no_grad"
            raise ArgumentError(f"{name} decorates a function, not {function!r:.40}; inside: with {name}():")
        value = self.value
        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                return _Resumed(function(*args, **kwargs), value)

            return generator

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                return await _Awaited(_Resumed(function(*args, **kwargs).__await__(), value))

            return coroutine

        if inspect.isasyncgenfunction(function):
            raise ArgumentError(
                f"no_grad: {function.__name__} is an asynchronous generator; use `with` inside it instead"
            )

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with recording(value):
                return function(*args, **kwargs)

        return call


class _Awaited:
    """An awaitable: a generator that a coroutine waits for."""

    def __init__(self, generator: Generator[Any, Any, Any]) -> None:
        self.generator = generator

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.generator


class _Resumed(Generator[Any, Any, Any]):
    """A generator that goes on in its own mode, whatever the mode is where it is asked for the next value."""

    def __init__(self, inner: Generator[Any, Any, Any], value: bool) -> None:
        self.inner, self.value = inner, value

    def send(self, value: Any) -> Any:
        with recording(self.value):
            return self.inner.send(value)

    def throw(self, *error: Any) -> Any:
        with recording(self.value):
            return self.inner.throw(*error)


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """In ``with no_grad():`` (or below ``@no_grad()``, or ``@no_grad``) nothing is recorded; leaves may be written.

    ``function`` is what ``@no_grad`` decorates: it is returned as one that records nothing.

    >>> import tinygrad_rnn as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     w[0] = 3.0
    ...     (w * 2).requires_grad
    False
    """
    return recording(False) if function is None else recording(False)(function)


#: PyTorch's name where nothing will be differentiated later
inference_mode = no_grad


def is_grad_enabled() -> bool:
    """Whether what is computed now is recorded.

    >>> import tinygrad_rnn as tg
    >>> with tg.no_grad():
    ...     tg.is_grad_enabled()
    False
    """
    return current.recording


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record again inside a `no_grad`; ``function`` is what ``@enable_grad`` decorates.

    >>> import tinygrad_rnn as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     (w * 2).requires_grad
    True
    """
    return recording(True) if function is None else recording(True)(function)


class set_grad_enabled:
    """Record from here on or not, as ``mode`` says; in ``with set_grad_enabled(training):``, until its end.

    Above a function, ``@set_grad_enabled(False)`` sets it in its calls only.

    >>> import tinygrad_rnn as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> with tg.set_grad_enabled(False):
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before, current.recording = current.recording, self._mode

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, run in this mode; the mode outside is what it was before."""
        current.recording = self._before
        return recording(self._mode)(function)

    def __enter__(self) -> None:
        """The mode is set already."""

    def __exit__(self, *_error: object) -> None:
        current.recording = self._before


answering(globals())
