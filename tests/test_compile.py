"""A compiled function computes what the plain one does: values, gradients, whole training steps, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import NIGHTLY

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import passes
from tinygrad_rnn.primitives import TABLE
from tinygrad_rnn.testing.sample_operands import Source, recipe_for

F = tg.nn.functional


def assert_same(compiled, plain, tolerance=1e-13):
    """Equal shapes, dtypes and values, up to ``tolerance`` of the largest; nan and inf in the same places."""
    compiled, plain = np.asarray(compiled), np.asarray(plain)
    assert compiled.shape == plain.shape and compiled.dtype == plain.dtype
    if plain.dtype.kind != "f":
        assert np.array_equal(compiled, plain)
        return
    assert np.array_equal(np.isnan(compiled), np.isnan(plain))
    infinite = np.isinf(plain)
    assert np.array_equal(compiled[infinite], plain[infinite])
    finite = np.isfinite(plain)
    largest = np.abs(plain[finite]).max(initial=0)
    assert np.abs(compiled[finite] - plain[finite]).max(initial=0) <= tolerance * max(largest, 1e-300)


def values_and_gradients(fn, inputs):
    """A function that gives ``fn``'s value and the gradients of its (fixed, uneven) weighted sum."""

    def both(*tensors):
        y = fn(*tensors)
        weights = np.cos(np.arange(y.numel())).reshape(y.shape)
        asked = [x for x in tensors if x.requires_grad]
        if not asked or not y.requires_grad:
            return (y,)
        return y, *[g for g in tg.grad((y * weights).sum(), asked, allow_unused=True) if g is not None]

    return both


def check_function(fn, *arrays, tolerance=1e-12):
    """Compiled and plain agree on values and gradients, also when called a second time."""
    inputs = [tg.tensor(a, requires_grad=np.asarray(a).dtype.kind == "f") for a in arrays]
    both = values_and_gradients(fn, inputs)
    compiled = tg.compile(both)
    expected = both(*inputs)
    for _ in range(2):
        for got, wanted in zip(compiled(*inputs), expected, strict=True):
            assert_same(got, wanted, tolerance)
    return compiled


# One primitive at a time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_primitive(name):
    primitive, recipe = TABLE[name], recipe_for(TABLE[name])
    for seed in range(6 if NIGHTLY else 3):
        case = recipe(Source(seed))
        arrays = [x for x in case.operands if isinstance(x, np.ndarray)]

        def fn(*tensors, case=case):
            remaining = iter(tensors)
            operands = [next(remaining) if isinstance(x, np.ndarray) else x for x in case.operands]
            return primitive(*operands, **case.attrs)

        check_function(fn, *arrays)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity_pass(dtype):
    x = tg.tensor(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 700.0, -700.0] * 3, dtype))
    for name in ("tanh", "sigmoid", "exp", "relu", "softplus", "abs", "sqrt", "log", "neg", "sign"):
        with np.errstate(all="ignore"):
            assert_same(tg.compile(lambda x, p=TABLE[name]: p(x))(x), TABLE[name](x), 1e-6)
    for name in ("maximum", "minimum", "add", "mul", "greater", "equal"):
        with np.errstate(all="ignore"):
            plain = TABLE[name](x, x.flip())
            assert_same(tg.compile(lambda x, p=TABLE[name]: p(x, x.flip()))(x), plain)


# Random graphs ----------------------------------------------------------------------------------------------

UNARY = [tg.tanh, tg.sigmoid, tg.exp, tg.relu, tg.abs, tg.softplus, tg.sin, lambda x: x * 0.5, lambda x: 1 - x]
SHAPED = [
    lambda x: x.T, lambda x: x[0], lambda x: x[..., :1], lambda x: x.reshape(-1), lambda x: x.expand_dims(0),
    lambda x: x.flip(), lambda x: x.sum(0), lambda x: x.mean(-1, keepdims=True), lambda x: x.softmax(-1),
    lambda x: x.amax(-1), lambda x: x.max(-1).values, lambda x: x.logsumexp(0), lambda x: x.cumsum(0),
    lambda x: tg.stack([x, x * 2]),
    lambda x: tg.concat([x, x.tanh()], -1), lambda x: x[::2], lambda x: x @ x.T, lambda x: x.detach() * x,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - b, tg.maximum, lambda a, b: tg.where(a > b, a, b * 0.3),
    lambda a, b: a / (b * b + 1), lambda a, b: a.tanh() @ b.T if a.ndim == b.ndim == 2 else a - b,
]  # fmt: skip


