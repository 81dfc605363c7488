"""Every function of tensors: value, gradient and curvature against plain NumPy; and its numbers at the edges."""

import math

import numpy as np
import pytest
from oracle import close, complex_step, judge

import tinygrad_rnn as tg

F = tg.nn.functional
R = np.random.default_rng(3)
X = R.standard_normal((2, 3))  # anything
Y = R.standard_normal((2, 3))
ROW = R.standard_normal(3)
CUBE = R.standard_normal((2, 3, 4))
POSITIVE = R.uniform(0.3, 2.0, (2, 3))
APART = R.permutation(np.linspace(-2, 2.1, 24)).reshape(2, 3, 4)  # no two equal, none 0
TARGET = np.array([2, 0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def logsumexp(x, axis, keepdims=False):
    return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))


def softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)


def choose(condition, a, b):
    return np.where(condition, a, b)


def largest(x, axis=None, keepdims=False):
    """max by the real part, so that the complex step may pass."""
    if axis is None:
        return x.ravel()[np.argmax(x.real)].reshape((1,) * x.ndim if keepdims else ())
    best = np.expand_dims(np.argmax(x.real, axis), axis)
    chosen = np.take_along_axis(x, best, axis)
    return chosen if keepdims else chosen.squeeze(axis)


FUNCTIONS = {
    "x + y": (lambda x, y: x + y, lambda x, y: x + y, X, Y),
    "x - y": (lambda x, y: x - y, lambda x, y: x - y, X, Y),
    "x * y": (lambda x, y: x * y, lambda x, y: x * y, X, Y),
    "x / y": (lambda x, y: x / y, lambda x, y: x / y, X, POSITIVE),
    "x + row": (lambda x, y: x + y, lambda x, y: x + y, X, ROW),
    "row * x": (lambda x, y: x * y, lambda x, y: x * y, ROW, X),
    "column - row": (lambda x, y: x - y, lambda x, y: x - y, X[:, :1], ROW),
    "row / column": (lambda x, y: x / y, lambda x, y: x / y, ROW, POSITIVE[:, :1]),
    "2 + x": (lambda x: 2 + x, lambda x: 2 + x, X),
    "2 - x": (lambda x: 2.0 - x, lambda x: 2 - x, X),
    "3 * x": (lambda x: 3 * x, lambda x: 3 * x, X),
    "1 / x": (lambda x: 1 / x, lambda x: 1 / x, POSITIVE),
    "-x": (lambda x: -x, lambda x: -x, X),
    "array - x": (lambda x: Y - x, lambda x: Y - x, X),
    "array @ x": (lambda x: Y.T @ x, lambda x: Y.T @ x, X),
    "x ** 2": (lambda x: x**2, lambda x: x * x, X),
    "x ** 3": (lambda x: x**3, lambda x: x * x * x, X),
    "x ** 0": (lambda x: x**0, lambda x: np.ones(x.shape), X),
    "x ** -1": (lambda x: x**-1, lambda x: 1 / x, POSITIVE),
    "x ** 0.5": (lambda x: x**0.5, np.sqrt, POSITIVE),
    "x ** y": (lambda x, y: x**y, lambda x, y: np.exp(y * np.log(x)), POSITIVE, Y),
    "2 ** x": (lambda x: 2**x, lambda x: np.exp(x * math.log(2)), X),
    "exp": (tg.exp, np.exp, X),
    "log": (tg.log, np.log, POSITIVE),
    "sqrt": (tg.sqrt, np.sqrt, POSITIVE),
    "square": (tg.square, lambda x: x * x, X),
    "sin": (tg.sin, np.sin, X),
    "cos": (tg.cos, np.cos, X),
    "tanh": (tg.tanh, np.tanh, X),
    "sigmoid": (tg.sigmoid, sigmoid, X),
    "softplus": (tg.softplus, lambda x: np.log(1 + np.exp(x)), X),
    "relu": (tg.relu, lambda x: choose(x.real > 0, x, 0), X),
    "leaky_relu": (tg.leaky_relu, lambda x: choose(x.real > 0, x, 0.01 * x), X),
    "leaky_relu 0.3": (lambda x: tg.leaky_relu(x, 0.3), lambda x: choose(x.real > 0, x, 0.3 * x), X),
    "abs": (tg.abs, lambda x: choose(x.real > 0, x, -x), X),
    "abs()": (abs, lambda x: choose(x.real > 0, x, -x), X),
    "clip": (lambda x: tg.clip(x, -0.5, 0.5), lambda x: choose(x.real < -0.5, -0.5, choose(x.real > 0.5, 0.5, x)), X),
    "clip below": (lambda x: x.clip(min=0.1), lambda x: choose(x.real < 0.1, 0.1, x), X),
    "clamp above": (lambda x: x.clamp(max=0.1), lambda x: choose(x.real > 0.1, 0.1, x), X),
    "clip to tensors": (
        lambda x, y: x.clip(min=y), lambda x, y: choose(x.real < y.real, y, x), X, Y,
    ),
    "maximum": (tg.maximum, lambda x, y: choose(x.real > y.real, x, y), X, Y),
    "maximum row": (tg.maximum, lambda x, y: choose(x.real > y.real, x, y), X, ROW),
    "maximum 0.1": (lambda x: tg.maximum(0.1, x), lambda x: choose(x.real > 0.1, x, 0.1), X),
    "minimum": (tg.minimum, lambda x, y: choose(x.real < y.real, x, y), X, Y),
    "where": (lambda x, y: tg.where(X > Y, x, y), lambda x, y: choose(X > Y, x, y), X, Y),
    "where scalar": (lambda x: tg.where(X > 0, x * x, 0.0), lambda x: choose(X > 0, x * x, 0), X),
    "where column": (lambda x, y: tg.where(X > Y, x, y), lambda x, y: choose(X > Y, x, y), X[:, :1], ROW),
    "matmul matrices": (lambda x, y: x @ y, lambda x, y: x @ y, X, Y.T),
    "matmul matrix vector": (tg.matmul, lambda x, y: x @ y, X, ROW),
    "matmul vector matrix": (tg.matmul, lambda x, y: x @ y, ROW, X.T),
    "matmul vectors": (tg.matmul, lambda x, y: x @ y, ROW, Y[0]),
    "matmul batches": (tg.matmul, lambda x, y: x @ y, CUBE, R.standard_normal((2, 4, 2))),
    "matmul batch matrix": (tg.matmul, lambda x, y: x @ y, CUBE, R.standard_normal((4, 2))),
    "matmul matrix batch": (tg.matmul, lambda x, y: x @ y, X, CUBE),
    "matmul batch vector": (tg.matmul, lambda x, y: x @ y, CUBE, R.standard_normal(4)),
    "matmul vector batch": (tg.matmul, lambda x, y: x @ y, ROW, CUBE),
    "matmul broadcast batches": (
        tg.matmul, lambda x, y: x @ y, R.standard_normal((2, 1, 2, 3)), R.standard_normal((3, 3, 2)),
    ),
    "outer": (tg.outer, lambda x, y: x[:, None] * y, ROW, X[:, 0]),
    "einsum matmul": (lambda x, y: tg.einsum("ij,jk->ik", x, y), lambda x, y: x @ y, X, Y.T),
    "einsum implicit": (lambda x, y: tg.einsum("ij,kj", x, y), lambda x, y: x @ y.T, X, Y),
    "einsum trace": (lambda x: tg.einsum("ii", x), np.trace, R.standard_normal((3, 3))),
    "einsum diagonal": (lambda x: tg.einsum("ii->i", x), np.diagonal, R.standard_normal((3, 3))),
    "einsum transpose": (lambda x: tg.einsum("ijk->kji", x), lambda x: x.T, CUBE),
    "einsum sums": (lambda x: tg.einsum("ijk->j", x), lambda x: x.sum((0, 2)), CUBE),
    "einsum dots": (lambda x, y: tg.einsum("...i,ik->...k", x, y), lambda x, y: x @ y, CUBE, R.standard_normal((4, 2))),
    "einsum three": (
        lambda x, y, z: tg.einsum("ij,jk,k->i", x, y, z), lambda x, y, z: x @ y @ z, X, Y.T, R.standard_normal(2),
    ),
    "einsum bilinear": (lambda x, y: tg.einsum("bi,bi->b", x, y), lambda x, y: (x * y).sum(1), X, Y),
    "einsum twice": (lambda x: tg.einsum("ij,ij->", x, x), lambda x: (x * x).sum(), X),
    "sum": (tg.sum, np.sum, X),
    "sum axis": (lambda x: x.sum(1), lambda x: x.sum(1), CUBE),
    "sum dims keepdim": (lambda x: x.sum(dim=(0, -1), keepdim=True), lambda x: x.sum((0, 2), keepdims=True), CUBE),
    "mean": (tg.mean, np.mean, X),
    "mean axis": (lambda x: x.mean(axis=0, keepdims=True), lambda x: x.mean(0, keepdims=True), CUBE),
    "var": (tg.var, lambda x: ((x - x.mean()) ** 2).sum() / (x.size - 1), X),
    "var axis": (lambda x: x.var(1, correction=0), lambda x: ((x - x.mean(1, keepdims=True)) ** 2).mean(1), CUBE),
    "prod": (tg.prod, np.prod, X),
    "prod axis": (lambda x: x.prod(1), lambda x: x.prod(1), CUBE),
    "prod with zeros": (tg.prod, lambda x: x[0] * x[1] * x[2], np.array([0.0, 2.0, 0.0])),
    "prod keepdims": (lambda x: x.prod(axis=-1, keepdims=True), lambda x: x.prod(-1, keepdims=True), CUBE),
    "max": (tg.max, largest, APART),
    "max axis": (lambda x: x.amax(1), lambda x: largest(x, 1), APART),
    "max keepdims": (lambda x: x.max(axis=-1, keepdims=True), lambda x: largest(x, 2, True), APART),
    "min": (tg.min, lambda x: -largest(-x), APART),
    "min axis": (lambda x: x.amin(dim=0), lambda x: -largest(-x, 0), APART),
    "logsumexp": (lambda x: tg.logsumexp(x, -1), lambda x: logsumexp(x, -1), CUBE),
    "logsumexp all": (tg.logsumexp, lambda x: np.log(np.exp(x).sum()), X),
    "softmax": (tg.softmax, softmax, CUBE),
    "softmax axis": (lambda x: tg.softmax(x, dim=0), lambda x: softmax(x, 0), CUBE),
    "log_softmax": (tg.log_softmax, lambda x: x - logsumexp(x, -1, True), CUBE),
    "log_softmax axis": (lambda x: x.log_softmax(1), lambda x: x - logsumexp(x, 1, True), CUBE),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, TARGET), lambda x: (logsumexp(x, -1) - x[[0, 1], TARGET]).mean(), X,
    ),
    "cross_entropy sum": (
        lambda x: F.cross_entropy(x, TARGET, reduction="sum"),
        lambda x: (logsumexp(x, -1) - x[[0, 1], TARGET]).sum(), X,
    ),
    "cross_entropy none": (
        lambda x: F.cross_entropy(x, TARGET, reduction="none"), lambda x: logsumexp(x, -1) - x[[0, 1], TARGET], X,
    ),
    "cross_entropy ignoring": (
        lambda x: F.cross_entropy(x, [2, -100]), lambda x: logsumexp(x[0], -1) - x[0, 2], X,
    ),
    "cross_entropy of one": (lambda x: F.cross_entropy(x, 1), lambda x: logsumexp(x, -1) - x[1], ROW),
    "cross_entropy over time": (
        lambda x: F.cross_entropy(x, [[0, 2, 1, 1], [2, 2, 0, 1]], reduction="sum"),
        lambda x: sum(logsumexp(x[n, :, t], 0) - x[n, k, t] for n, row in enumerate([[0, 2, 1, 1], [2, 2, 0, 1]])
                      for t, k in enumerate(row)), CUBE,
    ),
    "nll_loss": (lambda x: F.nll_loss(x, TARGET), lambda x: -(x[0, 2] + x[1, 0]) / 2, X),
    "nll_loss ignoring": (lambda x: F.nll_loss(x, [1, 0], ignore_index=0), lambda x: -x[0, 1], X),
    "nll_loss sum": (lambda x: F.nll_loss(x, TARGET, reduction="sum"), lambda x: -(x[0, 2] + x[1, 0]), X),
    "mse_loss": (F.mse_loss, lambda x, y: ((x - y) ** 2).mean(), X, Y),
    "mse_loss sum": (lambda x, y: F.mse_loss(x, y, "sum"), lambda x, y: ((x - y) ** 2).sum(), X, Y),
    "linear": (F.linear, lambda x, w, b: x @ w.T + b, CUBE, R.standard_normal((2, 4)), R.standard_normal(2)),
    "linear vector": (F.linear, lambda x, w: x @ w.T, ROW, R.standard_normal((2, 3))),
    "reshape": (lambda x: x.reshape(3, -1), lambda x: x.reshape(3, -1), CUBE),
    "view": (lambda x: x.view((4, 6)), lambda x: x.reshape(4, 6), CUBE),
    "flatten": (lambda x: x.flatten(), np.ravel, CUBE),
    "permute": (lambda x: tg.permute(x, 2, 0, 1), lambda x: x.transpose(2, 0, 1), CUBE),
    "transpose": (lambda x: tg.transpose(x, 0, -1), lambda x: x.swapaxes(0, 2), CUBE),
    "T": (lambda x: x.T, lambda x: x.T, CUBE),
    "broadcast_to": (lambda x: tg.broadcast_to(x, (4, 2, 3)), lambda x: np.broadcast_to(x, (4, 2, 3)), X),
    "expand_dims": (lambda x: tg.expand_dims(x, -1), lambda x: x[..., None], X),
    "unsqueeze": (lambda x: x.unsqueeze(0), lambda x: x[None], X),
    "squeeze": (tg.squeeze, np.squeeze, CUBE[:1, :, :1]),
    "squeeze axis": (lambda x: x.squeeze(0), lambda x: x[0], CUBE[:1]),
    "take": (lambda x: tg.take(x, [[0, 1], [1, 1]]), lambda x: x[[[0, 1], [1, 1]]], X),
    "embedding": (lambda x: F.embedding(np.array([1, 0, 1]), x), lambda x: x[[1, 0, 1]], X),
    "concat": (lambda x, y: tg.concat([x, y], axis=1), lambda x, y: np.concatenate([x, y], 1), X, Y[:, :2]),
    "concat itself": (lambda x: tg.concat([x, x]), lambda x: np.concatenate([x, x]), X),
    "stack": (lambda x, y: tg.stack([x, y], dim=-1), lambda x, y: np.stack([x, y], -1), X, Y),
    "split": (lambda x: tg.split(x, 2, axis=-1)[1] * 2, lambda x: x[..., 2:] * 2, CUBE),
    "split sizes": (lambda x: x.split([1, 2], dim=1)[1], lambda x: x[:, 1:], CUBE),
    "chunk": (lambda x: x.chunk(2, dim=2)[0], lambda x: x[..., :2], CUBE),
    "cumsum": (lambda x: tg.cumsum(x, 1), lambda x: np.cumsum(x, 1), CUBE),
    "cumsum last": (lambda x: x.cumsum(dim=-1), lambda x: np.cumsum(x, -1), CUBE),
    "flip": (lambda x: tg.flip(x, 0), lambda x: np.flip(x, 0), CUBE),
    "flip all": (lambda x: x.flip(), np.flip, CUBE),
    "flip two": (lambda x: x.flip((0, -1)), lambda x: np.flip(x, (0, 2)), CUBE),
    "pad": (lambda x: tg.pad(x, (1, 2)), lambda x: np.pad(x, (1, 2)), X),
    "pad each": (lambda x: x.pad([(0, 1), (2, 0)]), lambda x: np.pad(x, [(0, 1), (2, 0)]), X),
    "iterate": (lambda x: sum((k + 1.0) * row for k, row in enumerate(x)), lambda x: x[0] + 2 * x[1], X),
    "clone": (lambda x: x.clone(), lambda x: x, X),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_gradient_and_curvature(name):
    function, reference, *arrays = FUNCTIONS[name]
    judge(function, reference, *arrays)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision_stays_single(name):
    function, reference, *arrays = FUNCTIONS[name]
    leaves = [tg.tensor(x, dtype=np.float32, requires_grad=True) for x in arrays]
    if name.startswith("array"):  # the float64 array is an equal partner
        return
    y = function(*leaves)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), reference(*arrays), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    assert all(x.grad.dtype == np.float32 and x.grad.shape == x.shape for x in leaves)


