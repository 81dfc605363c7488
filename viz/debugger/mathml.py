r"""A primitive's rule as MathML, which browsers typeset by themselves.

The rules use a small part of LaTeX: ``\bar W = \bar y^\top x``. What is not known is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_SIGNS = {
    "odot": "⊙", "oslash": "⊘", "sum": "∑", "cdot": "·", "times": "×", "ge": "≥", "le": "≤", "lnot": "¬",
    "partial": "∂", "top": "⊤", "ne": "≠", "leftarrow": "←", "ldots": "…",
}  # fmt: skip
_LETTERS = {"sigma": "σ"} | {name: name for name in ("cos", "sin", "log", "exp", "tanh", "max", "min")}
_WORDS = {"text": "mtext", "operatorname": "mi", "mathrel": "mo"}
LIMIT = 20_000  #: characters
_SPACES = (r"\,", r"\;", r"\textstyle", r"\left", r"\right")
_TOKEN = re.compile(
    r"\\(?:text|operatorname|mathrel)\s*\{(?:\\.|[^{}\\])*\}|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|[^\s\\]", re.DOTALL
)


def mathml(latex: str) -> str:
    r"""``\bar x = y^2`` as a ``<math>`` element. Any text may be given: it is escaped.

    >>> mathml(r"\bar x = y^2")
    '<math><mover><mi>x</mi><mo>¯</mo></mover><mo>=</mo><msup><mi>y</mi><mn>2</mn></msup></math>'
    """
    tokens = _TOKEN.findall(latex[:LIMIT].replace(r"\mathrel{+}=", r"\mathrel{+=}"))
    return f"<math>{_row(iter(tokens), '')}</math>"


def _row(tokens: Iterator[str], end: str) -> str:
    """The signs up to ``end``, with what stands above and below them."""
    parts: list[str] = []
    for token in tokens:
        if token == end:
            break
        if token in ("^", "_"):
            base = parts.pop() if parts else "<mrow></mrow>"
            over = "<mo>∑</mo>" in base[:20]  # a sum has its bounds above and below
            tag = ("mover" if over else "msup") if token == "^" else ("munder" if over else "msub")
            parts.append(f"<{tag}>{base}{_atom(next(tokens, ''), tokens)}</{tag}>")
        elif token not in _SPACES:
            parts.append(_atom(token, tokens))
    return "".join(parts)


def _atom(token: str, tokens: Iterator[str]) -> str:
    """One sign, or a group of them."""
    if token == "{":
        return f"<mrow>{_row(tokens, '}')}</mrow>"
    if token == r"\bar":
        return f"<mover>{_atom(next(tokens, ''), tokens)}<mo>¯</mo></mover>"
    if token == r"\frac":
        return f"<mfrac>{_atom(next(tokens, ''), tokens)}{_atom(next(tokens, ''), tokens)}</mfrac>"
    if token == r"\mathbf":
        bold = next(tokens, "")
        bold = "".join(iter(lambda: next(tokens, "}"), "}")) if bold == "{" else bold
        return f'<mn mathvariant="bold">{escape(bold)}</mn>'
    command, brace, words = token[1:].partition("{")
    if token.startswith("\\") and brace:
        tag = _WORDS[command.strip()]
        plain = re.sub(r"\\(.)", r"\1", words[:-1])
        return f"<{tag}>{escape(plain)}</{tag}>"
    if token.startswith("\\"):
        letters = _LETTERS.get(command)
        return f"<mi>{letters}</mi>" if letters else f"<mo>{escape(_SIGNS.get(command, command))}</mo>"
    if token[:1].isdigit():
        return f"<mn>{token}</mn>"
    return f"<mi>{escape(token)}</mi>" if token.isalpha() else f"<mo>{escape(token.replace('-', '−'))}</mo>"
