"""Networks that nobody catalogued, at every level: each picture is as docs/pictures.md promises."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from geometry import circular, faults, overflowing

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrence.repeats import find
from tinygrad_rnn.sequence_patterns import build
from viz.debugger.web.graph_picture import seen_through
from viz.graph.detail_levels import collapse

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "gallery"))
from networks import NETWORKS

#: At the finer levels all of them are a matter for the nightly run.
FINER = list(NETWORKS) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else ["skip-rnn", "memory"]


def loss(name):
    tg.manual_seed(0)
    return NETWORKS[name]()


@pytest.mark.parametrize(
    ("name", "detail"), [(n, "cell") for n in NETWORKS] + [(n, d) for n in FINER for d in ("gate", "op")]
)
def test_every_network_of_the_gallery_is_drawn_as_promised(name, detail):
    dot = viz.render(loss(name), detail=detail).dot
    assert faults(dot) == []
    assert circular(dot) == set()


@pytest.mark.parametrize(("name", "lengths"), [("skip-rnn", [3, 4]), ("memory", [3]), ("nested", [3, 3])])
def test_steps_that_differ_are_laid_over_one_another(name, lengths):
    """A cell that moves at every other step, and a memory that the last step leaves alone."""
    found = find(tg.Graph(loss(name)))
    assert [len(r.rows[0].nodes) for r in found] == lengths
    assert all(row.op != "cross_entropy" for r in found for row in r.rows)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_debugger_has_a_box_to_point_at_for_every_node(name):
    """Also for what a picture sees through; the page highlights that box when a step comes to the node."""
    graph = tg.Graph(loss(name)) if name != "two-losses" else tg.Graph(*loss(name))
    for detail in ("cell", "gate"):
        level = collapse(graph, detail)
        told = [n for box, seen in zip(level.boxes, seen_through(level), strict=True) for n in (*box.members, *seen)]
        assert set(told) == set(range(len(graph)))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_text_is_inside_its_box_where_a_reader_has_no_helvetica(kind):
    for detail in ("gate", "op"):
        picture = viz.render(build("many-to-many", kind, 2), detail=detail, values=True, grads=True)
        assert overflowing(picture.dot) == []


@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_what_a_loop_of_its_own_makes_of_every_step_bears_the_number_of_the_step(detail):
    """Scores and losses made of both directions' states, after the loops; the total belongs to no step."""
    dot = viz.render(loss("bidirectional"), detail=detail).dot
    for letter in "yL":
        for digit in "₁₂₃":
            assert f"{letter}{digit}" in dot, (letter, digit)
    assert "y₁" not in viz.render(loss("hierarchical"), detail=detail).dot  # one score, of the whole sequence


def test_states_and_weights_that_are_two_have_two_names():
    """What a skip connection reads before the first step; the weights of the two parts of a step."""
    dot = viz.render(loss("skip-connections")).dot
    assert "h₀ = 0" in dot and "h₋₁ = 0" in dot
    assert "₋₁" not in viz.render(loss("skip-rnn")).dot  # a cell that moves at every other step
    notes = re.findall(r"label=\"?(W'?)\"? .*class=parameter", viz.render(loss("memory")).dot)
    assert sorted(notes) == ["W", "W'"]


def test_a_rolled_step_of_several_parts_names_the_cell_once():
    """What is written beside a cell into its memory is no second cell of its kind, and carries the memory."""
    dot = viz.render(loss("memory"), rolled=True).dot
    assert "RNN" in dot and "RNN'" not in dot and '"h′"' in dot


def test_calls_of_one_cell_in_a_step_are_boxes_of_their_own():
    """Two words of a sentence: the parts of the word cell are drawn for each, and those of the sentence cell once."""
    word, sentence, h = tg.nn.GRUCell(3, 3), tg.nn.RNNCell(3, 3), None
    for words in tg.randn(3, 2, 1, 3):
        h = sentence(word(words[1], word(words[0])), h)
    level = collapse(tg.Graph(h.sum()), "gate")
    parts = Counter(box.key[2] for box in level.boxes if box.key[0] == "part" and box.column == level.columns[1])
    assert parts == {"ax": 2, "ah": 2, "r": 2, "z": 2, "n": 2, "a": 1}


def test_what_a_later_part_of_a_step_alone_needs_is_in_it():
    """A memory that is written after the cell has put out its state: the cell does not read the memory of before."""
    cell, key, value = tg.nn.LSTMCell(6, 3), tg.nn.Linear(3, 3), tg.nn.Linear(3, 3)
    memory, read, state = tg.randn(4, 3), tg.zeros(1, 3), None
    for x in tg.randn(3, 1, 3):
        state = cell(tg.concat([x, read], 1), state)
        share = (key(state[0]) @ memory.T).softmax(-1)
        memory = 0.9 * memory + share.T @ value(state[0])
        read = share @ memory
    level = collapse(tg.Graph(read.sum()), "cell")
    cells = [k for k, box in enumerate(level.boxes) if box.kind == "cell"]
    assert len(cells) == 6
    assert not any(edge.source in cells and edge.target in cells for edge in level.edges if edge.kind != "c")
