"""The primitives in ONNX: one function each, which adds operators to the graph and names its result.

A rule is called with the `Writer`, the node, the names of its operands, all of the dtype the operator wants, and the
primitive's settings. Runtimes are held to it by the tests: onnxruntime gives the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ....graph import Node
from ....primitives.record import Primitive, normalize_axis
from ...tables import enter_each
from ..registry import registering

if TYPE_CHECKING:
    from .writing import Writer

Rule = Callable[..., str]
RULES: dict[Primitive, Rule] = {}


def onnx_rule(primitive: Primitive | str) -> Callable[[Rule], Rule]:
    """A decorator: what ``primitive``, one of your own, is in ONNX, so that `to_onnx` can export it.

    The function is called as ``rule(writer, node, *operands, **settings)`` with the names of its operands, adds
    operators by ``writer.add("Relu", operand)`` and constants by ``writer.constant(array)``, and returns a name.

    >>> import tinygrad_rnn as tg
    >>> triple = tg.Primitive("triple_", "3x", lambda x: x, lambda x: 3 * x, vjp=(lambda g, _y, _x: 3 * g,))
    >>> @tg.interchange.onnx_rule(triple)
    ... def _(writer, node, x):
    ...     return writer.add("Sum", x, x, x)
    >>> model = tg.interchange.to_onnx(lambda x: triple(x), tg.ones(2))
    >>> [node.op_type for node in model.graph.node]
    ['Sum', 'Identity']
    """
    return registering(RULES, primitive, "onnx_rule")


def _plain(name: str) -> Rule:
    return lambda w, _node, *x: w.add(name, *x)


_ALIKE = "abs add cos div equal erf exp greater less log mul neg pow relu sigmoid sign sin softplus sqrt sub tanh where"
for _name in _ALIKE.split():
    onnx_rule(_name)(_plain(_name.capitalize()))


@onnx_rule("erfc")
def _erfc(w: Writer, node: Node, x: str) -> str:
    """ONNX has no such operator; far above 0 its digits are lost in the difference."""
    return w.add("Sub", w.constant(np.ones((), node.dtype)), w.add("Erf", x))


@onnx_rule("floor_divide")
def _floor_divide(w: Writer, node: Node, a: str, b: str) -> str:
    """The quotient by way of the remainder, as in NumPy: ``floor(a / b)`` may meet one that was rounded up."""
    if node.dtype.kind in "iu":
        return w.add("Div", w.add("Sub", a, w.add("Mod", a, b)), b)
    zero = w.constant(np.zeros((), node.dtype))
    rest = w.add("Mod", a, b, fmod=1)
    other = w.add("Xor", w.add("Less", rest, zero), w.add("Less", b, zero))
    left = w.add("And", w.add("Not", w.add("Equal", rest, zero)), other)
    rest = w.add("Where", left, w.add("Add", rest, b), rest)
    return w.add("Round", w.add("Div", w.add("Sub", a, rest), b))


@onnx_rule("stack")
def _stack(w: Writer, node: Node, *x: str, axis: int) -> str:
    at = axis % len(node.shape)
    return w.add("Concat", *(w.add("Unsqueeze", each, w.integers([at])) for each in x), axis=at)


def _axes(w: Writer, node: Node, axis: Any) -> list[int]:
    return list(normalize_axis(axis, len(w.shape_of(node, 0))))


@onnx_rule("logsumexp")
def _logsumexp(w: Writer, node: Node, x: str, *, axis: Any, keepdims: bool) -> str:
    """Behind the largest, and where that is infinite behind 0."""
    axes = _axes(w, node, axis)
    top = w.reduced("ReduceMax", x, axes, True)
    finite = w.add("Less", w.add("Abs", top), w.constant(np.array(np.inf, node.dtype)))
    top = w.add("Where", finite, top, w.constant(np.zeros((), node.dtype)))
    total = w.reduced("ReduceSum", w.add("Exp", w.add("Sub", x, top)), axes, True)
    return w.reshaped(w.add("Add", w.add("Log", total), top), node.shape)


@onnx_rule("getitem")
def _getitem(w: Writer, node: Node, x: str, *, index: Any) -> str:
    """Slices and numbers by Slice, everything else by the positions in the flattened tensor."""
    shape = w.shape_of(node, 0)
    if any(isinstance(part, np.ndarray) for part in index):
        positions = np.arange(int(np.prod(shape))).reshape(shape)[index]
        return w.add("Gather", w.add("Reshape", x, w.integers([-1])), w.constant(positions), axis=0)
    named = [part for part in index if part is not None and part is not Ellipsis]
    before = [part for part in index if part is not None]
    at = before.index(Ellipsis) if Ellipsis in before else len(before)
    named[at:at] = [slice(None)] * (len(shape) - len(named))
    starts, ends, axes, steps = [], [], [], []
    for axis, (part, n) in enumerate(zip(named, shape, strict=True)):
        if not isinstance(part, slice):
            low = int(part) % n
            part = slice(low, low + 1)
        start, stop, step = part.indices(n)
        if (start, stop, step) != (0, n, 1):
            starts.append(start)
            ends.append(stop if stop >= 0 else -n - 1)
            axes.append(axis)
            steps.append(step)
    if axes:
        x = w.add("Slice", x, w.integers(starts), w.integers(ends), w.integers(axes), w.integers(steps))
    return w.reshaped(x, node.shape)


@onnx_rule("scatter")
def _scatter(w: Writer, node: Node, g: str, *, index: Any, shape: Any) -> str:
    size = int(np.prod(shape))
    positions = np.arange(size).reshape(shape)[index].reshape(-1)
    flat = w.add("Reshape", g, w.integers([positions.size]))
    zeros = w.constant(np.zeros(size, node.dtype))
    return w.reshaped(w.add("ScatterElements", zeros, w.constant(positions), flat, axis=0, reduction="add"), shape)


@onnx_rule("scatter_rows")
def _scatter_rows(w: Writer, node: Node, g: str, indices: str, *, rows: int) -> str:
    zeros = w.constant(np.zeros(node.shape, node.dtype))
    places = w.add("Unsqueeze", w.cast(indices, np.dtype(np.int64)), w.integers([-1]))
    return w.add("ScatterND", zeros, places, g, reduction="add")


@onnx_rule("one_hot")
def _one_hot(w: Writer, node: Node, indices: str, *, num_classes: int, dtype: Any, strict: bool) -> str:
    kind = w.dtype_of(node, 0)
    column = w.add("Unsqueeze", indices, w.integers([-1]))
    return w.cast(w.add("Equal", column, w.constant(np.arange(num_classes, dtype=kind))), np.dtype(dtype))


@onnx_rule("argsort")
def _argsort(w: Writer, node: Node, x: str, *, axis: int) -> str:
    count = w.integers([node.shape[axis]])
    return w.several("TopK", [x, count], 2, axis=axis, largest=0, sorted=1)[1]


@onnx_rule("linear")
def _linear(w: Writer, node: Node, x: str, weight: str, bias: str | None = None) -> str:
    if len(node.shape) == 2:
        return w.add("Gemm", x, weight, *([bias] if bias else []), transB=1)
    y = w.add("MatMul", x, w.add("Transpose", weight, perm=[1, 0]))
    return w.add("Add", y, bias) if bias else y


@onnx_rule("cross_entropy")
def _cross_entropy(w: Writer, node: Node, logits: str, target: str, *, ignore_index: int) -> str:
    kind = w.dtype_of(node, 1)
    keep = w.add("Not", w.add("Equal", target, w.constant(np.array(ignore_index, kind))))
    chosen = w.add("Where", keep, target, w.constant(np.array(0, kind)))
    column = w.add("Unsqueeze", w.cast(chosen, np.dtype(np.int64)), w.integers([-1]))
    scores = w.add("LogSoftmax", logits, axis=-1)
    picked = w.reshaped(w.add("GatherElements", scores, column, axis=len(node.shape)), node.shape)
    return w.add("Where", keep, w.add("Neg", picked), w.constant(np.zeros((), node.dtype)))


enter_each(
    onnx_rule,
    {
        "maximum": _plain("Max"),
        "minimum": _plain("Min"),
        "greater_equal": _plain("GreaterOrEqual"),
        "less_equal": _plain("LessOrEqual"),
        "matmul": _plain("MatMul"),
        "not_equal": lambda w, _, a, b: w.add("Not", w.add("Equal", a, b)),
        "cast": lambda w, _, x, *, dtype: w.cast(x, np.dtype(dtype)),
        "reshape": lambda w, node, x, *, shape: w.reshaped(x, node.shape),
        "permute": lambda w, _, x, *, axes: w.add("Transpose", x, perm=[a % len(axes) for a in axes]) if axes else x,
        "broadcast_to": lambda w, _, x, *, shape: w.add("Expand", x, w.integers(shape)),
        "concat": lambda w, node, *x, axis: w.add("Concat", *x, axis=axis % len(node.shape)),
        "sum": lambda w, node, x, *, axis, keepdims: w.reduced("ReduceSum", x, _axes(w, node, axis), keepdims),
        "max": lambda w, node, x, *, axis, keepdims: w.reduced("ReduceMax", x, _axes(w, node, axis), keepdims),
        "softmax": lambda w, _, x, *, axis: w.add("Softmax", x, axis=axis),
        "log_softmax": lambda w, _, x, *, axis: w.add("LogSoftmax", x, axis=axis),
        "cumsum": lambda w, _, x, *, axis: w.add("CumSum", x, w.constant(np.array(axis, np.int64))),
        "take": lambda w, _, table, indices: w.add("Gather", table, indices, axis=0),
        "argmax": lambda w, _, x, *, axis: w.add("ArgMax", x, axis=axis, keepdims=0),
        "einsum": lambda w, _, *x, subscripts: w.add("Einsum", *x, equation=subscripts),
    },
)
