"""What a picture's geometry has to be, measured in its own DOT text, whose coordinates are the drawing's."""

from __future__ import annotations

import functools
import re
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

STEP = 2.0
LIMIT = 6  #: points that two different lines may lie on one another
NEAR = 1.2  #: distance below which points lie on one another
ALONG = 0.17  #: sine of the angle below which lines that come near one another run along, and do not cross


def boxes(dot):
    """Name to (x, y, width, height, class) of every box, in points."""
    found = {}
    for name, rest in re.findall(r"^\s*(\w+) \[(.*)\]$", dot, re.MULTILINE):
        place = re.search(r'pos="([-\d.]+),([-\d.]+)!"', rest)
        if place:
            width, height = (72 * float(re.search(rf"(?<= ){word}=([\d.]+)", rest)[1]) for word in ("width", "height"))
            kind = re.search(r'class="?([\w ]+)', rest)[1]
            found[name] = float(place[1]), float(place[2]), width, height, kind
    return found


def lines(dot):
    """(tail, head, points about `STEP` apart) of every line."""
    drawn = re.findall(r'^\s*(\w+) -> (\w+) \[.*?pos="([^"]*)"', dot, re.MULTILINE)
    points = [[part.split(",") for part in pos.split() if part[0] not in "es"] for _, _, pos in drawn]
    pieces = [len(own) // 3 for own in points]
    control = [np.array(own, float) for own in points]
    a, b, c, d = (np.concatenate([own[k : k + len(own) - 1 : 3] for own in control]) for k in range(4))
    count = 2 + sum(np.hypot(*(q - p).T) for p, q in ((a, b), (b, c), (c, d))).astype(int) // int(STEP)
    first = np.repeat(np.cumsum(count) - count, count)
    t = ((np.arange(len(first)) - first) / np.repeat(count - 1, count))[:, None]
    a, b, c, d = (np.repeat(corner, count, axis=0) for corner in (a, b, c, d))
    sampled = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    ends = np.cumsum([part.sum() for part in np.split(count, np.cumsum(pieces)[:-1])])
    found = []
    for (tail, head, _), own in zip(drawn, np.split(sampled, ends[:-1]), strict=True):
        apart = np.abs(np.diff(own, axis=0)).sum(1) > STEP / 8  # where curves meet, dot writes points twice
        found.append((tail, head, own[np.concatenate([[True], apart])]))
    return found


@functools.cache
def _advance(letter):
    """How wide a letter of DejaVu Sans is, in parts of the font size: the widest face that stands in for Helvetica."""
    face = FT2Font(findfont("DejaVu Sans"))
    face.set_size(100, 72)
    return face.load_char(ord(letter)).linearHoriAdvance / 65536 / 100


def overflowing(dot):
    """Every box with a line of text that is wider than it, or more lines than it has room for."""
    placed, found = boxes(dot), []
    for name, label, rest in re.findall(r'^\s*(\w+) \[label="((?:[^"\\]|\\.)*)"(.*)\]$', dot, re.MULTILINE):
        if name not in placed or "caption" in placed[name][4]:
            continue
        size = float((re.search(r" fontsize=([\d.]+)", rest) or ["", "10.5"])[1])
        text = [re.sub(r"\\(.)", r"\1", line) for line in label.split(r"\n")]
        width = max(sum(map(_advance, line)) for line in text) * size
        if width > placed[name][2] or len(text) * size > placed[name][3]:
            found.append(f"the text of {name}, {text}, is {width:.0f} wide and has {placed[name][2]:.0f}")
    return found


def faults(dot):
    """Every place where the picture is not as it has to be, in words."""
    found = overflowing(dot)
    placed, drawn = boxes(dot), lines(dot)
    names = sorted(placed)
    at = np.array([placed[name][:4] for name in names])
    for k, name in enumerate(names):
        x, y, w, h = at[k]
        near = (abs(at[:, 0] - x) < (at[:, 2] + w) / 2 - 1) & (abs(at[:, 1] - y) < (at[:, 3] + h) / 2 - 1)
        found += [
            f"box {name} upon {names[j]}" for j in np.flatnonzero(near) if j > k and not _words(placed, name, names[j])
        ]
    words = _written(dot, placed)
    solid = np.array([k for k, name in enumerate(names) if "caption" not in placed[name][4]], int)
    x, y, w, h = at[solid].T
    for tail, head, points in drawn:
        inside = (abs(points[:, :1] - x) < w / 2 - 1) & (abs(points[:, 1:] - y) < h / 2 - 1)
        met = [names[k] for k in solid[inside.any(0)]]
        found += [f"line {tail} -> {head} through {name}" for name in met if name not in (tail, head)]
        found += [f"line {tail} -> {head} through the words of {name}" for name in _struck(points, words)]
    found += [f"the words of {a} upon those of {b}" for (a, p), (b, q) in combinations(words.items(), 2) if _upon(p, q)]
    found += [
        f"the words of {name} upon {box}"
        for name, place in words.items()
        for box in (names[k] for k in solid)
        if _upon(place, (*placed[box][:2], placed[box][2] / 2, placed[box][3] / 2))
    ]
    for (n, m), count in together(drawn).items():
        if count * STEP > LIMIT:
            found.append(
                f"line {drawn[n][0]} -> {drawn[n][1]} upon {drawn[m][0]} -> {drawn[m][1]} for {count * STEP:g}"
            )
    return found


def _written(dot, placed):
    """Name to (x, y, half the width, half the height) of what is written below the time steps and beside lines."""
    found = {}
    for name, label, _rest in re.findall(r'^\s*(step_\w+) \[label="([^"]*)"(.*)\]$', dot, re.MULTILINE):
        x, y, *_ = placed[name]
        found[name] = x, y, sum(map(_advance, label)) * 10.5 / 2, 5
    for label, size, name, x, y in re.findall(
        r'^\s*\w+ -> \w+ \[label="?([^"\s]*)"? .*?fontsize=([\d.]+) id=(\w+) lp="([-\d.]+),([-\d.]+)"',
        dot,
        re.MULTILINE,
    ):
        found[name] = float(x), float(y), sum(map(_advance, label)) * float(size) / 2, float(size) * 0.35
    return found


def _upon(one, other):
    (x, y, w, h), (u, v, a, b) = one, other
    return abs(x - u) < w + a - 1 and abs(y - v) < h + b - 1


def _struck(points, words):
    x, y = points.T
    return [name for name, (u, v, w, h) in words.items() if ((abs(x - u) < w) & (abs(y - v) < h)).any()]


def together(drawn):
    """By pair of lines that share no end how many points of the first have one of the second beside and along them."""
    names = {name: k for k, name in enumerate({name for line in drawn for name in line[:2]})}
    line = np.concatenate([np.full(len(points), n) for n, (_, _, points) in enumerate(drawn)] or [[]]).astype(int)
    tail, head = (np.array([names[ends[side]] for ends in drawn], int) for side in (0, 1))
    points = np.concatenate([points for _, _, points in drawn] or [np.zeros((0, 2))])
    ways = np.concatenate([_headings(points) for _, _, points in drawn] or [np.zeros((0, 2))])
    squares = np.floor(points / NEAR).astype(np.int64) @ [1 << 30, 1]
    order = np.argsort(squares, kind="stable")
    squares, line, points, ways = squares[order], line[order], points[order], ways[order]
    own = np.arange(len(squares))
    pairs = []
    for square in (squares + i * (1 << 30) + j for i in (-1, 0, 1) for j in (-1, 0, 1)):
        first, last = np.searchsorted(squares, square), np.searchsorted(squares, square, "right")
        one = np.repeat(own, last - first)
        other = np.arange(len(one)) - np.repeat(np.cumsum(last - first) - last, last - first)
        n, m = line[one], line[other]
        kept = (n < m) & (tail[n] != tail[m]) & (head[n] != head[m])
        one, other = one[kept], other[kept]
        kept = np.abs(points[one] - points[other]).sum(1) < NEAR
        kept &= np.abs(ways[one, 0] * ways[other, 1] - ways[one, 1] * ways[other, 0]) < ALONG
        pairs.append(np.stack([one[kept], line[other[kept]]]))
    beside = np.unique(np.concatenate(pairs, 1), axis=1)  # each point once, however many of the other line are near
    return Counter(zip(line[beside[0]].tolist(), beside[1].tolist(), strict=True))


def _headings(points):
    """The direction of a line in each of its points."""
    ways = np.gradient(points, axis=0)
    return ways / np.hypot(*ways.T)[:, None]


def disorder(dot):
    """Every step that does not stand to the right of the one before, input above its cell, and score below its state.

    Of a picture at cell level: boxes' names end in their pass and their time step.
    """
    placed, found = boxes(dot), []
    cells = {}
    for name, (x, y, w, _h, kind) in placed.items():
        if kind.split()[0] == "cell":
            where, step = re.search(r"_(s\d+)_t(\d+)$", name).groups()
            cells.setdefault((where, y), []).append((int(step), x - w / 2, x + w / 2, name))
    for row in cells.values():
        found += [
            f"{b[3]} is not to the right of {a[3]}" for a, b in pairwise(sorted(row)) if b[0] > a[0] and b[1] < a[2]
        ]
    for tail, head, _points in lines(dot):
        if tail not in placed or head not in placed:
            continue
        (_, low, *_, source), (_, high, *_, target) = placed[tail], placed[head]
        below = source.split()[0] == "x" and target.split()[0] == "cell"
        above = source.split()[0] in ("cell", "state") and target.split()[0] == "logits"
        if (below or above) and low >= high:
            found.append(f"{head} is not above {tail}")
    return found


def _words(placed, a, b):
    return "caption" in placed[a][4] and "caption" in placed[b][4]


def circular(dot):
    """Boxes on a circle of edges: such a box would read its own later results."""
    feeds = {}
    for tail, head in re.findall(r"^\s*(\w+) -> (\w+) \[", dot, re.MULTILINE):
        if not tail.startswith("gap") and not head.startswith("gap"):
            feeds.setdefault(head, set()).add(tail)
            feeds.setdefault(tail, set())
    while free := [box for box, sources in feeds.items() if not sources]:
        for box in free:
            del feeds[box]
        for sources in feeds.values():
            sources.difference_update(free)
    return set(feeds)
