"""The recurrence of the gradients solved: every gradient of a state as a sum of products of Jacobians.

BPTT's equations are linear in the gradients. Where dL/dh_t is made of dL/dh_(t+1), each term is that gradient times
what lies on one way back from h_(t+1) to h_t; the sum of these is the Jacobian dh_(t+1)/dh_t. What is left of the
equation, the part that does not come through h_(t+1), is what the loss of step t sends directly, dL_t/dh_t.

A state of several parts, such as an LSTM's s_t = [h_t, c_t], has blocks: R_t holds the ways from the parts of step t
back to those of step t - 1, S_t those inside a step, as from h_t to c_t; ds_t/ds_(t-1) is S_t @ R_t.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from tinygrad_rnn.errors import GraphError

from .expression import Apply, Expression, Symbol, parts, plus, times, turned
from .formula_text import POWER, Latex, Text

#: One way back: factors from the later value to the earlier, each ("diag", x), elementwise, or ("@", x), a matrix.
Way = tuple[tuple[str, Expression], ...]
#: The ways back by the part of the state that they start at and the one they end at.
Blocks = dict[tuple[str, str], list[Way]]
Write = Callable[[Text, int], str]


@dataclass(frozen=True)
class ClosedForm:
    """For one carried state: ``dL/dh_t = sum over k >= t of dL_k/dh_k dh_k/dh_(k-1) ... dh_(t+1)/dh_t``.

    For a state of several parts the same with blocks, times ``S_t``: ``dL_t/ds_t`` and ``ds_t/ds_(t-1)`` take the parts
    of a step for variables of their own, and ``S_t`` adds what a part sends through another of its own step.
    """

    states: tuple[str, ...]  #: the names of its parts
    steps: tuple[int, int]  #: the first and the last
    back: dict[int, Blocks]  #: by step t, R_t: what leads from its parts to those of step t - 1
    inside: dict[int, Blocks]  #: by step t, S_t but for the ones on its diagonal
    direct: dict[int, dict[str, Expression]]  #: by step t, dL_t/ds_t for each part; 0.0 where no loss looks at it

    def jacobian(self, step: int | None = None) -> str:
        """``diag(1 - h_t**2) @ W``, for one step or for a step t; ``diag(x)`` is the matrix with x on its diagonal.

        Of a state of several parts R_t: ``[[diag(f_t), 0], ...]``, a row for each part of step t.
        """
        return self._asked(self._jacobian, self.back, step)

    def within(self, step: int | None = None) -> str:
        """S_t, for one step or for a step t: ``[[I, diag(o_t * (1 - tanh(c_t)**2))], [0, I]]``."""
        return self._asked(self._within, self.inside, step)

    def sent(self, step: int | None = None) -> str:
        """dL_t/ds_t, for one step or for a step t: ``dlogits_t @ W``; of several parts ``[dlogits_t @ W, 0]``."""
        return self._asked(self._sent, self.direct, step)

    def text(self) -> str:
        """The Jacobian, what each loss sends directly, and the sum of products, a line each."""
        s, joint = self._name, len(self.states) > 1
        told = [f"{s}_t = [{', '.join(f'{state}_t' for state in self.states)}]"] if joint else []
        for t, x in self._told(self._jacobian, self.back, Text):
            told.append(f"R_{t} = {x}" if joint else f"d{s}_{t}/d{s}_{_before(t)} = {x}")
        if self._mixed:
            told += [f"S_{t} = {x}" for t, x in self._told(self._within, self.inside, Text)]
        if joint:
            told.append(f"ds_t/ds_(t-1) = {'S_t @ R_t' if self._mixed else 'R_t'}")
        told += [f"dL_{t}/d{s}_{t} = {x}" for t, x in self._told(self._sent, self.direct, Text)]
        product = f"d{s}_k/d{s}_(k-1) @ ... @ d{s}_(t+1)/d{s}_t"
        end = " @ S_t" if self._mixed else ""
        told.append(f"dL/d{s}_t = sum(dL_k/d{s}_k @ {product} for k=t..{self.steps[1]}){end}")
        return "\n".join(told)

    def latex(self) -> str:
        r"""The same as an ``aligned`` environment."""
        s, joint = Latex().symbol(Symbol(self._name, None)), len(self.states) > 1
        named = ", ".join(Latex(0).symbol(Symbol(state, 0)) for state in self.states)
        told = [rf"{s}_t &= \left[ {named} \right]"] if joint else []
        for t, x in self._told(self._jacobian, self.back, Latex):
            before = "t-1" if t == "t" else str(int(t) - 1)
            told.append(rf"R_{{{t}}} &= {x}" if joint else rf"{_over(f'{s}_{{{t}}}', f'{s}_{{{before}}}')} &= {x}")
        if self._mixed:
            told += [rf"S_{{{t}}} &= {x}" for t, x in self._told(self._within, self.inside, Latex)]
        if joint:
            told.append(rf"{_over(f'{s}_t', f'{s}_{{t-1}}')} &= {'S_t ' if self._mixed else ''}R_t")
        for t, x in self._told(self._sent, self.direct, Latex):
            told.append(rf"{_over(f'L_{{{t}}}', f'{s}_{{{t}}}')} &= {x}")
        end = r" \; S_t" if self._mixed else ""
        told.append(
            rf"{_over('L', f'{s}_t')} &= \sum_{{k=t}}^{{{self.steps[1]}}} {_over('L_k', f'{s}_k')} "
            rf"\prod_{{j=k}}^{{t+1}} {_over(f'{s}_j', f'{s}_{{j-1}}')}{end}"
        )
        return "\\begin{aligned}\n" + " \\\\[4pt]\n".join(told) + "\n\\end{aligned}"

    def __str__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    @property
    def _name(self) -> str:
        """What the whole state is called: s, or as its part is if it has one."""
        return self.states[0] if len(self.states) == 1 else "s"

    @property
    def _mixed(self) -> bool:
        """Whether a part sends anything through another of its own step."""
        return any(self.inside.values())

    def _asked(self, write: Write, steps: Mapping[int, object], step: int | None) -> str:
        return self._told(write, steps, Text)[-1][1] if step is None else write(Text(), step)

    def _told(self, write: Write, steps: Mapping[int, object], kind: type[Text]) -> list[tuple[str, str]]:
        """Steps that read otherwise than most, by their numbers; then what most are, written for a step t."""
        alike = {t: write(kind(t), t) for t in steps}
        usual = Counter(reversed(alike.values())).most_common(1)[0][0]
        return [*((str(t), write(kind(), t)) for t in steps if alike[t] != usual), ("t", usual)]

    def _jacobian(self, writer: Text, t: int) -> str:
        if len(self.states) == 1:
            (ways,) = self.back[t].values()
            return _summed(ways, writer)
        return self._matrix(self.back[t], writer)

    def _within(self, writer: Text, t: int) -> str:
        return self._matrix(self.inside[t] | {(state, state): [()] for state in self.states}, writer)

    def _sent(self, writer: Text, t: int) -> str:
        sent = [writer(x) for x in self.direct[t].values()]
        return sent[0] if len(sent) == 1 else _listed(sent, writer)

    def _matrix(self, blocks: Blocks, writer: Text) -> str:
        rows = [[_summed(blocks.get((a, b), []), writer) for b in self.states] for a in self.states]
        if isinstance(writer, Latex):
            return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(row) for row in rows) + r" \end{pmatrix}"
        return _listed([_listed(row, writer) for row in rows], writer)


def _before(t: str) -> str:
    return "(t-1)" if t == "t" else str(int(t) - 1)


def _over(above: str, below: str) -> str:
    return rf"\frac{{\partial {above}}}{{\partial {below}}}"


def _listed(items: Sequence[str], writer: Text) -> str:
    ends = (r"\left[ ", r" \right]") if isinstance(writer, Latex) else ("[", "]")
    return ", ".join(items).join(ends)


def _summed(ways: Sequence[Way], writer: Text) -> str:
    """The sum of the ways, each a product; 0 if there is none."""
    text = ""
    for way in ways:
        sign, factors = _written(way, writer)
        joined = writer.matmul.join(factors) or "I"
        text += (writer.minus if text else "-") + joined if sign < 0 else (writer.plus if text else "") + joined
    return text or "0"


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
    """Of the gradients' equations, by their left sides. Raises `GraphError` where no state is carried."""
    carried: dict[str, list[int]] = {}
    for left, right in lines.items():
        if left.gradient and left.step is not None:
            later = Symbol(left.stem, left.step + 1, True)
            if later in lines and later in _reached(left, {later}, lines):
                carried.setdefault(left.stem, [])
                # What is used at the next step is a part of the state; others only lie on the way to one.
                if any(part.gradient and part.step == later.step for part in parts(right)):
                    carried[left.stem].append(left.step)
    states = tuple(stem for stem, steps in carried.items() if steps)
    if not states:
        raise GraphError("a closed form is written where a state is carried from step to step; here none is")
    first, last = min(min(carried[stem]) for stem in states), max(max(carried[stem]) for stem in states) + 1
    back: dict[int, Blocks] = {}
    inside: dict[int, Blocks] = {}
    direct: dict[int, dict[str, Expression]] = {}
    for t in range(first, last + 1):
        once: Blocks = {}
        back[t + 1], direct[t] = {}, {}
        for state in states:
            aims = {Symbol(stem, step, True) for stem in states for step in (t, t + 1)}
            direct[t][state] = 0.0
            if (left := Symbol(state, t, True)) in lines:  # what is made last may end a step earlier
                through, direct[t][state] = _split(_expanded(left, aims - {left}, lines), aims)
                for aim, way in through:
                    (once if aim.step == t else back[t + 1]).setdefault((aim.stem, state), []).append(way)
        inside[t] = _chained(once)
    del back[last + 1]
    return ClosedForm(states, (first, last), back, inside, direct)


