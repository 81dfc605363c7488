"""Names of nodes, and finding a node by what a person types.

What has a name in pictures has the same here, as it is typed: ``h_3``, ``f2_3``. Other values go by their own name or
their operation: ``weight_hh_l0``, ``linear_3``. A name that several nodes share is preceded by the place,
``l1.linear_3``, and if that does not tell them apart followed by a number, ``l0.mul_3:2``. A role in its place,
``l1.h_3``, is understood where it means one node, and ``#12`` is node 12, whatever it is called. What is shown of a
node (`Spoken`) is found as well.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import replace

import tinygrad_rnn as tg

from .. import style
from ..graph.detail_levels import collapse
from ..graph.value_names import ValueNames, common
from ..vocabulary import Mark
from .shown_names import Spoken

NAME_LIMIT = 40


class Names:
    """The names of a graph's nodes."""

    def __init__(self, graph: tg.Graph) -> None:
        level = collapse(graph, "gate")
        known = ValueNames(level)
        values, self._known = known.by_node(), known
        judged = "loss" in level.roles
        if not level.columns:  # without time steps a formula tells more than a letter, but for the scores of a loss
            values = {
                i: names
                for i, names in values.items()
                if (level.roles[i] and judged) or graph.nodes[i].role or names[0].letter == "L" or i in known.variables
            }
        self._values = values
        told = zip(graph.nodes, level.roles, strict=True)
        nodes = [replace(node, role=node.role or role or None) for node, role in told]
        self.graph = graph = graph.of(nodes, graph.outputs)  #: with the roles of scores and losses that nobody labelled
        short = [self._short(node) for node in graph.nodes]
        levels = [_levels(node, self._path(node), own[0]) for node, own in zip(graph.nodes, short, strict=True)]
        self._aliases: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(levels):
            for name in names:
                self._aliases[name].append(index)
        self.names: list[str] = []
        for index, names in enumerate(levels):
            twins = self._aliases[names[-1]]
            name = next(name for name in names if self._aliases[name] == twins or len(self._aliases[name]) == 1)
            self.names.append(name if len(self._aliases[name]) == 1 else f"{name}:{twins.index(index) + 1}")
        others = defaultdict[str, list[int]](list)  #: names that nodes answer to where nothing else is called so
        for node, own in zip(graph.nodes, short, strict=True):
            path = self._path(node)
            for name in dict.fromkeys(name for other in own[1:] for name in _levels(node, path, other)):
                others[name].append(node.index)
        self._spoken = Spoken(graph, self.names, self._values, known)
        named = [*(name for names in self._values.values() for name in names), *known.weights.values()]
        self._drawn = {name.text: str(name) for name in named}
        self.marks = known.marks  #: by cell what tells its states from others'
        self.read, self.as_read = self._spoken.read, self._spoken.as_read
        self.shown = self._spoken.found  #: what people read: ``y_3``, ``W_hh``, ``a_f3``, ``(f_3 ⊙ c_2)``
        for index, pair in enumerate(zip(self.names, self.shown)):
            for name in pair:
                if index not in self._aliases[name] and (name == pair[0] or not self._aliases[name]):
                    self._aliases[name].append(index)
        self._aliases |= {name: found for name, found in others.items() if name not in self._aliases}

    def _path(self, node: tg.Node) -> list[str]:
        """The module path a value belongs to: where it was made, a parameter or first state where it is used."""
        path: tuple[str, ...] = node.scope.path
        if node.op is None and not path and (node.is_parameter or node.index in self._values):
            path = common([self.graph.nodes[i].scope.path for i in self.graph.consumers[node.index]])
        return [_clean(part) for part in path]

    def _short(self, node: tg.Node) -> list[str]:
        """The name of a value, and others that it answers to."""
        names = self._values.get(node.index, ()) if node.op is not None or not node.name else ()
        if node.is_parameter and not names:
            own = self._known.parameters[node.index] if node.name else self._known.parameter(node.index).text
            return [_clean(own), _clean(node.name or own)]
        alone = [name._replace(cell=Mark()).text for name in names]  # its cell may be said by the path
        is_loss = node.index == self.graph.outputs[0] and not node.name
        texts = [*(name.text for name in names), *alone[:1], *([] if names and not node.role else [_short(node)])]
        return [_clean(text) for text in ([*texts, "loss"] if is_loss else texts)]

    def drawn(self, said: str) -> str:
        """A name or a formula as boxes have it, ``h⁽²⁾₃``."""
        return re.sub(r"[\w′]+", lambda word: self._drawn.get(word[0]) or style.with_small_numbers(word[0]), said)

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


def _short(node: tg.Node) -> str:
    if node.op is None and node.name:
        return node.name
    what = node.role or node.name or (node.op.name if node.op else "constant")
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
