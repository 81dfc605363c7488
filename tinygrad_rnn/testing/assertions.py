"""`assert_gradients`: one line in one's own tests, whichever framework the program is written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..check import GradientError, Report, check_gradients
from ..interchange.nested_results import leaves, mapped
from ..tensors import Tensor
from .shrinking import save_smallest

#: how far a framework's own gradient may be from ours, by its size
AGREEMENT = {8: 1e-9, 4: 1e-3}


def assert_gradients(
    function: Callable[..., Any], args: Any = (), *, reproducer: str | Path | None = None, **settings: Any
) -> Report:
    """Assert that the gradients of ``function`` are the derivative: ours, a PyTorch module or function, a JAX function.

    ``args`` is what it is called with (a tuple; one thing stands for itself): tensors or arrays of its framework,
    nested as it wants them. Every float among them, and every parameter of a module, is differentiated. A foreign
    program is imported; PyTorch's own gradients are compared with those of the import, and these with complex steps,
    per tensor and per time step (`check_gradients`, which takes the other ``settings``). Returns the report.

    Raises `GradientError`, an `AssertionError` that says where it is wrong. With ``reproducer`` the program is then
    made smaller, time steps, batch and sizes, as long as its gradient stays wrong, and saved there as a script to run.

    >>> import tinygrad_rnn as tg
    >>> report = tg.testing.assert_gradients(lambda x, w: (x @ w).tanh().sum(), ([[1.0, 2.0]], [[0.5], [0.25]]))
    >>> report.verdict
    'passed'
    """
    args = args if isinstance(args, tuple) else (args,)
    program = ProgramUnderTest(function, args)
    report = program.report(program.given, **settings)
    difference = program.against_the_framework(report)
    if not report or difference:
        if difference:
            report.notes.append(difference)
            report.broken = report.broken or difference
        if reproducer is not None:
            report.notes.append(save_smallest(program, Path(reproducer), **settings))
        raise GradientError(report)
    return report


class ProgramUnderTest:
    """A program of some framework as a function of named arrays: its parameters, and what it is called with."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.framework = _framework(function, args)
        self.weights: dict[str, Any] = {}
        if self.framework == "torch" and hasattr(function, "named_parameters"):
            self.weights = {name: x.detach().numpy().copy() for name, x in function.named_parameters()}
        self.args = args
        if self.framework == "jax":
            import jax

            flat, self._structure = jax.tree_util.tree_flatten(args)
            arrays = {f"[{k}]": np.asarray(x) for k, x in enumerate(flat) if hasattr(x, "dtype")}
            self._flat = flat
        else:
            arrays = {path: _array(x) for path, x in leaves(args) if _array(x) is not None}
        #: name -> array, of everything that can be made smaller
        self.given: dict[str, Any] = {**{f"parameter {n}": x for n, x in self.weights.items()}, **arrays}

    def call(self, given: Mapping[str, Any]) -> list[Tensor]:
        """The outputs as our tensors, for these arrays."""
        if self.framework == "jax":
            import jax

            from ..interchange import from_jax

            flat = [given.get(f"[{k}]", x) for k, x in enumerate(self._flat)]
            ours = from_jax(self.function)
            args = jax.tree_util.tree_unflatten(self._structure, flat)
            tensors = ours.tensors(*args)
            return _outputs(ours(*(tensors if len(args) > 1 else (tensors,))))
        if self.framework == "torch":
            from ..interchange import from_torch

            weights, args = self._for_torch(given)
            imported = from_torch(self._functional(), (weights, *args))
            return _outputs(imported(mapped(_differentiated, weights), *mapped(_differentiated, list(args))))
        args = [given.get(f"[{k}]", x) if not isinstance(x, (list, tuple)) else x for k, x in enumerate(self.args)]
        return _outputs(self.function(*mapped(_differentiated, args)))

    def report(self, given: Mapping[str, Any], **settings: Any) -> Report:
        """Its gradients, checked."""
        import warnings

        from ..interchange import ForeignWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ForeignWarning)
            if self.framework == "ours":
                return check_gradients(self.function, list(self.args), raise_exception=False, **settings)
            self.outputs = self.call(given)
        from ..graph import Graph

        judged = self.outputs[0] if len(self.outputs) == 1 else Graph(*self.outputs)
        return check_gradients(judged, raise_exception=False, **settings)

    def against_the_framework(self, report: Report) -> str | None:
        """The difference from PyTorch's own gradients; None also where it has none, or draws random numbers."""
        if self.framework != "torch" or not self.weights or len(self.outputs) != 1 or self.outputs[0].shape != ():
            return None
        import torch

        weights, args = self._for_torch(self.given)
        loss = self._functional()(weights, *args)
        loss = loss[0] if isinstance(loss, (tuple, list)) else loss
        value = float(loss.detach())
        if abs(value - self.outputs[0].item()) > 1e-6 * max(1.0, abs(value)):
            return None  # other random numbers
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        ours = {c.name: c.got for c in report.comparisons if c.quantity == "gradient"}
        for name, g in zip(weights, found, strict=True):
            mine = ours.get(f"weights.{name}")
            if g is None or mine is None or mine.shape != tuple(g.shape):
                continue
            theirs = g.numpy()
            size = max(1.0, float(np.abs(theirs).max(initial=0.0)))
            if float(np.abs(mine - theirs).max(initial=0.0)) > AGREEMENT[theirs.dtype.itemsize] * size:
                return f"PyTorch's own gradient of {name} is another one than that of the imported program"
        return None

    def _functional(self) -> Callable[..., Any]:
        module = self.function
        if not self.weights:
            return lambda weights, *args: module(*args)
        from torch.func import functional_call

        return lambda weights, *args: functional_call(module, weights, args)

    def _for_torch(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        import torch

        def tensor(array: Any) -> Any:
            made = torch.from_numpy(np.array(array))
            return made.requires_grad_(made.is_floating_point())

        weights = {name: tensor(given[f"parameter {name}"]) for name in self.weights}
        paths = {path: tensor(array) for path, array in given.items() if not path.startswith("parameter ")}
        found = iter([paths.get(path, x) for path, x in leaves(self.args)])
        return weights, tuple(mapped(lambda _x: next(found), list(self.args)))


def _framework(function: Any, args: Any) -> str:
    kinds = {type(x).__module__.split(".")[0] for _, x in leaves(args)}
    kinds |= {base.__module__.split(".")[0] for base in type(function).__mro__}
    if "torch" in kinds:
        return "torch"
    return "jax" if kinds & {"jax", "jaxlib", "flax", "equinox", "haiku"} or _holds_jax(args) else "ours"


def _holds_jax(args: Any) -> bool:
    """Whether an argument is a pytree of a class of its own with arrays of JAX's in it."""
    return any(
        type(value).__module__.split(".")[0] in ("jax", "jaxlib")
        for _, x in leaves(args)
        for value in getattr(x, "__dict__", {}).values()
    )


def _array(x: Any) -> Any:
    if hasattr(x, "detach"):
        x = x.detach().numpy()
    return np.array(x) if isinstance(x, np.ndarray) else None


def _differentiated(x: Any) -> Any:
    if hasattr(x, "detach") and not isinstance(x, Tensor):
        x = x.detach().numpy()
    return Tensor(x, requires_grad=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x


def _outputs(result: Any) -> list[Tensor]:
    found: Sequence[Any] = [x for _, x in leaves(result)]
    return [x for x in found if isinstance(x, Tensor) and x.dtype.kind == "f" and x.requires_grad]
