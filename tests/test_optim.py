"""Optimizers and clipping against their formulas, written out; saving, loading, and refusals."""

import math

import numpy as np
import pytest
from oracle import close

import tinygrad_rnn as tg
from tinygrad_rnn import optim
from tinygrad_rnn.nn import utils

GRADIENTS = np.random.default_rng(0).standard_normal((12, 3))
START = np.array([1.0, -2.0, 0.5])


def run(make, gradients=GRADIENTS):
    p = tg.nn.Parameter(START)
    optimizer = make([p])
    for g in gradients:
        p.grad = tg.tensor(g)
        optimizer.step()
    return p.numpy().copy()


def test_sgd_is_a_sum():
    close(run(lambda p: optim.SGD(p, lr=0.1)), START - 0.1 * GRADIENTS.sum(0), 1e-14)


def test_momentum_is_a_geometric_sum():
    steps = len(GRADIENTS)
    weights = [(1 - 0.9 ** (steps - k)) / (1 - 0.9) for k in range(steps)]
    close(run(lambda p: optim.SGD(p, lr=0.1, momentum=0.9)), START - 0.1 * np.dot(weights, GRADIENTS), 1e-13)


def test_weight_decay_shrinks_geometrically():
    none = np.zeros_like(GRADIENTS)
    close(run(lambda p: optim.SGD(p, lr=0.1, weight_decay=0.5), none), START * 0.95 ** len(none), 1e-14)
    close(run(lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.5), none), START * 0.95 ** len(none), 1e-14)


def test_adagrad_divides_by_the_sum_of_squares():
    sums = np.sqrt(np.cumsum(GRADIENTS**2, 0)) + 1e-10
    close(run(lambda p: optim.Adagrad(p, lr=0.1)), START - 0.1 * (GRADIENTS / sums).sum(0), 1e-13)


def test_rmsprop_divides_by_the_running_mean():
    average, p = np.zeros(3), START.copy()
    for g in GRADIENTS:
        average = 0.9 * average + 0.1 * g**2
        p -= 0.1 * g / (np.sqrt(average) + 1e-8)
    close(run(lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9)), p, 1e-13)


def test_adam_corrects_its_running_means():
    k = np.arange(1, len(GRADIENTS) + 1)[:, None]

    def mean(beta, values):
        return np.array([((1 - beta) * beta ** (n - k[:n]) * values[:n]).sum(0) / (1 - beta**n) for n in k[:, 0]])

    updates = mean(0.9, GRADIENTS) / (np.sqrt(mean(0.999, GRADIENTS**2)) + 1e-8)
    close(run(lambda p: optim.Adam(p, lr=0.1)), START - 0.1 * updates.sum(0), 1e-12)
    one = GRADIENTS[:1]
    close(run(lambda p: optim.Adam(p, lr=0.1, eps=0.0), one), START - 0.1 * np.sign(one[0]), 1e-13)


MAKERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.5, centered=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AdamW": lambda p: optim.AdamW(p),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_going_on_from_a_saved_state_is_bit_identical(name, dtype):
    def step(p, optimizer, gradients):
        for g in gradients:
            p.grad = tg.tensor(g, dtype=dtype)
            optimizer.step()

    p = tg.nn.Parameter(START, dtype)
    optimizer = MAKERS[name]([p])
    step(p, optimizer, GRADIENTS[:5])
    saved, value = optimizer.state_dict(), p.numpy().copy()
    assert int(saved["state"][0].get("step", 5)) == 5
    step(p, optimizer, GRADIENTS[5:])
    again = tg.nn.Parameter(value, dtype)
    other = getattr(optim, name)([again], lr=99.0)
    other.load_state_dict(saved)
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    step(again, other, GRADIENTS[5:])
    assert again.numpy().tobytes() == p.numpy().tobytes() and p.dtype == dtype


def test_a_saved_state_does_not_change_afterwards():
    p = tg.nn.Parameter(START)
    optimizer = optim.Adam([p])
    p.grad = tg.tensor(GRADIENTS[0])
    optimizer.step()
    saved = optimizer.state_dict()
    copy = saved["state"][0]["exp_avg"].copy()
    optimizer.step()
    assert np.array_equal(saved["state"][0]["exp_avg"], copy)
    loaded = optim.Adam([p])
    loaded.load_state_dict(saved)
    loaded.step()
    assert np.array_equal(saved["state"][0]["exp_avg"], copy) and saved["state"][0]["step"] == 1


