"""Factors that differ from step to step, and targets that a mask hides: they are solved for.

A factor on what comes back to where it was sent from, as on a carry, changes the numbers by a polynomial in it. Its
root is searched for on the sketches, between numbers that change sign, and then walked. The others are linear: where
what a step sends is missing, the given numbers change by so much; they are a sum of such changes, each with its
own factor, if that is the mistake. The factors are found by least squares on the sketches, and then walked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edited_rules import TimesLeaf, Valued
from .edited_walks import Edit, Rewrite, Rule, Use
from .row_numbers import one_hot
from .rules_as_text import with_factor
from .student_names import as_written

if TYPE_CHECKING:
    from .edit_context import Family, Scene
    from .search import Search, Tried

#: relative to what is wrong: what least squares may leave, for a walk to be tried
NEAR = 1e-7
#: choices of all hidden targets together, at most
MOST_CHOICES = 20_000
#: numbers that a cut or a mask leaves out, at most; so many numbers more have to be wrong, for them to be told
MOST_LEFT_OUT, FEWEST_TOO_MANY = 64, 4
#: factors of a carry, between which the one that gives the numbers is searched for, at first; none that people write
BETWEEN = (
    -10.137,
    -5.137,
    -3.137,
    -2.137,
    *np.arange(-1.6137, 2.5, 0.1),
    2.7137,
    3.2137,
    3.7137,
    4.5137,
    6.137,
    11.137,
)
#: more exact factors: so many times; of all numbers that are wrong, so many change their sign around it
CLOSER, MOSTLY = 12, 0.7
#: where such a factor is looked for; as far from a number with few decimals, it is that
OFTEN, FEW_DECIMALS = ("At every step, ", "At every step but the first, "), 1e-6
SINGLE = ("At the first step only, ", "At the last step only, ", "At one step only (")


def of_carries(search: Search) -> Iterator[tuple[Tried, float]]:
    """Edits at places of which one sends to the other, each with a factor on all of them that gives the numbers."""
    wrong, unit = search.wrong, search.unit
    edits = [t for t in search.tried if t.edit.scaling is not None and _comes_back(search, t.edit)]
    for tried in edits:
        off = _sketches(search, tried.edit, BETWEEN) - search.target
        signs = np.sign(off[:, wrong])
        changing = np.mean(signs[1:] * signs[:-1] <= 0, axis=1) >= MOSTLY
        for k in np.flatnonzero(changing):
            (before, here), (last, now) = (BETWEEN[k : k + 2], off[k : k + 2] / unit)
            for _ in range(CLOSER):
                change = now - last
                if not (below := float(change @ change)) or not np.isfinite(below):
                    break
                before, here = here, here - float(change @ now) / below * (here - before)
                last, now = now, (_sketches(search, tried.edit, (here,))[0] - search.target) / unit
            if np.all(np.abs(now) <= 4):
                short = round(here, 3)
                yield tried, short if abs(short - here) <= FEW_DECIMALS else here


def _comes_back(search: Search, edit: Edit) -> bool:
    """Whether an edit is made of rules alone, at likely steps, and what it changes at one place arrives at another."""
    alone = not (edit.parts or edit.leaves or edit.values or edit.sent or edit.seeds)
    if len(edit.uses) < 2 or not alone or not edit.words.startswith(OFTEN):
        return False
    nodes = sorted({index for index, _ in edit.uses})
    return any(nodes[0] in search.scene.ancestors(search.record.target_of(use)) for use in edit.uses)


def _sketches(search: Search, edit: Edit, factors: Sequence[float]) -> Array:
    edits = [rescaled(edit, factor) for factor in factors]
    return search.record.sketches(edits, search.functionals, search.rows)


def rescaled(edit: Edit, factor: float) -> Edit:
    """An edit by which something is missing, with another factor than 0."""
    uses: dict[Use, Rule] = {use: with_factor(rule, factor) for use, rule in edit.uses.items()}
    leaves = {i: replace(r, factor=factor) for i, r in edit.leaves.items() if isinstance(r, TimesLeaf)}
    return replace(edit, uses=uses, leaves=dict[int, Rewrite](leaves), scaling=None)


def of_each_step(search: Search) -> Iterator[Edit]:
    """Edits in which what is sent has a factor of its own at every step."""
    groups: dict[str, list[Tried]] = {}
    for tried in search.tried:
        if tried.edit.scaling is not None and tried.edit.scaling.startswith(SINGLE):
            groups.setdefault(tried.edit.scaling.split(", ", 1)[1].removeprefix("step "), []).append(tried)
    for subject, some in groups.items():
        if not 2 <= len(some) <= search.rows - 2 or search.different_numbers() < len(some) + 2:
            continue
        changes = np.array([tried.sketch for tried in some]).T / search.unit[:, None]
        target = search.target / search.unit
        shares, *_ = np.linalg.lstsq(changes, target, rcond=1e-9)
        if np.linalg.norm(changes @ shares - target) <= NEAR * np.linalg.norm(target) + 4 * np.sqrt(len(target)):
            factors = 1 - shares
            uses: dict[Use, Rule] = {}
            for tried, factor in zip(some, factors, strict=True):
                uses |= {use: with_factor(rule, float(factor)) for use, rule in tried.edit.uses.items()}
            counted = _counts(search.scene, factors)
            words = f"{subject[:1].upper()}{subject[1:]}"
            if few := _at_few_steps(factors):
                words = f"{words} is {few}"
            else:
                text = ", ".join(f"{f:.4g}" for f in np.round(factors, 9))
                words = f"{words} has a factor of its own at every step: {text}"
            yield Edit(f"{words}{counted}.", uses, cost=1.45)


def _at_few_steps(factors: Array) -> str:
    """Words for what is right at most steps: ``missing at steps 1 and 2, and multiplied by 0.5 at step 4``; else ""."""
    at: dict[float, list[str]] = {}
    for step, factor in enumerate(np.round(factors, 9), 1):
        at.setdefault(float(factor), []).append(str(step))
    if len(at) > 3 or not at.pop(1.0, []):
        return ""
    how = {factor: "missing" if not factor else f"multiplied by {as_written(factor)}" for factor in at}
    where = {k: f"steps {', '.join(v[:-1])} and {v[-1]}" if len(v) > 1 else f"step {v[0]}" for k, v in at.items()}
    return ", and ".join(f"{how[factor]} at {where[factor]}" for factor in at)


def _counts(scene: Scene, factors: Array) -> str:
    """Words for these factors, if they are known numbers; else ""."""
    n = len(factors)
    known: list[tuple[str, Array]] = [
        ("the number of the step", np.arange(1.0, n + 1)),
        ("the number of steps that are left", np.arange(float(n), 0, -1)),
    ]
    for family in scene.all_families:
        for slot, x in enumerate(family[0].operands if len(family) == n else ()):
            if isinstance(x, Ref) and (line := scene.line(family, slot)):
                values = [scene.record.values[i] for i in line if not scene.record.nodes[i].requires_grad]
                if len(values) == n and all(np.size(value) > 1 for value in values):
                    counts = np.array([np.count_nonzero(value) for value in values], float)
                    known.append(("the number of rows that count at that step", counts))
            elif not isinstance(x, Ref) and family[0].op is not None and family[0].op.infix == "*":
                other = scene.said(scene.name_of(family[-1], 1 - slot))
                numbers = np.array([node.operands[slot] for node in family], float)
                known.append((f"the number that {other} is multiplied with at that step", numbers))
    for words, numbers in known:
        forms: dict[str, Array] = {f"It is multiplied by {words}": numbers}
        if np.all(numbers):
            forms[f"It is divided by {words}"] = 1 / numbers
            forms[f"It is as if {words} were that counted from the other end"] = numbers[::-1] / numbers
        for text, numbers in forms.items():
            share = np.vdot(numbers, factors) / np.vdot(numbers, numbers)
            if np.ptp(numbers) and np.abs(factors - share * numbers).max() <= 1e-6 * np.abs(factors).max():
                return f". {text}"
    ratios = factors[1:] / np.where(factors[:-1] == 0, np.nan, factors[:-1])
    if n > 2 and np.ptp(ratios) <= 1e-6 * np.abs(ratios).max():
        return f": each {as_written(float(ratios[0]))} times the one before"
    return ""


def of_left_out(search: Search) -> Iterator[Edit]:
    """Edits in which a value receives a gradient, too, where a cut or a mask leaves it out; which one is solved for."""
    record, scene = search.record, search.scene
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            values = list(dict.fromkeys(record.target_of((n.index, slot)) for n in nodes))
            left = [(i, k) for i in values for k in np.flatnonzero(record.gradient(i).ravel() == 0)]
            whole = sum(record.gradient(i).size for i in values)
            if not _leaves_out(nodes[0]) or not 0 < len(left) < whole or len(left) > MOST_LEFT_OUT:
                continue
            if len(left) + FEWEST_TOO_MANY > search.different_numbers():
                continue  # they could be chosen to give any numbers
            seeds = [(i, np.zeros(record.nodes[i].shape)) for i, _ in left]
            for (_, seed), (_, k) in zip(seeds, left, strict=True):
                seed.ravel()[k] = 1.0
            moved = [record.differences(Edit("", seeds={i: seed})) for i, seed in seeds]
            changes = np.stack([_joined(search, each) for each in moved], 1)
            shares, *_ = np.linalg.lstsq(changes, _joined(search, search.wanted), rcond=1e-12)
            total = {i: np.zeros(record.nodes[i].shape) for i in values}
            for (i, seed), share in zip(seeds, shares, strict=True):
                total[i] += share * seed
            name, by = scene.named(record.nodes[values[-1]]), scene.named(nodes[-1])
            yield Edit(
                f"{name} receives a gradient where {by} leaves it out, too: as if all of it counted.",
                seeds=total,
                cost=1.4,
            )


def _leaves_out(node: Node) -> bool:
    """Whether an operation cuts, chooses or masks."""
    op = node.op
    return op is not None and (op.kind == "index" or op.chooses or op.infix == "*")


def _joined(search: Search, changes: Mapping[int, Array]) -> Array:
    """Changes by leaf as one vector, each in units of what is allowed there."""
    floor = max(search.limits_of_edits.values()) * 1e-9 or 1.0
    parts = [
        np.ravel(changes.get(leaf, np.zeros(np.shape(wanted)))) / max(search.limits_of_edits[leaf], floor)
        for leaf, wanted in search.wanted.items()
    ]
    return np.concatenate(parts)


def of_hidden_targets(search: Search) -> Iterator[Edit]:
    """Edits in which rows count in the loss that a mask hides: which classes they would have had is found out."""
    scene = search.scene
    for family in scene.families:
        for slot in scene.slots(family):
            line = scene.line(family, 1 - slot) if len(family[0].operands) == 2 else None
            if line is None or any(scene.record.nodes[index].requires_grad for index in line):
                continue
            hot = [np.asarray(scene.record.values[index]) for index in line]
            for axis in (0, 1) if all(v.ndim == 2 for v in hot) and any(v.any() for v in hot) else ():
                known = all(one_hot(v, axis, ones=False) for v in hot if v.any())
                if known and any(not v.sum(axis).all() for v in hot):
                    yield from _shown(search, family, slot, line, hot, axis)


def _shown(
    search: Search, family: Family, slot: int, line: Sequence[int], hot: Sequence[Array], axis: int
) -> Iterator[Edit]:
    scene, size = search.scene, hot[0].shape[axis]
    full = float(np.max([v.max() for v in hot]))
    hidden = [(t, int(row)) for t, v in enumerate(hot) for row in np.flatnonzero(v.sum(axis) == 0)]

    def edit(classes: Mapping[tuple[int, int], int]) -> Edit:
        values = [np.array(v) for v in hot]
        for (t, row), k in classes.items():
            values[t][(row, k) if axis else (k, row)] = full
        changed = {t for t, _ in classes}
        uses: dict[Use, Rule] = {(family[t].index, slot): Valued({line[t]: values[t]}) for t in changed}
        name = scene.said(scene.name_of(family[-1], slot))
        text = f"At every step, the mask of the loss is forgotten: rows of {name} count that it leaves out"
        return Edit(f"{text}, with the targets {', '.join(str(k) for k in classes.values())}.", uses, cost=1.2)

    single = {(place, k): search.look_at(edit({place: k})).sketch for place in hidden for k in range(size)}
    choices = [dict.fromkeys(hidden, k) for k in range(size)]
    if size ** len(hidden) <= MOST_CHOICES:
        sums = np.zeros((1, search.rows))
        for place in hidden:
            sums = (sums[:, None] + np.array([single[place, k] for k in range(size)])).reshape(-1, search.rows)
        near = np.flatnonzero(np.all(np.abs(sums - search.target) <= 4 * search.unit, axis=1))
        every = list(product(range(size), repeat=len(hidden))) if len(near) else []
        choices = [dict(zip(hidden, every[k], strict=True)) for k in near[:20]]
    for classes in choices:
        total = np.sum([single[place, k] for place, k in classes.items()], axis=0)
        if np.all(np.abs(total - search.target) <= 4 * search.unit):
            yield edit(classes)
