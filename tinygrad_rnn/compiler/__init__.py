"""The compiler: trace a function, rewrite its graph, lower it to a table of integers, run that in one loop."""

from .function import Function, compile
from .opcodes import kernel

__all__ = ["Function", "compile", "kernel"]
