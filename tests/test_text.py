"""Text as numbers: vocabularies, files, windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.character_model.text import Vocabulary, read_text, split, windows


@given(st.text(min_size=1))
def test_decode_undoes_encode(text: str) -> None:
    vocabulary = Vocabulary.of(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert sorted(vocabulary.characters) == sorted(set(text))


def test_an_unknown_character_is_named_with_its_place() -> None:
    with pytest.raises(tg.DataError, match=r"'x' \(position 2\)"):
        Vocabulary("helo").encode("hexe")


@pytest.mark.parametrize("characters", ["", "aa"])
def test_a_vocabulary_has_each_character_once(characters: str) -> None:
    with pytest.raises(tg.DataError, match="each of them once"):
        Vocabulary(characters)


def test_files_are_utf8_with_any_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffnaïve\r\n✓".encode())
    assert read_text(tmp_path / "a.txt") == "naïve\n✓"


def test_the_default_text_is_real_and_long() -> None:
    assert len(read_text(None)) > 100_000


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 200))
def test_windows_continue_each_stream(batch: int, length: int, extra: int) -> None:
    text = np.arange(batch * length + 1 + extra)
    pairs = windows(text, batch, length)
    inputs = np.concatenate([x for x, _ in pairs])
    targets = np.concatenate([y for _, y in pairs])
    assert all(x.shape == (length, batch) for x, _ in pairs)
    assert (targets == inputs + 1).all()
    assert (np.diff(inputs, axis=0) == 1).all()  # the state may be carried over from window to window
    assert len(np.unique(inputs)) == inputs.size
    assert len(text) - 1 - inputs.size < batch * (2 * length)


def test_too_little_text_says_how_much_is_needed() -> None:
    with pytest.raises(tg.DataError, match="13 are needed"):
        windows(np.arange(12), 3, 4)


def test_split_keeps_order_and_everything() -> None:
    first, second = split(np.arange(10), 0.3)
    assert first.tolist() == list(range(7)) and second.tolist() == [7, 8, 9]
