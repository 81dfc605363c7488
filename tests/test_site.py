"""The documentation: its programs run, its links lead somewhere, every public name is looked up in it."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_rnn as tg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples" / "gallery"))
from networks import NETWORKS  # noqa: E402

BLOCKS = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if BLOCKS.search(path.read_text())]


@pytest.fixture(scope="module")
def build():
    specification = importlib.util.spec_from_file_location("build_site", ROOT / "docs/site/build.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_pages_programs_run_from_first_to_last(page, tmp_path):
    program = "".join(BLOCKS.findall(page.read_text()))
    for framework in re.findall(r"^import (torch|jax|onnx)\b", program, re.MULTILINE):
        if not importlib.util.find_spec(framework):
            pytest.skip(f"{framework} is not installed")
    (tmp_path / "page.py").write_text(program)
    # in a process of its own: what other tests have imported is not there for a reader either
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="quit\n",
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere(build, tmp_path):
    build.gather(tmp_path / "pages")
    names = {path.relative_to(tmp_path / "pages").as_posix() for path in (tmp_path / "pages").rglob("*.*")}
    names |= {f"images/gallery/{name}-cell.svg" for name in NETWORKS}  # drawn when the site is built
    for page in (name for name in names if name.endswith(".md")):
        folder = os.path.dirname(page)
        text = re.sub(r"(`{3,}).*?\1", "", (tmp_path / "pages" / page).read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert "://" in target or os.path.normpath(os.path.join(folder, target)) in names, (page, target)
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert set(listed) <= names and len(listed) == len(set(listed))
    # what is written is to be found
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {
        "formats/README.md"
    } <= set(listed)


def test_a_link_that_leads_nowhere_is_named(build):
    with pytest.raises(SystemExit, match=r"docs/start/student\.md: the link to \.\./none\.md leads nowhere"):
        build.linked("start/student.md", "[see](../none.md)", {})


def test_every_public_name_is_in_the_reference(build):
    pages = "".join(text for _page, text in build.reference())
    for module in (tg, tg.nn):
        prefix = module.__name__
        for name in module.__all__:
            if not isinstance(getattr(module, name), type(tg)):
                assert f"::: {prefix}.{name}\n" in pages or f"## {name}\n" in pages, name


def test_the_reference_asks_for_names_that_are_there(build):
    for _title, _sentence, modules in build.REFERENCE.values():
        for module in (m for m in modules if not m.rpartition(".")[2][0].isupper()):
            if module == "tinygrad_rnn.interchange":  # each of its names imports a framework; tests/test_interchange_*
                continue
            holder = importlib.import_module(module)
            assert [name for name in build.public_names(module) if not hasattr(holder, name)] == [], module


def test_every_primitive_is_in_the_table(build):
    table = build.primitives()
    for name in tg.TABLE:
        assert f"<tr id='{name}'>" in table
    for module, name in re.findall(r"<code>(np|operator)\.(\w+)</code>", table):
        assert hasattr(importlib.import_module("numpy" if module == "np" else module), name), f"{module}.{name}"


def test_what_is_said_to_be_there_under_pytorchs_name_is_there():
    text = (ROOT / "docs/from-pytorch.md").read_text()
    rows = re.findall(r"^\| `(torch[\w.]*)`, `(tg[\w.]*)` \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) >= 7
    for theirs, ours, names in rows:
        place = eval(ours, {"tg": tg})
        for name in re.findall(r"`(\w+)`", names):
            assert hasattr(place, name), f"{ours}.{name}"
            if importlib.util.find_spec("torch"):
                import torch

                assert hasattr(eval(theirs, {"torch": torch}), name), f"{theirs}.{name}"


def test_the_tests_that_the_docs_name_are_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/interchange.md").read_text()))
    written = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert named and not [name for name in named if f"def {name}(" not in written]
