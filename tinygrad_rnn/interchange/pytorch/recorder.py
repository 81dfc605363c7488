"""A PyTorch program, run once under a function mode: every call it makes is made again on our tensors.

A `CallRecorder` keeps, for each of PyTorch's tensors it meets, its mirror: a tensor of ours with its value, made by
our primitives. Whatever depends neither on an argument nor on a parameter has no mirror until it is used, and then
is a constant. Each mirrored value is compared with PyTorch's at once, so that a keyword we misread is an error at the
user's line and not a wrong gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode, resolve_name

from ...errors import UnsupportedError
from ...nn.module import Parameter
from ...scopes import placed
from ...source_line import Site
from ...tensors import Tensor, serials
from ...thread_state import current
from ...words import words
from ..composed_operators import read_through, write_through
from ..nested_results import leaves, mapped
from ..parameters_by_name import name_in
from ..program import Detached, Input, constant, detached
from . import calls, decompositions, recurrent  # noqa: F401  (recurrent enters its calls in the table)
from .module_places import Modules, Running
from .shared_memory import positions

#: how far a mirrored value may be from PyTorch's, by its size
AGREEMENT = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-3}
#: files whose lines are not the user's own
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]))
#: what is said of a value that has a derivative in PyTorch and was not made by a call that arrived here
_UNSEEN = (
    "nothing here saw how it was made: by TorchScript (run with PYTORCH_JIT=0 in the environment), by an extension in "
    "C++ (call what it does in Python), or before the import (detach it, or compute it inside the program)"
)
#: calls that tell Python about a tensor, and make none
_QUESTIONS = words(
    "size dim ndimension numel stride is_floating_point is_complex __len__ __repr__ __format__ __hash__ "
    "requires_grad_ retain_grad is_contiguous data_ptr storage_offset _set_grad_enabled is_grad_enabled "
    "untyped_storage __set__ element_size get_device is_cuda backward _is_view manual_seed has_names is_tensor "
    "__delete__"
)
#: calls that hand a value to Python, which may then go one way or another
_DECISIONS = words(
    "item tolist __bool__ __float__ __int__ __index__ numpy __array__ __contains__ allclose equal is_nonzero"
)
#: attributes read through ``__get__`` that are tensors
_ATTRIBUTES = {"T", "mT", "H", "mH", "data", "real"}


@dataclass
class Mirror:
    """Our counterpart of one of PyTorch's tensors, as of its version."""

    theirs: Any  #: kept alive, so that its id stays its own
    ours: Tensor
    version: int


@dataclass(frozen=True)
class Hook:
    """A hook that a user put on a gradient, and its line."""

    function: Callable[[Any], Any]
    place: tuple[CodeType, int] | None


@dataclass
class Call:
    """One call: what PyTorch was given and returned, for those who mirror it."""

    recorder: CallRecorder
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    random_state: Any = None

    def detached(self, x: Tensor) -> Tensor:
        """``x`` cut off from the graph."""
        return detached(x, self.recorder.origin)


