# ruff: noqa: E501 -- texts and what is said of them stay on one line
# fmt: off
"""Six more networks, each as a loss of the engine and as a backward pass written by hand, and mistakes in the latter.

min-char-rnn in columns; an LSTM of rows with masks; two GRU layers by one function that read their own output; attention
of two directions, all decoder's steps at once; a controller with a matrix memory; events in continuous time, as a class.
Of each mistake: the text, what was written, what it is, and what the diagnosis says of it.
"""
import inspect
import math

import numpy as np

import tinygrad_rnn as tg

STYLES = dict.fromkeys(["charrnn", "lstm_rows", "gru_free_running", "attention", "delta_memory", "point_process"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log(1 + np.exp(x))


# ------------------------------------------------------------------------------------------------ 1. characters, columns
# min-char-rnn: one-hot columns, softmax at every step, mean over time, weight decay on the matrices.

def charrnn_problem(rng):
    V, H = 4, 5
    p = {"Wxh": rng.normal(0, .6, (H, V)), "Whh": rng.normal(0, .5, (H, H)), "Why": rng.normal(0, .6, (V, H)),
         "bh": rng.normal(0, .3, (H, 1)), "by": rng.normal(0, .3, (V, 1)), "h0": rng.normal(0, .5, (H, 1))}
    text = [0, 1, 2, 2, 3, 1, 0]
    return p, {"inputs": text[:-1], "targets": text[1:], "decay": 0.02}


def charrnn_loss(p, d):
    V, h, loss = p["Why"].shape[0], p["h0"], 0.0
    for t in tg.steps(len(d["inputs"])):
        x = tg.tensor(np.eye(V)[:, [d["inputs"][t]]])
        h = tg.tanh(p["Wxh"] @ x + p["Whh"] @ h + p["bh"])
        y = p["Why"] @ h + p["by"]
        loss = loss - tg.log_softmax(y, 0)[d["targets"][t], 0]
    loss = loss / len(d["inputs"])
    for name in ("Wxh", "Whh", "Why"):
        loss = loss + 0.5 * d["decay"] * (p[name] * p[name]).sum()
    return loss


def charrnn(p, data):
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    inputs, targets, reg = data["inputs"], data["targets"], data["decay"]
    T = len(inputs)
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(p["h0"])
    for t in range(T):
        xs[t] = np.zeros((Why.shape[0], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
    # backward pass: compute gradients going backwards
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy /= T
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    dWxh += reg * Wxh
    dWhh += reg * Whh
    dWhy += reg * Why
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "h0": dhnext}


# ------------------------------------------------------------------------------------------ 2. LSTM, batch rows, masks
# Sequence classification: stacked gates; a step without a measurement is masked (the state stands still there); features: the
# mean over the steps measured, and the last state.

def lstm_rows_problem(rng):
    T, N, D, H, C = 5, 3, 2, 4, 7
    p = {"W": rng.normal(0, .6, (D + H, 4 * H)), "b": rng.normal(0, .4, 4 * H), "Wy": rng.normal(0, .7, (2 * H, C)), "by": rng.normal(0, .3, C)}
    mask = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 1, 0], [1, 0, 1.]])
    return p, {"x": rng.normal(0, 1, (T, N, D)), "mask": mask, "labels": rng.integers(0, C, N)}


def lstm_rows_loss(p, d):
    T, N, _ = d["x"].shape
    H = p["W"].shape[1] // 4
    h, c, mean = tg.zeros(N, H, dtype=tg.float64), tg.zeros(N, H, dtype=tg.float64), 0.0
    lengths = tg.tensor(d["mask"].sum(0)[:, None])
    for t in tg.steps(T):
        z = tg.cat([tg.tensor(d["x"][t]), h], 1) @ p["W"] + p["b"]
        i, f, o = (tg.sigmoid(z[:, k * H:(k + 1) * H]) for k in range(3))
        g, m = tg.tanh(z[:, 3 * H:]), tg.tensor(d["mask"][t][:, None])
        c_new = f * c + i * g
        h_new = o * tg.tanh(c_new)
        c, h = m * c_new + (1 - m) * c, m * h_new + (1 - m) * h
        mean = mean + m * h / lengths
    scores = tg.cat([mean, h], 1) @ p["Wy"] + p["by"]
    return tg.nn.functional.cross_entropy(scores, tg.tensor(d["labels"]))


def lstm_rows(p, data):
    W, b, Wy, by = p["W"], p["b"], p["Wy"], p["by"]
    x, mask, labels = data["x"], data["mask"], data["labels"]
    (T, N, D), H = x.shape, W.shape[1] // 4
    h, c, mean = np.zeros((N, H)), np.zeros((N, H)), np.zeros((N, H))
    lengths = mask.sum(axis=0)[:, None]
    cache = []
    for t in range(T):
        xh = np.hstack([x[t], h])
        a = xh @ W + b
        i, f, o, g = sigmoid(a[:, :H]), sigmoid(a[:, H:2*H]), sigmoid(a[:, 2*H:3*H]), np.tanh(a[:, 3*H:])
        c_new = f * c + i * g
        tanh_c = np.tanh(c_new)
        m = mask[t][:, None]
        cache.append((xh, c, i, f, o, g, c_new, tanh_c, m))
        c = m * c_new + (1 - m) * c
        h = m * o * tanh_c + (1 - m) * h
        mean += m * h / lengths
    feat = np.hstack([mean, h])
    scores = feat @ Wy + by
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    dscores = probs.copy()
    dscores[np.arange(N), labels] -= 1
    dscores /= N
    dWy = feat.T @ dscores
    dby = dscores.sum(axis=0)
    dfeat = dscores @ Wy.T
    dmean, dh = dfeat[:, :H], dfeat[:, H:].copy()
    dc = np.zeros((N, H))
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for t in range(T - 1, -1, -1):
        xh, c_prev, i, f, o, g, c_new, tanh_c, m = cache[t]
        dh += m * dmean / lengths
        dh_new = m * dh
        dc_new = m * dc + dh_new * o * (1 - tanh_c ** 2)
        do = dh_new * tanh_c
        di = dc_new * g
        df = dc_new * c_prev
        dg = dc_new * i
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
        dW += xh.T @ da
        db += da.sum(axis=0)
        dxh = da @ W.T
        dh = (1 - m) * dh + dxh[:, D:]
        dc = (1 - m) * dc + dc_new * f
    return {"W": dW, "b": db, "Wy": dWy, "by": dby}


# ------------------------------------------------------------- 3. two GRU layers, dropout, own output fed back, residual
# Forecast of a series: after `warm` steps the network reads its own forecast; it adds what it computes to what it read.

def gru_free_running_problem(rng):
    T, B, D, H = 7, 2, 3, 4
    p = {}
    for layer, size in ((1, D), (2, H)):
        p[f"W{layer}"] = rng.normal(0, .6, (size, 3 * H))
        p[f"U{layer}"] = rng.normal(0, .6, (H, 3 * H))
        p[f"b{layer}"] = rng.normal(0, .4, 3 * H)
    p["V"], p["c"] = rng.normal(0, .6, (H, D)), rng.normal(0, .3, D)
    series = np.cumsum(rng.normal(0, .5, (T + 1, B, D)), 0)
    keep = [(rng.random((T, B, H)) < .75) / .75 for _ in range(2)]
    return p, {"x": series[:-1], "y": series[1:], "mask1": keep[0], "mask2": keep[1], "warm": 3}


