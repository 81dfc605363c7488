"""Programs handed to JAX: the same values, gradients and training steps, with loops that stay loops."""

import itertools
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nightly import NIGHTLY

import tinygrad_rnn as tg

jax = pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
import jax.numpy as jnp  # noqa: E402

from tinygrad_rnn import interchange  # noqa: E402
from tinygrad_rnn.errors import ArgumentError, DTypeError, GraphError, ShapeError, UnsupportedError  # noqa: E402
from tinygrad_rnn.interchange.export.xla.rules import RULES  # noqa: E402
from tinygrad_rnn.primitives import TABLE  # noqa: E402
from tinygrad_rnn.testing.sample_operands import RECIPES, Source  # noqa: E402

F = tg.nn.functional
SEEDS = range(12) if NIGHTLY else range(1)


@pytest.fixture(autouse=True)
def double_precision():
    """Every test in 64 bits unless it says otherwise."""
    before = jax.config.read("jax_enable_x64")
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

    (_, made), found = jax.jit(jax.value_and_grad(total, has_aux=True))(parameters)
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
            )
            return value, pull(jnp.asarray(upstream, value.dtype)) if found and value.dtype.kind == "f" else ()

        programs.append(program)
        given.append([case.operands[i] for i in moving])
        expected.append((y, [ours[i].grad for i in moving]))
    together = jax.jit(
        lambda given: [program(*floats) for program, floats in zip(programs, given, strict=True)],
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
    "RNN, two directions": lambda: tg.nn.RNN(3, 4, bidirectional=True, dtype=float),
    "LSTM, two layers and directions": lambda: tg.nn.LSTM(3, 4, 2, bidirectional=True, dtype=float),
    "LSTM, peepholes, projected, learned state": lambda: tg.nn.LSTM(
        3, 4, peepholes="full", proj_size=2, learned_state=True, dtype=float
    ),
    "LSTM, coupled, repeat": lambda: tg.nn.LSTM(
        3, 4, coupled=True, past_end="repeat", empty="zeros", bidirectional=True, dtype=float
    ),
    "GRU, two directions": lambda: tg.nn.GRU(3, 4, bidirectional=True, dtype=float),
    "GRU, before, live": lambda: tg.nn.GRU(
        3, 4, reset="before", past_end="live", empty="last", bidirectional=True, dtype=float
    ),
    "GRU, step, no bias": lambda: tg.nn.GRU(3, 4, bias=False, past_end="step", empty="initial", dtype=float),
}


