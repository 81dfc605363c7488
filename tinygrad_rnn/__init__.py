"""tinygrad_rnn: a small tensor autograd engine whose graph of an unrolled recurrent network you can hold.

``import tinygrad_rnn as tg``. Tensors record what made them; ``tg.Graph`` holds the record; ``viz`` draws it;
``backward`` walks it. Names, defaults and shapes are PyTorch's where PyTorch has the thing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from . import cuda, data, draw_hook, functional, nn, optim, tensors
from .arguments import answerable, answering
from .array_conversion import device
from .compiler import compile
from .custom_function import Function
from .diagnosis import Diagnosis, diagnose
from .errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GraphError,
    KeywordError,
    MutationError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)
from .forward_mode import jvp
from .functional import *  # noqa: F403  the names in its `__all__`
from .graph import Graph, GraphBuilder, Node, Ref
from .module_aliases import find_modules
from .optim import lr_scheduler
from .primitives import TABLE, Primitive
from .random import manual_seed
from .recurrence.scan import scan
from .reverse_walk import BackwardStep, Contribution, grad, walk
from .saving import load, save
from .scopes import Scope, scope, steps
from .settings import (
    enable_grad,
    get_default_dtype,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_default_dtype,
    set_grad_enabled,
)
from .tensors import Tensor, tensor

#: the engine asks the plain one for every operand
as_tensor = answerable(tensors.as_tensor)
float32, float64, int32, int64 = (np.dtype(name) for name in ("float32", "float64", "int32", "int64"))
double, long = float64, int64
#: PyTorch's, and not in `__all__`: an import of everything would put them in the place of Python's
float, int, bool = float32, int32, np.dtype(np.bool_)

if TYPE_CHECKING:
    from .check import check_gradients

__version__ = "0.1.0"

__all__ = [
    "TABLE",
    "ArgumentError",
    "BackwardStep",
    "Contribution",
    "DTypeError",
    "DataError",
    "Diagnosis",
    "Function",
    "Graph",
    "GraphBuilder",
    "GraphError",
    "KeywordError",
    "MutationError",
    "Node",
    "OutOfRangeError",
    "Primitive",
    "Ref",
    "Scope",
    "ShapeError",
    "Tensor",
    "TinygradError",
    "as_tensor",
    "check_gradients",
    "compile",
    "cuda",
    "data",
    "device",
    "diagnose",
    "double",
    "enable_grad",
    "float32",
    "float64",
    "get_default_dtype",
    "grad",
    "inference_mode",
    "int32",
    "int64",
    "is_grad_enabled",
    "jvp",
    "load",
    "long",
    "lr_scheduler",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "save",
    "scan",
    "scope",
    "set_default_dtype",
    "set_grad_enabled",
    "steps",
    "tensor",
    "walk",
]
__all__ += dir(functional)


find_modules()


def __getattr__(name: str) -> Any:
    """`check_gradients`, `viz` and `interchange` are imported when first asked for: training does without them."""
    if name == "viz":
        return import_module("tinygrad_rnn.viz")
    if name == "interchange":
        return import_module("tinygrad_rnn.interchange")
    if name == "check_gradients":
        from .check import check_gradients

        return check_gradients
    raise AttributeError(f"module 'tinygrad_rnn' has no attribute {name!r}")


answering(globals())


def _viz() -> Any:
    """The package that draws, imported when the first picture is wanted."""
    return import_module("tinygrad_rnn.viz")


draw_hook.draw_with(_viz)
