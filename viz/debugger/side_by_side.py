"""The true walk and an edited one beside each other in the debugger."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import numpy as np

from tinygrad_rnn.bptt.recording import Trace
from tinygrad_rnn.diagnosis.edited_walks import Edit, Record
from tinygrad_rnn.diagnosis.student_names import Names as StudentNames
from tinygrad_rnn.errors import DataError
from tinygrad_rnn.files import PathLike, as_path, write_atomically
from tinygrad_rnn.kept_walk import Sent, Walk

from .edited_graph import edited_graph
from .node_names import Names
from .session import Session
from .web import page


class SideBySide:
    """Two debuggers of one graph: the right walk, and the one with the mistake."""

    def __init__(self, record: Record, edit: Edit) -> None:
        walks = [record.walked(Edit("")), record.walked(edit)]
        self.words = edit.words
        self.position = _parting(*walks)  #: the first step of the walk at which they differ, from 1
        seed = np.ones(record.nodes[record.graph.outputs[0]].shape)
        self.sessions: list[Session] = []  #: the right one, the edited one
        for graph, walk in zip((record.graph, edited_graph(record, edit)), walks, strict=True):
            session = Session(Trace(graph, seed, walk.steps))
            session.goto(self.position)
            self.sessions.append(session)
        self.names = Names(record.graph)
        self.term = f"In the equations, with steps counted from 1: {edit.term}." if edit.term else ""
        self.where = f"{self._where(record, walks)}{self._rules()}{self._also_called(record, walks[0])}"

    def _where(self, record: Record, walks: list[Walk]) -> str:
        """At which step they part, and what there is sent otherwise."""
        true, edited = (walk.steps[self.position - 1] for walk in walks)
        shown = [self.names.drawn(self.names.both(index)) for index in range(len(record.nodes))]  # as in the pictures
        text = f"Below, the walks part at step {self.position} of {len(walks[0].steps)}"
        if true.node == edited.node and record.nodes[true.node].op is None:
            return f"{text}: in what is written down for {shown[true.node]}."
        theirs = {sent.slot: sent for sent in edited.contributions}
        other = [sent for sent in true.contributions if sent.slot not in theirs or not _alike(sent, theirs[sent.slot])]
        if true.node != edited.node or not np.array_equal(true.gradient, edited.gradient) or not other:
            return f"{text}."
        return f"{text}: in what {shown[true.node]} sends to {' and to '.join(shown[sent.target] for sent in other)}."

    def _rules(self) -> str:
        """The rule that is another there, if it is one, in both walks."""
        rules = zip(*([rule.formula for rule in session.rules()] for session in self.sessions), strict=False)
        pairs = [(right, wrong) for right, wrong in rules if right != wrong and right and wrong]
        if len(pairs) != 1:
            return ""
        right, wrong = map(self.names.drawn, pairs[0])
        return f" There {wrong}, not {right.split('= ', 1)[-1]}."

    def _also_called(self, record: Record, true: Walk) -> str:
        """The debuggers' names of what is said above by the program's."""
        step, said = true.steps[self.position - 1], StudentNames(record)
        around = [record.nodes[index] for index in (step.node, *(sent.target for sent in step.contributions))]
        others = list[str]()
        for node in dict.fromkeys([*record.leaves, *around]):
            own, shown = said.of(node), self.names.drawn(self.names.shown[node.index]).rstrip("₀₁₂₃₄₅₆₇₈₉")
            if own != shown and "(" not in shown and re.search(rf"(?<!\w){re.escape(own)}(?!\w)", self.words):
                others.append(f"{own} is {shown}")
        return f" There, {' and '.join(others)}." if others else ""

    def html(self, path: PathLike | None = None) -> str:
        """Both as one page, written to ``path`` if given; each half is a debugger of its own."""
        if path is not None and as_path(path).suffix.lower() not in (".html", ".htm"):
            raise DataError(f"a page is written to a file that ends in .html, not {str(path)!r}")
        halves = "".join(
            f'<section><iframe sandbox="allow-scripts" title="{title}" '
            f'srcdoc="{escape(page.html(session, title))}"></iframe></section>'
            for title, session in zip(("as it should be", "with the mistake"), self.sessions, strict=True)
        )
        said = f"{escape(self.words)} {escape(self.term)}<br><small>{escape(self.where)}</small>"
        text = (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Two walks</title><style>'
            "body{margin:0;font:15px system-ui,sans-serif}p{margin:.6em 1em}main{display:flex}"
            "section{flex:1;min-width:0}iframe{width:100%;height:calc(100vh - 4.6em);border:0}"
            f"</style></head><body><p>{said}</p><main>{halves}</main></body></html>"
        )
        if path is not None:
            write_atomically(path, text.encode())
        return text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_options: Any) -> dict[str, str]:
        frame = f'<iframe sandbox="allow-scripts" srcdoc="{escape(self.html())}" width="100%" height="800"></iframe>'
        return {"text/html": frame, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Two walks that part at step {self.position}: {self.words}"


def _parting(true: Walk, edited: Walk) -> int:
    """The first step at which two walks differ: in whose turn it is, in its gradient, or in what it sends."""
    for k, (one, other) in enumerate(zip(true.steps, edited.steps, strict=False), 1):
        if one.node != other.node or not np.array_equal(one.gradient, other.gradient):
            return k
        theirs = {sent.slot: sent for sent in other.contributions}
        for sent in one.contributions:
            if sent.slot not in theirs or not _alike(sent, theirs[sent.slot]):
                return k
    return len(true.steps)


def _alike(one: Sent, other: Sent) -> bool:
    return one.target == other.target and np.array_equal(one.value, other.value)
