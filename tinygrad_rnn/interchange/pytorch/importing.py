"""`from_torch`: a PyTorch module or function becomes a module of ours."""

from __future__ import annotations

import bisect
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ...arguments import answerable
from ...errors import DTypeError, GraphError
from ...graph import Ref
from ...nn.module import Parameter
from ...optional_packages import framework
from ...tensors import Tensor
from ..nested_results import leaves, mapped
from ..parameters_by_name import variables
from ..program import Imported, ImportedProgram

torch = framework("torch", "torch")

from .autograd_functions import functions_seen, hooked  # noqa: E402  only after the line above has said that PyTorch is there
from .module_places import Modules  # noqa: E402
from .recorder import CallRecorder, Mode, array_of  # noqa: E402
from .rows import rows_seen  # noqa: E402


@answerable
def from_torch(function: Callable[..., Any], args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Imported:
    """A PyTorch module, or a function that calls some, as a module of ours.

    ``function`` is called once with ``args`` (a tuple; one tensor stands for itself) and ``kwargs``: tensors or arrays,
    numbers and anything else it takes. Every call it makes of PyTorch is made again on our tensors, and what that
    gives is compared with PyTorch's value at once. ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` are opened into time steps; a
    module's name becomes the scope, the count of its calls the time step, the user's line the node's line.

    The result has the parameters' names and is called with other arguments of the same shapes, arrays or tensors of
    ours. What depended on data when it was imported (a branch taken, a dropout mask drawn, lengths) stays so: each is a
    warning and an entry of ``import_notes``. A ``torch.autograd.Function`` keeps its author's backward, so that
    `check_gradients` can tell whether it is the derivative.

    Raises `UnsupportedError`, which lists everything that cannot be imported, each with its line; `DataError` without
    PyTorch; `DTypeError` for what is no function.

    >>> import torch
    >>> import tinygrad_rnn as tg
    >>> theirs = torch.nn.GRU(3, 4).double()
    >>> ours = tg.interchange.from_torch(theirs, torch.ones(5, 2, 3, dtype=torch.float64))
    >>> output, h_n = ours(tg.zeros(5, 2, 3).double())
    >>> output.shape, [name for name, _ in ours.named_parameters()][:2]
    ((5, 2, 4), ['weight_ih_l0', 'weight_hh_l0'])
    """
    if not callable(function):
        raise DTypeError(f"from_torch takes a module or a function, not {type(function).__name__}")
    args = args if isinstance(args, (tuple, list)) else (args,)
    given = mapped(_as_torch, (list(args), dict(kwargs or {})))
    roots = _roots(function)
    modules = Modules({id(m): _named(prefix, name) for prefix, root in roots for name, m in root.named_modules()})
    modules.roots = [root for _, root in roots]
    parameters, tied = _parameters(function, roots)
    recorder = CallRecorder(
        modules,
        parameters,
        {id(x): path for path, x in leaves(given) if isinstance(x, torch.Tensor)},
        _names(function, roots) | _argument_names(function, given),
    )
    if not isinstance(function, torch.nn.Module):
        recorder.watched = {id(x) for _, x in variables(function) if isinstance(x, torch.Tensor)}
    _hooks_there(recorder, roots)
    with (
        torch.enable_grad(),
        _not_compiled(),
        modules.watched(),
        rows_seen(recorder),
        functions_seen(recorder, from_torch),
        Mode(recorder),
    ):
        out = function(*given[0], **given[1])
    return _finished(recorder, given, out, tied)


def _finished(recorder: CallRecorder, given: Any, out: Any, tied: Mapping[str, int]) -> Imported:
    outputs: list[Tensor] = []

    def position(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        outputs.append(recorder.ours(x))
        return Ref(len(outputs) - 1)

    result = mapped(position, out)
    recorder.raise_unsupported()
    if not outputs:
        raise GraphError("from_torch: the program returned no tensor; return the loss, or the outputs")
    _place(recorder, outputs)
    program = ImportedProgram(outputs, recorder.origin, hooked(recorder.hooks))
    parameters = {name: recorder.parameters[key][1] for name, key in tied.items()} | dict(recorder.parameters.values())
    example = mapped(lambda x: array_of(x) if isinstance(x, torch.Tensor) else x, given)
    return Imported(program, parameters, example, result, recorder.notes)


def _not_compiled() -> AbstractContextManager[Any]:
    """A context in which functions of `torch.compile` run as they were written, if that module is loaded."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _hooks_there(recorder: CallRecorder, roots: Sequence[tuple[str, Any]]) -> None:
    """The hooks there are before the program runs: a parameter's stay with it, a module's cannot come in."""
    for prefix, root in roots:
        for theirs in root.parameters():
            for hook in (theirs._backward_hooks or {}).values():
                recorder.hook(theirs, hook)
        for name, module in root.named_modules():
            if module._backward_hooks or module._backward_pre_hooks:
                recorder.refuse(
                    f"a backward hook of module {_named(prefix, name) or type(module).__name__}",
                    "remove it; a tensor's hook (x.register_hook) can come in",
                )


def _place(recorder: CallRecorder, outputs: Sequence[Tensor]) -> None:
    """Give every tensor the user's line and its time step."""
    from ..program import behind

    starts = [serial for serial, _, _ in recorder.calls]
    made = []
    for x in behind(outputs, recorder.origin):
        at = bisect.bisect_right(starts, x.serial) - 1
        if at < 0 or isinstance(x, Parameter):
            continue
        _, running, place = recorder.calls[at]
        x._made_at = place
        if x.op is not None:
            made.append((running, place, x))
    recorder.modules.label_steps(made)


def _as_torch(x: Any) -> Any:
    if isinstance(x, Tensor):
        x = x.numpy()
    return torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x


def _named(prefix: str, name: str) -> str:
    return ".".join(filter(None, (prefix, name)))


def _roots(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The modules a program is made of, and what goes in front of their parameters' names: nothing if there is one."""
    if isinstance(function, torch.nn.Module):
        return [("", function)]
    if isinstance(getattr(function, "__self__", None), torch.nn.Module):
        return [("", function.__self__)]  # type: ignore[attr-defined]
    found: dict[int, tuple[str, Any]] = {}
    for name, value in variables(function):
        if isinstance(value, torch.nn.Module):
            found.setdefault(id(value), (name, value))
    inner = {id(m) for _, root in found.values() for m in root.modules() if m is not root}
    outer = [(name, root) for key, (name, root) in found.items() if key not in inner]
    return [("", outer[0][1])] if len(outer) == 1 else outer


def _parameters(
    function: Callable[..., Any], roots: Sequence[tuple[str, Any]]
) -> tuple[dict[int, tuple[str, Parameter]], dict[str, int]]:
    """Our parameters by the id of PyTorch's, and every name one goes by."""
    ours: dict[int, tuple[str, Parameter]] = {}
    names: dict[str, int] = {}

    def enter(name: str, theirs: Any) -> None:
        if id(theirs) not in ours:
            ours[id(theirs)] = name, Parameter(array_of(theirs), requires_grad=theirs.requires_grad, name=name)
        names[name] = id(theirs)

    for prefix, root in roots:
        for name, theirs in root.named_parameters(remove_duplicate=False):
            enter(_named(prefix, name), theirs)
    if not isinstance(function, torch.nn.Module):
        for name, value in variables(function):
            for path, x in leaves(value):
                if isinstance(x, torch.Tensor) and x.requires_grad and x.is_leaf:
                    enter(name + path.replace("][", ".").replace("[", ".").replace("]", "").replace("'", ""), x)
    return ours, names


def _argument_names(function: Callable[..., Any], given: Any) -> dict[int, str]:
    """The names that the function's own code gives its tensors."""
    try:
        bound = inspect.signature(getattr(function, "forward", function)).bind(*given[0], **given[1])
    except (TypeError, ValueError):
        return {}
    return {
        id(x): name + path.replace("][", ".").replace("[", ".").replace("]", "").replace("'", "")
        for name, value in bound.arguments.items()
        for path, x in leaves(value)
        if isinstance(x, torch.Tensor)
    }


def _names(function: Callable[..., Any], roots: Sequence[tuple[str, Any]]) -> dict[int, str]:
    """The user's names of tensors that are no parameters."""
    names = {id(x): _named(prefix, name) for prefix, root in roots for name, x in root.named_buffers()}
    if not isinstance(function, torch.nn.Module):
        names |= {id(x): name for name, x in variables(function) if isinstance(x, torch.Tensor)}
    return names
