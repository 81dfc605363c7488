r"""A primitive's rule with the network's names in it: ``∂L/∂a_3 = ∂L/∂f_3 ⊙ f_3 ⊙ (1 − f_3)``.

A primitive's record writes its rule with letters of its own, ``\bar x = \bar y \odot y \odot (1 - y)``. Those letters
mean other things in a network, so each is replaced: an operand's by a place for its name, ``⟨0⟩``, the result's by
``⟨y⟩``, and a bar by the derivative of the loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import tinygrad_rnn as tg

from .. import style
from ..derivation.writing import latex_name

#: What goes through the formula untouched: commands with a word in braces, other commands, bars before a letter.
_PARTS = re.compile(
    r"\\bar\s*(?P<bar>[A-Za-z])(?P<own>_i)?|(?P<kept>\\(?:text|operatorname|mathrel|mathbf)\s*\{?[^{}\s]*\}?|\\[a-zA-Z]+)"
    r"|(?<![A-Za-z])(?P<letter>[A-Za-z])(?:_i)?(?![A-Za-z])"
)
_PLACE = re.compile(r"⟨(\w+)⟩")
_SIGNS = {"*": "⊙", "+": "+", "-": "−"}


def template(node: tg.Node, slot: int) -> str:
    """The rule for an operand as LaTeX, with places for names; "" if the primitive has none."""
    assert node.op is not None
    rules = node.op.rule
    rule = rules[slot if slot < len(rules) else -1] if rules else ""
    if not rule:
        return ""
    letters = {"y": "y"}
    for number, each in enumerate(rules):
        if found := re.match(r"\\bar\s*([A-Za-z])", each):
            letters[found[1]] = str(slot if len(rules) == 1 and len(node.operands) > 1 else number)

    def place(found: re.Match[str]) -> str:
        if found["bar"]:
            name = letters.get(found["bar"], found["bar"])
            return rf"\frac{{\partial L}}{{\partial \text{{⟨{name}⟩}}}}"
        if found["letter"] in letters:
            return rf"\text{{⟨{letters[found['letter']]}⟩}}"
        return found[0]

    return _PARTS.sub(place, rule)


def latex(node: tg.Node, slot: int, name: Callable[[int], str]) -> str:
    """The rule for an operand as LaTeX; ``name`` says what a node is called."""
    return re.sub(r"\\text\{⟨(\w+)⟩\}", lambda m: latex_name(_named(node, m[1], name)), template(node, slot))


def text(node: tg.Node, slot: int, name: Callable[[int], str]) -> str:
    """The rule for an operand as plain text."""
    linear = re.sub(r"\\frac\{\\partial L\}\{\\partial \\text\{(⟨\w+⟩)\}\}", r"∂L/∂\1", template(node, slot))
    plain = style.unicode_formula(re.sub(r"\\text\{(⟨\w+⟩)\}", r"\1", linear))
    return _PLACE.sub(lambda m: _named(node, m[1], name), plain)


def _named(node: tg.Node, place: str, name: Callable[[int], str]) -> str:
    if place == "y":
        return name(node.index)
    operand = node.operands[int(place)]
    return name(operand.index) if isinstance(operand, tg.Ref) else f"{operand}"


def composed(graph: tg.Graph, index: int, names: Callable[[int], str]) -> str:
    """What a formula calls a node: its name; where it has none, ``a_f3`` for what goes into the gate f_3, ``a_3`` for
    what goes into all gates, or ``(f_4 ⊙ c_3)`` if it is made of what has names."""
    node = graph.nodes[index]
    if node.op is None or node.role or node.name:
        return names(index)
    uses = [graph.nodes[i] for i in graph.consumers[index]]
    gates = [use for use in uses if use.op is not None and use.op.name in ("tanh", "sigmoid") and use.role]
    if len(uses) == 1 and gates and re.fullmatch(r"(.*\.)?\w_\d+", names(gates[0].index)):
        path, _, gate = names(gates[0].index).rpartition(".")
        return f"{path}{'.' if path else ''}a_{gate.replace('_', '')}"
    if node.scope.part == "a" and node.scope.step is not None and all(use.scope.part != "a" for use in uses):
        path = names(index).rpartition(".")[0].removesuffix("a").removesuffix(".")
        return f"{path}{'.' if path else ''}a_{node.scope.step + 1}"
    if node.op.infix not in _SIGNS:
        return names(index)
    shown = []
    for operand in node.operands:
        if not isinstance(operand, tg.Ref):
            shown.append(f"{operand}")
            continue
        made = graph.nodes[operand.index]
        if made.op is not None and not made.role and not made.name:
            return names(index)
        shown.append(names(operand.index))
    return f"({f' {_SIGNS[node.op.infix]} '.join(shown)})"
