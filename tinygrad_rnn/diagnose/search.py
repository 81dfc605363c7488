"""From given gradients to the edits that give them: sketches first, walks for what passes, pairs by what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Ref
from ..tensor import Array
from .candidates import Candidates
from .precision import allowed
from .walks import Edit, Record

#: a sketch is one number a leaf; of more leaves, those with the largest gradients are sketched one by one
SKETCHED = 12
#: how far a sketch may be off what it should be, beyond what the digits allow: the walk decides
SLACK = 1e-8
#: pairs that are walked to the end, at most
PAIRS = 400


@dataclass(eq=False)
class Tried:
    """A candidate, and what it changes: by leaf, or in sketch only."""

    edit: Edit
    sketch: Array
    walked: dict[int, Array] | None


class Search:
    """One record, and the gradients somebody gave (by leaf, in double precision)."""

    def __init__(self, record: Record, given: Mapping[int, Array], progress: Callable[[int, int], None] | None) -> None:
        self.record, self.given, self.progress = record, given, progress
        self.limits = {
            leaf: allowed(g, record.scale(leaf) + float(np.linalg.norm(np.ravel(g)))) for leaf, g in given.items()
        }
        self.wanted = {leaf: np.asarray(g, np.float64) - record.gradient(leaf) for leaf, g in given.items()}
        rng = np.random.default_rng(0)
        self.directions = {leaf: np.asarray(rng.standard_normal(g.shape)) for leaf, g in given.items()}
        ranked = sorted(given, key=lambda leaf: -float(np.linalg.norm(record.gradient(leaf))))
        self.row = {leaf: min(k, SKETCHED - 1) for k, leaf in enumerate(ranked)}
        self.rows = min(len(ranked), SKETCHED)
        self.target = self.sketched(self.wanted)
        self.slack = np.zeros(self.rows)
        for leaf, row in self.row.items():
            length = float(np.linalg.norm(self.directions[leaf]))
            size = record.scale(leaf) + float(np.linalg.norm(self.wanted[leaf]))
            self.slack[row] += length * (self.limits[leaf] + SLACK * size)
        self.tangents: list[list[Array]] = []
        for row in range(self.rows):
            moved = record.tangents({leaf: v for leaf, v in self.directions.items() if self.row[leaf] == row})
            if moved is None:
                self.tangents = []
                break
            self.tangents.append(moved)
        self.tried: list[Tried] = []

    def sketched(self, differences: Mapping[int, Array]) -> Array:
        """Leaves' differences as a few numbers."""
        result = np.zeros(self.rows)
        for leaf, row in self.row.items():
            if leaf in differences:
                result[row] += np.vdot(self.directions[leaf], differences[leaf])
        return result

    def right(self, differences: Mapping[int, Array]) -> dict[int, bool]:
        """By leaf, whether an edit of these differences gives what was given."""
        return {
            leaf: bool(np.linalg.norm(np.ravel(wanted - differences.get(leaf, 0.0))) <= self.limits[leaf])
            for leaf, wanted in self.wanted.items()
        }

    def agreement(self, differences: Mapping[int, Array]) -> float:
        """The largest difference that is left, relative to the leaf's gradient, normwise."""
        worst = 0.0
        for leaf, wanted in self.wanted.items():
            rest = float(np.linalg.norm(np.ravel(wanted - differences.get(leaf, 0.0))))
            worst = max(
                worst, rest / (float(np.linalg.norm(np.ravel(self.given[leaf]))) or self.record.scale(leaf) or 1)
            )
        return worst

    def singles(self) -> list[Tried]:
        """Single edits that give all the numbers, each verified by its walk."""
        found = []
        edits = list(Candidates(self.record, self.agreement({}) < 1e-5))
        for k, edit in enumerate(edits):
            if self.progress is not None:
                self.progress(k, len(edits))
            tried = self.look(edit)
            if not np.any(tried.sketch):
                continue  # it changes nothing that was given
            self.tried.append(tried)
            if np.all(np.abs(tried.sketch - self.target) <= self.slack):
                tried.walked = self.record.differences(edit) if tried.walked is None else tried.walked
                if all(self.right(tried.walked).values()):
                    found.append(tried)
        return found

    def look(self, edit: Edit) -> Tried:
        """What an edit changes: by one scalar product a leaf where it is made at one use, else by a walk."""
        if self.tangents and len(edit.uses) == 1 and not edit.values and not edit.leaves:
            ((use, rule),) = edit.uses.items()
            node, truth = self.record.nodes[use[0]], self.record.truth
            operand = node.operands[use[1]]
            assert isinstance(operand, Ref)
            change = rule(self.record, node, use[1], truth.gradients[node.index]) - truth.contributions[use]
            return Tried(edit, np.array([np.vdot(t[operand.index], change) for t in self.tangents]), None)
        walked = self.record.differences(edit)
        return Tried(edit, self.sketched(walked), walked)

    def pairs(self) -> list[Tried]:
        """Two edits whose differences add up to what is wrong, verified by one walk with both."""
        if not self.tried:
            return []
        sketches = np.array([t.sketch for t in self.tried])
        scale = np.where(self.slack > 0, self.slack, 1.0)
        main = int(np.argmax(np.abs(self.target) / scale))
        order = np.argsort(sketches[:, main], kind="stable")
        line = sketches[order, main]
        found: list[Tried] = []
        looked = 0
        for a in sorted(range(len(self.tried)), key=lambda k: self.tried[k].edit.cost):
            rest = self.target - sketches[a]
            low, high = np.searchsorted(line, [rest[main] - 2 * scale[main], rest[main] + 2 * scale[main]])
            near = order[low:high]
            for b in near[np.all(np.abs(sketches[near] - rest) <= 2 * scale, axis=1)]:
                if b <= a or looked >= PAIRS:
                    continue
                looked += 1
                both = self.tried[a].edit.together(self.tried[b].edit)
                if both is None:
                    continue
                walked = self.record.differences(both)
                if all(self.right(walked).values()):
                    found.append(Tried(both, self.sketched(walked), walked))
        return found


def _norm(x: Array) -> float:
    return float(np.linalg.norm(np.ravel(x)))
