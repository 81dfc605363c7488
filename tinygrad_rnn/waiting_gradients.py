"""Gradients that are still in the memory of the compiled function that computed them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import GraphError


class Turns:
    """A lock, shared by a compiled function and gradients that wait in its memory: one thread at a time uses that."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.RLock()  # who traces under it may ask for a gradient


class Waiting:
    """A gradient that is still where a compiled function computed it; only who asks for it pays for a copy.

    The next call of that program computes the next gradient there, and is what gives the tensor its next one.
    """

    __slots__ = ("_turns", "array")

    def __init__(self, turns: Turns) -> None:
        self.array: npt.NDArray[Any] | None = None  #: None: lost, for a call that began to compute the next one failed
        self._turns = turns

    def taken(self, of: str) -> npt.NDArray[Any]:
        """A copy of the gradient; a `GraphError` if that of the tensor described by ``of`` is lost."""
        with self._turns.lock:
            if self.array is None:
                raise GraphError(
                    f"the gradient of {of} is gone: the compiled function that left it was called again "
                    "and raised an error; call zero_grad(), or set .grad"
                )
            return np.array(self.array)
