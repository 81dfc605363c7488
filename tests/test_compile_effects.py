"""What a compiled function does besides computing: refused with the line where it would go wrong, else harmless."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg

HERE = r"test_compile_effects\.py:\d+"
X = tg.tensor([1.0, 2.0])
counter = 0


def test_a_state_kept_in_a_list_or_an_attribute_is_named():
    """Every later call would start from the first one's state."""
    cell = tg.nn.RNNCell(2, 2)
    kept = [tg.zeros(1, 2)]

    @tg.compile
    def step(x):
        kept[0] = cell(x, kept[0])
        return kept[0] * 1

    with pytest.raises(tg.GraphError, match=f"at {HERE}.*belongs to a function being compiled.*return it"):
        step(tg.ones(1, 2))


def test_a_result_in_something_that_is_not_looked_into_is_named():
    with pytest.raises(tg.GraphError, match=f"at {HERE}.*belongs to a function being compiled"):
        tg.compile(lambda x: {x * 2})(X)


def test_names_outside_are_not_assigned():
    calls = 0

    def count(x):
        nonlocal calls
        calls += 1
        return x

    def count_globally(x):
        global counter
        counter += 1
        return x

    for fn, name in ((count, "calls"), (count_globally, "counter")):
        with pytest.raises(tg.GraphError, match=f"would assign {name}, .*at {HERE}"):
            tg.compile(fn)


def test_names_of_its_own_may_be_shared_with_inner_functions():
    def fn(x):
        scale = 1.0

        def scaled():
            return x * scale

        scale = 3.0
        return scaled()

    assert tg.compile(fn)(X).tolist() == [3.0, 6.0]


def test_random_numbers_are_drawn_outside():
    with pytest.raises(tg.GraphError, match=f"random number.*{HERE}"):
        tg.compile(lambda x: x * tg.random.generator().random())(X)
    with pytest.raises(tg.GraphError, match=f"random number.*{HERE}"):
        tg.compile(lambda x: tg.nn.Linear(2, 2)(x))(X)


def test_an_element_of_an_array_is_not_written():
    array = np.zeros(2)
    for index in (0, ...):
        with pytest.raises(tg.GraphError, match=f"no value while.*{HERE}"):
            tg.compile(lambda x, index=index: array.__setitem__(index, x[index]))(X)


def test_a_constant_of_its_own_is_written_before_it_is_used():
    def fill(x):
        constant = tg.zeros(2)
        constant[1] = 5.0
        return x + constant

    def fill_too_late(x):
        constant = tg.zeros(2)
        y = x + constant
        constant[1] = 5.0
        return y + constant

    assert tg.compile(fill)(X).tolist() == [1.0, 7.0]
    with pytest.raises(tg.GraphError, match=f"written in place .at {HERE}. after"):
        tg.compile(fill_too_late)(X)


def test_each_dropout_draws_as_in_a_plain_call():
    def fn(x):
        F = tg.nn.functional
        return F.dropout(x, 0.5), F.dropout(x * 2, 0.3).sum() + F.dropout(x, 0.5)

    compiled, x = tg.compile(fn), tg.ones(40)
    for seed in (0, 1, 2):
        tg.manual_seed(seed)
        got = compiled(x)
        tg.manual_seed(seed)
        for mine, plain in zip(got, fn(x), strict=True):
            np.testing.assert_allclose(mine.numpy(), plain.numpy(), rtol=1e-6)


def test_a_model_that_is_fed_its_target_draws_nothing():
    model = tg.nn.Seq2Seq(tg.nn.GRU(2, 4, num_layers=2, dropout=0.5), tg.nn.GRU(3, 4, num_layers=2), vocabulary=5)
    source, target = tg.ones(3, 1, 2), np.array([[1], [2]])
    compiled, found = tg.compile(model), []
    for fn in (model, compiled, compiled):
        tg.manual_seed(4)
        found.append(fn(source, target).numpy())
    for scores in found[1:]:
        np.testing.assert_allclose(scores, found[0], rtol=1e-5)


def test_one_compiled_function_inside_another():
    double = tg.compile(lambda x: x * 2)
    outer = tg.compile(lambda x: double(x) + 1)
    for x in (X, X + 1):
        assert double(x).tolist() == (x * 2).tolist() and outer(x).tolist() == (x * 2 + 1).tolist()


