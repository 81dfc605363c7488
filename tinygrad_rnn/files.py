"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import DataError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and rename: an interrupted or failed write leaves the old file as it was."""
    target = Path(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
    except FileExistsError:
        raise DataError(f"cannot write {target}: {target.parent} is a file, not a folder") from None
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise DataError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
