"""Names for what a program gives none: constants by their text in the program, values of a comprehension one by one."""

from __future__ import annotations

import dis
import linecache
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import Any

from ..tensors import Tensor
from .student_names import LONGEST

_TWICE = r"\((?:[^()]|\([^()]*\))*\)"
#: of an array that is made a tensor in place, also by a function of the program, the array is meant
MADE = re.compile(rf"(?:\w+\.)?(?:tensor|as_tensor|asarray|array)\((.*)\)|\w+\(((?:[^()]|{_TWICE})*)\)")
COMPREHENSIONS = ("<genexpr>", "<listcomp>")


def constants(tensors: Mapping[int, Tensor], places: Mapping[int, Any]) -> Iterator[tuple[int, str]]:
    """Serial numbers of constants that operators read, and what stands for them in the program: ``m``, ``1 - m``."""
    for serial, (code, instruction) in places.items():
        operands = tensors[serial].operands
        for x, text in zip(operands, operand_texts(code, instruction), strict=False):
            if isinstance(x, Tensor) and x.op is None and not x.requires_grad and len(operands) == 2 and text:
                yield x.serial, text


@lru_cache(maxsize=1024)
def operand_texts(code: CodeType, at: int) -> tuple[str, ...]:
    """The texts of both operands of the operator at an instruction; () if it is none, or its text is not known."""
    lines = list(dis.get_instructions(code))
    position = next((k for k, line in enumerate(lines) if line.offset == at), 0)
    if not lines[position].opname.startswith("BINARY_OP"):
        return ()
    depth, start = 0, position
    for k in range(position - 1, -1, -1):  # back to where only the left operand lies on the stack
        if lines[k].opcode in dis.hasjrel or lines[k].opcode in dis.hasjabs:
            return ()
        depth += dis.stack_effect(lines[k].opcode, lines[k].arg, jump=False)
        if depth == 1:
            start = k
            break
    texts = [_text(code, lines[k]) for k in (start - 1, position - 1)]
    return tuple(texts) if all(texts) else ()


def _text(code: CodeType, line: dis.Instruction) -> str:
    """The program's text of what an instruction makes, if it is short and in one line."""
    at = line.positions
    if at is None or at.lineno is None or at.lineno != at.end_lineno or at.col_offset is None:
        return ""
    source = linecache.getline(code.co_filename, at.lineno).encode()
    text = source[at.col_offset : at.end_col_offset].decode(errors="replace")
    if (inner := MADE.fullmatch(text)) is not None:
        text = inner[1] or inner[2] or text
    if len(text) > LONGEST:
        text = re.sub(r"\(.*\)", "(...)", text)
    return text.replace(" - ", " − ") if len(text) <= LONGEST else ""


def of_comprehensions(made: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, str]]:
    """Serial numbers of values that a comprehension makes, and the variables that these are unpacked into.

    ``made``: in the order they were made, serial numbers and places, each a code object and an instruction of it.
    """
    codes = {place[0]: None for _, place in made}
    names = {inner: stores for code in codes for inner, stores in _unpacked(code)}
    counts = Counter[tuple[CodeType, int]]()
    for serial, (code, instruction) in made:
        if code in names and instruction in _yielded(code):
            yield serial, names[code][counts[code, instruction] % len(names[code])]
            counts[code, instruction] += 1


@lru_cache(maxsize=256)
def _unpacked(code: CodeType) -> list[tuple[CodeType, list[str]]]:
    """The comprehensions in a code object whose values are unpacked at once, and into which variables."""
    lines, found = list(dis.get_instructions(code)), list[tuple[CodeType, list[str]]]()
    for k, line in enumerate(lines):
        if isinstance(line.argval, CodeType) and line.argval.co_name in COMPREHENSIONS:
            unpack = next((j for j in range(k, len(lines)) if lines[j].opname.startswith(("UNPACK", "STORE"))), k)
            stores = [x.argval for x in lines[unpack + 1 : unpack + 1 + int(lines[unpack].arg or 0)]]
            if lines[unpack].opname == "UNPACK_SEQUENCE" and all(isinstance(name, str) for name in stores):
                found.append((line.argval, stores))
    return found


@lru_cache(maxsize=256)
def _yielded(code: CodeType) -> set[int]:
    """The instructions of a comprehension that make its values."""
    lines = list(dis.get_instructions(code))
    return {a.offset for a, b in pairwise(lines) if b.opname in ("YIELD_VALUE", "LIST_APPEND")}
