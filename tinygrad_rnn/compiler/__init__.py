"""The compiler: trace a function, rewrite its graph, lower it to a table of integers, run that in one loop."""

from .function import Function, compile

__all__ = ["Function", "compile"]
