"""Builds the documentation site: ``python docs/site/build.py`` gathers the pages in out/docs, the site is out/site.

Pages are Markdown files below docs/. Three kinds are made here: the reference (every public name, from its docstring),
the table of primitives (from their records, and docs/accuracy.md) and the gallery (from the
pictures in docs/images, and those that examples/gallery draws).
A link to a file outside docs/ becomes a page with that file's text, so that the site works offline from one folder.
Needs ``pip install 'tinygrad_rnn[docs]'``.
"""

from __future__ import annotations

import importlib
import inspect
import json
import posixpath
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[2]
DOCS, PAGES, SITE = ROOT / "docs", ROOT / "out/docs", ROOT / "out/site"

#: a page of the reference: its title, a sentence, and the modules whose public names it lists
REFERENCE = {
    "tinygrad_rnn": ("tinygrad_rnn", "Usually imported as `tg`. What stands in every example.", ["tinygrad_rnn"]),
    "tensor": ("Tensor", "Every method and operator of a tensor.",
               ["tinygrad_rnn.Tensor", "tinygrad_rnn.operators.Operators", "tinygrad_rnn.composed_methods.Composed",
                "tinygrad_rnn.pytorch_methods.PyTorchMethods"]),
    "nn": ("nn", "Layers and cells.", ["tinygrad_rnn.nn"]),
    "functional": ("nn.functional, nn.init, nn.utils", "Losses, activations, initial values, clipping.",
                   ["tinygrad_rnn.nn.functional", "tinygrad_rnn.nn.init", "tinygrad_rnn.nn.utils"]),
    "optim": ("optim", "Update rules, schedules, moving averages.",
              ["tinygrad_rnn.optim", "tinygrad_rnn.optim.lr_scheduler", "tinygrad_rnn.optim.swa_utils"]),
    "training": ("data and training", "Batches, texts, the lecture's tasks and networks, training with checkpoints.",
                 ["tinygrad_rnn.data", "tinygrad_rnn.synthetic_tasks", "tinygrad_rnn.sequence_patterns",
                  *(f"tinygrad_rnn.character_model.{name}" for name in ("text", "model", "training", "checkpoint"))]),
    "graph": ("Graphs", "The recorded computation as a thing to hold, and what repeats in it.",
              ["tinygrad_rnn.graph", "tinygrad_rnn.recurrence.repeats"]),
    "viz": ("viz", "Pictures, the debugger, equations, gradient flow.",
            ["viz", "viz.debugger", "viz.equations", "viz.gradient_flow"]),
    "check": ("Checking and diagnosing", "Proofs of gradients, for your own operations and test suites too.",
              ["tinygrad_rnn.check", "tinygrad_rnn.diagnosis", "tinygrad_rnn.testing"]),
    "interchange": ("interchange", "Models from and to PyTorch, ONNX and JAX; weights in other libraries' files.",
                    ["tinygrad_rnn.interchange"]),
}  # fmt: skip

#: pages that are made here
MADE = {"docs/gallery.md", "docs/reference/primitives.md", *(f"docs/reference/{page}.md" for page in REFERENCE)}

#: files outside docs/ that are shown as code, by their ending
LANGUAGES = {".py": "python", ".sh": "bash", ".toml": "toml", ".txt": "text", ".json": "json", ".html": "html"}


def public_names(module: str) -> list[str]:
    """What a module offers: its ``__all__``, or else the functions and classes that are defined in it."""
    holder = importlib.import_module(module)
    if hasattr(holder, "__all__"):
        return sorted(name for name in holder.__all__ if not inspect.ismodule(vars(holder).get(name)))
    return [
        name
        for name, value in vars(holder).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module and callable(value)
    ]


def entry(module: str, name: str) -> str:
    """What asks for the documentation of a name; NumPy's dtypes are documented by NumPy."""
    value = vars(importlib.import_module(module)).get(name)
    return f"## {name}\n\nThe dtype `{value!r}`.\n" if isinstance(value, np.dtype) else f"::: {module}.{name}\n"


def reference() -> Iterable[tuple[str, str]]:
    for page, (title, sentence, modules) in REFERENCE.items():
        parts = [f"# {title}\n\n{sentence}\n"]
        for module in modules:
            if module.rpartition(".")[2][0].isupper():  # a class by itself
                parts.append(f"::: {module}\n")
                continue
            if len(modules) > 1:
                parts.append(f"# {module} {{ .module }}\n")
            parts += [
                entry(module, name) for name in public_names(module) if f"{module}.{name}" != "tinygrad_rnn.Tensor"
            ]
        yield f"reference/{page}.md", "\n".join(parts)


