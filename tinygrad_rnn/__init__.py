"""tinygrad_rnn: a small tensor autograd engine whose graph of an unrolled recurrent network you can hold.

``import tinygrad_rnn as tg``. Tensors record what made them; ``tg.Graph`` holds the record; ``viz`` draws it;
``backward`` walks it. Names, defaults and shapes are PyTorch's where PyTorch has the thing.
"""

from typing import TYPE_CHECKING, Any

from . import nn, optim
from .backward import BackwardStep, Contribution, grad, walk
from .compiler import compile
from .errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GraphError,
    MutationError,
    OutOfRangeError,
    ShapeError,
    TinygradError,
)  # fmt: skip
from .functional import (
    abs,
    argmax,
    broadcast_to,
    cat,
    clamp,
    clip,
    concat,
    cos,
    cumsum,
    einsum,
    exp,
    expand_dims,
    flip,
    leaky_relu,
    log,
    log_softmax,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    one_hot,
    ones,
    outer,
    pad,
    permute,
    prod,
    rand,
    randn,
    relu,
    reshape,
    sigmoid,
    sin,
    softmax,
    softplus,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    sum,
    take,
    tanh,
    transpose,
    unsqueeze,
    var,
    where,
    zeros,
)  # fmt: skip
from .graph import Graph, Node, Ref
from .mode import enable_grad, get_default_dtype, no_grad, set_default_dtype
from .primitives import TABLE, Primitive
from .random import manual_seed
from .scope import Scope, scope, steps
from .tensor import Tensor, as_tensor, tensor

if TYPE_CHECKING:
    from .check import check_gradients

__version__ = "0.1.0"

__all__ = [
    "TABLE", "ArgumentError", "BackwardStep", "Contribution", "DTypeError", "DataError", "Graph", "GraphError",
    "MutationError", "Node", "OutOfRangeError", "Primitive", "Ref", "Scope", "ShapeError", "Tensor",
    "TinygradError", "abs", "argmax", "as_tensor", "broadcast_to", "cat", "check_gradients", "clamp", "clip",
    "compile", "concat", "cos", "cumsum", "einsum", "enable_grad", "exp", "expand_dims", "flip",
    "get_default_dtype", "grad", "leaky_relu", "log", "log_softmax", "logsumexp", "manual_seed", "matmul", "max",
    "maximum", "mean", "min", "minimum", "nn", "no_grad", "one_hot", "ones", "optim", "outer", "pad", "permute",
    "prod", "rand", "randn", "relu", "reshape", "scope", "set_default_dtype", "sigmoid", "sin", "softmax",
    "softplus", "split", "sqrt", "square", "squeeze", "stack", "steps", "sum", "take", "tanh", "tensor",
    "transpose", "unsqueeze", "var", "walk", "where", "zeros",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`check_gradients` is imported when first asked for: training does without it."""
    if name != "check_gradients":
        raise AttributeError(f"module 'tinygrad_rnn' has no attribute {name!r}")
    from .check import check_gradients

    return check_gradients
