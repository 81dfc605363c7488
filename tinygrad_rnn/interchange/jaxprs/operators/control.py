"""Equations that hold jaxprs: calls are gone into, loops unrolled on real values, branches taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from ....errors import DataError
from ....tensors import Tensor
from ....thread_state import current
from ...program import a_round
from ..conversion import Spread, raw
from .table import calls

if TYPE_CHECKING:
    from ..running import Run

#: rounds of a loop that are unrolled at most
MOST_ROUNDS = 1_000_000


@calls("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_lin", "core_closed_call")
def _called(run: Run, eqn: Any, inputs: list[Any]) -> list[Any]:
    inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    if eqn.params.get("name") == "relu" and len(inputs) == 1 and isinstance(inputs[0], Tensor):
        return [inputs[0].relu()]
    return run.jaxpr(inner, (), inputs)


@calls("cond")
def _cond(run: Run, eqn: Any, inputs: list[Any]) -> list[Any]:
    which, *operands = inputs
    branches = eqn.params["branches"]
    at = int(np.asarray(raw(which)))
    return run.jaxpr(branches[min(max(at, 0), len(branches) - 1)], (), operands)


@calls("while")
def _while(run: Run, eqn: Any, inputs: list[Any]) -> list[Any]:
    p = eqn.params
    first, second = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    of_condition, of_body, carry = inputs[:first], inputs[first:second], inputs[second:]
    for t in range(MOST_ROUNDS):
        (going,) = run.jaxpr(p["cond_jaxpr"], (), [*of_condition, *carry])
        if not bool(np.asarray(raw(going))):
            return carry
        with a_round(t):
            carry = run.jaxpr(p["body_jaxpr"], (), [*of_body, *carry])
            _labelled(carry)
    raise DataError(f"a while loop (at {run.place}) has not ended after {MOST_ROUNDS} rounds")


@calls("scan")
def _scan(run: Run, eqn: Any, inputs: list[Any]) -> list[Any]:
    p = eqn.params
    if "ft_in" in p:
        consts_tree, carry_tree, _ = p["ft_in"].unpack()
        of_consts, of_carry = len(consts_tree), len(carry_tree)
    else:
        of_consts, of_carry = p["num_consts"], p["num_carry"]
    consts, carry, xs = inputs[:of_consts], inputs[of_consts : of_consts + of_carry], inputs[of_consts + of_carry :]
    inner = getattr(p["jaxpr"], "jaxpr", p["jaxpr"])
    carry = [run.tensor(x) if _floats(var) else x for x, var in zip(carry, inner.invars[of_consts:], strict=False)]
    _labelled(carry)
    xs = [x.wide() if isinstance(x, Spread) else x for x in xs]
    steps = range(p["length"])
    counts = current.scope.step is None  # a loop within a step has no time of its own
    data = counts and not _scans_weights(inner, of_consts, of_carry, xs)
    collected: list[list[Any]] = []
    for t in reversed(steps) if p["reverse"] else steps:
        with a_round(t):
            now = [x[t] for x in xs]
            for x in now:
                if data and isinstance(x, Tensor) and x.dtype.kind == "f":
                    x.role = "x"
            made = run.jaxpr(p["jaxpr"], (), [*consts, *carry, *now])
            carry = made[:of_carry]
            _labelled(carry)
            collected.append(made[of_carry:])
    if p["reverse"]:
        collected.reverse()
    outputs: list[Any] = []
    for k, var in enumerate(eqn.outvars[of_carry:]):
        parts = [made[k] for made in collected]
        if any(isinstance(x, (Tensor, Spread)) for x in parts):
            outputs.append(T.stack([run.tensor(x) for x in parts]))
        else:
            shape = tuple(var.aval.shape)
            outputs.append(np.stack([np.asarray(x) for x in parts]) if parts else np.zeros(shape, var.aval.dtype))
    return [*carry, *outputs]


def _scans_weights(body: Any, of_consts: int, of_carry: int, xs: list[Any]) -> bool:
    """Whether a scan goes over layers, not over time: it multiplies its carry by matrices that are given stacked."""
    first = of_consts + of_carry
    carried = {id(var) for var in body.invars[of_consts:first]}
    given = zip(body.invars[first:], xs, strict=True)
    weights = {id(var) for var, x in given if isinstance(x, Tensor) and x.op is None and x.ndim > 2}
    for eqn in body.eqns:
        of = {id(var) for var in eqn.invars}
        if eqn.primitive.name == "dot_general" and of & carried and of & weights:
            _, (batch, _) = eqn.params["dimension_numbers"]
            if not batch:
                return True
        if of & carried:
            carried |= {id(var) for var in eqn.outvars}
        elif of <= weights:  # transposed, of another dtype
            weights |= {id(var) for var in eqn.outvars}
    return False


def _floats(var: Any) -> bool:
    return getattr(var.aval.dtype, "kind", "") == "f"


def _labelled(carry: list[Any]) -> None:
    """Label the values that a loop carries along as its state."""
    for x in carry:
        if isinstance(x, Tensor) and x.dtype.kind == "f" and x.ndim and x.role is None:
            x.role = "h"
