"""Edits by which a rule uses another value of the program than the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from . import edited_rules
from .edit_context import Family, Scene, in_brackets, is_nonlinear
from .edited_rules import Instead, Late, OneReplaced, Slope, Times, Valued, blocks_transposed
from .edited_walks import Edit, Rule, Use
from .remade_values import hardened, remade
from .stand_ins import ITSELF, LIKELY


def of_values(scene: Scene) -> Iterator[Edit]:
    """Edits that replace, in one rule, one saved value by another value of the program."""
    for family in scene.families:
        for slot, nodes in scene.slots(family).items():
            for place in _places(scene, nodes, slot):
                for kind in (_another, _in_one_factor, _the_gradient_itself, _made_otherwise):
                    yield from scene.attempts.items(kind(place))
            yield from scene.attempts.items(_a_factor_too_many(scene, nodes, slot))
        yield from scene.attempts.items(_instead_of_the_gradient(scene, family))
    yield from scene.attempts.items(_other_weights(scene))
    yield from scene.attempts.items(_carried_with_a_factor(scene))


@dataclass(frozen=True)
class _Place:
    """A saved value that the rule of one use needs, at every step."""

    scene: Scene
    family: Family
    slot: int
    operand: int | None  #: which operand it is; None: the result
    line: list[int]  #: the nodes that it is

    @property
    def name(self) -> str:
        """The name of the right value."""
        return self.scene.named(self.scene.record.nodes[self.line[-1]])

    @property
    def rule(self) -> str:
        """A phrase for the rule that uses it."""
        node = self.family[0]
        assert node.op is not None
        if is_nonlinear(node):
            return f"at {self.scene.named(node)} the derivative of {node.op.name}"
        return self.scene.subject(self.family, self.slot)

    def edits(
        self, words: str, values: Sequence[Late], cost: float, rule: Callable[[Node, int, Late], Rule] | None = None
    ) -> Iterator[Edit]:
        """Edits that put ``values`` there at every step and, if likely, at single ones; ``rule``: not `Valued`."""
        rules: dict[int, Rule] = {}
        for node, index, value in zip(self.family, self.line, values, strict=True):
            rules[node.index] = Valued({index: value}) if rule is None else rule(node, index, value)
        likely = cost == 0.05  # of the step before or after
        yield from self.scene.at_times(
            self.family, self.slot, words, lambda n: rules[n.index], single=likely, cost=cost
        )


def _places(scene: Scene, family: Family, slot: int) -> Iterator[_Place]:
    op = family[0].op
    assert op is not None
    result, needed = op.values_needed(slot)
    for other, operand in enumerate(family[0].operands):
        line = scene.line(family, other)
        real = line is not None and scene.record.values[line[-1]].dtype.kind == "f"
        if isinstance(operand, Ref) and (needed is None or other in needed) and line is not None and real:
            yield _Place(scene, family, slot, other, line)
    if result and (op.elementwise or is_nonlinear(family[0])):
        yield _Place(scene, family, slot, None, [n.index for n in family])


def _another(place: _Place) -> Iterator[Edit]:
    """Edits that use another value of the program."""
    for words, values, cost in place.scene.stand_ins.of(place.line, place.family):
        where = "" if is_nonlinear(place.family[0]) or cost < 0.2 else f" where {place.name} belongs"
        yield from place.edits(f"{place.rule} uses {words}{where}", values, cost)


def _in_one_factor(place: _Place) -> Iterator[Edit]:
    """Edits that use another value in one of the two factors of a nonlinearity's derivative."""
    scene, node = place.scene, place.family[0]
    known = (edited_rules.true_slope(scene.record, node) if place.operand is None else None) or ""
    for product in edited_rules.PRODUCTS.get(known, ()):

        def replaced(_node: Node, _index: int, value: Late, product: Slope = product) -> Rule:
            return OneReplaced(product, value)

        for words, values, cost in scene.stand_ins.of(place.line, place.family):
            text = f"at {scene.named(node)} one of the two factors of the derivative of {node.op and node.op.name}"
            yield from place.edits(f"{text} uses {words}", values, 0.11 + cost, replaced)


def _the_gradient_itself(place: _Place) -> Iterator[Edit]:
    """Edits that use the node's gradient in the place of a value."""
    nodes = [place.scene.record.nodes[index] for index in place.line]
    if all(n.shape == place.family[0].shape for n in (*nodes, *place.family)):
        rules = {n.index: edited_rules.by_itself(index) for n, index in zip(place.family, place.line, strict=True)}
        text = f"{place.rule} uses the gradient that arrives where {place.name} belongs"
        yield from place.scene.at_times(
            place.family, place.slot, text, lambda n: rules[n.index], single=False, cost=0.25
        )


def _made_otherwise(place: _Place) -> Iterator[Edit]:
    """Edits that use the value as a wrong formula computes it."""
    nodes = [place.scene.record.nodes[index] for index in place.line]
    anew = [*hardened(place.scene, nodes)]
    anew += remade(place.scene, nodes, depth=2) if len(set(place.line)) == len(nodes) else ()
    for words, values, cost in anew:
        yield from place.edits(f"{place.rule} {words.format(in_brackets(place.name))}", values, 0.15 + cost)


