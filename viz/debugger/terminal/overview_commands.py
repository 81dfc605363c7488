"""Commands that show the whole walk: norms over time, the ledger, Jacobians, ways back, origins."""

from __future__ import annotations

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import carried_state
from tinygrad_rnn.bptt.statistics import measure

from ... import style
from .commands import Bench
from .formatting import bars, norm, percent, share_bar


class Overview(Bench):
    """Commands that look at all time steps together; each method is one, its docstring the help for it."""

    def do_contrib(self, argument: str) -> None:
        """contrib [NODE]: its gradient as a sum: for a shared weight the ledger, a row per time step with what that
        step adds, its share <∂L/∂W_t, ∂L/∂W> / ‖∂L/∂W‖² of the whole (all add up to 100%), and the running total."""
        node = self.node(argument)
        found = self.session.ledger(node)
        if not found.rows:
            raise tg.GraphError(f"no gradient reaches {found.name} in this walk")
        rows = [
            (
                row.label,
                str(row.uses),
                norm(row.norm),
                bar,
                "" if row.share is None else style.share(row.share),
                share_bar(row.share),
                norm(row.running) if row.running is not None else "",
            )
            for row, bar in zip(found.rows, bars([row.norm for row in found.rows], min(self.screen.bar, 16)))
        ]
        self.screen.table(("from", "uses", "norm", "", "share", "", "running"), rows)
        arrived, expected = self.session.arrived(node)
        known = f"norm {style.number(found.total)}" if arrived == expected else f"{arrived} of {expected} arrived"
        self.screen.say(f"  gradient of {found.name}: ", (known, "bold"))

    def do_norms(self, _argument: str) -> None:
        """norms: the gradient of every carried state along time, and how saturated the gates of each step are."""
        rows = self.session.state_norms()
        if not rows:
            raise tg.GraphError("no state here is carried from one time step to the next")
        gates = sorted({gate for row in rows for gate in row.saturated})
        lines = [
            (
                style.shown(row.layer, 60),
                str(row.time),
                row.role,
                norm(row.norm),
                bar,
                f"{row.arrived} of {row.expected}" if row.expected else "no path",
                *(percent(row.saturated.get(gate)) for gate in gates),
            )
            for row, bar in zip(rows, bars([row.norm for row in rows], self.screen.bar))
        ]
        header = ("layer", "t", "of", "‖∂L/∂·‖", "", "arrived", *(f"{gate} sat." for gate in gates))
        self.screen.table(header, lines)
        self._warn()

    def _warn(self) -> None:
        """Say where a carried state was cut off."""
        session = self.session
        cuts: dict[str, list[tuple[int, int]]] = {}
        for constant, consumer in session.cuts():
            cuts.setdefault(session.graph.nodes[constant].site or "an unknown line", []).append((constant, consumer))
        for site, places in cuts.items():
            constant, consumer = places[-1]
            times = [str((session.graph.nodes[c].scope.step or 0) + 1) for _, c in places]
            shown = ", ".join(times if len(times) <= 8 else [*times[:3], "…", times[-1]])
            self.screen.say(
                ("  cut ", "bold red"),
                f"{session.shown(consumer)} = {session.expression(consumer)} reads a constant made at "
                f"{style.visible(site)}: from there no gradient flows to the time step before (t={shown})",
            )

    def do_sv(self, argument: str) -> None:
        """sv [LAYER]: how far one step back in time can stretch a gradient: largest singular values of the recurrent
        Jacobians ∂s_t/∂s_(t-1) (s is h, or all states together that make the next), of ∂s_T/∂s_(t-1), and bounds."""
        path = self._layer(argument)
        gains = self.session.gains(path)
        if not gains:
            raise tg.GraphError("there is only one time step, so nothing is carried")
        state, states = (
            self._state(path),
            carried_state.together(self.session.trace, self.session.moments[path])[0].nodes,
        )
        joint = len(states) > 1
        header = ["t", "‖∂s_t/∂s_t₋₁‖" if joint else f"‖∂{state}_t/∂{state}_t₋₁‖"]
        bounded = any(gain.bound is not None for gain in gains)
        header += ([f"of ∂{state}/∂{state} alone"] if joint else []) + (["bound"] if bounded else [])
        rows = []
        for gain, bar in zip(gains, bars([gain.product for gain in gains], min(self.screen.bar, 16))):
            row = [str(gain.time + 1), _known(gain.sigma)] + ([_known(gain.h)] if joint else [])
            row += [_known(gain.bound)] if bounded else []
            rows.append([*row, _known(gain.product), _known(gain.product_bound), bar])
        self.screen.table([*header, "to the end", "its bound", ""], rows)
        layer = style.shown(".".join(path), 60) or "without a name"
        layer, s = (f"{layer}, s = [{style.shown(', '.join(states), 60)}]", "s") if joint else (layer, state)
        self.screen.say(
            f"  layer {layer}; from {s}_t to {s}_t₋₁ a gradient shrinks for sure below 1, above it may grow"
        )
        if any(gain.product is not None and gain.product_bound is None for gain in gains):
            self.screen.say("  steps read more than the one before, so that a gradient comes back by other ways, too")
        self._warn()

    def _state(self, path: carried_state.Path) -> str:
        return style.shown(self.session.moments[path][-1].output, 20)

    def _layer(self, argument: str) -> carried_state.Path:
        known = {".".join(path): path for path in self.session.moments}
        try:
            path = known[argument] if argument in known else self.session.layer(self.node(argument))
        except tg.ArgumentError:
            others = ", ".join(known) or "none"
            raise tg.ArgumentError(f"no layer is called {argument[:40]!r}; there are: {others}") from None
        if len(known) > 1:
            here, *rest = (style.shown(".".join(each), 40) for each in sorted(known.values(), key=path.__ne__))
            self.screen.say((f"  of layer {here}; for others say {', '.join(rest)} or name a state", "dim"))
        return path

    def do_split(self, argument: str) -> None:
        """split [NODE]: a state's gradient by the way it came back: on the highway (LSTM: f ⊙ ∂L/∂c of the next step,
        GRU: z ⊙ ∂L/∂h), through the gates of the next step, through h (LSTM's c), from its own output (h)."""
        node = self.node(argument)
        if node not in self.session.states:
            raise tg.ArgumentError(f"{self.session.shown(node)} is not a carried state; name one, such as split c_2")
        found = self.session.split(node)
        whole = self.session.gradient(node)
        arrived, expected = self.session.arrived(node)
        norms = {way: None if part is None else measure(part).norm for way, part in found.ways.items()}
        lines = [
            (way, "nothing" if n is None else style.number(n), bar if n is not None else "")
            for (way, n), bar in zip(norms.items(), bars(list(norms.values()), self.screen.bar))
        ]
        self.screen.table(("way", "norm", ""), lines)
        total = "nothing has arrived yet" if whole is None else f"norm {style.number(measure(whole).norm)}"
        self.screen.say(f"  gradient of {self.session.shown(node)}: {total}, {arrived} of {expected} arrived")
        self._warn()

    def do_triangle(self, argument: str) -> None:
        """triangle [LAYER]: ‖∂L_s/∂h_t‖: how much of each time step's loss reaches each state. Rows: the loss of step
        s; columns: the state of step t. A dot: no way leads there."""
        path = self._layer(argument)
        rows = self.session.triangle(path)
        times = sorted(moment.time + 1 for moment in self.session.moments[path])
        shown = times if len(times) <= 12 else [times[round(i * (len(times) - 1) / 11)] for i in range(12)]
        origins = [s for s in rows if len(rows) <= 24 or s in shown]
        here = self.session.where().time
        table = [[f"L_{s}", *(style.number(rows[s][t]) if t in rows[s] else "·" for t in shown)] for s in origins]
        self.screen.table(
            ["", *(f"{self._state(path)}_{t}" for t in shown)], table, origins.index(here) if here in origins else None
        )
        if len(shown) < len(times):
            self.screen.say((f"  {len(shown)} of {len(times)} time steps", "dim"))


def _known(value: float | None) -> str:
    return "no path" if value is None else style.number(value)
