"""Edits of what is carried through time, and of the values that the forward pass saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, pairwise, permutations, product

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Family, Scene, is_nonlinear
from .edited_rules import AsIf, Valued, clipped_to, passed_on, rearranged, reordered
from .edited_walks import Edit, Part, Rule, Use, scaled
from .repeated_operations import every_few, times

#: of what a state receives from more places than this outside of its loop, not every part is tried
MOST_PLACES = 4
#: rows that are walked one after another, at most
MOST_ROWS = 8


def of_states(scene: Scene) -> Iterator[Edit]:
    """Edits of carries, saved values, gates, and the order of the steps."""
    kinds = (
        _truncated,
        _final,
        _left_over,
        _before_the_first,
        _gates,
        _forward_order,
        _not_zeroed,
        _at_other_steps,
        _also_to_another,
        _arrives_elsewhere,
        _carry_of_another,
        _one_variable,
        _layers_in_forward_order,
        _clipped_carries,
        _not_reset,
    )
    for kind in kinds:
        yield from scene.attempts.items(kind(scene))


def _truncated(scene: Scene) -> Iterator[Edit]:
    """Edits that drop, at some steps, all that one state or a layer's states receive from the next step."""
    for layer in [*([f] for f in scene.states), *(g for g in scene.layers if len(g) > 1)]:
        follows: dict[int, list[Use]] = defaultdict(list)
        for family in layer:
            for t, uses in scene.carried(family).items():
                follows[t] += uses
        if not follows or max(len(uses) for uses in follows.values()) < 2:
            continue
        order = sorted(follows)
        for when, at, price in (*times(len(order), windows=True), *every_few(len(order))):
            cut = {use: scaled(0.0) for t in at for use in follows[order[t]]}
            receive = f"{scene.names_of(layer)} {'receives' if len(layer) == 1 else 'receive'}"
            yield Edit(f"{when}, all that {receive} from the step after it is missing.", cut, cost=price)


def _final(scene: Scene) -> Iterator[Edit]:
    """Edits that drop what the last states of a layer receive from outside of the loop: it starts with zeros."""
    for layer in scene.layers:
        sent = scene.record.truth.contributions
        ends = [[use for use in _at_the_end(scene, family) if use in sent] for family in layer]
        if len(layer) > 1 and all(ends):
            cut: dict[Use, Rule] = {use: scaled(0.0) for uses in ends for use in uses}
            words = f"what the last values of {scene.names_of(layer)} receive from outside of the steps is missing"
            yield Edit(f"Once, {words}.", cut, cost=1.05)


def _at_the_end(scene: Scene, family: Family) -> list[Use]:
    """The uses of the last state that no earlier state has, and that do not occur once per step."""
    *before, last = scene.chain(family)
    users = {user for index in before for user, _ in scene.record.users[index]}
    return [
        use
        for use in scene.record.users[last]
        if use[0] not in users and len(scene.all_families[scene.place[use[0]][0]]) < len(family)
    ]


def _left_over(scene: Scene) -> Iterator[Edit]:
    """Edits in which a state receives the next state's gradient unchanged, instead of what that step sends."""
    record, sent = scene.record, scene.record.truth.contributions
    for family in scene.states:
        chain, name = scene.chain(family), scene.named(family[0])
        instead: dict[Use, Part] = {}
        rules: dict[Use, Rule] = {}
        for t, uses in scene.carries(family).items():
            arriving = tuple((use,) for after in chain[t + 1 : t + 2] for use in record.senders(after))
            first, *others = uses
            if arriving and first in sent:
                instead[first] = Part(arriving, instead=True)
                rules |= dict.fromkeys(others, scaled(0.0)) | {first: passed_on}
        text = f"At every step, {name} receives the gradient of {name} of the step after as it is"
        yield Edit(f"{text}: the carry is not renewed.", rules, parts=instead, cost=1.15)


