"""Arithmetic, functions of each element, comparisons and logic, types, products."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .... import functional as T
from .... import primitives as P
from ....tensors import Tensor, as_tensor
from ....words import words
from ...composed_operators import OF_ONE, as_boolean
from ..conversion import raw
from ..program_places import called_by_jax
from .table import elementwise, plain, primitive


def _remainder(a: Any, b: Any) -> Any:
    """The rest of a division cut off towards 0: between two jumps it moves as ``a`` does, and against ``b``."""
    over, under = (np.asarray(raw(x)) for x in (a, b))
    return a - as_tensor(np.trunc(over / under).astype((a if isinstance(a, Tensor) else b).dtype)) * b


def _select(which: Any, *values: Any) -> Any:
    if len(values) == 2 and (not hasattr(which, "dtype") or which.dtype.kind == "b"):
        return T.where(which, values[1], values[0])
    made = values[-1]
    for k in reversed(range(len(values) - 1)):
        made = T.where(P.equal(which, k), values[k], made)
    return made


_SHARED = words("neg abs sign exp exp2 log log1p expm1 sqrt rsqrt square tanh sin cos tan sinh cosh erf erfc")
elementwise(
    **{name: OF_ONE[name] for name in _SHARED},
    add=lambda a, b: a + b,
    add_any=lambda a, b: a + b,
    sub=lambda a, b: a - b,
    mul=lambda a, b: a * b,
    div=lambda a, b: a / b,
    rem=_remainder,
    pow=lambda a, b: a**b,
    max=T.maximum,
    min=T.minimum,
    logistic=lambda x: x.sigmoid(),
    one_minus_square=lambda x: 1.0 - x * x,
    gt=P.greater,
    ge=P.greater_equal,
    lt=P.less,
    le=P.less_equal,
    eq=P.equal,
    ne=P.not_equal,
    select_n=_select,
    clamp=lambda low, x, high: x.clip(low, high),
    is_finite=lambda x: x.isfinite(),
    floor=lambda x: as_tensor(np.floor(x.numpy())),
    ceil=lambda x: as_tensor(np.ceil(x.numpy())),
    cbrt=lambda x: P.sign(x) * x.abs() ** (1.0 / 3.0),
    sharding_constraint=lambda x: x,
    real=lambda x: x,
)
# a copy is of a whole operand: these are given none that is still to be broadcast
plain(
    copy=lambda x: x,
    copy_p=lambda x: x,
    reduce_precision=lambda x: x,
    optimization_barrier=lambda *xs: list(xs),
    device_put=lambda *xs: list(xs) if len(xs) > 1 else xs[0],
)


@primitive("integer_pow")
def _integer_pow(_eqn: Any, x: Tensor, y: int, **_params: Any) -> Tensor:
    if y == 2:
        return x.square()
    return 1.0 / x if y == -1 else x ** float(y)


@primitive("round")
def _round(_eqn: Any, x: Tensor, rounding_method: Any = None, **_params: Any) -> Tensor:
    away = rounding_method is not None and int(rounding_method) == 0
    values = x.numpy()
    return as_tensor((np.sign(values) * np.floor(np.abs(values) + 0.5) if away else np.rint(values)).astype(x.dtype))


@primitive("and", "or", "xor", "not")
def _logic(eqn: Any, *operands: Any, **_params: Any) -> Any:
    name, (a, *rest) = eqn.primitive.name, [as_tensor(x) for x in operands]
    if a.dtype.kind != "b":
        values = [x.numpy() for x in (a, *rest)]
        return as_tensor(getattr(np, {"not": "invert"}.get(name, f"bitwise_{name}"))(*values))
    of_booleans: dict[str, Any] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor, "not": operator.inv}
    return of_booleans[name](a, *rest)


@primitive("convert_element_type")
def _convert(_eqn: Any, x: Tensor, new_dtype: Any, **_params: Any) -> Tensor:
    wanted = np.dtype(new_dtype)
    if wanted == x.dtype:
        return x
    return as_boolean(x) if wanted.kind == "b" else x.astype(wanted)


@primitive("stop_gradient")
def _stop_gradient(eqn: Any, x: Tensor, **_params: Any) -> Tensor:
    """`detach`, where the user calls ``stop_gradient``.

    JAX's own softmax and logsumexp call it for a maximum that they subtract; the gradient is the same without.
    """
    return x if called_by_jax(eqn, "stop_gradient") else x.detach()


@primitive("dot_general")
def _dot_general(_eqn: Any, a: Any, b: Any, dimension_numbers: Any, **_params: Any) -> Tensor:
    (over_a, over_b), (batch_a, batch_b) = dimension_numbers
    rank_a, rank_b = len(a.shape), len(b.shape)
    if not batch_a and len(over_a) == 1:
        if over_a[0] == rank_a - 1 and over_b[0] == (0 if rank_b <= 2 else -1):
            return T.matmul(a, b)
        if rank_a == rank_b == 2 and over_a[0] == over_b[0] == 1:
            return T.matmul(a, as_tensor(b).T)
        if rank_a == rank_b == 2 and over_a[0] == over_b[0] == 0:
            return T.matmul(as_tensor(a).T, b)
        if rank_a == 1 and rank_b == 2 and over_b[0] == 1:
            return T.matmul(a, as_tensor(b).T)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names_a, names_b = [next(letters) for _ in range(rank_a)], [next(letters) for _ in range(rank_b)]
    for i, j in zip((*over_a, *batch_a), (*over_b, *batch_b)):
        names_b[j] = names_a[i]
    out = [names_a[i] for i in batch_a]
    out += [n for i, n in enumerate(names_a) if i not in (*over_a, *batch_a)]
    out += [n for i, n in enumerate(names_b) if i not in (*over_b, *batch_b)]
    return T.einsum(f"{''.join(names_a)},{''.join(names_b)}->{''.join(out)}", a, b)
