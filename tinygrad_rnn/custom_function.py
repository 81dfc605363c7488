"""Function: an operation with a forward and a backward pass of one's own, as ``torch.autograd.Function``.

Each call becomes one node of the graph, whose reference is the forward pass and whose rule is the backward pass: the
gradient check moves the one and sees whether the other follows. In a function being compiled the forward pass is
recorded as it is and the backward pass where the reverse walk comes by, so both are compiled, if they consist of this
package's operations; what reads a value in Python is refused with its line, as everywhere there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .arguments import names_at, refuse_call, switch
from .errors import DTypeError, GraphError, MissingMethodError, ShapeError
from .functional import concat
from .primitives.record import Unlisted, size_of
from .settings import no_grad
from .tensors import Array, Tensor, as_tensor, from_array
from .thread_state import current


class Context:
    """``ctx``: what the forward pass leaves for the backward pass, with `save_for_backward` or as attributes."""

    #: for each argument of ``forward``, whether a gradient is wanted of it
    needs_input_grad: tuple[bool, ...] = ()
    _saved: tuple[Any, ...] = ()
    _constant: frozenset[int] = frozenset()  # serials of the results that have no gradient
    _materialize: bool = True
    #: what stands for the function's arguments and its result now, in the place of those that were saved
    _present: Callable[[Any], Any] = staticmethod(lambda x: x)

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors, which the backward pass finds in ``saved_tensors``."""
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise DTypeError(f"save_for_backward keeps tensors, not {type(x).__name__}; assign it, ctx.name = ...")
        self._saved = tensors

    def mark_non_differentiable(self, *results: Tensor) -> None:
        """Results without a gradient: they require none, may be of any dtype, and ``backward`` is given zeros for them.

        >>> import tinygrad_rnn as tg
        >>> class Largest(tg.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         place = x.argmax(0)
        ...         ctx.mark_non_differentiable(place)
        ...         ctx.save_for_backward(tg.one_hot(place, len(x)))
        ...         return x[place], place
        ...     @staticmethod
        ...     def backward(ctx, gradient, _):
        ...         return gradient * ctx.saved_tensors[0]
        >>> x = tg.tensor([1.0, 5.0, 2.0], requires_grad=True)
        >>> value, place = Largest.apply(x)
        >>> value.backward()
        >>> int(place), x.grad.tolist()
        (1, [0.0, 1.0, 0.0])
        """
        for x in results:
            if not isinstance(x, Tensor):
                raise DTypeError(f"mark_non_differentiable takes tensors that forward returns, not {type(x).__name__}")
        self._constant = frozenset(x.serial for x in results)

    def mark_dirty(self, *tensors: Any) -> None:
        """Always an error: PyTorch's mark of arguments that ``forward`` writes in place, which it may not do here."""
        raise GraphError(
            "mark_dirty: a Function writes none of its arguments, which the graph holds; compute new tensors, return "
            "them, and leave the mark out"
        )

    def set_materialize_grads(self, value: bool) -> None:
        """False: ``backward`` is given None, and no zeros, for the results marked with `mark_non_differentiable`.

        For other results that nothing used it is given zeros all the same: the results are one node of the graph.
        """
        self._materialize = switch(value, "set_materialize_grads: value")

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors that `save_for_backward` kept."""
        return tuple(map(self._present, self._saved))


class Function:
    """Base of operations of one's own: define ``forward`` and ``backward`` as static methods, call ``apply``.

    ``forward(ctx, *args)`` computes, unrecorded, one float tensor or a tuple of them (of any dtype where
    `Context.mark_non_differentiable` says that they have no gradient); or ``forward(*args)`` beside a
    ``setup_context(ctx, inputs, output)``. ``backward(ctx, *gradients)`` is given one gradient a result and returns one
    for each argument of ``forward``, None for those that have none. Written in operations of this package, and on
    saved arguments and results, it can be differentiated again (``create_graph=True``).

    >>> import tinygrad_rnn as tg
    >>> class Cube(tg.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         (x,) = ctx.saved_tensors
    ...         return gradient * 3 * x * x
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = Cube.apply(x)
    >>> bool(tg.check_gradients(y.sum()))
    True
    >>> y.sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        """The result; subclasses say."""
        raise MissingMethodError("a Function has a static method forward(ctx, *args); define one")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the arguments, given those of the results; subclasses say."""
        raise MissingMethodError("a Function has a static method backward(ctx, *gradients); define one")

    #: ``setup_context(ctx, inputs, output)``, where ``forward`` takes no ``ctx``
    setup_context: Callable[..., None] | None = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute the function, and record it as one node."""
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in args)
        try:
            outputs, single = _run(cls, ctx, args)
        except TypeError:
            refuse_call(cls.forward, (ctx, *args) if cls.setup_context is None else args, {}, f"{cls.__name__}.forward")
            raise
        moving = _moving(ctx, outputs)
        if not moving:
            return outputs[0].detach() if single else tuple(y.detach() for y in outputs)
        slots = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        if len({y.dtype for y in moving}) > 1 or moving[0].dtype.kind != "f":
            kinds = ", ".join(str(y.dtype) for y in moving)
            raise DTypeError(
                f"{cls.__name__}: results are float tensors of one dtype, not {kinds}; "
                "ctx.mark_non_differentiable those without a gradient"
            )
        with no_grad():
            whole = outputs[0] if single else concat([y.reshape(-1) for y in moving])
        backward = _Backward(cls, ctx, args, slots, outputs)
        tensors = tuple(args[i] for i in slots)
        if current.tracer is None:
            again, opened = partial(_again, cls, args, slots), partial(_opened, cls, args, slots)
            names = partial(names_at, cls.forward, slots, int(cls.setup_context is None))
            made = _recorded(cls, whole._array, again, backward, tensors, opened, names)
        else:
            # what goes to another engine takes the backward pass along whole
            made = getattr(current.tracer, "ruled", _traced)(cls, whole, backward, tensors)
            current.tracer.contexts.append(ctx)
        if single:
            return made
        parts = iter(parts_of(made, backward.shapes))
        return tuple(y.detach() if y.serial in ctx._constant else next(parts) for y in outputs)


