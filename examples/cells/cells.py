"""Recurrent cells beyond the lecture's, each a few lines with its paper; `tg.nn.Recurrent` makes layers of them.

Each is called as ``state = cell(x, state)``: x (N, input_size), the state a tensor (N, hidden_size) or a tuple of them
whose first is the output, None before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.nn import labelled

State = Any


def gate(x: tg.Tensor, name: str) -> tg.Tensor:
    """``sigmoid(x)`` under the name that pictures and equations give it."""
    return labelled(x.sigmoid(), name)


class Cell(tg.nn.Module):
    """What they share: their sizes, and a state of zeros to begin with."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size

    def zeros(self, x: tg.Tensor) -> tg.Tensor:
        """A state (N, hidden_size)."""
        return tg.zeros(len(x), self.hidden_size, dtype=x.dtype)

    def uniform(self, *shape: int) -> tg.nn.Parameter:
        """A weight, drawn as those of the built-in layers are."""
        bound = 1 / math.sqrt(self.hidden_size)
        return tg.nn.Parameter(bound * (2 * tg.rand(*shape) - 1))


class LayerNormLSTM(Cell):
    """The LSTM with what goes into the gates and out of the cell normalized.

    J. L. Ba, J. R. Kiros, G. E. Hinton (2016), Layer Normalization, arXiv:1607.06450, equations 20 to 22.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.ih = tg.nn.Linear(input_size, 4 * hidden_size)
        self.hh = tg.nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm_x, self.norm_h = tg.nn.LayerNorm(4 * hidden_size), tg.nn.LayerNorm(4 * hidden_size)
        self.norm_c = tg.nn.LayerNorm(hidden_size)

    def forward(self, x: tg.Tensor, state: State = None) -> State:
        """``h' = o tanh(norm(c'))``."""
        h, c = state or (self.zeros(x), self.zeros(x))
        i, f, g, o = (self.norm_x(self.ih(x)) + self.norm_h(self.hh(h))).chunk(4, 1)
        c = labelled(gate(f, "f") * c + gate(i, "i") * labelled(g.tanh(), "g"), "c")
        return labelled(gate(o, "o") * self.norm_c(c).tanh(), "h"), c


class MinGRU(Cell):
    """The GRU without the state in its gates, so that all steps can be computed at once; see `in_parallel`.

    L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi (2024), Were RNNs All We Needed?, arXiv:2410.01201.
    """

    gates = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.map = tg.nn.Linear(input_size, self.gates * hidden_size)

    def coefficients(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """a and b of ``h' = a h + b``."""
        z, new = self.map(x).chunk(2, -1)
        z = gate(z, "z")
        return 1 - z, z * new

    def forward(self, x: tg.Tensor, h: State = None) -> State:
        """``h' = (1 - z) h + z n``."""
        a, b = self.coefficients(x)
        return labelled(a * (self.zeros(x) if h is None else h) + b, "h")


