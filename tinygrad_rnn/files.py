"""Files: a text is read, and anything written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from .errors import ArgumentError, DataError

#: where a file is: a text, a `pathlib.Path`, or anything else that says so
PathLike = str | os.PathLike[str]


def as_path(path: PathLike) -> Path:
    """A file's path; whatever is none is an `ArgumentError`."""
    try:
        return Path(path)
    except TypeError:
        kind = type(path).__name__
    raise ArgumentError(f"the path of a file is a text or a pathlib.Path, not {kind}")


def read_text(path: PathLike) -> str:
    """The text in a file; a `DataError` if it cannot be read, or is none."""
    try:
        return as_path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {path}, it is not text: {error}") from None


def write_atomically(path: PathLike, data: bytes, lasting: bool = True) -> None:
    """Write ``data`` beside ``path`` and rename: an interrupted or failed write leaves the old file as it was.

    A pipe or a device is not replaced but written to; of a link, what it points to is replaced. What need not outlive a
    failure of power is not ``lasting``: it is not waited for until the disk has it.
    """
    target = as_path(path)
    temporary = None
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        real = Path(os.path.realpath(target))
        real.parent.mkdir(parents=True, exist_ok=True)
        unique = real.parent / f".{real.name[:80]}.{secrets.token_hex(4)}"
        handle = os.open(unique, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        temporary = str(unique)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        if real.exists():  # who may read it stays as it was
            os.chmod(temporary, stat.S_IMODE(real.stat().st_mode))
        os.replace(temporary, real)
        temporary = None
    except FileExistsError:
        raise DataError(f"cannot write {target}: {target.parent} is a file, not a folder") from None
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise DataError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
