"""`max` and `min`: PyTorch's pair along a dimension, NumPy's values for NumPy's words, and the version between."""

import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

ROWS = [[1.0, 3.0, 3.0], [4.0, 2.0, 0.0]]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_the_pair_is_pytorchs(name, keepdim, dim):
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    data = np.random.default_rng(0).standard_normal((3, 4))
    x, other = tg.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    values, indices = getattr(x, name)(dim, keepdim=keepdim)
    theirs = getattr(other, name)(dim, keepdim=keepdim)
    assert values.tolist() == theirs.values.tolist() and indices.tolist() == theirs.indices.tolist()
    assert indices.dtype == np.int64 and not indices.requires_grad
    (values * values).sum().backward()
    (theirs.values * theirs.values).sum().backward()
    assert x.grad.tolist() == other.grad.tolist()
    again = getattr(tg, name)(x, dim=dim)
    assert again.values.shape == again.indices.shape and again[0] is again.values


def test_the_gradient_goes_to_the_element_that_is_named():
    x = tg.tensor(ROWS, requires_grad=True)
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    x.grad = None
    x.amax(1).sum().backward()  # ties share
    assert x.grad.tolist() == [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]


def test_numpys_words_give_values():
    x, array = tg.tensor(ROWS), np.array(ROWS)
    for ours, numpys in [
        (x.max(), array.max()), (x.max(axis=1), array.max(1)), (x.max(axis=0, keepdims=True), array.max(0)[None]),
        (x.max((0, 1)), array.max()), (x.max(1, keepdims=True), array.max(1)[:, None]), (x.max(keepdim=True), [[4.0]]),
        (x.min(axis=1), array.min(1)), (np.max(x, 1), array.max(1)), (np.amin(x, axis=0), array.min(0)),
        (x.amax(dim=1, keepdim=True), array.max(1)[:, None]), (tg.amin(x, 0), array.min(0)),
        (tg.max(x, tg.tensor(2.0)), np.maximum(array, 2)), (tg.min(x, tg.tensor(2.0)), np.minimum(array, 2)),
    ]:  # fmt: skip
        assert isinstance(ours, tg.Tensor)
        np.testing.assert_array_equal(ours, numpys)


@pytest.mark.parametrize(
    "old",
    [
        lambda pair, _x: pair * 2, lambda pair, _x: 2 * pair, lambda pair, _x: -pair, lambda pair, _x: pair.sum(),
        lambda pair, x: x - pair.unsqueeze(1), lambda pair, x: x[:, 0] - pair, lambda pair, _x: pair[:, None],
        lambda pair, _x: pair + np.ones(2, np.float32), lambda pair, _x: np.ones(2, np.float32) - pair,
        lambda pair, _x: tg.exp(pair), lambda pair, _x: tg.stack([pair, pair]), lambda pair, _x: pair > 3,
        lambda pair, x: tg.where(x[:, 0] > 0, pair, 0.0), lambda pair, _x: tg.tensor(np.asarray(pair)),
        lambda pair, _x: tg.tensor(pair), lambda pair, _x: pair == 3, lambda pair, _x: tg.tensor(pair.shape),
    ],
)  # fmt: skip
def test_a_pair_used_as_values_stands_for_them_and_warns(old):
    x = tg.tensor(ROWS, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = old(x.max(1), x)
    assert {w.category for w in caught} == {FutureWarning} and all(w.filename == __file__ for w in caught)
    assert "x.amax(dim)" in str(caught[0].message) and "\n" not in str(caught[0].message)
    expected = old(x.amax(1), x)
    assert got.tolist() == expected.tolist() and got.requires_grad == expected.requires_grad


def test_a_pair_used_as_a_pair_does_not_warn():
    pair = tg.tensor(ROWS).max(1)
    values, indices = pair
    assert values is pair[0] is pair.values is pair[-2] and indices is pair[1] and len(pair) == 2 and hash(pair)
    with pytest.raises(AttributeError, match="pair"):
        pair.nonsense  # noqa: B018


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int64])
def test_the_smallest_of_integers_does_not_overflow(dtype):
    ends = [False, True] if dtype is np.bool_ else [np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max]
    x = tg.tensor(np.array(ends, dtype))
    for found in (x.min(), x.min(0).values, x.amin(0)):
        assert found.item() == ends[0] and found.dtype == dtype
    assert x.min(0).indices.item() == 0 and x.max(0).indices.item() == len(ends) - 1


def test_compiled():
    def function(x):
        return x.max(1), x.min(0).values * 2

    x = tg.tensor(ROWS)
    (values, indices), doubled = tg.compile(function)(x)
    assert (values.tolist(), indices.tolist(), doubled.tolist()) == ([3.0, 4.0], [1, 0], [2.0, 4.0, 0.0])
