"""Numbers keep their digits, eager and compiled: long sums, norms, large logits, running variances, narrow integers."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.nn.activations import elu
from tinygrad_rnn.nn.utils import clip_grad_norm_
from tinygrad_rnn.testing import Source, recipe_for

MODES = {"eager": lambda function: function, "compiled": tg.compile}
every_mode = pytest.mark.parametrize("mode", MODES)


def computed(mode, function, *operands):
    with np.errstate(all="ignore"):
        return MODES[mode](function)(*operands).numpy()


# Sums --------------------------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((10**6,), 0),
        ((10**6, 2), 0),
        ((2, 10**6), 1),
        ((2, 10**5, 3), 1),
        ((60, 70, 80), None),
        ((300, 5, 400), (0, 1)),
    ],
)
def test_the_error_of_a_sum_does_not_grow_with_its_length(shape, axis, mode):
    x = np.full(shape, 0.1, np.float32)
    exact = x.astype(np.float64)
    reductions = {
        "sum": lambda x: x.sum(axis),
        "mean": lambda x: x.mean(axis),
        "logsumexp": lambda x: x.logsumexp(axis),
        "square": lambda x: x.square().sum(axis),
    }
    for name, reduction in reductions.items():
        wide = reduction(tg.tensor(exact)).numpy()
        np.testing.assert_allclose(computed(mode, reduction, tg.tensor(x)), wide, rtol=3e-6, err_msg=name)


@every_mode
def test_softmax_over_many_classes_adds_up_to_one(mode):
    for shape, axis in (((2, 10**6), 1), ((10**6, 2), 0)):
        p = computed(mode, lambda x, axis=axis: x.softmax(axis), tg.zeros(*shape))
        np.testing.assert_allclose(p, 1e-6, rtol=1e-6)


@every_mode
def test_the_gradient_of_a_bias_is_such_a_sum(mode):
    weight, bias = tg.zeros(3, 1), tg.zeros(3, requires_grad=True)
    x = tg.zeros(10**6, 1)
    upstream = tg.tensor(np.full((10**6, 3), 0.1, np.float32))
    found = computed(mode, lambda x, g: tg.grad(F.linear(x, weight, bias), bias, g)[0], x, upstream)
    np.testing.assert_allclose(found, 1e5, rtol=3e-6)


@every_mode
def test_infinities_and_nans_come_through_a_long_sum(mode):
    for special, expected in (
        ([np.inf], np.inf),
        ([-np.inf], -np.inf),
        ([np.inf, -np.inf], np.nan),
        ([np.nan], np.nan),
    ):
        for shape in ((3000,), (3000, 2)):
            x = np.ones(shape, np.float32)
            x[700 : 700 + 900 * len(special) : 900] = np.array(special, np.float32).reshape(-1, *[1] * (x.ndim - 1))
            total = computed(mode, lambda x: x.sum(0), tg.tensor(x))
            assert np.array_equal(total, np.full(shape[1:], expected, np.float32), equal_nan=True)


# Norms -------------------------------------------------------------------------------------------------------

NORMS = {1.0: 2.0, 2.0: math.sqrt(2), 3.0: 2 ** (1 / 3), math.inf: 1.0}


@every_mode
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e20), (np.float32, 1e-30), (np.float32, 1e38),
                                             (np.float64, 1e200), (np.float64, 1e-300), (np.float32, 1.0)])  # fmt: skip
@pytest.mark.parametrize("parts", [1, 2])
def test_gradients_of_any_size_are_clipped_rightly(parts, dtype, size, norm_type, mode):
    ps = [tg.nn.Parameter(np.ones(2 // parts, dtype)) for _ in range(parts)]
    scale = tg.tensor(np.asarray(size, dtype))
    max_norm = size / 4 if size >= 1 else 1.0

    def step(scale):
        for p in ps:
            p.grad = None
        sum(((p * scale).sum() for p in ps), tg.tensor(np.zeros((), dtype))).backward()
        return clip_grad_norm_(ps, max_norm, norm_type, error_if_nonfinite=True), *(p.grad for p in ps)

    total, *gradients = MODES[mode](step)(scale)
    rtol = 1e-5 if dtype == np.float32 else 1e-13
    norm = NORMS[norm_type] * size
    if norm < np.finfo(dtype).max:
        assert total.item() == pytest.approx(norm, rel=rtol)
    expected = size * min(1.0, max_norm / (norm + 1e-6))
    np.testing.assert_allclose(np.concatenate([g.numpy() for g in gradients]), expected, rtol=rtol)


@every_mode
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_only_what_is_not_finite_is_refused(bad, mode):
    p = tg.nn.Parameter(np.ones(2, np.float32))

    def step(scale):
        p.grad = None
        (p * scale).sum().backward()
        return clip_grad_norm_(p, 1.0, error_if_nonfinite=True)

    run = MODES[mode](step)
    assert run(tg.tensor(np.array([3.0, 4.0], np.float32))).item() == pytest.approx(5.0)
    with np.errstate(over="ignore"):  # of the sum
        assert run(tg.tensor(np.array([3e38, -3e38], np.float32))).item() == np.inf  # the norm; no gradient is
    with pytest.raises(tg.GraphError, match=r"has norm (nan|inf)"):
        run(tg.tensor(np.array([1.0, bad], np.float32)))


# Large logits ------------------------------------------------------------------------------------------------

LOSSES = [F.cross_entropy, lambda x, target: F.nll_loss(x.log_softmax(-1), target)]


def loss_and_gradient(mode, loss, x, target):
    """The mean loss, and the gradient of the summed losses."""

    def function(x):
        y = loss(x, target)
        return y, tg.grad(y, x)[0] * len(target)

    y, g = MODES[mode](function)(tg.tensor(x, requires_grad=True))
    return y.numpy(), g.numpy()


@every_mode
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3000])
def test_logits_are_compared_not_measured(rows, dtype, mode):
    tiny = {np.float32: 1e-6, np.float64: 1e-14}[dtype]
    for size in (1e4, 1e8, 1e30, np.finfo(dtype).max):
        x = np.full((rows, 2), size, dtype)
        target = np.zeros(rows, np.int64)
        for loss in LOSSES:
            found, g = loss_and_gradient(mode, loss, x, target)
            assert found == pytest.approx(math.log(2), rel=tiny), (loss, size)
            np.testing.assert_allclose(g, np.tile([-0.5, 0.5], (rows, 1)), rtol=tiny)


@every_mode
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3000])
def test_a_confident_loss_and_its_gradient_keep_their_digits(rows, dtype, mode):
    rtol = {np.float32: 2e-6, np.float64: 1e-14}[dtype]
    x = np.tile(np.array([30, 16], dtype), (rows, 1))
    target = np.zeros(rows, np.int64)
    rest = math.exp(-14)
    for loss in LOSSES:
        found, g = loss_and_gradient(mode, loss, x, target)
        assert found == pytest.approx(math.log1p(rest), rel=rtol)
        p = rest / (1 + rest)
        np.testing.assert_allclose(g, np.tile([-p, p], (rows, 1)), rtol=rtol)


@every_mode
@pytest.mark.parametrize("rows", [1, 3000])
def test_the_logarithm_of_a_sum_of_nothing(rows, mode):
    x = np.full((rows, 3), -np.inf, np.float32)
    x[1:] = 0.0
    with np.errstate(all="ignore"):
        found = computed(mode, lambda x: x.logsumexp(-1), tg.tensor(x))
        g = computed(mode, lambda x: tg.grad(x.logsumexp(-1).sum(), x)[0], tg.tensor(x, requires_grad=True))
    assert found[0] == -np.inf and np.allclose(found[1:], math.log(3))
    assert (g[0] == 0).all() and np.allclose(g[1:], 1 / 3)


@every_mode
def test_the_tail_of_gelu_keeps_its_digits(mode):
    x = np.linspace(-12.5, 12.5, 51, dtype=np.float32)
    phi = [math.exp(-(v**2) / 2) / math.sqrt(2 * math.pi) for v in x.tolist()]
    share = [math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()]

    def fn(x):
        y = tg.nn.functional.gelu(x)
        return y, *tg.grad(y.sum(), [x])

    value, slope = MODES[mode](fn)(tg.tensor(x, requires_grad=True))
    np.testing.assert_allclose(value.numpy(), x * share, rtol=2e-5)
    np.testing.assert_allclose(slope.numpy(), share + x * phi, rtol=3e-5)


# Optimizers --------------------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_running_variance_does_not_fall_below_zero(momentum, mode):
    g, alpha, eps, steps = 0.1, 0.99, 1e-8, 4000
    p = tg.nn.Parameter(np.zeros(3, np.float32))
    optimizer = optim.RMSprop([p], lr=1e-6, alpha=alpha, eps=eps, centered=True, momentum=momentum)
    slope = tg.tensor(np.full(3, g, np.float32))

    def step():
        optimizer.zero_grad()
        (p * slope).sum().backward()
        optimizer.step()

    run = MODES[mode](step)
    expected = v = 0.0
    for n in range(1, steps + 1):
        run()
        decay = alpha**n  # s - m^2 = g^2 (1 - decay) - g^2 (1 - decay)^2
        v = momentum * v + g / (g * math.sqrt(decay * (1 - decay)) + eps)
        expected -= 1e-6 * v
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-4)  # without what the mean loses, 20 times too small


def test_a_state_without_the_variance_continues_from_its_two_means():
    p = tg.nn.Parameter(np.zeros(2, np.float32))
    optimizer = optim.RMSprop([p], centered=True)
    p.grad = tg.tensor([1.0, 2.0])
    optimizer.step()
    saved = optimizer.state_dict()
    kept = saved["state"][0].pop("variance")
    del saved["state"][0]["grad_avg_rest"]
    optimizer.load_state_dict(saved)
    np.testing.assert_allclose(optimizer.state[0]["variance"], kept, rtol=1e-5)


# Powers, products, dtypes ------------------------------------------------------------------------------------


@every_mode
def test_mixed_second_derivatives_of_a_power_agree_also_at_exponent_zero(mode):
    def mixed(first, second):
        def function(a, b):
            (slope,) = tg.grad((a**b).sum(), (a, b)[first], create_graph=True)
            return tg.grad(slope.sum(), (a, b)[second])[0]

        return function

    a = tg.tensor(np.array([2.0, 3.0, 2.0]), requires_grad=True)
    b = tg.tensor(np.array([0.0, 0.0, 1.5]), requires_grad=True)
    x, n = a.numpy(), b.numpy()
    expected = x ** (n - 1) * (1 + n * np.log(x))
    for order in ((0, 1), (1, 0)):
        np.testing.assert_allclose(computed(mode, mixed(*order), a, b), expected, rtol=1e-14)


@every_mode
def test_the_slope_of_a_power_of_zero_in_its_base(mode):
    a = tg.tensor(np.zeros(3, np.float32), requires_grad=True)
    b = tg.tensor(np.array([0.0, 1.0, 2.0], np.float32))
    assert computed(mode, lambda a: tg.grad((a**b).sum(), a)[0], a).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.int16, np.int64])
def test_a_rule_of_a_float_result_computes_in_its_precision(dtype):
    """Over the table: an operand of few bits makes no contribution to another operand a float of few bits."""
    judged = 0
    for primitive in tg.TABLE.values():
        for seed in range(4):
            case = recipe_for(primitive)(Source(seed, sizes=(2, 3)))
            floats = [i for i, x in enumerate(case.operands) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
            for narrow in floats if len(floats) > 1 else ():
                operands = [np.abs(x).astype(np.float32) + 1 if i in floats else x for i, x in enumerate(case.operands)]
                operands[narrow] = np.ones(operands[narrow].shape, dtype) * dtype(2)
                y = np.asarray(primitive.reference(*operands, **case.attrs))
                wide = [x.astype(np.float64) if i in floats else x for i, x in enumerate(operands)]
                g = np.ones(y.shape, y.dtype)
                for slot in floats:
                    if slot == narrow or y.dtype.kind != "f" or slot not in primitive.slots:
                        continue
                    found = np.asarray(primitive.pull(slot, g, y, operands, case.attrs))
                    exact = primitive.pull(slot, g.astype(float), y.astype(float), wide, case.attrs)
                    assert found.dtype.itemsize >= np.dtype(np.float32).itemsize, (primitive, slot, found.dtype)
                    np.testing.assert_allclose(found, exact, rtol=1e-5, err_msg=f"{primitive} {slot}")
                    judged += 1
    assert judged > 20


def test_a_power_of_narrow_integers_has_a_gradient_of_full_precision():
    b = tg.tensor(np.array([2.0], np.float32), requires_grad=True)
    (g,) = tg.grad((tg.tensor(np.array([2], np.int8)) ** b).sum(), b)
    assert g.item() == pytest.approx(4 * math.log(2), rel=1e-6)


VIEWS = ["flatten", "squeeze", "flip"]
METHODS = [
    *((name, {}) for name in ["exp", "sqrt", "square", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "abs"]),
    *((name, {}) for name in ["leaky_relu", "float", "clone", *VIEWS]),
    *((name, {"axis": 0, "keepdims": True}) for name in ["sum", "mean", "prod", "max", "min", "logsumexp"]),
    *((name, {"axis": 0}) for name in ["softmax", "log_softmax", "cumsum"]),
    *[("clip", {"min": -9.0}), ("clip", {"max": 9.0}), ("prod", {"keepdims": True})],
]


@pytest.mark.parametrize(("name", "settings"), METHODS, ids=lambda x: str(x))
def test_no_operation_returns_its_operand(name, settings):
    """Where it has nothing to do, too: the result has hooks, a gradient and, unless it is a view, memory of its own."""
    x = tg.tensor(np.ones((1,), np.float32), requires_grad=True)
    y = getattr(x, name)(**settings)
    assert y is not x and y.serial != x.serial
    if name not in VIEWS:
        with tg.no_grad():
            y = getattr(x, name)(**settings)
            assert not np.shares_memory(y.numpy(), x.numpy())
            y += 1
        assert x.tolist() == [1.0]


def test_sizes_zero_and_one_broadcast_under_the_dots_of_einsum():
    for a, b in (((0, 2), (1, 2)), ((1, 2), (0, 2)), ((1, 2), (3, 2)), ((1, 2), (1, 2)), ((2,), (0, 2))):
        x, y = np.ones(a), np.ones(b)
        expected = np.einsum("...i,...i->...", x, y)
        assert tg.einsum("...i,...i->...", x, y).shape == expected.shape


# Sums by another name ------------------------------------------------------------------------------------------

MANY = 200_000
SUMS = {
    "cumsum": lambda x: x.cumsum(0)[-1],
    "cumsum along rows": lambda x: x.reshape(2, -1).cumsum(1)[:, -1].sum(),
    "its gradient": lambda x: tg.grad(x.cumsum(0).sum(), x)[0][0] * 0.1,
    "einsum": lambda x: tg.einsum("i->", x),
    "einsum of rows": lambda x: tg.einsum("ij->j", x.reshape(-1, 2)).sum(),
    "einsum of two": lambda x: tg.einsum("ij,ij->j", x.reshape(-1, 2), tg.ones(MANY // 2, 2)).sum(),
    "index": lambda x: gradient_of_rows(x, lambda table, at: table[at]),
    "embedding": lambda x: gradient_of_rows(x, lambda table, at: tg.take(table, at)),
}


def gradient_of_rows(x, read):
    """Every row of a table of two is read many times."""
    table = (x[:4] * 0).reshape(2, 2).detach().requires_grad_()
    at = np.arange(MANY // 2) % 2
    return tg.grad((read(table, at) * x.reshape(-1, 2)).sum(), table)[0].sum()


@every_mode
@pytest.mark.parametrize("kind", SUMS)
def test_sums_by_another_name_are_as_good(kind, mode):
    x = tg.tensor(np.full(MANY, 0.1, np.float32), requires_grad=True)
    exact = float(np.float32(0.1)) * MANY
    assert abs(float(computed(mode, SUMS[kind], x)) - exact) <= 2e-6 * exact


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_meet_are_added_whatever_their_order(dtype, rng):
    """Few and many, into a buffer that lies the other way round as well."""
    for count in (0, 1, 7, 5000):
        at, g = rng.integers(0, 5, count), rng.standard_normal((count, 3)).astype(dtype)
        exact = np.zeros((5, 3), np.longdouble)
        np.add.at(exact, at, g)
        table = tg.tensor(np.zeros((5, 3), dtype), requires_grad=True)
        for read in (tg.take, lambda table, at: table[at], lambda table, at: tg.take(table.T.T, at)):
            (found,) = tg.grad((read(table, at) * g).sum() + (table.T * 0).sum(), table)
            error = np.abs(found.numpy() - exact)
            assert (error <= 2 * np.finfo(dtype).eps * max(np.abs(g).sum(), 1e-300)).all()


@pytest.mark.parametrize("shapes", [((1, -1), (-1, 1)), ((-1,), (-1,)), ((2, -1), (-1, 3)), ((2, 1, -1), (-1, 1))])
@pytest.mark.parametrize("kind", ["eager", "compiled", "linear", "einsum"])
def test_a_product_over_a_long_axis_is_added_up_in_pieces(shapes, kind):
    """A sum in a row would be off by 2.4e-3 here."""
    n = 10**6
    a, b = (np.full(tuple(n if k < 0 else k for k in shape), c, np.float32) for shape, c in zip(shapes, (0.1, 1.0)))
    a, b = tg.tensor(a), tg.tensor(b)
    if kind == "linear" and b.ndim > 1:
        found = tg.nn.functional.linear(a, b.T)
    elif kind == "einsum" and b.ndim > 1 and a.ndim > 1:
        found = tg.einsum("...k,kj->...j", a, b) if a.ndim == 2 else tg.einsum("abk,kj->abj", a, b)
    else:
        found = tg.compile(lambda x, y: x @ y)(a, b) if kind == "compiled" else a @ b
    np.testing.assert_allclose(found.numpy(), np.float64(np.float32(0.1)) * n, rtol=2e-5)


def test_elu_near_zero_and_far_below_it():
    for dtype, bound in ((np.float32, 4e-7), (np.float64, 1e-15)):
        x = tg.tensor(np.array([-1e-7, -1e-3, -0.5, -0.999, -1.001, -20.0]), dtype=dtype, requires_grad=True)
        y = elu(x)
        y.sum().backward()
        wide = x.numpy().astype(np.longdouble)
        np.testing.assert_allclose(y.numpy(), np.expm1(wide).astype(np.float64), rtol=bound)
        np.testing.assert_allclose(x.grad.numpy(), np.exp(wide).astype(np.float64), rtol=2 * bound)
