# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Instructions that move numbers: in and out of a region's tiles, strided copies, rows gathered and scattered."""

from __future__ import annotations

from ...kernels import _add_rows
from .memory import at, inner, instruction, integers, itemsize, octets, release, room

# In and out of tiles. Columns: result and bytes per tile, source and bytes per tile, then the distances -------


@instruction
def splat(r, tile, n, like):
    """One number, everywhere."""
    y, value = at(r[1] + tile * r[2], n, like), at(r[3] + tile * r[4], 1, like)[0]
    for i in range(n):
        y[i] = value
    return 0


@instruction
def store(r, tile, n, like):
    """A tile to rows ``r[5]`` apart of ``r[7]`` numbers each; 0: to one plain run."""
    out, a, row = r[1] + tile * r[2], r[3] + tile * r[4], r[5]
    cols, size = r[7] if r[7] else n, itemsize(like)
    for k in range(n // cols):
        y, x = at(out + k * row * size, cols, like), at(a + k * cols * size, cols, like)
        for i in range(cols):
            y[i] = x[i]
    return 0


@instruction
def load(r, tile, n, like):
    """A tile from rows ``r[5]`` apart of ``r[7]`` numbers that are ``r[6]`` apart (0: one, repeated)."""
    out, a = r[1] + tile * r[2], r[3] + tile * r[4]
    row, col, cols, size = r[5], r[6], r[7], itemsize(like)
    for k in range(n // cols):
        y = at(out + k * cols * size, cols, like)
        x = at(a + k * row * size, (cols - 1) * col + 1, like)
        if col == 1:
            for i in range(cols):
                y[i] = x[i]
        else:
            for i in range(cols):
                y[i] = x[i * col]
    return 0


@inner
def _strided_bytes(r, tile, n):
    """Rows of ``r[7]`` bytes each; 0: one plain run, which a tile may be a part of."""
    out, a = r[1] + tile * r[2], r[3] + tile * r[4]
    source_row, result_row, cols, col = r[5], r[6], r[7] if r[7] else n, r[8]
    for k in range(n // cols):
        y, x = octets(out + k * result_row, cols), octets(a + k * source_row, (cols - 1) * col + 1)
        for i in range(cols):
            y[i] = x[i * col]
    return 0


@instruction
def load_bool(r, tile, n, like):
    return _strided_bytes(r, tile, n)


@instruction
def store_bool(r, tile, n, like):
    return _strided_bytes(r, tile, n)


# Whole values -------------------------------------------------------------------------------------------------


@inner
def _offsets(plan, row, rank, first, size):
    """The beginning of a row of a strided copy, in bytes from the start; strides are at ``plan[first]``."""
    offset = 0
    for axis in range(rank - 2, -1, -1):
        offset += row % plan[1 + axis] * plan[first + axis] * size
        row //= plan[1 + axis]
    return offset


@instruction
def copy(r, tile, n, like):
    """A strided copy of any rank; the plan: rank, sizes, strides of the source, strides of the result."""
    rank = integers(r[3], 1)[0]
    plan = integers(r[3], 1 + 3 * rank)
    inner, s, d = plan[rank], plan[2 * rank], plan[3 * rank]
    size = itemsize(like)
    total = 1
    for axis in range(rank - 1):
        total *= plan[1 + axis]
    for row in range(total):
        x = at(r[2] + _offsets(plan, row, rank, 1 + rank, size), (inner - 1) * s + 1, like)
        y = at(r[1] + _offsets(plan, row, rank, 1 + 2 * rank, size), (inner - 1) * d + 1, like)
        if s == 1 and d == 1:
            for i in range(inner):
                y[i] = x[i]
        else:
            for i in range(inner):
                y[i * d] = x[i * s]
    return 0


@instruction
def take(r, tile, n, like):
    out, source, indices, width, row_stride, col_stride = r[1], r[2], integers(r[3], r[4]), r[5], r[6], r[7]
    size = itemsize(like)
    for i in range(indices.size):
        y = at(out + i * width * size, width, like)
        x = at(source + indices[i] * row_stride * size, max((width - 1) * col_stride + 1, 0), like)
        if col_stride == 1:
            for j in range(width):
                y[j] = x[j]
        else:
            for j in range(width):
                y[j] = x[j * col_stride]
    return 0


@instruction
def scatter_rows(r, tile, n, like):
    out, source, indices, width, rows = r[1], r[2], integers(r[3], r[4]), r[5], r[6]
    y = at(out, rows * width, like)
    y[:] = 0
    memory = room(8 * (rows + indices.size) + width * itemsize(like))
    first, after = integers(memory, rows), integers(memory + 8 * rows, indices.size)
    lost = at(memory + 8 * (rows + indices.size), width, like)
    _add_rows(y, at(source, indices.size * width, like), indices, width, first, after, lost)
    release(memory)
    return 0


@instruction
def one_hot(r, tile, n, like):
    indices, width = integers(r[3], r[4]), r[5]
    y = at(r[1], r[4] * width, like)
    y[:] = 0
    for i in range(indices.size):
        if 0 <= indices[i] < width:
            y[i * width + indices[i]] = 1
    return 0


@instruction
def check(r, tile, n, like):
    """1 if an index is out of range."""
    indices, limit, ignored = integers(r[1], r[2]), r[3], r[4]
    for i in range(indices.size):
        if (indices[i] < 0 or indices[i] >= limit) and indices[i] != ignored:
            return 1
    return 0
