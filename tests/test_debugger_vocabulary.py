"""One vocabulary in the debugger: formulas, sentences and boxes call everything by the same names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from debugger_networks import spelling

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.testing import Source, recipe_for
from viz.debugger.web.graph_picture import draw

#: What formulas call beside the network's names: e, sums over j, functions.
WORDS = {
    "e",
    "i",
    "j",
    "softmax",
    "sign",
    "einsum",
    "reshape",
    "log",
    "sin",
    "cos",
    "ties",
    "copies",
    "others",
    "the",
    "places",
}


@pytest.fixture(scope="module")
def hello() -> viz.debugger.Session:
    return viz.debug(spelling())


def formulas(name: str) -> list[str]:
    """The rules of a primitive's record, of operands with names of their own."""
    case = recipe_for(tg.TABLE[name])(Source(0))
    words = iter(["alpha", "beta", "gamma", "delta"])
    operands = [
        tg.tensor(x, name=next(words), requires_grad=np.asarray(x).dtype.kind == "f")
        if isinstance(x, np.ndarray)
        else x
        for x in case.operands
    ]
    with tg.scope("place"):
        result = tg.TABLE[name](*operands, **case.attrs)
    session = viz.debug(nn.labelled((result * 1.5).sum(), "loss"))
    at = next(p for p in range(1, session.last + 1) if session.where(p).op == name and p > 2)
    return [rule.formula for rule in session.rules(at)]


@pytest.mark.parametrize("name", [name for name, op in tg.TABLE.items() if any(op.rule)])
def test_every_rule_is_written_with_the_networks_names(name):
    found = formulas(name)
    assert found
    for formula in found:
        assert formula.startswith("∂L/∂"), formula
        assert not re.search(r"[\u0304\u0305]|bar|⟨|\\", formula), formula
        letters = set(re.findall(r"(?<![\w∂/])[A-Za-z](?!\w)", formula.replace("∂L", "")))
        assert letters <= WORDS, formula


def test_at_a_gate_the_rule_and_the_sentence_name_the_gate(hello):
    hello.goto(hello.turn_of(hello.names.find("f_3")))
    (rule,) = hello.rules()
    assert rule.formula == "∂L/∂a_f3 = ∂L/∂f_3 ⊙ f_3 ⊙ (1 − f_3)"
    assert "slope f_3 ⊙ (1 − f_3)" in hello.sentence() and hello.where().expression == "sigmoid(a_f3)"


def test_parameters_have_the_lectures_letters_and_answer_to_both_names(hello):
    names = hello.names
    for letter, own in (("W_xh", "weight_ih_l0"), ("W_hh", "weight_hh_l0"), ("W_hy", "weight"), ("b_hy", "bias")):
        assert names.find(letter) == names.find(own)
        assert names.both(names.find(own)) == f"{letter} ({own})"
    assert hello.ledger(names.find("W_hh")).name == "W_hh (weight_hh_l0)"
    assert "for W_hh" not in hello.sentence() and hello.shown(names.find("logits_2")) == "y_2"


def test_two_layers_keep_the_names_that_tell_them_apart():
    output, _ = nn.RNN(2, 2, num_layers=2)(tg.ones(2, 1, 2))
    assert "W_hh⁽²⁾ weight_hh_l1" in viz.render(output.sum(), detail="op").svg
    session = viz.debug(output.sum())
    shown = {session.shown(i) for i, node in enumerate(session.graph.nodes) if node.is_parameter}
    assert shown == {f"{letter}{layer}_{ends}" for letter in "Wb" for layer in (1, 2) for ends in ("xh", "hh")}
    assert session.names.find("W2_hh") == session.names.find("weight_hh_l1")
    assert session.names.find("h2_1") == session.names.find("l1.h_1")


def test_what_one_of_several_uses_sends_is_added(hello):
    for at in range(1, hello.last + 1):
        for rule, flow in zip(hello.rules(at), hello.flows(at)):
            assert (" += " in rule.formula) == (r"\mathrel{+}=" in rule.latex)
            assert (" += " in rule.formula) == (flow.expected > 1) or hello.where(at).op == "getitem"
    rules = hello.rules(hello.turn_of(hello.names.find("y_2")))
    assert rules[1].formula.startswith("∂L/∂W_hy += ∂L/∂y_2ᵀ ")


