"""Programs handed to JAX: the same values, gradients and training steps, with loops that stay loops."""

import itertools
import os

import numpy as np
import pytest

import tinygrad_rnn as tg

jax = pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
import jax.numpy as jnp  # noqa: E402

from tinygrad_rnn import interchange  # noqa: E402
from tinygrad_rnn.interchange.export.xla.rules import RULES  # noqa: E402
from tinygrad_rnn.primitives import TABLE  # noqa: E402
from tinygrad_rnn.testing.recipes import RECIPES, Source  # noqa: E402

F = tg.nn.functional
QUICK = {"xla_backend_optimization_level": 0}  # most of a test's time is XLA's compiling
SEEDS = range(12) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else range(1)


@pytest.fixture(autouse=True)
def double_precision():
    """Every test in 64 bits unless it says otherwise."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(tree):
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree)]


def leaves(result):
    """The tensors of a result of ours, in order."""
    if isinstance(result, tg.Tensor):
        return [result]
    return [x for part in result for x in leaves(part)]


def assert_same(theirs, ours, tolerance=1e-12):
    for a, b in zip(arrays(theirs), leaves(ours), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b.numpy(), rtol=tolerance, atol=tolerance)


def assert_agrees(ours, fn, parameters, *call, by_name=None, tolerance=1e-12):
    """What comes out, and the gradients of the sum of its squares with respect to every parameter."""

    def total(p):
        made = fn.jitted(p, *call)
        return sum((x * x).sum() for x in jax.tree_util.tree_leaves(made)), made

    (_, made), found = jax.jit(jax.value_and_grad(total, has_aux=True), compiler_options=QUICK)(parameters)
    assert_same(made, ours, tolerance)
    for p in by_name.values():
        p.grad = None
    sum((x * x).sum() for x in leaves(ours)).backward()
    assert found.keys() == by_name.keys()
    for name, p in by_name.items():
        expected = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        size = max(1.0, np.abs(expected).max())
        assert np.abs(np.asarray(found[name]) - expected).max() <= tolerance * size, name


# Primitives --------------------------------------------------------------------------------------------------


def test_every_primitive_has_a_rule_with_our_value_and_our_gradient():
    """Over the whole table, a few cases each: JAX differentiates its rule, and we have a rule for the derivative."""
    assert set(RECIPES) <= {op.name for op in RULES}
    cases = [(name, seed, RECIPES[name](Source(seed, sizes=(2, 3, 1)))) for name in RECIPES for seed in SEEDS]
    programs, given, expected = [], [], []
    for name, seed, case in cases:
        op = TABLE[name]
        slots = [i for i, x in enumerate(case.operands) if isinstance(x, np.ndarray)]
        moving = [i for i in slots if i in op.slots and case.operands[i].dtype.kind == "f"]
        ours = {i: tg.Tensor(case.operands[i], requires_grad=i in moving) for i in slots}

        def call(*given, op=op, case=case, slots=slots):
            found = dict(zip(slots, given, strict=True))
            return op(*(found.get(i, x) for i, x in enumerate(case.operands)), **case.attrs)

        fn, _ = interchange.to_jax(call, *(x.detach() for x in ours.values()))
        y = call(*ours.values())
        upstream = np.random.default_rng(seed).standard_normal(y.shape)
        if y.requires_grad:
            y.backward(tg.Tensor(upstream.astype(y.dtype)))

        def program(*floats, fn=fn, case=case, slots=slots, moving=moving, upstream=upstream):
            found = dict(zip(moving, floats, strict=True))
            value, pull = jax.vjp(
                lambda *floats: fn.jitted({}, *(dict(zip(moving, floats)).get(i, case.operands[i]) for i in slots)),
                *floats,
            )  # fmt: skip
            return value, pull(jnp.asarray(upstream, value.dtype)) if found and value.dtype.kind == "f" else ()

        programs.append(program)
        given.append([case.operands[i] for i in moving])
        expected.append((y, [ours[i].grad for i in moving]))
    together = jax.jit(
        lambda given: [program(*floats) for program, floats in zip(programs, given, strict=True)],
        compiler_options=QUICK,
    )
    for (name, _, case), (value, gradients), (y, ours) in zip(cases, together(given), expected, strict=True):
        told = f"{name}: {case}"
        assert value.dtype == y.dtype, told
        tolerance = 1e-12 if y.dtype != np.float32 else 1e-6
        np.testing.assert_allclose(value, y.numpy(), rtol=tolerance, atol=1e-14, err_msg=told)
        for found, gradient in zip(gradients, ours):
            np.testing.assert_allclose(found, gradient.numpy(), rtol=tolerance, atol=tolerance, err_msg=told)


# Loops -------------------------------------------------------------------------------------------------------

LAYERS = {
    "RNN, relu, clip, leak": lambda: tg.nn.RNN(3, 4, 1, "relu", clip=0.5, leak=0.7, dtype=float),
    "RNN, two layers and directions": lambda: tg.nn.RNN(3, 4, 2, bidirectional=True, dtype=float),
    "LSTM, two layers and directions": lambda: tg.nn.LSTM(3, 4, 2, bidirectional=True, dtype=float),
    "LSTM, peepholes, projected, learned state": lambda: tg.nn.LSTM(
        3, 4, peepholes="full", proj_size=2, learned_state=True, dtype=float
    ),
    "LSTM, coupled, repeat": lambda: tg.nn.LSTM(
        3, 4, coupled=True, past_end="repeat", empty="zeros", bidirectional=True, dtype=float
    ),
    "GRU, two layers and directions": lambda: tg.nn.GRU(3, 4, 2, bidirectional=True, dtype=float),
    "GRU, before, live": lambda: tg.nn.GRU(
        3, 4, reset="before", past_end="live", empty="last", bidirectional=True, dtype=float
    ),
    "GRU, step, no bias": lambda: tg.nn.GRU(3, 4, bias=False, past_end="step", empty="initial", dtype=float),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_a_scan_with_the_same_outputs_states_and_gradients(name, rng):
    model = LAYERS[name]()
    fn, parameters = interchange.to_jax(model)
    x = rng.standard_normal((5, 2, 3))
    lengths = [5, 2] if model.empty is None else [3, 0]
    assert str(jax.make_jaxpr(fn.jitted)(parameters, x)).count("scan[") == model.num_layers * model.num_directions
    named = dict(model.named_parameters())
    assert_agrees(model(tg.tensor(x)), fn, parameters, x, by_name=named)
    ours = model(tg.tensor(x), None, lengths)
    assert_agrees(ours, fn, parameters, x, None, np.array(lengths), by_name=named)


class Leaky(tg.nn.Module):
    """A cell of a user's own, which begins with zeros, and puts a layer of its own inside."""

    def __init__(self, input_size, hidden_size=4, begins="zeros"):
        self.hidden_size, self.begins = hidden_size, begins
        self.map = tg.nn.Linear(input_size + hidden_size, hidden_size, dtype=float)

    def forward(self, x, h=None):
        if h is None and self.begins == "input":  # its first step is another one
            return self.map.weight[:, : x.shape[1]] @ x.T @ tg.ones(x.shape[0], 1, dtype=float) * 0 + x[:, :1]
        h = tg.zeros(len(x), self.hidden_size, dtype=float) if h is None else h
        return 0.9 * h + 0.1 * self.map(tg.concat([x, h], axis=1)).tanh()


