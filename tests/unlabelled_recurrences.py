"""Random recurrent programs as a person would write them: own cells in a plain loop, nothing labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from hypothesis import strategies as st

from tinygrad_rnn.functional import concat, stack, take, zeros
from tinygrad_rnn.graph import Graph
from tinygrad_rnn.nn import GRUCell, RNNCell
from tinygrad_rnn.nn.functional import cross_entropy
from tinygrad_rnn.reverse_walk import grad
from tinygrad_rnn.tensors import Tensor, tensor

SIZE = 3


@dataclass
class Written:
    """The program that was written, to be found again: tensors by their serial numbers."""

    steps: int
    weights: set[int] = field(default_factory=set)
    states: set[tuple[int, ...]] = field(default_factory=set)
    initial: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Loop:
    """The settings of a program; its repr makes it again."""

    cells: tuple[str, ...] = ("rnn",)  #: from below, each fed by the one below it
    steps: int = 3
    #: or "both ways": the first cell reads it backward too; "decoder": a second pass; "attention"
    shape: str = "one pass"
    head: bool = True  #: scores and a loss at every step, else one number of the last state
    skip: bool = False  #: the head reads the input too
    summed: bool = True  #: the losses are summed up in the loop, else after it
    listed: bool = False  #: the inputs are a list of tensors, else rows of one
    dense: bool = False  #: every cell reads what all below it have put out
    tied: bool = False  #: the head's matrix is the first cell's
    feedback: str = ""  #: "top down": a cell reads the one above it, of the step before; "mutual": all read all others
    judged: str = "scores"  #: by a cross-entropy; or "distance": a mean square; "slope": with a gradient in the loss

    def graph(self) -> tuple[Graph, list[Written]]:
        """The graph, and the recurrences in it."""
        loss, written = _Writing(self).run()
        return Graph(loss), written

    def loss(self) -> Tensor:
        """The loss of a program that was just run."""
        return _Writing(self).run()[0]


def loops(*, most_steps: int = 6, least_steps: int = 2, wider: bool = False) -> st.SearchStrategy[Loop]:
    """Random `Loop`s; ``wider`` ones also with dense connections, whose last step may differ, tied weights, cells
    with a memory and such as feed each other back, other losses."""
    either = st.booleans() if wider else st.just(False)
    feedback = st.sampled_from(["", "top down", "mutual"]) if wider else st.just("")
    judged = st.sampled_from(["scores", "scores", "distance", "slope"]) if wider else st.just("scores")
    cells = sorted(_CELLS.keys() - ({} if wider else {"memory"}))
    return st.builds(
        Loop,
        st.lists(st.sampled_from(cells), min_size=1, max_size=3).map(tuple),
        st.integers(least_steps, most_steps),
        st.sampled_from(["one pass", "both ways", "decoder", "attention"]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        either,
        either,
        feedback,
        judged,
    )


@dataclass(frozen=True)
class Uneven:
    """The settings of a program whose steps are not all the same; its repr makes it again."""

    kind: str  #: one of `UNEVEN`
    cell: str = "rnn"
    moves: tuple[bool, ...] = (True, False, True, True)  #: by step whether it is of the first of two kinds

    def loss(self) -> Tensor:
        """The loss of a program that was just run."""
        return UNEVEN[self.kind](self, _Writing(Loop((self.cell,), len(self.moves))))


def uneven(*, most_steps: int = 7) -> st.SearchStrategy[Uneven]:
    """Random `Uneven`s."""
    moves = st.lists(st.booleans(), min_size=3, max_size=most_steps).map(tuple)
    return st.builds(Uneven, st.sampled_from(sorted(UNEVEN)), st.sampled_from(["rnn", "gated", "gru", "lstm"]), moves)


@dataclass(frozen=True)
class Nested:
    """The settings of a loop in a loop, such as over the letters of words; its repr makes it again."""

    lengths: tuple[int, ...] = (3, 3, 3)  #: repetitions of the inner loop in each of the outer
    inner: str = "rnn"
    outer: str = "rnn"
    carried: bool = False  #: the inner cell goes on from its last state, else from zeros
    pooled: bool = False  #: the outer cell reads the mean of the inner states, else the last
    every: bool = True  #: a loss for every word, else one of the last state

    def loss(self) -> Tensor:
        """The loss of a program that was just run."""
        writing = _Writing(Loop((self.inner,)))
        inner, outer, head = writing.cell(self.inner), writing.cell(self.outer), writing.matrix()
        x, read, losses = _data(sum(self.lengths)), count(), list[Tensor]()
        begin = inner.state
        for t, length in enumerate(self.lengths):
            inner.state = inner.state if self.carried else begin
            letters = [inner(x[next(read)]) for _ in range(length)]
            h = outer(stack(letters).mean(0) if self.pooled else letters[-1])
            losses.append(_judge(h @ head, t))
        return sum(losses[1:], losses[0]) if self.every else losses[-1]


def nested(*, most_words: int = 3, most_letters: int = 3) -> st.SearchStrategy[Nested]:
    """Random `Nested`s."""
    cells = st.sampled_from(["rnn", "gated", "gru", "lstm"])
    lengths = st.lists(st.integers(1, most_letters), min_size=1, max_size=most_words).map(tuple)
    return st.builds(Nested, lengths, cells, cells, st.booleans(), st.booleans(), st.booleans())


class _Writing:
    def __init__(self, loop: Loop) -> None:
        self.loop, self.seeds = loop, count()
        self.found: list[Written] = []

    def matrix(self, rows: int = SIZE, columns: int = SIZE) -> Tensor:
        """A new weight."""
        values = np.random.default_rng(next(self.seeds)).normal(size=(rows, columns))
        return tensor(0.5 * values, requires_grad=True)

    def cell(self, kind: str) -> _Cell:
        """A new cell, written down as one to be found."""
        written = Written(self.loop.steps)
        self.found.append(written)
        return _Cell(_CELLS[kind], self.matrix, written)

    def run(self) -> tuple[Tensor, list[Written]]:
        """Everything, in the order a program does it."""
        loop = self.loop
        if loop.listed:
            values = np.random.default_rng(0).normal(size=(loop.steps, 1, SIZE))
            xs = [tensor(value) for value in values]
        else:
            x = tensor(np.random.default_rng(0).normal(size=(loop.steps, 1, SIZE)))
            xs = [x[t] for t in range(loop.steps)] if loop.shape == "both ways" else []
        read = (lambda t: xs[t]) if xs else (lambda t: x[t])
        below = [self.cell(kind) for kind in loop.cells]
        self.first = below[0]
        if loop.shape in ("decoder", "attention"):
            memory = [self.step(below, read(t)) for t in range(loop.steps)]
            above = self.cell("rnn")
            h = memory[-1]
            above.state = [h]
            above.written.initial = {h.serial}
            if loop.shape == "attention":
                keys = stack(memory)
                project = self.matrix()
                above.written.weights.add(project.serial)
            else:
                start = tensor(np.ones((1, SIZE)))
            outputs = []
            for _ in range(loop.steps):
                if loop.shape == "attention":
                    weights = (keys @ project * above.state[0]).sum(-1, keepdim=True).softmax(0)
                    outputs.append(above((weights * keys).sum(0)))
                else:
                    outputs.append(above(start))
            return self.finish(iter(outputs), read)
        if loop.shape == "both ways":
            first, back = below[0], self.cell(loop.cells[0])
            self.found[1:] = [self.found[-1], *self.found[1:-1]]
            forth = [first(read(t)) for t in range(loop.steps)]
            turned = [back(read(t)) for t in reversed(range(loop.steps))][::-1]
            mix = self.matrix(2 * SIZE, SIZE)
            both = (concat([a, b], 1) @ mix for a, b in zip(forth, turned, strict=True))
            if len(below) > 1:
                several = loop.feedback == "mutual" and len(below) > 2
                if not loop.dense and not several:  # else what it mixes goes past the cell as well
                    below[1].written.weights.add(mix.serial)
                return self.finish((self.step(below[1:], value) for value in both), read)
            return self.finish(both, read)
        return self.finish((self.step(below, read(t)) for t in range(loop.steps)), read)

    def step(self, cells: list[_Cell], x: Tensor) -> Tensor:
        """One time step of cells on top of each other."""
        before, mutual = [cell.state[0] for cell in cells], self.loop.feedback == "mutual"
        above, outputs = before[1:] if self.loop.feedback == "top down" else [], list[Tensor]()
        for k, cell in enumerate(cells):
            others = before[:k] + before[k + 1 :] if mutual else above[k : k + 1]
            outputs.append(cell(cell.mixed(x, others)))
            if not mutual:
                x = x + outputs[-1] if self.loop.dense else outputs[-1]
        if not mutual:
            return x
        return sum(outputs[1:], x + outputs[0] if self.loop.dense else outputs[0])

    def finish(self, outputs: Iterator[Tensor], read: Callable[[int], Tensor]) -> tuple[Tensor, list[Written]]:
        """Append a head and the losses; returns the loss, and what is known of every cell in it."""
        weight, losses, read_out = self.matrix(), list[Tensor](), list[Tensor]()
        if self.loop.tied:
            weight = self.first.weights[0]
        running: Tensor | float = 0.0
        for t, h in enumerate(outputs):
            read_out.append(h)
            if self.loop.head:
                scores = h @ weight + (read(t) if self.loop.skip else 0.0)
                losses.append(self.loss(scores, t))
                running = running + losses[-1] if self.loop.summed else running
        if not self.loop.head:  # one number of the last output; read both ways, of all of them
            last = stack(read_out) if self.loop.shape == "both ways" else read_out[-1]
            return self.whole(last.square().sum())
        return self.whole(running if isinstance(running, Tensor) else sum(losses[1:], losses[0]))

    def loss(self, scores: Tensor, t: int) -> Tensor:
        """The distance of a step's scores from what they should be."""
        if self.loop.judged == "distance":
            return (scores - tensor(np.eye(SIZE)[None, t % SIZE])).square().mean()
        return cross_entropy(scores, [t % SIZE])

    def whole(self, loss: Tensor) -> tuple[Tensor, list[Written]]:
        """The loss, and if it is asked for the size of the gradient of the first weight added to it."""
        if self.loop.judged == "slope":
            slope = grad(loss, self.first.weights[:1], create_graph=True)[0]
            assert slope is not None
            loss = loss + (slope * slope).sum()
        return loss, self.found


