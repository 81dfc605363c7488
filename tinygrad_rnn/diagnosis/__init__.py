"""`diagnose`: search for the edits of the true backward pass that give exactly the wrong gradients somebody has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import answering
from ..draw_hook import drawing
from ..errors import ArgumentError, DTypeError, ShapeError
from ..graph import Node
from ..operation_errors import short
from ..tensors import Array, Tensor
from .report import Diagnosis

if TYPE_CHECKING:
    from .edited_walks import Record
    from .search import Tried

__all__ = ["Diagnosis", "diagnose"]


def diagnose(
    loss: Tensor,
    gradients: Mapping[Any, Any],
    *,
    max_edits: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Name the mistake in somebody's backward pass, from the gradients it gave.

    ``loss``: one number, computed here, with the right forward pass. ``gradients``: by leaf (its tensor or its name),
    the array that the other backward pass gave, of the leaf's shape; leaves may be left out, some may be right, and
    eight printed digits are enough. The walk is repeated in double precision with one edit, and, if ``max_edits`` is 2
    and no single one explains the numbers, with two. What is reported was walked, and gave all the given numbers.
    ``progress(done, total)`` is called now and then, once more from 0 where pairs are begun.

    Raises `ArgumentError` for keys that are no leaves of the loss and for numbers that are not finite, `ShapeError` for
    arrays of another shape, `MutationError` if a leaf was written in place since the loss was computed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.tensor([[0.5, -0.3]], requires_grad=True, name="w", dtype=tg.float64)
    >>> loss = (w * w).tanh().sum()
    >>> forgot = 2 * w.numpy()  # tanh' is missing
    >>> tg.diagnose(loss, {"w": forgot}).found
    True
    """
    if isinstance(max_edits, bool) or not isinstance(max_edits, (int, np.integer)) or max_edits not in (1, 2):
        raise ArgumentError(f"diagnose: max_edits is 1 or 2, not {max_edits!r}")
    if not isinstance(gradients, Mapping) or not gradients:
        raise ArgumentError("diagnose: gradients map leaves, or their names, to arrays; at least one is needed")
    if not isinstance(loss, Tensor):
        raise ArgumentError(f"diagnose: the loss is a tensor, not {type(loss).__name__}")
    with np.errstate(all="ignore"):  # gradients at the ends of the range, and what wrong rules divide by
        return _diagnosed(loss, gradients, max_edits, progress)


def _diagnosed(
    loss: Tensor, gradients: Mapping[Any, Any], max_edits: int, progress: Callable[[int, int], None] | None
) -> Diagnosis:
    from .edited_walks import Record
    from .search import Search  # only now: training does without it

    failed: list[str] = []
    for as_it_is in (False, True):  # where the program was read wrongly, it is searched without being read
        record = Record(loss, failed, as_it_is)
        keys = {_leaf(record, key): key for key in gradients}
        if len(keys) < len(gradients):
            raise ArgumentError("diagnose: a leaf is given twice, by name and by tensor; give it once")
        given = {leaf: _array(record, leaf, key, gradients[key]) for leaf, key in keys.items()}
        search = record.attempts.value("the program's loops", partial(Search, record, given, progress), None)
        if search is not None:
            break
    assert search is not None, failed
    names = {leaf: search.scene.called(record.nodes[leaf]) for leaf in keys}
    verdict = search.right({})
    wrong = [leaf for leaf, fine in verdict.items() if not fine]
    right = [names[leaf] for leaf, fine in verdict.items() if fine] + search.right_steps(wrong)
    few = search.few_digits(wrong or list(keys))
    if few:
        search.as_round_numbers()
    differences: dict[int, Array] = {}
    found: list[Tried] = []
    pairs = ""
    if not all(search.right({}).values()):
        found = search.singles() if record.attempts.value("sketches", search.prepare, False) else []
        pairs = "; pairs were not tried (max_edits=1)"
        if not found and not few and max_edits == 2 and (little := search.too_little_for_pairs()):
            pairs = f"; two of them were not tried: {little}"
        elif not found and not few and max_edits == 2:
            found = search.pairs()
            pairs = f", nor do two of them as far as they were tried: {search.pairs_tried}"
        found = search.ranked(found)
        if found and found[0].walked is not None:
            differences = found[0].walked
    else:
        few = ""
    result = {key: record.gradient(leaf) + differences.get(leaf, 0.0) for leaf, key in keys.items()}
    edits = [search.explained(tried) for tried in found]
    return Diagnosis(
        not wrong and not found,
        edits,
        result,
        search.agreement(differences),
        right,
        [names[leaf] for leaf in wrong],
        search.count,
        few,
        pairs,
        search.place(wrong),
        search.scene.names.cells(" ".join(edit.words for edit in edits)),
        list(map(search.scene.said, record.attempts.failed)),
        partial(drawing().SideBySide, record, edits[0]) if edits else None,
    )


def _leaf(record: Record, key: Any) -> int:
    if not isinstance(key, (str, Tensor)):
        raise ArgumentError(f"diagnose: gradients are keyed by leaf or name, not {type(key).__name__}")
    if isinstance(key, str):
        alike = [node for node in record.nodes if node.op is None and node.name == key]
        found = [node for node in alike if node.requires_grad] or alike
        if len(found) == 1:
            return _differentiable(record, found[0]).index
        known = short(", ".join(leaf.name for leaf in record.leaves if leaf.name), 200) or "none with a name"
        what = "give tensors as keys" if found else f"leave it out; the leaves are: {known}"
        raise ArgumentError(f"diagnose: {len(found) or 'no'} leaves are called {short(key)!r}; {what}")
    node = next((n for n in record.nodes if n.serial == key.serial), None)
    if node is None:
        raise ArgumentError(f"diagnose: {key._described()} is not in this loss; leave it out, or give its own loss")
    if node.op is not None:
        raise ArgumentError(
            f"diagnose: {key._described()} is computed by {node.op.name}; give gradients of leaves (parameters, inputs)"
        )
    return _differentiable(record, node).index


def _differentiable(record: Record, leaf: Node) -> Node:
    if all(leaf is not known for known in record.leaves):
        raise ArgumentError(f"diagnose: {leaf.label} does not require a gradient in this loss; leave it out")
    return leaf


def _array(record: Record, leaf: int, key: Any, value: Any) -> Array:
    if hasattr(value, "detach"):  # also of another framework
        value = value.detach()
    array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    if wrong := np.argwhere(~np.isfinite(true := record.gradient(leaf))).tolist():
        raise ArgumentError(
            f"diagnose: the true gradient of {key!s:.40} is {true[tuple(wrong[0])]} at {wrong[0]}, and nothing can be "
            "compared with it: leave that leaf out, or look where it begins (the debugger's origin)"
        )
    shape = record.nodes[leaf].shape
    if array.dtype.kind not in "fiu":
        raise DTypeError(
            f"diagnose: the gradient given for {key!s:.40} has dtype {array.dtype}; give an array of numbers"
        )
    if array.shape != shape:
        raise ShapeError(f"diagnose: the gradient of {key!s:.40} has shape {array.shape}, but the leaf has {shape}")
    if wrong := np.argwhere(~np.isfinite(array)).tolist():
        raise ArgumentError(
            f"diagnose: the gradient given for {key!s:.40} has {array[tuple(wrong[0])]} at {wrong[0]}; only finite "
            "numbers can be compared: leave that leaf out, or look where it begins (the debugger's origin)"
        )
    return array


answering(globals())
