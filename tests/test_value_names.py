"""A value has one name: pictures, the debugger and equations only spell it in their own ways."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from nightly import examples
from unlabelled_recurrences import Loop, Nested, loops, nested

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from viz.debugger.node_names import Names
from viz.equations.expression import Symbol
from viz.equations.formula_text import Text
from viz.graph.backward_picture import mirrored
from viz.graph.box_text import Labels
from viz.graph.detail_levels import DETAILS, collapse
from viz.graph.gradient_values import gradients


def in_pictures(graph: tg.Graph, detail: str) -> dict[int, str]:
    """By node the name that its box begins with, of boxes that have more than an operation in them."""
    level, found = collapse(graph, detail), dict[int, str]()
    labels = Labels(level)
    for box in level.boxes:
        if box.kind == "parameter":
            named = [title.split(" ")[0] for title in labels.title(box).split("\n")]  # its own name comes after it
            found |= dict(zip(box.members, named)) if detail != "cell" else {}
        elif labels.names.of(box):
            found[box.main] = labels.title(box).split(" = ")[0]
    return found


def law(graph: tg.Graph) -> None:
    names = Names(graph)
    for detail in DETAILS:
        for index, drawn in in_pictures(graph, detail).items():
            shown = re.sub(r":\d+$", "", names.shown[index])  # x_1:2, read once more
            assert names.drawn(shown) == drawn, (detail, index, shown)


def law_of_gradients(graph: tg.Graph) -> None:
    """A gradient's box in a backward picture says of what it is by the name that the debugger has for that."""
    loss = graph.tensors()[graph.outputs[0]]
    graph = tg.Graph(loss)
    level, names, forward = collapse(graph, "gate"), Names(graph), in_pictures(graph, "gate")
    labels = Labels(mirrored(level, gradients([loss], level)))
    for box in labels.level.boxes:
        if box.kind == "gradient" and box.key[1] != "W" and box.main in forward:
            shown = re.sub(r":\d+$", "", names.shown[box.main])
            assert labels.title(box) == f"∂L/∂{names.drawn(shown)}", box


def law_of_equations(graph: tg.Graph) -> None:
    names, named, called = Names(graph), in_pictures(graph, "gate"), dict[int, list[str]]()
    lines = [line for line in viz.derive(graph.tensors()[graph.outputs[0]]).lines if line.node in named]
    for line in sorted(lines, key=lambda line: line.left.gradient):
        shown, twins = re.subn(r":\d+$", "", names.shown[line.node].replace("′", "_prime"))
        if twins:  # several are called y: here y and y_b
            stem = re.sub(r"_[b-s]$", "", line.left.stem)
            assert Text()(replace(line.left, stem=stem, gradient=False)) == shown, (line.node, shown)
            continue
        if line.left.gradient:
            assert Text()(line.left) in [f"d{name}" for name in called.get(line.node, [shown])], (line.node, shown)
        else:
            both = [Text()(x) for x in (line.left, line.right) if isinstance(x, Symbol)]  # h2_0 = h1_4
            called.setdefault(line.node, []).extend(both)  # and what it stays: h2_1 = h2_0, h2_2 = h2_1
            assert shown in called[line.node], (line.node, shown)


@given(loops(wider=True))
@example(Loop(("gated",), 3, "both ways"))
@examples(10, 300)
def test_a_picture_of_a_random_network_and_the_debugger_have_one_name_for_a_value(loop):
    law(loop.graph()[0])


@given(loops(most_steps=3))
@examples(10, 300)
def test_a_picture_of_a_random_network_and_its_equations_have_one_name_for_a_value(loop):
    law_of_equations(loop.graph()[0])


@given(nested())
@example(Nested((3, 3), "gru", carried=True, every=False))
@example(Nested((3, 1, 2), "gru", "gru", carried=True, pooled=True, every=False))
@example(Nested((2, 3), every=False))
@example(Nested((3, 2), "lstm"))
@example(Nested((1,)))
@examples(10, 300)
def test_a_value_of_a_loop_in_a_loop_has_one_name_everywhere(program):
    graph = tg.Graph(program.loss())
    law(graph)
    law_of_gradients(graph)
    law_of_equations(graph)