def test_boxes_bear_the_formulas_names(hello):
    svg = draw(hello.graph, "gate").svg
    assert ">W_hh<" in svg and ">W_xh<" in svg and "weight_hh" not in svg
    assert "= W_xh x + W_hh h + b" in svg


@pytest.mark.parametrize("cell, formulas", [
    ("LSTM", ["f₂ ⊙ c₁", "tanh(c₂)", "c₂ = f₂ ⊙ c₁ + i₂ ⊙ g₂", "h₂ = o₂ ⊙ tanh(c₂)"]),
    ("GRU", ["1 − z₂", "z₂ ⊙ h₁", "ah₂ = W_hh h + b", "h₂ = (1 − z₂) ⊙ n₂ + z₂ ⊙ h₁"]),
    ("RNN", ["a₂ = W_xh x + W_hh h + b", "h₂ = tanh"]),
])  # fmt: skip
def test_boxes_are_called_what_sentences_call_them(cell, formulas):
    session = viz.debug(spelling(steps=2, cell=cell))
    texts = re.findall("<text[^>]*>([^<]*)<", draw(session.graph, "gate").svg)
    for formula in formulas:
        assert texts.count(formula) == 1  # with its time step, so it is the only one
    assert not any("×" in text for text in texts)


def own_lstm(z: tg.Tensor, c: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    i, f, o, g = tg.sigmoid(z[:, :2]), tg.sigmoid(z[:, 2:4]), tg.sigmoid(z[:, 4:6]), tg.tanh(z[:, 6:])
    c = f * c + i * g
    return o * tg.tanh(c), c


def test_a_slice_is_called_by_its_gate_or_by_its_place():
    """What is cut out of one product for all gates; nobody has said which part is which."""
    tg.manual_seed(0)
    inner, h = nn.Linear(4, 8), tg.zeros(1, 2)
    c = h
    for x in tg.randn(3, 1, 2):
        h, c = own_lstm(inner(tg.cat([x, h], 1)), c)
    session = viz.debug((h.square() + c[:, 1:]).sum())
    shown = [session.shown(i) for i in range(len(session.graph))]
    assert {f"a_{gate}{t}" for gate in "ifog" for t in (1, 2, 3)} < set(shown)
    assert "(c_3[:, 1:])" in shown and not any("getitem" in name for name in shown)
    session.goto(session.turn_of(session.names.find("(c_3[:, 1:])")))
    (rule,) = session.rules()
    assert rule.formula == "∂L/∂c_3[:, 1:] += ∂L/∂(c_3[:, 1:])" and r"c_{3} [\text{:, 1:}]" in rule.latex
    assert ">c₃[:, 1:]<" in draw(session.graph, "op").svg


def test_no_two_inputs_of_gates_have_one_name():
    """Also where a loop within a time step calls one cell several times."""
    tg.manual_seed(0)
    word, sentence, s = nn.GRUCell(2, 2), nn.GRUCell(2, 2), tg.zeros(1, 2)
    for words in tg.randn(3, 2, 1, 2):
        h = tg.zeros(1, 2)
        for x in words:
            h = word(x, h)
        s = sentence(h, s)
    names = viz.debug(s.square().sum()).names
    inputs = [name for name in names.shown if "a_" in name and "constant" not in name]
    assert len(inputs) == 27 == len(set(inputs)) and all(names.find(name) for name in inputs)


def test_a_box_without_a_short_name_keeps_its_operation():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="a_rather_long_name_of_a_weight")
    texts = re.findall("<text[^>]*>([^<]*)<", draw(tg.Graph((x * x).sum()), "op").svg)
    assert "mul = ⊙" in texts  # as the sentence has it, and what it is


def test_what_is_shown_can_be_typed(hello):
    shown = [hello.shown(i) for i in range(len(hello.graph))]
    for index, name in enumerate(shown):
        if shown.count(name) == 1:
            assert hello.names.find(name) == index


