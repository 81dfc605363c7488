"""When a buffer that may be written in place was last written.

Recorded values are never written, but leaves are: by an optimizer, by ``copy_``, by ``p.data[...] =``. A write between
the forward pass and the backward pass would make gradients silently wrong, so every write leaves its creation number
here, and the walk compares it with that of the node about to be differentiated.
"""

from __future__ import annotations

from typing import ClassVar

from .source import Site


class Memory:
    """One buffer, shared by a leaf and its views."""

    __slots__ = ("site", "written")

    #: the latest write to any buffer; a node made later needs no closer look
    latest: ClassVar[int] = -1

    def __init__(self) -> None:
        self.written = -1
        self.site: Site | None = None

    def touch(self, serial: int, site: Site) -> None:
        """Note a write: its creation number and the user's line."""
        self.written = Memory.latest = serial
        self.site = site
