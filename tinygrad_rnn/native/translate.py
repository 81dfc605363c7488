"""Translation: a Python function of numbers and plain runs of memory, as LLVM's intermediate language.

A small part of Python, typed by what a function is called with, is all that kernels and instructions are written in:
`range`, ``while``, ``if``, arithmetic, arrays with ``size``, elements and slices, calls of functions like themselves.
Everything called is translated in place, so one function comes out, and LLVM sees all of it. What a variable holds
first is its type for good. Both sides of ``and``, ``or`` and of a conditional expression are computed, unless there is
a call to the C library in one: so must they be free of other effects, and loops over them vectorise. ``//`` and ``%``
are for what is not negative. Numbers divide and compare as IEEE's do, nothing raises, no index is checked.

Numba does all of this and much more, in ten times the time: a program needs some 25 functions, and a first training
step waits for them.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

INT, BYTE, BOOL, VOID = ir.IntType(64), ir.IntType(8), ir.IntType(1), ir.VoidType()
#: by NumPy's character, what an element is
ELEMENTS: dict[str, Any] = {
    "f": ir.FloatType(), "d": ir.DoubleType(), "l": INT, "B": BYTE, "h": ir.IntType(16), "i": ir.IntType(32),
}  # fmt: skip
_SIZES = {"f": 4, "d": 8, "l": 8, "B": 1, "h": 2, "i": 4}
_OF_FLOATS = {np.float32: "f", np.float64: "d"}


class Number(NamedTuple):
    """A value of one type."""

    value: Any


class Run(NamedTuple):
    """So many elements in a row, somewhere in memory."""

    kind: str  #: NumPy's character
    start: Any
    size: Any

    @property
    def element(self) -> Any:
        return ELEMENTS[self.kind]


class Kind(NamedTuple):
    """What elements are, where no element is meant: ``x.dtype``, ``x.dtype.type``."""

    kind: str


class Array(NamedTuple):
    """That a parameter is an array."""

    kind: str


@dataclass(frozen=True)
class Symbol:
    """A function from elsewhere, which takes integers and returns nothing."""

    name: str

    def __call__(self, *_arguments: Any) -> None:
        raise NotImplementedError(f"{self.name} is for what is compiled")


@dataclass(frozen=True)
class Builtin:
    """A function that only the translation knows: see the methods of `_Translation` of that name."""

    name: str

    def __call__(self, *_arguments: Any) -> Any:
        raise NotImplementedError(f"{self.name} is for what is compiled")


#: ``at(address, n, like)``: n elements of the type of ``like``; the same of integers, of bytes
at, integers, octets = Builtin("at"), Builtin("integers"), Builtin("octets")
#: ``itemsize(like)``: bytes of an element
itemsize = Builtin("itemsize")
#: ``call(address, row, tile, n)``: what the instruction at an address answers
call = Builtin("call")


def any_order(function: Any) -> Any:
    """Let a function add up in any order, so that its loops vectorise."""
    function.any_order = True
    return function


def bits_as_float32(bits: Any) -> Any:
    """The float32 whose bits are those of an int32."""
    return bits.view(np.float32)


def bits_as_float64(bits: Any) -> Any:
    """The float64 whose bits are those of an int64."""
    return bits.view(np.float64)


def translate(function: Any, symbol: str, arguments: tuple[Any, ...]) -> str:
    """A module with one function.

    Args:
        function: in Python.
        symbol: the name it gets.
        arguments: for each parameter an `Array` (passed as address and size), "int", "row" (the address of integers),
            or a value that is known.

    It returns an integer, 0 if the Python function returns nothing.
    """
    return _Translation(symbol, arguments).module_of(function)


@cache
def _tree(filename: str) -> dict[tuple[str, int], ast.FunctionDef]:
    found: dict[tuple[str, int], ast.FunctionDef] = {}
    for node in ast.walk(ast.parse("".join(linecache.getlines(filename)))):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[node.name, first] = node
    return found


def _definition(function: FunctionType) -> ast.FunctionDef:
    code = function.__code__
    return _tree(code.co_filename)[code.co_name, code.co_firstlineno]


class _Frame:
    """A function that is being translated: its names, and where its ``return`` goes."""

    def __init__(self, function: FunctionType, exit_block: Any) -> None:
        closed = function.__closure__ or ()
        self.names: dict[str, Any] = {**vars(builtins), **function.__globals__}
        self.names |= dict(zip(function.__code__.co_freevars, (cell.cell_contents for cell in closed)))
        self.slots: dict[str, Any] = {}
        self.known: dict[str, Any] = {}  #: parameters that are never assigned to, and so need no slot
        self.exit = exit_block
        self.result: Any = None
        self.loops: list[tuple[Any, Any]] = []  #: where ``continue`` and ``break`` go


class _Translation:
    def __init__(self, symbol: str, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments
        self.module = ir.Module(symbol)
        self.module.triple = ""
        types: list[Any] = []
        for x in arguments:
            types += [INT, INT] if isinstance(x, Array) else [INT] if x in ("int", "row") else []
        self.function = ir.Function(self.module, ir.FunctionType(INT, types), symbol)
        self.entry, body = self.function.append_basic_block("entry"), self.function.append_basic_block("body")
        self.build = ir.IRBuilder(body)
        self.top = ir.IRBuilder(self.entry)
        self.scratch: list[Any] = []
        self.flags: tuple[str, ...] = ("contract",)
        self.frame: Any = None
        self.body = body

    def module_of(self, function: Any) -> str:
        given: list[Any] = []
        remaining = iter(self.function.args)
        for x in self.arguments:
            if isinstance(x, Array):
                given.append(self._builtin_at(Number(next(remaining)), Number(next(remaining)), x))
            elif x == "row":
                given.append(self._builtin_integers(Number(next(remaining)), 0))
            else:
                given.append(Number(next(remaining)) if x == "int" else x)
        result = self.inlined(function, given)
        for slot in self.scratch:
            self._c_function("free", VOID, BYTE.as_pointer())(self.build.load(slot))
        self.build.ret(ir.Constant(INT, 0) if result is None else self.value(result, INT))
        self.top.branch(self.body)
        return str(self.module)

    # Functions -------------------------------------------------------------------------------------------

    def inlined(self, function: Any, given: list[Any]) -> Any:
        """What a call gives, translated here."""
        function = getattr(function, "__wrapped__", function)
        definition = _definition(function)
        statements = definition.body
        returns = [node for node in ast.walk(definition) if isinstance(node, ast.Return)]
        at_end = len(returns) == 1 and returns[0] is statements[-1]
        outer, flags = self.frame, self.flags
        frame = self.frame = _Frame(function, None if at_end or not returns else self._block())
        self.flags = ("contract", "reassoc") if getattr(function, "any_order", False) else ("contract",)
        assigned = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name) and _stored(node)}
        for parameter, x in zip(definition.args.args, given, strict=True):
            if parameter.arg in assigned:
                self._assign_name(parameter.arg, x)
            else:
                frame.known[parameter.arg] = x
        self._statements(statements[:-1] if at_end else statements)
        if at_end:
            result = None if statements[-1].value is None else self.expression(statements[-1].value)  # type: ignore[attr-defined]
        else:
            result = self._joined(frame)
        self.frame, self.flags = outer, flags
        return result

    def _joined(self, frame: _Frame) -> Any:
        if frame.exit is None:
            return None
        if not self.build.block.is_terminated:
            self.build.branch(frame.exit)
        self.build.position_at_end(frame.exit)
        return None if frame.result is None else self._read(frame.result)

    def _read(self, slot: Any) -> Any:
        if isinstance(slot, tuple) and not isinstance(slot, Run):
            return tuple(map(self._read, slot))
        if isinstance(slot, Run):
            return Run(slot.kind, self.build.load(slot.start), self.build.load(slot.size))
        return Number(self.build.load(slot))

    def _slot_for(self, x: Any) -> Any:
        if isinstance(x, tuple) and not isinstance(x, (Run, Number, Kind)):
            return tuple(map(self._slot_for, x))
        if isinstance(x, Run):
            return Run(x.kind, self.top.alloca(x.element.as_pointer()), self.top.alloca(INT))
        return self.top.alloca(self.number(x).type)

    def _write(self, slot: Any, x: Any) -> None:
        if isinstance(slot, Run):
            assert isinstance(x, Run) and x.kind == slot.kind
            self.build.store(x.start, slot.start)
            self.build.store(x.size, slot.size)
        elif isinstance(slot, tuple):
            for each, part in zip(slot, x, strict=True):
                self._write(each, part)
        else:
            self.build.store(self.value(x, slot.type.pointee), slot)

    # Statements ------------------------------------------------------------------------------------------

    def _statements(self, nodes: list[Any]) -> None:
        for node in nodes:
            if self.build.block.is_terminated:
                return
            getattr(self, f"_do_{type(node).__name__.lower()}")(node)

    def _block(self) -> Any:
        return self.function.append_basic_block()

    def _do_expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.expression(node.value)

    def _do_pass(self, _node: ast.Pass) -> None: ...

    def _do_return(self, node: ast.Return) -> None:
        frame = self.frame
        if node.value is not None:
            x = self.expression(node.value)
            if frame.result is None:
                frame.result = self._slot_for(x)
            self._write(frame.result, x)
        self.build.branch(frame.exit)

    def _do_assign(self, node: ast.Assign) -> None:
        x = self.expression(node.value)
        for target in node.targets:
            self._assign(target, x)

    def _do_augassign(self, node: ast.AugAssign) -> None:
        before = self.expression(node.target)
        self._assign(node.target, self._arithmetic(type(node.op).__name__, before, self.expression(node.value)))

    def _assign(self, target: ast.expr, x: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, each in zip(target.elts, x, strict=True):
                self._assign(part, each)
        elif isinstance(target, ast.Subscript):
            run = self.expression(target.value)
            if isinstance(target.slice, ast.Slice):
                self._fill(self._slice(run, target.slice), x)
            else:
                self.build.store(self.value(x, run.element), self._address(run, self.expression(target.slice)))
        else:
            assert isinstance(target, ast.Name)
            self._assign_name(target.id, x)

    def _assign_name(self, name: str, x: Any) -> None:
        if name not in self.frame.slots:
            self.frame.slots[name] = self._slot_for(x)
        self._write(self.frame.slots[name], x)

    def _do_if(self, node: ast.If) -> None:
        test = self.truth(self.expression(node.test))
        if isinstance(test, bool):
            self._statements(node.body if test else node.orelse)
            return
        yes, no, after = self._block(), self._block(), self._block()
        self.build.cbranch(test, yes, no)
        for block, body in ((yes, node.body), (no, node.orelse)):
            self.build.position_at_end(block)
            self._statements(body)
            if not self.build.block.is_terminated:
                self.build.branch(after)
        self.build.position_at_end(after)

    def _do_while(self, node: ast.While) -> None:
        head, body, after = self._block(), self._block(), self._block()
        self.build.branch(head)
        self.build.position_at_end(head)
        self.build.cbranch(self._bit(self.expression(node.test)), body, after)
        self.build.position_at_end(body)
        self._looped(node.body, head, after)
        self.build.position_at_end(after)

    def _looped(self, body: list[Any], again: Any, after: Any) -> None:
        self.frame.loops.append((again, after))
        self._statements(body)
        self.frame.loops.pop()
        if not self.build.block.is_terminated:
            self.build.branch(again)

    def _do_continue(self, _node: ast.Continue) -> None:
        self.build.branch(self.frame.loops[-1][0])

    def _do_break(self, _node: ast.Break) -> None:
        self.build.branch(self.frame.loops[-1][1])

    def _do_for(self, node: ast.For) -> None:
        over = node.iter
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
            bounds = [self.expression(x) for x in over.args]
            start, stop = (0, bounds[0]) if len(bounds) == 1 else bounds[:2]
            with self._counting(start, stop, bounds[2] if len(bounds) == 3 else 1) as (index, again, after):
                self._assign(node.target, Number(index))
                self._looped(node.body, again, after)
            return
        run = self.expression(over)
        with self._counting(0, Number(run.size), 1) as (index, again, after):
            self._assign(node.target, Number(self.build.load(self._address(run, Number(index)))))
            self._looped(node.body, again, after)

    @contextmanager
    def _counting(self, start: Any, stop: Any, step: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Around the body of a loop, which jumps to the second it is given."""
        begin, end, by = (self.value(x, INT) for x in (start, stop, step))
        counter = self.top.alloca(INT)
        self.build.store(begin, counter)
        head, body, again, after = (self._block() for _ in range(4))
        self.build.branch(head)
        self.build.position_at_end(head)
        index = self.build.load(counter)
        down = isinstance(step, int) and step < 0
        self.build.cbranch(self.build.icmp_signed(">" if down else "<", index, end), body, after)
        self.build.position_at_end(body)
        yield index, again, after
        self.build.position_at_end(again)
        self.build.store(self.build.add(self.build.load(counter), by, flags=["nsw"]), counter)
        self.build.branch(head)
        self.build.position_at_end(after)

    def _fill(self, run: Run, x: Any) -> None:
        value = self.value(x, run.element)
        with self._counting(0, Number(run.size), 1) as (index, again, _):
            self.build.store(value, self._address(run, Number(index)))
            self.build.branch(again)

    # Expressions -----------------------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Any:
        """A Python value that is known, or a `Number`, `Run`, `Kind` or tuple of them."""
        return getattr(self, f"_{type(node).__name__.lower()}")(node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        frame = self.frame
        if node.id in frame.slots:
            return self._read(frame.slots[node.id])
        return frame.known[node.id] if node.id in frame.known else frame.names[node.id]

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.expression(x) for x in node.elts)

    def _attribute(self, node: ast.Attribute) -> Any:
        x = self.expression(node.value)
        if node.attr in ("dtype", "type", "ctypes") and isinstance(x, (Run, Kind)):
            return x if node.attr == "ctypes" else Kind(x.kind)
        if isinstance(x, Run):
            return Number(x.size if node.attr == "size" else self.build.ptrtoint(x.start, INT))
        return getattr(x, node.attr)

    def _subscript(self, node: ast.Subscript) -> Any:
        x = self.expression(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._slice(x, node.slice)
        index = self.expression(node.slice)
        return Number(self.build.load(self._address(x, index))) if isinstance(x, Run) else x[index]

    def _slice(self, run: Run, part: ast.Slice) -> Run:
        if part.lower is None and part.upper is None:
            return run
        first = ir.Constant(INT, 0) if part.lower is None else self.value(self.expression(part.lower), INT)
        last = run.size
        if part.upper is not None:
            wanted = self.value(self.expression(part.upper), INT)
            last = self.build.select(self.build.icmp_signed("<", wanted, run.size), wanted, run.size)
        return Run(run.kind, self._address(run, Number(first)), self.build.sub(last, first, flags=["nsw"]))

    def _address(self, run: Run, index: Any) -> Any:
        return self.build.gep(run.start, [self.value(index, INT)], inbounds=True)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        x = self.expression(node.operand)
        if isinstance(node.op, ast.Not):
            test = self.truth(x)
            return not test if isinstance(test, bool) else Number(self.build.not_(test))
        if not isinstance(x, Number):
            return -x
        return Number(self.build.neg(x.value) if _whole(x.value) else self.build.fneg(x.value, flags=self.flags))

    def _binop(self, node: ast.BinOp) -> Any:
        return self._arithmetic(type(node.op).__name__, self.expression(node.left), self.expression(node.right))

    def _arithmetic(self, name: str, left: Any, right: Any) -> Any:
        if not isinstance(left, Number) and not isinstance(right, Number):
            return _FOLDED[name](left, right)
        a, b = self._alike(left, right)
        if name == "Pow":
            return Number(self._intrinsic("llvm.pow", a, b))
        integer, real = _INSTRUCTIONS[name]
        if _whole(a):
            flags = ["nsw"] if integer in ("add", "sub", "mul") and a.type != BOOL else []
            return Number(getattr(self.build, integer)(a, b, flags=flags))
        return Number(getattr(self.build, real)(a, b, flags=self.flags))

    def _alike(self, left: Any, right: Any) -> tuple[Any, Any]:
        """Two numbers as values of the wider type; what is known adapts to what is not, as far as it is weak."""
        if not isinstance(left, Number) and type(left) in (int, float, bool):
            b = right.value
            return self.value(left, _of(left, b.type)), b if _of(left, b.type) == b.type else self.value(right, INT)
        if not isinstance(right, Number) and type(right) in (int, float, bool):
            b, a = self._alike(right, left)
            return a, b
        a, b = self.number(left), self.number(right)
        wider = max((a.type, b.type), key=_RANK.index)
        return self.value(Number(a), wider), self.value(Number(b), wider)

    def _compare(self, node: ast.Compare) -> Any:
        operands = [self.expression(node.left), *(self.expression(x) for x in node.comparators)]
        result: Any = True
        for op, left, right in zip(node.ops, operands, operands[1:]):
            name = type(op).__name__
            if not isinstance(left, Number) and not isinstance(right, Number):
                found: Any = _FOLDED[name](left, right)
            else:
                a, b = self._alike(left, right)
                sign = _SIGNS[name]
                compared = self.build.icmp_signed if _whole(a) else \
                    self.build.fcmp_unordered if sign == "!=" else self.build.fcmp_ordered  # fmt: skip
                found = Number(compared(sign, a, b))
            result = found if result is True else Number(self.build.and_(self._bit(result), self._bit(found)))
        return result

    def _boolop(self, node: ast.BoolOp) -> Any:
        join = self.build.and_ if isinstance(node.op, ast.And) else self.build.or_
        bits = [self._bit(self.expression(x)) for x in node.values]
        result = bits[0]
        for bit in bits[1:]:
            result = join(result, bit)
        return Number(result)

    def _ifexp(self, node: ast.IfExp) -> Any:
        test = self.truth(self.expression(node.test))
        if isinstance(test, bool):
            return self.expression(node.body if test else node.orelse)
        if self._costs(node.body) or self._costs(node.orelse):
            yes, no, after = self._block(), self._block(), self._block()
            self.build.cbranch(test, yes, no)
            slot: Any = None
            for block, side in ((yes, node.body), (no, node.orelse)):
                self.build.position_at_end(block)
                x = self.expression(side)
                slot = slot or self._slot_for(x)
                self._write(slot, x)
                self.build.branch(after)
            self.build.position_at_end(after)
            return self._read(slot)
        left, right = self.expression(node.body), self.expression(node.orelse)
        known = not isinstance(left, Number) and not isinstance(right, Number)
        a, b = (self.number(left), self.number(right)) if known else self._alike(left, right)
        return Number(self.build.select(test, a, b))

    def _costs(self, node: ast.expr) -> bool:
        """Whether the C library is called."""
        names = (x.func for x in ast.walk(node) if isinstance(x, ast.Call))
        return any(isinstance(x, ast.Attribute) and x.attr in _FROM_C for x in names)

    # Calls -----------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Any:
        called, given = self.expression(node.func), [self.expression(x) for x in node.args]
        if isinstance(called, Builtin):
            return getattr(self, f"_builtin_{called.name}")(*given)
        if isinstance(called, Symbol):
            types = [INT] * len(given)
            return self._c_function(called.name, VOID, *types)(*(self.value(x, INT) for x in given))
        if isinstance(called, Kind):
            return Number(self.value(given[0], ELEMENTS[called.kind]))
        if called in _METHODS:
            return getattr(self, _METHODS[called])(*given)
        return self.inlined(called, given)

    def _builtin_at(self, address: Any, n: Any, like: Any) -> Run:
        pointer = self.build.inttoptr(self.value(address, INT), ELEMENTS[like.kind].as_pointer())
        return Run(like.kind, pointer, self.value(n, INT))

    def _builtin_integers(self, address: Any, n: Any) -> Run:
        return self._builtin_at(address, n, Kind("l"))

    def _builtin_octets(self, address: Any, n: Any) -> Run:
        return self._builtin_at(address, n, Kind("B"))

    def _builtin_itemsize(self, like: Any) -> int:
        return _SIZES[like.kind]

    def _builtin_call(self, address: Any, *given: Any) -> Number:
        kind = ir.FunctionType(INT, [INT] * 4)
        function = self.build.inttoptr(self.value(address, INT), kind.as_pointer())
        return Number(self.build.call(function, [*(self.value(x, INT) for x in given), ir.Constant(INT, 0)]))

    def _largest(self, *given: Any) -> Any:
        return self._chosen(">", max, given)

    def _least(self, *given: Any) -> Any:
        return self._chosen("<", min, given)

    def _chosen(self, sign: str, known: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        if not any(isinstance(x, Number) for x in given):
            return known(*given)
        first, second = self._alike(*given)  # as Python: the first, unless the second is more
        compared = self.build.icmp_signed if _whole(first) else self.build.fcmp_ordered
        return Number(self.build.select(compared(sign, second, first), second, first))

    def _type_of(self, x: Any) -> Any:
        return {ELEMENTS["f"]: np.float32, ELEMENTS["d"]: np.float64}[self.number(x).type]

    def _absolute(self, x: Any) -> Any:
        return Number(self._intrinsic("llvm.fabs", self.number(x)))

    def _is_finite(self, x: Any) -> Any:
        value = self._intrinsic("llvm.fabs", self.number(x))
        return Number(self.build.fcmp_ordered("<", value, ir.Constant(value.type, math.inf)))

    def _floor(self, x: Any) -> Any:
        return Number(self._intrinsic("llvm.floor", self.number(x)))

    def _root(self, x: Any) -> Any:
        return Number(self._intrinsic("llvm.sqrt", self.number(x)))

    def _logarithm(self, x: Any) -> Any:
        return self._from_c("log", x)

    def _logarithm_of_1_and(self, x: Any) -> Any:
        return self._from_c("log1p", x)

    def _hyperbolic(self, x: Any) -> Any:
        return self._from_c("tanh", x)

    def _from_c(self, name: str, x: Any) -> Number:
        value = self.number(x)
        single = value.type == ELEMENTS["f"]
        return Number(self._c_function(name + "f" if single else name, value.type, value.type)(value))

    def _as_float32(self, x: Any) -> Any:
        return Number(self.value(x, ELEMENTS["f"])) if isinstance(x, Number) else np.float32(x)

    def _as_int32(self, x: Any) -> Any:
        return Number(self.value(x, ELEMENTS["i"]))

    def _as_int64(self, x: Any) -> Any:
        return Number(self.value(x, INT))

    def _bits(self, x: Any) -> Any:
        value = self.number(x)
        return Number(self.build.bitcast(value, ELEMENTS["f" if value.type.width == 32 else "d"]))

    def _empty(self, n: Any, dtype: Any) -> Run:
        """Scratch memory: on the stack if its size is known, else freed when the function ends."""
        kind = dtype.kind if isinstance(dtype, Kind) else np.dtype(dtype).char
        if not isinstance(n, Number):
            block = self.top.alloca(ir.ArrayType(ELEMENTS[kind], n))
            return Run(kind, self.top.bitcast(block, ELEMENTS[kind].as_pointer()), ir.Constant(INT, n))
        slot, pointer = self.top.alloca(BYTE.as_pointer()), BYTE.as_pointer()
        self.top.store(ir.Constant(pointer, None), slot)
        self.scratch.append(slot)
        self._c_function("free", VOID, pointer)(self.build.load(slot))
        nbytes = self.build.mul(n.value, ir.Constant(INT, _SIZES[kind]))
        block = self._c_function("malloc", pointer, INT)(self.build.add(nbytes, ir.Constant(INT, 1)))
        self.build.store(block, slot)
        return Run(kind, self.build.bitcast(block, ELEMENTS[kind].as_pointer()), n.value)

    def _full(self, n: Any, value: Any, dtype: Any) -> Run:
        run = self._empty(n, dtype)
        self._fill(run, value)
        return run

    def _c_function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        function = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, arguments), name)
        return lambda *given: self.build.call(function, given)

    def _intrinsic(self, name: str, *given: Any) -> Any:
        return self.build.call(self.module.declare_intrinsic(name, [given[0].type]), given)

    # Values ----------------------------------------------------------------------------------------------

    def number(self, x: Any) -> Any:
        """A value, of its own type."""
        if isinstance(x, Number):
            return x.value
        if isinstance(x, bool):
            return ir.Constant(BOOL, int(x))
        if isinstance(x, int):
            return ir.Constant(INT, x)
        return ir.Constant(ELEMENTS["f" if isinstance(x, np.float32) else "d"], float(x))

    def value(self, x: Any, wanted: Any) -> Any:
        """A value, converted to a type."""
        if not isinstance(x, Number):
            whole = isinstance(wanted, ir.IntType)
            return ir.Constant(wanted, int(x) if whole else float(x))
        value, build = x.value, self.build
        if value.type == wanted:
            return value
        if not _whole(value):
            if isinstance(wanted, ir.IntType):
                return build.fptosi(value, wanted)
            return build.fpext(value, wanted) if wanted == ELEMENTS["d"] else build.fptrunc(value, wanted)
        if not isinstance(wanted, ir.IntType):
            return build.uitofp(value, wanted) if value.type == BOOL else build.sitofp(value, wanted)
        if wanted.width < value.type.width:
            return build.trunc(value, wanted)
        return build.zext(value, wanted) if value.type in (BOOL, BYTE) else build.sext(value, wanted)

    def truth(self, x: Any) -> Any:
        """A bool if it is known, else a bit."""
        if not isinstance(x, Number):
            return bool(x)
        if x.value.type == BOOL:
            return x.value
        zero = ir.Constant(x.value.type, 0)
        return self.build.icmp_signed("!=", x.value, zero) if _whole(x.value) else \
            self.build.fcmp_unordered("!=", x.value, zero)  # fmt: skip

    def _bit(self, x: Any) -> Any:
        test = self.truth(x)
        return ir.Constant(BOOL, int(test)) if isinstance(test, bool) else test


