"""The contents of a session as plain data: every class here turns into JSON with `data`."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.bptt.recording import Array
from tinygrad_rnn.bptt.statistics import listed, plain


@dataclass(frozen=True, slots=True)
class Where:
    """The cursor's place."""

    position: int  #: negative: forward; 0: the loss is known; k: step k of the walk back
    first: int
    last: int
    phase: str  #: "forward", "loss" or "backward"
    node: int
    name: str
    op: str  #: the operation's name, "leaf" if none made it
    expression: str  #: ``mul(f_3, c_2)``
    time: int | None  #: the time step, from 1
    times: int  #: how many there are
    layer: str
    part: str | None
    role: str | None
    site: str | None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One contribution on its way into the gradient that receives it."""

    target: int
    name: str
    slot: int
    ordinal: int  #: it is the ordinal-th of ``expected`` to arrive
    expected: int
    before: Array | None  #: None: nothing had arrived; that is not a gradient of 0
    contribution: Array
    after: Array

    @property
    def complete(self) -> bool:
        """Whether all consumers of the target have contributed."""
        return self.ordinal == self.expected


@dataclass(frozen=True, slots=True)
class Waiting:
    """A gradient under way."""

    node: int
    name: str
    arrived: int
    expected: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """The nodes of the walk by how far they are."""

    done: tuple[int, ...]  #: had their turn
    ready: tuple[Waiting, ...]  #: complete, their turn is to come
    waiting: tuple[Waiting, ...]  #: some consumers have contributed
    unreached: int  #: how many nodes have received nothing yet


@dataclass(frozen=True, slots=True)
class StateNorm:
    """The gradient of a carried state."""

    layer: str
    time: int  #: from 1
    role: str
    node: int
    arrived: int
    expected: int
    norm: float | None  #: None: nothing arrived yet
    saturated: dict[str, float]  #: gate: how much of it is saturated, from 0 to 1


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One parameter's gradient norm."""

    node: int
    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Clipping:
    """The finished gradients as `nn.utils.clip_grad_norm_` would leave them."""

    norm: float
    threshold: float
    scale: float  #: 1 if nothing is clipped
    rows: tuple[ClipRow, ...]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step on the strongest way from the loss to a node."""

    position: int
    node: int
    name: str
    op: str
    time: int | None
    norm: float  #: of what it sends along this way
    ratio: float | None  #: to what arrived at it along this way


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that the first number that is not finite came from."""

    position: int
    node: int
    name: str
    phase: str
    explanation: str


def data(value: Any, elements: int = 64) -> Any:
    """``value`` as JSON-able data: arrays longer than ``elements`` become their shape and their first elements."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: data(getattr(value, f.name), elements) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return listed(value, elements)
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(key): data(item, elements) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [data(item, elements) for item in value]
    return plain(value)
