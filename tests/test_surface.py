"""The surface is the one that is written down, and says in one line what it cannot work with."""

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
import sys
import warnings
from itertools import cycle, islice

import numpy as np
import pytest
import surface

import tinygrad_rnn as tg
import tinygrad_rnn.testing
import viz

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
#: of the wrong kinds below, so many are tried for an argument in every run
TRIED = 4


def test_the_surface_is_the_written_one():
    written = surface.LIST.read_text(encoding="utf-8").splitlines()
    assert surface.lines() == written, "if this is meant: python tests/surface.py, and a line in CHANGELOG.md"


#: beside the modules whose names are in docs/surface.txt
PUBLIC = [
    *("cuda", "testing", "check", "diagnosis", "compiler", "functional", "synthetic_tasks", "sequence_patterns"),
    *("nn.activations", "viz.debugger", "viz.equations", "viz.gradient_flow", "viz.lecture", "interchange"),
    *(f"interchange.{name}" for name in ("dialects", "weights", "onnx", "pytorch", "jaxprs")),
    *(f"character_model.{name}" for name in ("text", "model", "training", "checkpoint")),
]
#: those whose names need other frameworks
OF_FRAMEWORKS = {
    "interchange": ("torch", "jax", "onnx"),
    "interchange.onnx": ("onnx",),
    "interchange.pytorch": ("torch",),
    "interchange.jaxprs": ("jax",),
}


@pytest.mark.parametrize("name", [*(m.__name__ for m in surface.MODULES.values()), *PUBLIC])
def test_dir_shows_what_is_public_and_nothing_else(name, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())  # frameworks write there, and draw, when they are imported
    numbers = np.random.get_state()
    for framework in OF_FRAMEWORKS.get(name, ()):
        pytest.importorskip(framework, reason="its names are imported with the framework, which is not installed")
    module = importlib.import_module(name if name.startswith("tinygrad_rnn") else f"tinygrad_rnn.{name}")
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    np.random.set_state(numbers)
    assert "annotations" not in module.__all__ and "np" not in module.__all__


@pytest.mark.parametrize("package", [tg, tg.nn, tg.viz])
def test_no_public_name_is_two_things(package):
    """Where a submodule and a function had one name, ``import tinygrad_rnn.tensor`` gave the one or the other."""
    for each in pkgutil.iter_modules(package.__path__):
        if each.name in package.__all__ and each.name != "__main__":
            assert inspect.ismodule(getattr(package, each.name)), each.name


def test_an_import_puts_no_module_in_a_functions_place():
    for name in ("tensor", "grad", "walk", "save"):
        function = getattr(tg, name)
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"tinygrad_rnn.{name}")
        assert getattr(tg, name) is function and inspect.isfunction(function), name


def test_a_module_that_moved_is_found_under_its_former_name_and_says_where_it_is():
    with pytest.warns(DeprecationWarning, match=r"tinygrad_rnn\.text is now tinygrad_rnn\.character_model\.text"):
        former = importlib.import_module("tinygrad_rnn.text")
    assert former is importlib.import_module("tinygrad_rnn.character_model.text")


def test_pytorchs_import_paths_are_modules():
    for name in ("lr_scheduler", "swa_utils"):
        module = importlib.import_module(f"tinygrad_rnn.optim.{name}")
        assert module is getattr(tg.optim, name)
        with pytest.warns(DeprecationWarning, match=rf"is now tinygrad_rnn\.optim\.{name}"):
            sys.modules.pop(f"tinygrad_rnn.{name}", None)
            assert importlib.import_module(f"tinygrad_rnn.{name}") is module
    assert tg.lr_scheduler is tg.optim.lr_scheduler


#: arguments under NumPy's word and PyTorch's
WORDS = [("axis", "dim"), ("keepdims", "keepdim"), ("start_axis", "start_dim"), ("end_axis", "end_dim")]


