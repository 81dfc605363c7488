"""Who competes: each gives a training step, and its loss and gradients at the initial weights to check it by."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

#: set by the script before a library is imported
THREADS = 1


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

    @property
    def inputs(self) -> int:
        return self.E or self.V


WORKLOADS = {
    "W1": Workload("RNN", 4, 0, 8, 1, 4, 1, "adagrad"),
    "W2": Workload("RNN", 65, 0, 100, 1, 25, 1, "adagrad"),
    "W3": Workload("LSTM", 65, 64, 128, 2, 50, 50, "adam"),
    "W4": Workload("LSTM", 65, 128, 512, 1, 50, 64, "adam"),
    "W5": Workload("RNN", 65, 0, 64, 1, 1000, 1, "adagrad"),
    "W6": Workload("GRU", 65, 65, 256, 1, 100, 16, "adam"),
}
CLIP = 5.0
Step = Callable[[], float]  #: one training step; returns the loss


class Contestant(NamedTuple):
    """A model that is ready to train."""

    step: Step
    gradients: Callable[[], tuple[float, dict[str, Any]]]  #: loss and gradients, before the first step
    program: Any = None  #: what our own compiler made of the step
    model: Any = None  #: what it trains


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


def ours(w: Workload, compiled: bool, **given: Any) -> Contestant:
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

    def loss_of(x: Any, y: Any) -> Any:
        return tg.nn.functional.cross_entropy(model(x).reshape(-1, w.V), y.reshape(-1))

    def gradients(x: Any, y: Any) -> Any:
        loss = loss_of(x, y)
        return loss, tg.grad(loss, params)

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        tg.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        return loss

    x, y = (tg.tensor(a) for a in tokens(w))
    run = tg.compile(step, THREADS, **given) if compiled else step

    def first() -> tuple[float, dict[str, Any]]:
        loss, found = (tg.compile(gradients, THREADS, **given) if compiled else gradients)(x, y)
        return loss.item(), {n: g.numpy() for (n, _), g in zip(model.named_parameters(), found, strict=True)}

    return Contestant(lambda: run(x, y).item(), first, run, model)


class _Before:
    """A step of an earlier build, in a process of its own, which says how long so many steps take there."""

    def __init__(self, w: Workload, commit: str) -> None:
        folder, root = Path(tempfile.gettempdir()) / f"tinygrad_rnn-{commit}", Path(__file__).parents[1]
        if not folder.is_dir():
            command = ["git", "archive", commit, "tinygrad_rnn"]
            packed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
        code = _EARLIER.format(folder=os.path.dirname(os.path.abspath(__file__)), w=w, threads=THREADS)
        environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "numba")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answers: Any = self._process.stdout
        self.first = json.loads(self._answers.readline())

    def __call__(self) -> float:
        return float(self._asked(1)[1])

    def many(self, repeat: int) -> float:
        """Seconds that so many steps take."""
        return float(self._asked(repeat)[0])

    def _asked(self, repeat: int) -> list[str]:
        print(repeat, file=self._process.stdin, flush=True)
        answer: list[str] = self._answers.readline().split()
        return answer


_EARLIER = """
import json, sys, time
sys.path.insert(0, {folder!r})
import contestants
from contestants import Workload
contestants.THREADS = {threads}
found = contestants.ours({w!r}, True)
loss, gradients = found.gradients()
print(json.dumps([loss, {{name: g.tolist() for name, g in gradients.items()}}]), flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(line)):
        loss = found.step()
    print(time.perf_counter() - began, loss, flush=True)
