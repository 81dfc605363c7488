"""The nonlinearities that recurrent cells are offered by name, and the two kinds of hard sigmoid among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import answering
from ..errors import ArgumentError
from ..functional import where
from ..tensors import Tensor, as_tensor

#: a name of `ACTIVATIONS`, or any elementwise function of a tensor
Activation = str | Callable[[Tensor], Tensor]


def hard_sigmoid(x: Any, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """``clip(alpha x + beta, 0, 1)``: three straight lines in place of the sigmoid.

    Frameworks disagree on the slope: 0.2 in Keras 2, Theano and ONNX, 1/6 in PyTorch and Keras 3.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.hard_sigmoid(tg.tensor([-9.0, 0.0, 1.0])).tolist()
    [0.0, 0.5, 0.699999988079071]
    """
    return (as_tensor(x) * alpha + beta).clip(0.0, 1.0)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, ``alpha (e^x - 1)`` elsewhere (D.-A. Clevert et al. 2016, arXiv:1511.07289).

    Near 0 nothing is subtracted: ``e^x - 1 = 2 t / (1 - t)`` with ``t = tanh(x / 2)``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.elu(tg.tensor([-100.0, 0.0, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    x = as_tensor(x)
    below = where(x > 0, 0.0, x)  # no exponential of what is not used: it may overflow
    near = below > -1.0
    t = (where(near, below, 0.0) * 0.5).tanh()
    return where(x > 0, x, alpha * where(near, 2.0 * t / (1.0 - t), below.exp() - 1.0))


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` limited to [``min_val``, ``max_val``], elementwise; on a limit the derivative is 0, unlike `Tensor.clip`'s.

    Raises `ArgumentError` unless ``min_val`` is less than ``max_val``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-3.0, 0.5, 2.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    if not min_val < max_val:
        raise ArgumentError(f"hardtanh: min_val is less than max_val, but they are {min_val} and {max_val}")
    return where(x < max_val, where(x > min_val, x, min_val), max_val)


def softsign(x: Any) -> Tensor:
    """``x / (1 + |x|)``, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 0.0, 3.0])).tolist()
    [-0.5, 0.0, 0.75]
    """
    x = as_tensor(x)
    return x / (1.0 + x.abs())


def affine(x: Any, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """``alpha x + beta``, elementwise."""
    return as_tensor(x) * alpha + beta


def scaled_tanh(x: Any, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """``alpha tanh(beta x)``, elementwise."""
    return (as_tensor(x) * beta).tanh() * alpha


def thresholded_relu(x: Any, alpha: float = 1.0) -> Tensor:
    """``x`` where it is more than ``alpha``, 0 elsewhere."""
    x = as_tensor(x)
    return where(x > alpha, x, 0.0)


#: of the gates, and of the new value: what cells have unless they are told otherwise
OF_GRU = ("sigmoid", "tanh")
#: and of the cell state
OF_LSTM = (*OF_GRU, "tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": Tensor.tanh,
    "relu": Tensor.relu,
    "sigmoid": Tensor.sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_6": lambda x: hard_sigmoid(x, 1 / 6),
    "softsign": softsign,
    "softplus": Tensor.softplus,
    "elu": elu,
    "leaky_relu": Tensor.leaky_relu,
    "linear": lambda x: x,
}


def activation(which: Activation, what: str = "an activation") -> Callable[[Tensor], Tensor]:
    """The function of that name; a function is its own. Raises `ArgumentError` for a name that is none."""
    if callable(which):
        return which
    if not isinstance(which, str) or which not in ACTIVATIONS:
        raise ArgumentError(f"{what} is a function of a tensor or one of {', '.join(ACTIVATIONS)}, not {which!r}")
    return ACTIVATIONS[which]


answering(globals(), "ACTIVATIONS")
