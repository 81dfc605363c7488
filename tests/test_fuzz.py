"""Eager against compiled on random programs: a slice of what the nightly run tries, and that the judge sees faults."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.testing import fuzz

#: found by longer runs, each in both forms the same since
FOUND = [
    fuzz.Case(head=1016164991, lines=(1099128569,)),  # cross_entropy of bytes
    fuzz.Case(head=1344537844, lines=(1209057486, 231728556)),  # one condition for a row longer than a tile
    fuzz.Case(head=453803880, lines=(534010128, 1794327230)),  # equal terms that cancel
    fuzz.Case(head=2075302815, lines=(157853475, 1861823239, 1041026247)),  # an exponential that is subnormal
]


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_mended(case):
    assert fuzz.judge(case).fault is None


@pytest.mark.parametrize("seed", range(8))
def test_eager_and_compiled_agree(seed):
    assert fuzz.judge(fuzz.Case.from_seed(seed)).fault is None


def test_a_wrong_value_is_seen_and_shrunk(monkeypatch):
    """With the compiled form off by a millionth, small programs remain that show it."""
    honest = fuzz.World.call

    def lying(self):
        results = honest(self)
        off = isinstance(self.function, tg.compile(lambda: 0).__class__)
        return [x * np.float32(1.001) if off and x is not None and x.dtype.kind == "f" else x for x in results]

    case = fuzz.Case(head=3, lines=(5, 6), changes=(7,))
    assert fuzz.judge(case).fault is None
    monkeypatch.setattr(fuzz.World, "call", lying)
    assert "are wrong" in fuzz.judge(case).fault
    assert fuzz.shrunk(case) == fuzz.Case(head=3)