def _stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _whole(value: Any) -> bool:
    return isinstance(value.type, ir.IntType)


def _of(known: Any, other: Any) -> Any:
    """The type in which a number that is known meets one of another type."""
    whole = isinstance(other, ir.IntType)
    return ELEMENTS["d"] if isinstance(known, float) and whole else INT if other == BOOL else other


#: the wider comes later
_RANK = [BOOL, BYTE, *(ELEMENTS[k] for k in "hilfd")]
_INSTRUCTIONS = {
    "Add": ("add", "fadd"), "Sub": ("sub", "fsub"), "Mult": ("mul", "fmul"), "Div": ("", "fdiv"),
    "FloorDiv": ("sdiv", ""), "Mod": ("srem", ""), "LShift": ("shl", ""), "BitOr": ("or_", ""), "BitAnd": ("and_", ""),
}  # fmt: skip
_SIGNS = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}
_FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "Mod": operator.mod,
    "FloorDiv": operator.floordiv, "LShift": operator.lshift, "Pow": operator.pow, "Lt": operator.lt,
    "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Eq": operator.eq, "NotEq": operator.ne,
    "Is": operator.is_, "IsNot": operator.is_not,
}  # fmt: skip
_METHODS: dict[Any, str] = {
    max: "_largest", min: "_least", abs: "_absolute", type: "_type_of", math.isfinite: "_is_finite",
    np.floor: "_floor", np.sqrt: "_root", np.log: "_logarithm", math.log: "_logarithm",
    math.log1p: "_logarithm_of_1_and", math.tanh: "_hyperbolic", np.float32: "_as_float32", np.int32: "_as_int32",
    np.int64: "_as_int64", np.empty: "_empty", np.full: "_full", bits_as_float32: "_bits", bits_as_float64: "_bits",
}  # fmt: skip
_FROM_C = {"log", "log1p", "tanh"}
