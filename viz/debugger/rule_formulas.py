r"""A primitive's rule with the network's names in it: ``∂L/∂a_3 = ∂L/∂f_3 ⊙ f_3 ⊙ (1 − f_3)``.

A primitive's record writes its rule with letters of its own, ``\bar x = \bar y \odot y \odot (1 - y)``. Those letters
mean other things in a network, so each is replaced: an operand's by a place for its name, ``⟨0⟩``, the result's by
``⟨y⟩``, another node's by ``⟨#12⟩``, and a bar by the derivative of the loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import tinygrad_rnn as tg

from .. import style
from ..equations.formula_text import latex_name
from .node_names import Names

#: What goes through the formula untouched: commands with a word in braces, other commands, bars before a letter.
_PARTS = re.compile(
    r"\\bar\s*(?P<bar>[A-Za-z])(?P<own>_i)?|(?P<kept>\\(?:text|operatorname|mathrel|mathbf)\s*\{?[^{}\s]*\}?|\\[a-zA-Z]+)"
    r"|(?<![A-Za-z])(?P<letter>[A-Za-z])(?P<mine>_i)?(?![A-Za-z])"
)
_PLACE = re.compile(r"⟨(#?\w+)⟩")
_EULER = "e"


class Written(str):
    """A rule that has places for names already."""


def template(node: tg.Node, slot: int, is_one_of_several: bool = False) -> str:
    """The rule for an operand as LaTeX, with places for names; "" if the primitive has none.

    An operand that is used in several places has the sum of what comes back from them: ``+=`` says that this is one.
    """
    assert node.op is not None
    rules = node.op.rule
    rule = rules[slot if slot < len(rules) else -1] if rules else ""
    if is_one_of_several and r"\mathrel{+}=" not in rule:
        changed = rule.replace(" = ", r" \mathrel{+}= ", 1)
        rule = Written(changed) if isinstance(rule, Written) else changed
    if not rule or isinstance(rule, Written):
        return rule
    letters = {"y": "y"}
    for number, each in enumerate(rules):
        if found := re.match(r"\\bar\s*([A-Za-z])", each):
            letters[found[1]] = str(slot if len(rules) == 1 and len(node.operands) > 1 else number)
    others = iter(number for number, each in enumerate(rules) if not each)  # operands without a gradient: a condition

    def place(found: re.Match[str]) -> str:
        if found["bar"]:
            name = letters.get(found["bar"], found["bar"])
            return rf"\frac{{\partial L}}{{\partial \text{{⟨{name}⟩}}}}"
        letter = found["letter"]
        if letter is None or letter == _EULER:
            return found[0]
        if letter not in letters and (other := next(others, None)) is not None:
            letters[letter] = str(other)
        if letter in letters:
            return rf"\text{{⟨{letters[letter]}⟩}}"
        return _place_of(node, slot, letter)

    return _PARTS.sub(place, rule)


def is_edited(node: tg.Node) -> bool:
    """Whether its rules are those of a mistake, see `edited_graph`."""
    return node.op is not None and any(isinstance(rule, Written) for rule in node.op.rule)


def _place_of(node: tg.Node, slot: int, letter: str) -> str:
    """A place in an array as text: the index as it was written, or in a concatenation the number of the part."""
    index = node.attrs.get("index")
    if isinstance(index, tuple):
        return rf"\text{{{style.index_text(index)}}}"
    return str(slot + 1) if len(node.operands) > 1 else letter


def latex(node: tg.Node, slot: int, name: Callable[..., str], is_one_of_several: bool = False) -> str:
    """The rule for an operand as LaTeX; ``name`` says what a node is called."""
    rule = template(node, slot, is_one_of_several)
    return re.sub(r"\\text\{⟨(#?\w+)⟩\}", lambda m: _latex(_named(node, m[1], name)), rule)


def _latex(name: str) -> str:
    """A name such as ``(f_3 ⊙ c_2)`` or ``tanh(c_3)``, piece by piece."""
    signs = {"⊙": r"\odot", "⊘": r"\oslash", "−": "-", "ᵀ": r"^\top", "(": r"\left(", ")": r"\right)", "…": r"\ldots"}
    parts = [part for part in re.split(r"([()⊙⊘+−ᵀ…]| |\[[^]]*\])", name) if part.strip()]
    indexed = {part: rf"[\text{{{part[1:-1]}}}]" for part in parts if part.startswith("[")}
    return " ".join({**signs, **indexed}.get(part) or (part if part == "+" else latex_name(part)) for part in parts)


def text(node: tg.Node, slot: int, name: Callable[..., str], is_one_of_several: bool = False) -> str:
    """The rule for an operand as plain text."""
    rule = template(node, slot, is_one_of_several)
    linear = re.sub(r"\\frac\{\\partial L\}\{\\partial \\text\{([^{}]+)\}\}", r"∂L/∂\1", rule)
    linear = re.sub(r"_\{\[\\text\{([^⟨⟩{}]*)\}\]\}", r"[\1]", linear)
    plain = style.unicode_formula(re.sub(r"\\text\{(⟨#?\w+⟩)\}", r"\1", linear))
    return _PLACE.sub(lambda m: _named(node, m[1], name), plain)


def rules(graph: tg.Graph) -> Callable[[int, int], str]:
    """The rules of a graph's uses, by node and operand, as plain text with the debugger's names."""
    names = Names(graph)
    return lambda node, slot: names.drawn(text(graph.nodes[node], slot, lambda index, *_: names.shown[index]))


def _named(node: tg.Node, place: str, name: Callable[..., str]) -> str:
    if place == "y":
        return name(node.index)
    if place.startswith("#"):
        return name(int(place[1:]))
    operand = node.operands[int(place)]
    return name(operand.index, node.index) if isinstance(operand, tg.Ref) else f"{operand}"
