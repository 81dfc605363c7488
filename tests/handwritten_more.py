"""Six more backward passes as students write them in NumPy, and the lines that they got wrong.

An LSTM with peepholes and stacked gates; PyTorch's GRU cell; additive attention over an encoder's states; a cell with
layer normalization by hand; PyTorch's LSTM of two layers; an embedding of ragged sequences, averaged. Of each mistake:
the line, what was written, what it is, and what the diagnosis has to say of it.
"""

import inspect
from typing import Any

import numpy as np

import tinygrad_rnn as tg

F = tg.nn.functional
# fmt: off

def sigmoid(a):
    return 1 / (1 + np.exp(-a))
def arrays(seed: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=s)*0.7 for k, s in shapes.items()}


# An LSTM with peepholes, its gates stacked, of one sequence, read out at every step --------------------------------


PEEP = {"W": (12, 5), "b": (12,), "p": (9,), "Wy": (2, 3), "by": (2,)}
rng = np.random.default_rng(5)
PX, PY = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))


def peep_loss(p):
    h, c, loss = tg.zeros(3, dtype=tg.float64), tg.zeros(3, dtype=tg.float64), 0
    for t in range(5):
        z = tg.concat([tg.tensor(PX[t]), h])
        a = p["W"] @ z + p["b"]
        i = tg.sigmoid(a[0:3] + p["p"][0:3] * c)
        f = tg.sigmoid(a[3:6] + p["p"][3:6] * c)
        g = tg.tanh(a[6:9])
        c = f * c + i * g
        o = tg.sigmoid(a[9:12] + p["p"][6:9] * c)
        h = o * tg.tanh(c)
        y = p["Wy"] @ h + p["by"]
        loss = loss + 0.5 * ((y - PY[t]) ** 2).sum()
    return loss


def peep(p):
    T, n = 5, 3
    W, b, pp, Wy, by = p["W"], p["b"], p["p"], p["Wy"], p["by"]
    h, c, cache = np.zeros(n), np.zeros(n), []
    for t in range(T):
        z = np.concatenate([PX[t], h])
        a = W @ z + b
        i = sigmoid(a[:3] + pp[:3] * c)
        f = sigmoid(a[3:6] + pp[3:6] * c)
        g = np.tanh(a[6:9])
        c_prev = c
        c = f * c_prev + i * g
        o = sigmoid(a[9:] + pp[6:] * c)
        h = o * np.tanh(c)
        y = Wy @ h + by
        cache.append((z, i, f, g, o, c_prev, c, h, y))
    dW, db, dp, dWy, dby = (np.zeros_like(v) for v in (W, b, pp, Wy, by))
    dh_next, dc_next = np.zeros(n), np.zeros(n)
    for t in range(T)[::-1]:
        z, i, f, g, o, c_prev, c, h, y = cache[t]
        dy = y - PY[t]
        dWy += np.outer(dy, h)
        dby += dy
        dh = Wy.T @ dy + dh_next
        dao = dh * np.tanh(c) * o * (1 - o)
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next
        dc += dao * pp[6:]
        dai = dc * g * i * (1 - i)
        daf = dc * c_prev * f * (1 - f)
        dag = dc * i * (1 - g ** 2)
        da = np.concatenate([dai, daf, dag, dao])
        dW += np.outer(da, z)
        db += da
        dp += np.concatenate([dai * c_prev, daf * c_prev, dao * c])
        dh_next = (W.T @ da)[2:]
        dc_next = dc * f + dai * pp[:3] + daf * pp[3:6]
    return {"W": dW, "b": db, "p": dp, "Wy": dWy, "by": dby}


# PyTorch's GRU cell, a softmax of the last state -------------------------------------------------------------------


GRU = {"Wih": (12, 3), "Whh": (12, 4), "bih": (12,), "bhh": (12,), "V": (5, 4), "q": (5,)}
GX = rng.normal(size=(6, 3, 3))
GT = np.array([1, 4, 2])


def gru_loss(p):
    cell = tg.nn.GRUCell(3, 4, dtype=tg.float64)
    for name, of in (("weight_ih", "Wih"), ("weight_hh", "Whh"), ("bias_ih", "bih"), ("bias_hh", "bhh")):
        getattr(cell, name).data = p[of].numpy()
        getattr(cell, name).name = of
    h = tg.zeros(3, 4, dtype=tg.float64)
    for x in GX:
        h = cell(tg.tensor(x), h)
    return F.cross_entropy(h @ p["V"].T + p["q"], tg.tensor(GT))


