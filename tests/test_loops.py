"""Loops: a compiled recurrence that is recorded once computes what every step written out does, and what eager does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import memory_layout
from tinygrad_rnn.recurrence import loop as loops

NIGHTLY = settings().max_examples > 100
BATCH, SIZE = 4, 3


@pytest.fixture(autouse=True)
def short_loops_are_loops(monkeypatch):
    monkeypatch.setattr(loops, "SHORTEST", 2)


def far(mine: Any, others: Any) -> float:
    """The largest distance of two lists of tensors, in norm, relative to the tensors."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(mine, others, strict=True)]
    return max(float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-300)) for a, b in pairs)


def compiled(fn: Any, *args: Any) -> tuple[Any, tg.Graph]:
    """What a second call gives, and the graph that ran."""
    program = tg.compile(fn, threads=1)
    program(*args)
    return program(*args), program.graph


def rolled_is_eager(fn: Any, *args: Any) -> tg.Graph:
    """Rolled, unrolled and eager agree; the rolled graph."""
    expected = fn(*args)
    result, graph = compiled(fn, *args)
    assert graph.counts["loop"] > 0
    assert far(result, expected) < 1e-12
    return graph


def with_gradients(loss: tg.Tensor, leaves: Any) -> tuple[tg.Tensor, ...]:
    return (loss, *(g for g in tg.grad(loss, list(leaves), allow_unused=True) if g is not None))


def sequence(time: int, *shape: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(0).normal(size=(time, *shape)))


LAYERS = [
    (tg.nn.RNN, {"leak": 0.5}, None),
    (tg.nn.RNN, {"bidirectional": True, "num_layers": 2}, [6, 1, 4, 3]),
    (tg.nn.LSTM, {"bidirectional": True, "batch_first": True}, None),
    (tg.nn.LSTM, {"learned_state": True}, [2, 6, 4, 3]),
    (tg.nn.LSTM, {"peepholes": "full", "proj_size": 2}, None),
    (tg.nn.GRU, {"num_layers": 2}, [6, 1, 4, 3]),
    (tg.nn.GRU, {"reset": "before"}, None),
]


@pytest.mark.parametrize(("kind", "options", "lengths"), LAYERS)
def test_layers_are_loops_and_agree_with_eager(kind, options, lengths):
    model = kind(SIZE, 5, dtype=tg.float64, **options)
    x = sequence(6, BATCH, SIZE).transpose(0, 1) if options.get("batch_first") else sequence(6, BATCH, SIZE)

    def step(x: tg.Tensor) -> Any:
        output, state = model(x, lengths=lengths)
        parts = state if isinstance(state, tuple) else (state,)
        return with_gradients((output**2).sum() + sum((part**3).sum() for part in parts), [*model.parameters()])

    graph = rolled_is_eager(step, x)
    assert graph.counts["tanh"] == 0  # it is in the loops


class Mixing(tg.nn.Module):
    def __init__(self, size: int) -> None:
        self.hidden_size, self.map = 4, tg.nn.Linear(size + 4, 4, dtype=tg.float64)

    def forward(self, x, h=None):
        h = tg.zeros(len(x), 4, dtype=tg.float64) if h is None else h
        return 0.9 * h + 0.1 * self.map(tg.concat([x, h], axis=1)).tanh()


@pytest.mark.parametrize("lengths", [None, [6, 1, 0, 3]])
def test_any_cell_is_a_loop(lengths):
    model = tg.nn.Recurrent(Mixing, bidirectional=True, input_size=SIZE)

    def step(x: tg.Tensor) -> Any:
        output, last = model(x, lengths=lengths)
        return with_gradients((output**2).sum() + (last**3).sum(), model.parameters())

    rolled_is_eager(step, sequence(6, BATCH, SIZE))


# A law over random recurrent programs ------------------------------------------------------------------------------

STEPS = {
    "product": lambda a, b, w: a @ w, "biased": lambda a, b, w: tg.nn.functional.linear(a, w, w[0]),
    "sum": lambda a, b, w: a + b, "gate": lambda a, b, w: a * b.sigmoid(), "difference": lambda a, b, w: a - 0.5 * b,
    "tanh": lambda a, b, w: a.tanh(), "squash": lambda a, b, w: a / (1 + b * b), "row": lambda a, b, w: a + w[1],
    "attend": lambda a, b, w: (a @ w).softmax(-1) @ w, "mean": lambda a, b, w: a - a.mean(-1, keepdim=True),
    "parts": lambda a, b, w: tg.concat([a[..., 1:], b[..., :1]], axis=-1),
}  # fmt: skip


