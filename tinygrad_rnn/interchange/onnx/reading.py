"""Reading an ONNX file, which may be damaged or hostile: nothing in it is run, and sizes are checked against its bytes.

Every error is one line that says what is wrong with which tensor or node of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError, DataError
from ...optional_packages import framework
from ..framework_types import as_supported

onnx = framework("onnx", "onnx")

#: a tensor of more elements is refused: no model that this engine can run has one, so its size is wrong
MOST_ELEMENTS = 2**28


def read(source: Any) -> tuple[Any, str, Path | None]:
    """The model of a path, of bytes, or as it is; what to call it; the folder its external data may lie in."""
    if isinstance(source, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        return copy, copy.graph.name or "the model", None
    name, folder = "the model", None
    if isinstance(source, (str, Path)):
        path = Path(source)
        name, folder = path.name, path.parent
        try:
            source = path.read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise ArgumentError(f"from_onnx takes a path, bytes or a ModelProto, not {type(source).__name__}")
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(source))
    except DecodeError:
        raise DataError(f"{name} is no ONNX model, or only a part of one") from None
    if not _texts_are_texts(model):
        raise DataError(f"{name} is no ONNX model: a name in it is not UTF-8")
    if not model.HasField("graph") or not model.opset_import:
        raise DataError(f"{name} is no ONNX model: it has no graph, or does not say which operators it is written in")
    return model, name, folder


def _texts_are_texts(message: Any) -> bool:
    """Whether every text in a message is valid UTF-8; the library gives any other as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for part in [value] if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value:
            if isinstance(part, bytes) or (not isinstance(part, str) and not _texts_are_texts(part)):
                return False
    return True


def checked(model: Any, name: str) -> None:
    """Let the standard's own checker look at it."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} is not valid ONNX: {_first_line(error)}") from None


def inlined(model: Any, name: str) -> Any:
    """The model with its own functions put in the places where they are called."""
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # whatever the library raises of a malformed function
        raise DataError(f"{name}: its functions cannot be inlined: {_first_line(error)}") from None


def array_of(tensor: Any, folder: Path | None, notes: dict[str, None]) -> np.ndarray[Any, Any]:
    """A tensor's value; what this engine has no dtype for becomes the next larger one, which is noted."""
    name = tensor.name or "a constant"
    count = int(np.prod([max(0, n) for n in tensor.dims], dtype=object)) if tensor.dims else 1
    if count > MOST_ELEMENTS or any(n < 0 for n in tensor.dims):
        raise DataError(f"tensor {name!r:.60} says it has shape {tuple(tensor.dims)}, which no tensor here can have")
    if tensor.data_type == onnx.TensorProto.STRING:
        raise DataError(f"tensor {name!r:.60} holds texts; only numbers can be imported")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor.raw_data = _external(tensor, folder, name)
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT
    try:
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # a size that is not there, a type that does not exist
        raise DataError(
            f"tensor {name!r:.60} cannot be read as shape {tuple(tensor.dims)}: {_first_line(error)}"
        ) from None
    return as_supported(array, f"tensor {name!r:.60}", notes)


def _external(tensor: Any, folder: Path | None, name: str) -> bytes:
    """Data that lies in a file beside the model, and nowhere else."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    said = f"tensor {name!r:.60} lies in the file {location!r:.80}"
    if folder is None:
        raise DataError(f"{said}, which only a model read from a path can have beside it; pass the path")
    path = folder / location
    try:
        inside = path.resolve().is_relative_to(folder.resolve()) and not Path(location).is_absolute()
        if not location or not inside or "\\" in location:
            raise DataError(f"{said}, outside the model's folder; it is not read")
        if not path.is_file():
            raise DataError(f"{said}, which does not exist")
        offset, have = int(entries.get("offset") or 0), path.stat().st_size
        length = int(entries["length"]) if entries.get("length") else have - offset
        if offset < 0 or length < 0 or offset + length > have:
            raise DataError(f"{said} from byte {offset} on for {length} bytes, but that has only {have}")
        wanted = _bytes_of(tensor)
        if length != wanted:
            raise DataError(f"{said} with {length} bytes, but shape {tuple(tensor.dims)} takes {wanted}")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{said}, which cannot be read: {_first_line(error)}") from None


def numpy_dtype(code: int) -> np.dtype[Any]:
    """NumPy's dtype for a number of ONNX's; `DataError` for one that the standard does not have."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError, TypeError):
        raise DataError(f"type {code} is none of the standard's") from None


def _bytes_of(tensor: Any) -> int:
    kind = numpy_dtype(tensor.data_type)
    small = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4, getattr(onnx.TensorProto, "FLOAT4E2M1", -1)}
    count = int(np.prod(tensor.dims, dtype=object)) if tensor.dims else 1
    return (count + 1) // 2 if tensor.data_type in small else count * kind.itemsize


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
