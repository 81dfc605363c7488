"""Everything that a drawn value is made of is drawn too: masks, what was computed before the loop, several heads."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from geometry import boxes, circular, disorder, faults, lines

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.recurrence.repeats import find
from viz.graph.detail_levels import collapse

STEPS = (1, 2, 3)


def drawn(loss):
    """The picture at cell level, which has to be without fault, and how often each kind of box is in it."""
    dot = viz.render(loss).dot
    assert faults(dot) == [] and disorder(dot) == [] and circular(dot) == set()
    return dot, Counter(kind for *_, kind in boxes(dot).values() if "caption" not in kind)


def recurrent(entering):
    """A loop of two weights: ``entering(t)`` is what is added to the product of the state."""
    u, v, h, loss = tg.randn(2, 2).requires_grad_(), tg.randn(2, 3).requires_grad_(), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = tg.tanh(entering(t) + h @ u)
        loss = loss + F.cross_entropy(h @ v, [t])
    return loss


@pytest.mark.parametrize("ones", [True, False])
def test_a_mask_of_the_input_is_an_input(ones):
    tg.manual_seed(0)
    w, x, mask = tg.randn(2, 2).requires_grad_(), tg.randn(3, 1, 2), tg.ones(3, 1, 2) if ones else tg.randn(3, 1, 2)
    _, kinds = drawn(recurrent(lambda t: (x[t] * mask[t]) @ w))
    assert [kinds[f"x t{t}"] for t in STEPS] == [2, 2, 2]


def test_what_is_made_of_a_mask_belongs_to_the_cell():
    """Read anew for 1 - m, it is the same input."""
    tg.manual_seed(0)
    cell, x, mask, h = tg.nn.GRUCell(2, 2), tg.randn(3, 1, 2), tg.ones(3, 1, 1), tg.zeros(1, 2)
    for t in range(3):
        h = mask[t] * cell(x[t], h) + (1 - mask[t]) * h
    _, kinds = drawn(h.square().sum())
    assert [kinds[f"x t{t}"] for t in STEPS] == [2, 2, 2]


@pytest.mark.parametrize("layers", [1, 2])
def test_what_was_computed_before_the_loop_is_drawn_with_its_input(layers):
    tg.manual_seed(0)
    before = [tg.nn.Linear(2, 2) for _ in range(layers)]
    x = tg.randn(3, 1, 2)
    for layer in before:
        x = tg.tanh(layer(x))
    dot, kinds = drawn(recurrent(lambda t: x[t]))
    assert sum(n for kind, n in kinds.items() if kind.startswith("input")) == 1
    assert sum(n for kind, n in kinds.items() if kind.startswith("op ")) == layers + 1  # and the last tanh
    (given,) = [name for name, (*_, kind) in boxes(dot).items() if kind.startswith("input")]
    assert [tail for tail, _, _ in lines(dot)].count(given) == 1


def test_a_product_says_what_it_multiplies():
    """The note W is of the cells; another matrix has its name in the product's box."""
    tg.manual_seed(0)
    x, w_in = tg.randn(3, 1, 2), tg.tensor([[0.5, 0.1], [0.2, 0.3]], requires_grad=True, name="W_in")
    xs = x @ w_in
    dot, _ = drawn(recurrent(lambda t: xs[t]))
    assert 'label="xs = (·) · W_in"' in dot


def test_two_heads_are_two_boxes():
    tg.manual_seed(0)
    cell, value, advantage = tg.nn.LSTMCell(2, 2), tg.nn.Linear(2, 1), tg.nn.Linear(2, 3)
    x, state, loss = tg.randn(3, 1, 2), None, 0.0
    for t in range(3):
        state = cell(x[t], state)
        a = advantage(state[0])
        loss = loss + (value(state[0]) + a - a.mean(1, keepdims=True))[0, t].square()
    dot, _ = drawn(loss)
    assert len(re.findall(r'label="(?:a[₁₂₃] = )?W·h \+ b"', dot)) == 6


def test_noise_is_drawn():
    tg.manual_seed(0)
    mean, width, head, noise = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 3), tg.randn(1, 2)
    h = tg.nn.GRU(2, 2)(tg.randn(3, 1, 2))[1][0]
    _, kinds = drawn(head(mean(h) + width(h).exp() * noise).square().sum())
    assert sum(n for kind, n in kinds.items() if kind.startswith("input")) == 1


