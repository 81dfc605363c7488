# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The interpreter: one compiled loop over a table of integers runs a whole training step.

It looks up an instruction's number, and calls the instruction through its address. Only what a program uses is ever
compiled, for its float type alone, and kept on disk: a process that starts anew loads it in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from ..kernel_cache import cached
from .instructions import INSTRUCTIONS, blas
from .instructions.elementwise import of_numbers
from .instructions.memory import OPTIONS
from .opcodes import KERNELS, LIMIT, NAMES, NUMBER, WIDTH

_ROW = types.CPointer(types.int64)
_FLOATS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}
#: copying needs no float type, only the size of an element
_SIZED = {"copy1": types.uint8, "copy2": types.int16, "copy4": types.int32, "copy8": types.int64}

_REGION, _HOST, _LOOP = NUMBER["region"], NUMBER["host"], NUMBER["loop"]
_ROW_BYTES = WIDTH * 8


@cache
def _compiled(name: str, real: np.dtype[Any]) -> Any:
    """One instruction, compiled or from the disk."""
    if name == "gemm":
        blas.chosen()  # the functions it calls are there before it is linked
    function = of_numbers(*KERNELS[name]) if name in KERNELS else INSTRUCTIONS["copy" if name in _SIZED else name]
    kind = types.CPointer(_SIZED.get(name) or _FLOATS[real])
    signature = types.int64(_ROW, types.int64, types.int64, kind)
    made = CFunc(function, (signature.args, signature.return_type), {}, {"fastmath": {"contract"}, **OPTIONS})
    (made if name in KERNELS else cached(made, function)).compile()  # one of those is not kept: it may have changed
    return made


def entry_points(opcodes: Iterable[int], real: np.dtype[Any]) -> Any:
    """By number, the addresses of the instructions a program uses."""
    addresses: Any = np.zeros(LIMIT, np.int64)
    for number in opcodes:
        if number not in (_REGION, _HOST, _LOOP):
            addresses[number] = _compiled(NAMES[number], real).address
    return addresses


@intrinsic
def _call(_typing, address, row, tile, n):
    """Call the instruction at an address."""

    def generate(_context, builder, _signature, arguments):
        integer, pointer = ir.IntType(64), ir.IntType(64).as_pointer()
        kind = ir.FunctionType(integer, [pointer, integer, integer, pointer])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        row = builder.inttoptr(arguments[1], pointer)
        return builder.call(function, [row, arguments[2], arguments[3], ir.Constant(pointer, None)])

    return types.int64(address, row, tile, n), generate


@intrinsic
def _integers(_typing, address):
    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(_ROW))

    return _ROW(address), generate


def _run(table, entries, start, end):
    """Run rows ``start`` to ``end`` of the table; returns the row to hand to Python, the negative of a failed check,
    or the end.

    A loop's rows are run round after round. Between two rounds its addresses are moved on, in the table, and after the
    last they are moved back.
    """
    code = carray(_integers(table), (end, WIDTH))
    entry = carray(_integers(entries), LIMIT)
    pc, first, last, left = start, 0, -1, 0
    while pc < end:
        op = code[pc, 0]
        if op == _REGION:
            after, tiles, full, tail = code[pc, 1], code[pc, 2], code[pc, 3], code[pc, 4]
            for tile in range(tiles):
                n = tail if tile == tiles - 1 else full
                for k in range(pc + 1, after):
                    _call(entry[code[k, 0]], table + k * _ROW_BYTES, tile, n)
            pc = after
        elif op == _LOOP:
            first, last, left = pc, code[pc, 1], code[pc, 2] - 1
            pc += 1
        elif op == _HOST:
            return pc
        else:
            if _call(entry[op], table + pc * _ROW_BYTES, 0, 0):
                return -1 - pc
            pc += 1
        if pc == last:
            back = 1 if left else 1 - code[first, 2]
            moves = carray(_integers(code[first, 3]), (code[first, 4], 3))
            for k in range(code[first, 4]):
                code[moves[k, 0], moves[k, 1]] += back * moves[k, 2]
            if left:
                left -= 1
                pc = first + 1
            else:
                last = -1
    return pc


run = cached(numba.njit(**OPTIONS)(_run), _run)
