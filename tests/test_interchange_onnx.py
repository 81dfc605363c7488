"""ONNX models brought in: equal to the standard's own cases, and to its text read in NumPy, gradients included."""

import copy
import importlib
import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx", reason="ONNX is not installed (pip install '.[onnx]')")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tinygrad_rnn import interchange, viz  # noqa: E402
from tinygrad_rnn.errors import DataError, DTypeError, ShapeError, UnsupportedError  # noqa: E402

#: families of the standard's own cases that are computed here: of each all but those with `LEFT_OUT` in their names
FAMILIES = [
    "lstm", "gru", "rnn", "scan", "loop", "if_", "reshape", "transpose", "matmul", "gemm", "add", "sub", "mul",
    "div", "slice", "squeeze", "unsqueeze", "split", "gather", "concat", "sigmoid", "tanh", "relu", "softmax",
    "layernormalization", "einsum", "where", "greater", "equal", "not_", "scatterelements", "reducemean",
    "constantofshape",
]  # fmt: skip
LEFT_OUT = ("expanded", "string", "bfloat16", "reduction_m")


def cases():
    """The standard's own: a model, inputs and outputs each."""
    drawn = np.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = importlib.import_module("onnx.backend.test.case.node")
        for family in FAMILIES:
            importlib.import_module(f"onnx.backend.test.case.node.{family}")
    np.random.set_state(drawn)  # they draw their inputs when imported
    return [case for case in node._NodeTestCases if not any(part in case.name for part in LEFT_OUT)]


