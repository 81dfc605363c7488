"""How precisely somebody's gradients are given, and what counts as the same numbers."""

from __future__ import annotations

import numpy as np

from ..norms import norm
from ..tensors import Array

#: printed with fewer significant digits than this, two mistakes could not be told apart
FEWEST_DIGITS = 6
#: relative to all that was added up: rounding of two right walks that add in different orders
ROUNDING = 1e-12
#: the same of gradients in single precision: what cancels leaves rounding as large as its parts had
ROUNDING_SINGLE = 2.0**-21


def half_units(given: Array) -> Array:
    """Per element, half a unit of the last digit it was given with; 0 where it is given in full."""
    if given.dtype == np.float32:
        return np.asarray(np.abs(given).astype(np.float64) * 2.0**-20)
    values = np.asarray(given, np.float64)
    size = np.where(values == 0, 1.0, np.abs(values))
    for digits in range(FEWEST_DIGITS, 13):
        unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
        if np.all(np.abs(np.round(values / unit) * unit - values) <= 1e-15 * size):
            return np.asarray(np.where(values == 0, 0.0, unit / 2))
    return np.zeros(values.shape)


def allowed(given: Array, scale: float) -> float:
    """The norm of a difference that means nothing; ``scale`` is the norm of everything that was added up."""
    rounding = ROUNDING_SINGLE if given.dtype == np.float32 else ROUNDING
    return norm(half_units(given)) * 1.01 + rounding * scale
