"""The settings of recurrent cells, checked: activations, clip, leak, reset, peepholes, projection; their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError
from .activations import Activation, activation
from .layers import new_parameter
from .module import Parameter

Weights = tuple[Parameter, Parameter, Parameter | None, Parameter | None]


def one_of(what: str, value: Any, *known: Any) -> Any:
    """The value, if it is one of those known."""
    if not any(value is each or (type(value) is type(each) and value == each) for each in known):
        raise ArgumentError(f"{what} is {' or '.join(map(repr, known))}, not {value!r}")
    return value


def settings_of(
    kind: str, activations: Sequence[Activation], clip: float | None, how_many: int, **others: Any
) -> dict[str, Any]:
    """The settings of a cell's step, checked."""
    if isinstance(activations, str) or len(activations) != how_many:
        raise ArgumentError(f"{kind}: activations are {how_many}, a name or a function each, not {activations!r}")
    for each in activations:
        activation(each, f"{kind}: an activation")
    if clip is not None and not clip > 0:
        raise ArgumentError(f"{kind}: clip is a positive number or None, not {clip!r}")
    return {"activations": tuple(activations), "clip": clip, **others}


def rnn_settings(kind: str, nonlinearity: Activation, clip: float | None, leak: float) -> dict[str, Any]:
    """The settings of `rnn_step` but for its nonlinearity."""
    activation(nonlinearity, f"{kind}: nonlinearity")
    if not 0 < leak <= 1:
        raise ArgumentError(f"{kind}: leak is the part of the state that is new, above 0 and at most 1, not {leak!r}")
    clip = settings_of(kind, (nonlinearity,), clip, 1)["clip"]
    return {"clip": clip, "leak": leak}


def gru_settings(kind: str, activations: Sequence[Activation], clip: float | None, reset: str) -> dict[str, Any]:
    """The settings of `gru_step`."""
    return settings_of(kind, activations, clip, 2, reset=one_of(f"{kind}: reset", reset, "after", "before"))


def lstm_more(hidden_size: int, peepholes: str | None, proj_size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that only some LSTMs have."""
    one_of("LSTM: peepholes", peepholes, None, "diagonal", "full")
    if isinstance(proj_size, bool) or not isinstance(proj_size, int) or proj_size < 0:
        raise ArgumentError(f"LSTM: proj_size is a number of units, or 0 for no projection, not {proj_size!r}")
    shape = (hidden_size,) * (2 if peepholes == "full" else 1)
    more = {f"weight_c{gate}": shape for gate in "ifo"} if peepholes else {}
    return more | ({"weight_hr": (proj_size, hidden_size)} if proj_size else {})


def lstm_extras(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of peepholes and projection, as `lstm_step` takes them."""
    peepholes = [weights[name] for name in ("weight_ci", "weight_cf", "weight_co") if name in weights]
    return {"peepholes": peepholes or None, "projection": weights.get("weight_hr")}


def four(weights: Mapping[str, Any]) -> Weights:
    """The weights that every recurrent cell has."""
    return weights["weight_ih"], weights["weight_hh"], weights["bias_ih"], weights["bias_hh"]


def make_weights(
    input_size: int,
    hidden_size: int,
    gates: int,
    bias: bool,
    dtype: Any,
    more: Mapping[str, tuple[int, ...]] | None = None,
    state_size: int | None = None,
) -> dict[str, Parameter | None]:
    """New weights: ``weight_ih`` (gates * H, in), ``weight_hh`` (gates * H, H), two biases (gates * H), and ``more``.

    All are uniform in ``±1/sqrt(H)``. ``state_size``: the columns of ``weight_hh``, where the state is projected.
    """
    bound, rows = 1 / math.sqrt(hidden_size), gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, input_size),
        "weight_hh": (rows, state_size or hidden_size),
    }
    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    return {
        name: new_parameter(shape, bound, dtype) if bias or not name.startswith("bias") else None
        for name, shape in (*shapes.items(), *(more or {}).items())
    }