def test_a_state_that_does_not_fit_changes_nothing():
    p = tg.nn.Parameter(START)
    optimizer = optim.Adam([p], lr=0.5)
    p.grad = tg.tensor(GRADIENTS[0])
    optimizer.step()
    before = optimizer.state_dict()
    group = before["param_groups"]
    two = optim.Adam([p, tg.nn.Parameter(START)]).state_dict()
    for state, kind in [
        ({}, tg.DataError),
        ({"state": {}, "param_groups": []}, tg.DataError),
        ([], tg.DataError),
        (two, tg.DataError),
        ({"state": {0: {"exp_avg": np.zeros(4)}}, "param_groups": group}, tg.ShapeError),
        ({"state": {5: {}}, "param_groups": group}, tg.DataError),
        ({"state": {1: {}}, "param_groups": group}, tg.DataError),
        ({"state": {0: {"exp_avg": ["a", "b", "c"]}}, "param_groups": group}, tg.TinygradError),
        ({"state": {0: {"step": "many"}}, "param_groups": group}, tg.TinygradError),
        ({"state": {0: 3}, "param_groups": group}, tg.DataError),
    ]:
        with pytest.raises(kind) as caught:
            optimizer.load_state_dict(state)
        assert "\n" not in str(caught.value)
        after = optimizer.state_dict()
        assert after["param_groups"] == group and np.array_equal(
            after["state"][0]["exp_avg"], before["state"][0]["exp_avg"]
        )


def test_a_state_may_have_gaps_and_says_what_does_not_fit():
    ps = [tg.nn.Parameter(START), tg.nn.Parameter(START)]
    optimizer = optim.SGD(ps, lr=0.1, momentum=0.9)
    for p in ps:
        p.grad = tg.tensor(GRADIENTS[0])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0] = {"momentum_buffer": None}  # PyTorch's word for not begun
    fresh = optim.SGD(ps, lr=0.1, momentum=0.9)
    fresh.load_state_dict(saved)
    assert 0 not in fresh.state_dict()["state"]
    assert np.array_equal(fresh.state_dict()["state"][1]["momentum_buffer"], GRADIENTS[0])
    saved["state"][1] = {"momentum_buffer": np.zeros((2, 2))}
    with pytest.raises(tg.ShapeError, match=r"momentum_buffer of parameter 1 has shape \(2, 2\), not \(3,\)"):
        fresh.load_state_dict(saved)
    with pytest.raises(tg.DTypeError, match=r"model.parameters\(\)"):
        optim.SGD([START], lr=0.1)


def test_settings_are_checked():
    p = [tg.nn.Parameter(START)]
    for make, words in [
        (lambda: optim.SGD(p, lr=-1.0), "lr must not be negative"),
        (lambda: optim.SGD(p, lr=math.nan), "lr"),
        (lambda: optim.SGD(p, lr=0.1, nesterov=True), "nesterov"),
        (lambda: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, nesterov=True), "nesterov"),
        (lambda: optim.Adam(p, betas=(0.9, 1.0)), "betas"),
        (lambda: optim.Adam(p, betas=(-0.1, 0.9)), "betas"),
        (lambda: optim.AdamW(p, weight_decay=-0.1), "weight_decay"),
        (lambda: optim.SGD([], lr=0.1), "no parameters"),
    ]:
        with pytest.raises((ValueError, tg.GraphError), match=words):
            make()


