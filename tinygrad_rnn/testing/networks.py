"""A recurrent network and a batch for it, all from a few settings and a seed: as a layer, and as plain NumPy.

`Network.forward` is written from the papers' equations (`oracles.cell`) and shares no code with the engine. Any value
in it can be nudged: a weight everywhere, a weight at one time step only, a state after one time step. `Network.truth`
is the complex step through all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import nn
from ..check.tolerances import COMPLEX_STEP
from ..tensors import Tensor, tensor
from .oracles import GATES, ROLES, WEIGHTS, Array, cell

#: ("weight_hh_l0",): a whole tensor; ("weight_hh_l0", 2): its share of time step 2; ("h", "l0_reverse", 2): a state
Key = tuple[Any, ...]
LAYERS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True)
class Network:
    """Settings that say everything; its repr makes it again.

    >>> from tinygrad_rnn.testing.networks import Network
    >>> network = Network("gru", lengths=(3, 1), seed=4)
    >>> network.arrays["x"].shape
    (3, 2, 2)
    >>> sorted(network.truth())[:3]
    [('bias_hh_l0',), ('bias_hh_l0', 0), ('bias_hh_l0', 1)]
    """

    kind: str = "rnn"
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    lengths: tuple[int, ...] = (3, 2)  #: of each sequence of the batch; the longest is the number of time steps
    features: int = 2
    hidden: int = 2
    scale: float = 1.0  #: of the weights
    at_end: bool = False  #: gradients arrive at the last time step's output only, and at the final states
    seed: int = 0

    @property
    def steps(self) -> int:
        """Time steps."""
        return max(self.lengths)

    @property
    def roles(self) -> tuple[str, ...]:
        """The states that are carried."""
        return ROLES[self.kind]

    @property
    def suffixes(self) -> list[str]:
        """The endings of the parameters' names, one a layer and direction, in the order of the initial states."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{layer}{way}" for layer in range(self.layers) for way in ways]

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """Everything that the loss depends on: "x", "h0", "c0" and the parameters by their names."""
        rng = np.random.default_rng(self.seed)
        batch, rows = len(self.lengths), GATES[self.kind] * self.hidden
        arrays = {"x": rng.standard_normal((self.steps, batch, self.features))}
        for role in self.roles:
            arrays[f"{role}0"] = rng.uniform(-1, 1, (len(self.suffixes), batch, self.hidden))
        for suffix in self.suffixes:
            below = self.features if suffix.startswith("l0") else self.hidden * (1 + self.bidirectional)
            shapes = ((rows, below), (rows, self.hidden), (rows,), (rows,))
            for name, shape in zip(WEIGHTS, shapes, strict=True):
                if self.bias or len(shape) == 2:
                    arrays[f"{name}_{suffix}"] = self.scale * rng.uniform(-1, 1, shape)
        return arrays

    @cached_property
    def upstream(self) -> list[Array]:
        """Gradients for the output (T, N, D H) and each final state (layers D, N, H)."""
        rng = np.random.default_rng([self.seed, 1])
        output, *final = (np.asarray(rng.standard_normal(y.shape)) for y in self.forward())
        if self.at_end:
            output[:-1] = 0.0
        return [output, *final]

    # As a layer of the engine ----------------------------------------------------------------------------

    def layer(self) -> Any:
        """The module, with this network's weights, in double precision."""
        layer = LAYERS[self.kind](
            self.features, self.hidden, self.layers, bias=self.bias, bidirectional=self.bidirectional, dtype=np.float64
        )
        layer.load_state_dict({name: self.arrays[name] for name, _ in layer.named_parameters()})
        return layer

    def run(self, layer: Any = None, lengths: Any = True) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Output and final states of the layer, and its leaves by name; ``lengths=None`` leaves the mask out."""
        layer = layer or self.layer()
        leaves = {name: tensor(self.arrays[name], requires_grad=True, name=name) for name in self.given}
        state = tuple(leaves[name] for name in self.given[1:])
        lengths = list(self.lengths) if lengths is True else lengths
        output, final = layer(leaves["x"], state if len(state) > 1 else state[0], lengths=lengths)
        return [output, *(final if isinstance(final, tuple) else [final])], leaves | dict(layer.named_parameters())

    @property
    def given(self) -> list[str]:
        """The arguments of a layer: "x", "h0" and the LSTM's "c0"."""
        return ["x", *(f"{role}0" for role in self.roles)]

    # As plain NumPy --------------------------------------------------------------------------------------

    def forward(self, moved: Mapping[Key, Any] | None = None, cuts: Collection[int] = ()) -> list[Array]:
        """Output and final states.

        ``moved`` adds to values; leading dimensions of what is added are so many copies. Before the time steps ``cuts``
        the carried states are held: no derivative passes (truncated backpropagation).
        """
        moved = moved or {}

        def nudged(value: Array, *keys: Key) -> Array:
            for key in keys:
                if key in moved:
                    value = value + moved[key]
            return value

        x = nudged(self.arrays["x"], ("x",))
        initial = [nudged(self.arrays[name], (name,)) for name in self.given[1:]]
        sequence = [x[..., t, :, :] for t in range(self.steps)]
        final: list[list[Array]] = [[] for _ in self.roles]
        ways = 1 + self.bidirectional
        for place, suffix in enumerate(self.suffixes):
            if place % ways == 0:
                outputs: list[list[Array]] = [[] for _ in sequence]
            state = tuple(s[..., place, :, :] for s in initial)
            order = range(self.steps)
            for t in reversed(order) if suffix.endswith("_reverse") else order:
                if t in cuts:
                    state = tuple(np.real(s) for s in state)
                names = [f"{name}_{suffix}" for name in WEIGHTS]
                weights = [nudged(self.arrays.get(name, np.zeros(1)), (name,), (name, t)) for name in names]
                weights[2:] = [bias[..., None, :] for bias in weights[2:]]
                new = cell(self.kind, sequence[t], state, weights, moved.get(("c", suffix, t), 0.0))
                new = (nudged(new[0], ("h", suffix, t)), *new[1:])
                runs = (t < np.array(self.lengths))[:, None]
                outputs[t].append(np.where(runs, new[0], 0.0))
                state = tuple(np.where(runs, a, b) for a, b in zip(new, state, strict=True))
            for role, value in zip(final, state, strict=True):
                role.append(value)
            if place % ways == ways - 1:
                sequence = [_joined(parts, -1) for parts in outputs]
        return [_joined([s[..., None, :, :] for s in part], -3) for part in (sequence, *final)]

    def keys(self) -> dict[Key, tuple[int, ...]]:
        """Everything that has a gradient, and its shape: whole tensors, shares of time steps, states."""
        keys: dict[Key, tuple[int, ...]] = {(name,): value.shape for name, value in self.arrays.items()}
        for name, value in self.arrays.items():
            if name not in self.given:
                keys |= {(name, t): value.shape for t in range(self.steps)}
        state = (len(self.lengths), self.hidden)
        return keys | {(role, s, t): state for role in self.roles for s in self.suffixes for t in range(self.steps)}

    def truth(self, cuts: Collection[int] = ()) -> dict[Key, Array]:
        """The gradient of ``Σ upstream · outputs`` in every one of `keys`, all elements of one moved side by side."""
        found = {}
        for key, shape in self.keys().items():
            count = int(np.prod(shape))
            nudge = 1j * COMPLEX_STEP * np.eye(count).reshape(count, *shape)
            results = zip(self.upstream, self.forward({key: nudge}, cuts), strict=True)
            slopes = sum(np.imag(y * g).sum((-1, -2, -3)) for g, y in results)
            found[key] = np.broadcast_to(slopes / COMPLEX_STEP, (count,)).reshape(shape)
        return found


def _joined(parts: list[Array], axis: int) -> Array:
    """Concatenated, those without copies repeated for each copy of the others."""
    rank = 3 if axis == -3 else 2
    lead = max((part.shape[:-rank] for part in parts), key=len)
    return np.concatenate([np.broadcast_to(part, (*lead, *part.shape[-rank:])) for part in parts], axis)
