"""The laws every primitive obeys, whoever wrote it; a new primitive is tested by existing.

The judge of every derivative is the complex step: for ``f`` analytic along the real axis,
``f'(x) = Im f(x + ih) / h + O(h^2)``, without subtraction and so without rounding error, at ``h = 1e-30``
(W. Squire and G. Trapp 1998, SIAM Review 40(1), 110-112). It runs through ``reference`` and never sees a ``vjp``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..arguments import answerable
from ..check.derivatives import slopes
from ..check.tolerances import KERNEL_ULPS, tolerance
from ..compiler import compile
from ..compiler.opcodes import has_kernel
from ..errors import OutOfRangeError, ShapeError, TinygradError
from ..norms import norm
from ..optional_packages import can_compile
from ..primitives.record import KERNEL_MIN_SIZE, Primitive, Shape
from ..reverse_walk import grad
from ..tensors import Tensor, from_array, tensor
from .sample_operands import Array, Case, Recipe, Source, recipe_for

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
        _gradients_along_a_direction(_Call(primitive, large), np.random.default_rng(seed))
    if primitive.kernel is not None:
        if large is None:
            raise PrimitiveError(f"{primitive.name}: its recipe gives no operand large enough for the kernel")
        cases = [recipe(Source(seed + k)) for k in range(rounds)]
        for case in [*cases, large, *map(_extreme, [*cases, large])]:
            _kernel(_Call(primitive, case))
    if has_kernel(primitive) and can_compile():
        for case in [*(recipe(source) for source in sources), *([] if large is None else [large])]:
            _compiled(_Call(primitive, case))


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
            law(_Call(primitive, case), np.random.default_rng(seed))
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
        sizes = {slot: x.size for slot, x in enumerate(case.operands) if isinstance(x, np.ndarray)}
        for slot, size in sizes.items():
            if size < max(sizes.values()):
                found.setdefault(slot, case)
    return list(found.values())


@dataclass(frozen=True)
class _Call:
    """One call of a primitive, on the operands and with the settings of a case, and what is required of it."""

    primitive: Primitive
    case: Case

    def require(self, holds: Any, sentence: str) -> None:
        if not holds:
            raise PrimitiveError(f"{self.primitive.name}: {sentence} [{self.case}]")

    def close(self, got: Array, expected: Array, scale: float, rtol: float, what: str) -> None:
        """Normwise: the error against the larger of what is expected and (a thousandth of) what it was made from."""
        self.require(got.shape == expected.shape, f"{what} has shape {got.shape}, not {expected.shape}")
        if got.dtype.kind != "f":
            self.require(np.array_equal(got, expected), f"{what} is {got} where {expected} is expected")
            return
        if not got.size:
            return
        error = np.abs(got - expected)
        bound = rtol * max(norm(expected), 1e-3 * scale)
        if not norm(error) <= bound:  # also when nan
            at = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), got.shape)
            place = f" at {tuple(map(int, at))}" if at else ""
            self.require(False, f"{what} is {got[at]!s} where {expected[at]!s} is expected{place}")

    @property
    def arrays(self) -> list[tuple[int, Array]]:
        return [(slot, x) for slot, x in enumerate(self.case.operands) if isinstance(x, np.ndarray)]

    @property
    def slots(self) -> list[int]:
        """The operands that receive a gradient."""
        return [slot for slot, x in self.arrays if x.dtype.kind == "f" and slot in self.primitive.slots]

    @property
    def norm(self) -> float:
        """A thousand times the size of the largest operand: the scale of a result in single precision."""
        return 1e3 * max((norm(x) for _, x in self.arrays if x.dtype.kind == "f"), default=0.0)

    def with_(self, *changes: tuple[int, Any]) -> tuple[Any, ...]:
        """The operands, those in some slots exchanged."""
        new = dict(changes)
        return tuple(new.get(slot, x) for slot, x in enumerate(self.case.operands))

    def cast(self, dtype: Any) -> _Call:
        floats = [(slot, x.astype(dtype)) for slot, x in self.arrays if x.dtype.kind == "f"]
        return _Call(self.primitive, Case(self.with_(*floats), self.case.attrs))

    def leaves(self) -> list[Any]:
        slots = self.slots
        return list(self.with_(*((slot, tensor(x, requires_grad=slot in slots)) for slot, x in self.arrays)))

    def result(self, operands: Any) -> Tensor:
        return self.primitive(*operands, **self.case.attrs)

    def pull(self, slot: int, g: Array, y: Array, operands: tuple[Any, ...] | None = None) -> Any:
        """The rule's answer for one operand."""
        return self.primitive.pull(slot, g, y, self.case.operands if operands is None else operands, self.case.attrs)

    def ruled(self) -> Shape | None:
        """The shape by the shape rule; None if it refuses."""
        try:
            return self.primitive.shape(*(np.shape(x) for x in self.case.operands), **self.case.attrs)
        except (ShapeError, OutOfRangeError):
            return None
        except Exception as error:
            sentence = f"{self.primitive.name}: the shape rule fails with {error!r} instead of a ShapeError"
            raise PrimitiveError(f"{sentence} [{self.case}]") from None

    def reference(self) -> Array:
        return np.asarray(self.primitive.reference(*self.case.operands, **self.case.attrs))

    def computed(self, operands: tuple[Any, ...]) -> Array:
        """The reference's result; a `TypeError` if it drops an imaginary part, whose slope a rule has to know."""
        y = np.asarray(self.primitive.reference(*operands, **self.case.attrs))
        slots = self.primitive.slots
        if y.dtype.kind == "f" and any(np.iscomplexobj(x) and slot in slots for slot, x in enumerate(operands)):
            raise TypeError("the reference gives real values of complex ones")
        return y


