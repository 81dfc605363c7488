"""The instruction set: the names of all opcodes, their numbers, and which primitives they compute.

A row of the table is an instruction: an opcode, addresses, sizes. Elementwise instructions stand in *regions*: a region
takes its operands tile by tile, small enough for the first-level cache, and runs all its instructions on one tile
before the next. There every operand is a plain run of ``n`` numbers.

This is where the compiler looks up what it can do with a primitive; `kernel` adds to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from .. import primitives as P
from ..errors import ArgumentError
from ..graph import Node
from ..primitives.record import OWN, Primitive

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
#: what the interpreter itself does: the instructions of a region, tile by tile; hand a row to Python; the instructions
#: of a loop, whose addresses move on after every round
REGION, HOST, LOOP = "region", "host", "loop"
#: the interpreter itself, and what runs it again and again, on other inputs every time
RUN, REPEAT = "run", "repeat"
#: elementwise primitives without an opcode: which opcode does it, on which operands (a position, or a number)
_IN_OTHER_WORDS: dict[str, tuple[str, tuple[int | float, ...]]] = {
    "neg": ("mul", (0, -1.0)), "relu": ("maximum", (0, 0.0)), "cast": ("where", (0, 1.0, 0.0)),
    "less": ("greater", (1, 0)), "less_equal": ("greater_equal", (1, 0)),
}  # fmt: skip

NAMES = [*_ELEMENTWISE, *_WHOLE, REGION, HOST, LOOP]
NUMBER = {name: number for number, name in enumerate(NAMES)}
#: opcodes there may be at most
LIMIT = 4096

#: columns of a row
WIDTH = 14

#: opcodes made by `kernel`: the function of numbers, of how many, and whether it answers true or false
KERNELS: dict[str, tuple[Callable[..., Any], int, bool]] = {}
_opcode_of: WeakKeyDictionary[Primitive, str] = WeakKeyDictionary()
_warned: WeakSet[Primitive] = WeakSet()
Made = TypeVar("Made", bound=Callable[..., Any])


def kernel(op: Primitive, operands: int = 1) -> Callable[[Made], Made]:
    """Let compiled programs compute an elementwise primitive by the decorated function of single numbers.

    Args:
        op: a primitive without settings.
        operands: how many it has, up to three.

    Numba compiles the function, for the program's float type; so it may use what Numba can: arithmetic, `math`, NumPy's
    functions of numbers. Without a kernel a compiled program calls the primitive's ``reference`` through Python, and a
    warning says so.

    Raises `ArgumentError` if ``op`` is not elementwise.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.compiler import kernel
    >>> from tinygrad_rnn.primitives import same_shape
    >>> cube = tg.Primitive("cube", "·³", same_shape, lambda x: x**3, vjp=(lambda g, _y, x: 3 * g * x**2,))
    >>> @kernel(cube)
    ... def one_cube(x):
    ...     return x * x * x
    """
    if not op.elementwise or not 1 <= operands <= 3:
        raise ArgumentError(
            f"a kernel is for an elementwise primitive of one to three operands, not for {op.name} ({op.kind}) of "
            f"{operands}; give its record kind='elementwise' if it is that"
        )

    def enter(function: Made) -> Made:
        name = op.name if op.name not in NUMBER else f"{op.name} ({len(NAMES)})"
        NUMBER[name] = len(NAMES)
        NAMES.append(name)
        KERNELS[name] = function, operands, op.is_boolean
        _opcode_of[op] = name
        return function

    return enter


def elementwise(op: Primitive) -> tuple[str, tuple[int | float, ...] | None] | None:
    """The opcode that computes a primitive in a region, and its operands if it takes others; None if there is none."""
    if op in _opcode_of:
        return _opcode_of[op], None
    if op.name not in OWN:
        return None
    return _IN_OTHER_WORDS.get(op.name) or ((op.name, None) if op.name in _ELEMENTWISE else None)


def whole(op: Primitive) -> bool:
    """Whether there is an instruction that computes a primitive on whole values."""
    return op.name in OWN and op.name in _WHOLE


def warn_without_kernel(node: Node) -> None:
    """Warn, once, that a primitive somebody defined is computed through Python, a call for every use."""
    op = node.op
    if op is None or not op.elementwise or op.name in OWN or op in _opcode_of or op in _warned:
        return
    _warned.add(op)
    warnings.warn(
        f"{op.name} (at {node.site}) has no kernel: compiled programs compute it through Python, a call for every use; "
        "write one with @tinygrad_rnn.compiler.kernel",
        RuntimeWarning,
        stacklevel=2,
    )


def in_region(name: str) -> bool:
    """Whether an opcode is done tile by tile."""
    return name in _ELEMENTWISE or name in KERNELS
