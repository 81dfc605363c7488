"""A compiled function does what the plain one does: written values, dtypes, empty arrays, a cut batch."""

from __future__ import annotations

import itertools
import os
import threading
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

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
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking beside threads
        child = os.fork()
    if not child:
        release.set()
        threading.Timer(20, os._exit, (1,)).start()  # a deadlock ends as a failure
        os._exit(fn(tg.ones(1)).tolist() != [2.0])
    release.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
