# mypy: disable-error-code="no-untyped-call"
"""Machine code of the instructions: LLVM makes it from the LLVM assembly that is shipped, and it is kept on disk.

Instructions are written in Python. Numba infers their types and translates them to LLVM's assembly, which takes ten
times as long as LLVM then needs for machine code. That assembly is for no special processor, so it is made once, by
``python -m tinygrad_rnn.compiler.instructions.shipping``, and lies beside the sources in ``shipped.zip``: a first start
waits for LLVM alone, and Numba need not be imported. Where the sources have changed since, or this LLVM cannot read it,
Numba compiles the instruction when it is needed (`instructions.by_numba`).

Machine code is kept where Numba keeps its own: ``NUMBA_CACHE_DIR``, else beside the sources, else, where that cannot be
written, the user's cache folder. A file says of which sources, for which processor and by which LLVM it was made, bears
a checksum, and is replaced when any of it is not so.
"""

from __future__ import annotations

import hashlib
import os
import platform
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ..errors import DataError
from ..files import write_atomically
from ..primitives.linalg import PIECE

_HERE = Path(__file__).parent
SHIPPED = _HERE / "instructions" / "shipped.zip"
#: versions of llvmlite that can read what is shipped, on 64 bits; another LLVM may end the process over it
_OLDEST, _NEWEST = (0, 45), (0, 50)
#: functions of the C library that instructions call, also in LLVM's words for them; one that is missing would end the
#: process
C_LIBRARY = ("malloc", "free", *(f"{x}{f}" for x in ("exp", "log", "log1p", "pow", "sqrt", "tanh") for f in ("", "f")))
#: one engine for all threads, and no file of machine code in it twice
_turns = threading.Lock()


@cache
def sources() -> str:
    """A checksum of what instructions are made from."""
    made = hashlib.sha256(repr(PIECE).encode())
    for path in (_HERE.parent / "kernels.py", _HERE / "opcodes.py", *sorted((_HERE / "instructions").glob("*.py"))):
        made.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return made.hexdigest()


def readable() -> bool:
    """Whether this LLVM and this Python can make anything of what is shipped."""
    version = tuple(int(part) for part in llvmlite.__version__.split(".")[:2])
    return _OLDEST <= version <= _NEWEST and struct.calcsize("P") == 8


@cache
def fits() -> bool:
    """Whether what is shipped was made of the sources as they are, and can be read and run here."""
    if not readable():
        return False
    try:
        with zipfile.ZipFile(SHIPPED) as archive:
            made_of = archive.comment.decode()
        _engine()  # which looks for symbols in this process
        return made_of == sources() and all(map(llvm.address_of_symbol, C_LIBRARY))
    except (OSError, ValueError, zipfile.BadZipFile):  # not there, or damaged
        return False


def address(name: str, real: str) -> int | None:
    """The address of an instruction's machine code in this process; None if nothing that fits is shipped."""
    with _turns:
        return _address(symbol_of(name, real)) if fits() else None


def _address(symbol: str) -> int | None:
    made = _kept(symbol)
    if made is None:
        try:
            made = _compiled(symbol)
        except (OSError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error):  # another LLVM, or it is damaged
            return None
        _keep(symbol, made)
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(made))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def symbol_of(name: str, real: str) -> str:
    """The symbol of an instruction's function."""
    return f"tinygrad_rnn.{name}.{real}".rstrip(".")


# Making it --------------------------------------------------------------------------------------------------------


@cache
def _target() -> Any:
    """The processor this is, as LLVM sees it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        *processor, opt=3, reloc="static" if x86 else "default", codemodel="jitdefault", jit=True
    )


@cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())


def _compiled(symbol: str) -> bytes:
    """Machine code of what is shipped under a name."""
    with zipfile.ZipFile(SHIPPED) as archive:
        module = llvm.parse_assembly(archive.read(f"{symbol}.ll").decode())
    module.triple, module.data_layout = _target().triple, str(_target().target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = False  # as Numba has it: loops are vectorised, and nothing else
    builder = llvm.create_pass_builder(_target(), options)
    builder.getModulePassManager().run(module, builder)
    made: bytes = _target().emit_object(module)
    return made


# Keeping it -------------------------------------------------------------------------------------------------------


@cache
def _processor() -> str:
    """Facts about the processor that machine code depends on, beside the sources."""
    target = _target()
    return " ".join((target.triple, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()))


def _folders() -> Iterator[Path]:
    """Folders for machine code; the first that can be written is used."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen) / "tinygrad_rnn"
    else:
        yield _HERE / "__pycache__"
        with suppress(RuntimeError):  # a user without a home
            yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_rnn"


def _name(symbol: str) -> str:
    return f"{symbol}-{hashlib.sha256(_processor().encode()).hexdigest()[:12]}.o"  # one for each kind of processor


def _described() -> bytes:
    """A digest of the sources, and of the LLVM, that machine code is made with."""
    return hashlib.sha256(f"{sources()} {llvmlite.__version__}".encode()).digest()


def _kept(symbol: str) -> bytes | None:
    """Machine code from the disk, if it is sound and up to date."""
    for folder in _folders():
        with suppress(OSError):
            found = (folder / _name(symbol)).read_bytes()
            described, checksum, made = found[:32], found[32:64], found[64:]
            if described == _described() and hashlib.sha256(made).digest() == checksum:
                return made
    return None


def _keep(symbol: str, made: bytes) -> None:
    for folder in _folders():
        with suppress(DataError, OSError):  # nowhere to write: the next process makes it again
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / _name(symbol), _described() + hashlib.sha256(made).digest() + made, lasting=False)
            return
