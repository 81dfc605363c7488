"""The printed equations: every right side, evaluated as Python, is the value or the gradient on its left."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from matplotlib.mathtext import MathTextParser
from nightly import examples
from unlabelled_recurrences import Nested, nested, uneven

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.character_model.model import CharModel, LectureModel
from tinygrad_rnn.cli import main
from tinygrad_rnn.nn.functional import cross_entropy, linear
from tinygrad_rnn.primitives import TABLE
from tinygrad_rnn.sequence_patterns import PATTERNS, build
from tinygrad_rnn.testing import strategies
from tinygrad_rnn.testing.sample_operands import RECIPES


def gallery():
    """The networks of examples/gallery, by their names."""
    path = Path(__file__).parents[1] / "examples/gallery/networks.py"
    spec = importlib.util.spec_from_file_location("gallery_networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


GALLERY = gallery()


def put(value, index, shape):
    result = np.zeros(shape, value.dtype)
    np.add.at(result, index, value)
    return result


FUNCTIONS = {name: p.reference for name, p in TABLE.items()}
FUNCTIONS |= {
    "concat": lambda *x, axis=-1: np.concatenate(x, axis),
    "stack": lambda *x, axis=0: np.stack(x, axis),
    "softmax": lambda x, axis=-1: TABLE["softmax"].reference(x, axis=axis),
    "log_softmax": lambda x, axis=-1: TABLE["log_softmax"].reference(x, axis=axis),
    "cross_entropy": lambda x, k, ignore_index=-100: TABLE["cross_entropy"].reference(x, k, ignore_index=ignore_index),
    "one_hot": lambda k, n: (k[..., None] == np.arange(n)).astype(np.float64),
    "outer": np.outer,
    "inf": np.inf,
    "nan": np.nan,
    "full": lambda x, shape: np.full(shape, x, np.float64),
    "scatter": put,
    "at": np.s_,
    "detach": lambda x: x,
}


def evaluated(formula, values):
    """What a right side comes to."""
    return eval(formula, {**FUNCTIONS, **values})


def steps_of(text):
    """The time steps that are written ``1..3, 5``, or ``1, 3, ..., 9``."""
    if ", ..., " in text:
        first, second, last = map(int, text.replace(" ..., ", " ").split(", "))
        return range(first, last + 1, second - first)
    runs = [[int(t) for t in run.split("..")] for run in text.split(", ")]
    return [t for run in runs for t in range(run[0], run[-1] + 1)]


def put_in(text, letter, number):
    """A formula with a number for the letter of a time step, or of a repetition inside of it."""

    def below(match):
        told = [str(number + int(part[1:] or 0)) if part[0] == letter else part for part in match[0][2:-1].split(",")]
        return f"_{'_'.join(told)}" if all(part.isdigit() for part in told) else f"_({','.join(told)})"

    text = re.sub(r"_\([^(),]+,[^(),]+\)", below, text)  # s_(t,k-1)
    text = re.sub(rf"_{letter}\b", f"_{number}", text)
    text = re.sub(rf"(?<=[\[: +]){letter}(?=[\]:,])", str(number), text)  # an index: x[t], x[t-1:t], x[:, t]
    text = re.sub(rf"(?<=[<>=] ){letter}\b(?![+-])", str(number), text)  # compared: n > t
    alone = rf"_?\(?\b{letter}([+-]\d+)\)?"
    return re.sub(alone, lambda m: ("_" if m[0][0] == "_" else "") + str(number + int(m[1])), text)


def written_out(line):
    """The lines one line of the recurrence stands for: every t and k put in, every sum over them written out."""
    text = line.text
    while found := re.search(r"((?: for [tkji]=[\d., ]+)+)\)", text):
        depth, start = 1, found.start()
        while depth:  # back to the bracket this closes
            start -= 1
            depth += {")": 1, "(": -1}.get(text[start], 0)
        name = re.search(r"\w+$", text[:start])[0]
        terms = [text[start + 1 : found.start()]]
        for letter, steps in re.findall(r" for (\w)=([\d., ]+?)(?= for |$)", found[1]):
            terms = [put_in(term, letter, t) for term in terms for t in steps_of(steps)]
        whole = f"({' + '.join(f'({term})' for term in terms)})" if name == "sum" else f"{name}({', '.join(terms)})"
        text = text[: start - len(name)] + whole + text[found.end() :]
    texts = [put_in(text, "t", t) for t in line.steps] if line.steps else [text]
    return [put_in(text, "k", k) for text in texts for k in line.inner] if line.inner else texts


def assert_true(derivation, tolerance=1e-10):
    """Every printed equation holds, step by step and in the recurrence written out again."""
    values = derivation.values
    texts = [line.text for line in derivation.lines]
    repeated = [text for line in derivation.recurrence for text in written_out(line)]
    for text in [*texts, *repeated]:
        left, right = text.split(" = ", 1)
        expected = np.asarray(values[left.removeprefix("dL/")])
        got = 1.0 * np.broadcast_to(evaluated(right, values), expected.shape)  # a condition is 0 or 1
        size = max(1.0, float(np.abs(expected).max(initial=0)))
        assert np.abs(got - expected).max(initial=0) <= tolerance * size, text
    assert sorted(t.split(" = ")[0] for t in texts) == sorted(t.split(" = ")[0] for t in repeated)


def gradient(derivation, parameter):
    """What the equations call the gradient of a parameter."""
    (name,) = {
        line.name
        for line in derivation.lines
        if line.left.gradient and derivation.graph.nodes[line.node].serial == parameter.serial
    }
    return derivation.values[name]


@pytest.fixture
def double():
    before = tg.get_default_dtype()
    tg.set_default_dtype(np.float64)
    yield
    tg.set_default_dtype(before)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_equations_hold(pattern, cell, double):
    loss = build(pattern, cell, 4, layers=2)
    derivation = viz.derive(loss)
    assert_true(derivation)
    loss.backward()
    for node in tg.Graph(loss).parameters:
        assert any(line.node == node.index and line.left.gradient for line in derivation.lines)


def test_the_lecture_s_equations_are_these(double):
    tg.manual_seed(0)
    model = LectureModel("helo", "rnn", hidden=3)
    loss = model.unroll("hell", "ello")
    derivation = viz.derive(loss)
    steps = {line.text for line in derivation.lines}
    assert "h_3 = tanh(x_3 @ W_xh.T + b_xh + h_2 @ W_hh.T + b_hh)" in steps
    assert "dL/dh_4 = dy_4 @ W_hy" in steps
    assert "dL/dh_3 = dy_3 @ W_hy + (dh_4 * (1 - h_4**2)) @ W_hh" in steps
    once = [line.text for line in derivation.recurrence]
    assert "dL/dh_t = dy_t @ W_hy + (dh_(t+1) * (1 - h_(t+1)**2)) @ W_hh" in once
    assert "dL/dy_t = softmax(y_t) - one_hot(target_t, 4)" in once
    assert "dL/dW_hh = sum((dh_t * (1 - h_t**2)).T @ h_(t-1) for t=1..4)" in once
    assert len(once) < len(derivation.lines) / 2
    printed = str(derivation)
    assert "t = 1..3, node #33, test_derive.py:" in printed and printed.index("h_t =") < printed.index("dL/dL = 1")
    assert (
        r"\frac{\partial L}{\partial W_{hh}} &= \sum_{t=1}^{4} \left( \frac{\partial L}{\partial h_{t}} \odot "
        r"\left( 1 - h_{t}^{2} \right) \right)^\top \, h_{t-1}"
    ) in derivation.latex()
    loss.backward()
    for parameter in model.parameters():
        np.testing.assert_allclose(gradient(derivation, parameter), parameter.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_gates(double):
    once = {line.text for line in viz.derive(build("many-to-many", "lstm", 5)).recurrence}
    assert "c_t = f_t * c_(t-1) + i_t * g_t" in once
    assert "dL/dc_t = dh_t * o_t * (1 - tanh(c_t)**2) + dc_(t+1) * f_(t+1)" in once
    once = {line.text for line in viz.derive(build("many-to-many", "gru", 5)).recurrence}
    assert "h_t = (1 - z_t) * n_t + z_t * h_(t-1)" in once
    assert "dL/dz_t = dh_t * h_(t-1) - dh_t * n_t" in once


@given(strategies.networks())
def test_the_equations_of_any_layer_hold(network):
    outputs, leaves = network.run()
    loss = sum(((y * tg.tensor(g)).sum() for y, g in zip(outputs, network.upstream)), tg.tensor(0.0, dtype=np.float64))
    derivation = viz.derive(loss)
    assert_true(derivation)
    loss.backward()
    for leaf in leaves.values():
        np.testing.assert_allclose(gradient(derivation, leaf), leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


@given(strategies.programs(names=tuple(sorted(set(RECIPES) - {"cast"}))))  # which formulas leave out
def test_the_equations_of_any_program_hold(program):
    results = [y for y in program(*program.tensors()) if y.requires_grad and y.numel()]
    weights = [tg.tensor(np.cos(np.arange(y.numel())).reshape(y.shape)) for y in results]
    if results:
        assert_true(viz.derive(sum((y * w).sum() for y, w in zip(results, weights))), 1e-9)


def leaf(*shape):
    return tg.tensor(np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape), requires_grad=True)


@pytest.mark.parametrize(
    "loss",
    [
        lambda: (leaf(2, 3) @ leaf(3, 2)).mean(),
        lambda: linear(leaf(5, 2, 3), leaf(4, 3), leaf(4)).sum(),
        lambda: ((leaf(2, 3) @ leaf(3, 4)) * leaf(4)).sum(),
        lambda: ((leaf(2, 3) @ leaf(3, 4)).T * leaf(2)).tanh().sum(),
        lambda: (tg.stack([leaf(2, 3), leaf(2, 3) * 2], axis=1) * leaf(3)).mean(),
        lambda: tg.where(tg.tensor([True, False]), leaf(2, 1), 1.0).mean(),
    ],
)
def test_gradients_that_are_alike_in_all_rows_keep_their_shape(loss, double):
    assert_true(viz.derive(loss()))


def test_a_loop_by_hand_repeats_from_the_first_step_to_the_last(double):
    w = tg.tensor(np.eye(3), requires_grad=True, name="w")
    h, total = tg.nn.labelled(tg.ones(2, 3), "h"), 0.0
    for _ in tg.steps(5):
        a = h @ w + 0.1
        h = tg.nn.labelled(a.tanh() * a.sigmoid() + a, "h")
        total = total + tg.nn.labelled((h * h).sum(), "loss")
    derivation = viz.derive(total)
    assert_true(derivation)
    (last,) = [line.text for line in derivation.recurrence if line.name == "dw"]
    assert last == "dL/dw = sum(h_(t-1).T @ da_t for t=1..5)"


def test_numbers():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    for factor, text, latex in (
        (1e-5, "1e-05", "10^{-5}"),
        (-2.5e-7, "2.5e-07", r"2.5 \cdot 10^{-7}"),
        (np.inf, "inf", r"\infty"),
        (np.nan, "nan", r"\text{nan}"),
    ):
        line = viz.derive((x * factor).sum()).lines[0]
        assert text in line.text and latex in line.latex
    assert viz.derive((x**2).sum()).lines[-1].text == "dL/dx = 2 * x"
    assert viz.derive(((x / 3) ** 2).sum()).lines[0].latex == r"L = \sum \left( \frac{x}{3} \right)^{2}"


def test_a_name_given_to_an_intermediate_value_is_used():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    score = x.tanh()
    score.name = "score"
    lines = [line.text for line in viz.derive((score * score).sum()).lines]
    assert lines == [
        "score = tanh(x)",
        "L = (score**2).sum()",
        "dL/dL = 1",
        "dL/dscore = 2 * score",
        "dL/dx = dscore * (1 - score**2)",
    ]


def test_batches_of_sequences_through_a_layer(double):
    tg.manual_seed(0)
    model = CharModel(5, "gru", hidden=3, embedding=2)
    scores, _ = model(tg.tensor([[1, 2], [3, 4], [0, 0]]))
    derivation = viz.derive(cross_entropy(scores.reshape(6, 5), tg.tensor([2, 3, 4, 1, 0, 3])))
    assert_true(derivation)
    assert any("stack(h_t for t=1..3)" in line.text for line in derivation.recurrence)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_matplotlib_can_typeset_them(cell):
    for line in viz.derive(build("many-to-many", cell, 3)).recurrence:
        MathTextParser("path").parse(f"${line.latex}$")  # which raises where it is no LaTeX


def test_only_what_is_asked_for():
    loss = build("many-to-many", "rnn", 3)
    graph = tg.Graph(loss)
    derivation = viz.derive(loss, "weight_hh")
    lefts = [line.text.split(" = ")[0] for line in derivation.lines if line.left.gradient]
    assert lefts[-1] == "dL/dW_hh" and not any("b_" in left or "W_xh" in left for left in lefts)
    assert derivation.graph.nodes[derivation.lines[-1].node].name == graph.find("weight_hh").name
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    assert [line.text for line in viz.derive((y * 3.0).sum(), y).lines][-1] == "dL/dexp_b = 3"


def test_a_long_sequence_is_as_short_as_a_short_one(double):
    long, short = (viz.derive(build("many-to-one", "lstm", steps)) for steps in (60, 6))
    assert len(long.lines) > 8 * len(short.lines) and len(long.recurrence) == len(short.recurrence)
    assert_true(long)


def test_a_chain_without_names_is_cut_up():
    x = tg.tensor(0.3, requires_grad=True, dtype=np.float64)
    y = x
    for _ in range(1000):  # 3000 nodes: three times as many as Python lets anything recurse
        y = (y * 0.9).sin() + 0.1
    derivation = viz.derive(y)
    assert max(len(line.text) for line in derivation.lines) < 1000
    assert_true(derivation, 1e-9)


HOSTILE = [
    "<b>&\"'</b>", "\\input{x}$%#_{}^~", "1 + 1", "naïve 🙂", "Ω重", "class", "sum", "t", "h_t", "dL", "x" * 9999, "\n",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_comes_out_as_a_name(name, tmp_path):
    x = tg.tensor([1.0, 2.0], requires_grad=True, name=name, dtype=np.float64)
    derivation = viz.derive((x * x).sum())
    assert_true(derivation)
    derivation.save(tmp_path / "x.html")
    assert "<b>" not in (tmp_path / "x.html").read_text()
    derivation.save(tmp_path / "x.tex")
    assert "\\input" not in (tmp_path / "x.tex").read_text()


def test_what_cannot_be_derived_is_said():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    for wrong, why in ((x, "2 elements"), (tg.ones(), "depends on nothing"), ("loss", "a tensor, not str")):
        with pytest.raises(tg.TinygradError, match=why):
            viz.derive(wrong)
    with pytest.raises(tg.TinygradError, match="no leaves are named 'y'; named leaves are: x"):
        viz.derive(x.sum(), "y")
    with pytest.raises(tg.TinygradError, match="does not depend on"):
        viz.derive(x.sum(), tg.tensor([1.0], requires_grad=True))
    for wrong in (3, [None]):
        with pytest.raises(tg.TinygradError, match="wrt is tensors or names of leaves, not"):
            viz.derive(x.sum(), wrong)
    with pytest.raises(tg.TinygradError, match="equations are written as"):
        viz.derive(x.sum()).save("x.doc")


def test_the_graph_is_left_as_it_was():
    loss = build("many-to-many", "rnn", 3)
    viz.derive(loss)
    loss.backward()  # which a graph that was walked would refuse


def test_the_command(tmp_path):
    result = CliRunner().invoke(main, ["derive", "--cell", "lstm", "--steps", "5"])
    assert result.exit_code == 0 and "dL/dc_t = dh_t * o_t * (1 - tanh(c_t)**2) + dc_(t+1) * f_(t+1)" in result.output
    result = CliRunner().invoke(main, ["derive", "--wrt", "weight_hh", "--every-step", "--pattern", "many-to-one"])
    assert result.exit_code == 0 and "dL/dh_3 = " in result.output and "dL/dbias" not in result.output
    for name, start in (("x.txt", "The network"), ("x.tex", r"\documentclass"), ("X.HTML", "<!DOCTYPE html>")):
        result = CliRunner().invoke(main, ["derive", "-o", str(tmp_path / name)])
        assert result.exit_code == 0 and (tmp_path / name).read_text().startswith(start)
    script = tmp_path / "own.py"
    script.write_text(
        "import tinygrad_rnn as tg\n"
        "def loss():\n"
        "    w = tg.tensor([3.0], requires_grad=True, name='w')\n"
        "    return (w * w).sum()\n"
    )
    result = CliRunner().invoke(main, ["derive", f"{script}:loss"])
    assert result.exit_code == 0 and "own.py:4" in result.output and "dL/dw = 2 * w" in result.output
    result = CliRunner().invoke(main, ["derive", "--wrt", "nothing"])
    assert result.exit_code == 2 and "no leaves are named 'nothing'" in result.output + result.stderr


def test_each_line_of_the_page_leads_to_its_node(tmp_path):
    derivation = viz.derive(build("many-to-many", "rnn", 3))
    derivation.save(tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    links = re.findall(r'href="#(\w+)"', page)
    assert len(links) == len(derivation.recurrence) and all(f'id="{link}"' in page for link in links)


# Networks as people write them ---------------------------------------------------------------------------------


def own_network(cell, steps, batch, said, rows, seed=0):
    """The loss of a cell of one's own, its parameters without names; ``rows`` of the first state."""
    rng = np.random.default_rng(seed)

    def parameter(*shape):
        return tg.tensor(rng.normal(size=shape) / 2, requires_grad=True)

    w, u, b, v = parameter(3, 4), parameter(4, 4), parameter(4), parameter(4, 2)
    x, h, total = tg.tensor(rng.normal(size=(steps, batch, 3))), tg.zeros(rows, 4, dtype=np.float64), 0.0
    for t in tg.steps(steps) if said else range(steps):
        if cell == "tanh":
            h = (x[t] @ w + h @ u + b).tanh()
        elif cell == "leaky":
            h = 0.5 * h + 0.5 * (x[t] @ w + h @ u + b).sigmoid()
        else:  # skips
            h = h + (x[t] @ w + (h @ u).tanh() + b).tanh()
        if t % 2 or cell != "leaky":
            total = total + (h @ v).square().sum()
    return total


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("cell", ["tanh", "skips"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("steps", [2, 5])
def test_the_repetitions_of_an_own_cell_are_written_once(cell, said, batch, steps, double):
    derivation = viz.derive(own_network(cell, steps, batch, said, rows=1))
    assert_true(derivation)
    network = [line for line in derivation.recurrence if not line.left.gradient]
    assert {(line.left.stem, line.steps) for line in network if line.left.stem in "xh"} == {
        ("x", tuple(range(1, steps + 1))),
        ("h", tuple(range(1, steps + 1))),
    }
    back = [line.text for line in derivation.recurrence if line.text.startswith("dL/dh_")]
    assert len(back) == 2 and back[0].startswith(f"dL/dh_{steps} = ")
    for line in derivation.recurrence:  # each weight's gradient is one sum over the steps
        if line.left.gradient and line.left.stem in ("W_xh", "W_hh", "b"):
            assert f"t=1..{steps})" in line.text and "sum(0, keepdims" not in line.text
    assert not any("given_" in line.text or "scatter" in line.text for line in derivation.lines)


def test_two_layers_one_after_the_other_are_each_written_once(double):
    below, above = tg.nn.RNN(2, 3), tg.nn.RNN(3, 2)
    found = viz.derive(above(below(tg.randn(4, 1, 2))[0])[0].square().sum())
    assert_true(found)
    network = [line.text.split(" = ")[0] for line in found.recurrence if not line.left.gradient]
    assert network == ["x_t", "h1_t", "h2_t", "L"]
    assert any(r"1 - \tanh^{2} \left( c" in line.latex for line in viz.derive(lstm_loss()).lines)


def lstm_loss():
    return tg.nn.LSTM(2, 2)(tg.ones(2, 1, 2))[0].square().sum()


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_scores_and_losses_that_nobody_labelled_are_y_and_l(discount, double):
    """With a total in which the past counts less, and a first step without a state."""
    w, u, v = (tg.tensor(tg.randn(3, 3).numpy(), requires_grad=True, name=name) for name in "WUV")
    x, h, loss = tg.randn(4, 1, 3), None, 0.0
    for t in range(4):
        h = tg.tanh(x[t] @ w if h is None else x[t] @ w + h @ u)
        loss = loss * discount + tg.nn.functional.cross_entropy(h @ v, [t % 3])
    found = viz.derive(loss)
    assert_true(found)
    text = str(found)
    assert "y_t = h_t @ V " in text and "L_t = cross_entropy(y_t, target_t).sum() " in text
    assert "softmax(y_t) - one_hot(target_t, 3)" in text and "reshape" not in text and "matmul" not in text


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_last_output_is_the_last_state(kind, double):
    tg.manual_seed(0)
    layer, head = getattr(tg.nn, kind)(3, 4), tg.nn.Linear(4, 2)
    out, _ = layer(tg.tensor(np.random.default_rng(0).normal(size=(5, 2, 3))))
    derivation = viz.derive(head(out[-1]).square().sum())
    assert_true(derivation)
    text = str(derivation)
    assert "linear = h_5 @ W_hy.T + b_hy" in text and "dL/dlinear = 2 * linear" in text
    assert "scatter" not in text and "keepdims" not in text
    assert sum(line.text.startswith("dL/dh_") for line in derivation.recurrence) == 2
    assert "..." not in derivation.latex()  # the parts of a gate's sum bear the gate's name


def two_states(steps, said=True):
    """The loss of a cell of one's own with a slow state beside h, which is made first and which the loss sees too."""
    rng = np.random.default_rng(3)

    def parameter(*shape):
        return tg.tensor(rng.normal(size=shape) / 2, requires_grad=True)

    w, u, a, m, v = parameter(3, 4), parameter(4, 4), parameter(4, 4), parameter(4, 4), parameter(4, 2)
    x, h, q = tg.tensor(rng.normal(size=(steps, 1, 3))), tg.zeros(1, 4), tg.zeros(1, 4)
    total = 0.0
    for t in tg.steps(steps) if said else range(steps):
        q = 0.5 * q * (h @ a).sigmoid() + x[t] @ w
        h = (x[t] @ w + h @ u + q @ m).tanh()
        total = total + (h @ v).square().sum() + (0.1 * q * q).sum()
    return total


def as_matrix(operation, shape):
    """What a linear operation does to every row of the identity, each an array of this shape."""
    rows = np.eye(int(np.prod(shape)))
    return np.stack([np.ravel(operation(row.reshape(shape))) for row in rows])


MATRICES = {
    "diag": lambda x: np.diag(np.ravel(x)),
    "eye": lambda n: np.eye(n),
    "ones": np.ones,
    "matrix": as_matrix,
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
}


def assert_solved(closed, values):
    """The sums of products of Jacobians, evaluated, are the gradients that the walk found."""
    for form in (closed, *closed.also):
        states, sizes, (first, last), toward = form.states, form.sizes, form.steps, form.toward
        known = {**values, **MATRICES, "I": np.eye(sizes[states[0]])}

        def matrix(formula, form=form, known=known, sizes=sizes, states=states):
            found = evaluated(formula, known)
            if len(states) == 1:
                return found
            blocks = zip(states, found)
            return np.block(
                [
                    [np.zeros((sizes[a], sizes[b])) if np.ndim(x) == 0 else x for b, x in zip(states, r)]
                    for a, r in blocks
                ]
            )

        def sent(t, form=form, known=known, sizes=sizes, states=states):
            found = evaluated(form.sent(t), known)
            told = zip(states, [found] if len(states) == 1 else found)
            shape = {s: (1, sizes[s]) if form.by_row else form.shapes[s] for s in states}
            return np.hstack([np.broadcast_to(x, shape[s]).reshape(1, -1) for s, x in told])

        def within(t, form=form, matrix=matrix):
            return matrix(form.within(t)) if len(form.states) > 1 else np.eye(form.sizes[form.states[0]])

        for t in range(first, last + 1):
            total = 0.0
            for k in range(t, last + 1) if toward > 0 else range(first, t + 1):
                term = sent(k)  # dL_k/ds_k, back through every step between
                for j in range(k, t, -toward):
                    term = term @ within(j) @ matrix(form.jacobian(j))
                total = total + term
            found = np.split((total @ within(t))[0], np.cumsum([sizes[state] for state in states]))
            for state, one in zip(states, found):
                if f"d{state}_{t}" in values:
                    expected = values[f"d{state}_{t}"]
                    scale = max(1.0, float(np.abs(expected).max()))
                    np.testing.assert_allclose(one, np.ravel(expected), rtol=1e-9, atol=1e-11 * scale)
        told: dict[str, list[tuple[str, set[int]]]] = {}
        for line in form.text().splitlines():
            (name, right), steps = line.split("  # t = ")[0].split(" = ", 1), line.partition("  # t = ")[2]
            runs = [[int(t) for t in run.split("..")] for run in steps.split(", ") if run]
            told.setdefault(name, []).append((right, {t for run in runs for t in range(run[0], run[-1] + 1)}))
        number = form.name.lstrip("sqtae") if len(states) > 1 else ""
        for name, write, of in (
            (f"R{number}_{{0}}", form.jacobian, form.back),
            (f"S{number}_{{0}}", form.within, form.inside),
            (f"dL_{{0}}/d{form.name}_{{0}}", form.sent, form.direct),
        ):
            for k in of if name.format("t") in told else ():
                if own := told.get(name.format(k)):
                    assert [right for right, _ in own] == [write(k)]
                    continue
                (line,) = (right for right, steps in told[name.format("t")] if not steps or k in steps)
                printed = re.sub(r"_t\b", f"_{k}", re.sub(r"_\(t([+-]1)\)", lambda m, k=k: f"_{k + int(m[1])}", line))
                printed = re.sub(r"(?<=[\[:])t([+-]\d+)?(?=[\]:])", lambda m, k=k: str(k + int(m[1] or 0)), printed)
                assert printed == write(k)
    for line in closed.latex().split(r" \\[4pt]")[-1:]:
        assert MathTextParser("path").parse(f"${line.split('&=')[-1].split(chr(10))[0]}$")


@pytest.mark.parametrize(
    "cell", ["tanh", "leaky", "skips", "rnn", "gru", "lstm", "layers", "two states", "two states, unsaid"]
)
def test_the_closed_form_is_the_gradient(cell, double):
    if cell in ("rnn", "gru", "lstm"):
        derivation = viz.derive(LectureModel("helo", cell, hidden=3).unroll("hell", "ello"))
    elif cell == "layers":
        derivation = viz.derive(build("many-to-many", "lstm", 3, layers=2))
    elif cell.startswith("two"):
        derivation = viz.derive(two_states(4, said=cell == "two states"))
    else:
        derivation = viz.derive(own_network(cell, 4, 1, True, rows=1))
    closed = derivation.closed_form()
    assert len(closed.states) == {"lstm": 2, "layers": 4}.get(cell, 2 if cell.startswith("two") else 1)
    assert_solved(closed, derivation.values)
    told = dict(line.split(" = ", 1) for line in closed.text().splitlines())
    if cell == "rnn":
        said = CliRunner().invoke(main, ["derive", "--closed-form"]).output
        assert closed.text().splitlines()[0] in said
        assert closed.text().startswith("dh_t/dh_(t-1) = diag(1 - h_t**2) @ W_hh\n")
    if cell == "leaky":
        assert closed.jacobian().startswith("0.5 * I + 0.5 * diag(")
    if cell == "lstm":
        assert told["S_t"] == "[[I, diag(o_t * (1 - tanh(c_t)**2))], [0, I]]"
        assert told["R_t"].endswith(", diag(f_t)]]") and told["dL_t/ds_t"] == "[dy_t @ W_hy, 0]"
        assert closed.latex().count(r"\begin{pmatrix}") == 2


@pytest.mark.parametrize("name", GALLERY)
def test_every_network_of_the_gallery_has_a_closed_form(name, double):
    tg.manual_seed(0)
    loss = GALLERY[name]()
    derivation = viz.derive(loss[0] if isinstance(loss, tuple) else loss)
    closed = derivation.closed_form()
    assert_solved(closed, derivation.values)
    if name == "skip-connections":  # what is seen again two steps later is a part of the step between
        assert "s_t = [h_t, h_(t-1)]" in closed.text() and len(closed.direct[1]) == 2
    if name == "bidirectional":
        assert [form.toward for form in (closed, *closed.also)] == [1, -1]


@pytest.mark.parametrize("normed", [False, True])
def test_the_closed_form_of_a_batch_holds_for_each_of_its_rows(normed, double):
    tg.manual_seed(0)
    w, u = (tg.tensor(tg.randn(3, 3).numpy() / 2, requires_grad=True, name=name) for name in "WU")
    norm = tg.nn.LayerNorm(3)
    x, h, total = tg.randn(4, 7, 3), tg.zeros(7, 3), 0.0
    for t in range(4):
        a = x[t] @ w + h @ u
        h = tg.tanh(norm(a) if normed else a)
        total = total + (h * h).sum()
    derivation = viz.derive(total)
    closed = derivation.closed_form()
    assert closed.by_row
    for n in range(7):
        row = {k: v[n : n + 1] if v.ndim == 2 and v.shape[0] == 7 else v for k, v in derivation.values.items()}
        assert_solved(closed, row)


def test_a_closed_form_says_of_which_steps_a_line_is(double):
    closed = viz.derive(build("many-to-one", "rnn")).closed_form()
    assert closed.text().splitlines()[1:3] == ["dL_4/dh_4 = dy_4 @ W_hy", "dL_t/dh_t = 0  # t = 1..3"]
    assert r"&= 0 \quad t = 1, \ldots, 3 \\" in closed.latex()


def test_a_closed_form_counts_on_though_other_steps_read_alike(double):
    cell, x, aims = tg.nn.RNNCell(2, 2), tg.randn(6, 1, 2), tg.randn(6, 1, 2)
    h, loss = tg.zeros(1, 2), 0.0
    for t in tg.steps(6):
        h = cell(x[t], h)
        loss = loss + ((h - aims[t]) ** 2).sum() if t < 3 else loss
    closed = viz.derive(loss + h.sum()).closed_form()
    assert [line for line in closed.text().splitlines() if line.startswith("dL_")] == [
        "dL_6/dh_6 = 1",
        "dL_t/dh_t = 0  # t = 4..5",
        "dL_t/dh_t = 2 * (h_t - target[t-1])  # t = 1..3",
    ]


def test_where_there_is_no_closed_form_it_says_why(double):
    with pytest.raises(tg.GraphError, match="none is"):
        viz.derive((tg.tensor([1.0], requires_grad=True) * 2).sum()).closed_form()


def test_an_inner_state_and_its_neighbour(double):
    out, _ = tg.nn.RNN(2, 3)(tg.tensor(np.random.default_rng(1).normal(size=(4, 2, 2))))
    derivation = viz.derive((out[1] * out[-2]).sum() + out[2:].sum())
    assert_true(derivation)


def test_a_first_state_that_other_things_see_stays_as_it_is(double):
    h0 = tg.nn.labelled(tg.ones(1, 3), "h")
    out, _ = tg.nn.RNN(2, 3)(tg.tensor(np.random.default_rng(1).normal(size=(3, 2, 2))))
    w = tg.tensor(np.eye(3), requires_grad=True)
    h, total = h0, 0.0
    for _ in tg.steps(3):
        h = (h @ w + out[0]).tanh()
        total = total + h.sum()
    derivation = viz.derive(total + h0.sum())  # with a row for each sequence its sum would be another
    assert_true(derivation)


def test_a_sum_of_equal_terms_is_a_product(double):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    derivation = viz.derive((w + w + w).sum() + w.sum())
    assert_true(derivation)
    assert [line.text for line in derivation.lines] == ["L = (3 * w).sum() + w.sum()", "dL/dL = 1", "dL/dw = 4"]


def test_a_row_that_is_added_is_a_bias(double):
    """Of shape (1, n) as of (n,); a scale of that shape is none."""
    W, U, b, g = (tg.randn(n, 3).requires_grad_() for n in (2, 3, 1, 1))
    h, loss = tg.zeros(1, 3), 0.0
    for _ in range(3):
        h = tg.tanh(tg.randn(1, 2) @ W + h @ U + b) * g
        loss = loss + (h**2).sum()
    text = str(viz.derive(loss))
    assert "tanh_t = tanh(x_t @ W_xh + h_(t-1) @ W_hh + b) " in text and "h_t = tanh_t * W " in text


@pytest.mark.parametrize(
    "judged", [lambda out: out[-1], lambda out: out[-1, 0], lambda out: out[-1:], lambda out: out[1:3]]
)
@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM])
def test_steps_that_a_loss_does_not_read_have_no_term_of_it(layer, judged, double):
    """What is scattered into zeros is one step's, whatever is made of it before it is sent."""
    derivation = viz.derive((judged(layer(2, 2)(tg.randn(4, 3, 2))[0]) ** 2).sum())
    assert_true(derivation)
    assert "(4, 3, 2))" not in str(derivation)


