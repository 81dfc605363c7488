"""The edits of a walk, made from the graph and the primitives' rules: nothing here knows a network by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..graph import Node, Ref
from ..tensor import Array
from .families import families, times
from .walks import Edit, Record, Rewrite, Rule, Use

ELEMENTWISE = {
    "σ' (y(1 − y))": lambda y, x: y * (1 - y),
    "tanh' (1 − y²)": lambda y, x: 1 - y * y,
    "1 − y": lambda y, x: 1 - y,
    "y": lambda y, x: y,
    "1 − x² of the value before it": lambda y, x: 1 - x * x,
    "x(1 − x) of the value before it": lambda y, x: x * (1 - x),
    "[x > 0]": lambda y, x: (x > 0).astype(float),
    "tanh'(y), of the result instead of the value before it": lambda y, x: 1 - np.tanh(y) ** 2,
    "σ'(y), of the result instead of the value before it": lambda y, x: 1 / (2 + np.exp(y) + np.exp(-y)),
}
NONLINEAR = ("tanh", "sigmoid", "relu", "exp", "softplus", "erf", "sin", "cos")


def scaled(factor: float) -> Rule:
    """The true contribution, times a number."""
    return lambda record, node, slot, g: factor * record.pull(node, slot, g)


def valued(changed: dict[int, Array]) -> Rule:
    """The true rule with another saved value."""
    return lambda record, node, slot, g: record.pull(node, slot, g, changed)


def blocks_transposed(w: Array) -> Array | None:
    """A square matrix, or every square block of stacked gates, transposed."""
    if w.ndim != 2 or min(w.shape) < 2 or max(w.shape) % min(w.shape):
        return None
    axis = 0 if w.shape[0] >= w.shape[1] else 1
    return np.concatenate([b.T for b in np.split(w, max(w.shape) // min(w.shape), axis)], axis)


class Candidates:
    """All edits of one record."""

    def __init__(self, record: Record, nearly: bool) -> None:
        """``nearly``: what was given is so close that only precision can be wrong with it."""
        self.record, self.nearly = record, nearly
        self.families = [
            f for f in families(record.graph) if all(node.index in record.truth.gradients for node in f)
        ]  # fmt: skip
        self.steps = max((len(f) for f in self.families), default=1)
        self.batch = {n.shape[0] for n in record.nodes if n.op is not None and len(n.shape) == 2} - {0, 1}
        self.factors = {2.0: "counted twice", 0.5: "halved", -1.0: "of the wrong sign"}
        for number, words in ((self.steps, "number of time steps"), *((n, "size of the batch") for n in self.batch)):
            self.factors.setdefault(float(number), f"multiplied by {number}, the {words}")
            self.factors.setdefault(1 / number, f"divided by {number}, the {words}")
        self.factors.pop(1.0, None)

    def __iter__(self) -> Iterator[Edit]:
        yield from self.written_down()
        for family in self.families:
            for slot in range(len(family[0].operands)):
                if all((node.index, slot) in self.record.truth.contributions for node in family):
                    yield from self.of_a_use(family, slot)
        yield from self.carries()
        yield from self.nonlinearities()
        yield from self.saved_values()
        yield from self.slices()
        yield from self.everywhere()

    # What is sent ----------------------------------------------------------------------------------------

    def of_a_use(self, family: list[Node], slot: int) -> Iterator[Edit]:
        """Every other thing that one operand of an operation could be sent."""
        record, node = self.record, family[0]
        subject = f"what {self.name_of(family[-1], slot)} receives from {self.named(node)}"
        yield from self.at_times(family, slot, f"{subject} is missing", lambda _: scaled(0.0), windows=True)
        for factor, words in self.factors.items():
            yield from self.at_times(family, slot, f"{subject} is {words}", lambda _, k=factor: scaled(k), cost=0.3)
        raw = record.raw(node, slot, record.truth.gradients[node.index])
        target = np.shape(record.target(node, slot))
        if raw.shape != target and len(raw.shape) >= len(target):
            for words, reduce in (("the first row instead of the sum", 0), ("the last row instead of the sum", -1)):
                yield from self.at_times(
                    family, slot, f"{subject} is not un-broadcast: {words} over the batch", lambda _, r=reduce: _row(r)
                )
        if blocks_transposed(np.zeros(target)) is not None:
            yield from self.at_times(family, slot, f"{subject} is transposed", lambda _: _transposed)
        yield from self.other_operands(family, slot, subject)
        if self.nearly:
            yield from self.at_times(family, slot, f"{subject} was computed in float32", lambda _: _single, cost=0.5)

    def other_operands(self, family: list[Node], slot: int, subject: str) -> Iterator[Edit]:
        """The rule uses another operand's value: transposed, of a neighbour in time, of another gate, none."""
        record, node = self.record, family[0]
        assert node.op is not None
        _, needed = node.op.values_needed(slot)
        for other, operand in enumerate(node.operands):
            if not isinstance(operand, Ref) or (needed is not None and other not in needed):
                continue
            value = record.values[operand.index]
            turned = blocks_transposed(value)
            if turned is not None and turned.shape == value.shape and node.op.name in ("matmul", "linear"):
                words = f"{subject} uses {self.name_of(family[-1], other)} transposed"
                yield from self.at_times(family, slot, words, lambda _, o=other: _with_transposed(o))
            if node.op.name == "mul":
                yield from self.at_times(
                    family, slot, f"{subject} lacks the factor {self.name_of(family[-1], other)}",
                    lambda n, o=other: valued({n.operands[o].index: np.ones_like(record.values[n.operands[o].index])}),
                )  # fmt: skip
                yield from self.at_times(
                    family, slot, f"{subject} has the factor 1 − {self.name_of(family[-1], other)} instead of it",
                    lambda n, o=other: valued({n.operands[o].index: 1 - record.values[n.operands[o].index]}),
                )  # fmt: skip
            yield from self.neighbours(family, slot, other, subject)

    def neighbours(self, family: list[Node], slot: int, other: int, subject: str) -> Iterator[Edit]:
        """The value used is that of the step before or after, or of another thing of the same step."""
        record = self.record
        line = [n.operands[other].index for n in family if isinstance(n.operands[other], Ref)]  # type: ignore[union-attr]
        if len(line) != len(family):
            return
        name = self.name_of(family[-1], other)
        after = self.updated(line)
        for words, shifted in (
            ("of the step after", [*line[1:], after]),
            ("of the step before", [line[0], *line[:-1]]),
        ):
            if len(set(line)) > 1:
                move = dict(zip((n.index for n in family), shifted, strict=True))
                yield from self.at_times(
                    family, slot, f"{subject} uses {name} {words}",
                    lambda n, m=move: valued({n.operands[other].index: record.values[m[n.index]]}),
                )  # fmt: skip
        for rival in self.families:
            if len(rival) != len(family) or rival[0].shape != record.nodes[line[0]].shape or rival[0].index in line:
                continue
            if not (rival[0].role or (rival[0].op and rival[0].op.name in NONLINEAR)):
                continue
            move = dict(zip((n.index for n in family), (n.index for n in rival), strict=True))
            yield from self.at_times(
                family, slot, f"{subject} uses {self.named(rival[0])} where {name} belongs",
                lambda n, m=move: valued({n.operands[other].index: record.values[m[n.index]]}), cost=0.2,
            )  # fmt: skip

    def updated(self, line: list[int]) -> int:
        """What the last value of a line becomes after the last step, if that exists."""
        for family in self.families:
            mine = [n.index for n in family]
            if len(mine) == len(line) and mine[:-1] == line[1:]:
                return mine[-1]
        return line[-1]

    def at_times(
        self, family: list[Node], slot: int, words: str, rule: Callable[..., Rule], *, windows: bool = False,
        cost: float = 0.0,
    ) -> Iterator[Edit]:  # fmt: skip
        """One mistake, at every set of time steps."""
        for when, at, price in times(len(family), windows=windows):
            yield Edit(f"{when}, {words}.", {(family[t].index, slot): rule(family[t]) for t in at}, cost=price + cost)

    # Several uses together -------------------------------------------------------------------------------

    def carries(self) -> Iterator[Edit]:
        """All that a state receives from the next step."""
        for family in self.families:
            follows: dict[int, list[Use]] = defaultdict(list)
            start = self.before(family)
            chain = family if start is None else [self.record.nodes[start], *family]
            for t, node in enumerate(chain):
                step = -1 if node.index == start or node.scope.step is None else node.scope.step
                for user, slot in self.record.users[node.index]:
                    later = self.record.nodes[user].scope.step
                    if later is None or family[0].scope.step is None or later <= step:
                        continue
                    if (user, slot) in self.record.truth.contributions:
                        follows[t].append((user, slot))
            if not follows or max(len(uses) for uses in follows.values()) < 2:
                continue
            order = sorted(follows)
            for when, at, price in times(len(order), windows=True):
                uses = {use: scaled(0.0) for t in at for use in follows[order[t]]}
                name = self.named(family[0])
                yield Edit(f"{when}, all that {name} receives from the step after it is missing.", uses, cost=price)

    def nonlinearities(self) -> Iterator[Edit]:
        """Another derivative of a nonlinearity: at one place of the step, or wherever it is used."""
        by_op: dict[str, list[list[Node]]] = defaultdict(list)
        for family in self.families:
            if family[0].op is not None and family[0].op.name in NONLINEAR:
                by_op[family[0].op.name].append(family)
        for name, group in by_op.items():
            for words, slope in ELEMENTWISE.items():
                text = f"the derivative of {name} is taken to be {words}"
                for family in group:
                    yield from self.at_times(
                        family, 0, f"at {self.named(family[0])} {text}", lambda _, s=slope: _sloped(s)
                    )
                if len(group) > 1:
                    uses = {(n.index, 0): _sloped(slope) for f in group for n in f}
                    yield Edit(f"Everywhere, {text}.", uses, cost=0.9)

    def saved_values(self) -> Iterator[Edit]:
        """A value kept for the backward pass was overwritten by that of a neighbour in time, for all who use it."""
        record = self.record
        for family in self.families:
            line = [n.index for n in family]
            first = [self.before(family)] if self.before(family) is not None else []
            chain = [*(i for i in first if i is not None), *line]
            if len(chain) < 2:
                continue
            name = self.named(family[0])
            for words, shift in (("of the step after", 1), ("of the step before", -1)):
                moves = {a: record.values[chain[k + shift]] for k, a in enumerate(chain) if 0 <= k + shift < len(chain)}
                yield Edit(f"At every step, the saved {name} has become that {words}.", values=moves, cost=1.1)
                for k, (at, value) in enumerate(moves.items()):
                    which = "first" if k == 0 else f"{k + 1}th"
                    yield Edit(f"The saved {name}, the {which} of them, has become that {words}.", values={at: value},
                               cost=1.15)  # fmt: skip
            last = record.values[chain[-1]]
            yield Edit(
                f"Every saved {name} has become the last one: one buffer was used for all steps.",
                values=dict.fromkeys(chain[:-1], last), cost=1.1,
            )  # fmt: skip

    def before(self, family: list[Node]) -> int | None:
        """The initial value of a state: the leaf at whose place later steps have this family."""
        if len(family) < 2:
            return None
        for user, slot in self.record.users[family[0].index]:
            place = next((f for f in self.families if self.record.nodes[user] in f), [])
            if len(place) == len(family) and place.index(self.record.nodes[user]) == 1:
                operand = place[0].operands[slot]
                if isinstance(operand, Ref) and self.record.nodes[operand.index].shape == family[0].shape:
                    return operand.index
        return None

    def slices(self) -> Iterator[Edit]:
        """Two slices of one value, such as gates stacked in one matrix, exchanged."""
        cuts = [f for f in self.families if f[0].op is not None and f[0].op.name == "getitem"]
        for i, one in enumerate(cuts):
            for two in cuts[i + 1 :]:
                if len(one) == len(two) and one[0].operands == two[0].operands and one[0].shape == two[0].shape:
                    uses: dict[Use, Rule] = {}
                    for a, b in zip(one, two, strict=True):
                        uses[a.index, 0], uses[b.index, 0] = _as_if(b), _as_if(a)
                    names = f"{self.gate(one[0])} and {self.gate(two[0])}"
                    yield Edit(f"At every step, the gradients of the gates {names} are exchanged.", uses)

    def gate(self, cut: Node) -> str:
        """What a slice of the stacked gates is for."""
        users = self.record.users[cut.index]
        return self.named(self.record.nodes[users[0][0]]) if users else self.named(cut)

    def everywhere(self) -> Iterator[Edit]:
        """The same mistake at every place of its kind: all biases, all masks."""
        record = self.record
        summed: list[Use] = []
        masks: dict[Use, Rule] = {}
        for node, slot in record.truth.contributions:
            use, made = (node, slot), record.nodes[node]
            assert made.op is not None
            if made.op.name == "where":
                masks[use] = _unmasked
            elif made.op.name == "mul" and self.is_mask(made.operands[1 - slot]):
                masks[use] = _passed_on
            elif made.op.name in ("linear", "add") and np.ndim(record.target(made, slot)) == 1:
                summed += [use] if np.ndim(record.truth.gradients[node]) == 2 else []
        if masks:
            yield Edit("The masks are ignored: gradients pass as if every sequence were of full length.", masks)
        for which, words in ((0, "first"), (-1, "last")) if summed else ():
            uses = dict.fromkeys(summed, _row(which))
            yield Edit(f"Every bias is not un-broadcast: it receives the batch's {words} row, not the sum.", uses)
        for n in self.batch if summed else ():
            uses = dict.fromkeys(summed, scaled(1 / n))
            yield Edit(f"Every bias is averaged over the batch of {n}, not summed.", uses)

    def is_mask(self, operand: object) -> bool:
        """A constant of zeros and ones."""
        if not isinstance(operand, Ref) or self.record.nodes[operand.index].requires_grad:
            return False
        value = self.record.values[operand.index]
        return bool(np.all((value == 0) | (value == 1)))

    # Leaves ----------------------------------------------------------------------------------------------

    def written_down(self) -> Iterator[Edit]:
        """The walk is right, but a leaf's gradient was written down wrongly."""
        leaves = self.record.graph.parameters
        shared = [leaf.index for leaf in leaves if self.is_shared(leaf)]
        for factor, words in self.factors.items() if len(shared) > 1 else ():
            yield Edit(
                f"The gradient of every shared weight is {words}.", leaves={i: _times(i, factor) for i in shared}
            )
        for leaf in leaves:
            name, i = self.leaf_name(leaf), leaf.index
            yield Edit(f"The gradient of {name} is missing.", leaves={i: _times(i, 0.0)}, cost=1.05)
            for factor, words in self.factors.items():
                yield Edit(f"The gradient of {name} is {words}.", leaves={i: _times(i, factor)})
            turned = blocks_transposed(np.zeros(leaf.shape))
            if turned is not None and turned.shape == leaf.shape:
                yield Edit(f"The gradient of {name} is transposed.", leaves={i: _turned(i)}, cost=0.9)
            for other in leaves:
                if other.index > i and other.shape == leaf.shape:
                    j = other.index
                    names = f"{name} and {self.leaf_name(other)}"
                    yield Edit(
                        f"The gradients of {names} are exchanged.", leaves={i: _times(j, 1.0), j: _times(i, 1.0)}
                    )
                    both = _added(i, j)
                    yield Edit(f"The gradients of {names} were added up in one buffer.", leaves={i: both, j: both})

    def is_shared(self, leaf: Node) -> bool:
        """A weight of all time steps; not a sequence that is cut into steps."""
        users = [self.record.nodes[user].op for user, _ in self.record.users[leaf.index]]
        return len(users) > 1 and all(op is not None and op.name not in ("getitem", "take", "where") for op in users)

    # Names -----------------------------------------------------------------------------------------------

    def leaf_name(self, leaf: Node) -> str:
        """What the user calls it."""
        return self.record.original.nodes[leaf.index].name or leaf.role or f"the leaf of shape {leaf.shape}"

    def named(self, node: Node) -> str:
        """A value in words."""
        if node.op is None:
            return self.leaf_name(node)
        if node.role:
            return node.role
        users = [self.record.nodes[user] for user, _ in self.record.users[node.index]]
        inside = next((u.role for u in users if u.role), None)
        part = node.scope.part or inside
        return f"the {node.op.name}" + (f" in {part}" if part else "")

    def name_of(self, node: Node, slot: int) -> str:
        """An operand in words."""
        operand = node.operands[slot]
        return self.named(self.record.nodes[operand.index]) if isinstance(operand, Ref) else f"{operand:g}"


