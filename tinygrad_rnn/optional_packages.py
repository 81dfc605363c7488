"""Packages that not everybody has: each belongs to an extra of this one, or to all of it, and the error says which.

The engine itself needs NumPy only; the command and its pictures also what ``dependencies`` of pyproject.toml names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .errors import DataError, MissingPackageError

#: the packages that are this project itself: what fails to import one of them is a mistake in it
_OURS = ("tinygrad_rnn", "viz")


def when_asked(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for ``package``: names, by the module that has them, are imported when first asked for."""

    def found(name: str) -> Any:
        for home, names in homes.items():
            if name in names.split():
                return getattr(import_module(home, package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return found


@contextmanager
def needed(what: str, extra: str = "") -> Iterator[None]:
    """Around an import: if its package is not there, `MissingPackageError` says what needs it and how to get it.

    Without an ``extra`` it is one that this project requires, which a checkout may lack.

    >>> with needed("a picture as PDF", "pdf"):
    ...     import a_package_nobody_has
    Traceback (most recent call last):
    tinygrad_rnn.errors.MissingPackageError: a picture as PDF needs a_package_nobody_has, which is not installed; pip install 'tinygrad_rnn[pdf]'
    """  # noqa: E501
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        name = error.name.partition(".")[0]
        brought = f"'tinygrad_rnn[{extra}]'" if extra else "tinygrad_rnn"
        raise MissingPackageError(
            f"{what} needs {name}, which is not installed; pip install {brought}", name=name
        ) from None


def framework(name: str, extra: str) -> Any:
    """The module of another framework; `DataError` says how to get it where it cannot be imported.

    ``extra``, the one of this package that brings it, is also what its programs are called.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(
            f"{extra} programs need {name}, which cannot be imported ({error}); pip install 'tinygrad_rnn[{extra}]'"
        ) from None


@cache
def can_compile() -> bool:
    """Whether Numba is there, which `tg.compile` and the kernels are written for."""
    return find_spec("numba") is not None
