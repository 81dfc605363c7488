"""Reading and writing the weights of one recurrent layer in any dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...arguments import answerable
from ...errors import ArgumentError, DataError
from ...files import PathLike, as_path
from ...nn.activations import OF_GRU, OF_LSTM
from ...nn.recurrent import GRU, LSTM, RNN, RecurrentLayers
from ...tensors import Array
from ..dialects.record import GATES, Atom, Dialect, Part
from ..dialects.table import DIALECTS
from .files import Told, read_file, write_file
from .whole_models import write_keras, write_onnx

Atoms = dict[tuple[int, int, Atom], Array]
_DEFAULTS: dict[str, dict[str, Any]] = {
    "lstm": {"activations": OF_LSTM, "peepholes": None, "coupled": False, "clip": None},
    "gru": {"activations": OF_GRU, "reset": "after", "clip": None},
    "rnn": {"nonlinearity": "tanh", "clip": None},
}
_KINDS: dict[str, type[RecurrentLayers]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
#: what a user of the library sets, and no array shows
_CHOSEN = ("activations", "nonlinearity", "clip", "coupled")


@answerable
def load_weights(
    layer: RecurrentLayers, source: Any, dialect: str | None = None, *, prefix: str | Sequence[str] | None = None
) -> Dialect:
    """Overwrite the weights of ``layer``, an `nn.RNN`, `nn.LSTM` or `nn.GRU`, with those of another library.

    ``source``: a mapping of names to arrays (nested ones and names with dots or slashes are alike), one vector for the
    libraries that keep one, a sequence of mappings, one a layer and direction in PyTorch's order, where a library's
    names tell neither, or a file: .safetensors, .npz, .npy, Keras' .h5 and .keras, .onnx. ``prefix``: the part of the
    names before this layer's, or several of them, one a layer and direction. ``dialect``: a name of
    `interchange.DIALECTS`; found by names and shapes if there is only one it can be.

    The layer has to compute what the library does: ``DIALECTS[name].layer`` has the options for that. Returns the
    dialect. Raises `DataError`, and changes nothing, if arrays are missing, left over, of another shape, or ambiguous;
    `ArgumentError` for a layer that cannot compute the same.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> layer = tg.nn.LSTM(2, 3)
    >>> haiku = {"linear": {"w": np.ones((2 + 3, 4 * 3)), "b": np.zeros(4 * 3)}}
    >>> tg.interchange.load_weights(layer, haiku).name
    'haiku.lstm'
    >>> layer.bias_ih_l0.tolist()  # Haiku's cell adds 1 to the forget gate's
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    shape = _Shape(layer)
    read, told = read_file(source) if isinstance(source, (str, Path)) else (source, [])
    arrays = _arrays(read)
    about = {id(value): each for name, value in arrays.items() for each in told if name.startswith(each.start)}
    arrays = _under(arrays, prefix)
    if dialect is not None:
        chosen = _named(dialect)
        found = _fitting(chosen, shape, arrays)
        if isinstance(found, str):
            raise DataError(f"these are no weights of {chosen.name} for {shape}: {found}")
    else:
        chosen, found = _recognised(shape, arrays, about)
    problem = _unlike(chosen, shape)
    for value in found.values():
        problem = problem or _otherwise(about.get(id(value)), layer)
    if problem:
        raise ArgumentError(f"{chosen.name} computes something else than this {type(layer).__name__}: {problem}")
    layer.load_state_dict(_to_ours(chosen, shape, _read(chosen, shape, found)))
    return chosen


