"""What a run of the tests has time for: the nightly profile takes every case of a wide table, every other run some."""

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def examples(by_day: int, by_night: int | None = None) -> settings:
    """For a property whose examples are dear: so many by day, by night as many as the profile has unless told."""
    return settings(max_examples=(by_night or settings().max_examples) if NIGHTLY else by_day)


def some(cases: Sequence[T], each: int, first: int = 0) -> Sequence[T]:
    """Every case by night, by day one of ``each``, beginning at number ``first``."""
    return cases if NIGHTLY else cases[first::each]
