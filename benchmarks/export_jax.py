"""Training steps handed to JAX by `to_jax`, beside the same networks written by hand with ``lax.scan``.

``python benchmarks/export_jax.py [W3 W4 W6] [--rounds 20]``: on one processor, with XLA's one thread, the two taking
turns: processor time a step, least and median, and of compiling, at the workload's length and at four times that
length. Last, compiling of three layers in two directions, longer and longer. Processor time, for it does not count
what other programs on the machine take; what they take of caches and memory it does count, so read the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

from contestants import CLIP, WORKLOADS, Workload, jax_step, tokens, weights

import tinygrad_rnn as tg


class Model(tg.nn.Module):
    """A character model of a workload's sizes."""

    def __init__(self, w: Workload, bidirectional: bool = False) -> None:
        self.embed = tg.nn.Embedding(w.V, w.E)
        self.rnn = getattr(tg.nn, w.cell)(w.inputs, w.H, w.L, bidirectional=bidirectional)
        self.head = tg.nn.Linear(w.H * (1 + bidirectional), w.V)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(self.embed(x))[0])


def exported(w: Workload, model: Model) -> Any:
    """A step of ours, in JAX."""
    optimizer = tg.optim.Adam(model.parameters())

    def step(x: Any, y: Any) -> Any:
        loss = tg.nn.functional.cross_entropy(model(x).reshape(-1, w.V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss

    x, y = tokens(w)
    fn, state = tg.interchange.to_jax(step, x, y, donate=True)

    def run() -> float:
        nonlocal state
        state, loss = fn(state, x, y)
        return float(loss)

    return run


def same(w: Workload) -> Any:
    """The exported step with the weights that the one by hand begins with."""
    model = Model(w)
    model.load_state_dict(weights(w))
    return exported(w, model)


def seconds(f: Any) -> float:
    began = time.process_time()
    f()
    return time.process_time() - began


def compiling(run: Any) -> float:
    """The first step without the time that the next one takes."""
    return seconds(run) - seconds(run)


def compare(name: str, rounds: int) -> None:
    w = WORKLOADS[name]
    longer = replace(w, T=4 * w.T)
    made = [same(w), jax_step(w).step]
    first = [compiling(run) for run in made]
    four = [compiling(same(longer)), compiling(jax_step(longer).step)]
    losses = [run() for run in made]
    if abs(losses[0] - losses[1]) > 1e-4 * abs(losses[1]):
        raise SystemExit(f"{name}: the losses after two steps differ: {losses}")
    times: list[list[float]] = [[], []]
    for k in range(2 * rounds):
        times[k % 2].append(seconds(made[k % 2]) * 1e3)
    least = [min(each) for each in times]
    median = statistics.median(a / b for a, b in zip(*times, strict=True))
    print(
        f"{name}  a step, ms: exported {least[0]:.1f}, by hand {least[1]:.1f}, ratio {least[0] / least[1]:.3f}, "
        f"median of ratios {median:.3f} | compiling, s: {first[0]:.1f} and {first[1]:.1f}; four times as long "
        f"{four[0]:.1f} and {four[1]:.1f}",
        flush=True,
    )


def growth() -> None:
    """Compiling of several layers in two directions."""
    for T in (50, 200, 1000):
        w = Workload("LSTM", 65, 16, 16, 3, T, 4, "adam")
        print(f"three layers, two directions, T = {T}: {compiling(exported(w, Model(w, True))):.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["W3", "W4", "W6"])
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax

    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; processor time, one thread")
    for name in given.names:
        compare(name, given.rounds)
    growth()


if __name__ == "__main__":
    main()
