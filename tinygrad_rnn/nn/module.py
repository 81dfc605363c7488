"""Module: a tree of named parameters, and the scope its nodes are made in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .. import saving
from ..arguments import answering, refuse_misfit
from ..array_conversion import asked_dtype
from ..errors import ArgumentError, DataError, DTypeError, MissingMethodError, ShapeError
from ..files import PathLike
from ..functional import zeros_like
from ..scopes import scope
from ..settings import no_grad
from ..source_line import user_site, warn
from ..tensors import Tensor, as_tensor
from ..thread_state import current
from ..user_objects import is_of

if TYPE_CHECKING:
    from ..compiler.guards import Guards


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimizer updates; it requires a gradient unless told.

    ``data``, ``dtype`` and ``name`` as of `Tensor`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Parameter([1.0, 2.0]).requires_grad
    True
    """

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, dtype, requires_grad, name)


#: a module or a parameter
Held = TypeVar("Held", "Module", Parameter)


class IncompatibleKeys(NamedTuple):
    """The result of `Module.load_state_dict`: names that the state lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class HookHandle(NamedTuple):
    """The handle of a registered forward hook."""

    module: Module
    hook: tuple[bool, Callable[..., Any]]

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        kept = list(self.module._hooks)
        if self.hook in kept:
            kept.remove(self.hook)
        self.module._hooks = tuple(kept)


def _unchanged(module: Module, conditions: Guards) -> None:
    """Conditions of a compiled function: a module is in the mode, and has the attributes, it was traced with."""
    conditions.add("{}.training is {}", module, module.training)
    watch_attributes(module, conditions)


def watch_attributes(module: Module, conditions: Guards) -> None:
    """The condition that no attribute of a module but its mode was assigned since."""
    conditions.add("{}._changes == {}", module, module._changes)


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

    A tree of them gives its parts by name, its state, and changes as one:

    >>> tree = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh())
    >>> tree[1].register_buffer("mean", tg.zeros(3))
    >>> len(list(tree.modules())), len(list(tree.children())), len(list(tree.parameters())), len(list(tree.buffers()))
    (3, 2, 2, 1)
    >>> [name for name, _ in tree.named_modules()], [name for name, _ in tree.named_children()]
    (['', '0', '1'], ['0', '1'])
    >>> [name for name, _ in tree.named_buffers()]
    ['1.mean']
    >>> tree.load_state_dict(tree.state_dict())
    IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    >>> tree.eval().training, tree.train().training, tree.double().state_dict()["0.weight"].dtype
    (False, True, dtype('float64'))
    >>> tree.to(tg.float32).float().cpu().requires_grad_(False) is tree
    True
    >>> tree.zero_grad()
    """

    training: bool = True
    _name: str | None = None
    _changes: int = 0  # how often an attribute was assigned, but for the mode
    _buffers: tuple[tuple[str, bool], ...] = ()  # names of buffers, and whether they are part of the state
    _hooks: tuple[tuple[bool, Callable[..., Any]], ...] = ()  # before ``forward`` (True) or after it (False)

    def __setattr__(self, name: str, value: Any) -> None:
        if is_of(value, Parameter) and value.name is None:
            value.name = name
        elif is_of(value, Module) and value._name is None:
            _call(value, name if self._name is None or not _only_holds(self) else f"{self._name}.{name}")
        object.__setattr__(self, name, value)
        if name != "training":
            object.__setattr__(self, "_changes", self._changes + 1)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        object.__setattr__(self, "_changes", self._changes + 1)

    def _contents(self) -> dict[str, Any]:
        """Its attributes; a compiled function that looks through them is traced anew when they change."""
        if current.tracer is not None:
            current.tracer.watch(self, _unchanged)
        return vars(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result for these arguments: subclasses define it, calling the module calls it.

        Raises `MissingMethodError`, a `NotImplementedError`, if a subclass does not.
        """
        raise MissingMethodError(f"{type(self).__name__} has no forward method; define one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for before, hook in self._hooks:
            if before and (changed := hook(self, args)) is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        try:
            if self._name is None:
                result = self.forward(*args, **kwargs)
            else:
                with scope(self._name):
                    result = self.forward(*args, **kwargs)
        except TypeError as error:
            refuse_misfit(error, kwargs, self.forward, type(self).__name__)
            raise
        for before, hook in self._hooks:
            if not before and (changed := hook(self, args, result)) is not None:
                result = changed
        if current.tracer is not None:
            current.tracer.watch(self, _unchanged)
        return result

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> HookHandle:
        """Call ``hook(module, args)`` before each ``forward``; what it returns, if anything, replaces the arguments.

        >>> import tinygrad_rnn as tg
        >>> layer = tg.nn.Identity()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
        >>> layer(tg.ones(2)).tolist()
        [2.0, 2.0]
        """
        return self._register((True, hook))

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> HookHandle:
        """Call ``hook(module, args, output)`` after each ``forward``; a result, if any, replaces the output.

        >>> import tinygrad_rnn as tg
        >>> layer, seen = tg.nn.Linear(2, 3), []
        >>> handle = layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
        >>> _ = layer(tg.ones(4, 2)), handle.remove(), layer(tg.ones(5, 2))
        >>> seen
        [(4, 3)]
        """
        return self._register((False, hook))

    def _register(self, hook: tuple[bool, Callable[..., Any]]) -> HookHandle:
        self._hooks = (*self._hooks, hook)
        return HookHandle(self, hook)

    # The tree --------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules assigned to this one, in order of assignment, each once."""
        seen: set[int] = set()
        for name, value in self._contents().items():
            if is_of(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """Modules assigned to this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, under dotted names that begin with ``prefix``."""
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

    def get_submodule(self, target: str) -> Module:
        """The module below this one of the name ``target``, as in `named_modules`; "" is this one.

        Raises `ArgumentError` for a name that is not there.

        >>> import tinygrad_rnn as tg
        >>> model = tg.nn.ModuleDict({"body": tg.nn.Sequential(tg.nn.Tanh(), tg.nn.Linear(2, 3))})
        >>> model.get_submodule("body.0")
        Tanh()
        """
        module = self
        for name in _path(target, "get_submodule"):
            module = _held(module, name, Module, "get_submodule")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of the name ``target``, as in `named_parameters`.

        Raises `ArgumentError` for a name that is not there.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.Sequential(tg.nn.Tanh(), tg.nn.Linear(2, 3)).get_parameter("1.bias").shape
        (3,)
        """
        module = self
        *above, own = _path(target, "get_parameter") or [""]
        for name in above:
            module = _held(module, name, Module, "get_parameter")
        return _held(module, own, Parameter, "get_parameter")

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn`` on every module below this one and then on this one, to initialise them, say. Returns it.

        >>> import tinygrad_rnn as tg
        >>> def biases_of_one(module):
        ...     if isinstance(module, tg.nn.Linear):
        ...         tg.nn.init.ones_(module.bias)
        >>> model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh()).apply(biases_of_one)
        >>> model[0].bias.tolist()
        [1.0, 1.0, 1.0]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _named(self, own: Callable[[Module], Iterator[tuple[str, Any]]], once: bool) -> Iterator[tuple[str, Any]]:
        """``own`` of this module and all below it, under dotted names; each object ``once``, or under all its names."""
        seen: set[int] = set()

        def visit(module: Module, prefix: str, above: tuple[Module, ...]) -> Iterator[tuple[str, Any]]:
            for name, value in own(module):
                if not (once and id(value) in seen):
                    seen.add(id(value))
                    yield prefix + name, value
            for name, child in module._contents().items():
                if is_of(child, Module) and all(child is not each for each in (module, *above)):
                    yield from visit(child, f"{prefix}{name}.", (module, *above))

        return visit(self, "", ())

    def named_parameters(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters under dotted names.

        A tied weight comes once, or without ``remove_duplicate`` under each of its names.

        Warns of modules in a plain list, tuple or dict, whose parameters are not found.
        """
        self._notice_hidden()
        return self._named(_parameters_of, remove_duplicate)

    def _notice_hidden(self) -> None:
        """Warn of modules that are kept where this class does not look."""
        known = None
        for module in self.modules():
            for name, value in vars(module).items():
                kept = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
                if not any(is_of(each, (Module, Parameter)) for each in kept):
                    continue
                known = known or {id(p) for _, p in self._named(_parameters_of, True)}
                inside = [each if is_of(each, Parameter) else tuple(_quietly(each)) for each in kept]
                if any(id(p) not in known for p in _flat(inside)):
                    cure = "nn.ModuleDict" if type(value) is dict else "nn.ModuleList"
                    warn(
                        f"{type(module).__name__}.{name} is a plain {type(value).__name__}, so parameters in it are "
                        f"not trained, saved or converted; use {cure} [at {user_site()}]"
                    )

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a ``tensor`` that belongs to the module and is not trained, a running mean, say, as attribute ``name``.

        It is converted by ``to`` and, if ``persistent``, saved in the ``state_dict``. In ``forward`` write it with
        ``copy_`` under ``tg.no_grad()``; that works compiled, too. Raises `ArgumentError` for a name that is taken or
        none of an attribute, `DTypeError` for a `Parameter`.

        >>> import tinygrad_rnn as tg
        >>> counting = tg.nn.Identity()
        >>> counting.register_buffer("calls", tg.zeros(()))
        >>> list(counting.state_dict())
        ['calls']
        """
        if not isinstance(name, str) or not name.isidentifier() or hasattr(self, name):
            raise ArgumentError(f"register_buffer: {name!r} is taken already, or is no name of an attribute")
        if isinstance(tensor, Parameter):
            raise DTypeError(f"register_buffer: {name} is a Parameter; assign it as an attribute, or detach() it")
        value = None if tensor is None else as_tensor(tensor)
        if value is not None and value.is_leaf:
            value = _as_leaf(value)
        setattr(self, name, value)
        self._buffers = (*self._buffers, (name, persistent))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign ``param``, a `Parameter` or None, to the attribute ``name``; `DTypeError` for anything else.

        >>> import tinygrad_rnn as tg
        >>> scale = tg.nn.Identity()
        >>> scale.register_parameter("weight", tg.nn.Parameter([1.0]))
        >>> list(scale.state_dict())
        ['weight']
        """
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter: {name} is a {type(param).__name__}, no Parameter and not None")
        setattr(self, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign ``module``, or None, to the attribute ``name``; `DTypeError` for anything else.

        >>> import tinygrad_rnn as tg
        >>> stack = tg.nn.Identity()
        >>> stack.add_module("layer0", tg.nn.Linear(1, 1))
        >>> list(stack.state_dict())
        ['layer0.weight', 'layer0.bias']
        """
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"add_module: {name} is a {type(module).__name__}, no Module and not None")
        setattr(self, name, module)

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """All buffers under dotted names, each once."""
        return self._named(lambda module: module._own_buffers(False), True)

    def buffers(self) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def _own_buffers(self, saved: bool) -> Iterator[tuple[str, Tensor]]:
        """This module's buffers, or those of them that are ``saved`` with its state."""
        own = ((name, getattr(self, name)) for name, persistent in self._buffers if persistent or not saved)
        return ((name, value) for name, value in own if value is not None)

    def _take_buffers_from_graphs(self) -> None:
        """Make buffers that a forward pass assigned values of their own: the graph that has them stays as it is."""
        for module in self.modules():
            for name, value in module._own_buffers(False):
                setattr(module, name, _as_leaf(value))

    # State -----------------------------------------------------------------------------------------------

    def _saved(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors of the state, under all of their names."""
        self._notice_hidden()
        return self._named(lambda module: (*_parameters_of(module), *module._own_buffers(True)), False)  # type: ignore[arg-type,return-value]

    def state_dict(self) -> dict[str, Tensor]:
        """Name to value of every parameter and buffer (sharing memory, so copy what must outlive the next update).

        A tied weight stands under each of its names, as in PyTorch, which loads
        ``{name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()}``.
        """
        return {name: value.detach() for name, value in self._saved()}

    def save(self, path: PathLike) -> None:
        """Write the `state_dict` into the file ``path``, whole or not at all; see `tg.save`.

        >>> import tinygrad_rnn as tg
        >>> model = tg.nn.Linear(2, 3)
        >>> model.save("linear.safetensors")
        >>> tg.nn.Linear(2, 3).load("linear.safetensors")
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        """
        saving.save(self.state_dict(), path)

    def load(self, path: PathLike, strict: bool = True) -> IncompatibleKeys:
        """`load_state_dict`, with its ``strict``, from the file ``path`` that `save`, or safetensors in PyTorch, wrote.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.Linear(2, 3).save("linear.safetensors")
        >>> tg.nn.Linear(2, 3).load("linear.safetensors").missing_keys
        []
        """
        return self.load_state_dict(saving.load(path), strict)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Overwrite parameters and buffers by those of ``state_dict``: names with tensors, arrays or PyTorch's tensors.

        All names and shapes are checked first, so a state that does not fit changes nothing. ``strict=False``
        ignores missing and unexpected names, and returns them. Raises `DataError` for names that do not fit and for
        what is no tensor, `ShapeError` for another shape, `ArgumentError` for what is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(f"load_state_dict takes a mapping of names to values, not {type(state_dict).__name__}")
        own = dict(self._saved())
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
        self._take_buffers_from_graphs()
        own = dict(self._saved())
        with no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with ``set_to_none=False`` make those that are there zeros."""
        for parameter in self.parameters():
            forget_gradient(parameter, set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Ask for, or decline, gradients of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def train(self, mode: bool = True) -> Module:
        """Training mode, in which dropout drops; with ``mode=False`` as `eval`. Returns the module."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Module:
        """Evaluation mode: dropout does nothing. Returns the module."""
        return self.train(False)

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> Module:
        """Convert parameters and float buffers to float32 or float64, in place; gradients are forgotten.

        The device is the "cpu".
        """
        dtype = asked_dtype("Module.to", args, dtype, device)
        if dtype is None:
            return self
        self._take_buffers_from_graphs()
        for held in (*self.parameters(), *(b for b in self.buffers() if b.dtype.kind == "f")):
            converted = Parameter(held.detach(), dtype)
            held._array, held._memory, held.grad = converted._array, converted._memory, None
        return self

    def cpu(self) -> Module:
        """Itself: the device is the "cpu"."""
        return self

    def cuda(self, device: Any = None) -> Module:
        """An `ArgumentError`, whatever the ``device``: parameters are in the memory of the processor.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.Tanh().cuda()
        Traceback (most recent call last):
        tinygrad_rnn...ArgumentError: Module.to: tensors are in the memory of the processor...
        """
        return self.to(device="cuda")

    def double(self) -> Module:
        """All parameters in float64."""
        return self.to(np.float64)

    def float(self) -> Module:
        """All parameters in float32."""
        return self.to(np.float32)

    def extra_repr(self) -> str:
        """The settings shown by ``repr``, for subclasses to say.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.Linear(2, 3).extra_repr()
        '2, 3, bias=True'
        """
        return ""

    def __repr__(self) -> str:
        count = sum(parameter.numel() for _, parameter in self._named(_parameters_of, True))
        return self._shown() + (f"  # {count:,} parameters" if count else "")

    def _shown(self) -> str:
        """The text of `repr` without the number of parameters."""
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n  ".join([f"{type(self).__name__}({self.extra_repr()}", *lines]) + "\n)"


def _only_holds(module: Module) -> bool:
    """Whether it is not called itself, such as a list."""
    return type(module).forward is Module.forward


def _call(module: Module, name: str) -> None:
    """Name a module; those in one that only holds them are called with its name before theirs, ``blocks.0``."""
    object.__setattr__(module, "_name", name)
    for own, child in module.named_children() if _only_holds(module) else ():
        if child._name == own:
            _call(child, f"{name}.{own}")


def _path(target: str, call: str) -> list[str]:
    """The parts of a dotted name."""
    if not isinstance(target, str):
        raise ArgumentError(f"{call}: target is a dotted name such as 'lstm.weight_ih_l0', not {target!r:.40}")
    return target.split(".") if target else []


def _held(module: Module, name: str, kind: type[Held], call: str) -> Held:
    """The module or parameter that ``module`` holds under ``name``."""
    found = vars(module).get(name)
    if is_of(found, kind):
        return found
    there = ", ".join(key for key, value in vars(module).items() if is_of(value, kind)) or "none"
    raise ArgumentError(f"{call}: {type(module).__name__} has no {kind.__name__} {name!r}; it has {there:.200}")


def _as_leaf(buffer: Tensor) -> Tensor:
    """A tensor that can be written in place: a copy, if operations computed it."""
    return buffer if buffer.op is None else Tensor(buffer.numpy().copy(), buffer.dtype, name=buffer.name)


def _parameters_of(module: Module) -> Iterator[tuple[str, Parameter]]:
    """The parameters assigned to this very module, with their names."""
    return ((name, value) for name, value in module._contents().items() if is_of(value, Parameter))


def _flat(found: Iterable[Any]) -> Iterator[Parameter]:
    for each in found:
        yield from (each,) if is_of(each, Parameter) else each


def _quietly(thing: Any) -> Iterator[Parameter]:
    """The parameters of a module, without warnings; none of anything else."""
    return (p for _, p in thing._named(_parameters_of, True)) if is_of(thing, Module) else iter(())


def forget_gradient(parameter: Tensor, set_to_none: bool) -> None:
    """Carry out ``zero_grad`` for one parameter."""
    parameter.grad = None if set_to_none or parameter.grad is None else zeros_like(parameter)


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


def named_entry(holder: Module, name: str, module: Module) -> None:
    """Put a module into one that holds several, under a name."""
    kind, entries = type(holder).__name__, dict(holder.named_children())
    if not isinstance(module, Module):
        raise DTypeError(f"{kind} takes modules, but {name!r} is {type(module).__name__}")
    if not isinstance(name, str) or not name or "." in name or (hasattr(holder, name) and name not in entries):
        raise ArgumentError(f"{kind}: {name!r} cannot be a name here; take another without a dot")
    setattr(holder, name, module)


class ModuleList(Module):
    """``modules`` in a list, so that their parameters are found; numbered by position.

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

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end. Returns the list."""
        for module in modules:
            self.append(module)
        return self

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]

    def __iter__(self) -> Iterator[Module]:  # one that is there twice counts twice
        return (module for module in self._contents().values() if is_of(module, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ModuleDict(Module):
    """``modules`` under names, so that their parameters are found; a mapping or pairs.

    >>> import tinygrad_rnn as tg
    >>> heads = tg.nn.ModuleDict({"tags": tg.nn.Linear(4, 3), "words": tg.nn.Linear(4, 9)})
    >>> list(heads), heads["words"](tg.ones(2, 4)).shape
    (['tags', 'words'], (2, 9))
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add all of them, or put them in the place of those of the same names."""
        for name, module in dict(modules).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        named_entry(self, name, module)

    def __getitem__(self, name: str) -> Module:
        return self._entries()[name]

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def pop(self, name: str) -> Module:
        """Take one out, and return it."""
        module = self[name]
        del self[name]
        return module

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def _entries(self) -> dict[str, Module]:
        return {name: value for name, value in self._contents().items() if is_of(value, Module)}

    def keys(self) -> Iterable[str]:
        """The names, in order of assignment."""
        return self._entries().keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._entries().values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._entries().items()


class Sequential(ModuleList):
    """``modules`` applied one after the other; parameters are named by position, or by the keys of one dictionary.

    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh(), tg.nn.Linear(3, 1))
    >>> model(tg.zeros(4, 2)).shape
    (4, 1)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            super().__init__()
            for name, module in modules[0].items():
                named_entry(self, name, module)
        else:
            super().__init__(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """Each module's result is the next one's input."""
        for module in self:
            x = module(x)
        return x


answering(globals())