def random_program(seed, length):
    """A function of two matrices and a vector, of ``length`` random operations that fit."""

    def program(*inputs):
        rng = np.random.default_rng(seed)
        values = list(inputs)
        while len(values) < len(inputs) + length:
            kind = rng.integers(3)
            x, y = (values[int(i)] for i in rng.integers(0, len(values), 2))
            functions = (UNARY, SHAPED, BINARY)[kind]
            function = functions[int(rng.integers(len(functions)))]
            try:
                value = function(x, y) if kind == 2 else function(x)
                # nothing saturates: there 1 - tanh^2 is what rounding leaves of it, and no two ways round alike
                value = (value / (1 + value.detach().abs().max())).tanh()
            except (tg.TinygradError, IndexError, ZeroDivisionError):
                value = x * 1.5
            if 0 < value.numel() < 300:
                values.append(value)
            else:
                values.append(x + 1.0)
        return sum((v * v).sum() for v in [*values[len(inputs) :], values[-1]])  # squares: terms that do not cancel

    return program


@given(st.integers(0, 2**32), st.integers(1, 14))
def test_random_graphs(seed, length):
    rng = np.random.default_rng(seed)
    check_function(random_program(seed, length), rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=4))


@given(st.integers(0, 2**32))
def test_recurrences_written_by_hand(seed):
    rng = np.random.default_rng(seed)
    time, batch, size = (int(n) for n in rng.integers(1, 5, 3))

    def network(x, w, u, b):
        h = x[0] * 0
        total = 0.0
        for t in range(time) if seed % 2 else tg.steps(time):
            h = (F.linear(x[t], w, b) + h @ u).tanh()
            total = total + (h * h).sum() * (t + 1)
        return total + F.linear(h, w).sum()

    # small enough that no tanh saturates: there 1 - y * y keeps few digits, whoever computes it
    shapes = [(time, batch, size), (size, size), (size, size), (size,)]
    check_function(network, *(rng.uniform(-0.4, 0.4, shape) for shape in shapes))


# Layers and whole training steps ----------------------------------------------------------------------------

LAYERS = {"rnn": tg.nn.RNN, "lstm": tg.nn.LSTM, "gru": tg.nn.GRU}
OPTIMIZERS = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: tg.optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.01),
    "rmsprop": lambda p: tg.optim.RMSprop(p, centered=True, momentum=0.5, weight_decay=0.01),
    "adam": lambda p: tg.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.01),
}


class Model(tg.nn.Module):
    def __init__(self, layer, symbols=7, embed=True, **settings):
        self.symbols = symbols
        self.embed = tg.nn.Embedding(symbols, 3) if embed else None
        self.rnn = LAYERS[layer](3 if embed else symbols, 4, **settings)
        self.head = tg.nn.Linear(4 * self.rnn.num_directions, symbols)

    def forward(self, x, state=None, lengths=None):
        dtype = self.head.weight.dtype
        features = self.embed(x) if self.embed is not None else tg.one_hot(x, self.symbols, dtype=dtype)
        y, state = self.rnn(features, state, lengths=lengths)
        return self.head(y), state


def model_and_step(layer, optimizer="adam", clip="norm", **settings):
    """Equal models each time, and their training step."""
    tg.manual_seed(0)
    model = Model(layer, **settings).double()
    optimizer = OPTIMIZERS[optimizer](model.parameters())

    def step(x, y, state=None, lengths=None):
        logits, state = model(x, state, lengths)
        loss = F.cross_entropy(logits.reshape(-1, model.symbols), y.reshape(-1), ignore_index=6)
        optimizer.zero_grad()
        loss.backward()
        norm = None
        if clip == "norm":
            norm = tg.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        elif clip == "infinity":
            norm = tg.nn.utils.clip_grad_norm_(model.parameters(), 0.01, float("inf"))
        elif clip == "value":
            tg.nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()
        return loss, state, norm

    return model, optimizer, step


def tensors_in(result):
    if isinstance(result, tg.Tensor):
        return [result]
    return [x for item in result for x in tensors_in(item)] if isinstance(result, tuple) else []


