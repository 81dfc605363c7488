"""Names wherever things are shown: the lecture's letters first, the parameters' own names second.

The input is x, the states are h and c, the scores are y, the loss is L; matrices are called by what they lead from and
to, W_xh, W_hh, W_hy; ∂L/∂h is a gradient, and a time step's share of a shared weight's gradient is the part of the
whole gradient that it makes up, so that all shares add up to 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import tinygrad_rnn as tg
from tinygrad_rnn import primitives as P
from tinygrad_rnn.bptt.state_rows import state_rows

from . import style

#: The letters of what has one in the lecture, by role; other roles are letters themselves.
LETTERS: Mapping[str, str] = {"logits": "y", "loss": "L"}
#: Gates, in the order they are taught in.
GATES: Mapping[str, int] = {name: rank for rank, name in enumerate("ifogrzn")}
#: What layers call their parameters; the lecture's letters say it better, but a name that a person gave is kept.
LAYERS_NAME = re.compile(r"(weight|bias)(_[ih]h)?(_l\d+)?(_reverse)?")
ANOTHERS = "another cell's state"


class Mark(NamedTuple):
    """The index of one of several cells, or inputs: none if there is one only."""

    number: int = 0  #: from 1
    arrow: str = ""  #: ← of a cell that reads backward, → of its twin

    def __str__(self) -> str:
        """In parentheses, so that it is no power."""
        return f"{style.superscript(f'({self.number})') if self.number else ''}{self.arrow}"


class Name(NamedTuple):
    """The name of a value wherever it is shown; each place has a way of its own to spell it.

    >>> name = Name("h", Mark(2), 3)
    >>> print(name, name.text, Name("W_xh", Mark(2)).text, Name("h", Mark(0, "←"), 3).text)
    h⁽²⁾₃ h2_3 W2_xh h_reverse_3
    """

    letter: str
    cell: Mark = Mark()
    step: int | None = None  #: from 1; what a cell begins with has 0
    inner: int | None = None  #: the same of a loop inside of the step

    def __str__(self) -> str:
        """As pictures write it."""
        inner = "" if self.inner is None else f",{style.subscript(self.inner)}"
        return f"{self.letter}{self.cell}{'' if self.step is None else style.subscript(self.step)}{inner}"

    @property
    def text(self) -> str:
        """As it is typed."""
        letter, below, tail = self.letter.partition("_")
        head = letter.rstrip("′")
        back = "_reverse" if self.cell.arrow == "←" else ""
        when = "" if self.step is None else f"{'' if tail and len(head) == 1 else '_'}{self.step}"
        inner = "" if self.inner is None else f"_{self.inner}"
        return f"{head}{self.cell.number or ''}{letter[len(head) :]}{below}{tail}{back}{when}{inner}"


def letter(role: str) -> str:
    """The lecture's letter for values of a role.

    >>> letter("logits"), letter("h")
    ('y', 'h')
    """
    return LETTERS.get(role, role)


def weights(graph: tg.Graph, cells: Mapping[tuple[str, ...], Mark]) -> dict[int, Name]:
    """The lecture's name of each parameter: W_xh, W_hh, W_hy, and b_xh, b_hh, b_hy for what is added to their products.

    ``cells``: by the scope of a cell the mark of what belongs to it: its matrices are W_xh⁽²⁾, W_hh⁽²⁾. Only where the
    letter is one parameter's alone, the name it has is a layer's, not a person's, and every matrix of its cell has one:
    of four recurrent matrices none is W_hh. Those that have no name are
    numbered as they were made: W1, W2.

    >>> cell = tg.nn.LSTMCell(2, 3)
    >>> h, c = cell(tg.nn.labelled(tg.ones(1, 2), "x"))
    >>> [str(name) for _, name in sorted(weights(tg.Graph(h), {}).items())]
    ['W_xh', 'W_hh', 'b_xh', 'b_hh']
    """
    states, nodes = state_letters(graph), graph.nodes
    own = [node for node in nodes if node.is_parameter and LAYERS_NAME.fullmatch(node.name or "weight")]
    letters = {node.index: weight(graph, node, states, cells) for node in own}
    found = {i: Name(said, _mark(graph, i, cells) if "_" in said else Mark()) for i, said in letters.items()}
    once = {name for name, count in Counter(found.values()).items() if count == 1}
    for use in nodes:
        if use.op is not None and use.op.name == "linear" and len(use.sources) == 3:
            _, matrix, bias = use.sources
            if (
                bias in found
                and found[bias].letter == "b"
                and found.get(matrix) in once
                and found[matrix].letter != "W"
            ):
                found[bias] = found[matrix]._replace(letter=letters[matrix].replace("W", "b", 1))
    often = Counter(found.values())
    nameless = sorted((n for n in own if not n.name), key=lambda n: n.serial)
    numbers = {
        n.index: sum(found[m.index] == found[n.index] for m in nameless[: k + 1]) for k, n in enumerate(nameless)
    }
    told = {
        i: name._replace(letter=f"{name.letter}{numbers.get(i, '')}") if often[name] > 1 else name
        for i, name in found.items()
    }
    kept = {i: name for i, name in told.items() if i in numbers or (often[found[i]] == 1 and "_" in name.letter)}
    inside = {n.index: {graph.nodes[i].scope.path for i in graph.consumers[n.index]} & cells.keys() for n in own}
    mixed = {cell for n in own if n.index not in kept and len(n.shape) > 1 for cell in inside[n.index]}
    return {i: name for i, name in kept.items() if i in numbers or not inside[i] & mixed}


def _mark(graph: tg.Graph, index: int, cells: Mapping[tuple[str, ...], Mark]) -> Mark:
    """The mark of the one cell that uses a parameter."""
    users = (graph.nodes[i] for i in graph.consumers[index])
    marks = {cells.get(user.scope.path, Mark()) for user in users if not user.scope.backward}
    return marks.pop() if len(marks) == 1 else Mark()


def state_letters(graph: tg.Graph) -> dict[int, str]:
    """A state's letter in W_xh and W_hh: its own if it is all that its cell carries, else h; "" if it has none."""
    letters = {node.index: "h" for node in graph.nodes if node.role == "h"}
    rows = state_rows(graph)
    alone = Counter(id(row.loop) for row in rows)
    for row in rows:
        letter = row.name if len(row.name) == 1 and (row.name == "h" or alone[id(row.loop)] == 1) else ""
        for n in (*row.nodes, *row.initial):
            if n is not None:
                letters.setdefault(n, letter)
    return letters


