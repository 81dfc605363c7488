"""ONNX's operators on our tensors, a file a family; importing this enters them all in the table."""

from . import control, elementwise, layers, quantised, recurrent, reductions, shapes
from .table import TABLE, keywords

__all__ = [
    "TABLE", "control", "elementwise", "keywords", "layers", "quantised", "recurrent", "reductions", "shapes",
]  # fmt: skip
