"""What was moved, chosen or joined in the forward pass, and not put back where it was taken from, is named."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg

R = np.random.default_rng(7)
T, N, D = 5, 3, 2
A, C = R.normal(size=(T, N, D)), R.normal(size=(T, N, D))
LENGTHS = np.array([5, 3, 4])
STEPS, ROWS = np.arange(T)[:, None], np.arange(N)
MASK = STEPS < LENGTHS
A[~MASK] += 2
TURNED = np.where(MASK, LENGTHS - 1 - STEPS, STEPS)


def leaf():
    return tg.tensor(A, requires_grad=True, name="a")


def named(loss, given, says):
    found = tg.diagnose(loss, {"a": given}, max_edits=1)
    assert any(says in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize(
    "places, says",
    [
        (STEPS, "stays where it is, and is not moved back, along axis 0"),
        (T - 1 - STEPS, "is turned round over the whole length, not within each row's own, along axis 0"),
        ((TURNED - 1) % T, "arrives one place before, the first at the last, along axis 0"),
    ],
)
def test_ragged_rows_that_are_not_turned_back(places, says):
    a = leaf()
    loss = (tg.tanh(a)[TURNED, ROWS] * C).sum()
    sent = np.zeros_like(A)
    np.add.at(sent, (places + 0 * TURNED, ROWS), C)
    wrong = sent * (1 - np.tanh(A) ** 2)
    named(loss, wrong, says)
    assert tg.diagnose(loss, {"a": tg.grad(loss, a)[0]}).correct


def test_a_shift_and_a_convolution_whose_gradients_go_in_the_same_direction():
    a = leaf()
    y = tg.tanh(a)
    loss = (y.roll(1, 0) * C).sum()
    named(
        loss, np.roll(C, 1, 0) * (1 - np.tanh(A) ** 2), "is rolled in the same direction as on the way there, not back"
    )
    a = leaf()
    padded = tg.nn.functional.pad(tg.tanh(a), (0, 0, 0, 0, 2, 0))
    loss = sum((k + 1.0) * (padded[2 - k : 2 - k + T] * C).sum() for k in range(3))
    sent = np.zeros_like(A)
    for k in range(3):
        sent[k:] += (k + 1.0) * C[: T - k]
    named(loss, sent * (1 - np.tanh(A) ** 2), "is shifted in the same direction as on the way there, seen from place 2")


@pytest.mark.parametrize("says", ["also what a mask leaves out, is largest", "is written over what was there"])
def test_a_maximum_over_padding_and_one_that_overwrites(says):
    a = leaf()
    y = tg.tanh(a)
    loss = (y.masked_fill(~MASK[:, :, None], -np.inf).amax(0) * C[0]).sum() + (y * C).sum()
    shown = np.tanh(A) if "largest" in says else np.where(MASK[:, :, None], np.tanh(A), -np.inf)
    at = shown.argmax(0), *np.ogrid[:N, :D]
    sent = C.copy()
    sent[at] = C[0] + (C[at] if "largest" in says else 0)
    named(loss, sent * (1 - np.tanh(A) ** 2), says)


def both_ways():
    p = {k: tg.tensor(R.normal(size=(D, D)), requires_grad=True, name=k) for k in ("Wf", "Uf", "Wb", "Ub")}
    out = []
    for k, order in (("f", range(T)), ("b", range(T - 1, -1, -1))):
        h = tg.zeros(N, D, dtype=np.float64)
        for t in order:
            h = tg.tanh(tg.tensor(A[t]) @ p["W" + k] + h @ p["U" + k])
        out.append(h)
    return (tg.cat(out, 1) * np.concatenate(C[:2], 1)).sum(), p


def test_directions_that_use_each_others_cache_or_names():
    loss, p = both_ways()
    right = {k: g.numpy() for k, g in zip(p, tg.grad(loss, list(p.values())), strict=True)}
    swapped = {k: right[k[0] + {"f": "b", "b": "f"}[k[1]]] for k in right}
    found = tg.diagnose(loss, swapped, max_edits=1)
    assert "The gradients of Wf and Uf and those of Wb and Ub are exchanged." in [edit.words for edit in found.edits]
    hs, xs = {"f": [np.zeros((N, D))], "b": [np.zeros((N, D))]}, {"f": A, "b": A[::-1]}
    for k in "fb":
        for t in range(T):
            hs[k].append(np.tanh(xs[k][t] @ p["W" + k].numpy() + hs[k][-1] @ p["U" + k].numpy()))
    dh, wrong = C[1], dict(right, Wb=np.zeros((D, D)), Ub=np.zeros((D, D)))
    for t in reversed(range(T)):  # backwards, over what the forward direction saved
        da = dh * (1 - hs["f"][t + 1] ** 2)
        wrong["Wb"], wrong["Ub"] = wrong["Wb"] + xs["f"][t].T @ da, wrong["Ub"] + hs["f"][t].T @ da
        dh = da @ p["Ub"].numpy().T
    found = tg.diagnose(loss, wrong, max_edits=1)
    assert re.search(r"Every rule of the cell of h.* uses what that of h.* saved\.", str(found)), str(found)
