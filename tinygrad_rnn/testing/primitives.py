"""The laws every primitive obeys, whoever wrote it; a new primitive is tested by existing.

The judge of every derivative is the complex step: for ``f`` analytic along the real axis,
``f'(x) = Im f(x + ih) / h + O(h^2)``, without subtraction and so without rounding error, at ``h = 1e-30``
(W. Squire and G. Trapp 1998, SIAM Review 40(1), 110-112). It runs through ``reference`` and never sees a ``vjp``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..arguments import answerable
from ..check.derivatives import FIVE_POINTS
from ..check.tolerances import COMPLEX_STEP, DIFFERENCE_STEP, KERNEL_ULPS, tolerance
from ..compiler import compile
from ..compiler.opcodes import has_kernel
from ..errors import OutOfRangeError, ShapeError, TinygradError
from ..norms import norm
from ..optional_packages import can_compile
from ..primitives.record import KERNEL_MIN_SIZE, Primitive, Shape
from ..reverse_walk import grad
from ..tensors import Tensor, from_array, tensor
from .sample_operands import Array, Case, Recipe, Source, recipe_for

RTOL = tolerance("complex-step", np.float64).rtol
RTOL_SINGLE = tolerance("complex-step", np.float32).rtol
RTOL_VALUE = tolerance("value", np.float64).rtol


class PrimitiveError(AssertionError):
    """A primitive breaks a law; the message says which primitive, which law, on which operands, and how.

    >>> from tinygrad_rnn.testing import PrimitiveError
    >>> issubclass(PrimitiveError, AssertionError)
    True
    """


@answerable
def check_primitive(primitive: Primitive, recipe: Recipe | None = None, *, seed: int = 0, rounds: int = 12) -> None:
    """Hold ``primitive`` to every law, on ``rounds`` random cases and on sizes 0, 1 and large.

    ``recipe`` says which operands it takes: `elementwise` makes one from domains, anything else is a function from a
    `Source` to a `Case`. The engine's own primitives have theirs in `RECIPES`. Raises `PrimitiveError`.

    ``seed`` draws the cases.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.testing import check_primitive, elementwise
    >>> cube = tg.Primitive("cube", "x³", lambda x: x, lambda x: x * x * x, vjp=(lambda g, _y, x: 2 * g * x * x,))
    >>> check_primitive(cube, elementwise("nonzero"))
    Traceback (most recent call last):
    ...
    tinygrad_rnn.testing.primitives.PrimitiveError: cube: the gradient of operand 0 is ... [float64[...]]
    >>> del tg.TABLE["cube"]
    """
    recipe = recipe or recipe_for(primitive)
    sources = [Source(seed, sizes=[1]), Source(seed + 1, sizes=[0, 2]), *(Source(seed + 2 + k) for k in range(rounds))]
    for case in [*(recipe(source) for source in sources), *_smaller_operands(recipe, seed)]:
        check_case(primitive, case, seed)
    large = _large_case(recipe, seed)
    if large is not None:
        _gradients_along_a_direction(primitive, large, np.random.default_rng(seed))
    if primitive.kernel is not None:
        if large is None:
            raise PrimitiveError(f"{primitive.name}: its recipe gives no operand large enough for the kernel")
        cases = [recipe(Source(seed + k)) for k in range(rounds)]
        for case in [*cases, large, *map(_extreme, [*cases, large])]:
            _kernel(primitive, case)
    if has_kernel(primitive) and can_compile():
        for case in [*(recipe(source) for source in sources), *([] if large is None else [large])]:
            _compiled(primitive, case)


@answerable
def check_case(primitive: Primitive, case: Case, seed: int = 0) -> None:
    """Hold ``primitive`` to the laws on one call, ``case``.

    ``seed`` draws the upstream gradients. Raises `PrimitiveError`.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.testing import Case, check_case
    >>> check_case(tg.TABLE["mul"], Case((np.ones(3), np.ones((2, 3)))))
    """
    for law in _LAWS:
        try:
            law(primitive, case, np.random.default_rng(seed))
        except (PrimitiveError, TinygradError):
            raise
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise PrimitiveError(f"{primitive.name}: it fails with {said} [{case}]") from error


def _smaller_operands(recipe: Recipe, seed: int) -> list[Case]:
    """For each operand, a case where another is larger, if the recipe has one: what broadcasts is summed back."""
    found: dict[int, Case] = {}
    for k in range(40):
        case = recipe(Source(seed + k, sizes=(2, 3)))
        sizes = {slot: x.size for slot, x in _arrays(case)}
        for slot, size in sizes.items():
            if size < max(sizes.values()):
                found.setdefault(slot, case)
    return list(found.values())


def _require(holds: Any, primitive: Primitive, case: Case, sentence: str) -> None:
    if not holds:
        raise PrimitiveError(f"{primitive.name}: {sentence} [{case}]")


def _require_close(
    got: Array, expected: Array, scale: float, rtol: float, primitive: Primitive, case: Case, what: str
) -> None:
    """Normwise: the error against the larger of what is expected and (a thousandth of) what it was made from."""
    _require(got.shape == expected.shape, primitive, case, f"{what} has shape {got.shape}, not {expected.shape}")
    if got.dtype.kind != "f":
        _require(np.array_equal(got, expected), primitive, case, f"{what} is {got} where {expected} is expected")
        return
    if not got.size:
        return
    error = np.abs(got - expected)
    bound = rtol * max(norm(expected), 1e-3 * scale)
    if not norm(error) <= bound:  # also when nan
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), got.shape)
        place = f" at {tuple(map(int, at))}" if at else ""
        _require(False, primitive, case, f"{what} is {got[at]!s} where {expected[at]!s} is expected{place}")


def _arrays(case: Case) -> Iterator[tuple[int, Array]]:
    return ((slot, x) for slot, x in enumerate(case.operands) if isinstance(x, np.ndarray))


def _slots(primitive: Primitive, case: Case) -> list[int]:
    """The operands that receive a gradient."""
    return [slot for slot, x in _arrays(case) if x.dtype.kind == "f" and slot in primitive.slots]


def _replaced(operands: tuple[Any, ...], slot: int, value: Any) -> tuple[Any, ...]:
    return (*operands[:slot], value, *operands[slot + 1 :])


def _leaves(primitive: Primitive, case: Case) -> list[Any]:
    wanted = _slots(primitive, case)
    return [
        tensor(x, requires_grad=i in wanted) if isinstance(x, np.ndarray) else x for i, x in enumerate(case.operands)
    ]


def _as_dtype(case: Case, dtype: Any) -> Case:
    return Case(
        tuple(x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in case.operands),
        case.attrs,
    )


def _normal(rng: np.random.Generator, like: Any) -> Any:
    return np.asarray(rng.standard_normal(like.shape)).astype(like.dtype)


def _ruled(primitive: Primitive, case: Case) -> Shape | None:
    """The shape by the shape rule; None if it refuses."""
    try:
        return primitive.shape(*(np.shape(x) for x in case.operands), **case.attrs)
    except (ShapeError, OutOfRangeError):
        return None
    except Exception as error:
        sentence = f"{primitive.name}: the shape rule fails with {error!r} instead of a ShapeError [{case}]"
        raise PrimitiveError(sentence) from None


def _reference(primitive: Primitive, case: Case, slot: int) -> Callable[[Array], Array]:
    """``reference`` as a function of one operand."""
    return lambda x: _computed(primitive, _replaced(case.operands, slot, x), case.attrs)


def _computed(primitive: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Array:
    """The reference's result; a `TypeError` if it drops an imaginary part, whose slope a rule has to know."""
    y = np.asarray(primitive.reference(*operands, **attrs))
    if y.dtype.kind == "f" and any(np.iscomplexobj(x) and slot in primitive.slots for slot, x in enumerate(operands)):
        raise TypeError("the reference gives real values of complex ones")
    return y


