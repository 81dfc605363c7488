"""What a run of the tests has time for: the nightly profile takes every case of a wide table, every other run some."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def some(cases: Sequence[T], each: int, first: int = 0) -> Sequence[T]:
    """Every case by night, by day one of ``each``, beginning at number ``first``."""
    return cases if NIGHTLY else cases[first::each]
