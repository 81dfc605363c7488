"""Backward passes that nothing in the search was written for, and every small change of their text.

Two networks of an architecture of their own, in plain NumPy. A mistake is one change of the syntax tree of the backward
pass: a term or a factor left out, a sign, ``+=`` become ``=``, a time step beside, a name for another, ``.T`` left out,
a mean for a sum, the loop the other way round. All that still run and change the numbers are the cases.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

import tinygrad_rnn as tg

Arrays = dict[str, Any]


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def random_arrays(seed: int, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()}


# An LSTM whose gates look at the cell state, read out at the end -------------------------------------------------


PEEPHOLE = {f"W{g}": (5, 3) for g in "ifgo"} | {f"b{g}": (3,) for g in "ifgo"} | {f"p{g}": (3,) for g in "ifo"}
PEEPHOLE |= {"V": (3, 2), "h0": (2, 3), "c0": (2, 3), "x": (4, 2, 2), "target": (2, 2)}


def peephole_loss(p: Arrays) -> tg.Tensor:
    h, c = p["h0"], p["c0"]
    for t in tg.steps(4):
        s = tg.concat([h, p["x"][t]], 1)
        i = (s @ p["Wi"] + p["bi"] + p["pi"] * c).sigmoid()
        f = (s @ p["Wf"] + p["bf"] + p["pf"] * c).sigmoid()
        g = (s @ p["Wg"] + p["bg"]).tanh()
        c = f * c + i * g
        o = (s @ p["Wo"] + p["bo"] + p["po"] * c).sigmoid()
        h = o * c.tanh()
    error = h @ p["V"] - p["target"]
    return (error * error).mean()


def peephole_backward(p):  # type: ignore[no-untyped-def]
    N, T = 2, 4
    cs, hs = {-1: p["c0"]}, {-1: p["h0"]}
    S, I, F, G, O = {}, {}, {}, {}, {}  # noqa: E741
    for t in range(T):
        S[t] = np.concatenate([hs[t - 1], p["x"][t]], 1)
        I[t] = sigmoid(S[t] @ p["Wi"] + p["bi"] + p["pi"] * cs[t - 1])
        F[t] = sigmoid(S[t] @ p["Wf"] + p["bf"] + p["pf"] * cs[t - 1])
        G[t] = np.tanh(S[t] @ p["Wg"] + p["bg"])
        cs[t] = F[t] * cs[t - 1] + I[t] * G[t]
        O[t] = sigmoid(S[t] @ p["Wo"] + p["bo"] + p["po"] * cs[t])
        hs[t] = O[t] * np.tanh(cs[t])
    d = {k: np.zeros(v.shape) for k, v in p.items() if k != "target"}
    error = hs[T - 1] @ p["V"] - p["target"]
    "backward"
    derror = 2 * error / (N * 2)
    d["V"] = hs[T - 1].T @ derror
    dh = derror @ p["V"].T
    dc = np.zeros((N, 3))
    for t in reversed(range(T)):
        do = dh * np.tanh(cs[t]) * O[t] * (1 - O[t])
        dc = dc + dh * O[t] * (1 - np.tanh(cs[t]) ** 2) + do * p["po"]
        di = dc * G[t] * I[t] * (1 - I[t])
        df = dc * cs[t - 1] * F[t] * (1 - F[t])
        dg = dc * I[t] * (1 - G[t] ** 2)
        d["Wi"] += S[t].T @ di
        d["Wf"] += S[t].T @ df
        d["Wg"] += S[t].T @ dg
        d["Wo"] += S[t].T @ do
        d["bi"] += di.sum(0)
        d["bf"] += df.sum(0)
        d["bg"] += dg.sum(0)
        d["bo"] += do.sum(0)
        d["pi"] += (di * cs[t - 1]).sum(0)
        d["pf"] += (df * cs[t - 1]).sum(0)
        d["po"] += (do * cs[t]).sum(0)
        ds = di @ p["Wi"].T + df @ p["Wf"].T + dg @ p["Wg"].T + do @ p["Wo"].T
        dh = ds[:, :3]
        d["x"][t] = ds[:, 3:]
        dc = dc * F[t] + di * p["pi"] + df * p["pf"]
    d["h0"] = dh
    d["c0"] = dc
    return d


# Two layers, the upper one fed by the input too, a softmax at every step ------------------------------------------


LAYERS = {"W": (3, 3), "U": (3, 3), "a": (3,), "R": (3, 3), "K": (3, 3), "Q": (3, 3), "b": (3,), "V": (3, 4)}
LAYERS |= {"x": (4, 2, 3)}
TARGETS = np.array([[0, 1], [3, 2], [1, 1], [2, 0]])


def layers_loss(p: Arrays) -> tg.Tensor:
    h = k = tg.zeros(2, 3, dtype=tg.float64)
    total = tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(4):
        x = p["x"][t]
        h = tg.nn.labelled((x @ p["W"] + h @ p["U"] + p["a"]).tanh(), "h")
        k = tg.nn.labelled(k + (h @ p["R"] + k @ p["K"] + x @ p["Q"] + p["b"]).sigmoid(), "k")
        total = total + tg.nn.functional.cross_entropy(k @ p["V"], TARGETS[t])
    return total / 4


def layers_backward(p):  # type: ignore[no-untyped-def]
    N, T = 2, 4
    hs, ks, ss, ps = {-1: np.zeros((N, 3))}, {-1: np.zeros((N, 3))}, {}, {}
    for t in range(T):
        hs[t] = np.tanh(p["x"][t] @ p["W"] + hs[t - 1] @ p["U"] + p["a"])
        ss[t] = sigmoid(hs[t] @ p["R"] + ks[t - 1] @ p["K"] + p["x"][t] @ p["Q"] + p["b"])
        ks[t] = ks[t - 1] + ss[t]
        e = np.exp(ks[t] @ p["V"])
        ps[t] = e / e.sum(1, keepdims=True)
    d = {k: np.zeros(v.shape) for k, v in p.items()}
    onehot = np.eye(4)[TARGETS]
    "backward"
    dh = np.zeros((N, 3))
    dk = np.zeros((N, 3))
    for t in reversed(range(T)):
        ds = (ps[t] - onehot[t]) / (N * T)
        d["V"] += ks[t].T @ ds
        dk = dk + ds @ p["V"].T
        da = dk * ss[t] * (1 - ss[t])
        d["R"] += hs[t].T @ da
        d["K"] += ks[t - 1].T @ da
        d["Q"] += p["x"][t].T @ da
        d["b"] += da.sum(0)
        dk = dk + da @ p["K"].T
        dh = dh + da @ p["R"].T
        dz = dh * (1 - hs[t] ** 2)
        d["W"] += p["x"][t].T @ dz
        d["U"] += hs[t - 1].T @ dz
        d["a"] += dz.sum(0)
        d["x"][t] = dz @ p["W"].T + da @ p["Q"].T
        dh = dz @ p["U"].T
    return d


# One gate that lets in and out, read at every step, from a first state of its own ----------------------------------


GATED = {"Wf": (2, 3), "Wn": (2, 3), "Uf": (3, 3), "Un": (3, 3), "bf": (3,), "bn": (3,), "V": (3, 2), "c": (2,)}
GATED |= {"h0": (2, 3), "x": (4, 2, 2), "target": (4, 2, 2)}


def gated_loss(p: Arrays) -> tg.Tensor:
    h, total = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(4):
        f = (p["x"][t] @ p["Wf"] + h @ p["Uf"] + p["bf"]).sigmoid()
        n = (p["x"][t] @ p["Wn"] + (f * h) @ p["Un"] + p["bn"]).tanh()
        h = (1 - f) * h + f * n
        error = h @ p["V"] + p["c"] - p["target"][t]
        total = total + (error * error).sum() / 2
    return total / 8


def gated_backward(p):  # type: ignore[no-untyped-def]
    N, T = 2, 4
    H, F, G, E = {-1: p["h0"]}, {}, {}, {}
    for t in range(T):
        F[t] = sigmoid(p["x"][t] @ p["Wf"] + H[t - 1] @ p["Uf"] + p["bf"])
        G[t] = np.tanh(p["x"][t] @ p["Wn"] + (F[t] * H[t - 1]) @ p["Un"] + p["bn"])
        H[t] = (1 - F[t]) * H[t - 1] + F[t] * G[t]
        E[t] = H[t] @ p["V"] + p["c"] - p["target"][t]
    d = {k: np.zeros(v.shape) for k, v in p.items() if k != "target"}
    "backward"
    dh = np.zeros((N, 3))
    for t in reversed(range(T)):
        e = E[t] / (N * T)
        d["V"] += H[t].T @ e
        d["c"] += e.sum(0)
        dh = dh + e @ p["V"].T
        dg = dh * F[t] * (1 - G[t] ** 2)
        dm = dg @ p["Un"].T
        df = (dh * (G[t] - H[t - 1]) + dm * H[t - 1]) * F[t] * (1 - F[t])
        d["Wn"] += p["x"][t].T @ dg
        d["Un"] += (F[t] * H[t - 1]).T @ dg
        d["bn"] += dg.sum(0)
        d["Wf"] += p["x"][t].T @ df
        d["Uf"] += H[t - 1].T @ df
        d["bf"] += df.sum(0)
        d["x"][t] = dg @ p["Wn"].T + df @ p["Wf"].T
        dh = dh * (1 - F[t]) + dm * F[t] + df @ p["Uf"].T
    d["h0"] = dh
    return d


# The state times the input, before the weights ----------------------------------------------------------------------


MULTIPLIED = {"P": (2, 3), "Q": (3, 3), "W": (2, 3), "U": (3, 3), "b": (3,), "V": (3, 3), "h0": (2, 3), "x": (4, 2, 2)}


def multiplied_loss(p: Arrays) -> tg.Tensor:
    h = p["h0"]
    for t in tg.steps(4):
        m = (p["x"][t] @ p["P"]) * (h @ p["Q"])
        h = (p["x"][t] @ p["W"] + m @ p["U"] + p["b"]).tanh()
    return tg.nn.functional.cross_entropy(h @ p["V"], TARGETS[0])


def multiplied_backward(p):  # type: ignore[no-untyped-def]
    N, T = 2, 4
    H, A, B = {-1: p["h0"]}, {}, {}
    for t in range(T):
        A[t] = p["x"][t] @ p["P"]
        B[t] = H[t - 1] @ p["Q"]
        H[t] = np.tanh(p["x"][t] @ p["W"] + (A[t] * B[t]) @ p["U"] + p["b"])
    e = np.exp(H[T - 1] @ p["V"])
    q = e / e.sum(1, keepdims=True)
    onehot = np.eye(3)[TARGETS[0]]
    d = {k: np.zeros(v.shape) for k, v in p.items()}
    "backward"
    ds = (q - onehot) / N
    d["V"] = H[T - 1].T @ ds
    dh = ds @ p["V"].T
    for t in reversed(range(T)):
        da = dh * (1 - H[t] ** 2)
        d["W"] += p["x"][t].T @ da
        d["U"] += (A[t] * B[t]).T @ da
        d["b"] += da.sum(0)
        dm = da @ p["U"].T
        dA = dm * B[t]
        dB = dm * A[t]
        d["P"] += p["x"][t].T @ dA
        d["Q"] += H[t - 1].T @ dB
        d["x"][t] = da @ p["W"].T + dA @ p["P"].T
        dh = dB @ p["Q"].T
    d["h0"] = dh
    return d


# A decoder that looks at a source sequence -------------------------------------------------------------------------


LOOKING = {"W": (2, 3), "U": (3, 3), "C": (3, 3), "b": (3,), "K": (3, 3), "V": (6, 2), "h0": (2, 3)}
LOOKING |= {"x": (3, 2, 2), "source": (2, 4, 3), "target": (3, 2, 2)}


def looking_loss(p: Arrays) -> tg.Tensor:
    h, total = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    keys = p["source"] @ p["K"]
    for t in tg.steps(3):
        scores = (keys * h.reshape(2, 1, 3)).sum(2)
        a = scores.softmax(1)
        c = (a.reshape(2, 4, 1) * p["source"]).sum(1)
        h = (p["x"][t] @ p["W"] + h @ p["U"] + c @ p["C"] + p["b"]).tanh()
        error = tg.concat([h, c], 1) @ p["V"] - p["target"][t]
        total = total + (error * error).sum() / 2
    return total / 3


def looking_backward(p):  # type: ignore[no-untyped-def]
    T = 3
    S = p["source"]
    keys = S @ p["K"]
    H, A, C, Z, E = {-1: p["h0"]}, {}, {}, {}, {}
    for t in range(T):
        e = np.exp((keys * H[t - 1][:, None, :]).sum(2))
        A[t] = e / e.sum(1, keepdims=True)
        C[t] = (A[t][:, :, None] * S).sum(1)
        H[t] = np.tanh(p["x"][t] @ p["W"] + H[t - 1] @ p["U"] + C[t] @ p["C"] + p["b"])
        Z[t] = np.concatenate([H[t], C[t]], 1)
        E[t] = Z[t] @ p["V"] - p["target"][t]
    d = {k: np.zeros(v.shape) for k, v in p.items() if k != "target"}
    "backward"
    dkeys = np.zeros(keys.shape)
    dh = np.zeros((2, 3))
    for t in reversed(range(T)):
        e = E[t] / T
        d["V"] += Z[t].T @ e
        dz = e @ p["V"].T
        dh = dh + dz[:, :3]
        da = dh * (1 - H[t] ** 2)
        d["W"] += p["x"][t].T @ da
        d["U"] += H[t - 1].T @ da
        d["C"] += C[t].T @ da
        d["b"] += da.sum(0)
        d["x"][t] = da @ p["W"].T
        dc = dz[:, 3:] + da @ p["C"].T
        dA = (dc[:, None, :] * S).sum(2)
        d["source"] += A[t][:, :, None] * dc[:, None, :]
        dS = A[t] * (dA - (A[t] * dA).sum(1, keepdims=True))
        dkeys += dS[:, :, None] * H[t - 1][:, None, :]
        dh = da @ p["U"].T + (dS[:, :, None] * keys).sum(1)
    d["h0"] = dh
    d["source"] += dkeys @ p["K"].T
    d["K"] = np.einsum("nsi,nsj->ij", S, dkeys)
    return d


# A GRU whose candidate is normalized ----------------------------------------------------------------------------------


NORMALIZED = {f"W{g}": (2, 4) for g in "zrn"} | {f"U{g}": (4, 4) for g in "zrn"} | {"bz": (4,), "br": (4,)}
NORMALIZED |= {"gain": (4,), "shift": (4,), "V": (4, 2), "h0": (3, 4), "x": (4, 3, 2), "target": (4, 3, 2)}


def normalized_loss(p: Arrays) -> tg.Tensor:
    h, total = p["h0"], tg.tensor(0.0, dtype=tg.float64)
    for t in tg.steps(4):
        x = p["x"][t]
        z = (x @ p["Wz"] + h @ p["Uz"] + p["bz"]).sigmoid()
        r = (x @ p["Wr"] + h @ p["Ur"] + p["br"]).sigmoid()
        a = x @ p["Wn"] + (r * h) @ p["Un"]
        n = tg.nn.functional.layer_norm(a, 4, p["gain"], p["shift"]).tanh()
        h = z * h + (1 - z) * n
        total = total + tg.nn.functional.mse_loss(h @ p["V"], p["target"][t])
    return total / 4


def normalized_backward(p):  # type: ignore[no-untyped-def]
    N, T = 3, 4
    H, Z, R, S, A, M, E = {-1: p["h0"]}, {}, {}, {}, {}, {}, {}
    for t in range(T):
        Z[t] = sigmoid(p["x"][t] @ p["Wz"] + H[t - 1] @ p["Uz"] + p["bz"])
        R[t] = sigmoid(p["x"][t] @ p["Wr"] + H[t - 1] @ p["Ur"] + p["br"])
        a = p["x"][t] @ p["Wn"] + (R[t] * H[t - 1]) @ p["Un"]
        S[t] = np.sqrt(a.var(1, keepdims=True) + 1e-5)
        A[t] = (a - a.mean(1, keepdims=True)) / S[t]
        M[t] = np.tanh(p["gain"] * A[t] + p["shift"])
        H[t] = Z[t] * H[t - 1] + (1 - Z[t]) * M[t]
        E[t] = H[t] @ p["V"] - p["target"][t]
    d = {k: np.zeros(v.shape) for k, v in p.items() if k != "target"}
    "backward"
    dh = np.zeros((N, 4))
    for t in reversed(range(T)):
        e = 2 * E[t] / (N * T * 2)
        d["V"] += H[t].T @ e
        dh = dh + e @ p["V"].T
        dz = dh * (H[t - 1] - M[t]) * Z[t] * (1 - Z[t])
        dm = dh * (1 - Z[t]) * (1 - M[t] ** 2)
        d["gain"] += (dm * A[t]).sum(0)
        d["shift"] += dm.sum(0)
        dA = dm * p["gain"]
        da = (dA - dA.mean(1, keepdims=True) - A[t] * (dA * A[t]).mean(1, keepdims=True)) / S[t]
        d["Wn"] += p["x"][t].T @ da
        d["Un"] += (R[t] * H[t - 1]).T @ da
        ds = da @ p["Un"].T
        dr = ds * H[t - 1] * R[t] * (1 - R[t])
        d["Wz"] += p["x"][t].T @ dz
        d["Uz"] += H[t - 1].T @ dz
        d["bz"] += dz.sum(0)
        d["Wr"] += p["x"][t].T @ dr
        d["Ur"] += H[t - 1].T @ dr
        d["br"] += dr.sum(0)
        d["x"][t] = da @ p["Wn"].T + dz @ p["Wz"].T + dr @ p["Wr"].T
        dh = dh * Z[t] + ds * R[t] + dz @ p["Uz"].T + dr @ p["Ur"].T
    d["h0"] = dh
    return d


# An LSTM with coupled gates and a projection, its outputs averaged ----------------------------------------------------


PROJECTED = {f"W{g}": (2, 4) for g in "igo"} | {f"U{g}": (3, 4) for g in "igo"} | {f"b{g}": (4,) for g in "igo"}
PROJECTED |= {"P": (4, 3), "V": (3, 3), "q": (3,), "h0": (2, 3), "c0": (2, 4), "x": (4, 2, 2)}


def projected_loss(p: Arrays) -> tg.Tensor:
    h, c = p["h0"], p["c0"]
    pooled = tg.zeros(2, 3, dtype=tg.float64)
    for t in tg.steps(4):
        x = p["x"][t]
        i = (x @ p["Wi"] + h @ p["Ui"] + p["bi"]).sigmoid()
        g = (x @ p["Wg"] + h @ p["Ug"] + p["bg"]).tanh()
        o = (x @ p["Wo"] + h @ p["Uo"] + p["bo"]).sigmoid()
        c = (1 - i) * c + i * g
        h = (o * c.tanh()) @ p["P"]
        pooled = pooled + h
    return tg.nn.functional.cross_entropy(pooled / 4 @ p["V"] + p["q"], TARGETS[2])


def projected_backward(p):  # type: ignore[no-untyped-def]
    N, T = 2, 4
    H, C = {-1: p["h0"]}, {-1: p["c0"]}
    I, G, O, TC, Y = {}, {}, {}, {}, {}  # noqa: E741
    for t in range(T):
        I[t] = sigmoid(p["x"][t] @ p["Wi"] + H[t - 1] @ p["Ui"] + p["bi"])
        G[t] = np.tanh(p["x"][t] @ p["Wg"] + H[t - 1] @ p["Ug"] + p["bg"])
        O[t] = sigmoid(p["x"][t] @ p["Wo"] + H[t - 1] @ p["Uo"] + p["bo"])
        C[t] = (1 - I[t]) * C[t - 1] + I[t] * G[t]
        TC[t] = np.tanh(C[t])
        Y[t] = O[t] * TC[t]
        H[t] = Y[t] @ p["P"]
    pooled = sum(H[t] for t in range(T)) / T
    e = np.exp(pooled @ p["V"] + p["q"])
    probabilities = e / e.sum(1, keepdims=True)
    onehot = np.eye(3)[TARGETS[2]]
    d = {k: np.zeros(v.shape) for k, v in p.items()}
    "backward"
    ds = (probabilities - onehot) / N
    d["V"] = pooled.T @ ds
    d["q"] = ds.sum(0)
    dpooled = ds @ p["V"].T
    dh = np.zeros((N, 3))
    dc = np.zeros((N, 4))
    for t in reversed(range(T)):
        dh = dh + dpooled / T
        d["P"] += Y[t].T @ dh
        dy = dh @ p["P"].T
        do = dy * TC[t] * O[t] * (1 - O[t])
        dc = dc + dy * O[t] * (1 - TC[t] ** 2)
        dg = dc * I[t] * (1 - G[t] ** 2)
        di = dc * (G[t] - C[t - 1]) * I[t] * (1 - I[t])
        d["Wi"] += p["x"][t].T @ di
        d["Wg"] += p["x"][t].T @ dg
        d["Wo"] += p["x"][t].T @ do
        d["Ui"] += H[t - 1].T @ di
        d["Ug"] += H[t - 1].T @ dg
        d["Uo"] += H[t - 1].T @ do
        d["bi"] += di.sum(0)
        d["bg"] += dg.sum(0)
        d["bo"] += do.sum(0)
        d["x"][t] = di @ p["Wi"].T + dg @ p["Wg"].T + do @ p["Wo"].T
        dh = di @ p["Ui"].T + dg @ p["Ug"].T + do @ p["Uo"].T
        dc = dc * (1 - I[t])
    d["h0"] = dh
    d["c0"] = dc
    return d


Network = tuple[int, dict[str, tuple[int, ...]], Callable[[Arrays], tg.Tensor], Callable[[Arrays], Arrays]]
NETWORKS: dict[str, Network] = {
    "peephole": (21, PEEPHOLE, peephole_loss, peephole_backward),
    "two layers": (22, LAYERS, layers_loss, layers_backward),
    "gated": (23, GATED, gated_loss, gated_backward),
    "multiplied": (24, MULTIPLIED, multiplied_loss, multiplied_backward),
    "looking": (25, LOOKING, looking_loss, looking_backward),
    "normalized": (26, NORMALIZED, normalized_loss, normalized_backward),
    "projected": (27, PROJECTED, projected_loss, projected_backward),
}


def loss_of(name: str) -> tg.Tensor:
    """The engine's loss."""
    seed, shapes, loss, _ = NETWORKS[name]
    arrays = random_arrays(seed, shapes)
    leaves = {k: tg.tensor(v, requires_grad=k != "target", name=k, dtype=tg.float64) for k, v in arrays.items()}
    return loss(leaves)


