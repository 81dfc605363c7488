"""The tables of docs/dialects.md: ``python tests/dialects_document.py`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from tinygrad_rnn.interchange.weights import DIALECTS, Dialect, Part

PAGE = Path(__file__).parents[1] / "docs" / "dialects.md"

_AXES = {"h": "H", "i": "I", "j": "H", "k": "I+H", "p": "P", "d": "D", "l": "L", "t": "2", "1": "1"}


def updated(document: str) -> str:
    """The page with the tables of its sections LSTM, GRU and RNN written anew."""
    return re.sub(
        r"(^## (LSTM|GRU|RNN)\n\n)(\|.*\n)+", lambda m: m[1] + _table(m[2].lower()), document, flags=re.MULTILINE
    )


def _table(cell: str) -> str:
    lines = ["| dialect | library | arrays | gates | differs | state | past the end |", "|---|---|---|---|---|---|---|"]
    lines += [_row(each) for each in DIALECTS.values() if each.cell == cell]
    return "\n".join([*lines, ""])


def _row(dialect: Dialect) -> str:
    ends = [f"`{value}`" for value in dialect.lengths.values()]
    columns = [
        f"`{dialect.name}`",
        dialect.library,
        _arrays(dialect),
        "" if dialect.cell == "rnn" else dialect.gates,
        "; ".join(_differences(dialect)),
        dialect.state,
        ", ".join(ends),
    ]
    return f"| {' | '.join(columns)} |"


def _arrays(dialect: Dialect) -> str:
    """Names with shapes; arrays of one shape, one a gate, together."""
    by_shape: dict[str, list[str]] = {}
    for part in dialect.parts:
        by_shape.setdefault(_shape(part), []).append(part.name)
    shown = [f"`{' '.join(names)}` ({shape})" for shape, names in by_shape.items()]
    return ", ".join(shown) + (f", all in one vector `{dialect.vector}`" if dialect.flat else "")


def _shape(part: Part) -> str:
    gates = len(part.atoms) // (2 if part.spans("t") else 1)
    sizes = {**_AXES, "g": str(gates)}
    axes = []
    for group in part.groups:
        numbers = [int(sizes[x]) for x in group if sizes[x].isdigit()]
        letters = [sizes[x] for x in group if not sizes[x].isdigit()]
        product = 1
        for number in numbers:
            product *= number
        axes.append(("" if product == 1 and letters else str(product)) + "".join(letters))
    return ", ".join(axes)


def _differences(dialect: Dialect) -> list[str]:
    found = []
    if not any(kind in ("b", "bx") for part in dialect.parts for kind, _ in part.atoms):
        found.append("no bias")
    elif not dialect.has("bh"):
        found.append("one bias")
    elif dialect.has("b") or (dialect.cell == "gru" and _halves(dialect) == {"n"}):
        found.append("a second bias for n only")
    if dialect.forget_offset:
        found.append(f"adds {dialect.forget_offset:g} to f")
    if dialect.flip:
        found.append("`h' = (1 - z) h + z n`")
    if dialect.shared:
        found.append("r = z")
    if dialect.layer.get("reset") == "before":
        found.append("resets before the product")
    if "activations" in dialect.layer:
        found.append("hard sigmoids of slope 0.2")
    if "nonlinearity" in dialect.layer:
        found.append(f"{dialect.layer['nonlinearity']} by default")
    return found + ([dialect.note] if dialect.note else [])


def _halves(dialect: Dialect) -> set[str]:
    return {gate for part in dialect.parts for kind, gate in part.atoms if kind == "bh"}


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), encoding="utf-8")