def gru(p):
    T, B, H = 6, 3, 4
    h = np.zeros((B, H))
    cache = []
    for t in range(T):
        gi = GX[t] @ p["Wih"].T + p["bih"]
        gh = h @ p["Whh"].T + p["bhh"]
        r = sigmoid(gi[:, :H] + gh[:, :H])
        z = sigmoid(gi[:, H:2*H] + gh[:, H:2*H])
        hn = gh[:, 2*H:]
        n = np.tanh(gi[:, 2*H:] + r * hn)
        cache.append((h, r, z, n, hn))
        h = (1 - z) * n + z * h
    s = h @ p["V"].T + p["q"]
    P = np.exp(s - s.max(1, keepdims=True))
    P /= P.sum(1, keepdims=True)
    ds = P.copy()
    ds[np.arange(B), GT] -= 1
    ds /= B
    dV, dq = ds.T @ h, ds.sum(0)
    dh = ds @ p["V"]
    dWih, dWhh, dbih, dbhh = (np.zeros_like(p[k]) for k in ("Wih", "Whh", "bih", "bhh"))
    for t in range(T - 1, -1, -1):
        h, r, z, n, hn = cache[t]
        dn = dh * (1 - z)
        dz = dh * (h - n)
        dan = dn * (1 - n * n)
        dr = dan * hn
        dar = dr * r * (1 - r)
        daz = dz * z * (1 - z)
        dgi = np.concatenate([dar, daz, dan], 1)
        dgh = np.concatenate([dar, daz, dan * r], 1)
        dWih += dgi.T @ GX[t]
        dbih += dgi.sum(0)
        dWhh += dgh.T @ h
        dbhh += dgh.sum(0)
        dh = dgh @ p["Whh"] + dh * z
    return {"Wih": dWih, "Whh": dWhh, "bih": dbih, "bhh": dbhh, "V": dV, "q": dq}


# A decoder with additive attention over an encoder's states --------------------------------------------------------


ATT = {"Wx": (2, 3), "Wh": (3, 3), "b": (3,), "Wa": (3, 4), "Ua": (3, 4), "va": (4,), "Wo": (6, 2)}
AX, AY = rng.normal(size=(4, 2, 2)), rng.normal(size=(3, 2, 2))


def att_loss(p):
    h, states = tg.zeros(2, 3, dtype=tg.float64), []
    for t in range(4):
        h = tg.tanh(tg.tensor(AX[t]) @ p["Wx"] + h @ p["Wh"] + p["b"])
        states.append(h)
    enc = tg.stack(states, 1)
    s, loss = h, 0
    for t in range(3):
        e = tg.tanh((s @ p["Wa"]).unsqueeze(1) + enc @ p["Ua"]) @ p["va"]
        w = tg.softmax(e, 1)
        ctx = (w.unsqueeze(2) * enc).sum(1)
        out = tg.cat([s, ctx], 1) @ p["Wo"]
        loss = loss + F.mse_loss(out, tg.tensor(AY[t]))
        s = tg.tanh(ctx @ p["Wh"] + s)
    return loss


def att(p):
    Wx, Wh, b, Wa, Ua, va, Wo = (p[k] for k in ("Wx", "Wh", "b", "Wa", "Ua", "va", "Wo"))
    hs = {-1: np.zeros((2, 3))}
    for t in range(4):
        hs[t] = np.tanh(AX[t] @ Wx + hs[t-1] @ Wh + b)
    enc = np.stack([hs[t] for t in range(4)], 1)
    s, cache = hs[3], []
    for _ in range(3):
        k = np.tanh((s @ Wa)[:, None] + enc @ Ua)
        e = k @ va
        w = np.exp(e)
        w /= w.sum(1, keepdims=True)
        ctx = (w[:, :, None] * enc).sum(1)
        sc = np.concatenate([s, ctx], 1)
        out = sc @ Wo
        s_new = np.tanh(ctx @ Wh + s)
        cache.append((s, k, w, ctx, sc, out, s_new))
        s = s_new
    d = {k: np.zeros_like(v) for k, v in p.items()}
    denc, ds_next = np.zeros_like(enc), np.zeros((2, 3))
    for t in reversed(range(3)):
        s, k, w, ctx, sc, out, s_new = cache[t]
        dout = 2 * (out - AY[t]) / out.size
        d["Wo"] += sc.T @ dout
        dsc = dout @ Wo.T
        da = ds_next * (1 - s_new ** 2)
        d["Wh"] += ctx.T @ da
        dctx = dsc[:, 3:] + da @ Wh.T
        ds = dsc[:, :3] + da
        dw = (dctx[:, None, :] * enc).sum(2)
        denc += w[:, :, None] * dctx[:, None, :]
        de = w * (dw - (w * dw).sum(1, keepdims=True))
        d["va"] += (k * de[:, :, None]).sum((0, 1))
        dk = de[:, :, None] * va * (1 - k ** 2)
        d["Ua"] += np.einsum("nti,ntj->ij", enc, dk)
        denc += dk @ Ua.T
        dq = dk.sum(1)
        d["Wa"] += s.T @ dq
        ds_next = ds + dq @ Wa.T
    dh = ds_next
    for t in reversed(range(4)):
        dh = dh + denc[:, t]
        dz = dh * (1 - hs[t] ** 2)
        d["Wx"] += AX[t].T @ dz
        d["Wh"] += hs[t-1].T @ dz
        d["b"] += dz.sum(0)
        dh = dz @ Wh.T
    return d


