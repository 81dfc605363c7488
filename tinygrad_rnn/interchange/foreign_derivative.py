"""A foreign function with a derivative of its own, as a primitive that keeps both.

A user's ``torch.autograd.Function`` or ``jax.custom_vjp`` has a forward and a backward pass that nobody but its author
vouches for. As a primitive, the forward is the reference and the backward the rule, so that the gradient check moves
the one and sees whether the other follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitives.record import Primitive, Unlisted
from ..tensors import Array


def foreign(
    name: str,
    forward: Callable[..., Array],
    pullback: Callable[..., Sequence[Array | None]],
    shape: tuple[int, ...] | None,
) -> Unlisted:
    """A primitive that computes ``forward(*arrays)`` and whose rule is ``pullback(g, *arrays)``, one array an operand.

    ``forward`` should take complex arrays, or raise `TypeError`: then differences judge it instead of a complex step.
    An operand for which ``pullback`` gives None gets zeros. ``shape`` is the result's, None where it is that of the
    first operand. The rule has no derivative itself.
    """

    def rule(slot: int, g: Any, _y: Any, *operands: Any) -> Any:
        return backward(slot)(g, *operands)

    def backward(slot: int) -> Primitive:
        if slot not in made:

            def pulled(g: Any, *operands: Any) -> Array:
                share = pullback(g, *operands)[slot]
                return np.zeros(operands[slot].shape, g.dtype) if share is None else np.asarray(share)

            made[slot] = Unlisted(f"{name} backward", f"{name}′", lambda _g, *shapes: shapes[slot], pulled)
        return made[slot]

    made: dict[int, Primitive] = {}
    return Unlisted(
        name,
        name,
        lambda *shapes: shapes[0] if shape is None else shape,
        forward,
        vjp=rule,
        rule=(r"\bar x = \text{as written by its author}",),
    )
