"""Named gradient bugs that any checker can be judged against, and the table of who finds which.

A bug is a backward pass written by hand with one thing wrong (`BUGS`). Judge your own checker:

>>> from tinygrad_rnn.testing.planted_bugs import make_problem, wrong_gradients
>>> problem = make_problem("lstm", "vanishing")
>>> for bug, claimed in wrong_gradients(problem, "lstm"):
...     pass  # does your checker, given problem.loss, problem.inputs() and claimed.whole, say that it is wrong?
"""

from .bptt import Bptt as Bptt
from .bugs import BUGS as BUGS
from .score_table import KINDS as KINDS
from .score_table import POLICIES as POLICIES
from .score_table import REGIMES as REGIMES
from .score_table import Row as Row
from .score_table import as_markdown as as_markdown
from .score_table import as_text as as_text
from .score_table import correct as correct
from .score_table import detection_table as detection_table
from .score_table import false_alarms as false_alarms
from .score_table import make_problem as make_problem
from .score_table import wrong_gradients as wrong_gradients
