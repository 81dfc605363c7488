"""`to_torch_state_dict`: a module's parameters and buffers as PyTorch's tensors."""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError
from ...nn.module import Module
from ...nn.recurrent import GRU, LSTM, RNN
from ...optional_packages import framework
from .convert import save_weights


def to_torch_state_dict(module: Module) -> dict[str, Any]:
    """The state of ``module`` for ``load_state_dict`` of the same network in PyTorch, whose names ours are.

    The tensors have memory of their own. Raises `ArgumentError` for a recurrent layer with settings that PyTorch does
    not have, which its layer would compute something else with; `DTypeError` for what is no module; `DataError` without
    PyTorch.

    >>> import torch, tinygrad_rnn as tg
    >>> ours, theirs = tg.nn.LSTM(3, 5, num_layers=2), torch.nn.LSTM(3, 5, num_layers=2)
    >>> theirs.load_state_dict(tg.interchange.to_torch_state_dict(ours))
    <All keys matched successfully>
    """
    if not isinstance(module, Module):
        raise DTypeError(f"to_torch_state_dict takes a module, not {type(module).__name__}")
    torch = framework("torch", "torch")
    for each in module.modules():
        if isinstance(each, (RNN, LSTM, GRU)):
            save_weights(each, f"torch.{type(each).__name__.lower()}")  # refuses what is something else there
    return {name: torch.from_numpy(value.numpy().copy()) for name, value in module.state_dict().items()}