"""


def before(w: Workload, commit: str = "05a24f4") -> Contestant:
    """This engine as it was."""
    step = _Before(w, commit)
    return Contestant(step, lambda: step.first)


def torch_step(w: Workload, fused: bool, compiled: bool = False, scanned: bool = False) -> Contestant:
    """PyTorch's layers, its cells in a loop, that loop compiled, or PyTorch's scan.

    The scan is not compiled: PyTorch 2.13's compiler refuses one of a tanh, "scan might be aliasing the input or the
    output" (issue 195977 of pytorch/pytorch).
    """
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
        h = (
            torch.nn.functional.embedding(x, made["embed.weight"])
            if w.E
            else torch.nn.functional.one_hot(x, w.V).float()
        )
        if fused:
            h = rnn(h)[0]
        elif scanned:
            from torch._higher_order_ops.scan import scan

            def body(state: Any, row: Any) -> Any:
                state = cells[0](row, state)
                return state + 0, state * 1  # neither may be the other

            h = scan(body, h.new_zeros(w.B, w.H), h, dim=0)[1]
        else:
            for cell in cells:
                state: Any = None
                outputs = []
                for t in range(w.T):
                    state = cell(h[t], state)
                    outputs.append(state[0] if w.cell == "LSTM" else state)
                h = torch.stack(outputs)
        return torch.nn.functional.linear(h, made["head.weight"], made["head.bias"])

    def loss_of() -> Any:
        return torch.nn.functional.cross_entropy(forward().reshape(-1, w.V), y.reshape(-1))

    if compiled:
        loss_of = torch.compile(loss_of)

    def step() -> float:
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        return float(loss.item())

    def first() -> tuple[float, dict[str, Any]]:
        loss = loss_of()
        return loss.item(), {n: g.numpy() for n, g in zip(made, torch.autograd.grad(loss, params), strict=True)}

    return Contestant(step, first)


def jax_step(w: Workload, in_one_call: bool = False) -> Contestant | None:
    """A scan, compiled with its gradient, clipping and optimizer; in one call: a scan over many such steps."""
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

    def first() -> tuple[float, dict[str, Any]]:
        loss, found = jax.jit(jax.value_and_grad(loss_of))(held, tokens_in, tokens_out)
        return float(loss), found

    size = _batched(w) if in_one_call else None
    if not in_one_call or size is None:
        return None if in_one_call else Contestant(step, first)

    def train(p: Any, s: Any, count: Any, xs: Any, ys: Any) -> Any:
        def one(state: Any, row: Any) -> Any:
            loss, p, s = update(state[0], state[1], state[2], *row)
            return (p, s, state[2] + 1), loss

        (p, s, _), losses = jax.lax.scan(one, (p, s, count), (xs, ys))
        return losses, p, s

    many = jax.jit(train, donate_argnums=(0, 1))
    stacks = [jnp.asarray(numpy_stack(a, size)) for a in tokens(w)]

    def batch() -> None:
        nonlocal held, kept, count
        losses, held, kept = many(held, kept, float(count + 1), *stacks)
        losses.block_until_ready()
        count += size

    return Contestant(_Batch(step, size, batch), first)


class _Batch:
    """Many steps in one call; as a step it is called alone, and when it is timed, in batches of ``size``."""

    def __init__(self, step: Step, size: int, batch: Callable[[], object]) -> None:
        self._step, self._size, self._batch = step, size, batch

    def __call__(self) -> float:
        return self._step()

    def many(self, repeat: int) -> float:
        """Seconds that so many steps take."""
        batches = max(1, repeat // self._size)
        self._batch()
        began = time.perf_counter()
        for _ in range(batches):
            self._batch()
        return (time.perf_counter() - began) * repeat / (batches * self._size)


def _batched(w: Workload) -> int | None:
    """How many steps are made in one call, on workloads where a call is not much shorter than what is done in it."""
    return {"W1": 1000, "W2": 200, "W5": 20}.get(next(name for name, known in WORKLOADS.items() if known == w))


def ours_in_one_call(w: Workload) -> Contestant | None:
    """`for_each` of the compiled step."""
    size = _batched(w)
    if size is None:
        return None
    made = ours(w, True)
    stacks = [numpy_stack(a, size) for a in tokens(w)]
    return made._replace(step=_Batch(made.step, size, lambda: made.program.for_each(*stacks).numpy()))


def numpy_stack(array: Any, size: int) -> Any:
    """The same again and again, one copy a step."""
    return array[None].repeat(size, 0)


def pytensor_step(w: Workload) -> Contestant:
    """PyTensor's Scan, compiled by its default linker, Numba."""
    import numpy as np
    import pytensor
    import pytensor.tensor as pt

    x, y = tokens(w)
    shared = {name: pytensor.shared(value.copy(), name) for name, value in weights(w).items()}
    xs, ys = (pt.tensor(name, dtype="int64", shape=(w.T, w.B)) for name in "xy")
    one = np.float32(1)

    def cell(layer: int) -> Callable[..., Any]:
        u, b = shared[f"rnn.weight_hh_l{layer}"], shared[f"rnn.bias_hh_l{layer}"]

        def step(a: Any, h: Any, *c: Any) -> Any:
            if w.cell == "RNN":
                return pt.tanh(a + h @ u.T + b)
            n = w.H
            if w.cell == "LSTM":
                z = a + h @ u.T + b
                i, f, g, o = (z[:, k * n : (k + 1) * n] for k in range(4))
                new = pt.sigmoid(f) * c[0] + pt.sigmoid(i) * pt.tanh(g)
                return pt.sigmoid(o) * pt.tanh(new), new
            ah = h @ u.T + b
            r, z = pt.sigmoid(a[:, :n] + ah[:, :n]), pt.sigmoid(a[:, n : 2 * n] + ah[:, n : 2 * n])
            return (one - z) * pt.tanh(a[:, 2 * n :] + r * ah[:, 2 * n :]) + z * h

        return step

    h: Any = shared["embed.weight"][xs] if w.E else pt.eye(w.V, dtype="float32")[xs]
    for layer in range(w.L):
        a = h @ shared[f"rnn.weight_ih_l{layer}"].T + shared[f"rnn.bias_ih_l{layer}"]
        start = [np.zeros((w.B, w.H), np.float32) for _ in range(2 if w.cell == "LSTM" else 1)]
        found = pytensor.scan(cell(layer), sequences=a, outputs_info=start, return_updates=False)
        h = found[0] if isinstance(found, list) else found
    scores = pt.special.log_softmax((h @ shared["head.weight"].T + shared["head.bias"]).reshape((-1, w.V)), axis=-1)
    loss = -scores[pt.arange(w.T * w.B), ys.reshape((-1,))].mean()
    loss = loss.astype("float32")
    gradients = dict(zip(shared, pytensor.grad(loss, list(shared.values())), strict=True))
    norm = pt.sqrt(sum((g**2).sum() for g in gradients.values()))
    scale = pt.minimum(one, np.float32(CLIP) / (norm + np.float32(1e-6)))
    count = pytensor.shared(np.float32(0))
    updates: list[Any] = [(count, count + one)]
    f = np.float32
    for name, p in shared.items():
        g = gradients[name] * scale
        first, second = (pytensor.shared(np.zeros_like(p.get_value())) for _ in range(2))
        if w.optimizer == "adagrad":
            total = second + g * g
            updates += [(second, total), (p, p - f(1e-2) * g / (pt.sqrt(total) + f(1e-10)))]
            continue
        m, v = f(0.9) * first + f(0.1) * g, f(0.999) * second + f(0.001) * g * g
        c1, c2 = one - f(0.9) ** (count + one), pt.sqrt(one - f(0.999) ** (count + one))
        updates += [(first, m), (second, v), (p, p - f(1e-3) / c1 * m / (pt.sqrt(v) / c2 + f(1e-8)))]
    updates = [(variable, new.astype("float32")) for variable, new in updates]
    only = pytensor.function([xs, ys], [loss, *gradients.values()])
    run = pytensor.function([xs, ys], loss, updates=updates)

    def first_step() -> tuple[float, dict[str, Any]]:
        value, *computed = only(x, y)
        return float(value), dict(zip(gradients, computed, strict=True))

    return Contestant(lambda: float(run(x, y)), first_step)


