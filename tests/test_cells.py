"""The examples' cells: what each computes has the right gradients, a picture and equations; two of its claims hold."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz

FOLDER = Path(__file__).parent.parent / "examples" / "cells"
KINDS = (
    "RNN", "LSTM", "GRU", "peephole LSTM", "coupled LSTM", "layer-norm LSTM", "sLSTM", "minLSTM", "minGRU", "diagonal",
    "IndRNN", "antisymmetric",
)  # fmt: skip


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a program of the folder as it would itself, and forgets it afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER.parent)):
            del sys.modules[name]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pictures_and_equations(kind: str, load: Any) -> None:
    cells = load("cells")
    assert set(cells.CELLS) == set(KINDS)
    layers = tg.nn.Recurrent(lambda n: cells.CELLS[kind](n, 3), bidirectional=True, input_size=2).double()
    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 3, 2)), requires_grad=True)
    output, state = layers(x, lengths=[4, 0, 2])
    last = state if isinstance(state, tuple) else (state,)
    assert output.shape == (4, 3, 6) and all(part.shape == (2, 3, 3) for part in last)
    assert not output.numpy()[:, 1].any() and not output.numpy()[2:, 2].any()
    assert tg.check_gradients(output.square().sum() + last[0].sin().sum())
    network = cells.Network(kind, 2, 3, 1).double()
    loss = tg.nn.labelled(network(x).square().sum(), "loss")
    assert viz.render(loss).svg.count("<svg") == 1
    assert "dh" in str(viz.derive(loss)) or "h" in str(viz.derive(loss))


@pytest.mark.parametrize("kind", ["minLSTM", "minGRU", "diagonal"])
@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_all_steps_at_once_are_the_steps_one_by_one(kind: str, length: int, load: Any) -> None:
    cells = load("cells")
    cell = cells.CELLS[kind](2, 3).double()
    x = tg.tensor(np.random.default_rng(0).normal(size=(length, 4, 2)), requires_grad=True)
    stepwise, at_once = tg.nn.Recurrent(cell)(x)[0], cells.in_parallel(cell, x)
    np.testing.assert_allclose(at_once.numpy(), stepwise.numpy(), rtol=1e-12, atol=1e-14)
    if length == 16:
        operations = [len([n for n in tg.Graph(y).nodes if n.op]) for y in (stepwise, at_once)]
        assert operations[1] < operations[0]
    gradients = [tg.grad(y.sin().sum(), [x, *cell.parameters()]) for y in (stepwise, at_once)]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-13)


def test_a_cell_compiles_to_what_it_is(load: Any) -> None:
    model = load("cells").Network("sLSTM", 2, 3, 1).double()

    def gradients(x: Any) -> Any:
        loss = model(x).square().sum()
        return loss, *tg.grad(loss, list(model.parameters()))

    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 3, 2)))
    for a, b in zip(tg.compile(gradients)(x), gradients(x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-14)


def test_the_figure_holds_every_cell_and_shows_what_the_lecture_says(load: Any, tmp_path: Path) -> None:
    found = load("run").flow(tmp_path / "flow.svg")
    assert [layer.network for layer in found.layers] == list(KINDS)
    assert (tmp_path / "flow.svg").is_file()
    kept = {layer.network: (layer.norms["h"][1] / layer.norms["h"][30]) ** (1 / 29) for layer in found.layers}
    little = ("diagonal", "IndRNN"), ("antisymmetric", "layer-norm LSTM")
    assert all(1 / 2 < kept[kind] < 2 / 3 for kind in KINDS if kind not in little[0] + little[1])
    assert all(0.8 < kept[kind] < 0.9 for kind in little[0]) and all(0.98 < kept[kind] < 1.01 for kind in little[1])


def test_attention_weights_add_up_and_are_drawn(load: Any, tmp_path: Path) -> None:
    module = load("attention")
    tg.manual_seed(0)
    model = module.Translator(hidden=4)
    x, y = module.encode(["1+2", "3+9"]), module.encode(["3 ", "12"])
    _, weights = model.double()(x, y)
    np.testing.assert_allclose(weights.numpy().sum(1), np.ones((2, 2)), rtol=1e-14)
    assert tg.check_gradients(model.loss(x, y))
    assert module.main(steps=0, out=tmp_path, digits=1) >= 0.0
    assert {path.name for path in tmp_path.glob("*.svg")} == {"attention.svg", "attention-weights.svg"}


def test_the_chapter_draws_its_cells_and_quotes_what_was_measured(load: Any, tmp_path: Path) -> None:
    load("gated").show(tmp_path, ("coupled LSTM",))
    assert (tmp_path / "cell-coupled-lstm.svg").is_file()
    head, *rows = load("compared").measured()
    assert head == ["cell", "parameters", "adding", "temporal order"] and [row[0] for row in rows] == list(KINDS)
    assert set(load("gated").KINDS + load("simpler").KINDS) == set(KINDS) - {"RNN", "LSTM", "GRU"}