def gru_free_running_loss(p, d):
    T, B, _ = d["x"].shape
    H = p["V"].shape[0]

    def cell(x, h, W, U, b):
        a = x @ W[:, :2 * H] + h @ U[:, :2 * H] + b[:2 * H]
        z, r = tg.sigmoid(a[:, :H]), tg.sigmoid(a[:, H:])
        n = tg.tanh(x @ W[:, 2 * H:] + (r * h) @ U[:, 2 * H:] + b[2 * H:])
        return z * h + (1 - z) * n

    h1 = h2 = tg.zeros(B, H, dtype=tg.float64)
    y, loss = None, 0.0
    for t in tg.steps(T):
        x = tg.tensor(d["x"][t]) if t < d["warm"] else y
        h1 = cell(x, h1, p["W1"], p["U1"], p["b1"])
        h2 = cell(h1 * tg.tensor(d["mask1"][t]), h2, p["W2"], p["U2"], p["b2"])
        y = x + (h2 * tg.tensor(d["mask2"][t])) @ p["V"] + p["c"]
        loss = loss + ((y - tg.tensor(d["y"][t])) ** 2).sum()
    return loss / d["y"].size


def step_forward(x, h, W, U, b):
    H = h.shape[1]
    zr = sigmoid(x @ W[:, :2*H] + h @ U[:, :2*H] + b[:2*H])
    z, r = zr[:, :H], zr[:, H:]
    n = np.tanh(x @ W[:, 2*H:] + (r * h) @ U[:, 2*H:] + b[2*H:])
    return z * h + (1 - z) * n, (x, h, z, r, n)


def step_backward(dout, cache, W, U):
    x, h, z, r, n = cache
    H = h.shape[1]
    dz = dout * (h - n) * z * (1 - z)
    dn = dout * (1 - z) * (1 - n * n)
    drh = dn @ U[:, 2*H:].T
    dr = drh * h * r * (1 - r)
    dzr = np.concatenate([dz, dr], axis=1)
    dh = dout * z + drh * r + dzr @ U[:, :2*H].T
    dx = dzr @ W[:, :2*H].T + dn @ W[:, 2*H:].T
    dW = x.T @ np.concatenate([dzr, dn], axis=1)
    dU = np.concatenate([h.T @ dzr, (r * h).T @ dn], axis=1)
    db = np.concatenate([dzr, dn], axis=1).sum(0)
    return dx, dh, dW, dU, db


def gru_free_running(p, data):
    x, target, mask1, mask2, warm = data["x"], data["y"], data["mask1"], data["mask2"], data["warm"]
    T, B, D = x.shape
    H = p["V"].shape[0]
    h1, h2, y = np.zeros((B, H)), np.zeros((B, H)), None
    caches1, caches2, h2s, ys = [], [], [], []
    for t in range(T):
        inp = x[t] if t < warm else y
        h1, cache = step_forward(inp, h1, p["W1"], p["U1"], p["b1"])
        caches1.append(cache)
        h2, cache = step_forward(h1 * mask1[t], h2, p["W2"], p["U2"], p["b2"])
        caches2.append(cache)
        y = inp + (h2 * mask2[t]) @ p["V"] + p["c"]
        h2s.append(h2)
        ys.append(y)

    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh1_next, dh2_next, dy_next = np.zeros((B, H)), np.zeros((B, H)), np.zeros((B, D))
    for t in reversed(range(T)):
        dy = 2 * (ys[t] - target[t]) / target.size + dy_next
        grads["V"] += (h2s[t] * mask2[t]).T @ dy
        grads["c"] += dy.sum(axis=0)
        dh2 = (dy @ p["V"].T) * mask2[t] + dh2_next
        dx2, dh2_next, dW, dU, db = step_backward(dh2, caches2[t], p["W2"], p["U2"])
        grads["W2"] += dW
        grads["U2"] += dU
        grads["b2"] += db
        dh1 = dx2 * mask1[t] + dh1_next
        dx1, dh1_next, dW, dU, db = step_backward(dh1, caches1[t], p["W1"], p["U1"])
        grads["W1"] += dW
        grads["U1"] += dU
        grads["b1"] += db
        dy_next = dx1 + dy if t >= warm else np.zeros((B, D))
    return grads


# ------------------------------------------------- 4. bidirectional encoder, decoder with attention, tied embedding, einsum
# One embedding E for source, target and output; padded targets weigh 0; all decoder steps' outputs go back at once.

def attention_problem(rng):
    V, D, He, Hd = 9, 8, 3, 4
    p = {"E": (V, D), "Wf": (D, He), "Uf": (He, He), "bf": (He,), "Wb": (D, He), "Ub": (He, He), "bb": (He,), "Ws": (2 * He, Hd),
         "Wd": (D, Hd), "Ud": (Hd, Hd), "bd": (Hd,), "Wa": (Hd, 2 * He), "Wc": (2 * He + Hd, D), "by": (V,)}
    p = {k: rng.normal(0, .6, s) for k, s in p.items()}
    src = np.array([[1, 4], [2, 2], [5, 1], [1, 3], [7, 6], [3, 2], [8, 5]])
    tgt = np.array([[0, 0], [3, 6], [6, 3], [1, 1], [4, 7], [8, 2]])
    return p, {"src": src, "tgt_in": tgt[:-1], "tgt_out": tgt[1:], "weight": np.array([[1., 1], [1, 1], [1, 1], [1, 0], [1, 0]])}


def attention_loss(p, d):
    N, He = d["src"].shape[1], p["Uf"].shape[0]
    S, T, V = len(d["src"]), len(d["tgt_in"]), p["E"].shape[0]
    fwd, bwd, h = [None] * S, [None] * S, tg.zeros(N, He, dtype=tg.float64)
    for s in tg.steps(S):
        fwd[s] = h = tg.tanh(p["E"][d["src"][s]] @ p["Wf"] + h @ p["Uf"] + p["bf"])
    h = tg.zeros(N, He, dtype=tg.float64)
    for s in reversed(range(S)):
        bwd[s] = h = tg.tanh(p["E"][d["src"][s]] @ p["Wb"] + h @ p["Ub"] + p["bb"])
    enc = tg.stack([tg.cat([f, b], 1) for f, b in zip(fwd, bwd)])
    state, loss = tg.tanh(tg.cat([fwd[-1], bwd[0]], 1) @ p["Ws"]), 0.0
    for t in tg.steps(T):
        state = tg.tanh(p["E"][d["tgt_in"][t]] @ p["Wd"] + state @ p["Ud"] + p["bd"])
        alpha = tg.softmax((enc * (state @ p["Wa"])).sum(2) / math.sqrt(2 * He), 0)
        context = (alpha.unsqueeze(2) * enc).sum(0)
        out = tg.tanh(tg.cat([context, state], 1) @ p["Wc"])
        log_p = tg.log_softmax(out @ p["E"].T + p["by"], 1)
        loss = loss - (log_p * tg.tensor(np.eye(V)[d["tgt_out"][t]] * d["weight"][t][:, None])).sum()
    return loss / d["weight"].sum()


