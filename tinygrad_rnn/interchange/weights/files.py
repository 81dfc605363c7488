"""Weight files: mappings of names to arrays, read without running anything and only as large as they are.

A file's headers are not believed: an array that should be larger than the file could hold is refused before memory is
asked for, names are names and never paths, links out of the file are refused, and nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ...errors import ArgumentError, DataError, TinygradError
from ...explain import short
from ...files import write_atomically
from ...tensor import Array
from .. import framework

#: bytes of an array that a compressed file may hold for each of its own
RATIO = 1100
LIMIT = 1 << 30


def read_file(path: str | Path) -> dict[str, Any]:
    """The arrays of a file by name. Raises `DataError`, in one line, for one that cannot be used."""
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no weight file {file}")
    reader = _reader(file)
    try:
        return reader(file)
    except TinygradError:
        raise
    except Exception as error:  # whatever a hostile file makes a library trip over
        raise DataError(f"{file} cannot be read: {type(error).__name__} {short(str(error), 120)}") from None


def write_file(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays under their names, whole or not at all."""
    file = Path(path)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    buffer = io.BytesIO()
    if file.suffix == ".safetensors":
        buffer.write(safetensors.numpy.save(arrays))
    elif file.suffix == ".npz":
        np.savez(buffer, allow_pickle=False, **arrays)
    elif file.suffix == ".npy" and len(arrays) == 1:
        np.save(buffer, next(iter(arrays.values())), allow_pickle=False)
    elif file.suffix in (".h5", ".hdf5"):
        with framework("h5py", "keras").File(buffer, "w") as content:
            for name, value in arrays.items():
                content[name] = value
    else:
        raise ArgumentError(f"weights are written as .safetensors, .npz, .npy (one vector) or .h5, not {file.name}")
    write_atomically(file, buffer.getvalue())


def _reader(file: Path) -> Callable[[Path], dict[str, Any]]:
    readers = {
        ".safetensors": lambda f: safetensors.numpy.load(f.read_bytes()),
        ".npz": _npz,
        ".npy": lambda f: {"": _npy(io.BytesIO(f.read_bytes()), f.stat().st_size, f.name)},
        ".h5": _h5,
        ".hdf5": _h5,
        ".keras": _keras,
        ".onnx": _onnx,
    }
    if file.suffix not in readers:
        raise DataError(f"{file} is no weight file that is read here; those are {', '.join(readers)}")
    return readers[file.suffix]


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


def _h5(file: Path) -> dict[str, Any]:
    with framework("h5py", "keras").File(file, "r") as content:
        return dict(_datasets(content, "", file.stat().st_size))


def _keras(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        entry = archive.getinfo("model.weights.h5")
        _believable(entry.file_size, max(entry.compress_size, 1), f"{file}: {entry.filename}")
        json.loads(archive.read("metadata.json")[:65536])
        raw = archive.read(entry)
    with framework("h5py", "keras").File(io.BytesIO(raw), "r") as content:
        return dict(_datasets(content, "", len(raw)))


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


def _onnx(file: Path) -> dict[str, Any]:
    """W, R, B and P of every recurrent node, under the node's name."""
    onnx = framework("onnx", "onnx")
    model = onnx.load_model_from_string(file.read_bytes())
    stored = {each.name: each for each in model.graph.initializer}
    found: dict[str, Any] = {}
    for k, node in enumerate(model.graph.node):
        if node.op_type not in ("LSTM", "GRU", "RNN"):
            continue
        for name, place in {"W": 1, "R": 2, "B": 3, "P": 7}.items():
            given = node.input[place] if len(node.input) > place else ""
            if not given:
                continue
            if given not in stored:
                raise DataError(f"{file}: {name} of {node.op_type} {node.name or k} is computed, not stored")
            if stored[given].data_location == onnx.TensorProto.EXTERNAL:
                raise DataError(f"{file}: {given} keeps its numbers in another file, which is not opened")
            found[f"{(node.name or f'{node.op_type}_{k}').strip('/')}/{name}"] = onnx.numpy_helper.to_array(
                stored[given]
            )
    return found
