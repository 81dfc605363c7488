"""Pictures as files: renderers found and missing, formats, user text, same bytes."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.sequence_patterns import build
from viz.graph.png_pdf import _known, svg_to_pdf, svg_to_png
from viz.plotting import settings

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}title"


def unrolled(kind=tg.nn.RNN, steps=4, **options):
    """A loss summed over the time steps of a small network with a linear head."""
    tg.manual_seed(0)
    net, head = kind(4, 3, **options), tg.nn.Linear(6 if options.get("bidirectional") else 3, 4)
    outputs, _ = net(tg.one_hot(np.arange(steps) % 4, 4).expand_dims(1))
    losses = []
    for t in tg.steps(steps):
        logits = tg.nn.labelled(head(outputs[t]), "logits")
        losses.append(tg.nn.labelled(tg.nn.functional.cross_entropy(logits, [t % 4]), "loss"))
    total = sum(losses[1:], losses[0])
    total.name = "L"
    return total


def svg_of(picture):
    return ET.fromstring(picture.svg)


def groups(picture, word):
    """The SVG groups whose class contains the word."""
    return [g for g in svg_of(picture).iter(f"{SVG}g") if word in g.get("class", "").split()]


def texts(element):
    """What is written in it; Graphviz makes the second of two spaces an unbreakable one."""
    return ["".join(t.itertext()).replace("\xa0", " ") for t in element.iter(f"{SVG}text")]


def tooltip(element):
    return next(a.get(XLINK) for a in element.iter(f"{SVG}a"))


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# Files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [("svg", b"<?xml"), ("png", b"\x89PNG"), ("dot", b"digraph"), ("json", b"{"), ("SVG", b"<?xml")],
)
def test_the_suffix_chooses_the_format(tmp_path, suffix, magic):
    target = tmp_path / f"picture.{suffix}"
    viz.render(unrolled(steps=2), target)
    assert target.read_bytes().startswith(magic)
    assert os.listdir(tmp_path) == [target.name]


def test_json_has_every_box_of_the_picture():
    picture = viz.render(unrolled(steps=2))
    names = {item["name"] for item in json.loads(picture.to("json"))["objects"]}
    assert {g.find(f"{SVG}title").text for g in groups(picture, "cell")} <= names


def test_pdf_needs_no_graphviz_that_writes_it(tmp_path):
    picture = viz.render(unrolled(steps=2), tmp_path / "picture.pdf")
    data = (tmp_path / "picture.pdf").read_bytes()
    assert data.startswith(b"%PDF") and data == picture.to("pdf") and b"DejaVuSans" in data


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(tg.ArgumentError, match=r"'\.bmp'.*\.svg, \.png, \.pdf, \.dot, \.json"):
        viz.render(unrolled(steps=2), tmp_path / "picture.bmp")
    with pytest.raises(tg.ArgumentError, match="has no suffix"):
        viz.render(unrolled(steps=2), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(tg.DataError, match="is a file, not a folder"):
        viz.render(unrolled(steps=2), tmp_path / "file" / "picture.svg")
    with pytest.raises(tg.DataError, match=r"cannot write.*zero"):
        viz.render(unrolled(steps=2), f"{tmp_path}/zero\0.svg")


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "picture.svg"
    target.write_text("old")
    picture = viz.render(unrolled(steps=2))
    monkeypatch.setenv("TINYGRAD_RNN_DOT", str(executable(tmp_path / "broken", "echo no luck >&2; exit 3")))
    with pytest.raises(viz.RenderError, match="no luck"):
        picture.save(target)
    assert target.read_text() == "old"


def test_a_picture_shows_itself_in_a_notebook():
    picture = viz.render(unrolled(steps=2))
    assert picture._repr_svg_() == picture.svg == picture._repr_mimebundle_()["image/svg+xml"]
    assert "boxes" in repr(picture)


# Renderers -----------------------------------------------------------------------------------------------


def test_a_missing_renderer_leaves_the_source_and_says_how_to_get_one(tmp_path, monkeypatch):
    from viz.graph import graphviz_program

    monkeypatch.delenv("TINYGRAD_RNN_DOT", raising=False)
    monkeypatch.setattr(graphviz_program, "_bundled", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(viz.RenderError, match=r"pip install graphviz-pure.*picture\.dot"):
        viz.render(unrolled(steps=2), tmp_path / "picture.svg")
    assert "f" in (tmp_path / "picture.dot").read_text()


def test_a_renderer_that_hangs_is_stopped(tmp_path):
    hanging = executable(tmp_path / "hanging", "exec sleep 60")
    with pytest.raises(viz.RenderError, match=r"did not finish within 0\.2 s"):
        viz.render(unrolled(steps=2), tmp_path / "picture.svg", dot=hanging, timeout=0.2)
    assert not (tmp_path / "picture.svg").exists()
    assert (tmp_path / "picture.dot").exists()


@pytest.mark.skipif(os.name != "posix", reason="there are no process groups")
def test_what_a_hanging_renderer_started_is_stopped_with_it(tmp_path):
    os.mkfifo(tmp_path / "line")  # it ends when the last process that holds it has ended
    line = os.open(tmp_path / "line", os.O_RDONLY | os.O_NONBLOCK)
    hanging = executable(tmp_path / "hanging", f"exec 3> {tmp_path}/line; echo up >&3; sleep 60 & sleep 60; wait")
    with pytest.raises(viz.RenderError, match=r"stopped; draw fewer steps"):
        viz.render(unrolled(steps=2), dot=hanging, timeout=1).to("svg")
    heard = b""
    while select.select([line], [], [], 5)[0] and (more := os.read(line, 99)):
        heard += more
    assert select.select([line], [], [], 0)[0], "something of it still runs"
    os.close(line)
    assert heard == b"up\n"


def test_a_renderer_that_does_not_exist():
    with pytest.raises(viz.RenderError, match="nowhere"):
        viz.render(unrolled(steps=2), dot="/nowhere/dot").to("svg")


def test_a_renderer_that_says_nothing(tmp_path):
    with pytest.raises(viz.RenderError, match="wrote nothing"):
        viz.render(unrolled(steps=2), dot=executable(tmp_path / "mute", "cat > /dev/null")).to("svg")


def test_importing_viz_loads_no_graphviz():
    code = "import sys, viz; sys.exit('graphviz' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# User text -----------------------------------------------------------------------------------------------

HOSTILE = [
    "<b>bold</b>", '"quoted" \'too\'', r"back\slash \N \n \G", "a:b:c", "a;b{c}[d]|e", "ünïcødé 🦜 ∂",
    "&lt; &amp; &#65;", "<lambda>", "-->", "%s {0}", "digraph", "<",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("detail", viz.graph.detail_levels.DETAILS)
def test_names_come_out_as_they_are(name, detail):
    x = tg.tensor([1.0, 2.0], requires_grad=True, name=name)
    y = (x * x).sum()
    y.name = name
    picture = viz.render(y, detail=detail, title=name)
    shown = [text for text in texts(svg_of(picture)) if name in text]
    assert len(shown) >= 3
    assert any(f"name: {name}" in tooltip(g) for g in groups(picture, "parameter"))


def test_what_cannot_be_seen_is_written_as_an_escape():
    x = tg.tensor([1.0], requires_grad=True, name="a\nb\x00c\x1bd\ud800e\x7f\t\u202e")
    picture = viz.render((x * 2.0).sum())
    shown = r"a\nb\x00c\x1bd\ud800e\x7f\t\u202e"
    assert any("name: " + shown in tooltip(g) for g in groups(picture, "parameter"))
    assert texts(groups(picture, "parameter")[0]) == [r"a\nb\x00c\x1bd\…\t\u202e"]


def test_every_glyph_of_ours_is_in_the_font_of_the_bundled_renderer():
    """It draws a box for a glyph its PNG has no outline of; signs for which it is not asked are in our own typeface."""
    from viz.graph import graphviz_program

    graph = unrolled(tg.nn.LSTM, steps=2, num_layers=2, bidirectional=True)
    options = [{}, {"detail": "gate", "values": True, "grads": True}, {"backward": True}, {"rolled": True}]
    pictures = [viz.render(graph, **o) for o in options]
    pictures += [
        viz.render(unrolled(steps=2), detail="op", backward=True),
        viz.render(unrolled(steps=10), max_steps=None),
    ]
    written = {c for p in pictures for label in re.findall(r'label="([^"]*)"', p.dot) for c in label if ord(c) > 126}

    def drawn(c):
        node = f'digraph {{ n [shape=plaintext fontname=Helvetica fixedsize=true width=0.5 height=0.5 label="{c}"] }}'
        return graphviz_program.run(node, "png", dot=graphviz_program._bundled())

    missing = drawn("☃")
    assert {"⊙", "∂", *"₀₁₂₃₄₅₆₇₈₉"} <= written
    assert [c for c in sorted(written.difference("⊙⊘")) if drawn(c) == missing] == []
    assert {ord("⊙"), ord("⊘")} <= _known()


def test_a_png_has_the_sign_of_a_product_that_the_bundled_renderer_lacks(monkeypatch):
    from viz.graph import picture

    a, b = (tg.nn.labelled(tg.tensor([2.0, 3.0], requires_grad=True), name) for name in "ab")
    drawn = viz.render((a * b).sum(), detail="op")
    assert "⊙" in drawn.svg and not picture._BEYOND.search(viz.render(a + b, detail="op").dot)
    by_resvg = drawn.to("png")
    monkeypatch.setattr(picture, "find_spec", lambda _name: None)
    plainer = viz.graph.graphviz_program.run(drawn.dot.replace("⊙", "×"), "png", positioned=True)
    assert drawn.to("png") == plainer != by_resvg


def test_a_very_long_name_is_shortened_in_the_label_and_less_in_the_tooltip():
    name = "n" * 5000 + "m" * 5000
    x = tg.tensor([1.0], requires_grad=True, name=name)
    picture = viz.render((x * 2.0).sum())
    (box,) = groups(picture, "parameter")
    (label,) = texts(box)
    assert len(label) <= 24 and label.startswith("nnn") and label.endswith("mmm") and "…" in label
    assert 300 < len(tooltip(box)) < 1500


@pytest.mark.parametrize(("hidden", "told"), [(3, False), (8, True)])
def test_only_the_numbers_that_are_written_are_explained(hidden, told):
    loss = tg.nn.RNN(2, hidden)(tg.ones(2, 1, 2))[0].sum()
    assert ("norm of the value" in viz.render(loss, values=True).dot) == told  # a short state is written out


def test_captions_and_time_steps():
    loss = unrolled(steps=3)
    by_list = texts(svg_of(viz.render(loss, captions=["<one>", "two\n2", "three"])))
    assert {"t = 1   <one>", "t = 2   two\\n2", "t = 3   three"} <= set(by_list)
    by_step = texts(svg_of(viz.render(loss, captions={1: "only"})))
    assert {"t = 1", "t = 2   only", "t = 3"} <= set(by_step)


# Bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"detail": "gate", "grads": True, "values": True}, {"backward": True}, {"rolled": True}]
)
def test_the_same_graph_gives_the_same_bytes(options):
    first, second = (viz.render(unrolled(tg.nn.LSTM, steps=3), **options) for _ in range(2))
    assert first.dot == second.dot
    assert first.svg == second.svg


def test_a_saved_graph_gives_the_same_picture(tmp_path):
    graph = tg.Graph(unrolled(tg.nn.GRU, steps=3))
    graph.save(tmp_path / "graph.json")
    loaded = tg.Graph.load(tmp_path / "graph.json")
    assert viz.render(loaded, detail="gate").dot == viz.render(graph, detail="gate").dot


@pytest.mark.parametrize("options", [{}, {"detail": "gate"}, {"detail": "op"}, {"backward": True}, {"rolled": True}])
def test_every_id_is_plain_and_unique(options):
    picture = viz.render(unrolled(tg.nn.LSTM, steps=8), **options)
    ids = [g.get("id") for g in svg_of(picture).iter(f"{SVG}g")]
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in ids)
    assert len(ids) == len(set(ids)) > 20
    for g in svg_of(picture).iter(f"{SVG}g"):
        kind = g.get("class", "").split()
        if {"node", "edge", "cluster"} & set(kind) and "gap" not in kind:
            assert len(kind) >= 2 or kind == ["node"], g.get("id")
            assert tooltip(g).strip() or "edge" in kind


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    def interrupted(*_arguments):
        raise OSError(28, "No space left on device")

    target = Path(tmp_path) / "picture.svg"
    target.write_text("old")
    picture = viz.render(unrolled(steps=2))
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(tg.DataError, match="No space left"):
        picture.save(target)
    assert os.listdir(tmp_path) == ["picture.svg"]
    assert target.read_text() == "old"


def test_what_a_layer_returns_is_drawn_as_it_is():
    lstm = tg.nn.LSTM(3, 2)
    assert len(groups(viz.render(lstm(tg.ones(3, 1, 3))), "cell")) == 3


@pytest.mark.parametrize(
    ("values", "written"),
    [([np.nan, 1.0], ["nan", "1"]), ([-np.inf, 1.0], ["−∞", "1"]), ([1e-9, -0.25], ["1.0e−9", "−0.25"])],
)
def test_numbers_that_would_vanish_or_are_none_are_written_as_they_are(values, written):
    x = tg.nn.labelled(tg.tensor(values, name="x"), "x")
    lines = [line for g in groups(viz.render((x * 1.0).sum(), values=True), "x") for line in texts(g)]
    assert [line for line in lines if line in written] == written


def test_letters_of_other_scripts_are_not_bold_where_there_is_a_plain_typeface(monkeypatch, tmp_path):
    from matplotlib import get_data_path

    fonts = {"a-bold.ttf": "STIXNonUniBol.ttf", "b-plain.ttf": "STIXNonUni.ttf"}
    bold, plain = (shutil.copy(Path(get_data_path(), "fonts", "ttf", own), tmp_path / to) for to, own in fonts.items())
    found: list[str] = []
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: ["/a.ttf", str(bold), str(plain)])
    monkeypatch.setattr("resvg_py.svg_to_bytes", lambda font_files, **_: found.extend(font_files) or b"")
    svg_to_png("<svg><text>\ue00e</text></svg>")
    assert str(plain) in found and str(bold) not in found


@pytest.mark.parametrize(
    "name, typeface", [("输入", b"/STSong-Light"), ("にゅう", b"/HeiseiMin-W3"), ("입력", b"/HYSMyeongJo-Medium")]
)
def test_letters_of_other_scripts_are_letters_in_a_pdf(monkeypatch, name, typeface):
    """A PNG needs a typeface of this machine for them, and says so where there is none."""
    monkeypatch.setenv("PATH", "")  # fontconfig, which not every machine has, is not asked
    x = tg.tensor([1.0, 2.0], requires_grad=True, name=name)
    assert typeface in viz.render((x * x).sum(), detail="op").to("pdf")


def test_a_pdf_is_no_larger_than_a_page_can_be():
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="40000pt" height="100pt"><rect width="9" height="9"/></svg>'
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", svg_to_pdf(svg)).groups())
    assert width <= 14_400 and height == pytest.approx(100 * width / 40_000, rel=1e-3)


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
def test_a_file_that_is_written_again_keeps_its_mode(tmp_path):
    path = tmp_path / "a.svg"
    picture = viz.render(unrolled(steps=2), path)
    path.chmod(0o640)
    picture.save(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_figures_made_in_threads_leave_matplotlib_as_it_was():
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.rcParams["svg.fonttype"]
    inside = threading.Barrier(2)

    def draw(_):
        with suppress(threading.BrokenBarrierError), settings():
            inside.wait(0.05)  # nobody else is in here: the other waits outside

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, range(2)))
    assert inside.broken
    assert matplotlib.rcParams["svg.fonttype"] == before


def test_of_a_graph_without_time_the_nearest_thousand_nodes_are_drawn():
    made, rng = [tg.tensor(0.5, requires_grad=True)], np.random.default_rng(0)
    for kind, back in rng.integers(1, 6, size=(1300, 2)):
        a, b = made[-1], made[-min(back, len(made))]
        made.append((a * b, a + b, a.tanh() + b, a - b * b, a.sigmoid() * b)[kind - 1])
    level = viz.graph.detail_levels.collapse(tg.Graph(made[-1]), "op")
    assert not level.columns
    kept = viz.graph.layout._nearest(level)
    assert len(kept) == viz.graph.layout.MOST < len(level.boxes)
    assert all(set(level.boxes[i].members) for i in kept)


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        (lambda a, b: a - 1, "(·) − 1"),
        (lambda a, b: 1 - a, "1 − (·)"),
        (lambda a, b: -a, "−(·)"),
        (lambda a, b: a**3, "(·)^3"),
        (lambda a, b: a.softmax(0), "softmax, axis 0"),
        (lambda a, b: a.sum(1), "Σ, axis 1"),
    ],
)
def test_constants_and_axes_are_written(formula, written):
    a, b = tg.ones(2, 2).requires_grad_(), tg.ones(2, 2).requires_grad_()
    assert any(written in texts(g) for g in groups(viz.render(formula(a, b), detail="op"), "node"))


def test_parameters_of_one_name_say_where_they_belong():
    class Cell(tg.nn.Module):
        def __init__(self):
            self.W, self.U = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2, bias=False)

        def forward(self, x, h):
            return tg.tanh(self.W(x) + self.U(h))

    cell, h = Cell(), tg.zeros(1, 2)
    for t in tg.steps(3):
        h = cell(tg.ones(3, 1, 2)[t], h)
    names = {name for g in groups(viz.render(h.sum(), detail="gate"), "parameter") for name in texts(g)}
    assert names == {"W_xh W.weight", "W_hh U.weight", "b_xh bias"}


def test_a_screen_reader_has_a_text_for_a_picture():
    picture = viz.render(build("many-to-one", "rnn", 2), title='a "b" <c>')
    (said,) = re.findall(r'<svg role="img" aria-label="([^"]*)"', picture.svg)
    assert said == "A network over time, 2 steps from left to right; its boxes: x₁, h₁, x₂, h₂, y₂, L₂, h₀ = 0, W"
