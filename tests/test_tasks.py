"""The literature's tasks are what their docstrings say; the experiments measure, stop and go on as they should."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import synthetic_tasks

EXPERIMENTS = Path(__file__).parent.parent / "examples" / "tasks"
seeds = st.integers(0, 2**32 - 1)


@given(st.integers(2, 60), st.integers(1, 20), seeds)
def test_adding_marks_one_number_in_each_half(length: int, batch: int, seed: int) -> None:
    x, y = synthetic_tasks.adding(length, batch, np.random.default_rng(seed))
    values, marks = x[:, :, 0], x[:, :, 1]
    assert x.dtype == y.dtype == np.float32 and y.shape == (batch, 1)
    assert ((values >= 0) & (values <= 1)).all() and set(np.unique(marks)) <= {0.0, 1.0}
    assert (marks[: length // 2].sum(0) == 1).all() and (marks[length // 2 :].sum(0) == 1).all()
    np.testing.assert_allclose(y[:, 0], (values * marks).sum(0), rtol=1e-6)


def test_the_baseline_of_adding_is_what_answering_one_costs() -> None:
    _, y = synthetic_tasks.adding(10, 200_000, np.random.default_rng(0))
    assert np.mean((y - 1) ** 2) == pytest.approx(synthetic_tasks.ADDING_BASELINE, abs=2e-3)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), seeds)
def test_copy_memory_asks_for_what_it_showed(delay: int, batch: int, symbols: int, items: int, seed: int) -> None:
    x, y = synthetic_tasks.copy_memory(delay, batch, symbols, items, np.random.default_rng(seed))
    assert x.shape == y.shape == (delay + 2 * items, batch)
    assert (x[:items] == y[-items:]).all() and (x[:items] < symbols).all()
    assert (y[:-items] == symbols).all()
    assert (x == symbols + 1).sum() == batch and (x[items + delay - 1] == symbols + 1).all()
    assert (np.delete(x[items:], delay - 1, axis=0) == symbols).all()


def test_the_baseline_of_copy_memory_is_what_guessing_the_symbols_costs() -> None:
    _, y = synthetic_tasks.copy_memory(20, 4)
    probabilities = np.zeros((40, 9))
    probabilities[:30, 8], probabilities[30:, :8] = 1, 1 / 8
    losses = [-np.log(probabilities[t, y[t]]).mean() for t in range(40)]
    assert np.mean(losses) == pytest.approx(synthetic_tasks.copy_baseline(20)) == pytest.approx(10 * math.log(8) / 40)


@given(st.integers(10, 80), st.integers(1, 20), seeds)
def test_temporal_order_hides_two_symbols(length: int, batch: int, seed: int) -> None:
    x, y = synthetic_tasks.temporal_order(length, batch, np.random.default_rng(seed))
    for column, label in zip(x.T, y):
        first, second = np.flatnonzero(column > 3)
        assert length // 10 <= first < 2 * length // 10 and 4 * length // 10 <= second < 5 * length // 10
        assert label == 2 * (column[first] - 4) + column[second] - 4


@given(st.integers(0, 60), st.integers(1, 20), seeds)
def test_delayed_xor_is_the_xor_of_its_first_two_bits(delay: int, batch: int, seed: int) -> None:
    x, y = synthetic_tasks.delayed_xor(delay, batch, np.random.default_rng(seed))
    assert x.shape == (delay + 2, batch, 2) and not x[2:].any() and (x[:2, :, 1] == 1).all()
    assert (y == (x[0, :, 0] != x[1, :, 0])).all()


@given(st.integers(1, 18), st.integers(1, 20), seeds)
def test_addition_adds(digits: int, batch: int, seed: int) -> None:
    for question, answer in synthetic_tasks.addition(digits, batch, np.random.default_rng(seed)):
        assert re.fullmatch(rf"\d{{{digits}}}\+\d{{{digits}}}", question)
        assert len(answer) == digits + 1 and int(answer) == sum(map(int, question.split("+")))
        assert synthetic_tasks.ADDITION.decode(synthetic_tasks.ADDITION.encode(question + answer)) == question + answer


def test_tasks_draw_from_the_package_generator() -> None:
    tg.manual_seed(7)
    first = synthetic_tasks.adding(5, 3)[0]
    tg.manual_seed(7)
    assert (synthetic_tasks.adding(5, 3)[0] == first).all() and (synthetic_tasks.adding(5, 3)[0] != first).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthetic_tasks.adding(1, 3), "adding: length must be an integer from 2 up, not 1"),
        (lambda: synthetic_tasks.adding(5, 0), "adding: batch must be an integer from 1 up, not 0"),
        (lambda: synthetic_tasks.copy_memory(0, 1), "copy_memory: delay must be"),
        (lambda: synthetic_tasks.copy_memory(1, 1, symbols=0), "copy_memory: symbols must be"),
        (lambda: synthetic_tasks.temporal_order(9, 1), "temporal_order: length must be an integer from 10 up, not 9"),
        (lambda: synthetic_tasks.delayed_xor(-1, 1), "delayed_xor: delay must be an integer from 0 up, not -1"),
        (lambda: synthetic_tasks.delayed_xor(2.0, 1), "delay must be an integer from 0 up, not 2.0"),  # type: ignore[arg-type]
        (lambda: synthetic_tasks.addition(19, 1), "addition: digits must be at most 18"),
    ],
)
def test_sizes_that_make_no_sense(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(tg.DataError, match=re.escape(message)):
        call()


def test_networks_start_as_their_papers_say(experiment: Callable[[str], Any]) -> None:
    network = experiment("protocol").Network
    irnn, orthogonal = network("irnn", 2, 8, 1).rnn, network("orthogonal", 2, 8, 1).rnn
    assert irnn.nonlinearity == "relu" and (irnn.weight_hh_l0.numpy() == np.eye(8)).all()
    assert not irnn.bias_ih_l0.numpy().any() and not irnn.bias_hh_l0.numpy().any()
    w = orthogonal.weight_hh_l0.numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(8), atol=1e-6)
    for bias in (0, 1):
        lstm = network(f"lstm-{bias}", 2, 8, 1).rnn
        assert ((lstm.bias_ih_l0.numpy() + lstm.bias_hh_l0.numpy())[8:16] == bias).all()


def test_one_seed_shows_the_contrast(experiment: Callable[[str], Any], tmp_path: Path) -> None:
    adding, one_seed = experiment("adding"), experiment("one_seed")
    task = dataclasses.replace(adding.TASK, hidden=32, batch=lambda n, rng: synthetic_tasks.adding(8, n, rng))
    short = dataclasses.replace(task, plans={"GRU": dataclasses.replace(task.plans["GRU"], steps=500)})
    found = one_seed.main(tmp_path, contrasts=[(short, ["GRU"])])
    assert list(found["adding"]) == ["GRU"] and found["adding"]["GRU"].score < 0.03
    assert (tmp_path / "adding.svg").read_text(encoding="utf-8").startswith("<?xml")
    for named, names in one_seed.CONTRASTS:
        assert set(names) <= set(named.plans)
    every = ("adding", "copy_memory", "temporal_order", "min_char_rnn")  # each has its place in the lecture
    assert [named.name for named, _ in one_seed.CONTRASTS] == [experiment(name).TASK.name for name in every]


def test_the_character_model_carries_its_state_from_window_to_window(experiment: Callable[[str], Any]) -> None:
    task = experiment("min_char_rnn").TASK
    plan = dataclasses.replace(task.plans["tanh"], steps=3)
    result = dataclasses.replace(task, plans={"tanh": plan}).measure("tanh", 0)
    assert result.steps == 3 and abs(result.score - task.baseline) < 0.1


def test_a_page_is_measured_kept_and_written(
    experiment: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding, protocol, report = experiment("adding"), experiment("protocol"), experiment("report")
    plans = {"GRU": protocol.Plan("gru", 500, (0,)), "tanh": protocol.Plan("tanh", 500, (0,))}
    task = dataclasses.replace(
        adding.TASK, plans=plans, hidden=32, batch=lambda n, rng: synthetic_tasks.adding(8, n, rng), threshold=0.03
    )
    arguments = ["run.py", "--out", str(tmp_path / "results.md"), "--kept", str(tmp_path / "kept.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    report.main([task])
    kept = json.loads((tmp_path / "kept.json").read_text())
    gru = kept["adding, GRU, seed 0"]["result"]
    assert gru["score"] < 0.03 and gru["steps"] == 500 and len(gru["losses"]) == 5
    assert gru["losses"][0] > gru["losses"][-1]
    page = (tmp_path / "results.md").read_text()
    assert "| GRU | 1 |" in page and "1 of 1 | 16,000 |" in page and "images/adding.svg" in page
    assert (tmp_path / "images" / "adding.svg").read_text().startswith("<?xml")

    class Unused(protocol.Task):
        def measure(self, *_arguments: Any) -> Any:
            raise AssertionError("what is kept is not measured again")

    report.main([Unused(**vars(task))])
    assert (tmp_path / "results.md").read_text() == page


@pytest.mark.parametrize("record", ["[]", "[1", '{"a": 1}', '{"a": {"settings": 1, "result": {}}}'])
def test_a_record_that_is_none_is_said_so(
    record: str, experiment: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    report = experiment("report")
    (tmp_path / "kept.json").write_text(record)
    arguments = ["run.py", "--out", str(tmp_path / "kept.json" / "page.md"), "--kept", str(tmp_path / "kept.json")]
    for more, error in (([], "holds no finished runs; start anew with --again"), (["--again"], "cannot write")):
        monkeypatch.setattr(sys, "argv", arguments + more)
        with pytest.raises(SystemExit, match="2"):
            report.main([])
        assert error in capsys.readouterr().err
