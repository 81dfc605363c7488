"""docs/dialects.md, written from the records: ``python -m tinygrad_rnn.interchange.weights.dialects_document``."""

from __future__ import annotations

from .dialect import Dialect, Part
from .table import DIALECTS

_HEAD = """\
# Twenty LSTMs

"The LSTM" is twenty functions, and so is the GRU: libraries order the gates in their own ways, store matrices or their
transposes, keep one bias or two, add 1 to a gate without saying so, reset before the product or after it, and read `z`
as what is kept or as what is new. Two libraries even store arrays of the same names and shapes that mean other numbers.
Each row is a record of `tinygrad_rnn.interchange.DIALECTS`, measured by running that library; a test writes this page
from the records and compares every record with the equations, and with the library itself where that is installed.

```python
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import interchange

layer = tg.nn.GRU(2, 3, **interchange.DIALECTS["haiku.gru"].layer)  # Haiku resets before the product
theirs = {"w_i": np.ones((2, 9)), "w_h": np.ones((3, 9)), "b": np.zeros(9)}
interchange.load_weights(layer, theirs, "haiku.gru")
keras = interchange.save_weights(layer, "keras.gru_before")
```

`load_weights(layer, source, dialect=None, prefix=None)` takes mappings (nested ones, PyTorch's and Keras' too) and
files: .safetensors, .npz, .npy, Keras' .h5 and .keras (`pip install 'tinygrad_rnn[keras]'`), .onnx (`[onnx]`). Without
a `dialect` it is found by names and shapes, if only one fits; if several fit that mean other numbers, it asks. A layer
that would compute something else is refused with the option that it lacks. `prefix=` chooses among several layers of a
file. `save_weights(layer, dialect, path)` writes .safetensors, .npz and .h5, and models that run: .onnx in ONNX's
dialects, .keras in Keras'. Our layers give their states as `(h, c)` whatever the library's order, which the table
tells.

PyTorch's cells, ours without options: LSTM `c' = f c + i g`, `h' = o tanh(c')`; GRU
`n = tanh(W x + b + r (U h + b_h))`, `h' = (1 - z) n + z h`.
"""
_LENGTHS = """
## Past the end of a sequence

What is put out there, and the state of a row of length 0, are names: `nn.LSTM(..., past_end="zeros", empty=None)`.
Instead of lengths a layer takes a mask of booleans, also with holes, as Keras does: of a step that is False the same
holds, and the state stays as it was.

| `past_end` | outputs past a sequence's end | who does that |
|---|---|---|
| `"zeros"` | 0 | PyTorch, ONNX, Paddle, MindSpore, `jax.experimental.rnn`, Keras inside Bidirectional |
| `"repeat"` | the last output again; 0 before the first step | Keras with a mask |
| `"live"` | the network reads on into the padding | Flax with `seq_lengths` |
| `"step"` | one step from the final state, at each place anew | Paddle's `nn.RNN(cell)` |

| `empty` | the final state of a row of length 0 | who does that |
|---|---|---|
| `None` | refused | PyTorch |
| `"initial"` | the initial state | Paddle, MindSpore, Keras |
| `"zeros"` | zeros, whatever the initial state | onnxruntime, OpenVINO |
| `"last"` | the state after all padding | Flax |
"""
_AXES = {"h": "H", "i": "I", "j": "H", "k": "I+H", "p": "P", "d": "D", "l": "L", "t": "2", "1": "1"}


def document() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_table(cell) for cell in ("lstm", "gru", "rnn")), *[_LENGTHS.strip(), ""]])


def _table(cell: str) -> str:
    name = cell.upper()
    lines = [f"## {name}", "", "| dialect | library | arrays | gates | differs | state | past the end |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_row(each) for each in DIALECTS.values() if each.cell == cell]
    return "\n".join([*lines, ""])


def _row(dialect: Dialect) -> str:
    ends = [f"`{value}`" for value in dialect.lengths.values()]
    columns = [
        f"`{dialect.name}`", dialect.library, _arrays(dialect), "" if dialect.cell == "rnn" else dialect.gates,
        "; ".join(_differences(dialect)), dialect.state, ", ".join(ends),
    ]  # fmt: skip
    return f"| {' | '.join(columns)} |"


def _arrays(dialect: Dialect) -> str:
    """Names with shapes; arrays of one shape, one a gate, together."""
    by_shape: dict[str, list[str]] = {}
    for part in dialect.parts:
        by_shape.setdefault(_shape(part), []).append(part.name)
    shown = [f"`{' '.join(names)}` ({shape})" for shape, names in by_shape.items()]
    return ", ".join(shown) + (f", all in one vector `{dialect.vector}`" if dialect.flat else "")


def _shape(part: Part) -> str:
    gates = len(part.atoms) // (2 if part.spans("t") else 1)
    sizes = {**_AXES, "g": str(gates)}
    axes = []
    for group in part.groups:
        numbers = [int(sizes[x]) for x in group if sizes[x].isdigit()]
        letters = [sizes[x] for x in group if not sizes[x].isdigit()]
        product = 1
        for number in numbers:
            product *= number
        axes.append(("" if product == 1 and letters else str(product)) + "".join(letters))
    return ", ".join(axes)


def _differences(dialect: Dialect) -> list[str]:
    found = []
    if not any(kind in ("b", "bx") for part in dialect.parts for kind, _ in part.atoms):
        found.append("no bias")
    elif not dialect.has("bh"):
        found.append("one bias")
    elif dialect.has("b") or (dialect.cell == "gru" and _halves(dialect) == {"n"}):
        found.append("a second bias for n only")
    if dialect.forget_offset:
        found.append(f"adds {dialect.forget_offset:g} to f")
    if dialect.flip:
        found.append("`h' = (1 - z) h + z n`")
    if dialect.shared:
        found.append("r = z")
    if dialect.layer.get("reset") == "before":
        found.append("resets before the product")
    if "activations" in dialect.layer:
        found.append("hard sigmoids of slope 0.2")
    if "nonlinearity" in dialect.layer:
        found.append(f"{dialect.layer['nonlinearity']} by default")
    return found + ([dialect.note] if dialect.note else [])


def _halves(dialect: Dialect) -> set[str]:
    return {gate for part in dialect.parts for kind, gate in part.atoms if kind == "bh"}


if __name__ == "__main__":
    from pathlib import Path

    from ...files import write_atomically

    write_atomically(Path(__file__).parents[3] / "docs" / "dialects.md", document().encode())