def check_training(calls=3, shape=(5, 2), lengths=None, carry=False, threads=None, budget=None, **settings):
    plain, plain_optimizer, plain_step = model_and_step(**settings)
    model, optimizer, step = model_and_step(**settings)
    compiled = tg.compile(step, threads, budget)
    rng = np.random.default_rng(1)
    states = [None, None]
    for _ in range(calls):
        x, y = (tg.tensor(rng.integers(0, 7, shape)) for _ in range(2))
        tg.manual_seed(5)
        expected = plain_step(x, y, states[0], lengths)
        tg.manual_seed(5)
        got = compiled(x, y, states[1], lengths)
        for a, b in zip(tensors_in(got), tensors_in(expected), strict=True):
            assert_same(a, b, 1e-12)
        if carry:
            ends = [r[1] if isinstance(r[1], tuple) else (r[1],) for r in (expected, got)]
            states = [tuple(s.detach() for s in end) if len(end) > 1 else end[0].detach() for end in ends]
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert_same(p, q, 1e-11)
    for mine, theirs in zip(optimizer.state, plain_optimizer.state, strict=True):
        assert mine.keys() == theirs.keys()
        for key in mine.keys() - {"grad_avg_rest"}:
            assert_same(mine[key], theirs[key], 1e-11)
        if "grad_avg_rest" in mine:  # what rounding took from the mean: as large as that, and no more alike
            last_place = np.spacing(np.abs(theirs["grad_avg"]).max())
            assert max(np.abs(mine["grad_avg_rest"]).max(), np.abs(theirs["grad_avg_rest"]).max()) <= last_place
    return compiled


SETTINGS = [
    {}, {"embed": False}, {"num_layers": 2}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True},
    {"bias": False}, {"num_layers": 3, "dropout": 0.4}, {"lengths": [5, 2]}, {"carry": True},
    {"lengths": np.array([1, 4]), "bidirectional": True}, {"shape": (2, 1)}, {"shape": (9, 3), "embed": False},
]  # fmt: skip
#: each layer with each setting by night; by day every setting once, and with all layers what hands states on
PAIRS = [
    (layer, settings)
    for k, settings in enumerate(SETTINGS)
    for n, layer in enumerate(LAYERS)
    if NIGHTLY or (k + n) % 3 == 0 or {"carry", "lengths"} & settings.keys()
]


@pytest.mark.parametrize(("layer", "settings"), PAIRS, ids=str)
def test_layers(layer, settings):
    check_training(layer=layer, **settings)


def test_relu_rnn():
    check_training(layer="rnn", nonlinearity="relu")


CLIPS = ["norm", "infinity", "value", None]
#: an optimizer only sees the gradients that clipping leaves: by day each with one way to clip
UPDATES = [(name, clip) for k, name in enumerate(OPTIMIZERS) for n, clip in enumerate(CLIPS) if NIGHTLY or n == k % 4]


@pytest.mark.parametrize(("optimizer", "clip"), UPDATES)
def test_optimizers_and_clipping(optimizer, clip):
    compiled = check_training(layer="rnn", optimizer=optimizer, clip=clip, calls=4, shape=(3, 2))
    assert "computed by NumPy" not in compiled.explain()


def test_many_steps_mixed_with_plain_ones():
    plain, _, plain_step = model_and_step("lstm")
    model, _, step = model_and_step("lstm")
    compiled = tg.compile(step)
    rng = np.random.default_rng(2)
    for k in range(12):
        x, y = (tg.tensor(rng.integers(0, 7, (4 + k % 2, 2))) for _ in range(2))
        expected, got = plain_step(x, y)[0], (step if k % 3 == 1 else compiled)(x, y)[0]
        assert_same(got, expected, 1e-11)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert_same(p, q, 1e-10)


def test_inference_needs_no_gradients():
    tg.manual_seed(3)
    model = Model("lstm").eval()
    x = tg.tensor([[1, 2], [3, 4]])
    with tg.no_grad():
        logits, (h, c) = tg.compile(model)(x)
        wanted, (wanted_h, wanted_c) = model(x)
    for a, b in ((logits, wanted), (h, wanted_h), (c, wanted_c)):
        assert_same(a, b, 1e-6)
        assert a.op is None and not a.requires_grad


def test_second_derivatives():
    x = tg.tensor([0.3, -1.2], dtype=np.float64, requires_grad=True)

    def curvature(x):
        (first,) = tg.grad((x.tanh() ** 3).sum(), x, create_graph=True)
        return tg.grad((first * first).sum(), x)[0]

    assert_same(tg.compile(curvature)(x), curvature(x))


@pytest.mark.parametrize(
    ("layer", "settings"),
    [("rnn", {}), ("gru", {"num_layers": 2, "bidirectional": True}), ("lstm", {"carry": True, "embed": False})],
    ids=str,
)
def test_two_lanes(layer, settings, monkeypatch):
    """The batch cut in two, of which one half is larger: the same values, gradients and updates."""
    monkeypatch.setattr(passes.two_threads, "WORTH", 0)
    compiled = check_training(layer=layer, threads=2, shape=(5, 9), **settings)
    assert {node.lane for node in compiled.graph.nodes} == {0, 1, 2}


