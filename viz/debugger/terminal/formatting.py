"""Lines for a terminal: text in colours (only where there is a terminal to show them), tables, arrays, bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tinygrad_rnn.bptt.recording import Array
from tinygrad_rnn.bptt.statistics import Measure, measure

from ... import style

Part = str | tuple[str, str]
BAR = "▇"
#: A bar is empty at most this many powers of ten below the longest.
DECADES = 16
#: Of longer tables as many rows are shown.
ROWS = 200


class _Console(Console):
    """A console that lets its user notice that nobody reads any more, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        raise


class Screen:
    """Prints to ``file``; colour only if that is a terminal."""

    def __init__(self, file: IO[str]) -> None:
        self.console = _Console(file=file, highlight=False, markup=False, emoji=False)

    @property
    def bar(self) -> int:
        """The longest length of a bar: short on a narrow terminal."""
        return 24 if not self.console.is_terminal or self.console.width >= 100 else 10

    def say(self, *parts: Part) -> None:
        """One line of plain and (text, style) parts."""
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    def error(self, message: str) -> None:
        """Print an error on one line."""
        self.say(("error: ", "bold red"), style.visible(message))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], marked: int | None = None) -> None:
        """Aligned columns, numbers to the right; row ``marked`` stands out. Of a long table the middle is left out."""
        between = range(ROWS // 2, len(rows) - ROWS // 2)
        if between:
            rows = [*rows[: between.start], *rows[between.stop :]]
        widths = [max(cell_len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        right = [bool(rows) and all(_numeric(row[i]) for row in rows) for i in range(len(header))]
        self.say(("  " + _aligned(header, widths, right), "dim"))
        for index, row in enumerate(rows):
            if between and index == between.start:
                self.say((f"  … {len(between)} rows more …", "dim"))
            arrow = "→ " if index == marked else "  "
            self.say((arrow + _aligned(row, widths, right), "bold" if index == marked else ""))

    def array(self, array: Array | None, missing: str = "nothing has arrived yet") -> None:
        """An array in full if it is small, else its corners."""
        if array is None:
            self.say(("    " + missing, "yellow"))
            return
        with np.printoptions(precision=4, threshold=200, edgeitems=3, linewidth=100):
            for line in str(np.asarray(array)).split("\n"):
                self.say("    " + line)


def _aligned(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = []
    for cell, width, flush in zip(row, widths, right):
        gap = " " * (width - cell_len(cell))
        cells.append(gap + cell if flush else cell + gap)
    return "  ".join(cells).rstrip()


def _numeric(cell: str) -> bool:
    return not cell or (cell[0] in "0123456789−-+∞n×" and not cell.startswith("no"))


def brief(array: Array | None) -> str:
    """An array on one line: its elements if they are few, else its shape and range."""
    if array is None:
        return "nothing yet"
    if array.size <= 8:
        with np.printoptions(precision=4, linewidth=10**6, floatmode="maxprec"):
            return " ".join(str(array).split())
    found = measure(array)
    shape = "×".join(map(str, array.shape))
    if found.nan or found.infinite:
        return f"{shape}, not all finite"
    return f"{shape}, {style.number(found.smallest)} to {style.number(found.largest)}"


def norm(value: float | None) -> str:
    """A norm; of what has not arrived, words."""
    return "not yet" if value is None else style.number(value)


def bars(values: Sequence[float | None], width: int = 24) -> list[str]:
    """Bars on one logarithmic scale: the longest value's is full, the smallest's still to be seen."""
    known = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    top = math.log10(max(known, default=1))
    decades = min(max(top - math.log10(min(known, default=1)) + 1, 2), DECADES)
    return [_bar(v, top, decades, width) for v in values]


def _bar(value: float | None, top: float, decades: float, width: int) -> str:
    if value is None:
        return "·"
    if not math.isfinite(value):
        return "!" * width
    return BAR * max(round(width * (1 + (math.log10(value) - top) / decades)), 0) if value > 0 else ""


def share_bar(share: float | None, width: int = 20) -> str:
    """A signed share around a middle line."""
    if share is None:
        return ""
    half = width // 2
    length = min(round(abs(share) * half), half)
    return (" " * half + "│" + BAR * length) if share >= 0 else (" " * (half - length) + BAR * length + "│")


def signs(found: Measure) -> str:
    """The numbers of negative, zero, positive and not finite elements; those that are 0 are left out."""
    counts = {"−": found.negative, "zero": found.zero, "+": found.positive, "inf": found.infinite, "nan": found.nan}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def percent(value: Any) -> str:
    """A part as a whole percentage; nothing for None."""
    return "" if value is None else f"{100 * value:.0f}%"
