"""`check_gradients`: passes what is right, and says where what is wrong went wrong."""

import re
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.check import GradientError
from tinygrad_rnn.testing import Source
from tinygrad_rnn.testing.random_programs import Writer

KINDS = {"rnn": tg.nn.RNN, "lstm": tg.nn.LSTM, "gru": tg.nn.GRU}


def network(kind, rng, steps=4, dtype=np.float64, **settings):
    """A layer and an input for it."""
    layer = KINDS[kind](2, 3, dtype=dtype, **settings)
    return layer, rng.standard_normal((steps, 2, 2)).astype(dtype)


def verdict(function, inputs=None, **settings):
    return tg.check_gradients(function, inputs, raise_exception=False, **settings)


@pytest.fixture
def with_rule(monkeypatch):
    """Replace the rules of a primitive for one test."""

    def replace(name, *rules):
        monkeypatch.setattr(tg.TABLE[name], "vjp", rules)

    return replace


# What is right --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["complex-step", "finite-difference", "projection"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_passes(kind, method, rng):
    layer, x = network(kind, rng, steps=3)
    report = tg.check_gradients(lambda x: layer(x)[0], x, method=method)
    assert report and report.method == method
    compared = {(c.name, c.step) for c in report.comparisons}
    assert {("weight_hh_l0 in l0", t) for t in range(3)} <= compared
    assert {("x", None), ("weight_ih_l0", None), ("l0.h", 2)} <= compared


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_of_a_layer_pass(kind, rng):
    layer, x = network(kind, rng, steps=2)
    report = tg.check_gradients(lambda x: layer(x)[0], x, order=2)
    assert sum(c.quantity == "second derivative" for c in report.comparisons) == 5


def test_a_loss_whose_leaf_was_written_since_is_refused():
    """Its values would be computed anew from numbers that its gradients do not know, and a right rule blamed."""
    w, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    loss = (w + b).tanh().sum()
    with tg.no_grad():
        b.mul_(0.1)
    with pytest.raises(tg.MutationError, match=r"before it was written in place at test_check.py:\d+; check before"):
        tg.check_gradients(loss)
    assert tg.check_gradients(lambda: (w + b).tanh().sum())


def test_float32_is_judged_in_double_precision_and_as_it_is(rng):
    layer, x = network("lstm", rng, steps=3, dtype=np.float32)
    report = tg.check_gradients(lambda x: layer(x)[0], x)
    assert report
    assert any(c.error > 0 for c in report.comparisons)
    assert {(c.quantity.endswith("in float32"), c.rtol) for c in report.comparisons} == {(False, 1e-11), (True, 2e-5)}
    assert all(c.expected.dtype == np.float64 for c in report.comparisons)
    assert "judged twice" in str(report)


def test_a_graph_and_a_tensor(rng):
    w = tg.tensor(rng.standard_normal((2, 2)), requires_grad=True, name="w")
    loss = (w @ w).sin().sum()
    assert tg.check_gradients(loss) and tg.check_gradients(tg.Graph(loss))
    moved = tg.check_gradients(tg.Graph(loss), {"w": np.zeros((2, 2))})
    assert not moved.comparisons[0].expected.any()
    with pytest.raises(tg.GraphError, match="mapping"):
        tg.check_gradients(loss, [1.0])


def test_inputs_by_name_by_position_and_none(rng):
    w = tg.tensor([2.0], dtype=np.float64, requires_grad=True, name="w")
    assert tg.check_gradients(lambda a, b: a * b * w, {"b": [1.0, 2.0], "a": 3.0})
    assert tg.check_gradients(lambda: (w * w).sum())
    report = tg.check_gradients(lambda table, rows: tg.take(table, rows), [rng.standard_normal((3, 2)), [0, 2, 0]])
    assert [c.name for c in report.comparisons] == ["table"]


