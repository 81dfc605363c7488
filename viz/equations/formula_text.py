"""Formulas as text that Python can evaluate, and as LaTeX.

Both are written either with the numbers of the time steps or relative to a step ``t``: ``h_(t-1)``; so are the
repetitions of a loop inside of a step, relative to a repetition ``k``: ``s_(t,k-1)``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence, Set
from functools import partial
from itertools import pairwise
from typing import Any

from tinygrad_rnn.primitives import TABLE

from .. import style
from .expression import Apply, Expression, Symbol, operations, parts

SUM, PRODUCT, MATMUL, NEGATIVE, POWER, ATOM = range(6)  #: how tightly a formula holds together
Written = tuple[str, int]
When = tuple[int | None, int | None]  #: a time step, and a repetition inside of it
NEVER: When = (None, None)
ROW = Symbol("row", None)  #: what an operation written as a matrix does something to


#: What counts with the time step, of the whole numbers in a formula. INNER_FIRST, INNER_LAST: of two indices one with
#: the repetition inside of the step; THROUGH: one index through all repetitions of all steps.
NOTHING, INDICES, FIRST_INDEX, LAST_INDEX, INNER_FIRST, INNER_LAST, THROUGH, COMPARED, EVERY_NUMBER = range(9)
_COMPARISONS = (">", ">=", "<", "<=", "==", "!=")


#: Greek capitals that are no Latin ones.
_CAPITALS = {"gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}


class Text:
    """As Python writes it: ``dh_3 = (dh_4 * (1 - h_4**2)) @ W_hh``."""

    plus, minus, times, matmul = " + ", " - ", " * ", " @ "
    scaled = " * "  #: between a number and a matrix
    repeated_holds = ATOM

    def __init__(
        self,
        base: int | None = None,
        *,
        inner: int | None = None,
        counted: int = NOTHING,
        stride: int = 0,
        gathered: bool = False,
        running: When = NEVER,
        apart: Set[Symbol] = frozenset(),
        fixed: Set[Symbol] = frozenset(),
    ) -> None:
        self.base = base  #: the step that is written t; None: all are written as numbers
        self.inner = inner  #: the repetition that is written k
        self.counted = counted  #: whether whole numbers in indices, also compared ones, or all, are steps too
        self.stride = stride  #: repetitions of a step, if all have as many
        self.gathered = gathered  #: whether terms that read alike for several steps are written once
        self.running = running  #: the time of the term that such are written as
        self.apart = apart  #: symbols that are the same in all of them
        self.fixed = fixed  #: symbols of another loop, whose steps are not those that are written t

    def __call__(self, x: Expression) -> str:
        """The formula."""
        return self.write(x)[0]

    def write(self, x: Expression) -> Written:
        """The formula, and how tightly it holds together."""
        if isinstance(x, Symbol):
            return self.symbol(x), ATOM
        if not isinstance(x, Apply):
            return self.number(x)
        if self.gathered and x.op in ("+", "stack", "concat") and (written := self.write_gathered(x)):
            return written
        if x.op == "+":
            return self.join_sum(x.args), SUM
        if x.op == "*":
            return self.times.join(self.inside(a, NEGATIVE) for a in x.args), PRODUCT
        if x.op == "neg":
            return "-" + self.inside(x.args[0], PRODUCT), NEGATIVE if self.write(x.args[0])[1] > MATMUL else SUM
        if x.op == "@":
            return self.matmul.join(self.inside(a, POWER) for a in x.args), MATMUL
        return getattr(self, f"write_{x.op}", self.write_function)(x)

    def inside(self, x: Expression, tight: int) -> str:
        """The formula as part of a larger one, in brackets if it would fall apart there."""
        text, own = self.write(x)
        return text if own >= tight else self.bracket(text)

    def bracket(self, text: str) -> str:
        """In brackets."""
        return f"({text})"

    def number(self, x: float) -> Written:
        """``2``, ``0.5``, ``inf``; ``t`` where numbers count with the step."""
        whole = abs(x) < 1e15 and x == int(x)
        if whole and self.counted == EVERY_NUMBER and self.base is not None:
            return self.relative(int(x)), ATOM if x == self.base else SUM
        shown = str(int(x)) if whole else repr(float(f"{x:.15g}"))  # 0.1 * 0.1 is 0.01
        return shown, ATOM if x >= 0 else NEGATIVE

    def join_sum(self, terms: Sequence[Expression]) -> str:
        """``a + b - c``."""
        text = ""
        for term in terms:
            if text and isinstance(term, float) and term < 0:
                text += self.minus + self.inside(-term, PRODUCT)
            elif isinstance(term, Apply) and term.op == "neg":
                text += (self.minus if text else "-") + self.inside(term.args[0], PRODUCT)
            else:
                text += (self.plus if text else "") + self.inside(term, PRODUCT)
        return text

    def write_gathered(self, x: Apply) -> Written | None:
        """A sum over time, if there is one."""
        found = repeats(x, self)
        if not any(times for _, _, times in found) or (x.op != "+" and len(found) > 1):
            return None
        written = [
            writer.repeated(term, times, x.op) if times else self.inside(term, PRODUCT) for term, writer, times in found
        ]
        return self.plus.join(written), SUM if len(written) > 1 else self.repeated_holds

    def relative(self, number: int, symbol: Symbol | None = None) -> str:
        """A time step as ``t-1``; in a term of a sum as ``k-1`` if the sum is in the equation of a step t.

        As ``j-1`` if k is a repetition inside of the step.
        """
        nested = self.inner is not None or self.running[1] is not None
        return self._counting(number, symbol, self.base, self.running[0], "tj" if nested else "tk")

    def repetition(self, number: int, symbol: Symbol | None = None) -> str:
        """A repetition inside of a step as ``k-1``."""
        return self._counting(number, symbol, self.inner, self.running[1], "ki")

    def _counting(self, number: int, symbol: Symbol | None, base: int | None, running: int | None, letters: str) -> str:
        if symbol in self.fixed:
            return str(number)
        if running is not None and symbol not in self.apart:
            origin, letter = running, letters[base is not None]
        elif base is not None:
            origin, letter = base, letters[0]
        else:
            return str(number)
        return letter if number == origin else f"{letter}{number - origin:+d}"

    def when(self, x: Symbol) -> list[str]:
        """The subscripts of a symbol: its step, and its repetition inside of that."""
        told = [] if x.step is None else [self.relative(x.step, x)]
        return told if x.inner is None else [*told, self.repetition(x.inner, x)]

    # What text and LaTeX write differently -----------------------------------------------------------------

    def symbol(self, x: Symbol) -> str:
        """``h_3``, ``dh_3``, or relative to the base, ``h_(t-1)``."""
        when = self.when(x)
        plain = all(map(str.isdigit, when)) or (len(when) == 1 and len(when[0]) == 1)
        step = "".join(f"_{each}" for each in when) if plain else f"_({','.join(when)})"
        return f"d{x.stem}{step}" if x.gradient else f"{x.stem}{step}"

    def left(self, x: Symbol) -> str:
        """The left side of an equation."""
        return f"dL/{self.symbol(x)}" if x.gradient else self.symbol(x)

    def repeated(self, body: Expression, times: Sequence[When], op: str) -> str:
        """A sum (or a stack, a concatenation) over time steps, ``body`` written relative to its own."""
        over = "".join(f" for {letter}={steps_told(steps)}" for letter, steps in self.ranges(times))
        return f"{'sum' if op == '+' else op}({self(body)}{over})"

    def ranges(self, times: Sequence[When]) -> list[tuple[str, list[int]]]:
        """The letter of what runs, and where it does: of steps, and of repetitions inside of them."""
        steps, inner = _ranges(times)
        told = [(self.relative(self.running[0] or 0), steps)] if self.running[0] is not None else []
        return [*told, (self.repetition(self.running[1]), inner)] if self.running[1] is not None else told

    def write_div(self, x: Apply) -> Written:
        return f"{self.inside(x.args[0], PRODUCT)} / {self.inside(x.args[1], NEGATIVE)}", PRODUCT

    def write_pow(self, x: Apply) -> Written:
        return f"{self.inside(x.args[0], ATOM)}**{self.inside(x.args[1], ATOM)}", POWER

    def write_permute(self, x: Apply) -> Written:
        if x.attrs["axes"] == (1, 0):
            return f"{self.inside(x.args[0], ATOM)}.T", ATOM
        return f"{self.inside(x.args[0], ATOM)}.transpose{x.attrs['axes']}", ATOM

    def write_reshape(self, x: Apply) -> Written:
        return f"{self.inside(x.args[0], ATOM)}.reshape({', '.join(map(str, x.shape)) or '()'})", ATOM

    def write_sum(self, x: Apply) -> Written:
        axes = x.attrs.get("axis")
        told = [] if axes is None else [_plain(axes[0] if isinstance(axes, tuple) and len(axes) == 1 else axes)]
        told += ["keepdims=True"] if x.attrs.get("keepdims") else []
        return f"{self.inside(x.args[0], ATOM)}.sum({', '.join(told)})", ATOM

    def write_getitem(self, x: Apply) -> Written:
        return f"{self.inside(x.args[0], ATOM)}[{self.index(x.attrs['index'])}]", ATOM

    def write_take(self, x: Apply) -> Written:
        return f"{self.inside(x.args[0], ATOM)}[{self(x.args[1])}]", ATOM

    def write_scatter(self, x: Apply) -> Written:
        return f"scatter({self(x.args[0])}, at[{self.index(x.attrs['index'])}], {x.attrs['shape']})", ATOM

    def write_ones(self, x: Apply) -> Written:
        return f"ones({x.attrs['shape']})", ATOM

    def mapping(self, x: Expression, shape: tuple[int, ...]) -> str:
        """The matrix of a linear operation on a row, which is an array of this shape."""
        return f"matrix(lambda {self(ROW)}: {self(x)}, {shape})"

    def write_function(self, x: Apply) -> Written:
        op = TABLE.get(x.op)
        if op is not None and op.infix:
            return self.join_infix(op.infix, op.infix, x), SUM
        if x.op == "one_hot":
            return f"one_hot({self(x.args[0])}, {x.attrs['num_classes']})", ATOM
        usual = {} if op is None else op.usual
        told = [f"{k}={_plain(v)}" for k, v in x.attrs.items() if k != "dtype" and (k not in usual or usual[k] != v)]
        return f"{x.op}({', '.join([*map(self, x.args), *told])})", ATOM

    def join_infix(self, written: str, infix: str, x: Apply) -> str:
        """``a > b``, or ``a > (t-1)`` where numbers that are compared count with the step."""
        counts = self.counted == COMPARED and infix in _COMPARISONS
        every = type(self)(self.base, counted=EVERY_NUMBER) if counts else self
        args = [(self if isinstance(a, (Apply, Symbol)) else every).inside(a, PRODUCT) for a in x.args]
        return f" {written} ".join(args)

    def index(self, index: Sequence[Any]) -> str:
        """The text of an index between its brackets."""
        places = [n for n, part in enumerate(index) if _is_place(part)] if self.counted else []
        first, last = places[:1], places[-1:]
        chosen = {FIRST_INDEX: first, LAST_INDEX: last, THROUGH: first, INNER_FIRST: last, INNER_LAST: first}
        inner = {INNER_FIRST: first, INNER_LAST: last}.get(self.counted, [])
        ways = dict.fromkeys(
            chosen.get(self.counted, places), self.through if self.counted == THROUGH else self.relative
        )
        ways |= dict.fromkeys(inner, self.repetition)
        return ", ".join(self._index_part(part, ways.get(n)) for n, part in enumerate(index)) or "()"

    def _index_part(self, part: Any, counted: Callable[[int], str] | None) -> str:
        if isinstance(part, slice):
            return f"{counted(part.start)}:{counted(part.stop)}" if counted else style.slice_text(part)
        if counted:
            return counted(part)
        return "..." if part is Ellipsis else _plain(part)

    def through(self, number: int) -> str:
        """A number that counts through all repetitions of all steps: ``4*(t-1)+k-1``."""
        before = (self.base or 1) - 1
        return f"{self.stride}*({self.relative(before)})+{self.repetition(number - self.stride * before)}"


class Latex(Text):
    r"""As a blackboard has it: ``\odot`` between elements, nothing between matrices."""

    times, matmul = r" \odot ", r" \, "
    scaled = r" \, "
    repeated_holds = PRODUCT

    def write(self, x: Expression) -> Written:
        if isinstance(x, Apply) and x.op == "*" and isinstance(x.args[0], float):  # a number before what it multiplies
            rest = x.args[1] if len(x.args) == 2 else Apply("*", x.args[1:], {}, x.shape)
            return rf"{self.inside(x.args[0], PRODUCT)} \, {self.inside(rest, PRODUCT)}", PRODUCT
        return super().write(x)

    def bracket(self, text: str) -> str:
        return rf"\left( {text} \right)"

    def inside(self, x: Expression, tight: int) -> str:
        text = super().inside(x, tight)  # a power of a fraction is not one of its numerator's
        return self.bracket(text) if tight == ATOM and text.startswith(r"\frac") else text

    def number(self, x: float) -> Written:
        text, holds = super().number(x)
        if text.lstrip("-") in ("inf", "nan"):
            return text.replace("inf", r"\infty").replace("nan", r"\text{nan}"), holds
        digits, _, power = text.partition("e")
        if not power:
            return text, holds
        ten = f"10^{{{int(power)}}}"
        return (ten if digits == "1" else rf"{digits} \cdot {ten}"), min(holds, PRODUCT)

    def symbol(self, x: Symbol) -> str:
        if x == ROW:
            return r"\cdot"
        letter, below, above = _letter(x.stem)
        below = [*below, *self.when(x)]
        name = letter + (f"_{{{', '.join(below)}}}" if below else "") + (f"^{{{above}}}" if above else "")
        return rf"\frac{{\partial L}}{{\partial {name}}}" if x.gradient else name

    def left(self, x: Symbol) -> str:
        return self.symbol(x)

    def repeated(self, body: Expression, times: Sequence[When], op: str) -> str:
        sign = r"\sum" if op == "+" else rf"\operatorname{{{op}}}"
        over = [
            rf"{sign}_{{{letter}={steps[0]}}}^{{{steps[-1]}}}"
            if _is_run(steps)
            else f"{sign}_{{{letter} = {steps_told(steps, latex=True)}}}"
            for letter, steps in self.ranges(times)
        ]
        return f"{' '.join(over)} {self.inside(body, PRODUCT) if op == '+' else self.bracket(self(body))}"

    def write_div(self, x: Apply) -> Written:
        return rf"\frac{{{self(x.args[0])}}}{{{self(x.args[1])}}}", ATOM

    def write_pow(self, x: Apply) -> Written:
        base, power = x.args[0], self(x.args[1])
        if isinstance(base, Apply) and base.op in ("tanh", "sin", "cos"):  # as one writes it: tanh²(c)
            return f"{TABLE[base.op].latex}^{{{power}}} {self.bracket(self(base.args[0]))}", ATOM
        text = self.inside(base, ATOM)
        return f"{self.bracket(text) if '^' in text and isinstance(base, Symbol) else text}^{{{power}}}", POWER

    def write_permute(self, x: Apply) -> Written:
        text = self.inside(x.args[0], ATOM)
        return f"{_base(text) if isinstance(x.args[0], Symbol) else text}^\\top", POWER

    def write_reshape(self, x: Apply) -> Written:
        return self.write(x.args[0])

    def write_sum(self, x: Apply) -> Written:
        return rf"\sum{'' if x.attrs.get('axis') is None else '_n'} {self.inside(x.args[0], PRODUCT)}", PRODUCT

    def write_getitem(self, x: Apply) -> Written:
        if x.attrs.get("part") and isinstance(x.args[0], Symbol):
            return rf"{_base(self.symbol(x.args[0]))}^{{({x.attrs['part']})}}", ATOM
        return rf"{self.inside(x.args[0], ATOM)}[{self.index(x.attrs['index'])}]", ATOM

    def write_take(self, x: Apply) -> Written:
        return rf"{self.inside(x.args[0], ATOM)}[{self(x.args[1])}]", ATOM

    def write_scatter(self, x: Apply) -> Written:
        return rf"\operatorname{{put}}_{{[{self.index(x.attrs['index'])}]}} {self.bracket(self(x.args[0]))}", ATOM

    def write_ones(self, x: Apply) -> Written:
        return r"\mathbf{1}_{" + r" \times ".join(map(str, x.shape)) + "}", ATOM

    def write_eye(self, x: Apply) -> Written:
        return f"I_{{{x.shape[0]}}}", ATOM

    def mapping(self, x: Expression, shape: tuple[int, ...]) -> str:
        return rf"\left[ {self(x)} \right]"

    def write_function(self, x: Apply) -> Written:
        op = TABLE.get(x.op)
        latex = op.latex if op is not None else ""
        if op is not None and op.infix:
            return self.join_infix(latex, op.infix, x), SUM
        if x.op == "one_hot":
            return rf"\mathbf{{1}}_{{{self(x.args[0])}}}", ATOM
        if x.op == "concat":
            return r"\left[ " + r" \;|\; ".join(map(self, x.args)) + r" \right]", ATOM
        name = latex or rf"\operatorname{{{_escaped(x.op)}}}"
        return f"{name} {self.bracket(', '.join(map(self, x.args)))}", ATOM


def repeats(x: Apply, within: Text) -> list[tuple[Expression, Text, Sequence[When]]]:
    """The terms of a sum (or what is stacked), of those that read the same relative to their own times the first.

    With each, what writes it so, and its times; none for a term that is like no other. Where the sum stands in an
    equation of a step, symbols that all terms share are of that step.
    """
    often = Counter(s for term in x.args for s in {*parts(term)} if s.step is not None)
    shared = {s for s, count in often.items() if count > 1}
    groups: dict[Hashable, dict[int, tuple[When, Callable[..., Text]]]] = {}
    for way, apart in enumerate((set[Symbol](), shared) if shared else (set[Symbol](),)):
        for n, term in enumerate(x.args):
            timed = [s for s in parts(term) if s.step is not None and s not in apart and s not in within.fixed]
            timed = [s for s in timed if s.gradient] or timed
            for running in _running(timed):
                for counted in (c for c in ways_to_count(term) if c <= LAST_INDEX):
                    writer = partial(
                        type(within),
                        within.base,
                        inner=within.inner,
                        counted=counted,
                        apart=apart,
                        fixed=within.fixed,
                    )
                    kind = way, running[0] is None, running[1] is None, counted, writer(running=running)(term)
                    groups.setdefault(kind, {})[n] = running, writer
    found: dict[int, tuple[Expression, Text, Sequence[When]]] = {}
    seen = set[int]()
    for group in sorted(groups.values(), key=len, reverse=True):
        own = {when: n for n, (when, _) in group.items() if n not in seen}
        times = sorted(own, key=_rank) if x.op == "+" else [*own]
        rises = all(_rank(a) < _rank(b) for a, b in pairwise(times))
        for block in blocks(times) if rises and len(own) == len(group.keys() - seen) else ():
            if len(block) > (1 if all(map(_is_run, _ranges(block))) else 2):
                members = [own[when] for when in block]
                once = [len(set(times)) == 1 for times in zip(*block)]
                block = [(None if once[0] else step, None if once[1] else inner) for step, inner in block]
                found[min(members)] = x.args[members[0]], group[members[0]][1](running=block[0]), block
                seen.update(members)
    return [found.get(n, (term, within, ())) for n, term in enumerate(x.args) if n in found or n not in seen]


def _running(timed: Sequence[Symbol]) -> list[When]:
    """The times that a term with such symbols may be written relative to."""
    step = max((s.step or 0 for s in timed), default=None)
    inner = max((s.inner for s in timed if s.inner is not None and s.step == step), default=None)
    return [] if step is None else [(step, None)] if inner is None else [(step, inner), (step, None), (None, inner)]


def _rank(when: When) -> tuple[int, int]:
    return when[0] or 0, when[1] or 0


def blocks(times: Sequence[When]) -> list[list[When]]:
    """Times parted into rectangles: of steps with the same repetitions inside of them.

    >>> blocks([(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
    [[(1, 1), (1, 2), (2, 1), (2, 2)], [(3, 1)]]
    """
    rows: dict[int | None, list[int | None]] = {}
    for step, inner in times:
        rows.setdefault(step, []).append(inner)
    alike: dict[tuple[int | None, ...], list[When]] = {}
    for step, own in rows.items():
        alike.setdefault(tuple(own), []).extend((step, inner) for inner in own)
    return [*alike.values()]


def _ranges(times: Sequence[When]) -> list[list[int]]:
    """The steps, and the repetitions inside of them."""
    return [list(dict.fromkeys(n for n in own if n is not None)) for own in zip(*times)]


def ways_to_count(x: Expression, *, inside: bool = False) -> list[int]:
    """The ways in which numbers of a formula may count with the time step; with repetitions ``inside`` of it, too."""
    found = [*operations(x)]
    indices = [INDICES, FIRST_INDEX, LAST_INDEX] if any("index" in op.attrs for op in found) else []
    indices += [INNER_FIRST, INNER_LAST, THROUGH] if indices and inside else []
    numbers = any(isinstance(a, float) for op in found for a in op.args)
    return [NOTHING, *indices, *[COMPARED, EVERY_NUMBER] * numbers]


def steps_told(steps: Sequence[int], *, latex: bool = False) -> str:
    """Time steps: ``1..3, 5``, or ``1, 3, ..., 9``."""
    steps = sorted(steps)
    apart = {b - a for a, b in pairwise(steps)}
    if len(apart) == 1 and apart != {1} and len(steps) > 3:
        dots = r"\ldots" if latex else "..."
        return f"{steps[0]}, {steps[1]}, {dots}, {steps[-1]}"
    starts = [b for a, b in pairwise([steps[0] - 2, *steps]) if b != a + 1]
    ends = [a for a, b in pairwise([*steps, steps[-1] + 2]) if b != a + 1]
    to = ".." if not latex else r", \ldots, " if len(starts) == 1 else r"\text{–}"
    return ", ".join(f"{a}" if a == b else f"{a}{to}{b}" for a, b in zip(starts, ends, strict=True))


def _is_run(steps: Sequence[int]) -> bool:
    return not steps or len(steps) == steps[-1] - steps[0] + 1


def _is_place(part: Any) -> bool:
    """Whether it is one place of an index, or one row, such as a sequence's of one step, ``x[t : t + 1]``."""
    if isinstance(part, slice):
        return type(part.start) is type(part.stop) is int and part.stop - part.start == 1
    return isinstance(part, int)


def _letter(stem: str) -> tuple[str, list[str], str]:
    """A symbol for a name, what stands below it, and what above: the number of its cell, so that it is no power."""
    if match := re.fullmatch(r"(?:(.*)[._])?(weight|bias)(?:_(ih|hh))?(?:_l(\d+))?(_reverse)?", stem):
        below = [_words(match[1])] if match[1] else []
        below += [match[3]] if match[3] else []
        below += [f"({match[4]})"] if match[4] else []
        return ("W" if match[2] == "weight" else "b"), below + ([r"\leftarrow"] if match[5] else []), ""
    if match := re.fullmatch(r"([^\W\d_])(\d*)((?:_prime)*)(?:_(.+?))??(_reverse)?", stem):  # of `vocabulary.Name.text`
        letter, number, primes, tail, back = match.groups()
        letter = rf"\overleftarrow{{{_sign(letter)}}}" if back else _sign(letter)
        if match[1] in "Wb" and not tail:  # W1 and W2 have no other name
            return letter, [number] if number else [], ""
        ends = match[1] in "Wb" and re.fullmatch(r"[a-z][hy]\d*", tail or "")  # one letter for where from, and where to
        below = [] if not tail else [tail if ends else _words(tail)]
        return letter, below, r"\prime" * (len(primes) // 6) + (f"({number})" if number else "")
    head, _, tail = stem.partition("_")
    return _sign(head), [_words(tail)] if tail else [], ""


def _sign(name: str) -> str:
    r"""A letter, one of another alphabet by its command, ``\beta``; any longer name as text."""
    kind = unicodedata.name(name, "").split(" ") if len(name) == 1 else []
    if kind[:1] == ["GREEK"] and kind[2:3] == ["LETTER"] and len(kind) == 4 and kind[3] != "OMICRON":
        small = kind[3].lower().replace("lamda", "lambda")
        command = small if kind[1] == "SMALL" else small.capitalize()
        if kind[1] == "SMALL" or small in _CAPITALS:
            return f"\\{command}"
    return name if len(name) == 1 and name.isascii() else _words(name)


def _base(text: str) -> str:
    """``text`` in braces if it has a superscript, so that it can get another one."""
    return f"{{{text}}}" if "^" in text else text


def latex_name(name: str) -> str:
    r"""A name such as ``f_3``, ``weight_hh_l0`` or ``(f_4 ⊙ c_3)`` as a blackboard has it.

    >>> print(latex_name("f_3"), latex_name("(f_4 ⊙ c_3)"))
    f_{3} \left( f_{4} \odot c_{3} \right)
    """
    signs = {"⊙": r"\odot", "+": "+", "−": "-"}
    if name.startswith("(") and name.endswith(")"):
        inside = " ".join(signs.get(part) or latex_name(part) for part in name[1:-1].split(" "))
        return rf"\left( {inside} \right)"
    found = re.fullmatch(r"(.*?)(?:_(\d+))?(:\d+)?", name, re.DOTALL)
    assert found is not None
    if not found[1] or found[3] or re.fullmatch(r"[\d.]+", name):
        return _words(name) if not re.fullmatch(r"-?[\d.]+", name) else name
    return _base(Latex().symbol(Symbol(found[1], int(found[2]) if found[2] else None)))


def _words(text: str) -> str:
    return rf"\text{{{_escaped(text)}}}"


def _escaped(text: str) -> str:
    return re.sub(r"([#$%&_{}])", r"\\\1", text)


def _plain(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return repr(value)
