"""`torch.vmap`: its function, called for one row after the other, so that every call arrives with tensors of its own.

Inside `torch.vmap` PyTorch hands out tensors that stand for all rows and have no memory. Row by row the program
computes the same, and its time steps are those of one row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._functorch import apis
from torch._functorch.vmap import _broadcast_to_and_flatten, _process_batched_inputs
from torch.utils._pytree import tree_flatten, tree_unflatten

from .recorder import CallRecorder


@contextmanager
def rows_seen(recorder: CallRecorder) -> Iterator[None]:
    """While this lasts, `torch.vmap` goes row by row, also one made before."""

    def by_rows(
        function: Any, in_dims: Any, out_dims: Any, randomness: str, chunk_size: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if recorder.resting:
            return whole(function, in_dims, out_dims, randomness, chunk_size, *args, **kwargs)
        count, dims, flat, spec = _process_batched_inputs(in_dims, args, function)
        counts, state = recorder.modules.counts.copy(), torch.get_rng_state()
        rows = []
        for i in range(count):
            recorder.modules.counts = counts.copy()
            if randomness == "same":
                torch.set_rng_state(state)
            row = [x if d is None else x.select(d, i) for x, d in zip(flat, dims, strict=True)]
            rows.append(function(*tree_unflatten(row, spec), **kwargs))
        results = tree_flatten(rows[0])[1]
        places = _broadcast_to_and_flatten(out_dims, results) or []
        columns = zip(*(tree_flatten(row)[0] for row in rows), strict=True)
        made = [xs[0] if d is None else torch.stack(xs, d) for xs, d in zip(columns, places, strict=True)]
        return tree_unflatten(made, results)

    whole = apis.vmap_impl
    apis.vmap_impl = by_rows
    try:
        yield
    finally:
        apis.vmap_impl = whole