def _row(which: int) -> Rule:
    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        raw, target = record.raw(node, slot, g), np.shape(record.target(node, slot))
        while raw.ndim > len(target):
            raw = raw[which]
        keep = tuple(slice(None) if n == m else [which] for n, m in zip(raw.shape, target, strict=True))
        return np.asarray(raw[keep])

    return rule


def _transposed(record: Record, node: Node, slot: int, g: Array) -> Array:
    sent = record.pull(node, slot, g)
    turned = blocks_transposed(sent)
    return sent if turned is None or turned.shape != sent.shape else turned


def _single(record: Record, node: Node, slot: int, g: Array) -> Array:
    return record.pull(node, slot, g.astype(np.float32).astype(np.float64))


def _sloped(slope: Callable[[Array, Array], Array]) -> Rule:
    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        return np.asarray(g * slope(record.values[node.index], record.target(node, slot)))

    return rule


def _unmasked(record: Record, node: Node, slot: int, g: Array) -> Array:
    return g if slot == 1 else 0 * g


def _passed_on(record: Record, node: Node, slot: int, g: Array) -> Array:
    return g


def _as_if(other: Node) -> Rule:
    return lambda record, node, slot, g: record.pull(other, slot, g)


def _with_transposed(other: int) -> Rule:
    def rule(record: Record, node: Node, slot: int, g: Array) -> Array:
        operand = node.operands[other]
        assert isinstance(operand, Ref)
        value = record.values[operand.index]
        turned = blocks_transposed(value)
        return record.pull(node, slot, g, {operand.index: value if turned is None else turned})

    return rule


def _times(leaf: int, factor: float) -> Rewrite:
    return lambda whole: np.asarray(factor * whole[leaf])


def _added(one: int, two: int) -> Rewrite:
    return lambda whole: np.asarray(whole[one] + whole[two])


def _turned(leaf: int) -> Rewrite:
    def rewrite(whole: Mapping[int, Array]) -> Array:
        turned = blocks_transposed(whole[leaf])
        return whole[leaf] if turned is None else turned

    return rewrite
