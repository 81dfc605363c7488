"""A trace as JSON, and back. Arrays are kept bit for bit, and one that several events share is written once."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

import tinygrad_rnn as tg

from ..graph import Ref
from ..kept_walk import Sent, WalkStep
from ..primitives.missing_primitives import Absent
from ..tensors import Array

T = TypeVar("T")
FORMAT = "tinygrad_rnn.trace/1"


class Stored(NamedTuple):
    """The parts of a trace."""

    graph: tg.Graph
    seed: Array
    steps: Sequence[WalkStep]
    every: int


def dumps(trace: Stored) -> str:
    """The trace as JSON text."""
    numbers: dict[int, int] = {}
    arrays: list[dict[str, Any]] = []

    def number(array: Array | None) -> int | None:
        if array is None:
            return None
        if id(array) not in numbers:
            numbers[id(array)] = len(arrays)
            data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
            arrays.append({"dtype": array.dtype.str, "shape": array.shape, "base64": data})
        return numbers[id(array)]

    steps = [
        {
            "node": step.node,
            "gradient": number(step.gradient),
            "contributions": [[c.slot, c.target, number(c.value)] for c in step.contributions],
            "replaced": step.replaced,
            "brought": [[node, number(total)] for node, total in step.brought],
        }
        for step in trace.steps
    ]
    graph = json.loads(trace.graph.to_json())
    head = {"format": FORMAT, "every": trace.every, "seed": number(trace.seed), "steps": steps}
    return json.dumps({**head, "graph": graph, "arrays": arrays}, ensure_ascii=False)


def loads(text: str, source: str, made: Callable[[Stored], T]) -> T:
    """The result of ``made`` for the parts that `dumps` wrote, each checked against the graph."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise tg.DataError(f"it does not say it is {FORMAT}")
        with np.errstate(all="ignore"):
            graph = tg.Graph.from_json(json.dumps(data["graph"]))
        if len(graph.outputs) != 1:
            raise tg.DataError("its graph must have one output")
        arrays = [_array(item) for item in data["arrays"]]
        steps = [_step(graph, arrays, item) for item in data["steps"]]
        every = int(data["every"])
        seed = _fitting(graph, graph.outputs[0], arrays[data["seed"]])
        if not steps or steps[0].node != graph.outputs[0] or len({step.node for step in steps}) != len(steps):
            raise tg.DataError("its steps do not start at the output and visit each node once")
        if any(a.node <= b.node for a, b in pairwise(steps)):
            raise tg.DataError("its steps are out of order")
        return made(Stored(graph, seed, steps, every))
    except Exception as error:
        words = str(error).split("\n")[0][:200] if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise tg.DataError(f"{source} is not a saved trace, or it is damaged: {words[:200]}") from None


def _array(item: Any) -> Array:
    dtype = np.dtype(item["dtype"])
    if dtype.kind != "f":
        raise tg.DataError(f"a gradient of dtype {dtype} cannot be")
    data = base64.b64decode(item["base64"], validate=True)
    if len(data) != math.prod(item["shape"]) * dtype.itemsize:
        raise tg.DataError(f"an array of shape {tuple(item['shape'])} holds {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(item["shape"])


def _fitting(graph: tg.Graph, node: int, array: Array) -> Array:
    target = graph.nodes[node]
    if array.shape != target.shape or array.dtype != target.dtype:
        raise tg.DataError(f"a gradient {array.shape} {array.dtype} at node {node}, which is {target.shape}")
    return array


def _step(graph: tg.Graph, arrays: list[Array], item: Any) -> WalkStep:
    node = graph.nodes[_index(graph, item["node"])]
    sent = []
    for slot, target, number in item["contributions"]:
        if node.op is None or node.operands[slot] != Ref(_index(graph, target)) or slot not in node.op.slots:
            raise tg.DataError(f"node {node.index} cannot contribute to node {target} by its operand {slot}")
        if number is None and isinstance(node.op, Absent):
            raise tg.DataError(node.op.missing)
        if number is None and (slot or node.op.accumulate is None):
            raise tg.DataError(f"a contribution of node {node.index} is missing")
        value = None if number is None else _fitting(graph, target, arrays[number])
        sent.append(Sent(slot, target, value))
    brought = tuple((_index(graph, n), _fitting(graph, n, arrays[number])) for n, number in item["brought"])
    gradient = _fitting(graph, node.index, arrays[item["gradient"]])
    if item["replaced"] not in (None, "hook", "what-if", "mistake"):
        raise tg.DataError("a step says neither that its gradient was replaced nor that it was not")
    return WalkStep(node.index, gradient, tuple(sent), item["replaced"], brought)


def _index(graph: tg.Graph, value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < len(graph):
        raise tg.DataError(f"there is no node {value}")
    return value
