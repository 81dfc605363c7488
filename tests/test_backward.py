"""The reverse walk: what it sums, what it frees, what it refuses, and how deep it goes."""

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import NIGHTLY
from oracle import close, complex_step

import tinygrad_rnn as tg


def leaf(*values, name=None, dtype=np.float64):
    return tg.tensor(list(values), dtype=dtype, requires_grad=True, name=name)


@pytest.fixture
def with_primitive():
    """Make a primitive of two operands for one test; it leaves the table afterwards."""

    def make(**changes):
        settings = {"shape": lambda a, _b: a, "reference": lambda a, b: a + b} | changes
        return tg.Primitive("test_primitive", "?", **settings)

    yield make
    tg.TABLE.pop("test_primitive", None)


# Sums --------------------------------------------------------------------------------------------------------


def test_a_shared_tensor_sums_what_its_uses_send():
    x = leaf(3.0)
    y = x * x + x * 2 + x
    y.backward()
    assert x.grad.tolist() == [9.0]


def test_gradients_accumulate_over_backwards():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0] and first.tolist() == [2.0, 2.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_upstream_gradients():
    x = leaf(1.0, 2.0)
    for upstream in ([1.0, 10.0], np.array([1, 10]), tg.tensor([1.0, 10.0]), tg.tensor([1.0, 10.0], dtype=np.float64)):
        x.grad = None
        (x * x).backward(upstream)
        assert x.grad.tolist() == [2.0, 40.0] and x.grad.dtype == np.float64
    one = leaf(2.0)
    (one * one).backward()  # one element needs no upstream gradient
    assert one.grad.tolist() == [4.0]


def test_the_gradient_of_a_leaf_in_itself():
    x = leaf(2.0)
    x.backward()
    assert x.grad.tolist() == [1.0]
    (g,) = tg.grad(x, x, np.array([3.0]))
    assert g.tolist() == [3.0]


def test_many_outputs_and_inputs():
    x, y = leaf(2.0), leaf(5.0)
    gx, gy = tg.grad([x * y, x + y], [x, y], [None, np.array([10.0])])
    assert (gx.tolist(), gy.tolist()) == ([15.0], [12.0])
    assert x.grad is None and y.grad is None
    (both,) = tg.grad([x * x, x * x * x], x)
    assert both.tolist() == [16.0]
    z = x * y
    gz, gx = tg.grad(z * z, [z, x])  # a tensor in the middle, and what it came from
    assert (gz.tolist(), gx.tolist()) == ([20.0], [100.0])
    same = tg.grad(x * y, [x, x])
    assert [g.tolist() for g in same] == [[5.0], [5.0]] and not np.shares_memory(same[0].numpy(), same[1].numpy())


def test_unused_inputs():
    x, unused = leaf(1.0), leaf(1.0, name="other")
    with pytest.raises(tg.GraphError, match="no output depends on other"):
        tg.grad(x * 2, [x, unused])
    g, none = tg.grad(x * 2, [x, unused], allow_unused=True)
    assert g.tolist() == [2.0] and none is None
    g, none = tg.grad(x * 2, [x, unused], allow_unused=True, create_graph=True)
    assert g.tolist() == [2.0] and none is None


def test_only_what_is_asked_for_is_walked():
    x, y = leaf(1.0), leaf(2.0)
    visited = []
    z = (x * 3).sin() + (y * 4).cos()
    for step in tg.walk([z], [np.ones(1)], inputs=[x]):
        visited.append(step.node.serial)
    assert y.serial not in visited and x.serial in visited


def test_the_walk_tells_what_each_use_contributes():
    w = leaf(2.0, name="w")
    h = tg.tensor([1.0], dtype=np.float64)
    for _ in tg.steps(3):
        h = h * w
    sent = {}
    for step in tg.walk([h], [np.ones(1)]):
        for contribution in step.contributions:
            if contribution.target is w:
                sent[step.node.scope.step] = (contribution.slot, contribution.value.tolist())
    assert sent == {0: (1, [4.0]), 1: (1, [4.0]), 2: (1, [4.0])}
    rows = leaf(1.0, 2.0, 3.0)
    parts = [
        c.value.tolist()
        for s in tg.walk([rows[0] * rows[2]], [np.array(1.0)])
        for c in s.contributions
        if c.target is rows
    ]
    assert sorted(parts) == [[0.0, 0.0, 1.0], [3.0, 0.0, 0.0]]  # also when they were added in place


@given(order=st.permutations(range(6)))
def test_the_order_of_making_changes_no_gradient(order):
    x = leaf(0.3, -0.7)
    branches = [lambda: x.sin(), lambda: x * x, lambda: x.exp(), lambda: x[0] * x, lambda: x.sum() * x, lambda: -x]
    made = {k: branches[k]() for k in order}
    sum(made[k].sum() for k in range(6)).backward()
    a, b = 0.3, -0.7
    expected = [
        np.cos(a) + 2 * a + np.exp(a) + (2 * a + b) + 2 * (a + b) - 1,
        np.cos(b) + 2 * b + np.exp(b) + a + 2 * (a + b) - 1,
    ]
    close(x.grad.numpy(), expected, 1e-13)


def test_repeated_backwards_are_bit_identical():
    def once():
        tg.manual_seed(1)
        model = tg.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        output, _ = model(tg.tensor(np.random.default_rng(0).standard_normal((5, 2, 3)), dtype=np.float32))
        output.square().sum().backward()
        return b"".join(p.grad.numpy().tobytes() for p in model.parameters())

    assert once() == once()


# Once, or more often -----------------------------------------------------------------------------------------


def test_a_graph_is_walked_once_unless_kept():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(tg.GraphError, match="walked backward before") as caught:
        y.backward()
    assert "retain_graph=True" in str(caught.value) and "test_backward.py:" in str(caught.value)
    assert x.grad.tolist() == [4.0]  # the refused walk changed nothing
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.tolist() == [12.0]


def test_a_state_carried_over_must_be_detached():
    w = leaf(0.5)
    h = tg.tensor([1.0], dtype=np.float64)
    for window in range(2):
        h = h * w
        if window == 0:
            h.backward()
    with pytest.raises(tg.GraphError, match="detach"):
        h.backward()
    assert w.grad.tolist() == [1.0]


def test_grad_frees_the_graph_too():
    x = leaf(2.0)
    y = x * x
    tg.grad(y, x)
    with pytest.raises(tg.GraphError, match="walked backward before"):
        tg.grad(y, x)


def test_an_error_midway_leaves_every_grad_alone():
    x, y = leaf(1.0), leaf(2.0)
    a, b = x * 2, y * 3
    b.register_hook(lambda g: (_ for _ in ()).throw(KeyError("stop")))
    with pytest.raises(KeyError):
        (a + b).backward()
    assert x.grad is None and y.grad is None


# Twice differentiable ----------------------------------------------------------------------------------------


def test_higher_derivatives():
    x = leaf(0.7)
    value, expected = x.sin() * x, [0.7 * np.cos(0.7) + np.sin(0.7), 2 * np.cos(0.7) - 0.7 * np.sin(0.7)]
    expected.append(-3 * np.sin(0.7) - 0.7 * np.cos(0.7))
    for derivative in expected:
        (value,) = tg.grad(value, x, create_graph=True)
        close(value.numpy(), [derivative], 1e-13)


def test_backward_can_record_itself():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.tolist() == [12.0] and first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.tolist() == [12.0]


def test_a_penalty_on_the_gradient():
    x, w = leaf(0.5, -1.0), leaf(2.0, 3.0)
    loss = (x * w).tanh().sum()
    (gx,) = tg.grad(loss, x, create_graph=True)
    (gx * gx).sum().backward()

    def penalty(x, w):
        return ((w * (1 - np.tanh(x * w) ** 2)) ** 2).sum()

    for tensor, expected in zip([x, w], complex_step(penalty, [x.numpy(), w.numpy()])):
        close(tensor.grad.numpy(), expected)


@pytest.mark.parametrize("kind", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
def test_hessian_vector_products_of_an_unrolled_network(kind, float64):
    tg.manual_seed(3)
    rng = np.random.default_rng(0)
    model = kind(2, 3, num_layers=2)
    x = tg.tensor(rng.standard_normal((4, 2, 2)), requires_grad=True)
    weights = [*model.parameters(), x]
    directions = [[rng.standard_normal(p.shape) for p in weights] for _ in range(2)]

    def loss():
        output, _ = model(x)
        return (output * output).sum() + output.sin().sum()

    first = tg.grad(loss(), weights, create_graph=True)
    products = []
    for v in directions:
        along = sum((g * a).sum() for g, a in zip(first, v))
        products.append([h.numpy() for h in tg.grad(along, weights, retain_graph=True)])
    uHv, vHu = (sum(np.sum(h * a) for h, a in zip(p, v)) for p, v in zip(products, reversed(directions)))
    close(uHv, vHu, 1e-12)
    # the complex step of the first gradient, along the direction, through the references
    graph = tg.Graph(*first)
    feeds = {p: p.numpy() + 1e-30j * v for p, v in zip(weights, directions[0])}
    for product, value in zip(products[0], graph.evaluate(feeds, reference=True)):
        close(product, value.imag / 1e-30, 1e-11)


# Hooks, and gradients in the middle --------------------------------------------------------------------------


def test_retained_gradients():
    x = leaf(2.0)
    y = (x * x).retain_grad()
    z = y * 3
    z.backward()
    assert y.grad.tolist() == [3.0] and z.grad is None and x.grad.tolist() == [12.0]


def test_hooks_see_the_complete_gradient_and_may_replace_it():
    x = leaf(2.0)
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 2 + y * 3).backward()
    assert seen == [[5.0]] and x.grad.tolist() == [5.0]
    x.grad = None
    y = x * 1
    tenfold = y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)
    y.retain_grad()
    (y * 2).backward()
    assert x.grad.tolist() == [21.0] and y.grad.tolist() == [21.0]
    tenfold.remove()
    tenfold.remove()
    x.grad = None
    y = x * 1
    y.register_hook(lambda g: g + 1).remove()
    (y * 2).backward()
    assert x.grad.tolist() == [2.0]
    z = leaf(1.0)
    z.register_hook(lambda g: -g)
    (z * 4).backward()
    assert z.grad.tolist() == [-4.0]


