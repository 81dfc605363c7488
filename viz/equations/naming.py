"""Names of values in formulas: a stem and a time step, together an identifier in Python like no other."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from keyword import iskeyword
from typing import Self

import tinygrad_rnn as tg
from tinygrad_rnn.ancestors import ancestors
from tinygrad_rnn.primitives import TABLE

from ..graph.detail_levels import collapse
from ..graph.value_names import ValueNames, common, time_of
from ..vocabulary import Name
from .expression import Symbol
from .formula_text import NEVER, Text, When

NAME_LIMIT = 40  #: characters
#: What formulas call beside primitives, so that no value can be called so.
FUNCTIONS = {"at", "detach", "diag", "eye", "full", "inf", "matrix", "nan", "ones", "outer", "row", "t"}


def names(graph: tg.Graph, output: int, known: Known) -> dict[int, Symbol]:
    """A symbol for everything that ``output`` was computed from."""
    stems: dict[int, tuple[str, tuple[str, ...], When]] = {}
    forward = {*ancestors(graph.nodes, [output])}
    for index in sorted(forward):
        name = known.name(graph.nodes[index])
        path = graph.nodes[index].scope.path if name and name.letter == "x" else ()  # of an encoder, of a decoder
        when = (name.step, name.inner) if name else NEVER
        stems[index] = (_stem_of(name), path, when) if name else _other_stem(graph, graph.nodes[index], known)
    stems[output] = "L", (), NEVER
    places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for stem, path, _ in stems.values():
        if path:
            places[stem].add(path)
    found: dict[int, Symbol] = {}
    taken: dict[str, int] = {}  #: and how often each was wanted
    # Of a gate's nodes the last is the gate. What only has its operation's name comes in the order it is computed, so
    # that steps call it the same even if the last one lacks the sum of losses.
    nameless = {i: None for i in sorted(forward) if i != output and _is_nameless(graph.nodes[i])}
    series = _series(graph, known, stems)
    of_series: dict[tuple[str, int], str] = {}
    for index in [*(i for i in reversed(stems) if i not in nameless), *nameless]:
        stem, path, when = stems[index]
        shared = set.intersection(*map(set, places[stem])) if places[stem] and stem not in ("weight", "bias") else set()
        shown = _identifier("_".join(part for part in path if part not in shared))
        both = [shown, stem] if graph.nodes[index].is_parameter else [stem, shown]
        wanted = "_".join(filter(None, both)) or "given"
        times = series.get(index, [when])
        if len(times) > 1:  # of two sequences' elements none is called as the other's are
            source = wanted, graph.nodes[index].sources[0]
            stem = of_series.get(source) or of_series.setdefault(source, _unlike(wanted, times, taken))
        else:
            stem = _unlike(wanted, times, taken)
        found[index] = _symbol(stem, when)
    return found


def _symbol(stem: str, when: When) -> Symbol:
    return Symbol(stem, when[0], inner=when[1])


def _series(graph: tg.Graph, known: Known, stems: Collection[int]) -> dict[int, list[When]]:
    """The times of each element of a sequence that is read once at each of several steps."""
    read: dict[tuple[str, int], dict[When, int]] = defaultdict(dict)
    often = set[tuple[str, int]]()
    for index in stems:
        node, name = graph.nodes[index], known.name(graph.nodes[index])
        if name and name.letter == "x" and name.step is not None and node.op is not None and node.op.name == "getitem":
            source = _stem_of(name), node.sources[0]
            if read[source].setdefault((name.step, name.inner), index) != index:
                often.add(source)
    return {index: list(times) for source, times in read.items() if source not in often for index in times.values()}


class Known:
    """The names that pictures and the debugger have for the values of a graph."""

    def __init__(self, graph: tg.Graph) -> None:
        known = ValueNames(collapse(graph, "gate"))
        self.timed = known.level.graph  #: with the time steps that were found
        self.marks, self.targets = known.marks, known.targets
        told = {i: found[0] for i, found in known.by_node().items()}
        own = {i: known.parameter(i) for i in known.parameters if i not in told or i in known.weights}
        self.of = told | own  #: by node of the graph, then of what it was rewritten to
        self.gates = known.gates

    def moved(self, places: Mapping[int, int]) -> Self:
        """The same names at other ``places``."""
        self.of = {place: self.of[i] for i, place in places.items() if i in self.of}
        self.targets = {place for i, place in places.items() if i in self.targets}
        self.gates = {place for i, place in places.items() if i in self.gates}
        return self

    def name(self, node: tg.Node) -> Name | None:
        """The name of a node."""
        return self.of.get(node.index)


def _stem_of(name: Name) -> str:
    return _identifier(name._replace(step=None, inner=None).text.replace("′", "_prime"))


def _unlike(stem: str, times: Sequence[When], taken: dict[str, int]) -> str:
    """The stem, or with b, c, d ... behind it, so that neither it nor its gradient is called like anything else.

    It is so at all ``times``.
    """
    plain = [Text()(_symbol(stem, when)) for when in times]
    for n in count(max(taken.get(name, 0) for name in plain)):
        twin = f"_{chr(97 + n)}" if 0 < n < 19 else f"_n{n}" if n else ""  # no t, which is a time step
        stem = stem.replace(".", "_") if n else stem
        told = [d + Text()(_symbol(stem + twin, when)) for when in times for d in ("", "d")]
        modules = {name[: dot.start()] for name in told for dot in re.finditer(r"\.", name)}  #: that have attributes
        if not taken.keys() & {*told, *modules, *(f"{name}." for name in told)} and all(map(_is_free, told)):
            taken |= dict.fromkeys([*told, *(f"{name}." for name in modules)], 1) | dict.fromkeys(plain, n + 1)
            return stem + twin
    raise AssertionError("count() never ends")


def _is_free(name: str) -> bool:
    return not _is_called(name) and not iskeyword(name) and not re.search(r"(^|_)t$", name)


def _is_nameless(node: tg.Node) -> bool:
    return node.op is not None and not node.role and not node.name and not node.scope.part


def _other_stem(graph: tg.Graph, node: tg.Node, known: Known) -> tuple[str, tuple[str, ...], When]:
    """The stem of a name that pictures do not have, the module path it belongs to, and its time."""
    when = time_of(node)
    path: tuple[str, ...] = node.scope.path
    readers = graph.consumers[node.index]
    if node.name and not node.role:
        users = [graph.nodes[i].scope.path for i in readers] or [()]
        return _identifier(node.name), path or (common(users) if node.op is None else ()), when
    if node.op is None and not node.role:
        return "target" if node.index in known.targets else "given", path, when
    made = node.role or node.scope.part or (node.op.name if node.op else "")
    if path not in known.marks:
        return _identifier(made), path, when
    return _stem_of(Name(made, known.marks[path])), (), when


def _identifier(text: str) -> str:
    """The text as a name that Python accepts, in any alphabet; one with dots stays a path, such as ``cell.weight``."""
    plain = re.sub(r"(?<=\w)\.(?=\d+(\.|$))", "_", unicodedata.normalize("NFKC", text[:NAME_LIMIT]))  # of a list
    parts = ["".join(c if f"_{c}".isidentifier() else "_" for c in part) for part in plain.split(".")]
    if not all(parts) or any(map(_is_called, parts[:1] if len(parts) > 1 else ())):
        return "_".join(parts)
    told = (f"layer{part}" if part.isdecimal() else part for part in parts)  # of a Sequential: layer0.weight
    return ".".join(f"_{part}" if part[0].isdigit() or iskeyword(part) else part for part in told)


def _is_called(name: str) -> bool:
    """Whether formulas have a function of this name; what is written between its operands is none."""
    return name in FUNCTIONS or (name in TABLE and not TABLE[name].infix and name not in ("neg", "linear"))
