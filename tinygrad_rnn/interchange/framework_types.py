"""Dtypes that other frameworks have and this engine does not: each becomes the next larger one, and that is said."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError

_SMALL_FLOATS = {"float16", "bfloat16"}


def as_supported(array: Any, what: str, notes: dict[str, None] | None = None) -> np.ndarray[Any, Any]:
    """``array`` in a dtype of ours: half precision as float32, which is noted; integers, booleans, floats as they are.

    Raises `DataError` for complex numbers, texts and objects.
    """
    array = np.asarray(array)
    if array.dtype.name in _SMALL_FLOATS or array.dtype.name.startswith("float8"):
        if notes is not None:
            notes[f"{what} is {array.dtype.name}, and float32 here"] = None
        return array.astype(np.float32)
    if array.dtype.name in ("int4", "uint4", "int2", "uint2"):
        return array.astype(np.int8 if array.dtype.name[0] == "i" else np.uint8)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise DataError(f"{what} is {array.dtype.name}, which no tensor here can be; cast it to float32, say")
    return array
