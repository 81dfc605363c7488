"""The shared-weight ledger: a gradient as the sum of what each time step adds to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..kept_walk import shares
from ..norms import norm
from .recording import Array, Arrival, Trace


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The contribution of one time step to a shared weight's gradient; None where that has not arrived yet."""

    time: int | None  #: from 1; None for uses outside the recurrence
    label: str
    uses: int
    step: int  #: the step of the walk with which it is complete
    norm: float | None
    share: float | None  #: <dW_t, dW> / ||dW||^2: signed, all of them sum to 1; shown as a percentage
    running: float | None  #: norm of the sum so far


@dataclass(frozen=True, slots=True)
class Ledger:
    """A gradient as the sum of what each time step adds."""

    node: int
    name: str
    total: float  #: norm of the finished gradient
    rows: tuple[LedgerRow, ...]


def ledger(trace: Trace, node: int, name: str) -> Ledger:
    """The finished ledger of ``node``, in the order in which the time steps' contributions are complete."""
    events = trace.arrivals.get(node, ())
    total = trace.summed(node, len(events))
    if total is None:
        return Ledger(node, name, 0.0, ())
    whole = total.astype(np.float64)
    unit = float(np.max(np.abs(whole), initial=0.0)) or 1.0  # squares of what is very large or small would be lost
    square = float(np.sum((whole / unit) ** 2))
    keys = {i: _key(trace, i, arrival) for i, arrival in enumerate(events)}
    uses = Counter(keys.values())
    complete = {keys[i]: arrival.step for i, arrival in enumerate(events)}
    arriving = ((i, _value(trace, node, i, arrival).astype(np.float64)) for i, arrival in enumerate(events))
    running = np.zeros(total.shape)
    rows = []
    with np.errstate(all="ignore"):
        for key, added in shares(keys, arriving):
            running = running + added
            share = float(np.sum((added / unit) * (whole / unit))) / square if square and np.isfinite(square) else None
            time, left_out = key
            label = "left-out time steps" if left_out >= 0 else "no time step" if time is None else f"t={time}"
            rows.append(LedgerRow(time, label, uses[key], complete[key], norm(added), share, norm(running)))
    return Ledger(node, name, norm(whole), tuple(rows))


def _key(trace: Trace, index: int, arrival: Arrival) -> tuple[int | None, int]:
    """Contributions of one time step belong together; what left-out time steps brought is a row of its own."""
    if arrival.contribution is None:
        return None, index if arrival.step else -1
    time = trace.graph.nodes[trace.steps[arrival.step - 1].node].scope.step
    return (None if time is None else time + 1), -1


def _value(trace: Trace, node: int, index: int, arrival: Arrival) -> Array:
    if arrival.contribution is not None:
        return trace.contribution(arrival.step, arrival.slot)
    after, before = trace.summed(node, index + 1), trace.summed(node, index)
    assert after is not None
    return after if before is None else after - before