def test_two_lanes_give_the_same_bits_every_time(monkeypatch):
    monkeypatch.setattr(passes.two_threads, "WORTH", 0)
    rng = np.random.default_rng(3)
    x, y = (rng.integers(0, 7, (6, 32)) for _ in range(2))
    found = set()
    for _ in range(3):
        model, _, step = model_and_step("lstm")
        compiled = tg.compile(step, threads=2)
        for _ in range(5):
            compiled(x, y)
        found.add(b"".join(p.numpy().tobytes() for p in model.parameters()))
    assert len(found) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_computed_indices_out_of_range_are_named_too(threads, monkeypatch):
    monkeypatch.setattr(passes.two_threads, "WORTH", 0)
    table, w = tg.tensor(np.eye(5)), tg.tensor(np.eye(5))
    fn = tg.compile(lambda i: F.embedding(i + 1, table) @ w, threads=threads)
    assert fn(np.arange(-1, 4).repeat(2)).shape == (10, 5)
    with pytest.raises(tg.OutOfRangeError, match="5"):
        fn(np.arange(0, 10) % 5)


def test_small_steps_stay_on_one_thread():
    compiled = check_training(layer="lstm", threads=2, shape=(5, 9))
    assert {node.lane for node in compiled.graph.nodes} == {0}


#: by day one setting a layer
AGAIN = [
    ("lstm", {}),
    ("gru", {}),
    *(
        (layer, more)
        for layer in ("gru", "lstm")
        for more in ({"bidirectional": True}, {"num_layers": 2, "dropout": 0.3})
    ),
]


@pytest.mark.parametrize(("layer", "settings"), AGAIN if NIGHTLY else AGAIN[:2], ids=str)
def test_values_computed_again_give_the_same_gradients(layer, settings):
    stretch, shape, calls = (5, (30, 8), 3) if NIGHTLY else (4, (16, 8), 2)  # by day four stretches of four steps
    _, _, step = model_and_step(layer, **settings)
    roomy = tg.compile(step, memory_budget=10**9)  # written out, as with one that is too small
    roomy(*np.zeros((2, *shape), int))
    room = roomy._called().program.arena_bytes
    tight = check_training(calls=calls, layer=layer, shape=shape, budget=room - 1, **settings)
    assert tight._called().program.arena_bytes < 0.75 * room
    assert {node.segment for node in tight.graph.nodes} > {-stretch, -1, 0, 1, stretch}
    parameters = {node.index for node in tight.graph.parameters}
    from_parameters = [node for node in tight.graph.nodes if node.sources and parameters.issuperset(node.sources)]
    assert all(node.segment == 0 for node in from_parameters)  # once, not in every segment
    assert layer == "gru" or any(node.op is tg.TABLE["add"] for node in from_parameters)


def test_a_budget_that_is_enough_changes_nothing_and_one_too_small_says_so():
    compiled = check_training(layer="lstm", budget=1 << 20)
    assert {node.segment for node in compiled.graph.nodes} == {0}
    with pytest.raises(tg.GraphError, match=r"memory budget of 1000 bytes is too small: .* needs \d+"):
        check_training(layer="lstm", budget=1000)


def test_a_decorator_with_settings():
    @tg.compile(memory_budget=1 << 20, threads=1)
    def double(x):
        return x * 2

    assert double(tg.tensor([1.0])).tolist() == [2.0] and double.__name__ == "double"


def test_growth_of_what_is_written_out_is_linear_in_time():
    def rows(time):
        _, _, step = model_and_step("rnn")
        compiled = tg.compile(step)
        compiled(np.zeros((time, 2), int), np.zeros((time, 2), int))
        return len(compiled.graph)

    a, b, c = rows(10), rows(14), rows(18)
    assert c - b == b - a


# Inputs, outputs, what changes between calls ------------------------------------------------------------------


def test_nested_arguments_and_results():
    @tg.compile
    def fn(pair, *, scale, options):
        return {"sum": (pair[0] + pair[1]) * scale, "rest": [options["shift"] + 1, "text", 3]}

    result = fn((tg.tensor([1.0]), np.array([2.0], np.float32)), scale=2, options={"shift": tg.tensor(4.0)})
    assert result["sum"].tolist() == [6.0] and result["rest"][0].item() == 5.0 and result["rest"][1:] == ["text", 3]


def test_results_do_not_change_with_the_next_call():
    fn = tg.compile(lambda x: x * 2)
    first = fn(tg.tensor([1.0]))
    fn(tg.tensor([5.0]))
    assert first.tolist() == [2.0]