def test_hooks_on_a_recorded_walk():
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = tg.grad(y, x, create_graph=True)  # 2 x^2
    (h,) = tg.grad(g, x)
    assert g.tolist() == [18.0] and h.tolist() == [12.0]


def test_a_hook_keeps_the_shape():
    x = leaf(1.0, 2.0)
    y = x * 1
    y.register_hook(lambda g: g.sum())
    with pytest.raises(tg.ShapeError, match="hook"):
        y.sum().backward()


def test_a_hook_cannot_write_into_the_walk():
    x = leaf(1.0)
    y = x * 1

    def vandal(g):
        g[0] = 99.0

    y.register_hook(vandal)
    (y * 2 + x).backward()
    assert x.grad.tolist() == [3.0]


# Cutting -----------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing():
    x = leaf(1.0)
    with tg.no_grad():
        y = x * 2
        with tg.enable_grad():
            z = x * 3
    assert y.op is None and not y.requires_grad and z.requires_grad

    @tg.no_grad()
    def twice(t):
        return t * 2

    assert not twice(x).requires_grad and (x * 2).requires_grad
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_detach_stops_the_gradient():
    x = leaf(2.0)
    (x * x.detach()).backward()
    assert x.grad.tolist() == [2.0]
    assert not np.shares_memory(x.clone().numpy(), x.numpy())


