"""The edits of a walk, made from the graph and the primitives' rules: nothing here knows a network by name."""

from __future__ import annotations

from collections.abc import Iterator

from .edit_context import Scene
from .edited_walks import Edit
from .edits_of_leaves import of_leaves
from .edits_of_paths import of_paths
from .edits_of_states import of_states
from .edits_of_uses import of_uses


def candidates(scene: Scene) -> Iterator[Edit]:
    """All of them, in an order that does not matter."""
    yield from of_leaves(scene)
    yield from of_uses(scene)
    yield from of_paths(scene)
    yield from of_states(scene)