@pytest.mark.parametrize("one, other", WORDS)
def test_both_words_everywhere(one, other):
    for name, thing in surface.public():
        if inspect.isfunction(thing):
            there = inspect.signature(thing).parameters
            assert (one in there) == (other in there), name


def test_both_words_mean_the_same():
    x = tg.tensor([[1.0, 3.0, 2.0]])
    for name in ("expand_dims", "unsqueeze", "squeeze"):
        assert getattr(x, name)(0).shape == getattr(x, name)(axis=0).shape == getattr(x, name)(dim=0).shape
    at = tg.tensor([[2]])
    assert x.gather(1, at).tolist() == x.gather(dim=1, index=at).tolist() == x.gather(axis=1, index=at).tolist()
    assert tg.take(x, at, axis=1).tolist() == tg.take(x, at, dim=1).tolist() == [[[2.0]]]
    assert x.size(dim=1) == x.size(axis=1) == 3
    for pieces in (tg.split(x, 2, 1), tg.split(x, 2, axis=1), tg.split(x, 2, dim=1), x.split(2, dim=1)):
        assert [piece.tolist() for piece in pieces] == [[[1.0, 3.0]], [[2.0]]]
    assert x.argmax(1, True).shape == x.argmax(dim=1, keepdim=True).shape == (1, 1)
    assert x.argmax(keepdim=True).shape == (1, 1)
    for one, other in (("keepdims", "keepdim"), ("keepdim", "keepdims")):
        assert x.sum(1, **{one: None, other: True}).shape == (1, 1)
    y = tg.ones(2, 3, 4, 5)
    assert tg.nn.Flatten(start_axis=2)(y).shape == tg.nn.Flatten(2)(y).shape == (2, 3, 20)
    assert tg.nn.Flatten(end_axis=-2)(y).shape == tg.nn.Flatten(end_dim=-2)(y).shape == (2, 12, 5)
    assert y.flatten(start_axis=1, end_axis=2).shape == y.flatten(start_dim=1, end_dim=2).shape == (2, 12, 5)
    with pytest.raises(tg.ArgumentError, match="expand_dims: which dimension"):
        x.expand_dims()


@pytest.mark.parametrize("one, other", WORDS)
def test_both_words_at_once_are_refused_everywhere(one, other):
    """Whichever of the two was not looked at was lost without a word."""
    seen = 0
    for name, thing in surface.public():
        function = thing.__init__ if name in ("tg.nn.Softmax", "tg.nn.LogSoftmax", "tg.nn.Flatten") else thing
        there = inspect.signature(function).parameters if inspect.isfunction(function) else {}
        if one in there and other in there:
            args = [2 for p in there.values() if p.default is p.empty and thing is function]
            for values in ((0, 1), (1, 0), (True, False), (False, True), (0, 0)):
                with pytest.raises(tg.ArgumentError, match="in two words"):
                    thing(*args, **{one: values[0], other: values[1]})
            seen += 1
    assert seen > (2 if "_" in one else 10)
    x = tg.ones(2, 3)
    for call in (lambda: x.sum(0, dim=1), lambda: tg.stack([x], 0, dim=1), lambda: x.max(1, axis=0)):
        with pytest.raises(tg.ArgumentError, match="in two words"):
            call()
    assert tg.max(x, axis=1, keepdims=True).shape == tg.max(x, 1, True).values.shape == (2, 1)
    assert x.sum(axis=None, dim=1).shape == (2,)


def test_operands_are_called_operands():
    x = tg.tensor([1.0])
    y = x * 2.0
    assert y.operands == (x, 2.0)
    with pytest.warns(DeprecationWarning, match=r"Tensor\.operands"):
        assert y.inputs == y.operands


