"""Loops written in Python are found again when they are compiled, and compute what they do step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.recurrence import loop as loops
from tinygrad_rnn.recurrence.runs import runs

F = tg.nn.functional
NIGHTLY = settings().max_examples > 100
BATCH, SIZE, TIME = 2, 3, 7


@pytest.fixture(autouse=True)
def short_loops_are_loops(monkeypatch):
    monkeypatch.setattr(loops, "SHORTEST", 4)


def parameters(count: int = 3) -> list[tg.Tensor]:
    rng = np.random.default_rng(1)
    return [tg.nn.Parameter(0.6 * rng.normal(size=(SIZE, SIZE)), name=f"w{k}") for k in range(count)]


def sequence(time: int = TIME, *shape: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(0).normal(size=(time, *(shape or (BATCH, SIZE)))))


def is_eager(fn: Any, *args: Any) -> tg.Graph:
    """Compiled and eager agree in a first call and in a second; the graph that ran."""
    expected = fn(*args)
    program = tg.compile(fn, threads=1)
    for found in (program(*args), program(*args)):
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)
    return program.graph


def with_gradients(loss: tg.Tensor, leaves: Any, *others: tg.Tensor) -> tuple[tg.Tensor, ...]:
    return (loss, *(g for g in tg.grad(loss, list(leaves), allow_unused=True) if g is not None), *others)


# Ways to write them -----------------------------------------------------------------------------------------------


def loss_inside(x, w):
    h, loss = tg.zeros(BATCH, SIZE, dtype=tg.float64), 0.0
    for t in range(TIME):
        h = (x[t] @ w[0] + h @ w[1]).tanh()
        loss = loss + ((h @ w[2]) ** 2).mean()
    return loss


def kept_in_a_list(x, w):
    h, states = None, []
    for t in range(TIME):
        h = (x[t] @ w[0] + (0.0 if h is None else h @ w[1])).tanh()
        states.append(h)
    return (tg.stack(states, axis=1) @ w[2]).square().sum() + states[2].sum() * states[-1].mean()


def backward_in_time(x, w):
    h, states = tg.ones(BATCH, SIZE, dtype=tg.float64), [None] * TIME
    for t in reversed(range(TIME)):
        h = F.linear(h, w[1], w[0][0]).sigmoid() * x[t]
        states[t] = h
    return tg.concat(states, axis=-1).square().sum() + sum(h.sum() for h in states)


def two_layers_of_a_cell(x, w):
    cells = w[:2]
    h = [tg.zeros(BATCH, SIZE, dtype=tg.float64) for _ in cells]
    total = tg.zeros((), dtype=tg.float64)
    for t in range(TIME):
        below = x[t]
        for k, weight in enumerate(cells):
            h[k] = below = (below @ weight + 0.5 * h[k]).tanh()
        total += (below * w[2][0]).sum()
    return total + h[0].sum()


def one_layer_after_the_other(x, w):
    xs = [x[t] for t in range(TIME)]
    for weight in w:
        h, states = tg.zeros(BATCH, SIZE, dtype=tg.float64), []
        for each in xs:
            h = (each @ weight + h).tanh()
            states.append(h)
        xs = states
    return sum((h**2).sum() for h in xs)


def columns(x, w):
    h, loss = tg.zeros(SIZE, 1, dtype=tg.float64), 0.0
    for t in range(TIME):
        h = (w[0] @ x[t, :1].T + w[1] @ h + w[2][:, :1]).tanh()
        p = (w[2] @ h).softmax(0)
        loss += -(p[1, 0].log())
    return loss


def vectors_and_tokens(x, w):
    tokens, h, loss = tg.tensor([0, 2, 1, 1, 0, 2, 0, 1]), tg.zeros(SIZE, dtype=tg.float64), 0.0
    for t in range(TIME):
        h = (F.embedding(tokens[t], w[0]) + w[1] @ h + x[t, 0]).tanh()
        loss = loss + F.cross_entropy(w[2] @ h, tokens[t + 1])
    return loss / TIME


def masked(x, w):
    lengths = tg.tensor([[7], [3]])
    h = c = tg.zeros(BATCH, SIZE, dtype=tg.float64)
    for t in range(TIME):
        new = (x[t] @ w[0] + h @ w[1]).tanh()
        h = tg.where(lengths > t, new, h)
        c = 0.5 * c + h * new * 0.9**t
    return (h @ w[2]).sum() + c.sum()


def inside_a_longer_step(x, w):
    h = tg.zeros(BATCH, SIZE, dtype=tg.float64)
    start = (x.mean(0) @ w[2]).sum()
    for t in range(TIME):
        h = h + 0.1 * (h @ w[0] * (start - h)).tanh() + x[-1 - t] @ w[1]
    return ((h + start) ** 2).sum() * start


def an_output_only_now_and_then(x, w):
    h, loss = tg.zeros(BATCH, SIZE, dtype=tg.float64), 0.0
    for t in range(2 * TIME):
        h = (x[t // 2] @ w[0] + h @ w[1]).tanh()
        if t % 2:
            loss = loss + (h @ w[2]).square().sum()
    return loss


def of_the_state_before(x, w):
    h = before = tg.zeros(BATCH, SIZE, dtype=tg.float64)
    for t in range(TIME):
        h, before = (x[t] @ w[0] + before @ w[1] + 0.3 * h).tanh(), h
    return (h * before).sum() + (h @ w[2]).sum()


def sums_that_are_looked_at(x, w):
    h, loss, so_far = tg.zeros(BATCH, SIZE, dtype=tg.float64), 0.0, []
    for t in range(TIME):
        h = (x[t] @ w[0] + h @ w[1]).tanh()
        loss = loss + h.square().sum()
        so_far.append(loss)
    return sum(each**2 for each in so_far) + loss


def steps_differ(x, w):
    h = tg.zeros(BATCH, SIZE, dtype=tg.float64)
    for t in range(TIME):
        h = (x[t] @ w[t * t % 3] + h).tanh()
    return h.sum()


def cut_off(x, w):
    h, loss = tg.zeros(BATCH, SIZE, dtype=tg.float64), 0.0
    for t in range(TIME):
        h = (x[t] @ w[0] + h.detach() @ w[1]).tanh()
        loss = loss + (h @ w[2]).square().sum()
    return loss


MANY = parameters(TIME)


def weights_of_their_own(x, w):
    h = x[0]
    for weight in MANY:
        h = (h @ weight).tanh()
    return h.sum() + (w[0] ** 2).sum()


WAYS = [
    (loss_inside, 1), (kept_in_a_list, 1), (backward_in_time, 1), (two_layers_of_a_cell, 1), (columns, 1),
    (one_layer_after_the_other, 3), (vectors_and_tokens, 1), (masked, 1), (inside_a_longer_step, 1),
    (an_output_only_now_and_then, 1), (of_the_state_before, 1), (sums_that_are_looked_at, 1),
    (steps_differ, 0), (cut_off, 0), (weights_of_their_own, 0),
]  # fmt: skip


@pytest.mark.parametrize(("write", "count"), WAYS)
def test_ways_to_write_one(write, count):
    w, x = parameters(), sequence().requires_grad_()
    graph = is_eager(lambda x: with_gradients(write(x, w), [*w, x]), x)
    assert graph.counts["loop"] == 2 * count  # there, and the way back


def test_without_gradients_it_is_a_loop_as_well():
    w, x = parameters(), sequence()

    def step(x):
        with tg.no_grad():
            return (one_layer_after_the_other(x, w), columns(x, w))

    assert is_eager(step, x).counts["loop"] == 4


# What the function holds afterwards is what it was ---------------------------------------------------------------


def states_of(x, w):
    h, states = tg.zeros(BATCH, SIZE, dtype=tg.float64), []
    for t in range(TIME):
        h = (x[t] @ w[0] + h @ w[1]).tanh()
        states.append(h)
    return states


def test_tensors_of_steps_are_used_after_the_walk_back():
    w, x = parameters(), sequence()

    def step(x):
        losses, states = [0.0], states_of(x, w)
        for h in states:
            losses.append(losses[-1] + (h @ w[2]).square().sum())
        mine = tg.grad(losses[-1], w)
        return (*mine, losses[3], losses[-1], states[1], states[-1] * states[0], tg.stack(states))

    assert is_eager(step, x).counts["loop"] == 2  # the losses are one operation of all states


def asks_for_a_states_gradient(x, w):
    states = states_of(x, w)
    loss = (states[-1] @ w[2]).sum()
    return (*tg.grad(loss, w, retain_graph=True), *tg.grad(loss, [states[2], states[-1]]))


def walks_back_from_the_middle(x, w):
    states = states_of(x, w)
    losses = [(h @ w[2]).square().sum() for h in states]
    first = tg.grad(sum(losses), w, retain_graph=True)
    return (*first, *tg.grad(losses[4] * states[2].sum(), w))


def asks_for_a_rows_gradient(x, w):
    rows = [x[t] for t in range(TIME)]
    loss = (states_of(rows, w)[-1] @ w[2]).sum()
    return tg.grad(loss, rows)


def has_a_hook(x, w):
    states = states_of(x, w)
    states[3].register_hook(lambda g: 2 * g)
    return tg.grad((states[-1] @ w[2]).sum(), w)


def retains_later(x, w):
    states = states_of(x, w)
    loss = (states[-1] @ w[2]).sum()
    first = tg.grad(loss, w, retain_graph=True)
    states[3].retain_grad()
    loss.backward()
    return (*first, states[3].grad)


def differentiates_twice(x, w):
    loss = (states_of(x, w)[-1] @ w[2]).square().sum()
    (g,) = tg.grad(loss, w[1], create_graph=True)
    return tg.grad((g**2).sum(), w)


def makes_a_constant_first(x, w):
    kept = x.mean(0).detach()
    h = kept * 0
    for t in range(TIME):
        h = (x[t] @ w[0] + h * kept).tanh()
    return tg.grad(h.sum() + (h @ w[1] @ w[2]).sum(), w)


ASKING = [
    asks_for_a_states_gradient, walks_back_from_the_middle, asks_for_a_rows_gradient, has_a_hook, retains_later,
    differentiates_twice, makes_a_constant_first,
]  # fmt: skip


@pytest.mark.parametrize("write", ASKING)
def test_whatever_is_asked_of_steps(write):
    w, x = parameters(), sequence().requires_grad_()
    is_eager(lambda x: write(x, w), x)


def test_what_was_written_since_is_read_as_it_was():
    w, x = parameters(), sequence()
    results = []
    for wrap in (lambda f: f, lambda f: tg.compile(f, threads=1)):
        kept = tg.tensor(np.full((BATCH, SIZE), 0.5))

        def step(x):
            h = kept + 1  # noqa: B023
            for t in range(TIME):
                h = (x[t] @ w[0] + h @ w[1] + kept).tanh()  # noqa: B023
            kept.copy_(h.detach())  # noqa: B023
            return tg.grad((h @ w[2]).sum(), w)

        run = wrap(step)
        results.append([*run(x), *run(x), kept.clone()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


# A law over random loops -----------------------------------------------------------------------------------------

LINES = {
    "product": lambda a, b, w: a @ w, "biased": lambda a, b, w: F.linear(a, w, w[0]), "sum": lambda a, b, w: a + b,
    "gate": lambda a, b, w: a * b.sigmoid(), "tanh": lambda a, b, w: a.tanh(), "row": lambda a, b, w: a + w[1],
    "attend": lambda a, b, w: (a @ w).softmax(-1) @ w, "mean": lambda a, b, w: a - a.mean(-1, keepdim=True),
    "parts": lambda a, b, w: tg.concat([a[..., 1:], b[..., :1]], axis=-1),
    "most": lambda a, b, w: a.amax(-1)[:, None] * b,
    "other": lambda a, b, w: a.T.reshape(b.shape) - b, "spread": lambda a, b, w: a[:, 0:1].expand(*b.shape) * b,
}  # fmt: skip
number = st.integers(0, 9)


@settings(
    max_examples=400 if NIGHTLY else 5,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    phases=list(Phase) if NIGHTLY else [Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(LINES)), number, number, st.integers(0, 2)), min_size=1, max_size=7),
    st.lists(number, min_size=1, max_size=3), st.integers(4, 9), st.tuples(number, number), st.booleans(),
    st.sampled_from([1, -1]),
)  # fmt: skip
def test_random_loops_agree(lines, ends, time, losses, first_is_none, direction):
    w, x = parameters(), sequence(time)

    def step(x):
        states = [None if first_is_none else 0.1 * x[0] for _ in ends]
        loss, kept = 0.0, []
        for t in range(time)[::direction]:
            values = [x[t], *(h for h in states if h is not None)]
            for what, a, b, k in lines:
                values.append(LINES[what](values[-1 - a % len(values)], values[-1 - b % len(values)], w[k]))
            states = [values[-1 - k % len(values)].tanh() * (1 if h is None else 0.5) for h, k in zip(states, ends)]
            loss = loss + (values[-1 - losses[0] % len(values)] ** 2).mean()
            kept.append(values[-1 - losses[1] % len(values)])
        total = loss + (tg.stack(kept) ** 3).sum() + sum(h.sum() for h in states)
        return with_gradients(total + 0 * w[0].sum(), [w[0], w[1]], kept[2], loss)

    is_eager(step, x)


def test_periods_are_found_in_the_middle_of_something_else():
    assert next(runs([9, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 7], 3)) == (2, 12, 3)
    assert next(runs([5, 1, 1, 2, 1, 1, 2, 1, 1, 2, 4], 3)) == (1, 10, 3)
    assert not list(runs([1, 2, 3, 4, 1, 2, 3, 5], 3))
