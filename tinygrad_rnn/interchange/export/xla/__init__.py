"""Our programs in JAX; see `to_jax`."""

from .function import JaxProgram, to_jax
from .rules import jax_rule

__all__ = ["JaxProgram", "jax_rule", "to_jax"]
