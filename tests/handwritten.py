"""Backward passes as students write them in NumPy, and the lines that they got wrong.

Each function is a right backward pass in one style; `MISTAKES` says which line of it was written wrongly, and what
that is in words. The networks are the same in the engine's own operations, below, to be diagnosed.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg

Arrays = dict[str, np.ndarray]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# A character model, by the equations, in column vectors ----------------------------------------------------


def columns_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(11)
    shapes = {"Wxh": (5, 4), "Whh": (5, 5), "Why": (4, 5), "bh": (5, 1), "by": (4, 1), "h0": (5, 1)}
    return {k: rng.normal(size=s) * 0.7 for k, s in shapes.items()}, ([0, 1, 2, 2, 3, 1], [1, 2, 2, 3, 1, 0])


def columns_loss(p, data):
    inputs, targets = data
    h, loss = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    h.role = "h"
    for t in tg.steps(len(inputs)):
        x = np.zeros((4, 1))
        x[inputs[t]] = 1
        h = tg.nn.labelled((p["Wxh"] @ tg.tensor(x) + p["Whh"] @ h + p["bh"]).tanh(), "h")
        y = p["Why"] @ h + p["by"]
        loss = loss + tg.nn.functional.cross_entropy(y.reshape(1, 4), [targets[t]])
    return loss


def columns(p, data):
    inputs, targets = data
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    xs, hs, ps = {}, {-1: p["h0"]}, {}
    for t in range(len(inputs)):
        xs[t] = np.zeros((4, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += dhraw @ xs[t].T
        dWhh += dhraw @ hs[t - 1].T
        dhnext = Whh.T @ dhraw
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}


# A recurrent layer and an affine one over a batch, as step functions with a cache of tuples -----------------


def tuples_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(12)
    shapes = {"Wx": (4, 4), "Wh": (4, 4), "b": (4,), "Wy": (4, 2), "by": (2,), "h0": (3, 4), "x": (3, 5, 4)}
    return {k: rng.normal(size=s) * 0.6 for k, s in shapes.items()}, rng.normal(size=(3, 5, 2))


def tuples_loss(p, target):
    h, loss = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    h.role = "h"
    for t in tg.steps(5):
        h = tg.nn.labelled((p["x"][:, t] @ p["Wx"] + h @ p["Wh"] + p["b"]).tanh(), "h")
        error = h @ p["Wy"] + p["by"] - target[:, t]
        loss = loss + (error * error).sum()
    return loss / 15


def tuples(p, target):
    def step_forward(x, prev_h, Wx, Wh, b):
        next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
        return next_h, (x, prev_h, Wx, Wh, next_h)

    def step_backward(dnext_h, cache):
        x, prev_h, Wx, Wh, next_h = cache
        da = dnext_h * (1 - next_h**2)
        dx = da @ Wx.T
        dprev_h = da @ Wh.T
        dWx = x.T @ da
        dWh = prev_h.T @ da
        db = np.sum(da, axis=0)
        return dx, dprev_h, dWx, dWh, db

    N, T, D = p["x"].shape
    h, caches, hs = p["h0"], [], np.zeros((N, T, 4))
    for t in range(T):
        h, cache = step_forward(p["x"][:, t], h, p["Wx"], p["Wh"], p["b"])
        hs[:, t] = h
        caches.append(cache)
    error = hs @ p["Wy"] + p["by"] - target

    dout = 2 * error / (N * T)
    dhs = dout @ p["Wy"].T
    dWy = hs.reshape(N * T, 4).T @ dout.reshape(N * T, 2)
    dby = dout.sum(axis=(0, 1))
    dx = np.zeros((N, T, D))
    dWx, dWh, db = 0, 0, 0
    dprev = np.zeros((N, 4))
    for t in reversed(range(T)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = step_backward(dhs[:, t] + dprev, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return {"x": dx, "h0": dprev, "Wx": dWx, "Wh": dWh, "b": db, "Wy": dWy, "by": dby}


# An LSTM with stacked gates, in row vectors ----------------------------------------------------------------


def stacked_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(13)
    shapes = {"Wx": (2, 12), "Wh": (3, 12), "b": (12,), "h0": (2, 3), "c0": (2, 3)}
    return {k: rng.normal(size=s) * 0.8 for k, s in shapes.items()}, (
        rng.normal(size=(6, 2, 2)),
        rng.normal(size=(6, 2, 3)),
    )


def stacked_loss(p, data):
    x, up = data
    h, c, loss = p["h0"], p["c0"], tg.tensor(0.0, dtype=tg.float64)
    h.role, c.role = "h", "c"
    for t in tg.steps(6):
        a = tg.tensor(x[t]) @ p["Wx"] + h @ p["Wh"] + p["b"]
        i, f, o = (a[:, 3 * k : 3 * k + 3].sigmoid() for k in range(3))
        g = a[:, 9:].tanh()
        i.role, f.role, o.role, g.role = "ifog"
        c = tg.nn.labelled(f * c + i * g, "c")
        h = tg.nn.labelled(o * c.tanh(), "h")
        loss = loss + (h * up[t]).sum()
    return loss


def stacked(p, data):
    x, up = data
    T, H = 6, 3
    Wx, Wh, b = p["Wx"], p["Wh"], p["b"]
    h, c, cache = p["h0"], p["c0"], []
    for t in range(T):
        prev_h, prev_c = h, c
        a = x[t] @ Wx + prev_h @ Wh + b
        ai, af, ao, ag = np.hsplit(a, 4)
        i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
        c = f * prev_c + i * g
        h = o * np.tanh(c)
        cache.append((prev_h, prev_c, i, f, o, g, a, c))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh_next, dc_next = np.zeros((2, H)), np.zeros((2, H))
    for t in reversed(range(T)):
        prev_h, prev_c, i, f, o, g, a, c = cache[t]
        ai, af, ao, ag = np.hsplit(a, 4)
        dh = up[t] + dh_next
        do = dh * np.tanh(c)
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        df = dc * prev_c
        di = dc * g
        dg = dc * i
        dc_next = dc * f
        di_raw = di * i * (1 - i)
        df_raw = df * f * (1 - f)
        do_raw = do * o * (1 - o)
        dg_raw = dg * (1 - g**2)
        da = np.hstack((di_raw, df_raw, do_raw, dg_raw))
        dWx += x[t].T @ da
        dWh += prev_h.T @ da
        db += da.sum(axis=0)
        dh_next = da @ Wh.T
    return {"Wx": dWx, "Wh": dWh, "b": db, "h0": dh_next, "c0": dc_next}


# An LSTM with a matrix a gate on [h; x], in column vectors, one sample a column ------------------------------


def separate_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(14)
    shapes = {f"W{k}": (3, 5) for k in "fico"} | {f"b{k}": (3, 1) for k in "fico"} | {"a0": (3, 4)}
    return {k: rng.normal(size=s) * 0.8 for k, s in shapes.items()}, (
        rng.normal(size=(5, 2, 4)),
        rng.normal(size=(3, 4)),
    )


def separate_loss(p, data):
    x, target = data
    a, c = p["a0"], tg.zeros(3, 4, dtype=tg.float64)
    a.role = "h"
    for t in tg.steps(5):
        concat = tg.concat([a, tg.tensor(x[t])], 0)
        ft = tg.nn.labelled((p["Wf"] @ concat + p["bf"]).sigmoid(), "f")
        it = tg.nn.labelled((p["Wi"] @ concat + p["bi"]).sigmoid(), "i")
        cct = tg.nn.labelled((p["Wc"] @ concat + p["bc"]).tanh(), "g")
        ot = tg.nn.labelled((p["Wo"] @ concat + p["bo"]).sigmoid(), "o")
        c = tg.nn.labelled(ft * c + it * cct, "c")
        a = tg.nn.labelled(ot * c.tanh(), "h")
    error = a - target
    return (error * error).sum() * 0.5 / 4


def separate(p, data):
    x, target = data
    Tx, n_a, m = 5, 3, 4
    a, c, caches = p["a0"], np.zeros((n_a, m)), []
    for t in range(Tx):
        concat = np.vstack((a, x[t]))
        ft = sigmoid(p["Wf"] @ concat + p["bf"])
        it = sigmoid(p["Wi"] @ concat + p["bi"])
        cct = np.tanh(p["Wc"] @ concat + p["bc"])
        ot = sigmoid(p["Wo"] @ concat + p["bo"])
        c_prev = c
        c = ft * c + it * cct
        a = ot * np.tanh(c)
        caches.append((concat, ft, it, cct, ot, c, c_prev))
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    da_next, dc_next = (a - target) / m, np.zeros((n_a, m))
    for t in reversed(range(Tx)):
        concat, ft, it, cct, ot, c, c_prev = caches[t]
        dot = da_next * np.tanh(c) * ot * (1 - ot)
        dc = dc_next + ot * (1 - np.square(np.tanh(c))) * da_next
        dcct = dc * it * (1 - np.square(cct))
        dit = dc * cct * it * (1 - it)
        dft = dc * c_prev * ft * (1 - ft)
        da_prev = (p["Wf"].T @ dft + p["Wi"].T @ dit + p["Wc"].T @ dcct + p["Wo"].T @ dot)[:n_a]
        dc_prev = dc * ft
        for k, d in (("f", dft), ("i", dit), ("c", dcct), ("o", dot)):
            grads["W" + k] += d @ concat.T
            grads["b" + k] += np.sum(d, axis=1, keepdims=True)
        da_next, dc_next = da_prev, dc_prev
    grads["a0"] = da_next
    return grads


# A GRU by the equations, in row vectors --------------------------------------------------------------------


def gru_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(15)
    shapes = {k + g: (3, 3) for k in "WU" for g in "zrh"} | {"bz": (3,), "br": (3,), "bh": (3,), "h0": (2, 3)}
    return {k: rng.normal(size=s) * 0.9 for k, s in shapes.items()}, (
        rng.normal(size=(5, 2, 3)),
        rng.normal(size=(2, 3)),
    )


def gru_loss(p, data):
    x, up = data
    h = p["h0"]
    h.role = "h"
    for t in tg.steps(5):
        xt = tg.tensor(x[t])
        z = tg.nn.labelled((xt @ p["Wz"] + h @ p["Uz"] + p["bz"]).sigmoid(), "z")
        r = tg.nn.labelled((xt @ p["Wr"] + h @ p["Ur"] + p["br"]).sigmoid(), "r")
        n = tg.nn.labelled((xt @ p["Wh"] + (r * h) @ p["Uh"] + p["bh"]).tanh(), "n")
        h = tg.nn.labelled((1 - z) * h + z * n, "h")
    return (h * up).sum()


def gru(p, data):
    x, up = data
    T = 5
    h, saved = p["h0"], []
    for t in range(T):
        z = sigmoid(x[t] @ p["Wz"] + h @ p["Uz"] + p["bz"])
        r = sigmoid(x[t] @ p["Wr"] + h @ p["Ur"] + p["br"])
        n = np.tanh(x[t] @ p["Wh"] + (r * h) @ p["Uh"] + p["bh"])
        saved.append((h, z, r, n))
        h = (1 - z) * h + z * n
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh = up
    for t in range(T - 1, -1, -1):
        h, z, r, n = saved[t]
        dn = dh * z
        dz = dh * (n - h)
        dan = dn * (1 - n * n)
        drh = dan @ p["Uh"].T
        dr = drh * h
        daz = dz * z * (1 - z)
        dar = dr * r * (1 - r)
        dh_prev = dh * (1 - z)
        dh_prev = dh_prev + drh * r
        dh_prev = dh_prev + daz @ p["Uz"].T + dar @ p["Ur"].T
        for gate, da, left in (("z", daz, h), ("r", dar, h), ("h", dan, r * h)):
            d["W" + gate] += x[t].T @ da
            d["U" + gate] += left.T @ da
            d["b" + gate] += da.sum(0)
        dh = dh_prev
    d["h0"] = dh
    return d


# An embedding, a recurrence each way with relu and a residual path, the mean over time, dropout --------------


def ways_data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(16)
    shapes = {"E": (6, 4), "Wf": (4, 4), "Uf": (4, 4), "Wb": (4, 4), "Ub": (4, 4), "V": (8, 3)}
    mask = (rng.random((5, 2, 8)) < 0.7) / 0.7
    letters = np.array([[0, 3], [1, 1], [0, 5], [3, 3], [0, 1]])
    return {k: rng.normal(size=s) * 0.6 for k, s in shapes.items()}, (letters, mask, rng.normal(size=(2, 3)))


def ways_loss(p, data):
    letters, mask, up = data
    h, k = tg.zeros(2, 4, dtype=tg.float64), tg.zeros(2, 4, dtype=tg.float64)
    e = [p["E"][letters[t]] for t in range(5)]
    forth, back = [], [None] * 5
    for t in tg.steps(5):
        h = tg.nn.labelled(h + (e[t] @ p["Wf"] + h @ p["Uf"]).relu(), "h")
        forth.append(h)
    for t in reversed(list(tg.steps(5))):
        k = tg.nn.labelled(k + (e[t] @ p["Wb"] + k @ p["Ub"]).relu(), "k")
        back[t] = k
    both = [tg.concat([a, b], 1) * tg.tensor(mask[t]) for t, (a, b) in enumerate(zip(forth, back, strict=True))]
    return ((sum(both[1:], both[0]) / 5) @ p["V"] * up).sum()


def ways(p, data):
    letters, mask, up = data
    T, N, H = 5, 2, 4
    hs, ks, af, ab = [np.zeros((N, H))], [np.zeros((N, H))], [], []
    for t in range(T):
        af.append(p["E"][letters[t]] @ p["Wf"] + hs[-1] @ p["Uf"])
        hs.append(hs[-1] + np.maximum(af[-1], 0))
    for t in range(T - 1, -1, -1):
        ab.append(p["E"][letters[t]] @ p["Wb"] + ks[-1] @ p["Ub"])
        ks.append(ks[-1] + np.maximum(ab[-1], 0))
    both = np.stack([np.concatenate([hs[t + 1], ks[T - t]], 1) for t in range(T)]) * mask
    mean = both.mean(axis=0)

    dV = mean.T @ up
    dmean = up @ p["V"].T
    dboth = np.stack([dmean / T] * T)
    dboth = dboth * mask
    dE = np.zeros_like(p["E"])
    dWf, dUf, dWb, dUb = (np.zeros((H, H)) for _ in range(4))
    dh = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dh = dh + dboth[t][:, :H]
        da = dh * (af[t] > 0)
        dWf += p["E"][letters[t]].T @ da
        dUf += hs[t].T @ da
        np.add.at(dE, letters[t], da @ p["Wf"].T)
        dh = dh + da @ p["Uf"].T
    dk = np.zeros((N, H))
    for t in range(T):
        dk = dk + dboth[t][:, H:]
        da = dk * (ab[T - 1 - t] > 0)
        dWb += p["E"][letters[t]].T @ da
        dUb += ks[T - 1 - t].T @ da
        np.add.at(dE, letters[t], da @ p["Wb"].T)
        dk = dk + da @ p["Ub"].T
    return {"E": dE, "Wf": dWf, "Uf": dUf, "Wb": dWb, "Ub": dUb, "V": dV}


# The lines written wrongly ---------------------------------------------------------------------------------


class Mistake(NamedTuple):
    """One line of a backward pass, as it should be and as it was written."""

    style: str
    line: str
    written: str
    meaning: str

    def gradients(self) -> Arrays:
        """What the wrong backward pass gives."""
        source = inspect.getsource(STYLES[self.style][2])
        assert source.count(self.line) == 1, (self.style, self.line, source.count(self.line))
        names: dict[str, Any] = {"np": np, "sigmoid": sigmoid}
        exec(textwrap.dedent(source).replace(self.line, self.written), names)
        parameters, data = STYLES[self.style][0]()
        return names[self.style](parameters, data)


def loss_of(style: str) -> tg.Tensor:
    """The engine's loss."""
    data_of, loss, _ = STYLES[style]
    parameters, data = data_of()
    return loss({k: tg.tensor(v, requires_grad=True, name=k) for k, v in parameters.items()}, data)


