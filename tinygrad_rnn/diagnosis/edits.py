"""All candidate edits of a walk, made from the graph and the primitives' rules; no network is known by name."""

from __future__ import annotations

from collections.abc import Iterator

from .edit_context import Scene
from .edited_walks import Edit
from .edits_of_accumulation import of_accumulation
from .edits_of_detached import of_detached
from .edits_of_gradients import of_gradients
from .edits_of_leaves import of_leaves
from .edits_of_loops import of_loops
from .edits_of_numbers import of_numbers
from .edits_of_paths import of_paths
from .edits_of_positions import of_positions
from .edits_of_saved_values import of_saved_values
from .edits_of_stale_values import of_stale_values
from .edits_of_states import of_states
from .edits_of_the_loss import of_the_loss
from .edits_of_uses import of_uses
from .edits_of_values import of_values
from .edits_read_off import read_off

OF_RULES = (of_leaves, of_uses, of_values, of_stale_values, of_numbers, of_positions, of_paths, of_the_loss)
OF_LOOPS = (of_loops, of_states, of_detached, of_saved_values, of_gradients, of_accumulation, read_off)


def candidates(scene: Scene) -> Iterator[Edit]:
    """Every candidate edit, and those made at all places that are alike; `Scene.told` names the values in its words."""
    for kind in (*OF_RULES, *OF_LOOPS):
        for edit in scene.attempts.items(kind(scene)):
            scene.alike.note(edit)
            yield edit
    yield from scene.alike.together()
