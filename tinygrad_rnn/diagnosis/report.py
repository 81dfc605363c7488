"""`Diagnosis`: what was found, and its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..files import PathLike
from ..tensors import Array

if TYPE_CHECKING:
    from .edited_walks import Edit

#: edits with the same effect that are listed
LISTED = 5
#: what is said of numbers that several mistakes would give
TOO_FEW = (
    "too few digits to tell which mistake was made, or whether a small one was; give at least six, or the array itself "
    "(np.save)"
)


@dataclass
class Diagnosis:
    """The mistake that makes the given gradients, as `diagnose` finds it; true if they are right.

    >>> import tinygrad_rnn as tg
    >>> w = tg.tensor([2.0], requires_grad=True, name="w")
    >>> found = tg.diagnose((w * w).sum(), {"w": [4.0]})
    >>> bool(found), found.correct
    (True, True)
    """

    correct: bool  #: the given gradients are right, to the digits they were given with
    edits: list[Edit]  #: what gives these numbers, most likely first; all of them give the same
    gradients: dict[Any, Array]  #: what the edited walk gives (the true one, if nothing was found), keyed as given
    agreement: float  #: the largest difference from what was given, relative, normwise over a leaf
    right: list[str] = field(default_factory=list)  #: leaves that are right as given, and steps of sequences
    wrong: list[str] = field(default_factory=list)  #: leaves that are not
    tried: int = 0  #: edits that were tried
    few_digits: str = ""  #: with how many digits it was given, if these are too few to tell
    pairs: str = ""  #: which pairs of edits were tried
    place: str = ""  #: where along the walk the first wrong leaf is
    cells: str = ""  #: which cells the marks in the edits' words stand for
    failed: list[str] = field(default_factory=list)  #: what was not tried, as the search itself ended there in an error
    _sides: Callable[[], Any] | None = field(default=None, repr=False)

    @property
    def found(self) -> bool:
        """A mistake was found that gives all the given numbers."""
        return bool(self.edits)

    def __bool__(self) -> bool:
        return self.correct

    def show(self, path: PathLike | None = None) -> Any:
        """The true walk and the edited one side by side in the debugger, at the first step where they part.

        Written to ``path`` (.html) if given; in a notebook it shows itself; ``.sessions`` are the two debuggers. Raises
        `ArgumentError` if no mistake was found.
        """
        if self._sides is None or not self.edits:
            raise ArgumentError("diagnose: there is no mistake to show; print the diagnosis")
        sides = self._sides()
        if path is not None:
            sides.html(path)
        return sides

    def __str__(self) -> str:
        if self.correct and self.few_digits:
            return f"The gradients are right to the {self.few_digits} they are given with: {TOO_FEW}."
        if self.correct:
            return f"The gradients are right, {_to(self.agreement)}."
        return self._named() if self.edits else self._not_found()

    def _named(self) -> str:
        first, *others = self.edits
        lines = [first.words]
        if first.term:
            lines.append(f"In the equations, with steps counted from 1: {first.term}.")
        lines += [self.cells] if self.cells else []
        if others:
            lines.append("The same numbers come from:")
            lines += ["- " + edit.words.replace("\n", " ") for edit in others[:LISTED]]
            if len(others) > LISTED:
                lines.append(f"- and {len(others) - LISTED} more.")
        lines.append(f"Your numbers are reproduced {_to(self.agreement)}.")
        return "\n".join(lines)

    def _not_found(self) -> str:
        right = f"Right: {', '.join(self.right)}." if self.right else "No gradient given is right."
        lines = ["The mistake was not found.", f"{right} Wrong: {', '.join(self.wrong)}."]
        if self.place:
            lines.append(self.place)
        if self.few_digits:
            lines[0] = f"Given with {self.few_digits}: {TOO_FEW}."
            return "\n".join(lines)
        lines.append(f"None of {self.tried} single edits of the backward pass gives these numbers{self.pairs}.")
        if self.failed:
            some = "; ".join(self.failed[:LISTED]) + ("; and others" if len(self.failed) > LISTED else "")
            lines.append(f"Not tried, as the search itself failed there (please report it): {some}.")
        return "\n".join(lines)


def _to(difference: float) -> str:
    return f"to {difference:.0e} (relative)" if difference else "to the last bit"
