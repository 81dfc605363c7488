"""The digits that each primitive and update rule keeps, judged with 50: ``python -m tinygrad_rnn.testing.accuracy``.

Errors are counted in units in the last place (ulp) of a *scale*: the exact result itself, or, where a small result of
large numbers cannot be had to its own last place, what it was made from: of a sum or a product of matrices, the sum of
the magnitudes; of a rule that has only the rounded ``y`` to go by (1 - y^2 of `tanh`), the upstream gradient.
Results outside the normal numbers of their dtype are not judged. Needs mpmath: ``pip install 'tinygrad_rnn[test]'``.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, optim
from ..compiler import compile
from ..files import write_atomically
from ..optional_packages import needed
from ..primitives.record import KERNEL_MIN_SIZE, TABLE, Primitive
from ..reverse_walk import grad
from ..rule_answers import unbroadcast
from ..tensors import tensor
from .sample_operands import Case, Source, recipe_for

Array = np.ndarray[Any, np.dtype[Any]]
DTYPES = (np.float32, np.float64)
MODES: dict[str, Callable[[Any], Any]] = {"eager": lambda function: function, "compiled": compile}

#: what is promised, in ulp: of the value, and of every rule; see docs/accuracy.md for what was found
BOUND = 4.0
BOUNDS: dict[tuple[str, str], float] = {
    # an argument's rounding, multiplied by the argument: x^2 up to 708, a row's spread up to 745, log a up to 710
    ("erf", "rule"): 360.0,
    ("erfc", "rule"): 360.0,
    ("pow", "rule"): 360.0,
    ("softmax", "value"): 380.0,
    ("logsumexp", "rule"): 380.0,
    ("cross_entropy", "rule"): 380.0,
    ("log_softmax", "value"): 380.0,  # a confident one is a small share
    ("cross_entropy", "value"): 380.0,
    ("tanh", "value"): 7.0,  # float32's rational function: 4e-7
    ("tanh", "rule"): 14.0,  # 2 y times that
    ("matmul", "value"): 16.0,
    ("matmul", "rule"): 16.0,
    ("linear", "value"): 16.0,
    ("linear", "rule"): 16.0,
    ("einsum", "value"): 16.0,
    ("einsum", "rule"): 16.0,
    ("cumsum", "value"): 16.0,
    ("cumsum", "rule"): 16.0,
    **{(name, "rule"): 16.0 for name in ("Adagrad", "RMSprop", "RMSprop, centered", "Adam", "AdamW")},
    ("SGD, momentum", "rule"): 8.0,
    ("SGD, nesterov", "rule"): 8.0,
}


def _mp() -> Any:
    with needed("judging digits", "test"):
        import mpmath
    mpmath.mp.dps = 50
    return mpmath.mp


@dataclass(frozen=True)
class Exact:
    """A function of real numbers as a person would write it with 50 digits, its derivatives, and where it is asked."""

    value: Callable[..., Any]
    slopes: tuple[Callable[..., Any], ...]
    domain: Callable[[np.random.Generator, int, Any], tuple[Array, ...]]
    upstream: bool = False  #: the rule is judged by the upstream gradient


def _anywhere(rng: np.random.Generator, n: int, dtype: Any) -> Array:
    """Both signs; a third of every magnitude the dtype has, a third within 20 of 0, a third near 1 and -1."""
    info, sign = np.finfo(dtype), rng.choice([-1.0, 1.0], n)
    magnitudes = np.exp(rng.uniform(math.log(info.tiny), math.log(info.max), n))
    x = np.select(
        [np.arange(n) % 3 == 0, np.arange(n) % 3 == 1],
        [magnitudes, rng.uniform(0, 20, n)],
        1 + rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(-7, 0, n),
    )
    return np.asarray((sign * x).astype(dtype))


def _one(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, ...]:
    return (_anywhere(rng, n, dtype),)


def _positive(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, ...]:
    return (np.abs(_anywhere(rng, n, dtype)),)


def _base_and_exponent(rng: np.random.Generator, n: int, dtype: Any) -> tuple[Array, ...]:
    base = np.abs(_anywhere(rng, n, dtype))
    largest = 700 if dtype is np.float64 else 80
    exponent = rng.uniform(-1, 1, n) * np.minimum(largest / np.maximum(np.abs(np.log(base)), 1e-6), 1e4)
    return base, exponent.astype(dtype)


def _exact_functions() -> dict[str, Exact]:
    mp = _mp()

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + mp.exp(-x))

    return {
        "exp": Exact(mp.exp, (mp.exp,), _one),
        "log": Exact(mp.log, (lambda x: 1 / x,), _positive),
        "sqrt": Exact(mp.sqrt, (lambda x: 1 / (2 * mp.sqrt(x)),), _positive),
        "sin": Exact(mp.sin, (mp.cos,), _one),
        "cos": Exact(mp.cos, (lambda x: -mp.sin(x),), _one),
        "tanh": Exact(mp.tanh, (lambda x: mp.sech(x) ** 2,), _one, upstream=True),
        "sigmoid": Exact(sigmoid, (lambda x: sigmoid(x) * sigmoid(-x),), _one, upstream=True),
        "softplus": Exact(lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, 0), (sigmoid,), _one),
        "erf": Exact(mp.erf, (lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),), _one),
        "erfc": Exact(lambda x: mp.erfc(min(x, 100)), (lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x),), _one),
        "pow": Exact(
            mp.power, (lambda a, b: b * mp.power(a, b - 1), lambda a, b: mp.power(a, b) * mp.log(a)), _base_and_exponent
        ),
    }


class Finding(NamedTuple):
    """The worst error found, in ulp of the scale."""

    ulps: float
    scale: str


def _ulps(found: Array, exact: Any, scale: Any, dtype: Any) -> float:
    """The largest error in ulp of the scale, over results that are normal numbers."""
    worst, info = 0.0, np.finfo(dtype)
    for got, right, size in zip(np.ravel(found), np.ravel(exact), np.ravel(scale), strict=True):
        if got == right or not float(info.tiny) * 4 <= abs(size) <= float(info.max) / 4:
            continue
        error = abs(_mp().mpf(float(got)) - right) if np.isfinite(got) else math.inf
        worst = max(worst, float(error / _mp().mpf(float(np.spacing(dtype(abs(float(size))))))))
    return worst


def _object(x: Any) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x
    mpf = _mp().mpf
    exact = np.empty(x.shape, object)
    for at in np.ndindex(x.shape):
        exact[at] = mpf(float(x[at]))
    return exact


def _run(primitive: Primitive, case: Case, mode: str, g: Array | None, slot: int) -> Array:
    """The value, or with an upstream gradient the gradient of one operand."""
    arrays = [i for i, x in enumerate(case.operands) if isinstance(x, np.ndarray)]
    leaves = [tensor(case.operands[i], requires_grad=i == slot) for i in arrays]

    def function(*given: Any) -> Any:
        operands = list(case.operands)
        for i, x in zip(arrays, given, strict=False):
            operands[i] = x
        y = primitive(*operands, **case.attrs)
        return y if g is None else grad(y, operands[slot], given[-1])[0]

    with np.errstate(all="ignore"):
        return np.asarray(MODES[mode](function)(*leaves, *([] if g is None else [tensor(g)])).numpy())


def judge_function(name: str, dtype: Any, mode: str, points: int = 400, seed: int = 0) -> list[Finding]:
    """The worst errors of a function of real numbers: of its value, then of each rule."""
    exact, primitive, rng = _exact_functions()[name], TABLE[name], np.random.default_rng(seed)
    operands = exact.domain(rng, max(KERNEL_MIN_SIZE, points), dtype)
    some = rng.choice(len(operands[0]), points, replace=False)
    exactly = [[_mp().mpf(float(x)) for x in operand[some]] for operand in operands]
    case = Case(operands)
    right = [exact.value(*x) for x in zip(*exactly)]
    findings = [Finding(_ulps(_run(primitive, case, mode, None, -1)[some], right, right, dtype), "result")]
    g = rng.uniform(1, 2, len(operands[0])).astype(dtype)
    for slot, slope in enumerate(exact.slopes):
        right = [_mp().mpf(float(up)) * slope(*x) for up, *x in zip(g[some], *exactly)]
        scale = np.maximum(np.abs(right), g[some]) if exact.upstream else right
        found = _run(primitive, case, mode, g, slot)[some]
        findings.append(Finding(_ulps(found, right, scale, dtype), "upstream" if exact.upstream else "result"))
    return findings


def _row_functions() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """For rows of logits: the value, and the gradient for an upstream one; rows last, exact numbers."""
    mp = _mp()

    def shares(x: Array) -> Array:
        e = np.array([mp.exp(v - max(x)) for v in x], object)
        return np.asarray(e / e.sum())

    def logarithm(x: Array) -> Any:
        return max(x) + mp.log(sum(mp.exp(v - max(x)) for v in x))

    def losses(x: Array, target: Any) -> Any:
        return logarithm(x) - x[int(target)]

    def misses(g: Any, x: Array, target: Any) -> Array:
        wrong = shares(x)
        wrong[int(target)] = -sum(p for k, p in enumerate(wrong) if k != int(target))
        return np.asarray(g * wrong)

    return {
        "softmax": (shares, lambda g, x: shares(x) * (g - (g * shares(x)).sum())),
        "log_softmax": (lambda x: x - logarithm(x), lambda g, x: g - shares(x) * g.sum()),
        "logsumexp": (logarithm, lambda g, x: g * shares(x)),
        "cross_entropy": (losses, misses),
    }


def judge_rows(name: str, dtype: Any, mode: str, points: int = 400, seed: int = 0) -> list[Finding]:
    """The worst errors on rows of logits, small ones and large ones, close together and far apart."""
    primitive, rng, classes = TABLE[name], np.random.default_rng(seed), 5
    rows = max(KERNEL_MIN_SIZE // classes + 1, points // classes)
    top = 0.4 * math.log10(np.finfo(dtype).max)
    level = (
        rng.choice([-1.0, 1.0], (rows, 1)) * 10.0 ** rng.uniform(-top, top, (rows, 1)) * rng.integers(0, 2, (rows, 1))
    )
    x = np.asarray(level + rng.standard_normal((rows, classes)) * 10.0 ** rng.uniform(-3, 1.3, (rows, 1)), dtype)
    value, slope = _row_functions()[name]
    others = [rng.integers(0, classes, rows)] if name == "cross_entropy" else []
    attrs: dict[str, Any] = {"ignore_index": -100} if others else {"axis": -1}
    case = Case((x, *others), attrs | ({"keepdims": False} if name == "logsumexp" else {}))
    some = rng.choice(rows, points // classes, replace=False)
    y = _run(primitive, case, mode, None, -1)
    g = np.asarray(rng.uniform(1, 2, y.shape), dtype)
    found = _run(primitive, case, mode, g, 0)
    worst, worst_rule = 0.0, 0.0
    for i in some:
        row, *rest = _object(x[i]), *(o[i] for o in others)
        right = value(row, *rest)
        # a logarithm near 0 is a difference of the largest logit and the logarithm of the rest
        scale = max(abs(right), max(abs(row))) if name == "logsumexp" else right
        worst = max(worst, _ulps(y[i], right, scale, dtype))
        up = _object(g[i]) if g.ndim == 2 else _mp().mpf(float(g[i]))
        right = slope(up, row, *rest)
        size = right if name in ("cross_entropy", "logsumexp") else np.maximum(np.abs(right), np.max(np.abs(up)))
        worst_rule = max(worst_rule, _ulps(found[i], right, size, dtype))
    small = "result" if name in ("cross_entropy", "logsumexp") else "upstream"
    return [Finding(worst, "logits" if name == "logsumexp" else "result"), Finding(worst_rule, small)]


def judge_others(name: str, dtype: Any, mode: str, cases: int = 6, seed: int = 0) -> list[Finding]:
    """The worst errors of what adds, multiplies, chooses or moves: its own reference and rules, on exact numbers."""
    primitive, worst = TABLE[name], dict[int, float]()
    adds = _adds(primitive)
    for case in _cases(primitive, dtype, cases, seed):
        exact = Case(tuple(map(_object, case.operands)), case.attrs)
        sizes = tuple(
            np.asarray(np.abs(x)) if isinstance(x, np.ndarray) and x.dtype == object else x for x in exact.operands
        )
        reference = _quotients if name == "floor_divide" else primitive.reference
        y = np.asarray(reference(*exact.operands, **case.attrs))
        found = _run(primitive, case, mode, None, -1)
        if found.dtype.kind != "f":
            assert np.array_equal(found, np.asarray(primitive.reference(*case.operands, **case.attrs)))
            worst[-1] = max(worst.get(-1, 0.0), 0.0)
            continue
        scale = np.maximum(np.abs(reference(*sizes, **case.attrs)), np.abs(y)) if adds else y
        worst[-1] = max(worst.get(-1, 0.0), _ulps(found, y, scale, found.dtype.type))
        kind = found.dtype.type
        g = np.asarray(np.random.default_rng(seed).uniform(1, 2, found.shape), kind)
        for slot, x in enumerate(case.operands):
            if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or slot not in primitive.slots:
                continue
            up, like = _object(g), exact.operands[slot]
            right = _summed(np.asarray(primitive.pull(slot, up, y, exact.operands, case.attrs)), like.shape)
            size = _summed(np.abs(np.asarray(primitive.pull(slot, up, np.abs(y), sizes, case.attrs))), like.shape)
            got = _run(primitive, case, mode, g, slot)
            worst[slot] = max(worst.get(slot, 0.0), _ulps(got, right, np.maximum(size, np.abs(right)), kind))
    return [Finding(worst[k], "terms" if adds or k >= 0 else "result") for k in sorted(worst)]


def _quotients(a: Any, b: Any) -> Any:
    return np.frompyfunc(lambda a, b: _mp().floor(a / b), 2, 1)(a, b)


def _adds(primitive: Primitive) -> bool:
    """Whether an element of its result is a sum of many."""
    return primitive.homogeneous and not primitive.exact


def _summed(value: Any, shape: tuple[int, ...]) -> Any:
    return value if value.shape == shape else unbroadcast(value, shape)


def _cases(primitive: Primitive, dtype: Any, count: int, seed: int) -> Iterator[Case]:
    """Calls that the recipe makes, with operands of many magnitudes."""
    for k in range(count):
        source = Source(seed + k, sizes=(2, 3, 7, 20) if _adds(primitive) else (2, 3, 5))
        case = recipe_for(primitive)(source)
        if any(np.ndim(x) == 0 for x in case.operands):  # NumPy makes numbers of exact arrays without dimensions
            continue
        wide = 0 if primitive.name in ("where", "cast") else 20
        yield Case(
            tuple(
                np.asarray(x * 2.0 ** source.rng.integers(-wide, wide + 1, x.shape), dtype)
                if isinstance(x, np.ndarray) and x.dtype.kind == "f"
                else x
                for x in case.operands
            ),
            case.attrs,
        )


def judge(name: str, dtype: Any, mode: str, points: int = 400, seed: int = 0) -> list[Finding]:
    """The worst errors of a primitive: of its value, then of each operand's rule.

    >>> from tinygrad_rnn.testing.accuracy import judge
    >>> judge("neg", np.float32, "eager")[0].ulps
    0.0
    """
    if name in _exact_functions():
        return judge_function(name, dtype, mode, points, seed)
    if name in _row_functions():
        return judge_rows(name, dtype, mode, points, seed)
    return judge_others(name, dtype, mode, max(2, points // 60), seed)


RULES: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD, momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "SGD, nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "RMSprop, centered": lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
}


def judge_rule(name: str, dtype: Any, mode: str, steps: int = 30, seed: int = 0) -> Finding:
    """The error of the parameters after some steps, in ulp of the longest way a parameter went, one a magnitude.

    The gradients are from 1e-15 to 1e15 in float32, from 1e-100 to 1e100 in float64.
    """
    rng, reach = np.random.default_rng(seed), 15 if dtype is np.float32 else 100
    size = 10.0 ** np.linspace(-reach, reach, 31)
    start = (rng.standard_normal(31) * (size if name.startswith("SGD") else 1)).astype(dtype)
    p, exact = nn.Parameter(start), nn.Parameter(start)
    mine, right = RULES[name]([p]), RULES[name]([exact])
    value = _object(start)
    state = {k: v if k == "step" else _object(v) for k, v in right.state[0].items()}
    gradient = tensor(np.zeros(31, dtype))

    def step(g: Any) -> None:
        mine.zero_grad()
        (p * g).sum().backward()
        mine.step()

    run, longest = MODES[mode](step), np.abs(value)
    for n in range(1, steps + 1):
        g = (rng.uniform(0.5, 1.5, 31) * size).astype(dtype)
        gradient.copy_(g)
        run(gradient)
        if "step" in state:
            state["step"] = n
        value = right._updated(value, _object(g), state, right._rates(n, right.defaults), right.defaults)
        longest = np.maximum(longest, np.abs(value))
    return Finding(_ulps(p.numpy(), value, longest, dtype), "parameter")


def bound(name: str, what: str) -> float:
    """The promised accuracy of ``what``: "value", or "rule"."""
    return BOUNDS.get((name, what), BOUND)


def tables(points: int = 100) -> tuple[str, str]:
    """The tables of docs/accuracy.md: of primitives, and of update rules."""
    columns = [(dtype, mode) for dtype in DTYPES for mode in MODES]
    lines, rules = [_header("primitive", columns)], [_header("rule", columns)]
    for name in TABLE:
        found = [judge(name, dtype, mode, points) for dtype, mode in columns]
        for k, of in enumerate(["value", *(f"rule of operand {slot}" for slot in range(len(found[0]) - 1))]):
            cells = [f"{row[k].ulps:.3g}" for row in found]
            lines.append(_row([f"`{name}`, {of}", found[0][k].scale, *cells, f"{bound(name, of.split()[0]):g}"]))
    for name in RULES:
        findings = [judge_rule(name, dtype, mode) for dtype, mode in columns]
        cells = [f"{x.ulps:.3g}" for x in findings]
        rules.append(_row([name, findings[0].scale, *cells, f"{bound(name, 'rule'):g}"]))
    return "\n".join([*lines, ""]), "\n".join([*rules, ""])


def _header(what: str, columns: list[tuple[Any, str]]) -> str:
    names = [what, "in ulp of", *(f"{np.dtype(dtype)} {mode}" for dtype, mode in columns), "promised"]
    return _row(names) + "\n" + _row(["---"] * len(names))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str]) -> None:
    """Write the tables anew in the file given, or print them."""
    made = tables()
    if arguments:
        path, rest = Path(arguments[0]), iter(made)
        text = re.sub(r"(^\|.*\n)+", lambda _: next(rest), path.read_text("utf-8"), flags=re.MULTILINE)
        write_atomically(path, text.encode())
    else:
        print("\n".join(made))


if __name__ == "__main__":
    main(sys.argv[1:])
