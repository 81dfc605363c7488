"""A module as a graph: run it on a small input of zeros and keep what it recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.errors import GraphError

STEPS = 3


def traced(module: nn.Module) -> list[tg.Tensor]:
    """The result of a recurrent layer, a cell or a `Seq2Seq` for ``STEPS`` time steps of zeros.

    Raises `GraphError` for modules whose input cannot be guessed.
    """
    if isinstance(module, (nn.RNN, nn.LSTM, nn.GRU)):
        size = module.input_size
        output, _ = module(np.zeros((1, STEPS, size) if module.batch_first else (STEPS, 1, size), np.float32))
        return [output]
    if isinstance(module, (nn.RNNCell, nn.LSTMCell, nn.GRUCell)):
        state: Any = None
        for _ in tg.steps(STEPS):
            state = module(nn.labelled(tg.zeros(1, module.input_size), "x"), state)
        return [state[0] if isinstance(state, tuple) else state]
    if isinstance(module, nn.Seq2Seq):
        return [module(np.zeros((STEPS, 1, module.encoder.input_size), np.float32), start=0, length=STEPS)]
    raise GraphError(
        f"render: a {type(module).__name__} alone does not say what its input is: call it and render the result, "
        "viz.render(module(x)); a recurrent layer, a cell or a Seq2Seq can be rendered as it is"
    )
