"""A call that is not in the table, taken apart: PyTorch makes it once more, and its core operators are mirrored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode

from ...tensors import Tensor
from ..nested_results import leaves, mapped
from . import calls

if TYPE_CHECKING:
    from .recorder import Call, CallRecorder

_ADVICE = "write it in operations that are in the table of docs/interchange.md"


class _Parts(TorchDispatchMode):
    """Mirrors the core operators that a call consists of."""

    def __init__(self, recorder: CallRecorder, call: Call) -> None:
        super().__init__()
        self.recorder, self.call = recorder, call
        self.missing: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder, name = self.recorder, func._schema.name.split("::")[1]
        given = [x for _, x in leaves((list(args), kwargs)) if isinstance(x, torch.Tensor)]
        if not any(recorder.is_live(x) for x in given):
            return func(*args, **kwargs)
        written = given[0] if func._schema.is_mutable else None
        if calls.find(name) is None or (written is not None and not name.endswith("_")):
            return self._further(func, name, args, kwargs)
        mirrored = mapped(lambda x: recorder.ours(x) if isinstance(x, torch.Tensor) else x, (list(args), kwargs))
        out = func(*args, **kwargs)
        part = type(self.call)(recorder, name, args, kwargs, out, self.call.random_state)
        with torch._C._DisableTorchDispatch():
            results = calls.mirrored(part, *mirrored)
            if results is not NotImplemented:
                if written is not None:
                    recorder.write(written, results, name)
                    return out
                for (_, theirs), (_, mine) in zip(leaves(out), leaves(results), strict=True):
                    if isinstance(mine, Tensor):
                        recorder.bind(theirs, mine, name)
                return out
        return self._further(func, name, args, kwargs)

    def _further(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        apart = decomposition_table.get(func)
        with self:
            if apart is not None:
                return apart(*args, **kwargs)
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        out = func(*args, **kwargs)
        made = [x for _, x in leaves(out) if isinstance(x, torch.Tensor)]
        if not any(x.is_floating_point() or x.is_complex() for x in made):
            self.recorder.note(f"{name} depends on data and keeps the value it had")
        else:
            self.missing.append(name)
            self.recorder.stand_in(*made)
        return out


def decomposed(recorder: CallRecorder, call: Call, func: Any, mirrored: Any) -> Any:
    """Our results of a call, by way of its parts; or NotImplemented, and the recorder knows what is missing."""
    after = torch.get_rng_state()
    before = recorder.resting
    recorder.resting = True
    try:
        if call.random_state is not None:
            torch.set_rng_state(call.random_state)

        def again(x: Any) -> Any:
            return x.detach().clone() if isinstance(x, torch.Tensor) else x

        # the same values, without a gradient of PyTorch's, so that the operators arrive as they are
        pairs = list(zip(leaves((list(call.args), call.kwargs)), leaves(mirrored), strict=True))
        copies = mapped(again, (list(call.args), call.kwargs))
        for (_, copy), ((_, theirs), (_, mine)) in zip(leaves(copies), pairs, strict=True):
            if isinstance(theirs, torch.Tensor) and recorder.is_live(theirs):
                copy.copy_(torch.from_numpy(np.array(mine.numpy())))  # the call may have written to it
                recorder.stand_for(copy, mine)
        parts = _Parts(recorder, call)
        with torch.no_grad(), parts:
            out = func(*copies[0], **copies[1])
    except RuntimeError as error:
        said = str(error).splitlines()[0]
        recorder.refuse(call.name, f"it cannot be taken apart into PyTorch's core operators: {said}")
        return NotImplemented
    finally:
        recorder.resting = before
        torch.set_rng_state(after)
    if parts.missing:
        for name in dict.fromkeys(parts.missing):
            recorder.refuse(call.name if name == call.name else f"{call.name} ({name} in it)", _ADVICE)
        return NotImplemented
    if out is None:
        out = copies[0][0]
    return mapped(lambda x: recorder.ours(x) if isinstance(x, torch.Tensor) else x, out)
