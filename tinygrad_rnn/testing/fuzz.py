"""Eager against compiled, on random programs: ``python -m tinygrad_rnn.testing.fuzz --seconds 600``.

A case is a few numbers: each line of the program and each change between two calls is made from a seed of its own, so
any of them can be left out, which is how a failure is shrunk. Lines are primitives of the table, functions of `nn` and
methods of tensors, on earlier values of any dtype, refitted, with nan, infinities, subnormal and huge numbers put in,
sizes 0 and 1 and many. Between the calls hooks come and go, attributes and parameters change, gradients accumulate.

Both forms may round differently. How much that matters for a program is measured, not guessed: the eager one is run
again with every float nudged by a unit in the last place at random (D. S. Parker (1997), "Monte Carlo arithmetic").
What differs between those runs in kind (a nan, another choice) decides nothing; else the two must agree within `SLACK`
such differences. Errors are compared, too: a program that raises must raise in both forms, and where only the compiled
one refuses, it has to be one of ours that names a line.
"""

from __future__ import annotations

import argparse
import builtins
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import nn, optim
from ..compiler import compile
from ..errors import GraphError, TinygradError
from ..nn import functional as F
from ..primitives import TABLE
from ..tensors import Tensor, tensor
from .sample_operands import RECIPES, Array, Source

#: run as text, under a name of its own: what is in this package is not watched
_USERS_OWN: dict[str, Any] = {"__name__": "fuzz_target"}
exec(builtins.compile(Path(__file__).with_name("fuzz_target.py").read_text(), "fuzz_target.py", "exec"), _USERS_OWN)
#: a module that the function imports while it runs
_SETTINGS: Any = ModuleType("fuzz_settings")
#: how many times the largest measured effect of rounding two forms may differ
SLACK = 64.0
NOISY = 4
DTYPES = (np.float32, np.float32, np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_)
EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e-40, -1e-40, 1e38, -1e30, 1e-30, 88.8, -104.0)

#: what is made of primitives; each takes one float tensor
METHODS: dict[str, Callable[[Tensor], Any]] = {
    "gelu": F.gelu,
    "gelu, tanh": lambda x: F.gelu(x, "tanh"),
    "silu": F.silu,
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]) if x.ndim else x,
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:]) if x.ndim else x,
    "mse_loss": lambda x: F.mse_loss(x, x.detach() * 0.5),
    "l1_loss": lambda x: F.l1_loss(x, x.detach() * 0.5, "none"),
    "huber_loss": lambda x: F.huber_loss(x, x.detach() - 1.0, "sum"),
    "logistic loss": lambda x: F.binary_cross_entropy_with_logits(x, (x.detach() > 0).astype(x.dtype)),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, -1) if x.ndim else x.norm(1),
    "norm 3": lambda x: x.norm(3),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(-1) if x.ndim else x,
    "std": lambda x: x.std(correction=0),
    "prod": lambda x: x[..., :3].prod(-1) if x.ndim else x.prod(),
    "clip": lambda x: x.clip(-0.5, 1.5),
    "sort": lambda x: x.sort().values if x.ndim else x,
    "topk": lambda x: x.topk(min(2, x.shape[-1])).values if x.ndim else x,
    "masked_fill": lambda x: x.masked_fill(x > 1, 0.0),
    "where nan": lambda x: tensor_where(x.isnan(), x),
    "tril": lambda x: x.tril() if x.ndim > 1 else x,
    "flip": lambda x: x.flip(),
    "transposed": lambda x: x.T if x.ndim == 2 else x,
    "detached": lambda x: x.detach() * x,
    "double": lambda x: x.astype(np.float64),
    "single": lambda x: x.astype(np.float32),
    "long": lambda x: (x.clip(-5, 5) * 3).masked_fill(x.isnan(), 0.0).long(),
    "unbind": lambda x: x.unbind()[-1] if x.ndim and x.shape[0] else x,
    "repeat": lambda x: x.reshape(-1)[:8].repeat(3),
    "rows of rows": lambda x: x.reshape(-1, 1)[np.arange(7) % max(x.numel(), 1)] if x.numel() else x,
}


def tensor_where(condition: Tensor, x: Tensor) -> Tensor:
    """0 where the condition holds."""
    return TABLE["where"](condition, 0.0, x)


