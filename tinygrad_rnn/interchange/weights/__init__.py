"""Weights of recurrent layers from other libraries, and to them: one record a dialect."""

from .convert import load_weights, save_weights
from .dialect import Dialect, Part
from .table import DIALECTS

__all__ = ["DIALECTS", "Dialect", "Part", "load_weights", "save_weights"]
