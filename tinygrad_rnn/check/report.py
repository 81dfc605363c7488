"""The result of a gradient check, for a person to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..element_places import subscript
from ..errors import TinygradError
from ..kinks_nearby import Kink
from ..norms import norm
from ..operation_errors import short
from ..rounding_noise import ROUNDING_MARGIN
from ..tensors import Array
from .tolerances import bound, finite


@dataclass(frozen=True)
class Comparison:
    """One tensor's gradient, or one time step's share of it, against what was expected."""

    name: str  #: the tensor's
    quantity: str  #: "gradient", "contribution", "second derivative"
    step: int | None  #: time step, from 0
    got: Array
    expected: Array
    rtol: float
    noise: float  #: what rounding alone may do to it
    site: str | None  #: the source line that made the tensor
    node: int  #: position in the graph
    projected: bool = False  #: both sides are slopes along random directions, not elements
    lift: float = 1.0  #: both sides are so many times what was asked for, which is too small to have all its digits

    @property
    def difference(self) -> Array:
        """``got − expected``, and 0 where the derivative itself is not finite: there is nothing to be held to."""
        if self.got.shape != self.expected.shape:
            return np.full(self.expected.shape, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(np.isfinite(self.expected), self.got - self.expected, 0.0)

    @property
    def error(self) -> float:
        """``‖got − expected‖``."""
        return norm(self.difference)

    @property
    def allowed(self) -> float:
        """The error that would still be agreement."""
        return bound(finite(self.expected), self.rtol, self.noise)

    @property
    def agrees(self) -> bool:
        """Whether the two are one gradient, up to rounding, wherever the derivative is a finite number."""
        return self.got.shape == self.expected.shape and self.error <= self.allowed < np.inf

    @property
    def decidable(self) -> bool:
        """Whether the derivative is a finite number everywhere."""
        return bool(np.isfinite(self.expected).all())

    @property
    def badness(self) -> float:
        """The error in units of what is allowed."""
        error = self.error
        if np.isnan(error):
            return np.inf
        return error / self.allowed if self.allowed else (np.inf if error else 0.0)

    @property
    def index(self) -> tuple[int, ...]:
        """The index at which the two differ most; () of no elements."""
        error = np.abs(self.difference)
        if not error.size:
            return ()
        return tuple(map(int, np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), error.shape)))

    def __str__(self) -> str:
        when = "" if self.step is None else f" at time step {self.step + 1}"
        if not self.got.size:
            return f"{self.quantity} of {short(self.name)}{when}: it has no elements"
        at = self.index
        along = "slope along random direction " if self.projected else ""
        size = norm(finite(self.expected))
        relative = f"{self.error / size:.1e} of its size" if size else "where exactly 0 is expected"
        above = (
            f" and {ROUNDING_MARGIN * self.noise / self.lift:.0e} for rounding" if self.error > self.rtol * size else ""
        )
        return (
            f"{self.quantity} of {short(self.name)}{when}: {along}{subscript(at)} got {self.got[at] / self.lift:.12g}, "
            f"expected {self.expected[at] / self.lift:.12g}; the error is {relative}, allowed {self.rtol:g}{above}"
            + (f" (made at {self.site})" if self.site else "")
        )


@dataclass(repr=False)
class Report:
    """Everything that was compared, and the verdict.

    ``"passed"``: every comparison agrees. ``"failed"``: one does not, although the function is smooth there; or two
    equal calls gave different results; or a value that depends on the inputs is a constant to the engine.
    ``"undecided"``: a kink lies at the point, or the function or its derivative is not a finite number there, so there
    is no derivative to compare with.
    """

    comparisons: list[Comparison]
    method: str
    kinks: list[Kink] = field(default_factory=list)
    affected: frozenset[str] = frozenset()  #: names of the tensors whose gradient passes a kink
    notes: list[str] = field(default_factory=list)
    unsteady: str | None = None  #: what differed between two equal calls
    severed: str | None = None  #: what depends on the inputs, yet no gradient flows back from it
    broken: str | None = None  #: a rule that gives no gradient at all
    infinite: str | None = None  #: where the function itself stops being a finite number
    blame: str | None = None  #: the operation whose rule is wrong, if one can be told
    diagnosis: str | None = None  #: the mistake that makes the wrong gradients, if one can be named
    picture: Path | None = None

    @property
    def wrong(self) -> list[Comparison]:
        """Comparisons that disagree where the function is finite and smooth, worst first."""
        if self.infinite:
            return []
        wrong = [c for c in self.comparisons if not c.agrees and c.name not in self.affected]
        return sorted(wrong, key=lambda c: -c.badness)

    @property
    def worst(self) -> Comparison | None:
        """The comparison nearest to, or furthest beyond, what is allowed."""
        wrong = self.wrong
        return wrong[0] if wrong else max(self.comparisons, key=lambda c: c.badness, default=None)

    @property
    def verdict(self) -> str:
        """``"passed"``, ``"failed"`` or ``"undecided"``."""
        if self.unsteady or self.severed or self.broken or self.wrong:
            return "failed"
        return "undecided" if self.affected or self.infinite or self.open else "passed"

    @property
    def open(self) -> list[Comparison]:
        """Comparisons with a derivative that is not a finite number."""
        return [c for c in self.comparisons if not c.decidable]

    def __bool__(self) -> bool:
        return self.verdict == "passed"

    def __repr__(self) -> str:
        return f"<{str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        leaves = {c.node for c in self.comparisons if c.step is None}
        states = {c.name for c in self.comparisons if c.node not in leaves}  # the same in every time step
        steps = {c.step for c in self.comparisons if c.step is not None}
        over = f" over {len(steps)} time steps" if steps else ""
        lines = [
            f"gradient check {self.verdict}: {len(self.comparisons)} comparisons of "
            f"{len(leaves) + len(states)} tensors{over}, by {self.method}"
        ]
        causes = {"not deterministic": self.unsteady, "cut off": self.severed, "no gradient": self.broken}
        lines += [f"  {cause}: {said}" for cause, said in causes.items() if said]
        if self.infinite:
            lines.append(f"  not a number here: {self.infinite}; move the point, or check the other outputs alone")
        elif self.open:
            c = self.open[0]
            lines.append(
                f"  the derivative is not a finite number here: {c.quantity} of {short(c.name)} is expected to be "
                f"{c.expected[~np.isfinite(c.expected)].flat[0]:g} in places; move the point"
            )
        wrong = self.wrong
        lines += [f"  {c}" for c in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            lines.append(f"  and {len(wrong) - _SHOWN} more: {_summary(wrong[_SHOWN:])}")
        if self.blame:
            lines.append(f"  first wrong in {self.blame}")
        if self.diagnosis:
            lines += [f"  {line}" for line in f"diagnosis: {self.diagnosis}".splitlines()]
        if self.kinks:
            lines.append(
                f"  not differentiable here: {self.kinks[0]}"
                + (f", and {len(self.kinks) - 1} more" if len(self.kinks) > 1 else "")
                + (
                    f"; undecided: {short(', '.join(sorted(self.affected)), 200)}; move the point a little"
                    if self.affected
                    else ""
                )
            )
        if self and self.worst:
            lines.append(f"  nearest to its bound: {self.worst}")
        lines += [f"  {note}" for note in self.notes]
        if self.picture:
            lines.append(f"  drawn in {self.picture}")
        return "\n".join(lines)


#: failed comparisons that a report spells out
_SHOWN = 5


def _summary(wrong: Sequence[Comparison]) -> str:
    steps: dict[str, set[int]] = {}
    for c in wrong:
        steps.setdefault(c.name, set()).add(0 if c.step is None else c.step + 1)
    listed = {name: ", ".join(str(t) if t else "all" for t in sorted(at)) for name, at in steps.items()}
    return short("; ".join(f"{name} (step {at})" for name, at in listed.items()), 200)


class GradientError(TinygradError, AssertionError):
    """A gradient is wrong, or cannot be judged; ``.report`` says everything, and so does the message."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report