def imported(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", interchange.ForeignWarning)
        return interchange.from_onnx(model)


def test_the_standards_own_cases():
    """Every RNN, LSTM, GRU, Scan, Loop and If case of ONNX's backend suite, and those of the operators around them."""
    done = {}
    for case in cases():
        ours = imported(case.model)
        for inputs, outputs in case.data_sets:
            results = ours.results(*inputs)
            assert len(results) == len(outputs), case.name
            for one, wanted in zip(results, outputs, strict=True):
                parts = (one, wanted) if isinstance(wanted, list) else ([one], [wanted])  # a sequence is a list there
                for got, expected in zip(*parts, strict=True):
                    np.testing.assert_allclose(
                        got.numpy(), expected, rtol=min(case.rtol, 1e-5), atol=1e-6, err_msg=case.name
                    )
        for node in case.model.graph.node:
            done[node.op_type] = done.get(node.op_type, 0) + 1
    assert {"RNN": 6, "LSTM": 6, "GRU": 6}.items() <= done.items()
    assert len(done) >= 33, done


# Recurrent nodes against the operators' text ---------------------------------------------------------------

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
FUNCTIONS = {
    "Sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)), "Tanh": lambda x, a, b: np.tanh(x),
    "Relu": lambda x, a, b: np.where(x.real > 0, x, 0), "Affine": lambda x, a, b: a * x + b,
    "LeakyRelu": lambda x, a, b: np.where(x.real >= 0, x, a * x),
    "ThresholdedRelu": lambda x, a, b: np.where(x.real >= a, x, 0),
    "ScaledTanh": lambda x, a, b: a * np.tanh(b * x), "HardSigmoid": lambda x, a, b: bounded(a * x + b, 0, 1),
    "Elu": lambda x, a, b: np.where(x.real >= 0, x, a * (np.exp(x) - 1)),
    "Softsign": lambda x, a, b: x / (1 + np.where(x.real < 0, -x, x)),
    "Softplus": lambda x, a, b: np.log(1 + np.exp(x)),
}  # fmt: skip
TAKES = {  # numbers of few bits: attributes are float32
    "Affine": (0.75, 0.125), "LeakyRelu": (0.125, None), "ThresholdedRelu": (0.25, None), "ScaledTanh": (1.25, 0.625),
    "HardSigmoid": (0.25, 0.375), "Elu": (0.75, None),
}  # fmt: skip


def bounded(x, low, high):
    return np.where(x.real < low, low, np.where(x.real > high, high, x))


def text_of_the_standard(kind, v, s):
    """Y, Y_h (and Y_c) as the operators' texts have them, row by row; also of complex numbers. Layout 0."""
    x, w, r = v["X"], v["W"], v["R"]
    length, batch, _ = x.shape
    directions, size = w.shape[0], r.shape[2]
    y = np.zeros((length, directions, batch, size), complex)
    last = np.zeros((2, directions, batch, size), complex)
    clip = s.get("clip", np.inf)
    for d in range(directions):
        each = len(DEFAULTS[kind])
        acts = s.get("functions", [(name, 0, 0) for name in DEFAULTS[kind] * directions])[d * each : (d + 1) * each]
        f = [lambda z, n=n, a=a, b=b: FUNCTIONS[n](bounded(z, -clip, clip), a, b) for n, a, b in acts]
        wb, rb = np.split(v["B"][d], 2) if "B" in v else (np.zeros(GATES[kind] * size),) * 2
        cut = lambda m: np.split(m, GATES[kind])  # noqa: E731
        for n in range(batch):
            h = v["initial_h"][d, n] if "initial_h" in v else np.zeros(size)
            c = v["initial_c"][d, n] if "initial_c" in v else np.zeros(size)
            steps = range(int(v["sequence_lens"][n]) if "sequence_lens" in v else length)
            for t in reversed(steps) if s.get("direction") == "reverse" or d else steps:
                ax = cut(w[d] @ x[t, n] + wb)
                ah = [m @ h + e for m, e in zip(cut(r[d]), cut(rb))]
                if kind == "RNN":
                    h = f[0](ax[0] + ah[0])
                elif kind == "GRU":
                    z, g = f[0](ax[0] + ah[0]), f[0](ax[1] + ah[1])
                    after = g * ah[2] if s.get("linear_before_reset") else cut(r[d])[2] @ (g * h) + cut(rb)[2]
                    h = (1 - z) * f[1](ax[2] + after) + z * h
                else:
                    pi, po, pf = np.split(v["P"][d], 3) if "P" in v else (0, 0, 0)
                    i, o, forget, g = (p + q for p, q in zip(ax, ah))
                    i = f[0](i + pi * c)
                    forget = 1 - i if s.get("input_forget") else f[0](forget + pf * c)
                    c = forget * c + i * f[1](g)
                    h = f[0](o + po * c) * FUNCTIONS[acts[2][0]](c, *acts[2][1:])  # which is not clipped
                y[t, d, n] = h
            last[0, d, n], last[1, d, n] = h, c
    return [y, last[0], last[1]][: 3 if kind == "LSTM" else 2]


def recurrent(kind, rng, dtype=np.float64, size_of_weights=1.0, layout=0, optional=(), **settings):
    """A model of one node whose W, R, B and P are initializers; its inputs; its weights; the settings of the text."""
    length, batch, inputs, size = 4, 3, 2, 2
    directions = 2 if settings.get("direction") == "bidirectional" else 1
    g = GATES[kind]
    shapes = {
        "X": (length, batch, inputs), "W": (directions, g * size, inputs), "R": (directions, g * size, size),
        "B": (directions, 2 * g * size), "sequence_lens": (batch,), "initial_h": (directions, batch, size),
        "initial_c": (directions, batch, size), "P": (directions, 3 * size),
    }  # fmt: skip
    order = list(shapes)[: 8 if kind == "LSTM" else 6]
    there = ["X", "W", "R", *(name for name in order[3:] if name in optional)]
    values = {name: size_of_weights * rng.normal(size=shapes[name]).astype(dtype) for name in there}
    if "sequence_lens" in there:
        values["sequence_lens"] = np.array([4, 0, 2], np.int32)
    said = dict(settings)
    if "activations" in settings:
        taken = [TAKES.get(name, (None, None)) for name in settings["activations"]]
        said["functions"] = [(n, a, b) for n, (a, b) in zip(settings["activations"], taken, strict=True)]
        for k, which in enumerate(("activation_alpha", "activation_beta")):
            if any(pair[k] is not None for pair in taken):
                settings[which] = [pair[k] for pair in taken if pair[k] is not None]
    given = dict(values)
    if layout:
        settings["layout"] = 1
        given |= {n: given[n].swapaxes(0, 1) for n in ("X", "initial_h", "initial_c") if n in given}
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(
        kind, [name if name in there else "" for name in order], outputs, "cell", hidden_size=size, **settings
    )
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    kinds = {"sequence_lens": TensorProto.INT32}
    fed = [name for name in there if name not in ("W", "R", "B", "P")]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, kinds.get(n, element), given[n].shape) for n in fed],
        [helper.make_tensor_value_info(n, element, ["a", "b", "c", "d"][: 4 if n == "Y" else 3]) for n in outputs],
        [numpy_helper.from_array(given[n], n) for n in there if n in ("W", "R", "B", "P")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return model, [given[name] for name in fed], values, said


SETTINGS = [
    {},
    {"direction": "reverse", "optional": ("B", "sequence_lens", "initial_h", "initial_c")},
    {"direction": "bidirectional", "optional": ("B", "sequence_lens", "initial_h", "initial_c", "P"), "layout": 1},
    {"clip": 0.375, "optional": ("B", "P"), "direction": "bidirectional", "layout": 1},
    {"optional": ("initial_c", "P"), "input_forget": 1, "linear_before_reset": 1},
    {"linear_before_reset": 1, "optional": ("B", "sequence_lens"), "clip": 0.625, "input_forget": 1},
    *({"optional": ("B",), "functions": pair} for pair in [
        ("HardSigmoid", "ScaledTanh"), ("Affine", "Softsign"), ("Elu", "LeakyRelu"), ("Softplus", "ThresholdedRelu"),
        ("Relu", "HardSigmoid"),
    ]),
]  # fmt: skip


def settings_of(kind, chosen):
    s = dict(chosen)
    if "functions" in s:
        first, second = s.pop("functions")
        one = {"RNN": [first], "GRU": [first, second], "LSTM": [first, second, second]}[kind]
        other = {"RNN": [second], "GRU": [second, first], "LSTM": [second, first, "Tanh"]}[kind]
        s |= {"activations": one + other, "direction": "bidirectional"}
    if kind != "LSTM":
        s.pop("input_forget", None)
    if kind != "GRU":
        s.pop("linear_before_reset", None)
    return s


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("chosen", SETTINGS, ids=lambda s: "-".join(map(str, s)) or "defaults")
def test_recurrent_nodes_are_what_the_standard_says(kind, chosen):
    """Outputs equal to its text, and the gradient of every weight to complex steps through it, in float64."""
    rng = np.random.default_rng(5)
    model, inputs, values, said = recurrent(kind, rng, **settings_of(kind, chosen))
    ours = imported(model)
    outputs = ours.results(*inputs)
    expected = text_of_the_standard(kind, values, said)
    turned = (lambda k, e: e.transpose(2, 0, 1, 3) if k == 0 else e.swapaxes(0, 1)) if chosen.get("layout") else None
    upstream = [rng.normal(size=e.shape) for e in expected]
    for k, (got, wanted) in enumerate(zip(outputs, expected, strict=True)):
        wanted = wanted.real if turned is None else turned(k, wanted.real)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-11, atol=1e-12)
    seeds = [g if turned is None else turned(k, g) for k, g in enumerate(upstream)]
    weights = dict(ours.named_parameters())
    assert weights.keys() == values.keys() & {"W", "R", "B", "P"}
    grads = tg.grad(outputs, list(weights.values()), seeds)
    for name, g in zip(weights, grads, strict=True):
        direction = rng.normal(size=values[name].shape)
        moved = text_of_the_standard(kind, values | {name: values[name] + 1e-30j * direction}, said)
        slope = sum((u * m.imag).sum() for u, m in zip(upstream, moved, strict=True)) / 1e-30
        assert abs((g.numpy() * direction).sum() - slope) <= 1e-10 * max(1, abs(slope)), name


