"""The one reverse walk. `backward`, `grad` and the debugger all drain it.

Reverse mode in one paragraph: visit the recorded nodes from last to first. When a node's turn comes, all its
consumers have been visited, so the gradient that arrived is complete; the node's rule then sends one
contribution to each operand, and contributions to the same tensor add up. A weight shared by T time steps
receives T contributions: their sum is backpropagation through time. What a choice left out receives exactly 0; the
rule is in `dead_positions`.

Reverse accumulation: S. Linnainmaa (1976), BIT 16(2), 146-160; through time: P. J. Werbos (1990),
Proc. IEEE 78(10), 1550-1560.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import answerable
from .dead_positions import merged, pulled, replaced, sent_on
from .errors import ArgumentError, DTypeError, GraphError, MutationError, ShapeError
from .primitives import Primitive
from .recorded_value import is_tensor
from .rule_answers import fitted, no_gradient
from .scopes import placed
from .settings import recording
from .thread_state import current
from .version_counters import Memory

if TYPE_CHECKING:
    from .tensors import Tensor

#: Operands that are plain numbers; every other operand is a tensor, of which this file knows what `Recorded` says.
LITERALS = (float, int)


@dataclass(slots=True)
class Contribution:
    """The contribution of one use of a tensor to its gradient.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> first = next(tg.walk([x * x], [[1.0]]))
    >>> [(each.slot, each.value.tolist()) for each in first.contributions]
    [(0, [2.0]), (1, [2.0])]
    """

    slot: int  #: which operand of the node
    target: Tensor  #: the tensor that receives it
    node: Tensor = field(repr=False)  #: the use: the node whose operand it is
    gradient: Any = field(repr=False)  #: that node's complete gradient
    _value: Any = field(default=None, repr=False)

    @property
    def value(self) -> Any:
        """The contribution, in the target's shape and dtype: an array, or a tensor when the walk is recorded."""
        if self._value is None:  # it went straight into the target's buffer; build it for whoever looks
            assert self.node.op is not None
            pulled = self.node.op.pull(self.slot, self.gradient, self.node._array, _arrays(self.node), self.node.attrs)
            self._value = fitted(pulled, self.target._array)
        return self._value


@dataclass(slots=True)
class BackwardStep:
    """One node's turn: its complete gradient, and what it sends to each of its operands.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> next(tg.walk([x.tanh()], [[1.0]])).gradient
    [1.0]
    """

    node: Tensor
    gradient: Any  #: an array, or a tensor when the walk is recorded
    sent: list[tuple[int, Tensor, Any]] = field(repr=False)  #: slot, target, value (None: it went into a buffer)
    #: a mask of what counts of the gradient, see `dead_positions`; None: all
    live: Any = field(default=None, repr=False)
    replaced: bool = False  #: a hook put it in the place of what arrived

    @property
    def contributions(self) -> list[Contribution]:
        """The contributions of this node's uses of tensors to those tensors' gradients."""
        return [Contribution(slot, target, self.node, self.gradient, value) for slot, target, value in self.sent]


@answerable
def walk(
    outputs: Sequence[Tensor],
    gradients: Sequence[Any],
    *,
    inputs: Sequence[Tensor] | None = None,
    through: bool = True,
    live: Sequence[Any] | None = None,
    send: Callable[..., Any] | None = None,
    create_graph: bool = False,
) -> Iterator[BackwardStep]:
    """Yield a `BackwardStep` for every node between ``outputs`` and the leaves (or ``inputs``), last made first.

    ``gradients`` are arrays of the outputs' shapes; the walk changes nothing but what it yields. With
    ``create_graph`` they are tensors, and the walk's own arithmetic is recorded. A graph that was taken or loaded is
    walked by its `Graph.tensors`.

    With ``through=False`` it ends at ``inputs``: none of them receives anything by way of another, so gradients are
    partial derivatives. A walk goes on where another one ended if ``live`` are the steps' masks there. Many gradients
    at once, one axis more in front, want a rule of their own: ``send(node, slot, gradients, live, operands)``, of the
    operand's shape; None of it is no gradient.

    Raises `ArgumentError` for other than lists of tensors, and for another number of gradients; `GraphError` for a rule
    that gives no gradient.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([2.0], requires_grad=True)
    >>> for step in tg.walk([(x * x).tanh()], [np.ones(1, "f")]):
    ...     print(step.node.op, step.gradient)
    <primitive tanh> [1.]
    <primitive mul> [0.00134...]
    None [0.00536...]
    """
    for given in (outputs, () if inputs is None else inputs):
        if not isinstance(given, (list, tuple)) or not all(map(is_tensor, given)):
            raise ArgumentError("walk: outputs, and inputs where there are any, are lists of tensors")
    if not len(outputs) == len(gradients) == len(outputs if live is None else live):
        masks = "" if live is None else f" and {len(live)} masks"
        raise ArgumentError(f"walk: {len(outputs)} outputs, but {len(gradients)} gradients{masks}; give one for each")
    turns = _turns(outputs, gradients, inputs, through, live, send, create_graph)
    return (BackwardStep(*turn) for turn in turns)


