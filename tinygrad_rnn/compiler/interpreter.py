# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The interpreter: one compiled loop over a table of integers runs a whole training step.

It looks up an instruction's number, and calls the instruction through its address. Only what a program uses is ever
compiled, for its float type alone, and kept on disk: a process that starts anew loads it in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from ..native import address_of, c_function
from ..native.translate import Kind, call, integers
from ..optional_packages import needed
from .instructions import INSTRUCTIONS, blas
from .opcodes import KERNELS, LIMIT, NAMES, NUMBER, WIDTH

#: copying needs no float type, only the size of an element
_SIZED = {"copy1": "B", "copy2": "h", "copy4": "i", "copy8": "l"}

_REGION, _HOST, _LOOP = NUMBER["region"], NUMBER["host"], NUMBER["loop"]
_ROW_BYTES = WIDTH * 8
_kept: list[Any] = []


@cache
def _address(name: str, real: np.dtype[Any]) -> int:
    """Where one instruction is."""
    if name in KERNELS:
        with needed("a kernel of your own", "kernels"):
            from .instructions.of_numbers import address_of as of_numbers

        address, owner = of_numbers(*KERNELS[name], real)
        _kept.append(owner)
        return int(address)
    if name == "gemm":
        blas.chosen()
    kind = _SIZED.get(name, real.char)
    function = INSTRUCTIONS["copy" if name in _SIZED else name]
    return address_of(function, f"instruction_{name}_{kind}", ("row", "int", "int", Kind(kind)))


def entry_points(opcodes: Iterable[int], real: np.dtype[Any]) -> Any:
    """By number, the addresses of the instructions a program uses."""
    addresses: Any = np.zeros(LIMIT, np.int64)
    for number in opcodes:
        if number not in (_REGION, _HOST, _LOOP):
            addresses[number] = _address(NAMES[number], real)
    return addresses


def _run(table, entries, start, end):
    """Run rows ``start`` to ``end`` of the table; returns the row to hand to Python, the negative of a failed check,
    or the end.

    A loop's rows are run round after round. Between two rounds its addresses are moved on, in the table, and after the
    last they are moved back.
    """
    code = integers(table, end * WIDTH)
    entry = integers(entries, LIMIT)
    pc, first, last, left = start, 0, -1, 0
    while pc < end:
        op = code[pc * WIDTH]
        if op == _REGION:
            row = code[pc * WIDTH : pc * WIDTH + 5]
            after, tiles, full, tail = row[1], row[2], row[3], row[4]
            for tile in range(tiles):
                n = tail if tile == tiles - 1 else full
                for k in range(pc + 1, after):
                    call(entry[code[k * WIDTH]], table + k * _ROW_BYTES, tile, n)
            pc = after
        elif op == _LOOP:
            first, last, left = pc * WIDTH, code[pc * WIDTH + 1], code[pc * WIDTH + 2] - 1
            pc += 1
        elif op == _HOST:
            return pc
        else:
            if call(entry[op], table + pc * _ROW_BYTES, 0, 0):
                return -1 - pc
            pc += 1
        if pc == last:
            back, count = 1 if left else 1 - code[first + 2], code[first + 4]
            moves = integers(code[first + 3], 3 * count)
            for k in range(count):
                code[moves[3 * k] * WIDTH + moves[3 * k + 1]] += back * moves[3 * k + 2]
            if left:
                left -= 1
                pc = first // WIDTH + 1
            else:
                last = -1
    return pc


@cache
def loop() -> Any:
    """The loop as machine code, called with the addresses of the table and of the entry points, and two rows."""
    return c_function(address_of(_run, "run", ("int",) * 4), 4)
