"""The score of each checker: the policies of the known checkers, and ours, on every bug in every regime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ...check.tolerances import tolerance
from ...norms import norm
from ...progress import followed
from ..oracles import GATES, ROLES, Array, NumpyRecurrence, OracleGradients, State, disagreements
from .bidirectional import BothWays, BothWaysBackward
from .bptt import Bptt
from .bugs import BUGS
from .pooling import Pooling, PoolingBackward

Problem = NumpyRecurrence | Pooling | BothWays
Recurrence = TypeVar("Recurrence", bound=NumpyRecurrence)
Judge = Callable[[OracleGradients], bool]

#: scale of the weights, shift of the gates that carry, whether only the end of a sequence is looked at
REGIMES = {"normal": (1.0, 0.0, False), "vanishing": (0.1, -3.0, True), "saturated": (4.0, 0.0, False)}
KINDS = ("rnn", "lstm", "gru", "pool", "both")
#: a relative difference that no checker could tell from rounding
LAST_BITS = {"float64": 1e-13, "float32": tolerance("complex-step", np.float32).rtol}
STEPS, BATCH, FEATURES, HIDDEN = 12, 3, 3, 4


def make_problem(kind: str, regime: str, seed: int = 0, dtype: Any = np.float64) -> Problem:
    """A recurrence (or a pooling), ragged, with gradients arriving everywhere.

    ``"vanishing"``: little of what starts at the last step, less than 1e-5, reaches the first. ``"saturated"``: most
    gates and activations are nearly 0 or 1. In another ``dtype`` it has the same numbers, rounded.
    """
    return _problem(kind, regime, seed).astype(dtype)


def _problem(kind: str, regime: str, seed: int) -> Problem:
    rng = np.random.default_rng([seed, KINDS.index(kind), list(REGIMES).index(regime)])
    scale, _, at_end = REGIMES[regime]
    if kind == "pool":
        x = rng.standard_normal((BATCH, FEATURES))
        weight = scale * rng.standard_normal((HIDDEN, FEATURES))
        return Pooling(np.concatenate([x, x]), weight, rng.standard_normal(HIDDEN))
    if kind == "both":
        shapes = ((HIDDEN, FEATURES), (HIDDEN, HIDDEN)) * 2
        weights = tuple(scale**0.5 * rng.uniform(-1, 1, shape) for shape in shapes)
        x, upstream = rng.standard_normal((STEPS, BATCH, FEATURES)), rng.standard_normal((STEPS, BATCH, 2 * HIDDEN))
        if at_end:
            upstream[1:-1] = 0.0
        return BothWays(x, weights, upstream)
    carries = slice(HIDDEN, 2 * HIDDEN) if kind in ("lstm", "gru") else slice(0)
    return recurrence(NumpyRecurrence, kind, regime, rng, GATES[kind], len(ROLES[kind]), carries)


def recurrence(
    made: Callable[..., Recurrence],
    kind: str,
    regime: str,
    rng: np.random.Generator,
    gates: int,
    states: int,
    carries: slice,
) -> Recurrence:
    """A random recurrence of so many ``gates`` and ``states``, ragged; ``carries``: the rows of the gate that does."""
    scale, shift, at_end = REGIMES[regime]
    rows = gates * HIDDEN

    def uniform(*shape: int) -> Array:
        return rng.uniform(-1, 1, shape)

    bias = uniform(rows)
    bias[carries] += shift
    weights = (scale**0.5 * uniform(rows, FEATURES), scale * uniform(rows, HIDDEN), bias, uniform(rows))
    upstream = rng.standard_normal((STEPS, BATCH, HIDDEN))
    if at_end:
        upstream[:-1] = 0.0
    x, initial = rng.standard_normal((STEPS, BATCH, FEATURES)), tuple(uniform(BATCH, HIDDEN) for _ in range(states))
    lengths = np.array([STEPS, STEPS - 1, STEPS - 3])
    final = tuple(rng.standard_normal((BATCH, HIDDEN)) for _ in range(states))
    return made(kind, x, initial, weights, lengths, upstream, final)


def backward_of(problem: Problem) -> Callable[..., Bptt | PoolingBackward | BothWaysBackward]:
    """The right backward pass, by hand."""
    if isinstance(problem, Pooling):
        return PoolingBackward
    return BothWaysBackward if isinstance(problem, BothWays) else Bptt


def correct(problem: Problem) -> OracleGradients:
    """The right gradients."""
    return backward_of(problem)(problem).gradients()


# Policies: from a problem to a judge of gradients, which answers whether they are wrong -------------------


def ours(problem: Problem) -> Judge:
    """Complex step; every tensor and every time step; weights untied; normwise 1e-11, or rounding if that is more.

    Gradients in float32 are held to 2e-5 of the derivative in double precision at the states that the forward pass in
    float32 went through: what they differ from others by is rounding of values, which no backward pass can mend.
    """
    dtype = problem.upstream.dtype
    if isinstance(problem, NumpyRecurrence) and dtype == np.float32:
        states = [tuple(s.astype(np.float64) for s in state) for state in problem.states()]
        double = problem.astype(np.float64)
        truth, noise = double.truth(states), rounding(double, dtype, states)
    else:
        truth = problem.astype(np.float64).truth()
        noise = rounding(problem.astype(np.float64), dtype)
    return lambda claimed: bool(disagreements(claimed, truth, noise, dtype=dtype))


def rounding(problem: Problem, dtype: Any = np.float64, states: list[State] | None = None) -> OracleGradients:
    """The rounding error of the right backward pass in ``dtype``: it is repeated with 36 bits, chosen at random.

    ``states``: those of the forward pass, if they are known and not rounded anew.
    """
    known = {} if states is None else {"states": states}
    repeated, unit = backward_of(problem), float(np.finfo(dtype).eps) * 2.0**36
    exact, noise = repeated(problem, **known).gradients(), OracleGradients()
    for seed in range(3):
        coarse = repeated(problem, np.random.default_rng(seed), **known).gradients()
        for part in ("whole", "shares", "states"):
            mine, one, other = (getattr(gradients, part) for gradients in (noise, coarse, exact))
            for key in other:
                mine[key] = np.maximum(mine.get(key, 0.0), unit * np.abs(one[key] - other[key]))
    return noise


def torch_style(problem: Problem) -> Judge:
    """``torch.autograd.gradcheck``: central differences of 1e-6, every element, atol 1e-5 and rtol 1e-3."""
    numeric = {name: np.zeros(x.shape) for name, x in problem.inputs().items()}
    for name, slopes in numeric.items():
        for at in np.ndindex(slopes.shape):
            v = np.zeros(slopes.shape)
            v[at] = 1.0
            slopes[at] = _central(problem, {name: v}, 1e-6)

    def wrong(claimed: OracleGradients) -> bool:
        return not all(np.allclose(claimed.whole[name], n, rtol=1e-3, atol=1e-5) for name, n in numeric.items())

    return wrong


def jax_style(problem: Problem) -> Judge:
    """``jax.test_util.check_grads``: one direction through all inputs, differences of 1e-4, atol and rtol 1e-5."""
    rng = np.random.default_rng(0)
    tangent = {name: np.asarray(rng.standard_normal(x.shape)) for name, x in problem.inputs().items()}
    numeric = _central(problem, tangent, 1e-4)

    def wrong(claimed: OracleGradients) -> bool:
        exact = sum(np.sum(v * claimed.whole[name]) for name, v in tangent.items())
        return not abs(exact - numeric) <= 1e-5 + 1e-5 * abs(numeric)

    return wrong


def autograd_style(problem: Problem) -> Judge:
    """``autograd.test_util.check_grads``: a direction per input, differences of 5e-7, 1e-6 absolute or relative."""
    rng = np.random.default_rng(0)
    directions = {name: np.asarray(rng.standard_normal(x.shape)) for name, x in problem.inputs().items()}
    numeric = {name: _central(problem, {name: v}, 0.5e-6) for name, v in directions.items()}

    def wrong(claimed: OracleGradients) -> bool:
        for name, v in directions.items():
            exact = np.sum(v * claimed.whole[name])
            error, size = abs(exact - numeric[name]), abs(exact + numeric[name])
            if not (error < 1e-6 or error < 1e-6 * size):
                return True
        return False

    return wrong


def _central(problem: Problem, direction: dict[str, Array], eps: float) -> float:
    inputs = problem.inputs()
    high, low = (problem.moved(**{k: inputs[k] + s * eps * v for k, v in direction.items()}).loss() for s in (1, -1))
    return (high - low) / (2 * eps)


POLICIES: dict[str, Callable[[Problem], Judge]] = {
    "ours": ours,
    "torch": torch_style,
    "JAX": jax_style,
    "autograd": autograd_style,
}

# The table -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One bug in one regime of one kind of cell."""

    bug: str
    kind: str
    regime: str
    found_by: dict[str, bool]  #: by policy


