"""Tracing: run a function once on stand-ins, and keep the graph of what it would have computed.

A stand-in has a shape and a dtype but no numbers, so tracing costs neither arithmetic nor memory. Everything that
records on tensors records here too: the forward pass, the reverse walk, clipping, the optimizer's update. What differs
is what needs a number *now*: reading a value in Python is refused, and writing a parameter becomes an assignment,
a pair (tensor, new value) that the compiled program carries out.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .. import primitives as P
from .. import settings
from ..errors import DTypeError, GraphError, OutOfRangeError, ShapeError
from ..operation_errors import explained, refuse_other_shape
from ..primitives.missing_primitives import is_built_in
from ..primitives.record import Primitive
from ..recorded_value import made_from
from ..recurrence.loop import Unrolled
from ..recurrence.loop_finder import LoopFinder
from ..reverse_walk import nodes_between
from ..settings import get_default_dtype, no_grad
from ..source_line import is_ours, source_lines, user_code, user_site
from ..tensors import Array, Literal, Tensor, as_operand, as_tensor, from_array, recast_integers, serials
from ..thread_state import LoopRecorder, current
from ..version_counters import Memory
from ..waiting_gradients import Waiting
from .guards import Guards
from .plan import Plan, PlanBuilder
from .tensor_attributes import own


@lru_cache(4096)
def _blank(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array that has a shape and a dtype, and no memory for its elements; it cannot be written."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def leads_to(output: Tensor, serial: int) -> bool:
    """Whether a gradient would flow from ``output`` to the tensor of this serial."""

    def behind(node: Tensor) -> list[Any]:
        reached = () if node._starts else node.operands
        return [x for x in reached if isinstance(x, Tensor) and x.requires_grad and x.serial >= serial]

    return any(x.serial == serial for x in made_from([output], behind))


class Traced(Tensor):
    """A stand-in for a value that a compiled function will compute."""

    _tracer: Tracer
    _stand_in: Array
    _root: int | None = None  #: serial of the tensor outside that it is a view of
    _label: str | None = None
    _given_name: str | None = None  #: of an argument

    @property
    def name(self) -> str | None:
        """The name in graphs and messages; for the function's own code, the one that it has outside."""
        return self._label if is_ours(sys._getframe(1).f_code.co_filename) else self._given_name

    @name.setter
    def name(self, value: str | None) -> None:
        self._label = self._given_name = value

    @property
    def _array(self) -> Array:  # type: ignore[override]
        if current.tracer is not self._tracer:
            raise GraphError(
                f"{self.op.name if self.op else 'an input'} (at {self.site}) belongs to a function being compiled and "
                "has no value outside it; return it from the function"
            )
        return self._stand_in

    def __repr__(self) -> str:
        return f"tensor(traced, shape={self._stand_in.shape}, dtype={self._stand_in.dtype})"


@dataclass(eq=False)
class Cell:
    """A place outside the graph that holds an array: a tensor, or an entry of an optimizer's state."""

    get: Callable[[], Array]
    set: Callable[[Array], None]
    place: tuple[Any, ...]  #: what it holds as an expression of `Guards`, and the objects in that
    tensor: Tensor | None = None

    def __post_init__(self) -> None:
        array = self.get()
        self._shape, self._dtype = array.shape, array.dtype

    def fits(self, array: Array) -> bool:
        """Whether it has the shape and dtype that were found when tracing."""
        return array.shape == self._shape and array.dtype == self._dtype

    def lent(self, array: Array) -> bool:
        """Whether the array it holds must not be written: it is a recorded value's, or read-only."""
        return not array.flags.writeable or (self.tensor is not None and self.tensor._memory is None)


@dataclass(eq=False)
class _Graded:
    """A tensor whose ``.grad`` the function reads or sets."""

    tensor: Tensor
    before: Tensor | Waiting | None  #: what was there when the function was called
    found: Tensor | Waiting | None  #: that, as the function sees it
    asked: bool  #: whether it was read before it was set, so that the result depends on it


