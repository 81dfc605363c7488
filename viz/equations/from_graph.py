"""Formulas between named values, read from the recorded graph of a backward pass.

The engine's rules run on tensors, so the backward pass is itself a graph. That graph is cut at everything that has a
name, the gradients of named values among them; what is left between two cuts is a formula.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn import primitives as P
from tinygrad_rnn.ancestors import ancestors
from tinygrad_rnn.graph import Ref
from tinygrad_rnn.primitives import TABLE
from tinygrad_rnn.primitives.record import broadcast
from tinygrad_rnn.progress import followed
from tinygrad_rnn.recurrence.detached import DETACH

from . import expression as e
from . import log_softmax
from .expression import Apply, Expression, Symbol
from .formula_text import Text
from .jacobians import shape_of
from .naming import Known, names

Shapes = list[tuple[int, ...]]  #: of all operands, () for numbers
#: A nameless value used in several places gets a name if its formula has more operations than this, else is repeated.
REPEATED = 3
WEIGHTED = 4  #: operations a layer counts as
#: A formula of more operations than this is cut up, whatever has names.
LONGEST = 24


class Reader:
    """Reads formulas out of ``graph``, which holds a loss, node ``output``, and the gradients of what it was made from.

    ``gradients``: position of the gradient by position of the value; ``named``: values that get a line of their own
    whatever they are; ``known``: the names that pictures have.
    """

    def __init__(
        self, graph: tg.Graph, output: int, gradients: Mapping[int, int], named: Sequence[int], known: Known
    ) -> None:
        self.graph, self.nodes, self.output = graph, graph.nodes, output
        self.gradients = dict(gradients)
        self.seed = gradients[output]
        self.names, self.gates = names(graph, output, known), known.gates
        self.read: dict[int, Expression] = {}
        self.targets = [*dict.fromkeys([*named, output])]
        told = ((node.index, log_softmax.gradient(self.nodes, node)) for node in self.nodes)
        self.log_softmax = {index: found for index, found in told if found is not None}
        self.symbols: dict[int, Symbol] = {}
        self.shapes: dict[Symbol, tuple[int, ...]] = {}
        self.aliases: dict[int, list[int]] = defaultdict(list)  #: values whose gradient is the same tensor, best first
        for value in sorted(self.gradients, reverse=True):
            self.aliases[self.gradients[value]].append(value)
        for found in self.aliases.values():
            found.sort(key=lambda value: not self.is_named(value))
        self._cut()

    def is_named(self, index: int) -> bool:
        """Whether a forward value has a name a person gave it, or a place in the network that is one."""
        node = self.nodes[index]
        if node.scope.backward or index == self.seed:
            return False
        said = node.role or node.name or index in self.targets or index in self.gates
        return bool(said or (node.op is None and not self._is_number(node)))

    def _is_number(self, node: tg.Node) -> bool:
        if node.op is not None or node.requires_grad or node.value is None:
            return False
        return node.shape == () and node.dtype.kind == "f"

    def _cut(self) -> None:
        """Give symbols to what is cut: what has a name, and what would be written in too many places or too long.

        What is cut at one time step is cut at all: at its ends a recurrence uses some values less often.
        """
        self._cut_once(set())
        again = {(symbol.stem, symbol.gradient) for symbol in self.symbols.values() if symbol.step is not None}
        for known in (self.symbols, self.shapes, self.read):
            known.clear()
        self._cut_once(again)
        self.read.clear()

    def _cut_once(self, also: set[tuple[str, bool]]) -> None:
        wanted = (gradient for value, gradient in self.gradients.items() if self.is_named(value))
        needed, pending = set[int](), [self.output, *wanted]
        uses: dict[int, int] = defaultdict(int)
        while pending:
            index = pending.pop()
            if index not in needed:
                needed.add(index)
                for source in self._sources(index):
                    uses[source] += 1
                    pending.append(source)
        sizes: dict[int, int] = {}
        words: dict[Hashable, int] = {}
        word: dict[int, int] = {}  #: of formulas that are written alike, but for the time step
        terms: dict[int, dict[int, int]] = {}  #: of sums, by what their terms are, how long one of them is
        for index in followed(sorted(needed), "looking for names", len(needed)):
            node, sources = self.nodes[index], self._sources(index)
            alone = 0 if node.op in (None, P.cast) else WEIGHTED if node.op.name == "linear" else 1
            sizes[index] = alone + sum(sizes[s] for s in sources if s not in self.symbols)
            word[index] = words.setdefault(
                (node.op and node.op.name, node.shape, *(word[s] for s in sources)), len(words)
            )
            if node.op is P.add and len(sources) == 2:
                terms[index] = {}
                for s in sources:
                    open_ = s not in self.symbols
                    terms[index] |= terms[s] if open_ and s in terms else {word[s]: sizes[s] if open_ else 0}
                sizes[index] = sum(terms[index].values()) + max(len(terms[index]) - 1, 1)  # however many steps
            value = self.aliases[index][0] if index in self.aliases else None
            own = self.names.get(index if value is None else value, Symbol("", None))
            elsewhere = own.step is not None and (own.stem, value is not None) in also
            # of what reads a scatter at known places, one alone writes what was scattered
            repeated = uses[index] > 1 and not self._is_taken_apart(index)
            long = elsewhere or sizes[index] > (REPEATED if repeated else LONGEST)
            # of several losses, 1 / 3: each step's is a line, and none is called as another's
            several = sum(map(self.is_named, self.aliases.get(index, ()))) > 1
            same = several and e.is_number(self._made(index))
            if value is not None and value != self.output and (self.is_named(value) or long) and not same:
                self.symbols[index] = self.symbol(value, gradient=True)
            elif value is None and (self.is_named(index) or (long and not node.scope.backward)):
                self.symbols[index] = self.symbol(index)
            if (symbol := self.symbols.get(index)) is not None:
                self.shapes[symbol] = node.shape
                word[index] = words.setdefault((symbol.stem, symbol.gradient), len(words))

    def _is_taken_apart(self, index: int) -> bool:
        """Whether a node puts a value into zeros, and each of its readers takes one element out."""
        if self.nodes[index].op is not P.scatter:
            return False
        return all(self.nodes[reader].op is P.getitem for reader in self.graph.consumers[index])

    def _sources(self, index: int) -> Sequence[int]:
        """The nodes whose formulas stand in a node's."""
        found = self.log_softmax.get(index)
        if found is None:
            return self.nodes[index].sources
        if found.right is None or found.factor is None:
            return found.gradient, found.gradient, found.scores
        return found.factor, found.right, found.scores

    def symbol(self, value: int, *, gradient: bool = False) -> Symbol:
        """A forward value's, or its gradient's, name."""
        return replace(self.names[value], gradient=gradient)

    @property
    def forward(self) -> list[int]:
        """The forward values that have a symbol."""
        return [index for index, symbol in self.symbols.items() if not symbol.gradient]

    @property
    def values(self) -> dict[str, Any]:
        """The array behind every symbol."""
        found = {symbol: self.nodes[index].value for index, symbol in self.symbols.items()}
        for value, gradient in self.gradients.items():
            found.setdefault(self.symbol(value, gradient=True), self.nodes[gradient].value)
        found[self.symbol(self.output)] = self.nodes[self.output].value
        return {Text()(symbol): value for symbol, value in found.items()}

    def definition(self, index: int) -> Expression:
        """The formula that a node was computed by."""
        node = self.nodes[index]
        made = self._made(index)
        contributions = node.scope.backward and node.op is not None and node.op.name == "add"
        return e.ascending(made) if contributions else made

    def _expression(self, index: int) -> Expression:
        """A node's symbol, or else its formula."""
        if index not in self.read:  # the same formula is the same object
            self.read[index] = self.symbols.get(index) or self._made(index)
        return self.read[index]

    def _made(self, index: int) -> Expression:
        node = self.nodes[index]
        if node.op is None:
            return float(node.value) if node.value is not None and self._is_number(node) else 1.0
        if index in self.log_softmax:
            return self._gradient_of_log_softmax(self.log_softmax[index], node.shape)
        if node.op.name == "add":
            terms = self._softmax_minus_one_hot(node) or [self._operand(x) for x in self._terms(index)]
            return e.plus(terms, node.shape)
        args = [self._operand(x) for x in node.operands]
        shapes = [self.nodes[x.index].shape if isinstance(x, Ref) else () for x in node.operands]
        return self._simplified(node, args, shapes)

    def _softmax_minus_one_hot(self, node: tg.Node) -> list[Expression] | None:
        """The gradient of a cross-entropy: the engine puts the target's entry in from the loss, for its digits."""
        try:
            (others, target) = (self.nodes[x.index] for x in node.operands if isinstance(x, Ref))
            probabilities, hit = (self.nodes[y.sources[0]] for y in (others, target))
        except (ValueError, IndexError):
            return None
        if (others.op, probabilities.op, target.op, hit.op) != (P.mul, P.softmax, P.mul, P.one_hot):
            return None
        return [self._expression(probabilities.index), e.negative(self._expression(hit.index), node.shape)]

    def _gradient_of_log_softmax(self, found: log_softmax.Found, shape: tuple[int, ...]) -> Expression:
        settings = {"axis": -1 if found.axis % len(shape) == len(shape) - 1 else found.axis}
        probabilities = Apply("softmax", (self._expression(found.scores),), settings, shape)
        if found.right is not None and found.factor is not None:
            factor = e.negative(self._scalar(self._expression(found.factor)), shape)
            difference = e.plus([probabilities, e.negative(self._expression(found.right), shape)], shape)
            return e.times([factor, difference], shape)
        g = self._whole(self._expression(found.gradient), shape)
        row = tuple(1 if axis == found.axis % len(shape) else n for axis, n in enumerate(shape))
        total = e.summed(g, {"axis": found.axis, "keepdims": True}, row)
        return e.plus([g, e.negative(e.times([probabilities, total], shape), shape)], shape)

    def _operand(self, x: object) -> Expression:
        return self._expression(x.index) if isinstance(x, Ref) else float(x)  # type: ignore[arg-type]

    def _terms(self, index: int) -> Iterator[object]:
        """The operands of a chain of additions, however long."""
        pending: list[object] = list(reversed(self.nodes[index].operands))
        while pending:
            x = pending.pop()
            if isinstance(x, Ref) and x.index not in self.symbols:
                node = self.nodes[x.index]
                if node.op is not None and node.op.name == "add":
                    pending += reversed(node.operands)
                    continue
            yield x

    def _simplified(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        assert node.op is not None
        if not node.op.elementwise:
            args = [x if e.is_number(x) else self._whole(x, was) for x, was in zip(args, shapes)]
        rule = _FORMULAS.get(TABLE.get(node.op.name, node.op))
        found = rule(self, node, args, shapes) if rule is not None else None
        if found is None and node.op.homogeneous and all(x == 0 for x in args):
            found = 0.0
        return self._applied(node, args, shapes) if found is None else found

    def _applied(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        """The operation as it is. Not a formula of numbers alone: that would not have the result's shape.

        And an operation that does not broadcast must be given operands of the shapes it had.
        """
        assert node.op is not None
        if node.op.shape is not broadcast or all(map(e.is_number, args)):
            known = zip(args, shapes, node.operands)
            args = [self._whole(x, was) if isinstance(operand, Ref) else x for x, was, operand in known]
        return Apply(node.op.name, tuple(args), self._settings(node), node.shape)

    # Formulas of single operations, see `_FORMULAS` ----------------------------------------------------------

    def _mul(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        factors = zip(args, shapes[::-1])
        return e.times([self._scalar(x) if other == node.shape else x for x, other in factors], node.shape)

    def _matmul(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        a, b = (self._whole(x, was) for x, was in zip(args, shapes))
        return e.product(a, b, node.shape)

    def _linear(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        x, weight, *bias = (self._whole(arg, was) for arg, was in zip(args, shapes))
        return e.plus([e.product(x, e.turned(weight, (1, 0), shapes[1][::-1]), node.shape), *bias], node.shape)

    def _where(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression:
        shape = node.shape
        if node.scope.backward and self._is_mask_of_the_walk(node) and shapes[1] == shape:
            return args[1]
        if shapes[0] == shape:
            args = [args[0], *map(self._scalar, args[1:])]
        if (always := self._always(node)) is not None:
            chosen = 1 if always else 2
            if shapes[chosen] == shape or e.is_number(args[chosen]):
                return args[chosen]
        return self._applied(node, args, shapes)

    def _getitem(self, node: tg.Node, args: list[Expression], shapes: Shapes) -> Expression | None:
        if args[0] == 0:
            return None
        whole = self._whole(args[0], shapes[0]) if e.is_number(args[0]) else args[0]
        return e.picked(whole, node.attrs["index"], {**node.attrs, "part": self._gate(node)}, node.shape)

    @staticmethod
    def _settings(node: tg.Node) -> dict[str, Any]:
        """The settings, the usual axis by the number that stands for it in any array."""
        assert node.op is not None
        axis, usual, rank = node.attrs.get("axis"), node.op.usual.get("axis"), len(node.shape)
        if isinstance(axis, int) and isinstance(usual, int) and rank and (axis - usual) % rank == 0:
            return {**node.attrs, "axis": usual}
        return node.attrs

    def _gate(self, node: tg.Node) -> str:
        """The gate that is made of this part of what goes into all of them; "" if it is none."""
        while True:
            uses = [self.nodes[i] for i in self.graph.consumers[node.index] if not self.nodes[i].scope.backward]
            if len(uses) != 1:
                return ""
            (node,) = uses
            if node.role:
                return node.role if len(node.role) == 1 and node.role not in "hcx" else ""

    def _whole(self, x: Expression, shape: tuple[int, ...]) -> Expression:
        """A formula with the shape of the value it is for, where one that broadcasts to it will not do."""
        if e.is_number(x):
            return Apply("full", (x,), {"shape": shape}, shape)
        return x if self._shape(x) == shape else Apply("broadcast_to", (x,), {"shape": shape}, shape)

    def _scalar(self, x: Expression) -> Expression:
        """The number of an array that is made of one number: it is a factor whatever the shape."""
        inner = x
        while isinstance(inner, Apply) and inner.op in ("reshape", "broadcast_to"):
            inner = inner.args[0]
        if isinstance(inner, Apply) and inner.op == "neg" and (of := self._scalar(inner.args[0])) is not inner.args[0]:
            inner = e.negative(of, ())
        return inner if self._shape(inner) == () else x

    def _shape(self, x: Expression) -> tuple[int, ...]:
        return shape_of(x, self.shapes)

    def _is_mask_of_the_walk(self, node: tg.Node) -> bool:
        """Whether it only repeats what a rule says: that nothing arrives at what was left out."""
        condition, _, otherwise = node.operands
        made = isinstance(condition, Ref) and self.nodes[condition.index]
        return bool(made and made.op is None and made.scope.backward and otherwise == 0)

    def _always(self, node: tg.Node) -> bool | None:
        """The value of a condition that is the same everywhere and comes from what was given, not from the weights."""
        first = node.operands[0]
        if not isinstance(first, Ref):
            return None
        if any(self.nodes[index].requires_grad for index in ancestors(self.nodes, [first.index])):
            return None
        found = {self._everywhere(index) for index in self._asked_alike(first.index)}
        return found.pop() if len(found) == 1 else None

    def _asked_alike(self, condition: int) -> Sequence[int]:
        """A condition with what other time steps ask of the same values, so that an equation is that of all steps."""
        node = self.nodes[condition]
        if node.op is None or node.scope.step is None:
            return [condition]
        users = self.graph.consumers[node.sources[0]] if node.sources else ()
        return [condition, *(i for i in users if (n := self.nodes[i]).op is node.op and n.sources == node.sources)]

    def _everywhere(self, index: int) -> bool | None:
        """The value of a condition at all places; None if they differ."""
        value = self.nodes[index].value
        if value is None or not value.size or value.min() != value.max():
            return None
        return bool(value.min())


#: The formula of an operation; None where it is written as it is.
_FORMULAS: dict[tg.Primitive, Callable[[Reader, tg.Node, list[Expression], Shapes], Expression | None]] = {
    P.sub: lambda _, node, args, _shapes: e.plus([args[0], e.negative(args[1], node.shape)], node.shape),
    P.mul: Reader._mul,
    P.neg: lambda _, node, args, _shapes: e.negative(args[0], node.shape),
    P.div: lambda _, node, args, _shapes: e.over(args[0], args[1], node.shape),
    P.cast: lambda _, _node, args, _shapes: args[0],
    P.power: lambda _, _node, args, _shapes: args[0] if args[1] == 1 else None,
    P.permute: lambda _, node, args, _shapes: e.turned(args[0], node.attrs["axes"], node.shape),
    P.reshape: lambda _, node, args, shapes: e.reshaped(args[0], shapes[0], node.shape),
    P.broadcast_to: lambda _, _node, args, _shapes: args[0] if e.is_number(args[0]) else None,
    DETACH: lambda _, node, args, shapes: e.reshaped(Apply("detach", (args[0],), {}, shapes[0]), shapes[0], node.shape),
    P.concat: lambda _, _node, args, _shapes: args[0] if len(args) == 1 and not e.is_number(args[0]) else None,
    P.matmul: Reader._matmul,
    P.linear: Reader._linear,
    P.where: Reader._where,
    P.getitem: Reader._getitem,
    P.sum_: lambda _, node, args, _shapes: None if e.is_number(args[0]) else e.summed(args[0], node.attrs, node.shape),
}
