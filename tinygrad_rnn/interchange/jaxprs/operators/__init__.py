"""JAX's primitives on our tensors, a file a family; importing this enters them all in the tables."""

from . import arithmetic, control, custom, positions, reductions, shapes
from .table import CALLS, ELEMENTWISE, TABLE

__all__ = ["CALLS", "ELEMENTWISE", "TABLE", "arithmetic", "control", "custom", "positions", "reductions", "shapes"]
