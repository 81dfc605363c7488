"""The compiler: trace a function, rewrite its graph, lower it to a table of integers, run that in one loop."""

from ..arguments import answering
from .compiled_function import CompiledFunction, compile
from .opcodes import kernel

__all__ = ["CompiledFunction", "compile", "kernel"]


answering(globals())
