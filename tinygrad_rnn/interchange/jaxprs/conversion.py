"""Values on their way between JAX and our tensors."""

from __future__ import annotations

from typing import Any

from ...tensors import Tensor


class Spread:
    """A tensor that is to be broadcast: of as many dimensions, some of size 1."""

    def __init__(self, narrow: Tensor, shape: tuple[int, ...]) -> None:
        self.narrow, self.shape, self.dtype = narrow, shape, narrow.dtype

    def wide(self) -> Tensor:
        """The tensor broadcast to its full shape."""
        return self.narrow.broadcast_to(self.shape)


def raw(x: Any) -> Any:
    """A value for JAX to compute with."""
    if isinstance(x, Spread):
        x = x.wide()
    return x.numpy() if isinstance(x, Tensor) else x
