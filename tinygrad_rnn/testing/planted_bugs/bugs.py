"""The planted bugs: each is a right backward pass with one method wrong, in a way somebody's was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..oracles import Array, NumpyRecurrence, OracleGradients, State
from .bidirectional import BothWaysBackward
from .bptt import Bptt, Saved
from .pooling import PoolingBackward

Shares = tuple[Array, Array, Array, Array]


def _planted(name: str, *kinds: str, of: type[Any] = Bptt, **methods: Callable[..., Any]) -> type[Any]:
    """A backward pass in which these ``methods`` are wrong, for some ``kinds`` of cell; by default those of ``of``."""
    return type(name, (of,), {"name": name, "kinds": kinds or of.kinds, **methods})


def _without(state: State, k: int) -> State:
    """A state's gradients, the ``k``-th one dropped."""
    return tuple(np.zeros_like(g) if i == k else g for i, g in enumerate(state))


def _truncated(window: int) -> Callable[[Any, int, State], State]:
    """Nothing is carried past the last steps, so many as the ``window`` has."""
    return lambda self, t, state: tuple(g * (t != len(self.problem.x) - window) for g in state)


def _share(changed: Callable[[Any, int, Array], Array]) -> Callable[..., Shares]:
    """The share of a step in the recurrent weight's gradient is another one."""

    def shares(self: Any, t: int, dax: Array, dah: Array) -> Shares:
        w_ih, w_hh, b_ih, b_hh = Bptt.shares(self, t, dax, dah)
        return w_ih, changed(self, t, w_hh), b_ih, b_hh

    return shares


def _total(changed: Callable[[list[Array]], Any]) -> Callable[..., Array]:
    """The recurrent weight's gradient is the sum of other shares."""
    return lambda self, shares, name: Bptt.total(self, changed(shares) if name == "weight_hh" else shares, name)


def _gates(changed: Callable[..., list[Array]]) -> Callable[..., list[Array]]:
    """The gradients before an LSTM's gates i, f, g and o are others; ``changed`` is given the saved values first."""
    return lambda self, s, dh, dc, c: changed(s, *Bptt.lstm_gates(self, s, dh, dc, c))


def _one_buffer(self: Any) -> OracleGradients:
    result = Bptt.gradients(self)
    result.whole["bias_ih"] += result.whole["bias_hh"]
    result.whole["bias_hh"] = result.whole["bias_ih"]
    return result


def _transposed_carry(self: Any, dah: Array) -> Array:
    w_hh = self.problem.weights[1]
    gates = len(w_hh) // w_hh.shape[1]
    return np.asarray(sum(g @ w.T for g, w in zip(np.split(dah, gates, -1), np.split(w_hh, gates), strict=True)))


