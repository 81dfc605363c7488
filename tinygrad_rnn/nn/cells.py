"""One time step of each recurrent network: the equations, and the cells that own weights for them.

Every value says what it is (`labelled`) and which box it belongs to (``scope(part=...)``): that is all pictures and
the debugger know about an LSTM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import output_and_state
from ..arguments import answering, text
from ..errors import ShapeError
from ..functional import zeros
from ..scopes import scope
from ..tensors import Tensor, as_tensor
from .activations import OF_GRU, OF_LSTM, Activation, activation
from .cell_settings import Weights, four, gru_settings, lstm_extras, lstm_more, make_weights, rnn_settings, settings_of
from .functional import linear
from .layers import parameters_dtype, positive
from .module import Module


def labelled(tensor: Tensor, role: str) -> Tensor:
    """``tensor`` itself, which from here on knows its ``role`` in the network: "x", "h", "c", "y", a gate, "logits".

    Pictures, the debugger and derivations call it so, with its time step. What is no text is an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.labelled(tg.zeros(1, 3), "h").role
    'h'
    """
    tensor.role = text(role, "labelled: the role")
    return tensor


def zero_state(role: str, *shape: int, dtype: Any) -> Tensor:
    """A state of zeros from before the first time step, whichever step it is asked for in."""
    state = labelled(zeros(*shape, dtype=dtype), role)
    state.scope = state.scope._replace(step=None)
    return state


def rnn_step(
    x: Tensor,
    h: Tensor,
    weights: Weights,
    nonlinearity: Activation = "tanh",
    *,
    clip: float | None = None,
    leak: float = 1.0,
) -> Tensor:
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu (Elman 1990).

    ``clip`` bounds the pre-activation. With a ``leak`` below 1, ``h' = (1 - leak) h + leak tanh(...)`` (H. Jaeger et
    al. 2007, Neural Networks 20, equation 2).
    """
    w_ih, w_hh, b_ih, b_hh = weights
    with scope(part="a"):
        a = clipped(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), clip)
    new = activation(nonlinearity)(a)
    return labelled(new if leak == 1 else (1 - leak) * h + leak * new, "h")


def lstm_step(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weights: Weights,
    *,
    activations: Sequence[Activation] = OF_LSTM,
    clip: float | None = None,
    coupled: bool = False,
    peepholes: Sequence[Tensor] | None = None,
    projection: Tensor | None = None,
    order: str = "ifgo",
) -> tuple[Tensor, Tensor]:
    """The LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000), gates in PyTorch's ``order``.

    ``i, f, o = sigmoid(W x + U h + b)``, ``g = tanh(W x + U h + b)``; ``c' = f c + i g``; ``h' = o tanh(c')``.

    ``activations`` are those of the gates, of ``g`` and of the new cell state. ``clip`` bounds the four
    pre-activations. ``coupled``: ``f = 1 - i``. ``peepholes`` ``p_i, p_f, p_o`` (F. Gers, J. Schmidhuber 2000) let the
    gates see the cell, o the new one: vectors (H,) add ``p c``, matrices (H, H) ``P c``. ``projection`` (P, H) makes
    ``h' = W_hr (o tanh(c'))`` (H. Sak et al. 2014).
    """
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[0] // 4  # not of its columns: a projected state is narrower
    gate, new, out = map(activation, activations)
    see_i, see_f, see_o = peepholes or (None, None, None)
    with scope(part="a"):
        a = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    with scope(part="i"):
        i = labelled(gate(clipped(peeped(block(a, "i", order, n), see_i, c), clip)), "i")
    with scope(part="f"):
        f = labelled(1 - i if coupled else gate(clipped(peeped(block(a, "f", order, n), see_f, c), clip)), "f")
    with scope(part="g"):
        g = labelled(new(clipped(block(a, "g", order, n), clip)), "g")
    if peepholes is None:
        with scope(part="o"):
            o = labelled(gate(clipped(block(a, "o", order, n), clip)), "o")
        c = labelled(f * c + i * g, "c")
    else:
        c = labelled(f * c + i * g, "c")
        with scope(part="o"):
            o = labelled(gate(clipped(peeped(block(a, "o", order, n), see_o, c), clip)), "o")
    h = o * out(c)
    return labelled(h if projection is None else linear(h, projection), "h"), c


def gru_step(
    x: Tensor,
    h: Tensor,
    weights: Weights,
    *,
    reset: str = "after",
    activations: Sequence[Activation] = OF_GRU,
    clip: float | None = None,
    order: str = "rzn",
) -> Tensor:
    """The GRU (Cho et al. 2014) as PyTorch and cuDNN have it, gates in the ``order`` r, z, n; the last is always n.

    ``r, z = sigmoid(W x + U h + b)``; ``n = tanh(W x + b_i + r (U h + b_h))``; ``h' = (1 - z) n + z h``.

    ``reset="before"`` the product, as Cho et al. have it: ``n = tanh(W x + b_i + U (r h) + b_h)``. ``activations`` are
    those of the gates and of ``n``. ``clip`` bounds the three pre-activations.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[1]
    gate, new = map(activation, activations)
    with scope(part="ax"):
        ax = linear(x, w_ih, b_ih)
    with scope(part="ah"):
        ah = (
            linear(h, w_hh, b_hh)
            if reset == "after"
            else linear(h, w_hh[: 2 * n], b_hh if b_hh is None else b_hh[: 2 * n])
        )
    with scope(part="r"):
        r = labelled(gate(clipped(block(ax, "r", order, n) + block(ah, "r", order, n), clip)), "r")
    with scope(part="z"):
        z = labelled(gate(clipped(block(ax, "z", order, n) + block(ah, "z", order, n), clip)), "z")
    with scope(part="n"):
        if reset == "after":
            remembered = r * ah[..., 2 * n :]
        else:
            remembered = linear(r * h, w_hh[2 * n :], None if b_hh is None else b_hh[2 * n :])
        candidate = labelled(new(clipped(ax[..., 2 * n :] + remembered, clip)), "n")
    return labelled((1 - z) * candidate + z * h, "h")


def block(a: Tensor, gate: str, order: str, size: int) -> Tensor:
    """The ``size`` columns of ``a`` that belong to ``gate``, where gates stand side by side in ``order``."""
    k = order.index(gate)
    return a[..., slice(k * size or None, (k + 1) * size if k + 1 < len(order) else None)]


def clipped(a: Tensor, clip: float | None) -> Tensor:
    """A pre-activation within ``±clip``."""
    return a if clip is None else a.clip(-clip, clip)


def peeped(a: Tensor, weight: Tensor | None, c: Tensor) -> Tensor:
    """A gate's pre-activation with what it sees of the cell state."""
    return a if weight is None else a + (weight * c if weight.ndim == 1 else linear(c, weight))