def numpy_step(w: Workload) -> Contestant | None:
    """The plain RNN by hand, as in a lecture's hundred lines."""
    import numpy as np

    if w.cell != "RNN" or w.L != 1 or w.E or w.B != 1:
        return None
    x, y = tokens(w)
    p = weights(w)
    every = np.arange(w.T)

    def gradients() -> tuple[float, dict[str, Any]]:
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
        return float(loss), {
            "rnn.weight_ih_l0": dwx.T,
            "rnn.weight_hh_l0": da.T @ h[:-1],
            "rnn.bias_ih_l0": bias,
            "rnn.bias_hh_l0": bias,
            "head.weight": q.T @ h[1:],
            "head.bias": q.sum(0),
        }

    return Contestant(_updating(w, p, gradients), gradients)


def _updating(w: Workload, p: dict[str, Any], gradients: Callable[[], tuple[float, dict[str, Any]]]) -> Step:
    """A step of a library that has no optimizer: clipping and update in NumPy, the weights ``p`` in place."""
    import numpy as np

    f = np.float32
    first, second = ({k: np.zeros_like(v) for k, v in p.items()} for _ in range(2))
    count = 0

    def step() -> float:
        nonlocal count
        count += 1
        loss, g = gradients()
        scale = f(min(1.0, CLIP / (np.sqrt(sum(float((v * v).sum()) for v in g.values())) + 1e-6)))
        for k, v in g.items():
            v = v * scale
            if w.optimizer == "adagrad":
                second[k] += v * v
                p[k] -= f(1e-2) * v / (np.sqrt(second[k]) + f(1e-10))
            else:
                first[k] += f(0.1) * (v - first[k])
                second[k] += f(0.001) * (v * v - second[k])
                root = np.sqrt(second[k]) / f((1 - 0.999**count) ** 0.5) + f(1e-8)
                p[k] -= f(1e-3 / (1 - 0.9**count)) * first[k] / root
        return loss

    return step


