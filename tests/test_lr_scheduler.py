"""Schedules give PyTorch's rates, step by step; a compiled step follows them; they go on where they stopped."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_rnn as tg

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

judged = pytest.mark.skipif(torch is None, reason="PyTorch is the judge here")

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda lib, o: lib.StepLR(o, 3, gamma=0.5),
    "exponential": lambda lib, o: lib.ExponentialLR(o, 0.9),
    "cosine": lambda lib, o: lib.CosineAnnealingLR(o, 8, eta_min=0.01),
    "warm-up": lambda lib, o: lib.LinearLR(o, start_factor=0.1, total_iters=4),
    "constant": lambda lib, o: lib.ConstantLR(o, factor=0.25, total_iters=4),
    "restarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 3, eta_min=0.02),
    "longer restarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 2, T_mult=3),
    "own": lambda lib, o: lib.LambdaLR(o, lambda step: 1 / (1 + step)),
    "milestones": lambda lib, o: lib.MultiStepLR(o, [3, 5, 5], gamma=0.5),
    "one after the other": lambda lib, o: lib.SequentialLR(
        o, [lib.LinearLR(o, 0.1, total_iters=4), lib.CosineAnnealingLR(o, 6), lib.StepLR(o, 2)], [4, 9]
    ),
}
CYCLES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "later": {"pct_start": 0.5, "base_momentum": 0.7, "max_momentum": 0.9},
    "in three parts": {"three_phase": True, "div_factor": 4.0, "final_div_factor": 8.0},
    "straight": {"anneal_strategy": "linear", "cycle_momentum": False},
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
@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_one_cycle_is_pytorchs_momentum_and_all(cycle: str, kind: str) -> None:
    settings = {"lr": 0.2, **({"momentum": 0.9} if kind == "SGD" else {})}
    ours = getattr(tg.optim, kind)([tg.nn.Parameter([1.0])], **settings)
    theirs = getattr(torch.optim, kind)([torch.nn.Parameter(torch.ones(1))], **settings)
    schedule = tg.lr_scheduler.OneCycleLR(ours, 0.4, epochs=2, steps_per_epoch=5, **CYCLES[cycle])
    judge = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.4, epochs=2, steps_per_epoch=5, **CYCLES[cycle])
    name = "momentum" if kind == "SGD" else "betas"
    for _ in range(9):
        assert schedule.get_last_lr() == pytest.approx(judge.get_last_lr(), rel=1e-12)
        assert ours.param_groups[0][name] == pytest.approx(theirs.param_groups[0][name], rel=1e-12)
        schedule.step(), judge.step()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_a_compiled_step_follows_the_momentum_without_being_compiled_again(kind: str) -> None:
    def train(compiled: bool) -> list[float]:
        p = tg.nn.Parameter([1.0, -2.0], dtype="float64")
        settings = {} if kind == "Adam" else {"momentum": 0.9}
        optimizer = getattr(tg.optim, kind)([p], **settings)
        cycle = tg.lr_scheduler.OneCycleLR(optimizer, 0.05, 8)

        def step() -> tg.Tensor:
            optimizer.zero_grad()
            loss = (p**4).sum()
            loss.backward()
            optimizer.step()
            return loss

        run: Any = tg.compile(step) if compiled else step
        losses = []
        for _ in range(7):
            losses.append(run().item())
            cycle.step()
        assert not compiled or run.recordings <= 2  # SGD's first step has no momentum yet
        return losses

    assert train(True) == pytest.approx(train(False), rel=1e-12)


@judged
@pytest.mark.filterwarnings("ignore:Detected call")
def test_restarts_within_a_step_are_pytorchs() -> None:
    ours, theirs = optimizer(), torch_optimizer()
    schedule = tg.lr_scheduler.CosineAnnealingWarmRestarts(ours, 2, T_mult=2)
    judge = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(theirs, 2, T_mult=2)
    for epoch in (0.25, 1.5, 2.0, None, None, 5.75, 7.5, None):
        schedule.step(epoch), judge.step(epoch)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        assert schedule.last_epoch == judge.last_epoch


def test_it_goes_on_after_the_steps_of_another() -> None:
    for name, make in SCHEDULES.items():
        if name == "one after the other":
            continue
        sgd, straight = optimizer(), optimizer()
        first, whole = make(tg.lr_scheduler, sgd), make(tg.lr_scheduler, straight)
        for _ in range(4):
            first.step(), whole.step()
        kind = type(first)
        settings = {k: v for k, v in vars(first).items() if k in inspect.signature(kind).parameters}
        second = kind(**{**settings, "last_epoch": first.last_epoch})
        whole.step()
        assert second.last_epoch == 5 and sgd.lr == pytest.approx(straight.lr, rel=1e-12), name
    if torch is not None:
        theirs = torch_optimizer()
        judge = torch.optim.lr_scheduler.StepLR(theirs, 2)
        assert torch.optim.lr_scheduler.StepLR(theirs, 2, last_epoch=judge.last_epoch).last_epoch == 1
    with pytest.raises(tg.ArgumentError, match="last_epoch=3 goes on after a schedule that this optimizer had"):
        tg.lr_scheduler.StepLR(optimizer(), 2, last_epoch=3)


@judged
@pytest.mark.parametrize("threshold", ["rel", "abs"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_is_pytorchs(mode: str, threshold: str) -> None:
    ours, theirs = optimizer(), torch_optimizer()
    settings = {"mode": mode, "factor": 0.5, "patience": 1, "cooldown": 1, "min_lr": 0.03}
    settings |= {"threshold_mode": threshold, "threshold": 0.05}
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
        (lambda: tg.lr_scheduler.ConstantLR(optimizer(), 1.5), "factor is from 0 to 1, not 1.5"),
        (lambda: tg.lr_scheduler.ExponentialLR(tg.nn.Linear(1, 1), 0.5), "an optimizer, not Linear"),
        (lambda: tg.lr_scheduler.ReduceLROnPlateau(optimizer(), mode="down"), "not 'down'"),
        (lambda: tg.lr_scheduler.OneCycleLR(tg.optim.Adagrad([tg.nn.Parameter([1.0])]), 1.0, 2), "no momentum to"),
        (lambda: tg.lr_scheduler.OneCycleLR(optimizer(), 1.0), "give total_steps, or epochs"),
        (lambda: tg.lr_scheduler.OneCycleLR(optimizer(), [1.0, 2.0], 5), "2 numbers for 1 groups"),
        (lambda: tg.lr_scheduler.MultiStepLR(optimizer(), [3, 2]), "milestones go up"),
        (lambda: tg.lr_scheduler.SequentialLR(optimizer(), [], [2]), "one milestone fewer"),
    ]:
        with pytest.raises(tg.ArgumentError, match=message):
            wrong()  # type: ignore[no-untyped-call]
    cycle = tg.lr_scheduler.OneCycleLR(optimizer(), 1.0, 2)
    cycle.step(), cycle.step()
    with pytest.raises(tg.ArgumentError, match="step 3 of a cycle of 2"):
        cycle.step()


def test_a_schedule_is_not_stepped_inside_a_compiled_function():
    optimizer = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    for schedule in (tg.lr_scheduler.StepLR(optimizer, 1), tg.lr_scheduler.ReduceLROnPlateau(optimizer)):
        arguments = () if isinstance(schedule, tg.lr_scheduler.StepLR) else (1.0,)

        @tg.compile
        def step(x, schedule=schedule, arguments=arguments):
            schedule.step(*arguments)
            return x * 2

        with pytest.raises(tg.GraphError, match=r"call it after the compiled step \[at test_lr_scheduler\.py"):
            step(tg.ones(2))
        assert schedule.last_epoch == 0
