"""The style of everything shown: the one palette, text, numbers, formulas.

Colours are pale tints from the Okabe-Ito set, which stays apart in every kind of colour blindness; none of
them means anything alone: each kind of box also has its own shape, border or thickness.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.norms import norm as norm

FONT = "Helvetica"
INK = "#1a1a1a"
GREY = "#595959"


class Look(NamedTuple):
    """One kind of box."""

    fill: str
    border: str
    style: str = "rounded,filled"
    shape: str = "box"
    width: float = 1.0  #: of the border, in points


LOOKS: Mapping[str, Look] = {
    "x": Look("#D6ECFA", "#0072B2"),
    "cell": Look("#CDEBDF", "#00664D", "filled", width=1.8),
    "gate": Look("#CDEBDF", "#00664D"),
    "state": Look("#FBE3B8", "#A86500", width=1.8),
    "op": Look("#FFFFFF", "#4d4d4d"),
    "logits": Look("#EFE3F2", "#8A4F77", "filled"),
    "loss": Look("#F6D3C0", "#B34700", "filled", "octagon", 1.2),
    "parameter": Look("#FBF6B9", "#7A7000", "filled", "note"),
    "input": Look("#EDEDED", "#4d4d4d", "filled,dashed"),
    "bar": Look("#FFFFFF", "#4d4d4d"),
    "gradient": Look("#FBE4EC", "#B3003B", "rounded,filled,dashed", width=1.3),
    "share": Look("#FBE4EC", "#B3003B", "filled,dashed", "note", 1.2),
    "backward": Look("#F3C9D8", "#B3003B", "filled,dashed", width=1.8),
}

#: The frame around a time step.
FRAME = {"style": "rounded,filled", "fillcolor": "#F7F7F7", "color": "#B3B3B3"}

#: Edges: colour, thickness, dashes.
STROKES: Mapping[str, tuple[str, float, str]] = {
    "flow": (GREY, 1.0, "solid"),
    "h": ("#0072B2", 2.0, "solid"),
    "c": ("#D55E00", 2.6, "solid"),
    "feedback": ("#8A4F77", 1.4, "dashed"),
    "weight": ("#857A00", 1.2, "solid"),
    "gradient": ("#B3003B", 1.5, "solid"),
    "uses": ("#8c8c8c", 0.8, "dotted"),
    "elided": ("#8c8c8c", 1.2, "dotted"),
}

_SUBSCRIPTS = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
_SUPERSCRIPTS = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")


def subscript(number: int) -> str:
    """The number in Unicode subscript digits: plain text, so every renderer and search box can read it."""
    return str(number).translate(_SUBSCRIPTS)


def superscript(number: int | str) -> str:
    """The number in Unicode superscript digits."""
    return str(number).translate(_SUPERSCRIPTS)


def with_small_numbers(name: str) -> str:
    """``concat_3`` as ``concat₃``."""
    return re.sub(r"_(\d+)", lambda number: subscript(int(number[1])), name)


# Text ----------------------------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""User text on one line: a newline as ``\n``, other control characters and what XML forbids as ``\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


#: Control characters, separators of lines, marks that turn the text around, and what is no character at all.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def elided(text: str, limit: int) -> str:
    """At most ``limit`` characters, the middle left out."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def shown(text: str, limit: int) -> str:
    """User text on one line of at most ``limit`` characters, however long it was."""
    return elided(visible(elided(text, limit)), limit)


def escape(text: str) -> str:
    r"""Text for a DOT label that comes out as it is: no ``\N``, no ``&amp;``; lines kept."""
    return "\\n".join(line.replace("&", "&amp;").replace("\\", "\\\\") for line in text.split("\n"))


def escape_tooltip(text: str) -> str:
    """Text for a DOT tooltip, whose escapes Graphviz resolves twice."""
    return "\\n".join(line.replace("&", "&amp;").replace("\\", "\\" * 4) for line in text.split("\n"))


# Advance widths in thousandths of the font size, of Helvetica or of DejaVu Sans, whichever is wider: where a reader's
# machine has no Helvetica, text must still be inside its box. Boxes are sized before anything is drawn.
_WIDTHS = {
    **dict.fromkeys("ijlI'|.,:;/\\ ·", 340),
    **dict.fromkeys("tfJ!₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", 420),
    **dict.fromkeys('r()[]-`"', 460),
    **dict.fromkeys("BEPSVXYZTFLK", 720),
    **dict.fromkeys("wCDHNRUAOQG&", 820),
    **dict.fromkeys("+=<>×−⊙⊘", 840),
    **dict.fromkeys("mM", 980),
    **dict.fromkeys("W@%…", 1000),
}


def text_width(text: str, size: float) -> float:
    """Width in points, on the safe side."""
    return sum(_WIDTHS.get(c) or (640 if ord(c) < 0x2190 else 1000) for c in text) * size / 1000


# Numbers -------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three significant digits at most, a true minus sign, no exponent where it can be helped."""
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    text = (
        f"{value:.2g}" if 1e-3 <= abs(value) < 99.5 else f"{value:.0f}" if 99.5 <= abs(value) < 1e5 else f"{value:.1e}"
    )
    return re.sub(r"e([+-])0*(\d+)", r"e\1\2", text).replace("e+", "e").replace("-", "−")


