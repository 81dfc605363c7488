"""A primitive: one record of everything that the other parts of the engine ask of an operation.

Adding a primitive is writing one such record (and, where NumPy is slow, one kernel). The eager engine runs its
``reference`` or ``kernel``, the reverse walk its ``vjp``; the debugger prints its ``rule`` and says its ``sentence``,
the gradient checks ask for its ``kink``, the compiler for its ``dtype``; the tests enumerate ``TABLE``. Nobody has to
know its name to find out what it does. What only one other engine needs of a primitive (an instruction, an operator of
ONNX) is in that engine's own registry.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from ..arguments import answerable, integer, refuse_call, texts_and_functions
from ..errors import ArgumentError, DataError, DTypeError, GraphError, KeywordError, ShapeError
from ..optional_packages import can_compile
from ..recorded_value import Recorded, is_tensor
from . import dtypes

Shape = tuple[int, ...]
_ndarray = np.ndarray

#: Below this many elements a NumPy call costs less than a kernel saves, and nothing needs compiling.
KERNEL_MIN_SIZE = 4096

TABLE: dict[str, Primitive] = {}
#: names in `TABLE` that no other primitive may take; filled when the engine has defined its own
OWN: set[str] = set()

#: What a primitive does with elements. Elementwise: each one by itself. Movement: they change places, or are copied.
#: Index: rows of a table are read, or added to. Reduction: those along an axis become one. Axis: those along an axis
#: become as many. Contraction: they are multiplied and summed.
KINDS = ("elementwise", "movement", "index", "reduction", "axis", "contraction", "other")


@dataclass(eq=False, repr=False)
class Primitive:
    """An operation of the engine, and its derivative.

    Rules are written once for both worlds: called on arrays a primitive computes, called on tensors it
    records. So the ``vjp`` of a primitive, a plain expression, gives fast gradients when it is handed
    arrays and a differentiable backward graph when it is handed tensors.

    >>> import tinygrad_rnn as tg
    >>> double = tg.Primitive("double", "2x", lambda x: x, lambda x: 2 * x, vjp=(lambda g, _y, _x: 2 * g,))
    >>> double(tg.ones(2)).tolist()
    [2.0, 2.0]
    >>> del tg.TABLE["double"]
    """

    name: str
    #: how pictures write it: before its operand, or around it where a ``·`` keeps its place, as in ``|·|``
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
    # What counts of a gradient, see `dead_positions`; nothing has to be said of what works on each element by itself,
    # nor of what only moves elements:
    #: of what chooses, per operand ``keeps(y, *operands, **attrs)``: where it was chosen. The rule sends 0 elsewhere
    keeps: tuple[Callable[..., Any] | None, ...] | None = None
    #: ``along(live, any_along, shape, **attrs)``: of what works along an axis, what counts of operand 0, of that shape,
    #: given what does of the result; ``any_along(mask, axes)`` keeps the axes at size 1
    along: Callable[..., Any] | None = None
    #: not every element of operand 0 need be in the result
    leaves_out: bool = False
    #: of what multiplies and sums, the subscripts einsum would want, given the operands' shapes
    subscripts: Callable[..., str] | None = None
    # What others ask of it; everything has a default -----------------------------------------------------
    #: one of `KINDS`; elementwise where nothing is said and the shape rule is `same_shape` or `broadcast`
    kind: str = ""
    #: the result's dtype, a rule of `dtypes`; None: of elementwise ones what ``reference`` gives, else NumPy's
    dtype: Callable[..., np.dtype[Any]] | None = None
    #: whether results are moved or chosen, not rounded; None: those of movements are
    exact: bool | None = None
    #: where it is not differentiable, a rule of `kinks`; None: nowhere
    kink: Callable[..., Any] | None = None
    #: the operator that stands for it between two operands in Python
    infix: str = ""
    #: its name in equations, as LaTeX
    latex: str = ""
    #: settings that equations leave out where they have this value
    usual: dict[str, Any] = field(default_factory=dict)
    #: what the debugger says of it: "{it} ...", with places for the operands, ``{targets}``, and for the ``{slope}``
    sentence: str = "applies its rule and sends the result to {targets}"

    # Worked out from these -------------------------------------------------------------------------------
    #: whether each element of the result comes from one element of each operand
    elementwise: bool = field(init=False)
    #: whether zeros become zeros, and twice as much becomes twice as much
    homogeneous: bool = field(init=False)
    #: read from the rules: per slot (-1: all), whether they use the result's value, and which operands' (None: all)
    uses: dict[int, tuple[bool, tuple[int, ...] | None]] = field(init=False)
    #: the operands that can receive a gradient
    slots: Sequence[int] = field(init=False)
    #: whether something may be left out of a gradient that counts in full
    chooses: bool = field(init=False)
    #: computes the result from arrays: by the kernel where that pays, else by the reference
    forward: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        texts_and_functions(self, "name symbol", "shape reference", "check accumulate along subscripts dtype kink")
        if isinstance(self.dtype, type):
            raise ArgumentError(
                f"{self.name}: dtype is a rule such as primitives.dtypes.real, not {self.dtype.__name__}"
            )
        rules = list(enumerate(self.vjp)) if isinstance(self.vjp, tuple) else [(-1, self.vjp)]
        self.uses = {k: _values_used(rule, None if k < 0 else len(rules)) for k, rule in rules if rule is not None}
        self.slots = range(sys.maxsize) if -1 in self.uses else tuple(self.uses)
        self.chooses = self.keeps is not None or self.leaves_out
        if self.kind == "":
            self.kind = "elementwise" if self.shape in (broadcast, same_shape) else "other"
        if self.kind not in KINDS:
            raise ArgumentError(f"{self.name} is of kind {self.kind!r}; choose one of {', '.join(KINDS)}")
        self.elementwise = self.kind == "elementwise"
        if self.exact is None:
            self.exact = self.kind == "movement"
        adds_up = self.kind in ("reduction", "axis") and self.slots == (0,) and self.moves(0)
        self.homogeneous = adds_up or (bool(self.slots) and self.kind in ("movement", "index", "contraction"))
        self._tried: dict[Any, np.dtype[Any]] = {}
        self._fitting: set[tuple[Any, ...]] = set()  # number of operands and names of settings that calls had
        self._enter()
        self.forward = self.reference if self.kernel is None and self.check is None else self._checked

    def _enter(self) -> None:
        """Enter it in the table, in the place of a former one of that name, unless that is the engine's own."""
        if self.name in OWN:
            raise ArgumentError(f"{self.name!r} is the name of one of the engine's own primitives; choose another")
        TABLE[self.name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __copy__(self) -> Primitive:
        """Itself: like a function, it is told from others by who it is."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Primitive:
        return self

    def __reduce__(self) -> Any:
        """Pickled by its name, as a function: where it is loaded, the table has one of that name."""
        if TABLE.get(self.name) is not self:
            raise GraphError(f"{self!r} is not in the table of primitives and cannot be pickled; save its results")
        return _named, (self.name,)

    @property
    def is_boolean(self) -> bool:
        """Whether its results are true or false."""
        return self.dtype is dtypes.boolean

    @property
    def is_product(self) -> bool:
        """Whether operand 0 is multiplied by the matrix that is operand 1."""
        return self.kind == "contraction" and isinstance(self.vjp, tuple)

    @property
    def joins(self) -> bool:
        """Whether it puts its operands, any number of them, side by side."""
        return self.kind == "movement" and not isinstance(self.vjp, tuple)

    def of(self, operand: str) -> str:
        """Its text in pictures with its operand; "" for an operation of several, or one that needs more said."""
        alone = self.shape is same_shape or (isinstance(self.vjp, tuple) and len(self.vjp) == 1)
        if not (self.kind == "reduction" or (self.elementwise and alone)):
            return ""
        return self.symbol.replace("·", operand) if "·" in self.symbol else f"{self.symbol} {operand}"

    def pull(self, slot: int, g: Any, y: Any, operands: Sequence[Any], attrs: dict[str, Any]) -> Any:
        """The contribution of upstream gradient ``g`` to operand ``slot``."""
        if isinstance(self.vjp, tuple):
            rule = self.vjp[slot]
            assert rule is not None
            value = rule(g, y, *operands, **attrs) if attrs else rule(g, y, *operands)  # no settings is 0.2 us less
        else:
            value = self.vjp(slot, g, y, *operands, **attrs)
        if type(value) is not _ndarray and is_tensor(value) and not any(map(is_tensor, (g, *operands))):
            return value.numpy()  # a rule may be written with functions that make tensors of arrays
        return value

    def values_needed(self, slot: int) -> tuple[bool, tuple[int, ...] | None]:
        """Does the rule of ``slot`` need the result's value, and which operands' (None: all of them)?"""
        return self.uses[slot] if slot in self.uses else self.uses[-1]

    def moves(self, slot: int) -> bool:
        """Whether the rule of ``slot`` only moves the gradient: it uses no value, unless it is where to."""
        return self.leaves_out or self.values_needed(slot) == (False, ())

    def result_dtype(self, operands: Sequence[Any], attrs: dict[str, Any]) -> np.dtype[Any]:
        """The dtype of the result for ``operands``, which have a dtype or are Python numbers."""
        kinds = [getattr(x, "dtype", x) for x in operands]
        if self.dtype is not None:
            return self.dtype(kinds, **attrs)
        if not self.elementwise:
            return np.dtype(attrs["dtype"]) if "dtype" in attrs else dtypes.promoted(kinds)
        key = tuple(x if isinstance(x, np.dtype) else type(x) for x in kinds)
        if key not in self._tried or attrs or np.dtype(bool) in key or int in key:
            self._tried[key] = self._try(kinds, attrs)
        return self._tried[key]

    def _try(self, kinds: Sequence[Any], attrs: dict[str, Any]) -> np.dtype[Any]:
        """The dtype that the reference gives for ones; NumPy makes integers of some booleans, and refuses others."""
        promoted = dtypes.promoted(kinds)
        if promoted.kind == "f" and not any(isinstance(x, float) or getattr(x, "kind", "i") == "f" for x in kinds):
            return promoted  # no integer has room for them
        ones = [np.ones(1, x) if isinstance(x, np.dtype) else x for x in kinds]
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self.reference(*ones, **attrs)).dtype
        except ValueError:  # where NumPy has no integer, the engine takes a float: 2 ** -1
            return np.dtype(np.float64)

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
        """The kernel, for arrays of the dtypes it is for; without Numba the reference, which computes the same."""
        return load_kernel(self.kernel or "") if can_compile() else self.reference

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Compute on arrays, record on tensors."""
        if (len(operands), *attrs) not in self._fitting:
            self._refuse(operands, attrs)
        for operand in operands:
            if isinstance(operand, Recorded):
                return operand._record(self, operands, attrs)
        return self.forward(*operands, **attrs)

    def _refuse(self, operands: Sequence[Any], attrs: dict[str, Any]) -> None:
        """Refuse other operands and settings than ``reference`` takes; a `KeywordError`."""
        count = getattr(self.reference, "nin", None)  # a ufunc of NumPy's takes places to write into, and says little
        if count is None:
            refuse_call(self.reference, operands, attrs, self.name)
        elif attrs or count != len(operands):
            raise KeywordError(f"{self.name} takes {count} operand{'s' * (count > 1)} and no settings")
        self._fitting.add((len(operands), *attrs))


Primitive.__init__ = answerable(Primitive.__init__, "Primitive")  # type: ignore[method-assign]


class Unlisted(Primitive):
    """A primitive that is not in `TABLE`: nothing finds it by its name, and saved graphs keep the values it made."""

    #: of one with a backward pass of its own: its forward pass, recorded operation by operation
    opened: Callable[..., Any] | None = None
    #: of such a one: gives what its forward pass calls its operands, "" where it says nothing
    arguments: Callable[[], list[str]] | None = None
    #: of one that stands for many operations: ``written_out(build, node, operands, known)`` enters them into a
    #: `GraphBuilder` and gives the last; ``known`` is what other nodes of the same graph left there
    written_out: Callable[..., Any] | None = None

    def _enter(self) -> None:
        """Not in the table."""


def _named(name: str) -> Primitive:
    """The primitive of this name, of a pickle."""
    if name not in TABLE:
        raise DataError(f"the primitive {name!r} is not in this process; import the module that defines it")
    return TABLE[name]


def load_kernel(name: str) -> Callable[..., Any]:
    """A function of ``kernels``, found on first use, so that importing the engine does not import Numba."""
    kernel: Callable[..., Any] = getattr(import_module("tinygrad_rnn.kernels"), name)
    return kernel


def _values_used(rule: Callable[..., Any], count: int | None) -> tuple[bool, tuple[int, ...] | None]:
    """Read from the signature of one of ``count`` rules (None: of all) whether it uses the result, which operands."""
    parameters = [p for p in inspect.signature(rule).parameters.values() if p.kind != p.KEYWORD_ONLY]
    values = parameters[2:] if count is None else parameters[1:]
    if len(values) < 2:
        wants = "slot, g, y, *operands" if count is None else "g, y, and each operand"
        names = ", ".join(p.name for p in parameters)
        raise ArgumentError(f"a rule takes {wants}, but one takes ({names}) only; name what it does not use _x")
    y, *operands = values
    always = sum(p.default is p.empty for p in operands)  # the others may be missing
    variadic = operands[-1].kind == inspect.Parameter.VAR_POSITIONAL
    if not (count is None or variadic or always <= count <= len(operands)):
        raise ArgumentError(f"a rule takes {always} operands: give as many rules, not {count}; None for no gradient")
    if operands[0].kind == inspect.Parameter.VAR_POSITIONAL:
        return not y.name.startswith("_"), None if not operands[0].name.startswith("_") else ()
    return not y.name.startswith("_"), tuple(i for i, p in enumerate(operands) if not p.name.startswith("_"))


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


def normalize_axis(axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Axes as non-negative integers, in order; None means all of them."""
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, tuple) else (axis,)
    if any(isinstance(a, bool) for a in given):
        raise DTypeError(f"an axis must be an integer, not {axis}; give flags by their names, such as keepdims=True")
    axes = [integer(a, "an axis") for a in given]
    for a in axes:
        if not -rank <= a < rank:
            raise ShapeError(f"axis {a} is out of range for a tensor of {rank} dimension(s)")
    result = tuple(sorted(a % rank for a in axes))
    if len(set(result)) != len(result):
        raise ShapeError(f"axis {axis} names a dimension twice")
    return result


def along_axis(x: Shape, *, axis: int) -> Shape:
    """The result is shaped like the one operand, which has that axis."""
    normalize_axis(axis, len(x))
    return x


def reduced_shape(x: Shape, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape:
    """``x`` without the reduced axes, or with them kept at size 1."""
    axes = normalize_axis(axis, len(x))
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(x))
    return tuple(n for i, n in enumerate(x) if i not in axes)


def size_of(shape: Shape) -> int:
    """Number of elements."""
    return math.prod(shape)
