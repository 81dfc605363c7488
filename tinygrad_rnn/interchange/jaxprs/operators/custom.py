"""``custom_jvp`` and ``custom_vjp``: the user's function and rule as one primitive, each as its author wrote it.

Rules of JAX's own functions are derivatives and need no such care: their forward pass is gone into.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend.core import Jaxpr

from ....custom_function import parts_of
from ....errors import GraphError
from ....graph import Graph
from ....tensors import Array, Tensor
from ...foreign_derivative import foreign
from ..conversion import Spread, raw
from ..program_places import of_jax
from .table import calls

if TYPE_CHECKING:
    from ..running import Run


@calls("custom_jvp_call", "custom_vjp_call", "custom_jvp_call_jaxpr", "custom_vjp_call_jaxpr")
def _custom(run: Run, eqn: Any, inputs: list[Any]) -> list[Any]:
    p = eqn.params
    inner = p.get("call_jaxpr", p.get("fun_jaxpr", p.get("jaxpr")))
    source = str(getattr(getattr(inner, "jaxpr", inner).debug_info, "func_src_info", "") or "")
    if of_jax(source):
        if source.startswith("relu ") and isinstance(inputs[0], Tensor):
            return [inputs[0].relu()]
        return run.jaxpr(inner, (), inputs)
    inputs = [x.wide() if isinstance(x, Spread) else x for x in inputs]
    slots = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.dtype.kind == "f"]
    outs = [var.aval for var in eqn.outvars]
    if not slots or any(getattr(aval.dtype, "kind", "") != "f" for aval in outs):
        return run.jaxpr(inner, (), inputs)
    tensors = [inputs[i] for i in slots]
    whole = _primitive(source.split(" at ")[0] or "custom", run, eqn, inner, inputs, slots)(*tensors)
    whole._made_at = run.place or whole._made_at
    return parts_of(whole, [tuple(aval.shape) for aval in outs])


def _primitive(name: str, run: Run, eqn: Any, inner: Any, inputs: Sequence[Any], slots: Sequence[int]) -> Any:
    """A primitive of the tensors among the operands; of several results it gives one vector, one after the other."""
    still = [None if i in slots else raw(x) for i, x in enumerate(inputs)]
    dtypes = [inputs[slot].dtype for slot in slots]
    opened, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())

    def filled(arrays: Sequence[Any], cast: bool = True) -> list[Any]:
        full = list(still)
        for slot, array, dtype in zip(slots, arrays, dtypes, strict=True):
            full[slot] = jax.numpy.asarray(array, dtype) if cast else array  # a jaxpr has one dtype
        return full

    def joined(results: Sequence[Any]) -> Any:
        return results[0] if len(results) == 1 else jax.numpy.concatenate([x.reshape(-1) for x in results])

    variables = list(dict.fromkeys(atom for atom in eqn.invars if not hasattr(atom, "val")))
    # a jaxpr of this equation alone: JAX applies its rule
    said = opened.debug_info.with_unknown_names()
    alone = Jaxpr(constvars=(), invars=variables, outvars=eqn.outvars, eqns=[eqn], debug_info=said)

    def called(*arrays: Any) -> Any:
        known = {id(atom): x for atom, x in zip(eqn.invars, filled(arrays), strict=True)}
        return joined(jax.core.eval_jaxpr(alone, (), *(known[id(atom)] for atom in variables)))

    def forward(*arrays: Array) -> Array:
        if any(np.iscomplexobj(x) for x in arrays):
            return _complex(*arrays)
        return np.asarray(joined(jax.core.eval_jaxpr(opened, consts, *filled(arrays))))

    def opened_at(reals: list[Array]) -> tuple[list[Tensor], Graph]:
        """Leaves with these values, and the function's own graph over them, in which branches have been chosen."""
        leaves = [Tensor(x) for x in reals]
        return leaves, Graph(*map(run.tensor, type(run)(run.name).jaxpr(inner, (), filled(leaves, cast=False))))

    last: list[Any] = []

    def _complex(*arrays: Array) -> Array:
        """The function's own graph, computed by references that take complex numbers.

        Complex steps are taken from one point in many directions, so the graph at the last point is kept.
        """
        reals = [x.real for x in arrays]
        if not last or not all(map(np.array_equal, reals, last[0])):
            last[:] = [x.copy() for x in reals], *opened_at(reals)
        _, leaves, graph = last
        here = {node.serial for node in graph.nodes}
        try:
            moved = {leaf: x for leaf, x in zip(leaves, arrays, strict=True) if leaf.serial in here}
            outs = graph.evaluate(moved, reference=True)
        except GraphError as error:
            raise TypeError(str(error)) from None
        return outs[0] if len(outs) == 1 else np.concatenate([x.reshape(-1) for x in outs])

    def pullback(g: Array, *arrays: Array) -> list[Array | None]:
        made, pull = jax.vjp(called, *(jax.numpy.asarray(x, dtype) for x, dtype in zip(arrays, dtypes, strict=True)))
        return [np.asarray(share) for share in pull(jax.numpy.asarray(g, made.dtype))]

    return foreign(name, forward, pullback, [tuple(var.aval.shape) for var in eqn.outvars])
