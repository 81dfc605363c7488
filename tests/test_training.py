"""Training and checkpoints: it learns, it resumes bit for bit, and it believes no damaged file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from nightly import some

import tinygrad_rnn as tg
from tinygrad_rnn.character_model import checkpoint
from tinygrad_rnn.character_model.model import CharModel, LectureModel
from tinygrad_rnn.character_model.training import OPTIMIZERS, Settings, Trainer
from tinygrad_rnn.sequence_patterns import PATTERNS, build

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


@pytest.mark.parametrize(
    ("cell", "optimizer", "eager"),
    [
        *(("lstm", optimizer, True) for optimizer in some(list(OPTIMIZERS), 2)),
        ("rnn", "sgd", True),
        ("gru", "adam", True),
        ("rnn", "adagrad", False),
        ("lstm", "adam", False),
        ("gru", "rmsprop", False),
    ],
)
def test_resuming_is_bit_identical(tmp_path: Path, cell: str, optimizer: str, eager: bool) -> None:
    settings = small(cell=cell, optimizer=optimizer, layers=2, dropout=0.3, clip_value=0.5, seed=3, length=4)
    text = TEXT[:240]  # ends between the half and the whole: there the state starts anew
    whole = Trainer(text, settings)
    whole.eager = eager
    losses = [progress.loss for progress in whole.run(26)]
    half = Trainer(text, settings)
    half.eager = eager
    first = [progress.loss for progress in half.run(10)]
    checkpoint.save(half, tmp_path / "half.ckpt")
    tg.manual_seed(999)  # whatever else draws random numbers in between
    resumed = checkpoint.resume(tmp_path / "half.ckpt", text)
    resumed.eager = eager
    second = [progress.loss for progress in resumed.run(26)]
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
        ("hidden", 0), ("hidden", 2.5), ("hidden", 10**7), ("hidden", 10**6), ("layers", 5000), ("cell", "elman"),
        ("optimizer", "lbfgs"),
        ("dropout", 1.0), ("lr", float("nan")), ("lr", -1.0), ("seed", -1), ("validation", 1.0), ("hidden", True),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(tg.DataError, match=name):
        small(**{name: value}).parameter_shapes(10)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint after two steps."""
    path = tmp_path_factory.mktemp("sound") / "a.ckpt"
    trainer = Trainer(TEXT, SMALL)
    list(trainer.run(2))
    checkpoint.save(trainer, path)
    return path.read_bytes()


def damaged(sound: bytes, tmp_path: Path, change: Any) -> Path:
    """A checkpoint with something changed in it."""
    path = tmp_path / "a.ckpt"
    path.write_bytes(sound)
    with safetensors.safe_open(str(path), framework="numpy") as content:
        facts = json.loads(content.metadata()["tinygrad_rnn"])
    arrays = safetensors.numpy.load_file(path)
    facts.update(format=checkpoint.OLD_FORMAT)  # without a checksum, so that every check behind it is met
    del facts["sha256"]
    text = change(arrays, facts)
    metadata = {"tinygrad_rnn": text if isinstance(text, str) else json.dumps(facts)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))
    return path


