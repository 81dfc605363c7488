"""What a compiled function reads in Python is followed, what it writes there is named: everything the language has."""

from __future__ import annotations

import csv
import io
import itertools
import os
import random
import secrets
import sys
import threading
import types
import uuid
from array import array
from contextvars import ContextVar

import numpy as np
import pytest

import tinygrad_rnn as tg

HERE = r"test_compile_effects_outside\.py:\d+"
X = tg.ones(1)


class Base:
    k = 1.0

    def scaled(self):
        return self.k

    @classmethod
    def of_class(cls):
        return cls.k


class A(Base):
    own = 1.0

    def scaled(self):
        return super().scaled()

    def of_type(self):
        return type(self).k

    def of_dunder(self):
        return self.__class__.k


class Other(A):
    k = 5.0


class Reading:
    k = 1.0

    def __get__(self, instance, owner):
        return Reading.k * (1.0 if instance is None else instance.own)


class Described(A):
    scale = Reading()


class Meta(type):
    k = 1.0


class WithMeta(metaclass=Meta):
    pass


MODULE = types.ModuleType("settings")
MODULE.k = 1.0
MODULE.__file__ = __file__
TABLE = {"k": 1.0}
VALUES, PROXY = TABLE.values(), types.MappingProxyType(TABLE)
K = 1.0
VARIABLE = ContextVar("VARIABLE", default=1.0)
LOCAL = threading.local()
LOCAL.k = 1.0
BYTES, NUMBERS = bytearray([1]), array("d", [1.0])
os.environ["TINYGRAD_RNN_TEST"] = "1"


def with_default(scale=1.0, *, other=1.0):
    return scale * other


def with_other(*, other=1.0):
    return other


def other_code(scale=1.0, *, other=1.0):
    return scale * other * 7


def put(holder, name, before=1.0, after=3.0):
    return lambda: setattr(holder, name, after), lambda: setattr(holder, name, before)


def item(holder, key, before=1.0, after=3.0):
    return lambda: holder.__setitem__(key, after), lambda: holder.__setitem__(key, before)


INSTANCE, DESCRIBED = A(), Described()
CODE = with_default.__code__
#: what is read, and how it is changed and changed back
READS = {
    "type(s).k": (lambda: INSTANCE.of_type(), *put(Base, "k")),
    "s.__class__.k": (lambda: INSTANCE.of_dunder(), *put(Base, "k")),
    "A.k": (lambda: A.k, *put(Base, "k")),
    "getattr(A, 'k')": (lambda: getattr(A, "k"), *put(Base, "k")),  # noqa: B009
    "vars(A)": (lambda: vars(Base)["k"], *put(Base, "k")),
    "super()": (lambda: INSTANCE.scaled(), *put(Base, "scaled", Base.scaled, lambda self: 9.0)),
    "a class method": (lambda: INSTANCE.of_class(), *put(Base, "k")),
    "a class method of the class": (lambda: A.of_class(), *put(A, "of_class", A.of_class, lambda: 4.0)),
    "a descriptor": (lambda: DESCRIBED.scale, *put(Reading, "k")),
    "an attribute of a metaclass": (lambda: WithMeta.k, *put(Meta, "k")),
    "__class__": (lambda: INSTANCE.scaled(), *put(INSTANCE, "__class__", A, Other)),
    "__defaults__": (lambda: with_default(), *put(with_default, "__defaults__", (1.0,), (2.0,))),
    "__kwdefaults__": (lambda: with_default(), *put(with_default, "__kwdefaults__", {"other": 1.0}, {"other": 2.0})),
    "an item of __kwdefaults__": (lambda: with_other(), *item(with_other.__kwdefaults__, "other")),
    "__code__": (lambda: with_default(), *put(with_default, "__code__", CODE, other_code.__code__)),
    "a bytearray": (lambda: BYTES[0], *item(BYTES, 0, 1, 3)),
    "an array": (lambda: NUMBERS[0], *item(NUMBERS, 0)),
    "globals()": (lambda: globals()["K"], *item(globals(), "K")),
    "getattr of a module": (lambda: getattr(MODULE, "k"), *put(MODULE, "k")),  # noqa: B009
    "a view of a dict": (lambda: sum(VALUES), *item(TABLE, "k")),
    "a read-only view": (lambda: PROXY["k"], *item(TABLE, "k")),
    "os.environ": (lambda: float(os.environ["TINYGRAD_RNN_TEST"]), *item(os.environ, "TINYGRAD_RNN_TEST", "1", "3")),
    "os.getenv": (lambda: float(os.getenv("TINYGRAD_RNN_TEST")), *item(os.environ, "TINYGRAD_RNN_TEST", "1", "3")),
    "threading.local": (lambda: LOCAL.k, *put(LOCAL, "k")),
    "a context variable": (lambda: VARIABLE.get(), lambda: VARIABLE.set(3.0), lambda: VARIABLE.set(1.0)),
}


