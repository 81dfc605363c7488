"""The one source of randomness: initialisers, dropout and sampling draw from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import answering
from .errors import ArgumentError, GraphError
from .thread_state import current

_generator = np.random.default_rng(0)


def manual_seed(seed: int) -> None:
    """Start the sequence of random numbers again from ``seed``, an integer from 0.

    Equal seeds give equal networks, dropout masks and samples. Raises `ArgumentError` for what is no such integer.

    >>> import tinygrad_rnn as tg
    >>> tg.manual_seed(1)
    >>> first = tg.rand(3).tolist()
    >>> tg.manual_seed(1)
    >>> tg.rand(3).tolist() == first
    True
    """
    global _generator
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ArgumentError(f"manual_seed: a seed is an integer from 0 up, not {seed!r:.40}")
    _generator = np.random.default_rng(seed)


def random_state() -> Any:
    """The state of the generator, to be given to `set_random_state` later."""
    return _generator.bit_generator.state


def set_random_state(state: Any) -> None:
    """Draw the same numbers again as after the call of `random_state` that returned ``state``."""
    _generator.bit_generator.state = state


def generator() -> np.random.Generator:
    """The generator that everything random here draws from; `manual_seed` starts it anew."""
    if current.tracer is not None:
        raise GraphError(
            "a random number drawn while a function is being compiled would be the same in every call; "
            "draw it outside and pass it in"
        )
    return _generator


answering(globals())
