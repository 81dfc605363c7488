"""The ways a gradient takes through a formula that is linear in it, each a product of matrices.

A gradient is a row, of an array of several rows all of them one after the other. An elementwise product is then a
diagonal matrix, a product with a matrix is that matrix, and anything else that a backward pass does (adding up,
copying, moving, picking, writing into zeros) is linear too: it is written as what it does to a row,
``matrix(lambda row: row.sum(0), (4, 3))``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod
from typing import Literal, NamedTuple

from tinygrad_rnn.primitives import TABLE
from tinygrad_rnn.primitives.record import broadcast, normalize_axis

from . import expression as e
from .expression import Apply, Expression, Symbol, parts, plus, times
from .formula_text import POWER, ROW, Latex, Text

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Factor:
    """One factor of a path's product: an elementwise product, a matrix from the right, or any other linear operation.

    ``x`` is, for ``diag``, what the gradient is multiplied with; for ``matrix``, the matrix; for ``map``, a formula of
    `ROW`, which stands for the gradient.
    """

    kind: Literal["diag", "matrix", "map"]
    x: Expression
    before: Shape  #: of the gradient that comes in
    after: Shape  #: of the one that goes out

    @property
    def keeps_rows(self) -> bool:
        """Whether it does the same to every row, and no row reaches another."""
        return self.kind != "map" and self.before[:-1] == self.after[:-1]


#: One way back: factors from the later value to the earlier.
Way = tuple[Factor, ...]


def shape_of(x: Expression, shapes: Mapping[Symbol, Shape]) -> Shape:
    """The shape of what Python makes of a formula."""
    if isinstance(x, Symbol):
        return shapes[x]
    if not isinstance(x, Apply):
        return ()
    op = TABLE.get(x.op)
    elementwise = x.op in ("+", "*") or (op is not None and op.elementwise)
    return broadcast(*(shape_of(a, shapes) for a in x.args)) if elementwise else x.shape


class Splitter:
    """Takes formulas apart; ``shapes``: of the arrays that symbols stand for."""

    def __init__(self, shapes: Mapping[Symbol, Shape]) -> None:
        self.shapes = shapes

    def ways(self, left: Symbol, right: Expression, aims: Set[Symbol]) -> tuple[list[tuple[Symbol, Way]], Expression]:
        """The ways from ``aims`` to ``left``, whose formula is ``right``, and what is left of it without."""
        found, rest = self.split(right, aims)
        grown = self._copied(self._shape(right), self.shapes[left])
        return [(aim, self._joined(way, grown)) for aim, way in found], rest

    def split(self, x: Expression, aims: Set[Symbol]) -> tuple[list[tuple[Symbol, Way]], Expression]:
        """The ways to each of ``aims`` in a formula that is linear in them, and what is left of it without."""
        if isinstance(x, Symbol) and x in aims:
            return [(x, ())], 0.0
        if not isinstance(x, Apply) or not aims & set(parts(x)):
            return [], x
        through = {k: self.split(a, aims) for k, a in enumerate(x.args) if aims & set(parts(a))}
        if x.op == "@" and list(through) == [0] and len(self._shape(x.args[1])) == 2:
            return self._product(x, aims)
        found: list[tuple[Symbol, Way]] = []
        for k, (ways, _) in through.items():
            found += [(aim, self._joined(way, self._factors(x, k, set(through)))) for aim, way in ways]
        left = [through[k][1] if k in through else a for k, a in enumerate(x.args)]
        if all(left[k] == 0.0 for k in through):
            return found, plus([a for k, a in enumerate(left) if k not in through], x.shape) if x.op == "+" else 0.0
        if x.op == "+":
            return found, plus(left, x.shape)
        whole = [self._zeros(x.args[k]) if k in through and left[k] == 0.0 else a for k, a in enumerate(left)]
        return found, Apply(x.op, tuple(whole), x.attrs, x.shape)

    def _product(self, x: Apply, aims: Set[Symbol]) -> tuple[list[tuple[Symbol, Way]], Expression]:
        """The parts of ``g @ W``; where g is joined of the parts of several gates, each meets its own rows of W."""
        joined, matrix = x.args
        found: list[tuple[Symbol, Way]] = []
        rest: list[Expression] = []
        start, gates = 0, isinstance(joined, Apply) and joined.op == "concat" and _is_last(joined)
        for piece in joined.args if gates and isinstance(joined, Apply) else (joined,):
            size = self._shape(piece)[-1]
            rows = _cut(matrix, self._shape(matrix), 0, start, start + size) if gates else matrix
            start += size
            ways, left = self.split(piece, aims)
            before = self._shape(piece)
            factor = Factor("matrix", rows, before, (*before[:-1], self._shape(matrix)[1]))
            found += [(aim, (*way, factor)) for aim, way in ways]
            rest.append(0.0 if left == 0.0 else Apply("@", (left, rows), {}, x.shape))
        return found, plus(rest, x.shape)

    def _factors(self, x: Apply, k: int, linear: set[int]) -> list[Factor]:
        """The factors from operand k of a formula to its value, the other linear operands 0."""
        rule = _FACTORS.get(x.op)
        found = rule(self, x, k) if rule is not None else None
        if found is not None:
            return found
        args = [ROW if n == k else self._zeros(a) if n in linear else a for n, a in enumerate(x.args)]
        return [Factor("map", Apply(x.op, tuple(args), x.attrs, x.shape), self._shape(x.args[k]), x.shape)]

    def _multiplied(self, x: Apply, k: int, *factors: Expression) -> list[Factor]:
        """Elementwise: operand k is repeated if it is smaller than the result, and multiplied with these."""
        after = broadcast(*map(self._shape, x.args))
        return self._copied(self._shape(x.args[k]), after) + [Factor("diag", f, after, after) for f in factors]

    def _of_product(self, x: Apply, k: int) -> list[Factor]:
        return self._multiplied(x, k, *(a for n, a in enumerate(x.args) if n != k))

    def _of_quotient(self, x: Apply, k: int) -> list[Factor] | None:
        divisor = x.args[1]
        return None if k else self._multiplied(x, k, Apply("div", (1.0, divisor), {}, self._shape(divisor)))

    def _of_choice(self, x: Apply, k: int) -> list[Factor]:
        chosen = (1.0, 0.0) if k == 1 else (0.0, 1.0)
        return self._multiplied(x, k, Apply("where", (x.args[0], *chosen), {}, x.shape))

    def _of_permute(self, x: Apply, k: int) -> list[Factor] | None:
        return [] if _keeps_order(self._shape(x.args[k]), x.attrs["axes"]) else None

    def _of_sum(self, x: Apply, k: int) -> list[Factor] | None:
        before = self._shape(x.args[k])
        axes = range(len(before)) if x.attrs.get("axis") is None else normalize_axis(x.attrs["axis"], len(before))
        counted = [axis for axis in axes if before[axis] != 1]
        if before and not counted:
            return []
        along_rows = before and counted == [len(before) - 1]
        return [Factor("matrix", _ones(before[-1], 1), before, (*before[:-1], 1))] if along_rows else None

    def _of_getitem(self, x: Apply, k: int) -> list[Factor] | None:
        before = self._shape(x.args[k])
        cut = _last_cut(x.attrs["index"], before)
        return cut and [Factor("matrix", _cut(_eye(before[-1]), (before[-1],) * 2, 1, *cut), before, x.shape)]

    def _of_scatter(self, x: Apply, k: int) -> list[Factor] | None:
        before, size = self._shape(x.args[k]), x.shape[-1]
        cut = _last_cut(x.attrs["index"], x.shape)
        return cut and [Factor("matrix", _cut(_eye(size), (size, size), 0, *cut), before, x.shape)]

    def _of_concat(self, x: Apply, k: int) -> list[Factor] | None:
        if not _is_last(x):
            return None
        before, size = self._shape(x.args[k]), x.shape[-1]
        start = sum(self._shape(a)[-1] for a in x.args[:k])
        return [Factor("matrix", _cut(_eye(size), (size, size), 0, start, start + before[-1]), before, x.shape)]

    def _copied(self, before: Shape, after: Shape) -> list[Factor]:
        """The factor that makes an array as large as another by repeating it."""
        if prod(before) == prod(after):
            return []
        if before[-1:] == (1,) and before[:-1] == after[:-1]:
            return [Factor("matrix", _ones(1, after[-1]), before, after)]
        return [Factor("map", Apply("broadcast_to", (ROW,), {"shape": after}, after), before, after)]

    def _joined(self, way: Way, factors: Sequence[Factor]) -> Way:
        """``way``, then ``factors``; columns picked from a product are a product with these columns."""
        for factor in factors:
            picked, last = factor.x, way[-1] if way else factor
            if last.kind == factor.kind == "matrix" and isinstance(picked, Apply) and picked.op == "getitem":
                index = picked.attrs["index"]
                if way and e.is_(picked.args[0], "eye") and len(index) == 2:
                    columns = _cut(last.x, self._shape(last.x), 1, index[1].start, index[1].stop)
                    way = (*way[:-1], replace(last, x=columns, after=factor.after))
                    continue
            way = (*way, factor)
        return way

    def _zeros(self, x: Expression) -> Expression:
        shape = self._shape(x)
        return Apply("full", (0.0,), {"shape": shape}, shape)

    def _shape(self, x: Expression) -> Shape:
        return shape_of(x, self.shapes)


#: The factors of an operation of formulas, from its operand k to its value; None: it is written as a map.
_FACTORS: dict[str, Callable[[Splitter, Apply, int], list[Factor] | None]] = {
    "+": Splitter._multiplied,
    "*": Splitter._of_product,
    "neg": lambda splitter, x, k: splitter._multiplied(x, k, -1.0),
    "div": Splitter._of_quotient,
    "where": Splitter._of_choice,
    "reshape": lambda _splitter, _x, _k: [],  # the same numbers one after the other
    "permute": Splitter._of_permute,
    "broadcast_to": lambda splitter, x, k: splitter._copied(splitter._shape(x.args[k]), x.shape),
    "sum": Splitter._of_sum,
    "getitem": Splitter._of_getitem,
    "scatter": Splitter._of_scatter,
    "concat": Splitter._of_concat,
}


class Writing:
    """Writes ways: of arrays whose rows do not meet for one row, else for all rows one after the other."""

    def __init__(self, shapes: Mapping[Symbol, Shape], ways: Sequence[Way], states: Sequence[Shape]) -> None:
        self.shapes = shapes
        factors = [factor for way in ways for factor in way]
        rows = {prod(shape[:-1]) for shape in (*states, *(factor.before for factor in factors))}
        self.by_row = all(factor.keeps_rows for factor in factors) and len(rows) == 1

    def size(self, shape: Shape) -> int:
        """The length of an array's row."""
        return (shape or (1,))[-1] if self.by_row else prod(shape)

    def __call__(self, ways: Sequence[Way], writer: Text, size: int, alike: bool) -> str:
        """The sum of ways to a part of so many numbers, what several share written once; 0 if there is none.

        ``alike``: whether all parts of the state are as large, so that their identity is ``I``.
        """
        terms: dict[tuple[Piece, ...], float] = defaultdict(float)
        for way in ways:
            number, factors = self._written(way, writer)
            terms[factors] += number
        return _Sum(writer, size if alike else None)([(n, factors) for factors, n in terms.items() if n != 0], size)

    def _written(self, way: Way, writer: Text) -> tuple[float, tuple[Piece, ...]]:
        """The number before a product, and its factors."""
        number, factors = 1.0, list[Piece]()
        for kind, group in groupby(self._merged(way), lambda factor: (factor.kind, isinstance(factor.x, float))):
            for factor in self._multiplied(list(group)) if kind == ("diag", False) else group:
                x, ends = factor.x, (self.size(factor.before), self.size(factor.after))
                if isinstance(x, Apply) and x.op == "neg":
                    number, x = -number, x.args[0]
                if isinstance(x, float):
                    number *= x
                elif factor.kind == "diag":
                    name = r"\operatorname{diag}" if isinstance(writer, Latex) else "diag"
                    factors.append(Piece(name + writer.bracket(writer(self._fit(x, factor.before))), *ends))
                elif factor.kind == "matrix":
                    factors.append(Piece(writer.inside(x, POWER), *ends))
                else:
                    factors.append(Piece(writer.mapping(x, factor.before), *ends))
        return number, tuple(factors)

    def _merged(self, way: Way) -> Way:
        """A product with a matrix that is not of one row is an operation; of those in a row one is made."""
        numbers = [factor for factor in way if isinstance(factor.x, float)]  # in front: they commute
        found: list[Factor] = []
        for factor in (factor for factor in way if not isinstance(factor.x, float)):
            if factor.kind == "matrix" and not self.by_row and prod(factor.before[:-1]) != 1:
                factor = replace(factor, kind="map", x=Apply("@", (ROW, factor.x), {}, factor.after))
            if factor.kind == "map" and found and found[-1].kind == "map" and found[-1].after == factor.before:
                before = found.pop()
                factor = replace(factor, x=_put_in(factor.x, before.x), before=before.before)
            found.append(factor)
        return (*numbers, *found)

    def _multiplied(self, factors: Sequence[Factor]) -> list[Factor]:
        """Elementwise products that follow one another are one."""
        return [replace(factors[0], x=times([factor.x for factor in factors], factors[0].before))]

    def _fit(self, x: Expression, shape: Shape) -> Expression:
        own = shape_of(x, self.shapes)
        same = own[-1:] == shape[-1:] if self.by_row else prod(own) == prod(shape)
        shape = (1, *shape[-1:]) if self.by_row else shape
        return x if same else Apply("broadcast_to", (x,), {"shape": shape}, shape)


