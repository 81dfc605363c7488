"""Wrong rules: functions that return the contribution of a use, or the gradient of a leaf, with one mistake in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Node
from ..tensors import Array
from .edited_walks import ByElement, Record, Rule

Slope = Callable[[Array, Array], Array]  #: of a result and the value before it
#: rules whose replaced values are kept, at most
KEPT = 512
Late = Array | Callable[[], Array]  #: a value, perhaps made only when it is needed


def made(value: Late) -> Array:
    """The array that ``value`` is, or that it computes when called."""
    return value() if callable(value) else value


#: derivatives that are taken for that of a nonlinearity, also as formulas
_SLOPES: dict[str, tuple[Slope, str]] = {
    "σ' (y(1 − y))": (lambda y, x: y * (1 - y), r"y \odot (1 - y)"),
    "tanh' (1 − y²)": (lambda y, x: 1 - y * y, r"(1 - y^2)"),
    "1: it is forgotten": (lambda y, x: np.ones_like(y), r"1"),
    "1 − y": (lambda y, x: 1 - y, r"(1 - y)"),
    "1 + y²": (lambda y, x: 1 + y * y, r"(1 + y^2)"),
    "1 − 2y": (lambda y, x: 1 - 2 * y, r"(1 - 2 y)"),
    "y(1 + y)": (lambda y, x: y * (1 + y), r"y \odot (1 + y)"),
    "−y²": (lambda y, x: -y * y, r"-y^2"),
    "1 − y³": (lambda y, x: 1 - y**3, r"(1 - y^3)"),
    "2 − y²": (lambda y, x: 2 - y * y, r"(2 - y^2)"),
    "y(2 − y)": (lambda y, x: y * (2 - y), r"y \odot (2 - y)"),
    "(1 − y)²": (lambda y, x: (1 - y) ** 2, r"(1 - y)^2"),
    "y": (lambda y, x: y, r"y"),
    "y²": (lambda y, x: y * y, r"y^2"),
    "1 − x² of the value before it": (lambda y, x: 1 - x * x, r"(1 - x^2)"),
    "x(1 − x) of the value before it": (lambda y, x: x * (1 - x), r"x \odot (1 - x)"),
    "1 − tanh x, without the square": (lambda y, x: 1 - np.tanh(x), r"(1 - \tanh x)"),
    "the function itself, of the value before it": (lambda y, x: x, r"x"),
    "[x > 0]": (lambda y, x: (x > 0).astype(float), r"[x > 0]"),
    "[x < 0]": (lambda y, x: (x < 0).astype(float), r"[x < 0]"),
    "tanh'(y), of the result instead of the value before it": (lambda y, x: 1 - np.tanh(y) ** 2, r"(1 - \tanh^2 y)"),
    "σ'(y), of the result instead of the value before it": (
        lambda y, x: 1 / (2 + np.exp(y) + np.exp(-y)),
        r"\sigma(y) \odot (1 - \sigma(y))",
    ),
    "tanh' where σ' belongs, of the value before it": (lambda y, x: 1 - np.tanh(x) ** 2, r"(1 - \tanh^2 x)"),
    "σ' where another belongs, of the value before it": (
        lambda y, x: 1 / (2 + np.exp(x) + np.exp(-x)),
        r"\sigma(x) \odot (1 - \sigma(x))",
    ),
}
SLOPES = {words: slope for words, (slope, _) in _SLOPES.items()}
SLOPES_AS_LATEX = {words: text for words, (_, text) in _SLOPES.items()}

#: derivatives that are products of the result with itself: with another value in the place of one of the two
PRODUCTS: dict[str, list[Slope]] = {
    "σ' (y(1 − y))": [lambda y, z: z * (1 - y), lambda y, z: y * (1 - z)],
    "tanh' (1 − y²)": [lambda y, z: 1 - y * z],
    "y²": [lambda y, z: y * z],
}


@dataclass(frozen=True, eq=False)
class Valued(ByElement):
    """The true rule, with some saved values replaced by others, and those ``remade`` that are computed of them."""

    changed: Mapping[int, Late]
    remade: Sequence[int] = ()  #: each after those that it is made of

    def now(self, record: Record) -> dict[int, Array]:
        """The replaced values as arrays, by node; kept for a while, as several uses in a row need them."""
        known = record.replaced.get(self)
        if known is None:
            known = {index: made(value) for index, value in self.changed.items()}
            for index in self.remade:
                known[index] = record.forward(record.nodes[index], known)
            if len(record.replaced) >= KEPT:
                record.replaced.clear()
            record.replaced[self] = known
        return known

    def factor(self, record: Record, node: Node, slot: int) -> Array:
        """The number by which each element of the gradient is multiplied, for elementwise operations."""
        return record.raw(node, slot, np.ones(node.shape), self.now(record))

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return record.pull(node, slot, g, self.now(record))


@dataclass(frozen=True)
class Sloped(ByElement):
    """The derivative of a nonlinearity replaced by one of `SLOPES`."""

    slope: str

    def factor(self, record: Record, node: Node, slot: int) -> Array:
        """The wrong derivative."""
        return SLOPES[self.slope](record.values[node.index], record.target(node, slot))


@dataclass(frozen=True, eq=False)
class OneReplaced(ByElement):
    """A derivative such as y(1 − y), with another value in one of the two places of y."""

    product: Slope
    value: Late

    def factor(self, record: Record, node: Node, slot: int) -> Array:
        """The wrong derivative."""
        return self.product(record.values[node.index], made(self.value))


@dataclass(frozen=True, eq=False)
class Times(ByElement):
    """The true contribution, multiplied by another value."""

    value: Late

    def factor(self, record: Record, node: Node, slot: int) -> Array:
        """The number by which each element of the gradient is multiplied, for elementwise operations."""
        return record.slope(node, slot) * made(self.value)

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return np.asarray(record.raw(node, slot, g) * made(self.value))


def true_slope(record: Record, node: Node) -> str | None:
    """The name, in `SLOPES`, of the derivative that this nonlinearity really has; None if it is not among them."""
    y, x = record.values[node.index], record.target(node, 0)
    right = record.pull(node, 0, np.ones(node.shape))
    return next((words for words, slope in SLOPES.items() if np.allclose(slope(y, x), right, rtol=1e-12)), None)


@dataclass(frozen=True, eq=False)
class AsIf:
    """The contribution that another use would send for the same gradient."""

    other: Node
    slot: int

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution to operand ``slot`` of ``node``, given the node's gradient ``g``."""
        return record.pull(self.other, self.slot, g)