def worst_errors() -> dict[str, str]:
    """Of every primitive the worst error in docs/accuracy.md, in float32 and float64: of its value, of its rules."""
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line in (DOCS / "accuracy.md").read_text().splitlines():
        found = re.match(r"\| `(\w+)`, (value|rule)[^|]*\|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|", line)
        if found:
            single, double = [
                max((float(cell) for cell in cells if re.fullmatch(r"\s*[\d.e+-]+\s*", cell)), default=0.0)
                for cells in (found.groups()[2:4], found.groups()[4:6])
            ]
            rows.setdefault((found[1], found[2]), []).append((single, double))
    return {
        name: "; ".join(
            f"{kind} {max(a for a, _ in rows[name, kind]):.3g} / {max(b for _, b in rows[name, kind]):.3g}"
            for kind in ("value", "rule")
            if (name, kind) in rows
        )
        for name in {name for name, _ in rows}
    }


PRIMITIVES = """---
hide: [toc]
---

# Primitives

Every operation of the engine. All others are composed of these. The derivative's rule is written for the result y and
its gradient ȳ. *Worst error* is in units in the last place, float32 / float64, eager or compiled, whichever is larger;
[Digits](../accuracy.md) says of what.

<div class="wide"><table><thead><tr>
<th>name</th><th>drawn as</th><th>value</th><th>rule</th><th>worst error</th>
</tr></thead><tbody>{rows}</tbody></table></div>
"""


