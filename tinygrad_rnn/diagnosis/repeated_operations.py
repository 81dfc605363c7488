"""Families: the same operation at the same place of the repeated step, over all time steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from ..graph import Graph, Node, Ref
from ..primitives import broadcast_to

#: of mistakes that are made every few steps: how many at most
MOST_APART = 4
#: of more than this, what has no step is not that of layers
MOST_ALIKE = 6


def families(graph: Graph, made_at: Sequence[Any]) -> list[list[Node]]:
    """All computed nodes, grouped by their place in the step; a node that occurs once is a family of one.

    ``made_at``: by node the instruction of the program, if it is known. It tells apart two states that one line
    computes, of which the last step may have only one.
    """
    uses: dict[int, list[int | None]] = defaultdict(list)
    for source, target, _ in graph.edges:
        uses[source].append(graph.nodes[target].scope.step)
    made: dict[Any, set[Any]] = defaultdict(set)
    for node in graph.nodes:  # of several in a row, as of a comprehension, only the last has its instruction
        made[_place(node)] |= {made_at[node.index]} - {None}
    groups: dict[Any, list[Node]] = defaultdict(list)
    seen: dict[Any, int] = defaultdict(int)
    for node in graph.nodes:
        if node.op is None:
            continue
        weights = tuple(_weight(graph, x, uses) for x in node.operands)
        key: tuple[Any, ...] = (_place(node), weights)
        if node.scope.step is not None:  # several alike in one step are told apart by their order
            key = (*key, made_at[node.index] if len(made[_place(node)]) > 1 else None)
            at = (key, node.scope.step)
            key = (*key, seen[at])
            seen[at] += 1
        groups[key].append(node)
    stepped = np.cumsum([node.scope.step is not None for node in graph.nodes])
    found: list[list[Node]] = []
    for group in groups.values():
        # what has no step, and a loop between, belongs to layers walked by lines of their own
        read = {tuple(i for i in node.sources if graph.nodes[i].requires_grad) for node in group}
        apart = len(group) <= MOST_ALIKE and len(read) > 1  # of one value, they are as the taps of a convolution
        apart = apart and all(stepped[one.index] < stepped[two.index] for one, two in pairwise(group))
        found += [[node] for node in group] if apart and group[0].scope.step is None else [group]
    return sorted(found, key=lambda family: family[0].index)


def with_ends(graph: Graph) -> Graph:
    """``graph``, with an incomplete last step counted as a step, such as a decoder's last one without a new state.

    Its operations stand on the lines of the steps before, after them, and are computed from one another as theirs are.
    So a loss of the last state, computed by the function that gives each step's loss, does not become a step.
    """
    known: dict[Any, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op is not None and node.scope.step is not None and node.site:
            known[_line(node)].append(node)
    nodes, twins = list(graph.nodes), dict[int, Node]()
    for node in graph.nodes:
        alike = known.get(_line(node), []) if node.scope.step is None else []
        last = max((twin.scope.step or 0 for twin in alike), default=0)
        alike = [twin for twin in alike if twin.scope.step == last and twin not in twins.values()]
        twin = next((t for t in alike if last and t.index < node.index and _made_alike(graph, node, t, twins)), None)
        if twin is not None:
            twins[node.index] = twin
            nodes[node.index] = replace(node, scope=twin.scope._replace(step=last + 1), role=node.role or twin.role)
    return Graph.of(nodes, graph.outputs)


def with_steps_of_readers(graph: Graph) -> Graph:
    """``graph``, with values made between two loops, such as a layer's outputs, counted to the steps that read them.

    Every value of such a list is read at one step, and others, computed on the same line, are read at others.
    """
    steps: dict[Any, dict[int, int]] = defaultdict(dict)
    for node in graph.nodes:
        read = {graph.nodes[k].scope.step for k in graph.consumers[node.index]} - {None}
        if node.op is not None and node.scope.step is None and node.site and len(read) == 1:
            steps[_line(node)][node.index] = read.pop() or 0
    found = {i: t for made in steps.values() if len(set(made.values())) > 1 for i, t in made.items()}
    nodes = [replace(n, scope=n.scope._replace(step=found.get(n.index, n.scope.step))) for n in graph.nodes]
    return Graph.of(nodes, graph.outputs)


def with_live_beginnings(graph: Graph, made_at: Mapping[int, Any]) -> Graph:
    """``graph``, with gradients for initial states that are constants, so that a mistake can send to them.

    An initial state is what the first step reads where the other steps read a computed value. ``made_at``: by serial
    number the program's instruction.
    """
    read: dict[Any, list[int]] = defaultdict(list)
    for node in graph.nodes:
        for slot, x in enumerate(node.operands):
            if isinstance(x, Ref) and node.serial in made_at:
                read[made_at[node.serial], node.op and node.op.name, slot].append(x.index)
    nodes, live = list(graph.nodes), set[int]()
    for indices in read.values():
        constant = [nodes[i].op is None and not nodes[i].requires_grad for i in indices]
        later = {nodes[i].shape for i in indices if nodes[i].op is not None and nodes[i].requires_grad}
        runs = [list(run) for _, run in groupby(range(len(indices)), key=constant.__getitem__)]
        begin = {
            indices[k] for run in runs[:-1] if constant[run[0]] for k in run
        }  # each is followed by what is computed
        known = {np.asarray(nodes[i].value).tobytes() for i in indices[: len(runs[0])]}
        same = all(np.asarray(nodes[i].value).tobytes() in known for i in begin)  # else it may have been detached
        if begin and same and constant[0] and not constant[-1] and {nodes[i].shape for i in begin} <= later - {()}:
            live |= begin
    for node in graph.nodes:
        if node.index in live or any(nodes[i].requires_grad for i in node.sources):
            nodes[node.index] = replace(node, requires_grad=True)
    return Graph.of(nodes, graph.outputs)


def _made_alike(graph: Graph, node: Node, twin: Node, twins: Mapping[int, Node]) -> bool:
    """Whether ``node`` is computed from the twins of the values that ``twin`` reads of its own step."""
    for x, y in zip(node.operands, twin.operands, strict=True):
        theirs = graph.nodes[y.index] if isinstance(y, Ref) else None
        if theirs is not None and theirs.op is not None and theirs.scope.step == twin.scope.step:
            mine = twins.get(x.index) if isinstance(x, Ref) else None
            if mine is None or mine.index != theirs.index:
                return False
    return True


def with_all_rows(graph: Graph, made_at: Mapping[int, Any]) -> Graph:
    """``graph``, with initial states of one row that are broadcast over a batch repeated to as many rows.

    ``made_at``: by serial number the program's instruction, which tells an initial state from a bias.
    """
    read: dict[Any, set[int]] = defaultdict(set)
    for node in graph.nodes:
        for slot, x in enumerate(node.operands):
            if isinstance(x, Ref) and node.serial in made_at:
                read[made_at[node.serial], node.op and node.op.name, slot].add(x.index)
    carried = [indices for indices in read.values() if any(graph.nodes[index].op is not None for index in indices)]
    first = {index for indices in carried for index in indices}  # layers in a loop read a bias each, and nothing else
    nodes, repeated = list(graph.nodes), dict[int, int]()
    for leaf in graph.nodes:
        if leaf.op is not None or len(leaf.shape) not in (1, 2) or leaf.shape[:-1] not in ((), (1,)):
            continue
        wide = {leaf.index}
        pending, rows = [leaf.index], set[int]()
        while pending:
            row = pending.pop()
            for user in (nodes[k] for k in graph.consumers[row]):
                assert user.op is not None
                if (
                    user.op.kind == "contraction"
                    and user.operands[0] == Ref(row)
                    and user.shape[:-1] == leaf.shape[:-1]
                ):
                    wide.add(user.index)
                    pending.append(user.index)
                else:
                    rows.add(user.shape[0] if user.op.elementwise and len(user.shape) == 2 else 0)
        begins = len(leaf.shape) == 2 or len(wide) > 1 or leaf.index in first  # else a bias
        count = rows.pop() if len(rows) == 1 and begins else 0
        if count > 1 and all(n.sources[:1] == (leaf.index,) for n in map(nodes.__getitem__, wide - {leaf.index})):
            if leaf.requires_grad:
                repeated[leaf.index] = count
            for index in wide - set(repeated):
                whole = (count, nodes[index].shape[-1])
                value = np.broadcast_to(np.asarray(nodes[index].value), whole).copy()
                nodes[index] = replace(nodes[index], shape=whole, value=value)
    for index in reversed(repeated):  # a learned one is repeated by an operation, as NumPy's repeat does
        nodes = _with_repeated(nodes, index, repeated[index])
    shift = len(nodes) - len(graph)
    return Graph.of(nodes, [index + shift for index in graph.outputs])


def _with_repeated(nodes: Sequence[Node], at: int, count: int) -> list[Node]:
    """``nodes``, with the leaf at ``at`` repeated to ``count`` rows for everything that reads it."""

    def moved(x: Any) -> Any:
        return Ref(x.index + (x.index >= at)) if isinstance(x, Ref) else x

    leaf = nodes[at]
    shape = count, leaf.shape[-1]
    rows = replace(
        leaf,
        index=at + 1,
        op=broadcast_to,
        operands=(Ref(at),),
        attrs={"shape": shape},
        shape=shape,
        serial=-2 - at,
        value=np.broadcast_to(np.asarray(leaf.value), shape),
        name=None,
        role=leaf.role or (leaf.name and f"repeated {leaf.name}"),
    )
    after = [replace(n, index=n.index + 1, operands=tuple(map(moved, n.operands))) for n in nodes[at + 1 :]]
    return [*nodes[: at + 1], rows, *after]


def _line(node: Node) -> tuple[Any, ...]:
    return (node.op.name if node.op else "", node.site, node.shape, len(node.operands))


def _place(node: Node) -> tuple[Any, ...]:
    # of packed sequences fewer rows go on
    shape = node.shape if node.scope.step is None else (len(node.shape), node.shape[1:])
    return (node.op.name if node.op else "leaf", node.scope.path, node.scope.part, node.role, node.site, shape)


def _weight(graph: Graph, x: Any, uses: Mapping[int, Sequence[int | None]]) -> Any:
    """The index of an operand that is a weight of several steps; None for other nodes, the type of a constant."""
    if not isinstance(x, Ref):
        return type(x)
    node, steps = graph.nodes[x.index], uses[x.index]
    several = len(set(steps)) > 1 or (len(steps) > 1 and steps[0] is None)
    return x.index if node.op is None and node.requires_grad and several and not node.role else None


def times(count: int, *, windows: bool = False) -> Iterator[tuple[str, list[int], float]]:
    """Sets of steps a mistake may be made at, of ``count``: words, positions, cost."""
    every = list(range(count))
    if count == 1:
        yield "Once", every, 1.0
        return
    yield "At every step", every, 1.0
    for t in every:
        ends = {0: "At the first step only", count - 1: "At the last step only"}
        words = ends.get(t, f"At one step only (step {t + 1} of {count})")
        yield words, [t], 1.2
    if not windows:
        return
    for t in every if count > 2 else ():
        words = "the first" if t == 0 else "the last" if t == count - 1 else f"step {t + 1}"
        yield f"At every step but {words}", [s for s in every if s != t], 1.4
    for t in range(2, count - 1):
        yield f"Up to step {t} of {count}, counted from the first", every[:t], 1.6
        yield f"From step {t + 1} of {count} on", every[t:], 1.6


def every_few(count: int) -> Iterator[tuple[str, list[int], float]]:
    """Sets of steps as in `times`, a few steps apart from each other."""
    for few in range(2, min(MOST_APART, count - 1) + 1):
        for some in (list(range(first, count, few)) for first in range(few)):
            if len(some) > 1:
                yield f"Every {few} steps (steps {', '.join(str(t + 1) for t in some)} of {count})", some, 1.6