def attention(p, data):
    src, tgt_in, tgt_out, weight = data["src"], data["tgt_in"], data["tgt_out"], data["weight"]
    E, Wa, Wc = p["E"], p["Wa"], p["Wc"]
    S, T, N, He, Hd = len(src), len(tgt_in), src.shape[1], p["Uf"].shape[0], p["Ud"].shape[0]
    scale = 1 / np.sqrt(2 * He)
    hf, hb = np.zeros((S + 1, N, He)), np.zeros((S + 1, N, He))  # hf[s - 1] and hb[s + 1] are 0 past the ends
    for s in range(S):
        hf[s] = np.tanh(E[src[s]] @ p["Wf"] + hf[s - 1] @ p["Uf"] + p["bf"])
    for s in range(S - 1, -1, -1):
        hb[s] = np.tanh(E[src[s]] @ p["Wb"] + hb[s + 1] @ p["Ub"] + p["bb"])
    enc = np.concatenate([hf[:S], hb[:S]], axis=2)
    ends = np.concatenate([hf[S - 1], hb[0]], axis=1)
    st = np.zeros((T + 1, N, Hd))  # st[t + 1] is the state after step t
    st[0] = np.tanh(ends @ p["Ws"])
    for t in range(T):
        st[t + 1] = np.tanh(E[tgt_in[t]] @ p["Wd"] + st[t] @ p["Ud"] + p["bd"])
    score = np.einsum("tnh,he,sne->tsn", st[1:], Wa, enc) * scale
    alpha = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    ctx = np.einsum("tsn,sne->tne", alpha, enc)
    cat = np.concatenate([ctx, st[1:]], axis=2)
    out = np.tanh(cat @ Wc)
    logits = np.einsum("tnd,vd->tnv", out, E) + p["by"]
    prob = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)

    g = {k: np.zeros_like(v) for k, v in p.items()}
    dlogits = prob - np.eye(E.shape[0])[tgt_out]
    dlogits = dlogits * weight[:, :, None] / weight.sum()
    g["by"] = dlogits.sum(axis=(0, 1))
    g["E"] = np.einsum("tnv,tnd->vd", dlogits, out)
    dpre = np.einsum("tnv,vd->tnd", dlogits, E) * (1 - out ** 2)
    g["Wc"] = np.einsum("tnk,tnd->kd", cat, dpre)
    dcat = dpre @ Wc.T
    dctx, dst = dcat[:, :, :2 * He], dcat[:, :, 2 * He:]
    dalpha = np.einsum("tne,sne->tsn", dctx, enc)
    denc = np.einsum("tsn,tne->sne", alpha, dctx)
    dscore = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True)) * scale
    g["Wa"] = np.einsum("tsn,tnh,sne->he", dscore, st[1:], enc)
    denc += np.einsum("tsn,tnh,he->sne", dscore, st[1:], Wa)
    dst = dst + np.einsum("tsn,sne,he->tnh", dscore, enc, Wa)

    carry = np.zeros((N, Hd))
    for t in range(T - 1, -1, -1):
        da = (dst[t] + carry) * (1 - st[t + 1] ** 2)
        np.add.at(g["E"], tgt_in[t], da @ p["Wd"].T)
        g["Wd"] += E[tgt_in[t]].T @ da
        g["Ud"] += st[t].T @ da
        g["bd"] += da.sum(axis=0)
        carry = da @ p["Ud"].T
    da = carry * (1 - st[0] ** 2)
    g["Ws"] = ends.T @ da
    dends = da @ p["Ws"].T
    denc[S - 1, :, :He] += dends[:, :He]
    denc[0, :, He:] += dends[:, He:]

    carry = np.zeros((N, He))
    for s in range(S - 1, -1, -1):
        da = (denc[s, :, :He] + carry) * (1 - hf[s] ** 2)
        g["Wf"] += E[src[s]].T @ da
        g["Uf"] += hf[s - 1].T @ da
        g["bf"] += da.sum(axis=0)
        np.add.at(g["E"], src[s], da @ p["Wf"].T)
        carry = da @ p["Uf"].T
    carry = np.zeros((N, He))
    for s in range(S):
        da = (denc[s, :, He:] + carry) * (1 - hb[s] ** 2)
        g["Wb"] += E[src[s]].T @ da
        g["Ub"] += hb[s + 1].T @ da
        g["bb"] += da.sum(axis=0)
        np.add.at(g["E"], src[s], da @ p["Wb"].T)
        carry = da @ p["Ub"].T
    return g


# -------------------------------------------------------------------------------- 5. a controller with a matrix memory
# Own network: at every step a tanh controller reads what it read last, writes into a decaying matrix memory with the delta
# rule (the error of what the key recalls, along the unit key), and reads with a query. One sequence, plain vectors.

def delta_memory_problem(rng):
    T, D, H, K, M = 6, 2, 4, 3, 5
    p = {"Wx": (H, D), "Wh": (H, H), "Wr": (H, M), "bh": (H,), "Wq": (K, H), "Wk": (K, H), "Wv": (M, H), "wb": (H,), "bb": (), "forget": (M,), "M0": (M, K)}
    p = {k: np.asarray(rng.normal(0, .8, s)) for k, s in p.items()}
    return p, {"x": rng.normal(0, 1, (T, D)), "y": rng.normal(0, 1, (T, M))}


def delta_memory_loss(p, d):
    T, H = len(d["x"]), p["bh"].shape[0]
    h, M, read, loss = tg.zeros(H, dtype=tg.float64), p["M0"], tg.zeros(5, dtype=tg.float64), 0.0
    keep = tg.sigmoid(p["forget"]).unsqueeze(1)
    for t in tg.steps(T):
        h = tg.tanh(p["Wx"] @ tg.tensor(d["x"][t]) + p["Wh"] @ h + p["Wr"] @ read + p["bh"])
        q, k, v = p["Wq"] @ h, p["Wk"] @ h, p["Wv"] @ h
        k = k / tg.sqrt((k * k).sum())
        beta = tg.sigmoid((p["wb"] * h).sum() + p["bb"])
        M = keep * M
        M = M + beta * tg.outer(v - M @ k, k)
        read = M @ q
        loss = loss + 0.5 * ((read - tg.tensor(d["y"][t])) ** 2).sum()
    return loss / T


