"""Every optimizer with every option against its published update rule, written out here scalar by scalar."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oracle import close

import tinygrad_rnn as tg
from tinygrad_rnn import optim

START, STEPS = 0.8, 7
GRADIENTS = np.random.default_rng(1).standard_normal(STEPS)


def sgd(lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool) -> Iterator[float]:
    p, v = START, None
    for g in GRADIENTS:
        d = g + weight_decay * p
        v = d if v is None else momentum * v + (1 - dampening) * d
        p -= lr * ((d + momentum * v if nesterov else v) if momentum else d)
        yield p


def adagrad(
    lr: float, lr_decay: float, weight_decay: float, initial_accumulator_value: float, eps: float
) -> Iterator[float]:
    p, s = START, initial_accumulator_value
    for n, g in enumerate(GRADIENTS):
        d = g + weight_decay * p
        s += d * d
        p -= lr / (1 + n * lr_decay) * d / (math.sqrt(s) + eps)
        yield p


def rmsprop(
    lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool
) -> Iterator[float]:
    p, s, mean, v = START, 0.0, 0.0, 0.0
    for g in GRADIENTS:
        d = g + weight_decay * p
        s = alpha * s + (1 - alpha) * d * d
        mean = alpha * mean + (1 - alpha) * d
        u = d / (math.sqrt(s - mean * mean if centered else s) + eps)
        v = momentum * v + u
        p -= lr * (v if momentum else u)
        yield p


def adam(
    lr: float, betas: tuple[float, float], eps: float, weight_decay: float, decoupled: bool = False
) -> Iterator[float]:
    p, m, s = START, 0.0, 0.0
    for n, g in enumerate(GRADIENTS, 1):
        d = g if decoupled else g + weight_decay * p
        p -= lr * weight_decay * p if decoupled else 0.0
        m = betas[0] * m + (1 - betas[0]) * d
        s = betas[1] * s + (1 - betas[1]) * d * d
        p -= lr * (m / (1 - betas[0] ** n)) / (math.sqrt(s / (1 - betas[1] ** n)) + eps)
        yield p


def adamw(**options: Any) -> Iterator[float]:
    return adam(decoupled=True, **options)


def grid(**choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


SGD_DEFAULTS = {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAGRAD_DEFAULTS = {"lr": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10}
RMSPROP_DEFAULTS = {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False}
ADAM_DEFAULTS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
DECAY, MOMENTUM = (0.0, 0.4), (0.0, 0.7)

CASES: list[tuple[type[optim.Optimizer], Callable[..., Iterator[float]], dict[str, Any], dict[str, Any]]] = [
    *(
        (optim.SGD, sgd, SGD_DEFAULTS, o)
        for o in grid(lr=(0.2,), momentum=MOMENTUM, dampening=(0.0, 0.3), weight_decay=DECAY, nesterov=(False, True))
        if not o["nesterov"] or (o["momentum"] and not o["dampening"])
    ),
    *(
        (optim.Adagrad, adagrad, ADAGRAD_DEFAULTS, {"lr": 0.2, **o})
        for o in grid(lr_decay=(0.0, 0.5), weight_decay=DECAY, initial_accumulator_value=(0.0, 2.0), eps=(1e-10, 0.1))
    ),
    *(
        (optim.RMSprop, rmsprop, RMSPROP_DEFAULTS, {"lr": 0.2, "alpha": 0.9, "eps": 0.1, **o})
        for o in grid(weight_decay=DECAY, momentum=MOMENTUM, centered=(False, True))
    ),
    *(
        (kind, rule, {**ADAM_DEFAULTS, "weight_decay": decay}, {"lr": 0.2, "eps": 0.1, **o})
        for kind, rule, decay in ((optim.Adam, adam, 0.0), (optim.AdamW, adamw, 1e-2))
        for o in grid(betas=((0.9, 0.999), (0.5, 0.7)), weight_decay=DECAY)
    ),
]


@pytest.mark.parametrize(("kind", "rule", "defaults", "options"), CASES)
def test_follows_its_rule(
    kind: type[optim.Optimizer], rule: Callable[..., Iterator[float]], defaults: dict[str, Any], options: dict[str, Any]
) -> None:
    for settings, given in ((options, options), (defaults, {})):  # as asked, and as it comes
        p = tg.nn.Parameter(np.array([START]))
        untouched = tg.nn.Parameter(np.array([START]))
        optimizer = kind([untouched, p], **given)
        for g, expected in zip(GRADIENTS, rule(**settings), strict=True):
            p.grad = tg.tensor(np.array([g]))
            optimizer.step()
            close(p.numpy(), np.array([expected]), 1e-13)
        assert untouched.item() == START  # no gradient, no update


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adagrad, optim.RMSprop, optim.Adam, optim.AdamW])
def test_settings_at_their_limits(kind: type[optim.Optimizer]) -> None:
    p = tg.nn.Parameter([1.0])
    assert kind([p], lr=0.0).lr == 0.0
    with pytest.raises(ValueError, match="lr must not be negative, but is -1"):
        kind([p], lr=-1.0)
    with pytest.raises(ValueError, match="lr must not be negative"):
        kind([p], lr=float("nan"))


def test_nesterov_wants_momentum_and_no_dampening() -> None:
    p = tg.nn.Parameter([1.0])
    optim.SGD([p], momentum=0.1, nesterov=True)
    for options in ({"momentum": 0.0}, {"momentum": 0.5, "dampening": 0.1}):
        with pytest.raises(ValueError, match="nesterov"):
            optim.SGD([p], nesterov=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("betas", [(1.0, 0.5), (0.5, 1.0), (-0.1, 0.5), (0.5, 1.5)])
def test_betas_lie_below_one(betas: tuple[float, float]) -> None:
    optim.Adam([tg.nn.Parameter([1.0])], betas=(0.0, 0.0))
    with pytest.raises(ValueError, match="betas"):
        optim.Adam([tg.nn.Parameter([1.0])], betas=betas)


def test_repr_names_the_settings() -> None:
    assert repr(optim.SGD([tg.nn.Parameter([1.0])], lr=0.5)).startswith("SGD(lr=0.5, momentum=0.0, ")