# A cell whose sum is normalized, by hand; a logistic loss ----------------------------------------------------------


LN = {"Wx": (2, 4), "Wh": (4, 4), "g": (4,), "b": (4,), "V": (4,)}
LX = rng.normal(size=(5, 3, 2))
LY = (rng.random(3) > 0.5).astype(float)


def ln_loss(p):
    h = tg.zeros(3, 4, dtype=tg.float64)
    for t in range(5):
        a = tg.tensor(LX[t]) @ p["Wx"] + h @ p["Wh"]
        mu = a.mean(1, keepdim=True)
        var = ((a - mu) ** 2).mean(1, keepdim=True)
        h = tg.tanh(p["g"] * (a - mu) / (var + 1e-5).sqrt() + p["b"])
    z = (h * p["V"]).sum(1)
    return F.binary_cross_entropy_with_logits(z, tg.tensor(LY))


def ln(p):
    h, cache = np.zeros((3, 4)), []
    for t in range(5):
        a = LX[t] @ p["Wx"] + h @ p["Wh"]
        mu = a.mean(1, keepdims=True)
        s = np.sqrt(((a - mu) ** 2).mean(1, keepdims=True) + 1e-5)
        xh = (a - mu) / s
        h_prev, h = h, np.tanh(p["g"] * xh + p["b"])
        cache.append((h_prev, a, mu, s, xh, h))
    z = h @ p["V"]
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dz = (sigmoid(z) - LY) / 3
    d["V"] = h.T @ dz
    dh = np.outer(dz, p["V"])
    for t in reversed(range(5)):
        h_prev, a, mu, s, xh, h = cache[t]
        dy = dh * (1 - h * h)
        d["g"] += (dy * xh).sum(0)
        d["b"] += dy.sum(0)
        dxh = dy * p["g"]
        ds2 = (dxh * (a - mu)).sum(1, keepdims=True) * -0.5 / s ** 3
        dmu = -dxh.sum(1, keepdims=True) / s
        da = dxh / s + ds2 * 2 * (a - mu) / 4 + dmu / 4
        d["Wx"] += LX[t].T @ da
        d["Wh"] += h_prev.T @ da
        dh = da @ p["Wh"].T
    return d


# PyTorch's LSTM of two layers --------------------------------------------------------------------------------------


TWO = {
    f"{name}_l{k}": shape for k, inputs in ((0, 2), (1, 3))
    for name, shape in (("weight_ih", (12, inputs)), ("weight_hh", (12, 3)), ("bias_ih", (12,)), ("bias_hh", (12,)))
}
TX, TU = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, 3))


def two_loss(p):
    lstm = tg.nn.LSTM(2, 3, num_layers=2, dtype=tg.float64)
    for (n, q) in list(lstm.named_parameters()):
        q.data = p[n].numpy()
        q.name = n
    out, _ = lstm(tg.tensor(TX))
    return (out * tg.tensor(TU)).mean()


def two(p):
    T, H = 4, 3
    x, caches, outs = [TX[t] for t in range(T)], [], []
    for k in range(2):
        h, c, cache, ys = np.zeros((2, H)), np.zeros((2, H)), [], []
        for t in range(T):
            a = x[t] @ p[f"weight_ih_l{k}"].T + p[f"bias_ih_l{k}"] + h @ p[f"weight_hh_l{k}"].T + p[f"bias_hh_l{k}"]
            i, f, g, o = a[:, :H], a[:, H:2*H], a[:, 2*H:3*H], a[:, 3*H:]
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            c_prev, h_prev = c, h
            c = f * c + i * g
            tc = np.tanh(c)
            h = o * tc
            cache.append((x[t], h_prev, c_prev, i, f, g, o, c, tc))
            ys.append(h)
        caches.append(cache)
        outs.append(ys)
        x = ys
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dout = TU / TU.size
    for k in (1, 0):
        dh, dc = np.zeros((2, H)), np.zeros((2, H))
        dx = np.zeros((T, 2, 3 if k else 2))
        for t in reversed(range(T)):
            x, h_prev, c_prev, i, f, g, o, c, tc = caches[k][t]
            dh = dh + dout[t]
            dc = dc + dh * o * (1 - tc ** 2)
            di, df, dg, do = dc * g, dc * c_prev, dc * i, dh * tc
            da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g ** 2), do * o * (1 - o)], 1)
            d[f"weight_ih_l{k}"] += da.T @ x
            d[f"weight_hh_l{k}"] += da.T @ h_prev
            d[f"bias_ih_l{k}"] += da.sum(0)
            d[f"bias_hh_l{k}"] += da.sum(0)
            dx[t] = da @ p[f"weight_ih_l{k}"]
            dh = da @ p[f"weight_hh_l{k}"]
            dc = dc * f
        dout = dx
    return d


