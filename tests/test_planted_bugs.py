"""The tests are tested: every planted bug is found in every regime, and nothing right is called wrong."""

from functools import cache

import numpy as np
import pytest
from nightly import some

from tinygrad_rnn.testing.planted_bugs import (
    BUGS,
    POLICIES,
    REGIMES,
    as_markdown,
    as_text,
    correct,
    detection_table,
    false_alarms,
    make_problem,
    wrong_gradients,
)


@cache
def table(regime):
    """Who finds what in one regime; made once for all tests that look at it."""
    return detection_table(policies=list(POLICIES) if regime == "vanishing" else ["ours"], regimes=[regime])


@pytest.mark.parametrize("regime", REGIMES)
def test_every_bug_is_found(regime):
    rows = table(regime)
    assert not [row for row in rows if not row.found_by["ours"]]
    assert {row.bug for row in rows} == {bug.name for bug in BUGS}


def test_there_are_enough_of_them():
    names = [bug.name for bug in BUGS]
    assert len(names) == len(set(names)) >= 20


@pytest.mark.parametrize("regime", REGIMES)
def test_no_false_alarm_over_many_seeds(regime):
    for seed in some(range(100), 5):
        problem = make_problem(("rnn", "lstm", "gru", "pool")[seed % 4], regime, seed)
        assert not POLICIES["ours"](problem)(correct(problem)), seed


@pytest.mark.parametrize("seed", [5, 35, 68])
def test_what_a_saturated_rnn_rounds_in_float32_and_carries_on_hides_no_bug(seed):
    problem = make_problem("rnn", "saturated", seed, np.float32)
    wrong = POLICIES["ours"](problem)
    assert not wrong(correct(problem))
    assert not [bug for bug, gradients in wrong_gradients(problem, "rnn") if not wrong(gradients)]


def test_false_alarms_are_counted_by_policy():
    assert false_alarms([0], ["ours", "JAX"]) == {"ours": 0, "JAX": 0}


def test_known_policies_miss_some_where_gradients_vanish():
    rows = table("vanishing")
    missed = {name: {row.bug for row in rows if not row.found_by[name]} for name in POLICIES}
    assert not missed["ours"]
    subtle = {"dh0 zero", "h carry dropped at one step", "dW of the first step skipped", "float32 inside"}
    for name in ("torch", "JAX", "autograd"):
        assert subtle <= missed[name]


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_accepts_what_is_right_and_rejects_what_is_not(policy):
    problem = make_problem("lstm", "normal")
    wrong = POLICIES[policy](problem)
    right = correct(problem)
    assert not wrong(right)
    right.whole["weight_hh"] = right.whole["weight_hh"] * 1.1
    assert wrong(right)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_the_regimes_are_what_they_are_called(kind):
    def shrinkage(regime):
        states = correct(make_problem(kind, regime)).states
        return np.linalg.norm(states["h", 0]) / np.linalg.norm(states["h", 11])

    assert shrinkage("vanishing") < 1e-5 < 1e-2 < shrinkage("normal")
    activity = np.abs(np.array([h for h, *_ in make_problem(kind, "saturated").states()[1:]]))
    assert kind != "rnn" or np.median(activity) > 0.95


def test_bugs_that_change_nothing_are_left_out():
    found = dict(wrong_gradients(make_problem("rnn", "normal"), "rnn"))
    assert "gates i and f swapped" not in found and "dh0 zero" in found
    assert not found["dh0 zero"].whole["h0"].any()


def test_the_table_in_text_and_markdown():
    rows = table("vanishing")
    text, markdown = as_text(rows).splitlines(), as_markdown(rows)
    assert len(text) == len(BUGS) + 4 and len(markdown.splitlines()) == len(BUGS) + 3
    assert text[0].split() == list(POLICIES) and text[1].split()[:5] == ["bug", "of", "n", "v", "s"]
    assert text[-2].split()[:5] == ["found", f"{len(rows)}", "0", f"{len(rows)}", "0"]  # of one regime alone
    assert all(len(line) <= 80 for line in text)
    assert all(line.startswith("| ") for line in markdown.splitlines())
