"""Sequences of different lengths; names and results are ``torch.nn.utils.rnn``'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...arguments import answering
from ...errors import ArgumentError, ShapeError
from ...functional import concat, full, stack
from ...tensors import Tensor, as_tensor


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (T_n, ...) side by side, each filled up at its end: (T, N, ...), or (N, T, ...) with ``batch_first``.

    A recurrent layer takes the result with ``lengths=[len(each) for each in sequences]``; no packing is needed. With
    ``padding_side`` "left" they are filled up at their beginning, for which there are no lengths.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.utils.rnn.pad_sequence([tg.tensor([1, 2, 3]), tg.tensor([4])], batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    if padding_side not in ("right", "left"):
        raise ArgumentError(f'pad_sequence: padding_side is "right" or "left", not {padding_side!r}')
    given = [as_tensor(x) for x in sequences]
    if not given or any(not x.ndim or x.shape[1:] != given[0].shape[1:] for x in given):
        shapes = ", ".join(str(x.shape) for x in given[:6]) or "nothing"
        raise ShapeError(f"pad_sequence: takes sequences (T, ...) that differ in T only, not {shapes}")
    time = max(len(x) for x in given)
    filled = []
    for x in given:
        padding = full((time - len(x), *x.shape[1:]), padding_value, dtype=x.dtype)
        parts = [x, padding] if padding_side == "right" else [padding, x]
        filled.append(concat(parts) if len(padding) else x)
    return stack(filled, axis=0 if batch_first else 1)


answering(globals())