#: those that are also run on sequences of one length, whose loops have no masks; what else a layer has is in both
WITHOUT_LENGTHS = {"RNN, two directions", "LSTM, two layers and directions", "GRU, two directions"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_a_scan_with_the_same_outputs_states_and_gradients(name, rng):
    model = LAYERS[name]()
    fn, parameters = interchange.to_jax(model)
    x = rng.standard_normal((5, 2, 3))
    lengths = [5, 2] if model.empty is None else [3, 0]
    assert str(jax.make_jaxpr(fn.jitted)(parameters, x)).count("scan[") == model.num_layers * model.num_directions
    named = dict(model.named_parameters())
    if name in WITHOUT_LENGTHS:
        assert_agrees(model(tg.tensor(x)), fn, parameters, x, by_name=named)
    ours = model(tg.tensor(x), None, lengths)
    assert_agrees(ours, fn, parameters, x, None, np.array(lengths), by_name=named)


def test_positions_that_an_argument_says_are_followed(rng):
    x, lengths = rng.normal(size=(2, 5, 3)), np.array([5, 2])
    last = tg.compile(lambda x, lengths: x[tg.arange(len(x)), lengths - 1].square())
    fn, parameters = interchange.to_jax(lambda x, lengths: x[tg.arange(len(x)), lengths - 1].square(), x, lengths)
    for now in (lengths, np.array([1, 4])):
        found = fn(parameters, x, now)
        np.testing.assert_allclose(found, x[[0, 1], now - 1] ** 2, rtol=1e-12)
        np.testing.assert_allclose(last(tg.tensor(x), tg.tensor(now)).numpy(), found, rtol=1e-12)


def test_gates_are_split_and_the_way_back_joins_them():
    """Cut out one by one, each gate's gradient would be padded to the size of all, and all of those added up."""
    for model in (
        tg.nn.LSTM(3, 4, dtype=float),
        tg.nn.LSTM(3, 4, coupled=True, dtype=float),
        tg.nn.GRU(3, 4, dtype=float),
    ):
        fn, parameters = interchange.to_jax(model)
        text = str(jax.make_jaxpr(jax.grad(lambda p, fn=fn: fn(p, np.ones((5, 2, 3)))[0].sum()))(parameters))
        assert "pad[" not in text and text.count("concatenate[") == text.count("split[") > 0
    x = np.arange(12.0).reshape(2, 6)
    cases = [
        lambda x: (x[:, :2], x[:, 4:]), lambda x: (x[:, :3], x[:, 2:]), lambda x: (x[:1], x[:, 1:]),
        lambda x: (x[:, ::2], x[:, 1::2]), lambda x: (x[:, 2:4], x[:, 2:4], x[..., 4:5]), lambda x: (x[0], x[1:]),
        lambda x: (x[:, 2:2], x[:, 2:]), lambda x: (x, x[:, -2:], x[..., :-2]), lambda x: (x[None, :, :2], x[:, 2:]),
    ]  # fmt: skip
    for call in cases:
        for a, b in zip(interchange.to_jax(call, x)[0]({}, x), call(x), strict=True):
            np.testing.assert_array_equal(a, b)


class Leaky(tg.nn.Module):
    """A cell of a user's own, which begins with zeros, and puts a layer of its own inside."""

    def __init__(self, input_size, hidden_size=4):
        self.hidden_size, self.map = hidden_size, tg.nn.Linear(input_size + hidden_size, hidden_size, dtype=float)

    def forward(self, x, h=None):
        h = tg.zeros(len(x), self.hidden_size, dtype=float) if h is None else h
        return 0.9 * h + 0.1 * self.map(tg.concat([x, h], axis=1)).tanh()


HOLES = [[True, False], [False, True], [True, True], [False, False], [True, False]]


@pytest.mark.parametrize("lengths", [None, [5, 2], HOLES], ids=["none", "lengths", "a mask"])
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


@pytest.mark.parametrize("lengths", [[3, 2], HOLES[:3]], ids=["lengths", "a mask"])
def test_rows_of_a_cell_of_ones_own_that_begin_later_take_its_first_step(lengths, rng):
    class Starts(Leaky):
        def forward(self, x, h=None):
            return self.map.weight[:, 0] * x[:, :1] if h is None else super().forward(x, h)

    model = tg.nn.Recurrent(Starts, bidirectional=True, input_size=3)
    fn, parameters = interchange.to_jax(model)
    call = (rng.standard_normal((3, 2, 3)), None, np.array(lengths))
    ours = model(tg.tensor(call[0]), None, lengths)
    last = 1 if lengths == [3, 2] else 2  # where the second row begins, backwards
    alone = model.l0_reverse(tg.tensor(call[0][last, 1:]))
    np.testing.assert_allclose(ours[0][last, 1:, 4:].numpy(), alone.numpy(), rtol=1e-12)
    assert_agrees(ours, fn, parameters, *call, by_name=dict(model.named_parameters()))


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


OWN = {"a cell of one's own": lambda: tg.nn.Recurrent(Leaky, num_layers=2, bidirectional=True, input_size=3)}


@pytest.mark.parametrize("name", [*LAYERS, *OWN])
def test_what_went_out_comes_back_with_its_values_and_gradients(name, rng):
    """from_jax(to_jax(x)): scans in both directions, opened again, on sequences that end at different steps."""
    model = (LAYERS | OWN)[name]()
    fn, parameters = interchange.to_jax(model)
    call = rng.standard_normal((3, 2, 3)), None, np.array([3, 1])
    again = interchange.from_jax(fn)
    p, *data = again.tensors(parameters, *call)
    pairs = list(zip(leaves(again(p, *data)), leaves(model(tg.tensor(call[0]), None, call[2])), strict=True))
    for pair in zip(*pairs, strict=True):
        sum((y * y).sum() for y in pair).backward()
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)
    for name, w in model.named_parameters():
        np.testing.assert_allclose(p[name].grad.numpy(), w.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_numbers_from_outside_are_no_parameters(rng):
    """`jax.grad` has no gradient of positions, and an optimizer must not train a mask."""
    w = tg.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    mask, rows = tg.tensor(rng.integers(0, 2, (2, 4)).astype(float)), tg.tensor([2, 0])

    def masked(x):
        return (tg.take(w, rows) * mask * x).sum()

    x = rng.standard_normal((2, 4))
    fn, parameters = tg.interchange.to_jax(masked, x)
    (gradient,) = jax.grad(fn)(parameters, x).values()
    masked(tg.tensor(x)).backward()
    np.testing.assert_allclose(gradient, w.grad.numpy(), rtol=1e-12)


def test_half_precision_is_for_products_only(rng):
    """bfloat16 has 8 bits: near, and not equal; results stay of single precision."""
    jax.config.update("jax_enable_x64", False)
    model = tg.nn.LSTM(4, 8)
    fn, parameters = interchange.to_jax(model, dtype="bfloat16")
    x = rng.standard_normal((5, 2, 4)).astype(np.float32)
    found, ours = arrays(fn(parameters, x)), [y.numpy() for y in leaves(model(x))]
    for a, b in zip(found, ours, strict=True):
        assert a.dtype == np.float32
        assert 0 < np.abs(a - b).max() < 0.02


# Training steps ----------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.1},
    "Adagrad": {"lr_decay": 0.1},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {},
}


