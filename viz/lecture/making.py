"""Run the programs, keep what has not changed, write the page."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.errors import DataError, TinygradError
from tinygrad_rnn.files import write_atomically

from ..convert import svg_to_pdf, svg_to_png
from .topics import TOPICS, Topic

_HERE = Path(__file__).parent
#: in an installed package the programs are beside this file, in a checkout they are at its top
EXAMPLES = next((p for p in (_HERE / "examples", _HERE.parents[1] / "examples") if p.is_dir()), _HERE / "examples")
SMALLEST = 0.8  #: pixels for a point of a figure's own size
SECONDS = 600  #: a program may take so long


@dataclass
class Result:
    """What a topic's program left behind."""

    key: str  #: of everything it depends on: the same key, the same result
    printed: str = ""
    figures: tuple[str, ...] = ()  #: names of SVG files, in the order they were written
    problem: str = ""  #: why there is nothing


def build(
    out: str | Path, topics: Sequence[Topic] = TOPICS, done: Callable[[Topic], None] = lambda topic: None
) -> list[str]:
    """Write ``out/index.html`` and the files it shows; returns what went wrong, one line a topic.

    Two programs run at a time. What was made by the same program and the same version of this package is kept.
    ``done`` is called after each topic. Raises `DataError` if the folder cannot be written.
    """
    folder = Path(out)
    kept, writing = _kept(folder), Lock()
    _keep(folder, kept)

    def make(topic: Topic) -> Result:
        key = _key(topic)
        result = kept.get(topic.program)
        if result is None or result.key != key or not all((folder / "figures" / f).exists() for f in result.figures):
            result = _run(topic, key, folder)
            if not result.problem:
                with writing:  # at once: an interruption loses only what was being made
                    kept[topic.program] = result
                    _keep(folder, kept)
        done(topic)
        return result

    with ThreadPoolExecutor(2) as pool:
        try:
            results = list(pool.map(make, topics))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    write_atomically(folder / "index.html", _page(topics, results, folder).encode())
    return [f"{topic.title}: {result.problem}" for topic, result in zip(topics, results) if result.problem]


def _kept(folder: Path) -> dict[str, Result]:
    try:
        saved = json.loads((folder / "lecture.json").read_text())
        return {program: Result(**{**of, "figures": tuple(of["figures"])}) for program, of in saved.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # nothing there, or nothing to be trusted: make it anew


def _keep(folder: Path, kept: dict[str, Result]) -> None:
    state = {program: asdict(result) for program, result in kept.items()}
    write_atomically(folder / "lecture.json", json.dumps(state, indent=1).encode())


def _key(topic: Topic) -> str:
    """A digest of the program, of what stands beside it, and of this package."""
    digest = hashlib.sha256(repr((topic.program, sys.version_info[:2])).encode())
    program = EXAMPLES / topic.program
    shared = [EXAMPLES / name for name in ("common.py", "plots.py", "digits.py", "gradient_flow/lab.py")]
    package = sorted(Path(tg.__file__).parent.rglob("*.py"))
    drawing = [p for p in sorted(_HERE.parent.rglob("*.py")) if _HERE not in p.parents]
    for path in [program, *shared, *package, *drawing]:
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(topic: Topic, key: str, folder: Path) -> Result:
    """Run a topic's program in a process of its own, in a folder of its own, and take over what it wrote."""
    program = EXAMPLES / topic.program
    if not program.is_file():
        return Result(key, problem=f"its program {program} is missing; install the package again")
    needed = "sklearn" if "sklearn" in program.read_text() or "digits" in program.read_text() else ""
    if needed and find_spec(needed) is None:
        return Result(key, problem="needs scikit-learn, which has the digits: pip install scikit-learn")
    settings = {"COLUMNS": "92", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    packages = os.pathsep.join([str(_HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, str(program), "--out", "out"]
        environment = {**os.environ, **settings, "PYTHONPATH": packages}
        try:
            ran = subprocess.run(
                command, cwd=temporary, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Result(key, problem=f"took longer than {SECONDS} s")
        if ran.returncode:
            reason = (ran.stderr.strip() or ran.stdout.strip() or "it gave no reason").splitlines()[-1]
            return Result(key, problem=f"its program failed: {reason[:300]}")
        made = sorted((Path(temporary) / "out").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        try:
            for path in made:
                _take(path, folder)
        except TinygradError:
            raise
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from None
    figures = tuple(path.name for path in made if path.suffix == ".svg")
    return Result(key, _told(ran.stdout), figures)


def _take(path: Path, folder: Path) -> None:
    """A figure becomes three files, for the page, for slides and for paper; a debugger's page stays what it is."""
    if path.suffix == ".html":
        write_atomically(folder / "debugger" / path.name, path.read_bytes())
    elif path.suffix == ".svg":
        svg, target = path.read_text(), folder / "figures" / path.name
        write_atomically(target, svg.encode())
        write_atomically(target.with_suffix(".png"), svg_to_png(svg))
        write_atomically(target.with_suffix(".pdf"), svg_to_pdf(svg))


def _told(printed: str) -> str:
    """What a program printed, without progress bars and the names of the files it wrote."""
    lines = [line.rstrip() for line in printed.splitlines()]
    return "\n".join(line for line in lines if line and "━" not in line and not re.fullmatch(r"out/\S+", line))


def _width(figure: Path) -> int:
    """Pixels below which the text in a figure is too small to read; a narrower window scrolls it sideways."""
    found = re.search(r'<svg[^>]*?\bwidth="([\d.]+)(pt|px)?"', figure.read_text()[:2000])
    return int(float(found[1]) * SMALLEST) if found else 0


def _page(topics: Sequence[Topic], results: Sequence[Result], folder: Path) -> str:
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    from ..debugger.mathml import mathml

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    formatter = HtmlFormatter(nowrap=True)
    sections: list[dict[str, Any]] = []
    for topic, result in zip(topics, results):
        program = EXAMPLES / topic.program
        code = program.read_text() if program.is_file() else ""
        sections.append(
            {
                "topic": topic,
                "result": result,
                "slug": Path(topic.program).stem,
                "formula": Markup(mathml(topic.formula)) if topic.formula else "",
                "code": Markup(highlight(code, PythonLexer(), formatter)),
                "figures": [
                    (name, Path(name).stem.replace("-", " "), _width(folder / "figures" / name))
                    for name in result.figures
                ],
                "walk": topic.walk if (folder / "debugger" / topic.walk.partition("#")[0]).is_file() else "",
            }
        )
    colours = {name: Markup(HtmlFormatter(style=name).get_style_defs(".code")) for name in ("default", "github-dark")}
    return environment.get_template("page.html").render(sections=sections, colours=colours, version=tg.__version__)
