"""Arguments and small functions that PyTorch's programs use: PyTorch's results where it is installed, and laws."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

judged = pytest.mark.skipif(torch is None, reason="PyTorch is the judge here")
TIED = [[2.0, 1.0, 2.0, 0.5], [3.0, 3.0, -1.0, 0.0]]

#: called with either library; what comes out has shape, dtype and values of PyTorch's
ALIKE: dict[str, Callable[[Any], Any]] = {
    "dtypes": lambda t: [t.zeros(2, dtype=d) for d in (t.float, t.double, t.int, t.long, t.int64, t.int32, t.bool)],
    "remainder": lambda t: t.tensor([5.5, -5.5, 5.5, -5.5]) % t.tensor([2.0, 2.0, -2.0, -2.0]),
    "remainder of integers": lambda t: [t.tensor([7, -7]) % 3, t.tensor([7, -7]) % -3, 7 % t.tensor([4, -4])],
    "arange": lambda t: [t.arange(end=4), t.arange(start=1, end=3), t.arange(0, 1, step=0.25)],
    "linspace": lambda t: t.linspace(-1, 1, steps=5),
    "full": lambda t: [t.full(size=(2, 1), fill_value=3), t.full(fill_value=0.5, size=(2,))],
    "like": lambda t: [
        t.zeros_like(t.ones(2), dtype=t.long), t.ones_like(t.ones(2), requires_grad=True),
        t.full_like(t.arange(2), 3, dtype=t.float, requires_grad=True),
    ],
    "sort": lambda t: [*t.tensor(TIED).sort(stable=True, descending=True), *t.sort(t.tensor(TIED), dim=0, stable=True)],
    "topk": lambda t: t.topk(t.tensor([[1.0, 4.0, 2.0]]), 2, largest=True, sorted=True),
    "norm": lambda t: [t.norm(t.tensor(TIED), p="fro"), t.tensor(TIED).norm("fro", dim=1)],
    "padded": lambda t: [
        t.nn.utils.rnn.pad_sequence([t.tensor([1, 2, 3]), t.tensor([4])], first, 9, side)
        for first in (True, False) for side in ("left", "right")
    ],
    "words": lambda t: [
        t.ones(2).add(t.arange(2.0), alpha=3).sub(1).mul(2).div(4).pow(2), t.tensor([1, 2]).eq(1), t.arange(3).lt(1),
        t.eye(2).mm(t.ones(2, 3)), t.ones(2).type(t.long), t.ones(2).int(), t.arange(2).type_as(t.ones(1)),
    ],
    "whole": lambda t: [f(t.tensor([-1.5, -0.5, 0.5, 1.2, 1.5, 2.5])) for f in (t.round, t.floor, t.ceil)],
    "any and all": lambda t: [
        t.tensor(TIED).gt(0).all(), (t.tensor(TIED) > 0).any(1, keepdim=True), t.all(t.tensor(TIED) > -9, dim=0),
        t.any(t.tensor([0, 0])), t.tensor(TIED).argmin(1), t.argmin(t.tensor(TIED), dim=0, keepdim=True),
    ],
    "products": lambda t: [
        t.dot(t.tensor([1.0, 2.0]), t.tensor([3.0, 4.0])), t.mm(t.eye(2), t.ones(2, 3)),
        t.ones(2, 1).expand_as(t.eye(2)),
        *t.chunk(t.arange(5), 2),
    ],
    "layers": lambda t: [
        m(t.tensor(TIED)) for m in (
            t.nn.LeakyReLU(0.1), t.nn.ELU(0.5), t.nn.Softplus(), t.nn.LogSigmoid(), t.nn.Flatten(0),
        )
    ],
    "shapes": lambda t: [
        t.arange(6).reshape(2, 3).t(), t.ones(3).t(), t.ones(2, 1).expand(4, -1, 3), t.arange(9).narrow(0, -3, 2),
        t.arange(4).view_as(t.ones(2, 2)),
    ],
    "in place": lambda t: [
        t.ones(2).add_(t.ones(2), alpha=-0.5), t.ones(2).sub_(3).mul_(2).div_(8), t.ones(2).fill_(4).clamp_(max=3),
        t.ones(2, dtype=t.long).zero_(), t.empty(2).fill_(3),
    ],
    "of its kind": lambda t: [
        t.ones(1).double().new_zeros(2, 3), t.arange(2).new_ones((2,)), t.ones(1).new_full((2,), 3, dtype=t.long),
    ],
    "from arrays": lambda t: [
        t.from_numpy(np.ones(2)), t.as_tensor([1, 2], dtype=t.float), t.as_tensor(np.ones(2), device=t.device("cpu")),
    ],
    "activations": lambda t: [
        t.nn.LogSoftmax(dim=1)(t.tensor(TIED)), t.nn.Softmax(dim=0)(t.tensor(TIED)), t.nn.Identity(3)(t.ones(2)),
    ],
    "moved": lambda t: [
        t.roll(t.tensor(TIED), 1), t.tensor(TIED).roll(shifts=(3, -1), dims=(1, 0)), t.tensor(TIED).roll(2, 1),
        t.index_select(t.tensor(TIED), 1, t.tensor([3, 3, 0])), t.tensor(TIED).index_select(dim=0, index=t.tensor(1)),
    ],
    "padded around": lambda t: [
        t.nn.functional.pad(t.tensor(TIED), (2, -1)), t.nn.functional.pad(t.tensor(TIED), (0, 1, 1, 0), value=0.5),
        *(t.nn.functional.pad(t.tensor([TIED]), (2, 1), mode) for mode in ("circular", "reflect", "replicate")),
    ],
    "cosine": lambda t: [
        t.nn.functional.cosine_similarity(t.tensor(TIED), t.tensor([TIED]) + 1, dim=-1),
        t.nn.functional.cosine_similarity(t.zeros(1, 4), t.tensor(TIED)),
    ],
    "a table": lambda t: list(t.utils.data.TensorDataset(t.arange(4), t.ones(4, 2))[1])
    if hasattr(t, "utils") else list(t.data.TensorDataset(t.arange(4), t.ones(4, 2))[1]),
    "pretrained": lambda t: t.nn.Embedding.from_pretrained(t.tensor(TIED), padding_idx=1)(t.tensor([1, 0])),
}  # fmt: skip


def plain(value: Any) -> list[tuple[Any, ...]]:
    """Shapes, dtypes and values of what either library returned."""
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in plain(part)]
    array = value.detach().numpy()
    return [(array.shape, array.dtype, value.requires_grad, array.tolist())]


@judged
@pytest.mark.parametrize("name", ALIKE)
def test_is_pytorchs(name: str) -> None:
    ours, theirs = plain(ALIKE[name](tg)), plain(ALIKE[name](torch))
    for mine, its in zip(ours, theirs, strict=True):
        assert mine[:3] == its[:3]
        np.testing.assert_allclose(mine[3], its[3], rtol=1e-6)


@judged
def test_the_gradients_of_a_remainder_are_pytorchs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)) * 5, rng.normal(size=4)
    x, y = (tg.tensor(v, requires_grad=True) for v in (a, b))
    p, q = (torch.tensor(v, requires_grad=True) for v in (a, b))
    (x % y).square().sum().backward()
    (p % q).square().sum().backward()
    assert x.grad is not None and y.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), p.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(y.grad.numpy(), q.grad.numpy(), rtol=1e-10)
    assert (np.remainder(a, tg.tensor(b)).numpy() == (x % y).numpy()).all()


def test_a_remainder_is_what_is_left() -> None:
    x, y = np.arange(-9, 10), np.array([[1], [-1], [4], [-5]])
    rest = (tg.tensor(x) % tg.tensor(y)).numpy()
    assert (y * (x // y) + rest == x).all() and (np.abs(rest) < np.abs(y)).all() and (rest * y >= 0).all()


def test_a_table_that_is_given() -> None:
    rows = tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    frozen, free = (tg.nn.Embedding.from_pretrained(rows, freeze, padding_idx=0) for freeze in (True, False))
    assert not frozen.weight.requires_grad and free.weight.requires_grad
    assert frozen([0, 2]).tolist() == [[1.0, 2.0], [5.0, 6.0]]  # the padding's row is what it was
    free([0, 2]).sum().backward()
    assert free.weight.grad is not None and free.weight.grad.tolist() == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(tg.ShapeError, match="two dimensions, not"):
        tg.nn.Embedding.from_pretrained([1.0])


def test_modules_by_name_and_one_after_the_other() -> None:
    made = OrderedDict([("fc", tg.nn.Linear(2, 3)), ("act", tg.nn.ReLU(inplace=False)), ("out", tg.nn.Linear(3, 1))])
    model = tg.nn.Sequential(made)
    assert list(model.state_dict()) == ["fc.weight", "fc.bias", "out.weight", "out.bias"]
    assert model.fc is made["fc"] and model[2] is model.out and len(model) == 3
    x = tg.ones(4, 2)
    assert model(x).tolist() == made["out"](made["fc"](x).relu()).tolist()
    with pytest.raises(tg.ArgumentError, match=r"Sequential: 'a.b' cannot be a name"):
        tg.nn.Sequential({"a.b": tg.nn.ReLU()})


def test_batches_in_an_order_of_ones_own() -> None:
    loader = tg.data.DataLoader(range(9), 2, sampler=[4, 0, 8, 2, 1], num_workers=0, drop_last=True)
    assert [batch.tolist() for batch in loader] == [[4, 0], [8, 2]] and len(loader) == 2


def test_answers_that_are_no_tensors() -> None:
    assert tg.equal([1.0, 2.0], tg.tensor([1.0, 2.0])) and not tg.equal(tg.ones(2), tg.ones(2, 1))
    assert tg.allclose(tg.ones(2), tg.ones(2) + 1e-6) and not tg.allclose(tg.ones(2), tg.ones(2) + 1e-3)
    assert tg.is_tensor(tg.ones(1)) and not tg.cuda.is_available()
    assert tg.device("cpu").type == tg.ones(1, device=tg.device("cpu")).device == "cpu"
    with pytest.raises(tg.ArgumentError, match="the device is 'cpu', not 'cuda'"):
        tg.device("cuda")


@pytest.mark.parametrize("compiled", [False, True])
def test_an_update_written_in_place(compiled: bool) -> None:
    p = tg.nn.Parameter([1.0, -2.0], dtype="float64")

    def step() -> tg.Tensor:
        p.grad = None
        loss = (p * p).sum()
        loss.backward()
        with tg.no_grad():
            p.add_(p.grad, alpha=-0.25)
        return loss

    run: Any = tg.compile(step) if compiled else step
    assert [run().item() for _ in range(3)] == [5.0, 1.25, 0.3125] and p.tolist() == [0.125, -0.25]
    p.data.mul_(8)
    assert p.tolist() == [1.0, -2.0]
    with pytest.raises(tg.GraphError, match=r"getitem .* index once, as in x\[i, j\] = value"):
        tg.ones(2, 2)[0][1] = 3.0


def test_a_step_calls_the_closure_and_returns_its_loss() -> None:
    p = tg.nn.Parameter([2.0])
    sgd = tg.optim.SGD([p], lr=0.25)

    def closure() -> tg.Tensor:
        sgd.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert [sgd.step(closure).item() for _ in range(2)] == [4.0, 1.0] and sgd.step() is None


def test_drawn_in_place() -> None:
    tg.manual_seed(0)
    x = tg.zeros(4000).uniform_(-1, 3).numpy()
    assert -1 <= x.min() < -0.99 and 2.99 < x.max() < 3
    y = tg.zeros(4000).normal_(2.0, 0.5).numpy()
    assert abs(y.mean() - 2) < 0.05 and abs(y.std() - 0.5) < 0.03


def test_what_is_drawn() -> None:
    tg.manual_seed(3)
    drawn = tg.multinomial(tg.tensor([0.0, 1.0, 3.0]), 4000, replacement=True).numpy()
    assert drawn.dtype == np.int64 and set(drawn.tolist()) == {1, 2} and 0.72 < (drawn == 2).mean() < 0.78
    rows = tg.multinomial(tg.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0]]), 2)
    assert [sorted(row) for row in rows.tolist()] == [[0, 2], [0, 1]]
    whole = tg.randint(-2, 3, (4, 100)).numpy()
    assert whole.shape == (4, 100) and set(whole.ravel().tolist()) == {-2, -1, 0, 1, 2}
    assert sorted(tg.randperm(50).tolist()) == list(range(50)) != tg.randperm(50).tolist()
    assert tg.randn_like(tg.zeros(2, 3, dtype="float64")).dtype == tg.rand_like(tg.zeros(1).double()).dtype == tg.double
    tg.manual_seed(3)
    assert (tg.multinomial(tg.tensor([0.0, 1.0, 3.0]), 4000, True).numpy() == drawn).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: tg.data.DataLoader([1], num_workers=2), "made in this process; leave out num_workers"),
        (lambda: tg.data.DataLoader([1], shuffle=True, sampler=[0]), "a sampler says the order"),
        (lambda: tg.nn.ReLU(inplace=True), "nothing is written in place"),
        (lambda: tg.nn.utils.rnn.pad_sequence([[1]], padding_side="both"), "padding_side is"),
        (lambda: tg.arange(), "up to what"),
        (lambda: tg.ones(2).norm("nuc"), "norm: p is a number, not 'nuc'"),
        (lambda: tg.randint(3, 3, (2,)), "no integers from 3"),
        (lambda: tg.multinomial(tg.tensor([0.5, -0.5]), 1), "take the softmax first"),
        (lambda: tg.multinomial(tg.tensor([0.0, 1.0]), 2), "without replacement"),
    ],
)
def test_what_is_refused_is_one_line(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(tg.ArgumentError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_value_with_a_gradient_is_not_written_in_silence() -> None:
    """PyTorch records it; here the gradient was lost without a word."""
    w, outputs = tg.ones(2, requires_grad=True), tg.zeros(3, 2)
    for write in (lambda: outputs.__setitem__(0, w * 2), lambda: outputs.copy_(w)):
        with pytest.raises(tg.GraphError, match="would be lost"):
            write()
    outputs[0] = (w * 2).detach()
    with tg.no_grad():
        outputs[1] = w
    assert outputs.tolist() == [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]]


def test_what_was_saved_is_loaded_as_pytorchs_programs_ask(tmp_path: Any) -> None:
    tg.save({"w": tg.ones(2)}, tmp_path / "w")
    assert tg.load(tmp_path / "w", map_location="cpu", weights_only=True)["w"].tolist() == [1.0, 1.0]
    with pytest.raises(tg.ArgumentError, match="load: tensors are in the memory of the processor"):
        tg.load(tmp_path / "w", map_location="cuda")