class Piece(NamedTuple):
    """A matrix as it is written, and its size."""

    text: str
    rows: int
    columns: int


Term = tuple[float, tuple[Piece, ...]]


@dataclass(frozen=True)
class _Sum:
    """Writes sums of products of matrices; ``usual``: the size of the identity that is called I."""

    writer: Text
    usual: int | None

    def __call__(self, terms: Sequence[Term], size: int) -> str:
        """The sum, between matrices of so many columns and rows."""
        writer, text = self.writer, ""
        for number, factors in self._shared(terms):
            product = writer.matmul.join(piece.text for piece in factors) or self._identity(size)
            product = product if abs(number) == 1 else f"{writer(abs(number))}{writer.scaled}{product}"
            text += (writer.minus if text else "-") if number < 0 else writer.plus if text else ""
            text += product
        return text or "0"

    def _identity(self, size: int) -> str:
        return "I" if size == self.usual else self.writer(_eye(size))

    def _shared(self, terms: Sequence[Term]) -> Sequence[Term]:
        """Fewer terms: those that begin or end with the same factors are one, whichever way is shorter to write."""
        if len(terms) < 2:
            return terms
        backwards = [(number, _turned(factors)) for number, factors in terms]
        written = [terms, self._grouped(terms, list)]
        written.append([(n, _turned(factors)) for n, factors in self._grouped(backwards, _turned)])
        return min(written, key=lambda found: sum(len(piece.text) for _, factors in found for piece in factors))

    def _grouped(self, terms: Sequence[Term], order: Callable[[Sequence[Piece]], Sequence[Piece]]) -> Sequence[Term]:
        """Terms that begin alike put together, and of these the ones that go on alike; ``order``: to write them in."""
        groups: dict[Piece, list[Term]] = defaultdict(list)
        for number, factors in terms:
            if not factors:
                return terms
            groups[factors[0]].append((number, factors))
        if len(groups) == len(terms):
            return terms
        end = terms[0][1][-1].columns
        rests: dict[tuple[Piece, ...], list[Term]] = defaultdict(list)
        for group in groups.values():
            (number, first), *others = group
            if not others:
                rests[first[1:]].append((number, first[:1]))
                continue
            alike = 1
            while all(len(f) > alike and f[alike] == first[alike] for _, f in group):
                alike += 1
            middle = first[alike - 1].columns
            rest = self([(n, tuple(order(factors[alike:]))) for n, factors in group], middle)
            rests[(Piece(self.writer.bracket(rest), middle, end),)].append((1.0, first[:alike]))
        found: list[Term] = []
        for left, heads in rests.items():
            if len(heads) == 1 or not left:
                found += [(number, head + left) for number, head in heads]
            else:
                start = heads[0][1][0].rows
                added = self([(number, tuple(order(head))) for number, head in heads], start)
                found.append((1.0, (Piece(self.writer.bracket(added), start, left[0].rows), *left)))
        return found


