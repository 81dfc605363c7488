"""Programs handed on as ONNX files: valid, equal in onnxruntime, and the same again when they come back."""

import itertools
import os
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx", reason="ONNX is not installed (pip install '.[onnx]')")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)")

from tinygrad_rnn import interchange  # noqa: E402
from tinygrad_rnn.errors import ArgumentError, DataError, DTypeError, GraphError, UnsupportedError  # noqa: E402
from tinygrad_rnn.interchange.export.onnx_file.recording import written  # noqa: E402
from tinygrad_rnn.interchange.export.onnx_file.rules import RULES  # noqa: E402
from tinygrad_rnn.primitives import TABLE  # noqa: E402
from tinygrad_rnn.testing.sample_operands import RECIPES, Source  # noqa: E402

SEEDS = range(20) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else range(2)


def run(model, *arrays):
    """What onnxruntime makes of it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, map(np.asarray, arrays), strict=True)))


def back(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", interchange.ForeignWarning)
        return interchange.from_onnx(model)


def leaves(result):
    if isinstance(result, tg.Tensor):
        return [result]
    return [x for part in (result.values() if isinstance(result, dict) else result) for x in leaves(part)]


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_every_primitive_has_a_rule_with_our_value_here_and_in_onnxruntime():
    """Over the whole table: in single precision in the runtime, in double read back by `from_onnx`."""
    assert set(RECIPES) <= {op.name for op in RULES}
    for name, seed in itertools.product(RECIPES, SEEDS):
        case = RECIPES[name](Source(seed, sizes=(2, 3, 1)))
        slots = [i for i, x in enumerate(case.operands) if isinstance(x, np.ndarray)]

        def call(*given, op=TABLE[name], case=case, slots=slots):
            found = dict(zip(slots, given, strict=True))
            return op(*(found.get(i, x) for i, x in enumerate(case.operands)), **case.attrs)

        exact = [case.operands[i] for i in slots]
        single = [x.astype(np.float32) if x.dtype == np.float64 else x for x in exact]
        told = f"{name}: {case}"
        (found,) = run(interchange.to_onnx(call, tuple(single)), *single)
        expected = call(*map(tg.tensor, single)).numpy()
        assert found.dtype == expected.dtype, told
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6, err_msg=told)
        ours = back(interchange.to_onnx(call, tuple(exact)))(*map(tg.tensor, exact))
        expected = call(*map(tg.tensor, exact)).numpy()
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12, atol=1e-14, err_msg=told)


LAYERS = {
    "RNN": lambda **k: tg.nn.RNN(3, 4, 2, "relu", bidirectional=True, clip=0.5, **k),
    "LSTM": lambda **k: tg.nn.LSTM(3, 4, 2, bidirectional=True, **k),
    "LSTM, peepholes, coupled": lambda **k: tg.nn.LSTM(3, 4, peepholes="diagonal", coupled=True, **k),
    "GRU": lambda **k: tg.nn.GRU(3, 4, 2, bidirectional=True, batch_first=True, **k),
    "GRU, other gates": lambda **k: tg.nn.GRU(
        3, 4, reset="before", activations=("hard_sigmoid", "elu"), bias=False, **k
    ),
    "LSTM, learned state": lambda **k: tg.nn.LSTM(3, 4, learned_state=True, **k),
    "LSTM, projected": lambda **k: tg.nn.LSTM(3, 4, proj_size=2, bidirectional=True, **k),
    "LSTM, full peepholes": lambda **k: tg.nn.LSTM(3, 4, peepholes="full", **k),
    "RNN, leaky": lambda **k: tg.nn.RNN(3, 4, leak=0.5, **k),
    "GRU, repeat": lambda **k: tg.nn.GRU(3, 4, past_end="repeat", empty="initial", bidirectional=True, **k),
    "GRU, live": lambda **k: tg.nn.GRU(3, 4, past_end="live", empty="last", bidirectional=True, **k),
}
#: those whose settings ONNX has no node for
SCANNED = {"LSTM, projected", "LSTM, full peepholes", "RNN, leaky"}
SCANNED_WITH_LENGTHS = SCANNED | {"GRU, repeat", "GRU, live"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_a_node_that_computes_the_same(name):
    """With and without lengths; in the runtime, and read back with gradients."""
    rng = np.random.default_rng(0)
    for lengths in (None, [5, 2]):
        scanned = name in (SCANNED if lengths is None else SCANNED_WITH_LENGTHS)
        model = LAYERS[name](dtype=np.float32)
        x = rng.standard_normal((2, 5, 3) if model.batch_first else (5, 2, 3)).astype(np.float32)
        call = (x,) if lengths is None else (x, None, np.array(lengths))
        made = interchange.to_onnx(model, call)
        wanted = "Scan" if scanned else name[:4].strip(",").strip()
        count = model.num_layers * (model.num_directions if scanned else 1)
        assert kinds(made).count(wanted) == count + (name == "GRU, live" and scanned)  # the padding, backwards
        found = run(made, *(a for a in call if a is not None))
        for a, b in zip(found, leaves(model(*call)), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-6)
        model = LAYERS[name](dtype=np.float64)
        exact = tg.tensor(x.astype(float))
        again = back(interchange.to_onnx(model, (exact, *call[1:])))
        theirs = leaves(again(exact, *(a for a in call[1:] if a is not None)))
        ours = leaves(model(exact, *call[1:]))
        for a, b in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)
        for each in (ours, theirs):
            sum((y * y).sum() for y in each).backward()
        gradients = {key: gradient_of(p) for key, p in again.named_parameters()}
        opened = scanned or name == "GRU, other gates"  # a node's slope of 0.2 is one of single precision
        for key, expected in gradients_by_name(model, opened).items():
            np.testing.assert_allclose(gradients[key], expected, rtol=1e-12, atol=1e-12, err_msg=key)


@pytest.mark.parametrize(
    ("name", "make", "exact"),
    [
        ("GRU", lambda **k: tg.nn.GRU(3, 4, activations=("hard_sigmoid", "tanh"), **k), False),  # 0.2
        ("GRU", lambda **k: tg.nn.GRU(3, 4, activations=("sigmoid", "elu"), **k), True),  # 1.0
        ("RNN", lambda **k: tg.nn.RNN(3, 4, 1, "leaky_relu", **k), False),  # 0.01
        ("RNN", lambda **k: tg.nn.RNN(3, 4, clip=0.3, **k), False),
        ("RNN", lambda **k: tg.nn.RNN(3, 4, clip=0.5, **k), True),
    ],
)
def test_a_setting_that_single_precision_does_not_have_makes_a_layer_of_double_precision_a_scan(name, make, exact):
    """A node's alpha, beta and clip are of single precision: in a file of double precision they would be others."""
    for dtype, is_node in ((np.float32, True), (np.float64, exact)):
        made = interchange.to_onnx(make(dtype=dtype), (np.zeros((2, 1, 3), dtype),))
        assert [each for each in kinds(made) if each in (name, "Scan")] == [name if is_node else "Scan"]