def _turns(
    outputs: Sequence[Tensor],
    gradients: Sequence[Any],
    inputs: Sequence[Tensor] | None,
    through: bool,
    live: Sequence[Any] | None,
    send: Callable[..., Any] | None,
    create_graph: bool,
) -> Iterator[tuple[Tensor, Any, list[tuple[int, Tensor, Any]], Any, bool]]:
    """The fields of a `BackwardStep` for every node."""
    order = nodes_between(outputs, inputs, through)
    wanted = {node.serial for node in order}
    ends = set() if through or inputs is None else {x.serial for x in inputs}
    arrived: dict[int, Any] = {}  # by serial, the sum of the contributions so far
    owned: set[int] = set()  # gradients that are sums made here, so they may be added to in place
    counting: dict[int, list[Any] | None] = {}  # where they count (None: everywhere): not past a sequence's end, say

    def counts(key: int, mask: Any) -> None:
        held = counting.get(key)
        if mask is None or (held is None and key in arrived):
            counting[key] = None
        elif held is None:
            counting[key] = [mask]
        else:
            held.append(mask)

    def arrive(key: int, value: Any) -> None:
        if key not in arrived:
            arrived[key] = value
        elif key in owned:
            arrived[key] += value
        else:
            total = arrived[key] = arrived[key] + value
            if type(total) is np.ndarray:
                owned.add(key)

    for output, gradient, mask in zip(outputs, gradients, live or [None] * len(outputs), strict=True):
        counts(output.serial, mask)
        arrive(output.serial, gradient)

    for node in order:
        serial = node.serial
        if serial not in arrived:
            continue  # a path ended in an operand without a gradient
        gradient = before = arrived.pop(serial)
        items = counting.pop(serial, None) if counting else None
        mask = None if items is None else merged(items, node.shape, node.dtype)
        if node._hooks:
            gradient = _hooked(node, gradient, create_graph)
            if gradient is not before and mask is not None:
                mask = replaced(mask, gradient)
        sent: list[tuple[int, Tensor, Any]] = []
        op = node.op
        if op is None or node._starts or serial in ends:
            yield node, gradient, sent, mask, gradient is not before
            continue
        all_counts = mask is None and not op.chooses
        y, operands = (node, node.operands) if create_graph else (node._array, _arrays(node))
        if create_graph:  # the derivative belongs where the node belongs
            outer, current.scope = current.scope, node.scope._replace(backward=True)
        try:
            for slot, x in enumerate(node.operands):
                if isinstance(x, LITERALS) or x.serial not in wanted or slot not in op.slots:
                    continue
                if Memory.latest > serial:
                    _guard(node, op, slot)
                target = x.serial
                if x.op is not None and (counting or not all_counts):
                    one = gradient if send is None else gradient[0]
                    counts(target, None if all_counts else sent_on(op, slot, one, mask, y, operands, node.attrs))
                # a step's rows are added to the sequence's gradient, not filled up with zeros to its size first
                if op.accumulate is not None and slot == 0 and not create_graph and send is None:
                    if target not in owned:
                        held = arrived.get(target)
                        arrived[target] = np.zeros(x.shape, x.dtype) if held is None else np.array(held)
                        owned.add(target)
                    op.accumulate(arrived[target], gradient, y, *operands, **node.attrs)
                    sent.append((slot, x, None))
                    continue
                if send is not None:
                    value = send(node, slot, gradient, mask, operands)
                    if value is None:
                        continue
                else:
                    if mask is None:
                        value = op.pull(slot, gradient, y, operands, node.attrs)
                    else:
                        value = pulled(op, slot, gradient, mask, y, operands, node.attrs)
                    like: Any = operands[slot]
                    try:
                        if value.shape != like.shape or value.dtype is not like.dtype:
                            value = fitted(value, like)
                    except (AttributeError, TypeError, ValueError):
                        if fault := no_gradient(op, node.site, slot, value, x.shape):
                            raise GraphError(fault) from None
                        raise
                sent.append((slot, x, value))
                arrive(target, value)
        finally:
            if create_graph:
                current.scope = outer
        yield node, gradient, sent, mask, gradient is not before


