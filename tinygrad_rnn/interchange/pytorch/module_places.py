"""The module of the user's that is running, and its time step.

A module that is called once per time step says so by being called more than once. What happens between two such calls
belongs to the one that follows or the one before: the same source line does so at every step, so its first and last
occurrence tell which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from ...primitives import getitem
from ...scopes import scope
from ...tensors import Tensor

#: (module, how often it was called before)
Running = tuple[tuple[int, int], ...]


@dataclass
class Modules:
    """The modules running, outermost first, and what was made meanwhile."""

    names: dict[int, str]  #: id of a module -> its dotted name
    counts: Counter[int] = field(default_factory=Counter)
    stack: list[tuple[torch.nn.Module, int]] = field(default_factory=list)
    roots: list[torch.nn.Module] = field(default_factory=list)
    keep: list[torch.nn.Module] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follow every call of a module."""
        before = register_module_forward_pre_hook(self._enter)
        after = register_module_forward_hook(self._leave, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: torch.nn.Module, _args: Any) -> None:
        if not self.stack and all(module is not root for root in self.roots):
            self.roots.append(module)
        if id(module) not in self.names:
            self.names[id(module)] = type(module).__name__.lower()
            self.keep.append(module)  # so that its id stays its own
            for name, child in module.named_modules():
                self.names.setdefault(id(child), name)
        self.stack.append((module, self.counts[id(module)]))
        self.counts[id(module)] += 1

    def _leave(self, module: torch.nn.Module, _args: Any, _out: Any) -> None:
        if self.stack and self.stack[-1][0] is module:
            self.stack.pop()

    def running(self) -> Running:
        """The module that is running now."""
        return tuple((id(module), count) for module, count in self.stack)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The scope of the module that is running."""
        name = self.names[id(self.stack[-1][0])] if self.stack else ""
        with nested(name.split(".") if name else []):
            yield

    # Time steps ------------------------------------------------------------------------------------------

    def label_steps(self, made: Sequence[tuple[Running, Any, Tensor]]) -> None:
        """Give each tensor (with what was running, and its source line) its time step, where it has none yet."""
        cells = {id(m) for m in self.keep_all() if isinstance(m, torch.nn.RNNCellBase)}
        lengths = {self.counts[m] for m in cells if self.counts[m] > 1}

        def step_of(running: Running) -> int | None:
            several = [(m, k) for m, k in running if self.counts[m] > 1]
            chosen = [k for m, k in several if self.counts[m] in lengths] or [k for _, k in several]
            return chosen[0] if chosen else None

        steps = [step_of(running) for running, _, _ in made]
        before, after = _neighbours(steps)
        occurrences: dict[Any, list[int]] = {}
        for index, (_, place, _) in enumerate(made):
            if steps[index] is None:
                occurrences.setdefault(place, []).append(index)
        for found in occurrences.values():
            first, last = found[0], found[-1]
            if len({before[i] for i in found} | {after[i] for i in found}) < 3:
                continue  # not in a loop over the calls
            follows = after[first] == 0 and after[last] is not None
            for i in found:
                steps[i] = after[i] if follows else before[i]
        for step, (_, _, tensor) in zip(steps, made, strict=True):
            if step is not None and tensor.scope.step is None:
                tensor.scope = tensor.scope._replace(step=step)
        _reads_follow_their_users([tensor for _, _, tensor in made])

    def keep_all(self) -> list[torch.nn.Module]:
        """Every module met, children included."""
        return [child for root in (*self.roots, *self.keep) for child in root.modules()]


def _reads_follow_their_users(made: Sequence[Tensor]) -> None:
    """An element that only one time step reads, such as one of ``x.unbind()``, belongs to it."""
    users: dict[int, set[int | None]] = {}
    for tensor in made:
        for operand in tensor.operands:
            if isinstance(operand, Tensor):
                users.setdefault(operand.serial, set()).add(tensor.scope.step)
    for tensor in reversed(made):
        steps = users.get(tensor.serial, set())
        if tensor.scope.step is None and tensor.op is getitem and len(steps) == 1:
            tensor.scope = tensor.scope._replace(step=steps.copy().pop())


def _neighbours(steps: Sequence[int | None]) -> tuple[list[int | None], list[int | None]]:
    """For each place the nearest step known before it, and after it."""
    before, last = [], None
    for step in steps:
        last = step if step is not None else last
        before.append(last)
    after, last = [], None
    for step in reversed(steps):
        last = step if step is not None else last
        after.append(last)
    return before, after[::-1]


@contextmanager
def nested(names: Sequence[str]) -> Iterator[None]:
    """Several scopes, one in the other."""
    if not names:
        yield
        return
    with scope(names[0]), nested(names[1:]):
        yield
