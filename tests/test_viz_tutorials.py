"""Pictures of programs as tutorials write them: nothing labelled, layers called step by step, states mixed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from geometry import boxes, circular, disorder, faults, lines

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrence.repeats import find
from viz import style
from viz.graph.box_text import Labels
from viz.graph.detail_levels import collapse
from viz.graph.placement import Places


def kinds(dot):
    """How often each kind of box is drawn, by kind and time step."""
    return Counter(kind for *_, kind in boxes(dot).values() if "caption" not in kind)


def is_in_order(loss):
    """The picture at cell level, which has to be without fault."""
    dot = viz.render(loss).dot
    assert faults(dot) == [] and disorder(dot) == [] and circular(dot) == set()
    return dot


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("layer", [tg.nn.GRU, tg.nn.LSTM])
def test_a_layer_that_is_called_with_one_step_at_a_time_is_one_recurrence(layer, said):
    """A decoder: each call would have it that its only step is the first; the last step leaves a state to nobody."""
    decoder, head, embed = layer(2, 2), tg.nn.Linear(2, 3), tg.nn.Embedding(3, 2)
    state, word, total = None, [0], 0.0
    for t in tg.steps(3) if said else range(3):
        out, state = decoder(embed(word).expand_dims(0), state)
        total = total + F.cross_entropy(head(out[0]), [t])
        word = [t]
    (loop,) = find(tg.Graph(total))
    assert (loop.length, len(loop.weights)) == (3, 4)
    drawn = kinds(is_in_order(total))
    assert {kind: drawn[f"{kind} t{t}"] for kind in ("x", "cell", "state", "logits", "loss") for t in (1, 2, 3)} == (
        dict.fromkeys(("x", "cell", "state", "logits", "loss"), 1)
    )


def test_what_a_decoder_does_before_its_first_step_belongs_to_that_step():
    """Attention to the encoder, from its own last state, at first from the encoder's."""
    encoder, decoder, energy = tg.nn.GRU(2, 2), tg.nn.GRU(2, 2), tg.nn.Linear(2, 1)
    memory, h = encoder(tg.ones(2, 1, 2))
    losses = []
    for _ in range(3):
        context = (energy(tg.tanh(memory + h[0])).softmax(0) * memory).sum(0)
        out, h = decoder(context.expand_dims(0), h)
        losses.append(out.square().sum())
    dot = is_in_order(losses[0] + losses[1] + losses[2])
    later = [kind for name, (*_, kind) in boxes(dot).items() if "_s1_" in name and "caption" not in kind]
    assert {kind: sum(k.split()[0] == kind for k in later) for kind in ("x", "cell", "state")} == {
        "x": 3,
        "cell": 3,
        "state": 3,
    }


class Writer(tg.nn.Module):
    """Reads a sequence, then goes on with what it has put out."""

    def __init__(self):
        self.reader, self.writer = tg.nn.GRU(2, 2), tg.nn.GRU(2, 2)

    def forward(self, x):
        return written(self.reader, self.writer, x)


def written(reader, writer, x):
    """What it is done with, whoever has the layers."""
    _, h = reader(x)
    out, total = x[:1], 0.0
    for _ in range(3):
        out, h = writer(out, h)
        total = total + out.square().sum()
    return total


@pytest.mark.parametrize("attributes", [True, False])
def test_passes_and_parameters_bear_the_programs_names_or_the_fields(attributes):
    """Two layers outside of any module have no name, but one begins where the other ends; losses are of their steps."""
    x = tg.ones(3, 1, 2)
    loss = Writer()(x) if attributes else written(tg.nn.GRU(2, 2), tg.nn.GRU(2, 2), x)
    dot = viz.render(loss, detail="gate").dot
    names = ("reader", "writer") if attributes else ("encoder", "decoder")
    for name in names:
        assert all(f'label="{name}  t = {t}"' in dot for t in range(1, 4))
        assert f"{name}.weight_hh_l0" in dot
    assert not re.search(r'label="?(l\d|cell)', dot)
    assert all(f"h⁽{k}⁾₂ = (1−z)⊙n + z⊙h" in dot for k in "¹²") and "₂ = +" not in dot
    assert kinds(dot)["loss t3"] == 1 and faults(dot) == []