def _instead_of_the_gradient(scene: Scene, family: Family) -> Iterator[Edit]:
    """Edits that use a value where the node's gradient belongs, in all its contributions or in one."""
    slots = scene.slots(family)
    for words, values, cost in scene.stand_ins.of([n.index for n in family], family):
        if cost > 0.2 or words.startswith(ITSELF) or any(len(nodes) < len(family) for nodes in slots.values()):
            continue
        rules = {n.index: Instead(v) for n, v in zip(family, values, strict=True)}
        for some in [[*slots], *([slot] for slot in slots if len(slots) > 1)]:
            uses: dict[Use, Rule] = {(n.index, slot): rules[n.index] for n in family for slot in some}
            subject = scene.subject(family, some[0]) if len(some) == 1 else f"all that {scene.named(family[-1])} sends"
            yield Edit(f"At every step, {subject} comes from the value of {words}.", uses, cost=1.3 + cost)


def _a_factor_too_many(scene: Scene, family: Family, slot: int) -> Iterator[Edit]:
    """Edits that multiply or divide a contribution by another value of the same step.

    The same edit finds a factor that is missing from a formula in which others had cancelled.
    """
    line = scene.line(family, slot)
    if line is None or not np.shape(scene.record.target(family[0], slot)):
        return
    subject = scene.subject(family, slot)
    shapes = {n.shape for n in (*family, *(scene.record.nodes[index] for index in line))}
    smaller = scene.stand_ins.smaller(family[0].shape, family) if len(shapes) == 1 else ()
    slopes = _slopes_beside(scene, family) if len(shapes) == 1 else ()
    for name, values, cost in [*scene.stand_ins.of(line, family), *smaller, *slopes]:
        if cost > LIKELY:
            continue
        changes: list[tuple[str, Callable[[Array], Array]]] = [(f"multiplied with {name}", np.asarray)]
        here = cost in (0.0, 0.05, 0.2)  # of this very step: what had cancelled in a formula
        changes += [(f"divided by {name}", np.reciprocal)] if here and all(map(np.all, values)) else []
        if here and all(np.all((v > 0) & (v < 1)) for v in values):
            changes.append((f"multiplied with 1 − {in_brackets(name)}", lambda v: 1 - v))
        for words, change in changes:
            rules = {n.index: Times(partial(change, v)) for n, v in zip(family, values, strict=True)}
            yield from scene.at_times(
                family, slot, f"{subject} is {words}", lambda n, r=rules: r[n.index], single=False, cost=0.25 + cost
            )


def _slopes_beside(scene: Scene, family: Family) -> Iterator[tuple[str, list[Array], float]]:
    """The derivatives of nonlinearities of the same steps, and of the shape of ``family``."""
    for gate in scene.families:
        if is_nonlinear(gate[0]) and gate[0].shape == family[0].shape and (places := scene.beside(gate, family)):
            yield f"the derivative at {scene.named(gate[-1])}", [scene.slope(gate[k]) for k in places], 0.1


def _carried_with_a_factor(scene: Scene) -> Iterator[Edit]:
    """Edits that multiply all that a state receives from the next step by another value."""
    record = scene.record
    for family in scene.states:
        chain, carries, name = scene.chain(family), scene.carried(family), scene.named(family[-1])
        at = [t for t in carries if t]
        nodes = [record.nodes[chain[t]] for t in at]
        variants = [*scene.stand_ins.of([chain[t] for t in at], nodes)] if at else []
        variants += [*scene.stand_ins.smaller(nodes[-1].shape, nodes), *_slopes_beside(scene, nodes)] if at else ()
        for words, values, cost in variants:
            if cost <= LIKELY:
                uses: dict[Use, Rule] = {use: Times(v) for t, v in zip(at, values, strict=True) for use in carries[t]}
                text = f"At every step, all that {name} receives from the step after it is multiplied with {words}"
                yield Edit(f"{text}, of that step.", uses, cost=1.2 + cost)


def _other_weights(scene: Scene) -> Iterator[Edit]:
    """Edits in which all rules that need a weight use another of the same shape, or its transpose."""
    record = scene.record
    for leaf in record.leaves:
        parts = [leaf.index]
        for index in parts:
            users = (record.nodes[user] for user, _ in record.users[index])
            moving = (n for n in users if n.op is not None and n.op.kind in ("movement", "index"))
            parts += [n.index for n in moving if n.sources == (index,) and n.index not in parts]
        others = {
            scene.named(o): np.asarray(o.value)
            for o in record.leaves
            if o.shape == leaf.shape and o.index != leaf.index
        }
        turned = blocks_transposed(np.asarray(record.values[leaf.index]))
        if turned is not None and turned.shape == leaf.shape:
            others["it transposed"] = turned
        for words, value in others.items():
            changed = {leaf.index: value}
            for index in parts[1:]:
                changed[index] = record.forward(record.nodes[index], changed)
            uses: dict[Use, Rule] = {
                (user, k): Valued(changed)
                for index in parts
                for user, _ in record.users[index]
                for k, x in enumerate(record.nodes[user].operands)
                if (user, k) in record.truth.contributions and isinstance(x, Ref) and x.index not in parts
            }
            if len({scene.place[user][0] for user, _ in uses}) > 1:
                text = f"Every rule that needs {scene.named(leaf)} uses {words}."
                yield Edit(text, uses, cost=1.1)
