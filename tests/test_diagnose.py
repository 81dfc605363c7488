"""`diagnose`: mistakes in backward passes written by hand, named from the wrong numbers alone."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

import tinygrad_rnn as tg
from tinygrad_rnn.cli import main
from tinygrad_rnn.nn.cells import lstm_step, rnn_step

T, N, F, H = 4, 2, 3, 3


def leaves(gates, states):
    rng = np.random.default_rng(0)
    shapes = {"W": (gates * H, F), "U": (gates * H, H), "b": (gates * H,), "d": (gates * H,)}
    shapes |= {f"{name}0": (N, H) for name in states}
    made = {}
    for name, shape in shapes.items():
        made[name] = tg.tensor(rng.uniform(-1, 1, shape), dtype=tg.float64, requires_grad=True, name=name)
    for name in states:
        made[f"{name}0"].role = name
    return made, rng.standard_normal((T, N, F)), rng.standard_normal((T, N, H))


def rnn():
    p, x, up = leaves(1, "h")
    h, loss = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(T):
        h = rnn_step(tg.tensor(x[t], dtype=tg.float64), h, (p["W"], p["U"], p["b"], p["d"]))
        loss = loss + (h * up[t]).sum()
    return loss, {k: v.numpy() for k, v in p.items()}, x, up


def rnn_by_hand(p, x, up, mistake=""):
    """Row vectors, by the equations; ``mistake`` says what is wrong with it."""
    hs = [p["h0"]]
    for t in range(T):
        hs.append(np.tanh(x[t] @ p["W"].T + p["b"] + hs[-1] @ p["U"].T + p["d"]))
    g = {name: np.zeros(value.shape) for name, value in p.items()}
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        dh = up[t] + (0 if mistake == "no carry" else dh)
        da = dh * {"sigmoid": hs[t + 1] * (1 - hs[t + 1])}.get(mistake, 1 - hs[t + 1] ** 2)
        share = da.T @ (hs[t + 1] if mistake == "new h" else hs[t])
        g["U"] = share if mistake == "overwritten" else g["U"] + share
        if not (mistake == "first skipped" and t == 0):
            g["W"] += da.T @ x[t]
        g["b"] += da[0] if mistake == "one row" else da.sum(0)
        g["d"] += da[0] if mistake == "one row" else da.sum(0)
        dh = da @ (p["U"].T if mistake == "transposed" else p["U"])
    g["h0"] = 0 * dh if mistake == "no carry" else dh
    return g


MISTAKES = {
    "no carry": "At every step, what h receives from linear(h, U) of the next step is missing.",
    "sigmoid": "At every step, at h the derivative of tanh is taken to be σ'",
    "new h": "what U receives from linear(h, U) uses h of the step after",
    "overwritten": "At every step but the first, what U receives from linear(h, U) is missing, as with",
    "first skipped": "At the first step only, what W receives from linear(x, W) is missing.",
    "one row": "is not un-broadcast: the first row instead of the sum over the batch. So too at",
    "transposed": "what h receives from linear(h, U) of the next step uses U transposed",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_rnn_is_named_from_its_numbers(mistake):
    loss, p, x, up = rnn()
    wrong = rnn_by_hand(p, x, up, mistake)
    found = tg.diagnose(loss, wrong, max_edits=1)
    assert found.found and not found.correct
    assert any(MISTAKES[mistake] in edit.words for edit in found.edits), str(found)
    for name, given in wrong.items():
        np.testing.assert_allclose(found.gradients[name], given, rtol=1e-10, atol=1e-12)


def weighted(value, by):
    """Each step's loss and the last state's: one line of a program for both."""
    return (value * by).sum()


def residual(mistake=""):
    """h' = h + tanh(x W + h U) / 2, and a loss of the last state besides; T is the size of a dimension, too."""
    rng, length = np.random.default_rng(4), 4
    p = {name: tg.tensor(rng.uniform(-1, 1, (3, 3)), requires_grad=True, name=name) for name in "WU"}
    x, up, final = rng.standard_normal((length, 2, 3)), rng.standard_normal((length, 2, 3)), rng.standard_normal((2, 3))
    h, loss = tg.zeros(2, 3, dtype=tg.float64), tg.tensor(0.0, dtype=tg.float64)
    for t in range(length):
        h = h + (tg.tensor(x[t]) @ p["W"] + h @ p["U"]).tanh() / 2
        loss = loss + weighted(h, up[t])
    loss = loss / length + weighted(h, final)
    w, u = p["W"].numpy(), p["U"].numpy()
    hs = [np.zeros((2, 3))]
    for t in range(length):
        hs.append(hs[-1] + np.tanh(x[t] @ w + hs[-1] @ u) / 2)
    g, dh = {"W": np.zeros((3, 3)), "U": np.zeros((3, 3))}, 0 * final if mistake == "no final" else final
    for t in range(length) if mistake == "forward" else reversed(range(length)):
        dh = dh + (up[t] if mistake == "no 1/T" else up[t] / length)
        da = dh / 2 * (1 - (2 * (hs[t + 1] - hs[t])) ** 2)
        g["W"] += x[t].T @ da
        g["U"] += hs[t].T @ da
        dh = dh + da @ u.T
    return loss, g


