"""Programs and weights from elsewhere: a model written in another framework, brought in as a module of ours.

Nothing here imports another framework before it is asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .export.onnx_file import onnx_rule, to_onnx
    from .export.state_dict import to_torch_state_dict
    from .export.xla import Spread, jax_rule, to_jax
    from .jaxprs import JaxFunction, from_jax
    from .onnx import OnnxModel, from_onnx
    from .program import ForeignWarning, Imported
    from .pytorch import from_torch
    from .weights import DIALECTS, Dialect, load_weights, save_weights

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


def __getattr__(name: str) -> Any:
    """Each name is imported when first asked for."""
    file: Any
    if name in ("DIALECTS", "Dialect", "load_weights", "save_weights"):
        from . import weights as file
    elif name in ("ForeignWarning", "Imported"):
        from . import program as file
    elif name == "from_torch":
        from . import pytorch as file
    elif name in ("JaxFunction", "from_jax"):
        from . import jaxprs as file
    elif name in ("OnnxModel", "from_onnx"):
        from . import onnx as file
    elif name in ("Spread", "jax_rule", "to_jax"):
        from .export import xla as file
    elif name in ("onnx_rule", "to_onnx"):
        from .export import onnx_file as file
    elif name == "to_torch_state_dict":
        from .export import state_dict as file
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(file, name)


def __dir__() -> list[str]:
    return __all__
