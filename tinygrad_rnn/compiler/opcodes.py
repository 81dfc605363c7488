"""The instruction set: the names of all opcodes, their numbers, and which primitives they compute.

A row of the table is an instruction: an opcode, addresses, sizes. Elementwise instructions stand in *regions*: a region
takes its operands tile by tile, small enough for the first-level cache, and runs all its instructions on one tile
before the next. There every operand is a plain run of ``n`` numbers.

This is where the compiler looks up what it can do with a primitive; `kernel` adds to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dis import get_instructions
from inspect import Parameter, signature
from types import FunctionType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from .. import primitives as P
from ..errors import ArgumentError
from ..graph import Node
from ..primitives.record import OWN, Primitive, Unlisted
from ..source_line import warn

#: done on one tile; those that are primitives have the primitive's name
_ELEMENTWISE = (
    "add", "sub", "mul", "div", "exp", "log", "sqrt", "tanh", "sigmoid", "abs", "pow", "maximum", "minimum", "where",
    "greater", "greater_equal", "equal", "not_equal", "not_equal_integers", "greater_integers",
    "load", "load_bool", "splat", "store", "store_bool",
)  # fmt: skip
#: done on whole values
_WHOLE = (
    "gemm", "copy1", "copy2", "copy4", "copy8", "sum", "max", "softmax", "log_softmax", "logsumexp",
    "cross_entropy", "take", "scatter_rows", "one_hot", "argmax", "check",
)  # fmt: skip
#: primitives that gemm computes
PRODUCTS = (P.linear, P.matmul)
#: what the loop over the rows (instructions/loop.py) does itself: run the instructions of a region, tile by tile; hand
#: a row to Python; run the instructions of a loop, whose addresses move on after every round
REGION, HOST, LOOP = "region", "host", "loop"
#: that loop, and what runs it again and again, on other inputs every time
RUN, REPEAT = "run", "repeat"
#: elementwise primitives without an opcode: which opcode does it, on which operands (a position, or a number)
_IN_OTHER_WORDS: dict[str, tuple[str, tuple[int | float, ...]]] = {
    "neg": ("mul", (0, -1.0)), "relu": ("maximum", (0, 0.0)), "cast": ("where", (0, 1.0, 0.0)),
    "less": ("greater", (1, 0)), "less_equal": ("greater_equal", (1, 0)),
}  # fmt: skip

NAMES = [*_ELEMENTWISE, *_WHOLE, REGION, HOST, LOOP]
NUMBER = {name: number for number, name in enumerate(NAMES)}

#: columns of a row
WIDTH = 14

#: opcodes made by `kernel`: the function of numbers, of how many, and whether it answers true or false
KERNELS: dict[str, tuple[Callable[..., Any], int, bool]] = {}
_opcode_of: WeakKeyDictionary[Primitive, str] = WeakKeyDictionary()
_warned: WeakSet[Primitive] = WeakSet()
Made = TypeVar("Made", bound=Callable[..., Any])


def kernel(op: Primitive, operands: int | None = None) -> Callable[[Made], Made]:
    """Let compiled programs compute an elementwise primitive by the decorated function of single numbers.

    Args:
        op: a primitive without settings.
        operands: how many it has, one to three; where not given, as many as its ``reference`` takes.

    Numba compiles the function, for the program's float type, when a compiled program first needs it; so it may use
    what Numba can: arithmetic, `math`, NumPy's functions of numbers. Without a kernel a compiled program calls the
    primitive's ``reference`` through Python, and a warning says so.

    Raises `ArgumentError` if ``op`` is not elementwise or has settings, or if the function takes another number of
    operands.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.compiler import kernel
    >>> from tinygrad_rnn.primitives import same_shape
    >>> cube = tg.Primitive("cube", "·³", same_shape, lambda x: x**3, vjp=(lambda g, _y, x: 3 * g * x**2,))
    >>> @kernel(cube)
    ... def one_cube(x):
    ...     return x * x * x
    """
    if not isinstance(op, Primitive):
        raise ArgumentError(f"a kernel is for a Primitive, not for {op!r:.60}; give the record, as in @kernel(cube)")
    if not op.elementwise:
        raise ArgumentError(
            f"a kernel is for an elementwise primitive, not for {op.name} ({op.kind}); give its record "
            "kind='elementwise' if it is that"
        )
    known, settings = _takes(op)
    if settings:
        raise ArgumentError(
            f"{op.name} has a setting, {settings[0]}, which a kernel does not receive; make a primitive for each value"
        )
    count = operands if operands is not None else known
    if not isinstance(count, int) or known not in (None, count):
        given = f"operands={operands!r:.40}" if operands is not None else "an unknown number of operands"
        raise ArgumentError(f"{op.name} takes {known or 'any number of'} operand(s); give that number, not {given}")
    if not 1 <= count <= 3:
        raise ArgumentError(f"a kernel is for one to three operands, and {op.name} has {count}; compose it of smaller")

    def enter(function: Made) -> Made:
        _refuse_other_arguments(op, count, function)
        name = op.name if op.name not in NUMBER else f"{op.name} ({len(NAMES)})"
        NUMBER[name] = len(NAMES)
        NAMES.append(name)
        KERNELS[name] = function, count, op.is_boolean
        _opcode_of[op] = name
        return function

    return enter


def _takes(op: Primitive) -> tuple[int | None, list[str]]:
    """The number of a primitive's operands (None: unknown, or any number), and the names of its settings."""
    if isinstance(op.reference, np.ufunc):
        return op.reference.nin, []
    if not isinstance(op.reference, FunctionType):
        return (len(op.vjp) or None if isinstance(op.vjp, tuple) else None), []
    parameters = signature(op.reference).parameters.values()
    settings = [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return None, settings
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is Parameter.empty for p in parameters), settings