@pytest.mark.parametrize("shape", ["decoder", "both ways", "attention"])
@pytest.mark.parametrize("cells", [("lstm",), ("memory", "rnn")])
def test_a_picture_of_a_loop_debugger_and_equations_have_one_name_for_a_value(shape, cells):
    graph, _ = Loop(cells, steps=2, shape=shape).graph()
    law(graph)
    law_of_gradients(graph)
    law_of_equations(graph)


def layers(kind: str = "LSTM", **settings) -> tg.Tensor:
    tg.manual_seed(0)
    output, _ = getattr(nn, kind)(2, 3, **settings)(tg.randn(3, 1, 2))
    return nn.functional.cross_entropy(nn.Linear(output.shape[-1], 2)(output[-1]), [1])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_picture_of_layers_debugger_and_equations_have_one_name_for_a_value(kind, num_layers, bidirectional):
    graph = tg.Graph(layers(kind, num_layers=num_layers, bidirectional=bidirectional))
    law(graph)
    law_of_gradients(graph)
    law_of_equations(graph)


def plain(step, steps: int = 3) -> tuple[str, ...]:
    """The network's equations of a plain loop in which ``step`` makes a state, and perhaps a loss."""
    tg.manual_seed(0)
    w, u, x, h, total = tg.randn(2, 2), tg.randn(2, 2), tg.randn(steps, 1, 2), tg.zeros(1, 2), 0.0
    for parameter in (w, u):
        parameter.requires_grad_()
    for t in range(steps):
        h, loss = step(t, x[t], h, w, u)
        total = total + loss
    found = viz.derive(total + h.square().sum())
    return tuple(line.text for line in found.recurrence if not line.left.gradient)


def test_a_number_that_counts_with_the_step_is_written_once():
    lines = plain(lambda t, x, h, w, u: (tg.tanh((x * (t + 2)) @ w + h @ u), 0.0))
    assert "x_t = (t+1) * given[t-1]" in lines and len(lines) == 3


def test_a_mask_that_compares_with_the_step_is_written_once():
    """Also where it is true of all sequences in the first steps, and beside numbers that are the same in all steps."""
    w, u = tg.randn(2, 3).requires_grad_(), tg.randn(3, 3).requires_grad_()
    x, h, lengths = tg.randn(4, 3, 2), tg.zeros(3, 3), tg.tensor([[4], [2], [3]])
    for t in range(4):
        h = tg.where(lengths > t, tg.tanh(x[t] @ w + h @ u), h)
    found = viz.derive(h.square().sum())
    assert any(r"> \left( t-1 \right)" in line.latex for line in found.recurrence)
    lines = {line.text: line.steps for line in found.recurrence}
    assert lines["h_t = where(lengths > (t-1), tanh_t, h_(t-1))"] == (1, 2, 3, 4)
    assert lines["dL/dh_t = dadd_(t+1) @ W_hh.T + where(lengths > t, 0, dh_(t+1))"] == (1, 2, 3)
    assert lines["dL/dadd_t = where(lengths > (t-1), dh_t, 0) * (1 - tanh_t**2)"] == (1, 2, 3, 4)


def test_what_a_squared_error_compares_with_is_a_target_everywhere():
    target = tg.randn(3, 1, 2)

    def step(t, x, h, w, u):
        h = tg.tanh(x @ w + h @ u)
        return h, (h @ u - target[t]).square().sum()

    assert "L_t = ((h_t @ W_hh - target[t-1])**2).sum()" in plain(step)