def test_a_recurrence_with_gates_made_for_all_steps_at_once_has_no_scatter(double):
    """minGRU: what a step sends to its row of z is put together before it is put there."""
    gate, new, head = tg.nn.Linear(2, 2), tg.nn.Linear(2, 2), tg.nn.Linear(2, 3)
    x, h, loss = tg.randn(4, 1, 2), tg.zeros(1, 2), 0.0
    z, n = gate(x).sigmoid(), new(x)
    for t in range(4):
        h = (1 - z[t]) * h + z[t] * n[t]
        loss = loss + tg.nn.functional.cross_entropy(head(h), [t % 3])
    found = viz.derive(loss)
    assert_true(found)
    text = str(found)
    assert "scatter" not in text
    assert "stack(dh_t * n[t-1] - dh_t * h_(t-1) for t=1..4)" in text
    assert all("^{(h)}" not in line.latex for line in found.recurrence)  # a row of z is no part of a gate


@pytest.mark.parametrize("layer", [tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU])
def test_a_layer_that_reads_piece_by_piece_has_its_recurrence_once(layer, double):
    net, head, x, state, loss = layer(2, 2), tg.nn.Linear(2, 3), tg.randn(6, 1, 2), None, 0.0
    for k in range(2):
        out, state = net(x[3 * k : 3 * k + 3], state)
        loss = loss + tg.nn.functional.cross_entropy(head(out[:, 0]), [0, 1, 2])
    found = viz.derive(loss)
    assert_true(found)
    lines = found.recurrence
    assert "scatter" not in str(found)
    assert [line.steps for line in lines if line.left.stem == "h" and not line.left.gradient] == [(1, 2, 3, 4, 5, 6)]
    assert len([line for line in lines if line.left.stem == "h" and line.left.gradient]) == 4  # both ends of two pieces


