"""What was found, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..tensor import Array

if TYPE_CHECKING:
    from .walks import Edit


@dataclass
class Diagnosis:
    """Which mistake makes the given gradients; true if they are right."""

    correct: bool  #: the given gradients are right, to the digits they were given with
    edits: list[Edit]  #: what gives these numbers, most likely first; all of them give the same
    gradients: dict[Any, Array]  #: what the edited walk gives (the true one, if nothing was found), keyed as given
    agreement: float  #: the largest difference from what was given, relative, normwise over a leaf
    right: list[str] = field(default_factory=list)  #: leaves that are right as given
    wrong: list[str] = field(default_factory=list)  #: leaves that are not
    tried: int = 0  #: edits that were tried

    @property
    def found(self) -> bool:
        """A mistake was found that gives all the given numbers."""
        return bool(self.edits)

    def __bool__(self) -> bool:
        return self.correct

    def __str__(self) -> str:
        if self.correct:
            return f"The gradients are right, to {self.agreement:.0e} (relative)."
        if not self.edits:
            right = f"Right: {', '.join(self.right)}. " if self.right else "No gradient given is right. "
            return (
                f"The mistake was not found. {right}Wrong: {', '.join(self.wrong)}. None of {self.tried} single edits "
                "of the backward pass gives these numbers, nor do two of them whose effects add up as far as "
                "they were tried."
            )
        first, *others = self.edits
        lines = [first.words]
        if others:
            lines.append("The same numbers come from:")
            lines += ["- " + edit.words.replace("\n", " ") for edit in others[:5]]
            if len(others) > 5:
                lines.append(f"- and {len(others) - 5} more.")
        lines.append(f"Your numbers are reproduced to {self.agreement:.0e} (relative).")
        return "\n".join(lines)
