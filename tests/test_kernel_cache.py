"""Machine code on disk: damage, staleness, read-only folders, several processes; and Ctrl-C while it is made."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_rnn.native import machine_code

ROOT = Path(__file__).parent.parent
CODE = """
import numpy as np, tinygrad_rnn as tg
x = tg.tensor(np.zeros(4096, np.{dtype}))
print((x.sigmoid() * 2.0).mean().item() + x.reshape(-1, 4).softmax(-1).sum().item() / 1024)
"""


def start(cache: Path | None, dtype: str = "float32", root: Path = ROOT, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), **more}
    for name in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT"):  # this file is about compiled kernels, however it is run
        environment.pop(name, None)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-W", "error", "-c", CODE.format(dtype=dtype)]
    return subprocess.Popen(
        command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str]) -> float:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and not errors, errors
    return float(out)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix == ".native")


DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
}


def test_damaged_files_are_compiled_again(tmp_path: Path) -> None:
    """Truncated, emptied, overwritten, or with one bit of the machine code flipped: replaced, then believed."""
    assert answer(start(tmp_path)) == 2.0
    sound = {path: path.read_bytes() for path in files(tmp_path)}
    assert len(sound) == 2
    for path, kind in zip(sound, ("one bit", "cut"), strict=True):
        path.write_bytes(DAMAGE[kind](sound[path]))
    assert answer(start(tmp_path)) == 2.0
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert before.keys() == sound.keys() and all(path.read_bytes() == content for path, content in sound.items())
    assert answer(start(tmp_path)) == 2.0
    assert before == {path: path.stat().st_mtime_ns for path in files(tmp_path)}  # all sound again: nothing written


@pytest.mark.parametrize("kind", DAMAGE)
def test_no_damage_is_believed_and_what_is_stale_is_replaced(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another LLVM, another source: another stamp, in the same file, so that files do not pile up."""
    stamps = [bytes([k]) * 32 for k in range(2)]
    places = [machine_code._Place(tmp_path, "here", stamp) for stamp in stamps]
    monkeypatch.setattr(machine_code, "_place", lambda: places[0])
    machine_code._write("f", b"code" * 100)
    assert machine_code._read("f") == b"code" * 100 and machine_code._read("g") is None
    (path,) = tmp_path.iterdir()
    sound = path.read_bytes()
    path.write_bytes(DAMAGE[kind](sound))
    assert machine_code._read("f") is None
    path.write_bytes(sound)
    monkeypatch.setattr(machine_code, "_place", lambda: places[1])
    assert machine_code._read("f") is None
    machine_code._write("f", b"new code")
    assert machine_code._read("f") == b"new code" and [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers are POSIX's")
def test_control_c_while_compiling_is_heard_at_once(tmp_path: Path) -> None:
    """And the next call compiles what is left and is right."""
    code = """
import signal, sys, time
import numpy as np, tinygrad_rnn as tg
rung = []
def ring(*_):
    rung.append(time.process_time())
    signal.raise_signal(signal.SIGINT)
step = tg.compile(lambda x: (x.softmax(-1) * x.tanh()).sum() + x.max() + x.logsumexp().exp())
x = np.ones((3, 40))
from tinygrad_rnn.native import machine_code
machine_code._machine()
write = machine_code._write
machine_code._write = lambda *a: (write(*a), rung or signal.setitimer(signal.ITIMER_REAL, 1e-3))
signal.signal(signal.SIGALRM, ring)
try:
    step(x)
    print("never heard")
except KeyboardInterrupt:
    print(time.process_time() - rung[0])
print(step(x).item())
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    waited, result = done.stdout.split()
    assert float(waited) < 1 and math.isclose(float(result), 3 * np.tanh(1.0) + 1 + 120 * np.e)


def test_processes_that_start_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two of them compile the same kernels for different float types into the same folder."""
    started = [start(tmp_path, dtype) for dtype in ("float32", "float64")]
    assert [answer(process) for process in started] == [2.0] * 2
    assert [answer(start(tmp_path, dtype)) for dtype in ("float32", "float64")] == [2.0] * 2


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
        assert answer(start(None, root=install, **more)) == 2.0
        assert files(home / "cache") and not files(install)
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)


# What is translated ------------------------------------------------------------------------------------------


def numbers(x, y, whole):  # type: ignore[no-untyped-def]
    first, second = x[0], x[1]
    y[0] = min(max(first, second), x.dtype.type(2))
    y[1] = first if first != first or second > first else second
    y[2] = math.log(second) if second > 0 else math.log1p(first)
    y[3] = abs(first) / second
    y[4] = first**2 - second
    y[5] = 1 if 0 <= whole[0] < whole[1] else -1
    y[6] = 1 if not whole[0] and (whole[1] == 3 or second > 1) else 0
    y[7] = whole[1] // 2 + whole[1] % 2
    for k in range(whole[1], 0, -1):
        if k == 2:
            continue
        y[7] += k
        if k == 1:
            break
    n = 0
    while n < whole[1]:
        n += 1
    y[8] = n + np.floor(second)
    y[9] = _last(x, second)
    rest = np.empty(whole[1], x.dtype)
    rest[:] = second
    for v in rest[1:]:
        y[9] += v


def _last(x, otherwise):  # type: ignore[no-untyped-def]
    for k in range(x.size):
        if x[k] > 3:
            return x[k]
    return otherwise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_translated_functions_compute_what_python_computes(
    dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "_place", lambda: None)
    compiled = machine_code.native(numbers)
    ends = [np.nan, np.inf, -np.inf, -0.0, 0.3, 1.75, 5.0]
    for first, second in itertools.product(ends, repeat=2):
        for whole in ([0, 3], [2, 3], [7, 4]):
            x, w = np.array([first, second, 1.0], dtype), np.array(whole)
            mine, theirs = np.zeros(10, dtype), np.zeros(10, dtype)
            compiled(x, mine, w)
            with np.errstate(all="ignore"):
                numbers_in_python(x, theirs, w)
            np.testing.assert_allclose(mine, theirs, rtol=1e-6 if dtype == np.float32 else 1e-14)


def numbers_in_python(x, y, whole):  # type: ignore[no-untyped-def]
    try:
        numbers(x, y, whole)
    except ValueError:  # Python's log of what has none; IEEE's is nan
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(math, "log1p", np.log1p)
            numbers(x, y, whole)