def test_several_outputs_and_given_upstream_gradients():
    x = np.array([0.3, -0.7])
    report = tg.check_gradients(lambda x: (x.sin(), x), x, grad_outputs=[[1.0, 0.0], [0.0, 5.0]])
    np.testing.assert_allclose(report.comparisons[0].got, [np.cos(0.3), 5.0])
    with pytest.raises(tg.GraphError, match="2 outputs want as many grad_outputs, not 1"):
        tg.check_gradients(lambda x: (x.sin(), x), x, grad_outputs=[1.0])
    with pytest.raises(tg.ShapeError, match=r"shape \(2,\)"):
        tg.check_gradients(lambda x: x.sin(), x, grad_outputs=[1.0])


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: 1.0, "returned float"),
        (lambda x: x.detach(), "no leaf"),
        (lambda x: x > 0, "bool"),
    ],
)
def test_what_cannot_be_checked(function, message):
    with pytest.raises(tg.GraphError, match=message):
        tg.check_gradients(function, [1.0])


def test_an_input_is_a_leaf():
    with pytest.raises(tg.GraphError, match=r"was made by mul; detach\(\)"):
        tg.check_gradients(lambda x: x.sum(), tg.tensor([1.0], requires_grad=True) * 2)
    with pytest.raises(ValueError, match="method is one of"):
        tg.check_gradients(lambda x: x, [1.0], method="guess")


def test_large_tensors_are_projected(rng):
    x = rng.standard_normal((70, 70))
    report = tg.check_gradients(lambda x: x.tanh(), x)
    assert [c.projected for c in report.comparisons] == [True]


def test_many_steps_are_sampled(rng):
    layer, x = network("rnn", rng, steps=12)
    report = tg.check_gradients(lambda x: layer(x)[1], x, max_steps=5)
    assert {c.step for c in report.comparisons} == {None, 0, 3, 6, 8, 11}
    assert "5 of 12 time steps" in str(report)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_any_magnitude(size):
    assert tg.check_gradients(lambda x: x.sin() * size, [0.3, 2.0])


def test_cancellation_is_rounding_not_a_bug(rng):
    """The gradient of a shift that softmax ignores is rounding and nothing else."""
    x = rng.standard_normal((5, 4))
    report = tg.check_gradients(lambda x, shift: (x + shift).softmax(-1).square(), [x, 0.3])
    shift = next(c for c in report.comparisons if c.name == "shift")
    assert np.abs(shift.got) < 1e-14 and np.abs(shift.expected) < 1e-14


def test_what_cancels_on_the_way_back_alone_is_rounding(rng):
    """The keys' bias of an attention whose maximum is differentiated too: no value's rounding shows in its gradient."""
    bias, w = tg.tensor(np.zeros(3), requires_grad=True), tg.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    q, x, v = (tg.tensor(rng.normal(size=shape)) for shape in ((4, 3), (5, 3), (5, 2)))
    scores = q @ (x @ w + bias).transpose(0, 1)
    shares = (scores - scores.amax(-1, keepdim=True)).exp()
    assert tg.check_gradients((shares / shares.sum(-1, keepdim=True) @ v).sum())


# What is wrong --------------------------------------------------------------------------------------------


def test_a_wrong_rule_is_named_with_its_line_and_step(with_rule, rng):
    layer, x = network("lstm", rng, steps=2)
    with_rule("tanh", lambda g, y, _x: g * (1 - y))
    with pytest.raises(GradientError) as caught:
        tg.check_gradients(lambda x: layer(x)[0], x)
    report = caught.value.report
    assert report.verdict == "failed" and not report
    assert report.blame.startswith("tanh (at test_check.py:") and "time step 2" in report.blame
    message = str(caught.value)
    assert "time step" in message and "got" in message and "expected" in message and "first wrong in tanh" in message


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 + 1e-9])
def test_a_small_factor_is_found(factor, with_rule, rng):
    layer, x = network("gru", rng, steps=2)
    with_rule("sigmoid", lambda g, y, _x: g * (y * (1 - y)) * factor)
    assert "sigmoid" in verdict(lambda x: layer(x)[0], x).blame


def test_a_leak_of_single_precision_is_found(with_rule, rng):
    layer, x = network("rnn", rng, steps=2)
    with_rule("tanh", lambda g, y, _x: (g.astype(np.float32) * (1 - y * y)).astype(np.float64))
    assert verdict(lambda x: layer(x)[0], x).verdict == "failed"


