"""Values of a model that are the same in every call, computed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...settings import no_grad
from ...tensors import Tensor
from ...thread_state import current

#: rounds of a loop that are unrolled at most
MOST_ROUNDS = 100_000


class Constant(Tensor):
    """A value that depends on neither input nor weight: it is known also while a function is being compiled."""

    def _read(self) -> np.ndarray[Any, Any]:
        return self._array


@contextmanager
def aside() -> Iterator[None]:
    """Nothing is recorded, and nothing traced."""
    tracer, current.tracer = current.tracer, None
    try:
        with no_grad():
            yield
    finally:
        current.tracer = tracer
