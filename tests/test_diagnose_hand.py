"""Students' mistakes, in `handwritten`, are named; what a diagnosis says and shows."""

import re

import handwritten_eighth as eighth
import handwritten_fifth as fifth
import handwritten_fourth as fourth
import handwritten_loops as loops
import handwritten_more as more
import handwritten_ninth as ninth
import handwritten_seventh as seventh
import handwritten_sixth as sixth
import handwritten_tenth as tenth
import handwritten_third as third
import handwritten_varied as varied
import numpy as np
import pytest
from handwritten import MISTAKES, STYLES, Mistake, loss_of, right
from nightly import NIGHTLY, some

import tinygrad_rnn as tg

#: what the sentence has to say, by what the mistake is; one of them is not found, and `docs/diagnose.md` says why
NAMED = {
    "h gets nothing from the next step": "h receives from Whh @ h of the next step is missing",
    "tanh' without the square": "derivative of tanh is taken to be 1 − y",
    "Whh multiplied h of the step before": "what Whh receives from Whh @ h uses h of the step after",
    "Whh not transposed": "what h receives from Whh @ h of the next step uses Whh transposed",
    "bh overwritten": "At every step but the first, what bh receives from",
    "the target not subtracted from the softmax": "is the probabilities, the target is not subtracted",
    "Why multiplied h of this step": "what Why receives from Why @ h uses h of the step before",
    "tanh' of the state before": "at h the derivative of tanh uses h of the step before",
    "b averaged over the batch": "what b receives from",
    "time steps in forward order": "The time steps are visited in forward order",
    "1/T of the mean forgotten": "multiplied by 5, the number of time steps",
    "x multiplied with the wrong matrix": "what x_t receives from x_t @ Wx uses Wh where Wx belongs",
    "h dropped at one step": "At one step only (step 3 of 5), what h receives from h @ Wh of the next step is missing",
    "c gets nothing from the next step": "what c receives from f ⊙ c of the next step is missing",
    "tanh' of c forgotten": "at tanh(c) the derivative of tanh is taken to be 1: it is forgotten",
    "f multiplied the c before": "what f receives from f ⊙ c uses c of the step after",
    "o and g exchanged": "o and g are exchanged",
    "σ' for tanh' at g": "at g the derivative of tanh is taken to be σ'",
    "σ' of the value before σ": "at i the derivative of sigmoid is taken to be x(1 − x) of the value before it",
    "only the carried part of dc is handed on": "leaves out the part that came from tanh(c)",
    "forget gate missing on the way back": "what c receives from f ⊙ c of the next step lacks the factor f",
    "tanh' for σ' at i": "at i the derivative of sigmoid is taken to be tanh'",
    "h gets nothing through f": "what concat receives from Wf @ concat is missing",
    "1/m of the mean forgotten": "multiplied by 4",
    "f sees only the carried part of dc": "what f receives from f ⊙ c leaves out the part that came from tanh(c)",
    "z and 1 - z swapped": "what n receives from z ⊙ n has the factor 1 − z instead",
    "reset gate forgotten on the way to h": "what h receives from r ⊙ h of the next step lacks the factor r",
    "the direct path dropped": "what h receives from (1 − z) ⊙ h of the next step is missing",
    "sign of dz": "receives from z is of the wrong sign",
    "Uh multiplied r * h": "what Uh receives from (r ⊙ h) @ Uh uses h of the step before where r ⊙ h belongs",
    "the residual path forgotten": "what h receives from h of the next step is missing",
    "relu' forgotten": "the derivative of relu is taken to be 1: it is forgotten",
    "the other direction's buffer not cleared": "k was not set to zero before the loop: it starts from what the loop",
    "dropout mask forgotten": "lacks the factor",
    "the carry clipped": "what c receives from the step after it is clipped to ±0.1",
}
CLIPPED = Mistake("stacked", "dc_next = dc * f", "dc_next = np.clip(dc * f, -0.1, 0.1)", "the carry clipped")
ALL = [*(m for m in MISTAKES if m.meaning in NAMED), CLIPPED]
#: one a style in every run, all of them in the nightly one
SOME = some(ALL, 6, first=3)


def test_there_are_thirty_and_more_and_all_but_one_are_named():
    assert len(ALL) == 36 and len(MISTAKES) == 36