def test_refusals():
    x = leaf(1.0, 2.0)
    with pytest.raises(
        tg.GraphError, match=r"starts from a scalar, but mul \(2,\) \(made at test_backward.py:\d+\) has 2"
    ):
        (x * 2).backward()
    with pytest.raises(tg.ShapeError, match=r"upstream gradient has shape \(3,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(tg.GraphError, match="does not depend on anything"):
        tg.tensor(1.0).backward()
    with pytest.raises(tg.GraphError, match="does not require a gradient"):
        tg.grad(x.sum(), tg.tensor(1.0))
    with pytest.raises(tg.GraphError, match="2 outputs want as many"):
        tg.grad([x.sum(), x.sum()], x, [None])


# Memory and depth --------------------------------------------------------------------------------------------


def test_a_chain_of_any_length_does_not_recurse():
    length = 100_000 if NIGHTLY else 40_000
    gc.disable()  # its scans of so many young objects would take most of the time
    try:
        x = tg.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(length):
            y = y + 1
        y.backward(retain_graph=True)
        assert x.grad.item() == 1 and y.item() == length + 1
        graph = tg.Graph(y)
        assert len(graph) == length + 1 and f"{length - 199} nodes more" in str(graph)
        gone = weakref.ref(y)
        del graph, y
        assert gone() is None
    finally:
        gc.enable()


def test_a_freed_graph_leaves_nothing_for_the_collector():
    gc.collect()
    gc.disable()
    try:
        tg.manual_seed(0)
        model = tg.nn.LSTM(2, 3, num_layers=2)
        watched = []
        for record in (False, True):
            output, (h, c) = model(np.ones((4, 2, 2), np.float32), lengths=[4, 2])
            loss = output.square().sum()
            loss.register_hook(lambda g: g * 1)
            loss.backward(create_graph=record)
            steps = list(tg.walk([loss], [tg.ones()] if record else [np.ones((), np.float32)], create_graph=record))
            graph = tg.Graph(loss)
            str(graph), graph.edges, graph.consumers
            watched += [weakref.ref(x) for x in (output, h, c, loss, *output.operands, graph, steps[5].node)]
            model.zero_grad()
            del output, h, c, loss, graph, steps
        assert [ref() for ref in watched] == [None] * len(watched)
    finally:
        gc.enable()


def test_gradients_do_not_keep_the_graph_alive():
    x = leaf(1.0)
    y = x.exp()
    gone = weakref.ref(y)
    y.backward()
    del y
    assert gone() is None and x.grad is not None


# Mutation ----------------------------------------------------------------------------------------------------

WRITES = {
    "copy_": lambda p: p.detach().copy_([5.0, 5.0]),
    "data[...] =": lambda p: p.data.__setitem__(..., 5.0),
    "data[0] =": lambda p: p.data.__setitem__(0, 5.0),
    "data -=": lambda p: _subtract_from_data(p),
    "no_grad +=": lambda p: _add_without_recording(p),
    "detach then write": lambda p: p.detach().__setitem__(1, 7.0),
    "data of data": lambda p: p.data.data.copy_([1.0, 2.5]),
    "init": lambda p: tg.nn.init.constant_(p, 3.0),
}


def _subtract_from_data(p):
    p.data -= 0.5


def _add_without_recording(p):
    with tg.no_grad():
        p += 1


@pytest.mark.parametrize("write", WRITES)
def test_writing_to_a_value_backward_needs_names_the_node(write):
    p, q = leaf(1.0, 2.0, name="weight"), leaf(3.0, 4.0, name="q")
    y = (p * q).sum()
    WRITES[write](p)
    with pytest.raises(
        tg.MutationError, match=r"mul \(at test_backward.py:\d+\) needs weight \(2,\) as it was"
    ) as caught:
        y.backward()
    assert "\n" not in str(caught.value) and "test_backward.py:" in str(caught.value).split("written in place")[1]
    assert p.grad is None and q.grad is None


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "view", [lambda p: p.reshape(1, 2), lambda p: p.T, lambda p: p[:], lambda p: p.broadcast_to(3, 2)]
)
def test_writing_through_to_a_view_is_noticed(write, view):
    p, q = leaf(1.0, 2.0, name="weight"), leaf(3.0, name="q")
    y = (view(p) * q).sum()
    WRITES[write](p)
    with pytest.raises(tg.MutationError, match="as it was"):
        y.backward()


