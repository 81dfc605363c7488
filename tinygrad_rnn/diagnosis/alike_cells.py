"""Cells of a network that have the same structure, such as two layers, or encoder and decoder.

A backward pass calls one function for each of them, so a mistake in that function is made in all of them. For each
cell it is found which value corresponds to which value of the first one.
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
    """One of several cells with the same structure."""

    first: int  #: by the number of a state, or call: which of them the values are called after
    inside: dict[Place, Place]  #: what it consists of, and what that is in the first one
    around: dict[Place, Place]  #: what it reads from outside


def alike_cells(scene: Scene) -> list[Cell]:
    """All cells that share their structure with another: recurrent states, the largest first, then `_calls`."""
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
    """The family that a computed value belongs to, or the leaf that it is."""
    return ("leaf", node.index) if node.op is None else ("family", scene.place[node.index][0])


def _compared(scene: Scene, one: Node, two: Node) -> tuple[dict[Place, Place], dict[Place, Place]]:
    """Follow the operands of two values side by side, as long as operation, rank and constants are the same.

    Returns two maps from places of the first to places of the second: those that correspond, and those at which the
    comparison ended.
    """
    ends, pending = (place_of(scene, one), place_of(scene, two)), [(one, two)]
    inside, around = dict[Place, Place](), dict[Place, Place]()
    while pending:
        a, b = pending.pop()
        mine, theirs = place_of(scene, a), place_of(scene, b)
        if mine in inside or mine in around or mine == theirs:
            continue
        starts = [scene.initial.get(place[1], -1) if place[0] == "family" else -1 for place in (mine, theirs)]
        if min(starts) >= 0:
            pending.append((scene.record.nodes[starts[0]], scene.record.nodes[starts[1]]))
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
    """The name of the node's operation and its constant operands: what two nodes have to share to be alike."""
    return (node.op and node.op.name, *("value" if isinstance(x, Ref) else x for x in node.operands))


def _calls(scene: Scene) -> Iterator[Cell]:
    """One cell per call of a function that the program calls several times, with the weights that each call reads."""
    made: dict[int, tuple[dict[Place, Place], dict[Place, Place]]] = {}
    for number, (call, first) in scene.calls.items():
        inside, around = made.setdefault(call, ({}, {}))
        mine = scene.all_families[number]
        inside[place_of(scene, mine[0])] = place_of(scene, first[0])
        for x, y in zip(mine[-1].operands, first[-1].operands):
            if isinstance(x, Ref) and isinstance(y, Ref):
                nodes: Sequence[Node] = scene.record.nodes[x.index], scene.record.nodes[y.index]
                weight = all(n.op is None and n.requires_grad for n in nodes)
                (inside if weight else around).setdefault(place_of(scene, nodes[0]), place_of(scene, nodes[1]))
    for inside, around in made.values():
        yield Cell(-1, inside, around)
