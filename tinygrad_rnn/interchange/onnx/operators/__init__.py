"""ONNX's operators on our tensors, a file a family; importing this enters them all in the table."""

from . import control, elementwise, layers, quantised, recurrent, reductions, sequences, shapes
from .sequences import TAKE_SEQUENCES
from .table import TABLE, keywords

__all__ = [
    "TABLE",
    "TAKE_SEQUENCES",
    "control",
    "elementwise",
    "keywords",
    "layers",
    "quantised",
    "recurrent",
    "reductions",
    "sequences",
    "shapes",
]
