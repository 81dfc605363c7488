"""Edits by which a variable that holds a gradient is another one in several of the lines that use it.

Changed in place before some of them, held between two numbers, or that of another step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, combinations

import numpy as np

from ..graph import Node, Ref
from ..norms import norm
from ..tensors import Array
from .edit_context import Family, Scene, is_nonlinear
from .edited_rules import Instead, Times
from .edited_walks import Edit, Record, Rule, Use
from .series import Series
from .stand_ins import ITSELF

#: of a gradient that more lines use than this, not every set of lines is tried
MOST_LINES = 5
Line = tuple[int, int]  #: a family by its number, and which operand


def of_gradients(scene: Scene) -> Iterator[Edit]:
    """Edits of the gradient of each value of the loop, in sets of the lines that use it."""
    for family in scene.families:
        for kind in (_changed_in_place, _held, _of_another_step) if len(family) > 1 else (_changed_in_place,):
            if family[0].shape:
                yield from scene.attempts.items(kind(scene, family))


def lines_of(scene: Scene, family: Family) -> dict[Line, list[Use]]:
    """The uses of a value's gradient, step by step; through sums, that only pass it on to products."""
    record, found = scene.record, dict[Line, list[Use]]()
    for node in family:
        pending = [node]
        while pending:
            here = pending.pop()
            for slot, x in enumerate(here.operands):
                if not isinstance(x, Ref) or (here.index, slot) not in record.truth.contributions:
                    continue
                made = record.nodes[x.index]
                alone = len(record.users[x.index]) == 1 and made.shape == here.shape
                if here.op is not None and here.op.infix == "+" and made.op is not None and alone and made.op.slots:
                    pending.append(made)
                else:
                    found.setdefault((scene.place[here.index][0], slot), []).append((here.index, slot))
    return {line: uses for line, uses in found.items() if len(uses) >= len(family) - 1}


