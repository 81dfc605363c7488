"""Convolutions of imported models: windows read out of the input, times the kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional as T
from ..tensors import Tensor


def convolved(x: Tensor, weight: Tensor, steps: Sequence[int], gaps: Sequence[int], groups: int) -> Tensor:
    """(N, M, ...) of x (N, C, ...), padded before, and weight (M, C / groups, ...); ``gaps`` dilate the kernel."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    reach = [(k - 1) * gap + 1 for k, gap in zip(kernel, gaps)]
    starts = [np.arange(0, n - r + 1, step) for n, r, step in zip(x.shape[2:], reach, steps)]
    out = tuple(len(s) for s in starts)
    where: Any = 0
    for axis, (start, k, gap) in enumerate(zip(starts, kernel, gaps)):
        at = start[:, None] + np.arange(k) * gap  # (out, kernel)
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = at.shape
        where = where * x.shape[2 + axis] + at.reshape(shape)
    batch, channels = x.shape[:2]
    windows = x.reshape((batch, channels, -1))[:, :, where.reshape(math.prod(out), math.prod(kernel))]
    windows = windows.reshape((batch, groups, channels // groups, math.prod(out), math.prod(kernel)))
    kernels = weight.reshape((groups, weight.shape[0] // groups, weight.shape[1], math.prod(kernel)))
    return T.einsum("bgcok,gmck->bgmo", windows, kernels).reshape((batch, weight.shape[0], *out))