def test_recurrent_nodes_are_what_onnxruntime_computes():
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install '.[onnx]')")
    rng = np.random.default_rng(1)
    quiet = runtime.SessionOptions()
    quiet.intra_op_num_threads, quiet.log_severity_level = 1, 4
    for kind in GATES:
        for chosen in SETTINGS:
            s = settings_of(kind, chosen)
            if s.get("layout"):
                continue  # it takes layout 0 only
            model, inputs, *_ = recurrent(kind, rng, np.float32, 0.5, **s)
            lens = [x for x in inputs if x.dtype == np.int32]
            if lens:
                lens[0][:] = [4, 1, 2]  # a row of length 0 forgets its state there
            session = runtime.InferenceSession(model.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
            theirs = session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))
            for got, expected in zip(imported(model).results(*inputs), theirs, strict=True):
                np.testing.assert_allclose(got.numpy(), expected, rtol=2e-5, atol=2e-6, err_msg=f"{kind} {s}")


# Programs ---------------------------------------------------------------------------------------------------

READER = """<ir_version: 8, opset_import: ["" : 17]>
reader (int64[T, N] ids) => (float loss, float[T, N, 2] scores) {
  x = Gather(table, ids)
  h0 = Constant<value_float: float = 0.0>()
  [encoder] y, last, cell = LSTM<hidden_size: int = 4>(x, W, R, B)
  one = Constant<value_ints: ints = [1]>()
  seq = Squeeze(y, one)
  scores = MatMul(seq, head)
  means = ReduceMean<keepdims: int = 0>(scores)
  loss = Tanh(means)
}"""


def parsed(text, weights=None, dtype=np.float32):
    """A model in ONNX's own notation; ``weights`` become the values of its initializers."""
    model = onnx.parser.parse_model(text)
    for name, value in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
    return model


def reader():
    rng = np.random.default_rng(0)
    shapes = {"table": (5, 3), "W": (1, 16, 3), "R": (1, 16, 4), "B": (1, 32), "head": (4, 2)}
    return parsed(READER, {name: rng.normal(size=shape) for name, shape in shapes.items()})