@dataclass(frozen=True, eq=False)
class Instead:
    """The true rule, applied to ``given`` instead of the node's gradient."""

    given: Late

    def __call__(self, record: Record, node: Node, slot: int, g: Array) -> Array:
        """The contribution to operand ``slot`` of ``node``, whatever the node's gradient ``g`` is."""
        return record.pull(node, slot, made(self.given))


def by_itself(index: int) -> Rule:
    """The true rule, with the node's gradient in the place of the saved value ``index``."""
    return lambda record, node, slot, g: record.pull(node, slot, g, {index: g})


def logistic_slope(x: Array) -> Array:
    """The derivative of the sigmoid at ``x``."""
    return np.asarray(1 / (2 + np.exp(x) + np.exp(-x)))


def row(which: int) -> Rule:
    """One row of the contribution, where the sum over all broadcast rows is right."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        raw, target = record.raw(node, slot, g), np.shape(record.target(node, slot))
        while raw.ndim > len(target):
            raw = raw[which]
        keep = tuple(slice(None) if n == m else [which] for n, m in zip(raw.shape, target, strict=True))
        return np.asarray(raw[keep])

    return rule


def of_one_row(which: int) -> Rule:
    """The true rule, applied to the gradient with all rows but one set to 0."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        kept = np.zeros_like(g)
        if g.ndim:
            kept[which] = g[which]
        return record.pull(node, slot, kept if g.ndim else g)

    return rule


def alike_along(change: Callable[..., Array], axis: int) -> Rule:
    """The mean, or sum, of the contribution over an axis, given to each place along it."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        raw = record.raw(node, slot, g)
        return np.broadcast_to(change(raw, axis, keepdims=True), raw.shape)

    return rule


def exchanged(one: int, two: int) -> Rule:
    """The contribution with two axes exchanged, before it is summed to the operand's shape."""
    return lambda record, node, slot, g: np.swapaxes(record.raw(node, slot, g), one, two)


def put_back(one: int, two: int) -> Rule:
    """The true rule, applied to the gradient with two axes exchanged, read as if it had its shape."""
    return lambda record, node, slot, g: record.pull(node, slot, np.swapaxes(g, one, two).reshape(g.shape))


def rearranged(places: Array) -> Rule:
    """The true contribution, with its elements taken from these flat places."""
    return lambda record, node, slot, g: np.take(record.pull(node, slot, g), places)


