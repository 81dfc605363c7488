"""What recurrence costs and what it does not: any length with one model, whose size does not grow; time and memory do.

The same weights read sequences of any length. The graph, and with it the time and the memory of a training step, grows
in proportion to the length: the number of nodes exactly, the time as near as a clock can tell.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from lab import BOUND, LINES, command, panels, table

import tinygrad_rnn as tg

LENGTHS = (25, 50, 100, 200, 400)
INPUTS, HIDDEN = 8, 32
KINDS = ("RNN", "GRU", "LSTM")


def layer(kind: str) -> tg.nn.Module:
    """The one model."""
    tg.manual_seed(0)
    return getattr(tg.nn, kind)(INPUTS, HIDDEN)


def loss(model: tg.nn.Module, length: int) -> tg.Tensor:
    """Of random inputs of this length; all states count."""
    x = np.random.default_rng(length).normal(size=(length, 4, INPUTS)).astype(np.float32)
    output, _ = model(x)
    return (output * output).mean()


def sizes(model: tg.nn.Module, lengths: tuple[int, ...] = LENGTHS) -> tuple[set[int], list[int]]:
    """The numbers of parameters seen (one, if the size does not grow), and the numbers of nodes by length."""
    parameters, nodes = set(), []
    for length in lengths:
        nodes.append(len(tg.Graph(loss(model, length))))
        parameters.add(sum(p.numel() for p in model.parameters()))
    return parameters, nodes


def seconds(model: tg.nn.Module, length: int, repeats: int) -> float:
    """Of processor time, the shortest of a few forward and backward passes."""
    found = []
    for _ in range(repeats):
        begin = process_time()
        model.zero_grad()
        loss(model, length).backward()
        found.append(process_time() - begin)
    return min(found)


def ratios(times: list[float]) -> list[float]:
    """Each time against the one before."""
    return [b / a for a, b in pairwise(times)]


def main(out: Path = Path("out"), lengths: tuple[int, ...] = LENGTHS, repeats: int = 3) -> dict[str, Any]:
    """Count, measure, draw, and return nodes and seconds by kind and length."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        model = layer(kind)
        parameters, nodes = sizes(model, lengths)
        times = [seconds(model, length, repeats) for length in lengths]
        found[kind] = {"parameters": parameters, "nodes": nodes, "seconds": times}
    table(
        ["T", *map(str, lengths)],
        [[f"parameters, {kind}", *list(of["parameters"]) * len(lengths)] for kind, of in found.items()]
        + [[f"nodes, {kind}", *of["nodes"]] for kind, of in found.items()]
        + [[f"time against half as many steps, {k}", "", *ratios(of["seconds"])] for k, of in found.items()],
    )
    with panels(out / "tradeoffs.svg", 2) as (first, second):
        for (kind, of), look in zip(found.items(), LINES):
            first.plot(lengths, [1e3 * s for s in of["seconds"]], label=kind, **{**look, "markevery": 1})
            second.plot(lengths, list(of["parameters"]) * len(lengths), label=kind, **{**look, "markevery": 1})
        slope = 1e3 * found["LSTM"]["seconds"][-1] / lengths[-1]
        first.plot(lengths, [slope * n for n in lengths], label="in proportion", **BOUND)
        first.set(yscale="log", xlabel="time steps T", ylabel="ms, forward and backward", title="time grows with T")
        second.set(ylim=(0, None), xlabel="time steps T", ylabel="parameters", title="size does not")
        for axes in (first, second):
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [str(n) for n in lengths])
            axes.legend(fontsize=8)
    return found


if __name__ == "__main__":
    command(main)
