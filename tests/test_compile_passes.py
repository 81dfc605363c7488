"""Each pass alone: the graph computes the same, and what the pass is for has happened."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import passes
from tinygrad_rnn.compiler.tracing import TracedProgram

F = tg.nn.functional


def evaluated(graph, trace: TracedProgram):
    """The outputs, with made-up values for everything that comes from outside; by the primitives' references."""
    values, first = [], min(node.serial for node in trace.graph.nodes)
    for node in graph.nodes:
        if node.op is not None:
            operands = [values[x.index] if isinstance(x, tg.Ref) else x for x in node.operands]
            values.append(np.asarray(node.op.reference(*operands, **node.attrs)))
            assert (values[-1].shape, values[-1].dtype) == (node.shape, node.dtype)
        elif node.value is not None:
            values.append(node.value)
        else:
            rng = np.random.default_rng(node.serial - first)  # the same numbers whatever was made before
            values.append(rng.integers(0, 5, node.shape) if node.dtype.kind == "i" else rng.random(node.shape))
    return [values[index] for index in graph.outputs]


def training_trace(layer, **settings):
    tg.manual_seed(0)
    embed, rnn, head = tg.nn.Embedding(5, 3).double(), layer(3, 4, **settings).double(), None
    head = tg.nn.Linear(4 * rnn.num_directions, 5).double()
    model = tg.nn.Sequential(embed, rnn, head)
    optimizer = tg.optim.Adam(model.parameters())

    def step(x, y):
        loss = F.cross_entropy(head(rnn(embed(x))[0]).reshape(-1, 5), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    x = np.zeros((6, 2), int)
    return tg.compile(step).trace(x, x)


@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_every_pass_keeps_every_value(layer, settings):
    trace = training_trace(layer, **settings)
    graph = trace.graph
    wanted = evaluated(graph, trace)
    for rewrite in passes.PASSES:
        graph = rewrite(graph)
        for got, value in zip(evaluated(graph, trace), wanted, strict=True):
            assert np.abs(got - value).max() <= 1e-12 * max(1e-300, np.abs(value).max())
        assert graph.steps == trace.graph.steps


def test_each_pass_can_run_alone():
    trace = training_trace(tg.nn.LSTM)
    wanted = evaluated(trace.graph, trace)
    for rewrite in passes.PASSES:
        for got, value in zip(evaluated(rewrite(trace.graph), trace), wanted, strict=True):
            # of the largest: an element in which everything cancels has fewer digits of its own
            assert np.abs(got - value).max() <= 1e-12 * max(1e-300, np.abs(value).max())


def test_time_is_batched():
    """Of one layer over T steps: one product for the inputs, T for the recurrence, one a weight's gradient."""
    for time in (4, 9):
        model = tg.nn.RNN(3, 4, bias=False).double()

        def loss_and_gradients(x, model=model):
            loss = (model(x)[0] ** 2).sum()
            return loss, *tg.grad(loss, list(model.parameters()))

        trace = tg.compile(loss_and_gradients).trace(np.zeros((time, 2, 3)))
        graph, _ = passes.optimize(trace.graph)
        before, after = trace.graph.counts, graph.counts
        assert before["linear"] == 2 * time and after["linear"] == 1 + time
        assert before["matmul"] > 2 * time and after["matmul"] <= (time - 1) + 3
        assert after["scatter"] == 0


def test_recurrent_products_are_not_batched():
    w = tg.nn.Parameter(np.eye(3))

    def recurrence(h):
        for _ in range(5):
            h = h @ w
        return h

    trace = tg.compile(recurrence).trace(np.ones((2, 3)))
    assert passes.batch_products(trace.graph).counts["matmul"] == 5


def test_equal_expressions_are_merged_but_parameters_are_not():
    a, b = tg.nn.Parameter([1.0, 2.0]), tg.nn.Parameter([1.0, 2.0])
    trace = tg.compile(lambda x: (x * a) + (x * a) + (x * b)).trace(tg.tensor([1.0, 2.0]))
    merged = passes.merge_equal(trace.graph)
    assert merged.counts["mul"] == 2 and len(merged.parameters) == 2


def test_integers_and_floats_are_different_numbers():
    trace = tg.compile(lambda x: (x * 2, x * 2.0)).trace(np.array([1, 2]))
    dtypes = [passes.merge_equal(trace.graph).nodes[i].dtype for i in trace.graph.outputs]
    assert dtypes[0] != dtypes[1]


def test_constants_are_folded():
    trace = tg.compile(lambda x: x + (tg.ones(2) * 3).exp().sum()).trace(tg.tensor([1.0, 2.0]))
    assert sum(passes.fold_constants(trace.graph).counts.values()) == 1


def test_dead_code_goes():
    trace = tg.compile(lambda x: x * 2).trace(tg.tensor([1.0]))
    graph = tg.Graph.of(trace.graph.nodes, [0])
    assert len(passes.remove_dead(graph)) == 1


def test_tables_are_projected():
    embed, head = tg.nn.Embedding(4, 3), tg.nn.Linear(3, 6)
    trace = tg.compile(lambda x: head(embed(x))).trace(np.zeros(50, int))
    graph = passes.use_tables(trace.graph)
    linear = next(node for node in graph.nodes if node.op is not None and node.op.name == "linear")
    assert linear.shape == (4, 6)


def test_a_choice_of_which_one_side_is_looked_at_is_that_side():
    def fn(m, x, y):
        inner = tg.where(m, x, y)
        return tg.where(m, inner.tanh() * inner, 0.0), tg.where(m, 1.0, tg.where(m, y.exp(), x)), inner[0]

    x = np.arange(6.0).reshape(2, 3)
    for both in (False, True):  # what is returned is looked at on both sides
        trace = tg.compile(lambda *given, both=both: fn(*given)[: 3 if both else 2]).trace(x > 2, x, x)
        graph = passes.drop_unseen(trace.graph)
        assert passes.remove_dead(graph).counts["where"] == (3 if both else 2)
        for got, wanted in zip(evaluated(graph, trace), evaluated(trace.graph, trace), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_masks_of_lengths_are_applied_once_a_step():
    tg.manual_seed(0)
    rnn = tg.nn.LSTM(3, 4).double()

    def fn(x, lengths):
        return tg.grad(rnn(x, lengths=lengths)[0].square().sum(), list(rnn.parameters()))

    trace = tg.compile(fn).trace(np.ones((5, 2, 3)), np.array([5, 2]))
    graph = passes.merge_equal(passes.remove_dead(trace.graph))
    fewer = passes.remove_dead(passes.drop_unseen(graph))
    assert fewer.counts["where"] < 0.7 * graph.counts["where"]
    for got, wanted in zip(evaluated(fewer, trace), evaluated(graph, trace), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_halves_are_not_made_of_settings_that_a_primitive_does_not_have(monkeypatch):
    """Somebody's own reduction need not call its axis ``axis``; it is computed whole."""
    monkeypatch.setattr(passes.two_threads, "WORTH", 0.0)
    last = tg.Primitive("own_last_of", "last", lambda x: x[:-1], lambda x: x[..., -1], kind="reduction")
    del tg.TABLE["own_last_of"]
    rows = tg.tensor(np.ones((16, 8)))
    trace = tg.compile(lambda x, w: last(x).sum() + (x @ w).sum()).trace(rows, tg.tensor(np.ones((8, 8))))
    halves = passes.split_batch(trace.graph)
    np.testing.assert_allclose(evaluated(halves, trace), evaluated(trace.graph, trace))
