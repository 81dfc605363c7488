"""The kernels' own exp and tanh, digit by digit; rows, axes and tables large enough to reach them."""

import numpy as np
import pytest

import tinygrad_rnn as tg

EXACT = np.longdouble
#: smallest and largest argument whose exp is a normal number, and the error of a few roundings
RANGES = {np.float32: (-87.3, 88.7, 2e-7), np.float64: (-708.3, 709.7, 4e-16)}
#: arguments below these have an exp of less than half the smallest number there is
ZERO = {np.float32: -104, np.float64: -745.2}
SIZE = 4096


def value(function, x, **settings):
    with np.errstate(all="ignore"):
        return getattr(tg, function)(tg.tensor(x), **settings).numpy()


def relative_error(found, expected):
    return float(np.max(np.abs(found - expected) / np.abs(expected)))


@pytest.mark.parametrize("dtype", RANGES)
def test_exp_keeps_its_digits_over_the_whole_range(dtype):
    low, high, tolerance = RANGES[dtype]
    falling = np.linspace(0, low, SIZE, dtype=dtype)
    found = value("softmax", np.stack([np.zeros_like(falling), falling], 1), axis=-1)[:, 1]
    e = np.exp(falling.astype(EXACT))
    assert found.dtype == dtype and relative_error(found, e / (1 + e)) < tolerance
    rising = np.linspace(0, min(high, -low), SIZE, dtype=dtype)  # beyond, the quotient is not a normal number
    assert relative_error(value("sigmoid", -rising), 1 / (1 + np.exp(rising.astype(EXACT)))) < tolerance
    near = np.linspace(-1e-3, 1e-3, SIZE, dtype=dtype)
    assert relative_error(value("sigmoid", near), 1 / (1 + np.exp(-near.astype(EXACT)))) < tolerance


@pytest.mark.parametrize("dtype", RANGES)
def test_exp_ends_in_zero_and_infinity(dtype):
    _, high, _ = RANGES[dtype]
    x = np.zeros((SIZE, 2), dtype)
    x[:, 1] = np.linspace(ZERO[dtype], -20 * high, SIZE)
    assert (value("softmax", x, axis=-1) == [1, 0]).all()
    assert (value("sigmoid", x[:, 1].repeat(2)) == 0)[2 * 40 :].all() and (
        value("sigmoid", -x[:, 1].repeat(2)) == 1
    ).all()
    ends = np.resize(np.array([np.inf, -np.inf, np.nan, 0], dtype), SIZE)
    assert np.array_equal(value("sigmoid", ends)[:4], [1, 0, np.nan, 0.5], equal_nan=True)
    assert np.array_equal(value("tanh", ends)[:4], [1, -1, np.nan, 0], equal_nan=True)


def test_tanh_keeps_its_digits():
    for x in (np.linspace(-12, 12, SIZE), np.geomspace(1e-30, 1, SIZE), -np.geomspace(1e-5, 9.5, SIZE)):
        x = x.astype(np.float32)
        found = value("tanh", x)
        assert found.dtype == np.float32 and relative_error(found[x != 0], np.tanh(x[x != 0].astype(EXACT))) < 4e-7
    far = np.linspace(9.01, 20, SIZE, dtype=np.float32)
    assert (value("tanh", far) == 1).all() and (value("tanh", -far) == -1).all()


ROWS = {
    "the first is the largest": [1000.0, 0.0, -1.0, 2.0],
    "the second is the largest": [0.0, 1000.0, -1.0, 2.0],
    "the last is the largest": [0.0, 3.0, -1.0, 1000.0],
    "all small": [-1000.0, -1001.0, -1002.0, -1000.5],
    "one impossible": [0.0, -np.inf, 1.0, 2.0],
    "all impossible": [-np.inf] * 4,
    "one infinite": [0.0, np.inf, 1.0, 2.0],
    "one nan": [0.0, np.nan, 1.0, 2.0],
}


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("row", ROWS)
def test_rows_are_shifted_by_their_largest(row, dtype):
    count = SIZE // 4
    x = np.tile(np.array(ROWS[row], dtype), (count, 1))
    target = np.arange(count) % 4
    for name in ("softmax", "log_softmax", "logsumexp"):
        few = value(name, x[:4], axis=-1)  # too little for a kernel
        expected = np.tile(few, (count // 4, *[1] * (few.ndim - 1)))
        np.testing.assert_allclose(value(name, x, axis=-1), expected, rtol=1e-6, atol=1e-35)
    few = cross_entropy(x[:4], target[:4])
    np.testing.assert_allclose(cross_entropy(x, target), np.tile(few, count // 4), rtol=1e-6)


def cross_entropy(logits, target, **settings):
    logits, target = tg.tensor(np.moveaxis(logits, -1, 1)), tg.tensor(target)
    with np.errstate(all="ignore"):
        return tg.nn.functional.cross_entropy(logits, target, reduction="none", **settings).numpy()


def test_targets_may_be_ignored_and_have_any_shape(rng):
    logits, target = rng.standard_normal((16, 60, 5)), rng.integers(0, 5, (16, 60))
    target[3, 4:50] = 2
    e = np.exp(logits)
    expected = np.log(e.sum(-1)) - np.take_along_axis(logits, target[..., None], -1)[..., 0]
    np.testing.assert_allclose(cross_entropy(logits, target), expected, rtol=1e-12)
    expected[target == 2] = 0
    np.testing.assert_allclose(cross_entropy(logits, target, ignore_index=2), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis(name, axis, rng):
    x = rng.standard_normal((16, 15, 18))
    e = np.exp(x)
    total = e.sum(axis, keepdims=True)
    expected = {"softmax": e / total, "log_softmax": x - np.log(total), "logsumexp": np.log(total).squeeze(axis)}[name]
    np.testing.assert_allclose(value(name, x, axis=axis), expected, rtol=1e-13, atol=1e-14)


def test_logsumexp_of_several_axes(rng):
    x = rng.standard_normal((16, 15, 18))
    np.testing.assert_allclose(value("logsumexp", x), np.log(np.exp(x).sum()), rtol=1e-13)
    for axes, keepdims in (((0, 2), True), ((-1, 1), False)):
        expected = np.log(np.exp(x).sum(axes, keepdims=keepdims))
        np.testing.assert_allclose(value("logsumexp", x, axis=axes, keepdims=keepdims), expected, rtol=1e-13)


def test_rows_of_a_table_of_matrices_are_added_up(rng):
    table = tg.tensor(rng.standard_normal((5, 3, 7)), requires_grad=True)
    indices = rng.integers(0, 5, (40, 10))
    g = rng.standard_normal((40, 10, 3, 7))
    (found,) = tg.grad(tg.take(table, indices), table, g)
    expected = np.zeros((5, 3, 7))
    np.add.at(expected, indices, g)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