def primitives() -> str:
    from tinygrad_rnn import TABLE

    errors = worst_errors()
    rows = []
    for name, record in TABLE.items():
        rules = "<br>".join(convert(rule) for rule in record.rule if rule) or "no gradient"
        value = f"<code>{escape(value_of(record.reference))}</code>"
        cells = (f"<code>{name}</code>", escape(record.symbol), value, rules, errors.get(name, ""))
        rows.append(f"<tr id='{name}'>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return PRIMITIVES.format(rows="".join(rows))


def value_of(reference: Callable[..., object]) -> str:
    """A record's reference as it is written: its one expression, or the name of its function."""
    name = getattr(reference, "__name__", "")
    if name != "<lambda>":
        if hasattr(reference, "__code__"):
            return name
        module = getattr(reference, "__module__", "numpy")  # NumPy 2.1's functions of elements say none
        return f"{'operator' if module == '_operator' else 'np'}.{name}"
    code = inspect.getsource(reference)
    start = code.index("lambda", code.find("reference=") + 1)
    depth, end = 0, start
    for end, letter in enumerate(code[start:], start):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or (depth == 0 and letter == "," and ":" in code[start:end]):
            break
    return " ".join(code[start:end].split(":", 1)[1].split())


def gallery() -> str:
    parts = ["# Gallery\n\nEvery picture here is made by a program of the project.\n"]
    for line in (DOCS / "site/gallery.txt").read_text().splitlines():
        name, title, words = re.split(": |; ", line, maxsplit=2)
        (image,) = [path.name for path in (DOCS / "images").iterdir() if path.stem == name and path.suffix != ".py"]
        parts.append(
            f"## {title}\n\n{words[0].upper()}{words[1:]}.\n\n![{title}: {words}](images/{image}){{ .figure }}\n"
        )
    parts.append(
        "## Networks of no catalogue\n\nRecurrent networks as people write them; most say nothing of time or state.\n"
    )
    table = (ROOT / "examples/gallery/README.md").read_text()
    for name, words in re.findall(r"^\| ([a-z-]+) \| (.+) \|$", table, re.M)[1:]:
        parts.append(
            f"### {name}\n\n{words[0].upper()}{words[1:]}.\n\n![{name}](images/gallery/{name}-cell.svg){{ .figure }}\n"
        )
    return "\n".join(parts)


def draw_networks(pages_folder: Path = PAGES) -> None:
    """The pictures of examples/gallery, drawn by its program."""
    program, folder = ROOT / "examples/gallery/run.py", pages_folder / "images/gallery"
    subprocess.run(
        [sys.executable, program, "--detail", "cell", "--out", folder], check=True, stdout=subprocess.DEVNULL
    )


def linked(page: str, text: str, copied: dict[str, str]) -> str:
    """The page's text with links to files outside docs/ turned to pages that show them."""

    def turn(found: re.Match[str]) -> str:
        target, _, anchor = found[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        path = (DOCS / posixpath.dirname(page) / target).resolve()
        if (path / "README.md").is_file():
            path /= "README.md"
        here = (
            "source/" + page.removeprefix("../") if page.startswith("../") else page
        )  # where the linking page will stand
        if not (path.exists() or path.relative_to(ROOT).as_posix() in MADE):
            raise SystemExit(f"docs/{page}: the link to {found[2]} leads nowhere")
        if path.is_relative_to(DOCS) and path.suffix in {".md", ".svg", ".png", ".webp"}:
            back = posixpath.relpath(path.relative_to(DOCS), posixpath.dirname(here) or ".")
            return f"{found[1]}({back}{'#' + anchor if anchor else ''})"
        inside = path.relative_to(ROOT).as_posix()
        name = f"source/{inside}{'/index.md' if path.is_dir() else '' if path.suffix in {'.md', '.svg'} else '.md'}"
        if name not in copied:
            copied[name] = ""  # entered first, as files may link to each other
            copied[name] = shown(path, inside, copied)
        back = posixpath.relpath(name, posixpath.dirname(here) or ".")
        return f"{found[1]}({back}{'#' + anchor if anchor else ''})"

    return re.sub(r"(\[[^\]]*\])\(([^)\s]+)\)", turn, text)


def shown(path: Path, inside: str, copied: dict[str, str]) -> str:
    """The page for a file or folder outside docs/: a text, picture or notebook as it is, any other file as code."""
    if path.is_dir():
        inner = [each for each in sorted(path.iterdir()) if each.suffix in LANGUAGES]
        return linked(
            f"../{inside}/index",
            f"# {inside}\n\n" + "\n".join(f"- [{each.name}]({each.name})" for each in inner),
            copied,
        )
    if path.suffix == ".md":
        return linked(f"../{inside}", path.read_text(), copied)
    if path.suffix == ".svg":
        return path.read_text()
    if path.suffix == ".ipynb":
        return notebook(path, inside, copied)
    fence = "`" * 5
    return f"# {inside}\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n{fence}\n"


def notebook(path: Path, inside: str, copied: dict[str, str]) -> str:
    """A notebook with what it put out, as a page; its pictures are entered in ``copied``."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text", ())})
            if "image/svg+xml" in data:
                picture = f"{inside}-{len(copied)}.svg"
                copied[f"source/{picture}"] = "".join(data["image/svg+xml"])
                parts.append(f"![what the cell shows]({posixpath.basename(picture)}){{ .figure }}")
            else:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    return "\n\n".join(parts)


def gather(pages_folder: Path = PAGES) -> None:
    """Write every page of the site into a folder; a link that leads nowhere ends it."""
    shutil.rmtree(pages_folder, ignore_errors=True)
    shutil.copytree(
        DOCS, pages_folder, ignore=shutil.ignore_patterns("site", "formats", "transcripts", "*.py", "*.ipynb")
    )
    shutil.copy(DOCS / "site/site.css", pages_folder)
    made = {"gallery.md": gallery(), "reference/primitives.md": primitives(), **dict(reference())}
    copied: dict[str, str] = {}
    written = {path.relative_to(DOCS).as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
    pages = {page: linked(page, text, copied) for page, text in written.items()}
    pages["dialects.md"] = f"---\nhide: [toc]\n---\n\n{pages['dialects.md']}"  # its tables take all the width there is
    for page, text in {**pages, **made, **copied}.items():
        place = pages_folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


#: the pages ask a server for this script, by which a browser searches without a server (MIT licence)
SHIM, SHIM_URL = "iframe-worker@1.0.4", "https://unpkg.com/iframe-worker/shim"


def put_shim_inside() -> None:
    """Fetch the script that the pages would load from the network, and let them load it from the site's own folder."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["npm", "pack", "--silent", SHIM], cwd=folder, check=True, capture_output=True, timeout=120)
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
                script = package.extractfile("package/shim/index.js")
                assert script is not None
                (SITE / "assets/javascripts/iframe-worker.js").write_bytes(script.read())
        except (OSError, subprocess.SubprocessError) as problem:
            raise SystemExit(f"search without a server needs {SHIM}, which npm could not fetch: {problem}") from None
    for page in SITE.rglob("*.html"):
        up = "../" * len(page.relative_to(SITE).parent.parts)
        page.write_text(page.read_text().replace(SHIM_URL, f"{up}assets/javascripts/iframe-worker.js"))


class Page(HTMLParser):
    """Where a page leads, and the places in it that can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in {"href", "src"}:
                self.targets.append(value)
            elif value and name in {"id", "name"}:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Every link of a built site that leads nowhere in its folder: to no file, or to no such place in a page."""
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            to = (path.parent / unquote(url.path)).resolve() if url.path else path
            to = to / "index.html" if to.is_dir() else to
            there = to.is_relative_to(site) and to.is_file()
            if not there or (url.fragment and to in pages and unquote(url.fragment) not in pages[to].anchors):
                dead.append(f"{path.relative_to(site)}: the link to {target} leads nowhere")
    return dead


if __name__ == "__main__":
    gather()
    draw_networks()
    shutil.rmtree(SITE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT, check=True)
    (SITE / "404.html").unlink()  # what a server shows for a page that is not there; a folder has no server
    put_shim_inside()
    if dead := dead_links(SITE):
        raise SystemExit("\n".join(dead))
