"""Weight files: mappings of names to arrays, read without running anything and only as large as they are.

A file's headers are not believed: an array that should be larger than the file could hold is refused before memory is
asked for, names are names and never paths, links out of the file are refused, and nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError, DataError, TinygradError
from ...files import PathLike, as_path, write_atomically
from ...operation_errors import short
from ...optional_packages import framework, needed
from ...tensors import Array

#: bytes of an array that a compressed file may hold for each of its own
RATIO = 1100
LIMIT = 1 << 30


@dataclass(frozen=True)
class Told:
    """The dialect and options that a file states for the layer whose arrays' names begin with ``start``."""

    start: str
    dialect: str
    options: Mapping[str, Any]


def read_file(path: PathLike, kind: str | None = None) -> tuple[dict[str, Any], list[Told]]:
    """The arrays of a file by name, and what it says about them. Raises `DataError`, in one line.

    ``kind``: the ending to read it by, if it is not its own.
    """
    file = as_path(path)
    if not file.is_file():
        raise DataError(f"there is no file {file}")
    kind = kind or file.suffix
    reader = _reader(file, kind)
    try:
        read = reader(file)
        return read if isinstance(read, tuple) else (read, [])
    except TinygradError:
        raise
    except Exception as error:  # whatever a hostile file makes a library trip over
        raise DataError(f"{file} cannot be read as {kind}: {type(error).__name__} {short(str(error), 120)}") from None


def write_file(path: PathLike, arrays: Mapping[str, Array]) -> None:
    """Write the arrays under their names, whole or not at all."""
    file = as_path(path)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    buffer = io.BytesIO()
    if file.suffix == ".safetensors":
        buffer.write(_safetensors().save(arrays))
    elif file.suffix == ".npz":
        np.savez(buffer, allow_pickle=False, **arrays)
    elif file.suffix == ".npy" and len(arrays) == 1:
        np.save(buffer, next(iter(arrays.values())), allow_pickle=False)
    elif file.suffix in (".h5", ".hdf5"):
        with framework("h5py", "keras").File(buffer, "w") as content:
            for name, value in arrays.items():
                content[name] = value
    else:
        raise ArgumentError(
            f"weights are written as .safetensors, .npz, .npy (one vector), .h5, .onnx or .keras, not {file.name}"
        )
    write_atomically(file, buffer.getvalue())


def _safetensors() -> Any:
    with needed("a .safetensors file", "save"):
        import safetensors.numpy
    return safetensors.numpy


def _reader(file: Path, kind: str) -> Callable[[Path], Any]:
    readers = {
        ".safetensors": lambda f: _safetensors().load(f.read_bytes()),
        ".npz": _npz,
        ".npy": lambda f: {"": _npy(io.BytesIO(f.read_bytes()), f.stat().st_size, f.name)},
        ".h5": _h5,
        ".hdf5": _h5,
        ".keras": _keras,
        ".onnx": _onnx,
    }
    if kind not in readers:
        raise DataError(f"{file} is no weight file that is read here; those are {', '.join(readers)}")
    return readers[kind]


def _npz(file: Path) -> dict[str, Any]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            _believable(entry.file_size, max(entry.compress_size, 1), f"{file}: {entry.filename}")
            with archive.open(entry) as content:
                raw = content.read(entry.file_size)
            found[entry.filename.removesuffix(".npy")] = _npy(io.BytesIO(raw), len(raw), entry.filename)
    return found


def _npy(content: io.BytesIO, size: int, name: str) -> Array:
    """One array, whose header must not promise more than follows it."""
    version = np.lib.format.read_magic(content)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise DataError(f"{name}: version {version} of the array format is not read here")
    shape, _, dtype = read(content)
    if dtype.hasobject:
        raise DataError(f"{name} holds pickled objects, which are not read")
    if math.prod(shape) * dtype.itemsize != size - content.tell():
        raise DataError(f"{name} is damaged: its header promises {shape} of {dtype}, which is not what follows")
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)


def _believable(size: int, stored: int, what: str) -> None:
    if size > LIMIT or size > RATIO * stored + (1 << 16):
        raise DataError(f"{what} promises {size} bytes, but the file holds {stored}")


def _h5(file: Path) -> tuple[dict[str, Any], list[Told]]:
    with framework("h5py", "keras").File(file, "r") as content:
        arrays = dict(_datasets(content, "", file.stat().st_size))
        version, config = (content.attrs.get(name) for name in ("keras_version", "model_config"))
        texts = [each.decode() if isinstance(each, bytes) else str(each) for each in (version, config)]
        if version is None or config is None:
            return arrays, []
        layers = [(f"model_weights/{name}/", layer) for name, layer in _layers(json.loads(texts[1]))]
        return arrays, _told(layers, texts[0])


def _keras(file: Path) -> tuple[dict[str, Any], list[Told]]:
    with zipfile.ZipFile(file) as archive:
        parts = {}
        for name in ("model.weights.h5", "metadata.json", "config.json"):
            entry = archive.getinfo(name)
            _believable(entry.file_size, max(entry.compress_size, 1), f"{file}: {name}")
            parts[name] = archive.read(entry)
    with framework("h5py", "keras").File(io.BytesIO(parts["model.weights.h5"]), "r") as content:
        arrays = dict(_datasets(content, "", len(parts["model.weights.h5"])))
    counts: dict[str, int] = {}
    layers = []
    for _, layer in _layers(json.loads(parts["config.json"])):  # named by class and number, not by their names
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", layer["class_name"]).lower()
        number = counts[kind] = counts.get(kind, -1) + 1
        layers.append((f"layers/{kind}{f'_{number}' if number else ''}/", layer))
    return arrays, _told(layers, json.loads(parts["metadata.json"])["keras_version"])


