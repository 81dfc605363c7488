# mypy: disable-error-code="no-untyped-call"
"""Instructions compiled by Numba: those of users, and all of them where what is shipped was made of other sources."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba.core import types
from numba.core.ccallback import CFunc

from ...errors import ArgumentError
from ...kernel_cache import cached
from ..opcodes import HOST, KERNELS, LOOP, NAMES, REGION, REPEAT, RUN
from . import elementwise, loop, moves, products, reductions_and_softmax
from .memory import INSTRUCTIONS, OPTIONS

__all__ = ["elementwise", "moves", "products", "reductions_and_softmax"]  # which enter their instructions

_FLOATS = {"float32": types.float32, "float64": types.float64}
#: copying needs no float type, only the size of an element
_SIZED = {"copy1": types.uint8, "copy2": types.int16, "copy4": types.int32, "copy8": types.int64}
#: what runs rows of a table, which is for no float type
_WHOLE_TABLES = {RUN: loop.run, REPEAT: loop.repeat}


def every() -> list[tuple[str, str]]:
    """The names of all instructions that are ours, with each float type that they are for; and what runs a table."""
    own = [name for name in NAMES if name not in KERNELS and name not in (REGION, HOST, LOOP)]
    return [*((name, "") for name in _WHOLE_TABLES), *((name, real) for name in own for real in _FLOATS)]


def prepared(name: str, real: str) -> tuple[Any, Any]:
    """A function for Numba to compile, and as it was written."""
    if name in _WHOLE_TABLES:
        function, signature = _WHOLE_TABLES[name], types.int64(types.int64)
    else:
        written = INSTRUCTIONS["copy" if name in _SIZED else name] if name not in KERNELS else None
        function = written or elementwise.of_numbers(*KERNELS[name])
        signature = types.int64(loop.ROW, types.int64, types.int64, types.CPointer(_SIZED.get(name) or _FLOATS[real]))
    options = {"fastmath": {"contract"}, **OPTIONS} if name not in _WHOLE_TABLES else OPTIONS
    return CFunc(function, (signature.args, signature.return_type), {}, options), function


@cache
def compiled(name: str, real: str) -> Any:
    """An instruction, compiled or from the disk; its address holds as long as it is there."""
    if name in KERNELS:
        return _of_user(name, real)
    made, function = prepared(name, real)
    cached(made, function).compile()
    return made


def _of_user(name: str, real: str) -> Any:
    """A user's kernel, which is not kept: it may have changed. What Numba says of it is made one line."""
    try:
        made, _ = prepared(name, real)
        made.compile()
    except Exception as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip() and "nopython" not in line]
        reason = said[0] if said else type(error).__name__
        if "function setitem" in reason:
            reason = "what it gives is no real number"
        code = KERNELS[name][0].__code__
        raise ArgumentError(
            f"Numba cannot compile the kernel of {name} for {real} ({code.co_filename}:{code.co_firstlineno}): "
            f"{reason:.200}; write it with arithmetic, math and NumPy's functions of numbers"
        ) from None
    return made
