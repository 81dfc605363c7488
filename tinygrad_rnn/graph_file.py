"""A graph as JSON: its nodes, their attributes and arrays, and the checks of what a file says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import ArgumentError, DataError, ShapeError
from .operation_errors import short
from .primitives import TABLE
from .primitives.missing_primitives import Absent, absent, is_built_in
from .primitives.record import OWN, Primitive
from .thread_state import Scope

#: characters of the name of an operation that only the file knows
NAME_LIMIT = 200
#: bytes that the values of a loaded graph may take together
LOAD_LIMIT = 1 << 30
#: time steps of a loaded graph are not numbered beyond this
LAST_STEP = 1_000_000


def document(text: str, format: str) -> dict[str, Any]:
    """The JSON object in a saved graph's ``text``; a `DataError` if it is none, or of another ``format``."""
    if not isinstance(text, (str, bytes, bytearray)):
        raise ArgumentError(f"a saved graph is a text, not {type(text).__name__}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a saved graph: {short(str(error), 200)}") from None
    if not isinstance(data, dict) or "format" not in data:
        raise DataError(f"not a saved graph: it does not say that it is {format}")
    if data["format"] != format:
        raise DataError(f"graph format {short(str(data['format']))!r} is not {format!r}, which is read here")
    return data


def node_as_data(node: Any) -> dict[str, Any]:
    """A `Node` for JSON, with its value if it is a leaf or if another process may not be able to compute it."""
    kept = node.op is None or (node.value is not None and not is_built_in(node.op))
    return {
        "op": node.op.name if node.op else None,
        "operands": [x if isinstance(x, (int, float)) else {"node": x.index} for x in node.operands],
        "attrs": {key: encoded(value) for key, value in node.attrs.items()},
        "shape": node.shape,
        "dtype": node.dtype.str,
        "requires_grad": node.requires_grad,
        "scope": node.scope if node.scope.inner is not None else node.scope[:-1],
        "name": node.name,
        "role": node.role,
        "site": node.site,
        **({"value": encoded(node.value)} if kept else {}),
        **({"starts": True} if node.starts else {}),
        **({"module": node.module} if node.module != node.scope.path else {}),
        **({"variable": node.variable} if node.variable else {}),
    }


def node_from_data(
    index: int, item: dict[str, Any], ref: Callable[[int], Any]
) -> tuple[Primitive | None, tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Operation, operands, attributes and other fields of the `Node` number ``index``; ``ref`` makes its `Ref`s."""
    op = operation_of(index, item)
    if not all(isinstance(x, (dict, int, float)) for x in item["operands"]):
        raise DataError(f"not a saved graph: an operand of node {index} is of the wrong kind")
    operands = tuple(ref(int(x["node"])) if isinstance(x, dict) else x for x in item["operands"])
    fields = {
        "shape": tuple(item["shape"]),
        "dtype": np.dtype(item["dtype"]),
        "value": value_of(index, item, op),
        "requires_grad": bool(item["requires_grad"]),
        "scope": scope_of(index, item),
        "name": item["name"],
        "role": item["role"],
        "site": item["site"],
        "serial": -1 - index,
        "starts": item.get("starts") is True,
        "module": tuple(item.get("module", item["scope"][0])),
        "variable": item.get("variable"),
    }
    return op, operands, {key: decoded(value) for key, value in item["attrs"].items()}, fields


def encoded(value: Any) -> Any:
    """An attribute or array as JSON."""
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.str, "shape": value.shape, "hex": np.ascontiguousarray(value).tobytes().hex()}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, tuple):
        return {"tuple": [encoded(item) for item in value]}
    return value


def decoded(value: Any) -> Any:
    """The value that `encoded` turned into this one."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype = np.dtype(value["array"])
        if dtype.kind not in "fiub":
            raise DataError(f"an array of dtype {dtype} has no place in a graph")
        return np.frombuffer(bytes.fromhex(value["hex"]), dtype).reshape(value["shape"]).copy()
    if "slice" in value:
        return slice(*value["slice"])
    if "dtype" in value:
        return np.dtype(value["dtype"])
    if "ellipsis" in value:
        return Ellipsis
    return tuple(decoded(item) for item in value["tuple"])


def operation_of(index: int, item: dict[str, Any]) -> Primitive | None:
    """The operation that made node ``index``; None of a leaf."""
    name, kept = item["op"], "value" in item
    if name is None:
        return None
    if isinstance(name, str) and name in TABLE and not (kept and name in OWN):  # the engine's own are written without
        return TABLE[name]
    has_sources = any(isinstance(x, dict) for x in item["operands"])
    if kept and has_sources and isinstance(name, str) and 0 < len(name) <= NAME_LIMIT:
        return absent(name)
    raise DataError(
        f"not a saved graph: node {index} is made by {short(repr(name))}, which is no operation known here; "
        "one of your own has to be defined before a graph is loaded that lacks the value"
    )


def bounded(nodes: Sequence[Any]) -> None:
    """Refuse a file whose nodes would take more memory than `LOAD_LIMIT`; shapes are worked out, not believed."""
    total = 0
    for node in nodes:
        if node.op is not None and not isinstance(node.op, Absent):  # whose value is there, and is compared
            shapes = [nodes[x.index].shape if hasattr(x, "index") else () for x in node.operands]
            try:
                shape = node.op.shape(*shapes, **node.attrs)
            except ShapeError as error:
                raise DataError(f"not a saved graph: node {node.index}, {node.op.name}: {error.detail}") from None
            if tuple(shape) != node.shape:
                raise DataError(f"not a saved graph: node {node.index} says {node.shape} but is {tuple(shape)}")
        total += 8 * math.prod(node.shape)
        if total > LOAD_LIMIT:
            raise DataError(
                f"the graph takes more than {LOAD_LIMIT >> 20} MiB to compute (node {node.index} is {node.shape}); "
                "if you trust the file, raise tinygrad_rnn.graph_file.LOAD_LIMIT"
            )


def scope_of(index: int, item: dict[str, Any]) -> Scope:
    """The scope of a saved node, whose other names are looked at, too."""
    if not isinstance(item["scope"], list) or len(item["scope"]) not in (4, 5):
        raise DataError(f"not a saved graph: the scope of node {index} is not a list of path, step, part and backward")
    path, step, part, backward, *rest = item["scope"]
    inner = rest[0] if rest else None
    texts = (item["name"], item["role"], item["site"], item.get("variable"), *(item.get("module") or ()), part)
    if (
        not all(isinstance(text, str) for text in (*path, *(text for text in texts if text is not None)))
        or not all(time is None or (type(time) is int and abs(time) <= LAST_STEP) for time in (step, inner))
        or type(backward) is not bool
    ):
        raise DataError(f"not a saved graph: a name or the scope of node {index} is of the wrong kind")
    return Scope(tuple(path), step, part, backward, inner)


def value_of(index: int, item: dict[str, Any], op: Primitive | None) -> Any:
    """The value that a saved node comes with: a leaf's, and that of an operation that is not in this process."""
    if op is not None and not isinstance(op, Absent):
        return None
    value = decoded(item["value"])
    if not isinstance(value, np.ndarray):
        raise DataError(f"not a saved graph: node {index} comes with a value, and its value is no array")
    return value
