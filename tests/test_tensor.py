"""Tensors: what goes in, what comes out, which dtype wins, and what may be written."""

import operator
import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg

FLOATS = [np.float32, np.float64]


# Coming in ---------------------------------------------------------------------------------------------------


def test_dtypes_of_what_comes_in():
    assert tg.tensor(1.5).dtype == np.float32
    assert tg.tensor([[1.0, 2.0]]).dtype == np.float32
    assert tg.tensor(np.float64(1.5)).dtype == np.float64
    assert tg.tensor(np.zeros(2)).dtype == np.float64
    assert tg.tensor([np.zeros(2), np.ones(2)]).dtype == np.float64
    assert tg.tensor([1, 2]).dtype == np.int64
    assert tg.tensor(np.int32([1])).dtype == np.int32
    assert tg.tensor([True]).dtype == np.bool_
    assert tg.tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert tg.tensor([1.0], dtype="float64").dtype == np.float64
    assert tg.tensor([tg.tensor([1.0]), tg.tensor([2.0])]).tolist() == [[1.0], [2.0]]
    assert tg.Tensor(tg.tensor([1.0])).tolist() == [1.0]


def test_the_default_dtype_is_for_python_floats():
    tg.set_default_dtype(np.float64)
    try:
        assert tg.get_default_dtype() == np.float64
        assert tg.tensor(1.5).dtype == tg.zeros(2).dtype == tg.nn.Linear(1, 1).weight.dtype == np.float64
        assert tg.tensor(np.float32(1)).dtype == np.float32
    finally:
        tg.set_default_dtype(np.float32)
    with pytest.raises(tg.DTypeError, match="float32 or float64, not float16"):
        tg.set_default_dtype(np.float16)


def test_a_tensor_is_not_none():
    """As in programs that ask ``if hidden == None``."""
    assert (tg.ones(2) == None) is False and (tg.ones(2) != None) is True  # noqa: E711


def test_the_data_is_copied():
    data = np.zeros(3)
    x = tg.tensor(data)
    data[0] = 1
    assert x.tolist() == [0, 0, 0]
    y = tg.tensor(x)
    x[1] = 2
    assert y.tolist() == [0, 0, 0]


def test_arrays_that_were_pickled_have_gradients_too():
    x = tg.tensor(pickle.loads(pickle.dumps(np.array([1.0, 2.0]))), requires_grad=True)
    y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_foreign_byte_order_is_brought_home(dtype):
    x = tg.tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
    y = (x * x).sum()
    y.backward()
    assert x.dtype.isnative and x.grad.tolist() == [2.0, 4.0]
    assert tg.tensor([1.0], dtype=dtype).dtype.isnative
    assert x.astype(dtype).dtype.isnative


@pytest.mark.parametrize(
    "data", [[1j], ["a"], [None], [{}], np.zeros(1, np.float16), np.datetime64("2020-01-01")], ids=str
)
def test_what_no_tensor_holds(data):
    with pytest.raises(tg.DTypeError) as caught:
        tg.tensor(data)
    assert "\n" not in str(caught.value)


def test_ragged_lists():
    with pytest.raises(tg.ShapeError, match="ragged"):
        tg.tensor([[1.0], [1.0, 2.0]])


# Going out ---------------------------------------------------------------------------------------------------


def test_numbers_and_lists_come_out():
    x = tg.tensor([[1.0, 2.0]])
    assert x.shape == (1, 2) and x.ndim == x.dim() == 2 and x.numel() == 2 and len(x) == 1
    assert x.size() == (1, 2) and x.size(1) == 2
    assert float(tg.tensor([3.0])) == 3.0 and int(tg.tensor(3)) == 3 and [7, 8, 9][tg.tensor(1)] == 8
    assert bool(tg.tensor(True)) and not tg.tensor([0.0])
    assert [row.tolist() for row in x.T] == [[1.0], [2.0]]
    assert np.asarray(x).tolist() == [[1.0, 2.0]] and np.asarray(x, np.float64).dtype == np.float64
    assert f"{tg.tensor(0.5):.3f}" == "0.500" and f"{x}" == repr(x)
    assert x.is_leaf and (x * 1).is_leaf
    with pytest.raises(tg.ShapeError, match="item"):
        x.item()
    with pytest.raises(tg.ShapeError, match="no length"):
        len(tg.tensor(1.0))
    with pytest.raises(tg.DTypeError, match="index"):
        [1][tg.tensor(0.0)]


