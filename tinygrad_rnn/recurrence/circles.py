"""Circles in a directed graph: groups of nodes each of which leads to all the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def circles_of(edges: Mapping[T, Collection[T]]) -> list[set[T]]:
    """Strongly connected components that have an edge inside, in the order of their first nodes in ``edges``.

    Two depth-first passes (S. R. Kosaraju's; M. Sharir 1981): what comes last in the first one leads to all others, so
    what can be reached from it against the edges is on a circle with it.

    >>> [sorted(circle) for circle in circles_of({"a": "b", "b": "c", "c": "b", "d": "d"})]
    [['b', 'c'], ['d']]
    """
    against: dict[T, list[T]] = defaultdict(list)
    for node, others in edges.items():
        for other in others:
            against[other].append(node)
    seen: set[T] = set()
    order = [node for root in edges for node in _reached(root, edges, seen)]
    seen = set()
    groups = [set(_reached(root, against, seen)) for root in reversed(order)]
    first = {node: k for k, node in enumerate(edges)}
    circles = [group for group in groups if any(other in group for node in group for other in edges.get(node, ()))]
    return sorted(circles, key=lambda circle: min(first[node] for node in circle))


def _reached(root: T, edges: Mapping[T, Collection[T]], seen: set[T]) -> list[T]:
    """The nodes that ``root`` leads to and were not seen yet, itself included: each after all reached through it."""
    if root in seen:
        return []
    order: list[T] = []
    seen.add(root)
    work = [(root, iter(edges.get(root, ())))]
    while work:
        node, following = work[-1]
        for other in following:
            if other not in seen:
                seen.add(other)
                work.append((other, iter(edges.get(other, ()))))
                break
        else:
            order.append(node)
            work.pop()
    return order