@pytest.mark.parametrize("mistake", SOME, ids=lambda m: m.meaning)
def test_a_students_mistake_is_named(mistake):
    found = tg.diagnose(loss_of(mistake.style), mistake.gradients(), max_edits=1)
    assert found.found and found.agreement < 1e-12
    assert any(NAMED[mistake.meaning] in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize("style", STYLES)
def test_the_right_backward_pass_is_right(style):
    assert tg.diagnose(loss_of(style), right(style)).correct


def dropped():
    mistake = next(m for m in MISTAKES if m.meaning == "h dropped at one step")
    return loss_of(mistake.style), mistake.gradients()


def test_it_is_said_with_the_term_of_the_equation():
    loss, wrong = dropped()
    assert "term 2 of ∂L/∂h₂ = ∂L/∂(h₂ Wy) Wyᵀ + ∂L/∂(h₂ Wh) Whᵀ." in str(tg.diagnose(loss, wrong, max_edits=1))


def test_two_walks_are_shown_where_they_part(tmp_path):
    w = tg.tensor([0.5, 0.3], requires_grad=True, name="w", dtype=tg.float64)
    y = (w * w).tanh()
    found = tg.diagnose(y.sum(), {"w": (1 - y.numpy()) * 2 * w.numpy()}, max_edits=1)
    sides = found.show(tmp_path / "both.html")
    true, edited = sides.sessions
    assert true.position == edited.position == sides.position
    steps = true.trace.steps[sides.position - 1], edited.trace.steps[sides.position - 1]
    assert steps[0].node == steps[1].node and np.array_equal(steps[0].gradient, steps[1].gradient)
    assert true.graph.nodes[steps[0].node].op.name == "tanh"
    (a,), (b,) = steps[0].contributions, steps[1].contributions
    np.testing.assert_allclose(b.value / a.value, 1 / (1 + y.numpy()))
    assert [side.rules(sides.position)[0].formula for side in sides.sessions] == [
        "∂L/∂(w ⊙ w) = ∂L/∂y ⊙ (1 − y²)",
        "∂L/∂(w ⊙ w) = ∂L/∂y ⊙ (1 − y)",
    ]
    assert [side.check(sides.position)[0].passed for side in sides.sessions] == [True, False]
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert f"the walks part at step {sides.position} of 4: in what y sends to (w ⊙ w)." in page
    assert page.count("<iframe") == 2 and "derivative of tanh" in page
    assert "<h2" not in page  # each half has its title itself


#: what the half with the mistake writes
RULES = [
    ("Whh multiplied h of the step before", "∂L/∂Whh += ∂L/∂(Whh h_5) h_6ᵀ"),
    ("Whh not transposed", "∂L/∂h_5 += Whh ∂L/∂(Whh h_5)"),
    ("o and g exchanged", "∂L/∂a_o6 = ∂L/∂g_6 ⊙ (1 − g_6²)"),
    ("z and 1 - z swapped", "∂L/∂n_5 = ∂L/∂(z_5 ⊙ n_5) ⊙ (1 − z_5)"),
    ("f sees only the carried part of dc", "∂L/∂a_f5 ≠ ∂L/∂f_5 ⊙ f_5 ⊙ (1 − f_5)"),
    ("h gets nothing from the next step", "∂L/∂h_5 += 0"),
]


@pytest.mark.parametrize("meaning, wrong", some(RULES, 2, first=1))
def test_the_half_with_the_mistake_writes_the_wrong_rule(meaning, wrong):
    mistake = next(m for m in MISTAKES if m.meaning == meaning)
    sides = tg.diagnose(loss_of(mistake.style), mistake.gradients(), max_edits=1).show()
    assert wrong in [rule.formula for k in (0, 1) for rule in sides.sessions[1].rules(sides.position + k)]


def test_a_gradient_written_down_wrongly_is_another_in_the_half_with_the_mistake():
    rng = np.random.default_rng(0)
    u, w = (tg.tensor(rng.normal(size=(3, 3)), requires_grad=True, name=name) for name in "UW")
    h = tg.zeros(1, 3, dtype=tg.float64)
    for x in rng.normal(size=(4, 1, 3)):
        h = tg.tanh(x @ w + h @ u)
    loss = (h * h).sum()
    du, dw = (g.numpy() for g in tg.grad(loss, [u, w], retain_graph=True))
    found = tg.diagnose(loss, {"U": du.T, "W": dw}, max_edits=1)
    sides = found.show()
    true, edited = (side.trace.steps[sides.position - 1] for side in sides.sessions)
    assert found.edits[0].words == "The gradient of U is transposed."
    assert true.node == edited.node and sides.sessions[0].graph.nodes[true.node].name == "U"
    np.testing.assert_allclose(edited.gradient, true.gradient.T)
    assert sides.where.endswith("in what is written down for U.")  # as the debuggers call it, too


def test_nothing_found_cannot_be_shown_and_is_placed():
    loss = loss_of("columns")
    wrong = right("columns")
    wrong["Whh"] = np.random.default_rng(0).normal(size=(5, 5))
    found = tg.diagnose(loss, wrong, max_edits=1)
    with pytest.raises(tg.ArgumentError):
        found.show()
    assert "by, Why, bh still right; the first that is wrong is Whh" in str(found)
    assert "pairs were not tried" in str(found) and "two of them" not in str(found)


def test_two_mistakes_where_one_changes_what_the_other_does():
    x = tg.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True, name="x", dtype=tg.float64)
    w = tg.tensor(np.linspace(0.2, 0.9, 9).reshape(3, 3), requires_grad=True, name="w", dtype=tg.float64)
    y = (x @ w).tanh()
    z = y.sigmoid()
    v, s = y.numpy(), z.numpy()
    da = 2 * s * (1 - s * s) * v * (1 - v)  # tanh' for σ', then σ' for tanh'
    found = tg.diagnose((z * z).sum(), {"x": da @ w.numpy().T, "w": x.numpy().T @ da})
    assert found.found and "And:" in found.edits[0].words


