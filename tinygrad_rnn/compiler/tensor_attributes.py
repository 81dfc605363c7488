"""Tensors' attributes: what code may ask a tensor besides its value, and whether the answers are still the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..recorded_value import Recorded
from ..tensors import Tensor
from .snapshots import alike

#: what is followed otherwise: a tensor's value, its gradient, its place in a graph, where it was made, how it is traced
FOLLOWED = {*Recorded.__annotations__} - {"_name", "role"}
FOLLOWED |= {"_tracer", "_stand_in", "_root", "_label", "_given_name"}  # of a `Traced`


def own(tensor: Tensor) -> dict[str, Any]:
    """The attributes that it was given by name: its name, its role, and whatever a program put there.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.compiler.tensor_attributes import own
    >>> w = tg.tensor([1.0], name="w")
    >>> w.decay = 0.1
    >>> own(w)
    {'_name': 'w', 'decay': 0.1}
    """
    return {name: value for name, value in vars(tensor).items() if name not in FOLLOWED}


def same_circumstances(tensors: Sequence[Tensor]) -> Callable[[], bool]:
    """Whether tensors that no program reads ask for gradients, have hooks, a shape and a dtype as now."""

    def found() -> list[Any]:
        return [(x.requires_grad, tuple(x._hooks or ()), x._array.shape, x._array.dtype) for x in tensors]

    before = found()
    return lambda: found() == before


def same_arguments(given: Sequence[Any]) -> Callable[[Sequence[Any]], bool]:
    """Whether other arguments have the same attributes of their own as these, and none a gradient it does not want."""

    def found(values: Sequence[Any]) -> list[Any]:
        return [(own(x), x._grad is None or x.requires_grad) for x in values if isinstance(x, Tensor)]

    before = found(given)
    return lambda values: alike(found(values), before)


def same_attributes(tensors: Sequence[Tensor]) -> Callable[[], bool]:
    """Whether tensors have the attributes of their own that they have now."""
    before = [own(x) for x in tensors]
    return lambda: all(alike(own(x), attributes) for x, attributes in zip(tensors, before, strict=True))
