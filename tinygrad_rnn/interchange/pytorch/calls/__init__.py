"""PyTorch's calls in our words: a function each, with PyTorch's arguments, on our tensors.

A name is the same whether the call is a function, a method, an operator or one written in place, and whether PyTorch's
Python or its core operators (aten) make it; so one table serves both. What is not here, `decompositions` takes apart.
"""

from . import arithmetic, layers, losses, positions, reductions, shapes, types
from .layers import dropout_mask
from .table import FLOATS, find, handles

__all__ = [
    "FLOATS",
    "arithmetic",
    "dropout_mask",
    "find",
    "handles",
    "layers",
    "losses",
    "positions",
    "reductions",
    "shapes",
    "types",
]
