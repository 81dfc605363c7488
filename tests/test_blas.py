"""Every library that products of compiled programs may come from, and none."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_rnn.compiler.instructions import blas


def by_reference(value: object) -> ctypes.c_int64:
    kept.append(value)
    return ctypes.c_int64(ctypes.addressof(value))


kept: list[object] = []


@pytest.fixture(params=blas.SOURCES)
def library(request: pytest.FixtureRequest) -> dict[str, int]:
    found = blas.SOURCES[request.param]()
    assert found is not None, f"{request.param} is what the tests need, and is not installed"
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_right(library: dict[str, int], dtype: type) -> None:
    """Column-major, either side transposed, added to what is there or not, rows further apart than they are long."""
    real, letter = (ctypes.c_float, "s") if dtype == np.float32 else (ctypes.c_double, "d")
    gemm, gemv = (
        ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(library[letter + name])
        for name, count in (("gemm", 13), ("gemv", 11))
    )
    rng = np.random.default_rng(0)
    m, n, k, more = 5, 7, 6, 3
    number = lambda x: by_reference(ctypes.c_int32(x))  # noqa: E731
    for ta in (False, True):
        for tb in (False, True):
            for beta in (0.0, 1.0):
                a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
                c = rng.normal(size=(m, n)).astype(dtype)
                expected = a @ b + (c if beta else 0)
                if not beta:
                    c[:] = np.nan  # is not looked at
                left, right, out = (spaced(x, more) for x in (a.T if ta else a, b.T if tb else b, c))
                letters = [by_reference(ctypes.c_char(b"T" if t else b"N")) for t in (ta, tb)]
                gemm(*letters, number(m), number(n), number(k), by_reference(real(1)), left.ctypes.data,
                     number(len(left)), right.ctypes.data, number(len(right)), by_reference(real(beta)),
                     out.ctypes.data, number(len(out)))  # fmt: skip
                np.testing.assert_allclose(out[:m, :n], expected, rtol=1e-4 if dtype == np.float32 else 1e-12)
                x, y = rng.normal(size=2 * k).astype(dtype), np.ones(2 * m, dtype)
                gemv(letters[0], *map(number, left[:-more].shape), by_reference(real(1)), left.ctypes.data,
                     number(len(left)), x.ctypes.data, number(2), by_reference(real(beta)), y.ctypes.data,
                     number(2))  # fmt: skip
                np.testing.assert_allclose(y[::2], a @ x[::2] + beta, rtol=1e-4 if dtype == np.float32 else 1e-12)
                assert (y[1::2] == 1).all()


def spaced(x: np.ndarray, more: int) -> np.ndarray:
    made = np.zeros((len(x) + more, x.shape[1]), x.dtype, order="F")
    made[: len(x)] = x
    return made


@pytest.mark.parametrize("which", ["supported", "none"])
def test_the_engine_works_with_each(which: str) -> None:
    code = f"""
import numpy as np, tinygrad_rnn as tg
from tinygrad_rnn.compiler.instructions import blas
blas.ORDER = ({which!r},)
tg.manual_seed(0)
model = tg.nn.GRU(3, 20)
def step(x):
    loss = (model(x)[0] ** 2).mean()
    return loss, *tg.grad(loss, [*model.parameters()])
x = tg.tensor(np.random.default_rng(0).normal(size=(4, 20, 3)).astype("f4"))
for a, b in zip(tg.compile(step)(x), step(x)):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-6)
print(blas.chosen())
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [which], done.stderr