def test_a_model_is_a_module():
    """Inputs in order, outputs in order, free sizes free; scopes, steps and the node's place; checked and compiled."""
    ours = interchange.from_onnx(reader())
    assert [value.name for value in ours.inputs] == ["ids"] and ours.inputs[0].shape == ("T", "N")
    assert {name for name, _ in ours.named_parameters()} == {"table", "W", "R", "B", "head"}
    ids = np.array([[0, 4], [1, -1], [2, 0]])
    loss, scores = ours(ids)
    assert loss.shape == () and scores.shape == (3, 2, 2)
    assert ours(ids[:2])[1].shape == (2, 2, 2)
    hidden = [node for node in tg.Graph(loss).nodes if node.role == "h" and node.op is not None]
    assert [node.scope.step for node in hidden] == [0, 1, 2]
    assert all(node.scope.path == ("encoder",) and node.site == "reader:3" for node in hidden)
    report = tg.check_gradients(lambda: ours(ids)[0])
    assert report and {c.step for c in report.comparisons if c.name.startswith("W")} == {None, 0, 1, 2}
    compiled = tg.compile(lambda x: ours(x)[0])
    for x in (ids, ids[::-1].copy()):
        np.testing.assert_allclose(compiled(tg.tensor(x)).numpy(), ours(x)[0].numpy(), rtol=1e-6)


def test_loops_run_on_the_values_that_are_there():
    """A Loop that ends when its state is large, a Scan with a captured weight, an If; gradients pass the check."""
    model = parsed("""<ir_version: 8, opset_import: ["" : 17]>
    grows (double[2] x) => (double[2] last, double[K, 2] all, double[2] chosen) {
      going = Constant<value: tensor = bool {1}>()
      none = Constant<value_int: int = 50>()
      last, all = Loop<body: graph = body (int64 t, bool go, double[2] s)
                                        => (bool on, double[2] after, double[2] kept) {
        after = Mul(s, w)
        kept = Tanh(after)
        size = ReduceMax<keepdims: int = 0>(after)
        limit = Constant<value: tensor = double {9.0}>()
        on = Less(size, limit)
      }>(none, going, x)
      zero = Constant<value: tensor = double {0.0}>()
      total = ReduceSum<keepdims: int = 0>(x)
      up = Greater(total, zero)
      chosen = If<then_branch: graph = a () => (double[2] p) { p = Add(x, w) },
                  else_branch: graph = b () => (double[2] q) { q = Sub(x, w) }>(up)
    }""", {"w": [1.5, 1.25]}, np.float64)  # fmt: skip
    ours = interchange.from_onnx(model)
    x, w = np.array([1.0, 2.0]), np.array([1.5, 1.25])
    last, every, chosen = ours(x)
    rounds = [x * w**k for k in range(1, 7)]
    np.testing.assert_allclose(last.numpy(), rounds[-1])
    np.testing.assert_allclose(every.numpy(), np.tanh(rounds))
    np.testing.assert_allclose(chosen.numpy(), x + w)
    np.testing.assert_allclose(ours(-x)[2].numpy(), -x - w)
    assert tg.check_gradients(lambda x: list(ours(x)), [x])
    steps = {node.scope.step for node in tg.Graph(every).nodes if node.op and node.op.name == "tanh"}
    assert steps == set(range(6))


def test_a_loop_is_a_layer_that_has_its_nodes_name():
    """Or its first output's, if it has none: what pictures and the flow call it."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    rounds (double[2] x) => (double y) {
      most = Constant<value_int: int = 3>()
      yes = Constant<value: tensor = bool {1}>()
      last = Loop(most, yes, x) <body = body (int64 t, bool go, double[2] s) => (bool on, double[2] after) {
        on = Identity(go)
        next = Mul(w, s)
        after = Tanh(next)
      }>
      y = ReduceSum<keepdims: int = 0>(last)
    }"""
    model = parsed(text, {"w": [0.5, 0.25]}, np.float64)
    for name in ("", "decoder"):
        model.graph.node[2].name = name
        loss = interchange.from_onnx(model)([1.0, 2.0])
        assert [".".join(path) for path in viz.debug(loss).moments] == [name or "last"]


def test_a_loop_whose_count_is_boundless_ends_by_its_condition():
    """As PyTorch's exporter writes ``while``; without a condition so many rounds are refused."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    grows (double[2] x) => (double[2] last) {
      most = Constant<value_int: int = 9223372036854775807>()
      last = Loop<body: graph = body (int64 t, bool go, double[2] s) => (bool on, double[2] after) {
        after = Add(s, w)
        size = ReduceMax<keepdims: int = 0>(after)
        limit = Constant<value: tensor = double {9.0}>()
        on = Less(size, limit)
      }>(most, CONDITION, x)
    }"""
    yes = text.replace("CONDITION", "yes").replace("most = ", "yes = Constant<value: tensor = bool {1}>() most = ")
    ours = interchange.from_onnx(parsed(yes, {"w": [2.0, 1.0]}, np.float64))
    assert ours([1.0, 2.0]).tolist() == [9.0, 6.0]
    ours = interchange.from_onnx(parsed(text.replace("CONDITION", ""), {"w": [2.0, 1.0]}, np.float64))
    with pytest.raises(tg.DataError, match="asks for 9223372036854775807 rounds"):
        ours([1.0, 2.0])


