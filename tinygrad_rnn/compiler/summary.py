"""A table of what a compiled function runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .opcodes import in_region
from .passes import Applied


@dataclass
class Cost:
    """The cost of all instructions of one kind."""

    count: int = 0
    flops: int = 0
    moved: int = 0  #: bytes
    seconds: float = 0.0


def table(applied: Sequence[Applied], costs: Mapping[str, Cost], program: Any, seconds: float) -> str:
    """Passes with the nodes before and after; instructions with what they cost; sums."""
    lines = [f"{'pass':<20}{'nodes':>8}{'after':>8}"]
    lines += [f"{a.name:<20}{a.before:>8}{a.after:>8}" for a in applied]
    lines += ["", f"{'instruction':<20}{'count':>8}{'MFLOP':>10}{'MB':>9}{'us':>10}"]
    alone = {name: cost for name, cost in costs.items() if not in_region(name)}
    lines += [_row(name, cost) for name, cost in sorted(alone.items(), key=lambda item: -item[1].seconds)]
    inside = {name: cost for name, cost in costs.items() if in_region(name)}
    if inside:
        lines.append(
            "inside regions: "
            + ", ".join(
                f"{name} {cost.count}" for name, cost in sorted(inside.items(), key=lambda item: -item[1].count)
            )
        )
    total = Cost(*(sum(getattr(c, name) for c in costs.values()) for name in ("count", "flops", "moved", "seconds")))
    lines += [_row("all", total), ""]
    lanes = ", the batch in two lanes" if getattr(program, "lanes", None) else ""
    lines.append(f"arena {program.arena_bytes / 1024:.1f} KiB{lanes}; compiled in {seconds:.3f} s")
    if program.host:
        names = sorted({node.op.name for node in program.host.values()})
        lines.append(f"computed by NumPy, one call each: {', '.join(names)} ({len(program.host)})")
    return "\n".join(lines)


def _row(name: str, c: Cost) -> str:
    return f"{name:<20}{c.count:>8}{c.flops / 1e6:>10.3f}{c.moved / 1e6:>9.3f}{c.seconds * 1e6:>10.1f}"
