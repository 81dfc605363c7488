"""A recorded program computed in JAX: loops as ``lax.scan``, gradients by ``jax.vjp``.

What a step computes from its inputs alone, not from the state, is computed for all steps at once before the loop, and
what no state depends on, after it: the big products of a recurrent layer are one product, as one writes it by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .... import primitives as P
from ....ancestors import ancestors
from ....errors import UnsupportedError
from ....graph import Graph, Node, Ref
from ....primitives.record import Primitive
from ..recorder import Body, Own, cut, drawn, gradient, loop, own, part
from ..registry import COMPARISONS, TOGETHER, no_rule, unknown_leaf
from .gate_splits import sliced, split
from .rules import RULES, jax, jnp, lax

Values = dict[int, Any]


@dataclass(frozen=True)
class Setting:
    """The settings of a computation."""

    half: bool = False  #: whether products of matrices take their operands in bfloat16
    key: Any = None  #: where random numbers come from
    bumps: Mapping[int, Any] | None = None  #: what is added to values whose gradient is asked for


def computed(nodes: Sequence[Node], values: Values, setting: Setting) -> None:
    """Add the values of ``nodes`` to those of the leaves among them."""
    asked = [k for k, node in enumerate(nodes) if node.op is gradient and node.index not in values]
    if not asked:
        slices = sliced(node for node in nodes if node.index not in values)
        for node in nodes:
            if node.op is P.getitem and node.index not in values:
                others = slices.pop(node.sources[0], [])
                parts = split(others, values[node.sources[0]])
                values.update({n.index: _bumped(parts[n.index], n, setting) for n in others if n.index in parts})
            if node.index not in values:
                values[node.index] = _bumped(_value(node, values, setting), node, setting)
        return
    at = asked[-1]
    values.update(_derived(nodes[at], nodes[:at], values, setting))
    computed(nodes[at + 1 :], values, setting)


def _bumped(value: Any, node: Node, setting: Setting) -> Any:
    bump = None if setting.bumps is None else setting.bumps.get(node.index)
    return value if bump is None else value + bump


def _derived(node: Node, before: Sequence[Node], values: Values, setting: Setting) -> Values:
    """The gradients that ``node`` asks for, and with them the values of all that is before it."""
    count = node.attrs["values"]
    places = [x.index for x in node.operands if isinstance(x, Ref)]
    outputs, seeds, wanted = places[:count], places[count : 2 * count], places[2 * count :]
    leaves = {i: values[i] for i in wanted if i in values}
    at = {n.index: n for n in before}
    bumps = {i: jnp.zeros(at[i].shape, dtype_of(at[i])) for i in wanted if i not in leaves}

    def forward(leaves: Values, bumps: Values) -> tuple[list[Any], Values]:
        inner = {**values, **leaves}
        computed(before, inner, replace(setting, bumps={**(setting.bumps or {}), **bumps}))
        return [inner[i] for i in outputs], {i: inner[i] for i in at if i not in values}

    _, pull, found = jax.vjp(forward, leaves, bumps, has_aux=True)
    everything = {**values, **found}
    by_leaf, by_bump = pull([everything[i] for i in seeds])
    gradients = {**by_leaf, **by_bump}
    return {**found, node.index: tuple(gradients[i] for i in wanted)}


def dtype_of(node: Node) -> Any:
    """The dtype of a node's value in JAX, which has 64 bits only where it is told to."""
    return jax.dtypes.canonicalize_dtype(node.dtype)


def _value(node: Node, values: Values, setting: Setting) -> Any:
    op = node.op
    if op is None:
        if node.value is None:
            raise unknown_leaf(node.label, "JAX")
        return jnp.asarray(node.value, dtype_of(node))
    operands: list[Any] = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
    if op is part:
        return operands[0][node.attrs["index"]]
    if op is loop:
        return _scan(node.attrs["body"], operands, setting)
    if op is drawn:
        return _mask(node, setting)
    if op is cut:
        return lax.stop_gradient(operands[0])
    if op is own:
        return _with_its_own(node.attrs["backward"], operands, setting)
    rule = RULES.get(op)
    if rule is None:
        raise no_rule(op, node.site, "JAX")
    operands = _together(op, node, operands)
    made = rule(*operands, **node.attrs) if not setting.half else _in_half(op, rule, operands, node)
    return made if made.dtype == dtype_of(node) else made.astype(dtype_of(node))


def _with_its_own(backward: Own, operands: Sequence[Any], setting: Setting) -> Any:
    """The first operand, with its author's backward pass for the tensors behind it, and none for all else."""
    inner = replace(setting, bumps=None)

    value = jax.custom_vjp(lambda operands: operands[0])

    def pull(operands: Sequence[Any], g: Any) -> tuple[list[Any]]:
        found = run(backward.graph, dict(zip(backward.leaves, (g, *operands))), inner)
        answers = {k + 1: x for k, x in zip(backward.asked, found)}
        return ([answers.get(k, _zero(x)) for k, x in enumerate(operands)],)

    value.defvjp(lambda operands: (operands[0], operands), pull)
    return value(list(operands))


def _zero(x: Any) -> Any:
    """The gradient that JAX wants of what has none."""
    return jnp.zeros_like(x) if jnp.issubdtype(x.dtype, jnp.floating) else np.zeros(x.shape, jax.dtypes.float0)


