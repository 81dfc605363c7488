"""Training a character model on a text: stateful truncated BPTT, with everything a checkpoint needs to go on.

The text is read in parallel streams. Each step unrolls a window, starts from the state the window before left, and
sends gradients back to the window's start only (Williams and Peng 1990).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from . import nn, optim, random
from .errors import DataError, GraphError
from .language import LAYERS, CharModel
from .mode import no_grad
from .tensor import Tensor
from .text import Vocabulary, split, windows

OPTIMIZERS: dict[str, Any] = {
    "sgd": optim.SGD, "adagrad": optim.Adagrad, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW,
}  # fmt: skip
#: what a model, its gradients and its optimizer may take before we refuse to try
MEMORY_LIMIT = 8 << 30


@dataclass(frozen=True)
class Settings:
    """What defines a run. A checkpoint holds them, so that resuming needs no options."""

    cell: str = "lstm"
    hidden: int = 128
    layers: int = 1
    embedding: int = 32
    dropout: float = 0.0
    length: int = 50  #: time steps a window
    batch: int = 32  #: parallel streams
    optimizer: str = "adam"
    lr: float = 2e-3
    clip_norm: float = 5.0  #: 0: no clipping by norm
    clip_value: float = 0.0  #: 0: no clipping by value
    seed: int = 0
    validation: float = 0.1  #: the share of the text kept to judge by

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,)}
            if not isinstance(value, kinds[str(field.type)]) or isinstance(value, bool) or value != value:
                raise DataError(f"{field.name} must be of type {field.type}, not {value!r}")
        for name in ("hidden", "layers", "embedding", "length", "batch"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise DataError(f"{name} must be from 1 to 1000000, not {getattr(self, name)}")
        for name, choices in (("cell", LAYERS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise DataError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name, low, high in (
            ("dropout", 0, 0.99), ("lr", 1e-12, 1e3), ("clip_norm", 0, 1e12), ("clip_value", 0, 1e12),
            ("seed", 0, 2**63), ("validation", 0, 0.9),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise DataError(f"{name} must be from {low:g} to {high:g}, not {getattr(self, name)}")

    def parameter_shapes(self, characters: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter of the model, without making it; refuses what would not fit in memory."""
        gates = LAYERS[self.cell].gates * self.hidden
        shapes: dict[str, tuple[int, ...]] = {"embed.weight": (characters, self.embedding)}
        for layer in range(min(self.layers, 1000)):
            size = self.embedding if layer == 0 else self.hidden
            shapes |= {
                f"rnn.weight_ih_l{layer}": (gates, size), f"rnn.weight_hh_l{layer}": (gates, self.hidden),
                f"rnn.bias_ih_l{layer}": (gates,), f"rnn.bias_hh_l{layer}": (gates,),
            }  # fmt: skip
        shapes |= {"head.weight": (characters, self.hidden), "head.bias": (characters,)}
        values = self.layers * self.length * self.batch * gates * 4 + self.length * self.batch * characters * 4
        need = 4 * (4 * sum(math.prod(shape) for shape in shapes.values()) + values)
        if need > MEMORY_LIMIT or self.layers > 1000:
            raise DataError(
                f"a {self.layers}-layer {self.cell} with hidden size {self.hidden}, batch {self.batch} and length "
                f"{self.length} would take about {need / (1 << 30):.0f} GiB; make one of them smaller"
            )
        return shapes


@dataclass(frozen=True)
class Progress:
    """One finished step."""

    step: int  #: from 1
    loss: float  #: nats per character, of this window
    characters: int  #: read in this step


