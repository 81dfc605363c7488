"""RNN, LSTM and GRU with every attribute of the standard, opened into time steps.

Equations, gate orders and defaults: the operator texts of ONNX (LSTM-22, GRU-22, RNN-22). A row of length 0 has read
nothing: its outputs are zeros and its final state is its initial state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .... import functional as T
from ....errors import DataError
from ....nn import functional as F
from ....nn.cells import gru_step, labelled, lstm_step, rnn_step, zero_state
from ....scopes import scope
from ....tensors import Tensor, as_tensor
from ...composed_operators import elu, hard_sigmoid
from ...program import a_round
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
    "softsign": (lambda x, _a, _b: F.softsign(x), {}),
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


def _reader(kind: str, w: Tensor, r: Tensor, b: Tensor | None, d: int, rows: int) -> Callable[[], Any]:
    """A function that reads one direction's weights, anew at every step, so that each step has its own contribution."""
    of_x, of_h = ("ax", "ah") if kind == "GRU" else ("a", "a")

    def read() -> Any:
        with scope(part=of_x):
            from_x, bias_x = w[d], None if b is None else b[d, :rows]
        with scope(part=of_h):
            return from_x, r[d], bias_x, None if b is None else b[d, rows:]

    return read


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


@operator("RNN", "GRU", "LSTM")
def layer(
    node: Node,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lens: Tensor | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    activations: Any = None,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    clip: float | None = None,
    input_forget: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:
    """A whole node: Y and the final states, in the shapes of its layout."""
    kind = node.op.removeprefix("DynamicQuantize")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise DataError(f"direction {direction!r} is none of forward, reverse, bidirectional")
    directions, gates = 2 if direction == "bidirectional" else 1, _GATES[kind]
    if x.ndim != 3 or w.ndim != 3 or r.ndim != 3:
        raise DataError(f"X {x.shape}, W {w.shape} and R {r.shape} must have three dimensions each")
    if layout:
        x = x.transpose(0, 1)
        h, c = (None if s is None else s.transpose(0, 1) for s in (h, c))
    length, batch, inputs = x.shape
    size = r.shape[2]
    wanted: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "W": (w, (directions, gates * size, inputs)),
        "R": (r, (directions, gates * size, size)),
        "B": (b, (directions, 2 * gates * size)),
        "P": (p, (directions, 3 * size)),
        "sequence_lens": (lens, (batch,)),
        "initial_h": (h, (directions, batch, size)),
        "initial_c": (c, (directions, batch, size)),
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

    def stepper(d: int) -> Callable[[Tensor, State], State]:
        act, read = functions[d * each : (d + 1) * each], _reader(kind, w, r, b, d, gates * size)

        def step(x: Tensor, state: State) -> State:
            if kind == "RNN":
                return (rnn_step(x, state[0], read(), act[0], clip=clip),)
            if kind == "GRU":
                reset = "after" if linear_before_reset else "before"
                return (gru_step(x, state[0], read(), reset=reset, activations=act, clip=clip, order="zrn"),)
            (before, cell), coupled = state, bool(input_forget)
            see = None if p is None else [p[d, k * size : (k + 1) * size] for k in (0, 2, 1)]  # from i, o, f
            return lstm_step(
                x, before, cell, read(), activations=act, clip=clip, coupled=coupled, peepholes=see, order="iofg"
            )

        return step

    with node.scope():
        steps = []
        for t in range(length):
            with a_round(t):
                steps.append(labelled(x[t], "x"))
        outputs, finals = [], []
        for d in range(directions):
            back = direction == "reverse" or d == 1
            with _direction(d if directions == 2 else None):
                state = tuple(
                    zero_state(role, batch, size, dtype=x.dtype) if given is None else labelled(given[d], role)
                    for given, role in zip((h, c), _ROLES[kind])
                )
                step = stepper(d)
                made, state = _unrolled(node, step, steps, state, lens, back)
            outputs.append(made)
            finals.append(state)
        y = T.stack(outputs[0]).expand_dims(1) if directions == 1 else T.stack([T.stack(made) for made in outputs], 1)
        last = [T.stack([state[k] for state in finals]) for k in range(len(_ROLES[kind]))]
    if layout:
        y, last = y.permute(2, 0, 1, 3), [s.transpose(0, 1) for s in last]
    return (y, *last)


def _direction(d: int | None) -> scope:
    return scope() if d is None else scope("reverse" if d else "forward")


def _unrolled(
    node: Node,
    step: Callable[[Tensor, State], State],
    xs: Sequence[Tensor],
    state: State,
    lens: Tensor | None,
    back: bool,
) -> tuple[list[Tensor], State]:
    """Each step's h, at its own place also where time runs backwards, and the state after the last."""
    outputs: list[Any] = [None] * len(xs)
    ends = None if lens is None else lens.numpy()
    for t in reversed(range(len(xs))) if back else range(len(xs)):
        with a_round(t):
            after = step(xs[t], state)
            outputs[t] = after[0]
            if ends is not None and (ends <= t).any():
                goes_on = as_tensor((t < ends)[:, None])
                outputs[t] = T.where(goes_on, after[0], 0.0)
                after = tuple(labelled(T.where(goes_on, new, old), old.role or "h") for new, old in zip(after, state))
            state = after
    return outputs, state
