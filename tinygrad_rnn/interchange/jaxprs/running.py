"""JAX's equations one by one: on our tensors where a float of the arguments is behind them, else computed by JAX.

What holds no gradient (integers, keys of random numbers, masks of zeros) stays JAX's own and enters our graph as a
constant where a tensor meets it. Broadcasts are kept back until an operation needs them: ours broadcast by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from ...errors import DataError, GraphError, TinygradError, UnsupportedError
from ...scopes import placed
from ...source_line import Foreign
from ...tensors import Tensor, as_tensor, serials
from ...thread_state import current
from ..program import FOLLOWS_VALUES, place_at
from .conversion import Spread, raw
from .operators import CALLS, ELEMENTWISE, TABLE
from .program_places import line_of, path_of


class Run:
    """One call of an imported function."""

    def __init__(self, name: str, own: Callable[[Any], Any] = lambda const: const) -> None:
        """``own`` makes a tensor of a constant that is the user's parameter."""
        self.name, self.own = name, own
        self.place: Foreign | None = None

    def jaxpr(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """The results of a jaxpr, open or closed, for these arguments."""
        consts = list(getattr(jaxpr, "consts", ())) or list(consts)
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(self.own, consts), strict=True))
        values.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return self.own(atom.val) if hasattr(atom, "val") else values[atom]

        for eqn in jaxpr.eqns:
            made = self.equation(eqn, [read(atom) for atom in eqn.invars])
            values.update(zip(eqn.outvars, made, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, eqn: Any, inputs: list[Any]) -> list[Any]:
        """The results of one equation."""
        name = eqn.primitive.name
        outer, first = self.place, next(serials)
        self.place = line_of(eqn) or outer
        try:
            with self._scope(eqn):
                if name in CALLS:
                    return CALLS[name](self, eqn, inputs)
                if not any(isinstance(x, (Tensor, Spread)) for x in inputs):
                    made = eqn.primitive.bind(*map(raw, inputs), **eqn.params)
                    return list(made) if eqn.primitive.multiple_results else [made]
                function = TABLE.get(name)
                if function is None:
                    return self._without_gradient(eqn, inputs)
                if name in ELEMENTWISE:
                    given = _meeting(inputs, tuple(eqn.outvars[0].aval.shape))
                else:
                    given = [x.wide() if isinstance(x, Spread) else x for x in inputs]
                made = function(eqn, *given, **eqn.params)
                made = list(made) if eqn.primitive.multiple_results or isinstance(made, (list, tuple)) else [made]
                return [self._placed(x, first, var) for x, var in zip(made, eqn.outvars, strict=True)]
        except UnsupportedError:
            raise
        except TinygradError as error:
            reads = current.tracer is not None and isinstance(error, GraphError)
            said = FOLLOWS_VALUES if reads else getattr(error, "detail", error)
            raise DataError(f"{self.name}, {name} at {self.place}: {said}") from None
        finally:
            self.place = outer

    def _without_gradient(self, eqn: Any, inputs: Sequence[Any]) -> list[Any]:
        """An equation on integers or booleans that follow from floats: computed by JAX, the result a constant."""
        if any(x.dtype.kind == "f" for x in inputs if isinstance(x, (Tensor, Spread))):
            raise UnsupportedError(f"from_jax: {eqn.primitive.name} (at {self.place}) has no counterpart here")
        made = eqn.primitive.bind(*(raw(x) for x in inputs), **eqn.params)
        return list(made) if eqn.primitive.multiple_results else [made]

    def _placed(self, made: Any, first: int, var: Any) -> Any:
        """The user's line on all that was made; and JAX's dtype."""
        result = made.narrow if isinstance(made, Spread) else made
        if not isinstance(result, Tensor):
            return made
        wanted = var.aval.dtype
        if result.dtype != wanted and not isinstance(made, Spread):
            made = result = result.astype(wanted)
        place_at(self.place, [result], first)
        return made

    @contextmanager
    def _scope(self, eqn: Any) -> Iterator[None]:
        names, step = path_of(eqn)
        if not names and step is None:
            yield
            return
        outer = current.scope
        with placed(outer._replace(path=(*outer.path, *names), step=outer.step if step is None else step)):
            yield

    def tensor(self, x: Any) -> Tensor:
        """A value as a tensor of ours."""
        if isinstance(x, Spread):
            return x.wide()
        return x if isinstance(x, Tensor) else as_tensor(np.asarray(raw(x)))


def _meeting(inputs: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """The operands of an elementwise operation, as narrow as they may be for the result to have its shape."""
    given = [_narrowed(x) for x in inputs]
    if any(not isinstance(x, Spread) and getattr(x, "shape", ()) == shape for x in given) or not shape:
        return [x.narrow if isinstance(x, Spread) else x for x in given]
    narrow = [x.narrow if isinstance(x, Spread) else x for x in given]
    if np.broadcast_shapes(*(getattr(x, "shape", ()) for x in narrow)) == shape:
        return narrow
    return [x.wide() if isinstance(x, Spread) else x for x in inputs]


def _narrowed(x: Any) -> Any:
    """An array of one value as that number, of our kind of weak dtype; else the value itself."""
    if isinstance(x, (Tensor, Spread)):
        return x
    array = np.asarray(x)
    if (
        array.dtype.kind not in "fiub"
        or not array.size
        or not np.array_equal(array, np.broadcast_to(array.flat[0], array.shape))
    ):
        return array
    return array.flat[0].item()


def unsupported(jaxpr: Any) -> list[str]:
    """Every primitive that floats of the arguments would meet and that has no counterpart here, each with its line."""
    found: dict[str, None] = {}

    def visit(jaxpr: Any, live: set[Any], outer: Foreign | None) -> None:
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        for eqn in jaxpr.eqns:
            place = line_of(eqn) or outer
            name = eqn.primitive.name
            meets = any(atom in live for atom in eqn.invars if not hasattr(atom, "val"))
            if name in CALLS:
                for inner in _inner(eqn):
                    visit(inner, set(filter(_floating, inner.invars)) if meets else set(), place)
            elif meets and name not in TABLE and any(map(_floating, eqn.outvars)):
                found[f"{name} (at {place})"] = None
            if meets:
                live.update(filter(_floating, eqn.outvars))
                for var in eqn.outvars:
                    dtype = str(getattr(var.aval, "dtype", ""))
                    if dtype in ("float16", "bfloat16", "complex64", "complex128"):
                        found[f"{name} in {dtype} (at {place})"] = None

    outermost = getattr(jaxpr, "jaxpr", jaxpr)
    visit(jaxpr, set(filter(_floating, [*outermost.invars, *outermost.constvars])), None)
    return list(found)


def _floating(var: Any) -> bool:
    dtype = getattr(var.aval, "dtype", None)
    return dtype is not None and jax.numpy.issubdtype(dtype, jax.numpy.floating)


def _inner(eqn: Any) -> Iterator[Any]:
    """The jaxprs within an equation."""
    for value in eqn.params.values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            part = getattr(part, "jaxpr", part)
            if hasattr(part, "eqns"):
                yield part