def _derivative(function: Callable[[Array], Array], x: Array, g: Array) -> tuple[Array, float]:
    """The derivative of ``sum(g * function(x))`` in every element of ``x``, and the tolerance it deserves.

    By the complex step; by five-point differences where the function takes no complex values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            slope = _slopes(lambda moved: np.imag(function(moved)) / COMPLEX_STEP, x, g, ((1j * COMPLEX_STEP, 1.0),))
        return slope, RTOL
    except (TypeError, np.exceptions.ComplexWarning):
        points = tuple((k * DIFFERENCE_STEP, w / 12 / DIFFERENCE_STEP) for k, w in FIVE_POINTS)
        return _slopes(function, x, g, points), tolerance("finite-difference", np.float64).rtol


def _slopes(function: Callable[[Array], Array], x: Array, g: Array, points: Sequence[tuple[complex, float]]) -> Array:
    slope = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        for step, weight in points:
            moved = x.astype(np.result_type(x, np.float64, type(step)))
            moved[at] += step
            slope[at] += weight * np.sum(g * function(moved))
    return slope


# The laws ------------------------------------------------------------------------------------------------


def _value(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """The value, its shape and its dtype are the reference's, and stay so in single precision."""
    expected = np.asarray(primitive.reference(*case.operands, **case.attrs))
    ruled = _ruled(primitive, case)
    disagree = f"the shape rule says {ruled}, the reference gives {expected.shape}"
    whole = all(isinstance(n, int) for n in ruled or ())  # 2.0 == 2, but is no size
    _require(ruled == expected.shape and whole, primitive, case, disagree)
    y = primitive(*_leaves(primitive, case), **case.attrs)
    _require(y.dtype == expected.dtype, primitive, case, f"the result is {y.dtype}, the reference's {expected.dtype}")
    _require_close(y.numpy(), expected, 0.0, RTOL_VALUE, primitive, case, "the value")
    if "dtype" not in case.attrs:
        try:
            complex_value = _computed(primitive, _as_dtype(case, np.complex128).operands, case.attrs)
        except (TypeError, np.exceptions.ComplexWarning):
            complex_value = expected  # derivatives are then found by differences
        what = "the reference's value of complex operands"
        _require_close(complex_value.real, expected, 0.0, RTOL_VALUE, primitive, case, what)
    _require(
        y.requires_grad == bool(_slots(primitive, case)) or y.dtype.kind != "f",
        primitive,
        case,
        f"requires_grad of the result is {y.requires_grad}",
    )
    single = _as_dtype(case, np.float32)
    y32 = primitive(*_leaves(primitive, single), **case.attrs)
    if y.dtype.kind == "f" and "dtype" not in case.attrs:
        _require(y32.dtype == np.float32, primitive, single, f"float32 operands give {y32.dtype}")
        _require_close(y32.numpy(), expected, _norm(case), RTOL_SINGLE, primitive, single, "the value in float32")