# An embedding of ragged sequences, averaged over their own lengths -------------------------------------------------


EMB = {"E": (6, 3), "Wx": (3, 3), "Wh": (3, 3), "b": (3,), "v": (3,), "c": ()}
ids = np.array([[1, 2, 2, 5], [3, 1, 0, 0], [4, 4, 2, 0]])
lens = np.array([4, 2, 3])
lab = np.array([1., 0, 1])


def emb_loss(p):
    h, total = tg.zeros(3, 3, dtype=tg.float64), tg.zeros(3, 3, dtype=tg.float64)
    e = p["E"][ids]
    for t in range(4):
        m = tg.tensor((t < lens).astype(float)[:, None])
        h_new = tg.tanh(e[:, t] @ p["Wx"] + h @ p["Wh"] + p["b"])
        h = m * h_new + (1 - m) * h
        total = total + m * h
    mean = total / tg.tensor(lens[:, None].astype(float))
    z = mean @ p["v"] + p["c"]
    return F.binary_cross_entropy_with_logits(z, tg.tensor(lab))


def emb(p):
    N, T, H = 3, 4, 3
    h, cache, total = np.zeros((N, H)), [], np.zeros((N, H))
    for t in range(T):
        m = (t < lens).astype(float)[:, None]
        e = p["E"][ids[:, t]]
        n = np.tanh(e @ p["Wx"] + h @ p["Wh"] + p["b"])
        h_prev, h = h, m * n + (1 - m) * h
        total += m * h
        cache.append((m, e, n, h_prev))
    mean = total / lens[:, None]
    z = mean @ p["v"] + p["c"]
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dz = (sigmoid(z) - lab) / N
    d["v"] = mean.T @ dz
    d["c"] = dz.sum()
    dmean = np.outer(dz, p["v"]) / lens[:, None]
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        m, e, n, h_prev = cache[t]
        dh = dh + m * dmean
        dn = dh * m * (1 - n ** 2)
        d["Wx"] += e.T @ dn
        d["Wh"] += h_prev.T @ dn
        d["b"] += dn.sum(0)
        np.add.at(d["E"], ids[:, t], dn @ p["Wx"].T)
        dh = dn @ p["Wh"].T + (1 - m) * dh
    return d


STYLES = {
    "peep": (1, PEEP, peep_loss, peep), "gru": (2, GRU, gru_loss, gru), "att": (3, ATT, att_loss, att),
    "ln": (4, LN, ln_loss, ln), "two": (5, TWO, two_loss, two), "emb": (6, EMB, emb_loss, emb),
}


def loss_of(style: str) -> tg.Tensor:
    """The engine's loss."""
    seed, shapes, loss, _ = STYLES[style]
    return loss({k: tg.tensor(v, requires_grad=True, name=k) for k, v in arrays(seed, shapes).items()})


def gradients(style: str, old: str = "", new: str = "") -> dict[str, Any]:
    """What the backward pass gives, a line of it written otherwise."""
    seed, shapes, _, backward = STYLES[style]
    source = inspect.getsource(backward)
    assert old in source
    names = dict(globals())
    exec(source.replace(old, new, 1), names)
    return names[backward.__name__](arrays(seed, shapes))


