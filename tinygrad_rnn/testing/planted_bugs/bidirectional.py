"""A tanh network that reads each way: two loops over time, and one thing to get wrong between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..oracles import Array, OracleGradients, coarse, complex_step


@dataclass(frozen=True)
class BothWays:
    """``L = Σ_t upstream_t · [h_t, k_t]``; ``h_t = tanh(W x_t + U h_{t-1})``, ``k_t = tanh(V x_t + R k_{t+1})``."""

    x: Array  #: (T, N, F)
    weights: tuple[Array, ...]  #: W, V (H, F), U, R (H, H) as W, U, V, R
    upstream: Array  #: (T, N, 2 H)

    def inputs(self) -> dict[str, Array]:
        """All that the loss depends on, by name."""
        return {"x": self.x, **dict(zip("WUVR", self.weights, strict=True))}

    def moved(self, **inputs: Array) -> BothWays:
        """The same with other inputs, by name."""
        now = {**self.inputs(), **inputs}
        return replace(self, x=now["x"], weights=tuple(now[name] for name in "WUVR"))

    def astype(self, dtype: Any) -> BothWays:
        """The same numbers in another precision."""
        return BothWays(self.x.astype(dtype), tuple(w.astype(dtype) for w in self.weights), self.upstream.astype(dtype))

    def states(
        self, x: Array, w: Array, u: Array, v: Array, r: Array, *, rounded: Callable[[Array], Array] = np.asarray
    ) -> Array:
        """(T, N, 2 H): both ways' states, side by side, each ``rounded`` before it is used."""
        steps, hidden = len(x), len(u)
        result = np.zeros((steps, x.shape[1], 2 * hidden), np.result_type(x, w, u, v, r))
        h = k = np.zeros((x.shape[1], hidden), result.dtype)
        for t in range(steps):
            h = rounded(np.tanh(x[t] @ w.T + h @ u.T))
            k = rounded(np.tanh(x[-1 - t] @ v.T + k @ r.T))
            result[t, :, :hidden], result[-1 - t, :, hidden:] = h, k
        return result

    def loss(self) -> float:
        """``L``."""
        return float(np.sum(self.upstream * self.states(self.x, *self.weights)))

    def truth(self) -> OracleGradients:
        """The gradient by the complex step."""
        found = complex_step(self.states, [self.x, *self.weights], self.upstream)
        return OracleGradients(dict(zip(["x", *"WUVR"], found, strict=True)))


class BothWaysBackward:
    """Its gradient by the chain rule; right as it stands."""

    name = "none"
    kinds = ("both",)

    def __init__(self, problem: BothWays, jitter: np.random.Generator | None = None) -> None:
        self.problem, self.jitter = problem, jitter

    def gradients(self) -> OracleGradients:
        """The gradients of the sequence and of the four weights."""
        x, (w, u, v, r) = self.problem.x, self.problem.weights
        both, hidden = self.problem.states(x, w, u, v, r, rounded=lambda x: coarse(x, self.jitter)), len(u)
        h, k = both[..., :hidden], both[..., hidden:]
        dh, dk = self.problem.upstream[..., :hidden], self.problem.upstream[..., hidden:]
        forth = self.loop(x, h, dh, w, u, np.zeros_like(h[0]))
        back = self.loop(x[::-1], k[::-1], dk[::-1], v, r, self.buffer(forth[3]))
        return OracleGradients(
            {"x": forth[0] + back[0][::-1], "W": forth[1], "U": forth[2], "V": back[1], "R": back[2]}
        )

    def loop(
        self, x: Array, h: Array, dh: Array, w: Array, u: Array, carried: Array
    ) -> tuple[Array, Array, Array, Array]:
        """One way: gradients of x and the weights, and what is carried out of the first step."""
        dx, dw, du = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u)
        for t in reversed(range(len(x))):
            da = (dh[t] + carried) * (1 - h[t] * h[t])
            dx[t], carried = da @ w, da @ u
            dw += da.T @ x[t]
            du += da.T @ (h[t - 1] if t else np.zeros_like(h[0]))
        return dx, dw, du, carried

    def buffer(self, left: Array) -> Array:
        """The first carry of the second loop; ``left`` is what the first one ended with."""
        return np.zeros_like(left)
