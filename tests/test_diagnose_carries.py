"""Mistakes in what a loop carries back: any factor on it, and the slope of the loss's part on it, too."""

import numpy as np
import pytest

import tinygrad_rnn as tg

T, N, H = 3, 2, 3


def plain(first_is_a_leaf):
    """A plain network's loss, its leaves, and a backward pass with a factor on what is carried."""
    rng = np.random.default_rng(0)
    Wx, Wh = (tg.tensor(rng.normal(size=(H, H)), requires_grad=True, name=name) for name in ("Wx", "Wh"))
    h0 = tg.tensor(rng.normal(size=(N, H)), requires_grad=first_is_a_leaf, name="h0")
    xs, h, loss = rng.normal(size=(T, N, H)), h0, 0.0
    hs = [h0.numpy()]
    for x in xs:
        h = tg.tanh(x @ Wx + h @ Wh)
        loss = loss + h.square().sum()
        hs.append(h.numpy())

    def backward(factor):
        dWx, dWh, carried = np.zeros((H, H)), np.zeros((H, H)), np.zeros((N, H))
        for t in reversed(range(T)):
            da = (2 * hs[t + 1] + factor * carried) * (1 - hs[t + 1] ** 2)
            dWx, dWh, carried = dWx + xs[t].T @ da, dWh + hs[t].T @ da, da @ Wh.numpy().T
        return {"Wx": dWx, "Wh": dWh} | ({"h0": carried} if first_is_a_leaf else {})

    return loss, backward


@pytest.mark.parametrize(
    ("factor", "first_is_a_leaf", "words"),
    [
        (0.9, False, "At every step, what h receives from h @ Wh of the next step is multiplied by 0.9."),
        (1.7, False, "At every step, what h receives from h @ Wh of the next step is multiplied by 1.7."),
        (2.0, True, "At every step but the first, what h receives from h @ Wh of the next step is counted twice"),
        (-1.0, True, "At every step but the first, what h receives from h @ Wh of the next step is of the wrong sign"),
        (0.3, True, "At every step but the first, what h receives from h @ Wh of the next step is multiplied by 0.3."),
    ],
)
def test_any_factor_on_a_carry_is_read_off_the_numbers(factor, first_is_a_leaf, words):
    loss, backward = plain(first_is_a_leaf)
    assert tg.diagnose(loss, backward(1.0))
    assert str(tg.diagnose(loss, backward(factor), max_edits=1)).startswith(words)


