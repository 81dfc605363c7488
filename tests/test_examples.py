"""Every example learns what it says it learns, from a fixed seed and in fewer steps than it takes by itself."""

from __future__ import annotations

import functools
import importlib
import re
import runpy
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from viz.debugger import Session

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports an example as its own directory would have it, and forgets it afterwards."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that steps through a network takes longer than to train it; what it is, tests of its own say."""
    monkeypatch.setattr(Session, "html", lambda self, path, **options: Path(path).touch())


def drawn(folder: Path) -> set[str]:
    """The names of the pictures in a folder, each of them well-formed."""
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    return {path.stem for path in folder.glob("*.svg")}


@pytest.mark.parametrize(
    ("name", "steps", "accuracy"), [("one_to_one", 200, 0.85), ("one_to_many", 300, 0.8), ("many_to_one", 150, 0.8)]
)
@pytest.mark.usefixtures("no_pages")
def test_digits(name: str, steps: int, accuracy: float, example: Callable[[str], Any], tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    assert example(name).main(steps=steps, out=tmp_path) > accuracy
    assert name.replace("_", "-") in drawn(tmp_path)


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("hello.py", ["--steps", "-1"], "argument --steps: '-1' is not a whole number from 0 on"),
        ("hello.py", ["--seed", "x"], "argument --seed: 'x' is not a whole number from 0 on"),
        ("tasks/one_seed.py", ["--seed", "-1"], "argument --seed: -1 is below 0"),
    ],
)
def test_arguments_that_make_no_sense(
    program: str,
    arguments: list[str],
    message: str,
    example: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.syspath_prepend((EXAMPLES / program).parent)
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLES / program), run_name="__main__")
    assert capsys.readouterr().err.strip().endswith(message)


def test_hello_is_spelt(example: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert example("hello").main(steps=60, out=tmp_path) == "hello"
    assert drawn(tmp_path) >= {"hello", "hello-before", "hello-after", "hello-sampling", "hello-softmax"}
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"after 10 steps, drawn by its probabilities, fed back:( \w{5})+ hello", said)
    table = (tmp_path / "hello-softmax.svg").read_text()
    chosen = [float(p) for p in re.findall(r"<text[^>]*font(?:-weight)?: 700[^>]*>(\d\.\d+)<", table)]
    assert len(chosen) == 4 and max(chosen) < 0.9 and min(chosen) < 0.5  # drawn: one of them is not the likeliest


def test_a_row_of_the_embedding_is_a_product(example: Callable[[str], Any], tmp_path: Path) -> None:
    assert example("hello").a_column_is_a_product(tmp_path) is True


@pytest.mark.usefixtures("no_pages")
def test_frames_are_labelled_by_memory_alone(example: Callable[[str], Any], tmp_path: Path) -> None:
    with_memory, without = example("frame_labels").main(steps=500, out=tmp_path)
    assert with_memory > 0.8 and without < 0.45
    assert drawn(tmp_path) >= {"frame-labels", "frame-labels-with-memory", "frame-labels-without-memory"}


def test_contributions_of_the_time_steps_are_the_gradient(example: Callable[[str], Any], tmp_path: Path) -> None:
    assert example("bptt").main(steps=5, out=tmp_path) == 0
    assert (tmp_path / "bptt.html").is_file()


def test_equations_are_the_engines(example: Callable[[str], Any], tmp_path: Path) -> None:
    assert example("equations").main(out=tmp_path) < 1e-6
    assert drawn(tmp_path) == {"equations-rnn", "equations-lstm"}


@pytest.mark.usefixtures("no_pages")
def test_a_network_s_size_does_not_depend_on_the_length(example: Callable[[str], Any], tmp_path: Path) -> None:
    assert len(set(example("recurrence").main(out=tmp_path))) == 1
    example("patterns").main(out=tmp_path)
    assert len(drawn(tmp_path)) == 7


def test_gates_learn_hello(example: Callable[[str], Any], tmp_path: Path) -> None:
    assert example("gates").main(steps=120, out=tmp_path) == ["hello", "hello"]


@pytest.mark.usefixtures("no_pages")
def test_text_is_classified(example: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("text_classification")
    monkeypatch.setattr(module, "LENGTH", 20)  # compiles, and is drawn, faster than 40 characters
    assert module.main(steps=150, out=tmp_path) > 0.8
    assert drawn(tmp_path) >= {"text-classification", "text-classification-beliefs"}


@pytest.mark.usefixtures("no_pages")
def test_additions_are_answered(example: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("seq2seq")
    monkeypatch.setattr(module, "Adder", functools.partial(module.Adder, hidden=64))
    assert module.main(steps=600, out=tmp_path, digits=1) > 0.7
    assert drawn(tmp_path) >= {"seq2seq", "seq2seq-writing"}


@pytest.mark.usefixtures("no_pages")
def test_characters_are_predicted(
    example: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example("char_model")
    monkeypatch.setattr(module, "LENGTH", 12)  # compiles faster than 50 steps
    monkeypatch.setattr(module, "READ", 800)
    losses = module.main(steps=120, out=tmp_path)  # the text is Python's help, of 104 or, from 3.14 on, 140 characters
    assert losses.keys() == {"RNN", "GRU", "LSTM"}
    assert max(losses.values()) < 4.1  # bits; the text's own frequencies of characters give 4.7
    assert drawn(tmp_path) >= {"char-model", "char-model-loss", "char-model-line-length", "char-model-quotes"}
