"""What a primitive is stands in one place: a new one, written as one record and one kernel, is known everywhere."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
from sources import parsed

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.compiler import kernel
from tinygrad_rnn.primitives import broadcast, same_shape
from tinygrad_rnn.testing import PrimitiveError, check_primitive, elementwise

ROOT = Path(__file__).parent.parent


def define() -> tg.Primitive:
    """``x sigmoid(x)``, its derivative written with the functions that a user knows."""
    return tg.Primitive(
        "own_swish",
        "swish",
        same_shape,
        lambda x: x / (1 + np.exp(-x)),
        vjp=(lambda g, y, x: g * (y + tg.sigmoid(x) * (1 - y)),),
        rule=(r"\bar x = \bar y \odot (y + \sigma(x) \odot (1 - y))",),
        sentence="multiplies its gradient by the slope of swish{slope}, for {targets}",
    )


swish = define()


@kernel(swish)
def swish_of_one(x):
    return x / (1 + math.exp(-x))


del tg.TABLE["own_swish"]  # other files' laws are over the engine's own primitives


@pytest.fixture(autouse=True)
def swish_is_in_the_table(monkeypatch):
    monkeypatch.setitem(tg.TABLE, "own_swish", swish)


# That was all. From here on it is only used ------------------------------------------------------------------


def loss(x: tg.Tensor, weight: tg.Tensor, op: tg.Primitive = swish) -> tg.Tensor:
    h = x
    for _ in tg.steps(3):
        h = op(h @ weight) * 0.5 + x
    return h.sum()


@pytest.fixture(autouse=True)
def _forget_others(_watch_global_state):
    known = dict(tg.TABLE)
    yield
    tg.TABLE.clear()
    tg.TABLE.update(known)


@pytest.fixture
def given() -> tuple[tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(0)
    weight = tg.tensor(rng.normal(size=(5, 5)), requires_grad=True)
    weight.name = "W"
    return tg.tensor(rng.normal(size=(4, 5))), weight


def test_it_is_computed_and_differentiated_twice(given):
    x, weight = given
    np.testing.assert_allclose(swish(x).numpy(), x.numpy() / (1 + np.exp(-x.numpy())))

    def squares(moved: np.ndarray) -> float:
        w = tg.tensor(moved, requires_grad=True)
        return float((tg.grad(loss(x, w), w)[0].numpy() ** 2).sum())

    (first,) = tg.grad(loss(x, weight), weight, create_graph=True)
    (second,) = tg.grad((first * first).sum(), weight)
    step = np.zeros((5, 5))
    step[1, 2] = 1e-6
    slope = (squares(weight.numpy() + step) - squares(weight.numpy() - step)) / 2e-6
    assert second.numpy()[1, 2] == pytest.approx(slope, rel=1e-6)


def test_it_passes_the_tests_of_our_own_and_the_gradient_check(given):
    check_primitive(swish, elementwise("anywhere"))
    assert tg.check_gradients(loss(*given))


def test_a_wrong_rule_of_it_is_found(given):
    wrong = tg.Primitive(
        "own_wrong", "wrong", same_shape, swish.reference, vjp=(lambda g, y, x: g * (y + tg.sigmoid(x) * (1 - x)),)
    )
    with pytest.raises(AssertionError, match="own_wrong"):
        tg.check_gradients(loss(*given, op=wrong))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_compiled_and_runs_in_one_region_with_its_neighbours(given, dtype):
    x, weight = (t.astype(dtype).detach() for t in given)
    weight.requires_grad = True
    step = tg.compile(lambda x, w: tg.grad(loss(x, w), w)[0])
    expected = tg.grad(loss(x, weight), weight)[0].numpy()
    np.testing.assert_allclose(step(x, weight).numpy(), expected, rtol=1e-4 if dtype == np.float32 else 1e-12)
    text = step.explain()
    assert "own_swish 3" in text.split("inside regions: ")[1].splitlines()[0]
    assert "computed by NumPy" not in text


def test_kernels_take_several_operands_and_answer_true_or_false():
    gate = tg.Primitive(
        "own_gate",
        "gate",
        broadcast,
        lambda a, b, c: a * b + c,
        vjp=(lambda g, _y, _a, b, _c: g * b, lambda g, _y, a, _b, _c: g * a, lambda g, _y, _a, _b, _c: g),
    )
    near = tg.Primitive("own_near", "≈", broadcast, lambda a, b: abs(a - b) < 0.5, dtype=tg.TABLE["less"].dtype)
    kernel(gate, operands=3)(lambda a, b, c: a * b + c)
    kernel(near, operands=2)(lambda a, b: abs(a - b) < 0.5)
    x, y = tg.tensor([0.0, 1.0, 2.0]), tg.tensor([0.1, 3.0, 2.4])
    step = tg.compile(lambda x, y: gate(x, y, tg.where(near(x, y), x, y)))
    assert step(x, y).tolist() == gate(x, y, tg.where(near(x, y), x, y)).tolist()
    assert "computed by NumPy" not in step.explain()
    with pytest.raises(tg.ArgumentError, match="not for softmax"):
        kernel(tg.TABLE["softmax"])


def test_without_a_kernel_compiling_says_so_once():
    slow = tg.Primitive("own_slow", "slow", same_shape, lambda x: x * x, vjp=(lambda g, _y, x: 2 * g * x,))
    with pytest.warns(
        RuntimeWarning, match=r"own_slow \(at .*test_one_record.py:\d+\) has no kernel: .*compiler.kernel"
    ) as said:
        assert tg.compile(lambda x: slow(x) + 1)(tg.tensor([3.0])).tolist() == [10.0]
    assert tg.compile(lambda x: slow(x) + 2)(tg.tensor([3.0])).tolist() == [11.0]
    assert said[0].filename == __file__


LIES = {
    "longer": (same_shape, lambda a: a[:2], ""),
    "shorter, where it broadcasts": (same_shape, lambda a: a.sum(), ""),
    "wider, where it broadcasts": (lambda s: (2, *s), lambda a: 2 * a, ""),
    "with a kernel": (lambda s: (2, *s), lambda a: 2 * a, "elementwise"),
}


@pytest.mark.filterwarnings("ignore:own_liar .* through Python")
@pytest.mark.parametrize("lie", LIES)
def test_a_shape_rule_that_lies_is_found_when_compiled(lie):
    shape, reference, kind = LIES[lie]
    lying = tg.Primitive("own_liar", "l", shape, reference, kind=kind)
    if kind:
        kernel(lying)(lambda a: 2 * a)
    with pytest.raises(tg.ShapeError, match=r"^own_liar: its shape rule says .*, but its result has ") as said:
        tg.compile(lambda x: lying(x) + 1)(tg.ones(4))
    assert "[at test_one_record.py:" in str(said.value)


def test_a_process_may_have_any_number_of_kernels():
    again = own("again")
    for _ in range(4200):
        kernel(again)(lambda a: 2 * a)
    assert tg.compile(lambda x: again(x) + 1)(tg.ones(2)).tolist() == [3.0, 3.0]


def own(name: str, shape=same_shape, reference=lambda a: 2 * a, **record) -> tg.Primitive:
    return tg.Primitive(f"own_{name}", name, shape, reference, **record)


def difference(name: str) -> tg.Primitive:
    return own(name, broadcast, lambda a, b: a - 2 * b)


def kernel_that_varies(a, *, by=1.0):
    return by * a


def kernel_that_asserts(a):
    assert a > 0
    return 2 * a


@pytest.mark.parametrize(
    ("enter", "words"),
    [
        (lambda: kernel("cube"), "for a Primitive, not for 'cube'"),
        (lambda: kernel(None), "for a Primitive, not for None"),
        (lambda: kernel(own("a"), operands="x"), r"own_a takes 1 operand\(s\); .* not operands='x'"),
        (lambda: kernel(own("b"), operands=2), r"own_b takes 1 operand\(s\); .* not operands=2"),
        (lambda: kernel(difference("c"), operands=1), r"own_c takes 2 operand\(s\)"),
        (lambda: kernel(own("d", broadcast, lambda *all_of_them: sum(all_of_them))), "any number of operand"),
        (lambda: kernel(own("e", reference=np.tanh), operands=2), r"own_e takes 1 operand\(s\)"),
        (lambda: kernel(own("f", reference=lambda a, *, by=1.0: by * a)), "own_f has a setting, by"),
        (lambda: kernel(own("g"))(3), "own_g must be a function written in Python.* not 3"),
        (lambda: kernel(own("h"))(math.exp), "own_h must be a function written in Python"),
        (lambda: kernel(difference("i"))(lambda a: a), r"own_i is called with 2 number\(s\).* takes \(a\)"),
        (lambda: kernel(own("j"))(lambda a, b: a - b), r"own_j is called with 1 number\(s\).* takes \(a, b\)"),
        (lambda: kernel(own("l"))(kernel_that_asserts), "own_l raises, or asserts"),
        (lambda: kernel(own("k"))(kernel_that_varies), r"kernel_that_varies takes \(a, \*, by=1.0\)"),
    ],
)
def test_a_kernel_that_does_not_fit_its_primitive_is_refused_in_one_line(enter, words):
    with pytest.raises(tg.ArgumentError, match=words) as refused:
        enter()
    assert "\n" not in str(refused.value)


def test_a_kernel_has_as_many_operands_as_its_primitive():
    minus = difference("minus")
    kernel(minus)(lambda a, b: a - 2 * b)
    x = tg.tensor([3.0, -2.0])
    step = tg.compile(lambda x: minus(x, x * x) + 0)
    assert step(x).tolist() == minus(x, x * x).tolist()
    assert "computed by NumPy" not in step.explain()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x * undefined_name, "'undefined_name' is not defined"),  # noqa: F821
        (lambda x: np.linalg.nothing(x), "no attribute 'nothing'"),
        (lambda x: (x, x), "no real number"),
    ],
)
def test_what_numba_cannot_compile_is_one_line(function, words):
    bad = own("bad")
    kernel(bad)(function)
    with pytest.raises(tg.ArgumentError, match=rf"kernel of own_bad.*test_one_record.py:\d+.*{words}") as refused:
        tg.compile(lambda x: bad(x) + 0)(tg.tensor([1.0]))
    assert "\n" not in str(refused.value)


def test_settings_and_other_operands_than_the_kernels_are_computed_by_the_reference():
    scaled = own("scaled", reference=lambda a, **settings: settings.get("by", 2.0) * a)
    total = own("total", broadcast, lambda *all_of_them: sum(all_of_them))
    kernel(scaled)(lambda a: 2 * a)
    kernel(total, operands=2)(lambda a, b: a + b)
    x = tg.tensor([3.0, -2.0])
    step = tg.compile(lambda x: total(scaled(x), x))
    assert step(x).tolist() == [9.0, -6.0]
    assert "computed by NumPy" not in step.explain()
    with pytest.warns(RuntimeWarning, match="own_scaled .* has settings here, or another number of operands"):
        assert tg.compile(lambda x: scaled(x, by=3.0) + 0)(x).tolist() == [9.0, -6.0]
    with pytest.warns(RuntimeWarning, match="own_total .* has settings here, or another number of operands"):
        assert tg.compile(lambda x: total(x, x, x) + 0)(x).tolist() == [9.0, -6.0]


def test_a_primitive_that_no_kernel_can_be_for_says_so_once():
    last = own("last", lambda x: x[:-1], lambda x: x[..., -1], kind="reduction")
    with pytest.warns(RuntimeWarning, match="own_last .* is of kind 'reduction'.* through Python, a call for every"):
        assert tg.compile(lambda x: last(x) + 1)(tg.ones(2, 3)).tolist() == [2.0, 2.0]
    assert tg.compile(lambda x: last(x) + 2)(tg.ones(2, 3)).tolist() == [3.0, 3.0]


def test_a_kernel_that_computes_something_else_breaks_a_law():
    twice = own("twice", vjp=(lambda g, _y, _a: 2 * g,))
    kernel(twice)(lambda a: 3 * a)
    with pytest.raises(PrimitiveError, match="own_twice: the value in a compiled program is"):
        check_primitive(twice, elementwise("anywhere"))


def test_a_rule_that_chooses_keeps_all_digits():
    leaky = own(
        "leaky",
        reference=lambda x: np.where(x.real > 0, x, 0.1 * x),
        vjp=(lambda g, _y, x: np.where(x > 0, g, 0.1 * g),),
    )
    check_primitive(leaky, elementwise("nonzero"))
    x = tg.tensor([3.0, -2.0], dtype=np.float64, requires_grad=True)
    assert tg.check_gradients(leaky(x).sum(), order=2)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_a_compiled_program_knows_its_dtype(kind):
    x = tg.tensor(np.arange(3).astype(kind))
    expected = np.float64 if kind is np.float64 else np.float32
    assert swish(x).dtype == tg.compile(lambda x: swish(x) + 1)(x).dtype == expected


def test_it_is_drawn(given):
    assert "swish" in viz.render(loss(*given), detail="op").svg


def test_it_is_stepped_through_and_spoken_of(given):
    session = viz.debug(loss(*given))
    said = [session.sentence(position) for position in range(session.first, session.last + 1)]
    assert sum("by the slope of swish (here" in each for each in said) == 3


OWN_GATES = {
    "tanh": tg.Primitive("own_tanh", "tanh", same_shape, np.tanh, vjp=(lambda g, y, _x: g * (1 - y * y),)),
    "sigmoid": tg.Primitive(
        "own_sigmoid", "σ", same_shape, tg.TABLE["sigmoid"].reference, vjp=(lambda g, y, _x: g * (y * (1 - y)),)
    ),
}
for _op in OWN_GATES.values():
    del tg.TABLE[_op.name]


@pytest.mark.parametrize("gated", [False, True])
def test_nonlinearities_saturate_bound_and_name_their_inputs_by_their_record(gated):
    found = []
    for ops in (tg.TABLE, OWN_GATES):
        weight = tg.tensor(np.eye(3) * 1.5, requires_grad=True)
        h = tg.tensor([[2.0, -0.3, 0.1]])
        for _ in tg.steps(3):
            a = tg.nn.functional.linear(h, weight)
            if gated:
                a = a + tg.nn.labelled(ops["sigmoid"](h @ weight), "f")
            h = tg.nn.labelled(ops["tanh"](a), "h")
        session = viz.debug(h.sum())
        names = [session.shown(node.index) for node in session.graph.nodes]
        flat = [session.measures(p)["saturated"] for p in range(session.last + 1)]
        found.append((names, flat, session.gains()))
    assert found[0] == found[1]
    names, flat, gains = found[0]
    assert ("a_f2" in names) == gated and any(flat)
    # of a cell with a gate that reads the state too, the weight and the slope are no bound
    assert all(gain.bound is None if gated else gain.sigma <= gain.bound for gain in gains)


def test_it_is_derived(given):
    equations = viz.derive(loss(*given), "W")
    assert "own_swish(" in str(equations)


def test_defined_again_it_takes_the_place_of_its_former_self(given):
    before, again = loss(*given).item(), define()
    assert tg.TABLE["own_swish"] is again is not swish
    assert loss(*given, op=again).item() == before
    again_of_one = kernel(again)(lambda x: x / (1 + math.exp(-x)))
    assert again_of_one(0.0) == 0.0
    step = tg.compile(lambda x, w: loss(x, w, again))
    assert step(*given).item() == pytest.approx(before)
    graph = tg.Graph(loss(*given, op=again))
    assert graph.values()[-1] == pytest.approx(before)


# Nobody else lists primitives --------------------------------------------------------------------------------

#: Files that name several primitives, and why.
EXCEPTIONS = {
    "tinygrad_rnn/bptt/state_rows.py": "by what a program packs a state up in one step, and unpacks it in the next",
    "tinygrad_rnn/compiler/machine_code.py": "functions of the C library, some of which have the same names",
    "tinygrad_rnn/compiler/opcodes.py": "the compiler's registry: its instruction set",
    "tinygrad_rnn/compiler/instructions/elementwise.py": "the same registry: what an instruction computes",
    "tinygrad_rnn/nn/activations.py": "names that a user may give for a cell's nonlinearity",
    "tinygrad_rnn/numpy_protocol.py": "NumPy's functions that have a counterpart",
    "tinygrad_rnn/testing/accuracy.py": "the tests' registry: which exact functions to compare with",
    "tinygrad_rnn/testing/sample_operands.py": "the tests' registry: which operands make sense",
    "viz/graph/time_columns.py": "what a program may compute probabilities, masks and means of",
    "viz/style.py": "LaTeX's commands, some of which have the same names",
}
#: several for one reason: reason, folder, files
_SEVERAL = [
    (
        "mistakes that are made in the rules of some operations only, as a student writes them",
        "tinygrad_rnn/diagnosis",
        "edits_of_leaves edits_of_numbers edits_of_saved_values edits_of_uses edits_read_off local_derivatives "
        "rules_as_text stand_ins student_names",
    ),
    (
        "another format's operators, some of which have the same names",
        "tinygrad_rnn/interchange",
        "composed_operators export/onnx_file/rules export/xla/rules pytorch/calls/arithmetic pytorch/calls/shapes",
    ),
    (
        "another format's names of a cell's nonlinearities",
        "tinygrad_rnn/interchange",
        "export/onnx_file/recording onnx/operators/recurrent weights/whole_models",
    ),
    (
        "the operations of formulas, which are fewer and have registries of their own",
        "viz/equations",
        "documents expression formula_text from_graph jacobians naming",
    ),
]
EXCEPTIONS |= {f"{folder}/{file}.py": reason for reason, folder, files in _SEVERAL for file in files.split()}


_QUOTED = re.compile("|".join(rf'"{name}"|P\.{name}' for name in tg.TABLE))


def primitive(each: ast.AST | None) -> str | None:
    """The primitive that an expression names: as a text, or as ``P.name``."""
    if isinstance(each, ast.Constant) and isinstance(each.value, str):
        name = each.value
    elif isinstance(each, ast.Attribute) and getattr(each.value, "id", "") == "P":
        name = "pow" if each.attr == "power" else each.attr.rstrip("_")
    else:
        return None
    return name if name in tg.TABLE else None


def registries(tree: ast.Module) -> set[ast.AST]:
    """What a module may say of primitives one by one: tables of its own whose keys they are; and ``__all__``."""
    found: set[ast.AST] = set()
    for line in tree.body:
        if isinstance(line, ast.Assign | ast.AnnAssign):
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            keys = line.value.keys if isinstance(line.value, ast.Dict) else []
            of_primitives = bool(keys) and all(isinstance(key, ast.Attribute) for key in keys)
            if line.value is not None and (of_primitives or getattr(targets[0], "id", "") == "__all__"):
                found.add(line.value)
    return found


def listed(text: str) -> list[tuple[int, list[str]]]:
    """Literal collections (or cases) that name two primitives or more: line and names."""
    found: list[tuple[int, list[str]]] = []
    if len(_QUOTED.findall(text)) < 2:
        return found
    tree = parsed(text)
    allowed = registries(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            entries: list[ast.AST | None] = list(node.elts)
        elif isinstance(node, ast.Dict):
            entries = list(node.keys)
        elif isinstance(node, ast.Match):
            entries = [part.value for case in node.cases for part in ast.walk(case) if isinstance(part, ast.MatchValue)]
        else:
            continue
        names = sorted({name for each in entries if (name := primitive(each)) is not None})
        if len(names) >= 2 and node not in allowed:
            found.append((node.lineno, names))
    return found


def asked(text: str) -> list[tuple[int, list[str]]]:
    """Functions that ask in conditions for four primitives or more, one after the other: line and names."""
    found = []
    if len(_QUOTED.findall(text)) < 2:
        return found
    for function in ast.walk(parsed(text)):
        if isinstance(function, ast.FunctionDef):
            conditions = [node.test for node in ast.walk(function) if isinstance(node, ast.If | ast.IfExp)]
            compared = [node for test in conditions for node in ast.walk(test) if isinstance(node, ast.Compare)]
            sides = [side for node in compared for side in (node.left, *node.comparators)]
            sides += [each for side in sides if isinstance(side, ast.Tuple | ast.List | ast.Set) for each in side.elts]
            names = sorted({name for side in sides if (name := primitive(side)) is not None})
            if len(names) >= 4:
                found.append((function.lineno, names))
    return found


def test_no_file_but_the_records_and_registries_lists_primitives():
    files = [p for part in ("tinygrad_rnn", "viz") for p in sorted((ROOT / part).rglob("*.py"))]
    texts = {p.relative_to(ROOT).as_posix(): p.read_text("utf-8") for p in files}
    lists = {p: listed(text) + asked(text) for p, text in texts.items()}
    lists = {p: found for p, found in lists.items() if found and not p.startswith("tinygrad_rnn/primitives/")}
    assert {p: f for p, f in lists.items() if p not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() - lists.keys() == set(), "an exception without need"


@pytest.mark.parametrize(
    "text",
    [
        'if op.name in ("linear", "matmul"): pass',
        "JOINS = (P.concat, P.stack)",
        'names = {"tanh": 1, "sigmoid": 2}',
        'RULES = {P.tanh: 1, **{"relu": 2, "sigmoid": 3}}',
        "def f(op):\n    if op is P.add: return 1\n    if op is P.mul: return 2\n    if op.name == 'neg': return 3\n"
        "    return 4 if op is not P.power else 5",
    ],
)
def test_a_list_of_primitives_is_found(text):
    assert listed(text) or asked(text)


@pytest.mark.parametrize(
    "text",
    [
        "RULES = {P.tanh: 1, P.sigmoid: 2}",
        '__all__ = ["tanh", "relu"]',
        "def f(op):\n    if op is P.add: return 1\n    return 2 if op is P.mul else 3",
    ],
)
def test_a_table_and_a_rule_of_one_primitive_are_none(text):
    assert not listed(text) and not asked(text)
