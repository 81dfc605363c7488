"""The graph of a walk with a mistake: at the uses that it changes, the rule is the wrong one, and so is its formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.diagnosis.edited_rules import SLOPES_AS_LATEX, AsIf, Sloped, Times, Valued, made, transposed
from tinygrad_rnn.diagnosis.edited_walks import Edit, Record, Rule, Scaled, Use
from tinygrad_rnn.graph import Graph, Node, Ref
from tinygrad_rnn.primitives.variant import variant
from tinygrad_rnn.tensors import Array

from .rule_formulas import Written, template

#: what arrives, and the result and the operand in a rule's formula
GRADIENT, RESULT, OPERAND = r"\frac{\partial L}{\partial \text{⟨y⟩}}", r"\text{⟨y⟩}", r"\text{⟨0⟩}"
#: values made of the one that belongs in a place
MADE: dict[str, Callable[[Array], Array]] = {
    "1": np.ones_like,
    r"(1 - {})": lambda v: 1 - v,
    r"{} \odot {}": lambda v: v * v,
    r"{}^\top": np.transpose,
}


def edited_graph(record: Record, edit: Edit) -> Graph:
    """The record's graph, whose operations follow the edit."""
    rules: dict[Use, Rule | None] = {**dict.fromkeys([*edit.parts, *edit.sent]), **edit.uses}
    for use in record.truth.contributions:
        node = record.nodes[use[0]]
        read = {node.index, *(x.index for x in node.operands if isinstance(x, Ref))}
        if read & edit.values.keys():
            rules.setdefault(use, Valued(edit.values))
    changed = {index for index, _ in rules}
    nodes = [
        replace(node, op=_edited(record, edit, node, rules)) if node.index in changed else node for node in record.nodes
    ]
    return Graph.of(nodes, record.graph.outputs)


def _edited(record: Record, edit: Edit, node: Node, rules: dict[Use, Rule | None]) -> Any:
    """The node's operation, by the rules of its uses."""
    op = node.op
    assert op is not None

    def vjp(slot: int, g: Array, _y: Array, *_operands: Any, **_attrs: Any) -> Array:
        rule = rules.get((node.index, slot))
        return record.pull(node, slot, g) if rule is None else rule(record, node, slot, g)

    written = []
    for slot in range(len(node.operands)):
        formula = template(node, slot)
        if (node.index, slot) in rules and formula:
            formula = _formula(record, node, slot, rules[node.index, slot])
            target = edit.sent.get((node.index, slot))
            if target is not None:
                formula = template(node, slot).replace(f"⟨{slot}⟩", _named(target), 1)
        written.append(Written(formula))
    return variant(op, vjp=vjp, accumulate=None, rule=tuple(written))


def _formula(record: Record, node: Node, slot: int, rule: Rule | None) -> str:
    """The rule as LaTeX with places for names; where it is not written in one line, that it is not the true one."""
    left, sign, true = template(node, slot).partition("= ")
    put: str | None = None
    if isinstance(rule, Scaled):
        put = "0" if rule.factor == 0 else rf"-\left({true}\right)" if rule.factor == -1 else None
        put = rf"{rule.factor:.6g} \cdot \left({true}\right)" if put is None else put
    elif isinstance(rule, Sloped):
        slope = re.sub(
            "(?<![a-z])[xy](?![a-z])", lambda m: RESULT if m[0] == "y" else OPERAND, SLOPES_AS_LATEX[rule.slope]
        )
        put = rf"{GRADIENT} \odot {slope}"
    elif rule is transposed:
        put = rf"\left({true}\right)^\top"
    elif isinstance(rule, AsIf) and rule.other is node:
        put = template(node, rule.slot).partition("= ")[2]
    elif isinstance(rule, Times):
        by = _recognized(record, -1, made(rule.value), "")
        put = None if by is None else rf"\left({true}\right) \odot {by}"
    elif isinstance(rule, Valued):
        put = _with_values(record, node, true, rule.now(record))
    return left.removesuffix(r"\mathrel{+}") + rf"\neq {true}" if put is None else f"{left}{sign}{put}"


def _with_values(record: Record, node: Node, true: str, changed: Mapping[int, Array]) -> str | None:
    """The true rule with the names of the values that are used in it; None where one of them has none."""
    places = {f"\\text{{⟨{k}⟩}}": x.index for k, x in enumerate(node.operands) if isinstance(x, Ref)}
    text = true.replace(GRADIENT, "\0")
    for place, index in {**places, RESULT: node.index}.items():
        if index in changed and place in text:
            name = _recognized(record, index, changed[index], place)
            if name is None:
                return None
            text = text.replace(place, name)
    return text.replace("\0", GRADIENT).replace(r"^\top^\top", "")


def _recognized(record: Record, index: int, value: Array, place: str) -> str | None:
    """The name of a value: a node's, or one made of the value that belongs there."""
    for number, known in enumerate(record.values[: len(record.nodes)]):
        if number != index and known is value:
            return rf"\text{{{_named(number)}}}"
    for formula, make in MADE.items() if index >= 0 else ():
        if np.array_equal(make(record.values[index]), value):
            return formula.replace("{}", place)
    alike = (n for n, v in enumerate(record.values[: len(record.nodes)]) if n != index and np.array_equal(v, value))
    found = next(alike, None)
    return None if found is None else rf"\text{{{_named(found)}}}"


def _named(index: int) -> str:
    """A place for a node's name, see `rule_formulas`."""
    return f"⟨#{index}⟩"