WEIGHTS, SETTINGS = "weights do not fit", "its settings have other names"


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (lambda a, f: f.update(format="something else"), "not a checkpoint of this program"),
        (lambda a, f: "not json", "JSONDecodeError"),
        (lambda a, f: "[]", "AttributeError"),
        (lambda a, f: "[" * 100_000, "RecursionError"),
        (lambda a, f: "9" * 5000, "ValueError"),
        (lambda a, f: f["settings"].update(hidden=10**6), "GiB"),
        (lambda a, f: f["settings"].update(hidden=10**4000), "hidden must be from 1 to"),
        (lambda a, f: f["settings"].update(hidden=13), WEIGHTS),
        (lambda a, f: f["settings"].update(hidden=12.0), "hidden must be of type int"),
        (lambda a, f: f["settings"].update(layers=1000), WEIGHTS),
        (lambda a, f: f["settings"].update(lr=float("nan")), "lr must be from"),
        (lambda a, f: f["settings"].update(surprise=1), SETTINGS),
        (lambda a, f: f["settings"].pop("cell") and None, SETTINGS),
        (lambda a, f: f["settings"].update(cell=["lstm"]), "cell must be of type str"),
        (lambda a, f: f["settings"].update(cell="gru"), WEIGHTS),
        (lambda a, f: f["settings"].update(batch=2), "state.0 does not fit"),
        (lambda a, f: f["settings"].update(optimizer="sgd"), "optimizer.0.exp_avg does not fit"),
        (lambda a, f: f.update(settings=[]), "AttributeError"),
        (lambda a, f: f.update(characters="aa"), "each of them once"),
        (lambda a, f: f.update(characters=7), "TypeError"),
        (lambda a, f: f.update(characters="\ud800" + f["characters"][1:]), "half a character"),
        (lambda a, f: f.update(characters="ß" + f["characters"][1:]), "is not in the model's vocabulary"),
        (lambda a, f: f.update(step=-1), "where training stood"),
        (lambda a, f: f.update(step="two"), "where training stood"),
        (lambda a, f: f.update(step=True), "where training stood"),
        (lambda a, f: f.update(text_sha256=None), "where training stood"),
        (lambda a, f: f.update(text_sha256="0"), "another text"),
        (lambda a, f: f.pop("random") and None, "KeyError"),
        (lambda a, f: f.update(random={"bit_generator": "MT19937"}), "is damaged: ValueError"),
        (lambda a, f: f["random"]["state"].update(state=-1), "OverflowError"),
        (lambda a, f: a.pop("model.head.bias") is None, WEIGHTS),
        (lambda a, f: a.update({"model.extra": np.zeros(3, np.float32)}), WEIGHTS),
        (lambda a, f: a.update({"model.head.bias": np.zeros(99, np.float32)}), WEIGHTS),
        (lambda a, f: a.update({"model.head.bias": a["model.head.bias"].astype(np.float64)}), WEIGHTS),
        (lambda a, f: a.update({"model.head.bias": a["model.head.bias"].view(np.int32)}), WEIGHTS),
        (lambda a, f: a.update({"model.head.bias": a["model.head.bias"] * np.float32("nan")}), "bias is not finite"),
        (lambda a, f: a.update({"optimizer.0.exp_avg": np.zeros((2, 2), np.float32)}), "optimizer.0.exp_avg does not"),
        (lambda a, f: a.update({"optimizer.0.step": np.zeros((), np.float32)}), "optimizer.0.step does not"),
        (lambda a, f: a.pop("optimizer.0.step") is None, "optimizer.0.step does not"),
        (lambda a, f: a.update({"optimizer.99.exp_avg": np.zeros((2, 2), np.float32)}), "optimizer.99.exp_avg does"),
        (lambda a, f: a.update({"optimizer.x": np.zeros(1, np.float32)}), "optimizer.x does not"),
        (lambda a, f: a.update({"e\x1b[2J\nvil": np.zeros(1, np.float32)}), "vil does not"),
        (lambda a, f: a.update({"state.0": np.zeros((9, 9, 9), np.float32)}), "state.0 does not"),
        (lambda a, f: a.update({"state.7": np.zeros((1, 3, 12), np.float32)}), "state.7 does not"),
        (lambda a, f: a.pop("state.1") is None, "state.1 does not"),
        (lambda a, f: a.update({"state.1": a["state.1"] / np.float32(0)}), "state.1 is not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the damage done here
def test_a_damaged_checkpoint_is_refused_in_one_line(sound: bytes, tmp_path: Path, change: Any, saying: str) -> None:
    path = damaged(sound, tmp_path, change)
    before = path.read_bytes()
    with pytest.raises(tg.TinygradError, match=saying) as caught:
        checkpoint.resume(path, TEXT)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    assert path.read_bytes() == before


def test_equal_trainers_give_equal_bytes(tmp_path: Path) -> None:
    trainer = Trainer(TEXT, SMALL)
    contents = set()
    for _ in range(8):
        checkpoint.save(trainer, tmp_path / "a.ckpt")
        contents.add((tmp_path / "a.ckpt").read_bytes())
    assert len(contents) == 1


def test_numbers_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    trainer, path = Trainer(TEXT, SMALL), tmp_path / "a.ckpt"
    checkpoint.save(trainer, path)
    before = path.read_bytes()
    trainer.model.head.bias.data[3] = np.inf
    with pytest.raises(tg.GraphError, match=r"after step 0 model\.head\.bias is no longer finite"):
        checkpoint.save(trainer, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_compiled_training_agrees_with_plain(optimizer: str) -> None:
    settings = small(optimizer=optimizer, layers=2, dropout=0.3, clip_value=0.5)
    plain, compiled = Trainer(TEXT, settings), Trainer(TEXT, settings)
    plain.eager = True
    tg.manual_seed(4)
    expected = [progress.loss for progress in plain.run(30)]
    tg.manual_seed(4)
    assert np.allclose([progress.loss for progress in compiled.run(30)], expected, rtol=1e-4)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("clip_norm", [0.0, 5.0])
def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(clip_norm: float, eager: bool) -> None:
    trainer = Trainer(TEXT, small(clip_norm=clip_norm))
    trainer.eager = eager
    trainer.model.head.bias.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: array.tobytes() for name, array in trainer.arrays().items()}
    with pytest.raises(tg.GraphError, match=r"in step 1, .*gradient of bias .* has norm (nan|inf)"):
        list(trainer.run(1))
    assert trainer.step == 0
    assert before == {name: array.tobytes() for name, array in trainer.arrays().items()}


def test_truncated_or_random_bytes_are_refused(sound: bytes, tmp_path: Path) -> None:
    path = damaged(sound, tmp_path, lambda a, f: None)
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
    compiled = model.sample([1, 2], 40, 1.0, np.random.default_rng(1), eager=False)
    assert list(compiled) == sample(1, 1.0)


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
        "one-to-one": (1, 1),
        "one-to-many": (1, 3),
        "many-to-one": (3, 1),
        "many-to-many": (3, 3),
        "seq2seq": (4, 3),
    }
    assert (inputs, outputs) == expected[pattern]
