"""Graph: an ordered, immutable table that can be read, evaluated again, and saved."""

import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg


def small():
    x = tg.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True, name="x")
    y = tg.tensor([3.0, 4.0], dtype=np.float64, name="y")
    return x, y, (x * x + y * 2.0).sum()


def test_nodes_edges_and_slots():
    x, _y, z = small()
    graph = tg.Graph(z)
    assert [n.op.name if n.op else n.name for n in graph.nodes] == ["x", "y", "mul", "mul", "add", "sum"]
    assert graph.edges == ((0, 2, 0), (0, 2, 1), (1, 3, 0), (2, 4, 0), (3, 4, 1), (4, 5, 0))
    assert graph.consumers == ((2, 2), (3,), (4,), (4,), (5,), ())
    assert graph.nodes[3].operands == (tg.Ref(1), 2.0) and graph.nodes[3].sources == (1,)
    assert [n.index for n in graph.nodes] == list(range(6)) and len(graph) == 6 and graph.outputs == (5,)
    assert [n.name for n in graph.parameters] == ["x"] and [n.name for n in graph.inputs] == ["y"]
    assert graph.counts == {"mul": 2, "add": 1, "sum": 1}
    assert graph.find("y").index == 1 and graph.by_serial()[x.serial] == 0
    assert repr(graph) == "Graph(6 nodes, 6 edges, 1 parameters)"
    assert graph.nodes[5].site.startswith("test_graph.py:") and graph.nodes[4].dtype == np.float64
    assert [n.label for n in graph.nodes] == ["x", "y", "⊙", "⊙", "+", "Σ"]


def test_every_node_comes_after_its_operands_whatever_the_shape_of_the_graph():
    tg.manual_seed(0)
    output, (h, c) = tg.nn.LSTM(2, 3, num_layers=2, bidirectional=True)(tg.ones(4, 2, 2))
    graph = tg.Graph(output, h, c)
    assert all(source < target for source, target, _ in graph.edges)
    assert [graph.nodes[i].serial for i in graph.outputs] == [output.serial, h.serial, c.serial]
    assert graph.steps == (0, 1, 2, 3) and len(graph.parameters) == 16
    assert {n.scope.path for n in graph.nodes if n.role == "i"} == {("l0",), ("l0_reverse",), ("l1",), ("l1_reverse",)}
    assert {n.role for n in graph.nodes if n.role} == {"x", "h", "c", "i", "f", "g", "o"}


def test_the_table_a_person_reads():
    _, _, z = small()
    lines = str(tg.Graph(z)).splitlines()
    assert lines[0] == "Graph(6 nodes, 6 edges, 1 parameters)"
    assert lines[1].split() == ["#", "t", "scope", "name", "operation", "shape", "dtype", "line"]
    assert "parameter" in lines[3] and "x" in lines[3] and "mul(#1, 2)" in lines[6] and "scalar" in lines[8]
    hostile = tg.tensor([1.0], name="a\nb\x1b[31m" + "long" * 1000) * 1
    assert len(str(tg.Graph(hostile)).splitlines()) == 5 and "\x1b" not in str(tg.Graph(hostile))


def test_a_graph_keeps_the_values_it_was_taken_with():
    x, _, z = small()
    graph = tg.Graph(z)
    x.data[0] = 100.0
    assert graph.nodes[0].value.tolist() == [1.0, 2.0] and graph.evaluate()[0] == 19.0
    with pytest.raises(ValueError, match="read-only"):
        graph.nodes[5].value[...] = 0
    with pytest.raises(AttributeError):
        graph.nodes[0].name = "other"


def test_evaluating_with_other_inputs():
    x, y, z = small()
    graph = tg.Graph(z)
    for key in ("x", x, graph.nodes[0], 0):
        assert graph.evaluate({key: [0.0, 1.0]})[0] == 15.0
    assert graph.evaluate({"x": [0, 0], y: [1.0, 1.0]})[0] == 4.0
    values = graph.values({"x": [3.0, 0.0]})
    assert values[2].tolist() == [9.0, 0.0] and len(values) == 6
    step = graph.evaluate({"x": np.array([1.0 + 1e-30j, 2.0])}, reference=True)[0]
    assert step.imag / 1e-30 == 2.0


