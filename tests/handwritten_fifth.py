# ruff: noqa: E501 -- texts and what is said of them stay on one line
# fmt: off
"""Six networks by one who had not seen the search, and mistakes in their backward passes: run once, when all was written.

An LSTM with a mask and stacked gates; two layers of characters in columns; a GRU of both directions; encoder and decoder
with attention over padded words; layers with a norm, a learned leak and a residual path; a linear recurrence with a causal
filter. Of each mistake: the text, what was written, what it is, and what the diagnosis said of it (nothing where it was
not found).
"""

import inspect

import numpy as np

import tinygrad_rnn as tg

# ------------------------------------------------------------------------------------------------ 1. lstm
# Stacked gates, row vectors, a tuple of caches per step, a mask (a row that begins late, a missing step) that carries the state, CE over valid steps.


def lstm_data():
    r = np.random.default_rng(11)
    n, t, d, h, c = 3, 5, 2, 4, 3
    mask = np.ones((n, t))
    mask[1, :2] = 0
    mask[2, 2] = 0
    p = {
        "Wx": r.normal(size=(d, 4 * h)) * 0.7,
        "Wh": r.normal(size=(h, 4 * h)) * 0.5,
        "b": r.normal(size=4 * h) * 0.3,
        "h0": r.normal(size=(1, h)) * 0.5,
        "Wy": r.normal(size=(h, c)),
        "by": r.normal(size=c) * 0.2,
    }
    return p, {"x": r.normal(size=(n, t, d)), "y": r.integers(0, c, size=(n, t)), "mask": mask}


def lstm_loss(p, d):
    n, steps, _ = d["x"].shape
    size = p["Wh"].shape[0]
    h = p["h0"] + np.zeros((n, size))
    c = tg.zeros(n, size, dtype=np.float64)
    total = 0.0
    for t in tg.steps(steps):
        m = d["mask"][:, t : t + 1]
        a = tg.tensor(d["x"][:, t]) @ p["Wx"] + h @ p["Wh"] + p["b"]
        i, f, o = (tg.sigmoid(a[:, k * size : (k + 1) * size]) for k in range(3))
        g = tg.tanh(a[:, 3 * size :])
        c_new = f * c + i * g
        h_new = o * tg.tanh(c_new)
        c = m * c_new + (1 - m) * c
        h = m * h_new + (1 - m) * h
        logp = tg.log_softmax(h @ p["Wy"] + p["by"], 1)
        total = total - (logp * (np.eye(p["by"].shape[0])[d["y"][:, t]] * m)).sum()
    return total / d["mask"].sum()


def lstm_backward(p, d):
    Wx, Wh, b, h0, Wy, by = p["Wx"], p["Wh"], p["b"], p["h0"], p["Wy"], p["by"]
    x, y, mask = d["x"], d["y"], d["mask"]
    N, T, _D = x.shape
    H = Wh.shape[0]

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def step_forward(xt, h_prev, c_prev, m):
        a = xt @ Wx + h_prev @ Wh + b
        i = sigmoid(a[:, :H])
        f = sigmoid(a[:, H : 2 * H])
        o = sigmoid(a[:, 2 * H : 3 * H])
        g = np.tanh(a[:, 3 * H :])
        c_new = f * c_prev + i * g
        tc = np.tanh(c_new)
        h_new = o * tc
        h = m * h_new + (1 - m) * h_prev
        c = m * c_new + (1 - m) * c_prev
        cache = (xt, h_prev, c_prev, i, f, o, g, tc, m)
        return h, c, cache

    def step_backward(dh, dc, cache):
        xt, h_prev, c_prev, i, f, o, g, tc, m = cache
        dh_new = m * dh
        dh_prev = (1 - m) * dh
        dc_new = m * dc + dh_new * o * (1 - tc**2)
        dc_prev = (1 - m) * dc + dc_new * f
        do = dh_new * tc
        df = dc_new * c_prev
        di = dc_new * g
        dg = dc_new * i
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
        dWx = xt.T @ da
        dWh = h_prev.T @ da
        db = da.sum(axis=0)
        dh_prev = dh_prev + da @ Wh.T
        return dh_prev, dc_prev, dWx, dWh, db

    h = np.repeat(h0, N, axis=0)
    c = np.zeros((N, H))
    hs, caches, probs = [], [], []
    for t in range(T):
        h, c, cache = step_forward(x[:, t], h, c, mask[:, t : t + 1])
        scores = h @ Wy + by
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        probs.append(e / e.sum(axis=1, keepdims=True))
        hs.append(h)
        caches.append(cache)

    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros((N, H))
    dc_next = np.zeros((N, H))
    for t in reversed(range(T)):
        dscores = probs[t].copy()
        dscores[np.arange(N), y[:, t]] -= 1
        dscores *= mask[:, t : t + 1]
        dscores /= mask.sum()
        grads["Wy"] += hs[t].T @ dscores
        grads["by"] += dscores.sum(axis=0)
        dh = dscores @ Wy.T + dh_next
        dh_next, dc_next, dWx, dWh, db = step_backward(dh, dc_next, caches[t])
        grads["Wx"] += dWx
        grads["Wh"] += dWh
        grads["b"] += db
    grads["h0"] = dh_next.sum(axis=0, keepdims=True)
    return grads


# ------------------------------------------------------------------------------------------------ 2. char
# One sequence of letters, column vectors, dictionaries by time, an embedding, two layers, mean cross-entropy, L2.


def char_data():
    r = np.random.default_rng(12)
    h, v = 4, 5
    p = {
        "E": r.normal(size=(h, v)),
        "Wxh": r.normal(size=(h, h)) * 0.5,
        "Whh": r.normal(size=(h, h)) * 0.5,
        "bh": r.normal(size=(h, 1)) * 0.3,
        "Wup": r.normal(size=(h, h)) * 0.6,
        "Whh2": r.normal(size=(h, h)) * 0.5,
        "bh2": r.normal(size=(h, 1)) * 0.3,
        "Why": r.normal(size=(v, h)),
        "by": r.normal(size=(v, 1)) * 0.3,
    }
    return p, {"inputs": [0, 1, 2, 2, 3, 1], "targets": [1, 2, 2, 3, 4, 0], "h0": r.normal(size=(h, 1)), "reg": 0.1}


def char_loss(p, d):
    h, h2 = tg.tensor(d["h0"]), tg.zeros(*d["h0"].shape, dtype=np.float64)
    total, count = 0.0, len(d["inputs"])
    for t in tg.steps(count):
        e = p["E"][:, d["inputs"][t]].reshape(-1, 1)
        h = tg.tanh(p["Wxh"] @ e + p["Whh"] @ h + p["bh"])
        h2 = tg.tanh(p["Wup"] @ h + p["Whh2"] @ h2 + p["bh2"])
        logp = tg.log_softmax(p["Why"] @ h2 + p["by"], 0)
        total = total - logp[d["targets"][t], 0]
    return total / count + 0.5 * d["reg"] * ((p["Whh"] ** 2).sum() + (p["Whh2"] ** 2).sum())