def test_inputs_of_any_layout_are_left_alone():
    x = np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2].transpose(2, 0, 1)
    before = x.copy()
    assert_same(tg.compile(lambda x: x.sum(0) * 1.5)(x), before.sum(0) * 1.5)
    assert np.array_equal(x, before)


def test_learning_rate_may_change():
    p = tg.nn.Parameter([1.0])
    optimizer = tg.optim.SGD([p], lr=1.0)

    @tg.compile
    def step():
        optimizer.zero_grad()
        (p * 1.0).sum().backward()
        optimizer.step()

    step()
    optimizer.lr = 0.25
    step()
    assert p.item() == -0.25


def test_training_mode_may_change():
    model = tg.nn.Sequential(tg.nn.Dropout(0.5))
    fn = tg.compile(model)
    x = tg.ones(1000)
    assert 300 < (fn(x).numpy() == 0).sum() < 700
    model.eval()
    assert (fn(x).numpy() == 1).all()
    model.train()
    assert not np.array_equal(fn(x).numpy(), fn(x).numpy())


def test_parameters_may_be_replaced_and_written():
    p = tg.nn.Parameter([1.0, 2.0])
    fn = tg.compile(lambda: p * 3)
    assert fn().tolist() == [3.0, 6.0]
    p.data = tg.tensor([5.0, 6.0])
    assert fn().tolist() == [15.0, 18.0]
    with tg.no_grad():
        p[0] = 0.0
    assert fn().tolist() == [0.0, 18.0]


def test_updates_by_hand():
    p, q = tg.nn.Parameter([1.0]), tg.nn.Parameter([2.0])

    @tg.compile
    def step():
        (p * q).sum().backward()
        with tg.no_grad():
            p.data -= 0.5 * p.grad
            q.copy_(p * 10)
        p.grad = q.grad = None

    step()
    assert p.tolist() == [0.0] and q.tolist() == [0.0]


def test_a_parameter_is_not_overwritten_before_another_gradient_has_read_it():
    """The gradient of ``b`` is a product of ``a``, done only where something is added to it: after ``a`` is updated."""
    rng = np.random.default_rng(0)
    a, b = (tg.nn.Parameter(rng.normal(size=(16, 16))) for _ in range(2))
    before = a.numpy().copy(), b.numpy().copy()
    seed = rng.normal(size=(16, 16))

    @tg.compile
    def step(g):
        product = g @ a
        a.data = a - 1.0
        b.data = product + b * 0.5

    step(seed)
    assert_same(b, seed @ before[0] + before[1] * 0.5)
    assert_same(a, before[0] - 1.0)


def test_values_may_be_exchanged():
    a, b = tg.tensor([1.0]), tg.tensor([2.0])

    @tg.compile
    def swap():
        old = a * 1
        a.copy_(b)
        b.copy_(old)

    swap()
    assert (a.item(), b.item()) == (2.0, 1.0)


@pytest.mark.parametrize(
    "part",
    [
        lambda a: a * 1, lambda a: a.detach().T, lambda a: (a * 1)[1:], lambda a: a[1], lambda a: a * 0.5,
        lambda a: tg.concat([a[1:2], a[2:3]]), lambda a: tg.stack([a[0], a[1]]), lambda a: a.reshape(-1),
    ],
)  # fmt: skip
def test_values_from_before_an_update_are_kept(part):
    """As a result, and as another tensor's new value; the update itself is computed in place."""

    def parameters():
        a = tg.nn.Parameter(np.arange(9.0).reshape(3, 3))
        return a, tg.zeros(*part(a).shape, dtype=np.float64)

    def step(a, before):
        with tg.no_grad():
            old = part(a)
            a.data = a.detach() * 2.0 + 1.0
            before.copy_(old)
        return old, a.detach().T

    plain, mine = parameters(), parameters()
    compiled = tg.compile(lambda: step(*mine))
    for _ in range(3):
        old = part(plain[0]).numpy().copy()
        step(*plain)
        got = compiled()
        assert np.array_equal(got[0], old) and np.array_equal(got[1], plain[0].numpy().T)
        assert np.array_equal(mine[0], plain[0]) and np.array_equal(mine[1], old)


