"""How every experiment is run: one network, one seed, ever new batches, a fixed budget, a score on unseen data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_rnn as tg

UNSEEN = 1000  #: sequences that a trained network is judged on
WINDOW = 100  #: training losses are reported as means of so many steps


class Network(tg.nn.Module):
    """One recurrent layer of some kind and a linear head.

    ``tanh`` and the gated kinds start as `tinygrad_rnn.nn` starts them, the LSTM's forget biases at 0 or 1 in sum;
    ``orthogonal`` is tanh with an orthogonal W_hh (Saxe et al. 2014); ``irnn`` is relu, W_hh the identity, biases 0,
    W_ih normal with standard deviation 0.001 (Le, Jaitly and Hinton 2015).
    """

    def __init__(self, kind: str, inputs: int, hidden: int, outputs: int) -> None:
        init = tg.nn.init
        if kind in ("tanh", "orthogonal"):
            self.rnn: Any = tg.nn.RNN(inputs, hidden)
        elif kind == "irnn":
            self.rnn = tg.nn.RNN(inputs, hidden, nonlinearity="relu")
            init.eye_(self.rnn.weight_hh_l0)
            init.normal_(self.rnn.weight_ih_l0, 0.0, 0.001)
            for bias in (self.rnn.bias_ih_l0, self.rnn.bias_hh_l0):
                init.zeros_(bias)
        else:
            self.rnn = tg.nn.GRU(inputs, hidden) if kind == "gru" else tg.nn.LSTM(inputs, hidden)
        if kind == "orthogonal":
            init.orthogonal_(self.rnn.weight_hh_l0)
        if kind in ("lstm-0", "lstm-1"):
            init.forget_bias_(self.rnn.bias_ih_l0, float(kind[-1]))
            init.forget_bias_(self.rnn.bias_hh_l0, 0.0)
        self.head = tg.nn.Linear(hidden, outputs)

    def every(self, x: Any) -> tg.Tensor:
        """x (T, N, inputs) -> (T, N, outputs)."""
        return self.head(self.rnn(x)[0])

    def last(self, x: Any) -> tg.Tensor:
        """x (T, N, inputs) -> (N, outputs), after the last step."""
        return self.head(self.rnn(x)[0][-1])


@dataclass(frozen=True)
class Plan:
    """Which network, for how many steps at most, from which seeds; and what the paper reports of it."""

    kind: str
    steps: int
    seeds: Iterable[int] = (0, 1, 2, 3, 4)
    theirs: str = ""


@dataclass(frozen=True)
class Result:
    """One run: how well, how long, and on the way the mean training loss of every `WINDOW` steps."""

    score: float
    steps: int
    seconds: float  #: of processor time, compilation left out
    losses: list[float]
    text: str = ""


@dataclass(frozen=True)
class Task:
    """An experiment. ``batch(n, rng)`` gives x and y of n sequences, ``loss(network, x, y)`` is what is minimised."""

    name: str
    title: str
    paper: str
    protocol: str
    words: str  #: where ours differs, and what to make of it
    unit: str  #: what the score is
    baseline: float  #: the score of an answer that ignores the sequence
    threshold: float  #: a score to be below
    plans: dict[str, Plan]
    inputs: int = 0
    outputs: int = 0
    hidden: int = 64
    sequences: int = 32
    lr: float = 1e-3
    clip: float = 1.0
    enough: float = 0.0  #: training stops when the mean loss of `WINDOW` steps falls below
    batch: Callable[..., Any] = field(default=lambda n, rng: None, repr=False)
    loss: Callable[..., Any] = field(default=lambda network, x, y: None, repr=False)

    def settings(self, name: str) -> dict[str, Any]:
        """What a result depends on, to know whether it is still the one that would be measured."""
        plan = self.plans[name]
        numbers = ("inputs", "outputs", "hidden", "sequences", "lr", "clip", "enough", "protocol")
        return {key: getattr(self, key) for key in numbers} | {"kind": plan.kind, "steps": plan.steps}

    def measure(self, name: str, seed: int, advance: Callable[[float], bool] = lambda loss: True) -> Result | None:
        """Train and judge one network; ``advance`` hears each step's loss and says whether to go on, else None."""
        plan = self.plans[name]
        tg.manual_seed(seed)
        rng = np.random.default_rng(seed)
        network = Network(plan.kind, self.inputs, self.hidden, self.outputs)
        optimizer = tg.optim.Adam(network.parameters(), lr=self.lr)

        @tg.compile
        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            loss = self.loss(network, x, y)
            optimizer.zero_grad()
            loss.backward()
            tg.nn.utils.clip_grad_norm_(network.parameters(), self.clip)
            optimizer.step()
            return loss

        losses, began = [], 0.0
        for k in range(plan.steps):
            losses.append(step(*self.batch(self.sequences, rng)).item())
            began = began or time.process_time()  # the first step compiles
            if not advance(losses[-1]):
                return None
            if (k + 1) % WINDOW == 0 and np.mean(losses[-WINDOW:]) < self.enough:
                break
        seconds = time.process_time() - began
        with tg.no_grad():
            score = self.loss(network, *self.batch(UNSEEN, np.random.default_rng([seed, UNSEEN]))).item()
        return Result(score, len(losses), seconds, windowed(losses))


def windowed(losses: list[float]) -> list[float]:
    """Means of `WINDOW` steps each."""
    whole = len(losses) // WINDOW * WINDOW
    return [round(float(mean), 6) for mean in np.reshape(losses[:whole], (-1, WINDOW)).mean(axis=1)]
