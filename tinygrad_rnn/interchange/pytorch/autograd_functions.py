"""Backward passes written by users: ``torch.autograd.Function`` and hooks of tensors, each as its author wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from ...arguments import names_at
from ...custom_function import parts_of
from ...reverse_walk import grad
from ...tensors import Array, Tensor, serials
from ..foreign_derivative import foreign
from .calls import handles
from .recorder import Call, CallRecorder, Hook, array_of, user_place

#: how a function of PyTorch's tensors, and examples of these, are imported in their turn
Import = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


@contextmanager
def functions_seen(recorder: CallRecorder, imported: Import) -> Iterator[None]:
    """While this lasts, ``apply`` of every `torch.autograd.Function` is recorded, also one bound before."""
    base = torch.autograd.function._SingleLevelFunction

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        call = super(base, cls).apply
        if recorder.resting:
            return call(*args, **kwargs)
        if cls is torch.utils.checkpoint.CheckpointFunction:  # (function, whether to keep the generator, arguments)
            return args[0](*args[2:])
        return _recorded(recorder, imported, cls, call, args, kwargs)

    base.apply = classmethod(apply)
    try:
        yield
    finally:
        del base.apply


def _recorded(recorder: CallRecorder, imported: Import, cls: Any, call: Any, args: Any, kwargs: Any) -> Any:
    recorder.place = user_place()
    slots = [i for i, x in enumerate(args) if isinstance(x, torch.Tensor)]
    live = any(recorder.is_live(args[i]) for i in slots)
    ours = [recorder.ours(args[i]) for i in slots] if live else []
    recorder.resting = True
    try:
        out = call(*args, **kwargs)
        if not live:
            return out
        outs = [out] if isinstance(out, torch.Tensor) else list(out)
        if not all(isinstance(x, torch.Tensor) and x.dtype.is_floating_point for x in outs):
            recorder.refuse(f"{cls.__name__}.apply", "it returns what is no float tensor; return those from a function")
            return out
        shapes = [tuple(x.shape) for x in outs]
        primitive = _primitive(imported, cls, call, args, kwargs, slots, shapes)
    finally:
        recorder.resting = False
    recorder.changing = True
    recorder.calls.append((next(serials), recorder.modules.running(), recorder.place))
    with recorder.modules.scope():
        for x, made in zip(outs, parts_of(primitive(*ours), shapes), strict=True):
            recorder.bind(x, made, f"{cls.__name__}.apply")
    return out


class _Silent:
    """A ``ctx`` that takes whatever is said to it."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None


def _primitive(
    imported: Import,
    cls: Any,
    call: Any,
    args: Any,
    kwargs: Any,
    slots: Sequence[int],
    shapes: Sequence[tuple[int, ...]],
) -> Any:
    """A primitive of the tensors among ``args``; of several results it gives one vector, one after the other."""

    def filled(tensors: Sequence[Any]) -> list[Any]:
        given = dict(zip(slots, tensors, strict=True))
        return [given.get(slot, x) for slot, x in enumerate(args)]

    def fresh(arrays: Sequence[Array]) -> list[Any]:
        return [torch.from_numpy(np.array(x)) for x in arrays]  # memory of their own: a forward may write to it

    def joined(out: Any) -> Any:
        outs = [out] if isinstance(out, torch.Tensor) else list(out)
        return outs[0] if len(outs) == 1 else torch.cat([x.reshape(-1) for x in outs])

    def forward(*arrays: Array) -> Array:
        if any(np.iscomplexobj(x) for x in arrays):  # PyTorch multiplies no complex matrix with a real one
            arrays = tuple(x.astype(np.complex128) if x.dtype.kind == "f" else x for x in map(np.asarray, arrays))
        tensors = fresh(arrays)
        try:
            with torch.no_grad():
                out = joined(call(*filled(tensors), **kwargs))
        except RuntimeError as error:
            if any(x.is_complex() for x in tensors):
                raise TypeError(f"{cls.__name__} takes no complex numbers") from None
            raise TypeError(f"{cls.__name__}: {error}") from None
        if any(x.is_complex() for x in tensors) and not out.is_complex():
            raise TypeError(f"{cls.__name__} drops the imaginary part")
        return out.numpy() if out.is_complex() else array_of(out)

    def pullback(g: Array, *arrays: Array) -> list[Array | None]:
        tensors = [x.requires_grad_(x.is_floating_point()) for x in fresh(arrays)]
        wanted = [i for i, x in enumerate(tensors) if x.requires_grad]
        with torch.enable_grad():
            out = joined(call(*filled(tensors), **kwargs))
            seed = torch.from_numpy(np.array(g)).to(out.dtype)
            found = torch.autograd.grad(out, [tensors[i] for i in wanted], seed, allow_unused=True)
        shares: dict[int, Any] = dict(zip(wanted, found, strict=True))
        return [None if shares.get(i) is None else array_of(shares[i]) for i in range(len(tensors))]

    def opened(*tensors: Tensor) -> Any:
        def inside(*xs: torch.Tensor) -> Any:
            return joined(cls.forward(*([] if of_its_own else [_Silent()]), *filled(xs), **kwargs))

        return imported(inside, tuple(fresh([x.numpy() for x in tensors])))(*tensors)

    of_its_own = cls.setup_context is not torch.autograd.Function.setup_context
    primitive = foreign(cls.__name__, forward, pullback, shapes)
    primitive.opened = opened
    primitive.arguments = partial(names_at, cls.forward, slots, int(not of_its_own))
    return primitive


@handles("grad")
def _grad(
    _call: Call,
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    *_flags: Any,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
    **_kwargs: Any,
) -> Any:
    """A gradient taken inside the program: the same one of ours, which may be differentiated again."""
    if is_grads_batched or materialize_grads:
        return NotImplemented
    return grad(outputs, inputs, grad_outputs, create_graph=True, allow_unused=True)


def hooked(hooks: Mapping[int, Sequence[Hook]]) -> dict[int, list[tuple[Any, Any]]]:
    """For the serial of each tensor with hooks the operations that pass it on and hand its gradient to a hook."""
    return {serial: [(_passing(hook), hook.place) for hook in of_one] for serial, of_one in hooks.items()}


def _passing(hook: Hook) -> Any:
    def pullback(g: Array, _x: Array) -> list[Array | None]:
        said = hook.function(torch.from_numpy(np.array(g)))
        return [g if said is None else array_of(said)]

    name = f"hook {getattr(hook.function, '__name__', type(hook.function).__name__)}"
    return foreign(name, lambda x: np.array(x), pullback, None)
