"""Many calls of a compiled function in one: the first and the last are ordinary calls, those between them one loop.

What Python does around a call of a small program takes longer than the program: it looks at the arguments, asks
whether the recording still holds, and makes tensors of the results. Between two calls that follow one another nothing
of that can change, unless the calls themselves change it. So after the first call it is asked once whether the second
may be a replay of the same program; then all between the first and the last run in machine code.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..source_line import user_code
from ..tensors import Array, Tensor, from_array, serials
from ..user_objects import each_part, entries_of, is_of
from ..version_counters import Memory
from .returned_values import rebuilt

if TYPE_CHECKING:
    from .compiled_function import CompiledFunction

#: seconds in machine code after which Python gets its turn, so that Ctrl-C is heard
_UNHEARD = 0.1


def for_each(function: CompiledFunction, stacked: tuple[Any, ...]) -> Any:
    """The implementation of `CompiledFunction.for_each`."""
    stacks = [_array(value, function, i) for i, value in enumerate(stacked)]
    lengths = {len(stack) for stack in stacks}
    if len(lengths) != 1 or 0 in lengths:
        shapes = ", ".join(str(stack.shape) for stack in stacks) or "nothing"
        raise ShapeError(
            f"{function._known_as}.for_each goes along the first axis of its arguments, but was given {shapes}; "
            "pass arrays with as many rows each, at least one"
        )
    length = lengths.pop()
    parts, done = [_call(function, stacks, 0)], 1
    pace = 1
    while done < length:
        began = time.perf_counter()
        made = _middle(function, stacks, done, min(pace, length - 1 - done))
        if made is None:
            parts.append(_call(function, stacks, done))
            done += 1
            continue
        parts.append(made[0])
        done += made[1]
        seconds = (time.perf_counter() - began) / made[1]
        pace = max(1, min(8 * pace, int(_UNHEARD / max(seconds, 1e-9))))
    return _joined(*parts)


def _array(value: Any, function: CompiledFunction, position: int) -> Array:
    """An argument as what the calls take their rows from."""
    array = value._array if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray) or not array.ndim or (isinstance(value, Tensor) and value.requires_grad):
        what = "a tensor that requires a gradient" if isinstance(array, np.ndarray) and array.ndim else repr(value)[:40]
        raise ShapeError(
            f"{function._known_as}.for_each: argument {position} is {what}; it takes arrays, and tensors that require "
            "no gradient, whose first axis says which call a row is for"
        )
    return np.ascontiguousarray(array)


def _call(function: CompiledFunction, stacks: list[Array], k: int) -> Any:
    """An ordinary call; what it returns gets a first axis of size 1."""
    return _with_axis(function(*(from_array(stack[k, ...]) for stack in stacks)))


def _middle(function: CompiledFunction, stacks: list[Array], first: int, count: int) -> tuple[Any, int] | None:
    """The results of some calls from the ``first`` on, and how many; None if they have to be ordinary calls."""
    if count < 1:
        return None
    with function._turns.lock:
        compiled = function._recent[1]
        given = [from_array(stack[first, ...]) for stack in stacks]
        if compiled is None or compiled.kept or not compiled.program.repeats or _gives_away(compiled.template):
            return None
        if not compiled.fits(given):
            return None
        results, done = compiled.program.repeat([stack[first:] for stack in stacks], count)
        if not done:
            return None
        for schedule, _ in compiled.trace.schedules:
            schedule.count(done)
        if compiled.written:
            Memory.touch([x._memory for x in compiled.written], next(serials), user_code())
        taken = [from_array(stack[first : first + done]) for stack in stacks]
        return rebuilt(compiled.template, [result[:done] for result in results], taken, {}), done


def _gives_away(template: Any) -> bool:
    """Whether a result holds a tensor from outside, such as a parameter: what that is after each call is not kept."""
    if is_of(template, (tuple, list, dict)):
        parts = (*(template.values() if is_of(template, dict) else template), *(entries_of(template) or {}).values())
        return any(map(_gives_away, parts))
    return is_of(template, Tensor)


# Results: nested tuples, lists and dicts ----------------------------------------------------------------------


def _with_axis(result: Any) -> Any:
    """Its tensors, copied, with one row."""
    if is_of(result, Tensor):
        return _like(result, [result._array[None]], [] if result.grad is None else [result.grad._array[None]])
    return each_part(_with_axis, result) if is_of(result, (tuple, list, dict)) else result


def _joined(*parts: Any) -> Any:
    """Results of calls that follow one another, as one."""
    first = parts[0]
    if is_of(first, Tensor):
        gradients = [part.grad for part in parts]
        return _like(first, [x._array for x in parts], [] if None in gradients else [g._array for g in gradients])
    return each_part(_joined, *parts) if is_of(first, (tuple, list, dict)) else first


def _like(result: Tensor, arrays: list[Array], gradients: list[Array]) -> Tensor:
    """A tensor of new numbers which requires, and refuses, gradients as another does."""
    made = from_array(np.concatenate(arrays))
    if result.requires_grad and result._hooks:
        made.requires_grad, made._hooks = True, dict(result._hooks)
    if gradients:
        made._grad = from_array(np.concatenate(gradients))
    return made