@st.composite
def programs(draw) -> Any:
    """A cell as lines (what, of which values, with which weight), and how it is run."""
    lines = draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)),
            min_size=2,
            max_size=7,
        )
    )
    states = draw(st.integers(1, 2))
    ends = draw(st.lists(st.integers(0, 9), min_size=states + 1, max_size=states + 1))
    return lines, states, ends, draw(st.integers(2, 5)), draw(st.booleans()), draw(st.booleans()), draw(st.booleans())


@settings(
    max_examples=300 if NIGHTLY else 4,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    phases=list(Phase) if NIGHTLY else [Phase.explicit, Phase.reuse, Phase.generate],
)
@given(programs())
def test_random_recurrent_programs_agree(program):
    lines, states, ends, time, reverse, ragged, last_only = program
    rng = np.random.default_rng(1)
    weights = [tg.nn.Parameter(0.6 * rng.normal(size=(SIZE, SIZE)), name=f"w{k}") for k in range(3)]
    lengths = [time, 0, 1, time] if ragged else None

    def cell(carry: Any, x: tg.Tensor) -> Any:
        values = [x, *carry]
        for what, a, b, w in lines:
            values.append(STEPS[what](values[-1 - a % len(values)], values[-1 - b % len(values)], weights[w]))
        # a state is mixed with what came before, so that none is forgotten
        new = tuple((0.5 * h + values[-1 - end % len(values)]).tanh() for h, end in zip(carry, ends))
        return new, values[-1 - ends[-1] % len(values)]

    def step(x: tg.Tensor) -> Any:
        start = tuple(tg.zeros(BATCH, SIZE, dtype=tg.float64) + k for k in range(states))
        final, ys = tg.scan(cell, start, x, lengths=lengths, reverse=reverse)
        loss = sum((h * h).sum() for h in final)
        return with_gradients(loss if last_only else loss + (ys**2).sum(), weights)

    x = sequence(time, BATCH, SIZE)
    expected = step(x)
    rolled, graph = compiled(step, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "SHORTEST", 10**9)
        unrolled, explicit = compiled(step, x)
        patch.undo()
        patch.setattr(loops, "SHORTEST", 2)
        patch.setattr(memory_layout, "WORTH_SAVING", -1)
        passing, _ = compiled(step, x)
    assert far(rolled, expected) < 1e-12
    assert far(rolled, unrolled) < 1e-12
    assert far(passing, expected) < 1e-12
    assert explicit.counts["loop"] == 0
    assert far(written_out(graph, x, weights), expected) < 1e-12


def written_out(graph: tg.Graph, x: tg.Tensor, weights: Any) -> Any:
    """The outputs of a rolled graph's every step, written out."""
    explicit = graph.unrolled()
    assert explicit.counts["loop"] == explicit.counts["tap"] == 0
    known = {weight.name: weight for weight in weights} | {"input 0": x}
    feeds = {n: np.asarray(known[n.name]) for n in explicit.nodes if n.op is None and n.value is None}
    return explicit.evaluate(feeds)


def test_some_random_programs_are_loops():
    """The law above would hold if nothing were ever rolled."""
    weight = tg.nn.Parameter(np.eye(SIZE) / 2)

    def step(x: tg.Tensor) -> Any:
        final, ys = tg.scan(
            lambda h, x: ((x @ weight + h @ weight).tanh(), h), tg.zeros(BATCH, SIZE, dtype=tg.float64), x
        )
        return with_gradients((ys**2).sum() + final.sum(), [weight])

    graph = rolled_is_eager(step, sequence(5, BATCH, SIZE))
    assert graph.counts["loop"] == 2 and len(graph.unrolled().steps) == 5


def test_second_derivatives_agree():
    weight = tg.nn.Parameter(np.eye(SIZE) / 2)

    def step(x: tg.Tensor) -> Any:
        _, ys = tg.scan(lambda h, x: ((x + h @ weight).tanh(),) * 2, tg.zeros(BATCH, SIZE, dtype=tg.float64), x)
        (first,) = tg.grad((ys**2).sum(), [weight], create_graph=True)
        return with_gradients((first**2).sum(), [weight])

    x = sequence(5, BATCH, SIZE)
    assert far(compiled(step, x)[0], step(x)) < 1e-12


