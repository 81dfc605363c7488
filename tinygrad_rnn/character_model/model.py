"""Character models: the one for real text, and the lecture's, which spells "hello"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import nn
from ..arguments import answering
from ..compiler import compile
from ..errors import DataError, GraphError
from ..functional import one_hot
from ..nn.module import evaluating
from ..optional_packages import can_compile
from ..scopes import steps
from ..settings import no_grad
from ..tensors import Tensor, as_tensor
from .text import Vocabulary

#: characters to sample from which on a compiled step, ten times as fast, makes up for loading the compiler
WORTH_COMPILING = 2000

LAYERS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS: dict[str, Any] = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


class CharModel(nn.Module):
    """Predicts the next character: embedding, recurrent layers, a linear head that scores every character.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.character_model.model import CharModel
    >>> model = CharModel(characters=65, cell="gru", hidden=32)
    >>> scores, state = model(tg.tensor([[1], [2], [3]]))
    >>> scores.shape
    (3, 1, 65)
    """

    def __init__(
        self,
        characters: int,
        cell: str = "lstm",
        hidden: int = 128,
        layers: int = 1,
        embedding: int = 32,
        dropout: float = 0.0,
    ) -> None:
        self.embed = nn.Embedding(characters, embedding)
        self.rnn = LAYERS[cell](embedding, hidden, num_layers=layers, dropout=dropout)
        self.head = nn.Linear(hidden, characters)

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Indices (T, N) and a state (None: zeros) -> scores (T, N, characters) and the state after the last step."""
        output, state = self.rnn(self.embed(x), state)
        return self.head(output), state

    def sample(
        self,
        prompt: Any,
        length: int,
        temperature: float = 1.0,
        rng: np.random.Generator | None = None,
        eager: bool | None = None,
    ) -> Iterator[int]:
        """Yield ``length`` characters that follow the indices ``prompt``, each drawn from the model and fed back to it.

        ``temperature`` divides the scores: below 1 the likely becomes likelier, 0 always takes the best. ``eager``:
        whether not to compile the step from one character to the next; None compiles where the length makes it pay.
        """
        rng = rng or np.random.default_rng()
        indices, state = np.asarray(prompt)[:, None], None
        if eager is None:
            eager = length < WORTH_COMPILING or not can_compile()
        step: Any = self if eager else compile(self)
        for position in range(length):
            with evaluating(self), no_grad(), np.errstate(over="ignore", invalid="ignore"):  # `draw` looks at them
                scores, state = (step if position else self)(indices, state)
            choice = draw(scores.numpy()[-1, 0], temperature, rng)
            yield choice
            indices = np.array([[choice]])


def draw(scores: Any, temperature: float, rng: np.random.Generator) -> int:
    """An index drawn with probabilities ``softmax(scores / temperature)``; the largest at temperature 0."""
    if not temperature >= 0:
        raise DataError(f"the temperature must be a number from 0 up, not {temperature}")
    if not np.isfinite(scores).all():
        raise GraphError("the model's scores are not finite, so nothing can be drawn; its weights are spoilt")
    behind = scores.astype(np.float64) - np.max(scores)
    if temperature == 0:
        return int(np.argmax(behind))
    with np.errstate(over="ignore"):  # infinitely far behind the best is a good answer
        return int(rng.choice(len(scores), p=as_tensor(behind / temperature).softmax().numpy()))


class LectureModel(nn.Module):
    """The lecture's character model, unrolled by hand: one-hot input, a recurrent cell, scores for every character.

    >>> from tinygrad_rnn.character_model.model import LectureModel
    >>> model = LectureModel("helo", "rnn", hidden=3)
    >>> model.unroll("hell", "ello").shape
    ()
    """

    def __init__(self, characters: str, cell: str = "rnn", hidden: int = 3) -> None:
        self.vocabulary = Vocabulary(characters)
        self.cell = CELLS[cell](len(characters), hidden)
        self.head = nn.Linear(hidden, len(characters))

    def step(self, character: str, state: Any) -> tuple[Tensor, Any]:
        """One character and a state -> scores (1, characters) and the next state."""
        x = one_hot(self.vocabulary.encode(character), len(self.vocabulary))
        x.name = character
        state = self.cell(nn.labelled(x, "x"), state)
        h = state[0] if isinstance(state, tuple) else state
        return nn.labelled(self.head(h), "logits"), state

    def unroll(self, text: str, target: str) -> Tensor:
        """The loss of predicting each character of ``target`` while reading ``text``: one loss a step, summed."""
        state, total = None, None
        for t in steps(len(text)):
            scores, state = self.step(text[t], state)
            wanted = self.vocabulary.encode(target[t])
            loss = nn.labelled(nn.functional.cross_entropy(scores, wanted, reduction="sum"), "loss")
            total = loss if total is None else total + loss
        assert total is not None
        return nn.labelled(total, "loss")

    def spell(self, first: str, length: int, rng: np.random.Generator | None = None) -> str:
        """``first`` and ``length`` characters more, each fed back; the likeliest each time, or drawn with ``rng``."""
        text, state = first, None
        for _ in range(length):
            with no_grad():
                scores, state = self.step(text[-1], state)
            choice = draw(scores.numpy()[0], 0.0 if rng is None else 1.0, rng or np.random.default_rng(0))
            text += self.vocabulary.characters[choice]
        return text


answering(globals())
