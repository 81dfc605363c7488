r"""A formula in LaTeX as MathML, which browsers typeset by themselves; `latex2mathml` converts it.

Formulas hold names out of files that anybody may have written. So what stands in ``\text{...}`` and the like never
reaches the converter, and of what it returns only the elements that mathematics needs are let through.
"""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree

from tinygrad_rnn.optional_packages import needed
from tinygrad_rnn.words import words

LIMIT = 20_000  #: characters
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_ELEMENTS = words(
    "math mrow mi mn mo mtext msub msup msubsup mfrac mover munder munderover msqrt mtable mtr mtd mspace mstyle"
)
_ATTRIBUTES = words(
    "stretchy mathvariant display width fence movablelimits form displaystyle accent scriptlevel linethickness "
    "minsize maxsize columnalign"
)
_TAGS = {"text": "mtext", "operatorname": "mi", "mathrel": "mo"}
_WORDS = re.compile(r"\\(text|operatorname|mathrel)\s*\{((?:\\.|[^{}\\])*)\}", re.DOTALL)
_FIRST_PLACE = 0xF0000  #: of a private use area: letters that stand for words while the rest is converted


def mathml(latex: str) -> str:
    r"""``\bar x = y^2`` as a ``<math>`` element. Any text may be given: what is not a formula is shown as it is.

    >>> mathml(r"y^2")
    '<math><mrow><msup><mi>y</mi><mn>2</mn></msup></mrow></math>'
    >>> mathml(r"\text{a<b}")
    '<math><mrow><mrow><mtext>a&lt;b</mtext></mrow></mrow></math>'
    """
    with needed("a formula on a page", "html"):
        from latex2mathml.converter import convert

    latex = latex[:LIMIT].replace(r"\mathrel{+}=", r"\mathrel{+=}")
    latex = "".join(c for c in latex if ord(c) < _FIRST_PLACE and (c.isprintable() or c.isspace()))
    words: list[tuple[str, str]] = []

    def put_aside(found: re.Match[str]) -> str:
        words.append((found[1], re.sub(r"\\(.)", r"\1", found[2])))
        return "{" + chr(_FIRST_PLACE + len(words) - 1) + "}"

    try:
        root = ElementTree.fromstring(convert(_WORDS.sub(put_aside, latex), display="block"))
    except Exception:  # the converter has a kind of error for each mistake, and raises others too
        return f"<math><mtext>{escape(latex)}</mtext></math>"
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if element.tag not in _ELEMENTS or not element.attrib.keys() <= _ATTRIBUTES:
            return f"<math><mtext>{escape(latex)}</mtext></math>"
        place = ord(element.text) - _FIRST_PLACE if element.text and len(element.text) == 1 else -1
        if 0 <= place < len(words):
            kind, element.text = words[place]
            element.tag = _TAGS[kind]
            element.attrib.clear()
        if element.tag == "mo" and element.text == "‖":  # a browser stretches it to its row if nothing is said
            element.attrib.setdefault("stretchy", "false")
    root.attrib = {}
    return ElementTree.tostring(root, encoding="unicode")