def _in_half(op: Primitive, rule: Any, operands: list[Any], node: Node) -> Any:
    """A product of matrices with operands and result in bfloat16; all else, the bias too, as it is."""
    if op.kind != "contraction" or node.dtype.kind != "f":
        return rule(*operands, **node.attrs)
    matrices, bias = (operands[:2], operands[2:]) if op is P.linear else (operands, [])
    made = rule(*(x.astype(jnp.bfloat16) for x in matrices), **node.attrs).astype(dtype_of(node))
    return made + bias[0] if bias else made


def _together(op: Primitive, node: Node, operands: list[Any]) -> list[Any]:
    """Operands in the dtype that NumPy would bring them to."""
    if op in TOGETHER:
        dtype = dtype_of(node)
        return [x.astype(dtype) if hasattr(x, "dtype") and x.dtype != dtype else x for x in operands]
    if op in COMPARISONS or op is P.where:
        kinds = {str(x.dtype) for x in operands if hasattr(x, "dtype") and x.dtype != bool}
        if len(kinds) > 1:
            dtype = jax.dtypes.canonicalize_dtype(np.result_type(*kinds))
            return [x.astype(dtype) if hasattr(x, "dtype") and x.dtype != bool else x for x in operands]
    return operands


def _mask(node: Node, setting: Setting) -> Any:
    if setting.key is None:
        raise UnsupportedError(
            f"to_jax: a dropout mask (at {node.site}) is drawn at random; call eval() on the model, or export a whole "
            "training step, whose state has a key"
        )
    keep = 1 - node.attrs["p"]
    chosen = jax.random.bernoulli(jax.random.fold_in(setting.key, node.index), keep, node.shape)
    return chosen.astype(dtype_of(node)) / keep


def run(graph: Graph, leaves: Values, setting: Setting) -> list[Any]:
    """The outputs of a graph, given the values of its leaves."""
    values = dict(leaves)
    computed(graph.nodes, values, setting)
    return [values[i] for i in graph.outputs]


# Loops -------------------------------------------------------------------------------------------------------


def _scan(body: Body, operands: Sequence[Any], setting: Setting) -> tuple[Any, ...]:
    """The last carries, then what every step puts out."""
    nodes, outputs = body.graph.nodes, body.graph.outputs
    count, setting = len(body.carries), replace(setting, bumps=None)  # positions in the body are its own
    start = tuple(operands[:count])
    rows = dict(zip(body.rows, operands[count : count + len(body.rows)]))
    fixed = dict(zip(body.fixed, operands[count + len(body.rows) :]))
    early, inner, late = _divided(body)
    to_inner = _between([*early, *body.rows], [nodes[i] for i in inner], outputs[:count])
    ended = list(outputs[count:])
    to_late = _between([*early, *body.rows, *inner, *body.carries], [nodes[i] for i in late], ended)
    known = {*early, *body.rows}

    def before(rows: Values) -> Values:
        values = {**fixed, **rows}
        computed([nodes[i] for i in early], values, setting)
        return {i: values[i] for i in early}

    ahead: Values = {**rows, **(jax.vmap(before)(rows) if early else {})}

    def step(carry: tuple[Any, ...], row: Values) -> tuple[tuple[Any, ...], Values]:
        values = {**fixed, **row, **dict(zip(body.carries, carry))}
        computed([nodes[i] for i in inner], values, setting)
        return tuple(values[i] for i in outputs[:count]), {i: values[i] for i in to_late if i not in known}

    last, shown = lax.scan(step, start, {i: ahead[i] for i in to_inner}, length=body.length, reverse=body.reverse)
    after = {i: ahead[i] for i in to_late if i in known} | shown
    if late:

        def rest(row: Values) -> Values:
            values = {**fixed, **row}
            computed([nodes[i] for i in late], values, setting)
            return {i: values[i] for i in {*ended} & {*late}}

        after |= jax.vmap(rest)(after)
    made = []
    for i in ended:
        if i in fixed:  # the same at every step
            made.append(jnp.broadcast_to(fixed[i], (body.length, *fixed[i].shape)))
        else:
            made.append(after[i])
    return (*last, *made)


def _divided(body: Body) -> tuple[list[int], list[int], list[int]]:
    """Positions of the nodes that no state has a part in, of those that a state depends on, and of all others."""
    nodes, count = body.graph.nodes, len(body.carries)
    leaves = {*body.carries, *body.rows, *body.fixed}
    moving = {*body.carries}
    for node in nodes:
        if node.index not in leaves and any(i in moving for i in node.sources):
            moving.add(node.index)
    needed = {*ancestors(nodes, body.graph.outputs[:count])}
    own = [node.index for node in nodes if node.index not in leaves]
    early = [i for i in own if i not in moving]
    return early, [i for i in own if i in moving and i in needed], [i for i in own if i in moving and i not in needed]


def _between(there: Sequence[int], nodes: Sequence[Node], outputs: Sequence[int]) -> list[int]:
    """The values in ``there`` that the nodes, or the outputs, use."""
    used = {i for node in nodes for i in node.sources} | {*outputs}
    return [i for i in dict.fromkeys(there) if i in used]