def test_the_learning_rate_can_be_changed():
    p = tg.nn.Parameter([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = tg.tensor([1.0])
    optimizer.step()
    optimizer.lr = 0.25
    optimizer.step()
    assert p.tolist() == [0.25] and optimizer.lr == 0.25 and "lr=0.25" in repr(optimizer)


def test_a_step_keeps_the_buffer_dtype_and_gradient():
    p = tg.nn.Parameter(START, np.float32)
    view = p.numpy()
    for make in MAKERS.values():
        p.grad = tg.tensor(GRADIENTS[0], dtype=np.float32)
        kept = p.grad.numpy().copy()
        make([p]).step()
        assert p.dtype == np.float32 and p.is_leaf and p.requires_grad and np.array_equal(view, p.numpy())
        assert np.array_equal(p.grad.numpy(), kept)
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.zero_grad()
    assert p.grad is None
    before = p.numpy().copy()
    optimizer.step()
    assert np.array_equal(before, p.numpy())


# Clipping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_a_compiled_step_takes_the_same_turns(name):
    """A parameter that joins later, another setting, an older state, a step in between that is not compiled."""

    def end(compiled):
        p, q = tg.nn.Parameter(START, np.float64), tg.nn.Parameter(2 * START, np.float64)
        optimizer = MAKERS[name]([p, q])

        def step(x, both):
            optimizer.zero_grad()
            ((p * p * x).sum() + (q * x.sin() if both else x).sum()).backward()
            optimizer.step()

        run = tg.compile(step) if compiled else step
        inputs = [tg.tensor(g) for g in GRADIENTS[:8]]
        for k in range(3):
            run(inputs[k], k > 0)
        saved = optimizer.state_dict()
        run(inputs[3], True)
        optimizer.param_groups[0]["weight_decay"] = 0.3
        run(inputs[4], True)
        step(inputs[5], True)
        optimizer.load_state_dict(saved)
        run(inputs[6], True)
        run(inputs[7], True)
        return p.numpy(), q.numpy(), optimizer.state_dict()["state"]

    (p, q, states), (compiled_p, compiled_q, compiled_states) = end(False), end(True)
    close(compiled_p, p, 1e-14)
    close(compiled_q, q, 1e-14)
    for i, state in states.items():
        assert compiled_states[i].keys() == state.keys() and compiled_states[i].get("step") == state.get("step")
        for key in state:
            close(compiled_states[i][key], state[key], 1e-14)


def parameters(*gradients):
    result = []
    for g in gradients:
        p = tg.nn.Parameter(np.zeros(np.shape(g)))
        p.grad = tg.tensor(np.asarray(g, float))
        result.append(p)
    return result


def test_clipping_by_norm_keeps_the_direction():
    ps = parameters([3.0, 0.0], [[4.0]])
    assert utils.clip_grad_norm_(ps, 1.0).item() == 5.0
    close(np.concatenate([p.grad.numpy().ravel() for p in ps]), np.array([3.0, 0.0, 4.0]) / (5 + 1e-6), 1e-14)
    ps = parameters([3.0, 0.0], [[4.0]])
    before = [p.grad for p in ps]
    utils.clip_grad_norm_(ps, 5.1)
    assert [p.grad.tolist() for p in ps] == [[3.0, 0.0], [[4.0]]] and before[0].tolist() == [3.0, 0.0]


def test_clipping_by_norm_writes_into_no_one_elses_gradient():
    (p,) = parameters([3.0, 4.0])
    held = p.grad
    utils.clip_grad_norm_(p, 1.0)
    assert held.tolist() == [3.0, 4.0] and p.grad is not held


def test_clipping_what_is_not_finite():
    ps = parameters([1.0], [math.nan])
    ps[1].name = "w"
    with pytest.raises(tg.GraphError, match=r"the gradient of w \(1,\) has norm nan"):
        utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert ps[0].grad.tolist() == [1.0]
    assert math.isnan(utils.clip_grad_norm_(ps, 1.0).item())
    big = parameters(np.full(2, 1e200))
    utils.clip_grad_norm_(big, 1.0)
    assert np.isfinite(big[0].grad.numpy()).all()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("gradients", "norm_type", "norm", "after"),
    [
        ([[0.0, 0.0]], 2.0, 0.0, [[0.0, 0.0]]),
        ([[5e-324]], 2.0, 5e-324, [[5e-324]]),
        ([[3e-200, 4e-200]], 2.0, 5e-200, [[3e-200, 4e-200]]),
        ([[1.0, 2.0], [math.inf]], 2.0, math.inf, [[0.0, 0.0], [math.nan]]),
        ([[3.0, 4.0], [0.0], [8.0]], 0.0, 2.0, [[1.5, 2.0], [0.0], [4.0]]),
    ],
)
def test_clipping_by_norm_at_its_ends(compiled, gradients, norm_type, norm, after):
    ps = parameters(*gradients)

    def clipped(gradients):
        for p, g in zip(ps, gradients, strict=True):
            p.grad = g
        return utils.clip_grad_norm_(ps, 1.0, norm_type), [p.grad for p in ps]

    given = [tg.tensor(g, dtype=np.float64) for g in gradients]
    found, left = (tg.compile(clipped) if compiled else clipped)(given)
    assert found.item() == pytest.approx(norm, rel=1e-14, abs=0)
    for g, expected in zip(left, after, strict=True):
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("sizes", [(5.0, 1.0, 0.2), (0.2, 5.0, 1.0), (1.0, 0.2, 5.0)])
def test_clipping_by_any_norm(compiled, norm_type, sizes):
    ps = [tg.nn.Parameter([size, -size / 2], dtype=np.float64) for size in sizes]
    every = np.concatenate([p.numpy() for p in ps])
    total = np.linalg.norm(every, norm_type)
    for max_norm in (0.0, 0.5, 1.5 * total):

        def clipped(max_norm=max_norm):
            for p in ps:
                p.grad = None
            sum((p * p).sum() * 0.5 for p in ps).backward()
            return utils.clip_grad_norm_(ps, max_norm, norm_type), [p.grad for p in ps]

        norm, gradients = (tg.compile(clipped) if compiled else clipped)()
        assert norm.item() == pytest.approx(total, rel=1e-14)
        scale = min(1.0, max_norm / (total + 1e-6))
        np.testing.assert_allclose(np.concatenate([g.numpy() for g in gradients]), scale * every, rtol=1e-13)


@pytest.mark.parametrize("compiled", [False, True])
def test_clipping_names_who_is_not_finite(compiled):
    ps = [tg.nn.Parameter([1.0], name=name) for name in ("fine", "broken")]

    def clipped(x):
        for p in ps:
            p.grad = None
        (ps[0] + ps[1] * x).sum().backward()
        return utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)

    run = tg.compile(clipped) if compiled else clipped
    assert run(tg.tensor([1.0])).item() == pytest.approx(math.sqrt(2))
    with pytest.raises(tg.GraphError, match="gradient of broken"):
        run(tg.tensor([math.inf]))


