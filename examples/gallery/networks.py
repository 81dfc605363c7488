"""Networks that are in no catalogue, each written as a person would write it; every function returns a loss to draw."""

from __future__ import annotations

import random

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional as F

STEPS = 3


def weight(rows: int, columns: int, name: str) -> tg.Tensor:
    """A matrix of small random numbers, to be learned."""
    return tg.tensor(0.5 * tg.randn(rows, columns).numpy(), requires_grad=True, name=name)


class Own(tg.nn.Module):
    """The lecture's cell in two lines: ``h = tanh(W x + U h)``."""

    def __init__(self, inputs: int = 3, hidden: int = 3) -> None:
        self.W, self.U = tg.nn.Linear(inputs, hidden), tg.nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        return tg.tanh(self.W(x) + self.U(h))


def no_class() -> tg.Tensor:
    """Matrices and a loop; nothing says what is a cell, a state or a time step."""
    W, U, V = (weight(3, 3, name) for name in "WUV")
    x, h, loss = tg.randn(STEPS, 1, 3), tg.zeros(1, 3), 0.0
    for t in range(STEPS):
        h = tg.tanh(x[t] @ W + h @ U)
        loss = loss + F.cross_entropy(h @ V, [t % 3])
    return loss


def own_cell() -> tg.Tensor:
    """A cell that is a module, in a loop over `tg.steps`, with labels."""
    cell, head = Own(), tg.nn.Linear(3, 3)
    inputs, h, total = tg.one_hot([0, 1, 2], 3), tg.zeros(1, 3), 0.0
    for t in tg.steps(STEPS):
        h = cell(tg.nn.labelled(inputs[t : t + 1], "x"), h)
        y = tg.nn.labelled(head(h), "logits")
        total = total + tg.nn.labelled(F.cross_entropy(y, [t % 3]), "loss")
    return total


class LightGRU(tg.nn.Module):
    """A gated unit with one gate and no reset (Ravanelli et al. 2018)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        self.Wz, self.Uz = tg.nn.Linear(inputs, hidden), tg.nn.Linear(hidden, hidden, bias=False)
        self.Wh, self.Uh = tg.nn.Linear(inputs, hidden), tg.nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        z = tg.sigmoid(self.Wz(x) + self.Uz(h))
        candidate = tg.relu(self.Wh(x) + self.Uh(h))
        return z * h + (1 - z) * candidate


def light_gru() -> tg.Tensor:
    """A GRU's variant that reads a sequence and answers once."""
    cell, head = LightGRU(3, 3), tg.nn.Linear(3, 2)
    x, h = tg.randn(STEPS, 1, 3), tg.zeros(1, 3)
    for t in range(STEPS):
        h = cell(x[t], h)
    return F.cross_entropy(head(h), [1])


def attention() -> tg.Tensor:
    """An encoder, and a decoder that looks at all of its states at every step (Bahdanau et al. 2015)."""
    encoder, decoder, head = tg.nn.GRUCell(3, 3), tg.nn.GRUCell(6, 3), tg.nn.Linear(3, 4)
    query, key, energy = tg.nn.Linear(3, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 1)
    embed = tg.nn.Embedding(4, 3)
    x, s, states = tg.randn(STEPS, 1, 3), tg.zeros(1, 3), []
    for t in tg.steps(STEPS):
        s = encoder(x[t], s)
        states.append(s)
    memory, word, loss = tg.stack(states), [0], 0.0
    for t in tg.steps(STEPS):
        weights = energy(tg.tanh(key(memory) + query(s))).softmax(0)
        context = (weights * memory).sum(0)
        s = decoder(tg.concat([embed(word), context], 1), s)
        loss = loss + F.cross_entropy(head(s), [t % 4])
        word = [t % 4]
    return loss


