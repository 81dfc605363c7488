# ruff: noqa: E501, E741, RUF005, RUF059 -- texts and what is said of them stay on one line; a mistake may need what is unused
# fmt: off
"""Eight networks by another who had not seen the search, and mistakes in their backward passes.

A multiplicative character model; an LSTM with peepholes, a clipped cell and a projected state; a GRU with decays for
missing values; an encoder and decoder with attention and input feeding; an LSTM of two layers in both directions on
ragged sentences; a gated linear recurrence; a Turing machine; an SRU language model with penalties. Of each mistake: the
text, what was written, what it is, and what the diagnosis says of it (nothing where no single edit is found).
"""

import numpy as np
from frame_of_handwritten import Network, Networks, const, leaves_of, sigmoid

import tinygrad_rnn as tg

NETWORKS = Networks()


# ----------------------------------------------------------------------------------------------------------------------
# 1. A character model: the multiplicative RNN of Sutskever, Martens and Hinton 2011, in the manner of min-char-rnn.py
# ----------------------------------------------------------------------------------------------------------------------


def mrnn_program(p, inputs, targets):
    w = leaves_of(p)
    x = tg.one_hot(inputs, w["Why"].shape[0], dtype=tg.float64)
    h, logits = w["h0"], []
    for t in range(len(inputs)):
        factor = (w["Wfx"] @ x[t]) * (w["Wfh"] @ h)
        h = tg.tanh(w["Whf"] @ factor + w["Whx"] @ x[t] + w["bh"])
        logits.append(w["Why"] @ h + w["by"])
    loss = tg.nn.functional.cross_entropy(tg.stack(logits), targets, reduction="sum")
    return loss, w