def delta_memory(p, data):
    xs, ys = data["x"], data["y"]
    T, H, M = len(xs), len(p["bh"]), p["M0"].shape[0]
    keep = sigmoid(p["forget"])
    hs, mems, reads = [np.zeros(H)], [p["M0"]], [np.zeros(M)]  # index t + 1: after step t
    qs, ks, norms, betas, errs, fades = [], [], [], [], [], []
    for t in range(T):
        h = np.tanh(p["Wx"] @ xs[t] + p["Wh"] @ hs[-1] + p["Wr"] @ reads[-1] + p["bh"])
        k_raw = p["Wk"] @ h
        norms.append(np.sqrt(k_raw @ k_raw))
        ks.append(k_raw / norms[-1])
        qs.append(p["Wq"] @ h)
        betas.append(sigmoid(p["wb"] @ h + p["bb"]))
        fades.append(keep[:, None] * mems[-1])
        errs.append(p["Wv"] @ h - fades[-1] @ ks[-1])
        mems.append(fades[-1] + betas[-1] * np.outer(errs[-1], ks[-1]))
        reads.append(mems[-1] @ qs[-1])
        hs.append(h)

    g = {name: np.zeros_like(value) for name, value in p.items()}
    dmem, dh_next, dread_next, dkeep = np.zeros_like(p["M0"]), np.zeros(H), np.zeros(M), np.zeros(M)
    for t in reversed(range(T)):
        h, h_prev, q, k, beta, err, fade = hs[t + 1], hs[t], qs[t], ks[t], betas[t], errs[t], fades[t]
        dread = (reads[t + 1] - ys[t]) / T + dread_next
        dq = mems[t + 1].T @ dread
        dmem = dmem + np.outer(dread, q)
        dbeta = err @ dmem @ k
        derr = beta * (dmem @ k)
        dk = beta * (dmem.T @ err) - fade.T @ derr
        dv = derr
        dfade = dmem - np.outer(derr, k)
        dkeep += (dfade * mems[t]).sum(axis=1)
        dmem = keep[:, None] * dfade
        dk_raw = (dk - k * (k @ dk)) / norms[t]
        da = dbeta * beta * (1 - beta)
        dh = p["Wq"].T @ dq + p["Wk"].T @ dk_raw + p["Wv"].T @ dv + p["wb"] * da + dh_next
        dz = dh * (1 - h ** 2)
        g["Wq"] += np.outer(dq, h)
        g["Wk"] += np.outer(dk_raw, h)
        g["Wv"] += np.outer(dv, h)
        g["wb"] += da * h
        g["bb"] += da
        g["Wx"] += np.outer(dz, xs[t])
        g["Wh"] += np.outer(dz, h_prev)
        g["Wr"] += np.outer(dz, reads[t])
        g["bh"] += dz
        dh_next = p["Wh"].T @ dz
        dread_next = p["Wr"].T @ dz
    g["forget"] = dkeep * keep * (1 - keep)
    g["M0"] = dmem
    return g


# ------------------------------------------------------------------------------------ 6. events in continuous time, a class
# Own network: between events the state decays, each unit at a rate that the state itself sets; the intensity of each kind of
# event is a scaled softplus. Negative log-likelihood, the integral by the trapezoidal rule, mean over the batch.

def point_process_problem(rng):
    T, N, H, K = 6, 2, 4, 3
    p = {"W": (H, H), "U": (K, H), "b": (H,), "R": (H, H), "c": (H,), "A": (H, K), "a": (K,), "log_s": (K,), "h0": (H,)}
    p = {k: rng.normal(0, .7, s) for k, s in p.items()}
    return p, {"dt": rng.uniform(.3, 1.5, (T, N)), "kind": np.array([[0, 2], [1, 1], [2, 0], [0, 0], [1, 2], [2, 1]])}


def point_process_loss(p, d):
    T, N = d["dt"].shape
    K, H = p["U"].shape
    h, loss, s = p["h0"].expand(N, H), 0.0, tg.exp(p["log_s"])
    for t in tg.steps(T):
        dt, hot = tg.tensor(d["dt"][t][:, None]), tg.tensor(np.eye(K)[d["kind"][t]])
        rate = tg.softplus(h @ p["R"] + p["c"])
        faded = h * tg.exp(-rate * dt)
        start, end = s * tg.softplus(h @ p["A"] + p["a"]), s * tg.softplus(faded @ p["A"] + p["a"])
        loss = loss + (dt * (start + end)).sum() / 2 - (tg.log(end) * hot).sum()
        h = tg.tanh(faded @ p["W"] + hot @ p["U"] + p["b"])
    return loss / N


class PointProcess:
    def __init__(self, p, data):
        self.p, self.dt, self.kind = p, data["dt"], data["kind"]
        self.T, self.N = self.dt.shape
        self.grads = {name: np.zeros_like(value) for name, value in p.items()}

    def forward(self):
        p, self.steps = self.p, []
        h = np.tile(p["h0"], (self.N, 1))
        self.s = np.exp(p["log_s"])
        for t in range(self.T):
            k = {"h": h, "dt": self.dt[t][:, None], "kind": self.kind[t]}
            k["pre_rate"] = h @ p["R"] + p["c"]
            k["fade"] = np.exp(-softplus(k["pre_rate"]) * k["dt"])
            k["d"] = h * k["fade"]
            k["u0"], k["u1"] = h @ p["A"] + p["a"], k["d"] @ p["A"] + p["a"]
            k["lam0"], k["lam1"] = self.s * softplus(k["u0"]), self.s * softplus(k["u1"])
            h = k["h_new"] = np.tanh(k["d"] @ p["W"] + p["U"][k["kind"]] + p["b"])
            self.steps.append(k)

    def backward(self):
        p, g, rows = self.p, self.grads, np.arange(self.N)
        dh = np.zeros((self.N, len(p["h0"])))
        for k in self.steps[::-1]:
            h, d, dt = k["h"], k["d"], k["dt"]
            # the cell
            dz = dh * (1 - k["h_new"] ** 2)
            g["W"] += d.T @ dz
            np.add.at(g["U"], k["kind"], dz)
            g["b"] += dz.sum(0)
            dd = dz @ p["W"].T
            # the likelihood
            dlam0 = np.ones_like(k["lam0"]) * dt / 2 / self.N
            dlam1 = np.ones_like(k["lam1"]) * dt / 2 / self.N
            dlam1[rows, k["kind"]] -= 1 / k["lam1"][rows, k["kind"]] / self.N
            g["log_s"] += (dlam0 * k["lam0"] + dlam1 * k["lam1"]).sum(0)
            du0 = dlam0 * self.s * sigmoid(k["u0"])
            du1 = dlam1 * self.s * sigmoid(k["u1"])
            g["A"] += h.T @ du0 + d.T @ du1
            g["a"] += (du0 + du1).sum(0)
            dd += du1 @ p["A"].T
            # the decay
            dfade = dd * h
            drate = -dfade * k["fade"] * dt
            dpre = drate * sigmoid(k["pre_rate"])
            g["R"] += h.T @ dpre
            g["c"] += dpre.sum(0)
            dh = dd * k["fade"] + du0 @ p["A"].T + dpre @ p["R"].T
        g["h0"] = dh.sum(0)


def point_process(p, data):
    model = PointProcess(p, data)
    model.forward()
    model.backward()
    return model.grads


# ------------------------------------------------------------------------------------------------------------ what is asked

PARTS = {"gru_free_running": [step_forward, step_backward, gru_free_running], "point_process": [PointProcess, point_process]}


def problem(network, seed=0):
    """(Parameters, data) of a network: dicts of arrays."""
    return globals()[network + "_problem"](np.random.default_rng([seed, list(STYLES).index(network)]))


def loss_of(network, seed=0):
    """The engine's loss, recorded anew at each call."""
    arrays, data = problem(network, seed)
    p = {name: tg.tensor(value, dtype=tg.float64, requires_grad=True, name=name) for name, value in arrays.items()}
    return globals()[network + "_loss"](p, data)


