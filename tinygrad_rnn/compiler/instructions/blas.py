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

from ...native import address_of, provide
from ...native.translate import Kind, at, itemsize

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
    functions: dict[str, tuple[Callable[..., Any], int]] = {"gemm": (_plain_gemm, 13), "gemv": (_plain_gemv, 11)}
    found = {}
    for name in FUNCTIONS:
        function, count = functions[name[1:]]
        kind = Kind("f" if name[0] == "s" else "d")
        found[name] = address_of(function, f"plain_{name}", (kind, *["int"] * count))
    return found


SOURCES: dict[str, Callable[[], dict[str, int] | None]] = {"fast": _fast, "supported": _supported, "none": _none}
ORDER = ("fast", "supported", "none")


@cache
def chosen() -> str:
    """Let compiled code call ``blas_sgemm`` and its like; which of `ORDER` they are."""
    for which in ORDER:
        found = SOURCES[which]()
        if found is not None:
            for name, address in found.items():
                provide(f"blas_{name}", address)
            return which
    raise AssertionError("there are always our own loops")


# Without any: column-major, scalars by address, as Fortran's ------------------------------------------------------


_INT32, _LETTER = Kind("i"), Kind("B")


def _integer(address):
    return at(address, 1, _INT32)[0]


def _is_transposed(address):
    return at(address, 1, _LETTER)[0] != 78  # N


def _plain_gemm(like, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """``alpha`` is 1 and ``beta`` 0 or 1."""
    rows, cols, depth = _integer(m), _integer(n), _integer(k)
    across, down, keep = _integer(lda), _integer(ldb), at(beta, 1, like)[0]
    left, right = at(a, 0, like), at(b, 0, like)
    for j in range(cols):
        out = at(c + j * _integer(ldc) * itemsize(like), rows, like)
        if keep == 0:
            out[:] = 0
        for p in range(depth):
            factor = right[p * down + j] if _is_transposed(tb) else right[j * down + p]
            if _is_transposed(ta):
                for i in range(rows):
                    out[i] += factor * left[i * across + p]
            else:
                for i in range(rows):
                    out[i] += factor * left[p * across + i]


def _plain_gemv(like, t, m, n, alpha, a, lda, x, incx, beta, y, incy):
    """The same."""
    rows, cols, across, between, apart = _integer(m), _integer(n), _integer(lda), _integer(incx), _integer(incy)
    left, right, out, keep = at(a, 0, like), at(x, 0, like), at(y, 0, like), at(beta, 1, like)[0]
    transposed = _is_transposed(t)
    for i in range(cols if transposed else rows):
        total = keep if keep == 0 else out[i * apart]
        for p in range(rows if transposed else cols):
            total += right[p * between] * left[i * across + p if transposed else p * across + i]
        out[i * apart] = total
