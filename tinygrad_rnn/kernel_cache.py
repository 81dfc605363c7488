# mypy: disable-error-code="no-untyped-call"
"""Compiled kernels on disk: never stale, never believed when damaged, written by several processes at once.

Numba's own cache does not notice an edited function in another file, raises on a damaged file, and when two processes
compile for different types at the same moment it may hand one the other's code. Here a kernel is stale as soon as any
source of its package changes, every file carries its checksum and what it is for, and whatever is wrong with a file,
the kernel is compiled again. Where it lies is for Numba to choose: ``NUMBA_CACHE_DIR``, else beside the source, else,
where that cannot be written, the user's cache folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


def _sources() -> tuple[Any, ...]:
    """The present text of the sources that kernels are made from."""
    here = Path(__file__).parent
    files = [Path(__file__), here / "kernels.py", *sorted((here / "compiler").rglob("*.py"))]
    return tuple((f.name, (state := f.stat()).st_size, state.st_mtime_ns) for f in files)


SOURCES = _sources()


@contextmanager
def _alone(index: str) -> Iterator[None]:
    """One process at a time, where the system has such locks: of two that add to an index at once one is lost."""
    with open(f"{index}.lock", "w") as lock:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Files(IndexDataCacheFile):
    def load(self, key: Any) -> Any:
        try:
            found = super().load(key)
        except Exception:  # what damaged files make of pickle is anybody's guess
            return None
        return found[1] if found is not None and found[0] == repr(key) else None

    def save(self, key: Any, data: Any) -> None:
        with suppress(OSError), _alone(self._index_path):  # a full disk costs the next process the time to compile
            try:
                self._load_index()
            except Exception:
                self.flush()
            super().save(key, (repr(key), data))

    def _load_data(self, name: str) -> Any:
        raw = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(raw[:-32]).digest() != raw[-32:]:
            raise ValueError(f"{name} is damaged")
        return super()._load_data(name)  # which stops before the checksum

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(content + hashlib.sha256(content).digest())


class KernelCache(FunctionCache):
    """The cache of one function; see the module's text."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, SOURCES)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return signature, codegen.magic_tuple()  # not its code, nor what it encloses: `SOURCES` stands for both


def cached(compiled: Any, function: Any) -> Any:
    """Let what Numba makes of ``function`` be kept on disk, if there is any place for it."""
    with suppress(RuntimeError, OSError):  # nowhere to write
        compiled._cache = KernelCache(function)
    return compiled
