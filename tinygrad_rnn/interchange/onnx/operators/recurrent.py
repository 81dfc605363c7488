"""RNN, LSTM and GRU with every attribute of the standard, opened into time steps.

Equations, gate orders and defaults: the operator texts of ONNX (LSTM-22, GRU-22, RNN-22). A row of length 0 has read
nothing: its outputs are zeros and its final state is its initial state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .... import functional as T
from ....errors import DataError
from ....nn.cells import labelled, zero_state
from ....nn.functional import linear
from ....scopes import scope
from ....tensors import Tensor, as_tensor
from ...composed_operators import elu, hard_sigmoid
from .elementwise import softsign
from .table import operator

if TYPE_CHECKING:
    from ..running import Node

State = tuple[Tensor, ...]
Activation = Callable[[Tensor], Tensor]

#: by name in lower case: the function of x, alpha and beta, which of them it takes, and the default, if any
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor, float, float], Tensor], dict[str, float | None]]] = {
    "sigmoid": (lambda x, _a, _b: x.sigmoid(), {}),
    "tanh": (lambda x, _a, _b: x.tanh(), {}),
    "relu": (lambda x, _a, _b: x.relu(), {}),
    "softplus": (lambda x, _a, _b: x.softplus(), {}),
    "softsign": (lambda x, _a, _b: softsign(x), {}),
    "leakyrelu": (lambda x, a, _b: T.where(x < 0, x * a, x), {"alpha": 0.01}),
    "thresholdedrelu": (lambda x, a, _b: T.where(x >= a, x, 0.0), {"alpha": 1.0}),
    "elu": (lambda x, a, _b: elu(x, a), {"alpha": 1.0}),
    "hardsigmoid": (hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "affine": (lambda x, a, b: x * a + b, {"alpha": None, "beta": None}),
    "scaledtanh": (lambda x, a, b: (x * b).tanh() * a, {"alpha": None, "beta": None}),
}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_ROLES = {"RNN": ("h",), "GRU": ("h",), "LSTM": ("h", "c")}


@dataclass(frozen=True)
class Cell:
    """One direction: its weights, as functions that read them out of the file's tensors, and its settings."""

    w: Callable[[], Tensor]
    r: Callable[[], Tensor]
    biases: Callable[[], tuple[Tensor | None, Tensor | None]]
    peepholes: Callable[[], tuple[Tensor, ...] | None]  #: i, o, f
    act: tuple[Activation, ...]
    size: int
    clip: float | None
    input_forget: bool
    linear_before_reset: bool

    def bounded(self, a: Tensor) -> Tensor:
        """What goes into an activation, limited to ``[-clip, clip]``."""
        return a if self.clip is None else a.clip(-self.clip, self.clip)


def _rnn_step(cell: Cell, x: Tensor, state: State) -> State:
    """``h' = f(W x + Wb + R h + Rb)``."""
    with scope(part="a"):
        wb, rb = cell.biases()
        a = cell.bounded(linear(x, cell.w(), wb) + linear(state[0], cell.r(), rb))
    return (labelled(cell.act[0](a), "h"),)


def _gru_step(cell: Cell, x: Tensor, state: State) -> State:
    """Gates in the order z, r, h; ``h' = (1 - z) n + z h``; the reset before the product, or after it."""
    h, n = state[0], cell.size
    wb, rb = cell.biases()
    with scope(part="ax"):
        ax = linear(x, cell.w(), wb)
    with scope(part="ah"):
        r_all = cell.r()
        rows = slice(0, 3 * n if cell.linear_before_reset else 2 * n)
        ah = linear(h, r_all[rows], None if rb is None else rb[rows])
    with scope(part="z"):
        z = labelled(cell.act[0](cell.bounded(ax[..., :n] + ah[..., :n])), "z")
    with scope(part="r"):
        r = labelled(cell.act[0](cell.bounded(ax[..., n : 2 * n] + ah[..., n : 2 * n])), "r")
    with scope(part="n"):
        if cell.linear_before_reset:
            back = r * ah[..., 2 * n :]
        else:
            back = linear(r * h, r_all[2 * n :], None if rb is None else rb[2 * n :])
        new = labelled(cell.act[1](cell.bounded(ax[..., 2 * n :] + back)), "n")
    return (labelled((1 - z) * new + z * h, "h"),)


