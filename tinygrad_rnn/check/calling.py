"""How a function under check is called: its inputs made into leaves, and twice, to see whether it is one function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError, ShapeError
from ..graph import Graph
from ..tensor import Array, Tensor
from .walked import replay


def upstream_of(outputs: Sequence[Tensor], given: Any, rng: np.random.Generator) -> list[Array]:
    """The gradients a walk starts from, checked: 1 of a single number, random for anything else."""
    for y in outputs:
        if y.dtype.kind != "f":
            raise GraphError(f"check_gradients: an output is {y.dtype}; only float outputs have gradients")
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
            raise ShapeError(f"check_gradients: an output has shape {y.shape} but its upstream gradient {g.shape}")
    return upstream


def replayed(graph: Graph, feeds: Any) -> list[Tensor]:
    """The outputs of a graph as tensors again, computed in double precision."""
    if feeds is not None:
        if not isinstance(feeds, Mapping):
            raise GraphError("check_gradients: a graph's inputs are a mapping from leaves' names to values")
        values = graph.values(feeds)
        graph = Graph.of((replace(node, value=v) for node, v in zip(graph.nodes, values, strict=True)), graph.outputs)
    tensors = replay(graph)
    return [tensors[index] for index in graph.outputs]


def called_twice(function: Callable[..., Any], inputs: Any) -> tuple[list[Tensor], dict[int, str], str | None]:
    """Outputs, names of the leaves made from inputs, and what differs when the function is called again."""
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
        return outputs, names, f"the function wrote to its input {written[0]}"
    return outputs, names, _difference(Graph(*outputs), Graph(*again))


def _difference(one: Graph, other: Graph) -> str | None:
    """The first node whose value differs between two calls."""
    hint = "call eval() on modules with dropout, or tg.manual_seed inside the function"
    if len(one) != len(other):
        return f"two calls gave graphs of {len(one)} and {len(other)} nodes"
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert a.value is not None and b.value is not None
        if (
            a.op is not b.op
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
    try:
        parameters = [p.name for p in inspect.signature(function).parameters.values() if p.kind != p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        parameters = []
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
