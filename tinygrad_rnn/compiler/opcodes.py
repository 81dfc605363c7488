"""The instruction set: the names of all opcodes, and their numbers.

A row of the table is an instruction: an opcode, addresses, sizes. Elementwise instructions stand in *regions*: a region
takes its operands tile by tile, small enough for the first-level cache, and runs all its instructions on one tile
before the next. There every operand is a plain run of ``n`` numbers.
"""

from __future__ import annotations

#: done on one tile; those that are primitives have the primitive's name
ELEMENTWISE = (
    "add", "sub", "mul", "div", "exp", "log", "sqrt", "tanh", "sigmoid", "abs", "pow", "maximum", "minimum", "where",
    "greater", "greater_equal", "equal", "not_equal", "not_equal_integers", "greater_integers",
    "load", "load_bool", "splat", "store", "store_bool",
)  # fmt: skip
#: done on whole values
WHOLE = (
    "gemm", "copy1", "copy2", "copy4", "copy8", "sum", "max", "softmax", "log_softmax", "logsumexp",
    "cross_entropy", "take", "scatter_rows", "one_hot", "argmax", "check",
)  # fmt: skip
#: what the loop itself does: the instructions of a region, tile by tile; hand a row to Python
REGION, HOST = "region", "host"

NAMES = (*ELEMENTWISE, *WHOLE, REGION, HOST)
NUMBER = {name: number for number, name in enumerate(NAMES)}

#: columns of a row
WIDTH = 14