def test_a_failed_check_ends_with_the_mistake():
    class Half(tg.Function):
        @staticmethod
        def forward(ctx, x, h, w):
            z = (x @ w).sigmoid()
            ctx.save_for_backward(x, h, w, z)
            return (1 - z) * h + z * x

        @staticmethod
        def backward(ctx, g):
            x, h, w, z = ctx.saved_tensors
            dz = g * (x - h) * z * (1 - z)
            return dz @ w.T, g * (1 - z), x.T @ dz  # x is used directly, too

    rng = np.random.default_rng(0)
    x, h, w = (tg.tensor(rng.normal(size=(3, 3)), requires_grad=True, name=name) for name in "xhw")
    report = tg.check_gradients(Half.apply(x, h, w).sum(), raise_exception=False)
    assert "in the backward pass of Half" in report.diagnosis and "what x receives" in report.diagnosis
    assert report.diagnosis.splitlines()[0] in str(report)


def gru_by_hand(change):
    """A gate made of two operations, and what `change` makes of the gradient that h receives directly."""
    rng = np.random.default_rng(2)
    w = rng.normal(size=(3, 3))
    leaf = tg.tensor(w, requires_grad=True, name="W", dtype=tg.float64)
    h = h0 = tg.tensor(rng.normal(size=(2, 3)), requires_grad=True, name="h0")
    xs = rng.normal(size=(3, 2, 3))
    for t in tg.steps(3):
        x = tg.tensor(xs[t])
        z = tg.nn.labelled((x @ leaf).sigmoid(), "z")
        h = tg.nn.labelled((1 - z) * h + z * x, "h")
    loss = (h * h).sum()
    zs, hs = [], [h0.numpy()]
    for x in xs:
        zs.append(1 / (1 + np.exp(-x @ w)))
        hs.append((1 - zs[-1]) * hs[-1] + zs[-1] * x)
    dh, dw = 2 * hs[-1], np.zeros((3, 3))
    for x, z, before in list(zip(xs, zs, hs, strict=False))[::-1]:
        dw += x.T @ (dh * (x - before) * z * (1 - z))
        dh = dh * change(z)
    return loss, {"W": dw, "h0": dh}


def test_a_factor_that_is_a_formula_stands_in_brackets():
    loss, wrong = gru_by_hand(lambda z: z)
    words = tg.diagnose(loss, wrong, max_edits=1).edits[0].words
    assert "has the factor 1 − (1 − z) instead" in words, words
    assert tg.diagnose(*gru_by_hand(lambda z: 1 - z)).correct


