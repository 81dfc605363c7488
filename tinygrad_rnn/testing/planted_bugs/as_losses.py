"""The planted problems as losses of the engine, so that a diagnosis can be judged by the bugs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import nn
from ...functional import concat, stack, where
from ...norms import norm
from ...scopes import steps
from ...tensors import Tensor, tensor
from ..oracles import WEIGHTS, NumpyRecurrence, OracleGradients
from .bidirectional import BothWays
from .bptt import Bptt
from .bugs import BUGS
from .own_cells import OWN, OwnBptt, OwnRecurrence, own_cell
from .pooling import Pooling
from .score_table import HIDDEN, LAST_BITS, REGIMES, Problem, recurrence

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def loss_of(problem: Problem) -> Tensor:
    """The loss, its leaves named as the problem's inputs are."""
    leaves = {k: tensor(v, requires_grad=True, name=k, dtype=np.float64) for k, v in problem.inputs().items()}
    if isinstance(problem, Pooling):
        return (tensor(problem.x) @ leaves["weight"].T).tanh().amax(0) @ tensor(problem.upstream)
    if isinstance(problem, BothWays):
        return _both_ways(problem, leaves)
    return _own(problem, leaves) if isinstance(problem, OwnRecurrence) else _layer(problem, leaves)


def _layer(problem: NumpyRecurrence, leaves: dict[str, Tensor]) -> Tensor:
    layer = LAYERS[problem.kind](problem.x.shape[2], problem.upstream.shape[2], dtype=np.float64)
    for name in WEIGHTS:
        setattr(layer, f"{name}_l0", nn.Parameter(leaves[name].numpy(), name=name))
    state = tuple(leaves[f"{role}0"].reshape(1, *problem.initial[0].shape) for role in problem.roles)
    output, final = layer(leaves["x"], state if len(state) > 1 else state[0], lengths=list(problem.lengths))
    loss = (output * tensor(problem.upstream)).sum()
    for value, g in zip(final if isinstance(final, tuple) else (final,), problem.final, strict=True):
        loss = loss + (value[0] * tensor(g)).sum()
    return loss


def _own(problem: OwnRecurrence, leaves: dict[str, Tensor]) -> Tensor:
    state = tuple(leaves[f"{role}0"] for role in problem.roles)
    w_ih, w_hh, b_ih, b_hh = (leaves[name] for name in WEIGHTS)
    loss = tensor(0.0, dtype=np.float64)
    for t in steps(len(problem.x)):
        ax, ah = leaves["x"][t] @ w_ih.T + b_ih, state[0] @ w_hh.T + b_hh
        new = own_cell(problem.kind, ax, ah, state, Tensor.sigmoid, Tensor.tanh)
        runs = tensor((t < problem.lengths)[:, None])
        state = tuple(where(runs, a, b) for a, b in zip(new, state, strict=True))
        loss = loss + (where(runs, state[0], 0.0) * tensor(problem.upstream[t])).sum()
    for last, final in zip(state, problem.final, strict=True):
        loss = loss + (last * tensor(final)).sum()
    return loss


def _both_ways(problem: BothWays, leaves: dict[str, Tensor]) -> Tensor:
    x, length = leaves["x"], len(problem.x)
    h = k = tensor(np.zeros((x.shape[1], problem.upstream.shape[2] // 2)))
    forth, back = [], []
    for t in steps(length):
        h = nn.labelled((x[t] @ leaves["W"].T + h @ leaves["U"].T).tanh(), "h")
        forth.append(h)
    for t in steps(length):
        k = nn.labelled((x[length - 1 - t] @ leaves["V"].T + k @ leaves["R"].T).tanh(), "k")
        back.append(k)
    both = concat([stack(forth), stack(back[::-1])], -1)
    return (both * tensor(problem.upstream)).sum()


def own_problem(kind: str, regime: str, seed: int = 0) -> OwnRecurrence:
    """Like `make_problem`, of one of the cells in `own`."""
    rng = np.random.default_rng([seed, list(OWN).index(kind), list(REGIMES).index(regime), 9])
    gates, roles = OWN[kind]
    return recurrence(OwnRecurrence, kind, regime, rng, gates, len(roles), slice(HIDDEN))


def own_wrong_gradients(problem: OwnRecurrence) -> Iterator[tuple[str, OracleGradients]]:
    """The gradients of one of these cells under every bug that fits."""
    right = OwnBptt(problem).gradients().whole
    for bug in BUGS:
        fits = bug.kinds == Bptt.kinds or (problem.kind == "coupled" and bug.name in _WITH_C)
        if fits and issubclass(bug, Bptt):
            wrong = type(bug.__name__, (bug, OwnBptt), {})(problem).gradients()
            if any(norm(wrong.whole[k] - v) > LAST_BITS["float64"] * norm(v) for k, v in right.items()):
                yield bug.name, wrong


#: bugs of an LSTM that a cell with a c has as well
_WITH_C = {
    "c carry dropped",
    "c carry dropped at one step",
    "dh0 and dc0 swapped",
    "dc0 zero",
    "tanh' on c forgotten",
    "tanh' where σ' belongs",
}
