"""scan is a loop, and Recurrent what the built-in layers are, for any cell."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3, 2))
LENGTHS = [5, 0, 3]


def cumulative(carry: Any, x: Any) -> Any:
    total = {"sum": carry["sum"] + x * 2, "count": (carry["count"][0] + 1,)}
    return total, (total["sum"].tanh(), None)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_scan_is_a_loop(reverse: bool, compiled: bool) -> None:
    def run(x: Any) -> Any:
        init = {"sum": tg.zeros(3, 2, dtype="float64"), "count": (tg.zeros(3, dtype="float64"),)}
        return tg.scan(cumulative, init, x, reverse=reverse)

    x = tg.tensor(X, requires_grad=True)
    final, (ys, nothing) = (tg.compile(run) if compiled else run)(x)
    sums = np.cumsum(2 * X[::-1], 0)[::-1] if reverse else np.cumsum(2 * X, 0)
    np.testing.assert_allclose(ys.numpy(), np.tanh(sums), rtol=1e-14)
    np.testing.assert_allclose(final["sum"].numpy(), 2 * X.sum(0), rtol=1e-14)
    assert nothing is None and final["count"][0].tolist() == [5.0] * 3
    if not compiled:
        assert tg.check_gradients(ys.sum() + (final["sum"] ** 2).sum())


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_that_has_ended_keeps_its_carry(reverse: bool) -> None:
    def f(h: Any, x: Any) -> Any:
        h = (h * 0.5 + x).sin()
        return h, h

    init = RNG.normal(size=(3, 2))
    x = tg.tensor(X, requires_grad=True)
    final, ys = tg.scan(f, tg.tensor(init), x, lengths=LENGTHS, reverse=reverse)
    for row, length in enumerate(LENGTHS):
        if not length:
            assert final.numpy()[row].tolist() == init[row].tolist() and not ys.numpy()[:, row].any()
            continue
        alone, outputs = tg.scan(f, tg.tensor(init[row]), X[:length, row], reverse=reverse)
        np.testing.assert_allclose(final.numpy()[row], alone.numpy(), rtol=1e-14)
        np.testing.assert_allclose(ys.numpy()[:length, row], outputs.numpy(), rtol=1e-14)
        assert not ys.numpy()[length:, row].any()
    assert tg.check_gradients((final * 2).sum() + ys.square().sum())
    ys.sum().backward()
    assert x.grad is not None and not x.grad.numpy()[:, 1].any() and not x.grad.numpy()[3:, 2].any()


def test_scan_without_inputs_and_mistakes() -> None:
    final, ys = tg.scan(lambda h, _x: (h * 2, h), tg.tensor([1.0]), None, length=3)
    assert final.tolist() == [8.0] and ys.tolist() == [[1.0], [2.0], [4.0]]
    for call, message in [
        (lambda: tg.scan(cumulative, 0.0, None), "give xs, or a length"),
        (lambda: tg.scan(cumulative, 0.0, (tg.zeros(2, 1), tg.zeros(3, 1))), "of one length"),
        (lambda: tg.scan(cumulative, 0.0, tg.zeros(0, 1)), "no time steps"),
        (lambda: tg.scan(lambda h, x: (h, x), tg.zeros(3), X, lengths=[6, 1, 1]), "integers from 0 to 5"),
        (lambda: tg.scan(lambda h, x: (h, x), tg.zeros(()), X, lengths=LENGTHS), "need a first dimension"),
        (lambda: tg.scan(lambda h, x: ((h[0],), None), (tg.zeros(3), tg.zeros(3)), X, lengths=LENGTHS), "other parts"),
    ]:
        with pytest.raises(tg.ShapeError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


KINDS: dict[str, Any] = {"RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell}


def both(kind: str, layers: int, bidirectional: bool, hidden: int = 4) -> tuple[Any, Any]:
    """A built-in layer, and the same of its cell."""
    built_in = getattr(nn, kind)(2, hidden, num_layers=layers, bidirectional=bidirectional).double()
    own = nn.Recurrent(lambda n: KINDS[kind](n, hidden), layers, bidirectional, input_size=2).double()
    own.load_state_dict(
        {f"{name.split('_', 2)[2]}.{'_'.join(name.split('_')[:2])}": w for name, w in built_in.state_dict().items()}
    )
    return built_in, own


@pytest.mark.parametrize("lengths", [None, [5, 1, 3]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_built_in_cell_gives_the_built_in_layer(kind: str, lengths: Any) -> None:
    results = []
    for model in both(kind, 2, True):
        output, state = model(tg.tensor(X), lengths=lengths)
        loss = output.square().sum() + sum(s.sin().sum() for s in (state if isinstance(state, tuple) else [state]))
        gradients = tg.grad(loss, list(model.parameters()))
        again, _ = model(tg.tensor(X), state, lengths=lengths)
        results.append((output, *(state if isinstance(state, tuple) else [state]), again, gradients))
    (*ours, mine), (*theirs, its) = results
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)
    for a, b in zip(mine, its, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("times", [1, 6])  # written out, and as a loop
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_it_compiles_to_no_more_than_the_built_in_layer(kind: str, times: int) -> None:
    counts = []
    for model in both(kind, 1, False):

        def step(x: Any, model: Any = model) -> Any:
            loss = model(x)[0].square().mean()
            return loss, *tg.grad(loss, list(model.parameters()))

        run = tg.compile(step)
        run(tg.tensor(np.concatenate([X] * times)))
        counts.append(len(run.graph))
    assert counts[1] <= counts[0]


class Begins(nn.Module):
    """A cell that says itself what it begins with, at its first step."""

    hidden_size = 2

    def __init__(self, first: Any) -> None:
        self.first, self.weight = first, nn.Parameter([[0.5, -0.2], [0.3, 0.4]])

    def forward(self, x: Any, h: Any = None) -> Any:
        return (x + (self.first(x) if h is None else h) @ self.weight).tanh()


LEARNED = nn.Parameter([[0.3, -0.6]])


@pytest.mark.parametrize("lengths", [None, [30, 0, 12]])
@pytest.mark.parametrize(
    ("first", "one_loop"),
    [
        (lambda x: tg.zeros_like(x), True),
        (lambda x: tg.zeros(len(x), 2), True),
        (lambda x: tg.ones_like(x) * 0.5, True),
        (lambda _x: LEARNED, True),
        (lambda x: x, False),
    ],
)
def test_a_first_step_that_is_one_from_constants_is_no_step_apart(first: Any, one_loop: bool, lengths: Any) -> None:
    model = nn.Recurrent(Begins(first))

    def step(x: Any) -> Any:
        output, last = model(x, lengths=lengths)
        return output, last, *tg.grad((output * output).sum() + last.sum(), [model.l0.weight])

    x = tg.tensor(np.concatenate([X] * 6).astype(np.float32))
    run = tg.compile(step)
    for a, b in zip(run(x), step(x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    if lengths is None:
        concatenated = [node for node in run.graph.nodes if node.op is tg.TABLE["concat"]]
        assert (concatenated == []) == one_loop


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_its_batch_is_cut_in_two_for_two_threads(kind: str) -> None:
    x, counts = tg.tensor(RNG.normal(size=(4, 64, 2))), []
    for model in both(kind, 1, False, hidden=128):

        def step(x: Any, model: Any = model) -> Any:
            return tg.grad(model(x)[0].square().mean(), list(model.parameters()))

        run = tg.compile(step, threads=2)
        run(x)
        counts.append({node.lane for node in run.graph.nodes})
    assert counts[1] == counts[0] == {0, 1, 2}


def test_lengths_of_zero_and_compiled() -> None:
    _, own = both("LSTM", 1, True)
    output, (h, _) = own(tg.tensor(X), lengths=LENGTHS)
    assert not output.numpy()[:, 1].any() and not h.numpy()[:, 1].any()
    compiled = tg.compile(lambda x, lengths: own(x, lengths=lengths))
    for lengths in (LENGTHS, [1, 5, 2]):
        found, _ = compiled(tg.tensor(X), tg.tensor(lengths))
        np.testing.assert_allclose(found.numpy(), own(tg.tensor(X), lengths=lengths)[0].numpy(), rtol=1e-13)


def test_variational_dropout_drops_the_same_at_every_step() -> None:
    class Adds(nn.Module):
        hidden_size = 64

        def forward(self, x: Any, h: Any = None) -> Any:
            return x if h is None else h + x

    model = nn.Recurrent(Adds(), variational_dropout=0.5)
    x = tg.ones(4, 2, 64)
    output = model(x)[0].numpy()
    kept = output[0] != 0
    assert 0.3 < kept.mean() < 0.7 and set(output[0][kept]) == {2.0}
    assert not output[:, ~kept].any()
    assert {tuple(column) for column in output[:, kept].T} == {(2.0, 2.0, 2.0, 2.0), (2.0, 6.0, 14.0, 30.0)}
    assert (model.eval()(x)[0].numpy() == np.arange(1.0, 5.0)[:, None, None]).all()
    first, second = tg.compile(lambda x: model.train()(x)[0]), model.train()(x)[0]
    a, b = first(x).numpy(), first(x).numpy()
    assert (a != b).any() and second.shape == a.shape


class Started(nn.Module):
    """A cell whose state begins with a parameter."""

    hidden_size = 2

    def __init__(self) -> None:
        self.first = nn.Parameter([[1.0, 2.0]], dtype="float64")

    def initial_state(self, batch: int) -> Any:
        return self.first.broadcast_to(batch, 2)

    def forward(self, x: Any, h: Any) -> Any:
        return h * 0.5 + x


def test_a_cell_may_say_where_it_starts() -> None:
    model = nn.Recurrent(lambda size: Started(), bidirectional=True, input_size=2)
    output, last = model(tg.tensor(X), lengths=LENGTHS)
    assert last.numpy()[:, 1].tolist() == [[1.0, 2.0]] * 2
    np.testing.assert_allclose(output.numpy()[2, 2, 2:], np.array([0.5, 1.0]) + X[2, 2])  # its own end
    assert tg.check_gradients(output.square().sum())
    batch_first = nn.Recurrent(model.l0, batch_first=True)
    assert batch_first(X.transpose(1, 0, 2))[0].shape == (3, 5, 2)


class Copies(nn.Module):
    """A cell whose first step takes the input for its state, which is not what zeros would give."""

    hidden_size = 2

    def forward(self, x: Any, h: Any = None) -> Any:
        return x if h is None else (h * 0.5 + x).tanh()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_row_that_begins_later_begins_as_the_others(compiled: bool) -> None:
    model = nn.Recurrent(lambda _size: Copies(), bidirectional=True, input_size=2)

    def run(x: Any, lengths: Any) -> Any:
        return model(x, lengths=lengths)

    holes = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], dtype=bool)
    for lengths, on in ((np.array([5, 2, 3]), np.arange(5)[:, None] < [5, 2, 3]), (holes, holes)):
        output, last = (tg.compile(run) if compiled else run)(tg.tensor(X), tg.tensor(lengths))
        for row in range(3):
            alone, end = model(X[on[:, row], row : row + 1])
            np.testing.assert_allclose(output.numpy()[on[:, row], row], alone.numpy()[:, 0], rtol=1e-13)
            np.testing.assert_allclose(last.numpy()[:, row], end.numpy()[:, 0], rtol=1e-13)
        if not compiled:
            x = tg.tensor(X, requires_grad=True)
            assert tg.check_gradients(model(x, lengths=lengths)[0].square().sum())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Recurrent(nn.RNNCell(2, 3), num_layers=2), "is one cell, .* lambda size: RNNCell"),
        (lambda: nn.Recurrent(lambda n: nn.RNNCell(n, 3), 2), "give the input_size"),
        (lambda: nn.Recurrent(lambda n: nn.Linear(n, 3), input_size=2), "gave Linear; a module with a hidden_size"),
        (lambda: nn.Recurrent(nn.RNNCell(2, 3), dropout=2.0), "dropout is a probability"),
        (lambda: nn.Recurrent(nn.RNNCell(2, 3))(tg.zeros(4)), r"should be \(time, batch, ...\)"),
    ],
)
def test_mistakes_are_one_line(make: Any, message: str) -> None:
    with pytest.raises((tg.ArgumentError, tg.ShapeError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
