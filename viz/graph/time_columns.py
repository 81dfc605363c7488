"""The column of the picture that each node stands in, found from the graph alone.

A column is one time step of one pass over a sequence. An encoder and a decoder both count their steps from 0;
they stand one after the other because the decoder starts from a state of the encoder.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.bptt.step_losses import step_losses
from tinygrad_rnn.graph import Graph, Node, Ref
from tinygrad_rnn.primitives import getitem
from tinygrad_rnn.recurrence.twins import aligned

Key = tuple[Any, ...]
Path = tuple[str, ...]
STATES = ("h", "c")


class Column(NamedTuple):
    """A time step of one pass; ``step`` counts from 0 in each pass."""

    segment: int
    step: int


def keys(graph: Graph, places: Sequence[Any]) -> list[Key]:
    """A key of each node, the same in every time step: path, part, role, operation, and its number among these."""
    numbers: dict[Key, dict[int, int]] = defaultdict(dict)
    result: list[Key] = []
    for node, row in zip(graph.nodes, aligned(graph, places), strict=True):
        path, _, part, backward, _ = node.scope
        key = (path, part or "", node.role or "", node.op.name if node.op else "", backward)
        result.append((*key, numbers[key].setdefault(row, len(numbers[key]))))
    return result


def operands(
    graph: Graph, *, see_through: bool, read_anew: Collection[int] = frozenset()
) -> tuple[list[list[tuple[int, int]]], set[int]]:
    """Per node its (slot, source) pairs, and the nodes that were seen through.

    With ``see_through`` an element read back from a `stack` is that element, and what reads a part of one element reads
    nothing else of the stack; a detached copy of a labelled value is that value, and what reads an element of the data
    once more in a time step is the first that read it, but for the nodes ``read_anew``.
    """
    stands_for: list[int] = []
    result: list[list[tuple[int, int]]] = []
    labelled: dict[Any, int] = {}
    reads: dict[Any, int] = {}
    for node in graph.nodes:
        pairs = [(slot, x.index) for slot, x in enumerate(node.operands) if isinstance(x, Ref)]
        through = node.index
        if see_through:
            pairs = [(slot, stands_for[source]) for slot, source in pairs]
            read, is_all = _element_read(graph, node)
            through = stands_for[read] if read is not None and is_all else _detached_from(graph, node, labelled)
            if read is not None and not is_all:
                pairs = [(0, stands_for[read])]
            if through == node.index and node.index not in read_anew:
                through = _read_before(graph, node, reads)
            if node.role and node.op is not None:
                labelled[node.role, node.scope.step] = node.index
        stands_for.append(through)
        result.append(pairs)
    return result, {i for i, through in enumerate(stands_for) if through != i}


def _read_before(graph: Graph, node: Node, reads: dict[Any, int]) -> int:
    """The node that has read the same element of the same data in the same time step already."""
    if node.op is None or node.op.name != "getitem" or node.scope.step is None:
        return node.index
    source = graph.nodes[node.sources[0]]
    if source.op is not None or source.is_parameter:
        return node.index
    return reads.setdefault((source.index, repr(node.attrs["index"]), node.scope.step), node.index)


def _detached_from(graph: Graph, node: Node, labelled: dict[Any, int]) -> int:
    """The labelled value this leaf is a copy of: same role, same time step, same numbers."""
    origin = labelled.get((node.role, node.scope.step)) if node.op is None and node.scope.step is not None else None
    if origin is not None and node.value is not None and np.array_equal(node.value, graph.nodes[origin].value):  # type: ignore[arg-type]
        return origin
    return node.index


def _element_read(graph: Graph, node: Node) -> tuple[int | None, bool]:
    """The one element of a stack that ``node`` reads, and whether handing it on is all it does."""
    if node.op is None or not node.sources:
        return None, False
    source = graph.nodes[node.sources[0]]
    if node.op.name == "stack":
        return (source.index, True) if len(node.sources) == 1 else (None, False)
    if node.op.name == "reshape":
        # h_n of shape (1, N, H), squeezed
        alone = source.op is not None and source.op.name == "stack" and len(source.sources) == 1
        same = alone and node.shape == graph.nodes[source.sources[0]].shape
        return (source.sources[0], True) if same else (None, False)
    if node.op.name != "getitem":
        return None, False
    index = node.attrs["index"]
    known = list(itertools.takewhile(lambda part: isinstance(part, (int, slice)), index))
    read = ((axis, *_element(graph, source.index, axis, part)) for axis, part in enumerate(known) if type(part) is int)
    axis, element, as_it_is = next((found for found in read if found[1] is not None), (0, None, True))
    others = [(n, part) for n, part in enumerate(index) if n != axis]
    # besides the time only whole axes, and the one sequence of a batch
    is_all = as_it_is and all(
        part is Ellipsis
        or (isinstance(part, slice) and part == slice(None))
        or (n < len(known) and isinstance(part, int) and source.shape[n] == 1)
        for n, part in others
    )
    return element, is_all


def _is_mask(graph: Graph, index: int, user: Node) -> bool:
    """Whether a node is numbers for one product or choice alone, as dropout has them."""
    node, op = graph.nodes[index], user.op
    alone = node.op is None and not node.requires_grad and len(graph.consumers[index]) == 1
    return alone and op is not None and op.name in ("mul", "where")


def _element(graph: Graph, index: int, axis: int, position: int) -> tuple[int | None, bool]:
    """The node that was stacked at ``position`` along ``axis`` of node ``index``, and whether it is there as it was.

    Dropout, or a function of each element, makes another value of it, but reads no other time step.
    """
    node, as_it_is = graph.nodes[index], True
    position %= node.shape[axis] or 1
    while node.op is not None and node.sources:
        source = graph.nodes[node.sources[0]]
        if node.op.name == "stack":
            return (node.sources[position] if node.attrs["axis"] % len(node.shape) == axis else None), as_it_is
        made = [graph.nodes[i] for i in node.sources if not _is_mask(graph, i, node)]
        if node.op.elementwise and len(made) == 1 and made[0].shape == node.shape:
            source, as_it_is = made[0], False
        elif node.op.name == "permute":
            axis = node.attrs["axes"][axis] % len(source.shape)
        elif not (node.op.name == "reshape" and axis == 0 and source.shape and source.shape[0] == node.shape[0]):
            return None, as_it_is
        node = source
    return None, as_it_is


def roles(graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]]) -> list[str]:
    """Each node's role. What nobody labelled is told by its use: a cross-entropy is a loss and judges the logits, of
    which else a softmax is taken at the end, the numbers that an output adds up over time are losses, data made within
    a time step and multiplied by a matrix is that step's input."""
    result = [node.role or "" for node in graph.nodes]
    has_loss, has_logits = "loss" in result, "logits" in result
    users = consumers(feeds)
    for node in graph.nodes:  # all steps' inputs together are none of one step
        if node.role == "x" and node.op is None and any(graph.nodes[user].role == "x" for user in users[node.index]):
            result[node.index] = ""
    for node in graph.nodes:
        if node.op is not None and node.op.name == "cross_entropy" and not node.scope.backward:
            scores = graph.nodes[feeds[node.index][0][1]]
            for each in _parted_in_time(graph, feeds, scores) or [scores]:
                if not has_logits and not each.role and each.op is not None:
                    result[each.index] = "logits"
            if has_loss:
                continue
            last = node
            while (
                len(used := [n for n in map(graph.nodes.__getitem__, users[last.index]) if not n.scope.backward]) == 1
            ):
                after = used[0]
                if after.site != node.site or after.op is None or after.op.name not in ("sum", "div"):
                    break
                last = after
            result[last.index] = "loss"
    for node in graph.nodes if "logits" not in result else ():
        if (judged := _normalized(graph, node)) is not None and _only_judged(graph, node):
            for each in _parted_in_time(graph, feeds, judged) or [judged]:
                if not each.role and each.op is not None:
                    result[each.index] = "logits"
    summed = after_losses(feeds, result)
    for term in step_losses(graph):  # also those of a second total
        if summed.isdisjoint(users[term]):
            result[term] = "loss"
    if "x" not in result:
        for node in graph.nodes:
            fed = [graph.nodes[user].op for user in users[node.index]]
            given = node.op is None and not node.requires_grad and node.scope.step is not None and not node.role
            if given and any(op is not None and op.is_product for op in fed):
                result[node.index] = "x"
    return result