@pytest.mark.parametrize("said", [True, False])
def test_a_state_that_is_mixed_after_the_cell_is_the_state_in_the_last_step_too(said):
    """There no cell is handed it, which would name it, and of the cell state nothing is left."""
    cell, gate, head = tg.nn.LSTMCell(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 3)
    x, h, c = tg.ones(3, 1, 2), tg.zeros(1, 2), tg.zeros(1, 2)
    for t in tg.steps(3) if said else range(3):
        k = gate(x[t]).sigmoid()
        new, memory = cell(x[t], (h, c))
        h, c = k * new + (1 - k) * h, k * memory + (1 - k) * c
    drawn = kinds(is_in_order(F.cross_entropy(head(h), [1])))
    assert {t: (drawn[f"cell t{t}"], drawn[f"state t{t}"]) for t in (1, 2, 3)} == dict.fromkeys((1, 2, 3), (1, 1))


def test_layers_that_read_both_ways_and_have_no_module_around_them_are_told_apart():
    below, above = tg.nn.RNN(4, 2, bidirectional=True), tg.nn.RNN(4, 2, bidirectional=True)
    x = tg.ones(2, 1, 4)
    y = x + below(x)[0]
    dot = is_in_order((y + above(y)[0]).square().sum())
    names = {name for name in boxes(dot) if boxes(dot)[name][4].startswith("cell")}
    assert Counter(name.split("_")[1] for name in names) == {"s0": 4, "s1": 4}
    for sign in ("h⁽¹⁾→₁", "h⁽²⁾→₁", "h⁽¹⁾←₁", "h⁽²⁾←₁"):
        assert sign in dot


def test_a_state_made_of_states_of_its_step_is_fed_by_them():
    """A memory that is read with weights: r = w M, all three carried."""
    tg.manual_seed(0)
    reads, writes = tg.nn.Linear(5, 3), tg.nn.Linear(5, 2)
    x, r, w, memory = tg.ones(2, 1, 3), tg.zeros(1, 2), tg.ones(1, 3) / 3, tg.ones(3, 2)
    for t in range(2):
        both = tg.concat([x[t], r], 1)
        w = (reads(both) + w).softmax(-1)
        memory = memory * (1 - w.T) + w.T @ writes(both)
        r = w @ memory
    is_in_order(r.square().sum())


def test_a_cell_that_feeds_another_stands_below_it_whichever_weights_came_first():
    """The last value that was measured is carried without any weight, and a cell reads it."""
    cell, x, mask = tg.nn.GRUCell(2, 2), tg.randn(3, 1, 2), (tg.randn(3, 1, 2) > 0).float()
    h, last = tg.zeros(1, 2), tg.zeros(1, 2)
    for t in range(3):
        last = mask[t] * x[t] + (1 - mask[t]) * last
        h = cell(last, h)
    dot = is_in_order(h.square().sum())
    heights = {round(box[1]) for box in boxes(dot).values()}
    assert max(heights) - min(heights) < 700


@pytest.mark.parametrize("output", [True, False])
def test_a_recurrence_whose_weights_were_used_for_all_steps_at_once_is_found(output):
    """Gates of the input alone (minGRU, QRNN): in the loop there is no weight, and the cell's box names none."""
    gate, candidate, head = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 3)
    x, h, states = tg.randn(3, 1, 2), tg.zeros(1, 2), []
    z, new = gate(x).sigmoid(), candidate(x)
    for t in range(3):
        h = (1 - z[t]) * h + z[t] * new[t]
        states.append(h)
    graph = tg.Graph(sum(head(h).square().sum() for h in states) if output else head(h).square().sum())
    (loop,) = find(graph)
    assert (loop.length, loop.weights, [row.op for row in loop.states]) == (3, (), ["add"])
    dot = is_in_order(graph)
    drawn = kinds(dot)
    assert {t: (drawn[f"cell t{t}"], drawn[f"state t{t}"]) for t in (1, 2, 3)} == dict.fromkeys((1, 2, 3), (1, 1))
    assert dot.count("label=f ") == 3 and "f_" not in dot


def test_parts_of_one_product_are_no_time_steps():
    """Gates cut out of one product, side by side, are not made of one another; a sum over elements is a total."""
    a = tg.nn.Linear(2, 6)(tg.ones(1, 2))
    assert find(tg.Graph(tg.concat([a[:, k : k + 2].sigmoid() for k in (0, 2, 4)]).square().sum())) == ()
    total = tg.zeros(1)
    for k in range(6):
        total = total + a[:, k]
    assert find(tg.Graph(total.sum())) == ()


