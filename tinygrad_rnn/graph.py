"""Graph: the recorded computation as a table one can hold, print, re-evaluate, save, draw and compile.

A `Graph` is a snapshot of everything a tensor was made from: nodes in topological order, each naming its
operands by position. It is immutable, and it never looks at the tensors again, so a picture or a saved file
stays true while training goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import numpy as np

from .arguments import answering, integer
from .errors import ArgumentError, DataError, DTypeError, GraphError, OutOfRangeError, ShapeError
from .files import PathLike, read_text, write_atomically
from .graph_file import bounded, document, node_as_data, node_from_data
from .operation_errors import explained, short
from .primitives import TABLE
from .primitives.missing_primitives import Absent
from .primitives.record import Primitive
from .recorded_value import made_from
from .source_line import Foreign, source_lines
from .source_names import variables
from .tensors import Array, Literal, Tensor
from .thread_state import NOWHERE, Scope

FORMAT = "tinygrad_rnn.graph/1"


@dataclass(frozen=True, slots=True)
class Ref:
    """An operand that is another node, by its position in the graph.

    >>> import tinygrad_rnn as tg
    >>> tg.Graph(tg.ones(1) * 2.0).nodes[1].operands
    (Ref(index=0), 2.0)
    """

    index: int

    def __post_init__(self) -> None:
        if integer(self.index, "Ref: index") < 0:
            raise OutOfRangeError(f"Ref: index is a position in a graph, 0 or more, not {self.index}")


@dataclass(frozen=True, slots=True, eq=False)  # by identity: attributes and values cannot be hashed
class Node:
    """One value of the computation: a leaf (``op`` is None) or the result of an operation.

    >>> import tinygrad_rnn as tg
    >>> leaf, product = tg.Graph(tg.ones(1) * 2.0).nodes
    >>> leaf.op, product.op, product.shape, product.sources
    (None, <primitive mul>, (1,), (0,))
    """

    index: int  #: position in the graph
    op: Primitive | None
    operands: tuple[Ref | Literal, ...]
    attrs: dict[str, Any]
    _: KW_ONLY
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: Array | None = None  #: as it was when the graph was taken
    requires_grad: bool = False
    scope: Scope = NOWHERE
    name: str | None = None
    role: str | None = None
    site: str | None = None  #: the source line that made it, "file.py:12": the user's, or a foreign program's
    module: tuple[str, ...] = ()  #: the modules it was made in, whatever cell it was found to belong to
    variable: str | None = None  #: what the program assigns it to
    serial: int = -1  #: the tensor's creation number, which the reverse walk's steps carry too
    starts: bool = False  #: `requires_grad_` was asked of it: a gradient ends here although an operation made it
    #: positions of the operands that are nodes, in slot order; ``x * x`` names x twice
    sources: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple([x.index for x in self.operands if type(x) is Ref]))

    @property
    def is_parameter(self) -> bool:
        """A leaf that requires a gradient, and is no input."""
        return self.op is None and self.requires_grad and self.role != "x"

    @property
    def label(self) -> str:
        """A name for messages: its name, else its role, else its operation."""
        return self.name or self.role or (self.op.symbol if self.op else "constant")

    def _described(self) -> str:
        """Name and shape, for a message."""
        return f"{short(self.label)} {self.shape}"


#: what a node has under the names that it has in a tensor, and what else there is besides its operation
_OF_TENSORS = ("shape", "dtype", "requires_grad", "scope", "name", "role", "serial")
_FIELDS = (*_OF_TENSORS, "value", "site", "module", "variable", "starts")


class Graph:
    """Everything ``outputs``, tensors, were computed from (else an `ArgumentError`).

    ``outputs`` are tensors; without any, a `GraphError`.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> graph = tg.Graph((x * x).sum())
    >>> [node.label for node in graph.nodes]
    ['x', '⊙', 'Σ']
    >>> graph.edges
    ((0, 1, 0), (0, 1, 1), (1, 2, 0))
    >>> graph.evaluate({"x": [3.0, 4.0]})[0]
    array(25., dtype=float32)

    Its nodes found, computed with other leaves, and taken apart:

    >>> graph.by_serial()[x.serial], graph.find("x").shape
    (0, (2,))
    >>> fed = graph.values({"x": [3.0, 4.0]})
    >>> graph.with_values(fed).nodes[1].value, len(graph.unrolled()), Graph.of(graph.nodes[:2], [1]).outputs
    (array([ 9., 16.], dtype=float32), 3, (1,))

    As text, and in a file:

    >>> Graph.from_json(graph.to_json()).evaluate()[0].item()
    5.0
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Graph.load(graph.save(file := pathlib.Path(folder, "graph.json")) and file).nodes[0].name
    'x'
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def __init__(self, *outputs: Tensor) -> None:
        if not outputs or not all(isinstance(x, Tensor) for x in outputs):
            raise ArgumentError("Graph(...) wants the tensor (or tensors) whose computation it is to hold")
        tensors = made_from(outputs, _operands)
        build, called = GraphBuilder[Node](), variables(tensors)[0]
        for x, site in zip(tensors, source_lines(x._made_at for x in tensors), strict=True):
            # a leaf may be written in place later; what an operation made never is
            build.tensor(x, x.numpy() if x.op is not None else x.numpy().copy(), site, variable=called.get(x.serial))
        self.nodes = tuple(build.nodes)
        self.outputs = tuple(build.position[x.serial] for x in outputs)

    @classmethod
    def of(cls, nodes: Iterable[Node], outputs: Sequence[int]) -> Graph:
        """A graph from ``nodes``, each after its operands, and the positions of its ``outputs`` (else a `GraphError`).

        For passes that rewrite one graph into another.
        """
        graph = cls.__new__(cls)
        graph.nodes = tuple(nodes)
        graph.outputs = tuple(outputs)
        for index, node in enumerate(graph.nodes):
            after = [x.index for x in node.operands if type(x) is Ref and not 0 <= x.index < index]
            if node.index != index or after:
                raise GraphError(f"node {node.index} at position {index} does not come after its operands")
        if not all(0 <= output < len(graph.nodes) for output in graph.outputs):
            raise GraphError(
                f"outputs {list(graph.outputs)} are not all positions of nodes, from 0 to {len(graph.nodes) - 1}"
            )
        return graph

    # Looking ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def edges(self) -> tuple[tuple[int, int, int], ...]:
        """(from, to, slot) for every operand that is a node."""
        return tuple(
            (operand.index, node.index, slot)
            for node in self.nodes
            for slot, operand in enumerate(node.operands)
            if isinstance(operand, Ref)
        )

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """Per node, the nodes that use it, once per use."""
        uses: list[list[int]] = [[] for _ in self.nodes]
        for source, target, _ in self.edges:
            uses[source].append(target)
        return tuple(map(tuple, uses))

    @property
    def parameters(self) -> tuple[Node, ...]:
        """Leaves that require a gradient."""
        return tuple(node for node in self.nodes if node.op is None and node.requires_grad)

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Leaves that do not: data, initial states, constants."""
        return tuple(node for node in self.nodes if node.op is None and not node.requires_grad)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """The time steps that occur, ascending, from 0."""
        return tuple(sorted({n.scope.step for n in self.nodes if n.scope.step is not None}))

    @property
    def counts(self) -> Counter[str]:
        """The number of occurrences of each operation."""
        return Counter(node.op.name for node in self.nodes if node.op is not None)

    def by_serial(self) -> dict[int, int]:
        """Position of the node made by each tensor, by the tensor's creation number."""
        return {node.serial: node.index for node in self.nodes}

    def find(self, name: str) -> Node:
        """The one leaf called ``name``; an `ArgumentError` if there is none, or several."""
        found = [node for node in self.nodes if node.op is None and node.name == name]
        if len(found) == 1:
            return found[0]
        names = sorted({node.name for node in self.nodes if node.op is None and node.name})
        known = short(", ".join(names), 200) or "none"
        raise ArgumentError(f"{len(found) or 'no'} leaves are named {short(name)!r}; named leaves are: {known}")

    def __repr__(self) -> str:
        steps = f", {len(self.steps)} time steps" if self.steps else ""
        return f"Graph({len(self.nodes)} nodes, {len(self.edges)} edges, {len(self.parameters)} parameters{steps})"

    def __str__(self) -> str:
        """A table: one row a node, elided in the middle past 200 rows."""
        rows = [("#", "t", "scope", "name", "operation", "shape", "dtype", "line")]
        shown = self.nodes if len(self.nodes) <= 200 else (*self.nodes[:100], None, *self.nodes[-100:])
        for node in shown:
            if node is None:
                rows.append(("…", "", "", f"{len(self.nodes) - 200} nodes more", "", "", "", ""))
                continue
            operands = ", ".join(f"#{x.index}" if isinstance(x, Ref) else f"{x:g}" for x in node.operands[:6])
            more = ", …" if len(node.operands) > 6 else ""
            place = ".".join((*node.scope.path, *filter(None, [node.scope.part])))
            rows.append(
                (
                    f"#{node.index}",
                    "" if node.scope.step is None else str(node.scope.step + 1),
                    short(place, 28),
                    short(node.name or node.role or "", 20),
                    f"{node.op.name}({operands}{more})" if node.op else ("parameter" if node.is_parameter else "input"),
                    "×".join(map(str, node.shape)) or "scalar",
                    str(node.dtype),
                    short(node.site or "", 28),
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([repr(self), lines[0], "-" * len(lines[0]), *lines[1:]])

    # Evaluating ------------------------------------------------------------------------------------------

    def evaluate(self, feeds: Mapping[Any, Any] | None = None, *, reference: bool = False) -> tuple[Array, ...]:
        """Compute the outputs again, leaves replaced by ``feeds``: {name, node or tensor: array of the same shape}.

        ``reference=True`` uses the primitives' references only, and accepts complex feeds: the way a complex
        step differentiates the graph without differentiating it.
        """
        values = self.values(feeds, reference=reference)
        return tuple(values[index] for index in self.outputs)

    def values(
        self,
        feeds: Mapping[Any, Any] | None = None,
        *,
        reference: bool = False,
        each: Callable[[Node, Array], Array] | None = None,
    ) -> list[Array]:
        """Like `evaluate` with ``feeds`` and ``reference``, but the values of all nodes.

        What ``each`` makes of a node's value is computed on with. Raises `DTypeError` for feeds that are no mapping,
        `GraphError` for a node that cannot be computed again.
        """
        if not isinstance(feeds, Mapping | None):
            raise DTypeError(f"feeds map leaves to arrays; {type(feeds).__name__} does not")
        fed = {(leaf := self._leaf(key)).index: _fed(leaf, value, reference) for key, value in (feeds or {}).items()}
        values: list[Any] = []
        as_recorded = not fed and each is None
        for node in self.nodes:
            if node.index in fed:
                values.append(fed[node.index])
            elif node.op is None or (as_recorded and isinstance(node.op, Absent)):
                values.append(node.value)
            else:
                operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
                compute = node.op.reference if reference else node.op.forward
                try:
                    values.append(np.asarray(compute(*operands, **node.attrs)))
                except (ValueError, TypeError, IndexError) as error:
                    detail = getattr(error, "detail", error)
                    raise GraphError(f"node #{node.index}, {node.label}, cannot be computed again: {detail}") from None
            if each is not None:
                values[-1] = each(node, values[-1])
        return values

    def _leaf(self, key: Any) -> Node:
        if isinstance(key, str):
            return self.find(key)
        if isinstance(key, Tensor):
            found = [node for node in self.nodes if node.serial == key.serial]
            if not found:
                raise GraphError(f"{key._described()} is not in this graph; feed a leaf of it, by its name, say")
            key = found[0]
        index = key.index if isinstance(key, Node) else key
        if not isinstance(index, int) or not 0 <= index < len(self.nodes):
            raise ArgumentError(f"leaves are fed by name, node or tensor; {key!r:.40} is none of this graph's")
        node = self.nodes[index]
        if node.op is not None:
            raise GraphError(f"node #{node.index} is computed by {node.op.name}; only leaves can be fed")
        return node

    def unrolled(self) -> Graph:
        """The same graph with every time step written out, where a compiled program repeats one (see `loop`).

        Values are not computed again: nodes that were inside a loop have none.
        """
        build, made = GraphBuilder[Node](), list[Ref]()
        known: dict[Any, Any] = {}
        for node in self.nodes:
            operands = tuple(made[x.index] if isinstance(x, Ref) else x for x in node.operands)
            write = getattr(node.op, "written_out", None)
            made.append(build.again(node, operands) if write is None else write(build, node, operands, known))
        return Graph.of(build.nodes, [made[index].index for index in self.outputs])

    def with_values(self, values: Iterable[Array]) -> Graph:
        """The same graph with these ``values`` of all nodes, in their order."""
        pairs = zip(self.nodes, values, strict=True)
        nodes = (replace(node, value=value, shape=value.shape, dtype=value.dtype) for node, value in pairs)
        return Graph.of(nodes, self.outputs)

    def tensors(self) -> list[Tensor]:
        """The nodes as tensors again: what `walk` goes through, and `grad`.

        They have the shapes, scopes, names and source lines of the nodes, and no hooks. Nothing is computed.

        >>> import tinygrad_rnn as tg
        >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
        >>> graph = tg.Graph((x * x).sum())
        >>> first, *_, last = graph.tensors()
        >>> tg.grad(last, first)
        (tensor([2., 4.]),)
        """
        made: list[Tensor] = []
        for node in self.nodes:
            assert node.value is not None
            x = Tensor._leaf(node.value)
            if node.op is not None:
                x.op, x.attrs = node.op, node.attrs
                x.operands = tuple([made[y.index] if isinstance(y, Ref) else y for y in node.operands])
            x.scope, x.name, x.role = node.scope, node.name, node.role
            x.requires_grad, x._starts = node.requires_grad, node.starts
            file, _, line = (node.site or "").rpartition(":")
            x._made_at = Foreign(file, int(line), node.variable) if line.isdecimal() else None
            made.append(x)
        return made

    # Saving ----------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The graph as JSON text, with the values of the leaves and of what operations of one's own made."""
        nodes = [node_as_data(node) for node in self.nodes]
        return json.dumps({"format": FORMAT, "outputs": self.outputs, "nodes": nodes}, ensure_ascii=False)

    def save(self, path: PathLike) -> Graph:
        """Write `to_json` to the file ``path``, whole or not at all, and return the graph."""
        write_atomically(path, self.to_json().encode(errors="backslashreplace"))  # JSON's own way of writing \\ud800
        return self

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph `to_json` described in ``text``, its values computed again; a `DataError` if it is none.

        Results of an operation that is not defined here have the values they were saved with, and what asks for its
        rule raises a `GraphError`.
        """
        data = document(text, FORMAT)
        try:
            build = GraphBuilder[Node]()
            for item in data["nodes"]:
                op, operands, attrs, fields = node_from_data(len(build.nodes), item, Ref)
                build.enter(op, operands, attrs, **fields)
            nodes = build.nodes
            graph = cls.of(nodes, [int(i) for i in data["outputs"]])
            bounded(nodes)
            values = graph.values()
        except DataError:
            raise
        except KeyError as error:
            raise DataError(f"not a saved graph: {error} is missing where it should be") from None
        except Exception as error:
            raise DataError(f"not a saved graph: {short(str(error), 200)}") from None
        for node, value in zip(nodes, values, strict=True):
            if (value.shape, value.dtype) != (node.shape, node.dtype):
                says, is_ = (f"{x.shape} {x.dtype}" for x in (node, value))
                raise DataError(f"not a saved graph: node {node.index} says that it is {says}, but is {is_}")
        return graph.with_values(values)

    @classmethod
    def load(cls, path: PathLike) -> Graph:
        """Read the file ``path`` that `save` wrote; a `DataError` if it cannot be read, or is no graph."""
        return cls.from_json(read_text(path))


N = TypeVar("N", bound=Node)


class GraphBuilder(Generic[N]):
    """A graph node by node, each after its operands: for what reads another format, and for what rewrites graphs.

    Shapes and dtypes of results are worked out by their operations' rules; nothing is computed before `graph`.
    ``nodes`` are there from the start.

    >>> import tinygrad_rnn as tg
    >>> build = tg.GraphBuilder()
    >>> x = build.leaf([1.0, 2.0], name="x", requires_grad=True)
    >>> y = build.add("mul", (x, 3.0), site="model.onnx:7")
    >>> graph = build.graph(y)
    >>> graph.nodes[1].value, graph.nodes[1].site
    (array([3., 6.]), 'model.onnx:7')
    >>> other = tg.GraphBuilder(graph.nodes)
    >>> other.graph(other.again(graph.nodes[1], (x, x))).nodes[2].value.tolist()
    [1.0, 4.0]
    """

    node: type[Node] = Node  #: what it makes

    def __init__(self, nodes: Iterable[N] = ()) -> None:
        self.nodes: list[N] = list(nodes)
        self.position: dict[int, int] = {}  #: of the nodes made by `tensor`, by the tensor's creation number

    def leaf(self, value: Any, **about: Any) -> Ref:
        """A leaf that holds ``value``, an array or numbers, else `DTypeError`; ``about``: see `add`."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"a graph's leaf holds numbers or booleans, not {array.dtype}")
        return self.enter(None, (), {}, shape=array.shape, dtype=array.dtype, value=array, **about)

    def add(
        self, op: Primitive | str, operands: Sequence[Ref | Literal], attrs: dict[str, Any] | None = None, **about: Any
    ) -> Ref:
        """The result of ``op``, a primitive or its name, with its settings ``attrs``, on ``operands``: nodes, numbers.

        ``about``: fields of `Node` by their names, such as ``scope``, ``name``, ``role``, ``site``. Raises
        `ArgumentError` for an unknown name, `GraphError` for an operand that is no node yet.
        """
        if isinstance(op, str):
            if op not in TABLE:
                raise ArgumentError(f"no operation is named {short(op)!r}; tg.TABLE has them")
            op = TABLE[op]
        attrs = {} if attrs is None else attrs
        try:
            things = [self.nodes[x.index] if isinstance(x, Ref) else x for x in operands]
        except IndexError:
            raise GraphError(f"{op.name}: an operand is no node yet; nodes come after their operands") from None
        try:
            shape = op.shape(*(x.shape if isinstance(x, Node) else () for x in things), **attrs)
            dtype = op.result_dtype(things, attrs)
        except (ShapeError, TypeError, ValueError, IndexError) as error:
            raise explained(error, op, tuple(things), attrs) from None
        if "requires_grad" not in about:
            differentiable = (things[i] for i in op.slots if i < len(things))
            about["requires_grad"] = dtype.kind == "f" and any(
                getattr(x, "requires_grad", False) for x in differentiable
            )
        return self.enter(op, tuple(operands), attrs, shape=shape, dtype=dtype, **about)

    def tensor(self, x: Tensor, value: Array | None, site: str | None, *, leaf: bool = False, **about: Any) -> Ref:
        """The node of a tensor ``x``, whose operands' are there, with its ``value`` and ``site``; or as a ``leaf``.

        ``about`` are other fields of a `Node`.
        """
        given = () if leaf else x.operands
        operands = tuple([Ref(self.position[y.serial]) if isinstance(y, Tensor) else y for y in given])
        self.position[x.serial] = len(self.nodes)
        fields = {name: getattr(x, name) for name in _OF_TENSORS}
        op = None if leaf else x.op
        return self.enter(op, operands, x.attrs, value=value, site=site, starts=x._starts, **fields, **about)

    def again(self, node: Node, operands: tuple[Ref | Literal, ...], **other: Any) -> Ref:
        """A copy of ``node`` with these ``operands``; ``other`` fields replace its own."""
        fields = {name: getattr(node, name) for name in _FIELDS}
        return self.enter(node.op, operands, node.attrs, **(fields | other))

    def enter(
        self, op: Primitive | None, operands: tuple[Ref | Literal, ...], attrs: dict[str, Any], **fields: Any
    ) -> Ref:
        """A node of ``op`` on ``operands`` with settings ``attrs`` and all other ``fields`` that have no default."""
        index, scope = len(self.nodes), fields.get("scope", NOWHERE)
        fields.setdefault("module", scope.path)
        self.nodes.append(cast("N", self.node(index, op, operands, attrs, **fields)))
        return Ref(index)

    def graph(self, *outputs: Ref) -> Graph:
        """The graph whose ``outputs`` these are, its values computed."""
        graph = Graph.of(self.nodes, [output.index for output in outputs])
        return graph.with_values(graph.values())


def _operands(x: Tensor) -> tuple[Tensor | Literal, ...]:
    if x._freed:
        raise GraphError(
            f"the graph of {x._described()} (made at {x.site}) was walked backward, and freed when another "
            "was; look at it before that, or call backward(retain_graph=True)"
        )
    return x.operands


def _fed(leaf: Node, value: Any, reference: bool) -> Array:
    """The value fed to a leaf, in its shape and dtype."""
    array = np.asarray(value)
    if array.shape != leaf.shape:
        raise ShapeError(f"{leaf.label} has shape {leaf.shape} in this graph, but was fed {array.shape}")
    if reference and np.iscomplexobj(array):
        return array
    if not np.can_cast(array.dtype, leaf.dtype, "same_kind"):
        raise DTypeError(f"{leaf.label} is {leaf.dtype} in this graph, but was fed {array.dtype}")
    return array.astype(leaf.dtype)


answering(globals())
