"""What the generators of edits share: places, chains of states, names, and the numbers a mistake may be off by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import permutations

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .alike_cells import Cell, alike_cells, place_of
from .edited_walks import Edit, Record, Rule, Use, scaled
from .repeated_operations import families, times
from .stand_ins import StandIns
from .student_names import Names, bracketed

Family = list[Node]
#: a value in an edit's words, perhaps to stand in brackets
PLACE = re.compile(r"⟦(\(?)(\d+)⟧")
#: what tells values apart that are called the same
APART = re.compile(r", number \d+")
#: a number at the end of a name, which tells layers apart
NUMBER = re.compile(r"(?<=[^\W\d])\d+|(?<= of call )\d+")


class Scene:
    """One record, looked at as a recurrent network."""

    def __init__(self, record: Record, given: Mapping[int, Array], nearly: bool) -> None:
        """``nearly``: what was given is so close that only precision, or a tiny factor, can be wrong with it."""
        self.record, self.given, self.nearly = record, given, nearly
        self.all_families = families(record.graph, record.made_at)
        walked = ([n for n in f if n.index in record.truth.gradients] for f in self.all_families)
        self.families = [f for f in walked if f]  #: without the nodes, such as first states, that have no gradient
        self.names = Names(record)
        self.place = {n.index: (k, t) for k, f in enumerate(self.all_families) for t, n in enumerate(f)}
        timed = [{n.scope.step for n in f} - {None} for f in self.families]
        self.steps = max(map(len, timed), default=0) or max(map(len, self.families), default=1)
        self.loops = any(n.scope.step for n in record.nodes)  #: whether anything is done at several steps
        self.stand_ins = StandIns(self)
        self.unfit: list[str] = []  #: kinds and edits that do not fit an operation of this network
        for number, first in self.initial.items():
            name = record.nodes[first].name or ""
            if record.nodes[first].op is None and len(name) > 1 and name.endswith("0"):
                self.names.states |= {n.index: name[:-1].rstrip("_") for n in self.all_families[number]}

    @cached_property
    def calls(self) -> dict[int, tuple[int, Family]]:
        """By family that a function makes which is called again, as for another layer: which call, and the first's."""
        twins: dict[object, list[Family]] = {}
        for family in self.all_families:
            node = family[0]
            place, parts = self.record.made_at[node.index], (n.scope.step for n in family)
            if place is not None and node.op is not None:
                twins.setdefault((place, node.op.name, len(node.shape), *parts), []).append(family)
        return {
            self.place[f[0].index][0]: (call, group[0])
            for group in twins.values() if len(group) > 1 and None not in {n.scope.step for n in group[0]}
            for call, f in enumerate(group, 1)
        }  # fmt: skip

    @cached_property
    def cells(self) -> list[Cell]:
        """Parts of the network that are made alike."""
        return alike_cells(self)

    def said(self, words: str) -> str:
        """Words with the names of the values in them."""

        def name(found: re.Match[str]) -> str:
            text = self.called(self.record.nodes[int(found[2])])
            return bracketed(text) if found[1] else text

        return PLACE.sub(name, words)

    def as_in_the_first(self, edit: Edit) -> tuple[str, object]:
        """What an edit is called where it is made in the first of the cells that are alike; and which cell it is in."""
        places = [*edit.uses, *edit.parts, *edit.sent]
        at = [place_of(self, self.record.nodes[i]) for i in ([places[0][0]] if places else [*edit.leaves][:1])]
        number, mine = next(((k, cell) for k, cell in enumerate(self.cells) if at and at[0] in cell.inside), (-1, None))
        if mine is None:
            return NUMBER.sub("", self.said(edit.words)), edit.words

        def place(found: re.Match[str]) -> str:
            here = place_of(self, self.record.nodes[int(found[2])])
            first, which = mine.inside.get(here) or mine.around.get(here), "" if here in mine.inside else "outer "
            if first is None:
                other = next((c for c in self.cells if c.first == mine.first and here in c.inside), None)
                first, which = (here, "") if other is None else (other.inside[here], "another's ")
            return f"⟦{found[1]}{which}{first}⟧"

        return f"{mine.first} {APART.sub('', PLACE.sub(place, edit.words))}", number

    @cached_property
    def factors(self) -> dict[float, str]:
        """Numbers a gradient may be off by, and what they are."""
        shapes = [n.shape for n in self.record.nodes if len(n.shape) >= 2]
        sizes = {n for shape in shapes for n in shape} - {0, 1}
        computed = [n for n in self.record.nodes if n.op is not None and n.op.kind != "movement"]  # no transposed W
        leading = {n.shape[0] for n in computed if len(n.shape) == 2} - {0, 1}
        named = dict[int, list[str]]()  # of one number, all that it may be: time first
        for number, words in (
            *([(self.steps, "number of time steps")] if self.loops else []),
            *((n, "size of the batch") for n in sorted(leading)),
            *((n * self.steps, "number of time steps times a size") for n in sorted(sizes) if self.loops),
            *((n, "size of a dimension") for n in sorted(sizes - leading)),
        ):  # fmt: skip
            named.setdefault(number, []).append(f"the {words}")
        both = f" (2 is {' or '.join(named.pop(2))})" if 2 in named else ""
        factors = {0.5: f"halved{both}", 2.0: f"counted twice{both}", -1.0: "of the wrong sign"}
        for number, names in named.items():
            factors.setdefault(float(number), f"multiplied by {number}, {' or '.join(names)}")
            factors.setdefault(1 / number, f"divided by {number}, {' or '.join(names)}")
        several = [n for n in (self.steps, *sorted(leading), *sorted(sizes)) if n > 1]
        for one, two in [*permutations(dict.fromkeys(several), 2), *((n, n - 1) for n in several)]:
            factors.setdefault(one / two, f"multiplied by {one}/{two}: divided by {two} instead of {one}")
            factors.setdefault(two / one, f"multiplied by {two}/{one}: divided by {one} instead of {two}")
        for node in self.record.nodes:
            for x in node.operands if node.op is not None and node.op.infix in ("*", "/") else ():
                if not isinstance(x, Ref) and x not in (0, 1, -1):
                    factors.setdefault(float(x), f"multiplied by {x:g}, a number of the forward pass")
                    factors.setdefault(1 / x, f"divided by {x:g}, a number of the forward pass")
        factors.pop(1.0, None)
        return factors

    @cached_property
    def pieces(self) -> dict[int, int]:
        """By size of what is cut into gates: into how many."""
        found: dict[int, int] = {}
        for family in self.families:
            node = family[0]
            if node.op is not None and node.op.name == "getitem" and node.shape:
                source = node.operands[0]
                assert isinstance(source, Ref)
                for whole, part in zip(self.record.nodes[source.index].shape, node.shape):
                    if part and whole > part and whole % part == 0:
                        found[whole] = whole // part
        return found

    @cached_property
    def gates(self) -> list[Family]:
        """Nonlinearities that are computed at every step."""
        return [f for f in self.families if len(f) > 1 and is_nonlinear(f[0])]

    def beside(self, rival: Family, family: Family) -> list[int]:
        """Which of a rival's nodes is in each step of a family; empty unless there is one for each."""
        at = {n.scope.step: k for k, n in enumerate(rival)}
        found = [at[n.scope.step] for n in family if n.scope.step in at]
        return found if len(found) == len(family) else []

    def gradients(self, shape: tuple[int, ...]) -> list[tuple[str, Family]]:
        """The values of a shape whose gradients may be taken for another's, each content once; gates' inputs first."""
        before = []
        for gate in self.gates:
            line = self.line(gate, 0)
            if line is not None and line[0] in self.place and self.record.nodes[line[0]].shape == shape:
                before.append((f"before {self.named(gate[-1])}", [self.record.nodes[i] for i in line]))
        named = sorted((f for f in self.families if f[0].shape == shape), key=lambda f: not f[0].role)
        return before + [(f"of {self.named(f[-1])}", f) for f in named]

    # Chains ----------------------------------------------------------------------------------------------

    def line(self, family: Family, slot: int) -> list[int] | None:
        """The operand at every step; None if it is not always a value."""
        found = [n.operands[slot] for n in family]
        return [x.index for x in found] if all(isinstance(x, Ref) for x in found) else None  # type: ignore[union-attr]

    @cached_property
    def initial(self) -> dict[int, int]:
        """By family that is carried: the node that stands in for it before the first step."""
        found: dict[int, int] = {}
        for family in self.all_families:
            for slot in range(len(family[0].operands)) if len(family) > 1 else ():
                line = self.line(family, slot)
                if line is None or line[1] not in self.place:
                    continue
                number, at = self.place[line[1]]
                state = [n.index for n in self.all_families[number]]
                fits = self.record.nodes[line[0]].shape == self.record.nodes[state[0]].shape
                if at == 0 and line[1:] == state[: len(line) - 1] and line[0] not in state and fits:
                    found.setdefault(number, line[0])
        return found

    @cached_property
    def states(self) -> list[Family]:
        """Families that are carried from step to step, losses added up left out."""
        return [f for k, f in enumerate(self.all_families) if k in self.initial and f[0].shape]

    def is_state(self, family: Family) -> bool:
        """Whether it is carried from step to step."""
        return self.place[family[0].index][0] in self.initial

    def chain(self, family: Family) -> list[int]:
        """A family's nodes, and before them what it starts from."""
        number, _ = self.place[family[0].index]
        first = [self.initial[number]] if number in self.initial else []
        return [*first, *(n.index for n in family)]

    def carries(self, family: Family) -> dict[int, list[Use]]:
        """By position in the chain: the uses of that value in the step after it."""
        chain = self.chain(family)
        found: dict[int, list[Use]] = {}
        for t, index in enumerate(chain[:-1]):
            here, after = self.record.nodes[index].scope.step, self.record.nodes[chain[t + 1]].scope.step
            uses = [use for use in self.record.users[index] if self.record.nodes[use[0]].scope.step == after]
            if t == 0:  # one tensor may stand in for the states of two loops
                uses = [use for use in uses if self._continued(use, chain[1])]
            if uses and after is not None and (here != after or t == 0):
                found[t] = uses
        return found

    def _continued(self, use: Use, state: int) -> bool:
        """Whether the same use of the next step is of this state."""
        number, at = self.place[use[0]]
        after = self.all_families[number][at + 1 : at + 2]
        operand = after[0].operands[use[1]] if after else None
        return not after or (isinstance(operand, Ref) and operand.index == state)

    def slope(self, node: Node) -> Array:
        """The derivative of a nonlinearity."""
        return self.record.pull(node, 0, np.ones(node.shape))

    # Edits at sets of steps --------------------------------------------------------------------------------

    def at_times(
        self, family: Family, slot: int, words: str, rule: Callable[..., Rule], *, windows: bool = False,
        single: bool = True, cost: float = 0.0,
    ) -> Iterator[Edit]:  # fmt: skip
        """One mistake, at every set of time steps."""
        for when, at, price in times(len(family), windows=windows):
            if single or len(at) > 1 or len(family) == 1:
                yield Edit(
                    f"{when}, {words}.", {(family[t].index, slot): rule(family[t]) for t in at}, cost=price + cost
                )

    def missing(self, family: Family, slot: int) -> Iterator[Edit]:
        """What a use sends is missing; any other factor can be read off the effect of that."""
        subject = self.subject(family, slot)
        for when, at, price in times(len(family), windows=True):
            uses = {(family[t].index, slot): scaled(0.0) for t in at}
            yield Edit(f"{when}, {subject} is missing.", uses, cost=price, scaling=f"{when}, {subject}")

    # Names -----------------------------------------------------------------------------------------------

    def subject(self, family: Family, slot: int) -> str:
        """What one operand receives from an operation."""
        return f"what {self.name_of(family[-1], slot)} receives from {self.named(family[-1])}{self.later(family, slot)}"

    def later(self, family: Family, slot: int) -> str:
        """ " of the next step", where an operand is carried."""
        operand = family[-1].operands[slot]
        if not isinstance(operand, Ref):
            return ""
        source = self.record.nodes[operand.index]
        here, there = source.scope.step, family[-1].scope.step
        carried = here is not None and there is not None and here != there and source.op is not None
        return " of the next step" if carried else ""

    def named(self, node: Node) -> str:
        """A place in an edit's words, which `said` puts the value's name into."""
        family = self.all_families[self.place[node.index][0]] if node.index in self.place else [node]
        return f"⟦{family[-1].index}⟧"

    def called(self, node: Node) -> str:
        """A value in words."""
        name, number = self.names.of(node), self.place.get(node.index, (-1, 0))[0]
        call, first = self.calls.get(number, (0, None))
        same = call > 1 and first is not None and self.names.of(first[-1]) == name
        return f"{name} of call {call}" if same else name

    def apart(self, one: Family, two: Family) -> tuple[str, str]:
        """Two values in words, with their layers where these tell them apart."""
        names = self.named(one[-1]), self.named(two[-1])
        places = ".".join(one[0].scope.path), ".".join(two[0].scope.path)
        if self.called(one[-1]) != self.called(two[-1]) or places[0] == places[1]:
            return names
        return f"{names[0]} of {places[0] or 'the top level'}", f"{names[1]} of {places[1] or 'the top level'}"

    def name_of(self, node: Node, slot: int) -> str:
        """An operand in words."""
        operand = node.operands[slot]
        return self.named(self.record.nodes[operand.index]) if isinstance(operand, Ref) else f"{operand:g}"

    def slots(self, family: Family) -> dict[int, Family]:
        """The operands that receive something, and when: a first state may be a constant."""
        sent = self.record.truth.contributions
        found = {slot: [n for n in family if (n.index, slot) in sent] for slot in range(len(family[0].operands))}
        return {slot: nodes for slot, nodes in found.items() if nodes}


def in_brackets(name: str) -> str:
    """A name to stand within a formula; of a place, whatever is put there."""
    return name.replace("⟦", "⟦(") if PLACE.fullmatch(name) else bracketed(name)


def is_nonlinear(node: Node) -> bool:
    """Whether it is a function of one operand whose derivative depends on a value."""
    op = node.op
    return op is not None and op.kind in ("elementwise", "axis") and tuple(op.slots) == (0,) and not op.moves(0)
