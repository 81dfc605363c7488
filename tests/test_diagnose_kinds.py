"""Kinds of mistakes in what a whole network is put together of: first states, tables, a memory, a norm, the loss."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.diagnosis.edit_context import Scene
from tinygrad_rnn.diagnosis.edited_walks import Record
from tinygrad_rnn.diagnosis.search import Search
from tinygrad_rnn.testing.planted_bugs import make_problem
from tinygrad_rnn.testing.planted_bugs.as_losses import loss_of, own_problem

F = tg.nn.functional
T, N, H = 3, 2, 3
WORDS = np.array([[0, 0], [1, 2], [0, 1]])  # by step; one comes twice in a step, two come again
LENGTHS, TARGETS = np.array([[3.0], [2.0]]), [1, 0]


def parameters():
    rng = np.random.default_rng(6)
    shapes = {"E": (3, H), "U": (H, H), "h0": (1, H), "Q": (H, H), "V": (2 * H, 2), "c": (2,)}
    return {name: rng.normal(0, 0.8, shape) for name, shape in shapes.items()}


def network():
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in parameters().items()}
    h, states, lengths = p["h0"], [], tg.tensor(LENGTHS)
    for t in tg.steps(T):
        h = tg.tanh(p["E"][WORDS[t]] + h @ p["U"])
        states.append(h)
    memory = tg.stack(states)
    s, pooled = h, 0.0
    for _ in range(2):
        weights = tg.softmax((memory * (s @ p["Q"])).sum(2), 0)
        s = tg.tanh((weights.unsqueeze(2) * memory).sum(0) + s)
        pooled = pooled + s
    mean = pooled / lengths
    both = tg.cat([mean, h], 1)
    return tg.nn.functional.cross_entropy(both @ p["V"] + p["c"], TARGETS)


def softmax(a, axis):
    e = np.exp(a - a.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def by_hand(mistake=""):
    p = parameters()
    hs = [np.repeat(p["h0"], N, 0)]
    for t in range(T):
        hs.append(np.tanh(p["E"][WORDS[t]] + hs[-1] @ p["U"]))
    memory = np.stack(hs[1:])
    ss, weights = [hs[-1]], []
    for _ in range(2):
        weights.append(softmax((memory * (ss[-1] @ p["Q"])).sum(2), 0))
        ss.append(np.tanh((weights[-1][:, :, None] * memory).sum(0) + ss[-1]))
    both = np.concatenate([(ss[1] + ss[2]) / LENGTHS, hs[-1]], 1)
    d = softmax(both @ p["V"] + p["c"], 1)
    d /= N if mistake == "scaled before the target" else 1
    d[range(N), TARGETS] -= 1
    d /= 1 if mistake == "scaled before the target" else N
    g = {name: np.zeros_like(value) for name, value in p.items()}
    g["V"], g["c"] = both.T @ d, d.sum(0)
    dboth = d @ p["V"].T
    dmean, dlast = (dboth[:, H:], dboth[:, :H]) if mistake == "halves exchanged" else (dboth[:, :H], dboth[:, H:])
    dpooled = dmean if mistake == "not divided" else dmean / LENGTHS
    dmemory, ds = np.zeros_like(memory), 0.0
    for k in reversed(range(2)):
        da = (ds + dpooled) * (1 - ss[k + 1] ** 2)
        dw = (memory * da).sum(2)
        de = weights[k] * (dw - (weights[k] * dw).sum(0))
        dq = (de[:, :, None] * memory).sum(0)
        g["Q"] += ss[k + 1 if mistake == "the new s" else k].T @ dq
        share = weights[k][:, :, None] * da + de[:, :, None] * (ss[k] @ p["Q"])
        dmemory = share if mistake == "memory overwritten" else dmemory + share
        ds = da + dq @ p["Q"].T
    dh, every = dlast + ds, []
    for t in reversed(range(T)):
        dh = dh + (0 if mistake == "memory of the last only" and t < T - 1 else dmemory[t])
        da = dh * (1 - hs[t + 1] ** 2)
        g["U"] += hs[t + 1 if mistake == "the new h" else t].T @ da
        if mistake == "rows overwritten":
            g["E"][WORDS[t]] = da
        else:
            np.add.at(g["E"], WORDS[t], da)
        dh = da @ p["U"].T
        every.append(dh)
    dh0 = sum(every) if mistake == "every step's h0" else dh
    g["h0"] = dh0.mean(0, keepdims=True) if mistake == "h0 averaged" else dh0.sum(0, keepdims=True)
    return g


@pytest.mark.parametrize(
    "mistake, says",
    {
        "scaled before the target": "probabilities times the gradient, minus 1 at the target",
        "halves exchanged": "mean and h receive each other's part of both",
        "not divided": "what pooled receives from mean is not divided by lengths",
        "the new s": "what Q receives from s @ Q uses s of the step after",
        "memory overwritten": "Of all that memory receives, only what the first step sends is left",
        "memory of the last only": "At every step but the last, what h receives from memory is missing",
        "the new h": "what U receives from h @ U uses h of the step after",
        "rows overwritten": "A row of E that is looked up again has only what was written there last",
        "every step's h0": "h0 receives what h receives of the next step, added up over all steps",
        "h0 averaged": "what h0 receives from repeated h0 is halved (2 is the size of the batch)",
    }.items(),
)
def test_a_mistake_is_named_by_the_programs_own_variables(mistake, says):
    found = tg.diagnose(network(), by_hand(mistake), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


def test_the_right_way_back_is_right():
    assert tg.diagnose(network(), by_hand()).correct


def both_ways(mistake):
    rng = np.random.default_rng(9)
    x, keep = rng.normal(size=(4, 2, 3)), rng.integers(0, 2, size=(2, 6)) * 2.0
    leaves = {"U": rng.normal(size=(3, 3)), "R": rng.normal(size=(3, 3)), "A": rng.normal(size=(6, 1))}
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in leaves.items()}
    h = k = tg.zeros(2, 3, dtype=tg.float64)
    hs, ks = [h.numpy()], [k.numpy()]
    for t in tg.steps(4):
        h = tg.tanh(tg.tensor(x[t]) + h @ p["U"])
        hs.append(h.numpy())
    for t in tg.steps(4):
        k = tg.tanh(tg.tensor(x[3 - t]) + k @ p["R"])
        ks.append(k.numpy())
    both = tg.cat([h, k], 1)
    out = both * tg.tensor(keep)
    loss = (out @ p["A"]).sum()
    g = {name: np.zeros_like(value) for name, value in leaves.items()}
    g["A"] = (both if mistake == "A" else out).numpy().sum(0)[:, None]
    dout = keep * leaves["A"].T
    for name, dh, mine in (("U", dout[:, :3], hs), ("R", dout[:, 3:], ks)):
        for t in reversed(range(4)):
            da = dh * (1 - mine[t + 1] ** 2)
            g[name] += (hs[3 - t] if name == mistake == "R" else mine[t]).T @ da
            dh = da @ leaves[name].T
    return loss, g


@pytest.mark.parametrize(
    "mistake, says",
    [
        ("A", "what A receives from out @ A uses both where out belongs"),
        ("R", "what R receives from k @ R uses h of the step before, counted from the other end where k belongs"),
    ],
)
def test_values_of_no_loop_and_of_a_loop_in_the_other_direction_are_taken_for_others(mistake, says):
    found = tg.diagnose(*both_ways(mistake), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


@pytest.mark.filterwarnings("error")
def test_a_wrong_rule_that_divides_by_nothing_warns_of_nothing():
    w = tg.tensor([[0.5, 900.0, -0.3]], requires_grad=True, name="w")
    y = tg.relu(w * w - 2.0)
    found = tg.diagnose(y.amax(1).sum() + y.sigmoid().sum(), {"w": np.ones((1, 3))}, max_edits=1)
    assert not found.found


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_a_first_state_without_rows_is_one_of_the_states(shape):
    rng = np.random.default_rng(8)
    x, w = rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 3))
    leaves = {"U": w, "h0": rng.normal(size=shape), "b": rng.normal(size=3)}
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in leaves.items()}
    h, hs = p["h0"], [np.zeros((2, 3)) + leaves["h0"]]
    for t in tg.steps(3):
        h = tg.tanh(tg.tensor(x[t]) + h @ p["U"] + p["b"])
        hs.append(h.numpy())
    dh, g = 2 * hs[-1], {name: np.zeros_like(value) for name, value in leaves.items()}
    for t in reversed(range(3)):
        da = dh * (1 - hs[t + 1] ** 2)
        g["U"] += hs[t + 1].T @ da  # hs[t] belongs
        g["b"] += da.sum(0)
        dh = da @ w.T
    g["h0"] = dh.sum(0).reshape(shape)
    found = tg.diagnose((h * h).sum(), g, max_edits=1)
    assert "At every step, what U receives from h @ U uses h of the step after." in [e.words for e in found.edits]


def test_all_that_one_call_makes_is_not_called_as_its_result_is():
    total = loss_of(own_problem("residual", "normal"))
    named = [node for node in Record(total).nodes if node.role == "total"]
    assert [node.serial for node in named] == [total.serial]


@pytest.mark.parametrize(
    "formula, says",
    {
        "g / s": "what a receives from y, by all ways, is g / s instead of (g - mean(g) - y * mean(g * y)) / s",
        "(g - g.mean(1, keepdims=True) - y * (g * y).mean(1, keepdims=True)) / s**2": "mean(g * y)) / s / s instead of",
    }.items(),
)
def test_a_norms_formula_is_written_without_two_terms_or_divided_twice(formula, says):
    rng = np.random.default_rng(7)
    x, u, w = rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), tg.tensor(np.eye(4), requires_grad=True, name="w")
    a = tg.tensor(x) @ w
    centred = a - a.mean(1, keepdims=True)
    std = (centred**2).mean(1, keepdims=True).sqrt()
    y = centred / std
    names = {"g": u, "y": y.numpy(), "s": std.numpy()}
    found = tg.diagnose((y * u).sum(), {"w": x.T @ eval(formula, names)}, max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


def test_a_state_without_a_name_is_called_after_what_it_begins_with():
    problem = own_problem("coupled", "normal")
    record = Record(loss_of(problem))
    scene = Scene(record, {}, nearly=False)
    assert [scene.called(family[0]) for family in scene.states] == ["h", "c"]


@pytest.mark.parametrize("wrong", ["inputs", "next"])
def test_targets_taken_by_two_arrays_of_numbers_can_be_other_targets(wrong):
    """``logp[np.arange(n), target]``: of the two arrays in the index the last has the classes."""
    rng = np.random.default_rng(8)
    x, h0 = rng.integers(0, 6, (3, 5)), np.zeros((3, 4))
    table, whh, why = (rng.normal(size=s) for s in ((6, 4), (4, 4), (4, 6)))
    E, W, V = (tg.tensor(v, requires_grad=True, name=n) for v, n in ((table, "E"), (whh, "W"), (why, "V")))
    h, loss, hs = tg.tensor(h0), 0.0, [h0]
    for t in range(4):
        h = tg.tanh(E[x[:, t]] + h @ W)
        loss = loss - tg.log_softmax(h @ V, 1)[np.arange(3), x[:, t + 1]].sum()
        hs.append(h.numpy())
    d, carry = {"E": np.zeros((6, 4)), "W": np.zeros((4, 4)), "V": np.zeros((4, 6))}, h0
    for t in range(4)[::-1]:
        dy = np.exp(hs[t + 1] @ why)
        dy /= dy.sum(1, keepdims=True)
        dy[np.arange(3), x[:, t] if wrong == "inputs" else x[:, min(t + 2, 4)]] -= 1
        da = (dy @ why.T + carry) * (1 - hs[t + 1] ** 2)
        d["V"] += hs[t + 1].T @ dy
        d["W"] += hs[t].T @ da
        np.add.at(d["E"], x[:, t], da)
        carry = da @ whh.T
    found = tg.diagnose(loss, d, max_edits=1)
    assert found.found and "where the right ones belong" in found.edits[0].words, str(found)


def gates_of_one_line(a, b, c, d):
    i, f = tg.sigmoid(a), tg.tanh(tg.sigmoid(b))
    z, r, n = tg.sigmoid(i * c), tg.sigmoid(f), tg.tanh(d + 1)
    p, q, u, w = z.exp(), r.exp(), n.exp(), i.cos()
    return p * q + u * w


def test_values_of_one_line_are_called_by_their_variables():
    loss = gates_of_one_line(*(tg.tensor([x], requires_grad=True) for x in (0.1, 0.2, 0.3, 0.4))).sum()
    told = [(node.variable, node.op.name) for node in tg.Graph(loss).nodes if node.op is not None]
    assert [pair for pair in told if pair[0] not in (None, "loss")] == [
        ("i", "sigmoid"), ("f", "tanh"), ("z", "sigmoid"), ("r", "sigmoid"), ("n", "tanh"),
        ("p", "exp"), ("q", "exp"), ("u", "exp"), ("w", "cos"),
    ]  # fmt: skip


def _masked(w):
    return w[w > 1].square().sum()


def _gained(w):
    y = tg.tensor([[1.0, 2.0, 4.0], [3.0, -1.0, 0.5]], dtype=tg.float64).exp()
    return (y / (y * y).mean(-1, keepdim=True).sqrt() * w).square().sum()


def _gathered(w):
    return -(w * tg.ones(2, 1)).log_softmax(1).gather(1, tg.tensor([[2], [0]])).mean()


@pytest.mark.parametrize("of", [_masked, _gained, _gathered])
def test_masks_gains_and_gathered_elements_are_searched(of):
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True, name="w", dtype=tg.float64)
    (g,) = tg.grad(of(w), [w])
    assert tg.diagnose(of(w), {"w": g}).correct
    found = tg.diagnose(of(w), {"w": 2 * g.numpy()}, max_edits=1)
    assert any("counted twice" in edit.words for edit in found.edits)


def test_nothing_is_right_where_the_true_gradient_is_zero_up_to_rounding_or_infinite():
    b = tg.tensor([0.5], requires_grad=True, name="b", dtype=tg.float64)
    loss = F.cross_entropy(tg.tensor([[0.1, 0.2, 0.3]], dtype=tg.float64) + b, [1])
    wrong = tg.diagnose(loss, {"b": [0.7123456789012345]}, max_edits=1)
    assert not wrong.correct and not wrong.found
    assert tg.diagnose(loss, {"b": tg.grad(loss, [b], retain_graph=True)[0]}).correct
    x = tg.tensor([0.0, 4.0], requires_grad=True, name="x", dtype=tg.float64)
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(tg.ArgumentError, match=r"of x is inf at \[0\]"):
        tg.diagnose(x.sqrt().sum(), {"x": [1.0, 0.25]})
    with pytest.raises(tg.ArgumentError, match="the loss is a tensor, not float"):
        tg.diagnose(1.0, {"x": 1.0})


def test_a_loop_over_weights_of_several_shapes_is_searched():
    rng = np.random.default_rng(3)
    p = {n: tg.tensor(rng.normal(size=s), requires_grad=True, name=n) for n, s in {"W": (3, 4), "V": (4, 2)}.items()}
    h = tg.tanh(tg.tensor(rng.normal(size=(5, 3))) @ p["W"]) @ p["V"]
    loss = h.square().sum()
    for name in p:
        loss = loss + 0.1 * (p[name] * p[name]).sum()
    right = {name: g.numpy() for name, g in zip(p, tg.grad(loss, list(p.values()), retain_graph=True), strict=True)}
    record = Record(loss)
    search = Search(record, {leaf.index: right[str(leaf.name)] * 1.5 for leaf in record.leaves}, None)
    assert search.prepare() and search.singles() and not search.scene.attempts.failed


def test_a_product_of_two_other_variables_is_read_off():
    rng = np.random.default_rng(3)
    x, w, u = rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    W, U = tg.tensor(w, requires_grad=True, name="W"), tg.tensor(u, requires_grad=True, name="U")
    h, hs, loss = tg.zeros(2, 3, dtype=tg.float64), [np.zeros((2, 3))], 0.0
    for t in tg.steps(4):
        h = tg.tanh(tg.tensor(x[t]) @ W + h @ U)
        hs.append(h.numpy())
        loss = loss + h.square().sum()
    g, dh = {"W": np.zeros((3, 3)), "U": np.zeros((3, 3))}, np.zeros((2, 3))
    for t in reversed(range(4)):
        dh = dh + 2 * hs[t + 1]
        da = dh * (1 - hs[t + 1] ** 2)
        g["W"] += x[t].T @ da
        g["U"] += hs[t + 1].T @ dh  # hs[t].T @ da
        dh = da @ u.T
    found = tg.diagnose(loss, g, max_edits=1)
    assert "uses h of the step after where h belongs and comes from the gradient of h." in found.edits[0].words


@pytest.mark.parametrize("first", ["uses h of the step after", "uses U transposed"])
def test_of_two_mistakes_one_may_be_any_factor(first):
    """Where their effects add up, and where one changes what the other does."""
    rng, carried = np.random.default_rng(1), first == "uses U transposed"
    values = {name: rng.normal(size=(3, 3)) for name in "UWV"}
    xs, p = rng.normal(size=(5, 2, 3)), {n: tg.tensor(v, requires_grad=True, name=n) for n, v in values.items()}
    h, loss, hs = tg.zeros(2, 3, dtype=tg.float64), 0.0, [np.zeros((2, 3))]
    for t in tg.steps(5):
        h = tg.tanh(tg.tensor(xs[t]) @ p["W"] + h @ p["U"])
        hs.append(h.numpy())
        loss = loss + (h @ p["V"]).square().sum()
    g, dh = {name: np.zeros((3, 3)) for name in "UWV"}, np.zeros((2, 3))
    for t in reversed(range(5)):
        dy = 2 * hs[t + 1] @ values["V"]
        g["V"] += hs[t + 1].T @ dy
        da = (dh + dy @ values["V"].T) * (1 - hs[t + 1] ** 2)
        g["W"] += 1.7 * xs[t].T @ da
        g["U"] += hs[t if carried else t + 1].T @ da
        dh = da @ (values["U"] if carried else values["U"].T)
    words = tg.diagnose(loss, g).edits[0].words
    assert first in words and "And: At every step, what W receives from xs[t] @ W is multiplied by 1.7." in words


def attending():
    """A batch of products, and inputs whose gradient is given: in what they receive nothing is a weight's product."""
    rng = np.random.default_rng(5)
    x, w, q = (rng.normal(size=s) for s in ((2, 4, 3), (3, 3), (2, 1, 3)))
    leaves = {n: tg.tensor(v, requires_grad=True, name=n) for n, v in {"x": x, "w": w, "q": q}.items()}
    keys = leaves["x"] @ leaves["w"]
    return ((leaves["q"] @ keys.transpose(1, 2)).softmax(2) @ keys).square().sum()


