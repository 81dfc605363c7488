# ruff: noqa: E501 -- texts and what is said of them stay on one line
"""Seven networks by one who had not seen the search, and mistakes in their backward passes: run once, when all was written.

A character model in columns; a caption LSTM with stacked gates and words without a target; PyTorch's GRU in two layers; an
encoder and a decoder with additive attention; two directions with padding, pooling, dropout and weight decay; a leaky cell
with a norm and products; a selective state-space layer. Of each mistake: the text, what was written, what it is, and what
the diagnosis said of it (nothing where no single edit was found).
"""

import numpy as np
from frame_of_handwritten import Network, Networks, const, leaves_of, sigmoid

import tinygrad_rnn as tg

NETWORKS = Networks()


# ----------------------------------------------------------------------------------------------------------------------
# 1. character model as in the blog post: column vectors, one sequence, sum of the losses
# ----------------------------------------------------------------------------------------------------------------------


def char_forward(p, inputs, targets):
    w = leaves_of(p)
    h = w["hprev"]
    loss = 0.0
    for t in tg.steps(len(inputs)):
        x = np.zeros((w["Wxh"].shape[1], 1))
        x[inputs[t]] = 1
        h = tg.tanh(w["Wxh"] @ const(x) + w["Whh"] @ h + w["bh"])
        y = w["Why"] @ h + w["by"]
        probs = tg.softmax(y, axis=0)
        loss = loss - tg.log(probs[targets[t], 0])
    return loss, w


def char_hand(p, inputs, targets):
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    hprev = p["hprev"]
    vocab_size = Wxh.shape[1]
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])
    # backward pass
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
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
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "hprev": dhnext}