@dataclass(frozen=True)
class Case:
    """A program and what happens between its calls; ``repr`` is how to make it again."""

    head: int  #: leaves, their dtypes and sizes, what is returned, how gradients are asked
    lines: tuple[int, ...] = ()
    changes: tuple[int, ...] = ()  #: one before each call after the first

    @staticmethod
    def from_seed(seed: int) -> Case:
        """One of all cases."""
        rng = np.random.default_rng(seed)
        head, *seeds = (int(x) for x in rng.integers(0, 2**31, 10))
        lines = int(rng.integers(1, 7))
        return Case(head, tuple(seeds[:lines]), tuple(seeds[6 : 6 + int(rng.integers(1, 4))]))


class _Sizes(Source):
    """Small sizes, one of them many at most."""

    def __init__(self, seed: int, many: int) -> None:
        super().__init__(seed, sizes=(1, 2, 3, 2, 3, 0))
        self.many = many

    def size(self, least: int = 0) -> int:
        if self.many and self.rng.random() < 0.3:
            many, self.many = self.many, 0
            return many
        return super().size(least)


class World:
    """A case brought to life: ``call()`` runs the function once, ``change(i)`` does what comes before the next call."""

    def __init__(self, case: Case, form: str, noise: int | None = None) -> None:
        self.case = case
        rng = np.random.default_rng(case.head)
        self.edges = rng.random() < 0.4
        self.many = int(rng.choice([0, 0, 0, 40, 700, 5000]))
        self.asks = str(rng.choice(["grad", "backward", "backward", "step", "nothing"]))
        self.optimizer_name = str(rng.choice(["SGD", "Adam", "RMSprop"]))
        self.twice, self.views, self.returns_all = rng.random(3) < (0.25, 0.4, 0.5)
        self.noise = None if noise is None else np.random.default_rng(noise)
        self.arguments = [self._leaf(int(rng.integers(2**31)), rng) for _ in range(int(rng.integers(1, 4)))]
        if self.twice:
            self.arguments.append(self.arguments[0])
        start = np.asarray(rng.uniform(0.25, 2, (3,)), np.float32)
        self.holder = _USERS_OWN["Holder"](nn.Parameter(start))
        self.handles: list[Any] = []
        vars(_SETTINGS).pop("later", None)
        _SETTINGS.factor = 1.0
        self.optimizer = self._optimizer()
        run = _USERS_OWN["program"](self)
        self.function = compile(run) if form == "compiled" else run

    def _leaf(self, seed: int, rng: np.random.Generator) -> Tensor:
        source = _Sizes(seed, self.many)
        dtype = DTYPES[int(rng.integers(len(DTYPES)))]
        values = source.anywhere(source.shape(0, 3)) * 10.0 ** rng.choice([0, 0, 0, -3, 3])
        values = self._spoiled(values, source.rng)
        if dtype not in (np.float32, np.float64):
            values = np.nan_to_num(np.clip(values, -100, 100)) if dtype is not np.uint8 else np.abs(values) % 5
            values = np.nan_to_num(values)
        with np.errstate(all="ignore"):
            made = tensor(values.astype(dtype))
        return made.requires_grad_() if made.dtype.kind == "f" and rng.random() < 0.8 else made

    def _spoiled(self, values: Array, rng: np.random.Generator) -> Array:
        if not self.edges or not values.size:
            return values
        odd = rng.choice(EDGES, values.shape)
        return np.where(rng.random(values.shape) < 0.15, odd, values)

    def _optimizer(self) -> optim.Optimizer:
        kind = getattr(optim, self.optimizer_name)
        settings = {"momentum": 0.9} if self.optimizer_name == "SGD" else {}
        return kind([self.holder.weight], lr=0.05, **settings)

    # The function, whose frame is in fuzz_target.py ------------------------------------------------------------

    def nudged(self, x: Any) -> Any:
        """``x``, or for a noisy run with each float another one close by."""
        if self.noise is None or not isinstance(x, Tensor) or x.dtype.kind != "f":
            return x
        signs = self.noise.choice([-1.0, 1.0], x.shape)
        return x * (1 + np.finfo(x.dtype).eps * signs).astype(x.dtype)

    def line(self, seed: int, values: list[Tensor]) -> Tensor:
        """The value that a seed makes of earlier ones."""
        source = _Sizes(seed, self.many if len(values) < 4 else 0)
        rng = source.rng
        floats = [x for x in values if x.dtype.kind == "f"]
        if floats and rng.random() < 0.3:
            made: Tensor = METHODS[str(rng.choice(list(METHODS)))](floats[int(rng.integers(len(floats)))])
            return made
        name = str(rng.choice([name for name in RECIPES if name in TABLE]))
        drawn = RECIPES[name](source)
        operands: list[Any] = []
        for slot, x in enumerate(drawn.operands):
            if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
                operands.append(tensor(x) if isinstance(x, np.ndarray) else x)
                continue
            constant = self._spoiled(x, rng).astype(np.float64 if rng.random() < 0.3 else np.float32)
            usable = values if slot in TABLE[name].slots and name not in ("one_hot",) else floats
            earlier = usable[int(rng.integers(len(usable)))] if usable and rng.random() < 0.8 else None
            if earlier is None or not earlier.numel():
                operands.append(tensor(constant))
            elif earlier.shape == x.shape:
                operands.append(earlier)
            else:  # of one element that is there twice each is nudged for itself: what cancels exactly is rounding, too
                at = np.arange(x.size) % earlier.numel()
                operands.append(self.nudged(earlier.reshape(-1)[at].reshape(x.shape)))
        made = TABLE[name](*operands, **drawn.attrs)
        return made

    def call(self) -> list[Any]:
        """Its results and the gradients it leaves behind: arrays, or None."""
        sys.modules[_SETTINGS.__name__] = _SETTINGS
        returned = self.function(*self.arguments)
        left = [x.grad for x in (*self.arguments, self.holder.weight)]
        return [None if x is None else np.array(x.numpy()) for x in (*returned, *left, self.holder.weight)]

    # Between calls ----------------------------------------------------------------------------------------

    def change(self, seed: int) -> None:
        """Something a user does between two calls."""
        rng = np.random.default_rng(seed)
        tensors = [x for x in (*self.arguments, self.holder.weight) if x.dtype.kind == "f"]
        x = tensors[int(rng.integers(len(tensors)))]
        kind, amount = int(rng.integers(16)), float(np.float32(rng.uniform(0.5, 2)))
        if kind == 0 and x.requires_grad:
            self.handles.append(x.register_hook(lambda g: g * amount))
        elif kind == 1 and self.handles:
            self.handles.pop().remove()
        elif kind == 2 and x.is_leaf:
            x.requires_grad_(not x.requires_grad)
        elif kind == 3:
            self.holder.scale = amount
        elif kind == 4:
            self.holder.table["shift"] = amount
        elif kind == 5:
            self.holder.weight = nn.Parameter(np.asarray(rng.uniform(0.25, 2, (3,)), np.float32))
            self.optimizer = self._optimizer()
        elif kind == 6:
            x.grad = None
        elif kind == 7:
            x.data = np.asarray(x.numpy() * np.float32(amount))
        elif kind == 8:
            self.arguments[0] = tensor(self.arguments[0].numpy(), requires_grad=self.arguments[0].requires_grad)
        elif kind == 9 and len(self.arguments) > 1:
            self.arguments[-1] = self.arguments[0]
        elif kind == 10:
            _SETTINGS.factor = amount
        elif kind == 11:
            _SETTINGS.later = amount
        elif kind == 12:
            self.holder.extra = amount
        elif kind == 13:
            self.holder.spare.rate = amount
        elif kind == 14:
            self.holder.spare.requires_grad_(not self.holder.spare.requires_grad)
            self.holder.spare.name = str(rng.choice(["a", "b"]))
        elif kind == 15:
            vars(self.arguments[0])["rate"] = amount


