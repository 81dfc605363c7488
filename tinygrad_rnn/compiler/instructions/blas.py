# mypy: disable-error-code="no-untyped-call"
"""The library of matrix products for compiled programs: the first of `ORDER` that is there.

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

import llvmlite.binding

#: BLAS's products of two matrices, and of a matrix and a vector, in single and in double precision
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
    """The functions that SciPy publishes for others to call."""
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
    from .own_products import addresses

    return addresses()


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