def char_backward(p, d):
    E, Wxh, Whh, bh = p["E"], p["Wxh"], p["Whh"], p["bh"]
    Wup, Whh2, bh2, Why, by = p["Wup"], p["Whh2"], p["bh2"], p["Why"], p["by"]
    inputs, targets, reg = d["inputs"], d["targets"], d["reg"]
    es, hs, h2s, ps = {}, {}, {}, {}
    hs[-1] = d["h0"]
    h2s[-1] = np.zeros_like(d["h0"])
    for t in range(len(inputs)):
        es[t] = E[:, [inputs[t]]]
        hs[t] = np.tanh(Wxh @ es[t] + Whh @ hs[t - 1] + bh)
        h2s[t] = np.tanh(Wup @ hs[t] + Whh2 @ h2s[t - 1] + bh2)
        y = Why @ h2s[t] + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))

    dE, dWxh, dWhh, dbh = np.zeros_like(E), np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(bh)
    dWup, dWhh2, dbh2 = np.zeros_like(Wup), np.zeros_like(Whh2), np.zeros_like(bh2)
    dWhy, dby = np.zeros_like(Why), np.zeros_like(by)
    dhnext, dh2next = np.zeros_like(hs[0]), np.zeros_like(h2s[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy /= len(inputs)
        dWhy += np.dot(dy, h2s[t].T)
        dby += dy
        dh2 = np.dot(Why.T, dy) + dh2next
        dz2 = (1 - h2s[t] * h2s[t]) * dh2
        dbh2 += dz2
        dWup += np.dot(dz2, hs[t].T)
        dWhh2 += np.dot(dz2, h2s[t - 1].T)
        dh2next = np.dot(Whh2.T, dz2)
        dh = np.dot(Wup.T, dz2) + dhnext
        dz = (1 - hs[t] * hs[t]) * dh
        dbh += dz
        dWxh += np.dot(dz, es[t].T)
        dWhh += np.dot(dz, hs[t - 1].T)
        dE[:, inputs[t]] += np.dot(Wxh.T, dz)[:, 0]
        dhnext = np.dot(Whh.T, dz)
    dWhh += reg * Whh
    dWhh2 += reg * Whh2
    return {"E": dE, "Wxh": dWxh, "Whh": dWhh, "bh": dbh, "Wup": dWup, "Whh2": dWhh2, "bh2": dbh2, "Why": dWhy, "by": dby}


# ------------------------------------------------------------------------------------------------ 3. bigru
# Both directions, GRU with the reset gate behind the product, weights with gates in rows, einsum once over all time
# steps at the end, mean over time, mean squared error.


def bigru_data():
    r = np.random.default_rng(13)
    n, t, d, h, o = 4, 4, 3, 3, 2
    p = {}
    for way in "fb":
        p["W" + way] = r.normal(size=(3 * h, d)) * 0.6
        p["U" + way] = r.normal(size=(3 * h, h)) * 0.6
        p["bi" + way] = r.normal(size=3 * h) * 0.3
        p["bh" + way] = r.normal(size=3 * h) * 0.3
    p["V"] = r.normal(size=(o, 2 * h))
    p["c"] = r.normal(size=o) * 0.3
    return p, {"x": r.normal(size=(t, n, d)), "y": r.normal(size=(n, o))}


def bigru_loss(p, d):
    steps, n, _ = d["x"].shape
    size = p["Uf"].shape[1]
    means = []
    for way in "fb":
        h, total = tg.zeros(n, size, dtype=np.float64), 0.0
        for t in tg.steps(steps):
            x = tg.tensor(d["x"][t if way == "f" else steps - 1 - t])
            a = x @ p["W" + way].T + p["bi" + way]
            q = h @ p["U" + way].T + p["bh" + way]
            r = tg.sigmoid(a[:, :size] + q[:, :size])
            z = tg.sigmoid(a[:, size : 2 * size] + q[:, size : 2 * size])
            new = tg.tanh(a[:, 2 * size :] + r * q[:, 2 * size :])
            h = (1 - z) * new + z * h
            total = total + h
        means.append(total / steps)
    out = tg.concat(means, 1) @ p["V"].T + p["c"]
    return ((out - d["y"]) ** 2).sum() / n


def bigru_backward(p, d):
    x, y = d["x"], d["y"]
    T, N, _D = x.shape
    H = p["Uf"].shape[1]

    def sig(v):
        return 1.0 / (1.0 + np.exp(-v))

    def forward(x, W, U, bi, bh):
        h = np.zeros((T + 1, N, H))
        r, z, n, q = (np.zeros((T, N, H)) for _ in range(4))
        for t in range(T):
            a = x[t] @ W.T + bi
            u = h[t] @ U.T + bh
            ar, az, an = np.split(a, 3, axis=1)
            ur, uz, un = np.split(u, 3, axis=1)
            r[t] = sig(ar + ur)
            z[t] = sig(az + uz)
            q[t] = un
            n[t] = np.tanh(an + r[t] * q[t])
            h[t + 1] = (1 - z[t]) * n[t] + z[t] * h[t]
        return h, r, z, n, q

    def backward(dout, x, U, saved):
        h, r, z, n, q = saved
        dA = np.zeros((T, N, 3 * H))
        dB = np.zeros((T, N, 3 * H))
        dh = np.zeros((N, H))
        for t in range(T - 1, -1, -1):
            dh = dh + dout[t]
            dz = dh * (h[t] - n[t]) * z[t] * (1 - z[t])
            dn = dh * (1 - z[t]) * (1 - n[t] ** 2)
            dr = dn * q[t] * r[t] * (1 - r[t])
            dA[t] = np.concatenate([dr, dz, dn], axis=1)
            dB[t] = np.concatenate([dr, dz, dn * r[t]], axis=1)
            dh = dh * z[t] + dB[t] @ U
        dW = np.einsum("tng,tnd->gd", dA, x)
        dU = np.einsum("tng,tnh->gh", dB, h[:-1])
        return dW, dU, dA.sum(axis=(0, 1)), dB.sum(axis=(0, 1))

    xr = x[::-1]
    sf = forward(x, p["Wf"], p["Uf"], p["bif"], p["bhf"])
    sb = forward(xr, p["Wb"], p["Ub"], p["bib"], p["bhb"])
    out_f = sf[0][1:]
    out_b = sb[0][1:][::-1]
    pooled = np.concatenate([out_f, out_b], axis=2).mean(axis=0)
    pred = pooled @ p["V"].T + p["c"]

    g = {}
    dpred = 2 * (pred - y) / N
    g["V"] = np.einsum("no,nk->ok", dpred, pooled)
    g["c"] = dpred.sum(axis=0)
    dpooled = dpred @ p["V"]
    douts = np.tile(dpooled / T, (T, 1, 1))
    dof = douts[:, :, :H]
    dob = douts[:, :, H:][::-1]
    g["Wf"], g["Uf"], g["bif"], g["bhf"] = backward(dof, x, p["Uf"], sf)
    g["Wb"], g["Ub"], g["bib"], g["bhb"] = backward(dob, xr, p["Ub"], sb)
    return g


# ------------------------------------------------------------------------------------------------ 4. attend
# Encoder and decoder, one embedding for both, general attention over a padded source, padded targets.


def attend_data():
    r = np.random.default_rng(14)
    h, v = 3, 5
    p = {
        "E": r.normal(size=(v, h)),
        "We": r.normal(size=(h, h)) * 0.6,
        "Ue": r.normal(size=(h, h)) * 0.6,
        "be": r.normal(size=h) * 0.3,
        "Wd": r.normal(size=(h, h)) * 0.6,
        "Ud": r.normal(size=(h, h)) * 0.6,
        "bd": r.normal(size=h) * 0.3,
        "Wa": r.normal(size=(h, h)),
        "Wc": r.normal(size=(2 * h, h)) * 0.7,
        "Wo": r.normal(size=(h, v)),
        "bo": r.normal(size=v) * 0.3,
    }
    source = np.array([[1, 2, 3, 3, 4], [2, 4, 1, 0, 0]])
    target = np.array([[1, 3, 2, 4, 2], [1, 2, 4, 3, 0]])
    return p, {"source": source, "target": target}


def attend_loss(p, d):
    source, target = d["source"], d["target"]
    n, length = source.shape
    h = tg.zeros(n, p["Ue"].shape[0], dtype=np.float64)
    memory = []
    for t in tg.steps(length):
        m = (source[:, t : t + 1] > 0).astype(float)
        new = tg.tanh(p["E"][source[:, t]] @ p["We"] + h @ p["Ue"] + p["be"])
        h = m * new + (1 - m) * h
        memory.append(h)
    states = tg.stack(memory, 1)
    s, total = h, 0.0
    for t in tg.steps(target.shape[1] - 1):
        s = tg.tanh(p["E"][target[:, t]] @ p["Wd"] + s @ p["Ud"] + p["bd"])
        scores = (states * (s @ p["Wa"]).reshape(n, 1, -1)).sum(2) + np.where(source > 0, 0.0, -1e9)
        alpha = tg.softmax(scores, 1)
        context = (alpha.reshape(n, length, 1) * states).sum(1)
        mix = tg.tanh(tg.concat([context, s], 1) @ p["Wc"])
        logp = tg.log_softmax(mix @ p["Wo"] + p["bo"], 1)
        keep = (target[:, t + 1] > 0).astype(float)
        total = total - (logp * (np.eye(p["bo"].shape[0])[target[:, t + 1]] * keep[:, None])).sum()
    return total / (target[:, 1:] > 0).sum()


def attend_backward(p, d):
    E, We, Ue, be = p["E"], p["We"], p["Ue"], p["be"]
    Wd, Ud, bd, Wa, Wc, Wo, bo = p["Wd"], p["Ud"], p["bd"], p["Wa"], p["Wc"], p["Wo"], p["bo"]
    source, target = d["source"], d["target"]
    N, S = source.shape
    T = target.shape[1] - 1
    H = Ue.shape[0]
    smask = (source > 0).astype(float)
    tmask = (target[:, 1:] > 0).astype(float)

    # encoder
    enc = [np.zeros((N, H))]
    enc_new = []
    for t in range(S):
        m = smask[:, t, None]
        new = np.tanh(E[source[:, t]] @ We + enc[-1] @ Ue + be)
        enc_new.append(new)
        enc.append(m * new + (1 - m) * enc[-1])
    memory = np.stack(enc[1:], axis=1)

    # decoder
    dec = [enc[-1]]
    alphas, contexts, mixes, probs = [], [], [], []
    for t in range(T):
        s = np.tanh(E[target[:, t]] @ Wd + dec[-1] @ Ud + bd)
        dec.append(s)
        score = np.einsum("nsh,nh->ns", memory, s @ Wa)
        score[smask == 0] = -np.inf
        e = np.exp(score - score.max(axis=1, keepdims=True))
        alpha = e / e.sum(axis=1, keepdims=True)
        context = np.einsum("ns,nsh->nh", alpha, memory)
        mix = np.tanh(np.hstack([context, s]) @ Wc)
        logits = mix @ Wo + bo
        prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        alphas.append(alpha)
        contexts.append(context)
        mixes.append(mix)
        probs.append(prob)

    grad = {name: np.zeros_like(value) for name, value in p.items()}
    dmemory = np.zeros_like(memory)
    ds_next = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        s, s_prev = dec[t + 1], dec[t]
        dlogits = probs[t].copy()
        dlogits[np.arange(N), target[:, t + 1]] -= 1
        dlogits = dlogits * tmask[:, t, None] / tmask.sum()
        grad["Wo"] += mixes[t].T @ dlogits
        grad["bo"] += dlogits.sum(axis=0)
        dmix = dlogits @ Wo.T * (1 - mixes[t] ** 2)
        grad["Wc"] += np.hstack([contexts[t], s]).T @ dmix
        dcat = dmix @ Wc.T
        dcontext = dcat[:, :H]
        ds = dcat[:, H:] + ds_next
        # attention
        dalpha = np.einsum("nh,nsh->ns", dcontext, memory)
        dmemory += alphas[t][:, :, None] * dcontext[:, None, :]
        dscore = alphas[t] * (dalpha - (alphas[t] * dalpha).sum(axis=1, keepdims=True))
        dquery = np.einsum("ns,nsh->nh", dscore, memory)
        dmemory += dscore[:, :, None] * (s @ Wa)[:, None, :]
        grad["Wa"] += s.T @ dquery
        ds = ds + dquery @ Wa.T
        # cell
        da = ds * (1 - s**2)
        grad["Wd"] += E[target[:, t]].T @ da
        grad["Ud"] += s_prev.T @ da
        grad["bd"] += da.sum(axis=0)
        np.add.at(grad["E"], target[:, t], da @ Wd.T)
        ds_next = da @ Ud.T

    dh = ds_next
    for t in range(S - 1, -1, -1):
        m = smask[:, t, None]
        dh = dh + dmemory[:, t]
        da = m * dh * (1 - enc_new[t] ** 2)
        grad["We"] += E[source[:, t]].T @ da
        grad["Ue"] += enc[t].T @ da
        grad["be"] += da.sum(axis=0)
        np.add.at(grad["E"], source[:, t], da @ We.T)
        dh = da @ Ue.T + (1 - m) * dh
    return grad


# ------------------------------------------------------------------------------------------------ 5. leaky
# An own leaky cell as a class: layer norm inside, a learned leak per unit, residual layers, half mean squared error.


def leaky_data():
    r = np.random.default_rng(15)
    n, t, h = 2, 6, 4
    p = {}
    for layer in "12":
        p["W" + layer] = r.normal(size=(h, h)) * 0.6
        p["U" + layer] = r.normal(size=(h, h)) * 0.6
        p["gain" + layer] = 1 + 0.3 * r.normal(size=h)
        p["bias" + layer] = 0.3 * r.normal(size=h)
        p["leak" + layer] = r.normal(size=h)
        p["start" + layer] = r.normal(size=h) * 0.5
    return p, {"x": r.normal(size=(t, n, h)), "y": r.normal(size=(t, n, h))}


def leaky_loss(p, d):
    steps, n, size = d["x"].shape
    h = [p["start" + layer] + np.zeros((n, size)) for layer in "12"]
    total = 0.0
    for t in tg.steps(steps):
        out = tg.tensor(d["x"][t])
        for k, layer in enumerate("12"):
            a = out @ p["W" + layer] + h[k] @ p["U" + layer]
            centred = a - a.mean(1, keepdims=True)
            unit = centred / tg.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
            rate = tg.sigmoid(p["leak" + layer])
            h[k] = (1 - rate) * h[k] + rate * tg.tanh(unit * p["gain" + layer] + p["bias" + layer])
            out = out + h[k]
        total = total + ((out - d["y"][t]) ** 2).sum()
    return 0.5 * total / (steps * n)


def leaky_backward(p, d):
    class LeakyLayer:
        def __init__(self, W, U, gain, bias, leak, start):
            self.W, self.U, self.gain, self.bias, self.start = W, U, gain, bias, start
            self.rate = 1 / (1 + np.exp(-leak))
            self.dW = np.zeros_like(W)
            self.dU = np.zeros_like(U)
            self.dgain = np.zeros_like(gain)
            self.dbias = np.zeros_like(bias)
            self.drate = np.zeros_like(leak)

        def forward(self, xs):
            h = np.tile(self.start, (xs.shape[1], 1))
            self.cache = []
            outs = []
            for x in xs:
                a = x @ self.W + h @ self.U
                mu = a.mean(axis=1, keepdims=True)
                var = a.var(axis=1, keepdims=True)
                std = np.sqrt(var + 1e-5)
                xhat = (a - mu) / std
                cand = np.tanh(self.gain * xhat + self.bias)
                self.cache.append((x, h, xhat, std, cand))
                h = (1 - self.rate) * h + self.rate * cand
                outs.append(x + h)
            return np.array(outs)

        def layernorm_backward(self, dxhat, xhat, std):
            mean_d = dxhat.mean(axis=1, keepdims=True)
            mean_dx = (dxhat * xhat).mean(axis=1, keepdims=True)
            return (dxhat - mean_d - xhat * mean_dx) / std

        def backward(self, douts):
            dxs = np.zeros_like(douts)
            dh_next = np.zeros_like(douts[0])
            for t in range(len(douts) - 1, -1, -1):
                x, h_prev, xhat, std, cand = self.cache[t]
                dx = douts[t].copy()
                dh = douts[t] + dh_next
                dcand = self.rate * dh
                self.drate += (dh * (cand - h_prev)).sum(axis=0)
                dpre = dcand * (1 - cand * cand)
                self.dgain += (dpre * xhat).sum(axis=0)
                self.dbias += dpre.sum(axis=0)
                da = self.layernorm_backward(dpre * self.gain, xhat, std)
                self.dW += np.dot(x.T, da)
                self.dU += np.dot(h_prev.T, da)
                dx += np.dot(da, self.W.T)
                dh_next = (1 - self.rate) * dh + np.dot(da, self.U.T)
                dxs[t] = dx
            self.dstart = dh_next.sum(axis=0)
            self.dleak = self.drate * self.rate * (1 - self.rate)
            return dxs

    layers = [LeakyLayer(*(p[k + i] for k in ("W", "U", "gain", "bias", "leak", "start"))) for i in "12"]
    T, N, _ = d["x"].shape
    out = d["x"]
    for layer in layers:
        out = layer.forward(out)
    dout = (out - d["y"]) / (T * N)
    for layer in reversed(layers):
        dout = layer.backward(dout)
    grads = {}
    for i, layer in zip("12", layers):
        grads["W" + i], grads["U" + i] = layer.dW, layer.dU
        grads["gain" + i], grads["bias" + i] = layer.dgain, layer.dbias
        grads["leak" + i], grads["start" + i] = layer.dleak, layer.dstart
    return grads


# ------------------------------------------------------------------------------------------------ 6. mingru
# A causal filter of width two, a linear gated recurrence scanned in reverse with lists, a softmax over time that pools,
# binary cross-entropy.


def mingru_data():
    r = np.random.default_rng(16)
    n, t, d, h = 3, 7, 2, 5
    p = {
        "K0": r.normal(size=(d, h)),
        "K1": r.normal(size=(d, h)),
        "Wz": r.normal(size=(h, h)) * 0.6,
        "bz": r.normal(size=h) * 0.4,
        "Wh": r.normal(size=(h, h)) * 0.6,
        "bh": r.normal(size=h) * 0.4,
        "h0": r.normal(size=(3, h)) * 0.6,
        "A": r.normal(size=(h, h)) * 0.7,
        "v": r.normal(size=(h, 1)),
        "w": r.normal(size=(h, 1)),
        "c": r.normal(size=1),
    }
    return p, {"x": r.normal(size=(t, n, d)), "y": np.array([[1.0], [0.0], [1.0]])}


def mingru_loss(p, d):
    steps, n, width = d["x"].shape
    h, states, energies = p["h0"], [], []
    for t in tg.steps(steps):
        before = d["x"][t - 1] if t else np.zeros((n, width))
        u = tg.relu(tg.tensor(d["x"][t]) @ p["K0"] + tg.tensor(before) @ p["K1"])
        z = tg.sigmoid(u @ p["Wz"] + p["bz"])
        h = (1 - z) * h + z * (u @ p["Wh"] + p["bh"])
        states.append(h)
        energies.append(tg.tanh(h @ p["A"]) @ p["v"])
    alpha = tg.softmax(tg.stack(energies, 0), 0)
    pooled = (alpha * tg.stack(states, 0)).sum(0)
    logit = pooled @ p["w"] + p["c"]
    return (tg.softplus(logit) - logit * d["y"]).mean()


def mingru_backward(p, d):
    x, y = d["x"], d["y"]
    T, N, D = x.shape
    # forward
    xprev = np.concatenate([np.zeros((1, N, D)), x[:-1]])
    u = np.maximum(x @ p["K0"] + xprev @ p["K1"], 0)
    z = 1 / (1 + np.exp(-(u @ p["Wz"] + p["bz"])))
    ht = u @ p["Wh"] + p["bh"]
    h, hs = p["h0"], [p["h0"]]
    for t in range(T):
        h = (1 - z[t]) * h + z[t] * ht[t]
        hs.append(h)
    states, previous = np.array(hs[1:]), np.array(hs[:-1])
    s = np.tanh(states @ p["A"])
    e = np.exp(s @ p["v"])
    alpha = e / e.sum(axis=0)
    pooled = (alpha * states).sum(axis=0)
    prob = 1 / (1 + np.exp(-(pooled @ p["w"] + p["c"])))

    # classifier
    dlogit = (prob - y) / N
    dw = pooled.T @ dlogit
    dc = dlogit.sum(axis=0)
    dpooled = dlogit @ p["w"].T
    # attention over time
    dalpha = (dpooled * states).sum(axis=2, keepdims=True)
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=0))
    dv = np.einsum("tnh,tnk->hk", s, de)
    ds = (de @ p["v"].T) * (1 - s**2)
    dA = np.einsum("tnh,tnk->hk", states, ds)
    dstates = alpha * dpooled + ds @ p["A"].T
    # reverse scan
    carry = np.zeros((N, p["h0"].shape[1]))
    dh_list = []
    for t in reversed(range(T)):
        carry = carry + dstates[t]
        dh_list.append(carry)
        carry = carry * (1 - z[t])
    dh = np.array(dh_list[::-1])
    dh0 = carry
    dzpre = dh * (ht - previous) * z * (1 - z)
    dht = dh * z
    # all weights at once
    dWz = np.einsum("tni,tnj->ij", u, dzpre)
    dbz = dzpre.sum(axis=(0, 1))
    dWh = np.einsum("tni,tnj->ij", u, dht)
    dbh = dht.sum(axis=(0, 1))
    du = dzpre @ p["Wz"].T + dht @ p["Wh"].T
    du = du * (u > 0)
    dK0 = np.tensordot(x, du, axes=([0, 1], [0, 1]))
    dK1 = np.tensordot(xprev, du, axes=([0, 1], [0, 1]))
    return {"K0": dK0, "K1": dK1, "Wz": dWz, "bz": dbz, "Wh": dWh, "bh": dbh, "h0": dh0, "A": dA, "v": dv, "w": dw, "c": dc}