def test_one_tensor_that_two_states_begin_with_has_both_names():
    cell, x = tg.nn.LSTMCell(2, 2), tg.ones(2, 1, 2)
    h = c = tg.zeros(1, 2)
    for t in range(2):
        h, c = cell(x[t], (h, c))
    loss = h.square().sum()
    assert '"h₀ = c₀ = 0"' in viz.render(loss).dot
    dot = viz.render(loss, detail="gate").dot
    assert "c₁ = f⊙c + i⊙g" in dot and "f⊙h" not in dot  # and each reader calls it by its own


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("detail", ["cell", "gate", "op"])
def test_zeros_that_a_cell_state_begins_with_lead_into_its_line(detail, shared):
    gates = tg.nn.Linear(4, 8)
    h = c = tg.zeros(1, 2)
    if not shared:
        c = tg.zeros(1, 2)
    for _ in range(3):
        i, f, o, g = gates(tg.concat([tg.ones(1, 2), h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    level = collapse(tg.Graph(h.square().sum()), detail)
    kinds = sorted(edge.kind for edge in level.edges if level.boxes[edge.source].before)
    assert len(kinds) == 1 if shared and detail == "cell" else kinds == ["c", "h"]
    drawn = viz.render(h.square().sum(), detail=detail).dot
    assert faults(drawn) == []


def test_scores_are_known_by_a_log_softmax_that_is_written_out():
    """As JAX has it: the largest subtracted first, from the scores of all steps at once or of the last alone."""
    cell, head, h, every = tg.nn.RNNCell(2, 3), tg.nn.Linear(3, 4), None, []
    for _ in tg.steps(3):
        h = cell(tg.ones(1, 2), h)
        every.append(head(h))
    for scores, expected in ((tg.stack(every), {"y₁", "y₂", "y₃"}), (every[-1], {"y₃"})):
        for shifted in (scores, scores - scores.amax(-1, keepdim=True)):
            likelihood = shifted - shifted.exp().sum(-1, keepdim=True).log()
            dot = viz.render((likelihood * tg.ones(4)).mean()).dot
            assert set(re.findall(r'label="?(y[₁-₉]?)\b', dot)) == expected


def test_what_an_importer_calls_h_begins_the_state_that_is_drawn_as_another():
    h, k = (nn.labelled(tg.zeros(1, 2), "h") for _ in range(2))
    w = tg.nn.Linear(2, 2)
    for _ in range(3):
        k = k * 0.5 + w(h)
        h = nn.labelled(k.tanh(), "h")
    dot = viz.render(h.sum() + k.sum(), detail="gate").dot
    assert '"h₀ = 0"' in dot and "h′₀ = 0" in dot


def test_one_number_of_a_state_is_a_result():
    """What a unit looks at: its gradient is asked for, not a loss's."""
    out, _ = tg.nn.GRU(2, 2, bidirectional=True)(tg.ones(3, 1, 2))
    drawn = kinds(is_in_order(out[1, 0, 3]))
    assert sum(drawn[kind] for kind in drawn if kind.split()[0] == "loss") == 1


def test_no_line_runs_through_the_number_of_steps_left_out():
    """Of four rows the middle one is the line of a weight."""
    below, above, x = tg.nn.RNN(2, 2), tg.nn.RNN(2, 2), tg.ones(8, 1, 2)
    ends = [above(below(k * x)[0])[0][-1] for k in (1, 2)]
    dot = is_in_order((ends[0] - ends[1]).square().sum())
    of_weights = [points for tail, _, points in lines(dot) if tail.startswith("w")]
    assert of_weights and all(np.ptp(points[:-9, 1]) < 40 for points in of_weights)


@pytest.mark.parametrize("cut", [True, False])
def test_a_loop_whose_scores_are_made_beside_the_state_begins_with_its_first_state(cut):
    """A name classifier: scores and state are made of the same; the last step makes scores only.

    Its letters are cut from one sequence, or each is a tensor of its own.
    """
    i2h, i2o = tg.nn.Linear(5, 2), tg.nn.Linear(5, 4)
    x, h = tg.one_hot([0, 2, 1], 3), tg.zeros(1, 2)
    for t in range(3):
        letter = x[t : t + 1]
        combined = tg.concat([letter if cut else tg.tensor(letter.numpy()), h], 1)
        h, scores = i2h(combined), i2o(combined)
    loss = -scores.log_softmax(1)[0, 1]
    (loop,) = find(tg.Graph(loss))
    assert (loop.length, [row.op for row in loop.states]) == (3, ["linear"])
    dot = is_in_order(loss)
    drawn = kinds(dot)
    assert [drawn[f"cell t{t}"] for t in (1, 2, 3)] == [1, 1, 1]
    assert [drawn[f"state t{t}"] for t in (1, 2, 3)] == [1, 1, 0]
    assert "h₀ = 0" in dot and "h₃ " not in dot and drawn["logits t3"] == 1


def test_a_memory_that_the_last_step_leaves_alone_in_a_plain_loop():
    """A stack that a network pushes to and pops from: of the last step only the state and the scores are there."""
    w, u, act, put, read, out = (
        tg.randn(*shape).requires_grad_() for shape in ((3, 2), (2, 2), (2, 2), (2, 1), (1, 2), (2, 3))
    )
    x, h, stack, loss = tg.one_hot([0, 1, 2, 0], 3), tg.zeros(1, 2), tg.zeros(3, 1), 0.0
    for t in range(4):
        h = (x[t : t + 1] @ w + h @ u + stack[:1] @ read).sigmoid()
        push, pop = (h @ act).softmax(1).split(1, 1)
        top = push * (h @ put).sigmoid() + pop * stack[1:2]
        stack = tg.concat([top, push * stack[:-1] + pop * tg.concat([stack[2:], tg.zeros(1, 1)])])
        loss = loss + F.cross_entropy(h @ out, [t % 3])
    (loop,) = find(tg.Graph(loss))
    assert (loop.length, [row.op for row in loop.states], len(loop.inputs)) == (4, ["concat", "sigmoid"], 2)
    drawn = kinds(is_in_order(loss))
    for kind in ("x", "logits", "loss"):
        assert [drawn[f"{kind} t{t}"] for t in (1, 2, 3, 4)] == [1, 1, 1, 1], kind


def test_a_filter_whose_last_update_nobody_asks_for_has_all_its_steps():
    """A Kalman filter: a mean and a covariance; the last step's products with one weight side by side are no loop."""
    a, c, q, r = (
        tg.tensor(v, requires_grad=True) for v in ([[1.0, 0.1], [0.0, 1.0]], [[1.0, 0.0]], np.eye(2), [[0.5]])
    )
    z, mean, cov, loss = tg.randn(4, 1, 1), tg.zeros(2, 1), tg.tensor(np.eye(2)), 0.0
    for t in range(4):
        mean, cov = a @ mean, a @ cov @ a.T + q
        error, spread = z[t] - c @ mean, c @ cov @ c.T + r
        gain = cov @ c.T / spread
        mean, cov = mean + gain @ error, cov - gain @ c @ cov
        loss = loss + (error * error / spread + spread.log()).sum()
    assert [(loop.length, len(loop.states)) for loop in find(tg.Graph(loss))] == [(4, 1), (4, 1)]
    drawn = kinds(is_in_order(loss))
    assert {t: (drawn[f"x t{t}"], drawn[f"cell t{t}"], drawn[f"loss t{t}"]) for t in (1, 2, 3, 4)} == (
        dict.fromkeys((1, 2, 3, 4), (1, 2, 1))
    )


@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_layer_that_reads_a_sequence_piece_by_piece_is_one_recurrence(layer, layers):
    net, head, x, state, loss = layer(2, 2, num_layers=layers), tg.nn.Linear(2, 3), tg.randn(6, 1, 2), None, 0.0
    for k in range(3):
        out, state = net(x[2 * k : 2 * k + 2], state)
        loss = loss + F.cross_entropy(head(out[:, 0]), [0, 1])
    assert [loop.length for loop in find(tg.Graph(loss))] == [6] * layers
    dot = is_in_order(loss)
    assert [kinds(dot)[f"cell t{t}"] for t in range(1, 7)] == [layers] * 6
    assert "pass" not in dot and "coder" not in dot


def test_pieces_that_begin_anew_or_are_read_backwards_are_several_passes():
    net, both = tg.nn.RNN(2, 2), tg.nn.RNN(2, 2, bidirectional=True)
    x = tg.ones(2, 1, 2)
    assert [loop.length for loop in find(tg.Graph(net(x)[1] + net(2 * x)[1]))] == [2, 2]
    assert max(loop.length for loop in find(tg.Graph(both(x, both(x)[1])[0]))) == 2


@pytest.mark.parametrize("join", [tg.concat, tg.stack])
def test_scores_that_are_joined_over_time_are_each_steps_scores(join):
    cell, w, b = tg.nn.RNNCell(2, 2), tg.randn(2, 3).requires_grad_(), tg.zeros(3).requires_grad_()
    x, h, scores = tg.randn(3, 1, 2), tg.zeros(1, 2), []
    for t in range(3):
        h = cell(x[t], h)
        scores.append(h @ w + b)
    loss = F.cross_entropy(join(scores).reshape(3, 3), [0, 1, 2])
    for detail in ("cell", "gate"):
        dot = viz.render(loss, detail=detail).dot
        assert kinds(dot)["logits t1"] == 1 and all(f"y{digit}" in dot for digit in "₁₂₃"), detail
        assert not re.search(r'label="?(concat|stack|\+)', dot)


@pytest.mark.parametrize(
    "how", [lambda y: y.softmax(-1).log(), lambda y: y.log_softmax(-1), lambda y: (y.exp() / y.exp().sum()).log()]
)
def test_what_probabilities_are_made_of_at_the_end_are_scores_and_attention_is_not(how):
    w, u, v = (tg.ones(2, 2).requires_grad_() for _ in range(3))
    x, h, loss = tg.ones(3, 1, 2), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u)
        loss = loss - how(h @ v)[0, 0]
    assert [kinds(viz.render(loss).dot)[f"logits t{t}"] for t in (1, 2, 3)] == [1, 1, 1]
    h = tg.zeros(1, 2)
    for t in range(3):
        h = tg.tanh((h @ v).softmax(-1) * x[t] @ w + h @ u)
    assert not any(kind.startswith("logits") for kind in kinds(viz.render(h.sum()).dot))


def test_a_state_that_a_layer_puts_out_directly_has_a_cell_with_weights():
    w, h, x = tg.nn.Linear(4, 2), tg.zeros(1, 2), tg.ones(3, 1, 2)
    for t in range(3):
        h = w(tg.concat([x[t], h], 1))
    dot = is_in_order(h.sum())
    assert dot.count('tooltip="f_W\\n') == 3


@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_a_window_of_one_input_is_called_by_what_it_reads(detail):
    """A convolution of one's own: x₁ and x₂ at the first step, x₂ and x₃ at the second."""
    now, before, u = (tg.randn(2, 2).requires_grad_() for _ in range(3))
    x, other, h, both = tg.randn(4, 1, 2), tg.randn(4, 1, 2), tg.zeros(1, 2), tg.zeros(1, 2)
    for t in range(3):
        h = tg.tanh(x[t + 1] @ now + x[t] @ before + h @ u)
        both = tg.tanh(x[t] @ now + other[t] @ before + both @ u)
    assert Counter(re.findall(r"x[₁₂₃₄]", viz.render(h.sum(), detail=detail).dot))["x₄"] == 2  # label and tooltip
    assert "x⁽¹⁾₁" in viz.render(both.sum(), detail=detail).dot


def test_weights_without_a_name_are_numbered_alike_in_pictures_equations_and_the_debugger():
    one, two, u = (tg.randn(2, 2).requires_grad_() for _ in range(3))
    x, z, h = tg.randn(3, 1, 2), tg.randn(3, 1, 2), tg.zeros(1, 2)
    for t in range(3):
        h = tg.tanh(x[t] @ one + z[t] @ two + h @ u)
    loss = h.sum()
    dot, equations = viz.render(loss, detail="gate").dot, str(viz.derive(loss))
    for name in ("W_xh1", "W_xh2", "W_hh"):
        assert f"label={name} " in dot and f"dL/d{name} " in equations and name in viz.debug(loss).names.shown
    assert "layer" not in dot


def test_a_decoder_that_attends_to_its_own_past_is_a_recurrence():
    """What it reads grows from step to step."""
    encoder, decoder, x, y, h = (
        tg.nn.GRUCell(2, 2),
        tg.nn.GRUCell(4, 2),
        tg.randn(3, 1, 2),
        tg.randn(3, 1, 2),
        tg.zeros(1, 2),
    )
    memory, loss = [], 0.0
    for t in range(3):
        h = encoder(x[t], h)
        memory.append(h)
    for t in range(3):
        past = tg.concat(memory)
        h = decoder(tg.concat([y[t], (h @ past.T).softmax(1) @ past], 1), h)
        memory.append(h)
        loss = loss + h.square().sum()
    assert [(loop.length, len(loop.weights)) for loop in find(tg.Graph(loss))] == [(3, 4), (3, 4)]
    drawn = kinds(is_in_order(loss))
    assert [drawn[f"loss t{t}"] for t in (1, 2, 3)] == [1, 1, 1]


def test_a_bar_over_two_passes_has_one_height():
    """In tiles that dot laid out by themselves it stood at two, and through what one of them has there."""
    encoder, decoder, x, y, h = (
        tg.nn.GRUCell(2, 2),
        tg.nn.RNNCell(2, 2),
        tg.ones(3, 1, 2),
        tg.ones(4, 1, 2),
        tg.zeros(1, 2),
    )
    states = []
    for t in tg.steps(3):
        h = encoder(x[t], h)
        states.append(h)
    for t in tg.steps(4):
        if t == 2:
            y = y * tg.stack(states).sum(0)
        h = decoder(y[t], h)
        states.append(h)
    graph = tg.Graph(h.sum())
    outside = [
        replace(n, scope=n.scope._replace(step=None)) if n.op and n.op.name in ("stack", "sum") else n
        for n in graph.nodes
    ]
    level = collapse(tg.Graph.of(outside, graph.outputs), "op")
    labels = Labels(level)
    places = Places(level, [style.box_size(box.kind, labels.lines(box), "op") for box in level.boxes], max_steps=6)
    places.place()
    heights = [{t.boxes[level.boxes[i].key].y for t in places.tiles.values()} for i in places.bars]
    assert len(heights) == 2 and all(len(own) == 1 for own in heights)
    rects = places.layout.rects
    for i in places.bars:
        for j in rects.keys() - {i}:
            assert abs(rects[i].x - rects[j].x) > (rects[i].w + rects[j].w) / 2 or abs(rects[i].y - rects[j].y) > 20


def test_states_and_inputs_have_one_name_at_gate_and_op_level():
    """A memory beside the state is h′, not a second h₀; of two inputs of a step neither is x₁; a state is not x."""
    w, u, put = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 2)
    x, z, h, memory, loss = tg.randn(3, 1, 2), tg.randn(3, 1, 2), tg.zeros(1, 2), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = tg.tanh(w(x[t]) + u(h) + z[t] * memory)
        memory = memory + put(h)
        loss = loss + h.square().sum()
    for detail in ("gate", "op"):
        dot = viz.render(loss, detail=detail).dot
        for name in ("h₀ = 0", "h′₀ = 0", "h₁ = tanh", "h′₁ = +", "x⁽¹⁾₁", "x⁽²⁾₁", "W·x + b", "W·h + b"):
            assert f'label="{name}' in dot, (detail, name)
        assert "h₁ = +" not in dot.replace("h′₁ = +", "")


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_debugger_counts_on_where_a_layer_is_called_again(pieces):
    """As the picture beside it does: piece by piece, and with one step at a time."""
    layer, x, state, loss = tg.nn.LSTM(2, 2), tg.randn(4, 1, 2), None, 0.0
    for k in range(0, 4, pieces):
        out, state = layer(x[k : k + pieces], state)
        loss = loss + out.square().sum()
    session = viz.debug(loss)
    assert {"h_1", "h_4", "a_i4", "f_4"} <= set(session.names.shown)
    assert max(node.scope.step or 0 for node in session.graph.nodes) == 3


def test_the_debugger_writes_a_transpose_as_one():
    w, u, x = tg.randn(2, 2).requires_grad_(), tg.randn(2, 2).requires_grad_(), tg.randn(1, 2)
    shown = viz.debug((x @ w.T @ u.T).sum()).names.shown
    assert any(name.count("ᵀ") == 2 for name in shown) and not any("permute" in name for name in shown)


@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM])
def test_a_layer_called_step_by_step_has_each_loss_at_its_step(layer):
    """Not at the next one: the first step lacks what hands a state on, the last one what would."""
    net, x, state, loss = layer(2, 2), tg.randn(4, 1, 2), None, 0.0
    for t in range(4):
        out, state = net(x[t : t + 1], state)
        loss = loss + out.square().sum()
    drawn = kinds(is_in_order(loss))
    assert {t: (drawn[f"x t{t}"], drawn[f"cell t{t}"], drawn[f"loss t{t}"]) for t in (1, 2, 3, 4)} == (
        dict.fromkeys((1, 2, 3, 4), (1, 1, 1))
    )


