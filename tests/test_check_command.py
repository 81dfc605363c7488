"""``tinygrad-rnn check``: exit codes, and the table of planted bugs."""

from functools import partial

import pytest
from click.testing import CliRunner
from nightly import NIGHTLY

from tinygrad_rnn.cli import cost_warning, main
from tinygrad_rnn.testing import planted_bugs

LOSS = """
import tinygrad_rnn as tg

def loss():
    x = tg.tensor([0.5, {second}], requires_grad=True, name="x")
    return x.relu().square().sum() + x.relu().sum()
"""


def run(*arguments):
    return CliRunner().invoke(main, ["check", *arguments])


@pytest.mark.parametrize("second, code, verdict", [(1.0, 0, "passed"), (0.0, 1, "undecided")])
def test_a_loss_of_the_users(second, code, verdict, tmp_path):
    script = tmp_path / "model.py"
    script.write_text(LOSS.format(second=second))
    result = run(f"{script}:loss", "--order", "2")
    assert result.exit_code == code
    assert f"gradient check {verdict}" in result.stdout
    assert "(at model.py:6)" in result.stdout or "(made at model.py:5)" in result.stdout


def test_the_table_of_planted_bugs(monkeypatch):
    """Of one regime and judge by day: what is found by each is in `test_planted_bugs.py`, here is what is printed."""
    if not NIGHTLY:
        smaller = partial(planted_bugs.detection_table, policies=["ours"], regimes=["normal"])
        monkeypatch.setattr(planted_bugs, "detection_table", smaller)
    places = (315, 288) if NIGHTLY else (105, 96)
    result = run("--planted", "--seeds", "1", "--markdown")
    assert result.exit_code == 0
    assert "| truncated at 10 steps |" in result.stdout
    assert f"In float64: 46 bugs in {places[0]} places; ours misses 0." in result.stdout
    small = "3 more change less than its rounding"
    assert f"In float32: 43 bugs ({small}) in {places[1]} places; ours misses 0." in result.stdout
    assert result.stdout.count("15 other problems; 0 false alarms") == 2


@pytest.mark.parametrize("arguments", [(), ("model.py:loss", "--planted")])
def test_one_of_the_two(arguments):
    result = run(*arguments)
    assert result.exit_code == 2 and "say which loss" in result.stderr


def test_several_results_are_judged_together(tmp_path):
    script = tmp_path / "several.py"
    script.write_text(LOSS.format(second=1.0).replace("return ", "return x.exp(), "))
    result = run(f"{script}:loss")
    assert result.exit_code == 0 and "gradient check passed" in result.stdout


@pytest.mark.parametrize("returned, said", [("3.0", "returned float"), ("()", "an empty tuple"), ("x, 1", "int")])
def test_what_is_no_tensor_is_one_line(returned, said, tmp_path):
    script = tmp_path / "none.py"
    script.write_text(LOSS.format(second=1.0).split("    return")[0] + f"    return {returned}\n")
    result = run(f"{script}:loss")
    assert result.exit_code != 0 and said in str(result.exception or result.output) + result.output


def test_a_script_that_takes_long_is_said_to_be_running(capsys, monkeypatch):
    class AtOnce:
        def __init__(self, _seconds, function, args, kwargs):
            self.start, self.cancel = lambda: function(*args, **kwargs), lambda: None

    monkeypatch.setattr(cost_warning, "Timer", AtOnce)
    with cost_warning.patience("model.py:loss"):
        assert capsys.readouterr().err == ""  # nobody looks
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with cost_warning.patience("model.py:loss"):
        assert capsys.readouterr().err == "model.py:loss is still running; Ctrl-C stops it\n"


def test_what_would_take_many_minutes_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(cost_warning, "MOST", 1e-9)
    script = tmp_path / "long.py"
    script.write_text(LOSS.format(second=1.0))
    refused = run(f"{script}:loss")
    assert refused.exit_code != 0 and "--anyway" in str(refused.exception or refused.output) + refused.output
    assert run(f"{script}:loss", "--anyway").exit_code == 0
