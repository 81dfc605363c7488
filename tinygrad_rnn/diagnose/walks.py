"""One true walk, kept; and walks with an edit, which follow only what the edit changes.

A reverse walk is linear in the upstream gradient. So the difference an edit makes is itself walked back: it starts
where the edit is, and nodes that no difference reaches are not visited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backward import _fitted
from ..check.walked import Walked, replay, walked
from ..errors import GraphError
from ..graph import Graph, Node, Ref
from ..tensor import Array, Tensor

Use = tuple[int, int]  #: a node, and which operand of it
Rule = Callable[["Record", Node, int, Array], Array]  #: what an edited use sends, from its node's gradient
Rewrite = Callable[[Mapping[int, Array]], Array]  #: a leaf's gradient as written down, from those of all leaves
#: far below rounding, so that its square vanishes
TINY = 1e-100


@dataclass(eq=False)
class Edit:
    """One mistake: uses that follow another rule, saved values that are others, leaves written down wrongly."""

    words: str  #: what a student reads
    uses: dict[Use, Rule] = field(default_factory=dict, repr=False)
    values: dict[int, Array] = field(default_factory=dict, repr=False)  #: by node: what it was taken to be
    leaves: dict[int, Rewrite] = field(default_factory=dict, repr=False)
    cost: float = 1.0  #: the less, the more likely it is named first

    def together(self, other: Edit) -> Edit | None:
        """Both mistakes; None where they are at one place."""
        for mine, theirs in ((self.uses, other.uses), (self.values, other.values), (self.leaves, other.leaves)):
            if set(mine) & set(theirs):
                return None
        return Edit(
            f"{self.words}\nAnd: {other.words}", self.uses | other.uses, self.values | other.values,
            self.leaves | other.leaves, self.cost + other.cost,
        )  # fmt: skip


class Record:
    """The computation in double precision, its values, and its true walk."""

    def __init__(self, loss: Tensor) -> None:
        if loss.numel() != 1 or not loss.requires_grad:
            raise GraphError("diagnose: the loss is one number that depends on a leaf with requires_grad=True")
        original = Graph(loss)
        tensors = replay(original)
        self.output = tensors[original.outputs[0]]
        self.graph = Graph(self.output)
        self.original = original
        self.nodes = self.graph.nodes
        self.truth: Walked = walked(self.graph, [self.output], [np.ones(self.output.shape)])
        self.values: list[Any] = [node.value for node in self.nodes]
        self.users: list[list[Use]] = [[] for _ in self.nodes]
        for source, target, slot in self.graph.edges:
            self.users[source].append((target, slot))

    def scale(self, leaf: int) -> float:
        """The norm of all that was added up to a leaf's gradient, cancellation undone."""
        parts = [np.abs(self.truth.contributions[use]) for use in self.users[leaf] if use in self.truth.contributions]
        return float(np.linalg.norm(np.ravel(sum(parts)))) if parts else 0.0

    def pull(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """What a use sends by the true rule, perhaps with other saved values; in the target's shape."""
        return np.asarray(_fitted(np.asarray(self.raw(node, slot, g, changed)), self.target(node, slot)))

    def raw(self, node: Node, slot: int, g: Array, changed: Mapping[int, Array] | None = None) -> Array:
        """Like `pull`, before un-broadcasting."""
        values = changed or {}
        operands = [
            values.get(x.index, self.values[x.index]) if isinstance(x, Ref) else x for x in node.operands
        ]  # fmt: skip
        assert node.op is not None
        y = values.get(node.index, self.values[node.index])
        return np.asarray(node.op.pull(slot, g, y, operands, node.attrs))

    def target(self, node: Node, slot: int) -> Any:
        """The value of an operand."""
        operand = node.operands[slot]
        return self.values[operand.index] if isinstance(operand, Ref) else operand

    def differences(self, edit: Edit) -> dict[int, Array]:
        """By leaf, what the edited walk gives more than the true one; leaves that stay right are left out."""
        found: dict[int, Array] = {}
        touched = {node for node, _ in edit.uses}
        for index in edit.values:
            touched |= {index, *(user for user, _ in self.users[index])}
        for node in reversed(self.nodes):
            index = node.index
            moved = found.get(index)
            if node.op is None or (moved is None and index not in touched) or index not in self.truth.gradients:
                continue
            gradient = self.truth.gradients[index] if moved is None else self.truth.gradients[index] + moved
            for slot, operand in enumerate(node.operands):
                sent = self.truth.contributions.get((index, slot))
                if sent is None or not isinstance(operand, Ref):
                    continue
                rule = edit.uses.get((index, slot))
                if rule is not None:
                    change = rule(self, node, slot, gradient) - sent
                elif index in touched:
                    change = self.pull(node, slot, gradient, edit.values) - sent
                else:
                    assert moved is not None
                    change = self.pull(node, slot, moved)
                before = found.get(operand.index)
                found[operand.index] = change if before is None else before + change
        if edit.leaves:
            whole = {n.index: self.gradient(n.index) + found.get(n.index, 0.0) for n in self.graph.parameters}
            for leaf, rewrite in edit.leaves.items():
                found[leaf] = np.asarray(rewrite(whole)) - self.gradient(leaf)
        return {leaf.index: found[leaf.index] for leaf in self.graph.parameters if leaf.index in found}

    def gradient(self, leaf: int) -> Array:
        """The true gradient of a leaf."""
        return np.asarray(self.truth.gradients.get(leaf, np.zeros(self.nodes[leaf].shape)))

    def tangents(self, directions: Mapping[int, Array]) -> list[Array] | None:
        """How every node moves when leaves move: one complex step; None where a reference takes no complex values."""
        feeds = {self.nodes[leaf]: self.values[leaf] + 1j * TINY * v for leaf, v in directions.items()}
        try:
            return [np.imag(x) / TINY for x in self.graph.values(feeds, reference=True)]
        except (TypeError, ValueError, GraphError):
            return None
