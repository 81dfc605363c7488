"""Schedules give PyTorch's rates, step by step; a compiled step follows them; they go on where they stopped."""

from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_rnn as tg

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]
else:
    torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])  # its first optimizer sets an environment variable

judged = pytest.mark.skipif(torch is None, reason="PyTorch is the judge here")

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda lib, o: lib.StepLR(o, 3, gamma=0.5),
    "exponential": lambda lib, o: lib.ExponentialLR(o, 0.9),
    "cosine": lambda lib, o: lib.CosineAnnealingLR(o, 8, eta_min=0.01),
    "warm-up": lambda lib, o: lib.LinearLR(o, start_factor=0.1, total_iters=4),
    "own": lambda lib, o: lib.LambdaLR(o, lambda step: 1 / (1 + step)),
}


def optimizer(lr: float = 0.2) -> tg.optim.Optimizer:
    return tg.optim.SGD([tg.nn.Parameter([1.0])], lr=lr)


def torch_optimizer() -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.2)


@judged
@pytest.mark.filterwarnings("ignore:Detected call")
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_are_pytorchs(name: str) -> None:
    ours, theirs = optimizer(), torch_optimizer()
    schedule, judge = SCHEDULES[name](tg.lr_scheduler, ours), SCHEDULES[name](torch.optim.lr_scheduler, theirs)
    for _ in range(12):
        assert schedule.get_last_lr() == pytest.approx(judge.get_last_lr(), rel=1e-12)
        schedule.step(), judge.step()


@judged
@pytest.mark.filterwarnings("ignore:Detected call")
@pytest.mark.parametrize("pct_start", [0.3, 0.5])
def test_one_cycle_is_pytorchs(pct_start: float) -> None:
    ours, theirs = optimizer(), torch_optimizer()
    schedule = tg.lr_scheduler.OneCycleLR(ours, 0.4, 10, pct_start=pct_start, cycle_momentum=False)
    judge = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.4, 10, pct_start=pct_start, cycle_momentum=False)
    for _ in range(9):
        assert schedule.get_last_lr() == pytest.approx(judge.get_last_lr(), rel=1e-12)
        schedule.step(), judge.step()
    assert ours.lr == pytest.approx(0.4 / 25 / 1e4)


@judged
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_is_pytorchs(mode: str) -> None:
    ours, theirs = optimizer(), torch_optimizer()
    settings = {"mode": mode, "factor": 0.5, "patience": 1, "cooldown": 1, "min_lr": 0.03}
    schedule = tg.lr_scheduler.ReduceLROnPlateau(ours, **settings)
    judge = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **settings)
    for value in [3.0, 2.0, 2.0, 2.1, 2.2, 2.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]:
        schedule.step(value), judge.step(value)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_compiled_step_follows(name: str) -> None:
    def train(compiled: bool) -> list[float]:
        p = tg.nn.Parameter([1.0], dtype="float64")
        sgd = tg.optim.SGD([p], lr=0.1)
        schedule = SCHEDULES[name](tg.lr_scheduler, sgd)

        def step() -> tg.Tensor:
            sgd.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            sgd.step()
            return loss

        run = tg.compile(step) if compiled else step
        losses = []
        for _ in range(6):
            losses.append(run().item())
            schedule.step()
        return losses

    assert train(True) == pytest.approx(train(False), rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_goes_on_where_it_stopped(name: str) -> None:
    first = SCHEDULES[name](tg.lr_scheduler, optimizer())
    for _ in range(5):
        first.step()
    second = SCHEDULES[name](tg.lr_scheduler, optimizer(lr=0.7))
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        assert second.get_last_lr() == first.get_last_lr()
        first.step(), second.step()
    with pytest.raises(tg.DataError, match="last_epoch"):
        second.load_state_dict({**first.state_dict(), "last_epoch": "five"})
    with pytest.raises(tg.DataError, match="has not the entries"):
        second.load_state_dict({})


def test_what_makes_no_sense_is_one_line() -> None:
    for wrong, message in [
        (lambda: tg.lr_scheduler.StepLR(optimizer(), 0), "positive integer, not 0"),
        (lambda: tg.lr_scheduler.LinearLR(optimizer(), 0.0), "from 0 to 1"),
        (lambda: tg.lr_scheduler.ExponentialLR(tg.nn.Linear(1, 1), 0.5), "an optimizer, not Linear"),
        (lambda: tg.lr_scheduler.ReduceLROnPlateau(optimizer(), mode="down"), "not 'down'"),
    ]:
        with pytest.raises(tg.ArgumentError, match=message):
            wrong()  # type: ignore[no-untyped-call]
    with pytest.raises(tg.ArgumentError, match="no momentum; give cycle_momentum=False"):
        tg.lr_scheduler.OneCycleLR(optimizer(), 1.0, 2, cycle_momentum=True)
    cycle = tg.lr_scheduler.OneCycleLR(optimizer(), 1.0, 2)
    cycle.step(), cycle.step()
    with pytest.raises(tg.ArgumentError, match="step 3 of a cycle of 2"):
        cycle.step()