def gradient_of(p):
    return np.zeros(p.shape) if p.grad is None else p.grad.numpy()


def gradients_by_name(model, scanned):
    """Our gradients under the file's names and in its layout."""
    if scanned:
        return {name: gradient_of(p) for name, p in model.named_parameters()}
    found = {}
    for layer in range(model.num_layers):
        each = [
            {name: gradient_of(w) for name, w in model._weights(suffix).items() if w is not None}
            for suffix in model._suffixes(layer)
        ]
        whole = written(type(model).__name__.lower(), model.hidden_size, each)
        found |= {f"{name}_l{layer}": value for name, value in whole.items()}
    return found


class Leaky(tg.nn.Module):
    """A cell of a user's own."""

    def __init__(self, input_size):
        self.hidden_size, self.map = 4, tg.nn.Linear(input_size + 4, 4)

    def forward(self, x, h=None):
        h = tg.zeros(len(x), 4) if h is None else h
        return 0.9 * h + 0.1 * self.map(tg.concat([x, h], axis=1)).tanh()


@pytest.mark.parametrize("lengths", [[5, 2], [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]]], ids=["lengths", "a mask"])
def test_rows_of_a_cell_of_ones_own_that_begin_later_take_its_first_step(lengths):
    class Starts(Leaky):
        def forward(self, x, h=None):
            return self.map.weight[:, 0] * x[:, :1] if h is None else super().forward(x, h)

    model = tg.nn.Recurrent(Starts, bidirectional=True, input_size=3)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    given = np.array(lengths) if lengths == [5, 2] else np.array(lengths, bool)
    made, ours = interchange.to_onnx(model, (x, None, given)), leaves(model(x, None, given))
    last = 1 if lengths == [5, 2] else 2  # where the second row begins, backwards
    alone = model.l0_reverse(tg.tensor(x[last, 1:])).numpy()
    np.testing.assert_allclose(ours[0][last, 1:, 4:].numpy(), alone, rtol=1e-5, atol=1e-6)
    for results in (run(made, x, given), [y.numpy() for y in leaves(back(made)(x, given))]):
        for a, b in zip(results, ours, strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-6)


