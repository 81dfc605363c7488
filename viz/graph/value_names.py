"""The name of each value of a graph: a letter, the cell it belongs to, and its time step.

Made here once, for pictures, the debugger and equations; `vocabulary.Name` spells it for each of them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property

from tinygrad_rnn.graph import Graph, Node
from tinygrad_rnn.primitives import add, getitem, mul, sigmoid, tanh
from tinygrad_rnn.recurrence.detached import DETACH

from .. import style, vocabulary
from ..vocabulary import Mark, Name
from .detail_levels import Box, Level, collapse
from .time_columns import STATES, Column, Key, Path, alike_in_all_steps, targets

#: What is drawn beside the network itself, and has no name of its own.
_BESIDE = ("∂", "gradient", "update", "W", "module")
NAME_LIMIT = 40  #: characters of a parameter's own name
#: What a layer calls its own layers, from 0.
LAYER = re.compile(r"l\d+")


def value_names(graph: Graph) -> dict[int, tuple[Name, ...]]:
    """The name of each node, if it has one; what several cells begin with has one for each.

    >>> import tinygrad_rnn as tg
    >>> w, h, g = tg.ones(2, 2).requires_grad_(), tg.zeros(1, 2), tg.zeros(1, 2)
    >>> for t in range(3):
    ...     h = tg.tanh(h @ w)
    ...     g = tg.tanh(g @ w + h)
    >>> graph = tg.Graph(g)
    >>> [str(name) for name in value_names(graph)[graph.outputs[0]]]
    ['h⁽²⁾₃']
    """
    level = collapse(graph, "gate")
    return ValueNames(level).by_node()


def marks(graph: Graph) -> list[str]:
    """Marks behind nodes' names that tell them from another cell's, such as ⁽²⁾: one a node, or nothing."""
    names = ValueNames(collapse(graph, "gate"))
    known = {i: of_it[0].cell for i, of_it in names.by_node().items()}
    return [str(known.get(node.index, names.mark_of(node.scope.path))) for node in names.nodes]


class ValueNames:
    """The names at one `Level` of detail."""

    def __init__(self, level: Level) -> None:
        self.level, self.nodes = level, level.graph.nodes
        self.position = {id(box): i for i, box in enumerate(level.boxes)}
        self.columns_of = Counter((box.key, box.kind) for box in level.boxes if box.column is not None)
        self.inputs = self._numbered_inputs()
        self.elements = self._elements_of_one_input() if self.inputs else {}
        self.in_a_row = self._in_a_row()
        self.readers = {e.source: level.boxes[e.target] for e in reversed(level.edges)}
        self.box_of = {i: box for box in level.boxes if box.kind == "state" for i in box.members}
        self.states: dict[Path, list[Key]] = {}  #: by cell its states that are no c, in order
        for box in self.box_of.values():
            node = self.nodes[box.main]
            if not box.before and node.role != "c":
                known = self.states.setdefault(node.scope.path, [])
                if box.key not in known:
                    known.insert(0 if self.sign(node) else len(known), box.key)  # others are called after it
        self.targets = targets(level.graph)
        self.marks = self._marks()
        self.weights = vocabulary.weights(level.graph, self.marks)
        self.passes = self._passes()
        self.parameters = self._parameter_names()
        self.gates = set[int]()  #: those that `variables` calls as the program calls what they are made of

    def parameter(self, index: int) -> Name:
        """The name of a parameter: the lecture's letter, or else its own, as it tells it from all others."""
        return self.weights.get(index) or Name(self.parameters[index])

    def of(self, box: Box) -> tuple[Name, ...]:
        """The names of what a box shows, if it has any; a first state has one for each cell that begins with it."""
        return self._known(box) or tuple(self.variables[i] for i in (box.main,) if i in self.variables)

    def _known(self, box: Box) -> tuple[Name, ...]:
        """Those that say what it is in the network."""
        node = self.nodes[box.main]
        if box.key[0] in _BESIDE:
            return ()
        if box.before:
            return self._initial_names(node, box)
        if self.is_part_of_the_loss(box):
            return ()
        when = (None if box.column is None else box.column.step + 1, _inner(node))
        own = self.marks.get(node.scope.path, Mark())
        if box.main in self.in_a_row:
            return (Name("L" if box.kind == "loss" else "y", step=self.in_a_row[box.main]),)
        if (sign := self.sign(node)) and box.kind != "input":
            if node.index in self.elements:
                return (Name(sign, step=self.elements[node.index] + 1),)
            return (Name(sign, self._mark(node, box), *when if self._is_timed(box) else ()),)
        if box.kind == "loss":
            return (Name("L"),)
        if box.key[0] == "part":
            return (Name(box.key[2], self.marks.get(box.key[1], Mark()), *when),)
        return (Name(self._state_sign(node), own, *when),) if box.kind == "state" and node.op is not None else ()

    def by_node(self) -> dict[int, tuple[Name, ...]]:
        """The names of all nodes that have one, whether a box shows them or not."""
        return self._known_by_node | {i: (name,) for i, name in self.variables.items()}

    @cached_property
    def _known_by_node(self) -> dict[int, tuple[Name, ...]]:
        found: dict[int, tuple[Name, ...]] = {}
        for node in self.nodes:
            if node.role and not node.scope.backward and not (node.op is None and node.role in STATES):
                found[node.index] = (Name(self.sign(node), self.mark_of(node.scope.path), *time_of(node)),)
        for box in self.level.boxes:
            if (box.main in found or not self.nodes[box.main].name) and (names := self._known(box)):
                found[box.main] = names  # of an input the number, too
        return found

    @cached_property
    def variables(self) -> dict[int, Name]:
        """The program's variables of results that have no name else, but for letters that mean something else here.

        Of several values that a step assigns to one variable, the last has its name.
        """
        letters = {(name.letter, name.cell) for names in self._known_by_node.values() for name in names}
        letters |= {(node.scope.part or "", self.mark_of(node.scope.path)) for node in self.nodes}
        given = {node.name for node in self.nodes} | {"x", *STATES, *vocabulary.LETTERS.values()}
        last: dict[Key, int] = {}
        for node in self.nodes:
            (path, step, _, backward, inner), letter = node.scope, node.variable
            said = node.role or node.name or backward or node.index in self._known_by_node or node.index in self.targets
            said = said or node.op is DETACH  # it is the state of the step before
            if node.op is None:  # data with more than one number, which says more than its name
                said = said or node.requires_grad or node.value is None or node.value.size < 2
            if letter and not said and letter not in given and (letter, self.mark_of(path)) not in letters:
                last[letter, path, step, inner] = node.index
        found = {i: Name(letter, self.mark_of(path), *time_of(self.nodes[i])) for (letter, path, *_), i in last.items()}
        for part, name in [*found.items()]:  # i, f, o, g = a.chunk(4): the gate is what is made of each
            if (gate := self._gate_of(part)) is not None and gate not in found and name.letter in vocabulary.GATES:
                found[gate], whole = found.pop(part), self.nodes[part].sources[0]
                self.gates |= {gate, whole}
                if not any(letter == "a" for letter, _ in letters) and "a" not in given:
                    found.setdefault(whole, name._replace(letter="a"))
        called = {*found.values()}  # i, f, o and g may be what the gates are made of
        for gate, name in self._gates_by_place():
            free = name not in called and name.letter not in given and (name.letter, name.cell) not in letters
            if free and gate not in found:
                found[gate] = name
                self.gates.add(gate)
        return found

    def _gates_by_place(self) -> Iterator[tuple[int, Name]]:
        """The gates of c = f c + i g and h = o tanh(c) that the program calls nothing."""
        nodes, taken = self.nodes, set[Name]()
        for node in nodes:
            if node.op is None or node.scope.backward or node.role not in STATES:
                continue
            terms = node.sources if node.role == "c" and node.op is add else (node.index,)
            factors = [nodes[t].sources if nodes[t].op is mul else () for t in terms]
            kept = [k for k, own in enumerate(factors) if any(self._is_kept(s) for s in own)]
            told = dict[str, int]()
            if node.role == "c" and len(factors) == 2 and len(kept) == 1 and all(len(own) == 2 for own in factors):
                (f,) = [s for s in factors[kept[0]] if not self._is_kept(s)] or (node.index,)
                squashing = sorted(factors[1 - kept[0]], key=lambda s: nodes[s].op is not sigmoid)
                told = dict(zip("fig", (f, *squashing)))
            elif node.role == "h" and len(factors) == 1:
                made = [s for s in factors[0] if any(nodes[r].role == "c" for r in nodes[s].sources)]
                told = dict(zip("o", (s for s in factors[0] if len(made) == 1 and s not in made)))
            for letter, gate in told.items():
                name = Name(letter, self.mark_of(node.scope.path), *time_of(node))
                apart = name not in taken and not (nodes[gate].variable or gate in self._known_by_node)
                if apart and nodes[gate].op in (sigmoid, tanh):
                    taken.add(name)
                    yield gate, name

    def _is_kept(self, index: int) -> bool:
        """Whether it is the c of the step before, or what that begins with."""
        return self.nodes[index].role == "c" or self.nodes[index].op is None

    def _gate_of(self, part: int) -> int | None:
        """The operation that alone reads a part of a value, if it reads nothing else and has no name."""
        users = [u for i in self.level.graph.consumers[part] if not (u := self.nodes[i]).scope.backward]
        if self.nodes[part].op is not getitem or len(users) != 1 or users[0].index in self._known_by_node:
            return None
        (gate,) = users
        return gate.index if gate.op is not None and gate.op.elementwise and len(gate.operands) == 1 else None

    def letter(self, index: int) -> str:
        """The letter of a value in the formulas of its own cell, "" if it has none."""
        node = self.nodes[index]
        if node.role or index not in self.box_of:
            return vocabulary.letter(node.role or "") or self.variables.get(index, Name("")).letter
        return self._state_sign(node)

    def as_read(self) -> dict[tuple[int, int], Name]:
        """By first state that stands for several, and a node that reads it, the name of the one that is meant."""
        found: dict[tuple[int, int], Name] = {}
        for (source, user), state in self.level.initial_of.items():
            if state is not None and len(self.level.stands_for[source]) > 1:
                node = self.nodes[state]
                found[source, user] = Name(
                    self.sign(node) or self._state_sign(node), self.marks.get(node.scope.path, Mark()), 0
                )
        return found

    def sign(self, node: Node) -> str:
        """The letter the lecture uses for a node's role."""
        return vocabulary.letter(self.level.roles[node.index])

    def mark_of(self, path: Path) -> Mark:
        """The mark of a cell, or of what belongs to one as all cells within ``path`` have the same."""
        within = [mark for cell, mark in self.marks.items() if cell[: len(path)] == path]
        shared = within[0] if within and len({mark.number for mark in within}) == 1 else Mark()
        return self.marks.get(path) or (shared if len({*within}) == 1 else Mark(shared.number))

    def is_part_of_the_loss(self, box: Box) -> bool:
        """True if it is the loss of no time step, nor called so, and the output is another number."""
        return box.main not in self.in_a_row and self._is_part(box)

    def _is_part(self, box: Box) -> bool:
        node, outputs = self.nodes[box.main], self.level.graph.outputs
        said = node.role or node.name or node.scope.step is not None or self.columns_of[box.key, box.kind] > 1
        apart = box.kind == "loss" and not said and node.index not in outputs
        return apart and any(not self.nodes[i].shape for i in outputs)

    def _passes(self) -> dict[int, str]:
        """The names of the passes over a sequence, where there are several: as the program calls their modules.

        Layers of one module are numbered. Else two of which one begins with a state of the other are encoder and
        decoder, and others numbered passes.
        """
        level, boxes = self.level, self.level.boxes
        said: dict[int, list[tuple[str, ...]]] = {column.segment: [] for column in sorted(level.columns)}
        for box in boxes:
            if box.column is not None and len(box.key) > 1 and box.key[1] in level.recurrent:
                said[box.column.segment] += [self.nodes[i].module for i in box.members if self.nodes[i].op is not None]
        if len(said) < 2:
            return {}
        paths = list(map(common, said.values()))
        shared = len(common(paths))
        own = [path[shared] if len(path) > shared else "" for path in paths]
        if all(map(LAYER.fullmatch, own)):
            names = [f"layer {int(name[1:]) + 1}" for name in own]
        else:
            names = ["" if LAYER.fullmatch(name) else name for name in own]
        named = [name for name in names if name]
        if len(set(named)) < len(named):  # no name tells two passes apart
            names = [""] * len(own)
        handed = self._is_a_state_handed_on()
        usual = ["encoder", "decoder"] if handed and len(own) == 2 else [f"pass {k + 1}" for k in range(len(own))]
        return {s: style.shown(name or other, 16) for s, name, other in zip(said, names, usual, strict=True)}

    def _is_a_state_handed_on(self) -> bool:
        """Whether a pass begins with a state of an earlier one, or with what a layer beside the steps makes of it."""
        boxes, edges = self.level.boxes, self.level.edges
        made = {i: box.column.segment for i, box in enumerate(boxes) if box.column is not None}
        for _ in boxes:
            new = {e.target: made[e.source] for e in edges if e.source in made and e.target not in made}
            if not new:
                break
            made |= new
        for e in edges:
            source, target = boxes[e.source], boxes[e.target]
            if target.before and target.column is None and e.source in made:
                return True
            ends = source.column, target.column
            if e.kind in ("h", "c") and ends[0] and ends[1] and ends[0].segment < ends[1].segment:
                return True
        return False

    def _parameter_names(self) -> dict[int, str]:
        """The name of each parameter, with as much of its place before it as tells it from all others."""
        level, own = self.level, dict[int, list[str]]()
        column_of = {
            i: box.column for box in level.boxes if box.column and box.kind != "parameter" for i in box.members
        }
        for node in self.nodes:
            if node.is_parameter:
                name = style.shown(node.name, NAME_LIMIT) if node.name else str(self.weights[node.index])
                users = self.level.graph.consumers[node.index]
                said = common([self.nodes[i].module for i in users])
                place = common([self.nodes[i].scope.path for i in users])
                wider = place if said in (place[: len(said)], place[len(place) - len(said) :]) else (*place, *said)
                bare = tuple(part for part in said if not LAYER.fullmatch(part))
                steps = {column.segment for i in users if (column := column_of.get(i))}
                passing = (self.passes[steps.pop()],) if len(steps) == 1 and self.passes else ()
                layer = (node.variable,) if node.name and node.variable else ()
                places = [(), bare[-1:], bare, said, layer, passing, place[-1:], wider]
                own[node.index] = [".".join((*map(style.visible, path), name)) for path in places]
        found: dict[int, str] = {}
        for length in range(8):
            often = Counter(names[length] for names in own.values())
            found |= {i: names[length] for i, names in own.items() if i not in found and often[names[length]] == 1}
        number, together, kind = 0, set[str](), None
        for node in sorted((self.nodes[i] for i in own.keys() - found.keys()), key=lambda node: node.serial):
            name = own[node.index][1]
            before, kind = kind, "_" in (node.name or "")  # beside weight_ih there is no weight
            if kind != before or name in together:  # a layer makes its parameters one after the other
                number, together = number + 1, set()
            together.add(name)
            found[node.index] = name if node.index in self.weights else f"layer{number}.{name}"
        return found

    def _marks(self) -> dict[Path, Mark]:
        """The signs that tell each cell's states from others': a number, and an arrow for the direction."""
        letters = {path: set[str]() for path in self.level.recurrent}
        for node in (self.nodes[box.main] for box in self.box_of.values()):
            letters.get(node.scope.path, set()).add(self.sign(node) or self._state_sign(node))
        groups: list[set[str]] = []  #: letters of cells that have some in common: only these are told apart
        for own in letters.values():
            own |= set() if own else {"h"}
            near = [group for group in groups if group & own]
            groups = [group for group in groups if group not in near] + [own.union(*near)]
        found = dict[Path, Mark]()
        for group in groups:
            cells = [path for path in self.level.recurrent if letters[path] & group]
            forth = {path: tuple(part.removesuffix("_reverse") for part in path) for path in cells}
            order, twins = list(dict.fromkeys(forth.values())), Counter(forth.values())
            for path, both in forth.items():
                arrow = "" if path == both and twins[both] == 1 else "→" if path == both else "←"
                found[path] = Mark(order.index(both) + 1 if len(order) > 1 else 0, arrow)
        return {path: found[path] for path in self.level.recurrent}

    def _state_sign(self, node: Node) -> str:
        """The letter of a state that nobody named: h, and with primes what else its cell carries."""
        box = self.box_of.get(node.index)
        of_cell = self.states.get(node.scope.path, []) if box is not None else []
        return "h" + "′" * (of_cell.index(box.key) if box is not None and box.key in of_cell else 0)

    def _mark(self, node: Node, box: Box) -> Mark:
        if box.main in self.inputs:
            return Mark(self.inputs[box.main] + 1)
        path = node.scope.path
        if box.before and path not in self.marks:
            reader = self.readers.get(self.position[id(box)])
            path = self.nodes[reader.main].scope.path if reader is not None else path
        return Mark() if self.level.roles[node.index] in ("x", "logits", "loss") else self.mark_of(path)

    def _initial_names(self, node: Node, box: Box) -> tuple[Name, ...]:
        """The names of a first state: one for each of the cells that begin with it.

        What a total of losses begins with has none, nor a token that is read instead of one fed back.
        """
        state, reader = self.level.initial.get(node.index), self.readers.get(self.position[id(box)])
        later = node if state is None else self.nodes[state]
        is_token = node.dtype.kind != "f" and reader is not None and reader.column not in (None, self.level.columns[0])
        if is_token or not (node.role or self.sign(later) or later.shape or later.index in self.box_of):
            return ()
        own = self.sign(node)
        if own in ("", "h"):  # whatever is carried may be called h from outside, also what is drawn as h′
            own = self.sign(later) or self._state_sign(later)
        when = self.level.before.get(node.index, 0)
        if node.scope.path in self.marks and node.op is not None:
            return (Name(own, self._mark(later, box), when),)
        states = [self.nodes[i] for i in self.level.stands_for.get(node.index, ())]
        readers = (self.level.boxes[e.target] for e in self.level.edges if e.source == self.position[id(box)])
        paths = {n.scope.path for n in states or [self.nodes[reader.main] for reader in readers]}
        marks = [mark for path, mark in self.marks.items() if path in paths]
        if len(marks) > 1 and Mark() not in marks:
            return tuple(Name(own, mark, when) for mark in marks)
        signs = dict.fromkeys(sign for n in states if (sign := self.sign(n) or self._state_sign(n)))
        return tuple(Name(sign, self._mark(later, box), when) for sign in (signs if len(signs) > 1 else [own]))

    def _numbered_inputs(self) -> dict[int, int]:
        """For each node which of its step's inputs it is, from 0, if any step has several."""
        order: dict[Hashable, dict[str, int]] = {}
        found: dict[int, int] = {}
        columns: dict[int, Column | None] = {}
        for box in self.level.boxes:
            if box.kind == "x":
                node = self.nodes[box.main]
                own = order.setdefault((box.column, node.scope.inner), {})
                read = f"{node.operands} {node.attrs}" if node.op is getitem else f"{box.main}"  # the same is one input
                found[box.main], columns[box.main] = own.setdefault(read, len(own)), box.column
        found = alike_in_all_steps(self.level.graph, found, columns)
        return found if any(found.values()) else {}

    def _elements_of_one_input(self) -> dict[int, int]:
        """For each input's node which element of the data it is, where a step reads several of the same: x₁ and x₂."""
        found: dict[int, int] = {}
        data, window = set[int](), dict[Column | None, set[int]]()
        for box in self.level.boxes:
            if box.kind == "x":
                node = self.nodes[box.main]
                index = node.attrs["index"][0] if node.op is not None and node.op.name == "getitem" else None
                if type(index) is not int or index < 0 or node.scope.inner is not None:
                    return {}
                data.add(node.sources[0])
                window.setdefault(box.column, set()).add(index)
                found[box.main] = index
        several = len(data) == 1 and all(len(own) > 1 for own in window.values())
        in_time = len(window) == 1 or len(set(map(frozenset, window.values()))) > 1  # else they are the samples
        return found if several and in_time else {}

    @cached_property
    def _steps_of(self) -> dict[str, set[Column]]:
        """The steps that have a box of each kind."""
        found: dict[str, set[Column]] = defaultdict(set)
        for box in self.level.boxes:
            if box.column is not None:
                found[box.kind].add(box.column)
        return found

    def _is_timed(self, box: Box) -> bool:
        """After the loops a program says no steps any more, yet what it makes of every step belongs to that step."""
        several = self.columns_of[box.key, box.kind] > 1 or (
            box.kind in ("logits", "loss") and len(self._steps_of[box.kind]) > 1
        )
        return self.nodes[box.main].scope.step is not None or box.kind == "x" or several

    def _in_a_row(self) -> dict[int, int]:
        """For its node the number, from 1, of a loss that belongs to no time step, where there are several.

        Of scores, and of losses that are a part of the output, only if there are as many as steps.
        """
        rows: dict[tuple[str, bool, bool], list[int]] = defaultdict(list)
        for box in self.level.boxes:
            node, is_said = self.nodes[box.main], bool(self.sign(self.nodes[box.main]))
            apart = node.name or node.scope.backward or box.key[0] == "∂" or (is_said and self._is_timed(box))
            if box.kind in ("loss", "logits") and not apart:
                rows[box.kind, is_said, self._is_part(box)].append(box.main)
        lengths = Counter(column.segment for column in self.level.columns).values()
        kept = [
            row
            for (kind, _, is_part), row in rows.items()
            if len(row) > 1 and ((kind == "loss" and not is_part) or len(row) in lengths)
        ]
        return {i: k for row in kept for k, i in enumerate(row, 1)}


def time_of(node: Node) -> tuple[int | None, int | None]:
    """The time step of a node, and the repetition inside of it, from 1."""
    return None if node.scope.step is None else node.scope.step + 1, _inner(node)


def _inner(node: Node) -> int | None:
    return None if node.scope.inner is None else node.scope.inner + 1


def common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The longest common beginning."""
    first = paths[0] if paths else ()
    length = next((k for k in range(len(first)) if any(p[: k + 1] != first[: k + 1] for p in paths)), len(first))
    return first[:length]
