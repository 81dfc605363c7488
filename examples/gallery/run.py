"""Draws every network of the gallery, at cell and at gate level, and one with its numbers.

python examples/gallery/run.py --out out/gallery
"""

from __future__ import annotations

import argparse
from pathlib import Path

from networks import NETWORKS

import tinygrad_rnn as tg
from tinygrad_rnn import viz


def main() -> None:
    """The pictures, by name of the network and level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gallery"))
    parser.add_argument("--only", choices=list(NETWORKS), help="this network alone, also at op level and with numbers")
    parser.add_argument("--detail", choices=["cell", "gate", "op"], help="this level alone")
    options = parser.parse_args()
    levels = [options.detail] if options.detail else ["cell", "gate", "op"] if options.only else ["cell", "gate"]
    for name in [options.only] if options.only else list(NETWORKS):
        tg.manual_seed(0)
        loss = NETWORKS[name]()
        for detail in levels:
            viz.render(loss, options.out / f"{name}-{detail}.svg", detail=detail)
        if options.only and not isinstance(loss, tuple):
            viz.render(loss, options.out / f"{name}-numbers.svg", detail="gate", values=True, grads=True)
        print(f"{name}: {NETWORKS[name].__doc__}")


if __name__ == "__main__":
    main()
