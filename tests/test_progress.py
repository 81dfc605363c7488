"""Long loops say how far they are, and nothing changes by it."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.cli.progress_bar import followed_loops
from tinygrad_rnn.progress import listening


def network():
    w = tg.tensor([[0.5]], requires_grad=True, name="W", dtype="float64")
    h = tg.nn.labelled(tg.ones(1, 1, dtype="float64"), "h")
    for _ in tg.steps(3):
        h = tg.nn.labelled((h @ w).tanh(), "h")
    return h.sum()


def test_checking_deriving_and_drawing_say_how_far_they_are():
    told = {}

    def listener(items, what, total):
        for done, item in enumerate(items, 1):
            assert done <= total
            told[what] = done, total
            yield item

    with listening(listener):
        report, equations, picture = (
            tg.check_gradients(network()),
            viz.derive(network()),
            viz.render(network(), grads=True),
        )
    assert str(report) == str(tg.check_gradients(network()))
    assert equations.text() == viz.derive(network()).text()
    assert picture.dot == viz.render(network(), grads=True).dot
    operations = len(tg.Graph(network()))
    assert told["comparing operations"] == told["trying references"] == (operations, operations)
    assert told["comparing leaves"] == (1, 1) and told["comparing states"] == (3, 3)
    assert told["drawing steps"] == (3, 3) and {"writing equations", "walking back", "leading lines"} <= set(told)


def test_no_bar_where_nobody_looks(capsys):
    with followed_loops():
        tg.check_gradients(network())
    assert capsys.readouterr() == ("", "")
    assert np.isfinite(network().item())