@pytest.mark.parametrize(
    "made",
    [attending, lambda: loss_of(make_problem("rnn", "normal")), lambda: loss_of(own_problem("coupled", "normal"))],
)
def test_every_kind_fits_every_network(made):
    record, rng = Record(made()), np.random.default_rng(0)
    given = {leaf.index: record.gradient(leaf.index) + rng.normal(size=leaf.shape) for leaf in record.leaves}
    search = Search(record, given, None)
    with np.errstate(all="ignore"):  # of wrong rules, as `diagnose` has it
        assert search.prepare() and not search.singles()
    assert search.tried and not search.scene.attempts.failed


def one_product(wrong):
    """One product of matrices between two factors, walked back by hand; ``wrong``: which is on the other side."""
    rng = np.random.default_rng(4)
    x, r = rng.normal(size=(2, 2, 3))
    values = {"W": rng.normal(size=(3, 3)), "V": rng.normal(size=(3, 3))}
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    a = tg.tensor(x) @ p["W"]
    y = ((a * tg.tensor(r)) @ p["V"]).tanh()
    loss, dy = (y * y).sum(), 2 * y.numpy()
    slope = 1 - y.numpy() ** 2
    dc = dy * slope
    back = {"tanh": (dy @ values["V"].T) * slope * r, "r": (dc * r) @ values["V"].T}
    da = back.get(wrong, (dc @ values["V"].T) * r)
    return loss, {"W": x.T @ da, "V": (a.numpy() * r).T @ dc}