@pytest.mark.parametrize("every_step", [True, False])
def test_likelihoods_by_hand_are_written_once(every_step, double):
    """A loss made of log probabilities: targets are of their steps, numbers are numbers, rows count on."""
    i2h, i2o = tg.nn.Linear(5, 2), tg.nn.Linear(5, 3)
    x, h, loss = tg.one_hot([0, 2, 1], 3), tg.zeros(1, 2), 0.0
    for t in range(3):
        both = tg.concat([x[t : t + 1], h], 1)
        h = i2h(both)
        if every_step or t == 2:
            loss = loss + tg.nn.functional.nll_loss(i2o(both).log_softmax(1), tg.tensor([t]))
    found = viz.derive(loss / 3)
    assert_true(found)
    text = str(found)
    assert "x_t = one_hot(given, 3)[t-1:t] " in text or "x_t = one_hot(given_b, 3)[t-1:t] " in text
    assert "broadcast" not in text and "scatter" not in text and "reshape" not in text
    if every_step:
        assert (
            "dL/dL_t = 1 / 3 " in text
            and "dL/dy_t = (1 / 3 / (given_t != -100).sum()) * (softmax(y_t) - one_hot(given_t, 3))" in text
        )


# What is carried from step to step, whatever it is called -------------------------------------------------------


