"""Random expressions over the table of primitives, written line by line and printed as they could have been typed.

Every primitive may follow every other: an operand is an earlier value as it is where that value is one the primitive's
recipe could have drawn; otherwise it is the recipe's own operand, bent by a fifth with the sine of an earlier value. So
whatever a domain excludes (zeros, negative numbers) stays excluded, and long programs stay of order 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..primitives import TABLE
from ..tensors import Tensor
from .sample_operands import RECIPES, Array, Source

#: values as good as those that recipes draw
SMALLEST, LARGEST = 0.25, 2.5
BEND = 0.2


@dataclass(frozen=True)
class Earlier:
    """The value of an earlier line."""

    line: int

    def __call__(self, values: Sequence[Any]) -> Any:
        return values[self.line]

    def __str__(self) -> str:
        return f"x{self.line}"


@dataclass(frozen=True)
class Bent:
    """A constant bent by an earlier value, whose elements are repeated or dropped to fit."""

    line: int
    base: Array

    def __call__(self, values: Sequence[Any]) -> Any:
        x = values[self.line]
        if x.shape != self.base.shape:
            x = x.reshape((-1,))[np.arange(self.base.size) % x.numel()].reshape(self.base.shape)
        return (x.sin() * BEND + 1.0) * self.base

    def __str__(self) -> str:
        return f"bent(x{self.line}, {_described(self.base)})"


@dataclass(frozen=True)
class Constant:
    """An operand that no gradient flows to, or that has none to offer."""

    value: Any

    def __call__(self, values: Sequence[Any]) -> Any:
        return self.value

    def __str__(self) -> str:
        return _described(self.value)


Operand = Earlier | Bent | Constant


@dataclass(frozen=True)
class Statement:
    """One primitive applied to operands."""

    name: str
    operands: tuple[Operand, ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[int, ...]:
        """The lines it uses."""
        return tuple(x.line for x in self.operands if not isinstance(x, Constant))

    def __str__(self) -> str:
        settings = [f"{key}={_described(value)}" for key, value in self.attrs.items()]
        return f"{self.name}({', '.join([*map(str, self.operands), *settings])})"


@dataclass(frozen=True, repr=False)
class RandomProgram:
    """Leaves and lines; called with the leaves it returns the values that no line uses."""

    leaves: tuple[Array, ...]
    lines: tuple[Statement, ...]

    def values(self, *leaves: Tensor, order: Sequence[int] | None = None, cut: Sequence[int] = ()) -> list[Tensor]:
        """The value of every line, leaves first; ``order``: in which the lines are run; ``cut``: which are detached."""
        start = len(self.leaves)
        values: list[Any] = [*leaves, *[None] * len(self.lines)]
        for k in range(len(self.lines)) if order is None else order:
            line = self.lines[k]
            operands = [operand(values) for operand in line.operands]
            made = TABLE[line.name](*(Tensor(x) if isinstance(x, np.ndarray) else x for x in operands), **line.attrs)
            values[start + k] = made.detach().requires_grad_() if start + k in cut else made
        return values

    def __call__(self, *leaves: Tensor) -> list[Tensor]:
        values = self.values(*leaves)
        return [values[k] for k in self.results]

    @property
    def results(self) -> list[int]:
        """The lines that no later one uses."""
        used = {source for line in self.lines for source in line.sources}
        return [k for k in range(len(self.leaves), len(self.leaves) + len(self.lines)) if k not in used]

    def tensors(self) -> list[Tensor]:
        """The leaves, as tensors that require gradients."""
        return [Tensor(x, requires_grad=True) for x in self.leaves]

    def __repr__(self) -> str:
        rows = [f"x{k} = leaf {_described(x)}" for k, x in enumerate(self.leaves)]
        rows += [f"x{k} = {line}" for k, line in enumerate(self.lines, start=len(self.leaves))]
        results = ", ".join(f"x{k}" for k in self.results)
        return "\n".join(["RandomProgram:", *(f"  {row}" for row in rows), f"  return {results}"])


class Writer:
    """Writes a program, line by line, evaluating it as it goes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.leaves: list[Array] = []
        self.lines: list[Statement] = []
        self.values: list[Array] = []

    def leaf(self) -> None:
        """One more leaf."""
        self.leaves.append(self.source.nonzero(self.source.shape(0, 2)))
        self.values.append(self.leaves[-1])

    def line(self, names: Sequence[str] | None = None) -> None:
        """One more line: any primitive that gradients flow through."""
        choices = [name for name in names or RECIPES if name in TABLE and TABLE[name].slots]
        primitive = TABLE[self.source.choice(choices)]
        case = RECIPES[primitive.name](self.source)
        operands = tuple(
            self._operand(x)
            if isinstance(x, np.ndarray) and x.dtype.kind == "f" and slot in primitive.slots
            else Constant(x)
            for slot, x in enumerate(case.operands)
        )
        line = Statement(primitive.name, operands, case.attrs)
        tensors: list[Any] = [Tensor(x) for x in self.values]
        arrays = [np.asarray(x) if isinstance(x, Tensor) else x for x in (operand(tensors) for operand in operands)]
        self.lines.append(line)
        self.values.append(np.asarray(primitive.reference(*arrays, **line.attrs)))

    def _operand(self, drawn: Array) -> Operand:
        k = len(self.values) - 1 - self.source.integer(0, len(self.values) - 1)  # shrinks to a chain
        value = self.values[k]
        if not value.size or not drawn.size:
            return Constant(drawn)
        size = np.abs(value)
        fits = value.shape == drawn.shape and (size >= SMALLEST).all() and (size <= LARGEST).all()
        if fits and ((drawn < 0).any() or (value > 0).all()):
            return Earlier(k)
        return Bent(k, drawn)

    def program(self) -> RandomProgram:
        """The program as written."""
        return RandomProgram(tuple(self.leaves), tuple(self.lines))


def _described(x: Any) -> str:
    """A constant, as short as it can be told."""
    if isinstance(x, np.ndarray) and x.size > 1:
        return f"{x.dtype}{list(x.shape)}"
    if isinstance(x, tuple) and any(isinstance(item, np.ndarray) for item in x):
        return f"({', '.join(map(_described, x))})"
    x = x.item() if isinstance(x, np.ndarray) and x.size else x
    return f"{x:.4g}" if isinstance(x, float) else repr(x)