@pytest.mark.parametrize(
    "between", [lambda h: h.tanh(), lambda h: F.dropout(h, 0.5), lambda h: h.transpose(0, 1).relu().transpose(0, 1)]
)
def test_a_function_between_two_layers_reads_no_other_step(between):
    """Then the layers stand one above the other, as they do without it; what mixes steps parts them."""
    below, above, x = tg.nn.GRU(2, 2), tg.nn.GRU(2, 2), tg.ones(3, 1, 2)
    dot = is_in_order(above(between(below(x)[0]))[0].square().sum())
    assert [kinds(dot)[f"cell t{t}"] for t in (1, 2, 3)] == [2, 2, 2] and "coder" not in dot and "pass" not in dot
    mixed = viz.render(above(below(x)[0].softmax(0))[0].square().sum()).dot
    assert "pass 2  t = 1" in mixed or "decoder  t = 1" in mixed


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_first_states_that_are_computed_one_from_the_other_are_drawn_with_the_way_back(detail, rolled):
    """As in the decoder of a variational autoencoder, which begins with what is made of its code."""
    start, cell, x = tg.nn.Linear(2, 3), tg.nn.LSTMCell(2, 3), tg.ones(3, 1, 2)
    c = start(tg.ones(1, 2))
    h, loss = c.tanh(), 0.0
    for t in range(3):
        h, c = cell(x[t], (h, c))
        loss = loss + h.square().sum()
    dot = viz.render(loss, detail=detail, rolled=rolled, backward=not rolled, values=True).dot
    assert "h₀" in dot and (rolled or "∂L/∂h₁" in dot)