def remembering(kind, labels, said, steps=5):
    """The loss of a cell with a state, or two, that are labelled so."""
    rng = np.random.default_rng(1)
    w, u, v = (tg.tensor(rng.normal(size=s) / 2, requires_grad=True, name=n) for n, s in SIZES[kind].items())
    called = [(lambda x, label=label: tg.nn.labelled(x, label) if label else x) for label in labels]
    x, loss = tg.tensor(rng.normal(size=(steps, 1, 2))), 0.0
    h = m = tg.zeros(1, 3)
    if kind == "decaying":
        m = tg.zeros(1, 3)
    for t in tg.steps(steps) if said else range(steps):
        if kind == "lstm":
            a = x[t] @ w + h @ u
            i, f, o, g = (a[:, k : k + 3] for k in range(0, 12, 3))
            m = called[1](f.sigmoid() * m + i.sigmoid() * g.tanh())
            h = read = called[0](o.sigmoid() * m.tanh())
        elif kind == "decaying":
            h = called[0]((x[t] @ w + h @ u).tanh())
            m = read = called[1](0.9 * m + h)
        else:
            h = read = called[0]((x[t] @ w + h @ u).tanh())
        if kind == "distances":
            loss = loss + tg.nn.functional.mse_loss(read @ v, tg.tensor(rng.normal(size=(1, 2))))
        else:
            loss = loss + tg.nn.functional.cross_entropy(read @ v, [t % 2])
    return loss