# Size -------------------------------------------------------------------------------------------------------------


def test_a_program_does_not_grow_with_time():
    model = tg.nn.LSTM(2, 3, dtype=tg.float64)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(threads=1)
    def step(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (model(x)[0] ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    sizes = []
    for time in (20, 500):
        step(tg.ones(time, 1, 2, dtype=tg.float64))
        sizes.append(len(step.graph))
    assert sizes[0] == sizes[1]


def test_a_state_that_nothing_reads_afterwards_takes_one_row():
    """Also where the states change places, which written one after the other would become one."""
    width, time = 512, 300

    def last(x: tg.Tensor) -> Any:
        start = [x[0] * k for k in (1.0, 2.0, 3.0)]
        _, ys = tg.scan(lambda abc, x: ((abc[1], abc[2] * 0.5, abc[0]), abc[0].sum() + x.sum()), tuple(start), x)
        return ys.sum(), (ys * ys).sum()

    x = sequence(time, width)
    program = tg.compile(last, threads=1)
    assert far(program(x), last(x)) < 1e-12
    arena = float(program.explain().split("arena ")[1].split(" KiB")[0])
    assert arena < 100  # one state for all time steps would be 1200 KiB


def test_short_sequences_are_written_out(monkeypatch):
    monkeypatch.setattr(loops, "SHORTEST", 7)
    model = tg.nn.RNN(2, 3, dtype=tg.float64)
    counts = []
    for time in (6, 7):
        program = tg.compile(lambda x: model(x)[0], threads=1)
        program(tg.ones(time, 1, 2, dtype=tg.float64))
        counts.append(program.graph.counts["loop"])
    assert counts == [0, 1]


# What is no loop --------------------------------------------------------------------------------------------------


def unrolled_is_eager(fn: Any, *args: Any) -> None:
    expected = fn(*args)
    result, graph = compiled(fn, *args)
    assert graph.counts["loop"] == 0
    assert far(result, expected) < 1e-12


def test_a_step_that_is_another_each_time_is_written_out():
    def step(x: tg.Tensor) -> Any:
        factors = iter(range(1, 100))
        final, _ = tg.scan(lambda h, x: (h * 0.5 + x * next(factors), h), tg.zeros(SIZE, dtype=tg.float64), x)
        return (final,)

    unrolled_is_eager(step, sequence(5, SIZE))


def test_what_a_step_leaves_outside_is_written_out():
    def step(x: tg.Tensor) -> Any:
        seen: list[tg.Tensor] = []

        def cell(h: tg.Tensor, x: tg.Tensor) -> Any:
            seen.append((h * x).tanh())
            return h + seen[-1], x

        final, _ = tg.scan(cell, tg.ones(SIZE, dtype=tg.float64), x)
        return final, seen[2]

    unrolled_is_eager(step, sequence(5, SIZE))


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_a_part_of_the_time_steps_that_counts_is_asked_step_by_step():
    """What overflows behind the last step that is looked at has no part in the gradient."""
    weight = tg.nn.Parameter(np.full((1, 1), 1e100))

    def step(x: tg.Tensor) -> Any:
        _, ys = tg.scan(lambda h, x: ((h * 1e100 + x) @ weight,) * 2, tg.zeros(1, 1, dtype=tg.float64), x)
        return with_gradients(ys[:1].sum(), [weight])

    unrolled_is_eager(step, tg.ones(5, 1, 1, dtype=tg.float64))


def test_a_memory_budget_is_kept_step_by_step():
    model = tg.nn.RNN(2, 3)
    program = tg.compile(lambda x: model(x)[0], threads=1, memory_budget=10**6)
    program(tg.ones(9, 1, 2))
    assert program.graph.counts["loop"] == 0


def test_dropout_between_layers_is_drawn_step_by_step():
    model = tg.nn.RNN(2, 3, num_layers=2, dropout=0.5)
    program = tg.compile(lambda x: model(x)[0], threads=1)
    program(tg.ones(9, 1, 2))
    assert len(program.trace(tg.ones(9, 1, 2)).live) == 9  # and found to be loops all the same
    model.eval()
    program(tg.ones(9, 1, 2))
    assert program.graph.counts["loop"] == 2