def _layers(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The layers of a sequential or functional model, by name."""
    inner = config.get("config", {})
    for layer in inner if isinstance(inner, list) else inner.get("layers", []):
        yield str(layer["config"].get("name", layer.get("name"))), layer


def _told(layers: Sequence[tuple[str, dict[str, Any]]], version: str) -> list[Told]:
    """The recurrent ones, as our dialects and options."""
    found = []
    for start, layer in layers:
        if layer["class_name"] == "Bidirectional":
            layer = layer["config"]["layer"]
        kind, config = layer["class_name"], layer["config"]
        if kind == "CuDNNLSTM":
            found.append(Told(start, "keras2.cudnn_lstm", {}))
        if kind not in ("LSTM", "GRU", "SimpleRNN"):
            continue
        new = _activation(config.get("activation", "tanh"), version)
        if kind == "SimpleRNN":
            found.append(Told(start, "keras.simple_rnn", {"nonlinearity": new}))
            continue
        gate = _activation(config.get("recurrent_activation", "hard_sigmoid"), version)
        if kind == "LSTM":
            found.append(Told(start, "keras.lstm", {"activations": (gate, new, new)}))
        else:
            after = config.get("reset_after", False)
            found.append(Told(start, "keras.gru" if after else "keras.gru_before", {"activations": (gate, new)}))
    return found


def _activation(name: Any, version: str) -> Any:
    """Our name of Keras' activation: its hard sigmoid has the slope 1/6 since version 3."""
    name = name if isinstance(name, str) else json.dumps(name)[:60]
    return "hard_sigmoid_6" if name == "hard_sigmoid" and int(version.split(".")[0]) >= 3 else name


_KERAS_VARIABLES = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}


def _datasets(group: Any, above: str, size: int, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every array under its name, those of recurrent cells under Keras' names for them; no links, no cycles."""
    h5py = framework("h5py", "keras")
    if depth > 16:
        raise DataError(f"{above} is nested too deep")
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{above}/{name} is a link to elsewhere, which is not followed")
        value = group[name]
        if isinstance(value, h5py.Group):
            yield from _datasets(value, f"{above}/{name}", size, depth + 1)
        elif value.dtype.kind == "f":
            if value.external or value.is_virtual:
                raise DataError(f"{above}/{name} keeps its numbers in another file, which is not opened")
            _believable(value.nbytes, size, f"{above}/{name}")
            yield _keras_name(f"{above}/{name}"), value[()]


def _keras_name(name: str) -> str:
    """``…/lstm_cell_1/kernel:0`` and ``…/cell/vars/0`` are both ``…/kernel``."""
    steps = name.removesuffix(":0").strip("/").split("/")
    if steps[-2:-1] == ["vars"] and steps[-3:-2] == ["cell"]:
        steps[-3:] = [_KERAS_VARIABLES.get(steps[-1], steps[-1])]
    if len(steps) > 2 and steps[-1] in _KERAS_VARIABLES.values():
        if "_cell" in steps[-2]:
            del steps[-2]
        for way in ("forward", "backward"):
            if steps[-2].startswith(f"{way}_"):
                steps[-2] = f"{way}_layer"
    return "/".join(steps)


_ONNX_OPTIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Softsign": "softsign", "Softplus": "softplus"}
_ONNX_OPTIONS |= {"HardSigmoid": "hard_sigmoid", "Elu": "elu", "LeakyRelu": "leaky_relu"}  # with their usual slopes


def _onnx(file: Path) -> tuple[dict[str, Any], list[Told]]:
    """W, R, B and P of every recurrent node, under the node's name."""
    framework("onnx", "onnx")
    from ..onnx import reading

    model, name, folder = reading.read(file)
    stored = {each.name: each for each in model.graph.initializer}
    found: dict[str, Any] = {}
    told = []
    for k, node in enumerate(model.graph.node):
        if node.op_type not in ("LSTM", "GRU", "RNN"):
            continue
        start = (node.name or f"{node.op_type}_{k}").strip("/") + "/"
        for key, place in {"W": 1, "R": 2, "B": 3, "P": 7}.items():
            given = node.input[place] if len(node.input) > place else ""
            if given and given not in stored:
                raise DataError(f"{name}: {key} of {node.op_type} {start} is computed, not stored; use from_onnx")
            if given:
                found[start + key] = reading.array_of(stored[given], folder, {})
        told.append(_node_told(start, node))
    return found, told


def _node_told(start: str, node: Any) -> Told:
    """The options of our layer that the attributes of a node ask for."""
    from onnx.helper import get_attribute_value

    given = {each.name: get_attribute_value(each) for each in node.attribute}
    direction = given.get("direction", b"forward").decode()
    if direction == "reverse" or "activation_alpha" in given or "activation_beta" in given:
        raise DataError(f"{start} runs backwards alone, or sets the slopes of activations; use from_onnx")
    ways = 2 if direction == "bidirectional" else 1
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[node.op_type]
    names = [each.decode() for each in given.get("activations", [])] or [*usual] * ways
    ours = [_ONNX_OPTIONS.get(each, each) for each in names]
    own = tuple(ours[: len(usual)])
    if own * ways != tuple(ours):
        raise DataError(f"{start} has other activations in its second direction; use from_onnx")
    options: dict[str, Any] = {"clip": given["clip"] if given.get("clip") else None}
    options |= {"nonlinearity": own[0]} if node.op_type == "RNN" else {"activations": own}
    options |= {"coupled": bool(given.get("input_forget"))} if node.op_type == "LSTM" else {}
    after = "_after" if given.get("linear_before_reset") else ""
    return Told(start, f"onnx.{node.op_type.lower()}{after}", options)