def test_one_step_lost_from_a_vanishing_gradient(rng):
    """What step 1 sends to W is 1e-16 of the whole: only untied weights tell that it is missing."""
    layer, x = network("rnn", rng, steps=12)
    with tg.no_grad():
        layer.weight_hh_l0 *= 0.05

    def forward(x):
        output, h = layer(x)
        states = [node for node in chain(output) if node.role == "h" and node.scope.step == 0 and node.op is not None]
        states[0].register_hook(lambda g: g * 0)
        return h

    report = verdict(forward, x)
    assert report.verdict == "failed"
    whole = [c for c in report.wrong if c.step is None]
    assert not {"weight_hh_l0", "weight_ih_l0"} & {c.name for c in whole}
    assert {("weight_ih_l0 in l0", 0), ("bias_hh_l0 in l0", 0)} <= {(c.name, c.step) for c in report.wrong}


def chain(output):
    """Every tensor below one."""
    found, pending = [], [output]
    while pending:
        x = pending.pop()
        if isinstance(x, tg.Tensor) and not any(x is y for y in found):
            found.append(x)
            pending.extend(x.operands)
    return found


def test_what_hooks_do_to_a_gradient_is_seen(rng):
    layer, x = network("rnn", rng, steps=2)

    def forward(x):
        _, h = layer(x)
        h.register_hook(lambda g: g * 2)
        return h

    report = verdict(forward, x)
    assert report.verdict == "failed" and "lost, doubled or overwritten" in report.blame


def test_a_wrong_second_derivative(with_rule):
    """The value of the rule is right, but it is constant in x."""
    with_rule("sin", lambda g, _y, x: g * np.cos(np.asarray(x)))
    assert tg.check_gradients(lambda x: x.sin(), [0.3, 2.0])
    report = verdict(lambda x: x.sin(), [0.3, 2.0], order=2)
    assert [c.quantity for c in report.wrong] == ["second derivative"]


@pytest.mark.parametrize("method", ["complex-step", "finite-difference", "projection"])
def test_every_method_finds_a_wrong_rule(method, with_rule):
    with_rule("exp", lambda g, y, _x: g * y * 1.001)
    assert verdict(lambda x: x.exp(), [0.3, 2.0], method=method).verdict == "failed"


