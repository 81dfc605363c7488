"""Edits by which what the forward pass saved is other than it should be, for all rules that use it.

A list in another order, one array for all steps, a step late; two values exchanged, as in a tuple that is unpacked in
the wrong order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

import numpy as np

from ..graph import Node, Ref
from .edit_context import Family, Scene, is_nonlinear
from .edited_rules import Late, Valued
from .edited_walks import Edit, Rule, Use

#: of more values of one shape than this, only two are exchanged
FEW = 4
#: of more than this, none
MANY = 8
#: what is made of a saved value is computed again: nothing but what only numbers are added to, arithmetic element by
#: element, products of matrices as well
AGAIN = NUMBERS, ELEMENTS, MATRICES = 0, 1, 2


def of_saved_values(scene: Scene) -> Iterator[Edit]:
    """Edits of the lists of each value, of all states of a layer, and of tuples of gates."""
    for group in [*([f] for f in scene.families), *(layer for layer in scene.layers if len(layer) > 1)]:
        yield from scene.attempts.items(_in_another_order(scene, group))
    yield from scene.attempts.items(_exchanged(scene))


def _in_another_order(scene: Scene, group: list[Family]) -> Iterator[Edit]:
    """Edits in which the saved values of each step are those of another; of a state, also the first one."""
    chains = [scene.chain(family) for family in group]
    n = min(map(len, chains))
    if n < 2:
        return
    carried = {
        c[t]: {user for user, _ in scene.carries(f).get(t, [])}
        for c, f in zip(chains, group, strict=True)
        for t in range(len(c))
    }
    begins = {  # another loop may have left them there
        c[0]: carried[c[0]] for c, f in zip(chains, group, strict=True) if len(c) > len(f)
    }
    name, begun = scene.names_of(group), all(len(c) > len(f) for c, f in zip(chains, group, strict=True))

    def edits(words: str, cost: float, moves: Mapping[int, int]) -> Iterator[Edit]:
        changed = {c[to]: np.asarray(scene.record.values[c[source]]) for c in chains for to, source in moves.items()}
        if any(value.shape != scene.record.nodes[index].shape for index, value in changed.items()):
            return  # a sequence that has ended has no row there
        known = []
        several = begun and len(moves) > 1
        for only, where in ((begins, ""), (carried, ", where the next step reads it")) if several else ((begins, ""),):
            for again in AGAIN if several else AGAIN[:1]:
                uses = reading(scene, changed, only, again=again)
                if uses.keys() not in known:
                    too = ", also in what is computed from it once more" if again else ""
                    yield Edit(f"{words[:-1]}{where}{too}.", uses, cost=cost + 0.05 * bool(again) + 0.02 * bool(where))
                    known.append(uses.keys())

    for words, shift in (("of the step after", 1), ("of the step before", -1)):
        moves = {k: k + shift for k in range(n) if 0 <= k + shift < n}
        yield from edits(f"At every step, the saved {name} has become that {words}.", 1.1, moves)
        around = {k: (k + shift) % n for k in range(n)}
        yield from edits(
            f"At every step, the saved {name} has become that {words}, around the end (index −1).", 1.15, around
        )
        for k, source in moves.items():
            which = "first" if k == 0 else f"{k + 1}th"
            start = scene.record.nodes[chains[0][0]].name if k == 0 and len(group) == 1 else None
            which += f" of them ({start})" if start else " of them"
            yield from edits(f"The saved {name}, the {which}, has become that {words}.", 1.15, {k: source})
    for words, source in (("last", n - 1), ("first", 0)):
        text = f"Every saved {name} has become the {words} one: one buffer was used for all steps."
        yield from edits(text, 1.1, dict.fromkeys(range(n), source))
    for k in range(n - 2):
        which = "first" if k == 0 else f"{k + 1}th"
        yield from edits(f"The saved {name}, the {which} of them, has become the last one.", 1.2, {k: n - 1})
    for first in (0, 1) if begun else (0,):
        where = " after the first state" if first else ""
        turned = {k: n - 1 - k + first for k in range(first, n)}
        yield from edits(f"The saved {name} are in reverse order{where}: the last step's at the first.", 1.1, turned)


def _exchanged(scene: Scene) -> Iterator[Edit]:
    """Edits in which saved values of one shape are taken for each other, as variables in a wrong order."""
    groups: dict[object, list[Family]] = {}
    for family in scene.families:
        last = family[-1]
        if (is_nonlinear(last) or last.role) and last.shape:
            groups.setdefault((last.shape, tuple(n.scope.step for n in family), last.scope.path), []).append(family)
    for group in groups.values():
        for order in permutations(range(len(group))) if len(group) <= FEW else _swaps(len(group)):
            moved = [k for k, other in enumerate(order) if k != other]
            if not moved or len(group) > MANY:
                continue
            changed = {
                a.index: np.asarray(scene.record.values[b.index])
                for k in moved
                for a, b in zip(group[k], group[order[k]], strict=True)
            }
            names = [scene.named(group[k][-1]) for k in moved]
            others = [scene.named(group[order[k]][-1]) for k in moved]
            text = " and ".join(names) + " are exchanged"
            if len(moved) > 2:
                text = f"{', '.join(names)} are {', '.join(others)}"
            yield Edit(f"At every step, the saved {text}.", reading(scene, changed), cost=1.05 + 0.05 * len(moved))


def _swaps(n: int) -> Iterator[list[int]]:
    for a in range(n):
        for b in range(a):
            yield [a if k == b else b if k == a else k for k in range(n)]


def reading(
    scene: Scene, changed: Mapping[int, Late], only: Mapping[int, set[int]] | None = None, *, again: int = NUMBERS
) -> dict[Use, Rule]:
    """Every use whose rule needs a changed value, or what is `affected`."""
    remade, uses = affected(scene, changed, only, again=again)
    return dict.fromkeys(uses, Valued(changed, remade))


def affected(
    scene: Scene, changed: Iterable[int], only: Mapping[int, set[int]] | None = None, *, again: int = NUMBERS
) -> tuple[list[int], list[Use]]:
    """Nodes made of ``changed`` values and of numbers alone, such as 1 - z, and every use whose rule needs any of it.

    ``only``: by value, the nodes that are to be changed, where these are not all that read it. ``again``: one of
    `AGAIN`; what has no name is not saved then.
    """
    record, only, remade = scene.record, only or {}, list[int]()
    known = set(changed)

    def readers(index: int) -> set[int]:
        return {user for user, _ in record.users[index]} & only.get(index, {user for user, _ in record.users[index]})

    reached = known.union(*map(readers, known))
    pending = sorted(reached)
    while pending:  # operands come before what is made of them
        node = record.nodes[heapq.heappop(pending)]
        if node.op is None or node.index in known or node.scope.step is None:
            continue
        arithmetic = node.op.infix in ("+", "-", "*", "/") or node.op.name in ("neg", "pow")
        plain = arithmetic and not any(record.nodes[i].requires_grad for i in node.sources if i not in known)
        moving = node.op.infix == "@" or node.op.kind == "movement"
        if plain or (not node.role and ((again and arithmetic) or (again == MATRICES and moving))):
            known.add(node.index)
            remade.append(node.index)
            for user in readers(node.index) - reached:
                heapq.heappush(pending, user)
                reached.add(user)
    uses = list[Use]()
    for index in sorted(reached):
        node = record.nodes[index]
        read = {
            k
            for k, x in enumerate(node.operands)
            if isinstance(x, Ref) and x.index in known and index in readers(x.index)
        }
        for slot in range(len(node.operands)):
            if node.op is None or (index, slot) not in record.truth.contributions:
                continue
            result, needed = node.op.values_needed(slot)
            if (result and index in known and index not in only) or (read if needed is None else read & set(needed)):
                uses.append((index, slot))
    return remade, uses


def descendants(scene: Scene, nodes: Iterable[Node]) -> set[int]:
    """``nodes`` and all that is made of them."""
    pending = [n.index for n in nodes]
    found = set(pending)
    while pending:
        new = {user for user, _ in scene.record.users[pending.pop()]} - found
        found |= new
        pending += new
    return found
