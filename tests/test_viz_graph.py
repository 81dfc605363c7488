"""Pictures as statements about a graph: nothing missing, nothing invented, the engine's own numbers."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from drawn_operands import undrawn
from geometry import boxes, circular, disorder, faults, lines
from hypothesis import example, given
from hypothesis import strategies as st
from nightly import NIGHTLY, examples
from test_viz import groups, svg_of, texts, tooltip, unrolled
from unlabelled_recurrences import Loop, loops

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.sequence_patterns import build
from viz.graph.cheapest_path import Spot, cheapest
from viz.graph.detail_levels import collapse
from viz.graph.gradient_values import gradients
from viz.graph.layout_in_lanes import in_lanes
from viz.graph.line_repair import mended
from viz.graph.line_routing import Rect, spline
from viz.graph.placement import Layout, Line

KINDS = (tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU)


def by_id(picture):
    return {g.get("id"): g for g in svg_of(picture).iter("{http://www.w3.org/2000/svg}g")}


def edges(picture):
    """(tail, head) of every drawn edge, by the node names in its title."""
    found = []
    for g in groups(picture, "edge"):
        tail, head = g.find("{http://www.w3.org/2000/svg}title").text.split("->")
        found.append((tail, head))
    return found


def title_lines(picture, word):
    return [texts(g)[0] for g in groups(picture, word) if "node" in g.get("class").split()]


# Every node and every edge -------------------------------------------------------------------------------


def node_index(name):
    """A box's node: n12_s0_t1 is node 12, w3_s0_t2 one of the copies of parameter 3."""
    return int(re.match(r"[nw](\d+)", name)[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_op_level_is_the_graph(kind, options):
    loss = unrolled(kind, steps=3, **options)
    graph = tg.Graph(loss)
    picture = viz.render(loss, detail="op", max_steps=None)
    drawn = {g.find("{http://www.w3.org/2000/svg}title").text for g in groups(picture, "node")}
    assert {node_index(name) for name in drawn} == set(range(len(graph)))
    assert Counter((node_index(a), node_index(b)) for a, b in edges(picture)) == Counter(
        (a, b) for a, b, _ in graph.edges
    )


def test_op_level_without_time_is_the_graph():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = (x * x).sum()
    picture = viz.render(y, detail="op")
    assert Counter((node_index(a), node_index(b)) for a, b in edges(picture)) == {(0, 1): 2, (1, 2): 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_coarser_levels_lose_no_computation(kind, detail):
    """Each node that gradients flow through is in exactly one box, or only moves values around."""
    graph = tg.Graph(unrolled(kind, steps=3))
    level = collapse(graph, detail)
    boxed = Counter(member for box in level.boxes if box.kind != "parameter" for member in set(box.members))
    for node in graph.nodes:
        if node.op is not None and node.requires_grad and node.op.name not in ("stack", "getitem"):
            assert boxed[node.index] == 1, node


def test_steps_are_copies_of_one_another():
    """Boxes of one kind stand at the same place of every step."""
    picture = viz.render(unrolled(tg.nn.LSTM, steps=5), detail="gate")
    place = {
        m[1]: (float(m[2]), float(m[3]))
        for m in re.finditer(r'(n\d+_s0_t\d+) \[.*?pos="([\d.-]+),([\d.-]+)!"', picture.dot)
    }
    for word in ("gate", "state", "logits", "x", "op"):
        by_step = {}
        for g in groups(picture, word):
            if g.get("id") in place:
                step = int(g.get("id").rpartition("_t")[2])
                by_step.setdefault(step, []).append(place[g.get("id")])
        assert len(by_step) == 5
        widths = {
            step: sorted((round(x - min(by_step[step])[0], 1), y) for x, y in found) for step, found in by_step.items()
        }
        assert all(found == widths[1] for found in widths.values())


# Patterns ------------------------------------------------------------------------------------------------


def test_the_slide():
    picture = viz.render(unrolled(steps=4))
    assert title_lines(picture, "x") == ["x₁", "x₂", "x₃", "x₄"]
    assert title_lines(picture, "logits") == ["y₁", "y₂", "y₃", "y₄"]
    assert sorted(title_lines(picture, "loss")) == ["L", "L₁", "L₂", "L₃", "L₄"]
    assert sorted(title_lines(picture, "state")) == ["h₀ = 0", "h₁", "h₂", "h₃", "h₄"]
    assert len(groups(picture, "cell")) == 4
    assert all(texts(cell) == ["f", "W"] for cell in groups(picture, "cell"))
    (weight,) = groups(picture, "parameter")
    assert sum(tail == weight.get("id") for tail, _ in edges(picture)) == 4


def test_many_to_one():
    rnn, head = tg.nn.RNN(4, 3), tg.nn.Linear(3, 2)
    _, h = rnn(tg.zeros(3, 1, 4))
    picture = viz.render(tg.nn.functional.cross_entropy(head(h.squeeze(0)), [1]))
    assert title_lines(picture, "x") == ["x₁", "x₂", "x₃"]
    assert title_lines(picture, "logits") == ["y"]
    assert title_lines(picture, "loss") == ["L"]


def test_one_to_many_feeds_each_output_back():
    cell, head, h = tg.nn.RNNCell(3, 4), tg.nn.Linear(4, 3), None
    x = tg.nn.labelled(tg.tensor([[1.0, 0.0, 0.0]]), "x")
    outputs = []
    for _ in tg.steps(3):
        h = cell(x, h)
        outputs.append(tg.nn.labelled(head(h), "logits"))
        x = tg.nn.labelled(tg.softmax(outputs[-1], -1), "x")
    picture = viz.render(outputs)
    assert title_lines(picture, "x") == ["x₁", "x₂", "x₃"]
    assert len(groups(picture, "feedback")) == 2


def test_an_encoder_and_a_decoder_stand_one_after_the_other():
    model = tg.nn.Seq2Seq(tg.nn.GRU(3, 4), tg.nn.GRU(2, 4), vocabulary=5)
    picture = viz.render(model(tg.ones(3, 1, 3), start=0, length=2))
    captions = [texts(g)[0] for g in groups(picture, "caption")]
    assert captions == ["encoder  t = 1", "encoder  t = 2", "encoder  t = 3", "decoder  t = 1", "decoder  t = 2"]
    assert sorted(title_lines(picture, "parameter")) == ["W₁", "W₂"]
    handover = [(a, b) for a, b in edges(picture) if "_s0_t3" in a and "_s1_t1" in b]
    assert len(handover) == 1


def test_a_running_sum_of_losses_is_no_recurrence():
    cell, head, h, total = tg.nn.RNNCell(4, 3), tg.nn.Linear(3, 4), None, 0.0
    for t in tg.steps(3):
        h = cell(tg.one_hot([t], 4), h)
        total = total + tg.nn.functional.cross_entropy(head(h), [t])
    picture = viz.render(total)
    assert len(groups(picture, "cell")) == 3
    assert sorted(title_lines(picture, "loss")) == ["L", "L₁", "L₂", "L₃"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_drawn_as_three_steps(kind):
    assert len(groups(viz.render(kind(3, 4)), "cell")) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detail", viz.graph.detail_levels.DETAILS)
def test_the_rolled_picture_stands_at_the_left_of_the_unrolled_one(kind, detail):
    loss = unrolled(kind, steps=3)
    alone, both = (viz.render(loss, detail=detail, rolled=rolled) for rolled in (False, True))
    folded = groups(both, "rolled")
    beside = {g.get("id") for g in folded} | {"unrolled"}
    assert {g.get("id") for g in groups(both, "node")} - beside == {g.get("id") for g in groups(alone, "node")}
    written = sorted(line for g in folded for line in texts(g))
    assert written == sorted(["xₜ", "W", kind.__name__, "yₜ", "Lₜ", "L"])
    boxes = drawn_boxes(both.dot)
    (cell,) = (g.get("id") for g in folded if "cell" in g.get("class").split())
    loops = [tail for tail, head, _ in lines(both.dot) if tail == head]
    assert loops == [cell] * (2 if kind is tg.nn.LSTM else 1)
    right = {name: x + w / 2 for name, (x, _, w, *_) in boxes.items()}
    left = {name: x - w / 2 for name, (x, _, w, *_) in boxes.items()}
    arrow = right.pop("unrolled"), left.pop("unrolled")
    assert max(right[name] for name in right if name.startswith("rolled_")) < arrow[1]
    assert min(left[name] for name in left if not name.startswith("rolled_")) > arrow[0]
    if detail == "cell":
        heights = {y for name, (_, y, _, _, kind) in boxes.items() if kind == "cell"}
        assert len(heights) == 1


def test_rolled_tells_what_comes_once_from_what_comes_at_every_step():
    cell, head, h = tg.nn.GRUCell(3, 4), tg.nn.Linear(4, 3), None
    x = tg.nn.labelled(tg.tensor([[1.0, 0.0, 0.0]]), "x")
    for _ in tg.steps(3):
        h = cell(x, h)
        x = tg.nn.labelled(head(h), "logits")
    picture = viz.render(x, rolled=True)
    folded = sorted(line for g in groups(picture, "rolled") for line in texts(g))
    assert folded == ["GRU", "W", "x₁", "yₜ"]
    assert len(groups(picture, "feedback")) == 2 + 1


def test_a_recurrence_written_by_hand():
    w, u = (tg.tensor(np.eye(2), requires_grad=True, name=name) for name in "wu")
    h = tg.tensor([0.0, 0.0], dtype=np.float64)
    for _ in tg.steps(4):
        h = (w @ h + u @ tg.tensor([1.0, 2.0], dtype=np.float64)).tanh()
    picture = viz.render(h.sum())
    assert len(groups(picture, "cell")) == 4
    assert len(groups(picture, "h")) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_ragged_batches(kind, network):
    tg.manual_seed(0)
    outputs, _ = kind(3, 2, **network)(tg.ones(3, 2, 3), lengths=[3, 1])
    loss = (outputs * outputs).sum()
    picture = viz.render(loss, backward=True)
    assert {"mask₁", "mask₂"} <= set(title_lines(picture, "input")) <= {"mask₁", "mask₂", "mask₃"}
    boxes = by_id(picture)
    for state in groups(picture, "state"):  # what is kept past a sequence's end is kept by the cell
        fed = [tail for tail, head in edges(picture) if head == state.get("id")]
        assert len(fed) == (0 if "₀" in texts(state)[0] else 1)
        assert all("cell" in boxes[tail].get("class").split() for tail in fed)
    titles = [text for g in groups(viz.render(loss, detail="gate"), "node") for text in texts(g)[:1]]
    assert any(re.fullmatch(r"h.* = .+, masked", title) for title in titles)
    assert "constant" not in titles


# Numbers -------------------------------------------------------------------------------------------------


def test_tooltips_carry_the_engines_numbers():
    loss = unrolled(tg.nn.LSTM, steps=3)
    graph = tg.Graph(loss)
    boxes = by_id(viz.render(loss, detail="op", values=True, grads=True))
    walked = {step.node.serial: step.gradient for step in tg.walk([loss], [np.ones((), loss.dtype)])}
    checked = 0
    for node in graph.nodes:
        if node.is_parameter or node.op is None:
            continue
        text = tooltip(next(g for name, g in boxes.items() if re.match(rf"n{node.index}(_|$)", name)))
        assert f"#{node.index} {node.op.name}" in text
        for word, array in (("value", node.value), ("gradient", walked.get(node.serial))):
            if array is not None:
                stated = re.search(rf"{word}: (.*)", text)[1]
                if "…" not in stated and "..." not in stated:
                    numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e[+-]\d+)?", stated)]
                    np.testing.assert_allclose(numbers, np.ravel(array), rtol=1e-3, atol=1e-4)
                    checked += 1
    assert checked > 40


def test_shares_of_a_shared_weight_are_its_contributions():
    loss = unrolled(tg.nn.GRU, steps=4)
    level = collapse(tg.Graph(loss), "gate")
    found = gradients([loss], level)
    position = level.graph.by_serial()
    expected = {}
    for step in tg.walk([loss], [np.ones((), loss.dtype)]):
        for contribution in step.contributions:
            target = position[contribution.target.serial]
            if level.graph.nodes[target].is_parameter:
                key = target, step.node.scope.step
                expected[key] = expected.get(key, 0) + contribution.value
    seen = {}
    for (box, parameter), size in found.sizes.items():
        column = level.boxes[box].column
        seen[parameter, column.step] = size
    assert seen.keys() == expected.keys()
    for key, value in expected.items():
        assert seen[key] == pytest.approx(np.linalg.norm(value), rel=1e-5, abs=1e-9)


def test_percentages_of_a_weight_add_up():
    picture = viz.render(unrolled(tg.nn.LSTM, steps=4), detail="gate", grads=True)
    shares = {}
    for g in groups(picture, "parameter"):
        for line in texts(g):
            name, percent = re.fullmatch(r"([\w ]+?) +∂ .* \(([−+][\d.]+)%\)", line).groups()
            shares.setdefault(name, []).append(float(percent.replace("−", "-")))
    assert len(shares) == 6
    assert all(len(steps) == 4 and abs(sum(steps) - 100) <= 0.2 for steps in shares.values())


def test_what_is_used_twice_shows_all_that_it_receives():
    a = tg.tensor([1.0, 2.0, 3.0], requires_grad=True, name="a")
    (box,) = groups(viz.render((a * a).sum(), detail="op", grads=True), "parameter")
    assert texts(box) == ["a  ∂ 7.5"]  # |2a|


def test_gradients_leave_grad_alone_and_come_again_after_backward():
    loss = unrolled(steps=3)
    before = viz.render(loss, grads=True).dot
    assert all(node.grad is None for node in leaves(loss))
    loss.backward()
    kept = {id(x): x.grad.tolist() for x in leaves(loss) if x.grad is not None}
    assert viz.render(loss, grads=True).dot == before
    assert {id(x): x.grad.tolist() for x in leaves(loss) if x.grad is not None} == kept


def leaves(tensor):
    found, pending = {}, [tensor]
    while pending:
        x = pending.pop()
        if id(x) not in found:
            found[id(x)] = x
            pending += [y for y in x.operands if isinstance(y, tg.Tensor)]
    return [x for x in found.values() if x.op is None]


def test_the_backward_picture_mirrors_every_edge_gradients_flow_along():
    loss = unrolled(steps=4)
    picture = viz.render(loss, backward=True)
    assert len(groups(picture, "backward")) == 4
    assert sorted(title_lines(picture, "gradient"))[:4] == ["∂L/∂L", "∂L/∂L₁", "∂L/∂L₂", "∂L/∂L₃"]
    forward = [g for g in groups(picture, "edge") if not {"gradient", "uses"} & set(g.get("class").split())]
    mirrored = [g for g in groups(picture, "edge") if "gradient" in g.get("class").split()]
    boxes, dead = by_id(picture), 0
    for g in forward:  # nothing flows back into data and zeros
        tail = boxes[g.find("{http://www.w3.org/2000/svg}title").text.split("->")[0]]
        dead += "x" in tail.get("class").split() or texts(tail)[0].startswith("h₀")
    assert len(mirrored) == len(forward) - dead


def test_the_backward_graph_at_op_level_is_the_recorded_one():
    loss = unrolled(steps=2)
    picture = viz.render(loss, detail="op", backward=True)
    forward = len(tg.Graph(loss))
    drawn = {node_index(g.find("{http://www.w3.org/2000/svg}title").text) for g in groups(picture, "node")}
    assert drawn == set(range(len(drawn)))
    assert len(drawn) > 2 * forward


@pytest.mark.parametrize("options", [{"grads": True}, {"backward": True}])
def test_gradients_want_tensors_and_a_scalar(options):
    loss = unrolled(steps=2)
    with pytest.raises(tg.GraphError, match="pass the loss itself"):
        viz.render(tg.Graph(loss), **options)
    with pytest.raises(tg.GraphError, match=r"scalar loss.*6 elements"):
        viz.render(tg.tensor(np.ones((2, 3)), requires_grad=True) * 2.0, **options)
    with pytest.raises(tg.GraphError, match="requires a gradient"):
        viz.render(tg.tensor([1.0]) * 2.0, **options)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        (3, {}, "not int"),
        ("loss", {}, "not str"),
        ([], {}, "not list"),
        (tg.nn.Linear(2, 3), {}, r"viz\.render\(module\(x\)\)"),
        (tg.tensor([1.0]), {"detail": "gates"}, '"cell", "gate" or "op"'),
        (tg.tensor([1.0]), {"rolled": True}, "this graph has none"),
        (tg.tensor([1.0]), {"detail": None}, '"cell", "gate" or "op"'),
        (tg.tensor([1.0]), {"max_steps": 1}, "max_steps is at least 2"),
        (tg.tensor([1.0]), {"max_steps": 2.5}, r"None for all, not 2\.5"),
        (tg.tensor([1.0]), {"captions": 3}, "captions is a list of texts"),
        (tg.tensor([1.0]), {"title": b"x"}, "title is a text, not b'x'"),
        (tg.tensor([1.0]), {"timeout": float("nan")}, "timeout is a number of seconds above 0"),
        (tg.tensor([1.0]), {"path": 3}, "path is the name of a file, not 3"),
        (tg.tensor([1.0]), {"dot": 3}, "dot is the name of a file, not 3"),
    ],
)
def test_what_cannot_be_drawn_says_so(what, options, message):
    with pytest.raises((tg.ArgumentError, tg.GraphError), match=message) as caught:
        viz.render(what, **options)
    assert re.search(r"\[at test_viz_graph\.py:\d+\]$", str(caught.value))


# Long sequences ------------------------------------------------------------------------------------------


def test_a_thousand_steps_are_elided_and_the_rest_stays_as_it_was():
    long, short = viz.render(unrolled(steps=1000)), viz.render(unrolled(steps=6))
    (gap,) = groups(long, "gap")
    assert "× 994 steps" in texts(gap)
    assert title_lines(long, "x") == ["x₁", "x₂", "x₃", "x₉₉₈", "x₉₉₉", "x₁₀₀₀"]
    shape = [
        [(g.get("class").split()[1], len(texts(g))) for g in groups(p, "node") if "caption" not in g.get("class")]
        for p in (long, short)
    ]
    assert Counter(shape[0]) - Counter(shape[1]) == Counter({("gap", 2): 1})


@pytest.mark.parametrize(("max_steps", "drawn", "left_out"), [(2, 2, 7), (3, 3, 6), (8, 8, 1), (9, 9, 0), (None, 9, 0)])
def test_max_steps(max_steps, drawn, left_out):
    picture = viz.render(unrolled(steps=9), max_steps=max_steps)
    assert len(groups(picture, "cell")) == drawn
    gaps = groups(picture, "gap")
    assert [texts(g)[-1] for g in gaps] == ([f"× {left_out} step{'s' * (left_out > 1)}"] if left_out else [])


def test_the_picture_is_well_formed_at_every_level_and_pattern():
    model = tg.nn.Seq2Seq(tg.nn.LSTM(3, 4, num_layers=2), tg.nn.LSTM(2, 4, num_layers=2), vocabulary=5)
    scores = model(tg.ones(7, 1, 3), start=0, length=8)
    for detail in viz.graph.detail_levels.DETAILS:
        picture = viz.render(scores, detail=detail, max_steps=3)
        assert ET.fromstring(picture.svg).tag.endswith("svg")
        for match in re.finditer(r'pos="([^"]*)"', picture.dot):
            assert "nan" not in match[1] and "inf" not in match[1]


# Geometry ------------------------------------------------------------------------------------------------


def drawn_boxes(dot):
    """Name to (x, y, width, height, first word of the class) of every node, in points."""
    return {name: (*place, kind.split()[0]) for name, (*place, kind) in boxes(dot).items()}


def is_clear(dot):
    """No two boxes overlap, and no line runs through a box or the words below a time step."""
    boxes = drawn_boxes(dot)
    names = sorted(boxes)
    for k, name in enumerate(names):
        x, y, w, h, _ = boxes[name]
        for other in names[k + 1 :]:
            a, b, c, d, _ = boxes[other]
            assert abs(x - a) > (w + c) / 2 - 1 or abs(y - b) > (h + d) / 2 - 1, (name, other)
    solid = {name: box for name, box in boxes.items() if box[4] == "caption" or box[2] < 400}  # no bars
    for tail, head, points in lines(dot):
        for name in solid.keys() - {tail, head}:
            x, y, w, h, kind = solid[name]
            w = 40 if kind == "caption" else w  # as wide as its words
            inside = (abs(points[:, 0] - x) < w / 2 - 1) & (abs(points[:, 1] - y) < h / 2 - 1)
            assert not inside.any(), (tail, head, name)


NETWORKS = [{}, {"num_layers": 2}, {"bidirectional": True}]
OPTIONS = [
    {}, {"values": True, "grads": True}, {"backward": True}, {"detail": "gate", "grads": True}, {"detail": "op"},
    {"rolled": True},
]  # fmt: skip
#: all by night; by day any two of a kind, a network and options come together once
CLEAR = [
    (kind, network, options)
    for k, kind in enumerate(KINDS)
    for n, network in enumerate(NETWORKS)
    for o, options in enumerate(OPTIONS)
    if NIGHTLY or (k + n + o) % 3 == 0
]


@pytest.mark.parametrize(("kind", "network", "options"), CLEAR)
def test_no_boxes_overlap_and_no_line_runs_through_a_box(kind, network, options):
    is_clear(viz.render(unrolled(kind, steps=3, **network), **options).dot)


def labelled_input(net, **options):
    """A loss of what a layer makes of a sequence that is one tensor with a name."""
    return net(tg.nn.labelled(tg.ones(4, 3, 3), "x"), **options)[0].square().mean()


def test_what_feeds_all_steps_from_below_keeps_clear_of_the_words_there():
    for bidirectional in (False, True):
        is_clear(viz.render(labelled_input(tg.nn.LSTM(3, 2, bidirectional=bidirectional))).dot)


def test_ragged_batches_folded():
    for kind in KINDS:
        dot = viz.render(labelled_input(kind(3, 2), lengths=[4, 2, 1]), rolled=True).dot
        is_clear(dot)
        upward = [points for tail, head, points in lines(dot) if tail.startswith("rolled") and tail != head]
        assert len(upward) > 2
        assert all((np.diff(points[:, 1]) > -0.01).all() for points in upward), "a line that turns back"


def test_layers_that_read_two_sequences_have_one_name_for_their_weights():
    first, second = tg.nn.LSTM(2, 2), tg.nn.LSTM(2, 2)
    ends = [second(first(tg.ones(2, 1, 2) * k)[0])[0][-1] for k in (1.0, 2.0)]
    picture = viz.render((ends[0] - ends[1]).square().sum())
    notes = [texts(g) for g in groups(picture, "parameter")]
    assert sorted(notes) == [["W₁"], ["W₁"], ["W₂"], ["W₂"]]


def test_what_joins_the_ends_of_a_pass_spans_its_steps_and_not_those_of_the_next():
    encoder, bridge = tg.nn.GRU(2, 2, bidirectional=True), tg.nn.Linear(4, 2)
    decoder, head = tg.nn.GRUCell(2, 2), tg.nn.Linear(2, 2)
    with tg.scope("encoder"):
        outputs, both = encoder(tg.ones(2, 1, 2))
        h = bridge(tg.concat([both[0], both[1]], axis=-1)).tanh()
    total = tg.tensor(0.0)
    for _ in tg.steps(2):
        with tg.scope("decoder"):
            context = (outputs * (outputs @ tg.concat([h, h], axis=-1).reshape(4, 1)).softmax(0)).sum(0)
            h = decoder(context[:, :2], h)
            total = total + head(h).square().sum()
    is_clear(viz.render(total, detail="op").dot)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_encoder_and_decoder_do_not_get_in_each_others_way(cell, layers):
    loss = build("seq2seq", cell, length=2, hidden=2, layers=layers)
    for options in ({}, {"rolled": True}, {"backward": True}):
        is_clear(viz.render(loss, **options).dot)
    dot = viz.render(loss).dot
    cells = [name for name, box in drawn_boxes(dot).items() if box[4] == "cell"]
    for tail, head, points in lines(dot):
        assert tail not in cells or head not in cells or np.ptp(points[:, 1]) < 0.01, "c has a way of its own"


def test_weights_of_what_gathers_all_steps_are_drawn():
    rnn, head = tg.nn.RNN(4, 3), tg.nn.Linear(3, 4)
    outputs, _ = rnn(tg.zeros(4, 1, 4))
    loss = tg.nn.functional.cross_entropy(head(outputs.reshape(4, 3)), [1, 2, 3, 0])
    names = [name for g in groups(viz.render(loss, detail="gate"), "parameter") for name in texts(g)]
    assert Counter(names)["W_hy weight"] == Counter(names)["b_hy bias"] == 1


# Networks of one's own ------------------------------------------------------------------------------------


class OwnCell(tg.nn.Module):
    """A cell as a lecture writes it."""

    def __init__(self):
        self.ih, self.hh = tg.nn.Linear(3, 2), tg.nn.Linear(2, 2)

    def forward(self, x, h):
        return (self.ih(x) + self.hh(h)).tanh()


def own_network(*, steps, labelled, module):
    """The loop of the README, with a cell of one's own or none."""
    tg.manual_seed(0)
    cell, head = OwnCell(), tg.nn.Linear(2, 3)
    w, u = (tg.tensor(0.5 * np.ones((n, 2)), requires_grad=True) for n in (3, 2))
    xs, h, total = tg.one_hot([0, 1, 2, 2], 3), tg.zeros(1, 2), 0.0
    for t in tg.steps(4) if steps else range(4):
        say = tg.nn.labelled if labelled else lambda x, _role: x
        x = say(xs[t : t + 1], "x")
        h = say(cell(x, h) if module else (x @ w + h @ u).tanh(), "h")
        y = say(head(h), "logits")
        total = total + say(tg.nn.functional.cross_entropy(y, [t % 3]), "loss")
    return total


@pytest.mark.parametrize("module", [True, False])
@pytest.mark.parametrize(("steps", "labelled"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_cell_of_ones_own_is_drawn_like_ours_whatever_was_said_about_it(steps, labelled, module):
    own = viz.render(own_network(steps=steps, labelled=labelled, module=module)).dot
    ours = viz.render(build("many-to-many", "rnn", length=4)).dot
    places = [sorted((kind, x, y) for x, y, _, _, kind in drawn_boxes(dot).values()) for dot in (own, ours)]
    assert places[0] == places[1]
    is_clear(own)


def on_nights(loop, detail):
    """What a night has found: each of them takes seconds."""
    return example(loop, detail) if NIGHTLY else lambda test: test


#: Two thousand at night, of up to a dozen steps; by day small ones, each a tenth of a second.
@examples(50, 2000)
@given(
    loops(least_steps=1, most_steps=12 if NIGHTLY else 2, wider=True), st.sampled_from(viz.graph.detail_levels.DETAILS)
)
@on_nights(Loop(("normed", "gru", "gru"), 12, "attention", skip=True, tied=True), "gate")
@on_nights(Loop(("normed", "rnn", "gated"), 7, "attention", skip=True, listed=True, tied=True), "gate")
@on_nights(
    Loop(("rnn", "memory", "memory"), 7, "attention", False, False, False, True, True, False, "top down", "slope"),
    "cell",
)
@on_nights(Loop(("lstm", "residual", "residual"), 11, "decoder", skip=True, listed=True, tied=True), "gate")
def test_the_layout_of_random_recurrent_networks_keeps_what_it_promises(loop, detail):
    """docs/pictures.md lists what."""
    graph = loop.graph()[0]
    dot = viz.render(graph, detail=detail).dot
    assert faults(dot) == []
    assert circular(dot) == set()
    if detail == "cell":
        assert disorder(dot) == []
    if loop.steps < 7:  # none is left out
        level = collapse(graph, detail)
        named = {level.boxes[e.source].main for e in level.edges} | {level.boxes[e.target].main for e in level.edges}
        assert named <= {node_index(name) for name in boxes(dot) if name[0] in "nw"}
        assert len(lines(dot)) == len(level.edges), "an operand that is not drawn"
        assert undrawn(level) == []


@pytest.mark.parametrize("detail", ["cell", "gate", "op"])
@pytest.mark.parametrize("lengths", [(2, 2, 2), (2, 3, 1)])
def test_what_a_cell_within_a_step_reads_is_drawn(lengths, detail):
    """Characters of a word that another cell reads whole."""
    below, above, state = tg.nn.GRUCell(3, 3), tg.nn.RNNCell(3, 3), tg.zeros(1, 3)
    for length in lengths:
        h = tg.zeros(1, 3)
        for _ in range(length):
            h = below(tg.randn(1, 3), h)
        state = above(h, state)
    loss = state.square().sum()
    assert undrawn(collapse(tg.Graph(loss), detail)) == [] and faults(viz.render(loss, detail=detail).dot) == []


@pytest.mark.parametrize("detail", ["cell", "gate", "op"])
@pytest.mark.parametrize("asked", [True, False])
def test_what_the_end_reads_beside_the_steps_is_joined_to_both(detail, asked):
    """All inputs go past the cells; whether their gradient is asked for makes them no weights."""
    x, lstm = tg.tensor(np.ones((2, 1, 3)), requires_grad=asked, name="seen"), tg.nn.LSTM(3, 3)
    graph = tg.Graph(tg.concat([x, lstm(x)[0]], axis=-1).square().sum())
    dot = viz.render(graph, detail=detail).dot
    level = collapse(graph, detail)
    assert faults(dot) == []
    assert len(lines(dot)) == len(level.edges), "an operand that is not drawn"
    if detail != "op":
        (seen,) = re.findall(r"^\s*(\w+) \[label=seen ", dot, re.MULTILINE)
        assert [head[-2:] for tail, head, _ in lines(dot) if tail == seen][:2] == ["t1", "t2"]


def test_of_the_only_sequence_of_a_batch_the_last_state_is_read():
    out, _ = tg.nn.GRU(2, 2)(tg.ones(3, 1, 2))
    for read in (out[-1, 0], out[2, :, 1], out.squeeze(1)[-1]):
        dot = viz.render(read.square().sum()).dot
        (loss,) = (name for name, (*_, kind) in boxes(dot).items() if kind.split()[0] == "loss")
        assert [tail.split("_")[-1] for tail, head, _ in lines(dot) if head == loss] == ["t3"]


def test_lines_of_one_box_share_their_way_also_where_one_leads_into_the_steps_left_out():
    x, below, above = tg.ones(9, 1, 2), tg.nn.LSTM(2, 2), tg.nn.LSTM(2, 2)
    h, _ = below(x)
    both = tg.concat([h, above(h)[0]], axis=-1)
    drawn = lines(viz.render((both * both.softmax(0)).sum()).dot)
    end = Counter(head for _, head, _ in drawn if "_t" not in head).most_common(1)[0][0]
    assert len({round(points[:, 1].max(), 3) for _, head, points in drawn if head == end}) == 1


@pytest.mark.parametrize("rolled", [True, False])
@pytest.mark.parametrize("inputs", [1, 2])
def test_no_line_strikes_what_is_written_beside_another(inputs, rolled):
    """Two cells' states go to one head, so that a line passes the cell state of the second."""
    below, above, head, x = tg.nn.RNNCell(2, 2), tg.nn.LSTMCell(2, 2), tg.nn.Linear(4, 2), tg.randn(3, inputs, 1, 2)
    h, (s, c), total = tg.zeros(1, 2), (tg.zeros(1, 2),) * 2, 0.0
    for t in range(3):
        h, (s, c) = below(x[t, 0], h), above(x[t, -1], (s, c))
        total = total + tg.nn.functional.cross_entropy(head(tg.concat([h, s], axis=1)), [t % 2])
    dot = viz.render(total, rolled=rolled).dot
    assert all(f'label="c⁽²⁾{t}"' in dot for t in "₁₂") and faults(dot) == []


def test_a_cell_state_handed_on_in_a_rolled_picture_has_its_name_beside_its_line():
    encoder, decoder, x, y = tg.nn.LSTM(3, 3), tg.nn.LSTMCell(6, 3), tg.randn(3, 1, 3), tg.randn(3, 1, 3)
    out, state = encoder(x)
    h, c = (s[0] for s in state)
    for t in range(3):
        read = (out[:, 0] * h).sum(-1, keepdim=True).softmax(0).T @ out[:, 0]
        h, c = decoder(tg.concat([y[t], read], axis=1), (h, c))
    assert faults(viz.render(h.sum(), rolled=True).dot) == []


def test_lines_drawn_anew_are_no_worse_than_before(monkeypatch):
    """A way around that ends up upon another line, and through the same box, is not kept."""
    rects = {k: Rect(100.0 * k, 0, 40, 20) for k in range(3)} | {3: Rect(0, 50, 40, 20), 4: Rect(200, 50, 40, 20)}
    routes = {(0, 2): [(20, 0), (180, 0)], (3, 4): [(20, 50), (180, 50)]}
    drawn = [Line(n, spline(points), *ends) for n, (ends, points) in enumerate(routes.items())]
    worse = [(20.0, 0.0), (50.0, 0.0), (50.0, 50.0), (110.0, 50.0), (110.0, 0.0), (180.0, 0.0)]
    monkeypatch.setattr("viz.graph.line_repair.around", lambda *_args, **_options: worse)
    layout = Layout(rects, list(drawn))
    assert mended(layout) == 1 and layout.lines == drawn


def test_a_state_made_of_the_last_step_of_an_earlier_pass_is_joined_to_it():
    """A bridge from an encoder, which starts from zeros, to its decoder; the losses are plain numbers, summed up."""
    encoder, decoder, bridge = tg.nn.RNNCell(3, 3), tg.nn.RNNCell(3, 3), tg.nn.Linear(3, 3)
    x, h, start, total = tg.randn(2, 1, 3), tg.zeros(1, 3), tg.ones(1, 3), 0.0
    for t in range(2):
        h = encoder(x[t], h)
    s = tg.tanh(bridge(h))
    for _ in range(2):
        s = decoder(start, s)
        total = total + s.sum()
    dot = viz.render(total).dot
    kinds = [kind.split()[0] for *_, kind in boxes(dot).values()]
    assert (kinds.count("cell"), kinds.count("state"), kinds.count("loss")) == (4, 6, 3)
    assert len(lines(dot)) == len(collapse(tg.Graph(total), "cell").edges)
    assert faults(dot) == [] and disorder(dot) == []


def test_labels_of_two_layers_are_the_programs_variables():
    below, above = tg.nn.GRU(3, 3), tg.nn.GRU(3, 3)
    out = above(below(tg.randn(2, 1, 3))[0])[0]
    names = []
    for detail in ("gate", "op"):
        dot = viz.render((out * out).sum(), detail=detail).dot
        assert {"t = 1", "t = 2"} <= set(re.findall('label="(.*?)"', dot))
        names.append(set(re.findall(r"(?:below|above)\.\w+_l0", dot)))
    assert names[0] == names[1] and {"below.weight_ih_l0", "above.bias_hh_l0"} <= names[0]


def test_a_zero_state_that_two_cells_begin_with_has_both_names():
    below, above, x, h = tg.nn.RNNCell(3, 3), tg.nn.RNNCell(3, 3), tg.randn(2, 1, 3), tg.zeros(1, 3)
    s = h
    for t in range(2):
        h = below(x[t], h)
        s = above(h, s)
    assert '"h⁽¹⁾₀ = h⁽²⁾₀ = 0"' in viz.render(s.sum()).dot


def test_layers_without_module_or_variable_are_numbered_as_they_were_made():
    layers, x, h = {k: tg.nn.Linear(3, 3) for k in (1, 2)}, tg.randn(2, 1, 3), tg.zeros(1, 3)
    for t in tg.steps(2):
        h = tg.tanh(layers[2](x[t]) * layers[1](x[t]) + h)
    dot = viz.render(h.sum(), detail="gate").dot
    notes = {line for label in re.findall(r'label="(.*?)"', dot) for line in label.split(r"\n") if "layer" in line}
    assert notes == {f"layer{k}.{name}" for k in (1, 2) for name in ("weight", "bias")}


@pytest.mark.parametrize("shape", ["one pass", "both ways", "decoder", "attention"])
@pytest.mark.parametrize("detail", ["gate", "op"])
def test_no_part_of_a_cell_reads_its_own_later_results(shape, detail):
    graph, _ = Loop(("gated",), 2, shape).graph()
    assert circular(viz.render(graph, detail=detail).dot) == set()


@pytest.mark.parametrize("detail", ["gate", "op"])
def test_the_gates_stand_as_they_are_taught(detail):
    dot = viz.render(build("many-to-one", "lstm", length=2), detail=detail).dot
    at = {name: re.search(rf'label="{name}₁[^"]*".*? pos="([-\d.]+),', dot)[1] for name in "ifog"}
    assert sorted(at, key=lambda name: float(at[name])) == ["i", "f", "o", "g"]


def test_a_layer_that_is_used_twice_in_a_step_has_one_note():
    layer, x, h, total = tg.nn.Linear(3, 3), tg.randn(3, 1, 3), tg.zeros(1, 3), 0.0
    for t in tg.steps(3):
        h = tg.tanh(layer(x[t]) + layer(h))
        total = total + h.sum()
    dot = viz.render(total, detail="gate").dot
    notes = [name for name, (*_, kind) in drawn_boxes(dot).items() if "parameter" in kind]
    assert len(notes) == 3
    assert all(len(re.findall(rf"{note} -> ", dot)) == 2 for note in notes)


def test_a_state_that_is_prepared_before_its_cell_is_no_second_one():
    """As in a GRU whose state decays while nothing is observed: the cell calls what it is given its state."""
    cell, decay, x, h = tg.nn.GRUCell(3, 3), tg.nn.Linear(3, 3), tg.randn(3, 1, 3), tg.zeros(1, 3)
    for t in tg.steps(3):
        h = cell(x[t], tg.sigmoid(decay(x[t])) * h)
    dot = viz.render(h.sum()).dot
    assert circular(dot) == set()
    assert [kind.split()[0] for *_, kind in drawn_boxes(dot).values()].count("state") == 4


def test_a_memory_and_what_is_read_from_it_are_states_with_names():
    cell, x, h, memory, read = tg.nn.RNNCell(6, 3), tg.randn(3, 1, 3), tg.zeros(1, 3), tg.ones(4, 3), tg.zeros(1, 3)
    for t in tg.steps(3):
        h = cell(tg.concat([x[t], read], 1), h)
        memory = memory + tg.ones(4, 1) @ h
        read = (memory @ h.T).softmax(0).T @ memory
    dot = viz.render(read.sum()).dot
    assert circular(dot) == set() and faults(dot) == []
    for name in ("h₀ = 0", "h′₀", "h′′₀ = 0", "h₃", "h′₃", "h′′₃"):
        assert f'"{name}"' in dot


def test_a_decoder_stands_after_the_encoder_that_it_reads_though_it_starts_from_zeros():
    encoder, decoder, head = tg.nn.RNN(3, 3, bidirectional=True), tg.nn.RNNCell(6, 3), tg.nn.Linear(3, 3)
    memory, h, total = encoder(tg.randn(3, 1, 3))[0][:, 0], tg.zeros(1, 3), 0.0
    for t in tg.steps(3):
        h = decoder((memory @ tg.ones(6, 1)).softmax(0).T @ memory, h)
        total = total + tg.nn.functional.cross_entropy(head(h), [t])
    dot = viz.render(total).dot
    assert faults(dot) == [] and circular(dot) == set()
    cells = [(x, name) for name, (x, *_, kind) in drawn_boxes(dot).items() if kind.startswith("cell")]
    assert [name.split("_")[1] for _, name in sorted(cells)] == ["s0"] * 6 + ["s1"] * 3


def test_what_is_handed_over_stands_before_the_pass_that_reads_it_by_way_of_others():
    """An encoder's last state is reshaped outside the steps before the decoder takes it up."""
    encoder, decoder, join = tg.nn.GRU(2, 2, bidirectional=True), tg.nn.GRUCell(4, 2), tg.nn.Linear(4, 2)
    with tg.scope("encoder"):
        keys, h = encoder(tg.ones(2, 1, 2))
        h = join(tg.concat([h[0], h[1]], axis=1)).tanh()
    h = h.expand_dims(0)
    for _ in tg.steps(2):
        with tg.scope("decoder"):
            share = keys.sum(2) * h[0].sum(1)
            h = decoder((keys * share.softmax(0).expand_dims(2)).sum(0), h[0]).expand_dims(0)
    assert "decoder" in viz.render(h.square().sum(), detail="gate").svg


def test_what_cannot_be_tiled_is_laid_out_whole_with_time_from_left_to_right():
    graph, _ = Loop(("rnn",), 5, "attention", skip=True).graph()
    level = collapse(graph, "gate")
    sizes = [(60.0, 20.0)] * len(level.boxes)
    layout = in_lanes(level, sizes, max_steps=4)
    assert layout.gaps and all(line.pos for line in layout.lines) and mended(layout) == 0
    frames = [frame for _, frame in layout.frames]
    assert all(a.right < b.left for a, b in pairwise(frames))
    for i, rect in layout.rects.items():
        own = [frame for column, frame in layout.frames if column == level.boxes[i].column]
        assert all(frame.left < rect.left and rect.right < frame.right for frame in own)


#: those at op level take ten seconds each
HAD_A_FAULT = [
    ("cell", Loop(("normed",), 2, "attention", tied=True, feedback="mutual", judged="distance")),
    ("cell", Loop(("rnn", "gated"), 4, head=False, skip=True, listed=True, feedback="mutual", judged="slope")),
    ("op", Loop(("lstm",), 12, tied=True, feedback="mutual", judged="slope")),
    ("op", Loop(("memory", "residual"), 5, "both ways", head=False, skip=True, judged="slope")),
]


@pytest.mark.parametrize(("detail", "loop"), HAD_A_FAULT if NIGHTLY else HAD_A_FAULT[:2])
def test_pictures_that_had_a_fault(detail, loop):
    """A line through a caption, an input behind a constant, lines on one another, boxes far from all steps."""
    dot = viz.render(loop.graph()[0], detail=detail).dot
    assert faults(dot) == [] and circular(dot) == set() and (detail != "cell" or disorder(dot) == [])


@pytest.mark.parametrize("seed", range(40))
def test_a_path_is_as_cheap_as_one_found_crossing_by_crossing(seed):
    """Against Bellman's equations, solved over and over on a small grid with walls."""
    rng = np.random.default_rng(seed)
    across, up = rng.uniform(1, 5, (6, 6)), rng.uniform(1, 5, (7, 5))
    across[rng.uniform(size=across.shape) < 0.3] = up[rng.uniform(size=up.shape) < 0.3] = np.inf
    starts = [Spot(0, 1, (1, 0), 2.0), Spot(3, 0, (0, 1), 0.0)]
    ends = [Spot(6, 4, (1, 0), 1.0), Spot(5, 5, (0, 1), 0.0)]
    ways = ((1, 0), (-1, 0), (0, 1), (0, -1))
    cost = dict.fromkeys(product(range(7), range(6), ways), np.inf) | {(s.i, s.j, s.way): s.cost for s in starts}

    def step(i, j, way):
        return across[min(i, i + way[0]), j] if way[0] else up[i, min(j, j + way[1])]

    for _ in range(100):
        for (i, j, way), known in cost.items():
            before = i - way[0], j - way[1]
            if (*before, way) in cost:
                ahead = [cost[*before, other] + 14 * (other != way) for other in ways if other != (-way[0], -way[1])]
                cost[i, j, way] = min(known, min(ahead) + step(*before, way))
    aside = {way: [other for other in ways if other not in (way, (-way[0], -way[1]))] for way in ways}
    least = min(
        min(cost[e.i, e.j, e.way], *(cost[e.i, e.j, other] + 24 for other in aside[e.way])) + e.cost for e in ends
    )
    first, turns, last = cheapest(across, up, starts, ends, bend=14, last=24, least=0)
    if not turns:
        assert least == np.inf
        return
    found, way = starts[first].cost + ends[last].cost, starts[first].way
    assert turns[0] == (starts[first].i, starts[first].j) and turns[-1] == (ends[last].i, ends[last].j)
    for (i, j), (u, v) in pairwise(turns):
        heading = (int(np.sign(u - i)), int(np.sign(v - j)))
        found += 14 * (heading != way)
        way = heading
        while (i, j) != (u, v):
            found += step(i, j, way)
            i, j = i + way[0], j + way[1]
    assert found + 24 * (way != ends[last].way) == pytest.approx(least)


def test_boxes_on_a_circle_are_laid_out_whole_too():
    level = collapse(Loop(("gated",), 3).graph()[0], "op")
    e = next(e for e in level.edges if level.boxes[e.source].column == level.boxes[e.target].column is not None)
    level.edges.append(replace(e, source=e.target, target=e.source))
    layout = in_lanes(level, [(60.0, 20.0)] * len(level.boxes), max_steps=None)
    assert len(layout.rects) == len(level.boxes) and mended(layout) == 0


def test_where_every_line_has_a_lane_steps_stand_in_order_also_where_some_are_left_out():
    """One left out, and step 1: as tuples both were (0, 1). An input stands below its cell."""
    graph, _ = Loop(("gru",), 7, skip=True).graph()
    level = collapse(graph, "cell")
    layout = in_lanes(level, [(60.0, 20.0)] * len(level.boxes), max_steps=6)
    cells, inputs = ({i: r for i, r in layout.rects.items() if level.boxes[i].kind == kind} for kind in ("cell", "x"))
    assert [level.boxes[i].column.step for i in sorted(cells, key=lambda i: cells[i].x)] == [0, 1, 2, 4, 5, 6]
    for e in level.edges:
        if e.source in inputs and e.target in cells:
            assert inputs[e.source].y < cells[e.target].y


def test_what_is_wrong_in_a_picture_and_cannot_be_mended_is_said_above_it(monkeypatch):
    """With nothing mended: a skip connection's lines run along others."""
    graph, _ = Loop(("gru", "rnn"), 3, "attention", skip=True, tied=True).graph()
    assert "lines run along" not in viz.render(graph, detail="gate").dot
    monkeypatch.setattr("viz.graph.line_repair.ROUNDS", 0)
    level = collapse(graph, "gate")
    sizes = [(60.0, 20.0)] * len(level.boxes)
    whole = in_lanes(level, sizes, max_steps=None)
    whole.lines = [replace(line, pos=whole.lines[0].pos) for line in whole.lines]
    monkeypatch.setattr("viz.graph.layout.in_lanes", lambda *_args, **_options: whole)
    dot = viz.render(graph, detail="gate").dot
    assert len(faults(dot)) and "lines run along others or through a box; draw fewer steps" in dot
    monkeypatch.setattr("viz.graph.layout.MEASURED", 5)
    assert "was not measured" in viz.render(graph, detail="gate").dot


def test_attention_over_many_steps_is_measured_in_seconds():
    """Every step looks at all the ones before it: at first thousands of lines lie on one another."""
    cell, h, past = tg.nn.GRUCell(6, 3), tg.zeros(1, 3), [tg.zeros(1, 3)]
    for x in tg.randn(24, 1, 3):
        seen = tg.concat(past)
        h = cell(tg.concat([x, (h @ seen.T).softmax(1) @ seen], 1), h)
        past.append(h)
    start = time.process_time()
    dot = viz.render(h.square().sum(), max_steps=None).dot
    assert time.process_time() - start < 20 and "lines run along others" not in dot


def test_of_one_huge_step_the_boxes_nearest_to_the_result_are_drawn(monkeypatch):
    monkeypatch.setattr("viz.graph.layout.MOST", 60)
    h, w = tg.zeros(1, 3), tg.ones(3, 3, requires_grad=True)
    for _ in tg.steps(2):
        h = tg.tanh(h @ w)
        for _ in range(45):
            h = tg.tanh(h * 1.5)
    dot = viz.render(h.sum(), detail="op").dot
    assert "the 60 of 1" in dot and "one of its time steps has 9" in dot


def two_states(hidden: str | None, memory: str | None, steps: int = 3) -> tg.Tensor:
    """A state and a memory that decays, labelled so."""
    rng = np.random.default_rng(0)
    w, u, v = (tg.tensor(rng.normal(size=size), requires_grad=True) for size in [(2, 3), (3, 3), (3, 2)])
    h, m, loss = tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in tg.steps(steps):
        h = tg.tanh(tg.ones(1, 2) * t @ w + h @ u)
        h = tg.nn.labelled(h, hidden) if hidden else h
        m = 0.9 * m + h
        m = tg.nn.labelled(m, memory) if memory else m
        loss = loss + tg.nn.functional.cross_entropy(m @ v, [t % 2])
    return loss


@pytest.mark.parametrize("detail", ["cell", "gate", "op"])
@pytest.mark.parametrize("labels", [("h", "m"), ("s", "m"), ("state", "memory")])
def test_a_state_has_a_box_whatever_it_is_called(labels, detail):
    boxes_of = [
        Counter((box.kind, box.column, box.before) for box in collapse(tg.Graph(two_states(*names)), detail).boxes)
        for names in (labels, (None, None))
    ]
    assert boxes_of[0] == boxes_of[1]
    dot = viz.render(two_states(*labels), detail=detail).dot
    for label in labels:
        assert all(f"{label}{digit}" in dot for digit in "₀₁₂₃")
    assert "⁽" not in dot and not faults(dot)
    if detail == "gate" and labels == ("h", "m"):
        assert dot.count("m₁ = 0.9⊙m + h") == dot.count("m₂ = 0.9⊙m + h") > 0


@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_a_gradient_in_the_loss_is_no_update(detail):
    w, x, h = tg.tensor(np.eye(2) / 2, requires_grad=True), tg.ones(3, 1, 2, requires_grad=True), tg.zeros(1, 2)
    for t in tg.steps(3):
        h = tg.nn.labelled(tg.tanh(tg.nn.labelled(x[t], "x") + h @ w), "h")
    loss = tg.nn.functional.cross_entropy(h, [1])
    (g,) = tg.grad(loss, [x], create_graph=True)
    dot = viz.render(loss + 0.1 * (g * g).sum(), detail=detail, values=True).dot
    assert "update" not in dot and "cross-entropy" in dot
    level = collapse(tg.Graph(loss + 0.1 * (g * g).sum()), detail)
    (output,) = (box for box in level.boxes if level.graph.outputs[0] in box.members)
    assert output.kind == "loss" and not faults(dot)


@pytest.mark.parametrize("feedback", ["", "mutual"])
def test_what_the_gradient_in_a_loss_is_made_of_stands_in_the_steps_that_it_comes_through(feedback):
    level = collapse(Loop(("gru", "rnn"), 6, head=False, feedback=feedback, judged="slope").graph()[0], "op")
    count = Counter(box.column.step for box in level.boxes if box.kind == "gradient" and box.column)
    assert count.keys() == {*range(6)} and count[2] == count[3] and max(count.values()) < 3 * min(count.values())
    states = Counter(box.column.step for box in level.boxes if box.kind == "state" and box.column)
    assert states == dict.fromkeys(range(6), 2)  # the square of the gradient is none


def test_terms_of_a_second_total_are_losses_too_and_the_totals_are_no_cells():
    cell, head, h, total, penalty = tg.nn.GRUCell(3, 3), tg.nn.Linear(3, 3), tg.zeros(1, 3), 0.0, 0.0
    for t in range(3):
        h = cell(tg.randn(1, 3), h)
        total = total + tg.nn.functional.cross_entropy(head(h), [t])
        penalty = penalty + h.square().mean()
    picture = viz.render(total + 0.1 * penalty)
    assert Counter(title_lines(picture, "loss")) == Counter(["L", *["L₁", "L₂", "L₃"] * 2])
    assert len(groups(picture, "cell")) == 3 and faults(picture.dot) == []


def test_a_memory_that_a_sum_is_made_for_begins_no_total():
    """An addition stands before the loop, and another one ends its step."""
    cell, head = tg.nn.GRUCell(6, 3), tg.nn.Linear(6, 3)
    key, write = (tg.randn(3, 3, requires_grad=True) for _ in range(2))
    memory, h, read, loss = tg.zeros(4, 3) + 0.1, tg.zeros(1, 3), tg.zeros(1, 3), 0.0
    for t in range(3):
        h = cell(tg.concat([tg.randn(1, 3), read], 1), h)
        share = ((h @ key) @ memory.T).softmax(1)
        read, memory = share @ memory, memory + share.T @ tg.tanh(h @ write)
        loss = loss + tg.nn.functional.cross_entropy(head(tg.concat([h, read], 1)), [t])
    picture = viz.render(loss)
    assert sorted(title_lines(picture, "loss")) == ["L", "L₁", "L₂", "L₃"]
    assert len(groups(picture, "cell")) == 6 and faults(picture.dot) == []


def test_an_output_that_is_called_a_state_has_a_box_beside_the_cell():
    """A simple recurrent unit: what is carried is c; h, which is made of it, only reads."""
    rng = np.random.default_rng(0)
    w, v = tg.tensor(rng.normal(size=(2, 9)), requires_grad=True), tg.tensor(rng.normal(size=3), requires_grad=True)
    u, c, loss = tg.tensor(rng.normal(size=(3, 1, 2))) @ w, tg.zeros(1, 3), 0.0
    for t in tg.steps(3):
        f, r = (u[t][:, 3:6] + v * c).sigmoid(), u[t][:, 6:].sigmoid()
        c = tg.nn.labelled(f * c + (1 - f) * u[t][:, :3], "c")
        h = tg.nn.labelled(r * c.tanh() + (1 - r) * u[t][:, :3], "h")
        loss = loss + h.square().sum()
    dot = viz.render(loss, detail="cell").dot
    assert not faults(dot) and all(f'label="{name}' in dot for name in ("h₁", "h₃", "c₁", "c₃", "c₀"))
    level = collapse(tg.Graph(loss), "cell")
    assert Counter(box.kind for box in level.boxes if box.column)["cell"] == 3
    (layer,) = viz.flow(loss).layers
    assert list(layer.norms) == ["c"] and len(layer.products) == 2


# Folded --------------------------------------------------------------------------------------------------


def shared_start(layers, steps=3):
    """Cells above each other, all begun with the same zeros."""
    cells, x, zeros = [tg.nn.RNNCell(3, 3) for _ in range(layers)], tg.ones(steps, 1, 3), tg.zeros(1, 3)
    states = [zeros] * layers
    for t in range(steps):
        value = x[t]
        for k, cell in enumerate(cells):
            value = states[k] = cell(value, states[k])
    return tg.Graph(value.square().sum())


def folded_edges(graph):
    """The edges of the unrolled picture between what folds to different boxes, and those of the rolled one."""
    level = collapse(graph, "cell")
    cells = {box.key[1] for box in level.boxes if box.kind == "cell"}

    pairs = [(level.boxes[e.source], level.boxes[e.target]) for e in level.edges]
    put_out = {id(b): a.key for a, b in pairs if a.kind == "cell" and b.kind == "state" and a.column == b.column}

    def home(box):
        state = box.key[0] == "state" and box.key[2] in cells
        return put_out.get(id(box), ("cell", box.key[2])) if state else box.key

    ends = [(level.boxes[e.source], level.boxes[e.target]) for e in level.edges if e.kind != "weight"]
    expected = {(home(a), home(b), a.column != b.column) for a, b in ends if not a.before and not b.before}
    expected = {(a, b) for a, b, later in expected if a != b or later}
    begun = {(id(a), home(b)) for a, b in ends if a.before}  # what computes a first state feeds the cell
    expected |= {(home(a), cell) for a, b in ends if b.before for box, cell in begun if box == id(b) != id(a)}
    dot = viz.render(graph, rolled=True).dot
    box_of = {node: box for box in level.boxes for node in box.members}
    drawn = {
        (home(box_of[node_index(tail[7:])]), home(box_of[node_index(head[7:])]))
        for tail, head, _ in lines(dot)
        if tail.startswith("rolled_n")
    }
    return expected, drawn, dot


@examples(8, 300)
@given(loops(least_steps=2, most_steps=4, wider=True))
@example(Loop(("rnn", "rnn"), 3, feedback="mutual"))
@example(Loop(("rnn", "gru", "rnn"), 3, feedback="mutual", dense=True, skip=True))
@example(Loop(("memory", "lstm"), 3))
@example(Loop(("memory",), 4, "decoder", head=False, listed=True, dense=True, judged="slope"))
@example(Loop(("lstm", "rnn"), 3, "attention", skip=True))
@example(Loop(("lstm",), 2, "attention", judged="slope"))
def test_rolled_pictures_of_random_networks_keep_what_unrolled_ones_promise(loop):
    """And say the same: an edge wherever the steps' edges, laid over each other, have one."""
    expected, drawn, dot = folded_edges(loop.graph()[0])
    assert [fault for fault in faults(dot) if "rolled_" in fault] == []  # of the steps beside it there is a test above
    assert drawn == expected


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_cells_begun_with_the_same_zeros_do_not_feed_each_other_back(layers):
    expected, drawn, dot = folded_edges(shared_start(layers))
    assert faults(dot) == []
    assert drawn == expected


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_folded_cell_names_every_state_that_it_carries(count):
    """Beside the one arrow back to itself: its letters are those of the steps' states."""
    v, *matrices = [tg.randn(2, 2, requires_grad=True) for _ in range(count + 1)]
    x, states, loss = tg.randn(3, 1, 2), [tg.zeros(1, 2) for _ in matrices], 0.0
    for t in range(3):
        a = x[t]
        for old, w in zip(states, matrices, strict=True):
            a = a + old @ w
        states = [tg.tanh(a * (k + 1)) for k in range(count)]
        loss = loss + tg.nn.functional.cross_entropy(states[0] @ v, [t % 2])
    picture = viz.render(loss, rolled=True)
    boxed = {text.rstrip("₀₁₂₃ =") for g in groups(picture, "state") for text in texts(g)[:1]}
    ends = [(g, g.find("{http://www.w3.org/2000/svg}title").text.split("->")) for g in groups(picture, "edge")]
    (arrow,) = [g for g, (tail, head) in ends if tail == head]
    assert set(texts(arrow)[-1].split(", ")) == {text.split(" ")[0].rstrip("₀₁₂₃") for text in boxed}
    assert faults(picture.dot) == []