def test_evaluating_is_what_the_engine_computed():
    tg.manual_seed(0)
    for kind in (tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU):
        output, _ = kind(2, 3, num_layers=2, bidirectional=True)(tg.ones(4, 2, 2), lengths=[4, 1])
        for reference in (False, True):
            assert np.array_equal(tg.Graph(output).evaluate(reference=reference)[0], output.numpy())


def test_bad_feeds():
    _x, _, z = small()
    graph = tg.Graph(z)
    with pytest.raises(tg.ShapeError, match=r"x has shape \(2,\) in this graph, but was fed \(3,\)"):
        graph.evaluate({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(tg.ArgumentError, match="no leaves are named 'w'; named leaves are: x, y"):
        graph.evaluate({"w": 1.0})
    with pytest.raises(tg.GraphError, match="only leaves can be fed"):
        graph.evaluate({4: 1.0})
    with pytest.raises(tg.GraphError, match="not in this graph"):
        graph.evaluate({tg.tensor(1.0): 1.0})
    for key in (99, -1, (1, 2), 1.0):
        with pytest.raises(tg.ArgumentError, match="fed by name, node or tensor"):
            graph.evaluate({key: 1.0})
    for wrong, message in (
        ([1.0], "list does not"),
        ({"x": ["a", "b"]}, "was fed <U1"),
        ({"x": [1j, 2]}, "complex128"),
    ):
        with pytest.raises(tg.DTypeError, match=message):
            graph.evaluate(wrong)
    rows = tg.Graph(tg.take(tg.ones(2, 3), tg.tensor([0, 1], name="i")))
    with pytest.raises(tg.DTypeError, match="i is int64 in this graph, but was fed float64"):
        rows.evaluate({"i": [0.5, 1.5]})
    with pytest.raises(tg.GraphError, match="node #2, rows, cannot be computed again: index 5 at position"):
        rows.evaluate({"i": [0, 5]})
    twice = tg.Graph(tg.tensor(1.0, name="a") + tg.tensor(2.0, name="a"))
    with pytest.raises(tg.ArgumentError, match="2 leaves are named 'a'"):
        twice.evaluate({"a": 1.0})
    for wrong in ((), (1.0,), ([z],)):
        with pytest.raises(tg.ArgumentError, match="wants the tensor"):
            tg.Graph(*wrong)


def test_only_ordered_nodes_make_a_graph():
    _, _, z = small()
    graph = tg.Graph(z)
    assert tg.Graph.of(graph.nodes, graph.outputs).evaluate()[0] == 19.0
    with pytest.raises(tg.GraphError, match="does not come after"):
        tg.Graph.of(tuple(reversed(graph.nodes)), [0])


# JSON --------------------------------------------------------------------------------------------------------


def everything():
    """A graph with attributes of every kind."""
    x = tg.tensor(np.linspace(-1, 1, 12).reshape(3, 4), requires_grad=True, name='<x> "1"\n😀')
    y = x[::-1, [0, 2]] + x[None, 1:, ..., -1, np.newaxis][0, :1] * np.float64(2)
    y = tg.concat([y, tg.stack([x[0, :2], x[1, 2:]])]).permute(1, 0).reshape(-1).cumsum(0).astype(np.float32)
    z = tg.einsum("i,i->i", y, tg.where(y > 0.5, y, -np.inf).softmax(-1)).pad((1, 2)).max(0, keepdims=True)
    with tg.scope("head"), tg.scope(step=2, part="o"):
        z = z + tg.take(x, [[0, 2]]).sum((0, 1)) + x[x > 0].sum() + x.logsumexp()
    loss = tg.nn.functional.cross_entropy(z.reshape(2, 2), [1, 0]) + tg.nn.functional.nll_loss(
        x.log_softmax(), [1, 2, 3]
    )
    return tg.Graph(loss, z)


def test_a_graph_survives_being_saved(tmp_path):
    graph = everything()
    path = tmp_path / "deep" / "graph.json"
    graph.save(path)
    again = tg.Graph.load(path)
    assert len(again) == len(graph) and again.edges == graph.edges and again.outputs == graph.outputs
    for a, b in zip(graph.nodes, again.nodes, strict=True):
        for key in ("index", "op", "operands", "shape", "dtype", "requires_grad", "scope", "name", "role", "site"):
            assert getattr(a, key) == getattr(b, key), key
        assert a.value.tobytes() == b.value.tobytes() and a.value.dtype == b.value.dtype
    assert again.to_json() == graph.to_json()
    assert [p.name for p in path.parent.iterdir()] == ["graph.json"]


def test_special_values_survive():
    x = tg.tensor([np.nan, -0.0, np.inf, 5e-324], dtype=np.float64, name="x")
    again = tg.Graph.from_json(tg.Graph(x * 1).to_json())
    assert again.find("x").value.tobytes() == x.numpy().tobytes()


TEXT = everything().to_json()


@given(cut=st.integers(0, len(TEXT) - 1))
def test_truncated_text_is_refused(cut):
    with pytest.raises(tg.DataError, match="not a saved graph") as caught:
        tg.Graph.from_json(TEXT[:cut])
    assert "\n" not in str(caught.value)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["node", "tuple", "slice", "array", "dtype", "hex", "shape", "ellipsis"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@given(data=st.data())
def test_corrupt_text_is_refused_or_harmless(data):
    """One value somewhere replaced: a `DataError` of one line, or a graph that still says what it computes."""
    content = json.loads(TEXT)
    place, key = content, None
    while isinstance(place, (dict, list)) and place and (key is None or data.draw(st.integers(0, 3))):
        parent, key = place, data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place = parent[key]
    parent[key] = data.draw(JUNK)
    try:
        with np.errstate(all="ignore"):
            graph = tg.Graph.from_json(json.dumps(content))
    except tg.DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        str(graph), graph.edges
        assert all(node.value.shape == node.shape for node in graph.nodes)


def test_files_that_are_no_graphs(tmp_path):
    for name, content in {
        "a": b"\xff\xfe",
        "b": b"[]",
        "c": b"",
        "d": b'{"format": "other"}',
        "e": b"{" * 5000,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(tg.DataError) as caught:
            tg.Graph.load(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(tg.DataError, match="cannot read"):
        tg.Graph.load(tmp_path / "missing")
    with pytest.raises(tg.DataError, match="cannot write"):
        tg.Graph(tg.tensor(1.0)).save(tmp_path / "a" / "below a file.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_written_to_and_links_followed(tmp_path):
    graph = tg.Graph(tg.tensor(1.0))
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real.json"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    graph.save(pipe)
    assert os.read(reader, 10_000).decode() == graph.to_json() and pipe.is_fifo()
    os.close(reader)
    link.symlink_to(real.name)
    graph.save(link)
    assert link.is_symlink() and real.read_text(encoding="utf-8") == graph.to_json()


def test_a_graph_is_built_node_by_node():
    build = tg.GraphBuilder()
    w = build.leaf([[1.0, 2.0]], name="w", requires_grad=True)
    product = build.add("matmul", (w, build.leaf([[3.0], [4.0]])), scope=tg.Scope(step=2), site="net.onnx:7")
    graph = build.graph(build.add(tg.TABLE["sum"], (product,), {"axis": None, "keepdims": False}))
    assert [(n.label, n.shape, n.requires_grad) for n in graph.nodes] == [
        ("w", (1, 2), True),
        ("constant", (2, 1), False),
        ("@", (1, 1), True),
        ("Σ", (), True),
    ]
    assert graph.steps == (2,) and graph.nodes[2].site == "net.onnx:7" and graph.evaluate()[0] == 11.0
    assert graph.tensors()[2].site.line == 7
    assert repr(tg.Graph.from_json(graph.to_json())) == repr(graph)


def test_what_no_graph_can_hold_is_not_built():
    build = tg.GraphBuilder()
    x = build.leaf(np.zeros((2, 3)), name="x")
    with pytest.raises(tg.ShapeError, match=r"matmul: .*x \(2, 3\)"):
        build.add("matmul", (x, x))
    with pytest.raises(tg.ArgumentError, match="no operation is named 'sigmund'"):
        build.add("sigmund", (x,))
    with pytest.raises(tg.GraphError, match="nodes come after their operands"):
        build.add("exp", (tg.Ref(1),))
    with pytest.raises(tg.DTypeError, match="numbers or booleans"):
        build.leaf("text")


def test_only_the_compiler_plans():
    fields = {field.name for field in dataclasses.fields(tg.Node)}
    assert not fields & {"lane", "segment"}
