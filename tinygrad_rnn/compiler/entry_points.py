"""The entry points of machine code: addresses of the instructions that a program uses, and of the loop that calls them.

The loop that runs a compiled program, a whole training step, is `run` in ``instructions/loop.py``: it goes through a
table of integers, finds an instruction's address by its number, and calls it. Only what a program uses is ever made
into machine code, for its float type alone, and kept on disk: a process that starts anew loads it in milliseconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from . import machine_code
from .instructions import blas
from .opcodes import HOST, KERNELS, LOOP, NAMES, REGION


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


def addresses_of(opcodes: Iterable[int], real: np.dtype[Any]) -> Any:
    """The addresses of the instructions that a program uses, by their numbers."""
    addresses: Any = np.zeros(len(NAMES), np.int64)
    for number in opcodes:
        if NAMES[number] not in (REGION, HOST, LOOP):
            addresses[number] = _address(NAMES[number], real.name)
    return addresses


@cache
def loop_over_rows(name: str) -> Callable[[int], int]:
    """`instructions.loop.run` (``RUN``) or ``repeat`` (``REPEAT``) as machine code, called without Python's lock."""
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(_address(name, ""))
