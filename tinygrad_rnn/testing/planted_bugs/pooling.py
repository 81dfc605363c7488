"""Max pooling over a batch in which two samples are equal: a tie that has a derivative, if it is shared rightly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..oracles import Array, OracleGradients, coarse, complex_step


@dataclass(frozen=True)
class Pooling:
    """``L = Σ upstream · max_n tanh(x_n Wᵀ)`` as a function of ``W``; tied samples are equal and move together."""

    x: Array  #: (N, F)
    weight: Array  #: (H, F)
    upstream: Array  #: (H,)

    def inputs(self) -> dict[str, Array]:
        """All that the loss depends on, by name."""
        return {"weight": self.weight}

    def moved(self, **inputs: Array) -> Pooling:
        """The same with other inputs, by name."""
        return replace(self, **inputs)

    def astype(self, dtype: Any) -> Pooling:
        """The same numbers in another precision."""
        return Pooling(*(each.astype(dtype) for each in (self.x, self.weight, self.upstream)))

    def _pooled(self, weight: Array) -> Array:
        y = np.tanh(self.x @ weight.T)
        return np.asarray(np.take_along_axis(y, np.argmax(y.real, 0)[None], 0)[0])

    def loss(self) -> float:
        """``L``."""
        return float(np.sum(self.upstream * self._pooled(self.weight)))

    def truth(self) -> OracleGradients:
        """The gradient by the complex step."""
        return OracleGradients({"weight": complex_step(self._pooled, [self.weight], self.upstream)[0]})


class PoolingBackward:
    """Its gradient by the chain rule; right as it stands."""

    name = "none"
    kinds = ("pool",)

    def __init__(self, problem: Pooling, jitter: np.random.Generator | None = None) -> None:
        self.problem, self.jitter = problem, jitter

    def gradients(self) -> OracleGradients:
        """The gradient of the weight."""
        x, y = self.problem.x, np.tanh(self.problem.x @ self.problem.weight.T)
        dy = self.shared(y == y.max(0)) * self.problem.upstream
        y = coarse(y, self.jitter)
        return OracleGradients({"weight": (dy * (1 - y * y)).T @ x})

    def shared(self, largest: Array) -> Array:
        """The gradient that each of the largest receives."""
        return np.asarray(largest / largest.sum(0))
