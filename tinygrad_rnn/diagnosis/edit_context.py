"""`Scene`: what the generators of edits share: places, chains of states, names, and likely wrong factors."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import permutations

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .alike_places import PLACE, AlikePlaces
from .edited_walks import Edit, Record, Rule, Use, scaled
from .repeated_operations import every_few, families, times
from .stand_ins import StandIns
from .student_names import Names, as_written, bracketed

Family = list[Node]
#: a word for a time step; how an edit begins that is made at each
STEP, ALWAYS = re.compile(r"\bstep(s?)\b"), re.compile(r"\b([Aa])t every step, ")


class Scene:
    """The recorded computation as a recurrent network: its families, states, gates, and their names."""

    def __init__(self, record: Record, given: Mapping[int, Array], nearly: bool) -> None:
        """``nearly``: the given gradients are so close that only precision, or a tiny factor, can be wrong."""
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
        self.attempts = record.attempts
        self._ancestors: dict[int, set[int]] = {}
        for number, first in self.initial.items():
            name = record.nodes[first].name or ""
            if record.nodes[first].op is None and len(name) > 1 and name.endswith("0"):
                self.names.states |= {n.index: name[:-1].rstrip("_") for n in self.all_families[number]}

    @cached_property
    def alike(self) -> AlikePlaces:
        """Places of the network that are alike."""
        return AlikePlaces(self)

    def said(self, words: str, called: Callable[[Node], str] | None = None) -> str:
        """``words`` with every placeholder replaced by the name of its value, as `called` by default."""

        def name(found: re.Match[str]) -> str:
            text = (called or self.called)(self.record.nodes[int(found[2])])
            return bracketed(text) if found[1] else text

        return PLACE.sub(name, words)

    def told(self, edit: Edit) -> str:
        """The words of an edit, with names; of steps only where there is a loop, and the edit is in it."""
        places = (self.record.nodes[index].scope.step for index, _ in (*edit.uses, *edit.parts))
        words = edit.words if any(step is not None for step in places) else ALWAYS.sub(_once, edit.words)
        return self.said(words if self.loops else STEP.sub(r"place\1", words))

    @cached_property
    def factors(self) -> dict[float, str]:
        """Factors that a gradient is often wrong by, such as the number of time steps, each with its description."""
        shapes = [n.shape for n in self.record.nodes if len(n.shape) >= 2]
        sizes = {n for shape in shapes for n in shape} - {0, 1}
        made_of: dict[int, set[int]] = {}
        for n in self.record.nodes:
            made_of[n.index] = set[int]().union(*(made_of[k] for k in n.sources)) if n.op else {n.index}
        # no transposed W, no squares of it
        computed = [n for n in self.record.nodes if n.op and n.op.kind != "movement" and len(made_of[n.index]) > 1]
        leading = {n.shape[0] for n in computed if len(n.shape) == 2} - {0, 1}
        named = dict[int, list[str]]()  # of one number, all that it may be: time first
        for number, words in (
            *([(self.steps, "number of time steps")] if self.loops else []),
            *((n, "size of the batch") for n in sorted(leading)),
            *((n * self.steps, "number of time steps times a size") for n in sorted(sizes) if self.loops),
            *((n, "size of a dimension") for n in sorted(sizes - leading)),
        ):
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

    def multiplied(self, edit: Edit, factor: float) -> str:
        """Words for a factor that has no name; of a quotient, if there is one, which other number divides."""
        nodes = [self.record.nodes[index] for index, _ in edit.uses]
        divisors = {n.operands[1] for n in nodes if n.op is not None and n.op.infix == "/"}
        divisor = divisors.pop() if len(divisors) == 1 and len({n.op for n in nodes}) == 1 else None
        if isinstance(divisor, (int, float)) and abs((n := round(divisor / factor)) - divisor / factor) <= 1e-9 < n:
            return f"divided by {n} instead of {divisor:g}"
        return f"multiplied by {as_written(factor)}"

    @cached_property
    def pieces(self) -> dict[int, int]:
        """For each size that is cut into equal parts, as stacked gates are: the number of parts."""
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
        """Families of nonlinearities that are computed at every step."""
        return [f for f in self.families if len(f) > 1 and is_nonlinear(f[0])]

    def beside(self, rival: Family, family: Family) -> list[int]:
        """The position in ``rival`` of the node at each step of ``family``; empty if a step has none."""
        at = {n.scope.step: k for k, n in enumerate(rival)}
        found = [at[n.scope.step] for n in family if n.scope.step in at]
        return found if len(found) == len(family) else []

    def gradients(self, shape: tuple[int, ...]) -> list[tuple[str, Family]]:
        """Families of this shape whose gradients may be used by mistake, with their names; gates' inputs come first."""
        before = []
        for gate in self.gates:
            line = self.line(gate, 0)
            if line is not None and line[0] in self.place and self.record.nodes[line[0]].shape == shape:
                before.append((f"before {self.named(gate[-1])}", [self.record.nodes[i] for i in line]))
        named = sorted((f for f in self.families if f[0].shape == shape), key=lambda f: not f[0].role)
        return before + [(f"of {self.named(f[-1])}", f) for f in named]

    # Chains ----------------------------------------------------------------------------------------------

    def line(self, family: Family, slot: int) -> list[int] | None:
        """The node that is operand ``slot`` at each step of ``family``; None if it is a constant at one of them."""
        found = [n.operands[slot] for n in family]
        return [x.index for x in found] if all(isinstance(x, Ref) for x in found) else None  # type: ignore[union-attr]

    @cached_property
    def initial(self) -> dict[int, int]:
        """For each family that is carried from step to step: the node read in its place at the first step."""
        found: dict[int, int] = {}
        for family in self.all_families:
            for slot in range(len(family[0].operands)) if len(family) > 1 else ():
                line = [self._whole(index) for index in self.line(family, slot) or []]
                if not line or line[1] not in self.place:
                    continue
                number, at = self.place[line[1]]
                state = [n.index for n in self.all_families[number]]
                fits = self.record.nodes[line[0]].shape == self.record.nodes[state[0]].shape
                if at == 0 and line[1:] == state[: len(line) - 1] and line[0] not in state and fits:
                    found.setdefault(number, line[0])
        return found

    def _whole(self, index: int) -> int:
        """The value that the first rows were cut off from, as of a packed sequence's state, or the value itself."""
        node = self.record.nodes[index]
        if node.op is None or node.op.name != "getitem" or not node.shape:
            return index
        first = slice(None, node.shape[0])
        return node.sources[0] if repr(node.attrs["index"]) in (repr(first), repr((first,))) else index

    @cached_property
    def states(self) -> list[Family]:
        """Families that are carried from step to step, without sums of losses."""
        return [f for k, f in enumerate(self.all_families) if k in self.initial and f[0].shape]

    @cached_property
    def layers(self) -> list[list[Family]]:
        """States that are carried together, one list for each layer and direction; if there are several, also all."""
        groups: dict[object, list[Family]] = {}
        for family in self.states:
            groups.setdefault((family[0].scope.step, family[-1].scope.step, family[0].scope.path), []).append(family)
        layers = list(groups.values())
        return layers if len(layers) < 2 else [*layers, self.states]

    def names_of(self, families: list[Family]) -> str:
        """The names of several values, as in "h and c"; each name once."""
        names = list({self.called(f[0]): self.named(f[0]) for f in reversed(families)}.values())[::-1]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    def is_state(self, family: Family) -> bool:
        """Whether ``family`` is carried from step to step."""
        return self.place[family[0].index][0] in self.initial

    def chain(self, family: Family) -> list[int]:
        """The indices of a family's nodes, preceded by that of its initial state if it has one."""
        number, _ = self.place[family[0].index]
        first = [self.initial[number]] if number in self.initial else []
        return [*first, *(n.index for n in family)]

    def carries(self, family: Family) -> dict[int, list[Use]]:
        """For each position in the `chain`: the uses of that value by the following step."""
        chain = self.chain(family)
        found: dict[int, list[Use]] = {}
        for t, index in enumerate(chain[:-1]):
            here, after = self.record.nodes[index].scope.step, self.record.nodes[chain[t + 1]].scope.step
            uses = [use for use in self.record.users[index] if self.record.nodes[use[0]].scope.step == after]
            if t == 0:  # one tensor may stand in for the states of two loops
                uses = [use for use in uses if self._continued(use, chain[1])]
            if uses and after is not None and (here != after or t == 0):
                found[t] = uses
        last, places = self.record.nodes[chain[-1]], {(self.place[i][0], k) for uses in found.values() for i, k in uses}
        again = [  # by a step after it whose own value nobody reads
            (user, slot)
            for user, slot in self.record.users[last.index]
            if (self.place[user][0], slot) in places and self.record.nodes[user].scope.step != last.scope.step
        ]
        if again:
            found[len(chain) - 1] = again
        return found

    def carried(self, family: Family) -> dict[int, list[Use]]:
        """The `carries` through which a gradient arrives, by position; none that is empty."""
        sent = self.record.truth.contributions
        live = {t: [use for use in uses if use in sent] for t, uses in sorted(self.carries(family).items())}
        return {t: uses for t, uses in live.items() if uses}

    def _continued(self, use: Use, state: int) -> bool:
        """Whether the same use, one step later, reads the node ``state``."""
        number, at = self.place[use[0]]
        after = self.all_families[number][at + 1 : at + 2]
        operand = after[0].operands[use[1]] if after else None
        return not after or (isinstance(operand, Ref) and operand.index == state)

    def ancestors(self, index: int) -> set[int]:
        """All that a node is made of, itself left out."""
        if index not in self._ancestors:
            found, pending = set[int](), [index]
            while pending:
                new = set(self.record.nodes[pending.pop()].sources) - found
                found |= new
                pending += new
            self._ancestors[index] = found
        return self._ancestors[index]

    def made_of_step(self, family: Family) -> list[Node]:
        """The nodes that the last of these values is made of in its own step."""
        last = family[-1]
        inside = (self.record.nodes[k] for k in self.ancestors(last.index))
        return [n for n in inside if n.op is not None and n.scope.step == last.scope.step]

    def slope(self, node: Node) -> Array:
        """The derivative of a nonlinearity, by element."""
        return self.record.pull(node, 0, np.ones(node.shape))

    def is_mask(self, node: Node) -> bool:
        """Whether a value is a constant of zeros and one other number."""
        value = np.asarray(self.record.values[node.index])
        several = not node.requires_grad and value.size > 1 and np.any(value == 0)
        return bool(several and len(np.unique(value[value != 0])) == 1)

    # Edits at sets of steps --------------------------------------------------------------------------------

    def at_times(
        self,
        family: Family,
        slot: int,
        words: str,
        rule: Callable[..., Rule],
        *,
        windows: bool = False,
        single: bool = True,
        cost: float = 0.0,
    ) -> Iterator[Edit]:
        """The same mistake made at each likely set of time steps: at every one, at a single one, up to one.

        Of a square both operands are the same: it is made for both.
        """
        slots = [k for k, x in enumerate(family[0].operands) if isinstance(x, Ref) and x == family[0].operands[slot]]
        for when, at, price in times(len(family), windows=windows):
            if single or len(at) > 1 or len(family) == 1:
                uses = {(family[t].index, k): rule(family[t]) for t in at for k in slots}
                yield Edit(f"{when}, {words}.", uses, cost=price + cost + 0.1 * (len(slots) - 1))

    def missing(self, family: Family, slot: int) -> Iterator[Edit]:
        """Edits that drop what a use sends; `Search.measured` tries other factors than 0 from these."""
        subject = self.subject(family, slot)
        operand = family[-1].operands[slot]
        weight = isinstance(operand, Ref) and self.record.nodes[operand.index].op is None
        few = every_few(len(family)) if self.later(family, slot) else ()
        for when, at, price in (*times(len(family), windows=True), *few):
            uses = {(family[t].index, slot): scaled(0.0) for t in at}
            sign = ", as with = instead of +=" if weight and at == list(range(1, len(family))) else ""
            yield Edit(f"{when}, {subject} is missing{sign}.", uses, cost=price, scaling=f"{when}, {subject}")

    # Names -----------------------------------------------------------------------------------------------

    def subject(self, family: Family, slot: int) -> str:
        """A phrase for what one operand receives from an operation."""
        return f"what {self.name_of(family[-1], slot)} receives from {self.named(family[-1])}{self.later(family, slot)}"

    def later(self, family: Family, slot: int) -> str:
        """The words ``of the next step`` if the operand is carried over from the step before, else nothing."""
        operand = family[-1].operands[slot]
        if not isinstance(operand, Ref):
            return ""
        source = self.record.nodes[operand.index]
        here, there = source.scope.step, family[-1].scope.step
        carried = here is not None and there is not None and here != there and source.op is not None
        return " of the next step" if carried else ""

    def named(self, node: Node) -> str:
        """A placeholder for the name of a value in an edit's words; `said` replaces it."""
        family = self.all_families[self.place[node.index][0]] if node.index in self.place else [node]
        return f"⟦{family[-1].index}⟧"

    def called(self, node: Node) -> str:
        """The name of a value, with its cell if a value of another one has the same name."""
        name = self.names.of(node)
        path = node.scope.path if len(self._cells_of.get(name, ())) > 1 else ()
        return f"{name} in {'.'.join(path)}" if path else name

    @cached_property
    def _cells_of(self) -> dict[str, set[tuple[str, ...]]]:
        """The cells that have a value of a name, by name."""
        found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for family in self.all_families:
            if family[-1].op is not None and family[-1].scope.step is not None:
                found[self.names.of(family[-1])].add(family[-1].scope.path)
        return found

    def name_of(self, node: Node, slot: int) -> str:
        """The name of an operand, or the number that it is."""
        operand = node.operands[slot]
        return self.named(self.record.nodes[operand.index]) if isinstance(operand, Ref) else f"{operand:g}"

    def slots(self, family: Family) -> dict[int, Family]:
        """For each operand that receives a gradient: the nodes at which it does. An initial state may be a constant."""
        sent = self.record.truth.contributions
        found = {slot: [n for n in family if (n.index, slot) in sent] for slot in range(len(family[0].operands))}
        return {slot: nodes for slot, nodes in found.items() if nodes}


def _once(found: re.Match[str]) -> str:
    return "Once, " if found[1] == "A" else "once, "


def in_brackets(name: str) -> str:
    """``name`` in brackets if it needs them in a formula; a placeholder is marked, and bracketed by `Scene.said`."""
    return name.replace("⟦", "⟦(") if PLACE.fullmatch(name) else bracketed(name)


def is_nonlinear(node: Node) -> bool:
    """Whether the node's operation has one differentiable operand, and a derivative that depends on a value."""
    op = node.op
    return op is not None and op.kind in ("elementwise", "axis") and tuple(op.slots) == (0,) and not op.moves(0)