def _parted_in_time(graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]], node: Node) -> list[Node]:
    """The parts joined in a node, or in the one it only hands on, if they were made in different time steps."""
    while node.op is not None and node.op.kind == "movement" and len(feeds[node.index]) == 1:
        node = graph.nodes[feeds[node.index][0][1]]
    joins = node.op is not None and node.op.joins
    parts = [graph.nodes[i] for _, i in feeds[node.index]] if joins else []
    steps = {part.scope.step for part in parts}
    return parts if len(steps) > 1 and None not in steps else []


def _normalized(graph: Graph, node: Node) -> Node | None:
    """The operand of a softmax, also of one that is written as exp(y) / exp(y).sum() or y − log(exp(y).sum()).

    That the largest is subtracted from y before changes nothing, but that the exponentials stay finite.
    """
    if node.op is None or node.scope.backward:
        return None
    if node.op.name in ("softmax", "log_softmax"):
        return graph.nodes[node.sources[0]]
    if node.op.name not in ("div", "sub") or len(node.sources) != 2:
        return None
    first, total = (graph.nodes[i] for i in node.sources)
    below = _through(graph, total, () if node.op.name == "div" else ("log",))
    above = first if node.op.name == "div" else below  # of a logarithm y itself stands there
    if any(n.op is None or n.op.name != "exp" for n in (above, below)) or above.sources[0] != below.sources[0]:
        return None
    scores = graph.nodes[below.sources[0]]
    if node.op.name == "sub" and scores is not first:
        return None
    if scores.op is not None and scores.op.name == "sub" and len(scores.sources) == 2:
        whole, largest = (graph.nodes[i] for i in scores.sources)
        return whole if _through(graph, largest, ("maximum",)) is whole else scores
    return scores


