"""Programs and weights from elsewhere: a model written in another framework, brought in as a module of ours.

Nothing here imports another framework before it is asked to.
"""

from __future__ import annotations

from importlib import import_module
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

#: public name -> the file of this package that has it
_WHERE = {
    "DIALECTS": "weights", "Dialect": "weights", "ForeignWarning": "program", "Imported": "program",
    "JaxFunction": "jaxprs", "OnnxModel": "onnx", "Spread": "export.xla", "from_jax": "jaxprs", "from_onnx": "onnx",
    "from_torch": "pytorch", "jax_rule": "export.xla", "load_weights": "weights", "onnx_rule": "export.onnx_file",
    "save_weights": "weights", "to_jax": "export.xla", "to_onnx": "export.onnx_file",
    "to_torch_state_dict": "export.state_dict",
}  # fmt: skip

__all__ = [
    "DIALECTS", "Dialect", "ForeignWarning", "Imported", "JaxFunction", "OnnxModel", "Spread", "from_jax", "from_onnx",
    "from_torch", "jax_rule", "load_weights", "onnx_rule", "save_weights", "to_jax", "to_onnx", "to_torch_state_dict",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Each name is imported when first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_WHERE)


def framework(name: str, extra: str) -> Any:
    """The module of another framework, or one line that says how to get it."""
    from ..errors import DataError

    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(
            f"{extra} programs need {name}, which cannot be imported ({error}); pip install 'tinygrad_rnn[{extra}]'"
        ) from None
