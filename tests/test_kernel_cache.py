"""Compiled kernels on disk: damage, staleness, read-only folders, several processes; and no JIT at all."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import sys, numpy as np, tinygrad_rnn as tg
for dtype in sys.argv[1:]:
    x = tg.tensor(np.zeros(4096, dtype))
    print((x.sigmoid() * 4.0).numpy().max())
"""
#: between reading an index and writing it another process has time to write it, too
SLOWLY = """
import time
from numba.core.caching import IndexDataCacheFile
read = IndexDataCacheFile._load_index
IndexDataCacheFile._load_index = lambda self: (read(self), time.sleep(0.2))[0]
"""


def start(cache: Path | None, *dtypes: str, root: Path = ROOT, code: str = CODE, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), **more}
    for name in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT"):  # this file is about compiled kernels, however it is run
        environment.pop(name, None)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-W", "error", "-c", code, *(dtypes or ["float32"])]
    return subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str]) -> list[float]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and not errors, errors
    return [float(line) for line in out.split()]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes at once compile the same kernels for different float types into the same folder."""
    folder = tmp_path_factory.mktemp("kernels")
    started = [start(folder, dtype, code=SLOWLY + CODE) for dtype in ("float32", "float64")]
    assert [answer(process) for process in started] == [[2.0]] * 2
    return folder


def test_damaged_files_are_compiled_again(compiled: Path, tmp_path: Path) -> None:
    """Truncated, emptied, overwritten, or with one bit of the machine code flipped: never believed, then replaced."""
    shutil.copytree(compiled, tmp_path, dirs_exist_ok=True)
    written = files(tmp_path)
    data = [path for path in written if path.suffix == ".nbc"]
    assert len(data) >= 2 and len(written) >= 4  # each kind of damage below
    sound = {path: path.read_bytes() for path in written}
    for position, path in enumerate(written):
        content = bytearray(sound[path])
        if position % 4 == 0:
            content = content[: len(content) // 2]
        elif position % 4 == 1:
            content[len(content) // 2] ^= 1
        elif position % 4 == 2:
            content = bytearray()
        else:
            content[:] = b"\\x00" * len(content)
        path.write_bytes(content)
    damaged = {path: path.read_bytes() for path in written}
    assert answer(start(tmp_path)) == [2.0]
    assert any(path.read_bytes() != damaged[path] for path in data)
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert answer(start(tmp_path)) == [2.0]
    assert before == {path: path.stat().st_mtime_ns for path in files(tmp_path)}  # all sound again: nothing written


def test_processes_that_started_at_once_did_not_disturb_each_other(compiled: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in files(compiled)}
    assert answer(start(compiled, "float32", "float64")) == [2.0] * 2
    assert before == {path: path.stat().st_mtime_ns for path in files(compiled)}  # found, not compiled again


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_an_install_that_cannot_be_written_uses_the_users_cache_folder(tmp_path: Path) -> None:
    install, home = tmp_path / "install", tmp_path / "home"
    shutil.copytree(
        ROOT / "tinygrad_rnn", install / "tinygrad_rnn", ignore=shutil.ignore_patterns("__pycache__", "*.nb?")
    )
    home.mkdir()
    folders = [install, *(path for path in install.rglob("*") if path.is_dir())]
    for folder in folders:
        # what stands in the way of a cache folder stops root too, whom permissions do not
        (folder / "__pycache__").write_text("")
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        more = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        assert answer(start(None, root=install, **more)) == [2.0]
        assert files(home / "cache") and not files(install)
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)


def test_an_edited_source_makes_every_kernel_stale(tmp_path: Path) -> None:
    from tinygrad_rnn.kernel_cache import _Files

    old, new = (_Files(str(tmp_path), "kernel", (("a.py", 1, changed),)) for changed in (1, 2))
    old.save(("key",), "compiled")
    assert old.load(("key",)) == "compiled" and old.load(("another",)) is None
    assert new.load(("key",)) is None
