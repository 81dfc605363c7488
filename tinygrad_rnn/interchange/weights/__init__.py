"""Weights of recurrent layers from other libraries, and to them: one record a dialect."""

from ...arguments import answering
from ..dialects import DIALECTS, Dialect, Part
from .convert import load_weights, save_weights

__all__ = ["DIALECTS", "Dialect", "Part", "load_weights", "save_weights"]


answering(globals())
