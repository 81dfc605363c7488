"""A foreign function with a derivative of its own, as a primitive that keeps both.

A user's ``torch.autograd.Function`` or ``jax.custom_vjp`` has a forward and a backward pass that nobody but its author
vouches for. As a primitive, the forward is the reference and the backward the rule, so that the gradient check moves
the one and sees whether the other follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..primitives.record import Primitive, Unlisted
from ..tensors import Array


def foreign(
    name: str,
    forward: Callable[..., Array],
    pullback: Callable[..., Sequence[Array | None]],
    shapes: Sequence[tuple[int, ...]] | None,
) -> Unlisted:
    """A primitive that computes ``forward(*arrays)`` and whose rule is ``pullback(g, *arrays)``, one array an operand.

    ``forward`` should take complex arrays, or raise `TypeError`: then differences judge it instead of a complex step.
    An operand for which ``pullback`` gives None gets zeros. ``shapes`` are the results'; several are one vector, one
    after the other, which `custom_function.parts_of` takes apart. None: the result has the shape of the first operand.
    The rule has no derivative itself.
    """

    @cache
    def backward(slot: int) -> Primitive:
        def pulled(g: Any, *operands: Any) -> Array:
            share = pullback(g, *operands)[slot]
            return np.zeros(operands[slot].shape, g.dtype) if share is None else np.asarray(share)

        return Unlisted(f"{name} backward", f"{name}′", lambda _g, *given: given[slot], pulled)

    return Unlisted(
        name,
        name,
        lambda *given: given[0] if shapes is None else shapes[0] if len(shapes) == 1 else (sum(map(prod, shapes)),),
        forward,
        vjp=lambda slot, g, _y, *operands: backward(slot)(g, *operands),
        rule=(r"\bar x = \text{as written by its author}",),
    )