def right(name: str) -> Arrays:
    """The right gradients."""
    seed, shapes, _, backward = NETWORKS[name]
    return backward(random_arrays(seed, shapes))


# Changes of the text ---------------------------------------------------------------------------------------------

GATES = ["I", "F", "O", "G"]
ERRORS = ["di", "df", "dg", "do"]


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What one node of the tree may be changed into."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Mult, ast.Div)):
            yield f"only {ast.unparse(node.left)} of {ast.unparse(node)}", node.left
        if isinstance(node.op, (ast.Add, ast.Mult)):
            yield f"only {ast.unparse(node.right)} of {ast.unparse(node)}", node.right
        if isinstance(node.op, ast.Sub) and not isinstance(node.right, ast.Constant):
            yield f"+ for − in {ast.unparse(node)}", ast.BinOp(node.left, ast.Add(), node.right)
        if isinstance(node.op, ast.Pow):
            yield f"no square in {ast.unparse(node)}", node.left
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        yield f"left out: {ast.unparse(node)}", ast.Pass()
    if isinstance(node, ast.AugAssign):
        yield f"= for += in {ast.unparse(node)}", ast.Assign([node.target], node.value)
    if isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.ctx, ast.Load):
        yield f"no .T in {ast.unparse(node)}", node.value
    if isinstance(node, ast.Attribute) and node.attr == "sum":
        yield f"mean for sum in {ast.unparse(node)}", ast.Attribute(node.value, "mean", ast.Load())
    if isinstance(node, ast.Attribute) and node.attr == "mean":
        yield f"sum for mean in {ast.unparse(node)}", ast.Attribute(node.value, "sum", ast.Load())
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed":
        yield "the loop forwards", node.args[0]
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        index = ast.unparse(node.slice)
        for old, new in (("t - 1", "t"), ("t", "t - 1")):
            if index == old:
                moved = ast.Subscript(node.value, ast.parse(new, mode="eval").body, ast.Load())
                yield f"[{new}] in {ast.unparse(node)}", moved
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for group in (GATES, ERRORS):
            for other in group if node.id in group else ():
                if other != node.id:
                    yield f"{other} for {node.id}", ast.Name(other, ast.Load())


