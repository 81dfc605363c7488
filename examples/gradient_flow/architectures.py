"""The gradient along 100 time steps of an RNN, a GRU and two LSTMs that differ in their forget bias only.

The loss looks at the last state; the further back a state is, the less of it arrives there. How much less is a matter
of the factor in every step: of the RNN a matrix, of the others mostly a gate. A gate that starts at one half (forget
bias 0, PyTorch's way) loses as much as any RNN; one that starts near 1 keeps the gradient alive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import command, console

import tinygrad_rnn as tg
import viz

STEPS, HIDDEN, INPUTS = 100, 16, 4


def network(kind: str, seed: int = 0, forget_bias: float | None = None, steps: int = STEPS) -> tg.Tensor:
    """The loss of a fresh network of ``kind`` on random inputs: the sum of squares of its last state."""
    tg.manual_seed(seed)
    layer = getattr(tg.nn, kind)(INPUTS, HIDDEN, dtype=np.float64)
    if forget_bias is not None:
        tg.nn.init.forget_bias_(layer.bias_hh_l0, forget_bias)
    output, _ = layer(np.random.default_rng(seed).normal(size=(steps, 1, INPUTS)))
    return (output[-1] * output[-1]).sum()


def networks(steps: int = STEPS) -> dict[str, tg.Tensor]:
    """Their losses by name."""
    return {
        "RNN": network("RNN", steps=steps),
        "GRU": network("GRU", steps=steps),
        "LSTM": network("LSTM", steps=steps),
        "LSTM, forget bias 5": network("LSTM", forget_bias=5, steps=steps),
    }


def main(out: Path = Path("out")) -> dict[str, float]:
    """Measure, draw, and return for each network the norm at the first state over that at the last."""
    found = viz.flow(networks(), title=f"The gradient of the last step's loss, {STEPS} steps back")
    found.save(out / "architectures.svg")
    console.print(f"[bold]{out / 'architectures.svg'}[/bold]", soft_wrap=True)
    kept: dict[str, Any] = {}
    for layer in found.layers:
        norms = layer.norms.get("c", layer.norms["h"])
        kept[layer.network] = norms[1] / norms[STEPS]
        times = f"{kept[layer.network]:.2g} times"
        console.print(f"{layer.network}: the gradient at step 1 is {times} that at step {STEPS}")
    return kept


if __name__ == "__main__":
    command(main)
