"""Forward mode: how outputs move when inputs move, by two reverse walks.

A reverse walk is linear in the gradient ``u`` it starts from: it gives ``Jᵀ u``. Differentiating ``(Jᵀ u) · v`` in
``u`` gives ``J v`` (J. Townsend, "A new trick for calculating Jacobian vector products", 2017), so no primitive needs a
second rule. It also means that a wrong rule is as wrong here: this judges the walk and the recording of it, not the
rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arguments import answering
from .errors import ArgumentError, GraphError, ShapeError
from .reverse_walk import grad
from .settings import enable_grad
from .tensors import Tensor, as_tensor


def jvp(func: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``func(*primals)`` and its derivative along ``tangents``, as `torch.func.jvp`.

    ``primals`` and ``tangents`` are tuples of as many float tensors, each tangent of its primal's shape; ``func`` takes
    the primals and returns a tensor or a tuple of tensors. The derivative has the outputs' shapes and dtypes, and its
    own graph is not kept.

    Raises `ShapeError` where a tangent has another shape, `ArgumentError` for tangents of another number,
    `GraphError` if ``func`` returns none.

    >>> import tinygrad_rnn as tg
    >>> y, dy = tg.jvp(lambda x: x ** 3, (tg.tensor(2.0),), (tg.tensor(1.0),))
    >>> float(y), float(dy)
    (8.0, 12.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise ArgumentError("jvp: primals and tangents are tuples of tensors, such as (x,) and (v,)")
    if len(primals) != len(tangents):
        raise ArgumentError(f"jvp: {len(primals)} primals want as many tangents, not {len(tangents)}")
    leaves = [as_tensor(x).detach().requires_grad_() for x in primals]
    directions = [as_tensor(v).detach() for v in tangents]
    for k, (x, v) in enumerate(zip(leaves, directions, strict=True)):
        if x.shape != v.shape:
            raise ShapeError(f"jvp: primal {k} has shape {x.shape} but its tangent {v.shape}")
    with enable_grad():
        made = func(*leaves)
        outputs = list(made) if isinstance(made, (tuple, list)) else [made]
        for y in outputs:
            if not isinstance(y, Tensor):
                raise GraphError(f"jvp: the function returned {type(y).__name__}; return a tensor or a tuple of them")
        moved = [_along(y, leaves, directions) for y in outputs]
    values = [y.detach() for y in outputs]
    return (tuple(values), tuple(moved)) if isinstance(made, (tuple, list)) else (values[0], moved[0])


def _along(y: Tensor, leaves: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
    still = y._leaf(np.zeros(y.shape, y.dtype))
    if not y.requires_grad:
        return still
    upstream = y._leaf(np.zeros(y.shape, y.dtype)).requires_grad_()
    pulled = grad(y, leaves, upstream, retain_graph=True, create_graph=True, allow_unused=True)
    pairs = [(g, v) for g, v in zip(pulled, directions, strict=True) if g is not None and g.requires_grad]
    if not pairs:
        return still
    (found,) = grad([g for g, _ in pairs], upstream, [v for _, v in pairs], allow_unused=True)
    return still if found is None else found


answering(globals())
