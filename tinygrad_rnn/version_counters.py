"""Version counters: the last write to a buffer that may be written in place.

Recorded values are never written, but leaves are: by an optimizer, by ``copy_``, by ``p.data[...] =``. A write between
the forward pass and the backward pass would make gradients silently wrong, so every write leaves its creation number
here, and the walk compares it with that of the node about to be differentiated.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import ClassVar

from .source_line import Site


class Memory:
    """One buffer, shared by a leaf and its views."""

    __slots__ = ("_place", "written")

    #: the latest write to any buffer; a node made later needs no closer look
    latest: ClassVar[int] = -1

    def __init__(self) -> None:
        self.written = -1
        self._place: tuple[CodeType, int] | None = None

    @property
    def site(self) -> Site | None:
        """The user's line that wrote last."""
        return None if self._place is None else Site(*self._place)

    @staticmethod
    def touch(memories: Iterable[Memory | None], serial: int, place: tuple[CodeType, int]) -> None:
        """Note a write: its creation number and where in the user's code it was made."""
        Memory.latest = serial
        for memory in memories:
            if memory is not None:
                memory.written, memory._place = serial, place
