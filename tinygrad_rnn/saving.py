"""Saving values: one safetensors file, written whole or not at all, with a checksum of everything in it. No pickle.

A ``state_dict`` becomes a file that ``safetensors.torch.load_file`` opens as PyTorch's own, and the other way round.
Around the tensors there may be dicts, lists, tuples, numbers, strings and None: a whole training state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arguments import answering
from .array_conversion import asked_dtype
from .errors import DataError, DTypeError, TinygradError
from .files import PathLike, as_path, write_atomically
from .operation_errors import short
from .optional_packages import needed
from .tensors import Array, Tensor

FORMAT = "tinygrad_rnn.values/1"


def save(obj: Any, path: PathLike) -> None:
    """Write ``obj``: tensors, arrays, numbers, strings and None, in dicts, lists and tuples, to the file ``path``.

    `load` gives it back. Dicts have texts or integers as keys. Anything else, such as a module, is a `DTypeError`:
    save its ``state_dict()``.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> adam = tg.optim.Adam(model.parameters())
    >>> tg.save({"model": model.state_dict(), "adam": adam.state_dict(), "epoch": 3}, "training.safetensors")
    >>> found = tg.load("training.safetensors")
    >>> found["epoch"], list(found["model"])
    (3, ['weight', 'bias'])
    """
    with needed("saving", "save"):
        from safetensors.numpy import save as serialized

    as_path(path)  # before any work is done
    arrays: dict[str, Array] = {}
    try:
        outline = json.dumps(_outline(obj, "", arrays))
    except RecursionError:
        raise DTypeError("save: a dict or list contains itself, or lies deeper than Python can follow") from None
    facts = {"format": FORMAT, "outline": outline}
    facts["sha256"] = checksum(facts, arrays)
    write_atomically(path, serialized(arrays, {"tinygrad_rnn": json.dumps(facts)}))


def load(path: PathLike, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """The values that `save` wrote to ``path``, tensors as new leaves; of another safetensors file its tensors by name.

    ``map_location`` is the "cpu", or None. No file is executed, so ``weights_only`` changes nothing.

    Raises `DataError`, in one line, if the file is not there, not such a file, or damaged.

    >>> import tinygrad_rnn as tg
    >>> tg.save({"w": tg.ones(2)}, "weights.safetensors")
    >>> tg.load("weights.safetensors")
    {'w': tensor([1., 1.])}
    """
    with needed("reading what was saved", "save"):
        import safetensors

    asked_dtype("load", (), None, map_location)
    file = as_path(path)
    if not file.is_file():
        raise DataError(f"{file} is a folder, no file" if file.is_dir() else f"there is no file {file}")
    try:
        with safetensors.safe_open(str(file), framework="numpy") as content:
            facts = json.loads((content.metadata() or {}).get("tinygrad_rnn", "{}"))
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        for array in arrays.values():
            if array.dtype.char not in "fde" and array.dtype.kind not in "iub":  # another package's, such as bfloat16
                raise DataError(_without_dtype(file, array.dtype.name))
        if not facts:
            return {name: Tensor(array) for name, array in arrays.items()}
        if facts.get("format") != FORMAT:
            raise DataError(f"{file} holds {short(str(facts.get('format')))}, not saved values ({FORMAT})")
        if facts.pop("sha256", None) != checksum(facts, arrays):
            raise DataError(f"{file} is damaged: its checksum does not fit its content; use an older one")
        return _rebuilt(json.loads(facts["outline"]), arrays)
    except TinygradError:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{file} is not a readable safetensors file: {unreadable(error)}") from None
    except TypeError as error:
        if "not understood" not in str(error):
            raise
        raise DataError(_without_dtype(file, str(error).split("'")[1])) from None
    except Exception as error:  # whatever a hostile file makes json or the outline trip over
        raise DataError(f"{file} is damaged: {type(error).__name__} {short(str(error), 120)}") from None


def unreadable(error: Exception) -> str:
    """The reason why a file cannot be opened as safetensors, in plainer words than that package's."""
    words = str(error).lower().replace(" ", "")
    if isinstance(error, OSError):
        return short(error.strerror or str(error), 120)
    if "headerlength" in words or "incomplete" in words:
        return "it is cut off, or more was written behind it; copy it again, or use an older one"
    if any(each in words for each in ("headertoo", "utf-8", "utf8", "json", "headerstart", "invalidheader")):
        return "it does not begin as one does, so it is a file of another kind, or damaged"
    return "it is damaged: what it says of its arrays does not fit what follows; use an older one"


def _without_dtype(file: Any, name: str) -> str:
    return f"{file} has tensors of {name}, which NumPy does not have; save them as float32"


def checksum(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a file says."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _outline(obj: Any, name: str, arrays: dict[str, Array]) -> Any:
    """``obj`` as JSON: plain values as they are, everything else a pair of what it is and what is in it."""
    if isinstance(obj, (Tensor, np.ndarray)):
        array = np.asarray(obj)
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"save: {name or 'the value'} is an array of {array.dtype}; save numbers")
        if not name.isascii() and name.encode(errors="ignore").decode() != name:
            raise DTypeError(f"save: {name!a:.60} has half a character (a lone surrogate) in its name; give it another")
        while not name or name in arrays:  # two paths that read alike: {"a.b": x} and {"a": {"b": y}}
            name += "_"
        arrays[name] = np.array(array, order="C")
        return ["tensor" if isinstance(obj, Tensor) else "array", name]
    if isinstance(obj, np.generic):
        obj = obj.item()
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, Mapping):
        if strange := [key for key in obj if type(key) not in (str, int)]:
            raise DTypeError(f"save: keys are texts or integers, not {strange[0]!r:.40}, in {name or 'the dict'}")
        inside = [[key, _outline(value, f"{name}.{key}" if name else str(key), arrays)] for key, value in obj.items()]
        return ["dict", inside]
    if isinstance(obj, (list, tuple)):
        kind = "tuple" if isinstance(obj, tuple) else "list"
        return [kind, [_outline(v, f"{name}.{i}" if name else str(i), arrays) for i, v in enumerate(obj)]]
    cure = "save its state_dict()" if hasattr(obj, "state_dict") else "save tensors, numbers and texts"
    raise DTypeError(f"save: {name or 'the value'} is {type(obj).__name__}, which would take a pickle; {cure}")


def _rebuilt(outline: Any, arrays: Mapping[str, Array]) -> Any:
    if not isinstance(outline, list):
        return outline
    kind, content = outline
    if kind == "dict":
        return {key: _rebuilt(value, arrays) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_rebuilt(value, arrays) for value in content]
        return values if kind == "list" else tuple(values)
    return Tensor(arrays[content]) if kind == "tensor" else arrays[content]


answering(globals())