def reordered(order: Array, axis: int) -> Rule:
    """The true rule, applied to the gradient in another order along an axis."""
    return lambda record, node, slot, g: record.pull(node, slot, np.take(g, order, axis))


def so_far(axis: int, start: int) -> Rule:
    """The true rule, applied to the gradient added up along an axis, from its first (1) or last (-1) place on."""

    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        return record.pull(node, slot, np.flip(np.flip(g, axis).cumsum(axis), axis) if start < 0 else g.cumsum(axis))

    return rule


def one_number(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The sum over all elements, given to every element."""
    return np.full(np.shape(record.target(node, slot)), record.raw(node, slot, g).sum())


def transposed(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The true contribution, transposed."""
    sent = record.pull(node, slot, g)
    turned = blocks_transposed(sent)
    return sent if turned is None or turned.shape != sent.shape else turned


def single(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The true contribution of the gradient rounded to float32."""
    return record.pull(node, slot, g.astype(np.float32).astype(np.float64))


def passed_on(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The node's gradient, unchanged."""
    return g


def always(sent: Array) -> Rule:
    """The array ``sent``, whatever the node's gradient is."""
    return lambda record, node, slot, g: sent


def unmasked(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The whole gradient to the first choice of a `where`, and 0 to the second."""
    return g if slot == 1 else 0 * g


def looks_up(node: Node) -> bool:
    """Whether the node takes rows by an array of their numbers, not by slices."""
    if node.op is None or node.op.name != "getitem":
        return node.op is not None and node.op.name == "take"
    return bool(arrays_in(node))


def arrays_in(node: Node) -> list[int]:
    """The positions of integer arrays in an index: both in ``logp[np.arange(n), target]``; masks do not count."""
    index = node.attrs.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    return [k for k, x in enumerate(parts) if isinstance(x, (np.ndarray, list)) and np.asarray(x).dtype != bool]


def axis_of_rows(node: Node) -> int:
    """The axis that the row numbers of an index refer to: that of its last array, else the first axis."""
    return max(arrays_in(node), default=0)


def rows_of(record: Record, node: Node) -> Array:
    """The row numbers that were looked up; of an index with several arrays, those of the last."""
    at = selected(record, node)
    return np.asarray(at[axis_of_rows(node)] if isinstance(at, tuple) else at)


def selected(record: Record, node: Node) -> Any:
    """The index, as NumPy takes it, of the elements that the node takes."""
    return record.target(node, 1) if node.op is not None and node.op.name == "take" else node.attrs["index"]


def cut(start: int, size: int, axis: int) -> Rule:
    """``size`` rows or columns of the gradient, from ``start`` on."""
    return lambda record, node, slot, g: np.take(g, range(start, start + size), axis)


def every_tie(record: Record, node: Node, slot: int, g: Array) -> Array:
    """The gradient of a maximum, given in full to each of several equal largest elements."""
    x, axis = record.target(node, slot), node.attrs["axis"]
    axes = axis if isinstance(axis, tuple) or axis is None else (axis,)
    keep = node.attrs.get("keepdims", False)
    wide = g if keep or axes is None else np.expand_dims(g, axes)
    return np.asarray((x == x.max(axis=axes, keepdims=True)) * wide)


def blocks_transposed(w: Array) -> Array | None:
    """A square matrix transposed, or each square block of stacked gates; None if ``w`` is neither."""
    if w.ndim != 2 or min(w.shape) < 2 or max(w.shape) % min(w.shape):
        return None
    axis = 0 if w.shape[0] >= w.shape[1] else 1
    return np.concatenate([b.T for b in np.split(w, max(w.shape) // min(w.shape), axis)], axis)


def clipped_to(limit: float) -> Rule:
    """The true contribution, clipped to ± ``limit``."""
    return lambda record, node, slot, g: np.clip(record.pull(node, slot, g), -limit, limit)


# Leaves, as they are written down ----------------------------------------------------------------------------


@dataclass(frozen=True)
class TimesLeaf:
    """A leaf's true gradient times a factor, or only a block of it: (axis, start, stop)."""

    leaf: int
    factor: float
    block: tuple[int, int, int] | None = None

    def __call__(self, whole: Mapping[int, Array]) -> Array:
        """The gradient written down for the leaf, given the true ones of all leaves."""
        if self.block is None:
            return np.asarray(self.factor * whole[self.leaf])
        axis, start, stop = self.block
        changed = np.array(whole[self.leaf])
        changed[(slice(None),) * axis + (slice(start, stop),)] *= self.factor
        return changed
