"""How often `tg.diagnose` names a mistake: planted bugs, random edits, pairs, rounded digits, right gradients.

    python benchmarks/diagnose_table.py [--part planted own pairs rounded right hand held-out] [--markdown]

Every wrong gradient is made by a backward pass written by hand in NumPy, which shares no code with the search. "found":
the most likely edit is the mistake or gives the same numbers as it; a reader of the table sees both sentences.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def main() -> None:
    """Print the tables that are asked for."""
