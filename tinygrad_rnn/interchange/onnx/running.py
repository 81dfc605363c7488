"""An ONNX graph computed node by node, on our tensors.

What depends on no input and on no weight, such as a shape, is computed without being recorded. Every node of ours knows
the node of the file it belongs to: by its number, or by the source line that the exporter wrote down.
"""

from __future__ import annotations

import ast
import re
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, GraphError, TinygradError
from ...optional_packages import framework
from ...scopes import placed
from ...source_line import Foreign, installed
from ...tensors import Tensor, serials
from ...thread_state import current
from ..framework_types import as_supported
from ..program import FOLLOWS_VALUES, a_round, place_at
from .constant_folding import Constant, aside
from .operators import TABLE, TAKE_SEQUENCES
from .reading import array_of, numpy_dtype

onnx = framework("onnx", "onnx")

#: a sequence of the file's is a tuple of tensors
Values = MutableMapping[str, Any]


class Graph:
    """A graph of the file with what is known of it before it is computed: its constants, its nodes."""

    def __init__(self, proto: Any, model: Model) -> None:
        self.proto, self.model = proto, model
        self.nodes = [Node(node, self, number) for number, node in enumerate(proto.node, 1)]
        self.inputs = [value.name for value in proto.input]
        self.outputs = [value.name for value in proto.output]

    def run(self, given: Values) -> list[Any]:
        """The outputs; ``given`` holds inputs and constants, and then everything that was computed."""
        for node in self.nodes:
            node.run(given)
        missing = [name for name in self.outputs if name not in given]
        if missing:
            raise DataError(f"{self.model.name}: nothing computes the output {missing[0]!r:.60}")
        return [given[name] for name in self.outputs]