def right(style: str) -> Arrays:
    """What the right backward pass gives."""
    data_of, _, backward = STYLES[style]
    return backward(*data_of())


STYLES: dict[str, tuple[Callable[[], tuple[Arrays, Any]], Callable[..., tg.Tensor], Callable[..., Arrays]]] = {
    "columns": (columns_data, columns_loss, columns),
    "tuples": (tuples_data, tuples_loss, tuples),
    "stacked": (stacked_data, stacked_loss, stacked),
    "separate": (separate_data, separate_loss, separate),
    "gru": (gru_data, gru_loss, gru),
    "ways": (ways_data, ways_loss, ways),
}

MISTAKES = [
    Mistake("columns", "Why.T @ dy + dhnext", "Why.T @ dy", "h gets nothing from the next step"),
    Mistake("columns", "(1 - hs[t] * hs[t])", "(1 - hs[t])", "tanh' without the square"),
    Mistake("columns", "dhraw @ hs[t - 1].T", "dhraw @ hs[t].T", "Whh multiplied h of the step before"),
    Mistake("columns", "Whh.T @ dhraw", "Whh @ dhraw", "Whh not transposed"),
    Mistake("columns", "dbh += dhraw", "dbh = dhraw", "bh overwritten"),
    Mistake("columns", "dy[targets[t]] -= 1", "pass", "the target not subtracted from the softmax"),
    Mistake("columns", "dWhy += dy @ hs[t].T", "dWhy += dy @ hs[t - 1].T", "Why multiplied h of this step"),
    Mistake("tuples", "(1 - next_h**2)", "(1 - prev_h**2)", "tanh' of the state before"),
    Mistake("tuples", "np.sum(da, axis=0)", "np.mean(da, axis=0)", "b averaged over the batch"),
    Mistake("tuples", "reversed(range(T))", "range(T)", "time steps in forward order"),
    Mistake("tuples", "2 * error / (N * T)", "2 * error / N", "1/T of the mean forgotten"),
    Mistake("tuples", "dx = da @ Wx.T", "dx = da @ Wh.T", "x multiplied with the wrong matrix"),
    Mistake("tuples", "caches[t])", "caches[t])\n        dprev = dprev * (t != 2)", "h dropped at one step"),
    Mistake("stacked", "dc = dc_next + dh * o", "dc = dh * o", "c gets nothing from the next step"),
    Mistake("stacked", "dh * o * (1 - np.tanh(c) ** 2)", "dh * o", "tanh' of c forgotten"),
    Mistake("stacked", "df = dc * prev_c", "df = dc * c", "f multiplied the c before"),
    Mistake("stacked", "(di_raw, df_raw, do_raw, dg_raw)", "(di_raw, df_raw, dg_raw, do_raw)", "o and g exchanged"),
    Mistake("stacked", "dg_raw = dg * (1 - g**2)", "dg_raw = dg * g * (1 - g)", "σ' for tanh' at g"),
    Mistake("stacked", "di_raw = di * i * (1 - i)", "di_raw = di * ai * (1 - ai)", "σ' of the value before σ"),
    Mistake("stacked", "dc_next = dc * f", "dc_next = dc_next * f", "only the carried part of dc is handed on"),
    Mistake("stacked", "dc_next = dc * f", "dc_next = dc", "forget gate missing on the way back"),
    Mistake("separate", "dc * cct * it * (1 - it)", "dc * cct * (1 - np.square(it))", "tanh' for σ' at i"),
    Mistake("separate", '(p["Wf"].T @ dft + p["Wi"].T @ dit', '(p["Wi"].T @ dit', "h gets nothing through f"),
    Mistake("separate", "(a - target) / m", "(a - target)", "1/m of the mean forgotten"),
    Mistake("separate", "dft = dc * c_prev", "dft = dc_next * c_prev", "f sees only the carried part of dc"),
    Mistake("gru", "dn = dh * z", "dn = dh * (1 - z)", "z and 1 - z swapped"),
    Mistake("gru", "drh * r", "drh", "reset gate forgotten on the way to h"),
    Mistake("gru", "dh_prev = dh * (1 - z)", "dh_prev = 0", "the direct path dropped"),
    Mistake("gru", "dh * (n - h)", "dh * (h - n)", "sign of dz"),
    Mistake("gru", '("h", dan, r * h)', '("h", dan, h)', "Uh multiplied r * h"),
    Mistake("ways", 'dh = dh + da @ p["Uf"].T', 'dh = da @ p["Uf"].T', "the residual path forgotten"),
    Mistake("ways", "da = dh * (af[t] > 0)", "da = dh", "relu' forgotten"),
    Mistake(
        "ways",
        'np.add.at(dE, letters[t], da @ p["Wf"].T)',
        'dE[letters[t]] += da @ p["Wf"].T',
        "repeated rows count once, on the way forth",
    ),
    Mistake("ways", "dk = np.zeros((N, H))", "dk = dh", "the other direction's buffer not cleared"),
    Mistake("ways", "dmean / T", "dmean", "1/T of the mean forgotten"),
    Mistake("ways", "dboth = dboth * mask", "pass", "dropout mask forgotten"),
]
