"""`from_jax`: a JAX function becomes a function of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arguments import positional
from ...errors import ArgumentError, DTypeError, GraphError
from ...optional_packages import framework
from ...tensors import Tensor
from ...thread_state import current
from ..framework_types import as_supported
from ..parameters_by_name import variables
from ..program import FOLLOWS_VALUES

jax = framework("jax", "jax")

from .running import Run, unsupported  # noqa: E402  only after the line above has said that JAX is there

#: how far a result may be from JAX's, by its size
AGREEMENT = {8: 1e-9, 4: 1e-3}


@dataclass(frozen=True)
class Traced:
    """The equations of one call: of arguments of these shapes and dtypes."""

    closed: Any
    result: Any  #: the pytree of results


class JaxFunction:
    """A JAX function on our tensors; made by `from_jax`.

    Called with the same pytrees, arrays or tensors of ours as leaves, it returns the same pytree of our tensors. Every
    call computes JAX's equations anew, so loops and branches follow the values that are there; arguments of other
    shapes are traced again.

    >>> import jax.numpy as jnp, tinygrad_rnn as tg
    >>> tg.interchange.from_jax(lambda x: jnp.tanh(x))(tg.zeros(1)).tolist()
    [0.0]
    """

    #: as imported programs of PyTorch and files have them; of a function of JAX's nothing stays as it was
    import_notes: tuple[str, ...] = ()

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._traced: dict[Any, Traced] = {}
        self._seen: list[tuple[Any, Tensor]] | None = None
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__ or type(self).__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure, names = self._flat(args, kwargs)
        traced = self._trace(leaves, structure)
        consts = list(traced.closed.consts)
        avals = [v.aval for v in traced.closed.jaxpr.invars]
        moving = [(x, name) for x, name in zip(leaves, names) if _is_data(x)]
        given = [_entering(x, name, aval) for (x, name), aval in zip(moving, avals, strict=True)]
        run = Run(self.__name__, self._own)
        with jax.ensure_compile_time_eval():  # what JAX computes of integers is wanted now, also while `to_jax` traces
            outputs = [run.tensor(x) for x in run.jaxpr(traced.closed.jaxpr, consts, given)]
        return jax.tree_util.tree_unflatten(traced.result, outputs)

    def tensors(self, *args: Any) -> Any:
        """``args`` with every float array as a tensor that requires a gradient, named as the function calls it.

        One argument stands for itself, several are a tuple.
        """
        leaves, structure, names = self._flat(args, {})
        made = [_leaf(x, name) if _is_data(x) and _kind(x) == "f" else x for x, name in zip(leaves, names)]
        given, _ = jax.tree_util.tree_unflatten(structure, made)
        return given[0] if len(given) == 1 else tuple(given)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The float arrays that the function sees by name without being given them: each a tensor with a gradient."""
        return {x.name or "": x for _, x in self._seeing()}

    def _seeing(self) -> list[tuple[Any, Tensor]]:
        if self._seen is None:
            self._seen = []
            for name, value in variables(self.function):
                for path, x in jax.tree_util.tree_flatten_with_path(value)[0]:
                    if isinstance(x, (jax.Array, np.ndarray)) and _kind(x) == "f":
                        self._seen.append((x, _leaf(np.asarray(x), name + jax.tree_util.keystr(path))))
        return self._seen

    def _own(self, const: Any) -> Any:
        """A constant of the equations as one of the function's parameters, if it is one."""
        if not isinstance(const, (jax.Array, np.ndarray)) or _kind(const) != "f":
            return const
        alike = [(x, made) for x, made in self._seeing() if x.shape == const.shape]
        same = [made for x, made in alike if x is const] or [made for x, made in alike if np.array_equal(x, const)]
        return same[0] if same else const

    def _flat(self, args: Any, kwargs: Any) -> tuple[list[Any], Any, list[str]]:
        found, structure = jax.tree_util.tree_flatten_with_path((args, kwargs))
        taken = positional(self.function)
        names = []
        for path, _ in found:
            which, at, *rest = path
            known = taken[at.idx : at.idx + 1] if which.idx == 0 else [str(at.key)]
            names.append("".join(known or [f"argument {at.idx}"]) + jax.tree_util.keystr(tuple(rest)))
        return [leaf for _, leaf in found], structure, names

    def _trace(self, leaves: Sequence[Any], structure: Any) -> Traced:
        moving = [_spec(x) for x in leaves if _is_data(x)]
        still = tuple((id(x), None) if not _hashable(x) else (hash(x), x) for x in leaves if not _is_data(x))
        key = structure, tuple(moving), still, jax.config.jax_enable_x64
        if key in self._traced:
            return self._traced[key]

        def flat(*values: Any) -> Any:
            rest = iter(values)
            args, kwargs = jax.tree_util.tree_unflatten(structure, [next(rest) if _is_data(x) else x for x in leaves])
            return self.function(*args, **kwargs)

        samples = [_sample(x) for x in leaves if _is_data(x)]
        try:
            closed, shapes = jax.make_jaxpr(flat, return_shape=True)(*samples)
        except TypeError as error:
            if "not a valid JAX type" not in str(error):
                raise
            raise DTypeError(
                f"from_jax: {self.__name__} was given or returned what is no array: {_line(error)}"
            ) from None
        missing = unsupported(closed.jaxpr)
        if missing:
            from ...errors import UnsupportedError

            raise UnsupportedError(
                f"from_jax cannot import {self.__name__}: {'; '.join(missing)}. docs/interchange.md lists what comes in"
            )
        traced = self._traced[key] = Traced(closed, jax.tree_util.tree_structure(shapes))
        return traced


