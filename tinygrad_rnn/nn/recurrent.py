"""RNN, LSTM and GRU over whole sequences, unrolled step by step into an explicit graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..arguments import answering, probability, switch
from ..errors import ArgumentError, ShapeError
from ..functional import stack, where
from ..output_and_state import LayerState, Returned
from ..recurrence.loop import can_roll
from ..recurrence.scan import Masks, time_first
from ..scopes import layer_step, scope
from ..tensors import Tensor, as_tensor
from ..words import words
from .activations import OF_GRU, OF_LSTM, Activation
from .any_cell import Recurrent, keeping_loops
from .cell_settings import four, gru_settings, lstm_extras, lstm_more, make_weights, one_of, rnn_settings, settings_of
from .cells import gru_step, labelled, lstm_step, rnn_step, zero_state
from .functional import dropout as drop
from .layers import parameters_dtype, positive

State = tuple[Tensor, ...]
#: what a recurrent layer puts out past a sequence's end
PAST_END = ("zeros", "repeat", "live", "step")
#: the final state of a row of length 0; None: there must be none
EMPTY = (None, "initial", "zeros", "last")


#: what all three layers are made with
_COMMON = words(
    "input_size hidden_size num_layers bias batch_first dropout bidirectional device dtype learned_state past_end empty"
)


def _common(names: dict[str, Any]) -> dict[str, Any]:
    """The arguments that all three layers have, from the local names of a constructor."""
    return {name: names[name] for name in _COMMON}


class RecurrentLayers(Recurrent):
    """`Recurrent` of a cell whose weights are the layer's own, under PyTorch's names.

    What one time step does, and how many state tensors it carries, is the subclass's.
    """

    gates = 1
    roles: tuple[str, ...] = ("h",)
    variational_dropout = 0.0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        settings: dict[str, Any],
        learned_state: bool,
        past_end: str,
        empty: str | None,
        more: Mapping[str, tuple[int, ...]] | None = None,
        proj_size: int = 0,
    ) -> None:
        kind = type(self).__name__
        positive(kind, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        probability(dropout, f"{kind}: dropout")
        for name, value in (("bias", bias), ("batch_first", batch_first), ("bidirectional", bidirectional)):
            switch(value, f"{kind}: {name}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.proj_size, self.settings, self.learned_state = proj_size, settings, learned_state
        self.past_end = one_of(f"{kind}: past_end", past_end, *PAST_END)
        self.empty = one_of(f"{kind}: empty", empty, *EMPTY)
        if empty == "last" and past_end != "live":
            raise ArgumentError(
                f'{kind}: empty="last" takes the state after the padding, which is computed with past_end="live" only'
            )
        dtype = parameters_dtype(kind, dtype, device)
        sizes = {role: (self._state_size(role),) for role in self.roles}
        more = dict(more or {}) | ({f"{role}_0": size for role, size in sizes.items()} if learned_state else {})
        for layer in range(num_layers):
            size = input_size if layer == 0 else self._state_size("h") * self.num_directions
            for suffix in self._suffixes(layer):
                made = make_weights(size, hidden_size, self.gates, bias, dtype, more, self._state_size("h"))
                self._names = tuple(made)
                for name, weight in made.items():
                    setattr(self, f"{name}_{suffix}", weight)

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def _state_size(self, role: str) -> int:
        return self.proj_size if self.proj_size and role == "h" else self.hidden_size

    def _weights(self, suffix: str) -> dict[str, Any]:
        return {name: getattr(self, f"{name}_{suffix}") for name in self._names}

    def _cell(self, x: Tensor, state: State, weights: dict[str, Any]) -> State:
        raise NotImplementedError

    def flatten_parameters(self) -> None:
        """Do nothing: in PyTorch it lays the weights side by side for cuDNN.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.GRU(2, 3).flatten_parameters()
        """

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence: returns ``(output, final state)``.

        ``x`` (T, N, input_size), or (N, T, input_size) with ``batch_first``, or (T, input_size) unbatched. ``hx``: the
        initial state (num_layers * num_directions, N, H), for the LSTM a pair of them; zeros if None. ``lengths``:
        N integers from 1 to T for ragged batches (from 0, where ``empty`` says what the state of such a row is);
        outputs are 0 past a sequence's end unless ``past_end`` says otherwise, the final state is the one at its own
        end, and the reverse direction starts there. Or a mask of booleans, laid out as ``x`` is, which may have holes:
        a step that is False keeps the state, and puts out what ``past_end`` says.
        ``output`` is (T, N, num_directions * H), laid out as ``x``.
        """
        x = as_tensor(x)
        unbatched = x.ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            layout = "(N, T, " if self.batch_first else "(T, N, "
            raise ShapeError(f"{type(self).__name__}: the input {x._described()} should be {layout}{self.input_size})")
        if unbatched:
            x = x.expand_dims(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        time, batch = x.shape[:2]
        if time == 0:
            raise ShapeError(f"{type(self).__name__}: the sequence has no time steps; give at least one")
        initial = self._initial(hx, batch, unbatched)
        lengths = time_first(lengths, self.batch_first and not unbatched, unbatched)
        masks = None if lengths is None else self._masks(lengths, time, batch)
        output, state = self._over_time(x, initial, masks)
        if unbatched:
            output, state = output.squeeze(1), tuple(s.squeeze(1) for s in state)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return Returned((output, LayerState(state) if len(state) > 1 else state[0]))

    def _over_time(self, x: Tensor, initial: State | None, masks: Masks | None) -> tuple[Tensor, State]:
        """All layers over a sequence (T, N, input_size): the outputs (T, N, ...) and the final states."""
        kept = keeping_loops()
        whole = None if kept is None else kept.layers(self, x, initial, None if masks is None else masks.lengths)
        if whole is not None:
            return whole
        if masks is not None and not self._rolls(x.shape[0], masks):
            masks.before_the_steps(x.shape[0], 2)
        output, final = self._through(x, initial, masks)
        return output, tuple(stack([last[k] for last in final]) for k in range(len(self.roles)))

    def _rolls(self, time: int, masks: Masks | None) -> bool:
        """Whether the layers are recorded as loops: if compiled, unless they draw numbers or look past an end."""
        plain = can_roll(time) and (masks is None or self._plain) and not (self.dropout and self.training)
        return plain or keeping_loops() is not None

    @property
    def _plain(self) -> bool:
        """Past its end a sequence keeps its state and puts out zeros, as in `Recurrent`."""
        return self.past_end == "zeros" and self.empty in (None, "initial")

    def _step_of(self, suffix: str) -> Callable[[Any, Tensor], tuple[State, Tensor]]:
        weights = self._weights(suffix)

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            new = self._cell(x, state, weights)
            return new, new[0]

        return step

    def _loop(self, suffix: str, x: Tensor, start: State, masks: Masks | None) -> tuple[State, Tensor]:
        with scope(suffix):
            if masks is not None and not self._plain and (kept := keeping_loops()) is not None:
                return kept.past_ends(self, suffix, x, start, masks.lengths)
            last, outputs = super()._loop(suffix, x, start, masks)
        return tuple(labelled(value, role) for value, role in zip(last, self.roles, strict=True)), outputs

    def _steps(
        self, suffix: str, sequence: list[Tensor], start: State, masks: Masks | None
    ) -> tuple[State, list[Tensor]]:
        with scope(suffix):
            if masks is None or self._plain:
                return super()._steps(suffix, sequence, start, masks)
            return self._past_ends(suffix, sequence, start, masks)

    def _past_ends(
        self, suffix: str, sequence: list[Tensor], initial: State, masks: Masks
    ) -> tuple[State, list[Tensor]]:
        """As `Recurrent` does it, but for what ``past_end`` and ``empty`` say."""
        weights, order, reverse = self._weights(suffix), range(len(sequence)), suffix.endswith("_reverse")
        outputs: list[Any] = [None] * len(sequence)
        state, last, live = initial, initial, self.past_end == "live"
        shown: Any = 0.0  # what a step outside its sequence puts out
        for t in reversed(order) if reverse else order:
            with layer_step(t, len(order)):
                new = self._cell(sequence[t], state, weights)
                outputs[t] = new[0]
                if self.past_end in ("zeros", "repeat"):
                    outputs[t] = where(masks.at(t, 2), new[0], shown)
                shown = outputs[t] if self.past_end == "repeat" else shown
                last = self._chosen(masks.at(t, 2), new, last)  # past its end a sequence keeps its state
                state = last if reverse or not live else new
        if live and reverse:  # the padding comes after the sequence: in this direction, too
            for t in reversed(order):
                with layer_step(t, len(order)):
                    new = self._cell(sequence[t], state, weights)
                    outputs[t] = where(masks.at(t, 2), outputs[t], new[0])
                    state = self._chosen(masks.at(t, 2), state, new)
        if self.empty in ("zeros", "last"):
            other = state if self.empty == "last" else tuple(each * 0 for each in initial)
            last = self._chosen(masks.anywhere(2), last, other)
        return last, outputs

    def _chosen(self, mask: Tensor, here: State, elsewhere: State) -> State:
        kept = zip(self.roles, here, elsewhere, strict=True)
        return tuple(labelled(where(mask, a, b), role) for role, a, b in kept)

    def step(self, x: Any, hx: Any = None) -> tuple[Tensor, Any]:
        """One time step through all layers: x (N, input_size) -> (output (N, H), new state as ``forward`` gives it).

        For feeding a network its own output. Set the time step with ``for t in tg.steps(n)`` to have it drawn as one.
        """
        x = as_tensor(x)
        if self.bidirectional:
            raise ShapeError(f"{type(self).__name__}: a bidirectional network needs the whole sequence; use forward")
        if x.ndim != 2 or x.shape[-1] != self.input_size:
            raise ShapeError(f"{type(self).__name__}.step: the input {x._described()} should be (N, {self.input_size})")
        initial = self._initial(hx, x.shape[0], False)
        final: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = drop(x, self.dropout, self.training)
            with scope(f"l{layer}"):
                state = self._start(f"l{layer}", initial, layer, x.shape[0])
                final.append(self._cell(x, state, self._weights(f"l{layer}")))
            x = final[-1][0]
        state = tuple(stack([last[k] for last in final]) for k in range(len(self.roles)))
        return x, state if len(state) > 1 else state[0]

    def _initial(self, hx: Any, batch: int, unbatched: bool) -> State | None:
        """The initial state as given, one tensor a role, checked; None stands for zeros."""
        if hx is None:
            return None
        given = (hx,) if len(self.roles) == 1 else tuple(hx) if isinstance(hx, Iterable) else ()
        if len(given) != len(self.roles):
            raise ShapeError(f"{type(self).__name__}: the initial state is a pair (h_0, c_0), not {len(given)} tensors")
        states = []
        for role, value in zip(self.roles, map(as_tensor, given), strict=True):
            if unbatched and value.ndim == 2:
                value = value.expand_dims(1)
            wanted = (self.num_layers * self.num_directions, batch, self._state_size(role))
            if value.shape != wanted:
                raise ShapeError(f"{type(self).__name__}: the initial state {role}_0 {value.shape} should be {wanted}")
            states.append(value)
        return tuple(states)

    def _start(self, suffix: str, initial: State | None, index: int, batch: int) -> State:
        """The initial state of one layer and direction."""
        with scope(suffix):
            if initial is None:
                weights = self._weights(suffix)
                # one row stands for the whole batch; broadcasting does the rest
                if self.learned_state:
                    return tuple(labelled(weights[f"{role}_0"].expand_dims(0), role) for role in self.roles)
                dtype = weights["weight_hh"].dtype
                return tuple(zero_state(role, 1, self._state_size(role), dtype=dtype) for role in self.roles)
            return tuple(labelled(value[index], role) for value, role in zip(initial, self.roles, strict=True))

    def _masks(self, lengths: Any, time: int, batch: int) -> Masks:
        least = 1 if self.empty is None else 0
        cure = '; for rows of length 0 make the layer with empty="initial" or "zeros", which is their state'
        made = Masks(type(self).__name__, lengths, time, batch, least, cure)
        if self.past_end == "live" and made.lengths.ndim == 2:
            raise ArgumentError(
                f'{type(self).__name__}: past_end="live" reads on past an end, which a mask does not have; give lengths'
            )
        return made

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        projected = f"proj_size={self.proj_size}" if self.proj_size else ""
        return ", ".join(filter(None, [str(self.input_size), str(self.hidden_size), super().extra_repr(), projected]))


class RNN(RecurrentLayers):
    """A stack of tanh (or relu) recurrent layers, unrolled; see `rnn_step` for the equation.

    Arguments, defaults, shapes and parameter names (``weight_ih_l0``, ``bias_hh_l0_reverse``) are ``torch.nn.RNN``'s.
    Ours are those after ``dtype``: ``clip`` and ``leak``, see `rnn_step`, and what `LSTM` says of the last three.

    (T, N, ``input_size``) -> output (T, N, D * ``hidden_size``) and last state (``num_layers`` * D, N,
    hidden_size), D 2 if ``bidirectional`` else 1; N first with ``batch_first``. ``nonlinearity``: "tanh", "relu",
    another name or a function; ``bias`` and ``dropout`` (between layers) as in `LSTM`; ``learned_state``,
    ``past_end`` and ``empty`` too.

    >>> import tinygrad_rnn as tg
    >>> output, h_n = tg.nn.RNN(3, 5)(tg.ones(7, 2, 3))
    >>> output.shape, h_n.shape
    ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Activation = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        clip: float | None = None,
        leak: float = 1.0,
        learned_state: bool = False,
        past_end: str = "zeros",
        empty: str | None = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(**_common(locals()), settings=rnn_settings("RNN", nonlinearity, clip, leak))

    def _cell(self, x: Tensor, state: State, weights: dict[str, Any]) -> State:
        return (rnn_step(x, state[0], four(weights), self.nonlinearity, **self.settings),)


class LSTM(RecurrentLayers):
    """A stack of LSTM layers, unrolled; see `lstm_step` for the equations. The state is the pair ``(h, c)``.

    Arguments, defaults, shapes and parameter names are ``torch.nn.LSTM``'s; ours are those after ``proj_size``.
    ``peepholes``: None, "diagonal" or "full", the weights ``weight_ci_l0``, ``weight_cf_l0``, ``weight_co_l0``;
    ``coupled``, ``clip`` and ``activations``: see `lstm_step`. With a ``learned_state`` the initial state is the
    parameters ``h_0_l0`` and ``c_0_l0`` (H,). With lengths, ``past_end`` names the outputs past a sequence's end:
    "zeros"; "repeat", the last output again (zeros before a first valid step in the reverse direction); "live", the
    network reads on into the padding; "step", one step from the final state, at each place anew. ``empty`` names the
    state of a row of length 0: "initial", "zeros", "last" (the one after all padding), or None: it is an error.

    (T, N, ``input_size``) -> output (T, N, D * H) and last states (``num_layers`` * D, N, H), H ``hidden_size``
    (for h and the output ``proj_size`` if given), D 2 if ``bidirectional`` else 1; N first with ``batch_first``.
    ``bias=False`` leaves the biases out; ``dropout`` is a probability, for every layer's output but the last's.

    >>> import tinygrad_rnn as tg
    >>> output, (h_n, c_n) = tg.nn.LSTM(3, 5, num_layers=2)(tg.ones(7, 2, 3))
    >>> output.shape, c_n.shape
    ((7, 2, 5), (2, 2, 5))
    """

    gates = 4
    roles = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
        peepholes: str | None = None,
        coupled: bool = False,
        clip: float | None = None,
        activations: Sequence[Activation] = OF_LSTM,
        learned_state: bool = False,
        past_end: str = "zeros",
        empty: str | None = None,
    ) -> None:
        self.peepholes = peepholes
        super().__init__(
            **_common(locals()),
            settings=settings_of("LSTM", activations, clip, 3, coupled=coupled),
            more=lstm_more(hidden_size, peepholes, proj_size),
            proj_size=proj_size,
        )

    def _cell(self, x: Tensor, state: State, weights: dict[str, Any]) -> State:
        h, c = state
        return lstm_step(x, h, c, four(weights), **self.settings, **lstm_extras(weights))


class GRU(RecurrentLayers):
    """A stack of GRU layers, unrolled; see `gru_step` for the equations.

    Arguments, defaults, shapes and parameter names are ``torch.nn.GRU``'s. Ours are those after ``dtype``: ``reset``
    ("after" the product or "before"), ``clip``, ``activations``, see `gru_step`; and the last three of `LSTM`.

    (T, N, ``input_size``) -> output (T, N, D * ``hidden_size``) and last state (``num_layers`` * D, N,
    hidden_size), D 2 if ``bidirectional`` else 1; N first with ``batch_first``. ``bias`` and ``dropout`` (between
    layers) as in `LSTM`.

    ``learned_state``, ``past_end`` and ``empty`` are those of `LSTM`.

    >>> import tinygrad_rnn as tg
    >>> output, h_n = tg.nn.GRU(3, 5, bidirectional=True)(tg.ones(7, 2, 3))
    >>> output.shape, h_n.shape
    ((7, 2, 10), (2, 2, 5))
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        reset: str = "after",
        clip: float | None = None,
        activations: Sequence[Activation] = OF_GRU,
        learned_state: bool = False,
        past_end: str = "zeros",
        empty: str | None = None,
    ) -> None:
        super().__init__(**_common(locals()), settings=gru_settings("GRU", activations, clip, reset))

    def _cell(self, x: Tensor, state: State, weights: dict[str, Any]) -> State:
        return (gru_step(x, state[0], four(weights), **self.settings),)


answering(globals())
