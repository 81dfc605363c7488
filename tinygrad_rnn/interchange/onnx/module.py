"""`from_onnx`: an ONNX model becomes a module of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...array_conversion import asked_dtype
from ...errors import ArgumentError, DataError, DTypeError, ShapeError, UnsupportedError
from ...nn.module import Module, Parameter
from ...source_line import warn
from ...tensors import Tensor, as_tensor
from ..framework_types import as_supported
from ..program import ForeignWarning, assign
from .constant_folding import Constant
from .operators import TABLE, keywords
from .reading import array_of, checked, inlined, numpy_dtype, read
from .running import Graph, Model


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output as the file declares it; a size is a number, a name for a free one, or None.

    Of a sequence dtype and shape are those of its tensors.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...] | None
    sequence: bool = False
    optional: bool = False

    def __str__(self) -> str:
        sizes = "any shape" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({'optional ' * self.optional}{'sequence of ' * self.sequence}{sizes})"


class OnnxModel(Module):
    """An ONNX model as a module: called with its inputs in their order, it returns its outputs in theirs.

    Its float initializers are its parameters, under their names (a name that is a method's gets a ``_``). Sizes that
    the file leaves free are free here. A sequence is given as a list and returned as a tuple, a missing optional is
    None. ``inputs`` and ``outputs`` say what the file declares, ``import_notes`` what
    became something else.

    Made by `from_onnx`.

    >>> import tinygrad_rnn as tg
    >>> model = tg.interchange.from_onnx(tg.interchange.to_onnx(tg.nn.Linear(3, 2), tg.ones(4, 3)))
    >>> model([[1.0, 2.0, 3.0]] * 4).shape
    (4, 2)
    """

    def __init__(self, model: Model, parameters: dict[str, Parameter], constants: dict[str, Tensor]) -> None:
        self._model = model
        self._weights, self._constants = {}, constants
        for name, parameter in parameters.items():
            self._weights[name] = assign(self, name, parameter)
        graph = model.graph.proto
        known = parameters.keys() | constants.keys()
        self.inputs = tuple(_declared(value) for value in graph.input if value.name not in known)
        self.outputs = tuple(_declared(value) for value in graph.output)

    @property
    def import_notes(self) -> tuple[str, ...]:
        """Differences from the file, each with the reason."""
        return tuple(self._model.notes)

    def forward(self, *args: Any) -> Any:
        """The outputs of other inputs; a single output stands for itself."""
        made = self.results(*args)
        return made[0] if len(made) == 1 else tuple(made)

    def results(self, *args: Any) -> list[Any]:
        """The outputs, always as a list; a sequence among them is a tuple."""
        if len(args) != len(self.inputs):
            listed = ", ".join(map(str, self.inputs)) or "none"
            raise ArgumentError(f"{self._model.name} takes {len(self.inputs)} input(s): {listed}; not {len(args)}")
        named = dict(self.named_parameters(remove_duplicate=False))
        values: dict[str, Any] = dict(self._constants)
        values.update({name: named[ours] for name, ours in self._weights.items()})
        sizes: dict[str, int] = {}
        values.update(
            {value.name: _given(x, value, sizes, self._model) for x, value in zip(args, self.inputs, strict=True)}
        )
        return self._model.graph.run(values)

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Module:
        """Convert parameters to float32 or float64, in place, and compute in it, whatever floats the file declares."""
        super().to(*args, dtype=dtype, device=device)
        asked = asked_dtype("Module.to", args, dtype, device)
        self._model.precision = self._model.precision if asked is None else asked
        return self

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"{self._model.name}, {len(self._model.graph.nodes)} nodes"


def from_onnx(source: str | Path | bytes | Any) -> OnnxModel:
    """An ONNX model as an `nn.Module`: called with the model's inputs in their order, returning its outputs in theirs.

    ``source`` is a path, the bytes of a file, or an ``onnx.ModelProto``. RNN, LSTM and GRU are opened into time steps,
    Scan and Loop into rounds; a node's number in the file (or the source line its exporter wrote down) is where
    pictures, debugger and errors say a value comes from. float16 becomes float32, quantised weights the numbers they
    stand for; each is a warning and an entry of ``import_notes``.

    Raises `UnsupportedError`, which lists everything that cannot be imported; `DataError` for a file that is not valid,
    asks for data outside its folder or says sizes it does not have; `DataError` without ``onnx``.

    >>> import onnx, tinygrad_rnn as tg
    >>> model = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
    ... small (float[n, 2] x) => (float[n, 2] y) <float[2] w = {1, -1}> { p = Mul(x, w)  y = Relu(p) }''')
    >>> ours = tg.interchange.from_onnx(model)
    >>> ours(tg.tensor([[3.0, 4.0]])).tolist(), [name for name, _ in ours.named_parameters()]
    ([[3.0, 0.0]], ['w'])
    """
    proto, name, folder = read(source)
    proto = inlined(proto, name)
    model = Model(proto, name, folder)
    _prepare(model)
    parameters: dict[str, Parameter] = {}
    constants: dict[str, Tensor] = {}
    if proto.graph.sparse_initializer:
        raise UnsupportedError(f"{name}: sparse initializers have no counterpart here; store them densely")
    quantised = _quantised(model.graph)
    for tensor in proto.graph.initializer:
        array = array_of(tensor, folder, model.notes)
        if array.dtype.kind == "f":
            parameters[tensor.name] = Parameter(array, name=tensor.name)
        else:
            constants[tensor.name] = Constant(array, name=tensor.name)
            if tensor.name in quantised and array.dtype.itemsize == 1:
                said = f"weight {tensor.name!r:.60} is quantised ({array.dtype}), and here what it stands for"
                model.notes[said] = None
    checked(proto, name)
    if any(node.op.startswith(("QuantizeLinear", "DynamicQuantize")) for node in _nodes(model.graph)):
        model.notes["activations are not rounded to 8 bits here, as the model's runtime does"] = None
    made = OnnxModel(model, parameters, constants)
    for note in made.import_notes:
        warn(note, ForeignWarning)
    return made


def _prepare(model: Model) -> None:
    """Read every node's attributes; one error for all that is not supported."""
    missing: dict[str, None] = {}

    def visit(graph: Graph) -> None:
        for node in graph.nodes:
            function = TABLE.get((node.domain, node.op))
            if function is None:
                name = _one_line(f"{node.domain + '.' if node.domain else ''}{node.op}")
                missing[f"{name} ({node.name!r:.60}, {node.place})"] = None
                continue
            node.prepare()
            unknown = node.attributes.keys() - keywords(function)
            if unknown and "_attributes" not in keywords(function):
                listed = _one_line(", ".join(sorted(unknown)))
                missing[f"{node.op} with {listed} ({node.name!r:.60}, {node.place})"] = None
            for value in node.attributes.values():
                if isinstance(value, Graph):
                    visit(value)

    try:
        visit(model.graph)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{model.name} is not valid ONNX: {' '.join(str(error).split())[:200]}") from None
    if missing:
        raise UnsupportedError(
            f"from_onnx cannot import {model.name}: {'; '.join(missing)}. docs/interchange.md lists the operators that "
            "come in; export the model with those"
        )


def _one_line(name: str) -> str:
    """A name from the file, which may hold anything."""
    return name if name.isprintable() else repr(name)


def _nodes(graph: Graph) -> Iterator[Any]:
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from _nodes(value)


def _quantised(graph: Graph) -> set[str]:
    """Names of what is multiplied by a scale."""
    users = {
        "DequantizeLinear": slice(1),
        "MatMulInteger": slice(2),
        "DynamicQuantizeLSTM": slice(1, 3),
        "DynamicQuantizeMatMul": slice(1, 2),
    }
    return {name for node in _nodes(graph) if node.op in users for name in node.inputs[users[node.op]]}


def _declared(value: Any) -> Value:
    kind, optional, sequence = value.type, False, False
    if kind.HasField("optional_type"):
        kind, optional = kind.optional_type.elem_type, True
    if kind.HasField("sequence_type"):
        kind, sequence = kind.sequence_type.elem_type, True
    if not kind.HasField("tensor_type"):
        raise UnsupportedError(
            f"{value.name!r:.60} is a map, a sparse tensor or nested; tensors and lists of them come in"
        )
    tensor = kind.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim)
    dtype = None
    if tensor.elem_type:
        dtype = as_supported(np.zeros((), numpy_dtype(tensor.elem_type)), f"{value.name!r:.60}").dtype
    return Value(value.name, dtype, shape, sequence, optional)


def _given(x: Any, value: Value, sizes: dict[str, int], model: Model) -> Any:
    """An input as the file declares it: a tensor, a tuple of tensors, or None."""
    if x is None:
        if not value.optional:
            raise ArgumentError(f"{model.name}: input {value} is missing; it is no optional")
        return None
    if not value.sequence:
        return _fitting(x, value, sizes, model)
    if not isinstance(x, (list, tuple)):
        raise ArgumentError(f"{model.name}: input {value} is given as a list of arrays, not {type(x).__name__}")
    each = replace(value, sequence=False)
    return tuple(_fitting(part, each, {}, model) for part in x)  # they may differ in the sizes that are free


def _fitting(x: Any, value: Value, sizes: dict[str, int], model: Model) -> Tensor:
    """An input as a tensor of the dtype and shape the file declares."""
    given = x if isinstance(x, Tensor) else as_tensor(as_supported(x, f"input {value}"))
    shape = given.shape
    if value.shape is not None:
        fits = len(shape) == len(value.shape)
        for size, wanted in zip(shape, value.shape):
            if isinstance(wanted, str):
                wanted = sizes.setdefault(wanted, size)
            fits = fits and (wanted is None or size == wanted)
        if not fits:
            raise ShapeError(f"{model.name}: input {value} was given {shape}")
    dtype = value.dtype
    if dtype is not None and dtype.kind == "f" and model.precision is not None:
        dtype = model.precision
    if dtype is None or given.dtype == dtype:
        return _named(given, value.name)
    if given.dtype.kind == dtype.kind == "f" or (given.dtype.kind in "iu" and dtype.kind != "b"):
        return given.astype(dtype)
    raise DTypeError(f"{model.name}: input {value} is {value.dtype}, but was given {given.dtype}")


def _named(x: Tensor, name: str) -> Tensor:
    if x.op is None and x.name is None:
        x.name = name
    return x
