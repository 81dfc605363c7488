"""Sample operands of each primitive: the one thing about a primitive that its record does not say.

A recipe is a function from a `Source` of choices to a `Case`. Structure (ranks, sizes, axes, which index) comes from
`Source.integer`, so that Hypothesis can choose and shrink it; values come from the seeded generator, because values
drawn one by one are mostly zeros. Domains stay clear of the kinks and poles where a derivative is a convention;
conventions have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arguments import answerable
from ..errors import ArgumentError
from ..primitives.record import Primitive, Shape

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """One call of a primitive: float64 (or integer, or boolean) arrays and Python numbers, and the attributes.

    >>> import numpy as np
    >>> from tinygrad_rnn.testing import Case
    >>> str(Case((np.ones((2, 3)),), {"axis": 1}))
    'float64[2, 3], axis=1'
    """

    operands: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = [f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else repr(x) for x in self.operands]
        return ", ".join([*shown, *(f"{key}={value!r}" for key, value in self.attrs.items())])


Recipe = Callable[["Source"], Case]


class Source:
    """The source of a recipe's random choices: shapes, sizes and values.

    ``integer(low, high)``, both ends included, decides everything structural; by default the generator of ``seed``
    does, which draws the values. ``sizes`` are the lengths a dimension may have.

    >>> from tinygrad_rnn.testing import Source
    >>> source = Source(0, sizes=[3])
    >>> source.shape(2, 2), source.positive((4,)).shape
    ((3, 3), (4,))
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        integer: Callable[[int, int], int] | None = None,
        sizes: Sequence[int] = (1, 2, 3, 2, 3, 0),
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.integer = integer or (lambda low, high: int(self.rng.integers(low, high + 1)))
        self.sizes = sizes

    def choice(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def size(self, least: int = 0) -> int:
        """The length of a dimension."""
        return int(self.choice([n for n in self.sizes if n >= least] or [max(least, 1)]))

    def shape(self, low: int = 0, high: int = 3, least: int = 0) -> Shape:
        """``low`` to ``high`` dimensions."""
        return tuple(self.size(least) for _ in range(self.integer(low, high)))

    def broadcastable(self, count: int) -> list[Shape]:
        """``count`` shapes that fit each other: some drop leading dimensions, some have size 1 where others do not."""
        full = self.shape()
        shapes = []
        for _ in range(count):
            kept = full[self.integer(0, len(full)) :] if self.integer(0, 2) == 0 else full
            shapes.append(tuple(1 if self.integer(0, 3) == 0 else n for n in kept))
        return shapes

    def axis(self, rank: int) -> int:
        """One axis, from either end."""
        return self.integer(-rank, rank - 1)

    # Values ----------------------------------------------------------------------------------------------

    def anywhere(self, shape: Shape) -> Array:
        """Standard normal, one in eight exactly 0."""
        return np.where(self.rng.random(shape) < 0.125, 0.0, self.rng.standard_normal(shape))

    def nonzero(self, shape: Shape) -> Array:
        """Both signs, no element nearer to 0 than 0.25, no two equal."""
        return np.asarray(self.rng.choice([-1.0, 1.0], shape) * self.positive(shape))

    def positive(self, shape: Shape) -> Array:
        """From 0.25 to 2.25, no two equal."""
        return np.asarray(self.rng.uniform(0.25, 2.25, shape))

    def booleans(self, shape: Shape) -> Array:
        """True or False."""
        return np.asarray(self.rng.random(shape) < 0.5)

    def below(self, bound: int, shape: Shape) -> Array:
        """Integers from 0, with repeats."""
        return np.asarray(self.rng.integers(0, bound, shape))


@answerable
def elementwise(*domains: str) -> Recipe:
    """A recipe for a primitive that broadcasts: ``domains``, one an operand.

    ``"anywhere"``, ``"nonzero"``, ``"positive"``: the methods of `Source` that draw values.

    Raises `ArgumentError` for a domain that `Source` does not have.

    >>> from tinygrad_rnn.testing import Source, elementwise
    >>> str(elementwise("positive")(Source(sizes=[2])))
    'float64[2, 2, 2]'
    """

    unknown = [domain for domain in domains if domain.startswith("_") or not hasattr(Source, domain)]
    if unknown or not domains:
        raise ArgumentError(
            f"elementwise: no domain is called {unknown[0] if unknown else ''!r}; see the methods of Source"
        )

    def recipe(source: Source) -> Case:
        shapes = source.broadcastable(len(domains)) if len(domains) > 1 else [source.shape()]
        operands: list[Any] = [getattr(source, domain)(shape) for domain, shape in zip(domains, shapes, strict=True)]
        if len(domains) > 1 and source.integer(0, 3) == 0:  # a Python number for the last
            operands[-1] = float(getattr(source, domains[-1])(()))
        return Case(tuple(operands))

    return recipe


def _power(source: Source) -> Case:
    if source.integer(0, 1):
        return elementwise("positive", "anywhere")(source)
    return Case((source.nonzero(source.shape()), source.choice([0, 1, 2, 3, -1, -2, 0.0, 2.0])))


def _reduction(domain: str, least: int = 0) -> Recipe:
    def recipe(source: Source) -> Case:
        shape = source.shape(least=least)
        every = tuple(range(len(shape)))
        axis = source.choice([None, *range(-len(shape), len(shape)), every, every[:2], every[1:]])
        return Case((getattr(source, domain)(shape),), {"axis": axis, "keepdims": bool(source.integer(0, 1))})

    return recipe


def _along_axis(domain: str, least: int = 0) -> Recipe:
    def recipe(source: Source) -> Case:
        shape = source.shape(1, 3, least)
        return Case((getattr(source, domain)(shape),), {"axis": source.axis(len(shape))})

    return recipe


def _matmul(source: Source) -> Case:
    n, k, m = source.size(), source.size(), source.size()
    batch = source.broadcastable(2) if len(source.sizes) > 1 else [(), ()]
    left = source.choice([(k,), (n, k), (*batch[0], n, k)])
    right = source.choice([(k,), (k, m), (*batch[1], k, m)])
    return Case((source.anywhere(left), source.anywhere(right)))


def _linear(source: Source) -> Case:
    features, out = source.size(), source.size(1)
    operands = [source.anywhere((*source.shape(0, 2), features)), source.anywhere((out, features))]
    return Case((*operands, source.anywhere((out,))) if source.integer(0, 1) else tuple(operands))


def _einsum(source: Source) -> Case:
    single = ["ij->ij", "ij->ji", "ij->i", "i->"]
    several = ["ij,jk->ik", "ij,ij->", "i,j->ij", "bij,bjk->bik", "ij,j,k->ik", "ij,jk,kl->il"]
    subscripts = source.choice(single + several)
    sizes = {letter: source.size() for letter in "bijkl"}
    terms = subscripts.split("->")[0].split(",")
    return Case(tuple(source.anywhere(tuple(sizes[i] for i in term)) for term in terms), {"subscripts": subscripts})


def _index(source: Source, shape: Shape) -> tuple[Any, ...]:
    """An index into ``shape`` of every kind NumPy has."""
    first = shape[0] if shape else 0
    options: list[tuple[Any, ...]] = [(), (Ellipsis,), (None, Ellipsis), (Ellipsis, None)]
    if shape:
        options += [(slice(None, None, -1),), (slice(1, None, 2),), (slice(0, 0),), (slice(-1, None),)]
        options += [(source.booleans((first,)),), (source.booleans(shape),)]
    if first:
        options += [(0,), (-1,), (source.below(first, (4,)),), (source.below(first, (2, 2)) - first,)]
    if len(shape) > 1 and shape[1]:
        options += [(Ellipsis, -1) if shape[-1] else (Ellipsis,), (slice(None), source.below(shape[1], (3,)))]
        if first:
            options += [(0, slice(None)), (source.below(first, (3,)), source.below(shape[1], (3,)))]
            options += [(source.below(first, (2, 1)), source.below(shape[1], (3,)))]
    chosen: tuple[Any, ...] = source.choice(options)
    return chosen


def _getitem(source: Source) -> Case:
    shape = source.shape()
    return Case((source.anywhere(shape),), {"index": _index(source, shape)})


def _scatter(source: Source) -> Case:
    shape = source.shape()
    index = _index(source, shape)
    return Case((source.anywhere(np.empty(shape)[index].shape),), {"index": index, "shape": shape})


def _take(source: Source) -> Case:
    rows = source.size(1)
    table = source.anywhere((rows, *source.shape(0, 2)))
    return Case((table, source.below(rows, source.shape(0, 2))))


def _scatter_rows(source: Source) -> Case:
    rows, leading = source.size(1), source.shape(0, 2)
    return Case((source.anywhere((*leading, *source.shape(0, 1))), source.below(rows, leading)), {"rows": rows})


def _reshape(source: Source) -> Case:
    shape = source.shape()
    count = int(np.prod(shape))
    options: list[Shape] = [(count,), (1, count), tuple(reversed(shape)), (*shape, 1)]
    options += [(-1,), (-1, *shape[1:])] if shape and count else []
    return Case((source.anywhere(shape),), {"shape": source.choice(options)})


def _permute(source: Source) -> Case:
    shape = source.shape()
    axes = [int(a) for a in source.rng.permutation(len(shape))]
    return Case((source.anywhere(shape),), {"axes": tuple(a - len(axes) if source.integer(0, 1) else a for a in axes)})


def _broadcast_to(source: Source) -> Case:
    full = source.shape()
    small = tuple(1 if source.integer(0, 1) else n for n in full[source.integer(0, len(full)) :])
    return Case((source.anywhere(small),), {"shape": full})


def _concat(source: Source) -> Case:
    shape = source.shape(1, 3)
    axis = source.axis(len(shape))
    lengths = [source.size() for _ in range(source.integer(1, 3))]
    at = axis % len(shape)
    return Case(tuple(source.anywhere((*shape[:at], n, *shape[at + 1 :])) for n in lengths), {"axis": axis})


def _stack(source: Source) -> Case:
    shape = source.shape(0, 2)
    count = source.integer(1, 3)
    return Case(tuple(source.anywhere(shape) for _ in range(count)), {"axis": source.axis(len(shape) + 1)})


def _cross_entropy(source: Source) -> Case:
    rows, classes = source.shape(0, 2), source.size(1)
    target = source.below(classes, rows)
    ignore = source.choice([-100, 0])
    target = np.where(source.rng.random(rows) < 0.2, ignore, target)
    return Case((source.anywhere((*rows, classes)), target), {"ignore_index": ignore})


def _one_hot(source: Source) -> Case:
    classes = source.size(1)
    dtype = np.dtype(source.choice([np.float32, np.float64]))
    strict = bool(source.integer(0, 1))
    indices = np.asarray(source.below(classes, source.shape(0, 2)) - (not strict))  # one of them no class
    return Case((indices,), {"num_classes": classes, "dtype": dtype, "strict": strict})


def _cast(source: Source) -> Case:
    return Case((source.anywhere(source.shape()),), {"dtype": np.dtype(source.choice([np.float32, np.float64]))})


RECIPES: dict[str, Recipe] = {
    **{
        name: elementwise("anywhere")
        for name in ("neg", "erf", "erfc", "exp", "sin", "cos", "tanh", "sigmoid", "softplus")
    },
    **{name: elementwise("positive") for name in ("log", "sqrt")},
    **{name: elementwise("nonzero") for name in ("relu", "abs", "sign")},
    **{name: elementwise("anywhere", "anywhere") for name in ("add", "sub", "mul")},
    **{name: elementwise("nonzero", "nonzero") for name in ("div", "floor_divide", "maximum", "minimum")},
    **{
        name: elementwise("anywhere", "anywhere")
        for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
    },
    "where": elementwise("booleans", "anywhere", "anywhere"),
    "pow": _power,
    "cast": _cast,
    "sum": _reduction("anywhere"),
    "max": _reduction("nonzero", least=1),
    "logsumexp": _reduction("anywhere", least=1),
    **{name: _along_axis("anywhere") for name in ("softmax", "log_softmax", "cumsum")},
    **{name: _along_axis("nonzero", least=1) for name in ("argmax", "argsort")},
    "matmul": _matmul,
    "linear": _linear,
    "einsum": _einsum,
    "getitem": _getitem,
    "scatter": _scatter,
    "take": _take,
    "scatter_rows": _scatter_rows,
    "one_hot": _one_hot,
    "reshape": _reshape,
    "permute": _permute,
    "broadcast_to": _broadcast_to,
    "concat": _concat,
    "stack": _stack,
    "cross_entropy": _cross_entropy,
}


@answerable
def recipe_for(primitive: Primitive) -> Recipe:
    """The recipe of ``primitive``, one of the engine's own; `ArgumentError` for another.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.testing import Source, recipe_for
    >>> str(recipe_for(tg.TABLE["tanh"])(Source(sizes=[2])))
    'float64[2, 2, 2]'
    """
    if primitive.name not in RECIPES:
        raise ArgumentError(
            f"{primitive.name} has no recipe: say which operands it takes, check_primitive({primitive.name}, "
            f'elementwise("anywhere")) or a function from a Source to a Case; one of the engine\'s own belongs in '
            "testing/sample_operands.py, RECIPES"
        )
    return RECIPES[primitive.name]
