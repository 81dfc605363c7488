"""Functions that layers and losses compute; the names and arguments are ``torch.nn.functional``'s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import primitives as P
from ..arguments import answering, integer, probability
from ..errors import ArgumentError, DTypeError, ShapeError
from ..functional import leaky_relu as leaky_relu
from ..functional import log_softmax as log_softmax
from ..functional import one_hot as one_hot
from ..functional import relu as relu
from ..functional import softmax as softmax
from ..functional import softplus as softplus
from ..functional import take
from ..random import generator
from ..tensors import Array, Tensor, as_tensor, from_array
from ..thread_state import current
from .activations import elu as elu
from .activations import hard_sigmoid as hard_sigmoid
from .activations import hardtanh as hardtanh
from .activations import softsign as softsign

#: what a loss makes of its elements
Reduction = Literal["mean", "sum", "none"]
#: how `gelu` computes the normal distribution's integral
Approximate = Literal["none", "tanh"]


def linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b``: (..., in), (out, in), (out,) -> (..., out).

    ``x`` times the transposed ``weight`` W, plus ``bias`` b if there is one.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.linear(tg.ones(1, 2), tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.ones(2)).tolist()
    [[4.0, 8.0]]
    """
    operands = (x, weight) if bias is None else (x, weight, bias)
    return as_tensor(weight)._record(P.linear, operands, {})


