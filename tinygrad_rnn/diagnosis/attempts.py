"""Parts of the search that may fail on a network nobody thought of: the others go on, and what failed is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Attempts:
    """What was attempted in one search, and failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []  #: what, and with which error

    def value(self, what: str, make: Callable[[], T], otherwise: T) -> T:
        """What ``make`` gives; ``otherwise`` where it ends in an error."""
        try:
            return make()
        except Exception as error:
            self._note(what, error)
            return otherwise

    def items(self, kind: Iterator[T]) -> Iterator[T]:
        """What a generator yields, as far as it comes."""
        try:
            yield from kind
        except Exception as error:
            self._note(getattr(kind, "__name__", "edits").strip("_").replace("_", " "), error)

    def _note(self, what: str, error: Exception) -> None:
        self.failed.append(f"{what} ({type(error).__name__}: {error})")
