"""Cells with less in the way of the gradient: no matrix, no squashing, or neither. Two steps of each.

In the first three the state enters linearly, so all steps can be computed at once; that it is the same is shown here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from cells import CELLS, in_parallel
from run import picture, walk

import tinygrad_rnn as tg

LINEAR = ("minGRU", "minLSTM", "diagonal")
KINDS = (*LINEAR, "IndRNN", "antisymmetric")


def show(out: Path, length: int = 1000) -> dict[str, float]:
    """Draw each; returns how far all steps at once are from the steps one by one, relative to the largest state."""
    differences = {}
    walk("minGRU", out)
    for kind in KINDS:
        picture(kind, out)
        if kind in LINEAR:
            tg.manual_seed(0)
            cell: tg.nn.Module = CELLS[kind](4, 8).double()
            x = tg.randn(length, 1, 4).double()
            one_by_one, at_once = tg.nn.Recurrent(cell)(x)[0].numpy(), in_parallel(cell, x).numpy()  # type: ignore[arg-type]
            differences[kind] = float(np.abs(one_by_one - at_once).max() / np.abs(one_by_one).max())
            passes = int(np.ceil(np.log2(length)))
            print(f"{kind}: {length} steps in {passes} passes over the whole sequence, {differences[kind]:.0e} apart")
    return differences


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"))
    show(parser.parse_args().out)
