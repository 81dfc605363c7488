"""Initial values, written into a tensor in place; names and defaults are ``torch.nn.init``'s."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import numpy as np

from ..arguments import answerable, answering
from ..errors import DTypeError, ShapeError
from ..random import generator
from ..settings import no_grad
from ..tensors import Tensor

Arguments = ParamSpec("Arguments")


def _written(function: Callable[Arguments, Tensor]) -> Callable[Arguments, Tensor]:
    """`answerable`, and the tensor to write in is one."""

    answering = answerable(function)

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Tensor:
        for given in (*args[:1], *(kwargs[name] for name in ("tensor", "bias") if name in kwargs)):
            if not isinstance(given, Tensor):
                raise DTypeError(f"{function.__name__} writes in a tensor, not in a {type(given).__name__}")
        return answering(*args, **kwargs)

    return call


def _fill(tensor: Tensor, values: object) -> Tensor:
    with no_grad():
        return tensor.copy_(np.broadcast_to(np.asarray(values), tensor.shape).astype(tensor.dtype))


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim != 2:
        raise ShapeError(f"xavier and kaiming need 2 dimensions; {tensor._described()} has {tensor.ndim}; use normal_")
    return tensor.shape[1], tensor.shape[0]


@_written
def constant_(tensor: Tensor, value: float) -> Tensor:
    """Every element ``value``.

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.constant_(tg.zeros(2), 3.0).tolist()
    [3.0, 3.0]
    """
    return _fill(tensor, value)


@_written
def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0.

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.zeros_(tg.ones(2)).tolist()
    [0.0, 0.0]
    """
    return _fill(tensor, 0.0)


@_written
def ones_(tensor: Tensor) -> Tensor:
    """Every element 1.

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.ones_(tg.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return _fill(tensor, 1.0)


@_written
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b).

    From ``a`` up to, but not with, ``b``. Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.uniform_(tg.zeros(1000), 2.0, 3.0).min().item() >= 2
    True
    """
    return _fill(tensor, generator().uniform(a, b, tensor.shape))


@_written
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation.

    ``mean`` and ``std`` may be any numbers. Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.normal_(tg.zeros(2), mean=5.0, std=0.0).tolist()
    [5.0, 5.0]
    """
    return _fill(tensor, generator().normal(mean, std, tensor.shape))


@_written
def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with variance ``2 gain^2 / (fan_in + fan_out)`` (Glorot and Bengio 2010).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.xavier_uniform_(tg.zeros(3, 3)).abs().max().item() <= 1  # sqrt(6 / (3 + 3))
    True
    """
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound)


@_written
def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance ``2 gain^2 / (fan_in + fan_out)`` (Glorot and Bengio 2010).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.xavier_normal_(tg.zeros(3, 3), gain=0.0).abs().max().item()
    0.0
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))))


@_written
def kaiming_uniform_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """Uniform with variance ``2 / ((1 + a^2) fan_in)``, for a (leaky) relu of slope ``a`` (He et al. 2015).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.kaiming_uniform_(tg.zeros(2, 6)).abs().max().item() <= 1  # sqrt(6 / 6)
    True
    """
    bound = math.sqrt(6.0 / ((1 + a * a) * _fans(tensor)[0]))
    return uniform_(tensor, -bound, bound)


@_written
def kaiming_normal_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """Normal with variance ``2 / ((1 + a^2) fan_in)``, for a (leaky) relu of slope ``a`` (He et al. 2015).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.kaiming_normal_(tg.zeros(2, 6)).shape
    (2, 6)
    """
    return normal_(tensor, 0.0, math.sqrt(2.0 / ((1 + a * a) * _fans(tensor)[0])))


@_written
def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> q = tg.nn.init.orthogonal_(tg.zeros(2, 2))
    >>> bool(abs((q @ q.T).numpy() - [[1, 0], [0, 1]]).max() < 1e-6)
    True
    """
    fan_in, fan_out = _fans(tensor)
    q, r = np.linalg.qr(generator().normal(size=(max(fan_in, fan_out), min(fan_in, fan_out))))
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Haar)
    return _fill(tensor, gain * (q if fan_out >= fan_in else q.T))


@_written
def eye_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """``gain`` times the identity: with relu and zero biases an IRNN (Le, Jaitly and Hinton 2015).

    Overwrites ``tensor`` in place and returns it.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.eye_(tg.zeros(2, 2), gain=3.0).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    fan_in, fan_out = _fans(tensor)
    return _fill(tensor, gain * np.eye(fan_out, fan_in))


@_written
def forget_bias_(bias: Tensor, value: float = 1.0) -> Tensor:
    """Set the forget-gate quarter of an LSTM bias (4 * hidden_size), leaving the rest (Gers et al. 2000).

    The LSTM adds two biases, so set one of them and leave the other's quarter at 0.

    ``bias`` (4 * hidden_size,) is overwritten in place, with ``value``, and returned. Raises `ShapeError` for another
    shape.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.init.forget_bias_(tg.zeros(4)).tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    if bias.ndim != 1 or bias.shape[0] % 4:
        raise ShapeError(f"an LSTM bias has 4 * hidden_size elements, but {bias._described()}")
    quarter = bias.shape[0] // 4
    with no_grad():
        bias[quarter : 2 * quarter] = value
    return bias


answering(globals())