def test_cells_of_ones_own_and_scans_are_scan_nodes(tmp_path):
    rng = np.random.default_rng(0)
    model = tg.nn.Recurrent(Leaky, num_layers=2, bidirectional=True, input_size=3)
    x, lengths = rng.standard_normal((5, 2, 3)).astype(np.float32), np.array([5, 2])
    path = tmp_path / "leaky.onnx"
    made = interchange.to_onnx(model, (x, None, lengths), path)
    assert path.read_bytes() == made.SerializeToString()
    assert kinds(made).count("Scan") == 4
    assert {name for name, _ in model.named_parameters()} <= {tensor.name for tensor in made.graph.initializer}
    for a, b in zip(run(made, x, lengths), leaves(model(x, None, lengths)), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-6)
    exact, x_exact = model.double(), tg.tensor(x.astype(float))
    again = back(interchange.to_onnx(exact, (x_exact, None, lengths)))
    pairs = list(zip(leaves(again(x_exact, lengths)), leaves(exact(x_exact, None, lengths)), strict=True))
    for each in zip(*pairs, strict=True):
        sum((y * y).sum() for y in each).backward()
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)
    theirs = dict(again.named_parameters())
    for name, p in exact.named_parameters():
        np.testing.assert_allclose(gradient_of(theirs[name]), gradient_of(p), rtol=1e-12, atol=1e-12)
    w = tg.nn.Parameter(rng.standard_normal((3, 3)).astype(np.float32), name="w")

    def running(xs, start):
        def step(h, row):
            h = (h @ w + row["x"]).tanh()
            return h, (h * row["s"], w.sum())

        return tg.scan(step, start, xs, reverse=True)

    xs = {"x": x, "s": x[..., :1]}
    made = interchange.to_onnx(running, (xs, x[0]))
    assert [value.name for value in made.graph.input] == ["xs.x", "xs.s", "start"]
    ours = leaves(running({key: tg.tensor(value) for key, value in xs.items()}, tg.tensor(x[0])))
    for a, b in zip(run(made, *xs.values(), x[0]), ours, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-6)


def test_a_network_keeps_its_names_and_shows_shapes():
    class Net(tg.nn.Module):
        def __init__(self):
            self.embed, self.rnn = tg.nn.Embedding(7, 3), tg.nn.GRU(3, 4)
            self.head = tg.nn.Linear(4, 7)

        def forward(self, tokens):
            return self.head(self.rnn(self.embed(tokens))[0]).log_softmax()

    net, tokens = Net(), np.array([[1, 2], [3, 6]])
    made = interchange.to_onnx(net, tokens)
    names = {tensor.name for tensor in made.graph.initializer}
    assert {"embed.weight", "rnn.W_l0", "rnn.R_l0", "rnn.B_l0", "head.weight", "head.bias"} <= names
    assert [value.name for value in (*made.graph.input, *made.graph.output)] == ["tokens", "output"]
    shown = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in made.graph.value_info}
    assert any(shape == [2, 2, 7] for shape in shown.values())
    np.testing.assert_allclose(run(made, tokens)[0], net(tokens).numpy(), rtol=1e-5, atol=1e-6)