def weight(graph: tg.Graph, node: tg.Node, states: Mapping[int, str], cells: Mapping[tuple[str, ...], Mark]) -> str:
    """A lecture's name of a parameter: b, or by what it is multiplied with, W_xh, W_hh or W_hy, else W.

    To a cell the states of another one are its input. ``states``: see `state_letters`.
    """
    if len(node.shape) < 2:
        return "b"
    uses = [use for i in graph.consumers[node.index] if not (use := graph.nodes[i]).scope.backward]
    if node.shape[0] == 1 and uses and all(use.op is P.add for use in uses):
        return "b"  # a row that is added to every row
    uses = [use for use in uses if use.op is not None and use.op.is_product]
    others = {
        _letter(graph, i, use.scope.path, states, cells) for use in uses for i in use.sources[:2] if i != node.index
    }
    if ANOTHERS in others:  # what a cell begins with may be another's
        others = others - {ANOTHERS} or {"x"}
    letter, reached = others.pop() if len(others) == 1 else None, _reached_state(graph, node.index, states)
    return f"W_{letter}{reached}" if letter and (letter, reached) != ("x", "y") else "W"


def _letter(
    graph: tg.Graph, index: int, user: tuple[str, ...], states: Mapping[int, str], cells: Collection[tuple[str, ...]]
) -> str | None:
    """The role of a matrix's other factor, whatever moved it there; data without a label is the input."""
    node = graph.nodes[index]
    while node.index not in states and not node.role and _moves(node):
        node = graph.nodes[node.sources[0]]
    known = states.get(node.index)
    if known and user in cells and node.op is not None and node.scope.path != user:
        return ANOTHERS
    return known or ("x" if node.role == "x" or not (node.role or node.requires_grad) else None)


def _moves(node: tg.Node) -> bool:
    return node.op is not None and node.op.kind == "movement" and bool(node.sources)


def _reached_state(graph: tg.Graph, index: int, states: Mapping[int, str]) -> str:
    """The letter of the later state that is made from it, or h if what it is used for next is; y of none."""
    uses = {use: None for use in graph.consumers[index] if not graph.nodes[use].scope.backward}
    found, pending = set[int](), [(use, use) for use in uses]
    while pending:
        start, use = pending.pop()
        if use in found or graph.nodes[use].scope.backward:
            continue
        if use in states or (use != start and use in uses):
            return states.get(use, "h")
        found.add(use)
        pending += [(start, user) for user in graph.consumers[use]]
    return "y"