def _normal(rng: np.random.Generator, like: Any) -> Any:
    return np.asarray(rng.standard_normal(like.shape)).astype(like.dtype)


def _derivative(function: Callable[[Array], Array], x: Array, g: Array) -> tuple[Array, float]:
    """The derivative of ``sum(g * function(x))`` in every element of ``x``, and the tolerance it deserves."""
    found, method = slopes(function, x, g)
    return found.reshape(x.shape), tolerance(method, np.float64).rtol


# The laws ------------------------------------------------------------------------------------------------


def _value(call: _Call, rng: np.random.Generator) -> None:
    """The value, its shape and its dtype are the reference's and the rules', and stay so in single precision."""
    expected, ruled = call.reference(), call.ruled()
    whole = all(isinstance(n, int) for n in ruled or ())  # 2.0 == 2, but is no size
    disagree = f"the shape rule says {ruled}, the reference gives {expected.shape}"
    call.require(ruled == expected.shape and whole, disagree)
    y = call.result(call.leaves())
    call.require(y.dtype == expected.dtype, f"the result is {y.dtype}, the reference's {expected.dtype}")
    call.close(y.numpy(), expected, 0.0, RTOL_VALUE, "the value")
    if "dtype" not in call.case.attrs:
        try:
            complex_value = call.computed(call.cast(np.complex128).case.operands)
        except (TypeError, np.exceptions.ComplexWarning):
            complex_value = expected  # derivatives are then found by differences
        call.close(complex_value.real, expected, 0.0, RTOL_VALUE, "the reference's value of complex operands")
    asked = y.requires_grad == bool(call.slots) or y.dtype.kind != "f"
    call.require(asked, f"requires_grad of the result is {y.requires_grad}")
    single = call.cast(np.float32)
    y32 = single.result(single.leaves())
    if y.dtype.kind == "f" and "dtype" not in call.case.attrs:
        single.require(y32.dtype == np.float32, f"float32 operands give {y32.dtype}")
        single.close(y32.numpy(), expected, call.norm, RTOL_SINGLE, "the value in float32")
    for one, made in ((call, y), (single, y32)):  # a compiled function has the rule's
        rule = one.primitive.result_dtype(one.case.operands, one.case.attrs)
        one.require(rule == made.dtype, f"the dtype rule says {rule}, the result is {made.dtype}")