def training(name, dropout=0.0):
    """A model, a step that trains it, and a batch."""
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Embedding(5, 5), tg.nn.Dropout(dropout)).double()
    rnn = tg.nn.RNN(5, 5, dtype=float) if name == "Adam" else None  # the others are about their own rule
    both = [*model.parameters(), *(rnn.parameters() if rnn else ())]
    optimizer = getattr(tg.optim, name)(both, **OPTIMIZERS[name])

    def step(x, y):
        h = model(x)
        loss = F.cross_entropy((rnn(h)[0] if rnn else h).reshape(-1, 5), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(both, 0.5)
        optimizer.step()
        return loss

    rng = np.random.default_rng(1)
    return step, both, (rng.integers(0, 5, (4, 2)), rng.integers(0, 5, (4, 2)))


def test_whole_steps_train_as_ours_and_their_states_go_both_ways():
    """Every optimizer: three steps there, three here; then both go on from the other's state."""
    made = {name: (training(name), training(name)) for name in OPTIMIZERS}
    exported = {name: interchange.to_jax(there[0], *there[2]) for name, (_, there) in made.items()}
    states = {name: state for name, (_, state) in exported.items()}
    batch = made["SGD"][0][2]

    compiled = {name: jax.jit(fn.jitted) for name, (fn, _) in exported.items()}

    def all_of_them(states):
        return {name: run(states[name], *batch) for name, run in compiled.items()}

    for _ in range(3):
        results = all_of_them(states)
        states = {name: state for name, (state, _) in results.items()}
        for name, ((step, *_), _) in made.items():
            np.testing.assert_allclose(float(results[name][1]), float(step(*batch)), rtol=1e-12, err_msg=name)
    for name, ((step, ours, _), (step_there, theirs, _)) in made.items():
        exported[name][0].restore(states[name])
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(float(step(*batch)), float(step_there(*batch)), rtol=1e-12, err_msg=name)
    states = {name: fn.state() for name, (fn, _) in exported.items()}  # and on from here
    results = all_of_them(states)
    for name, ((step, *_), _) in made.items():
        np.testing.assert_allclose(float(results[name][1]), float(step(*batch)), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("settings", [{"dampening": 0.3}, {"nesterov": True}])
def test_a_state_has_one_form_from_the_start_and_gives_its_memory_away(settings):
    """SGD's velocities, which its first step makes, are there before; the first is the gradient, not dampened."""

    def made():
        w = tg.nn.Parameter([[1.0, -2.0], [0.5, 3.0]], name="w", dtype=np.float32)
        optimizer = tg.optim.SGD([w], lr=0.1, momentum=0.9, **settings)

        def step(x):
            loss = (x @ w).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return w, optimizer, step

    x = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32)
    (_, optimizer, step), (_, _, ours), (_, _, halved) = made(), made(), made()
    fn, state = interchange.to_jax(step, x, donate=True)
    fn.restore(state)
    assert optimizer.state == [{}]  # nothing has begun
    for _ in range(3):
        form, given = jax.tree_util.tree_structure(state), state["parameters"]["w"]
        state, loss = fn(state, x)
        assert jax.tree_util.tree_structure(state) == form and given.is_deleted()
        np.testing.assert_allclose(float(loss), float(ours(x)), rtol=1e-6)
    fn.restore(state)
    np.testing.assert_allclose(float(step(x)), float(ours(x)), rtol=1e-6)
    there, half = interchange.to_jax(halved, x, dtype="bfloat16", donate=True)
    form = jax.tree_util.tree_map(lambda a: (a.shape, a.dtype), half)
    half, loss = there(half, x)
    assert jax.tree_util.tree_map(lambda a: (a.shape, a.dtype), half) == form  # parameters stay of single precision
    np.testing.assert_allclose(float(loss), float(made()[2](x)), rtol=0.01)


@pytest.mark.parametrize("left", [False, True], ids=["none yet", "one left"])
def test_a_gradient_that_nothing_clears_goes_on_from_call_to_call(left, rng):
    """With and without an optimizer; cleared at the end it is no part of what follows."""

    def made():
        w = tg.nn.Parameter([[1.0, -2.0], [0.5, 3.0]], name="w", dtype=float)
        optimizer = tg.optim.SGD([w], lr=0.1, momentum=0.9)

        def added(x):
            loss = (x @ w).square().mean()
            loss.backward()
            return loss

        def stepped(x):
            loss = added(x)
            optimizer.step()
            return loss

        def cleared(x):
            loss = stepped(x)
            optimizer.zero_grad()
            return loss

        def applied(x):
            optimizer.step()
            optimizer.zero_grad()
            return x.sum()

        if left:
            added(tg.tensor([[1.0, 2.0]], dtype=float))
        return w, {"added": added, "stepped": stepped, "cleared": cleared, "applied": applied}

    batches = rng.normal(size=(3, 4, 2))
    for name in ("added", "stepped", "cleared"):
        (w, here), (there, exported) = made(), made()
        fn, state = interchange.to_jax(exported[name], batches[0])
        assert ("gradients" in state) == (left or name != "cleared")
        for x in batches:
            state, loss = fn(state, x)
            np.testing.assert_allclose(float(loss), float(here[name](tg.tensor(x))), rtol=1e-12)
        fn.restore(state)
        np.testing.assert_allclose(there.numpy(), w.numpy(), rtol=1e-12)
        if name != "cleared":
            np.testing.assert_allclose(there.grad.numpy(), w.grad.numpy(), rtol=1e-12)
    if left:
        with pytest.raises(UnsupportedError, match=r"what applied does depends on whether w has a gradient.* one fun"):
            interchange.to_jax(made()[1]["applied"], batches[0])


def test_a_state_that_was_given_away_says_so():
    w = tg.nn.Parameter(np.ones((1, 2)))

    def step(x):
        (w * x).sum().backward()
        return w.grad.sum()

    x = np.ones((1, 2))
    fn, state = interchange.to_jax(step, x, donate=True)
    fn(state, x)
    for use in (lambda: fn(state, x), lambda: interchange.Spread(fn, 1)(state, x), lambda: fn.restore(state)):
        with pytest.raises(GraphError, match=r"this state of step was given away .*go on with the state that it ret"):
            use()


class Bent(tg.Function):
    """Two results, an argument that is no tensor, and a backward pass that is not the derivative."""

    @staticmethod
    def forward(ctx, x, k, y):
        s = (x * y).tanh()
        ctx.save_for_backward(x, y, s)
        return s * k, s.sum(0)

    @staticmethod
    def backward(ctx, g, of_sum):
        x, y, s = ctx.saved_tensors
        inner = (1 - s * s) * (g * 3 + of_sum)
        return inner * y * 7, None, inner * x


def test_a_function_takes_its_authors_backward_pass_along(rng):
    """Alone, and in a loop; also where it is wrong."""
    w, v = (tg.nn.Parameter(rng.standard_normal((2, 3)), name=name) for name in "wv")

    def alone(x):
        y, total = Bent.apply(w * x, 3.0, v + x)
        return (y * y).sum() + total.sum()

    def looped(xs):
        return tg.scan(lambda h, x: Bent.apply(w * x + h, 3.0, v), tg.zeros(2, 3, dtype=float), xs)

    for call, x in ((alone, rng.standard_normal((2, 3))), (looped, rng.standard_normal((4, 2, 3)))):
        fn, parameters = interchange.to_jax(call, x)
        assert_agrees(call(tg.tensor(x)), fn, parameters, x, by_name={"w": w, "v": v})

    class Reads(Bent):
        @staticmethod
        def backward(ctx, g, of_sum):
            return Bent.backward(ctx, g * float(g.sum()), of_sum)

    with pytest.raises(GraphError, match=r"read \(at test_export_jax.py:\d+\)"):
        interchange.to_jax(lambda x: Reads.apply(w, 3.0, v)[0], x)


def test_dropout_draws_from_the_key_in_the_state():
    step, _, batch = training("Adam", dropout=0.5)
    fn, state = interchange.to_jax(step, *batch)
    run = jax.jit(fn.jitted)
    after, loss = run(state, *batch)
    assert float(run(state, *batch)[1]) == float(loss)  # the same key, the same mask
    assert float(run({**state, "key": after["key"]}, *batch)[1]) != float(loss)


class Kept(tg.nn.Module):
    """Two parts of a state that add up what they are given: their outputs tell which masks they had."""

    def __init__(self, input_size):
        self.hidden_size, self.w = input_size, tg.nn.Parameter(np.ones(input_size))

    def forward(self, x, state=None):
        h, n = (x * 0, x * 0) if state is None else state
        return x * self.w + h, n + x


@pytest.mark.parametrize("given", [False, True])
def test_variational_dropout_is_one_mask_for_all_steps_of_a_sequence(given):
    """At p = 1/2 units of the state are doubled at each step, or forgotten at each step; those of the input, too."""
    model = tg.nn.Recurrent(Kept, bidirectional=True, variational_dropout=0.5, input_size=8)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.0)
    first = tuple(tg.zeros(2, 16, 8, dtype=float) for _ in "hn") if given else None

    def step(xs):
        def one(total, x):  # two sequences, each with masks of its own
            y = model(x, first)[0]
            return total + y.sum(), y

        total, ys = tg.scan(one, tg.tensor(0.0, dtype=float), xs)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return ys

    x = np.ones((2, 4, 16, 8))
    fn, state = interchange.to_jax(step, x)
    run = jax.jit(fn.jitted)
    state, ys = run(state, x)
    assert not np.array_equal(ys, run(state, x)[1])
    forth, back = np.split(np.asarray(ys), 2, axis=-1)
    found = []
    for y in (forth, back[:, ::-1]):
        begun = y[:, 0]  # 2 where the unit of the input is kept
        assert {*np.unique(begun)} == {0, 2}
        doubled = y[:, 1] > 2
        expected = begun[:, None] * np.where(doubled[:, None], np.array([1, 3, 7, 15])[:, None, None], 1)
        np.testing.assert_array_equal(y, expected)
        assert abs(begun.mean() - 1) < 0.3  # 256 draws: five standard deviations
        assert abs(doubled[begun > 0].mean() - 0.5) < 0.25  # half as many
        found += [*begun, doubled[0]]
    for one, other in itertools.combinations(found, 2):
        assert not np.array_equal(one > 0, other)