@pytest.fixture(autouse=True)
def _the_variable_begins_as_1():  # whatever an earlier test has written there
    token = VARIABLE.set(1.0)
    yield
    VARIABLE.reset(token)


@pytest.mark.parametrize("name", READS)
def test_what_is_read_may_change(name):
    read, change, back = READS[name]
    compiled = tg.compile(lambda x: x * read())
    try:
        first = compiled(X).item()
        change()
        assert compiled(X).item() == read() != first
    finally:
        back()
    assert compiled(X).item() == first


def test_the_closure_of_a_hook_is_followed():
    scale, w = 1.0, tg.nn.Parameter([1.0])

    def hook(gradient):
        return gradient * scale

    tg.Tensor.register_hook(w, hook)
    step = tg.compile(lambda x: tg.grad((w * x).sum(), w)[0])
    assert step(X).item() == 1.0
    scale = 3.0
    assert step(X).item() == 3.0


# What it writes ---------------------------------------------------------------------------------------------


class Counting:
    def __init__(self):
        self.n = 0
        self.table = {}

    def __call__(self, x):
        self.n += 1
        return x

    def tabled(self, x):
        self.table[len(self.table)] = 1
        return x


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


def writers():
    counting, slotted, inner, module = Counting(), Slotted(), Counting(), tg.nn.Linear(1, 1)
    hist, seen, flags, raw, numbers = [], set(), {"k": 0}, bytearray([0]), np.zeros(1)
    queue, text = [[1.0]], io.StringIO("1\n2\n3\n")

    def increment(x):
        slotted.n += 1
        return x

    def by_setattr(x):
        name = "n"
        setattr(inner, name, inner.n + 1)
        return x

    def by_dict(x):
        vars(inner)["n"] = vars(inner)["n"] + 1
        return x

    def of_a_layer(x):
        module.calls = getattr(module, "calls", 0) + 1
        return x

    def of_a_class(x):
        Slotted.made = getattr(Slotted, "made", 0) + 1
        return x

    def of_a_function(x):
        of_a_function.calls = getattr(of_a_function, "calls", 0) + 1
        return x

    def item_of_a_dict(x):
        flags["k"] += 1
        return x

    def item_of_an_array(x):
        numbers[0] += 1
        return x

    def deleted(x):
        queue[0].pop() if queue[0] else queue[0].append(1.0)
        return x

    def by_globals(x):
        globals()["K"] = globals()["K"] + 1.0
        return x

    return {
        "s.n += 1": counting, "in slots": increment, "setattr": by_setattr, "__dict__": by_dict,
        "a layer's": of_a_layer, "a class's": of_a_class, "a function's": of_a_function,
        "append": lambda x: (hist.append(1), x)[1],
        "add": lambda x: (seen.add(len(seen)), x)[1], "d[k] += 1": item_of_a_dict, "a dict in an object": inner.tabled,
        "a bytearray": lambda x: (raw.append(1), x)[1], "an array": item_of_an_array, "pop": deleted,
        "globals()": by_globals, "a line": lambda x: x * float(next(text)),
        "print": lambda x: (print(file=text), x)[1],
        "a context variable": lambda x: (VARIABLE.set(VARIABLE.get() + 1), x)[1],
        "a default": lambda x, kept=[]: (kept.append(1), x)[1],
    }  # fmt: skip


