"""Products: matmul, the affine map of a layer, and einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from .record import Primitive, Shape, broadcast, size_of
from .reduce import total
from .shape import broadcast_to, reshape, swap_last


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        raise ShapeError("a 0-dimensional operand cannot be matrix-multiplied; use * instead")
    inner_b, columns = (b[-2], b[-1:]) if len(b) > 1 else (b[0], ())
    if a[-1] != inner_b:
        raise ShapeError(
            f"the last dimension of operand 0 is {a[-1]} but the "
            f"{'second to last' if len(b) > 1 else 'only'} dimension of operand 1 is {inner_b}; "
            "these must be equal (did you mean to transpose one?)"
        )
    return broadcast(a[:-2], b[:-2]) + a[-2:-1] + columns


#: a sum of products is added up in pieces of so many, so that its error grows with their number only
PIECE = 2048


def _product(a: Any, b: Any) -> Any:
    """``a @ b``; BLAS may add the products of a long axis one after the other, so it is given a piece at a time."""
    k = a.shape[-1]
    if k <= PIECE or not {a.dtype.kind, b.dtype.kind} & {"f", "c"} or k != b.shape[-2 if b.ndim > 1 else 0]:
        return _whole_product(a, b)
    result = None
    for start in range(0, k, PIECE):
        piece = slice(start, start + PIECE)
        part = _whole_product(a[..., piece], b[..., piece, :] if b.ndim > 1 else b[piece])
        result = part if result is None else result + part
    return result


def _whole_product(a: Any, b: Any) -> Any:
    # of two matrices they are the same, but np.matmul takes six times as long for the outer product of two vectors,
    # which a weight's gradient is at batch 1
    return a.dot(b) if a.ndim == b.ndim == 2 else np.matmul(a, b)


def _matmul_grad_a(g: Any, _y: Any, _a: Any, b: Any) -> Any:
    if len(b.shape) == 1:
        return reshape(g, shape=(*g.shape, 1)) * b  # the sum over batches is the walk's un-broadcasting
    if len(_a.shape) == 1:
        return _vector_grad(matmul(b, reshape(g, shape=(*g.shape, 1))))
    return matmul(g, swap_last(b))


def _matmul_grad_b(g: Any, _y: Any, a: Any, _b: Any) -> Any:
    if len(a.shape) == 1:
        return (
            reshape(a, shape=(*a.shape, 1)) * reshape(g, shape=(*g.shape[:-1], 1, g.shape[-1]))
            if len(_b.shape) > 1
            else g * a
        )
    if len(_b.shape) == 1:
        return _vector_grad(matmul(swap_last(a), reshape(g, shape=(*g.shape, 1))))
    return matmul(swap_last(a), g)


def _vector_grad(column: Any) -> Any:
    """A vector operand's gradient arrives as a (possibly batched) one-column matrix."""
    return reshape(column, shape=column.shape[:-1])


def _matmul_subscripts(a: Shape, b: Shape) -> str:
    batch = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: max(len(a), len(b), 2) - 2]
    row, column = ("i" if len(a) > 1 else ""), ("j" if len(b) > 1 else "")
    left, right = (batch[len(batch) - max(len(x) - 2, 0) :] for x in (a, b))
    return f"{left}{row}k,{right}k{column}->{batch}{row}{column}"


matmul: Primitive = Primitive(
    "matmul",
    "@",
    _matmul_shape,
    _product,
    vjp=(_matmul_grad_a, _matmul_grad_b),
    rule=(r"\bar a = \bar y\, b^\top", r"\bar b = a^\top \bar y"),
    subscripts=_matmul_subscripts,
    kind="contraction",
    infix="@",
    sentence="multiplies its gradient by the transposed other factor, for {targets}",
)


def _linear_shape(x: Shape, weight: Shape, bias: Shape | None = None) -> Shape:
    if len(weight) != 2:
        raise ShapeError(f"the weight (operand 1) must have 2 dimensions, not {len(weight)}")
    if not x or x[-1] != weight[1]:
        raise ShapeError(
            f"the last dimension of the input (operand 0) is {x[-1] if x else 'missing'} "
            f"but the weight (operand 1) takes {weight[1]} features"
        )
    if bias is not None and bias != weight[:1]:
        raise ShapeError(f"the bias (operand 2) has shape {bias} but the weight gives {weight[0]} features")
    return (*x[:-1], weight[0])


def _rows(x: Any) -> Any:
    return x if len(x.shape) == 2 else reshape(x, shape=(size_of(x.shape[:-1]), x.shape[-1]))


def _like(rows: Any, x: Any) -> Any:
    return rows if len(x.shape) == 2 else reshape(rows, shape=x.shape)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):  # NumPy would broadcast
        _linear_shape(x.shape, weight.shape, None if bias is None else bias.shape)
    # one GEMM for any number of leading dimensions; NumPy would loop over all but the last two
    y = _product(_rows(x), weight.T)
    y = y if x.ndim == 2 else y.reshape(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias


def _linear_subscripts(x: Shape, weight: Shape, bias: Shape | None = None) -> str:
    rows = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(x) - 1]
    return f"{rows}i,ji{',j' if bias is not None else ''}->{rows}j"


