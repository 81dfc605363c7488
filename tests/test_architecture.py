"""Which module may import which: read from the import statements themselves, those inside functions included.

What is imported for types only (under TYPE_CHECKING) runs nothing and is left out.
"""

import ast
import collections
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import parsed

HERE = Path(__file__).parents[1]

#: The layers, lowest first: a module imports from its own and from those before it. The longest name that fits counts.
LAYERS = {
    "basics": "errors arguments collector files source_line output_and_state thread_state kernel_cache kernels "
    "draw_hook version_counters recorded_value user_objects optional_packages module_aliases progress norms "
    "element_places unmade_value waiting_gradients tensor_copies words",
    "operations": "primitives",
    "tensors": "settings scopes random operation_errors max_min_pair dead_positions rule_answers reverse_walk "
    "indexing_by_tensors operators composed_methods pytorch_methods cuda numpy_protocol array_conversion tensors "
    "functional",
    "graphs": "graph graph_file ancestors kept_walk forward_mode custom_function recorded_tensors rounding_noise "
    "source_names "
    "kinks_nearby",
    "networks": "nn recurrence data saving optim optimizers compiler",
    "checks": "check diagnosis",
    "applications": "character_model synthetic_tasks sequence_patterns interchange",
    "the name tg": "tinygrad_rnn",
    "recorded walks": "bptt",
    "test tools": "testing",
    "pictures": "viz",
    "commands": "cli __main__",
}
#: What must point upward all the same, and why.
EXCEPTIONS = {
    ("tinygrad_rnn", "viz"): "tg names who draws to the engine, and imports them when a picture is wanted",
}
#: Functions that import by a name that may be computed.
IMPORTERS = ("import_module", "__import__")
#: What imports by a computed name, which `imports` cannot read, and why.
COMPUTED = {
    "tinygrad_rnn.module_aliases": "finds modules by their former names and by the short name viz",
    "tinygrad_rnn.optional_packages": "imports packages of others, and names of ours when they are asked for",
}


def modules(root: Path) -> dict[str, Path]:
    found = {}
    for package in ("tinygrad_rnn", "viz"):
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def called(node: ast.expr) -> str | None:
    """The last part of a name."""
    return getattr(node, "id", None) or getattr(node, "attr", None)


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a module imports, at its top or in its functions, by statement or by `import_module`."""
    text = path.read_text(encoding="utf-8")
    calls = any(importer in text for importer in IMPORTERS)  # in an expression only a call can import
    pending: list[ast.AST] = [parsed(text)]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and called(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        pending.extend(x for x in ast.iter_child_nodes(node) if calls or not isinstance(x, ast.expr))
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            wanted = [x if (x := _lies(f"{base}.{a.name}")) in known else base for a in node.names]
        elif isinstance(node, ast.Call) and called(node.func) in IMPORTERS:
            wanted = [x.value for x in node.args if isinstance(x, ast.Constant)]
        yield from (x for x in map(_lies, wanted) if x in known and x != name)


def computes_a_name(path: Path) -> bool:
    """Whether a file imports by anything but a whole name that is written there."""
    text = path.read_text("utf-8")
    if not any(name in text for name in IMPORTERS):
        return False
    calls = [x for x in ast.walk(parsed(text)) if isinstance(x, ast.Call)]
    given = [x.args[0] if x.args else x for x in calls if called(x.func) in IMPORTERS]
    return any(not isinstance(x, ast.Constant) or str(x.value).startswith(".") for x in given)


def _lies(name: str) -> str:
    """Where a module lies: `tinygrad_rnn.viz` is the folder viz."""
    return name.removeprefix("tinygrad_rnn.") if f"{name}.".startswith("tinygrad_rnn.viz.") else name


@functools.cache
def import_graph(root: Path) -> dict[str, set[str]]:
    known = modules(root)
    return {name: set(imports(name, path, known)) for name, path in known.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """What can be reached from itself, in groups."""
    reached = {}
    for start in graph:
        found: set[str] = set()
        pending = [*graph[start]]
        while pending:
            if (x := pending.pop()) not in found:
                found.add(x)
                pending.extend(graph[x])
        reached[start] = found
    groups = {tuple(sorted(y for y in reached[x] if x in reached[y])) for x in graph if x in reached[x]}
    return sorted(map(list, groups))


def layer(name: str) -> int:
    places = {
        "tinygrad_rnn" if part == "tinygrad_rnn" else part if part == "viz" else f"tinygrad_rnn.{part}": height
        for height, names in enumerate(LAYERS.values())
        for part in names.split()
    }
    while name not in places:
        name, dot, _ = name.rpartition(".")
        assert dot
    return places[name]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return {a: {b for b in used if (a, b) not in EXCEPTIONS} for a, used in import_graph(HERE).items()}


def test_no_module_knows_itself_by_way_of_others(graph):
    assert not circles(graph)


def test_what_is_imported_is_written_there():
    assert sorted(name for name, path in modules(HERE).items() if computes_a_name(path)) == sorted(COMPUTED)


@pytest.mark.parametrize("how", ["import_module(f'.{x}', y)", "importlib.import_module(name=x)", "__import__(x)"])
def test_a_computed_name_is_found(tmp_path, how):
    (tmp_path / "a.py").write_text(how)
    assert computes_a_name(tmp_path / "a.py")


def test_nothing_imports_upward(graph):
    upward = sorted(f"{a} -> {b}" for a, used in graph.items() for b in used if layer(a) < layer(b))
    assert not upward


def folders(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The folders that each folder's modules import from, but for those around it and within it."""
    places = {name: path.parent.relative_to(HERE) for name, path in modules(HERE).items()}
    found: dict[str, set[str]] = {}
    for a, used in graph.items():
        for b in used:
            here, there = places[a], places[b]
            if not (here.is_relative_to(there) or there.is_relative_to(here)):
                found.setdefault(here.as_posix(), set()).add(there.as_posix())
    return found