@pytest.mark.parametrize(
    "mistake, says",
    [
        ("forward", "The time steps are visited in forward order: h receives the carry of the step before"),
        ("no 1/T", "is multiplied by 4, the number of time steps"),
        ("no final", "what h receives from h ⊙ by is missing"),
    ],
)
def test_a_loss_of_the_last_state_is_no_step_of_the_loop(mistake, says):
    found = tg.diagnose(*residual(mistake), max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)
    assert tg.diagnose(*residual(), max_edits=1).correct


def test_the_last_values_of_two_states_are_forgotten_together():
    p, x, up = leaves(4, "hc")
    state, loss = (p["h0"], p["c0"]), tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(T):
        state = lstm_step(tg.tensor(x[t]), *state, (p["W"], p["U"], p["b"], p["d"]))
        loss = loss + (state[0] * up[t]).sum()
    forgotten = {k: g.numpy() for k, g in zip(p, tg.grad(loss, list(p.values()), retain_graph=True), strict=True)}
    loss = loss + (state[0] * up[0]).sum()
    loss = loss + (state[1] ** 2).mean()
    found = tg.diagnose(loss, forgotten, max_edits=1)
    assert found.edits[0].words == "Once, what the last values of c and h receive from outside of the steps is missing."


def test_a_number_that_is_two_sizes_is_said_to_be_both():
    p, x, up = leaves(1, "h")
    loss = tg.tensor(0.0, dtype=tg.float64)
    h = p["h0"]
    for t in tg.steps(3):
        h = (tg.tensor(x[t]) @ p["W"].T + h @ p["U"].T).tanh()
        loss = loss + (h * up[t]).sum()
    right = {k: g.numpy() for k, g in zip("WU", tg.grad(loss, [p["W"], p["U"]], retain_graph=True), strict=True)}
    found = tg.diagnose(loss, right | {"W": 3 * right["W"]}, max_edits=1)
    assert "multiplied by 3, the number of time steps or the size of a dimension" in found.edits[0].words


def printed(gradients, digits):
    return {k: np.vectorize(lambda v: float(f"{v:.{digits}g}"))(g) for k, g in gradients.items()}


