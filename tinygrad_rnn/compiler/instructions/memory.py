# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Memory at an address, as arrays: instructions are written in these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import intrinsic

#: name -> the function that does it, not compiled yet
INSTRUCTIONS: dict[str, Callable[..., int]] = {}

OPTIONS: Any = {"error_model": "numpy", "nogil": True}
#: functions that only instructions call; they are cached with those
INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}
inner = numba.njit(fastmath={"contract"}, **INNER)


def instruction(function: Callable[..., int]) -> Callable[..., int]:
    """Enter a function under its name; a trailing ``_`` keeps it apart from Python's own."""
    INSTRUCTIONS[function.__name__.rstrip("_")] = function
    return function


def _pointer(_typing: Any, address: Any, like: Any) -> Any:
    """The address as a pointer of the type of ``like``."""

    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(like))

    return like(address, like), generate


_to_floats: Any = intrinsic(_pointer)


def pointer_to(element: Any) -> Any:
    """An intrinsic that makes an address a pointer to such elements."""
    target = types.CPointer(element)

    @intrinsic
    def pointer(_typing, address):
        def generate(context, builder, _signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(target))

        return target(address), generate

    return pointer


_to_integers, _to_bytes = pointer_to(types.int64), pointer_to(types.uint8)

#: the C library's, addresses being integers: what an instruction needs to work in, for new arrays would need Numba
room: Any = types.ExternalFunction("malloc", types.int64(types.int64))
release: Any = types.ExternalFunction("free", types.void(types.int64))


@inner
def at(address, n, like):
    """The ``n`` floats at an address, as an array."""
    return carray(_to_floats(address, like), n)


@inner
def itemsize(like):
    """Bytes of one float."""
    return at(0, 1, like).itemsize


@inner
def integers(address, n):
    """The ``n`` integers at an address, as an array."""
    return carray(_to_integers(address), n)


@inner
def octets(address, n):
    """The ``n`` bytes or booleans at an address, as an array."""
    return carray(_to_bytes(address), n)
