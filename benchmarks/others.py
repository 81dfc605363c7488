"""What else costs time or memory: single operations, longer sequences, starting up, pictures, the debugger's record."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import contestants

Printer = Callable[..., None]
Quietly = Callable[[Callable[[], object], int], float]


def eager(header: Printer, row: Printer, quietly: Quietly) -> None:
    """Single operations on 8 elements: a chain of 200, forward and backward."""
    import numpy as np
    import torch

    import tinygrad_rnn as tg

    torch.set_num_threads(1)
    start = np.linspace(0.1, 0.8, 8, dtype=np.float32)

    def chain(x: Any, w: Any, tanh: Any) -> Any:
        for _ in range(50):
            x = tanh(x * w + w - x)
        return x.sum()

    made: dict[str, tuple[Any, Any, Any]] = {
        "ours": (*(tg.tensor(start, requires_grad=True) for _ in range(2)), tg.tanh),
        "torch": (*(torch.tensor(start, requires_grad=True) for _ in range(2)), torch.tanh),
    }
    times: dict[str, tuple[list[float], list[float]]] = {who: ([], []) for who in made}
    for _ in range(9):
        for who, (x, w, tanh) in made.items():
            times[who][0].append(quietly(lambda: chain(x, w, tanh), 100))  # noqa: B023
            both = quietly(lambda: chain(x, w, tanh).backward(), 100)  # noqa: B023
            times[who][1].append(both - times[who][0][-1])
    header("eager, 8 elements", "ns an operation, forward", "backward")
    for who, found in times.items():
        row(who, *(f"{statistics.median(t) / 200 * 1e9:.0f}" for t in found))
    row("ours / torch", *(f"{statistics.median(a) / statistics.median(b):.2f}" for a, b in zip(*times.values())))


def inference(header: Printer, row: Printer, quietly: Quietly) -> None:
    """The forward pass alone, compiled by us, and exported by us to ONNX and run by onnxruntime, on one thread."""
    import numpy as np

    import tinygrad_rnn as tg

    try:
        import onnxruntime
    except ModuleNotFoundError:
        return
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    header("forward pass alone", "ours", "onnxruntime", "times ours")
    for name, w in contestants.WORKLOADS.items():
        model = contestants.ours(w, True).model
        x = tg.tensor(contestants.tokens(w)[0])
        exported = tg.interchange.to_onnx(model, x).SerializeToString()
        session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: x.numpy()}
        forward = tg.compile(lambda x: model(x).detach(), threads=1)  # noqa: B023
        np.testing.assert_allclose(session.run(None, given)[0], forward(x).numpy(), rtol=1e-3, atol=1e-5)
        repeat = {"W1": 2000, "W2": 500, "W5": 50}.get(name, 3)
        times: tuple[list[float], list[float]] = [], []
        for _ in range(7):
            times[0].append(quietly(lambda: forward(x), repeat))  # noqa: B023
            times[1].append(quietly(lambda: session.run(None, given), repeat))  # noqa: B023
        mine, theirs = map(statistics.median, times)
        row(name, f"{mine * 1e6:.1f} us", f"{theirs * 1e6:.1f} us", f"{theirs / mine:.2f}")


def growth(header: Printer, row: Printer, quietly: Quietly) -> None:
    """W2 at longer and longer sequences."""
    header("growth, W2's sizes", "rows", "us a time step", "arena, bytes a time step", "compiling, s", "first step, s")
    for time_steps in (25, 100, 200, 1600, 10_000, 100_000):
        w = replace(contestants.WORKLOADS["W2"], T=time_steps)
        contestants.ours(w, True).step()  # compiles what instructions there are none of yet
        found = contestants.ours(w, True)
        began = time.process_time()
        found.step()
        first_step = time.process_time() - began
        last = found.program._called()
        seconds = min(quietly(found.step, max(1, 5000 // time_steps)) for _ in range(5))
        row(time_steps, last.program.rows, f"{seconds / time_steps * 1e6:.2f}",
            round(last.program.arena_bytes / time_steps), f"{last.seconds:.2f}", f"{first_step:.2f}")  # fmt: skip


def written(header: Printer, row: Printer, _quietly: Quietly) -> None:
    """W2's network as a loop that a user wrote in Python: found again and compiled as one, and written out."""
    import tracemalloc

    import numpy as np

    import tinygrad_rnn as tg
    from tinygrad_rnn.compiler import compiled_function, passes

    w, F = contestants.WORKLOADS["W2"], tg.nn.functional
    spent: dict[str, float] = {}

    def timed(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def call(*args: Any, **settings: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **settings)
            finally:
                spent[name] = spent.get(name, 0.0) + time.process_time() - began

        setattr(owner, name, call)

    def step_of(time_steps: int) -> Any:
        rng = np.random.default_rng(0)
        shapes = ((w.H, w.V), (w.H, w.H), (w.H,), (w.V, w.H), (w.V,))
        inputs, hidden, bias, out, out_bias = weights = [
            tg.nn.Parameter((0.1 * rng.normal(size=shape)).astype(np.float32)) for shape in shapes
        ]
        optimizer = tg.optim.Adagrad(weights, lr=0.1)

        def step(x: Any, y: Any) -> Any:
            h, loss = tg.zeros(1, w.H), 0.0
            for t in range(time_steps):
                h = (F.linear(x[t], inputs, bias) + F.linear(h, hidden)).tanh()
                loss = loss + F.cross_entropy(F.linear(h, out, out_bias), y[t])
            optimizer.zero_grad()
            (loss / time_steps).backward()
            tg.nn.utils.clip_grad_norm_(weights, contestants.CLIP)
            optimizer.step()
            return loss

        return step

    kept = [(owner, name, getattr(owner, name)) for owner, name in (
        (compiled_function.CompiledFunction, "_recordings"), (passes, "optimize"), (compiled_function, "_program"),
    )]  # fmt: skip
    for owner, name, _ in kept:
        timed(owner, name)
    header("a loop in Python, T", "how", "first call, processor ms a step", "recording", "passes", "lowering",
           "KiB a step, at most", "us a step")  # fmt: skip
    for time_steps, how, budget in ((200, "written out", 10**12), (200, "found", None), (1600, "found", None)):
        tokens = np.random.default_rng(1).integers(0, w.V, (time_steps + 1, 1))
        x, y = tg.tensor(np.eye(w.V, dtype=np.float32)[tokens[:-1]]), tg.tensor(tokens[1:])
        program: Any = None
        for watched in (False, True):
            program = tg.compile(step_of(time_steps), threads=1, memory_budget=budget)
            if watched:
                tracemalloc.start()
            spent.clear()
            began = time.process_time()
            program(x, y)
            if not watched:
                took = [time.process_time() - began, *(spent[name] for _, name, _ in kept)]
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        seconds = min(_once(lambda: program(x, y)) for _ in range(20))  # noqa: B023
        each = [f"{seconds / time_steps * 1e3:.2f}" for seconds in took]
        row(time_steps, how, *each, f"{memory / time_steps / 1024:.1f}", f"{seconds / time_steps * 1e6:.1f}")
    for owner, name, function in kept:
        setattr(owner, name, function)


def _once(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def _process(code: str, **environment: str) -> tuple[float, float]:
    """Seconds a whole Python process takes for ``code``, and its largest memory in MiB."""
    # not getrusage: what it says of a child starts at what the parent had
    script = f"{code}\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024


def _median(code: str, count: int = 5, **environment: str) -> tuple[float, float]:
    """The same, as medians of several processes after one that does not count."""
    found = [_process(code, **environment) for _ in range(count + 1)][1:]
    return statistics.median(s for s, _ in found), statistics.median(m for _, m in found)


def passes(header: Printer, row: Printer, quietly: Quietly) -> None:
    """What each of the compiler's passes is worth: the time of a step without it, over that with all of them."""
    from tinygrad_rnn.compiler import passes as compiler

    whole, names = compiler.PASSES, ("W2", "W3", "W6")
    steps: dict[Any, list[contestants.Step]] = {}
    for left_out in (None, *dict.fromkeys(whole)):
        if left_out in (compiler.recompute, compiler.split_batch):  # only with a memory budget, or two threads
            continue
        compiler.PASSES = tuple(p for p in whole if p is not left_out)
        steps[left_out] = [contestants.ours(contestants.WORKLOADS[name], True).step for name in names]
        for step in steps[left_out]:
            step()
    compiler.PASSES = whole
    times = {left_out: [float("inf")] * len(names) for left_out in steps}
    for _ in range(7):
        for left_out, made in steps.items():
            for k, step in enumerate(made):
                times[left_out][k] = min(times[left_out][k], quietly(step, 500 if names[k] == "W2" else 3))
    best = times.pop(None)
    header("without the pass", *names)
    for left_out, found in times.items():
        row(left_out.__name__, *(f"{mine / theirs:.2f}" for mine, theirs in zip(found, best, strict=True)))


def imports(header: Printer, row: Printer, _quietly: Quietly) -> None:
    """Importing, less a Python that imports nothing."""
    header("import", "seconds")
    nothing = _median("pass")[0]
    for module in ("numpy", "numba", "tinygrad_rnn", "viz", "torch", "jax", "mygrad", "autograd.numpy"):
        try:
            row(module, f"{_median(f'import {module}')[0] - nothing:.2f}")
        except subprocess.CalledProcessError:
            row(module, "not installed")


_STEP = (
    "import sys; sys.path.insert(0, {folder!r}); import contestants as c; c.{call}(c.WORKLOADS[{name!r}]{more}).step()"
)


def _code(call: str, name: str, more: str = "") -> str:
    return _STEP.format(folder=os.path.dirname(os.path.abspath(__file__)), call=call, name=name, more=more)


def first(header: Printer, row: Printer, _quietly: Quietly) -> None:
    """A whole process, from its start to the end of the first training step."""
    header("first step, whole process", "empty cache, s", "warm cache, s")
    for name in ("W2", "W3"):
        cold = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(_process(_code("ours", name, ", True"), NUMBA_CACHE_DIR=folder)[0])
        with tempfile.TemporaryDirectory() as folder:
            warm = _median(_code("ours", name, ", True"), 3, NUMBA_CACHE_DIR=folder)[0]
        row(f"{name} ours", f"{statistics.median(cold):.2f}", f"{warm:.2f}")
        row(f"{name} ours, eager", "", f"{_median(_code('ours', name, ', False'), 2)[0]:.2f}")
        for who, call, more in (("torch fused", "torch_step", ", True"), ("JAX scan", "jax_step", "")):
            row(f"{name} {who}", "", f"{_median(_code(call, name, more), 2)[0]:.2f}")


def memory(header: Printer, row: Printer, _quietly: Quietly) -> None:
    """The largest memory of a process that does one step."""
    header("peak memory, MiB", "W4", "W5")
    for who, call, more in (
        ("ours", "ours", ", True"),
        ("ours, eager", "ours", ", False"),
        ("torch fused", "torch_step", ", True"),
        ("JAX scan", "jax_step", ""),
    ):
        row(who, *(f"{_median(_code(call, name, more), 1)[1]:.0f}" for name in ("W4", "W5")))


def pictures(header: Printer, row: Printer, quietly: Quietly) -> None:
    """Drawing an unrolled LSTM, and recording its backward pass for the debugger."""
    import tinygrad_rnn as tg
    import viz

    header("LSTM of 8, unrolled", "seconds")
    for time_steps in (4, 100, 1000):
        model = tg.nn.LSTM(4, 8)
        loss = (model(tg.ones(time_steps, 1, 4))[0] ** 2).sum()
        for detail in ("cell", "gate"):
            seconds = quietly(lambda: viz.render(loss, detail=detail, max_steps=None), 1)  # noqa: B023
            row(f"render, {detail}, T = {time_steps}", f"{seconds:.2f}")
        seconds = quietly(lambda: viz.debug(loss), 1)  # noqa: B023
        row(f"record for the debugger, T = {time_steps}", f"{seconds:.2f}")


MEASUREMENTS: dict[str, Callable[[Printer, Printer, Quietly], None]] = {
    made.__name__: made for made in (eager, inference, growth, written, passes, imports, first, memory, pictures)
}