def test_numpy_views_cannot_be_written():
    x = tg.tensor([1.0])
    for view in (x.numpy(), np.asarray(x), (x * 2).numpy()):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 3
    x[0] = 5.0
    assert x.numpy()[0] == 5


def test_repr():
    assert repr(tg.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert (
        repr(tg.tensor([1.0], dtype=np.float64, requires_grad=True))
        == "tensor([1.], dtype=float64, requires_grad=True)"
    )
    assert repr(tg.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(tg.tensor([1.0], name="w") * 2) == "tensor([2.], op=mul)"
    assert repr(tg.tensor([1.0], name="w")) == "tensor([1.], name='w')"


def test_tensors_are_hashable_by_identity():
    x, y = tg.tensor([1.0]), tg.tensor([1.0])
    assert {x: 1, y: 2}[x] == 1


# Operators ---------------------------------------------------------------------------------------------------

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne]


@pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS], ids=lambda op: op.__name__)
def test_operators_on_every_kind_of_partner(op):
    a, b = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32), np.array([2.0, 2.0], np.float32)
    expected = op(a, b)
    for left, right in [(tg.tensor(a), tg.tensor(b)), (tg.tensor(a), b), (a, tg.tensor(b)), (tg.tensor(a), [2.0, 2.0])]:
        result = op(left, right)
        assert isinstance(result, tg.Tensor) and result.dtype == expected.dtype
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)
    assert np.allclose(op(tg.tensor(a), 2).numpy(), op(a, 2))
    assert np.allclose(op(2, tg.tensor(a)).numpy(), op(2, a))