def nodes_between(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor] | None = None, through: bool = True
) -> list[Tensor]:
    """Tensors needing a gradient on the way from ``outputs`` to ``inputs`` (None: every leaf), last made first."""
    leads = set() if inputs is None else {x.serial for x in inputs}
    first = min(leads, default=-1)  # nothing made before the inputs leads to one
    found = {x.serial: x for x in outputs}
    pending = list(found.values())
    while pending:
        node = pending.pop()
        if node._freed and node.serial > first and node.serial not in leads:
            raise _walked_before(node)
        for x in () if node._starts or (node.serial in leads and not through) else node.operands:
            if not isinstance(x, LITERALS) and x._requires_grad and x.serial not in found and x.serial >= first:
                found[x.serial] = x
                pending.append(x)
    order = [found[serial] for serial in sorted(found, reverse=True)]
    if inputs is None:
        return order
    for node in reversed(order):
        if not node._starts and any(not isinstance(x, LITERALS) and x.serial in leads for x in node.operands):
            leads.add(node.serial)
    return [node for node in order if node.serial in leads]


def backward(output: Tensor, gradient: Any, *, retain_graph: bool | None, create_graph: bool) -> None:
    """See `Tensor.backward`."""
    tracer = current.tracer
    record = create_graph or tracer is not None  # a compiled function's backward pass is part of its graph
    seeds = [seeded(output, gradient, record)]
    finished: list[tuple[Tensor, Any]] = []
    for node, value in _drain([output], seeds, None, retain_graph, record):
        if node.op is None or node._starts or node._retains_grad:
            finished.append((node, value))
    fresh_values = _own([value for _, value in finished], record, output._leaf)
    for (node, _), fresh in zip(finished, fresh_values, strict=True):  # only now: an error midway leaves every .grad
        with recording(create_graph):
            if tracer is not None and not create_graph:
                fresh = fresh.detach()
            node.grad = fresh if node.grad is None else node.grad + fresh


