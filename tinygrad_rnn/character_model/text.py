"""Text as numbers: a vocabulary of characters, reading files, and the windows of truncated BPTT."""

from __future__ import annotations

import codecs
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import answering
from ..errors import DataError
from ..files import PathLike
from ..operation_errors import short

Indices = npt.NDArray[np.int64]
#: bytes of a text file; a file without end, such as a device, is not read into memory until there is none
LIMIT = 1 << 30


@dataclass(frozen=True)
class Vocabulary:
    """The characters a model knows, each with its index.

    >>> vocabulary = Vocabulary.of("hello")
    >>> vocabulary.characters
    'helo'
    >>> vocabulary.encode("hole").tolist()
    [0, 3, 2, 1]
    >>> vocabulary.decode([0, 1, 2, 2, 3])
    'hello'
    """

    characters: str

    def __post_init__(self) -> None:
        if len(set(self.characters)) != len(self.characters) or not self.characters:
            raise DataError("a vocabulary needs at least one character, and each of them once")
        half = next((c for c in self.characters if "\ud800" <= c <= "\udfff"), None)
        if half is not None:
            raise DataError(f"{half!r} is half a character (a lone surrogate); read the text with its own encoding")

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The distinct characters of ``text``, in order of first appearance."""
        return cls("".join(dict.fromkeys(text)))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Indices:
        """The index of every character."""
        known, codes = _codes(self.characters), _codes(text)
        index = np.full(max(known.max(), codes.max(initial=0)) + 1, -1)
        index[known] = np.arange(len(known))
        indices: Indices = index[codes]
        if (indices < 0).any():
            position = int(np.argmin(indices))
            raise DataError(
                f"character {text[position]!r} (position {position}) is not in the model's vocabulary; "
                f"it knows {short(repr(self.characters), 80)}"
            )
        return indices

    def decode(self, indices: Iterable[Any]) -> str:
        """The characters at ``indices``."""
        return "".join(self.characters[int(i)] for i in indices)


def _codes(text: str) -> Indices:
    """The Unicode number of every character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)


def read_text(path: PathLike | None) -> str:
    """The UTF-8 text of a file; without one, English that every Python ships: its own help topics."""
    if path is None:
        topics = importlib.import_module("pydoc_data.topics").topics
        return "\n".join(topics[key] for key in sorted(topics))
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise DataError(f"{path} is larger than {LIMIT >> 20} MiB; train on a part of it")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        start = error.start + 3 * content.startswith(codecs.BOM_UTF8)
        raise DataError(
            f"{path} is not UTF-8: byte {start} is 0x{content[start]:02x}; convert it to UTF-8 first"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def windows(indices: Indices, batch: int, length: int) -> list[tuple[Indices, Indices]]:
    """Inputs and next-character targets, (length, batch) each, for stateful truncated BPTT.

    The text is cut in ``batch`` streams; a window continues each stream where the one before ended, so the state can
    be carried over. What does not fill the last window is left out.
    """
    count = (len(indices) - 1) // batch // length if batch > 0 and length > 0 else 0
    if count < 1:
        raise DataError(
            f"the text has {len(indices)} characters, too few for {batch} streams of {length} steps "
            f"({batch * length + 1} are needed); give more text, or a smaller batch or sequence length"
        )
    used = batch * count * length
    x, y = (indices[offset : offset + used].reshape(batch, count * length).T for offset in (0, 1))
    return [(x[i : i + length], y[i : i + length]) for i in range(0, count * length, length)]


def split(indices: Indices, validation: float) -> tuple[Indices, Indices]:
    """The first part to train on, the last ``validation`` share of the text to judge by."""
    cut = len(indices) - int(len(indices) * validation)
    return indices[:cut], indices[cut:]


answering(globals())
