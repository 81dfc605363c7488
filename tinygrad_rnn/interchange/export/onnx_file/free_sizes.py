"""Sizes that a file leaves free: the number of time steps, the batch.

A recording has the sizes of its arguments everywhere: in shapes, in the ends of slices, in the divisor of a mean. So
the function is recorded at two sizes of each free dimension, in every combination, and the files are laid side by
side. They must be the same nodes; a number in which they differ has to be a sum of products of sizes, such as
``2 * time * batch``, and is computed in the file. Another recording, at other sizes, must then be what was foretold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from itertools import compress
from typing import Any

import numpy as np

from ....errors import ArgumentError, UnsupportedError
from ....optional_packages import framework
from ....tensors import Array

onnx = framework("onnx", "onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

#: sizes to record at, a pair each; large primes, to be told from the sizes a network has
PROBES = ((101, 107), (113, 131), (137, 149), (151, 163))
#: at which of the two sizes each free dimension is
Corner = tuple[int, ...]
#: a number as a sum of products of sizes: the factor of each product, which is a tuple with a 1 for each size in it
Terms = dict[Corner, int]
#: the most numbers in a constant that are computed one by one
FEW = 64


def freed(
    write: Callable[[Mapping[str, int]], Any], axes: Mapping[str, Mapping[int, str]], example: Mapping[str, int]
) -> Any:
    """The model with free sizes. ``write`` gives it for sizes by name; ``example`` are those of the user's arguments.

    Raises `UnsupportedError` where the program is another one at other sizes, or a constant cannot be computed.
    """
    names = list(dict.fromkeys(name for own in axes.values() for name in own.values()))
    if len(names) > len(PROBES):
        raise ArgumentError(f"to_onnx: at most {len(PROBES)} sizes may be free, not {', '.join(names)}")
    corners = list(itertools.product((0, 1), repeat=len(names)))
    written = {c: write({n: PROBES[i][c[i]] for i, n in enumerate(names)}) for c in corners}
    last = {n: example[n] if example[n] > 1 else 3 for n in names}
    return _Merged(names, written, write(last), last, axes).model


def fitted(values: Mapping[Corner, int]) -> Terms | None:
    """Numbers at all corners as a sum of products of sizes with whole factors; None if they are no such sum."""
    work = dict(values)
    for i in range(len(next(iter(work)))):
        low, high = PROBES[i]
        for corner in [c for c in work if not c[i]]:
            other = (*corner[:i], 1, *corner[i + 1 :])
            slope, rest = divmod(work[other] - work[corner], high - low)
            if rest:
                return None
            work[corner], work[other] = work[corner] - slope * low, slope
    return {corner: factor for corner, factor in work.items() if factor}


class _Merged:
    """Files for several sizes as one."""

    def __init__(
        self,
        names: Sequence[str],
        written: Mapping[Corner, Any],
        check: Any,
        sizes: Mapping[str, int],
        axes: Mapping[str, Mapping[int, str]],
    ) -> None:
        self.names, self.corners = names, list(written)
        self._check, self._sizes = check, [sizes[name] for name in names]
        self.model = written[self.corners[0]]
        self._nodes: list[Any] = []
        self._new: dict[str, Any] = {}
        self._known: dict[Any, str] = {}
        graphs = [*(m.graph for m in written.values()), check.graph]
        self._same(graphs)
        for name in names:
            place, axis = next((x, axis) for x, own in axes.items() for axis, n in own.items() if n == name)
            self._known[self._one(name)] = self._node("Shape", place, start=axis, end=axis + 1)
        kept = []
        held = [{t.name: t for t in graph.initializer} for graph in graphs]
        for tensor in self.model.graph.initializer:
            arrays = [numpy_helper.to_array(each[tensor.name]) for each in held]
            if all(a.shape == arrays[0].shape and np.array_equal(a, arrays[0], equal_nan=True) for a in arrays):
                kept.append(tensor)
            else:
                self._computed(tensor.name, arrays)
        nodes = [*self._nodes, *self.model.graph.node]
        del self.model.graph.initializer[:], self.model.graph.node[:]
        self.model.graph.initializer.extend([*kept, *(numpy_helper.from_array(a, n) for n, a in self._new.items())])
        self.model.graph.node.extend(nodes)

    # Laying side by side ---------------------------------------------------------------------------------

    def _same(self, graphs: Sequence[Any]) -> None:
        """Refuse graphs with other nodes; name the sizes in which their values differ."""
        for nodes in itertools.zip_longest(*(graph.node for graph in graphs)):
            self._same_node(nodes)
        for kind in ("input", "output", "value_info"):
            for values in zip(*(getattr(graph, kind) for graph in graphs)):
                for dims in zip(*(value.type.tensor_type.shape.dim for value in values)):
                    terms = self._fit([d.dim_value for d in dims])
                    if terms is None:
                        dims[0].ClearField("dim_value")
                    elif terms.keys() - {self._one("")}:
                        dims[0].dim_param = self._text(terms)

    def _same_node(self, nodes: Sequence[Any]) -> None:
        first = next(node for node in nodes if node is not None)
        outlines = {
            None if n is None else (n.op_type, *n.input, "", *n.output, *(a.name for a in n.attribute)) for n in nodes
        }
        if len(outlines) > 1:
            raise UnsupportedError(
                f"to_onnx: with other sizes of {', '.join(self.names)} the function does something else at "
                f"{first.doc_string or 'its end'}; make it the same, or leave that size fixed"
            )
        for each in zip(*(node.attribute for node in nodes)):
            if each[0].type == onnx.AttributeProto.GRAPH:
                self._same([a.g for a in each])
            elif len({a.SerializeToString(deterministic=True) for a in each}) > 1:
                raise UnsupportedError(
                    f"to_onnx: {each[0].name} of {first.op_type} (at {first.doc_string}) depends on "
                    f"{', '.join(self.names)}, and ONNX wants it fixed; leave that size fixed"
                )

    def _fit(self, values: Sequence[int]) -> Terms | None:
        """Numbers at all corners, and last the one to be foretold."""
        terms = fitted(dict(zip(self.corners, values)))
        if terms is None:
            return None
        products = (factor * math.prod(compress(self._sizes, corner)) for corner, factor in terms.items())
        return terms if sum(products) == values[-1] else None

    def _one(self, name: str) -> Corner:
        return tuple(int(each == name) for each in self.names)

    def _text(self, terms: Terms) -> str:
        products = []
        for corner, factor in sorted(terms.items(), reverse=True):
            factors = list(compress(self.names, corner))
            products.append("*".join([*([str(factor)] if factor != 1 or not factors else []), *factors]))
        return " + ".join(products).replace("+ -", "- ")

    # Computing -------------------------------------------------------------------------------------------

    def _computed(self, name: str, arrays: Sequence[Array]) -> None:
        """Nodes that make a constant of the sizes."""
        first = arrays[0]
        if len({a.ndim for a in arrays}) == 1 and (made := self._numbers(arrays) or self._filled(arrays)):
            self._node("Identity", made, result=name)
            return
        raise UnsupportedError(
            f"to_onnx: a constant {first.shape} of the function depends on {', '.join(self.names)} in a way that a "
            "file cannot compute; compute it from the shape of an argument by operations, or leave that size fixed"
        )

    def _numbers(self, arrays: Sequence[Array]) -> str | None:
        """A few whole numbers, each a sum of products."""
        first = arrays[0]
        if len({a.shape for a in arrays}) > 1 or not 0 < first.size <= FEW:
            return None
        if not all(np.isfinite(a).all() and (a == np.trunc(a)).all() for a in arrays):
            return None
        columns = np.stack([a.reshape(-1).astype(np.int64) for a in arrays], 1).tolist()
        terms = [self._fit(column) for column in columns]
        if None in terms:
            return None
        made = self._vector([each for each in terms if each is not None])
        if first.ndim != 1:
            made = self._node("Reshape", made, self._constant(np.array(first.shape, np.int64)))
        return (
            made
            if first.dtype == np.int64
            else self._node("Cast", made, to=helper.np_dtype_to_tensor_dtype(first.dtype))
        )

    def _filled(self, arrays: Sequence[Array]) -> str | None:
        """One value everywhere, or 0, 1, 2 and so on."""
        first = arrays[0]
        shape = [self._fit(sizes) for sizes in zip(*(a.shape for a in arrays))]
        if None in shape or not first.size:
            return None
        sizes = self._vector([each for each in shape if each is not None])
        if all((a == first.flat[0]).all() for a in arrays):
            value = numpy_helper.from_array(first.reshape(-1)[:1])
            return self._node("ConstantOfShape", sizes, value=value)
        if first.dtype == np.int64 and all((a.reshape(-1) == np.arange(a.size)).all() for a in arrays):
            count = self._node("ReduceProd", sizes, keepdims=0)
            zero, one = (self._constant(np.array(k, np.int64)) for k in (0, 1))
            return self._node("Reshape", self._node("Range", zero, count, one), sizes)
        return None

    def _vector(self, terms: Sequence[Terms]) -> str:
        return self._node("Concat", *(self._number(each) for each in terms), axis=0)

    def _number(self, terms: Terms) -> str:
        """One number, as a tensor of one element."""
        parts = [self._product(corner, factor) for corner, factor in terms.items()]
        return reduce(partial(self._node, "Add"), parts) if parts else self._constant(np.array([0], np.int64))

    def _product(self, corner: Corner, factor: int) -> str:
        factors = [self._known[self._one(name)] for name in compress(self.names, corner)]
        if factor != 1 or not factors:
            factors.append(self._constant(np.array([factor], np.int64)))
        return reduce(partial(self._node, "Mul"), factors)

    def _constant(self, value: Array) -> str:
        key = value.shape, value.tobytes()
        if key not in self._known:
            self._known[key] = f"free size constant {len(self._new)}"
            self._new[self._known[key]] = value
        return self._known[key]

    def _node(self, op: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        key = op, inputs, result, tuple(sorted((k, str(v)) for k, v in attributes.items()))
        if key not in self._known:
            self._known[key] = result or f"free size {len(self._nodes)}"
            made = helper.make_node(
                op, inputs, [self._known[key]], name=f"{op} of sizes {len(self._nodes)}", **attributes
            )
            self._nodes.append(made)
        return self._known[key]
