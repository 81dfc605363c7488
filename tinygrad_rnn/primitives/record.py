"""What a primitive is: one record that says everything the rest of the house wants to know about it.

Adding a primitive is writing one such record (and, where NumPy is slow, one kernel). The eager engine
runs its ``reference`` or ``kernel``, the reverse walk its ``vjp``, the debugger prints its ``rule``, the
tests enumerate ``TABLE``.
"""

from __future__ import annotations

import inspect
import math
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from ..errors import DTypeError, ShapeError

Shape = tuple[int, ...]

#: Below this many elements a NumPy call costs less than a kernel saves, and nothing needs compiling.
KERNEL_MIN_SIZE = 4096

TABLE: dict[str, Primitive] = {}


@dataclass(eq=False, repr=False)
class Primitive:
    """An operation of the engine, and its derivative.

    Rules are written once for both worlds: called on arrays a primitive computes, called on tensors it
    records. So the ``vjp`` of a primitive, a plain expression, gives fast gradients when it is handed
    arrays and a differentiable backward graph when it is handed tensors.
    """

    name: str
    #: how pictures write it
    symbol: str
    #: ``shape(*shapes, **attrs)`` gives the result's shape, or raises `ShapeError` naming operand and dimension
    shape: Callable[..., Shape]
    #: NumPy expression; also right for complex input, which is what lets a complex step differentiate it
    reference: Callable[..., Any]
    #: per operand, ``rule(g, y, *operands, **attrs)``: what the upstream gradient ``g`` of the result ``y``
    #: contributes to that operand. A parameter spelt with a leading underscore is one whose *value* the rule
    #: does not use (its shape it may): the guard against in-place writes reads that. ``None``: no gradient.
    #: A variadic primitive has one function ``rule(slot, g, y, *operands, **attrs)`` instead.
    vjp: tuple[Callable[..., Any] | None, ...] | Callable[..., Any] = ()
    #: per operand (or once, if variadic), the rule as LaTeX; ``\bar x`` is the gradient of ``x``
    rule: tuple[str, ...] = ()
    #: name of the function in ``kernels`` that computes the same as ``reference``, for float arrays
    kernel: str | None = None
    #: dtypes the kernel is for
    kernel_dtypes: str = "fd"
    #: ``check(*operands, **attrs)`` refuses operands for their values, such as an index out of range
    check: Callable[..., None] | None = None
    #: ``accumulate(buffer, g, y, *operands, **attrs)`` adds the contribution to operand 0 into a buffer in
    #: place; given where building the contribution densely would make unrolling quadratic in time
    accumulate: Callable[..., None] | None = None
    #: the result may share memory with operand 0
    view: bool = False
    # What counts of a gradient, see `liveness`; nothing has to be said of what works on each element by itself, nor of
    # what only moves elements:
    #: of what chooses, per operand ``keeps(y, *operands, **attrs)``: where it was chosen. The rule sends 0 elsewhere
    keeps: tuple[Callable[..., Any] | None, ...] | None = None
    #: ``along(live, any_along, shape, **attrs)``: of what works along an axis, what counts of operand 0, of that shape,
    #: given what does of the result; ``any_along(mask, axes)`` keeps the axes at size 1
    along: Callable[..., Any] | None = None
    #: not every element of operand 0 need be in the result
    leaves_out: bool = False
    #: of what multiplies and sums, the subscripts einsum would want, given the operands' shapes
    subscripts: Callable[..., str] | None = None
    #: read from the rules: per slot (-1: all), whether they use the result's value, and which operands' (None: all)
    uses: dict[int, tuple[bool, tuple[int, ...] | None]] = field(init=False)
    #: the operands that can receive a gradient
    slots: Sequence[int] = field(init=False)
    #: whether something may be left out of a gradient that counts in full
    chooses: bool = field(init=False)
    #: computes the result from arrays: by the kernel where that pays, else by the reference
    forward: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        self._enter()
        rules = enumerate(self.vjp) if isinstance(self.vjp, tuple) else [(-1, self.vjp)]
        self.uses = {slot: _values_used(rule, slot < 0) for slot, rule in rules if rule is not None}
        self.slots = range(sys.maxsize) if -1 in self.uses else tuple(self.uses)
        self.chooses = self.keeps is not None or self.leaves_out
        self.forward = self.reference if self.kernel is None and self.check is None else self._checked

    def _enter(self) -> None:
        """Enter it in the table, under a name of its own."""
        if self.name in TABLE:
            raise ValueError(f"a primitive named {self.name!r} exists already; choose another name")
        TABLE[self.name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def pull(self, slot: int, g: Any, y: Any, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        """The contribution of upstream gradient ``g`` to operand ``slot``."""
        if not isinstance(self.vjp, tuple):
            return self.vjp(slot, g, y, *operands, **attrs)
        rule = self.vjp[slot]
        assert rule is not None
        return rule(g, y, *operands, **attrs) if attrs else rule(g, y, *operands)  # no settings is 0.2 us less

    def values_needed(self, slot: int) -> tuple[bool, tuple[int, ...] | None]:
        """Does the rule of ``slot`` need the result's value, and which operands' (None: all of them)?"""
        return self.uses[slot] if slot in self.uses else self.uses[-1]

    def moves(self, slot: int) -> bool:
        """Whether the rule of ``slot`` only moves the gradient: it uses no value, unless it is where to."""
        return self.leaves_out or self.values_needed(slot) == (False, ())

    def _checked(self, *arrays: Any, **attrs: Any) -> Any:
        if self.check is not None:
            self.check(*arrays, **attrs)
        if self.kernel is not None:
            first = arrays[0]
            if first.size >= KERNEL_MIN_SIZE and first.dtype.char in self.kernel_dtypes:
                return self.compiled(*arrays, **attrs)
        return self.reference(*arrays, **attrs)

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The kernel, for arrays of the dtypes it is for."""
        return load_kernel(self.kernel or "")

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Compute on arrays, record on tensors."""
        for operand in operands:
            if hasattr(operand, "_record"):
                return operand._record(self, operands, attrs)
        return self.forward(*operands, **attrs)


class Unlisted(Primitive):
    """A primitive outside the table: it lives as long as what uses it, and is not saved."""

    #: of one with a backward pass of its own: its forward pass, recorded operation by operation
    opened: Callable[..., Any] | None = None

    def _enter(self) -> None:
        """Not in the table."""


def load_kernel(name: str) -> Callable[..., Any]:
    """A function of ``kernels``, found on first use, so that importing the engine does not import Numba."""
    kernel: Callable[..., Any] = getattr(import_module("tinygrad_rnn.kernels"), name)
    return kernel


def _values_used(rule: Callable[..., Any], variadic: bool) -> tuple[bool, tuple[int, ...] | None]:
    """Read from a rule's signature whether it uses the value of the result, and of which operands."""
    parameters = [p for p in inspect.signature(rule).parameters.values() if p.kind != p.KEYWORD_ONLY]
    y, *operands = parameters[2:] if variadic else parameters[1:]
    if operands[0].kind == inspect.Parameter.VAR_POSITIONAL:
        return not y.name.startswith("_"), None if not operands[0].name.startswith("_") else ()
    return (
        not y.name.startswith("_"),
        tuple(i for i, p in enumerate(operands) if not p.name.startswith("_")),
    )


# Shape rules shared by several families ------------------------------------------------------------------


def same_shape(x: Shape, **_attrs: Any) -> Shape:
    """The result is shaped like the one operand."""
    return x


def broadcast(*shapes: Shape, **_attrs: Any) -> Shape:
    """NumPy's broadcasting: align at the right; each pair of dimensions is equal or one of them is 1."""
    rank = max(len(shape) for shape in shapes)
    result = [1] * rank
    owner = [0] * rank
    for operand, shape in enumerate(shapes):
        for offset, size in enumerate(shape, start=rank - len(shape)):
            if size == result[offset] or size == 1:
                continue
            if result[offset] != 1:
                raise ShapeError(
                    f"dimension {offset - rank} is {result[offset]} in operand {owner[offset]} "
                    f"but {size} in operand {operand}; make them equal, or one of them 1"
                )
            result[offset], owner[offset] = size, operand
    return tuple(result)


def integer(value: Any, what: str) -> int:
    """``value``, Python's or NumPy's, as a Python int; a float is not cut off."""
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"{what} must be an integer, not {value!r:.40}") from None


def normalize_axis(axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Axes as non-negative integers, in order; None means all of them."""
    if axis is None:
        return tuple(range(rank))
    axes = [integer(a, "an axis") for a in (axis if isinstance(axis, tuple) else (axis,))]
    for a in axes:
        if not -rank <= a < rank:
            raise ShapeError(f"axis {a} is out of range for a tensor of {rank} dimension(s)")
    result = tuple(sorted(a % rank for a in axes))
    if len(set(result)) != len(result):
        raise ShapeError(f"axis {axis} names a dimension twice")
    return result


def reduced_shape(x: Shape, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    """``x`` without the reduced axes, or with them kept at size 1."""
    axes = normalize_axis(axis, len(x))
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(x))
    return tuple(n for i, n in enumerate(x) if i not in axes)


def size_of(shape: Shape) -> int:
    """Number of elements."""
    return math.prod(shape)
