"""Edits of how a leaf's gradient was written down at the end of a right walk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, permutations

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Scene
from .edited_rules import TimesLeaf, blocks_transposed, of_one_row
from .edited_walks import Edit, Part, Rewrite, Rule, Use, scaled


def of_leaves(scene: Scene) -> Iterator[Edit]:
    """Edits of each leaf, of two leaves, and of all leaves."""
    leaves = scene.record.leaves
    shared = [leaf for leaf in leaves if _is_shared(scene, leaf)]
    for words, some, cost in (("The gradient of every shared weight", shared, 1.05), ("Every gradient", leaves, 1.0)):
        if len(some) > 1:
            none = {leaf.index: TimesLeaf(leaf.index, 0.0) for leaf in some}
            yield Edit(f"{words} is missing.", leaves=dict[int, Rewrite](none), scaling=words, cost=cost)
    for leaf in leaves:
        name, i = scene.named(leaf), leaf.index
        text = f"The gradient of {name}"
        yield Edit(f"{text} is missing.", leaves={i: TimesLeaf(i, 0.0)}, cost=1.05, scaling=text)
        turned = blocks_transposed(np.zeros(leaf.shape))
        if turned is not None and turned.shape == leaf.shape:
            yield Edit(f"{text} is transposed.", leaves={i: _turned(i)}, cost=0.9)
        yield from _sequence(scene, leaf)
        yield from _blocks(scene, leaf)
        yield from _overwritten(scene, leaf)
        yield from _silent_rows(scene, leaf)
    for mine, theirs in _alike(scene):
        names, s = [_listed(scene, each) for each in (mine, theirs)], "s" if len(mine) > 1 else ""
        there = dict(zip((leaf.index for leaf in mine), (leaf.index for leaf in theirs), strict=True))
        text = f"{names[0]} {'were' if s else 'was'} given"
        instead: dict[int, Rewrite] = {i: TimesLeaf(j, 1.0) for i, j in there.items()}
        yield Edit(f"{text} the gradient{s} of {names[1]}.", leaves=instead, cost=1.1)
        both = {i: _sum(i, j) for i, j in there.items()}
        own = f"their gradients and those of {names[1]} in one" if s else f"its gradient and that of {names[1]} in one"
        yield Edit(f"{text} {own}.", leaves=both, cost=1.15)
        if min(there.values()) > min(there):
            text = f"The gradients of {names[0]} and {f'those of {names[1]}' if s else names[1]}"
            exchanged = instead | {j: TimesLeaf(i, 1.0) for i, j in there.items()}
            yield Edit(f"{text} are exchanged.", leaves=exchanged)
            joined = both | {j: both[i] for i, j in there.items()}
            yield Edit(f"{text} were added up in one buffer.", leaves=joined)
    for node in scene.record.nodes:  # what is made once and read at every step, as an encoder's states
        if node.op is not None and node.scope.step is None and node.index in scene.record.truth.gradients:
            yield from _overwritten(scene, node)
    yield from _stacked(scene)
    for some in (leaves, *([leaf] for leaf in leaves)):
        given = [scene.given[leaf.index] for leaf in some if leaf.index in scene.given]
        limit = max((float(np.max(np.abs(g), initial=0.0)) for g in given), default=0.0)
        if _is_a_limit(limit, given):
            words = "Every gradient" if some is leaves else f"The gradient of {scene.named(some[0])}"
            rewrites = {leaf.index: _clipped(leaf.index, limit) for leaf in some}
            yield Edit(f"{words} is clipped to ±{limit:g}.", leaves=rewrites, cost=1.2 if some is leaves else 1.3)


def _alike(scene: Scene) -> Iterator[tuple[list[Node], list[Node]]]:
    """Leaves that may be taken for each other: two of one shape, or all that two cells of the same structure have."""
    for one, other in permutations(scene.record.leaves, 2):
        if one.shape == other.shape:
            yield [one], [other]
    for *_, there in scene.alike.cells():
        pairs = [(leaf, there["leaf", leaf.index][1]) for leaf in scene.record.leaves if ("leaf", leaf.index) in there]
        theirs = [scene.record.nodes[index] for _, index in pairs]
        if len(pairs) > 1 and all(one.shape == other.shape for (one, _), other in zip(pairs, theirs, strict=True)):
            yield [one for one, _ in pairs], theirs


def _listed(scene: Scene, leaves: list[Node]) -> str:
    names = [scene.named(leaf) for leaf in leaves]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _blocks(scene: Scene, leaf: Node) -> Iterator[Edit]:
    """Edits that drop the part of one gate, or of one operand of a concatenation, or the first or last row."""
    for axis, size in enumerate(leaf.shape[:2]):
        cuts = {0, size}
        count = scene.pieces.get(size, 1)
        cuts |= set(range(0, size, size // count)) if count > 1 else set()
        for user, slot in scene.record.users[leaf.index]:
            node = scene.record.nodes[user]
            other = node.operands[1 - slot] if node.op is not None and node.op.kind == "contraction" and slot < 2 else 0
            parts = scene.record.nodes[other.index] if isinstance(other, Ref) else node
            if parts.op is not None and parts.op.name == "concat":
                sizes = [
                    np.shape(scene.record.target(parts, k))[parts.attrs["axis"]] for k in range(len(parts.operands))
                ]
                cuts |= set(np.cumsum(sizes).tolist()) if sum(sizes) == size else set()
        edges = sorted(cuts)
        blocks = list(pairwise(edges)) if len(edges) > 2 else []
        blocks += [(0, 1), (size - 1, size)] if size > 2 else []
        for start, stop in dict.fromkeys(blocks):
            part = f"{':, ' * axis}{start or ''}:{stop if stop < size else ''}"
            text = f"The gradient of {scene.named(leaf)}[{part}]"
            rewrite = TimesLeaf(leaf.index, 0.0, (axis, start, stop))
            yield Edit(f"{text} is missing.", leaves={leaf.index: rewrite}, cost=1.15, scaling=text)


def _is_a_limit(most: float, given: list[Array]) -> bool:
    """Whether ``most``, the largest size in ``given``, looks like a clipping limit.

    It occurs more than once, and there are smaller numbers too, or it has at most two digits.
    """
    reached = sum(int(np.sum(np.abs(g) == most)) for g in given)
    below = any(np.any((g != 0) & (np.abs(g) < most)) for g in given)
    return most > 0 and reached > 1 and (below or most == float(f"{most:.2g}"))


def _overwritten(scene: Scene, leaf: Node) -> Iterator[Edit]:
    """Edits in which of all contributions to a leaf only those of one step, or of one place, are left."""
    uses = scene.record.senders(leaf.index)
    places = dict.fromkeys(scene.place[user][0] for user, _ in uses)
    name, over = scene.named(leaf), "is left: it was overwritten"
    ways = [way for use in uses for way in _ways(scene, use)]
    steps = {way: scene.record.nodes[way[0][0]].scope.step for way in ways}
    timed = sorted({step for step in steps.values() if step is not None})
    for which, words in ((0, "first"), (-1, "last")) if len(timed) > 1 else ():
        left = f"Of all that {name} receives, only what the {words} step"
        gone = [way for way in ways if steps[way] != timed[which]]
        lost: dict[Use, Rule] = {way[0]: scaled(0.0) for way in gone if len(way) == 1}
        late = {way[-1]: Part(tuple(w[:-1] for w in gone if w[-1] == way[-1])) for way in gone if len(way) > 1}
        if len(places) > 1:  # else it is one use of which only one step is left
            yield Edit(f"{left} sends {over}.", lost, parts=late, cost=1.15)
        kept = {way[-1] for way in ways} - lost.keys()
        for number in places if len(places) > 1 else ():
            more = {use: scaled(0.0) for use in kept if scene.place[use[0]][0] != number}
            source = scene.named(scene.all_families[number][-1])
            rest = {use: part for use, part in late.items() if use not in more}
            yield Edit(f"{left} sends from {source} {over}.", lost | more, parts=rest, cost=1.2)
        for row, said in ((-1, "last"), (0, "first")):  # of samples that are walked one after another
            text = f"{left} of the {said} row sends {over}."
            yield Edit(text, lost | dict.fromkeys(kept, of_one_row(row)), parts=late, cost=1.2)
    if len(places) < 2:
        return
    for number in places:
        lost = {use: scaled(0.0) for use in uses if scene.place[use[0]][0] != number}
        source = scene.named(scene.all_families[number][0])
        yield Edit(f"Of all that {name} receives, only that from {source} {over}.", lost, cost=1.2)
    for which, words in ((0, "what arrives last"), (-1, "what arrives first")):
        keep = sorted(uses)[which]
        lost = {use: scaled(0.0) for use in uses if use != keep}
        yield Edit(f"Of all that {name} receives, only {words} is left: it was overwritten.", lost, cost=1.2)


def _ways(scene: Scene, use: Use) -> Iterator[tuple[Use, ...]]:
    """The paths by which a use receives a gradient from steps of a loop, itself last; what is between has no step."""
    record, after = (scene.record, scene.record.senders(use[0]))
    if record.nodes[use[0]].scope.step is None and any(record.nodes[i].scope.step is not None for i, _ in after):
        for way in (way for user in after for way in _ways(scene, user)):
            yield (*way, use)
    else:
        yield (use,)


def _silent_rows(scene: Scene, leaf: Node) -> Iterator[Edit]:
    """Edits that set one row of an embedding table to 0, as for a padding index."""
    users = [scene.record.nodes[user] for user, _ in scene.record.users[leaf.index]]
    looked_up = len(leaf.shape) == 2 and any(n.op is not None and n.op.name in ("take", "getitem") for n in users)
    for row in np.flatnonzero(np.any(scene.record.gradient(leaf.index) != 0, axis=-1)) if looked_up else ():
        text = f"Row {row} of the gradient of {scene.named(leaf)} is 0, as a padding's is."
        if leaf.index in scene.given and not np.any(scene.given[leaf.index][row]):
            others = [-1 if k == row else k for k in range(len(scene.given[leaf.index]))]
            yield Edit(text, leaves={leaf.index: _taken(leaf.index, 0, others)}, cost=1.1)


def _is_shared(scene: Scene, leaf: Node) -> bool:
    """Whether a leaf is a weight of several uses, not a sequence that is cut into steps."""
    users = [scene.record.nodes[user].op for user, _ in scene.record.users[leaf.index]]
    return len(users) > 1 and all(op is not None and not op.chooses for op in users)


def _sequence(scene: Scene, leaf: Node) -> Iterator[Edit]:
    """Edits that write the gradient of a sequence in another order of time."""
    if scene.steps < 2 or len(leaf.shape) < 2:
        return
    cut = [scene.record.nodes[user] for user, _ in scene.record.users[leaf.index]]
    if len(cut) < 2 or any(n.op is None or n.op.name != "getitem" for n in cut):
        return
    for axis, n in enumerate(leaf.shape[:2]):
        along, cost = " along its second axis" if axis else "", 1.1 + 0.1 * axis
        for words, places in (
            ("in reverse order", range(n)[::-1]),
            ("one step late", range(-1, n - 1)),
            ("one step early", range(1, n + 1)),
        ):
            text = f"The gradient of {scene.named(leaf)} is written down {words}{along}."
            if n > 1:
                yield Edit(text, leaves={leaf.index: _taken(leaf.index, axis, places)}, cost=cost)


def _taken(leaf: int, axis: int, places: Sequence[int]) -> Rewrite:
    """The gradient of a leaf, with what stands along an axis taken from these places of it; 0 beside its ends."""

    def rewrite(whole: Mapping[int, Array]) -> Array:
        g = whole[leaf]
        inside = np.array([0 <= k < g.shape[axis] for k in places])
        kept = inside.reshape([-1 if k == axis else 1 for k in range(g.ndim)])
        return np.where(kept, np.take(g, places, axis, mode="clip"), 0.0)

    return rewrite


def _turned(leaf: int) -> Rewrite:
    return lambda whole: np.asarray(blocks_transposed(whole[leaf]))


def _sum(one: int, two: int) -> Rewrite:
    return lambda whole: np.asarray(whole[one] + whole[two])


def _clipped(leaf: int, limit: float) -> Rewrite:
    return lambda whole: np.clip(whole[leaf], -limit, limit)


def _stacked(scene: Scene) -> Iterator[Edit]:
    """Edits that permute the blocks of stacked gates, in one leaf or in all."""
    counts = {}
    for leaf in scene.record.leaves:
        for axis, size in enumerate(leaf.shape[:2]):
            count = scene.pieces.get(size)
            if count and count <= 4:
                counts[leaf.index] = axis, count
    for count in {count for _, count in counts.values()}:
        mine = {i: axis for i, (axis, n) in counts.items() if n == count}
        for order in [order for order in permutations(range(count)) if order != tuple(range(count))]:
            rewrites = {}
            for i, axis in mine.items():
                blocks = np.split(np.arange(scene.record.nodes[i].shape[axis]), count)
                rewrites[i] = _taken(i, axis, np.concatenate([blocks[k] for k in order]).tolist())
            put = f"are in the order {', '.join(str(k + 1) for k in order)}."
            yield Edit(f"The gates' blocks of every stacked weight {put}", leaves=rewrites, cost=1.15)
            for i in mine if len(mine) > 1 else ():
                words = f"The gates' blocks of {scene.named(scene.record.nodes[i])} {put}"
                yield Edit(words, leaves={i: rewrites[i]}, cost=1.15)
