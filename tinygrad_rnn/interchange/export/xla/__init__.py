"""Our programs in JAX; see `to_jax`."""

from .devices import Spread
from .engine import JaxEngine
from .function import JaxProgram, to_jax
from .rules import jax_rule

__all__ = ["JaxEngine", "JaxProgram", "Spread", "jax_rule", "to_jax"]