def test_eight_printed_digits_are_enough():
    loss, p, x, up = rnn()
    found = tg.diagnose(loss, printed(rnn_by_hand(p, x, up, "transposed"), 8), max_edits=1)
    assert any(MISTAKES["transposed"] in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize("digits", [17, 8])
def test_right_gradients_are_called_right(digits):
    loss, p, x, up = rnn()
    found = tg.diagnose(loss, printed(rnn_by_hand(p, x, up), digits))
    assert found.correct and not found.found and "are right" in str(found)


def as_numpy_prints(g):
    with np.printoptions(threshold=10**9):
        text = str(g).replace("[", " ").replace("]", " ")
    return np.array([float(number) for number in text.split()]).reshape(g.shape)


#: how gradients get from a program to somebody's question
WRITTEN = {
    "rounded to 8 decimals": lambda g: np.round(g, 8),
    "as NumPy prints it": as_numpy_prints,
    "in float32": lambda g: g.astype(np.float32),
    "in float32, as a list": lambda g: np.array(g.astype(np.float32).tolist()),
    "in float32, as NumPy prints it": lambda g: as_numpy_prints(g.astype(np.float32)),
}


def small_rnn():
    """Its gradients are about 1e-5 and 1e-3: of eight decimals few digits are left."""
    loss, p, x, up = rnn()
    wrong = rnn_by_hand(p, x, up, "transposed")
    return loss * 1e-4, p, x, up * 1e-4, {k: 1e-4 * g for k, g in wrong.items()}


@pytest.mark.parametrize("written", WRITTEN)
def test_decimals_and_single_precision_are_known_for_what_they_are(written):
    loss, p, x, up, wrong = small_rnn()
    right = rnn_by_hand(p, x, up)
    # a leaf of the usual size shows that the rest is rounded, not round
    large = tg.tensor([0.3, 0.7], requires_grad=True, name="large", dtype=tg.float64)
    loss = loss + (large * large).sum()
    right["large"] = wrong["large"] = 2 * large.numpy() * (1 + 1e-9)
    rounded = {k: WRITTEN[written](g) for k, g in right.items()}
    assert tg.diagnose(loss, rounded).correct
    found = tg.diagnose(loss, {k: WRITTEN[written](g) for k, g in wrong.items()}, max_edits=1)
    if written == "rounded to 8 decimals":
        assert "too few digits to tell" in str(found), str(found)
    else:
        assert any(MISTAKES["transposed"] in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize("digits", [3, 5])
def test_few_digits_are_too_few_to_tell(digits):
    loss, p, x, up = rnn()
    right, wrong = (printed(rnn_by_hand(p, x, up, mistake), digits) for mistake in ("", "transposed"))
    found = tg.diagnose(loss, right, max_edits=1)
    assert found.correct and f"right to the {digits} digits" in str(found) and "too few digits to tell" in str(found)
    found = tg.diagnose(loss, wrong)
    assert not found.found and not found.correct
    assert f"Given with {digits} digits" in str(found) and "too few digits to tell which mistake" in str(found)
    assert "not found" not in str(found)


def test_round_numbers_are_given_in_full():
    """Two, four and zero have one digit each, and are exact."""
    w = tg.tensor([1.0, 2.0, 0.0], requires_grad=True, name="w", dtype=tg.float64)
    loss = (w * w).sum()
    assert "are right" in str(tg.diagnose(loss, {"w": [2.0, 4.0, 0.0]}))
    assert "halved" in str(tg.diagnose(loss, {"w": [1.0, 2.0, 0.0]}, max_edits=1))
    assert "is missing" in str(tg.diagnose(loss, {"w": [0.0, 0.0, 0.0]}, max_edits=1))


def test_what_a_long_search_costs_is_said(monkeypatch):
    monkeypatch.setattr("tinygrad_rnn.diagnosis.search.LONG", 0.0)
    monkeypatch.setattr("tinygrad_rnn.diagnosis.search.LIKELY", 300)
    monkeypatch.setattr("tinygrad_rnn.diagnosis.search.TOGETHER", 64)
    loss, p, x, up = rnn()
    wrong = rnn_by_hand(p, x, up)
    wrong = {name: np.random.default_rng(5).standard_normal(g.shape) for name, g in wrong.items()}
    with pytest.warns(UserWarning) as said:
        tg.diagnose(loss, wrong)
    singles, *_, pairs = (str(each.message) for each in said)
    assert re.search(r"diagnose: [\d,]+ edits; this will take about \d+ s of a processor", singles)
    assert re.search(r"diagnose: [\d,]+ pairs of edits; this will take about \d+ s of a processor", pairs)


def test_two_mistakes_that_add_up():
    loss, p, x, up = rnn()
    wrong = rnn_by_hand(p, x, up)
    wrong["W"] = rnn_by_hand(p, x, up, "first skipped")["W"]
    wrong["U"] = rnn_by_hand(p, x, up, "new h")["U"]
    found = tg.diagnose(loss, wrong)
    assert any("W receives" in e.words and "uses h of the step after" in e.words for e in found.edits), str(found)


def test_what_no_edit_gives_is_not_found_and_the_right_leaves_are_named():
    loss, p, x, up = rnn()
    wrong = rnn_by_hand(p, x, up)
    wrong["U"] = np.random.default_rng(5).standard_normal((H, H))
    found = tg.diagnose(loss, wrong, max_edits=1)
    assert not found.found and not found.correct
    assert found.wrong == ["U"] and set(found.right) == {"W", "b", "d", "h0"} and "not found" in str(found)


def test_a_saved_cell_state_that_had_become_the_next_by_a_view():
    p, x, up = leaves(4, "hc")
    h, c, loss = p["h0"], p["c0"], tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(T):
        h, c = lstm_step(tg.tensor(x[t], dtype=tg.float64), h, c, (p["W"], p["U"], p["b"], p["d"]))
        loss = loss + (h * up[t]).sum()
    v = {k: t.numpy() for k, t in p.items()}
    state = v["c0"].copy()
    hs, cs, saved, gates = [v["h0"]], [state.copy()], [], []
    for t in range(T):
        a = x[t] @ v["W"].T + v["b"] + hs[-1] @ v["U"].T + v["d"]
        i, f, o = (1 / (1 + np.exp(-a[:, k * H : (k + 1) * H])) for k in (0, 1, 3))
        g = np.tanh(a[:, 2 * H : 3 * H])
        gates.append((i, f, g, o))
        new = f * cs[-1] + i * g
        saved.append(state[:] if t == 0 else cs[-1])  # a view, where a copy was meant
        if t == 0:
            state[...] = new
        cs.append(new)
        hs.append(o * np.tanh(new))
    wrong = {k: np.zeros(w.shape) for k, w in v.items()}
    dh = dc = np.zeros((N, H))
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        dh, tanh_c = dh + up[t], np.tanh(cs[t + 1])
        dc = dc + dh * o * (1 - tanh_c**2)
        pre = dc * g * i * (1 - i), dc * saved[t] * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)
        da = np.concatenate(pre, 1)
        for name, share in {"W": da.T @ x[t], "U": da.T @ hs[t], "b": da.sum(0), "d": da.sum(0)}.items():
            wrong[name] += share
        dh, dc = da @ v["U"], dc * f
    wrong["h0"], wrong["c0"] = dh, dc
    found = tg.diagnose(loss, wrong, max_edits=1)
    assert found.found and found.agreement < 1e-14
    assert any("The saved c, the first of them (c0), has become that of the step after" in e.words for e in found.edits)


@pytest.mark.parametrize(
    "given, error",
    [
        ({}, tg.ArgumentError),
        ({"w": np.zeros(3)}, tg.ShapeError),
        ({"v": np.zeros(2)}, tg.ArgumentError),
        ({"w": np.array(["a", "b"])}, tg.DTypeError),
        ({3: np.zeros(2)}, tg.ArgumentError),
    ],
)
def test_what_cannot_be_compared_is_refused(given, error):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    with pytest.raises(error):
        tg.diagnose((w * w).sum(), given)


LOSS = """
import tinygrad_rnn as tg

def loss():
    w = tg.tensor([0.5, 1.5], requires_grad=True, name="w", dtype=tg.float64)
    return w.tanh().sum()
"""


@pytest.mark.parametrize("wrong, code, words", [(False, 0, "are right"), (True, 1, "derivative of tanh")])
def test_the_command(wrong, code, words, tmp_path):
    (tmp_path / "model.py").write_text(LOSS)
    y = np.tanh([0.5, 1.5])
    np.savez(tmp_path / "given.npz", w=y * (1 - y) if wrong else 1 - y * y)
    result = CliRunner().invoke(main, ["diagnose", f"{tmp_path / 'model.py'}:loss", str(tmp_path / "given.npz")])
    assert result.exit_code == code, result.output
    assert words in result.stdout


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_branch_left_out_at_a_pole_hides_no_mistake():
    x = tg.tensor([0.0, 2.0], requires_grad=True, name="x", dtype="float64")
    w = tg.tensor([0.5, 0.3], requires_grad=True, name="w", dtype="float64")
    loss = (tg.where(x > 0, x.log(), 0.0) * w).tanh().sum()
    right = tg.grad(loss, [x, w], retain_graph=True)
    given = {"x": right[0].numpy(), "w": right[1].numpy()}
    assert tg.diagnose(loss, given).correct
    y = np.tanh(np.log(2.0) * 0.3)
    found = tg.diagnose(loss, {**given, "w": given["w"] / (1 - y * y)})
    assert found.found and "what w receives" in str(found)


def test_single_precision_is_judged_by_what_was_added_up_where_it_cancels():
    """The targets take turns, so the weight's shares nearly cancel: what is left is as rounded as they were."""
    w = tg.tensor([[0.5, 0.1], [0.2, 0.4]], requires_grad=True, name="W")
    u = tg.tensor([[0.3, -0.2], [0.1, 0.6]], requires_grad=True, name="U")

    def loss(forgetful):
        h, total = tg.zeros(1, 2), 0.0
        for t in range(4):
            h = tg.tanh(tg.ones(1, 2) @ w + (h.detach() if forgetful else h) @ u)
            total = total + tg.nn.functional.cross_entropy(h, [t % 2])
        return total

    wrong = dict(zip("WU", (g.numpy() for g in tg.grad(loss(True), [w, u])), strict=True))
    assert "what h receives from h @ U of the next step is missing" in str(tg.diagnose(loss(False), wrong))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_an_error(value):
    w = tg.tensor([0.3, 0.5], requires_grad=True)
    w.name = "w"
    with pytest.raises(tg.ArgumentError, match=r"given for w has (nan|inf) at \[1\]"):
        tg.diagnose((w * w).sum(), {"w": np.array([0.6, value])}, max_edits=1)


def test_a_leaf_written_since_the_loss_was_computed_is_refused_as_by_grad():
    w = tg.tensor([0.5, -0.3], requires_grad=True, name="w", dtype=tg.float64)
    loss = (w * w).tanh().sum()
    loss.backward(retain_graph=True)
    tg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(tg.MutationError):
        tg.grad(loss, [w], retain_graph=True)
    with pytest.raises(tg.MutationError, match=r"used w \(2,\) as it was before it was written in place at"):
        tg.diagnose(loss, {"w": w.grad})


def test_two_edits_are_not_guessed_from_one_number():
    w = tg.tensor(0.7, requires_grad=True, name="w", dtype=tg.float64)
    found = tg.diagnose((w * w).tanh().sigmoid(), {"w": 0.123456789})
    assert not found.found and "two of them were not tried: only one number is wrong" in str(found)
    p = tg.tensor([0.7, 0.7, 0.7], requires_grad=True, name="p", dtype=tg.float64)  # thrice the same
    found = tg.diagnose((p * p).tanh().sigmoid().sum(), {"p": np.full(3, 0.123456789)})
    assert not found.found and "only one number is wrong" in str(found)


@pytest.mark.parametrize("edits", [True, 1.0, 3, "2"])
def test_max_edits_is_one_or_two(edits):
    w = tg.tensor([0.7], requires_grad=True, name="w")
    with pytest.raises(tg.ArgumentError, match="max_edits is 1 or 2"):
        tg.diagnose((w * w).sum(), {"w": [1.0]}, max_edits=edits)


def test_keys_that_are_no_leaves_of_the_loss_are_refused_in_its_own_words():
    w, v = (tg.tensor([0.7, 0.2], requires_grad=True, name=name) for name in "wv")
    y = w * w
    with pytest.raises(tg.ArgumentError, match=r"v \(2,\) is not in this loss"):
        tg.diagnose(y.sum(), {v: np.ones(2)})
    with pytest.raises(tg.ArgumentError, match=r"is computed by mul; give gradients of leaves"):
        tg.diagnose(y.sum(), {y: np.ones(2)})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e160, 1e300])