linear = Primitive(
    "linear",
    "W·x + b",
    _linear_shape,
    _linear,
    vjp=(
        lambda g, _y, _x, weight, _b=None: _like(matmul(_rows(g), weight), _x),
        lambda g, _y, x, _w, _b=None: matmul(_rows(g).T, _rows(x)),
        lambda g, _y, _x, _w, _b: g,
    ),
    rule=(r"\bar x = \bar y\, W", r"\bar W = \bar y^\top x", r"\bar b = \textstyle\sum \bar y"),
    subscripts=_linear_subscripts,
    kind="contraction",
    sentence="sends its gradient back through the weights: {targets}",
)


def _einsum_shape(*shapes: Shape, subscripts: str) -> Shape:
    terms, output = subscripts.split("->")
    sizes: dict[str, int] = {}
    for operand, (term, shape) in enumerate(zip(terms.split(","), shapes, strict=True)):
        if len(term) != len(shape):
            raise ShapeError(
                f"{term!r} has {len(term)} indices but operand {operand} has {len(shape)} dimensions; name each"
            )
        for letter, size in zip(term, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(
                    f"index {letter!r} has size {sizes[letter]} in an operand before and {size} in operand {operand}; "
                    "make them equal"
                )
    return tuple(sizes[letter] for letter in output)


def _einsum(*operands: Any, subscripts: str) -> Any:
    _einsum_shape(*(x.shape for x in operands), subscripts=subscripts)  # NumPy would broadcast a size of 1
    inputs, output = subscripts.split("->")
    parts = list(zip(inputs.split(","), operands, strict=True))
    path = np.einsum_path(subscripts, *operands)[0][1:] if len(parts) > 2 else [tuple(range(len(parts)))]
    for chosen in path:
        term, x = parts.pop(max(chosen))
        for i in sorted(chosen, reverse=True)[1:]:
            term, x = _contracted(
                *parts.pop(i), term, x, {*output, *(letter for other, _ in parts for letter in other)}
            )
        parts.append((term, x))
    term, x = _summed_out(*parts[0], {*output})
    y = np.transpose(x, [term.index(letter) for letter in output]).astype(np.result_type(*operands), copy=False)
    return y if len(operands) > 1 else np.array(y)  # of one operand it may be a view


def _summed_out(term: str, x: Any, wanted: set[str]) -> tuple[str, Any]:
    """Without the letters that are not wanted."""
    gone = tuple(i for i, letter in enumerate(term) if letter not in wanted)
    return (term, x) if not gone else ("".join(i for i in term if i in wanted), total(x, axis=gone, keepdims=False))


def _contracted(first: str, a: Any, second: str, b: Any, wanted: set[str]) -> tuple[str, Any]:
    """Two operands as one product of matrices for each value of the letters that both have and the result keeps."""
    first, a = _summed_out(first, a, wanted | {*second})
    second, b = _summed_out(second, b, wanted | {*first})
    sizes = dict(zip(first + second, (*a.shape, *b.shape)))
    batch = [i for i in first if i in second and i in wanted]
    inner = [i for i in first if i in second and i not in wanted]
    rows, columns = [i for i in first if i not in second], [i for i in second if i not in first]
    term, shape = "".join([*batch, *rows, *columns]), [size_of(tuple(map(sizes.__getitem__, x))) for x in (rows, inner)]
    a = a.transpose([first.index(i) for i in (*batch, *rows, *inner)]).reshape(*map(sizes.__getitem__, batch), *shape)
    b = b.transpose([second.index(i) for i in (*batch, *inner, *columns)]).reshape(
        *map(sizes.__getitem__, batch), shape[1], size_of(tuple(map(sizes.__getitem__, columns)))
    )
    if not inner:
        y = a * b
    elif not rows and not columns:
        y = total(a[..., 0, :] * b[..., 0], axis=-1, keepdims=False)
    else:
        y = _product(a, b)
    return term, y.reshape(tuple(map(sizes.__getitem__, term)))


def _einsum_grad(slot: int, g: Any, _y: Any, *operands: Any, subscripts: str) -> Any:
    """Contract the upstream gradient with the other operands; indices only this operand has are broadcast."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    mine, others = terms[slot], terms[:slot] + terms[slot + 1 :]
    known = [letter for letter in mine if letter in output or any(letter in term for term in others)]
    partial = einsum(
        g,
        *operands[:slot],
        *operands[slot + 1 :],
        subscripts=",".join([output, *others]) + "->" + "".join(known),
    )
    spread = tuple(n if letter in known else 1 for letter, n in zip(mine, operands[slot].shape, strict=True))
    return broadcast_to(reshape(partial, shape=spread), shape=operands[slot].shape)


#: Subscripts are explicit, and no index repeats within a term; `functional.einsum` brings others to that form.
einsum = Primitive(
    "einsum",
    "einsum",
    _einsum_shape,
    _einsum,
    vjp=_einsum_grad,
    rule=(r"\bar a = \operatorname{einsum}(\bar y, \text{the others})",),
    subscripts=lambda *_shapes, subscripts: subscripts,
    kind="contraction",
)
