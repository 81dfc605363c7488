"""Input from other frameworks on the command line: an ONNX file, and scripts whose losses are PyTorch's or JAX's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..errors import DataError
from ..tensors import Array, Tensor
from .cost_warning import patience
from .options import arrays_in
from .user_scripts import script_function

#: what a size becomes that the file leaves free
FREE_SIZE = 3


def from_script(target: str) -> Any:
    """The result of ``script.py:function``; PyTorch's and JAX's tensors are imported as ours."""
    with patience(target), script_function(target) as function:
        return ours(function, function())


def ours(function: Callable[[], Any], made: Any) -> Any:
    """The result of a script's function as our tensors: imported if it is PyTorch's or JAX's."""
    parts = made if isinstance(made, (tuple, list)) else [made]
    frameworks = {type(part).__module__.split(".")[0] for part in parts}
    if "torch" in frameworks:
        from ..interchange import from_torch

        imported = from_torch(function)
        for note in imported.import_notes:
            click.echo(f"note: {note}", err=True)
        return imported()
    if frameworks & {"jax", "jaxlib"}:
        from ..interchange import from_jax

        return from_jax(function)()
    return made


def save_smallest_of(function: Callable[..., Any], target: str) -> str:
    """Save the smallest program whose gradient is wrong, in the current folder; what was done, in a line.

    What can be made smaller are the defaults of the function's arguments.
    """
    from ..testing.assertions import ProgramUnderTest
    from ..testing.shrinking import save_smallest

    script, _, name = target.rpartition(":")
    defaults = [p.default for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    program = ProgramUnderTest(function, tuple(defaults))
    if not program.given:
        return f"{name} takes its data itself: as def {name}(x=x), the smallest x that is still wrong would be saved"
    path = Path(f"{Path(script).stem}_{name}_smallest.py")
    return save_smallest(program, path, (Path(script).resolve(), name))


def onnx_loss(file: Path, inputs: Path | None, output: str | None, loss: str | None) -> Tensor:
    """A loss of an ONNX model: of one of its outputs, for the arrays of a .npz or for generated ones."""
    import warnings

    from ..interchange import ForeignWarning, from_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignWarning)
        model = from_onnx(file)
    for note in model.import_notes:
        click.echo(f"note: {note}", err=True)
    lists = ", ".join(str(value) for value in model.inputs if value.sequence)
    if lists:
        raise DataError(f"{file} takes lists of arrays, which no .npz holds: {lists}; call from_onnx(...) in a program")
    arrays = _read(inputs, [value.name for value in model.inputs]) if inputs else _generated(model.inputs)
    tensors = [Tensor(x, requires_grad=x.dtype.kind == "f", name=v.name) for x, v in zip(arrays, model.inputs)]
    made = dict(zip([value.name for value in model.outputs], model.results(*tensors), strict=True))
    floats = [name for name, x in made.items() if isinstance(x, Tensor) and x.dtype.kind == "f" and x.requires_grad]
    if output is None:
        if not floats:
            raise DataError(f"{file} has no output that gradients flow back from")
        output = floats[0]
        if len(made) > 1:
            click.echo(f"note: the loss is of the output {output!r}; --output chooses: {', '.join(floats)}", err=True)
    if output not in floats:
        raise DataError(f"{file} has no output {output!r} that gradients flow back from; it has {', '.join(floats)}")
    if loss in (None, "sum"):
        return made[output].sum()
    with script_function(loss) as function:
        result = function(made[output])
    if not isinstance(result, Tensor):
        raise DataError(f"{loss} returned {type(result).__name__}; return a loss made of the tensor it is given")
    return result


def _read(file: Path, names: list[str]) -> list[Array]:
    arrays = arrays_in(file)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{file} has no {', '.join(missing)}; it needs an array for each of {', '.join(names)}")
    return [arrays[name] for name in names]


def _generated(inputs: Any) -> list[Array]:
    """Normal random numbers, ones where integers are wanted; said so."""
    rng = np.random.default_rng(0)
    arrays = []
    for value in inputs:
        shape = tuple(n if isinstance(n, int) else FREE_SIZE for n in value.shape or ())
        kind = np.dtype(np.float32) if value.dtype is None else value.dtype
        arrays.append((rng.normal(size=shape) if kind.kind == "f" else np.ones(shape)).astype(kind))
        what = "random numbers" if kind.kind == "f" else "ones"
        click.echo(f"note: input {value} is {what} of shape {shape}; --inputs FILE.npz gives others", err=True)
    return arrays
