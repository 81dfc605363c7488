"""Backpropagation through time written out by hand, in parts small enough to get wrong one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..oracles import WEIGHTS, Array, NumpyRecurrence, OracleGradients, State, coarse, sigmoid

Saved = dict[str, Array]


class Bptt:
    """The gradients of a `NumpyRecurrence` by the chain rule, last step first (Werbos 1990).

    Right as it stands; a planted bug is a subclass that gets one method wrong.
    """

    name = "none"
    #: kinds of cell it is written for
    kinds: tuple[str, ...] = ("rnn", "lstm", "gru")

    def __init__(
        self, problem: NumpyRecurrence, jitter: np.random.Generator | None = None, states: list[State] | None = None
    ) -> None:
        """``jitter`` rounds what the forward pass carries and saves, coarsely: for measuring what rounding does.

        ``states``: those that a forward pass went through, which is not repeated then.
        """
        self.problem, self.jitter = problem, jitter
        self.states = states or [problem.initial]
        for t in range(len(self.states) - 1, len(problem.x)):
            self.states.append(tuple(coarse(s, jitter) for s in problem.step(t, self.states[-1])))
        self.saved = [self.forward(t) for t in range(len(problem.x))]

    def gradients(self) -> OracleGradients:
        """All of them."""
        problem, result = self.problem, OracleGradients()
        result.whole["x"] = np.zeros(problem.x.shape)
        carried = self.last()
        for t in self.order():
            arrived = self.arrive(t, carried)
            for role, gradient in zip(problem.roles, arrived, strict=True):
                result.states[role, t] = gradient
            runs = self.runs(t)
            dax, dah, direct = self.pull(t, tuple(np.where(runs, g, 0.0) for g in arrived))
            for name, share in zip(WEIGHTS, self.shares(t, dax, dah), strict=True):
                result.shares[name, t] = share
            result.whole["x"][t] = dax @ problem.weights[0]
            through = self.through(dah)
            before = (direct[0] + through, *direct[1:])
            carried = self.carry(t, tuple(np.where(runs, new, old) for new, old in zip(before, arrived, strict=True)))
        result.whole.update(zip((f"{role}0" for role in problem.roles), self.first(carried), strict=True))
        for name in WEIGHTS:
            result.whole[name] = self.total([result.shares[name, t] for t in range(len(problem.x))], name)
        return result

    # What the forward pass keeps -------------------------------------------------------------------------

    def forward(self, t: int) -> Saved:
        """The gates of time step ``t``."""
        w_ih, w_hh, b_ih, b_hh = self.problem.weights
        ax = self.problem.x[t] @ w_ih.T + b_ih
        ah = self.states[t][0] @ w_hh.T + b_hh
        if self.problem.kind == "rnn":
            return self._kept(h=np.tanh(ax + ah))
        if self.problem.kind == "lstm":
            i, f, g, o = np.split(ax + ah, 4, -1)
            kept = self._kept(i=sigmoid(i), f=sigmoid(f), g=np.tanh(g), o=sigmoid(o))
            c = kept["f"] * self.states[t][1] + kept["i"] * kept["g"]
            return kept | self._kept(tanh_c=np.tanh(c))
        (rx, zx, nx), (rh, zh, nh) = np.split(ax, 3, -1), np.split(ah, 3, -1)
        kept = self._kept(r=sigmoid(rx + rh), z=sigmoid(zx + zh), nh=nh)
        return kept | self._kept(n=np.tanh(nx + kept["r"] * kept["nh"]))

    def _kept(self, **values: Array) -> Saved:
        return {name: coarse(x, self.jitter) for name, x in values.items()}

    # The parts of the backward pass ----------------------------------------------------------------------

    def order(self) -> Iterable[int]:
        """The time steps as they are visited."""
        return reversed(range(len(self.problem.x)))

    def last(self) -> State:
        """The gradient that arrives at the last states from behind the sequence."""
        return self.problem.final

    def runs(self, t: int) -> Array:
        """(N, 1): which sequences have not ended before time step ``t``."""
        return np.asarray((t < self.problem.lengths)[:, None])

    def arrive(self, t: int, carried: State) -> State:
        """The complete gradient of the states after step ``t``: carried back from later, plus its own output's."""
        return (carried[0] + self.problem.upstream[t] * self.runs(t), *carried[1:])

    def carry(self, t: int, state: State) -> State:
        """The gradient that step ``t`` hands to step ``t - 1``."""
        return state

    def first(self, carried: State) -> State:
        """The gradients of the initial states."""
        return carried

    def through(self, dah: Array) -> Array:
        """Back through the recurrent weight."""
        return np.asarray(dah @ self.problem.weights[1])

    def shares(self, t: int, dax: Array, dah: Array) -> tuple[Array, Array, Array, Array]:
        """The contributions of step ``t`` to the gradients of the two weights and two biases."""
        x, h = self.inputs(t)
        return dax.T @ x, dah.T @ h, self.unbroadcast(dax), self.unbroadcast(dah)

    def inputs(self, t: int) -> tuple[Array, Array]:
        """The operands that the weights were multiplied with."""
        return self.problem.x[t], self.states[t][0]

    def unbroadcast(self, da: Array) -> Array:
        """A bias was repeated for every sequence of the batch."""
        return np.asarray(da.sum(0))

    def total(self, shares: list[Array], name: str) -> Array:
        """A shared weight's gradient."""
        return np.asarray(sum(shares[1:], start=shares[0]))

    def pull(self, t: int, arrived: State) -> tuple[Array, Array, State]:
        """Through the cell: gradients before the gates (by x, by h), and of the states by the direct way."""
        pull: Any = getattr(self, self.problem.kind)
        dax, dah, direct = pull(self.saved[t], arrived, self.states[t])
        return dax, dah, direct

    def d_sigmoid(self, y: Array) -> Array:
        """In terms of its value."""
        return y * (1 - y)

    def d_tanh(self, y: Array) -> Array:
        """In terms of its value."""
        return 1 - y * y

    # The cells -------------------------------------------------------------------------------------------

    def rnn(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``h' = tanh(a)``."""
        da = arrived[0] * self.d_tanh(s["h"])
        return da, da, (np.zeros_like(da),)

    def lstm(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``c' = f c + i g``, ``h' = o tanh(c')``."""
        dh, dc = arrived
        dc = self.into_c(s, dh, dc)
        gates = self.lstm_gates(s, dh, dc, before[1])
        da = np.concatenate(gates, -1)
        return da, da, (np.zeros_like(dh), dc * s["f"])

    def into_c(self, s: Saved, dh: Array, dc: Array) -> Array:
        """The cell state receives from the next step, and from ``h`` through its tanh."""
        return dc + dh * s["o"] * self.d_tanh(s["tanh_c"])

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        """Before the gates, in the order i, f, g, o."""
        return [
            dc * s["g"] * self.d_sigmoid(s["i"]),
            dc * c * self.d_sigmoid(s["f"]),
            dc * s["i"] * self.d_tanh(s["g"]),
            dh * s["tanh_c"] * self.d_sigmoid(s["o"]),
        ]

    def gru(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        """``n = tanh(nx + r nh)``, ``h' = (1 - z) n + z h``."""
        (dh,), (h,) = arrived, before
        dn = dh * self.new_share(s) * self.d_tanh(s["n"])
        dz = self.into_z(s, dh, h) * self.d_sigmoid(s["z"])
        dr = dn * s["nh"] * self.d_sigmoid(s["r"])
        return np.concatenate([dr, dz, dn], -1), np.concatenate([dr, dz, self.into_nh(s, dn)], -1), (self.kept(s, dh),)

    def new_share(self, s: Saved) -> Array:
        """The weight of the new value in the mixture."""
        return 1 - s["z"]

    def into_z(self, s: Saved, dh: Array, h: Array) -> Array:
        """More z is more of the old state and less of the new value."""
        return dh * (h - s["n"])

    def into_nh(self, s: Saved, dn: Array) -> Array:
        """The recurrent part of the new value, behind the reset gate."""
        return dn * s["r"]

    def kept(self, s: Saved, dh: Array) -> Array:
        """The old state's direct share of the new."""
        return dh * s["z"]
