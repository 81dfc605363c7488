"""One training step of small recurrent networks, by several libraries, side by side.

A step is forward, softmax cross-entropy, backpropagation through time, clipping by norm and an optimizer update, in
float32. Every contestant starts from the same weights and sees the same tokens; the losses of its first steps are
checked before it is timed. Blocks of steps are interleaved, so that a busy moment hits all; medians and minima of the
blocks are printed, and ratios to ours. Run::

    python benchmarks/bench.py                # all workloads, one thread
    python benchmarks/bench.py W2 W3 --threads 2 --blocks 9
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # tuned for another machine, they only harm here
    os.environ.pop(variable, None)


@dataclass(frozen=True)
class Workload:
    """Sizes of a character model: V symbols, E embedding (0: one-hot), H hidden, L layers, T steps, B sequences."""

    cell: str
    V: int
    E: int
    H: int
    L: int
    T: int
    B: int
    optimizer: str
    seconds: float  #: about what a step takes, for choosing how many make a block

    @property
    def inputs(self) -> int:
        return self.E or self.V


WORKLOADS = {
    "W1": Workload("RNN", 4, 0, 8, 1, 4, 1, "adagrad", 2e-5),
    "W2": Workload("RNN", 65, 0, 100, 1, 25, 1, "adagrad", 2e-4),
    "W3": Workload("LSTM", 65, 64, 128, 2, 50, 50, "adam", 0.06),
    "W4": Workload("LSTM", 65, 128, 512, 1, 50, 64, "adam", 0.35),
    "W5": Workload("RNN", 65, 0, 64, 1, 1000, 1, "adagrad", 2e-3),
    "W6": Workload("GRU", 65, 65, 256, 1, 100, 16, "adam", 0.05),
}
CLIP = 5.0
Step = Callable[[], float]  #: one training step; returns the loss


def weights(w: Workload) -> dict[str, Any]:
    """Named as PyTorch names them; drawn as PyTorch draws them."""
    import numpy as np

    rng = np.random.default_rng(0)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[w.cell] * w.H
    bound = 1 / w.H**0.5
    made = {"embed.weight": rng.normal(size=(w.V, w.E))} if w.E else {}
    for layer in range(w.L):
        size = w.inputs if layer == 0 else w.H
        shapes = {"weight_ih": (gates, size), "weight_hh": (gates, w.H), "bias_ih": (gates,), "bias_hh": (gates,)}
        made |= {f"rnn.{name}_l{layer}": rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
    made |= {"head.weight": rng.uniform(-bound, bound, (w.V, w.H)), "head.bias": rng.uniform(-bound, bound, w.V)}
    return {name: value.astype(np.float32) for name, value in made.items()}


def tokens(w: Workload) -> tuple[Any, Any]:
    import numpy as np

    text = np.random.default_rng(1).integers(0, w.V, (w.T + 1, w.B))
    return text[:-1], text[1:]


# Contestants ------------------------------------------------------------------------------------------------


def ours(w: Workload, compiled: bool) -> Step:
    import tinygrad_rnn as tg

    class Model(tg.nn.Module):
        def __init__(self) -> None:
            if w.E:
                self.embed = tg.nn.Embedding(w.V, w.E)
            self.rnn = getattr(tg.nn, w.cell)(w.inputs, w.H, w.L)
            self.head = tg.nn.Linear(w.H, w.V)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(self.embed(x) if w.E else tg.one_hot(x, w.V))[0])

    model = Model()
    model.load_state_dict(weights(w))
    params = list(model.parameters())
    optimizer = tg.optim.Adagrad(params) if w.optimizer == "adagrad" else tg.optim.Adam(params)

    def step(x: Any, y: Any) -> Any:
        loss = tg.nn.functional.cross_entropy(model(x).reshape(-1, w.V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        return loss

    x, y = (tg.tensor(a) for a in tokens(w))
    run = tg.compile(step) if compiled else step
    return lambda: run(x, y).item()


def torch_step(w: Workload, fused: bool) -> Step:
    import torch

    torch.set_num_threads(THREADS)
    x, y = (torch.from_numpy(a) for a in tokens(w))
    made = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in weights(w).items()}
    rnn = getattr(torch.nn, w.cell)(w.inputs, w.H, w.L)
    cells = [getattr(torch.nn, w.cell + "Cell")(w.inputs if k == 0 else w.H, w.H) for k in range(w.L)]
    for layer, cell in enumerate(cells):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            parameter = made[f"rnn.{name}_l{layer}"]
            setattr(rnn if fused else cell, f"{name}_l{layer}" if fused else name, parameter)
    if fused:
        rnn.flatten_parameters()
    params = list(made.values())
    make = torch.optim.Adagrad if w.optimizer == "adagrad" else torch.optim.Adam
    optimizer = make(params, lr=1e-2 if w.optimizer == "adagrad" else 1e-3)

    def forward() -> Any:
        h = torch.nn.functional.embedding(x, made["embed.weight"]) if w.E \
            else torch.nn.functional.one_hot(x, w.V).float()  # fmt: skip
        if fused:
            h = rnn(h)[0]
        else:
            for cell in cells:
                state: Any = None
                outputs = []
                for t in range(w.T):
                    state = cell(h[t], state)
                    outputs.append(state[0] if w.cell == "LSTM" else state)
                h = torch.stack(outputs)
        return torch.nn.functional.linear(h, made["head.weight"], made["head.bias"])

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(forward().reshape(-1, w.V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        return loss.item()

    return step


def jax_step(w: Workload) -> Step:
    """A scan, compiled with its gradient, clipping and optimizer."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    tokens_in, tokens_out = (jnp.asarray(a) for a in tokens(w))

    def cell(p: Any, layer: int, state: Any, a: Any) -> Any:
        h = state[0]
        u, b = p[f"rnn.weight_hh_l{layer}"], p[f"rnn.bias_hh_l{layer}"]
        if w.cell == "RNN":
            return (jnp.tanh(a + h @ u.T + b),)
        if w.cell == "LSTM":
            i, f, g, o = jnp.split(a + h @ u.T + b, 4, -1)
            c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(c), c
        (ar, az, an), (br, bz, bn) = jnp.split(a, 3, -1), jnp.split(h @ u.T + b, 3, -1)
        r, z = jax.nn.sigmoid(ar + br), jax.nn.sigmoid(az + bz)
        return ((1 - z) * jnp.tanh(an + r * bn) + z * h,)

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        h = p["embed.weight"][x] if w.E else jax.nn.one_hot(x, w.V)
        for layer in range(w.L):
            a = h @ p[f"rnn.weight_ih_l{layer}"].T + p[f"rnn.bias_ih_l{layer}"]
            start = tuple(jnp.zeros((w.B, w.H)) for _ in range(2 if w.cell == "LSTM" else 1))

            def body(state: Any, row: Any, layer: int = layer) -> Any:
                state = cell(p, layer, state, row)
                return state, state[0]

            _, h = jax.lax.scan(body, start, a)
        scores = jax.nn.log_softmax(h @ p["head.weight"].T + p["head.bias"])
        return -jnp.take_along_axis(scores, y[..., None], -1).mean()

    def update(p: Any, s: Any, count: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        norm = jnp.sqrt(sum(jnp.sum(v * v) for v in g.values()))
        g = {k: v * jnp.minimum(1.0, CLIP / (norm + 1e-6)) for k, v in g.items()}
        if w.optimizer == "adagrad":
            s = {k: s[k] + v * v for k, v in g.items()}
            return loss, {k: p[k] - 1e-2 * v / (jnp.sqrt(s[k]) + 1e-10) for k, v in g.items()}, s
        m = {k: 0.9 * s[0][k] + 0.1 * v for k, v in g.items()}
        v2 = {k: 0.999 * s[1][k] + 0.001 * v * v for k, v in g.items()}
        c1, c2 = 1 - 0.9**count, (1 - 0.999**count) ** 0.5
        return loss, {k: p[k] - 1e-3 / c1 * m[k] / (jnp.sqrt(v2[k]) / c2 + 1e-8) for k in p}, (m, v2)

    compiled = jax.jit(update, donate_argnums=(0, 1))
    held = {k: jnp.asarray(v) for k, v in weights(w).items()}
    zeros = {k: jnp.zeros_like(v) for k, v in held.items()}
    kept: Any = zeros if w.optimizer == "adagrad" else (zeros, {k: jnp.zeros_like(v) for k, v in held.items()})
    count = 0

    def step() -> float:
        nonlocal held, kept, count
        count += 1
        loss, held, kept = compiled(held, kept, float(count), tokens_in, tokens_out)
        return float(loss)

    return step


def numpy_step(w: Workload) -> Step | None:
    """The plain RNN by hand, as in a lecture's hundred lines."""
    import numpy as np

    if w.cell != "RNN" or w.L != 1 or w.E:
        return None
    x, y = tokens(w)
    p = weights(w)
    memory = {k: np.zeros_like(v) for k, v in p.items()}
    every = np.arange(w.T)

    def step() -> float:
        wx, u, v = p["rnn.weight_ih_l0"], p["rnn.weight_hh_l0"], p["head.weight"]
        a = wx.T[x[:, 0]] + (p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"])
        h = np.zeros((w.T + 1, w.H), np.float32)
        for t in range(w.T):
            h[t + 1] = np.tanh(a[t] + u @ h[t])
        scores = h[1:] @ v.T + p["head.bias"]
        e = np.exp(scores - scores.max(1, keepdims=True))
        q = e / e.sum(1, keepdims=True)
        loss = -np.log(q[every, y[:, 0]]).mean()
        q[every, y[:, 0]] -= 1
        q /= w.T
        dh, da, carried = q @ v, np.empty((w.T, w.H), np.float32), np.zeros(w.H, np.float32)
        for t in reversed(range(w.T)):
            da[t] = (dh[t] + carried) * (1 - h[t + 1] * h[t + 1])
            carried = da[t] @ u
        dwx = np.zeros((w.V, w.H), np.float32)
        np.add.at(dwx, x[:, 0], da)
        bias = da.sum(0)
        g = {
            "rnn.weight_ih_l0": dwx.T, "rnn.weight_hh_l0": da.T @ h[:-1], "rnn.bias_ih_l0": bias,
            "rnn.bias_hh_l0": bias, "head.weight": q.T @ h[1:], "head.bias": q.sum(0),
        }  # fmt: skip
        scale = min(1.0, CLIP / (np.sqrt(sum(float((v * v).sum()) for v in g.values())) + 1e-6))
        for k, v in g.items():
            v = v * np.float32(scale)
            memory[k] += v * v
            p[k] -= np.float32(1e-2) * v / (np.sqrt(memory[k]) + np.float32(1e-10))
        return float(loss)

    return step if w.B == 1 else None


CONTESTANTS: dict[str, Callable[[Workload], Step | None]] = {
    "ours compiled": lambda w: ours(w, True),
    "ours eager": lambda w: ours(w, False),
    "torch fused": lambda w: torch_step(w, True),
    "torch cells": lambda w: torch_step(w, False),
    "jax scan": jax_step,
    "numpy by hand": numpy_step,
}
THREADS = 1


def contest(name: str, chosen: list[str], blocks: int, seconds: float) -> None:
    """Check and time everybody on one workload, and print a table."""
    w = WORKLOADS[name]
    print(f"\n{name}  {w.cell} V={w.V} E={w.E} H={w.H} L={w.L} T={w.T} B={w.B} {w.optimizer}, {THREADS} thread(s)")
    steps: dict[str, Step] = {}
    losses: dict[str, list[float]] = {}
    for who in chosen:
        try:
            step = CONTESTANTS[who](w)
        except ImportError as error:
            print(f"  {who}: not installed ({error.name})")
            continue
        if step is not None:
            losses[who] = [step() for _ in range(10 if w.seconds < 0.1 else 3)]
            steps[who] = step
    reference = next(iter(losses))
    for who, found in losses.items():
        if any(abs(a - b) > 2e-4 * abs(b) for a, b in zip(found, losses[reference])):
            print(f"  {who}: WRONG, losses {found} but {losses[reference]}")
            del steps[who]
    count = max(1, int(seconds / w.seconds))
    times: dict[str, list[float]] = {who: [] for who in steps}
    for _ in range(blocks):
        for who, step in steps.items():
            repeat = max(1, count // 8) if who == "ours eager" else count
            began = time.perf_counter()
            for _ in range(repeat):
                step()
            times[who].append((time.perf_counter() - began) / repeat)
    base = {f: f(times[reference]) for f in (statistics.median, min)}
    print(f"  {'':<16}{'median':>12}{'least':>12}{'x ours':>10}{'(least)':>10}")
    for who, found in times.items():
        middle, least = statistics.median(found), min(found)
        print(
            f"  {who:<16}{_shown(middle):>12}{_shown(least):>12}{middle / base[statistics.median]:>10.2f}"
            f"{least / base[min]:>10.2f}"
        )


def _shown(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def main() -> None:
    global THREADS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="W")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a block")
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), help="contestants")
    given = parser.parse_args()
    THREADS = given.threads
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(THREADS)
    if THREADS == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    print(f"Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}")
    for name in given.workloads:
        contest(name, given.only, given.blocks, given.seconds)


if __name__ == "__main__":
    main()
