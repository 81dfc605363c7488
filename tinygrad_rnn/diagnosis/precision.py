"""The precision of given gradients, and the difference from them that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..norms import norm
from ..tensors import Array

#: printed with fewer significant digits than this, two mistakes could not be told apart
FEWEST_DIGITS = 6
#: so many different numbers of so many digits are not the true ones rounded by chance
FEWEST_NUMBERS, FEWEST_IF_RIGHT = 3, 3
#: with more, numbers are taken as given in full
MOST_DIGITS = 12
#: relative to all that was added up, by `Precision.single`: rounding of two right walks that add in different orders
ROUNDING = {False: 1e-12, True: 2.0**-21}
#: single precision: what its last bits are worth, and the digits they make; those of half precision
SINGLE, SINGLE_DIGITS, HALF_DIGITS = 2.0**-20, 7.0, 3.0
#: how many times the measured rounding noise is still rounding; of 900 right gradients in single precision, by hand and
#: in every regime, the worst was off by 1.4 times
NOISE_MARGIN = 8.0


@dataclass(frozen=True)
class Precision:
    """The precision of a leaf's given gradient: half a unit of the last digit, by element, and the number of digits."""

    half: Array
    digits: float = np.inf
    decimals: float = np.inf  #: behind the point, of all elements at most
    single: bool = False  #: in float32, or printed or copied from it

    def allowed(self, noise: Array | float, scale: float) -> float:
        """The largest norm of a difference that counts as equal.

        ``noise``: the rounding error of the true walk in this precision; ``scale``: the norm of all that was added up.
        """
        return norm(self.half) * 1.01 + NOISE_MARGIN * norm(noise) + ROUNDING[self.single] * scale


def precisions(given: Mapping[int, Array], true: Mapping[int, Array]) -> dict[int, Precision]:
    """The precision of every given gradient.

    One with few digits beside others with many is round, or all 0, unless it is the true one rounded so.
    """
    found = {leaf: _of(g) for leaf, g in given.items()}
    printed = [p for leaf, p in found.items() if np.any(given[leaf])]
    finest = max((p.decimals for p in printed), default=np.inf)
    most = max((p.digits for p in printed), default=np.inf)
    for leaf, precision in found.items():
        few = precision.decimals < min(finest - 1, FEWEST_DIGITS) and precision.digits < min(most - 1, FEWEST_DIGITS)
        if few and precision.digits >= FEWEST_IF_RIGHT and len(np.unique(given[leaf])) >= FEWEST_NUMBERS:
            few = bool(np.any(np.abs(given[leaf] - true[leaf]) > 1.01 * precision.half))
        if few or not np.any(given[leaf]):
            precision = at_least(given[leaf], precision)
            found[leaf] = replace(precision, half=np.maximum(precision.half, 10.0**-finest / 2))
    return found


def at_least(given: Array, precision: Precision) -> Precision:
    """``precision``, with at least `FEWEST_DIGITS` digits: for numbers that happen to be round."""
    if precision.digits >= FEWEST_DIGITS:
        return precision
    return replace(precision, half=_half(np.abs(np.asarray(given, np.float64)), FEWEST_DIGITS), digits=FEWEST_DIGITS)


def _of(given: Array) -> Precision:
    """The precision that an array of numbers shows: significant digits or decimals, whichever is coarser."""
    values, stored = np.abs(np.asarray(given, np.float64)), given.dtype == np.float32
    if not np.any(values):
        return Precision(np.zeros(values.shape), single=stored)
    if given.dtype == np.float16:
        return Precision(2.0**-11 * values, HALF_DIGITS)
    blur, most = (2.0**-24, FEWEST_DIGITS - 1) if stored else (1e-15, MOST_DIGITS)
    digits = next((n for n in range(1, most + 1) if _multiples(values, 2 * _half(values, n), blur)), None)
    if digits is None and (stored or np.array_equal(values, values.astype(np.float32))):
        return Precision(SINGLE * values, SINGLE_DIGITS, single=True)
    if digits is None:
        return Precision(np.zeros(values.shape))
    whole = int(np.floor(np.log10(values.max()))) + 1
    decimals = next((k for k in range(most - whole + 1) if _multiples(values, 10.0**-k, blur)), np.inf)
    half = np.maximum(_half(values, digits), 10.0**-decimals / 2)
    if digits >= SINGLE_DIGITS and _printed_from_single(values, digits):
        return Precision(half + SINGLE * values, SINGLE_DIGITS, decimals, single=True)
    return Precision(half, digits, decimals, stored)


def _half(values: Array, digits: int) -> Array:
    """Half a unit of the last of ``digits`` significant digits, by element; 0 for 0."""
    unit = 10.0 ** (np.floor(np.log10(np.where(values == 0, 1.0, values))) - digits + 1)
    return np.asarray(np.where(values == 0, 0.0, unit / 2))


def _multiples(values: Array, unit: Array | float, blur: float) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.all((np.abs(np.round(values / unit) * unit - values) <= blur * values) | (values == 0)))


def _printed_from_single(values: Array, digits: int) -> bool:
    """Whether all numbers are printed float32: the shortest that tells them apart, 8 decimals, or ``digits`` digits."""
    nearest = [(v, np.float32(v)) for v in values.ravel().tolist()]
    return all(v in (float(str(f)), float(f"{f:.8f}"), float(f"{f:.{digits - 1}e}")) for v, f in nearest)