def _before_the_first(scene: Scene) -> Iterator[Edit]:
    """Edits in which an initial state receives the sum over all steps, or all that the first state receives."""
    record, sent = scene.record, scene.record.truth.contributions
    for family in scene.states:
        first, *later = scene.chain(family)
        carries = scene.carried(family)
        carried = [use for t, uses in carries.items() if t for use in uses]
        ragged = len({record.nodes[index].shape for index in (first, *later)}) > 1
        if first == family[0].index or first not in record.truth.gradients or not carried or ragged:
            continue
        start, name = scene.named(record.nodes[first]), scene.named(family[-1])
        whole = [record.truth.gradients[index] for index in later if index in record.truth.gradients]
        right = sum(sent[use] for use in carries.get(0, []))
        for words, more in (
            (f"what {name} receives of the next step, added up over all steps", sum(sent[use] for use in carried)),
            (f"the gradients of {name}, added up over all steps", sum(whole) - right),
            (f"the gradients of {name}, added up over all steps, and its own", sum(whole)),
            (f"the gradient of the first {name}, instead of what that hands on", whole[0] - right),
        ):
            yield Edit(f"{start} receives {words}.", seeds={first: np.asarray(more)}, cost=1.2)


def _gates(scene: Scene) -> Iterator[Edit]:
    """Edits that permute gates stacked in one value, or exchange the gradients of two separate gates."""
    cuts: dict[object, list[Family]] = defaultdict(list)
    for family in scene.families:
        if family[0].op is not None and family[0].op.name == "getitem":
            source = family[0].operands[0]
            assert isinstance(source, Ref)
            cuts[source.index, family[0].shape, len(family)].append(family)
    for group in cuts.values():
        group = group[:6]
        yield from _side_by_side(scene, group)
        for order in permutations(range(len(group))):
            moved = [k for k, other in enumerate(order) if k != other]
            if not moved or (len(group) > 4 and len(moved) > 2):
                continue
            uses: dict[Use, Rule] = {
                (a.index, 0): AsIf(b, 0) for k in moved for a, b in zip(group[k], group[order[k]], strict=True)
            }
            names = [_gate(scene, f[0]) for f in group]
            if len(moved) == 2:
                words = f"the gradients of the gates {names[moved[0]]} and {names[moved[1]]} are exchanged"
            else:
                put = ", ".join(names[order.index(k)] for k in range(len(group)))
                words = f"the gradients of the gates are stacked in the order {put} instead of {', '.join(names)}"
            yield Edit(f"At every step, {words}.", uses, cost=1.0 + 0.05 * len(moved))
            late: dict[Use, Rule] = {}
            for nodes in zip(*group, strict=True):
                whole = scene.record.nodes[nodes[0].sources[0]]
                if is_nonlinear(whole):
                    numbers = np.arange(int(np.prod(whole.shape))).reshape(whole.shape)
                    places, own_places = numbers.copy(), [numbers[n.attrs["index"]] for n in nodes]
                    for k in moved:
                        places.ravel()[own_places[k]] = own_places[order[k]]
                    late[whole.index, 0] = rearranged(places)
            if late:
                yield Edit(f"At every step, {words}, behind their derivatives.", late, cost=1.02 + 0.05 * len(moved))
    own: dict[object, list[Family]] = defaultdict(list)
    for family in scene.families:
        if is_nonlinear(family[0]):
            own[family[0].shape, len(family), family[0].scope.step].append(family)
    for group in own.values():
        for i, one in enumerate(group[:6]):
            for two in group[i + 1 : 6]:
                sent: dict[Use, int | None] = {}
                for a, b in zip(one, two, strict=True):
                    first, second = a.operands[0], b.operands[0]
                    if isinstance(first, Ref) and isinstance(second, Ref):
                        sent |= {(a.index, 0): second.index, (b.index, 0): first.index}
                both = f"{scene.named(one[0])} and {scene.named(two[0])}"
                yield Edit(f"At every step, the gradients before {both} are exchanged.", sent=sent, cost=1.1)


def _side_by_side(scene: Scene, group: list[Family]) -> Iterator[Edit]:
    """Edits in which what belongs to one unit lies side by side, where the gates lie one after another; or so."""
    record = scene.record
    whole = [record.nodes[n.sources[0]] for n in group[0]]
    axis = next((k for k, sizes in enumerate(zip(whole[0].shape, group[0][0].shape)) if len(set(sizes)) > 1), None)
    count = len(group)
    if axis is None or whole[0].op is None or whole[0].shape[axis] != count * group[0][0].shape[axis]:
        return
    for how, rows in (("unit by unit, not gate by gate", count), ("gate by gate, not unit by unit", -1)):
        order = np.arange(whole[0].shape[axis]).reshape((rows, -1) if rows > 0 else (-1, count)).T.ravel()
        uses: dict[Use, Rule] = {
            (n.index, slot): reordered(order, axis)
            for n in whole
            for slot in range(len(n.operands))
            if (n.index, slot) in record.truth.contributions
        }
        text = f"At every step, the gradients of the gates in {scene.named(whole[-1])} are put together"
        yield Edit(f"{text} {how}.", uses)