def test_a_model_made_double_computes_in_double_precision():
    """Also what it is given, and where the file casts: else a gradient has the digits of single precision."""
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
    small (float[2] x) => (float[2] y) { a = Cast<to: int = 1>(x)  y = Mul(a, w) }""",
        {"w": [1 / 3, 1 / 7]},
    )
    ours = interchange.from_onnx(model)
    assert ours(np.ones(2)).dtype == np.float32
    ours.double()
    x = tg.tensor([0.1, 0.2], dtype=float, requires_grad=True)
    y = ours(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.numpy(), x.numpy() * ours.w.numpy())


def test_lines_and_modules_that_the_exporter_wrote_down():
    model = reader()
    for node in model.graph.node:
        for key, value in {
            "pkg.torch.onnx.stack_trace": 'File "/home/me/model.py", line 12, in forward\n    y = self.rnn(x)',
            "pkg.torch.onnx.name_scopes": "['', 'rnn', 'lstm']",
        }.items():
            entry = node.metadata_props.add()
            entry.key, entry.value = key, value
    loss, _ = imported(model)(np.zeros((2, 1), int))
    node = next(node for node in tg.Graph(loss).nodes if node.role == "c" and node.op is not None)
    assert node.site == "model.py:12" and node.scope.path == ("rnn",)


# What becomes something else is said ------------------------------------------------------------------------


def test_half_precision_is_said():
    model = parsed("""<ir_version: 8, opset_import: ["" : 17]>
    half (float16[2] x) => (float16[2] y) { y = Mul(x, w) }""")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0.5, 2], np.float16), "w"))
    with pytest.warns(interchange.ForeignWarning, match="tensor 'w' is float16, and float32 here") as said:
        ours = interchange.from_onnx(model)
    assert said[0].filename == __file__
    assert len(ours.import_notes) == 1
    y = ours(np.array([1, 3], np.float16))
    assert y.dtype == np.float32 and y.tolist() == [0.5, 6.0]


def test_quantised_weights_are_what_they_stand_for():
    """Each weight once for each of the two ways a quantised model is written; gradients flow through both."""
    rng = np.random.default_rng(3)
    w = rng.integers(-128, 128, (4, 2)).astype(np.int8)
    scale, zero = np.array([0.02, 0.05], np.float32), np.array([3, -7], np.int8)
    real = (w.astype(np.float32) - zero) * scale
    text = """<ir_version: 8, opset_import: ["" : 17]>
    quantised (float[3, 4] x) => (float[3, 2] a, float[3, 2] b) {
      real = DequantizeLinear<axis: int = 1>(w, scale, zero)
      a = MatMul(x, real)
      q, s, z = DynamicQuantizeLinear(x)
      steps = MatMulInteger(q, w, z, zero)
      floats = Cast<to: int = 1>(steps)
      both = Mul(s, scale)
      b = Mul(floats, both)
    }"""
    model = parsed(text, {"scale": scale})
    model.graph.initializer.extend([numpy_helper.from_array(w, "w"), numpy_helper.from_array(zero, "zero")])
    with pytest.warns(interchange.ForeignWarning) as said:
        ours = interchange.from_onnx(model)
    assert [str(note.message)[:24] for note in said] == ["weight 'w' is quantised ", "activations are not roun"]
    x = rng.normal(size=(3, 4)).astype(np.float32)
    a, b = ours(x)
    np.testing.assert_allclose(a.numpy(), x @ real, rtol=1e-5)
    np.testing.assert_allclose(b.numpy(), x @ real, rtol=1e-5)
    leaf = tg.tensor(x, requires_grad=True)
    (g,) = tg.grad(ours(leaf)[1].sum(), [leaf])
    np.testing.assert_allclose(g.numpy(), np.broadcast_to(real.sum(1), (3, 4)), rtol=1e-4)


def test_scales_of_blocks():
    q = np.array([[1, -2, 3, 4, 5], [6, 7, -8, 1, 2]], np.int8)
    scale, zero = np.array([[0.5, 1.0, 2.0], [4.0, 0.25, 8.0]], np.float32), np.array([[1, 0, 2], [0, 3, 0]], np.int8)
    ours = imported(
        parsed("""<ir_version: 10, opset_import: ["" : 21]>
    m (float[5] x, int8[2, 5] q, float[2, 3] s, int8[2, 3] z) => (float[2] y) {
      w = DequantizeLinear<axis: int = 1, block_size: int = 2>(q, s, z)
      y = MatMul(w, x)
    }""")
    )
    wide = lambda a: np.repeat(a, 2, 1)[:, :5]  # noqa: E731
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(ours(x, q, scale, zero).numpy(), ((q - wide(zero)) * wide(scale)) @ x)
    wrong = imported(
        parsed("""<ir_version: 10, opset_import: ["" : 21]>
    m (int8[N] q, float[K] s) => (float[N] y) { y = DequantizeLinear<axis: int = 0, block_size: int = 2>(q, s) }""")
    )
    with pytest.raises(DataError, match=r"blocks of 2 are of shape \(3,\), not \(2,\)"):
        wrong(q[0], scale[0, :2])


SEQUENCES = """<ir_version: 10, opset_import: ["" : 18]>
m (float[T, 2] x, int64 count) => (float[T, 2] back, float[K, 2] two, int64 size, bool there, float[2] last) {
  parts = SplitToSequence<axis: int = 0, keepdims: int = 0>(x)
  empty = SequenceEmpty()
  one = Constant<value_int: int = 1>()
  minus = Constant<value_int: int = -1>()
  yes = Constant<value: tensor = bool {1}>()
  begun = Squeeze(yes)
  reversed = Loop(count, begun, empty) <body = round (int64 t, bool on, seq(float[2]) kept)
    => (bool go, seq(float[2]) more) {
      go = Identity(on)
      piece = SequenceAt(parts, t)
      doubled = Add(piece, piece)
      front = Sub(t, t)
      more = SequenceInsert(kept, doubled, front)
    }>
  back = ConcatFromSequence<axis: int = 0, new_axis: int = 1>(reversed)
  pair = SequenceConstruct(x, back)
  fewer = SequenceErase(pair, minus)
  two = ConcatFromSequence<axis: int = 0>(fewer)
  size = SequenceLength(parts)
  maybe = Optional(parts)
  there = OptionalHasElement(maybe)
  got = OptionalGetElement(maybe)
  last = SequenceAt(got, minus)
}"""


def test_sequences_and_optionals():
    """A list that a loop fills, in front; the gradient flows through it."""
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    leaf = tg.tensor(x, requires_grad=True)
    back, two, size, there, last = imported(parsed(SEQUENCES))(leaf, np.array(3))
    np.testing.assert_array_equal(back.numpy(), 2 * x[::-1])
    np.testing.assert_array_equal(two.numpy(), x)
    assert size.item() == 3 and there.item() and last.tolist() == [4, 5]
    (g,) = tg.grad((back * np.arange(3, dtype=np.float32)[:, None]).sum(), [leaf])
    np.testing.assert_array_equal(g.numpy(), [[4, 4], [2, 2], [0, 0]])


def test_sequences_as_inputs_and_outputs():
    """A list of arrays of other lengths comes in, a tuple goes out, gradients flow through both."""
    ours = imported(
        parsed("""<ir_version: 10, opset_import: ["" : 18]>
    m (seq(float[T, 2]) xs, optional(float[2]) bias) => (float[2] y, seq(float[T, 2]) more, bool there) {
      zero = Constant<value_int: int = 0>()  last = Constant<value_int: int = -1>()
      a = SequenceAt(xs, last)  y = ReduceSum<keepdims: int = 0>(a, zero)  more = SequenceErase(xs, last)
      there = OptionalHasElement(bias)
    }""")
    )
    assert [str(value) for value in ours.inputs] == ["xs (sequence of T, 2)", "bias (optional 2)"]
    leaf = tg.ones(3, 2, requires_grad=True)
    y, more, there = ours([np.zeros((1, 2), np.float32), leaf], None)
    assert y.tolist() == [3, 3] and [x.shape for x in more] == [(1, 2)] and not there.item()
    y.sum().backward()
    assert leaf.grad.tolist() == [[1, 1]] * 3
    assert ours([leaf], np.ones(2))[2].item()
    with pytest.raises(ShapeError, match=r"input xs \(T, 2\) was given \(4,\)"):
        ours([np.zeros(4, np.float32)], None)
    with pytest.raises(tg.errors.ArgumentError, match=r"input xs .* is given as a list of arrays, not ndarray"):
        ours(np.zeros((3, 4, 2), np.float32), None)
    with pytest.raises(tg.errors.ArgumentError, match=r"input xs .* is missing; it is no optional"):
        ours(None, None)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("s = SequenceConstruct(x, x)  y = Relu(s)", "it is given a sequence, and takes tensors only"),
        ("s = SequenceConstruct(x, x)  y = SequenceAt(s, four)", "position 4 is none of a sequence of 2"),
        ("y = SequenceAt(x, four)", "should be a sequence"),
        ("s = SplitToSequence(x, four)  z = SequenceErase(s)  y = ConcatFromSequence<axis: int = 0>(z)", "empty"),
        ("s = Optional(x)  y = SequenceAt(s, four)", "should be a sequence"),
    ],
)
def test_sequences_that_are_none(nodes, said):
    nodes = f"four = Constant<value_int: int = 4>() {nodes}"
    text = f'<ir_version: 10, opset_import: ["" : 18]> m (float[2] x) => (float[2] y) {{ {nodes} }}'
    with pytest.raises(DataError, match=said) as error:
        imported(parsed(text))(np.ones(2, np.float32))
    assert "\n" not in str(error.value)


# What cannot be imported, and what must not be ----------------------------------------------------------------


def test_everything_unsupported_at_once():
    model = parsed("""<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
    strange (float[2] x) => (float[2] y) {
      a = Acosh(x)
      [other] b = mine.Own(a)
      c = Relu<slope: float = 2.0>(b)
      y = Det(c)
    }""")
    with pytest.raises(UnsupportedError) as error:
        interchange.from_onnx(model)
    for part in ("Acosh ('a', strange:1)", "mine.Own ('other', strange:2)", "Relu with slope", "Det ('y', strange:4)"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_operator_with_a_line_break_is_said_in_one_line():
    model = parsed('<ir_version: 8, opset_import: ["" : 17]> m (float[2] x) => (float[2] y) { y = Relu(x) }')
    model.graph.node[0].op_type = "Re\nlu"
    with pytest.raises(UnsupportedError, match=r"'Re\\nlu' \('y', m:1\)") as error:
        interchange.from_onnx(model)
    assert "\n" not in str(error.value)


def external(tmp_path, **entries):
    """A saved model whose weight lies beside it, as ``entries`` say."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    model = parsed('<ir_version: 8, opset_import: ["" : 17]> m (float[2] x) => (float[2] y) { y = Mul(x, w) }')
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "w", TensorProto.FLOAT, TensorProto.EXTERNAL
    tensor.dims.append(2)
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_data_beside_the_model(tmp_path):
    ours = interchange.from_onnx(external(tmp_path, location="weights.bin", offset=4, length=8))
    assert ours(np.ones(2, np.float32)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("entries", "said"), [
    ({"location": "../secret"}, "outside the model's folder"),
    ({"location": "/etc/hostname"}, "outside the model's folder"),
    ({"location": "link"}, "outside the model's folder"),
    ({"location": ""}, "outside the model's folder"),
    ({"location": "nothing.bin"}, "does not exist"),
    ({"location": "."}, "does not exist"),
    ({"location": "weights.bin", "offset": 12, "length": 8}, "only 16"),
    ({"location": "weights.bin", "offset": -8, "length": 8}, "only 16"),
    ({"location": "weights.bin", "length": 12}, "takes 8"),
    ({"location": "weights.bin", "offset": "x"}, "cannot be read"),
])  # fmt: skip
def test_data_outside_is_not_read(tmp_path, entries, said):
    (tmp_path / "secret").write_bytes(b"12345678")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    path = external(folder, **entries)
    with pytest.raises(DataError, match=said) as error:
        interchange.from_onnx(path)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="pass the path"):
        interchange.from_onnx(path.read_bytes())