def _gradient(call: _Call, rng: np.random.Generator) -> None:
    """Every element of every gradient is the complex step's; float32 agrees, and keeps shape and dtype."""
    slots, leaves = call.slots, call.leaves()
    y = call.result(leaves)
    g = _normal(rng, y)
    expected = {
        slot: _derivative(lambda z, slot=slot: call.computed(call.with_((slot, z))), x, g)  # type: ignore[misc]
        for slot, x in call.arrays
        if y.dtype.kind == "f" and x.dtype.kind == "f"
    }
    for slot in expected.keys() - set(slots):
        unmoved = not expected[slot][0].any()
        call.require(unmoved, f"operand {slot} has no rule, but the result depends on it")
    if not slots:
        return
    gradients = grad(y, [leaves[slot] for slot in slots], g)
    single = call.cast(np.float32)
    leaves32 = single.leaves()
    gradients32 = grad(single.result(leaves32), [leaves32[slot] for slot in slots], g.astype(np.float32))
    for slot, found, found32 in zip(slots, gradients, gradients32, strict=True):
        assert found is not None and found32 is not None
        slope, rtol = expected[slot]
        what = f"the gradient of operand {slot}"
        call.close(found.numpy(), slope, norm(g), rtol, what)
        call.require(found.dtype == call.case.operands[slot].dtype, f"{what} is {found.dtype}")
        single.require(found32.dtype == np.float32, f"{what} is {found32.dtype}")
        single.close(found32.numpy(), slope, 1e3 * norm(g), RTOL_SINGLE, f"{what} in float32")


def _same_tensor_twice(call: _Call, rng: np.random.Generator) -> None:
    """One tensor in two slots receives the sum of both contributions."""
    for a, b in combinations(call.slots, 2):
        x = call.case.operands[a]
        if x.shape != call.case.operands[b].shape:
            continue
        leaf = tensor(x, requires_grad=True)
        y = call.result(call.with_((a, leaf), (b, leaf)))
        g = _normal(rng, y)

        def function(z: Array, a: int = a, b: int = b) -> Array:
            return call.computed(call.with_((a, z), (b, z)))

        (found,) = grad(y, leaf, g)
        assert found is not None
        expected, rtol = _derivative(function, x, g)
        what = f"the gradient of one tensor passed as operands {a} and {b}"
        call.close(found.numpy(), expected, 1e3 * norm(g), rtol, what)


def _any_memory_layout(call: _Call, rng: np.random.Generator) -> None:
    """Transposed, reversed and read-only operands and cotangents give the same value and gradients."""
    leaves = call.leaves()
    y = call.result(leaves)
    turned = [tensor(x.T[::-1] if x.ndim else x, requires_grad=x.dtype.kind == "f") for _, x in call.arrays]
    views = [t[::-1].T if t.ndim else t for t in turned]
    z = call.result((*views, *call.case.operands[len(views) :]))
    call.close(z.numpy(), y.numpy(), 0.0, RTOL_VALUE, "the value of transposed, reversed operands")
    wanted = call.slots
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
        call.close(back, straight.numpy(), norm(g), RTOL_VALUE, what)


def _nothing_is_written(call: _Call, rng: np.random.Generator) -> None:
    """Operands, result and cotangent are read only, and no rule needs what its signature says it ignores."""
    primitive, attrs = call.primitive, call.case.attrs
    operands = call.with_(*((slot, x.copy()) for slot, x in call.arrays))
    arrays = [x for x in operands if isinstance(x, np.ndarray)]
    try:
        for x in arrays:
            x.flags.writeable = False
        y = np.asarray(primitive.forward(*operands, **attrs)).view()
        g = _normal(rng, y)
        y.flags.writeable = g.flags.writeable = False
        pulled = {slot: call.pull(slot, g, y, operands) for slot in call.slots}
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise PrimitiveError(f"{primitive.name}: it writes to what it was given: {error} [{call.case}]") from None
    own = primitive.view or not any(np.shares_memory(y, x) for x in arrays)
    call.require(own, "the result shares memory with an operand; set view=True or copy")
    again = np.asarray(primitive.forward(*operands, **attrs))
    fresh = primitive.view or not np.shares_memory(y, again)
    call.require(fresh, "the result shares memory with an earlier call's")
    call.require(_same(y, again), "two equal calls give different results")
    for slot, value in pulled.items():
        rule = f"the rule of operand {slot}"
        kind = f"{type(value).__name__}{list(np.shape(value))}"
        sums = f"{rule} gives {kind}, not an array that sums to shape {operands[slot].shape}"
        call.require(_fits(value, operands[slot]), sums)
        twice = call.pull(slot, g, y, operands)
        call.require(_same(value, twice), f"{rule} gives two equal calls two answers")
        needs_result, needed = primitive.values_needed(slot)
        kept = range(len(operands)) if needed is None else needed
        junk = tuple(x if i in kept or not isinstance(x, np.ndarray) else _junk(x) for i, x in enumerate(operands))
        again = call.pull(slot, g, y if needs_result else _junk(y), junk)
        unprotected = (
            f"{rule} uses a value whose parameter has a leading underscore; "
            "the guard against in-place writes would not protect it"
        )
        call.require(_same(value, again), unprotected)


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


