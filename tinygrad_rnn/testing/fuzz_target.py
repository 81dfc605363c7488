"""The function that `fuzz` compiles. It is run as text, so that it counts as a user's own source and is watched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg


class Holder:
    """An object that the function finds outside."""

    def __init__(self, weight: tg.nn.Parameter) -> None:
        self.weight, self.scale, self.table = weight, 1.0, {"shift": 0.0}
        self.spare = tg.nn.Parameter([1.0])  # which no result depends on


def asked(holder: Holder, argument: tg.Tensor) -> float:
    """A number that depends on all that may be asked for besides values."""
    from fuzz_settings import factor  # type: ignore[import-not-found]

    number: float = factor * getattr(sys.modules["fuzz_settings"], "later", 1.0) * getattr(holder, "extra", 1.0)
    number *= getattr(holder.spare, "rate", 1.0) * (1.0 if holder.spare.requires_grad else 0.5)
    return number * getattr(argument, "rate", 1.0) * (1.0 if holder.spare.name is None else 0.75)


def program(world: Any) -> Callable[..., list[Any]]:
    """A case's function: its lines, then the gradients it asks for."""
    holder, holders = world.holder, [world.holder]

    def run(*arguments: Any) -> list[Any]:
        mine = holder
        values = [world.nudged(x) for x in arguments]
        values.append(
            world.nudged(mine.weight * (holders[0].scale * asked(mine, arguments[0])) + holder.table["shift"])
        )
        start = len(values)
        for seed in world.case.lines:
            values.append(world.nudged(world.line(seed, values)))
        results = values[start - 1 :] if world.returns_all else values[-1:]
        if world.views:
            results.append(results[-1].reshape(-1)[::2])
        terms = [(y * y * 0.5 + y).sum().astype(np.float32) for y in results if y.dtype.kind == "f"]
        found: list[Any] = []
        if terms and world.asks != "nothing" and any(t.requires_grad for t in terms):
            total = sum(terms[1:], terms[0])
            if world.asks == "grad":
                wanted = [x for x in (*arguments, mine.weight) if x.requires_grad]
                found = list(tg.grad(total, wanted, allow_unused=True))
            else:
                total.backward()
            if world.asks == "step":
                world.optimizer.step()
        return [*results, *found]

    return run
