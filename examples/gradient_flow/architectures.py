"""The gradient along 100 time steps of an RNN, a GRU and two LSTMs that differ in their forget bias only.

The loss looks at the last state; the further back a state is, the less of it arrives there. How much less is a matter
of the factor in every step: of the RNN a matrix, of the others mostly a gate. A gate that starts at one half (forget
bias 0, PyTorch's way) loses about as much as any RNN; one that starts near 1 keeps the gradient alive. Which of the
first three is worst is a matter of the seed, so the factor a step is measured over ten of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lab import command, console, table

import tinygrad_rnn as tg
from tinygrad_rnn import viz

STEPS, HIDDEN, INPUTS = 100, 16, 4
NETWORKS: tuple[tuple[str, str, float | None], ...] = (
    ("RNN", "RNN", None),
    ("GRU", "GRU", None),
    ("LSTM", "LSTM", None),
    ("LSTM, forget bias 5", "LSTM", 5),
)


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
    return {name: network(kind, forget_bias=bias, steps=steps) for name, kind, bias in NETWORKS}


def main(out: Path = Path("out")) -> dict[str, float]:
    """Measure, draw, and return for each network the norm at the first state over that at the last."""
    found = viz.flow(networks(), title=f"The gradient of the last step's loss, {STEPS} steps back")
    found.save(out / "architectures.svg")
    console.print(f"[bold]{out / 'architectures.svg'}[/bold]", soft_wrap=True)
    kept: dict[str, float] = {}
    for layer in found.layers:
        for role, norms in sorted(layer.norms.items(), reverse=True):  # an LSTM's h, then its c
            times = norms[1] / norms[STEPS]
            kept[layer.network] = times  # of the last: of c where there is one
            console.print(f"{layer.network}: |∂L/∂{role}_1| is {times:.2g} times |∂L/∂{role}_{STEPS}|")
    table(
        ["|∂L/∂h|: factor a step, geometric mean", "smallest of ten seeds", "median", "largest"],
        ((name, *(f"{x:.2f}" for x in np.quantile(of, (0, 0.5, 1)))) for name, of in factors().items()),
    )
    return kept


def factors(seeds: int = 10, steps: int = 40) -> dict[str, list[float]]:
    """By network, for each seed: the factor by which one step back changes |dL/dh|, on geometric average."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, kind, bias in NETWORKS:
            states = viz.flow(network(kind, seed, bias, steps), panels=("norms",)).layers[0].norms["h"]
            found.setdefault(name, []).append(float((states[1] / states[steps]) ** (1 / (steps - 1))))
    return found


if __name__ == "__main__":
    command(main)
