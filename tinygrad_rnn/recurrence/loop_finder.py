"""A loop that a user wrote in Python, found again in what was recorded, and recorded as a `loop`.

Every step leaves the same operations behind, a fixed number of places later. So: write each operation down as a
symbol, find where the symbols repeat (`runs`), and compare the repetitions operand by operand. An operand is a value
of the same step, of the step before (then it is carried), the same value at every step, or a row of something that was
there before; else nothing is found. What depends on no state is done for all steps before the loop, what no state
depends on after it, and a sum that is only carried on is one sum after it (see `all_steps`).

The tensors of the steps stay the objects they are, for the function holds some of them: each becomes a row of what is
stacked over time. Serial numbers rise in the order in which tensors are computed, so those that depend on the loop get
new ones.

This is done before the reverse walk, which makes of a loop another one, and so has no steps to take one by one. Raises
`Unrolled` where a step's tensor is needed as it was before it became a row, as when its gradient is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..primitives.record import size_of
from ..settings import recording
from ..tensors import serials
from ..thread_state import current
from .loop import SHARED, Unrolled, shortest
from .repeated_steps import Steps, symbols
from .rolled_steps import RolledSteps
from .rows import gather
from .runs import runs

#: sequences below which two threads do not share a batch
_LEAST_BATCH = 8


class LoopFinder:
    """Finds loops in what one function records: results go into ``recorded``, and `roll` makes loops of them."""

    def __init__(self, threads_share: bool) -> None:
        self.recorded: list[Any] = []  #: results, in order, since the last search
        self._rows: list[Any] = []  # tensors that are rows of stacks now
        self._of_rows: set[int] = set()  # by id
        self._done: set[int] = set()  # by id: what is no longer looked at
        self._shared = SHARED if threads_share else 1

    def roll(self, written: Iterable[int], rewritten: set[int]) -> None:
        """Make loops of what repeats; ``written`` leaves have another value now, and ``rewritten`` ones other views."""
        rest, self.recorded = self.recorded, []
        outer, gone = current.scope, set(written)
        try:
            while (loop := self._next(rest, gone, rewritten)) is not None:
                rest = self._rolled(loop, rest)
        finally:
            current.scope = outer
            self.recorded = []

    def _next(self, rest: list[Any], written: set[int], rewritten: set[int]) -> RolledSteps | None:
        times, self.recorded = max(shortest(1), 3), []
        for run in runs(symbols(rest, self._done), times) if len(rest) >= times else ():
            steps = Steps.of(rest, run, times)
            if steps is not None and self._may(steps, written, rewritten):
                loop = RolledSteps(steps)
                if loop.possible:
                    return loop
        return None

    def check(self, inputs: Sequence[Any] | None = None) -> None:
        """Raise `Unrolled` if the gradient of a step's tensor is wanted, whose consumers it has no more."""
        if inputs is not None and any(id(x) in self._of_rows for x in inputs):
            raise Unrolled
        if any(x._hooks or x._retains_grad for x in self._rows):
            raise Unrolled

    def _may(self, steps: Steps, written: set[int], rewritten: set[int]) -> bool:
        """Whether there are enough steps, and nothing that they read from outside was written since."""
        shared = self._shared if any(_batch(x) >= _LEAST_BATCH for x in steps.initial) else 1
        if steps.count < shortest(1) * shared:
            return False
        return not any(x.serial in written or getattr(x, "_root", None) in rewritten for x in steps.outside)

    def _rolled(self, loop: RolledSteps, rest: list[Any]) -> list[Any]:
        """All of ``rest`` and what is new, in the order in which it is computed then."""
        steps = loop.steps
        with recording(steps.differentiable):
            made = loop.recorded()
        new, moved = self.recorded, {id(x) for each in made for x in each.tensors}
        first, later, inside = rest[: steps.start], list[Any](), 0
        for k in range(steps.start, len(rest)):
            x = rest[k]
            if id(x) in moved or any(id(y) in moved for y in x.operands):
                moved.add(id(x))
                later.append(x)
                inside += k < steps.stop
            else:
                first.append(x)
        for tensors, op, operands, settings in made:
            for x, attrs in zip(tensors, settings):
                x.op, x.operands, x.attrs = op, operands, attrs
        self._done.update(map(id, new), map(id, steps.each_step))
        self._rows += steps.replaced
        self._of_rows.update(map(id, steps.replaced))
        last: list[Any] = []
        for k, x in enumerate(later):
            self.recorded = []
            if k >= inside:
                with recording(x.requires_grad):
                    gather(x)
            last += [*self.recorded, x]
            x.serial = next(serials)
        return first + new + last


def _batch(x: Any) -> int:
    """The number of sequences that a state may be of: its elements, divided by its largest dimension."""
    return size_of(x.shape) // max(x.shape, default=1) if all(x.shape) else 0
