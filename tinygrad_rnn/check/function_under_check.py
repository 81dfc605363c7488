"""Calling a function under check: its inputs are made leaves, and it is called three times, to find hidden state.

Twice at the same point, to see whether it is one function; once a little aside, to see what follows the inputs there
although no gradient does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..arguments import positional
from ..errors import DTypeError, GraphError, ShapeError
from ..graph import Graph, Node
from ..recorded_tensors import recorded
from ..rounding_noise import doubled
from ..tensors import Array, Tensor

#: by how much of its size a leaf is moved to see what follows it
MOVE = 2.0**-20


def upstream_of(outputs: Sequence[Tensor], given: Any, rng: np.random.Generator) -> list[Array]:
    """The gradients a walk starts from, checked: 1 of a single number, random for anything else."""
    for y in outputs:
        if y.dtype.kind != "f":
            raise GraphError(
                f"check_gradients: an output is {y.dtype}; only floats have gradients; return those alone, or cast them"
            )
    if given is None:
        if len(outputs) == 1 and outputs[0].shape == ():
            return [np.ones((), outputs[0].dtype)]
        return [np.asarray(rng.standard_normal(y.shape)).astype(y.dtype) for y in outputs]
    listed = list(given) if isinstance(given, (list, tuple)) and len(outputs) > 1 else [given]
    if len(listed) != len(outputs):
        raise GraphError(f"check_gradients: {len(outputs)} outputs want as many grad_outputs, not {len(listed)}")
    upstream = [np.asarray(g).astype(y.dtype) for g, y in zip(listed, outputs, strict=True)]
    for g, y in zip(upstream, outputs, strict=True):
        if g.shape != y.shape:
            raise ShapeError(
                f"check_gradients: an output has shape {y.shape} but its upstream gradient {g.shape}; make them equal"
            )
    return upstream


def replayed(graph: Graph, feeds: Any) -> list[Tensor]:
    """The outputs of a graph as tensors again, computed in double precision."""
    if feeds is not None:
        if not isinstance(feeds, Mapping):
            raise GraphError("check_gradients: a graph's inputs are a mapping from leaves' names to values")
        graph = graph.with_values(graph.values(feeds))
    tensors = doubled(graph).tensors()
    return [tensors[index] for index in graph.outputs]


class Called(NamedTuple):
    """The outputs of a function, and problems of it that do not depend on its gradients."""

    outputs: list[Tensor]
    names: dict[int, str]  #: of the leaves made from inputs, by serial number
    unsteady: str | None = None  #: what differs when it is called again
    severed: str | None = None  #: what follows the leaves although no gradient flows back from it


def called(function: Callable[..., Any], inputs: Any) -> Called:
    """Call a function under check."""
    if isinstance(inputs, (str, bytes)):
        raise DTypeError(f"check_gradients: inputs are numbers, arrays or tensors, not {type(inputs).__name__}")
    named, positional = _leaves(function, inputs)

    def call() -> list[Tensor]:
        result = function(*positional.values()) if not named else function(**named)
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        for y in outputs:
            if not isinstance(y, Tensor):
                raise GraphError(
                    f"check_gradients: the function returned {type(y).__name__}; return a tensor or several"
                )
        return outputs

    given = named or positional
    before = {name: x.numpy().copy() for name, x in given.items() if isinstance(x, Tensor)}
    outputs, again = call(), call()
    names = {x.serial: str(name) for name, x in given.items() if isinstance(x, Tensor) and x.name is None}
    written = [name for name, x in before.items() if not np.array_equal(x, given[name].numpy(), equal_nan=True)]
    if written:
        return Called(outputs, names, f"the function wrote to its input {written[0]}")
    unsteady = _difference(Graph(*outputs), Graph(*again))
    if unsteady:
        return Called(outputs, names, unsteady)
    with _moved([*outputs, *(x for x in given.values() if isinstance(x, Tensor))]):
        aside = call()
    return Called(outputs, names, severed=_severed(Graph(*outputs), Graph(*aside)))


@contextmanager
def _moved(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Every leaf behind ``tensors`` that requires a gradient, moved by a few units in float32's last place."""
    leaves = [x for x in recorded(*tensors).values() if x.op is None and x.requires_grad]
    held = [x._array for x in leaves]
    try:
        for x, array in zip(leaves, held, strict=True):
            x._array = np.where(array == 0, MOVE, array * (1 + MOVE)).astype(array.dtype)
        yield
    finally:
        for x, array in zip(leaves, held, strict=True):
            x._array = array


def _severed(here: Graph, aside: Graph) -> str | None:
    """The first constant that is another one where the leaves are moved; None also if another path was taken there."""
    if list(map(_operation, here.nodes)) != list(map(_operation, aside.nodes)):
        return None
    for a, b in zip(here.nodes, aside.nodes, strict=True):
        if a.serial != b.serial and _constants(a) != _constants(b):
            step = "" if a.scope.step is None else f" at time step {a.scope.step + 1}"
            users = [here.nodes[i].site for i in here.consumers[a.index]] or ["the end"]
            site = f"made at {a.site}" if a.site else f"used at {users[0]}"
            return (
                f"{a.label}{step} ({site}) changes with what is differentiated, but no gradient flows back from it; "
                "compute it without detach(), numpy(), item() or no_grad, or check tg.Graph of the outputs, where it "
                "is a constant"
            )
    return None


def _operation(node: Node) -> str | None:
    """Its name: each call of a `Function` is an operation of its own."""
    return None if node.op is None else node.op.name


def _constants(node: Node) -> list[bytes]:
    """The floats of a node that no operation made."""
    numbers = [np.float64(x).tobytes() for x in node.operands if isinstance(x, float)]
    if node.op is None and node.value is not None and node.dtype.kind == "f":
        return [*numbers, node.value.tobytes()]
    return numbers


def _difference(one: Graph, other: Graph) -> str | None:
    """The first node whose value differs between two calls."""
    hint = "call eval() on modules with dropout, or tg.manual_seed inside the function"
    if len(one) != len(other):
        return f"two calls gave graphs of {len(one)} and {len(other)} nodes"
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert a.value is not None and b.value is not None
        if (
            _operation(a) != _operation(b)
            or a.shape != b.shape
            or not np.array_equal(a.value, b.value, equal_nan=a.dtype.kind == "f")
        ):
            return f"two calls gave different values of {a.label} (made at {a.site}); {hint}"
    return None


def _leaves(function: Callable[..., Any], inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return {str(name): _leaf(x) for name, x in inputs.items()}, {}
    if inputs is None:
        return {}, {}
    one = not isinstance(inputs, (list, tuple)) or (
        isinstance(inputs, list) and all(isinstance(x, (int, float)) for x in inputs)
    )
    listed = [inputs] if one else list(inputs)
    parameters = positional(function)
    names = [parameters[i] if i < len(parameters) else f"input {i}" for i in range(len(listed))]
    return {}, {name: _leaf(x) for name, x in zip(names, listed, strict=True)}


def _leaf(x: Any) -> Any:
    """Floats become a leaf that requires a gradient; tensors stay; anything else is passed on."""
    if isinstance(x, Tensor):
        if x.op is not None:
            raise GraphError(f"check_gradients: the input {x._described()} was made by {x.op.name}; detach() it")
        return x
    if isinstance(x, (str, bool, int)) or callable(x):
        return x
    array = np.asarray(x)
    return Tensor(array, requires_grad=array.dtype.kind == "f")