def mutants(name: str) -> Iterator[tuple[str, Callable[[], Arrays]]]:
    """Every changed backward pass: what was changed, and what computes its gradients."""
    backward = NETWORKS[name][3]
    tree = ast.parse(textwrap.dedent(inspect.getsource(backward)))
    for place, words in _places(tree):
        yield words, lambda place=place: _run(name, [place])


def pairs(name: str, count: int, seed: int = 0) -> Iterator[tuple[str, Callable[[], Arrays]]]:
    """Two changes in different lines, drawn at random."""
    rng = np.random.default_rng(seed)
    tree = ast.parse(textwrap.dedent(inspect.getsource(NETWORKS[name][3])))
    found = _places(tree)
    made = 0
    while made < count:
        (one, first), (two, second) = (found[int(k)] for k in rng.choice(len(found), 2, replace=False))
        if one[0] != two[0]:
            made += 1
            yield f"{first}; {second}", lambda a=one, b=two: _run(name, [a, b])


Place = tuple[int, int, int]  #: statement, node in it, which change


def _statements(tree: ast.AST) -> list[ast.stmt]:
    """The statements of the backward part, those in the loop one by one; a loop stands for its head."""
    body = tree.body[0].body  # type: ignore[attr-defined]
    start = next(k for k, s in enumerate(body) if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
    found: list[ast.stmt] = []
    for statement in body[start + 1 : -1]:
        found.append(statement)
        if isinstance(statement, ast.For):
            found += statement.body
    return found


def _nodes(statement: ast.stmt) -> list[ast.AST]:
    return list(ast.walk(statement.iter if isinstance(statement, ast.For) else statement))


def _places(tree: ast.AST) -> list[tuple[Place, str]]:
    return [
        ((s, n, c), f"{words} (line: {ast.unparse(statement).splitlines()[0]})")
        for s, statement in enumerate(_statements(tree))
        for n, node in enumerate(_nodes(statement))
        for c, (words, _) in enumerate(changes(node))
    ]


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)