#: what no edit of the walk is: a factor that is another at every step or element, and more than two mistakes
UNNAMED = [
    next(m for m in MISTAKES if m.meaning not in NAMED),
    Mistake("columns", "(1 - hs[t] * hs[t]) * dh", "(1 - hs[t] * hs[t]) * dh * 0.9**t", "it fades with time"),
    Mistake("columns", "Whh.T @ dhraw", "Whh.T @ dhraw * np.c_[:5]", "another factor for every element"),
    Mistake(
        "gru",
        "dh * (n - h)",
        "dh * (n - h) + 0.1 * np.random.default_rng(0).normal(size=h.shape)",
        "noise in the gradient",
    ),
]


@pytest.mark.parametrize("mistake", some(UNNAMED, 2, first=1), ids=lambda m: m.meaning)
def test_what_is_no_edit_is_not_found_and_is_placed(mistake):
    given, true = mistake.gradients(), right(mistake.style)
    wrong = {k for k, g in given.items() if np.linalg.norm(g - true[k]) > 1e-9 * np.linalg.norm(true[k])}
    found = tg.diagnose(loss_of(mistake.style), given, max_edits=2 if NIGHTLY else 1)
    assert not found.found and not found.correct and set(found.wrong) == wrong
    assert {name.split(" at ")[0] for name in found.right} >= set(given) - wrong
    said = str(found)
    assert said.startswith("The mistake was not found.") and f"None of {found.tried} single edits" in said
    first = re.search(r"the first that is wrong is (\w+)", said)
    assert first is not None and first[1] in wrong
    for name, g in found.gradients.items():  # what is shown beside it is the true one
        np.testing.assert_allclose(g, true[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("style, old, new, meaning, says", some(more.MISTAKES, 28, first=20))
def test_mistakes_in_six_more_styles_are_named(style, old, new, meaning, says):
    found = tg.diagnose(more.loss_of(style), more.gradients(style, old, new), max_edits=1)
    assert found.found == bool(says), meaning
    assert not says or any(says in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize("style", some(list(more.STYLES), 2))
def test_the_right_backward_pass_of_another_style_is_right(style):
    assert tg.diagnose(more.loss_of(style), more.gradients(style)).correct


def test_of_eighty_mistakes_most_are_named():
    assert len(more.MISTAKES) == 81 and sum(bool(says) for *_, says in more.MISTAKES) == 78


#: the two layers that read their own output take eight seconds each
QUICK = [m for m in third.MISTAKES if m[0] != "gru_free_running"]


@pytest.mark.parametrize(
    "written, mistake",
    [(third, m) for m in (third.MISTAKES if NIGHTLY else QUICK[5::40])]
    + [(loops, m) for m in some(loops.MISTAKES, 24, first=4)]
    + [(fourth, m) for m in some(fourth.MISTAKES, 24, first=7)]
    + [(fifth, m) for m in some(fifth.MISTAKES, 60, first=23)]
    + [(sixth, m) for m in some(sixth.MISTAKES, 48, first=3)]
    + [(seventh, m) for m in some(seventh.MISTAKES, 90, first=4)]
    + [(eighth, m) for m in some(eighth.MISTAKES, 80, first=3)]
    + [(ninth, m) for m in some(ninth.MISTAKES, 60, first=7)]
    + [(tenth, m) for m in some(tenth.MISTAKES, 70, first=3)]
    + [(varied, m) for m in some(varied.MISTAKES, 22, first=3)],
    ids=lambda x: x[3] if isinstance(x, tuple) else None,
)
def test_mistakes_of_loops_and_in_other_networks_are_named(written, mistake):
    style, old, new, meaning, says = mistake
    found = tg.diagnose(written.loss_of(style), written.gradients(style, old, new), max_edits=1)
    assert found.found == bool(says), meaning
    assert not says or any(says in edit.words for edit in found.edits), str(found)


@pytest.mark.parametrize(
    "written, style",
    some(
        [(w, s) for w in (third, loops, fourth, fifth, sixth, seventh, eighth, ninth, tenth, varied) for s in w.STYLES],
        4,
    ),
)
def test_the_right_backward_pass_of_these_is_right(written, style):
    assert tg.diagnose(written.loss_of(style), written.gradients(style)).correct


def test_how_many_of_these_are_named():
    written = {third: (109, 113), loops: (72, 73), fourth: (99, 100), fifth: (154, 158), sixth: (112, 112)}
    written |= {seventh: (103, 109), eighth: (125, 128), ninth: (115, 122), tenth: (104, 104), varied: (42, 44)}
    for each, counts in written.items():
        assert (sum(bool(says) for *_, says in each.MISTAKES), len(each.MISTAKES)) == counts
