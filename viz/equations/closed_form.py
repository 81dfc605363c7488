"""The recurrence of the gradients solved: every gradient of a state as a sum of products of Jacobians.

BPTT's equations are linear in the gradients. Where dL/dh_t is made of dL/dh_(t+1), each term is that gradient times
what lies on one way back from h_(t+1) to h_t; the sum of these is the Jacobian dh_(t+1)/dh_t. What is left of the
equation, the part that does not come through h_(t+1), is what the loss of step t sends directly, dL_t/dh_t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tinygrad_rnn.errors import GraphError

from .expression import Apply, Expression, Symbol, parts, plus, times, turned
from .formula_text import POWER, Latex, Text

#: One way back: factors from the later state to the earlier, each ("diag", x), elementwise, or ("@", x), a matrix.
Way = tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class ClosedForm:
    """For one carried state: ``dL/dh_t = sum over s >= t of dL_s/dh_s dh_s/dh_(s-1) ... dh_(t+1)/dh_t``."""

    state: str  #: its name
    steps: tuple[int, int]  #: the first and the last
    ways: dict[int, tuple[Way, ...]]  #: by step t, what makes up dh_t/dh_(t-1)
    direct: dict[int, Expression]  #: by step t, dL_t/dh_t; 0.0 where no loss looks at it

    def jacobian(self, step: int | None = None) -> str:
        """``diag(1 - h_t**2) @ W``, for one step or for a step t; ``diag(x)`` is the matrix with x on its diagonal."""
        return self._jacobian(Text, step)

    def text(self) -> str:
        """Three lines: the Jacobian, what each loss sends directly, and the sum of products."""
        h, (_, last) = self.state, self.steps
        direct = [f"dL_{t}/d{h}_{t} = {Text()(x)}" for t, x in self.direct.items()]
        if len({Text(t)(x) for t, x in self.direct.items()}) == 1:
            direct = [f"dL_t/d{h}_t = {Text(last)(self.direct[last])}"]
        product = f"d{h}_s/d{h}_(s-1) @ ... @ d{h}_(t+1)/d{h}_t"
        return "\n".join(
            [
                f"d{h}_t/d{h}_(t-1) = {self.jacobian()}",
                *direct,
                f"dL/d{h}_t = sum(dL_s/d{h}_s @ {product} for s=t..{last})",
            ]
        )

    def latex(self) -> str:
        r"""The same as an ``aligned`` environment."""
        h, (_, last) = Latex().symbol(Symbol(self.state, None)), self.steps
        direct = [
            rf"\frac{{\partial L_{{{t}}}}}{{\partial {h}_{{{t}}}}} &= {Latex()(x)}" for t, x in self.direct.items()
        ]
        if len({Text(t)(x) for t, x in self.direct.items()}) == 1:
            direct = [rf"\frac{{\partial L_t}}{{\partial {h}_t}} &= {Latex(last)(self.direct[last])}"]
        rows = [
            rf"\frac{{\partial {h}_t}}{{\partial {h}_{{t-1}}}} &= {self._jacobian(Latex, None)}", *direct,
            rf"\frac{{\partial L}}{{\partial {h}_t}} &= \sum_{{s=t}}^{{{last}}} "
            rf"\frac{{\partial L_s}}{{\partial {h}_s}} "
            rf"\prod_{{k=s}}^{{t+1}} \frac{{\partial {h}_k}}{{\partial {h}_{{k-1}}}}",
        ]  # fmt: skip
        return "\\begin{aligned}\n" + " \\\\[4pt]\n".join(rows) + "\n\\end{aligned}"

    def __str__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _jacobian(self, kind: type[Text], step: int | None) -> str:
        at = self.steps[1] if step is None else step
        writer = kind(at if step is None else None)
        text = ""
        for way in self.ways[at]:
            sign, factors = _written(way, writer)
            joined = writer.matmul.join(factors) or "I"
            text += (writer.minus if text else "-") + joined if sign < 0 else (writer.plus if text else "") + joined
        return text


def _written(way: Way, writer: Text) -> tuple[int, list[str]]:
    """The sign of a way back, and its factors; elementwise ones that stand side by side as one diagonal matrix."""
    sign, factors = 1, list[str]()
    for elementwise, group in groupby(way, lambda factor: factor[0] == "diag"):
        members = [x for _, x in group]
        if elementwise:
            sign *= (-1) ** members.count(-1.0)
            members = [x for x in members if x != -1.0]
            if members:
                name = r"\operatorname{diag}" if isinstance(writer, Latex) else "diag"
                factors.append(name + writer.bracket(writer(times(members, ()))))
        else:
            factors += [writer.inside(x, POWER) for x in members]
    return sign, factors


def closed_form(lines: Mapping[Symbol, Expression]) -> ClosedForm:
    """Of the gradients' equations, by their left sides. Raises `GraphError` where no state is carried, or several."""
    carried: dict[str, list[int]] = {}
    for left in lines:
        if left.gradient and left.step is not None:
            later = Symbol(left.stem, left.step + 1, True)
            if later in lines and any(part == later for part in _reached(left, later, lines)):
                carried.setdefault(left.stem, []).append(left.step)
    states = [stem for stem in carried if not _is_between(stem, carried, lines)]
    if len(states) != 1:
        which = f"several are, {', '.join(states)}" if states else "none is"
        raise GraphError(f"a closed form is written where one state is carried from step to step; here {which}")
    (state,) = states
    steps = sorted(carried[state])
    steps.append(steps[-1] + 1)
    ways: dict[int, tuple[Way, ...]] = {}
    direct: dict[int, Expression] = {}
    for t in steps:
        left, later = Symbol(state, t, True), Symbol(state, t + 1, True)
        whole = _expanded(left, later, lines)
        through, rest = _split(whole, later)
        if t + 1 in steps:
            ways[t + 1] = tuple(through)
        direct[t] = rest
    return ClosedForm(state, (steps[0], steps[-1]), ways, direct)


