"""Whether a picture has every operand of what it draws, asked of the graph itself and not of what was made of it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tinygrad_rnn.graph import Ref
from viz.graph.time_columns import targets


def undrawn(level):
    """Every operand of a drawn node that is neither in its box nor in one that a line leads from, in words.

    What has no box only moves values: its own operands count instead. Of data a box may stand for an element that is
    read, and so may another that reads the same; other data has a box of its own, but for what a loss is measured by.
    """
    nodes = level.graph.nodes
    owners = defaultdict(set)
    for k, box in enumerate(level.boxes):
        for i in box.members:
            owners[i].add(k)
    ends = {(e.source, e.target) for e in level.edges}

    def is_near(a, b):
        return a == b or (a, b) in ends or (a, level.makers.get(b, b)) in ends or level.makers.get(b) == a

    def is_brought(i, b):
        node = nodes[i]
        if owners[i]:
            return any(is_near(a, b) for a in owners[i])
        if node.op is None:
            return level.boxes[b].kind == "x" and not node.is_parameter
        if node.op.name == "getitem" and any(is_brought(k, b) for k in alike(node)):
            return True
        found = [is_brought(source, b) for source in node.sources]
        return any(found) if node.op.name in ("getitem", "take") else all(found)

    def alike(node):
        source = nodes[node.sources[0]]
        readers = level.graph.consumers[source.index] if source.op is None else []
        own = node.sources, repr(node.attrs), node.scope.step
        return [
            k for k in readers if owners[k] and own == (nodes[k].sources, repr(nodes[k].attrs), nodes[k].scope.step)
        ]

    found = [
        f"#{x.index}, operand {slot} of #{node.index} in {level.boxes[b].key}"
        for node in nodes
        for b in owners[node.index]
        for slot, x in enumerate(node.operands)
        if isinstance(x, Ref) and level.boxes[b].kind != "parameter" and not is_brought(x.index, b)
    ]
    known = targets(level.graph)
    for box in level.boxes:
        for node in (nodes[i] for i in box.members if i != box.main and i not in known):
            data = node.op is None and node.dtype.kind == "f" and not node.requires_grad and np.size(node.value) > 1
            if data and node.value.any() and box.kind != "loss":
                found.append(f"#{node.index}, data, within {box.key}")
    return found
