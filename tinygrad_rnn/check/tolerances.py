"""The tolerances by which `check_gradients` and the test tools judge gradients, in one table.

All comparisons are normwise, one tensor and one time step at a time. Two gradients agree if

    ‖got − expected‖ ≤ rtol ‖expected‖ + ROUNDING_MARGIN · noise

where ``noise`` is what rounding does to this very computation in its precision, measured (`rounding_noise.noise`), not
guessed. It is far below ``rtol`` unless the gradient is a small difference of large numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..norms import norm
from ..rounding_noise import ROUNDING_MARGIN

#: of the complex step: so small that its square vanishes, and no rounding error grows from it
COMPLEX_STEP = 1e-30
#: of five-point differences, relative to the size of the value: error about ``step**4 + eps/step``
DIFFERENCE_STEP = 2e-3
#: kernels against references, in units of the dtype's precision
KERNEL_ULPS = 64


class Tolerance(NamedTuple):
    """The accuracy of one method of finding the expected gradient."""

    rtol: float
    why: str


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("complex-step", "float64"): Tolerance(1e-11, "no subtraction: both sides are right to about 1e-14"),
    ("complex-step", "float32"): Tolerance(2e-5, "the gradient has 24 bits; expected is computed in float64"),
    ("finite-difference", "float64"): Tolerance(1e-7, "rounding of the differences, magnified by 1 / step"),
    ("finite-difference", "float32"): Tolerance(2e-5, "the gradient has 24 bits; expected is computed in float64"),
    ("value", "float64"): Tolerance(1e-13, "the same numbers, added in another order"),
    ("second derivative", "float64"): Tolerance(1e-7, "five-point differences of complex steps"),
    ("second derivative", "float32"): Tolerance(2e-4, "24 bits, differentiated twice"),
}


def tolerance(method: str, dtype: Any) -> Tolerance:
    """The row of the table for gradients of ``dtype``."""
    return TOLERANCES[method, str(np.dtype(dtype))]


def bound(expected: Any, rtol: float, noise: float = 0.0) -> float:
    """The largest ``‖got − expected‖`` that counts as agreement."""
    return norm(np.multiply(expected, rtol)) + ROUNDING_MARGIN * noise


def underflow(dtype: Any, size: int) -> float:
    """The error of ``size`` elements that are, or whose parts are, too small for ``dtype``."""
    return float(np.finfo(dtype).tiny) * float(np.sqrt(size))


def finite(x: Any) -> Any:
    """``x`` with 0 in place of what is not a finite number."""
    return np.where(np.isfinite(x), x, 0.0)