_r = np.random.RandomState(11)
NETWORKS["char_rnn"] = Network(
    {
        "Wxh": _r.randn(4, 5) * 0.7,
        "Whh": _r.randn(4, 4) * 0.6,
        "Why": _r.randn(5, 4) * 0.8,
        "bh": _r.randn(4, 1) * 0.2,
        "by": _r.randn(5, 1) * 0.2,
        "hprev": _r.randn(4, 1) * 0.5,
    },
    {"inputs": [0, 1, 2, 2, 3, 1], "targets": [1, 2, 2, 3, 1, 4]},
    char_forward,
    [char_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 2. LSTM captioning model of a course assignment: rows, stacked gates i f o g, caches of tuples, NULL mask
# ----------------------------------------------------------------------------------------------------------------------


def caption_forward(p, features, captions, null):
    w = leaves_of(p)
    captions_in, captions_out = captions[:, :-1], captions[:, 1:]
    N, T = captions_in.shape
    H = w["Wh"].shape[0]
    h = const(features) @ w["W_proj"] + w["b_proj"]
    c = const(np.zeros((N, H)))
    loss = 0.0
    for t in tg.steps(T):
        x = w["W_embed"][captions_in[:, t]]
        a = x @ w["Wx"] + h @ w["Wh"] + w["b"]
        i, f = tg.sigmoid(a[:, :H]), tg.sigmoid(a[:, H : 2 * H])
        o, g = tg.sigmoid(a[:, 2 * H : 3 * H]), tg.tanh(a[:, 3 * H :])
        c = f * c + i * g
        h = o * tg.tanh(c)
        logp = tg.log_softmax(h @ w["W_vocab"] + w["b_vocab"], axis=1)
        y = captions_out[:, t]
        pick = np.zeros((N, w["b_vocab"].shape[0]))
        pick[np.arange(N), y] = y != null
        loss = loss - (logp * const(pick)).sum()
    return loss / N, w


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, :H])
    f = sigmoid(a[:, H : 2 * H])
    o = sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    do = dnext_h * tanh_c
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    df = dc * prev_c
    di = dc * g
    dg = dc * i
    dprev_c = dc * f
    da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)))
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = np.sum(da, axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, _D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    cache = []
    prev_h = h0
    prev_c = np.zeros_like(h0)
    for t in range(T):
        next_h, next_c, step_cache = lstm_step_forward(x[:, t], prev_h, prev_c, Wx, Wh, b)
        prev_h = next_h
        prev_c = next_c
        h[:, t] = next_h
        cache.append(step_cache)
    return h, cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    x, _, _, Wx, Wh, *_ = cache[0]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dprev_h = np.zeros((N, H))
    dprev_c = np.zeros((N, H))
    for t in reversed(range(T)):
        dnext_h = dh[:, t] + dprev_h
        dx_t, dprev_h, dprev_c, dWx_t, dWh_t, db_t = lstm_step_backward(dnext_h, dprev_c, cache[t])
        dx[:, t] = dx_t
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db


def temporal_softmax_loss(scores, y, mask):
    N, T, V = scores.shape
    x_flat = scores.reshape(N * T, V)
    y_flat = y.reshape(N * T)
    mask_flat = mask.reshape(N * T)
    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    dx_flat *= mask_flat[:, None]
    return loss, dx_flat.reshape(N, T, V)


def caption_hand(p, features, captions, null):
    captions_in, captions_out = captions[:, :-1], captions[:, 1:]
    mask = captions_out != null
    h0 = features.dot(p["W_proj"]) + p["b_proj"]
    x = p["W_embed"][captions_in]
    h, cache = lstm_forward(x, h0, p["Wx"], p["Wh"], p["b"])
    scores = h.dot(p["W_vocab"]) + p["b_vocab"]
    _loss, dscores = temporal_softmax_loss(scores, captions_out, mask)
    grads = {}
    N, T, H = h.shape
    V = scores.shape[2]
    grads["W_vocab"] = h.reshape(N * T, H).T.dot(dscores.reshape(N * T, V))
    grads["b_vocab"] = dscores.sum(axis=(0, 1))
    dh = dscores.dot(p["W_vocab"].T)
    dx, dh0, grads["Wx"], grads["Wh"], grads["b"] = lstm_backward(dh, cache)
    grads["W_embed"] = np.zeros_like(p["W_embed"])
    np.add.at(grads["W_embed"], captions_in, dx)
    grads["W_proj"] = features.T.dot(dh0)
    grads["b_proj"] = dh0.sum(axis=0)
    return grads


_r = np.random.RandomState(231)
NETWORKS["caption_lstm"] = Network(
    {
        "W_proj": _r.randn(3, 4) * 0.5,
        "b_proj": _r.randn(4) * 0.1,
        "W_embed": _r.randn(6, 4) * 0.8,
        "Wx": _r.randn(4, 16) * 0.6,
        "Wh": _r.randn(4, 16) * 0.6,
        "b": _r.randn(16) * 0.2,
        "W_vocab": _r.randn(4, 6) * 0.8,
        "b_vocab": _r.randn(6) * 0.1,
    },
    {
        "features": _r.randn(3, 3),
        "captions": np.array([[1, 3, 4, 3, 5, 2], [1, 5, 5, 2, 0, 0], [1, 4, 3, 4, 2, 0]]),
        "null": 0,
    },
    caption_forward,
    [lstm_step_forward, lstm_step_backward, lstm_forward, lstm_backward, temporal_softmax_loss, caption_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 3. two layers of PyTorch's GRU, time first, mean squared error of every step
# ----------------------------------------------------------------------------------------------------------------------


def gru_forward(p, x, y):
    w = leaves_of(p)
    T, _B, _ = x.shape
    H = w["weight_hh_l0"].shape[1]
    state = [w["h0"][0], w["h0"][1]]
    total = 0.0
    for t in tg.steps(T):
        inp = const(x[t])
        for layer in range(2):
            h = state[layer]
            gi = inp @ w[f"weight_ih_l{layer}"].T + w[f"bias_ih_l{layer}"]
            gh = h @ w[f"weight_hh_l{layer}"].T + w[f"bias_hh_l{layer}"]
            r = tg.sigmoid(gi[:, :H] + gh[:, :H])
            z = tg.sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
            n = tg.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :])
            inp = state[layer] = (1 - z) * n + z * h
        error = inp @ w["fc_weight"].T + w["fc_bias"] - const(y[t])
        total = total + (error * error).sum()
    return total / y.size, w


def gru_hand(p, x, y):
    T, B, _ = x.shape
    H = p["weight_hh_l0"].shape[1]
    inputs, caches = [x], []
    for layer in range(2):
        w_ih, w_hh = p[f"weight_ih_l{layer}"], p[f"weight_hh_l{layer}"]
        b_ih, b_hh = p[f"bias_ih_l{layer}"], p[f"bias_hh_l{layer}"]
        h, cache, out = p["h0"][layer], [], np.zeros((T, B, H))
        for t in range(T):
            gi = inputs[layer][t] @ w_ih.T + b_ih
            gh = h @ w_hh.T + b_hh
            r = sigmoid(gi[:, :H] + gh[:, :H])
            z = sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
            h_n = gh[:, 2 * H :]
            n = np.tanh(gi[:, 2 * H :] + r * h_n)
            cache.append((r, z, n, h_n, h))
            h = (1 - z) * n + z * h
            out[t] = h
        caches.append(cache)
        inputs.append(out)
    top = inputs[2]
    pred = top @ p["fc_weight"].T + p["fc_bias"]
    np.mean((pred - y) ** 2)

    g = {k: np.zeros_like(v) for k, v in p.items()}
    dpred = 2 * (pred - y) / y.size
    g["fc_weight"] = np.einsum("tbo,tbh->oh", dpred, top)
    g["fc_bias"] = dpred.sum((0, 1))
    dout = dpred @ p["fc_weight"]
    for layer in (1, 0):
        w_ih, w_hh = p[f"weight_ih_l{layer}"], p[f"weight_hh_l{layer}"]
        inp = inputs[layer]
        din = np.zeros_like(inp)
        dh_next = np.zeros((B, H))
        for t in range(T - 1, -1, -1):
            r, z, n, h_n, h_prev = caches[layer][t]
            dh = dout[t] + dh_next
            dz = dh * (h_prev - n)
            dn = dh * (1 - z)
            dn_pre = dn * (1 - n**2)
            dr = dn_pre * h_n
            dr_pre = dr * r * (1 - r)
            dz_pre = dz * z * (1 - z)
            dgi = np.concatenate([dr_pre, dz_pre, dn_pre], axis=1)
            dgh = np.concatenate([dr_pre, dz_pre, dn_pre * r], axis=1)
            g[f"weight_ih_l{layer}"] += dgi.T @ inp[t]
            g[f"weight_hh_l{layer}"] += dgh.T @ h_prev
            g[f"bias_ih_l{layer}"] += dgi.sum(0)
            g[f"bias_hh_l{layer}"] += dgh.sum(0)
            din[t] = dgi @ w_ih
            dh_next = dgh @ w_hh + dh * z
        g["h0"][layer] = dh_next
        dout = din
    return g


_r = np.random.RandomState(3)
NETWORKS["gru_two_layers"] = Network(
    {
        **{
            k: v
            for layer in range(2)
            for k, v in {
                f"weight_ih_l{layer}": _r.randn(12, 4) * 0.6,
                f"weight_hh_l{layer}": _r.randn(12, 4) * 0.6,
                f"bias_ih_l{layer}": _r.randn(12) * 0.3,
                f"bias_hh_l{layer}": _r.randn(12) * 0.3,
            }.items()
        },
        "h0": _r.randn(2, 2, 4) * 0.5,
        "fc_weight": _r.randn(2, 4),
        "fc_bias": _r.randn(2) * 0.1,
    },
    {"x": _r.randn(5, 2, 4), "y": _r.randn(5, 2, 2)},
    gru_forward,
    [gru_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 4. encoder and decoder with additive attention, teacher forcing
# ----------------------------------------------------------------------------------------------------------------------


def seq2seq_forward(p, src, tgt):
    w = leaves_of(p)
    B, S, _ = src.shape
    T = tgt.shape[1] - 1
    e = const(np.zeros((B, w["Ue"].shape[0])))
    states = []
    with tg.scope("encoder"):
        for s in tg.steps(S):
            e = tg.tanh(const(src[:, s]) @ w["We"] + e @ w["Ue"] + w["be"])
            states.append(e)
    enc = tg.stack(states, 1)
    keys = enc @ w["Ua"]
    d = e
    loss = 0.0
    with tg.scope("decoder"):
        for t in tg.steps(T):
            energy = tg.tanh(keys + (d @ w["Wa"]).unsqueeze(1))
            alpha = tg.softmax((energy * w["v"]).sum(2), axis=1)
            ctx = (alpha.unsqueeze(2) * enc).sum(1)
            emb = w["E"][tgt[:, t]]
            d = tg.tanh(tg.cat([emb, ctx], 1) @ w["Wd"] + d @ w["Ud"] + w["bd"])
            logits = tg.cat([d, ctx], 1) @ w["Wo"] + w["bo"]
            loss = loss + tg.nn.functional.cross_entropy(logits, tgt[:, t + 1])
    return loss / T, w


def seq2seq_hand(p, src, tgt):
    B, S, _ = src.shape
    T = tgt.shape[1] - 1
    H = p["Ue"].shape[0]
    # ---- encoder
    enc = np.zeros((B, S, H))
    e = np.zeros((B, H))
    for s in range(S):
        e = np.tanh(src[:, s] @ p["We"] + e @ p["Ue"] + p["be"])
        enc[:, s] = e
    # ---- decoder
    keys = enc @ p["Ua"]
    d = enc[:, -1]
    saved = []
    for t in range(T):
        d_prev = d
        energy = np.tanh(keys + (d_prev @ p["Wa"])[:, None, :])
        scores = energy @ p["v"]
        alpha = np.exp(scores - scores.max(1, keepdims=True))
        alpha = alpha / alpha.sum(1, keepdims=True)
        ctx = np.einsum("bs,bsh->bh", alpha, enc)
        dec_in = np.concatenate([p["E"][tgt[:, t]], ctx], axis=1)
        d = np.tanh(dec_in @ p["Wd"] + d_prev @ p["Ud"] + p["bd"])
        out_in = np.concatenate([d, ctx], axis=1)
        logits = out_in @ p["Wo"] + p["bo"]
        probs = np.exp(logits - logits.max(1, keepdims=True))
        probs = probs / probs.sum(1, keepdims=True)
        saved.append((d_prev, d, energy, alpha, dec_in, out_in, probs))
    # ---- backward, decoder
    g = {k: np.zeros_like(v) for k, v in p.items()}
    d_enc = np.zeros_like(enc)
    d_state = np.zeros((B, H))
    for t in reversed(range(T)):
        d_prev, d, energy, alpha, dec_in, out_in, probs = saved[t]
        dlogits = probs.copy()
        dlogits[np.arange(B), tgt[:, t + 1]] -= 1
        dlogits /= B * T
        g["Wo"] += out_in.T @ dlogits
        g["bo"] += dlogits.sum(0)
        d_out_in = dlogits @ p["Wo"].T
        d_state = d_state + d_out_in[:, :H]
        d_ctx = d_out_in[:, H:]
        d_pre = d_state * (1 - d**2)
        g["Wd"] += dec_in.T @ d_pre
        g["Ud"] += d_prev.T @ d_pre
        g["bd"] += d_pre.sum(0)
        d_dec_in = d_pre @ p["Wd"].T
        np.add.at(g["E"], tgt[:, t], d_dec_in[:, :-H])
        d_ctx = d_ctx + d_dec_in[:, -H:]
        # attention
        d_alpha = np.einsum("bh,bsh->bs", d_ctx, enc)
        d_enc += alpha[:, :, None] * d_ctx[:, None, :]
        d_scores = alpha * (d_alpha - (alpha * d_alpha).sum(axis=1, keepdims=True))
        g["v"] += np.einsum("bs,bsh->h", d_scores, energy)
        d_energy = d_scores[:, :, None] * p["v"] * (1 - energy**2)
        d_query = d_energy.sum(axis=1)
        g["Wa"] += d_prev.T @ d_query
        g["Ua"] += np.einsum("bsh,bsk->hk", enc, d_energy)
        d_enc += d_energy @ p["Ua"].T
        d_state = d_pre @ p["Ud"].T + d_query @ p["Wa"].T
    # ---- backward, encoder
    d_enc[:, -1] += d_state
    d_e = np.zeros((B, H))
    for s in reversed(range(S)):
        e_prev = enc[:, s - 1] if s > 0 else np.zeros((B, H))
        d_pre = (d_enc[:, s] + d_e) * (1 - enc[:, s] ** 2)
        g["We"] += src[:, s].T @ d_pre
        g["Ue"] += e_prev.T @ d_pre
        g["be"] += d_pre.sum(0)
        d_e = d_pre @ p["Ue"].T
    return g


_r = np.random.RandomState(44)
NETWORKS["seq2seq_attention"] = Network(
    {
        "We": _r.randn(2, 3) * 0.8,
        "Ue": _r.randn(3, 3) * 0.6,
        "be": _r.randn(3) * 0.2,
        "Wa": _r.randn(3, 3) * 0.8,
        "Ua": _r.randn(3, 3) * 0.8,
        "v": _r.randn(3) * 1.5,
        "E": _r.randn(5, 3) * 0.8,
        "Wd": _r.randn(6, 3) * 0.6,
        "Ud": _r.randn(3, 3) * 0.6,
        "bd": _r.randn(3) * 0.2,
        "Wo": _r.randn(6, 5) * 0.9,
        "bo": _r.randn(5) * 0.2,
    },
    {"src": _r.randn(2, 4, 2), "tgt": np.array([[0, 2, 3, 4, 1], [0, 3, 3, 2, 1]])},
    seq2seq_forward,
    [seq2seq_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 5. bidirectional classifier with embedding, padding masks, pooling, dropout and weight decay, as a class
# ----------------------------------------------------------------------------------------------------------------------


def bi_forward(p, tokens, mask, labels, drop, keep, reg):
    w = leaves_of(p)
    B, T = tokens.shape
    x = w["emb"][tokens]
    lengths = mask.sum(1)[:, None]
    outs, lasts = [], []
    for d in "fb":
        with tg.scope("forward" if d == "f" else "backward"):
            h = w["h0_" + d] + const(np.zeros((B, 1)))
            pool = 0.0
            for k in tg.steps(T):
                t = k if d == "f" else T - 1 - k
                m = const(mask[:, t : t + 1])
                new = tg.tanh(x[:, t] @ w["W_" + d] + h @ w["U_" + d] + w["b_" + d])
                h = m * new + (1 - m) * h
                pool = pool + m * h
            outs.append(pool / const(lengths))
            lasts.append(h)
    feat = tg.cat(outs + lasts, 1) * const(drop / keep)
    hid = tg.relu(feat @ w["W1"] + w["b1"])
    logits = hid @ w["W2"] + w["b2"]
    loss = tg.nn.functional.cross_entropy(logits, labels)
    for k in ("W_f", "U_f", "W_b", "U_b", "W1", "W2"):
        loss = loss + 0.5 * reg * (w[k] * w[k]).sum()
    return loss, w


class BiRNNClassifier:
    def __init__(self, params, keep, reg):
        self.params = params
        self.keep = keep
        self.reg = reg
        self.grads = {k: np.zeros_like(v) for k, v in params.items()}

    def run_direction(self, d, x, mask):
        W, U, b = self.params["W_" + d], self.params["U_" + d], self.params["b_" + d]
        B, T, _ = x.shape
        h = np.repeat(self.params["h0_" + d], B, axis=0)
        out = np.zeros((B, T, h.shape[1]))
        steps = []
        for t in range(T) if d == "f" else range(T - 1, -1, -1):
            m = mask[:, t : t + 1]
            h_prev = h
            new = np.tanh(x[:, t] @ W + h_prev @ U + b)
            h = m * new + (1 - m) * h_prev
            out[:, t] = h
            steps.append((t, h_prev, new))
        return out, steps

    def back_direction(self, d, x, mask, out, steps, dout, dx):
        W, U = self.params["W_" + d], self.params["U_" + d]
        gW, gU, gb = self.grads["W_" + d], self.grads["U_" + d], self.grads["b_" + d]
        dh = np.zeros_like(dout[:, 0])
        for t, h_prev, new in reversed(steps):
            m = mask[:, t : t + 1]
            dh = dh + dout[:, t]
            dnew = m * dh * (1 - new**2)
            gW += x[:, t].T @ dnew
            gU += h_prev.T @ dnew
            gb += dnew.sum(axis=0)
            dx[:, t] += dnew @ W.T
            dh = dnew @ U.T + (1 - m) * dh
        self.grads["h0_" + d] += dh.sum(axis=0, keepdims=True)

    def forward(self, tokens, mask, drop):
        p = self.params
        x = p["emb"][tokens]
        out_f, steps_f = self.run_direction("f", x, mask)
        out_b, steps_b = self.run_direction("b", x, mask)
        lengths = mask.sum(axis=1)
        both = np.concatenate([out_f, out_b], axis=2)
        pooled = (both * mask[:, :, None]).sum(axis=1) / lengths[:, None]
        feat = np.concatenate([pooled, out_f[:, -1], out_b[:, 0]], axis=1)
        dropped = feat * drop / self.keep
        pre = dropped @ p["W1"] + p["b1"]
        hid = np.maximum(pre, 0)
        logits = hid @ p["W2"] + p["b2"]
        self.cache = (tokens, x, mask, lengths, drop, out_f, steps_f, out_b, steps_b, dropped, pre, hid)
        return logits

    def backward(self, dlogits):
        tokens, x, mask, lengths, drop, out_f, steps_f, out_b, steps_b, dropped, pre, hid = self.cache
        p, g = self.params, self.grads
        H = out_f.shape[2]
        g["W2"] += hid.T @ dlogits
        g["b2"] += dlogits.sum(axis=0)
        dpre = dlogits @ p["W2"].T
        dpre[pre <= 0] = 0
        g["W1"] += dropped.T @ dpre
        g["b1"] += dpre.sum(axis=0)
        dfeat = dpre @ p["W1"].T * drop / self.keep
        dpooled, dlast_f, dlast_b = dfeat[:, : 2 * H], dfeat[:, 2 * H : 3 * H], dfeat[:, 3 * H :]
        dboth = dpooled[:, None, :] * mask[:, :, None] / lengths[:, None, None]
        dout_f, dout_b = dboth[:, :, :H].copy(), dboth[:, :, H:].copy()
        dout_f[:, -1] += dlast_f
        dout_b[:, 0] += dlast_b
        dx = np.zeros_like(x)
        self.back_direction("f", x, mask, out_f, steps_f, dout_f, dx)
        self.back_direction("b", x, mask, out_b, steps_b, dout_b, dx)
        for i in range(tokens.shape[0]):
            for t in range(tokens.shape[1]):
                g["emb"][tokens[i, t]] += dx[i, t]
        for k in ("W_f", "U_f", "W_b", "U_b", "W1", "W2"):
            g[k] += self.reg * p[k]
        return g


def bi_hand(p, tokens, mask, labels, drop, keep, reg):
    model = BiRNNClassifier(p, keep, reg)
    logits = model.forward(tokens, mask, drop)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    dlogits = probs
    dlogits[np.arange(len(labels)), labels] -= 1
    dlogits /= len(labels)
    return model.backward(dlogits)


_r = np.random.RandomState(50)
NETWORKS["bi_classifier"] = Network(
    {
        "emb": _r.randn(7, 3) * 0.8,
        "W_f": _r.randn(3, 3) * 0.7,
        "U_f": _r.randn(3, 3) * 0.6,
        "b_f": _r.randn(3) * 0.2,
        "h0_f": _r.randn(1, 3) * 0.4,
        "W_b": _r.randn(3, 3) * 0.7,
        "U_b": _r.randn(3, 3) * 0.6,
        "b_b": _r.randn(3) * 0.2,
        "h0_b": _r.randn(1, 3) * 0.4,
        "W1": _r.randn(12, 4) * 0.7,
        "b1": _r.randn(4) * 0.3,
        "W2": _r.randn(4, 3) * 0.9,
        "b2": _r.randn(3) * 0.2,
    },
    {
        "tokens": np.array([[1, 2, 3, 2, 4], [5, 2, 6, 0, 0], [3, 3, 1, 5, 0]]),
        "mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=float),
        "labels": np.array([0, 2, 1]),
        "drop": (_r.rand(3, 12) < 0.75).astype(float),
        "keep": 0.75,
        "reg": 0.05,
    },
    bi_forward,
    [BiRNNClassifier, bi_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 6. a cell of one's own: leaky units, layer norm, multiplicative integration; response window and activity penalty
# ----------------------------------------------------------------------------------------------------------------------


def leaky_forward(p, x, target, window, lam):
    w = leaves_of(p)
    T, B, _ = x.shape
    h = w["h_init"] + const(np.zeros((B, 1)))
    a = tg.sigmoid(w["leak"])
    loss = 0.0
    for t in tg.steps(T):
        u = const(x[t]) @ w["W"]
        q = h @ w["U"]
        mi = w["alpha"] * u * q + w["beta_u"] * u + w["beta_q"] * q
        centred = mi - mi.mean(1, keepdims=True)
        normed = centred / tg.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5)
        new = tg.tanh(w["gain"] * normed + w["shift"])
        h = (1 - a) * h + a * new
        error = h @ w["R"] + w["c"] - const(target[t])
        loss = loss + 0.5 * window[t] * (error * error).sum() / B + 0.5 * lam * (h * h).sum() / B
    return loss, w


def leaky_hand(p, x, target, window, lam):
    T, B, _ = x.shape
    W, U, R = p["W"], p["U"], p["R"]
    alpha, beta_u, beta_q, gain, shift = p["alpha"], p["beta_u"], p["beta_q"], p["gain"], p["shift"]
    a = sigmoid(p["leak"])
    hs = [np.repeat(p["h_init"], B, axis=0)]
    us, qs, xhats, rstds, news, errs = [], [], [], [], [], []
    for t in range(T):
        u = x[t] @ W
        q = hs[t] @ U
        mi = alpha * u * q + beta_u * u + beta_q * q
        mu = mi.mean(axis=1, keepdims=True)
        rstd = 1.0 / np.sqrt(mi.var(axis=1, keepdims=True) + 1e-5)
        xhat = (mi - mu) * rstd
        new = np.tanh(gain * xhat + shift)
        hs.append((1 - a) * hs[t] + a * new)
        errs.append(hs[t + 1] @ R + p["c"] - target[t])
        us.append(u), qs.append(q), xhats.append(xhat), rstds.append(rstd), news.append(new)

    g = {k: np.zeros_like(v) for k, v in p.items()}
    da = np.zeros_like(a)
    dh = np.zeros_like(hs[0])
    for t in range(T - 1, -1, -1):
        u, q, xhat, rstd, new, h_prev = us[t], qs[t], xhats[t], rstds[t], news[t], hs[t]
        # readout and penalty
        derr = window[t] * errs[t] / B
        g["R"] += hs[t + 1].T @ derr
        g["c"] += derr.sum(axis=0)
        dh = dh + derr @ R.T
        dh = dh + lam * hs[t + 1] / B
        # leak
        da += (dh * (new - h_prev)).sum(axis=0)
        dnew = dh * a
        # tanh and layer norm
        dln = dnew * (1 - new**2)
        g["gain"] += (dln * xhat).sum(axis=0)
        g["shift"] += dln.sum(axis=0)
        dxhat = dln * gain
        m1 = dxhat.mean(axis=1, keepdims=True)
        m2 = (dxhat * xhat).mean(axis=1, keepdims=True)
        dmi = rstd * (dxhat - m1 - xhat * m2)
        # multiplicative integration
        g["alpha"] += (dmi * u * q).sum(axis=0)
        g["beta_u"] += (dmi * u).sum(axis=0)
        g["beta_q"] += (dmi * q).sum(axis=0)
        du = dmi * (alpha * q + beta_u)
        dq = dmi * (alpha * u + beta_q)
        g["W"] += x[t].T @ du
        g["U"] += h_prev.T @ dq
        dh = dh * (1 - a) + dq @ U.T
    g["leak"] = da * a * (1 - a)
    g["h_init"] = dh.sum(axis=0, keepdims=True)
    return g


_r = np.random.RandomState(66)
NETWORKS["leaky_layernorm"] = Network(
    {
        "W": _r.randn(3, 4) * 0.9,
        "U": _r.randn(4, 4) * 0.8,
        "alpha": 1 + _r.randn(4) * 0.3,
        "beta_u": 0.6 + _r.randn(4) * 0.3,
        "beta_q": 0.6 + _r.randn(4) * 0.3,
        "gain": 1 + _r.randn(4) * 0.3,
        "shift": _r.randn(4) * 0.3,
        "leak": _r.randn(4) * 0.8,
        "h_init": _r.randn(1, 4) * 0.6,
        "R": _r.randn(4, 2) * 0.8,
        "c": _r.randn(2) * 0.2,
    },
    {
        "x": _r.randn(6, 2, 3),
        "target": _r.randn(6, 2, 2),
        "window": np.array([0.0, 0.0, 1.0, 0.5, 1.0, 1.0]),
        "lam": 0.3,
    },
    leaky_forward,
    [leaky_hand],
)


# ----------------------------------------------------------------------------------------------------------------------
# 7. a gated selective state-space layer: input-dependent step, diagonal recurrence, skip, SiLU gate, residual
# ----------------------------------------------------------------------------------------------------------------------


def ssm_forward(p, target):
    w = leaves_of(p)
    B, T, _D = p["x"].shape
    A = -tg.exp(w["A_log"])
    s = const(np.zeros((B, *p["A_log"].shape)))
    loss = 0.0
    for t in tg.steps(T):
        x = w["x"][:, t]
        u = x @ w["W_in"]
        z = x @ w["W_z"]
        dt = tg.softplus(u @ w["W_dt"] + w["b_dt"])
        Bt, Ct = u @ w["W_B"], u @ w["W_C"]
        decay = tg.exp(dt.unsqueeze(2) * A)
        s = decay * s + (dt * u).unsqueeze(2) * Bt.unsqueeze(1)
        y = (s * Ct.unsqueeze(1)).sum(2) + w["D_skip"] * u
        out = x + (y * (z * tg.sigmoid(z))) @ w["W_out"]
        error = out - const(target[:, t])
        loss = loss + (error * error).sum()
    return loss / target.size, w


def ssm_hand(p, target):
    x = p["x"]
    nB, nT, nD = x.shape
    nN = p["A_log"].shape[1]
    # forward
    u = x @ p["W_in"]
    z = x @ p["W_z"]
    dt_pre = u @ p["W_dt"] + p["b_dt"]
    dt = np.log1p(np.exp(dt_pre))
    Bm = u @ p["W_B"]
    Cm = u @ p["W_C"]
    A = -np.exp(p["A_log"])
    decay = np.exp(dt[..., None] * A)
    S = np.zeros((nB, nT, nD, nN))
    s = np.zeros((nB, nD, nN))
    for t in range(nT):
        s = decay[:, t] * s + (dt * u)[:, t, :, None] * Bm[:, t, None, :]
        S[:, t] = s
    y = np.einsum("btdn,btn->btd", S, Cm) + p["D_skip"] * u
    sig = sigmoid(z)
    silu = z * sig
    gated = y * silu
    out = x + gated @ p["W_out"]

    # backward
    g = {}
    dout = 2 * (out - target) / out.size
    g["W_out"] = np.einsum("btd,bte->de", gated, dout)
    dgated = dout @ p["W_out"].T
    dy = dgated * silu
    dz = dgated * y * (sig * (1 + z * (1 - sig)))
    g["D_skip"] = (dy * u).sum(axis=(0, 1))
    du = dy * p["D_skip"]
    dCm = np.einsum("btd,btdn->btn", dy, S)
    dBm, ddt = np.zeros_like(Bm), np.zeros_like(dt)
    dA = np.zeros_like(A)
    ds = np.zeros((nB, nD, nN))
    for t in reversed(range(nT)):
        ds += dy[:, t, :, None] * Cm[:, t, None, :]
        s_prev = S[:, t - 1] if t > 0 else np.zeros_like(ds)
        dlog = ds * s_prev * decay[:, t]
        dA += (dlog * dt[:, t, :, None]).sum(axis=0)
        dBm[:, t] = (ds * (dt * u)[:, t, :, None]).sum(axis=1)
        dtu = (ds * Bm[:, t, None, :]).sum(axis=2)
        ddt[:, t] = (dlog * A).sum(axis=2) + dtu * u[:, t]
        du[:, t] += dtu * dt[:, t]
        ds = ds * decay[:, t]
    g["A_log"] = dA * A
    ddt_pre = ddt * sigmoid(dt_pre)
    g["W_dt"] = np.einsum("bti,btj->ij", u, ddt_pre)
    g["b_dt"] = ddt_pre.sum(axis=(0, 1))
    g["W_B"] = np.einsum("bti,btj->ij", u, dBm)
    g["W_C"] = np.einsum("bti,btj->ij", u, dCm)
    du = du + ddt_pre @ p["W_dt"].T
    du = du + dBm @ p["W_B"].T + dCm @ p["W_C"].T
    g["W_in"] = np.einsum("bti,btj->ij", x, du)
    g["W_z"] = np.einsum("bti,btj->ij", x, dz)
    g["x"] = dout + du @ p["W_in"].T + dz @ p["W_z"].T
    return g


_r = np.random.RandomState(77)
NETWORKS["gated_ssm"] = Network(
    {
        "x": _r.randn(2, 6, 3),
        "W_in": _r.randn(3, 3) * 0.8,
        "W_z": _r.randn(3, 3) * 0.9,
        "W_dt": _r.randn(3, 3) * 0.6,
        "b_dt": _r.randn(3) * 0.5 - 0.5,
        "W_B": _r.randn(3, 3) * 0.5,
        "W_C": _r.randn(3, 3) * 0.5,
        "A_log": _r.randn(3, 3) * 0.5 - 0.3,
        "D_skip": 1 + _r.randn(3) * 0.3,
        "W_out": _r.randn(3, 3) * 0.6,
    },
    {"target": _r.randn(2, 6, 3)},
    ssm_forward,
    [ssm_hand],
)

#: network, what is written, what was written instead, what is wrong, and what the diagnosis says
# fmt: off
MISTAKES = [
    ('char_rnn', 'dh = np.dot(Why.T, dy) + dhnext', 'dh = np.dot(Why.T, dy)', 'the gradient from the next step (dhnext) is never added: no backpropagation through time', 'At every step but the first, what h receives from Whh @ h of the next step is missing.'),
    ('char_rnn', 'dhnext = np.dot(Whh.T, dhraw)', 'dhnext = np.dot(Whh, dhraw)', 'the transpose of Whh is missing where the gradient goes back to the previous state', 'At every step, what h receives from Whh @ h of the next step uses Whh transposed.'),
    ('char_rnn', 'dhnext = np.dot(Whh.T, dhraw)', 'dhnext = np.dot(Whh.T, dh)', 'dh instead of dhraw is sent to the previous step: the tanh derivative is left out of the chain through time', 'At every step, in what h receives from Whh @ h of the next step the derivative at h is forgotten.'),
    ('char_rnn', 'dWhh += np.dot(dhraw, hs[t - 1].T)', 'dWhh += np.dot(dhraw, hs[t].T)', 'the gradient of Whh uses the state of the same step instead of the previous one', 'At every step, what Whh receives from Whh @ h uses h of the step after.'),
    ('char_rnn', 'for t in reversed(range(len(inputs))):', 'for t in range(len(inputs)):', 'the backward loop runs forward in time', 'The time steps are visited in forward order: h receives the carry of the step before instead of the step after.'),
    ('char_rnn', '(1 - hs[t] * hs[t])', '(1 - hs[t])', 'the derivative of tanh is written as 1 - h, the square is forgotten', 'At every step, at h the derivative of tanh is taken to be 1 − y.'),
    ('char_rnn', 'dy[targets[t]] -= 1', 'dy[inputs[t]] -= 1', 'the 1 is subtracted at the input character instead of the target character', 'At every step, what probs receives from the part of probs in loss uses the ones in x where the right ones belong, and so does all that is made of it.'),
    ('char_rnn', 'dby += dy', 'dby = dy', '= instead of += for by: only the last visited step stays', 'by was given the gradient of Why @ h of step 1 alone, as with = instead of +=.'),
    ('char_rnn', 'dbh += dhraw\n', 'dhraw = np.clip(dhraw, -0.5, 0.5)\n        dbh += dhraw\n', "the state's gradient is clipped inside the loop", 'At every step, the gradient of … + bh in h is clipped to ±0.5.'),
    ('char_rnn', '    return {', '    for dparam in [dWxh, dWhh, dWhy, dbh, dby]:\n        np.clip(dparam, -1, 1, out=dparam)\n    return {', 'all parameter gradients are clipped to [-1, 1] before they are returned', 'Every gradient is clipped to ±1.'),
    ('char_rnn', 'dy[targets[t]] -= 1\n', 'dy[targets[t]] -= 1\n        dy /= len(inputs)\n', 'divides by the number of characters although the loss is a sum', 'At every step, what y receives from probs is divided by 6, the number of time steps.'),
    ('char_rnn', 'dbh += dhraw', 'dbh += dh', 'the gradient of the hidden bias takes dh before the tanh derivative', 'At every step, what bh receives from … + bh in h comes from the gradient of h.'),
    ('char_rnn', '(1 - hs[t] * hs[t])', '(1 - hs[t - 1] * hs[t - 1])', "the tanh derivative is taken at the previous step's state", 'At every step, at h the derivative of tanh uses h of the step before.'),
    ('char_rnn', 'dhnext = np.dot(Whh.T, dhraw)', 'dhnext += np.dot(Whh.T, dhraw)', 'dhnext is accumulated over the steps instead of replaced', 'At every step, what h receives from Whh @ h of the next step is added to that of the step after, not written anew.'),
    ('char_rnn', ('dhnext = np.zeros_like(hs[0])', 'dWhh += np.dot(dhraw, hs[t - 1].T)'), ('dhnext = np.zeros_like(hs[0])\n    H = [hs[t] for t in range(len(inputs))]', 'dWhh += np.dot(dhraw, H[t - 1].T)'), 'states are kept in a list without the initial one, so at step 0 index t-1 is the last state', 'The saved h, the first of them, has become the last one.'),
    ('char_rnn', '"hprev": dhnext', '"hprev": dh', 'the gradient of hprev is dh of the first step: not taken through tanh and Whh', 'hprev was given the gradient of h of step 1.'),
    ('caption_lstm', 'dc = dnext_c + dnext_h', 'dc = dnext_h', 'the cell gradient from the next step (dnext_c) is forgotten, only the path through the output is there', 'At every step, what c receives from f ⊙ c of the next step is missing.'),
    ('caption_lstm', 'dc = dnext_c + dnext_h * o * (1 - tanh_c**2)', 'dc = dnext_c + dnext_h * (1 - tanh_c**2)', 'the output gate is missing in the gradient that reaches the cell from h = o * tanh(c)', 'At every step, what tanh(c) receives from h lacks the factor o.'),
    ('caption_lstm', '(1 - tanh_c**2)', '(1 - next_c**2)', 'the tanh derivative is taken of the cell itself, 1 - c^2 instead of 1 - tanh(c)^2', 'At every step, at tanh(c) the derivative of tanh is taken to be 1 − x² of the value before it.'),
    ('caption_lstm', 'do = dnext_h * tanh_c', 'do = dnext_h * next_c', "the output gate's gradient multiplies with the cell itself instead of tanh of the cell", 'At every step, what o receives from h uses c where tanh(c) belongs.'),
    ('caption_lstm', 'do * o * (1 - o), dg * (1 - g**2)))', 'dg * (1 - g**2), do * o * (1 - o)))', "the gates' gradients are stacked in the order i f g o, the forward pass has i f o g", 'At every step, the gradients before o and g are exchanged.'),
    ('caption_lstm', 'df = dc * prev_c', 'df = dc * next_c', "the forget gate's gradient uses the new cell instead of the previous cell", 'At every step, what f receives from f ⊙ c uses c of the step after.'),
    ('caption_lstm', 'dg * (1 - g**2)))', 'dg * g * (1 - g)))', 'the candidate g gets the sigmoid derivative g(1-g), it is a tanh', "At every step, at g the derivative of tanh is taken to be σ' (y(1 − y))."),
    ('caption_lstm', 'db = np.sum(da, axis=0)', 'db = np.mean(da, axis=0)', 'the gradient of the bias is the mean over the batch instead of the sum', 'At every step, what b receives from a is divided by 3, the size of the batch.'),
    ('caption_lstm', 'dnext_h = dh[:, t] + dprev_h', 'dnext_h = dh[:, t]', "the gradient of the next step's hidden state is not added to dh[:, t]", 'At every step but the first, what h receives from h @ Wh of the next step is missing.'),
    ('caption_lstm', 'dx[:, t] = dx_t', 'dx[:, T - 1 - t] = dx_t', 'dx is written in reversed order of time', 'At every step, what W_embed receives from W_embed_t uses the numbers in W_embed_t counted from the other end where the right ones belong.'),
    ('caption_lstm', 'dWx += dWx_t', 'dWx = dWx_t', "dWx = instead of +=: only one step's gradient is kept", 'At every step but the first, what Wx receives from W_embed_t @ Wx is missing, as with = instead of +=.'),
    ('caption_lstm', 'np.add.at(grads["W_embed"], captions_in, dx)', 'grads["W_embed"][captions_in] += dx', 'the embedding gradient is added with fancy indexing, so repeated words count once', 'A row of W_embed that is looked up again has only what the last of axis 0 sends, at its last step: it was overwritten.'),
    ('caption_lstm', '    dx_flat *= mask_flat[:, None]\n', '', 'the mask of the NULL words is forgotten in the gradient of the loss', 'At every step, the mask of the loss is forgotten: rows of logp count that it leaves out, with the targets 0, 0, 0.'),
    ('caption_lstm', 'dx_flat /= N\n', 'dx_flat /= N * T\n', 'the gradient of the loss is divided by N*T, the loss is divided by N only', 'At every step, what (h @ W_vocab) + b_vocab receives from logp is divided by 5, the number of time steps.'),
    ('caption_lstm', 'prev_h = next_h\n', 'prev_h[:] = next_h\n', 'the state is kept in one buffer that is overwritten in place, so every cache holds the last state', 'At every step, what Wh receives from h @ Wh uses h of the last step.'),
    ('caption_lstm', 'dprev_h = da.dot(Wh.T)', 'dprev_h = da.dot(Wx.T)', 'copy and paste: dprev_h is computed with Wx instead of Wh', 'At every step, what h receives from h @ Wh of the next step uses Wx where Wh belongs.'),
    ('gru_two_layers', 'dh_next = dgh @ w_hh + dh * z', 'dh_next = dgh @ w_hh', 'the direct path dh * z to the previous state is forgotten', 'Everywhere alike: at every step, what h⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ of the next step is missing.'),
    ('gru_two_layers', '[dr_pre, dz_pre, dn_pre * r]', '[dr_pre, dz_pre, dn_pre]', "the reset gate is missing on the hidden side of the candidate's gradient", 'Everywhere alike: at every step, what gh⁽¹⁾[:, 8:] receives from r⁽¹⁾ ⊙ gh⁽¹⁾[:, 8:] lacks the factor r⁽¹⁾.'),
    ('gru_two_layers', 'g[f"bias_hh_l{layer}"] += dgh.sum(0)', 'g[f"bias_hh_l{layer}"] += dgi.sum(0)', 'bias_hh gets the same gradient as bias_ih, but the reset gate stands between them', 'Everywhere alike: bias_hh_l0 was given the gradient of bias_ih_l0.'),
    ('gru_two_layers', 'dr = dn_pre * h_n', 'dr = dn * h_n', "the reset gate's gradient is taken before the tanh derivative of the candidate", 'Everywhere alike: at every step, in what r⁽¹⁾ receives from r⁽¹⁾ ⊙ gh⁽¹⁾[:, 8:] the derivative at n⁽¹⁾ is forgotten.'),
    ('gru_two_layers', 'dz = dh * (h_prev - n)', 'dz = dh * (n - h_prev)', "the update gate's gradient has the wrong sign, n - h instead of h - n", 'Everywhere alike: at every step, what gi⁽¹⁾[:, 4:8] + gh⁽¹⁾[:, 4:8] receives from z⁽¹⁾ is of the wrong sign.'),
    ('gru_two_layers', 'dr = dn_pre * h_n', 'dr = dn_pre * h_prev', "the reset gate's gradient uses the previous state as in the GRU of the paper, here r multiplies W h + b", 'Everywhere alike: at every step, what r⁽¹⁾ receives from r⁽¹⁾ ⊙ gh⁽¹⁾[:, 8:] uses h⁽¹⁾ of the step before where gh⁽¹⁾[:, 8:] belongs.'),
    ('gru_two_layers', 'cache.append((r, z, n, h_n, h))', 'cache.append((r, z, n, h @ w_hh[2 * H :].T, h))', 'the saved hidden part of the candidate lacks its bias', 'Everywhere alike: at every step, what r⁽¹⁾ receives from r⁽¹⁾ ⊙ gh⁽¹⁾[:, 8:] uses gh⁽¹⁾[:, 8:] without bias_hh_l0.'),
    ('gru_two_layers', 'dh_next = dgh @ w_hh + dh * z', 'dh_next = dgh @ w_hh + dh * (1 - z)', 'the direct path to the previous state is weighted by 1 - z instead of z', 'Everywhere alike: at every step, what h⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ of the next step has the factor 1 − z⁽¹⁾ instead of it.'),
    ('gru_two_layers', 'din[t] = dgi @ w_ih', 'din[t] = dgi @ w_hh', 'the gradient to the layer below goes through weight_hh instead of weight_ih', 'At every step, what inp⁽¹⁾ receives from inp⁽¹⁾ @ weight_ih_l1ᵀ uses weight_hh_l1ᵀ where weight_ih_l1ᵀ belongs.'),
    ('gru_two_layers', 'g["h0"][layer] = dh_next', 'g["h0"][1 - layer] = dh_next', "the initial states' gradients are collected top layer first, so the two layers are swapped", 'The gradient of h0 is written down in reverse order.'),
    ('gru_two_layers', 'inp = inputs[layer]\n', 'inp = inputs[0]\n', "both layers take the network's input x for the gradient of weight_ih", 'At every step, what weight_ih_l1ᵀ receives from h⁽¹⁾ @ weight_ih_l1ᵀ uses inp where h⁽¹⁾ belongs.'),
    ('gru_two_layers', 'dpred = 2 * (pred - y) / y.size', 'dpred = 2 * (pred - y) / (T * B)', 'the mean squared error is divided by steps and batch but not by the outputs', 'At every step, what the add in error receives from error is counted twice (2 is the size of the batch).'),
    ('gru_two_layers', '        dout = din\n', '', "the lower layer gets the gradient of the network's output again instead of what the upper layer sends down", 'h⁽¹⁾ receives what h⁽²⁾ receives from outside of its recurrence, instead of its own.'),
    ('gru_two_layers', ('        dh_next = np.zeros((B, H))\n', '    for layer in (1, 0):\n'), ('', '    dh_next = np.zeros((B, H))\n    for layer in (1, 0):\n'), "dh_next is not set to zero between the layers: the upper layer's rest runs into the lower one", 'The gradient that is carried for h⁽¹⁾ was not set to zero before the loop: it starts from what the loop over h⁽²⁾ left there.'),
    ('gru_two_layers', 'dr_pre = dr * r * (1 - r)', 'dr_pre = dr * z * (1 - z)', "copy and paste: the reset gate's sigmoid derivative is taken with z", 'Everywhere alike: at every step, at r⁽¹⁾ the derivative of sigmoid uses z⁽¹⁾.'),
    ('gru_two_layers', '+= dgh.T @ h_prev', '+= dgh.T @ (h_prev if t > 0 else np.zeros((B, H)))', "the first step's previous state is taken to be zero in the gradient of weight_hh", 'Everywhere alike: at the first step only, what weight_hh_l0 receives from weight_hh_l0ᵀ is missing.'),
    ('seq2seq_attention', 'd_state = d_pre @ p["Ud"].T + d_query @ p["Wa"].T', 'd_state = d_pre @ p["Ud"].T', "the attention's query does not send its gradient on to the previous decoder state", 'At every step, what d receives from d @ Wa of the next step is missing.'),
    ('seq2seq_attention', 'alpha * (d_alpha - (alpha * d_alpha).sum(axis=1, keepdims=True))', 'alpha * d_alpha', 'the softmax derivative is only alpha * d_alpha, the subtracted sum is forgotten', 'At every step, what sum(energy ⊙ v) receives from alpha is y * g instead of y * (g - sum(g * y)).'),
    ('seq2seq_attention', '(alpha * d_alpha).sum(axis=1, keepdims=True)', '(alpha * d_alpha).sum(axis=0, keepdims=True)', 'the sum in the softmax derivative is taken over the batch instead of the source positions', 'At every step, what sum(energy ⊙ v) receives from alpha is y * (g - sum_over_the_batch(g * y)) instead of y * (g - sum(g * y)).'),
    ('seq2seq_attention', 'd_ctx = d_ctx + d_dec_in[:, -H:]', 'd_ctx = d_dec_in[:, -H:]', "the context's gradient from the output layer is overwritten: only the decoder cell's part is kept", 'At every step, what ctx receives from [d, ctx] is missing.'),
    ('seq2seq_attention', '        d_ctx = d_ctx + d_dec_in[:, -H:]\n', '', "the context's gradient from the decoder cell is forgotten: only the output layer's part is there", 'At every step, what ctx receives from [emb, ctx] is missing.'),
    ('seq2seq_attention', '        d_enc += d_energy @ p["Ua"].T\n', '', "the encoder states get no gradient through the attention's keys", 'Once, what enc receives from keys is missing.'),
    ('seq2seq_attention', '        d_enc += alpha[:, :, None] * d_ctx[:, None, :]\n', '', 'the encoder states get no gradient through the weighted sum (values), only through the keys', 'At every step, what enc receives from (reshaped alpha) ⊙ enc is missing.'),
    ('seq2seq_attention', 'd_enc += alpha[:, :, None] * d_ctx[:, None, :]', 'd_enc = alpha[:, :, None] * d_ctx[:, None, :]', "= instead of += for the encoder's gradient in the decoder loop: only the first decoder step is left", 'Of all that enc receives, only what the first step sends is left: it was overwritten.'),
    ('seq2seq_attention', '    d_enc[:, -1] += d_state\n', '', "the gradient of the decoder's initial state is not handed to the encoder", 'At every step, what e receives from d @ Wa and d @ Ud is missing.'),
    ('seq2seq_attention', 'd_enc[:, -1] += d_state', 'd_enc[:, 0] += d_state', "the gradient of the decoder's initial state is handed to the encoder's first state instead of its last", 'What e of step 4 receives from d @ Wa and d @ Ud arrives at step 1 instead.'),
    ('seq2seq_attention', 'd_scores[:, :, None] * p["v"] * (1 - energy**2)', 'd_scores[:, :, None] * p["v"]', "the tanh derivative of the attention's energy is forgotten", 'At every step, at energy the derivative of tanh is taken to be 1: it is forgotten.'),
    ('seq2seq_attention', 'np.einsum("bs,bsh->h", d_scores, energy)', 'np.einsum("bs,bsh->h", alpha, energy)', "the gradient of v is weighted with alpha itself instead of the scores' gradient", 'At every step, what v receives from energy ⊙ v comes from the value of alpha.'),
    ('seq2seq_attention', 'g["Wa"] += d_prev.T @ d_query', 'g["Wa"] += d.T @ d_query', "the gradient of Wa uses the decoder's new state, the query was the previous one", 'At every step, what Wa receives from d @ Wa uses d of the step after.'),
    ('seq2seq_attention', 'np.add.at(g["E"], tgt[:, t], d_dec_in', 'np.add.at(g["E"], tgt[:, t + 1], d_dec_in', "the embedding's gradient goes to the word to be predicted instead of the word that was fed", 'At every step, what E receives from emb uses the numbers of the targets where the right ones belong.'),
    ('seq2seq_attention', ('d_dec_in[:, :-H])', 'd_dec_in[:, -H:]\n'), ('d_dec_in[:, H:])', 'd_dec_in[:, :H]\n'), 'embedding and context are swapped when the gradient of the concatenated input is split', "At every step, emb and ctx receive each other's part of [emb, ctx]."),
    ('seq2seq_attention', ('    d_e = np.zeros((B, H))\n', '(d_enc[:, s] + d_e) *'), ('    d_e = d_enc[:, -1]\n', 'd_e *'), "only the encoder's last state gets a gradient from the decoder, the attention's for the others is not added", 'At every step but the last, what e receives from enc is missing.'),
    ('bi_classifier', 'dh = dnew @ U.T + (1 - m) * dh', 'dh = dnew @ U.T', 'the gradient is not carried over padded steps, the term (1 - m) * dh is forgotten', 'Everywhere alike: at every step, what h⁽¹⁾ receives from (1 − m) ⊙ h⁽¹⁾ of the next step is missing.'),
    ('bi_classifier', 'dnew = m * dh * (1 - new**2)', 'dnew = dh * (1 - new**2)', "the padding mask is forgotten in the cell's backward step", 'Everywhere alike: at every step, what new⁽¹⁾ receives from m ⊙ new⁽¹⁾ lacks the factor m.'),
    ('bi_classifier', 'mask[:, :, None] / lengths[:, None, None]\n', 'mask[:, :, None] / mask.shape[1]\n', "mean pooling's gradient is divided by the padded length instead of each sequence's own", 'Everywhere alike: once, what pool⁽²⁾ receives from pool⁽²⁾ / m is divided by 5, not by m.'),
    ('bi_classifier', 'dboth = dpooled[:, None, :] * mask[:, :, None] / lengths', 'dboth = dpooled[:, None, :] * np.ones_like(mask)[:, :, None] / lengths', "mean pooling's gradient also goes to the padded positions", 'Everywhere alike: at every step, what h⁽¹⁾ receives from m ⊙ h⁽¹⁾ lacks the factor m.'),
    ('bi_classifier', 'for t, h_prev, new in reversed(steps):', 'for t, h_prev, new in sorted(steps, key=lambda s: -s[0]):', 'the backward direction is walked back in the order in which it was run', 'The time steps are visited in forward order: h⁽²⁾← receives the carry of the step before instead of the step after.'),
    ('bi_classifier', 'dx[:, t] += dnew @ W.T', 'dx[:, t] = dnew @ W.T', 'dx is overwritten by the second direction instead of added to', 'At every step, what emb[…] in x⁽²⁾ receives from x⁽²⁾ is missing.'),
    ('bi_classifier', 'dboth[:, :, :H].copy(), dboth[:, :, H:].copy()', 'dboth[:, :, H:].copy(), dboth[:, :, :H].copy()', "the two directions' halves of the pooled gradient are swapped", "At every step, pool⁽¹⁾ / m and pool⁽²⁾ / m receive each other's part of [pool⁽¹⁾ / m, pool⁽²⁾ / m, h⁽¹⁾, h⁽²⁾←]."),
    ('bi_classifier', 'dfeat = dpre @ p["W1"].T * drop / self.keep', 'dfeat = dpre @ p["W1"].T', 'dropout (mask and scale) is forgotten in the backward pass', 'Once, what [pool⁽¹⁾ / m, pool⁽²⁾ / m, h⁽¹⁾, h⁽²⁾←] receives from feat lacks the factor m.'),
    ('bi_classifier', 'dfeat = dpre @ p["W1"].T * drop / self.keep', 'dfeat = dpre @ p["W1"].T * drop', "dropout's scale 1/keep is forgotten in the backward pass", 'Once, what [pool⁽¹⁾ / m, pool⁽²⁾ / m, h⁽¹⁾, h⁽²⁾←] receives from feat is multiplied by 3/4: divided by 4 instead of 3.'),
    ('bi_classifier', 'g[k] += self.reg * p[k]', 'g[k] += 2 * self.reg * p[k]', "weight decay's gradient is twice too large, the 0.5 in the loss is overlooked", 'The gradient of W_f, U_f, W_b, U_b, W1, W2 has +0.05 times the value itself in it too, as of a penalty.'),
    ('bi_classifier', 'dpre[pre <= 0] = 0', 'dpre[hid < 0] = 0', "the ReLU's derivative tests its output for being negative, which it never is", 'Once, at hid the derivative of relu is taken to be 1: it is forgotten.'),
    ('bi_classifier', 'dout_b[:, 0] += dlast_b', 'dout_b[:, -1] += dlast_b', "the gradient of the backward direction's last state is put at the end of the sequence instead of its beginning", 'What h⁽²⁾← of step 5 receives from [pool⁽¹⁾ / m, pool⁽²⁾ / m, h⁽¹⁾, h⁽²⁾←] arrives at step 1 instead.'),
    ('bi_classifier', 'dh.sum(axis=0, keepdims=True)', 'dh.mean(axis=0, keepdims=True)', "the initial states' gradient is the mean over the batch instead of the sum", 'Everywhere alike: once, what h0_f receives from repeated h0_f is divided by 3, the size of the batch.'),
    ('bi_classifier', 'g["emb"][tokens[i, t]] += dx[i, t]', 'g["emb"][tokens[i, t]] = dx[i, t]', '= instead of += for the embedding: of a word that occurs several times only the last place counts', 'Once, what emb receives from emb[…] in x⁽²⁾ counts a row that is looked up twice only once.'),
    ('bi_classifier', 'gU += h_prev.T @ dnew', 'gU += (out[:, t - 1] if t > 0 else np.repeat(self.params["h0_" + d], len(x), axis=0)).T @ dnew', 'the gradient of U takes the output at t-1 in both directions, in the backward one the previous state is at t+1', 'At every step, what U_b receives from h⁽³⁾← @ U_b uses h⁽³⁾← of two steps after, the first state at the last where h⁽³⁾← belongs.'),
    ('bi_classifier', 'dx[:, t] += dnew @ W.T', 'dx[:, t] += dnew @ self.params["W_f"].T', "copy and paste: both directions send their gradient to the input through the forward direction's W", 'At every step, what x⁽⁴⁾ receives from x⁽⁴⁾ @ W_b uses W_f where W_b belongs.'),
    ('leaky_layernorm', 'dmi = rstd * (dxhat - m1 - xhat * m2)', 'dmi = rstd * (dxhat - xhat * m2)', 'layer norm: the term of the mean (m1) is forgotten', 'At every step, what mi receives from sum(mi) is missing.'),
    ('leaky_layernorm', 'dmi = rstd * (dxhat - m1 - xhat * m2)', 'dmi = rstd * dxhat', 'layer norm: mean and variance are treated as constants', 'At every step, what mi receives from normed, by all ways, is g / s instead of (g - mean(g) - y * mean(g * y)) / s.'),
    ('leaky_layernorm', ('m1 = dxhat.mean(axis=1, keepdims=True)', 'm2 = (dxhat * xhat).mean(axis=1, keepdims=True)'), ('m1 = dxhat.mean(axis=0, keepdims=True)', 'm2 = (dxhat * xhat).mean(axis=0, keepdims=True)'), 'layer norm: the backward pass takes its means over the batch, as in batch norm', 'At every step, what mi receives from normed, by all ways, is (g - mean(g) - y * mean(g * y)) / s, along axis 0, not 1.'),
    ('leaky_layernorm', 'dmi = rstd * (dxhat', 'dmi = (dxhat', 'layer norm: the division by the standard deviation is missing in the gradient', 'At every step, what centred receives from normed, by all ways, is g - y * mean(g * y) instead of (g - y * mean(g * y)) / s.'),
    ('leaky_layernorm', 'dh = dh * (1 - a) + dq @ U.T', 'dh = dq @ U.T', 'the leak path (1 - a) * dh to the previous state is forgotten', 'At every step, what h receives from (1 − a) ⊙ h of the next step is missing.'),
    ('leaky_layernorm', 'dh = dh * (1 - a) + dq @ U.T', 'dh = dh * a + dq @ U.T', 'the leak path is weighted with a instead of 1 - a', 'At every step, what h receives from (1 − a) ⊙ h of the next step has the factor 1 − (1 − a) instead of it.'),
    ('leaky_layernorm', '(dh * (new - h_prev))', '(dh * new)', "the leak's gradient lacks the part of the old state, - h_prev", 'At every step, what a receives from 1 − a is missing.'),
    ('leaky_layernorm', 'g["leak"] = da * a * (1 - a)', 'g["leak"] = da', "the leak's gradient is not taken through its sigmoid", 'Once, at a the derivative of sigmoid is taken to be 1: it is forgotten.'),
    ('leaky_layernorm', 'dq = dmi * (alpha * u + beta_q)', 'dq = dmi * (alpha * q + beta_q)', 'u and q are mixed up: the gradient of q multiplies alpha with q', 'At every step, what q receives from (alpha ⊙ u) ⊙ q uses (alpha ⊙ u) with q in the place of u.'),
    ('leaky_layernorm', 'du = dmi * (alpha * q + beta_u)', 'du = dmi * beta_u', 'the multiplicative term is forgotten in the gradient of the input projection, only beta_u is there', 'At every step, what u receives from alpha ⊙ u is missing.'),
    ('leaky_layernorm', '        dh = dh + lam * hs[t + 1] / B\n', '', 'the gradient of the activity penalty is forgotten', 'At every step, what h ⊙ h receives from sum(h ⊙ h) is missing.'),
    ('leaky_layernorm', 'dh = dh + lam * hs[t + 1] / B', 'dh = dh + window[t] * lam * hs[t + 1] / B', 'the activity penalty counts only in the response window in the backward pass', 'What h ⊙ h receives from sum(h ⊙ h) is missing at steps 1 and 2, and multiplied by 0.5 at step 4. It is multiplied by the number that sum(error ⊙ error) is multiplied with at that step.'),
    ('leaky_layernorm', 'dln = dnew * (1 - new**2)', 'dln = dnew * (1 - hs[t + 1] ** 2)', "the tanh derivative is computed from the leaky state instead of the tanh's own output", 'At every step, at new the derivative of tanh uses h, number 2.'),
    ('leaky_layernorm', 'g["R"] += hs[t + 1].T @ derr', 'g["R"] += hs[t].T @ derr', "the readout's gradient takes the state before the step, off by one in the list that begins with the initial state", 'At every step, what R receives from h @ R uses h of the step before.'),
    ('leaky_layernorm', 'g["beta_q"] += (dmi * q)', 'g["beta_q"] += (dmi * u)', 'copy and paste: the gradient of beta_q multiplies with u', 'beta_q was given the gradient of beta_u.'),
    ('leaky_layernorm', 'dnew = dh * a\n', 'dnew = dh\n', 'the leak is not applied to the new part: dnew is dh without a', 'At every step, what new receives from a ⊙ new lacks the factor a.'),
    ('gated_ssm', 's_prev = S[:, t - 1] if t > 0 else np.zeros_like(ds)', 's_prev = S[:, t - 1]', 'at step 0 index t-1 wraps around, so the last state stands for the zero initial state', 'The saved s, the first of them, has become the last one.'),
    ('gated_ssm', 's_prev = S[:, t - 1] if t > 0 else np.zeros_like(ds)', 's_prev = S[:, t]', "the decay's gradient uses the state of the same step instead of the previous one", 'At every step, what decay receives from decay ⊙ s uses s of the step after.'),
    ('gated_ssm', 'ds = ds * decay[:, t]\n', 'ds = ds * decay[:, t - 1]\n', "the state's gradient is carried with the decay of the step before, off by one", 'At every step, what s receives from decay ⊙ s of the next step uses decay of the step before.'),
    ('gated_ssm', 'ds += dy[:, t, :, None] * Cm[:, t, None, :]', 'ds = dy[:, t, :, None] * Cm[:, t, None, :]', "= instead of += for the state's gradient: nothing comes from later steps", 'At every step, what s receives from decay ⊙ s of the next step is missing.'),
    ('gated_ssm', 'g["A_log"] = dA * A', 'g["A_log"] = dA * np.exp(p["A_log"])', 'the derivative of A = -exp(A_log) has lost its minus sign', 'Once, at exp(A_log) the derivative of exp uses A.'),
    ('gated_ssm', 'dlog = ds * s_prev * decay[:, t]', 'dlog = ds * s_prev', 'the decay exp(dt A) is missing in its own derivative', 'At every step, at decay the derivative of exp is taken to be 1: it is forgotten.'),
    ('gated_ssm', 'ddt[:, t] = (dlog * A).sum(axis=2) + dtu * u[:, t]', 'ddt[:, t] = (dlog * A).sum(axis=2)', 'the step size gets no gradient from the input term dt * u * B', 'At every step, what dt receives from dt ⊙ u is missing.'),
    ('gated_ssm', 'ddt[:, t] = (dlog * A).sum(axis=2) + dtu * u[:, t]', 'ddt[:, t] = dtu * u[:, t]', 'the step size gets no gradient from the decay', 'At every step, what dt receives from reshaped dt is missing.'),
    ('gated_ssm', 'ddt_pre = ddt * sigmoid(dt_pre)', 'ddt_pre = ddt * sigmoid(dt)', 'the softplus derivative is the sigmoid of the step size itself, not of what went into the softplus', 'At every step, at dt the derivative of softplus uses dt.'),
    ('gated_ssm', '(sig * (1 + z * (1 - sig)))', '(sig * (1 - sig))', "the SiLU gate's derivative is written as that of a sigmoid", "At every step, what z receives from z ⊙ sigmoid(z), by all ways, is the gradient times σ' where another belongs, of the value before it."),
    ('gated_ssm', 'dy = dgated * silu', 'dy = dgated * sig', 'the gradient of y is multiplied by sigmoid(z) instead of the whole gate z * sigmoid(z)', 'At every step, what y receives from y ⊙ (z ⊙ sigmoid(z)) uses sigmoid(z) where z ⊙ sigmoid(z) belongs.'),
    ('gated_ssm', 'du[:, t] += dtu * dt[:, t]', 'du[:, t] = dtu * dt[:, t]', "du is overwritten in the loop, so the skip connection's gradient is lost", 'At every step, what u receives from D_skip ⊙ u is missing.'),
    ('gated_ssm', '    du = du + ddt_pre @ p["W_dt"].T\n', '', 'u gets no gradient through the step-size projection', 'At every step, what u receives from u @ W_dt is missing.'),
    ('gated_ssm', 'dCm @ p["W_C"].T', 'dCm @ p["W_B"].T', "copy and paste: C's gradient goes back to u through W_B", 'At every step, what u receives from Ct uses W_B where W_C belongs.'),
    ('gated_ssm', 'dCm = np.einsum("btd,btdn->btn", dy, S)', 'dCm = (dy[..., None] * S).sum(axis=3)', 'the gradient of C is summed over the states instead of the channels', 'At every step, what reshaped Ct receives from s ⊙ (reshaped Ct) has axes 1 and 2 exchanged, which are of the same size.'),
    ('gated_ssm', 'g["x"] = dout + du', 'g["x"] = du', "the residual connection's gradient to x is forgotten", 'At every step, what x receives from out is missing.'),
]
# fmt: on

STYLES, loss_of, gradients = tuple(NETWORKS), NETWORKS.loss_of, NETWORKS.gradients
