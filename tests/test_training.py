"""Training and checkpoints: it learns, it resumes bit for bit, and it believes no damaged file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_rnn as tg
from tinygrad_rnn import checkpoint
from tinygrad_rnn.language import CharModel, LectureModel
from tinygrad_rnn.patterns import PATTERNS, build
from tinygrad_rnn.training import OPTIMIZERS, Settings, Trainer

TEXT = "she sells sea shells by the sea shore; " * 30
SMALL = Settings(hidden=12, embedding=6, length=8, batch=3)


def small(**changes: Any) -> Settings:
    return Settings(**{**vars(SMALL), **changes})


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_it_learns(cell: str) -> None:
    trainer = Trainer(TEXT, small(cell=cell, lr=0.02))
    losses = [progress.loss for progress in trainer.run(120)]
    assert losses[0] > 2.3 and np.mean(losses[-10:]) < 1.0
    validation = trainer.validate()
    assert validation is not None and validation < 1.0


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_resuming_is_bit_identical(tmp_path: Path, cell: str, optimizer: str) -> None:
    settings = small(cell=cell, optimizer=optimizer, layers=2, dropout=0.3, clip_value=0.5, seed=3)
    whole = Trainer(TEXT, settings)
    losses = [progress.loss for progress in whole.run(60)]  # past the end of the text, where the state starts anew
    half = Trainer(TEXT, settings)
    first = [progress.loss for progress in half.run(25)]
    checkpoint.save(half, tmp_path / "half.ckpt")
    tg.manual_seed(999)  # whatever else draws random numbers in between
    resumed = checkpoint.resume(tmp_path / "half.ckpt", TEXT)
    second = [progress.loss for progress in resumed.run(60)]
    assert losses == first + second
    ours, theirs = whole.arrays(), resumed.arrays()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def test_the_state_is_carried_over_but_gradients_are_not() -> None:
    trainer = Trainer(TEXT, SMALL)
    list(trainer.run(1))
    assert trainer.state is not None
    assert all(s.op is None and not s.requires_grad and np.abs(s.numpy()).max() > 0 for s in trainer.state)


def test_validation_does_not_change_training() -> None:
    a, b = Trainer(TEXT, small(dropout=0.5, layers=2)), Trainer(TEXT, small(dropout=0.5, layers=2))
    tg.manual_seed(5)
    first = [p.loss for p in a.run(6)]
    tg.manual_seed(5)
    second = []
    for progress in b.run(6):
        second.append(progress.loss)
        b.validate()
    assert first == second


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 0), ("hidden", 2.5), ("hidden", 10**7), ("layers", 5000), ("cell", "elman"), ("optimizer", "lbfgs"),
        ("dropout", 1.0), ("lr", float("nan")), ("lr", -1.0), ("seed", -1), ("validation", 1.0), ("hidden", True),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(tg.DataError, match=name if name != "layers" else "layer"):
        small(**{name: value}).parameter_shapes(10)


def damaged(tmp_path: Path, change: Any) -> Path:
    """A checkpoint with something changed in it."""
    path = tmp_path / "a.ckpt"
    trainer = Trainer(TEXT, SMALL)
    list(trainer.run(2))
    arrays, facts = dict(trainer.arrays()), trainer.facts()
    metadata = {"format": checkpoint.FORMAT}
    change(arrays, facts, metadata)
    metadata.setdefault("facts", json.dumps(facts))
    path.write_bytes(safetensors.numpy.save(arrays, metadata))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda a, f, m: m.update(format="something else"),
        lambda a, f, m: m.update(facts="not json"),
        lambda a, f, m: m.update(facts="[]"),
        lambda a, f, m: f["settings"].update(hidden=10**6),
        lambda a, f, m: f["settings"].update(hidden=13),
        lambda a, f, m: f["settings"].update(lr=float("nan")),
        lambda a, f, m: f["settings"].update(surprise=1),
        lambda a, f, m: f["settings"].pop("cell") and f["settings"].update(cell=["lstm"]),
        lambda a, f, m: f.update(characters="aa"),
        lambda a, f, m: f.update(characters=7),
        lambda a, f, m: f.update(step=-1),
        lambda a, f, m: f.update(step="two"),
        lambda a, f, m: f.pop("random"),
        lambda a, f, m: f.update(random={"bit_generator": "MT19937"}),
        lambda a, f, m: a.pop("model.head.bias"),
        lambda a, f, m: a.update({"model.extra": np.zeros(3)}),
        lambda a, f, m: a.update({"model.head.bias": np.zeros(99, np.float32)}),
        lambda a, f, m: a.update({"model.head.bias": a["model.head.bias"].astype(np.complex64)}),
        lambda a, f, m: a.update({"optimizer.0.exp_avg": np.zeros((2, 2), np.float32)}),
        lambda a, f, m: a.update({"optimizer.99.exp_avg": np.zeros((2, 2), np.float32)}),
        lambda a, f, m: a.update({"optimizer.x": np.zeros(1, np.float32)}),
        lambda a, f, m: a.update({"state.0": np.zeros((9, 9, 9), np.float32)}),
        lambda a, f, m: a.update({"state.7": np.zeros((1, 3, 12), np.float32)}),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, change: Any) -> None:
    path = damaged(tmp_path, change)
    before = path.read_bytes()
    with pytest.raises(tg.TinygradError) as caught:
        checkpoint.resume(path, TEXT)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_truncated_or_random_bytes_are_refused(tmp_path: Path) -> None:
    path = damaged(tmp_path, lambda a, f, m: None)
    whole = path.read_bytes()
    checkpoint.resume(path, TEXT)
    for cut in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(tg.DataError):
            checkpoint.load(path)
    for junk in (b"\x80\x04pickle", b"\xff" * 64, b"\x00" * 64, b"{" * 200):
        path.write_bytes(junk)
        with pytest.raises(tg.DataError):
            checkpoint.load(path)


def test_saving_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(tg.DataError, match="cannot write"):
        checkpoint.save(Trainer(TEXT, SMALL), tmp_path / "file" / "a.ckpt")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_sampling_follows_the_seed_and_temperature() -> None:
    tg.manual_seed(0)
    model = CharModel(10, "gru", hidden=8, embedding=4)

    def sample(seed: int, temperature: float) -> list[int]:
        return list(model.sample([1, 2], 40, temperature, np.random.default_rng(seed)))

    assert sample(1, 1.0) == sample(1, 1.0) != sample(2, 1.0)
    assert sample(1, 0.0) == sample(2, 0.0) == sample(3, 1e-6)


def test_a_sample_equals_rereading_everything_written_so_far() -> None:
    tg.manual_seed(0)
    model = CharModel(6, "lstm", hidden=5, layers=2, embedding=3)
    text = [1, 2]
    for index in model.sample([1, 2], 6, 0.0):
        scores, _ = model(np.array(text)[:, None])
        assert index == int(scores.numpy()[-1, 0].argmax())
        text.append(index)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_lecture_model_learns_to_spell_hello(cell: str) -> None:
    tg.manual_seed(0)
    model = LectureModel("helo", cell)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss = model.unroll("hell", "ello")
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 and model.spell("h", 4) == "hello"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_have_the_inputs_outputs_and_losses_their_name_says(pattern: str, cell: str) -> None:
    graph = tg.Graph(build(pattern, cell, length=3, layers=2))
    roles = [node.role for node in graph.nodes]
    inputs, outputs = roles.count("x"), roles.count("logits")
    expected = {
        "one-to-one": (1, 1), "one-to-many": (1, 3), "many-to-one": (3, 1), "many-to-many": (3, 3), "seq2seq": (4, 3),
    }  # fmt: skip
    assert (inputs, outputs) == expected[pattern]
