"""All experiments, one after the other, into one folder."""

from __future__ import annotations

import importlib
from pathlib import Path

from lab import command, console

EXPERIMENTS = ("architectures", "vanishing", "clipping", "cliff", "highway", "memory", "tradeoffs", "truncated")


def main(out: Path = Path("out")) -> None:
    """Run every experiment's own ``main``."""
    for name in EXPERIMENTS:
        console.rule(name)
        importlib.import_module(name).main(out)


if __name__ == "__main__":
    command(main)
