"""What the instructions do: one small compiled function each, made when a program first needs it.

An instruction is called with its row of the table, the number of the tile and the tile's length (both 0 for those done
on whole values), and ``like``, a pointer that only says which float type it is compiled for. It returns 0, or 1 for a
check that failed.
"""

from . import blas, elementwise, moves, products, rows
from .memory import INSTRUCTIONS

__all__ = ["INSTRUCTIONS", "blas", "elementwise", "moves", "products", "rows"]