def test_clipping_nothing():
    assert utils.clip_grad_norm_([tg.nn.Parameter([1.0])], 1.0).item() == 0.0
    utils.clip_grad_value_([tg.nn.Parameter([1.0])], 1.0)
    for function in (utils.clip_grad_norm_, utils.clip_grad_value_):
        with pytest.raises(ValueError, match="a number from 0 up"):
            function(parameters([1.0]), -1.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_clipping_by_value(compiled):
    for limit, expected in ((1.0, [[1.0, -1.0, 0.5], 1.0]), (0.0, [[0.0, 0.0, 0.0], 0.0])):
        ps = parameters([3.0, -3.0, 0.5], 7.0)

        def clipped(ps=ps, limit=limit):
            utils.clip_grad_value_(ps, limit)

        (tg.compile(clipped) if compiled else clipped)()
        assert [p.grad.tolist() for p in ps] == expected


def test_clipping_takes_tensors_once():
    ps = parameters([3.0], [4.0])
    ps[1].grad = ps[1].grad.float()
    every = iter(ps)
    norm = utils.clip_grad_norm_(every, 10.0)
    assert norm.item() == 5.0 and norm.dtype == np.float64
    with pytest.raises(tg.GraphError, match="perhaps used up"):
        utils.clip_grad_norm_(every, 10.0)
    assert utils.clip_grad_norm_([], 10.0).item() == 0.0
    for given, said in (
        (tg.nn.Linear(1, 1), r"not Linear; pass model.parameters\(\)"),
        (3.0, "not float; pass a list of tensors"),
        ([*ps, 1.0, "x"], "not float; pass model"),
    ):
        with pytest.raises(tg.DTypeError, match=said):
            utils.clip_grad_norm_(given, 1.0)