def _is_between(stem: str, carried: Mapping[str, Sequence[int]], lines: Mapping[Symbol, Expression]) -> bool:
    """Whether a value only lies on the way of another state: its gradient is made of that state's of the same step."""
    step = carried[stem][0]
    made = [part for part in parts(lines[Symbol(stem, step, True)]) if part.gradient]
    return bool(made) and all(part.stem != stem and part.step == step for part in made)


def _reached(left: Symbol, later: Symbol, lines: Mapping[Symbol, Expression]) -> set[Symbol]:
    """The gradients that ``left``'s is made of, down to ``later``'s."""
    found: set[Symbol] = set()
    pending = [left]
    while pending:
        symbol = pending.pop()
        for part in parts(lines[symbol]) if symbol in lines else ():
            if part.gradient and part not in found:
                found.add(part)
                if part != later and part.step in (left.step, later.step):
                    pending.append(part)
    return found


def _expanded(left: Symbol, later: Symbol, lines: Mapping[Symbol, Expression]) -> Expression:
    """The right side for ``left``, the gradients between it and ``later``'s put in."""

    def put_in(x: Expression) -> Expression:
        if isinstance(x, Symbol):
            between = x.gradient and x != later and x in lines and later in _reached(x, later, lines)
            return put_in(lines[x]) if between else x
        if isinstance(x, Apply):
            return Apply(x.op, tuple(map(put_in, x.args)), x.attrs, x.shape)
        return x

    return put_in(lines[left])


def _split(x: Expression, later: Symbol) -> tuple[list[Way], Expression]:
    """The ways of a formula that is linear in ``later``, and what is left of it without."""
    if x == later:
        return [()], 0.0
    if later not in set(parts(x)) or not isinstance(x, Apply):
        return [], x
    if x.op == "+":
        found: list[Way] = []
        rest: list[Expression] = []
        for term in x.args:
            ways, left = _split(term, later)
            found += ways
            rest.append(left)
        return found, plus(rest, x.shape)
    linear = [k for k, argument in enumerate(x.args) if later in set(parts(argument))]
    if len(linear) == 1 and (x.op in ("*", "neg") or (x.op == "div" and linear == [0])):
        (k,) = linear
        others = [a for n, a in enumerate(x.args) if n != k]
        ways, left = _split(x.args[k], later)
        factor: tuple[tuple[str, Expression], ...]
        if x.op == "neg":
            factor = (("diag", -1.0),)
        elif x.op == "div":
            factor = (("diag", Apply("div", (1.0, others[0]), {}, x.shape)),)
        else:
            factor = tuple(("diag", other) for other in others)
        rest_ = (
            0.0
            if left == 0.0
            else Apply(x.op, tuple(left if n == k else a for n, a in enumerate(x.args)), x.attrs, x.shape)
        )
        return [way + factor for way in ways], rest_
    if x.op == "@" and linear == [0]:
        ways, left = _split(x.args[0], later) if not _joined(x.args[0], later) else ([], 0.0)
        if ways or left != 0.0:
            rest_ = 0.0 if left == 0.0 else Apply("@", (left, x.args[1]), {}, x.shape)
            return [(*way, ("@", x.args[1])) for way in ways], rest_
        joined = x.args[0]
        assert isinstance(joined, Apply)
        found, start = [], 0
        for piece in joined.args:  # each gate meets its own rows of the matrix
            size = piece.shape[-1] if isinstance(piece, Apply) else joined.shape[-1] // len(joined.args)
            rows = _rows(x.args[1], start, start + size)
            ways, left = _split(piece, later)
            if left != 0.0:
                raise GraphError(
                    "a closed form is written where each gate's gradient comes through the next state only"
                )
            found += [(*way, ("@", rows)) for way in ways]
            start += size
        return found, 0.0
    raise GraphError(f"no closed form: the gradient of {Text()(later)} comes through {x.op}, which is no product")


def _joined(x: Expression, later: Symbol) -> bool:
    return isinstance(x, Apply) and x.op == "concat" and later in set(parts(x))


def _rows(matrix: Expression, start: int, stop: int) -> Expression:
    if isinstance(matrix, Apply) and matrix.op == "permute":  # rows of W.T are columns of W
        inner = Apply(
            "getitem", matrix.args, {"index": (Ellipsis, slice(start, stop))}, (matrix.shape[-1], stop - start)
        )
        return turned(inner, (1, 0), (stop - start, matrix.shape[-1]))
    return Apply("getitem", (matrix,), {"index": (slice(start, stop),)}, ())
