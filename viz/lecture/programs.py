"""Runs programs one after the other in forks of one process that has imported what they share."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer

import tinygrad_rnn as tg

SECONDS = 600  #: a program may take so long


@dataclass
class Result:
    """The files and the output of a topic's program."""

    key: str  #: of everything it depends on: the same key, the same result
    printed: str = ""
    english: tuple[str, ...] = ()  #: what the program wrote, as paths in the folder, in that order
    files: tuple[str, ...] = ()  #: what was made of that for the page
    words: str = ""  #: a digest of the words in them
    problem: str = ""  #: why there is nothing


class Runner:
    """A process that runs programs when told to. It starts with the first; where nothing forks, with each."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, program: Path, folder: Path) -> tuple[str, str]:
        """Run a program in a folder, where it draws into ``out``: what it prints, and if it failed, why."""
        process = self._process = self._process or _started()
        assert process.stdin is not None and process.stdout is not None
        late = Event()

        def end() -> None:
            late.set()  # before the process ends, and with it the wait for its answer
            self.stop()

        limit = Timer(SECONDS, end)
        limit.start()
        print(json.dumps([str(program), str(folder)]), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        limit.cancel()
        if not answer:  # it has ended
            self.close()
        printed, complaint = (_text(folder / name) for name in ("printed", "complaint"))
        if late.is_set():
            return printed, f"took longer than {SECONDS} s"
        if int(answer or process.wait()):
            reason = (complaint.strip() or printed.strip() or "it gave no reason").splitlines()[-1]
            return printed, f"its program failed: {reason[:300]}"
        return printed, ""

    def stop(self) -> None:
        """End it, and the program that it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()

    def close(self) -> None:
        """Let it end: there is nothing more to run."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()


def _started() -> subprocess.Popen[str]:
    packages = [str(Path(tg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    told = {"COLUMNS": "92", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
        env={**os.environ, **told, "PYTHONPATH": os.pathsep.join(filter(None, packages))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C ends the command that waits; this process is ended by `stop`
    )


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def serve() -> None:
    """The other process: run the program of each line that comes in, and say with which status it ended."""
    with suppress(ImportError):  # what many of them use, so that each fork has it already
        import matplotlib.backends.backend_svg  # noqa: F401
        import rich.progress
        import rich.table  # noqa: F401

        import tinygrad_rnn.compiler.program  # noqa: F401

        from ..debugger.web import page  # noqa: F401
    for line in sys.stdin:
        program, folder = json.loads(line)
        # on macOS the system's linear algebra, once it has been used, does not survive a fork
        child = os.fork() if hasattr(os, "fork") and sys.platform != "darwin" else 0
        if not child:
            os.chdir(folder)
            for stream, name in enumerate((os.devnull, "printed", "complaint")):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), stream)
            sys.argv = [program, "--out", "out"]
            sys.path.insert(0, str(Path(program).parent))
            runpy.run_path(program, run_name="__main__")
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