def lossFun(p, inputs, targets):
    Wfx, Wfh, Whf, Whx, Why = p["Wfx"], p["Wfh"], p["Whf"], p["Whx"], p["Why"]
    bh, by = p["bh"].reshape(-1, 1), p["by"].reshape(-1, 1)
    xs, us, vs, fs, hs, ps = {}, {}, {}, {}, {}, {}
    hs[-1] = p["h0"].reshape(-1, 1)
    loss = 0
    # forward pass
    for t in range(len(inputs)):
        xs[t] = np.zeros((len(by), 1))  # 1-of-k
        xs[t][inputs[t]] = 1
        us[t] = np.dot(Wfx, xs[t])  # what the character says
        vs[t] = np.dot(Wfh, hs[t - 1])  # what the state says
        fs[t] = us[t] * vs[t]  # the factors
        hs[t] = np.tanh(np.dot(Whf, fs[t]) + np.dot(Whx, xs[t]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    # backward pass
    dWfx, dWfh, dWhf = np.zeros_like(Wfx), np.zeros_like(Wfh), np.zeros_like(Whf)
    dWhx, dWhy = np.zeros_like(Whx), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWhx += np.dot(dhraw, xs[t].T)
        dWhf += np.dot(dhraw, fs[t].T)
        df = np.dot(Whf.T, dhraw)
        du = df * vs[t]
        dv = df * us[t]
        dWfx += np.dot(du, xs[t].T)
        dWfh += np.dot(dv, hs[t - 1].T)
        dhnext = np.dot(Wfh.T, dv)
    dh0 = dhnext
    return {
        "Wfx": dWfx, "Wfh": dWfh, "Whf": dWhf, "Whx": dWhx, "bh": dbh.ravel(),
        "Why": dWhy, "by": dby.ravel(), "h0": dh0.ravel(),
    }


rng = np.random.default_rng(71)
NETWORKS["mrnn characters"] = Network(
    {
        "Wfx": rng.normal(0, 0.9, (3, 6)), "Wfh": rng.normal(0, 0.9, (3, 4)), "Whf": rng.normal(0, 0.9, (4, 3)),
        "Whx": rng.normal(0, 0.6, (4, 6)), "bh": rng.normal(0, 0.3, 4), "Why": rng.normal(0, 0.8, (6, 4)),
        "by": rng.normal(0, 0.3, 6), "h0": rng.normal(0, 0.6, 4),
    },
    {"inputs": [2, 5, 0, 3, 3], "targets": [5, 0, 3, 3, 1]},
    mrnn_program,
    [lossFun],
)


# ----------------------------------------------------------------------------------------------------------------------
# 2. An LSTM dialect: peepholes, projection, clipped cell, gates i|j|f|o with a forget bias; the port of a fused kernel
# ----------------------------------------------------------------------------------------------------------------------


def lstmp_program(p, x, y, cell_clip, forget_bias):
    w = leaves_of(p)
    hidden, width = w["proj"].shape
    x = const(x)
    c, m = tg.zeros(x.shape[1], hidden, dtype=tg.float64), tg.zeros(x.shape[1], width, dtype=tg.float64)
    out = []
    for x_t in x:
        i, j, f, o = (tg.cat([x_t, m], dim=1) @ w["kernel"] + w["bias"]).chunk(4, dim=1)
        i = tg.sigmoid(i + w["w_i_diag"] * c)
        f = tg.sigmoid(f + forget_bias + w["w_f_diag"] * c)
        c = (f * c + i * tg.tanh(j)).clamp(-cell_clip, cell_clip)
        o = tg.sigmoid(o + w["w_o_diag"] * c)
        m = (o * tg.tanh(c)) @ w["proj"]
        out.append(m)
    return tg.nn.functional.mse_loss(tg.stack(out), const(y)), w


def lstmp_kernel(p, x, y, cell_clip, forget_bias):
    W, bias, proj = p["kernel"], p["bias"], p["proj"]
    wi, wf, wo = p["w_i_diag"], p["w_f_diag"], p["w_o_diag"]
    T, B, I = x.shape
    H, P = proj.shape

    # workspace; row t of cs and ms is the state before step t. Gates are kept before activation and made again.
    z = np.empty((T, B, 4 * H))
    craw = np.empty((T, B, H))
    cs = np.zeros((T + 1, B, H))
    ms = np.zeros((T + 1, B, P))
    for t in range(T):
        z[t] = np.concatenate([x[t], ms[t]], axis=1) @ W + bias
        i = sigmoid(z[t, :, :H] + wi * cs[t])
        j = np.tanh(z[t, :, H : 2 * H])
        f = sigmoid(z[t, :, 2 * H : 3 * H] + forget_bias + wf * cs[t])
        craw[t] = f * cs[t] + i * j
        cs[t + 1] = np.clip(craw[t], -cell_clip, cell_clip)
        o = sigmoid(z[t, :, 3 * H :] + wo * cs[t + 1])
        ms[t + 1] = (o * np.tanh(cs[t + 1])) @ proj

    dz = np.empty_like(z)
    dproj = np.zeros_like(proj)
    dwi, dwf, dwo = np.zeros(H), np.zeros(H), np.zeros(H)
    dout = 2.0 / y.size * (ms[1:] - y)
    dm = np.zeros((B, P))
    dc = np.zeros((B, H))
    for t in range(T - 1, -1, -1):
        c_prev, c_cur = cs[t], cs[t + 1]
        gi = sigmoid(z[t, :, :H] + wi * c_prev)
        gj = np.tanh(z[t, :, H : 2 * H])
        gf = sigmoid(z[t, :, 2 * H : 3 * H] + forget_bias + wf * c_prev)
        go = sigmoid(z[t, :, 3 * H :] + wo * c_cur)
        tc = np.tanh(c_cur)

        dm += dout[t]
        dproj += (go * tc).T @ dm
        dhid = dm @ proj.T
        dzo = dhid * tc * go * (1 - go)
        dc += dhid * go * (1 - tc**2)
        dc += dzo * wo
        dc *= np.abs(craw[t]) <= cell_clip
        dzi = dc * gj * gi * (1 - gi)
        dzj = dc * gi * (1 - gj**2)
        dzf = dc * c_prev * gf * (1 - gf)
        dwi += (dzi * c_prev).sum(axis=0)
        dwf += (dzf * c_prev).sum(axis=0)
        dwo += (dzo * c_cur).sum(axis=0)
        dz[t] = np.concatenate([dzi, dzj, dzf, dzo], axis=1)
        dm = dz[t] @ W[I:].T
        dc *= gf
        dc += dzi * wi + dzf * wf

    xm = np.concatenate([x, ms[:-1]], axis=2)
    dkernel = xm.reshape(T * B, I + P).T @ dz.reshape(T * B, 4 * H)
    dbias = dz.sum(axis=(0, 1))
    return {"kernel": dkernel, "bias": dbias, "w_i_diag": dwi, "w_f_diag": dwf, "w_o_diag": dwo, "proj": dproj}


rng = np.random.default_rng(72)
NETWORKS["peephole lstmp"] = Network(
    {
        "kernel": rng.normal(0, 0.7, (7, 20)), "bias": rng.normal(0, 0.4, 20), "w_i_diag": rng.normal(0, 0.8, 5),
        "w_f_diag": rng.normal(0, 0.8, 5), "w_o_diag": rng.normal(0, 0.8, 5), "proj": rng.normal(0, 0.7, (5, 4)),
    },
    {"x": rng.normal(0, 1, (6, 2, 3)), "y": rng.normal(0, 1, (6, 2, 4)), "cell_clip": 0.7, "forget_bias": 1.0},
    lstmp_program,
    [lstmp_kernel],
)


# ----------------------------------------------------------------------------------------------------------------------
# 3. A GRU dialect: GRU-D of Che et al. 2018, for series with missing values; by the paper's equations
# ----------------------------------------------------------------------------------------------------------------------


def grud_program(p, x, mask, delta, x_last, x_mean, label):
    w = leaves_of(p)
    x, mask, delta, x_last, x_mean = const(x), const(mask), const(delta), const(x_last), const(x_mean)
    h = tg.zeros(x.shape[0], w["Uz"].shape[0], dtype=tg.float64)
    for t in range(x.shape[1]):
        m, d = mask[:, t], delta[:, t]
        gamma_x = tg.exp(-tg.relu(d * w["wgx"] + w["bgx"]))
        gamma_h = tg.exp(-tg.relu(d @ w["Wgh"] + w["bgh"]))
        xh = m * x[:, t] + (1 - m) * (gamma_x * x_last[:, t] + (1 - gamma_x) * x_mean)
        h = gamma_h * h
        z = tg.sigmoid(xh @ w["Wz"] + h @ w["Uz"] + m @ w["Vz"] + w["bz"])
        r = tg.sigmoid(xh @ w["Wr"] + h @ w["Ur"] + m @ w["Vr"] + w["br"])
        n = tg.tanh(xh @ w["Wh"] + (r * h) @ w["Uh"] + m @ w["Vh"] + w["bh"])
        h = (1 - z) * h + z * n
    score = h @ w["wo"] + w["bo"]
    return tg.nn.functional.binary_cross_entropy_with_logits(score, const(label)), w


def grud_forward(p, x, mask, delta, x_last, x_mean):
    B, T, D = x.shape
    h = np.zeros((B, len(p["bz"])))
    tape = []
    for t in range(T):
        m, d = mask[:, t], delta[:, t]
        ax = d * p["wgx"] + p["bgx"]
        gx = np.exp(-np.maximum(0, ax))  # eq. (3) of the inputs
        ah = d @ p["Wgh"] + p["bgh"]
        gh = np.exp(-np.maximum(0, ah))  # eq. (3) of the state
        xh = m * x[:, t] + (1 - m) * (gx * x_last[:, t] + (1 - gx) * x_mean)  # eq. (4)
        hd = gh * h  # eq. (5)
        z = sigmoid(xh @ p["Wz"] + hd @ p["Uz"] + m @ p["Vz"] + p["bz"])
        r = sigmoid(xh @ p["Wr"] + hd @ p["Ur"] + m @ p["Vr"] + p["br"])
        n = np.tanh(xh @ p["Wh"] + (r * hd) @ p["Uh"] + m @ p["Vh"] + p["bh"])
        tape.append((ax, gx, ah, gh, xh, h, hd, z, r, n))
        h = (1 - z) * hd + z * n
    return h, tape


def grud_backward(p, x, mask, delta, x_last, x_mean, label):
    hT, tape = grud_forward(p, x, mask, delta, x_last, x_mean)
    grad = {name: np.zeros_like(value) for name, value in p.items()}
    prob = sigmoid(hT @ p["wo"] + p["bo"])
    dscore = (prob - label) / len(label)
    grad["wo"] = hT.T @ dscore
    grad["bo"] = dscore.sum(keepdims=True)
    dh = np.outer(dscore, p["wo"])
    for t in range(x.shape[1] - 1, -1, -1):
        ax, gx, ah, gh, xh, h, hd, z, r, n = tape[t]
        m, d = mask[:, t], delta[:, t]
        # h = (1 - z) hd + z n
        dz = dh * (n - hd)
        dn = dh * z
        dhd = dh * (1 - z)
        # the candidate
        dan = dn * (1 - n**2)
        grad["Wh"] += xh.T @ dan
        grad["Uh"] += (r * hd).T @ dan
        grad["Vh"] += m.T @ dan
        grad["bh"] += dan.sum(0)
        drh = dan @ p["Uh"].T
        dr = drh * hd
        dhd += drh * r
        # the gates
        daz = dz * z * (1 - z)
        grad["Wz"] += xh.T @ daz
        grad["Uz"] += hd.T @ daz
        grad["Vz"] += m.T @ daz
        grad["bz"] += daz.sum(0)
        dar = dr * r * (1 - r)
        grad["Wr"] += xh.T @ dar
        grad["Ur"] += hd.T @ dar
        grad["Vr"] += m.T @ dar
        grad["br"] += dar.sum(0)
        dhd += daz @ p["Uz"].T + dar @ p["Ur"].T
        dxh = daz @ p["Wz"].T + dar @ p["Wr"].T + dan @ p["Wh"].T
        # the decay of the state
        dgh = dhd * h
        dah = -dgh * gh * (ah > 0)
        grad["Wgh"] += d.T @ dah
        grad["bgh"] += dah.sum(0)
        # the decay of the inputs
        dgx = dxh * (1 - m) * (x_last[:, t] - x_mean)
        dax = -dgx * gx * (ax > 0)
        grad["wgx"] += (dax * d).sum(0)
        grad["bgx"] += dax.sum(0)
        dh = dhd * gh
    return grad


def missing_values(rng, batch, steps, width):
    """A series with missing values, and its mask, time since the last observation, and last observation."""
    truth = rng.normal(0, 1, (batch, steps, width))
    mask = (rng.random((batch, steps, width)) < 0.5).astype(float)
    gaps = rng.uniform(0.3, 1.2, (batch, steps))
    delta, last = np.zeros_like(truth), np.zeros_like(truth)
    last[:, 0] = rng.normal(0, 0.5, (batch, width))
    for t in range(1, steps):
        delta[:, t] = gaps[:, t, None] + (1 - mask[:, t - 1]) * delta[:, t - 1]
        last[:, t] = np.where(mask[:, t - 1] > 0, truth[:, t - 1], last[:, t - 1])
    return {"x": truth * mask, "mask": mask, "delta": delta, "x_last": last, "x_mean": rng.normal(0, 0.4, width)}


rng = np.random.default_rng(73)
NETWORKS["gru-d"] = Network(
    {
        "wgx": rng.normal(0.2, 0.5, 2), "bgx": np.array([0.31, 0.17]),
        "Wgh": rng.normal(0.1, 0.5, (2, 4)), "bgh": rng.normal(0.1, 0.3, 4),
        "Wz": rng.normal(0, 0.8, (2, 4)), "Uz": rng.normal(0, 0.7, (4, 4)), "Vz": rng.normal(0, 0.6, (2, 4)), "bz": rng.normal(0, 0.3, 4),
        "Wr": rng.normal(0, 0.8, (2, 4)), "Ur": rng.normal(0, 0.7, (4, 4)), "Vr": rng.normal(0, 0.6, (2, 4)), "br": rng.normal(0, 0.3, 4),
        "Wh": rng.normal(0, 0.8, (2, 4)), "Uh": rng.normal(0, 0.7, (4, 4)), "Vh": rng.normal(0, 0.6, (2, 4)), "bh": rng.normal(0, 0.3, 4),
        "wo": rng.normal(0, 1.0, 4), "bo": rng.normal(0, 0.3, 1),
    },
    {**missing_values(rng, 3, 5, 2), "label": np.array([1.0, 0.0, 1.0])},
    grud_program,
    [grud_forward, grud_backward],
)


# ----------------------------------------------------------------------------------------------------------------------
# 4. Encoder and decoder with attention (Luong's "general" score, input feeding); one function a layer
# ----------------------------------------------------------------------------------------------------------------------


def seq2seq_program(p, source, source_mask, target_in, target_out, target_mask):
    w = leaves_of(p)
    embedded = tg.nn.functional.embedding(source, w["emb"])  # (B, S, E); both languages share the table
    keep = const(source_mask)
    h = tg.zeros(len(source), w["enc_b"].shape[0], dtype=tg.float64)
    memory = []
    for s in range(source.shape[1]):
        m = keep[:, s : s + 1]
        h_new = tg.tanh(embedded[:, s] @ w["enc_wx"].T + h @ w["enc_wh"].T + w["enc_b"])
        h = m * h_new + (1 - m) * h
        memory.append(h)
    memory = tg.stack(memory, dim=1)  # (B, S, H)
    embedded = tg.nn.functional.embedding(target_in, w["emb"])
    fed = tg.zeros(len(source), w["att_wc"].shape[0], dtype=tg.float64)
    logits = []
    for t in range(target_in.shape[1]):
        gi = tg.cat([embedded[:, t], fed], dim=1) @ w["dec_wi"].T + w["dec_bi"]
        gh = h @ w["dec_wh"].T + w["dec_bh"]
        i_r, i_z, i_n = gi.chunk(3, dim=1)
        h_r, h_z, h_n = gh.chunk(3, dim=1)
        r, z = tg.sigmoid(i_r + h_r), tg.sigmoid(i_z + h_z)
        n = tg.tanh(i_n + r * h_n)
        h = (1 - z) * n + z * h
        scores = (memory @ (h @ w["att_wa"]).unsqueeze(2)).squeeze(2).masked_fill(source_mask == 0, float("-inf"))
        context = (tg.softmax(scores, dim=1).unsqueeze(1) @ memory).squeeze(1)
        fed = tg.tanh(tg.cat([context, h], dim=1) @ w["att_wc"].T)
        logits.append(fed @ w["out_w"].T + w["out_b"])
    losses = tg.nn.functional.cross_entropy(
        tg.stack(logits, dim=1).reshape(-1, w["out_b"].shape[0]), target_out.reshape(-1), reduction="none"
    )
    keep = const(target_mask.reshape(-1))
    return (losses * keep).sum() / keep.sum(), w


def rnn_step_forward(x, h, m, wx, wh, b):
    new = np.tanh(x @ wx.T + h @ wh.T + b)
    return m * new + (1 - m) * h, (x, h, m, new, wx, wh)


def rnn_step_backward(dout, cache):
    x, h, m, new, wx, wh = cache
    da = dout * m * (1 - new * new)
    dwx, dwh, db = da.T @ x, da.T @ h, da.sum(axis=0)
    dx = da @ wx
    dh = da @ wh + (1 - m) * dout
    return dx, dh, dwx, dwh, db


def gru_step_forward(x, h, wi, wh, bi, bh):
    i_r, i_z, i_n = np.split(x @ wi.T + bi, 3, axis=1)
    h_r, h_z, h_n = np.split(h @ wh.T + bh, 3, axis=1)
    r = sigmoid(i_r + h_r)
    z = sigmoid(i_z + h_z)
    n = np.tanh(i_n + r * h_n)
    return (1 - z) * n + z * h, (x, h, r, z, n, h_n, wi, wh)


def gru_step_backward(dnew, cache):
    x, h, r, z, n, h_n, wi, wh = cache
    dn = dnew * (1 - z) * (1 - n * n)
    dz = dnew * (h - n) * z * (1 - z)
    dr = dn * h_n * r * (1 - r)
    dgi = np.concatenate([dr, dz, dn], axis=1)
    dgh = np.concatenate([dr, dz, dn * r], axis=1)
    dx = dgi @ wi
    dh = dgh @ wh + dnew * z
    return dx, dh, dgi.T @ x, dgh.T @ h, dgi.sum(axis=0), dgh.sum(axis=0)


def attention_forward(h, memory, keep, wa, wc):
    query = h @ wa
    scores = np.einsum("bh,bsh->bs", query, memory)
    scores = np.where(keep > 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    context = np.einsum("bs,bsh->bh", weights, memory)
    both = np.concatenate([context, h], axis=1)
    out = np.tanh(both @ wc.T)
    return out, (h, memory, query, weights, both, out, wa, wc)


def attention_backward(dout, cache):
    h, memory, query, weights, both, out, wa, wc = cache
    da = dout * (1 - out * out)
    dwc = da.T @ both
    dcontext, dh = np.split(da @ wc, 2, axis=1)
    dweights = np.einsum("bh,bsh->bs", dcontext, memory)
    dmemory = np.einsum("bs,bh->bsh", weights, dcontext)
    dscores = weights * (dweights - (weights * dweights).sum(axis=1, keepdims=True))
    dmemory += np.einsum("bs,bh->bsh", dscores, query)
    dquery = np.einsum("bs,bsh->bh", dscores, memory)
    dwa = h.T @ dquery
    dh = dh + dquery @ wa.T
    return dh, dmemory, dwa, dwc


def seq2seq(p, source, source_mask, target_in, target_out, target_mask):
    B, S = source.shape
    T = target_in.shape[1]
    emb = p["emb"]
    E = emb.shape[1]

    h = np.zeros((B, len(p["enc_b"])))
    memory, enc_caches = [], []
    for s in range(S):
        h, cache = rnn_step_forward(emb[source[:, s]], h, source_mask[:, s : s + 1], p["enc_wx"], p["enc_wh"], p["enc_b"])
        memory.append(h)
        enc_caches.append(cache)
    memory = np.stack(memory, axis=1)
    fed = np.zeros((B, len(p["att_wc"])))
    dec_caches, att_caches, feds = [], [], []
    for t in range(T):
        x = np.concatenate([emb[target_in[:, t]], fed], axis=1)
        h, cache = gru_step_forward(x, h, p["dec_wi"], p["dec_wh"], p["dec_bi"], p["dec_bh"])
        dec_caches.append(cache)
        fed, cache = attention_forward(h, memory, source_mask, p["att_wa"], p["att_wc"])
        att_caches.append(cache)
        feds.append(fed)

    g = {k: np.zeros_like(v) for k, v in p.items()}
    dmemory = np.zeros_like(memory)
    demb_target = np.zeros((B, T, E))
    demb_source = np.zeros((B, S, E))
    dh = np.zeros_like(h)
    dfed = np.zeros_like(fed)
    tokens = target_mask.sum()
    for t in reversed(range(T)):
        logits = feds[t] @ p["out_w"].T + p["out_b"]
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        dlogits = probs
        dlogits[np.arange(B), target_out[:, t]] -= 1
        dlogits *= target_mask[:, t : t + 1] / tokens
        g["out_w"] += dlogits.T @ feds[t]
        g["out_b"] += dlogits.sum(axis=0)
        dfed = dfed + dlogits @ p["out_w"]
        dh_att, dmem, dwa, dwc = attention_backward(dfed, att_caches[t])
        dmemory += dmem
        g["att_wa"] += dwa
        g["att_wc"] += dwc
        dx, dh, dwi, dwh, dbi, dbh = gru_step_backward(dh + dh_att, dec_caches[t])
        g["dec_wi"] += dwi
        g["dec_wh"] += dwh
        g["dec_bi"] += dbi
        g["dec_bh"] += dbh
        demb_target[:, t] = dx[:, :E]
        dfed = dx[:, E:]
    for s in reversed(range(S)):
        dx, dh, dwx, dwh, db = rnn_step_backward(dh + dmemory[:, s], enc_caches[s])
        g["enc_wx"] += dwx
        g["enc_wh"] += dwh
        g["enc_b"] += db
        demb_source[:, s] = dx
    np.add.at(g["emb"], source, demb_source)
    np.add.at(g["emb"], target_in, demb_target)
    return g


rng = np.random.default_rng(74)
NETWORKS["seq2seq attention"] = Network(
    {
        "emb": rng.normal(0, 0.9, (7, 3)),
        "enc_wx": rng.normal(0, 0.7, (4, 3)), "enc_wh": rng.normal(0, 0.6, (4, 4)), "enc_b": rng.normal(0, 0.3, 4),
        "dec_wi": rng.normal(0, 0.6, (12, 7)), "dec_wh": rng.normal(0, 0.6, (12, 4)), "dec_bi": rng.normal(0, 0.3, 12),
        "dec_bh": rng.normal(0, 0.3, 12), "att_wa": rng.normal(0, 0.8, (4, 4)), "att_wc": rng.normal(0, 0.6, (4, 8)),
        "out_w": rng.normal(0, 0.9, (7, 4)), "out_b": rng.normal(0, 0.3, 7),
    },
    {
        "source": np.array([[3, 5, 2, 5, 6, 1], [4, 6, 3, 1, 0, 0]]),
        "source_mask": np.array([[1.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
        "target_in": np.array([[1, 6, 2, 4, 2], [1, 5, 3, 0, 0]]),
        "target_out": np.array([[6, 2, 4, 2, 1], [5, 3, 1, 0, 0]]),
        "target_mask": np.array([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    },
    seq2seq_program,
    [rnn_step_forward, rnn_step_backward, gru_step_forward, gru_step_backward, attention_forward, attention_backward, seq2seq],
)


# ----------------------------------------------------------------------------------------------------------------------
# 5. Two layers in two directions over sentences of unequal length, LSTM with coupled gates (i = 1 - f), mean and max pooling
# ----------------------------------------------------------------------------------------------------------------------


def bilstm_program(p, x, lengths, label):
    w = leaves_of(p)
    layer, steps, batch = const(x), x.shape[0], x.shape[1]
    mask = np.arange(steps)[:, None] < lengths
    turned = np.where(mask, lengths - 1 - np.arange(steps)[:, None], np.arange(steps)[:, None])
    columns = np.arange(batch)
    hidden = w["U_1f"].shape[1]
    for k in (1, 2):
        directions = []
        for d in "fb":
            xs = layer if d == "f" else layer[turned, columns]
            h = c = tg.zeros(batch, hidden, dtype=tg.float64)
            hs = []
            for t in range(steps):
                f, g, o = (xs[t] @ w[f"W_{k}{d}"].T + h @ w[f"U_{k}{d}"].T + w[f"b_{k}{d}"]).chunk(3, dim=1)
                f, o = tg.sigmoid(f), tg.sigmoid(o)
                c = f * c + (1 - f) * tg.tanh(g)
                h = o * tg.tanh(c)
                hs.append(h)
            hs = tg.stack(hs)
            directions.append(hs if d == "f" else hs[turned, columns])
        layer = tg.cat(directions, dim=2)
    keep = const(mask[:, :, None])
    mean = (layer * keep).sum(0) / const(lengths[:, None])
    largest = layer.masked_fill(~mask[:, :, None], -np.inf).amax(0)
    logits = tg.cat([mean, largest], dim=1) @ w["W_out"].T + w["b_out"]
    return tg.nn.functional.cross_entropy(logits, label), w


def lstm_forward(x, W, U, b):
    T, B, _ = x.shape
    H = U.shape[1]
    h, c = np.zeros((B, H)), np.zeros((B, H))
    hs, cache = np.zeros((T, B, H)), []
    for t in range(T):
        a = x[t] @ W.T + h @ U.T + b
        f, g, o = sigmoid(a[:, :H]), np.tanh(a[:, H : 2 * H]), sigmoid(a[:, 2 * H :])
        c_new = f * c + (1 - f) * g
        cache.append((x[t], h, c, f, g, o, c_new))
        c = c_new
        h = o * np.tanh(c)
        hs[t] = h
    return hs, cache


def lstm_backward(dhs, cache, W, U, b):
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dx = np.zeros(dhs.shape[:2] + (W.shape[1],))
    dh_next, dc_next = np.zeros_like(dhs[0]), np.zeros_like(dhs[0])
    for t in range(len(dhs) - 1, -1, -1):
        x, h, c, f, g, o, c_new = cache[t]
        dh = dhs[t] + dh_next
        tanh_c = np.tanh(c_new)
        do = dh * tanh_c
        dc = dc_next + dh * o * (1 - tanh_c**2)
        df = dc * (c - g)
        dg = dc * (1 - f)
        dc_next = dc * f
        da = np.hstack([df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dW += da.T @ x
        dU += da.T @ h
        db += da.sum(axis=0)
        dx[t] = da @ W
        dh_next = da @ U
    return dx, dW, dU, db


def bilstm(p, x, lengths, label):
    T, B, _ = x.shape
    H = p["U_1f"].shape[1]
    t = np.arange(T)[:, None]
    mask = t < lengths
    turned = np.where(mask, lengths - 1 - t, t)  # every sentence turned round within its own length

    def turn(a):
        return a[turned, np.arange(B)]

    # forward
    out_f, cache_1f = lstm_forward(x, p["W_1f"], p["U_1f"], p["b_1f"])
    out_b, cache_1b = lstm_forward(turn(x), p["W_1b"], p["U_1b"], p["b_1b"])
    h1 = np.concatenate([out_f, turn(out_b)], axis=2)
    out_f, cache_2f = lstm_forward(h1, p["W_2f"], p["U_2f"], p["b_2f"])
    out_b, cache_2b = lstm_forward(turn(h1), p["W_2b"], p["U_2b"], p["b_2b"])
    h2 = np.concatenate([out_f, turn(out_b)], axis=2)
    mean = (h2 * mask[:, :, None]).sum(axis=0) / lengths[:, None]
    padded = np.where(mask[:, :, None], h2, -np.inf)
    features = np.hstack([mean, padded.max(axis=0)])
    scores = features @ p["W_out"].T + p["b_out"]
    prob = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    # backward
    grad = {}
    dscores = prob.copy()
    dscores[np.arange(B), label] -= 1
    dscores /= B
    grad["W_out"] = dscores.T @ features
    grad["b_out"] = dscores.sum(axis=0)
    dfeatures = dscores @ p["W_out"]
    dmean, dmax = dfeatures[:, : 2 * H], dfeatures[:, 2 * H :]
    dh2 = mask[:, :, None] * dmean / lengths[:, None]
    winner = padded.argmax(axis=0)
    rows, units = np.ogrid[:B, : 2 * H]
    dh2[winner, rows, units] += dmax
    dx_f, grad["W_2f"], grad["U_2f"], grad["b_2f"] = lstm_backward(dh2[:, :, :H], cache_2f, p["W_2f"], p["U_2f"], p["b_2f"])
    dx_b, grad["W_2b"], grad["U_2b"], grad["b_2b"] = lstm_backward(turn(dh2[:, :, H:]), cache_2b, p["W_2b"], p["U_2b"], p["b_2b"])
    dh1 = dx_f + turn(dx_b)
    _, grad["W_1f"], grad["U_1f"], grad["b_1f"] = lstm_backward(dh1[:, :, :H], cache_1f, p["W_1f"], p["U_1f"], p["b_1f"])
    _, grad["W_1b"], grad["U_1b"], grad["b_1b"] = lstm_backward(turn(dh1[:, :, H:]), cache_1b, p["W_1b"], p["U_1b"], p["b_1b"])
    return grad


rng = np.random.default_rng(75)
NETWORKS["bilstm pooling"] = Network(
    {
        **{
            f"{kind}_{k}{d}": rng.normal(0, 0.7, shape)
            for k, width in ((1, 2), (2, 8))
            for d in "fb"
            for kind, shape in (("W", (12, width)), ("U", (12, 4)), ("b", (12,)))
        },
        "W_out": rng.normal(0, 0.8, (5, 16)), "b_out": rng.normal(0, 0.3, 5),
    },
    {"x": rng.normal(0, 1, (6, 3, 2)), "lengths": np.array([6, 3, 4]), "label": np.array([2, 0, 3])},
    bilstm_program,
    [lstm_forward, lstm_backward, bilstm],
)


# ----------------------------------------------------------------------------------------------------------------------
# 6. A modern gated linear recurrence: the Griffin block (RG-LRU, causal convolution, GeLU branch, residual); with einsum
# ----------------------------------------------------------------------------------------------------------------------


def griffin_program(p, ids, target, c, delta):
    w = leaves_of(p)
    x = tg.nn.functional.embedding(ids, w["E"])
    batch, steps = ids.shape
    u = x @ w["W_x"]
    width, hidden = w["conv"].shape
    padded = tg.cat([tg.zeros(batch, width - 1, hidden, dtype=tg.float64), u], dim=1)
    v = w["conv_b"] + sum(w["conv"][k] * padded[:, width - 1 - k : width - 1 - k + steps] for k in range(width))
    r = tg.sigmoid(v @ w["W_a"] + w["b_a"])
    i = tg.sigmoid(v @ w["W_i"] + w["b_i"])
    a = tg.exp(-c * tg.softplus(w["Lambda"]) * r)
    inputs = tg.sqrt(1 - a**2) * (i * v)
    h, hs = tg.zeros(batch, hidden, dtype=tg.float64), []
    for t in range(steps):
        h = a[:, t] * h + inputs[:, t]
        hs.append(h)
    branch = tg.nn.functional.gelu(x @ w["W_g"], approximate="tanh")
    y = x + (tg.stack(hs, dim=1) * branch) @ w["W_o"]
    return tg.nn.functional.huber_loss(y, const(target), delta=delta), w


def griffin(p, ids, target, c, delta):
    # forward, everything [batch, time, channel]
    x = p["E"][ids]
    u = np.einsum("btd,dh->bth", x, p["W_x"])
    B, T, H = u.shape
    K = len(p["conv"])
    v = np.tile(p["conv_b"], (B, T, 1))
    for k in range(K):
        v[:, k:] += p["conv"][k] * u[:, : T - k]
    r = sigmoid(np.einsum("bti,ij->btj", v, p["W_a"]) + p["b_a"])
    i = sigmoid(np.einsum("bti,ij->btj", v, p["W_i"]) + p["b_i"])
    sp = np.log1p(np.exp(p["Lambda"]))
    a = np.exp(-c * sp * r)
    norm = np.sqrt(1 - a**2)
    h = np.zeros((B, T, H))
    h_prev = np.zeros((B, T, H))
    state = np.zeros((B, H))
    for t in range(T):
        h_prev[:, t] = state
        state = a[:, t] * state + norm[:, t] * i[:, t] * v[:, t]
        h[:, t] = state
    q = np.einsum("btd,dh->bth", x, p["W_g"])
    k0, k1 = np.sqrt(2 / np.pi), 0.044715
    th = np.tanh(k0 * (q + k1 * q**3))
    g = 0.5 * q * (1 + th)
    s = h * g
    y = x + np.einsum("bth,hd->btd", s, p["W_o"])

    # backward
    grads = {}
    dy = np.clip(y - target, -delta, delta) / target.size
    grads["W_o"] = np.einsum("bth,btd->hd", s, dy)
    ds = np.einsum("btd,hd->bth", dy, p["W_o"])
    dh = ds * g
    dg = ds * h
    # the adjoint recurrence
    lam = np.zeros_like(dh)
    lam[:, -1] = dh[:, -1]
    for t in range(T - 2, -1, -1):
        lam[:, t] = dh[:, t] + a[:, t + 1] * lam[:, t + 1]
    dnorm = lam * i * v
    di = lam * norm * v
    dv = lam * norm * i
    da = lam * h_prev
    da += dnorm * (-a / norm)
    dlog_a = da * a
    dr = -c * sp * dlog_a
    dsp = np.einsum("bth,bth->h", -c * r, dlog_a)
    grads["Lambda"] = dsp * sigmoid(p["Lambda"])
    dpre_r = dr * r * (1 - r)
    dpre_i = di * i * (1 - i)
    grads["W_a"] = np.einsum("bti,btj->ij", v, dpre_r)
    grads["W_i"] = np.einsum("bti,btj->ij", v, dpre_i)
    grads["b_a"] = np.einsum("btj->j", dpre_r)
    grads["b_i"] = np.einsum("btj->j", dpre_i)
    dv += np.einsum("btj,ij->bti", dpre_r, p["W_a"])
    dv += np.einsum("btj,ij->bti", dpre_i, p["W_i"])
    # the causal convolution
    grads["conv_b"] = np.einsum("bth->h", dv)
    grads["conv"] = np.zeros((K, H))
    du = np.zeros_like(u)
    for k in range(K):
        grads["conv"][k] = np.einsum("bth,bth->h", dv[:, k:], u[:, : T - k])
        du[:, : T - k] += p["conv"][k] * dv[:, k:]
    # the branch
    dq = dg * (0.5 * (1 + th) + 0.5 * q * (1 - th**2) * k0 * (1 + 3 * k1 * q**2))
    grads["W_g"] = np.einsum("btd,bth->dh", x, dq)
    grads["W_x"] = np.einsum("btd,bth->dh", x, du)
    dx = dy + np.einsum("bth,dh->btd", du, p["W_x"]) + np.einsum("bth,dh->btd", dq, p["W_g"])
    grads["E"] = np.zeros_like(p["E"])
    np.add.at(grads["E"], ids, dx)
    return grads


rng = np.random.default_rng(76)
NETWORKS["griffin rg-lru"] = Network(
    {
        "E": rng.normal(0, 1, (7, 5)), "W_x": rng.normal(0, 0.6, (5, 4)), "conv": rng.normal(0, 0.7, (3, 4)),
        "conv_b": rng.normal(0, 0.3, 4), "W_a": rng.normal(0, 0.7, (4, 4)), "b_a": rng.normal(0, 0.4, 4),
        "W_i": rng.normal(0, 0.7, (4, 4)), "b_i": rng.normal(0, 0.4, 4), "Lambda": rng.uniform(-3.2, -1.2, 4),
        "W_g": rng.normal(0, 0.8, (5, 4)), "W_o": rng.normal(0, 0.8, (4, 5)),
    },
    {"ids": np.array([[4, 1, 0, 6, 2, 1], [3, 3, 5, 0, 4, 2]]), "target": rng.normal(0, 1, (2, 6, 5)), "c": 8.0, "delta": 0.8},
    griffin_program,
    [griffin],
)


# ----------------------------------------------------------------------------------------------------------------------
# 7. An external memory: a neural Turing machine with one head that writes, then reads; a class, one sequence, no batch
# ----------------------------------------------------------------------------------------------------------------------


def ntm_program(p, xs, targets):
    w = leaves_of(p)
    M, w_prev, r = w["M0"], tg.softmax(w["w0"], dim=0), tg.zeros(w["M0"].shape[1], dtype=tg.float64)
    logits = []
    for x in const(xs):
        h = tg.tanh(w["Wx"] @ x + w["Wr"] @ r + w["b"])
        key, strength, gate = tg.tanh(w["Wk"] @ h), tg.softplus(w["wbeta"] @ h), tg.sigmoid(w["wg"] @ h)
        shift, sharpness = tg.softmax(w["Ws"] @ h, dim=0), 1 + tg.softplus(w["wgamma"] @ h)
        erase, add = tg.sigmoid(w["We"] @ h), tg.tanh(w["Wa"] @ h)
        similar = (M @ key) / (M.norm(dim=1) * key.norm() + 1e-8)
        content = tg.softmax(strength * similar, dim=0)
        mixed = gate * content + (1 - gate) * w_prev
        moved = (
            shift[0] * tg.cat([mixed[1:], mixed[:1]]) + shift[1] * mixed + shift[2] * tg.cat([mixed[-1:], mixed[:-1]])
        )
        power = moved**sharpness
        w_prev = power / power.sum()
        M = M * (1 - tg.outer(w_prev, erase)) + tg.outer(w_prev, add)
        r = w_prev @ M
        logits.append(w["Wy"] @ tg.cat([h, r]) + w["by"])
    return tg.nn.functional.binary_cross_entropy_with_logits(tg.stack(logits), const(targets), reduction="sum"), w


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


class NTM:
    EPS = 1e-8

    def __init__(self, p):
        self.p = p
        self.M = p["M0"]
        self.w = softmax(p["w0"])
        self.r = np.zeros(p["M0"].shape[1])
        self.history = []

    def step(self, x):
        p, M = self.p, self.M
        s = {"x": x, "r_prev": self.r, "w_prev": self.w, "M_prev": M}
        s["h"] = h = np.tanh(p["Wx"] @ x + p["Wr"] @ self.r + p["b"])
        s["k"] = k = np.tanh(p["Wk"] @ h)
        s["beta"] = beta = np.log1p(np.exp(p["wbeta"] @ h))
        s["g"] = g = sigmoid(p["wg"] @ h)
        s["s"] = shift = softmax(p["Ws"] @ h)
        s["gamma"] = gamma = 1 + np.log1p(np.exp(p["wgamma"] @ h))
        s["e"] = e = sigmoid(p["We"] @ h)
        s["a"] = a = np.tanh(p["Wa"] @ h)
        # addressing
        s["norms"] = np.sqrt((M * M).sum(1))
        s["K"] = M @ k / (s["norms"] * np.sqrt(k @ k) + self.EPS)
        s["wc"] = softmax(beta * s["K"])
        s["wg"] = g * s["wc"] + (1 - g) * self.w
        s["wt"] = shift[0] * np.roll(s["wg"], -1) + shift[1] * s["wg"] + shift[2] * np.roll(s["wg"], 1)
        power = s["wt"] ** gamma
        s["Z"] = power.sum()
        s["w"] = self.w = power / s["Z"]
        # first write, then read
        M = M * (1 - np.outer(self.w, e)) + np.outer(self.w, a)
        s["M"] = self.M = M
        s["r"] = self.r = M.T @ self.w
        s["y"] = sigmoid(p["Wy"] @ np.concatenate([h, self.r]) + p["by"])
        self.history.append(s)

    def backprop(self, targets):
        p, H = self.p, len(self.p["b"])
        self.grad = {name: np.zeros_like(value) for name, value in p.items()}
        self.dM = np.zeros_like(self.M)
        self.dw = np.zeros_like(self.w)
        self.dr = np.zeros_like(self.r)
        for s, target in zip(reversed(self.history), targets[::-1], strict=True):
            self.back_one(s, target, p, H)
        self.grad["M0"] = self.dM
        w0 = softmax(p["w0"])
        self.grad["w0"] = w0 * (self.dw - self.dw @ w0)
        return self.grad

    def back_one(self, s, target, p, H):
        # output
        dy = s["y"] - target
        self.grad["Wy"] += np.outer(dy, np.concatenate([s["h"], s["r"]]))
        self.grad["by"] += dy
        d = p["Wy"].T @ dy
        dh, dr = d[:H], d[H:] + self.dr
        # read
        dw = self.dw + s["M"] @ dr
        dM = self.dM + np.outer(s["w"], dr)
        # write
        dw += (dM * (s["a"] - s["M_prev"] * s["e"])).sum(1)
        de = -s["w"] @ (dM * s["M_prev"])
        da = s["w"] @ dM
        dM_prev = dM * (1 - np.outer(s["w"], s["e"]))
        # sharpening
        centred = dw - dw @ s["w"]
        dgamma = (centred * s["w"] * np.log(s["wt"])).sum()
        dwt = centred * s["gamma"] * s["wt"] ** (s["gamma"] - 1) / s["Z"]
        # shift
        ds = np.array([dwt @ np.roll(s["wg"], -1), dwt @ s["wg"], dwt @ np.roll(s["wg"], 1)])
        dwg = s["s"][0] * np.roll(dwt, 1) + s["s"][1] * dwt + s["s"][2] * np.roll(dwt, -1)
        # interpolation
        dg = dwg @ (s["wc"] - s["w_prev"])
        dwc = s["g"] * dwg
        dw_prev = (1 - s["g"]) * dwg
        # content
        dz = s["wc"] * (dwc - dwc @ s["wc"])
        dbeta = dz @ s["K"]
        dK = s["beta"] * dz
        k_norm = np.sqrt(s["k"] @ s["k"])
        D = s["norms"] * k_norm + self.EPS
        dk = s["M_prev"].T @ (dK / D) - (dK * s["K"] * s["norms"] / D).sum() * s["k"] / k_norm
        dM_prev += np.outer(dK / D, s["k"]) - (dK * s["K"] * k_norm / D / s["norms"])[:, None] * s["M_prev"]
        # what the head was told
        told = {
            "Wk": dk * (1 - s["k"] ** 2),
            "Ws": s["s"] * (ds - ds @ s["s"]),
            "We": de * s["e"] * (1 - s["e"]),
            "Wa": da * (1 - s["a"] ** 2),
        }
        for name, dpre in told.items():
            self.grad[name] += np.outer(dpre, s["h"])
            dh = dh + p[name].T @ dpre
        numbers = {
            "wbeta": dbeta * (1 - np.exp(-s["beta"])),
            "wg": dg * s["g"] * (1 - s["g"]),
            "wgamma": dgamma * (1 - np.exp(1 - s["gamma"])),
        }
        for name, dpre in numbers.items():
            self.grad[name] += dpre * s["h"]
            dh = dh + dpre * p[name]
        # controller
        dpre = dh * (1 - s["h"] ** 2)
        self.grad["Wx"] += np.outer(dpre, s["x"])
        self.grad["Wr"] += np.outer(dpre, s["r_prev"])
        self.grad["b"] += dpre
        self.dr = p["Wr"].T @ dpre
        self.dw = dw_prev
        self.dM = dM_prev


def ntm_gradients(p, xs, targets):
    machine = NTM(p)
    for x in xs:
        machine.step(x)
    return machine.backprop(targets)


rng = np.random.default_rng(77)
NETWORKS["turing machine"] = Network(
    {
        "Wx": rng.normal(0, 0.8, (5, 2)), "Wr": rng.normal(0, 0.8, (5, 3)), "b": rng.normal(0, 0.4, 5),
        "Wk": rng.normal(0, 0.8, (3, 5)), "wbeta": rng.normal(0.3, 0.8, 5), "wg": rng.normal(0, 0.8, 5),
        "Ws": rng.normal(0, 0.9, (3, 5)), "wgamma": rng.normal(0, 0.8, 5), "We": rng.normal(0, 0.8, (3, 5)),
        "Wa": rng.normal(0, 0.8, (3, 5)), "Wy": rng.normal(0, 0.8, (2, 8)), "by": rng.normal(0, 0.4, 2),
        "M0": rng.normal(0, 0.8, (4, 3)), "w0": rng.normal(0, 0.8, 4),
    },
    {"xs": rng.normal(0, 1, (6, 2)), "targets": np.array([[1.0, 0], [0, 0], [1, 1], [0, 1], [1, 0], [1, 1]])},
    ntm_program,
    [softmax, NTM, ntm_gradients],
)


# ----------------------------------------------------------------------------------------------------------------------
# 8. A regularised word model: two SRU layers with highway and layer norm, tied embedding, locked dropout, activation penalties
# ----------------------------------------------------------------------------------------------------------------------


def awd_program(p, ids, nxt, word_mask, in_mask, out_mask, scale, alpha, beta, decay):
    w = leaves_of(p)
    steps, batch = ids.shape
    width = w["E"].shape[1]
    x = tg.nn.functional.embedding(ids, w["E"] * const(word_mask)) * const(in_mask)
    for k in range(2):
        normed = tg.nn.functional.layer_norm(x, (width,), w[f"gain{k}"], w[f"shift{k}"])
        pre_x, pre_f, pre_r = (normed @ w[f"W{k}"]).chunk(3, dim=2)
        c, hs = tg.zeros(batch, width, dtype=tg.float64), []
        for t in range(steps):
            f = tg.sigmoid(pre_f[t] + w[f"vf{k}"] * c + w[f"bf{k}"])
            r = tg.sigmoid(pre_r[t] + w[f"vr{k}"] * c + w[f"br{k}"])
            c = f * c + (1 - f) * pre_x[t]
            hs.append(r * c + (1 - r) * scale * x[t])
        x = tg.stack(hs)
    dropped = x * const(out_mask)
    logits = dropped @ w["E"].T + w["bo"]
    loss = tg.nn.functional.cross_entropy(logits.reshape(steps * batch, -1), nxt.reshape(-1))
    loss = loss + alpha * dropped.square().mean()  # activation regularisation
    loss = loss + beta * (x[1:] - x[:-1]).square().mean()  # temporal activation regularisation
    return loss + 0.5 * decay * (w["W0"].square().sum() + w["W1"].square().sum()), w


def layer_norm(x, gain, shift):
    mu = x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    xhat = (x - mu) * rstd
    return xhat * gain + shift, (xhat, rstd, gain)


def layer_norm_bwd(dy, saved):
    xhat, rstd, gain = saved
    dgain = (dy * xhat).sum(axis=(0, 1))
    dshift = dy.sum(axis=(0, 1))
    dxhat = dy * gain
    dx = rstd * (dxhat - dxhat.mean(axis=-1, keepdims=True) - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True))
    return dx, dgain, dshift


def awd_sru(p, ids, nxt, word_mask, in_mask, out_mask, scale, alpha, beta, decay):
    T, B = ids.shape
    V, D = p["E"].shape
    L = 2
    # forward: lists over layers of dicts of lists over time
    x = (p["E"] * word_mask)[ids] * in_mask
    tape = []
    for k in range(L):
        normed, ln = layer_norm(x, p[f"gain{k}"], p[f"shift{k}"])
        z = normed @ p[f"W{k}"]
        s = {"x": x, "normed": normed, "ln": ln, "new": z[..., :D], "f": [], "r": [], "c": [], "h": []}
        c = np.zeros((B, D))
        for t in range(T):
            f = sigmoid(z[t, :, D : 2 * D] + p[f"vf{k}"] * c + p[f"bf{k}"])
            r = sigmoid(z[t, :, 2 * D :] + p[f"vr{k}"] * c + p[f"br{k}"])
            c = f * c + (1 - f) * s["new"][t]
            h = r * c + (1 - r) * scale * x[t]
            for name, value in (("f", f), ("r", r), ("c", c), ("h", h)):
                s[name].append(value)
        x = np.array(s["h"])
        tape.append(s)
    dropped = x * out_mask
    logits = dropped @ p["E"].T + p["bo"]
    prob = np.exp(logits - logits.max(axis=-1, keepdims=True))
    prob /= prob.sum(axis=-1, keepdims=True)

    # backward
    g = {name: np.zeros_like(value) for name, value in p.items()}
    dlogits = (prob - np.eye(V)[nxt]) / (T * B)
    g["bo"] = dlogits.sum(axis=(0, 1))
    g["E"] += np.tensordot(dlogits, dropped, axes=([0, 1], [0, 1]))
    ddropped = dlogits @ p["E"]
    ddropped += 2 * alpha * dropped / dropped.size
    dx = ddropped * out_mask
    jump = 2 * beta * (x[1:] - x[:-1]) / ((T - 1) * B * D)
    dx[1:] += jump
    dx[:-1] -= jump
    for k in reversed(range(L)):
        s = tape[k]
        dz = np.zeros((T, B, 3 * D))
        dhighway = np.zeros((T, B, D))
        dc = np.zeros((B, D))
        for t in reversed(range(T)):
            c_prev = s["c"][t - 1] if t > 0 else np.zeros((B, D))
            f, r, dh = s["f"][t], s["r"][t], dx[t]
            dr = dh * (s["c"][t] - scale * s["x"][t]) * r * (1 - r)
            dc = dc + dh * r
            dhighway[t] = dh * (1 - r) * scale
            df = dc * (c_prev - s["new"][t]) * f * (1 - f)
            dz[t] = np.hstack([dc * (1 - f), df, dr])
            g[f"vf{k}"] += (df * c_prev).sum(axis=0)
            g[f"vr{k}"] += (dr * c_prev).sum(axis=0)
            g[f"bf{k}"] += df.sum(axis=0)
            g[f"br{k}"] += dr.sum(axis=0)
            dc = dc * f + df * p[f"vf{k}"] + dr * p[f"vr{k}"]
        g[f"W{k}"] = np.einsum("tbi,tbj->ij", s["normed"], dz) + decay * p[f"W{k}"]
        dnormed = dz @ p[f"W{k}"].T
        dnorm_in, g[f"gain{k}"], g[f"shift{k}"] = layer_norm_bwd(dnormed, s["ln"])
        dx = dnorm_in + dhighway
    demb = np.zeros((V, D))
    np.add.at(demb, ids, dx * in_mask)
    g["E"] += demb * word_mask
    return g


rng = np.random.default_rng(78)
NETWORKS["awd sru"] = Network(
    {
        "E": rng.normal(0, 0.9, (7, 4)), "bo": rng.normal(0, 0.3, 7),
        **{
            f"{name}{k}": rng.normal(centre, spread, shape)
            for k in range(2)
            for name, centre, spread, shape in (
                ("gain", 1, 0.3, 4), ("shift", 0, 0.3, 4), ("W", 0, 0.6, (4, 12)),
                ("vf", 0, 0.7, 4), ("vr", 0, 0.7, 4), ("bf", 0.5, 0.4, 4), ("br", -0.3, 0.4, 4),
            )
        },
    },
    {
        "ids": np.array([[2, 4, 0], [5, 1, 2], [3, 6, 2], [2, 0, 5], [6, 4, 1]]),
        "nxt": np.array([[5, 1, 2], [3, 6, 2], [2, 0, 5], [6, 4, 1], [1, 3, 4]]),
        "word_mask": np.array([[1.0], [1], [1], [1], [0], [1], [1]]) / 0.85,
        "in_mask": np.array([[1.0, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 1]]) / 0.8,
        "out_mask": np.array([[1.0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]) / 0.75,
        "scale": 1.7, "alpha": 0.4, "beta": 0.3, "decay": 0.02,
    },
    awd_program,
    [layer_norm, layer_norm_bwd, awd_sru],
)



MISTAKES = [
    ('mrnn characters', ('du = df * vs[t]', 'dv = df * us[t]'), ('du = df * us[t]', 'dv = df * vs[t]'), "In the product u * v, each factor's gradient was multiplied by the factor itself, not by the other one.", 'At every step, Wfx @ x and Wfh @ h receive from factor what the other one should: each is its own factor.'),
    ('mrnn characters', 'dv = df * us[t]', 'dv = df', "The gradient of the state's factor is passed on without multiplying by the character's factor.", 'At every step, what Wfh @ h receives from factor lacks the factor Wfx @ x.'),
    ('mrnn characters', '(1 - hs[t] * hs[t]) * dh', 'hs[t] * (1 - hs[t]) * dh', 'The derivative of the tanh was written as that of a sigmoid, h(1 - h).', "At every step, at h the derivative of tanh is taken to be σ' (y(1 − y))."),
    ('mrnn characters', 'np.dot(dv, hs[t - 1].T)', 'np.dot(dv, hs[t].T)', 'The gradient of Wfh was taken with the state after the step instead of the state before it.', 'At every step, what Wfh receives from Wfh @ h uses h of the step after.'),
    ('mrnn characters', 'np.dot(dhraw, fs[t].T)', 'np.dot(dhraw, vs[t].T)', "The gradient of Whf was taken with the state's factor v instead of the product of the two factors.", 'At every step, what Whf receives from Whf @ factor uses Wfh @ h where factor belongs.'),
    ('mrnn characters', 'dby += dy', 'dby = dy', 'The gradient of the output bias is overwritten at every step instead of added up.', 'by was given the gradient of Why @ h of step 1 alone, as with = instead of +=.'),
    ('mrnn characters', 'for t in reversed(range(len(inputs))):', 'for t in range(len(inputs)):', 'The backward loop walks through time forwards.', 'The time steps are visited in forward order: h receives the carry of the step before instead of the step after.'),
    ('mrnn characters', 'dy[targets[t]] -= 1', 'dy[inputs[t]] -= 1', "The 1 of the softmax's gradient was taken off at the input character, not at the target character.", 'Once, what all (Why @ h) + by receives from the cross_entropy in loss uses the numbers of the array of shape (5,) in x where the right ones belong.'),
    ('mrnn characters', 'dh0 = dhnext', 'dh0 = dh', 'The gradient of the initial state is the gradient of the first hidden state, not sent back through the first step.', 'h0 was given the gradient of h of step 1.'),
    ('mrnn characters', 'dWhx += np.dot(dhraw, xs[t].T)', 'dWhx += np.dot(dh, xs[t].T)', "The gradient of Whx was taken before the tanh's derivative (dh where dhraw belongs).", 'At every step, what Whx @ x receives from h, by all ways, is that gradient as it is: the derivative is forgotten.'),
    ('mrnn characters', ('dy = np.copy(ps[t])', 'dy[targets[t]] -= 1'), ('dy = np.zeros_like(by)', 'dy[targets[t]] = ps[t][targets[t]] - 1'), "Only the target's score gets a gradient (p - 1); the other scores' p was left out.", 'Once, what all (Why @ h) + by receives from the cross_entropy in loss is p − 1 at the target, and 0 elsewhere.'),
    ('mrnn characters', 'dy[targets[t]] -= 1\n', 'dy[targets[t]] -= 1\n        dy /= len(inputs)\n', 'The gradient of the scores is divided by the number of characters although the loss is a sum, not a mean.', 'Once, what all (Why @ h) + by receives from the cross_entropy in loss is divided by 5, the number of time steps or the size of the batch.'),
    ('mrnn characters', 'dhnext = np.dot(Wfh.T, dv)\n', 'dhnext = np.dot(Wfh.T, dv)\n        if t % 2 == 0:\n            dhnext = np.zeros_like(dhnext)\n', 'Truncated backpropagation was left on: the gradient of the state is cut every two steps.', 'Every 2 steps (steps 1, 3, 5 of 5), what h receives from Wfh @ h of the next step is missing.'),
    ('mrnn characters', 'dh0 = dhnext\n', 'dh0 = dhnext\n    for dparam in [dWfx, dWfh, dWhf, dWhx, dWhy, dbh, dby]:\n        np.clip(dparam, -1, 1, out=dparam)\n', 'The gradients are still clipped to [-1, 1] in place, against exploding, when they are returned.', 'Every gradient is clipped to ±1.'),
    ('mrnn characters', ('dh = np.dot(Why.T, dy) + dhnext', 'dhraw = (1 - hs[t] * hs[t]) * dh'), ('dh = np.dot(Why.T, dy)', 'dhraw = (1 - hs[t] * hs[t]) * dh + dhnext'), "The gradient arriving from the next step is added after the tanh's derivative instead of before it.", 'At every step, in what … + bh in h receives from h the part that came from Wfh @ h of the next step is passed on as it is: the derivative is on the other summand only.'),
    ('mrnn characters', '        dWfh += np.dot(dv, hs[t - 1].T)\n', '        if t > 0:\n            dWfh += np.dot(dv, hs[t - 1].T)\n', "The first step's part of the gradient of Wfh is skipped, as though there were no state before it.", 'At the first step only, what Wfh receives from Wfh @ h is missing.'),
    ('peephole lstmp', '        dc *= np.abs(craw[t]) <= cell_clip\n', '', 'The clipping of the cell is ignored on the way back: the gradient passes where the cell was clipped.', 'At every step, what (f ⊙ c) + (i ⊙ tanh(j)) receives from c, by all ways, is that gradient as it is: the derivative is forgotten.'),
    ('peephole lstmp', '        dc += dzo * wo\n        dc *= np.abs(craw[t]) <= cell_clip\n', '        dc *= np.abs(craw[t]) <= cell_clip\n        dc += dzo * wo\n', "The clipping's mask is applied before the output gate's peephole adds its part to the cell's gradient.", 'Once, what c receives from w_o_diag ⊙ c is handed on to (f ⊙ c) + (i ⊙ tanh(j)) as it is: the derivatives between them are not on it.'),
    ('peephole lstmp', ('dwi += (dzi * c_prev)', 'dwf += (dzf * c_prev)'), ('dwi += (dzi * c_cur)', 'dwf += (dzf * c_cur)'), "The peepholes of i and f take the new cell in their weights' gradients instead of the old one.", 'Everywhere alike: at every step, what w_i_diag receives from w_i_diag ⊙ c uses c of the step after. So too at w_f_diag.'),
    ('peephole lstmp', 'dwo += (dzo * c_cur)', 'dwo += (dzo * c_prev)', "The weight of the output gate's peephole gets its gradient with the old cell instead of the new one.", 'At every step, what w_o_diag receives from w_o_diag ⊙ c uses c of the step before.'),
    ('peephole lstmp', '        dc += dzi * wi + dzf * wf\n', '', 'What the peepholes of i and f send back to the previous cell was left out.', 'At every step, what c receives from w_i_diag ⊙ c of the next step and w_f_diag ⊙ c of the next step is missing.'),
    ('peephole lstmp', '        dc += dzo * wo\n', '', "What the output gate's peephole sends back to the cell was left out.", 'At every step, what c receives from w_o_diag ⊙ c is missing.'),
    ('peephole lstmp', 'np.concatenate([dzi, dzj, dzf, dzo], axis=1)', 'np.concatenate([dzi, dzf, dzj, dzo], axis=1)', 'The gate gradients were put together in the order i, f, j, o, but the kernel has i, j, f, o.', 'At every step, the gradients of the gates tanh(j) and … + 1 in f are exchanged.'),
    ('peephole lstmp', 'dproj += (go * tc).T @ dm', 'dproj += (go * tc).T @ dout[t]', "The projection's gradient takes only the output's error, not what comes back from the next step.", 'At every step, what proj receives from m leaves out the part that came from [x_t, m] of the next step: it was computed before that part was added.'),
    ('peephole lstmp', 'dproj += (go * tc).T @ dm', 'dproj += tc.T @ dm', "The projection's gradient was taken with tanh(c), before the output gate.", 'At every step, what proj receives from m uses tanh(c) where o ⊙ tanh(c) belongs.'),
    ('peephole lstmp', 'dc += dhid * go * (1 - tc**2)', 'dc = dhid * go * (1 - tc**2)', "The gradient of the output h into the cell overwrites the cell's gradient that came from the next step.", 'At every step, all that c receives from the step after it is missing.'),
    ('peephole lstmp', 'tc = np.tanh(c_cur)', 'tc = np.tanh(craw[t])', 'tanh of the cell is made again from the cell before clipping.', 'At every step, every rule of its own step that needs tanh(c) uses tanh(c) with (f ⊙ c) + (i ⊙ …) in the place of c, also in what is computed from it once more.'),
    ('peephole lstmp', 'np.concatenate([x, ms[:-1]], axis=2)', 'np.concatenate([x, ms[1:]], axis=2)', "The kernel's gradient pairs the gates with the output of the same step instead of the previous step.", 'At every step, the saved m has become that of the step after, also in what is computed from it once more.'),
    ('peephole lstmp', 'dz.sum(axis=(0, 1))', 'dz.mean(axis=1).sum(axis=0)', "The bias's gradient is averaged over the batch instead of summed.", 'At every step, what bias receives from … + bias in i is halved (2 is the size of the batch).'),
    ('peephole lstmp', 'gf = sigmoid(z[t, :, 2 * H : 3 * H] + forget_bias + wf * c_prev)', 'gf = sigmoid(z[t, :, 2 * H : 3 * H] + wf * c_prev)', 'The forget gate is made again without the forget bias.', 'At every step, every rule of its own step that needs f uses f without 1.'),
    ('peephole lstmp', 'go = sigmoid(z[t, :, 3 * H :] + wo * c_cur)', 'go = sigmoid(z[t, :, 3 * H :] + wo * c_prev)', 'The output gate is made again with the old cell in its peephole.', 'At every step, every rule of its own step that needs o uses o with c of the step before in the place of c, also in what is computed from it once more.'),
    ('peephole lstmp', 'dm = dz[t] @ W[I:].T', 'dm = dz[t] @ W[:P].T', "The recurrent output's gradient was sent through the first rows of the kernel, where the input's weights are.", 'At every step, what m receives from [x_t, m] of the next step is cut out from place 0 on, not from 3.'),
    ('gru-d', ('dah = -dgh * gh * (ah > 0)', 'dax = -dgx * gx * (ax > 0)'), ('dah = -dgh * gh', 'dax = -dgx * gx'), 'The max(0, .) in the decays was forgotten on the way back: gradient flows where it was cut to zero.', 'Everywhere alike: at every step, at relu((d ⊙ wgx) + bgx) the derivative of relu is taken to be 1: it is forgotten. So too at relu((d @ Wgh) + bgh).'),
    ('gru-d', 'dah = -dgh * gh * (ah > 0)', 'dah = dgh * gh * (ah > 0)', "The minus sign in exp(-...) was lost in the derivative of the state's decay.", 'At every step, what (d @ Wgh) + bgh receives from relu((d @ Wgh) + bgh) comes from the gradient before gamma_h.'),
    ('gru-d', 'dgx = dxh * (1 - m) * (x_last[:, t] - x_mean)', 'dgx = dxh * (x_last[:, t] - x_mean)', "The gradient of the input's decay is also taken where the value was observed: the factor 1 - m is missing.", 'At every step, what (gamma_x ⊙ x⁽²⁾) + … in xh receives from (1 − m) ⊙ … in xh lacks the factor 1 − m.'),
    ('gru-d', '(x_last[:, t] - x_mean)\n        dax', 'x_last[:, t]\n        dax', 'The decay also stands before the mean, as 1 - gamma; that part of its gradient was left out.', 'At every step, what gamma_x receives from 1 − gamma_x is missing.'),
    ('gru-d', 'dh = dhd * gh', 'dh = dhd', "The state's gradient is handed to the previous step without the decay.", 'At every step, what h receives from gamma_h ⊙ h of the next step lacks the factor gamma_h.'),
    ('gru-d', 'dgh = dhd * h\n', 'dgh = dhd * hd\n', "The gradient of the state's decay was taken with the decayed state instead of the state before the decay.", 'At every step, at gamma_h the derivative of exp is taken to be y².'),
    ('gru-d', ('dz = dh * (n - hd)', 'dn = dh * z\n', 'dhd = dh * (1 - z)'), ('dz = dh * (hd - n)', 'dn = dh * (1 - z)\n', 'dhd = dh * z'), 'The backward pass was written for the other convention, h = z h + (1 - z) n.', 'At every step, 1 − z and z have changed places between the two products in h.'),
    ('gru-d', '(r * hd).T @ dan', 'hd.T @ dan', 'The gradient of Uh was taken with the state, without the reset gate.', 'At every step, what Uh receives from … @ Uh in n uses gamma_h ⊙ h where r ⊙ (gamma_h ⊙ h) belongs.'),
    ('gru-d', 'dr = drh * hd', 'dr = drh * h', "The reset gate's gradient was taken with the state before its decay.", 'At every step, what r receives from r ⊙ (gamma_h ⊙ h) uses h of the step before where gamma_h ⊙ h belongs.'),
    ('gru-d', 'dhd += drh * r', 'dhd += drh', 'The candidate sends its gradient to the state without multiplying by the reset gate.', 'At every step, what gamma_h ⊙ h receives from r ⊙ (gamma_h ⊙ h) lacks the factor r.'),
    ('gru-d', 'grad["Vr"] += m.T @ dar', 'grad["Vr"] += xh.T @ dar', 'Copy and paste: the gradient of Vr takes the filled-in input instead of the mask.', 'Vr was given the gradient of Wr.'),
    ('gru-d', 'dxh = daz @ p["Wz"].T + dar @ p["Wr"].T + dan @ p["Wh"].T', 'dxh = daz @ p["Wz"].T + dar @ p["Wr"].T', "The candidate's share of the gradient of the filled-in input was forgotten.", 'At every step, what xh receives from xh @ Wh is missing.'),
    ('gru-d', '        dz = dh * (n - hd)\n        dn = dh * z\n        dhd = dh * (1 - z)\n', '        dhd = dh\n        dhd *= 1 - z\n        dz = dh * (n - hd)\n        dn = dh * z\n', "The old state's part was multiplied by 1 - z in place, before the gates' gradients are made of the same array.", 'At every step, the gradient of h is multiplied with 1 − z in place, before what z and n and 1 − z receive.'),
    ('gru-d', ('grad["Uz"] += hd.T @ daz', 'grad["Ur"] += hd.T @ dar'), ('grad["Uz"] += h.T @ daz', 'grad["Ur"] += h.T @ dar'), "The gradient of both gates' recurrent weights was taken with the state before the decay.", 'Everywhere alike: at every step, what Uz receives from (gamma_h ⊙ h) @ Uz uses h of the step before where gamma_h ⊙ h belongs. So too at Ur.'),
    ('gru-d', 'dz = dh * (n - hd)', 'dz = dh * n', "The update gate's gradient forgets that the old state loses what the candidate gains (the term -hd).", 'At every step, what z receives from 1 − z is missing.'),
    ('gru-d', 'dscore = (prob - label) / len(label)', 'dscore = (prob - label) * prob * (1 - prob) / len(label)', "The cross entropy's derivative was multiplied by the sigmoid's derivative p(1 - p) although the two cancel.", "Once, what score receives of the loss is multiplied with σ'(score): the sigmoid's derivative is in it already."),
    ('seq2seq attention', 'dfed = dfed + dlogits @ p["out_w"]', 'dfed = dlogits @ p["out_w"]', "Input feeding was forgotten backwards: the attentional vector gets no gradient from the next step's input.", 'At every step, what fed⁽²⁾ receives from [embedded[:, 4], fed⁽²⁾] of the next step is missing.'),
    ('seq2seq attention', 'dmemory += dmem\n', 'dmemory = dmem\n', "Every decoder step overwrites the gradient of the encoder's states, so that only the first step's remains.", 'Of all that memory receives, only what the first step sends is left: it was overwritten.'),
    ('seq2seq attention', 'dscores = weights * (dweights - (weights * dweights).sum(axis=1, keepdims=True))', 'dscores = weights * dweights', 'The softmax of the attention was differentiated as if its weights did not share a sum.', 'At every step, what scores⁽²⁾ receives from softmax(scores⁽²⁾) is y * g instead of y * (g - sum(g * y)).'),
    ('seq2seq attention', '    dmemory += np.einsum("bs,bh->bsh", dscores, query)\n', '', "The encoder's states get no gradient from the scores, only from the context.", 'At every step, what memory receives from memory @ … in scores⁽²⁾ is missing.'),
    ('seq2seq attention', 'dmemory += np.einsum("bs,bh->bsh", dscores, query)', 'dmemory = np.einsum("bs,bh->bsh", dscores, query)', "The encoder's states get their gradient only from the scores: the context's part is overwritten.", 'At every step, what memory receives from … @ memory in context⁽²⁾ is missing.'),
    ('seq2seq attention', '    for s in reversed(range(S)):\n        dx, dh,', '    dh = np.zeros_like(dh)\n    for s in reversed(range(S)):\n        dx, dh,', "The decoder's first state gives nothing back to the encoder: the gradient of the state starts from zero there.", 'At every step, what h⁽¹⁾ receives from h⁽²⁾ @ dec_whᵀ and z⁽²⁾ ⊙ h⁽²⁾ is missing.'),
    ('seq2seq attention', 'dwa = h.T @ dquery', 'dwa = dquery.T @ h', "The gradient of the score's matrix Wa is transposed.", 'The gradient of att_wa is transposed.'),
    ('seq2seq attention', 'dcontext, dh = np.split(da @ wc, 2, axis=1)', 'dh, dcontext = np.split(da @ wc, 2, axis=1)', 'Context and state were mixed up when the gradient of their concatenation was split.', "At every step, context⁽²⁾ and h⁽²⁾ receive each other's part of [context⁽²⁾, h⁽²⁾]."),
    ('seq2seq attention', '    dh = dh + dquery @ wa.T\n', '', "The decoder's state is not given the gradient of the query.", 'At every step, what h⁽²⁾ receives from h⁽²⁾ @ att_wa is missing.'),
    ('seq2seq attention', 'np.add.at(g["emb"], source, demb_source)', 'g["emb"][source] += demb_source', "The embedding's gradient of the source is added by fancy indexing, which counts a repeated word once.", 'Once, what emb receives from emb[…] in h_new⁽¹⁾ counts a row that is looked up twice only once.'),
    ('seq2seq attention', 'dh = da @ wh + (1 - m) * dout', 'dh = da @ wh', "Past a sentence's end the encoder's gradient is not carried over to the state before.", 'At every step, what h⁽¹⁾ receives from (1 − m) ⊙ h⁽¹⁾ of the next step is missing.'),
    ('seq2seq attention', 'da = dout * m * (1 - new * new)', 'da = dout * (1 - new * new)', "Past a sentence's end the encoder's step is differentiated as though the word had been read.", 'At every step, what h_new⁽¹⁾ receives from m ⊙ h_new⁽¹⁾ lacks the factor m.'),
    ('seq2seq attention', 'tokens = target_mask.sum()', 'tokens = target_mask.size', "The loss's derivative is divided by batch times length, not by the number of real words.", 'Every gradient is multiplied by 4/5: divided by 5 instead of 4.'),
    ('seq2seq attention', 'np.add.at(g["emb"], target_in, demb_target)', 'np.add.at(g["emb"], target_out, demb_target)', "The decoder's embedding gradient goes to the words to be predicted instead of the words that were fed in.", 'Once, what emb receives from embedded uses the numbers of the targets where the right ones belong.'),
    ('seq2seq attention', 'dgh = np.concatenate([dr, dz, dn * r], axis=1)', 'dgh = np.concatenate([dr, dz, dn], axis=1)', "The reset gate is missing from the gradient of the candidate's recurrent part (weights, bias and state).", 'At every step, what gh⁽²⁾[:, 8:12] receives from r⁽²⁾ ⊙ gh⁽²⁾[:, 8:12] lacks the factor r⁽²⁾.'),
    ('seq2seq attention', 'dh = dgh @ wh + dnew * z', 'dh = dgh @ wh', "The decoder's state is not given the gradient that passes straight through the update gate.", 'At every step, what h⁽²⁾ receives from z⁽²⁾ ⊙ h⁽²⁾ of the next step is missing.'),
    ('bilstm pooling', 'lstm_backward(turn(dh2[:, :, H:]), cache_2b', 'lstm_backward(dh2[:, :, H:], cache_2b', "In layer 2 the backward direction's output gradient is not turned round before its backpropagation.", 'Once, what where(layer) receives from largest uses where(layer), which uses h⁽³⁾ at all steps and h⁽⁴⁾ at all steps for the parts of layer.'),
    ('bilstm pooling', 'lstm_backward(turn(dh1[:, :, H:]), cache_1b', 'lstm_backward(dh1[::-1, :, H:], cache_1b', "Layer 1's backward direction: the gradient is flipped over the whole padded time instead of each sentence's length.", "Once, what all h⁽²⁾ receives from the part of all h⁽²⁾ in layer is turned round over the whole length, not within each row's own, along axis 0."),
    ('bilstm pooling', 'dh1 = dx_f + turn(dx_b)', 'dh1 = dx_f + dx_b', "What layer 2's backward direction sends down is not turned back round before it is added.", 'Once, what layer receives from layer[…] in f⁽⁴⁾ stays where it is, and is not moved back, along axis 0.'),
    ('bilstm pooling', ('lstm_backward(dh2[:, :, :H], cache_2f', 'lstm_backward(turn(dh2[:, :, H:]), cache_2b'), ('lstm_backward(dh2[:, :, H:], cache_2f', 'lstm_backward(turn(dh2[:, :, :H]), cache_2b'), "In layer 2 the two directions' halves of the gradient are exchanged.", "Once, all h⁽³⁾ and the part of all h⁽⁴⁾ in layer receive each other's part of layer."),
    ('bilstm pooling', 'dh2 = mask[:, :, None] * dmean / lengths[:, None]', 'dh2 = mask[:, :, None] * dmean / T', "The mean over time is differentiated with the padded length, not each sentence's own.", 'Once, what sum(layer ⊙ keep) receives from mean is divided by 6, not by keep.'),
    ('bilstm pooling', 'dh2 = mask[:, :, None] * dmean / lengths[:, None]', 'dh2 = np.repeat((dmean / lengths[:, None])[None], T, axis=0)', "The mean's gradient is spread over the padding too: the mask is missing.", 'Once, what layer receives from layer ⊙ keep lacks the factor keep.'),
    ('bilstm pooling', 'winner = padded.argmax(axis=0)', 'winner = h2.argmax(axis=0)', 'The place of the maximum is searched again without the mask, so that padding can win.', 'Once, what layer receives from largest arrives where layer, also what a mask leaves out, is largest.'),
    ('bilstm pooling', 'dh2[winner, rows, units] += dmax', 'dh2[winner, rows, units] = dmax', "The max pooling's gradient overwrites the mean pooling's at the winning places.", 'Once, what layer receives from where(layer) is written over what was there from all others, not added to it.'),
    ('bilstm pooling', 'df = dc * (c - g)', 'df = dc * c', "The forget gate's gradient forgets that the gate also closes the input, i = 1 - f.", 'Everywhere alike: at every step, what f⁽¹⁾ receives from 1 − f⁽¹⁾ is missing. So too at f⁽²⁾, f⁽³⁾, f⁽⁴⁾.'),
    ('bilstm pooling', 'dh1 = dx_f + turn(dx_b)', 'dh1 = dx_f', "The first layer's gradient comes only from layer 2's forward direction.", 'Once, what layer receives from xs is missing.'),
    ('bilstm pooling', 'cache_1f, p["W_1f"], p["U_1f"], p["b_1f"])\n    _', 'cache_1f, p["W_1f"], p["U_2f"], p["b_1f"])\n    _', "Copy and paste: layer 1's forward direction goes back through time with layer 2's recurrent weights.", 'At every step, what h⁽¹⁾ receives from h⁽¹⁾ @ U_1fᵀ of the next step uses U_2fᵀ where U_1fᵀ belongs.'),
    ('bilstm pooling', ('_, grad["W_1f"], grad["U_1f"], grad["b_1f"] =', '_, grad["W_1b"], grad["U_1b"], grad["b_1b"] = lstm_backward(turn'), ('_, grad["W_1b"], grad["U_1b"], grad["b_1b"] =', '_, grad["W_1f"], grad["U_1f"], grad["b_1f"] = lstm_backward(turn'), "The gradients of layer 1's two directions are stored under each other's names.", 'The gradients of W_1f, U_1f and b_1f and those of W_1b, U_1b and b_1b are exchanged.'),
    ('bilstm pooling', 'do = dh * tanh_c', 'do = dh * c_new', "The output gate's gradient takes the cell itself, not its tanh.", 'Everywhere alike: at every step, what o⁽¹⁾ receives from h⁽¹⁾ uses c⁽¹⁾ where tanh(c⁽¹⁾) belongs. So too at o⁽²⁾, o⁽³⁾, o⁽⁴⁾.'),
    ('bilstm pooling', 'dc_next = dc * f', 'dc_next = dc * (1 - f)', "The cell's gradient goes back through the input gate 1 - f instead of the forget gate.", 'Everywhere alike: at every step, what c⁽¹⁾ receives from f⁽¹⁾ ⊙ c⁽¹⁾ of the next step has the factor 1 − f⁽¹⁾ instead of it. So too at c⁽²⁾, c⁽³⁾, c⁽⁴⁾.'),
    ('bilstm pooling', 'tanh_c = np.tanh(c_new)', 'tanh_c = np.tanh(c)', 'tanh of the cell is made again from the cell before the step.', 'Everywhere alike: at every step, every rule of its own step that needs tanh(c⁽¹⁾) uses tanh(c⁽¹⁾) of the step before. So too at tanh(c⁽²⁾), tanh(c⁽³⁾), tanh(c⁽⁴⁾).'),
    ('bilstm pooling', 'turn(dh2[:, :, H:]), cache_2b,', 'turn(dh2[:, :, H:]), cache_2f,', "Copy and paste: layer 2's backward direction is given the forward direction's cache.", 'Every rule of the cell of c⁽⁴⁾ uses what that of c⁽³⁾ saved.'),
    ('griffin rg-lru', '    da += dnorm * (-a / norm)\n', '', 'The factor sqrt(1 - a^2) was treated as a constant: a gets no gradient from it.', 'Once, what a receives from a^2 is missing.'),
    ('griffin rg-lru', 'dnorm * (-a / norm)', 'dnorm * (-0.5 / norm)', 'The derivative of sqrt(1 - a^2) lacks the inner derivative of the square: -1/(2 sqrt) without the 2a.', 'Once, in what a receives from a^2 the part that came from the part of inputs in h⁽²⁾ of the next step is passed on as it is: the derivative is on the other summand only.'),
    ('griffin rg-lru', 'da = lam * h_prev', 'da = lam * h', 'The gradient of the decay a takes the state after the step instead of the one before.', 'At every step, what a[:, 5] receives from a[:, 5] ⊙ h⁽²⁾ uses h⁽²⁾ of the step after.'),
    ('griffin rg-lru', 'dh[:, t] + a[:, t + 1] * lam[:, t + 1]', 'dh[:, t] + a[:, t] * lam[:, t + 1]', 'The backward recurrence is off by one: it uses the decay of the same step instead of the next one.', 'At every step, what h⁽²⁾ receives from a[:, 5] ⊙ h⁽²⁾ of the next step uses a[:, 5] of the step before.'),
    ('griffin rg-lru', 'grads["Lambda"] = dsp * sigmoid(p["Lambda"])', 'grads["Lambda"] = dsp', 'The derivative of the softplus around Lambda was forgotten.', 'Once, at softplus(Lambda) the derivative of softplus is taken to be 1: it is forgotten.'),
    ('griffin rg-lru', 'dlog_a = da * a\n', 'dlog_a = da\n', "The gradient of log a was taken to be that of a: the exponential's derivative is missing.", 'Once, at a the derivative of exp is taken to be 1: it is forgotten.'),
    ('griffin rg-lru', 'du[:, : T - k] += p["conv"][k] * dv[:, k:]', 'du[:, k:] += p["conv"][k] * dv[:, : T - k]', "The convolution's gradient goes to the input in the wrong direction of time.", 'At every step, what padded receives from padded[:, :6] is shifted in the same direction as on the way there, seen from place 2, not back, along axis 1.'),
    ('griffin rg-lru', 'grads["conv"][k] = np', 'grads["conv"][K - 1 - k] = np', "The convolution's weights get their gradients in the reverse order of taps.", 'The gradient of conv is written down in reverse order.'),
    ('griffin rg-lru', '    dv += np.einsum("btj,ij->bti", dpre_r, p["W_a"])\n', '', 'The convolved input gets no gradient through the recurrence gate r.', 'Once, what v receives from v @ W_a is missing.'),
    ('griffin rg-lru', 'di = lam * norm * v', 'di = lam * v', 'The gradient of the input gate forgets the factor sqrt(1 - a^2).', 'At every step, in what i receives from i ⊙ v the derivative at inputs is forgotten.'),
    ('griffin rg-lru', 'dq = dg * (0.5 * (1 + th) + 0.5 * q * (1 - th**2) * k0 * (1 + 3 * k1 * q**2))', 'dq = dg * 0.5 * (1 + th)', "Of the GeLU's derivative only the first half was written; the derivative of its tanh is missing.", 'Once, what the mul in branch receives from the tanh in branch is missing.'),
    ('griffin rg-lru', '(1 + 3 * k1 * q**2)', '(1 + k1 * q**2)', "In the GeLU's inner derivative the 3 of the cube was forgotten.", 'Once, what x @ W_g receives from (x @ W_g)^3 is divided by 3, the size of a dimension.'),
    ('griffin rg-lru', 'dx = dy + np.einsum("bth,dh->btd", du', 'dx = np.einsum("bth,dh->btd", du', "The residual path was forgotten in the gradient of the block's input.", 'Once, what x receives from y is missing.'),
    ('griffin rg-lru', 'np.clip(y - target, -delta, delta)', 'np.clip(y - target, -1, 1)', "The Huber loss's derivative was clipped at 1, not at its delta.", ''),
    ('griffin rg-lru', 'np.einsum("btj,ij->bti", dpre_r, p["W_a"])', 'np.einsum("btj,ji->bti", dpre_r, p["W_a"])', "The recurrence gate's matrix was not transposed when its gradient was sent back (a square matrix, so it runs).", 'Once, what v receives from v @ W_a uses W_a transposed.'),
    ('griffin rg-lru', '    lam[:, -1] = dh[:, -1]\n', '', "The backward recurrence starts from zero at the last step: that step's own gradient was never put in.", 'Once, what h⁽²⁾ receives from all h⁽²⁾ is missing.'),
    ('turing machine', (' - (dK * s["K"] * s["norms"] / D).sum() * s["k"] / k_norm', ' - (dK * s["K"] * k_norm / D / s["norms"])[:, None] * s["M_prev"]'), ('', ''), "The cosine's two norms were treated as constants.", 'At every step, what the mul in similar receives from … + 1e-08 in similar is missing.'),
    ('turing machine', 'dK = s["beta"] * dz', 'dK = dz', "The similarity's gradient forgets the key strength beta.", 'At every step, what similar receives from strength ⊙ similar lacks the factor strength.'),
    ('turing machine', 'self.dw = dw_prev', 'self.dw = np.zeros_like(dw_prev)', 'The previous weighting gets no gradient from the interpolation.', 'At every step, what w_prev receives from (1 − gate) ⊙ w_prev of the next step is missing.'),
    ('turing machine', 's["s"][0] * np.roll(dwt, 1) + s["s"][1] * dwt + s["s"][2] * np.roll(dwt, -1)', 's["s"][0] * np.roll(dwt, -1) + s["s"][1] * dwt + s["s"][2] * np.roll(dwt, 1)', 'The gradient is shifted in the same direction as the weighting was, instead of back.', 'At every step, what mixed receives from [mixed[1:], mixed[:1]] and from [mixed[-1:], mixed[:-1]] is moved by the same numbers once more, not back.'),
    ('turing machine', 'centred = dw - dw @ s["w"]', 'centred = dw', 'The sharpening was differentiated without its normalisation: the sum in the denominator taken as a constant.', 'At every step, what power receives from sum(power) is missing.'),
    ('turing machine', 'np.log(s["wt"])', 'np.log(s["w"])', "The exponent's gradient takes the logarithm of the sharpened weighting, not of the one that was raised to the power.", 'At every step, what sharpness receives from power uses power where moved belongs.'),
    ('turing machine', '"wgamma": dgamma * (1 - np.exp(1 - s["gamma"])),', '"wgamma": dgamma,', 'The derivative of the softplus of the sharpening exponent was forgotten.', 'At every step, at softplus(wgamma @ h) the derivative of softplus is taken to be 1: it is forgotten.'),
    ('turing machine', 'dM_prev = dM * (1 - np.outer(s["w"], s["e"]))', 'dM_prev = dM.copy()', "The memory's gradient is handed to the step before without what was erased.", 'At every step, what M receives from M ⊙ … of the next step lacks the factor 1 − (… ⊙ erase) in M.'),
    ('turing machine', 'dw += (dM * (s["a"] - s["M_prev"] * s["e"])).sum(1)', 'dw += dM @ s["a"]', "The weighting's gradient from the write forgets the erasing, only the adding is there.", 'At every step, what w_prev receives from reshaped w_prev is missing.'),
    ('turing machine', '        M = M * (1 - np.outer(self.w, e)) + np.outer(self.w, a)\n', '        M *= 1 - np.outer(self.w, e)\n        M += np.outer(self.w, a)\n', 'The memory is written in place, so that every saved step holds the same, last memory.', ''),
    ('turing machine', 'dw = self.dw + s["M"] @ dr', 'dw = self.dw + s["M_prev"] @ dr', "The weighting's gradient from the read takes the memory as it was before the write.", 'At every step, what w_prev receives from r uses M of the step before.'),
    ('turing machine', 'dM = self.dM + np.outer(s["w"], dr)', 'dM = np.outer(s["w"], dr)', "The read's gradient of the memory replaces what came from later steps.", 'At every step but the first, all that M receives from the step after it is missing.'),
    ('turing machine', 'dh, dr = d[:H], d[H:] + self.dr', 'dh, dr = d[:H], d[H:]', 'What the controller received from the last read was forgotten: no gradient goes back through r.', 'At every step, what r receives from Wr @ r of the next step is missing.'),
    ('turing machine', '        dM_prev += np.outer(dK / D, s["k"]) - (dK * s["K"] * k_norm / D / s["norms"])[:, None] * s["M_prev"]\n', '', 'The memory gets no gradient from the content addressing.', 'At every step, what M receives from M @ key of the next step and abs(M) of the next step is missing.'),
    ('turing machine', 'self.grad["w0"] = w0 * (self.dw - self.dw @ w0)', 'self.grad["w0"] = self.dw', "The initial weighting's gradient is not taken through the softmax.", 'Once, at w_prev the derivative of softmax is taken to be 1: it is forgotten.'),
    ('turing machine', 'np.outer(dpre, s["r_prev"])', 'np.outer(dpre, s["r"])', 'The gradient of Wr takes the vector read in this step instead of the one read before, which the controller saw.', 'At every step, what Wr receives from Wr @ r uses r of the step after.'),
    ('awd sru', '    g["E"] += np.tensordot(dlogits, dropped, axes=([0, 1], [0, 1]))\n', '', 'The tied embedding gets no gradient from its use as the output layer.', 'Once, what E receives from Eᵀ is missing.'),
    ('awd sru', 'g["E"] += demb * word_mask', 'g["E"] += demb', "The word dropout's mask is missing in the gradient of the embedding.", 'Once, what E receives from E ⊙ word_mask lacks the factor word_mask.'),
    ('awd sru', 'dx = ddropped * out_mask', 'dx = ddropped * (out_mask > 0)', "The output dropout's mask is applied backwards without its scaling 1/keep.", 'Once, what x⁽²⁾ receives from dropped is multiplied by 3/4: divided by 4 instead of 3.'),
    ('awd sru', 'dx = rstd * (dxhat - dxhat.mean(axis=-1, keepdims=True) - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True))', 'dx = rstd * dxhat', 'The layer norm was differentiated with its mean and its variance as constants.', 'At every step, what … ⊙ gain1 in normed receives from the sum in normed is missing.'),
    ('awd sru', ' - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True))', ')', 'In the layer norm the part through the variance was forgotten.', 'At every step, what … / 4 in normed receives from (… / 4) + 1e-05 in normed is missing.'),
    ('awd sru', 'dxhat = dy * gain', 'dxhat = dy', "The layer norm's input gradient forgets the gain.", ''),
    ('awd sru', 'dx = dnorm_in + dhighway', 'dx = dnorm_in', "The highway gives no gradient to the layer's input.", 'at every step, what the getitem in x⁽¹⁾ receives from ((1 − r) ⊙ 1.7) ⊙ … in x⁽¹⁾ is missing.'),
    ('awd sru', 'dr = dh * (s["c"][t] - scale * s["x"][t]) * r * (1 - r)', 'dr = dh * s["c"][t] * r * (1 - r)', "The highway gate's gradient forgets the other branch, - scale * x.", 'Everywhere alike: at every step, what r receives from 1 − r is missing.'),
    ('awd sru', 'dc = dc * f + df * p[f"vf{k}"] + dr * p[f"vr{k}"]', 'dc = dc * f + df * p[f"vf{k}"]', "The highway gate's gradient is not sent back to the previous cell through vr.", 'Everywhere alike: at every step, what c⁽¹⁾ receives from vr0 ⊙ c⁽¹⁾ of the next step is missing.'),
    ('awd sru', '    ddropped += 2 * alpha * dropped / dropped.size\n    dx = ddropped * out_mask\n', '    dx = ddropped * out_mask\n    dx += 2 * alpha * dropped / dropped.size\n', "The activation penalty's gradient is added after the dropout's mask, although the penalty is of what was dropped out.", 'Once, what dropped receives from dropped ⊙ dropped is halved.'),
    ('awd sru', '    dx[:-1] -= jump\n', '', 'The temporal penalty gives its gradient only to the later of the two states.', 'Once, what x⁽²⁾ receives from x⁽²⁾[:-1] is missing.'),
    ('awd sru', '/ ((T - 1) * B * D)', '/ (T * B * D)', 'The temporal penalty is averaged over all T steps instead of the T - 1 differences.', 'Once, what x⁽²⁾[1:] − x⁽²⁾[:-1] receives from the mul in loss is multiplied by 3/5: divided by 5 instead of 3.'),
    ('awd sru', '+ decay * p[f"W{k}"]', '+ 2 * decay * p[f"W{k}"]', 'Weight decay is twice too strong: derivative of W^2 where the penalty is half of it.', 'The gradient of W0, W1 has +0.02 times the value itself in it too, as of a penalty.'),
    ('awd sru', ('        dc = np.zeros((B, D))\n', '    for k in reversed(range(L)):\n'), ('', '    dc = np.zeros((B, D))\n    for k in reversed(range(L)):\n'), "The cell's gradient is not reset between the layers: layer 0 starts with what was left from layer 1.", 'The gradient that is carried for c⁽¹⁾ was not set to zero before the loop: it starts from what the loop over c⁽²⁾ left there.'),
    ('awd sru', 'c_prev = s["c"][t - 1] if t > 0 else np.zeros((B, D))', 'c_prev = s["c"][t - 1]', 'At the first step the previous cell is read at index -1, which is the last one.', 'Everywhere alike: the saved c⁽¹⁾, the first of them, has become the last one.'),
    ('awd sru', 'np.add.at(demb, ids, dx * in_mask)', 'np.add.at(demb, ids, dx * out_mask)', "The embedding's gradient is masked by the output's dropout mask instead of the input's.", 'Once, what (E ⊙ word_mask)[…] in normed receives from the mul in normed uses out_mask where the array of shape (3, 4) in normed belongs.'),
]

STYLES, loss_of, gradients = tuple(NETWORKS), NETWORKS.loss_of, NETWORKS.gradients
