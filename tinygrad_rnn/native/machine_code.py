# mypy: disable-error-code="no-untyped-call"
"""Machine code: what LLVM makes of translated functions, in memory and on disk.

On disk each function has a file of its own, which says what it was made from: these sources, LLVM and the processor.
If any of that is not as it was, or the file is damaged, the function is compiled again and the file replaced, so files
are never stale, survive whatever else is upgraded, and are as many as there are functions and kinds of processors.
They lie in ``NUMBA_CACHE_DIR`` if that is set, else beside the source, else, where that cannot be written, in the
user's cache folder.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from ..errors import DataError
from ..files import write_atomically

_PACKAGE = Path(__file__).parents[1]
_INTEGER = ctypes.c_int64
_lock = threading.RLock()


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function on contiguous arrays and integers that, called from Python, runs as machine code and returns nothing.

    With ``NUMBA_DISABLE_JIT=1`` it stays Python: to debug it and to mutate it.
    """
    if plain_python():
        quiet: Callable[..., Any] = np.errstate(all="ignore")(function)
        return quiet
    made: dict[tuple[str, ...], Callable[..., Any]] = {}

    def run(*arguments: Any) -> None:
        key = tuple(x.dtype.char if isinstance(x, np.ndarray) else "int" for x in arguments)
        called = made.get(key) or made.setdefault(key, _callable(function, key))
        given: list[int] = []
        for x in arguments:
            if isinstance(x, np.ndarray):
                given += (x.ctypes.data, x.size)
            else:
                given.append(x)
        called(*given)

    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


def plain_python() -> bool:
    """Whether nothing is to be compiled."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _callable(function: Callable[..., Any], key: tuple[str, ...]) -> Callable[..., Any]:
    kinds = tuple("int" if x == "int" else _kind(x) for x in key)
    address = address_of(function, "_".join([function.__name__, *key]), kinds)
    return c_function(address, sum(1 if x == "int" else 2 for x in key))


def _kind(char: str) -> Any:
    from .translate import Array

    return Array({"q": "l", "?": "B"}.get(char, char))


def c_function(address: int, arguments: int) -> Callable[..., int]:
    """What calls it with so many integers, the interpreter's lock released."""
    return ctypes.CFUNCTYPE(_INTEGER, *[_INTEGER] * arguments)(address)


def address_of(function: Callable[..., Any], name: str, arguments: tuple[Any, ...]) -> int:
    """Where the machine code of a function is, for parameters as `translate` describes them; the name is its own."""
    symbol = f"tinygrad_rnn_{name}"
    with _lock:
        found = _addresses.get(symbol)
        if found is None:
            machine = _machine()
            code = _read(symbol)
            if code is None:
                from .translate import translate

                code = machine.compiled(translate(function, symbol, arguments))
                _write(symbol, code)
            machine.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            machine.engine.finalize_object()
            found = _addresses[symbol] = machine.engine.get_function_address(symbol)
    return found


_addresses: dict[str, int] = {}


def provide(symbol: str, address: int) -> None:
    """Let compiled code call a C function under a name."""
    llvm.add_symbol(symbol, address)


# Compiling ---------------------------------------------------------------------------------------------------


class _Machine:
    """This processor, and what runs code for it."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.target = self._target()
        self.triple = self.target.triple
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._target())
        _provide_c_library()

    def _target(self) -> Any:
        features = llvm.get_host_cpu_features().flatten()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        return target.create_target_machine(llvm.get_host_cpu_name(), features, opt=3, jit=True)

    def compiled(self, text: str) -> bytes:
        """A module's machine code."""
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = self.triple, str(self.target.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = True
        builder = llvm.create_pass_builder(self.target, options)
        builder.getModulePassManager().run(module, builder)
        code: bytes = self.target.emit_object(module)
        return code


@cache
def _machine() -> _Machine:
    return _Machine()


def _provide_c_library() -> None:
    """What compiled code calls, where the linker does not find it by itself."""
    library: Any = None
    real = ("log", "log1p", "tanh", "pow")
    for name in (*real, *(f"{name}f" for name in real), "malloc", "free", "memset", "memcpy"):
        if llvm.address_of_symbol(name) is None:
            if library is None:
                names = {"win32": "ucrtbase", "darwin": "libSystem.dylib"}
                library = ctypes.CDLL(names.get(sys.platform, "libm.so.6"))
            provide(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0)


# On disk -----------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where files are, and what all of them are made from."""

    folder: Path
    processor: str
    stamp: bytes


@cache
def _place() -> _Place | None:
    processor = f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    stamp = hashlib.sha256(f"{llvmlite.__version__} {llvm.llvm_version_info} {processor}".encode())
    compiler = _PACKAGE / "compiler"
    for path in (*sorted(Path(__file__).parent.glob("*.py")), _PACKAGE / "kernels.py", compiler / "interpreter.py",
                 compiler / "opcodes.py", *sorted((compiler / "instructions").glob("*.py"))):  # fmt: skip
        stamp.update(path.read_bytes())
    short = hashlib.sha256(processor.encode()).hexdigest()[:8]
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return _Place(folder, short, stamp.digest())
    return None


def _folders() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(chosen)] if chosen else [_PACKAGE / "native" / "__pycache__", users / "tinygrad_rnn"]


def _path(place: _Place, symbol: str) -> Path:
    return place.folder / f"{symbol}.{place.processor}.native"


def _read(symbol: str) -> bytes | None:
    """The machine code on disk; None if there is none, or it was made from something else, or it is damaged."""
    place = _place()
    try:
        content = _path(place, symbol).read_bytes() if place else b""
    except OSError:
        return None
    code = content[64:]
    sound = place is not None and content[:32] == place.stamp and hashlib.sha256(code).digest() == content[32:64]
    return code if sound else None


def _write(symbol: str, code: bytes) -> None:
    place = _place()
    if place is not None:
        with suppress(DataError):  # a full disk costs the next process the time to compile, no more
            write_atomically(_path(place, symbol), place.stamp + hashlib.sha256(code).digest() + code)
