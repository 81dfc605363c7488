"""Code says what it means: a choice is written as a choice, not as arithmetic; and all of it is used."""

from __future__ import annotations

import ast
import collections
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from sources import parsed

ROOT = Path(__file__).parent.parent


def is_condition(x: ast.expr) -> bool:
    called = x.func.id if isinstance(x, ast.Call) and isinstance(x.func, ast.Name) else ""
    return (
        isinstance(x, ast.Compare | ast.BoolOp)
        or (isinstance(x, ast.UnaryOp) and isinstance(x.op, ast.Not))
        or called in ("bool", "any", "all", "isinstance")
    )


def is_written_out(x: ast.expr) -> bool:
    constant = isinstance(x, ast.Constant) and isinstance(x.value, str | bytes)
    return constant or isinstance(x, ast.List | ast.Tuple | ast.JoinedStr)


def tricks(text: str) -> list[str]:
    """``[x] * condition``, ``"ab"[condition]``, ``(do(), x)[1]``."""
    found = []
    for node in ast.walk(parsed(text)):
        multiplied = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
        if multiplied and is_written_out(node.left) and is_condition(node.right):
            found.append(ast.unparse(node))
        if isinstance(node, ast.Subscript) and is_written_out(node.value):
            called = isinstance(node.value, ast.Tuple) and any(isinstance(x, ast.Call) for x in node.value.elts)
            if is_condition(node.slice) or called:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("package", ["tinygrad_rnn", "viz"])
def test_no_choice_is_written_as_arithmetic(package):
    found = {p.name: tricks(p.read_text("utf-8")) for p in (ROOT / package).rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("trick", ["'cl'[a > b]", "['x'] * (not y)", "(check(x), x)[1]", "f'{x}s' * bool(n)"])
def test_a_trick_is_found(trick):
    assert tricks(trick)


@pytest.mark.parametrize("plain", ["'l' if a > b else 'c'", "['x'] * n", "x[a > 0]", "'-' * len(x)", "[a, b][:2]"])
def test_plain_code_is_none(plain):
    assert not tricks(plain)


#: Files that the formatter leaves some lines of as they are: what is read as a table, row by row.
TABLES = {"tinygrad_rnn/compiler/opcodes.py": 3, "tinygrad_rnn/interchange/dialects/table.py": 1}


def test_only_tables_are_kept_from_the_formatter():
    there = [p for part in ("tinygrad_rnn", "viz") for p in (ROOT / part).rglob("*.py")]
    found = {p.relative_to(ROOT).as_posix(): p.read_text("utf-8").count("# fmt: ") for p in there}
    assert {name: count for name, count in found.items() if count} == TABLES


#: Private methods that a class of another package calls.
CALLED_FROM_OUTSIDE = {"_save_data", "_index_key"}  # Numba's cache
#: Decorators that enter what they decorate nowhere.
PLAIN = {"property", "cached_property", "staticmethod", "classmethod", "cache"}


def unused(texts: Iterable[str]) -> list[str]:
    """Private functions and methods that are named nowhere but where they are defined."""
    words = collections.Counter(re.findall(r"\w+", "\n".join(texts)))
    defined = [x for text in texts for x in ast.walk(parsed(text)) if isinstance(x, ast.FunctionDef)]
    entered = {x.name for x in defined for by in x.decorator_list if ast.unparse(by) not in PLAIN}
    names = {x.name for x in defined if re.fullmatch(r"_[a-z](\w*[^\W_])?", x.name)}
    return sorted(name for name in names - entered - CALLED_FROM_OUTSIDE if words[name] == 1)


def test_every_private_function_is_used():
    assert unused([p.read_text("utf-8") for part in ("tinygrad_rnn", "viz") for p in (ROOT / part).rglob("*.py")]) == []


def test_an_unused_function_is_found():
    texts = ["def _a(): pass\ndef _b(): _c()\n@enter\ndef _d(): pass\n@property\ndef _e(x): pass", "def _c(): _b()"]
    assert unused(texts) == ["_a", "_e"]