def from_jax(function: Callable[..., Any], *args: Any, **kwargs: Any) -> JaxFunction:
    """A JAX ``function`` as one of ours, over the same pytrees, with our tensors as leaves.

    ``args`` are what it is called with: its equations are computed once on our tensors, and the results compared with
    JAX's own. ``scan`` and ``while_loop`` are opened into time steps (a while loop can be differentiated backwards,
    which ``jax.grad`` cannot), ``cond`` takes the branch of the values that are there. Names of `jax.named_scope` and
    of flax's modules are scopes, the user's lines the nodes' lines. A rule of the user's own (``custom_vjp``,
    ``custom_jvp``) is kept, so that `check_gradients` can tell whether it is the derivative.

    Raises `UnsupportedError`, which lists every primitive that cannot be imported, each with its line; `DataError`
    without JAX.

    Raises `DTypeError` for what is no function.

    >>> import jax.numpy as jnp, tinygrad_rnn as tg
    >>> ours = tg.interchange.from_jax(lambda p, x: jnp.tanh(x @ p["w"]).sum())
    >>> p, x = ours.tensors({"w": jnp.ones((2, 3))}, jnp.ones((4, 2)))
    >>> ours(p, x).backward()
    >>> p["w"].grad.shape, p["w"].name
    ((2, 3), "p['w']")
    """
    if not callable(function):
        raise DTypeError(f"from_jax takes a function, not {type(function).__name__}")
    made = JaxFunction(function)
    if args or kwargs:
        _compare(made, args, kwargs)
    return made


def _compare(made: JaxFunction, args: Any, kwargs: Any) -> None:
    """Ours and JAX's results of the same arguments."""
    ours = jax.tree_util.tree_leaves(made(*args, **kwargs))
    given_args, given_kwargs = jax.tree_util.tree_map(_of_jax, (args, kwargs))
    theirs = jax.tree_util.tree_leaves(made.function(*given_args, **given_kwargs))
    for mine, other in zip(ours, theirs, strict=True):
        expected = np.asarray(other)
        finite = np.isfinite(expected) if expected.dtype.kind == "f" else np.ones(expected.shape, bool)
        size = np.abs(expected[finite]).max(initial=1.0) if expected.dtype.kind == "f" else 0
        error = np.abs(mine.numpy()[finite].astype(np.float64) - expected[finite]).max(initial=0.0)
        if mine.shape != expected.shape or error > AGREEMENT.get(expected.dtype.itemsize, 0) * size:
            raise GraphError(
                f"from_jax: a result of {made.__name__} is not JAX's, off by {error:.2g}; please report the program"
            )


def _of_jax(x: Any) -> Any:
    return jax.numpy.asarray(x.numpy() if isinstance(x, Tensor) else x) if isinstance(x, (Tensor, np.ndarray)) else x


def _is_data(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray, np.generic, jax.Array, bool, int, float, complex))


def _leaf(x: Any, name: str) -> Tensor:
    dtype = _canonical(x)
    if np.dtype(dtype).itemsize < 4:
        raise DTypeError(f"from_jax: {name} is {dtype}, which no tensor here can be; make it float32 or float64")
    return Tensor(x, dtype, True, name)


def _kind(x: Any) -> str:
    return "f" if jax.numpy.issubdtype(_dtype(x), jax.numpy.floating) else "other"


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.result_type(type(x))


def _canonical(x: Any) -> Any:
    """The dtype JAX computes in: float64 only if it is told to."""
    return jax.dtypes.canonicalize_dtype(_dtype(x))


def _spec(x: Any) -> Any:
    return getattr(x, "shape", ()), str(_dtype(x)), not hasattr(x, "dtype")


def _sample(x: Any) -> Any:
    """The sample that JAX traces in its place."""
    if isinstance(x, Tensor):
        return jax.ShapeDtypeStruct(x.shape, _canonical(x))
    return x


def _entering(x: Any, name: str, aval: Any) -> Any:
    """An argument: floats as tensors, of the dtype JAX computes in; all else as it is."""
    if isinstance(x, jax.core.Tracer):
        raise GraphError(
            f"from_jax: {name} is inside an argument of a class of its own, which to_jax does not look into; let the "
            "function see it without being given it, or give its arrays in a dict"
        )
    if isinstance(x, Tensor):
        if x.dtype.kind != "f":
            try:
                return np.asarray(x.numpy(), aval.dtype)
            except GraphError as error:
                if current.tracer is None:
                    raise
                raise GraphError(f"from_jax: {name}, of {x.dtype}, is read: {FOLLOWS_VALUES}") from error
        if x.op is None and x.name is None:
            x.name = name
        return x if x.dtype == aval.dtype else x.astype(aval.dtype)
    if isinstance(x, complex) or (hasattr(x, "dtype") and jax.numpy.issubdtype(x.dtype, np.complexfloating)):
        raise ArgumentError(
            f"from_jax: {name} is complex, which no tensor here can be; give its real and imaginary part"
        )
    if _kind(x) != "f":
        return x
    return Tensor(as_supported(np.asarray(x).astype(aval.dtype), name), name=name)


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
