"""Places of a network that are alike, such as two layers, all gates, or all calls of an activation.

A backward pass has one function for them, so a mistake in that function is made at all of them. Two edits are the same
mistake at two places if their words say the same of values that lie in the same direction from there: "what the first
operand receives from this product uses the operand of its other factor".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING

from ..graph import Node, Ref
from .edited_walks import Edit
from .student_names import MARKS

if TYPE_CHECKING:
    from .edit_context import Scene

#: a value in an edit's words, perhaps to stand in brackets
PLACE = re.compile(r"⟦(\(?)(\d+)⟧")
#: what tells values apart that are called the same, and the names of layers
APART, NUMBER = re.compile(r", number \d+"), re.compile(rf"(?<=[^\W\d])\d+|{MARKS.pattern}")
#: so many operations back two places are made alike, the more the closer
DEPTHS = (0, 1, 2)
#: on a way, what is made of what: two layers may be alike but for what they read
KIND = re.compile(r"\|[^/⟧]*")
#: so many operations away a value is looked for
FAR = 6
#: at more places than this, an edit is not made at all of them
MOST = 12
#: edits that cost more than this are not made at all places that are alike
DEAREST = 1.46
#: nor are edits at single steps in the middle, or from a step or up to one
SOME_STEPS = re.compile(r"At one step only|At every step but step|(Up to|From) step|Every \d+ steps")
Place = tuple[str, int]  #: a family by its number, or a leaf by its index


class AlikePlaces:
    """Finds, for the values of a scene, where the others lie from there, and which places are alike."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._directions: dict[tuple[Place, int], dict[Place, str]] = {}
        self._subjects: dict[int, str] = {}  #: by edit: the name of the value that it speaks of first
        #: edits by start; keyed by what they say, how closely their places are alike, and what these share
        self._groups: dict[tuple[str, int, Hashable], dict[Place, list[Edit]]] = defaultdict(lambda: defaultdict(list))

    def place(self, index: int) -> Place:
        """The family that a computed value belongs to, or the leaf that it is."""
        return ("family", self.scene.place[index][0]) if index in self.scene.place else ("leaf", index)

    def node(self, place: Place) -> Node:
        """The last of the values at a place."""
        kind, number = place
        return self.scene.all_families[number][-1] if kind == "family" else self.scene.record.nodes[number]

    @cached_property
    def _beside(self) -> dict[Place, list[tuple[str, Place]]]:
        """For each place: what it is made of and what is made of it, each with a phrase for how it is."""
        up, down = defaultdict[Place, list[tuple[str, Place]]](list), defaultdict[Place, list[tuple[str, Place]]](list)
        for number, family in enumerate(self.scene.all_families):
            node = family[-1]
            for slot, x in enumerate(node.operands):
                if isinstance(x, Ref):
                    source = self.scene.record.nodes[x.index]
                    carried = node.scope.step is not None and source.scope.step not in (None, node.scope.step)
                    how = f"{slot}{' before' * carried}"
                    up["family", number].append((f"{how}|{_kind(source)}", self.place(x.index)))
                    down[self.place(x.index)].append((f"{how} of {_kind(node)}", ("family", number)))
        return {place: up[place] + sorted(down[place]) for place in (*up, *down)}

    def directions(self, start: Place, far: int = FAR) -> dict[Place, str]:
        """The places around ``start``, each with the way that leads there: the same text where places lie alike."""
        if (start, far) not in self._directions:
            found, ring = {start: ""}, [start]
            for _ in range(far):
                further = []
                for place in ring:
                    for how, other in self._beside.get(place, ()):
                        if other not in found:
                            found[other] = f"{found[place]}/{how}"
                            further.append(other)
                ring = further
            self._directions[start, far] = found
        return self._directions[start, far]

    def cells(self) -> Iterator[tuple[Place, Place, dict[Place, Place]]]:
        """Each two states that are made alike, and for the places around the first those around the second."""
        states = [self.place(family[-1].index) for family in self.scene.states]
        for one, other in permutations(states, 2):
            if self._made_of(self.node(one), 2) == self._made_of(self.node(other), 2):
                there = {KIND.sub("", way): place for place, way in self.directions(other, 2 * FAR).items()}
                mine = self.directions(one, 2 * FAR).items()
                ways = [(place, there.get(KIND.sub("", way), place)) for place, way in mine]
                yield one, other, {a: b for a, b in ways if a[0] == b[0] and a != b}

    def relative(self, words: str, start: Place) -> str | None:
        """``words`` with every value replaced by the way from ``start`` to it; None if one of them is far away."""
        ways = self.directions(start)
        try:
            return APART.sub("", PLACE.sub(lambda found: f"⟦{ways[self.place(int(found[2]))]}⟧", words))
        except KeyError:
            return None

    def _start(self, edit: Edit) -> Place | None:
        """The operation whose rule an edit changes, or else the first value that it names."""
        changed = {self.place(index) for index, _ in (*edit.uses, *edit.parts)}
        named = PLACE.search(edit.words)
        return changed.pop() if len(changed) == 1 else named and self.place(int(named[2]))

    @cached_property
    def _keys(self) -> dict[Place, list[int | None]]:
        """For each place what it may share with others, as numbers: what it is made of, its line, its name."""
        found, numbers = {}, dict[Hashable, int]()
        for place in self._beside:
            node = self.node(place)
            made_at = self.scene.record.made_at[node.index] if node.op is not None else None
            name = NUMBER.sub("", self.scene.names.of(node))
            alike = [*(self._made_of(node, depth) for depth in DEPTHS), made_at and (made_at, _kind(node)), name]
            found[place] = [None if key is None else numbers.setdefault(key, len(numbers)) for key in alike]
        return found

    def _made_of(self, node: Node, depth: int) -> Hashable:
        parts: list[Hashable] = []
        for x in node.operands if depth else ():
            parts.append(self._made_of(self.scene.record.nodes[x.index], depth - 1) if isinstance(x, Ref) else x)
        return _kind(node), node.requires_grad, repr(node.attrs) if depth else "", *parts

    def note(self, edit: Edit) -> None:
        """Keep ``edit``, whose words still have the values in them, with those that are the same mistake elsewhere."""
        start = self._start(edit) if edit.cost < DEAREST and not SOME_STEPS.match(edit.words) else None
        words = start and self.relative(edit.words, start)
        if start is not None and words:
            named = PLACE.search(edit.words)
            self._subjects[id(edit)] = self.scene.called(self.scene.record.nodes[int(named[2])]) if named else ""
            less = KIND.sub("", words)  # of one line that is run for several layers, whatever those read
            for level, key in enumerate(self._keys.get(start, ())):
                for told in (words,) if level < len(DEPTHS) or less == words else (words, less):
                    if key is not None:
                        self._groups[told, level, key][start].append(edit)

    def together(self) -> Iterator[Edit]:
        """One edit for each mistake that was noted at several places: it makes the mistake at all of them."""
        known = set[frozenset[int]]()
        for _, group in sorted(self._groups.items(), key=lambda each: -each[0][1]):
            for edits in zip(*group.values(), strict=False) if 1 < len(group) <= MOST else ():
                if (key := frozenset(map(id, edits))) not in known:  # two gates may lie alike from there
                    known.add(key)
                    yield from self._at_all(edits)

    def _at_all(self, edits: Sequence[Edit]) -> Iterator[Edit]:
        whole: Edit | None = edits[0]
        for edit in edits[1:]:
            whole = whole and whole.together(edit)
        if whole is not None:
            _, *others = dict.fromkeys(self._subjects[id(edit)] for edit in edits)
            too = f" So too at {', '.join(others)}." if others else ""
            whole.words = f"{_everywhere(edits[0].words)}{too}"
            whole.scaling = edits[0].scaling and _everywhere(edits[0].scaling)
            whole.cost = max(edit.cost for edit in edits) + 0.05
            yield whole


def _everywhere(words: str) -> str:
    return f"Everywhere alike: {words[:1].lower()}{words[1:]}"


def _kind(node: Node) -> str:
    return f"{node.op.name if node.op else 'leaf'} {len(node.shape)}"
