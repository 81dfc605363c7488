"""The base install brings what the first command needs; every other package is an extra, and its absence says which."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import parsed

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: modules that are called otherwise than the package that brings them
PACKAGES = {"sklearn": "scikit-learn", "scipy_openblas32": "scipy-openblas32", "resvg_py": "resvg-py"}
#: what comes with another package by definition
WITH = {"llvmlite": "numba", "google": "onnx", "jaxlib": "jax"}
#: rooms that are entered through one guarded door only, whose extra this is; `WANTS` below knocks at each door
ROOMS = {
    "tinygrad_rnn/kernels.py": "compile", "tinygrad_rnn/kernel_cache.py": "compile",
    "tinygrad_rnn/compiler/entry_points.py": "compile", "tinygrad_rnn/compiler/instructions/": "compile",
    "tinygrad_rnn/compiler/machine_code.py": "compile",
    "tinygrad_rnn/interchange/pytorch/": "torch", "tinygrad_rnn/interchange/jaxprs/": "jax",
    "tinygrad_rnn/interchange/weights/files.py": "onnx", "tinygrad_rnn/interchange/onnx/": "onnx",
    "viz/lecture/programs.py": "lecture",
}  # fmt: skip
#: these look at programs of a framework that is there already, or it would have no program
PRESENT = {
    "tinygrad_rnn/testing/assertions.py": {"torch", "jax"},
    "tinygrad_rnn/testing/fuzz_target.py": {"fuzz-settings"},  # a module that the fuzzer itself makes
}


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", each)[0].lower().replace("_", "-") for each in requirements}


def extra(name: str) -> set[str]:
    """The packages of an extra, with those of the extras in it."""
    found = set()
    for each in PROJECT["optional-dependencies"][name]:
        inner = re.match(r"tinygrad_rnn\[(.*?)\]", each)
        found |= set().union(*map(extra, inner[1].split(","))) if inner else names([each])
    return found


BASE = names(PROJECT["dependencies"])
EVERY = set().union(*map(extra, PROJECT["optional-dependencies"]))


def imports(tree: ast.AST, guard: str | None = None) -> Iterator[tuple[str, str | None, int]]:
    """Every imported top-level name, the extra that a `with needed(..., extra)` around it names, and the line."""
    for node in ast.iter_child_nodes(tree):
        inside = guard
        if isinstance(node, ast.With):
            call = node.items[0].context_expr
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "needed":
                inside = call.args[1].value if len(call.args) > 1 else ""  # of what this project requires
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "framework" and len(node.args) == 2:
            yield node.args[0].value.partition(".")[0], node.args[1].value, node.lineno
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], guard, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0], guard, node.lineno
        if not isinstance(node, ast.expr) or isinstance(node, ast.Call):  # in an expression only a call can import
            yield from imports(node, inside)


def foreign(folder: str) -> Iterator[tuple[str, str, str | None, int]]:
    """Every import of a package that is neither ours nor Python's: its file, the package, the extra named, the line."""
    files = sorted((ROOT / folder).rglob("*.py"))
    ours = {p.stem for p in files}
    for path in files:
        for name, guard, line in imports(parsed(path.read_text("utf-8"))):
            if name in sys.stdlib_module_names or name in ("tinygrad_rnn", "viz", "__future__"):
                continue
            if folder == "examples" and name in ours:
                continue
            package = PACKAGES.get(WITH.get(name, name), WITH.get(name, name)).lower().replace("_", "-")
            yield path.relative_to(ROOT).as_posix(), package, guard, line


@pytest.mark.parametrize("folder", ["tinygrad_rnn", "viz"])
def test_every_optional_import_names_the_extra_that_brings_it(folder):
    wrong, seen = [], 0
    for file, package, guard, line in foreign(folder):
        if package in BASE or package in PRESENT.get(file, ()):
            continue
        room = next((name for start, name in ROOMS.items() if file.startswith(start)), None)
        seen += 1
        if package not in (extra(guard or room) if guard or room else ()):
            wrong.append(f"{file}:{line} imports {package} without an extra that has it ({guard or room})")
    assert not wrong and seen > 5


def test_what_examples_import_is_declared():
    # of real models, which install them or say how to get them
    elsewhere = {"onnxruntime", "hypothesis", "g2p-en", "g2pm", "tf-keras", "paddle", "dynet"}
    assert {package for _, package, _, _ in foreign("examples")} <= BASE | EVERY | elsewhere