class _Cell:
    """Weights, a state and a rule."""

    def __init__(self, rule: Callable[..., list[Tensor]], matrix: Callable[[], Tensor], written: Written) -> None:
        self.rule, self.matrix, self.written = rule, matrix, written
        self.mixing: list[Tensor] = []
        self.weights = [matrix() for _ in range(_WEIGHTS[rule])]
        self.state = [zeros(1, SIZE) for _ in range({_lstm: 2, _memory: 3}.get(rule, 1))]
        written.weights = {w.serial for w in self.weights}
        written.initial = {s.serial for s in self.state}
        self.history: list[list[Tensor]] = []

    def mixed(self, x: Tensor, others: list[Tensor]) -> Tensor:
        """The input with what other cells feed back."""
        while len(self.mixing) < len(others):
            self.mixing.append(self.matrix())
            self.written.weights.add(self.mixing[-1].serial)
        for other, weight in zip(others, self.mixing, strict=True):
            x = x + other @ weight
        return x

    def __call__(self, x: Tensor) -> Tensor:
        self.state = self.rule(x, *self.state, *self.weights)
        self.history.append(self.state)
        self.written.states = {tuple(s.serial for s in row) for row in zip(*self.history, strict=True)}
        return self.state[0]


def _rnn(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> list[Tensor]:
    return [(x @ w + h @ u).tanh()]


def _residual(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> list[Tensor]:
    return [h + ((x + h) @ w).relu() @ u * 0.5]


def _gated(x: Tensor, h: Tensor, w: Tensor, u: Tensor, v: Tensor) -> list[Tensor]:
    z = (x @ w + h @ v).sigmoid()
    return [(1 - z) * h + z * (x @ u).tanh()]


def _gru(x: Tensor, h: Tensor, *w: Tensor) -> list[Tensor]:
    z = (x @ w[0] + h @ w[1]).sigmoid()
    r = (x @ w[2] + h @ w[3]).sigmoid()
    return [z * h + (1 - z) * (x @ w[4] + (r * h) @ w[5]).tanh()]


def _lstm(x: Tensor, h: Tensor, c: Tensor, *w: Tensor) -> list[Tensor]:
    i, f, o, g = (x @ w[2 * k] + h @ w[2 * k + 1] for k in range(4))
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]


def _normed(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> list[Tensor]:
    a = x @ w + h @ u
    a = a - a.mean(-1, keepdim=True)
    return [(a / (a.square().mean(-1, keepdim=True) + 1e-5).sqrt()).tanh()]


def _memory(x: Tensor, read: Tensor, memory: Tensor, h: Tensor, *w: Tensor) -> list[Tensor]:
    h = (x @ w[0] + h @ w[1] + read @ w[2]).tanh()
    share = (h @ w[3] @ memory.T).softmax(-1)
    memory = memory * (1 - share.T @ (h @ w[4]).sigmoid()) + share.T @ (h @ w[5]).tanh()
    return [share @ memory, memory, h]


_CELLS: dict[str, Callable[..., list[Tensor]]] = {
    "rnn": _rnn,
    "residual": _residual,
    "gated": _gated,
    "gru": _gru,
    "lstm": _lstm,
    "normed": _normed,
    "memory": _memory,
}
_WEIGHTS: dict[Callable[..., list[Tensor]], int] = {
    _rnn: 2,
    _residual: 2,
    _gated: 3,
    _gru: 6,
    _lstm: 8,
    _normed: 2,
    _memory: 6,
}


def _data(steps: int) -> Tensor:
    return tensor(np.random.default_rng(0).normal(size=(steps, 1, SIZE)))


def _judge(scores: Tensor, t: int) -> Tensor:
    return cross_entropy(scores, [t % SIZE])


def _scheduled(of: Uneven, writing: _Writing) -> Tensor:
    """A step reads what the one before has put out, or what is given."""
    cell, head, x, read, loss = (
        writing.cell(of.cell),
        writing.matrix(),
        _data(len(of.moves)),
        zeros(1, SIZE),
        tensor(0.0),
    )
    for t, given in enumerate(of.moves):
        scores = cell(x[t] if given else read) @ head
        read, loss = scores.softmax(-1), loss + _judge(scores, t)
    return loss


def _scheduled_leaves(of: Uneven, writing: _Writing) -> Tensor:
    """The same, of a list of inputs; the first is given."""
    cell, head, x, loss = writing.cell(of.cell), writing.matrix(), [*map(_leaf, _data(len(of.moves)))], tensor(0.0)
    read = x[0]
    for t, given in enumerate(of.moves):
        scores = cell(x[t] if given else read) @ head
        read, loss = scores.softmax(-1), loss + _judge(scores, t)
    return loss


def _leaf(x: Tensor) -> Tensor:
    return tensor(x.numpy())


def _tokens(of: Uneven, writing: _Writing) -> Tensor:
    """The same with tokens."""
    cell, head, table, loss = writing.cell(of.cell), writing.matrix(), writing.matrix(), tensor(0.0)
    token = tensor([0])
    for t, given in enumerate(of.moves):
        scores = cell(take(table, tensor([t % SIZE]) if given else token)) @ head
        token, loss = scores.argmax(1), loss + _judge(scores, t)
    return loss


def _clockwork(of: Uneven, writing: _Writing) -> Tensor:
    """A second cell moves at some steps only; the head reads both."""
    fast, slow, head, x, loss = (
        writing.cell(of.cell),
        writing.cell("rnn"),
        writing.matrix(2 * SIZE),
        _data(len(of.moves)),
        tensor(0.0),
    )
    held = slow.state[0]
    for t, moves in enumerate((True, *of.moves[1:-1], True)):
        h = fast(x[t])
        held = slow(h) if moves else held
        loss = loss + _judge(concat([h, held], 1) @ head, t)
    return loss


def _slow_first(of: Uneven, writing: _Writing) -> Tensor:
    """A second cell moves at some steps only, and is written before the first, which reads it."""
    slow, fast, mix, head = writing.cell("rnn"), writing.cell(of.cell), writing.matrix(), writing.matrix()
    x, held, loss = _data(len(of.moves)), slow.state[0], tensor(0.0)
    for t, moves in enumerate((True, *of.moves[1:-1], True)):
        held = slow(x[t]) if moves else held
        loss = loss + _judge(fast(x[t] + held @ mix) @ head, t)
    return loss


def _cell_in_a_cell(of: Uneven, writing: _Writing) -> Tensor:
    """Words of one or two characters, the last of two, read by a cell inside a cell."""
    below, above, head = GRUCell(SIZE, SIZE).double(), RNNCell(SIZE, SIZE).double(), writing.matrix()
    x, h, loss, read = _data(2 * len(of.moves)), None, tensor(0.0), 0
    for word, longer in enumerate((*of.moves[:-1], True)):
        inner = None
        for _ in range(1 + longer):
            inner, read = below(x[read], inner), read + 1
        h = above(inner, h)
        loss = loss + _judge(h @ head, word)
    return loss


def _hierarchical(of: Uneven, writing: _Writing) -> Tensor:
    """Characters, and a cell that reads the last one of every word; the next word begins with what it says."""
    below, above, start, head, x = (
        writing.cell("rnn"),
        writing.cell("rnn"),
        writing.matrix(),
        writing.matrix(),
        _data(2 * len(of.moves)),
    )
    loss = tensor(0.0)
    for word in range(len(of.moves)):
        below.state = [(above.state[0] @ start).tanh()]
        for k in range(2):
            h = below(x[2 * word + k])
        loss = loss + _judge(above(h) @ head, word)
    return loss


def _two_losses(of: Uneven, writing: _Writing) -> Tensor:
    """Scores that are judged, and a distance beside them."""
    cell, head, other, x, loss = (
        writing.cell(of.cell),
        writing.matrix(),
        writing.matrix(),
        _data(len(of.moves)),
        tensor(0.0),
    )
    for t in range(len(of.moves)):
        h = cell(x[t])
        loss = loss + _judge(h @ head, t) + 0.5 * (h @ other - 1.0).square().mean()
    return loss


def _from_an_encoder(of: Uneven, writing: _Writing) -> Tensor:
    """A decoder that begins with what an encoder has left."""
    below, above, head, x, y = (
        writing.cell(of.cell),
        writing.cell("rnn"),
        writing.matrix(),
        _data(len(of.moves)),
        _data(len(of.moves) - 1),
    )
    for t in range(len(of.moves)):
        above.state = [below(x[t])]
    losses = [_judge(above(y[t]) @ head, t) for t in range(len(of.moves) - 1)]
    return sum(losses, tensor(0.0))


def _to_and_fro(of: Uneven, writing: _Writing) -> Tensor:
    """Layers that read in turn from the first step to the last and from the last to the first."""
    outputs = list(_data(len(of.moves)))
    for k in range(3):
        cell = writing.cell("rnn")
        order = range(len(outputs)) if k % 2 == 0 else reversed(range(len(outputs)))
        made = {t: cell(outputs[t]) for t in order}
        outputs = [made[t] for t in range(len(outputs))]
    head = writing.matrix()
    return sum((_judge(h @ head, t) for t, h in enumerate(outputs)), tensor(0.0))


def _cut(of: Uneven, writing: _Writing) -> Tensor:
    """Truncated backpropagation: no gradient goes back beyond some steps."""
    cell, head, x, loss = writing.cell(of.cell), writing.matrix(), _data(len(of.moves)), tensor(0.0)
    for t, goes_on in enumerate(of.moves):
        cell.state = cell.state if goes_on else [s.detach() for s in cell.state]
        loss = loss + _judge(cell(x[t]) @ head, t)
    return loss


UNEVEN: dict[str, Callable[[Uneven, _Writing], Tensor]] = {
    "scheduled sampling": _scheduled,
    "scheduled sampling of leaves": _scheduled_leaves,
    "scheduled sampling of tokens": _tokens,
    "clockwork": _clockwork,
    "clockwork, slow first": _slow_first,
    "a cell in a cell": _cell_in_a_cell,
    "hierarchical": _hierarchical,
    "two losses a step": _two_losses,
    "from an encoder": _from_an_encoder,
    "to and fro": _to_and_fro,
    "truncated": _cut,
}
