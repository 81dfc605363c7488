"""One node of a graph: its rule with the numbers in it, its Jacobian, and a numerical check of its derivative."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..check.derivatives import slopes
from ..dead_positions import pulled
from ..graph import Ref
from ..primitives import TABLE, Primitive
from ..primitives.missing_primitives import Absent
from ..rule_answers import fitted
from .recording import Array, Trace

#: A Jacobian with more entries than this is described instead of built.
JACOBIAN_LIMIT = 65_536
#: The check nudges at most this many elements of an operand.
CHECK_LIMIT = 400
#: Saturated is where a nonlinearity's slope is less than this part of the steepest that it has anywhere.
SATURATED = 0.2
#: Where nonlinearities are tried for their slopes: densely around 0, and once far away on either side.
TRIED = np.concatenate([[-1e3], np.linspace(-10, 10, 2001), [1e3]])


@dataclass(frozen=True, slots=True)
class Rule:
    """The contribution to one operand, taken apart: ``contribution = upstream · factor``."""

    slot: int
    target: int
    kind: str  #: "diagonal" (elementwise product), "jacobian" (matrix product) or "none" (too large, or not known here)
    upstream: Array
    factor: Array | None  #: the diagonal, in the result's shape, or the Jacobian (result elements x operand elements)
    contribution: Array
    formula: str = ""  #: as text; written by who has names for the nodes
    latex: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One operand's contribution against a numerical derivative of the operation alone."""

    slot: int
    target: int
    method: str
    compared: int  #: elements compared
    error: float  #: largest difference, relative to the largest element
    passed: bool


def rule(trace: Trace, k: int, index: int) -> Rule:
    """Contribution ``index`` of step ``k``, taken apart."""
    step = trace.steps[k - 1]
    sent = step.contributions[index]
    node = trace.graph.nodes[step.node]
    assert node.op is not None
    kind, factor, known = "none", None, not isinstance(node.op, Absent)
    if node.op.elementwise:
        kind, factor = "diagonal", diagonal(trace, node, sent.slot)
    elif known and step.gradient.size * trace.contribution(k, index).size <= JACOBIAN_LIMIT // 16:
        kind, factor = "jacobian", jacobian(trace, step.node, sent.slot)
    return Rule(sent.slot, sent.target, kind, step.gradient, factor, trace.contribution(k, index))


def vjps(node: tg.Tensor, slot: int, gradients: Array, live: Any, operands: list[Any]) -> Array:
    """The contributions to operand ``slot`` of all gradients along the first axis, for `tinygrad_rnn.walk`.

    At one go for what recurrent cells are made of.
    """
    op, y, attrs = node.op, node._array, node.attrs
    assert op is not None
    shape = (len(gradients), *operands[slot].shape)
    if op.elementwise and shape[1:] == y.shape:
        return np.broadcast_to(pulled(op, slot, gradients, live, y, operands, attrs), shape)
    if op.name == "linear" and slot == 0:
        value = np.asarray(gradients @ operands[1]).reshape(shape)
        if live is None or np.isfinite(value).all():
            return value
    if op.name == "getitem" and all(isinstance(x, slice) or x is Ellipsis for x in attrs["index"]):
        result = np.zeros(shape, gradients.dtype)
        result[(slice(None), *attrs["index"])] = gradients
        return result
    return np.array([fitted(pulled(op, slot, g, live, y, operands, attrs), operands[slot]) for g in gradients])


def jacobian(trace: Trace, node: int, slot: int) -> Array:
    """The matrix of d result / d operand, (result elements, operand elements): a row for every unit vector."""
    result = trace.graph.nodes[node]
    operand = trace.operands(node)[slot]
    size = math.prod(result.shape)
    entries = size * operand.size
    if entries > JACOBIAN_LIMIT:
        raise tg.GraphError(
            f"the Jacobian of #{node} has {entries:,} entries, more than the {JACOBIAN_LIMIT:,} that are shown; "
            "vjp shows its product with the gradient"
        )
    units = np.eye(size, dtype=result.dtype).reshape(size, *result.shape)
    return np.array([trace.pulled(node, slot, unit).ravel() for unit in units]).reshape(size, operand.size)