def embedding(indices: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of ``weight`` (V, D) at integer ``indices`` (...): (..., D).

    The row ``padding_idx`` (from the end if negative) is read as it is, and receives no gradient.

    Raises `ArgumentError` if ``padding_idx`` is no row.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.embedding([1, 0], tg.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    if padding_idx is None:
        return take(weight, indices)
    padding, rows = integer(padding_idx, "embedding: padding_idx"), as_tensor(weight).shape[0]
    if not -rows <= padding < rows:
        raise ArgumentError(f"embedding: padding_idx {padding} is not one of the {rows} rows")
    indices = as_tensor(indices)
    found = take(weight, indices)
    return P.where((indices == padding % rows).expand_dims(-1), found.detach(), found)


def pad(x: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """``x`` with elements added around: ``pad`` has how many before and after, of the last dimension first.

    They are ``value`` (0 unless told), and fewer than 0 are cut off; by ``mode`` they are those at the other end
    ("circular"), next to the end ("reflect") or the last one ("replicate"). Raises `ShapeError` for other widths,
    `ArgumentError` for another ``mode``.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([[1.0, 2.0, 3.0]])
    >>> tg.nn.functional.pad(x, (1, 0)).tolist(), tg.nn.functional.pad(x, (1, 1), "circular").tolist()
    ([[0.0, 1.0, 2.0, 3.0]], [[3.0, 1.0, 2.0, 3.0, 1.0]])
    """
    x, widths = as_tensor(x), [integer(n, "pad: a width") for n in pad]
    pairs = [*zip(widths[::2], widths[1::2])][::-1]
    if len(widths) % 2 or len(pairs) > x.ndim:
        raise ShapeError(f"pad: {tuple(widths)} is not two widths for each of the last dimensions of {x._described()}")
    pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    if mode != "constant":
        if mode not in _NUMPYS_MODES:
            raise ArgumentError(f'pad: mode is "constant" or one of {list(_NUMPYS_MODES)}, not {mode!r}')
        if min(widths, default=0) < 0:
            raise ShapeError(f"pad: widths of mode {mode!r} must not be negative, but are {tuple(widths)}")
        for axis, pair in enumerate(pairs):
            if any(pair):
                order = np.pad(np.arange(x.shape[axis]), pair, _NUMPYS_MODES[mode])
                x = x[(*[slice(None)] * axis, order)]
        return x
    cut = x[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape))]
    wide = [(max(0, a), max(0, b)) for a, b in pairs]
    return cut.pad(wide) + np.pad(np.zeros(cut.shape, x.dtype), wide, constant_values=value) if value else cut.pad(wide)


_NUMPYS_MODES: dict[str, Any] = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8, *, axis: int | None = None) -> Tensor:
    """The cosine of the angle between ``x1`` and ``x2``, broadcast, along ``dim``; a length is at least ``eps``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.cosine_similarity([[1.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]).tolist()
    [1.0, 0.0]
    """
    x1, x2, along = as_tensor(x1), as_tensor(x2), dim if axis is None else axis
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = (x if x.shape == shape else x.broadcast_to(shape) for x in (x1, x2))
    lengths = [x.square().sum(along, True).clip(eps**2).sqrt() for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(along)


def layer_norm(
    x: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions, which are ``normalized_shape``.

    The variance divides by n. J. L. Ba, J. R. Kiros, G. E. Hinton (2016), arXiv:1607.06450, equation 4.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.layer_norm(tg.tensor([-1.0, 1.0]), 2, eps=0.0).tolist()
    [-1.0, 1.0]
    """
    x, axes = _normalized("layer_norm", x, normalized_shape)
    centred = x - x.mean(axes, True)
    return _scaled(centred / (centred.square().mean(axes, True) + eps).sqrt(), weight, bias)


def rms_norm(x: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions, which are ``normalized_shape``.

    ``eps`` is the dtype's machine epsilon unless given. B. Zhang, R. Sennrich (2019), arXiv:1910.07467, equation 4.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.rms_norm(tg.tensor([3.0, -3.0]), 2).tolist()
    [1.0, -1.0]
    """
    x, axes = _normalized("rms_norm", x, normalized_shape)
    small = float(np.finfo(x.dtype).eps) if eps is None else eps
    return _scaled(x / (x.square().mean(axes, True) + small).sqrt(), weight, None)


def _normalized(name: str, x: Any, normalized_shape: int | Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """The input, and the axes at its end that ``normalized_shape`` names."""
    x = as_tensor(x)
    wanted = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        raise ShapeError(f"{name}: normalizes the last dimensions {wanted}, but the input has shape {x.shape}")
    return x, tuple(range(x.ndim - len(wanted), x.ndim))


def _scaled(x: Tensor, weight: Any, bias: Any) -> Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def gelu(x: Any, approximate: Approximate = "none") -> Tensor:
    """``x * Phi(x)``, with the normal distribution's Phi; ``approximate="tanh"`` is the usual closed form of it.

    D. Hendrycks, K. Gimpel (2016), arXiv:1606.08415, section 2.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.gelu(tg.tensor([0.0, 30.0])).tolist()
    [0.0, 30.0]
    """
    x = as_tensor(x)
    if approximate == "tanh":
        return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())
    return 0.5 * x * x._record(P.erfc, (x * -math.sqrt(0.5),), {})  # 1 + erf has no digits left below -5.5


def silu(x: Any) -> Tensor:
    """``x * sigmoid(x)``, elementwise; also called swish.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.silu(tg.zeros(2)).tolist()
    [0.0, 0.0]
    """
    x = as_tensor(x)
    return x * x.sigmoid()


def logsigmoid(x: Any) -> Tensor:
    """``log(sigmoid(x)) = -softplus(-x)``, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([-100.0])).tolist()
    [-100.0]
    """
    return -softplus(-as_tensor(x))


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.tanh(tg.zeros(2)).tolist()
    [0.0, 0.0]
    """
    return as_tensor(x).tanh()


def sigmoid(x: Any) -> Tensor:
    """``1 / (1 + e ** -x)``, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.sigmoid(tg.zeros(2)).tolist()
    [0.5, 0.5]
    """
    return as_tensor(x).sigmoid()


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``; nothing when not training.

    ``training=False`` switches it off. Raises `ArgumentError` for a ``p`` that is no probability.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.dropout(tg.ones(2), 0.5, training=False).tolist()
    [1.0, 1.0]
    """
    x, p = as_tensor(x), probability(p, "dropout: p")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    shape, dtype = x.shape, x.dtype

    def mask() -> Array:
        return (generator().random(shape) >= p).astype(dtype) / dtype.type(1 - p)

    if current.tracer is not None:
        return x * current.tracer.dropped(mask, x._array, p)
    constant = from_array(mask())
    constant.name = "dropout mask"
    return x * constant


def cross_entropy(
    logits: Any,
    target: Any,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of class targets, ``-log softmax(logits)[target]``.

    ``logits`` (C,), (N, C) or (N, C, d1, ...), ``target`` (), (N,) or (N, d1, ...). Targets equal to ``ignore_index``
    contribute neither loss nor gradient, nor to the mean's count. ``reduction``: "mean", "sum" or "none". ``weight``
    (C,) rescales each class, and the mean divides by the targets' weights. ``label_smoothing`` gives that part of the
    target's probability to all classes alike (C. Szegedy et al. 2016, CVPR, section 7). Targets of the logits' shape
    are probabilities of the classes: ``-sum(target * log softmax(logits))``; the mean is then over all of them.

    Raises `ArgumentError` for a ``label_smoothing`` out of [0, 1].

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(1, 4), tg.tensor([2]))
    tensor(1.3862944, op=div)
    """
    logits, target, ignore_index = as_tensor(logits), as_tensor(target), integer(ignore_index, "ignore_index")
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing!r}")
    if target.dtype.kind == "f" and target.shape == logits.shape and logits.ndim:
        return _of_probabilities(logits, target, reduction, weight, label_smoothing)
    _fit("cross_entropy", logits, target)
    if logits.ndim > 2:
        logits = logits.permute([0, *range(2, logits.ndim), 1])
    losses = logits._record(P.cross_entropy, (logits, target), {"ignore_index": ignore_index})
    tracer = current.tracer
    ignores = np.any(target.numpy() == ignore_index) if tracer is None else tracer.ignores(ignore_index)
    if not ignores and weight is None and not label_smoothing:
        return _reduced(losses, reduction)
    classes, keep = logits.shape[-1], target != ignore_index
    if ignores:
        losses = as_tensor(P.where(keep, losses, 0.0))  # nothing there counts, see `dead_positions`
    if weight is None and not label_smoothing:
        if reduction == "mean":
            return losses.sum() / keep.astype(losses.dtype).sum()
        return _reduced(losses, reduction)
    importance = _importance("cross_entropy", weight, classes, losses.dtype)
    own = _of_the_targets(importance, target, keep)
    losses = losses * own
    if label_smoothing:
        even = P.where(keep, -(log_softmax(logits) * importance).sum(-1), 0.0)
        losses = (1 - label_smoothing) * losses + label_smoothing / classes * even
    return losses.sum() / as_tensor(own).sum() if reduction == "mean" else _reduced(losses, reduction)


def _of_probabilities(
    logits: Tensor, target: Tensor, reduction: Reduction, weight: Any, label_smoothing: float
) -> Tensor:
    """`cross_entropy` against a probability of each class."""
    if logits.ndim > 2:
        order = [0, *range(2, logits.ndim), 1]
        logits, target = logits.permute(order), target.permute(order)
    classes = logits.shape[-1]
    if label_smoothing:
        target = (1 - label_smoothing) * target + label_smoothing / classes
    importance = _importance("cross_entropy", weight, classes, logits.dtype)
    return _reduced(-(target * importance * log_softmax(logits)).sum(-1), reduction)


def _importance(name: str, weight: Any, classes: int, dtype: Any) -> Tensor:
    """The weight of each class (C,), or 1 for all."""
    importance = as_tensor(1.0 if weight is None else weight, dtype)
    if importance.shape not in ((), (classes,)) or (weight is not None and not importance.ndim):
        raise ShapeError(f"{name}: weight has shape {importance.shape}, but there are {classes} classes")
    return importance


def _of_the_targets(importance: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """The weight of each target's class, 0 where the target is ignored."""
    own = take(importance, P.where(keep, target, 0)) if importance.ndim else importance
    return as_tensor(P.where(keep, own, 0.0))


def nll_loss(
    log_probabilities: Any, target: Any, ignore_index: int = -100, reduction: Reduction = "mean", *, weight: Any = None
) -> Tensor:
    """``-log_probabilities[target]``, for inputs (C,), (N, C) or (N, C, d1, ...) that are already log-softmaxed.

    ``weight`` (C,) rescales each class, as in `cross_entropy`.

    ``ignore_index``, ``reduction`` and ``weight`` (C,) are those of `cross_entropy`. Raises `ShapeError` for targets
    that do not fit.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-1.0, -0.5]]), tg.tensor([1])).item()
    0.5
    """
    x, target, ignore_index = as_tensor(log_probabilities), as_tensor(target), integer(ignore_index, "ignore_index")
    _fit("nll_loss", x, target)
    if x.ndim > 2:
        x = x.permute([0, *range(2, x.ndim), 1])
    keep = target != ignore_index
    chosen = P.one_hot(P.where(keep, target, 0), num_classes=x.shape[-1], dtype=x.dtype, strict=True)
    losses, own = P.where(keep, -(P.where(chosen > 0, x, 0)).sum(-1), 0), keep
    if weight is not None:
        own = _of_the_targets(_importance("nll_loss", weight, x.shape[-1], x.dtype), target, keep)
        losses = losses * own
    if reduction == "mean":
        return losses.sum() / own.sum()
    return _reduced(losses, reduction)


def _fit(name: str, scores: Tensor, target: Tensor) -> None:
    """Refuse targets other than one class index for each row of scores, (C,), (N, C) or (N, C, d1, ...)."""
    _not_swapped(name, scores, target)
    shape, got = scores.shape, target.shape
    wanted = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    if shape and got == wanted:
        return
    last, cure = len(shape) - 1, ""
    if last > 1 and got == shape[:-1]:
        cure = f"; classes are dimension 1: move them there with .permute{(0, last, *range(1, last))}"
    elif last == 2 and got == (shape[1], shape[0]):
        cure = "; the batch is dimension 0 and classes are dimension 1: move them there with .permute(1, 2, 0)"
    elif shape and (got == (math.prod(shape[:-1]),) or (last == 1 and math.prod(got) == shape[0])):
        cure = f"; give .reshape(-1, {shape[-1]}) with targets as .reshape(-1)"
    words = f"{scores._described()} wants targets of shape {wanted}, one class index per row, but got {got}{cure}"
    raise ShapeError(f"{name}: {words}")


def _not_swapped(name: str, scores: Tensor, target: Tensor) -> None:
    """Refuse classes where scores belong."""
    if scores.dtype.kind in "iu" and target.dtype.kind == "f":
        raise DTypeError(
            f"{name}: the first operand, of {scores.dtype} {scores.shape}, looks like the targets and the second, of "
            f"{target.dtype} {target.shape}, like the scores; swap them"
        )


def mse_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Squared differences, elementwise: averaged, summed or left alone.

    ``target`` has the shape of ``x``; ``reduction`` is "mean", "sum" or "none".

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 3.0]), tg.zeros(2)).item()
    5.0
    """
    x, target = _alike("mse_loss", x, target)
    return _reduced((x - target).square(), reduction)


def l1_loss(x: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Absolute differences, elementwise: averaged, summed or left alone.

    ``target`` has the shape of ``x``; ``reduction`` is "mean", "sum" or "none".

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, -3.0]), tg.zeros(2)).item()
    2.0
    """
    x, target = _alike("l1_loss", x, target)
    return _reduced((x - target).abs(), reduction)


