"""Pictures of compiled graphs: a whole training step, and what each pass makes of it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.compiler import passes

F = tg.nn.functional
X = np.zeros((2, 2), int)
LABEL = re.compile(r'\blabel=(?:"([^"]*)"|(\w+))')


def training_step(layer):
    """Compiled: embedding, a recurrent layer, a linear head, clipping and Adagrad."""
    tg.manual_seed(0)
    embed, rnn, head = tg.nn.Embedding(5, 3), layer(3, 4), tg.nn.Linear(4, 5)
    model = tg.nn.Sequential(embed, rnn, head)
    optimizer = tg.optim.Adagrad(model.parameters())

    @tg.compile
    def step(x, y):
        loss = F.cross_entropy(head(rnn(embed(x))[0]).reshape(-1, 5), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss

    return step


def labels(graph, detail):
    """What is written in the boxes."""
    return Counter(quoted or bare for quoted, bare in LABEL.findall(viz.render(graph, detail=detail).dot))


@pytest.mark.parametrize("detail", ["cell", "gate"])
@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
def test_a_compiled_training_step_is_drawn(layer, detail):
    step = training_step(layer)
    step(X, X)
    found = labels(step.graph, detail)
    steps = (
        {f"{word}{t}" for t in "₁₂" for word in ("h", "∂ 1.l0")} if detail == "cell" else {f"∂ 1.l0{t}" for t in "₁₂"}
    )
    for word in {"L", "stack", "∂ L", "∂ 2", "∂ 1.l0", "update", "t = 1", "t = 2"} | steps:
        assert found[word] == 1, word


@pytest.mark.parametrize("detail", ["cell", "gate"])
def test_each_pass_is_drawn(detail):
    graph = training_step(tg.nn.RNN).trace(X, X).graph
    for rewrite in passes.PASSES:
        before, graph = graph, rewrite(graph)
        if graph is not before:
            assert labels(graph, detail)["update"] == 1


def test_what_all_steps_share_stands_in_none():
    """The biases' sum is the same in every step: after merging there is one, and it is no step's own."""
    graph = passes.merge_equal(passes.simplify(training_step(tg.nn.LSTM).trace(X, X).graph))
    names = {name: node.index for node in graph.nodes for name in [node.name] if name and name.startswith("bias_")}
    sums = [n for n in graph.nodes if n.op is not None and set(n.sources) == set(names.values())]
    assert [node.scope.step for node in sums] == [None]