def diagonal(trace: Trace, node: tg.Node, slot: int) -> Array:
    """The diagonal of an elementwise operation's Jacobian for operand ``slot``, in the result's shape."""
    assert node.op is not None
    ones = np.ones(node.shape, node.dtype)
    with np.errstate(all="ignore"):
        pulled = node.op.pull(slot, ones, node.value, trace.operands(node.index), node.attrs)
    return np.broadcast_to(np.asarray(pulled), node.shape)


def saturated(trace: Trace, node: tg.Node) -> float | None:
    """The part of a nonlinearity's elements with a small slope, from 0 to 1; None unless it `flattens`."""
    if not flattens(node) or node.op is None or not math.prod(node.shape):
        return None
    return float(np.mean(np.abs(diagonal(trace, node, 0)) < SATURATED * (_steepest(node.op) or 0.0)))


def flattens(node: tg.Node) -> bool:
    """Whether it is a nonlinearity that flattens out far from 0 on a side or both, as tanh, sigmoid and relu do."""
    own = TABLE.get(node.op.name) if node.op is not None else None  # of one with a wrong rule, the primitive
    op = own if own is not None and node.op is not None and own.reference is node.op.reference else node.op
    return op is not None and not node.attrs and _steepest(op) is not None


@cache
def _steepest(op: Primitive) -> float | None:
    """The steepest slope of a nonlinearity that flattens out; None of all others."""
    if not op.elementwise or not isinstance(op.vjp, tuple) or len(op.vjp) != 1 or op.vjp[0] is None:
        return None
    with np.errstate(all="ignore"):
        slope = np.abs(op.pull(0, np.ones_like(TRIED), np.asarray(op.reference(TRIED)), [TRIED], {}))
    largest = float(slope.max())
    return largest if np.isfinite(largest) and min(slope[0], slope[-1]) < 1e-3 * largest else None


def check(trace: Trace, k: int, limit: int = CHECK_LIMIT) -> list[Check]:
    """Differentiate the operation of step ``k`` by the complex step and compare what it sent.

    Of an operand with more than ``limit`` elements so many are nudged, evenly spread.

    ``d/dx sum(g * f(x))`` is ``Im sum(g * f(x + ih)) / h`` with h = 1e-30, exact to rounding (Squire and Trapp 1998),
    on the primitive's reference in double precision: independent of the rule it checks. Where that takes no complex
    numbers, by differences.
    """
    step = trace.steps[k - 1]
    node = trace.graph.nodes[step.node]
    if node.op is None:
        raise tg.GraphError(f"#{step.node} is a leaf: no operation made it, so there is no derivative to check")
    reference = node.op.reference
    attrs = {key: np.dtype(np.float64) if key == "dtype" else value for key, value in node.attrs.items()}
    results = []
    for index, sent in enumerate(step.contributions):
        analytic = trace.contribution(k, index).ravel()
        positions = np.unique(np.linspace(0, analytic.size - 1, min(analytic.size, limit)).astype(int))
        operands = [_double(x) for x in trace.operands(node.index)]

        def moved(x: Array, slot: int = sent.slot, operands: list[Any] = operands) -> Array:
            return np.asarray(reference(*operands[:slot], x, *operands[slot + 1 :], **attrs))

        with np.errstate(all="ignore"):
            numerical, method = slopes(moved, operands[sent.slot], step.gradient.astype(np.float64), positions)
        # allowed for rounding: of the result, and of differences in the rule, such as 1 - y^2 where tanh is saturated
        unit = max(np.finfo(node.dtype).eps, np.finfo(analytic.dtype).eps)
        with np.errstate(all="ignore"):
            largest = float(np.max(np.abs(numerical), initial=0.0))
            difference = float(np.max(np.abs(analytic[positions] - numerical), initial=0.0))
            slack = 64 * np.sqrt(max(step.gradient.size, 1)) * unit * largest
            slack += 8 * unit * float(np.abs(step.gradient).max(initial=0))
            slack += 1e-7 * largest if method == "finite-difference" else 0.0
        error = difference / largest if largest else difference
        how = "complex step" if method == "complex-step" else "five-point difference"
        results.append(Check(sent.slot, sent.target, how, len(positions), error, bool(difference <= slack)))
    return results


def _double(x: Any) -> Any:
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def slots(node: tg.Node) -> list[tuple[int, int]]:
    """(slot, node) of the operands that are nodes."""
    return [(slot, x.index) for slot, x in enumerate(node.operands) if isinstance(x, Ref)]