def _nothing_is_shared(call: _Call, rng: np.random.Generator) -> None:
    """Gradients own their memory: writing to one changes no other, no operand and no upstream gradient."""
    slots = call.slots
    for record in (False, True) if slots else ():
        leaves = call.leaves()
        y = call.result(leaves)
        g = tensor(_normal(rng, y))
        y.backward(g, create_graph=record)
        owners = [leaf.numpy() for leaf in leaves if isinstance(leaf, Tensor)] + [y.numpy(), g.numpy()]
        for slot in slots:
            held = leaves[slot].grad.numpy()
            shared = any(np.shares_memory(held, other) for other in owners)
            call.require(not shared, f"the gradient of operand {slot} shares memory")
            owners.append(held)


def _linear_in_the_cotangent(call: _Call, rng: np.random.Generator) -> None:
    """``pull(a g + b h) = a pull(g) + b pull(h)``; of a zero cotangent it is exactly zero; accumulating adds it."""
    operands, attrs = call.case.operands, call.case.attrs
    y = np.asarray(call.primitive.forward(*operands, **attrs))
    for slot in call.slots:
        g, h = _normal(rng, y), _normal(rng, y)
        one, other, both, none = (np.asarray(call.pull(slot, c, y)) for c in (g, h, 2.5 * g - 0.5 * h, 0 * g))
        scale = 1e3 * (norm(one) + norm(other))
        what = f"the gradient of operand {slot} for a sum of two upstream gradients"
        call.close(both, 2.5 * one - 0.5 * other, scale, RTOL_VALUE, what)
        call.require(not none.any(), f"a zero upstream gradient gives operand {slot} something else")
        if slot == 0 and call.primitive.accumulate is not None:
            start = _normal(rng, operands[0])
            buffer = start.copy()
            call.primitive.accumulate(buffer, g, y, *operands, **attrs)
            call.close(buffer - start, one, scale, RTOL_VALUE, "what accumulate adds")


def _differentiable_again(call: _Call, rng: np.random.Generator) -> None:
    """The recorded gradient's own gradients, in every operand and in the cotangent, are the complex step's.

    It steps through the rules on plain arrays, which no recording can mislead.
    """
    slots, leaves = call.slots, call.leaves()
    if not slots:
        return
    y = call.result(leaves)
    g = tensor(_normal(rng, y), requires_grad=True)
    first = grad(y, [leaves[slot] for slot in slots], g, create_graph=True)
    outputs = [x for x in first if x is not None]
    weights = [_normal(rng, x) for x in outputs]
    second = grad(outputs, [*(leaves[slot] for slot in slots), g], weights, allow_unused=True)
    scale = 1e3 * sum(norm(w) * (1 + norm(x.numpy())) for w, x in zip(weights, outputs))

    def total(operands: tuple[Any, ...], g: Array) -> Array:
        y = call.computed(operands)
        pulled = (call.pull(slot, g, y, operands) for slot in slots)
        return np.asarray(sum(np.sum(w * v) for w, v in zip(weights, pulled, strict=True)))  # un-broadcasts, too

    for slot, found in zip([*slots, None], second, strict=True):
        if slot is None:
            what, x = "the derivative in the cotangent", g.numpy()
            expected, rtol = _derivative(lambda z: total(call.case.operands, z), x, np.ones(()))
            rtol = rtol if y.dtype == np.float64 else RTOL_SINGLE
        else:
            what, x = f"the second derivative in operand {slot}", call.case.operands[slot]

            def of_operand(z: Array, slot: int = slot) -> Array:
                return total(call.with_((slot, z)), g.numpy())

            expected, rtol = _derivative(of_operand, x, np.ones(()))
        got = np.zeros(x.shape) if found is None else found.numpy()
        call.close(got, expected, scale, rtol, what)


