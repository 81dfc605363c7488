"""ONNX models: read, checked, and computed node by node on our tensors; see `from_onnx`."""

from ...arguments import answering
from .module import OnnxModel, from_onnx

__all__ = ["OnnxModel", "from_onnx"]


answering(globals())
