"""Records of libraries' recurrent layers: the arrays, the weights in each, their order and layout.

Whatever the library, a layer is made of the same atoms: for each gate a matrix on the input, ``x``, one on the state,
``h``, and biases. A record lists the arrays of a library and the atoms in each; reading and writing are the same for
all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ...tensors import Array

#: an atom: what it is (``x h xh bx bh b p hr h0 c0``) and of which gate
Atom = tuple[str, str]
#: the gates of each cell in the order of our own weights
GATES = {"lstm": "ifgo", "gru": "rzn", "rnn": "a"}
#: the axes of an atom of each kind, with the unit it belongs to first
_ATOM_AXES = {
    "x": "hi",
    "h": "hj",
    "xh": "hk",
    "p": "h",
    "hr": "ph",
    **dict.fromkeys(("bx", "bh", "b", "h0", "c0"), "h"),
}
BIASES = ("bx", "bh", "b")


@dataclass(frozen=True)
class Part:
    """One array of a library: its name, its axes, and the atoms along its gate axis.

    ``axes``: ``l`` layers, ``d`` directions, ``g`` the atoms (``t g``: in two halves), ``h`` units, ``i`` inputs,
    ``j`` units of the state that is read, ``k`` inputs then state, ``p`` projected units; those in brackets are one
    axis of the array, the last running fastest. ``holds``: kinds with gates, ``"bx:ifgo bh:ifgo"``. In the name,
    ``{layer}``, ``{slot}`` (layers and directions counted through) and ``{d}``, the direction's name.
    """

    name: str
    axes: str
    holds: str
    chunks: tuple[int, ...] = ()  #: the buffer is cut: so many gates first, then so many, each laid out by itself
    scrambled: bool = False  #: each gate's block is the transposed matrix, its numbers read row by row into ours
    layers: str = "all"  #: of which layers: "all", the "first", or the "later"

    @cached_property
    def atoms(self) -> tuple[Atom, ...]:
        """The blocks along the gate axis, in order."""
        found: list[Atom] = []
        for token in self.holds.split():
            kind, _, gates = token.partition(":")
            found += [(kind, gate) for gate in gates] if gates else [(kind, "")]
        return tuple(found)

    @cached_property
    def groups(self) -> list[list[str]]:
        """The axes of the array, each a list of letters."""
        tokens = re.findall(r"\(([^)]*)\)|(\S+)", self.axes)
        return [(inside or single).split() for inside, single in tokens]

    @property
    def is_bias(self) -> bool:
        """Whether only biases are in it."""
        return all(kind in BIASES for kind, _ in self.atoms)

    def spans(self, letter: str) -> bool:
        """Whether the array has the axis of this letter: "l" layers, "d" directions, "g" gates, and so on."""
        return any(letter in group for group in self.groups)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of the array."""
        sizes = self._with_gates(sizes, len(self.atoms))
        return tuple(prod(sizes[letter] for letter in group) for group in self.groups)

    def _with_gates(self, sizes: Mapping[str, int], gates: int) -> dict[str, int]:
        two = 2 if self.spans("t") else 1
        return {**sizes, "1": 1, "t": two, "g": gates // two}

    def _logical(self, kind: str) -> list[str]:
        own = "hj" if kind == "p" and self.spans("j") else _ATOM_AXES[kind]
        return ["l", "d", "t", "g", *own]

    def read(self, array: Array, sizes: Mapping[str, int]) -> dict[tuple[int, int, Atom], Array]:
        """The array taken apart: every atom (a kind of weights and a gate), by layer and direction within the array."""
        found: dict[tuple[int, int, Atom], Array] = {}
        flat, start = np.ascontiguousarray(array).reshape(-1), 0
        for atoms in self._cut():
            letters = [letter for group in self.groups for letter in group]
            lengths = self._with_gates({"l": 1, "d": 1, **sizes}, len(atoms))
            wanted = [x for x in self._logical(atoms[0][0]) if x in letters]
            expanded = flat[start : start + prod(lengths[x] for x in letters)]
            start += expanded.size
            moved = expanded.reshape([lengths[x] for x in letters]).transpose(
                [letters.index(x) for x in wanted] + [k for k, x in enumerate(letters) if x == "1"]
            )
            inner = [lengths[x] for x in wanted if x not in "ldtg"]
            stacked = moved.reshape(
                lengths["l"] if "l" in letters else 1, lengths["d"] if "d" in letters else 1, len(atoms), *inner
            )
            for layer, direction, k in np.ndindex(stacked.shape[:3]):
                value = stacked[layer, direction, k]
                found[layer, direction, atoms[k]] = value.T.reshape(value.shape) if self.scrambled else value
        return found

    def write(self, atoms: Mapping[tuple[int, int, Atom], Array], sizes: Mapping[str, int]) -> Array:
        """The array made of these atoms, the inverse of `read`."""
        places = np.arange(prod(self.shape(sizes))).reshape(self.shape(sizes))
        result = np.empty(places.size, next(iter(atoms.values())).dtype)
        for key, place in self.read(places, sizes).items():
            result[place] = atoms[key]
        return result.reshape(places.shape)

    def _cut(self) -> list[tuple[Atom, ...]]:
        chunks, start, found = self.chunks or (len(self.atoms),), 0, []
        for size in chunks:
            found.append(self.atoms[start : start + size])
            start += size
        return found


@dataclass(frozen=True)
class Dialect:
    """One recurrent layer of one library, against ours.

    >>> import tinygrad_rnn as tg
    >>> tg.interchange.DIALECTS["keras.gru"].gates
    'z r n'
    """

    name: str  #: ``library.layer``
    library: str  #: and the version that was measured
    cell: str  #: "lstm", "gru" or "rnn"
    parts: tuple[Part, ...]
    directions: tuple[str, str, str] = ("", "", "_reverse")  #: of one; of the first of two, of the second
    flat: tuple[tuple[str, ...], ...] = ()  #: all in one vector: for each group of parts, every layer and direction
    vector: str = ""  #: the name of that vector
    forget_offset: float = 0.0  #: what the cell itself adds to the forget gate's pre-activation
    flip: bool = False  #: the update gate is the other way round: ``h' = (1 - z) h + z n``
    shared: bool = False  #: one gate is both the reset and the update gate
    layer: Mapping[str, Any] = field(default_factory=dict)  #: the options with which our layer computes the same
    settable: bool = False  #: whether the library lets its user choose other activations
    state: str = "h, c"  #: the order in which it hands out states
    lengths: Mapping[str, str] = field(default_factory=dict)  #: our names of what it does past a sequence's end
    note: str = ""

    def meaning(self, options: Sequence[str]) -> tuple[Any, ...]:
        """Equal for two dialects whose arrays mean the same for a layer with these options."""
        return (
            self.parts_for(options),
            self.directions,
            self.flat,
            self.forget_offset,
            self.flip,
            self.shared,
            sorted(self.layer.items()),
        )

    @cached_property
    def gates(self) -> str:
        """The gates in the order in which the library has them; "by name" if each is an array of its own."""
        first = next(part for part in self.parts if part.atoms[0][0] in ("x", "xh"))
        own = "".join(gate for _, gate in first.atoms)
        return " ".join(own) if len(own) > 1 or self.cell == "rnn" else "by name"

    def has(self, kind: str) -> bool:
        """Whether an array of the library holds such atoms."""
        return any(kind == each for part in self.parts for each, _ in part.atoms)

    def parts_for(self, options: Sequence[str]) -> tuple[Part, ...]:
        """Its arrays for a layer with these of ``bias``, ``p`` (peepholes), ``hr`` (projection), ``h0`` (state)."""
        return tuple(
            part
            for part in self.parts
            if (not part.is_bias or "bias" in options)
            and all(kind not in ("p", "hr", "h0") or kind in options for kind, _ in part.atoms)
        )
