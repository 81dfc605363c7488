"""Numbers, lists and arrays from outside as the array of a tensor, and the dtype and device that a call asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import answerable, as_dtype
from .errors import ArgumentError, DTypeError, GraphError, ShapeError, TinygradError
from .max_min_pair import Extreme, meant
from .operation_errors import short
from .output_and_state import Returned
from .recorded_value import is_tensor
from .settings import get_default_dtype
from .thread_state import current

Array = npt.NDArray[Any]


def asked_dtype(name: str, args: tuple[Any, ...], dtype: Any, device: Any) -> Any:
    """The dtype that ``to(...)`` was asked for (None: none); it also takes a device, of which there is one."""
    for arg in args:
        if is_tensor(arg):
            arg = arg.dtype
        is_device = hasattr(arg, "type") and isinstance(arg.type, str)  # PyTorch's torch.device
        if is_device or (isinstance(arg, str) and not _is_dtype(arg)):
            device = arg.type if is_device else arg
        else:
            dtype = arg
    if device is not None and str(device) != "cpu":
        raise ArgumentError(f"{name}: tensors are in the memory of the processor; the device is 'cpu', not {device!r}")
    if dtype is not None and not _is_dtype(dtype):
        raise DTypeError(f"{name}: {dtype!r:.40} is no dtype; use tg.float32, tg.float64 or one of NumPy's")
    return dtype


class device(str):
    """The one device, as ``torch.device``: a text, whose ``type`` is itself. Raises `ArgumentError` for another.

    >>> import tinygrad_rnn as tg
    >>> tg.zeros(2, device=tg.device("cpu")).device == tg.device("cpu").type
    True
    """

    @answerable
    def __new__(cls, type: str) -> device:
        """The device ``type``, which is "cpu"."""
        asked_dtype("device", (), None, str(type))
        return super().__new__(cls, type)

    @property
    def type(self) -> str:
        """The kind of device: "cpu"."""
        return str(self)


def _is_dtype(value: Any) -> bool:
    try:
        np.dtype(value)
    except TypeError:
        return False
    return True


def as_array(data: Any, dtype: npt.DTypeLike | None) -> Array:
    """``data`` as an array of a dtype that a tensor may have."""
    if isinstance(data, Extreme):
        data = meant(data)
    if isinstance(data, Returned):
        data.mistaken("is no tensor")
    if is_tensor(data):
        array = data._read()
    else:
        try:
            if isinstance(data, (list, tuple)) and any(is_tensor(x) for x in data):
                array = np.stack([np.asarray(x) for x in data])
            else:
                array = np.asarray(data)
        except TinygradError:
            raise
        except ValueError:
            raise ShapeError("the nested lists are ragged: every row must have the same length; pad them") from None
        except (LookupError, RuntimeError, TypeError) as error:  # raised by the object's own methods, which NumPy calls
            kind = type(data).__name__
            raise DTypeError(f"{kind} is no number and no array of numbers: it raises {error!r}") from None
        refuse_lost_gradients(data)
    if np.ma.is_masked(data):
        raise DTypeError("a masked array has places without a number; say what stands there: x.filled(0.0)")
    if array.dtype.kind in "OSU":
        raise DTypeError(f"{short(repr(data), 40)} ({type(data).__name__}) is no number and no array of numbers")
    if dtype is not None:
        wanted = as_dtype(dtype, "tensor")
    elif array.dtype.kind == "f" and not hasattr(data, "dtype"):
        wanted = get_default_dtype() if not _holds_arrays(data) else array.dtype
    else:
        wanted = array.dtype
    if wanted.char not in "fd" and wanted.kind not in "iub":
        raise DTypeError(f"a tensor holds float32, float64, integers or booleans, not {wanted}; convert with astype")
    wanted = np.dtype(wanted.type)  # native byte order, and the one object the engine compares with
    return array if array.dtype is wanted else array.astype(wanted)


def refuse_lost_gradients(data: Any) -> None:
    """Raise a `GraphError` if the numbers of a list are tensors that require gradients: a copy is no node of theirs."""
    if isinstance(data, (list, tuple)) and current.recording:
        for x in data:
            if is_tensor(x) and x.requires_grad:
                cure = "put values together with tg.stack or tg.cat, repeat one with expand, or write .detach()"
                raise GraphError(f"{x._described()} is copied as a number, where its gradient would be lost; {cure}")
            if isinstance(x, (list, tuple)):
                refuse_lost_gradients(x)


def _holds_arrays(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(
        isinstance(x, np.ndarray) or is_tensor(x) or _holds_arrays(x) for x in data
    )
