"""Batches: a small `DataLoader` with ``torch.utils.data``'s names, in this process, so that a loop reads the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .arguments import answering, integer
from .errors import ArgumentError, DTypeError, MissingMethodError, OutOfRangeError, ShapeError
from .random import generator
from .tensors import Tensor, from_array, tensor
from .user_objects import entries_of, is_of, of_parts


class Dataset:
    """A base for datasets of one's own: a subclass has a length, ``__len__``, and items, ``__getitem__``.

    `DataLoader` takes anything with these two; the class says what is missing.

    >>> import tinygrad_rnn as tg
    >>> class Squares(tg.data.Dataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return index * index
    >>> [x.tolist() for x in tg.data.DataLoader(Squares(), batch_size=2)]
    [[0, 1], [4]]
    """

    def __len__(self) -> int:
        raise MissingMethodError(f"{type(self).__name__} has no length; define __len__")

    def __getitem__(self, index: int) -> Any:
        raise MissingMethodError(f"{type(self).__name__} has no items; define __getitem__")


class TensorDataset(Dataset):
    """Tensors or arrays of one length; item ``i`` is the ``i``-th row of each, a tensor where it was given one."""

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(np.asarray(x) for x in tensors)
        self._given = tuple(isinstance(x, Tensor) for x in tensors)
        lengths = {x.shape[:1] for x in self.tensors}
        if len(lengths) != 1 or () in lengths:
            shapes = ", ".join(str(x.shape) for x in self.tensors) or "nothing"
            raise ShapeError(f"TensorDataset: takes tensors of one length, not {shapes}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise OutOfRangeError(f"TensorDataset: item {index} of {len(self)}")
        rows = (x[index] for x in self.tensors)
        return tuple(
            from_array(np.asarray(row)) if given else row for row, given in zip(rows, self._given, strict=True)
        )


class DataLoader:
    """Batches of a dataset, which is anything with a length and items by number.

    ``shuffle`` puts the items in another order each time, from the numbers that `manual_seed` starts. ``drop_last``
    leaves out a last batch that is smaller. ``collate_fn`` makes a batch of a list of items, for `default_collate`.
    ``sampler`` gives the numbers of the items, in its order; ``batch_sampler``, instead of all these, of the items of
    each batch, as `BatchesByLength` does. Batches are made in this process, when they are asked for: ``num_workers`` is
    0, and ``pin_memory``, which is for a GPU, False.

    Raises `ArgumentError` for other settings, and for some that exclude each other.

    >>> import tinygrad_rnn as tg
    >>> data = tg.data.TensorDataset(tg.arange(5), tg.arange(5) * 2.0)
    >>> [x.tolist() for x, y in tg.data.DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
    ) -> None:
        _refuse_other(dataset, "DataLoader")
        self.batch_size = integer(batch_size, "DataLoader: batch_size")
        self.shuffle, self.drop_last = shuffle, drop_last
        if self.batch_size < 1:
            raise ArgumentError(f"DataLoader: batch_size is 1 or more, not {batch_size}")
        if batch_sampler is not None and (batch_size != 1 or shuffle or drop_last or sampler is not None):
            raise ArgumentError("DataLoader: a batch_sampler says which items go together; leave out the rest")
        if sampler is not None and shuffle:
            raise ArgumentError("DataLoader: a sampler says the order; leave out shuffle")
        for given, what in ((sampler, "sampler"), (batch_sampler, "batch_sampler")):
            if given is not None and not isinstance(given, Iterable):
                raise DTypeError(f"DataLoader: a {what} gives numbers of items, one after the other, not {given!r:.40}")
        if num_workers or pin_memory:
            raise ArgumentError("DataLoader: batches are made in this process; leave out num_workers and pin_memory")
        self.dataset, self.sampler, self.batch_sampler = dataset, sampler, batch_sampler
        self.collate_fn = collate_fn or default_collate

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        count = len(self.dataset if self.sampler is None else self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        for indices in self._batches() if self.batch_sampler is None else self.batch_sampler:
            yield self.collate_fn([self.dataset[int(i)] for i in indices])

    def _batches(self) -> Iterator[Sequence[int]]:
        count = len(self.dataset)
        if self.sampler is not None:
            order = np.asarray(list(self.sampler), np.int64)
        else:
            order = generator().permutation(count) if self.shuffle else np.arange(count)
        whole = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        return (order[k : k + self.batch_size].tolist() for k in range(0, whole, self.batch_size))


class BatchesByLength:
    """A ``batch_sampler`` that puts sequences of about the same length together, so that little of a batch is padding.

    ``lengths`` are the dataset's. With ``shuffle`` the batches come in another order each time, and equal lengths are
    mixed anew. Within a batch the longest is first.

    >>> import tinygrad_rnn as tg
    >>> list(tg.data.BatchesByLength([3, 9, 2, 8], batch_size=2, shuffle=False))
    [[0, 2], [1, 3]]
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, shuffle: bool = True, drop_last: bool = False) -> None:
        self.lengths, self.shuffle, self.drop_last = np.asarray(lengths), shuffle, drop_last
        self.batch_size = integer(batch_size, "BatchesByLength: batch_size")
        if self.batch_size < 1 or self.lengths.ndim != 1:
            raise ArgumentError("BatchesByLength: takes a list of lengths, and a batch_size of 1 or more")

    def __len__(self) -> int:
        count = len(self.lengths)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        count = len(self.lengths)
        order = generator().permutation(count) if self.shuffle else np.arange(count)
        order = order[np.argsort(self.lengths[order], kind="stable")]
        starts = np.arange(len(self)) * self.batch_size
        for start in generator().permutation(starts) if self.shuffle else starts:
            batch = order[start : start + self.batch_size]
            yield batch[np.argsort(-self.lengths[batch], kind="stable")].tolist()


def random_split(dataset: Any, lengths: Sequence[float]) -> list[Any]:
    """Parts of a dataset at random: of the sizes ``lengths``, or of these shares if they add up to 1."""
    count = len(dataset)
    sizes = list(lengths)
    if any(isinstance(size, float) for size in sizes) and abs(sum(sizes) - 1) < 1e-9:
        ends = np.floor(np.cumsum(sizes) * count + 1e-9).astype(int)
        sizes = np.diff([0, *ends[:-1], count]).tolist()
    if sum(sizes) != count:
        raise ArgumentError(f"random_split: parts of {sizes} do not add up to the {count} items")
    order, ends = generator().permutation(count).tolist(), np.cumsum(sizes).astype(int)
    return [Subset(dataset, order[end - int(size) : end]) for size, end in zip(sizes, ends, strict=True)]


class Subset(Dataset):
    """Some items of a dataset, by number."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        _refuse_other(dataset, "Subset")
        self.dataset, self.indices = dataset, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def _refuse_other(dataset: Any, name: str) -> None:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DTypeError(f"{name}: a dataset has a length and items, which {type(dataset).__name__} has not")


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of items as one batch: tensors, arrays and numbers side by side, tuples and dicts part by part.

    >>> import tinygrad_rnn as tg
    >>> tg.data.default_collate([([1.0, 2.0], 3), ([4.0, 5.0], 6)])
    ([tensor([1., 4.]), tensor([2., 5.])], tensor([3, 6]))
    """
    first = batch[0]
    if is_of(first, str):
        return list(batch)
    if issubclass(type(first), Mapping):
        parts = {key: default_collate([item[key] for item in batch]) for key in first}
        return of_parts(first, parts, entries_of(first) or {}) if is_of(first, dict) else parts
    if is_of(first, (tuple, list)):
        if any(len(item) != len(first) for item in batch):
            raise ShapeError("default_collate: items have different numbers of parts; pad them in a collate_fn")
        return of_parts(first, [default_collate(list(parts)) for parts in zip(*batch, strict=True)], {})
    arrays = [item.numpy() if is_of(item, Tensor) else item for item in batch]
    try:
        shapes = {np.shape(array) for array in arrays}
    except Exception as error:  # raised by the object's own methods, which NumPy calls
        raise DTypeError(
            f"default_collate: {type(first).__name__} is no tensor, array or number, for it raises {error!r}; put "
            "items together in a collate_fn"
        ) from None
    if len(shapes) > 1:
        some = " and ".join(map(str, sorted(shapes)[:2]))
        raise ShapeError(f"default_collate: items have shapes {some}; pad them in a collate_fn, with pad_sequence")
    return tensor(arrays if is_of(first, (int, float)) else np.stack(arrays))


answering(globals())
