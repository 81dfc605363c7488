"""Commands that say where to stop."""

from __future__ import annotations

import re

import tinygrad_rnn as tg

from .. import breakpoints
from ..breakpoint_conditions import NAMES, Condition
from .commands import Bench


class Stopping(Bench):
    """Commands that say where to stop; each method is one, its docstring the help for it."""

    def do_break(self, argument: str) -> None:
        """break [PLACE] [if CONDITION]: stop there, on the way and on the way back; without a place, list them.
        break c_2 | break op sigmoid | break t 3 | break nan | break inf | break nonfinite
        break norm > 10 | break norm < 1e-6 | break h_2 if norm > 1 | break if saturated > 0.5 and role == 'f'"""
        self._break(argument, False)

    def do_tbreak(self, argument: str) -> None:
        """tbreak PLACE [if CONDITION]: stop there once; like break otherwise."""
        self._break(argument, True)

    def _break(self, argument: str, temporary: bool) -> None:
        if argument:
            text, test, condition = breakpoints.parse(self.session, argument)
            self._add(text, test, condition, temporary)
        elif self.stops:
            for stop in self.stops.values():
                self.screen.say(f"  {stop}")
        else:
            self.screen.say("  no breakpoints; help break tells how to set one")

    def do_watch(self, argument: str) -> None:
        """watch NODE: stop whenever something arrives at that node's gradient."""
        node = self.node(argument)
        self._add(f"watch {self.session.shown(node)}", breakpoints.watch(self.session, node), None, False)

    def _add(self, text: str, test: breakpoints.Test, condition: Condition | None, temporary: bool) -> None:
        number = max(self.stops, default=0) + 1
        self.stops[number] = breakpoints.Stop(number, text, test, condition, temporary)
        self.screen.say(f"  breakpoint {self.stops[number]}")

    def do_condition(self, argument: str) -> None:
        """condition NUMBER [CONDITION]: stop there only if it holds; without one, always.
        A condition compares: NAMES, with numbers and 'text', and or not, + - * /. Nothing of it is run as Python."""
        stop, rest = self._stop(argument)
        stop.condition = Condition(rest) if rest else None
        self.screen.say(f"  breakpoint {stop}")

    do_condition.__doc__ = (do_condition.__doc__ or "").replace("NAMES", ", ".join(NAMES))

    def do_ignore(self, argument: str) -> None:
        """ignore NUMBER COUNT: pass it COUNT times before stopping."""
        stop, rest = self._stop(argument)
        if not re.fullmatch(r"\d{1,9}", rest):
            raise tg.ArgumentError("ignore wants a breakpoint's number and how often to pass it: ignore 1 3")
        stop.ignore = int(rest)
        self.screen.say(f"  breakpoint {stop}")

    def do_enable(self, argument: str) -> None:
        """enable NUMBER: stop there again."""
        self._enable(argument, True)

    def do_disable(self, argument: str) -> None:
        """disable NUMBER: do not stop there until enabled."""
        self._enable(argument, False)

    def _enable(self, argument: str, enabled: bool) -> None:
        stop, _ = self._stop(argument)
        stop.enabled = enabled
        self.screen.say(f"  breakpoint {stop}")

    def do_delete(self, argument: str) -> None:
        """delete [NUMBER]: forget a breakpoint, or all."""
        if not argument:
            self.stops.clear()
            self.screen.say("  all breakpoints are deleted")
            return
        stop, _ = self._stop(argument)
        del self.stops[stop.number]
        self.screen.say(f"  breakpoint {stop.number} is deleted")

    def _stop(self, argument: str) -> tuple[breakpoints.Stop, str]:
        """The breakpoint whose number comes first, and the rest."""
        number, _, rest = argument.partition(" ")
        if not re.fullmatch(r"\d{1,9}", number) or int(number) not in self.stops:
            known = ", ".join(map(str, self.stops)) or "there are none; break sets one"
            raise tg.ArgumentError(f"which breakpoint? {number[:20]!r} is not one of: {known}")
        return self.stops[int(number)], rest.strip()