def _gate(scene: Scene, cut: Node) -> str:
    """The name of the value computed from this slice of the stacked gates."""
    users = scene.record.users[cut.index]
    return scene.named(scene.record.nodes[users[0][0]]) if users else scene.named(cut)


def _forward_order(scene: Scene) -> Iterator[Edit]:
    """Edits in which the backward loop runs forwards: the carry of a step arrives at the state after it."""
    for layer in scene.layers:
        sent: dict[Use, int | None] = {}
        at_the_end: dict[Use, int | None] = {}
        for family in layer:
            chain = scene.chain(family)
            for t, uses in scene.carries(family).items():
                target = chain[t + 2] if t + 2 < len(chain) else chain[0]
                sent |= dict.fromkeys(uses, target)
            at_the_end |= dict.fromkeys(_at_the_end(scene, family), family[0].index)  # where such a loop starts
        if sent and len(layer[0]) > 1:
            receive = (
                f"{scene.names_of(layer)} {'receives' if len(layer) == 1 else 'receive'} the carry of the step before"
            )
            words = f"The time steps are visited in forward order: {receive} instead of the step after"
            yield Edit(f"{words}.", sent=sent, cost=1.0)
            if at_the_end:
                yield Edit(f"{words}, and the first what belongs to the last.", sent=sent | at_the_end, cost=1.05)


def _not_zeroed(scene: Scene) -> Iterator[Edit]:
    """Edits in which a carried gradient does not start from 0: what a loop left, or another one."""
    record, left = scene.record, dict[int, Array]()
    for family in scene.states:
        total = np.zeros(family[0].shape)
        for user, slot in scene.carries(family).get(0, []):
            if user in record.truth.gradients:
                total = total + record.pull(record.nodes[user], slot, record.truth.gradients[user])
        left[family[-1].index] = total
    groups = [*([f] for f in scene.states), *(layer for layer in scene.layers if len(layer) > 1)]
    for one, two in product(groups, repeat=2):
        seeds = {g[-1].index: left[f[-1].index] for f, g in zip(one, two)}
        fits = all(f[0].shape == g[0].shape and g[-1].index in record.truth.gradients for f, g in zip(one, two))
        if fits and len(one) == len(two):
            handed = {use: g[-1].index for f, g in zip(one, two) for use in scene.carried(f).get(0, [])}
            constant = all(record.nodes[record.target_of(use)].index not in scene.given for use in handed)
            loop = "an earlier call of this loop" if one is two else f"the loop over {scene.names_of(one)}"
            edit = _starting(scene, two, f"what {loop} left there", seeds)
            moved = handed and constant and one is not two  # so that two layers' loops may start so
            yield replace(edit, seeds={}, sent=dict[Use, int | None](handed)) if moved else edit
    for group in groups:
        yield from _left_by_the_row_before(scene, group)
    for family in scene.states:
        last = family[-1]
        if last.index in record.truth.gradients:
            yield _starting(scene, [family], "ones", {last.index: np.ones(last.shape)}, 0.05)
            yield _starting(scene, [family], "its last value", {last.index: record.values[last.index]}, 0.05)
        for node in record.nodes[last.index + 1 :] if last.index in record.truth.gradients else ():
            g, number = record.truth.gradients.get(node.index), scene.place.get(node.index, (-1, 0))[0]
            once = node.scope.step is None or len(scene.all_families[number]) == 1
            if g is not None and node.shape == last.shape and number not in (-1, scene.place[last.index][0]) and once:
                words = f"the gradient of {scene.named(node)}"
                yield _starting(scene, [family], words, {last.index: np.asarray(g)}, 0.05)


def _starting(scene: Scene, states: list[Family], words: str, seeds: dict[int, Array], more: float = 0.0) -> Edit:
    text = f"The gradient that is carried for {scene.names_of(states)} was not set to zero before the loop"
    return Edit(f"{text}: it starts from {words}.", seeds=seeds, cost=1.2 + more)


