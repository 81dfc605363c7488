"""Places for what is written beside a line: where no line strikes it, and upon no box or other words."""

from __future__ import annotations

import numpy as np

from .. import style
from .line_routing import Point
from .line_ways import LEVEL, Way
from .placement import Layout, Line

ASIDE, ABOVE = 5.0, 0.7  #: from where the line begins, in points, and from the line, in parts of the font size


class LineLabels:
    """Finds places in one layout, each free of what was written before."""

    def __init__(self, layout: Layout) -> None:
        points = layout.points()
        self.points = points[np.argsort(points[:, 0], kind="stable")]
        self.taken = np.array([*layout.rects.values(), *(rect for _, rect in layout.gaps)])

    def place(self, line: Line, text: str, size: float) -> Point:
        """The middle of a text beside a line: as near its beginning as there is room, above it, below it, at a side."""
        way, width = Way.along(line.pos), style.text_width(text, size)
        aside, across = ASIDE + width / 2, way.points[np.abs(way.headings[:, 1]) < LEVEL].tolist()
        places = [(x + aside, y + up * ABOVE * size) for up in (1, -1) for x, y in across]
        places += [(x + side * aside, y) for side in (1, -1) for x, y in way.points.tolist()]
        place = next((at for at in places if self._is_free(*at, width, size)), places[0])
        self.taken = np.vstack([self.taken, (*place, width, size)])
        return place

    def _is_free(self, x: float, y: float, width: float, height: float) -> bool:
        first, last = np.searchsorted(self.points[:, 0], (x - width / 2, x + width / 2))
        struck = np.abs(self.points[first:last, 1] - y) < 0.45 * height
        upon = np.abs(self.taken[:, :2] - (x, y)) < (self.taken[:, 2:] + (width, height)) / 2
        return not struck.any() and not upon.all(1).any()