def _transposed_share(self: Any, t: int, w: Array) -> Array:
    return np.concatenate([gate.T for gate in np.split(w, len(w) // w.shape[1])])


def _forgotten_mean(self: Any, t: int, carried: State) -> State:
    h, *rest = Bptt.arrive(self, t, carried)
    return (h + (len(self.problem.x) - 1) * self.problem.upstream[t] * self.runs(t), *rest)


class StateNotReset(Bptt):
    name = "state not reset between sequences"

    def __init__(self, problem: NumpyRecurrence, jitter: np.random.Generator | None = None) -> None:
        super().__init__(problem, jitter)
        self.states[0] = tuple(np.stack([s[0], e[0], *s[2:]]) for s, e in zip(problem.initial, self.states[-1]))
        self.saved[0] = self.forward(0)


class SavedStateOverwritten(Bptt):
    name = "saved state overwritten by the next"

    def __init__(self, problem: NumpyRecurrence, jitter: np.random.Generator | None = None) -> None:
        super().__init__(problem, jitter)
        self.states[0] = self.states[1]


class OneSummand(Bptt):
    name = "tanh' on one summand only"

    kinds = ("rnn", "lstm")

    def arrive(self, t: int, carried: State) -> State:
        self.carried_h = np.where(self.runs(t), carried[0], 0.0)
        return super().arrive(t, carried)

    def rnn(self, s: Saved, arrived: State, before: State) -> tuple[Array, Array, State]:
        da = (arrived[0] - self.carried_h) * self.d_tanh(s["h"]) + self.carried_h
        return da, da, (np.zeros_like(da),)

    def into_c(self, s: Saved, dh: Array, dc: Array) -> Array:
        return dc + (dh - self.carried_h) * s["o"] * self.d_tanh(s["tanh_c"]) + self.carried_h * s["o"]


BUGS: tuple[type[Any], ...] = (
    # time
    _planted("truncated at 10 steps", carry=_truncated(10)),
    _planted("truncated at 5 steps", carry=_truncated(5)),
    _planted("h carry dropped", carry=lambda self, t, state: _without(state, 0)),
    _planted("h carry dropped at one step", carry=lambda self, t, state: _without(state, 0) if t == 1 else state),
    _planted("c carry dropped", "lstm", carry=lambda self, t, state: _without(state, 1)),
    _planted(
        "c carry dropped at one step", "lstm", carry=lambda self, t, state: _without(state, 1) if t == 1 else state
    ),
    _planted("gradient of the final state ignored", last=lambda self: tuple(map(np.zeros_like, self.problem.final))),
    _planted("mask of ragged sequences ignored", runs=lambda self, t: np.ones((self.problem.x.shape[1], 1), bool)),
    StateNotReset,
    # initial states
    _planted("dh0 and dc0 swapped", "lstm", first=lambda self, carried: carried[::-1]),
    _planted("dh0 zero", first=lambda self, carried: _without(carried, 0)),
    _planted("dc0 zero", "lstm", first=lambda self, carried: _without(carried, 1)),
    # shared weights
    _planted("dW of the first step skipped", shares=_share(lambda self, t, w: w * (t != 0))),
    _planted("dW of one step in the middle skipped", shares=_share(lambda self, t, w: w * (t != 4))),
    _planted("dW overwritten, not added to", total=_total(lambda shares: shares[:1])),
    _planted("dW overwritten at one step", total=_total(lambda shares: shares[:-1])),
    _planted(
        "dW of the last step added twice",
        shares=_share(lambda self, t, w: w * (1 + (t == self.problem.lengths.min() - 1))),
    ),
    _planted(
        "gradient of an earlier call left in", total=lambda self, shares, name: 2 * Bptt.total(self, shares, name)
    ),
    _planted("dL/db_ih and dL/db_hh in one buffer", gradients=_one_buffer),
    _planted("x one step late", inputs=lambda self, t: (self.problem.x[max(t - 1, 0)], self.states[t][0])),
    _planted("h one step early", inputs=lambda self, t: (self.problem.x[t], self.states[t + 1][0])),
    _planted("bias not un-broadcast over the batch", unbroadcast=lambda self, da: da[0]),
    _planted("bias averaged over batch, not summed", unbroadcast=lambda self, da: da.mean(0)),
    _planted("W_hh transposed on the way back", through=_transposed_carry),
    _planted("dW_hh transposed", shares=_share(_transposed_share)),
    # rules and gates
    _planted("σ' where tanh' belongs", d_tanh=Bptt.d_sigmoid),
    _planted("tanh' where σ' belongs", "lstm", "gru", d_sigmoid=Bptt.d_tanh),
    _planted("gates i and f swapped", "lstm", lstm_gates=_gates(lambda s, i, f, g, o: [f, i, g, o])),
    _planted("tanh' on c forgotten", "lstm", into_c=lambda self, s, dh, dc: dc + dh * s["o"]),
    _planted("path through gate o dropped", "lstm", lstm_gates=_gates(lambda s, i, f, g, o: [i, f, g, 0 * o])),
    _planted("path through gate f dropped", "lstm", lstm_gates=_gates(lambda s, i, f, g, o: [i, 0 * f, g, o])),
    _planted(
        "gate f multiplied with the new c",
        "lstm",
        lstm_gates=lambda self, s, dh, dc, c: Bptt.lstm_gates(self, s, dh, dc, s["f"] * c + s["i"] * s["g"]),
    ),
    _planted("z and 1 − z swapped", "gru", new_share=lambda self, s: s["z"]),
    _planted("sign of dz", "gru", into_z=lambda self, s, dh, h: dh * (s["n"] - h)),
    _planted("gate r forgotten before W_hh of n", "gru", into_nh=lambda self, s, dn: dn),
    _planted("direct share z of old state dropped", "gru", kept=lambda self, s, dh: 0 * dh),
    # numbers
    _planted("float32 inside", through=lambda self, dah: Bptt.through(self, dah.astype("f")).astype(np.float64)),
    _planted("factor 1 + 1e-6", through=lambda self, dah: Bptt.through(self, dah) * (1 + 1e-6)),
    _planted("factor 1 + 1e-9", shares=_share(lambda self, t, w: w * (1 + 1e-9))),
    _planted(
        "max gives each tie the whole gradient",
        of=PoolingBackward,
        shared=lambda self, largest: largest.astype(np.float64),
    ),
    _planted("time steps visited in forward order", order=lambda self: range(len(self.problem.x))),
    _planted("1/T of a mean forgotten", arrive=_forgotten_mean),
    OneSummand,
    SavedStateOverwritten,
    _planted(  # dc *= f, for the step before, came too early
        "upstream gradient edited in place",
        "lstm",
        "gru",
        lstm_gates=_gates(lambda s, i, f, g, o: [i * s["f"], f, g * s["f"], o]),
        new_share=lambda self, s: s["z"] * (1 - s["z"]),
        into_z=lambda self, s, dh, h: s["z"] * Bptt.into_z(self, s, dh, h),
    ),
    _planted("buffer shared by two directions", of=BothWaysBackward, buffer=lambda self, left: left),
)