class Met(BaseException):
    """Raised where a tensor that is an argument is also used from outside the function.

    Tracing starts again, and then takes the tensor itself, not a stand-in.
    """

    def __init__(self, serial: int) -> None:
        self.serial = serial


@dataclass(eq=False)
class TracedProgram:
    """The result of tracing: the graph, the sources of its leaves' values, and the uses of its outputs."""

    graph: Plan
    #: serial of a leaf -> position among the arguments
    arguments: dict[int, int] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)  #: serial of a leaf -> where its value lives
    #: serial of a leaf -> how to compute its value anew for each call
    live: dict[int, Callable[[], Any]] = field(default_factory=dict)
    #: serials of the leaves whose new values are the last outputs, in order
    assignments: list[int] = field(default_factory=list)
    #: functions that look at values before anything is assigned, and how many values each is called with: the graph's
    #: outputs are what the function returns, then these values, then what is assigned
    confirmations: list[tuple[Callable[..., None], int]] = field(default_factory=list)
    #: what gives an optimizer's rates, and the serials of their leaves
    schedules: list[tuple[Any, list[int]]] = field(default_factory=list)
    conditions: Guards = field(default_factory=Guards)  #: what must hold for the trace to be reused
    #: (holder, key, value) of what the first call enters in a holder
    entries: list[tuple[dict[str, Any], str, Array]] = field(default_factory=list)
    #: (a tensor or an argument's position, which output becomes its ``.grad``, None for none)
    kept: list[tuple[Tensor | int, int | None]] = field(default_factory=list)
    #: (a tensor, which output becomes its ``.grad`` when it is asked for); they are the last that are returned
    waiting: list[tuple[Tensor, int]] = field(default_factory=list)
    outside: frozenset[int] = frozenset()  #: serials of the tensors that it uses and was not given
    ignoring: bool = False  #: whether it is right also where targets are ones to ignore
    #: those of them whose ``.grad`` it reads before it sets it, so that what an earlier call left counts
    graded: list[Tensor] = field(default_factory=list)
    #: positions of arguments made outside, and the arguments or tensors whose gradients do not take them into account
    apart: list[tuple[int, Tensor | int]] = field(default_factory=list)
    asks_arguments: bool = False  #: whether it may have asked arguments for a name, or another attribute of their own

    def parted(self, outputs: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Outputs of the graph (also after passes) as: what is returned, what is looked at, what is assigned."""
        assigned = len(outputs) - len(self.assignments)
        returned = assigned - sum(count for _, count in self.confirmations)
        return outputs[:returned], outputs[returned:assigned], outputs[assigned:]

    def confirm(self, values: Sequence[Array]) -> None:
        """Show the values to look at to those who want to."""
        at = 0
        for check, count in self.confirmations:
            check(*values[at : at + count])
            at += count


class Tracer:
    """Records in place of the engine while a function runs; see the module's text."""

    keeps_loops: LoopRecorder | None = None  #: loops are unrolled
    #: whether it is recorded for targets that are ones to ignore, although they are no class
    ignoring = False

    def __init__(self, met: Iterable[int] = ()) -> None:
        self.look: Any = None  #: Python's profiler while it looks into what the function calls, see `Surroundings`
        self.started = next(serials)
        #: a recurrence of this many steps or more is recorded as a loop; None: every one is unrolled
        self.rolls: int | None = None
        self.loops: LoopFinder | None = None  #: finds those that are written out; None: they stay so
        self.inner: set[int] = set()  #: leaves of a loop's body, which mean nothing outside it
        self.met = frozenset(met)  #: serials of arguments that are also used from outside
        self._given: dict[int, Tensor] = {}  # serial of an argument -> its stand-in
        self._made_outside: dict[int, Tensor] = {}  # stand-ins of arguments that an operation made: gradients flow on
        self._apart: list[tuple[int, Tensor | int]] = []  # (an argument made outside, what it may not depend on there)
        self._odd: set[int] = set()  # stand-ins of arguments that have a gradient, though they ask for none
        self._outside: dict[int, Tensor] = {}
        self._rewritten: set[int] = set()  # assigned in place
        self._positions = itertools.count()
        self.arguments: dict[int, int] = {}
        self.cells: dict[int, Cell] = {}
        self.live: dict[int, Callable[[], Any]] = {}
        self.assigned: dict[int, Tensor] = {}  # serial of a leaf -> its new value
        self.conditions = Guards()
        self.entries: list[tuple[dict[str, Any], str, Array]] = []
        self.schedules: list[tuple[Any, list[int]]] = []
        self._confirmations: list[tuple[Callable[..., None], list[Tensor]]] = []
        self._slots: dict[tuple[int, str], Traced] = {}
        self.aside = False  #: whether what is recorded belongs to a loop's body
        self._walked = False
        self._graded: dict[int, _Graded] = {}
        self._seen: set[int] = set()
        self._used: set[int] = set()  # constants made while tracing that something was computed from
        self.contexts: list[Any] = []  # of functions with a backward pass of their own
        self._watched: list[tuple[Any, Callable[[Any, Guards], None]]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Trace what this thread records; afterwards no stand-in is left in any ``.grad``."""
        if current.tracer is not None:
            raise GraphError("a compiled function was called inside another; call the plain function instead")
        current.tracer = self
        try:
            yield
        except ValueError as error:
            if isinstance(error.__cause__, GraphError):  # NumPy hides it, in ``array[0] = x``
                raise error.__cause__ from None
            raise
        finally:
            current.tracer = None
            for graded in self._graded.values():
                graded.tensor._grad = graded.before

    # Leaves ----------------------------------------------------------------------------------------------

    def leaf(self, array: Array, name: str | None = None, requires_grad: bool = False) -> Traced:
        """A stand-in with the shape and dtype of ``array``."""
        result = self._new(array.shape, array.dtype)
        result.name, result.requires_grad = name, requires_grad
        return result

    def argument(self, array: Array, name: str) -> Traced:
        """A stand-in for the next argument."""
        result = self.leaf(array, name)
        self.arguments[result.serial] = next(self._positions)
        return result

    def given(self, tensor: Tensor, name: str) -> Tensor:
        """The stand-in for the next argument, one for each tensor; the tensor itself where that was used."""
        found = tensor if tensor.serial in self.met else self._given.get(tensor.serial)
        gradient = tensor._gradient() if tensor.requires_grad else None
        counts = 1 + (gradient is not None)  # which is passed, too
        if found is not None:
            for _ in range(counts):
                next(self._positions)
            return found
        result = self._given[tensor.serial] = self.argument(tensor._array, tensor.name or name)
        vars(result).update(own(tensor) | {"_given_name": tensor.name})
        vars(result).pop("_name", None)
        result.requires_grad = tensor.requires_grad
        if not tensor.requires_grad and tensor._grad is not None:
            self._odd.add(result.serial)
        result._hooks = dict(tensor._hooks) if tensor._hooks else None
        if not tensor.is_leaf:
            self._made_outside[result.serial] = tensor
        if gradient is not None:
            result._grad = self.argument(gradient._array, f"gradient of {result.name}")
        return result

    def meet(self, tensor: Tensor) -> None:
        """The function uses ``tensor`` from outside: if it is an argument as well, tracing starts again."""
        if tensor.serial in self._given:
            raise Met(tensor.serial)
        if tensor.serial < self.started and not isinstance(tensor, Traced):
            self._outside[tensor.serial] = tensor

    def refreshed(self, compute: Callable[[], Any], like: Array, name: str) -> Traced:
        """A leaf whose value ``compute()`` gives anew for each call: a dropout mask, a learning rate."""
        result = self.leaf(like, name)
        self.live[result.serial] = compute
        return result

    def dropped(self, compute: Callable[[], Any], like: Array, p: float) -> Tensor:
        """A dropout mask: zeros with probability ``p``, else ``1 / (1 - p)``."""
        return self.refreshed(compute, like, "dropout mask")

    def derived(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor], inputs: Sequence[Tensor] | None
    ) -> list[tuple[Tensor, Tensor]] | None:
        """Gradients of ``outputs``, where they are not to be found by a walk of the graph; see `backward`.

        A walk is to come to loops as such, so they are found first.
        """
        if inputs is not None and self._made_outside:
            self._refuse_ways_outside(outputs, inputs)
        if self.loops is not None and not self.aside:
            self._walked = True
            with self._unwatched():
                self.loops.roll(self.assigned, self._rewritten)
                self.loops.check(inputs)
        return None

    def _refuse_ways_outside(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """A gradient that would go on from an argument, by what it was made of outside, to one of ``inputs``."""
        real: dict[int, tuple[int, Tensor | int]] = {
            x.serial: (serial, self.arguments[x.serial]) for serial, x in self._given.items()
        }
        reached = [self._made_outside[x.serial] for x in nodes_between(outputs) if x.serial in self._made_outside]
        for source in reached:
            for x in inputs:
                serial, place = real.get(x.serial, (x.serial, x))
                if serial == source.serial or serial >= self.started:
                    continue
                if leads_to(source, serial):
                    raise GraphError(
                        f"the gradient of {x._described()} (asked at {user_site()}) also flows through "
                        f"{self._given[source.serial]._described()}, an argument that was computed from it outside the "
                        "compiled function; compute it inside, or detach() it"
                    )
                self._apart.append((self.arguments[self._given[source.serial].serial], place))

    def scalars(self, schedule: Any, dtype: np.dtype[Any]) -> tuple[Traced, ...]:
        """Numbers that ``schedule()`` gives for each call; ``schedule.count()`` is called after it."""
        rates = tuple(self.leaf(np.empty((), dtype), "rate") for _ in schedule())
        self.schedules.append((schedule, [x.serial for x in rates]))
        return rates

    def slot(self, holder: dict[str, Any], key: str) -> Tensor:
        """The array ``holder[key]`` as a tensor that can be assigned to."""
        found = self._slot(holder, key, partial(holder.__getitem__, key))
        return self.assigned.get(found.serial, found)

    def assign_slot(self, holder: dict[str, Any], key: str, value: Any) -> None:
        """``holder[key] = value`` when the program runs; a new entry is made once a call has succeeded."""
        new = np.zeros(value.shape, value.dtype)
        if key not in holder:
            self.entries.append((holder, key, new))
        slot = self._slot(holder, key, lambda: holder.get(key, new))
        if (slot.shape, slot.dtype) != (value.shape, value.dtype):
            raise GraphError(
                f"the optimizer keeps {key} of shape {slot.shape} {slot.dtype}, but its step makes {value.shape} "
                f"{value.dtype} of it: the parameter changed since; make a new optimizer"
            )
        self.assigned[slot.serial] = value

    def _slot(self, holder: dict[str, Any], key: str, get: Callable[[], Array]) -> Traced:
        found = self._slots.get((id(holder), key))
        if found is None:
            found = self._slots[id(holder), key] = self.leaf(get(), key)
            self.cells[found.serial] = Cell(get, partial(holder.__setitem__, key), ("{}[{}]", holder, key))
        return found

    # Recording -------------------------------------------------------------------------------------------

    def record(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Traced:
        """Remember ``op`` without computing it."""
        look = self.look
        if look is None or not is_built_in(op) or not all(map(_is_known, operands)):
            return self._remembered(op, operands, attrs)
        self.look = None
        sys.setprofile(None)  # nothing of the user's is called from here
        try:
            return self._remembered(op, operands, attrs)
        finally:
            self.look = look
            sys.setprofile(look)

    @contextmanager
    def _unwatched(self) -> Iterator[None]:
        """Stop watching the user's code for as long as none of it is called."""
        look, self.look = self.look, None
        if look is not None:
            sys.setprofile(None)
        try:
            yield
        finally:
            self.look = look
            if look is not None:
                sys.setprofile(look)

    def _remembered(self, op: Primitive, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Traced:
        operands = tuple([x if type(x) is float else self._operand(x) for x in operands])
        if not op.elementwise:  # a number stands for an array of no dimensions, such as the gradient of one number
            operands = tuple([x if isinstance(x, Tensor) else self._operand(as_tensor(x)) for x in operands])
        try:
            shape = tuple(op.shape(*[x.shape if isinstance(x, Tensor) else () for x in operands], **attrs))
        except (ShapeError, DTypeError, OutOfRangeError, ValueError, TypeError, IndexError) as error:
            raise explained(error, op, operands, attrs) from None
        if op.elementwise and not is_built_in(op):  # its kernel may make any shape of it, without a complaint
            refuse_other_shape(op, shape, np.broadcast_shapes(*(getattr(x, "shape", ()) for x in operands)))
        try:
            dtype = op.result_dtype(operands, attrs)
        except TypeError as error:  # of booleans; of their numbers then, as it is without compiling
            if not op.slots:
                raise explained(error, op, operands, attrs) from None
            numbers = (x.astype(get_default_dtype()) if isinstance(x, Tensor) else x for x in operands)
            return self.record(op, tuple(numbers), attrs)
        if dtype == np.float64:
            recast = recast_integers(op, operands, np.empty((), dtype))
            if recast is not None:
                return self.record(op, recast, attrs)
        if op.joins:  # what is put side by side is copied as it is, so it is of one dtype
            operands = tuple(
                self.record(P.cast, (x,), {"dtype": dtype}) if isinstance(x, Tensor) and x.dtype != dtype else x
                for x in operands
            )
        result = self._new(shape, dtype)
        result.op, result.operands, result.attrs = op, operands, attrs
        if self.loops is not None and not current.scope.backward:
            self.loops.recorded.append(result)
        if op.view:
            base = operands[0]
            result._root = base._root if isinstance(base, Traced) else base.serial
        if current.recording and op.slots and dtype.kind == "f":
            result.requires_grad = any(isinstance(x, Tensor) and x.requires_grad for x in operands)
            overwritten = self._overwritten if self.assigned else ()
            for x in operands if overwritten else ():
                if isinstance(x, Tensor) and x.requires_grad and x.serial in overwritten:
                    raise GraphError(
                        f"{op.name} (at {user_site()}) uses {x._described()} after it was updated; "
                        "a compiled function updates a parameter once, at its end"
                    )
        return result

    @property
    def _overwritten(self) -> set[int]:
        return {value.serial for value in self.assigned.values()}

    def _operand(self, x: Any) -> Tensor | Literal:
        if type(x) is Traced and x._tracer is self and not self.assigned:
            self._refuse_old_view(x)
            return x
        x = as_operand(x)
        if not isinstance(x, Tensor):
            return x
        self.meet(x)
        if x.serial in self.assigned:
            if x.requires_grad and current.recording:
                raise GraphError(
                    f"{x._described()} is used (at {user_site()}) after it was updated; "
                    "a compiled function updates a parameter once, at its end"
                )
            return self.assigned[x.serial]
        if isinstance(x, Traced):
            if x._tracer is not self:
                x._array  # noqa: B018  raises: it leaked from another trace
            self._refuse_old_view(x)
        elif x.op is not None and x.requires_grad:
            raise GraphError(
                f"{x._described()} (made at {x.site}) was computed outside the compiled function and requires a "
                "gradient; detach() it, or compute it inside"
            )
        elif x.serial >= self.started:
            self._used.add(x.serial)
        return x

    def _refuse_old_view(self, x: Traced) -> None:
        if x._root in self._rewritten:
            raise GraphError(
                f"{x._described()} (made at {x.site}) views a tensor that was updated since, and is used or returned; "
                "take the view after the update, or return the tensor itself"
            )

    def _new(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Traced:
        result: Traced = object.__new__(Traced)
        result._tracer = self
        result._stand_in = _blank(shape, dtype)
        result.serial = next(serials)
        result.scope = current.scope
        result._made_at = user_code()
        return result

    # What tensors.py, reverse_walk.py, optimizers.py and nn ask of a tracer ------------------------------------------

    def refuse_reading(self, tensor: Tensor) -> None:
        """Python may read constants made inside the function, nothing that changes between calls."""
        if isinstance(tensor, Traced) or tensor.serial < self.started:
            raise GraphError(
                f"{tensor._described()} has no value while a function is being compiled, but is read "
                f"(at {user_site()}); return it and read it outside, or choose with tg.where"
            )

    def is_constant(self, x: Any) -> bool:
        """Whether its value was made by the function itself, and is the same in every call."""
        return isinstance(x, Tensor) and not isinstance(x, Traced) and x.op is None and x.serial >= self.started

    def detach(self, tensor: Tensor) -> Tensor:
        """An alias that no gradient flows through."""
        with no_grad():
            result = self.record(P.broadcast_to, (tensor,), {"shape": tensor.shape})
        result.name, result.role = tensor.name, tensor.role
        return result

    def owns(self, tensor: Tensor, index: Any) -> bool:
        """Whether writing ``tensor[index]`` must become an assignment: it lives longer than one call."""
        self.meet(tensor)
        if isinstance(tensor, Traced):
            raise GraphError(
                f"{tensor._described()} is written in place (at {user_site()}) in a function being compiled; "
                "build a new value (where, concat, +)"
            )
        if tensor.serial in self._used:
            raise GraphError(
                f"{tensor._described()} is written in place (at {user_site()}) after a function being compiled has "
                "used it; build a new value (where, concat, +)"
            )
        if tensor.serial >= self.started:
            return False
        if index is not ...:
            raise GraphError(
                f"part of {tensor._described()} is written in place (at {user_site()}) in a function being compiled; "
                "assign the whole of it: copy_(where(...))"
            )
        return True

    def assign(self, tensor: Tensor, value: Any, in_place: bool = False) -> None:
        """Make ``value`` the tensor's value after the call; written ``in_place``, its views show it, too."""
        if not self.owns(tensor, ...):
            raise GraphError(f"{tensor._described()} is a constant of the function being compiled; build a new tensor")
        made = value if isinstance(value, Tensor) else Tensor(np.asarray(value))
        if made.dtype != tensor.dtype:
            made = self.record(P.cast, (made,), {"dtype": tensor.dtype})
        if made.shape != tensor.shape or not isinstance(made, Traced):
            made = self.record(P.broadcast_to, (made,), {"shape": tensor.shape})
        self.cells.setdefault(tensor.serial, _cell(tensor))
        self.assigned[tensor.serial] = made
        if in_place:
            self._rewritten.add(tensor.serial)

    def gradient(self, tensor: Tensor, *, asked: bool) -> None:
        """Its ``.grad`` is about to be read (``asked``) or set; what was there before the call becomes a leaf."""
        self.meet(tensor)
        if not asked and tensor.serial in self._made_outside:
            raise GraphError(
                f"a gradient flows to {tensor._described()} (at {user_site()}), an argument that was computed outside "
                "the compiled function; detach() it, compute it inside, or ask for its gradient with tg.grad"
            )
        if asked and tensor.serial in self._odd:
            raise GraphError(
                f"the gradient of {tensor._described()}, an argument that requires none, is read (at {user_site()}) in "
                "a function being compiled; pass it as an argument of its own"
            )
        if tensor.serial in self._graded:
            return
        before = found = tensor._gradient() if asked else tensor._grad
        if asked and isinstance(before, Tensor) and not isinstance(before, Traced):
            found = self.leaf(before._array, "gradient")
            self.cells[found.serial] = _gradient_cell(tensor)
        self._graded[tensor.serial] = _Graded(tensor, before, found, asked)
        tensor._grad = found

    def ignores(self, index: int) -> bool:
        """Whether some targets may equal ``index``; a program recorded for none of them does not look for them."""
        return self.ignoring or index >= 0

    def refuse_hook(self, tensor: Tensor) -> None:
        """Refuse to put a hook on a tensor from outside: a call that is not compiled would add one every time."""
        if not isinstance(tensor, Traced) or tensor.serial in self.arguments:
            raise GraphError(
                f"a hook is put on {tensor._described()} (at {user_site()}) in a function being compiled, which does "
                "so only when it is recorded; put it on before the call"
            )

    def refuse_removal(self, key: int) -> None:
        """Refuse to remove a hook from before the call: a second call that is not compiled would find none."""
        if key < self.started:
            raise GraphError(
                f"a hook is removed (at {user_site()}) in a function being compiled, which does so only when it is "
                "recorded; remove it before or after the call"
            )

    def _kept(self, outputs: list[Tensor]) -> tuple[list[tuple[Tensor | int, int | None]], list[tuple[Tensor, int]]]:
        """The place of each tensor's ``.grad`` after a call; the gradients are appended to ``outputs``.

        First what is assigned after every call, as (tensor or number of an argument, position in the outputs; None: it
        has no gradient). Then what is left in the program's memory until somebody asks for it, as (tensor, position):
        gradients that the function itself sets to zero and computes anew, as a training step does. That saves copying
        all of them in every step.
        """
        kept: list[tuple[Tensor | int, int | None]] = []
        waiting: list[tuple[Tensor, Tensor]] = []
        for serial, graded in self._graded.items():
            tensor, now = graded.tensor, graded.tensor._gradient()
            if isinstance(tensor, Traced) and serial not in self.arguments:
                continue
            if graded.asked and now is graded.found:
                continue
            target = self.arguments[serial] if isinstance(tensor, Traced) else tensor
            if now is None:
                kept.append((target, None))
            elif not graded.asked and serial in self.assigned:
                waiting.append((tensor, now))
            else:
                kept.append((target, len(outputs)))
                outputs.append(now)
        first = len(outputs)
        outputs.extend(now for _, now in waiting)
        return kept, [(tensor, first + i) for i, (tensor, _) in enumerate(waiting)]

    def confirm(self, check: Callable[..., None], tensors: Sequence[Tensor]) -> None:
        """In every call, before anything is assigned, ``check(*values)`` may raise."""
        self._confirmations.append((check, list(tensors)))

    def effects(self) -> tuple[int, ...]:
        """The sizes of all that is recorded besides operations: equal answers mean that nothing came in between."""
        held: tuple[Any, ...] = (
            self.arguments,
            self.cells,
            self.live,
            self.assigned,
            self.entries,
            self.schedules,
            self._confirmations,
            self._slots,
            self._graded,
            self.contexts,
        )
        return tuple(map(len, held))

    def guard(self, thing: Any, condition: Callable[[Any, Guards], None]) -> None:
        """Trace anew when what ``condition(thing, conditions)`` adds to them, now, is no longer true."""
        if id(thing) not in self._seen:
            self._seen.add(id(thing))
            condition(thing, self.conditions)

    def watch(self, thing: Any, condition: Callable[[Any, Guards], None]) -> None:
        """As `guard`, but as the thing is when tracing ends."""
        if id(thing) not in self._seen:
            self._seen.add(id(thing))
            self._watched.append((thing, condition))

    # The result ------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Let go of all stand-ins; who still has one then, and with it this tracer, is no part of the function."""
        self.loops = self.look = None
        self.assigned.clear()
        self._graded.clear()
        self._given.clear()
        self._slots.clear()
        self._confirmations.clear()
        for context in self.contexts:
            vars(context).clear()

    def finish(self, outputs: Sequence[Tensor]) -> TracedProgram:
        """The graph of ``outputs`` and of all assignments."""
        with self._unwatched():
            return self._finished(outputs)

    def _finished(self, outputs: Sequence[Tensor]) -> TracedProgram:
        if self.loops is not None:
            if not self._walked:
                self.loops.roll(self.assigned, self._rewritten)
            self.loops.check()
        assigned = list(self.assigned)
        for x in outputs:
            if isinstance(x, Traced):
                self._refuse_old_view(x)
        outputs = list(outputs)
        kept, waiting = self._kept(outputs)
        outputs = [*outputs, *(x for _, looked_at in self._confirmations for x in looked_at)]
        ends = (*outputs, *self.assigned.values())
        found = made_from(ends, lambda x: x.operands if isinstance(x, Traced) else ())
        if not self.inner.isdisjoint(x.serial for x in found):
            raise Unrolled
        for x in found:
            if not isinstance(x, Traced) and x.serial < self.started and x.serial not in self.cells:
                self.meet(x)
                self.cells[x.serial] = _cell(x)
        for thing, condition in self._watched:
            condition(thing, self.conditions)
        self.conditions.add("{}._default_dtype is {}", settings, get_default_dtype())
        for x in self._outside.values():
            _circumstances(x, self.conditions)
        for graded in self._graded.values():
            if graded.asked and not isinstance(graded.tensor, Traced):
                there = "is" if graded.before is None else "is not"
                self.conditions.add(f"{{}}._grad {there} None", graded.tensor)
        build = PlanBuilder()
        for x, site in zip(found, source_lines((x._made_at for x in found), of_libraries=True), strict=True):
            self._enter(build, x, site)
        graph = build.plan([build.position[x.serial] for x in [*outputs, *(self.assigned[s] for s in assigned)]])
        return TracedProgram(
            graph,
            arguments=self.arguments,
            cells=self.cells,
            live=self.live,
            assignments=assigned,
            confirmations=[(check, len(looked_at)) for check, looked_at in self._confirmations],
            schedules=self.schedules,
            conditions=self.conditions,
            entries=self.entries,
            kept=kept,
            waiting=waiting,
            outside=frozenset(self._outside),
            ignoring=self.ignoring,
            graded=[x.tensor for x in self._graded.values() if x.asked and not isinstance(x.tensor, Traced)],
            apart=self._apart,
        )

    def _enter(self, build: PlanBuilder, x: Tensor, site: str | None) -> None:
        if isinstance(x, Traced):
            build.tensor(x, None, site)
        else:
            build.tensor(x, None if x.serial < self.started else x._array, site, leaf=True)


def _is_known(x: Any) -> bool:
    """Whether an operand is no object of the user's, which could run code of its own when it is looked at."""
    kind = type(x)
    return kind is Traced or kind is float or kind is int or kind is Tensor or kind.__module__.startswith(_PACKAGE)


_PACKAGE = f"{__name__.partition('.')[0]}."
#: one thread looks at a time: a list of all objects holds those of another thread's trace, too
_looking = threading.Lock()


def _in_a_child_process() -> None:
    global _looking
    _looking = threading.Lock()  # no other thread is there that could give it back


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child_process)


def refuse_leaks(tracer: weakref.ref[Tracer]) -> None:
    """A stand-in that outlives its trace has no value, and would get none from later calls."""
    if tracer() is None:
        return
    with _looking:
        gc.collect()
        if tracer() is not None:
            kept = [x for x in gc.get_objects() if type(x) is Traced and x._tracer is tracer()]
            max(kept, key=lambda x: x.serial)._array  # noqa: B018  raises: it leaked


def _circumstances(tensor: Tensor, conditions: Guards) -> None:
    """Whether gradients are still asked of it, and shown to the same hooks."""
    conditions.add("{}.requires_grad is {}", tensor, tensor.requires_grad)
    if tensor._hooks:
        conditions.add("tuple({}._hooks) == {}", tensor, tuple(tensor._hooks))
    else:
        conditions.add("not {}._hooks", tensor)


def _gradient_cell(tensor: Tensor) -> Cell:
    def get() -> Array:
        gradient = tensor._gradient()
        assert gradient is not None  # else the guards would have had the function recorded anew
        return gradient._array

    def write(array: Array) -> None:
        tensor._grad = from_array(array)

    return Cell(get, write, ("{}._grad._array", tensor))


def _cell(tensor: Tensor) -> Cell:
    def write(array: Array) -> None:
        tensor._array, tensor._memory = array, tensor._memory or Memory()

    return Cell(partial(getattr, tensor, "_array"), write, ("{}._array", tensor), tensor)