def _refuse_other_arguments(op: Primitive, operands: int, function: Any) -> None:
    """The function must be one that Numba compiles and calls with so many numbers."""
    if not isinstance(function, FunctionType):
        raise ArgumentError(
            f"the kernel of {op.name} must be a function written in Python, with def or lambda, not {function!r:.60}"
        )
    taken = signature(function)
    try:
        taken.bind(*range(operands))
        fits = all(p.kind is not Parameter.KEYWORD_ONLY for p in taken.parameters.values())
    except TypeError:
        fits = False
    if not fits:
        raise ArgumentError(
            f"the kernel of {op.name} is called with {operands} number(s), one of each operand, but "
            f"{function.__name__} takes {taken}; let it take {operands}"
        )
    if any(instruction.opname == "RAISE_VARARGS" for instruction in get_instructions(function)):
        raise ArgumentError(
            f"the kernel of {op.name} raises, or asserts, which machine code without Python cannot; let it give nan"
        )


def has_kernel(op: Primitive) -> bool:
    """Whether `kernel` gave it one."""
    return op in _opcode_of


def elementwise(node: Node) -> tuple[str, tuple[int | float, ...] | None] | None:
    """The opcode that computes a node in a region, and its operands if it takes others; None if there is none."""
    op = node.op
    assert op is not None
    if op in _opcode_of:
        name = _opcode_of[op]
        return (name, None) if len(node.operands) == KERNELS[name][1] and not node.attrs else None
    if op.name not in OWN:
        return None
    return _IN_OTHER_WORDS.get(op.name) or ((op.name, None) if op.name in _ELEMENTWISE else None)


def warn_without_kernel(node: Node) -> None:
    """Warn, once, that a primitive somebody defined is computed through Python, a call for every use."""
    op = node.op
    if op is None or isinstance(op, Unlisted) or op.name in OWN or op in _warned or elementwise(node) is not None:
        return
    _warned.add(op)
    if not op.elementwise:
        why = f"is of kind {op.kind!r}, and kernels are for elementwise primitives"
    elif op in _opcode_of:
        why = "has settings here, or another number of operands, which its kernel is not for"
    else:
        why = "has no kernel"
    cure = "; write one with @tinygrad_rnn.compiler.kernel" if why == "has no kernel" else ""
    warn(
        f"{op.name} (at {node.site}) {why}: compiled programs compute it through Python, a call for every use{cure}",
        RuntimeWarning,
    )


def in_region(name: str) -> bool:
    """Whether an opcode is done tile by tile."""
    return name in _ELEMENTWISE or name in KERNELS
