"""Live and dead positions of a gradient: those that lead to the result, and those left out on the way.

The rule, once, for the eager walk, its recorded and compiled forms, the debugger and saved graphs:

* *Dead* are the positions that `where`, `maximum`, `minimum`, `clip`, `max`, `min`, an index or ``lengths`` left out.
  Their gradient is exactly 0. It stays 0 on the way back, whatever the values there are: nan, inf, a pole.
* Deadness belongs to a branch. Where branches meet, a position is dead only if it is dead in all of them.
* A product that sums (`matmul`, `linear`, `einsum`) leaves out an element of an operand if every gradient it would be
  multiplied with is dead.
* A gradient that a hook (or somebody asking what if) puts in place counts where it did before, and where it is not 0.
* Everything else counts. A gradient that merely happens to be 0 is multiplied as any other: 0 times inf is nan, and
  the debugger's ``origin`` finds it. So it is with `relu`, whose slope is 0 at negative numbers.

In code: a boolean mask travels with the gradient, True where it counts, of the gradient's rank and broadcastable to it;
None, nearly always, where all of it does. So a program that leaves nothing out pays nothing. A mask is an array where
its numbers are known (an index is, also in a function being compiled), else a tensor, recorded like the gradient it
belongs to. That is why no value has to be looked at, which a function being compiled could not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .primitives import Primitive, broadcast_to, cast, equal, getitem, greater, not_equal, permute, reshape, sum_, where
from .primitives.record import Shape
from .recorded_value import is_tensor
from .thread_state import current

Mask = Any  #: a boolean array or tensor


def pulled(
    op: Primitive, slot: int, g: Any, live: Mask | None, y: Any, operands: Sequence[Any], attrs: dict[str, Any]
) -> Any:
    """The contribution of ``op`` to operand ``slot``, of a gradient with these ``live`` positions: 0 at dead ones."""
    uses_result, used = op.values_needed(slot)
    if live is None or not (uses_result or used is None or used):
        return op.pull(slot, g, y, operands, attrs)  # a rule that uses no value only moves zeros
    if op.keeps is not None and op.along is None:
        return op.pull(slot, g, y, operands, attrs)  # nor does one that chooses do anything else
    recorded = not isinstance(g, (np.ndarray, np.generic))
    if not recorded or op.subscripts is None:
        value = op.pull(slot, g, y, operands, attrs)
        if not recorded and _finite(value):
            return value
    if op.subscripts is None:
        below = _below(op, slot, g, live, y, operands, attrs)
        return value if below is None else where(below, value, 0)
    *terms, output = _terms(op, operands, attrs)
    kept, uncertain = list(operands), False
    for i, term in enumerate(terms):
        if i != slot and (used is None or i in used):
            mask = _spread(live, output, term, operands[i].shape, g.dtype)
            if _varies(mask):
                kept[i] = where(mask, operands[i], 0)
            else:
                uncertain = True  # it cannot be zeroed by position; where nothing of the result counts, the answer is
    value = op.pull(slot, g, y, kept, attrs)
    below = _spread(live, output, terms[slot], operands[slot].shape, g.dtype)
    return where(below, value, 0) if uncertain or _varies(below) else value


def sent_on(
    op: Primitive, slot: int, g: Any, live: Mask | None, y: Any, operands: Sequence[Any], attrs: dict[str, Any]
) -> Any:
    """Live positions of the contribution to operand ``slot``: a mask, None for all, or a `Read` to be merged later."""
    if op is getitem:
        return Read(attrs["index"], live, g)
    below = _below(op, slot, g, live, y, operands, attrs)
    if below is None:
        return None
    fitted = _fitted(below, operands[slot].shape, g.dtype)
    return fitted if fitted is live else _settled(fitted)


class Read:
    """A part of a tensor that was read, and what counts of it; many of them are cheaper merged than added up."""

    __slots__ = ("gradient", "index", "live")

    def __init__(self, index: tuple[Any, ...], live: Mask | None, gradient: Any) -> None:
        self.index, self.live, self.gradient = index, live, gradient

    def lifted(self, shape: Shape) -> Mask | None:
        """``live`` as a mask of the tensor, True also beside the part; None if that takes more than a reshape."""
        parts, mine = list(self.index), tuple(getattr(self.live, "shape", ()))
        if not all(isinstance(part, int | slice) or part is Ellipsis for part in parts):
            return None
        missing = (slice(None),) * (len(shape) - len(parts) + (Ellipsis in parts))
        at = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
        parts[at : at + 1] = missing
        result, axis = [], 0
        for part, n in zip(parts, shape, strict=True):
            if isinstance(part, int):
                result.append(1)
                continue
            if mine[axis] != 1 and part.indices(n) != (0, n, 1):
                return None
            result.append(mine[axis])
            axis += 1
        return _reshaped(self.live, tuple(result))


def merged(items: Sequence[Any], shape: Shape, dtype: np.dtype[Any]) -> Mask | None:
    """The live positions of a sum of contributions: those live in any; None if it is known that all are."""
    if len(items) == 1 and not isinstance(items[0], Read):
        return items[0]
    reads: dict[int, list[Read]] = {}
    total: Mask | None = None
    for item in items:
        if isinstance(item, Read):
            reads.setdefault(id(item.live), []).append(item)
        else:
            total = item if total is None else _either(total, item, dtype)
    for same in reads.values():
        for mask in _merged_reads(same, shape, dtype):
            total = mask if total is None else _either(total, mask, dtype)
    return None if total is None else _settled(total)


def replaced(live: Mask, gradient: Any) -> Mask | None:
    """The live positions of a gradient that replaces one whose live positions were ``live``."""
    return _settled(_either(live, not_equal(gradient, 0), gradient.dtype))


def _merged_reads(reads: list[Read], shape: Shape, dtype: np.dtype[Any]) -> list[Mask]:
    """Parts of a tensor of which the same counts."""
    covered: Any = np.zeros(shape, bool)
    rest: list[Mask] = []
    live, lifted = reads[0].live, None
    for read in reads:
        if live is None or (lifted := read.lifted(shape)) is not None:
            covered[read.index] = True
        else:
            ones = cast(broadcast_to(live, shape=read.gradient.shape), dtype=read.gradient.dtype)
            rest.append(not_equal(getitem.pull(0, ones, None, [np.empty(shape, bool)], {"index": read.index}), 0))
    if len(rest) == len(reads):
        return rest
    if live is not None:
        covered = lifted if covered.all() else _both(covered, lifted, dtype)
    return [covered, *rest]


def _below(op: Primitive, slot: int, g: Any, live: Mask | None, y: Any, operands: Any, attrs: Any) -> Mask | None:
    """The live positions of a rule's answer, before broadcasting is undone."""
    if live is not None and op.along is not None:
        live = op.along(live, partial(_any_along, dtype=g.dtype), operands[0].shape, **attrs)
    if op.keeps is not None:
        rule = op.keeps[slot]
        assert rule is not None
        mask = rule(_number(y), *map(_number, operands), **attrs)
        rank = len(g.shape if op.along is None else operands[slot].shape)
        if len(mask.shape) < rank:
            mask = reshape(mask, shape=(1,) * (rank - len(mask.shape)) + tuple(mask.shape))
        return mask if live is None else _both(live, mask, g.dtype)
    if not op.leaves_out and (live is None or op.along is not None or op.elementwise):
        return live
    if op.leaves_out or op.moves(slot):
        if live is None:
            marks = np.ones(g.shape, g.dtype)
        elif _known(live) and not op.leaves_out:
            marks = broadcast_to(live.view(np.uint8), shape=g.shape)  # no copy, of which a stack would make many
        else:
            marks = cast(broadcast_to(live, shape=g.shape), dtype=g.dtype)
        return not_equal(op.pull(slot, marks, y, [_number(x) for x in operands], attrs), 0)
    if op.subscripts is not None:
        *terms, output = _terms(op, operands, attrs)
        return _spread(live, output, terms[slot], operands[slot].shape, g.dtype)
    return None  # somebody's own operation, of which nothing is known


