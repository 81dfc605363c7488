"""Texts in and behind each box: titles, number lines, tooltips."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tinygrad_rnn.graph import Node, Ref

from .. import style
from ..vocabulary import Mark, Name
from .detail_levels import Box, Level
from .gradient_values import Gradients
from .time_columns import Column
from .value_names import ValueNames

_INFIX = {"+": " + ", "-": " − ", "*": "⊙", "/": "⊘", "@": "·"}
#: How tightly a formula holds together.
_SUM, _PRODUCT, _CALL, _WHOLE = range(4)
#: Names longer than this are shortened in a label; the tooltip has more of them.
NAME_LIMIT = 24
TOOLTIP_NAME_LIMIT = 400


class Labels:
    """Words for the boxes of one `Level`."""

    def __init__(
        self, level: Level, *, values: bool = False, grads: bool = False, gradients: Gradients | None = None
    ) -> None:
        self.level, self.graph = level, level.graph
        self.values, self.grads, self.gradients = values, grads, gradients
        self.of_key = {(box.key, box.column): box for box in level.boxes}
        self.kinds = {box.key: box.kind for box in level.boxes}
        self.total = self._total()
        self.names = ValueNames(level)
        self.letters = {i: str(name) for i, name in self.names.weights.items()}
        self.position = self.names.position
        #: what a node reads by its operand, through what only carries it
        self.read = {(user, slot): source for e in level.edges for source, user, slot in e.uses}
        self.passes, self.parameters = self.names.passes, self.names.parameters
        self.same_weights = self._same_weights()

    def _total(self) -> str:
        """The name of the differentiated output."""
        names = {self.graph.nodes[i].name for i in self.graph.outputs}
        name = names.pop() if len(names) == 1 else None
        return style.shown(name, 8) if name else "L"

    def _same_weights(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """For each recurrent layer the first with the very same parameters: one layer may read several sequences."""
        own: dict[tuple[str, ...], set[int]] = {path: set() for path in self.level.recurrent}
        for box in self.level.boxes:
            if box.key[0] == "W" and len(box.key) > 1 and box.key[1] == "cell" and box.key[2] in own:
                own[box.key[2]].update(box.members)
        return {path: next(first for first in own if own[first] == members) for path, members in own.items() if members}

    def state(self, index: int, column: Column | None) -> str:
        """The name of a state that has no box, as the cell state has none beside whole cells."""
        node = self.graph.nodes[index]
        mark = self.names.marks.get(node.scope.path, Mark())
        return str(Name(self.names.sign(node), mark, None if column is None else column.step + 1))

    # Titles ----------------------------------------------------------------------------------------------

    def title(self, box: Box) -> str:
        """The first line."""
        node = self.graph.nodes[box.main]
        if box.key[0] == "∂":
            return self._gradient_title(box)
        if box.key[0] in ("gradient", "update"):
            layer = "" if box.key[0] == "update" else style.shown(".".join(box.key[1]) or self.total, NAME_LIMIT)
            return f"∂ {layer}{self._time(box.column)}" if layer else "update"
        if box.kind == "cell":
            mark = "'" * sum(box.key[2:])  # what is made of the cell's new state
            weights = f"_W{mark}{self._number(box.key[1])}" if ("W", *box.key) in self.kinds else ""
            return f"f{mark}{weights}"
        if box.kind == "parameter":
            return self._parameter_title(box)
        if box.before and self.names.of(box):
            zero = not self.values and node.op is None and node.value is not None and not np.any(node.value)
            return f"{' = '.join(map(str, self.names.of(box)))}{' = 0' if zero else ''}"
        name = style.shown(node.name, NAME_LIMIT) if node.name else ""
        if self.names.is_part_of_the_loss(box):
            return next((op.symbol for m in box.members if (op := self.graph.nodes[m].op)), "L")
        called = "".join(map(str, self.names.of(box)[:1]))
        how = self._how(node, box)
        if self.names.sign(node) and box.kind != "input":
            if name:
                return f"{called} = ‘{name}’" if box.kind == "x" else f"{called} {name}"
        elif name or (box.kind == "loss" and self.level.detail != "op"):
            return name or called
        elif box.key[0] == "module":
            return style.shown(box.key[-1], NAME_LIMIT)
        elif node.op is None:
            return called if node.index in self.names.variables else self._leaf_title(node, box)
        if called and (box.kind != "loss" or self.names.sign(node)):
            return f"{called} = {how}" if how else called
        how = how or self._made(node)
        return f"{self.total} = {how}" if box.kind == "loss" else how

    def _leaf_title(self, node: Node, box: Box) -> str:
        """The title of a leaf without a name."""
        target = node.index in self.names.targets
        if node.value is not None and node.value.size == 1:
            return "target " * target + style.number(float(node.value.ravel()[0]))
        if target:
            return "targets"
        if node.dtype.kind == "b":
            return f"mask{self._time(box.column)}"
        readers = self.graph.consumers[node.index]
        return "x, all steps" if "x" in {self.level.roles[i] for i in readers} else "input"

    def _gradient_title(self, box: Box) -> str:
        forward = self.of_key[box.key[1:], box.column]
        if box.kind == "backward":
            return self.title(forward).replace("f", "f'", 1)
        names = [name.split(" = ")[0] for name in self.title(forward).split("\n")]
        return "\n".join(f"∂{self.total}/∂{f'({name})' if re.search('[ ⊙⊘·@^]', name) else name}" for name in names)

    def _time(self, column: Column | None) -> str:
        return "" if column is None else style.subscript(column.step + 1)

    def _number(self, path: tuple[str, ...]) -> str:
        """The number of a recurrent layer's weights, from 1, where there are several layers."""
        several = len(self.level.recurrent) > 1
        return style.subscript(self.level.recurrent.index(self.same_weights.get(path, path)) + 1) if several else ""

    def _parameter_title(self, box: Box) -> str:
        if box.key[0] == "W" and len(box.key) > 1 and box.key[1] == "cell":
            mark = "'" * sum(box.key[3:])
            return f"W{mark}{self._number(box.key[2])}"
        return "\n".join(self.parameter_name(index) for index in box.members)

    def parameter_name(self, index: int) -> str:
        """The lecture's letter for a parameter, and its own name, shortened."""
        own = style.elided(self.parameters[index], NAME_LIMIT)
        letter = self.letters.get(index, own)
        return own if own.endswith(letter) else f"{letter} {own}".rstrip()

    def _how(self, node: Node, box: Box) -> str:
        """The formula that made a node, from the letters of what went in, if that is short; else the operation."""
        if node.op is None or (self.level.detail == "cell" and node.index not in self.names.variables):
            return ""
        if box.kind in ("logits", "loss", "x"):
            return "" if self.level.detail == "gate" else self._made(node)
        if self.level.detail != "gate":
            return self._made(node)
        text = self._formula(node, 2 if box.kind == "state" else 1, box)
        return text if len(text.removesuffix(", masked")) <= 20 else self._made(node)

    def _formula(self, node: Node, depth: int, box: Box) -> str:
        assert node.op is not None
        linears = [m for m in box.members if (op := self.graph.nodes[m].op) and op.name == "linear"]
        if box.key[0] == "part" and linears and box.main in (linears[-1], box.members[-1]):
            told = all(self.graph.nodes[m].sources[1] in self.letters for m in linears)
            x, h = ("W_xh x", "W_hh h") if told else ("W x", "W h")
            terms = [x if k == 0 and box.key[2] != "ah" else h for k in range(len(linears))]
            biased = any(len(self.graph.nodes[m].operands) > 2 for m in linears)
            return " + ".join([*terms, "b"] if biased else terms)
        if box.kind == "gate":
            return node.op.symbol
        if self._is_masked(node):
            chosen = node.sources[1]
            own = self._formula(self.graph.nodes[chosen], depth, box) if chosen in box.members else ""
            return f"{own or self._operand(node, 1, depth)[0] or 'value'}, masked"
        return self._written(node, depth)[0] or self._made(node)

    def _made(self, node: Node) -> str:
        """The operation that made a node; a layer's with the letter of what it reads."""
        assert node.op is not None
        weights = [i for i in node.sources if self.graph.nodes[i].is_parameter]
        if self.level.detail == "cell" and weights:  # a note of weights says "W" there
            factors = [self.parameter_name(i) if i in weights else "" for i in node.sources]
            if node.op.name == "matmul" or (node.op.infix and all(factors)):
                told = [name or self._operand(node, k, 0)[0] or "(·)" for k, name in enumerate(factors)]
                sign = "·" if node.op.name == "matmul" else node.op.symbol
                return f" {sign} ".join(told) if len(told) > 1 else _symbol(node).replace("(·)", told[0])
        return (
            _symbol(node).replace("x", self._operand(node, 0, 0)[0] or "(·)")
            if node.op.name == "linear"
            else _symbol(node)
        )

    def _is_masked(self, node: Node) -> bool:
        """Whether it is what a sequence of another length puts out, or keeps: a choice by a mask that was given."""
        if node.op is None or node.op.name != "where" or not isinstance(node.operands[0], Ref):
            return False
        return self.graph.nodes[node.operands[0].index].op is None

    def _operand(self, user: Node, slot: int, depth: int) -> tuple[str, int]:
        """The name or formula of an operand, and how tightly that holds together."""
        operand = user.operands[slot]
        if not isinstance(operand, Ref):
            return style.number(float(operand)), _WHOLE
        node = self.graph.nodes[self.read.get((user.index, slot), operand.index)]
        told = self.level.initial_of.get((node.index, user.index)), node.index, self.level.initial.get(node.index)
        letters = (self.names.letter(index) for index in told if index is not None)  # c and h may begin with the same
        if sign := next(filter(None, letters), ""):
            return sign, _WHOLE
        return self._written(node, depth - 1) if node.op is not None and depth else ("", _WHOLE)

    def _written(self, node: Node, depth: int) -> tuple[str, int]:
        """A formula with all the parentheses it needs, empty where something has no letter."""
        assert node.op is not None
        parts = [self._operand(node, slot, depth) for slot in range(len(node.operands))]
        if not all(text for text, _ in parts):
            return "", _WHOLE
        if node.op.infix in _INFIX and len(parts) == 2:
            own = _SUM if node.op.infix in "+-" else _PRODUCT
            (left, a), (right, b) = parts
            if a < own or (a == _CALL and own == _PRODUCT):
                left = f"({left.replace(' ', '') if a == _SUM else left})"
            if b < own or (b == own and node.op.infix in "-/"):
                right = f"({right.replace(' ', '') if b == _SUM else right})"
            return f"{left}{_INFIX[node.op.infix]}{right}", own
        text, tight = parts[0]
        return node.op.of(text if tight == _WHOLE else f"({text})"), _CALL

    # Lines -----------------------------------------------------------------------------------------------

    def lines(self, box: Box) -> list[str]:
        """The title and, as asked for, the value and the gradient."""
        title = self.title(box).split("\n")
        if box.key[0] == "∂":
            return self._gradient_lines(box, title)
        if box.kind == "parameter":
            return self._parameter_lines(box, title)
        node = self.graph.nodes[box.main]
        numbers = []
        if self.values and node.value is not None and box.kind != "cell":
            small = 1 < node.value.size <= 5 and node.dtype.kind == "f" and box.kind != "gradient"
            if self.level.detail == "cell" and small:
                return [*title, *style.column_of_numbers(node.value.ravel()), *self._gradient_line(box)]
            if node.value.size == 1:
                numbers.append(style.number(float(node.value.ravel()[0])))
            else:
                numbers.append(f"|v| {style.number(style.norm(node.value))}")
        return [*title, *filter(None, ["  ".join([*numbers, *self._gradient_line(box)])])]

    def _gradient_lines(self, box: Box, title: list[str]) -> list[str]:
        assert self.gradients is not None
        if box.kind == "backward":
            return title
        of = self.gradients.of
        if self.kinds.get(box.key[1:]) == "parameter":
            if self.level.detail == "cell":
                return [*title, self._length(box)]
            shares = self._shares(self.of_key[box.key[1:], box.column])
            return [f"{name}  {shares.get(i, '')}".rstrip() for name, i in zip(title, box.members)]
        gradient = of.get(box.main)
        if gradient is None:  # of several values that are one box only others have a gradient
            return title
        if self.values and self.level.detail == "cell" and 1 < gradient.size <= 5:
            return [*title, *style.column_of_numbers(gradient.ravel())]
        text = (
            style.number(float(gradient.ravel()[0]))
            if gradient.size == 1
            else f"|∂| {style.number(style.norm(gradient))}"
        )
        return [*title, text]

    def _length(self, box: Box) -> str:
        """The length of a box's parameters' gradients together."""
        assert self.gradients is not None
        sizes = [style.norm(self.gradients.of[i]) for i in box.members if i in self.gradients.of]
        return f"|∂| {style.number(sum(s * s for s in sizes) ** 0.5)}"

    def _gradient_line(self, box: Box) -> list[str]:
        if self.gradients is None or not self.grads or box.kind == "cell":
            return []
        gradient = self.gradients.of.get(box.main)
        return [] if gradient is None else [f"|∂| {style.number(style.norm(gradient))}"]

    def _parameter_lines(self, box: Box, title: list[str]) -> list[str]:
        if self.gradients is None or not self.grads:
            return title
        if self.level.detail == "cell" and box.column is None and title[0].startswith("W"):
            return [*title, self._length(box)]
        shares = self._shares(box)
        return [f"{name}  ∂ {shares[i]}" if i in shares else name for name, i in zip(title, box.members)]

    def _shares(self, box: Box) -> dict[int, str]:
        """Per parameter the norm, and the part, of its gradient that comes from this box."""
        assert self.gradients is not None
        found: dict[int, str] = {}
        for parameter in box.members:
            key = self.position[id(box)], parameter
            if key in self.gradients.sizes:
                part = self.gradients.parts.get(key)
                alone = box.column is None or part is None
                own = "" if alone else f" ({style.share(part)})"  # type: ignore[arg-type]
                found[parameter] = f"{style.number(self.gradients.sizes[key])}{own}"
        return found

    def legend(self, written: Sequence[str], *, cut: bool) -> str:
        """A legend of the kinds of numbers that are ``written`` in the boxes, and of lines that were ``cut``."""
        meanings = {
            "|v| ": "|v|: norm of the value",
            "|∂| ": f"|∂|: norm of ∂{self.total}/∂(this value)",
            "%)": "∂ … (%): this time step's share of a shared weight's gradient; all steps' shares add up to 100%",
        }
        told = [meaning for sign, meaning in meanings.items() if any(sign in line for line in written)]
        if cut:
            told.append("dashed: detached, so that no gradient flows back")
        return ",   ".join(told)

    # Tooltips --------------------------------------------------------------------------------------------

    def tooltip(self, box: Box) -> str:
        """Everything about a box, in lines."""
        whole = box.kind == "parameter" or self.kinds.get(box.key[1:]) == "parameter"
        members: Sequence[int] = box.members if whole else [box.main]
        lines = [self.title(box).replace("\n", ", ")] if box.kind != "parameter" else []
        if box.column is not None:
            lines.append(f"time step t={box.column.step + 1}")
        for index in members:
            lines += self._about(self.graph.nodes[index])
        if len(box.members) > 1 and not whole:
            ops = [n.op.name if n.op else n.label for n in (self.graph.nodes[i] for i in box.members)]
            lines.append(style.elided(f"made of {len(ops)} nodes: {', '.join(map(style.visible, ops))}", 300))
        return "\n".join(lines)

    def _about(self, node: Node) -> list[str]:
        lines = [f"#{node.index} {node.op.name if node.op else 'parameter' if node.is_parameter else 'input'}"]
        if node.name:
            lines.append(f"name: {style.shown(node.name, TOOLTIP_NAME_LIMIT)}")
        lines.append(f"shape: {'×'.join(map(str, node.shape)) or 'scalar'}  dtype: {node.dtype}")
        if node.value is not None:
            lines.append(f"value: {style.array_text(node.value)}")
        if self.gradients is not None and node.index in self.gradients.of:
            lines.append(f"gradient: {style.array_text(self.gradients.of[node.index])}")
        rules = [style.unicode_formula(rule) for rule in (node.op.rule if node.op else ()) if rule]
        if rules:
            lines.append(f"rule: {';  '.join(rules)}")
        if node.site:
            lines.append(f"line: {style.visible(node.site)}")
        return lines