def test_nan_is_wrong(with_rule):
    with_rule("exp", lambda g, y, _x: g * y * np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert verdict(lambda x: x.exp(), [0.3, 2.0]).verdict == "failed"


def test_a_float32_function_with_a_wrong_rule(with_rule, rng):
    layer, x = network("gru", rng, steps=2, dtype=np.float32)
    with_rule("sigmoid", lambda g, y, _x: g * (y * (1 - y)) * np.float32(1.001))
    assert verdict(lambda x: layer(x)[0], x).verdict == "failed"


# What has no derivative, or is no function ----------------------------------------------------------------


@pytest.mark.parametrize(
    "function, x, name",
    [
        (lambda x: x.relu(), [1.0, 0.0], "relu[1]"),
        (lambda x: x.abs(), [0.0, 3.0], "abs[0]"),
        (lambda x: x.max(), [2.0, 2.0, 1.0], "max"),
        (lambda x: tg.maximum(x, 1.5), [1.5, 2.0], "maximum[0]"),
        (lambda x: tg.where(x > 1.0, x, x * x), [1.0, 2.0], "greater[0]"),
        (lambda x: (x * 3.0 - 0.3).relu(), [0.1], "relu[0]"),
    ],
)
def test_a_kink_is_undecided(function, x, name):
    report = verdict(function, x)
    assert report.verdict == "undecided"
    assert f"not differentiable here: {name}" in str(report) and "move the point" in str(report)
    with pytest.raises(GradientError, match="undecided"):
        tg.check_gradients(function, x)
    moved = [v + 0.1 * k for k, v in enumerate(x, start=1)]
    assert tg.check_gradients(function, moved)


def test_a_kink_decides_nothing_about_other_tensors(with_rule):
    def function(x, w):
        return x.relu().sum() + w.exp().sum()

    assert verdict(function, [[0.0], [1.0]]).affected == {"x"}
    with_rule("exp", lambda g, y, _x: g * y * 2)
    report = verdict(function, [[0.0], [1.0]])
    assert report.verdict == "failed" and {c.name for c in report.wrong} == {"w"}


def test_a_kink_no_gradient_reaches_does_not_count():
    assert tg.check_gradients(lambda x: x.relu()[1:], [0.0, 1.0])


def test_a_value_compared_with_itself_has_no_kink():
    assert tg.check_gradients(lambda x: tg.maximum(x, x), [1.0, -2.0])


def test_constant_masks_have_no_kinks(rng):
    layer, x = network("lstm", rng)
    assert tg.check_gradients(lambda x: layer(x, lengths=[4, 2])[0], x)


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_differences_see_a_kink_within_their_step(gap):
    report = verdict(lambda x: x.relu(), [gap], method="finite-difference")
    assert report.verdict == "undecided"
    assert tg.check_gradients(lambda x: x.relu(), [gap])


def test_dropout_is_no_function(rng):
    layer = tg.nn.Dropout(0.5)
    report = verdict(lambda x: layer(x), rng.standard_normal(20))
    assert report.verdict == "failed" and "dropout mask" in report.unsteady and "eval()" in str(report)
    layer.eval()
    assert tg.check_gradients(lambda x: layer(x), rng.standard_normal(20))


def test_a_function_that_writes_to_its_input():
    def function(x):
        y = (x * 1.0).sum()
        with tg.no_grad():
            x.copy_(x + 1.0)
        return y

    assert "wrote to its input x" in verdict(function, [1.0, 2.0]).unsteady


def test_a_graph_that_changes_between_calls():
    calls = []

    def function(x):
        calls.append(1)
        return x.sin() if len(calls) % 2 else x.sin() * 2.0

    assert "graphs of 2 and 3 nodes" in verdict(function, [1.0]).unsteady


def _detached(x, w):
    return (x @ w).sum() * (x @ w).detach()


def _in_numpy(x, w):
    return x @ tg.tensor(np.tanh(w.numpy()))


def _by_item(x, w):
    return (x @ w) * (x * x).sum().item()


def _not_recorded(x, w):
    with tg.no_grad():
        gate = (x @ w).sigmoid()
    return gate * (x @ w)


def _returned(x, w):
    with tg.no_grad():
        gate = (x @ w).sigmoid()
    return [x @ w, gate]


@pytest.mark.parametrize("function", [_detached, _in_numpy, _by_item, _not_recorded, _returned])
def test_a_value_that_no_gradient_flows_back_from_is_named(function, rng):
    inputs = [rng.standard_normal((1, 3)), rng.standard_normal((3, 1))]
    report = verdict(function, inputs)
    assert report.verdict == "failed" and not report.wrong
    assert "cut off: " in str(report) and ("test_check.py" in report.severed or function is _returned)
    outputs = function(*(tg.tensor(x, requires_grad=True) for x in inputs))
    assert tg.check_gradients(tg.Graph(*(outputs if isinstance(outputs, list) else [outputs])))


def test_a_state_cut_at_one_step_is_named_with_the_step(rng):
    cell = tg.nn.GRUCell(2, 3, dtype=np.float64)
    before = [p.numpy().copy() for p in cell.parameters()]

    def function(x):
        h = tg.zeros((1, 3), dtype=np.float64)
        for t in tg.steps(4):
            h = cell(x[t], h.detach() if t == 2 else h)
        return h

    assert " at time step 3 " in verdict(function, rng.standard_normal((4, 1, 2))).severed
    assert all(np.array_equal(p.numpy(), value) for p, value in zip(cell.parameters(), before))


def test_choices_and_masks_cut_nothing(rng):
    def function(x, w):
        best = (x @ w).numpy().argmax(-1)
        return (x @ w)[np.arange(4), best] + tg.tensor((x.numpy() > 0).astype(float)).sum()

    assert tg.check_gradients(function, [rng.standard_normal((4, 3)), rng.standard_normal((3, 2))])


def test_a_reference_without_complex_values_falls_back_to_differences(with_rule):
    hypot = tg.Primitive(
        "hypot", "hypot", lambda a, _b: a, np.hypot, vjp=(lambda g, y, a, _b: g * a / y, lambda g, y, _a, b: g * b / y)
    )
    try:
        report = tg.check_gradients(lambda a, b: hypot(a, b), [[3.0, 1.0], [4.0, 2.0]])
        assert report.method == "finite-difference" and "takes no" not in str(report)
        assert "does not take complex values" in str(report)
        with_rule("hypot", lambda g, y, a, _b: g * a / y, lambda g, _y, _a, b: g * b)
        assert verdict(lambda a, b: hypot(a, b), [[3.0, 1.0], [4.0, 2.0]]).verdict == "failed"
    finally:
        del tg.TABLE["hypot"]


def test_a_reference_that_drops_the_imaginary_part_is_judged_by_differences():
    sine = tg.Primitive(
        "real_sine", "sin", lambda x: x, lambda x: np.sin(x.real), vjp=(lambda g, _y, x: g * tg.cos(x),)
    )
    try:
        report = tg.check_gradients(sine, [0.3, 2.0])
        assert report.method == "finite-difference"
    finally:
        del tg.TABLE["real_sine"]


def test_a_modules_inputs_have_the_names_it_gives_them(rng):
    layer, x = network("rnn", rng, steps=2)
    layer.forward, forward = lambda sequence: forward(sequence)[0], layer.forward
    report = tg.check_gradients(layer, x)
    assert "sequence" in {c.name for c in report.comparisons}


def test_what_is_not_spelt_out_is_listed_in_the_order_of_time(with_rule, rng):
    with_rule("tanh", lambda g, y, _x: g * (1 - 1.01 * y * y))
    layer, x = network("rnn", rng, steps=5)
    more = next(line for line in str(verdict(lambda x: layer(x)[0], x)).splitlines() if " more: " in line)
    for listed in re.findall(r"step ([^)]*)\)", more):
        times = [0 if t == "all" else int(t) for t in listed.split(", ")]
        assert times == sorted(times)


def test_a_picture_of_the_failure(with_rule, tmp_path):
    with_rule("exp", lambda g, y, _x: g * y * 2)
    report = verdict(lambda x: x.exp().sum(), [0.3, 2.0], picture=tmp_path / "wrong.dot")
    assert report.picture.read_text().startswith("digraph") and "wrong.dot" in str(report)


@pytest.mark.parametrize("name", [name for name, primitive in tg.TABLE.items() if primitive.slots])
def test_a_billionth_too_much_in_any_rule_is_found_and_named(name, monkeypatch):
    primitive = tg.TABLE[name]
    writer = Writer(Source(3, sizes=(2, 3)))
    writer.leaf()
    for _ in range(2):
        writer.line([name])
    program = writer.program()
    assert tg.check_gradients(program, program.leaves)
    right = primitive.pull
    monkeypatch.setattr(primitive, "accumulate", None)
    factor = 1 + (1e-3 if name == "cast" else 1e-9)  # of its two precisions the program has the lower
    # the `setattr` of pytest 8 puts a bound method back, which copies of the primitive with another rule would use
    monkeypatch.setitem(vars(primitive), "pull", lambda *call: right(*call) * factor)
    report = verdict(program, program.leaves)
    assert report.verdict == "failed"
    assert report.blame.startswith(f"{name} (at test_check.py:")


def test_a_report_at_a_prompt_is_a_line():
    report = tg.check_gradients(lambda x: (x * x).sum(), tg.tensor([1.0, 2.0], requires_grad=True))
    assert re.fullmatch(r"<gradient check passed: \d+ comparisons of .*>", repr(report))


def test_tensors_without_a_name_are_counted_one_by_one():
    weights = [tg.randn(2).requires_grad_() for _ in range(3)]
    assert " of 3 tensors" in str(tg.check_gradients((weights[0] * weights[1] * weights[2]).sum()))


def test_judging_changes_no_rule(with_rule, rng):
    """What was found wrong is found wrong again, and the derivative it was compared with is nowhere."""
    wrong = (lambda g, y, _x: g * (1 - y),)
    with_rule("tanh", *wrong)
    layer, x = network("rnn", rng)
    for _ in range(2):
        report = verdict(lambda x: layer(x)[0], x)
        assert report.verdict == "failed" and "tanh" in report.blame
        assert tg.TABLE["tanh"].vjp == wrong


def test_a_mask_of_what_was_found_turns_over_where_it_was_found(rng):
    def chosen(x):
        return (x * (tg.one_hot(x.argmax(1), 4) > 0)).sum()

    x = rng.standard_normal((3, 4))
    assert verdict(chosen, x).verdict == "passed"
    x[0] = x[0].max()
    assert verdict(chosen, x).verdict == "undecided"