def huge(op, **sizes):
    """An operator that asks for more than any memory has."""
    model = parsed(f'<ir_version: 8, opset_import: ["" : 17]> m (float[1] x) => (float[N] y) {{ y = {op} }}')
    for name, value in sizes.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


def test_no_size_that_is_not_there(tmp_path):
    """One line each, at once, whatever a file says of its sizes."""
    lying = parsed('<ir_version: 8, opset_import: ["" : 17]> m (float[2] x) => (float[2] y) { y = Mul(x, w) }')
    for dims, data in ([10**6, 10**6], b"1234"), ([-2], b"1234"), ([3], b"1234"), ([1], b""):
        one = onnx.ModelProto()
        one.CopyFrom(lying)
        tensor = one.graph.initializer.add()
        tensor.name, tensor.data_type, tensor.raw_data = "w", TensorProto.FLOAT, data
        tensor.dims.extend(dims)
        with pytest.raises(DataError, match="tensor 'w'") as error:
            interchange.from_onnx(one)
        assert "\n" not in str(error.value)
    x = np.ones(1, np.float32)
    big = np.array([2**20, 2**20])
    for model in (
        huge("ConstantOfShape(s)", s=big),
        huge("Expand(x, s)", s=big),
        huge("Tile(x, s)", s=np.array([2**40])),
        huge("Pad(x, s)", s=np.array([2**40, 0])),
        huge("Range(a, b, c)", a=np.array(0), b=np.array(2**50), c=np.array(1)),
    ):
        with pytest.raises(DataError, match="no tensor here can have"):
            imported(model)(x)
    endless = parsed("""<ir_version: 8, opset_import: ["" : 17]> m (float[1] x) => (float[1] y) {
      many = Constant<value_int: int = 4000000000>()
      y = Loop<body: graph = b (int64 t, bool go, float[1] s) => (bool on, float[1] r) { on = Identity(go) r = Neg(s) }>
        (many, , x)
    }""")
    with pytest.raises(DataError, match="at most"):
        imported(endless)(x)