def test_losses_and_scores_after_a_loop_have_its_steps():
    w, u, v = (tg.randn(2, 2).requires_grad_() for _ in range(3))
    x, h, states = tg.randn(3, 1, 2), tg.zeros(1, 2), list[tg.Tensor]()
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u)
        states.append(h)
    loss = sum(nn.functional.cross_entropy(h @ v, [t % 2]) for t, h in enumerate(states))
    lines = [line.text for line in viz.derive(loss).recurrence]
    assert lines[2:5] == ["y_t = h_t @ W_hy", "L_t = cross_entropy(y_t, target_t).sum()", "L = sum(L_t for t=1..3)"]
    assert {f"{letter}_{t}" for letter in "yL" for t in (1, 2, 3)} <= set(viz.debug(loss).names.names)


def test_one_tensor_that_a_cell_begins_with_as_h_and_as_c_is_called_what_is_meant():
    tg.manual_seed(0)
    cell, start = nn.LSTMCell(2, 3), tg.zeros(1, 3, requires_grad=True)
    h, c = start, start
    for x in tg.randn(2, 1, 2):
        h, c = cell(x, (h, c))
    session = viz.debug(h.square().sum())
    walk = range(1, session.last + 1)
    formulas = [rule.formula for p in walk for rule in session.rules(p) if "_0" in rule.formula]
    assert {formula.split(" ")[0] for formula in formulas} >= {"∂L/∂h_0", "∂L/∂c_0"}
    assert "∂L/∂f_1 = ∂L/∂(f_1 ⊙ c_0) ⊙ c_0" in formulas
    assert any("the highway to the cell state c_0, times" in session.sentence(p) for p in walk)
    assert '"c_0"' in session.html()


def test_layers_that_begin_with_one_constant_are_each_written_once():
    a, b, c, d = (tg.randn(2, 2).requires_grad_() for _ in range(4))
    x, h = tg.randn(3, 1, 2), tg.zeros(1, 2)
    g = h
    for t in range(3):
        h = tg.tanh(x[t] @ a + h @ b)
        g = tg.tanh(h @ c + g @ d)
    lines = [line.text for line in viz.derive(g.sum()).recurrence if not line.left.gradient]
    assert lines[1:3] == ["h1_t = tanh(x_t @ W1_xh + h1_(t-1) @ W1_hh)", "h2_t = tanh(h1_t @ W2_xh + h2_(t-1) @ W2_hh)"]


def test_inputs_keep_their_numbers_where_one_of_two_sequences_has_ended():
    w1, u1, w2, u2 = (tg.randn(3, 3, requires_grad=True) for _ in range(4))
    x, z, h, g = tg.randn(2, 1, 3), tg.randn(4, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3)
    for t in range(2):
        h = tg.tanh(x[t] @ w1 + h @ u1)
    for t in range(4):
        g = tg.tanh(z[t] @ w2 + g @ u2)
    loss = (h + g).square().sum()
    dot = viz.render(loss, rolled=True).dot
    assert all(f"x⁽²⁾{t}" in dot for t in "₁₂₃₄") and "x⁽¹⁾₂" in dot and "x⁽¹⁾₃" not in dot
    starts = re.findall(r"(rolled_n\d+) -> rolled_n\d+ \[[^\]]*class=flow", dot)
    inputs = re.findall(r"(rolled_n\d+) \[[^\]]*label=[^\]]*x⁽", dot)
    assert len(inputs) == 2 and all(starts.count(each) == 1 for each in inputs)  # each cell reads its own


def test_a_dropout_mask_is_another_input_in_equations_too():
    tg.manual_seed(0)
    cell, drop, x, h = nn.RNNCell(2, 3), nn.Dropout(0.5), tg.randn(3, 1, 2), tg.zeros(1, 3)
    for t in range(3):
        h = drop(cell(x[t], h))
    lines = [line.text for line in viz.derive(h.sum()).recurrence if not line.left.gradient]
    assert lines[0] == "x1_t = given[t-1]" and "h_t = tanh_t * x2_t" in lines


