"""A compiled function does what the plain one does: written values, dtypes, empty arrays, a cut batch."""

from __future__ import annotations

import copy
import datetime
import functools
import gc
import itertools
import logging
import os
import pathlib
import random
import socket
import subprocess
import threading
import time
import timeit
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.testing import RECIPES, Source

KINDS = ["float32", "float64", "int64", "int32", "uint8", "bool"]


def same(a, b):
    """Equal up to rounding, dtype and all."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-5 if a.dtype == np.float32 else 1e-11, atol=1e-6)


WRITES = {
    "zeros_": lambda p: tg.nn.init.zeros_(p),
    "a number": lambda p: p.copy_(0.5),
    "a constant": lambda p: p.copy_(tg.ones(2)),
    "data": lambda p: setattr(p, "data", np.full(2, 3.0, np.float32)),
    "broadcast": lambda p: p.copy_(tg.tensor([4.0])),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_constant_is_assigned_to_what_is_only_written(write):
    def fn(x):
        with tg.no_grad():
            WRITES[write](p)
        return x * 1

    p = tg.tensor([7.0, 8.0])
    fn(tg.ones(1))
    expected = p.tolist()
    p = tg.tensor([7.0, 8.0])
    step = tg.compile(fn)
    for _ in range(2):
        step(tg.ones(1))
        assert p.tolist() == expected


@pytest.mark.parametrize("settings", [{}, {"nesterov": True}], ids=str)
def test_momentum_of_a_gradient_that_is_a_constant(settings):
    """The bias' gradient is 1 whatever the input: a constant of the program, and so is the first momentum."""
    biases = []
    for wrap in (lambda fn: fn, tg.compile):
        tg.manual_seed(0)
        model = tg.nn.Linear(2, 1)
        optimizer = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, **settings)

        @wrap
        def step(x, model=model, optimizer=optimizer):
            loss = model(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        for _ in range(4):
            step(tg.ones(3, 2))
        biases.append(model.bias)
    same(*biases)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(KINDS, KINDS)), ids=str)
def test_what_is_put_side_by_side_is_cast_first(first, second):
    a, b = (tg.tensor(np.arange(6).reshape(2, 3) % 2 + (k == "float64") / 3, dtype=k) for k in (first, second))
    for fn in (lambda a, b: tg.concat([a, b], 1), lambda a, b: tg.stack([a, b]), lambda a, b: tg.concat([b, a, b], 0)):
        same(tg.compile(fn)(a, b), fn(a, b))


@pytest.mark.parametrize("name", sorted(set(tg.TABLE) & set(RECIPES)))
@pytest.mark.parametrize("kind", ["uint8", "bool"])
def test_functions_of_real_numbers_take_integers_as_they_do_eagerly(name, kind):
    """Whatever a primitive makes of integers and booleans, error or value, it makes compiled."""
    for seed in range(2):
        case = RECIPES[name](Source(seed, sizes=[1, 2]))
        given = [
            np.asarray(np.abs(x) % 5).astype(kind) if np.asarray(x).dtype.kind == "f" else x for x in case.operands
        ]
        arrays = [x for x in given if isinstance(x, np.ndarray)]

        def fn(*tensors, given=given, attrs=case.attrs):
            it = iter(tensors)
            return tg.TABLE[name](*(next(it) if isinstance(x, np.ndarray) else x for x in given), **attrs)

        tensors = [tg.tensor(x) for x in arrays]
        with np.errstate(all="ignore"):
            try:
                expected = fn(*tensors)
            except tg.TinygradError:
                with pytest.raises(tg.TinygradError):
                    tg.compile(fn)(*tensors)
                continue
            same(tg.compile(fn)(*tensors), expected)


def test_gradients_through_mixed_dtypes():
    def fn(x):
        return tg.grad(tg.concat([x, np.ones((2, 1))], 1).square().sum(), x)[0]

    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    same(tg.compile(fn)(x), fn(x))


