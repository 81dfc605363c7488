"""Recurrent: layers, directions, dropout and ragged lengths for any cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import answering, misfit, probability
from ..errors import ArgumentError, ShapeError
from ..functional import concat, ones, stack, where
from ..recurrence.first_state import first_state
from ..recurrence.loop import can_roll
from ..recurrence.scan import Masks, going_on, mapped, rolled, time_first, unroll
from ..scopes import layer_step
from ..tensors import Tensor, as_tensor
from ..thread_state import LoopRecorder, current
from .cells import GRUCell, LSTMCell, RNNCell, labelled
from .functional import dropout as drop
from .layers import positive
from .module import Module

#: cells whose first step is that from a state of zeros
_FROM_ZEROS = (RNNCell, LSTMCell, GRUCell)


def keeping_loops() -> LoopRecorder | None:
    """The recorder that takes every loop as one, if what is computed is being exported."""
    return None if current.tracer is None else current.tracer.keeps_loops


def beginnings(lengths: Any, time: int, reverse: bool) -> Tensor:
    """Booleans (T, N): at which time step each row begins, in the order of the walk."""
    on = going_on(lengths, time)
    going: Any = on if isinstance(lengths, Tensor) else on.numpy()  # no operations of what is known
    going = going[::-1] if reverse else going
    first = going & (going.astype(np.int64).cumsum(0) == 1)
    return as_tensor(first[::-1] if reverse else first)


def beginning_anew(step: Callable[[Any, Tensor], tuple[Any, Tensor]]) -> Callable[[Any, Any], tuple[Any, Tensor]]:
    """``step`` for a batch whose rows begin at different time steps.

    Its input is a pair ``(x, begins)``; rows where ``begins`` (N,) is true are computed from no state, None, as a first
    step is, all others from the state.
    """

    def either(state: Any, row: tuple[Tensor, Tensor]) -> tuple[Any, Tensor]:
        x, begins = row
        new, y = step(state, x)
        if state is None:
            return new, y

        def chosen(first: Tensor, later: Tensor) -> Tensor:
            result = where(begins.reshape((-1, *(1,) * (later.ndim - 1))), first, later)
            result.role = later.role
            return result

        new = mapped(chosen, step(None, x)[0], new)
        return new, new[0] if isinstance(new, tuple) else new

    return either


class Recurrent(Module):
    """A cell over whole sequences, unrolled: in layers, in both directions, over sequences of their own lengths.

    ``cell`` is a module called as ``state = cell(x, state)``, as `LSTMCell` is: ``x`` is (N, features), the state a
    tensor (N, H) or a tuple of them whose first is the output, and None before the first step (or what the cell's
    method ``initial_state(N)`` gives, if it has one). Rows that begin later, backwards over ``lengths`` or by a mask,
    begin so too: that is computed beside the step of the others, unless the cell has an ``initial_state`` or is one of
    ours, whose first step is that from zeros. For several layers or directions give a function that makes a cell for an
    input size, and the ``input_size`` of the first; each has then its ``hidden_size``.

    ``dropout`` is between layers, anew at each step, as in `LSTM`. ``variational_dropout`` drops of each layer's inputs
    and outputs-fed-back the same units at every step of a sequence (Y. Gal, Z. Ghahramani 2016, arXiv:1512.05287).

    There are ``num_layers``, each in two directions if ``bidirectional``; (T, N, features) -> (T, N, D * H) and the
    last state, N first with ``batch_first``.

    Raises `ArgumentError` for settings that the cells cannot have.

    >>> import tinygrad_rnn as tg
    >>> class Leaky(tg.nn.Module):
    ...     def __init__(self, input_size, hidden_size):
    ...         self.hidden_size, self.map = hidden_size, tg.nn.Linear(input_size + hidden_size, hidden_size)
    ...     def forward(self, x, h=None):
    ...         h = tg.zeros(len(x), self.hidden_size) if h is None else h
    ...         return 0.9 * h + 0.1 * self.map(tg.concat([x, h], axis=1)).tanh()
    >>> model = tg.nn.Recurrent(lambda size: Leaky(size, 5), num_layers=2, bidirectional=True, input_size=3)
    >>> output, last = model(tg.ones(7, 2, 3), lengths=[7, 4])
    >>> output.shape, last.shape
    ((7, 2, 10), (4, 2, 5))
    """

    def __init__(
        self,
        cell: Module | Callable[[int], Module],
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational_dropout: float = 0.0,
        batch_first: bool = False,
        input_size: int | None = None,
    ) -> None:
        positive("Recurrent", num_layers=num_layers)
        for name, p in (("dropout", dropout), ("variational_dropout", variational_dropout)):
            probability(p, f"Recurrent: {name}")
        self.num_layers, self.bidirectional, self.batch_first = num_layers, bidirectional, batch_first
        self.dropout, self.variational_dropout = dropout, variational_dropout
        if isinstance(cell, Module):
            if num_layers > 1 or bidirectional:
                name = type(cell).__name__
                raise ArgumentError(
                    f"Recurrent: {name} is one cell, and there are several layers or directions; give a function that "
                    f"makes one for an input size: lambda size: {name}(size, ...)"
                )
            self.l0 = cell
            return
        size = input_size
        for layer in range(num_layers):
            if size is None:
                raise ArgumentError("Recurrent: give the input_size that the first cell is made for")
            for suffix in self._suffixes(layer):
                made = cell(size)
                if not isinstance(made, Module) or not hasattr(made, "hidden_size"):
                    raise ArgumentError(
                        f"Recurrent: cell({size}) gave {type(made).__name__}; a module with a hidden_size is wanted"
                    )
                setattr(self, suffix, made)
            size = getattr(self, f"l{layer}").hidden_size * (1 + bidirectional)

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence: returns ``(output, final state)``.

        ``x`` (T, N, ...), or (N, T, ...) with ``batch_first``; ``output`` likewise. The final state is that of each
        layer and direction, stacked: (num_layers * num_directions, N, H), one such tensor or a tuple of them, and
        ``hx``, the initial state, is laid out alike. ``lengths``: N integers from 0 to T; outputs are 0 past a
        sequence's end, the final state is the one at its own end, and the reverse direction starts there. Or a mask
        of booleans, laid out as ``x`` is: a step that is False keeps the state and puts out 0.
        """
        x = as_tensor(x)
        if x.ndim < 2 or not x.shape[0] * x.shape[1]:
            raise ShapeError(f"Recurrent: the input {x._described()} should be (time, batch, ...), at least one each")
        if self.batch_first:
            x = x.transpose(0, 1)
        time, batch = x.shape[:2]
        lengths = time_first(lengths, self.batch_first)
        masks = None if lengths is None else Masks("Recurrent", lengths, time, batch)
        output, final = self._through(x, hx, masks)
        state: Any = tuple(map(stack, zip(*final))) if isinstance(final[0], tuple) else stack(final)
        return output.transpose(0, 1) if self.batch_first else output, state

    def _through(self, x: Tensor, hx: Any, masks: Masks | None) -> tuple[Tensor, list[Any]]:
        """All layers over a sequence (T, N, ...): the outputs, and the final state of each layer and direction."""
        final: list[Any] = []
        if self._rolls(x.shape[0], masks):
            return self._rolled(x, hx, masks, final), final
        return stack(self._unrolled(x, hx, masks, final)), final

    def _rolls(self, time: int, masks: Masks | None) -> bool:
        """Whether the layers are recorded as loops: compiled, all but what draws random numbers."""
        plain = can_roll(time - 1) and not self._thins and not (self.dropout and self.training)
        return plain or keeping_loops() is not None

    def _rolled(self, x: Tensor, hx: Any, masks: Masks | None, final: list[Any]) -> Tensor:
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = drop(x, self.dropout, self.training)
            directions = []
            for suffix in self._suffixes(layer):
                start = self._start(suffix, hx, len(final), x.shape[1])
                given = x * self._mask(x.shape[1:]) if self._thins else x
                last, outputs = self._loop(suffix, given, start, masks)
                directions.append(outputs)
                final.append(last)
            x = directions[0] if len(directions) == 1 else concat(directions, axis=-1)
        return x

    def _loop(self, suffix: str, x: Tensor, start: Any, masks: Masks | None) -> tuple[Any, Tensor]:
        """One layer in one direction, recorded as a loop: its last state, its outputs."""
        step, reverse, kept = self._step_of(suffix), suffix.endswith("_reverse"), keeping_loops()
        if start is None and kept is None:
            start = first_state(step, x, zeros=masks is not None)
        rows: Any = x
        if masks is not None and self.begins_anew(suffix, start, masks.lengths):
            # constants are every row's, whenever it begins
            start = None if kept is None else kept.beginning(step, x, len(x), reverse)
            if start is None:
                step, rows = beginning_anew(step), (x, beginnings(masks.lengths, len(x), reverse))
        if kept is not None:
            return kept.scanned(step, start, rows, None if masks is None else masks.lengths, reverse, len(x))
        return rolled(step, start, rows, masks, reverse)

    def _unrolled(self, x: Tensor, hx: Any, masks: Masks | None, final: list[Any]) -> list[Tensor]:
        time, batch = x.shape[:2]
        sequence: list[Tensor] = []
        for t in range(time):
            with layer_step(t, time):
                sequence.append(labelled(x[t], "x"))
        for layer in range(self.num_layers):
            if layer and self.dropout:
                sequence = self._each(sequence, lambda value: drop(value, self.dropout, self.training))
            directions = []
            for suffix in self._suffixes(layer):
                start = self._start(suffix, hx, len(final), batch)
                last, outputs = self._steps(suffix, self._thinned(sequence), start, masks)
                directions.append(outputs)
                final.append(last)
            sequence = directions[0]
            if len(directions) > 1:
                sequence = self._each(list(zip(*directions, strict=True)), lambda pair: concat(pair, axis=-1))
        return sequence

    def _steps(self, suffix: str, sequence: list[Tensor], start: Any, masks: Masks | None) -> tuple[Any, list[Tensor]]:
        """One layer in one direction, step by step: its last state, its outputs."""
        step, reverse = self._step_of(suffix), suffix.endswith("_reverse")
        if masks is not None and self.begins_anew(suffix, start, masks.lengths):
            rows = list(zip(sequence, beginnings(masks.lengths, len(sequence), reverse), strict=True))
            return unroll(beginning_anew(step), start, rows, masks, reverse)
        return unroll(step, start, sequence, masks, reverse)

    def begins_anew(self, suffix: str, start: Any, lengths: Any) -> bool:
        """Whether some rows' first step is at another time than others', by a cell that may do another thing then."""
        later = suffix.endswith("_reverse") or lengths.ndim == 2
        return start is None and later and type(getattr(self, suffix)) not in _FROM_ZEROS

    def _step_of(self, suffix: str) -> Callable[[Any, Tensor], tuple[Any, Tensor]]:
        """One step of the cell as a function, as `unroll` wants it."""
        cell, kept = getattr(self, suffix), keeping_loops()
        if said := misfit(cell, (None, None)):
            kind = type(cell).__name__
            raise ArgumentError(f"Recurrent: a cell is called as cell(x, state); {kind}.forward is not: {said}")
        mask: list[Tensor] = []
        # one for all steps, though its shape is only known in them
        draw = self._mask if kept is None else kept.out_here(self._mask)

        def step(state: Any, x: Tensor) -> tuple[Any, Tensor]:
            if state is not None and self._thins:
                first, *rest = state if isinstance(state, tuple) else (state,)
                mask[:] = mask or [draw(first.shape)]
                state = (first * mask[0], *rest) if isinstance(state, tuple) else first * mask[0]
            new = cell(x, state)
            new = tuple(new) if isinstance(new, list) else new
            return new, new[0] if isinstance(new, tuple) else new

        return step

    def _start(self, suffix: str, hx: Any, index: int, batch: int) -> Any:
        """The state that a layer and direction begins with; None stands for zeros."""
        if hx is None:
            initial = getattr(getattr(self, suffix), "initial_state", None)
            return None if initial is None else initial(batch)
        if isinstance(hx, (tuple, list)):
            return tuple(as_tensor(part)[index] for part in hx)
        return as_tensor(hx)[index]

    @property
    def _thins(self) -> bool:
        return self.training and self.variational_dropout > 0

    def _mask(self, shape: tuple[int, ...]) -> Tensor:
        """A mask of 0 and ``1 / (1 - p)``, for all time steps."""
        mask = drop(ones(*shape), self.variational_dropout)
        mask.scope = mask.scope._replace(step=None)
        return labelled(mask, "dropout mask")

    def _thinned(self, sequence: Sequence[Tensor]) -> list[Tensor]:
        """The same units dropped of the input at every step."""
        if not self._thins:
            return list(sequence)
        mask = self._mask(sequence[0].shape)
        return self._each(sequence, lambda x: x * mask)

    @staticmethod
    def _each(sequence: Sequence[Any], f: Callable[[Any], Tensor]) -> list[Tensor]:
        """``f`` of what there is at each time step, which it belongs to."""
        made = []
        for t, value in enumerate(sequence):
            with layer_step(t, len(sequence)):
                made.append(f(value))
        return made

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        flags = [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        flags += [name for name in ("batch_first", "bidirectional") if getattr(self, name)]
        flags += [f"{name}={getattr(self, name)}" for name in ("dropout", "variational_dropout") if getattr(self, name)]
        return ", ".join(flags)


answering(globals())
