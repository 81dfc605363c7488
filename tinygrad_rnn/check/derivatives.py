"""Derivatives of a graph found by moving its values, never by a rule.

The complex step: for ``f`` analytic along the real axis ``f'(x) = Im f(x + ih) / h + O(h²)`` without subtraction, so
exact to rounding at ``h = 1e-30`` (W. Squire and G. Trapp 1998, SIAM Review 40(1), 110-112). Any value can be moved,
also one in the middle of the graph, and also for some of its uses only: that is how one time step's share of a
shared weight's gradient is found.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Graph, Ref
from ..tensors import Array
from .tolerances import COMPLEX_STEP, DIFFERENCE_STEP

Use = tuple[int, int]  #: (the node that uses a value, in which operand slot); slot -1: it is an output


def steps_for(x: Array, y: Array | None = None) -> Array:
    """The complex step of each element: 1e-30, more where a value is large and less where it is as small itself.

    Where all that is computed from it, ``y``, is tiny, a step of 1e-30 would vanish from it; then it is 1e-10.
    """
    size = np.where(np.isfinite(x), np.abs(x), 1.0)
    largest = 0.0 if y is None else float(np.max(np.abs(y), initial=0.0))
    step = COMPLEX_STEP * 1e20 if 0 < largest < TINY else COMPLEX_STEP
    return np.where(size == 0, step, np.minimum(step * np.maximum(size, 1.0), 1e-10 * size))


#: a result below this has no room for a complex step of the usual size
TINY = 1e-270
#: where to look, in steps, and with what weight
FIVE_POINTS = ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0))


def slopes(
    function: Callable[[Array], Array], x: Array, upstream: Array, positions: Iterable[int] | None = None
) -> tuple[Array, str]:
    """The derivative of ``sum(upstream * function(x))`` in the elements of ``x``, or those at ``positions``, and how.

    By the complex step; by differences where ``function`` takes no complex values.
    """
    places = range(x.size) if positions is None else positions

    def moved(at: int, step: complex) -> Array:
        there = x.astype(np.result_type(x, np.float64, type(step)))
        there.flat[at] += step
        return function(there)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return np.array(
                [np.sum(upstream * (np.imag(moved(k, 1j * COMPLEX_STEP)) / COMPLEX_STEP)) for k in places]
            ), "complex-step"
    except (TypeError, np.exceptions.ComplexWarning):
        sizes = {k: DIFFERENCE_STEP * max(1.0, abs(float(x.flat[k]))) for k in places}
        found = [
            sum(w * np.sum(upstream * moved(k, n * eps)) for n, w in FIVE_POINTS) / (12 * eps)
            for k, eps in sizes.items()
        ]
        return np.array(found), "finite-difference"


class Forward:
    """``L = Σ upstream · outputs`` as a function of any one value of the graph, all others held.

    Everything is computed in double precision by the primitives' references. ``analytic`` tells whether those take
    complex values; where one does not, only differences are left.
    """

    def __init__(self, graph: Graph, upstream: Sequence[Array], leaves: Mapping[int, Array] | None = None) -> None:
        """``leaves`` moves the point: other values, by position."""
        self.graph = graph
        self.leaves = leaves or {}
        self.upstream = [np.asarray(g, np.float64) for g in upstream]
        self.analytic = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                self._evaluate(np.complex128)
        except (TypeError, ValueError, np.exceptions.ComplexWarning):
            self.analytic = False
        self.values = self._evaluate(np.float64)  # what a logarithm is at -1 only real numbers tell

    def _evaluate(self, dtype: Any) -> list[Array]:
        """All values, the leaves' floats as ``dtype``: complex ones pass even through a cast to float32."""
        values: list[Array] = []
        for node in self.graph.nodes:
            if node.op is None:
                assert node.value is not None
                value = self.leaves.get(node.index, node.value)
                values.append(value.astype(dtype) if node.dtype.kind == "f" else value)
            else:
                operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
                value = np.asarray(node.op.reference(*operands, **node.attrs))
                complex_ones = [i for i, x in enumerate(operands) if np.iscomplexobj(x) and i in node.op.slots]
                if complex_ones and value.dtype.kind == "f":  # such as x.real: its slope is not 0, but out of sight
                    raise TypeError(f"{node.op.name}: the reference drops the imaginary part")
                values.append(value)
        return values

    def uses(self, index: int) -> list[Use]:
        """The uses of a value as (node, slot), in topological order; last, with slot -1, its use as an output."""
        found = [
            (consumer, slot)
            for consumer in dict.fromkeys(self.graph.consumers[index])
            for slot, x in enumerate(self.graph.nodes[consumer].operands)
            if isinstance(x, Ref) and x.index == index
        ]
        return [*found, (index, -1)] if index in self.graph.outputs else found

    def along(self, index: int, uses: Collection[Use] | None = None) -> Callable[[Array], list[Array]]:
        """The outputs as a function of node ``index``'s value; ``uses``: the only ones that see it moved."""
        seen = set(self.uses(index) if uses is None else uses)
        start: list[Any] = [*self.values, None]  # one place more, for the moved value
        path: list[tuple[Any, list[int], dict[str, Any], int]] = []
        moving: set[int] = set()
        for node in self.graph.nodes[index + 1 :]:
            places, touched = [], False
            for slot, x in enumerate(node.operands):
                if not isinstance(x, Ref):
                    places.append(len(start))
                    start.append(x)
                elif x.index == index and (node.index, slot) in seen:
                    places.append(len(self.values))
                    touched = True
                else:
                    places.append(x.index)
                    touched = touched or x.index in moving
            if touched:
                assert node.op is not None
                moving.add(node.index)
                path.append((node.op.reference, places, node.attrs, node.index))
        ends = [len(self.values) if (output, -1) in seen else output for output in self.graph.outputs]

        def outputs(value: Array) -> list[Array]:
            values = list(start)
            values[len(self.values)] = value
            for reference, places, attrs, result in path:
                values[result] = np.asarray(reference(*[values[k] for k in places], **attrs))
            return [np.asarray(values[end]) for end in ends]

        return outputs

    def _total(self, outputs: Sequence[Array]) -> Any:
        return sum(np.sum(g * y) for g, y in zip(self.upstream, outputs, strict=True))

    def seed(self, index: int) -> Array:
        """The upstream gradient that arrives at a value because it is an output itself."""
        seeds = [g for output, g in zip(self.graph.outputs, self.upstream, strict=True) if output == index]
        return np.asarray(sum(seeds, start=np.zeros(self.values[index].shape)))

    # Slopes along one direction --------------------------------------------------------------------------

    def complex_step(self, outputs: Callable[[Array], list[Array]], x: Array, v: Array) -> float:
        """``dL`` when ``x`` moves along ``v``."""
        scale = float(steps_for(x).min(initial=COMPLEX_STEP))
        return float(self._total([np.imag(y) / scale for y in outputs(x + 1j * (scale * v))]))

    def five_point(self, outputs: Callable[[Array], list[Array]], x: Array, v: Array) -> float:
        """The same by differences of ``L``, summed output by output so that what cancels, cancels early."""
        length = float(np.abs(v).max(initial=0.0)) or 1.0
        eps = DIFFERENCE_STEP * max(1.0, float(np.abs(x).max(initial=0.0))) / length
        base = outputs(x)
        total = 0.0
        for k, weight in FIVE_POINTS:
            total += weight * self._total([y - y0 for y, y0 in zip(outputs(x + k * eps * v), base, strict=True)])
        return float(total / (12 * eps))

    # Gradients -------------------------------------------------------------------------------------------

    def slope(self, index: int, v: Array, uses: Collection[Use] | None = None, method: str = "complex-step") -> float:
        """The derivative of ``L`` along direction ``v`` of one value."""
        step = self.complex_step if method == "complex-step" else self.five_point
        return step(self.along(index, uses), self.values[index], v)

    def gradient(self, index: int, uses: Collection[Use] | None = None, method: str = "complex-step") -> Array:
        """``dL / d value`` of one node, element by element."""
        step = self.complex_step if method == "complex-step" else self.five_point
        x, outputs = self.values[index], self.along(index, uses)
        result = np.empty(x.shape)
        for at in np.ndindex(x.shape):
            v = np.zeros(x.shape)
            v[at] = 1.0
            result[at] = step(outputs, x, v)
        return result