def _left_by_the_row_before(scene: Scene, states: list[Family]) -> Iterator[Edit]:
    """Edits in which rows are walked one after another, and each starts from what the one before it left."""
    record = scene.record
    first = [scene.carried(f).get(0, []) for f in states]
    last = [family[-1].index for family in states]
    shapes = {family[k].shape for family in states for k in (0, -1)}
    rows = min(shapes)[0] if len(shapes) == 1 and len(min(shapes)) == 2 else 0
    if not 1 < rows <= MOST_ROWS or not all(first) or any(index not in record.truth.gradients for index in last):
        return
    for order, how in ((range(rows), ""), (range(rows - 1, -1, -1), ", the last one first")):
        seeds = {index: np.zeros(record.nodes[index].shape) for index in last}
        for before, row in pairwise(order):  # a row receives nothing of those after it
            moved = record.changes(Edit("", seeds=seeds))
            for index, uses in zip(last, first, strict=True):
                for user, slot in uses:
                    g = record.gradient(user) + (moved[user][0] if user in moved else 0.0)
                    seeds[index][row] += record.pull(record.nodes[user], slot, g)[before]
        yield _starting(scene, states, f"what the row before left there{how}", seeds)


def _at_other_steps(scene: Scene) -> Iterator[Edit]:
    """Edits in which what a value receives, from the loss, a layer above or a later step, arrives at another step.

    Of a state and of what is in a list of all steps before any of it is read: an index may be another there.
    """
    record = scene.record
    for family in scene.families:
        held = family[-1].index < min((user for n in family for user, _ in record.users[n.index]), default=0)
        groups: dict[int, dict[int, list[Use]]] = defaultdict(lambda: defaultdict(list))
        for t, node in enumerate(family if len(family) > 1 and (held or scene.is_state(family)) else ()):
            for use in record.users[node.index]:
                if use in record.truth.contributions:
                    groups[scene.place[use[0]][0]][t].append(use)
        for number, uses in groups.items():
            yield from _moved(scene, family, uses, scene.named(scene.all_families[number][-1]))
        outside = dict(enumerate(_outside(scene, family))) if scene.is_state(family) and len(family) > 1 else {}
        if len({scene.place[user][0] for some in outside.values() for user, _ in some}) > 1:
            yield from _moved(scene, family, outside, "outside of its recurrence")
        for some in [[*groups], *([k for k in groups if k != left] for left in groups)] if held and groups else ():
            if len(some) > 1:
                joined = {t: [use for k in some for use in groups[k].get(t, ())] for t in range(len(family))}
                names = " and ".join(scene.named(scene.all_families[k][-1]) for k in some)
                yield from _moved(scene, family, joined, names if len(some) < len(groups) else "all that reads it")


def _moved(scene: Scene, family: Family, uses: Mapping[int, list[Use]], source: str) -> Iterator[Edit]:
    """Edits in which what these uses send, by step, arrives at the value of another step."""
    record, last, name = scene.record, len(family) - 1, scene.named(family[-1])
    before = scene.chain(family)[0]
    begins = before if before != family[0].index and before in record.truth.gradients else None
    if len({use for some in uses.values() for use in some}) < 2:
        return
    if len({user for some in uses.values() for user, _ in some}) == 1:  # what is put together of all steps
        for when, at, price in times(last + 1, windows=True):
            lost = {use: scaled(0.0) for t in at for use in uses.get(t, ())}
            text = f"{when}, what {name} receives from {source}"
            yield Edit(f"{text} is missing.", lost, cost=price, scaling=text)
    ways: list[tuple[str, Callable[[int], int]]] = [
        ("one step late", lambda t: t + 1),
        ("one step early", lambda t: t - 1),
        ("one step early, of the first at what it starts from", lambda t: t - 1),
        ("one step late, the last at the first (np.roll)", lambda t: (t + 1) % (last + 1)),
        ("one step early, the first at the last (np.roll)", lambda t: (t - 1) % (last + 1)),
        ("in reverse order", lambda t: last - t),
    ]
    for words, to in ways:
        start = begins if "starts from" in words else None
        sent: dict[Use, int | None] = {
            use: family[to(t)].index if 0 <= to(t) <= last else start for t, some in uses.items() for use in some
        }
        if start is not None or "starts from" not in words:
            yield Edit(f"What {name} receives from {source} arrives {words}.", sent=sent, cost=1.2)
    sent_there = record.truth.contributions
    arriving = [np.sum([sent_there[use] for use in uses.get(t, ())], axis=0) for t in range(last + 1)]
    for which, whole in (("last", arriving[-1]), ("first", arriving[0])):
        if all(n.shape == np.shape(whole) for n in family):
            seeds = {n.index: np.asarray(whole - g) for n, g in zip(family, arriving, strict=True)}
            text = f"At every step, what {name} receives from {source} is that of the {which} step"
            yield Edit(f"{text}: an index stands still.", seeds=seeds, cost=1.2 if np.size(whole) > 1 else 1.5)


