"""Names of values, and terms of gradients, as a student writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..graph import Node, Ref

if TYPE_CHECKING:
    from .edited_walks import Edit, Record, Use

#: what a product, sum ... is written with, by the operation's own sign
INFIX = {"+": "+", "-": "−", "*": "⊙", "/": "/", "@": "@"}
#: longer than this, an expression is only called by its operation
LONGEST = 22
#: a gradient of more terms than this is a sum over steps
TERMS = 4


def _moves_on(record: Record, node: Node) -> bool:
    """Whether a leaf is cut at this index only in this step, as a sequence is."""
    index, (source,) = node.attrs.get("index"), node.sources[:1]
    others = (record.nodes[user] for user, _ in record.users[source] if user != node.index)
    return (
        node.op is None
        or node.op.name != "getitem"
        or not any(
            n.op is node.op and n.site == node.site and repr(n.attrs.get("index")) == repr(index) for n in others
        )
    )


def _cut(node: Node) -> str:
    """An index as a program writes it."""

    def text(k: Any) -> str:
        return f"{k.start or ''}:{'' if k.stop is None else k.stop}" if isinstance(k, slice) else str(k)

    index = node.attrs["index"]
    return f"[{', '.join(map(text, index if isinstance(index, tuple) else (index,)))}]"


def _is_cut(node: Node) -> bool:
    index = node.attrs.get("index")
    return all(isinstance(k, (int, slice)) for k in (index if isinstance(index, tuple) else (index,)))


def bracketed(name: str) -> str:
    """``name`` in brackets if it needs them within a formula."""
    return f"({name})" if " " in name else name


class Names:
    """The names of all values in one record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.states: dict[int, str] = {}  #: states that the program gives no name: c where it begins with c0
        self._known: dict[int, str] = {}

    def leaf(self, leaf: Node) -> str:
        """The name that the user gave it."""
        return leaf.name or self.record.texts.get(leaf.index) or leaf.role or f"the leaf of shape {leaf.shape}"

    def operand(self, node: Node, slot: int) -> str:
        """The name of an operand, or the number that it is."""
        operand = node.operands[slot]
        return self.of(self.record.nodes[operand.index]) if isinstance(operand, Ref) else f"{operand:g}"

    def of(self, node: Node) -> str:
        """The name of a value: its role, else a short expression, else its operation."""
        if node.index not in self._known:
            self._known[node.index] = self._of(node)
        return self._known[node.index]

    def _of(self, node: Node) -> str:
        if node.op is None:
            return self.leaf(node)
        if node.role or node.index in self.states:
            return node.role or self.states[node.index]
        if node.op.name in ("getitem", "take") and isinstance(node.operands[0], Ref) and node.scope.step is not None:
            source = self.record.nodes[node.operands[0].index]
            if source.op is None and (source.role or source.name):
                return f"{self.leaf(source)}_t" if _moves_on(self.record, node) else f"{self.leaf(source)}{_cut(node)}"
        if node.op.name == "getitem" and isinstance(node.operands[0], Ref):
            source = self.record.nodes[node.operands[0].index]
            inside = next((r for user, _ in self.record.users[node.index] if (r := self.record.nodes[user].role)), None)
            if source.op is not None and source.role and inside:
                return f"the part of {source.role} in {inside}"
        if node.op.name == "permute" and len(self.operand(node, 0)) < LONGEST:
            return f"{bracketed(self.operand(node, 0))}ᵀ"
        if node.op.infix in INFIX and len(node.operands) == 2:
            parts = [self._part(node, slot) for slot in (0, 1)]
            if set(parts) != {"…"} and sum(map(len, parts)) <= LONGEST:
                return f"{parts[0]} {INFIX[node.op.infix]} {parts[1]}"
        if (text := self._of_parts(node)) and len(text) <= LONGEST + 6:
            return text
        users = [self.record.nodes[user] for user, _ in self.record.users[node.index]]
        inside = next((u.role for u in users if u.role), None)
        part = node.scope.part or inside
        return f"the {node.op.name}" + (f" in {part}" if part else "")

    def _of_parts(self, node: Node) -> str:
        """The name of a power, or of what moves or joins values, from their names; "" if these are not short."""
        op = node.op
        assert op is not None
        names = [self.operand(node, slot) for slot in range(len(node.operands)) if isinstance(node.operands[slot], Ref)]
        if any(name.startswith("the ") or "…" in name for name in names):
            return ""
        if op.name in ("concat", "stack"):
            return f"all {names[0]}" if len(set(names)) == 1 and len(names) > 2 else f"[{', '.join(names)}]"
        if op.name == "getitem" and _is_cut(node):
            return f"{bracketed(names[0])}{_cut(node)}"
        if op.name == "pow" and len(names) == 1:
            return f"{bracketed(names[0])}^{self.operand(node, 1)}"
        return f"{names[0]}, reshaped" if op.name in ("reshape", "broadcast_to") else ""

    def _part(self, node: Node, slot: int) -> str:
        name = self.operand(node, slot)
        if name.startswith("the ") or len(name) > LONGEST // 2:
            return "…"
        return bracketed(name)

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
        uses = [u for u in self.record.users[target.index] if u in self.record.truth.contributions]
        name = self._at(target)
        if len(uses) > TERMS:
            return f"dL/d{name} = Σ over all uses, such as {self._sent(use)}"
        return f"term {uses.index(use) + 1} of dL/d{name} = {self._sum(uses)}"

    def _sum(self, uses: Iterable[Use]) -> str:
        return " + ".join(self._sent(use) for use in uses)

    def _at(self, node: Node) -> str:
        """The name of a value with its time step, counted from 1."""
        name, step = self.of(node), node.scope.step
        name = bracketed(name)
        if step is None or node.op is None:
            return name
        return f"{name[:-1]}{step + 1}" if name.endswith("_t") else f"{name}_{step + 1}"

    def _sent(self, use: Use) -> str:
        """The contribution of a use as a formula."""
        node, slot = self.record.nodes[use[0]], use[1]
        assert node.op is not None
        g = "1" if node.index == self.record.graph.outputs[0] else f"dL/d{self._at(node)}"
        operands = [self._at(self.record.nodes[x.index]) if isinstance(x, Ref) else f"{x:g}" for x in node.operands]
        y, other = self._at(node), operands[1 - slot] if len(operands) == 2 else ""
        formulas = {
            "add": g,
            "sub": g if slot == 0 else f"−{g}",
            "mul": f"{g} ⊙ {other}",
            "neg": f"−{g}",
            "div": f"{g} / {other}" if slot == 0 else f"−{g} ⊙ {y} / {operands[slot]}",
            "matmul": f"{g} @ {other}ᵀ" if slot == 0 else f"{other}ᵀ @ {g}",
            "tanh": f"{g} ⊙ (1 − {y}²)",
            "sigmoid": f"{g} ⊙ {y} ⊙ (1 − {y})",
            "relu": f"{g} ⊙ [{operands[0]} > 0]",
        }
        if node.op.name == "linear":
            x, weight = operands[:2]
            return {0: f"{g} @ {weight}", 1: f"{g}ᵀ @ {x}", 2: f"Σ rows of {g}"}[slot]
        return formulas.get(node.op.name, f"what {node.op.name} sends of {g}")
