"""What the documentation shows is run: the examples in docstrings; what it names is there."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import tinygrad_rnn
import viz

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
ROOT = Path(__file__).parent.parent
TOP = ("tinygrad_rnn", "viz", "tests", "examples", "docs")
MODULES = [
    name
    for package in (tinygrad_rnn, viz)
    for name in (
        package.__name__,
        *(found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", lambda _name: None)),
    )
    if not name.endswith("__main__")
    and all(
        importlib.util.find_spec(framework) or not name.startswith(f"tinygrad_rnn.interchange.{package}")
        for package, framework in {
            "pytorch": "torch",
            "onnx": "onnx",
            "jaxprs": "jax",
            "export.xla": "jax",
            "export.onnx_file": "onnx",
            "export.state_dict": "torch",
        }.items()
    )
]


@pytest.fixture(autouse=True)
def primitives_of_the_examples_are_forgotten():
    before = dict(tinygrad_rnn.TABLE)
    yield
    for name in tinygrad_rnn.TABLE.keys() - before.keys():
        del tinygrad_rnn.TABLE[name]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    for framework in re.findall(r">>> import (torch|jax|onnx)\b", Path(module.__file__).read_text()):
        pytest.importorskip(framework, reason=f"its examples import {framework}")
    failed, _ = doctest.testmod(module, optionflags=OPTIONS)
    assert not failed


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/engine.md", "docs/design.md"])
def test_the_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", text)) | set(re.findall(r"(?<![\w/.*])([\w/]+\.py)\b", text))
    there = [p for part in ("tinygrad_rnn", "viz", "tests", "examples") for p in (ROOT / part).rglob("*")]
    places = [
        f"/{p.relative_to(ROOT).as_posix()}{'/' if p.is_dir() else ''}" for p in [*map(ROOT.joinpath, TOP), *there]
    ]
    missing = [name for name in named - {"script.py", "model.py"} if not any(p.endswith(f"/{name}") for p in places)]
    assert named and not missing


def test_the_reading_path_is_an_evening():
    """The README names the files to read, in order; those of the engine itself are less than 3,000 lines."""
    text = (ROOT / "README.md").read_text().partition("## Read it in an evening")[2].partition("## The command")[0]
    path = re.findall(r"`([^`]+\.py)`", text.partition("`tinygrad_rnn/recurrence/repeats.py`")[0])
    parts = ["tensors.py", "record.py", "elementwise.py", "reverse_walk.py", "cells.py", "recurrent.py", "graph.py"]
    assert [Path(p).name for p in path] == parts
    assert sum(len((ROOT / p).read_text().splitlines()) for p in path) < 3000