def _bad_shapes(call: _Call, rng: np.random.Generator) -> None:
    """On any other shapes the rule and the primitive agree: the same result shape, or the same refusal in one line."""
    attrs = call.case.attrs
    for slot, x in call.arrays:
        for shape in _other_shapes(x.shape):
            changed = np.resize(x, shape) if x.size else np.ones(shape, x.dtype)
            _agree(_Call(call.primitive, Case(call.with_((slot, changed)), attrs)))
    if isinstance(attrs.get("axis"), int):
        for axis in (7, -7):
            _agree(_Call(call.primitive, Case(call.case.operands, {**attrs, "axis": axis})))


def _other_shapes(shape: Shape) -> Iterator[Shape]:
    yield (2, *shape)
    if shape:
        yield shape[1:]
    for i, n in enumerate(shape):
        yield (*shape[:i], n + 1, *shape[i + 1 :])


def _agree(call: _Call) -> None:
    ruled = call.ruled()
    try:
        actual = call.result(call.leaves()).shape
    except TinygradError as error:
        call.require("\n" not in str(error), f"the refusal is more than one line: {error}")
        refused = ruled is None or isinstance(error, OutOfRangeError)
        call.require(refused, f"the shape rule gives {ruled} but the primitive refuses: {error}")
    except Exception as error:
        call.require(False, f"it fails with {error!r} instead of a ShapeError")
    else:
        call.require(ruled is not None, f"the shape rule refuses what the primitive takes, giving {actual}")
        call.require(ruled == actual, f"the shape rule says {ruled}, the result has {actual}")


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


def _gradients_along_a_direction(call: _Call, rng: np.random.Generator) -> None:
    """One random projection of a large gradient: ``<pull(g), v> = <g, J v>``."""
    leaves = call.leaves()
    y = call.result(leaves)
    for slot in call.slots:
        x, g = call.case.operands[slot], _normal(rng, y)
        v = _normal(rng, x)
        (found,) = grad(y, leaves[slot], g, retain_graph=True)
        assert found is not None

        def along(s: Array, slot: int = slot, x: Array = x, v: Array = v) -> Array:
            return call.computed(call.with_((slot, x + s * v)))

        expected, rtol = _derivative(along, np.zeros(()), g)
        scale = 1e3 * norm(found.numpy()) * norm(v)
        got = np.sum(found.numpy() * v)
        call.close(got, expected, scale, rtol, f"the gradient of operand {slot} along a random direction")


def _extreme(case: Case) -> Case:
    """The case with some elements huge, tiny, infinite or nan."""
    strange = np.array([1e4, -1e4, 1e-40, -0.0, np.inf, -np.inf, np.nan, 88.8, -88.8])
    rng = np.random.default_rng(0)

    def salted(x: Array) -> Array:
        return np.where(rng.random(x.shape) < 0.05, rng.choice(strange, x.shape), x)

    return Case(tuple(salted(x) if np.asarray(x).dtype.kind == "f" else x for x in case.operands), case.attrs)


def _kernel(call: _Call) -> None:
    """The kernel computes what the reference does, to a few units in the last place, nan and inf included."""
    for dtype in call.primitive.kernel_dtypes:
        typed = call.cast(dtype)
        with np.errstate(all="ignore"):
            expected = typed.reference()
        got = np.asarray(call.primitive.compiled(*typed.case.operands, **typed.case.attrs))
        kinds = f"the kernel gives {got.dtype}{got.shape}, the reference {expected.dtype}{expected.shape}"
        typed.require((got.dtype, got.shape) == (expected.dtype, expected.shape), kinds)
        precision = KERNEL_ULPS * float(np.finfo(expected.dtype).eps)
        same = np.isclose(got, expected, rtol=precision, atol=precision, equal_nan=True)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            typed.require(False, f"the kernel gives {got[at]!s} where the reference gives {expected[at]!s} at {at}")


def _compiled(call: _Call) -> None:
    """Check that the function entered by `compiler.kernel` computes what the reference does, in both precisions."""
    for dtype, rtol in ((np.float64, RTOL_VALUE), (np.float32, RTOL_SINGLE)):
        typed = call.cast(dtype)
        with np.errstate(all="ignore"):
            expected = typed.reference()
            got = compile(lambda *given: call.result(given))(*typed.leaves()).numpy()
        typed.close(got, expected, typed.norm, rtol, "the value in a compiled program")
