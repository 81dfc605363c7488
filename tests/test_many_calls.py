"""Many calls of a compiled function in one leave behind and return what the calls one by one do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nightly import NIGHTLY

import tinygrad_rnn as tg
from tinygrad_rnn.errors import OutOfRangeError, ShapeError

T, V, H, CALLS = 3, 5, 4, 7
Made = tuple[Any, list[Any], Any]


def _tokens(calls: int = CALLS, time_steps: int = T) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, V, (calls, time_steps)), rng.integers(0, V, (calls, time_steps))


def _model(optimizer: Callable[[Any], Any], zero: bool = True, dropout: float = 0.0) -> Made:
    """A compiled training step, its parameters, its optimizer."""
    tg.manual_seed(0)
    rnn, head = tg.nn.RNN(V, H, dtype=tg.float64), tg.nn.Linear(H, V, dtype=tg.float64)
    parameters = [*rnn.parameters(), *head.parameters()]
    made = optimizer(parameters)

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        h = tg.nn.functional.dropout(rnn(tg.one_hot(x, V, dtype=tg.float64))[0], dropout)
        loss = tg.nn.functional.cross_entropy(head(h), y)
        if zero:
            made.zero_grad()
        loss.backward()
        made.step()
        return {"loss": loss, "last": (h[-1], "as it is")}

    return step, parameters, made


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "momentum": lambda p: tg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: tg.optim.Adam(p, lr=0.1),
    "adagrad": lambda p: tg.optim.Adagrad(p, lr=0.1, lr_decay=0.5),
}


@pytest.mark.parametrize(
    ("name", "time_steps"),
    [*((name, T) for name in OPTIMIZERS), *((name, 25) for name in (OPTIMIZERS if NIGHTLY else ["adam"]))],
)
def test_for_each_is_what_calls_are(name: str, time_steps: int) -> None:
    x, y = _tokens(time_steps=time_steps)
    one, mine, first = _model(OPTIMIZERS[name])
    many, theirs, second = _model(OPTIMIZERS[name])
    expected = [one(a, b) for a, b in zip(x, y)]
    found = many.for_each(x, tg.tensor(y))
    assert many.recordings == one.recordings
    assert found["last"][1] == "as it is"
    np.testing.assert_allclose(found["loss"].numpy(), [e["loss"].item() for e in expected], rtol=1e-12)
    np.testing.assert_allclose(found["last"][0].numpy(), [e["last"][0].numpy() for e in expected], rtol=1e-12)
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12)
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-10, atol=1e-15)
    for a, b in zip(first.state_dict()["state"].values(), second.state_dict()["state"].values()):
        for key in a:
            np.testing.assert_allclose(b[key], a[key], rtol=1e-10, atol=1e-15)


def test_gradients_that_add_up_and_random_numbers_are_those_of_calls() -> None:
    x, y = _tokens()
    for settings in ({"zero": False}, {"dropout": 0.5}):
        one, mine, _ = _model(OPTIMIZERS["momentum"], **settings)
        tg.manual_seed(1)
        expected = [one(a, b)["loss"].item() for a, b in zip(x, y)]
        many, theirs, _ = _model(OPTIMIZERS["momentum"], **settings)
        tg.manual_seed(1)
        np.testing.assert_allclose(many.for_each(x, y)["loss"].numpy(), expected, rtol=1e-12)
        for a, b in zip(mine, theirs):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12)


def test_an_error_in_one_call_leaves_those_before_it_made() -> None:
    x, y = _tokens()
    x[5, 1] = V
    one, mine, first = _model(OPTIMIZERS["adam"])
    for a, b in zip(x[:5], y):
        one(a, b)
    with pytest.raises(OutOfRangeError) as alone:
        one(x[5], y[5])
    many, theirs, second = _model(OPTIMIZERS["adam"])
    with pytest.raises(OutOfRangeError) as among:
        many.for_each(x, y)
    assert str(among.value).split(" [")[0] == str(alone.value).split(" [")[0]
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12)
    assert first.state_dict()["state"][0]["step"] == second.state_dict()["state"][0]["step"] == 5


def test_a_parameter_that_is_returned_is_there_as_it_was_after_each_call() -> None:
    w = tg.nn.Parameter([1.0])

    @tg.compile
    def double(x: Any) -> Any:
        with tg.no_grad():
            w.copy_(w * x)
        return w, x

    returned, given = double.for_each(np.full((3, 1), 2, np.float32))
    assert returned.numpy().ravel().tolist() == [2, 4, 8] and given.numpy().ravel().tolist() == [2, 2, 2]


def test_what_has_no_rows_is_one_line() -> None:
    step, _, _ = _model(OPTIMIZERS["momentum"])
    x, y = _tokens()
    with pytest.raises(ShapeError, match=r"step\.for_each goes along the first axis.*\(7, 3\), \(6, 3\)"):
        step.for_each(x, y[:6])
    with pytest.raises(ShapeError, match="at least one"):
        step.for_each(x[:0], y[:0])
    with pytest.raises(ShapeError, match="argument 1 is 3"):
        step.for_each(x, 3)
    with pytest.raises(ShapeError, match="requires a gradient"):
        step.for_each(tg.ones(2, 3, requires_grad=True))
