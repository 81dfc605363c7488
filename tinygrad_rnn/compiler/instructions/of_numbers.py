# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg"
"""Instructions made of a function of numbers that somebody wrote: compiled by Numba, which knows all of Python."""

from __future__ import annotations

import numba
import numpy as np
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import intrinsic

_FLOATS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}


@intrinsic
def _pointer(_typing, address, like):
    """The address as a pointer of the type of ``like``."""

    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(like))

    return like(address, like), generate


@intrinsic
def _octets(_typing, address):
    target = types.CPointer(types.uint8)

    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(target))

    return target(address), generate


def address_of(function, operands, boolean, real):
    """Where an instruction is that calls ``function`` for each element of one to three operands; and what keeps it."""
    one = numba.njit(fastmath={"contract"}, error_model="numpy", nogil=True)(function)

    if boolean:

        @numba.njit
        def result(r, tile, n, like):
            return carray(_octets(r[1] + tile * r[2]), n)

    else:

        @numba.njit
        def result(r, tile, n, like):
            return carray(_pointer(r[1] + tile * r[2], like), n)

    @numba.njit
    def operand(r, k, tile, n, like):
        return carray(_pointer(r[k] + tile * r[k + 1], like), n)

    if operands == 1:

        def made(r, tile, n, like):
            y, a = result(r, tile, n, like), operand(r, 3, tile, n, like)
            for i in range(n):
                y[i] = one(a[i])
            return 0

    elif operands == 2:

        def made(r, tile, n, like):
            y, a, b = result(r, tile, n, like), operand(r, 3, tile, n, like), operand(r, 5, tile, n, like)
            for i in range(n):
                y[i] = one(a[i], b[i])
            return 0

    else:

        def made(r, tile, n, like):
            y, a, b = result(r, tile, n, like), operand(r, 3, tile, n, like), operand(r, 5, tile, n, like)
            c = operand(r, 7, tile, n, like)
            for i in range(n):
                y[i] = one(a[i], b[i], c[i])
            return 0

    signature = types.int64(types.CPointer(types.int64), types.int64, types.int64, types.CPointer(_FLOATS[real]))
    compiled = numba.cfunc(signature, fastmath={"contract"}, error_model="numpy", nogil=True)(made)
    return compiled.address, compiled