def _through(graph: Graph, node: Node, names: Collection[str]) -> Node:
    """The node that this one is made of alone, by reductions, movements and the operations named."""
    while node.op is not None and (node.op.kind in ("reduction", "movement") or node.op.name in names):
        if len(node.sources) != 1:
            break
        node = graph.nodes[node.sources[0]]
    return node


def _only_judged(graph: Graph, node: Node) -> bool:
    """Whether no state and no layer reads what was made of a node: probabilities, not attention."""
    found, pending = {node.index}, [node.index]
    while pending:
        for user in (graph.nodes[i] for i in graph.consumers[pending.pop()] if i not in found):
            if user.role in STATES or (user.op is not None and user.op.kind == "contraction"):
                return False
            found.add(user.index)
            pending.append(user.index)
    return True


def targets(graph: Graph) -> set[int]:
    """The values that scores are compared with, by a cross-entropy or a difference that only a loss reads."""
    found: set[int] = set()
    for node in graph.nodes:
        if node.op is not None or node.requires_grad or node.name or node.role:
            continue
        readers, pending = list[bool](), [node.index]
        while pending:
            i = pending.pop()
            for user in (graph.nodes[k] for k in graph.consumers[i] if not graph.nodes[k].scope.backward):
                if user.op is not None and user.op.kind == "movement":
                    pending.append(user.index)
                else:
                    readers.append(_compares(graph, user, i))
        if readers and all(readers):
            found.add(node.index)
    return found


def _compares(graph: Graph, user: Node, target: int) -> bool:
    if user.op is None or len(user.sources) < 2:
        return False
    if user.op.name == "cross_entropy":
        return user.sources[1] == target
    return user.op.name == "sub" and user.requires_grad and _only_judged(graph, user)


def after_losses(feeds: Sequence[Sequence[tuple[int, int]]], roles: Sequence[str]) -> set[int]:
    """Nodes computed from a loss: the running sum of all steps' losses, which is no recurrence."""
    found: set[int] = set()
    for target, pairs in enumerate(feeds):
        if any(roles[source] == "loss" or source in found for _, source in pairs):
            found.add(target)
    return found


def after_gradients(graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]]) -> set[int]:
    """Nodes computed from the backward pass that are no part of it: clipping, and the optimizer's update."""
    found: set[int] = set()
    for node in graph.nodes:
        made_of_gradients = any(
            graph.nodes[source].scope.backward or source in found for _, source in feeds[node.index]
        )
        if made_of_gradients and not node.scope.backward:
            found.add(node.index)
    return found


def recurrent_paths(graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]], unseen: set[int]) -> set[Path]:
    """Scopes whose values at one time step are computed from their values at another, or are called states.

    What is called one around a scope that has states of its own is made of them.
    """
    found, called = set[Path](), set[Path]()
    for node in graph.nodes:
        if node.op is None or node.scope.step is None or node.index in unseen:
            continue
        if node.role in STATES:
            called.add(node.scope.path)
        for _, source in feeds[node.index]:
            other = graph.nodes[source]
            if (
                other.op is not None
                and other.scope.path == node.scope.path
                and other.scope.step not in (None, node.scope.step)
            ):
                found.add(node.scope.path)
    return found | {path for path in called if not any(p != path == p[: len(path)] for p in found)}


