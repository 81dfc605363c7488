"""The one source of randomness: initialisers, dropout and sampling draw from it."""

from __future__ import annotations

import numpy as np

_generator = np.random.default_rng(0)


def manual_seed(seed: int) -> None:
    """Start the sequence of random numbers again from ``seed``; equal seeds give equal networks and samples."""
    global _generator
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The current generator."""
    return _generator