def share(part: float) -> str:
    """The contribution of a time step to a shared weight's gradient as a part of the whole; all add up to 100%.

    >>> share(-0.4344)
    '−43.4%'
    """
    return f"{100 * part:+.1f}%".replace("-", "−")


def slice_text(part: slice) -> str:
    """``1:3`` or ``::2``, as it was written."""
    ends = ["" if bound is None else str(bound) for bound in (part.start, part.stop)]
    return ":".join(ends) + ("" if part.step is None else f":{part.step}")


def index_text(index: Iterable[object]) -> str:
    """The text in the brackets of an index; of an array of places only that it is one.

    >>> index_text((slice(None), slice(3, 6), ..., 0))
    ':, 3:6, …, 0'
    """
    return ", ".join(
        slice_text(part)
        if isinstance(part, slice)
        else "…"
        if part is Ellipsis
        else str(part)
        if isinstance(part, int)
        else "places"
        for part in index
    )


def column_of_numbers(values: Any) -> list[str]:
    """A short vector, one number a line, all with two decimals where none of them would vanish."""
    numbers = [float(v) for v in values]
    finite = all(map(np.isfinite, numbers))
    whole = finite and all(v == round(v) and abs(v) < 1000 for v in numbers)
    plain = finite and all(v == 0 or 0.005 <= abs(v) < 100 for v in numbers)
    return [f"{v:.0f}" if whole else f"{v:.2f}".replace("-", "−") if plain else number(v) for v in numbers]


def array_text(value: Any) -> str:
    """An array for a tooltip, on one line; the middle of a large one is left out."""
    array = np.asarray(value)
    return elided(_nested(array, array.size > 24), 480)


def _nested(array: Any, large: bool) -> str:
    if not array.ndim:
        return f"{array:.4g}" if array.dtype.kind == "f" else str(array)
    if large and len(array) > 6:
        parts = [_nested(x, large) for x in array[:3]] + ["…"] + [_nested(x, large) for x in array[-3:]]
    elif array.ndim == 1 and array.dtype.kind == "f":
        parts = [f"{x:.4g}" for x in array.tolist()]
    else:
        parts = [_nested(x, large) for x in array]
    return f"[{', '.join(parts)}]"


# Formulas ------------------------------------------------------------------------------------------------

_COMMANDS = {
    "left": "",  # of brackets
    "right": "",
    "odot": "⊙",
    "oslash": "⊘",
    "sum": "Σ",
    "top": "ᵀ",
    "sigma": "σ",
    "cos": "cos",
    "sin": "sin",
    "log": "log",
    "lnot": "¬",
    "ge": "≥",
    "le": "≤",
    "textstyle": "",
    "mathbf": "",
    "partial": "∂",
    "neq": "≠",
    "times": "×",
    "cdot": "·",
    "sqrt": "√",
    "pi": "π",
}


@cache
def unicode_formula(latex: str) -> str:
    r"""A primitive's rule as plain text: ``\bar x = \bar y \odot (1 - y^2)`` becomes ``∂L/∂x = ∂L/∂y ⊙ (1 − y²)``."""
    text = re.sub(r"\\bar\s*(\w)\^\\top", r"(∂L/∂\1)ᵀ", latex)
    text = re.sub(r"\\bar\s*\{?(\w)\}?", r"∂L/∂\1", text)
    text = text.replace(r"^\top", "ᵀ").replace(r"\,", " ").replace(r"\#", "#").replace("-", "−")
    text = re.sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1/\2)", text)
    text = re.sub(r"\\(?:text|operatorname|mathrel)\s*\{([^}]*)\}", r"\1", text)
    text = re.sub(r"\\([a-zA-Z]+)", lambda m: _COMMANDS.get(m[1], m[1]), text)
    text = re.sub(r"\^(\{[^}]*\}|\w)", lambda m: _raised(m[1].strip("{}")), text)
    text = re.sub(r"_\{(\[\w+\])\}", r"\1", text)
    text = re.sub(r"_\{([^}]*)\}", lambda m: f"_({re.sub(' ', '', m[1])})", text)
    return re.sub(r"\s+", " ", re.sub(r"[{}]", "", text)).strip()


def _raised(text: str) -> str:
    digits = text.replace("−", "-")
    if re.fullmatch(r"[0-9+-]+", digits):
        return digits.translate(_SUPERSCRIPTS)
    return f"^{text}" if len(text) == 1 else f"^({text})"


# Sizes ---------------------------------------------------------------------------------------------------

FONT_SIZE = {"cell": 13.0, "gate": 10.5, "op": 10.0}


def box_size(kind: str, lines: list[str], detail: str) -> tuple[float, float]:
    """Width and height in points of a box that holds these lines."""
    size = FONT_SIZE[detail]
    width = max(text_width(line, size) for line in lines) + (22 if kind in ("loss", "parameter", "share") else 14)
    height = 1.2 * size * len(lines) + (10 if detail == "cell" else 7)
    if kind in ("cell", "backward"):
        return max(width, 54.0), max(height, 54.0)
    return max(width, 3.2 * size), height