def _chained(once: Blocks) -> Blocks:
    """All ways between the parts of one step, of those that lead straight from one to another."""
    found = {ends: list(ways) for ends, ways in once.items()}
    longer = found
    while longer:
        further: Blocks = {}
        for (start, middle), ways in longer.items():
            for (again, end), more in once.items():
                if again == middle:
                    further.setdefault((start, end), []).extend(way + rest for way in ways for rest in more)
        for ends, ways in further.items():
            found[ends] = [*found.get(ends, []), *ways]
        longer = further
    return found


def _reached(left: Symbol, aims: Set[Symbol], lines: Mapping[Symbol, Expression]) -> set[Symbol]:
    """The gradients that ``left``'s is made of, within the steps of ``left`` and of ``aims``, down to those."""
    steps = {left.step, *(aim.step for aim in aims)}
    found: set[Symbol] = set()
    pending = [left]
    while pending:
        symbol = pending.pop()
        for part in parts(lines[symbol]) if symbol in lines else ():
            if part.gradient and part not in found:
                found.add(part)
                if part not in aims and part.step in steps:
                    pending.append(part)
    return found


def _expanded(left: Symbol, aims: Set[Symbol], lines: Mapping[Symbol, Expression]) -> Expression:
    """The right side for ``left``, the gradients between it and ``aims`` put in."""

    def put_in(x: Expression) -> Expression:
        if isinstance(x, Symbol):
            between = x.gradient and x not in aims and x in lines and _reached(x, aims, lines) & aims
            return put_in(lines[x]) if between else x
        if isinstance(x, Apply):
            return Apply(x.op, tuple(map(put_in, x.args)), x.attrs, x.shape)
        return x

    return put_in(lines[left])