@answerable
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of (the sum of) ``outputs`` with respect to each of ``inputs``; ``.grad`` stays untouched.

    ``grad_outputs``: one upstream gradient per output, of its shape; None stands for 1 of a scalar. Returns one
    tensor per input, of its shape and dtype. An input no output depends on is an error, or None with
    ``allow_unused``.

    The graph can be walked again after ``retain_graph``, which ``create_graph`` implies; with that the gradients
    themselves can be differentiated.

    Raises `GraphError` for an input that requires no gradient, or for another number of ``grad_outputs``;
    `DTypeError` for what is no tensor.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (first,) = tg.grad(x ** 3, x, create_graph=True)
    >>> (second,) = tg.grad(first, x)
    >>> float(first), float(second)
    (27.0, 18.0)
    """
    outputs, inputs = _listed(outputs), _listed(inputs)
    upstream = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(outputs)
    if len(upstream) != len(outputs):
        raise GraphError(f"grad: {len(outputs)} outputs want as many grad_outputs, not {len(upstream)}")
    for x in (*outputs, *inputs):
        if not is_tensor(x):
            raise DTypeError(f"grad: outputs and inputs are tensors, not {type(x).__name__}")
    if not inputs:
        return ()
    for x in inputs:
        if not x.requires_grad:
            raise GraphError(f"grad: input {x._described()} does not require a gradient; set requires_grad=True")
    if allow_unused:  # an output that depends on nothing uses none of the inputs
        kept = [(y, g) for y, g in zip(outputs, upstream, strict=True) if y.requires_grad]
        outputs, upstream = [y for y, _ in kept], [g for _, g in kept]
    record = create_graph or current.tracer is not None
    seeds = [seeded(y, g, record) for y, g in zip(outputs, upstream, strict=True)]
    asked = {x.serial for x in inputs}
    found: dict[int, Any] = {}
    for node, value in _drain(outputs, seeds, inputs, retain_graph, record):
        if node.serial in asked:
            found[node.serial] = value
    for x in inputs:
        if x.serial not in found and not allow_unused:
            raise GraphError(f"grad: no output depends on {x._described()}; pass allow_unused=True to get None for it")
    present = [found[x.serial] for x in inputs if x.serial in found]
    fresh = _own(present, record, inputs[0]._leaf)
    if record and not create_graph:
        fresh = [value.detach() for value in fresh]
    owned = iter(fresh)
    return tuple(next(owned) if x.serial in found else None for x in inputs)


def _listed(tensors: Any) -> list[Tensor]:
    return [tensors] if is_tensor(tensors) else list(tensors)


def _own(values: Sequence[Any], recorded: bool, leaf: Callable[[Any], Tensor]) -> list[Tensor]:
    """Gradients as tensors of their own memory: one that was handed on unchanged, or viewed, is copied."""
    if not recorded:
        return [leaf(np.array(value)) for value in values]
    result: list[Tensor] = []
    held: set[int] = set()
    for value in values:
        if value.op is None or value.op.view or value.serial in held:
            with placed(value.scope._replace(backward=True)), recording(True):
                value = value.clone()
        held.add(value.serial)
        result.append(value)
    return result


def _drain(
    outputs: Sequence[Tensor], seeds: list[Any], inputs: Sequence[Tensor] | None, retain: bool | None, record: bool
) -> Iterator[tuple[Tensor, Any]]:
    """Walk, and afterwards mark the graph as walked unless it is to be kept."""
    if current.tracer is not None and (derived := current.tracer.derived(outputs, seeds, inputs)) is not None:
        yield from derived
        return
    visited = []
    with recording(record):
        for node, gradient, sent, _, _ in _turns(outputs, seeds, inputs, True, None, None, record):
            if sent:
                if node._spent:
                    raise _walked_before(node)
                visited.append(node)
            yield node, gradient
    if not (record if retain is None else retain):
        _free_the_last()
        for node in visited:
            node._spent = True
        current.walked = [weakref.ref(node) for node in visited]


def _free_the_last() -> None:
    """Let what the walk before has passed forget its operands: a loss that is kept does not keep its whole graph.

    The graph walked last stays, for as long as somebody holds it, to be drawn and looked at.
    """
    for reference in current.walked:
        node = reference()
        if node is not None:
            node.operands, node._freed = (), True


def _walked_before(node: Tensor) -> GraphError:
    return GraphError(
        f"the graph of {node._described()} (made at {node.site}) was walked backward before; "
        "pass retain_graph=True the first time, or detach() the state that an earlier window left"
    )


def seeded(output: Tensor, gradient: Any, record: bool) -> Any:
    """The gradient a walk starts from."""
    if not output.requires_grad:
        raise GraphError(
            f"{output._described()} does not depend on anything that requires a gradient; "
            "set requires_grad=True on a leaf, and compute outside tg.no_grad()"
        )
    if gradient is None:
        if output.numel() != 1:
            raise GraphError(
                f"backward starts from a scalar, but {output._described()} (made at {output.site}) has "
                f"{output.numel()} elements; reduce it (.sum(), .mean()) or pass the upstream gradient"
            )
        gradient = output._leaf(np.ones(output.shape, output.dtype))
    gradient = output._coerced(gradient)
    if gradient.shape != output.shape:
        raise ShapeError(
            f"the upstream gradient has shape {gradient.shape}, {output._described()} another; make them equal"
        )
    if gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    return gradient if record else gradient._array


def _arrays(node: Tensor) -> list[Any]:
    try:
        return [x._array for x in node.operands]  # type: ignore[union-attr]
    except AttributeError:  # a number among them
        return [x if isinstance(x, LITERALS) else x._array for x in node.operands]


def _guard(node: Tensor, op: Primitive, slot: int) -> None:
    """Refuse to differentiate with a value that was overwritten since ``node`` used it."""
    needs_result, needed = op.values_needed(slot)
    operands = node.operands if needed is None else [node.operands[i] for i in needed if i < len(node.operands)]
    for x in (*operands, node) if needs_result else operands:
        if not isinstance(x, LITERALS) and x._memory is not None and x._memory.written > node.serial:
            raise MutationError(
                f"{op.name} (at {node.site}) needs {x._described()} as it was, but it was written in place "
                f"at {x._memory.site}; write after backward(), or use a copy"
            )


def _hooked(node: Tensor, gradient: Any, record: bool) -> Any:
    for hook in list((node._hooks or {}).values()):
        replaced = hook(gradient if record else node._leaf(np.array(gradient)))
        if replaced is not None:
            replaced = node._coerced(replaced)
            if replaced.shape != node.shape:
                raise ShapeError(
                    f"a hook on {node._described()} returned a gradient of shape {replaced.shape}; keep its shape"
                )
            gradient = replaced if record else replaced._array.astype(node.dtype, copy=False)
    return gradient