def initial_states(
    graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]], names: Sequence[Key]
) -> dict[tuple[int, int], int | None]:
    """(node, user) where a node stands in for the state that a step has from the step before: in the first step.

    With each the state that the user has instead in another step, if one is found.
    """
    place = {(names[n.index], n.scope.step): n.index for n in graph.nodes if n.scope.step is not None}
    steps: dict[Key, set[int]] = defaultdict(set)
    for name, at in place:
        steps[name].add(at)
    neighbours = {name: _neighbours(sorted(own)) for name, own in steps.items()}
    found: dict[tuple[int, int], int | None] = {}
    for node in graph.nodes:
        step = node.scope.step
        if step is None:
            continue
        for slot, source in feeds[node.index]:
            if graph.nodes[source].is_parameter and graph.nodes[source].role not in STATES:
                continue
            origin = graph.nodes[source]
            if origin.role == "x":
                continue  # an output fed back comes in where the first input did
            came_from = origin.scope.path if origin.op is not None and origin.scope.step is not None else None
            if came_from == node.scope.path:
                continue  # a state carried on
            for neighbour in neighbours[names[node.index]].get(step, ()):
                carried = dict(feeds[place[names[node.index], neighbour]]).get(slot)
                if carried is not None and carried != source:
                    state = graph.nodes[carried]
                    path = state.scope.path
                    fed_back = path != came_from and state.role in STATES  # by another cell
                    if state.op is not None and state.scope.step == step and (path == node.scope.path or fed_back):
                        found[source, node.index] = carried
            if graph.nodes[source].role in STATES and graph.nodes[source].scope.step is None:
                found.setdefault((source, node.index))
    return found


def times_before_the_first(
    graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]], names: Sequence[Key], initial: Collection[tuple[int, int]]
) -> dict[int, int]:
    """For each initial state the time that it stands for, where that is before 0: what a skip connection reads first.

    Told by how many steps before its use the state is that the same operation reads in another step.
    """
    alike: dict[Key, list[int]] = defaultdict(list)
    for node in graph.nodes:
        alike[names[node.index]].append(node.index)
    latest: dict[int, int] = {}
    for source, user in initial:
        path, step = graph.nodes[user].scope.path, graph.nodes[user].scope.step
        steps = sorted({other for i in alike[names[user]] if (other := graph.nodes[i].scope.step) is not None})
        for slot, other in ((k, i) for k, s in feeds[user] if s == source for i in alike[names[user]]):
            carried, now = graph.nodes[dict(feeds[other]).get(slot, user)], graph.nodes[other].scope.step
            then = carried.scope.step
            if carried.op is None or carried.scope.path != path or step is None or now is None or then in (None, now):
                continue
            if then not in steps:
                continue
            position = steps.index(step) if then < now else steps[::-1].index(step)
            apart = abs(steps.index(now) - steps.index(then))  # a cell that rests at some steps counts its own
            latest[source] = max(latest.get(source, -len(steps)), position + 1 - apart)
            break
    return {source: time for source, time in latest.items() if time < 0}


def _neighbours(steps: Sequence[int]) -> dict[int, list[int]]:
    """The step after each step, and the step before it."""
    return {
        step: [other for k in (at + 1, at - 1) if 0 <= k < len(steps) for other in [steps[k]]]
        for at, step in enumerate(steps)
    }