# Comparing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The result of a case: ``fault`` says what is wrong, ``refused`` is the compiled form's error, if it declined."""

    fault: str | None = None
    refused: str | None = None
    calls: int = 0


def judge(case: Case) -> Outcome:
    """Run a case in both forms.

    >>> from tinygrad_rnn.testing.fuzz import Case, judge
    >>> judge(Case.from_seed(1)).fault is None
    True
    """
    with np.errstate(all="ignore"):
        try:
            plain = World(case, "eager")
            worlds = [World(case, "eager", noise) for noise in range(NOISY)]
            compiled = World(case, "compiled")
        except TinygradError:
            return Outcome()
        for k in range(len(case.changes) + 1):
            if k:
                for world in (plain, compiled, *worlds):
                    world.change(case.changes[k - 1])
            expected, error = _tried(plain)
            got, refusal = _tried(compiled)
            if isinstance(refusal, GraphError) and error is None:
                return Outcome(None if ".py:" in str(refusal) else f"no line: {refusal}", str(refusal), k)
            for raised in (error, refusal):
                if raised is not None and not isinstance(raised, (TinygradError, *_USERS)):
                    return Outcome(f"call {k}: a raw {type(raised).__name__}: {raised}", None, k)
            if (error is None) != (refusal is None):
                return Outcome(f"call {k}: eager raised {error!r}, compiled {refusal!r}", None, k)
            if error is not None:
                return Outcome(None, None, k)
            noisy = [_tried(world)[0] for world in worlds]
            fault = _differs(expected, got, noisy)
            if fault is not None:
                return Outcome(f"call {k}: {fault}", None, k)
    return Outcome(calls=len(case.changes) + 1)