@pytest.mark.parametrize(
    "new",
    [
        lambda w: (w + w.T) * 0.5, lambda w: w.T * 0.5, lambda w: w / w[0], lambda w: w * w[3:4],
        lambda w: w - w[:, 5:6],
        lambda w: w.T.tanh() - w.tanh(), lambda w: w + w.flip(0), lambda w: tg.concat([w[20:], w[:20]]) * 1.5,
        lambda w: w - w.reshape(1, 40, 40)[0].T, lambda w: w + tg.concat([w[1:], w[:1]]), lambda w: w + (w * 0.1) @ w,
        lambda w: w + w.T @ w, lambda w: w @ w, lambda w: w - w.max(-1, keepdims=True), lambda w: w + w.mean(0),
    ],
)  # fmt: skip
def test_a_new_value_may_read_the_old_one_in_any_order(new):
    """It is not computed in place where one element's new value depends on another's old one."""
    before = np.random.default_rng(0).normal(size=(40, 40))
    w = tg.nn.Parameter(before)

    @tg.compile
    def step():
        w.data = new(w.detach())

    step()
    assert_same(w, new(tg.tensor(before)), 1e-12)


@pytest.mark.parametrize("view", [lambda w: w.T, lambda w: w[7], lambda w: w[:, 3:4], lambda w: w.flip(1)])
def test_another_value_may_read_the_new_one_in_any_order(view):
    before = np.random.default_rng(0).normal(size=(2, 40, 40))
    w, v = (tg.nn.Parameter(x) for x in before)

    @tg.compile
    def step():
        new = w.detach() * 0.5 + 1.0
        w.data = new
        v.data = (v.detach() - view(new)) * 0.25

    step()
    assert_same(w, before[0] * 0.5 + 1)
    assert_same(v, (before[1] - view(tg.tensor(before[0] * 0.5 + 1)).numpy()) * 0.25)


def test_a_written_parameter_is_noticed_by_the_guard():
    p = tg.nn.Parameter([1.0])
    loss = (p * p).sum()

    @tg.compile
    def write():
        p.data = p * 2

    write()
    with pytest.raises(tg.MutationError):
        loss.backward()


def test_cache_is_bounded():
    @tg.compile
    def fn(x, k):
        return x + k

    for k in range(40):
        fn(tg.tensor([1.0]), k)
    assert fn(tg.tensor([1.0]), 39).item() == 40.0 and fn.recordings == 40
    assert fn(tg.tensor([1.0]), 0).item() == 1.0 and fn.recordings == 41


def test_threads_take_turns():
    fn = tg.compile(lambda x: (x @ x.T).tanh().sum())
    inputs = [tg.tensor(np.random.default_rng(i).normal(size=(20, 20))) for i in range(8)]
    wanted = [(x @ x.T).tanh().sum().item() for x in inputs]
    got = [[] for _ in inputs]
    threads = [
        threading.Thread(target=lambda i=i: got[i].extend(fn(inputs[i]).item() for _ in range(30))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, value in zip(got, wanted, strict=True):
        assert len(mine) == 30 and np.allclose(mine, value, rtol=1e-12)


# Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        float, bool, str, print, "{}".format, "{:.3f}".format,
        lambda x: x.item(), lambda x: x.tolist(), lambda x: x.numpy(), np.asarray, lambda x: [1, 2][x],
        lambda x: tg.tensor(x),
    ],
)  # fmt: skip
def test_reading_a_value_names_the_line(read):
    w = tg.nn.Parameter([1.0])
    for thing in (lambda x: x.sum(), lambda x: w):
        with pytest.raises(tg.GraphError, match=r"(no value|is printed).* test_compile\.py:\d+|takes integers"):
            try:
                tg.compile(lambda x, thing=thing: read(thing(x)))(tg.tensor([1.0]))
            except tg.DTypeError as error:  # a float is no index in the first place
                raise tg.GraphError(str(error)) from None


def test_a_value_that_leaks_out_is_refused_later():
    kept = []
    fn = tg.compile(lambda x: kept.append(x * 2) or x)
    with pytest.raises(tg.GraphError, match=r"mul \(at test_compile\.py:\d+\) belongs to a function being compiled"):
        fn(tg.tensor([1.0]))
    with pytest.raises(tg.GraphError, match="belongs to a function being compiled"):
        kept[0] + 1
    with pytest.raises(tg.GraphError, match="belongs to a function being compiled"):
        kept[0].numpy()
    with pytest.raises(tg.GraphError, match="belongs to a function being compiled"):
        tg.compile(lambda x: x + kept[0])(tg.tensor([1.0]))


