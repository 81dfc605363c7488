"""What instructions there are."""

from __future__ import annotations

from collections.abc import Callable

#: name -> the function that does it, not compiled yet
INSTRUCTIONS: dict[str, Callable[..., int]] = {}


def instruction(function: Callable[..., int]) -> Callable[..., int]:
    """Enter a function under its name; a trailing ``_`` keeps it apart from Python's own."""
    INSTRUCTIONS[function.__name__.rstrip("_")] = function
    return function
