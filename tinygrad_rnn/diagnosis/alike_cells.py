"""Cells of a network that are made alike, such as two layers, or encoder and decoder: which value of one is which.

A function for the backward pass is written once and called for each of them, so one mistake in it is made in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..graph import Node, Ref

if TYPE_CHECKING:
    from .edit_context import Scene

#: fewer values than this, made alike by chance, are no cell
FEWEST = 3
Place = tuple[str, int]  #: a family by its number, or a leaf by its index


@dataclass
class Cell:
    """One of several that are made alike."""

    first: int  #: by the number of a state, or call: which of them the values are called after
    inside: dict[Place, Place]  #: what it consists of, and what that is in the first one
    around: dict[Place, Place]  #: what it reads from outside


def alike_cells(scene: Scene) -> list[Cell]:
    """Those of recurrent states, the larger ones first; then what functions make that are called again."""
    pairs = []
    for i, one in enumerate(scene.states):
        for two in scene.states[i + 1 :]:
            inside, around = _compared(scene, one[-1], two[-1])
            if len(inside) >= FEWEST and any(kind == "leaf" for kind, _ in inside):
                pairs.append((inside, around))
    cells, first = list[Cell](), dict[Place, int]()
    for number, (inside, around) in enumerate(sorted(pairs, key=lambda pair: -len(pair[0]))):
        known = {first[place] for place in (*inside, *inside.values()) if place in first}
        if len(known) > 1 or any(place in cell.inside for cell in cells for place in inside.values()):
            continue
        group = known.pop() if known else number
        if not any(cell.first == group for cell in cells):
            cells.append(Cell(group, {place: place for place in inside}, {place: place for place in around}))
            first |= dict.fromkeys(inside, group)
        elif not all(place in cells[0].inside or first.get(place) == group for place in inside):
            continue
        cells.append(Cell(group, {b: a for a, b in inside.items()}, {b: a for a, b in around.items()}))
    return cells + list(_calls(scene))


def place_of(scene: Scene, node: Node) -> Place:
    """Where a value belongs."""
    return ("leaf", node.index) if node.op is None else ("family", scene.place[node.index][0])


def _compared(scene: Scene, one: Node, two: Node) -> tuple[dict[Place, Place], dict[Place, Place]]:
    """What two values are made of, as far as they are made alike: inside, and from where they differ on."""
    ends, pending = (place_of(scene, one), place_of(scene, two)), [(one, two)]
    inside, around = dict[Place, Place](), dict[Place, Place]()
    while pending:
        a, b = pending.pop()
        mine, theirs = place_of(scene, a), place_of(scene, b)
        if mine in inside or mine in around or mine == theirs:
            continue
        alike = (mine == ends[0]) == (theirs == ends[1]) and mine != ends[1] and theirs != ends[0]
        alike = alike and len(a.shape) == len(b.shape) and a.requires_grad == b.requires_grad
        if not alike or theirs in inside.values() or _made(a) != _made(b) or (a.op is None and not a.requires_grad):
            around[mine] = theirs
            continue
        inside[mine] = theirs
        for x, y in zip(a.operands, b.operands):
            if isinstance(x, Ref) and isinstance(y, Ref):
                pending.append((scene.record.nodes[x.index], scene.record.nodes[y.index]))
    return inside, around


def _made(node: Node) -> tuple[object, ...]:
    """By what operation, of how many values and of which numbers."""
    return (node.op and node.op.name, *("value" if isinstance(x, Ref) else x for x in node.operands))


def _calls(scene: Scene) -> Iterator[Cell]:
    """Families that a function makes which is called again; their weights are those at the same place of it."""
    made: dict[int, dict[Place, Place]] = {}
    for number, (call, first) in scene.calls.items():
        inside = made.setdefault(call, {})
        mine = scene.all_families[number]
        inside[place_of(scene, mine[0])] = place_of(scene, first[0])
        for x, y in zip(mine[-1].operands, first[-1].operands):
            if isinstance(x, Ref) and isinstance(y, Ref):
                nodes: Sequence[Node] = scene.record.nodes[x.index], scene.record.nodes[y.index]
                if all(n.op is None and n.requires_grad for n in nodes):
                    inside[place_of(scene, nodes[0])] = place_of(scene, nodes[1])
    for inside in made.values():
        yield Cell(-1, inside, {})
