"""Names of nodes, and finding a node by what a person types.

A state or gate is its role and its time step, counted from 1 as on a blackboard: ``h_3``, ``f_2``, ``loss_4``; the
initial state is ``h_0``. Other values go by their own name or their operation: ``weight_hh_l0``, ``linear_3``. A name
that several nodes share is preceded by the place, ``l1.h_3``, and if that does not tell them apart followed by a
number, ``l0.mul_3:2``. ``#12`` is node 12, whatever it is called. What is shown of a node (`Spoken`) is found as well.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import replace

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.state_rows import state_rows

from .. import style, vocabulary
from ..graph.time_columns import scores_and_losses
from .shown_names import Spoken

NAME_LIMIT = 40


class Names:
    """The names of a graph's nodes."""

    def __init__(self, graph: tg.Graph) -> None:
        told = scores_and_losses(graph) if graph.steps else {}
        nodes = [replace(node, role=told.get(node.index, node.role)) for node in graph.nodes]
        self.graph = graph = graph.of(nodes, graph.outputs)  #: with the roles of scores and losses that nobody labelled
        self._states, self._weights = vocabulary.unsaid_states(graph), vocabulary.weights(graph)
        self._cells = defaultdict[int, list[tuple[str, ...]]](list)  #: of a first state, those that begin with it
        rows = state_rows(graph)
        for row in rows:
            for index in row.initial:
                self._cells[index].append(row.path)
        levels = [_levels(node, self._path(node), self._short(node, index)) for index, node in enumerate(graph.nodes)]
        self._aliases: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(levels):
            for name in names:
                self._aliases[name].append(index)
        self.names: list[str] = []
        for index, names in enumerate(levels):
            twins = self._aliases[names[-1]]
            name = next(name for name in names if self._aliases[name] == twins or len(self._aliases[name]) == 1)
            self.names.append(name if len(self._aliases[name]) == 1 else f"{name}:{twins.index(index) + 1}")
        for row in rows:  # a step in which one cell alone has a state names it as all others do
            own = [n for n in row.nodes if n is not None]
            places = max(self.names[n].count(".") for n in own)
            for n in own:
                longer = [name for name in levels[n] if name.count(".") == places and self._aliases[name] == [n]]
                self.names[n] = longer[0] if longer else self.names[n]
        self._spoken = Spoken(graph, self.names)
        self.shown = self._spoken.found  #: what people read: ``y_3``, ``W_hh``, ``a_f3``, ``(f_3 ⊙ c_2)``
        for index, pair in enumerate(zip(self.names, self.shown)):
            for name in pair:
                if index not in self._aliases[name] and (name == pair[0] or not self._aliases[name]):
                    self._aliases[name].append(index)

    def _path(self, node: tg.Node) -> list[str]:
        """The module path a value belongs to: where it was made, a parameter or first state where it is used."""
        path: tuple[str, ...] = node.scope.path
        if (node.is_parameter or (node.op is None and node.index in self._states)) and not path:
            readers = [self.graph.nodes[i].scope.path for i in self.graph.consumers[node.index]]
            users = self._cells[node.index] or readers or [()]
            path = next(p for n in range(len(users[0]), -1, -1) if all(u[:n] == (p := users[0][:n]) for u in users))
        return [_clean(part) for part in path]

    def _short(self, node: tg.Node, index: int) -> str:
        if node.is_parameter and not node.name and not node.role:
            return self._weights[index]
        if index in self._states and (node.op is None or node.scope.step is not None):
            return f"{self._states[index]}_{0 if node.op is None else (node.scope.step or 0) + 1}"
        return _short(node, index == self.graph.outputs[0])

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    def formula(self, index: int) -> str:
        """The formula of a node, ``(f_3 ⊙ c_2)``, even if it has a name; "" if that is too long."""
        return self._spoken.composed(self.graph.nodes[index])

    def both(self, index: int) -> str:
        """The name as people read it, and of a parameter its own name too: ``W_hh (weight_hh)``."""
        name, shown = self.names[index], self.shown[index]
        return f"{shown} ({name})" if name != shown and self.graph.nodes[index].is_parameter else shown

    def find(self, text: str) -> int:
        """The node somebody means by ``text``; if that is none or several, the error says which are near."""
        text = text.strip()
        if re.fullmatch(r"#\d{1,12}", text):
            if int(text[1:]) < len(self.graph):
                return int(text[1:])
            raise tg.ArgumentError(f"there is no node {text}; they go from #0 to #{len(self.graph) - 1}")
        found = self._aliases.get(text) or self._aliases.get(_spelled(text)) or []
        if len(found) == 1:
            return found[0]
        shown = style.shown(text, NAME_LIMIT)
        if found:
            some = ", ".join(f"{self.names[i]} (#{i})" for i in found[:5])
            more = ", …" if len(found) > 5 else ""
            raise tg.ArgumentError(f"{len(found)} nodes are called {shown}: {some}{more}; say which")
        near = difflib.get_close_matches(text[:NAME_LIMIT], list(self._aliases), 3, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "list shows what there is, #12 is node 12"
        raise tg.ArgumentError(f"no node is called {shown}; {hint}")

    def starting(self, text: str) -> list[str]:
        """Names that begin so, for completion."""
        return sorted(name for name in set(self.names) if name.startswith(text))


def _levels(node: tg.Node, path: list[str], short: str) -> list[str]:
    """Longer and longer names: ``h_3``, ``l1.h_3``, ``model.l1.h_3``; of a value without a role also with its gate."""
    part = [_clean(node.scope.part)] if node.scope.part and not node.role else []
    tails = [".".join((*path[start:], *part, short)) for start in range(len(path), -1, -1)]
    return list(dict.fromkeys([short, *tails]))


def _short(node: tg.Node, is_output: bool) -> str:
    if node.op is None and node.name:
        return _clean(node.name)
    if is_output and not node.name and node.role in (None, "loss"):
        return "loss"
    what = _clean(node.role or node.name or (node.op.name if node.op else "constant"))
    state = node.op is None and node.role in ("h", "c")
    if node.scope.step is None:
        return f"{what}_0" if state else what
    constant = ":constant" if state else ""  # a carry that was cut off, or zeros to start from
    return f"{what}_{node.scope.step + 1}{constant}"


def _clean(text: str) -> str:
    return style.shown(text, NAME_LIMIT).replace(" ", "␣")


def _spelled(text: str) -> str:
    """``h3``, ``h₃``, ``h[3]``, ``h.3`` mean ``h_3``."""
    plain = text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    return re.sub(r"^(.*?[^\W\d_])[.\[]?(\d+)\]?$", r"\1_\2", plain)