@pytest.mark.parametrize("name", writers())
def test_a_write_that_later_calls_would_not_repeat_is_named(name):
    with pytest.raises(tg.GraphError, match=rf"a compiled function changes .*at {HERE}\).*return the value"):
        tg.compile(writers()[name])(X)


@pytest.mark.parametrize(
    "console", [lambda: print("once"), lambda: print(1, file=sys.stderr), lambda: sys.stdout.write("")]
)
def test_a_line_that_is_printed_is_named(console):
    with pytest.raises(tg.GraphError, match=rf"a line is printed \(at {HERE}\).*print it outside"):
        tg.compile(lambda x: (console(), x)[1])(X)
    made_inside = tg.compile(lambda x: (print("kept", file=io.StringIO()), x)[1])
    assert made_inside(X).tolist() == X.tolist()


def generated():
    yield from (1.0, 2.0, 3.0)


ITERATORS = {
    "a list's": lambda: iter([1.0, 2.0]), "a generator": generated, "a generator's": lambda: map(float, generated()),
    "zip": lambda: map(sum, zip([1.0], [2.0])), "text": lambda: map(float, "123"), "count": itertools.count,
    "cycle": lambda: itertools.cycle([1.0, 2.0]), "chain": lambda: itertools.chain([1.0], [2.0]),
    "a library's": lambda: map(len, csv.DictReader(["a", "2"])), "NumPy's": lambda: np.ones(3).flat,
    "until": lambda: iter(lambda: 1.0, 2.0), "batches": lambda: map(len, tg.data.DataLoader([1.0, 2.0])),
}  # fmt: skip


@pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS)
@pytest.mark.parametrize("way", ["a name", "an attribute", "in a list", "an argument"])
def test_an_iterator_from_outside_is_named(make, way):
    taken, holder, listed = make(), Counting(), [make()]
    holder.taken = make()

    def helped(x, values):
        return x * next(values)

    fn = {
        "a name": lambda x, given: x * next(taken),
        "an attribute": lambda x, given: helped(x, holder.taken),
        "in a list": lambda x, given: x * next(listed[0]),
        "an argument": helped,
    }[way]
    words = rf"is an iterator from outside \(at {HERE}\).*take the value outside|an argument .* unhashable"
    with pytest.raises((tg.GraphError, tg.DTypeError), match=words):
        tg.compile(fn)(X, make() if way == "an argument" else 0)


def test_the_line_that_names_an_iterator_is_told():
    taken = iter([2.0])

    def fn(x):
        y = x * 2
        return y * next(taken)

    with pytest.raises(tg.GraphError, match=rf"outside\.py:{fn.__code__.co_firstlineno + 2}\): "):
        tg.compile(fn)(X)


def test_an_iterator_that_is_made_inside_is_the_same_in_every_call():
    f = tg.compile(lambda x: x * next(iter([2.0])) * sum(generated()) * len([*zip([1], [2])]))
    assert f(X).tolist() == f(X).tolist() == [12.0 * v for v in X.tolist()] and f.recordings == 1


def test_a_context_variable_is_put_back():
    before = VARIABLE.set(2.0)

    def fn(x):
        VARIABLE.set(VARIABLE.get() + 1)
        return x * VARIABLE.get()

    with pytest.raises(tg.GraphError, match="changes"):
        tg.compile(fn)(X)
    assert VARIABLE.get() == 2.0
    VARIABLE.reset(before)


def test_a_set_that_stays_as_it_is_records_nothing_anew():
    allowed = {1}
    f = tg.compile(lambda x: x * 2 if 1 in allowed else x * 3)
    assert [f(X).item(), f(X).item(), f.recordings] == [2.0, 2.0, 1]
    allowed.clear()
    assert [f(X).item(), f.recordings] == [3.0, 2]


def test_what_was_written_is_put_back():
    counting = Counting()
    for fn in (counting, counting.tabled):
        with pytest.raises(tg.GraphError, match=HERE):
            tg.compile(fn)(X)
    assert vars(counting) == {"n": 0, "table": {}}