@pytest.mark.parametrize("join", [tg.stack, tg.concat])
def test_a_value_no_rule_reads_may_be_written(join):
    p, q = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = join([p, q])
    total = (2 * y).sum()
    y.data[...] = 9
    total.backward()
    assert p.grad.tolist() == q.grad.tolist() == [2.0, 2.0]
    p.data -= 1
    total = join([p, q]).sum()
    p.data -= 1
    total.backward()
    assert p.grad.tolist() == [3.0, 3.0]


def test_assigning_data_is_noticed_or_harmless():
    p, q = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (p * q).sum()
    p.data = np.array([9.0, 9.0])
    with pytest.raises(tg.MutationError):
        y.backward()


def test_assigning_data_shares_nothing():
    p, q, w = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(1.0, 1.0)
    p.data = q
    y = (p * w).sum()
    q.data[0] = 99.0
    y.backward()
    assert w.grad.tolist() == [3.0, 4.0]
    r = q.sqrt()
    p.data = r
    p.data[0] = 99.0
    r.sum().backward()
    close(q.grad.numpy(), 0.5 / np.sqrt([99.0, 4.0]), 1e-15)


@pytest.mark.parametrize("write", WRITES)
def test_no_false_alarm_when_the_value_is_not_needed(write):
    p, q = leaf(1.0, 2.0, name="weight"), leaf(3.0, 4.0)
    y = (p + q).sum() + (-p).sum() + (p * 3.0).sum() + tg.concat([p, q]).sum() + p[0] + p.T.sum()
    WRITES[write](p)
    y.backward()
    assert p.grad.tolist() == [6.0, 5.0] and q.grad.tolist() == [2.0, 2.0]


def test_no_false_alarm_when_it_was_written_before():
    p = leaf(1.0, 2.0)
    p.data -= 1
    (p * p).sum().backward()
    assert p.grad.tolist() == [0.0, 2.0]


