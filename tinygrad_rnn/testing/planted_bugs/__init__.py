"""Named gradient bugs that any checker can be judged against, and the table of who finds which.

A bug is a backward pass written by hand with one thing wrong (`BUGS`). Judge your own checker:

>>> from tinygrad_rnn.testing.planted_bugs import make_problem, wrong_gradients
>>> problem = make_problem("lstm", "vanishing")
>>> for bug, claimed in wrong_gradients(problem, "lstm"):
...     pass  # does your checker, given problem.loss, problem.inputs() and claimed.whole, say that it is wrong?
"""

from .bptt import Bptt
from .bugs import BUGS
from .score_table import (
    KINDS,
    POLICIES,
    REGIMES,
    Row,
    as_markdown,
    as_text,
    correct,
    detection_table,
    false_alarms,
    make_problem,
    wrong_gradients,
)

__all__ = [
    "BUGS",
    "KINDS",
    "POLICIES",
    "REGIMES",
    "Bptt",
    "Row",
    "as_markdown",
    "as_text",
    "correct",
    "detection_table",
    "false_alarms",
    "make_problem",
    "wrong_gradients",
]
