"""Finding a Graphviz that works, and running it with a time limit.

Graphviz lays out and draws; we only ever hand it DOT text and read back what it wrote. Three places may hold
one: an explicit setting, the wheel ``graphviz-pure`` (a static binary installed with this package), and the
system. The wheel draws everything but PDF.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from tinygrad_rnn.errors import TinygradError
from tinygrad_rnn.files import PathLike
from tinygrad_rnn.optional_packages import needed

#: Environment variable that names the ``dot`` to use.
SETTING = "TINYGRAD_RNN_DOT"
#: Seconds a drawing may take: layouts of dense graphs have been seen to run for minutes.
TIMEOUT = 60.0
#: What to do when there is no renderer at all.
CURE = f"pip install graphviz-pure, or install Graphviz from your system's packages, or set {SETTING}=/path/to/dot"


class RenderError(TinygradError, RuntimeError):
    """The picture could not be drawn: no renderer, one that failed, or one that did not finish in time.

    >>> import tinygrad_rnn as tg
    >>> tg.viz.render(tg.ones(2) * 2.0, dot="nowhere/dot").svg
    Traceback (most recent call last):
    tinygrad_rnn.viz...RenderError: the renderer 'nowhere/dot' is not an executable file; correct ...
    """


@cache
def _bundled() -> Path | None:
    """The binary that the wheel graphviz-pure installed, wherever pip put it."""
    try:
        files = metadata.distribution("graphviz-pure").files or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if path.stem == "graphviz-pure" and path.suffix in ("", ".exe") and path.is_file():
            return path.resolve()
    return None


def find_dot(dot: PathLike | None = None) -> Path:
    """The renderer to use: ``dot`` or the environment's setting, graphviz-pure, the system's dot.

    Raises `RenderError` if there is none, or if the one that was set does not exist.
    """
    setting = str(dot) if dot is not None else os.environ.get(SETTING, "")
    if setting:
        found = shutil.which(setting)
        if found is None:
            raise RenderError(f"the renderer {setting!r} is not an executable file; correct {SETTING} or dot=")
        return Path(found)
    system = shutil.which("dot")
    found_dot = _bundled() or (Path(system) if system else None)
    if found_dot is None:
        raise RenderError(f"no Graphviz renderer found: {CURE}")
    return found_dot


def run(
    source: str, format: str, *, positioned: bool = False, dot: PathLike | None = None, timeout: float | None = None
) -> bytes:
    """Draw DOT text as ``format``; with ``positioned`` its coordinates are kept as they are (``neato -n2``).

    Raises `RenderError` if there is no renderer, if it fails, or if it takes longer than ``timeout`` seconds.
    """
    with needed("a picture"):
        from graphviz.backend import dot_command  # importing viz should not cost loading the Graphviz bindings

    binary = find_dot(dot)
    limit = TIMEOUT if timeout is None else timeout
    _, *options = dot_command.command("neato" if positioned else "dot", format, neato_no_op=2 if positioned else None)
    try:
        code, drawn, said = _carried_out([str(binary), *map(str, options)], source.encode(), limit)
    except subprocess.TimeoutExpired:
        raise RenderError(
            f"the renderer {binary} did not finish within {limit:g} s and was stopped; draw fewer steps (max_steps=), "
            "less detail, or allow it more (timeout=)"
        ) from None
    except OSError as error:
        raise RenderError(f"the renderer {binary} cannot be run: {error.strerror}; {CURE}") from None
    if code:
        reason = said.decode(errors="replace").strip().splitlines() or [f"it gave no reason, exit code {code}"]
        raise RenderError(f"the renderer {binary} failed: {reason[-1][:200]}")
    if not drawn:
        raise RenderError(f"the renderer {binary} wrote nothing; {CURE}")
    return drawn


def _carried_out(command: list[str], source: bytes, limit: float) -> tuple[int, bytes, bytes]:
    """Exit code and output of a command; when the time is up, or the user interrupts, whatever it started is ended too.

    A renderer may be a script that starts another program: killed alone it would leave that one running.
    """
    pipe, alone = subprocess.PIPE, os.name == "posix"
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=alone) as process:
        try:
            drawn, said = process.communicate(source, limit)
        except BaseException:
            if alone:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            raise
    return process.returncode, drawn, said