def _also_to_another(scene: Scene) -> Iterator[Edit]:
    """Edits in which a state also receives what another state receives from outside of its recurrence."""
    record = scene.record
    for one in scene.states:
        outside = [[record.truth.contributions[use] for use in uses] for uses in _outside(scene, one)]
        for two in scene.states:
            if two is one or len(two) != len(one) or two[0].shape != one[0].shape or not any(outside):
                continue
            for order, how in ((outside, ""), (outside[::-1], ", counted from the other end")):
                seeds = {n.index: np.asarray(sum(parts)) for n, parts in zip(two, order, strict=True) if parts}
                if any(index not in record.truth.gradients for index in seeds):
                    continue
                names = scene.named(two[-1]), scene.named(one[-1])
                words = f"what {names[1]} receives from outside of its recurrence{how}"
                yield Edit(f"{names[0]} also receives {words}.", seeds=seeds, cost=1.2)
                mine = _outside(scene, two)
                lost: dict[Use, Rule] = {use: scaled(0.0) for uses in mine for use in uses}
                yield Edit(f"{names[0]} receives {words}, instead of its own.", lost, seeds=seeds, cost=1.2)


def _outside(scene: Scene, family: Family) -> list[list[Use]]:
    """For each step: the uses of the state that are not carries to its next step."""
    carried = {use for uses in scene.carries(family).values() for use in uses}
    sent = scene.record.truth.contributions
    return [[use for use in scene.record.users[n.index] if use not in carried and use in sent] for n in family]


def _carry_of_another(scene: Scene) -> Iterator[Edit]:
    """Edits in which a state receives the carry of another state, as of another layer, instead of its own."""
    carried = [(family, scene.carried(family)) for family in scene.states]
    for (one, mine), (two, theirs) in permutations(carried, 2):
        later = {t: uses for t, uses in mine.items() if t}
        parts = {
            uses[0]: Part(tuple((use,) for use in theirs[t]), sign=0.0, passed=True)
            for t, uses in later.items()
            if t in theirs
        }
        if parts and one[0].shape == two[0].shape:
            lost: dict[Use, Rule] = {use: scaled(0.0) for uses in later.values() for use in uses}
            names = scene.named(one[-1]), scene.named(two[-1])
            text = f"At every step, {names[0]} receives what {names[1]} should of the step after, not its own."
            yield Edit(text, lost, parts=parts, cost=1.2)


def _one_variable(scene: Scene) -> Iterator[Edit]:
    """Edits in which one variable holds what two layers carry: each finds there what the other one left."""
    for below, above in permutations(scene.states, 2):
        low, high = scene.chain(below), scene.chain(above)
        if below[0].shape != above[0].shape or len(low) != len(high):
            continue
        moved: dict[Use, int | None] = {}
        for t, uses in scene.carried(above).items():
            moved |= dict.fromkeys(uses, low[t + 1]) if t + 1 < len(low) else {}
        for t, uses in scene.carried(below).items() if moved else ():
            moved |= dict.fromkeys(uses, high[t])
        names = scene.named(above[-1]), scene.named(below[-1])
        text = f"What {names[0]} and {names[1]} carry is kept in one variable: {names[1]} receives what {names[0]} left"
        yield Edit(f"{text} at this step, and {names[0]} what {names[1]} left at the step after.", sent=moved, cost=1.2)


def _layers_in_forward_order(scene: Scene) -> Iterator[Edit]:
    """Edits in which the layers of a step are walked back in forward order."""
    record, seen = scene.record, set[tuple[int, ...]]()
    for *_, there in scene.alike.cells():
        for start in there:
            places = [start]
            while places[-1] in there and there[places[-1]] not in places:
                places.append(there[places[-1]])
            values = [scene.all_families[number] for kind, number in places if kind == "family"]
            key = tuple(number for _, number in places)
            if len(values) < 3 or key in seen or len({(len(f), f[0].shape) for f in values}) > 1:
                continue
            seen.add(key)
            moved: dict[Use, int | None] = {}
            for k in range(len(values)):
                for node, to in zip(
                    values[k], values[1 if k == len(values) - 1 else (k + 2) % len(values)], strict=True
                ):
                    moved |= dict.fromkeys(record.senders(node.index), to.index)
            names = ", ".join(scene.named(f[-1]) for f in values)
            text = "the layers are walked back in forward order, the lowest one first: the gradients of"
            yield Edit(f"At every step, {text} {names} arrive at another of these.", sent=moved, cost=1.2)