@pytest.mark.parametrize("wrong, says", [("tanh", "after the product"), ("r", "before the product")])
def test_a_factor_on_the_other_side_of_a_product(wrong, says):
    assert tg.diagnose(*one_product(""), max_edits=1).correct
    found = tg.diagnose(*one_product(wrong), max_edits=1)
    assert any(f"is applied {says} with the matrix" in edit.words for edit in found.edits), str(found)


def soft_targets(slip):
    """A loss of smoothed targets, and its gradients with ``slip`` done to dL/d scores."""
    rng = np.random.default_rng(6)
    x, hard = rng.normal(size=(3, 4)), np.eye(5)[[0, 3, 3]]
    soft = 0.9 * hard + 0.02
    w = tg.tensor(rng.normal(size=(4, 5)), requires_grad=True, name="W")
    y = (tg.tensor(x) @ w).log_softmax(1)
    p = np.exp(y.numpy())
    return -(y * tg.tensor(soft)).sum(), {"W": x.T @ slip(p, soft, hard)}


@pytest.mark.parametrize(
    "slip, says",
    [
        (lambda p, soft, hard: p - hard, "with 1 where it is largest and 0 elsewhere, as without smoothing"),
        (lambda p, soft, hard: (p - soft) * p * (1 - p), "* exp(y) * (1 - exp(y)) instead of"),
    ],
    ids=["hard", "twice"],
)
def test_smoothed_targets_taken_hard_and_a_slope_that_was_in_it_already(slip, says):
    found = tg.diagnose(*soft_targets(slip), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


def test_a_sigmoids_slope_multiplied_once_more():
    rng = np.random.default_rng(6)
    x, target = rng.normal(size=(4, 3)), np.array([[0.0], [1.0], [1.0], [0.0]])
    w = tg.tensor(rng.normal(size=(3, 1)), requires_grad=True, name="w")
    p = (tg.tensor(x) @ w).sigmoid()
    loss = -(tg.tensor(target) * p.log() + tg.tensor(1 - target) * (1 - p).log()).sum()
    dz = (p.numpy() - target) * p.numpy() * (1 - p.numpy())
    found = tg.diagnose(loss, {"w": x.T @ dz}, max_edits=1)
    assert any("is multiplied with the derivative at p" in edit.words for edit in found.edits), str(found)


def residual(slip):
    """A residual loop whose first steps the loss leaves out, walked back by hand with ``slip``."""
    rng = np.random.default_rng(2)
    x, target = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 1))
    values = {"U": rng.normal(size=(3, 3)), "V": rng.normal(size=(3, 1))}
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    h, hs = tg.zeros(2, 3, dtype=np.float64), []
    for t in range(5):
        h = (tg.tensor(x[t]) + h @ p["U"]).tanh()
        hs.append(h)
    out = tg.tensor(x) + tg.stack(hs, 0)
    scores = out @ p["V"]
    loss = ((scores[2:] - tg.tensor(target[2:])) ** 2).sum()
    dy = 2 * (scores.numpy() - target)
    if slip != "warm-up":
        dy[:2] = 0
    d = {"U": np.zeros((3, 3)), "V": np.einsum("tni,tno->io", out.numpy(), dy)}
    dh = np.zeros((2, 3))
    for t in reversed(range(5)):
        y = (out if slip == "slope" else tg.stack(hs, 0)).numpy()[t]
        da = (dh + dy[t] @ values["V"].T) * (1 - y**2)
        d["U"] += (hs[t - 1].numpy() if t else np.zeros((2, 3))).T @ da
        dh = da @ values["U"].T
    return loss, d


