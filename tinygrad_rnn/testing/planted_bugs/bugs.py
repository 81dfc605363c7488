"""The planted bugs: each is `Bptt` with one method wrong, in a way somebody's was."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..oracles import Array, NumpyRecurrence, OracleGradients, State
from .bidirectional import BothWaysBackward
from .bptt import Bptt, Saved
from .pooling import PoolingBackward

# Time ----------------------------------------------------------------------------------------------------


class TruncatedAtTen(Bptt):
    name = "truncated at 10 steps"

    window = 10

    def carry(self, t: int, state: State) -> State:
        stop = len(self.problem.x) - self.window
        return tuple(np.zeros_like(g) for g in state) if t == stop else state


class TruncatedAtFive(TruncatedAtTen):
    name = "truncated at 5 steps"

    window = 5


class DroppedH(Bptt):
    name = "h carry dropped"

    def carry(self, t: int, state: State) -> State:
        return (np.zeros_like(state[0]), *state[1:])


class DroppedHOnce(Bptt):
    name = "h carry dropped at one step"

    def carry(self, t: int, state: State) -> State:
        return (np.zeros_like(state[0]), *state[1:]) if t == 1 else state


class DroppedC(Bptt):
    name = "c carry dropped"

    kinds = ("lstm",)

    def carry(self, t: int, state: State) -> State:
        return state[0], np.zeros_like(state[1])


class DroppedCOnce(Bptt):
    name = "c carry dropped at one step"

    kinds = ("lstm",)

    def carry(self, t: int, state: State) -> State:
        return (state[0], np.zeros_like(state[1])) if t == 1 else state


class FinalStateIgnored(Bptt):
    name = "gradient of the final state ignored"

    def last(self) -> State:
        return tuple(np.zeros_like(g) for g in self.problem.final)


class MaskIgnored(Bptt):
    name = "mask of ragged sequences ignored"

    def runs(self, t: int) -> Array:
        return np.ones((self.problem.x.shape[1], 1), bool)


class StateNotReset(Bptt):
    name = "state not reset between sequences"

    def __init__(self, problem: NumpyRecurrence, jitter: np.random.Generator | None = None) -> None:
        super().__init__(problem, jitter)
        self.states[0] = tuple(np.stack([s[0], e[0], *s[2:]]) for s, e in zip(problem.initial, self.states[-1]))
        self.saved[0] = self.forward(0)


class ForwardOrder(Bptt):
    name = "time steps visited in forward order"

    def order(self) -> Iterable[int]:
        return range(len(self.problem.x))


class MeanForgotten(Bptt):
    name = "1/T of a mean forgotten"

    def arrive(self, t: int, carried: State) -> State:
        h, *rest = super().arrive(t, carried)
        return (h + (len(self.problem.x) - 1) * self.problem.upstream[t] * self.runs(t), *rest)


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


class SavedStateOverwritten(Bptt):
    name = "saved state overwritten by the next"

    def __init__(self, problem: NumpyRecurrence, jitter: np.random.Generator | None = None) -> None:
        super().__init__(problem, jitter)
        self.states[0] = self.states[1]


class EditedInPlace(Bptt):
    name = "upstream gradient edited in place"

    kinds = ("lstm", "gru")

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        i, f, g, o = super().lstm_gates(s, dh, dc, c)
        return [i * s["f"], f, g * s["f"], o]  # dc *= f, for the step before, came too early

    def new_share(self, s: Saved) -> Array:
        return s["z"] * (1 - s["z"])

    def into_z(self, s: Saved, dh: Array, h: Array) -> Array:
        return s["z"] * super().into_z(s, dh, h)


# Initial states ------------------------------------------------------------------------------------------


class SwappedInitial(Bptt):
    name = "dh0 and dc0 swapped"

    kinds = ("lstm",)

    def first(self, carried: State) -> State:
        return carried[::-1]


class NoInitialH(Bptt):
    name = "dh0 zero"

    def first(self, carried: State) -> State:
        return (np.zeros_like(carried[0]), *carried[1:])


class NoInitialC(Bptt):
    name = "dc0 zero"

    kinds = ("lstm",)

    def first(self, carried: State) -> State:
        return carried[0], np.zeros_like(carried[1])


# Shared weights ------------------------------------------------------------------------------------------


class SkippedFirst(Bptt):
    name = "dW of the first step skipped"

    skipped = 0

    def shares(self, t: int, dax: Array, dah: Array) -> tuple[Array, Array, Array, Array]:
        w_ih, w_hh, b_ih, b_hh = super().shares(t, dax, dah)
        return w_ih, w_hh * (t != self.skipped), b_ih, b_hh


class SkippedMiddle(SkippedFirst):
    name = "dW of one step in the middle skipped"

    skipped = 4


class Overwritten(Bptt):
    name = "dW overwritten, not added to"

    def total(self, shares: list[Array], name: str) -> Array:
        return shares[0] if name == "weight_hh" else super().total(shares, name)


class OverwrittenOnce(Bptt):
    name = "dW overwritten at one step"

    def total(self, shares: list[Array], name: str) -> Array:
        return super().total(shares[:-1] if name == "weight_hh" else shares, name)


class DoubledLast(Bptt):
    name = "dW of the last step added twice"

    def shares(self, t: int, dax: Array, dah: Array) -> tuple[Array, Array, Array, Array]:
        w_ih, w_hh, b_ih, b_hh = super().shares(t, dax, dah)
        return w_ih, w_hh * (1 + (t == self.problem.lengths.min() - 1)), b_ih, b_hh


class Stale(Bptt):
    name = "gradient of an earlier call left in"

    def total(self, shares: list[Array], name: str) -> Array:
        return 2 * super().total(shares, name)


class Aliased(Bptt):
    name = "dL/db_ih and dL/db_hh in one buffer"

    def gradients(self) -> OracleGradients:
        result = super().gradients()
        result.whole["bias_ih"] += result.whole["bias_hh"]
        result.whole["bias_hh"] = result.whole["bias_ih"]
        return result


class ShiftedX(Bptt):
    name = "x one step late"

    def inputs(self, t: int) -> tuple[Array, Array]:
        return self.problem.x[max(t - 1, 0)], self.states[t][0]


class ShiftedH(Bptt):
    name = "h one step early"

    def inputs(self, t: int) -> tuple[Array, Array]:
        return self.problem.x[t], self.states[t + 1][0]


class NoUnbroadcast(Bptt):
    name = "bias not un-broadcast over the batch"

    def unbroadcast(self, da: Array) -> Array:
        return da[0]


class Averaged(Bptt):
    name = "bias averaged over batch, not summed"

    def unbroadcast(self, da: Array) -> Array:
        return np.asarray(da.mean(0))


class TransposedCarry(Bptt):
    name = "W_hh transposed on the way back"

    def through(self, dah: Array) -> Array:
        w_hh = self.problem.weights[1]
        gates = len(w_hh) // w_hh.shape[1]
        return np.asarray(sum(g @ w.T for g, w in zip(np.split(dah, gates, -1), np.split(w_hh, gates), strict=True)))


class TransposedShare(Bptt):
    name = "dW_hh transposed"

    def shares(self, t: int, dax: Array, dah: Array) -> tuple[Array, Array, Array, Array]:
        w_ih, w_hh, b_ih, b_hh = super().shares(t, dax, dah)
        hidden = w_hh.shape[1]
        return w_ih, np.concatenate([w.T for w in np.split(w_hh, len(w_hh) // hidden)]), b_ih, b_hh


# Rules and gates -----------------------------------------------------------------------------------------


class SigmoidForTanh(Bptt):
    name = "σ' where tanh' belongs"

    def d_tanh(self, y: Array) -> Array:
        return self.d_sigmoid(y)


class TanhForSigmoid(Bptt):
    name = "tanh' where σ' belongs"

    kinds = ("lstm", "gru")

    def d_sigmoid(self, y: Array) -> Array:
        return self.d_tanh(y)


class SwappedIF(Bptt):
    name = "gates i and f swapped"

    kinds = ("lstm",)

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        i, f, g, o = super().lstm_gates(s, dh, dc, c)
        return [f, i, g, o]


class NoTanhOnC(Bptt):
    name = "tanh' on c forgotten"

    kinds = ("lstm",)

    def into_c(self, s: Saved, dh: Array, dc: Array) -> Array:
        return dc + dh * s["o"]


class NoOutputGate(Bptt):
    name = "path through gate o dropped"

    kinds = ("lstm",)

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        i, f, g, o = super().lstm_gates(s, dh, dc, c)
        return [i, f, g, 0 * o]


class NoForgetGate(Bptt):
    name = "path through gate f dropped"

    kinds = ("lstm",)

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        i, f, g, o = super().lstm_gates(s, dh, dc, c)
        return [i, 0 * f, g, o]


class NewC(Bptt):
    name = "gate f multiplied with the new c"

    kinds = ("lstm",)

    def lstm_gates(self, s: Saved, dh: Array, dc: Array, c: Array) -> list[Array]:
        return super().lstm_gates(s, dh, dc, s["f"] * c + s["i"] * s["g"])


class SwappedZ(Bptt):
    name = "z and 1 − z swapped"

    kinds = ("gru",)

    def new_share(self, s: Saved) -> Array:
        return s["z"]


class WrongSignOfZ(Bptt):
    name = "sign of dz"

    kinds = ("gru",)

    def into_z(self, s: Saved, dh: Array, h: Array) -> Array:
        return dh * (s["n"] - h)


class NoResetGate(Bptt):
    name = "gate r forgotten before W_hh of n"

    kinds = ("gru",)

    def into_nh(self, s: Saved, dn: Array) -> Array:
        return dn


class NothingKept(Bptt):
    name = "direct share z of old state dropped"

    kinds = ("gru",)

    def kept(self, s: Saved, dh: Array) -> Array:
        return 0 * dh


# Numbers -------------------------------------------------------------------------------------------------


class SinglePrecision(Bptt):
    name = "float32 inside"

    def through(self, dah: Array) -> Array:
        return super().through(dah.astype(np.float32).astype(np.float64))


class OffByAMillionth(Bptt):
    name = "factor 1 + 1e-6"

    def through(self, dah: Array) -> Array:
        return super().through(dah) * (1 + 1e-6)


class OffByABillionth(Bptt):
    name = "factor 1 + 1e-9"

    def shares(self, t: int, dax: Array, dah: Array) -> tuple[Array, Array, Array, Array]:
        w_ih, w_hh, b_ih, b_hh = super().shares(t, dax, dah)
        return w_ih, w_hh * (1 + 1e-9), b_ih, b_hh


class EveryTieWins(PoolingBackward):
    name = "max gives each tie the whole gradient"

    def shared(self, largest: Array) -> Array:
        return largest.astype(np.float64)


class SharedBuffer(BothWaysBackward):
    name = "buffer shared by two directions"

    def buffer(self, left: Array) -> Array:
        return left


BUGS: tuple[type[Bptt] | type[PoolingBackward] | type[BothWaysBackward], ...] = (
    TruncatedAtTen,
    TruncatedAtFive,
    DroppedH,
    DroppedHOnce,
    DroppedC,
    DroppedCOnce,
    FinalStateIgnored,
    MaskIgnored,
    StateNotReset,
    SwappedInitial,
    NoInitialH,
    NoInitialC,
    SkippedFirst,
    SkippedMiddle,
    Overwritten,
    OverwrittenOnce,
    DoubledLast,
    Stale,
    Aliased,
    ShiftedX,
    ShiftedH,
    NoUnbroadcast,
    Averaged,
    TransposedCarry,
    TransposedShare,
    SigmoidForTanh,
    TanhForSigmoid,
    SwappedIF,
    NoTanhOnC,
    NoOutputGate,
    NoForgetGate,
    NewC,
    SwappedZ,
    WrongSignOfZ,
    NoResetGate,
    NothingKept,
    SinglePrecision,
    OffByAMillionth,
    OffByABillionth,
    EveryTieWins,
    ForwardOrder,
    MeanForgotten,
    OneSummand,
    SavedStateOverwritten,
    EditedInPlace,
    SharedBuffer,
)
