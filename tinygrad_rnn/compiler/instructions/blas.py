# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Where matrix products of compiled programs come from: the first library of `ORDER` that is there.

`benchmarks/blas.py` compares them, docs/performance.md says what it found. scipy-openblas32 is for testers of NumPy and
SciPy, by its own words, so it is an extra, between bounds that are tested; SciPy's ``cython_blas`` is what SciPy lets
others use; without either our own loops do it, right and slow.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
from numba import carray  # type: ignore[attr-defined]
from numba.core import types

from .memory import OPTIONS, inner, pointer_to

#: on one thread each: a small product loses more to a second than it gains; large steps cut the batch in two, a thread
#: for each half
FUNCTIONS = ("sgemm", "dgemm", "sgemv", "dgemv")


def _fast() -> dict[str, int] | None:
    """OpenBLAS by itself, the newest."""
    try:
        folder = import_module("scipy_openblas32").get_lib_dir()
        library = ctypes.CDLL(str(next(Path(folder).glob("libscipy_openblas*"))))
    except (ImportError, OSError, StopIteration):
        return None
    # a small product loses more to a second thread than it gains; large steps cut the batch in two, a thread for each
    library.scipy_openblas_set_num_threads(1)
    return {name: ctypes.cast(getattr(library, f"scipy_{name}_"), ctypes.c_void_p).value or 0 for name in FUNCTIONS}


def _supported() -> dict[str, int] | None:
    """What SciPy publishes for others to call."""
    try:
        capsules = import_module("scipy.linalg.cython_blas").__pyx_capi__
    except ImportError:
        return None
    for library in import_module("threadpoolctl").ThreadpoolController().lib_controllers:
        if "scipy.libs" in library.filepath:  # NumPy's, which eager mode uses, keeps its threads
            library.set_num_threads(1)
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return {each: int(pointer(capsules[each], name(capsules[each]))) for each in FUNCTIONS}


def _none() -> dict[str, int]:
    """Loops of our own."""
    for letter, real in (("s", types.float32), ("d", types.float64)):
        for name, function, count in zip(("gemm", "gemv"), _plain(real), (13, 11)):
            _own[letter + name] = numba.cfunc(types.void(*[types.int64] * count), **OPTIONS)(function)
    return {name: function.address for name, function in _own.items()}


_own: dict[str, Any] = {}  #: they are there as long as these are


SOURCES: dict[str, Callable[[], dict[str, int] | None]] = {"fast": _fast, "supported": _supported, "none": _none}
ORDER = ("fast", "supported", "none")


@cache
def chosen() -> str:
    """Let compiled code call ``blas_sgemm`` and its like; which of `ORDER` they are."""
    for which in ORDER:
        found = SOURCES[which]()
        if found is not None:
            for name, address in found.items():
                llvmlite.binding.add_symbol(f"blas_{name}", address)
            return which
    raise AssertionError("there are always our own loops")


# Without any: column-major, scalars by address, as Fortran's ------------------------------------------------------


def _plain(real: Any) -> tuple[Any, Any]:
    """Loops for gemm, whose ``alpha`` is 1 and ``beta`` 0 or 1, and for gemv."""
    as_floats, as_integers, as_letters = pointer_to(real), pointer_to(types.int32), pointer_to(types.uint8)

    @inner
    def floats(address, n):
        return carray(as_floats(address), n)

    @inner
    def integer(address):
        return types.int64(carray(as_integers(address), 1)[0])

    @inner
    def is_transposed(address):
        return carray(as_letters(address), 1)[0] != 78  # N

    @inner
    def six(m, n, k, lda, ldb, ldc):
        return integer(m), integer(n), integer(k), integer(lda), integer(ldb), integer(ldc)

    def gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        rows, cols, depth, across, down, apart = six(m, n, k, lda, ldb, ldc)
        keep, size = floats(beta, 1)[0], floats(beta, 1).itemsize
        left = floats(a, across * (rows if is_transposed(ta) else depth))
        right = floats(b, down * (depth if is_transposed(tb) else cols))
        for j in range(cols):
            out = floats(c + j * apart * size, rows)
            if keep == 0:
                out[:] = 0
            for p in range(depth):
                factor = right[p * down + j] if is_transposed(tb) else right[j * down + p]
                for i in range(rows):
                    out[i] += factor * (left[i * across + p] if is_transposed(ta) else left[p * across + i])

    def gemv(t, m, n, alpha, a, lda, x, incx, beta, y, incy):
        rows, cols, across, between, apart, _ = six(m, n, lda, incx, incy, incy)
        transposed, keep = is_transposed(t), floats(beta, 1)[0]
        left = floats(a, across * cols)
        inputs, outputs = (rows, cols) if transposed else (cols, rows)
        right, out = floats(x, between * inputs), floats(y, apart * outputs)
        for i in range(outputs):
            total = keep if keep == 0 else out[i * apart]
            for p in range(inputs):
                total += right[p * between] * left[i * across + p if transposed else p * across + i]
            out[i * apart] = total

    return gemm, gemv