def test_a_decoder_that_begins_with_zeros_reads_an_input_at_every_step():
    """A pointer network: later inputs are elements of what the encoder has read; they are the decoder's own inputs."""
    tg.manual_seed(0)
    encoder, decoder, key, query, energy = (
        tg.nn.LSTMCell(2, 2),
        tg.nn.LSTMCell(2, 2),
        tg.nn.Linear(2, 2),
        tg.nn.Linear(2, 2),
        tg.nn.Linear(2, 1),
    )
    x, state, states, loss = tg.randn(3, 1, 2), None, [], 0.0
    for t in range(3):
        state = encoder(x[t], state)
        states.append(state[0])
    read, entered = key(tg.concat(states, 0)), tg.zeros(1, 2)
    for t in range(3):
        state = decoder(entered, state)
        loss = loss + F.cross_entropy(energy(tg.tanh(read + query(state[0]))).T, [2 - t])
        entered = x[2 - t]
    dot, kinds = drawn(loss)
    assert [kinds[f"x t{t}"] for t in STEPS] == [2, 2, 2]
    assert "class=feedback" not in dot


def test_what_is_judged_in_another_pass_is_read_from_the_data():
    """An autoencoder: no line leads from the encoder's second input to the target of the second step, which is it."""
    tg.manual_seed(0)
    encoder, decoder, out = tg.nn.RNNCell(2, 2), tg.randn(2, 2).requires_grad_(), tg.nn.Linear(2, 2)
    x, h, loss = tg.randn(3, 1, 2), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = encoder(x[t], h)
    for t in range(3):
        h = tg.tanh(h @ decoder)
        loss = loss + (out(h) - x[2 - t]).square().sum()
    dot, _ = drawn(loss)
    ends = [(tail, head) for tail, head, _ in lines(dot)]
    placed = {name: kind for name, (*_, kind) in boxes(dot).items()}
    assert not [head for tail, head in ends if placed[tail].startswith("x ") and placed[head].startswith("loss")]


def test_a_table_that_an_encoder_has_read_makes_no_first_step_of_the_decoder():
    """Teacher forcing: the embedding of the encoder's words is like that of one word, but apart from the loop."""
    tg.manual_seed(0)
    encoder, decoder, embed, out = tg.nn.GRU(2, 2), tg.nn.GRU(2, 2), tg.nn.Embedding(5, 2), tg.nn.Linear(2, 5)
    _, h = encoder(embed([1, 2, 3]).expand_dims(1))
    word, loss = [0], 0.0
    for t in range(4):
        y, h = decoder(embed(word).expand_dims(0), h)
        loss = loss + F.cross_entropy(out(y[0]), [t])
        word = [t]
    assert [loop.length for loop in find(tg.Graph(loss))] == [3, 4]
    dot, kinds = drawn(loss)
    assert [kinds[f"cell t{t}"] for t in (1, 2, 3, 4)] == [2, 2, 2, 1]
    assert "encoder  t = 3" in dot and "decoder  t = 4" in dot


def test_no_data_is_hidden_in_an_operation():
    """Whatever an operation outside the cells reads has a box, but for single numbers."""
    tg.manual_seed(0)
    x, scale = tg.randn(3, 1, 2), tg.randn(1, 2)
    level = collapse(tg.Graph(recurrent(lambda t: tg.relu(x * scale)[t])), "cell")
    hidden = [
        i
        for box in level.boxes
        for i in box.members
        if box.kind in ("op", "cell") and level.graph.nodes[i].op is None and len(box.members) > 1
    ]
    assert hidden == []


@pytest.mark.parametrize("both_ways", [True, False])
def test_a_decoder_that_begins_with_what_a_layer_makes_of_the_encoders_state_is_one(both_ways):
    tg.manual_seed(0)
    forth, back, decoder, out = tg.nn.RNNCell(2, 2), tg.nn.RNNCell(2, 2), tg.nn.RNNCell(2, 4), tg.nn.Linear(4, 3)
    bridge, x, h, b, loss = tg.nn.Linear(2, 4), tg.randn(3, 1, 2), tg.zeros(1, 2), tg.zeros(1, 2), 0.0
    for t in range(3):
        h = forth(x[t], h)
    for t in reversed(range(3)):
        b = back(x[t], b)
    state, y = tg.concat([h, b], 1) if both_ways else tg.tanh(bridge(h)), tg.randn(3, 1, 2)
    for t in range(3):
        state = decoder(y[t], state)
        loss = loss + F.cross_entropy(out(state), [t])
    dot, _ = drawn(loss)
    assert "encoder  t = 3" in dot and "decoder  t = 3" in dot


