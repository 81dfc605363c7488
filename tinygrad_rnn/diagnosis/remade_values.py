"""Values as a wrong formula computes them: with another operand, without a term, with + for −."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ..graph import Node
from ..tensors import Array
from .alike_places import NUMBER, PLACE
from .edit_context import Scene, in_brackets
from .edited_rules import Late, made
from .stand_ins import LIKELY, Variant

#: stands in the words for the value that is made
PUT = "{}"


def results(nodes: Sequence[Node], place: int, values: Sequence[Late], scene: Scene) -> list[Late]:
    """The results of ``nodes`` if operand ``place`` has the given values; computed when they are needed."""

    def result(node: Node, value: Late) -> Array:
        operands = [made(value) if k == place else scene.record.target(node, k) for k in range(len(node.operands))]
        assert node.op is not None
        return np.asarray(node.op.forward(*operands, **node.attrs))

    return [partial(result, node, value) for node, value in zip(nodes, values, strict=True)]


def remade(
    scene: Scene, nodes: Sequence[Node], depth: int, likely: float = LIKELY, dearest: float = np.inf
) -> Iterator[Variant]:
    """Wrong values for ``nodes``: another operand in their formula, a term left out, + for −, parts exchanged.

    ``depth``: so many operations back an operand may be another one. Of those further back only what is ``likely``, and
    of all nothing that costs more than ``dearest``.
    """
    op, record = nodes[0].op, scene.record
    if op is None or len({(n.op and n.op.name, n.shape) for n in nodes}) > 1:
        return
    if not (op.elementwise or op.joins or op.kind in ("movement", "index", "contraction")) or not nodes[0].shape:
        return
    count = len(nodes[0].operands)
    operands = [[record.target(n, k) for k in range(count)] for n in nodes]
    if op.infix == "-":
        yield f"has + for − in {PUT}", [partial(np.add, *both) for both in operands], 0.05
    for place in (0, 1) if op.infix in ("+", "-") else ():
        if all(np.shape(both[1 - place]) == nodes[0].shape for both in operands):
            other = np.negative if op.infix == "-" and place == 0 else np.asarray
            alone: list[Late] = [partial(other, both[1 - place]) for both in operands]
            yield f"uses {PUT} without {scene.name_of(nodes[-1], place)}", alone, 0.1
    if op.name == "concat" and count > 1:
        turned: list[Late] = [partial(np.concatenate, parts[::-1], nodes[0].attrs["axis"]) for parts in operands]
        yield f"uses {PUT} with its parts in the other order", turned, 0.1
        yield from _all_parts(scene, nodes)
    for place in range(count if count < 4 else 0):
        line = scene.line(list(nodes), place)
        if (
            line is None
            or record.values[line[0]].dtype.kind != "f"
            or (op.elementwise and np.shape(record.values[line[0]]) != nodes[0].shape)
        ):
            continue
        if record.values[line[0]].dtype.kind != "f" or (op.kind == "contraction" and len(set(line)) < len(line)):
            continue  # row numbers, or a weight
        mine = scene.name_of(nodes[-1], place)
        values: Sequence[Late]
        for words, values, cost in scene.stand_ins.of(line, nodes):
            if 0.1 + cost > dearest:
                continue
            text = f"uses {PUT} with {words} in the place of {mine}"
            yield text, results(nodes, place, values, scene), 0.1 + cost
        inner = [record.nodes[index] for index in line]
        most = min(likely, dearest - 0.05)
        deeper = remade(scene, inner, depth - 1, likely, most) if depth > 1 and len(set(line)) == len(line) else ()
        for words, values, cost in deeper:
            if cost <= most:
                same = words.startswith(f"uses {PUT} ")
                text = words if same else f"uses {PUT}, which {words.format(in_brackets(mine))}"
                yield text, results(nodes, place, values, scene), 0.05 + cost


def hardened(scene: Scene, nodes: Sequence[Node]) -> Iterator[Variant]:
    """Probabilities with 1 in the place of the largest and 0 in that of the others, as of targets without smoothing."""
    values = [np.asarray(scene.record.values[n.index]) for n in nodes]
    for axis in range(values[0].ndim):
        if all(np.all(v >= 0) and np.allclose(v.sum(axis), 1) and np.any((v > 0) & (v < 1)) for v in values):
            hard = [(v == v.max(axis, keepdims=True)).astype(float) for v in values]
            yield f"uses {PUT} with 1 where it is largest and 0 elsewhere, as without smoothing", hard, 0.05


def _all_parts(scene: Scene, nodes: Sequence[Node]) -> Iterator[Variant]:
    """Values put together of parts that are each replaced in the same way, as by the last step of each direction."""
    alike: list[dict[str, tuple[str, Sequence[Late]]]] = []

    for place in range(len(nodes[0].operands)):
        line = scene.line(list(nodes), place) or []
        inside = {k for index in line for k in (index, *scene.ancestors(index))}
        ways = scene.stand_ins.of(line, nodes) if line else []
        own = ((w, v) for w, v, _ in ways if all(int(index) in inside for _, index in PLACE.findall(w)))
        alike.append({NUMBER.sub("", scene.said(words)): (words, values) for words, values in own})  # the nearest
    for how in alike[0]:
        if all(how in ways for ways in alike):
            parts = [ways[how] for ways in alike]
            joined: list[Late] = [
                partial(_joined, node, [values[k] for _, values in parts]) for k, node in enumerate(nodes)
            ]
            yield f"uses {' and '.join(words for words, _ in parts)} for the parts of {PUT}", joined, 0.15


def _joined(node: Node, parts: Sequence[Late]) -> Array:
    assert node.op is not None
    return np.asarray(node.op.forward(*map(made, parts), **node.attrs))
