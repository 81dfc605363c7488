"""Programs and weights from elsewhere: a model written in another framework, brought in as a module of ours.

Nothing here imports another framework before it is asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..arguments import answering
from ..optional_packages import when_asked

if TYPE_CHECKING:
    from .export.onnx_file import onnx_rule, to_onnx
    from .export.xla import Spread, jax_rule, to_jax
    from .jaxprs import JaxFunction, from_jax
    from .onnx import OnnxModel, from_onnx
    from .program import ForeignWarning, Imported
    from .pytorch import from_torch
    from .weights import DIALECTS, Dialect, load_weights, save_weights
    from .weights.state_dict import to_torch_state_dict

__all__ = [
    "DIALECTS",
    "Dialect",
    "ForeignWarning",
    "Imported",
    "JaxFunction",
    "OnnxModel",
    "Spread",
    "from_jax",
    "from_onnx",
    "from_torch",
    "jax_rule",
    "load_weights",
    "onnx_rule",
    "save_weights",
    "to_jax",
    "to_onnx",
    "to_torch_state_dict",
]


__getattr__ = when_asked(
    __name__,
    {
        ".weights": "DIALECTS Dialect load_weights save_weights",
        ".program": "ForeignWarning Imported",
        ".pytorch": "from_torch",
        ".jaxprs": "JaxFunction from_jax",
        ".onnx": "OnnxModel from_onnx",
        ".export.xla": "Spread jax_rule to_jax",
        ".export.onnx_file": "onnx_rule to_onnx",
        ".weights.state_dict": "to_torch_state_dict",
    },
)


answering(globals())