def test_no_folder_knows_itself_by_way_of_others(graph):
    known = folders(graph)
    assert not circles({folder: known.get(folder, set()) for folder in known.keys() | set().union(*known.values())})


def test_a_session_depends_on_none_of_its_views(graph):
    reached, pending = set(), ["viz.debugger.session"]
    while pending:
        if (name := pending.pop()) not in reached:
            reached.add(name)
            pending.extend(graph[name])
    assert not [x for x in reached if x.startswith(("viz.debugger.web", "viz.debugger.terminal", "viz.debugger.views"))]


def test_every_module_has_a_layer():
    named = {part.split(".")[0] for names in LAYERS.values() for part in names.split()}
    there = {name.split(".")[1] for name in modules(HERE) if name.startswith("tinygrad_rnn.")} | {"tinygrad_rnn", "viz"}
    assert named == there, "write a new module's layer down, and take a removed one out"


def test_an_exception_is_needed():
    whole = import_graph(HERE)
    assert all(b in whole[a] for a, b in EXCEPTIONS)


#: Which folders use private names of another, and why: whose files begin so -> whose files begin so.
KNOWN = {
    ("compiler/instructions/", "kernels.py"): "instructions are kernels that run on rows",
    ("interchange/export/", "nn/"): "an exporter writes a layer's own loop in place of its steps; users see neither",
    ("testing/accuracy.py", "optimizers.py"): "what an optimizer computes, by its own formulas with many digits",
}


def privates(root: Path) -> set[tuple[str, str, str]]:
    """(file, other file, name): what a file uses of another one's private names.

    Of modules what is imported; attributes only across folders, and not those that `Recorded` declares.
    """
    trees = {
        path.relative_to(root).as_posix(): parsed(path.read_text("utf-8"))
        for package in ("tinygrad_rnn", "viz")
        for path in sorted((root / package).rglob("*.py"))
    }
    known, owners, found = modules(root), collections.defaultdict(set), set()
    reached: list[tuple[str, str]] = []
    for file, tree in trees.items():
        package = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        package = package if file.endswith("__init__.py") else package.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                if base in known:
                    other = known[base].relative_to(root).as_posix()
                    found |= {(file, other, a.name) for a in node.names if _is_private(a.name)}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                owners[node.name].add(file)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                owners[node.id].add(file)
            elif isinstance(node, ast.Attribute) and called(node.value) in ("self", "cls"):
                if isinstance(node.ctx, ast.Store):
                    owners[node.attr].add(file)
            elif isinstance(node, ast.Attribute) and _is_private(node.attr):
                reached.append((file, node.attr))
    for file, name in reached:
        there = owners[name]
        if "tinygrad_rnn/recorded_value.py" not in there and not any(_folder(file) == _folder(x) for x in there):
            found |= {(file, other, name) for other in there}
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _is_known(file: str, other: str, known: tuple[str, str]) -> bool:
    return all(name.removeprefix("tinygrad_rnn/").startswith(start) for name, start in zip((file, other), known))


def test_private_names_stay_in_their_folder():
    found = privates(HERE)
    by_use = collections.defaultdict(set)  # a name that several files define is known if one of these may be
    for file, other, name in found:
        by_use[file, name].add(other)
    foreign = {("tinygrad_rnn/interchange/pytorch/recorder.py", "_base")}  # PyTorch's
    told = {
        (file, name, *others)
        for (file, name), others in by_use.items()
        if (file, name) not in foreign and not any(_is_known(file, x, k) for x in others for k in KNOWN)
    }
    assert not told
    assert [k for k in KNOWN if not any(_is_known(file, other, k) for file, other, _ in found)] == [], "not needed"


def test_circles_are_found_wherever_they_hide(tmp_path):
    """Under a function, by a relative name, by `import_module`; not under TYPE_CHECKING."""
    for name, text in {
        "tinygrad_rnn/__init__.py": "",
        "viz/__init__.py": "import tinygrad_rnn.c",
        "tinygrad_rnn/a.py": "def f():\n    from . import b",
        "tinygrad_rnn/b.py": "from .a import f",
        "tinygrad_rnn/c.py": "from importlib import import_module\nx = lambda: import_module('viz')",
        "tinygrad_rnn/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .e import x",
        "tinygrad_rnn/e.py": "from . import d",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert circles(import_graph(tmp_path)) == [["tinygrad_rnn.a", "tinygrad_rnn.b"], ["tinygrad_rnn.c", "viz"]]
