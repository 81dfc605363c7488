"""Scopes: the layer, the time step and the part of the cell that a node belongs to.

The code that builds a network says where it is; every node made meanwhile carries the answer. Levels of
detail in a picture, rows of the shared-weight ledger and time batching all read it, and nothing else does
the naming.

>>> import tinygrad_rnn as tg
>>> with tg.scope("encoder"), tg.scope(step=2, part="f"):
...     x = tg.tensor([1.0, 2.0])
...     y = x * 2.0
>>> y.scope
Scope(path=('encoder',), step=2, part='f', backward=False, inner=None)
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

from .arguments import answerable, answering_methods
from .errors import ArgumentError, DTypeError
from .thread_state import Scope, current

__all__ = ["Scope", "scope", "steps"]


@answering_methods("scope")
class scope:
    """Enter a scope: ``name`` is appended to the path, ``step`` and ``part`` replace the current ones.

    Leaving it restores what was current before, also after an exception.

    >>> import tinygrad_rnn as tg
    >>> with tg.scope("encoder", step=2):
    ...     (tg.ones(1) * 2).scope[:2]
    (('encoder',), 2)
    """

    __slots__ = ("name", "outer", "part", "step")

    def __init__(self, name: str | None = None, *, step: int | None = None, part: str | None = None) -> None:
        self.name, self.step, self.part = name, step, part

    def __enter__(self) -> Scope:
        self.outer = outer = current.scope
        current.scope = Scope._make(
            (
                outer.path if self.name is None else (*outer.path, self.name),
                outer.step if self.step is None else self.step,
                outer.part if self.part is None else self.part,
                outer.backward,
                outer.inner,
            )
        )
        return current.scope

    def __exit__(self, *_exception: object) -> None:
        current.scope = self.outer


@contextmanager
def placed(place: Scope) -> Iterator[None]:
    """A context in which nodes belong to ``place``, whatever the scope is."""
    outer, current.scope = current.scope, place
    try:
        yield
    finally:
        current.scope = outer


def layer_step(t: int, length: int) -> scope:
    """The scope of step ``t`` of a layer's sequence of ``length`` steps.

    A sequence of one step, as a decoder gives its layer, is no time of its own where the program has said the step.
    """
    return scope(step=None if length == 1 and current.scope.step is not None else t)


@answerable
def steps(count: int) -> Iterator[int]:
    """``range(count)`` that also sets the time step, so that a hand-written unrolling can be drawn as one.

    Raises `DTypeError` if ``count`` is no integer, and `ArgumentError` if it is negative.

    >>> import tinygrad_rnn as tg
    >>> h = tg.tensor([1.0])
    >>> for t in tg.steps(3):
    ...     h = h * 0.5
    >>> h.scope.step
    2
    """
    if not hasattr(count, "__index__"):
        cure = "; use steps(len(...))" if hasattr(count, "__len__") else ""
        raise DTypeError(f"steps takes a number of time steps, not {type(count).__name__}{cure}")
    if not isinstance(count, bool) and (number := operator.index(count)) >= 0:
        return _steps(number)
    raise ArgumentError(f"steps takes a number of time steps, from 0 up, not {count}")


def _steps(count: int) -> Iterator[int]:
    outer = current.scope
    try:
        for step in range(count):
            current.scope = outer._replace(step=step)
            yield step
    finally:
        current.scope = outer