def test_every_bound_is_a_lower_one_and_no_extra_repeats_the_base():
    requirements = [*PROJECT["dependencies"], *(r for e in PROJECT["optional-dependencies"].values() for r in e)]
    for each in requirements:
        assert re.match(r"tinygrad_rnn\[", each) or re.match(r"[\w.-]+>=[\d.]+", each), each
    assert not BASE & EVERY


#: what is done without a package, and the extra its error has to name; all in one process
WANTS = {
    "tg.compile(lambda x: x * 2)(np.ones(3))": "compile",
    "tg.save({'x': tg.ones(2)}, 'x.safetensors')": "save",
    "import tinygrad_rnn.character_model.checkpoint": "save",
    "tg.interchange.save_weights(tg.nn.LSTM(2, 3), 'torch.lstm', 'x.safetensors')": "save",
    "tg.viz.flow(loss(), 'x.svg')": "plot",
    "tg.viz.render(loss(), 'x.pdf')": "pdf",
    "from tinygrad_rnn.viz.graph.png_pdf import svg_to_png; svg_to_png('<svg/>')": "png",
    "tg.viz.debug(loss()).html('x.html')": "html",
    "tg.viz.derive(loss()).save('x.html')": "html",
    "from tinygrad_rnn.viz.lecture import build; build('x', [])": "lecture",
    "from tinygrad_rnn.viz.lecture import TOPICS, build; build('x', TOPICS[:1], print)": "lecture",  # before it runs
    "tg.interchange.from_torch(None)": "torch",
    "tg.interchange.from_onnx('x.onnx')": "onnx",
    "tg.interchange.from_jax(None)": "jax",
    "import tinygrad_rnn.testing.strategies": "test",
}
ABSENT = f"""
import sys, os, tempfile
class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
BLOCKED = {sorted({m for m, p in PACKAGES.items()} | {"llvmlite"} | {p.replace("-", "_") for p in EVERY})!r}
sys.meta_path.insert(0, Only())
os.chdir(tempfile.mkdtemp())
import numpy as np
import tinygrad_rnn as tg
import tinygrad_rnn.interchange
def loss():
    cell, h, total = tg.nn.RNNCell(2, 2), None, 0.0
    for t in tg.steps(3):
        h = cell(tg.ones(1, 2), h)
        total = total + h.sum()
    return total
wants = {list(WANTS)!r}
for program in wants:
    try:
        exec(program)
        print("no error")
    except tg.TinygradError as error:
        print(str(error).replace(chr(10), " NEWLINE "))
    except BaseException as error:
        print("not ours:", repr(error))
"""


def test_without_a_package_one_line_names_its_extra():
    done = subprocess.run([sys.executable, "-c", ABSENT], text=True, capture_output=True, timeout=120)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and len(said) == len(WANTS), done.stderr
    wrong = [
        (program, line) for (program, name), line in zip(WANTS.items(), said) if f"tinygrad_rnn[{name}]" not in line
    ]
    assert not wrong


def script() -> list[str]:
    """The command as an installed script calls it."""
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["tinygrad-rnn"].split(
        ":"
    )
    return ["-c", f"from {module} import {function}; {function}()"]


@pytest.mark.parametrize("way", [["-m", "tinygrad_rnn"], script()], ids=["module", "script"])
def test_the_command_without_its_packages_says_so_in_one_line(tmp_path, way):
    """Of the base install's packages a checkout may have NumPy only."""
    for package in ("click", "rich"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no', name={package!r})")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, *way, "demo"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=60, env=environment)
    said = "Error: the command tinygrad-rnn needs click, which is not installed; pip install tinygrad_rnn\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


BASE_ONLY = f"""
import sys
class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
BLOCKED = {sorted({m for m, p in PACKAGES.items()} | {"llvmlite"} | {p.replace("-", "_") for p in EVERY} - {"pygments"})!r}
sys.meta_path.insert(0, Only())
sys.argv = ["tinygrad-rnn", "demo", "-o", sys.argv[1]]
from tinygrad_rnn.cli import main
main()
"""  # noqa: E501


def test_the_first_command_needs_the_base_install_only(tmp_path):
    done = subprocess.run([sys.executable, "-c", BASE_ONLY, str(tmp_path)], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {f"hello-{n}.svg" for n in ("rnn", "lstm", "backward")}
