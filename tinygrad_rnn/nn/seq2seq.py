"""Sequence to sequence: an encoder reads, its last state starts a decoder that writes.

I. Sutskever, O. Vinyals, Q. V. Le (2014), Sequence to Sequence Learning with Neural Networks, NIPS.
"""

from __future__ import annotations

from typing import Any

from ..arguments import answering, integer, probability
from ..errors import GraphError, ShapeError
from ..functional import stack
from ..random import generator
from ..scopes import steps
from ..tensors import Tensor, as_tensor
from ..thread_state import current
from .cells import labelled
from .layers import Embedding, Linear
from .module import Module
from .recurrent import RecurrentLayers


class Decoder(Module):
    """Embedding of a ``vocabulary``, the recurrent layers ``rnn``, and a linear head that scores the next symbol.

    >>> import tinygrad_rnn as tg
    >>> decoder = tg.nn.Decoder(10, tg.nn.GRU(4, 8))
    >>> scores, state = decoder([1, 2], tg.zeros(1, 2, 8))
    >>> scores.shape
    (2, 10)
    """

    def __init__(self, vocabulary: int, rnn: RecurrentLayers) -> None:
        self.embed = Embedding(vocabulary, rnn.input_size, dtype=rnn.weight_ih_l0.dtype)  # type: ignore[attr-defined]
        self.rnn = rnn
        self.head = Linear(rnn.hidden_size, vocabulary, dtype=rnn.weight_ih_l0.dtype)  # type: ignore[attr-defined]

    def forward(self, symbols: Any, state: Any) -> tuple[Tensor, Any]:
        """One time step: symbols (N,) and a state -> scores (N, vocabulary) and the next state."""
        x = labelled(self.embed(symbols), "x")
        output, state = self.rnn.step(x, state)
        return labelled(self.head(output), "logits"), state


class Seq2Seq(Module):
    """``encoder`` and ``decoder`` are recurrent layers of one kind, depth and hidden size; the encoder's final state
    starts the decoder, which scores a ``vocabulary``. Raises `ShapeError` if the state would not fit.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Seq2Seq(tg.nn.GRU(3, 8), tg.nn.GRU(4, 8), vocabulary=10)
    >>> model(tg.ones(5, 2, 3), start=0, length=6).shape
    (6, 2, 10)
    """

    def __init__(self, encoder: RecurrentLayers, decoder: RecurrentLayers, vocabulary: int) -> None:
        kinds = [(type(m), m.num_layers, m.hidden_size, m.bidirectional) for m in (encoder, decoder)]
        if kinds[0] != kinds[1] or encoder.bidirectional:
            raise ShapeError(
                "Seq2Seq: encoder and decoder must be of one kind, depth and hidden size, and unidirectional, "
                f"so that the state fits; they are {encoder._shown()} and {decoder._shown()}"
            )
        self.encoder = encoder
        self.decoder = Decoder(vocabulary, decoder)

    def forward(
        self,
        source: Any,
        target: Any = None,
        *,
        start: int = 0,
        length: int | None = None,
        teacher_forcing: float = 1.0,
        lengths: Any = None,
    ) -> Tensor:
        """Scores (T_out, N, vocabulary) of each output symbol.

        ``source`` (T_in, N, input_size), with ``lengths`` if ragged. The decoder's first input is the symbol ``start``;
        each later one is the previous symbol of ``target`` (T_out, N) with probability ``teacher_forcing``, else the
        decoder's own best guess. Without a target it is always its own guess, for ``length`` steps.
        """
        if target is None and length is None:
            raise ShapeError("Seq2Seq: give a target (T_out, N) to follow, or a length to write freely")
        if length is not None and integer(length, "Seq2Seq: length") < 1:
            raise ShapeError(f"Seq2Seq: length must be 1 or more, not {length}")
        probability(teacher_forcing, "Seq2Seq: teacher_forcing")
        wanted: Any = None if target is None else as_tensor(target)
        if wanted is not None and current.tracer is None:
            wanted = wanted.numpy()  # each step's symbols are data, not something picked out of a graph
        if current.tracer is not None and 0 < teacher_forcing < 1:
            raise GraphError(
                "Seq2Seq: a compiled function cannot draw anew who is fed back; make teacher_forcing 0 or 1"
            )
        _, state = self.encoder(source, lengths=lengths)
        batch = (state[0] if isinstance(state, tuple) else state).shape[1]
        if wanted is not None and (wanted.ndim != 2 or wanted.shape[1] != batch):
            raise ShapeError(f"Seq2Seq: the target {wanted.shape} should be (T_out, {batch})")
        symbols: Any = [start] * batch
        scores = []
        for t in steps(length if wanted is None or length is not None else wanted.shape[0]):  # type: ignore[arg-type]
            logits, state = self.decoder(symbols, state)
            scores.append(logits)
            forced = wanted is not None and t < wanted.shape[0] and _happens(teacher_forcing)
            symbols = wanted[t] if forced else logits.detach().argmax(-1)
        return stack(scores)


def _happens(probability: float) -> bool:
    """Draw whether something does; what is certain needs no draw, which a compiled function could not make."""
    return probability == 1 or (probability > 0 and generator().random() < probability)


answering(globals())