@pytest.mark.parametrize("kind", [list, dict])
def test_an_argument_is_not_written(kind):
    def appended(x, given):
        given.append(1.0) if kind is list else given.update(more=1.0)
        return x

    with pytest.raises(tg.GraphError, match=rf"changes an argument, a {kind.__name__} \(at {HERE}"):
        tg.compile(appended)(X, kind())


def test_what_is_found_out_once_may_be_kept():
    class Lazy(tg.nn.Module):
        def __init__(self):
            self.mask, self.last = None, None

        def forward(self, x):
            if self.mask is None:
                self.mask = np.full(1, 2.0, np.float32)
            self.last = x.shape
            return x * self.mask

    plain, compiled = Lazy(), tg.compile(lazy := Lazy())
    for x in (X, tg.ones(3), X, X):
        assert compiled(x).tolist() == plain(x).tolist()
        assert lazy.last == plain.last
    assert compiled.recordings == 3


def firsts():
    class Layer(tg.nn.Module):
        started = False

        def forward(self, x):
            if not self.started:
                self.started = True
                return x * 100
            return x

    waiting, layer, seen = [5.0], Layer(), {}

    def table(x):
        if "scale" not in seen:
            seen["scale"] = 7.0
            return x * 3
        return x * seen["scale"]

    passed = tg.ones(1).requires_grad_()

    def met(x):  # is recorded again when it comes to the argument that it uses from outside as well
        first, seen["met"] = "met" not in seen, True
        return x * 5 * passed if first else x * passed

    return {
        "a flag": (layer, X),
        "a queue": (lambda x: x * (waiting.pop() if waiting else 1.0), X),
        "a table": (table, X),
        "begun twice": (met, passed),
    }


@pytest.mark.parametrize("name", firsts())
def test_a_first_call_that_is_another_one_does_what_it_does(name):
    (plain, x), (fn, y) = firsts()[name], firsts()[name]
    compiled = tg.compile(fn)
    expected = [plain(x).tolist() for _ in range(3)]
    assert [compiled(y).tolist() for _ in range(3)] == expected and expected[0] != expected[1]
    assert compiled.recordings == 1


def test_what_is_made_inside_may_be_written():
    class Stack:
        def __init__(self):
            self.items, self.n = [], 0

        def push(self, x):
            self.items.append(x)
            self.n += 1

    def fn(x):
        stack, sizes = Stack(), {}
        for i in range(3):
            stack.push(x * i)
            sizes[i] = stack.n
        sizes.pop(0)
        return sum(stack.items) * sum(sizes.values())

    assert tg.compile(fn)(X).item() == fn(X).item() == 15.0


# Random numbers ---------------------------------------------------------------------------------------------

PASSED = np.random.RandomState(0)
SOURCES = {
    "a generator made inside": lambda: np.random.default_rng().random(),
    "an old one": lambda: np.random.RandomState().rand(),
    "Python's": lambda: random.Random().random(),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "secrets": lambda: secrets.randbelow(9),
    "urandom": lambda: os.urandom(1)[0],
    "uuid4": lambda: uuid.uuid4().int % 7,
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_operating_system_draws_is_named(name):
    draw = SOURCES[name]
    with pytest.raises(tg.GraphError, match=rf"random number .*at {HERE}.*pass it in"):
        tg.compile(lambda x: x * draw())(X)


@pytest.mark.parametrize("draw", [lambda r: r.rand(), lambda r: r.normal()])
def test_a_generator_that_is_passed_is_named(draw):
    with pytest.raises(tg.GraphError, match=rf"random number .*at {HERE}"):
        tg.compile(lambda x, r: x * draw(r))(X, PASSED)
    with pytest.raises(tg.GraphError, match=rf"random number .*at {HERE}"):
        tg.compile(lambda x, r: x * draw(r[0]))(X, [PASSED])


def test_a_generator_with_a_seed_that_is_made_inside_is_the_same_in_every_call():
    def fn(x):
        return x * np.random.default_rng(3).random() * random.Random(3).random()

    compiled = tg.compile(fn)
    assert compiled(X).item() == compiled(X).item() == fn(X).item()