def test_a_what_if_says_so_wherever_it_is_shown(tmp_path):
    session = viz.debug(spelling())
    assert "What if" not in repr(session) + session.html()
    session.what_if(session.names.find("c_3"), 0.0)
    said = "What if the gradient of c_3 were 0? This is not the walk that was recorded."
    session.save(tmp_path / "walk.trace")
    for each in (session, viz.debug(tmp_path / "walk.trace")):
        assert said in repr(each) and f'"whatIf":"{said}"' in each.html()


def test_two_cells_of_one_place_and_parameters_without_names_are_told_apart():
    tg.manual_seed(0)
    reader, writer, h, loss = nn.GRUCell(2, 3), nn.GRUCell(2, 3), tg.zeros(1, 3), 0.0
    w = tg.tensor(tg.randn(3, 3).numpy(), requires_grad=True)
    for x in tg.randn(3, 1, 2):
        h = reader(x, h)
    for x in tg.randn(3, 1, 2):
        h = writer(x, h)
        loss = loss + (h @ w).square().sum()
    names = viz.debug(loss).names
    assert {"z1_3", "z2_3", "W_hy"} <= set(names.shown)
    assert not any("constant" in names.shown[node.index] for node in names.graph.parameters)


def test_a_box_is_called_what_the_sentence_calls_it():
    w, h, loss = tg.tensor(np.ones((6, 3)), requires_grad=True), tg.ones(1, 3), 0.0
    for _ in range(3):
        h = tg.tanh(tg.concat([h, h * h], 1) @ w)
        loss = loss + h.sum()
    session = viz.debug(loss)
    texts = re.findall("<text[^>]*>([^<]*)</text>", draw(session.graph, "op").svg)
    assert "concat_3" in session.names.shown and any(text.startswith("concat₃ = ") for text in texts)


def test_states_without_a_role_are_called_what_the_picture_calls_them():
    w, u, k = (tg.tensor(0.1 * np.eye(3), requires_grad=True) for _ in range(3))
    x, h, memory = tg.ones(3, 1, 3), tg.zeros(1, 3), tg.zeros(4, 3)
    for t in tg.steps(3):
        h = tg.tanh(x[t] @ w + h @ u + (h @ memory.T).softmax(-1) @ memory)
        memory = memory * 0.5 + (h @ k).sigmoid()
    loss = (h @ memory.T).sum()
    names = viz.debug(loss).names
    drawn = viz.render(loss, detail="cell").svg
    for state in ("h_0", "h_1", "h_3", "h′_0", "h′_1", "h′_3"):
        assert names.find(state) >= 0
        assert state.translate(str.maketrans("0123", "₀₁₂₃")).replace("_", "") in drawn


@pytest.mark.parametrize("label", ["s", "state", "h"])
def test_a_first_state_is_called_as_the_later_ones(label):
    """It is 0 of them, whoever labelled it or not; what each step reads is x, whatever else has a label."""
    w, u = (tg.tensor(np.eye(2) / k, requires_grad=True) for k in (2, 3))
    x, first = tg.ones(3, 1, 2), tg.zeros(1, 2)
    for given in (first, nn.labelled(tg.zeros(1, 2), label)):
        s = given
        for t in tg.steps(3):
            s = nn.labelled((x[t] @ w + s @ u).tanh(), label)
        shown = viz.debug(s.sum()).names.shown
        assert {f"{label}_{t}" for t in range(4)} | {"x_1", "x_3"} <= set(shown)


def test_an_input_that_is_read_twice_in_a_step_is_one_input():
    w, u = (tg.tensor(np.eye(2) / k, requires_grad=True) for k in (2, 3))
    x, h = tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in tg.steps(3):
        h = (x[t] @ w).sigmoid() * h + (x[t] @ u).tanh()
    for detail in ("gate", "op"):
        svg = viz.render(h.sum(), detail=detail).svg
        assert "x₁" in svg and "x⁽" not in svg