def test_an_optimizer_step_between_forward_and_backward():
    model = tg.nn.Linear(2, 1)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    x = leaf(1.0, 2.0, dtype=np.float32)
    first, second = model(x), model(x)
    first.backward()
    optimizer.step()
    with pytest.raises(tg.MutationError, match=r"linear \(at .*\) needs weight \(1, 2\) as it was"):
        second.backward()
    # the weight's own gradient needs only the input: no alarm
    third = model(tg.tensor([1.0, 2.0]))
    optimizer.step()
    third.backward()


def test_inputs_and_targets_are_guarded_too():
    x, w = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0], requires_grad=True)
    y = (x * w).sum()
    x[0] = 5.0
    with pytest.raises(tg.MutationError):
        y.backward()
    target = tg.tensor([1])
    logits = tg.tensor([[0.0, 1.0]], requires_grad=True)
    loss = tg.nn.functional.cross_entropy(logits, target)
    target[0] = 0
    with pytest.raises(tg.MutationError):
        loss.backward()


@given(data=st.data())
def test_never_a_silently_wrong_gradient(data):
    """Whatever is computed and written meanwhile: the right gradient of what was computed, or an error."""
    p, q = leaf(1.0, 2.0), leaf(0.5, -1.5)
    before = p.numpy().copy(), q.numpy().copy()
    programs = {
        "mul": lambda p, q: p * q,
        "div": lambda p, q: p / q,
        "exp": lambda p, q: p.exp() + q,
        "view": lambda p, q: p.reshape(2, 1) * q,
        "rows": lambda p, q: p[0] * q + p[::-1],
        "tanh": lambda p, q: (p + q).tanh(),
        "add": lambda p, q: p + q,
        "where": lambda p, q: tg.where(p > 1.5, p, q * p),
        "matmul": lambda p, q: p @ q,
        "max": lambda p, q: tg.maximum(p, q) * p.max(),
        "pow": lambda p, q: p**2 * q,
        "clip": lambda p, q: p.clip(max=1.5) * q,
        "softmax": lambda p, q: p.softmax() * q,
        "abs": lambda p, q: abs(q) * p,
        "einsum": lambda p, q: tg.einsum("i->i", p) * q,
        "T": lambda p, q: p.T * q.flip(),
        "concat": lambda p, q: tg.concat([p, q]),
    }
    program = programs[data.draw(st.sampled_from(sorted(programs)))]
    expected = tg.grad(program(p, q).sum(), [p, q], allow_unused=True)
    y = program(p, q).sum()
    victim = data.draw(st.sampled_from([p, q]))
    WRITES[data.draw(st.sampled_from(sorted(WRITES)))](victim)
    try:
        found = tg.grad(y, [p, q], allow_unused=True)
    except tg.MutationError:
        assert any(not np.array_equal(a, b.numpy()) for a, b in zip(before, (p, q)))
    else:
        for a, b in zip(found, expected):
            assert a.tolist() == b.tolist()


# Threads -----------------------------------------------------------------------------------------------------


def test_two_threads_record_at_once():
    barrier = threading.Barrier(2)
    results, failures = {}, []

    def work(name, value):
        try:
            x = leaf(value)
            barrier.wait()
            h = x
            for _ in range(300):
                with tg.scope(name):
                    h = h * 1.001
                if name == "b":
                    with tg.no_grad():
                        assert not (x * 2).requires_grad
                else:
                    assert (x * 2).requires_grad
                assert h.scope.path == (name,)
            h.backward()
            results[name] = x.grad.item()
        except BaseException as error:  # pragma: no cover - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name, value)) for name, value in [("a", 1.0), ("b", 2.0)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert results["a"] == results["b"] == pytest.approx(1.001**300)


def test_a_backward_pass_may_be_cut_in_two():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    (upstream,) = tg.grad((y * y).sum(), y)
    y.backward(upstream)
    assert x.grad.tolist() == [8.0, 16.0]


def test_a_constant_gradient_uses_no_input():
    x = tg.tensor([1.0, -2.0], requires_grad=True)
    (slope,) = tg.grad(x.relu().sum(), x, create_graph=True)
    assert tg.grad(slope.sum(), x, allow_unused=True) == (None,)


