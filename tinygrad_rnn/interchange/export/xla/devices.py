"""One training step over many devices: the batch is divided among them, the state is on all of them.

Each device computes the gradients of its part, and XLA adds them up between the devices: the losses are those of one
device, to rounding. Devices may belong to several processes, see ``jax.distributed``; each process then has the whole
batch in its memory, and hands its devices their parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import ArgumentError, DTypeError, ShapeError
from .function import JaxProgram
from .rules import jax

AXIS = "batch"


class Spread:
    """A step ``fn`` of `to_jax` over ``devices`` devices (None: all there are); the batch is dimension ``batch_axis``.

    Called as the step is. The batch must be divisible by the number of devices. What it returns is on all devices.

    Raises `ArgumentError` for more devices than there are, `DTypeError` for what `to_jax` has not made.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> optimizer = tg.optim.SGD(model.parameters())
    >>> def step(x):
    ...     loss = model(x).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> fn, state = tg.interchange.to_jax(step, tg.ones(4, 2))
    >>> state, loss = tg.interchange.Spread(fn, 1, batch_axis=0)(state, np.ones((4, 2), np.float32))
    >>> loss.shape
    ()
    """

    def __init__(self, fn: JaxProgram, devices: int | None = None, batch_axis: int = 1) -> None:
        if not isinstance(fn, JaxProgram):
            raise DTypeError(f"Spread takes the step that to_jax(step, ...) returns first, not {type(fn).__name__}")
        there = jax.devices()
        count = len(there) if devices is None else devices
        if not 1 <= count <= len(there):
            cure = f"set XLA_FLAGS=--xla_force_host_platform_device_count={count} before JAX starts"
            raise ArgumentError(
                f"{count} devices are asked for, and JAX has {len(there)} ({there[0].platform})"
                + (f"; on a CPU, {cure}" if there[0].platform == "cpu" and count > 1 else "")
            )
        self.count, self.batch_axis = count, batch_axis
        mesh = jax.sharding.Mesh(np.array(there[:count]), (AXIS,))
        self._everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        parts = jax.sharding.PartitionSpec(*(None,) * batch_axis, AXIS)
        self._divided = jax.sharding.NamedSharding(mesh, parts)
        self._refuse_given_away = fn.refuse_given_away
        self._run = jax.jit(fn.called, out_shardings=self._everywhere, donate_argnums=fn.donated)

    def __call__(self, state: Any, *batch: Any) -> Any:
        """``(state, result)``."""
        self._refuse_given_away(state)
        state = jax.tree_util.tree_map(self._shared, state)
        return self._run(state, *jax.tree_util.tree_map(self._split, batch))

    def _shared(self, x: Any) -> Any:
        if isinstance(x, jax.Array) and x.sharding == self._everywhere:
            return x
        if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.device_put(x, self._everywhere)
        return self._placed(np.asarray(x), self._everywhere)

    def _split(self, x: Any) -> Any:
        array = np.asarray(x)
        if array.ndim <= self.batch_axis:
            raise ShapeError(f"an argument {array.shape} has no dimension {self.batch_axis}, which is to be divided")
        if array.shape[self.batch_axis] % self.count:
            raise ShapeError(
                f"{array.shape[self.batch_axis]} sequences cannot be divided among {self.count} devices; choose a "
                "batch that is a multiple"
            )
        return self._placed(array, self._divided)

    @staticmethod
    def _placed(array: Any, sharding: Any) -> Any:
        """Each process gives its own devices what is theirs."""
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at].astype(dtype))


def here(x: Any) -> Any:
    """A value that is on all devices, as an array of this process."""
    return np.asarray(x.addressable_data(0))
