"""Names of values, and terms of gradients, as a student writes them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from ..draw_hook import drawing
from ..graph import Node, Ref
from ..primitives import cross_entropy
from ..source_names import LONGEST

if TYPE_CHECKING:
    from .edited_walks import Edit, Record

#: what a product, sum ... is written with, by the operation's own sign
INFIX = {"+": "+", "-": "−", "*": "⊙", "/": "/", "@": "@"}
#: longer than this, a part of an expression is written …
LONGEST_PART = 14
THE_LOSS = "the loss"
WHOLE = (THE_LOSS, "the part ", "the targets")  #: how names begin of which nothing more needs to be said
#: what is in brackets, and what tells cells apart
INSIDE, MARKS = re.compile(r"[(\[][^()\[\]]*[)\]]"), re.compile(r"⁽\w+⁾[←→]?|[←→]")
#: a gradient of more terms than this is a sum over steps
TERMS = 4


def _moves_on(record: Record, node: Node) -> bool:
    """Whether a leaf is cut at this index only in this step, as a sequence is."""
    index = repr(node.attrs.get("index"))
    others = (record.nodes[user] for user, _ in record.users[node.sources[0]] if user != node.index)
    alike = any((n.op, n.site, repr(n.attrs.get("index"))) == (node.op, node.site, index) for n in others)
    return "index" not in node.attrs or not alike


def _cut(node: Node) -> str:
    """An index as a program writes it; […] for arrays."""
    index = node.attrs.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(k, (int, slice)) for k in parts):
        return "[…]"
    spans = (k if isinstance(k, int) else f"{k.start or ''}:{'' if k.stop is None else k.stop}" for k in parts)
    return f"[{', '.join(map(str, spans))}]"


def bracketed(name: str) -> str:
    """``name`` in brackets if it needs them within a formula."""
    outside = name
    while (less := INSIDE.sub("", outside)) != outside:
        outside = less
    return f"({name})" if " " in outside else name


def _cell(mark: str) -> str:
    return mark.rstrip("←→") or mark


def as_written(number: float) -> str:
    """A number as a person writes it: 1.5, 7/8, 1/√3, 1 + 1e-06."""
    if abs(number - round(number, 2)) <= 1e-12:
        return f"{round(number, 2) + 0.0:g}"
    if 0 < abs(number - 1) < 1e-3:
        return f"1 {'+' if number > 1 else '−'} {abs(number - 1):.3g}"
    for sign, power in (("", number), ("√", number * abs(number))):
        ratio = Fraction(power).limit_denominator(64)
        if abs(ratio - power) <= 1e-9 * abs(power) and abs(ratio.numerator) <= 64:
            above = f"{sign}{ratio.numerator}" if ratio.numerator > 1 else f"{ratio.numerator}"
            return f"{above}/{sign}{ratio.denominator}" if ratio.denominator > 1 else above
    return f"{number:.9g}"


def _width(name: str) -> int:
    return len(MARKS.sub("", name))


class Names:
    """The names of all values in one record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.states: dict[int, str] = {}  #: states that the program gives no name: c where it begins with c0
        nothing = [""] * len(record.nodes)
        self.marks = record.attempts.value("names of cells", lambda: drawing().marks(record.graph), nothing)
        self._known: dict[int, str] = {}

    def leaf(self, leaf: Node) -> str:
        """The name that the user gave it."""
        text = self.record.texts.get(leaf.index, "")
        if leaf.role == "x" and len(text) > LONGEST // 2 and self._inputs[leaf.scope.step] == 1:
            text = ""  # it is just x
        if said := leaf.name or text or leaf.role:
            return said
        if any(slot and self.record.nodes[user].op is cross_entropy for user, slot in self.record.users[leaf.index]):
            return "the targets"
        return f"the {'parameter' if leaf.requires_grad else 'array'} of shape {leaf.shape}"

    @cached_property
    def _inputs(self) -> Counter[int | None]:
        """The number of values that are called x, by step."""
        return Counter(node.scope.step for node in self.record.nodes if node.role == "x")

    def operand(self, node: Node, slot: int) -> str:
        """The name of an operand, or the number that it is."""
        operand = node.operands[slot]
        return self._short(self.record.nodes[operand.index]) if isinstance(operand, Ref) else f"{operand:g}"

    def of(self, node: Node) -> str:
        """The name of a value: its variable, else a short expression, else its operation; and what it is a part of."""
        name = self._short(node)
        if "…" in name or (name.startswith("the ") and not name.startswith(WHOLE)):
            around = self._around(node)
            known = re.search(rf"(?<!\w){re.escape(around)}(?!\w)", name)
            return f"{name} in {around}" if around and not known else name
        return name

    def _around(self, node: Node) -> str:
        """The name of the part of its cell that it is in, a gate, say; else of the nearest named value made of it."""
        if node.scope.part:
            return f"{node.scope.part}{self.marks[node.index]}"
        pending, found = [node.index], {node.index}
        for index in pending:
            for user, _ in self.record.users[index]:
                if self.record.nodes[user].role:
                    return self._short(self.record.nodes[user])
                pending += [user] if user not in found else []
                found.add(user)
        return THE_LOSS

    def _short(self, node: Node) -> str:
        if node.index not in self._known:
            self._known[node.index] = self._made(node)
        return self._known[node.index]

    def _made(self, node: Node) -> str:
        if node.op is None:
            return self.leaf(node)
        if node.role or node.index in self.states:
            name = f"{node.role or self.states[node.index]}{self.marks[node.index]}"
            return self._of_parts(node) or name if name in self._of_several and node.scope.step is None else name
        last = node.index in self.record.graph.outputs
        text = self._read(node) or (self._of_two(node) if node.op.infix in INFIX else self._of_parts(node))
        return text if text and not (last and "…" in text) else THE_LOSS if last else f"the {node.op.name}"

    @cached_property
    def _of_several(self) -> set[str]:
        """Variables without a mark that hold one value before a loop and another one after it, as of two layers."""
        held, loops = defaultdict[str, set[int]](set), 0
        for node in self.record.nodes:
            loops += node.scope.step is not None
            if node.role and node.scope.step is None and not self.marks[node.index]:
                held[node.role].add(loops)
        return {name for name, after in held.items() if len(after) > 1}

    def _read(self, node: Node) -> str:
        """The name of what a step reads of a sequence, x_t, or one gate of all gates' values; else ""."""
        if node.op is None or node.op.name not in ("getitem", "take"):
            return ""
        source = self.record.nodes[node.sources[0]]
        if source.op is None and (source.role or source.name) and node.scope.step is not None:
            return f"{self.leaf(source)}_t" if _moves_on(self.record, node) else f"{self.leaf(source)}{_cut(node)}"
        inside = next((r for user, _ in self.record.users[node.index] if (r := self.record.nodes[user].role)), None)
        whole, part = source.role or source.scope.part, inside or node.scope.part
        if source.op is None or not whole or not part:
            return ""
        return f"the part of {self._short(source) if source.role else whole} in {part}{self.marks[node.index]}"

    def _of_two(self, node: Node) -> str:
        """``a + b`` if that is short, and Σ loss for what one line adds up, a value more at every step."""
        assert node.op is not None and node.op.infix is not None
        first, *more = (self.record.nodes[index] for index in node.sources)
        if node.op.infix in "+-" and more and more[0].role and (first.op, first.site) == (node.op, node.site):
            before = self.record.nodes[first.sources[-1]]
            if before.role == more[0].role and (before.scope.step is None or before.scope.step != more[0].scope.step):
                return f"Σ {self._short(more[0])}"
        parts = [self._part(node, slot) for slot in (0, 1)]
        short = set(parts) != {"…"} and sum(map(_width, parts)) <= LONGEST
        return f"{parts[0]} {INFIX[node.op.infix]} {parts[1]}" if short else ""

    def _part(self, node: Node, slot: int) -> str:
        name = self.operand(node, slot)
        return "…" if name.startswith("the ") or _width(name) > LONGEST_PART else bracketed(name)

    def _of_parts(self, node: Node) -> str:
        """The name of a function, or of what moves or joins values, from their names; "" if it is not short."""
        op, operands = node.op, [self.record.nodes[index] for index in node.sources]
        assert op is not None
        names = [self._short(x) for x in operands if x.requires_grad or x.role or x.name]
        if not names or any(name.startswith("the ") or "…" in name for name in names):
            return ""
        first = bracketed(names[0])
        if op.joins:
            text = f"all {names[0]}" if len(set(names)) == 1 and len(names) > 2 else f"[{', '.join(names)}]"
        elif op.name in ("getitem", "take"):
            text = f"{first}{_cut(node)}"
        elif op.name == "pow" and len(names) == 1:
            text = f"{first}^{self.operand(node, 1)}"
        elif op.kind == "movement":
            text = f"{first}ᵀ" if op.name == "permute" else f"reshaped {first}"
        else:
            text = f"{op.name}({', '.join(names[:2] if op.name == 'linear' else names)})"
        return text if _width(text) <= LONGEST + 6 else ""

    def cells(self, words: str) -> str:
        """The cells whose values have the marks that are in ``words``, told by weights that they alone have."""
        weights: dict[str, dict[str, None]] = defaultdict(dict)
        for node in self.record.nodes:
            leaves = (self.record.nodes[index] for index in node.sources if self.marks[node.index])
            weights[_cell(self.marks[node.index])] |= {x.name: None for x in leaves if x.name and x.requires_grad}
        told = []
        for mark in dict.fromkeys(map(_cell, re.findall(rf"(?<!x)(?:{MARKS.pattern})", words))):
            others = {name for other, names in weights.items() if other != mark for name in names}
            if own := [name for name in weights[mark] if name not in others]:
                turned = ", whose steps are counted as its loop goes, the last place first" if "←" in mark else ""
                told.append(f"{mark} is the cell with {' and '.join(own[:2])}{turned}")
        return f"{'; '.join(told)}." if told else ""

    # Equations -------------------------------------------------------------------------------------------

    def term(self, edit: Edit) -> str:
        """The place of an edit in the equations: a term of a gradient; "" if it changes no use."""
        found = sorted({*edit.uses, *edit.parts, *edit.sent} & set(self.record.truth.contributions))
        if not found:
            return ""
        use = found[len(found) // 2]
        operand = self.record.nodes[use[0]].operands[use[1]]
        assert isinstance(operand, Ref)
        target = self.record.nodes[operand.index]
        uses = self.record.senders(target.index)
        left, _, mine = self._rules(*use).partition(" = ")
        if len(uses) > TERMS or not left:
            return f"{left} = Σ over all uses, such as {mine}" if left and mine else left
        terms = [self._rules(*u).partition(" = ")[2] or "…" for u in uses]
        return f"term {uses.index(use) + 1} of {left} = {' + '.join(terms)}"

    @cached_property
    def _rules(self) -> Callable[[int, int], str]:
        return drawing().rules(self.record.graph)
