"""PyTorch's calls in our words: a function each, with PyTorch's arguments, on our tensors.

A name is the same whether the call is a function, a method, an operator or one written in place, and whether PyTorch's
Python or its core operators (aten) make it; so one table serves both. What is not here, `decompositions` takes apart.
"""

from . import arithmetic, layers, losses, positions, reductions, shapes, types  # noqa: F401  they enter their calls
from .layers import dropout_mask as dropout_mask
from .table import FLOATS as FLOATS
from .table import find as find
from .table import handles as handles
from .table import mirrored as mirrored
