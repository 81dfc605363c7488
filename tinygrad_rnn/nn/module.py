"""Module: a tree of named parameters, and the scope its nodes are made in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import DataError, DTypeError, ShapeError
from ..mode import no_grad
from ..scope import scope, state
from ..tensor import Tensor, as_tensor, asked_dtype


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimizer updates; it requires a gradient."""

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, dtype, requires_grad, name)


def _unchanged(modules: list[Module]) -> Callable[[], bool]:
    """What a compiled function watches: whether the modules are in the mode, and the state, they were traced in."""
    then = [(module.training, module._changes) for module in modules]
    return lambda: [(module.training, module._changes) for module in modules] == then


class Module:
    """Base of all layers: assign `Parameter` and `Module` attributes, define ``forward``, call the module.

    >>> import tinygrad_rnn as tg
    >>> class Double(tg.nn.Module):
    ...     def __init__(self):
    ...         self.weight = tg.nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> model = Double()
    >>> model(tg.tensor([3.0]))
    tensor([6.], op=mul)
    >>> [name for name, _ in model.named_parameters()]
    ['weight']
    """

    training: bool = True
    _name: str | None = None
    _changes: int = 0  # how often an attribute was assigned, but for the mode

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter) and value.name is None:
            value.name = name
        elif isinstance(value, Module) and value._name is None:
            object.__setattr__(value, "_name", name)
        object.__setattr__(self, name, value)
        if name != "training":
            object.__setattr__(self, "_changes", self._changes + 1)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses say."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method; define one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._name is None:
            result = self.forward(*args, **kwargs)
        else:
            with scope(self._name):
                result = self.forward(*args, **kwargs)
        if state.tracer is not None:
            state.tracer.watch(self, _unchanged)
        return result

    # The tree --------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules assigned to this one, in order of assignment."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, under dotted names."""
        seen: set[int] = set()

        def visit(module: Module, name: str) -> Iterator[tuple[str, Module]]:
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                for child_name, child in module.named_children():
                    yield from visit(child, f"{name}.{child_name}" if name else child_name)

        return visit(self, prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters under dotted names: each once, or with a tied weight under all of its names."""
        seen: set[int] = set()

        def visit(module: Module, prefix: str, above: tuple[Module, ...]) -> Iterator[tuple[str, Parameter]]:
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and not (remove_duplicate and id(value) in seen):
                    seen.add(id(value))
                    yield prefix + name, value
            for name, child in module.named_children():
                if all(child is not each for each in (module, *above)):
                    yield from visit(child, f"{prefix}{name}.", (module, *above))

        return visit(self, "", ())

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    # State -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Name to value of every parameter (sharing memory, so copy what must outlive the next update).

        A tied weight stands under each of its names, as in PyTorch, which loads
        ``{name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()}``.
        """
        return {name: parameter.detach() for name, parameter in self.named_parameters(remove_duplicate=False)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Overwrite the parameters; values may be tensors, arrays or PyTorch tensors.

        All names and shapes are checked first, so a state that does not fit changes nothing. ``strict=False``
        ignores missing and unexpected names.
        """
        if not isinstance(state_dict, Mapping):
            raise DataError(f"load_state_dict takes a mapping of names to values, not {type(state_dict).__name__}")
        own = dict(self.named_parameters(remove_duplicate=False))
        given_for = {id(own[name]) for name in own.keys() & state_dict.keys()}  # of a tied weight one name will do
        missing = sorted(name for name, parameter in own.items() if id(parameter) not in given_for)
        unexpected = sorted(state_dict.keys() - own.keys())
        if strict and (missing or unexpected):
            raise DataError(
                f"state_dict does not fit {type(self).__name__}: "
                f"missing {missing or 'nothing'}, unexpected {unexpected or 'nothing'}"
            )
        values: dict[str, Tensor] = {}
        for name in sorted(own.keys() & state_dict.keys()):
            try:
                given = state_dict[name]
                values[name] = as_tensor(given.detach() if hasattr(given, "detach") else given)
            except (ValueError, TypeError, RuntimeError) as error:
                raise DataError(f"state_dict: {name} is no tensor: {error}") from None
            if values[name].shape != own[name].shape:
                found = values[name].shape
                raise ShapeError(f"state_dict: {name} has shape {found}, the module's is {own[name].shape}")
        first: dict[int, str] = {}
        for name, value in values.items():
            other = first.setdefault(id(own[name]), name)
            if not np.array_equal(value.numpy(), values[other].numpy(), equal_nan=True):
                raise DataError(f"state_dict: {other} and {name} are one weight here, but differ; untie them first")
        with no_grad():
            for name, value in values.items():
                own[name].copy_(value)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Ask for, or decline, gradients of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def train(self, mode: bool = True) -> Module:
        """Training mode: dropout drops. Returns the module."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Module:
        """Evaluation mode: dropout does nothing. Returns the module."""
        return self.train(False)

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Module:
        """Convert all parameters to float32 or float64, in place; gradients are forgotten. The device is the "cpu"."""
        dtype = asked_dtype("Module.to", args, dtype, device)
        if dtype is None:
            return self
        for parameter in self.parameters():
            converted = Parameter(parameter.detach(), dtype)
            parameter._array, parameter._memory, parameter.grad = converted._array, converted._memory, None
        return self

    def double(self) -> Module:
        """All parameters in float64."""
        return self.to(np.float64)

    def float(self) -> Module:
        """All parameters in float32."""
        return self.to(np.float32)

    def extra_repr(self) -> str:
        """The settings shown by ``repr``."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n  ".join([f"{type(self).__name__}({self.extra_repr()}", *lines]) + "\n)"


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """``module`` in evaluation mode for a while; afterwards every module in it is in the mode that it was in."""
    before = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in before:
            object.__setattr__(each, "training", mode)


class ModuleList(Module):
    """Modules in a list, so that their parameters are found; numbered by position.

    >>> import tinygrad_rnn as tg
    >>> cells = tg.nn.ModuleList(tg.nn.RNNCell(4, 4) for _ in range(2))
    >>> [cell.hidden_size for cell in cells], len(list(cells.parameters()))
    ([4, 4], 8)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end. Returns the list."""
        if not isinstance(module, Module):
            kind = type(self).__name__
            raise DTypeError(f"{kind} takes modules, but argument {len(self)} is {type(module).__name__}")
        setattr(self, str(len(self)), module)
        return self

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Sequential(ModuleList):
    """Modules applied one after the other; parameters are named by position.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh(), tg.nn.Linear(3, 1))
    >>> model(tg.zeros(4, 2)).shape
    (4, 1)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """Each module's result is the next one's input."""
        for module in self:
            x = module(x)
        return x
