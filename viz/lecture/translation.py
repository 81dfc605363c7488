"""The lecture in another language: a table from every English text, on the page and in figures, to its translation."""

from __future__ import annotations

import json
import re
import tomllib
from html import escape, unescape
from pathlib import Path

from tinygrad_rnn.errors import DataError
from tinygrad_rnn.files import write_atomically

_TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
_SIZE = re.compile(r"(font-size=\"|font-size: |font: (?:\w+ )*?)([\d.]+)")
_NUMBER = re.compile(r"(?<![\w.])\d[\d.]*(?:e[-−]?\d+)?(?!\w)")
#: what is called the same in every language: parameters, such as W_hy weight or head.weight, and functions
_NAME = re.compile(
    r"\b\w+(?:[_.]\w+)+(?: (?:weight|bias)\b)?|\w+[₀-₉]"
    r"|\b(?:tanh|exp|max|relu|softplus|softmax|argmax|\w*(?:RNN|GRU|LSTM))\b"
)
_WORD = re.compile(r"[A-Za-z]{2}")  #: a text without two letters on end is a number or a symbol: h₃


class Translation:
    """A table of translations; what it lacks stays English, and is noted in ``missing``."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table
        self.missing: dict[str, None] = {}  #: texts without a translation, in the order they were met

    @classmethod
    def read(cls, path: Path) -> Translation:
        """From a TOML file of lines ``"English" = "translation"``. Raises `DataError` for what is not."""
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not TOML: {error}") from None
        wrong = next((key for key, value in table.items() if not isinstance(value, str)), None)
        if wrong is not None:
            raise DataError(f'{path}: {wrong[:40]!r} is not a text; each line should read "English" = "translation"')
        return cls(table)

    def __call__(self, text: str) -> str:
        """Its translation, or itself.

        >>> Translation({"Summary": "Zusammenfassung"})("Summary")
        'Zusammenfassung'
        """
        if text not in self.table and _WORD.search(_NAME.sub("", text)):
            self.missing[text] = None
        return self.table.get(text, text)

    def label(self, text: str) -> str:
        """The translation of what stands in a figure, part by part where two spaces are between.

        A line of the table is for all numbers: each # stands for one of them, in their order.

        >>> Translation({"# of # seeds": "# von # Läufen"}).label("t = 1  3 of 10 seeds")
        't = 1  3 von 10 Läufen'
        """
        *parts, last = re.split(r"(,?\s{2,})", text)
        return "".join(self._part(part) + between for part, between in zip(parts[::2], parts[1::2])) + self._part(last)

    def _part(self, text: str) -> str:
        if text in self.table:
            return self.table[text]
        numbers = iter(_NUMBER.findall(text))
        return re.sub("#", lambda found: next(numbers, found[0]), self(_NUMBER.sub("#", text)))

    def drawn(self, svg: str) -> str:
        """A figure with its texts translated; a longer one is set in smaller letters, so that it fits its box."""

        def translate(found: re.Match[str]) -> str:
            start, raw, end = found.groups()
            english = unescape(raw).replace("\xa0", " ").strip()
            text = self.label(english)
            if text == english:
                return found[0]
            shrunk = min(1.0, max(0.6, _width(english) / max(1, _width(text))))  # smaller cannot be read
            start = _SIZE.sub(lambda size: f"{size[1]}{float(size[2]) * shrunk:.2f}", start, count=1)
            return start + escape(text.replace("  ", "\xa0 ")) + end

        return _TEXT.sub(translate, svg)

    def save(self, path: Path) -> None:
        """Write a table to start a translation from: what is translated, then what is missing, as itself."""
        rows = {**self.table, **{text: text for text in self.missing}}
        lines = (
            f"{json.dumps(english, ensure_ascii=False)} = {json.dumps(text, ensure_ascii=False)}\n"
            for english, text in rows.items()
        )  # a JSON string is a TOML string
        write_atomically(path, "".join(lines).encode())


def _width(text: str) -> float:
    """About how wide a text is, in letters."""
    return sum(0.55 if letter in " fijlrt.,:;|()‘’" else 1 for letter in text)
