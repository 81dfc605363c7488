"""A compiled function notices when what it was recorded with has changed: dtypes, shapes, settings, frozen weights."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg


def linear_and_step(momentum=0.0, dampening=0.0):
    """Equal layers each time, and their training step."""
    tg.manual_seed(0)
    layer = tg.nn.Linear(2, 2)
    optimizer = tg.optim.SGD(layer.parameters(), lr=0.1, momentum=momentum, dampening=dampening)

    def step(x):
        loss = (layer(x) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return layer, optimizer, step


X = tg.tensor([[1.0, 2.0]])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_model_made_float64(momentum):
    plain, _, plain_step = linear_and_step(momentum)
    layer, _, step = linear_and_step(momentum)
    compiled = tg.compile(step)
    for _ in range(2):
        for model, train in ((plain, plain_step), (layer, compiled)):
            train(X)
            model.double()
    assert layer.weight.dtype == np.float64
    np.testing.assert_allclose(layer.weight.numpy(), plain.weight.numpy(), rtol=1e-6)


def test_a_parameter_of_another_shape():
    w = tg.nn.Parameter(np.ones(4))
    fn = tg.compile(lambda: w * 2)
    fn()
    for value in ([1.0], [[1.0, 2.0, 3.0]], []):
        w.data = np.array(value)
        assert np.array_equal(fn().numpy(), np.array(value) * 2)


def test_weights_frozen_and_thawed():
    layer, _, step = linear_and_step()
    compiled = tg.compile(step)
    compiled(X)
    for frozen in (True, False):
        before = layer.weight.numpy().copy(), layer.bias.numpy().copy()
        layer.weight.requires_grad_(not frozen)
        compiled(X)
        assert np.array_equal(before[0], layer.weight.numpy()) == frozen
        assert not np.array_equal(before[1], layer.bias.numpy())


def test_a_parameter_that_is_replaced():
    layer, _, _ = linear_and_step()
    compiled = tg.compile(layer)
    compiled(X)
    layer.weight = tg.nn.Parameter(np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(compiled(X).numpy()[0], layer.bias.numpy())


def test_a_setting_of_a_module_that_is_changed():
    dropout = tg.nn.Dropout(0.5)
    compiled = tg.compile(dropout)
    compiled(X)
    dropout.p = 0.0
    assert compiled(X).tolist() == X.tolist()


def test_a_module_that_counts_its_calls_is_named():
    class Counting(tg.nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * 2

    module = Counting()
    with pytest.raises(tg.GraphError, match=r"changes calls of Counting \(at test_compile_changes\.py:\d+"):
        tg.compile(module)(X)
    assert module.calls == 0


def test_states_that_are_loaded():
    layer, optimizer, step = linear_and_step(momentum=0.9)
    compiled = tg.compile(step)
    compiled(X)
    weights = {name: value.numpy().copy() for name, value in layer.state_dict().items()}
    state, ends = optimizer.state_dict(), []
    for _ in range(2):
        layer.load_state_dict(weights)
        optimizer.load_state_dict(state)
        compiled(X)
        ends.append(layer.weight.numpy().copy())
    assert np.array_equal(*ends)


def test_looking_at_a_recording_begins_no_momentum():
    plain, _, plain_step = linear_and_step(0.9, dampening=0.1)
    layer, optimizer, step = linear_and_step(0.9, dampening=0.1)
    compiled = tg.compile(step)
    compiled.trace(X)
    assert optimizer.state == [{}, {}]
    for _ in range(3):
        plain_step(X)
        compiled(X)
    np.testing.assert_allclose(layer.weight.numpy(), plain.weight.numpy(), rtol=1e-5)


def test_an_error_begins_no_momentum():
    table = tg.nn.Parameter(np.eye(3))
    optimizer = tg.optim.SGD([table], lr=0.1, momentum=0.9)

    @tg.compile
    def step(i):
        optimizer.zero_grad()
        tg.take(table, i).sum().backward()
        optimizer.step()

    with pytest.raises(tg.OutOfRangeError):
        step(np.array([3]))
    assert optimizer.state == [{}] and np.array_equal(table.numpy(), np.eye(3))
    step(np.array([2]))
    assert optimizer.state[0].keys() == {"momentum_buffer"}


def test_gradients_put_there_by_hand_are_there_afterwards():
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.5)

    @tg.compile
    def step(x):
        (w.grad,) = tg.grad((w * x).sum(), w)
        optimizer.step()

    step(np.ones(2, np.float32))
    assert w.tolist() == [0.5, 1.5] and w.grad.tolist() == [1.0, 1.0]


def test_what_is_profiled_is_what_ran():
    """Explaining writes to the arrays of the last call, not to others that a parameter had or got since."""
    layer, _, step = linear_and_step()
    compiled = tg.compile(step)
    compiled(X)
    old = layer.weight.numpy()
    before = old.copy()
    layer.weight.data = np.zeros((2, 2), np.float32)
    compiled.explain()
    assert np.array_equal(old, before) and not layer.weight.numpy().any()


def _counted(change):
    """What a compiled sum of squares over a module's parameters, read in several ways, gives before and after."""
    inner = tg.nn.Sequential(tg.nn.Linear(1, 1, bias=False))
    model = tg.nn.ModuleDict({"inner": inner, "list": tg.nn.ModuleList([tg.nn.Linear(1, 1, bias=False)])})
    with tg.no_grad():
        for p in model.parameters():
            p.copy_(1.0)
    ways = [
        lambda x: sum((p.square().sum() for p in model.parameters()), x * 0),
        lambda x: sum((p.square().sum() for _, p in model.named_parameters()), x * 0),
        lambda x: sum((p.square().sum() for m in model.modules() for p in m.parameters()), x * 0),
        lambda x: sum((p.square().sum() for p in model.state_dict().values()), x * 0),
        lambda x: x * (len(model) + len(model["list"]) + len(inner) + ("more" in model)),
        lambda x: sum((layer.weight.square().sum() for layer in model["list"]), x * 0),
    ]
    compiled = [tg.compile(way) for way in ways]
    x = tg.ones(())
    assert [f(x).item() for f in compiled] == [way(x).item() for way in ways]
    change(model, inner)
    return [f(x).item() for f in compiled], [way(x).item() for way in ways]


