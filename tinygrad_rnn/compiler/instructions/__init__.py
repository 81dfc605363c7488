"""The instructions: one small function each, of which Numba makes LLVM's language and LLVM machine code.

An instruction is called with its row of the table, the number of the tile and the tile's length (both 0 for those done
on whole values), and ``like``, a pointer that only says which float type it is compiled for. It returns 0, or 1 for a
check that failed. `by_numba` has all of them; `..machine_code` runs what of them is shipped without Numba.
"""
