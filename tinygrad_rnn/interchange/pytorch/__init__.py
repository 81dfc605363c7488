"""PyTorch programs: run once, every call mirrored on our tensors; see `from_torch`."""

from ...arguments import answering
from .importing import from_torch

__all__ = ["from_torch"]


answering(globals())
