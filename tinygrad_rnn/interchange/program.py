"""A foreign program after import: the primitives it consists of, in order, to be computed again with other leaves.

An importer computes the foreign program once on our tensors. What that recorded, the graph behind the results, is the
program; this file takes it off the tensors and plays it again: under the same scopes and time steps, with the same
names and source lines, on other inputs and on the parameters as they are then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..graph import Ref
from ..nn.module import Module, Parameter
from ..primitives.record import Primitive
from ..recorded_value import made_from
from ..scopes import scope
from ..source_line import Foreign, Place, warn
from ..tensors import Literal, Tensor, as_tensor, from_array
from ..thread_state import Scope, current
from .nested_results import leaves, mapped

#: what is said where an imported program that follows the values that are there is compiled, or goes out again
FOLLOWS_VALUES = (
    "what it does depends on the value of an argument, which changes from call to call; give that argument its value "
    "beforehand, as in lambda x: model(x, lengths)"
)


class ForeignWarning(UserWarning):
    """Something of an imported program stays as it was while it was imported.

    ``import_notes`` of the result says it again.

    >>> import warnings
    >>> import tinygrad_rnn as tg
    >>> warnings.simplefilter("ignore", tg.interchange.ForeignWarning)
    """


@dataclass(frozen=True, slots=True)
class Input:
    """A leaf that each call brings along, by its place among the arguments."""

    path: str


@dataclass(frozen=True, slots=True)
class Detached:
    """A leaf with the value of another tensor, from which no gradient flows back."""

    source: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One value: an operation's (``op``), an input's (``path``), another's cut off, or a tensor that is there."""

    op: Primitive | None
    operands: tuple[Ref | Literal, ...]
    attrs: dict[str, Any]
    path: str | None
    held: Tensor | None
    scope: Scope
    place: Place | None
    name: str | None
    role: str | None


