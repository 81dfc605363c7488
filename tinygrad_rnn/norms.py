"""The Euclidean length of an array, right also where squares of its elements would overflow or vanish."""

from __future__ import annotations

from typing import Any

import numpy as np


def norm(values: Any) -> float:
    """``sqrt(Σ x²)`` of all elements together, in double precision: scaled by the largest before squaring.

    0 of an empty array, nan where an element is nan, infinity where one is infinite.

    >>> from tinygrad_rnn.norms import norm
    >>> f"{norm([3e200, 4e200]):g}"
    '5e+200'
    """
    flat = np.asarray(values, np.float64).ravel()
    largest = float(np.max(np.abs(flat), initial=0.0))
    if not np.isfinite(largest) or largest == 0:
        return largest
    return largest * float(np.linalg.norm(flat / largest))
