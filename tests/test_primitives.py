"""Every primitive of the table obeys the same laws; and the laws themselves can fail."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.testing import (
    RECIPES,
    Case,
    PrimitiveError,
    Source,
    check_case,
    check_primitive,
    elementwise,
    recipe_for,
)

NAMES = list(tg.TABLE)


@pytest.mark.parametrize("name", NAMES)
def test_obeys_the_laws(name: str, warm_kernels: None) -> None:
    check_primitive(tg.TABLE[name])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_obeys_the_laws_on_any_operands(name: str, data: st.DataObject, seed: int) -> None:
    source = Source(seed, integer=lambda low, high: data.draw(st.integers(low, high)))
    check_case(tg.TABLE[name], recipe_for(tg.TABLE[name])(source), seed)


def test_every_recipe_is_for_a_primitive_that_exists() -> None:
    assert set(RECIPES) == set(tg.TABLE)


def test_a_primitive_is_known_by_its_name() -> None:
    assert repr(tg.TABLE["matmul"]) == "<primitive matmul>"
    assert {tg.TABLE["add"]: 1}.get(tg.TABLE["mul"]) is None  # a key of tables


def test_a_number_takes_the_dtype_of_the_other_branch() -> None:
    where, condition, x = tg.TABLE["where"], np.array([True, False]), np.array([1, 2], np.float32)
    assert where(condition, x, 0.5).dtype == where(condition, 0.5, x).dtype == np.float32
    assert where(condition, 0.5, 2).tolist() == [0.5, 2.0]


def test_the_complex_absolute_value_continues_the_real_one_through_zero() -> None:
    assert tg.TABLE["abs"](np.array([0j, -2 + 1e-30j, 3 + 1e-30j])).tolist() == [0, 2 - 1e-30j, 3 + 1e-30j]


def test_differentiable_primitives_have_their_rules_as_text() -> None:
    for primitive in tg.TABLE.values():
        if isinstance(primitive.vjp, tuple):
            assert len(primitive.rule) == len(primitive.vjp), primitive.name
            assert all(bool(text) == (rule is not None) for text, rule in zip(primitive.rule, primitive.vjp)), (
                primitive.name
            )
        else:
            assert len(primitive.rule) == 1, primitive.name


def test_kernels_are_plain_python_when_not_compiled() -> None:
    """JIT or no JIT: the same laws hold."""
    program = (
        "import tinygrad_rnn as tg; from tinygrad_rnn.testing import check_primitive\n"
        "for p in list(tg.TABLE.values()):\n"
        "    if p.kernel: check_primitive(p, rounds=2); print(p.name)"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [p.name for p in tg.TABLE.values() if p.kernel]


# The laws can fail: one primitive, spoilt in as many ways ----------------------------------------------------


def square(**changes: object) -> tg.Primitive:
    settings = {
        "name": "test_square",
        "symbol": "x²",
        "shape": lambda x: x,
        "reference": lambda x: x * x,
        "vjp": (lambda g, _y, x: 2 * g * x,),
    }
    tg.TABLE.pop("test_square", None)
    return tg.Primitive(**{**settings, **changes})


@pytest.fixture
def _forget_square():
    yield
    tg.TABLE.pop("test_square", None)


def _writes(x: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(x):
        return x * x
    np.multiply(x, x, out=x)
    return x.copy()


def _one_result() -> Callable[[np.ndarray], np.ndarray]:
    results: dict[object, np.ndarray] = {}

    def square(x: np.ndarray) -> np.ndarray:
        y = results.setdefault((x.shape, x.dtype), np.empty_like(x))
        return np.multiply(x, x, out=y)

    return square


def _counting() -> Callable[[np.ndarray], np.ndarray]:
    calls = count()
    return lambda x: x * x + 1e-12 * next(calls)


SPOILT = {
    "wrong factor": ({"vjp": (lambda g, _y, x: 1.999999 * g * x,)}, "the gradient of operand 0 is"),
    "shifted": ({"vjp": (lambda g, _y, x: 2 * g * x + 1e-9,)}, "the gradient of operand 0 is"),
    "not linear": ({"vjp": (lambda g, _y, x: 2 * g * x + 1e-9 * g * g,)}, "gradient of operand 0"),
    "wrong shape rule": ({"shape": lambda x: (*x, 1)}, "the shape rule says"),
    "always double": ({"reference": lambda x: x * x.astype(np.result_type(x, float))}, "float32 operands give"),
    "always double when compiled": ({"dtype": lambda _kinds: np.dtype(float)}, "the dtype rule says float64"),
    "writes its operand": ({"reference": _writes}, "writes to what it was given"),
    "shares memory": ({"reference": lambda x: x, "vjp": (lambda g, _y, _x: g,)}, "shares memory with an operand"),
    "lies to the guard": ({"vjp": (lambda g, _y, _x: 2 * g * _x,)}, "leading underscore"),
    "numb second derivative": (
        {"vjp": (lambda g, _y, x: 2 * g * (x.detach() * 1 if isinstance(x, tg.Tensor) else x),)},
        "second derivative",
    ),
    "accumulates wrongly": ({"accumulate": lambda buffer, g, _y, x: buffer.__iadd__(g * x)}, "operand 0"),
    "rule fails": ({"shape": lambda x: x if len(x) < 3 else x[99]}, "the shape rule"),
    "gradient fails": ({"vjp": (lambda g, _y, x: {}["g"] * x,)}, "it fails with KeyError: 'g'"),
    "no rule": ({"vjp": (None,)}, "operand 0 has no rule, but the result depends on it"),
    "counts its calls": ({"reference": _counting()}, "two equal calls give different results"),
    "chance in a rule": (
        {"vjp": (lambda g, _y, x: 2 * g * x * (1 + np.random.default_rng().random() / 1e4),)},
        "two answers",
    ),
    "nan in a rule": ({"vjp": (lambda g, _y, x: 2 * g * x * np.nan,)}, "the gradient of operand 0 is nan"),
    "no answer": ({"vjp": (lambda _g, _y, _x: None,)}, r"operand 0 gives NoneType\[\], not an array"),
    "misshapen answer": ({"vjp": (lambda g, _y, x: np.resize(g * x, (7, 5)),)}, r"gives ndarray\[7, 5\]"),
    "another function of complex numbers": (
        {"reference": lambda x: x * x + 1e-6 * np.iscomplexobj(x)},
        "value of complex operands",
    ),
    "one result for all calls": ({"reference": _one_result()}, "shares memory with an earlier call's"),
}


@pytest.mark.usefixtures("_forget_square")
@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_primitive_is_caught(what: str) -> None:
    changes, words = SPOILT[what]
    primitive = square(**changes)
    with pytest.raises((PrimitiveError, tg.TinygradError), match=words) as caught:
        check_primitive(primitive, elementwise("anywhere"))
    assert "\n" not in str(caught.value)


def test_a_dtype_is_no_rule_for_one() -> None:
    with pytest.raises(tg.ArgumentError, match=r"dtype is a rule such as primitives\.dtypes\.real, not float32"):
        square(dtype=np.float32)
    assert "test_square" not in tg.TABLE


@pytest.mark.usefixtures("_forget_square")
def test_a_gradient_not_summed_over_a_broadcast_operand_is_caught() -> None:
    spoilt = square(
        shape=np.broadcast_shapes,
        reference=np.multiply,
        vjp=(lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: (g * x)[:1]),
    )
    with pytest.raises(PrimitiveError, match="operand 1"):
        check_primitive(spoilt, elementwise("anywhere", "anywhere"))


@pytest.mark.usefixtures("_forget_square")
def test_a_users_own_primitive_passes() -> None:
    check_primitive(square(), elementwise("anywhere"))
    check_primitive(square(), lambda source: Case((source.positive((2, source.size())),)))


@pytest.mark.usefixtures("_forget_square")
@pytest.mark.parametrize(
    "real", [np.cbrt, lambda x: np.cbrt(x.real), lambda x: np.cbrt(x.astype(float))], ids=["refuses", "drops", "casts"]
)
def test_a_reference_without_complex_values_is_judged_by_differences(real: Callable[..., np.ndarray]) -> None:
    settings = {"shape": lambda x: x, "reference": lambda x: real(x).astype(x.real.dtype)}
    check_primitive(square(**settings, vjp=(lambda g, y, _x: g / (3 * y * y),)), elementwise("positive"))
    with pytest.raises(PrimitiveError, match="the gradient of operand 0 is"):
        check_primitive(square(**settings, vjp=(lambda g, y, _x: g / (3.00001 * y * y),)), elementwise("positive"))


@pytest.mark.usefixtures("_forget_square")
def test_a_rule_may_answer_with_something_smaller() -> None:
    total = square(shape=lambda x: (), reference=np.sum, vjp=(lambda g, _y, _x: g,))
    check_primitive(total, elementwise("anywhere"))


@pytest.mark.usefixtures("_forget_square")
def test_a_rule_may_take_its_operands_together() -> None:
    gate = {"shape": tg.TABLE["mul"].shape, "reference": lambda a, b: a * b * b}
    rules = (lambda g, _y, *ab: g * ab[1] ** 2, lambda g, _y, *ab: 2 * g * ab[0] * ab[1])
    check_primitive(square(**gate, vjp=rules), elementwise("anywhere", "anywhere"))


@pytest.mark.usefixtures("_forget_square")
def test_a_primitive_without_a_recipe_says_what_to_add() -> None:
    with pytest.raises(tg.ArgumentError, match="test_square has no recipe: say which operands it takes"):
        check_primitive(square())


@pytest.mark.usefixtures("_forget_square")
def test_a_primitive_defined_again_takes_the_former_ones_place_but_not_one_of_the_engines() -> None:
    square()
    again = tg.Primitive("test_square", "", lambda x: x, lambda x: x)
    assert tg.TABLE["test_square"] is again
    with pytest.raises(tg.ArgumentError, match="'tanh' is the name of one of the engine's own"):
        tg.Primitive("tanh", "", lambda x: x, lambda x: x)
