"""On random networks: nothing ends in an error, what is right is right, a share that is multiplied is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nightly import NIGHTLY
from random_networks import Network, networks
from unlabelled_recurrences import Loop, loops

import tinygrad_rnn as tg
from tinygrad_rnn.diagnosis.edited_walks import Edit, Record, scaled
from tinygrad_rnn.recorded_tensors import recorded

DRAWS = st.integers(0, 10**6)


def diagnosed(loss, record, gradients):
    tensors = recorded(loss)
    return tg.diagnose(loss, {tensors[record.nodes[i].serial]: g for i, g in gradients.items()}, max_edits=1)


def holds(loss, draw):
    record, tensors = Record(loss), recorded(loss)
    for node in record.nodes:  # what is rewritten to be searched is still the same computation
        if node.serial in tensors:
            value = record.values[node.index]  # perhaps with as many rows as the batch has
            np.testing.assert_allclose(value, np.broadcast_to(tensors[node.serial].numpy(), value.shape), atol=1e-12)
    right = {leaf.index: record.gradient(leaf.index) for leaf in record.leaves}
    engine = tg.grad(loss, [tensors[record.nodes[i].serial] for i in right], allow_unused=True)
    for (_, mine), theirs in zip(right.items(), engine, strict=True):
        np.testing.assert_allclose(mine, 0.0 if theirs is None else theirs.numpy(), rtol=1e-9, atol=1e-11)
    found = diagnosed(loss, record, right)
    assert found.correct and not found.failed, str(found)
    uses = list(record.truth.contributions)
    edit = Edit("", {uses[draw % len(uses)]: scaled(1.7)})
    wrong = {i: g + record.differences(edit).get(i, 0.0) for i, g in right.items()}
    found = diagnosed(loss, record, wrong)
    assert not found.failed, found.failed
    told = sum(len(np.unique(np.round(wrong[i] - g, 9))) for i, g in right.items())
    off = max(np.linalg.norm(wrong[i] - g) / (np.linalg.norm(g) or 1.0) for i, g in right.items())
    assert found.found or off < 1e-6 or told < 4, str(found)


@settings(max_examples=200 if NIGHTLY else 4, deadline=None)
@given(networks(), DRAWS)
def test_networks_with_batches_masks_norms_and_embeddings(network, draw):
    holds(network.loss_of(), draw)


@settings(max_examples=200 if NIGHTLY else 2, deadline=None)
@given(loops(least_steps=1, most_steps=3, wider=True), DRAWS)
def test_loops_without_labels(loop, draw):
    holds(loop.loss(), draw)


@pytest.mark.parametrize(
    "network",
    [
        Loop(cells=("rnn", "lstm", "memory"), steps=1, skip=True, feedback="mutual"),  # a memory of another first shape
        Network(cell="gru", layers=2, start="flat", bias="flat", mask="times"),
    ],
    ids=str,
)
def test_networks_on_which_a_kind_once_failed(network):
    holds(network.loss() if isinstance(network, Loop) else network.loss_of(), 20)


def test_of_a_packed_sequence_whose_rows_end_nothing_fails():
    rng = np.random.default_rng(5)
    sizes = {"E": (4, 2), "Wz": (2, 3), "Uz": (3, 3), "W": (2, 3), "U": (3, 3), "V": (3, 3), "h0": (3, 3)}
    w = {k: tg.tensor(rng.normal(size=size), requires_grad=True, name=k) for k, size in sizes.items()}
    h, loss = w["h0"], 0.0
    for words in [1, 2, 3], [0, 2], [3]:
        x, h = w["E"][np.array(words)], h[: len(words)]
        z = (x @ w["Wz"] + h @ w["Uz"]).sigmoid()
        h = z * h + (1 - z) * (x @ w["W"] + h @ w["U"]).tanh()
        loss = loss + tg.nn.functional.cross_entropy(h @ w["V"], np.arange(len(words)))
    right = tg.grad(loss, list(w.values()), retain_graph=True)
    found = tg.diagnose(loss, {x: g.numpy() ** 3 + 0.1 for x, g in zip(w.values(), right, strict=True)}, max_edits=1)
    assert found.tried > 5000 and not found.found and "failed there" not in str(found), found.failed


def test_a_leaf_without_any_gradient_does_not_hide_a_factor():
    w, u = (tg.tensor(np.arange(1.0, 5.0).reshape(2, 2) * k, requires_grad=True) for k in (0.1, 0.3))
    h = (tg.tensor([[0.4, 0.7]], dtype=tg.float64) @ w + tg.zeros(1, 2, dtype=np.float64) @ u).tanh()
    loss = (h * h).sum()
    right = tg.grad(loss, [w])[0].numpy()
    found = tg.diagnose(loss, {w: 1.7 * right, u: np.zeros((2, 2))}, max_edits=1)
    assert "multiplied by 1.7" in str(found)


def test_what_fails_is_said_and_the_other_kinds_go_on(monkeypatch):
    from tinygrad_rnn.diagnosis import edits

    def broken(scene):
        raise KeyError("a network nobody thought of")
        yield

    monkeypatch.setattr(edits, "OF_RULES", (broken, *edits.OF_RULES))
    w = tg.tensor([[0.5, -0.3, 0.2]], requires_grad=True, name="w", dtype=tg.float64)
    loss = (w * w).tanh().sum()
    found = tg.diagnose(loss, {"w": 2 * w.numpy()}, max_edits=1)
    assert "the derivative" in str(found) and found.failed == ["broken (KeyError: 'a network nobody thought of')"]
    assert "failed there" in str(tg.diagnose(loss, {"w": np.pi * w.numpy() ** 5}, max_edits=1))


def test_a_program_that_is_read_wrongly_is_searched_without_being_read(monkeypatch):
    from tinygrad_rnn.diagnosis import search

    class Once(search.Scene):
        made = 0

        def __init__(self, *arguments):
            type(self).made += 1
            if self.made == 1:
                raise KeyError("a loop nobody thought of")
            super().__init__(*arguments)

    monkeypatch.setattr(search, "Scene", Once)
    w = tg.tensor([[0.5, -0.3, 0.2]], requires_grad=True, name="w", dtype=tg.float64)
    found = tg.diagnose((w * w).tanh().sum(), {"w": 2 * w.numpy()}, max_edits=1)
    assert "the derivative" in str(found) and len(found.failed) == 1