PLAIN = {"W": (2, 3), "U": (3, 3), "V": (3, 2)}
SIZES = {"plain": PLAIN, "distances": PLAIN, "decaying": PLAIN, "lstm": {"W": (2, 12), "U": (3, 12), "V": (3, 2)}}


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("labels", [("h", "c"), ("s", "m"), ("state", "memory"), (None, None)])
@pytest.mark.parametrize("kind", SIZES)
def test_every_repetition_is_written_once_whatever_is_carried(kind, labels, said, double):
    derivation = viz.derive(remembering(kind, labels, said))
    assert_true(derivation)
    network = [line for line in derivation.recurrence if not line.left.gradient]
    assert all(line.steps == (1, 2, 3, 4, 5) for line in network if line.left.step is not None), derivation
    assert len({(line.left.stem, line.left.step is None) for line in network}) == len(network)
    back = [line for line in derivation.recurrence if line.left.gradient]
    for stem in {line.left.stem for line in back if line.left.step is not None}:
        own = [line for line in back if line.left.stem == stem and line.left.step is not None]
        assert len(own) == 1 or [line.left.step for line in own if line.steps is None] == [5], derivation
    for line in back:
        if line.left.stem in "WUV":
            assert " = sum(" in line.text and line.text.count("for t=1..5)") == 1 and line.text.endswith("5)")
    text = str(derivation)
    assert "given_b" not in text and "scatter" not in text
    for label in labels[: 1 + (kind in ("lstm", "decaying"))]:
        assert label is None or f"{label}_(t-1)" in text


def test_the_score_of_many_to_one_is_y(double):
    text = str(
        viz.derive(tg.nn.functional.cross_entropy(tg.nn.Linear(2, 3)(tg.nn.RNN(2, 2)(tg.randn(3, 1, 2))[0][-1]), [1]))
    )
    assert "y = h_3 @ W_hy.T + b_hy " in text and "dL/dy = softmax(y) - one_hot(target, 3)" in text
    assert "linear" not in text


def test_gates_are_in_the_order_they_are_taught_in(double):
    lines = viz.derive(lstm_loss()).recurrence
    assert [line.left.stem for line in lines if line.left.stem in "ifog" and not line.left.gradient] == list("ifog")


def test_multiples_of_the_same_are_added_up(double):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    derivation = viz.derive((2 * w + 2 * w - 0.5 * (w - 1) ** 2).sum())
    assert_true(derivation)
    assert [line.text for line in derivation.lines] == [
        "L = (4 * w - 0.5 * (w - 1)**2).sum()",
        "dL/dL = 1",
        "dL/dw = 4 - (w - 1)",
    ]


def test_what_a_choice_left_out_is_not_written_as_a_condition(double):
    w = tg.tensor([[1.0, 2.0]] * 2, requires_grad=True, name="w")
    a, b = ((tg.ones(1, 2) @ w)[:, k : k + 1] for k in (0, 1))
    derivation = viz.derive((a * b).sum())
    assert_true(derivation)
    assert "where" not in str(derivation)


@pytest.mark.parametrize("kind", ["nll_loss", "product", "index", "weighted"])
def test_the_gradient_of_log_softmax_is_written_in_closed_form(kind, double):
    w = tg.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True, name="W")
    log = (tg.ones(2, 3) @ w).log_softmax(1)
    loss = {
        "nll_loss": lambda: tg.nn.functional.nll_loss(log, tg.tensor([1, 3])),
        "product": lambda: -(tg.one_hot([1, 3], 4) * log).sum(),
        "index": lambda: -log[0, 1],
        "weighted": lambda: (tg.tensor(np.arange(8.0).reshape(2, 4)) * log).sum(),
    }[kind]()
    found = viz.derive(loss)
    assert_true(found)
    text = str(found)
    assert "tanh" not in text and "exp" not in text
    if kind in ("nll_loss", "product"):
        assert "softmax(y) - one_hot(" in text and "dL/dlog_softmax" not in text
    else:
        assert "- softmax(y) * " in text and ".sum(1, keepdims=True)" in text


def test_an_input_that_is_read_twice_and_the_part_of_a_mean_are_written_plainly(double):
    w, u, v = (tg.tensor(np.eye(2) / k, requires_grad=True, name=name) for k, name in zip((2, 3, 4), "WUV"))
    x, s, losses = tg.randn(4, 1, 2), tg.zeros(1, 2), []
    for t in tg.steps(4):
        f = (x[t] @ w + s @ u).sigmoid()
        s = tg.nn.labelled((1 - f) * s + f * (x[t] @ v).tanh(), "s")
        losses.append(tg.nn.functional.cross_entropy(s, [t % 2]))
    found = viz.derive(tg.stack(losses).mean())
    assert_true(found)
    texts = [line.text for line in found.recurrence]
    assert "dL/dL_t = 1 / 4" in texts and not any("given[" in text for text in texts[1:])


@pytest.mark.parametrize("labels", [("s", "q"), ("s", "m"), (None, None)])
def test_the_closed_form_of_states_called_as_it_calls_them_together(labels, double):
    found = viz.derive(remembering("lstm", labels, True))
    closed = found.closed_form()
    assert_solved(closed, found.values)
    assert closed.text().split(" = ")[0] == {"q": "state_t", "m": "q_t", None: "s_t"}[labels[1]]


