"""One value at every step, and what of it may stand at the places of other steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..tensors import Array

#: a value at these steps from where another belongs: words, by how many steps, what is beyond the ends, cost
MOVES = [
    ("", 0, "end", 0.0),
    (" of the step before", -1, "end", 0.05),
    (" of the step after", 1, "end", 0.05),
    (" of the step before, of the last at the first (index −1)", -1, "wrap", 0.1),
    (" of the step after, of the first at the last", 1, "wrap", 0.15),
    (" of the step before, 0 at the first", -1, "zero", 0.12),
    (" of the step after, 0 at the last", 1, "zero", 0.12),
    (" of two steps before", -2, "end", 0.2),
    (" of two steps after", 2, "end", 0.2),
    (" of two steps after, 0 at the last", 2, "zero", 0.22),
    (" of two steps before, of the last at the first (index −1)", -2, "wrap", 0.2),
    (" of the step before, of the last at the first state (index −1)", -1, "list", 0.12),
    (" of two steps after, the first state at the last", 2, "list", 0.22),
]


@dataclass(frozen=True, eq=False)
class Series:
    """One value at every step that has it."""

    name: str
    values: list[Array]  #: what stands for it before its first step comes first, if there is that
    before: int  #: 1 where that is so
    steps: tuple[int | None, ...]
    family: int | None = None  #: which of the families it is, if it is one

    def moved(self, places: Sequence[int], by: int, beyond: str) -> list[Array]:
        """The values ``by`` steps from ``places``; beyond the ends the nearest ("end"), the other end's, or 0.

        With "wrap" the other end is that of the steps; with "list" the initial state is in the list, too.
        """
        found, n = [], len(self.steps)
        for place in places:
            at = place + by
            if 0 <= at < n:
                found.append(self.values[self.before + at])
            elif at < 0 and self.before and beyond == "end":
                found.append(self.values[0])
            elif beyond == "zero":
                found.append(np.zeros_like(self.values[-1]))
            elif beyond == "list":
                found.append(self.values[(self.before + at) % len(self.values)])
            else:
                found.append(self.values[self.before + (at % n if beyond == "wrap" else min(max(at, 0), n - 1))])
        return found

    def variants(
        self, places: Sequence[int], near: bool, other_loop: bool = False
    ) -> Iterator[tuple[str, list[Array], float]]:
        """Values that may stand at ``places``: words, values, cost.

        ``near``: also those two steps away; ``other_loop``: also in reverse order, for a loop that may run backwards.
        """
        n = len(self.steps)
        if n == 1:
            yield self.name, self.moved(places, 0, "end"), 0.0
            return
        for words, by, beyond, cost in MOVES if near else MOVES[:3]:
            if beyond == "list" and not self.before:
                continue
            yield self.name + words, self.moved(places, by, beyond), cost
        ends = [(" of the last step", n - 1), (" of the first step", 0), (" of the last step but one", n - 2)]
        for words, which in ends if near else ends[:1]:
            yield self.name + words, self.moved([which] * len(places), 0, "end"), 0.1
        if self.before and near:
            yield f"{self.name} before its first step", [self.values[0]] * len(places), 0.2
        turned = [n - 1 - place for place in places]
        for words, by, beyond, cost in MOVES[:3] if len(places) > 1 and (near or other_loop) else ():
            yield (
                f"{self.name}{words}{',' if words else ''} counted from the other end",
                self.moved(turned, by, beyond),
                0.1 + cost,
            )