INDICES = [
    0, -1, slice(None), slice(1, 3), slice(None, None, -1), slice(3, None, -2), slice(0, 0), None, Ellipsis, (0, 1),
    (slice(None), -1), (Ellipsis, 0), (0, Ellipsis, slice(None, None, 2)), (None, 1, None), (Ellipsis, None),
    [0, 2, 2], [[0, 1], [3, 3]], ([0, 3, 0], [1, 1, 1]), (slice(None), [0, 0, 2]), ([1, 2], slice(1, 2), [0, 1]),
    ([[0], [3]], [0, 2]), (0, slice(None), [1, 0]), np.array([True, False, True, True]),
    (slice(None), [True, False, True]),
    [-1, -4], np.int64(2), np.array(3), np.array([], np.int64),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing(index):
    x = np.random.default_rng(0).standard_normal((4, 3, 2))
    numpy_index = tuple(index) if isinstance(index, tuple) else index
    judge(lambda t: t[index], lambda a: a[numpy_index], x)


def test_indexing_with_tensors_and_masks():
    x = np.random.default_rng(0).standard_normal((4, 3))
    judge(lambda t: t[tg.tensor([0, 0, 3])], lambda a: a[[0, 0, 3]], x)
    judge(lambda t: t[t > 0], lambda a: a[a.real > 0], x)
    judge(lambda t: t[tg.tensor(1), tg.tensor([2, 2])], lambda a: a[1, [2, 2]], x)


def test_reading_every_row_sends_each_its_own_gradient():
    x = tg.tensor(np.zeros((50, 2)), requires_grad=True)
    sum(((k + 1) * x[k]).sum() for k in range(50)).backward()
    assert np.array_equal(x.grad.numpy(), np.repeat(np.arange(1.0, 51)[:, None], 2, 1))


def test_methods_and_functions_are_one():
    names = [
        "exp", "log", "sqrt", "square", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "leaky_relu", "abs", "sum",
        "mean", "var", "prod", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum", "flip", "squeeze",
    ]  # fmt: skip
    for name in names:
        a, b = getattr(tg, name)(POSITIVE), getattr(tg.tensor(POSITIVE), name)()
        assert np.array_equal(a.numpy(), b.numpy()), name


def test_integers_and_the_rest():
    assert tg.argmax([[1.0, 5.0, 5.0], [7.0, 0.0, 0.0]], 1).tolist() == [1, 0]
    assert tg.argmax([[1.0, 5.0], [7.0, 0.0]]).item() == 2
    assert tg.one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert tg.one_hot(tg.tensor([1]), 2, np.float64).dtype == np.float64
    assert tg.zeros(2, 3).tolist() == [[0] * 3] * 2 and tg.ones((2,)).dtype == np.float32
    tg.manual_seed(1)
    drawn = tg.randn(1000, 2, dtype=np.float64), tg.rand((1000,), requires_grad=True)
    tg.manual_seed(1)
    assert np.array_equal(tg.randn(1000, 2, dtype=np.float64), drawn[0]) and np.array_equal(tg.rand(1000), drawn[1])
    assert abs(drawn[0].mean().item()) < 0.1 and abs(drawn[0].var().item() - 1) < 0.1 and drawn[1].requires_grad
    assert 0 <= drawn[1].min().item() < 0.05 < 0.95 < drawn[1].max().item() < 1
    assert tg.cat([[1.0], [2.0]], dim=0).tolist() == [1, 2]
    assert [piece.shape for piece in tg.split(np.ones((5, 2)), 2)] == [(2, 2), (2, 2), (1, 2)]
    assert [piece.shape for piece in tg.tensor(np.ones((5, 2))).chunk(3)] == [(2, 2), (2, 2), (1, 2)]


# Numbers at the edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stable_at_logits_of_ten_thousand(dtype):
    x = tg.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    for function in (
        tg.softmax, tg.log_softmax, tg.sigmoid, tg.softplus, tg.tanh, lambda x: tg.logsumexp(x, -1),
        lambda x: F.cross_entropy(x, [0, 2]), lambda x: F.cross_entropy(x, [1, 0]), tg.logsumexp,
    ):  # fmt: skip
        y = function(x)
        (g,) = tg.grad(y.sum(), x, create_graph=True)
        assert np.isfinite(y.numpy()).all() and np.isfinite(g.numpy()).all()
        if g.requires_grad:
            (h,) = tg.grad((g * g).sum(), x, allow_unused=True)
            assert h is None or np.isfinite(h.numpy()).all()
    assert tg.sigmoid(x).tolist()[0] == [1.0, 0.0, 0.5]
    assert tg.softplus(x).tolist()[0][:2] == [1e4, 0.0]
    assert F.cross_entropy(x, [1, 0], reduction="sum").item() == pytest.approx(4e4 + math.log(2))
    assert tg.softmax(x).tolist()[1] == [0.0, 0.5, 0.5]


def test_small_tails_keep_their_digits():
    x = np.array([-50.0, -30.0, -1e-9, 1e-12])
    close(tg.softplus(x).numpy()[:2], np.exp(x[:2]), 1e-12)
    close(tg.sigmoid(x).numpy()[:2], np.exp(x[:2]), 1e-12)
    close(tg.tanh(x).numpy()[2:], x[2:], 1e-12)
    close((1 - tg.sigmoid(-x)).numpy()[2:], tg.sigmoid(x).numpy()[2:], 1e-12)


def test_minus_infinity_is_a_probability_of_zero():
    x = tg.tensor([-np.inf, -np.inf], dtype=np.float64)
    assert tg.logsumexp(x).item() == -np.inf
    y = tg.tensor([0.0, -np.inf, 0.0], dtype=np.float64, requires_grad=True)
    tg.logsumexp(y).backward()
    assert y.grad.tolist() == [0.5, 0.0, 0.5]
    y.grad = None
    F.cross_entropy(y, 0).backward()
    assert y.grad.tolist() == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_where_keeps_the_dead_branch_out(bad):
    x = tg.tensor([bad, 4.0], dtype=np.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        assert tg.where(x > 0, x.log() + x.sqrt(), 0.0).tolist() == [0.0, math.log(4.0) + 2]
    # log and sqrt divide by their operand on the way back, and 0 / 0 is nan: the operand itself must be made safe
    safe = tg.where(x > 0, x, 1.0)
    (g,) = tg.grad(tg.where(x > 0, safe.log() + safe.sqrt(), 0.0).sum(), x)
    assert g.tolist() == [0.0, 0.5]


def test_where_gives_the_branch_not_taken_an_exact_zero():
    a = tg.tensor([np.nan, 1.0, np.inf], dtype=np.float64, requires_grad=True)
    b = tg.tensor([2.0, np.nan, 3.0], dtype=np.float64, requires_grad=True)
    y = tg.where([False, True, False], a, b)
    y.backward([np.inf, np.inf, 1.0])
    assert y.tolist() == [2.0, 1.0, 3.0]
    assert a.grad.tolist() == [0.0, np.inf, 0.0] and b.grad.tolist() == [np.inf, 0.0, 1.0]


def test_ties():
    def gradients(function, *values):
        leaves = [tg.tensor(v, dtype=np.float64, requires_grad=True) for v in values]
        return [g.tolist() for g in tg.grad(function(*leaves).sum(), leaves)]

    assert gradients(tg.maximum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 1.0], [0.5, 0.0]]
    assert gradients(tg.minimum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 0.0], [0.5, 1.0]]
    assert gradients(tg.max, [[3.0, 3.0, 1.0, 3.0]]) == [[[1 / 3, 1 / 3, 0.0, 1 / 3]]]
    assert gradients(tg.min, [2.0, 2.0]) == [[0.5, 0.5]]
    assert gradients(lambda x: x.amax(1), [[1.0, 1.0], [2.0, 3.0]]) == [[[0.5, 0.5], [0.0, 1.0]]]
    assert gradients(tg.relu, [0.0, -0.0, 1.0]) == [[0.0, 0.0, 1.0]]
    assert gradients(tg.abs, [0.0, -2.0]) == [[0.0, -1.0]]
    assert gradients(lambda x: x.clip(0.0, 1.0), [0.0, 1.0, 2.0, -1.0]) == [[1.0, 1.0, 0.0, 0.0]]
    x = tg.tensor([1.0], requires_grad=True)
    (g,) = tg.grad(tg.maximum(x, x).sum(), x)
    assert g.tolist() == [1.0]


