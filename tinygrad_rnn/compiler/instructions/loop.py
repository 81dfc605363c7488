# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The loop that runs a compiled program: for each row of its table it calls the instruction whose number stands there.

`repeat` runs it for many inputs in one call.
"""

from __future__ import annotations

from llvmlite import ir
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import intrinsic

from ..opcodes import NUMBER, WIDTH
from .memory import inner, octets

ROW = types.CPointer(types.int64)
_REGION, _HOST, _LOOP = NUMBER["region"], NUMBER["host"], NUMBER["loop"]
_ROW_BYTES = WIDTH * 8


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
        return builder.inttoptr(arguments[0], context.get_value_type(ROW))

    return ROW(address), generate


def run(span):
    """Run some rows of a table; returns the row to hand to Python, the negative of a failed check, or the end.

    At ``span`` are the addresses of the table and of the instructions, by number, then the first row and the end.

    A loop's rows are run round after round. Between two rounds its addresses are moved on, in the table, and after the
    last they are moved back.
    """
    words = carray(_integers(span), 4)  # type: ignore[call-arg]
    table, entries, start, end = words[0], words[1], words[2], words[3]
    code = carray(_integers(table), (end, WIDTH))
    entry = carray(_integers(entries), 1)  # and more: an address for every opcode
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


_run = inner(run)


@inner
def _copy(copies, count, turn):
    """Copies of whole values. At ``copies`` are, for each: from, to, how far these two move on with a turn, bytes."""
    words = carray(_integers(copies), (count, 5))  # type: ignore[call-arg]
    for k in range(count):
        source, target, nbytes = words[k, 0] + turn * words[k, 2], words[k, 1] + turn * words[k, 3], words[k, 4]
        x, y = octets(source, nbytes), octets(target, nbytes)
        for i in range(nbytes):
            y[i] = x[i]


def repeat(job):
    """Run all rows again and again; returns how many times they ran to their end.

    At ``job`` are: the address that `run` takes, where the rows end, how many turns there are, then the address and the
    number of the copies before a turn, and of those after it.
    """
    words = carray(_integers(job), 7)  # type: ignore[call-arg]
    for turn in range(words[2]):
        _copy(words[3], words[4], turn)
        if _run(words[0]) != words[1]:
            return turn
        _copy(words[5], words[6], turn)
    return words[2]