class Tagger(tg.nn.Module):
    """Sizes in a reshape, a slice from the end, the divisor of a mean, and what a cell of one's own begins with."""

    def __init__(self):
        self.embed, self.rnn = tg.nn.Embedding(7, 3), tg.nn.LSTM(3, 4, 2, bidirectional=True)
        self.own = tg.nn.Recurrent(Leaky, bidirectional=True, input_size=8)
        self.head = tg.nn.Linear(8, 5)

    def forward(self, tokens, lengths):
        y = self.own(self.rnn(self.embed(tokens), None, lengths)[0], None, lengths)[0]
        scores = self.head(y.reshape(-1, 8)).reshape(*tokens.shape, 5)
        return {"scores": scores, "last": y[-1], "mean": y[:, :-1].mean((0, 1)), "pairs": tg.concat([y, y], axis=1)}


def test_sizes_that_are_left_free():
    """One file for every number of steps and every batch, its sizes under their names."""
    rng, net = np.random.default_rng(0), Tagger()
    axes = {"tokens": {0: "time", 1: "batch"}, "lengths": {0: "batch"}}
    made = interchange.to_onnx(net, (np.zeros((4, 1), int), np.array([4])), dynamic_axes=axes)
    shown = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in made.graph.output]
    assert shown == [["time", "batch", 5], ["batch", 8], [8], ["time", "2*batch", 8]]
    assert kinds(made).count("LSTM") == 2 and kinds(made).count("Scan") == 2
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    for time, batch in ((3, 2), (6, 4)):
        call = rng.integers(0, 7, (time, batch)), rng.integers(1, time + 1, batch)
        found = session.run(None, {"tokens": call[0], "lengths": call[1]})
        for a, b in zip(found, leaves(net(*call)), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-6)
    again = back(made)(*map(tg.tensor, call))
    np.testing.assert_allclose(leaves(again)[0].numpy(), found[0], rtol=1e-4, atol=1e-6)


def test_sizes_that_cannot_be_left_free_are_one_line():
    def export(call, axes=((0, "time"),)):
        return interchange.to_onnx(call, np.ones((4, 3), np.float32), dynamic_axes={"x": dict(axes)})

    with pytest.raises(UnsupportedError, match=r"with other sizes of time .* else at test_export_onnx.py:\d+"):
        export(lambda x: x * 2 if len(x) < 50 else x + 1)
    with pytest.raises(UnsupportedError, match=r"a constant \(101, 1\) of the function depends on time"):
        export(lambda x: x * tg.tensor(np.linspace(0, 1, len(x), dtype=np.float32)[:, None]))
    with pytest.raises(ArgumentError, match="names 'y'; the arguments are x"):
        interchange.to_onnx(lambda x: x, np.ones(2), dynamic_axes={"y": {0: "time"}})
    with pytest.raises(ArgumentError, match="dimensions from 0 to 1, not 'time' to 2"):
        export(lambda x: x, axes=[(2, "time")])
    with pytest.raises(ArgumentError, match="'n' is 4 in one argument and 3 in x"):
        export(lambda x: x, axes=[(0, "n"), (1, "n")])


#: the rows of the table in docs/interchange.md, as layers
SETTINGS = {
    "two directions, `reset` before or after": [
        lambda: tg.nn.GRU(3, 4, bidirectional=True),
        lambda: tg.nn.GRU(3, 4, 2, reset="before"),
        lambda: tg.nn.LSTM(3, 4, bidirectional=True),
        lambda: tg.nn.RNN(3, 4, bidirectional=True),
    ],
    "`lengths`": [lambda: tg.nn.GRU(3, 4)],
    "`clip`": [lambda: tg.nn.GRU(3, 4, clip=0.25)],
    "`activations` of a GRU": [lambda: tg.nn.GRU(3, 4, activations=("hard_sigmoid", "softsign"))],
    "`activations` of an LSTM": [lambda: tg.nn.LSTM(3, 4, activations=("hard_sigmoid", "softsign", "tanh"))],
    '`nonlinearity="relu"`': [lambda: tg.nn.RNN(3, 4, 1, "relu")],
    "`coupled`": [lambda: tg.nn.LSTM(3, 4, coupled=True)],
    '`peepholes="diagonal"`': [lambda: tg.nn.LSTM(3, 4, peepholes="diagonal")],
    "double precision": [lambda: tg.nn.GRU(3, 4, dtype=float)],
}


