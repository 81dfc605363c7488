"""Training steps handed to JAX by `to_jax`, beside the same networks written by hand with ``lax.scan``.

``python benchmarks/export_jax.py [W3 W4 W6]``: milliseconds a step, the two taking turns, and seconds until the first
step is done, at the workload's length and at four times that length.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from contestants import CLIP, WORKLOADS, Workload, jax_step, tokens, weights


def exported(w: Workload) -> Any:
    """A step of ours, in JAX."""
    import tinygrad_rnn as tg

    class Model(tg.nn.Module):
        def __init__(self) -> None:
            self.embed = tg.nn.Embedding(w.V, w.E)
            self.rnn = getattr(tg.nn, w.cell)(w.inputs, w.H, w.L)
            self.head = tg.nn.Linear(w.H, w.V)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(self.embed(x))[0])

    model = Model()
    model.load_state_dict(weights(w))
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


def seconds(f: Any) -> float:
    began = time.perf_counter()
    f()
    return time.perf_counter() - began


def main(names: list[str]) -> None:
    import jax

    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    print("workload  first step, s: exported, by hand; four times as long | a step, ms: exported, by hand")
    for name in names:
        w = WORKLOADS[name]
        made = [exported(w), jax_step(w).step]
        first = [seconds(run) for run in made]
        longer = [seconds(run) for run in (exported(replace(w, T=4 * w.T)), jax_step(replace(w, T=4 * w.T)).step)]
        times: list[list[float]] = [[], []]
        for _ in range(15):
            for k, run in enumerate(made):
                times[k].append(seconds(run) * 1e3)
        best = [min(each) for each in times]
        print(
            f"{name}  {first[0]:.1f} {first[1]:.1f}; {longer[0]:.1f} {longer[1]:.1f} | {best[0]:.1f} {best[1]:.1f} "
            f"(fastest of {len(times[0])}, taking turns)"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["W3", "W4", "W6"])
