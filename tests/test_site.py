"""The documentation: its programs run, its links lead somewhere, every public name is looked up in it."""

import fnmatch
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
PAGES = [
    path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if BLOCKS.search(path.read_text())
]


@pytest.fixture(scope="module")
def build():
    specification = importlib.util.spec_from_file_location("build_site", ROOT / "docs/site/build.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


#: Starts a process for each folder that it is told, in which page.py runs as a reader would run it. Only what all pages
#: imports is there already: it is imported once, not once a page.
READER = """
import matplotlib.figure, os, sys, runpy, traceback
import tinygrad_rnn, viz

for folder in map(str.strip, sys.stdin):
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(folder)
    os.dup2(os.open("answers", os.O_RDONLY), 0)
    os.dup2(os.open("shown", os.O_CREAT | os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.stdin, sys.argv, sys.path[0] = open(0, closefd=False), ["page.py"], folder
    failed = 0
    try:
        runpy.run_path("page.py", run_name="__main__")
    except BaseException:
        failed = 1
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(failed)
"""


@pytest.fixture(scope="module")
def reader():
    # not this process: what other tests have imported is not there for a reader either
    with subprocess.Popen(
        [sys.executable, "-c", READER],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def read(folder: Path) -> None:
            print(folder, file=process.stdin, flush=True)
            assert process.stdout.readline() == "0\n", (folder / "shown").read_text()

        yield read


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_pages_programs_run_from_first_to_last(page, reader, tmp_path):
    program = "".join(BLOCKS.findall(page.read_text()))
    for framework in re.findall(r"^import (torch|jax|onnx)\b", program, re.MULTILINE):
        if not importlib.util.find_spec(framework):
            pytest.skip(f"{framework} is not installed")
    (tmp_path / "page.py").write_text(program)
    (tmp_path / "answers").write_text("next\nquit\n")
    reader(tmp_path)
    # every file that the page writes is there
    written = set(re.findall(r"""(?:render|flow|html|save)\((?:\w+, )?"([^"]+)""", program))
    assert [name for name in written if not (tmp_path / name).exists()] == []


def test_a_page_whose_program_fails_is_noticed(reader, tmp_path):
    (tmp_path / "answers").touch()
    (tmp_path / "page.py").write_text("import viz\ntg.ones(2)")  # a name from another page
    with pytest.raises(AssertionError, match="NameError: name 'tg' is not defined"):
        reader(tmp_path)


def test_every_block_of_python_is_marked_as_one_that_runs():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            assert language == "python" or not re.search(r"^(>>> )?(import|from) ", block, re.MULTILINE), (path, block)


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


def test_a_built_sites_dead_links_are_named(build, tmp_path):
    (tmp_path / "a.html").write_text("<a href='b/c.html#here'>1</a><a href='#top' id='top'>2</a><a href='b'>3</a>")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/index.html").write_text("<a href='https://elsewhere.example'>1</a><img src='../none.svg'>")
    (tmp_path / "b/c.html").write_text("<p id='here'><a href='../a.html#bottom'>1</a><a href='/a.html'>2</a>")
    assert [
        line.replace(": the link to ", " ").removesuffix(" leads nowhere") for line in build.dead_links(tmp_path)
    ] == [
        "b/c.html ../a.html#bottom",
        "b/c.html /a.html",
        "b/index.html ../none.svg",
    ]


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


def test_what_is_missing_of_pytorchs_layers_and_optimizers_is_listed_with_the_reason():
    torch = pytest.importorskip("torch", reason="what is in PyTorch is asked of it")
    text = (ROOT / "docs/from-pytorch.md").read_text()
    said = " ".join(re.findall(r"`([^`]+)`", text[text.index("## There, a little") :]))
    listed = re.findall(r"[\w*]*\w[\w*]*", said)
    base = torch.nn.Module
    theirs = {
        (tg.nn, "nn"): [n for n, x in vars(torch.nn).items() if isinstance(x, type) and issubclass(x, base)],
        (tg.optim, "optim"): [n for n, x in vars(torch.optim).items() if isinstance(x, type)],
        (tg.lr_scheduler, "lr"): [n for n, x in vars(torch.optim.lr_scheduler).items()
                                  if isinstance(x, type) and x.__module__ == "torch.optim.lr_scheduler"],
        (tg.nn.init, "init"): [n for n in dir(torch.nn.init) if n.endswith("_") and n[0] != "_"],
        (tg.nn.utils.rnn, "rnn"): [n for n in dir(torch.nn.utils.rnn) if n.endswith(("Sequence", "_sequence"))],
    }  # fmt: skip
    for (ours, where), names in theirs.items():
        unsaid = [n for n in names if not hasattr(ours, n) and not any(fnmatch.fnmatch(n, w) for w in listed)]
        assert names and not [n for n in unsaid if not n.startswith("_") and n != "NoneType"], where


def test_the_tests_that_the_docs_name_are_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/interchange.md").read_text()))
    written = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert named and not [name for name in named if f"def {name}(" not in written]
