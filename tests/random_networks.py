"""Random networks as students write them: batches, masks, norms, embeddings, several layers made by a loop, columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_rnn as tg

SIZE, WORDS = 3, 4


@dataclass(frozen=True)
class Network:
    """Settings that say everything; its repr makes it again."""

    cell: str = "rnn"  #: or "lstm", "gru", "relu"
    layers: int = 1
    steps: int = 3
    rows: int = 2  #: of the batch
    inputs: str = "array"  #: or "leaf": a gradient of them is asked for; "words": rows of a table
    start: str = "zeros"  #: or "row": one for the whole batch; "flat": so, as a vector; "rows"
    bias: str = "flat"  #: or "row", "none"
    mask: str = "none"  #: or "times", "where": what a sequence that has ended keeps
    norm: bool = False  #: what a cell computes is normalized
    columns: bool = False  #: a sample is a column
    loss: str = "picked"  #: scores picked by two arrays; "hot": by ones; "entropy", "square"; "last": of the last step
    mean: bool = False  #: over the steps

    def loss_of(self) -> tg.Tensor:
        """The loss of a program that was just run."""
        return _Writing(self).run()


def networks() -> st.SearchStrategy[Network]:
    """Random ones."""
    return st.builds(
        Network,
        st.sampled_from(["rnn", "lstm", "gru", "relu"]), st.integers(1, 2), st.integers(1, 4), st.integers(1, 3),
        st.sampled_from(["array", "leaf", "words"]), st.sampled_from(["zeros", "row", "flat", "rows"]),
        st.sampled_from(["flat", "row", "none"]), st.sampled_from(["none", "times", "where"]), st.booleans(),
        st.booleans(), st.sampled_from(["picked", "hot", "entropy", "square", "last"]), st.booleans(),
    )  # fmt: skip


class _Writing:
    def __init__(self, network: Network) -> None:
        self.network, self.rng = network, np.random.default_rng(5)
        self.turned = (lambda x: x.T) if network.columns else (lambda x: x)

    def leaf(self, name: str, *shape: int) -> tg.Tensor:
        """A learned array, turned where samples are columns."""
        value = 0.6 * self.rng.normal(size=shape)
        return tg.tensor(self.turned(value) if len(shape) == 2 else value, requires_grad=True, name=name)

    def linear(self, x: Any, weight: tg.Tensor) -> tg.Tensor:
        """A product in the order of the layout."""
        return weight @ x if self.network.columns else x @ weight

    def layer(self, number: int) -> dict[str, Any]:
        """The leaves of one."""
        net, gates = self.network, {"lstm": 4, "gru": 3}.get(self.network.cell, 1)
        bias = {"flat": (gates * SIZE,), "row": (1, gates * SIZE), "none": ()}[net.bias]
        if net.columns and net.bias == "flat":
            bias = (1, gates * SIZE)
        return {
            "W": self.leaf(f"W{number}", SIZE, gates * SIZE),
            "U": self.leaf(f"U{number}", SIZE, gates * SIZE),
            "b": self.leaf(f"b{number}", *bias) if bias else 0.0,
        }

    def start(self, number: int) -> Any:
        """What a state starts from."""
        net = self.network
        if net.start == "zeros":
            return tg.tensor(self.turned(np.zeros((net.rows, SIZE))))
        if net.start == "rows":
            return self.leaf(f"h0{number}", net.rows, SIZE)
        if net.start == "row" or net.columns:
            return self.leaf(f"h0{number}", 1, SIZE)
        return self.leaf(f"h0{number}", SIZE)

    def normed(self, a: tg.Tensor) -> tg.Tensor:
        """Of mean 0 and variance 1 over the units."""
        axis = 0 if self.network.columns else 1
        a = a - a.mean(axis, keepdims=True)
        return a / tg.sqrt((a * a).mean(axis, keepdims=True) + 1e-5)

    def part(self, a: tg.Tensor, gate: int) -> tg.Tensor:
        """The rows or columns of one gate."""
        cut = slice(gate * SIZE, (gate + 1) * SIZE)
        return a[cut] if self.network.columns else a[..., cut]

    def cell(self, layer: dict[str, Any], x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """One step of one layer."""
        net, h = self.network, state[0]
        if net.cell in ("rnn", "relu"):
            a = self.linear(x, layer["W"]) + self.linear(h, layer["U"]) + layer["b"]
            a = self.normed(a) if net.norm else a
            return (tg.tanh(a) if net.cell == "rnn" else tg.relu(a),)
        if net.cell == "lstm":
            a = self.linear(x, layer["W"]) + self.linear(h, layer["U"]) + layer["b"]
            i, f, o = (tg.sigmoid(self.part(a, k)) for k in range(3))
            c = f * state[1] + i * tg.tanh(self.part(a, 3))
            return o * tg.tanh(self.normed(c) if net.norm else c), c
        a, q = self.linear(x, layer["W"]) + layer["b"], self.linear(h, layer["U"])
        r, z = (tg.sigmoid(self.part(a, k) + self.part(q, k)) for k in range(2))
        n = self.part(a, 2) + r * self.part(q, 2)
        n = tg.tanh(self.normed(n) if net.norm else n)
        return ((1 - z) * n + z * h,)

    def run(self) -> tg.Tensor:
        """The whole program."""
        net, rng = self.network, self.rng
        table = tg.tensor(0.6 * rng.normal(size=(WORDS, SIZE)), requires_grad=True, name="E")
        words = rng.integers(0, WORDS, size=(net.steps, net.rows))
        x = tg.tensor(rng.normal(size=(net.steps, net.rows, SIZE)), requires_grad=net.inputs == "leaf", name="x")
        lengths = np.maximum(net.steps - np.arange(net.rows), 1)
        layers = [self.layer(k) for k in range(net.layers)]
        states: list[tuple[Any, ...]] = [(self.start(k),) * (2 if net.cell == "lstm" else 1) for k in range(net.layers)]
        V = self.leaf("V", SIZE, WORDS)
        targets = rng.integers(0, WORDS, size=(net.steps, net.rows))
        total: Any = 0.0
        for t in range(net.steps):
            out = table[words[t]] if net.inputs == "words" else x[t]
            out = out.T if net.columns else out
            live = self.turned((t < lengths).astype(float)[:, None])
            for k, layer in enumerate(layers):
                new = self.cell(layer, out, states[k])
                if net.mask == "times":
                    new = tuple(live * a + (1 - live) * b for a, b in zip(new, states[k], strict=True))
                elif net.mask == "where":
                    new = tuple(tg.where(live > 0, a, b) for a, b in zip(new, states[k], strict=True))
                states[k] = new
                out = new[0]
            scores = self.linear(out, V)
            scores = scores.T if net.columns else scores
            total = total + self.judged(scores, targets[t], live)
        if net.loss == "last":
            total = ((out - 0.3) ** 2).mean()
        return total / net.steps if net.mean else total

    def judged(self, scores: tg.Tensor, target: Any, live: Any) -> Any:
        """One step's loss."""
        net = self.network
        if net.loss == "entropy":
            return tg.nn.functional.cross_entropy(scores, target)
        if net.loss == "square":
            return ((scores - np.eye(WORDS)[target]) ** 2).sum() / net.rows
        if net.loss == "last":
            return 0.0
        logp = tg.log_softmax(scores, 1)
        if net.loss == "picked":
            return -logp[np.arange(net.rows), target].mean()
        return -(logp * (np.eye(WORDS)[target] * self.turned(live))).sum()
