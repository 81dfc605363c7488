"""What the engine is judged by: the complex step through plain NumPy expressions that know nothing of it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.check import tolerance
from tinygrad_rnn.testing.oracles import complex_step

__all__ = ["RTOL", "close", "complex_step", "curvature", "judge"]
RTOL = tolerance("complex-step", np.float64).rtol


def curvature(
    function: Callable[..., Any], arrays: Sequence[np.ndarray], directions: Any, upstream: Any
) -> list[np.ndarray]:
    """Hessian times ``directions``: five-point differences of complex-step gradients, good to about 1e-9."""
    eps = 2e-3

    def at(k: int) -> list[np.ndarray]:
        return complex_step(function, [x + k * eps * v for x, v in zip(arrays, directions)], upstream)

    return [(a - 8 * b + 8 * c - d) / (12 * eps) for a, b, c, d in zip(at(-2), at(-1), at(1), at(2), strict=True)]


def close(got: Any, expected: Any, rtol: float = RTOL, atol: float = 0.0) -> None:
    """Same shape, and a normwise relative error of at most ``rtol``."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    error = np.linalg.norm(np.ravel(got - expected))
    assert error <= rtol * np.linalg.norm(np.ravel(expected)) + max(atol, 1e-300), (
        f"error {error}\n{got}\nis not\n{expected}"
    )


def judge(
    function: Callable[..., tg.Tensor], reference: Callable[..., Any], *arrays: np.ndarray, twice: bool = True
) -> None:
    """Value, gradients and curvature of ``function`` on tensors are those of ``reference`` on arrays."""
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    y = function(*leaves)
    rng = np.random.default_rng(7)
    value = np.asarray(reference(*arrays))
    close(y.numpy(), value, 1e-13, 1e-14)
    g = np.asarray(rng.standard_normal(value.shape))
    first = tg.grad(y, leaves, g, create_graph=True)
    size = float(np.linalg.norm(np.ravel(g)))
    for got, x, expected in zip(first, arrays, complex_step(reference, arrays, g), strict=True):
        assert got.dtype == x.dtype and got.shape == x.shape
        close(got.numpy(), expected, RTOL, 1e-12 * size)
    if twice:
        directions = [np.asarray(rng.standard_normal(x.shape)) for x in arrays]
        expected = curvature(reference, arrays, directions, g)
        if any(x.requires_grad for x in first):
            dot = sum((x * v).sum() for x, v in zip(first, directions, strict=True) if x.requires_grad)
            second = tg.grad(dot, leaves, allow_unused=True) if dot.requires_grad else [None] * len(leaves)
        else:
            second = [None] * len(leaves)
        for got, x, wanted in zip(second, arrays, expected, strict=True):
            close(np.zeros(x.shape) if got is None else got.numpy(), wanted, 1e-7, 1e-8 * (1 + size))