def _turned(factors: Sequence[Piece]) -> tuple[Piece, ...]:
    """A product from its end, for looking at; each matrix is written as it was."""
    return tuple(Piece(piece.text, piece.columns, piece.rows) for piece in factors[::-1])


def _put_in(x: Expression, row: Expression) -> Expression:
    """A formula with ``row`` for the row."""
    if isinstance(x, Apply):
        return Apply(x.op, tuple(_put_in(a, row) for a in x.args), x.attrs, x.shape)
    return row if x == ROW else x


def _eye(size: int) -> Expression:
    return Apply("eye", (float(size),), {}, (size, size))


def _ones(rows: int, columns: int) -> Expression:
    return Apply("ones", (), {"shape": (rows, columns)}, (rows, columns))


def _cut(matrix: Expression, shape: Shape, axis: int, start: int, stop: int) -> Expression:
    """Some rows of a matrix, or some columns."""
    if isinstance(matrix, Apply) and matrix.op == "permute":  # rows of W.T are columns of W
        inner = _cut(matrix.args[0], shape[::-1], 1 - axis, start, stop)
        return e.turned(inner, (1, 0), _shortened(shape, axis, stop - start))
    index = (slice(start, stop),) if axis == 0 else (Ellipsis, slice(start, stop))
    if axis == 1 and isinstance(matrix, Apply) and matrix.op == "getitem" and len(matrix.attrs["index"]) == 1:
        index, matrix = (*matrix.attrs["index"], slice(start, stop)), matrix.args[0]  # columns of some rows
    return Apply("getitem", (matrix,), {"index": index}, _shortened(shape, axis, stop - start))


def _shortened(shape: Shape, axis: int, size: int) -> Shape:
    return (size, shape[1]) if axis == 0 else (shape[0], size)


def _is_last(x: Apply) -> bool:
    return x.attrs["axis"] % len(x.shape) == len(x.shape) - 1


def _keeps_order(shape: Shape, axes: Sequence[int]) -> bool:
    """Whether turning leaves the elements one after the other as they were."""
    moved = [axis for axis in axes if shape[axis] != 1]
    return moved == sorted(moved)


def _last_cut(index: Sequence[object], shape: Shape) -> tuple[int, int] | None:
    """The columns that are picked, if nothing else is: ``[..., 3:6]`` or ``[:, 3:6]``."""
    *others, last = index
    rest = all(other is Ellipsis or other == slice(None) for other in others)
    reaches = Ellipsis in others or len(index) == len(shape)
    if not rest or not reaches or not isinstance(last, slice) or last.step not in (None, 1):
        return None
    start, stop, _ = last.indices(shape[-1])
    return start, stop