def test_an_encoder_of_more_steps_than_its_decoder_is_written_once():
    """Elements of two sequences are called differently at all steps, not only at those that both have."""
    w, u, a, b = (tg.randn(2, 2).requires_grad_() for _ in range(4))
    x, z, h = tg.randn(4, 1, 2), tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in range(4):
        h = tg.tanh(x[t] @ w + h @ u)
    for t in range(3):
        h = tg.tanh(z[t] @ a + h @ b)
    lines = {line.text: line.steps for line in viz.derive(h.square().sum()).recurrence}
    assert lines["x_b_t = given[t-1]"] == lines["h1_t = tanh(x_b_t @ W1_xh + h1_(t-1) @ W1_hh)"] == (1, 2, 3, 4)
    assert lines["x_t = z[t-1]"] == (1, 2, 3)


def test_the_losses_of_a_long_loop_are_one_sum():
    w, u, h, loss = tg.randn(2, 3).requires_grad_(), tg.randn(3, 3).requires_grad_(), tg.zeros(1, 3), 0.0
    for t in range(40):
        h = tg.tanh(tg.randn(1, 2) @ w + h @ u)
        loss = loss + nn.functional.cross_entropy(h, [t % 3])
    assert "L = sum(L_t for t=1..40)" in [line.text for line in viz.derive(loss).recurrence]


def test_the_weights_of_a_cell_made_of_two_modules_are_called_as_in_pictures():
    class Gates(nn.Module):
        def __init__(self):
            super().__init__()
            self.z, self.r = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            return self.z(x).sigmoid(), self.r(x).sigmoid()

    gates, new, h, x = Gates(), nn.Linear(4, 2), tg.zeros(1, 2), tg.randn(3, 1, 2)
    for t in range(3):
        z, r = gates(tg.concat([x[t], h], 1))
        h = (1 - z) * h + z * new(tg.concat([x[t], r * h], 1)).tanh()
    graph = tg.Graph(loss := h.square().sum())
    drawn, names = in_pictures(graph, "gate"), Names(graph)
    called = {line.node: line.left.stem for line in viz.derive(loss).lines if line.left.gradient}
    for node in graph.parameters:
        assert called[node.index] == drawn[node.index]
    assert {called[node.index] for node in graph.parameters} >= {"z.weight", "r.weight", "z.bias", "r.bias"}
    assert {names.shown[node.index] for node in graph.parameters} >= {"z.weight", "r.weight"}


class Gated(nn.Module):
    """A cell of a user's own, whose gates are variables of its program."""

    def __init__(self):
        super().__init__()
        self.z, self.r, self.n = nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x, h):
        both = tg.concat([x, h], axis=1)
        z, r = self.z(both).sigmoid(), self.r(both).sigmoid()
        n = self.n(tg.concat([x, r * h], axis=1)).tanh()
        return (1 - z) * n + z * h


def gated(steps: int = 3) -> tg.Tensor:
    tg.manual_seed(0)
    cell, x, h = Gated(), tg.randn(steps, 1, 2), tg.zeros(1, 2)
    for t in range(steps):
        h = cell(x[t], h)
    return h.square().sum()


def test_a_result_is_called_as_the_program_calls_it():
    graph = tg.Graph(gated())
    law(graph)
    law_of_equations(graph)
    names = viz.debug(gated()).names
    assert {names.shown[names.find(f"{letter}_2")] for letter in "zrn"} == {"z_2", "r_2", "n_2"}
    assert [names.graph.nodes[names.find(f"{letter}_2")].op.name for letter in "zrn"] == ["sigmoid", "sigmoid", "tanh"]
    dot = viz.render(gated(), detail="gate").dot
    assert all(f'"{title}"' in dot for title in ("z₁ = σ", "n₃ = tanh", "both₂ = concat", "h₁ = (1−z)⊙n + z⊙h"))
    lines = [line.text for line in viz.derive(gated()).recurrence]
    assert "z_t = sigmoid(concat(x_t, h_(t-1)) @ z.weight.T + z.bias)" in lines
    assert any("z_t * (1 - z_t)" in line for line in lines)


def test_a_parameter_has_one_name_in_a_module_of_ones_own():
    loss = gated()
    names, derived = viz.debug(loss).names, {line.name for line in viz.derive(loss).lines}
    dot = viz.render(loss, detail="gate").dot
    for name in ("z.weight", "z.bias", "r.weight", "n.bias"):
        assert names.shown[names.find(name)] == name and f"d{name}" in derived and name in dot


