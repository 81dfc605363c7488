"""Three cells that no library has, with their backward passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..oracles import Array, NumpyRecurrence, State, sigmoid
from .bptt import Bptt, Saved

#: gates and states
OWN = {"residual": (1, ("h",)), "minimal": (2, ("h",)), "coupled": (3, ("h", "c"))}


def own_cell(kind: str, ax: Any, ah: Any, state: tuple[Any, ...], sigmoid: Any = sigmoid, tanh: Any = np.tanh) -> Any:
    """The next state, of arrays or, with their functions, of tensors; ``ax`` and ``ah`` are what the gates are made of.

    ``residual``: ``h' = h + tanh(a) / 2``. ``minimal``: ``f = σ(a_f)``, ``n = tanh(ax_n + f ah_n)``,
    ``h' = (1 - f) h + f n`` (after Zhou et al. 2016). ``coupled``: an LSTM whose input gate is ``1 - f`` (Greff et al.
    2017).
    """
    size = state[0].shape[-1]
    a = ax + ah
    if kind == "residual":
        return (state[0] + tanh(a) / 2,)
    f = sigmoid(a[..., :size])
    if kind == "minimal":
        return ((1 - f) * state[0] + f * tanh(ax[..., size:] + f * ah[..., size:]),)
    c = f * state[1] + (1 - f) * tanh(a[..., size : 2 * size])
    return sigmoid(a[..., 2 * size :]) * tanh(c), c


class OwnRecurrence(NumpyRecurrence):
    """Like `NumpyRecurrence`, of one of these cells."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The states that are carried."""
        return OWN[self.kind][1]

    def step(self, t: int, state: State, x: Array | None = None, weights: Sequence[Array] | None = None) -> State:
        """The state after time step ``t``, given that before."""
        w_ih, w_hh, b_ih, b_hh = self.weights if weights is None else weights
        ax = (self.x[t] if x is None else x) @ np.swapaxes(w_ih, -1, -2) + b_ih
        ah = state[0] @ np.swapaxes(w_hh, -1, -2) + b_hh
        runs = (t < self.lengths)[:, None]
        new = own_cell(self.kind, ax, ah, state)
        return tuple(np.where(runs, a, b) for a, b in zip(new, state, strict=True))


class OwnBptt(Bptt):
    """Their gradients by the chain rule; right as it stands."""

    kinds = tuple(OWN)

    def forward(self, t: int) -> Saved:
        """The gates of time step ``t``."""
        w_ih, w_hh, b_ih, b_hh = self.problem.weights
        ax, ah = self.problem.x[t] @ w_ih.T + b_ih, self.states[t][0] @ w_hh.T + b_hh
        if self.problem.kind == "residual":
            return {"n": np.tanh(ax + ah)}
        if self.problem.kind == "minimal":
            (fx, nx), (fh, nh) = np.split(ax, 2, -1), np.split(ah, 2, -1)
            f = sigmoid(fx + fh)
            return {"f": f, "nh": nh, "n": np.tanh(nx + f * nh)}
        f, g, o = np.split(ax + ah, 3, -1)
        f, g, o = sigmoid(f), np.tanh(g), sigmoid(o)
        return {"f": f, "g": g, "o": o, "tanh_c": np.tanh(f * self.states[t][1] + (1 - f) * g)}

    def residual(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``h' = h + tanh(a) / 2``."""
        da = arrived[0] / 2 * self.d_tanh(s["n"])
        return da, da, (arrived[0],)

    def minimal(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``h' = (1 - f) h + f n``."""
        (dh,), (h,), f = arrived, before, s["f"]
        dn = dh * f * self.d_tanh(s["n"])
        df = (dh * (s["n"] - h) + dn * s["nh"]) * self.d_sigmoid(f)
        return np.concatenate([df, dn], -1), np.concatenate([df, dn * f], -1), (dh * (1 - f),)

    def coupled(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``c' = f c + (1 - f) g``, ``h' = o tanh(c')``."""
        dh, dc = arrived
        dc = self.into_c(s, dh, dc)
        df = dc * (before[1] - s["g"]) * self.d_sigmoid(s["f"])
        dg = dc * (1 - s["f"]) * self.d_tanh(s["g"])
        do = dh * s["tanh_c"] * self.d_sigmoid(s["o"])
        da = np.concatenate([df, dg, do], -1)
        return da, da, (np.zeros_like(dh), dc * s["f"])
