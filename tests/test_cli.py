"""The command line as its user meets it: what it prints, what it writes, how it fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tinygrad_rnn import __version__
from tinygrad_rnn.character_model import checkpoint
from tinygrad_rnn.character_model.training import Settings, Trainer
from tinygrad_rnn.cli import cost_warning, main
from tinygrad_rnn.cli.errors_and_interrupts import noted_interrupt
from tinygrad_rnn.sequence_patterns import PATTERNS, build

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
SMALL = ("--hidden", "8", "--embedding", "4", "--length", "10", "--batch", "2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def fails(*arguments: str, saying: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("Error: "), result.stderr
    assert saying in result.stderr
    assert "Traceback" not in result.output


def test_version_and_help() -> None:
    assert __version__ in run("--version").stdout
    assert "Examples:" in run().stdout
    for command in ("demo", "render", "debug", "train", "sample"):
        result = run(command, "--help")
        assert result.exit_code == 0 and "Usage:" in result.stdout
        assert "Example" in result.stdout


def test_demo_spells_hello_and_draws_three_pictures(folder: Path) -> None:
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(": hello") == 2  # the RNN and the LSTM, sampled and fed back
    for name in ("hello-rnn.svg", "hello-lstm.svg", "hello-backward.svg"):
        assert name in result.stdout
        assert (folder / "out" / name).read_text(encoding="utf-8").rstrip().endswith("</svg>")


@pytest.mark.parametrize("pattern", ["one-to-one", "one-to-many", "many-to-one", "many-to-many", "seq2seq"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_render_patterns(folder: Path, pattern: str, cell: str) -> None:
    result = run("render", "--pattern", pattern, "--cell", cell, "--steps", "3", "-o", "a.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in (folder / "a.svg").read_text(encoding="utf-8")


def test_one_to_one_says_what_does_not_apply(folder: Path) -> None:
    result = run("render", "--pattern", "one-to-one", "--cell", "lstm", "--layers", "2", "-o", "two.dot")
    assert result.exit_code == 0 and "--cell change nothing" in result.stderr
    assert run("render", "--pattern", "one-to-one", "-o", "one.dot").stderr == ""
    assert Path("two.dot").read_text(encoding="utf-8") != Path("one.dot").read_text(encoding="utf-8")


def test_render_from_both_ends(folder: Path) -> None:
    assert run("render", "--bidirectional", "--steps", "2", "-o", "both.dot").exit_code == 0
    assert {"h→₁", "h←₂"} <= set(re.findall(r"h[→←][₁₂]", Path("both.dot").read_text()))
    refused = run("render", "--bidirectional", "--pattern", "seq2seq", "-o", "none.dot")
    assert refused.exit_code and "reads a whole sequence" in refused.stderr


def test_render_options_reach_the_picture(folder: Path) -> None:
    assert run("render", "--steps", "9", "-o", "short.dot").exit_code == 0
    assert run("render", "--steps", "9", "--all-steps", "-o", "long.dot").exit_code == 0
    assert run("render", "--detail", "op", "--grads", "--values", "-o", "op.dot").exit_code == 0
    assert run("render", "--backward", "-o", "back.dot").exit_code == 0
    assert run("render", "--rolled", "-o", "rolled.dot").exit_code == 0
    sources = {
        name: Path(f"{name}.dot").read_text(encoding="utf-8") for name in ("short", "long", "op", "back", "rolled")
    }
    assert "t = 9" in sources["long"] and "t = 5" in sources["long"] and "t = 5" not in sources["short"]
    assert len(set(sources.values())) == 5


def test_render_a_users_own_graph(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import tinygrad_rnn as tg\n"
        "def loss():\n    return (tg.tensor([1.0, 2.0], requires_grad=True, name='weights') ** 2).sum()\n"
        "def broken():\n    return 1 / 0\n",
        encoding="utf-8",
    )
    assert run("render", "mine.py:loss", "-o", "mine.svg").exit_code == 0
    assert "weights" in (folder / "mine.svg").read_text(encoding="utf-8")
    fails("render", "mine.py:broken", "-o", "no.svg", saying="mine.py, line 5: ZeroDivisionError")
    fails("render", "mine.py:absent", saying="no function 'absent'")
    fails("render", "absent.py:loss", saying="no script")
    fails("render", "mine.py", saying="script.py:function")
    assert not (folder / "no.svg").exists()


def test_train_sample_and_resume(folder: Path) -> None:
    result = run("train", "book.txt", *SMALL, "--steps", "6", "-o", "a.ckpt")
    assert result.exit_code == 0, result.output
    assert "bits per character" in result.stdout and "step 6" in result.stdout
    assert run("train", "book.txt", *SMALL, "--steps", "3", "-o", "b.ckpt").exit_code == 0
    assert run("train", "book.txt", "--resume", "--steps", "6", "-o", "b.ckpt").exit_code == 0
    assert (folder / "a.ckpt").read_bytes() == (folder / "b.ckpt").read_bytes()
    first = run("sample", "a.ckpt", "--prompt", "the ", "--length", "30", "--seed", "1")
    again = run("sample", "b.ckpt", "--prompt", "the ", "--length", "30", "--seed", "1")
    assert first.exit_code == 0 and first.stdout == again.stdout
    assert first.stdout.startswith("the ") and len(first.stdout) == 4 + 30 + 1
    assert run("sample", "a.ckpt", "--length", "5", "--temperature", "0").exit_code == 0


def test_training_says_what_it_judges_and_keeps_a_log_and_a_curve(folder: Path) -> None:
    small = (
        "train",
        "book.txt",
        *SMALL,
        "-o",
        "a.ckpt",
        "--log",
        "a.csv",
        "--plot",
        "a.svg",
        "--checkpoint-every",
        "2",
    )
    result = run(*small, "--steps", "3")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "validation: 160 of the 176 characters kept aside, every 2 steps" in text
    assert "nats" in text and "bits per character" in text and "of the time" in text
    before = (folder / "a.csv").read_text().splitlines()
    result = run("train", "book.txt", "-o", "a.ckpt", "--log", "a.csv", "--plot", "a.svg", "--resume", "--steps", "5")
    assert result.exit_code == 0, result.output
    lines = (folder / "a.csv").read_text().splitlines()
    assert lines[:4] == before and [line.split(",")[0] for line in lines] == ["step", "1", "2", "3", "4", "5"]
    assert [bool(line.split(",")[3]) for line in lines[1:]] == [False, True, True, False, True]
    rows = [[float(cell) for cell in line.split(",") if cell] for line in lines[1:]]
    for row in rows:
        assert row[2] == pytest.approx(row[1] / np.log(2), rel=1e-4)
    assert [row[-1] for row in rows] == sorted(row[-1] for row in rows)
    assert "bits per character" in (folder / "a.svg").read_text()
    fails(*small, "--overwrite", "--steps", "1", "--plot", "a.gif", saying="as .svg, .png or .pdf")
    (folder / "b.csv").write_text("a,b\n1,2\n")
    fails(
        "train", "book.txt", "-o", "a.ckpt", "--log", "b.csv", "--resume", "--steps", "9", saying="no log of a training"
    )


def test_bad_input_is_one_line_and_exit_code_2(folder: Path) -> None:
    (folder / "latin.txt").write_bytes(b"caf\xe9 au lait")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "one.txt").write_bytes(b"a")
    (folder / "file").write_bytes(b"not a folder")
    fails("train", "latin.txt", saying="not UTF-8: byte 3")
    fails("train", "empty.txt", saying="nothing to predict")
    fails("train", "one.txt", saying="nothing to predict")
    fails("train", "absent.txt", saying="cannot read absent.txt")
    fails("train", "book.txt", *SMALL, "--steps", "1", "-o", "file/a.ckpt", saying="cannot write")
    fails("train", "book.txt", *SMALL[2:], "--hidden", "900000", saying="GiB")
    fails("train", "book.txt", "--lr", "nan", saying="lr")
    fails("train", "book.txt", "--batch", "5000", saying="too few")
    fails("train", "book.txt", "--resume", saying="no checkpoint")
    fails("sample", "absent.ckpt", saying="no checkpoint")
    fails("sample", "latin.txt", saying="not a readable checkpoint")
    fails("render", "--steps", "0", saying="--steps")
    fails("render", "--steps", str(10**9), saying="--steps")
    fails("render", "-o", "picture.bmp", saying="bmp")
    fails("render", "-o", "file/a.svg", saying="cannot write")
    fails("render", "--cell", "transformer", saying="--cell")
    fails("paint", saying="No such command")
    assert sorted(path.name for path in folder.iterdir()) == ["book.txt", "empty.txt", "file", "latin.txt", "one.txt"]


def test_resume_refuses_what_does_not_fit(folder: Path) -> None:
    assert run("train", "book.txt", *SMALL, "--steps", "2", "-o", "a.ckpt").exit_code == 0
    saved = (folder / "a.ckpt").read_bytes()
    (folder / "other.txt").write_text(TEXT[::-1], encoding="utf-8")
    fails("train", "other.txt", "--resume", "--steps", "9", "-o", "a.ckpt", saying="another text")
    fails("train", "book.txt", "--resume", "--hidden", "9", "-o", "a.ckpt", saying="--hidden")
    fails("train", "book.txt", "--resume", "--steps", "2", "-o", "a.ckpt", saying="2 steps already")
    fails("sample", "a.ckpt", "--prompt", "ß", saying="'ß' (position 0)")
    assert (folder / "a.ckpt").read_bytes() == saved


def test_a_loss_that_is_not_finite_stops_in_one_line_and_keeps_the_checkpoint(folder: Path) -> None:
    trainer = Trainer(TEXT, Settings(hidden=8, embedding=4, length=10, batch=2))
    trainer.model.head.weight.data[:] = np.float32(3e38)  # every weight is finite, but no score will be
    trainer.model.rnn.bias_ih_l0.data[:] = 100
    checkpoint.save(trainer, "a.ckpt")
    saved = (folder / "a.ckpt").read_bytes()
    fails("train", "book.txt", "--resume", "--steps", "5", "-o", "a.ckpt", saying="in step 1, the loss became nan")
    assert (folder / "a.ckpt").read_bytes() == saved
    fails("sample", "a.ckpt", "--prompt", "the", saying="scores are not finite")


def test_training_does_not_replace_a_checkpoint_unasked(folder: Path) -> None:
    assert run("train", "book.txt", *SMALL, "--steps", "2", "-o", "a.ckpt").exit_code == 0
    saved = (folder / "a.ckpt").read_bytes()
    fails("train", "book.txt", *SMALL, "--steps", "1", "-o", "a.ckpt", saying="a.ckpt exists; go on with --resume")
    assert (folder / "a.ckpt").read_bytes() == saved
    assert run("train", "book.txt", *SMALL, "--steps", "1", "-o", "a.ckpt", "--overwrite").exit_code == 0
    assert (folder / "a.ckpt").read_bytes() != saved


def test_training_never_replaces_the_text_it_reads(folder: Path) -> None:
    saved = (folder / "book.txt").read_bytes()
    (folder / "link.txt").symlink_to(folder / "book.txt")
    for name in ("book.txt", "link.txt"):
        fails("train", "book.txt", *SMALL, "-o", name, "--overwrite", saying="would overwrite the text book.txt")
    assert (folder / "book.txt").read_bytes() == saved


def test_traceback_only_when_asked(folder: Path) -> None:
    result = run("--traceback", "sample", "absent.ckpt")
    assert result.exception is not None and "no checkpoint" in str(result.exception)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_saves_and_says_so(folder: Path) -> None:
    errors = interrupted(
        folder, lambda: (folder / "a.csv").is_file() and (folder / "a.csv").read_text().count("\n") > 1
    )
    answer, ending = errors.splitlines()
    assert answer.startswith("interrupted: the step at work") and answer.endswith("Ctrl-C again stops at once")
    assert ending.startswith("interrupted: a.ckpt saved after step ")
    assert run("sample", "a.ckpt", "--length", "3").exit_code == 0


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_while_the_first_step_is_compiled_does_not_wait_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.update

    def interrupted_step(self: Trainer, *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)  # while the step is recorded, to be compiled
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "update", interrupted_step)
    ended = run("train", "book.txt", *SMALL, "--steps", "20", "-o", "a.ckpt")
    said = "interrupted in the first step: a.ckpt is as it was saved before it\n"
    assert (ended.exit_code, ended.stderr) == (130, said)
    assert checkpoint.load(folder / "a.ckpt")[1]["step"] == 0


def interrupted(folder: Path, begun: Callable[[], bool]) -> str:
    """What training says on its standard error when Ctrl-C comes once it has ``begun``."""
    where = ("--steps", "1000000", "--checkpoint-every", "5", "--log", "a.csv", "-o", "a.ckpt")
    command = [sys.executable, "-m", "tinygrad_rnn", "train", "book.txt", *SMALL, *where]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not begun() and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    return errors


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_inside_exec_has_the_same_exit_code(folder: Path) -> None:
    (folder / "model.py").write_text("import signal\nexec('signal.raise_signal(signal.SIGINT)')\n")
    command = [sys.executable, "-m", "tinygrad_rnn", "check", "model.py:loss"]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_control_c_is_answered_at_once_and_acts_the_second_time(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), noted_interrupt("noted") as interrupt:
        signal.raise_signal(signal.SIGINT)  # as in the middle of a step
        assert interrupt and capfd.readouterr().err == "noted; Ctrl-C again stops at once\n"
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_takes_minutes_is_said_before_it_is_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.perf_counter()
    for command in (("render", "--steps", "100000", "--detail", "op"), ("derive", "--steps", "20000")):
        fails(*command, saying="minutes; ")
        assert "or add --anyway" in run(*command).stderr
    assert time.perf_counter() - began < 10
    monkeypatch.setattr(cost_warning, "WORTH_SAYING", 0.0)
    monkeypatch.setattr(cost_warning, "MANY_STEPS", 5)
    for command in ("render", "derive"):
        result = run(command, "--steps", "7")
        assert result.exit_code == 0 and "operations to be recorded and d" in result.stderr, result.output


@pytest.mark.parametrize("pattern", PATTERNS[1:])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_the_size_of_a_network_is_foreseen(cell: str, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_warning, "MANY_STEPS", 5)

    def network(steps: int) -> Any:
        return build(pattern, cell, steps, 2, 2)

    assert cost_warning.foreseen(network, 9) == cost_warning.operations(network(9)) > 0


@pytest.mark.parametrize("command", ["check", "debug", "render", "derive", "flow"])
def test_the_help_says_that_a_script_is_run(command: str) -> None:
    assert "script is run" in " ".join(run(command, "--help").stdout.split()).lower()


def test_a_closed_pipe_ends_quietly(folder: Path) -> None:
    assert run("train", "book.txt", *SMALL, "--steps", "1", "-o", "a.ckpt").exit_code == 0
    command = [sys.executable, "-m", "tinygrad_rnn", "sample", "a.ckpt", "--length", "100000"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1 and errors == b""