@answerable
def save_weights(layer: RecurrentLayers, dialect: str, path: PathLike | None = None) -> Any:
    """The weights of ``layer`` as another library, ``dialect``, stores them: arrays by name.

    They have the layer's dtype. Where the library's names tell neither layer nor direction, and there are several,
    the names begin with ``0/``, ``1/`` and so on; `load_weights` takes them back. With a ``path`` they are also
    written there, .safetensors, .npz or .h5; in ONNX's own and Keras' dialects also as a model that runs, .onnx and
    .keras. Raises `ArgumentError` for another kind of layer, `DataError` where
    the library has no place for a weight: a bias inside the reset gate that it does not have.

    >>> import tinygrad_rnn as tg
    >>> {name: value.shape for name, value in tg.interchange.save_weights(tg.nn.GRU(2, 3), "keras.gru").items()}
    {'kernel': (2, 9), 'recurrent_kernel': (3, 9), 'bias': (2, 9)}
    """
    chosen, shape = _named(dialect), _Shape(layer)
    if chosen.cell != shape.cell:
        raise ArgumentError(f"{chosen.name} is for nn.{chosen.cell.upper()}, not nn.{shape.cell.upper()}")
    if problem := _unlike(chosen, shape):
        raise ArgumentError(f"{chosen.name} computes something else than this {type(layer).__name__}: {problem}")
    atoms = _from_ours(chosen, shape, {name: value.numpy() for name, value in layer.state_dict().items()})
    arrays: dict[str, Array] = {}
    for place in _places(chosen, shape):
        own = {key: _atom(atoms, place, key) for key in place.atoms()}
        arrays[place.name] = place.part.write(own, place.sizes)
    if chosen.flat:
        names = list(_vector_order(chosen, shape))
        arrays = {chosen.vector: np.concatenate([arrays.pop(name).ravel() for name in names]), **arrays}
    if path is not None:
        file = as_path(path)
        if file.suffix == ".onnx":
            write_onnx(file, chosen, layer)
        elif file.suffix == ".keras":
            write_keras(file, chosen, layer, arrays)
        else:
            write_file(file, arrays)
    return arrays


class _Shape:
    """The sizes of a layer, and where its weights are."""

    def __init__(self, layer: RecurrentLayers) -> None:
        if not isinstance(layer, tuple(_KINDS.values())):
            raise ArgumentError(f"weights are loaded into an nn.RNN, nn.LSTM or nn.GRU, not {type(layer).__name__}")
        self.layer = layer
        self.cell = next(cell for cell, kind in _KINDS.items() if isinstance(layer, kind))
        self.layers, self.directions = layer.num_layers, layer.num_directions
        self.state = layer.proj_size or layer.hidden_size
        self.options = [
            name
            for name, there in {
                "bias": layer.bias,
                "p": getattr(layer, "peepholes", None),
                "hr": layer.proj_size,
                "h0": layer.learned_state,
            }.items()
            if there
        ]

    def sizes(self, layer: int) -> dict[str, int]:
        inputs = self.layer.input_size if layer == 0 else self.state * self.directions
        return {"h": self.layer.hidden_size, "i": inputs, "j": self.state, "k": inputs + self.state, "p": self.state}

    def suffix(self, layer: int, direction: int) -> str:
        return f"l{layer}" + ("_reverse" if direction else "")

    def __str__(self) -> str:
        return f"{type(self.layer).__name__}({self.layer.extra_repr()})"


class _Place:
    """One array: the part it is, its name in the file, and the layers and directions it spans."""

    def __init__(self, part: Part, dialect: Dialect, shape: _Shape, layer: int, direction: int) -> None:
        self.part, self.layer, self.direction = part, layer, direction
        self.layers = range(layer, shape.layers) if part.spans("l") else range(layer, layer + 1)
        both = part.spans("d")
        self.directions = range(shape.directions) if both else range(direction, direction + 1)
        self.sizes = {**shape.sizes(layer), "l": len(self.layers), "d": len(self.directions)}
        slot = layer * shape.directions + direction
        name = part.name.format(
            layer=layer, slot=slot, d=dialect.directions[1 + direction if shape.directions == 2 else 0]
        )
        tells_direction = both or shape.directions == 1 or "{d}" in part.name
        tells_layer = part.spans("l") or shape.layers == 1 or "{layer}" in part.name or part.layers == "first"
        if "{slot}" not in part.name and not (tells_direction and tells_layer):
            name = f"{layer if tells_direction else slot}/{name}"
        self.name = name

    def atoms(self) -> list[tuple[int, int, Atom]]:
        """Its atoms, counted within it."""
        return [
            (k, d, a) for k in range(len(self.layers)) for d in range(len(self.directions)) for a in self.part.atoms
        ]


def _places(dialect: Dialect, shape: _Shape) -> Iterator[_Place]:
    for layer in range(shape.layers):
        for direction in range(shape.directions):
            for part in dialect.parts_for(shape.options):
                first = 1 if part.layers == "later" else 0
                wanted = layer == first if part.spans("l") else part.layers == "all" or (layer > 0) == bool(first)
                if wanted and not (direction and part.spans("d")):
                    yield _Place(part, dialect, shape, layer, direction)


def _atom(atoms: Atoms, place: _Place, key: tuple[int, int, Atom]) -> Array:
    layer, direction, (kind, gate) = key
    layer, direction = place.layers[layer], place.directions[direction]
    if kind == "xh":
        return np.concatenate([atoms[layer, direction, (each, gate)] for each in "xh"], axis=-1)
    return atoms[layer, direction, (kind, gate)]


