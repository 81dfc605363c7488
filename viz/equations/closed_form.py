"""The recurrences of the gradients solved: every gradient of a state as a sum of products of Jacobians.

BPTT's equations are linear in the gradients. Where dL/dh_t is made of dL/dh_(t+1), each term is that gradient times
what lies on one way back from h_(t+1) to h_t; the sum of these is the Jacobian dh_(t+1)/dh_t. What is left of the
equation, the part that does not come through h_(t+1), is what the loss of step t sends directly, dL_t/dh_t.

A state of several parts, such as an LSTM's s_t = [h_t, c_t], has blocks: R_t holds the ways from the parts of step t
back to those of step t - 1, S_t those inside a step, as from h_t to c_t; ds_t/ds_(t-1) is S_t @ R_t. A state that is
looked at again two steps later is a part of the step between as well: s_t = [h_t, h_(t-1)].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from string import ascii_letters

from tinygrad_rnn.errors import GraphError

from .expression import Apply, Expression, Symbol, parts
from .formula_text import Latex, Text, steps_told
from .jacobians import Shape, Splitter, Way, Writing

#: The ways back by the part of the state that they start at and the one they end at.
Blocks = dict[tuple[str, str], list[Way]]
Lines = Mapping[Symbol, Expression]
Write = Callable[[Text, int], str]
LATER = "'"  #: behind a part's name, once for each step that it is remembered


@dataclass(frozen=True)
class ClosedForm:
    """For one carried state: ``dL/dh_t = sum over k >= t of dL_k/dh_k dh_k/dh_(k-1) ... dh_(t+1)/dh_t``.

    For a state of several parts the same with blocks, times ``S_t``: ``dL_t/ds_t`` and ``ds_t/ds_(t-1)`` take the parts
    of a step for variables of their own, and ``S_t`` adds what a part sends through another of its own step.

    A state is a row, the rows of an array one after the other; where they do not meet, as the sequences of a batch,
    everything is written for one of them, and holds for each (``by_row``).
    """

    name: str  #: of the whole state: s, or as its part is called if it has one
    states: tuple[str, ...]  #: the names of its parts
    steps: tuple[int, int]  #: the first and the last
    toward: int  #: 1 where time runs on, -1 where a sequence is read from its end
    shapes: Mapping[str, Shape]  #: of the parts
    back: Mapping[int, Blocks]  #: by step t, R_t: what leads from its parts to those of step t - 1
    inside: Mapping[int, Blocks]  #: by step t, S_t but for the ones on its diagonal
    direct: Mapping[int, Mapping[str, Expression]]  #: by step t, dL_t/ds_t by part; 0.0 where no loss looks at it
    writing: Writing
    also: tuple[ClosedForm, ...] = ()  #: of the other recurrences

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

    @property
    def by_row(self) -> bool:
        """Whether it is written for one row of the arrays."""
        return self.writing.by_row

    @property
    def sizes(self) -> dict[str, int]:
        """The number of elements of each part."""
        return {state: self.writing.size(self.shapes[state]) for state in self.states}

    def text(self) -> str:
        """The Jacobian, what each loss sends directly, and the sum of products, a line each."""
        s, n, joint = self.name, self._number, len(self.states) > 1
        told = [f"{s}_t = [{', '.join(self._part(state) for state in self.states)}]"] if joint else []
        for t, x, of in self._told(self._jacobian, self.back, Text):
            told.append(
                f"R{n}_{t} = {x}{_for(of)}" if joint else f"d{s}_{t}/d{s}_{self._beside(t, -1)} = {x}{_for(of)}"
            )
        if self._mixed:
            told += [f"S{n}_{t} = {x}{_for(of)}" for t, x, of in self._told(self._within, self.inside, Text)]
        if joint:
            told.append(f"d{s}_t/d{s}_{self._beside('t', -1)} = {f'S{n}_t @ R{n}_t' if self._mixed else f'R{n}_t'}")
        told += [f"dL_{t}/d{s}_{t} = {x}{_for(of)}" for t, x, of in self._told(self._sent, self.direct, Text)]
        product = f"d{s}_k/d{s}_{self._beside('k', -1)} @ ... @ d{s}_{self._beside('t', 1)}/d{s}_t"
        steps = f"k=t..{self.steps[1]}" if self.toward > 0 else f"k={self.steps[0]}..t"
        told.append(f"dL/d{s}_t = sum(dL_k/d{s}_k @ {product} for {steps}){f' @ S{n}_t' if self._mixed else ''}")
        return "\n".join([*told, *(other.text() for other in self.also)])

    def latex(self) -> str:
        r"""The same as an ``aligned`` environment."""
        lines = [line for form in (self, *self.also) for line in form._latex_lines()]
        return "\\begin{aligned}\n" + " \\\\[4pt]\n".join(lines) + "\n\\end{aligned}"

    def _latex_lines(self) -> list[str]:
        joint, n = len(self.states) > 1, f"^{{({self._number})}}" if self._number else ""

        def s(step: str) -> str:
            name = Latex().symbol(Symbol(self.name, None))
            return f"{name[:-1]}, {step}}}" if name.endswith("}") and "_{" in name else f"{name}_{{{step}}}"

        named = ", ".join(_latex_part(state, self.toward) for state in self.states)
        told = [rf"{s('t')} &= \left[ {named} \right]"] if joint else []
        sign, other = ("-", "+") if self.toward > 0 else ("+", "-")
        for t, x, of in self._told(self._jacobian, self.back, Latex):
            before = f"t{sign}1" if t == "t" else str(int(t) - self.toward)
            told.append((rf"R{n}_{{{t}}} &= {x}" if joint else rf"{_over(s(t), s(before))} &= {x}") + _quad(of))
        if self._mixed:
            told += [rf"S{n}_{{{t}}} &= {x}" + _quad(of) for t, x, of in self._told(self._within, self.inside, Latex)]
        if joint:
            told.append(rf"{_over(s('t'), s(f't{sign}1'))} &= {f'S{n}_t ' if self._mixed else ''}R{n}_t")
        for t, x, of in self._told(self._sent, self.direct, Latex):
            told.append(rf"{_over(f'L_{{{t}}}', s(t))} &= {x}" + _quad(of))
        ends = (f"k=t}}^{{{self.steps[1]}" if self.toward > 0 else f"k={self.steps[0]}}}^{{t", f"j=k}}^{{t{other}1")
        told.append(
            rf"{_over('L', s('t'))} &= \sum_{{{ends[0]}}} {_over('L_k', s('k'))} "
            rf"\prod_{{{ends[1]}}} {_over(s('j'), s(f'j{sign}1'))}" + (rf" \; S{n}_t" if self._mixed else "")
        )
        return told

    def __str__(self) -> str:
        return self.text()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    @property
    def _number(self) -> str:
        """The number of the state that R and S are of: "1" for s1, where several have several parts; else ""."""
        return self.name.lstrip(ascii_letters) if len(self.states) > 1 else ""

    @property
    def _mixed(self) -> bool:
        """Whether a part sends anything through another of its own step."""
        return any(self.inside.values())

    def _part(self, state: str) -> str:
        """The name of a part at a step t: ``h_t``, or ``h_(t-1)`` if it is only remembered."""
        stem, remembered = state.rstrip(LATER), state.count(LATER)
        return f"{stem}_{self._beside('t', -remembered) if remembered else 't'}"

    def _beside(self, t: str, steps: int) -> str:
        """The step so many steps on, in the direction that the sequence is read."""
        steps *= self.toward
        return f"({t}{steps:+d})" if t in ("t", "k") else str(int(t) + steps)

    def _asked(self, write: Write, steps: Mapping[int, object], step: int | None) -> str:
        return self._told(write, steps, Text)[-1][1] if step is None else write(Text(), step)

    def _told(
        self, write: Write, steps: Mapping[int, object], kind: type[Text]
    ) -> list[tuple[str, str, Sequence[int]]]:
        """(t, formula, steps) of those that read alike, written for a step t; what most are is the last.

        One like no other has its own number; ``steps`` says of which the formula is, where it is not of all.
        """
        ways = []
        for counted in (False, True):  # indices as they are, else counting on with the step
            alike: dict[str, list[int]] = {}
            for t in steps:
                alike.setdefault(write(kind(t, counted=counted), t), []).append(t)
            ways.append(alike)
        alike = min(ways, key=len)
        if len(alike) == 1:
            return [("t", next(iter(alike)), ())]
        groups = sorted(alike.items(), key=lambda item: (len(item[1]), item[1]))
        return [("t", formula, of) if len(of) > 1 else (str(of[0]), write(kind(), of[0]), ()) for formula, of in groups]

    def _jacobian(self, writer: Text, t: int) -> str:
        if len(self.states) == 1:
            (state,) = self.states
            return self.writing(self.back[t].get((state, state), []), writer, self.sizes[state], True)
        return self._matrix(self.back[t], writer)

    def _within(self, writer: Text, t: int) -> str:
        return self._matrix(self.inside[t] | {(state, state): [()] for state in self.states}, writer)

    def _sent(self, writer: Text, t: int) -> str:
        sent = [writer(x) for x in self.direct[t].values()]
        return sent[0] if len(sent) == 1 else _listed(sent, writer)

    def _matrix(self, blocks: Blocks, writer: Text) -> str:
        sizes = self.sizes
        alike = len(set(sizes.values())) == 1
        rows = [
            [self.writing(blocks.get((a, b), []), writer, sizes[b], alike) for b in self.states] for a in self.states
        ]
        if isinstance(writer, Latex):
            return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(row) for row in rows) + r" \end{pmatrix}"
        return _listed([_listed(row, writer) for row in rows], writer)


def _for(steps: Sequence[int]) -> str:
    return f"  # t = {steps_told(steps)}" if steps else ""


def _quad(steps: Sequence[int]) -> str:
    return rf" \quad t = {steps_told(steps, latex=True)}" if steps else ""


def _latex_part(state: str, toward: int) -> str:
    stem, remembered = state.rstrip(LATER), state.count(LATER)
    return Latex(0).symbol(Symbol(stem, -remembered * toward))


def _over(above: str, below: str) -> str:
    return rf"\frac{{\partial {above}}}{{\partial {below}}}"


def _listed(items: Sequence[str], writer: Text) -> str:
    ends = (r"\left[ ", r" \right]") if isinstance(writer, Latex) else ("[", "]")
    return ", ".join(items).join(ends)


def closed_form(lines: Lines, shapes: Mapping[Symbol, Shape]) -> ClosedForm:
    """The closed form of the gradients' equations, given by their left sides; ``shapes`` has each symbol's shape.

    Raises `GraphError` where no state is carried.
    """
    forms: list[ClosedForm] = []
    for toward in (1, -1):
        carried = _carried(lines, toward)
        while carried:
            states = _together(next(iter(carried)), carried, lines, toward)
            forms.append(_solved({state: carried.pop(state) for state in states}, toward, lines, shapes))
    if not forms:
        raise GraphError("a closed form is written where a state is carried from step to step; here none is")
    joint = [form for form in forms if len(form.states) > 1]
    forms = [replace(f, name=f"{f.name}{joint.index(f) + 1}") if len(joint) > 1 and f in joint else f for f in forms]
    return replace(forms[0], also=tuple(forms[1:]))


def _carried(lines: Lines, toward: int) -> dict[str, list[int]]:
    """The steps at which each carried state's gradient is made of that of the next step."""
    carried: dict[str, list[int]] = {}
    for left, right in lines.items():
        if left.gradient and left.step is not None:
            later = Symbol(left.stem, left.step + toward, True)
            if later in lines and later in _reached(left, {later}, lines):
                carried.setdefault(left.stem, [])
                # What is used at the next step is a part of the state; others only lie on the way to one.
                if any(part.gradient and part.step == later.step for part in parts(right)):
                    carried[left.stem].append(left.step)
    return {stem: steps for stem, steps in carried.items() if steps}


