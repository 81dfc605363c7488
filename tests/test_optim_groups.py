"""Groups of parameters, accumulated gradients and averages of parameters: PyTorch's numbers, eager and compiled."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim import swa_utils

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

judged = pytest.mark.skipif(torch is None, reason="PyTorch is the judge here")
X, Y = np.random.default_rng(0).normal(size=(2, 6, 5, 3))


def models() -> tuple[Any, Any]:
    """One model in both libraries."""
    ours = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)).double()
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    return ours, theirs


def grouped(library: Any, kind: str, model: Any) -> Any:
    settings = {"momentum": 0.9} if kind == "SGD" else {"amsgrad": True}
    optimizer = getattr(library, kind)(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": [model[2].weight], "weight_decay": 0.2}],
        lr=0.03,
        **settings,
    )
    optimizer.add_param_group({"params": model[2].bias, "maximize": True})
    return optimizer


def same(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-11, atol=1e-13)


@judged
@pytest.mark.filterwarnings("ignore:Detected call")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_groups_are_pytorchs(kind: str, compiled: bool) -> None:
    ours, theirs = models()
    optimizer, judge = grouped(optim, kind, ours), grouped(torch.optim, kind, theirs)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    other = torch.optim.lr_scheduler.StepLR(judge, 2, gamma=0.5)

    def step(x: Any, y: Any) -> tg.Tensor:
        loss = nn.functional.mse_loss(ours(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = tg.compile(step) if compiled else step
    for k, (x, y) in enumerate(zip(X, Y, strict=True)):
        if k == 4:  # another setting, of one group
            optimizer.param_groups[1]["weight_decay"] = judge.param_groups[1]["weight_decay"] = 0.5
        run(tg.tensor(x), tg.tensor(y))
        judge.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        judge.step()
        same(ours, theirs)
        schedule.step(), other.step()
        assert schedule.get_last_lr() == pytest.approx(other.get_last_lr())
    saved, fresh = judge.state_dict(), grouped(optim, kind, ours)
    fresh.load_state_dict(saved)
    assert [g["lr"] for g in fresh.param_groups] == [g["lr"] for g in optimizer.param_groups]
    for mine, its in zip(optimizer.state_dict()["param_groups"], saved["param_groups"], strict=True):
        assert mine["params"] == its["params"] and {key: its[key] for key in mine} == mine
    assert repr(fresh).count("\n") == 4


def test_groups_that_make_no_sense() -> None:
    p, q = nn.Parameter([1.0]), nn.Parameter([2.0])
    sgd = optim.SGD([{"params": p}])
    for call, error, message in [
        (lambda: optim.SGD([{"params": [p], "wieght_decay": 0.1}]), tg.ArgumentError, "no setting wieght_decay"),
        (lambda: optim.SGD([{"params": p, "lr": -1.0}]), tg.ArgumentError, "lr must not be negative"),
        (lambda: optim.SGD([{"lr": 1.0}]), tg.DTypeError, 'a dict with "params"'),
        (lambda: optim.SGD([p, {"params": q}]), tg.DTypeError, "not dict; use model.parameters"),  # type: ignore[list-item]
        (lambda: sgd.add_param_group({"params": [q, p]}), tg.GraphError, "a parameter twice"),
        (lambda: sgd.add_param_group({"params": q * 2}), tg.GraphError, "optimizes leaves"),
        (lambda: sgd.load_state_dict(optim.SGD([{"params": p}, {"params": q}]).state_dict()), tg.DataError, "groups"),
    ]:
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert sgd.params == [p] and len(sgd.param_groups) == len(sgd.state) == 1


@pytest.mark.parametrize("given", [True, "0.1", None, [0.1, True], np.ones(2)])
def test_a_setting_is_a_number(given: Any) -> None:
    with pytest.raises(tg.DTypeError, match="SGD: lr must be a number, not "):
        optim.SGD([nn.Parameter([1.0])], lr=given)


@pytest.mark.parametrize("one", [np.array(0.5), np.array([0.5]), tg.tensor(0.5)])
def test_a_saved_setting_may_be_a_number_in_an_array(one: Any) -> None:
    """PyTorch saves it so if it was given so."""
    sgd = optim.SGD([nn.Parameter([1.0])], lr=0.1)
    saved = sgd.state_dict()
    saved["param_groups"][0]["lr"] = one
    sgd.load_state_dict(saved)
    assert sgd.lr == 0.5
    saved["param_groups"][0]["lr"] = np.array([0.5, 0.5])
    with pytest.raises(tg.DataError, match="lr must be a number"):
        sgd.load_state_dict(saved)


@judged
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("set_to_none", [False, True])
def test_gradients_accumulate_over_calls(compiled: bool, set_to_none: bool) -> None:
    ours, theirs = models()
    optimizer = optim.Adam(ours.parameters(), lr=0.05)
    judge = torch.optim.Adam(theirs.parameters(), lr=0.05)

    def add(x: Any, y: Any) -> None:
        (nn.functional.mse_loss(ours(x), y) / 3).backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)

    for k, (x, y) in enumerate(zip(X, Y, strict=True)):
        (tg.compile(add) if compiled else add)(tg.tensor(x), tg.tensor(y))
        (torch.nn.functional.mse_loss(theirs(torch.tensor(x)), torch.tensor(y)) / 3).backward()
        if k % 3 == 2:
            (tg.compile(update) if compiled else update)()
            judge.step()
            judge.zero_grad(set_to_none=set_to_none)
            assert all((p.grad is None) == set_to_none for p in ours.parameters())
            same(ours, theirs)


@judged
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("decay", [None, 0.8])
def test_averages_are_pytorchs(compiled: bool, decay: float | None) -> None:
    ours, theirs = models()
    optimizer, judge = optim.SGD(ours.parameters(), lr=0.5), torch.optim.SGD(theirs.parameters(), lr=0.5)
    averaged = swa_utils.AveragedModel(ours, avg_fn=None if decay is None else swa_utils.get_ema_avg_fn(decay))
    average = torch.optim.swa_utils.AveragedModel(
        theirs, multi_avg_fn=None if decay is None else torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    )

    def step(x: Any, y: Any) -> tg.Tensor:
        loss = nn.functional.mse_loss(ours(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averaged.update_parameters(ours)
        return loss

    run = tg.compile(step) if compiled else step
    for x, y in zip(X, Y, strict=True):
        run(tg.tensor(x), tg.tensor(y))
        judge.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        judge.step()
        average.update_parameters(theirs)
        same(averaged, average)
    assert int(averaged.n_averaged) == int(average.n_averaged) == 6
    names = {key for key, value in averaged.state_dict().items()}
    assert names == set(average.state_dict())


def test_buffers_in_an_average() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            self.register_buffer("mean", [0.0])
            self.register_buffer("count", 0)

    model: Any = Counting()
    copied, averaged = (swa_utils.AveragedModel(model, use_buffers=use) for use in (False, True))
    for k in (1, 2, 4):
        model.mean, model.count = tg.tensor([float(k)]), tg.tensor(k)
        copied.update_parameters(model)
        averaged.update_parameters(model)
    assert copied.module.mean.item() == 4.0 and copied.module.count.item() == averaged.module.count.item() == 4  # type: ignore[attr-defined]
    assert averaged.module.mean.item() == pytest.approx(7 / 3)  # type: ignore[attr-defined]
    for wrong in ({"multi_avg_fn": lambda *_: None}, {"avg_fn": None, "multi_avg_fn": max}):
        with pytest.raises(tg.ArgumentError, match=r"multi_avg_fn is not supported; give avg_fn, .*get_ema_avg_fn"):
            swa_utils.AveragedModel(model, **wrong)  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="averages a module, not list"):
        swa_utils.AveragedModel([model])  # type: ignore[arg-type]
    with pytest.raises(tg.ArgumentError, match="decay is from 0 to 1"):
        swa_utils.get_ema_avg_fn(1.5)
