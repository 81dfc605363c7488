"""`to_jax`: a function, a module or a whole training step of ours as a pure function of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ....arguments import answerable, misfit, positional
from ....compiler.returned_values import Output
from ....compiler.tracing import TracedProgram
from ....errors import ArgumentError, DTypeError, GraphError, ShapeError, UnsupportedError
from ....nn.module import Module, Parameter
from ....optim import SGD, Adam, Optimizer
from ....recurrence.scan import mapped
from ....settings import no_grad
from ....tensors import Array, Tensor, from_array
from ..names import Names, is_array
from ..recorder import Recording, drawn, walk
from .rules import jax, jnp
from .running import Setting, run

#: where the state holds gradients that go from call to call
GRADIENTS = "gradients"
PRECISIONS = (None, "float32", "bfloat16")


@answerable
def to_jax(function: Callable[..., Any], *example: Any, dtype: str | None = None, donate: bool = False) -> Any:
    """``function``, or a module, as a pure function of JAX: ``(fn, parameters)``, ``fn(parameters, *args) -> result``.

    ``parameters`` is a dict of JAX arrays under dotted names. Recurrent layers and `scan` become ``lax.scan``, so that
    compiling takes as long for a thousand steps as for ten; a loop of Python's is written out. ``fn`` is jitted, can be
    differentiated, vmapped and sharded, and takes arguments of any shape the function takes: each shape is recorded
    when it first comes.

    Given ``example`` arguments, a function that also writes (``backward``, ``optimizer.step()``) becomes a step:
    ``(fn, state)``, ``fn(state, *batch) -> (state, result)``, where ``state`` holds parameters, buffers, the
    optimizer's state and learning rates, gradients that go on being added to where nothing calls ``zero_grad()``, and
    a key for dropout. ``donate`` gives the old state's memory to the new one; a state given away is refused.
    ``fn.state()`` reads a state from our objects, ``fn.restore(state)`` writes it back into them.

    ``dtype="bfloat16"``: products of matrices take their operands in bfloat16, all else stays as it is.

    Raises `UnsupportedError` for what JAX has no rule for, with the line; `GraphError` for what `compile` refuses, such
    as a value read in Python; `DataError` without JAX.

    Raises `DTypeError` for what is no function, `ArgumentError` for another ``dtype``.

    >>> import jax.numpy as jnp, tinygrad_rnn as tg
    >>> model = tg.nn.GRU(3, 5)
    >>> fn, parameters = tg.interchange.to_jax(model)
    >>> output, h_n = fn(parameters, jnp.ones((7, 2, 3)))
    >>> output.shape, sorted(parameters)
    ((7, 2, 5), ['bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', 'weight_ih_l0'])
    """
    if not callable(function):
        raise DTypeError(f"to_jax takes a function or a module, not {type(function).__name__}")
    if dtype not in PRECISIONS:
        raise ArgumentError(f"to_jax: dtype is float32 or bfloat16, not {dtype!r}")
    if example or not isinstance(function, Module):
        _accepted(function, example)
    try:
        made = JaxProgram(function, example, dtype == "bfloat16", donate)
    except GraphError as error:
        if len(example) == 1 and isinstance(example[0], (tuple, list)):
            raise ArgumentError(
                f"to_jax was given one argument, a {type(example[0]).__name__}; if these are the arguments, give them "
                f"one by one: to_jax(function, x, y) ({error})"
            ) from None
        raise
    return made, made.state()


def _accepted(function: Callable[..., Any], example: Sequence[Any]) -> None:
    """Refuse example arguments that the function cannot be called with."""
    if said := misfit(function, example):
        name = getattr(function, "__name__", type(function).__name__)
        raise ArgumentError(
            f"to_jax: {name} cannot be called with {len(example)} example arguments ({said}); "
            f"give one for each: to_jax({', '.join([name, *positional(function)])})"
        )


class JaxProgram:
    """The result of `to_jax`: a function of JAX, and the conversion between its state and our objects."""

    def __init__(
        self, function: Callable[..., Any], example: Sequence[Any], half: bool, donate: bool, checked: bool = False
    ) -> None:
        self._recording, self._half = Recording(function), half
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._names = Names(function)
        self._optimizers: list[Optimizer] = []
        self._draws = self._writes = False
        self._later: dict[tuple[str, str], Tensor] = {}  # entries that an optimizer's first step makes, and whose
        self._gradients: dict[str, Tensor] = {}  # by name, the tensors whose ``.grad`` goes from call to call
        #: raises what the function raises of values that it looks at, such as a loss that is not finite
        self.confirm: Callable[[Sequence[Any]], None]
        if example or not isinstance(function, Module):
            trace = self._recorded(example)[0]
            self._learn(trace)
            self._refuse_asking(trace, example)
        self.donated = (0,) if donate else ()  #: positions of arguments whose memory is given away
        #: whether a step also returns what is to be looked at, and keeps its state if that is bad
        self._checked = checked
        self.jitted = jax.jit(self.called, donate_argnums=self.donated)

    def __call__(self, state: Any, *args: Any) -> Any:
        """``fn(parameters, *args)``, or ``fn(state, *batch)``."""
        self.refuse_given_away(state)
        return self.jitted(state, *args)

    def refuse_given_away(self, state: Any) -> None:
        """Say so where a state's memory has gone to the one that followed."""
        for x in jax.tree_util.tree_leaves(state) if self.donated else ():
            if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) and x.is_deleted():
                raise GraphError(
                    f"to_jax: this state of {self.__name__} was given away to an earlier call (donate=True); go on "
                    "with the state that it returned"
                )

    # Recording -------------------------------------------------------------------------------------------

    def _recorded(self, args: Sequence[Any]) -> tuple[TracedProgram, Any]:
        return self._recording.record([mapped(_stand_in, x) for x in args])

    def _learn(self, trace: TracedProgram) -> None:
        """Note the weights, buffers and optimizers that a recording uses beside its arguments."""
        for serial, cell in trace.cells.items():
            if cell.tensor is not None and not self._is_fixed(trace, serial, cell.tensor):
                self._names.enter(cell.tensor.name or "unnamed", cell.tensor)
        for schedule, _ in trace.schedules:
            if not any(each is schedule.optimizer for each in self._optimizers):
                self._optimizers.append(schedule.optimizer)
        left = dict(_left(trace))
        for x in trace.graded:
            if x._gradient() is not None or left.get(x.serial) is not None:
                self._gradients[self._names.enter(x.name or "unnamed", x)] = x
        self._begin(trace)
        self._writes, self.confirm = bool(trace.assignments or self._gradients), trace.confirm
        self._draws = any(node.op is drawn for node in walk(trace.graph))
        if trace.live:
            raise UnsupportedError(
                "to_jax: the function reads something anew in every call that is no tensor, such as a random number or "
                "a setting; pass it as an argument"
            )

    def _is_fixed(self, trace: TracedProgram, serial: int, x: Tensor) -> bool:
        """Whether a tensor from outside is a number like any other in the program, and no part of its state.

        So it is with what has no gradient, is no module's and is not written to: positions, masks, data.
        """
        named = x.serial in self._names.tensors
        return not (named or x.requires_grad or isinstance(x, Parameter) or serial in trace.assignments)

    def _refuse_asking(self, trace: TracedProgram, example: Sequence[Any]) -> None:
        """A state holds zeros for a gradient that is None: no difference to what adds to it, and to nothing else."""
        left = dict(_left(trace))
        unsure = [name for name, x in self._gradients.items() if x._gradient() is None or left.get(x.serial, 0) is None]
        if not unsure:
            return
        found = []
        for there in (True, False):
            with self._as_in(self._read(), there):
                found.append(len(self._recorded(example)[0].assignments))
        if found[0] != found[1]:
            raise UnsupportedError(
                f"to_jax: what {self.__name__} does depends on whether {unsure[0]} has a gradient, which a state "
                "cannot say; let one function call backward() and step()"
            )

    def _begin(self, trace: TracedProgram) -> None:
        """Note the velocities that SGD's first step will make: in a state they are zeros from the start.

        So a state keeps its form. A first velocity is the gradient, not dampened: the state says whether it has begun.
        """
        assigned = {place for serial, place in self._places(trace) if serial in trace.assignments}
        for k, optimizer in enumerate(self._optimizers):
            for (name, entries), x in zip(self._entries(optimizer), optimizer.params):
                place = _kind(k), f"{name}.momentum_buffer"
                if isinstance(optimizer, SGD) and place in assigned and "momentum_buffer" not in entries:
                    self._later[place] = x

    # The state -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The state as it is in our objects now: what ``fn`` takes first."""
        tree = self._read()
        flat: dict[str, Any] = {}
        for kind in tree:
            flat[kind] = {name: _jax_array(value, name) for name, value in tree[kind].items()}
        if not self._writes:
            return {name: value for kind in flat.values() for name, value in kind.items()}
        if self._draws:
            from ....random import generator

            flat["key"] = jax.random.key(int(generator().integers(2**31)))
        return flat

    def _read(self) -> dict[str, dict[str, Any]]:
        tree: dict[str, dict[str, Any]] = {}
        for kind, name, x in self._names.tensors.values():
            tree.setdefault(kind, {})[name] = x.numpy()
        for name, x in self._gradients.items():
            found = x._gradient()
            held = tree.setdefault(GRADIENTS, {})
            held[name] = np.zeros(x.shape, x.dtype) if found is None else found.numpy()
        for k, optimizer in enumerate(self._optimizers):
            kind = _kind(k)
            held = tree[kind] = {}
            for name, entries in self._entries(optimizer):
                held |= {f"{name}.{key}": np.asarray(value) for key, value in entries.items()}
            late = {key: x for (place, key), x in self._later.items() if place == kind}
            if late:
                held["begun"] = np.asarray(bool(late.keys() & held.keys()))
                held |= {key: np.zeros(x.shape, x.dtype) for key, x in late.items() if key not in held}
            held |= {
                f"lr.{i}": np.asarray(group["lr"], group["params"][0].dtype)
                for i, group in enumerate(optimizer.param_groups)
            }
        return tree

    def _entries(self, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
        for x, entries in zip(optimizer.params, optimizer.state, strict=True):
            yield self._names.enter(x.name or "unnamed", x), entries

    def restore(self, state: Mapping[str, Any]) -> None:
        """Write a state into our parameters, buffers and optimizers; one that does not fit changes nothing."""
        self.refuse_given_away(state)
        tree: dict[str, Any] = dict(state)
        if not self._writes:
            names = {name: kind for kind, name, _ in self._names.tensors.values()}
            tree = {"parameters": {}, "buffers": {}}
            for name, value in state.items():
                tree[names.get(name, "parameters")][name] = value
        writes: list[Callable[[], Any]] = []
        for kind, name, x in self._names.tensors.values():
            writes.append(partial(x.copy_, from_array(_own(tree, kind, name, x.shape, x.dtype))))
        for name, x in self._gradients.items():
            value = from_array(_own(tree, GRADIENTS, name, x.shape, x.dtype))
            writes.append(partial(setattr, x, "_grad", value))
        for k, optimizer in enumerate(self._optimizers):
            kind = _kind(k)
            held = tree.get(kind, {})
            for (name, entries), x in zip(list(self._entries(optimizer)), optimizer.params):
                keys = [key.removeprefix(f"{name}.") for key in held if key.startswith(f"{name}.")]
                for entry in keys:
                    if (kind, f"{name}.{entry}") in self._later and not held.get("begun", True):
                        continue
                    shape, dtype = ((), np.dtype(int)) if entry == "step" else (x.shape, x.dtype)
                    value = _own(tree, kind, f"{name}.{entry}", shape, dtype)
                    writes.append(partial(entries.__setitem__, entry, int(value) if entry == "step" else value))
        with no_grad():
            for write in writes:
                write()

    # Running ---------------------------------------------------------------------------------------------

    def called(self, state: Any, *args: Any) -> Any:
        """The function that is jitted."""
        if self._writes:
            for kind, held in self._read().items():
                for name, value in held.items():
                    _entry(state, kind, name, np.shape(value), "to_jax", " of the state")
        with self._as_in(state):
            trace, template = self._recorded(args)
        if (trace.assignments or any(at is not None for _, at in _left(trace))) and not self._writes:
            raise GraphError(
                f"to_jax: {self.__name__} writes tensors (an optimizer's step, a buffer, a gradient); give to_jax "
                "example arguments, and it becomes a step with a state"
            )
        given: list[Any] = []
        for x in args:
            mapped(lambda leaf: given.append(leaf) if is_array(leaf) else None, x)
        leaves, place = self._leaves(trace, state, given)
        setting = Setting(self._half, state["key"] if self._writes and "key" in state else None)
        returned, looked, assigned = trace.parted(run(trace.graph, leaves, setting))
        result = _rebuilt(template, returned)
        if not self._writes:
            return result
        new = self._new_state(state, trace, assigned, place)
        left = dict(_left(trace))
        for name, x in self._gradients.items():
            if x.serial in left:  # else it stays as it is
                at = left[x.serial]
                new[GRADIENTS][name] = jnp.zeros_like(new[GRADIENTS][name]) if at is None else returned[at]
        if not self._checked:
            return new, result
        fine = jnp.array(True)
        for value in looked:
            fine &= jnp.isfinite(value).all()
        kept = {
            kind: {name: jnp.where(fine, x, state[kind].get(name, x)) for name, x in held.items()}
            if isinstance(held, dict)
            else held
            for kind, held in new.items()
        }
        return kept, result, list(looked)

    def _leaves(
        self, trace: TracedProgram, state: Any, given: Sequence[Any]
    ) -> tuple[dict[int, Any], dict[int, tuple[str, str]]]:
        """Values of the leaves by position, and by serial the keys of those that are part of the state."""
        tree = state if self._writes else None
        place = dict(self._places(trace))
        rates = {
            serial: rate
            for schedule, serials in trace.schedules
            for serial, rate in zip(serials, self._rates(schedule, state))
        }
        leaves: dict[int, Any] = {}
        for node in trace.graph.nodes:
            if node.op is not None or node.serial is None:
                continue
            if node.serial in trace.arguments:
                leaves[node.index] = jnp.asarray(given[trace.arguments[node.serial]])
            elif node.serial in rates:
                leaves[node.index] = jnp.asarray(rates[node.serial], jax.dtypes.canonicalize_dtype(node.dtype))
            elif (cell := trace.cells.get(node.serial)) and cell.tensor is not None and node.serial not in place:
                leaves[node.index] = _jax_array(cell.tensor.numpy(), cell.tensor.name or "a tensor from outside")
            elif node.serial in place:
                kind, name = place[node.serial]
                held = state if tree is None else tree[kind]
                if name not in held:
                    raise ArgumentError(f"to_jax: the state lacks {name!r}")
                leaves[node.index] = held[name]
        return leaves, place

    def _places(self, trace: TracedProgram) -> Iterator[tuple[int, tuple[str, str]]]:
        slots = {}
        for k, optimizer in enumerate(self._optimizers):
            kind = _kind(k)
            for name, entries in self._entries(optimizer):
                slots[id(entries)] = kind, name
        for serial, cell in trace.cells.items():
            if cell.tensor is not None:
                if self._is_fixed(trace, serial, cell.tensor):
                    continue
                if cell.tensor.serial not in self._names.tensors:
                    raise GraphError(
                        f"to_jax: {cell.tensor._described()} was not part of {self.__name__} when it was exported; "
                        "export it again"
                    )
                yield serial, self._names.tensors[cell.tensor.serial][:2]
            else:
                template, *things = cell.place
                if template == "{}._grad._array":
                    yield serial, (GRADIENTS, self._names.tensors[things[0].serial][1])
                    continue
                if template != "{}[{}]" or id(things[0]) not in slots:
                    raise UnsupportedError("to_jax: the state of an optimizer that is not this function's is used")
                kind, name = slots[id(things[0])]
                yield serial, (kind, f"{name}.{things[1]}")

    def _rates(self, schedule: Any, state: Any) -> tuple[Any, ...]:
        """An optimizer's rates from the learning rate and the count of steps that the state holds."""
        optimizer, group = schedule.optimizer, schedule.group
        k = next(i for i, each in enumerate(self._optimizers) if each is optimizer)
        held = state[_kind(k)]
        at = next(i for i, each in enumerate(optimizer.param_groups) if each is group)
        lr, names = held[f"lr.{at}"], {id(entries): name for name, entries in self._entries(optimizer)}
        step: Any = 0
        if "step" in schedule.states[0]:
            step = held[f"{names[id(schedule.states[0])]}.step"] + 1
        found = rates(optimizer, step, {**group, "lr": lr})
        if "begun" not in held or len(found) < 3:
            return found
        return (*found[:2], jnp.where(held["begun"], found[2], 1.0))

    def _new_state(self, state: Any, trace: TracedProgram, assigned: Sequence[Any], place: Any) -> Any:
        new = {kind: dict(value) if isinstance(value, dict) else value for kind, value in state.items()}
        for serial, value in zip(trace.assignments, assigned, strict=True):
            kind, name = place[serial]
            new[kind][name] = value
        for schedule, _ in trace.schedules:
            k = next(i for i, each in enumerate(self._optimizers) if each is schedule.optimizer)
            held = new[_kind(k)]
            names = {id(entries): name for name, entries in self._entries(schedule.optimizer)}
            for entries in schedule.counted:
                held[f"{names[id(entries)]}.step"] = held[f"{names[id(entries)]}.step"] + 1
        for kind in {place for place, _ in self._later}:
            new[kind]["begun"] = jnp.array(True)
        if "key" in new:
            new["key"] = jax.random.split(new["key"], 1)[0]
        return new

    @contextmanager
    def _as_in(self, state: Any, gradients: bool = True) -> Iterator[None]:
        """While recording, our optimizers hold the entries that the state holds, and so do ``gradients``."""
        kept = [(x, x._grad) for _, _, x in self._names.tensors.values()]
        held = [(entries, dict(entries)) for optimizer in self._optimizers for entries in optimizer.state]
        for x, _ in kept:
            x._grad = None
        for x in self._gradients.values() if gradients else ():
            x._grad = from_array(np.zeros(x.shape, x.dtype))
        for k, optimizer in enumerate(self._optimizers):
            there = state[_kind(k)]
            for (name, entries), x in zip(list(self._entries(optimizer)), optimizer.params):
                for key in there:
                    if key.startswith(f"{name}.") and (entry := key.removeprefix(f"{name}.")) not in entries:
                        entries[entry] = np.zeros(x.shape, x.dtype)
        try:
            yield
        finally:
            for x, grad in kept:
                x._grad = grad
            for entries, before in held:
                entries.clear()
                entries.update(before)


def _left(trace: TracedProgram) -> Iterator[tuple[int, int | None]]:
    """The output that becomes the ``.grad`` of each tensor from outside, None for none."""
    for x, at in trace.kept:
        if isinstance(x, Tensor):
            yield x.serial, at


def _kind(k: int) -> str:
    """The key of the ``k``-th optimizer in the state."""
    return "optimizer" if k == 0 else f"optimizer_{k + 1}"


def rates(optimizer: Optimizer, step: Any, group: Mapping[str, Any]) -> tuple[Any, ...]:
    """`Optimizer._rates` of JAX numbers; where they are of single precision, ``1 - beta ** step`` keeps its digits."""
    if isinstance(optimizer, Adam):
        first, second = (-jnp.expm1(step * np.log(beta)) if beta else 1.0 for beta in group["betas"])
        beta = group["betas"][0]
        return group["lr"] / first, second**0.5, 1 - group["lr"] * group["weight_decay"], beta, 1 - beta
    return optimizer._rates(step, group)


def _stand_in(x: Any) -> Any:
    """A tensor of the shape and dtype of an array, without its numbers; what is no array stays."""
    if not is_array(x):
        return x
    if isinstance(x, Tensor) and x.requires_grad:
        raise GraphError(f"to_jax: the argument {x._described()} requires a gradient; differentiate fn with jax.grad")
    dtype = np.dtype(x.dtype) if x.dtype != jnp.bfloat16 else np.dtype(np.float32)
    return Tensor._leaf(np.broadcast_to(np.zeros((), dtype), tuple(x.shape)))


def _jax_array(value: Array, name: str) -> Any:
    if value.dtype == np.float64 and not jax.config.jax_enable_x64:
        raise DTypeError(
            f"to_jax: {name} is float64, and JAX would make it float32; "
            'call jax.config.update("jax_enable_x64", True) first, or model.float()'
        )
    return jnp.array(value)


def _rebuilt(template: Any, arrays: Sequence[Any]) -> Any:
    """The result, its tensors JAX arrays."""
    if isinstance(template, Output):
        return arrays[template.position]
    if isinstance(template, dict):
        return {key: _rebuilt(item, arrays) for key, item in template.items()}
    if isinstance(template, (tuple, list)):  # plain ones: JAX knows no class of ours
        return (list if isinstance(template, list) else tuple)(_rebuilt(item, arrays) for item in template)
    return template


def _entry(tree: Any, kind: str, name: str, shape: Any, call: str, of: str = "") -> Any:
    """An entry of a state, refused where it is missing or of another shape than ours."""
    try:
        value = tree[kind][name]
    except (KeyError, TypeError):
        raise ArgumentError(f"{call}: the state lacks {kind} {name!r}") from None
    if np.shape(value) != tuple(shape):
        raise ShapeError(f"{call}: {kind} {name!r}{of} has shape {np.shape(value)}, ours is {tuple(shape)}")
    return value


def _own(tree: Mapping[str, Any], kind: str, name: str, shape: Any, dtype: Any) -> Array:
    return np.asarray(_entry(tree, kind, name, shape, "restore")).astype(dtype)