def test_a_loss_after_an_update_by_its_own_gradient_is_drawn_with_the_way_back():
    """As in meta-learning: some values of the first backward pass have no gradient of their own."""
    w, x = tg.randn(1, 2, requires_grad=True), tg.ones(2, 1)
    (step,) = tg.grad((w @ x).square().sum(), [w], create_graph=True)
    dot = viz.render(((w - 0.1 * step) @ x).square().sum(), detail="gate", backward=True, values=True).dot
    assert "∂L/∂update" in dot


def test_a_tagger_whose_tags_have_scores_of_their_own_is_drawn_with_the_way_back():
    """The first step's scores have a gradient that no earlier pass hands on."""
    layer, first, pairs = tg.nn.RNN(2, 3, batch_first=True), tg.randn(3, requires_grad=True), tg.randn(3, 3)
    scores, mask, tags = layer(tg.ones(2, 3, 2))[0], np.array([[1, 1, 1], [1, 1, 0]], bool), [0, 1]
    ways, tagged = first + scores[:, 0], first[tags] + scores[[0, 1], 0, tags]
    for t in (1, 2):
        new = (ways.unsqueeze(2) + pairs + scores[:, t].unsqueeze(1)).logsumexp(1)
        ways = tg.where(mask[:, t, None], new, ways)
    dot = viz.render((ways.logsumexp(1) - tagged).sum(), detail="gate", backward=True).dot
    assert "∂L/∂" in dot


class Memory(tg.nn.Module):
    """A cell and, beside it, a memory with a place to read at, which no module of their own carries on."""

    def __init__(self):
        super().__init__()
        self.cell, self.key, self.gate, self.put = tg.nn.LSTMCell(5, 4), *(tg.nn.Linear(4, n) for n in (3, 1, 3))

    def forward(self, x):
        memory, place, read, state, loss = tg.ones(2, 5, 3), tg.ones(2, 5) / 5, tg.zeros(2, 3), None, 0.0
        for t in range(3):
            h, _ = state = self.cell(tg.cat([x[t], read], 1), state)
            gate = self.gate(h).sigmoid()
            place = gate * (memory * self.key(h).unsqueeze(1)).sum(-1).softmax(-1) + (1 - gate) * place
            at = place.unsqueeze(-1)
            memory = memory * (1 - at) + at @ self.put(h).unsqueeze(1)
            read = (place.unsqueeze(1) @ memory).squeeze(1)
            loss = loss + read.square().sum()
        return loss


def test_recurrences_beside_a_cell_are_folded_with_it():
    assert "xₜ" in viz.render(Memory()(tg.ones(3, 2, 2)), rolled=True).dot
