"""The record of a value: all that the reverse walk, the primitives and the messages know of a `Tensor`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from .errors import ArgumentError
from .thread_state import NOWHERE, Scope

if TYPE_CHECKING:
    from .primitives.record import Primitive
    from .source_line import Place
    from .tensors import Tensor
    from .version_counters import Memory
    from .waiting_gradients import Waiting

_NO_ATTRS: dict[str, Any] = {}


class Recorded:
    """A value, how it was made, and what became of it. `Tensor` is one.

    What begins with an underscore is the engine's: users see it through methods.
    """

    _array: np.ndarray[Any, Any]
    serial: int  #: creation number; orders any graph topologically
    _requires_grad: bool = False
    op: Primitive | None = None  #: the operation that made it, None for a leaf
    operands: tuple[Tensor | float | int | bool, ...] = ()  #: of that operation; numbers stay numbers
    attrs: dict[str, Any] = _NO_ATTRS  #: that operation's settings, such as an axis
    scope: Scope = NOWHERE  #: where it belongs: module path, time step, part of the cell
    _name: str | None = None
    role: str | None = None  #: what it is in the network: "x", "h", "c", "i", "logits", "loss" ...
    _made_at: Place | None = None
    _memory: Memory | None = None  #: who else sees its buffer, and when it was last written; None: a recorded value's
    _grad: Tensor | Waiting | None = None  #: users see it through ``grad``
    _hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None
    _retains_grad: bool = False  #: its gradient is kept although an operation made it
    _starts: bool = False  #: `requires_grad_` was called: gradients end here although an operation made it
    _spent: bool = False  #: walked backward, and not again
    _freed: bool = False  #: its operands are forgotten: another graph was walked since

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor; setting neither True nor False is an `ArgumentError`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise ArgumentError(f"requires_grad of {self._described()} is True or False, not {value!r:.60}")
        self._requires_grad = bool(value)

    @property
    def name(self) -> str | None:
        """The name that pictures and errors call it by; setting what is no text and not None is an `ArgumentError`."""
        return self._name

    @name.setter
    def name(self, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise ArgumentError(f"the name of {self._described()} is a text or None, not {value!r:.60}")
        self._name = value

    def _record(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        """Compute ``op`` and remember it."""
        raise NotImplementedError

    def _described(self) -> str:
        """Name and shape, for a message."""
        raise NotImplementedError

    def _gradient(self) -> Tensor | None:
        """The value of ``grad``, without telling the recorder."""
        raise NotImplementedError

    @staticmethod
    def _leaf(array: np.ndarray[Any, Any]) -> Tensor:
        """A leaf that takes ownership of ``array`` without a copy."""
        raise NotImplementedError

    @staticmethod
    def _coerced(value: Any) -> Tensor:
        """A tensor itself; of anything else a leaf with a copy."""
        raise NotImplementedError


def is_tensor(x: Any) -> TypeGuard[Tensor]:
    """Whether a value that may be an array or a number is a tensor, for files that `Tensor` is built on."""
    return isinstance(x, Recorded)


def made_from(ends: Iterable[Any], operands_of: Callable[[Any], Iterable[Any]] = attrgetter("operands")) -> list[Any]:
    """The tensors ``ends`` and all that their operands (or ``operands_of``) lead to, in the order of their making."""
    found = {x.serial: x for x in ends}
    pending = list(found.values())
    while pending:
        for x in operands_of(pending.pop()):
            if is_tensor(x) and x.serial not in found:
                found[x.serial] = x
                pending.append(x)
    return [found[serial] for serial in sorted(found)]