MISTAKES = [
    ('lstm', 'dc_new * f\n', 'dc_new * i\n', 'the carry of c goes through the input gate, not the forget gate', "At every step, what c receives from f ⊙ c of the next step uses i where f belongs."),
    ('lstm', 'm * dc + dh_new', 'dh_new', "the cell's own carry is forgotten where the step is valid", "At every step, what c receives from f ⊙ c of the next step is missing."),
    ('lstm', 'dh_new * o * (1 - tc**2)', 'dh_new * o * (1 - tc)', "tanh' without the square", 'At every step, at tanh(c_new) the derivative of tanh is taken to be 1 − y.'),
    ('lstm', 'dh_new * o * (1 - tc**2)', 'dh_new * (1 - tc**2)', 'output gate forgotten on the way into the cell', "At every step, what tanh(c_new) receives from h_new lacks the factor o."),
    ('lstm', 'df = dc_new * c_prev', 'df = dc_new * tc', 'forget gate from tanh of the new cell, not from the previous cell', "At every step, what f receives from f ⊙ c uses tanh(c_new) where c belongs."),
    ('lstm', 'do * o * (1 - o), dg * (1 - g**2)])', 'dg * (1 - g**2), do * o * (1 - o)])', 'gate order i f g o in the gradient, i f o g in the weights', "At every step, the gradients before o and g are exchanged."),
    ('lstm', 'dg * (1 - g**2)', 'dg * g * (1 - g)', "sigmoid's derivative for the candidate", "At every step, at g the derivative of tanh is taken to be σ' (y(1 − y))."),
    ('lstm', 'do * o * (1 - o)', 'do * o', "half of sigmoid's derivative for the output gate", "At every step, at o the derivative of sigmoid is taken to be y."),
    ('lstm', 'dh_prev = (1 - m) * dh\n', 'dh_prev = 0\n', 'what a padded step passes through of h is lost', "At every step, what h receives from (1 − m) ⊙ h of the next step is missing."),
    ('lstm', '(1 - m) * dc + dc_new * f', 'dc_new * f', 'what a padded step passes through of c is lost', "At every step, what c receives from (1 − m) ⊙ c of the next step is missing."),
    ('lstm', 'dh_new = m * dh', 'dh_new = dh', 'mask forgotten on h in the cell', "At every step, what h_new receives from m ⊙ h_new lacks the factor m."),
    ('lstm', 'db = da.sum(axis=0)', 'db = da.mean(axis=0)', 'bias: mean over the batch', 'At every step, what b receives from a is divided by 3, the size of the batch.'),
    ('lstm', 'dscores *= mask[:, t : t + 1]', 'pass', "padded steps' scores count", 'At every step, the mask of the loss is forgotten: rows of logp count that it leaves out, with the targets 2, 2, 0.'),
    ('lstm', 'dscores /= mask.sum()', 'dscores /= N * T', 'mean over all steps, padded ones too', 'At every step, what (h @ Wy) + by receives from logp is multiplied by 4/5: divided by 5 instead of 4.'),
    ('lstm', 'grads["Wh"] += dWh', 'grads["Wh"] = dWh', "= for +=: only the first step's share of Wh", 'At every step but the first, what Wh receives from h @ Wh is missing, as with = instead of +=.'),
    ('lstm', 'dscores @ Wy.T + dh_next', 'dscores @ Wy.T', 'carry of h forgotten', 'At every step but the first, what h receives from h @ Wh of the next step is missing.'),
    ('lstm', 'dWh = h_prev.T @ da', 'da = np.clip(da, -0.03, 0.03)\n        dWh = h_prev.T @ da', 'gate gradients clipped in between, before Wh, b and the carry', 'At every step, the gradient of a is clipped to ±0.03, but not before what Wx receives.'),
    ('lstm', 'grads["h0"] = dh_next.sum', 'grads["h0"] = dh.sum', 'h0 gets the gradient of h_1', 'h receives the gradient of the first h, instead of what that hands on.'),
    ('lstm', 'da @ Wh.T', 'da[:, : 3 * H] @ Wh[:, : 3 * H].T', 'the candidate gives nothing back to the previous h', 'At every step, what h receives from h @ Wh of the next step leaves out the part that came from the part of a in g: it was computed before that part was added.'),
    ('lstm', 'hs[t].T @ dscores', 'hs[t - 1].T @ dscores', 'Wy with the h of the step before (the last one for t=0)', 'At every step, what Wy receives from h @ Wy uses h of the step before, of the last at the first (index −1).'),
    ('lstm', 'caches[t])', 'caches[-1])', "the last step's cache for all steps", ''),
    ('lstm', 'cache = (xt, h_prev,', 'cache = (xt, h,', 'the new h stored as the previous one', 'At every step, what Wh receives from h @ Wh uses h of the step after.'),
    ('lstm', 'reversed(range(T))', 'range(T)', 'the loop runs forwards', ''),
    ('lstm', 'reversed(range(T))', 'reversed(range(1, T))', 'the first step is left out', 'The first step is left out, as by a loop over one step too few: nothing leaves it, and what was carried to it is handed on as it is.'),
    ('lstm', 'dscores /= mask.sum()', 'dscores /= mask[:, t].sum()', "mean over the step's valid rows, then a sum over time", 'What (h @ Wy) + by receives from logp has a factor of its own at every step: 6, 6, 6, 4, 4. It is divided by the number of rows that count at that step.'),
    ('char', 'dhnext = np.dot(Whh.T, dz)', 'dhnext = np.dot(Whh, dz)', 'Whh not transposed on the way back', 'At every step, what h receives from Whh @ h of the next step uses Whh transposed.'),
    ('char', 'np.dot(Wxh.T, dz)', 'np.dot(Wxh, dz)', 'Wxh not transposed on the way to the embedding', 'At every step, what e receives from Wxh @ e uses Wxh transposed.'),
    ('char', 'dE[:, inputs[t]] += ', 'dE[:, inputs[t]] = ', '= for +=: a letter that repeats keeps one step only', 'A row of E that is looked up again has only what was written there last: it was overwritten.'),
    ('char', 'np.dot(dz, hs[t - 1].T)', 'np.dot(dz, hs[t].T)', 'Whh with the new state', 'At every step, what Whh receives from Whh @ h uses h of the step after.'),
    ('char', 'np.dot(dz2, h2s[t - 1].T)', 'np.dot(dz2, hs[t - 1].T)', "Whh2 with the lower layer's previous state", 'At every step, what Whh2 receives from Whh2 @ h2 uses h of the step before where h2 belongs.'),
    ('char', '        dy /= len(inputs)\n', '', '1/T forgotten', 'At every step, what (Why @ h2) + by receives from logp is multiplied by 6, the number of time steps.'),
    ('char', 'np.dot(Wup.T, dz2) + dhnext', 'np.dot(Wup.T, dz2)', 'carry of the lower layer forgotten', 'At every step, what h receives from Whh @ h of the next step is missing.'),
    ('char', 'np.dot(Whh2.T, dz2)', 'np.dot(Whh2.T, dh2)', "the upper carry from dh, before tanh'", 'At every step, in what h2 receives from Whh2 @ h2 of the next step the derivative at h2 is forgotten.'),
    ('char', 'np.dot(Wup.T, dz2)', 'np.dot(Wup.T, dh2)', "the way down from dh, before tanh'", 'At every step, in what h receives from Wup @ h the derivative at h2 is forgotten.'),
    ('char', '(1 - hs[t] * hs[t]) * dh', '(1 - h2s[t] * h2s[t]) * dh', "the upper layer's state in the lower tanh'", 'At every step, at h the derivative of tanh uses h2.'),
    ('char', 'dWhh += reg * Whh\n', 'dWhh += 2 * reg * Whh\n', "the square's 2 beside the 1/2", "Once, what Whh receives from Whh^2 is counted twice."),
    ('char', '    dWhh2 += reg * Whh2\n', '', 'the penalty forgotten for Whh2', "Once, what Whh2 receives from Whh2^2 is missing."),
    ('char', 'np.dot(Whh.T, dz)\n    dWhh += reg * Whh\n', 'np.dot(Whh.T, dz)\n        dWhh += reg * Whh\n', 'the penalty added at every step', 'Once, what sum(Whh^2) receives from sum(Whh^2) + sum(Whh2^2) is multiplied by 6, the number of time steps.'),
    ('char', 'np.dot(dz, es[t].T)', 'np.dot(dz, es[inputs[t]].T)', "the letter's number used as the step's", 'The saved e, the 5th of them, has become that of the step before.'),
    ('char', 'dby += dy', 'dby = dy', '= for += in the output bias', 'by was given the gradient of Why @ h2 of step 1 alone, as with = instead of +=.'),
    ('char', 'np.dot(dy, h2s[t].T)', 'np.dot(dy, hs[t].T)', "Why with the lower layer's state", 'At every step, what Why receives from Why @ h2 uses h where h2 belongs.'),
    ('char', 'dhnext = np.dot(Whh.T, dz)\n', 'dhnext = np.clip(np.dot(Whh.T, dz), -0.05, 0.05)\n', 'the carry clipped at every step', 'At every step, what h receives from the step after it is clipped to ±0.05.'),
    ('char', 'dy[targets[t]] -= 1', 'dy[inputs[t]] -= 1', 'the input letter as target', 'At every step, what logp receives from loss uses the number in E[:, 1] where the right ones belong.'),
    ('char', 'dhnext = np.dot(Whh.T, dz)\n', 'dhnext = np.dot(Whh.T, dz) * (t % 3 != 0)\n', 'truncated to three steps, lower layer only', 'At one step only (step 4 of 6), what h receives from Whh @ h of the next step is missing.'),
    ('char', '(1 - h2s[t] * h2s[t]) * dh2', '(1 - h2s[t]) * dh2', "tanh' without the square", 'At every step, at h2 the derivative of tanh is taken to be 1 − y.'),
    ('char', 'np.dot(dz2, hs[t].T)', 'np.dot(dz2, hs[t - 1].T)', 'Wup with the lower state of the step before', 'At every step, what Wup receives from Wup @ h uses h of the step before.'),
    ('char', 'for t in reversed(range(len(inputs))):', 'for t in reversed(range(1, len(inputs))):', 'the first letter is left out', 'The first step is left out, as by a loop over one step too few: nothing leaves it.'),
    ('char', '        dh = np.dot(Wup.T, dz2) + dhnext', '        dh = np.dot(Wup.T, dz2)\n        dh += dhnext if t < len(inputs) - 2 else 0', 'the carry starts one step too late', 'At the last step only, what h receives from Whh @ h of the next step is missing.'),
    ('char', 'dbh2 += dz2', 'dbh2 += dh2', "upper bias before tanh'", 'At every step, what bh2 receives from … + bh2 in h2 comes from the gradient of h2.'),
    ('bigru', '(h[t] - n[t])', '(n[t] - h[t])', 'sign of the update gate', "Everywhere alike: at every step, what a⁽¹⁾[:, 3:6] + q⁽¹⁾[:, 3:6] receives from z⁽¹⁾ is of the wrong sign."),
    ('bigru', '(h[t] - n[t])', '(h[t + 1] - n[t])', "the new state in the update gate's gradient", 'Everywhere alike: at every step, what z⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ uses h⁽¹⁾ of the step after.'),
    ('bigru', 'dn * r[t]]', 'dn]', 'reset gate forgotten in the recurrent candidate', "Everywhere alike: at every step, what q⁽¹⁾[:, 6:] receives from r⁽¹⁾ ⊙ q⁽¹⁾[:, 6:] lacks the factor r⁽¹⁾."),
    ('bigru', 'dr = dn * q[t]', 'dr = dn * h[t]', 'reset gate as if it stood before the product', "Everywhere alike: at every step, what r⁽¹⁾ receives from r⁽¹⁾ ⊙ q⁽¹⁾[:, 6:] uses h⁽¹⁾ of the step before where q⁽¹⁾[:, 6:] belongs."),
    ('bigru', 'dh = dh * z[t] + dB[t] @ U', 'dh = dB[t] @ U', 'direct carry z*h forgotten', 'Everywhere alike: at every step, what h⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ of the next step is missing.'),
    ('bigru', 'dB[t] @ U', 'dA[t] @ U', "the input side's gate gradients carried back", 'Everywhere alike: at every step, what h⁽¹⁾ receives from h⁽¹⁾ @ Ufᵀ of the next step comes from the gradient of a⁽¹⁾.'),
    ('bigru', 'dB, h[:-1]', 'dB, h[1:]', 'U with the new states', 'Everywhere alike: at every step, what Ufᵀ receives from h⁽¹⁾ @ Ufᵀ uses h⁽¹⁾ of the step after.'),
    ('bigru', 'dA[t] = np.concatenate([dr, dz, dn], axis=1)\n            dB[t] = np.concatenate([dr, dz,', 'dA[t] = np.concatenate([dz, dr, dn], axis=1)\n            dB[t] = np.concatenate([dz, dr,', 'gate order z r n in the gradient, r z n in the weights', 'Everywhere alike: at every step, the gradients before r⁽¹⁾ and z⁽¹⁾ are exchanged.'),
    ('bigru', 'backward(dob, xr,', 'backward(dob, x,', "the reverse direction's W with the inputs unreversed", 'At every step, what Wbᵀ receives from x @ Wbᵀ uses x, number 2 counted from the other end.'),
    ('bigru', 'dof = douts[:, :, :H]\n    dob = douts[:, :, H:]', 'dof = douts[:, :, H:]\n    dob = douts[:, :, :H]', "the directions' halves exchanged", "Once, total⁽¹⁾ / 4 and total⁽²⁾ / 4 receive each other's part of [total⁽¹⁾ / 4, total⁽²⁾ / 4]."),
    ('bigru', 'dpooled / T', 'dpooled', '1/T of the mean forgotten', 'At every step, what total⁽²⁾ receives from total⁽²⁾ / 4 is multiplied by 4, the number of time steps or the size of the batch.'),
    ('bigru', '2 * (pred - y) / N', '(pred - y) / N', "the square's 2 forgotten", 'Every gradient is halved (2 is the size of a dimension).'),
    ('bigru', 'dA.sum(axis=(0, 1)), dB.sum(axis=(0, 1))', 'dA.sum(axis=(0, 1)), dA.sum(axis=(0, 1))', 'both biases alike', 'Everywhere alike: bhf was given the gradient of bif.'),
    ('bigru', 'dn = dh * (1 - z[t])', 'dn = dh * z[t]', 'candidate weighted with z', 'Everywhere alike: at every step, what new⁽¹⁾ receives from (1 − z⁽¹⁾) ⊙ new⁽¹⁾ has the factor 1 − (1 − z⁽¹⁾) instead of it.'),
    ('bigru', 'dr = dn * q[t] * r[t] * (1 - r[t])', 'dr = dn * q[t]', "sigmoid' forgotten at the reset gate", 'Everywhere alike: at every step, at r⁽¹⁾ the derivative of sigmoid is taken to be 1: it is forgotten.'),
    ('bigru', 'dB[t] @ U', 'dB[t] @ np.vstack([u.T for u in np.split(U, 3)])', "each gate's block of U transposed", 'Everywhere alike: at every step, what h⁽¹⁾ receives from h⁽¹⁾ @ Ufᵀ of the next step uses Ufᵀ transposed.'),
    ('bigru', 'range(T - 1, -1, -1)', 'range(T - 1, 0, -1)', 'the first step is left out', 'Everywhere alike: the first step is left out, as by a loop over one step too few: nothing leaves it.'),
    ('bigru', 'dh = dh + dout[t]', 'dh = dout[t]', 'no carry over time', 'Everywhere alike: at every step, all that h⁽¹⁾ receives from the step after it is missing.'),
    ('bigru', 'dr = dn * q[t]', 'dr = dh * (1 - z[t]) * q[t]', "the reset gate's gradient skips tanh'", "Everywhere alike: at every step, in what r⁽¹⁾ receives from r⁽¹⁾ ⊙ q⁽¹⁾[:, 6:] the derivative at new⁽¹⁾ is forgotten."),
    ('bigru', '"tng,tnd->gd", dA', '"tng,tnd->gd", dB', "W with the recurrent side's gate gradients", 'Everywhere alike: at every step, what Wfᵀ receives from x @ Wfᵀ comes from the gradient of h⁽¹⁾ @ Ufᵀ.'),
    ('bigru', 'h, r, z, n, q = saved', 'h, z, r, n, q = saved', 'reset and update exchanged when unpacked', 'Everywhere alike: at every step, the saved r⁽¹⁾ and z⁽¹⁾ are exchanged.'),
    ('bigru', 'dn = dh * (1 - z[t])', 'dh = dh * z[t]\n            dn = dh * (1 - z[t])', 'dh scaled by z before the candidate uses it, and again after', 'Everywhere alike: at every step, the gradient of h⁽¹⁾ is multiplied with z⁽¹⁾ in place, before what new⁽¹⁾ and h⁽¹⁾ receive.'),
    ('bigru', '"no,nk->ok", dpred, pooled', '"no,nk->ok", dpred, np.concatenate([sf[0][-1], sb[0][-1]], axis=1)', 'V with the last states, not the mean', "Once, what Vᵀ receives from … @ Vᵀ in out uses h⁽¹⁾ and h⁽²⁾ for the parts of [total⁽¹⁾ / 4, total⁽²⁾ / 4]."),
    ('bigru', 'backward(dob, xr, p["Ub"], sb)', 'backward(dob, xr, p["Uf"], sb)', "the forward direction's U in the reverse pass", 'At every step, what h⁽²⁾ receives from h⁽²⁾ @ Ubᵀ of the next step uses Ufᵀ where Ubᵀ belongs.'),
    ('bigru', 'backward(dob, xr, p["Ub"], sb)', 'backward(dob, xr, p["Ub"], (sb[0][::-1],) + sb[1:])', 'reverse states put back in order of time before the walk', "The saved h⁽²⁾ are in reverse order: the last step's at the first."),
    ('attend', '(dalpha - (alphas[t] * dalpha).sum(axis=1, keepdims=True))', 'dalpha', "softmax's second term forgotten", 'At every step, what scores receives from alpha is y * g instead of y * (g - sum(g * y)).'),
    ('attend', 'dalpha).sum(axis=1, keepdims=True)', 'dalpha).sum(axis=0, keepdims=True)', "softmax' over the batch", 'At every step, what scores receives from alpha sums over axis 0.'),
    ('attend', '        dmemory += alphas[t][:, :, None] * dcontext[:, None, :]\n', '', "the memory's share through the context forgotten", 'At every step, what states receives from (reshaped alpha) ⊙ states is missing.'),
    ('attend', '        dmemory += dscore[:, :, None] * (s @ Wa)[:, None, :]\n', '', "the memory's share through the scores forgotten", 'At every step, what states receives from states ⊙ … in scores is missing.'),
    ('attend', '(s @ Wa)[:, None, :]', 's[:, None, :]', 'Wa forgotten between state and memory', "At every step, what states receives from states ⊙ … in scores uses (reshaped (s @ Wa)) with s in the place of s @ Wa."),
    ('attend', 's.T @ dquery', 'dquery.T @ s', 'Wa transposed', 'The gradient of Wa is transposed.'),
    ('attend', 'dquery @ Wa.T', 'dquery @ Wa', 'Wa not transposed on the way to the state', 'At every step, what s receives from s @ Wa uses Wa transposed.'),
    ('attend', '        ds = ds + dquery @ Wa.T\n', '', "the query gives nothing to the decoder's state", 'At every step, what s receives from s @ Wa is missing.'),
    ('attend', 'dcontext = dcat[:, :H]\n        ds = dcat[:, H:] + ds_next', 'dcontext = dcat[:, H:]\n        ds = dcat[:, :H] + ds_next', 'halves of [context, s] exchanged', "At every step, context and s receive each other's part of [context, s]."),
    ('attend', 'dcat[:, H:] + ds_next', 'dcat[:, H:]', "the decoder's carry forgotten", 'At every step but the first, what s receives from s @ Ud of the next step is missing.'),
    ('attend', 'dh = ds_next\n', 'dh = np.zeros_like(ds_next)\n', "nothing from the decoder's first state into the encoder", "At every step, what h receives from (1 − m) ⊙ h of the next step and s @ Ud is missing."),
    ('attend', 'np.add.at(grad["E"], target[:, t], da @ Wd.T)', 'grad["E"][target[:, t]] += da @ Wd.T', '+= by index: equal words in a batch count once', 'At every step, what E receives from E_t counts a row that is looked up twice only once.'),
    ('attend', '        np.add.at(grad["E"], source[:, t], da @ We.T)\n', '', 'the encoder gives nothing to the embedding', 'At every step, what E receives from E_t is missing.'),
    ('attend', '/ tmask.sum()', '/ N', 'mean over the batch, not over valid words', 'Once, what total receives from total / 7 is divided by 2 instead of 7.'),
    ('attend', ' * tmask[:, t, None]', '', 'padded words count', 'At every step, the mask of the loss is forgotten: rows of logp count that it leaves out, with the targets 0.'),
    ('attend', '        dh = dh + dmemory[:, t]\n', '', "the memory's gradient never reaches the encoder", 'At every step, what h receives from states is missing.'),
    ('attend', ' + (1 - m) * dh\n    return', '\n    return', 'what a padded step passes through is lost', "At every step, what h receives from (1 − m) ⊙ h of the next step is missing."),
    ('attend', 'da = m * dh', 'da = dh', 'mask forgotten in the encoder', "At every step, what new receives from m ⊙ new lacks the factor m."),
    ('attend', 's_prev.T @ da', 's.T @ da', 'Ud with the new state', 'At every step, what Ud receives from s @ Ud uses s of the step after.'),
    ('attend', 'enc[t].T @ da', 'enc[t + 1].T @ da', 'Ue with the new state', 'At every step, what Ue receives from h @ Ue uses h of the step after.'),
    ('attend', 'dlogits[np.arange(N), target[:, t + 1]]', 'dlogits[np.arange(N), target[:, t]]', 'the target of the step before', 'At every step, what logp receives from logp ⊙ … in loss uses the numbers in E_t where the right ones belong.'),
    ('attend', 'dmemory += alphas[t]', 'dmemory = alphas[t]', '= for +=: the memory keeps the first decoder step only', 'Of all that states receives, only what the first step sends is left: it was overwritten.'),
    ('attend', 'dec[t + 1], dec[t]', 'dec[t], dec[t - 1]', 'decoder states one too early', 'At every step, the saved s has become that of the step before, around the end (index −1), also in what is computed from it once more.'),
    ('attend', ' * (1 - mixes[t] ** 2)', '', "tanh' of the mix forgotten", 'At every step, at mix the derivative of tanh is taken to be 1: it is forgotten.'),
    ('attend', 'np.hstack([contexts[t], s]).T', 'np.hstack([context, s]).T', "the last step's context, left over from the forward loop", "At every step, what Wc receives from [context, s] @ Wc uses [context, s] with context of the last step in the place of context."),
    ('attend', 'E[target[:, t]].T @ da', 'E[target[:, t + 1]].T @ da', 'Wd with the next word', 'At every step, what Wd receives from E_t @ Wd uses the row of E for the ones in the array of shape (2, 5) in loss where E_t belongs.'),
    ('attend', 'dscore = alphas[t]', 'dscore = alpha', "the last step's weights, left over from the forward loop", 'At every step, what scores receives from alpha is y * (g - sum(g * y)) with alpha of the last step for the y before the bracket.'),
    ('attend', 'dquery = np.einsum', 'dscore = dscore / np.sqrt(H)\n        dquery = np.einsum', 'scaled as in dot product attention, which the forward pass does not do', 'At every step, what states ⊙ … in scores receives from the sum in scores is multiplied by 1/√3.'),
    ('leaky', 'dx = douts[t].copy()', 'dx = np.zeros_like(douts[t])', 'the residual way forgotten', 'At every step, what out receives from out + h⁽²⁾ is missing.'),
    ('leaky', 'dh = douts[t] + dh_next', 'dh = douts[t]', 'no carry over time', 'At every step but the first, all that h⁽¹⁾ and h⁽²⁾ receive from the step after it is missing.'),
    ('leaky', 'dh_next = (1 - self.rate) * dh + np.dot(', 'dh_next = np.dot(', "the leak's direct carry forgotten", 'Everywhere alike: at every step, what h⁽¹⁾ receives from (1 − rate⁽¹⁾) ⊙ h⁽¹⁾ of the next step is missing.'),
    ('leaky', ' + np.dot(da, self.U.T)', '', 'only the leak carries back', 'Everywhere alike: at every step, what h⁽¹⁾ receives from h⁽¹⁾ @ U1 of the next step is missing.'),
    ('leaky', '(dxhat - mean_d - xhat', '(dxhat - xhat', "layer norm without the mean's share", 'Everywhere alike: at every step, what a⁽¹⁾ receives from sum(a⁽¹⁾) is missing.'),
    ('leaky', 'dxhat - mean_d - xhat * mean_dx', 'dxhat - mean_d', "layer norm without the variance's share", "Everywhere alike: at every step, what centred⁽¹⁾ receives from centred⁽¹⁾^2 is missing."),
    ('leaky', '(dxhat - mean_d - xhat * mean_dx) / std', 'dxhat / std', "layer norm's mean and variance as constants", 'Everywhere alike: at every step, what a⁽¹⁾ receives from unit⁽¹⁾, by all ways, is g / s instead of (g - mean(g) - y * mean(g * y)) / s.'),
    ('leaky', ' / std\n\n', ' / std**2\n\n', 'divided by the variance', 'Everywhere alike: at every step, what centred⁽¹⁾ receives from unit⁽¹⁾, by all ways, is (g - y * mean(g * y)) / s / s instead of (g - y * mean(g * y)) / s.'),
    ('leaky', 'mean_d = dxhat.mean(axis=1', 'mean_d = dxhat.mean(axis=0', "layer norm's mean over the batch", 'Everywhere alike: at every step, what a⁽¹⁾ receives from unit⁽¹⁾, by all ways, is (g - mean_over_the_batch(g) - y * mean(g * y)) / s'),
    ('leaky', 'dpre * self.gain', 'dpre', 'gain forgotten', 'Everywhere alike: at every step, what unit⁽¹⁾ receives from unit⁽¹⁾ ⊙ gain1 lacks the factor gain1.'),
    ('leaky', '(cand - h_prev)', 'cand', 'leak: -h of the (1 - a) h forgotten', 'Everywhere alike: at every step, what rate⁽¹⁾ receives from 1 − rate⁽¹⁾ is missing.'),
    ('leaky', 'self.drate * self.rate * (1 - self.rate)', 'self.drate', "sigmoid' of the leak forgotten", 'the derivative of sigmoid is taken to be 1: it is forgotten.'),
    ('leaky', 'dcand = self.rate * dh', 'dcand = dh', 'leak forgotten before the candidate', 'Everywhere alike: at every step, what tanh((unit⁽¹⁾ ⊙ gain1) + bias1) receives from rate⁽¹⁾ ⊙ … in h⁽¹⁾ lacks the factor rate⁽¹⁾.'),
    ('leaky', '(dpre * xhat).sum', '(dcand * xhat).sum', "gain's gradient before tanh'", 'Everywhere alike: at every step, in what gain1 receives from unit⁽¹⁾ ⊙ gain1 the derivative at tanh((unit⁽¹⁾ ⊙ gain1) + bias1) is forgotten.'),
    ('leaky', 'self.dbias += dpre.sum(axis=0)', 'self.dbias += dpre.sum(axis=0) / len(dpre)', 'bias: mean over the batch', 'Everywhere alike: at every step, what bias1 receives from (unit⁽¹⁾ ⊙ gain1) + bias1 is halved (2 is the size of the batch).'),
    ('leaky', 'self.cache.append((x, h, xhat, std, cand))\n                h = (1 - self.rate) * h + self.rate * cand\n', 'h = (1 - self.rate) * h + self.rate * cand\n                self.cache.append((x, h, xhat, std, cand))\n', 'cache written after h is overwritten', 'At every step, the saved h⁽¹⁾ and h⁽²⁾ has become that of the step after.'),
    ('leaky', 'np.dot(da, self.W.T)', 'np.dot(da, self.W)', 'W not transposed on the way down', 'At every step, what out receives from out @ W2 uses W2 transposed.'),
    ('leaky', 'np.dot(da, self.U.T)', 'np.dot(da, self.U)', 'U not transposed on the way back', 'Everywhere alike: at every step, what h⁽¹⁾ receives from h⁽¹⁾ @ U1 of the next step uses U1 transposed.'),
    ('leaky', 'for layer in reversed(layers)', 'for layer in layers', 'layers walked from the first to the last', ''),
    ('leaky', 'dout = layer.backward(dout)', 'layer.backward(dout)', "every layer gets the loss's gradient", 'At every step, what out receives from out @ W2 is missing.'),
    ('leaky', '/ (T * N)', '/ N', '1/T forgotten', 'At every step, what out + h⁽²⁾ receives from (out + h⁽²⁾) − d["y"][t] is multiplied by 6, the number of time steps.'),
    ('leaky', 'dh = douts[t] + dh_next', 'dh = dx\n                dh += dh_next', 'dh and dx are one array', ''),
    ('leaky', 'self.dstart = dh_next.sum(axis=0)', 'self.dstart = dh.sum(axis=0)', 'h0 gets the gradient of h_1', 'Everywhere alike: start1 + … in a⁽¹⁾ receives the gradient of the first h⁽¹⁾, instead of what that hands on.'),
    ('leaky', 'self.dU = np.zeros_like(U)', 'self.dU = self.dW', 'dW and dU are one array', 'Everywhere alike: the gradients of W1 and U1 were added up in one buffer.'),
    ('leaky', '(1 - cand * cand)', '(1 - xhat * xhat)', "tanh' at the normalised value, not at tanh's", 'Everywhere alike: at every step, at tanh((unit⁽¹⁾ ⊙ gain1) + bias1) the derivative of tanh uses unit⁽¹⁾.'),
    ('leaky', 'grads["gain" + i], grads["bias" + i]', 'grads["bias" + i], grads["gain" + i]', 'gain and bias exchanged when collected', 'Everywhere alike: the gradients of gain1 and bias1 are exchanged.'),
    ('leaky', 'self.dstart = dh_next.sum(axis=0)', 'self.dstart = np.zeros_like(self.start)', 'the learned start is not learned', 'Everywhere alike: once, what start1 receives from start1 + … in a⁽¹⁾ is missing.'),
    ('leaky', 'x, h_prev, xhat, std, cand = self.cache[t]', 'x, h_prev, xhat, std, cand = self.cache.pop(0)', 'a queue for a stack: caches in order of time', 'Everywhere alike: every rule of the step of h⁽¹⁾ uses what the step counted from the other end saved.'),
    ('mingru', 'carry = carry * (1 - z[t])', 'carry = carry * z[t]', 'carry through z, not 1 - z', 'At every step, what h receives from (1 − z) ⊙ h of the next step has the factor 1 − (1 − z) instead of it.'),
    ('mingru', '        dh_list.append(carry)\n        carry = carry * (1 - z[t])\n', '        carry = carry * (1 - z[t])\n        dh_list.append(carry)\n', "the state's gradient stored after the step back", 'At every step, the gradient of h is multiplied with 1 − z in place, before what z and (u @ Wh) + bh and 1 − z receive.'),
    ('mingru', 'np.array(dh_list[::-1])', 'np.array(dh_list)', 'list not turned round', 'At every step, all that h sends, but what it carries, comes from the gradient of h counted from the other end.'),
    ('mingru', 'carry = carry + dstates[t]', 'carry = dstates[t]', 'no carry over time', 'At every step but the first, what h receives from (1 − z) ⊙ h of the next step is missing.'),
    ('mingru', '(ht - previous)', '(ht - states)', "the new state in the gate's gradient", 'At every step, what 1 − z receives from (1 − z) ⊙ h uses h of the step after.'),
    ('mingru', '(ht - previous)', '(previous - ht)', 'sign of the gate', 'At every step, what (u @ Wz) + bz receives from z is of the wrong sign.'),
    ('mingru', ' * z * (1 - z)\n', '\n', "sigmoid' forgotten", 'At every step, at z the derivative of sigmoid is taken to be 1: it is forgotten.'),
    ('mingru', 'dht = dh * z\n', 'dht = dh * (1 - z)\n', 'candidate weighted with 1 - z', 'At every step, what (u @ Wh) + bh receives from z ⊙ ((u @ Wh) + bh) has the factor 1 − z instead of it.'),
    ('mingru', '    du = du * (u > 0)\n', '', "relu' forgotten", 'At every step, at u the derivative of relu is taken to be 1: it is forgotten.'),
    ('mingru', 'du * (u > 0)', 'du * (du > 0)', "relu' by the sign of the gradient", "At every step, at u the derivative of relu uses the gradient that arrives where the add in u belongs."),
    ('mingru', 'np.tensordot(xprev,', 'np.tensordot(x,', "K1 with the same step's input", 'K1 was given the gradient of K0.'),
    ('mingru', 'np.tensordot(xprev,', 'np.tensordot(np.roll(x, 1, axis=0),', "K1's first step gets the last input", 'At every step, what K1 receives from before @ K1 uses d["x"][t] where before belongs and comes from the gradient of d["x"][t] @ K0 of the step after, of the first at the last.'),
    ('mingru', '(alpha * dalpha).sum(axis=0)', '(alpha * dalpha).sum(axis=1, keepdims=True)', "softmax' over the batch", 'Once, what all tanh(h @ A) @ v receives from alpha sums over axis 1.'),
    ('mingru', 'alpha * dpooled + ds', 'ds', "the states' share through the weighted mean forgotten", "Once, what all h receives from alpha ⊙ (all h) is missing."),
    ('mingru', ' + ds @ p["A"].T', '', "the states' share through the weights forgotten", 'At every step, what h receives from h @ A is missing.'),
    ('mingru', ' * (1 - s**2)', '', "tanh' of the energies forgotten", 'At every step, at tanh(h @ A) the derivative of tanh is taken to be 1: it is forgotten.'),
    ('mingru', '"tnh,tnk->hk", states, ds', '"tnh,tnk->kh", states, ds', 'A transposed', 'The gradient of A is transposed.'),
    ('mingru', 'ds @ p["A"].T', 'ds @ p["A"]', 'A not transposed on the way back', 'At every step, what h receives from h @ A uses A transposed.'),
    ('mingru', '(prob - y) / N', '(prob - y) * prob * (1 - prob) / N', "sigmoid' twice: squared error's rule with cross-entropy", "Once, what logit receives of the loss is multiplied with σ'(logit): the sigmoid's derivative is in it already."),
    ('mingru', '(prob - y) / N', 'prob - y', '1/N forgotten', 'Every gradient is multiplied by 3, the size of the batch.'),
    ('mingru', 'dh0 = carry', 'dh0 = dh_list[-1]', 'h0 gets the gradient of h_1', 'h0 was given the gradient of (1 − z) ⊙ h of step 1.'),
    ('mingru', ' + dht @ p["Wh"].T', '', "the inputs' share through the candidate forgotten", 'At every step, what u receives from u @ Wh is missing.'),
    ('mingru', 'dzpre @ p["Wz"].T + dht @ p["Wh"].T', 'dzpre @ p["Wh"].T + dht @ p["Wz"].T', 'Wz and Wh exchanged on the way to u', "At every step, u receives from u @ Wz and u @ Wh with each other's factor."),
    ('mingru', '(dalpha - (alpha * dalpha).sum(axis=0))', '(1 - alpha) * dalpha', "only the diagonal of softmax's Jacobian", 'Once, what all tanh(h @ A) @ v receives from alpha is y * (g - g * y) instead of y * (g - sum(g * y)).'),
    ('mingru', 'dbz = dzpre.sum(axis=(0, 1))', 'dbz = dzpre.sum(axis=0).mean(axis=0)', 'bias: mean over the batch', 'At every step, what bz receives from (u @ Wz) + bz is divided by 3, the size of the batch.'),
    ('mingru', 'carry * (1 - z[t])', 'carry * (1 - z[t - 1])', 'the gate of the step before', 'At every step, what h receives from (1 − z) ⊙ h of the next step uses 1 − z of the step before, of the last at the first (index −1).'),
    ('mingru', '"tnh,tnk->hk", s, de', '"tnh,tnk->hk", states, de', 'v with the states, not with tanh', 'At every step, what v receives from tanh(h @ A) @ v uses h where tanh(h @ A) belongs.'),
    ('mingru', 'carry = np.zeros((N, p', 'carry = dpooled * np.ones((N, p', 'the scan starts with the pooled gradient instead of zero', 'The gradient that is carried for h was not set to zero before the loop: it starts from the gradient of pooled.'),
]


STYLES = ("lstm", "char", "bigru", "attend", "leaky", "mingru")


def data_of(network):
    """Values of the leaves (NumPy, float64) and the data."""
    return globals()[network + "_data"]()


def loss_of(network):
    """The network's loss, from fresh leaves."""
    values, data = data_of(network)
    leaves = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    return globals()[network + "_loss"](leaves, data)


def gradients(network, old=None, new=None):
    """The hand-written gradients by name; with ``old`` and ``new``, those of the changed text."""
    source = inspect.getsource(globals()[network + "_backward"])
    if old is not None:
        if source.count(old) != 1:
            raise ValueError(f"{network}: {source.count(old)} places hold {old!r}")
        source = source.replace(old, new)
    namespace = {"np": np}
    exec(compile(source, f"<{network}>", "exec"), namespace)
    return namespace[network + "_backward"](*data_of(network))
