"""The state of this thread: the scope, whether operations are recorded, and who records them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from .primitives.record import Primitive
    from .tensors import Tensor


class Scope(NamedTuple):
    """A node's place. ``step`` counts from 0; pictures print it from 1, as lectures do.

    >>> import tinygrad_rnn as tg
    >>> tg.ones(1).scope
    Scope(path=(), step=None, part=None, backward=False, inner=None)
    """

    path: tuple[str, ...] = ()  #: names of the modules it was made in, outermost first
    step: int | None = None  #: time step, or None outside the recurrence
    part: str | None = None  #: the piece of a cell: a gate ("i", "f", ...), a state, the output ...
    backward: bool = False  #: made by a rule of the reverse walk, not by the forward pass
    inner: int | None = None  #: repetition, from 0, of a loop inside of its time step


#: the scope of what was made in none
NOWHERE = Scope()


class LoopRecorder(Protocol):
    """Records the loops of layers and scans as such; `interchange.export` says how."""

    def scanned(self, f: Any, init: Any, xs: Any, lengths: Any, reverse: bool, time: int) -> tuple[Any, Any]:
        """The result of `scan`."""

    def beginning(self, f: Any, xs: Any, length: int, reverse: bool) -> Any:
        """The constants that a step called with no state begins with; None if there are none."""

    def out_here(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """``f``, whose masks are drawn as here, also when it is called in loops that begin later."""

    def layers(self, module: Any, x: Tensor, initial: Any, lengths: Any) -> tuple[Tensor, tuple[Tensor, ...]] | None:
        """`nn.RNN`, `nn.LSTM` and `nn.GRU` over (T, N, features), if it keeps them whole."""

    def past_ends(self, module: Any, suffix: str, x: Tensor, state: Any, lengths: Any) -> tuple[Any, Tensor]:
        """One layer in one direction where ``past_end`` and ``empty`` say something."""


class Recorder(Protocol):
    """Records in the engine's place while a function is being compiled; whatever needs a number *now* must ask it.

    What tensors, modules and optimizers tell it, and in what they differ then; `compiler.tracing.Tracer` says how.
    """

    contexts: list[Any]  #: of functions with a backward pass of their own, which may hold tensors
    keeps_loops: LoopRecorder | None  #: what a layer, or `scan`, asks to record a loop as one instead of unrolling it
    rolls: int | None  #: of how many steps a recurrence is recorded as a loop; None: every one is unrolled
    aside: bool  #: whether what is recorded belongs to a loop's body
    inner: set[int]  #: serials of the leaves of loops' bodies, which mean nothing outside

    def record(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        """Remember ``op`` without computing it."""

    def leaf(self, array: np.ndarray[Any, Any], name: str | None = None, requires_grad: bool = False) -> Tensor:
        """A stand-in with the shape and dtype of ``array``."""

    def effects(self) -> tuple[int, ...]:
        """The sizes of all that is recorded besides operations: equal answers mean that nothing came in between."""

    def is_constant(self, x: Any) -> bool:
        """Whether its value was made by the function itself, and is the same in every call."""

    def detach(self, tensor: Tensor) -> Tensor:
        """An alias that no gradient flows through."""

    def refuse_reading(self, tensor: Tensor) -> None:
        """Raise if Python reads a value that changes between calls."""

    def ignores(self, index: int) -> bool:
        """Whether targets equal to ``index`` may be there."""

    def refuse_hook(self, tensor: Tensor) -> None:
        """Raise if every plain call would put another hook on what outlives it."""

    def refuse_removal(self, key: int) -> None:
        """Raise if a plain call would find no hook of this number the next time."""

    def gradient(self, tensor: Tensor, *, asked: bool) -> None:
        """Its ``.grad`` is about to be read (``asked``) or set."""

    def owns(self, tensor: Tensor, index: Any) -> bool:
        """Whether writing ``tensor[index]`` must become an assignment: it lives longer than one call."""

    def assign(self, tensor: Tensor, value: Any, in_place: bool = False) -> None:
        """Make ``value`` the tensor's value after the call; written ``in_place``, its views show it, too."""

    def slot(self, holder: dict[str, Any], key: str) -> Tensor:
        """The array ``holder[key]`` as a tensor that can be assigned to."""

    def assign_slot(self, holder: dict[str, Any], key: str, value: Any) -> None:
        """``holder[key] = value`` when the program runs."""

    def refreshed(self, compute: Callable[[], Any], like: np.ndarray[Any, Any], name: str) -> Tensor:
        """A leaf whose value ``compute()`` gives anew for each call: a dropout mask, a learning rate."""

    def dropped(self, compute: Callable[[], Any], like: np.ndarray[Any, Any], p: float) -> Tensor:
        """A dropout mask: zeros with probability ``p``, else ``1 / (1 - p)``."""

    def derived(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor], inputs: Sequence[Tensor] | None
    ) -> list[tuple[Tensor, Tensor]] | None:
        """Tensors and their gradients, if it differentiates by itself; None: the graph is walked as usual."""

    def scalars(self, schedule: Any, dtype: np.dtype[Any]) -> tuple[Tensor, ...]:
        """Numbers that ``schedule()`` gives for each call; ``schedule.count()`` is called after it."""

    def confirm(self, check: Callable[..., None], tensors: Sequence[Tensor]) -> None:
        """In every call, before anything is assigned, ``check(*values)`` may raise."""

    def guard(self, thing: Any, condition: Callable[[Any, Any], None]) -> None:
        """Record anew when what ``condition(thing, conditions)`` adds to them, now, is no longer true."""

    def watch(self, thing: Any, condition: Callable[[Any, Any], None]) -> None:
        """As `guard`, but as the thing is when recording ends."""


class _Current(threading.local):
    """Every entry is always there, so that `vars` gives them all for one look-up."""

    def __init__(self) -> None:
        self.scope = NOWHERE
        self.recording = True
        self.tracer: Recorder | None = None  # while a function is being compiled
        self.walked: list[Any] = []  # weakly, what the last reverse walk that kept no graph has passed


current = _Current()