@pytest.mark.parametrize("source", [b"", b"\xff" * 40, b"no model at all", "nowhere/model.onnx", "a\0b"])
def test_what_is_no_model(source, tmp_path):
    with pytest.raises(DataError) as error:
        interchange.from_onnx(source)
    assert "\n" not in str(error.value)
    with pytest.raises(tg.ArgumentError, match="from_onnx takes a path, bytes or a ModelProto, not int"):
        interchange.from_onnx(7)
    data = reader().SerializeToString()
    for end in range(20, len(data) - 1, 217):  # a file that ends early
        with pytest.raises(DataError):
            imported(data[:end])(np.zeros((2, 1), int))


def test_bytes_that_were_changed_are_refused_in_one_line():
    """Whatever is wrong with a file, it is our error, or the model still computes."""
    data = bytearray(reader().SerializeToString())
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(0, 420, 3):
            broken[at] = rng.integers(256)
        try:
            imported(bytes(broken)).results(np.zeros((2, 1), int))
        except (tg.TinygradError, RecursionError) as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


def test_a_type_that_is_none_of_the_standards():
    model = reader()
    model.graph.output[0].type.tensor_type.elem_type = -1
    with pytest.raises(DataError, match="type -1 is none of the standard's"):
        imported(model.SerializeToString())


