"""Tensor: a value and how it was made.

Every operation on tensors makes a new tensor that remembers its operation, its operands, the scope it was made
in and the user's source line. That memory *is* the computational graph: backward walks it, pictures draw it,
the compiler lowers it. There is no other representation.
"""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import numpy_protocol
from . import primitives as P
from .arguments import answerable, answering_methods
from .array_conversion import as_array, asked_dtype
from .errors import ArgumentError, DTypeError, GraphError, ShapeError
from .max_min_pair import Extreme, meant
from .operation_errors import explained, result_of, short
from .primitives.record import Primitive
from .pytorch_methods import PyTorchMethods
from .reverse_walk import backward
from .settings import get_default_dtype
from .source_line import OURS, Foreign, Site, user_code, warn
from .tensor_copies import copied, copy_attributes
from .thread_state import current
from .unmade_value import UNMADE
from .version_counters import Memory
from .waiting_gradients import Waiting

Array = npt.NDArray[Any]
Literal = float | int | bool

#: Creation numbers. A tensor is made after its operands, so ascending order is a topological order.
serials = itertools.count()
_ndarray = np.ndarray
_frame = sys._getframe
#: how the engine makes tensors, all of whose parts it gives them itself
_made = object.__new__
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)  # NumPy keeps one object for each
#: the key of the hook that results of compiled functions have: one for all, so that it tells no programs apart
REFUSES = -1


class RemovableHandle(NamedTuple):
    """The handle of a registered hook."""

    hooks: dict[int, Callable[[Tensor], Tensor | None]]
    key: int

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        if current.tracer is not None:
            current.tracer.refuse_removal(self.key)
        self.hooks.pop(self.key, None)


class _WithIdentity(PyTorchMethods):
    """The class below `Tensor`: were ``__new__`` its own, tools would show its arguments, not ``__init__``'s."""

    def __new__(cls, *_args: Any, **_settings: Any) -> Any:
        """A tensor with an identity from the start; without `__init__`, its use is an error that says so."""
        self = _made(cls)
        self._array, self.serial = UNMADE, next(serials)
        return self