class _Cell(Module):
    """Base of the three cells: sizes, weights, and checks of the arguments."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        more: Mapping[str, tuple[int, ...]] | None = None,
        proj_size: int = 0,
    ) -> None:
        positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.proj_size = input_size, hidden_size, proj_size
        dtype = parameters_dtype(type(self).__name__, dtype, device)
        made = make_weights(input_size, hidden_size, self.gates, bias, dtype, more, proj_size or hidden_size)
        self._names = tuple(made)
        for name, weight in made.items():
            setattr(self, name, weight)

    def _weights(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def _state(self, x: Tensor, given: Any, role: str) -> Tensor:
        """The state handed in, checked; or zeros."""
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: the input {x._described()} should be (batch, {self.input_size}) "
                f"or ({self.input_size},)"
            )
        wanted = (*x.shape[:-1], self.proj_size if self.proj_size and role == "h" else self.hidden_size)
        dtype = self.weight_ih.dtype  # type: ignore[attr-defined]
        state = zero_state(role, *wanted, dtype=dtype) if given is None else as_tensor(given)
        if state.shape != wanted:
            raise ShapeError(f"{type(self).__name__}: the state {role} {state.shape} should be {wanted}")
        return state if state.role else labelled(state, role)

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_Cell):
    """`rnn_step` with its weights: x (N, input_size), h (N, hidden_size) or None -> h' (N, hidden_size).

    ``bias`` says whether there are biases; ``nonlinearity``, ``clip`` and ``leak`` as of `rnn_step`.

    ``input_size`` and ``hidden_size`` are positive integers.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.RNNCell(3, 4)(tg.ones(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        clip: float | None = None,
        leak: float = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity, self.settings = nonlinearity, rnn_settings("RNNCell", nonlinearity, clip, leak)

    def forward(self, x: Any, hx: Any = None) -> Tensor:
        """The state after ``x``, given the one before it (zeros where it is None)."""
        x = as_tensor(x)
        return rnn_step(x, self._state(x, hx, "h"), four(self._weights()), self.nonlinearity, **self.settings)


class LSTMCell(_Cell):
    """`lstm_step` with its weights: x (N, input_size), (h, c) or None -> (h', c'), each (N, hidden_size).

    ``peepholes``: None, "diagonal" or "full"; ``proj_size``: units of the projected state h, or 0.

    ``bias`` says whether there are biases; ``coupled``, ``clip`` and ``activations`` as of `lstm_step`. Sizes:
    ``input_size``, ``hidden_size``.

    >>> import tinygrad_rnn as tg
    >>> h, c = tg.nn.LSTMCell(3, 4)(tg.ones(2, 3))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        peepholes: str | None = None,
        proj_size: int = 0,
        coupled: bool = False,
        clip: float | None = None,
        activations: Sequence[Activation] = OF_LSTM,
    ) -> None:
        more = lstm_more(hidden_size, peepholes, proj_size)
        super().__init__(input_size, hidden_size, bias, device, dtype, more, proj_size)
        self.settings = settings_of("LSTMCell", activations, clip, 3, coupled=coupled)

    def forward(self, x: Any, hx: Any = None) -> Any:
        """The next state and cell state, a pair."""
        x = as_tensor(x)
        if hx is not None and (not isinstance(hx, Sequence) or len(hx) != 2):
            raise ShapeError("LSTMCell: the state is a pair of tensors (h, c); give both, or None for zeros")
        h, c = (self._state(x, given, role) for given, role in zip((None, None) if hx is None else hx, "hc"))
        weights = self._weights()
        return output_and_state.State(lstm_step(x, h, c, four(weights), **self.settings, **lstm_extras(weights)))


class GRUCell(_Cell):
    """`gru_step` with its weights: x (N, input_size), h (N, hidden_size) or None -> h' (N, hidden_size).

    ``bias`` says whether there are biases; ``reset``, ``clip`` and ``activations`` as of `gru_step`.

    Raises `ArgumentError` for another ``reset``. ``input_size`` and ``hidden_size`` are positive integers.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.GRUCell(3, 4)(tg.ones(2, 3)).shape
    (2, 4)
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset: str = "after",
        clip: float | None = None,
        activations: Sequence[Activation] = OF_GRU,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.settings = gru_settings("GRUCell", activations, clip, reset)

    def forward(self, x: Any, hx: Any = None) -> Tensor:
        """The state after ``x``, given the one before it (zeros where it is None)."""
        x = as_tensor(x)
        return gru_step(x, self._state(x, hx, "h"), four(self._weights()), **self.settings)


answering(globals())
