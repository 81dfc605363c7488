"""PyTorch programs: run once, every call mirrored on our tensors; see `from_torch`."""

from .importing import from_torch

__all__ = ["from_torch"]
