"""Judges of gradients that share no code with the engine: plain NumPy forwards, and the complex step through them.

`NumpyRecurrence` is an RNN, LSTM or GRU over a (ragged) batch of sequences, written straight from the papers'
equations, right for complex values. Its `NumpyRecurrence.truth` holds the gradient of everything at every time step.
`disagreements` is how two sets of gradients are compared: per tensor and per time step, by the one table of tolerances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..check.tolerances import COMPLEX_STEP, bound, tolerance, underflow
from ..norms import norm

Array = np.ndarray[Any, np.dtype[Any]]
State = tuple[Array, ...]

#: what one time step has a copy of its own of, when weights are untied
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
ROLES = {"rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, never through the exponential of anything large; complex values welcome."""
    negative = np.real(x) < 0
    e = np.exp(np.where(negative, x, -x))
    return np.asarray(np.where(negative, e, 1) / (1 + e))


def coarse(x: Array, rng: np.random.Generator | None) -> Array:
    """``x`` rounded at random to 36 bits, to see what rounding does; ``x`` itself without ``rng``."""
    return x if rng is None else x * (1 + 2.0**-36 * rng.uniform(-1, 1, x.shape))


def complex_step(function: Callable[..., Any], arrays: Sequence[Array], upstream: Any = 1.0) -> list[Array]:
    """Gradients of ``sum(upstream * function(*arrays))`` in each array, element by element.

    >>> from tinygrad_rnn.testing.oracles import complex_step
    >>> complex_step(lambda x: x**3, [np.array([2.0])])
    [array([12.])]
    """
    gradients = []
    for k, x in enumerate(arrays):
        slope = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            moved = [np.array(y, complex) for y in arrays]
            moved[k][at] += 1j * COMPLEX_STEP
            slope[at] = np.sum(upstream * np.imag(function(*moved))) / COMPLEX_STEP
        gradients.append(slope)
    return gradients


def cell(kind: str, x: Array, state: State, weights: Sequence[Array], nudge: Any = 0.0) -> State:
    """One time step: x (..., N, F), state (..., N, H) each, weights (..., G H, F), (..., G H, H), (..., 1, G H) twice.

    The equations and the order of gates are those of `tinygrad_rnn.nn`; nothing else is shared with it. ``nudge`` moves
    the LSTM's new c before h is made of it.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    h = state[0]
    ax = x @ np.swapaxes(w_ih, -1, -2) + b_ih
    ah = h @ np.swapaxes(w_hh, -1, -2) + b_hh
    if kind == "rnn":
        return (np.tanh(ax + ah),)
    if kind == "lstm":
        i, f, g, o = np.split(ax + ah, 4, -1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g) + nudge
        return sigmoid(o) * np.tanh(c), c
    (rx, zx, nx), (rh, zh, nh) = np.split(ax, 3, -1), np.split(ah, 3, -1)
    z = sigmoid(zx + zh)
    return ((1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh) + z * h,)


@dataclass
class OracleGradients:
    """The gradients that a backward pass through a `NumpyRecurrence` may be asked for."""

    whole: dict[str, Array] = field(default_factory=dict)  #: "x", "h0", "c0" and the weights
    shares: dict[tuple[str, int], Array] = field(default_factory=dict)  #: of each weight, per time step
    states: dict[tuple[str, int], Array] = field(default_factory=dict)  #: of "h" and "c" after each time step

    def items(self) -> list[tuple[str, Array]]:
        """All of them, with names such as "weight_hh at step 3"."""
        named = [*self.whole.items()]
        for (name, t), value in [*self.shares.items(), *self.states.items()]:
            named.append((f"{name} at step {t + 1}", value))
        return named


@dataclass(frozen=True)
class NumpyRecurrence:
    """``L = Σ_t upstream_t · h_t + Σ final · (last state)`` of an unrolled layer, as a function of all it is given.

    Past a sequence's length its state is kept and its outputs count nothing, as in `tinygrad_rnn.nn`.
    """

    kind: str  #: "rnn", "lstm" or "gru"
    x: Array  #: (T, N, F)
    initial: State  #: (N, H) each
    weights: tuple[Array, ...]  #: (G H, F), (G H, H), (G H,), (G H,)
    lengths: Array  #: (N,) integers from 1 to T
    upstream: Array  #: (T, N, H), of the outputs
    final: State  #: (N, H) each, of the last states

    @property
    def roles(self) -> tuple[str, ...]:
        """The states that are carried: "h", and the LSTM's "c"."""
        return ROLES[self.kind]

    def inputs(self) -> dict[str, Array]:
        """All that the loss depends on, by name."""
        states = {f"{role}0": s for role, s in zip(self.roles, self.initial, strict=True)}
        return {"x": self.x, **states, **dict(zip(WEIGHTS, self.weights, strict=True))}

    def moved(self, **inputs: Array) -> NumpyRecurrence:
        """The same with other inputs, by name."""
        now = {**self.inputs(), **inputs}
        initial = tuple(now[f"{role}0"] for role in self.roles)
        return replace(self, x=now["x"], initial=initial, weights=tuple(now[name] for name in WEIGHTS))

    def astype(self, dtype: Any) -> NumpyRecurrence:
        """The same numbers in another precision."""
        parts = (self.initial, self.weights, self.final)
        initial, weights, final = (tuple(each.astype(dtype) for each in part) for part in parts)
        x, upstream = self.x.astype(dtype), self.upstream.astype(dtype)
        return replace(self, x=x, upstream=upstream, initial=initial, weights=weights, final=final)

    def step(self, t: int, state: State, x: Array | None = None, weights: Sequence[Array] | None = None) -> State:
        """The state after time step ``t``, given that before."""
        w_ih, w_hh, b_ih, b_hh = self.weights if weights is None else weights
        if weights is None:
            b_ih, b_hh = b_ih[None, :], b_hh[None, :]
        new = cell(self.kind, self.x[t] if x is None else x, state, (w_ih, w_hh, b_ih, b_hh))
        runs = (t < self.lengths)[:, None]
        return tuple(np.where(runs, a, b) for a, b in zip(new, state, strict=True))

    def states(self) -> list[State]:
        """The initial state and that after every time step."""
        states = [self.initial]
        for t in range(len(self.x)):
            states.append(self.step(t, states[-1]))
        return states

    def loss(self) -> float:
        """``L``."""
        states = self.states()
        counts = self.upstream * (np.arange(len(self.x))[:, None] < self.lengths)[..., None]
        total = sum((g * h).sum() for g, (h, *_) in zip(counts, states[1:], strict=True))
        return float(total + sum((g * s).sum() for g, s in zip(self.final, states[-1], strict=True)))

    def truth(self, states: Sequence[State] | None = None) -> OracleGradients:
        """Every gradient by the complex step: all elements that one time step has of its own are moved side by side.

        ``states``: those that another forward pass went through, where the derivatives are taken then. A saturated RNN
        carries what single precision rounds on to quite other states, and their derivative is not to be held to those.
        """
        result = OracleGradients({name: np.zeros(value.shape) for name, value in self.inputs().items()})
        states = self.states() if states is None else states
        for t in range(len(self.x)):
            entered, left = states[t], states[t + 1]
            parts = [*self.weights, self.x[t]]
            copies = _moved_one_by_one(parts)
            *weights, x = copies
            weights[2:] = [bias[:, None, :] for bias in weights[2:]]
            after = self.step(t, tuple(s.astype(complex) for s in entered), x, weights)
            slopes = _unpacked(self._slope(t, after, states), parts)
            for name, slope in zip(WEIGHTS, slopes, strict=False):
                result.shares[name, t] = slope
                result.whole[name] += slope
            result.whole["x"][t] = slopes[-1]
            arrived = self._slope(t, tuple(_moved_one_by_one(left)), states)
            for role, slope in zip(self.roles, _unpacked(arrived, left), strict=True):
                result.states[role, t] = slope
        first = self.step(0, tuple(_moved_one_by_one(self.initial)))
        slopes = _unpacked(self._slope(0, first, states), self.initial)
        result.whole.update({f"{role}0": slope for role, slope in zip(self.roles, slopes, strict=True)})
        return result

    def _slope(self, t: int, state: State, states: Sequence[State]) -> Array:
        """The derivative of ``L`` along the imaginary part of the state after step ``t``, at the real ``states``."""
        total: Any = 0.0
        for s in range(t, len(self.x)):
            if s > t:
                state = self.step(s, state)
            state = tuple(at + 1j * np.imag(moved) for at, moved in zip(states[s + 1], state, strict=True))
            total = total + (self.upstream[s] * (s < self.lengths)[:, None] * np.imag(state[0])).sum((-1, -2))
        total = total + sum((g * np.imag(s)).sum((-1, -2)) for g, s in zip(self.final, state, strict=True))
        return np.asarray(total / COMPLEX_STEP)