def source(network):
    """The text of the hand-written pass, with the functions that it calls."""
    return "\n\n".join(map(_text, PARTS.get(network, [globals()[network]])))


def _text(part):  # a class by its methods: getsource finds a class only where its module is registered
    if inspect.isclass(part):
        return f"class {part.__name__}:\n" + "\n".join(inspect.getsource(m) for m in vars(part).values() if inspect.isfunction(m))
    return inspect.getsource(part)


def gradients(network, old=None, new=None, seed=0):
    """Gradients by name from the hand-written pass; with ``old`` and ``new`` from its text after that replacement."""
    text, names = source(network), dict(globals())
    if old is not None:
        if text.count(old) != 1:
            raise ValueError(f"{network}: {old!r} occurs {text.count(old)} times")
        text = text.replace(old, new)
    exec(compile(text, f"<{network}>", "exec"), names)
    return names[network](*problem(network, seed))


#: (network, the text, what was written, what that is, what is said of it; "" where no single edit is found)
MISTAKES = [
    ('charrnn', "dy[targets[t]] -= 1", "dy[inputs[t]] -= 1", "the input's character subtracted for the target's",
     "At every step, what log_softmax(y) receives from loss uses the ones in x where the right ones belong"),
    ('charrnn', "        dy /= T\n", "", "the mean over time forgotten",
     "At every step, what y receives from log_softmax(y) is multiplied by 6, the number of time steps"),
    ('charrnn', "np.dot(dy, hs[t].T)", "np.dot(dy, hs[t - 1].T)", "output weights with the state before the step",
     "At every step, what Why receives from Why @ h uses h of the step before"),
    ('charrnn', "np.dot(Why.T, dy) + dhnext", "np.dot(Why.T, dy)", "nothing carried from later steps",
     "At every step but the first, what h receives from Whh @ h of the next step is missing"),
    ('charrnn', "(1 - hs[t] * hs[t]) * dh", "(1 - hs[t - 1] * hs[t - 1]) * dh", "tanh's derivative at the step before",
     "At every step, at h the derivative of tanh uses h of the step before"),
    ('charrnn', "(1 - hs[t] * hs[t]) * dh", "hs[t] * (1 - hs[t]) * dh", "sigmoid's derivative for tanh's",
     "At every step, at h the derivative of tanh is taken to be σ' (y(1 − y))"),
    ('charrnn', "dbh += dhraw", "dbh += dh", "bias takes the gradient before tanh's derivative",
     "At every step, in what bh receives from … + bh in h the derivative at h is forgotten"),
    ('charrnn', "dby += dy", "dby = dy", "output bias keeps only the first step (= for +=)",
     "At every step but the first, what by receives from y is missing"),
    ('charrnn', "np.dot(dhraw, hs[t - 1].T)", "np.dot(dhraw, hs[t].T)", "recurrent weights with the state after the step",
     "At every step, what Whh receives from Whh @ h uses h of the step after"),
    ('charrnn', "np.dot(Whh.T, dhraw)", "np.dot(Whh, dhraw)", "transposition forgotten in the carry",
     "At every step, what h receives from Whh @ h of the next step uses Whh transposed"),
    ('charrnn', "np.dot(Whh.T, dhraw)", "np.dot(Whh.T, dh)", "the carry skips tanh's derivative",
     "At every step, in what h receives from Whh @ h of the next step the derivative at h is forgotten"),
    ('charrnn', "for t in reversed(range(T)):", "for t in range(T):", "backward loop runs forwards",
     "The time steps are visited in forward order: h receives the carry of the step before instead of the step after"),
    ('charrnn', "for t in reversed(range(T)):", "for t in range(T - 1, 0, -1):", "the loop stops before step 0",
     "The first step is left out, as by a loop over one step too few: nothing leaves it, and what was carried to it is handed on as it is"),
    ('charrnn', "np.dot(Whh.T, dhraw)", "np.clip(np.dot(Whh.T, dhraw), -0.05, 0.05)", "clipping inside the loop",
     "At every step, what h receives from the step after it is clipped to ±0.05"),
    ('charrnn', "    dWhh += reg * Whh\n", "", "weight decay of Whh forgotten",
     "Once, what 0.01 ⊙ sum(Why ⊙ Why) receives from loss + … is missing"),
    ('charrnn', "        dWhh += np.dot(dhraw, hs[t - 1].T)\n", "        dWhh += np.dot(dhraw, hs[t - 1].T) + reg * Whh\n", "weight decay added at every step too",
     "Once, what Whh receives from Whh ⊙ Whh is multiplied by 13"),
    ('lstm_rows', "    dscores /= N\n", "", "mean over the batch forgotten",
     "Once, what sum(cross_entropy(scores)) receives from the loss is multiplied by 3, the size of the batch"),
    ('lstm_rows', "dh += m * dmean / lengths", "dh += m * dmean / T", "mean over all steps instead of each row's length",
     "At every step, what m ⊙ h receives from (m ⊙ h) / lengths is divided by 5, not by lengths"),
    ('lstm_rows', "dh += m * dmean / lengths", "dh += dmean / lengths", "the mean's gradient at masked steps too",
     "At every step, what h receives from m ⊙ h lacks the factor m"),
    ('lstm_rows', "dh_new = m * dh", "dh_new = dh", "masked steps: h takes the gradient all the same",
     "At every step, what h_new receives from h, by all ways, is that gradient as it is: the derivative is forgotten"),
    ('lstm_rows', "dc_new = m * dc + dh_new", "dc_new = dc + dh_new", "masked steps: c takes the gradient all the same",
     "At every step, what c_new receives from c, by all ways, is that gradient as it is: the derivative is forgotten"),
    ('lstm_rows', "dc_new = m * dc + dh_new * o", "dc_new = dh_new * o", "the cell state's carry left out",
     "At every step, what c receives from f ⊙ c of the next step is missing"),
    ('lstm_rows', "o * (1 - tanh_c ** 2)", "o * (1 - c_new ** 2)", "tanh's derivative taken at the argument",
     "At every step, at tanh(c_new) the derivative of tanh is taken to be 1 − x² of the value before it"),
    ('lstm_rows', "do = dh_new * tanh_c", "do = dh_new * c_new", "output gate with c for tanh(c)",
     "At every step, what o receives from h_new uses c_new where tanh(c_new) belongs"),
    ('lstm_rows', "df = dc_new * c_prev", "df = dc_new * c_new", "forget gate with the new cell state",
     "At every step, what f receives from f ⊙ c uses c_new where c belongs"),
    ('lstm_rows', "dg = dc_new * i", "dg = dc_new * g", "candidate with itself for the input gate",
     "At every step, what g receives from i ⊙ g is what i should receive"),
    ('lstm_rows', "df * f * (1 - f), do * o * (1 - o)", "do * o * (1 - o), df * f * (1 - f)", "gates stacked in another order than forwards",
     "At every step, the gradients before f and o are exchanged"),
    ('lstm_rows', "dg * (1 - g ** 2)", "dg * g * (1 - g)", "sigmoid's derivative for the candidate",
     "At every step, at g the derivative of tanh is taken to be σ' (y(1 − y))"),
    ('lstm_rows', "dxh[:, D:]", "dxh[:, :H]", "wrong slice: begins with the input's columns",
     "At every step, what h receives from [x, h] of the next step is cut out from place 0 on, not from 2"),
    ('lstm_rows', "dh = (1 - m) * dh + dxh", "dh = dxh", "masked steps do not hand h's gradient on",
     "At every step, what (1 − m) ⊙ h receives from h is missing"),
    ('lstm_rows', "dc = (1 - m) * dc + dc_new * f", "dc = (1 - m) * dc + dc_new * i", "carry through the wrong gate",
     "At every step, what c receives from f ⊙ c of the next step uses i where f belongs"),
    ('lstm_rows', "dmean, dh = dfeat[:, :H], dfeat[:, H:].copy()", "dh, dmean = dfeat[:, :H].copy(), dfeat[:, H:]", "the two halves of the features mixed up",
     "Once, mean and h receive each other's part of [mean, h]"),
    ('lstm_rows', "dh = (1 - m) * dh + dxh[:, D:]\n        dc = (1 - m) * dc", "dh = (1 - m) * dh + dxh[:, D:]\n        dc = (1 - m) * dc_new", "the new cell gradient in place of the carried one",
     "At every step, what (1 − m) ⊙ c receives from c is missing"),
    ('lstm_rows', "c_new, tanh_c, m = cache[t]", "c_new, tanh_c, _ = cache[t]", "stale variable: the last forward step's mask",
     "At every step, every rule of its own step that needs m uses m, number 2 of the last step"),
    ('lstm_rows', "dh_new * o * (1 - tanh_c ** 2)", "dh_new * (1 - tanh_c ** 2)", "output gate forgotten on the way to c",
     "At every step, what tanh(c_new) receives from h_new lacks the factor o"),
    ('gru_free_running', "dout * (h - n) * z * (1 - z)", "dout * (n - h) * z * (1 - z)", "sign: the other form of the GRU",
     "Everywhere alike: at every step, what a in cell1 receives from the part of a in z in cell1 is of the wrong sign"),
    ('gru_free_running', "dn = dout * (1 - z) * (1 - n * n)", "dn = dout * z * (1 - n * n)", "z for 1 - z at the candidate",
     "Everywhere alike: at every step, what n in cell1 receives from (1 − z) ⊙ n in cell1 has the factor 1 − (1 − z in cell1) instead of it"),
    ('gru_free_running', "dr = drh * h * r * (1 - r)", "dr = drh * r * (1 - r)", "reset gate: factor h forgotten",
     "Everywhere alike: at every step, what r in cell1 receives from r ⊙ h1 lacks the factor h1"),
    ('gru_free_running', "dh = dout * z + drh * r", "dh = drh * r", "the direct way past the candidate forgotten",
     "Everywhere alike: at every step, what h1 receives from z ⊙ h1 of the next step is missing"),
    ('gru_free_running', "dout * z + drh * r + dzr", "dout * z + drh + dzr", "reset gate forgotten on the way to h",
     "Everywhere alike: at every step, what h1 receives from r ⊙ h1 of the next step lacks the factor r in cell1"),
    ('gru_free_running', "drh * r + dzr @ U[:, :2*H].T", "drh * r + dz @ U[:, :H].T", "the reset gate's own way to h forgotten",
     "Everywhere alike: at every step, what h1 receives from h1 @ U1[:, :8] of the next step leaves out the part that came from the part of a in r in cell1: it was computed before that part was added"),
    ('gru_free_running', "(r * h).T @ dn", "h.T @ dn", "candidate's recurrent weights with h, not r * h",
     "Everywhere alike: at every step, what U1[:, 8:] receives from (r ⊙ h1) @ U1[:, 8:] uses h1 of the step before where r ⊙ h1 belongs"),
    ('gru_free_running', "np.concatenate([dzr, dn], axis=1).sum(0)", "np.concatenate([dzr, dn], axis=1).mean(0)", "bias: mean for sum over the batch",
     "Everywhere alike: the gradient of b1 is halved (2 is the size of the batch)"),
    ('gru_free_running', "2 * (ys[t] - target[t]) / target.size", "2 * (ys[t] - target[t]) / target[t].size", "mean over one step's elements only",
     'At every step, what y receives from y − d["y"][t] is multiplied by 7, the number of time steps'),
    ('gru_free_running', "grads[\"V\"] += (h2s[t] * mask2[t]).T @ dy", "grads[\"V\"] += h2s[t].T @ dy", "dropout forgotten at the output weights",
     'At every step, what V receives from … @ V in y uses h2 where h2 ⊙ d["mask2"][t] belongs'),
    ('gru_free_running', "(dy @ p[\"V\"].T) * mask2[t] + dh2_next", "(dy @ p[\"V\"].T) + dh2_next", "dropout forgotten on the way to layer 2",
     'At every step, what h2 receives from h2 ⊙ d["mask2"][t] lacks the factor d["mask2"][t]'),
    ('gru_free_running', "(dy @ p[\"V\"].T) * mask2[t] + dh2_next", "((dy @ p[\"V\"].T) + dh2_next) * mask2[t]", "dropout applied to the carried gradient too",
     'At every step, all that h2 receives from the step after it is multiplied with d["mask2"][t], of that step'),
    ('gru_free_running', "dx2 * mask1[t]", "dx2 * mask2[t]", "the other layer's mask",
     'At every step, what h1 receives from h1 ⊙ x uses d["mask2"][t] where x belongs'),
    ('gru_free_running', "dx2 * mask1[t] + dh1_next", "dx2 * mask1[t] + dh2_next", "the other layer's carry",
     ""),
    ('gru_free_running', "caches1[t], p[\"W1\"], p[\"U1\"]", "caches1[t], p[\"W1\"], p[\"U2\"]", "the other layer's recurrent weights",
     "Every rule that needs U1 uses U2"),
    ('gru_free_running', "dy_next = dx1 + dy if", "dy_next = dx1 if", "residual way forgotten in the feedback",
     'At every step, what y receives from y + (… @ V) of the next step is missing'),
    ('gru_free_running', "dx1 + dy if t >= warm else np.zeros((B, D))", "dx1 + dy", "gradient also through inputs that were given",
     ""),
    ('gru_free_running', "if t >= warm", "if t > warm", "off by one: first step that was fed back",
     ""),
    ('gru_free_running', "dx1, dh1_next, dW, dU, db =", "dx1, dh1_next, dW, _, db =", "stale variable: layer 2's gradient added for layer 1",
     "U1 was given the gradient of U2"),
    ('gru_free_running', "grads[\"b2\"] += db", "grads[\"b2\"] = db", "= for +=: only the first step's bias gradient",
     "Of all that b2 receives, only what the first step sends is left: it was overwritten"),
    ('attention', "dlogits * weight[:, :, None] / weight.sum()", "dlogits / weight.sum()", "padded targets not masked",
     "At every step, the mask of the loss is forgotten: rows of log_p count that it leaves out, with the targets 7, 2"),
    ('attention', "/ weight.sum()", "/ weight.size", "mean over all targets, padding included",
     "At every step, what (out @ Eᵀ) + by receives from log_p is multiplied by 8/10: divided by 10 instead of 8"),
    ('attention', "g[\"E\"] = np.einsum(\"tnv,tnd->vd\", dlogits, out)", "pass", "tied embedding: the output's part forgotten",
     "At every step, what E receives from Eᵀ is missing"),
    ('attention', "np.add.at(g[\"E\"], tgt_in[t], da @ p[\"Wd\"].T)", "g[\"E\"][tgt_in[t]] += da @ p[\"Wd\"].T", "equal words of a batch counted once (+= with repeated indices)",
     "At every step, what E receives from E_t counts a row that is looked up twice only once"),
    ('attention', "alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True)) * scale", "alpha * (1 - alpha) * dalpha * scale", "only the diagonal of softmax's Jacobian",
     "At every step, what … / 2.44949 in alpha receives from alpha is y * (g - g * y) instead of y * (g - sum(g * y))"),
    ('attention', "(alpha * dalpha).sum(axis=1,", "(alpha * dalpha).sum(axis=0,", "softmax summed over the decoder's steps",
     ""),
    ('attention', "keepdims=True)) * scale", "keepdims=True))", "score's scale forgotten",
     "At every step, what enc ⊙ (state @ Wa) receives from sum(enc ⊙ (state @ Wa)) comes from the gradient before alpha"),
    ('attention', "    denc += np.einsum(\"tsn,tnh,he->sne\", dscore, st[1:], Wa)\n", "", "keys: no gradient through the scores",
     "At every step, what enc receives from enc ⊙ (state @ Wa) is missing"),
    ('attention', "dst = dst + np.einsum(\"tsn,sne,he->tnh\", dscore, enc, Wa)", "pass", "queries: no gradient through the scores",
     "At every step, what state receives from state @ Wa is missing"),
    ('attention', "dcat[:, :, 2 * He:]", "dcat[:, :, :Hd]", "wrong slice of the concatenation",
     "At every step, what state receives from [context, state] is cut out from place 0 on, not from 6"),
    ('attention', "g[\"Ud\"] += st[t].T @ da", "g[\"Ud\"] += st[t + 1].T @ da", "decoder weights with the state after the step",
     "At every step, what Ud receives from state @ Ud uses state of the step after"),
    ('attention', "da = carry * (1 - st[0] ** 2)", "da = carry", "tanh's derivative forgotten at the bridge",
     "Once, at state the derivative of tanh is taken to be 1: it is forgotten"),
    ('attention', "denc[0, :, He:] += dends[:, He:]", "denc[S - 1, :, He:] += dends[:, He:]", "backward direction's end taken for the last word",
     "What h⁽²⁾ of step 7 receives from [h⁽¹⁾, h⁽²⁾] arrives at step 1 instead"),
    ('attention', "g[\"Ub\"] += hb[s + 1].T @ da", "g[\"Ub\"] += hb[s - 1].T @ da", "backward direction with the neighbour of the forward one",
     "At every step, what Ub receives from h⁽²⁾ @ Ub uses h⁽²⁾ of two steps after, 0 at the last where h⁽²⁾ belongs"),
    ('attention', "    carry = np.zeros((N, He))\n    for s in range(S):\n        da = (denc[s, :, He:]", "    for s in range(S):\n        da = (denc[s, :, He:]", "carry of the forward direction not reset for the other",
     "The gradient that is carried for h⁽²⁾ was not set to zero before the loop: it starts from what the loop over h⁽¹⁾ left there"),
    ('attention', "for s in range(S):\n        da = (denc[s, :, He:]", "for s in range(S - 1, -1, -1):\n        da = (denc[s, :, He:]", "backward direction walked in its forward order",
     "The time steps are visited in forward order: h⁽²⁾ receives the carry of the step before instead of the step after"),
    ('attention', "da = (denc[s, :, He:] + carry)", "da = (denc[s, :, :He] + carry)", "backward direction reads the forward half",
     "h⁽²⁾ receives what h⁽¹⁾ receives from outside of its recurrence, counted from the other end, instead of its own"),
    ('attention', "for t in range(T - 1, -1, -1):\n        da = (dst[t]", "for t in range(T - 1, 0, -1):\n        da = (dst[t]", "decoder's loop stops before step 0",
     "The first step is left out, as by a loop over one step too few: nothing leaves it, and what was carried to it is handed on as it is"),
    ('delta_memory', "(reads[t + 1] - ys[t]) / T + dread_next", "(reads[t + 1] - ys[t]) / T", "what the next step read is not counted",
     "At every step, what read receives from Wr @ read of the next step is missing"),
    ('delta_memory', "dq = mems[t + 1].T @ dread", "dq = mems[t].T @ dread", "query with the memory before the write",
     "At every step, what q receives from read uses M of the step before"),
    ('delta_memory', "dmem = dmem + np.outer(dread, q)", "dmem = np.outer(dread, q)", "memory's carry overwritten",
     "At every step but the first, what M receives from keep ⊙ M of the next step is missing"),
    ('delta_memory', "derr = beta * (dmem @ k)", "derr = dmem @ k", "write strength forgotten",
     "At every step, in what the reshape in M receives from … ⊙ k in M the derivative at beta ⊙ (… ⊙ k) in M is forgotten"),
    ('delta_memory', "(dmem.T @ err) - fade.T @ derr", "(dmem.T @ err)", "key: its use in recalling forgotten",
     "At every step, what k receives from (keep ⊙ M) @ k is missing"),
    ('delta_memory', "- fade.T @ derr", "+ fade.T @ derr", "sign of the recalled value",
     "At every step, what k receives from (keep ⊙ M) @ k comes from the gradient of v"),
    ('delta_memory', "- fade.T @ derr", "- mems[t].T @ derr", "memory before its decay used for recalling",
     "At every step, what k receives from (keep ⊙ M) @ k uses M of the step before where keep ⊙ M belongs"),
    ('delta_memory', "dfade = dmem - np.outer(derr, k)", "dfade = dmem", "memory: erasing forgotten",
     "At every step, what keep ⊙ M receives from (keep ⊙ M) @ k is missing"),
    ('delta_memory', "(dfade * mems[t]).sum(axis=1)", "(dfade * fade).sum(axis=1)", "decay's gradient with the decayed memory",
     "At every step, what keep receives from keep ⊙ M uses keep ⊙ M where M belongs"),
    ('delta_memory', "dkeep += (dfade * mems[t])", "dkeep = (dfade * mems[t])", "= for +=: only the first step's decay",
     "At every step but the first, what keep receives from keep ⊙ M is missing"),
    ('delta_memory', "dmem = keep[:, None] * dfade", "dmem = dfade", "decay forgotten in the carry",
     "At every step, what M receives from keep ⊙ M of the next step lacks the factor keep"),
    ('delta_memory', "(dk - k * (k @ dk)) / norms[t]", "dk / norms[t]", "norm treated as a constant",
     "At every step, what (Wk @ h) ⊙ (Wk @ h) receives from sum((Wk @ h) ⊙ (Wk @ h)) is missing"),
    ('delta_memory', "(dk - k * (k @ dk)) / norms[t]", "(dk - k * (k @ dk))", "division by the norm forgotten",
     "At every step, what Wk @ h receives from k, by all ways, is g - y * sum(g * y) instead of (g - y * sum(g * y)) / s"),
    ('delta_memory', "da = dbeta * beta * (1 - beta)", "da = dbeta * (1 - beta ** 2)", "tanh's derivative for sigmoid's",
     "At every step, at beta the derivative of sigmoid is taken to be tanh' (1 − y²)"),
    ('delta_memory', "p[\"Wv\"].T @ dv + p[\"wb\"] * da + dh_next", "p[\"Wv\"].T @ dv + dh_next", "no gradient through the write strength",
     "At every step, what h receives from wb ⊙ h is missing"),
    ('delta_memory', "g[\"Wr\"] += np.outer(dz, reads[t])", "g[\"Wr\"] += np.outer(dz, reads[t + 1])", "what is read at this step for what was read before",
     "At every step, what Wr receives from Wr @ read uses read of the step after"),
    ('delta_memory', "g[\"forget\"] = dkeep * keep * (1 - keep)", "g[\"forget\"] = dkeep", "decay: sigmoid's derivative forgotten",
     "Once, at sigmoid(forget) the derivative of sigmoid is taken to be 1: it is forgotten"),
    ('delta_memory', "h, h_prev, q, k, beta, err, fade = hs[t + 1], hs[t],", "_, h_prev, q, k, beta, err, fade = hs[t + 1], hs[t],", "stale variable: the last forward step's state",
     "At every step, every rule of its own step that needs h uses h of the last step"),
    ('delta_memory', "(reads[t + 1] - ys[t]) / T + dread_next", "(ys[t] - reads[t + 1]) / T + dread_next", "sign of the error",
     'At every step, what read receives from read − d["y"][t] is of the wrong sign'),
    ('delta_memory', "(dfade * mems[t]).sum(axis=1)", "(dfade * mems[t]).sum()", "summed over both axes (and broadcast)",
     "At every step, what keep receives from keep ⊙ M is summed over all axes, to one number for all elements"),
    ('point_process', "dz = dh * (1 - k[\"h_new\"] ** 2)", "dz = dh * (1 - k[\"h\"] ** 2)", "tanh's derivative at the state before",
     "At every step, at h the derivative of tanh uses h of the step before"),
    ('point_process', "(1 - k[\"h_new\"] ** 2)", "(1 - k[\"h_new\"] * 2)", "typing mistake: times 2 for squared",
     "At every step, at h the derivative of tanh is taken to be 1 − 2y"),
    ('point_process', "g[\"h0\"] = dh.sum(0)", "g[\"h0\"] = dh.mean(0)", "initial state: mean for sum over the batch",
     "Once, what h0 receives from h is halved (2 is the size of the batch)"),
    ('point_process', "g[\"W\"] += d.T @ dz", "g[\"W\"] += h.T @ dz", "recurrent weights with the state before its decay",
     "At every step, what W receives from faded @ W uses h, number 2 of the step before where faded belongs"),
    ('point_process', "np.add.at(g[\"U\"], k[\"kind\"], dz)", "g[\"U\"][k[\"kind\"]] += dz", "equal kinds of a batch counted once (+= with repeated indices)",
     "At every step, what U receives from hot @ U counts a row that is looked up twice only once"),
    ('point_process', "dd = dz @ p[\"W\"].T", "dd = dz @ p[\"W\"]", "transposition forgotten",
     "At every step, what faded receives from faded @ W uses W transposed"),
    ('point_process', "dlam0 = np.ones_like(k[\"lam0\"]) * dt / 2 / self.N", "dlam0 = np.ones_like(k[\"lam0\"]) / 2 / self.N", "interval's length forgotten in the integral",
     "At every step, what start receives from dt ⊙ (start + end), by all ways, is that gradient as it is: the derivative is forgotten"),
    ('point_process', "dlam1 = np.ones_like(k[\"lam1\"]) * dt / 2 / self.N", "dlam1 = np.ones_like(k[\"lam1\"]) * dt / self.N", "trapezoid's half forgotten at its end",
     "At every step, in what end receives from start + end the derivative at loss is forgotten"),
    ('point_process', "k[\"lam1\"][rows, k[\"kind\"]] / self.N", "k[\"lam1\"][rows, k[\"kind\"]]", "batch mean forgotten for the events' term",
     "At every step, what end receives from log(end) is counted twice (2 is the size of the batch)"),
    ('point_process', "(dlam0 * k[\"lam0\"] + dlam1 * k[\"lam1\"]).sum(0)", "(dlam0 * k[\"lam0\"] / self.s + dlam1 * k[\"lam1\"] / self.s).sum(0)", "log scale: exp's derivative forgotten",
     "Once, at s the derivative of exp is taken to be 1: it is forgotten"),
    ('point_process', "du1 = dlam1 * self.s * sigmoid(k[\"u1\"])", "du1 = dlam1 * sigmoid(k[\"u1\"])", "intensity's scale forgotten",
     "At every step, what softplus((faded @ A) + a) receives from end lacks the factor s"),
    ('point_process', "du0 = dlam0 * self.s * sigmoid(k[\"u0\"])", "du0 = dlam0 * self.s * sigmoid(k[\"u0\"]) * (1 - sigmoid(k[\"u0\"]))", "sigmoid's derivative for softplus's",
     "At every step, at softplus((h @ A) + a) the derivative of softplus is taken to be σ' where another belongs, of the value before it"),
    ('point_process', "h.T @ du0 + d.T @ du1", "d.T @ du0 + d.T @ du1", "decayed state for both ends of the interval",
     "At every step, what A receives from h @ A uses faded where h belongs"),
    ('point_process', "dfade = dd * h", "dfade = dd * d", "decay's gradient with the decayed state",
     "At every step, at exp(neg(rate) ⊙ dt) the derivative of exp is taken to be y²"),
    ('point_process', "drate = -dfade * k[\"fade\"] * dt", "drate = dfade * k[\"fade\"] * dt", "sign of the exponent",
     "At every step, what (h @ R) + c receives from rate comes from the gradient of neg(rate)"),
    ('point_process', "drate = -dfade * k[\"fade\"] * dt", "drate = -dfade * dt", "exp's own value forgotten in its derivative",
     "At every step, at exp(neg(rate) ⊙ dt) the derivative of exp is taken to be 1: it is forgotten"),
    ('point_process', "            dd += du1 @ p[\"A\"].T\n", "", "state just before the event: no gradient from the intensity",
     "At every step, what faded receives from faded @ A is missing"),
    ('point_process', "            dd += du1 @ p[\"A\"].T\n            # the decay\n            dfade = dd * h\n", "            dfade = dd * h\n            dd += du1 @ p[\"A\"].T\n", "used before it is complete: decay misses the intensity's part",
     "At every step, what neg(rate) ⊙ dt receives from exp(neg(rate) ⊙ dt) leaves out the part that came from faded @ A: it was computed before that part was added"),
    ('point_process', "dd * k[\"fade\"] + du0 @ p[\"A\"].T", "dd + du0 @ p[\"A\"].T", "decay forgotten in the carry",
     "At every step, what h receives from faded of the next step lacks the factor exp(neg(rate) ⊙ dt)"),
    ('point_process', "du0 @ p[\"A\"].T + dpre @ p[\"R\"].T", "du0 @ p[\"A\"].T", "state's influence on its own decay forgotten",
     "At every step, what h receives from h @ R of the next step is missing"),
]