def _clipped_carries(scene: Scene) -> Iterator[Edit]:
    """Edits that clip what is carried back to a round number."""
    sent = scene.record.truth.contributions
    for family in scene.states:
        carried = scene.carried(family)
        if len(carried) < len(scene.carries(family)) or any(len(uses) > 1 for uses in carried.values()):
            continue
        uses = [use for (use,) in carried.values()]
        sizes = np.abs(np.concatenate([np.zeros(0), *(np.ravel(sent[use]) for use in uses[1:])]))
        for limit in (digit * 10.0**k for k in range(-4, 3) for digit in (1, 2, 5)):
            if sizes.size and sizes.min() < limit < 2 * sizes.max():
                rule = clipped_to(limit)
                text = f"At every step, what {scene.named(family[-1])} receives from the step after it is clipped to"
                yield Edit(f"{text} ±{limit:g}.", dict.fromkeys(uses, rule), cost=1.3)


def _arrives_elsewhere(scene: Scene) -> Iterator[Edit]:
    """Edits in which what the first or last state receives from outside of its loop arrives at other steps."""
    record = scene.record
    for family in scene.states:
        chain, name, outside = scene.chain(family), scene.named(family[-1]), _outside(scene, family)
        before = len(chain) - len(family)
        for t in (0, len(family) - 1):
            places = list(dict.fromkeys(scene.place[user][0] for user, _ in outside[t]))
            sizes = range(1, len(places) + 1) if len(places) <= MOST_PLACES else (1, len(places))
            for some in (some for size in sizes for some in combinations(places, size)):
                uses = [use for use in outside[t] if scene.place[use[0]][0] in some]
                whole = np.asarray(sum(record.truth.contributions[use] for use in uses))
                lost: dict[Use, Rule] = {use: scaled(0.0) for use in uses}
                source = " and ".join(scene.named(scene.all_families[number][-1]) for number in some)
                source = source if len(some) < max(len(places), 2) else "outside of its loop"
                which = f"What {name} of step {t + 1} receives from {source}"
                others = {
                    index: whole
                    for index in chain
                    if index in record.truth.gradients
                    and index != family[t].index
                    and record.nodes[index].shape == whole.shape
                }
                yield Edit(f"{which} arrives at every step.", seeds=others, cost=1.2)
                twice = {**others, family[t].index: whole}
                yield Edit(f"{which} arrives at every step, and twice at its own.", seeds=twice, cost=1.2)
                for index in others:
                    at = chain.index(index) - before
                    text = f"step {at + 1}" if at >= 0 else "what it starts from"
                    yield Edit(f"{which} arrives at {text} instead.", lost, seeds={index: whole}, cost=1.2)


def _not_reset(scene: Scene) -> Iterator[Edit]:
    """Edits in which a sequence starts from the final state of another one."""
    record = scene.record
    for layer in scene.layers:
        chains = [scene.chain(f) for f in layer]
        shapes = [(record.nodes[c[0]].shape, record.nodes[c[-1]].shape) for c in chains]
        if any(len(first) != 2 or first != last for first, last in shapes):
            continue
        n, left = shapes[0][0][0], "the last state of sequence"
        changes = {"Every sequence starts from its own last state: the state was not reset": [(k, k) for k in range(n)]}
        for k in range(min(n - 1, 8)):
            changes[f"Sequence {k + 2} starts from {left} {k + 1}: the state was not reset"] = [(k + 1, k)]
        if n > 2:
            changes["Every sequence starts from the last state of the one before it"] = [
                (k + 1, k) for k in range(n - 1)
            ]
        for words, rows in changes.items():
            feeds = {chain[0]: np.array(record.values[chain[0]]) for chain in chains}
            for chain in chains:
                for to, source in rows:
                    feeds[chain[0]][to] = record.values[chain[-1]][source]
            again = record.recomputed(feeds)
            step = record.nodes[chains[0][1]].scope.step
            first = [use for use in record.truth.contributions if record.nodes[use[0]].scope.step == step]
            read = [use for use in first if not again.keys().isdisjoint((use[0], *record.nodes[use[0]].sources))]
            uses: dict[Use, Rule] = dict.fromkeys(read, Valued(again))
            yield Edit(f"{words}, in what was saved for the first step.", uses, cost=1.2)
            yield Edit(f"{words}, in the whole forward pass.", values=again, cost=1.25)