@pytest.mark.parametrize(
    ("fn", "shape"),
    [
        (lambda x: x.prod(2), (4, 0, 4)),
        (lambda x: x[::2, 0:1, 1], (0, 2, 2)),
        (lambda x: x[1:, ::2].sum(0), (1, 3)),
        (lambda x: x[:0].T + 1, (3, 2)),
    ],
)
def test_slices_of_empty_tensors(fn, shape):
    same(tg.compile(fn)(tg.zeros(*shape)), fn(tg.zeros(*shape)))


@pytest.mark.parametrize("fn", [lambda w, x: ((x @ w).tanh(), x), lambda w, x: ((x @ w).tanh(), x[0])])
def test_a_batch_that_is_cut_may_be_returned_too(fn):
    tg.manual_seed(0)
    w = tg.nn.Parameter(tg.randn(512, 512) * 0.05)
    x = tg.randn(128, 512)
    for a, b in zip(tg.compile(lambda x: fn(w, x), threads=2)(x), fn(w, x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


def test_a_batch_that_is_cut_with_lengths_and_a_gradient_for_the_input():
    tg.manual_seed(0)
    model = tg.nn.LSTM(32, 128)
    lengths = tg.tensor(np.arange(64) % 10 + 1)

    def fn(x, lengths):
        return tg.grad(model(x, lengths=lengths)[0].square().sum(), x)[0]

    x = tg.tensor(tg.randn(10, 64, 32).numpy(), requires_grad=True)
    a, b = tg.compile(fn, threads=2)(x, lengths), fn(x, lengths)
    np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_fork_while_another_thread_is_inside_a_call():
    inside, release = threading.Event(), threading.Event()

    @tg.compile
    def fn(x):
        inside.set()
        release.wait(60)
        return x * 2

    thread = threading.Thread(target=fn, args=(tg.ones(1),))
    thread.start()
    assert inside.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forking beside threads, and so does JAX, if it is imported
        child = os.fork()
    if not child:
        release.set()
        threading.Timer(20, os._exit, (1,)).start()  # a deadlock ends as a failure
        os._exit(fn(tg.ones(1)).tolist() != [2.0])
    release.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


# One tensor, twice ----------------------------------------------------------------------------------------


def test_the_same_tensor_passed_twice_gets_its_whole_gradient():
    def fn(a, b):
        return tg.grad((a * b).sum(), a)[0]

    compiled, x, y = (
        tg.compile(fn),
        tg.tensor([1.0, 2.0], requires_grad=True),
        tg.tensor([5.0, 6.0], requires_grad=True),
    )
    for a, b in ((x, x), (x, y), (y, y), (y, x)):
        same(compiled(a, b), fn(a, b))


def test_an_argument_that_the_function_also_uses():
    w, v = tg.nn.Parameter([1.0, 2.0]), tg.nn.Parameter([5.0, 6.0])

    def fn(p):
        return tg.grad((p * w).sum(), w)[0]

    compiled = tg.compile(fn)
    for p in (w, v, w):
        same(compiled(p), fn(p))


def test_parameters_passed_to_a_step_that_updates_them():
    finals = []
    for wrap in (lambda fn: fn, tg.compile):
        tg.manual_seed(0)
        model = tg.nn.Linear(2, 1)
        optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

        @wrap
        def step(parameters, x, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            (model(x).square().sum() + sum(p.square().sum() for p in parameters)).backward()
            optimizer.step()

        for _ in range(2):
            step(list(model.parameters()), tg.ones(3, 2))
        finals.append(model.weight)
    same(*finals)


# Gradients that outlive the call ----------------------------------------------------------------------------


def trained(wrap, *, clears, steps_inside, steps_outside=0, rounds=3):
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.1)

    @wrap
    def step(x):
        if clears:
            optimizer.zero_grad()
        (w * w * x).sum().backward()
        if steps_inside:
            optimizer.step()

    seen = []
    for _ in range(rounds):
        step(tg.ones(2))
        seen.append(w.grad.tolist())
        for _ in range(steps_outside):
            optimizer.step()
        seen.append(w.tolist())
    return seen


@pytest.mark.parametrize("clears", [False, True])
@pytest.mark.parametrize("steps_inside", [False, True])
@pytest.mark.parametrize("steps_outside", [0, 1])
def test_gradients_accumulate_and_are_there_afterwards(clears, steps_inside, steps_outside):
    settings = {"clears": clears, "steps_inside": steps_inside, "steps_outside": steps_outside}
    np.testing.assert_allclose(
        np.array(trained(tg.compile, **settings)), np.array(trained(lambda fn: fn, **settings)), rtol=1e-5
    )


def test_gradients_of_an_argument_accumulate():
    def fn(x):
        (x * x).sum().backward()

    found = []
    for step in (fn, tg.compile(fn)):
        x = tg.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(3):
            step(x)
            found.append(x.grad.tolist())
    assert found[:3] == found[3:] == [[2.0, 4.0], [4.0, 8.0], [6.0, 12.0]]


def test_a_step_alone_uses_the_gradient_that_is_there():
    w = tg.nn.Parameter([1.0])
    optimizer = tg.optim.SGD([w], lr=0.5)
    step = tg.compile(lambda: optimizer.step())
    for factor, expected in ((1.0, 0.5), (2.0, -0.5)):
        w.grad = None
        (w * factor).sum().backward()
        step()
        assert w.tolist() == [expected]


def test_a_gradient_does_not_flow_to_a_result_in_silence():
    encoder, head = tg.nn.Linear(2, 2), tg.nn.Linear(2, 1)
    compiled = tg.compile(lambda x: encoder(x))
    with pytest.raises(tg.GraphError, match=r"flows to .*made at .*used at test_compile_is_eager\.py:\d+.*detach"):
        head(compiled(tg.ones(1, 2))).sum().backward()
    head(compiled(tg.ones(1, 2)).detach()).sum().backward()
    with tg.no_grad():
        assert not compiled(tg.ones(1, 2)).requires_grad


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_what_is_returned_as_it_came_is_that_tensor_itself(compiled):
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.5)
    wrap = tg.compile if compiled else lambda function: function

    @wrap
    def fn(a, array):
        double = a * 2
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        return {"same": (w, a), "more": [double, array, double, a]}

    array = np.ones(3)
    for a in (tg.tensor([3.0, 4.0]), tg.tensor([5.0, 6.0], requires_grad=True), w):
        for _ in range(2):
            result = fn(a, array)
            assert result["same"][0] is w and result["same"][1] is a
            double, itself, again, last = result["more"]
            assert double is again and itself is array and last is a
        assert double is not fn(a, array)["more"][0]
    assert wrap(lambda x: x)(a) is a and wrap(lambda: w)() is w


def test_a_view_of_a_parameter_taken_before_its_update():
    w = tg.nn.Parameter([[1.0, 2.0]])
    optimizer = tg.optim.SGD([w], lr=0.1)

    def fn(x, view):
        before = view(w)
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return before

    for view in (lambda w: w.T, lambda w: w.detach(), lambda w: w[0][:1]):
        with pytest.raises(tg.GraphError, match=r"test_compile_is_eager\.py:\d+\) views a tensor that was updated"):
            tg.compile(lambda x, view=view: fn(x, view))(tg.ones(1, 2))
    assert tg.compile(lambda x: fn(x, lambda w: w))(tg.ones(1, 2)).tolist() == w.tolist()


# Hooks ------------------------------------------------------------------------------------------------------


def test_hooks_put_on_replaced_and_removed_between_calls():
    w = tg.nn.Parameter([1.0, 2.0])

    def fn(x):
        return tg.grad((w * x).sum(), w)[0]

    def on_an_argument(x):
        return tg.grad((x * x).sum(), x)[0]

    compiled, compiled_argument = tg.compile(fn), tg.compile(on_an_argument)
    leaf = tg.tensor([1.0, 2.0], requires_grad=True)
    for factor in (None, 10, 20, None):
        handles = [] if factor is None else [w.register_hook(lambda g, factor=factor: g * factor)]
        handles += [] if factor is None else [leaf.register_hook(lambda g, factor=factor: g * factor)]
        same(compiled(tg.ones(2)), fn(tg.ones(2)))
        same(compiled_argument(leaf), on_an_argument(leaf))
        for handle in handles:
            handle.remove()


def test_a_hook_put_on_inside_is_named():
    w = tg.nn.Parameter([1.0])
    with pytest.raises(tg.GraphError, match=r"hook is put on .*test_compile_is_eager\.py:\d+"):
        tg.compile(lambda x: w.register_hook(lambda g: g))(tg.ones(1))


# What is found outside ----------------------------------------------------------------------------------------


class Scaled(tg.nn.Module):
    offset = 1.0

    def __init__(self):
        self.w = tg.nn.Parameter([1.0])
        self.settings = {"scale": 1.0}

    def loss(self, x):
        return self.w * x * self.settings["scale"] + self.offset


CHANGES = {
    "dict in a module": lambda m: m.settings.__setitem__("scale", 3.0),
    "parameter": lambda m: setattr(m, "w", tg.nn.Parameter([5.0])),
    "attribute": lambda m: setattr(m, "offset", 7.0),
    "__dict__": lambda m: vars(m).__setitem__("offset", 7.0),
    "class attribute": lambda m: setattr(type(m), "offset", 9.0),
    "method": lambda m: setattr(type(m), "loss", lambda self, x: x * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_method_reads_may_change(change):
    kind = type("Kind", (Scaled,), {"loss": Scaled.loss, "__module__": __name__})
    model = kind()
    for fn in (tg.compile(lambda x: model.loss(x)), tg.compile(model.loss) if change != "method" else None):
        if fn is None:
            continue
        vars(model).update(vars(kind()))
        vars(model).pop("offset", None)
        same(fn(tg.ones(1)), model.loss(tg.ones(1)))
        CHANGES[change](model)
        same(fn(tg.ones(1)), model.loss(tg.ones(1)))


def test_objects_numbers_and_arrays_from_outside_may_change():
    holder, array, number = type("Holder", (), {"__module__": __name__})(), np.ones(1, np.float32), 1.0
    holder.scale = 1.0

    def fn(x, given):
        return x * given.scale * array * number

    compiled = tg.compile(fn)
    for _ in range(2):
        same(compiled(tg.ones(1), holder), fn(tg.ones(1), holder))
        holder.scale += 1.0
        same(compiled(tg.ones(1), holder), fn(tg.ones(1), holder))
        array += 1
        same(compiled(tg.ones(1), holder), fn(tg.ones(1), holder))
        number += 1.0


GENERATOR = np.random.default_rng(0)


PYTHONS, OLD, BITS = random.Random(0), np.random.RandomState(0), np.random.PCG64(0)
DRAWS = {
    "Python's": random.random,
    "NumPy's": lambda: GENERATOR.random(),
    "Python's own": lambda: PYTHONS.random(),
    "NumPy's old": lambda: OLD.rand(),
    "bits": lambda: BITS.random_raw() % 2,
    "bound": OLD.rand,
    "partial": functools.partial(PYTHONS.gauss, 0, 1),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_random_number_of_python_or_numpy_is_named(draw):
    def fn(x):
        scale = draw()
        return x * scale

    with pytest.raises(tg.GraphError, match=r"random number .*test_compile_is_eager\.py:\d+.*pass it in"):
        tg.compile(fn)(tg.ones(1))


def test_of_several_lines_the_one_that_draws_is_named():
    def fn(x):
        y = x + 1
        z = y * random.random()
        return z - 1

    line = fn.__code__.co_firstlineno + 2
    with pytest.raises(tg.GraphError, match=rf"random number .*test_compile_is_eager\.py:{line}\)"):
        tg.compile(fn)(tg.ones(1))


def _opened(path):
    with open(path) as file:
        return float(file.read())


WHEN, OPEN = "today", open(os.devnull)  # noqa: SIM115  open when the function is compiled


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    OPEN.close()


WORLD = {
    "time": (lambda path: time.time(), "clock is read"),
    "perf_counter": (lambda path: time.perf_counter_ns(), "clock is read"),
    "now": (lambda path: datetime.datetime.now().year, "clock is read"),
    "today": (lambda path: datetime.date.today().year, "clock is read"),
    "open": (_opened, "file is opened"),
    "pathlib": (lambda path: float(path.read_text()), "file is opened"),
    "numpy": (lambda path: np.loadtxt(path), "the operating system is asked"),  # where the file is
    "fromfile": (lambda path: np.fromfile(path, sep=" ")[0], "file is opened"),
    "localtime": (lambda path: time.localtime().tm_sec, "clock is read"),
    "strftime": (lambda path: float(time.strftime("%S")), "clock is read"),
    "datetime64": (lambda path: np.datetime64("now").astype(float), "clock is read"),
    "a name": (lambda path: np.datetime64(WHEN).astype(float), "clock is read"),
    "dates": (lambda path: np.array(["today"], "M8[D]").astype(float)[0], "clock is read"),
    "timeit": (lambda path: timeit.timeit("1", number=1), "clock is read"),
    "os.open": (lambda path: os.open(path, os.O_RDONLY), "the operating system is asked"),
    "listdir": (lambda path: len(os.listdir(path.parent)), "the operating system is asked"),
    "exists": (lambda path: float(path.exists()), "the operating system is asked"),
    "getsize": (lambda path: os.path.getsize(path), "the operating system is asked"),
    "a process": (lambda path: subprocess.call(["true"]), "the operating system is asked"),
    "a host": (lambda path: len(socket.gethostname()), "the operating system is asked"),
    "input": (lambda path: float(input()), "file is read"),
    "read": (lambda path: len(OPEN.read(1)), "file is read"),
}


@pytest.mark.parametrize(("ask", "what"), WORLD.values(), ids=WORLD)
def test_a_clock_or_a_file_is_named(ask, what, tmp_path):
    path = tmp_path / "scale.txt"
    path.write_text("2.0")
    with pytest.raises(tg.GraphError, match=rf"{what} \(at test_compile_is_eager\.py:\d+\).*outside"):
        tg.compile(lambda x: x * ask(path))(tg.ones(1))


def test_a_logger_may_be_silent_and_paths_are_only_text():
    def fn(x):
        logging.getLogger("fn").debug("not written")
        os.path.join("a", "b")
        pathlib.Path("a") / "b"
        np.datetime64("2020-01-01")
        return x * 2

    assert tg.compile(fn)(tg.ones(1)).tolist() == [2.0]


def test_rows_without_elements_that_change_their_shape():
    def looked_up(table):
        return tg.nn.functional.embedding(np.array([0, 1]), table).reshape(0)

    table = tg.zeros(2, 0)
    assert tg.compile(looked_up)(table).shape == looked_up(table).shape == (0,)


@pytest.mark.parametrize("count", [511, 513, 5000])
@pytest.mark.parametrize("shape", [(1,), (), (1, 1)])
def test_one_condition_for_a_row_that_is_longer_than_a_tile(count, shape):
    chosen = tg.compile(lambda condition, x: tg.where(condition, x * 2, 0.0))
    for value in (True, False):
        same(chosen(tg.tensor(np.full(shape, value)), tg.ones(count)), tg.full((*shape[1:], count), 2.0 * value))


def test_a_row_of_booleans_that_is_longer_than_a_tile_is_kept():
    kept, x = tg.tensor(np.zeros(700, bool)), tg.tensor(np.arange(700) % 2)
    tg.compile(lambda: kept.copy_(x > 0))()
    assert kept.tolist() == (x > 0).tolist()


# Gradients that the function itself starts afresh and uses ----------------------------------------------------


def updated(wrap):
    """A parameter and a step that forgets its gradient, makes it anew, clips it and updates with it."""
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.1, momentum=0.9)

    @wrap
    def step(index):
        optimizer.zero_grad()
        tg.nn.functional.embedding(index, (w * w).reshape(2, 1)).sum().backward()
        tg.nn.utils.clip_grad_norm_([w], 3.0)
        optimizer.step()

    return w, optimizer, step


@pytest.mark.parametrize(
    "then",
    [
        lambda w, optimizer, step: w.grad,
        lambda w, optimizer, step: [optimizer.step(), w.clone()][1],
        lambda w, optimizer, step: [(w * 3).sum().backward(), w.grad][1],
        lambda w, optimizer, step: [step(np.array([1])), w.grad][1],  # another program
        lambda w, optimizer, step: [step(np.array([1, 1])), w.grad][1],
        lambda w, optimizer, step: copy.deepcopy(w).grad,
        lambda w, optimizer, step: [copy.copy(w), step(np.array([1, 1]))][0].grad,
        lambda w, optimizer, step: [w.grad, step(np.array([1, 1]))][0],
        lambda w, optimizer, step: tg.compile(lambda: (w.grad * 2).clone())(),
        lambda w, optimizer, step: tg.compile(lambda w: (w.grad * 2).clone())(w),
        lambda w, optimizer, step: [tg.compile(lambda: (w * 3).sum().backward())(), w.grad][1],
        lambda w, optimizer, step: [w.grad.copy_(w.grad * 2), w.grad][1],
    ],
)
def test_a_gradient_that_was_used_is_there_for_who_asks(then):
    found = []
    for wrap in (lambda fn: fn, tg.compile):
        w, optimizer, step = updated(wrap)
        step(np.array([0, 1]))
        found.append(then(w, optimizer, step).tolist())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


def test_a_gradient_that_was_used_outlives_its_program_and_looking_at_what_ran():
    w, _, step = updated(tg.compile)
    step(np.array([0, 1]))
    step.explain()
    del step
    gc.collect()
    np.testing.assert_allclose(w.grad.numpy(), np.array([2.0, 4.0]) * 3 / 20**0.5, rtol=1e-6)


def test_looking_at_what_ran_leaves_the_gradient_of_before_the_update():
    w = tg.nn.Parameter([1.0])
    optimizer = tg.optim.SGD([w], lr=0.25)

    @tg.compile
    def step(x):
        loss = (w * x).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(tg.ones(1))
    for _ in range(2):  # a gradient that was not asked for yet, and one that was
        step.explain()  # runs its instructions again, on the weight as it is now
        assert (w.grad.tolist(), w.tolist()) == ([2.0], [0.5])


def test_a_gradient_that_a_failed_call_wrote_over_is_named():
    w, optimizer, step = updated(tg.compile)
    for _ in range(2):  # with the momentum that the first call begins, the second is recorded anew
        step(tg.tensor([0, 1]))
    with pytest.raises(tg.OutOfRangeError):
        step(tg.tensor([0, 5]))
    for use in (lambda: w.grad, optimizer.step, (w * 2).sum().backward, lambda: copy.copy(w)):
        with pytest.raises(tg.GraphError, match=r"gradient of .*\(2,\) is gone: .* zero_grad\(\)"):
            use()
    step(tg.tensor([0, 1]))
    assert w.grad.shape == (2,)


@pytest.mark.parametrize(("dtype", "least", "most"), [(np.float32, -110, 95), (np.float64, -760, 720)])
def test_exponentials_over_the_whole_range(dtype, least, most):
    """Subnormal results too: a derivative far out, multiplied by a large gradient, is no small number any more."""
    x = np.concatenate([np.linspace(least, most, 20_001), [-np.inf, np.inf, np.nan]]).astype(dtype)
    found = tg.compile(lambda x: x.exp())(tg.tensor(x)).numpy()
    with np.errstate(all="ignore"):
        expected = tg.tensor(x).exp().numpy()
        units = np.abs(found - expected) / np.spacing(expected)
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.nanmax(units[np.isfinite(expected)]) <= 2
    assert np.array_equal(found[-3:], expected[-3:], equal_nan=True)
