"""Layouts of recurrent weights in other libraries: one record a layer of a library."""

from ...arguments import answering
from .record import Dialect, Part
from .table import DIALECTS

__all__ = ["DIALECTS", "Dialect", "Part"]


answering(globals())