#: what NumPy raises of a user's mistake in both forms
_USERS = (MemoryError,)


def _tried(world: World) -> tuple[list[Any], Exception | None]:
    try:
        return world.call(), None
    except Exception as error:
        return [], error


def _differs(expected: Sequence[Any], got: Sequence[Any], noisy: Sequence[Sequence[Any]]) -> str | None:
    if len(expected) != len(got):
        return f"{len(got)} results for {len(expected)}"
    for i, (a, b) in enumerate(zip(expected, got, strict=True)):
        if (a is None) != (b is None):
            return f"result {i} is {b} for {a}"
        if a is None:
            continue
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"result {i} is {b.dtype}{list(b.shape)} for {a.dtype}{list(a.shape)}"
        others = [run[i] for run in noisy if len(run) == len(expected) and run[i] is not None]
        if len(others) < len(noisy) or any(x.shape != a.shape for x in others) or not a.size:
            continue
        wrong = _wrong(a, b, np.array(others))
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            return f"result {i}{list(at)} is {b[at]!r} for {a[at]!r}, {int(wrong.sum())} of {a.size} are wrong"
    return None


def _wrong(a: Array, b: Array, others: Array) -> Array:
    """A mask of elements where two results differ by more than rounding can explain."""
    if a.dtype.kind != "f":
        return np.asarray((a != b) & (others == a).all(0))
    info = np.finfo(a.dtype)
    settled = (np.isnan(others) == np.isnan(a)).all(0) & (np.isinf(others) == np.isinf(a)).all(0)
    exact, wide = a.astype(np.float64), others.astype(np.float64)
    spread = np.abs(wide - exact).max(0)
    allowed = SLACK * np.maximum(spread, info.eps * np.abs(exact)) + 8 * float(info.tiny)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    near = np.isfinite(a) & np.isfinite(b) & (np.abs(b.astype(np.float64) - exact) <= allowed)
    return np.asarray(settled & ~same & ~near)


def shrunk(case: Case) -> Case:
    """The case with every line and change left out that its fault does not need."""
    smaller = True
    while smaller:
        smaller = False
        for part in ("changes", "lines"):
            seeds = getattr(case, part)
            for i in reversed(range(len(seeds))):
                attempt = replace(case, **{part: seeds[:i] + seeds[i + 1 :]})
                if judge(attempt).fault is not None:
                    case, smaller = attempt, True
                    break
    return case


def main(arguments: list[str]) -> int:
    """Try cases until the time is over; print each that fails, shrunk. Returns how many did."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_rnn.testing.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others follow")
    parser.add_argument("--cases", type=int, default=2**31, help="at most so many")
    given = parser.parse_args(arguments)
    began, tried, calls, faults, refusals = time.monotonic(), 0, 0, 0, Counter[str]()
    while time.monotonic() - began < given.seconds and tried < given.cases:
        outcome = judge(Case.from_seed(given.seed + tried))
        calls += outcome.calls
        if outcome.refused is not None:
            refusals[outcome.refused.split("(")[0][:60]] += 1
        if outcome.fault is not None:
            faults += 1
            case = shrunk(Case.from_seed(given.seed + tried))
            print(f"seed {given.seed + tried}: {outcome.fault}\n  {case!r}: {judge(case).fault}", flush=True)
        tried += 1
    print(f"seeds {given.seed} to {given.seed + tried - 1}: {tried} programs, {calls} calls, {faults} faults")
    for words, count in refusals.most_common():
        print(f"  refused {count} times: {words}")
    return faults


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