def test_gradients_at_the_ends_of_the_range_warn_of_nothing(size):
    w = tg.tensor([0.7, 0.2, -0.4], requires_grad=True, name="w", dtype=tg.float64)
    loss = ((w * w).tanh() * size).sum()
    assert not tg.diagnose(loss, {"w": size * np.array([0.123456789, 1.1, 2.345678912])}, max_edits=1).found
    assert tg.diagnose(loss, {"w": tg.grad(loss, [w], retain_graph=True)[0]}).correct


def test_no_time_steps_are_said_of_a_graph_without_a_loop():
    a, b = (tg.tensor([0.7, 0.2, -0.4], requires_grad=True, name=name) for name in ("w1", "w2"))
    loss = a.tanh().sum() + b.sigmoid().sum()
    found = tg.diagnose(loss, {"w1": np.zeros(3), "w2": np.zeros(3)}, max_edits=1)
    assert found.found and not any("layer" in e.words or "step" in e.words for e in found.edits), str(found)


def test_layers_in_a_loop_may_have_a_first_row_a_gain_and_a_bias_each():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3, 2, 4))
    shapes = {"W": (4, 4), "U": (4, 4), "gain": (4,), "bias": (4,), "leak": (4,), "start": (4,)}
    p = {
        name + layer: tg.tensor(rng.normal(size=shape), requires_grad=True, name=name + layer)
        for layer in "12"
        for name, shape in shapes.items()
    }
    h = [np.zeros((2, 4)) + p["start" + layer] for layer in "12"]
    loss = 0.0
    for t in tg.steps(3):
        out = tg.tensor(x[t])
        for k, layer in enumerate("12"):
            a = out @ p["W" + layer] + h[k] @ p["U" + layer]
            rate = tg.sigmoid(p["leak" + layer])
            h[k] = (1 - rate) * h[k] + rate * tg.tanh(a * p["gain" + layer] + p["bias" + layer])
            out = out + h[k]
        loss = loss + out.square().sum()
    gradients = dict(zip(p, (g.numpy() for g in tg.grad(loss, list(p.values()))), strict=True))
    assert tg.diagnose(loss, gradients).correct
    doubled = tg.diagnose(loss, gradients | {"gain2": 2 * gradients["gain2"]}, max_edits=1)
    assert doubled.found and "gain2" in doubled.edits[0].words, str(doubled)