# Many devices ------------------------------------------------------------------------------------------------


def on_devices(devices, *processes):
    """The script beside this file in a process of its own, which has so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices} {os.environ['XLA_FLAGS']}"
    root = Path(__file__).parent.parent
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    total = devices * (int(processes[2]) if processes else 1)
    return subprocess.Popen(
        [sys.executable, str(root / "tests" / "export_on_devices.py"), *map(str, (total, *processes))],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(process):
    out, err = process.communicate(timeout=600)  # much is compiled on few cores; it fails by itself long before
    assert process.returncode == 0, err[-2000:]
    found = json.loads(out.strip().splitlines()[-1])
    np.testing.assert_allclose(found["there"], found["ours"], rtol=1e-6)
    return found["there"]


def test_eight_devices_in_two_processes_or_one_train_to_our_losses():
    """The batch is divided; ragged sequences in two directions, Adam. By day in two processes alone."""
    if os.environ.get("HYPOTHESIS_PROFILE") not in ("ci", "nightly"):
        pytest.skip("two processes that each start JAX; HYPOTHESIS_PROFILE=ci runs it")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    two = [on_devices(4, port, k, 2) for k in range(2)]  # first: each waits for the other, and not for long
    started = [*two, on_devices(8)] if NIGHTLY else two
    try:
        found = [losses(each) for each in started]
    finally:
        for each in started:
            each.kill()
            each.wait()
    np.testing.assert_allclose(found, [found[0]] * len(found), rtol=1e-6)


def test_a_process_that_is_killed_leaves_a_checkpoint_that_either_engine_goes_on_from(tmp_path):
    if os.environ.get("HYPOTHESIS_PROFILE") not in ("ci", "nightly"):
        pytest.skip("a process that starts JAX; HYPOTHESIS_PROFILE=ci runs it")
    from tinygrad_rnn.character_model import checkpoint
    from tinygrad_rnn.interchange.export.xla import JaxEngine

    jax.config.update("jax_enable_x64", False)
    file, kept = tmp_path / "text.txt", tmp_path / "model.ckpt"
    file.write_text(TEXT, encoding="utf-8")
    sizes = {"hidden": 6, "embedding": 3, "length": 8, "batch": 4}
    command = [sys.executable, "-u", "-m", "tinygrad_rnn", "train", str(file), "-o", str(kept), "--engine", "jax"]
    command += ["--devices", "2", "--checkpoint-every", "1", "--steps", "1000000"]
    command += [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    flags = f"--xla_force_host_platform_device_count=2 {os.environ['XLA_FLAGS']}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert any(line.startswith("step 3:") for line in process.stdout)
        process.kill()  # somewhere in a later step, or in a save
    ours, there = (checkpoint.resume(kept, TEXT) for _ in range(2))
    assert ours.step >= 3
    ours.eager, there.engine = True, JaxEngine(there, 1)
    goal = ours.step + 2
    np.testing.assert_allclose([d.loss for d in there.run(goal)], [d.loss for d in ours.run(goal)], rtol=1e-5)


TEXT = "the quick brown fox jumps over the lazy dog. " * 20


def test_a_trainer_goes_on_with_the_other_engine_from_a_checkpoint(tmp_path):
    """Two steps there and one here are three here; and the other way round."""
    from tinygrad_rnn.character_model import checkpoint
    from tinygrad_rnn.character_model.training import Settings, Trainer
    from tinygrad_rnn.interchange.export.xla import JaxEngine

    jax.config.update("jax_enable_x64", False)
    settings = Settings(cell="rnn", hidden=6, embedding=3, length=4, batch=4, clip_norm=0.5)
    ours, other = Trainer(TEXT, settings), Trainer(TEXT, settings)
    ours.eager = True
    other.engine = JaxEngine(other, 1)
    expected = [done.loss for done in ours.run(3)]
    found = [done.loss for done in other.run(2)]
    checkpoint.save(other, tmp_path / "there.ckpt")
    again = checkpoint.resume(tmp_path / "there.ckpt", TEXT)
    again.eager = True
    np.testing.assert_allclose([*found, *(done.loss for done in again.run(3))], expected, rtol=2e-6)
    checkpoint.save(again, tmp_path / "here.ckpt")
    there = checkpoint.resume(tmp_path / "here.ckpt", TEXT)
    there.engine = JaxEngine(there)
    np.testing.assert_allclose([d.loss for d in there.run(4)], [d.loss for d in ours.run(4)], rtol=2e-6)
    before = there.arrays()["model.head.bias"].copy()
    there.engine._state["parameters"]["rnn.weight_hh_l0"] *= np.nan  # as if the step before had been too large
    with pytest.raises(GraphError, match=r"in step 5, the loss became nan .*; lower the learning rate"):
        next(there.run(5))
    assert np.array_equal(there.arrays()["model.head.bias"], before)  # what it made of the others is not kept
    with pytest.raises(ArgumentError, match="a batch of 4 cannot be divided among 3 devices"):
        JaxEngine(ours, 3)
    with pytest.raises(ArgumentError, match=r"64 devices are asked for, and JAX has \d+ \(cpu\); on a CPU, set XLA_"):
        JaxEngine(Trainer(TEXT * 9, replace(settings, batch=64)), 64)


# What cannot go out ------------------------------------------------------------------------------------------


def test_what_cannot_go_out_is_one_line_that_names_the_operation_and_the_place():
    mine = tg.Primitive("test_export_mine", "m", lambda x: x, lambda x: x * 2, vjp=(lambda g, _y, _x: g * 2,))
    x = np.ones(3)
    fn, _ = interchange.to_jax(lambda x: mine(x), x)
    with pytest.raises(UnsupportedError, match=r"test_export_mine \(at test_export_jax.py:\d+\) has no rule for JAX"):
        fn({}, x)
    tg.TABLE.pop(mine.name)
    interchange.jax_rule(mine)(lambda x: x * 2)
    assert fn({}, x).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(GraphError, match=r"read \(at test_export_jax.py:\d+\)"):
        interchange.to_jax(lambda x: x * float(x.sum()), x)
    with pytest.raises(GraphError, match=r"a line is printed \(at test_export_jax.py:\d+\)"):
        interchange.to_jax(lambda x: (print("once"), x)[1], x)
    with pytest.raises(GraphError, match="random number"):
        interchange.to_jax(lambda x: x * tg.randn(3), x)
    with pytest.raises(UnsupportedError, match=r"dropout mask \(at .*\) is drawn at random; call eval\(\)"):
        fn, parameters = interchange.to_jax(tg.nn.Dropout(0.5))
        fn(parameters, x)
    with pytest.raises(GraphError, match="give to_jax example arguments"):
        step, _, batch = training("SGD")

        class Module(tg.nn.Module):
            def forward(self, x, y):
                return step(x, y)

        fn, parameters = interchange.to_jax(Module())
        fn(parameters, *batch)
    with pytest.raises(ArgumentError, match=r"step .* 0 example .*'x'\); give one for each: to_jax\(step, x, y\) \["):
        interchange.to_jax(step)
    with pytest.raises(ArgumentError, match=r"Linear .* with 2 example .*: to_jax\(Linear, x\) \["):
        interchange.to_jax(tg.nn.Linear(2, 2), x, x)
    with pytest.raises(ArgumentError, match="float32 or bfloat16"):
        interchange.to_jax(tg.nn.Linear(2, 2), dtype="float16")
    with pytest.raises(DTypeError, match="takes a function or a module"):
        interchange.to_jax(3)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(DTypeError, match="weight is float64, and JAX would make it float32"):
        interchange.to_jax(tg.nn.Linear(2, 2, dtype=float))


def test_a_state_that_does_not_fit_changes_nothing():
    model = tg.nn.Linear(2, 3, dtype=float)
    fn, parameters = interchange.to_jax(model)
    before = model.weight.numpy().copy()
    with pytest.raises(ShapeError, match=r"'bias' has shape \(2,\), ours is \(3,\)"):
        fn.restore({"weight": parameters["weight"] + 1, "bias": np.zeros(2)})
    with pytest.raises(ArgumentError, match="lacks parameters 'bias'"):
        fn.restore({"weight": parameters["weight"] + 1})
    assert np.array_equal(model.weight.numpy(), before)
    fn.restore({name: value + 1 for name, value in parameters.items()})
    assert np.array_equal(model.weight.numpy(), before + 1)


def test_a_step_refuses_a_state_of_another_form():
    model = tg.nn.Linear(3, 2)
    optimizer = tg.optim.Adam(model.parameters())

    def step(x):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = np.ones((4, 3), np.float32)
    fn, state = interchange.to_jax(step, x)
    with pytest.raises(ShapeError, match=r"parameters 'weight' of the state has shape \(1, 3\), ours is \(2, 3\)"):
        fn({**state, "parameters": {**state["parameters"], "weight": np.ones((1, 3), np.float32)}}, x)
    with pytest.raises(ArgumentError, match="the state lacks optimizer"):
        fn({kind: held for kind, held in state.items() if not kind.startswith("optimizer")}, x)
    assert fn(state, x)[1].shape == ()


def test_what_came_from_jax_goes_back():
    weight = jnp.ones((3, 2))
    back, parameters = interchange.to_jax(interchange.from_jax(lambda x: (x @ weight).sum()), jnp.ones((4, 3)))
    assert list(parameters) == ["weight"]
    assert jax.grad(back)(parameters, jnp.ones((4, 3)))["weight"].tolist() == [[4.0, 4.0]] * 3
    chosen, _ = interchange.to_jax(interchange.from_jax(lambda x, i: x[i].sum()), jnp.ones((4, 3)), 1)
    with pytest.raises(tg.GraphError, match=r"from_jax: i, of int\d+, is read: .* give that argument its value"):
        chosen({}, jnp.ones((4, 3)), 1)


def test_an_argument_of_a_class_of_its_own_is_refused_in_one_line():
    @jax.tree_util.register_pytree_node_class
    class Cell:
        def __init__(self, w):
            self.w = w

        def tree_flatten(self):
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, _, leaves):
            return cls(*leaves)

    cell, ours = Cell(jnp.ones((3, 2))), interchange.from_jax(lambda cell, x: (x @ cell.w).sum())
    back, parameters = interchange.to_jax(ours, cell, jnp.ones(3))
    with pytest.raises(tg.GraphError, match="is inside an argument of a class of its own, which to_jax"):
        back(parameters, cell, jnp.ones(3))