class Model:
    """The facts that all graphs of a model share."""

    def __init__(self, proto: Any, name: str, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self.notes: dict[str, None] = {}
        self.precision: np.dtype[Any] | None = None  #: of all floats, once a module of it was told one
        self.opset = {entry.domain or "": entry.version for entry in proto.opset_import}.get("", 1)
        self.graph = Graph(proto.graph, self)


class Node:
    """One node: what it is called, and who computes it."""

    def __init__(self, proto: Any, graph: Graph, number: int) -> None:
        self.proto, self.graph, self.model = proto, graph, graph.model
        self.op, self.domain = proto.op_type, "" if proto.domain == "ai.onnx" else proto.domain
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.name = proto.name or (self.outputs[0] if self.outputs else self.op)
        self.opset = graph.model.opset
        said = {entry.key: entry.value for entry in getattr(proto, "metadata_props", ())}
        self.place = _line_of(said) or Foreign(graph.model.name, number)
        self.path = _path_of(said, self.name)
        self.attributes: dict[str, Any] = {}
        self._values: Values = {}

    def __str__(self) -> str:
        return f"node {self.name!r:.60} ({self.domain + '.' if self.domain else ''}{self.op}, {self.place})"

    def prepare(self) -> None:
        """Read the attributes: texts as `str`, graphs as `Graph`."""
        self.attributes = {a.name: self._attribute(a) for a in self.proto.attribute}

    def _attribute(self, attribute: Any) -> Any:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.GRAPH:
            return Graph(value, self.model)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if attribute.type == onnx.AttributeProto.STRINGS:
            return [text.decode("utf-8", "replace") for text in value]
        return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value

    def run(self, values: Values) -> None:
        """Compute it from ``values``, and enter the results there."""
        first = next(serials)
        try:
            if missing := [name for name in self.inputs if name and name not in values]:
                raise DataError(f"nothing computes its input {missing[0]!r:.60}")
            given = [values[name] if name else None for name in self.inputs]
            self._values = values
            if self.op not in TAKE_SEQUENCES and any(isinstance(x, tuple) for x in given):
                raise DataError("it is given a sequence, and takes tensors only")
            has_graphs = any(isinstance(value, Graph) for value in self.attributes.values())
            known = all(map(_is_constant, given)) and not has_graphs
            with aside() if known else nullcontext():
                made = TABLE[self.domain, self.op](self, *given, **self.attributes)
        except DataError as error:
            raise DataError(str(error) if self.model.name in str(error) else self._said(error)) from None
        except TinygradError as error:
            reads = current.tracer is not None and isinstance(error, GraphError)
            raise DataError(self._said(GraphError(FOLLOWS_VALUES) if reads else error)) from None
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise DataError(self._said(error)) from None
        finally:
            self._values = {}
        results: Sequence[Any] = list(made) if isinstance(made, (list, tuple)) else [made]
        for name, x in zip(self.outputs, results):
            if name:
                values[name] = x
                if x is None:
                    continue
                if known:
                    values[name] = tuple(map(Constant, x)) if isinstance(x, tuple) else Constant(x)
                elif isinstance(x, Tensor) and x.name is None and not isinstance(x, Constant):
                    x.name = name
        made_here = [part for x in results for part in (x if isinstance(x, tuple) else (x,))]
        place_at(self.place, made_here, first)

    def _said(self, error: BaseException) -> str:
        text = " ".join(str(getattr(error, "detail", error)).split()) or type(error).__name__
        return f"{self.model.name}, {self}: {text}"

    # For those who compute it ----------------------------------------------------------------------------

    def inside(self, graph: Graph, arguments: Sequence[Tensor]) -> list[Any]:
        """A graph within this node: it sees everything that was computed around it."""
        if len(arguments) != len(graph.inputs):
            raise DataError(f"its graph takes {len(graph.inputs)} inputs, not {len(arguments)}")
        inner: dict[str, Any] = {t.name: Constant(self.array(t), name=t.name) for t in graph.proto.initializer}
        inner.update(zip(graph.inputs, arguments, strict=True))
        return graph.run(ChainMap(inner, self._values))

    @contextmanager
    def named_round(self, step: int) -> Iterator[None]:
        """A time step of a layer that has this node's name; in another loop's step it is part of that one's cell."""
        if current.scope.step is not None:
            yield
            return
        with self.scope(), a_round(step):
            yield

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The scope this node's cells are drawn in: its own name."""
        with placed(current.scope._replace(path=(*current.scope.path, *self.path))):
            yield

    def dtype(self, code: int) -> np.dtype[Any]:
        """A dtype of ours for one of ONNX's; half precision is float32."""
        found = as_supported(np.zeros((), numpy_dtype(code)), f"{self}: the type asked for", self.model.notes).dtype
        return self.model.precision if self.model.precision is not None and found.kind == "f" else found

    def array(self, tensor: Any) -> np.ndarray[Any, Any]:
        """The value of a tensor among the attributes."""
        return array_of(tensor, self.model.folder, self.model.notes)


def _is_constant(x: Any) -> bool:
    return x is None or isinstance(x, Constant) or (isinstance(x, tuple) and all(map(_is_constant, x)))


def _line_of(said: dict[str, str]) -> Foreign | None:
    """The user's source line, where the exporter wrote down the stack: its first frame outside of libraries."""
    trace = said.get("pkg.torch.onnx.stack_trace", "")
    frames = re.findall(r'File "([^"\n]{1,500})", line (\d{1,7})', trace)
    for filename, line in frames:
        if not installed(filename):
            return Foreign(filename, int(line))
    return None


def _path_of(said: dict[str, str], name: str) -> tuple[str, ...]:
    """The modules a node belongs to, innermost last: as the exporter wrote them down, or read off the node's name."""
    listed = said.get("pkg.torch.onnx.name_scopes", "")
    if listed:
        try:
            names = ast.literal_eval(listed)
            return tuple(str(n)[:60] for n in names[:-1] if n)[-1:] or (str(names[-1])[:60],)
        except (ValueError, SyntaxError, TypeError, IndexError, MemoryError, RecursionError):
            pass
    return (name.strip("/")[:60],)