def test_a_closed_form_counts_on_in_what_was_made_for_all_steps_at_once(double):
    w, v = tg.tensor(tg.randn(2, 6).numpy(), requires_grad=True), tg.tensor(tg.randn(3).numpy(), requires_grad=True)
    u, c, loss = tg.randn(4, 1, 2) @ w, tg.zeros(1, 3), 0.0
    for t in range(4):
        f = (u[t][:, 3:] + v * c).sigmoid()
        c = 0.1 * f * c * 0.1 + (1 - f) * u[t][:, :3]
        loss = loss + c.square().sum()
    found = viz.derive(loss)
    assert_true(found)
    closed = found.closed_form()
    assert_solved(closed, found.values)
    assert len(closed.text().splitlines()) == 3 and "[t-1]" in closed.text() and "00000" not in closed.text()


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("lstm", [False, True])
def test_truncated_backpropagation_is_one_cell_and_says_where_it_is_cut(double, lstm, window):
    x, loss = tg.randn(6, 1, 2), 0.0
    if lstm:
        layer, state = tg.nn.LSTM(2, 3), None
        for t in range(0, 6, window):
            y, state = layer(x[t : t + window], state)
            state = tuple(s.detach() for s in state)
            loss = loss + y.square().sum()
    else:
        w, u, h = tg.randn(2, 3).requires_grad_(), tg.randn(3, 3).requires_grad_(), tg.zeros(1, 3)
        for t in range(6):
            h = tg.tanh(x[t] @ w + (h.detach() if t % window == 0 else h) @ u)
            loss = loss + h.square().sum()
    found = viz.derive(loss)
    assert_true(found)
    equations = {line.name: line.text for line in found.lines}
    for t in range(1, 7):
        reads = "a" if lstm else "h"
        assert ("detach(" in equations[f"{reads}_{t}"]) == (t > 1 and t % window == 1)
        assert t == 1 or f"h_{t - 1}" in equations[f"{reads}_{t}"]


def test_a_mask_that_compares_with_the_step_holds_at_every_step(double):
    w, u = tg.randn(2, 3).requires_grad_(), tg.randn(3, 3).requires_grad_()
    x, h, lengths = tg.randn(4, 3, 2), tg.zeros(3, 3), tg.tensor([[4], [2], [3]])
    for t in range(4):
        h = tg.where(lengths > t, tg.tanh(x[t] @ w + h @ u), h)
    assert_true(viz.derive(h.square().sum()))


def test_what_happens_at_every_other_step_is_one_line_that_says_so(double):
    w, u, v = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (3, 2)))
    x, h, loss = tg.randn(9, 1, 2), tg.zeros(1, 3), 0.0
    for t in range(9):
        h = tg.tanh(x[t] @ w + h @ u)
        if t % 2 == 0 or t == 3:
            loss = loss + cross_entropy(h @ v, [t % 2])
        if t % 4 == 2:
            h = h.detach()
    found = viz.derive(loss)
    assert_true(found)
    text = str(found)
    assert "y_t = h_t @ W_hy " in text and "# t = 1, 3..5, 7, 9, " in text
    assert "L = sum(L_t for t=1, 3..5, 7, 9)" in text
    assert "detach(h_(t-1)) @ W_hh) " in text and "# t = 4, 8, " in text
    assert r"\sum_{t = 1, 3\text{–}5, 7, 9} L_{t}" in found.latex()
    assert len([line for line in found.lines if line.left.stem == "h"]) == 18 and len(found.recurrence) < 20


def test_what_is_stacked_backward_stays_so(double):
    """Stacked as t = 3, 2, 1 it is no stack for t = 1..3."""
    w, h, kept = tg.randn(2, 2).requires_grad_(), tg.ones(1, 2), []
    for _ in range(3):
        h = tg.tanh(h @ w)
        kept.insert(0, h)
    found = viz.derive((tg.stack(kept) * tg.randn(3, 1, 2)).sum())
    assert_true(found)


def test_a_state_that_stands_still_is_the_one_of_the_step_before(double):
    """Clockwork: some units move at every second step, and the scores read them at all."""
    w, u, a, b, v = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (3, 3), (3, 3), (6, 4)))
    for first, when in ((0, (1, 3, 5)), (1, (2, 4, 6))):
        x, h, slow, loss = tg.randn(6, 1, 2), tg.zeros(1, 3), tg.zeros(1, 3), 0.0
        for t in range(6):
            h = tg.tanh(x[t] @ w + h @ u)
            if t % 2 == first:
                slow = tg.tanh(h @ a + slow @ b)
            loss = loss + cross_entropy(tg.concat([h, slow], 1) @ v, [t % 4])
        found = viz.derive(loss)
        assert_true(found)
        lines = {line.text: line.steps for line in found.recurrence}
        assert lines["h2_t = tanh(h1_t @ W2_xh + h2_(t-1) @ W2_hh)"] == when
        assert lines["h2_t = h2_(t-1)"] == tuple(t for t in range(1, 7) if t not in when)
        assert lines["y_t = concat(h1_t, h2_t) @ W_hy"] == (1, 2, 3, 4, 5, 6)
        assert_solved(found.closed_form(), found.values)


def test_what_a_cell_begins_with_has_a_line_and_the_first_step_is_as_all_others(double):
    """An encoder's last state, a memory that is computed; a sequence that is read from its end begins behind it."""
    tg.manual_seed(0)
    w, u, a, b, v = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (3, 3), (2, 3), (3, 4)))
    x, h, y = tg.randn(4, 1, 2), tg.zeros(1, 3), tg.randn(3, 1, 2)
    for t in reversed(range(4)):
        h = tg.tanh(x[t] @ w + h @ u)
    memory, loss = 0.1 * tg.randn(1, 3), 0.0
    for t in range(3):
        h, memory = tg.tanh(y[t] @ b + h @ a + memory), 0.5 * memory + h
        loss = loss + cross_entropy(h @ v, [t])
    found = viz.derive(loss)
    assert_true(found)
    lines = {line.text: line.steps for line in found.recurrence if not line.left.gradient}
    assert lines["h1_reverse_t = tanh(x_b_t @ W1_xh_reverse + h1_reverse_(t+1) @ W1_hh_reverse)"] == (1, 2, 3, 4)
    assert "h2_0 = h1_reverse_1" in lines and "h2_prime_0 = 0.1 * given" in lines
    assert all(line.steps or line.left.step in (None, 0) for line in found.recurrence if not line.left.gradient)


@pytest.mark.parametrize("stacked", [True, False])
def test_attention_over_an_encoder_is_written_once(stacked, double):
    """A sum over all positions of the encoder, in the equation of a step of the decoder."""
    w, u, a, b, c, v = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (4, 3), (3, 3), (3, 3), (6, 4)))
    x, h, y, kept, loss = tg.randn(4, 1, 2), tg.zeros(1, 3), tg.randn(3, 1, 4), [], 0.0
    for t in range(4):
        h = tg.tanh(x[t] @ w + h @ u)
        kept.append(h)
    for t in range(3):
        if stacked:
            share = ((tg.stack(kept) * h).sum(-1, keepdim=True)).softmax(0)
            seen = (share * tg.stack(kept)).sum(0)
        else:
            share = tg.concat([(k * h).sum(1, keepdim=True) for k in kept], 1).softmax(1)
            seen = sum((share[:, k : k + 1] * kept[k] for k in range(4)), 0.0)
        h = tg.tanh(y[t] @ a + h @ b + seen @ c)
        loss = loss + cross_entropy(tg.concat([h, seen], 1) @ v, [t])
    found = viz.derive(loss)
    assert_true(found)
    lines = [line for line in found.recurrence if not line.left.gradient]
    assert all(line.steps or line.left.step in (None, 0) for line in lines), found
    assert ("stack(h1_k for k=1..4)" if stacked else "sum(share2_t[:, k-1:k] * h1_k for k=1..4)") in str(found)
    assert (r"\operatorname{stack}_{k=1}^{4}" if stacked else r"\sum_{k=1}^{4}") in found.latex()


def test_several_losses_a_step_are_several_sums(double):
    w, u, v, q = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (3, 4), (3, 1)))
    q.name = "Q"
    x, h, loss = tg.randn(30, 1, 2), tg.zeros(1, 3), 0.0
    for t in range(30):
        h = tg.tanh(x[t] @ w + h @ u)
        loss = loss + cross_entropy(h @ v, [t % 4]) + 0.5 * ((h @ q - 1.0) ** 2).mean()
    found = viz.derive(loss)
    assert_true(found)
    assert "L = sum(L_t for t=1..30) + sum(0.5 * ((h_t @ Q - 1)**2).sum() for t=1..30)" in str(found)


@given(uneven())
def test_whatever_differs_from_step_to_step_each_kind_of_step_is_written_once(program):
    found = viz.derive(program.loss())
    assert_true(found, 1e-8)
    last = max(line.left.step or 0 for line in found.lines)
    cases: dict[tuple[str, bool], list[tuple[int, ...]]] = {}
    for line in found.recurrence:
        if line.left.step is not None:
            at = line.steps or (line.left.step,)
            cases.setdefault((line.left.stem, line.left.gradient), []).append(at)
    for (stem, gradient), told in cases.items():
        inner = [at for at in told if not {0, 1, 2, last - 1, last, last + 1} & {*at} or len(at) > 2]
        assert len(inner) <= (4 if gradient else 2), (stem, told, str(found))