@pytest.mark.parametrize(
    "slip, says",
    {
        "warm-up": "scores receives a gradient where scores[2:] leaves it out, too",
        "slope": "At every step, at h the derivative of tanh uses out.",
    }.items(),
)
def test_around_a_residual_sum_and_a_loss_of_the_last_steps(slip, says):
    assert tg.diagnose(*residual(""), max_edits=1).correct
    found = tg.diagnose(*residual(slip), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


def test_a_cache_with_the_new_state_from_which_a_product_is_made_again():
    rng = np.random.default_rng(3)
    values = {"W": rng.normal(size=(3, 3)), "U": rng.normal(size=(3, 3)), "h0": rng.normal(size=(2, 3))}
    p = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    x, h, loss, cache = rng.normal(size=(3, 2, 3)), p["h0"], 0.0, []
    for t in range(3):
        f = (tg.tensor(x[t]) @ p["W"]).sigmoid()
        n = ((f * h) @ p["U"]).tanh()
        h = h + n
        loss = loss + (h * h).sum()
        cache.append((f.numpy(), n.numpy(), h.numpy()))  # the state before belongs there
    d, dh = {name: np.zeros_like(value) for name, value in values.items()}, np.zeros((2, 3))
    for t in reversed(range(3)):
        f, n, state = cache[t]
        dh = dh + 2 * state  # here the new one is right
        dn = dh * (1 - n**2)
        d["U"] += (f * state).T @ dn
        d["W"] += x[t].T @ ((dn @ values["U"].T) * state * f * (1 - f))
        dh = dh + (dn @ values["U"].T) * f
    d["h0"] = dh
    found = tg.diagnose(loss, d, max_edits=1)
    says = "the saved h has become that of the step after, where the next step reads it, also in what is computed"
    assert any(says in edit.words for edit in found.edits), str(found)