def _norm(case: Case) -> float:
    return 1e3 * max((norm(x) for _, x in _arrays(case) if x.dtype.kind == "f"), default=0.0)


def _gradient(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """Every element of every gradient is the complex step's; float32 agrees, and keeps shape and dtype."""
    slots, leaves = _slots(primitive, case), _leaves(primitive, case)
    y = primitive(*leaves, **case.attrs)
    g = _normal(rng, y)
    for slot, x in _arrays(case) if y.dtype.kind == "f" else ():
        if x.dtype.kind == "f" and slot not in slots:
            slope, _ = _derivative(_reference(primitive, case, slot), x, g)
            _require(not slope.any(), primitive, case, f"operand {slot} has no rule, but the result depends on it")
    if not slots:
        return
    gradients = grad(y, [leaves[slot] for slot in slots], g)
    single = _as_dtype(case, np.float32)
    leaves32 = _leaves(primitive, single)
    gradients32 = grad(primitive(*leaves32, **case.attrs), [leaves32[slot] for slot in slots], g.astype(np.float32))
    for slot, found, found32 in zip(slots, gradients, gradients32, strict=True):
        assert found is not None and found32 is not None
        x = case.operands[slot]
        expected, rtol = _derivative(_reference(primitive, case, slot), x, g)
        what = f"the gradient of operand {slot}"
        _require_close(found.numpy(), expected, norm(g), rtol, primitive, case, what)
        _require(found.dtype == x.dtype, primitive, case, f"{what} is {found.dtype}")
        _require(found32.dtype == np.float32, primitive, single, f"{what} is {found32.dtype}")
        scale = 1e3 * norm(g)
        _require_close(found32.numpy(), expected, scale, RTOL_SINGLE, primitive, single, f"{what} in float32")


def _same_tensor_twice(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """One tensor in two slots receives the sum of both contributions."""
    for a, b in combinations(_slots(primitive, case), 2):
        x = case.operands[a]
        if x.shape != case.operands[b].shape:
            continue
        leaf = tensor(x, requires_grad=True)
        y = primitive(*_replaced(_replaced(case.operands, a, leaf), b, leaf), **case.attrs)
        g = _normal(rng, y)

        def function(z: Array, a: int = a, b: int = b) -> Array:
            return _computed(primitive, _replaced(_replaced(case.operands, a, z), b, z), case.attrs)

        (found,) = grad(y, leaf, g)
        assert found is not None
        what = f"the gradient of one tensor passed as operands {a} and {b}"
        scale = 1e3 * norm(g)
        expected, rtol = _derivative(function, x, g)
        _require_close(found.numpy(), expected, scale, rtol, primitive, case, what)


def _any_memory_layout(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """Transposed, reversed and read-only operands and cotangents give the same value and gradients."""
    leaves = _leaves(primitive, case)
    y = primitive(*leaves, **case.attrs)
    turned = [tensor(x.T[::-1] if x.ndim else x, requires_grad=x.dtype.kind == "f") for _, x in _arrays(case)]
    views = [t[::-1].T if t.ndim else t for t in turned]
    numbers = case.operands[len(views) :]
    z = primitive(*views, *numbers, **case.attrs)
    _require_close(z.numpy(), y.numpy(), 0.0, RTOL_VALUE, primitive, case, "the value of transposed, reversed operands")
    wanted = _slots(primitive, case)
    if not wanted:
        return
    g = _normal(rng, y)
    askew = np.broadcast_to(g[..., None], (*g.shape, 2))[..., 1]
    direct = grad(y, [leaves[slot] for slot in wanted], g)
    around = grad(z, [turned[slot] for slot in wanted], from_array(askew))
    for slot, straight, bent in zip(wanted, direct, around, strict=True):
        assert straight is not None and bent is not None
        back = bent.numpy()[::-1].T if bent.ndim else bent.numpy()
        what = f"the gradient of operand {slot}, transposed and reversed,"
        _require_close(back, straight.numpy(), norm(g), RTOL_VALUE, primitive, case, what)


def _nothing_is_written(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """Operands, result and cotangent are read only, and no rule needs what its signature says it ignores."""
    operands = tuple(x.copy() if isinstance(x, np.ndarray) else x for x in case.operands)
    arrays = [x for x in operands if isinstance(x, np.ndarray)]
    try:
        for x in arrays:
            x.flags.writeable = False
        y = np.asarray(primitive.forward(*operands, **case.attrs)).view()
        g = _normal(rng, y)
        y.flags.writeable = g.flags.writeable = False
        pulled = {slot: primitive.pull(slot, g, y, operands, case.attrs) for slot in _slots(primitive, case)}
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise PrimitiveError(f"{primitive.name}: it writes to what it was given: {error} [{case}]") from None
    own = primitive.view or not any(np.shares_memory(y, x) for x in arrays)
    _require(own, primitive, case, "the result shares memory with an operand; set view=True or copy")
    again = np.asarray(primitive.forward(*operands, **case.attrs))
    fresh = primitive.view or not np.shares_memory(y, again)
    _require(fresh, primitive, case, "the result shares memory with an earlier call's")
    _require(_same(y, again), primitive, case, "two equal calls give different results")
    for slot, value in pulled.items():
        _require(
            _fits(value, operands[slot]),
            primitive,
            case,
            f"the rule of operand {slot} gives {type(value).__name__}{list(np.shape(value))}, "
            f"not an array that sums to shape {operands[slot].shape}",
        )
        twice = primitive.pull(slot, g, y, operands, case.attrs)
        _require(_same(value, twice), primitive, case, f"the rule of operand {slot} gives two equal calls two answers")
        needs_result, needed = primitive.values_needed(slot)
        kept = range(len(operands)) if needed is None else needed
        junk = tuple(x if i in kept or not isinstance(x, np.ndarray) else _junk(x) for i, x in enumerate(operands))
        again = primitive.pull(slot, g, y if needs_result else _junk(y), junk, case.attrs)
        _require(
            _same(value, again),
            primitive,
            case,
            f"the rule of operand {slot} uses a value whose parameter has a leading underscore; "
            "the guard against in-place writes would not protect it",
        )


def _same(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _fits(value: Any, operand: Array) -> bool:
    """Whether what a rule answers can be summed over, or repeated along, dimensions to the operand's shape."""
    try:
        both = np.broadcast_shapes(np.shape(value), operand.shape)
    except ValueError:
        return False
    return isinstance(value, (np.ndarray, np.generic)) and both in (value.shape, operand.shape)


def _junk(x: Array) -> Array:
    return np.full(x.shape, np.nan if x.dtype.kind == "f" else 0, x.dtype)


def _nothing_is_shared(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """Gradients own their memory: writing to one changes no other, no operand and no upstream gradient."""
    slots = _slots(primitive, case)
    for record in (False, True) if slots else ():
        leaves = _leaves(primitive, case)
        y = primitive(*leaves, **case.attrs)
        g = tensor(_normal(rng, y))
        y.backward(g, create_graph=record)
        owners = [leaf.numpy() for leaf in leaves if isinstance(leaf, Tensor)] + [y.numpy(), g.numpy()]
        for slot in slots:
            held = leaves[slot].grad.numpy()
            shared = any(np.shares_memory(held, other) for other in owners)
            _require(not shared, primitive, case, f"the gradient of operand {slot} shares memory")
            owners.append(held)


def _linear_in_the_cotangent(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """``pull(a g + b h) = a pull(g) + b pull(h)``; of a zero cotangent it is exactly zero; accumulating adds it."""
    y = np.asarray(primitive.forward(*case.operands, **case.attrs))
    for slot in _slots(primitive, case):

        def pull(g: Array, slot: int = slot) -> Array:
            return np.asarray(primitive.pull(slot, g, y, case.operands, case.attrs))

        g, h = _normal(rng, y), _normal(rng, y)
        one, other = pull(g), pull(h)
        scale = 1e3 * (norm(one) + norm(other))
        _require_close(
            pull(2.5 * g - 0.5 * h),
            2.5 * one - 0.5 * other,
            scale,
            RTOL_VALUE,
            primitive,
            case,
            f"the gradient of operand {slot} for a sum of two upstream gradients",
        )
        _require(
            not pull(0 * g).any(), primitive, case, f"a zero upstream gradient gives operand {slot} something else"
        )
        if slot == 0 and primitive.accumulate is not None:
            start = _normal(rng, case.operands[0])
            buffer = start.copy()
            primitive.accumulate(buffer, g, y, *case.operands, **case.attrs)
            _require_close(buffer - start, one, scale, RTOL_VALUE, primitive, case, "what accumulate adds")


def _differentiable_again(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """The recorded gradient's own gradients, in every operand and in the cotangent, are the complex step's.

    It steps through the rules on plain arrays, which no recording can mislead.
    """
    slots, leaves = _slots(primitive, case), _leaves(primitive, case)
    if not slots:
        return
    y = primitive(*leaves, **case.attrs)
    g = tensor(_normal(rng, y), requires_grad=True)
    first = grad(y, [leaves[slot] for slot in slots], g, create_graph=True)
    outputs = [x for x in first if x is not None]
    weights = [_normal(rng, x) for x in outputs]
    second = grad(outputs, [*(leaves[slot] for slot in slots), g], weights, allow_unused=True)
    scale = 1e3 * sum(norm(w) * (1 + norm(x.numpy())) for w, x in zip(weights, outputs))

    def total(operands: tuple[Any, ...], g: Array) -> Array:
        y = _computed(primitive, operands, case.attrs)
        pulled = (primitive.pull(slot, g, y, operands, case.attrs) for slot in slots)
        return np.asarray(sum(np.sum(w * v) for w, v in zip(weights, pulled, strict=True)))  # un-broadcasts, too

    for slot, found in zip([*slots, None], second, strict=True):
        if slot is None:
            what, x = "the derivative in the cotangent", g.numpy()
            expected, rtol = _derivative(lambda z: total(case.operands, z), x, np.ones(()))
            rtol = rtol if y.dtype == np.float64 else RTOL_SINGLE
        else:
            what, x = f"the second derivative in operand {slot}", case.operands[slot]

            def of_operand(z: Array, slot: int = slot) -> Array:
                return total(_replaced(case.operands, slot, z), g.numpy())

            expected, rtol = _derivative(of_operand, x, np.ones(()))
        got = np.zeros(x.shape) if found is None else found.numpy()
        _require_close(got, expected, scale, rtol, primitive, case, what)


def _bad_shapes(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """On any other shapes the rule and the primitive agree: the same result shape, or the same refusal in one line."""
    for slot, x in _arrays(case):
        for shape in _other_shapes(x.shape):
            changed = np.resize(x, shape) if x.size else np.ones(shape, x.dtype)
            _agree(primitive, Case(_replaced(case.operands, slot, changed), case.attrs))
    if isinstance(case.attrs.get("axis"), int):
        for axis in (7, -7):
            _agree(primitive, Case(case.operands, {**case.attrs, "axis": axis}))


def _other_shapes(shape: Shape) -> Iterator[Shape]:
    yield (2, *shape)
    if shape:
        yield shape[1:]
    for i, n in enumerate(shape):
        yield (*shape[:i], n + 1, *shape[i + 1 :])


def _agree(primitive: Primitive, case: Case) -> None:
    ruled = _ruled(primitive, case)
    try:
        actual = primitive(*_leaves(primitive, case), **case.attrs).shape
    except TinygradError as error:
        _require("\n" not in str(error), primitive, case, f"the refusal is more than one line: {error}")
        refused = ruled is None or isinstance(error, OutOfRangeError)
        _require(refused, primitive, case, f"the shape rule gives {ruled} but the primitive refuses: {error}")
    except Exception as error:
        _require(False, primitive, case, f"it fails with {error!r} instead of a ShapeError")
    else:
        _require(
            ruled is not None, primitive, case, f"the shape rule refuses what the primitive takes, giving {actual}"
        )
        _require(ruled == actual, primitive, case, f"the shape rule says {ruled}, the result has {actual}")


_LAWS = (
    _nothing_is_written,
    _value,
    _gradient,
    _same_tensor_twice,
    _any_memory_layout,
    _nothing_is_shared,
    _linear_in_the_cotangent,
    _differentiable_again,
    _bad_shapes,
)


# Large operands, and kernels -----------------------------------------------------------------------------


def _large_case(recipe: Recipe, seed: int) -> Case | None:
    """A case big enough for a kernel, if the recipe has one."""
    cases = (recipe(Source(seed + k, sizes=(67,))) for k in range(40))
    return next((c for c in cases if c.operands and KERNEL_MIN_SIZE <= np.size(c.operands[0]) <= 2**16), None)


def _gradients_along_a_direction(primitive: Primitive, case: Case, rng: np.random.Generator) -> None:
    """One random projection of a large gradient: ``<pull(g), v> = <g, J v>``."""
    leaves = _leaves(primitive, case)
    y = primitive(*leaves, **case.attrs)
    for slot in _slots(primitive, case):
        x, g = case.operands[slot], _normal(rng, y)
        v = _normal(rng, x)
        (found,) = grad(y, leaves[slot], g, retain_graph=True)
        assert found is not None
        function = _reference(primitive, case, slot)

        def along(s: Array, function: Callable[[Array], Array] = function, x: Array = x, v: Array = v) -> Array:
            return function(x + s * v)

        expected, rtol = _derivative(along, np.zeros(()), g)
        scale = 1e3 * norm(found.numpy()) * norm(v)
        got = np.sum(found.numpy() * v)
        what = f"the gradient of operand {slot} along a random direction"
        _require_close(got, expected, scale, rtol, primitive, case, what)


def _extreme(case: Case) -> Case:
    """The case with some elements huge, tiny, infinite or nan."""
    strange = np.array([1e4, -1e4, 1e-40, -0.0, np.inf, -np.inf, np.nan, 88.8, -88.8])
    rng = np.random.default_rng(0)

    def salted(x: Array) -> Array:
        return np.where(rng.random(x.shape) < 0.05, rng.choice(strange, x.shape), x)

    return Case(tuple(salted(x) if np.asarray(x).dtype.kind == "f" else x for x in case.operands), case.attrs)


def _kernel(primitive: Primitive, case: Case) -> None:
    """The kernel computes what the reference does, to a few units in the last place, nan and inf included."""
    for dtype in primitive.kernel_dtypes:
        typed = _as_dtype(case, dtype)
        with np.errstate(all="ignore"):
            expected = np.asarray(primitive.reference(*typed.operands, **typed.attrs))
        got = np.asarray(primitive.compiled(*typed.operands, **typed.attrs))
        kinds = f"the kernel gives {got.dtype}{got.shape}, the reference {expected.dtype}{expected.shape}"
        _require((got.dtype, got.shape) == (expected.dtype, expected.shape), primitive, typed, kinds)
        precision = KERNEL_ULPS * float(np.finfo(expected.dtype).eps)
        same = np.isclose(got, expected, rtol=precision, atol=precision, equal_nan=True)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            sentence = f"the kernel gives {got[at]!s} where the reference gives {expected[at]!s} at {at}"
            _require(False, primitive, typed, sentence)


def _compiled(primitive: Primitive, case: Case) -> None:
    """Check that the function entered by `compiler.kernel` computes what the reference does, in both precisions."""
    for dtype, rtol in ((np.float64, RTOL_VALUE), (np.float32, RTOL_SINGLE)):
        typed = _as_dtype(case, dtype)
        with np.errstate(all="ignore"):
            expected = np.asarray(primitive.reference(*typed.operands, **typed.attrs))
            got = compile(lambda *given: primitive(*given, **case.attrs))(*_leaves(primitive, typed)).numpy()
        _require_close(got, expected, _norm(typed), rtol, primitive, typed, "the value in a compiled program")
