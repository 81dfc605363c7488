"""An edit drawn at random, its gradients by a backward pass written by hand that shares nothing with the search."""

import re

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nightly import NIGHTLY

import tinygrad_rnn as tg

T, N, D, H = 4, 2, 2, 3
SHAPES = {"W": (D, H), "U": (H, H), "b": (H,), "k": (H,), "h0": (N, H), "x": (T, N, D)}
#: what is sent where, and what a sentence that names it says
PLACES = {
    "W": r"\bW\b",
    "U": r"\bU\b",
    "b": r"\bb\b",
    "k": r"\bk\b",
    "x": r"\bx(_t)?\b",
    "h by U": r"h receives from .*@ U|h receives from what|h @ U",
    "h by k": r"h receives from .*k|k .*h",
    "tanh": r"tanh|receives from (n|the tanh|tanh)|the add|…",
}


def problem():
    rng = np.random.default_rng(3)
    values = {name: rng.uniform(-1, 1, shape) for name, shape in SHAPES.items()}
    return values, rng.standard_normal((T, N, H))


def loss_of(values, up):
    p = {k: tg.tensor(v, requires_grad=True, name=k, dtype=tg.float64) for k, v in values.items()}
    h, loss = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(T):
        h = tg.nn.labelled(p["k"] * h + (p["x"][t] @ p["W"] + h @ p["U"] + p["b"]).tanh(), "h")
        loss = loss + (h * up[t]).sum()
    return loss


def by_hand(p, up, factor):
    """``factor(place, t)``: what is sent there at that step is multiplied with it."""
    hs, ns = [p["h0"]], []
    for t in range(T):
        ns.append(np.tanh(p["x"][t] @ p["W"] + hs[-1] @ p["U"] + p["b"]))
        hs.append(p["k"] * hs[-1] + ns[-1])
    d = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        dh = dh + up[t]
        ds = dh * (1 - ns[t] ** 2) * factor("tanh", t)
        d["W"] += p["x"][t].T @ ds * factor("W", t)
        d["U"] += hs[t].T @ ds * factor("U", t)
        d["b"] += ds.sum(0) * factor("b", t)
        d["k"] += (dh * hs[t]).sum(0) * factor("k", t)
        d["x"][t] = ds @ p["W"].T * factor("x", t)
        dh = ds @ p["U"].T * factor("h by U", t) + dh * p["k"] * factor("h by k", t)
    d["h0"] = dh
    return d


WHEN = {
    "every": lambda t, s: True,
    "one": lambda t, s: t == s,
    "all but one": lambda t, s: t != s,
    "the last ones": lambda t, s: t >= s,
}


@settings(max_examples=300 if NIGHTLY else 5, deadline=None)
@given(
    st.sampled_from(sorted(PLACES)),
    st.sampled_from([0.0, 0.5, 2.0, -1.0]) | st.floats(-3, 3).map(lambda f: round(f, 3)),
    st.sampled_from(sorted(WHEN)),
    st.integers(0, T - 1),
)
def test_a_share_that_is_multiplied_anywhere_is_named(place, by, when, step):
    values, up = problem()
    wrong = by_hand(values, up, lambda at, t: by if at == place and WHEN[when](t, step) else 1.0)
    right = by_hand(values, up, lambda at, t: 1.0)
    # what comes back to where it was sent from is a polynomial in the factor, which is tried with known factors only
    known = (0.0, 0.5, 2.0, -1.0) if when == "every" else (0.0,)
    assume(place not in ("tanh", "h by U", "h by k") or when == "one" or by in known)
    assume(any(np.linalg.norm(wrong[k] - right[k]) > 1e-6 for k in right))
    found = tg.diagnose(loss_of(values, up), wrong, max_edits=1)
    assert found.found, (place, by, when, step)
    for name, given_ in wrong.items():
        np.testing.assert_allclose(found.gradients[name], given_, rtol=1e-9, atol=1e-11)
    assert any(re.search(PLACES[place], edit.words) for edit in found.edits), str(found)
