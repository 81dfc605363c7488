"""The passes over a graph before it is lowered: each takes a graph and gives one that computes the same.

Every pass can be run, counted and drawn alone::

    graph = tg.compile(fn).trace(x).graph
    viz.render(passes.batch_products(graph))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...recurrence.loop import loop
from ..plan import Plan
from .batching import batch_products
from .cleanup import fold_constants, merge_equal, remove_dead, simplify
from .masked_choices import drop_unseen
from .recompute import recompute
from .schedule import delay
from .sums_over_time import sum_products
from .table_lookups import use_tables
from .two_threads import split_batch

Pass = Callable[[Plan], Plan]

#: in the order they run: sums come before batching, which would tie the terms of different sums together
PASSES: tuple[Pass, ...] = (
    remove_dead,
    recompute,
    fold_constants,
    simplify,
    merge_equal,
    drop_unseen,
    sum_products,
    batch_products,
    simplify,
    use_tables,
    simplify,
    merge_equal,
    fold_constants,
    remove_dead,
    split_batch,
    delay,
)


#: those that make a loop's body better, which is one step by itself
OF_BODIES: tuple[Pass, ...] = (
    remove_dead,
    fold_constants,
    simplify,
    merge_equal,
    drop_unseen,
    sum_products,
    simplify,
    merge_equal,
    fold_constants,
    remove_dead,
    delay,
)


class Applied(NamedTuple):
    """The effect of a pass."""

    name: str
    before: int  #: nodes
    after: int


def optimize(graph: Plan, threads: int = 1, sparing: bool = False) -> tuple[Plan, list[Applied]]:
    """All passes, and what each did to the number of nodes. ``sparing``: with memory."""
    applied = []
    rolled = any(node.op is loop for node in graph.nodes)  # which is one thread's
    for rewrite in PASSES:
        if (rewrite is split_batch and (threads == 1 or rolled)) or (rewrite is recompute and not sparing):
            continue
        before = len(graph)
        graph = rewrite(graph)
        applied.append(Applied(rewrite.__name__, before, len(graph)))
    return graph, applied
