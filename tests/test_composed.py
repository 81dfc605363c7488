"""What composes of the primitives agrees with NumPy, and its gradients with the checker, eager and compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg

F = tg.nn.functional
X = np.array([[3.1, -1.0, 2.5], [4.0, 0.5, -2.0]])


def length(x: Any) -> Any:
    return np.linalg.norm(x, axis=-1, keepdims=True)


#: what ours computes, and what NumPy does
SAME: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "std": (lambda x: x.std(0), lambda x: x.std(0, ddof=1)),
    "norm": (lambda x: x.norm(), lambda x: np.linalg.norm(x)),
    "norm of rows": (
        lambda x: x.norm(3, dim=1, keepdim=True),
        lambda x: (np.abs(x) ** 3).sum(1, keepdims=True) ** (1 / 3),
    ),
    "norm 1": (lambda x: x.norm(1, 0), lambda x: np.abs(x).sum(0)),
    "largest": (lambda x: x.norm(np.inf, 1), lambda x: np.abs(x).max(1)),
    "smallest norm": (lambda x: x.norm(-np.inf, 1), lambda x: np.abs(x).min(1)),
    "how many": (lambda x: x * x.norm(0, dim=1, keepdim=True), lambda x: 3 * x),
    "masked_fill": (lambda x: x.masked_fill(x > 2, 7.0), lambda x: np.where(x > 2, 7.0, x)),
    "gather": (lambda x: x.gather(1, [[2, 0], [1, 1]]), lambda x: np.take_along_axis(x, np.array([[2, 0], [1, 1]]), 1)),
    "gather rows": (lambda x: x.gather(0, [[1, 0, 1]]), lambda x: np.take_along_axis(x, np.array([[1, 0, 1]]), 0)),
    "sort": (lambda x: x.sort(1).values, lambda x: np.sort(x, 1)),
    "sort down": (lambda x: x.sort(0, descending=True).values, lambda x: -np.sort(-x, 0)),
    "topk": (lambda x: x.topk(2).values, lambda x: -np.sort(-x, 1)[:, :2]),
    "smallest": (lambda x: x.topk(1, largest=False).values, lambda x: np.sort(x, 1)[:, :1]),
    "tril": (lambda x: x.tril(), np.tril),
    "triu": (lambda x: x.triu(1), lambda x: np.triu(x, 1)),
    "bmm": (lambda x: x.reshape(2, 1, 3).bmm(x.reshape(2, 3, 1)), lambda x: x.reshape(2, 1, 3) @ x.reshape(2, 3, 1)),
    "flatten": (lambda x: x.reshape(1, 2, 3).flatten(1), lambda x: x.reshape(1, 6)),
    "unbind": (lambda x: x.unbind(1)[2], lambda x: x[:, 2]),
    "repeat": (lambda x: x.repeat(2, 1, 2), lambda x: np.tile(x, (2, 1, 2))),
    "take": (lambda x: tg.take(x, [[2, 0]], axis=1), lambda x: np.take(x, [[2, 0]], axis=1)),
    "index_select": (lambda x: x.index_select(1, [2, 0, 2]), lambda x: x[:, [2, 0, 2]]),
    "roll": (lambda x: x.roll(1), lambda x: np.roll(x, 1)),
    "roll two": (lambda x: tg.roll(x, (-1, 4), (0, -1)), lambda x: np.roll(x, (-1, 4), (0, -1))),
    "roll an axis": (lambda x: x.roll(1, axis=1), lambda x: np.roll(x, 1, 1)),
    "flip dims": (lambda x: x.flip(dims=[0, 1]), lambda x: np.flip(x, (0, 1))),
    "pad the last": (
        lambda x: F.pad(x, (1, -1), value=2.0),
        lambda x: np.pad(x[:, :2], [(0, 0), (1, 0)], constant_values=2),
    ),
    "pad around": (lambda x: F.pad(x, (2, 1), "circular"), lambda x: np.pad(x, [(0, 0), (2, 1)], "wrap")),
    "cosine_similarity": (
        lambda x: F.cosine_similarity(x, x[0] + 1.0, -1),
        lambda x: (x / length(x) * (x[0] + 1) / length(x[0] + 1)).sum(-1),
    ),
    "floor": (lambda x: x * (x // 1.5), lambda x: x * (x // 1.5)),
    "remainder": (lambda x: x % 1.5, lambda x: x % 1.5),
    "remainder of one": (lambda x: (1.7 % x) * x, lambda x: (1.7 % x) * x),
    "fro": (lambda x: x.norm("fro", 1), lambda x: np.linalg.norm(x, axis=1)),
}


@pytest.mark.parametrize("name", SAME)
def test_is_what_numpy_computes(name: str) -> None:
    ours, numpys = SAME[name]
    x = tg.tensor(X, dtype="float64", requires_grad=True)
    np.testing.assert_allclose(ours(x).numpy(), numpys(X), rtol=1e-14)
    assert tg.check_gradients(ours(x).square().sum())

    def gradient(x: tg.Tensor) -> Any:
        return tg.grad(ours(x).square().sum(), x)[0]

    np.testing.assert_allclose(tg.compile(gradient)(x).numpy(), gradient(x).numpy(), rtol=1e-13)


@given(seed=st.integers(0, 2**32 - 1), axis=st.integers(-3, 2))
def test_sorting_and_gathering_are_one_thing(seed: int, axis: int) -> None:
    x = tg.tensor(np.random.default_rng(seed).integers(0, 3, (2, 3, 4)).astype(float))  # with ties
    values, indices = x.sort(axis)
    assert (values == x.gather(axis, indices)).numpy().all()
    assert (indices.sort(axis).values.numpy() == np.sort(np.argsort(x.numpy(), axis), axis)).all()
    assert (np.argsort(x.numpy(), axis, kind="stable") == indices.numpy()).all()


def test_booleans_combine_and_numbers_do_not() -> None:
    a, b = tg.tensor([True, True, False, False]), tg.tensor([True, False, True, False])
    assert (a & b).tolist() == [True, False, False, False] and (a | b).tolist() == [True, True, True, False]
    assert (a ^ b).tolist() == [False, True, True, False] and (~a).tolist() == [False, False, True, True]
    assert (True & b).tolist() == b.tolist() and (b | np.array(True)).numpy().all()
    assert tg.compile(lambda a, b: ~(a & b) | (a ^ b))(a, b).tolist() == [False, True, True, True]
    with pytest.raises(tg.DTypeError, match=r"& is for booleans, not float32"):
        _ = tg.ones(2) & a[:2]


def test_what_is_not_a_number_is_found() -> None:
    x = tg.tensor([1.0, np.nan, np.inf, -np.inf])
    assert x.isnan().tolist() == [False, True, False, False]
    assert x.isfinite().tolist() == [True, False, False, False]


def test_a_compiled_function_chooses_by_a_mask_from_outside() -> None:
    mask = np.array([True, False, True])
    chosen = tg.compile(lambda x: x[mask].sum())
    assert [chosen(tg.tensor([1.0, 2.0, 4.0])).item() for _ in range(2)] == [5, 5]
    mask[:] = [False, True, False]
    assert chosen(tg.tensor([1.0, 2.0, 4.0])).item() == 2


def test_a_norm_neither_overflows_nor_vanishes() -> None:
    for scale in (1e-38, 1e-30, 1.0, 1e30, 1e38):
        x = tg.tensor([0.6 * scale, -0.8 * scale], dtype="float32", requires_grad=True)
        x.norm().backward()
        assert x.norm().item() == pytest.approx(scale, rel=1e-5)
        assert x.grad is not None and x.grad.tolist() == pytest.approx([0.6, -0.8], rel=1e-5)
    zero = tg.zeros(3, requires_grad=True)
    zero.norm().backward()
    assert zero.grad is not None and zero.grad.tolist() == [0, 0, 0]
    assert tg.zeros(0).norm().item() == 0


@pytest.mark.parametrize("p", [0, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, 1])
def test_the_norms_at_the_ends_are_pytorchs(p: float, axis: int | None) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    values = [[1.0, -2.0, 0.0, 2.0], [3.0, -1.0, 1.0, -3.0], [np.inf, 2.0, np.nan, 0.0]]
    for rows in (values[:2], values):
        x, y = tg.tensor(rows, requires_grad=True), torch.tensor(rows, requires_grad=True)
        ours, theirs = x.norm(p, axis), torch.linalg.vector_norm(y, p, axis)
        np.testing.assert_array_equal(ours.numpy(), theirs.detach().numpy())
        assert ours.dtype == np.float32
        if rows is not values:  # at nan there is no derivative
            ours.sum().backward(), theirs.sum().backward()
            assert x.grad is not None
            np.testing.assert_array_equal(x.grad.numpy(), 0 if p == 0 else y.grad.numpy())
    assert tg.zeros(0).norm(0).item() == 0
    v = np.array([0.0, 3.0, -2.0])
    assert np.linalg.norm(tg.tensor(v), p) == np.linalg.norm(v, p)  # type: ignore[call-overload]


def test_new_tensors() -> None:
    assert tg.arange(3).tolist() == [0, 1, 2] and tg.arange(3).dtype == np.int64
    assert tg.arange(0.0, 1.0, 0.5).tolist() == [0, 0.5] and tg.arange(1.0).dtype == tg.float32
    assert tg.full((2, 1), 2.5).tolist() == [[2.5], [2.5]] and tg.full(2, 1).dtype == np.int64
    assert tg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    x = tg.tensor([1, 2], dtype=np.int32)
    assert tg.zeros_like(x).dtype == np.int32 and tg.ones_like(x).tolist() == [1, 1]
    assert tg.full_like(x, 2, dtype=tg.float64).dtype == np.float64
    assert tg.tensor([0.0, 2.7]).long().tolist() == [0, 2] and tg.tensor([0.0, 2.7]).bool().tolist() == [False, True]


def test_set_grad_enabled_acts_at_once_and_as_a_block() -> None:
    x = tg.ones(1, requires_grad=True)
    with tg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with tg.set_grad_enabled(True):
            assert (x * 2).requires_grad
    switch = tg.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    tg.set_grad_enabled(True)
    assert (x * 2).requires_grad
    del switch

    @tg.set_grad_enabled(False)
    def doubled(x: tg.Tensor) -> tg.Tensor:
        return x * 2

    assert (x * 2).requires_grad and not doubled(x).requires_grad and (x * 2).requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x.gather(1, [[3]]), "index 3 .*is outside dimension 1"),
        (lambda x: x.gather(1, [[-1]]), "index -1 .*is outside dimension 1"),
        (lambda x: x.gather(1, [0]), "as many dimensions"),
        (lambda x: x.gather(0, [[0.5, 1.0, 1.0]]), "must be integers"),
        (lambda x: x.index_select(0, [[1]]), "of one dimension"),
        (lambda x: x.index_select(0, [-1]), "index -1 .*is outside dimension 0"),
        (lambda x: x.roll((1, 2), 0), "2 shifts for 1 dimensions"),
        (lambda x: F.pad(x, (1,)), "not two widths"),
        (lambda x: F.pad(x, (-1, 0), "circular"), "must not be negative"),
        (lambda x: F.pad(x, (1, 0), "wrap"), "mode is"),
        (lambda x: x.topk(4), "topk: k is 4"),
        (lambda x: x.bmm(x), "takes .B, n, m."),
        (lambda x: x[0].tril(), "two dimensions"),
        (lambda x: x.repeat(2), "repeat: wants"),
        (lambda x: x.flatten(1, 0), "comes after"),
        (lambda x: x.norm(-1), r"0, positive, inf or -inf, not -1; write \(abs"),
        (lambda x: ~x.long(), r"~ is for booleans, not int64; compare first, as in ~\(x > 0\)"),
        (lambda x: x.long() & 1, r"& is for booleans, not int64; compare first, as in \(x > 0\) & \(y > 0\)"),
        (lambda x: tg.compile(lambda x: x[x > 0])(x), "choose with tg.where"),
        (lambda x: tg.compile(lambda x, at: x[at])(x, x > 0), "choose with tg.where"),
        (lambda x: tg.arange(1, 2, 0), "never gets anywhere"),
    ],
)
def test_a_mistake_is_one_line(call: Callable[[tg.Tensor], Any], message: str) -> None:
    with pytest.raises(tg.TinygradError, match=message) as error:
        call(tg.tensor(X))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["var", "std"])
def test_what_pytorch_takes_for_unbiased_is_not_taken_for_keepdims(name):
    x = tg.tensor([[1.0, 2.0, 4.0]])
    for call in (lambda: getattr(x, name)(1, False), lambda: getattr(tg, name)(x, 1, False)):
        with pytest.raises(TypeError, match=rf"{name}\(\) takes from 1 to 2 positional arguments"):
            call()
    assert getattr(x, name)(1, unbiased=False).shape == (1,)
    assert getattr(x, name)(1, keepdims=True).shape == (1, 1)
