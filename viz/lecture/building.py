"""Run the programs, keep what has not changed, have the page written."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from html import escape
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import tinygrad_rnn as tg
from tinygrad_rnn.errors import DataError, TinygradError
from tinygrad_rnn.files import write_atomically
from tinygrad_rnn.optional_packages import needed

from ..graph.png_pdf import svg_to_pdf, svg_to_png
from .page import page, size
from .programs import Result, Runner
from .topics import TOPICS, Topic
from .translation import Translation

_HERE = Path(__file__).parent
#: in an installed package the programs are beside this file, in a checkout they are at its top
EXAMPLES = next((p for p in (_HERE / "examples", _HERE.parents[1] / "examples") if p.is_dir()), _HERE / "examples")
SCREEN = 2560  #: pixels across a PNG, if that is not less than its own size or more than twice as many


def build(
    out: str | Path,
    topics: Sequence[Topic] = TOPICS,
    done: Callable[[Topic], None] = lambda topic: None,
    labels: Translation | None = None,
) -> list[str]:
    """Write ``out/index.html`` and the files it shows; returns what went wrong, one line a topic.

    Two programs run at a time. What was made by the same program and the same version of this package is kept, in
    English too, so that other words need no program to run.
    ``done`` is called after each topic. With ``labels`` page and figures are in another language. Raises `DataError`
    if the folder cannot be written.
    """
    with needed("the lecture's page", "lecture"):  # said before all programs have run, not after
        import jinja2  # noqa: F401
        import pygments  # noqa: F401
    labels = labels or Translation({})
    folder = Path(out)
    kept, writing = _kept(folder), Lock()
    idle: SimpleQueue[Runner] = SimpleQueue()
    _keep(folder, kept)

    def make(topic: Topic) -> Result:
        if not topic.program:
            done(topic)
            return Result("")
        key, words = _key(topic), _words(topic, labels)
        result = kept.get(topic.program)
        if result is None or result.key != key or not all((folder / f).is_file() for f in result.english):
            runner = idle.get()
            try:
                result = _run(topic, key, folder, runner)
            finally:
                idle.put(runner)
        if not result.problem and (result.words != words or not all((folder / f).is_file() for f in result.files)):
            result = replace(result, files=_taken(result, folder, topic, labels), words=words)
            with writing:  # at once: an interruption loses only what was being made
                kept[topic.program] = result
                _keep(folder, kept)
        done(topic)
        return result

    with closing(Runner()) as one, closing(Runner()) as other, ThreadPoolExecutor(2) as pool:
        idle.put(one)
        idle.put(other)
        try:
            # from the end, where the long ones are: started last, one of them would run alone
            results = list(pool.map(make, reversed(topics)))[::-1]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            one.stop()
            other.stop()
            raise
    made = [(topic, EXAMPLES / topic.program, result) for topic, result in zip(topics, results)]
    write_atomically(folder / "index.html", page(made, folder, labels).encode())
    return [f"{topic.title}: {result.problem}" for topic, result in zip(topics, results) if result.problem]


def figure(out: str | Path, name: str, labels: Translation | None = None) -> list[Path]:
    """Write one figure of a topic alone, as ``out/name.svg``, ``.png`` and ``.pdf``; returns these paths.

    Raises `DataError` if its program fails or the folder cannot be written.
    """
    topic = next(topic for topic in TOPICS if name in topic.captions)
    with tempfile.TemporaryDirectory() as temporary, closing(Runner()) as runner:
        result = _run(topic, "", Path(temporary), runner, only=name)
        if result.problem:
            raise DataError(f"{name}: {result.problem}")
        files = _taken(result, Path(temporary), topic, labels or Translation({}))
        written = [Path(out) / Path(file).name for file in files]
        for file, path in zip(files, written):
            write_atomically(path, (Path(temporary) / file).read_bytes())
    return written


def _kept(folder: Path) -> dict[str, Result]:
    try:
        saved = json.loads((folder / "lecture.json").read_text("utf-8"))
        lists = ("english", "files")
        found = {p: Result(**{**of, **{name: tuple(of[name]) for name in lists}}) for p, of in saved.items()}
        safe = re.compile(r"(figures|debugger|english)/[\w-]+\.\w+")
        return {p: r for p, r in found.items() if all(map(safe.fullmatch, (*r.english, *r.files)))}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}  # nothing there, or nothing to be trusted: make it anew


def _keep(folder: Path, kept: dict[str, Result]) -> None:
    state = {program: asdict(result) for program, result in kept.items()}
    write_atomically(folder / "lecture.json", json.dumps(state, indent=1).encode())


def _words(topic: Topic, labels: Translation) -> str:
    """A digest of what is said of the figures, and of the language."""
    told = topic.title, sorted(topic.captions.items()), sorted(labels.table.items())
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _key(topic: Topic) -> str:
    """A digest of the program, of what stands beside it and of this package."""
    digest = hashlib.sha256(repr((topic.program, sys.version_info[:2])).encode())
    program = EXAMPLES / topic.program
    shared = [EXAMPLES / name for name in ("common.py", "plots.py", "digits.py", "gradient_flow/lab.py")]
    shared += sorted(program.parent.glob("*.py")) if program.parent.name in ("tasks", "cells") else []
    package = sorted(Path(tg.__file__).parent.rglob("*.py"))
    code = (".py", ".js", ".css", ".html")  # the debugger's pages are made of all four
    drawing = [p for p in sorted(_HERE.parent.rglob("*")) if p.suffix in code and _HERE not in p.parents]
    for path in [program, *shared, *package, *drawing]:
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(topic: Topic, key: str, folder: Path, runner: Runner, only: str = "") -> Result:
    """Run a topic's program in a process of its own, in a folder of its own, and take over what it wrote.

    ``only``: nothing but the figure of that name.
    """
    program = EXAMPLES / topic.program
    if not program.is_file():
        return Result(key, problem=f"its program {program} is missing; install the package again")
    if re.search(r"^from (sklearn|digits)\b", program.read_text("utf-8"), re.M) and find_spec("sklearn") is None:
        return Result(key, problem="needs scikit-learn, which has the digits: pip install 'tinygrad_rnn[lecture]'")
    with tempfile.TemporaryDirectory() as temporary:
        printed, problem = runner.run(program, Path(temporary))
        if problem:
            return Result(key, problem=problem)
        written = sorted((Path(temporary) / "out").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        if only:
            written = [path for path in written if path.name == f"{only}.svg"]
            if not written:
                return Result(key, problem=f"{topic.program} did not draw it")
        rooms = {".html": "debugger", ".svg": "english"}
        kept = {f"{rooms[path.suffix]}/{path.name}": path.read_bytes() for path in written if path.suffix in rooms}
        _write(folder, kept)
    return Result(key, _told(printed), tuple(kept))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        for name, data in files.items():
            write_atomically(folder / name, data)
    except TinygradError:
        raise
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror}") from None


def _taken(result: Result, folder: Path, topic: Topic, labels: Translation) -> tuple[str, ...]:
    """The files for the page of what a program wrote."""
    return tuple(name for file in result.english for name in _take(folder / file, folder, topic, labels))


def _take(path: Path, folder: Path, topic: Topic, labels: Translation) -> list[str]:
    """A figure becomes three files, for the page, for slides and for paper; a debugger's page stays what it is."""
    made: dict[str, bytes] = {}
    if path.suffix == ".html":
        return [f"debugger/{path.name}"]
    if path.suffix == ".svg":
        svg = labels.drawn(path.read_text("utf-8"))
        about = escape(f"{labels(topic.title)}: {labels(topic.captions.get(path.stem, path.stem))}", quote=True)
        told = f'<svg role="img" aria-label="{about}" '  # what a screen reader says of it
        svg = re.sub(r'<svg (role="img" aria-label="[^"]*" )?', lambda _: told, svg, count=1)
        zoom = min(2.0, max(1.0, SCREEN / max(1, size(svg)[0])))
        for suffix, data in ((".svg", svg.encode()), (".png", svg_to_png(svg, zoom)), (".pdf", svg_to_pdf(svg))):
            made[f"figures/{path.stem}{suffix}"] = data
    _write(folder, made)
    return list(made)


def _told(printed: str) -> str:
    """The text that a program printed, without progress bars and the names of the files it wrote."""
    lines = [line.rstrip() for line in printed.splitlines()]
    return "\n".join(line for line in lines if line and "━" not in line and not re.fullmatch(r"out/\S+", line))
