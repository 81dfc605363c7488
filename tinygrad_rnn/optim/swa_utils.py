"""Averages of a model's parameters over training, with ``torch.optim.swa_utils``'s names.

B. T. Polyak, A. B. Juditsky (1992); of neural networks: P. Izmailov et al. (2018), arXiv:1803.05407.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..arguments import answering
from ..errors import ArgumentError
from ..functional import where
from ..nn import Module
from ..settings import no_grad
from ..tensors import Tensor

#: ``(average so far, parameter now, number of parameters in the average)`` to the new average
Average = Callable[[Tensor, Tensor, Tensor], Tensor]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * average + (1 - decay) * parameter``: an exponential moving average.

    Raises `ArgumentError` for a ``decay`` outside [0, 1].

    >>> from tinygrad_rnn.optim.swa_utils import get_ema_avg_fn
    >>> get_ema_avg_fn(0.5)(2.0, 4.0, 1)
    3.0
    """
    if not 0 <= decay <= 1:
        raise ArgumentError(f"get_ema_avg_fn: decay is from 0 to 1, not {decay!r}")
    return lambda average, parameter, _number: decay * average + (1 - decay) * parameter


def get_swa_avg_fn() -> Average:
    """``average + (parameter - average) / (number + 1)``: every parameter weighs the same.

    >>> from tinygrad_rnn.optim.swa_utils import get_swa_avg_fn
    >>> get_swa_avg_fn()(2.0, 5.0, 2)
    3.0
    """
    return lambda average, parameter, number: average + (parameter - average) / (number + 1)


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are averages, updated by `update_parameters`, also in a compiled step.

    ``avg_fn`` gives the new average of one parameter, by default that of all values equally; with ``use_buffers``
    float buffers are averaged, too. Raises `ArgumentError` for a ``multi_avg_fn``, which takes all parameters at once.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> averaged = tg.optim.swa_utils.AveragedModel(model, avg_fn=tg.optim.swa_utils.get_ema_avg_fn(0.9))
    >>> averaged.update_parameters(model)
    >>> averaged(tg.ones(3, 2)).shape, int(averaged.n_averaged)
    ((3, 1), 1)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: None = None,
        use_buffers: bool = False,
    ) -> None:
        if multi_avg_fn is not None:
            raise ArgumentError(
                "AveragedModel: multi_avg_fn is not supported; give avg_fn, which averages one parameter, such as "
                "get_ema_avg_fn(0.999), and compiles to the same loop"
            )
        if not isinstance(model, Module):
            raise ArgumentError(f"AveragedModel averages a module, not {type(model).__name__}")
        self.module = copy.deepcopy(model).to(device=device)
        self.avg_fn, self.use_buffers = avg_fn or get_swa_avg_fn(), use_buffers
        self.register_buffer("n_averaged", 0)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the model with the averages."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of ``model`` into the average; the first time they are the average.

        With ``use_buffers`` float buffers are averaged, too; else, and integers always, they are copied.
        """
        first = self.n_averaged == 0
        with no_grad():
            for average, parameter in zip(self.module.parameters(), model.parameters(), strict=True):
                average.copy_(where(first, parameter, self.avg_fn(average, parameter, self.n_averaged)))
            for held, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                if self.use_buffers and buffer.dtype.kind == "f":
                    held.copy_(where(first, buffer, self.avg_fn(held, buffer, self.n_averaged)))
                else:
                    held.copy_(buffer)
            self.n_averaged.copy_(self.n_averaged + 1)


answering(globals())
