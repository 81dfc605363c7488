"""Results of a compiled function: tuples, lists and dicts, taken apart when recorded, put together in each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import GraphError
from ..source_line import user_site
from ..tensors import REFUSES, Array, Tensor, from_array
from ..user_objects import each_part, is_of
from .tracing import Traced, Tracer


class Output(NamedTuple):
    position: int
    refuse: Callable[[Any], None] | None  #: a hook that raises if a gradient flows to the result
    gradient: int | None  #: position of its ``.grad`` among the outputs, if it has one


class Argument(NamedTuple):
    position: int  #: of the argument that the function returns as it came


class Returned:
    """The result with its tensors taken out, in order, as far as the function made them."""

    def __init__(self, tracer: Tracer, name: str, aliases: bool) -> None:
        self.outputs: list[Tensor] = []
        self._tracer, self._name, self._aliases = tracer, name, aliases
        self._found: dict[int, Output] = {}  # by serial: what is returned twice is one tensor

    def template(self, result: Any) -> Any:
        """The template from which `rebuilt` makes a result like this one."""
        if is_of(result, Tensor):
            if self._aliases and result.serial in self._tracer.arguments:
                return Argument(self._tracer.arguments[result.serial])
            if self._aliases and not is_of(result, Traced) and result.serial < self._tracer.started:
                return result
            return self._found.get(result.serial) or self._made(result)
        return each_part(self.template, result) if is_of(result, (tuple, list, dict)) else result

    def _made(self, result: Tensor) -> Output:
        position, gradient = len(self.outputs), result.grad
        self.outputs.append(result)
        if gradient is not None:
            self.outputs.append(gradient)
        refuse = _refusal(result, self._name) if result.requires_grad else None
        made = self._found[result.serial] = Output(position, refuse, None if gradient is None else position + 1)
        return made


def _refusal(result: Tensor, name: str) -> Callable[[Any], None]:
    described, site = result._described(), result.site

    def refuse(gradient: Any) -> None:
        raise GraphError(
            f"a gradient flows to {described} (made at {site}, used at {user_site()}), which the compiled {name} "
            "returned and which has no graph; compile the whole step with backward() in it, or detach() the result"
        )

    return refuse


def rebuilt(template: Any, arrays: list[Array], given: list[Any], made: dict[int, Tensor]) -> Any:
    """A result like the one that ``template`` was made of, of a program's ``arrays`` and what it was ``given``."""
    kind: type = type(template)
    if kind is Output:
        result = made.get(template.position)
        if result is not None:
            return result
        result = made[template.position] = from_array(arrays[template.position])
        if template.refuse is not None:
            result.requires_grad, result._hooks = True, {REFUSES: template.refuse}
        if template.gradient is not None:
            result._grad = from_array(arrays[template.gradient])
        return result
    if kind is Argument:
        return given[template.position]
    if issubclass(kind, (tuple, list, dict)):
        return each_part(lambda part: rebuilt(part, arrays, given, made), template)
    return template