class Named:
    """A path that is neither a text nor a `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_what_is_saved_is_returned_and_paths_are_paths(tmp_path):
    w = tg.tensor([[0.5]], requires_grad=True, name="W")
    h = tg.nn.labelled(tg.ones(1, 1), "h")
    for _ in tg.steps(2):
        h = tg.nn.labelled((h @ w).tanh(), "h")
    loss = h.sum()
    graph, session = tg.Graph(loss), viz.debug(loss)
    assert graph.save(Named(tmp_path / "graph")) is graph
    assert len(tg.Graph.load(Named(tmp_path / "graph"))) == len(graph)
    assert session.save(Named(tmp_path / "walk")) is session
    assert viz.debug(Named(tmp_path / "walk")).last == session.last
    picture = viz.render(loss, Named(tmp_path / "picture.dot"))
    assert picture.save(Named(tmp_path / "again.dot")) is picture
    equations = viz.derive(loss, path=Named(tmp_path / "equations.txt"))
    assert equations.save(Named(tmp_path / "again.txt")) is equations
    numbers = viz.flow(loss, Named(tmp_path / "flow.json"))
    assert numbers.save(Named(tmp_path / "flow.csv")) is numbers
    names = {"graph", "walk", "picture.dot", "again.dot", "equations.txt", "again.txt", "flow.json", "flow.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for wrong in (lambda: graph.save(3), lambda: session.save(None), lambda: picture.save(3), lambda: tg.load(3)):
        with pytest.raises(tg.ArgumentError, match="the path of a file is a text"):
            wrong()


# Arguments of the wrong kind -----------------------------------------------------------------------------

X = np.array([[1.0, 2.0], [3.0, 4.0]])
WRONG = (
    None, "text", -1, 1.5, [], object(), np.zeros(3), 10**12, float("nan"), {}, [[1.0, 2.0], [3.0]], 0, (1, "a"), True,
    [None], tg.zeros(0), 1j, b"x", range(2), int, float("inf"), ["a"], lambda *_: 0,
)  # fmt: skip
#: what would be tried for hours, or makes something known to everybody
NOT_TRIED = {("num_layers", 10**12)}
GLOBAL = {"tg.Primitive", "tg.set_default_dtype", "tg.manual_seed", "tg.set_grad_enabled"}


def attempts(name, thing):
    """Calls with one argument of a wrong kind, the others as good as a guess makes them."""
    parameters = list(inspect.signature(thing).parameters.values())
    receiver = next(
        (make for kind, make in RECEIVERS.items() if name.startswith(kind) and not inspect.ismethod(thing)), None
    )
    method = receiver is not None
    parameters = parameters[1:] if method else parameters
    layer = inspect.isclass(thing) and name.startswith("tg.nn.")
    fill = (lambda: 2) if layer or name.split(".")[-1] in ("zeros", "ones", "rand", "randn", "eye") else good
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    many = [p for p in parameters if p.kind is p.VAR_POSITIONAL]
    start = sum(map(ord, name))
    for place, p in enumerate([*needed, *many, *(p for p in parameters if p.default is not p.empty)]):
        if p.name in ("path", "picture"):
            continue
        for wrong in WRONG if NIGHTLY else islice(cycle(WRONG), start + place, start + place + TRIED):
            if (p.name, wrong if isinstance(wrong, int) else None) in NOT_TRIED:
                continue
            args = [receiver()] if method else []
            args += [wrong if q is p else fill() for q in needed]
            yield args + [wrong] * (p in many), {} if p.default is p.empty else {p.name: wrong}


def good():
    return tg.tensor(X, requires_grad=True, dtype=tg.float32)


RECEIVERS = {
    "tg.Tensor.": good,
    "tg.Graph.": lambda: tg.Graph(good() * 2.0),
    "tg.GraphBuilder.": lambda: tg.GraphBuilder(tg.Graph(good() * 2.0).nodes),
}
TRIED_NAMES = [
    (name, thing)
    for name, static in surface.public()
    if callable(thing := getattr(tg.Graph, name.split(".")[-1]) if isinstance(static, classmethod) else static)
    and not inspect.ismodule(thing)
    and name not in GLOBAL
    and not (inspect.isclass(thing) and issubclass(thing, Exception))
    and name != "tg.GraphBuilder.node"
]


#: beside arguments: sizes, positions and states of graphs, which a wrong argument can hit as well
SAID = (tg.ArgumentError, tg.ShapeError, tg.OutOfRangeError, tg.GraphError)


def test_wrong_arguments_are_said_in_one_line():
    raw = []
    for name, thing in TRIED_NAMES:
        for args, kwargs in attempts(name, thing):
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    made = thing(*args, **kwargs)
                    if inspect.isgenerator(made):
                        next(made, None)
                except tg.TinygradError as error:
                    if not isinstance(error, SAID):
                        raw.append(f"{name}(*{args!r:.80}, **{kwargs!r:.40}): {type(error).__name__}: {error!s:.120}")
                    if "\n" in str(error):
                        raw.append(f"{name}: not one line: {error}")
                except MemoryError:
                    pass  # NumPy says how much was asked for
                except Exception as error:
                    raw.append(f"{name}(*{args!r:.80}, **{kwargs!r:.40}): {type(error).__name__}: {error!s:.80}")
    assert not raw, "\n".join(raw)


def halved(x):
    return x * 0.5


def held():
    """(name, object) for what calls of public functions give, and users hold."""
    w = tg.tensor([[0.5]], requires_grad=True, name="W")
    h = tg.nn.labelled(tg.ones(1, 1), "h")
    for _ in tg.steps(3):
        h = tg.nn.labelled((h @ w).tanh(), "h")
    loss, optimizer = h.sum(), tg.optim.SGD([w])
    yield "session", viz.debug(loss)
    yield "picture", viz.render(loss)
    yield "equations", viz.derive(loss)
    yield "equation", viz.derive(loss).lines[0]
    yield "flow", viz.flow(loss)
    yield "diagnosis", tg.diagnose(loss, {"W": [[1.0]]})
    yield "report", tg.check_gradients(loss)
    yield "step", next(tg.walk([loss], [np.float32(1.0)]))
    yield "scope", loss.scope
    yield "layer", tg.nn.LSTM(1, 1)
    yield "optimizer", optimizer
    yield "schedule", tg.lr_scheduler.StepLR(optimizer, 1)
    yield "loader", tg.data.DataLoader(tg.data.TensorDataset(w))
    yield "compiled", tg.compile(halved)


#: what is held under a name of its own: a class, and what is looked after where the module is called
PARTS = {"forward", "recorder"}


def callables():
    """(name, callable) for all that users call: public names, primitives, and what is held with its methods."""
    for name, static in surface.public():
        thing = static.__get__(None, tg.Graph) if isinstance(static, (classmethod, staticmethod)) else static
        is_error = inspect.isclass(thing) and issubclass(thing, Exception)
        if callable(thing) and not inspect.ismodule(thing) and not is_error:
            yield name, thing
    yield from ((f"tg.TABLE[{name!r}]", op) for name, op in tg.TABLE.items())
    yield from ((name, thing) for name, thing in held() if callable(thing))
    yield from methods_held()


def methods_held():
    """(name, method) for the public methods of what users hold."""
    for name, thing in held():
        for method in sorted(set(dir(type(thing))) - set(dir(tuple) if isinstance(thing, tuple) else ())):
            if not method.startswith("_") and callable(getattr(type(thing), method)) and method not in PARTS:
                yield f"{name}.{method}", getattr(thing, method)


def misfits(thing):
    """Calls that no function of this signature can be meant by."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:  # a function of C's
        return
    kinds = [p.kind for p in parameters]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if inspect.Parameter.VAR_KEYWORD not in kinds or isinstance(thing, tg.Primitive):
        yield (), {"no_such_argument": 1}
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        yield (None,) * (len(kinds) + 1), {}
    if needed:
        yield (), {}


