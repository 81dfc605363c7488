"""Every public name says what it takes, gives and refuses, and has an example; test_docs.py runs the examples."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import surface
from sources import parsed

import tinygrad_rnn as tg
import tinygrad_rnn.testing
import viz
from viz.debugger import Session, Trace

#: the classes that users hold
HELD = [tg.Tensor, tg.Graph, tg.GraphBuilder, tg.nn.Module, Session, Trace]
PLACES = [
    tg, *HELD, tg.nn, tg.nn.functional, tg.nn.init, tg.nn.utils, tg.optim, tg.lr_scheduler,
    tg.optim.swa_utils, tg.interchange, tinygrad_rnn.testing, viz,
]  # fmt: skip
#: said once, in the text of `tg.Tensor`, of the module, of `LRScheduler`, of `Session` and `Trace`: the operand, where
#: it lies, where one goes on, a node's number, a place in a walk; and twin words for one thing
KNOWN = {"self", "x", "dtype", "device", "requires_grad", "args", "kwargs", "last_epoch", "node", "position"}
TWINS = {"dim": "axis", "axis": "dim", "keepdim": "keepdims", "keepdims": "keepdim"}
#: numbers and tables, which have no docstring of their own
PLAIN = {
    "tg.TABLE", "tg.float32", "tg.float64", "tg.double", "tg.int32", "tg.int64", "tg.long", "interchange.DIALECTS",
    "testing.RECIPES",
}  # fmt: skip

#: for what makes graphs from graphs or tensors, inside the engine and in importers
INSIDE = {"GraphBuilder.enter", "GraphBuilder.tensor"}

#: words with which a description would be a question without its mark: "What `save` wrote", "How often it occurs"
RIDDLES = {"What", "How", "Where", "Who", "Which", "Whose", "When", "Why"}

ROOT = Path(__file__).parent.parent

#: what a user is given and never makes; the text says by whom
GIVEN = {"interchange.Imported", "interchange.JaxFunction", "interchange.OnnxModel", "viz.Picture"}


def methods(kind: type) -> list[str]:
    """What can be called on a tensor or a graph; properties are described where they stand."""
    routine = lambda x: inspect.isfunction(x) or inspect.ismethod(x)  # noqa: E731
    return [name for name in dir(kind) if not name.startswith("_") and routine(getattr(kind, name))]


def public() -> dict[str, Any]:
    """Every public function and class once, by the first place where it stands."""
    found: dict[str, Any] = {}
    for place in PLACES:
        short = "tg" if place is tg else place.__name__.rpartition(".")[2]
        for name in methods(place) if inspect.isclass(place) else surface.names(place):
            try:
                thing = getattr(place, name)
            except (tg.DataError, ImportError):  # of a framework that is not here
                continue
            known = any(thing is each for each in found.values())
            if not known and not inspect.ismodule(thing) and f"{short}.{name}" not in PLAIN:
                found[f"{short}.{name}"] = thing
    return found


def own_words(thing: Any) -> str:
    """Its docstring; a class's own, and what its constructor's adds."""
    if not inspect.isclass(thing):
        return inspect.getdoc(thing) or ""
    texts = [thing.__dict__.get("__doc__"), getattr(thing.__dict__.get("__init__"), "__doc__", None)]
    return "\n".join(inspect.cleandoc(text) for text in texts if text)


def examples(words: str) -> str:
    return "\n".join(line[4:] for line in words.splitlines() if line.startswith((">>> ", "... ")))


def constructed(kind: type) -> bool:
    """Whether it has a constructor that somebody wrote."""
    return "__init__" in kind.__dict__ and not hasattr(kind, "__dataclass_fields__") and not issubclass(kind, Exception)


def parameters(thing: Any) -> list[str]:
    """What a caller may give; fields of a dataclass or a tuple are described where they are declared."""
    if inspect.isclass(thing) and not constructed(thing):
        return []
    return [name for name in inspect.signature(thing).parameters if not name.startswith("_")]


def unsaid(thing: Any, words: str) -> list[str]:
    """Parameters that the text does not mention, alone or within a shape or a formula in backticks."""
    code = " ".join(re.findall(r"``?([^`]+)``?", words))
    said = lambda name: re.search(rf"(?<!\w){name}(?!\w)", code)  # noqa: E731
    return [
        name
        for name in parameters(thing)
        if name not in KNOWN and not said(name) and not (name in TWINS and said(TWINS[name]))
    ]


def raised(thing: Any) -> set[str]:
    """Errors of ours that the function's own lines raise."""
    if inspect.isclass(thing) and not constructed(thing):
        return set()
    function = inspect.unwrap(thing.__init__ if inspect.isclass(thing) else thing)
    tree = parsed(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    named = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    return {name for name in named if name.endswith("Error")}


PUBLIC = public()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_described_with_an_example(name):
    thing = PUBLIC[name]
    words, bare = own_words(thing), name.rpartition(".")[2]
    of_the_class = next((kind for kind in HELD if kind.__name__ == name.split(".")[0]), None)  # short ones share one
    shown = examples(words) or examples(own_words(of_the_class))
    assert shown, "no example"
    used = {bare, thing.__name__} & {*re.findall(r"\w+", shown)}
    assert inspect.isclass(thing) or name in INSIDE or used, "of another"
    assert words.split()[0] not in RIDDLES, "it begins as a question; say what the thing is"
    assert name in GIVEN or not unsaid(thing, words), "arguments that nothing is said about"
    assert all(f"{error}`" in words for error in raised(thing)), f"it does not say that it raises {raised(thing)}"


def test_a_missing_word_is_noticed():
    def scaled(x: float, factor: float) -> float:
        """``x`` times something."""
        if not factor:
            raise ArgumentError("factor is 0")  # noqa: F821
        return x * factor

    assert unsaid(scaled, own_words(scaled)) == ["factor"]
    assert raised(scaled) == {"ArgumentError"} and not examples(own_words(scaled))


def openings(text: str) -> Iterator[tuple[str, str]]:
    """Every module, class and function of a file that has a docstring, private ones too, and its first line."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (words := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), words.splitlines()[0]


#: With these a description of what is returned would begin at its end: "By node the step it is in"
FRAGMENTS = {"By", "Those"}


def riddles(text: str, begins: set[str] = RIDDLES) -> list[str]:
    return [f"{name}: {line}" for name, line in openings(text) if re.split(r"\W", line)[0] in begins]


@pytest.mark.parametrize(("package", "begins"), [("tinygrad_rnn", RIDDLES | FRAGMENTS), ("viz", RIDDLES)])
def test_no_docstring_begins_as_a_question(package, begins):
    found = {str(p.relative_to(ROOT)): riddles(p.read_text("utf-8"), begins) for p in (ROOT / package).rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_question_is_found():
    text = '''"""The rules."""
class _A:
    """Words."""
    def b(self):
        """What's sent back."""
        def c():
            """How it moves."""'''
    assert [line.split(":")[0] for line in riddles(text)] == ["b", "c"]
