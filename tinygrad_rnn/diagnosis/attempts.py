"""Parts of the search that may fail on a network nobody thought of: the others go on, and what failed is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Known = type[Exception] | tuple[()]
#: of one edit: its arrays do not fit, so that the program with this mistake would have ended there, too
UNFIT = ValueError


class Attempts:
    """The attempts of one search; those that failed are kept."""

    def __init__(self, failed: list[str]) -> None:
        self.failed = failed  #: what, and with which error

    def value(self, what: str, make: Callable[[], T], otherwise: T, known: Known = ()) -> T:
        """The result of ``make``; ``otherwise`` where it ends in an error, of which ``known`` ones are not kept."""
        try:
            return make()
        except known:
            return otherwise
        except Exception as error:
            self._note(what, error)
            return otherwise

    def items(self, kind: Iterator[T]) -> Iterator[T]:
        """The items of a generator, up to the first error."""
        try:
            yield from kind
        except Exception as error:
            self._note(getattr(kind, "__name__", "edits").strip("_").replace("_", " "), error)

    def _note(self, what: str, error: Exception) -> None:
        self.failed.append(f"{what} ({type(error).__name__}: {error})")