def test_a_call_that_fits_no_signature_is_one_line_with_the_users_line():
    raw, seen = [], 0
    for name, thing in callables():
        for args, kwargs in misfits(thing):
            seen += 1
            call = f"{name}({len(args)} arguments, {kwargs})"
            try:
                made = thing(*args, **kwargs)
            except tg.ArgumentError as error:
                if "\n" in str(error) or "[at test_surface.py:" not in str(error):
                    raw.append(f"{call}: {error}")
            except Exception as error:
                raw.append(f"{call}: {type(error).__name__}: {error}")
            else:
                raw.append(f"{call}: accepted: {made!r:.80}")
    assert not raw and seen > 1300, f"{len(raw)} of {seen}: " + "\n".join(raw)


#: annotations, of which each says that no plain `object` will do, nor (``NO_TEXT``) a text
NO_OBJECT = re.compile(r"(str|int|float|bool|Tensor|Reduction|Approximate|(list|dict|Callable|tuple)\[.*\])( \| None)?")
NO_TEXT = re.compile(r"(int|float|bool|Tensor|(list|dict|Callable|tuple)\[.*\])( \| None)?")


def test_what_is_no_instance_of_an_arguments_annotation_is_refused_in_one_line():
    raw, seen = [], 0
    for name, thing in [*TRIED_NAMES, *held(), *methods_held()]:
        if not callable(thing) or name in ("compiled", "compiled.trace", "layer", "layer.begins_anew"):
            continue
        receiver = next((make for kind, make in RECEIVERS.items() if name.startswith(kind)), None)
        receiver = None if inspect.ismethod(thing) else receiver
        parameters = list(inspect.signature(thing).parameters.values())[receiver is not None :]
        for p in parameters:
            for pattern, wrong in ((NO_OBJECT, object()), (NO_TEXT, "text")):
                if p.name in ("path", "picture") or not pattern.fullmatch(str(p.annotation)):
                    continue
                others = {q.name: good() for q in parameters if q.default is q.empty and q.kind is q.KEYWORD_ONLY}
                needed = [q for q in parameters if q.default is q.empty and q.kind is q.POSITIONAL_OR_KEYWORD]
                args = [wrong if q is p else fitting(q) for q in needed]
                others |= {} if p in needed else {p.name: wrong}
                seen += 1
                try:
                    with np.errstate(all="ignore"):
                        thing(*([receiver()] if receiver else []), *args, **others)
                except tg.TinygradError as error:
                    if "\n" in str(error):
                        raw.append(f"{name}: not one line: {error}")
                except Exception as error:
                    raw.append(f"{name}({p.name}={wrong!r:.20}): {type(error).__name__}: {error!s:.80}")
                else:
                    raw.append(f"{name}({p.name}={wrong!r:.20}): accepted")
    assert not raw and seen > 500, f"{len(raw)} of {seen}: " + "\n".join(raw)


