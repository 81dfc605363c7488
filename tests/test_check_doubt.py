"""`check_gradients` where a weaker one is fooled: references, precision, the ends of floating point, broken rules."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg


def verdict(function, inputs=None, **settings):
    return tg.check_gradients(function, inputs, raise_exception=False, **settings)


@pytest.fixture
def primitive():
    """Makes a primitive for one test."""
    made = []

    def make(reference, *rules, shape=lambda x: x):
        made.append(f"of_a_test_{len(made)}")
        return tg.Primitive(made[-1], made[-1], shape, reference, vjp=rules)

    yield make
    for name in made:
        del tg.TABLE[name]


def _branching(x):
    return x**2 if np.iscomplexobj(x) else x**3


def _scaled(x):
    return np.asarray(x * np.linalg.norm(x))


@pytest.mark.parametrize(
    "reference, right, wrong",
    [
        (lambda x: np.conj(x) * 1, lambda g, _y, _x: g, lambda g, _y, _x: -g),
        (_branching, lambda g, _y, x: g * 3 * x * x, lambda g, _y, x: g * 2 * x),
        (
            _scaled,
            lambda g, y, x: g * np.linalg.norm(x) + x * (g * x).sum() / np.linalg.norm(x),
            lambda g, _y, x: g * np.linalg.norm(x),
        ),
    ],
)
def test_a_reference_with_another_slope_at_complex_values_decides_nothing(reference, right, wrong, primitive):
    good, bad = primitive(reference, right), primitive(reference, wrong)
    passed, failed = verdict(good, [[1.0, 2.0]]), verdict(bad, [[1.0, 2.0]])
    assert (passed.verdict, failed.verdict) == ("passed", "failed")
    assert passed.method == "finite-difference" and "another slope at complex values" in str(passed)


def test_vdot_does_not_turn_the_verdict_round(primitive):
    def shape(_a, _b):
        return ()

    right = primitive(np.vdot, lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a, shape=shape)
    wrong = primitive(np.vdot, lambda g, _y, _a, b: -g * b, lambda g, _y, a, _b: g * a, shape=shape)
    assert verdict(right, [[1.0, 2.0], [3.0, 4.0]])
    (found,) = verdict(wrong, [[1.0, 2.0], [3.0, 4.0]]).wrong
    assert found.name in ("a", "input 0")  # older NumPy does not tell how vdot calls its arguments


@pytest.mark.parametrize("size", [1e155, 1e-165, 1e-300, 1e-308, 1e-315])
def test_a_rule_wrong_by_half_at_the_ends_of_floating_point(size, primitive):
    wrong = primitive(lambda x: x * x, lambda g, _y, x: g * 3 * x)
    right = primitive(lambda x: x * x, lambda g, _y, x: g * 2 * x)
    assert verdict(lambda x: (wrong(x) * size).sum(), [1.0, 2.0]).verdict == "failed"
    assert verdict(lambda x: (right(x) * size).sum(), [1.0, 2.0])


@pytest.mark.parametrize(
    "function, point",
    [
        (lambda x: (x * 1e200).square().sqrt().sum(), [1.0]),
        (lambda x: x.log().sum(), [-1.0, 1.0]),
        (lambda x: x.log().sum(), [0.0, 1.0]),
        (lambda x: x.logsumexp(-1), [-np.inf, -np.inf]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_the_function_is_no_number_nothing_is_decided_or_blamed(function, point):
    report = verdict(function, point)
    assert report.verdict == "undecided" and report.blame is None
    assert "not a number here: the function gives" in str(report)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_the_slope_is_infinite_nothing_is_decided():
    report = verdict(lambda x: x.sqrt().sum(), [0.0, 1.0])
    assert report.verdict == "undecided" and "not differentiable here: sqrt[0]" in str(report)


def test_an_infinite_operand_with_a_finite_result_passes():
    assert tg.check_gradients(lambda x: x.logsumexp(-1), [-np.inf, 0.0, 1.0])


def test_a_step_smaller_than_the_value():
    assert tg.check_gradients(lambda x: x.sqrt().sum(), [1e-30, 1e-200])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("out", [-1e9, -1e30])
def test_a_number_that_stands_for_minus_infinity_leaves_the_reference_believed(out):
    """Paths that no alignment takes in CTC: all numbers of a sum are as good as equal, until they are moved."""
    x = tg.tensor([1.0, 2.0, 0.5], requires_grad=True)
    paths = tg.stack([tg.full(3, out) + 0 * x, x])
    report = tg.check_gradients(paths.logsumexp(1).tanh().sum())
    assert report.method == "complex-step", report


def test_a_hundred_thousandth_too_much_in_single_precision_is_found(primitive):
    wrong = primitive(lambda x: x * x, lambda g, _y, x: g * 2 * x * (1 + 1e-5))
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    report = verdict(lambda: wrong(w).sum())
    assert report.verdict == "failed" and [c.quantity for c in report.wrong] == ["gradient"]


def test_a_rule_wrong_in_single_precision_only(primitive):
    def rule(g, _y, x):
        return g * 2 * x * (1.001 if x.dtype == np.float32 else 1.0)

    wrong = primitive(lambda x: x * x, rule)
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    report = verdict(lambda: wrong(w).sum())
    assert [c.quantity for c in report.wrong] == ["gradient in float32"] and "of_a_test_0" in report.blame


def test_what_cannot_be_had_in_double_precision_says_what_was_allowed(primitive):
    cut = primitive(lambda x: x if np.iscomplexobj(x) else x.astype(np.float32), lambda g, _y, _x: g.astype(np.float32))
    report = verdict(lambda x: cut(x).sum(), np.array([1.0, 2.0], np.float32))
    assert report and "could not be judged in float64" in str(report) and "2e-05" in str(report)


def test_a_right_gradient_that_single_precision_loses_passes():
    layer = tg.nn.RNN(2, 2)
    with tg.no_grad():
        layer.weight_hh_l0 *= 0.1
    x = np.random.default_rng(0).standard_normal((60, 1, 2)).astype(np.float32)
    report = tg.check_gradients(lambda x: layer(x)[0][-1].sum(), x)
    assert any(0 < np.abs(c.expected).max() < 1e-38 for c in report.comparisons)


@pytest.mark.parametrize(
    "rule, said",
    [
        (lambda g, _y, _x: None, "gives None"),
        (lambda g, _y, _x: 3.0, "gives a float"),
        (lambda g, _y, _x: np.ones(7), r"gives an array of shape (7,)"),
    ],
)
def test_a_rule_that_gives_no_gradient_is_one_line(rule, said, primitive):
    report = verdict(primitive(lambda x: x * 1, rule), [1.0, 2.0])
    assert report.verdict == "failed" and said in report.broken and "test_check_doubt.py" in report.broken
    x = tg.tensor([1.0, 2.0], requires_grad=True, dtype="float64")
    with pytest.raises(tg.GraphError, match=re.escape(said)):
        tg.TABLE["of_a_test_0"](x).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("rule", [lambda g, _y, _x: g / 0 if g is None else 1 // 0, lambda g, _y, _x: {}[0]])
def test_a_rule_that_raises_is_named_by_the_check(rule, primitive):
    report = verdict(primitive(lambda x: x * 1, rule), [1.0, 2.0])
    assert report.verdict == "failed" and "the rule of of_a_test_0" in report.broken and "Error" in report.broken


@pytest.mark.parametrize("rule, names", [(lambda: 0, ""), (lambda g: g, "g"), (lambda g, y: g, "g, y")])
def test_a_rule_of_too_few_arguments_is_refused_at_once(rule, names):
    with pytest.raises(tg.ArgumentError, match=rf"takes g, y, and each operand, but one takes \({names}\)"):
        tg.Primitive("of_a_test", "t", lambda x: x, np.sin, vjp=(rule,))
    assert "of_a_test" not in tg.TABLE


def test_no_elements_are_no_error():
    assert "it has no elements" in str(tg.check_gradients(lambda x: x.sum(), np.zeros((0, 3))))


def test_a_chain_that_is_too_dear_is_not_begun():
    """Every comparison is computed on its own there, with the same verdict."""
    from tinygrad_rnn.check.chain_rule import Chain
    from tinygrad_rnn.check.derivatives import Forward

    rng = np.random.default_rng(0)
    w = tg.tensor(rng.standard_normal((4, 4)), requires_grad=True)
    y = ((w @ w).tanh() @ w).sum()
    graph = tg.Graph(y)
    forward = Forward(graph, [np.ones(())])
    assert not Chain(forward, most=10).complete
    (index,) = (leaf.index for leaf in graph.parameters)
    np.testing.assert_allclose(Chain(forward).of(index), forward.gradient(index), rtol=1e-13)


def test_one_wrong_element_of_many_is_found_without_moving_each(primitive):
    def rule(g, _y, x):
        return g * np.where(np.arange(len(x)) == 777, 2, 1)

    wrong = primitive(lambda x: x * 1, rule)
    weights = np.arange(1.0, 2501.0)
    report = verdict(lambda x: (wrong(x) * weights).sum(), np.ones(2500))
    assert report.verdict == "failed" and "of_a_test_0" in report.blame
