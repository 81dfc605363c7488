"""One recurrence h_t = f_W(h_(t-1), x_t), folded and unrolled, then opened up to every operation.

However long the sequence, there is one W: the unrolled picture has a box for each time step and one arrow from W to
every box. The same function with the same parameters is applied again and again.
"""

from __future__ import annotations

from pathlib import Path

from common import command, console, draw

import tinygrad_rnn as tg
from tinygrad_rnn.sequence_patterns import build


def main(steps: int = 4, out: Path = Path("out"), seed: int = 0) -> list[int]:
    """Draw; returns the number of parameters for ``steps`` steps, twice and ten times as many."""
    draw(build("many-to-many", "rnn", steps, seed=seed), out / "recurrence.svg", rolled=True, walk=True)
    draw(build("many-to-one", "rnn", 2, seed=seed), out / "recurrence-op.svg", detail="op", values=True)
    sizes = []
    for length in (steps, 2 * steps, 10 * steps):
        graph = tg.Graph(build("many-to-one", "rnn", length, seed=seed))
        sizes.append(sum(parameter.value.size for parameter in graph.parameters))
        console.print(f"{length:>3} time steps: {len(graph.nodes):>4} nodes, {sizes[-1]} parameters")
    return sizes


if __name__ == "__main__":
    command(main, quick=2)