def test_methods():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        @tg.compile
        def scaled(self, x):
            return x * self.factor

    two, three = Scale(2.0), Scale(3.0)
    assert [s.scaled(X).tolist() for s in (two, three, two)] == [[2.0, 4.0], [3.0, 6.0], [2.0, 4.0]]


def test_a_module_may_have_attributes_of_the_same_names():
    layer = tg.nn.Linear(2, 2)
    layer.trace = layer._fn = layer._programs = 3
    compiled = tg.compile(layer)
    assert compiled(X).shape == (2,) and len(compiled.trace(X).graph.outputs) == 1


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_error_inside_leaves_nothing_behind(error):
    fails = [True]
    w = tg.nn.Parameter([1.0, 2.0])

    @tg.compile
    def fn(x):
        with tg.scope("inner", step=3), tg.no_grad():
            y = x * 2
            if fails:
                raise error("stop")
        (w * y).sum().backward()
        return w.grad

    with pytest.raises(error):
        fn(X)
    fails.clear()
    assert (X * w).requires_grad and (X * w).scope == tg.Scope() and w.grad is None
    assert fn(X).tolist() == [2.0, 4.0]


def test_functions_are_recorded_in_two_threads_at_once():
    """Each is in the middle of its recording when the other begins."""
    meet = threading.Barrier(2, timeout=30)
    found = {}

    def run(factor):
        def fn(x):
            y = x * factor
            meet.wait()
            return y + factor

        found[factor] = tg.compile(fn)(X).tolist()

    threads = [threading.Thread(target=run, args=(factor,)) for factor in (2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {2.0: [4.0, 6.0], 3.0: [6.0, 9.0]}


def test_numbers_that_are_equal_and_yet_not():
    fn = tg.compile(lambda x, k: x * k)
    assert np.signbit(fn(X, -0.0).numpy()).all() and not np.signbit(fn(X, 0.0).numpy()).any()
    assert fn(X, True).tolist() == fn(X, 1).tolist() == [1.0, 2.0]


def test_the_default_dtype_may_change():
    fn = tg.compile(lambda i: i * 0.5)
    assert fn(np.arange(3)).dtype == np.float32
    tg.set_default_dtype(np.float64)
    try:
        assert fn(np.arange(3)).dtype == np.float64
    finally:
        tg.set_default_dtype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.complex64, object, "U1"])
def test_arrays_that_no_tensor_can_hold_are_refused(dtype):
    with pytest.raises(tg.DTypeError, match=HERE):
        tg.compile(lambda x: x * 2)(np.zeros(3).astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.bool_, ">i4", ">f8"])
def test_arrays_of_other_dtypes(dtype):
    x = np.array([0, 1, 1]).astype(dtype)
    for fn in (
        lambda x: x * 0.5,
        lambda x: x * 2**70,
        lambda x: (tg.as_tensor(x) + 1) ** -2,
        lambda x: tg.as_tensor(x).sum(),
        lambda x: tg.as_tensor(x) + X[0],
    ):
        got, plain = tg.compile(fn)(x), fn(tg.tensor(x))
        assert got.dtype == plain.dtype and got.tolist() == plain.tolist()


@pytest.mark.parametrize("wrong", [[0, 3], [1, 4], [3], [1.0, 2.0]])
def test_lengths_are_looked_at_in_every_call(wrong):
    rnn = tg.nn.GRU(3, 4)
    fn, x = tg.compile(lambda x, lengths: rnn(x, lengths=lengths)[0]), tg.ones(3, 2, 3)
    np.testing.assert_allclose(fn(x, np.array([1, 3])), rnn(x, lengths=[1, 3])[0], rtol=1e-6)
    with pytest.raises((tg.ShapeError, tg.DTypeError), match=rf"GRU: lengths must be .*{HERE}"):
        fn(x, np.array(wrong))


FORK = """
import os, signal, numpy as np, tinygrad_rnn as tg
from tinygrad_rnn.compiler import passes
passes.two_threads.WORTH = 0
rnn = tg.nn.RNN(3, 4)
fn = tg.compile(lambda x: rnn(x)[0].sum(), threads=2)
x = np.ones((3, 16, 3), np.float32)
found = fn(x).item()
assert max(node.lane for node in fn.graph.nodes) == 2
child = os.fork()
if not child:
    signal.alarm(30)  # not to wait for ever
    os._exit(fn(x).item() != found)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_has_a_second_thread_of_its_own():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
