"""Guards: what must hold for a recording to be used again, as one function, because every call asks it.

A call of a small program takes microseconds, and a Python function for each of a hundred conditions would take more.
So they are written down as expressions, and compiled into one function that asks them one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Guards:
    """Collects expressions; `compiled` says whether all of them are true.

    >>> from tinygrad_rnn.compiler.guards import Guards
    >>> settings, limit = {"scale": 2.0}, 3.0
    >>> conditions = Guards()
    >>> conditions.add("{}[{}] < {}", settings, "scale", limit)
    >>> hold = conditions.compiled()
    >>> hold()
    True
    >>> del settings["scale"]
    >>> hold()
    False
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._objects: dict[str, Any] = {}
        self._lines: list[str] = []

    def add(self, expression: str, *objects: Any) -> None:
        """An expression in which each ``{}`` stands for one of ``objects``; one that cannot be computed is false."""
        for each in objects:
            if id(each) not in self._names:
                name = self._names[id(each)] = f"_{len(self._names)}"
                self._objects[name] = each  # and keep it, so that its id stays its own
        self._lines.append(f"if not ({expression.format(*(self._names[id(each)] for each in objects))}): return False")

    def compiled(self) -> Callable[[], bool]:
        """All of them as one function."""
        body = "\n  ".join([*self._lines, "return True"])
        given = ", ".join(f"{name}={name}" for name in self._objects)  # a local name is read faster than a global one
        source = (
            f"def hold({given}):\n try:\n  {body}\n except (LookupError, AttributeError, ValueError):\n  return False"
        )
        namespace = dict(self._objects)
        exec(source, namespace)
        hold: Callable[[], bool] = namespace["hold"]
        return hold
