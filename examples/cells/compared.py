"""Twelve cells side by side: how far their gradients reach without training, and what they learn.

The figure is computed here. The table was measured by ``run.py``, which takes some minutes and says how, in README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from run import HERE, MARK, flow, table_of


def measured() -> list[list[str]]:
    """The table's rows, its head first."""
    lines = (HERE / "README.md").read_text(encoding="utf-8").partition(MARK)[2].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if set(line) - set("|-")]


def show(out: Path) -> None:
    """Draw the flow, print the table."""
    flow(out / "cells-flow.svg")
    head, *rows = measured()
    print("Unseen sequences answered right, with 32 units, 20 steps, 600 steps of training, the median of three seeds:")
    table_of(head, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"))
    show(parser.parse_args().out)