def _unrolled(w: Workload, p: Any, np: Any) -> Any:
    """The loss, written for a library with NumPy's names, in the way its users would."""
    x, y = tokens(w)
    one_hot = __import__("numpy").eye(w.V, dtype="float32")

    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    sequence = [one_hot[x[t]] @ p["embed.weight"] if w.E else one_hot[x[t]] for t in range(w.T)]
    n = w.H
    for layer in range(w.L):
        wx, u, bx, bh = (p[f"rnn.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h = c = __import__("numpy").zeros((w.B, n), "float32")
        for t in range(w.T):
            ax, ah = np.matmul(sequence[t], wx.T) + bx, np.matmul(h, u.T) + bh
            if w.cell == "RNN":
                h = np.tanh(ax + ah)
            elif w.cell == "LSTM":
                a = ax + ah
                i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                r = sigmoid(ax[:, :n] + ah[:, :n])
                z = sigmoid(ax[:, n : 2 * n] + ah[:, n : 2 * n])
                h = (1 - z) * np.tanh(ax[:, 2 * n :] + r * ah[:, 2 * n :]) + z * h
            sequence[t] = h
    total = 0.0
    for t in range(w.T):
        scores = np.matmul(sequence[t], p["head.weight"].T) + p["head.bias"]
        total = total + np.sum(np.log(np.sum(np.exp(scores), axis=1))) - np.sum(scores * one_hot[y[t]])
    return total / (w.T * w.B)


def autograd_step(w: Workload) -> Contestant:
    """HIPS autograd."""
    import autograd
    import autograd.numpy as np

    p = weights(w)
    both = autograd.value_and_grad(lambda p: _unrolled(w, p, np))

    def gradients() -> tuple[float, dict[str, Any]]:
        loss, found = both(p)
        return float(loss), found

    return Contestant(_updating(w, p, gradients), gradients)


def mygrad_step(w: Workload) -> Contestant:
    import mygrad

    p = weights(w)

    def gradients() -> tuple[float, dict[str, Any]]:
        tensors = {k: mygrad.tensor(v, copy=False) for k, v in p.items()}
        loss = _unrolled(w, tensors, mygrad)
        loss.backward()
        return float(loss), {k: t.grad for k, t in tensors.items()}

    return Contestant(_updating(w, p, gradients), gradients)


def products_only(w: Workload) -> Step:
    """The floor: nothing but the matrix products of a step, batched over time as far as they can be, by NumPy."""
    import numpy as np

    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[w.cell] * w.H
    rows, rng = w.T * w.B, np.random.default_rng(0)

    def matrix(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    h, a, u, ut = matrix(w.B, w.H), matrix(w.B, gates), matrix(w.H, gates), matrix(gates, w.H)
    hs, das, scores, head = matrix(rows, w.H), matrix(rows, gates), matrix(rows, w.V), matrix(w.H, w.V)
    below, table = matrix(w.H, gates), matrix(w.V, w.E or 1)

    def step() -> float:
        for layer in range(w.L):
            for _ in range(w.T - 1):
                h @ u
                a @ ut
            das.T @ hs
            if layer:
                hs @ below
                das @ below.T
                das.T @ hs
            elif w.E:  # the table's V rows stand for the tokens
                table @ matrix_e
                table.T @ das[: w.V]
                das[: w.V] @ matrix_e.T
        hs @ head
        scores @ head.T
        scores.T @ hs
        return 0.0

    matrix_e = matrix(w.E or 1, gates)
    return step


CONTESTANTS: dict[str, Callable[[Workload], Contestant | None]] = {
    "ours": lambda w: ours(w, True),
    "05a24f4": before,
    "ours, for_each": ours_in_one_call,
    "ours, eager": lambda w: ours(w, False),
    "torch fused": lambda w: torch_step(w, True),
    "torch cells": lambda w: torch_step(w, False),
    "torch.compile": lambda w: torch_step(w, False, True) if w.T <= 25 else None,  # it unrolls, for many minutes
    "torch scan": lambda w: torch_step(w, False, scanned=True) if w.cell == "RNN" and w.T <= 25 else None,
    "JAX scan": jax_step,
    "JAX scan of steps": lambda w: jax_step(w, True),
    "PyTensor scan": pytensor_step,
    "autograd": lambda w: autograd_step(w) if w.H < 200 else None,
    "MyGrad": lambda w: mygrad_step(w) if w.H < 200 else None,
    "NumPy by hand": numpy_step,
}
