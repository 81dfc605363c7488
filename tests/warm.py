"""Compile the kernels for one dtype into the cache that all workers share: ``python tests/warm.py float32``."""

from __future__ import annotations

import os
import subprocess
import sys

DTYPES = ("float32", "float64")


def warmed() -> None:
    """Both dtypes at once, before any worker starts: else each worker would compile the same kernels for itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = [subprocess.Popen([sys.executable, __file__, dtype], env=environment) for dtype in DTYPES]
    for process in started:
        if process.wait():
            raise RuntimeError("the kernels could not be compiled; see above")


def main(dtype: str) -> None:
    """The loop of compiled programs, and every kernel that takes this dtype."""
    import numpy as np

    import tinygrad_rnn as tg
    from tinygrad_rnn.testing import RECIPES, Source

    tg.compile(lambda x: (x * 2.0).sum())(np.ones(3, dtype))
    for primitive in tg.TABLE.values():
        if primitive.kernel and np.dtype(dtype).char in primitive.kernel_dtypes:
            for seed in range(4):  # few and many axes
                case = RECIPES[primitive.name](Source(seed, sizes=[2]))
                operands = (x.astype(dtype) if np.asarray(x).dtype.kind == "f" else x for x in case.operands)
                primitive.compiled(*operands, **case.attrs)


if __name__ == "__main__":
    main(sys.argv[1])
