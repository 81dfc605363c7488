"""What users import in their own tests.

`check_primitive` runs on anyone's primitive the laws that the engine's own are held to.
"""

from .primitives import PrimitiveError, check_case, check_primitive
from .recipes import RECIPES, Case, Source, elementwise, recipe_for

__all__ = ["RECIPES", "Case", "PrimitiveError", "Source", "check_case", "check_primitive", "elementwise", "recipe_for"]
