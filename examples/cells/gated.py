"""Cells that gate as the LSTM does, and a little more: two steps of each, gate by gate.

Peepholes let the gates see the cell state, coupled gates forget as much as they let in, layer normalization keeps what
goes into the gates at one size, and the sLSTM's input and forget gates are exponentials.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cells import Network
from run import picture, walk

KINDS = ("peephole LSTM", "coupled LSTM", "layer-norm LSTM", "sLSTM")


def show(out: Path, kinds: tuple[str, ...] = KINDS) -> None:
    """Draw each, and say how many numbers its cell of 32 units learns, reading 8 numbers a step."""
    for kind in ("LSTM", *kinds):
        if kind in kinds:
            picture(kind, out)
        if kind == "sLSTM":
            walk(kind, out)
        print(f"{kind}: {sum(p.numel() for p in Network(kind, 8, 32, 1).rnn.parameters()):,} weights")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"))
    show(parser.parse_args().out)
