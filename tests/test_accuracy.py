"""Each primitive and each update rule is held to the digits that docs/accuracy.md promises; 50 digits are the judge."""

import re
from pathlib import Path

import numpy as np
import pytest
from nightly import NIGHTLY

import tinygrad_rnn as tg
from tinygrad_rnn.testing import accuracy

pytest.importorskip("mpmath", reason="the judge of digits, mpmath, is not installed (pip install '.[test]')")
MODES = list(accuracy.MODES) if NIGHTLY else ["eager"]
POINTS = 4000 if NIGHTLY else 40
#: what the compiled loop computes by code of its own
COMPILED = [
    "exp",
    "log",
    "sqrt",
    "tanh",
    "sigmoid",
    "pow",
    "softmax",
    "log_softmax",
    "logsumexp",
    "cross_entropy",
    "sum",
]
CALLS = [(name, mode) for name in tg.TABLE for mode in MODES] + (
    [] if NIGHTLY else [(name, "compiled") for name in COMPILED]
)


@pytest.mark.parametrize("dtype", accuracy.DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("name", "mode"), CALLS)
def test_a_primitive_keeps_the_digits_promised(name, mode, dtype):
    value, *rules = accuracy.judge(name, dtype, mode, POINTS)
    assert value.ulps <= accuracy.bound(name, "value")
    assert all(rule.ulps <= accuracy.bound(name, "rule") for rule in rules)


@pytest.mark.parametrize("dtype", accuracy.DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name", accuracy.RULES)
def test_an_update_rule_keeps_the_digits_promised(name, dtype):
    for mode in MODES:
        assert accuracy.judge_rule(name, dtype, mode, steps=30 if NIGHTLY else 8).ulps <= accuracy.bound(name, "rule")


def test_the_judge_counts_units_in_the_last_place():
    one = np.float32(1)
    exact = [accuracy._mp().mpf(1)]
    assert accuracy._ulps(np.array([one]), exact, exact, np.float32) == 0
    assert accuracy._ulps(np.array([one + 3 * np.spacing(one)]), exact, exact, np.float32) == 3
    assert accuracy._ulps(np.array([np.float32(np.nan)]), exact, exact, np.float32) == np.inf


def test_the_published_table_keeps_its_promises_and_names_every_primitive():
    text = (Path(__file__).parents[1] / "docs" / "accuracy.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    judged = [row for row in rows if re.fullmatch(r"[\d.]+", row[-1])]
    assert {row[0].split("`")[1] for row in judged if row[0].startswith("`")} == set(tg.TABLE)
    for row in judged:
        assert max(map(float, row[2:6])) <= float(row[-1]), row


def test_only_the_tables_of_the_page_are_written_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(accuracy, "tables", lambda: ("| new |\n", "| rules |\n"))
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n| a |\n| b |\n\n## Rules\n\nText.\n\n| c |\n\nThe end.\n")
    accuracy.main([str(page)])
    assert page.read_text() == "# Title\n\n| new |\n\n## Rules\n\nText.\n\n| rules |\n\nThe end.\n"
