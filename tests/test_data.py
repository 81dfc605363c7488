"""Batches: every item once, of about one length, padded; PyTorch's results where it has the thing."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.data import BatchesByLength, DataLoader, Dataset, TensorDataset, random_split

pad_sequence = tg.nn.utils.rnn.pad_sequence


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=20),
    batch_size=st.integers(1, 7),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
def test_every_item_comes_once(lengths: list[int], batch_size: int, shuffle: bool, drop_last: bool) -> None:
    count = len(lengths)
    items = [(i, float(i)) for i in range(count)]
    plain: Any = DataLoader(items, batch_size, shuffle, drop_last=drop_last)
    by_length = DataLoader(items, batch_sampler=BatchesByLength(lengths, batch_size, shuffle, drop_last))
    for loader in (plain, by_length):
        batches = list(loader)
        assert len(batches) == len(loader)
        seen = [int(i) for x, y in batches for i in x.tolist()]
        expected = count - count % batch_size if drop_last else count
        assert len(seen) == len(set(seen)) == expected
        assert all(x.dtype == np.int64 and y.dtype == np.float32 and x.tolist() == y.tolist() for x, y in batches)
    if not shuffle:
        assert [i for x, _ in plain for i in x.tolist()] == list(range(expected))
    spans = sorted((min(of), max(of)) for x, _ in by_length if (of := [lengths[int(i)] for i in x.tolist()]))
    assert all(below[1] <= above[0] for below, above in pairwise(spans))  # no batch reaches into another's lengths


def test_shuffling_follows_the_seed_and_changes() -> None:
    loader = DataLoader(TensorDataset(np.arange(20)), 20, shuffle=True)
    orders = []
    for _ in range(2):
        tg.manual_seed(1)
        orders.append([next(iter(loader))[0].tolist(), next(iter(loader))[0].tolist()])
    assert orders[0] == orders[1] and orders[0][0] != orders[0][1]


def test_batches_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    x, y = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32), np.arange(7)
    ours = DataLoader(TensorDataset(x, y), batch_size=3)
    theirs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=3)
    for mine, its in zip(ours, theirs, strict=True):
        for a, b in zip(mine, its, strict=True):
            assert np.array_equal(a.numpy(), b.numpy()) and str(a.dtype) == str(b.dtype).removeprefix("torch.")
    for batch_first in (False, True):
        parts = [x[:3], x[:1], x[:5]]
        padded = pad_sequence(parts, batch_first, padding_value=-1.0)
        judge = torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in parts], batch_first, -1.0)
        assert np.array_equal(padded.numpy(), judge.numpy())


def test_gradients_flow_through_padding() -> None:
    parts = [tg.ones(n, 2, requires_grad=True) for n in (3, 1)]
    (pad_sequence(parts) * tg.arange(12).reshape(3, 2, 2)).sum().backward()
    assert [p.grad.tolist() for p in parts] == [[[0, 1], [4, 5], [8, 9]], [[2, 3]]]  # type: ignore[union-attr]


def test_a_collate_fn_of_ones_own_and_dicts() -> None:
    words = ["a", "bc", "def"]
    loader = DataLoader(
        [{"word": w, "codes": np.frombuffer(w.encode(), np.uint8)} for w in words],
        batch_size=3,
        collate_fn=lambda batch: ([b["word"] for b in batch], pad_sequence([b["codes"] for b in batch])),
    )
    ((found, codes),) = list(loader)
    assert found == words and codes.shape == (3, 3) and codes.dtype == np.uint8
    (batch,) = DataLoader([{"word": w, "n": (k, True)} for k, w in enumerate(words)], batch_size=3)
    assert batch["word"] == words and batch["n"][0].tolist() == [0, 1, 2] and batch["n"][1].dtype == bool


def test_parts_at_random() -> None:
    items = list(range(10))
    for lengths, sizes in [([7, 3], [7, 3]), ([0.75, 0.25], [7, 3]), ([1 / 3, 1 / 3, 1 / 3], [3, 3, 4])]:
        parts = random_split(items, lengths)
        assert [len(p) for p in parts] == sizes
        assert sorted(p[i] for p in parts for i in range(len(p))) == items


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DataLoader(iter([])), "has a length and items"),
        (lambda: DataLoader([1], batch_size=0), "1 or more"),
        (lambda: DataLoader([1], batch_sampler=[[0]], shuffle=True), "leave out the rest"),
        (lambda: list(DataLoader([[1], [1, 2]], 2)), "different numbers of parts"),
        (lambda: list(DataLoader([np.ones(1), np.ones(2)], 2)), r"shapes \(1,\) and \(2,\); pad them"),
        (lambda: TensorDataset(np.ones(2), np.ones(3)), "of one length"),
        (lambda: TensorDataset(1.0), "of one length"),
        (lambda: pad_sequence([np.ones((2, 1)), np.ones((2, 2))]), "differ in T only"),
        (lambda: pad_sequence([]), "not nothing"),
        (lambda: random_split([1, 2], [1, 2]), "do not add up to the 2 items"),
        (lambda: BatchesByLength([[1]], 1), "a list of lengths"),  # type: ignore[list-item]
    ],
)
def test_mistakes_are_one_line(call: Any, message: str) -> None:
    with pytest.raises(tg.TinygradError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_dataset_of_ones_own() -> None:
    class Squares(Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return index * index

    class Nothing(Dataset):
        pass

    assert [x.tolist() for x in DataLoader(Squares(), 2)] == [[0, 1], [4]]
    with pytest.raises(NotImplementedError, match="Nothing has no length; define __len__"):
        len(Nothing())