def _lstm_step(cell: Cell, x: Tensor, state: State) -> State:
    """Gates in the order i, o, f, c; the output gate's peephole looks at the new cell state."""
    h, c = state
    n, f, g, h_of = cell.size, *cell.act
    peep = cell.peepholes()
    with scope(part="a"):
        wb, rb = cell.biases()
        a = linear(x, cell.w(), wb) + linear(h, cell.r(), rb)

    def gate(name: str, at: int, function: Activation, look: int | None, seen: Tensor) -> Tensor:
        with scope(part=name):
            value = a[..., at * n : (at + 1) * n]
            if peep is not None and look is not None:
                value = value + peep[look] * seen
            return labelled(function(cell.bounded(value)), name)

    i = gate("i", 0, f, 0, c)
    if cell.input_forget:
        with scope(part="f"):
            forget = labelled(1 - i, "f")
    else:
        forget = gate("f", 2, f, 2, c)
    candidate = gate("g", 3, g, None, c)
    c = labelled(forget * c + i * candidate, "c")
    o = gate("o", 1, f, 1, c)
    return labelled(o * h_of(c), "h"), c


_STEPS = {"RNN": _rnn_step, "GRU": _gru_step, "LSTM": _lstm_step}


def _activations(kind: str, directions: int, names: Any, alphas: Any, betas: Any) -> list[Activation]:
    """The functions in their order; those that take an alpha or a beta take the next of the list."""
    names = list(names or _DEFAULTS[kind] * directions)
    if len(names) != len(_DEFAULTS[kind]) * directions:
        raise DataError(f"{len(names)} activations for {directions} direction(s) of {len(_DEFAULTS[kind])} each")
    given = {"alpha": iter(alphas or ()), "beta": iter(betas or ())}

    def settled(name: str) -> Activation:
        known = _ACTIVATIONS.get(name.lower())
        if known is None:
            raise DataError(f"activation {name!r} is none of the standard's: {', '.join(sorted(_ACTIVATIONS))}")
        function, takes = known
        chosen = {}
        for which in ("alpha", "beta"):
            chosen[which] = next(given[which], takes[which]) if which in takes else 0.0
            if chosen[which] is None:
                raise DataError(f"activation {name!r} wants activation_{which}, which has no default")
        alpha, beta = float(chosen["alpha"] or 0.0), float(chosen["beta"] or 0.0)
        return lambda x: function(x, alpha, beta)

    made = [settled(name) for name in names]
    left = {which: len(list(rest)) for which, rest in given.items()}
    if any(left.values()):
        raise DataError(f"activation_alpha or activation_beta holds values that no activation of {names} takes")
    return made