def test_powers_at_zero():
    x = tg.tensor([0.0, 2.0], dtype=np.float64, requires_grad=True)
    for exponent, expected in [(2, [0.0, 4.0]), (1, [1.0, 1.0]), (0, [0.0, 0.0]), (3.0, [0.0, 12.0])]:
        assert tg.grad((x**exponent).sum(), x)[0].tolist() == expected
        assert tg.grad((x ** tg.tensor(float(exponent), dtype=np.float64)).sum(), x)[0].tolist() == expected
    b = tg.tensor([2.0, 3.0], dtype=np.float64, requires_grad=True)
    (g,) = tg.grad((tg.tensor([0.0, 2.0], dtype=np.float64) ** b).sum(), b)
    close(g.numpy(), [0.0, 8 * math.log(2)])
    zero = tg.tensor(0.0, requires_grad=True)
    assert tg.grad(tg.tensor(0.0) ** zero, zero)[0].item() == 0.0
    infinite = tg.tensor(np.inf, requires_grad=True)
    assert tg.grad(infinite ** tg.tensor(0.0), infinite)[0].item() == 0.0


def test_a_minus_nan_stays_a_nan():
    for function in (
        tg.relu,
        tg.tanh,
        tg.sigmoid,
        tg.softmax,
        tg.log_softmax,
        tg.max,
        tg.logsumexp,
        tg.softplus,
        tg.abs,
    ):
        for count in (3, 5000):
            x = np.zeros((2, count))
            x[1, 1] = np.nan
            assert np.isnan(function(tg.tensor(x)).numpy()).any(), (function, count)