def by_the_reference(model, feeds):
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model).run(None, feeds)


def test_positions_that_an_argument_says_are_followed():
    layer = tg.nn.GRU(3, 4, batch_first=True)

    def last(x, lengths):
        return layer(x)[0][tg.arange(len(x)), lengths - 1]

    x, lengths = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32), np.array([5, 2])
    made = interchange.to_onnx(last, (x, lengths))
    for now in (lengths, np.array([1, 4])):
        want = last(tg.tensor(x), tg.tensor(now)).numpy()
        np.testing.assert_allclose(run(made, x, now)[0], want, rtol=1e-5, atol=1e-6)


def test_a_loss_of_classes_runs_in_the_reference():
    """Which takes a negative axis of GatherElements for an error."""
    scores, target = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), np.array([1, 0, 3])
    made = interchange.to_onnx(tg.nn.CrossEntropyLoss(), (scores, target))
    (found,) = by_the_reference(made, dict(zip(["logits", "target"], (scores, target))))
    np.testing.assert_allclose(found, tg.nn.functional.cross_entropy(scores, target).numpy(), rtol=1e-6)


def by_openvino(model, feeds):
    import openvino

    return list(openvino.compile_model(openvino.Core().read_model(model.SerializeToString()), "CPU")(feeds).values())


def by_tract(model, feeds):
    import tract

    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model.SerializeToString())
        file.flush()
        runnable = tract.onnx().load(file.name).into_model().into_runnable()
        return [each.to_numpy() for each in runnable.run([np.ascontiguousarray(x) for x in feeds.values()])]


ENGINES = {
    "onnxruntime": lambda model, feeds: run(model, *feeds.values()),
    "onnx": by_the_reference,
    "openvino": by_openvino,
    "tract": by_tract,
}


def judged(engine, make, lengths):
    """What an engine makes of a layer's file, and of one sequence where more are refused."""
    rng, model = np.random.default_rng(0), make()
    with tg.no_grad():
        for p in model.parameters():
            p.copy_(tg.tensor(rng.standard_normal(p.shape), dtype=p.dtype))
    batch = 2 if lengths else 1
    x = rng.standard_normal((5, batch, 3)).astype(model.weight_ih_l0.dtype)
    call = (x, None, np.array([5, 2])) if lengths else (x,)
    made = interchange.to_onnx(model, call)
    try:
        found = engine(made, dict(zip((value.name for value in made.graph.input), (x, *call[2:]))))[0]
    except Exception:
        return "refused"
    return "right" if np.allclose(found, model(*call)[0].numpy(), rtol=1e-4, atol=1e-5) else "ignored"


def test_the_table_of_engines_is_what_they_do():
    page = (Path(__file__).parent.parent / "docs" / "interchange.md").read_text(encoding="utf-8")
    heading, _, *rows = page[page.index("| setting of a layer |") :].partition("\n\n")[0].splitlines()
    columns = [tuple(each.replace("'s reference", "").split()) for each in heading.strip("| ").split(" | ")[1:]]
    table = {row.strip("| ").split(" | ")[0]: row.strip("| ").split(" | ")[1:] for row in rows}
    assert table.keys() == SETTINGS.keys()
    for k, (name, version) in enumerate(columns):
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if there.startswith(f"{version}."):
            for row, makes in SETTINGS.items():
                found = {judged(ENGINES[name], make, row == "`lengths`") for make in makes}
                assert found == {table[row][k]}, (name, row)