def layer(
    node: Node, kind: str, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, lens: Tensor | None,
    initial: Sequence[Tensor | None], p: Tensor | None = None, *, direction: str = "forward",
    hidden_size: int | None = None, layout: int = 0, activations: Any = None, activation_alpha: Any = None,
    activation_beta: Any = None, clip: float | None = None, input_forget: int = 0, linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """A whole node: Y and the final states, in the shapes of its layout."""
    if direction not in ("forward", "reverse", "bidirectional"):
        raise DataError(f"direction {direction!r} is none of forward, reverse, bidirectional")
    directions, gates = 2 if direction == "bidirectional" else 1, _GATES[kind]
    if x.ndim != 3 or w.ndim != 3 or r.ndim != 3:
        raise DataError(f"X {x.shape}, W {w.shape} and R {r.shape} must have three dimensions each")
    if layout:
        x = x.transpose(0, 1)
        initial = [None if s is None else s.transpose(0, 1) for s in initial]
    length, batch, inputs = x.shape
    size = r.shape[2]
    wanted: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "W": (w, (directions, gates * size, inputs)),
        "R": (r, (directions, gates * size, size)),
        "B": (b, (directions, 2 * gates * size)),
        "P": (p, (directions, 3 * size)),
        "sequence_lens": (lens, (batch,)),
        "initial_h": (initial[0], (directions, batch, size)),
        "initial_c": (initial[-1], (directions, batch, size)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tensor.shape != shape:
            raise DataError(f"{name} has shape {tensor.shape}, but should have {shape}")
    if hidden_size is not None and hidden_size != size:
        raise DataError(f"hidden_size is {hidden_size}, but R {r.shape} is for {size}")
    if clip is not None and not clip > 0:
        raise DataError(f"clip is {clip}; it must be more than 0")
    if lens is not None and lens.numel() and not 0 <= lens.numpy().min() <= lens.numpy().max() <= length:
        raise DataError(f"sequence_lens {lens.tolist()} go beyond the {length} steps of X")
    functions = _activations(kind, directions, activations, activation_alpha, activation_beta)
    each = len(functions) // directions
    with node.scope():
        steps = []
        for t in range(length):
            with node.round(t):
                steps.append(labelled(x[t], "x"))
        outputs, finals = [], []
        for d in range(directions):
            cell = Cell(
                **_readers(w, r, b, p, d, gates * size, size),
                act=tuple(functions[d * each : (d + 1) * each]),
                size=size,
                clip=clip,
                input_forget=bool(input_forget),
                linear_before_reset=bool(linear_before_reset),
            )
            back = direction == "reverse" or d == 1
            with _direction(d if directions == 2 else None):
                state = tuple(
                    zero_state(role, batch, size, dtype=x.dtype) if given is None else labelled(given[d], role)
                    for given, role in zip(initial, _ROLES[kind])
                )
                made, state = _unrolled(node, _STEPS[kind], cell, steps, state, lens, back)
            outputs.append(made)
            finals.append(state)
        y = T.stack(outputs[0]).expand_dims(1) if directions == 1 else T.stack([T.stack(made) for made in outputs], 1)
        last = [T.stack([state[k] for state in finals]) for k in range(len(_ROLES[kind]))]
    if layout:
        y, last = y.permute(2, 0, 1, 3), [s.transpose(0, 1) for s in last]
    return (y, *last)


def _direction(d: int | None) -> scope:
    return scope() if d is None else scope("reverse" if d else "forward")


def _readers(w: Tensor, r: Tensor, b: Tensor | None, p: Tensor | None, d: int, rows: int, size: int) -> dict[str, Any]:
    """How one direction reads its weights: at every step anew, so that each step's share of a gradient is its own."""
    return {
        "w": lambda: w[d],
        "r": lambda: r[d],
        "biases": lambda: (None, None) if b is None else (b[d, :rows], b[d, rows:]),
        "peepholes": lambda: None if p is None else (p[d, :size], p[d, size : 2 * size], p[d, 2 * size :]),
    }


def _unrolled(
    node: Node, step: Callable[..., State], cell: Cell, xs: Sequence[Tensor], state: State, lens: Tensor | None,
    back: bool,
) -> tuple[list[Tensor], State]:  # fmt: skip
    """Each step's h, at its own place also where time runs backwards, and the state after the last."""
    outputs: list[Any] = [None] * len(xs)
    ends = None if lens is None else lens.numpy()
    for t in reversed(range(len(xs))) if back else range(len(xs)):
        with node.round(t):
            after = step(cell, xs[t], state)
            outputs[t] = after[0]
            if ends is not None and (ends <= t).any():
                goes_on = as_tensor((t < ends)[:, None])
                outputs[t] = T.where(goes_on, after[0], 0.0)
                after = tuple(labelled(T.where(goes_on, new, old), old.role or "h") for new, old in zip(after, state))
            state = after
    return outputs, state


@operator("RNN")
def _rnn(
    node: Node, x: Tensor, w: Tensor, r: Tensor, b: Any = None, lens: Any = None, h: Any = None, *,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0, activations: Any = None,
    activation_alpha: Any = None, activation_beta: Any = None, clip: float | None = None,
) -> Any:  # fmt: skip
    return layer(
        node, "RNN", x, w, r, b, lens, (h,), direction=direction, hidden_size=hidden_size, layout=layout,
        activations=activations, activation_alpha=activation_alpha, activation_beta=activation_beta, clip=clip,
    )  # fmt: skip


@operator("GRU")
def _gru(
    node: Node, x: Tensor, w: Tensor, r: Tensor, b: Any = None, lens: Any = None, h: Any = None, *,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0, activations: Any = None,
    activation_alpha: Any = None, activation_beta: Any = None, clip: float | None = None, linear_before_reset: int = 0,
) -> Any:  # fmt: skip
    return layer(
        node, "GRU", x, w, r, b, lens, (h,), direction=direction, hidden_size=hidden_size, layout=layout,
        activations=activations, activation_alpha=activation_alpha, activation_beta=activation_beta, clip=clip,
        linear_before_reset=linear_before_reset,
    )  # fmt: skip


@operator("LSTM")
def _lstm(
    node: Node, x: Tensor, w: Tensor, r: Tensor, b: Any = None, lens: Any = None, h: Any = None, c: Any = None,
    p: Any = None, *, direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
    activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None, clip: float | None = None,
    input_forget: int = 0,
) -> Any:  # fmt: skip
    return layer(
        node, "LSTM", x, w, r, b, lens, (h, c), p, direction=direction, hidden_size=hidden_size, layout=layout,
        activations=activations, activation_alpha=activation_alpha, activation_beta=activation_beta, clip=clip,
        input_forget=input_forget,
    )  # fmt: skip