def _moving(ctx: Context, outputs: Sequence[Tensor]) -> list[Tensor]:
    """The results that a gradient comes back from."""
    return [y for y in outputs if y.serial not in ctx._constant]


def _forward(cls: type[Function], ctx: Context, args: Sequence[Any]) -> Any:
    """The result of the user's forward, in either of PyTorch's two ways to write one."""
    if cls.setup_context is None:
        return cls.forward(ctx, *args)
    result = cls.forward(*args)
    cls.setup_context(ctx, tuple(args), result)
    return result


def _run(cls: type[Function], ctx: Context, args: Sequence[Any]) -> tuple[list[Tensor], bool]:
    """The forward pass: its results, and whether it gave one by itself."""
    with no_grad():
        result = _forward(cls, ctx, args)
    single = not isinstance(result, (tuple, list))
    outputs = [result] if single else list(result)
    if not outputs or not all(isinstance(y, Tensor) for y in outputs):
        wrong = next((type(y).__name__ for y in outputs if not isinstance(y, Tensor)), "nothing")
        raise DTypeError(f"{cls.__name__}.forward returns tensors, not {wrong}")
    return outputs, single


def parts_of(whole: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """A result, or its gradient, as the results that the user knows."""
    if len(shapes) == 1:
        return [whole if whole.shape == shapes[0] else whole.reshape(shapes[0])]
    ends = np.cumsum([size_of(shape) for shape in shapes]).tolist()
    return [whole[end - size_of(shape) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]


def _again(cls: type[Function], args: Sequence[Any], slots: Sequence[int], *arrays: Array) -> Array:
    """The forward pass at other values, also at complex ones: what the gradient check asks for."""
    full = list(args)
    for i, x in zip(slots, arrays, strict=True):
        full[i] = from_array(np.array(x))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            ctx = Context()
            outputs, single = _run(cls, ctx, full)
            values = [y._array for y in _moving(ctx, outputs)]
    except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
        if any(np.iscomplexobj(x) for x in arrays):
            raise TypeError(f"{cls.__name__} takes no complex numbers: {error}") from None
        raise
    return values[0] if single else np.concatenate([v.reshape(-1) for v in values])


def _opened(cls: type[Function], args: Sequence[Any], slots: Sequence[int], *tensors: Tensor) -> Tensor:
    """The forward pass of other tensors, recorded operation by operation."""
    full = list(args)
    for i, x in zip(slots, tensors, strict=True):
        full[i] = x
    ctx = Context()
    result = _forward(cls, ctx, full)
    single = not isinstance(result, (tuple, list))
    return result if single else concat([y.reshape(-1) for y in _moving(ctx, result)])


class _Backward:
    """The backward pass as a rule: run once for a gradient that arrives, whichever operand asks first."""

    def __init__(
        self, cls: type[Function], ctx: Context, args: Sequence[Any], slots: Sequence[int], outputs: Sequence[Tensor]
    ) -> None:
        self.cls, self.ctx, self.slots, self.count = cls, ctx, slots, len(args)
        moving = _moving(ctx, outputs)
        self.shapes = [y.shape for y in moving]
        #: for each result its shape and dtype if it has no gradient, else None
        self.constant = [(y.shape, y.dtype) if y.serial in ctx._constant else None for y in outputs]
        #: which of the saved tensors are arguments (by position among the tensors) or results, not to be held here
        self.inputs = {args[i].serial: k for k, i in enumerate(slots)}
        self.outputs = {y.serial: k for k, y in enumerate(moving)}
        ctx._saved = tuple(self._place(x) for x in ctx._saved)
        self.arrived: Any = None  # a gradient, and what is sent on of it, until every operand has asked
        self.shares: dict[int, Any] = {}

    def _place(self, x: Tensor | None) -> Any:
        if x is None:
            return None
        if x.serial in self.inputs:
            return ("argument", self.inputs[x.serial])
        return ("result", self.outputs[x.serial]) if x.serial in self.outputs else x

    def __call__(self, k: int, g: Any, y: Any, *operands: Any) -> Any:
        """The contribution to the ``k``-th tensor of the function."""
        if self.arrived is not g or k not in self.shares:
            self.arrived, self.shares = g, self.shares_of(g, y, operands)
        share = self.shares.pop(k)
        if not self.shares:
            self.arrived = None
        return share

    def shares_of(self, g: Any, y: Any, operands: Sequence[Any]) -> dict[int, Any]:
        """The contributions to all tensors of the function that want a gradient, by position, given ``g``."""
        plain = not isinstance(g, Tensor)
        given = [from_array(x) if isinstance(x, np.ndarray) else x for x in operands]
        results = parts_of(from_array(y) if isinstance(y, np.ndarray) else y, self.shapes)

        def present(x: Any) -> Any:
            if not isinstance(x, tuple):
                return x
            kind, k = x
            return given[k] if kind == "argument" else results[k]

        self.ctx._present = present
        try:
            parts = self._given(from_array(np.array(g)) if plain else g)
            if plain:
                with no_grad():
                    shares = self.cls.backward(self.ctx, *parts)
            else:
                shares = self.cls.backward(self.ctx, *parts)
        finally:
            del self.ctx._present
        shares = shares if isinstance(shares, (tuple, list)) else (shares,)
        name = self.cls.__name__
        if len(shares) != self.count:
            raise GraphError(
                f"{name}.backward returned {len(shares)} gradients, but forward takes {self.count} arguments; return "
                "one for each, None for those without"
            )
        found = {}
        for k, (x, i) in enumerate(zip(given, self.slots, strict=True)):
            if not self.ctx.needs_input_grad[i]:
                continue
            share = from_array(np.zeros(x.shape, x.dtype)) if shares[i] is None else as_tensor(shares[i])
            if share.shape != x.shape:
                raise ShapeError(
                    f"{name}.backward returned a gradient of shape {share.shape} for argument {i}, which has {x.shape}"
                )
            found[k] = share._array if plain else share
        return found

    def _given(self, g: Tensor) -> list[Tensor | None]:
        """The arguments of the backward pass: for each result its gradient, and zeros or None if it has none."""
        parts = iter(parts_of(g, self.shapes))
        empty = (lambda like: from_array(np.zeros(*like))) if self.ctx._materialize else lambda like: None
        return [next(parts) if like is None else empty(like) for like in self.constant]


def _recorded(
    cls: type[Function],
    value: Array,
    reference: Callable[..., Array],
    backward: _Backward,
    tensors: tuple[Tensor, ...],
    opened: Callable[..., Tensor],
    names: Callable[[], list[str]],
) -> Tensor:
    """One node that has the value already."""
    shape = value.shape
    primitive = Unlisted(
        cls.__name__,
        cls.__name__,
        lambda *_shapes: shape,
        reference,
        vjp=backward,
        rule=(r"\bar x = \text{as written by its author}",),
    )
    if any(np.may_share_memory(value, x._array) for x in tensors):
        value = value.copy()
    primitive.forward = lambda *_arrays: value
    primitive.opened, primitive.arguments = opened, names
    made = tensors[0]._record(primitive, tensors, {}) if tensors else from_array(value)
    primitive.forward = primitive.reference
    return made


def _traced(cls: type[Function], whole: Tensor, backward: _Backward, tensors: tuple[Tensor, ...]) -> Tensor:
    """A node that hands on what the recorded forward pass computes, and has the backward pass for a rule."""

    def rule(slot: int, g: Any, y: Any, _whole: Any, *operands: Any, dtype: Any) -> Any:
        return backward(slot - 1, g, y, *operands)

    primitive = Unlisted(
        cls.__name__,
        cls.__name__,
        lambda first, *_shapes, dtype: first,
        lambda first, *_rest, dtype: first,
        vjp=rule,
        rule=(r"\bar x = \text{as written by its author}",),
    )
    return whole._record(primitive, (whole, *tensors), {"dtype": whole.dtype})