def segments(
    graph: Graph,
    feeds: Sequence[Sequence[tuple[int, int]]],
    initial: Collection[tuple[int, int]],
    recurrent: set[Path],
    names: Sequence[Key],
) -> list[int | None]:
    """Per node which pass over a sequence it belongs to (None: it has no time step)."""
    order: dict[Path, int] = dict.fromkeys(recurrent, 0)
    gathered = _gathered(graph, feeds, recurrent)
    for _ in order:
        for node in graph.nodes:
            here, step = node.scope.path, node.scope.step
            for _, source in feeds[node.index] if here in order else ():
                for there, last in gathered.get(source, {}).items():
                    if there != here and step is not None and last > step:
                        order[here] = min(max(order[here], order[there] + 1), len(order))
            for _, source in feeds[node.index]:
                other = graph.nodes[source]
                here, there = node.scope.path, other.scope.path
                if (
                    here == there
                    or here not in order
                    or there not in order
                    or other.scope.step is None
                    or node.scope.step is None
                ):
                    continue
                after = (source, node.index) in initial or other.scope.step > node.scope.step
                order[here] = min(max(order[here], order[there] + after), len(order))
    result: list[int | None] = [None] * len(graph)
    kin: dict[Path, int | None] = {path: _kin(path, order) for path in {n.scope.path for n in graph.nodes}}
    for node in graph.nodes:
        if node.scope.step is not None:
            known = [s for _, source in feeds[node.index] if (s := result[source]) is not None]
            own = kin[node.scope.path]
            result[node.index] = own if own is not None else max(known, default=None)
    _with_their_twins(graph, result, kin, names)
    users = consumers(feeds)
    for node in reversed(graph.nodes):
        if node.scope.step is not None and result[node.index] is None:
            result[node.index] = min((s for u in users[node.index] if (s := result[u]) is not None), default=0)
    return result


def _with_their_twins(
    graph: Graph, found: list[int | None], kin: Mapping[Path, int | None], names: Sequence[Key]
) -> None:
    """Count nodes outside of a cell in a pass's first step to that pass, as those of its later steps are.

    There it reads a state of that pass, in the first step maybe one that an earlier pass has left.
    """
    alike: dict[Key, list[int]] = defaultdict(list)
    for node in graph.nodes:
        if node.scope.step is not None and kin[node.scope.path] is None and found[node.index] is not None:
            alike[names[node.index]].append(node.index)
    for twins in alike.values():
        first, *later = sorted(twins, key=lambda i: graph.nodes[i].scope.step or 0)
        passes = {found[i] for i in later}
        if len(passes) == 1 and (found[first] or 0) < (at := passes.pop() or 0):
            found[first] = at


def _gathered(
    graph: Graph, feeds: Sequence[Sequence[tuple[int, int]]], recurrent: set[Path]
) -> dict[int, dict[Path, int]]:
    """Per node outside of the cells those that it is made of, and the last step of each, such as a memory of all."""
    found: dict[int, dict[Path, int]] = {}
    for node in graph.nodes:
        if node.scope.path in recurrent or node.op is None or node.scope.backward:
            continue
        own: dict[Path, int] = {}
        for _, source in feeds[node.index]:
            path, step = graph.nodes[source].scope.path, graph.nodes[source].scope.step
            told = {path: step} if path in recurrent and step is not None else found.get(source, {})
            for there, last in told.items():
                own[there] = max(last, own.get(there, -1))
        if own:
            found[node.index] = own
    return found


def alike_in_all_steps(
    graph: Graph, numbers: Mapping[int, int], columns: Mapping[int, Column | None]
) -> dict[int, int]:
    """``numbers`` (by node which of its step's inputs it is), the same in all steps for what is read from one place.

    That is the same data, or inputs of the same cell: where a step has fewer inputs than others (of two sequences the
    shorter one is at its end), those it has keep their numbers. A step that reads one place twice changes nothing.
    """
    places = dict[int, Hashable]()
    for i in numbers:
        node, readers = graph.nodes[i], graph.consumers[i]
        places[i] = node.sources[:1] if node.op is getitem else graph.nodes[readers[0]].scope.path if readers else ()
    largest = dict[Hashable, int]()
    for i, place in places.items():
        largest[place] = max(numbers[i], largest.get(place, 0))
    found = {i: largest[places[i]] for i in numbers}
    apart = len({(columns[i], number) for i, number in numbers.items()})
    return found if len({(columns[i], number) for i, number in found.items()}) == apart else dict(numbers)


def consumers(feeds: Sequence[Sequence[tuple[int, int]]]) -> list[list[int]]:
    """Per node, the nodes that use it."""
    users: list[list[int]] = [[] for _ in feeds]
    for target, pairs in enumerate(feeds):
        for _, source in pairs:
            users[source].append(target)
    return users


def _kin(path: Path, order: dict[Path, int]) -> int | None:
    """The pass of the recurrent scopes that share the longest beginning with ``path``, if they agree."""
    shared: dict[int, set[int]] = defaultdict(set)
    for other, segment in order.items():
        length = next((i for i, (a, b) in enumerate(zip(path, other)) if a != b), min(len(path), len(other)))
        shared[length].add(segment)
    longest = max(shared, default=0)
    return next(iter(shared[longest])) if longest and len(shared[longest]) == 1 else None