def test_the_slope_of_what_is_sent_on_is_also_on_what_is_carried():
    rng = np.random.default_rng(1)
    W, xs = tg.tensor(rng.normal(size=(H, H)), requires_grad=True, name="W"), rng.normal(size=(T, N, H))
    c, loss, cs = tg.zeros(N, H, dtype=np.float64), 0.0, []
    for x in xs:
        c = 0.5 * c + x @ W
        cs.append(c.numpy())
        loss = loss + c.tanh().square().sum()
    dW, carried = np.zeros((H, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        y = np.tanh(cs[t])
        dc = (2 * y + carried) * (1 - y**2)  # (1 - y**2) belongs on the first summand only
        dW, carried = dW + xs[t].T @ dc, 0.5 * dc
    words = "is multiplied with the derivative at tanh(c), of that step"
    assert words in str(tg.diagnose(loss, {"W": dW}, max_edits=1))


def batch_of_four():
    """A plain classifier of three rows and its right gradients; a penalty of Whh stands in the loss."""
    rng, n, h_size = np.random.default_rng(3), 3, 4
    shapes = {"Wxh": (2, h_size), "Whh": (h_size, h_size), "bh": (h_size,), "Why": (h_size, 2)}
    p = {k: tg.tensor(rng.normal(0, 0.7, s), requires_grad=True, name=k) for k, s in shapes.items()}
    h, loss = tg.zeros(n, h_size, dtype=np.float64), 0.1 * (p["Whh"] ** 2).sum()
    for x in rng.normal(size=(T, n, 2)):
        h = tg.tanh(x @ p["Wxh"] + h @ p["Whh"] + p["bh"])
        loss = loss + tg.nn.functional.cross_entropy(h @ p["Why"], [0, 1, 1])
    return loss, dict(zip(p, (g.numpy() for g in tg.grad(loss, list(p.values()))), strict=True))


@pytest.mark.parametrize("leaf", ["Whh", "bh"])
def test_where_only_one_leaf_is_given_what_changes_it_alone_comes_first(leaf):
    loss, right = batch_of_four()
    first = tg.diagnose(loss, {leaf: 2 * right[leaf]}, max_edits=1).edits[0]
    assert leaf in first.words and "counted twice" in first.words


def test_the_batch_is_not_the_size_of_a_weight():
    loss, right = batch_of_four()
    found = str(tg.diagnose(loss, right | {"bh": 4 * right["bh"]}, max_edits=1))
    assert "multiplied by 4" in found and "4, the size of the batch" not in found


@pytest.mark.parametrize(
    "round_to", [lambda g: np.round(g, 4), lambda g: np.array([float(f"{v:.4g}") for v in g.flat])]
)
def test_a_right_leaf_of_few_digits_beside_others_in_full_is_right(round_to):
    loss, right = batch_of_four()
    few = round_to(right["Whh"]).reshape(right["Whh"].shape)
    assert tg.diagnose(loss, right | {"Whh": few})
    assert not tg.diagnose(loss, right | {"Whh": 1.01 * few}, max_edits=1)


def two_directions():
    """A network in both directions, whose list of states is read twice, and a backward pass for it."""
    rng, half = np.random.default_rng(5), 2
    shapes = {"Wf": (3, half), "Uf": (half, half), "Wb": (3, half), "Ub": (half, half), "v": (2 * half,)}
    p = {k: tg.tensor(rng.normal(size=s), requires_grad=True, name=k) for k, s in shapes.items()}
    xs = rng.normal(size=(T, N, 3))
    lists = {}
    for d, order in (("f", range(T)), ("b", reversed(range(T)))):
        h, lists[d] = tg.zeros(N, half, dtype=np.float64), [None] * T
        for t in order:
            h = lists[d][t] = tg.tanh(xs[t] @ p["W" + d] + h @ p["U" + d])
    both = [tg.cat([a, b], 1) for a, b in zip(lists["f"], lists["b"], strict=True)]
    weights = tg.stack([s @ p["v"] for s in both], 1).softmax(1)
    loss = sum(weights[:, t : t + 1] * both[t] for t in range(T)).square().sum()
    *dboth, dv = (g.numpy() for g in tg.grad(loss, [*both, p["v"]]))

    def backward(place):
        g = {"v": dv}
        for d, order in (("f", range(T)), ("b", reversed(range(T)))):
            order, U = list(order), p["U" + d].numpy()
            hs = [h.numpy() for h in lists[d]]
            g["W" + d], g["U" + d], carried = np.zeros((3, half)), np.zeros((half, half)), 0.0
            for k in reversed(range(T)):
                t = order[k]
                sent = dboth[t][:, :half] if d == "f" else dboth[place(t)][:, half:]
                da = (sent + carried) * (1 - hs[t] ** 2)
                g["W" + d] += xs[t].T @ da
                g["U" + d] += (hs[order[k - 1]] if k else np.zeros((N, half))).T @ da
                carried = da @ U.T
        return g

    return loss, backward


def test_what_a_list_of_all_steps_sends_is_turned_round_for_one_direction():
    loss, backward = two_directions()
    assert tg.diagnose(loss, backward(lambda t: t))
    found = str(tg.diagnose(loss, backward(lambda t: T - 1 - t), max_edits=1))
    assert "receives from outside of its recurrence arrives in reverse order" in found
