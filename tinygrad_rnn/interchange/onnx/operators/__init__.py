"""ONNX's operators on our tensors, a file a family; importing this enters them all in the table."""

from . import control, elementwise, layers, quantised, recurrent, reductions, sequences, shapes  # noqa: F401  they enter theirs
from .sequences import TAKE_SEQUENCES as TAKE_SEQUENCES
from .table import TABLE as TABLE
from .table import keywords as keywords