@pytest.mark.parametrize("wrong", [7, -1])
def test_indices_out_of_range_are_named_before_anything_is_written(wrong):
    model, optimizer, step = model_and_step("rnn")
    compiled = tg.compile(step)
    x = np.zeros((3, 2), int)
    compiled(x, x)
    before = [p.numpy().copy() for p in model.parameters()]
    for bad in (0, 1):
        arguments = [x.copy(), x.copy()]
        arguments[bad][1, 1] = wrong
        with pytest.raises(tg.OutOfRangeError, match=str(wrong)):
            compiled(*arguments)
    assert all(np.array_equal(p.numpy(), b) for p, b in zip(model.parameters(), before, strict=True))
    assert optimizer.state[0]["step"] == 1


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, i: x * tg.one_hot(i, 3), lambda x, i: tg.one_hot(i, 3) @ x.T, lambda x, i: F.nll_loss(x, i),
        lambda x, i: F.linear(tg.one_hot(i, 3), x), lambda x, i: tg.take(x, tg.as_tensor(i).astype(np.int32)),
        lambda x, i: F.cross_entropy(x, i, ignore_index=-7) + tg.take(x, i).sum(),
        lambda x, i: tg.take(x, i) * tg.one_hot(i, 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrong", [3, -1, -7])
def test_whatever_takes_indices_names_one_out_of_range(fn, wrong):
    x = tg.tensor(np.eye(3), dtype=np.float32)
    compiled, right = tg.compile(fn), np.array([0, 2, 1])
    assert_same(compiled(x, right), fn(x, right), 1e-6)
    for either in (fn, compiled):
        with pytest.raises(tg.OutOfRangeError, match=rf"{wrong} at position \(1,\).*at test_compile\.py:\d+"):
            either(x, np.array([0, wrong, 1]))


def test_an_old_gradient_is_added_to():
    w = tg.nn.Parameter([1.0])
    (w * 2).sum().backward()

    def fn():
        (w * 3).sum().backward()
        return w.grad

    assert tg.compile(fn)().tolist() == [5.0]
    assert w.grad.tolist() == [5.0]
    w.grad = None
    assert tg.compile(fn)().tolist() == [3.0]
    assert w.grad.tolist() == [3.0]


def test_one_update_a_call():
    p = tg.nn.Parameter([1.0])
    optimizer = tg.optim.SGD([p], lr=0.1)

    def twice():
        for _ in range(2):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

    with pytest.raises(tg.GraphError, match="after it was updated"):
        tg.compile(twice)()
    assert p.item() == 1.0


def test_other_mistakes():
    x = tg.tensor([1.0, 2.0])
    w = tg.nn.Parameter([1.0])
    outside = w * 2
    with pytest.raises(tg.GraphError, match="computed outside"):
        tg.compile(lambda: outside + 1)()
    with pytest.raises(tg.GraphError, match="part of"):
        tg.compile(lambda: x.__setitem__(0, 3.0))()
    with pytest.raises(tg.GraphError, match="written in place"):
        tg.compile(lambda x: x.__setitem__(0, 3.0))(x)
    with pytest.raises(tg.ShapeError, match=r"test_compile\.py"):
        tg.compile(lambda x: x @ tg.ones(3))(x)
    with pytest.raises(tg.GraphError, match="inside another"):
        tg.compile(lambda x: tg.compile(lambda x: x).trace(x))(x)
    with pytest.raises(tg.DTypeError, match="a function, not int"):
        tg.compile(3)
    with pytest.raises(tg.DTypeError, match="memory_budget must be an integer"):
        tg.compile(lambda x: x, memory_budget="1 MB")
    with pytest.raises(tg.DTypeError, match="unhashable type: 'set'"):
        tg.compile(lambda x, names: x)(x, {"a"})
    with pytest.raises(tg.GraphError, match="before its first call"):
        tg.compile(lambda x: x).explain()
    assert (x + 1).tolist() == [2.0, 3.0]


def test_what_is_assigned_is_broadcast():
    kept = tg.zeros(3)

    @tg.compile
    def step(x):
        kept.copy_(x.sum())
        return kept * 2

    assert step(tg.tensor([1.0, 2.0])).tolist() == [6.0] * 3
    assert kept.tolist() == [3.0] * 3


def test_a_budget_of_what_is_needed_is_enough():
    model = tg.nn.RNN(3, 4)
    x = tg.ones(12, 2, 3)

    def gradients(x):
        return tg.grad((model(x)[0] ** 2).sum(), list(model.parameters()))

    def made(budget):
        compiled = tg.compile(gradients, threads=1, memory_budget=budget)
        compiled(x)
        return compiled._called()

    needed = made(10**9).program.arena_bytes
    for budget, again in ((needed, False), (needed - 1, True)):
        assert ("recompute" in {each.name for each in made(budget).applied}) == again


# Looking ------------------------------------------------------------------------------------------------------


def test_graph_and_explain():
    model, optimizer, step = model_and_step("lstm")
    compiled = tg.compile(step)
    x = np.zeros((6, 2), int)
    recorded = compiled.trace(x, x).graph
    compiled(x, x)
    assert isinstance(compiled.graph, tg.Graph) and len(compiled.graph) < len(recorded)
    assert compiled.graph.steps == tuple(range(6))
    before = [p.numpy().copy() for p in model.parameters()] + [s["exp_avg"].copy() for s in optimizer.state]
    text = compiled.explain()
    after = [p.numpy() for p in model.parameters()] + [s["exp_avg"] for s in optimizer.state]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(word in text for word in ("batch_products", "arena", "MFLOP", "MB", "us"))
    kinds = ("sigmoid", "tanh") if os.environ.get("NUMBA_DISABLE_JIT") == "1" else ("gemm", "region")
    assert all(kind in text for kind in kinds)


@pytest.mark.parametrize("make", [tg.optim.Adam, tg.optim.AdamW, tg.optim.RMSprop])
def test_a_parameter_that_was_frozen_meanwhile_has_its_own_count_of_updates(make):
    """The corrections of running means go by the updates that a parameter has had, not by those of its neighbour."""

    def trained(compiled):
        w, v = tg.nn.Parameter([1.0, 2.0]), tg.nn.Parameter([0.5, 0.3])
        optimizer = make([w, v], lr=0.1)

        def step(x):
            loss = (w * v * x).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        step = tg.compile(step) if compiled else step
        for k in range(6):
            w.requires_grad_(k not in (1, 2))
            step(tg.ones(2))
        return [w.tolist(), v.tolist()]

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-6)


