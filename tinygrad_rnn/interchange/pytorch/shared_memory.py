"""PyTorch's tensors that are windows on the memory of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def positions(owner: Any, view: Any) -> np.ndarray[Any, Any]:
    """For every element of ``view``, where it is among the elements of ``owner``, whose memory it shares."""
    with torch._C.DisableTorchFunction():
        size = owner.untyped_storage().nbytes() // owner.element_size()
        where = torch.full((size,), -1, dtype=torch.int64)
        where.as_strided(owner.size(), owner.stride(), owner.storage_offset()).copy_(
            torch.arange(owner.numel()).reshape(owner.shape)
        )
        found = where.as_strided(view.size(), view.stride(), view.storage_offset()).numpy()
    return found