def _terms(op: Primitive, operands: Sequence[Any], attrs: dict[str, Any]) -> list[str]:
    """One letter a dimension: the operands' terms, then the result's."""
    assert op.subscripts is not None
    subscripts: str = op.subscripts(*(x.shape for x in operands), **attrs)
    return subscripts.replace("->", ",").split(",")


def _spread(live: Mask, output: str, term: str, shape: Shape, dtype: np.dtype[Any]) -> Mask:
    """The mask of the elements, of an operand with these letters, that meet a gradient that counts."""
    live = _any_along(live, tuple(i for i, letter in enumerate(output) if letter not in term), dtype)
    order = [i for i, letter in enumerate(output) if letter in term]
    sizes = {letter: live.shape[i] for i, letter in enumerate(output)}
    wanted = sorted(order, key=lambda i: term.index(output[i]))
    if wanted != order:
        live = permute(live, axes=(*(i for i in range(len(output)) if i not in order), *wanted))
    return _fitted(_reshaped(live, tuple(sizes[letter] if letter in output else 1 for letter in term)), shape, dtype)


def _fitted(mask: Mask, shape: Shape, dtype: np.dtype[Any]) -> Mask:
    """The mask of an operand that was repeated: it counts if one of its repetitions does."""
    extra = len(mask.shape) - len(shape)
    if extra < 0:
        return reshape(mask, shape=(1,) * -extra + tuple(mask.shape))
    mask = _any_along(mask, (*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1)), dtype)
    return _reshaped(mask, tuple(mask.shape[extra:]))


