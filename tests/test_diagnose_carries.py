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
