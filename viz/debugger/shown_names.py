"""Names shown for nodes: the lecture's letter, its own name, or a formula of what has names.

``h_3``, ``y_3`` and ``L_3`` for states, scores and losses, ``W_hh`` for a recurrent matrix, ``a_f3`` for what goes
into the gate f_3, ``a_3`` for what goes into all of them, and ``(f_3 ⊙ c_2)``, ``(W_hhᵀ)`` or ``tanh(c_3)`` for what
has no name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.local_rule import flattens
from tinygrad_rnn.bptt.state_rows import handed_on
from tinygrad_rnn.graph import Node, Ref

from .. import style
from ..graph.value_names import ValueNames
from ..vocabulary import Name

#: A node that would need more characters goes by its operation; of a function's operand fewer are read easily.
LIMIT, FUNCTION_LIMIT = 32, 20
_SIGNS = {"*": "⊙", "/": "⊘", "+": "+", "-": "−"}


class Spoken:
    """The shown name of each node of ``graph``, in ``found``; ``names`` are what it falls back to."""

    def __init__(
        self,
        graph: tg.Graph,
        names: Sequence[str],
        values: Mapping[int, tuple[Name, ...]],
        known: ValueNames,
    ) -> None:
        self.graph, self.names, self.values = graph, names, values
        self.weights, self.targets, self.as_read = known.weights, known.targets, known.as_read()
        self.found: list[str] = []
        self.sums = set[int]()  #: written as a sum in parentheses
        self.products = set[int]()  #: and these as a product
        for node in graph.nodes:
            self.found.append(self._called(node))

    def _called(self, node: Node) -> str:
        name = self.names[node.index]
        if node.op is None:
            return self.weights[node.index].text if node.index in self.weights else self._target(node) or name
        if node.index in self.values or node.name:
            return name
        return self._gate_input(node) or self.composed(node) or name

    def _target(self, node: Node) -> str:
        """The name of a loss's target."""
        if node.index not in self.targets:
            return ""
        return "target" if node.scope.step is None else f"target_{node.scope.step + 1}"

    def _gate_input(self, node: Node) -> str:
        """The name of what goes into one gate, ``a_f3``."""
        uses = [self.graph.nodes[i] for i in self.graph.consumers[node.index]]
        gate = uses[0] if len(uses) == 1 else node
        name = self.values.get(gate.index, [Name("")])[0]
        if gate.op is None or len(name.letter) != 1 or name.step is None or not flattens(gate):
            return ""
        # of several gates called so each has more to its name, and so has what goes into it
        return self.names[gate.index].replace(name.text, name._replace(letter=f"a_{name.letter}").text)

    def read(self, index: int, user: int | None) -> str:
        """The name of a node to another that reads it: one first state may be a cell's c and its h."""
        name = None if user is None else self.as_read.get((index, user))
        return name.text if name else self.found[index]

    def _operand(self, index: int, user: int) -> str:
        """The text of an operand: of a state that is only handed on, the state's."""
        state = handed_on(self.graph.nodes, index)
        whole = state.role in ("h", "c") and math.prod(state.shape) == math.prod(self.graph.nodes[index].shape)
        return self.read(state.index if whole else index, user)

    def composed(self, node: Node) -> str:
        """The formula of a node, "" if that is too long."""
        op, index = node.op, node.index
        assert op is not None
        parts = [
            self._operand(x.index, index) if isinstance(x, Ref) else style.number(float(x)) for x in node.operands[:4]
        ]
        text = ""
        if op.infix == "+" and len(parts) == 2:
            self.sums.add(index)
            text = self._sum([self._bare(x, part) for x, part in zip(node.operands, parts)])
        elif op.infix in _SIGNS and len(parts) == 2:
            (self.sums if op.infix == "-" else self.products).add(index)
            text = f"({f' {_SIGNS[op.infix]} '.join(parts)})"
        elif op.name == "linear":
            self.sums.add(index)
            text = f"({' + '.join([f'{parts[0]} {parts[1]}ᵀ', *parts[2:]])})"
        elif op.name == "matmul":
            self.products.add(index)
            text = f"({parts[0]} {parts[1]})"
        elif op.name == "permute" and node.attrs["axes"] == (1, 0):
            self.products.add(index)
            text = f"({parts[0]}ᵀ)"
        elif isinstance(node.attrs.get("index"), tuple):
            self.products.add(index)
            text = f"({parts[0]}[{style.index_text(node.attrs['index'])}])"
        elif op.kind != "movement" and 0 < len(parts) < 3:
            text = f"{op.name}({self._bare(node.operands[0], parts[0])})"
            x = node.operands[0]
            if len(text) > FUNCTION_LIMIT and isinstance(x, Ref) and re.match(r"\w+\(", parts[0]):
                text = f"{op.name}({self.names[x.index]})"
        if len(text) > (LIMIT if index in self.sums | self.products else FUNCTION_LIMIT):
            self.sums.discard(index)
            self.products.discard(index)
            return ""
        return text

    def _bare(self, operand: object, text: str) -> str:
        """A term of a sum, without the parentheses that it then does not need."""
        if isinstance(operand, Ref) and operand.index in self.sums | self.products and text.startswith("("):
            return text[1:-1]
        return text

    @staticmethod
    def _sum(terms: list[str]) -> str:
        text = " + ".join(terms)
        if len(text) + 2 > LIMIT and text.count(" + ") > 2:
            parts = [part for part in text.split(" + ") if part != "…"]
            text = f"{parts[0]} + … + {parts[-1]}"
        return f"({text})"
