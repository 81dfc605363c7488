"""The way of a line: points along it, sampled from the curve that is about to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_routing import Point, Stretch

STEP = 2.0  #: points between the samples of a line
SHORTEST = 4.0  #: Shorter pieces of a line are in nobody's way.
LEVEL = 0.3  #: sine of the angle below which a piece of a curve counts as upright or level
DRIFT = 3.0  #: points that such a piece may lean


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a line: points `STEP` apart, the direction in each, and the stretches where another should not run."""

    points: Array
    headings: Array
    pieces: Sequence[Stretch]
    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def along(cls, pos: str) -> Way:
        """The way of a line as Graphviz writes it."""
        points = sampled(pos)
        ways = headings(points)
        (left, bottom), (right, top) = points.min(0).tolist(), points.max(0).tolist()
        return cls(points, ways, straight(points, ways), left, right, bottom, top)


def sampled(pos: str) -> Array:
    """Points `STEP` apart along a line as Graphviz writes it."""
    control = np.array([part.split(",") for part in pos.split() if part[0] not in "es"], float)
    pieces = []
    for k in range(0, len(control) - 3, 3):
        a, b, c, d = control[k : k + 4]
        length = np.abs(np.diff(control[k : k + 4], axis=0)).sum()
        t = np.linspace(0, 1, 2 + int(length / STEP))[:, None]
        pieces.append((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d)
    return np.concatenate(pieces)


def headings(points: Array) -> Array:
    """The direction of a line in each of its points, of length 1."""
    ways = np.empty_like(points)
    ways[1:-1] = points[2:] - points[:-2]
    ways[0], ways[-1] = points[1] - points[0], points[-1] - points[-2]
    return ways / np.maximum(np.hypot(*ways.T), 1e-9)[:, None]


def straight(points: Array, ways: Array) -> Sequence[Stretch]:
    """The pieces among sampled points that are upright or level, or nearly: each as a straight one in its middle."""
    found: list[Stretch] = []
    for axis in (0, 1):
        level = np.concatenate([[False], np.abs(ways[:, axis]) < LEVEL, [False]])
        for first, last in np.flatnonzero(level[1:] != level[:-1]).reshape(-1, 2):
            drift = np.abs(points[first:last, axis] - points[first, axis]) // DRIFT
            ends = [first, *(first + 1 + np.flatnonzero(np.diff(drift))), last]
            for begin, end in pairwise(ends):
                a, b = points[begin].tolist(), points[end - 1].tolist()
                a[axis] = b[axis] = (a[axis] + b[axis]) / 2
                if abs(a[0] - b[0]) + abs(a[1] - b[1]) > SHORTEST:
                    found.append((_point(a), _point(b)))
    return found


def _point(xy: Sequence[float]) -> Point:
    return xy[0], xy[1]
