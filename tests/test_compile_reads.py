"""What a compiled function's code asks of Python may be otherwise in the next call, whatever the way it is asked."""

from __future__ import annotations

import builtins
import copy
import enum
import functools
import importlib
import logging
import operator
import pickle
import sys
import types
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg

MADE = types.ModuleType("made_by_hand")
FLAGGED = {"on": 1.0}


class Thing:
    """An object of a user's class."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Mode(enum.StrEnum):
    """Members are text, and have attributes."""

    ON = "on"


@functools.cache
def only_thing():
    return Thing(k=1.0)


class Length(float):
    """A number with attributes."""


def special(name):
    """An object whose class has a special method, which gives 1."""

    def method(self, *arguments):
        return 1.0

    return type("Special", (), {name: types.FunctionType(method.__code__.replace(co_name=name), globals())})()


def entered(x, thing):
    with thing as k:
        return x * k


def logger(level=logging.WARNING):
    found = logging.getLogger("of a test")
    found.setLevel(level)
    return found


def same_after_changes(make, fn, change, calls=3):
    """``fn(x, thing)`` eager and compiled, with ``change(thing, i)`` between the calls."""
    found = []
    for wrap in (lambda f: f, tg.compile):
        thing = make()
        run = wrap(lambda x, thing=thing: fn(x, thing))
        results = []
        for i in range(calls):
            if i:
                change(thing, i)
            results.append(run(tg.ones(1)).tolist())
        found.append(results)
    assert found[1] == found[0]
    assert found[0][0] != found[0][-1]  # the change can be seen


def parameter():
    return tg.nn.Parameter([1.0])


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A module of the user's that is imported."""
    (tmp_path / "settings_of_a_test.py").write_text("scale = 1.0\n\n\ndef act(x):\n    return x * 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("settings_of_a_test")
    del sys.modules["settings_of_a_test"]


def imported(x):
    import settings_of_a_test as s

    return s.act(x) * s.scale


def imported_from(x):
    from settings_of_a_test import act, scale

    return act(x) * scale


IMPORTS = {
    "import": imported,
    "from": imported_from,
    "importlib": lambda x: x * importlib.import_module("settings_of_a_test").scale,
    "sys.modules": lambda x: x * sys.modules["settings_of_a_test"].scale,
    "getattr": lambda x: x * getattr(sys.modules["settings_of_a_test"], "sc" + "ale"),
    "attrgetter": lambda x: x * operator.attrgetter("scale")(sys.modules["settings_of_a_test"]),
    "vars": lambda x: x * vars(sys.modules["settings_of_a_test"])["scale"],
}


@pytest.mark.parametrize("way", IMPORTS)
def test_a_module_that_is_imported_inside(way, settings):
    compiled = tg.compile(IMPORTS[way])
    for scale in (1.0, 5.0, 5.0, 2.0):
        settings.scale = scale
        assert compiled(tg.ones(1)).tolist() == IMPORTS[way](tg.ones(1)).tolist()
    assert compiled.recordings == 3 and type(settings) is types.ModuleType
    settings.act = lambda x: x * 7
    assert compiled(tg.ones(1)).tolist() == IMPORTS[way](tg.ones(1)).tolist()


def test_a_module_that_stands_in_the_place_of_another(settings):
    compiled = tg.compile(imported)
    assert compiled(tg.ones(1)).tolist() == [2.0]
    other = sys.modules["settings_of_a_test"] = types.ModuleType("settings_of_a_test")
    other.act, other.scale = (lambda x: x), 3.0
    assert compiled(tg.ones(1)).tolist() == [3.0]


def made():
    MADE.k = 1.0
    vars(MADE).pop("absent", None)
    MADE.act = lambda x: x
    return MADE


def named(function, **attributes):
    vars(function).update(attributes)
    return function


PYTHON = {
    "a function of a module": (made, lambda x, m: MADE.act(x), lambda m, i: setattr(m, "act", lambda x: x * (i + 1))),
    "getattr of a module": (made, lambda x, m: x * getattr(MADE, "k"), lambda m, i: setattr(m, "k", i + 1.0)),  # noqa: B009
    "absent in a module": (made, lambda x, m: x * getattr(MADE, "absent", 1.0), lambda m, i: setattr(m, "absent", 3.0)),
    "hasattr": (Thing, lambda x, o: x * 2 if hasattr(o, "q") else x, lambda o, i: setattr(o, "q", 1)),
    "in __dict__": (Thing, lambda x, o: x * 2 if "q" in o.__dict__ else x, lambda o, i: setattr(o, "q", 1)),
    "vars": (Thing, lambda x, o: x * (1 + len(vars(o))), lambda o, i: setattr(o, f"q{i}", 1)),
    "of a function, absent": (
        lambda: named(lambda: 0), lambda x, f: x * getattr(f, "k", 1.0), lambda f, i: setattr(f, "k", i + 2.0),
    ),
    "of a function in a list": (
        lambda: [named(lambda: 0, k=1.0)], lambda x, fs: x * sum(f.k for f in fs),
        lambda fs, i: setattr(fs[0], "k", i + 1.0),
    ),
    "of a library's module": (
        lambda: vars(sys).pop("of_a_test", None), lambda x, _: x * getattr(sys, "of_a_test", 1.0),
        lambda _, i: setattr(sys, "of_a_test", i + 1.0),
    ),
    "of a library's object": (
        lambda: logging.Filter("a"), lambda x, f: x * getattr(f, "level", 1.0),
        lambda f, i: setattr(f, "level", i + 1.0),
    ),
    "of a layer": (
        lambda: [tg.nn.Linear(1, 1)], lambda x, layers: x * sum(getattr(layer, "weight_of", 1.0) for layer in layers),
        lambda layers, i: setattr(layers[0], "weight_of", i + 1.0),
    ),
    "of a layer in a list": (
        lambda: [named(tg.nn.Linear(1, 1), rate=1.0)], lambda x, layers: x * sum(layer.rate for layer in layers),
        lambda layers, i: vars(layers[0]).update(rate=i + 1.0),
    ),
    "of a number": (lambda: Length(2.0), lambda x, n: x * getattr(n, "k", 1.0), lambda n, i: setattr(n, "k", i + 1.0)),
    "of a member of an enumeration": (
        lambda: vars(Mode.ON).update(k=1.0), lambda x, _: x * sum(member.k for member in Mode),
        lambda _, i: setattr(Mode.ON, "k", i + 1.0),
    ),
    "of an element of an array": (
        lambda: np.array([Thing(k=1.0)], dtype=object), lambda x, things: x * things[0].k,
        lambda things, i: setattr(things[0], "k", i + 1.0),
    ),
    "of what a cached function gives": (
        only_thing.cache_clear, lambda x, _: x * only_thing().k, lambda _, i: setattr(only_thing(), "k", i + 1.0),
    ),
    "through a weak proxy": (
        lambda: (lambda o: (o, weakref.proxy(o)))(Thing(k=1.0)), lambda x, pair: x * pair[1].k,
        lambda pair, i: setattr(pair[0], "k", i + 1.0),
    ),
    "of a copy": (lambda: Thing(k=1.0), lambda x, o: x * copy.copy(o).k, lambda o, i: setattr(o, "k", i + 1.0)),
    "of a deep copy": (
        lambda: Thing(k=1.0), lambda x, o: x * copy.deepcopy(o).k, lambda o, i: setattr(o, "k", i + 1.0),
    ),
    "pickled": (lambda: Thing(k=""), lambda x, o: x * len(pickle.dumps(o)), lambda o, i: setattr(o, "k", "a" * i)),
    "an array of a class of its own": (
        lambda: np.ma.array([1.0, 2.0]), lambda x, a: x * float(a.sum()), lambda a, i: a.__setitem__(0, i + 5.0),
    ),
    "calling": (
        lambda: special("__call__"), lambda x, o: o() * x,
        lambda o, i: setattr(type(o), "__call__", lambda _, k=i + 1.0: k),
    ),
    "indexing": (
        lambda: special("__getitem__"), lambda x, o: o[0] * x,
        lambda o, i: setattr(type(o), "__getitem__", lambda _, j, k=i + 1.0: k),
    ),
    "with": (
        lambda: [setattr(type(o := special("__enter__")), "__exit__", lambda *_: None), o][1], entered,
        lambda o, i: setattr(type(o), "__enter__", lambda _, k=i + 1.0: k),
    ),
    "whether a logger writes": (
        logger, lambda x, log: x * 2 if log.isEnabledFor(logging.INFO) else x, lambda _, i: logger(logging.DEBUG),
    ),
    "the level of a logger": (logger, lambda x, log: x * log.getEffectiveLevel(), lambda _, i: logger(10 * i + 1)),
    "a global that was absent": (
        lambda: globals().pop("LATER", None), lambda x, _: x * (LATER if "LATER" in globals() else 1.0),  # noqa: F821
        lambda _, i: globals().update(LATER=i + 1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PYTHON)
def test_names_that_change_or_appear(name):
    try:
        same_after_changes(*PYTHON[name])
    finally:
        vars(sys).pop("of_a_test", None)
        globals().pop("LATER", None)


def test_a_method_of_ours_that_is_replaced(monkeypatch):
    layer = tg.nn.Sequential(tg.nn.Tanh())
    compiled = tg.compile(lambda x: layer(x).exp())
    compiled(tg.ones(1))
    monkeypatch.setattr(tg.nn.Tanh, "forward", lambda self, x: x * 0)
    assert compiled(tg.ones(1)).tolist() == [1.0]
    monkeypatch.setattr(tg.Tensor, "exp", lambda x: x + 7)
    assert compiled(tg.ones(1)).tolist() == [7.0]


@pytest.mark.parametrize("log", [logger().warning, logging.warning], ids=["of a logger", "of the root"])
def test_a_line_that_is_logged_would_not_be_in_later_calls(log):
    def logs(x):
        log("a line")
        return x

    with pytest.raises(tg.GraphError, match=r"a line is logged \(at test_compile_reads.py:\d+\)"):
        tg.compile(logs)(tg.ones(1))


def test_a_line_that_is_not_logged_at_first():
    compiled = tg.compile(lambda x: (logger_of_a_test.info("a line"), x * 2)[1])
    logger_of_a_test = logger()
    assert compiled(tg.ones(1)).tolist() == compiled(tg.ones(1)).tolist() == [2.0] and compiled.recordings == 1
    logger(logging.INFO)
    with pytest.raises(tg.GraphError, match="a line is logged"):
        compiled(tg.ones(1))


def test_a_builtin_that_is_replaced(monkeypatch):
    compiled = tg.compile(lambda x: x * abs(-2.0))
    assert compiled(tg.ones(1)).tolist() == [2.0]
    monkeypatch.setitem(globals(), "abs", lambda number: 5.0)
    assert compiled(tg.ones(1)).tolist() == [5.0]
    monkeypatch.undo()
    monkeypatch.setattr(builtins, "abs", lambda number: 7.0)
    assert compiled(tg.ones(1)).tolist() == [7.0]


TENSORS = {
    "requires_grad": (
        parameter,
        lambda x, p: x * (2.0 if p.requires_grad else 1.0),
        lambda p, i: p.requires_grad_(False),
    ),
    "requires_grad of some": (
        lambda: [parameter(), parameter().requires_grad_(False)],
        lambda x, ps: sum((p.square().sum() for p in ps if p.requires_grad), x),
        lambda ps, i: ps[1].requires_grad_(True),
    ),
    "requires_grad of a module's": (
        lambda: tg.nn.Linear(1, 1),
        lambda x, m: x * sum(p.requires_grad for p in m.parameters()),
        lambda m, i: m.weight.requires_grad_(False),
    ),
    "shape": (parameter, lambda x, p: x * p.shape[0], lambda p, i: setattr(p, "data", np.ones(1 + i, np.float32))),
    "name": (parameter, lambda x, p: x * len(p.name or ""), lambda p, i: setattr(p, "name", "n" * i)),
    "name of one that is used": (
        parameter,
        lambda x, p: x * p + len(p.name or ""),
        lambda p, i: setattr(p, "name", "n" * i),
    ),
    "an attribute of its own": (
        lambda: named(parameter(), rate=1.0),
        lambda x, p: x * p.rate,
        lambda p, i: setattr(p, "rate", i + 1.0),
    ),
    "one in a list": (
        lambda: [named(parameter(), rate=1.0)],
        lambda x, ps: x * sum(p.rate for p in ps),
        lambda ps, i: setattr(ps[0], "rate", i + 1.0),
    ),
    "absent": (parameter, lambda x, p: x * getattr(p, "rate", 1.0), lambda p, i: setattr(p, "rate", i + 1.0)),
    "hooks": (parameter, lambda x, p: x * (2.0 if p._hooks else 1.0), lambda p, i: p.register_hook(lambda g: g)),
    "grad": (parameter, lambda x, p: x * (1.0 if p.grad is None else 2.0), lambda p, i: setattr(p, "grad", tg.ones(1))),
}


@pytest.mark.parametrize("name", TENSORS)
def test_what_a_tensor_is_asked_besides_its_value(name):
    same_after_changes(*TENSORS[name])


ARGUMENTS = {
    "name": (lambda y: len(y.name or ""), lambda y, i: setattr(y, "name", "n" * i)),
    "own": (lambda y: getattr(y, "rate", 1.0), lambda y, i: setattr(y, "rate", i + 1.0)),
    "named": (lambda y: y.rate, lambda y, i: setattr(y, "rate", i + 1.0)),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_an_argument_is_asked_besides_its_value(name):
    ask, change = ARGUMENTS[name]
    y = tg.ones(1)
    y.rate = 0.5
    compiled = tg.compile(lambda x, y: x * ask(y))
    for i in range(3):
        assert compiled(tg.ones(1), y).tolist() == [ask(y)]
        assert compiled(tg.ones(1), y).tolist() == [ask(y)]
        change(y, i)
    assert compiled.recordings == 3


def test_the_gradient_of_an_argument_that_wants_none():
    y = tg.ones(1)
    compiled = tg.compile(lambda x, y: x * (1.0 if y.grad is None else 2.0))
    assert compiled(tg.ones(1), y).tolist() == [1.0]
    y.grad = tg.ones(1)
    with pytest.raises(tg.GraphError, match=r"gradient of .*test_compile_reads\.py:\d+.*pass it as an argument"):
        compiled(tg.ones(1), y)


def test_what_a_descriptor_keeps_for_each_object():
    kept = weakref.WeakKeyDictionary()

    class Kept:
        k = property(lambda self: kept[self])

    thing = Kept()
    compiled = tg.compile(lambda x: x * thing.k)
    for k in (1.0, 2.0, 2.0):
        kept[thing] = k
        assert compiled(tg.ones(1)).tolist() == [k]
    assert compiled.recordings == 2


def test_what_is_not_asked_may_change_without_recording_anew(settings):
    p, q = parameter(), parameter()
    compiled = tg.compile(lambda x: imported(x) * p)
    for i in range(3):
        settings.other = p.rate = q.rate = i
        p.name = str(i)
        compiled(tg.ones(1))
    assert compiled.recordings == 1


def test_lists_that_libraries_hold(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])
    compiled = tg.compile(lambda x: x * (len(sys.argv) + ("--fast" in sys.argv)))
    for argument, expected in (("a", 2.0), ("--fast", 4.0), (None, 4.0)):
        if argument:
            sys.argv.append(argument)
        assert compiled(tg.ones(1)).tolist() == [expected]
    assert compiled.recordings == 2