class Trainer:
    """A model, an optimizer, a text, and where in it training stands."""

    def __init__(self, text: str, settings: Settings, vocabulary: Vocabulary | None = None) -> None:
        if len(set(text)) < 2:
            raise DataError(
                f"the text has {len(set(text))} distinct character(s), so there is nothing to predict; give real text"
            )
        self.settings = settings
        self.vocabulary = vocabulary or Vocabulary.of(text)
        self.text_hash = hashlib.sha256(text.encode()).hexdigest()
        training, self.held_out = split(self.vocabulary.encode(text), settings.validation)
        self.windows = windows(training, settings.batch, settings.length)
        settings.parameter_shapes(len(self.vocabulary))
        random.manual_seed(settings.seed)
        self.model = CharModel(
            len(self.vocabulary), settings.cell, settings.hidden, settings.layers, settings.embedding, settings.dropout
        )
        self.optimizer = OPTIMIZERS[settings.optimizer](self.model.parameters(), lr=settings.lr)
        self.state: tuple[Tensor, ...] | None = None
        self.step = 0

    def run(self, steps: int) -> Iterator[Progress]:
        """Train until ``steps`` steps are done in all, reporting each; stop iterating at any time."""
        self.model.train()
        while self.step < steps:
            yield self._train_one()

    def _train_one(self) -> Progress:
        position = self.step % len(self.windows)
        if position == 0:
            self.state = None  # the text begins again
        x, y = self.windows[position]
        self.optimizer.zero_grad()
        state = self.state if self.state is None or len(self.state) > 1 else self.state[0]
        scores, state = self.model(x, state)
        loss = nn.functional.cross_entropy(scores.reshape(-1, len(self.vocabulary)), y.reshape(-1))
        value = float(loss)
        if not math.isfinite(value):
            raise GraphError(
                f"the loss became {value} in step {self.step + 1}, the weights before it are kept; "
                "lower the learning rate or clip the gradient"
            )
        loss.backward()
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm, error_if_nonfinite=True)
        if self.settings.clip_value:
            nn.utils.clip_grad_value_(self.model.parameters(), self.settings.clip_value)
        self.optimizer.step()
        self.state = tuple(s.detach() for s in (state if isinstance(state, tuple) else (state,)))
        self.step += 1
        return Progress(self.step, value, x.size)

    def validate(self) -> float | None:
        """Loss in nats per character on the part of the text kept aside; None if that is too short."""
        if len(self.held_out) < 2:
            return None
        self.model.eval()
        length = min(self.settings.length, len(self.held_out) - 1)
        batch = max(1, min(self.settings.batch, (len(self.held_out) - 1) // length))
        total, state, pairs = 0.0, None, windows(self.held_out, batch, length)[:50]
        with no_grad():
            for x, y in pairs:
                scores, state = self.model(x, state)
                total += float(nn.functional.cross_entropy(scores.reshape(-1, len(self.vocabulary)), y.reshape(-1)))
        self.model.train()
        return total / len(pairs)

    # What a checkpoint holds -----------------------------------------------------------------------------

    def arrays(self) -> dict[str, Any]:
        """Everything numeric: weights, optimizer state, the recurrent state carried over."""
        arrays: dict[str, Any] = {f"model.{k}": v.numpy() for k, v in self.model.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer.{i}.{key}": np.asarray(value) for key, value in state.items()}
        arrays |= {f"state.{i}": s.numpy() for i, s in enumerate(self.state or ())}
        return {name: np.asarray(array, order="C") for name, array in arrays.items()}

    def facts(self) -> dict[str, Any]:
        """Everything else, as JSON can hold it."""
        return {
            "settings": asdict(self.settings),
            "characters": self.vocabulary.characters,
            "text_sha256": self.text_hash,
            "step": self.step,
            "random": random.generator().bit_generator.state,
        }

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        """Continue where `arrays` and `facts` were taken; on the same text, bit for bit."""
        if facts["text_sha256"] != self.text_hash:
            raise DataError("the checkpoint was made with another text; resume with the text it was started on")
        self.model.load_state_dict(_part(arrays, "model."))
        saved = self.optimizer.state_dict()
        state: dict[int, dict[str, Any]] = {}
        for name, array in _part(arrays, "optimizer.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = array
        self.optimizer.load_state_dict({**saved, "state": state})
        carried = _part(arrays, "state.")
        shape = (self.settings.layers, self.settings.batch, self.settings.hidden)
        wanted = {str(i): shape for i in range(len(LAYERS[self.settings.cell].roles))}
        if carried and {name: array.shape for name, array in carried.items()} != wanted:
            raise DataError("the checkpoint is damaged: the state carried over does not fit its settings")
        self.state = tuple(Tensor(carried[str(i)]) for i in range(len(carried))) or None
        self.step = int(facts["step"])
        random.generator().bit_generator.state = facts["random"]


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