class ImportedProgram:
    """Everything ``outputs`` were computed from; ``origin`` says of leaves what they are, constants if nothing.

    ``passed`` names, by a tensor's serial, operations (and the lines that asked for them) that everyone gets it by.
    """

    def __init__(
        self,
        outputs: Sequence[Tensor],
        origin: Mapping[int, Input | Detached],
        passed: Mapping[int, Sequence[tuple[Primitive, Place | None]]] = MappingProxyType({}),
    ) -> None:
        position: dict[int, int] = {}
        self.steps: list[Step] = []
        for x in behind(outputs, origin):
            position[x.serial] = len(self.steps)
            self.steps.append(_step(x, position, origin))
            for op, place in passed.get(x.serial, ()):
                before = Ref(position[x.serial])
                position[x.serial] = len(self.steps)
                self.steps.append(Step(op, (before,), {}, None, None, x.scope, place, None, None))
        self.outputs = [position[x.serial] for x in outputs]

    @property
    def inputs(self) -> dict[str, int]:
        """Position of each input that is used, by its place among the arguments."""
        return {step.path: index for index, step in enumerate(self.steps) if step.path is not None}

    @property
    def held(self) -> list[Tensor]:
        """The tensors that are there already: parameters and constants."""
        return [step.held for step in self.steps if step.held is not None]

    def run(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs, computed again and recorded; the current scope goes in front of the program's own."""
        values: list[Tensor] = []
        outer = current.scope
        try:
            for step in self.steps:
                at = step.scope
                current.scope = Scope(
                    outer.path + at.path,
                    outer.step if at.step is None else at.step,
                    at.part or outer.part,
                    outer.backward,
                )
                if step.held is not None:
                    values.append(step.held)
                    continue
                if step.path is not None:
                    values.append(_entering(inputs[step.path], step))
                    continue
                operands = [values[x.index] if isinstance(x, Ref) else x for x in step.operands]
                made = operands[0].detach() if step.op is None else step.op(*operands, **step.attrs)  # type: ignore[union-attr]
                made._made_at, made.name, made.role = step.place, step.name, step.role
                values.append(made)
        finally:
            current.scope = outer
        return [values[index] for index in self.outputs]


def _entering(given: Tensor, step: Step) -> Tensor:
    """An input, called what the program calls it unless it has a name of its own."""
    if given.op is None and given.name is None:
        given.name = step.name
    if given.op is None and given.role is None:
        given.role = step.role
    return given


def behind(outputs: Sequence[Tensor], origin: Mapping[int, Input | Detached]) -> list[Tensor]:
    """Everything that ``outputs`` were computed from, also before what was cut off, in the order of its making."""

    def operands(x: Tensor) -> tuple[Any, ...]:
        cut = origin.get(x.serial)
        return (cut.source,) if isinstance(cut, Detached) else x.operands

    return made_from(outputs, operands)


def _step(x: Tensor, position: Mapping[int, int], origin: Mapping[int, Input | Detached]) -> Step:
    known = origin.get(x.serial)
    path = known.path if isinstance(known, Input) else None
    operands: tuple[Any, ...] = x.operands
    if isinstance(known, Detached):
        operands = (known.source,)
    held = x if x.op is None and known is None else None
    refs = tuple(Ref(position[y.serial]) if isinstance(y, Tensor) else y for y in operands)
    return Step(x.op, refs, x.attrs, path, held, x.scope, x._made_at, x.name, x.role)


class Imported(Module):
    """A foreign program as a module of ours: the same parameters under the same names, the same results.

    It takes what the foreign program took, as arrays or tensors of the shapes it was imported with, and returns what
    that returned, as our tensors. ``import_notes`` lists what stays as it was during the import.

    Made by `from_torch`.

    >>> import torch
    >>> import tinygrad_rnn as tg
    >>> ours = tg.interchange.from_torch(torch.nn.Linear(3, 2), torch.ones(1, 3))
    >>> isinstance(ours, tg.interchange.Imported), ours.import_notes
    (True, ())
    """

    def __init__(
        self,
        program: ImportedProgram,
        parameters: Mapping[str, Parameter],
        example: Any,
        result: Any,
        notes: Iterable[str],
    ) -> None:
        """``example`` is ``(args, kwargs)`` with arrays as leaves, ``result`` the results' nesting with positions."""
        for name, parameter in parameters.items():
            assign(self, name, parameter)
        self._program, self._result = program, result
        self._example = dict(leaves(example))
        self._notes = tuple(notes)
        for note in self._notes:
            warn(note, ForeignWarning)

    @property
    def import_notes(self) -> tuple[str, ...]:
        """Notes on parts of the program that stay as they were during the import."""
        return self._notes

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the program again on other inputs."""
        given = dict(leaves((list(args), kwargs)))
        if given.keys() != self._example.keys():
            missing, extra = self._example.keys() - given.keys(), given.keys() - self._example.keys()
            raise ArgumentError(
                f"the program was imported with other arguments: missing {_listed(missing)}, "
                f"unexpected {_listed(extra)}"
            )
        used = self._program.inputs
        fed: dict[str, Tensor] = {}
        for path, then in self._example.items():
            now = given[path]
            if not isinstance(then, np.ndarray):
                if type(now) is not type(then) or now != then:
                    raise ArgumentError(
                        f"argument {_plain(path)} was {then!r:.60} when the program was imported and cannot be "
                        f"{now!r:.60} now; import it again with that"
                    )
            else:
                tensor = _fitting(now, then, path)
                if path in used:
                    fed[path] = tensor
        outputs = self._program.run(fed)
        return mapped(lambda leaf: outputs[leaf.index] if isinstance(leaf, Ref) else leaf, self._result)

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"imported, {sum(1 for step in self._program.steps if step.op is not None)} operations"


def _fitting(now: Any, then: np.ndarray[Any, Any], path: str) -> Tensor:
    """An argument as a tensor of the shape and dtype it had during the import."""
    if not isinstance(now, Tensor):
        if hasattr(now, "detach"):
            now = now.detach().numpy()
        now = as_tensor(np.asarray(now))
    if now.shape != then.shape:
        raise ShapeError(
            f"argument {_plain(path)} has shape {now.shape}, but the program was imported with {then.shape}; "
            "import it again for other shapes"
        )
    if now.dtype == then.dtype:
        return now
    if (now.dtype.kind in "iub" and then.dtype.kind == "f") or now.dtype.kind == then.dtype.kind:
        return now.astype(then.dtype)
    raise DTypeError(f"argument {_plain(path)} is {now.dtype}, but the program was imported with {then.dtype}")


def _plain(path: str) -> str:
    """``[0][2]`` (the positional arguments are number 0 of the pair) as ``2``."""
    return path[3:].strip("[]") if path.startswith(("[0]", "[1]")) and path[3:] else path


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(sorted(map(_plain, paths))) or "none"


def assign(module: Module, name: str, parameter: Parameter) -> str:
    """Give ``module`` a parameter under a dotted name, and return the name: one that is taken gets a ``_``."""
    *path, last = name.split(".")
    taken = []
    for part in path:
        child = vars(module).get(part)
        while (child is not None and not isinstance(child, Module)) or hasattr(type(module), part) or not part:
            part += "_"
            child = vars(module).get(part)
        if child is None:
            child = Module()
            setattr(module, part, child)
        taken.append(part)
        module = child
    while last in vars(module) or hasattr(type(module), last) or not last:
        last += "_"
    setattr(module, last, parameter)
    return ".".join((*taken, last))


def a_round(step: int) -> scope:
    """A time step of a foreign loop, unless a loop around it counts them already."""
    return scope(step=step if current.scope.step is None else None)


def place_at(place: Place | None, made: Iterable[Any], first: int) -> None:
    """Say of all tensors behind ``made`` from the serial ``first`` on where they were made, if nothing has said it."""
    pending = [x for x in made if isinstance(x, Tensor)] if place is not None else []
    while pending:
        x = pending.pop()
        if x.serial >= first and not isinstance(x._made_at, Foreign):
            x._made_at = place
            pending += [y for y in x.operands if isinstance(y, Tensor)]


def detached(x: Tensor, origin: dict[int, Input | Detached]) -> Tensor:
    """``x`` cut off from the graph, remembered so that the program can do it again."""
    result = x.detach()
    origin[result.serial] = Detached(x)
    return result


def constant(array: Any, name: str | None = None) -> Tensor:
    """A leaf with a copy of ``array``."""
    made = from_array(np.array(array))
    made.name, made.scope = name, current.scope
    return made
