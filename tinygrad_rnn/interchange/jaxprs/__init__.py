"""JAX functions: traced by JAX, and their equations computed on our tensors; see `from_jax`."""

from ...arguments import answering
from .importing import JaxFunction, from_jax

__all__ = ["JaxFunction", "from_jax"]


answering(globals())