@pytest.mark.parametrize(
    "change",
    [
        lambda model, inner: model["list"].append(tg.nn.Linear(1, 1)),
        lambda model, inner: model.update({"more": tg.nn.Linear(2, 2)}),
        lambda model, inner: model.pop("list") and model.update({"list": tg.nn.ModuleList()}),
        lambda model, inner: setattr(inner[0], "weight", tg.nn.Parameter([[5.0]])),
        lambda model, inner: setattr(inner, "1", tg.nn.Linear(1, 1)),
        lambda model, inner: setattr(inner[0], "extra", tg.nn.Parameter([3.0])),
        lambda model, inner: delattr(inner, "0"),
    ],
)
def test_what_a_module_consists_of_is_followed(change):
    compiled, eager = _counted(change)
    assert compiled == eager


@pytest.mark.parametrize(
    "change",
    [
        lambda params, _new: params.pop(),
        lambda params, _new: params.clear(),
        lambda params, new: params.append(new),
        lambda params, new: params.__setitem__(1, new),
    ],
)
def test_the_parameters_of_an_optimizer_are_followed(change):
    def run(wrap):
        p, q, new = (tg.nn.Parameter([1.0]) for _ in range(3))
        optimizer = tg.optim.SGD([p, q], lr=0.1)

        def step():
            optimizer.zero_grad()
            (p + q + new).sum().backward()
            optimizer.step()

        stepped = wrap(step)
        stepped()
        change(optimizer.param_groups[0]["params"], new)
        stepped()
        return [p.item(), q.item(), new.item()]

    assert run(tg.compile) == run(lambda f: f)
