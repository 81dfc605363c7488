"""Of zeros the larger is 0.0; a copy of a compiled function is one for the copy; what an error leaves behind."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg


@pytest.mark.parametrize("rows", [2, 40])
def test_the_larger_of_two_zeros_is_the_same_in_every_form(rows):
    for x in (np.zeros((rows, 3), np.float32), np.full((rows, 3), -0.0, np.float32)):
        for at in (0, 1, rows - 1):
            values = x.copy()
            values[at] = -values[at]
            values[at - 1, 0] = -1.0

            def fn(x):
                return x.amax(0), x.amin(0), x.T.amax(1), x.max(), x.amax(1)

            for plain, compiled in zip(fn(tg.tensor(values)), tg.compile(fn)(tg.tensor(values)), strict=True):
                np.testing.assert_array_equal(np.signbit(compiled.numpy()), np.signbit(plain.numpy()))
            assert not np.signbit(fn(tg.tensor(values))[0].numpy()[1:]).any()
            assert np.signbit(fn(tg.tensor(values))[1].numpy()[1:]).all()


class Model(tg.nn.Module):
    def __init__(self):
        self.linear = tg.nn.Linear(2, 1)
        self.run = tg.compile(self.loss)

    def loss(self, x):
        return self.linear(x).sum()


def test_a_copy_of_a_compiled_function_is_one_for_the_copy():
    model = Model()
    x = tg.ones(1, 2)
    before = model.run(x).item()
    for other in (copy.deepcopy(model), copy.deepcopy(model.run)._fn.__self__):
        assert isinstance(other, Model) and other is not model
        other.linear.bias.data = other.linear.bias.numpy() + 1.0
        np.testing.assert_allclose(other.run(x).item(), before + 1.0, rtol=1e-6)
    assert model.run(x).item() == before
    again = copy.copy(model.run)
    assert again(x).item() == before and again.recordings == 1


def test_a_compiled_function_is_not_pickled():
    with pytest.raises(tg.GraphError, match=r"compiled .*loss cannot be pickled.*compile that again"):
        pickle.dumps(Model().run)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_error_after_the_update_leaves_all_as_it_was(recorded):
    """Of a compiled call everything happens, or nothing; a plain one stops where it is."""
    w, fails = tg.nn.Parameter([1.0]), [not recorded]
    optimizer = tg.optim.SGD([w], lr=0.5, momentum=0.9)

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        if fails[0]:
            raise ValueError("after the update")
        return x * 2

    compiled = tg.compile(step)
    if recorded:
        compiled(tg.ones(1))
        fails[0] = True
    before, gradient, state = w.tolist(), w.grad, copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="after the update"):
        compiled(tg.ones(1))
    assert w.tolist() == before and (w.grad is None) == (gradient is None)
    assert str(optimizer.state_dict()) == str(state)
    with pytest.raises(ValueError, match="after the update"):
        step(tg.ones(1))
    assert w.tolist() != before
