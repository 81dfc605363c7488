"""Tools for users' own tests.

`assert_gradients` judges a program's gradients, whichever framework it is written in; `check_primitive` runs on
anyone's primitive the laws that the engine's own are held to.
"""

from ..arguments import answering
from .assertions import assert_gradients
from .primitives import PrimitiveError, check_case, check_primitive
from .sample_operands import RECIPES, Case, Source, elementwise, recipe_for
from .shrinking import smallest

__all__ = [
    "RECIPES",
    "Case",
    "PrimitiveError",
    "Source",
    "assert_gradients",
    "check_case",
    "check_primitive",
    "elementwise",
    "recipe_for",
    "smallest",
]


answering(globals())