def fitting(p):
    """An argument of a parameter's annotation, as good as a guess makes it."""
    kinds = {"int": 2, "bool": True, "str": "text", "list": [], "dict": {}, "Callable": same, "float": 0.5}
    return kinds[str(p.annotation)] if str(p.annotation) in kinds else good()


def same(x):
    return x


MISTAKES = {
    "a number for an operation": lambda: tg.GraphBuilder().add(3, 4),
    "a number for operands": lambda: tg.GraphBuilder().add(tg.TABLE["tanh"], 5),
    "None for an operation": lambda: tg.GraphBuilder().add(None, []),
    "a number for a function of modules": lambda: tg.nn.Linear(2, 2).apply(3),
    "a number for a closure": lambda: tg.optim.SGD([good()]).step(3),
    "a number for a primitive": lambda: tg.testing.check_primitive(3, 4),
    "no primitive": lambda: tg.testing.recipe_for(3),
    "no case": lambda: tg.testing.check_case(3, 4),
    "an unknown domain": lambda: tg.testing.elementwise("nope"),
    "a domain that is a number": lambda: tg.testing.elementwise(3),
    "an unknown keyword": lambda: tg.tanh(good(), foo=1),
    "a number to compile": lambda: tg.compile(3),
    "steps of a text": lambda: tg.steps("a"),
    "numbers to optimize": lambda: tg.optim.SGD([1, 2]),
    "a number to check": lambda: tg.check_gradients(3),
    "a number for a state": lambda: tg.nn.Linear(2, 2).load_state_dict(3),
    "a name that is not there": lambda: viz.derive(good().sum(), "nope"),
    "a number for a scope": lambda: tg.scope(3),
    "a text for a step": lambda: tg.scope(step="first"),
    "a text for a switch": lambda: viz.render(good(), values="no"),
    "a text for a position": lambda: tg.Ref("a"),
    "a position that does not exist": lambda: viz.debug(good().sum()).goto(999),
    "an array twice": lambda: tg.TABLE["tanh"](good(), good()),
    "an operand too few": lambda: tg.TABLE["add"](good()),
    "a Function without a forward": lambda: tg.Function.apply(good()),
    "a format that is none": lambda: viz.render(good(), "x.foo"),
    "a format that is a number": lambda: viz.render(good()).to(3),
    "a primitive's name": lambda: tg.Primitive(3, "", same, same),
    "its symbol": lambda: tg.Primitive("mine", 3, same, same),
    "its shape rule": lambda: tg.Primitive("mine", "", None, same),
    "its reference": lambda: tg.Primitive("mine", "", same, 3),
    "its dtype": lambda: tg.Primitive("mine", "", same, same, dtype="float32"),
    "its kind": lambda: tg.Primitive("mine", "", same, same, kind=[]),
    "its rules": lambda: tg.Primitive("mine", "", same, same, vjp=3),
    "too few rules": lambda: tg.Primitive("mine", "", same, lambda x, y: x, vjp=(lambda g, _y, _a, _b: g,)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_argument_error(mistake):
    with pytest.raises(tg.ArgumentError) as caught:
        MISTAKES[mistake]()
    assert "\n" not in str(caught.value) and "mine" not in tg.TABLE


@pytest.mark.parametrize("answer", [[1.0, 2.0], None, "text"])
def test_a_reference_that_computes_no_array_is_refused(answer):
    """A list became a tensor of other numbers' dtype, None a tensor of objects."""
    listed = tg.Primitive("mine", "", same, lambda _x: answer)
    try:
        with pytest.raises(tg.ArgumentError, match="mine: its reference computes an array"):
            listed(good())
    finally:
        del tg.TABLE["mine"]


def test_what_ones_own_functions_raise_stays_as_it_is():
    def cell(x, state):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tg.scan(cell, tg.ones(2, 3), tg.zeros(3))
    with pytest.raises(KeyError, match="mine"):
        tg.check_gradients(lambda x: {}["mine"], [1.0])
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        tg.nn.LSTM(3)


def test_only_the_call_that_the_user_made_answers():
    with pytest.raises(tg.ArgumentError, match=r"^xavier_normal_: cannot work"):  # not normal_, which it calls
        tg.nn.init.xavier_normal_(tg.zeros(2, 2), gain=np.zeros(3))
    optimizer = tg.optim.SGD([tg.zeros(2, requires_grad=True)])
    with pytest.raises(tg.ArgumentError, match=r"^rand: cannot work"):  # the user's own, in what LambdaLR calls
        tg.lr_scheduler.LambdaLR(optimizer, lambda _step: tg.rand(10**30))


def test_every_file_imports_as_a_module():
    for package in (tg, viz):
        for found in pkgutil.iter_modules(package.__path__):
            assert not found.name.startswith("_") or found.name == "__main__"