# Finding ---------------------------------------------------------------------------------------------------------


def _named(dialect: str) -> Dialect:
    if dialect not in DIALECTS:
        raise ArgumentError(f"there is no dialect {dialect!r}; there are {', '.join(DIALECTS)}")
    return DIALECTS[dialect]


def _arrays(source: Any) -> dict[str, Array]:
    """Names with slashes, and float arrays."""
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        source = {str(k): each for k, each in enumerate(source)}
    if not isinstance(source, Mapping):
        source = {"": source}
    found: dict[str, Array] = {}
    for path, value in _flat(source):
        name = path.replace(".", "/").strip("/").removesuffix(":0")
        try:
            array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        except Exception as error:  # whatever a foreign object trips over
            raise DataError(f"{name or 'the source'} is no array: {type(error).__name__}") from None
        if array.dtype.kind == "f":  # masks, counters and names among the weights are none
            if name in found and not np.array_equal(found[name], array, equal_nan=True):
                raise DataError(f"there are two different arrays {name}")
            found[name] = array
    if not found:
        raise DataError("there are no arrays of floating-point numbers in what should be weights")
    return found


def _flat(mapping: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        name = f"{above}/{'/'.join(map(str, key)) if isinstance(key, tuple) else key}"
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, value


def _under(arrays: dict[str, Array], prefix: str | Sequence[str] | None) -> dict[str, Array]:
    if prefix is None:
        return arrays
    prefixes = [prefix] if isinstance(prefix, str) else list(prefix)
    found: dict[str, Array] = {}
    for k, each in enumerate(prefixes):
        start = each.replace(".", "/").strip("/") + "/" if each else ""
        own = {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
        if not own:
            raise DataError(f"no name begins with {each!r}; the names are {_some(arrays)}")
        found |= own if isinstance(prefix, str) else {f"{k}/{name}": value for name, value in own.items()}
    return found


def _some(names: Mapping[str, Any]) -> str:
    shown = [f"{name or 'the vector'} {np.shape(names[name])}" for name in list(names)[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _vector_order(dialect: Dialect, shape: _Shape) -> Iterator[str]:
    for group in dialect.flat:
        for slot in range(shape.layers * shape.directions):
            yield from (name.format(slot=slot) for name in group)


def _fitting(dialect: Dialect, shape: _Shape, arrays: Mapping[str, Array]) -> dict[str, Array] | str:
    """The arrays by the dialect's own names; or why these are not its."""
    if dialect.cell != shape.cell:
        return f"they are an {dialect.cell.upper()}'s"
    for kind, what in (("p", "peepholes"), ("hr", "projection"), ("h0", "learned_state")):
        if kind in shape.options and not dialect.has(kind):
            return f"it has no {what}"
    if "peepholes" in dialect.layer and "p" not in shape.options:
        return "the layer has no peepholes"
    places = {place.name: place for place in _places(dialect, shape)}
    shapes = {name: place.part.shape(place.sizes) for name, place in places.items()}
    if dialect.flat:
        opened = _opened(dialect, shape, arrays, shapes)
        if isinstance(opened, str):
            return opened
        arrays = opened
    located = _located(shapes, arrays)
    return located if isinstance(located, str) else {name: arrays[located[name]] for name in places}


def _located(shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Array]) -> dict[str, str] | str:
    """The names in the source of arrays of these names and shapes; or what is wrong."""
    slots = {name.partition("/")[0] for name in shapes}
    if (
        len(slots) > 1 and all(slot.isdigit() for slot in slots) and all("/" in name for name in shapes)
    ):  # one layer and direction after the other
        result: dict[str, str] = {}
        for slot in sorted(slots):
            start = f"{slot}/"
            own = {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
            given = {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
            found = _located(own, given)
            if isinstance(found, str):
                return f"{found} (number {slot})"
            result |= {start + name: start + theirs for name, theirs in found.items()}
        return result
    names = list(shapes)
    starts = [each.removesuffix(names[0]) for each in arrays if each == names[0] or each.endswith("/" + names[0])]
    complete = [start for start in starts if all(start + name in arrays for name in names)]
    if not complete:
        missing = [name for name in names if not any(each == name or each.endswith("/" + name) for each in arrays)]
        return f"missing {', '.join(missing or names)}; the names are {_some(arrays)}"
    depth = max(name.count("/") for name in names)
    problems = {}
    for start in complete:
        under = [each.removeprefix(start) for each in arrays if each.startswith(start)]
        over = [each for each in under if each not in shapes and each.count("/") <= depth]
        wrong = [name for name, wanted in shapes.items() if arrays[start + name].shape != wanted]
        if over:
            problems[start] = f"left over {', '.join(over)}"
        elif wrong:
            found_shape = arrays[start + wrong[0]].shape
            problems[start] = f"{start + wrong[0]} has shape {found_shape}, which should be {shapes[wrong[0]]}"
    right = [start for start in complete if start not in problems]
    if not right:
        return problems[complete[0]]
    if len(right) > 1:
        where = ", ".join(start.strip("/") or "''" for start in right)
        return f"several layers have such names, choose one by prefix=: {where}"
    return {name: right[0] + name for name in names}


def _opened(
    dialect: Dialect, shape: _Shape, arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array] | str:
    """The vector taken apart."""
    vectors = [name for name in arrays if name in ("", dialect.vector) or name.endswith("/" + dialect.vector)]
    if len(vectors) != 1:
        return f"there is no vector named {dialect.vector}"
    vector, order = arrays[vectors[0]], list(_vector_order(dialect, shape))
    if not all(name in shapes for name in order):
        return "the vector has biases"
    total = sum(int(np.prod(shapes[name])) for name in order)
    if vector.shape != (total,):
        return f"the vector has shape {vector.shape}, which should be ({total},)"
    rest = {name: value for name, value in arrays.items() if name != vectors[0]}
    start = 0
    for name in order:
        size = int(np.prod(shapes[name]))
        rest[vectors[0].removesuffix(dialect.vector) + name] = vector[start : start + size].reshape(shapes[name])
        start += size
    return rest


def _recognised(
    shape: _Shape, arrays: Mapping[str, Array], about: Mapping[int, Told]
) -> tuple[Dialect, dict[str, Array]]:
    fits: list[tuple[Dialect, dict[str, Array]]] = []
    reasons = []
    for dialect in DIALECTS.values():
        found = _fitting(dialect, shape, arrays)
        if isinstance(found, str):
            reasons.append(found)
        elif all(id(each) not in about or about[id(each)].dialect == dialect.name for each in found.values()):
            fits.append((dialect, found))
    several = next((reason for reason in reasons if reason.startswith("several layers")), None)
    if not fits and several:
        raise DataError(several)
    if not fits:
        raise DataError(
            f"no dialect has these names and shapes for {shape}: {_some(arrays)}; "
            "name the one you mean, dialect=..., to hear what is missing"
        )
    if any(each.meaning(shape.options) != fits[0][0].meaning(shape.options) for each, _ in fits):
        names = ", ".join(each.name for each, _ in fits)
        raise DataError(f"several dialects have these names and shapes and mean other numbers; say which: {names}")
    return fits[0]


def _own(layer: RecurrentLayers) -> dict[str, Any]:
    own = {**layer.settings, "peepholes": getattr(layer, "peepholes", None)}
    return own | ({"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {})


def _otherwise(told: Told | None, layer: RecurrentLayers) -> str | None:
    """Advice where the layer lacks options that the file states; None if it has them all."""
    own = _own(layer)
    differing = {name: value for name, value in (told.options if told else {}).items() if own[name] != value}
    wanted = ", ".join(f"{name}={value!r}" for name, value in differing.items())
    return f"make the layer with {wanted}" if wanted else None


def _unlike(dialect: Dialect, shape: _Shape) -> str | None:
    """The difference between the layer's computation and the dialect's, in words; None if there is none."""
    cell, layer = shape.cell, shape.layer
    own = _own(layer)
    wanted = {**_DEFAULTS[cell], **dialect.layer}
    if "learned_state" in wanted:
        own["learned_state"] = layer.learned_state
    if dialect.has("p") and "peepholes" not in dialect.layer:
        wanted["peepholes"] = own["peepholes"] and "diagonal"
    for name, value in wanted.items():
        chosen_on_purpose = dialect.settable and name in _CHOSEN and own[name] != _DEFAULTS[cell][name]
        if own[name] != value and not chosen_on_purpose:
            return f"make the layer with {name}={value!r}, not {own[name]!r}"
    if cell == "rnn" and own["leak"] != 1 and dialect.name != "reservoirpy.reservoir":
        return "make the layer with leak=1.0"
    if dialect.forget_offset and not layer.bias:
        return "make the layer with bias=True"
    return None


# Atoms -----------------------------------------------------------------------------------------------------------


def _read(dialect: Dialect, shape: _Shape, arrays: Mapping[str, Array]) -> Atoms:
    atoms: Atoms = {}
    for place in _places(dialect, shape):
        for (layer, direction, (kind, gate)), value in place.part.read(arrays[place.name], place.sizes).items():
            at = place.layers[layer], place.directions[direction]
            if kind == "xh":
                inputs = place.sizes["i"]
                atoms[(*at, ("x", gate))], atoms[(*at, ("h", gate))] = value[:, :inputs], value[:, inputs:]
            else:
                atoms[(*at, (kind, gate))] = value
    return atoms


def _to_ours(dialect: Dialect, shape: _Shape, atoms: Atoms) -> dict[str, Array]:
    """Our parameters, by name."""
    state: dict[str, Array] = {}
    for layer in range(shape.layers):
        for direction in range(shape.directions):
            own = {atom: value for (k, d, atom), value in atoms.items() if (k, d) == (layer, direction)}
            if dialect.shared:
                own |= {(kind, "z"): value for (kind, gate), value in own.items() if gate == "r"}
            if dialect.flip:
                own |= {(kind, gate): -value for (kind, gate), value in own.items() if gate == "z"}
            stacked: dict[str, list[Array]] = {"weight_ih": [], "weight_hh": [], "bias_ih": [], "bias_hh": []}
            for gate in GATES[shape.cell]:
                stacked["weight_ih"].append(own["x", gate])
                stacked["weight_hh"].append(own["h", gate])
                zero = np.zeros(shape.layer.hidden_size, own["x", gate].dtype)
                first = own.get(("b", gate), own.get(("bx", gate), zero))
                stacked["bias_ih"].append(first + (dialect.forget_offset if gate == "f" else 0))
                stacked["bias_hh"].append(own.get(("bh", gate), zero))
            suffix = shape.suffix(layer, direction)
            for name, blocks in stacked.items():
                if shape.layer.bias or not name.startswith("bias"):
                    state[f"{name}_{suffix}"] = np.concatenate(blocks)
            for atom, name in _OTHERS.items():
                if atom in own:
                    state[f"{name}_{suffix}"] = own[atom]
    return state


_OTHERS: dict[Atom, str] = {
    ("p", "i"): "weight_ci",
    ("p", "f"): "weight_cf",
    ("p", "o"): "weight_co",
    ("hr", ""): "weight_hr",
    ("h0", ""): "h_0",
    ("c0", ""): "c_0",
}


def _from_ours(dialect: Dialect, shape: _Shape, state: Mapping[str, Array]) -> Atoms:
    """The dialect's atoms of our parameters."""
    for kind, what in (("p", "peepholes"), ("hr", "projection"), ("h0", "learned initial state")):
        if kind in shape.options and not dialect.has(kind):
            raise DataError(f"{dialect.name} has no place for the {what} of this layer")
    held = {gate: {kind for part in dialect.parts for kind, g in part.atoms if g == gate} for gate in GATES[shape.cell]}
    atoms: Atoms = {}
    for layer in range(shape.layers):
        for direction in range(shape.directions):
            suffix, at = shape.suffix(layer, direction), (layer, direction)
            gates = GATES[shape.cell]
            names = {"x": "weight_ih", "h": "weight_hh", "bx": "bias_ih", "bh": "bias_hh"}
            own: dict[Atom, Array] = {}
            for kind, name in names.items():
                if f"{name}_{suffix}" in state:
                    blocks = np.split(state[f"{name}_{suffix}"], len(gates))
                    own |= {(kind, gate): block for gate, block in zip(gates, blocks, strict=True)}
            if dialect.shared and any((own[kind, "r"] != own[kind, "z"]).any() for kind in ("x", "h")):
                raise DataError(f"{dialect.name} has one gate for two, but here r and z differ")
            if dialect.flip:
                own |= {atom: -value for atom, value in own.items() if atom[1] == "z"}
            for gate in gates if shape.layer.bias else "":
                if gate == "f" and dialect.forget_offset:
                    own["bx", "f"] = own["bx", "f"] - dialect.forget_offset
                if "b" in held[gate] or (dialect.shared and gate == "z"):
                    inside = gate == "n" and dialect.layer.get("reset") != "before"
                    if inside and own["bh", gate].any():
                        raise DataError(
                            f"{dialect.name} has one bias for n, but bias_hh_{suffix} is another one, inside the reset "
                            "gate: it has to be 0"
                        )
                    own["b", gate] = own["bx", gate] + own["bh", gate]
            for atom, name in _OTHERS.items():
                if f"{name}_{suffix}" in state:
                    own[atom] = state[f"{name}_{suffix}"]
            atoms |= {(*at, atom): value for atom, value in own.items()}
    return atoms