def test_of_a_function_a_file_has_the_forward_pass():
    class Cube(tg.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            return g

    w = tg.nn.Parameter([1.0, 2.0])
    assert run(interchange.to_onnx(lambda x: Cube.apply(x + w), tg.ones(2)), np.ones(2, np.float32))[0].tolist() == [
        8,
        27,
    ]


def test_what_cannot_go_out_is_one_line_that_names_the_operation_and_the_place():
    x = tg.ones(3)
    mine = tg.Primitive("test_onnx_mine", "m", lambda x: x, lambda x: x * 2, vjp=(lambda g, _y, _x: g * 2,))
    tg.TABLE.pop(mine.name)
    with pytest.raises(UnsupportedError, match=r"test_onnx_mine \(at test_export_onnx.py:\d+\) has no rule for ONNX"):
        interchange.to_onnx(lambda x: mine(x), x)
    interchange.onnx_rule(mine)(lambda writer, _node, x: writer.add("Sum", x, x))
    assert run(interchange.to_onnx(lambda x: mine(x), x), x)[0].tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(UnsupportedError, match=r"dropout \(at .*\) is for training; call eval\(\)"):
        interchange.to_onnx(tg.nn.Dropout(0.5), x)
    with pytest.raises(GraphError, match=r"read \(at test_export_onnx.py:\d+\)"):
        interchange.to_onnx(lambda x: x * float(x.sum()), x)
    w = tg.nn.Parameter([1.0, 2.0, 3.0])
    optimizer = tg.optim.SGD([w])

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    with pytest.raises(GraphError, match="a file only computes"):
        interchange.to_onnx(step, x)
    with pytest.raises(GraphError, match=r"is read \(at test_export_onnx.py:\d+\).*lengths=n"):
        interchange.to_onnx(lambda x, n: x[: int(n.max())], (x, np.array([2, 1])))
    for nothing in ((), None, {"y": []}):
        with pytest.raises(ArgumentError, match="returns no tensor"):
            interchange.to_onnx(lambda x, made=nothing: made, x)
    with pytest.raises(ArgumentError, match="returns str"):
        interchange.to_onnx(lambda x: "x", x)
    with pytest.raises(DTypeError, match="takes a function or a module"):
        interchange.to_onnx(3, x)


def test_a_model_that_came_in_with_lengths_goes_out_again_with_those_it_is_given():
    net, x, n = tg.nn.LSTM(3, 4), np.ones((4, 2, 3), np.float32), np.array([4, 2], np.int32)
    again = back(interchange.to_onnx(lambda x, n: net(x, None, n)[0], (x, n)))
    with pytest.raises(DataError, match=r"value of an argument, .* lambda x: model"):
        interchange.to_onnx(again, (x, n))
    made = interchange.to_onnx(lambda x: again(x, n), x)
    np.testing.assert_allclose(run(made, x)[0], net(tg.tensor(x), None, n)[0].numpy(), rtol=1e-5, atol=1e-6)


def test_booleans_are_numbers_where_onnx_has_no_operator_for_them():
    def several(x):
        some, others = x > 0, x < 1
        return (
            some & others, some | others, some * others, some + others, some < others, some.sum(1), some.max(),
            some.amin(1), some.cumsum(1), some @ others.transpose(0, 1), x.norm(), x.topk(2)[0], x.max(dim=1)[0],
        )  # fmt: skip

    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for got, expected in zip(run(interchange.to_onnx(several, tg.tensor(x)), x), several(tg.tensor(x)), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-6)


def test_arguments_may_stand_in_a_list():
    add = lambda x, y: x + 2 * y  # noqa: E731
    inputs = lambda model: [value.name for value in model.graph.input]  # noqa: E731
    assert inputs(interchange.to_onnx(add, [tg.ones(2), tg.ones(2)])) == ["x", "y"]
    assert inputs(interchange.to_onnx(tg.nn.Linear(3, 2), [tg.ones(4, 3)])) == ["x"]
    joined = interchange.to_onnx(lambda xs: tg.stack(xs), [tg.ones(2), tg.ones(2)])  # one argument, a list
    assert len(joined.graph.input) == 2
    assert not interchange.to_onnx(lambda: tg.ones(2) + 1, []).graph.input
