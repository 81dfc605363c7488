"""`to_onnx`: a function or module of ours as an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....arguments import answerable, misfit, positional
from ....compiler.returned_values import Output
from ....errors import ArgumentError, DTypeError, GraphError, UnsupportedError
from ....files import write_atomically
from ....graph import Graph, Node, Ref
from ....optional_packages import framework
from ....primitives.record import Primitive
from ....recurrence.scan import mapped
from ....tensors import Tensor, as_tensor, from_array
from ..names import Names, is_array
from ..recorder import Body, cut, drawn, gradient, loop, own, part
from ..registry import COMPARISONS, TOGETHER, family, no_rule, unknown_leaf
from .recording import OnnxRecording, layer
from .rules import RULES

onnx = framework("onnx", "onnx")
helper = onnx.helper

#: what the file is written in
OPSET, IR = 18, 8
#: whose operators take no booleans in ONNX, and of these the ones that give booleans for booleans
_OF_NUMBERS = family("sum max cumsum argmax") | (TOGETHER | COMPARISONS) - family("concat stack equal not_equal")
_GIVE_THEIR_OWN = _OF_NUMBERS - COMPARISONS


@answerable
def to_onnx(
    function: Callable[..., Any],
    args: Any,
    path: str | Path | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
) -> Any:
    """``function``, or a module, as an ONNX model, for arguments of the shapes of ``args`` (one, or a tuple or
    list of them); returned, and written to ``path``, whole or not at all.

    `nn.RNN`, `nn.LSTM` and `nn.GRU` become nodes of those names, a layer each, lengths their ``sequence_lens``; with
    settings that ONNX does not have, and for `nn.Recurrent` and `scan`, a Scan. All else is operators. Initializers
    have the parameters' dotted names; those of a recurrent layer are ``W``, ``R`` and ``B`` in ONNX's order of gates.
    Sizes are those of ``args``, but for those that ``dynamic_axes`` names, such as ``{"x": {0: "time", 1: "batch"}}``
    (as PyTorch's exporter): these are free, and equal where they have one name. The model has passed ``onnx.checker``.
    docs/interchange.md says which runtimes compute which settings of these nodes wrongly.

    Raises `UnsupportedError` for what ONNX has no rule for, with the line; `GraphError` for what `compile` refuses,
    such as a value read in Python; `DataError` without ``onnx``.

    Raises `DTypeError` for what is no function, `GraphError` for one that also writes tensors.

    >>> import tinygrad_rnn as tg
    >>> model = tg.interchange.to_onnx(tg.nn.LSTM(3, 5, bidirectional=True), tg.ones(7, 2, 3))
    >>> [node.op_type for node in model.graph.node][:3], [tensor.name for tensor in model.graph.initializer][:3]
    (['LSTM', 'Transpose', 'Reshape'], ['W_l0', 'R_l0', 'B_l0'])
    >>> free = tg.interchange.to_onnx(
    ...     tg.nn.GRU(3, 5), tg.ones(7, 2, 3), dynamic_axes={"x": {0: "time", 1: "batch"}}
    ... )
    >>> [size.dim_param or size.dim_value for size in free.graph.output[0].type.tensor_type.shape.dim]
    ['time', 'batch', 5]
    """
    if not callable(function):
        raise DTypeError(f"to_onnx takes a function or a module, not {type(function).__name__}")
    given = tuple(args) if isinstance(args, tuple) or _lists_arguments(function, args) else (args,)
    given = tuple(mapped(lambda x: as_tensor(x).detach() if is_array(x) else x, each) for each in given)
    if dynamic_axes:
        from .free_sizes import freed

        called = _called(function, given)
        sizes = _sizes(called, dynamic_axes)
        model = freed(
            lambda new: _model(function, _resized(given, called, dynamic_axes, new), False), dynamic_axes, sizes
        )
    else:
        model = _model(function, given, True)
    onnx.checker.check_model(model, full_check=True)
    if path is not None:
        write_atomically(path, model.SerializeToString())
    return model


def _lists_arguments(function: Callable[..., Any], args: Any) -> bool:
    """Whether a list is the arguments, not one of them: it holds arrays or nothing, and the function takes so many."""
    arrays = isinstance(args, list) and (not args or any(map(is_array, args)))
    return arrays and not misfit(function, args)


def _model(function: Callable[..., Any], given: tuple[Any, ...], shared: bool) -> Any:
    """The file for arguments of these shapes; ``shared``: constants that are equal are one."""
    names = Names(function)
    trace, template = OnnxRecording(function).record(given)
    if trace.assignments:
        raise GraphError("to_onnx: the function writes tensors (an optimizer's step, a buffer); a file only computes")
    writer = Writer(names, trace, shared)
    results: dict[str, int] = {}
    for name, found in _parts("output", template):
        if isinstance(found, Output):
            results[name] = found.position
        elif found is not None:
            raise ArgumentError(f"to_onnx: the function returns {type(found).__name__}; a file returns tensors")
    if not results:
        raise ArgumentError("to_onnx: the function returns no tensor; a file returns at least one")
    title = getattr(function, "__name__", type(function).__name__)
    return writer.model(trace.graph, _called(function, given), results, title)


def _called(function: Callable[..., Any], given: tuple[Any, ...]) -> list[tuple[str, Tensor]]:
    """The tensors among the arguments, by the names they have in the file."""
    named = (_parts(name, value) for name, value in zip(_parameter_names(function, len(given)), given))
    return [(name, x) for parts in named for name, x in parts if isinstance(x, Tensor)]


def _sizes(called: list[tuple[str, Tensor]], axes: Mapping[str, Mapping[int, str]]) -> dict[str, int]:
    """The value of each named size in the arguments."""
    shapes, found = {name: x.shape for name, x in called}, dict[str, int]()
    for name, named in axes.items():
        if name not in shapes:
            raise ArgumentError(f"to_onnx: dynamic_axes names {name!r}; the arguments are {', '.join(shapes)}")
        for axis, size in named.items():
            if not isinstance(axis, int) or not 0 <= axis < len(shapes[name]) or not isinstance(size, str):
                raise ArgumentError(
                    f"to_onnx: dynamic_axes of {name} {shapes[name]} gives names to dimensions from 0 to "
                    f"{len(shapes[name]) - 1}, not {size!r} to {axis!r}"
                )
            if found.setdefault(size, shapes[name][axis]) != shapes[name][axis]:
                raise ArgumentError(
                    f"to_onnx: the size {size!r} is {found[size]} in one argument and {shapes[name][axis]} in {name}; "
                    "give them two names, or equal sizes"
                )
    return found


def _resized(
    given: tuple[Any, ...],
    called: list[tuple[str, Tensor]],
    axes: Mapping[str, Mapping[int, str]],
    sizes: Mapping[str, int],
) -> tuple[Any, ...]:
    """Arguments of other sizes, without numbers."""
    names = iter(name for name, _ in called)

    def resized(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        free = axes.get(next(names), {})
        shape = tuple(sizes[free[k]] if k in free else n for k, n in enumerate(x.shape))
        return from_array(np.broadcast_to(np.zeros((), x.dtype), shape))

    return tuple(mapped(resized, each) for each in given)


def _parameter_names(function: Any, count: int) -> list[str]:
    found = positional(function)
    return [found[i] if i < len(found) else f"input_{i}" for i in range(count)]


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of nested lists, tuples and dicts, each with its place: ``output.0.state``."""
    if isinstance(value, (tuple, list)) and not isinstance(value, Output):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _parts(f"{name}.{key}", each)
    else:
        yield name, value


class Writer:
    """The file while it is written."""

    def __init__(self, names: Names, trace: Any, shared: bool = True) -> None:
        self._names, self._trace, self._shared = names, trace, shared
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._constants: dict[Any, str] = {}
        self._taken: set[str] = set()
        self._graph: Graph
        self._at: Node | None = None
        self.known: dict[str, tuple[Any, tuple[int, ...]]] = {}

    # What rules use --------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str | None, **attributes: Any) -> str:
        """An operator; the name of its result."""
        return self.several(op, inputs, 1, **attributes)[0]

    def several(self, op: str, inputs: Sequence[str | None], count: int, **attributes: Any) -> list[str]:
        """An operator with several results."""
        made = [self.fresh(op) for _ in range(count)]
        node = helper.make_node(op, [x or "" for x in inputs], made, name=self.fresh(f"{op}_node"), **attributes)
        if self._at is not None and self._at.site:
            node.doc_string = self._at.site
        self.nodes.append(node)
        return made

    def constant(self, value: Any) -> str:
        """A constant; equal ones are one."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes()) if self._shared else len(self._constants)
        if key not in self._constants:
            name = self._constants[key] = self.fresh("constant")
            self.initializers[name] = array
        return self._constants[key]

    def integers(self, values: Sequence[int]) -> str:
        """A shape, axes: a list of whole numbers."""
        return self.constant(np.array(list(values), np.int64))

    def cast(self, x: str, dtype: np.dtype[Any]) -> str:
        """``x`` in another dtype."""
        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(dtype))

    def reshaped(self, x: str, shape: Sequence[int]) -> str:
        """``x`` in another shape."""
        return self.add("Reshape", x, self.integers(shape), allowzero=1)

    def reduced(self, op: str, x: str, axes: list[int], keepdims: bool) -> str:
        """A reduction over axes; over none it is ``x``."""
        return self.add(op, x, self.integers(axes), keepdims=int(keepdims)) if axes else self.add("Identity", x)

    def shape_of(self, node: Node, slot: int) -> tuple[int, ...]:
        """The shape of an operand."""
        x = node.operands[slot]
        return self._graph.nodes[x.index].shape if isinstance(x, Ref) else ()

    def dtype_of(self, node: Node, slot: int) -> Any:
        """The dtype of an operand."""
        x = node.operands[slot]
        return self._graph.nodes[x.index].dtype if isinstance(x, Ref) else np.asarray(x).dtype

    def fresh(self, base: str) -> str:
        """A name that nothing has."""
        name, k = base, 1
        while name in self._taken:
            k += 1
            name = f"{base}_{k}"
        self._taken.add(name)
        return name

    # The whole -------------------------------------------------------------------------------------------

    def model(self, graph: Graph, called: list[tuple[str, Tensor]], results: dict[str, int], title: str) -> Any:
        """The file."""
        inputs = [self.fresh(name) for name, _ in called]
        outputs = [self.fresh(name) for name in results]
        for _, name, _ in self._names.tensors.values():
            self._taken.add(name)
        values: dict[int, Any] = {}
        for node in graph.nodes:
            if node.op is None and node.serial in self._trace.arguments:
                values[node.index] = inputs[self._trace.arguments[node.serial]]
        self._write(graph, values)
        for name, position in zip(outputs, results.values()):
            self.nodes.append(
                helper.make_node("Identity", [values[graph.outputs[position]]], [name], name=f"to {name}")
            )
        made = helper.make_graph(
            self.nodes,
            title or "function",
            [_info(name, x) for name, (_, x) in zip(inputs, called)],
            [_info(name, graph.nodes[graph.outputs[p]]) for name, p in zip(outputs, results.values())],
            [
                onnx.numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), n)
                for n, a in self.initializers.items()
            ],
            value_info=[_info(name, node) for name, node in self._shown.items() if name not in self.initializers],
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tinygrad_rnn")
        model.ir_version = IR
        return model

    def _write(self, graph: Graph, values: dict[int, Any]) -> None:
        outer, self._graph = getattr(self, "_graph", graph), graph
        self._shown: dict[str, Node] = getattr(self, "_shown", {})
        for node in graph.nodes:
            if node.index not in values:
                self._at = node
                values[node.index] = self._value(node, values)
                if outer is graph and isinstance(values[node.index], str) and node.op is not None:
                    self._shown.setdefault(values[node.index], node)
        self._graph = outer

    def _value(self, node: Node, values: dict[int, Any]) -> Any:
        op = node.op
        if op is None:
            return self._leaf(node)
        if op is drawn:
            raise UnsupportedError(f"to_onnx: dropout (at {node.site}) is for training; call eval() on the model")
        if op is gradient:
            raise UnsupportedError(f"to_onnx: a gradient is asked for (at {node.site}); to_jax exports training steps")
        operands: list[Any] = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        if op is part:
            return operands[0][node.attrs["index"]]
        if op in (cut, own):  # a file only computes: gradients take no part
            return operands[0]
        if op is loop:
            return self._scan(node.attrs["body"], operands)
        if op is layer:
            return self._layer(node, operands)
        rule = RULES.get(op)
        if rule is None:
            raise no_rule(op, node.site, "ONNX")
        made = rule(self, node, *self._together(op, node, operands), **node.attrs)
        return self.cast(made, node.dtype) if node.dtype.kind == "b" and op in _GIVE_THEIR_OWN else made

    def _leaf(self, node: Node) -> str:
        cell = self._trace.cells.get(node.serial)
        if cell is None:
            if node.value is None:
                raise unknown_leaf(node.label, "ONNX")
            return self.constant(node.value)
        if cell.tensor is None:
            raise UnsupportedError("to_onnx: the function uses an optimizer's state; to_jax exports training steps")
        name = self._names.enter(cell.tensor.name or "parameter", cell.tensor)
        self._taken.add(name)
        self.initializers[name] = cell.get()
        return name

    def _together(self, op: Primitive, node: Node, operands: list[Any]) -> list[str]:
        """Operands as names, in the dtype that NumPy would bring them to."""
        wanted: list[Any] = [None] * len(operands)
        kinds = [self.dtype_of(node, i) for i in range(len(operands)) if isinstance(node.operands[i], Ref)]
        if op in TOGETHER:
            wanted = [node.dtype] * len(operands)
        elif op in COMPARISONS:
            literal = [x for x in operands if not isinstance(x, str)]
            wanted = [np.result_type(*kinds, *literal)] * len(operands)
        elif op.name == "where":
            wanted = [np.dtype(bool), node.dtype, node.dtype]
        if op in _OF_NUMBERS:
            number = np.dtype(np.int32) if node.dtype.kind == "b" else node.dtype
            given = [wanted[i] or self.dtype_of(node, i) for i in range(len(operands))]
            wanted = [number if each.kind == "b" else wanted[i] for i, each in enumerate(given)]
        return [
            self.constant(np.asarray(x, wanted[i] or node.dtype))
            if not isinstance(x, str)
            else x
            if wanted[i] is None or self.dtype_of(node, i) == wanted[i]
            else self.cast(x, wanted[i])
            for i, x in enumerate(operands)
        ]

    def _scan(self, body: Body, operands: list[str]) -> list[str]:
        """A Scan node; what is fixed is seen from inside by its name."""
        nodes = body.graph.nodes
        moving = [*body.carries, *body.rows]
        inside = {i: self.fresh(nodes[i].role or nodes[i].name or "row") for i in moving}
        values: dict[int, Any] = {**inside, **dict(zip(body.fixed, operands[len(moving) :]))}
        outer, self.nodes = self.nodes, []
        self._write(body.graph, values)
        results = [self.add("Identity", values[i]) for i in body.graph.outputs]
        made, self.nodes = self.nodes, outer
        graph = helper.make_graph(
            made,
            self.fresh("step"),
            [_info(inside[i], nodes[i]) for i in moving],
            [_info(name, nodes[i]) for name, i in zip(results, body.graph.outputs)],
        )
        back = int(body.reverse)
        return self.several(
            "Scan",
            operands[: len(moving)],
            len(results),
            body=graph,
            num_scan_inputs=len(body.rows),
            scan_input_directions=[back] * len(body.rows),
            **({"scan_output_directions": [back] * body.collected} if body.collected else {}),
        )

    def _layer(self, node: Node, operands: list[str]) -> list[str]:
        """An RNN, LSTM or GRU node."""
        settings, rest = node.attrs, operands[1:]
        known = self._names.tensors.get(settings["weight"].serial)
        prefix = known[1].rpartition("weight_ih")[0] if known else ""
        stored = {}
        for key, array in settings["arrays"].items():
            stored[key] = self.fresh(f"{prefix}{key}_l{settings['at']}")
            self.initializers[stored[key]] = array
        lengths = rest.pop(0) if settings["lengths"] else None
        states = rest if settings["states"] else []
        lstm = settings["kind"] == "LSTM"
        inputs = [operands[0], stored["W"], stored["R"], stored.get("B"), lengths, *states]
        if "P" in stored:
            inputs = [*inputs, *[None] * (7 - len(inputs)), stored["P"]]
        while inputs[-1] is None:
            inputs.pop()
        count = settings["arrays"]["W"].shape[0]
        return self.several(
            settings["kind"],
            inputs,
            3 if lstm else 2,
            hidden_size=settings["hidden"],
            direction="bidirectional" if count == 2 else "forward",
            **settings["attributes"],
        )


def _info(name: str, x: Any) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype)), list(x.shape))