def _together(first: str, carried: Mapping[str, Sequence[int]], lines: Lines, toward: int) -> list[str]:
    """The states that are one with ``first``: either's gradient is made of the other's, within a step or the next."""
    made: dict[str, set[str]] = {state: {state} for state in carried}
    for state in carried:
        for left in (s for s in lines if s.stem == state and s.gradient and s.step is not None):
            aims = {Symbol(other, (left.step or 0) + n * toward, True) for other in carried for n in (0, 1)} - {left}
            for aim in _reached(left, aims, lines) & aims:
                made[state].add(aim.stem)
                made[aim.stem].add(state)
    found, pending = {first}, [first]
    while pending:
        for state in made[pending.pop()] - found:
            found.add(state)
            pending.append(state)
    return [state for state in carried if state in found]


def _solved(
    carried: Mapping[str, Sequence[int]], toward: int, lines: Lines, shapes: Mapping[Symbol, Shape]
) -> ClosedForm:
    """The closed form of one state, by its parts and the steps that each is carried at."""
    ends = [step for steps in carried.values() for step in steps]
    first, last = (min(ends), max(ends) + 1) if toward > 0 else (min(ends) - 1, max(ends))
    steps = range(first, last + 1)
    of = {(state, t): Symbol(state, t, True) for state in carried for t in steps}
    splitter = Splitter(shapes)
    back: dict[int, Blocks] = {t: {} for t in steps}
    once: dict[int, Blocks] = {t: {} for t in steps}
    direct: dict[int, dict[str, Expression]] = {t: dict.fromkeys(carried, 0.0) for t in steps}
    remembered: dict[str, int] = dict.fromkeys(carried, 0)
    for (state, t), left in of.items():
        if left not in lines:  # what is made last may end a step earlier
            continue
        aims = {of[s, n] for s, n in of if (n - t) * toward >= 0} - {left}
        ways, direct[t][state] = splitter.ways(left, _expanded(left, aims, lines), aims)
        for aim, way in ways:
            distance = ((aim.step or 0) - t) * toward
            if distance == 0:
                once[t].setdefault((aim.stem, state), []).append(way)
            else:
                part = state + LATER * (distance - 1)
                back[aim.step or 0].setdefault((aim.stem, part), []).append(way)
                remembered[state] = max(remembered[state], distance - 1)
    del back[first if toward > 0 else last]
    states = []
    for state, most in remembered.items():
        states += [state + LATER * n for n in range(most + 1)]
        for n in range(most):
            for t in back:
                back[t][state + LATER * (n + 1), state + LATER * n] = [()]
    direct = {t: {state: sent.get(state, 0.0) for state in states} for t, sent in direct.items()}
    known = {
        state: next(shapes[of[state.rstrip(LATER), t]] for t in steps if of[state.rstrip(LATER), t] in shapes)
        for state in states
    }
    inside = {t: _chained(ways) for t, ways in once.items()}
    every = [way for blocks in (*back.values(), *inside.values()) for ways in blocks.values() for way in ways]
    called = {symbol.stem for symbol in shapes}
    name = states[0] if len(states) == 1 else next(letter for letter in ("s", "q", "state") if letter not in called)
    return ClosedForm(
        name,
        tuple(states),
        (first, last),
        toward,
        known,
        back,
        inside,
        direct,
        Writing(shapes, every, list(known.values())),
    )


def _chained(once: Blocks) -> Blocks:
    """All ways from one state to another within a time step, given the direct ones, ``once``.

    Both are {(state it starts from, state it ends at): ways}; a way through several states is their ways in a row.
    """
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


def _reached(left: Symbol, aims: Set[Symbol], lines: Lines) -> set[Symbol]:
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


def _expanded(left: Symbol, aims: Set[Symbol], lines: Lines) -> Expression:
    """The right side for ``left``, the gradients between it and ``aims`` put in."""

    def put_in(x: Expression) -> Expression:
        if isinstance(x, Symbol):
            between = x.gradient and x not in aims and x in lines and _reached(x, aims, lines) & aims
            return put_in(lines[x]) if between else x
        if isinstance(x, Apply):
            return Apply(x.op, tuple(map(put_in, x.args)), x.attrs, x.shape)
        return x

    return put_in(lines[left])