class NormedLSTM(tg.nn.Module):
    """An LSTM whose sums are normalised (Ba et al. 2016)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        self.W, self.U = tg.nn.Linear(inputs, 4 * hidden), tg.nn.Linear(hidden, 4 * hidden, bias=False)
        self.normW, self.normU, self.normC = (tg.nn.LayerNorm(n * hidden) for n in (4, 4, 1))
        self.n = hidden

    def forward(self, x: tg.Tensor, state: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, tg.Tensor]:
        h, c = state
        a = self.normW(self.W(x)) + self.normU(self.U(h))
        i, f, g, o = (a[:, k * self.n : (k + 1) * self.n] for k in range(4))
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        return tg.sigmoid(o) * tg.tanh(self.normC(c)), c


def layer_norm_lstm() -> tg.Tensor:
    """Layer normalisation inside a cell with two states."""
    cell, head = NormedLSTM(3, 3), tg.nn.Linear(3, 3)
    x, state, loss = tg.randn(STEPS, 1, 3), (tg.zeros(1, 3), tg.zeros(1, 3)), 0.0
    for t in tg.steps(STEPS):
        state = cell(x[t], state)
        loss = loss + F.cross_entropy(head(state[0]), [t % 3])
    return loss


def skip_rnn() -> tg.Tensor:
    """A clockwork: the second state moves at every other step only, and the output reads both."""
    fast, slow, head = Own(6, 3), Own(3, 3), tg.nn.Linear(6, 3)
    x, h, s, loss = tg.randn(4, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in tg.steps(4):
        if t % 2 == 0:
            s = slow(x[t], s)
        h = fast(tg.concat([x[t], s], 1), h)
        loss = loss + F.cross_entropy(head(tg.concat([h, s], 1)), [t % 3])
    return loss


def skip_connections() -> tg.Tensor:
    """The state of two steps before comes in as well."""
    W, U, V, R = (weight(3, 3, name) for name in ("W", "U", "V", "R"))
    x, h, before, loss = tg.randn(4, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in range(4):
        h, before = tg.tanh(x[t] @ W + h @ U + before @ R), h
        loss = loss + F.cross_entropy(h @ V + x[t], [t % 3])
    return loss


def tied_weights() -> tg.Tensor:
    """The embedding is the output matrix too (Press and Wolf 2017)."""
    embed, cell = tg.nn.Embedding(4, 3), tg.nn.GRUCell(3, 3)
    h, loss = tg.zeros(1, 3), 0.0
    for t in tg.steps(STEPS):
        h = cell(embed([t]), h)
        loss = loss + F.cross_entropy(h @ embed.weight.T, [t + 1])
    return loss


def two_streams() -> tg.Tensor:
    """Two cells read two sequences; the head reads both."""
    video, audio, head = Own(3, 3), tg.nn.LSTMCell(2, 3), tg.nn.Linear(6, 2)
    a, b, h, state, loss = tg.randn(STEPS, 1, 3), tg.randn(STEPS, 1, 2), tg.zeros(1, 3), None, 0.0
    for t in tg.steps(STEPS):
        h = video(a[t], h)
        state = audio(b[t], state)
        loss = loss + F.cross_entropy(head(tg.concat([h, state[0]], 1)), [t % 2])
    return loss


def top_down() -> tg.Tensor:
    """The lower cell reads what the upper one was a step before, and a plain loop says nothing."""
    lower, upper, head = Own(6), Own(), tg.nn.Linear(3, 3)
    x, h1, h2, loss = tg.randn(STEPS, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in range(STEPS):
        h1 = lower(tg.concat([x[t], h2], 1), h1)
        h2 = upper(h1, h2)
        loss = loss + F.cross_entropy(head(h2), [t % 3])
    return loss


def clockwork() -> tg.Tensor:
    """Three modules of which each moves half as often as the one before, in a plain loop (Koutník et al. 2014)."""
    w, u = ([weight(3, 3, f"{letter}{k}") for k in range(3)] for letter in "WU")
    x, h, loss, head = tg.randn(5, 1, 3), [tg.zeros(1, 3) for _ in range(3)], 0.0, tg.nn.Linear(3, 3)
    for t in range(5):
        before = list(h)
        for k in range(3):
            if t % 2**k == 0:
                h[k] = tg.tanh(x[t] @ w[k] + sum(before[k + 1 :], before[k]) @ u[k])
        loss = loss + F.cross_entropy(head(sum(h[1:], h[0])), [t % 3])
    return loss


def two_losses() -> tuple[tg.Tensor, tg.Tensor]:
    """A generator writes a sequence, a discriminator judges it: two losses of one graph."""
    generator, judge, verdict = Own(3, 3), Own(3, 3), tg.nn.Linear(3, 1)
    z, h, s = tg.randn(1, 3), tg.zeros(1, 3), tg.zeros(1, 3)
    for _ in range(STEPS):
        h = generator(z, h)
        s = judge(h, s)
    score = verdict(s)
    return F.softplus(-score).mean(), F.softplus(score).mean()


class Stacked(tg.nn.Module):
    """A step that calls cells and a norm of its own."""

    def __init__(self) -> None:
        self.below, self.above, self.norm = Own(), Own(), tg.nn.LayerNorm(3)

    def forward(self, x: tg.Tensor, states: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, tg.Tensor]:
        a = self.below(x, states[0])
        return a, self.above(self.norm(a + x), states[1])


def nested() -> tg.Tensor:
    """Modules inside a module inside a step, with a residual connection."""
    model, head = Stacked(), tg.nn.Linear(3, 3)
    x, states, loss = tg.randn(STEPS, 1, 3), (tg.zeros(1, 3), tg.zeros(1, 3)), 0.0
    for t in tg.steps(STEPS):
        states = model(x[t], states)
        loss = loss + F.cross_entropy(head(states[1]), [t % 3])
    return loss


def bidirectional() -> tg.Tensor:
    """A cell of one's own, from both ends."""
    forth, back, head = Own(), Own(), tg.nn.Linear(6, 3)
    x, h, b, loss = tg.randn(STEPS, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    forward, backward = [], []
    for t in range(STEPS):
        h = forth(x[t], h)
        forward.append(h)
    for t in reversed(range(STEPS)):
        b = back(x[t], b)
        backward.append(b)
    for t in range(STEPS):
        loss = loss + F.cross_entropy(head(tg.concat([forward[t], backward[STEPS - 1 - t]], 1)), [t % 3])
    return loss


def hierarchical() -> tg.Tensor:
    """A cell for letters inside a cell for words: two clocks, one inside the other."""
    letters, words, head = Own(), Own(), tg.nn.Linear(3, 2)
    x, w = tg.randn(2, 3, 1, 3), tg.zeros(1, 3)
    for word in range(2):
        h = tg.zeros(1, 3)
        for letter in range(3):
            h = letters(x[word, letter], h)
        w = words(h, w)
    return F.cross_entropy(head(w), [1])


def memory() -> tg.Tensor:
    """A cell that reads from and writes into a matrix beside it (after Graves et al. 2014)."""
    cell, key, value, head = Own(6, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 3)
    x, h, M, loss = tg.randn(STEPS, 1, 3), tg.zeros(1, 3), tg.zeros(4, 3), 0.0
    for t in tg.steps(STEPS):
        address = (M @ key(h).T).softmax(0)
        read = address.T @ M
        h = cell(tg.concat([x[t], read], 1), h)
        M = M + address @ value(h)
        loss = loss + F.cross_entropy(head(h), [t % 3])
    return loss


def scheduled_sampling() -> tg.Tensor:
    """The next input is now and then what the network itself has said (Bengio et al. 2015)."""
    chance = random.Random(3)
    cell, head, embed = Own(), tg.nn.Linear(3, 4), tg.nn.Embedding(4, 3)
    h, word, loss = tg.zeros(1, 3), [0], 0.0
    for t in tg.steps(4):
        h = cell(embed(word), h)
        scores = tg.nn.labelled(head(h), "logits")
        loss = loss + F.cross_entropy(scores, [t])
        word = [t] if chance.random() < 0.5 else [int(scores.numpy().argmax())]
    return loss


def truncated() -> tg.Tensor:
    """Truncated backpropagation: every third step begins with a state that no gradient flows back through."""
    cell, head = tg.nn.LSTMCell(3, 3), tg.nn.Linear(3, 3)
    x, state, loss = tg.randn(6, 1, 3), (tg.zeros(1, 3), tg.zeros(1, 3)), 0.0
    for t in range(6):
        if t and t % 3 == 0:
            state = tuple(each.detach() for each in state)
        state = cell(x[t], state)
        loss = loss + F.cross_entropy(head(state[0]), [t % 3])
    return loss


def pointer() -> tg.Tensor:
    """A decoder whose scores point to an input of the encoder, which it reads next (Vinyals et al. 2015)."""
    encoder, decoder = tg.nn.LSTMCell(2, 3), tg.nn.LSTMCell(2, 3)
    key, query, energy = tg.nn.Linear(3, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 1)
    x, state, states, loss = tg.randn(STEPS, 1, 2), None, [], 0.0
    for t in range(STEPS):
        state = encoder(x[t], state)
        states.append(state[0])
    memory, chosen = key(tg.concat(states, 0)), tg.zeros(1, 2)
    for t in range(STEPS):
        state = decoder(chosen, state)
        loss = loss + F.cross_entropy(energy(tg.tanh(memory + query(state[0]))).T, [STEPS - 1 - t])
        chosen = x[STEPS - 1 - t]
    return loss


NETWORKS = {
    f.__name__.replace("_", "-"): f
    for f in (
        no_class, own_cell, light_gru, attention, layer_norm_lstm, skip_rnn, skip_connections, tied_weights,
        two_streams, top_down, clockwork, two_losses, nested, bidirectional, hierarchical, memory, scheduled_sampling,
        truncated, pointer,
    )
}  # fmt: skip