def test_empty_tensors():
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    functions = [tg.sum, tg.exp, tg.softmax, lambda x: x @ np.ones((3, 2)), lambda x: x.sum(0), lambda x: x.prod(1)]
    functions += [lambda x: x.reshape(3, 0), lambda x: x[:, 1], lambda x: tg.concat([x, x]), lambda x: x.amax(1)]
    for function in functions:
        (g,) = tg.grad(function(x).sum(), x)
        assert g.shape == (0, 3)
    assert tg.tensor(np.zeros((0, 3))).prod(0).tolist() == [1.0, 1.0, 1.0]
    with np.errstate(all="ignore"):
        assert math.isnan(tg.mean(np.zeros(0)).item()) and math.isnan(tg.var(np.zeros(1)).item())


# A recurrent step written by hand ----------------------------------------------------------------------------


def test_a_whole_recurrence_against_numpy():
    def network(lib, x, h, w, u, b):
        for t in range(5):
            h = lib.tanh(w @ x[t] + u @ h + b)
        return h

    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s) for s in [(5, 2), (3,), (3, 2), (3, 3), (3,)]]
    judge(lambda *a: network(tg, *a), lambda *a: network(np, *a), *arrays)
    upstream = np.array([0.5, -1.0, 2.0])
    leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
    network(tg, *leaves).backward(upstream)
    for leaf, expected in zip(leaves, complex_step(lambda *a: network(np, *a), arrays, upstream)):
        close(leaf.grad.numpy(), expected)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "dead",
    [
        lambda x: x.log(), lambda x: x.sqrt(), lambda x: 1.0 / x, lambda x: x**-1.5, lambda x: x.log() * x,
        lambda x: x / 0.0, lambda x: (x * 1e4).exp(), lambda x: (x.log() + 1.0).tanh(),
    ],
)  # fmt: skip
def test_the_branch_where_does_not_take_sends_nothing_back(dead, create_graph):
    x = tg.tensor([0.0, -1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        total = tg.where(x > 5, dead(x), x * x).sum()
        (gradient,) = tg.grad(total, x, create_graph=create_graph)
    assert gradient.tolist() == [0.0, -2.0, 4.0]
    if create_graph:
        with np.errstate(all="ignore"):
            assert tg.grad(gradient.sum(), x)[0].tolist() == [2.0, 2.0, 2.0]


def test_einsum_repeats_dimensions_of_size_one_under_the_dots():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(3.0).reshape(1, 3)
    assert tg.einsum("...i,...i", a, b).tolist() == np.einsum("...i,...i", a, b).tolist()
    a, b = np.arange(6.0).reshape(1, 2, 3), np.arange(60.0).reshape(5, 3, 4)
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    z = tg.einsum("...ij,...jk->...ik", x, y)
    assert z.tolist() == np.einsum("...ij,...jk->...ik", a, b).tolist()
    z.sum().backward()
    assert x.grad.tolist() == b.sum((0, 2)).reshape(1, 1, 3).repeat(2, 1).tolist()


@pytest.mark.parametrize("axes", [(), (0,), (0, 2), (-1, 0), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_products_over_several_axes(axes, keepdims):
    x = np.arange(1.0, 25.0).reshape(2, 3, 4)
    got = tg.tensor(x, requires_grad=True)
    result = got.prod(axes, keepdims)
    np.testing.assert_allclose(result.numpy(), x.prod(axes, keepdims=keepdims), rtol=1e-12)
    result.sum().backward()
    np.testing.assert_allclose(got.grad.numpy(), x.prod(axes, keepdims=True) / x, rtol=1e-12)
