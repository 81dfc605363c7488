"""Edits found from a leaf's given gradient: a sum over time of products of two other variables.

What a leaf receives is handed on to nothing. So all pairs of variables that could stand in its line of the backward
pass are compared with the given gradient at once, by products with random vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ..graph import Node, Ref
from ..norms import norm
from ..tensors import Array
from .edit_context import Family, Scene, in_brackets
from .edited_rules import made
from .edited_walks import Edit, Rewrite, Rule, Use
from .remade_values import remade
from .series import Series
from .stand_ins import ITSELF

#: relative to the length of what is multiplied: how far such a product may be off; the walk decides
NEAR = 1e-6
#: of several pairs that give the same, so many are named
MOST = 3
#: of fewer different numbers nothing is read off
FEWEST = 3
#: a gradient that differs by no more, relatively, is right
RIGHT = 1e-9


@dataclass(frozen=True, eq=False)
class Variable:
    """A candidate for one factor in a line of the backward pass, with its value at every step."""

    words: str
    values: Sequence[Array]
    cost: float
    gradient: bool = False
    right: bool = False  #: what belongs there


def read_off(scene: Scene) -> Iterator[Edit]:
    """Edits of leaves whose given gradient is wrong: other variables in their lines, or another array returned."""
    gradients = list(_gradients(scene))
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            yield from scene.attempts.items(_of_a_line(scene, nodes, slot, gradients))
    yield from _another_array(scene)
    yield from _its_value_too(scene)


def _gradients(scene: Scene) -> Iterator[Series]:
    for family in scene.families:
        values, name = [scene.record.gradient(n.index) for n in family], scene.named(family[-1])
        steps = tuple(n.scope.step for n in family)
        yield Series(f"the gradient of {name}", values, 0, steps)
        if len(family) > 1 and len({v.shape for v in values}) == 1:
            so_far = list(accumulate(values[::-1]))[::-1]
            yield Series(f"the sum so far of the gradients of {name}", so_far, 0, steps)


def _of_a_line(scene: Scene, family: Family, slot: int, gradients: list[Series]) -> Iterator[Edit]:
    record, op = scene.record, family[0].op
    wanted = _wanted(scene, family, slot)
    if wanted is None or op is None or len({n.shape for n in family}) > 1:
        return
    bias = op.infix == "+" or (op.name == "linear" and slot == 2)
    other = None if bias else next((k for k in (0, 1) if k != slot), None)
    if not (bias or op.infix == "*" or op.kind == "contraction") or (
        other is not None and not scene.line(family, other)
    ):
        return
    arriving = [record.gradient(n.index) for n in family]
    seconds = list(_variables(scene, family, [n.index for n in family], arriving, gradients))
    seconds += _spread(scene, family, gradients)
    line = scene.line(family, other) if other is not None else None
    firsts = [Variable("", [np.ones(())] * len(family), 0.0, right=True)]
    if line is not None:
        firsts = list(_variables(scene, family, line, [np.asarray(record.values[i]) for i in line], gradients))
        name, nodes = scene.name_of(family[-1], int(other or 0)), [record.nodes[i] for i in line]
        for words, values, cost in remade(scene, nodes, 1) if len(set(line)) == len(line) else ():
            text = words.removeprefix("uses ").format(in_brackets(name))
            firsts.append(Variable(text, list(map(made, values)), 0.1 + cost))
    found = sorted(_products(family, slot, wanted, firsts, seconds), key=lambda pair: pair[0].cost + pair[1].cost)
    likely = [pair for pair in found if pair[0].right or pair[1].right] or found
    for one, two in likely[:MOST]:
        uses: dict[Use, Rule] = {}
        for n, value, g in zip(family, one.values, two.values, strict=True):
            operand = n.operands[other] if other is not None else None
            uses[n.index, slot] = _sent(g, {operand.index: value} if isinstance(operand, Ref) else {})
        said = [] if one.right else [f"uses {one.words} where {scene.name_of(family[-1], int(other or 0))} belongs"]
        said += [] if two.right else [f"comes from {'' if two.gradient else 'the value of '}{two.words}"]
        text = f"At every step, {scene.subject(family, slot)} {' and '.join(said)}."
        yield Edit(text, uses, cost=1.2 + one.cost + two.cost + 0.3 * (len(said) - 1))


def _tells(given: Array) -> bool:
    """Whether ``given`` has enough different numbers that an array which fits does not fit by chance."""
    return len(np.unique(np.round(given / (norm(given) or 1.0), 9))) >= FEWEST


def _sent(g: Array, changed: dict[int, Array]) -> Rule:
    return lambda record, node, slot, _: record.pull(node, slot, g, changed)


def _part(target: Node) -> tuple[object, ...]:
    """A key that is equal for uses of the same leaf, or of the same part of one, also if it is taken several times."""
    return (target.index,) if target.op is None else (target.op.name, target.sources, repr(target.attrs))


def _wanted(scene: Scene, family: Family, slot: int) -> Array | None:
    """The sum over time that this use should send to its leaf for the given gradient to come out; None if it is right.

    None too if the leaf is not given, or if the steps send to different parts of it, as to a sequence.
    """
    record = scene.record
    targets = [record.nodes[record.target_of((node.index, slot))] for node in family]
    target = leaf = targets[-1]
    if target.op is not None:
        if target.op.name not in ("permute", "getitem") or len(target.sources) != 1:
            return None
        leaf = record.nodes[target.sources[0]]
    if leaf.index not in scene.given or len({_part(t) for t in targets}) > 1:
        return None
    change = np.asarray(scene.given[leaf.index], np.float64) - record.gradient(leaf.index)
    if norm(change) <= RIGHT * norm(record.gradient(leaf.index)) or not _tells(change):
        return None
    off = change if target.op is None else np.asarray(target.op.forward(change, **target.attrs))
    return np.asarray(sum(record.truth.contributions[node.index, slot] for node in family) + off)


def _variables(
    scene: Scene, family: Family, line: Sequence[int], right: Sequence[Array], gradients: list[Series]
) -> Iterator[Variable]:
    """Candidates for one factor: values and gradients of the right shape, of this step and of others."""
    yield Variable("", right, 0.0, right=True)
    for words, values, cost in scene.stand_ins.of(line, family):
        if not words.startswith(ITSELF):
            yield Variable(words, values, cost)
    for series in gradients:
        places = scene.stand_ins.places(series, family) if series.values[-1].shape == right[0].shape else None
        for words, values, cost in series.variants(places, near=True) if places else ():
            if any(v is not w for v, w in zip(values, right, strict=True)):
                yield Variable(words, values, cost, gradient=True)


def _spread(scene: Scene, family: Family, gradients: list[Series], depth: int = 3) -> Iterator[Variable]:
    """Candidates of another shape for the gradient that arrives, as if they arrived where it is spread from, or cut."""
    record, users = scene.record, [scene.record.users[n.index] for n in family]
    if not depth or any(len(each) != 1 or each[0] not in record.truth.contributions for each in users):
        return
    uses = [each[0] for each in users]
    nodes = [record.nodes[index] for index, _ in uses]
    linear = nodes[0].op is not None and nodes[0].op.values_needed(uses[0][1]) == (False, ())
    if not linear or len({(scene.place[n.index][0], slot) for n, (_, slot) in zip(nodes, uses, strict=True)}) > 1:
        return
    found = list(_spread(scene, nodes, gradients, depth - 1))
    if nodes[0].shape != family[0].shape:
        right = [record.gradient(n.index) for n in nodes]
        found += list(_variables(scene, nodes, [n.index for n in nodes], right, gradients))[1:]
    for each in found:
        values = [record.pull(n, slot, v) for n, (_, slot), v in zip(nodes, uses, each.values, strict=True)]
        yield Variable(each.words, values, each.cost, each.gradient)


def _products(
    family: Family, slot: int, wanted: Array, firsts: list[Variable], seconds: list[Variable]
) -> Iterator[tuple[Variable, Variable]]:
    """The pairs whose products, summed over all steps, are equal to ``wanted`` in two random projections."""
    rng, near = np.random.default_rng(0), np.ones((len(firsts), len(seconds)), bool)
    for _ in range(2):
        projected = _projected(family[0], slot, wanted, rng)
        if projected is None:
            return
        ones, twos, target = projected
        first = np.array([np.concatenate([ones(v) for v in f.values]) for f in firsts])
        second = np.array([np.concatenate([twos(v) for v in s.values]) for s in seconds])
        if first.shape[1] != second.shape[1]:
            return
        length = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
        near &= np.abs(first @ second.T - target) <= NEAR * length
    for i, j in np.argwhere(near):
        if not (firsts[i].right and seconds[j].right):
            yield firsts[i], seconds[j]


def _projected(
    node: Node, slot: int, wanted: Array, rng: np.random.Generator
) -> tuple[Callable[[Array], Array], Callable[[Array], Array], float] | None:
    """Two functions that project the factors, and the projection of ``wanted``, such that products become dot products.

    For the right factors a and b, first(a) · second(b), summed over the steps, is that number. None if the operation is
    not a product of rows.
    """
    op = node.op
    assert op is not None
    if op.kind != "contraction" or (op.name == "linear" and slot == 2):  # of each element by itself
        weights = rng.standard_normal(wanted.shape)
        return lambda v: np.ravel(v * np.broadcast_to(weights, node.shape)), np.ravel, float(np.sum(weights * wanted))
    if op.name not in ("matmul", "linear") or wanted.ndim not in (1, 2) or (slot == 0 and wanted.ndim == 1):
        return None
    if wanted.ndim == 1:
        by = rng.standard_normal(wanted.shape)
        return lambda v: np.ravel(v @ by), np.ravel, float(by @ wanted)
    rows, columns = (rng.standard_normal(n) for n in wanted.shape)
    total = float(rows @ wanted @ columns)
    if op.name == "linear" and slot == 0:  # what is sent is g W
        return lambda w: np.ravel(w @ columns), lambda g: np.ravel(rows @ g), total
    if op.name == "linear":  # gᵀ x
        return lambda x: np.ravel(x @ columns), lambda g: np.ravel(g @ rows), total
    if slot:  # xᵀ g
        return lambda x: np.ravel(x @ rows), lambda g: np.ravel(g @ columns), total
    return lambda x: np.ravel(columns @ x), lambda g: np.ravel(rows @ g), total  # g xᵀ


def _another_array(scene: Scene) -> Iterator[Edit]:
    """Edits in which a leaf was given the gradient, or the value, of another variable of one step."""
    record = scene.record
    for leaf in record.leaves:
        given = scene.given.get(leaf.index)
        true = record.gradient(leaf.index)
        if given is None or norm(given - true) <= RIGHT * norm(true) or not _tells(given):
            continue
        steps = {record.nodes[user].scope.step for user, _ in record.users[leaf.index]}
        for node in record.nodes:
            if node.shape != leaf.shape or node.index == leaf.index or node.dtype.kind != "f":
                continue
            at = f" of step {node.scope.step + 1}" if node.scope.step is not None else ""
            at += " alone, as with = instead of +=" if at and len(steps) > 1 else ""
            for what, value in (("gradient", record.gradient(node.index)), ("value", record.values[node.index])):
                if norm(given - value) <= NEAR * norm(given):
                    text = f"{scene.named(leaf)} was given the {what} of {scene.named(node)}{at}."
                    yield Edit(text, leaves={leaf.index: _constant(np.asarray(value))}, cost=1.15)


def _constant(value: Array) -> Rewrite:
    return lambda whole: value


def _its_value_too(scene: Scene) -> Iterator[Edit]:
    """Edits in which leaves' gradients have a multiple of the leaf itself in them, as of a penalty."""
    shares, told = dict[int, float](), set[float]()
    for leaf in scene.record.leaves:
        value, given = np.asarray(scene.record.values[leaf.index]), scene.given.get(leaf.index)
        if given is None or not value.any():
            continue
        change = np.asarray(given, np.float64) - scene.record.gradient(leaf.index)
        share = float(np.vdot(change, value) / np.vdot(value, value))
        if norm(change) and norm(change - share * value) <= NEAR * norm(change):
            shares[leaf.index] = share
            told |= {share} if _tells(change) else set()
    for share in told:  # of a leaf with few numbers, only if it is the same as another's
        alike = [index for index, other in shares.items() if abs(other - share) <= NEAR * abs(share)]
        names = ", ".join(scene.named(scene.record.nodes[index]) for index in alike)
        rewrites = {index: _with(index, share * np.asarray(scene.record.values[index])) for index in alike}
        much = f"{share:+.6g} times the value itself"
        yield Edit(f"The gradient of {names} has {much} in it too, as of a penalty.", leaves=rewrites, cost=1.15)


def _with(leaf: int, more: Array) -> Rewrite:
    return lambda whole: np.asarray(whole[leaf] + more)
