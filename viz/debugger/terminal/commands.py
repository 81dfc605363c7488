"""The state the commands work with: the session, the screen, the breakpoints, and the display after every move."""

from __future__ import annotations

import math

from tinygrad_rnn.bptt.local_rule import Rule, saturated
from tinygrad_rnn.bptt.statistics import measure

from ... import style
from .. import breakpoints
from ..inspection import Inspection
from ..session_data import Transfer
from ..step_sentences import what_if
from .formatting import Screen, bars, brief, percent, signs


class Bench:
    """The state that all groups of commands share: the session, the screen, the breakpoints, the node selected."""

    session: Inspection
    screen: Screen
    stops: dict[int, breakpoints.Stop]
    displays: list[str]
    selected: int | None  #: the node that up and down look at; None: the one at the cursor

    def onecmd(self, line: str) -> bool:
        """Carry out one line."""
        raise NotImplementedError

    def open(self, session: Inspection) -> None:
        """Look at another session."""
        raise NotImplementedError

    def node(self, argument: str) -> int:
        """The node a command is about: the one named, else the one looked at."""
        if argument:
            return self.session.names.find(argument)
        return self.session.node_at() if self.selected is None else self.selected

    # The display after a move ----------------------------------------------------------------------------

    def show(self) -> None:
        """Show the place and the step; then what ``display`` asked for."""
        self.selected = None
        self.place()
        self.screen.say("  ", (self.session.sentence(), "italic"))
        if self.session.position > 0:
            self._backward()
        elif self.session.position < 0:
            self.screen.say(("  value    ", "dim"), brief(self.session.value(self.session.node_at())))
        for line in self.displays:
            self.screen.say((f"  {line}:", "dim"))
            self.onecmd(line)

    def place(self) -> None:
        """Show the cursor's place, the reason for it, and the node there."""
        where = self.session.where()
        step = {"forward": f"forward {where.position - where.first + 1} of {-where.first}", "loss": "the loss"}.get(
            where.phase, f"step {where.position} of {where.last}"
        )
        reason = f"   [{self.session.reason}]", "dim"
        given = self.session.graph.nodes[where.node].name
        called = f" ‘{style.shown(given, 40)}’" if given and given not in where.name else ""
        notes = [f"t={where.time} of {where.times}"] if where.time else []
        notes += [style.shown(where.layer, 60)] if where.layer else []
        notes += [f"gate {style.shown(where.part, 60)}"] if where.part else []
        notes += [style.visible(where.site)] if where.site else []
        self.screen.say((step, "bold cyan"), ("   " if notes else "") + " · ".join(notes), reason)
        self.screen.say(
            "  ", (where.name, "bold"), f"{called} = {where.expression}" if where.name != where.expression else called
        )
        if supposed := what_if(self.session):
            self.screen.say((f"  {supposed}", "yellow"))

    def _backward(self) -> None:
        session = self.session
        flows, rules = session.flows(), session.rules()
        gradient = session.trace.steps[session.position - 1].gradient
        incoming = measure(gradient)
        flat = saturated(session.trace, session.graph.nodes[session.node_at()])
        note = f", saturated {percent(flat)}" if flat else ""
        label = "upstream" if flows else "gradient"
        text = f"{brief(gradient)}   norm {style.number(incoming.norm)}; {signs(incoming)}{note}"
        self.screen.say((f"  {label} ", "dim"), text)
        self._ways()
        width = max((len(flow.name) for flow in flows), default=0)
        for rule, flow in zip(rules, flows):
            self._contribution(rule, flow, incoming.norm, width)

    def _ways(self) -> None:
        """The parts of a carried state's gradient that came which way."""
        node = self.session.node_at()
        if node in self.session.states:
            ways = self.session.split(node).ways
            shown = [f"{way} {'nothing' if v is None else style.number(measure(v).norm)}" for way, v in ways.items()]
            self.screen.say(("  came by  ", "dim"), ", ".join(shown))

    def _contribution(self, rule: Rule, flow: Transfer, incoming: float, width: int) -> None:
        sent = measure(flow.contribution)
        change = f" (× {style.number(sent.norm / incoming)})" if incoming and math.isfinite(incoming) else ""
        longest = bars([sent.norm, incoming], 16)[0]
        self.screen.say(
            ("  to ", "dim"),
            (f"{flow.name:{width}}", "bold"),
            f"  {rule.formula}",
            f"   norm {style.number(sent.norm)}{change} ",
            (longest, "cyan"),
        )
        indent = " " * (width + 7)
        received = brief(flow.contribution)
        if rule.factor is not None and rule.factor.size <= 8 and rule.upstream.size <= 8:
            times = "⊙" if rule.kind == "diagonal" else "·"
            self.screen.say(f"{indent}{brief(rule.upstream)} {times} {brief(rule.factor)} = {received}")
        else:
            self.screen.say(f"{indent}{received}; {signs(sent)}")
        before = "nothing yet" if flow.before is None else style.number(measure(flow.before).norm)
        after = style.number(measure(flow.after).norm)
        count = f"{flow.ordinal} of {flow.expected} arrived" + (": complete" if flow.complete else "")
        self.screen.say(f"{indent}gradient {before} → {after}   ", (count, "green" if flow.complete else "yellow"))
