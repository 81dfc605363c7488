"""One training step of small recurrent networks, by several libraries, side by side; and what else costs time.

A step is forward, softmax cross-entropy, backpropagation through time, clipping by norm and an optimizer update, in
float32. Every contestant starts from the same weights and sees the same tokens; its loss and gradients, and its losses
over the first steps, must agree with ours before it is timed. Blocks of steps are interleaved, so that a busy moment
hits all; a block during which the machine did something else is thrown away and measured again. Run::

    python benchmarks/bench.py                # everything, one thread and two
    python benchmarks/bench.py W2 W3 --threads 2 --blocks 9
    python benchmarks/bench.py eager growth written passes imports first memory pictures
    python benchmarks/bench.py --quick        # in some minutes: W1 to W6 on one thread, first steps, eager, memory

and every result is a row of one table on standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # tuned for another machine, they only harm here
    os.environ.pop(variable, None)

import contestants  # noqa: E402
import others  # noqa: E402
from contestants import Step  # noqa: E402

#: share of a block's processor time that must have been ours; else something else was running
QUIET = 0.95
#: what --quick measures
QUICK = [*contestants.WORKLOADS, "eager", "first", "memory"]
#: times the quiet is waited for
PATIENCE = 5


def contest(name: str, threads: int, chosen: list[str], blocks: int, seconds: float) -> None:
    """Check and time everybody on one workload, and print the rows."""
    w = contestants.WORKLOADS[name]
    steps: dict[str, Step] = {}
    reference: Any = None
    for who in chosen:
        try:
            found = contestants.CONTESTANTS[who](w)
            if found is None:
                continue
            checked = found.gradients()
            losses = [found.step() for _ in range(4)]
        except Exception as error:
            row(name, threads, who, f"does not run: {type(error).__name__} {str(error).splitlines()[0][:60]}", "", "")
            continue
        reference = reference or (checked, losses)
        wrong = disagreement(checked, losses, *reference)
        if wrong:
            row(name, threads, who, f"WRONG: {wrong}", "", "")
        else:
            steps[who] = found.step
    steps["products only"] = contestants.products_only(w)
    times = interleaved(steps, blocks, seconds)
    ours = times[chosen[0]]
    for who, found_times in times.items():
        ratios = [theirs / mine for theirs, mine in zip(found_times, ours, strict=True)]
        row(name, threads, who, shown(statistics.median(found_times)), shown(min(found_times)),
            f"{statistics.median(ratios):.2f}")  # fmt: skip


def disagreement(checked: Any, losses: list[float], expected: Any, expected_losses: list[float]) -> str:
    """What is wrong with a contestant's loss, gradients or later losses, if anything."""
    import numpy as np

    loss, gradients = checked
    if abs(loss - expected[0]) > 1e-5 * abs(expected[0]):
        return f"loss {loss}, not {expected[0]}"
    for name, mine in expected[1].items():
        theirs = np.asarray(gradients[name])
        error = np.linalg.norm(theirs - mine) / np.linalg.norm(mine)
        if not error < 1e-3:
            return f"gradient of {name} is off by {error:.1e}"
    if not np.allclose(losses, expected_losses, rtol=2e-4):
        return f"losses {losses[-1]}, not {expected_losses[-1]}"
    return ""


def interleaved(steps: dict[str, Step], blocks: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a step of each, in each block; a block lasts about so many ``seconds``."""
    times: dict[str, list[float]] = {who: [] for who in steps}
    repeat = {who: max(1, int(seconds / min(timed(step) for _ in range(3)))) for who, step in steps.items()}
    for _ in range(blocks):
        for who, step in steps.items():
            times[who].append(quietly(step, repeat[who]))
    return times


def timed(step: Callable[[], object]) -> float:
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


def quietly(step: Callable[[], object], repeat: int) -> float:
    """Seconds a call, of a block in which nothing else ran; the least disturbed one if there is no such block."""
    if hasattr(step, "many"):  # many steps in one call, or in another process, whose time would look like a stranger's
        return float(step.many(repeat)) / repeat
    best = (-float("inf"), 0.0)
    for _ in range(PATIENCE):
        before, busy = time.perf_counter(), _others()
        for _ in range(repeat):
            step()
        seconds = time.perf_counter() - before
        free = 1 - (_others() - busy) / (seconds * (os.cpu_count() or 1))
        if free > best[0]:
            best = (free, seconds / repeat)
        if free >= QUIET or seconds < 0.05:  # the system counts in hundredths of a second
            break
    return best[1]


def _others() -> float:
    """Processor seconds used so far by everything but this process, where the system says."""
    try:
        fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, _steal = fields
    mine = os.times()
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK") - mine.user - mine.system


def shown(seconds: float) -> str:
    return (
        f"{seconds * 1e6:.1f} us"
        if seconds < 1e-3
        else f"{seconds * 1e3:.2f} ms"
        if seconds < 1
        else f"{seconds:.2f} s"
    )


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells: str) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*contestants.WORKLOADS, *others.MEASUREMENTS]
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(everything))
    parser.add_argument("--threads", type=int, choices=(1, 2), help="default: one run with each")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a block")
    parser.add_argument("--only", nargs="*", default=list(contestants.CONTESTANTS), help="contestants, ours first")
    parser.add_argument("--quick", action="store_true", help="what matters most, in some minutes")
    given = parser.parse_args()
    what = given.what or (QUICK if given.quick else everything)
    if given.quick:
        given.threads, given.blocks, given.seconds = given.threads or 1, 5, 0.15
        given.only = ["ours", "05a24f4", "torch fused", "JAX scan"]
    if unknown := [name for name in what if name not in everything]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(everything)}")
    if given.threads is None:
        for threads in (1, 2):
            names = [name for name in what if threads == 1 or name in contestants.WORKLOADS]
            if names:  # a process of its own: libraries read the number of threads when they are imported
                options = [f"--threads={threads}", f"--blocks={given.blocks}", f"--seconds={given.seconds}"]
                command = [sys.executable, __file__, *names, *options, "--only", *given.only]
                subprocess.run(command, env=environment(threads), check=True)
        return
    if os.environ.get("BENCH_THREADS") != str(given.threads):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment(given.threads))
    contestants.THREADS = given.threads
    print(f"\nPython {sys.version.split()[0]}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {blas()}")
    if any(name in contestants.WORKLOADS for name in what):
        header("workload", "threads", "who", "median", "least", "times ours")
    for name in what:
        if name in contestants.WORKLOADS:
            contest(name, given.threads, given.only, given.blocks, given.seconds)
    for name in what:
        if name in others.MEASUREMENTS:
            others.MEASUREMENTS[name](header, row, quietly)


def environment(threads: int) -> dict[str, str]:
    limit = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"} if threads == 1 else {}
    return {**os.environ, **limit, **flags, "BENCH_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}


def blas() -> str:
    """Where the engine's matrix products come from."""
    from tinygrad_rnn.compiler.instructions import blas

    return f"BLAS: {blas.chosen()}"


if __name__ == "__main__":
    main()
