"""Names of values that a function returns without a name: those of the variables that the caller puts them into."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from types import CodeType
from typing import Any


def returned(made: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, str]]:
    """Pairs of the serial number of a returned value and the variable that it is put into.

    ``made``: in the order of computation, serial numbers and places, each a code object and an instruction of it. Calls
    that were made before an instruction are matched with the last calls of these functions that stand before it.
    """
    pending = list[tuple[int, CodeType, tuple[int, int]]]()  #: value, function, and which of how many it returns
    for serial, place in made:
        code, instruction = place or (None, 0)
        if not isinstance(code, CodeType):
            continue
        waiting = [each for each in pending if each[1] is not code]
        stores = _stores(code)
        for value, function, (which, count) in reversed(waiting):
            before = [s for s in stores if s[0] < instruction and s[1] == function.co_name and len(s[2]) == count]
            if before:
                yield value, before[-1][2][which]
                stores = [s for s in stores if s[0] < before[-1][0]]
        if waiting:
            pending = []
        if (item := _returns(code).get(instruction)) is not None:
            pending.append((serial, code, item))


@lru_cache(maxsize=256)
def _returns(code: CodeType) -> dict[int, tuple[int, int]]:
    """For each instruction whose result is returned at once: its position among the returned values, their count."""
    lines, found = list(dis.get_instructions(code)), dict[int, tuple[int, int]]()
    for at, line in enumerate(lines[:-1]):
        loads = list(takewhile(lambda x: x.opname.startswith("LOAD_FAST"), lines[at + 1 :]))
        after, end = sum(x.opname.count("LOAD") for x in loads), lines[at + 1 + len(loads) : at + 3 + len(loads)]
        names, item = [x.opname for x in end], None
        if not loads and names[:1] == ["RETURN_VALUE"]:
            item = 0, 1
        elif names == ["BUILD_TUPLE", "RETURN_VALUE"] and after < int(end[0].arg or 0):
            item = int(end[0].arg or 0) - 1 - after, int(end[0].arg or 0)
        if item is not None:  # with what a call keeps behind
            found |= dict.fromkeys(range(line.offset, lines[at + 1].offset), item)
    return found


@lru_cache(maxsize=256)
def _stores(code: CodeType) -> list[tuple[int, str, tuple[str, ...]]]:
    """The calls whose results are put into variables: the instruction, the function's name, the variables."""
    lines, found, start = list(dis.get_instructions(code)), list[tuple[int, str, tuple[str, ...]]](), 0
    for at, line in enumerate(lines[:-1]):
        several = line.opname.startswith("CALL") and lines[at + 1].opname == "UNPACK_SEQUENCE"
        after = list(takewhile(lambda x: x.opname.startswith("STORE_"), lines[at + 1 + several :]))
        if line.opname.startswith("CALL") and after and all(isinstance(x.argval, str) for x in after):
            names = [x.argval for x in lines[start:at] if x.opname.startswith("LOAD") and isinstance(x.argval, str)]
            variables = tuple(x.argval for x in (after if several else after[:1]))
            found += [(line.offset, name, variables) for name in names]
        if line.opname.startswith("STORE_"):
            start = at + 1
    return found
