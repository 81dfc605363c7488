"""Truncated backpropagation through time: how far its gradient is from the whole one, as a function of the window.

The sequence is cut into windows, the state is handed on, and no gradient flows from one window to the one before. What
that leaves out is everything a loss says about states before its window. If gradients vanish, little is missing; the
longer a network remembers, the wider the window has to be. With one window over everything nothing is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import LINES, command, panels, table

import tinygrad_rnn as tg

STEPS, HIDDEN, INPUTS = 96, 16, 4
WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)
SEEDS = 5


def rnn(seed: int, gain: float) -> tg.nn.Module:
    """A tanh RNN whose recurrent matrix is ``gain`` times an orthogonal one."""
    tg.manual_seed(seed)
    layer = tg.nn.RNN(INPUTS, HIDDEN, dtype=np.float64)
    tg.nn.init.orthogonal_(layer.weight_hh_l0, gain)
    return layer


def lstm(seed: int, forget_bias: float) -> tg.nn.Module:
    """An LSTM with this forget bias."""
    tg.manual_seed(seed)
    layer = tg.nn.LSTM(INPUTS, HIDDEN, dtype=np.float64)
    tg.nn.init.forget_bias_(layer.bias_hh_l0, forget_bias)
    return layer


NETWORKS: dict[str, Any] = {
    "tanh, W = 0.7 · orthogonal": lambda seed: rnn(seed, 0.7),
    "tanh, W = orthogonal": lambda seed: rnn(seed, 1.0),
    "LSTM, forget bias 1": lambda seed: lstm(seed, 1.0),
    "LSTM, forget bias 3": lambda seed: lstm(seed, 3.0),
}


def states(layer: tg.nn.Module, x: Any) -> list[Any]:
    """What the layer carries into every step, an array (1, T, HIDDEN) each: h, and of an LSTM also c."""
    state: Any = layer(x[:1])[1]
    carried = [[np.zeros((1, HIDDEN))] for _ in (state if isinstance(state, tuple) else (state,))]
    for t in range(STEPS - 1):
        _, state = layer(x[t : t + 1], state if t else None)
        for steps, value in zip(carried, state if isinstance(state, tuple) else (state,)):
            steps.append(value.numpy()[0])
    return [np.stack(steps, axis=1) for steps in carried]


def gradient(layer: tg.nn.Module, window: int, x: Any, target: Any, carried: list[Any]) -> Any:
    """Of all weights, for a loss at every step, cut every ``window`` steps.

    As each window begins with the state that the sequence has come to, and hands no gradient on, none need wait for
    another: they are the sequences of one batch.
    """
    x, target = (a.reshape(-1, window, a.shape[-1]).swapaxes(0, 1) for a in (x, target))
    starts = tuple(tg.tensor(steps[:, ::window]) for steps in carried)
    layer.zero_grad()
    output, _ = layer(x, starts if len(starts) > 1 else starts[0])
    ((output - target) ** 2).sum().backward()
    return np.concatenate([p.grad.numpy().ravel() for p in layer.parameters()])


def biases(make: Any, windows: tuple[int, ...] = WINDOWS, seeds: int = SEEDS) -> list[float]:
    """||truncated - whole|| / ||whole||, for every window; the mean over seeds."""
    found = []
    for seed in range(seeds):
        layer, rng = make(seed), np.random.default_rng(seed)
        x, target = rng.normal(size=(STEPS, 1, INPUTS)) * 0.3, rng.normal(size=(STEPS, 1, HIDDEN))
        with tg.no_grad():
            carried = states(layer, x)
        whole, *cut = (gradient(layer, window, x, target, carried) for window in (STEPS, *windows))
        found.append([float(np.linalg.norm(g - whole) / np.linalg.norm(whole)) for g in cut])
    return np.mean(found, 0).tolist()


def main(out: Path = Path("out"), windows: tuple[int, ...] = WINDOWS, seeds: int = SEEDS) -> dict[str, list[float]]:
    """Measure, draw, and return the bias of every network and window."""
    found = {name: biases(make, windows, seeds) for name, make in NETWORKS.items()}
    table(["window", *found], zip(windows, *found.values()))
    with panels(out / "truncated.svg", width=6.4) as axes:
        for (name, values), look in zip(found.items(), LINES):
            axes.plot(windows, [v or np.nan for v in values], label=name, **{**look, "markevery": 1})
        axes.set_xscale("log", base=2)
        axes.set_xticks(windows, [str(w) for w in windows])
        axes.set(yscale="log", xlabel="window, in time steps", ylabel="‖truncated − whole‖ / ‖whole‖")
        axes.set_title(f"Bias of the truncated gradient, T = {STEPS}; with a window of {STEPS} it is exactly 0")
        axes.title.set_fontsize(11)
        axes.legend(fontsize=8)
    return found


if __name__ == "__main__":
    command(main)