def stack_without_labels(is_fed_back: bool, batch: int = 1) -> tg.Tensor:
    """The loss of one plain cell, or of two of which the lower reads the upper one of the step before."""
    tg.manual_seed(0)
    size = 6 if is_fed_back else 3
    lower, upper, head = nn.RNNCell(size, 3), nn.Linear(6, 3), nn.Linear(3, 3)
    w, u = lower.weight_ih, lower.weight_hh
    x, h, top, loss = tg.randn(4, batch, 3), tg.zeros(batch, 3), tg.zeros(batch, 3), 0.0
    for t in range(4):
        read = tg.concat([x[t], top], 1) if is_fed_back else x[t]
        h = tg.tanh(read @ w.T + h @ u.T)
        top = tg.tanh(upper(tg.concat([h, top], 1))) if is_fed_back else h
        loss = loss + nn.functional.cross_entropy(head(top), [t % 3] * batch)
    return loss


@pytest.mark.parametrize("is_fed_back", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_scores_and_losses_that_nobody_labelled_have_their_letters(is_fed_back, batch):
    session = viz.debug(stack_without_labels(is_fed_back, batch))
    for t in (1, 2, 3, 4):
        scores, loss = session.names.find(f"y_{t}"), session.names.find(f"L_{t}")
        assert session.shown(scores) == f"y_{t}" and session.shown(loss) == f"L_{t}"
        assert session.graph.nodes[scores].shape == (batch, 3) and session.graph.nodes[loss].shape == ()
        assert f"the score vector y_{t} " in session.sentence(session.turn_of(scores))
        assert f" L_{t} " in session.sentence(session.turn_of(loss))
    assert "y_4" in session.sentence(session.turn_of(session.names.find("cross_entropy_4")))
    texts = re.findall("<text[^>]*>([^<]*)<", draw(session.graph, "gate").svg)
    assert {"y₁", "y₄", "L₁", "L₄"} <= set(texts)


def test_the_page_calls_the_states_and_weights_of_two_cells_as_its_sentences_do():
    session = viz.debug(stack_without_labels(is_fed_back=True))
    shown = {session.shown(i) for i in range(len(session.graph))}
    assert {f"h{k}_{t}" for k in (1, 2) for t in range(5)} <= shown
    for detail in ("gate", "op"):
        texts = re.findall("<text[^>]*>([^<]*)<", draw(session.graph, detail).svg)
        assert {"h⁽¹⁾₀ = 0", "h⁽²⁾₀ = 0"} & set(texts)
        names = session.names
        weights = {names.drawn(names.shown[n.index]) for n in session.graph.nodes if n.is_parameter}
        assert weights <= {part for text in texts for part in text.split()}


def test_a_state_that_one_cell_alone_has_in_a_step_is_called_as_in_the_others():
    tg.manual_seed(0)
    slow, fast, head = nn.RNNCell(3, 3), nn.RNNCell(6, 3), nn.Linear(6, 3)
    x, h, g, loss = tg.randn(6, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in tg.steps(6):
        if t % 2 == 0:
            h = tg.tanh(x[t] @ slow.weight_ih.T + h @ slow.weight_hh.T)
        g = tg.tanh(tg.concat([x[t], h], 1) @ fast.weight_ih.T + g @ fast.weight_hh.T)
        loss = loss + nn.functional.cross_entropy(head(tg.concat([h, g], 1)), [t % 3])
    shown = viz.debug(loss).names.shown
    assert {f"h2_{t}" for t in range(1, 7)} | {"h1_1", "h1_3", "h1_5"} <= set(shown)


def test_each_cells_matrices_and_biases_have_its_number():
    session = viz.debug(two_layers())
    biases = {session.shown(n.index) for n in session.graph.nodes if n.is_parameter and len(n.shape) == 1}
    assert biases == {"b1_xh", "b2_xh", "b_hy"}


def two_layers() -> tg.Tensor:
    """The loss of two cells of two matrices and one bias each, of which the lower reads the upper one, too."""
    tg.manual_seed(0)
    lower, upper = (nn.Linear(6, 3), nn.Linear(3, 3, bias=False)), (nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    head, x, h, top, loss = nn.Linear(3, 3), tg.randn(3, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in range(3):
        h = tg.tanh(lower[0](tg.concat([x[t], top], 1)) + lower[1](h))
        top = tg.tanh(upper[0](h) + upper[1](top))
        loss = loss + nn.functional.cross_entropy(head(top), [t])
    return loss
