"""Training a character model on a text: stateful truncated BPTT, with everything a checkpoint needs to go on.

The text is read in parallel streams. Each step unrolls a window, starts from the state the window before left, and
sends gradients back to the window's start only (Williams and Peng 1990).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from .. import nn, optim, random
from ..arguments import answering
from ..compiler import compile
from ..errors import DataError, GraphError
from ..functional import zeros
from ..operation_errors import short
from ..settings import no_grad
from ..tensors import Tensor
from ..thread_state import current
from .model import LAYERS, CharModel
from .text import Vocabulary, split, windows

#: windows that one validation reads at most
JUDGED = 25
CURE = "lower the learning rate or clip the gradient"
OPTIMIZERS: dict[str, Any] = {
    "sgd": optim.SGD,
    "adagrad": optim.Adagrad,
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}


def _setting(default: Any, help: str, allowed: tuple[Any, ...]) -> Any:
    """A field with its meaning, and its choices or its smallest and largest value."""
    return field(default=default, metadata={"help": help, "allowed": allowed})


@dataclass(frozen=True)
class Settings:
    """The settings of a run. A checkpoint holds them, so that resuming needs no options."""

    cell: str = _setting("lstm", "Kind of recurrent cell.", tuple(LAYERS))
    hidden: int = _setting(128, "Hidden size.", (1, 1_000_000))
    layers: int = _setting(1, "Recurrent layers.", (1, 1000))
    embedding: int = _setting(32, "Size of a character's vector.", (1, 1_000_000))
    dropout: float = _setting(0.0, "Share dropped between layers.", (0, 0.99))
    length: int = _setting(50, "Time steps unrolled at a time.", (1, 1_000_000))
    batch: int = _setting(32, "Parallel streams of text.", (1, 1_000_000))
    optimizer: str = _setting("adam", "Update rule.", tuple(OPTIMIZERS))
    lr: float = _setting(2e-3, "Learning rate.", (1e-12, 1e3))
    clip_norm: float = _setting(5.0, "Limit of the gradient's norm, 0 for none.", (0, 1e12))
    clip_value: float = _setting(0.0, "Limit of each gradient element, 0 for none.", (0, 1e12))
    seed: int = _setting(0, "Of weights and dropout.", (0, 2**63))
    validation: float = _setting(0.1, "Share of the text kept to judge by.", (0, 0.9))

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,)}
        for each in fields(self):
            value, allowed = getattr(self, each.name), each.metadata["allowed"]
            if not isinstance(value, kinds[str(each.type)]) or isinstance(value, bool):
                raise DataError(f"{each.name} must be of type {each.type}, not {short(repr(value))}")
            if isinstance(value, str) and value not in allowed:
                raise DataError(f"{each.name} must be one of {', '.join(allowed)}, not {short(repr(value))}")
            if not isinstance(value, str) and not allowed[0] <= value <= allowed[1]:
                raise DataError(f"{each.name} must be from {allowed[0]} to {allowed[1]}, not {short(repr(value))}")

    def parameter_shapes(self, characters: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter of the model, without making it; refuses what would not fit in memory."""
        gates = LAYERS[self.cell].gates * self.hidden
        shapes: dict[str, tuple[int, ...]] = {"embed.weight": (characters, self.embedding)}
        for layer in range(self.layers):
            size = self.embedding if layer == 0 else self.hidden
            shapes |= {
                f"rnn.weight_ih_l{layer}": (gates, size),
                f"rnn.weight_hh_l{layer}": (gates, self.hidden),
                f"rnn.bias_ih_l{layer}": (gates,),
                f"rnn.bias_hh_l{layer}": (gates,),
            }
        shapes |= {"head.weight": (characters, self.hidden), "head.bias": (characters,)}
        values = self.layers * self.length * self.batch * gates * 4 + self.length * self.batch * characters * 4
        need = 4 * (4 * sum(math.prod(shape) for shape in shapes.values()) + values)
        if need > (limit := _memory()):
            raise DataError(
                f"a {self.layers}-layer {self.cell} with hidden size {self.hidden}, batch {self.batch} and length "
                f"{self.length} would take about {need / (1 << 30):.0f} GiB, and there are {limit / (1 << 30):.0f}; "
                "make one of them smaller"
            )
        return shapes