def _run(name: str, places: list[Place]) -> Arrays:
    seed, shapes, _, backward = NETWORKS[name]
    tree = ast.parse(textwrap.dedent(inspect.getsource(backward)))
    for s, n, c in places:
        node = _nodes(_statements(tree)[s])[n]
        new = deepcopy(list(changes(node))[c][1])
        tree = _Put(node, new).visit(tree)
    names: dict[str, Any] = {"np": np, "sigmoid": sigmoid, "TARGETS": TARGETS}
    exec(compile(ast.fix_missing_locations(tree), name, "exec"), names)
    with np.errstate(all="ignore"):
        result: Arrays = names[backward.__name__](random_arrays(seed, shapes))
    return result


def cases(name: str, made: Iterator[tuple[str, Callable[[], Arrays]]]) -> Iterator[tuple[str, Arrays]]:
    """Those that run, give finite numbers of the right shapes, and change them."""
    true = right(name)
    for words, gradients in made:
        try:
            wrong = gradients()
        except (ValueError, KeyError, TypeError, IndexError, NameError):
            continue
        fits = all(np.shape(wrong[k]) == v.shape and np.all(np.isfinite(wrong[k])) for k, v in true.items())
        if fits and any(np.linalg.norm(wrong[k] - v) > 1e-9 * np.linalg.norm(v) for k, v in true.items()):
            yield words, wrong
