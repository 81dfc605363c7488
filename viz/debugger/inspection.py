"""Inspection: a cursor over a trace, and everything there is to see from where it stands.

Every method that shows something takes a position (default: the cursor's, see `Cursor`) and returns plain data, so a
page, a terminal and a notebook can show the same things; `Inspection.snapshot` gives all of it as JSON-able data.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import answering_methods, number
from tinygrad_rnn.bptt import carried_state, ledger, local_rule
from tinygrad_rnn.bptt.recording import Array, Trace
from tinygrad_rnn.bptt.statistics import measure, ratio

from .. import style
from . import nonfinite, rule_formulas, session_data, step_sentences
from .cursor import Cursor


@answering_methods("Session")
class Inspection(Cursor):
    """Looks at a `Trace` from a movable position.

    >>> import tinygrad_rnn as tg, viz
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> session = viz.debug((x * x).sum())
    >>> session.goto(2)
    >>> session.where().expression
    'mul(x, x)'
    >>> [(flow.name, flow.ordinal, flow.expected, flow.after.tolist()) for flow in session.flows()]
    [('x', 1, 2, [1.0, 2.0]), ('x', 2, 2, [2.0, 4.0])]
    """

    def use(self, trace: Trace) -> None:
        """Look at another walk ``trace`` over the same graph; the position stays."""
        super().use(trace)
        self._ledgers: dict[int, ledger.Ledger] = {}
        self._gains: dict[carried_state.Path, list[carried_state.Gain]] = {}

    # 2. The rule, 3. what it adds ------------------------------------------------------------------------

    def rules(self, position: int | None = None) -> list[local_rule.Rule]:
        """The local rule with its numbers, one for each operand that receives something."""
        p = self._backward(position)
        if not p:
            return []
        step = self.trace.steps[p - 1]
        node, found = self.graph.nodes[step.node], []
        for index, sent in enumerate(step.contributions):
            several = len(self.trace.arrivals[sent.target]) > 1
            formula = rule_formulas.text(node, sent.slot, self.shown, several)
            latex = rule_formulas.latex(node, sent.slot, self.shown, several)
            found.append(replace(local_rule.rule(self.trace, p, index), formula=formula, latex=latex))
        return found

    def shown(self, node: int, user: int | None = None) -> str:
        """The name of a node to one that reads it: ``f_3``, or ``(f_4 ⊙ c_3)`` for one without a name.

        What several read under different names, such as one tensor given for h₀ and c₀, is called as the node ``user``
        calls it.
        """
        return self.names.read(node, user)

    def flows(self, position: int | None = None) -> list[session_data.Transfer]:
        """The gradients that the step adds to: before, contribution, after, and how many are still to come."""
        p = self._backward(position)
        found = []
        for index, sent in enumerate(self.trace.steps[p - 1].contributions if p else ()):
            events = self.trace.arrivals[sent.target]
            at = next(i for i, event in enumerate(events) if (event.step, event.slot) == (p, index))
            before, after = self.trace.summed(sent.target, at), self.trace.summed(sent.target, at + 1)
            assert after is not None
            found.append(
                session_data.Transfer(
                    sent.target,
                    self.shown(sent.target, self.trace.steps[p - 1].node),
                    sent.slot,
                    at + 1,
                    len(events),
                    before,
                    self.trace.contribution(p, index),
                    after,
                )
            )
        return found

    def _backward(self, position: int | None) -> int:
        return max(self.position if position is None else position, 0)

    def _there(self, node: int) -> int:
        if not isinstance(node, (int, np.integer)) or not 0 <= node < len(self.graph):
            raise tg.ArgumentError(f"nodes are numbered from 0 to {len(self.graph) - 1}; {node!r:.40} is none of them")
        return int(node)

    def gradient(self, node: int, position: int | None = None) -> Array | None:
        """The gradient of a node as far as it has arrived; None if nothing has, which is not a gradient of 0."""
        return self.trace.gradient(self._there(node), self._backward(position))

    def value(self, node: int, position: int | None = None) -> Array | None:
        """The value of a node; None if the forward pass has not come to it yet."""
        p = self.position if position is None else position
        made = self.graph.nodes[self._there(node)]
        return None if p < 0 and made.op is not None and node > self.node_at(p) else made.value

    def arrived(self, node: int, position: int | None = None) -> tuple[int, int]:
        """(how many contributions have arrived, how many will)."""
        self._there(node)
        return self.trace.arrived(node, self._backward(position)), len(self.trace.arrivals.get(node, ()))

    # 4. Norms --------------------------------------------------------------------------------------------

    def measures(self, position: int | None = None) -> dict[str, Any]:
        """``incoming`` and per operand ``outgoing`` measures, their ``ratios``, and how much is ``saturated``."""
        p = self.position if position is None else position
        node = self.graph.nodes[self.node_at(p)]
        incoming = self.gradient(node.index, p) if p >= 0 else np.asarray(node.value)
        before = None if incoming is None else measure(incoming)
        sent = range(len(self.trace.steps[p - 1].contributions)) if p > 0 else range(0)
        after = [measure(self.trace.contribution(p, i)) for i in sent]
        return {
            "incoming": before,
            "outgoing": after,
            "ratios": [ratio(m.norm, before.norm) if before else None for m in after],
            "saturated": local_rule.saturated(self.trace, node),
        }

    # 5. The shared-weight ledger -------------------------------------------------------------------------

    def ledger(self, node: int, position: int | None = None) -> ledger.Ledger:
        """A row per time step with what it adds to the gradient of ``node``; not yet arrived rows hold None."""
        if self._there(node) not in self._ledgers:
            self._ledgers[node] = ledger.ledger(self.trace, node, self.names.both(node))
        whole, p = self._ledgers[node], self._backward(position)
        rows = tuple(
            row if row.step <= p else ledger.LedgerRow(row.time, row.label, row.uses, row.step, None, None, None)
            for row in whole.rows
        )
        return ledger.Ledger(whole.node, whole.name, whole.total, rows)

    # 6. Recurrent Jacobians, 7. ways back, 8. origins ----------------------------------------------------

    def layer(self, node: int | None = None) -> carried_state.Path:
        """The module path of the recurrent layer a node (default: the cursor's) is in, or else of the first.

        Raises `GraphError` if nothing is carried from one time step to the next.
        """
        if not self.moments:
            raise tg.GraphError("no state here is carried from one time step to the next")
        path = self.graph.nodes[self.node_at() if node is None else node].scope.path
        return max(self.moments, key=lambda p: len(p) if path[: len(p)] == p else -1)

    def gains(self, path: carried_state.Path | None = None) -> list[carried_state.Gain]:
        """Largest singular values of a layer's recurrent Jacobians and of their product to the end.

        ``path`` is the layer's, as `layer` gives it; the cursor's by default.
        """
        path = self.layer() if path is None else path
        if path not in self._gains:
            self._gains[path] = carried_state.gains(self.trace, self.moments[path])
        return self._gains[path]

    def split(self, node: int, position: int | None = None) -> carried_state.Split:
        """A state's gradient so far by the way it came back: highway, through the cell, from its own time step."""
        return carried_state.split(self.trace, self.states, self._there(node), self._backward(position))

    def triangle(self, path: carried_state.Path | None = None, role: str | None = None) -> dict[int, dict[int, float]]:
        """{s: {t: ||dL_s / d state_t||}}, both from 1, of the states of a ``role`` in the layer ``path``.

        A pair that no gradient connects is missing.
        """
        moments = self.moments[self.layer() if path is None else path]
        return {
            origin + 1: {time + 1: measure(gradient).norm for time, gradient in sorted(row.items())}
            for origin, row in carried_state.triangle(self.trace, moments, role)
        }

    def transfers(self, path: carried_state.Path | None = None) -> dict[int, dict[int, float]]:
        """{s: {t: largest singular value of d s_s / d s_t}}, both from 1, of the states s of the layer ``path``."""
        found = carried_state.transfers(self.trace, self.moments[self.layer() if path is None else path])
        return {s + 1: {t + 1: sigma for t, sigma in sorted(row.items())} for s, row in found.items()}

    def state_norms(self, position: int | None = None) -> list[session_data.StateNorm]:
        """The gradient of every carried state, by layer and time, and how saturated the gates of its step are."""
        p = self._backward(position)
        rows = []
        for path, moments in self.moments.items():
            for moment in sorted(moments, key=lambda m: m.time):
                for role, node in sorted(moment.nodes.items()):
                    gradient = self.gradient(node, p)
                    rows.append(
                        session_data.StateNorm(
                            ".".join(path),
                            moment.time + 1,
                            role,
                            node,
                            *self.arrived(node, p),
                            None if gradient is None else measure(gradient).norm,
                            self._gates(path, moment.time),
                        )
                    )
        return rows

    def _gates(self, path: carried_state.Path, time: int) -> dict[str, float]:
        return dict(self._saturation.get((path, time), {}))

    @cached_property
    def _saturation(self) -> dict[tuple[carried_state.Path, int], dict[str, float]]:
        found: dict[tuple[carried_state.Path, int], dict[str, float]] = {}
        for node in self.graph.nodes:
            flat = local_rule.saturated(self.trace, node) if node.role and node.scope.step is not None else None
            if flat is not None and node.role and node.scope.step is not None:
                found.setdefault((node.scope.path, node.scope.step), {})[node.role] = flat
        return found

    # 9. Clipping, 10. checking ---------------------------------------------------------------------------

    def clip(self, max_norm: float) -> session_data.Clipping:
        """The finished gradients of all parameters as clipping to ``max_norm`` would leave them; nothing is changed.

        Raises `ArgumentError` unless that is a number from 0 up.
        """
        if not number(max_norm, "clip: the threshold") >= 0:
            raise tg.ArgumentError(f"clip: the threshold is a number from 0 up, not {max_norm}")
        norms = {
            node.index: measure(self.trace.steps[self.trace.turn[node.index] - 1].gradient).norm
            for node in self.graph.parameters
            if node.index in self.trace.turn
        }
        total = style.norm(list(norms.values()))
        scale = min(1.0, max_norm / (total + 1e-6)) if total == total else float("nan")
        rows = tuple(session_data.ClipRow(i, self.names.both(i), norm, norm * scale) for i, norm in norms.items())
        return session_data.Clipping(total, max_norm, scale, rows)

    def check(self, position: int | None = None) -> list[local_rule.Check]:
        """Compare what the step sent with a numerical derivative of its operation; `GraphError` in the forward pass."""
        p = self._backward(position)
        if not p:
            raise tg.GraphError("nothing is sent on here; go to an operation in the walk back")
        return local_rule.check(self.trace, p)

    # 11. The frontier, 12. words -------------------------------------------------------------------------

    def frontier(self, position: int | None = None) -> session_data.Frontier:
        """The nodes that are done, that are ready, and that wait for consumers that have not contributed yet."""
        p = self._backward(position)
        ready, waiting, unreached = [], [], 0
        for step in self.trace.steps[p:]:
            arrived, expected = self.arrived(step.node, p)
            row = session_data.Waiting(step.node, self.shown(step.node), arrived, expected)
            if arrived == expected:
                ready.append(row)
            elif arrived:
                waiting.append(row)
            else:
                unreached += 1
        done = tuple(step.node for step in self.trace.steps[:p])
        return session_data.Frontier(done, tuple(ready), tuple(waiting), unreached)

    def sentence(self, position: int | None = None) -> str:
        """One sentence in plain words about the step."""
        return step_sentences.sentence(self, self.position if position is None else position)

    # Detective work --------------------------------------------------------------------------------------

    def path(self, node: int) -> list[session_data.Hop]:
        """The strongest way from the loss to ``node``: at each node back, the consumer that contributed most.

        Raises `GraphError` if no gradient reaches it.
        """
        hops: list[session_data.Hop] = []
        here, row = self._there(node), 0
        while here != self.trace.output:
            events = [a for a in self.trace.arrivals.get(here, ()) if a.contribution is not None]
            if not events:
                if here == node:
                    raise tg.GraphError(f"no gradient reaches {self.shown(node)} in this walk")
                break
            norms = [measure(self._part(here, row, self.trace.contribution(a.step, a.slot))).norm for a in events]
            most = int(np.argmax([n if n == n else np.inf for n in norms]))
            best = events[most]
            step = self.trace.steps[best.step - 1]
            made, before = self.graph.nodes[step.node], measure(step.gradient).norm
            time = None if made.scope.step is None else made.scope.step + 1
            op = made.op.name if made.op else ""
            name, length = self.shown(step.node), norms[most]
            hops.append(session_data.Hop(best.step, step.node, name, op, time, length, ratio(length, before)))
            here, row = step.node, step.contributions[best.slot].slot
        return hops[::-1]

    def _part(self, node: int, row: int, contribution: Array) -> Array:
        """The row of a contribution to a stack that the way came from: the others belong to other time steps."""
        made = self.graph.nodes[node]
        stacked = made.op is not None and made.op.name == "stack"
        return contribution.take(row, made.attrs["axis"]) if stacked else contribution

    def cuts(self) -> list[tuple[int, int]]:
        """(constant, consumer) where a carried state was cut off, so that no gradient flows to the step before."""
        return carried_state.cuts(self.trace)

    def origin(self) -> session_data.Origin | None:
        """The place that the first number that is not finite came from, None if there is none."""
        return nonfinite.find(self)

    # Everything ------------------------------------------------------------------------------------------

    def snapshot(self, position: int | None = None, elements: int = 64) -> dict[str, Any]:
        """All of the moment as JSON-able data; arrays of more than ``elements`` elements are shortened.

        What belongs to the whole walk (`ledger` at the end, whose rows say with which step they are complete, `gains`,
        `triangle`, `clip`, `path`, `cuts`, `origin`) has its own methods; `views.data` makes their results JSON-able.
        """
        p = self.position if position is None else position
        node = self.node_at(p)
        flows = self.flows(p)
        rules, frontier = self.rules(p), self.frontier(p)
        found: dict[str, Any] = {
            "where": self.where(p),
            "value": self.value(node, p),
            "gradient": self.gradient(node, p) if p >= 0 else None,
            "measures": self.measures(p),
            "rules": rules,
            "flows": [{**session_data.data(flow, elements), "complete": flow.complete} for flow in flows],
            "frontier": {**session_data.data(frontier), "done": len(frontier.done)},
            "sentence": self.sentence(p),
        }
        if node in self.states and p > 0:
            found["split"] = self.split(node, p)
        shown: dict[str, Any] = session_data.data(found, elements)
        return shown
