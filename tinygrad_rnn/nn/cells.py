"""One time step of each recurrent network: the equations, and the cells that own weights for them.

Every value says what it is (`labelled`) and which box it belongs to (``scope(part=...)``): that is all pictures and
the debugger know about an LSTM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..functional import zeros
from ..scope import scope
from ..tensor import Tensor, as_tensor
from .functional import linear
from .layers import new_parameter, positive
from .module import Module, Parameter

Weights = tuple[Parameter, Parameter, Parameter | None, Parameter | None]


def labelled(tensor: Tensor, role: str) -> Tensor:
    """The tensor, knowing what it is in the network."""
    tensor.role = role
    return tensor


def zero_state(role: str, *shape: int, dtype: Any) -> Tensor:
    """A state of zeros from before the first time step, whichever step it is asked for in."""
    state = labelled(zeros(*shape, dtype=dtype), role)
    state.scope = state.scope._replace(step=None)
    return state


def rnn_step(x: Tensor, h: Tensor, weights: Weights, nonlinearity: str = "tanh") -> Tensor:
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu (Elman 1990)."""
    w_ih, w_hh, b_ih, b_hh = weights
    with scope(part="a"):
        a = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    return labelled(a.tanh() if nonlinearity == "tanh" else a.relu(), "h")


def lstm_step(x: Tensor, h: Tensor, c: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """The LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000), gates in PyTorch's order.

    ``i, f, o = sigmoid(W x + U h + b)``, ``g = tanh(W x + U h + b)``; ``c' = f c + i g``; ``h' = o tanh(c')``.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[0] // 4  # not of its columns: a projected state is narrower
    with scope(part="a"):
        a = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    with scope(part="i"):
        i = labelled(a[..., :n].sigmoid(), "i")
    with scope(part="f"):
        f = labelled(a[..., n : 2 * n].sigmoid(), "f")
    with scope(part="g"):
        g = labelled(a[..., 2 * n : 3 * n].tanh(), "g")
    with scope(part="o"):
        o = labelled(a[..., 3 * n :].sigmoid(), "o")
    c = labelled(f * c + i * g, "c")
    return labelled(o * c.tanh(), "h"), c


def gru_step(x: Tensor, h: Tensor, weights: Weights) -> Tensor:
    """The GRU (Cho et al. 2014) as PyTorch and cuDNN have it, gates in the order r, z, n.

    ``r, z = sigmoid(W x + U h + b)``; ``n = tanh(W x + b_i + r (U h + b_h))``; ``h' = (1 - z) n + z h``.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[1]
    with scope(part="ax"):
        ax = linear(x, w_ih, b_ih)
    with scope(part="ah"):
        ah = linear(h, w_hh, b_hh)
    with scope(part="r"):
        r = labelled((ax[..., :n] + ah[..., :n]).sigmoid(), "r")
    with scope(part="z"):
        z = labelled((ax[..., n : 2 * n] + ah[..., n : 2 * n]).sigmoid(), "z")
    with scope(part="n"):
        new = labelled((ax[..., 2 * n :] + r * ah[..., 2 * n :]).tanh(), "n")
    return labelled((1 - z) * new + z * h, "h")


def make_weights(input_size: int, hidden_size: int, gates: int, bias: bool, dtype: Any) -> Weights:
    """``W_ih`` (gates * H, in), ``W_hh`` (gates * H, H), and two biases (gates * H), uniform in ``±1/sqrt(H)``."""
    bound, rows = 1 / math.sqrt(hidden_size), gates * hidden_size
    return (
        new_parameter((rows, input_size), bound, dtype),
        new_parameter((rows, hidden_size), bound, dtype),
        new_parameter((rows,), bound, dtype) if bias else None,
        new_parameter((rows,), bound, dtype) if bias else None,
    )


def check_nonlinearity(name: str) -> str:
    """tanh or relu."""
    if name not in ("tanh", "relu"):
        raise ArgumentError(f'nonlinearity is "tanh" or "relu", not {name!r}')
    return name


class _Cell(Module):
    """What the three cells share: sizes, weights, and checking what they are called with."""

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None) -> None:
        positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = make_weights(
            input_size, hidden_size, self.gates, bias, dtype
        )

    @property
    def weights(self) -> Weights:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _state(self, x: Tensor, given: Any, role: str) -> Tensor:
        """The state handed in, checked; or zeros."""
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: the input {x._described()} should be (batch, {self.input_size}) "
                f"or ({self.input_size},)"
            )
        wanted = (*x.shape[:-1], self.hidden_size)
        state = zero_state(role, *wanted, dtype=self.weight_ih.dtype) if given is None else as_tensor(given)
        if state.shape != wanted:
            raise ShapeError(f"{type(self).__name__}: the state {role} {state.shape} should be {wanted}")
        return state if state.role else labelled(state, role)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_Cell):
    """`rnn_step` with its weights: x (N, input_size), h (N, hidden_size) or None -> h' (N, hidden_size).

    >>> import tinygrad_rnn as tg
    >>> tg.nn.RNNCell(3, 4)(tg.ones(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype)
        self.nonlinearity = check_nonlinearity(nonlinearity)

    def forward(self, x: Any, hx: Any = None) -> Tensor:
        """The next state."""
        x = as_tensor(x)
        return rnn_step(x, self._state(x, hx, "h"), self.weights, self.nonlinearity)


class LSTMCell(_Cell):
    """`lstm_step` with its weights: x (N, input_size), (h, c) or None -> (h', c'), each (N, hidden_size).

    >>> import tinygrad_rnn as tg
    >>> h, c = tg.nn.LSTMCell(3, 4)(tg.ones(2, 3))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def forward(self, x: Any, hx: Any = None) -> tuple[Tensor, Tensor]:
        """The next state and cell state."""
        x = as_tensor(x)
        if hx is not None and (not isinstance(hx, Sequence) or len(hx) != 2):
            raise ShapeError("LSTMCell: the state is a pair (h, c)")
        h, c = (None, None) if hx is None else hx
        return lstm_step(x, self._state(x, h, "h"), self._state(x, c, "c"), self.weights)


class GRUCell(_Cell):
    """`gru_step` with its weights: x (N, input_size), h (N, hidden_size) or None -> h' (N, hidden_size).

    >>> import tinygrad_rnn as tg
    >>> tg.nn.GRUCell(3, 4)(tg.ones(2, 3)).shape
    (2, 4)
    """

    gates = 3

    def forward(self, x: Any, hx: Any = None) -> Tensor:
        """The next state."""
        x = as_tensor(x)
        return gru_step(x, self._state(x, hx, "h"), self.weights)
