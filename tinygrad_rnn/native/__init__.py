"""Python functions on plain arrays as machine code: translated, optimised by LLVM, kept on disk."""

from .machine_code import address_of, c_function, native, provide

__all__ = ["address_of", "c_function", "native", "provide"]