SCALARS = [2, 2.0, True, np.float64(2.0), np.float32(2.0), np.int64(2), np.int8(2), np.bool_(True)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("op", ARITHMETIC, ids=lambda op: op.__name__)
def test_scalars_are_weak(op, scalar, dtype):
    x = tg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    for y in (op(x, scalar), op(scalar, x)):
        assert y.dtype == dtype and y.requires_grad
        (g,) = tg.grad(y.sum(), x)
        assert g.dtype == dtype


def test_scalars_are_weak_in_functions_too():
    x = tg.tensor([1.0, -2.0], dtype=np.float32)
    assert tg.where(x > 0, x, 0.0).dtype == tg.where(x > 0, 1, x).dtype == np.float32
    assert tg.where(x > 0, np.float64(1.0), x).dtype == np.float32
    assert tg.maximum(x, 0.5).dtype == tg.minimum(np.float64(1), x).dtype == np.float32
    assert x.clip(np.float64(0), 1.0).dtype == np.float32
    assert x.mean().dtype == x.var().dtype == tg.leaky_relu(x, np.float64(0.1)).dtype == np.float32


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("op", ARITHMETIC[:4], ids=lambda op: op.__name__)
def test_integers_take_the_floats_side(op, kind):
    if kind is np.bool_ and op is operator.sub:
        kind = np.int8
    numbers = tg.tensor(np.array([1, 1], kind))
    for dtype in FLOATS:
        x = tg.tensor([1.0, 2.0], dtype=dtype)
        assert op(x, numbers).dtype == op(numbers, x).dtype == dtype


def test_integers_among_themselves():
    n = tg.tensor([1, 2])
    assert (n + 1).dtype == (n * n).dtype == (-n).dtype == np.int64
    assert (n / 2).dtype == (n * 0.5).dtype == tg.exp(n).dtype == n.mean().dtype == np.float32
    assert n.sum().dtype == np.int64 and (n == 1).dtype == np.bool_
    assert not (n * 2).requires_grad


def test_mixed_precision_gives_each_its_own():
    x = tg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    y = tg.tensor([3.0, 4.0], dtype=np.float64, requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.sum().backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64
    (g,) = tg.grad(x.astype(np.float64).square().sum(), x)
    assert g.dtype == np.float32 and g.tolist() == [2.0, 4.0]
    assert x.double().float().dtype == np.float32


def test_augmented_assignment_makes_a_new_tensor():
    x = tg.tensor([1.0], requires_grad=True)
    y = x * 2
    z = y
    y += 1
    y *= 3
    y -= 1
    y /= 2
    assert z.tolist() == [2.0] and y.tolist() == [4.0]
    y.backward()
    assert x.grad.tolist() == [3.0]


# Writing in place --------------------------------------------------------------------------------------------


def test_leaves_are_written_in_place():
    x = tg.tensor([1.0, 2.0, 3.0])
    view = x.numpy()
    x[1] = 7
    x[tg.tensor([0])] = tg.tensor([5.0])
    assert view.tolist() == [5.0, 7.0, 3.0]
    x.copy_(0.5)
    assert view.tolist() == [0.5] * 3
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    p.data -= 1
    p.data[0] = 9
    assert p.tolist() == [9.0, 1.0] and p.requires_grad and p.is_leaf
    p.data = np.array([3.0, 4.0])
    assert p.tolist() == [3.0, 4.0] and p.dtype == np.float32
    with tg.no_grad():
        p += 1
        p *= 2
        p[0] = -1
    assert p.tolist() == [-1.0, 10.0] and p.is_leaf and p.requires_grad


def test_what_may_not_be_written():
    p = tg.tensor([1.0], requires_grad=True, name="p")
    y = p * 2
    for write in (
        lambda: p.copy_(0),
        lambda: y.copy_(0),
        lambda: operator.setitem(p, 0, 1),
        lambda: operator.setitem(y, 0, 1),
    ):
        with pytest.raises(tg.GraphError, match="written in place"):
            write()
    with pytest.raises(tg.GraphError, match="under tg"):
        p += 1
    with pytest.raises(tg.ShapeError, match="write in place to a tensor"):
        tg.tensor([1.0]).copy_([1.0, 2.0])
    assert p.tolist() == [1.0] and y.tolist() == [2.0]


def test_detached_values_of_a_graph_are_copied_before_they_are_written():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    d = y.detach()
    d[0] = 0.0
    assert y.tolist()[0] == pytest.approx(np.e) and d.tolist()[0] == 0
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


# Asking for gradients ----------------------------------------------------------------------------------------


def test_requires_grad():
    x = tg.tensor([1.0])
    assert not x.requires_grad and not (x * 2).requires_grad
    x.requires_grad_()
    assert (x * 2).requires_grad and not (x > 0).requires_grad and not x.detach().requires_grad
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    with pytest.raises(tg.DTypeError, match="only float tensors"):
        tg.tensor([1], requires_grad=True)
    y = tg.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(tg.GraphError, match="use detach"):
        y.requires_grad_(False)
    with pytest.raises(tg.GraphError, match="hook would never run"):
        x.register_hook(print)


def test_every_node_knows_its_line_and_scope():
    x = tg.tensor([1.0], name="x")
    with tg.scope("cell", part="i"), tg.scope(step=3):
        y = x * 2
    assert y.scope == tg.Scope(("cell",), 3, "i")
    assert y.site.line == x.site.line + 2 and y.site.filename == __file__
    assert str(y.site) == f"test_tensor.py:{y.site.line}"
    assert [z.scope.step for z in [x * t for t in tg.steps(3)]] == [0, 1, 2]


def test_scopes_are_left_after_an_exception():
    with pytest.raises(KeyError), tg.scope("a"):
        raise KeyError
    with pytest.raises(KeyError):
        for _ in tg.steps(3):
            raise KeyError
    assert (tg.tensor(1.0) * 1).scope == tg.Scope()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.requires_grad_("a"),
        lambda x: x.sum(0, keepdims="no"),
        lambda x: x.sum().backward(create_graph="no"),
        lambda x: tg.ones(2, requires_grad=[]),
        lambda x: tg.set_grad_enabled("off"),
        lambda x: x.sort(descending="no"),
    ],
)
def test_a_switch_is_true_or_false(call):
    with pytest.raises(tg.ArgumentError, match="is True or False, not "):
        call(tg.ones(2, 3, requires_grad=True))


@pytest.mark.parametrize(
    ("attribute", "value", "kind"),
    [("name", 3, "a text or None"), ("requires_grad", "x", "True or False"), ("requires_grad", 1, "True or False")],
)
def test_an_attribute_of_another_kind_is_refused(attribute, value, kind):
    x = tg.ones(2, requires_grad=True)
    before = getattr(x, attribute)
    with pytest.raises(tg.ArgumentError, match=rf"{attribute} of a tensor \(2,\) is {kind}, not {value!r}"):
        setattr(x, attribute, value)
    assert getattr(x, attribute) is before


def test_a_hook_is_a_function():
    with pytest.raises(tg.ArgumentError, match="a hook is a function of the gradient, not 3"):
        tg.ones(2, requires_grad=True).register_hook(3)
