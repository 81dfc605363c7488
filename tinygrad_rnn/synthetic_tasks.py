"""The literature's synthetic tasks for memory over time: generators of endless random batches.

Each takes ``rng``, a `numpy.random.Generator`; without one it draws from the generator that `manual_seed` starts.
Sequences are laid out as everywhere, time first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arguments import answering
from .character_model.text import Vocabulary
from .errors import DataError
from .random import generator

Rng = np.random.Generator | None
Pair = tuple[Any, Any]

#: the mean squared error of always answering 1 to the adding problem: the variance of a sum of two uniforms, 2/12
ADDING_BASELINE = 1 / 6
#: the characters of `addition`; the last one ends an answer and fills what is left of it
ADDITION = Vocabulary("0123456789+ ")


def adding(length: int, batch: int, rng: Rng = None) -> Pair:
    """Add the two marked numbers among ``length``: x (length, batch, 2) and y (batch, 1), float32.

    ``x[:, :, 0]`` is uniform in [0, 1]; ``x[:, :, 1]`` is 0 but for two ones, one in each half of the sequence;
    ``y = x[t1, n, 0] + x[t2, n, 0]``. To answer always 1 costs `ADDING_BASELINE`, a mean squared error of 1/6.

    S. Hochreiter, J. Schmidhuber (1997), Long Short-Term Memory, experiment 4, in the form of Q. V. Le, N. Jaitly,
    G. E. Hinton (2015), A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, and M. Arjovsky,
    A. Shah, Y. Bengio (2016), Unitary Evolution Recurrent Neural Networks, who put one marker in each half.

    Raises `DataError` for a length below 2 or a batch below 1.

    >>> import numpy as np
    >>> x, y = adding(6, 3, np.random.default_rng(0))
    >>> x.shape, y.shape, bool(np.allclose((x[:, :, 0] * x[:, :, 1]).sum(0), y[:, 0]))
    ((6, 3, 2), (3, 1), True)
    """
    _at_least("adding", length=(length, 2), batch=(batch, 1))
    rng = rng or generator()
    x = np.zeros((length, batch, 2), np.float32)
    x[:, :, 0] = rng.random((length, batch))
    n = np.arange(batch)
    x[rng.integers(length // 2, size=batch), n, 1] = 1
    x[rng.integers(length // 2, length, size=batch), n, 1] = 1
    return x, (x[:, :, 0] * x[:, :, 1]).sum(0, keepdims=True).T


def copy_memory(delay: int, batch: int, symbols: int = 8, items: int = 10, rng: Rng = None) -> Pair:
    """Say again, after ``delay`` steps, what was read: x and y, both integers (delay + 2 * items, batch).

    x is ``items`` random symbols, counted from 0, then blanks (the number ``symbols``) with the signal to speak
    (``symbols + 1``) as the last of ``delay`` of them, then blanks; y is blank until the last ``items`` steps, which
    are the symbols again. So x takes ``symbols + 2`` values and y ``symbols + 1``. See `copy_baseline`.

    S. Hochreiter, J. Schmidhuber (1997), in the form of M. Arjovsky, A. Shah, Y. Bengio (2016), Unitary Evolution
    Recurrent Neural Networks, section 5.1.

    Raises `DataError` for a delay, a batch, symbols or items below 1.

    >>> import numpy as np
    >>> x, y = copy_memory(3, 1, symbols=8, items=2, rng=np.random.default_rng(0))
    >>> x[:, 0].tolist(), y[:, 0].tolist()
    ([6, 5, 8, 8, 9, 8, 8], [8, 8, 8, 8, 8, 6, 5])
    """
    _at_least("copy_memory", delay=(delay, 1), batch=(batch, 1), symbols=(symbols, 1), items=(items, 1))
    remembered = (rng or generator()).integers(symbols, size=(items, batch))
    x = np.full((delay + 2 * items, batch), symbols)
    y = x.copy()
    x[:items] = y[-items:] = remembered
    x[items + delay - 1] = symbols + 1
    return x, y


def copy_baseline(delay: int, symbols: int = 8, items: int = 10) -> float:
    """The mean cross-entropy in nats of who knows when to speak, not what: ``items ln(symbols) / (delay + 2 items)``.

    >>> round(copy_baseline(20), 3)
    0.52
    """
    return items * math.log(symbols) / (delay + 2 * items)


def temporal_order(length: int, batch: int, rng: Rng = None) -> Pair:
    """In which order did X and Y come? x (length, batch), integers below 6, and the class y (batch,), 0 to 3.

    The symbols 0 to 3 distract; at one step in the second tenth of the sequence and at one in its fifth tenth stands
    an X (4) or a Y (5). The class is XX 0, XY 1, YX 2, YY 3. To guess costs ln 4.

    S. Hochreiter, J. Schmidhuber (1997), experiment 6a, in the form of R. Pascanu, T. Mikolov, Y. Bengio (2013), On
    the difficulty of training recurrent neural networks, section 4.1.

    Raises `DataError` for a length below 10 or a batch below 1.

    >>> import numpy as np
    >>> x, y = temporal_order(20, 1, np.random.default_rng(2))
    >>> [int(symbol) - 4 for symbol in x[:, 0] if symbol > 3], int(y[0])
    ([0, 1], 1)
    """
    _at_least("temporal_order", length=(length, 10), batch=(batch, 1))
    rng = rng or generator()
    x, n = rng.integers(4, size=(length, batch)), np.arange(batch)
    first, second = rng.integers(2, size=(2, batch))
    x[rng.integers(length // 10, 2 * length // 10, size=batch), n] = 4 + first
    x[rng.integers(4 * length // 10, 5 * length // 10, size=batch), n] = 4 + second
    return x, 2 * first + second


def delayed_xor(delay: int, batch: int, rng: Rng = None) -> Pair:
    """Two bits, ``delay`` steps of nothing, then: were they different? x (delay + 2, batch, 2) float32, y (batch,).

    ``x[t, n] = (bit, 1)`` for the first two steps and (0, 0) afterwards, so that the two can be told apart;
    ``y = bit_1 xor bit_2``. No sum of functions of one bit each answers better than chance, which costs ln 2: both
    must be in memory together. It is the core of `temporal_order`, without distractors.

    Raises `DataError` for a delay below 0 or a batch below 1.

    >>> import numpy as np
    >>> x, y = delayed_xor(1, 4, np.random.default_rng(1))
    >>> x[:, 0].tolist(), y.tolist()
    ([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [0, 1, 0, 0])
    """
    _at_least("delayed_xor", delay=(delay, 0), batch=(batch, 1))
    bits = (rng or generator()).integers(2, size=(2, batch))
    x = np.zeros((delay + 2, batch, 2), np.float32)
    x[:2, :, 0], x[:2, :, 1] = bits, 1
    return x, bits[0] ^ bits[1]


def addition(digits: int, batch: int, rng: Rng = None) -> list[tuple[str, str]]:
    """``batch`` additions as strings: ("12+49", "61 "), the numbers of ``digits`` digits each, zeros in front.

    The answer is ``digits + 1`` characters long, filled up with spaces; `ADDITION` knows all characters.

    W. Zaremba, I. Sutskever (2014), Learning to Execute.

    Raises `DataError` unless digits are from 1 to 18 (what 64 bits hold) and the batch is at least 1.

    >>> import numpy as np
    >>> addition(2, 2, np.random.default_rng(0))
    [('85+51', '136'), ('63+26', '89 ')]
    """
    _at_least("addition", digits=(digits, 1), batch=(batch, 1))
    if digits > 18:
        raise DataError(f"addition: digits must be at most 18, which 64 bits hold, not {digits}")
    numbers = (rng or generator()).integers(10**digits, size=(2, batch)).tolist()
    return [(f"{a:0{digits}}+{b:0{digits}}", f"{a + b:<{digits + 1}}") for a, b in zip(*numbers)]


def _at_least(task: str, **sizes: tuple[int, int]) -> None:
    for name, (value, least) in sizes.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise DataError(f"{task}: {name} must be an integer from {least} up, not {value!r}")


answering(globals(), "ADDING_BASELINE ADDITION")