def wrong_gradients(problem: Problem, kind: str) -> Iterator[tuple[str, OracleGradients]]:
    """The gradients of a problem under every bug, by the bug's name, if it changes more than their last bits."""
    double, last_bits = problem.astype(np.float64), LAST_BITS[str(problem.upstream.dtype)]
    right = dict(correct(double).items())

    def differs(name: str, value: Array) -> bool:
        return not norm(value - right[name]) <= last_bits * norm(right[name])

    for bug in BUGS:
        if kind in bug.kinds:
            wrong = bug(double).gradients()
            if any(differs(name, value) for name, value in wrong.items()):
                yield bug.name, wrong if problem.upstream.dtype == np.float64 else bug(problem).gradients()


def detection_table(
    seed: int = 0,
    policies: Sequence[str] = tuple(POLICIES),
    regimes: Sequence[str] = tuple(REGIMES),
    dtype: Any = np.float64,
) -> list[Row]:
    """The bugs that each checker finds, of backward passes in ``dtype``; `as_markdown` and `as_text` show it."""
    rows = []
    for regime in followed(regimes, "judging wrong gradients", len(regimes)):
        for kind in KINDS:
            problem = make_problem(kind, regime, seed, dtype)
            judges = {name: POLICIES[name](problem) for name in policies}
            for bug, wrong in wrong_gradients(problem, kind):
                rows.append(Row(bug, kind, regime, {name: judge(wrong) for name, judge in judges.items()}))
    return rows