def test_names_in_any_alphabet_are_readable(double):
    names = {
        "β": (r"\beta", "β"),
        "重み": (r"\text{重み}", "重み"),
        "Ω": (r"\Omega", "Ω"),
        "été": (r"\text{été}", "été"),
    }
    for name, (latex, text) in names.items():
        x = tg.tensor([1.0, 2.0], requires_grad=True, name=name)
        line = viz.derive((x * x).sum()).lines[-1]
        assert line.text == f"dL/d{text} = 2 * {text}" and line.latex.endswith(rf"2 \, {latex}")


@pytest.mark.parametrize("several", [True, False])
def test_tokens_by_their_numbers_are_given_to_each_step(several, double):
    table, u = tg.tensor(tg.randn(4, 3).numpy(), requires_grad=True, name="E"), tg.randn(3, 3).requires_grad_()
    h, loss, tokens = tg.zeros(1, 3), 0.0, [0, 3, 1, 2, 0]
    for t in range(4):
        h = tg.tanh((table[[tokens[t]]] if several else table[tokens[t]]) + h @ u)
        loss = loss + cross_entropy(h @ table.T, [tokens[t + 1]])
    found = viz.derive(loss)
    assert_true(found)
    lines = {line.text: line.steps for line in found.recurrence}
    read = "x_t" if several else "E[given_t]"  # a token's row of a table is the input
    assert lines[f"h_t = tanh({read} + h_(t-1) @ W_hh)"] == (1, 2, 3, 4)
    assert not several or lines["x_t = E[given_t]"] == (1, 2, 3, 4)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_words_of_sentences_are_written_once_for_all_sentences(own, first, double):
    """A cell in a loop over the words of a sentence, in a loop over sentences; the words begin anew every time."""
    w, u, a, b, v = (tg.randn(*s).requires_grad_() for s in ((2, 3), (3, 3), (3, 3), (3, 3), (3, 4)))
    below, above = tg.nn.GRUCell(2, 3), tg.nn.GRUCell(3, 3)
    x, state, loss = tg.randn(*((3, 2) if first else (2, 3)), 1, 2), tg.zeros(1, 3), 0.0
    for i in range(3):
        h = tg.zeros(1, 3) if own else None
        for j in range(2):
            read = x[i, j] if first else x[j, i]
            h = tg.tanh(read @ w + h @ u) if own else below(read, h)
        state = tg.tanh(h @ a + state @ b) if own else above(h, state)
        loss = loss + cross_entropy(state @ v, [i])
    found = viz.derive(loss)
    assert_true(found)
    assert all(line.steps or line.left.step is None for line in found.recurrence if not line.left.gradient), found
    read = "[t-1, k-1]" if first else "[k-1, t-1]"
    assert [line.text for line in found.recurrence if read in line.text] == [f"x_(t,k) = given{read}"]


def test_a_recurrence_that_begins_with_an_element_of_the_data_is_written_once(double):
    """A tree that leans to the left: what it begins with is a state, and no step that lacks something."""
    left, right, v = (tg.randn(3, 3).requires_grad_() for _ in range(3))
    left.name, right.name = "A", "B"
    e = tg.randn(5, 1, 3)
    h = e[0]
    for t in range(1, 5):
        h = tg.tanh(h @ left + e[t] @ right)
    found = viz.derive(cross_entropy(h @ v, [0]))
    assert_true(found)
    assert "h_t = tanh(h_(t-1) @ A + x_t @ B)" in [line.text for line in found.recurrence]


def test_what_attention_reads_of_each_step_of_an_encoder_is_written_once(double):
    names = ("W", "U", "K", "Q", "a", "Z", "V")
    w, u, k, q, a, z, v = (tg.randn(3, 1 if n == "a" else 3).requires_grad_() for n in names)
    h, states, loss = tg.zeros(1, 3), [], 0.0
    for x in tg.randn(3, 1, 3):
        h = tg.tanh(x @ w + h @ u)
        states.append(h)
    for t in range(4):
        scores = tg.concat([tg.tanh(one @ k + h @ q) @ a for one in states], 1).softmax(-1)
        h = tg.tanh(sum(scores[:, n : n + 1] * one for n, one in enumerate(states)) @ z)
        loss = loss + cross_entropy(h @ v, [t % 3])
    found = viz.derive(loss)
    assert_true(found)
    apart = [line.text for line in found.recurrence if line.left.step and not line.left.gradient and not line.steps]
    assert not apart


def test_an_input_that_the_next_step_reads_again_is_that_of_the_step_before(double):
    w, d, u, v = (tg.randn(3, 3).requires_grad_() for _ in range(4))
    w.name, d.name, u.name = "W", "D", "U"
    xs, h, loss = [tg.zeros(1, 3), *(tg.randn(1, 3) for _ in range(5))], tg.zeros(1, 3), 0.0
    for t in range(1, 6):
        h = tg.tanh(xs[t] @ w + xs[t - 1] @ d + h @ u)
        loss = loss + cross_entropy(h @ v, [t % 3])
    found = viz.derive(loss)
    assert_true(found)
    assert "h_t = tanh(x_t @ W + x_(t-1) @ D + h_(t-1) @ U)" in [line.text for line in found.recurrence]


def test_a_state_of_less_precision_than_the_inputs_splits_off_no_step():
    """A layer's own zeros and weights, and data as NumPy makes it."""
    out, _ = tg.nn.RNN(2, 3)(tg.tensor(np.random.default_rng(0).normal(size=(4, 1, 2))))
    lines = [line.text for line in viz.derive(out.square().sum()).recurrence]
    assert "dL/dW_hh = sum((dh_t * (1 - h_t**2)).T @ h_(t-1) for t=1..4)" in lines


@pytest.mark.parametrize("tied", [False, True])
def test_the_rows_of_a_table_are_inputs_and_the_table_is_none(tied, double):
    table, w, u, v = (tg.tensor(tg.randn(n, 3).numpy(), requires_grad=True) for n in (5, 3, 3, 5))
    table.name, w.name, u.name, v.name = "EWUV"
    h, loss = tg.zeros(1, 3), 0.0
    for t in range(4):
        h = tg.tanh(table[[t]] @ w + h @ u)
        loss = loss + cross_entropy(h @ (table if tied else v).T, [t + 1])
    found = viz.derive(loss)
    assert_true(found)
    lines = [line.text for line in found.recurrence]
    assert "x_t = E[given_t]" in lines and "h_t = tanh(x_t @ W + h_(t-1) @ U)" in lines
    assert "x₄" in viz.render(loss).dot


def differences(x):
    w, u = (tg.randn(2, 2).requires_grad_() for _ in range(2))
    states = [tg.zeros(1, 2)]
    for t in range(5):
        states.append(tg.tanh(x[t] @ w + states[-1] @ u))
    return sum(((a - b) ** 2).sum() for a, b in pairwise(states[1:]))


def two_bidirectional_layers(x):
    read, loss = [x[t] for t in range(5)], 0.0
    for size in (2, 4):
        passes = []
        for each in (read, read[::-1]):
            w, u, h, made = tg.randn(size, 2).requires_grad_(), tg.randn(2, 2).requires_grad_(), tg.zeros(1, 2), []
            for element in each:
                h = tg.tanh(element @ w + h @ u)
                made.append(h)
            passes.append(made)
        read = [tg.concat(both, -1) for both in zip(passes[0], passes[1][::-1])]
    for t, both in enumerate(read):
        loss = loss + cross_entropy(both, [t % 4])
    return loss


@pytest.mark.parametrize("program", [differences, two_bidirectional_layers])
def test_what_reads_neighbouring_steps_beside_the_loop_is_written_once(program, double):
    found = viz.derive(program(tg.randn(5, 1, 2)))
    assert_true(found)
    for line in found.recurrence:
        assert line.steps or line.left.step in (None, 1, 5), str(found)  # the ends of a sequence


def test_the_parts_of_a_product_that_are_gates_are_called_so(double):
    m, x, loss = tg.randn(5, 12).requires_grad_(), tg.randn(4, 1, 2), 0.0
    h = c = tg.zeros(1, 3)
    for t in range(4):
        i, f, g, o = (tg.concat([x[t], h], -1) @ m).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        loss = loss + (h**2).sum()
    found = viz.derive(loss)
    assert_true(found)
    lines = [line.text for line in found.recurrence]
    assert "i_t = sigmoid(a_t[:, 0:3])" in lines and "c_t = f_t * c_(t-1) + i_t * g_t" in lines, str(found)