#: where tensors stand in an index, and what stands beside them
INDICES = [
    lambda i, j: (i,),
    lambda i, j: (i, j),
    lambda i, j: (slice(None), i, 1),
    lambda i, j: (i, slice(1, None), j),
    lambda i, j: (0, None, i[:1], ...),
    lambda i, j: (..., [1, 0, 1], j),
    lambda i, j: (slice(None), i, ..., j),
    lambda i, j: (i[0],),
    lambda i, j: (i[0], j[0], 1),
]


@pytest.mark.parametrize("index", INDICES)
def test_integer_tensors_choose_anew_in_every_call(index):
    """As in ``out[arange(len(lengths)), lengths - 1]``: by NumPy's rules, with gradients."""
    x = tg.randn(3, 3, 2, dtype=np.float64, requires_grad=True)

    def read(x, i, j):
        y = x[index(i, j)]
        return y, tg.grad((y * y).sum(), [x])[0]

    compiled = tg.compile(read)
    for numbers in ([[0, 2, -1], [1, 0, -2]], [[1, 1, 1], [0, 1, 1]]):
        i, j = map(np.array, numbers)
        want, slope = x.numpy()[index(i, j)], np.zeros(x.shape)
        np.add.at(slope, index(i, j), 2 * want)
        y, found = compiled(x, tg.tensor(i), tg.tensor(j))
        assert np.array_equal(y.numpy(), want)
        np.testing.assert_allclose(found.numpy(), slope, rtol=1e-14)


def test_an_integer_tensor_outside_is_refused_in_every_dimension():
    pair, row, i = tg.compile(lambda x, i, j: x[i, j]), tg.compile(lambda x, i: x[i]), tg.tensor([0, 1])
    for wrong in ([0, 3], [-4, 0]):
        with pytest.raises(tg.OutOfRangeError, match="outside"):
            pair(tg.ones(2, 3), i, tg.tensor(wrong))
        with pytest.raises(tg.OutOfRangeError, match="outside the 3 rows"):
            row(tg.ones(3, 3), tg.tensor(wrong))
    for index, error in (((i, i, i), tg.OutOfRangeError), ((i, [0.5]), tg.DTypeError)):
        with pytest.raises(error, match="indices"):
            tg.compile(lambda x, i: x[index])(tg.ones(2, 3), i)  # noqa: B023


def test_without_numba_the_answer_is_the_same():
    code = """
import numpy as np, tinygrad_rnn as tg
tg.manual_seed(0)
model = tg.nn.GRU(3, 4).double()
optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
@tg.compile
def step(x):
    loss = (model(x)[0] ** 2).mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    return loss
for k in range(3):
    print(repr(step(np.full((4, 2, 3), 0.1 * k)).item()))
"""
    answers = []
    for disabled in ("1", "0"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        answers.append([float(line) for line in run.stdout.split()])
    assert np.allclose(answers[0], answers[1], rtol=1e-13, atol=0) and len(answers[0]) == 3
