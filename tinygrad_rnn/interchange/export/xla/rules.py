"""The primitives in JAX: one function each. JAX differentiates it; the tests compare that with our own rule.

A rule is called with arrays of JAX's (and Python numbers where the program has such) and the primitive's settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....optional_packages import framework
from ....primitives.record import Primitive, normalize_axis
from ....words import words
from ..registry import registering

jax = framework("jax", "jax")
jnp, lax = jax.numpy, jax.lax

Rule = Callable[..., Any]
RULES: dict[Primitive, Rule] = {}


def jax_rule(primitive: Primitive | str) -> Callable[[Rule], Rule]:
    """A decorator: what ``primitive``, one of your own, is in JAX, so that `to_jax` can export it.

    The function takes JAX arrays and the primitive's settings, and JAX differentiates it.

    >>> import jax.numpy as jnp, tinygrad_rnn as tg
    >>> triple = tg.Primitive("triple", "3x", lambda x: x, lambda x: 3 * x, vjp=(lambda g, _y, _x: 3 * g,))
    >>> @tg.interchange.jax_rule(triple)
    ... def _(x):
    ...     return 3 * x
    >>> fn, _ = tg.interchange.to_jax(lambda x: triple(x), tg.ones(2))
    >>> fn({}, jnp.ones(2)).tolist()
    [3.0, 3.0]
    """
    return registering(RULES, primitive, "jax_rule")


def _axes(axis: Any, x: Any) -> tuple[int, ...]:
    return normalize_axis(axis, x.ndim)


def _cross_entropy(logits: Any, target: Any, *, ignore_index: int) -> Any:
    keep = target != ignore_index
    scores = jax.nn.log_softmax(logits, -1)
    picked = jnp.take_along_axis(scores, jnp.where(keep, target, 0)[..., None], -1)[..., 0]
    return jnp.where(keep, -picked, 0)


def _scatter(g: Any, *, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    places = np.arange(int(np.prod(shape))).reshape(shape)[index]
    return jnp.zeros(int(np.prod(shape)), g.dtype).at[places.ravel()].add(g.ravel()).reshape(shape)


def _static(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """Masks as the positions they choose."""
    parts: list[Any] = []
    for each in index:
        parts += np.nonzero(each) if isinstance(each, np.ndarray) and each.dtype == bool and each.ndim else [each]
    return tuple(parts)


def _power(a: Any, b: Any) -> Any:
    if isinstance(b, int) and not isinstance(b, bool):
        return lax.integer_pow(a, b)
    return jnp.power(a, b)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """In a loop JAX transposes the weight once, before it: so one writes it by hand."""
    y = jnp.matmul(x, weight.T)
    return y if bias is None else y + bias


#: those that JAX calls as we do
_ALIKE = words(
    "abs add cos equal exp floor_divide greater greater_equal less less_equal log matmul maximum minimum not_equal "
    "sign sin sqrt tanh"
)
_RULES: dict[str, Rule] = {
    **{name: getattr(jnp, name) for name in _ALIKE},
    **{name: getattr(jax.nn, name) for name in words("relu sigmoid softplus")},
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "neg": jnp.negative,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "pow": _power,
    "linear": _linear,
    "cross_entropy": _cross_entropy,
    "scatter": _scatter,
    "getitem": lambda x, *, index: x[_static(index)],
    "cast": lambda x, *, dtype: x.astype(jax.dtypes.canonicalize_dtype(dtype)),
    "where": lambda condition, a, b: jnp.where(jnp.asarray(condition) != 0, a, b),
    "reshape": lambda x, *, shape: jnp.reshape(x, shape),
    "permute": lambda x, *, axes: jnp.transpose(x, axes),
    "broadcast_to": lambda x, *, shape: jnp.broadcast_to(x, shape),
    "concat": lambda *operands, axis: jnp.concatenate(operands, axis),
    "stack": lambda *operands, axis: jnp.stack(operands, axis),
    "sum": lambda x, *, axis, keepdims: jnp.sum(x, _axes(axis, x), keepdims=keepdims),
    "max": lambda x, *, axis, keepdims: jnp.max(x, _axes(axis, x), keepdims=keepdims),
    "logsumexp": lambda x, *, axis, keepdims: jax.scipy.special.logsumexp(x, _axes(axis, x), keepdims=keepdims),
    "softmax": lambda x, *, axis: jax.nn.softmax(x, axis),
    "log_softmax": lambda x, *, axis: jax.nn.log_softmax(x, axis),
    "cumsum": lambda x, *, axis: jnp.cumsum(x, axis),
    "take": lambda table, indices: jnp.take(table, indices, axis=0, mode="fill"),
    "scatter_rows": lambda g, indices, *, rows: jnp.zeros((rows, *g.shape[indices.ndim :]), g.dtype).at[indices].add(g),
    "one_hot": lambda indices, *, num_classes, dtype, strict: (indices[..., None] == np.arange(num_classes)).astype(
        jax.dtypes.canonicalize_dtype(dtype)
    ),
    "argmax": lambda x, *, axis: jnp.argmax(x, axis),
    "argsort": lambda x, *, axis: jnp.argsort(x, axis, stable=True),
    "einsum": lambda *operands, subscripts: jnp.einsum(subscripts, *operands),
}
for _name, _rule in _RULES.items():
    jax_rule(_name)(_rule)
