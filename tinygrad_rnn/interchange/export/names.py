"""Names of the tensors that an exported function uses, and its modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...nn.module import Module, Parameter
from ...tensors import Tensor
from ..parameters_by_name import variables


class Names:
    """Parameters and buffers by serial: their kind and a dotted name that no other has."""

    def __init__(self, function: Any) -> None:
        self.tensors: dict[int, tuple[str, str, Tensor]] = {}
        for path, module in modules(function):
            for kind, found in (("parameters", module.named_parameters()), ("buffers", module.named_buffers())):
                for name, x in found:
                    self.enter(f"{path}.{name}" if path else name, x, kind)
        for thing in (function, *(value for _, value in variables(function))):
            if isinstance(getattr(type(thing), "parameters", None), property):  # what `from_jax` made
                for name, x in thing.parameters.items():
                    self.enter(name, x, "parameters")

    def enter(self, name: str, x: Tensor, kind: str | None = None) -> str:
        """The name of a tensor: this one, or where another has it, with a number."""
        if x.serial not in self.tensors:
            taken, base, k = {known for _, known, _ in self.tensors.values()}, name, 1
            while name in taken:
                k += 1
                name = f"{base}_{k}"
            kind = kind or ("parameters" if isinstance(x, Parameter) or x.requires_grad else "buffers")
            self.tensors[x.serial] = kind, name, x
        return self.tensors[x.serial][1]


def modules(function: Any) -> Iterator[tuple[str, Module]]:
    """The modules that a function makes use of, by the names it knows them by; a single one has no name."""
    owner = function if isinstance(function, Module) else getattr(function, "__self__", None)
    if isinstance(owner, Module):
        yield "", owner
        return
    found = {name: value for name, value in variables(function) if isinstance(value, Module)}
    for name, module in found.items():
        yield ("" if len(found) == 1 else name), module


def is_array(x: Any) -> bool:
    """Whether an argument is an array, of whichever library."""
    return hasattr(x, "dtype") and hasattr(x, "shape")
