"""Instructions shipped in LLVM's language: up to date, the same as Numba's, kept on disk and never believed."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_rnn.compiler import machine_code
from tinygrad_rnn.compiler.instructions import by_numba
from tinygrad_rnn.compiler.opcodes import NAMES, RUN, WIDTH

ROOT = Path(__file__).parent.parent
NIGHTLY = settings().max_examples > 100
STEP = """
import sys, tinygrad_rnn as tg
model = tg.nn.GRU(3, 4)
optimizer = tg.optim.Adam(model.parameters())
def step(x):
    loss = tg.nn.functional.cross_entropy(model(x)[0].reshape(-1, 4), [0] * 30)
    optimizer.zero_grad(); loss.backward(); tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0); optimizer.step()
    return loss
print(tg.compile(step)(tg.ones(15, 2, 3)).item() > 0, "numba" in sys.modules)
"""

pytestmark = pytest.mark.skipif(
    not machine_code.readable() or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0",
    reason="this LLVM is older than what is shipped, or nothing is compiled",
)


def test_what_is_shipped_was_made_of_the_sources() -> None:
    """Else: python -m tinygrad_rnn.compiler.instructions.shipping."""
    assert machine_code.fits()
    with zipfile.ZipFile(machine_code.SHIPPED) as archive:
        assert set(archive.namelist()) == {f"{machine_code.symbol_of(*each)}.ll" for each in by_numba.every()}
    assert {name for name, _ in by_numba.every()} > {RUN, "gemm"} and len(NAMES) > 40


def test_a_first_step_does_without_numba() -> None:
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize("name", ["mul", "tanh", "pow", "maximum"] if NIGHTLY else ["mul", "maximum"])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_shipped_instructions_compute_what_numba_compiles(name: str, real: str) -> None:
    a, b = np.linspace(0.1, 3, 37).astype(real), np.linspace(2, -1, 37).astype(real)
    results = []
    for address in (machine_code.address(name, real), by_numba.compiled(name, real).address):
        y, row = np.full(40, 7, real), np.zeros(WIDTH, np.int64)
        row[[1, 3, 5]] = y.ctypes.data, a.ctypes.data, b.ctypes.data
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p])
        assert kind(address)(row.ctypes.data, 0, 37, None) == 0
        results.append(y)
    np.testing.assert_allclose(*results, rtol=4 * np.finfo(real).eps)
    assert (results[0][37:] == 7).all() and not (results[0][:37] == 7).all()


def test_machine_code_on_disk_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged in any way, made of other sources, or by another LLVM: as if it were not there, and replaced."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    machine_code._keep("a", b"code" * 100)
    (path,) = [each for each in tmp_path.rglob("*") if each.is_file()]
    sound = path.read_bytes()
    assert machine_code._kept("a") == b"code" * 100 and machine_code._kept("b") is None
    for damaged in (sound[:-1], sound[:40], b"", bytes(len(sound)), sound[:-1] + b"X", b"X" + sound[1:]):
        path.write_bytes(damaged)
        assert machine_code._kept("a") is None
    path.write_bytes(sound)
    for owner, name, value in (
        (machine_code, "sources", lambda: "other"),
        (machine_code.llvmlite, "__version__", "99.0"),
        (machine_code, "_processor", lambda: "another"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, value)
            assert machine_code._kept("a") is None
    machine_code._keep("a", b"new")
    assert machine_code._kept("a") == b"new" and len(list(tmp_path.rglob("*.o"))) == 1


def test_where_the_sources_lie_need_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the user's cache folder is; and if that cannot be either, nothing is kept."""
    machine_code.sources()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(machine_code, "_HERE", tmp_path)
    (tmp_path / "__pycache__").write_text("in the way")
    machine_code._keep("a", b"code")
    assert machine_code._kept("a") == b"code" and len(list((tmp_path / "home").rglob("*.o"))) == 1
    (tmp_path / "no").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no"))
    machine_code._keep("a", b"code")
    assert machine_code._kept("a") is None


def test_what_cannot_be_run_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that is damaged or not there, an LLVM that was not tried, a C library without a function: Numba's."""
    sound = machine_code.SHIPPED.read_bytes()
    monkeypatch.setattr(machine_code, "SHIPPED", tmp_path / "shipped.zip")
    believed = []
    for content in (sound, sound[:-1], sound[: len(sound) // 2], b"", None):
        machine_code.SHIPPED.unlink() if content is None else machine_code.SHIPPED.write_bytes(content)
        believed.append(machine_code.fits.__wrapped__())
    machine_code.SHIPPED.write_bytes(sound)
    for owner, name, value in (
        (machine_code.llvmlite, "__version__", "99.0"),
        (machine_code.llvm, "address_of_symbol", lambda name: None),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, value)
            believed.append(machine_code.fits.__wrapped__())
    assert believed == [True] + [False] * 6
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    machine_code.SHIPPED.write_bytes(sound[:100] + bytes(len(sound) - 20_000) + sound[len(sound) - 19_900 :])
    assert machine_code._address(machine_code.symbol_of("mul", "float32")) is None


def test_every_supported_llvm_knows_the_words() -> None:
    """LLVM 20 ends the process when it meets a lifetime as LLVM 22 says it."""
    with zipfile.ZipFile(machine_code.SHIPPED) as archive:
        assert not [name for name in archive.namelist() if b"llvm.lifetime" in archive.read(name)]


@pytest.mark.skipif(not NIGHTLY, reason="translates with Numba for seconds")
def test_translating_again_gives_what_is_shipped() -> None:
    code = (
        "import os; from tinygrad_rnn.compiler.instructions import shipping; os.environ.update(shipping._PLAIN); "
        "print(shipping.text('cross_entropy', 'float32'), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    with zipfile.ZipFile(machine_code.SHIPPED) as archive:
        assert done.stdout == archive.read("tinygrad_rnn.cross_entropy.float32.ll").decode(), done.stderr
