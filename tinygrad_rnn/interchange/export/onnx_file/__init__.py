"""Our programs as ONNX files; see `to_onnx`."""

from .rules import onnx_rule
from .writing import to_onnx

__all__ = ["onnx_rule", "to_onnx"]
