"""Commands that move the cursor."""

from __future__ import annotations

import re
from collections.abc import Callable

import tinygrad_rnn as tg

from .. import breakpoints
from .commands import Bench


class Moving(Bench):
    """Commands that move through the walk; each method is one, its docstring the help for it."""

    def do_step(self, argument: str) -> None:
        """step [N]: go on by one operation, or N.
        In the walk back that is one node's turn; in the forward pass one value computed."""
        self._by(self._count(argument))

    def do_back(self, argument: str) -> None:
        """back [N]: go back by one operation, or N. Nothing is run again; every moment is as it was."""
        self._by(-self._count(argument))

    def _by(self, count: int) -> None:
        steps = "step" if abs(count) == 1 else "steps"
        self._go(self.session.position + count, f"{abs(count)} {steps} {_way(count)}")
        self.show()

    def do_next(self, argument: str) -> None:
        """next [N]: go on to the next box: another gate, state or layer, past the operations inside this one."""
        for _ in range(self._count(argument)):
            position = self.session.next_box()
            self._go(self.session.last + 1 if position is None else position, "the next box")
        self.show()

    def do_nextt(self, argument: str) -> None:
        """nextt [N]: go on to the next time step. In the walk back, that is the one before in time."""
        self._time(self._count(argument), 1)

    def do_prevt(self, argument: str) -> None:
        """prevt [N]: go back to the time step the walk was in before this one."""
        self._time(self._count(argument), -1)

    def _time(self, count: int, direction: int) -> None:
        for _ in range(count):
            position = self.session.other_time(direction)
            beyond = self.session.last + 1 if direction > 0 else self.session.first - 1
            self._go(beyond if position is None else position, "another time step")
        self.show()

    def do_until(self, argument: str) -> None:
        """until [PLACE]: go on until a place, given as for break; without one, until another time step.
        until h_2 | until t 1 | until op tanh | until norm < 1e-4 | until if t == 2 and saturated > 0.5"""
        if not argument:
            self._time(1, 1)
            return
        text, test, condition = breakpoints.parse(self.session, argument)
        self._run(1, lambda p: self._until(text, breakpoints.Stop(0, text, test, condition), p))

    def _until(self, text: str, stop: breakpoints.Stop, position: int) -> str | None:
        return f"until {text}" if stop.reason(self.session, position) else self._stopping(position)

    def do_continue(self, _argument: str) -> None:
        """continue: go on to the next breakpoint, the end of this pass, or the end of the walk."""
        self._run(1, self._stopping)

    def do_rcontinue(self, _argument: str) -> None:
        """rcontinue: go back to the breakpoint before, the loss, or the start of the forward pass."""
        self._run(-1, self._stopping)

    def _run(self, direction: int, reason: Callable[[int], str | None]) -> None:
        session = self.session
        position = session.position + direction
        while session.first <= position <= session.last:
            why = reason(position)
            if why is not None or position == 0:
                session.goto(position, why or "between the passes: the loss is known")
                self.show()
                return
            position += direction
        self._go(position, "")
        self.show()

    def _go(self, position: int, reason: str) -> None:
        """Go to ``position`` for a ``reason``, but no further than the ends."""
        if position < self.session.first:
            self.session.goto(self.session.first, "this is where the forward pass begins")
        elif position > self.session.last:
            self.session.goto(self.session.last, "the walk back is over: every gradient is finished")
        else:
            self.session.goto(position, reason)

    def _stopping(self, position: int) -> str | None:
        """The reason why a breakpoint stops here, None if none does."""
        for stop in list(self.stops.values()):
            why = stop.reason(self.session, position)
            if why is not None:
                if stop.temporary:
                    del self.stops[stop.number]
                return why
        return None

    def do_goto(self, argument: str) -> None:
        """goto PLACE: go to a step of the walk back (goto 17), of the forward pass (goto -3), the turn of a node
        (goto c_2, goto #12), or a time step (goto t 3)."""
        if not argument:
            raise tg.ArgumentError("goto wants a place: a step such as 17, a node such as c_2, or t 3")
        if re.fullmatch(r"[-−+]?\d{1,9}", argument):
            self.session.goto(int(argument.replace("−", "-")))
        elif re.fullmatch(r"t\s*[= ]\s*\d{1,9}", argument):
            _, test, _ = breakpoints.parse(self.session, argument)
            place = next((p for p in range(1, self.session.last + 1) if test(self.session, p)), None)
            if place is None:
                raise tg.ArgumentError(f"the walk back does not come through {argument}")
            self.session.goto(place)
        else:
            self.session.goto(self.session.turn_of(self.session.names.find(argument)))
        self.show()

    def do_start(self, _argument: str) -> None:
        """start: go to the moment between the passes, where the walk back starts."""
        self.session.goto(0, "the start of the walk back")
        self.show()

    def do_end(self, _argument: str) -> None:
        """end: go to the end of the walk back."""
        self._go(self.session.last + 1, "")
        self.show()

    def do_forward(self, _argument: str) -> None:
        """forward: go to the start of the forward pass; step then shows the values in the order they appear."""
        self.session.goto(self.session.first, "the start of the forward pass")
        self.show()

    def _count(self, argument: str) -> int:
        if not argument:
            return 1
        if not re.fullmatch(r"\d{1,9}", argument) or int(argument) < 1:
            raise tg.ArgumentError(f"how many? {argument[:40]!r} is not a number from 1 up")
        return min(int(argument), self.session.last - self.session.first + 1)


def _way(count: int) -> str:
    return "on" if count > 0 else "back"
