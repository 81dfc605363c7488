"""What a picture costs: boxes, processor seconds and memory, tiled, and laid out whole.

``python benchmarks/pictures.py``: under two minutes. Every picture is drawn in a process of its own, whose greatest
memory is counted without what importing takes. The network is a character model's LSTM at op level with all its steps,
the second one has attention.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from viz import style
from viz.graph.box_text import Labels
from viz.graph.detail_levels import collapse
from viz.graph.layout_in_lanes import in_lanes
from viz.graph.line_repair import mended


def lstm(steps: int) -> tg.Tensor:
    """A language model's loss."""
    cell, head, state, total = nn.LSTMCell(4, 3), nn.Linear(3, 4), None, tg.tensor(0.0)
    for x in tg.randn(steps, 1, 4):
        state = cell(x, state)
        total = total + nn.functional.cross_entropy(head(state[0]), [0])
    return total


def attention(steps: int) -> tg.Tensor:
    """Of a GRU that looks at all of its own states so far."""
    cell, h, past = nn.GRUCell(6, 3), tg.zeros(1, 3), [tg.zeros(1, 3)]
    for x in tg.randn(steps, 1, 3):
        seen = tg.concat(past)
        h = cell(tg.concat([x, (h @ seen.T).softmax(1) @ seen], 1), h)
        past.append(h)
    return h.square().sum()


NETWORKS = {"lstm": lstm, "attention": attention}
#: By way the head of a table, and its rows: networks and their steps.
TABLES = {
    "tiled": (
        "| network | boxes | processor | memory | faults left |\n| --- | --- | --- | --- | --- |",
        [("lstm", 6), ("lstm", 25), ("lstm", 50), ("lstm", 110), ("lstm", 500), ("attention", 6), ("attention", 12)],
    ),
    "whole": (
        "| laid out whole | boxes | processor | faults left |\n| --- | --- | --- | --- |",
        [("lstm", 12), ("lstm", 50), ("attention", 12), ("attention", 40)],
    ),
}


def tiled(network: str, steps: int) -> str:
    """A row of the table, about `viz.render`."""
    loss = NETWORKS[network](steps)
    viz.render(lstm(2), detail="op")  # what is imported only then
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    dot = viz.render(loss, detail="op", max_steps=None).dot
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    boxes = len(collapse(tg.Graph(loss), "op").boxes)
    left = "not measured" if "was not measured" in dot else "some lines" if "lines run along others" in dot else "none"
    left += ", laid out whole" if "not drawn alike" in dot else ""
    return f"| {network}, {steps} steps | {boxes:,} | {seconds:.1f} s | {memory / 1024:.0f} MB | {left} |"


def whole(network: str, steps: int) -> str:
    """A row of the table, about the picture in which every line has a lane of its own, and measuring it."""
    level = collapse(tg.Graph(NETWORKS[network](steps)), "op")
    labels = Labels(level)
    sizes = [style.box_size(box.kind, labels.lines(box), level.detail) for box in level.boxes]
    start = time.process_time()
    left = mended(in_lanes(level, sizes, max_steps=None)) or "none"
    return f"| {network}, {steps} steps | {len(level.boxes):,} | {time.process_time() - start:.1f} s | {left} |"


def main() -> None:
    """Both tables; with three arguments the one row that they ask for."""
    if len(sys.argv) == 4:
        way, network, steps = sys.argv[1:]
        print({"tiled": tiled, "whole": whole}[way](network, int(steps)))
        return
    for way, (head, asked) in TABLES.items():
        print(f"\n{head}")
        for network, steps in asked:
            row = [sys.executable, __file__, way, network, str(steps)]
            print(subprocess.run(row, capture_output=True, text=True, check=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