def _split(x: Expression, aims: Set[Symbol]) -> tuple[list[tuple[Symbol, Way]], Expression]:
    """The ways to each of ``aims`` in a formula that is linear in them, and what is left of it without."""
    if isinstance(x, Symbol) and x in aims:
        return [(x, ())], 0.0
    if not isinstance(x, Apply) or not aims & set(parts(x)):
        return [], x
    if x.op == "+":
        split = [_split(term, aims) for term in x.args]
        return [way for ways, _ in split for way in ways], plus([left for _, left in split], x.shape)
    linear = [k for k, argument in enumerate(x.args) if aims & set(parts(argument))]
    if len(linear) == 1 and (x.op in ("*", "neg") or (x.op == "div" and linear == [0])):
        (k,) = linear
        others = [a for n, a in enumerate(x.args) if n != k]
        ways, left = _split(x.args[k], aims)
        factor: Way
        if x.op == "neg":
            factor = (("diag", -1.0),)
        elif x.op == "div":
            factor = (("diag", Apply("div", (1.0, others[0]), {}, x.shape)),)
        else:
            factor = tuple(("diag", other) for other in others)
        if left != 0.0:
            left = Apply(x.op, tuple(left if n == k else a for n, a in enumerate(x.args)), x.attrs, x.shape)
        return [(aim, way + factor) for aim, way in ways], left
    if x.op == "@" and linear == [0]:
        joined, matrix = x.args
        gates = isinstance(joined, Apply) and joined.op == "concat"
        found: list[tuple[Symbol, Way]] = []
        rest: list[Expression] = []
        start = 0
        for piece in joined.args if gates and isinstance(joined, Apply) else (joined,):
            rows = matrix
            if gates and isinstance(joined, Apply):  # each gate meets its own rows of the matrix
                size = piece.shape[-1] if isinstance(piece, Apply) else joined.shape[-1] // len(joined.args)
                rows = _rows(matrix, start, start + size)
                start += size
            ways, left = _split(piece, aims)
            found += [(aim, (*way, ("@", rows))) for aim, way in ways]
            rest.append(0.0 if left == 0.0 else Apply("@", (left, rows), {}, x.shape))
        return found, plus(rest, x.shape)
    which = ", ".join(sorted({Text()(part) for part in parts(x) if part in aims}))
    raise GraphError(f"no closed form: the gradient of {which} comes through {x.op}, which is no product")


def _rows(matrix: Expression, start: int, stop: int) -> Expression:
    if isinstance(matrix, Apply) and matrix.op == "permute":  # rows of W.T are columns of W
        inner = Apply(
            "getitem", matrix.args, {"index": (Ellipsis, slice(start, stop))}, (matrix.shape[-1], stop - start)
        )
        return turned(inner, (1, 0), (stop - start, matrix.shape[-1]))
    return Apply("getitem", (matrix,), {"index": (slice(start, stop),)}, ())
