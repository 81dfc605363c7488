"""Matrix products of our shapes by several BLAS libraries, side by side in one run, one thread each.

    python benchmarks/blas.py              # products, in GFLOP/s: the best of interleaved blocks
    python benchmarks/blas.py steps        # W1 to W6 with each that the engine can use, times the first one's

What is not installed is left out. The rule: what is supported is what the engine uses if it is within 3 % of the
fastest on W1 to W6; else the fastest is an extra. `compiler/instructions/blas.py` says what became of it.
"""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for _variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # tuned for another machine; only both or none make sense
    os.environ.pop(_variable, None)
os.environ |= {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_THREADING_LAYER": "SEQUENTIAL",
}

import numpy as np  # noqa: E402

#: (m, n, k): what W4, W3 and W6 multiply a step of time, and over all of them
SHAPES = [(64, 2048, 512), (64, 512, 2048), (2048, 512, 3200), (50, 512, 128), (50, 128, 512), (16, 768, 256),
          (16, 256, 768), (100, 1, 100), (1000, 64, 64)]  # fmt: skip
Product = Callable[[Any, Any, Any], object]  #: C = A B, C-ordered


def fortran(sgemm: Any, integer: Any) -> Product:
    """A library's sgemm: column-major, so it is given the transposed problem."""
    one, zero, plain = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_char(b"N")

    def product(a: Any, b: Any, c: Any) -> object:
        (m, k), n = a.shape, b.shape[1]
        sizes = [integer(x) for x in (n, m, k)]
        by = ctypes.byref
        return sgemm(by(plain), by(plain), *map(by, sizes), by(one), b.ctypes.data_as(ctypes.c_void_p), by(sizes[0]),
                     a.ctypes.data_as(ctypes.c_void_p), by(sizes[2]), by(zero), c.ctypes.data_as(ctypes.c_void_p),
                     by(sizes[0]))  # fmt: skip

    return product


def libraries() -> Iterator[tuple[str, Product]]:
    """Those that are installed."""
    try:
        import scipy_openblas32

        library = ctypes.CDLL(str(next(Path(scipy_openblas32.get_lib_dir()).glob("libscipy_openblas*"))))
        yield f"scipy-openblas32 {scipy_openblas32.__version__}", fortran(library.scipy_sgemm_, ctypes.c_int32)
    except ImportError:
        pass
    try:
        import scipy
        from scipy.linalg import cython_blas

        name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
        name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        capsule = cython_blas.__pyx_capi__["sgemm"]
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(pointer(capsule, name(capsule)))
        yield f"SciPy {scipy.__version__}'s cython_blas", fortran(function, ctypes.c_int32)
    except ImportError:
        pass
    for path in (Path(np.__file__).parents[1] / "numpy.libs").glob("libscipy_openblas64_*"):
        yield f"NumPy {np.__version__}'s own", fortran(ctypes.CDLL(str(path)).scipy_sgemm_64_, ctypes.c_int64)
    for path in (Path(sys.prefix) / "lib").glob("libmkl_rt.so*"):
        yield "mkl", fortran(ctypes.CDLL(str(path)).sgemm_, ctypes.c_int32)
    try:
        from blis.py import gemm

        yield "blis", lambda a, b, c: gemm(a, b, out=c, beta=0.0)
    except ImportError:
        pass


def products(blocks: int = 15, seconds: float = 0.02) -> None:
    found = dict(libraries())
    print("| m × n × k, GFLOP/s |", " | ".join(found), "|")
    print("|---|" + "---|" * len(found))
    for m, n, k in SHAPES:
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
        c, expected = np.empty((m, n), np.float32), a @ b
        best = dict.fromkeys(found, math.inf)
        for _ in range(blocks):
            for who, product in found.items():
                product(a, b, c)
                if not np.allclose(c, expected, atol=1e-3 * math.sqrt(k)):
                    raise SystemExit(f"{who} is wrong on {m} x {n} x {k}")
                repeat = max(1, int(seconds / (2 * m * n * k / 5e10)))
                began = time.perf_counter()
                for _ in range(repeat):
                    product(a, b, c)
                best[who] = min(best[who], (time.perf_counter() - began) / repeat)
        print(
            f"| {m} × {n} × {k} |",
            " | ".join(f"{2 * m * n * k / t * 1e-9:.0f}" for t in best.values()),
            "|",
            flush=True,
        )


STEP = """
import sys, time
sys.path.insert(0, {folder!r})
import contestants
from tinygrad_rnn.compiler.instructions import blas
blas.ORDER = ({which!r},)
found = {{}}
for name in {names!r}:
    step = contestants.ours(contestants.WORKLOADS[name], True).step
    step()
    found[name] = step
for _ in sys.stdin:
    for name, step in found.items():
        began = time.perf_counter()
        step()
        once = time.perf_counter() - began
        repeat, best = max(1, int(0.05 / once)), 1e9
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(repeat):
                step()
            best = min(best, (time.perf_counter() - began) / repeat)
        print(name, best, flush=True)
    print("end", flush=True)
"""


def steps(rounds: int = 6) -> None:
    """A process for each, which take turns."""
    from tinygrad_rnn.compiler.instructions import blas

    names = ["W1", "W2", "W3", "W4", "W5", "W6"]
    folder = os.path.dirname(os.path.abspath(__file__))
    running, best = {}, {}
    for which in blas.ORDER:
        if which == "none" or blas.SOURCES[which]() is None:  # our own loops take minutes on W4
            continue
        code = STEP.format(folder=folder, which=which, names=names)
        running[which] = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        best[which] = dict.fromkeys(names, math.inf)
    for _ in range(rounds):
        for which, process in running.items():
            print("go", file=process.stdin, flush=True)
            while (line := process.stdout.readline().split()) and line != ["end"]:
                best[which][line[0]] = min(best[which][line[0]], float(line[1]))
    for process in running.values():
        process.communicate()
    first = next(iter(best.values()))
    print("| one thread |", " | ".join(names), "|\n|---|" + "---|" * len(names))
    for which, times in best.items():
        print(f"| {which} |", " | ".join(f"{times[name] / first[name]:.2f}" for name in names), "|")


if __name__ == "__main__":
    if sys.argv[1:] == ["steps"]:
        steps()
    else:
        products()