def false_alarms(
    seeds: Sequence[int], policies: Sequence[str] = tuple(POLICIES), dtype: Any = np.float64
) -> dict[str, int]:
    """The number of times each policy rejects the right gradients, of fifteen problems a seed."""
    counts = dict.fromkeys(policies, 0)
    for seed in followed(seeds, "judging right gradients", len(seeds)):
        for regime in REGIMES:
            for kind in KINDS:
                problem = make_problem(kind, regime, seed, dtype)
                right = correct(problem)
                for name in policies:
                    counts[name] += POLICIES[name](problem)(right)
    return counts


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """A line a bug, a column a policy and regime: in which cells it was found."""
    policies, regimes = list(rows[0].found_by), list(REGIMES)
    lines = [["bug", "cells", *(f"{policy} {regime}" for policy in policies for regime in regimes)]]
    for bug in dict.fromkeys(row.bug for row in rows):
        mine = [row for row in rows if row.bug == bug]
        line = [bug, ", ".join(dict.fromkeys(row.kind for row in mine))]
        for policy in policies:
            for regime in regimes:
                found = [row.found_by[policy] for row in mine if row.regime == regime]
                line.append(f"{sum(found)}/{len(found)}" if found else "–")
        lines.append(line)
    totals = ["found", ""]
    for policy in policies:
        for regime in regimes:
            found = [row.found_by[policy] for row in rows if row.regime == regime]
            totals.append(f"{sum(found)}/{len(found)}")
    return [*lines, totals]


def as_text(rows: Sequence[Row]) -> str:
    """The table in columns, narrow enough for a terminal of 80: how many kinds of network, of how many, by regime."""
    policies = list(rows[0].found_by)
    _, *body = _cells(rows)
    width = max(len(line[0]) for line in body)
    initials = " ".join(f"{regime[0]:>2}" for regime in REGIMES)
    lines = [
        " ".join([" " * (width + 3), *(f"{policy:>9}" for policy in policies)]),
        " ".join(["bug".ljust(width), "of", *([f" {initials}"] * len(policies))]),
    ]
    for name, _, *cells in body:
        of = max((cell.partition("/")[2] for cell in cells), key=len)
        digits = max(2, len(of))  # totals have more: they take their room from the name
        found = [f"{cell.partition('/')[0]:>{digits}}" for cell in cells]
        groups = [" " + " ".join(found[k : k + len(REGIMES)]) for k in range(0, len(found), len(REGIMES))]
        wider = (digits - 2) * (1 + len(cells))
        lines.append(" ".join([name.ljust(width - wider), f"{of:>{digits}}", *groups]))
    legend = ", ".join(f"{regime[0]} {regime}" for regime in REGIMES)
    return "\n".join([*lines, f"in how many kinds of network it was found; {legend}"])


def as_markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    head, *body = _cells(rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])
