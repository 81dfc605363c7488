"""``tinygrad-rnn check``: exit codes, and the table of planted bugs."""

import pytest
from click.testing import CliRunner

from tinygrad_rnn.cli import main

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


def test_the_table_of_planted_bugs():
    result = run("--planted", "--seeds", "1", "--markdown")
    assert result.exit_code == 0
    assert "| truncated at 10 steps |" in result.stdout
    assert "ours misses 0" in result.stdout and "0 false alarms" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("model.py:loss", "--planted")])
def test_one_of_the_two(arguments):
    result = run(*arguments)
    assert result.exit_code == 2 and "say which loss" in result.stderr
