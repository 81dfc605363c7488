"""The interpreter as Python calls it: addresses of instructions, and of the compiled loop over a table of integers.

The loop itself is `instructions.loop.run`; it runs a whole training step. It looks up an instruction's number, and
calls the instruction through its address. Only what a program uses is ever made into machine code, for its float type
alone, and kept on disk: a process that starts anew loads it in milliseconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from . import machine_code
from .instructions import blas
from .opcodes import HOST, KERNELS, LIMIT, LOOP, NAMES, REGION


@cache
def _address(name: str, real: str) -> int:
    """The address of one instruction's machine code."""
    if name == "gemm":
        blas.chosen()  # the functions it calls are there before it is linked
    shipped = None if name in KERNELS else machine_code.address(name, real)
    if shipped is not None:
        return shipped
    from .instructions.by_numba import compiled

    return int(compiled(name, real).address)


def entry_points(opcodes: Iterable[int], real: np.dtype[Any]) -> Any:
    """The addresses of the instructions that a program uses, by their numbers."""
    addresses: Any = np.zeros(LIMIT, np.int64)
    for number in opcodes:
        if NAMES[number] not in (REGION, HOST, LOOP):
            addresses[number] = _address(NAMES[number], real.name)
    return addresses


@cache
def loop_over_rows(name: str) -> Callable[[int], int]:
    """`instructions.loop.run` (``RUN``) or ``repeat`` (``REPEAT``) as machine code, called without Python's lock."""
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(_address(name, ""))