def _symbol(node: Node) -> str:
    """The name of an operation, with the numbers and the axis that it was given."""
    assert node.op is not None
    if node.op.name == "getitem":
        return _index_text(node)
    if node.op.name == "linear" and len(node.operands) < 3:
        return "W·x"
    if node.op.name == "neg":
        return "−(·)"
    if node.op.symbol == "ᵀ":
        return "(·)ᵀ"
    given = ["(·)" if isinstance(x, Ref) else style.number(float(x)) for x in node.operands]
    power = node.op.infix == "**"
    if len(given) == 2 and given != ["(·)", "(·)"] and node.op.infix:
        return f"{given[0]}^{given[1]}" if power else f" {node.op.symbol} ".join(given)
    axis = node.attrs.get("axis")
    usual = {"stack": 0}.get(node.op.name, node.op.usual.get("axis"))
    same = isinstance(axis, int) and isinstance(usual, int) and (axis - usual) % max(len(node.shape), 1) == 0
    if axis is None or same or (axis == -1 and len(node.shape) < 2):
        return node.op.symbol
    shown = style.elided(re.sub("[() ]|,$", "", str(axis).replace("-", "−").replace(", ", ",")), 10)
    return f"{node.op.symbol}, axis {shown.strip(',')}"


def _index_text(node: Node) -> str:
    """An index as it was written."""
    parts = [_part_text(part) for part in node.attrs["index"]]
    return style.elided(f"[{', '.join(parts)}]", 14)


def _part_text(part: object) -> str:
    if isinstance(part, slice):
        return style.slice_text(part)
    return "…" if part is Ellipsis else str(part) if isinstance(part, int) else "array" if part is not None else "new"