def _changed_in_place(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which a gradient was multiplied with a value, or divided by it, before some of the lines that use it.

    Before all of them by any value of the step; before some, by one that it is made of.
    """
    record, lines = scene.record, lines_of(scene, family)
    same = {
        line: uses
        for line, uses in lines.items()
        if all(record.nodes[i].shape == n.shape for n, (i, _) in zip(family, uses, strict=False))
    }
    if (
        not same
        or len(same) > MOST_LINES
        or (len(same) == 1 and all(_by_element(record, use) for use in next(iter(same.values()))))
    ):
        return  # of one operation by element, what it sends is multiplied
    inner = {k for k, _ in same} | {scene.place[n.index][0] for n in scene.made_of_step(family)}
    names = {scene.named(scene.all_families[k][-1]) for k in inner}
    for words, values, cost in scene.stand_ins.of([n.index for n in family], family):
        if cost not in (0.0, 0.2) or words.startswith(ITSELF):
            continue
        by_step = {n.scope.step: v for n, v in zip(family, values, strict=True)}
        for size in range(1, len(same) + 1) if words in names else (len(same),):
            for some in combinations(same, size):
                places = " and ".join(dict.fromkeys(_receiver(scene, line) for line in some))
                which = "before all lines that use it" if size == len(same) else f"before what {places} receive"
                uses = [use for line in some for use in same[line] if record.nodes[use[0]].scope.step in by_step]
                changes = {"multiplied with": np.asarray} | (
                    {"divided by": np.reciprocal} if all(map(np.all, values)) else {}
                )
                for how, change in changes.items():
                    rules: dict[Use, Rule] = {}
                    for use in uses:
                        node = record.nodes[use[0]]
                        rules[use] = _before(record, node, change(by_step[node.scope.step]))
                    text = f"the gradient of {scene.named(family[-1])} is {how} {words} in place"
                    yield Edit(f"At every step, {text}, {which}.", rules, cost=1.25)


def _by_element(record: Record, use: Use) -> bool:
    op = record.nodes[use[0]].op
    return op is not None and op.elementwise


def _before(record: Record, node: Node, value: Array) -> Rule:
    """The true rule, of the gradient times a value."""
    if node.op is not None and node.op.elementwise:
        return Times(value)
    return lambda record, node, slot, g: record.pull(node, slot, g * value)


def _limits(gradients: list[Array]) -> Iterator[float]:
    """Round numbers between the smallest and the largest of these."""
    sizes = np.abs(np.concatenate([np.ravel(g) for g in gradients]))
    most, least = sizes.max(initial=0.0), np.median(sizes) / 10 if sizes.size else 0.0
    for power in range(-6, 3):
        for digit in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9):
            if least < digit * 10.0**power < most:
                yield float(f"{digit * 10.0**power:.2g}")


def _clip(limit: float) -> Rule:
    return lambda record, node, slot, g: record.pull(node, slot, np.clip(g, -limit, limit))


def _shorten(limit: float) -> Rule:
    return lambda record, node, slot, g: record.pull(node, slot, g * min(1.0, limit / (norm(g) or np.inf)))


def _held(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which a gradient that is carried, or goes to weights, is clipped at every step, or its norm is."""
    if not (scene.is_state(family) or _goes_to_weights(scene, family)):
        return
    gradients, lines = [scene.record.gradient(n.index) for n in family], lines_of(scene, family)
    norms = [np.array([norm(g) for g in gradients])]
    text = f"the gradient of {scene.named(family[-1])}"
    for left in (None, *lines) if len(lines) <= MOST_LINES else (None,):
        uses = [use for line in lines if line != left for use in lines[line]]
        before = "" if left is None else f", but not before what {_receiver(scene, left)} receives"
        for limit in _limits(gradients) if len(lines) > 1 or left is None else ():
            clipped: dict[Use, Rule] = dict.fromkeys(uses, _clip(limit))
            yield Edit(f"At every step, {text} is clipped to ±{limit:g}{before}.", clipped, cost=1.3)
        for limit in _limits(norms) if left is None else ():
            shortened: dict[Use, Rule] = dict.fromkeys(uses, _shorten(limit))
            yield Edit(f"At every step, the norm of {text} is clipped to {limit:g}.", shortened, cost=1.35)


def _receiver(scene: Scene, line: Line) -> str:
    """The name of the value that a line sends to."""
    return scene.name_of(scene.all_families[line[0]][-1], line[1])


def _goes_to_weights(scene: Scene, family: Family) -> bool:
    """Whether it is what a nonlinearity, or the gates cut from it, are made of."""
    record = scene.record
    users = [record.nodes[user] for user, _ in record.users[family[-1].index]]
    cut = [n for n in users if n.op is not None and n.op.kind in ("index", "movement")]
    users += [record.nodes[user] for n in cut for user, _ in record.users[n.index]]
    return any(is_nonlinear(n) for n in users)


def _of_another_step(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits in which all lines but the carry use the gradient of another step, as from a list in the wrong order."""
    record, lines = scene.record, lines_of(scene, family)
    if not scene.is_state(family):
        return
    first, inside = min(scene.chain(family)), {n.index for n in family}
    outside = {}
    for line, uses in lines.items():
        reached = scene.ancestors(record.target_of(uses[-1]))
        if not reached & inside and record.target_of(uses[-1]) not in inside and first != record.target_of(uses[-1]):
            outside[line] = uses
    if not outside or len(outside) == len(lines):
        return
    gradients = [record.gradient(n.index) for n in family]
    summed = list(accumulate(gradients[::-1]))[::-1]
    for name, values in ((scene.named(family[-1]), gradients), (f"{scene.named(family[-1])}, added up so far", summed)):
        series = Series(f"the gradient of {name}", values, 0, tuple(n.scope.step for n in family))
        for words, found, cost in series.variants(range(len(family)), near=True):
            if all(a is b for a, b in zip(found, gradients, strict=True)):
                continue
            by_step = {n.scope.step: g for n, g in zip(family, found, strict=True)}
            places = [use for uses in outside.values() for use in uses]
            moved: dict[Use, Rule] = {use: Instead(by_step[record.nodes[use[0]].scope.step]) for use in places}
            text = f"At every step, all that {scene.named(family[-1])} sends, but what it carries, comes from {words}."
            yield Edit(text, moved, cost=1.2 + cost)