def test_a_comparison_says_what_it_compares_with():
    w, u = tg.randn(2, 2).requires_grad_(), tg.randn(2, 2).requires_grad_()
    x, h, lengths = tg.randn(3, 3, 2), tg.zeros(3, 2), tg.tensor([[3], [1], [2]])
    for t in range(3):
        h = tg.where(lengths > t, tg.tanh(x[t] @ w + h @ u), h)
    for detail in ("gate", "op"):
        dot = viz.render(h.square().sum(), detail=detail).dot
        assert all(f'label="(·) > {t}"' in dot for t in range(3))


def test_a_decoder_that_reads_from_the_last_to_the_first_comes_after_its_encoder_all_the_same():
    """It writes the sequence down in reverse; a cell that reads so and begins anew counts its steps from the end."""
    tg.manual_seed(0)
    encoder, decoder, out = tg.nn.RNNCell(2, 2), tg.nn.RNNCell(2, 2), tg.nn.Linear(2, 3)
    x, h, loss = tg.randn(4, 1, 2), tg.zeros(1, 2), 0.0
    for t in range(4):
        h = encoder(x[t], h)
    for t in range(3):
        h = decoder(x[3 - t], h)
        loss = loss + F.cross_entropy(out(h), [t])
    assert [loop.reverse for loop in find(tg.Graph(loss))] == [False, False]
    dot, _ = drawn(loss)
    placed = boxes(dot)
    handed = {head for tail, head, _ in lines(dot) if tail.endswith("s0_t4") and placed[tail][4].startswith("state")}
    assert [head.rsplit("_", 2)[1:] for head in handed] == [["s1", "t1"]] and "←" not in dot


@pytest.mark.parametrize("greedy", [False, True])
def test_what_a_loop_says_and_reads_again_comes_after_its_scores(greedy):
    """The softmax of the scores, or the word with the highest, is fed back: no cell reads a result of its own step."""
    tg.manual_seed(0)
    w, u, v = (tg.randn(*shape).requires_grad_() for shape in ((4, 3), (3, 3), (3, 4)))
    h, y, loss = tg.zeros(1, 3), tg.zeros(1, 4), 0.0
    for t in range(4):
        h = tg.tanh(y @ w + h @ u)
        scores = h @ v
        y = F.one_hot(scores.argmax(1), 4).float() if greedy else F.softmax(scores, -1)
        loss = loss + F.cross_entropy(scores, [t])
    dot = viz.render(loss).dot
    assert not circular(dot) and not list(faults(dot))
    tails = {head for _, head, _ in lines(dot)}
    assert all(name in tails for name, box in boxes(dot).items() if box[4].startswith("state") and "_t" in name)


def test_a_folded_picture_has_what_comes_from_a_second_stage_of_the_cell():
    """A context is made of the new state and read by the scores: from its own box there, too."""
    tg.manual_seed(0)
    u, w, a, v = (tg.randn(*shape).requires_grad_() for shape in ((3, 3), (3, 3), (3, 3), (6, 4)))
    x, memory = tg.randn(3, 1, 3), tg.randn(4, 3)
    h, context, loss = tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in range(3):
        h = tg.tanh(x[t] @ w + h @ u + context @ a)
        context = tg.softmax(h @ memory.T, -1) @ memory
        loss = loss + F.cross_entropy(tg.cat([h, context], 1) @ v, [t])
    dot = viz.render(loss, rolled=True).dot
    placed = {name: box for name, box in boxes(dot).items() if name.startswith("rolled_")}
    (scores,) = (name for name, box in placed.items() if box[4].startswith("logits"))
    tails = {tail for tail, head, _ in lines(dot) if head == scores}
    assert len(tails) == 2 and all(placed[tail][4].startswith("cell") for tail in tails)


@pytest.mark.parametrize("alone", [True, False])
def test_a_formula_has_the_letters_of_its_matrices_if_they_have_some(alone):
    """Beside another matrix in its cell those of an LSTM have their own names."""
    cell, key, x, state = tg.nn.LSTMCell(2, 2), tg.nn.Linear(2, 2), tg.randn(3, 1, 2), (tg.zeros(1, 2), tg.zeros(1, 2))
    for t in range(3):
        state = cell(x[t] if alone else x[t] * key(state[0]).sigmoid(), state)
    dot = viz.render(state[0].sum(), detail="gate").dot
    assert ("a₁ = W_xh x + W_hh h + b" in dot) is alone and ("a₁ = W x + W h + b" in dot) is not alone
    assert ("W_hh weight_hh" in dot) is alone