def _memory() -> int:
    """Bytes of memory in this machine, 8 GiB where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 8 << 30


@dataclass(frozen=True)
class Progress:
    """One finished step."""

    step: int  #: from 1
    loss: float  #: nats per character, of this window
    characters: int  #: read in this step

    @property
    def bits(self) -> float:
        """The loss in bits per character."""
        return self.loss / math.log(2)


class Trainer:
    """A model, an optimizer, a text, and where in it training stands.

    A step is compiled (`tg.compile`) unless ``eager`` is true, or another ``engine`` takes it; they agree but for
    rounding.
    """

    eager = False
    engine: Any = None  #: takes steps as `update` does; its ``sync`` writes what they came to into model and optimizer

    def __init__(self, text: str, settings: Settings, vocabulary: Vocabulary | None = None) -> None:
        if len(set(text)) < 2:
            found = f"has no character but {text[0]!r}" if text else "is empty"
            raise DataError(f"the text {found}, so there is nothing to predict; give real text")
        self.settings = settings
        self.vocabulary = vocabulary or Vocabulary.of(text)
        self.length = len(text)
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
        self._compiled = compile(self.update)

    def run(self, steps: int) -> Iterator[Progress]:
        """Train until ``steps`` steps are done in all, reporting each; stop iterating at any time."""
        self.model.train()
        while self.step < steps:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked for and named
                done = self._train_one()
            yield done

    def _train_one(self) -> Progress:
        position = self.step % len(self.windows)
        state = self.state
        if position == 0 or state is None:  # the text begins, or begins again
            state = self.first_state()
        x, y = self.windows[position]
        try:
            loss, state = (self.engine or (self.update if self.eager else self._compiled))(x, y, state)
        except GraphError as error:
            raise GraphError(f"in step {self.step + 1}, {error}; {CURE}") from None
        self.state = tuple(s.detach() for s in state)
        self.step += 1
        return Progress(self.step, float(loss), x.size)

    def first_state(self) -> tuple[Tensor, ...]:
        """The recurrent state a text begins with: zeros."""
        shape = (self.settings.layers, self.settings.batch, self.settings.hidden)
        return tuple(zeros(*shape) for _ in LAYERS[self.settings.cell].roles)

    def _synced(self) -> None:
        """Model and optimizer are up to date."""
        if self.engine is not None:
            self.engine.sync()

    def update(self, x: Any, y: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step, plainly or compiled; an error leaves weights and optimizer as they were."""
        scores, after = self.model(x, state if len(state) > 1 else state[0])
        loss = nn.functional.cross_entropy(scores.reshape(-1, len(self.vocabulary)), y.reshape(-1))
        if current.tracer is not None:
            current.tracer.confirm(_look_at_loss, [loss])
        else:
            _look_at_loss(loss.numpy())
        self.optimizer.zero_grad()
        loss.backward()
        limit = self.settings.clip_norm or math.inf  # also without one, for the sake of the look at every gradient
        nn.utils.clip_grad_norm_(self.model.parameters(), limit, error_if_nonfinite=True)
        if self.settings.clip_value:
            nn.utils.clip_grad_value_(self.model.parameters(), self.settings.clip_value)
        self.optimizer.step()
        return loss, after if isinstance(after, tuple) else (after,)

    def _judged(self) -> list[tuple[Any, Any]]:
        """The windows that validation reads: at most `JUDGED`, so that it does not outlast the training."""
        if len(self.held_out) < 2:
            return []
        length = min(self.settings.length, len(self.held_out) - 1)
        batch = max(1, min(self.settings.batch, (len(self.held_out) - 1) // length))
        return windows(self.held_out, batch, length)[:JUDGED]

    @property
    def judged_characters(self) -> int:
        """The number of characters that one validation predicts."""
        return sum(x.size for x, _ in self._judged())

    def validate(self) -> float | None:
        """Loss in nats per character on (at most `JUDGED` windows of) the part kept aside; None if it is too short."""
        total, state, pairs = 0.0, None, self._judged()
        if not pairs:
            return None
        self._synced()
        self.model.eval()
        with no_grad():
            for x, y in pairs:
                scores, state = self.model(x, state)
                total += float(nn.functional.cross_entropy(scores.reshape(-1, len(self.vocabulary)), y.reshape(-1)))
        self.model.train()
        return total / len(pairs)

    # What a checkpoint holds -----------------------------------------------------------------------------

    def arrays(self) -> dict[str, Any]:
        """Everything numeric: weights, optimizer state, the recurrent state carried over."""
        self._synced()
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
        shape = (self.settings.layers, self.settings.batch, self.settings.hidden)
        expected = {name: (array.shape, array.dtype) for name, array in self.arrays().items()}
        if _part(arrays, "state."):
            roles = LAYERS[self.settings.cell].roles
            expected |= {f"state.{i}": (shape, np.dtype(np.float32)) for i in range(len(roles))}
        if wrong := expected.items() ^ {name: (array.shape, array.dtype) for name, array in arrays.items()}.items():
            name = short(min(name for name, _ in wrong))
            raise DataError(f"the checkpoint is damaged: its {name} does not fit its settings")
        self.model.load_state_dict(_part(arrays, "model."))
        saved = self.optimizer.state_dict()
        for i, state in saved["state"].items():
            state.update(_part(arrays, f"optimizer.{i}."))
        self.optimizer.load_state_dict(saved)
        self.state = tuple(Tensor(array) for _, array in sorted(_part(arrays, "state.").items())) or None
        self.step = int(facts["step"])
        random.generator().bit_generator.state = facts["random"]


def _look_at_loss(loss: Any) -> None:
    if not math.isfinite(loss):
        raise GraphError(f"the loss became {float(loss)}")


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


answering(globals())