def test_nan_is_not_hidden_from_gradients():
    x = tg.tensor([float("nan"), 2.0, 0.5], requires_grad=True)
    assert tg.grad(tg.maximum(x, 1.0).sum(), x)[0].tolist() == [1.0, 1.0, 0.0]
    assert tg.grad(tg.minimum(x, 1.0).sum(), x)[0].tolist() == [1.0, 0.0, 1.0]
    assert tg.grad(x.relu().sum(), x)[0].tolist() == [1.0, 1.0, 1.0]


def test_a_step_prints_in_a_line_and_is_small():
    x = leaf(1.0, 2.0, name="x")
    (step, *_) = tg.walk([x * 3], [np.full(2, 7.0)])
    (sent,) = step.contributions
    for told in (step, sent):
        assert not hasattr(told, "__dict__")  # there is one for every node of a long walk
    assert repr(sent) == f"Contribution(slot=0, target={x!r})" and "sent" not in repr(step)
    assert type(step.gradient) is np.ndarray and type(sent.value) is np.ndarray


def test_zero_times_infinity_is_hidden_only_behind_a_choice():
    x = leaf(0.0)
    with np.errstate(all="ignore"):
        assert np.isnan(tg.grad((x.log() * 0).sum(), x)[0].item())
        assert tg.grad(tg.where(x > 0, x.log(), 0.0).sum(), x)[0].item() == 0.0


def test_rows_are_added_in_place_not_spread_over_a_table_each():
    table = tg.tensor(np.ones((100, 3)), requires_grad=True)
    total = (tg.take(table, [3, 4]) * 2).sum()
    for step in tg.walk([total], [np.ones(())]):
        if step.node.op is tg.primitives.take:
            assert [value for _, _, value in step.sent] == [None]
    (dense,) = tg.grad(total, table)
    assert np.flatnonzero(dense.numpy().any(1)).tolist() == [3, 4]


def test_an_operand_without_a_rule_ends_its_path_only(with_primitive):
    first = with_primitive(vjp=(lambda g, _y, _a, _b: g, None))
    x, y = leaf(1.0), leaf(2.0)
    result = first(x * 2, y * 3) * 5
    result.backward()
    assert x.grad.tolist() == [10.0] and y.grad is None
    dead = y * 4  # made last, so it is visited first, and nothing arrives at it
    first(x, dead).backward()
    assert x.grad.tolist() == [11.0] and y.grad is None


def test_an_optional_operand_that_is_missing_needs_no_guard(with_primitive):
    scaled = with_primitive(
        shape=lambda x, *_: x, reference=lambda x, w=1.0: x * w, vjp=(lambda g, _y, _x, w=1.0: g * w,)
    )
    x, other = leaf(1.0), leaf(2.0)
    y = scaled(x)
    with tg.no_grad():
        other.copy_(3.0)  # some write, so that the walk looks closer
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_a_recorded_gradient_belongs_where_its_node_belongs():
    x = leaf(1.0, 2.0)
    with tg.scope("cell", step=3):
        y = x.tanh().sum()
    (slope,) = tg.grad(y, x, create_graph=True)
    made = [node for node in tg.Graph(slope).nodes if node.op is not None and node.scope.backward]
    assert {(node.scope.path, node.scope.step) for node in made} == {(("cell",), 3)}
    with tg.scope("reader", step=1):
        total = x.sum()
    (spread,) = tg.grad(total, x, create_graph=True)  # a view until it is given memory of its own
    assert spread.scope == tg.Scope(("reader",), 1, None, True)


def test_an_upstream_gradient_takes_the_outputs_dtype():
    x = tg.tensor([1.0], requires_grad=True)
    x.backward(np.array([0.5]))
    assert x.grad.dtype == np.float32


def fit(*shapes):
    return all(n == m or 1 in (n, m) for n, m in zip(*(shape[::-1] for shape in shapes)))


SMALL = [(3, 1), (1, 3), (4, 1, 1), (1, 4, 1), (1,), ()]
LARGE = [(1, 3, 5), (4, 1, 5), (4, 3, 1), (1, 4, 3, 5), (2, 4, 1, 5), (2, 1, 3, 1)]


@pytest.mark.parametrize("shapes", [(a, b) for a in SMALL for b in LARGE if fit(a, b)], ids=str)
def test_what_was_broadcast_is_summed_whatever_stands_where(shapes, rng):
    a, b = (rng.standard_normal(shape) for shape in shapes)
    upstream = rng.standard_normal(np.broadcast_shapes(*shapes))
    x = tg.tensor(a, requires_grad=True)
    (x * b).backward(upstream)
    close(x.grad.numpy(), complex_step(lambda a: a * b, [a], upstream)[0])
