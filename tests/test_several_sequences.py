"""One cell on several sequences: as many recurrences, whoever wrote the loops."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from geometry import circular, disorder, faults

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.repeats import find

F = tg.nn.functional


class Cell(tg.nn.Module):
    def __init__(self):
        self.input, self.state = tg.nn.Linear(3, 3), tg.nn.Linear(3, 3, bias=False)

    def forward(self, x, h):
        return tg.tanh(self.input(x) + self.state(h))


def one_after_the_other(cell, steps, loop):
    x, z, h, g = tg.randn(steps, 1, 3), tg.randn(steps, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3)
    told = [], []
    for t in loop(steps):
        h = cell(x[t], h)
        told[0].append(h)
    for t in loop(steps):
        g = cell(z[t], g)
        told[1].append(g)
    return told, ((h - g) ** 2).sum()


def in_one_loop(cell, steps, loop):
    x, z, h, g = tg.randn(steps, 1, 3), tg.randn(steps, 1, 3), tg.zeros(1, 3), tg.zeros(1, 3)
    told = [], []
    for t in loop(steps):
        h = cell(x[t], h)
        told[0].append(h)
        g = cell(z[t], g)
        told[1].append(g)
    return told, ((h - g) ** 2).sum()


def judged_in_one_loop(cell, steps, loop):
    head, x, z = tg.nn.Linear(3, 3), tg.randn(steps, 1, 3), tg.randn(steps, 1, 3)
    h, g, told, loss = tg.zeros(1, 3), tg.zeros(1, 3), ([], []), 0.0
    for t in loop(steps):
        h, g = cell(x[t], h), cell(z[t], g)
        told[0].append(h)
        told[1].append(g)
        loss = loss + F.cross_entropy(head(h), [t % 3]) + F.cross_entropy(head(g), [0])
    return told, loss


def each_sample(cell, steps, loop, judged, whole):
    """A loop over the samples outside of that over time; ``judged(scores, k)``: the loss of sample k."""
    head, x, loss, told = tg.nn.Linear(3, 2), tg.randn(3, steps, 1, 3), 0.0, []
    for k in range(3):
        h = tg.zeros(1, 3)
        told.append([])
        for t in loop(steps):
            h = cell(x[k, t], h)
            told[k].append(h)
        loss = loss + judged(head(h), k)
    return told, whole(loss)


def sample_by_sample(cell, steps, loop):
    return each_sample(cell, steps, loop, lambda scores, k: F.cross_entropy(scores, [k % 2]), lambda loss: loss / 3)


def with_losses_in_a_row(cell, steps, loop):
    return each_sample(cell, steps, loop, lambda scores, _k: (scores**2).sum(1), lambda loss: loss.sum())


WAYS = (one_after_the_other, in_one_loop, judged_in_one_loop, sample_by_sample)


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("kind", [Cell, lambda: tg.nn.RNNCell(3, 3)], ids=["module", "RNNCell"])
@pytest.mark.parametrize("write", [*WAYS, with_losses_in_a_row])
def test_each_sequence_is_a_recurrence_of_its_own(write, kind, steps):
    told, loss = write(kind(), steps, range)
    graph = tg.Graph(loss)
    found = find(graph)
    at = graph.by_serial()
    assert {row.nodes for r in found for row in r.states} == {tuple(at[h.serial] for h in each) for each in told}
    assert {len(r.carried) for r in found} == {1}


def labels(dot):
    return Counter(re.findall(r'^\s*\w+ \[label=("(?:[^"\\]|\\.)*"|\w+)', dot, re.MULTILINE))


@pytest.mark.parametrize("steps", [2, 3, 4])
@pytest.mark.parametrize("write", WAYS)
def test_it_is_drawn_as_if_the_program_had_said_its_steps(write, steps):
    pictures = []
    for loop in (tg.steps, range):
        tg.manual_seed(0)
        pictures.append(viz.render(write(Cell(), steps, loop)[1]).dot)
    said, found = pictures
    assert labels(found) == labels(said)
    assert not faults(found) and not circular(found) and not disorder(found)


@pytest.mark.parametrize("loop", [tg.steps, range])
def test_a_sample_number_is_not_a_time(loop):
    dot = viz.render(sample_by_sample(Cell(), 3, loop)[1]).dot
    assert {label: count for label, count in labels(dot).items() if "x" in label} == {
        f'"x{sample}{step}"': 1 for sample in ("⁽¹⁾", "⁽²⁾", "⁽³⁾") for step in "₁₂₃"
    }


@pytest.mark.parametrize("steps", [5, 6, 8])
def test_one_sequence_of_which_every_other_state_is_read_is_one(steps):
    cell, x, told = Cell(), tg.randn(steps, 1, 3), [tg.zeros(1, 3), tg.zeros(1, 3)]
    for t in range(steps):
        told.append(cell(x[t], told[-2]))
    (loop,) = find(tg.Graph((told[-1] * told[-2]).sum()))
    assert loop.length == steps and [distance for _, distance in loop.carried] == [2]
