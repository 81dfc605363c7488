"""The smallest program whose gradient is still wrong: fewer time steps, a smaller batch, smaller sizes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import answerable
from ..files import write_atomically

if TYPE_CHECKING:
    from .assertions import ProgramUnderTest

Arrays = Mapping[str, Any]
#: programs tried at most
MOST_TRIES = 80


@answerable
def smallest(arrays: Arrays, wrong: Callable[[Arrays], bool], tries: int = MOST_TRIES) -> dict[str, Any]:
    """``arrays`` cut along dimensions as long as ``wrong`` says so of them; what raises an error is not.

    Dimensions of one size belong together, also those of 2 to 4 times the size (gates side by side): they are cut in
    all arrays, or in those alone that are no parameters, or one by one.

    ``wrong`` is asked at most ``tries`` times.

    >>> import numpy as np
    >>> small = smallest({"x": np.ones((6, 4)), "w": np.ones((4, 8))}, lambda a: (a["x"] @ a["w"]).size > 1)
    >>> sorted((name, a.shape) for name, a in small.items())
    [('w', (1, 1)), ('x', (2, 1))]
    """
    best, left = dict(arrays), tries
    shrunk = True
    while shrunk and left > 0:
        shrunk = False
        for candidate in _smaller(best):
            left -= 1
            if left < 0:
                break
            with contextlib.suppress(Exception):  # a program that does not run is not a wrong gradient
                if wrong(candidate):
                    best, shrunk = candidate, True
                    break
    return best


def _smaller(arrays: Arrays) -> Iterator[dict[str, Any]]:
    sizes = sorted({n for a in arrays.values() for n in a.shape if n > 1}, reverse=True)
    for n in sizes:
        for m in sorted({1, 2, n // 2, n - 1} - {0, n}):
            if m >= n:
                continue
            seen = {tuple(a.shape for a in arrays.values())}
            for alone, multiples in ((False, True), (False, False), (True, False)):
                cut = {
                    name: a if alone and name.startswith("parameter ") else _cut(a, n, m, multiples)
                    for name, a in arrays.items()
                }
                key = tuple(a.shape for a in cut.values())
                if key not in seen:
                    seen.add(key)
                    yield cut
            for name, a in arrays.items():
                own = [] if name.startswith("parameter ") else [axis for axis, size in enumerate(a.shape) if size == n]
                for axis in own:
                    yield {**arrays, name: np.take(a, range(m), axis)}


def _cut(a: Any, n: int, m: int, multiples: bool) -> Any:
    for axis, size in enumerate(a.shape):
        if size == n:
            a = np.take(a, range(m), axis)
        elif multiples and n > 1 and size in (2 * n, 3 * n, 4 * n):
            blocks = a.reshape((*a.shape[:axis], size // n, n, *a.shape[axis + 1 :]))
            blocks = np.take(blocks, range(m), axis + 1)
            a = blocks.reshape((*a.shape[:axis], size // n * m, *a.shape[axis + 1 :]))
    return a


def save_smallest(program: ProgramUnderTest, path: Path, named: tuple[Path, str] | None = None, **settings: Any) -> str:
    """Shrink a program whose gradient is wrong and save it as a script; what was done, in a line.

    ``named`` is the file and the variable that the program is, looked for where this is called from if None.
    """
    named = named or _name_of(program.function)
    if named is None:
        return "no reproducer: the program is no variable of a file; make it one, outside of any function"
    best = smallest(program.given, lambda arrays: bool(program.report(arrays, **settings).wrong))
    file, name = named
    lines = [
        '"""The smallest program found whose gradient is wrong; run it to see where."""',
        "",
        "import runpy",
        "",
        "import numpy as np",
        "",
        "from tinygrad_rnn.testing.assertions import ProgramUnderTest",
        "",
        f"function = runpy.run_path({str(file)!r})[{name!r}]",
        "given = {",
        *(f"    {key!r}: np.array({a.tolist()!r}, {a.dtype.name!r}).reshape({a.shape!r})," for key, a in best.items()),
        "}",
        f"{_example(program)}",
        "print(ProgramUnderTest(function, args).report(given))",
        "",
    ]
    write_atomically(path, "\n".join(lines).encode())
    sizes = ", ".join(f"{key} {a.shape}" for key, a in best.items())
    return f"the smallest that is still wrong: {sizes}; run {path}"


def _example(program: ProgramUnderTest) -> str:
    """The arguments' nesting, as code: arrays of any size stand for themselves."""
    kinds = {
        "torch": "import torch\n\nleaf = torch.from_numpy",
        "jax": "import jax\n\nleaf = jax.numpy.asarray",
        "ours": "leaf = np.asarray",
    }
    return f"{kinds[program.framework]}\nargs = {_written(program.args)}"


def _written(x: Any) -> str:
    if isinstance(x, Mapping):
        return "{" + ", ".join(f"{k!r}: {_written(v)}" for k, v in x.items()) + "}"
    if isinstance(x, tuple):
        return "(" + "".join(f"{_written(v)}, " for v in x) + ")"
    if isinstance(x, list):
        return "[" + ", ".join(map(_written, x)) + "]"
    if hasattr(x, "dtype"):
        kind = str(x.dtype).split(".")[-1]
        return f"leaf(np.zeros({tuple(x.shape)!r}, {kind!r}))"
    return repr(x)


def _name_of(function: Any) -> tuple[Path, str] | None:
    """The file and the variable that a program is, looked for where it is called from."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_globals.get("__file__")
        for name, value in frame.f_globals.items():
            if value is function and file and not name.startswith("_"):
                return Path(file).resolve(), name
        frame = frame.f_back
    return None