class MinLSTM(MinGRU):
    """The LSTM without the state in its gates, which add up to 1 (the same paper, section 3.2)."""

    gates = 3

    def coefficients(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """a and b of ``h' = a h + b``."""
        f, i, new = self.map(x).chunk(3, -1)
        f, i = gate(f, "f"), gate(i, "i")
        return f / (f + i), i / (f + i) * new


class Diagonal(MinGRU):
    """A linear recurrence with a diagonal matrix of numbers from 0 to 1, and inputs scaled to keep the state's size.

    A. Orvieto et al. (2023), Resurrecting Recurrent Neural Networks for Long Sequences, arXiv:2303.06349, section 3,
    with real eigenvalues.
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        memory = 0.5 + 0.49 * tg.rand(hidden_size)
        self.nu = tg.nn.Parameter((-memory.log()).log())

    def coefficients(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """a and b of ``h' = a h + b``."""
        a = (-self.nu.exp()).exp()
        b = (1 - a * a).sqrt() * self.map(x)
        return a.broadcast_to(b.shape), b


def in_parallel(cell: MinGRU, x: tg.Tensor) -> tg.Tensor:
    """All states (T, N, hidden_size) of a linear recurrence in log2(T) operations on the whole, not T on steps.

    ``h_t = a_t h_(t-1) + b_t`` reaches over one step. Put into itself it reaches over two: ``a_t a_(t-1)`` and
    ``a_t b_(t-1) + b_t``; then over four, and so on (W. D. Hillis, G. L. Steele 1986, Data Parallel Algorithms).
    """
    a, b = cell.coefficients(x)
    reach = 1
    while reach < len(x):
        b = tg.concat([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        a = tg.concat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


class SLSTM(Cell):
    """The LSTM with exponential gates, which are kept from overflowing by their running maximum ``m``.

    M. Beck et al. (2024), xLSTM: Extended Long Short-Term Memory, arXiv:2405.04517, equations 8 to 17.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.ih = tg.nn.Linear(input_size, 4 * hidden_size)
        self.hh = tg.nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def forward(self, x: tg.Tensor, state: State = None) -> State:
        """``h' = o c' / n'``: the cell over what the gates let in altogether."""
        h, c, n, m = state or tuple(self.zeros(x) for _ in range(4))
        i, f, z, o = (self.ih(x) + self.hh(h)).chunk(4, 1)
        kept = m - (-f).softplus()  # in logarithms: of the sigmoid, plus what was before
        m = labelled(tg.maximum(kept, i), "m")
        i, f = labelled((i - m).exp(), "i"), labelled((kept - m).exp(), "f")
        c, n = labelled(f * c + i * labelled(z.tanh(), "z"), "c"), labelled(f * n + i, "n")
        return labelled(gate(o, "o") * c / n, "h"), c, n, m


class IndRNN(Cell):
    """Each unit remembers itself only: the recurrent matrix is a vector.

    S. Li, W. Li, C. Cook, C. Zhu, Y. Gao (2018), Independently Recurrent Neural Network, arXiv:1803.04831, equation 4.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.map = tg.nn.Linear(input_size, hidden_size)
        self.memory = tg.nn.Parameter(tg.rand(hidden_size))

    def forward(self, x: tg.Tensor, h: State = None) -> State:
        """``h' = relu(W x + u h + b)``."""
        return labelled((self.map(x) + self.memory * (self.zeros(x) if h is None else h)).relu(), "h")


class Antisymmetric(Cell):
    """A step of a differential equation that neither grows nor shrinks: its matrix is antisymmetric.

    B. Chang, M. Chen, E. Haber, E. H. Chi (2019), AntisymmetricRNN, arXiv:1902.09689, equation 11.
    """

    def __init__(self, input_size: int, hidden_size: int, step: float = 0.1, diffusion: float = 0.01) -> None:
        super().__init__(input_size, hidden_size)
        self.map, self.step, self.diffusion = tg.nn.Linear(input_size, hidden_size), step, diffusion
        self.weight = self.uniform(hidden_size, hidden_size)

    def forward(self, x: tg.Tensor, h: State = None) -> State:
        """``h' = h + step tanh((W - W^T - diffusion) h + V x + b)``."""
        h = self.zeros(x) if h is None else h
        turned = h @ (self.weight - self.weight.T).T - self.diffusion * h
        return labelled(h + self.step * (turned + self.map(x)).tanh(), "h")


#: a cell by name: made for an input and a hidden size. Peepholes (F. A. Gers, J. Schmidhuber 2000) and coupled gates,
#: ``f = 1 - i`` (K. Greff et al. 2015, arXiv:1503.04069), are settings of the built-in cell
CELLS: dict[str, Callable[[int, int], tg.nn.Module]] = {
    "RNN": tg.nn.RNNCell,
    "LSTM": tg.nn.LSTMCell,
    "GRU": tg.nn.GRUCell,
    "peephole LSTM": lambda inputs, hidden: tg.nn.LSTMCell(inputs, hidden, peepholes="diagonal"),
    "coupled LSTM": lambda inputs, hidden: tg.nn.LSTMCell(inputs, hidden, coupled=True),
    "layer-norm LSTM": LayerNormLSTM,
    "sLSTM": SLSTM,
    "minLSTM": MinLSTM,
    "minGRU": MinGRU,
    "diagonal": Diagonal,
    "IndRNN": IndRNN,
    "antisymmetric": Antisymmetric,
}


class Network(tg.nn.Module):
    """One layer of some cell and a linear head on its last output."""

    def __init__(self, kind: str, inputs: int, hidden: int, outputs: int) -> None:
        self.rnn = tg.nn.Recurrent(CELLS[kind](inputs, hidden))
        self.head = tg.nn.Linear(hidden, outputs)

    def forward(self, x: Any) -> tg.Tensor:
        """x (T, N, inputs) -> (N, outputs)."""
        return self.head(self.rnn(x)[0][-1])