@answering_methods("Tensor")
class Tensor(_WithIdentity):
    """An n-dimensional array that remembers how it was made.

    ``Tensor(data, dtype=None, requires_grad=False, name=None)`` copies ``data``: numbers, nested lists, arrays or
    another tensor. Python floats become the default dtype (float32), arrays keep theirs, integers become int64.
    Supported are float32 and float64 to differentiate, integers to index, booleans to choose.

    >>> import tinygrad_rnn as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> loss = (w * w).sum()
    >>> loss.backward()
    >>> w.grad
    tensor([2., 4.])

    What a tensor says of itself, and gives to Python and NumPy:

    >>> x = tg.ones(2, 3)
    >>> x.size(), x.size(1), x.dim(), x.numel(), x.sum().item(), x.numpy().shape
    ((2, 3), 3, 2, 6, 6.0, (2, 3))
    >>> x.contiguous() is x.cpu() is x.detach_(), x.to(tg.float64).dtype, x.copy_(2).clone().tolist()[0]
    (True, dtype('float64'), [2.0, 2.0, 2.0])

    Gradients asked for, kept, changed on their way, and cut off:

    >>> x = tg.ones(2).requires_grad_()
    >>> y = (x * 3).retain_grad()
    >>> handle = x.register_hook(lambda gradient: gradient * 10)
    >>> (y * y.detach()).sum().backward()
    >>> y.grad.tolist(), x.grad.tolist()
    ([3.0, 3.0], [90.0, 90.0])
    """

    # NumPy must hand `array + tensor` over to the tensor
    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **settings: Any) -> Any:
        return numpy_protocol.ufunc(ufunc, method, operands, settings)

    def __array_function__(self, function: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_protocol.function(function, args, kwargs)

    def __init__(
        self, data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
    ) -> None:
        array = as_array(data, dtype).copy()
        self._array = array
        self._memory = Memory()
        self.serial = next(serials)
        self.scope = current.scope
        self._made_at = user_code()
        if name is not None:
            self.name = name
        if requires_grad:
            self.requires_grad_()

    @staticmethod
    def _leaf(array: Array) -> Tensor:
        """A leaf that takes ownership of ``array`` without a copy; for the engine's own fresh arrays."""
        result = _made(Tensor)
        result._array, result._memory, result.serial = array, Memory(), next(serials)
        return result

    @staticmethod
    def _coerced(value: Any) -> Tensor:
        if isinstance(value, Extreme):
            return meant(value)
        return value if isinstance(value, Tensor) else Tensor(value)

    # Recording -------------------------------------------------------------------------------------------

    def _record(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        """Compute ``op`` and remember it: the one way a graph grows."""
        now = vars(current)
        if now["tracer"] is not None:
            return now["tracer"].record(op, operands, attrs)
        arrays: list[Any] = []
        needs_grad = False
        for x in operands:
            if isinstance(x, Tensor):
                arrays.append(x._array)
                if x._requires_grad:
                    needs_grad = True
            elif type(x) is float or type(x) is int or type(x) is bool:
                arrays.append(x)
            else:
                return self._record(op, tuple(as_operand(y) for y in operands), attrs)
        try:
            value = op.forward(*arrays, **attrs) if attrs else op.forward(*arrays)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError, MemoryError) as error:
            tensors = {i: x for i, x in enumerate(operands) if isinstance(x, Tensor)}
            if any(i in op.slots for i in tensors) and all(x.dtype.kind in "iub" for x in tensors.values()):
                # a function of real numbers, asked of integers: try with floats
                floats = {i: x.astype(get_default_dtype()) for i, x in tensors.items() if i in op.slots}
                return self._record(op, tuple(floats.get(i, x) for i, x in enumerate(operands)), attrs)
            raise explained(error, op, operands, attrs) from None
        if type(value) is not _ndarray:
            value = result_of(op, value)
        dtype = value.dtype
        # of integers and float32 NumPy makes float64, which here stays float32
        if dtype is not _FLOAT32 and (type(arrays[0]) is not _ndarray or arrays[0].dtype is not _FLOAT64):
            recast = recast_integers(op, operands, value)
            if recast is not None:
                return self._record(op, recast, attrs)

        result = _made(Tensor)
        result._array = value
        result.serial = next(serials)
        if op.view:
            result._memory = operands[0]._memory
        if now["recording"]:
            result.op = op
            result.operands = operands
            result.attrs = attrs
            result.scope = now["scope"]
            frame = _frame(2)  # the user's line, as `user_code` finds it; written out, for every operation comes by
            code = frame.f_code
            while code.co_filename in OURS and (caller := frame.f_back) is not None:
                frame, code = caller, caller.f_code
            result._made_at = code, frame.f_lasti
            if needs_grad and op.slots and (dtype is _FLOAT32 or dtype is _FLOAT64):
                result._requires_grad = True
        return result

    # Looking ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Size of each dimension."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Element type, a NumPy dtype."""
        return self._array.dtype

    @property
    def ndim(self) -> int:  # type: ignore[override]
        """Number of dimensions."""
        return self._array.ndim

    @property
    def site(self) -> Site | Foreign | None:
        """The user's source line that made it."""
        place = self._made_at
        return place if place is None or isinstance(place, Foreign) else Site(*place)

    @property
    def inputs(self) -> tuple[Tensor | Literal, ...]:
        """The former name of `operands`, with a warning."""
        warn("Tensor.inputs is called Tensor.operands now", DeprecationWarning)
        return self.operands

    @property
    def is_leaf(self) -> bool:
        """Whether no operation made it (or none that gradients flow through)."""
        return not self.requires_grad or self._starts or (self.op is None and REFUSES not in (self._hooks or ()))

    def numpy(self) -> Array:
        """The value as a read-only NumPy array that shares memory; ``.copy()`` it to write."""
        view = self._read().view()
        view.setflags(write=False)
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            return self._read().astype(dtype or self.dtype)
        return self.numpy()

    def _read(self) -> Array:
        """The value for Python's eyes, which a function being compiled does not have yet."""
        if current.tracer is not None:
            current.tracer.refuse_reading(self)
        return self._array

    def item(self) -> Any:
        """The one element as a Python number; a `ShapeError` if there are more, or none."""
        if self._array.size != 1:
            raise ShapeError(f"item() wants one element, but {self._described()} has {self._array.size}; use tolist()")
        return self._read().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._read().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"a {self.dtype} tensor cannot be used as an index; it takes integers")
        return int(self.item())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            cure = "say which count, as in bool((x > 0).amax()), or choose for each with tg.where"
            raise ShapeError(f"{self._described()} has {self._array.size} elements, each of them true or false; {cure}")
        return bool(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise ShapeError("a 0-dimensional tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        body = np.array2string(self._array, separator=", ", prefix="tensor(")
        notes = [f"dtype={self.dtype}"] if self.dtype not in (get_default_dtype(), np.int64, np.bool_) else []
        if self.op is not None:
            notes.append(f"op={self.op.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        if self.name:
            notes.append(f"name={self.name!r}")
        return f"tensor({', '.join([body, *notes])})"

    def __str__(self) -> str:
        self._read()
        return repr(self)

    def __format__(self, spec: str) -> str:
        if spec and self._array.size != 1:
            raise ShapeError(f"{spec!r} is the format of one number, but {self._described()} has {self._array.size}")
        return format(self.item() if spec else str(self), spec)

    def _described(self) -> str:
        """Name and shape, for a message."""
        return f"{short(self.name or self.role or (self.op.name if self.op else 'a tensor'))} {self.shape}"

    def _maker(self) -> str:
        """Its operation, for a message."""
        return "a compiled function" if self.op is None else self.op.name

    # Gradients -------------------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated here: leaves have one, and tensors with `retain_grad`."""
        if current.tracer is not None:
            current.tracer.gradient(self, asked=True)
        return self._gradient()

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if current.tracer is not None:
            current.tracer.gradient(self, asked=False)
        if value is not None and (not isinstance(value, Tensor) or value.shape != self.shape):
            given = value._described() if isinstance(value, Tensor) else short(repr(value))
            raise ArgumentError(f"the gradient of {self._described()} is a tensor of its shape, or None, not {given}")
        self._grad = value

    def _gradient(self) -> Tensor | None:
        """``.grad``, without telling who records."""
        found = self._grad
        if type(found) is Waiting:
            found = self._grad = from_array(found.taken(self._described()))
        return found  # type: ignore[return-value]

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Accumulate into ``.grad`` of every leaf the gradient of this tensor with respect to it.

        ``gradient``, of this tensor's shape, is where the walk starts; a scalar starts from 1. The graph can be
        walked once unless ``retain_graph`` (default: ``create_graph``) keeps it: the next walk back, of another graph,
        frees it, so that losses kept in a list keep their numbers only. ``create_graph=True`` records the walk itself,
        so that gradients can be differentiated again.
        """
        backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or decline) gradients of this leaf; `DTypeError` if it has no floats, `GraphError` if it is none."""
        if requires_grad and self.dtype.kind != "f":
            raise DTypeError(f"only float tensors have gradients, and {self._described()} is {self.dtype}")
        if not requires_grad and not self.is_leaf:
            raise GraphError(f"{self._described()} was made by {self._maker()}; use detach() to cut it off")
        self._starts = requires_grad and self.is_leaf and self.op is not None
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> Tensor:
        """Keep the gradient of this tensor in ``.grad`` although an operation made it."""
        self._retains_grad = True
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` when this tensor's gradient is complete; what it returns, if anything, replaces it.

        Returns a handle whose ``remove()`` takes the hook off again. `GraphError` if no gradient comes here,
        `ArgumentError` if ``hook`` is no function.
        """
        if not self.requires_grad:
            raise GraphError(f"{self._described()} does not require a gradient, so a hook would never run")
        if not callable(hook):
            raise ArgumentError(f"register_hook: a hook is a function of the gradient, not {hook!r:.60}")
        if current.tracer is not None:
            current.tracer.refuse_hook(self)
        if self._hooks is None:
            self._hooks = {}
        handle = RemovableHandle(self._hooks, next(serials))
        self._hooks[handle.key] = hook
        return handle

    def detach(self) -> Tensor:
        """The same value, cut off from the graph: no gradient flows through it."""
        if current.tracer is not None:
            return current.tracer.detach(self)
        result = _made(Tensor)
        result._array, result._memory, result.serial = self._array, self._memory, next(serials)
        result.name, result.role, result.scope, result._made_at = self.name, self.role, current.scope, user_code()
        return result

    def detach_(self) -> Tensor:
        """Itself, if it is no part of a graph. Else a `GraphError`: write ``h = h.detach()``.

        PyTorch cuts the tensor off and leaves what was computed from it before. Here a tensor is its own node of the
        graph, so earlier results would be cut off as well.
        """
        if not self.is_leaf:
            raise GraphError(
                f"{self._described()} is a node of a graph that results made before hold on to, so it cannot be cut "
                "off in place; write h = h.detach()"
            )
        self.requires_grad = False
        return self

    @property
    def device(self) -> str:
        """The device of the value: the memory of the processor, "cpu"."""
        return "cpu"

    # Copying: a serial is an identity, so a copy has its own --------------------------------------------

    def __copy__(self) -> Tensor:
        """A leaf of its own serial and memory, with the value, ``requires_grad``, name and ``.grad`` of this one.

        ``copy.deepcopy`` copies the gradient, too; hooks stay with the tensor they were put on. What an operation
        made on the way from something that requires a gradient is refused, as in PyTorch: say whether gradients
        shall flow, with ``clone()``, or not, with ``detach()``.
        """
        if not self.is_leaf:
            raise GraphError(
                f"{self._described()} was made by {self._maker()} and is part of a graph, so it cannot be copied by "
                "itself; copy the leaves, or use clone() (gradients flow) or detach() (they do not)"
            )
        value = self._read().copy()
        self._gradient()  # one that waits belongs to this tensor
        return copied(self, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        result = memo[id(self)] = copy.copy(self)
        copy_attributes(self, result, memo)
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            f"{self._described()} cannot be pickled, because a pickle may run any code; "
            "save a model's state_dict() (with safetensors, say), or the values with .numpy()"
        )

    # Writing in place ------------------------------------------------------------------------------------

    @property
    def data(self) -> Tensor:
        """The value, cut off from the graph. A leaf's may be written: ``p.data -= ...``, ``p.data[0] = ...``.

        The value of an operation's result is not written: there, writing takes a copy first, as with `detach`.
        """
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if current.tracer is not None:
            current.tracer.assign(self, value)
            return
        array = as_array(value, self.dtype)
        if array is not self._array:
            self._array = array.copy()  # its own: the value may be another leaf, or recorded
            self._memory = self._memory or Memory()
            self._touch()

    def copy_(self, value: Any) -> Tensor:
        """Overwrite the elements in place with ``value``, broadcast to this shape."""
        return self._write(..., value)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._write(np.asarray(index) if isinstance(index, Tensor) else index, value)

    def _write(self, index: Any, value: Any) -> Tensor:
        if self.op is not None or (self.requires_grad and current.recording):
            if self.op is None:
                raise GraphError(
                    f"{self._described()} is a leaf that requires a gradient, and is written in place; do so under "
                    "tg.no_grad()"
                )
            cure = "index once, as in x[i, j] = value" if self.op is P.getitem else "build a new one (where, concat, +)"
            raise GraphError(f"{self._described()} is part of a graph and cannot be written in place; {cure}")
        if isinstance(value, Tensor) and value.requires_grad and current.recording:
            cure = "collect such values and tg.stack() them, or write value.detach()"
            raise GraphError(f"{self._described()} is written in place, where a value's gradient would be lost; {cure}")
        if current.tracer is not None and current.tracer.owns(self, index):
            current.tracer.assign(self, value, in_place=True)
            return self
        if self._memory is None or not self._array.flags.writeable:
            # the buffer belongs to a recorded value: the first write takes a copy
            self._array, self._memory = self._array.copy(), Memory()
        try:
            self._array[index] = np.asarray(value, dtype=None if isinstance(value, Tensor) else self.dtype)
        except (ValueError, IndexError) as error:
            raise ShapeError(f"write in place to {self._described()}: {error}") from None
        self._touch()
        return self

    def _touch(self) -> None:
        Memory.touch([self._memory], next(serials), user_code())

    def _in_place(self, op: Primitive, other: Any) -> Tensor:
        """``x += y``: under `no_grad` a leaf is written, otherwise the name is bound to a new tensor."""
        if current.recording and self.requires_grad and self.op is None:
            raise GraphError(f"{self._described()} is a leaf that requires a gradient; update it under tg.no_grad()")
        result = self._record(op, (self, other), {})
        return result if current.recording or self.op is not None else self._write(..., result)

    def __iadd__(self, other: Any) -> Tensor:
        return self._in_place(P.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._in_place(P.sub, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._in_place(P.mul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._in_place(P.div, other)


@answerable
def tensor(
    data: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
    device: Any = None,
) -> Tensor:
    """A new leaf tensor with a copy of ``data`` (numbers, nested lists, an array); see `Tensor`.

    The ``device`` is the "cpu". Floats take the default dtype unless they come as an array or ``dtype`` says;
    ``name`` is what pictures call it.

    >>> import tinygrad_rnn as tg
    >>> tg.tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    return Tensor(data, asked_dtype("tensor", (), dtype, device), requires_grad, name)


def as_tensor(value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``value`` itself if it is a tensor of the ``dtype`` asked for, else a new leaf with a copy of it.

    >>> import tinygrad_rnn as tg
    >>> x = tg.ones(2)
    >>> tg.as_tensor(x) is x, tg.as_tensor([1.0, 2.0])
    (True, tensor([1., 2.]))
    """
    if dtype is None and device is None:
        return Tensor._coerced(value)
    wanted = asked_dtype("as_tensor", (), dtype, device)
    return value.to(dtype=wanted) if isinstance(value, Tensor) else Tensor(value, wanted)


from_array = Tensor._leaf


# Coming in from outside ----------------------------------------------------------------------------------


def as_operand(value: Any) -> Tensor | Literal:
    """Tensors and Python numbers stay; NumPy scalars become (weak) Python numbers; the rest becomes a constant."""
    if isinstance(value, (Tensor, float, int, bool)):
        if isinstance(value, (Tensor, bool)) or type(value) in (int, float):
            return value
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 and value.dtype.kind in "fiub":
        literal: Literal = value.item()
        return literal
    return meant(value) if isinstance(value, Extreme) else Tensor(value)


def recast_integers(op: Primitive, operands: tuple[Any, ...], value: Array) -> tuple[Any, ...] | None:
    """Integers meeting floats take the floats' dtype (NumPy would give float64), or the default where there is none."""
    if value.dtype.kind != "f" or op.view:
        return None
    tensors = [x for i, x in enumerate(operands) if isinstance(x, Tensor) and i in op.slots]
    floats = [x.dtype for x in tensors if x.dtype.kind == "f"]
    wanted = max(floats, key=lambda d: d.itemsize) if floats else get_default_dtype()
    exact = {i for i, x in enumerate(operands) if i in op.slots and isinstance(x, Tensor) and x.dtype.kind in "iub"}
    if value.dtype == wanted or op is P.cast:
        return None
    if not exact:  # a choice between two numbers: such a float has the default dtype
        plain = next((i for i, x in enumerate(operands) if i in op.slots and type(x) is float), None)
        if floats or plain is None:
            return None
        return tuple(Tensor(x) if i == plain else x for i, x in enumerate(operands))
    return tuple(x.astype(wanted) if i in exact else x for i, x in enumerate(operands))