def _reshaped(mask: Mask, shape: Shape) -> Mask:
    return mask if tuple(mask.shape) == shape else reshape(mask, shape=shape)


def _any_along(mask: Mask, axes: tuple[int, ...], dtype: np.dtype[Any]) -> Mask:
    """Whether any along ``axes`` counts; they stay, at size 1."""
    axes = tuple(a for a in axes if mask.shape[a] != 1)
    if not axes:
        return mask
    if _known(mask):
        return mask.any(axis=axes, keepdims=True)
    return greater(sum_(cast(mask, dtype=dtype), axis=axes, keepdims=True), 0)


def _either(a: Mask, b: Mask, dtype: np.dtype[Any]) -> Mask:
    # recorded masks are counted in the gradient's dtype, which compiled programs choose from fastest
    if a is b:
        return a
    if _known(a) and _known(b):
        return a | b
    for x, y in ((a, b), (b, a)):
        if not _known(y) and y.op is equal and y.operands[0].op is cast and y.operands[0].operands[0] is x:
            return np.ones((1,) * len(x.shape), bool)  # one branch or the other is taken at every position
        if any(x is part for part in _parts(y)):
            return x  # x, or y and x
    return greater(where(a, 1, cast(b, dtype=dtype)), 0)


def _both(a: Mask, b: Mask, dtype: np.dtype[Any]) -> Mask:
    return a & b if _known(a) and _known(b) else greater(where(a, cast(b, dtype=dtype), 0), 0)


def _parts(mask: Mask) -> tuple[Mask, ...]:
    """The two masks that `_both` made this one of; none of a mask that was made otherwise."""
    if _known(mask) or mask.op is not greater or getattr(mask.operands[0], "op", None) is not where:
        return ()
    first, second, otherwise = mask.operands[0].operands
    if not _is_zero(mask.operands[1]) or not _is_zero(otherwise) or getattr(second, "op", None) is not cast:
        return ()
    return first, second.operands[0]


def _is_zero(x: Any) -> bool:
    return type(x) is int and x == 0


def _known(mask: Mask) -> bool:
    return isinstance(mask, (np.ndarray, np.generic))


def _finite(x: Any) -> bool:
    """Whether all of it is finite, or, of squares that overflow, only perhaps not."""
    flat = x.ravel()
    return math.isfinite(flat.dot(flat))


def _settled(mask: Mask) -> Mask | None:
    return None if _known(mask) and mask.all() else mask


def _number(x: Any) -> Any:
    """Its value as far as it is known: in a function being compiled only constants are."""
    known = is_tensor(x) and (current.tracer is None or current.tracer.is_constant(x))
    return x._array if known else x


def _varies(mask: Mask) -> bool:
    return max(mask.shape, default=1) > 1