def test_a_layer_of_a_list_is_called_as_the_list_is(double):
    class Layers(tg.nn.Module):
        def __init__(self):
            self.layers = tg.nn.ModuleList([tg.nn.Linear(2, 2), tg.nn.Linear(2, 2)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).tanh()
            return x.sum()

    found = viz.derive(Layers()(tg.ones(1, 2)))
    assert_true(found)
    assert {"layers_0.weight", "layers_1.bias"} <= {line.left.stem for line in found.lines}, str(found)


def test_a_layer_that_only_has_a_number_is_called_a_layer(double):
    found = viz.derive(tg.nn.Sequential(tg.nn.Linear(2, 2), tg.nn.Tanh(), tg.nn.Linear(2, 2))(tg.ones(1, 2)).sum())
    assert_true(found)
    assert {"layer0.weight", "layer2.bias"} <= {line.left.stem for line in found.lines}, str(found)
    assert not [line.left.stem for line in found.lines if line.left.stem.startswith("_")], str(found)


@given(nested())
@example(Nested((2, 1, 1), "lstm", "gru"))
@examples(10, 300)
def test_the_equations_of_a_loop_in_a_loop_hold(program):
    found = viz.derive(program.loss())
    assert_true(found, 1e-8)
    tensors = found.graph.tensors()
    tensors[found.graph.outputs[0]].backward()
    told = {line.node: found.values[line.name] for line in found.lines if line.left.gradient}
    for node in found.graph.parameters:
        np.testing.assert_allclose(told[node.index], tensors[node.index].grad.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("keep", [list, lambda parts: dict(zip("0123", parts)).values(), tuple])
def test_gates_that_the_program_calls_nothing_are_what_they_do(keep, double):
    m, x, loss = tg.randn(5, 12).requires_grad_(), tg.randn(4, 1, 2), 0.0
    h = c = tg.zeros(1, 3)
    for t in range(4):
        parts = [*keep((tg.concat([x[t], h], -1) @ m).chunk(4, -1))]
        c = parts[2].sigmoid() * c + parts[0].tanh() * parts[1].sigmoid()
        h = parts[3].sigmoid() * c.tanh()
        loss = loss + (h**2).sum()
    found = viz.derive(loss)
    assert_true(found)
    lines = [line.text for line in found.recurrence]
    assert "c_t = f_t * c_(t-1) + g_t * i_t" in lines and "h_t = o_t * tanh(c_t)" in lines, str(found)


def weight(rows, columns):
    return tg.tensor(0.5 * tg.randn(rows, columns).numpy(), requires_grad=True)


def letters_of_words(steps=range):
    """A cell over the letters of each word, and one over the words."""
    w, u, a, b, v = weight(2, 3), weight(3, 3), weight(3, 3), weight(3, 3), weight(3, 2)
    x, h, loss = tg.randn(12, 1, 2), tg.zeros(1, 3), 0.0
    for t in steps(3):
        s = tg.zeros(1, 3)
        for k in range(4):
            s = tg.tanh(x[4 * t + k] @ w + s @ u)
        h = tg.tanh(s @ a + h @ b)
        loss = loss + cross_entropy(h @ v, [t % 2])
    return loss


def substeps(steps=range, heun=False):
    """An ODE that is solved in substeps between two observations."""
    w, u, a, v = weight(3, 3), weight(2, 3), weight(3, 3), weight(3, 2)
    x, h, loss = tg.randn(3, 1, 2), tg.zeros(1, 3), 0.0
    for t in steps(3):
        for _ in range(4):
            slope = tg.tanh(h @ w)
            if heun:
                slope = 0.5 * (slope + tg.tanh((h + 0.1 * slope) @ w))
            h = h + 0.1 * slope
        h = tg.tanh(x[t] @ u + h @ a)
        loss = loss + cross_entropy(h @ v, [t % 2])
    return loss


def highway(steps=range):
    """The layers of a recurrent highway network, whose last one is the state."""
    u, w, g, v = weight(2, 3), weight(3, 3), weight(3, 3), weight(3, 2)
    x, h, loss = tg.randn(3, 1, 2), tg.zeros(1, 3), 0.0
    for t in steps(3):
        h = h + x[t] @ u
        for _ in range(4):
            h = h + (h @ g).sigmoid() * (tg.tanh(h @ w) - h)
        loss = loss + cross_entropy(h @ v, [t % 2])
    return loss


def decoded(steps=range):
    """Each step's state is decoded into four letters, each fed back."""
    u, w, a, b, v = weight(2, 3), weight(3, 3), weight(2, 3), weight(3, 3), weight(3, 2)
    x, h, loss = tg.randn(3, 1, 2), tg.zeros(1, 3), 0.0
    for t in steps(3):
        h = tg.tanh(x[t] @ u + h @ w)
        s, y = h, tg.zeros(1, 2)
        for k in range(4):
            s = tg.tanh(y @ a + s @ b)
            y = s @ v
            loss = loss + cross_entropy(y, [k % 2])
    return loss


@pytest.mark.parametrize("steps", [range, tg.steps])
@pytest.mark.parametrize(
    ("program", "network", "gradient"),
    [
        (
            letters_of_words,
            ["x_(t,k) = given[4*(t-1)+k-1]", "s_(t,k) = tanh(x_(t,k) @ W_xh + s_(t,k-1) @ W1)"],
            "dL/ds_(t,k) = (ds_(t,k+1) * (1 - s_(t,k+1)**2)) @ W1.T",
        ),
        (
            substeps,
            ["s_(t,0) = h_(t-1)", "s_(t,k) = s_(t,k-1) + 0.1 * tanh(s_(t,k-1) @ W1)"],
            "dL/dW1 = sum(s_(t,k-1).T @ dmatmul_(t,k) for t=1..3 for k=1..4)",
        ),
        (
            highway,
            [
                "s_(t,0) = h_(t-1) + x_t @ W_xh",
                "s_(t,k) = s_(t,k-1) + sigmoid(s_(t,k-1) @ W2) * (tanh(s_(t,k-1) @ W1) - s_(t,k-1))",
                "h_t = s_(t,4)",
            ],
            "dL/ds_(t,4) = dh_t",
        ),
        (
            decoded,
            [
                "s_(t,0) = h_t",
                "s_(t,k) = tanh(y_(t,k-1) @ W1 + s_(t,k-1) @ W2)",
                "y_(t,k) = s_(t,k) @ W3",
                "L = sum(L_(t,k) for t=1..3 for k=1..4)",
            ],
            "dL/ds_(t,k) = dy_(t,k) @ W3.T + (ds_(t,k+1) * (1 - s_(t,k+1)**2)) @ W2.T",
        ),
    ],
)
def test_a_loop_in_a_loop_is_written_once_with_an_index_of_its_own(program, network, gradient, steps, double):
    found = viz.derive(program(steps))
    assert_true(found)
    lines = [line.text for line in found.recurrence]
    assert {*network, gradient} <= {*lines}, str(found)
    inside = [line for line in found.recurrence if line.left.inner and not line.left.gradient]
    assert all((line.steps, line.inner) == ((1, 2, 3), (1, 2, 3, 4)) for line in inside), str(found)
    printed = str(found)
    assert "# t = 1..3, k = 1..4, node #" in printed and r"s_{t, k-1}" in found.latex()


def test_substeps_of_two_slopes_are_written_once(double):
    found = viz.derive(substeps(heun=True))
    assert_true(found)
    assert len(found.recurrence) < 25, str(found)
    for line in found.recurrence:
        if line.left.inner and not line.left.gradient:
            assert (line.steps, line.inner) == ((1, 2, 3), (1, 2, 3, 4)), str(found)


def test_repetitions_of_different_numbers_are_told_by_the_steps_that_have_them(double):
    w, u, a, b, v = weight(2, 3), weight(3, 3), weight(3, 3), weight(3, 3), weight(3, 2)
    x, h, loss, read = tg.randn(8, 1, 2), tg.zeros(1, 3), 0.0, 0
    for t, letters in enumerate((3, 3, 2)):
        s = tg.zeros(1, 3)
        for _ in range(letters):
            s, read = tg.tanh(x[read] @ w + s @ u), read + 1
        h = tg.tanh(s @ a + h @ b)
        loss = loss + cross_entropy(h @ v, [t % 2])
    found = viz.derive(loss)
    assert_true(found)
    cell = "s_(t,k) = tanh(x_(t,k) @ W_xh + s_(t,k-1) @ W1)"
    assert [(line.text, line.steps, line.inner) for line in found.recurrence if line.left.stem == "s"][:2] == [
        (cell, (1, 2), (1, 2, 3)),
        (cell.replace("t,", "3,"), None, (1, 2)),
    ]