#: (style, the line, what was written, what that is, what is said of it; "" where no single edit is found)
MISTAKES = [
    (
        "peep", "dao * c])",
        "dao * c_prev])", "po used c before",
        "what p[6:9] receives from p[6:9] ⊙ c uses c of the step before",
    ),
    (
        "peep", "dc_next = dc * f + dai * pp[:3] + daf * pp[3:6]",
        "dc_next = dc * f", "peepholes of i and f forgotten in the carry",
        "what c receives from p[:3] ⊙ c and p[3:6] ⊙ c is missing",
    ),
    (
        "peep", "dc += dao * pp[6:]",
        "pass", "peephole of o forgotten",
        "what c receives from p[6:9] ⊙ c is missing",
    ),
    (
        "peep", "dc += dao * pp[6:]",
        "dc += dao * pp[6:] * o * (1 - o)", "sigma' twice for the o peephole",
        "what c receives from p[6:9] ⊙ c is multiplied with the derivative at o",
    ),
    (
        "peep", "dc += dao * pp[6:]",
        "dc += dh * np.tanh(c) * pp[6:]", "sigma' forgotten in the o peephole only",
        "in what c receives from p[6:9] ⊙ c the derivative at o is forgotten",
    ),
    (
        "peep", "dai * pp[:3] + daf * pp[3:6]",
        "dai * pp[3:6] + daf * pp[:3]", "pi and pf exchanged",
        "c receives from p[:3] ⊙ c and p[3:6] ⊙ c with each other's factor",
    ),
    (
        "peep", "(W.T @ da)[2:]",
        "(W.T @ da)[:3]", "wrong slice of dz",
        "what h receives from z of the next step is cut out from place 0 on, not from 2",
    ),
    (
        "peep", "dai * c_prev, daf * c_prev",
        "dai, daf", "pi, pf gradient forgot c",
        "",
    ),
    (
        "peep", "dh = Wy.T @ dy + dh_next",
        "dh = Wy.T @ dy\n        dc_next = dc_next + 0", "h carry dropped",
        "what h receives from z of the next step is missing",
    ),
    (
        "peep", "dag = dc * i * (1 - g ** 2)",
        "dag = dc * i * (1 - np.tanh(g) ** 2)", "tanh' of g once too often",
        "at g the derivative of tanh is taken to be tanh'(y), of the result instead of the value before it",
    ),
    (
        "peep", "dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next",
        "dc = dh * o * (1 - c ** 2) + dc_next", "tanh' with c itself",
        "at tanh(c) the derivative of tanh is taken to be 1 − x² of the value before it",
    ),
    (
        "peep", "dW += np.outer(da, z)",
        "dW += np.outer(da, np.concatenate([PX[t], h]))", "dW with this step's h",
        "what W receives from W @ z uses z with h of the step after in the place of h",
    ),
    (
        "gru", "dr = dan * hn",
        "dr = dan * h", "dr uses h, not hn",
        "what r receives from r ⊙ … in n uses h of the step before where the part of ah in n belongs",
    ),
    (
        "gru", "dgh = np.concatenate([dar, daz, dan * r], 1)",
        "dgh = dgi", "reset gate forgotten in all of dgh",
        "what the part of ah in n receives from r ⊙ … in n lacks the factor r",
    ),
    (
        "gru", "dbhh += dgh.sum(0)",
        "dbhh += dgi.sum(0)", "bhh is given bih's",
        "bhh was given the gradient of bih",
    ),
    (
        "gru", "dh = dgh @ p[\"Whh\"] + dh * z",
        "dh = dgi @ p[\"Whh\"] + dh * z", "r forgotten on the way to h",
        "in what h receives from linear(h, Whh) of the next step the derivative at r ⊙ … in n is forgotten",
    ),
    (
        "gru", "dWhh += dgh.T @ h",
        "dWhh += dgi.T @ h", "r forgotten in Whh",
        "in what Whh receives from linear(h, Whh) the derivative at r ⊙ … in n is forgotten",
    ),
    (
        "gru", "+ dh * z",
        "+ dh * (1 - z)", "direct path with 1 - z",
        "what h receives from z ⊙ h of the next step has the factor 1 − z instead of it",
    ),
    (
        "gru", "dz = dh * (h - n)",
        "dz = dh * h", "n forgotten in dz",
        "what z receives from 1 − z is missing",
    ),
    (
        "gru", "dz = dh * (h - n)",
        "dz = -dh * n", "h forgotten in dz",
        "what z receives from z ⊙ h is missing",
    ),
    (
        "gru", "ds /= B",
        "pass", "1/B forgotten",
        "Every gradient is multiplied by 3, the size of the batch",
    ),
    (
        "gru", "dan = dn * (1 - n * n)",
        "dan = dn * (1 - n * n) * r", "r where it does not belong",
        "what … + (r ⊙ …) in n receives from n is multiplied with r",
    ),
    (
        "gru", "[dar, daz, dan], 1)",
        "[daz, dar, dan], 1)", "r and z exchanged in dgi",
        "the gradients of the gates the add in r and the add in z are exchanged",
    ),
    (
        "gru", "dar = dr * r * (1 - r)",
        "dar = dr * z * (1 - z)", "sigma' of the other gate",
        "at r the derivative of sigmoid uses z",
    ),
    (
        "gru", "dh = dgh @ p[\"Whh\"] + dh * z",
        "dh = dgh @ p[\"Whh\"] + dh", "z forgotten in the direct path",
        "what h receives from z ⊙ h of the next step lacks the factor z",
    ),
    (
        "gru", "dh = dgh @ p[\"Whh\"] + dh * z",
        "dh = dgh @ p[\"Whh\"] + dn * z", "dn for dh in the direct path",
        "what h receives from z ⊙ h of the next step comes from the gradient of n",
    ),
    (
        "att", "de = w * (dw - (w * dw).sum(1, keepdims=True))",
        "de = dw * w * (1 - w)", "softmax' is only the diagonal",
        "what e receives from w is y * (g - g * y) instead of y * (g - sum(g * y))",
    ),
    (
        "att", "denc += w[:, :, None] * dctx[:, None, :]",
        "pass", "encoder states get nothing through the context",
        "what enc receives from (reshaped w) ⊙ enc is missing",
    ),
    (
        "att", "denc += dk @ Ua.T",
        "pass", "encoder states get nothing through the scores",
        "what enc receives from enc @ Ua is missing",
    ),
    (
        "att", "denc += dk @ Ua.T",
        "denc = dk @ Ua.T", "denc overwritten",
        "Of all that enc receives, only what arrives last is left: it was overwritten",
    ),
    (
        "att", "* va * (1 - k ** 2)",
        "* va", "tanh' of the energies forgotten",
        "at the tanh in e the derivative of tanh is taken to be 1: it is forgotten",
    ),
    (
        "att", "ds_next = ds + dq @ Wa.T",
        "ds_next = ds", "the query gets nothing",
        "what s receives from s @ Wa of the next step is missing",
    ),
    (
        "att", "dq = dk.sum(1)",
        "dq = dk.mean(1)", "mean over the source for a sum",
        "what s @ Wa receives from reshaped (s @ Wa) is divided by 4, the number of time steps",
    ),
    (
        "att", "dh = dh + denc[:, t]",
        "dh = denc[:, t]", "encoder carry dropped",
        "is missing: only that from enc is left",
    ),
    (
        "att", "dh = ds_next",
        "dh = np.zeros((2, 3))", "the decoder's start is not connected to the encoder",
        "what h receives from s @ Wa and [s, ctx] and (ctx @ Wh) + s is missing",
    ),
    (
        "att", "de = w * (dw - (w * dw).sum(1, keepdims=True))",
        "de = dw - (w * dw).sum(1, keepdims=True)", "w forgotten before the bracket",
        "what e receives from w is g - sum(g * y) instead of",
    ),
    (
        "att", "de = w * (dw - (w * dw).sum(1, keepdims=True))",
        "de = w * (dw - dw.sum(1, keepdims=True))", "w forgotten in the sum",
        "what e receives from w is y * (g - sum(g)) instead of",
    ),
    (
        "att", "de = w * (dw - (w * dw).sum(1, keepdims=True))",
        "de = w * (dw - (w * dw).sum(0, keepdims=True))", "the sum over the batch",
        "what e receives from w sums over axis 0",
    ),
    (
        "att", "de = w * (dw - (w * dw).sum(1, keepdims=True))",
        "de = 0 * dw", "the weights held constant",
        "what e receives from w is missing",
    ),
    (
        "att", "dctx = dsc[:, 3:] + da @ Wh.T",
        "dctx = dsc[:, 3:]", "ctx gets nothing from the next s",
        "what ctx receives from ctx @ Wh is missing",
    ),
    (
        "att", "d[\"Wh\"] += ctx.T @ da",
        "pass", "Wh's second use forgotten",
        "what Wh receives from ctx @ Wh is missing",
    ),
    (
        "att", "dh = dh + denc[:, t]",
        "dh = dh + denc[:, t] if t < 3 else dh", "the last encoder state gets nothing from attention",
        "what h receives from enc is missing",
    ),
    (
        "ln", "da = dxh / s + ds2 * 2 * (a - mu) / 4 + dmu / 4",
        "da = dxh / s", "mean and variance held constant",
        "what a receives from sum(a) and a − mu is missing: only that from a − mu is left",
    ),
    (
        "ln", "+ ds2 * 2 * (a - mu) / 4",
        "", "variance held constant",
        "what a receives from a − mu is missing",
    ),
    (
        "ln", "+ dmu / 4",
        "", "mean held constant",
        "what a receives from sum(a) is missing",
    ),
    (
        "ln", "+ dmu / 4",
        "+ dmu", "1/n of the mean forgotten",
        "what a receives from sum(a) comes from the gradient of mu",
    ),
    (
        "ln", "ds2 * 2 * (a - mu) / 4",
        "ds2 * 2 * (a - mu) / 3", "n - 1 for n",
        "what a receives from a − mu is multiplied by 4/3: divided by 3 instead of 4",
    ),
    (
        "ln", "-0.5 / s ** 3",
        "-0.5 / s", "power of s wrong",
        "what sum((a − mu)^2) receives from var is multiplied with var + 1e-05",
    ),
    (
        "ln", "dxh = dy * p[\"g\"]",
        "dxh = dy", "gain forgotten",
        "what a receives from (g ⊙ (a − mu)) / … in h, by all ways, lacks the factor g",
    ),
    (
        "ln", "d[\"g\"] += (dy * xh).sum(0)",
        "d[\"g\"] += (dy * a).sum(0)", "dg with a, not normalized",
        "what g receives from g ⊙ (a − mu) uses a where a − mu belongs and comes from the gradient of",
    ),
    (
        "ln", "ds2 * 2 * (a - mu) / 4",
        "ds2 * (a - mu) / 4", "the 2 of the square forgotten",
        "what a receives from a − mu is halved",
    ),
    (
        "ln", "d[\"g\"] += (dy * xh).sum(0)",
        "d[\"g\"] += (dh * xh).sum(0)", "tanh' forgotten in dg only",
        "in what g receives from g ⊙ (a − mu) the derivative at h is forgotten",
    ),
    (
        "ln", "dz = (sigmoid(z) - LY) / 3",
        "dz = (sigmoid(z) - LY) * sigmoid(z) * (1 - sigmoid(z)) / 3", "sigma' once too many in the loss",
        "what z receives of the loss is multiplied with σ'(z): the sigmoid's derivative is in it already",
    ),
    (
        "ln", "dz = (sigmoid(z) - LY) / 3",
        "dz = (z - LY) / 3", "sigma forgotten in the loss",
        "at softplus(z) the derivative of softplus is taken to be the function itself, of the value before it",
    ),
    (
        "ln", "dmu = -dxh.sum(1, keepdims=True) / s",
        "dmu = dxh.sum(1, keepdims=True) / s", "sign of dmu",
        "what a receives from sum(a) is of the wrong sign",
    ),
    (
        "ln", "dxh.sum(1, keepdims=True) / s",
        "dxh.sum(0, keepdims=True) / s", "sum over the batch in dmu",
        "",
    ),
    (
        "ln", "dmu / 4",
        "dmu / 3", "divided by the batch instead of the width",
        "what a receives from sum(a) is multiplied by 4/3: divided by 3 instead of 4",
    ),
    (
        "two", "dout = dx",
        "dout = dout + dx if k else dx", "output gradient also given to the lower layer",
        "h⁽¹⁾ also receives what h⁽²⁾ receives from outside of its recurrence",
    ),
    (
        "two", "dx[t] = da @ p[f\"weight_ih_l{k}\"]",
        "dx[t] = da @ p[f\"weight_hh_l{k}\"] if k else 0", "W_hh for W_ih of the upper layer",
        "what h⁽¹⁾ receives from linear(h⁽¹⁾, weight_ih_l1) uses weight_hh_l1 where weight_ih_l1 belongs",
    ),
    (
        "two", "dout = dx",
        "dout = np.roll(dx, 1, 0)", "lower layer one step late, rolled",
        "What h⁽¹⁾ receives from linear(h⁽¹⁾, weight_ih_l1) arrives one step late, the last at the first (np.roll)",
    ),
    (
        "two", "dout = dx",
        "dout = np.concatenate([dx[1:], 0 * dx[:1]])", "lower layer one step early",
        "What h⁽¹⁾ receives from linear(h⁽¹⁾, weight_ih_l1) arrives one step early",
    ),
    (
        "two", "dh, dc = np.zeros((2, H)), np.zeros((2, H))",
        "if k: dh, dc = np.zeros((2, H)), np.zeros((2, H))", "carries of the upper layer left to the lower",
        "The gradient that is carried for c⁽¹⁾ and h⁽¹⁾ was not set to zero before the loop: it starts from what",
    ),
    (
        "two", "dh, dc = np.zeros((2, H)), np.zeros((2, H))",
        "dh = np.zeros((2, H))\n        if k: dc = np.zeros((2, H))", "dc of the upper layer left to the lower",
        "The gradient that is carried for c⁽¹⁾ was not set to zero before the loop: it starts from what the loop",
    ),
    (
        "two", "dout = TU / TU.size",
        "dout = TU / T", "mean over T only",
        "Every gradient is multiplied by 12/2: divided by 2 instead of 12",
    ),
    (
        "two", "dh = da @ p[f\"weight_hh_l{k}\"]",
        "dh = da @ p[\"weight_hh_l1\"]", "lower layer goes back with the upper's W_hh",
        "receives from linear(h⁽¹⁾, weight_hh_l0) of the next step uses weight_hh_l1 where weight_hh_l0 belongs",
    ),
    (
        "two", "dout = dx",
        "dout = dx[::-1]", "lower layer gets the steps reversed",
        "What h⁽¹⁾ receives from linear(h⁽¹⁾, weight_ih_l1) arrives in reverse order",
    ),
    (
        "two", "reversed(range(T)):\n            x,",
        "(reversed(range(T)) if k else range(T)):\n            x,", "lower layer visited forwards",
        "The time steps are visited in forward order: c⁽¹⁾ and h⁽¹⁾ receive the carry of the step before instead of",
    ),
    (
        "two", "dc = dc * f",
        "dc = dc * f if k else dc * 0", "c carry dropped in the lower layer",
        "what c⁽¹⁾ receives from f⁽¹⁾ ⊙ c⁽¹⁾ of the next step is missing",
    ),
    (
        "two", "dc = dc * f",
        "dc = dc * f if k else dc * i", "i for f in the lower layer's carry",
        "what c⁽¹⁾ receives from f⁽¹⁾ ⊙ c⁽¹⁾ of the next step uses i⁽¹⁾ where f⁽¹⁾ belongs",
    ),
    (
        "two", "d[f\"weight_hh_l{k}\"] += da.T @ h_prev",
        "d[f\"weight_hh_l{k}\"] += da.T @ (h_prev if t else caches[k][T-1][1])", "hs[-1] at the first step",
        "",
    ),
    (
        "emb", "np.add.at(d[\"E\"], ids[:, t], dn @ p[\"Wx\"].T)",
        "d[\"E\"][ids[:, t]] += dn @ p[\"Wx\"].T", "repeats of one step count once",
        "what E receives from e counts a row that is looked up twice only once in each step of axis 1",
    ),
    (
        "emb", "np.add.at(d[\"E\"], ids[:, t], dn @ p[\"Wx\"].T)",
        "d[\"E\"][ids[:, t]] = dn @ p[\"Wx\"].T", "rows overwritten",
        "what E receives from e is overwritten by the first row looked up along axis 1",
    ),
    (
        "emb", "return d",
        "d[\"E\"][2] = 0\n    return d", "a row set to zero (wrong padding index)",
        "Row 2 of the gradient of E is 0, as a padding's is",
    ),
    (
        "emb", "/ lens[:, None]\n    dh",
        "/ T\n    dh", "divided by T, not by the lengths",
        "what total receives from mean is divided by 4, not by the array of shape (3, 1) in mean",
    ),
    (
        "emb", "dh = dh + m * dmean",
        "dh = dh + dmean", "mask forgotten in the mean",
        "what h receives from m ⊙ h lacks the factor m",
    ),
    (
        "emb", "dh = dn @ p[\"Wh\"].T + (1 - m) * dh",
        "dh = dn @ p[\"Wh\"].T + dh", "1 - m forgotten",
        "what h receives from (1 − m) ⊙ h of the next step lacks the factor 1 − m",
    ),
    (
        "emb", "dz = (sigmoid(z) - lab) / N",
        "dz = (sigmoid(z) - lab) / (sigmoid(z) * (1 - sigmoid(z))) / N", "dL/dp taken for dL/dz",
        "what z receives of the loss is divided by σ'(z): the sigmoid's derivative is missing",
    ),
    (
        "emb", "dz = (sigmoid(z) - lab) / N",
        "dz = (sigmoid(z) - lab)", "1/N forgotten",
        "what z receives from softplus(z) is multiplied by 3, the size of the batch",
    ),
    (
        "emb", "dz = (sigmoid(z) - lab) / N",
        "dz = (sigmoid(z) - lab) / T", "1/T for 1/N",
        "what z receives from softplus(z) is multiplied by 3/4: divided by 4 instead of 3",
    ),
    (
        "emb", "d[\"Wh\"] += h_prev.T @ dn",
        "d[\"Wh\"] += n.T @ dn", "dWh with n",
        "what Wh receives from h @ Wh uses h of the step after",
    ),
    (
        "emb", "d[\"c\"] = dz.sum()",
        "d[\"c\"] = dz.mean()", "bias averaged",
        "what c receives from z is divided by 3, the size of the batch",
    ),
]
