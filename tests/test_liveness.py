"""What was left out sends back exactly 0, whatever stands there, and nothing else does: eager, recorded, compiled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import examples

import tinygrad_rnn as tg

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
nan, inf = np.nan, np.inf
ROWS = np.array([[False], [True]])


def ways(function, *arrays):
    """The gradients of ``function`` as they are computed, as they are recorded, and as they are compiled."""
    leaves = [tg.tensor(np.asarray(x, np.float64), requires_grad=True) for x in arrays]
    plain = tg.grad(function(*leaves), leaves)
    recorded = tg.grad(function(*leaves), leaves, create_graph=True)
    compiled = tg.compile(lambda *xs: tg.grad(function(*xs), xs))(*leaves)
    return [[g.numpy() for g in found] for found in (plain, recorded, compiled)]


def check(function, *cases):
    """``cases``: pairs of an operand and the gradient it is to receive, the same all three ways."""
    for found in ways(function, *(x for x, _ in cases)):
        for gradient, (_, expected) in zip(found, cases, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-12)


LEAVING_OUT = {
    "where": lambda x: tg.where(x > 0.5, x, 0.0),
    "where, the other way": lambda x: tg.where(x <= 0.5, 0.0, x),
    "clip": lambda x: x.clip(0.5),
    "maximum": lambda x: tg.maximum(x, 0.5),
    "minimum": lambda x: tg.minimum(-x, -0.5),
    "max": lambda x: x.max(),
    "min": lambda x: (-x).min(),
    "slice": lambda x: x[1:],
    "position": lambda x: x[-1],
    "boolean index": lambda x: x[np.array([False, True])],
    "integer index": lambda x: x[np.array([1])],
    "take": lambda x: tg.take(x, np.array([1])),
}


@pytest.mark.parametrize("name", LEAVING_OUT)
def test_a_pole_that_is_left_out_receives_zero(name):
    left_out = LEAVING_OUT[name]
    sign = -1.0 if name in ("minimum", "min") else 1.0
    # the slope of sqrt is infinite at 0
    check(lambda x: left_out(x.sqrt()).sum(), ([0.0, 4.0], [0.0, sign * 0.25]))
    check(
        lambda x: left_out((x.sqrt() * 1.0).reshape(1, 2).transpose(0, 1).squeeze(1)).sum(),
        ([0.0, 4.0], [0.0, sign * 0.25]),
    )


BAD = np.array([[nan, inf], [1.0, 2.0]])
PRODUCTS = {
    "matmul": lambda w: BAD @ w,
    "linear": lambda w: tg.nn.functional.linear(tg.tensor(BAD), w.T),
    "einsum": lambda w: tg.einsum("ij,jk->ik", BAD, w),
    "a batch": lambda w: (tg.tensor(BAD)[:, None, :] @ w).squeeze(1),
    "elementwise and sum": lambda w: (tg.tensor(BAD)[:, :, None] * w).sum(1),
    "swapped": lambda w: (w.T @ BAD.T).T,
    "vectors": lambda w: tg.stack([tg.tensor(BAD[0]) @ w, tg.tensor(BAD[1]) @ w]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_ignores_what_only_meets_what_was_left_out(name):
    product = PRODUCTS[name]
    expected = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    check(lambda w: tg.where(ROWS, product(w), 0.0).sum(), (np.ones((2, 3)), expected))
    check(lambda w: product(w)[1].sum(), (np.ones((2, 3)), expected))


def test_what_counts_stays_nan():
    check(lambda x: (x.log() * 0.0).sum(), ([0.0, 1.0], [nan, 0.0]))
    # another branch's choice changes nothing
    check(
        lambda x, q: (x.log() * 0.0).sum() + q.clip(0.0, 2.0).sum(), ([0.0, 1.0], [nan, 0.0]), ([3.0, 1.0], [0.0, 1.0])
    )
    # nor does a choice that took it
    check(lambda x: (tg.where(x >= 0.0, x.log(), 0.0) * 0.0).sum(), ([0.0, 1.0], [nan, 0.0]))
    # where branches meet, one that counts is enough
    check(lambda x: ((y := x.sqrt()) * 0.0).sum() + y[1:].sum(), ([0.0, 4.0], [nan, 0.25]))
    check(lambda w: (tg.tensor(BAD) @ w)[:, 0].sum(), (np.ones((2, 2)), [[nan, 0.0], [inf, 0.0]]))


def test_the_sum_of_nothing_sends_nothing():
    check(lambda x: tg.logsumexp(x), ([-inf, -inf], [0.0, 0.0]))
    check(lambda x: tg.logsumexp(x, axis=1).sum(), ([[-inf, -inf], [-inf, 0.0]], [[0.0, 0.0], [0.0, 1.0]]))


def test_twice():
    def slope(x):
        (g,) = tg.grad(tg.where(x > 5.0, x**1.5, x * x).sum(), x, create_graph=True)
        return g.sum()

    check(slope, ([0.0, -1.0, 9.0], [2.0, 2.0, 0.25]))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bad", [nan, inf])
def test_padding_counts_for_nothing(kind, bad):
    tg.manual_seed(0)
    net = getattr(tg.nn, kind)(1, 2, dtype=np.float64)
    x = np.array([[[1.0], [4.0]], [[2.0], [bad]], [[3.0], [bad]]])

    def gradients(x, lengths):
        return tg.grad(net(x, lengths=lengths)[0].sum(), list(net.parameters()))

    expected = [g.numpy() for g in gradients(np.nan_to_num(x, nan=0.0, posinf=0.0), [3, 1])]
    given = tg.tensor(x)
    found = [
        gradients(given, [3, 1]),
        tg.compile(lambda x: gradients(x, [3, 1]))(given),
        tg.compile(gradients)(given, tg.tensor([3, 1])),
    ]
    for each in found:
        for g, e in zip(each, expected, strict=True):
            np.testing.assert_allclose(g.numpy(), e, rtol=1e-12)


STEPS = [
    lambda x: x.tanh(),
    lambda x: x @ np.array([[1.0, 0.5], [-0.25, 2.0]]),
    lambda x: x * 1.5 - 1.0,
    lambda x: x.abs().sqrt(),
    lambda x: tg.where(x > 0.3, x, x.log()),
    lambda x: x.clip(-1.0, 1.0),
    lambda x: tg.maximum(x, x[::-1]),
    lambda x: tg.stack([x[1], x[0], x[1]])[:2],
    lambda x: x - x.amax(0),
    lambda x: tg.concat([x, x / x.sum()])[np.array([0, 3])],
    lambda x: x.softmax(1),
    lambda x: tg.logsumexp(x, axis=1)[:, None] * x.T,
]


@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=5),
    st.lists(st.sampled_from([0.5, 1.25, 0.0, -1.0, nan, inf]), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=2, max_size=2),
)
@examples(10)
def test_programs_are_the_same_all_three_ways(steps, values, rows):
    def function(x):
        y = x
        for step in steps:
            y = step(y)
        return tg.where(np.array(rows)[:, None], y, 0.0).sum()

    plain, recorded, compiled = (found[0] for found in ways(function, np.reshape(values, (2, 2))))
    np.testing.assert_allclose(recorded, plain, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-12)
    if not any(rows):
        assert not plain.any()


IGNORING = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "weight": {"weight": [1.0, 2.0]},
    "smooth": {"label_smoothing": 0.1},
    "a class": {"ignore_index": 0},
}


@pytest.mark.parametrize("name", IGNORING)
@pytest.mark.parametrize("bad", [nan, inf])
def test_targets_to_ignore_count_for_nothing(name, bad):
    settings = IGNORING[name]
    ignored = settings.get("ignore_index", -100)

    def step(x, w, target):
        loss = tg.nn.functional.cross_entropy(x @ w, target, **settings)
        return loss, *tg.grad(loss, [x, w])

    w = tg.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    compiled = tg.compile(step)
    for target, value in (([1, 1], 0.5), ([1, ignored], bad), ([1, 1], 0.5), ([1, ignored], bad)):
        counts = 1 if ignored in target else 2
        x = tg.tensor([[0.5, 1.0], [value, value]], requires_grad=True)
        few = [y.numpy() for y in step(tg.tensor(x.numpy()[:counts], requires_grad=True), w, np.array(target[:counts]))]
        few[1] = np.concatenate([few[1], np.zeros((2 - counts, 2))])
        for way in (step, compiled):
            for found, expected in zip(way(x, w, np.array(target)), few, strict=True):
                np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert compiled.recordings <= 2


def test_a_call_that_meets_a_target_to_ignore_draws_as_a_plain_one():
    def fn(x, target):
        return tg.nn.functional.cross_entropy(tg.nn.functional.dropout(x, 0.5), target)

    x, found = tg.tensor(np.arange(8.0).reshape(4, 2)), []
    for way in (fn, tg.compile(fn)):
        tg.manual_seed(0)
        found.append([way(x, np.array(target)).item() for target in ([0, 1, 1, 0], [0, 1, 1, -100], [0, 1, 1, 0])])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