@dataclass
class CallRecorder:
    """The state of the recording while the program runs."""

    modules: Modules
    parameters: dict[int, tuple[str, Parameter]]  #: by id of PyTorch's tensor
    inputs: dict[int, str]  #: id of an argument -> its place among the arguments
    names: dict[int, str]  #: id of any other tensor -> what the user calls it
    origin: dict[int, Input | Detached] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    unsupported: dict[str, None] = field(default_factory=dict)
    mirrors: dict[int, Mirror] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)  #: storage -> id of the first tensor met on it
    live: set[int] = field(default_factory=set)  #: serials of what is mirrored: it depends on something with a name
    varying: set[int] = field(default_factory=set)  #: serials of what depends on an argument or a parameter
    watched: set[int] = field(default_factory=set)  #: ids of the user's own constants, kept visible
    calls: list[tuple[int, Running, Any]] = field(default_factory=list)  #: first serial, what was running, where
    walked: dict[int, int] = field(default_factory=dict)  #: steps done, by the serial of a layer's first weight
    hooks: dict[int, list[Hook]] = field(default_factory=dict)  #: by the serial of the tensor whose gradient they get
    place: tuple[CodeType, int] | None = None
    resting: bool = False
    blind: bool = False  #: whether something was refused whose results are not followed
    changing: bool = False  #: whether the call being mirrored depends on an argument or a parameter

    # Mirrors ---------------------------------------------------------------------------------------------

    def stand_for(self, theirs: Any, ours: Tensor) -> None:
        """Let ``ours`` stand for a tensor of PyTorch's of the same value."""
        self.live.add(ours.serial)
        if self.changing:
            self.varying.add(ours.serial)
        self.owners[theirs.untyped_storage()._cdata] = id(theirs)
        self.mirrors[id(theirs)] = Mirror(theirs, ours, version_of(theirs))

    def ours(self, t: Any) -> Tensor:
        """The mirror of one of PyTorch's tensors, up to date."""
        mirror = self.mirrors.get(id(t))
        version = version_of(t)
        if mirror is not None and mirror.version == version:
            return mirror.ours
        if mirror is not None and np.array_equal(mirror.ours.numpy(), array_of(t), equal_nan=t.is_floating_point()):
            mirror.version = version  # written to, and mirrored, before PyTorch counted it
            return mirror.ours
        if t._base is not None and id(t._base) not in self.mirrors:
            self.ours(t._base)  # the whole of the memory comes before a part of it
        storage = t.untyped_storage()._cdata
        owner = self.mirrors.get(self.owners.get(storage, 0))
        if owner is not None and owner.theirs is not t and owner.ours.serial in self.live:
            # another view of memory that is mirrored: what it shows now is read off the owner
            whole = self.ours(owner.theirs) if owner.version != version_of(owner.theirs) else owner.ours
            made = read_through(whole, positions(owner.theirs, t))
            self.live.add(made.serial)
            if whole.serial in self.varying:
                self.varying.add(made.serial)
        else:
            if mirror is not None and mirror.ours.serial in self.live:
                self.refuse("a write in place", "nothing here saw it; write with operations on the tensor itself")
            elif t.grad_fn is not None and not self.blind and id(t) not in self.parameters and id(t) not in self.inputs:
                self.refuse(f"a value with {t.grad_fn.name()}", _UNSEEN)
            made = self._leaf(t)
            self.owners.setdefault(storage, id(t))
        self.mirrors[id(t)] = Mirror(t, made, version)
        return made

    def _leaf(self, t: Any) -> Tensor:
        if id(t) in self.parameters:
            made: Tensor = self.parameters[id(t)][1]
            self.live.add(made.serial)
            self.varying.add(made.serial)
            return made
        with self._outside():
            made = constant(array_of(t), self.names.get(id(t)))
        if id(t) in self.inputs:
            self.origin[made.serial] = Input(self.inputs[id(t)])
            made.requires_grad = t.requires_grad
            self.live.add(made.serial)
            self.varying.add(made.serial)
        elif id(t) in self.watched:
            self.live.add(made.serial)
        return made

    @contextmanager
    def _outside(self) -> Iterator[None]:
        """Leaves belong to no time step; `Modules.label_steps` may find one for them."""
        with placed(current.scope._replace(step=None, part=None)):
            yield

    def _enter(self, t: Any) -> None:
        """A parameter that the function does not name itself: one of a helper's, or of an object's."""
        taken = {name for name, _ in self.parameters.values()}
        called = name_in(sys._getframe(), t)
        name = next(x for x in chain([called], (f"{called}_{k}" for k in count(2))) if x not in taken)
        self.parameters[id(t)] = name, Parameter(array_of(t), name=name)
        self.ours(t)  # keeps it alive

    def is_live(self, t: Any) -> bool:
        """Whether a tensor of PyTorch's has a mirror, or must have one."""
        if id(t) in self.parameters or id(t) in self.inputs or id(t) in self.watched:
            return True
        if id(t) not in self.mirrors and t.requires_grad and t.is_leaf:
            self._enter(t)
            return True
        mirror = self.mirrors.get(id(t))
        if mirror is not None and mirror.ours.serial in self.live:
            return True
        owner = self.mirrors.get(self.owners.get(t.untyped_storage()._cdata, 0))
        return owner is not None and owner.theirs is not t and owner.ours.serial in self.live

    def varies(self, t: Any) -> bool:
        """Whether a tensor of PyTorch's depends on an argument or a parameter."""
        return self.is_live(t) and self.ours(t).serial in self.varying

    def bind(self, t: Any, made: Tensor, name: str) -> None:
        """``made`` is the mirror of ``t`` from now on, if its value is."""
        expected = array_of(t)
        if made.dtype != expected.dtype:
            made = made.astype(expected.dtype)
        if made.requires_grad and not t.requires_grad and not self.resting:
            made = detached(made, self.origin)
        if not self._compare(made.numpy(), expected, name):
            made = constant(expected)  # so that the calls that follow are judged by themselves
        self.live.add(made.serial)
        if self.changing:
            self.varying.add(made.serial)
        storage = t.untyped_storage()._cdata
        owner = self.mirrors.get(self.owners.get(storage, 0))
        if owner is None or owner.theirs.untyped_storage()._cdata != storage:
            self.owners[storage] = id(t)
        self.mirrors[id(t)] = Mirror(t, made, version_of(t))

    def write(self, t: Any, made: Tensor, name: str) -> None:
        """``t`` was written in place, and shows ``made`` now; whoever shares its memory will see it."""
        storage = t.untyped_storage()._cdata
        owner = self.mirrors.get(self.owners.get(storage, 0))
        if owner is not None and owner.theirs is not t:
            expected = array_of(t)
            whole = write_through(owner.ours, positions(owner.theirs, t), made.astype(expected.dtype))
            self.bind(owner.theirs, whole, name)
        self.bind(t, made, name)

    def stand_in(self, *theirs: Any) -> None:
        """Values that cannot be mirrored stay what they are, so that what is made of them is looked at too."""
        for t in theirs:
            if t.is_complex():
                self.blind = True
            else:
                self.stand_for(t, constant(array_of(t)))

    def _compare(self, got: Any, expected: Any, name: str) -> bool:
        if got.shape == expected.shape:
            if expected.dtype.kind != "f":
                if np.array_equal(got, expected):
                    return True
            else:
                finite = np.isfinite(expected)
                size = np.abs(expected[finite]).max(initial=1.0)
                error = np.abs(got[finite] - expected[finite]).max(initial=0.0)
                same = np.array_equal(got[~finite], expected[~finite], equal_nan=True)
                if same and error <= AGREEMENT[expected.dtype] * size:
                    return True
        self.refuse(name, f"our value of it is not PyTorch's: {_difference(got, expected)}; compute it in other words")
        return False

    def steps_before(self, call: Call, weight: Tensor, states: tuple[Tensor, ...], count: int) -> int:
        """The number of time steps a layer went before this call, if the call goes on from there."""
        before = self.walked.get(weight.serial, 0) if any(x.serial in self.live for x in states) else 0
        self.walked[weight.serial] = before + count
        return before

    # Saying ----------------------------------------------------------------------------------------------

    def where(self) -> str:
        """The user's line, for a message."""
        return str(Site(*self.place)) if self.place else "an unknown line"

    def note(self, text: str, always: bool = False) -> None:
        """Something stays as it is now, although it depends on the arguments (or is random: ``always``)."""
        if not (self.changing or always):
            return
        self.notes[f"{text} (at {self.where()})"] = None

    def refuse(self, name: str, why: str) -> None:
        """Something cannot be imported; the program runs on, to find what else."""
        self.unsupported[f"{name} (at {self.where()}): {why}"] = None

    def raise_unsupported(self) -> None:
        """One error with all that was refused."""
        if self.unsupported:
            raise UnsupportedError("from_torch cannot import this program: " + "; ".join(self.unsupported))

    # Mirroring -------------------------------------------------------------------------------------------

    def mirror(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call of PyTorch's, and mirror it."""
        given = [x for _, x in leaves((list(args), kwargs)) if isinstance(x, torch.Tensor)]
        given += [x for key in args if isinstance(key, slice) for x in (key.start, key.stop) if torch.is_tensor(x)]
        live = [x for x in given if self.is_live(x)]
        written = given[0] if given and writes(name, kwargs) else None
        call = Call(self, name, args, kwargs, None)
        if live:
            call.random_state = torch.get_rng_state()
        mirrored: Any = None
        if live or (written is not None and id(written) in self.mirrors):
            mirrored = mapped(lambda x: self.ours(x) if isinstance(x, torch.Tensor) else x, (list(args), kwargs))
        changing = any(self.varies(x) for x in live)
        out = call.out = func(*args, **kwargs)
        if not live:
            if name in _DRAWN:
                self.note(f"{name}: the random numbers stay as they were drawn", True)
            if written is not None and id(written) in self.mirrors:
                self.mirrors.pop(id(written))
            return out
        made = [t for _, t in leaves(out) if isinstance(t, torch.Tensor)]
        if not made and written is None:
            return out
        self.calls.append((next(serials), self.modules.running(), self.place))
        self.changing = changing
        with self.modules.scope():
            self._mirror(call, mirrored, made, written, func)
        return out

    def ask_for_gradient(self, t: Any) -> None:
        """Gradients are asked for of what had none: they end at ``t``, as for a penalty on the gradient of an input."""
        if torch._C._functorch.is_functorch_wrapped_tensor(t) or not t.requires_grad or not self.is_live(t):
            return
        if self.ours(t).requires_grad:
            return
        made = self.ours(t)
        if any(mirror.ours is made and mirror.theirs is not t for mirror in self.mirrors.values()):
            made = made.clone()  # of another tensor nothing was asked
            self.live.add(made.serial)
            if self.ours(t).serial in self.varying:
                self.varying.add(made.serial)
        self.mirrors[id(t)] = Mirror(t, made.requires_grad_(), version_of(t))

    def hook(self, t: Any, hook: Callable[[Any], Any]) -> None:
        """``hook`` gets the gradient of ``t``, and may return another, wherever in the program ``t`` is used."""
        if self.is_live(t):
            self.hooks.setdefault(self.ours(t).serial, []).append(Hook(hook, self.place))

    def _mirror(self, call: Call, mirrored: Any, made: list[Any], written: Any, func: Any) -> None:
        results = calls.mirrored(call, *mirrored)
        if results is NotImplemented:
            if made and not any(t.is_floating_point() or t.is_complex() for t in made):
                self.note(f"{call.name} depends on data and keeps the value it had")
                return
            results = decompositions.decomposed(self, call, func, mirrored)
            if results is NotImplemented:
                self.stand_in(*made, *([] if written is None else [written]))
                return
        if written is not None:
            first = results[0] if isinstance(results, (list, tuple)) else results
            self.write(written, first, call.name)
            return
        for (_, theirs), (_, mine) in zip(leaves(call.out), leaves(results), strict=True):
            if isinstance(theirs, torch.Tensor) and isinstance(mine, Tensor):
                self.bind(theirs, mine, call.name)


#: what makes random numbers of none of the program's tensors
_DRAWN = words("rand rand_like randn randn_like randint randint_like randperm normal bernoulli multinomial")


class Mode(TorchFunctionMode):
    """Hands every call to the recorder."""

    def __init__(self, recorder: CallRecorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self.recorder
        name = name_of(func)
        if recorder.resting or name in _QUESTIONS:
            out = func(*args, **kwargs)
            asks = name == "requires_grad_" or (name == "__set__" and attribute_of(func) == "requires_grad")
            if asks and not recorder.resting:
                recorder.ask_for_gradient(args[0])
            return out
        recorder.place = user_place()
        if name == "register_hook":
            recorder.hook(*args)
            return func(*args, **kwargs)
        if any(torch._C._functorch.is_functorch_wrapped_tensor(x) for _, x in leaves(args) if torch.is_tensor(x)):
            recorder.refuse("torch.func", "it transforms what is called; write it with torch.autograd.grad")
            recorder.blind = True
            return func(*args, **kwargs)
        if name in _DECISIONS:
            if any(isinstance(x, torch.Tensor) and recorder.varies(x) for x in args):
                recorder.changing = True
                recorder.note(
                    f"{name.strip('_')}() of a value that depends on the inputs: what followed stays as it went"
                )
            return func(*args, **kwargs)
        if name == "__get__":
            name = attribute_of(func)
            if name not in _ATTRIBUTES:
                return func(*args, **kwargs)
        return recorder.mirror(name, func, args, kwargs)


def name_of(func: Any) -> str:
    """The name of a call, whichever way it was spelt."""
    return str(getattr(func, "__name__", func))


def attribute_of(func: Any) -> str:
    """The attribute that a ``__get__`` reads."""
    return str(getattr(func.__self__, "__name__", "")) or (resolve_name(func) or "").split(".")[-2]


def writes(name: str, kwargs: Any) -> bool:
    """Whether a call writes its first argument in place."""
    inplace = name.endswith("_") and not name.startswith("_") and not name.endswith("__")
    dunder = name.startswith("__i") and name.endswith("__") and name not in ("__invert__", "__index__", "__int__")
    return inplace or dunder or name == "__setitem__" or bool(kwargs.get("inplace"))


def array_of(t: Any) -> np.ndarray[Any, Any]:
    """A tensor of PyTorch's as an array of its own memory."""
    if t.dtype in (torch.float16, torch.bfloat16):
        raise UnsupportedError(
            f"from_torch: {t.dtype} has no counterpart here; call .float() or .double() on the model"
        )
    if t.is_sparse or t.is_quantized or t.is_complex():
        raise UnsupportedError(f"from_torch: a {t.dtype} tensor of layout {t.layout} has no counterpart here")
    with torch._C.DisableTorchFunction():
        return np.array(t.detach().cpu().numpy())


def version_of(t: Any) -> int:
    """The number of writes to a tensor; PyTorch does not count it of those made under ``inference_mode``."""
    return 0 if t.is_inference() else int(t._version)


def user_place() -> tuple[CodeType, int] | None:
    """The innermost place on the call stack that is neither in PyTorch nor in this package."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(_LIBRARIES):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def _difference(got: Any, expected: Any) -> str:
    if got.shape != expected.shape:
        return f"shape {got.shape}, not {expected.shape}"
    if expected.dtype.kind != "f":
        return "other integers"
    return f"off by {np.nanmax(np.abs(got - expected)):.2g}"