def huber_loss(x: Any, target: Any, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """``d^2 / 2`` where the difference ``|d|`` is at most ``delta``, ``delta * (|d| - delta / 2)`` beyond.

    P. J. Huber (1964), Annals of Mathematical Statistics 35(1), 73-101.

    ``target`` has the shape of ``x``; ``reduction`` is "mean", "sum" or "none". Raises `ArgumentError` for a ``delta``
    not above 0.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none").tolist()
    [0.125, 2.5]
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta is a positive number, not {delta!r}")
    x, target = _alike("huber_loss", x, target)
    distance = (x - target).abs()
    near = distance.clip(max=delta)
    return _reduced(near * (distance - 0.5 * near), reduction)


def smooth_l1_loss(x: Any, target: Any, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """`huber_loss` divided by ``beta``: ``d^2 / (2 beta)`` up to a difference of ``beta``, ``|d| - beta / 2`` beyond.

    R. Girshick (2015), Fast R-CNN, arXiv:1504.08083, equation 3; ``beta=0`` is `l1_loss`.

    ``target`` has the shape of ``x``; ``reduction`` is "mean", "sum" or "none". Raises `ArgumentError` for a negative
    ``beta``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none").tolist()
    [0.125, 2.5]
    """
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta is 0 or a positive number, not {beta!r}")
    return huber_loss(x, target, reduction, beta) / beta if beta else l1_loss(x, target, reduction)


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: Reduction = "mean") -> Tensor:
    """``-target log x - (1 - target) log(1 - x)`` of probabilities ``x``, elementwise, each logarithm at least -100.

    Of scores `binary_cross_entropy_with_logits` keeps its digits, and a gradient where a probability rounds to 0 or 1.

    ``target`` in [0, 1], of the input's shape; ``weight`` rescales every element's loss. ``reduction``: "mean", "sum"
    or "none".

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([1.0, 0.0]), tg.tensor([1.0, 1.0]), reduction="none").tolist()
    [0.0, 100.0]
    """
    x, target = _alike("binary_cross_entropy", x, target)
    losses = -target * _bounded_log(x) - (1 - target) * _bounded_log(1 - x)
    return _reduced(losses if weight is None else losses * weight, reduction)


def _bounded_log(x: Tensor) -> Tensor:
    """The logarithm, at least -100; no logarithm of 0 is taken."""
    nothing = x == 0
    return as_tensor(P.where(nothing, -100.0, P.where(nothing, 1.0, x).log())).clip(min=-100.0)


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: Reduction = "mean", pos_weight: Any = None
) -> Tensor:
    """``-target log s - (1 - target) log(1 - s)`` of ``s = sigmoid(x)``, elementwise, without computing ``s``.

    ``target`` in [0, 1], of the input's shape; ``weight`` rescales every element's loss, ``pos_weight`` its first term.

    ``reduction``: "mean", "sum" or "none".

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([100.0]), tg.tensor([0.0])).item()
    100.0
    """
    x, target = _alike("binary_cross_entropy_with_logits", x, target)
    _not_swapped("binary_cross_entropy_with_logits", x, target)
    positive = 1 if pos_weight is None else as_tensor(pos_weight)
    losses = target * softplus(-x) * positive + (1 - target) * softplus(x)
    return _reduced(losses if weight is None else losses * weight, reduction)


def _alike(name: str, x: Any, target: Any) -> tuple[Tensor, Tensor]:
    x, target = as_tensor(x), as_tensor(target)
    if x.shape != target.shape:
        raise ShapeError(f"{name}: the input has shape {x.shape} but the target {target.shape}; make them equal")
    return x, target


def _reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


answering(globals(), "elu hard_sigmoid hardtanh leaky_relu log_softmax one_hot relu softmax softplus softsign")
