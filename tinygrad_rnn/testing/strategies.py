"""Hypothesis strategies for tests of gradients: what they draw prints as something a person can read and run again.

Structure (ranks, sizes, which operation, how many layers) is drawn by Hypothesis, so that a failure shrinks; values
come from a drawn seed, because numbers drawn one by one are mostly zeros. Values stay clear of kinks and poles.

>>> from hypothesis import given, settings
>>> import tinygrad_rnn as tg
>>> from tinygrad_rnn.testing import strategies
>>> @settings(max_examples=5)
... @given(strategies.programs())
... def test_gradients(program):
...     tg.check_gradients(program, program.leaves)
>>> test_gradients()
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import optim
from ..optional_packages import needed
from ..primitives.record import Shape
from ..tensors import Tensor
from .networks import Network
from .random_programs import RandomProgram, Writer
from .sample_operands import Source

with needed("drawing with Hypothesis", "test"):
    from hypothesis import strategies as st

Array = np.ndarray[Any, np.dtype[Any]]
Draw = st.DrawFn
SEEDS = st.integers(0, 2**16)


@st.composite
def sources(draw: Draw, sizes: tuple[int, ...] = (1, 2, 3, 0)) -> Source:
    """A `Source` for recipes: structure by Hypothesis, values by a seed."""
    return Source(draw(SEEDS), integer=lambda low, high: draw(st.integers(low, high)), sizes=sizes)


def shapes(low: int = 0, high: int = 3, *, sizes: tuple[int, ...] = (1, 2, 3, 0)) -> st.SearchStrategy[Shape]:
    """A shape of ``low`` to ``high`` dimensions."""
    return sources(sizes).map(lambda source: source.shape(low, high))


def broadcastable_shapes(count: int = 2) -> st.SearchStrategy[list[Shape]]:
    """``count`` shapes that broadcast with each other."""
    return sources().map(lambda source: source.broadcastable(count))


@dataclass(frozen=True)
class Values:
    """An array as its shape, domain and seed: short to read, and the same wherever it is made."""

    shape: Shape
    domain: str = "anywhere"  #: a method of `Source`: "anywhere", "nonzero" or "positive"
    seed: int = 0

    @property
    def array(self) -> Array:
        """In double precision."""
        return np.asarray(getattr(Source(self.seed), self.domain)(self.shape), np.float64)

    def tensor(self, dtype: Any = np.float64, requires_grad: bool = True) -> Tensor:
        """As a leaf."""
        return Tensor(self.array, dtype, requires_grad)


def values(
    shape: Shape | st.SearchStrategy[Shape] | None = None, domain: str = "anywhere"
) -> st.SearchStrategy[Values]:
    """Well-conditioned numbers of order 1, of a given or drawn shape."""
    drawn = shapes() if shape is None else shape if isinstance(shape, st.SearchStrategy) else st.just(shape)
    return st.builds(Values, drawn, st.just(domain), SEEDS)


@dataclass(frozen=True)
class Upstream:
    """Gradients that arrive at an output: ``"normal"``, ``"ones"``, ``"one"`` (a single element), ``"zeros"``."""

    pattern: str = "ones"
    size: float = 1.0
    seed: int = 0

    def array(self, shape: Shape) -> Array:
        """For an output of this shape."""
        rng = np.random.default_rng(self.seed)
        result = np.zeros(shape)
        if self.pattern == "one" and result.size:
            result.reshape(-1)[rng.integers(result.size)] = 1.0
        elif self.pattern != "zeros":
            result = np.ones(shape) if self.pattern == "ones" else np.asarray(rng.standard_normal(shape))
        return self.size * result


def upstream(patterns: tuple[str, ...] = ("ones", "normal", "one", "zeros")) -> st.SearchStrategy[Upstream]:
    """Upstream gradients of any magnitude."""
    return st.builds(Upstream, st.sampled_from(patterns), st.sampled_from([1.0, 1e-12, 1e12]), SEEDS)


@st.composite
def programs(draw: Draw, max_lines: int = 6, names: tuple[str, ...] | None = None) -> RandomProgram:
    """A random expression over the table of primitives (or those named), fan-out and repeated operands included.

    A primitive of your own takes part as soon as ``RECIPES`` says what operands it takes.
    """
    writer = Writer(draw(sources((2, 1, 3))))
    for _ in range(draw(st.integers(1, 3))):
        writer.leaf()
    for _ in range(draw(st.integers(1, max_lines))):
        writer.line(names)
    return writer.program()


@st.composite
def networks(
    draw: Draw,
    kinds: tuple[str, ...] = ("rnn", "lstm", "gru"),
    max_layers: int = 3,
    max_steps: int = 4,
    ragged: bool = True,
    bidirectional: bool = True,
    scales: tuple[float, ...] = (1.0, 0.05, 4.0),
) -> Network:
    """A recurrent network of 1 to 3 layers, either way or both, and a (ragged) batch of sequences.

    ``scales`` of the weights: of order 1, vanishing gradients, saturated gates.
    """
    longest = draw(st.integers(1, max_steps))
    others = st.lists(st.integers(1, longest) if ragged else st.just(longest), max_size=2)
    return Network(
        kind=draw(st.sampled_from(kinds)),
        layers=draw(st.integers(1, max_layers)),
        bidirectional=draw(st.booleans()) if bidirectional else False,
        bias=not draw(st.booleans()),
        lengths=tuple(draw(st.permutations([longest, *draw(others)]))),
        features=draw(st.integers(1, 3)),
        hidden=draw(st.integers(1, 3)),
        scale=draw(st.sampled_from(scales)),
        at_end=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@dataclass(frozen=True)
class OptimizerRun:
    """Some parameters, an optimizer with settings, and the gradients of some steps."""

    name: str  #: of a class of `tinygrad_rnn.optim`
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ((2,),)
    steps: int = 2
    seed: int = 0

    def parameters(self, dtype: Any = np.float64) -> list[Tensor]:
        """New parameters, the same each time."""
        rng = np.random.default_rng(self.seed)
        return [Tensor(np.asarray(rng.standard_normal(shape)), dtype, True) for shape in self.shapes]

    def optimizer(self, parameters: list[Tensor]) -> Any:
        """The optimizer of ``parameters``."""
        return getattr(optim, self.name)(parameters, **self.settings)

    def step(self, optimizer: Any, parameters: list[Tensor], t: int) -> None:
        """One update, with the gradients of step ``t``."""
        rng = np.random.default_rng([self.seed, t])
        for p in parameters:
            p.grad = Tensor(np.asarray(rng.standard_normal(p.shape)), p.dtype)
        optimizer.step()


#: which settings each optimizer has, beside ``lr`` and ``weight_decay``
_CHOICES: dict[str, dict[str, list[Any]]] = {
    "SGD": {"momentum": [0.0, 0.9]},
    "Adagrad": {"lr_decay": [0.0, 0.1]},
    "RMSprop": {"momentum": [0.0, 0.9], "centered": [False, True], "alpha": [0.99, 0.5]},
    "Adam": {"betas": [(0.9, 0.999), (0.0, 0.5)]},
    "AdamW": {"betas": [(0.9, 0.999), (0.0, 0.5)]},
}


@st.composite
def optimizer_runs(draw: Draw, max_steps: int = 4) -> OptimizerRun:
    """Any optimizer with any settings on one to three parameters."""
    name = draw(st.sampled_from(list(_CHOICES)))
    settings = {"lr": draw(st.sampled_from([0.1, 1e-3])), "weight_decay": draw(st.sampled_from([0.0, 0.1]))}
    settings |= {key: draw(st.sampled_from(options)) for key, options in _CHOICES[name].items()}
    drawn = draw(st.lists(shapes(0, 2, sizes=(1, 2, 3)), min_size=1, max_size=3))
    return OptimizerRun(name, settings, tuple(drawn), draw(st.integers(1, max_steps)), draw(SEEDS))
