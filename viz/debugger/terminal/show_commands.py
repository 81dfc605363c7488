"""Commands that show one moment or one node."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import local_rule
from tinygrad_rnn.bptt.local_rule import saturated
from tinygrad_rnn.bptt.recording import Array
from tinygrad_rnn.bptt.statistics import measure

from ... import style
from .. import rule_formulas
from .formatting import bars, brief, norm, percent
from .overview_commands import Overview

#: How many lines `list` shows, and `source` around the line.
WINDOW = 11


class Looking(Overview):
    """Commands that show what there is at one place; each method is one, its docstring the help for it."""

    def do_where(self, _argument: str) -> None:
        """where: where the cursor is, why it stopped there, and what happens."""
        displays, self.displays = self.displays, []
        selected = self.selected
        self.show()
        self.displays, self.selected = displays, selected
        self.screen.say(("  stopped  ", "dim"), self.session.reason)
        if selected is not None:
            self.screen.say(("  looking at ", "dim"), self.session.shown(selected))

    def do_list(self, argument: str) -> None:
        """list [POSITION]: the steps around the cursor, or around a position."""
        session = self.session
        if argument and not re.fullmatch(r"[-−]?\d{1,9}", argument):
            raise tg.ArgumentError(f"list wants a step's number, such as list 20, not {argument[:40]!r}")
        middle = int(argument.replace("−", "-")) if argument else session.position
        start = max(min(middle - WINDOW // 2, session.last - WINDOW + 1), session.first)
        rows: list[tuple[str, ...]] = []
        marked = None
        for position in range(start, min(start + WINDOW, session.last + 1)):
            where = session.where(position)
            if position == session.position:
                marked = len(rows)
            array = session.gradient(where.node, position) if position > 0 else session.value(where.node, 0)
            length = "" if position > session.position or array is None else norm(measure(array).norm)
            rows.append((str(position), str(where.time or ""), where.name, where.expression, length))
        self.screen.table(("step", "t", "node", "computed as", "norm"), rows, marked)

    def do_up(self, argument: str) -> None:
        """up [N]: look at the node that uses this one, towards the loss; if there are several, the N-th."""
        users = self.session.graph.consumers[self.node("")]
        self._select(list(dict.fromkeys(users)), argument, "nothing uses it: this is the loss")

    def do_down(self, argument: str) -> None:
        """down [N]: look at the first operand of this node, or the N-th. The cursor stays where it is."""
        sources = self.session.graph.nodes[self.node("")].sources
        self._select(list(dict.fromkeys(sources)), argument, "it is a leaf: there is nothing below")

    def _select(self, found: list[int], argument: str, nothing: str) -> None:
        if not found:
            raise tg.GraphError(nothing)
        if argument and not re.fullmatch(r"\d{1,9}", argument):
            raise tg.ArgumentError(f"which? {argument[:40]!r} is not a number")
        number = int(argument or 1)
        if not 1 <= number <= len(found):
            raise tg.ArgumentError(f"there are {len(found)}: {', '.join(self.session.shown(i) for i in found[:8])}")
        self.selected = found[number - 1]
        others = [f"{i}: {self.session.shown(node)}" for i, node in enumerate(found, 1) if i != number]
        self.do_print("")
        if others:
            self.screen.say(("  beside it " + ", ".join(others[:8]), "dim"))

    def do_print(self, argument: str) -> None:
        """print [NODE]: its value and its gradient, in short."""
        node = self.node(argument)
        session = self.session
        arrived, expected = session.arrived(node)
        self.screen.say(("  " + session.names.both(node), "bold"), f" = {session.expression(node)}")
        value = session.value(node)
        self.screen.say(("  value    ", "dim"), brief(value) if value is not None else "not computed yet")
        if not expected:
            self.screen.say(("  gradient ", "dim"), "none flows here")
            return
        gradient = session.gradient(node)
        length = "" if gradient is None else f"   norm {style.number(measure(gradient).norm)}"
        self.screen.say(("  gradient ", "dim"), f"{brief(gradient)}{length}   {arrived} of {expected} arrived")

    def do_whatis(self, argument: str) -> None:
        """whatis [NODE]: what it is: operation, shape, dtype, place, source line, who uses it."""
        node = self.session.graph.nodes[self.node(argument)]
        names = self.session.names.shown
        kind = "operation" if node.op else "parameter" if node.requires_grad else "constant"
        place = ".".join((*node.scope.path, *filter(None, [node.scope.part])))
        users = [names[i] for i in dict.fromkeys(self.session.graph.consumers[node.index])]
        flat = saturated(self.session.trace, node)
        lines = {
            "what": f"{kind} #{node.index}" + (f": {self.session.expression(node.index)}" if node.op else ""),
            "shape": f"{'×'.join(map(str, node.shape)) or 'scalar'} {node.dtype}",
            "role": node.role or "",
            "place": style.shown(place, 200),
            "time": "" if node.scope.step is None else f"t={node.scope.step + 1} of {len(self.session.graph.steps)}",
            "made at": style.visible(self.session.site(node.index) or ""),
            "used by": ", ".join(users[:8]) + (f" and {len(users) - 8} more" if len(users) > 8 else ""),
            "rule": "; ".join(rule_formulas.text(node, slot, self.session.shown) for slot, _ in local_rule.slots(node))
            if node.op
            else "",
            "saturated": percent(flat),
        }
        self.screen.say(("  " + self.session.names.both(node.index), "bold"))
        for label, text in lines.items():
            if text:
                self.screen.say((f"  {label:9}", "dim"), " ", text)

    def do_value(self, argument: str) -> None:
        """value [NODE][INDEX]: its value, in full if it is small; value h_3[0] a row of it."""
        node, index = self._indexed(argument)
        value = self.session.value(node)
        self.screen.say(("  " + self.session.shown(node), "bold"))
        self.screen.array(_picked(value, index), "the forward pass has not come here yet")

    def do_grad(self, argument: str) -> None:
        """grad [NODE][INDEX]: the gradient that has arrived at it so far; one that has not been reached says so."""
        node, index = self._indexed(argument)
        arrived, expected = self.session.arrived(node)
        gradient = self.session.gradient(node)
        note = f"{arrived} of {expected} arrived" if expected else "no gradient flows here in this walk"
        self.screen.say(("  " + self.session.shown(node), "bold"), ("   " + note, "dim"))
        if expected:
            self.screen.array(_picked(gradient, index))

    def _indexed(self, argument: str) -> tuple[int, str]:
        match = re.fullmatch(r"(.*?)\[([-\d:,\s]+)\]", argument)
        if match is None:
            return self.node(argument), ""
        return self.node(match[1]), match[2]

    def do_jac(self, argument: str) -> None:
        """jac [NODE]: the local Jacobian of its operation for each operand, or its diagonal, and singular values."""
        node = self.session.graph.nodes[self.node(argument)]
        if node.op is None:
            raise tg.GraphError(f"{self.session.shown(node.index)} is a leaf: no operation, no Jacobian")
        for slot, source in local_rule.slots(node):
            if slot in node.op.slots and self.session.graph.nodes[source].requires_grad:
                self._jacobian(node, slot, source)

    def _jacobian(self, node: tg.Node, slot: int, source: int) -> None:
        name = f"∂{self.session.shown(node.index)}/∂{self.session.shown(source)}"
        formula = rule_formulas.text(node, slot, self.session.shown)
        if node.op is not None and node.op.elementwise:
            diagonal = local_rule.diagonal(self.session.trace, node, slot)
            self.screen.say(("  " + name, "bold"), f", a diagonal   {formula}")
            self.screen.array(diagonal)
            return
        matrix = local_rule.jacobian(self.session.trace, node.index, slot)
        largest = ""
        if np.isfinite(matrix).all():
            sigma = np.linalg.svd(matrix.astype(np.float64), compute_uv=False).max(initial=0)
            largest = f", largest singular value {style.number(float(sigma))}"
        self.screen.say(("  " + name, "bold"), f", {matrix.shape[0]}×{matrix.shape[1]}{largest}   {formula}")
        self.screen.array(matrix)

    def do_vjp(self, _argument: str) -> None:
        """vjp: the rule at the cursor with the numbers in full: upstream gradient, factor, product."""
        rules = self.session.rules()
        if not rules:
            raise tg.GraphError("nothing is sent on here; go to an operation in the walk back")
        for found in rules:
            self.screen.say(("  to " + self.session.shown(found.target), "bold"), f"   {found.formula}")
            self.screen.say(("  upstream gradient", "dim"))
            self.screen.array(found.upstream)
            if found.factor is not None:
                what = "times, element by element" if found.kind == "diagonal" else "times the local Jacobian"
                self.screen.say(("  " + what, "dim"))
                self.screen.array(found.factor)
            self.screen.say(("  is the contribution", "dim"))
            self.screen.array(found.contribution)

    def do_path(self, argument: str) -> None:
        """path [NODE]: the strongest way from the loss to a node, with what it loses and gains on the way."""
        node = self.node(argument)
        if node == self.session.trace.output:
            raise tg.ArgumentError("that is where the walk starts; name a node further down: path h_1")
        hops = self.session.path(node)
        rows = []
        for hop, bar in zip(hops, bars([hop.norm for hop in hops], self.screen.bar)):
            change = "" if hop.ratio is None else f"× {style.number(hop.ratio)}"
            where = str(hop.position), str(hop.time or ""), hop.name, hop.op
            rows.append((*where, change, norm(hop.norm), bar))
        self.screen.table(("step", "t", "through", "op", "change", "norm sent", ""), rows)
        self.screen.say(f"  and so to {self.session.shown(node)}")

    def do_frontier(self, _argument: str) -> None:
        """frontier: which nodes are done, which are ready, and which wait for consumers still to contribute."""
        found = self.session.frontier()
        counts = f"done {len(found.done)}, ready {len(found.ready)}, waiting {len(found.waiting)}"
        self.screen.say(f"  {counts}, not reached {found.unreached}")
        for label, group in (("ready", found.ready), ("waiting", found.waiting)):
            shown = [f"{row.name} ({row.arrived} of {row.expected})" for row in group[:12]]
            if shown:
                more = f" and {len(group) - 12} more" if len(group) > 12 else ""
                self.screen.say((f"  {label:8}", "green" if label == "ready" else "yellow"), ", ".join(shown) + more)

    def do_origin(self, _argument: str) -> None:
        """origin: find the first number that is not finite, in the forward pass or the walk back, and go there."""
        found = self.session.origin()
        if found is None:
            self.screen.say(("  every value and every gradient is finite", "green"))
            return
        self.session.goto(found.position, "here the first number that is not finite appears")
        self.screen.say(("  origin ", "bold red"), f"({found.phase})  {found.explanation}")
        self.show()

    def do_check(self, _argument: str) -> None:
        """check: compare what this step sent with a numerical derivative of its operation alone (complex step)."""
        for result in self.session.check():
            to = f"  to {self.session.shown(result.target)}: "
            if result.passed:
                elements = f"{result.compared} elements"
                self.screen.say(to, ("agrees", "green"), f" with the {result.method} within rounding, {elements}")
            else:
                difference = f"{style.number(result.error)} of its largest element"
                self.screen.say(to, ("DIFFERS", "bold red"), f" from the {result.method} by {difference}")

    def do_source(self, argument: str) -> None:
        """source [NODE]: the lines of your program around the one that made it."""
        node = self.session.graph.nodes[self.node(argument)]
        name, _, line = (self.session.site(node.index) or "").rpartition(":")
        if not name or not line.isdigit():
            raise tg.GraphError(f"it is not known where {self.session.shown(node.index)} was made")
        path = self.session.trace.files.get(name, Path(name).name)
        lines = linecache.getlines(path)
        if not lines:
            raise tg.DataError(f"{style.visible(node.site or '')}: that file is not here to show")
        number = int(line)
        for i in range(max(number - WINDOW // 2, 1), min(number + WINDOW // 2, len(lines)) + 1):
            text = f"{'→' if i == number else ' '} {i:4}  {style.visible(lines[i - 1].rstrip())}"
            self.screen.say((text, "bold" if i == number else ""))

    def do_display(self, argument: str) -> None:
        """display [COMMAND]: carry out a look command after every move, such as display grad h_1; alone, list them."""
        if not argument:
            for number, line in enumerate(self.displays, 1):
                self.screen.say(f"  {number}: {line}")
            return
        word = argument.split()[0]
        line = argument if hasattr(Looking, f"do_{word}") else f"print {argument}"
        if line == f"print {argument}":
            self.session.names.find(argument)
        elif word in ("origin", "display", "undisplay", "up", "down", "where"):
            raise tg.ArgumentError(
                f"{word} moves or shows the whole moment; display takes one such as norms or grad h_1"
            )
        self.displays.append(line)
        self.onecmd(line)

    def do_undisplay(self, argument: str) -> None:
        """undisplay [NUMBER]: stop displaying one, or all."""
        if not argument:
            self.displays.clear()
        elif argument.isdecimal() and 1 <= int(argument[:9]) <= len(self.displays):
            del self.displays[int(argument) - 1]
        else:
            raise tg.ArgumentError(f"which? displays are numbered from 1 to {len(self.displays)}")


def _picked(array: Array | None, index: str) -> Array | None:
    if array is None or not index:
        return array
    try:
        parts = [[int(x) if x.strip() else None for x in part.split(":")] for part in index.split(",")]
        picked: Array = np.asarray(array[tuple(slice(*part) if len(part) > 1 else part[0] for part in parts)])
    except (IndexError, ValueError, TypeError):
        raise tg.OutOfRangeError(f"[{index}] is not in a value of shape {array.shape}") from None
    return picked
