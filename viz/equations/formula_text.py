"""Formulas as text that Python can evaluate, and as LaTeX.

Both are written either with the numbers of the time steps or relative to a step ``t``: ``h_(t-1)``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence, Set
from itertools import pairwise
from typing import Any

from tinygrad_rnn.primitives import TABLE

from .. import style
from .expression import Apply, Expression, Symbol, operations, parts

SUM, PRODUCT, MATMUL, NEGATIVE, POWER, ATOM = range(6)  #: how tightly a formula holds together
Written = tuple[str, int]
ROW = Symbol("row", None)  #: what an operation written as a matrix does something to


#: What counts with the time step, of the whole numbers in a formula.
NOTHING, INDICES, FIRST_INDEX, LAST_INDEX, COMPARED, EVERY_NUMBER = range(6)
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
        counted: int = NOTHING,
        gathered: bool = False,
        running: int | None = None,
        apart: Set[Symbol] = frozenset(),
        fixed: Set[Symbol] = frozenset(),
    ) -> None:
        self.base = base  #: the step that is written t; None: all are written as numbers
        self.counted = counted  #: whether whole numbers in indices, also compared ones, or all, are steps too
        self.gathered = gathered  #: whether terms that read alike for several steps are written once
        self.running = running  #: the step of the term that such are written as
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
        if not any(steps for _, _, steps in found) or (x.op != "+" and len(found) > 1):
            return None
        written = [
            writer.repeated(term, steps, x.op) if steps else self.inside(term, PRODUCT) for term, writer, steps in found
        ]
        return self.plus.join(written), SUM if len(written) > 1 else self.repeated_holds

    def relative(self, number: int, symbol: Symbol | None = None) -> str:
        """A time step as ``t-1``; in a term of a sum as ``k-1`` if the sum is in the equation of a step t."""
        if symbol in self.fixed:
            return str(number)
        if self.running is not None and symbol not in self.apart:
            origin, letter = self.running, "t" if self.base is None else "k"
        elif self.base is not None:
            origin, letter = self.base, "t"
        else:
            return str(number)
        return letter if number == origin else f"{letter}{number - origin:+d}"

    # What text and LaTeX write differently -----------------------------------------------------------------

    def symbol(self, x: Symbol) -> str:
        """``h_3``, ``dh_3``, or relative to the base, ``h_(t-1)``."""
        when = "" if x.step is None else self.relative(x.step, x)
        step = f"_({when})" if len(when) > 1 and not when.isdigit() else f"_{when}" if when else ""
        return f"d{x.stem}{step}" if x.gradient else f"{x.stem}{step}"

    def left(self, x: Symbol) -> str:
        """The left side of an equation."""
        return f"dL/{self.symbol(x)}" if x.gradient else self.symbol(x)

    def repeated(self, body: Expression, steps: Sequence[int], op: str) -> str:
        """A sum (or a stack, a concatenation) over time steps, ``body`` written relative to its own."""
        return f"{'sum' if op == '+' else op}({self(body)} for {self.relative(steps[0])}={steps_told(steps)})"

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
        counted = {FIRST_INDEX: places[:1], LAST_INDEX: places[-1:]}.get(self.counted, places)
        return ", ".join(self._index_part(part, n in counted) for n, part in enumerate(index)) or "()"

    def _index_part(self, part: Any, counted: bool) -> str:
        if isinstance(part, slice):
            return f"{self.relative(part.start)}:{self.relative(part.stop)}" if counted else style.slice_text(part)
        if counted:
            return self.relative(part)
        return "..." if part is Ellipsis else _plain(part)


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
        if x.step is not None:
            below = [*below, self.relative(x.step, x)]
        name = letter + (f"_{{{', '.join(below)}}}" if below else "") + (f"^{{{above}}}" if above else "")
        return rf"\frac{{\partial L}}{{\partial {name}}}" if x.gradient else name

    def left(self, x: Symbol) -> str:
        return self.symbol(x)

    def repeated(self, body: Expression, steps: Sequence[int], op: str) -> str:
        first, *_, last = steps
        letter = self.relative(first)
        told = (
            rf"{{{letter}={first}}}^{{{last}}}" if _is_run(steps) else f"{{{letter} = {steps_told(steps, latex=True)}}}"
        )
        if op == "+":
            return rf"\sum_{told} {self.inside(body, PRODUCT)}"
        return rf"\operatorname{{{op}}}_{told} {self.bracket(self(body))}"

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


def repeats(x: Apply, within: Text) -> list[tuple[Expression, Text, Sequence[int]]]:
    """The terms of a sum (or what is stacked), of those that read the same relative to their own time steps the first.

    With each, what writes it so, and its steps; none for a term that is like no other. Where the sum stands in an
    equation of a step, symbols that all terms share are of that step.
    """
    often = Counter(s for term in x.args for s in {*parts(term)} if s.step is not None)
    shared = {s for s, count in often.items() if count > 1}
    groups: dict[Hashable, dict[int, Text]] = {}
    for way, apart in enumerate((set[Symbol](), shared) if shared else (set[Symbol](),)):
        for n, term in enumerate(x.args):
            timed = [s for s in parts(term) if s.step is not None and s not in apart and s not in within.fixed]
            running = max((s.step or 0 for s in [s for s in timed if s.gradient] or timed), default=None)
            for counted in [c for c in ways_to_count(term) if c <= LAST_INDEX] if running is not None else ():
                writer = type(within)(within.base, counted=counted, running=running, apart=apart, fixed=within.fixed)
                groups.setdefault((way, counted, writer(term)), {})[n] = writer
    found: dict[int, tuple[Expression, Text, Sequence[int]]] = {}
    seen = set[int]()
    for group in sorted(groups.values(), key=len, reverse=True):
        own = [n for n in group if n not in seen]
        if x.op == "+":
            own.sort(key=lambda n: group[n].running or 0)
        steps = [group[n].running or 0 for n in own]
        rises = all(a < b for a, b in pairwise(steps))
        if rises and len(own) > (1 if own and _is_run(steps) else 2):
            found[min(own)] = x.args[own[0]], group[own[0]], steps
            seen.update(own)
    return [found.get(n, (term, within, ())) for n, term in enumerate(x.args) if n in found or n not in seen]


def ways_to_count(x: Expression) -> list[int]:
    """The ways in which numbers of a formula may count with the time step."""
    found = [*operations(x)]
    indices = [INDICES, FIRST_INDEX, LAST_INDEX] if any("index" in op.attrs for op in found) else []
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
    return len(steps) == steps[-1] - steps[0] + 1


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
