"""JAX as the engine of a `Trainer`: its training step, over one device or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import ArgumentError
from ....tensors import Tensor, from_array
from .devices import Spread, here
from .function import JaxProgram
from .rules import jax

if TYPE_CHECKING:
    from ....character_model.training import Trainer


class JaxEngine:
    """Takes a trainer's steps; ``sync`` writes what they came to into its model and optimizer.

    Losses are those of our own engine to rounding, and checkpoints are the same files: either engine goes on from the
    other's. Dropout is drawn by JAX, from the seed and the number of the step.
    """

    def __init__(self, trainer: Trainer, devices: int | None = None) -> None:
        batch = trainer.settings.batch
        if devices is not None and batch % devices:
            raise ArgumentError(f"a batch of {batch} cannot be divided among {devices} devices; choose a multiple")
        self._trainer = trainer
        x, y = trainer.windows[0]
        state = trainer.first_state()
        self._program = JaxProgram(trainer.update, (x, y, state), half=False, donate=True, checked=True)
        self._spread = Spread(self._program, devices)
        self._state: Any = self._program.state()

    def __call__(self, x: Any, y: Any, state: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...]]:
        """One step; an error leaves weights and optimizer as they were."""
        if "key" in self._state:
            key = jax.random.key(self._trainer.settings.seed % 2**32)
            self._state["key"] = jax.random.fold_in(key, self._trainer.step)
        arrays = tuple(s.numpy() for s in state)
        self._state, (loss, after), looked = self._spread(self._state, x, y, arrays)
        self._program.confirm([here(value) for value in looked])
        return float(here(loss)), tuple(from_array(np.array(here(s))) for s in after)

    def sync(self) -> None:
        """Write the state into the trainer's model and optimizer."""
        self._program.restore(jax.tree_util.tree_map(lambda x: x if _is_key(x) else here(x), self._state))


def _is_key(x: Any) -> bool:
    return bool(jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key))