def _moved_one_by_one(parts: Sequence[Array]) -> list[Array]:
    """As many copies of all parts as they have elements together, each copy with another element moved."""
    count = sum(part.size for part in parts)
    copies, start = [], 0
    for part in parts:
        stacked = np.repeat(part[None].astype(complex), count, 0)
        rows = np.arange(part.size)
        stacked.reshape(count, part.size)[start + rows, rows] += 1j * COMPLEX_STEP
        copies.append(stacked)
        start += part.size
    return copies


def _unpacked(slopes: Array, parts: Sequence[Array]) -> list[Array]:
    ends = np.cumsum([part.size for part in parts])[:-1]
    return [piece.reshape(part.shape) for piece, part in zip(np.split(slopes, ends), parts, strict=True)]


def disagreements(
    got: OracleGradients,
    expected: OracleGradients,
    noise: OracleGradients | None = None,
    method: str = "complex-step",
    dtype: Any = np.float64,
) -> list[str]:
    """The names of what differs, per tensor and per time step, normwise; empty if two backward passes agree.

    A weight's gradient has to be the sum of its own shares as well, up to what adding them rounds: that holds however
    much rounding has done to the shares. ``dtype``: the precision that ``got`` was computed in.
    """
    claimed, floors = dict(got.items()), dict(noise.items()) if noise else {}
    wrong = []
    for name, value in expected.items():
        rounding = norm(floors[name]) if name in floors else 0.0
        allowed = bound(value, tolerance(method, dtype).rtol, rounding + underflow(dtype, value.size))
        mine = claimed.get(name)
        if mine is None or mine.shape != value.shape or not norm(mine - value) <= allowed:
            wrong.append(name)
    for name in dict.fromkeys(name for name, _ in got.shares):
        shares = [share.astype(np.float64) for (key, _), share in got.shares.items() if key == name]
        allowed = len(shares) * float(np.finfo(dtype).eps) * sum(map(norm, shares))
        if name not in wrong and not norm(got.whole[name] - sum(shares)) <= allowed + underflow(dtype, shares[0].size):
            wrong.append(name)
    return wrong