@pytest.mark.parametrize("lengths", [None, [5, 2]])
def test_a_cell_of_ones_own_in_layers_and_directions(lengths, rng):
    model = tg.nn.Recurrent(Leaky, num_layers=2, bidirectional=True, input_size=3)
    fn, parameters = interchange.to_jax(model)
    x = rng.standard_normal((5, 2, 3))
    call = (x, None, lengths if lengths is None else np.array(lengths))
    text = str(jax.make_jaxpr(fn.jitted)(parameters, *call))
    assert text.count("scan[") == 4 and text.count("length=5") == 4  # no step before the loop
    ours = model(tg.tensor(x), None, lengths)
    assert_agrees(ours, fn, parameters, *call, by_name=dict(model.named_parameters()))


def test_a_cell_whose_first_step_is_another_one_takes_it_before_the_loop(rng):
    class Starts(Leaky):
        def forward(self, x, h=None):
            return super().forward(x, x[:, :1].broadcast_to((len(x), self.hidden_size)) if h is None else h)

    for reverse in (False, True):
        cell = Starts(3)
        model = tg.nn.Recurrent(lambda _size, cell=cell: cell, bidirectional=reverse, input_size=3)
        fn, parameters = interchange.to_jax(model)
        x = rng.standard_normal((5, 2, 3))
        assert "length=4" in str(jax.make_jaxpr(fn.jitted)(parameters, x))
        assert_agrees(model(tg.tensor(x)), fn, parameters, x, by_name=dict(model.named_parameters()))
        assert_same(fn(parameters, x[:1]), model(tg.tensor(x[:1])))


def test_scan_over_a_tree_in_both_directions_with_lengths_and_a_scan_inside(rng):
    w = tg.nn.Parameter(rng.standard_normal((4, 4)))

    def run(xs, start, lengths, reverse):
        def inner(total, row):
            return total + row, None

        def step(carry, row):
            h = (carry["h"] @ w + row["x"]).tanh()
            total, _ = tg.scan(inner, tg.zeros(2, 4, dtype=float), h.expand_dims(0).broadcast_to((3, 2, 4)))
            return {"h": h, "n": carry["n"] + 1}, (h * row["s"], total, h.detach() * carry["n"])

        return tg.scan(step, {"h": start, "n": tg.tensor(0.0, dtype=float)} if lengths is None else
                       {"h": start, "n": tg.zeros(2, 1, dtype=float)}, xs, lengths, reverse)  # fmt: skip

    xs = {"x": rng.standard_normal((5, 2, 4)), "s": rng.standard_normal((5, 2, 1))}
    start = rng.standard_normal((2, 4))
    for lengths, reverse in itertools.product((None, (5, 0)), (False, True)):

        def call(xs, start, lengths=lengths, reverse=reverse):
            return run(xs, start, lengths, reverse)

        fn, parameters = interchange.to_jax(call, xs, start)
        ours = call({k: tg.tensor(v) for k, v in xs.items()}, tg.tensor(start))
        flat = [ours[0]["h"], ours[0]["n"], *ours[1]]
        assert_agrees(flat, fn, parameters, xs, start, by_name=dict.fromkeys(parameters, w), tolerance=1e-11)
