"""The equations of backpropagation through time, read off the user's own graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import answerable, answering
from tinygrad_rnn.collector import collector_paused
from tinygrad_rnn.errors import ArgumentError, GraphError
from tinygrad_rnn.files import PathLike
from tinygrad_rnn.kept_walk import Walk, walked
from tinygrad_rnn.primitives import reshape
from tinygrad_rnn.progress import followed
from tinygrad_rnn.settings import recording

from ..vocabulary import GATES
from .documents import Derivation, Equation
from .expression import Symbol, parts
from .from_graph import Reader
from .graph_with_time_steps import rewritten
from .naming import Known

__all__ = ["Derivation", "Equation", "derive"]


@collector_paused()
@answerable
def derive(
    loss: tg.Tensor,
    wrt: tg.Tensor | str | Iterable[tg.Tensor | str] | None = None,
    path: PathLike | None = None,
) -> Derivation:
    """The equations of ``loss`` (one element) and of its gradients with respect to ``wrt``; also written to ``path``.

    ``wrt``: tensors the loss was made from, or names of leaves; None: every leaf that requires a gradient. The graph
    is walked back once, with the walk's own arithmetic recorded: what was recorded are the equations. Values are
    written as the engine has them, with a row for every sequence of a batch: what a blackboard with column vectors
    writes ``W^T dy`` is here ``dy @ W``. Raises `GraphError` if ``loss`` is no scalar or does not depend on ``wrt``.

    Raises `ArgumentError` for a ``wrt`` that is neither.

    >>> import tinygrad_rnn as tg, viz
    >>> w = tg.tensor([[0.5]], requires_grad=True, name="W")
    >>> h = tg.nn.labelled(tg.ones(1, 1), "h")
    >>> for t in tg.steps(3):
    ...     h = tg.nn.labelled((h @ w).tanh(), "h")
    >>> for line in viz.derive(h.sum()).recurrence:
    ...     print(line.text)
    h_t = tanh(h_(t-1) @ W)
    L = h_3.sum()
    dL/dL = 1
    dL/dh_3 = 1
    dL/dh_t = (dh_(t+1) * (1 - h_(t+1)**2)) @ W.T
    dL/dW = sum(h_(t-1).T @ (dh_t * (1 - h_t**2)) for t=1..3)
    """
    if not isinstance(loss, tg.Tensor):
        raise ArgumentError(f"derive wants the loss, a tensor, not {type(loss).__name__}")
    if loss.numel() != 1 or not loss.requires_grad:
        what = f"has {loss.numel()} elements" if loss.numel() != 1 else "depends on nothing that requires a gradient"
        raise GraphError(f"derive wants a loss of one element that depends on parameters; this one {what}")
    graph = tg.Graph(loss)
    with recording(True):
        known = Known(graph)
        tensors, copied = rewritten(known)
        output = tensors[graph.outputs[0]]
        seed = tg.ones(*loss.shape, dtype=loss.dtype)
        walk = _walked(tensors, output, seed)
    whole = tg.Graph(output, *walk.gradients.values())
    position = whole.by_serial()
    own = [*graph.nodes, *(graph.nodes[i] for i in copied)]
    original = {position[x.serial]: node for x, node in zip(tensors, own, strict=True) if x.serial in position}
    gradients = {position[walk.graph.nodes[i].serial]: position[g.serial] for i, g in walk.gradients.items()}
    single = isinstance(wrt, (str, tg.Tensor)) or not isinstance(wrt, Iterable)
    asked: list[Any] = [] if wrt is None else [wrt] if single else list(wrt)
    targets = [position[tensors[_index(x, graph)].serial] for x in asked]
    for target in targets:
        if target not in gradients:
            raise GraphError(f"{whole.nodes[target].label} requires no gradient, so there are no equations for it")
    known.moved({k: position[x.serial] for k, x in enumerate(tensors) if x.serial in position})
    reader = Reader(whole, position[output.serial], gradients, targets, known)
    lines = _lines(reader, original, gradients)
    wanted = [reader.symbol(i, gradient=True) for i in targets]
    found = Derivation(graph, _leading_to(wanted, lines) if asked else lines, reader.values)
    return found if path is None else found.save(path)


def _walked(tensors: Sequence[tg.Tensor], output: tg.Tensor, seed: tg.Tensor) -> Walk:
    """The recorded walk back from ``output``, in which every named value of a time step has a gradient of its own.

    A sum hands its gradient on as it is, so that of m = 0.9 m + h the last h has m's: one tensor with two names, where
    all the steps before have two tensors.
    """
    graph = tg.Graph(output)
    walk = walked(graph, [output], [seed], create_graph=True)
    known, seen, handed_on = {x.serial: x for x in tensors}, {seed.serial}, []
    for index, gradient in walk.gradients.items():
        node = graph.nodes[index]
        if node.scope.step is not None and node.role not in (None, "loss") and gradient.serial in seen:
            handed_on.append(known[node.serial])
        seen.add(gradient.serial)
    for x in handed_on:
        x.register_hook(lambda gradient: reshape(gradient, shape=gradient.shape))
    return walked(graph, [output], [seed], create_graph=True) if handed_on else walk


def _index(x: tg.Tensor | str, graph: tg.Graph) -> int:
    """The position of what the loss was made from."""
    if isinstance(x, str):
        return graph.find(x).index
    if not isinstance(x, tg.Tensor):
        raise ArgumentError(f"derive: wrt is tensors or names of leaves, not {type(x).__name__}")
    if x.serial not in graph.by_serial():
        raise GraphError(f"the loss does not depend on {x._described()}")
    return graph.by_serial()[x.serial]


def _leading_to(wanted: list[Symbol], lines: list[Equation]) -> list[Equation]:
    """The network's lines, and of the gradients' those that ``wanted`` are made from."""
    made, found = {line.left: line for line in lines if line.left.gradient}, set[Symbol]()
    while wanted:
        symbol = wanted.pop()
        if symbol not in found:
            found.add(symbol)
            wanted += [x for x in parts(made[symbol].right) if x.gradient]
    return [line for line in lines if line.left in found or not line.left.gradient]


def _lines(reader: Reader, original: dict[int, tg.Node], gradients: dict[int, int]) -> list[Equation]:
    """The lines; ``original``: the user's node by position in the reader's graph."""
    nodes = reader.nodes

    def line(left: Any, right: Any, value: int) -> Equation:
        return Equation(left, right, original[value].index, original[value].site)

    made = [i for i in sorted({*reader.forward, reader.output}) if nodes[i].op is not None]
    lines = _gates_as_taught([line(reader.symbol(i), reader.definition(i), i) for i in made])
    for value, gradient in followed(gradients.items(), "writing equations", len(gradients)):
        left = reader.symbol(value, gradient=True)
        first = reader.symbols.get(gradient)
        if first == left:
            lines.append(line(left, reader.definition(gradient), value))
        elif reader.is_named(value) or value == reader.output:
            lines.append(line(left, first or reader.definition(gradient), value))
    return lines


def _gates_as_taught(lines: list[Equation]) -> list[Equation]:
    """The lines, gates of one step that are not made of one another in the order of pictures: i f o g."""
    found: list[Equation] = []
    for (is_gate, _), own in groupby(lines, lambda line: (_gate(line) in GATES, line.left.step)):
        run = list(own)
        made = {line.left for line in run}
        apart = is_gate and not any(symbol in made for line in run for symbol in parts(line.right))
        found += sorted(run, key=lambda line: GATES[_gate(line)]) if apart else run
    return found


def _gate(line: Equation) -> str:
    """The letter of what a line defines, whichever cell it is in."""
    return line.left.stem.partition("_")[0].rstrip("0123456789")


answering(globals())