def test_a_scan_over_nothing():
    scan = copy.deepcopy(next(case.model for case in cases() if case.name == "test_scan9_sum"))
    (node,) = scan.graph.node
    node.input[1] = ""
    with pytest.raises(DataError, match="Scan") as error:
        imported(scan.SerializeToString())(np.zeros(2, "f"), np.zeros((3, 2), "f"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("attributes", "said"), [
    ({"direction": "sideways"}, "direction 'sideways'"),
    ({"hidden_size": 3}, "hidden_size is 3"),
    ({"activations": ["Tanh"]}, "1 activations for 1 direction"),
    ({"activations": ["Sigmoid", "Gelu", "Tanh"]}, "'Gelu' is none of the standard's"),
    ({"activations": ["Affine", "Tanh", "Tanh"]}, "wants activation_alpha"),
    ({"activation_alpha": [0.3]}, "no activation"),
    ({"clip": -1.0}, "clip is -1.0"),
])  # fmt: skip
def test_a_cell_that_means_nothing(attributes, said):
    model = reader()
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    for name, value in attributes.items():
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        node.attribute.append(helper.make_attribute(name, value))
    with pytest.raises(DataError, match=said) as error:
        imported(model)(np.zeros((2, 1), int))
    assert "node 'encoder' (LSTM, reader:3)" in str(error.value) and "\n" not in str(error.value)


def test_arguments_that_do_not_fit():
    model = parsed("""<ir_version: 8, opset_import: ["" : 17]>
    two (float[N, 2] a, float[N] b) => (float[N, 2] y) { y = Relu(a) }""")
    ours = interchange.from_onnx(model)
    with pytest.raises(ValueError, match=r"takes 2 input\(s\): a \(N, 2\), b \(N\)"):
        ours(np.ones((1, 2)))
    with pytest.raises(ShapeError, match=r"input b \(N\) was given \(4,\)"):
        ours(np.ones((3, 2), np.float32), np.ones(4, np.float32))
    with pytest.raises(DTypeError, match=r"input a \(N, 2\) is float32, but was given bool"):
        ours(np.ones((3, 2), bool), np.ones(3, np.float32))


def test_names_that_are_taken():
    """An initializer may have any name: a method's, an empty part, one that another needs for a folder."""
    names = ["forward", "training", "a", "a.b", "", "x..y", "_model", "/fc/weight"]
    model = parsed('<ir_version: 8, opset_import: ["" : 17]> m (float[1] q) => (float[1] y) { y = Neg(q) }')
    for k, name in enumerate(n for n in names if n):
        model.graph.initializer.append(numpy_helper.from_array(np.full(1, k, np.float32), name))
    ours = imported(model)
    assert ours(np.ones(1, np.float32)).tolist() == [-1.0]
    got = dict(ours.named_parameters())
    assert len(got) == len(names) - 1 and got["/fc/weight"].tolist() == [6.0]
