"""Names from the user's source: the variables that values are put into, and the texts of what operators read.

An instruction knows the place of its expression in the file; the file's syntax tree says what stands around it.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby, pairwise
from operator import itemgetter
from types import CodeType
from typing import NamedTuple

from .source_line import Foreign
from .tensors import Tensor

LONGEST = 22  #: characters of an operand's text that are told
_TWICE = r"\((?:[^()]|\([^()]*\))*\)"
#: of an array that is made a tensor in place, also by a function of the program, the array is meant
MADE = re.compile(rf"(?:\w+\.)?(?:tensor|as_tensor|asarray|array)\((.*)\)|\w+\(((?:[^()]|{_TWICE})*)\)")

Computation = ast.expr | ast.AugAssign
LISTS = ast.Tuple | ast.List


class Expression(NamedTuple):
    """The place where a value was computed: the function, and lines and columns of the expression in its file."""

    code: CodeType
    line: int
    last_line: int
    column: int
    end: int

    @classmethod
    def at(cls, code: CodeType, instruction: int) -> Expression:
        """The expression of an instruction; where Python kept no columns, the instruction stands for them."""
        line, last_line, column, end = _positions(code)[instruction // 2]
        if line is None or last_line is None or column is None or end is None:
            return cls(code, line or 0, -1, instruction, instruction)
        return cls(code, line, last_line, column, end)


@lru_cache(maxsize=256)
def _positions(code: CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return list(code.co_positions())


class Program:
    """The text of a file and its syntax tree: the expressions by place, and what each belongs to."""

    def __init__(self, text: str) -> None:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):  # a notebook's cell with a command
            tree = ast.Module([], [])
        self._lines = [line.encode() for line in text.splitlines()]
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        found = [node for node in self.parents if isinstance(node, Computation)]
        self._by_place = {(n.lineno, n.end_lineno, n.col_offset, n.end_col_offset): n for n in reversed(found)}
        # an instruction that calls a method begins at the method's name, if that is on a line of its own
        self._by_end = {(n.end_lineno, n.end_col_offset): n for n in reversed(found) if isinstance(n, ast.Call)}
        self._before: dict[Computation, list[ast.Call]] = {}
        self._variables: dict[Computation, list[str | None]] = {}
        calls = [n for n in found if isinstance(n, ast.Call) and self._targets(n)]
        self._named_calls = sorted(calls, key=lambda n: (n.end_lineno, n.end_col_offset), reverse=True)

    def computation(self, place: Expression) -> Computation | None:
        """The expression, or the augmented assignment, at a place."""
        return self._by_place.get(place[1:]) or self._by_end.get((place.last_line, place.end))

    def _targets(self, node: Computation) -> list[ast.expr]:
        parent = self.parents[node]
        if isinstance(parent, ast.Assign) and node is parent.value:
            return parent.targets
        if isinstance(parent, (ast.AnnAssign, ast.NamedExpr)) and node is parent.value:
            return [parent.target]
        return []

    def variables(self, node: Computation) -> list[str | None]:
        """The variables that a value, or the several that it consists of, are put into."""
        if node not in self._variables:
            each = self._targets(node)
            several = next((target.elts for target in each if isinstance(target, LISTS)), each[:1])
            self._variables[node] = [x.id if isinstance(x, ast.Name) and x.id != "_" else None for x in several]
        return self._variables[node]

    def variable(self, node: Computation) -> str | None:
        """The variable that a value is put into, also as one of several (``i, f = g(a), g(b)``)."""
        parent = self.parents[node]
        if isinstance(node, ast.AugAssign):
            return node.target.id if isinstance(node.target, ast.Name) else None
        if isinstance(parent, ast.IfExp) and node is not parent.test:
            return self.variable(parent)
        if isinstance(parent, LISTS):
            names = self.variables(parent)
            return names[parent.elts.index(node)] if len(names) == len(parent.elts) else None
        names = self.variables(node)
        return names[0] if len(names) == 1 else None

    def unpacked(self, node: Computation) -> list[str | None]:
        """The variables that the values of a comprehension are put into, each of which this expression makes."""
        made = self.parents[node]
        return self.variables(made) if isinstance(made, (ast.GeneratorExp, ast.ListComp)) and node is made.elt else []

    def returned(self, node: Computation) -> tuple[int, int] | None:
        """Of an expression whose value a function returns at once: its place among those returned, their number."""
        parent = self.parents[node]
        if isinstance(parent, ast.Return):
            return 0, 1
        if isinstance(parent, ast.Tuple) and isinstance(self.parents[parent], ast.Return):
            return parent.elts.index(node), len(parent.elts)  # type: ignore[arg-type]
        return None

    def calls_before(self, node: Computation) -> list[ast.Call]:
        """The calls of the same function whose results are put into variables, from an expression backwards."""
        if node not in self._before:
            start, inside = (node.lineno, node.col_offset), self._function(node)
            calls = (n for n in self._named_calls if (n.end_lineno or 0, n.end_col_offset or 0) <= start)
            self._before[node] = [n for n in calls if self._function(n) is inside]
        return self._before[node]

    def _function(self, node: ast.AST) -> ast.AST | None:
        while (above := self.parents.get(node)) and not isinstance(above, (ast.FunctionDef, ast.Lambda)):
            node = above
        return above

    def operands(self, node: Computation) -> tuple[str, ...]:
        """The texts of both operands of an operator, where they are short; () of anything else."""
        if isinstance(node, ast.BinOp):
            texts = [self._short(x) for x in (node.left, node.right)]
        elif isinstance(node, ast.AugAssign):
            texts = [self._short(x) for x in (node.target, node.value)]
        else:
            return ()
        return tuple(texts) if all(texts) else ()

    def _short(self, node: ast.expr) -> str:
        line = self._lines[node.lineno - 1] if node.lineno == node.end_lineno else b""
        text = line[node.col_offset : node.end_col_offset].decode()
        if (inner := MADE.fullmatch(text)) is not None:
            text = inner[1] or inner[2] or text
        if len(text) > LONGEST:
            text = re.sub(r"\(.*\)", "(...)", text)
        return text.replace(" - ", " − ") if len(text) <= LONGEST else ""


_parsed = lru_cache(maxsize=32)(Program)


def _program(filename: str) -> Program:
    linecache.checkcache(filename)
    return _parsed("".join(linecache.getlines(filename)))


def variables(tensors: Sequence[Tensor]) -> tuple[dict[int, str], dict[int, Expression]]:
    """Two maps by serial number: the variable that each tensor is put into, and where it was made.

    ``tensors``: in the order of their making.
    """
    places = [(x.serial, x._made_at) for x in tensors if x._made_at is not None]
    said = {serial: p.variable for serial, p in places if isinstance(p, Foreign) and p.variable}
    known: dict[tuple[int, int], Expression] = {}  # a code object's own hash goes through all its constants
    for _, p in places:
        if not isinstance(p, Foreign) and (id(p[0]), p[1]) not in known:
            known[id(p[0]), p[1]] = Expression.at(*p)
    made = [(serial, known[id(p[0]), p[1]]) for serial, p in places if not isinstance(p, Foreign)]
    last = (each for each, after in pairwise([*made, (0, None)]) if each[1] != after[1])  # of one call's values
    names, learned = _variables_of(made), {x.serial for x in tensors if x.op is None and x.requires_grad}
    for (before, place), (serial, after) in pairwise(reversed(made)):  # all parameters of a layer have the layer's
        if place is after and before in names and {before, serial} <= learned:
            names.setdefault(serial, names[before])
    return said | names, dict(last)  # type: ignore[arg-type]


def _variables_of(made: Sequence[tuple[int, Expression]]) -> dict[int, str]:
    """The variables that values are put into, by their serial numbers: by the expression, or a call of its function.

    ``made``: where each value was computed, in that order. Of several at one place without a name for each, all belong
    to a call of a library, which returns the last.
    """
    program, found, counts = cache(_program), dict[int, str | None](), Counter[Expression]()
    pending = list[tuple[int, CodeType, tuple[int, int]]]()  #: value, function, and which of how many it returns
    for place, run in groupby(made, key=itemgetter(1)):
        serials, file = [serial for serial, _ in run], program(place.code.co_filename)
        if (node := file.computation(place)) is None:
            continue
        waiting = [each for each in pending if each[1] is not place.code]
        calls, last = (file.calls_before(node) if waiting else []), len(made)
        for value, function, (which, count) in reversed(waiting):
            calls = calls[which >= last :]  # else of the same call as the value after it
            fits = (k for k, x in enumerate(calls) if len(file.variables(x)) == count and _mentions(x, function))
            if (first := next(fits, None)) is not None:
                calls, last = calls[first:], which
                found.setdefault(value, file.variables(calls[0])[which])
        if waiting:
            pending = []
        if (item := file.returned(node)) is not None:
            pending.append((serials[-1], place.code, item))
        names = file.unpacked(node) or (file.variables(node) if isinstance(node, ast.expr) else [])
        if name := file.variable(node):
            found[serials[-1]] = name
        elif len(serials) == len(names):
            found |= zip(serials, names, strict=True)
        elif file.unpacked(node):
            found[serials[-1]] = names[counts[place] % len(names)]
            counts[place] += 1
    return {serial: name for serial, name in found.items() if name}


def _mentions(call: ast.Call, function: CodeType) -> bool:
    return any(function.co_name in (getattr(n, "id", None), getattr(n, "attr", None)) for n in ast.walk(call))


def constants(tensors: Mapping[int, Tensor], made: Mapping[int, Expression]) -> Iterator[tuple[int, str]]:
    """Serial numbers of constants that operators read, and what stands for them in the program: ``m``, ``1 - m``."""
    program = cache(_program)
    for serial, place in made.items():
        file, operands = program(place.code.co_filename), tensors[serial].operands
        if len(operands) == 2 and (node := file.computation(place)) is not None:
            for x, text in zip(operands, file.operands(node), strict=False):
                if isinstance(x, Tensor) and x.op is None and not x.requires_grad:
                    yield x.serial, text