def test_a_saved_walk_has_the_same_names(tmp_path):
    session = viz.debug(gated())
    session.save(tmp_path / "walk.trace")
    assert viz.debug(tmp_path / "walk.trace").names.shown == session.names.shown


def test_each_value_of_a_comprehension_has_its_variable():
    w, x, h = tg.randn(2, 6).requires_grad_(), tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in range(3):
        a = (x[t] + h) @ w
        i, f, g = (a[:, 2 * k : 2 * k + 2] for k in range(3))
        h = i.sigmoid() * g.tanh() + f.sigmoid() * h
    nodes = [node for node in tg.Graph(h.sum()).nodes if node.op is not None and node.op.name == "getitem"]
    assert [node.variable for node in nodes if len(node.shape) == 2 and node.attrs["index"][0] == slice(None)] == [
        *"ifg"
    ] * 3


def test_a_variable_that_means_something_else_in_the_network_names_nothing():
    """What is called h before it is the state is another value; the last of a step has the name."""
    w, x, h = tg.randn(2, 2).requires_grad_(), tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in range(3):
        a = x[t] + h
        a = a @ w
        h = a * 0.5
        h = h.tanh()
    graph = tg.Graph(h.sum())
    names = Names(graph)
    assert [graph.nodes[names.find(name)].op.name for name in ("h_2", "a_2")] == ["tanh", "matmul"]


def test_a_cell_has_letters_for_all_of_its_matrices_or_for_none():
    """Of the four matrices of a cell of one's own one reads the state alone; it is not *the* recurrent matrix."""

    class Candidate(Gated):
        def __init__(self):
            super().__init__()
            self.n, self.back = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)

        def forward(self, x, h):
            both = tg.concat([x, h], axis=1)
            z, r = self.z(both).sigmoid(), self.r(both).sigmoid()
            return (1 - z) * (self.n(x) + r * self.back(h)).tanh() + z * h

    cell, head, x, h, loss = Candidate(), nn.Linear(2, 3), tg.randn(3, 1, 2), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = cell(x[t], h)
        loss = loss + nn.functional.cross_entropy(head(h), [t])
    graph = tg.Graph(loss)
    shown = {Names(graph).shown[node.index] for node in graph.parameters}
    layers = {f"{layer}.{name}" for layer in "zrn" for name in ("weight", "bias")}
    assert shown == {*layers, "back.weight", "W_hy", "b_hy"}
    law(graph)
    law_of_equations(graph)


def test_layers_of_a_plain_program_are_called_by_its_variables():
    key, value, x, h = nn.Linear(2, 2), nn.Linear(2, 2), tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in range(3):
        h = (key(x[t]) * value(x[t]) + h).tanh()
    graph = tg.Graph(h.sum())
    names = Names(graph)
    assert [names.shown[node.index] for node in graph.parameters] == [
        "key.weight",
        "key.bias",
        "value.weight",
        "value.bias",
    ]
    law(graph)
    law_of_equations(graph)


def test_a_formula_tells_the_states_of_a_cell_apart():
    """Two states of one kind, of which each moves by the other: no h stands for both."""
    w, v, y, z, x = (
        tg.randn(2, 2).requires_grad_(),
        tg.randn(2, 2).requires_grad_(),
        *[tg.zeros(1, 2)] * 2,
        tg.randn(4, 1, 2),
    )
    for t in range(4):
        z = z + 0.1 * (tg.tanh(y @ w + z @ v + x[t]) - y)
        y = y + 0.1 * z
    titles = in_pictures(graph := tg.Graph(y.sum()), "gate")
    assert law(graph) is None and len(set(titles.values())) == len(titles)
    dot = viz.render(y.sum(), detail="gate").dot
    assert all(f'"h′{t} = h′ + 0.1⊙h"' in dot for t in "₁₂₃₄")
