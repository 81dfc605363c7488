"""Gradient flow: the measured numbers against NumPy's, the figure and its files, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.cli import main
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.sequence_patterns import build


def linear_network(matrix: np.ndarray, steps: int) -> tg.Tensor:
    """h_t = W h_(t-1) from 0; the loss is <g, h_T> with g = (1, 2, ...)."""
    w = tg.tensor(matrix, requires_grad=True, name="W")
    h = tg.nn.labelled(tg.tensor(np.zeros((1, len(matrix))), requires_grad=True), "h")
    for _ in tg.steps(steps):
        h = tg.nn.labelled(h @ w.T, "h")
    return (h * np.arange(1.0, len(matrix) + 1)).sum()


def test_a_state_that_grows_is_drawn(rng: np.random.Generator) -> None:
    h, loss = tg.zeros(1, 2), tg.tensor(0.0)
    for t in tg.steps(4):
        h = tg.nn.labelled(tg.tanh(h @ tg.tensor(rng.standard_normal((t + 2, t + 3)), requires_grad=True)), "h")
        loss = loss + h.square().sum()
    flow = viz.flow(loss)
    (layer,) = flow.layers
    drawn = next(axes for axes in flow.figure.axes if "singular values" in axes.get_ylabel())
    largest = max(drawn.lines, key=lambda line: line.get_linewidth()).get_ydata()
    assert largest == pytest.approx([layer.spectra[t][0] for t in sorted(layer.spectra)])
    assert len({len(spectrum) for spectrum in layer.spectra.values()}) > 1


def test_everything_about_a_linear_network_is_a_power_of_its_matrix(rng: np.random.Generator) -> None:
    w = rng.standard_normal((3, 3)) * 0.5
    (layer,) = viz.flow(linear_network(w, 6), panels=("norms", "jacobians", "products", "transfer")).layers

    def power(k: int) -> np.ndarray:
        return np.linalg.matrix_power(w, k)

    assert layer.norms["h"] == pytest.approx({t: np.linalg.norm(power(6 - t).T @ [1, 2, 3]) for t in range(1, 7)})
    values = np.linalg.svd(w, compute_uv=False)
    assert sorted(layer.spectra) == [2, 3, 4, 5, 6]
    for spectrum in layer.spectra.values():
        assert spectrum == pytest.approx(tuple(values), rel=1e-12)
    for t in range(1, 6):
        assert layer.products[t] == pytest.approx(np.linalg.norm(power(6 - t), 2), rel=1e-12)
        assert layer.product_bounds[t] == pytest.approx(values[0] ** (6 - t), rel=1e-12)
        for s in range(t + 1, 7):
            assert layer.transfer[s][t] == pytest.approx(np.linalg.norm(power(s - t), 2), rel=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_products_stay_below_their_bounds(cell: str) -> None:
    (layer,) = viz.flow(build("many-to-many", cell, 6, hidden=4)).layers
    assert layer.products.keys() == layer.product_bounds.keys() == {1, 2, 3, 4, 5}
    for t, bound in layer.product_bounds.items():
        assert layer.products[t] <= bound * (1 + 1e-6)
    assert layer.bounds.keys() == ({2, 3, 4, 5, 6} if cell == "rnn" else set())
    for t, bound in layer.bounds.items():
        assert layer.spectra[t][0] <= bound * (1 + 1e-6)
    assert all(list(spectrum) == sorted(spectrum, reverse=True) for spectrum in layer.spectra.values())
    assert set(layer.norms) == ({"h", "c"} if cell == "lstm" else {"h"})


def test_the_maps_show_what_comes_before() -> None:
    (layer,) = viz.flow(build("many-to-many", "gru", 5)).layers
    assert {s: sorted(row) for s, row in layer.reach.items()} == {s: list(range(1, s + 1)) for s in range(1, 6)}
    assert layer.reach[5][5] == pytest.approx(layer.norms["h"][5], rel=1e-6)  # no later loss adds to it
    assert not layer.transfer
    (alone,) = viz.flow(build("many-to-one", "gru", 5)).layers
    assert {s: sorted(row) for s, row in alone.transfer.items()} == {s: list(range(1, s)) for s in range(2, 6)}
    assert {t: alone.transfer[5][t] for t in range(1, 5)} == pytest.approx(alone.products, rel=1e-9)


def test_only_what_is_asked_for_is_measured() -> None:
    (layer,) = viz.flow(build("many-to-one", "lstm", 4), panels=("norms",)).layers
    assert layer.norms and not (layer.spectra or layer.products or layer.reach or layer.transfer)


def test_it_shows_and_saves_itself(tmp_path: Path) -> None:
    losses = {"a$b<i>": build("many-to-many", "lstm", 4), "two": build("many-to-one", "rnn", 6, layers=2)}
    found = viz.flow(losses, tmp_path / "flow.svg", panels=("norms",), title="x & $y")
    assert [layer.label for layer in found.layers] == ["a$b<i>", "two h⁽¹⁾", "two h⁽²⁾"]
    bundle = found._repr_mimebundle_()
    assert (tmp_path / "flow.svg").read_text(encoding="utf-8") == bundle["image/svg+xml"]
    assert "a$b&lt;i&gt;" in bundle["image/svg+xml"] and "x &amp; $y" in bundle["image/svg+xml"]
    assert "two h⁽²⁾" in bundle["text/plain"]
    for suffix, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        assert found.save(tmp_path / f"flow.{suffix}") is found
        assert (tmp_path / f"flow.{suffix}").read_bytes().startswith(start)
    found.save(tmp_path / "flow.csv").save(tmp_path / "flow.json")
    rows = list(csv.DictReader((tmp_path / "flow.csv").read_text(encoding="utf-8").splitlines()))
    norms = {int(r["t"]): float(r["value"]) for r in rows if (r["layer"], r["quantity"]) == ("l1", "norm of dL/dh_t")}
    assert norms == found.layers[2].norms["h"]
    data = json.loads((tmp_path / "flow.json").read_text(encoding="utf-8"))
    assert data[2]["norms"]["h"] == {str(t): norm for t, norm in norms.items()}


def test_it_measures_a_session_and_a_saved_walk(tmp_path: Path) -> None:
    session = viz.debug(build("many-to-one", "gru", 4))
    session.save(tmp_path / "walk.trace")
    assert viz.flow(session).layers == viz.flow(tmp_path / "walk.trace").layers


def test_gradients_are_left_alone() -> None:
    layer = tg.nn.LSTM(2, 3)
    loss = layer(tg.ones(4, 1, 2))[0].sum()
    viz.flow(loss)
    assert all(p.grad is None for p in layer.parameters())
    loss.backward()


@pytest.mark.parametrize("scale", [1e200, 0.0, float("nan")])
def test_what_is_no_finite_number_is_drawn_as_a_gap(scale: float, tmp_path: Path) -> None:
    found = viz.flow(linear_network(np.eye(2) * scale, 4), tmp_path / "flow.json")
    assert len(found.figure.axes) >= 4
    json.loads((tmp_path / "flow.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize("scale", [0.0, float("nan")])
def test_a_gradient_that_is_nowhere_a_number_has_a_figure(scale: float) -> None:
    assert "</svg>" in viz.flow(build("many-to-many", "rnn", 4) * scale).svg


def test_time_steps_are_whole_numbers() -> None:
    *panels, bar = viz.flow(build("many-to-many", "rnn", 4)).figure.axes
    assert len(bar.get_xticks()) == 0
    for axes in panels:
        assert all(float(x).is_integer() for x in axes.get_xticks())


def test_a_recurrence_without_gradients_beside_one_with_them(tmp_path: Path) -> None:
    """A pointer network masks what it has pointed at: the mask is carried on, too."""
    cell, x, h = tg.nn.RNNCell(4, 4), tg.randn(3, 1, 4), tg.zeros(1, 4)
    loss, mask = tg.zeros(1).sum(), tg.zeros(1, 4, dtype=bool)
    for t in tg.steps(3):
        h = cell(x[t], h)
        loss = loss + tg.nn.functional.cross_entropy(h.masked_fill(mask, -1e9), [t])
        mask = mask | (tg.one_hot([t], 4) > 0)
    viz.flow(loss, tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(tg.GraphError, match="no state here is carried"):
        viz.flow((x * x).sum())
    with pytest.raises(tg.ArgumentError, match="no network"):
        viz.flow({})
    with pytest.raises(tg.ArgumentError, match=r"panels are some of norms, .*, not colours"):
        viz.flow(build("many-to-one", "rnn", 3), panels=("colours",))
    with pytest.raises(tg.ArgumentError, match="use one of svg, png, pdf, csv, json"):
        viz.flow(build("many-to-one", "rnn", 3), tmp_path / "flow.txt")
    with pytest.raises(tg.ArgumentError, match="has no suffix"):
        viz.flow(build("many-to-one", "rnn", 3), tmp_path / "flow")


def test_the_command(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["flow", *arguments])
        assert result.exit_code == 0 and "wrote" in result.output, result.output
        return Path(arguments[-1]).read_text(encoding="utf-8")

    named = run("--cell", "rnn", "--cell", "gru", "--steps", "5", "--panel", "norms", "-o", str(tmp_path / "f.csv"))
    assert named.count("\nRNN,") == named.count("\nGRU,") == 5
    script = tmp_path / "mine.py"
    script.write_text(
        "from tinygrad_rnn.sequence_patterns import build\ndef loss(): return build('many-to-one', 'gru', 3)\n"
    )
    assert run(f"{script}:loss", "--panel", "norms", "-o", str(tmp_path / "g.csv")).count("\n") == 4
    assert "</svg>" in run("--cell", "rnn", "--steps", "3", "-o", str(tmp_path / "f.svg"))
    result = CliRunner().invoke(main, ["flow", str(script)])
    assert result.exit_code == 2 and "not of the form script.py:function" in result.output + result.stderr


def test_time_and_states_that_the_program_does_not_name_are_found(rng: np.random.Generator) -> None:
    w, xs = tg.tensor(rng.normal(size=(3, 3)), requires_grad=True), tg.tensor(rng.normal(size=(6, 1, 3)))

    def loss(named: bool) -> tg.Tensor:
        h = tg.zeros(1, 3, dtype=np.float64)
        for t in tg.steps(6) if named else range(6):
            h = tg.tanh(xs[t] + h @ w)
            if named:
                tg.nn.labelled(h, "h")
        return h.square().sum()

    told, found = viz.debug(loss(True)), viz.debug(loss(False))
    norms = [[row.norm for row in session.state_norms(session.last) if row.role == "h"] for session in (told, found)]
    assert len(norms[0]) == 6 and norms[0] == norms[1]
    (layer,) = viz.flow(loss(False)).layers
    assert list(layer.norms) == ["h"] and len(layer.products) == 5


def memory_cell(hidden: str | None, memory: str | None, steps: int = 5) -> tg.Tensor:
    """An LSTM written out, its two states labelled so; a loss a time step."""
    rng = np.random.default_rng(5)
    w, u, v = (tg.tensor(rng.normal(size=size) / 2, requires_grad=True) for size in [(2, 12), (3, 12), (3, 2)])
    xs, loss = tg.tensor(rng.normal(size=(steps, 1, 2))), tg.tensor(0.0, dtype="float64")

    def said(x: tg.Tensor, label: str | None) -> tg.Tensor:
        return tg.nn.labelled(x, label) if label else x

    h, c = (said(tg.zeros(1, 3, dtype="float64"), label) for label in (hidden, memory))
    for t in tg.steps(steps):
        i, f, o, g = ((xs[t] @ w + h @ u)[:, k : k + 3] for k in range(0, 12, 3))
        c = said(f.sigmoid() * c + i.sigmoid() * g.tanh(), memory)
        h = said(o.sigmoid() * c.tanh(), hidden)
        loss = loss + F.cross_entropy(h @ v, [t % 2])
    return loss


@pytest.mark.parametrize("names", [("h", "m"), ("s", "m"), ("state", "cell"), (None, None)])
def test_what_is_carried_is_measured_whatever_it_is_called(names: tuple[str | None, str | None]) -> None:
    told, other = viz.debug(memory_cell("h", "c")), viz.debug(memory_cell(*names))
    (expected,), (found,) = (viz.flow(session).layers for session in (told, other))
    called = dict(zip(("h", "c"), names if names[0] else ("h", "c"), strict=True))
    assert found.norms == {called[role]: series for role, series in expected.norms.items()}
    for quantity in ("spectra", "bounds", "products", "product_bounds", "transfer"):
        ours, theirs = getattr(found, quantity), getattr(expected, quantity)
        assert ours.keys() == theirs.keys() and all(ours[t] == pytest.approx(theirs[t]) for t in ours)
    assert [*found.reach] == [1, 2, 3, 4, 5] and found.reach == expected.reach
    for role, name in called.items():
        one, other_one = (
            session.split(moments[2].nodes[n], session.last).ways
            for session, n in ((told, role), (other, name))
            for moments in session.moments.values()
        )
        assert [None if x is None else x.tolist() for x in one.values()] == [
            None if x is None else x.tolist() for x in other_one.values()
        ]


def test_what_is_called_h_and_not_carried_is_not_measured() -> None:
    """The output of each step is called h, the state s: gradients flow through s."""
    w = tg.tensor(np.eye(3) / 2, requires_grad=True)
    s, loss = tg.zeros(1, 3, dtype="float64"), tg.tensor(0.0, dtype="float64")
    for _ in tg.steps(4):
        s = tg.nn.labelled((s @ w + 1).tanh(), "s")
        loss = loss + tg.nn.labelled(s * 3, "h").square().sum()
    (layer,) = viz.flow(loss).layers
    assert list(layer.norms) == ["s"] and len(layer.products) == 3 and sorted(layer.reach) == [1, 2, 3, 4]


def test_a_memory_that_decays_is_carried_too() -> None:
    w = tg.tensor(np.eye(3) / 2, requires_grad=True)
    h, m = (tg.zeros(1, 3, dtype="float64") for _ in range(2))
    for _ in tg.steps(4):
        h = tg.nn.labelled((h @ w + 1).tanh(), "h")
        m = tg.nn.labelled(0.9 * m + h, "m")
    (layer,) = viz.flow(m.square().sum()).layers
    assert list(layer.norms) == ["h", "m"]
    last, first = layer.norms["m"][4], layer.norms["m"][1]
    assert first == pytest.approx(0.9**3 * last)


def test_a_state_of_one_number_has_a_flow_and_a_page(tmp_path):
    w, u = (tg.tensor(value, requires_grad=True, dtype=tg.float64) for value in (0.5, 0.3))
    h, states = tg.tensor(0.0, dtype=tg.float64), []
    for t in tg.steps(4):
        h = tg.tanh(w * h + u * float(t + 1))
        states.append(h.item())
    (layer,) = viz.flow(h).layers
    slopes = [w.item() * (1 - value**2) for value in states[1:]]
    session = viz.debug(h)
    np.testing.assert_allclose([gain.sigma for gain in session.gains()], slopes, rtol=1e-12)
    np.testing.assert_allclose(layer.products[1], np.prod(slopes), rtol=1e-12)
    assert session.html(tmp_path / "page.html")
