# ruff: noqa: C408, E501, E741, RUF059 -- texts and what is said of them stay on one line; a mistake may need what is unused
# fmt: off
"""Eight networks by another who had not seen the search, and mistakes in their backward passes.

An LSTM that judges sentences by their mean over time; two GRU layers with dropout; a character model in chunks with
Adagrad; a tagger with a GRU in both directions on ragged sentences; an encoder and decoder with general attention; an
LSTM behind two convolutions; a rate network with Dale's signs; two recurrent highway layers with layer norms. Of each
mistake: the text, what was written, what it is, and what the diagnosis says of it (nothing where no single edit is found).
"""

import numpy as np
from frame_of_handwritten import Network, Networks, const, leaves_of, sigmoid

import tinygrad_rnn as tg

NETWORKS = Networks()


# networks, each: forward program, hand-written pass, network(...)


# 1. sentiment: LSTM over pre-padded reviews, mean of the hidden states over the real words, one logit

rng = np.random.default_rng(901)
V, E, H, B, T = 9, 3, 4, 3, 6


def sentiment_program(p, tokens, labels):
    w = leaves_of(p)
    batch, time = tokens.shape
    mask = (tokens != 0).astype(np.float64)
    lengths = mask.sum(1, keepdims=True)
    h = tg.zeros(batch, w["weight_hh"].shape[1], dtype=tg.float64)
    c = tg.zeros(batch, w["weight_hh"].shape[1], dtype=tg.float64)
    pooled = 0.0
    for t in tg.steps(time):
        x = tg.nn.functional.embedding(tokens[:, t], w["embedding"], padding_idx=0)
        gates = tg.nn.functional.linear(x, w["weight_ih"], w["bias_ih"]) + tg.nn.functional.linear(h, w["weight_hh"], w["bias_hh"])
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        pooled = pooled + h * const(mask[:, t : t + 1])
    pooled = pooled / const(lengths)
    logit = (pooled @ w["fc_weight"] + w["fc_bias"]).squeeze(1)
    return tg.nn.functional.binary_cross_entropy_with_logits(logit, const(labels)), w


class SentimentLSTM:
    def __init__(self, params):
        self.p = params
        self.grads = {name: np.zeros_like(value) for name, value in params.items()}
        self.hidden = params["weight_hh"].shape[1]

    def forward(self, tokens):
        p, H = self.p, self.hidden
        self.tokens = tokens
        B, T = tokens.shape
        self.mask = (tokens != 0).astype(float)
        self.lengths = self.mask.sum(axis=1)
        self.x = p["embedding"][tokens]
        self.h = np.zeros((T + 1, B, H))
        self.c = np.zeros((T + 1, B, H))
        self.gates = np.zeros((T, B, 4 * H))
        for t in range(T):
            a = self.x[:, t] @ p["weight_ih"].T + p["bias_ih"] + self.h[t] @ p["weight_hh"].T + p["bias_hh"]
            a[:, : 2 * H] = sigmoid(a[:, : 2 * H])
            a[:, 2 * H : 3 * H] = np.tanh(a[:, 2 * H : 3 * H])
            a[:, 3 * H :] = sigmoid(a[:, 3 * H :])
            self.gates[t] = a
            i, f, g, o = np.split(a, 4, axis=1)
            self.c[t + 1] = f * self.c[t] + i * g
            self.h[t + 1] = o * np.tanh(self.c[t + 1])
        self.mean = np.einsum("tbh,bt->bh", self.h[1:], self.mask) / self.lengths[:, None]
        self.prob = sigmoid(self.mean @ p["fc_weight"] + p["fc_bias"])
        return self.prob

    def backward(self, labels):
        p, g_ = self.p, self.grads
        B, T = self.tokens.shape
        # classifier
        dlogit = (self.prob - labels[:, None]) / B
        g_["fc_weight"] = self.mean.T @ dlogit
        g_["fc_bias"] = dlogit.sum(axis=0)
        dmean = dlogit @ p["fc_weight"].T
        # every real word gets its share of the mean
        share = dmean / self.lengths[:, None]
        dh_next = np.zeros((B, self.hidden))
        dc_next = np.zeros((B, self.hidden))
        for t in reversed(range(T)):
            i, f, g, o = np.split(self.gates[t], 4, axis=1)
            tanh_c = np.tanh(self.c[t + 1])
            dh = share * self.mask[:, t, None] + dh_next
            do = dh * tanh_c
            dc = dc_next + dh * o * (1 - tanh_c**2)
            di = dc * g
            dg = dc * i
            df = dc * self.c[t]
            dc_next = dc * f
            da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
            g_["weight_ih"] += da.T @ self.x[:, t]
            g_["weight_hh"] += da.T @ self.h[t]
            g_["bias_ih"] += da.sum(axis=0)
            g_["bias_hh"] += da.sum(axis=0)
            dx = da @ p["weight_ih"]
            np.add.at(g_["embedding"], self.tokens[:, t], dx)
            dh_next = da @ p["weight_hh"]
        g_["embedding"][0] = 0.0
        return g_


def sentiment_by_hand(params, tokens, labels):
    model = SentimentLSTM(params)
    model.forward(tokens)
    return model.backward(labels)


NETWORKS["sentiment lstm"] = Network(
    {
        "embedding": rng.normal(0, 0.8, (V, E)),
        "weight_ih": rng.normal(0, 0.6, (4 * H, E)),
        "weight_hh": rng.normal(0, 0.6, (4 * H, H)),
        "bias_ih": rng.normal(0, 0.3, 4 * H),
        "bias_hh": rng.normal(0, 0.3, 4 * H),
        "fc_weight": rng.normal(0, 0.9, (H, 1)),
        "fc_bias": rng.normal(0, 0.3, 1),
    },
    {
        "tokens": np.array([[0, 0, 4, 7, 2, 4], [3, 8, 2, 3, 1, 6], [0, 6, 2, 0, 5, 4]]),
        "labels": np.array([1.0, 0.0, 1.0]),
    },
    sentiment_program,
    [SentimentLSTM, sentiment_by_hand],
)


# 2. a stacked GRU by PyTorch's equations, dropout between the layers, trained initial states, a prediction at every step

rng = np.random.default_rng(902)
T, B, I, H, O = 5, 2, 4, 3, 6


def stacked_gru_program(p, x, keep, target):
    w = leaves_of(p)
    hs = [w["h0"][k].expand_dims(0).broadcast_to((x.shape[1], w["h0"].shape[1])) for k in range(2)]
    losses = []
    for t in tg.steps(x.shape[0]):
        inp = const(x[t])
        for k in range(2):
            gi = inp @ w[f"W{k}"].T + w[f"b{k}"]
            gh = hs[k] @ w[f"U{k}"].T + w[f"c{k}"]
            i_r, i_z, i_n = gi.chunk(3, 1)
            h_r, h_z, h_n = gh.chunk(3, 1)
            r = (i_r + h_r).sigmoid()
            z = (i_z + h_z).sigmoid()
            n = (i_n + r * h_n).tanh()
            hs[k] = (1 - z) * n + z * hs[k]
            inp = hs[k] if k else hs[k] * const(keep[t])
        scores = hs[1] @ w["V"].T + w["d"]
        losses.append(tg.nn.functional.cross_entropy(scores, tg.tensor(target[t])))
    return tg.stack(losses).mean(), w


def gru_layer_forward(xs, h0, W, U, b, c):
    """All steps of one layer; keeps what the backward pass wants in a dict of lists."""
    kept = {"x": xs, "h": [h0], "r": [], "z": [], "n": [], "hn": []}
    H = h0.shape[1]
    for x in xs:
        h = kept["h"][-1]
        gi, gh = x @ W.T + b, h @ U.T + c
        r = sigmoid(gi[:, :H] + gh[:, :H])
        z = sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
        n = np.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :])
        kept["h"].append((1 - z) * n + z * h)
        for name, value in (("r", r), ("z", z), ("n", n), ("hn", gh[:, 2 * H :])):
            kept[name].append(value)
    return kept


def gru_layer_backward(dhs, kept, W, U):
    """dhs[t]: the gradient of the layer's output at step t from above."""
    dW, dU = np.zeros_like(W), np.zeros_like(U)
    db, dc = np.zeros(len(W)), np.zeros(len(U))
    dxs = [None] * len(dhs)
    carry = np.zeros_like(dhs[0])
    for t in range(len(dhs) - 1, -1, -1):
        h_prev, r, z, n, hn = kept["h"][t], kept["r"][t], kept["z"][t], kept["n"][t], kept["hn"][t]
        dh = dhs[t] + carry
        dn = dh * (1 - z) * (1 - n**2)
        dz = dh * (h_prev - n) * z * (1 - z)
        dr = dn * hn * r * (1 - r)
        dgi = np.hstack([dr, dz, dn])
        dgh = np.hstack([dr, dz, dn * r])
        dW += dgi.T @ kept["x"][t]
        dU += dgh.T @ h_prev
        db += dgi.sum(0)
        dc += dgh.sum(0)
        dxs[t] = dgi @ W
        carry = dgh @ U + dh * z
    return dxs, carry, dW, dU, db, dc


def softmax_rows(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def stacked_gru_by_hand(p, x, keep, target):
    T, B = target.shape
    start = [np.tile(p["h0"][k], (B, 1)) for k in (0, 1)]
    low = gru_layer_forward(list(x), start[0], p["W0"], p["U0"], p["b0"], p["c0"])
    dropped = [h * m for h, m in zip(low["h"][1:], keep)]
    top = gru_layer_forward(dropped, start[1], p["W1"], p["U1"], p["b1"], p["c1"])
    grad = {"V": np.zeros_like(p["V"]), "d": np.zeros_like(p["d"])}
    dtop = []
    for t in range(T):
        h = top["h"][t + 1]
        ds = softmax_rows(h @ p["V"].T + p["d"])
        ds[np.arange(B), target[t]] -= 1
        ds /= T * B
        grad["V"] += ds.T @ h
        grad["d"] += ds.sum(0)
        dtop.append(ds @ p["V"])
    ddropped, dh1, grad["W1"], grad["U1"], grad["b1"], grad["c1"] = gru_layer_backward(dtop, top, p["W1"], p["U1"])
    dlow = [d * m for d, m in zip(ddropped, keep)]
    _, dh0, grad["W0"], grad["U0"], grad["b0"], grad["c0"] = gru_layer_backward(dlow, low, p["W0"], p["U0"])
    grad["h0"] = np.stack([dh0.sum(0), dh1.sum(0)])
    return grad


params = {}
for k, size in ((0, I), (1, H)):
    params[f"W{k}"] = rng.normal(0, 0.7, (3 * H, size))
    params[f"U{k}"] = rng.normal(0, 0.7, (3 * H, H))
    params[f"b{k}"] = rng.normal(0, 0.3, 3 * H)
    params[f"c{k}"] = rng.normal(0, 0.3, 3 * H)
params |= {"h0": rng.normal(0, 0.5, (2, H)), "V": rng.normal(0, 0.7, (O, H)), "d": rng.normal(0, 0.2, O)}
NETWORKS["stacked gru"] = Network(
    params,
    {
        "x": rng.normal(0, 1, (T, B, I)),
        "keep": (rng.random((T, B, H)) < 0.75) / 0.75,
        "target": rng.integers(0, O, (T, B)),
    },
    stacked_gru_program,
    [gru_layer_forward, gru_layer_backward, softmax_rows, stacked_gru_by_hand],
)


# 3. the character model of a well-known gist: vanilla RNN, columns, summed loss, chunks with the state carried over

rng = np.random.default_rng(903)
HIDDEN, VOCAB, CHUNK = 5, 6, 4


def char_rnn_program(p, text, chunk):
    w = leaves_of(p)
    h = tg.zeros(w["Whh"].shape[0], 1, dtype=tg.float64)
    loss = 0.0
    for t in tg.steps(len(text) - 1):
        if t % chunk == 0:
            h = h.detach()  # truncated backpropagation
        x = tg.one_hot([text[t]], w["Wxh"].shape[1]).astype(np.float64).T
        h = (w["Wxh"] @ x + w["Whh"] @ h + w["bh"]).tanh()
        y = w["Why"] @ h + w["by"]
        loss = loss + tg.nn.functional.cross_entropy(y.T, tg.tensor([text[t + 1]]), reduction="sum")
    return loss, w


def char_rnn_min(params, text, chunk):
    Wxh, Whh, Why, bh, by = (params[k] for k in ("Wxh", "Whh", "Why", "bh", "by"))
    hidden_size, vocab_size = Wxh.shape
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    mWxh, mWhh, mWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    mbh, mby = np.zeros_like(bh), np.zeros_like(by)
    hprev = np.zeros((hidden_size, 1))
    dhnext = np.zeros_like(hprev)
    p = 0
    while p + 1 < len(text):
        inputs, targets = text[p : p + chunk], text[p + 1 : p + chunk + 1]
        inputs = inputs[: len(targets)]
        xs, hs, ys, ps = {}, {}, {}, {}
        hs[-1] = np.copy(hprev)
        # forward pass
        for t in range(len(inputs)):
            xs[t] = np.zeros((vocab_size, 1))  # encode in 1-of-k representation
            xs[t][inputs[t]] = 1
            hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)  # hidden state
            ys[t] = np.dot(Why, hs[t]) + by  # unnormalized log probabilities for next chars
            ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))  # probabilities for next chars
        # backward pass: compute gradients going backwards
        dhnext = np.zeros_like(hs[0])
        for t in reversed(range(len(inputs))):
            dy = np.copy(ps[t])
            dy[targets[t]] -= 1  # backprop into y
            dWhy += np.dot(dy, hs[t].T)
            dby += dy
            dh = np.dot(Why.T, dy) + dhnext  # backprop into h
            dhraw = (1 - hs[t] * hs[t]) * dh  # backprop through tanh nonlinearity
            dbh += dhraw
            dWxh += np.dot(dhraw, xs[t].T)
            dWhh += np.dot(dhraw, hs[t - 1].T)
            dhnext = np.dot(Whh.T, dhraw)
        hprev = hs[len(inputs) - 1]
        p += chunk
    for dparam in [dWxh, dWhh, dWhy, dbh, dby]:
        np.clip(dparam, -5, 5, out=dparam)  # clip to mitigate exploding gradients
    # the Adagrad update; the gradients themselves are what we return
    for param, dparam, mem in zip([Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby], [mWxh, mWhh, mWhy, mbh, mby]):
        mem += dparam * dparam
        step = dparam / np.sqrt(mem + 1e-8)
        param += -0.1 * step
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}


NETWORKS["char rnn"] = Network(
    {
        "Wxh": rng.normal(0, 0.6, (HIDDEN, VOCAB)),
        "Whh": rng.normal(0, 0.5, (HIDDEN, HIDDEN)),
        "Why": rng.normal(0, 0.7, (VOCAB, HIDDEN)),
        "bh": rng.normal(0, 0.2, (HIDDEN, 1)),
        "by": rng.normal(0, 0.2, (VOCAB, 1)),
    },
    {"text": [2, 0, 3, 3, 1, 4, 0, 5], "chunk": CHUNK},
    char_rnn_program,
    [char_rnn_min],
)


# 4. a tagger: bidirectional GRU as TensorFlow's GRUCell has it (gates and candidate kernels over [x, h]), lengths, ignored padding

rng = np.random.default_rng(904)
T, B, V, E, H, K = 5, 3, 8, 4, 2, 3


def tagger_program(p, words, tags, lengths):
    w = leaves_of(p)
    time, batch = words.shape
    emb = tg.nn.functional.embedding(words, w["emb"])
    size = w["fw_cand"].shape[1]

    def run(direction, order):
        h, out = tg.zeros(batch, size, dtype=tg.float64), [None] * time
        for t in order:
            live = const((t < lengths)[:, None])
            r, u = (tg.cat([emb[t], h], 1) @ w[direction + "_gates"] + w[direction + "_gates_b"]).sigmoid().chunk(2, 1)
            cand = (tg.cat([emb[t], r * h], 1) @ w[direction + "_cand"] + w[direction + "_cand_b"]).tanh()
            h = live * (u * h + (1 - u) * cand) + (1 - live) * h
            out[t] = h
        return tg.stack(out)

    both = tg.cat([run("fw", range(time)), run("bw", range(time - 1, -1, -1))], 2)
    scores = both @ w["out"] + w["out_b"]
    return tg.nn.functional.cross_entropy(scores.reshape(time * batch, -1), tags.reshape(-1), ignore_index=-100), w


def cell(x, h, gates, gates_b, cand, cand_b):
    xh = np.concatenate([x, h], axis=1)
    r, u = np.split(sigmoid(xh @ gates + gates_b), 2, axis=1)
    xrh = np.concatenate([x, r * h], axis=1)
    c = np.tanh(xrh @ cand + cand_b)
    return u * h + (1 - u) * c, (xh, xrh, h, r, u, c)


def cell_grad(dy, saved, gates, cand):
    xh, xrh, h, r, u, c = saved
    n_in = xh.shape[1] - h.shape[1]
    du = dy * (h - c)
    dc = dy * (1 - u)
    da = dc * (1 - c * c)
    dxrh = da @ cand.T
    drh = dxrh[:, n_in:]
    dr = drh * h
    dru = np.concatenate([dr * r * (1 - r), du * u * (1 - u)], axis=1)
    dxh = dru @ gates.T
    dx = dxh[:, :n_in] + dxrh[:, :n_in]
    dh = dy * u + drh * r + dxh[:, n_in:]
    return dx, dh, xh.T @ dru, dru.sum(0), xrh.T @ da, da.sum(0)


def tagger_grads(params, words, tags, lengths):
    T, B = words.shape
    emb = params["emb"][words]
    H = params["fw_cand"].shape[1]
    live = (np.arange(T)[:, None] < lengths[None, :]).astype(float)[:, :, None]
    orders = {"fw": list(range(T)), "bw": list(range(T))[::-1]}
    outputs, tape = {}, {}
    for d in ("fw", "bw"):
        weights = [params[f"{d}_{n}"] for n in ("gates", "gates_b", "cand", "cand_b")]
        h = np.zeros((B, H))
        outputs[d] = np.zeros((T, B, H))
        tape[d] = {}
        for t in orders[d]:
            y, tape[d][t] = cell(emb[t], h, *weights)
            h = live[t] * y + (1 - live[t]) * h
            outputs[d][t] = h
    both = np.concatenate([outputs["fw"], outputs["bw"]], axis=2)

    # softmax cross entropy over the words that are there
    scores = both @ params["out"] + params["out_b"]
    dscores = np.exp(scores - scores.max(-1, keepdims=True))
    dscores /= dscores.sum(-1, keepdims=True)
    real = tags != -100
    dscores[real] -= np.eye(scores.shape[-1])[tags[real]]
    dscores[~real] = 0.0
    dscores /= real.sum()

    g = {k: np.zeros_like(v) for k, v in params.items()}
    g["out"] = np.einsum("tbi,tbk->ik", both, dscores)
    g["out_b"] = dscores.sum((0, 1))
    dboth = dscores @ params["out"].T
    dout = {"fw": dboth[:, :, :H], "bw": dboth[:, :, H:]}
    demb = np.zeros_like(emb)
    for d in ("fw", "bw"):
        dh = np.zeros((B, H))
        for t in reversed(orders[d]):
            dh = dh + dout[d][t]
            dx, dprev, *dw = cell_grad(live[t] * dh, tape[d][t], params[d + "_gates"], params[d + "_cand"])
            for n, value in zip(("gates", "gates_b", "cand", "cand_b"), dw):
                g[f"{d}_{n}"] += value
            demb[t] += dx
            dh = dprev + (1 - live[t]) * dh
    np.add.at(g["emb"], words, demb)
    return g


params = {"emb": rng.normal(0, 0.8, (V, E))}
for d in ("fw", "bw"):
    params |= {
        d + "_gates": rng.normal(0, 0.7, (E + H, 2 * H)),
        d + "_gates_b": rng.normal(0.3, 0.3, 2 * H),
        d + "_cand": rng.normal(0, 0.7, (E + H, H)),
        d + "_cand_b": rng.normal(0, 0.3, H),
    }
params |= {"out": rng.normal(0, 0.9, (2 * H, K)), "out_b": rng.normal(0, 0.2, K)}
words = np.array([[1, 4, 3], [5, 2, 4], [3, 6, 7], [5, 0, 2], [6, 0, 0]])
NETWORKS["bigru tagger"] = Network(
    params,
    {
        "words": words,
        "tags": np.array([[0, 2, 1], [1, 0, 0], [2, 1, 2], [2, -100, 0], [1, -100, -100]]),
        "lengths": np.array([5, 3, 4]),
    },
    tagger_program,
    [cell, cell_grad, tagger_grads],
)


# 5. translation of one sentence: tanh RNN encoder (source reversed), decoder with Luong's general attention and input feeding

rng = np.random.default_rng(905)
S, T, E, H, A, VS, VT = 5, 4, 3, 4, 2, 7, 6


def luong_program(p, source, target):
    w = leaves_of(p)
    h = tg.zeros(w["Ue"].shape[0], dtype=tg.float64)
    memory = []
    for j in source[::-1]:
        h = (w["We"] @ w["src"][j] + w["Ue"] @ h + w["be"]).tanh()
        memory.append(h)
    memory = tg.stack(memory)
    s, fed = h, tg.zeros(w["Wc"].shape[0], dtype=tg.float64)
    losses = []
    for t in tg.steps(len(target) - 1):
        s = (w["Wd"] @ tg.cat([w["tgt"][target[t]], fed]) + w["Ud"] @ s + w["bd"]).tanh()
        align = (memory @ (w["Wa"] @ s)).softmax(0)
        context = align @ memory
        fed = (w["Wc"] @ tg.cat([context, s])).tanh()
        losses.append(tg.nn.functional.cross_entropy(w["Wo"] @ fed + w["bo"], tg.tensor(target[t + 1])))
    return tg.stack(losses).mean(), w


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(Wx.dot(x) + Wh.dot(prev_h) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h**2)
    return Wx.T.dot(dz), Wh.T.dot(dz), np.outer(dz, x), np.outer(dz, prev_h), dz


def attention_forward(s, M, Wa):
    query = Wa.dot(s)
    score = M.dot(query)
    a = np.exp(score - score.max())
    a = a / a.sum()
    context = M.T.dot(a)
    return context, (s, M, Wa, query, a)


def attention_backward(dcontext, cache):
    s, M, Wa, query, a = cache
    da = M.dot(dcontext)
    dM = np.outer(a, dcontext)
    dscore = a * (da - np.dot(a, da))
    dM += np.outer(dscore, query)
    dquery = M.T.dot(dscore)
    dWa = np.outer(dquery, s)
    ds = Wa.T.dot(dquery)
    return ds, dM, dWa


def output_forward(context, s, Wc, Wo, bo):
    cs = np.concatenate([context, s])
    attentional = np.tanh(Wc.dot(cs))
    return attentional, Wo.dot(attentional) + bo, (cs, attentional, Wc, Wo)


def output_backward(dscores, dfed, cache):
    cs, attentional, Wc, Wo = cache
    dattentional = Wo.T.dot(dscores) + dfed
    dz = dattentional * (1 - attentional**2)
    dcs = Wc.T.dot(dz)
    n = len(cs) // 2
    return dcs[:n], dcs[n:], np.outer(dz, cs), np.outer(dscores, attentional)


def translate_loss_grads(p, source, target):
    # ---- encoder, from the last word to the first
    reversed_source = source[::-1]
    h = np.zeros(len(p["be"]))
    enc_caches, memory = [], []
    for j in reversed_source:
        h, cache = rnn_step_forward(p["src"][j], h, p["We"], p["Ue"], p["be"])
        enc_caches.append(cache)
        memory.append(h)
    M = np.array(memory)
    # ---- decoder, teacher forced
    s, fed = h, np.zeros(len(p["Wc"]))
    steps = len(target) - 1
    caches, probs = [], []
    for t in range(steps):
        x = np.concatenate([p["tgt"][target[t]], fed])
        s, c1 = rnn_step_forward(x, s, p["Wd"], p["Ud"], p["bd"])
        context, c2 = attention_forward(s, M, p["Wa"])
        fed, scores, c3 = output_forward(context, s, p["Wc"], p["Wo"], p["bo"])
        e = np.exp(scores - scores.max())
        probs.append(e / e.sum())
        caches.append((c1, c2, c3))
    # ---- back through the decoder
    g = {k: np.zeros_like(v) for k, v in p.items()}
    size = p["tgt"].shape[1]
    dM = np.zeros_like(M)
    ds_next, dfed = np.zeros_like(s), np.zeros_like(fed)
    for t in reversed(range(steps)):
        c1, c2, c3 = caches[t]
        dscores = probs[t] / steps
        dscores[target[t + 1]] -= 1 / steps
        dcontext, ds, dWc, dWo = output_backward(dscores, dfed, c3)
        ds_att, dM_t, dWa = attention_backward(dcontext, c2)
        dM += dM_t
        dx, ds_next, dWd, dUd, dbd = rnn_step_backward(ds + ds_att + ds_next, c1)
        g["tgt"][target[t]] += dx[:size]
        dfed = dx[size:]
        g["Wo"] += dWo
        g["bo"] += dscores
        g["Wc"] += dWc
        g["Wa"] += dWa
        g["Wd"] += dWd
        g["Ud"] += dUd
        g["bd"] += dbd
    # ---- back through the encoder; the decoder started from its last state
    dh = ds_next
    for i in reversed(range(len(M))):
        dx, dh, dWe, dUe, dbe = rnn_step_backward(dh + dM[i], enc_caches[i])
        g["src"][reversed_source[i]] += dx
        g["We"] += dWe
        g["Ue"] += dUe
        g["be"] += dbe
    return g


NETWORKS["luong attention"] = Network(
    {
        "src": rng.normal(0, 0.9, (VS, E)),
        "We": rng.normal(0, 0.7, (H, E)),
        "Ue": rng.normal(0, 0.6, (H, H)),
        "be": rng.normal(0, 0.3, H),
        "tgt": rng.normal(0, 0.9, (VT, E)),
        "Wd": rng.normal(0, 0.7, (H, E + A)),
        "Ud": rng.normal(0, 0.6, (H, H)),
        "bd": rng.normal(0, 0.3, H),
        "Wa": rng.normal(0, 0.9, (H, H)),
        "Wc": rng.normal(0, 0.7, (A, 2 * H)),
        "Wo": rng.normal(0, 0.9, (VT, A)),
        "bo": rng.normal(0, 0.3, VT),
    },
    {"source": [3, 1, 6, 1, 4], "target": [0, 4, 2, 5, 1]},
    luong_program,
    [
        rnn_step_forward,
        rnn_step_backward,
        attention_forward,
        attention_backward,
        output_forward,
        output_backward,
        translate_loss_grads,
    ],
)


# 6. sensor windows: two 1-D convolutions (the second with stride 2) before an LSTM, class of the last state; loops as in C

rng = np.random.default_rng(906)
N, L, CIN, C1, C2, H, K = 2, 11, 2, 3, 4, 3, 5


def sensor_program(p, signal, label):
    w = leaves_of(p)

    def conv(x, kernel, bias, stride):  # x (N, L, C), kernel (k, C, D)
        k, steps = kernel.shape[0], (x.shape[1] - kernel.shape[0]) // stride + 1
        out = bias
        for j in range(k):
            out = out + x[:, j : j + stride * (steps - 1) + 1 : stride] @ kernel[j]
        return out.relu()

    x = conv(const(signal), w["conv1"], w["conv1_b"], 1)
    x = conv(x, w["conv2"], w["conv2_b"], 2)
    size = w["Wh"].shape[0]
    h = c = tg.zeros(x.shape[0], size, dtype=tg.float64)
    for t in tg.steps(x.shape[1]):
        # the kernel's layout: the four gates of one unit side by side
        a = (x[:, t] @ w["Wx"] + h @ w["Wh"] + w["b"]).reshape(-1, size, 4)
        c = a[:, :, 1].sigmoid() * c + a[:, :, 0].sigmoid() * a[:, :, 2].tanh()
        h = a[:, :, 3].sigmoid() * c.tanh()
    return tg.nn.functional.cross_entropy(h @ w["fc"] + w["fc_b"], tg.tensor(label)), w


def sensor_kernel(params, signal, label):
    conv1, conv1_b, conv2, conv2_b = params["conv1"], params["conv1_b"], params["conv2"], params["conv2_b"]
    Wx, Wh, b, fc, fc_b = params["Wx"], params["Wh"], params["b"], params["fc"], params["fc_b"]
    n_batch, len0, n_in = signal.shape
    k1, _, n1 = conv1.shape
    k2, _, n2 = conv2.shape
    stride = 2
    len1 = len0 - k1 + 1
    len2 = (len1 - k2) // stride + 1
    hid = Wh.shape[0]
    g_conv1, g_conv1_b = np.zeros_like(conv1), np.zeros_like(conv1_b)
    g_conv2, g_conv2_b = np.zeros_like(conv2), np.zeros_like(conv2_b)
    g_Wx, g_Wh, g_b = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    g_fc, g_fc_b = np.zeros_like(fc), np.zeros_like(fc_b)
    # work memory, for one window at a time
    act1, act2 = np.zeros((len1, n1)), np.zeros((len2, n2))
    gate = np.zeros((len2, hid, 4))
    hs, cs = np.zeros((len2 + 1, hid)), np.zeros((len2 + 1, hid))
    d_act1, d_act2 = np.zeros((len1, n1)), np.zeros((len2, n2))

    for n in range(n_batch):
        # forward
        for t in range(len1):
            act1[t] = conv1_b
            for j in range(k1):
                act1[t] += signal[n, t + j] @ conv1[j]
            act1[t] = np.where(act1[t] > 0, act1[t], 0.0)
        for t in range(len2):
            act2[t] = conv2_b
            for j in range(k2):
                act2[t] += act1[t * stride + j] @ conv2[j]
            act2[t] = np.where(act2[t] > 0, act2[t], 0.0)
        hs[0] = 0.0
        cs[0] = 0.0
        for t in range(len2):
            pre = act2[t] @ Wx + hs[t] @ Wh + b
            for u in range(hid):
                gate[t, u, 0] = sigmoid(pre[4 * u])
                gate[t, u, 1] = sigmoid(pre[4 * u + 1])
                gate[t, u, 2] = np.tanh(pre[4 * u + 2])
                gate[t, u, 3] = sigmoid(pre[4 * u + 3])
            cs[t + 1] = gate[t, :, 1] * cs[t] + gate[t, :, 0] * gate[t, :, 2]
            hs[t + 1] = gate[t, :, 3] * np.tanh(cs[t + 1])
        score = hs[len2] @ fc + fc_b
        prob = np.exp(score) / np.exp(score).sum()
        # backward
        d_score = prob.copy()
        d_score[label[n]] -= 1.0
        d_score /= n_batch
        g_fc += np.outer(hs[len2], d_score)
        g_fc_b += d_score
        d_h = fc @ d_score
        d_c = np.zeros(hid)
        for t in range(len2 - 1, -1, -1):
            d_pre = np.zeros(4 * hid)
            for u in range(hid):
                gi, gf, gg, go = gate[t, u]
                tc = np.tanh(cs[t + 1, u])
                d_c[u] += d_h[u] * go * (1.0 - tc * tc)
                d_pre[4 * u] = d_c[u] * gg * gi * (1.0 - gi)
                d_pre[4 * u + 1] = d_c[u] * cs[t, u] * gf * (1.0 - gf)
                d_pre[4 * u + 2] = d_c[u] * gi * (1.0 - gg * gg)
                d_pre[4 * u + 3] = d_h[u] * tc * go * (1.0 - go)
                d_c[u] *= gf
            g_Wx += np.outer(act2[t], d_pre)
            g_Wh += np.outer(hs[t], d_pre)
            g_b += d_pre
            d_act2[t] = Wx @ d_pre
            d_h = Wh @ d_pre
        d_act1[:] = 0.0
        for t in range(len2):
            d_z = np.where(act2[t] > 0, d_act2[t], 0.0)
            g_conv2_b += d_z
            for j in range(k2):
                g_conv2[j] += np.outer(act1[t * stride + j], d_z)
                d_act1[t * stride + j] += conv2[j] @ d_z
        for t in range(len1):
            d_z = np.where(act1[t] > 0, d_act1[t], 0.0)
            g_conv1_b += d_z
            for j in range(k1):
                g_conv1[j] += np.outer(signal[n, t + j], d_z)
    return {
        "conv1": g_conv1, "conv1_b": g_conv1_b, "conv2": g_conv2, "conv2_b": g_conv2_b,
        "Wx": g_Wx, "Wh": g_Wh, "b": g_b, "fc": g_fc, "fc_b": g_fc_b,
    }


NETWORKS["conv lstm"] = Network(
    {
        "conv1": rng.normal(0, 0.6, (2, CIN, C1)),
        "conv1_b": rng.normal(0.2, 0.2, C1),
        "conv2": rng.normal(0, 0.5, (3, C1, C2)),
        "conv2_b": rng.normal(0.2, 0.2, C2),
        "Wx": rng.normal(0, 0.5, (C2, 4 * H)),
        "Wh": rng.normal(0, 0.6, (H, 4 * H)),
        "b": rng.normal(0.1, 0.3, 4 * H),
        "fc": rng.normal(0, 0.9, (H, K)),
        "fc_b": rng.normal(0, 0.3, K),
    },
    {"signal": rng.normal(0, 1, (N, L, CIN)), "label": np.array([3, 1])},
    sensor_program,
    [sensor_kernel],
)


# 7. a continuous-time rate network as neuroscientists train it: leak per unit, Dale's principle, rate penalty, masked error

rng = np.random.default_rng(907)
UNITS, IN, OUT, T, B = 5, 2, 3, 6, 4


def rate_program(p, u, noise, goal, mask, signs, penalty):
    w = leaves_of(p)
    units = len(signs)
    weights = w["W"].abs() * const(1 - np.eye(units)) @ const(np.diag(signs))  # columns: presynaptic
    alpha = w["leak"].sigmoid()
    x = w["x0"].broadcast_to((units, u.shape[2]))
    error = activity = 0.0
    for t in tg.steps(len(u)):
        x = (1 - alpha) * x + alpha * (weights @ x.relu() + w["Win"] @ const(u[t]) + w["b"]) + const(noise[t])
        r = x.relu()
        z = w["Wout"] @ r
        error = error + (const(mask[t]) * (z - const(goal[t])).square()).sum()
        activity = activity + r.square().sum()
    return error / mask.sum() + penalty * activity / (len(u) * units * u.shape[2]), w


def rate_adjoint(params, u, noise, goal, mask, signs, penalty):
    W, Win, b, leak, x0, Wout = (params[k] for k in ("W", "Win", "b", "leak", "x0", "Wout"))
    T, _, B = u.shape
    N = len(signs)
    no_self = 1.0 - np.eye(N)
    M = np.abs(W) * no_self * signs[None, :]
    alpha = sigmoid(leak)
    # x[t] is the state before step t, x[T] the last one
    x = np.zeros((T + 1, N, B))
    r = np.zeros((T + 1, N, B))
    drive = np.zeros((T, N, B))
    err = np.zeros_like(goal)
    x[0] = x0
    r[0] = np.maximum(x[0], 0)
    for t in range(T):
        drive[t] = M @ r[t] + Win @ u[t] + b
        x[t + 1] = (1 - alpha) * x[t] + alpha * drive[t] + noise[t]
        r[t + 1] = np.maximum(x[t + 1], 0)
        err[t] = mask[t] * (Wout @ r[t + 1] - goal[t])

    dz = 2 * err / mask.sum()
    cost_r = 2 * penalty * r[1:] / (T * N * B)
    dWout = np.einsum("tob,tnb->on", dz, r[1:])
    # the adjoint: lam is the derivative of the loss by the state
    lam = np.zeros((N, B))
    dM, dWin, db, dalpha = np.zeros_like(W), np.zeros_like(Win), np.zeros_like(b), np.zeros_like(leak)
    for t in range(T - 1, -1, -1):
        lam = lam + (Wout.T @ dz[t] + cost_r[t]) * (x[t + 1] > 0)
        push = alpha * lam
        dM += push @ r[t].T
        dWin += push @ u[t].T
        db += push.sum(axis=1, keepdims=True)
        dalpha += (lam * (drive[t] - x[t])).sum(axis=1, keepdims=True)
        lam = (1 - alpha) * lam + (M.T @ push) * (x[t] > 0)
    dW = dM * signs[None, :] * no_self * np.sign(W)
    return {
        "W": dW,
        "Win": dWin,
        "b": db,
        "leak": dalpha * alpha * (1 - alpha),
        "x0": lam.sum(axis=1, keepdims=True),
        "Wout": dWout,
    }


NETWORKS["rate network"] = Network(
    {
        "W": rng.normal(0, 0.7, (UNITS, UNITS)),
        "Win": rng.normal(0, 0.9, (UNITS, IN)),
        "b": rng.normal(0.2, 0.3, (UNITS, 1)),
        "leak": rng.normal(-0.2, 0.6, (UNITS, 1)),
        "x0": rng.normal(0.3, 0.5, (UNITS, 1)),
        "Wout": rng.normal(0, 0.8, (OUT, UNITS)),
    },
    {
        "u": rng.normal(0, 1, (T, IN, B)),
        "noise": 0.2 * rng.normal(0, 1, (T, UNITS, B)),
        "goal": rng.normal(0, 1, (T, OUT, B)),
        "mask": (np.arange(T)[:, None, None] >= np.array([1, 3, 2, 0])) * np.ones((1, OUT, 1)),
        "signs": np.array([1.0, 1.0, 1.0, -1.0, -1.0]),
        "penalty": 0.3,
    },
    rate_program,
    [rate_adjoint],
)


# 8. a language model of two recurrent highway layers with layer norm, the output tied to the embedding

rng = np.random.default_rng(908)
T, B, V, D = 5, 2, 7, 4


def highway_program(p, tokens, targets):
    w = leaves_of(p)
    batch, time = tokens.shape
    hidden = [tg.zeros(batch, w["emb"].shape[1], dtype=tg.float64) for _ in range(2)]
    logits = []
    for t in tg.steps(time):
        y = tg.nn.functional.embedding(tokens[:, t], w["emb"])
        for l in range(2):
            a = y @ w[f"W{l}"] + hidden[l] @ w[f"R{l}"]
            a = tg.nn.functional.layer_norm(a, a.shape[-1], w[f"gain{l}"], w[f"shift{l}"])
            hidden[l] = a.tanh()
            carry = (y @ w[f"G{l}"] + w[f"g{l}"]).sigmoid()
            y = carry * y + (1 - carry) * hidden[l]
        logits.append(y @ w["emb"].T + w["out_b"])
    return tg.nn.functional.cross_entropy(tg.stack(logits, 1).permute(0, 2, 1), tg.tensor(targets)), w


def norm(a, gain, shift, eps=1e-5):
    mu = a.mean(-1, keepdims=True)
    inv = 1 / np.sqrt(((a - mu) ** 2).mean(-1, keepdims=True) + eps)
    hat = (a - mu) * inv
    return gain * hat + shift, (hat, inv, gain)


def norm_bwd(dout, saved):
    hat, inv, gain = saved
    dhat = dout * gain
    da = inv * (dhat - dhat.mean(-1, keepdims=True) - hat * (dhat * hat).mean(-1, keepdims=True))
    return da, (dout * hat).sum(0), dout.sum(0)


def highway(p, l, x, h_prev):
    n, saved = norm(x @ p[f"W{l}"] + h_prev @ p[f"R{l}"], p[f"gain{l}"], p[f"shift{l}"])
    h = np.tanh(n)
    k = sigmoid(x @ p[f"G{l}"] + p[f"g{l}"])
    return k * x + (1 - k) * h, h, dict(x=x, h_prev=h_prev, h=h, k=k, norm=saved)


def highway_bwd(p, g, l, dy, dh_later, s):
    k, x, h = s["k"], s["x"], s["h"]
    dh = (1 - k) * dy + dh_later
    dk = dy * (x - h) * k * (1 - k)
    da, dgain, dshift = norm_bwd(dh * (1 - h**2), s["norm"])
    g[f"gain{l}"] += dgain
    g[f"shift{l}"] += dshift
    g[f"W{l}"] += x.T @ da
    g[f"R{l}"] += s["h_prev"].T @ da
    g[f"G{l}"] += x.T @ dk
    g[f"g{l}"] += dk.sum(0)
    dx = k * dy + da @ p[f"W{l}"].T + dk @ p[f"G{l}"].T
    return dx, da @ p[f"R{l}"].T


def language_model_grads(p, tokens, targets):
    B, T = tokens.shape
    D = p["emb"].shape[1]
    h = [np.zeros((B, D)), np.zeros((B, D))]
    tape, tops, probs = [], [], []
    for t in range(T):
        y = p["emb"][tokens[:, t]]
        row = []
        for l in (0, 1):
            y, h[l], saved = highway(p, l, y, h[l])
            row.append(saved)
        tape.append(row)
        tops.append(y)
        e = np.exp(y @ p["emb"].T + p["out_b"])
        probs.append(e / e.sum(1, keepdims=True))
    g = {name: np.zeros_like(value) for name, value in p.items()}
    dh = [np.zeros((B, D)), np.zeros((B, D))]
    for t in reversed(range(T)):
        dlogits = (probs[t] - np.eye(len(p["emb"]))[targets[:, t]]) / (B * T)
        g["out_b"] += dlogits.sum(0)
        g["emb"] += dlogits.T @ tops[t]
        dy = dlogits @ p["emb"]
        for l in (1, 0):
            dy, dh[l] = highway_bwd(p, g, l, dy, dh[l], tape[t][l])
        for i in range(B):
            g["emb"][tokens[i, t]] += dy[i]
    return g


params = {"emb": rng.normal(0, 0.8, (V, D)), "out_b": rng.normal(0, 0.2, V)}
for l in (0, 1):
    params |= {
        f"W{l}": rng.normal(0, 0.7, (D, D)),
        f"R{l}": rng.normal(0, 0.7, (D, D)),
        f"gain{l}": rng.normal(1, 0.3, D),
        f"shift{l}": rng.normal(0, 0.3, D),
        f"G{l}": rng.normal(0, 0.6, (D, D)),
        f"g{l}": rng.normal(-0.3, 0.3, D),
    }
stream = rng.integers(0, V, (B, T + 1))
NETWORKS["highway layernorm"] = Network(
    params,
    {"tokens": stream[:, :-1], "targets": stream[:, 1:]},
    highway_program,
    [norm, norm_bwd, highway, highway_bwd, language_model_grads],
)


MISTAKES = [
    ('sentiment lstm', 'share = dmean / self.lengths[:, None]', 'share = dmean / T', "The gradient of the mean is divided by the padded length T in the backward pass, not by each review's own length.", 'Once, what pooled receives from pooled / lengths is divided by 6, not by lengths.'),
    ('sentiment lstm', 'dh = share * self.mask[:, t, None] + dh_next', 'dh = share + dh_next', 'The gradient of the mean is handed to the padded positions too: the mask of the forward pass is missing in the backward pass.', 'At every step, what h receives from h ⊙ … in pooled lacks the factor mask[:, t : t + 1].'),
    ('sentiment lstm', '        g_["embedding"][0] = 0.0\n', '', 'The embedding row of the padding token (padding_idx) keeps the gradient that came to it.', 'At every step, what x⁽¹⁾ receives from where(x⁽¹⁾, x⁽¹⁾) is not masked: it is also sent where the other value was chosen.'),
    ('sentiment lstm', 'np.add.at(g_["embedding"], self.tokens[:, t], dx)', 'g_["embedding"][self.tokens[:, t]] += dx', 'The embedding gradient is added with fancy indexing, so a word that stands twice in one column of the batch counts once.', 'At every step, what embedding receives from x⁽¹⁾ counts a row that is looked up twice only once.'),
    ('sentiment lstm', 'dh = share * self.mask[:, t, None] + dh_next', 'dh = share * self.mask[:, t, None] + dh_next if t == T - 1 else dh_next', "The classifier's gradient enters only at the last time step, as if it read the last hidden state and not the mean.", 'At every step, what pooled receives from pooled of the next step is missing.'),
    ('sentiment lstm', 'dc = dc_next + dh * o * (1 - tanh_c**2)', 'dc = dh * o * (1 - tanh_c**2)', "The cell state's gradient from the next time step is left out.", 'At every step, what c receives from sigmoid(f) ⊙ c of the next step is missing.'),
    ('sentiment lstm', 'dc = dc_next + dh * o * (1 - tanh_c**2)', 'dc = dc_next + dh * o * (1 - self.c[t + 1] ** 2)', 'The derivative of tanh(c) is taken as 1 - c^2: the cell state itself stands where its tanh belongs.', 'At every step, at tanh(c) the derivative of tanh is taken to be 1 − x² of the value before it.'),
    ('sentiment lstm', 'df = dc * self.c[t]\n', 'df = dc * self.c[t + 1]\n', "The forget gate's gradient is taken with the new cell state in place of the previous one.", 'At every step, what sigmoid(f) receives from sigmoid(f) ⊙ c uses c of the step after.'),
    ('sentiment lstm', 'dg * (1 - g**2), do * o * (1 - o)]', 'do * o * (1 - o), dg * (1 - g**2)]', 'The four gate gradients are put together in the order i, f, o, g, while the weights are in the order i, f, g, o.', 'Once, the gradients before tanh(g) and sigmoid(o) are exchanged.'),
    ('sentiment lstm', 'dg * (1 - g**2)', 'dg * g * (1 - g)', 'The candidate g is differentiated as a sigmoid like the three gates, not as a tanh.', "At every step, at tanh(g) the derivative of tanh is taken to be σ' (y(1 − y))."),
    ('sentiment lstm', 'dc_next = dc * f\n', 'dc_next = dc\n', 'The cell state is carried back without the forget gate.', 'At every step, what c receives from sigmoid(f) ⊙ c of the next step lacks the factor sigmoid(f).'),
    ('sentiment lstm', 'g_["fc_weight"] = self.mean.T @ dlogit', 'g_["fc_weight"] = self.h[T].T @ dlogit', "The classifier's weight gradient is taken with the last hidden state instead of the mean it was applied to.", 'Once, what fc_weight receives from … @ fc_weight in logit uses h where pooled / lengths belongs.'),
    ('sentiment lstm', 'dlogit = (self.prob - labels[:, None]) / B', 'dlogit = (self.prob - labels[:, None]) * self.prob * (1 - self.prob) / B', "The loss's derivative p - y is multiplied by p (1 - p) again, as for a squared error.", "Once, what logit receives of the loss is multiplied with σ'(logit): the sigmoid's derivative is in it already."),
    ('sentiment lstm', 'g_["weight_hh"] += da.T @ self.h[t]\n', 'g_["weight_hh"] += da.T @ self.h[t + 1]\n', "The recurrent weight's gradient is taken with the hidden state of the same step, not of the step before.", 'At every step, what weight_hh receives from linear(h, weight_hh) uses h of the step after.'),
    ('sentiment lstm', 'dh = share * self.mask[:, t, None] + dh_next', 'dh = (share + dh_next) * self.mask[:, t, None]', 'At padded positions the gradient carried back is cut off by the mask, as if the state were held there, though the forward pass runs through them.', 'At every step, all that h receives from the step after it is multiplied with mask[:, t : t + 1], of that step.'),
    ('stacked gru', 'dgh = np.hstack([dr, dz, dn * r])', 'dgh = dgi', 'The recurrent part of the candidate gets its gradient without the reset gate: the same three blocks are used for input and hidden weights.', 'Everywhere alike: at every step, what h_n⁽¹⁾ receives from r⁽¹⁾ ⊙ h_n⁽¹⁾ lacks the factor r⁽¹⁾. So too at h_n⁽²⁾.'),
    ('stacked gru', 'dr = dn * hn * r * (1 - r)', 'dr = dn * n * r * (1 - r)', "The reset gate's gradient uses the candidate n in place of U_n h + c_n, which the gate multiplies.", 'Everywhere alike: at every step, what r⁽¹⁾ receives from r⁽¹⁾ ⊙ h_n⁽¹⁾ uses n⁽¹⁾ where h_n⁽¹⁾ belongs. So too at r⁽²⁾.'),
    ('stacked gru', 'dr = dn * hn * r * (1 - r)', 'dr = dn * h_prev * r * (1 - r)', "The reset gate's gradient uses the previous state itself, as if r multiplied h before the matrix product.", 'Everywhere alike: at every step, what r⁽¹⁾ receives from r⁽¹⁾ ⊙ h_n⁽¹⁾ uses h⁽¹⁾ of the step before where h_n⁽¹⁾ belongs. So too at r⁽²⁾.'),
    ('stacked gru', 'dz = dh * (h_prev - n) * z * (1 - z)', 'dz = dh * (n - h_prev) * z * (1 - z)', "The update gate's gradient has the sign of the paper's convention, h = (1 - z) h' + z n: n - h instead of h - n.", 'Everywhere alike: at every step, what i_z⁽¹⁾ + h_z⁽¹⁾ receives from z⁽¹⁾ is of the wrong sign. So too at i_z⁽²⁾ + h_z⁽²⁾.'),
    ('stacked gru', ('dn = dh * (1 - z) * (1 - n**2)', 'carry = dgh @ U + dh * z'), ('dn = dh * z * (1 - n**2)', 'carry = dgh @ U + dh * (1 - z)'), 'z and 1 - z are swapped: the candidate gets z of the gradient, and the previous state 1 - z.', 'Everywhere alike: at every step, every rule of its own step that needs z⁽¹⁾ uses 1 − z⁽¹⁾. So too at z⁽²⁾.'),
    ('stacked gru', 'carry = dgh @ U + dh * z', 'carry = dgh @ U', 'The direct path from the previous state, z h, is left out of the gradient that is carried back.', 'Everywhere alike: at every step, what h⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ of the next step is missing. So too at h⁽²⁾.'),
    ('stacked gru', 'carry = dgh @ U + dh * z', 'carry = dgh @ U + dhs[t] * z', 'On the direct path only the gradient from above is multiplied by z, not the one carried from later steps too.', 'Everywhere alike: at every step, what h⁽¹⁾ receives from z⁽¹⁾ ⊙ h⁽¹⁾ of the next step leaves out the part that came from the next step: it was computed before that part was added. So too at h⁽²⁾.'),
    ('stacked gru', 'dc += dgh.sum(0)', 'dc += dgi.sum(0)', 'The hidden bias gets the gradient of the input bias, as the two are added (which for the candidate they are not).', 'Everywhere alike: c0 was given the gradient of b0. So too at c1.'),
    ('stacked gru', 'dlow = [d * m for d, m in zip(ddropped, keep)]', 'dlow = ddropped', 'The dropout mask between the layers is not applied to the gradient.', 'At every step, what h⁽¹⁾ receives from inp⁽²⁾ lacks the factor inp.'),
    ('stacked gru', 'dlow = [d * m for d, m in zip(ddropped, keep)]', 'dlow = [d * (m > 0) for d, m in zip(ddropped, keep)]', 'The dropout mask of the gradient is 0 or 1: the scaling by 1 / keep_prob is forgotten on the way back.', 'At every step, what h⁽¹⁾ receives from inp⁽²⁾ is multiplied by 3/4: divided by 4 instead of 3.'),
    ('stacked gru', 'dlow = [d * m for d, m in zip(ddropped, keep)]', 'dlow = [d * m for d, m in zip(ddropped, keep[::-1])]', 'Going back through the dropout, the masks are taken in the order of the backward loop: step t gets the mask of step T-1-t.', 'At every step, what h⁽¹⁾ receives from inp⁽²⁾ uses inp counted from the other end.'),
    ('stacked gru', 'np.stack([dh0.sum(0), dh1.sum(0)])', 'np.stack([dh1.sum(0), dh0.sum(0)])', "The gradients of the two layers' initial states are stacked in the order they were computed: the top layer's first.", 'The gradient of h0 is written down in reverse order.'),
    ('stacked gru', 'np.stack([dh0.sum(0), dh1.sum(0)])', 'np.stack([dh0.mean(0), dh1.mean(0)])', "The initial state's gradient is averaged over the batch, not summed.", 'The gradient of h0 is halved (2 is the size of the batch).'),
    ('stacked gru', 'ds /= T * B', 'ds /= B', "The scores' gradient is divided by the batch size only, not by the number of steps.", 'At every step, what scores receives from cross_entropy(scores) is multiplied by 5, the number of time steps.'),
    ('stacked gru', 'dxs[t] = dgi @ W\n', 'dxs[t] = dgi @ U\n', "The lower layer's weight is used to send the gradient down from the upper layer's step: its input gradient is made with U instead of W.", 'At every step, what inp⁽²⁾ receives from inp⁽²⁾ @ W1ᵀ uses U1ᵀ where W1ᵀ belongs.'),
    ('stacked gru', 'grad["V"] += ds.T @ h\n', 'grad["V"] += ds.T @ top["h"][t]\n', "The output weight's gradient is taken with the state before the step: the list of states begins with the initial one.", 'At every step, what Vᵀ receives from h⁽²⁾ @ Vᵀ uses h⁽²⁾ of the step before.'),
    ('char rnn', '        dhnext = np.zeros_like(hs[0])\n', '', "dhnext is not set back to zero where a new chunk's backward pass begins, so it starts with what the chunk before left.", 'The gradient that is carried for h was not set to zero before the loop: it starts from what an earlier call of this loop left there.'),
    ('char rnn', '        hprev = hs[len(inputs) - 1]\n', '', 'The state is not carried into the next chunk: every chunk starts from zeros, though the program carries it.', ''),
    ('char rnn', 'hprev = hs[len(inputs) - 1]', 'hprev = hs[len(inputs) - 2]', 'The state carried into the next chunk is that of the last step but one.', ''),
    ('char rnn', 'dy[targets[t]] -= 1', 'dy[inputs[t]] -= 1', '1 is subtracted at the input character, not at the next character that was to be predicted.', 'At every step, what yᵀ receives from cross_entropy(yᵀ) uses the numbers of the array of shape (1,) in x⁽¹⁾ where the right ones belong.'),
    ('char rnn', '(1 - hs[t] * hs[t]) * dh ', '(1 - hs[t - 1] * hs[t - 1]) * dh ', 'The derivative of tanh is taken at the previous hidden state.', 'At every step, at h the derivative of tanh uses h of the step before.'),
    ('char rnn', 'dh = np.dot(Why.T, dy) + dhnext', 'dh = np.dot(Why.T, dy)', "The hidden state's gradient leaves out what comes from the next time step.", 'At every step, what h receives from Whh @ h of the next step is missing.'),
    ('char rnn', 'dhnext = np.dot(Whh.T, dhraw)', 'dhnext = np.dot(Whh, dhraw)', 'Whh is not transposed when the gradient is carried to the step before.', 'At every step, what h receives from Whh @ h of the next step uses Whh transposed.'),
    ('char rnn', 'dhnext = np.dot(Whh.T, dhraw)', 'dhnext = np.dot(Whh.T, dh)', 'What is carried back is the gradient before the tanh: dh in place of dhraw.', 'At every step, in what h receives from Whh @ h of the next step the derivative at h is forgotten.'),
    ('char rnn', 'dbh += dhraw', 'dbh += dh', 'The hidden bias gets the gradient of the hidden state, not of what goes into the tanh.', 'At every step, what bh receives from … + bh in h comes from the gradient of h.'),
    ('char rnn', 'for t in reversed(range(len(inputs))):', 'for t in reversed(range(1, len(inputs))):', 'The loop back ends at step 1: the first character of each chunk is left out.', ''),
    ('char rnn', '        dhnext = np.zeros_like(hs[0])\n', '        dhnext = np.zeros_like(hs[0])\n        for d in (dWxh, dWhh, dWhy, dbh, dby):\n            d[:] = 0\n', "The gradients are set to zero at every chunk, so only the last chunk's are returned.", 'At one step only (step 4 of 6), what loss receives from loss of the next step is missing.'),
    ('char rnn', ('            xs[t] = np.zeros((vocab_size, 1))  # encode in 1-of-k representation\n', '    p = 0\n'), ('            x[:] = 0  # encode in 1-of-k representation\n            xs[t] = x\n', '    p = 0\n    x = np.zeros((vocab_size, 1))\n'), 'One one-hot array is used for all steps and stored without a copy, so in the backward pass every xs[t] is the last character.', ''),
    ('char rnn', 'np.clip(dparam, -5, 5, out=dparam)', 'np.clip(dparam, -0.5, 0.5, out=dparam)', 'The gradients are clipped to [-0.5, 0.5] element by element before they are returned.', 'Every gradient is clipped to ±0.5.'),
    ('char rnn', '        step = dparam / np.sqrt(mem + 1e-8)\n', '        dparam /= np.sqrt(mem + 1e-8)\n        step = dparam\n', "Adagrad's division is done in place, so what is returned as the gradient is the normalized step.", ''),
    ('char rnn', 'dy[targets[t]] -= 1  # backprop into y\n', 'dy[targets[t]] -= 1  # backprop into y\n            dy /= len(inputs)\n', 'The gradient of the chunk is divided by its number of characters, though the loss is their sum.', ''),
    ('bigru tagger', 'for t in reversed(orders[d]):', 'for t in reversed(range(T)):', 'Both directions are walked back from the last word to the first; the backward direction should be walked from the first to the last.', 'The time steps are visited in forward order: h← receives the carry of the step before instead of the step after.'),
    ('bigru tagger', '{"fw": dboth[:, :, :H], "bw": dboth[:, :, H:]}', '{"fw": dboth[:, :, H:], "bw": dboth[:, :, :H]}', "The two halves of the concatenated state's gradient are given to the wrong directions.", "Once, all h→ and all h← receive each other's part of both."),
    ('bigru tagger', 'dr = drh * h\n', 'dr = drh * xrh[:, n_in:]\n', "The reset gate's gradient is multiplied by r * h, which was at hand, and not by the previous state alone.", 'Everywhere alike: at every step, what r→ receives from r→ ⊙ h→ uses r→ ⊙ h→ where h→ belongs. So too at r←.'),
    ('bigru tagger', 'cell_grad(live[t] * dh, tape', 'cell_grad(dh, tape', "The cell gets the whole gradient also after the sentence's end: the mask is not applied before going back through the cell.", 'At every step, what the add in h← receives from live ⊙ … in h← lacks the factor live.'),
    ('bigru tagger', 'demb[t] += dx', 'demb[t] = dx', "The embedding's gradient from the forward direction is overwritten by the backward direction's.", 'Everywhere alike: at every step, what emb receives from emb[4] is missing.'),
    ('bigru tagger', 'dscores /= real.sum()', 'dscores /= real.size', "The loss's gradient is divided by all B*T positions, padding too.", 'Every gradient is multiplied by 4/5: divided by 5 instead of 4.'),
    ('bigru tagger', '    dscores[~real] = 0.0\n', '', 'The gradient of the scores at ignored (padding) positions is not set to zero.', 'Once, what the cross_entropy in the loss receives from the where in the loss is not masked: it is also sent where the other value was chosen.'),
    ('bigru tagger', 'dh = dy * u + drh * r + dxh[:, n_in:]', 'dh = dy * u + dxh[:, n_in:]', 'The path from the candidate to the previous state through r * h is forgotten.', 'Everywhere alike: at every step, what h→ receives from r→ ⊙ h→ of the next step is missing. So too at h←.'),
    ('bigru tagger', 'dh = dy * u + drh * r + dxh[:, n_in:]', 'dh = dy * u + drh + dxh[:, n_in:]', 'The gradient through r * h reaches the previous state without being multiplied by the reset gate.', 'Everywhere alike: at every step, what h→ receives from r→ ⊙ h→ of the next step lacks the factor r→. So too at h←.'),
    ('bigru tagger', 'dru = np.concatenate([dr * r * (1 - r), du * u * (1 - u)], axis=1)', 'dru = np.concatenate([du * u * (1 - u), dr * r * (1 - r)], axis=1)', 'Reset and update gate are put back together in the wrong order: u, r where the kernel has r, u.', 'Everywhere alike: at every step, the gradients of the gates r→ ⊙ h→ and u→ ⊙ h→ are exchanged, behind their derivatives. So too at r← ⊙ h←.'),
    ('bigru tagger', 'xrh.T @ da, da.sum(0)', 'xh.T @ da, da.sum(0)', "The candidate kernel's gradient is taken with [x, h], without the reset gate.", 'Everywhere alike: at every step, what fw_cand receives from … @ fw_cand in cand→ uses [emb[4], h→] where [emb[4], r→ ⊙ h→] belongs. So too at bw_cand.'),
    ('bigru tagger', 'dx = dxh[:, :n_in] + dxrh[:, :n_in]', 'dx = dxh[:, :n_in]', "The word's gradient comes from the gates only; the candidate reads it too.", 'Everywhere alike: at every step, what emb receives from emb[4] is missing.'),
    ('bigru tagger', 'params[d + "_gates"], params[d + "_cand"])', 'params[d + "_gates"], params["fw_cand"])', "Going back through the backward direction, the forward direction's candidate kernel is used.", 'At every step, what [emb[0], r← ⊙ h←] receives from … @ bw_cand in cand← uses fw_cand where bw_cand belongs.'),
    ('bigru tagger', 'np.add.at(g["emb"], words, demb)', 'g["emb"][words] = demb', 'The embedding rows are assigned, not added to: of a word that stands in several places only the last place counts.', 'Once, what emb receives from emb counts a row that is looked up twice only once.'),
    ('bigru tagger', '    for d in ("fw", "bw"):\n        dh = np.zeros((B, H))\n        for t in rev', '    dh = np.zeros((B, H))\n    for d in ("fw", "bw"):\n        for t in rev', "The state's gradient is not set to zero between the directions: the backward direction starts with the forward direction's leftover.", 'The gradient that is carried for h← was not set to zero before the loop: it starts from what the loop over h→ left there.'),
    ('luong attention', 'dscore = a * (da - np.dot(a, da))', 'dscore = a * (1 - a) * da', 'The softmax of the attention is differentiated element by element, a (1 - a) da, without the terms between positions.', 'At every step, what memory @ (Wa @ s) receives from align is y * (g - g * y) instead of y * (g - sum(g * y)).'),
    ('luong attention', '    dM += np.outer(dscore, query)\n', '', 'The encoder states get gradients from the context vector only, not from the scores they are compared by.', 'At every step, what memory receives from memory @ (Wa @ s) is missing.'),
    ('luong attention', 'dM += np.outer(dscore, query)', 'dM = np.outer(dscore, query)', "The encoder states get gradients from the scores only: the weighted sum's own gradient is overwritten.", 'At every step, what memory receives from context is missing.'),
    ('luong attention', 'ds = Wa.T.dot(dquery)', 'ds = Wa.dot(dquery)', 'The attention matrix is not transposed on the way back to the decoder state.', 'At every step, what s receives from Wa @ s uses Wa transposed.'),
    ('luong attention', 'dWa = np.outer(dquery, s)', 'dWa = np.outer(s, dquery)', "The outer product of the attention matrix's gradient is the wrong way round.", 'The gradient of Wa is transposed.'),
    ('luong attention', 'dattentional = Wo.T.dot(dscores) + dfed', 'dattentional = Wo.T.dot(dscores)', "The attentional vector's gradient from the next step's input (input feeding) is forgotten.", 'At every step, what fed receives from [tgt_t, fed] of the next step is missing.'),
    ('luong attention', 'return dcs[:n], dcs[n:], np', 'return dcs[n:], dcs[:n], np', 'Context and decoder state are taken apart in the wrong order.', "At every step, context and s receive each other's part of [context, s]."),
    ('luong attention', '    dh = ds_next\n', '    dh = np.zeros_like(ds_next)\n', "The encoder's last state gets no gradient from the decoder's initial state.", 'At the first step only, what s receives from Ud @ s of the next step is missing.'),
    ('luong attention', 'dM += dM_t', 'dM = dM_t', "The memory's gradient is overwritten at every decoder step, so only the first step's attention reaches the encoder.", 'Of all that memory receives, only what the first step sends is left: it was overwritten.'),
    ('luong attention', 'dz = dattentional * (1 - attentional**2)', 'dz = dattentional', 'The tanh of the attentional vector is not differentiated.', 'At every step, at fed the derivative of tanh is taken to be 1: it is forgotten.'),
    ('luong attention', 'g["tgt"][target[t]] += dx[:size]', 'g["tgt"][target[t + 1]] += dx[:size]', "The target embedding's gradient goes to the word that is predicted, not to the word that was fed in.", 'At every step, what tgt receives from tgt_t uses the numbers of the targets where the right ones belong.'),
    ('luong attention', 'g["src"][reversed_source[i]] += dx', 'g["src"][source[i]] += dx', 'The source was reversed for the encoder, but its embedding gradients are put down at the words in the written order.', 'At every step, what src receives from src_t uses the number in src_t counted from the other end where the right ones belong.'),
    ('luong attention', 'rnn_step_backward(ds + ds_att + ds_next, c1)', 'rnn_step_backward(ds + ds_next, c1)', "The decoder state's gradient through the attention scores is dropped; only its place in [context, state] counts.", 'At every step, what s receives from Wa @ s is missing.'),
    ('luong attention', 'dx, ds_next, dWd, dUd, dbd = rnn_step_backward(ds + ds_att + ds_next, c1)\n', 'dx, ds_next, dWd, dUd, dbd = rnn_step_backward(ds + ds_next, c1)\n        ds_next = ds_next + ds_att\n', "The attention query is taken for the previous decoder state, as in Bahdanau's attention: its gradient is added one step early.", 'What s receives from Wa @ s arrives one step early, of the first at what it starts from.'),
    ('luong attention', 'rnn_step_backward(dh + dM[i], enc_caches[i])', 'rnn_step_backward(dh + dM[len(M) - 1 - i], enc_caches[i])', "Going back through the encoder, the attention's gradients are read in the order of the written sentence, not of the reversed one.", 'What h receives from memory arrives in reverse order.'),
    ('conv lstm', 'd_act1[t * stride + j] += conv2[j] @ d_z', 'd_act1[t + j] += conv2[j] @ d_z', "The stride is forgotten on the way back: the second convolution's gradient is added at t + j of the first one's output.", 'At every step, what x⁽²⁾ receives from x⁽²⁾[:, 2:9] arrives as if no place were passed over, without the stride, along axis 1.'),
    ('conv lstm', 'g_conv2[j] += np.outer(act1[t * stride + j], d_z)', 'g_conv2[j] += np.outer(act1[t + j], d_z)', "The second kernel's gradient is taken with the inputs at t + j, without the stride.", 'In every rule that needs it, x⁽²⁾[:, 2:9] is read where what is sent back arrives as if no place were passed over, without the stride, along axis 1.'),
    ('conv lstm', 'd_act1[t * stride + j] += conv2[j] @ d_z', 'd_act1[t * stride + j] += conv2[k2 - 1 - j] @ d_z', 'The gradient that goes down through the second convolution uses the kernel flipped, as if the forward pass had not been a correlation.', 'At every step, what x⁽²⁾[:, 2:9] receives from x⁽²⁾[:, 2:9] @ conv2_t uses conv2_t counted from the other end.'),
    ('conv lstm', 'd_act1[t * stride + j] += conv2[j] @ d_z', 'd_act1[t * stride + j] = conv2[j] @ d_z', "Where two windows of the second convolution overlap, the later one's gradient overwrites the earlier one's.", 'At every step, what x⁽²⁾ receives from x⁽²⁾[:, 2:9] is written over what its row had received from all others, not added to it.'),
    ('conv lstm', '        d_act1[:] = 0.0\n', '', "The buffer for the first layer's gradient is not cleared between the windows of the batch.", 'Once, the gradient of x⁽²⁾ at each place along axis 0 is added to those before it: their array is not cleared.'),
    ('conv lstm', ('        d_c = np.zeros(hid)\n', '    for n in range(n_batch):\n'), ('', '    d_c = np.zeros(hid)\n    for n in range(n_batch):\n'), "The cell state's gradient is cleared once before the batch loop, so the second window starts with the first one's.", 'The gradient that is carried for c was not set to zero before the loop: it starts from what the row before left there.'),
    ('conv lstm', 'd_z = np.where(act2[t] > 0, d_act2[t], 0.0)', 'd_z = np.where(d_act2[t] > 0, d_act2[t], 0.0)', "The second convolution's relu is differentiated by the sign of the gradient, not of the activation.", 'Once, at x⁽¹⁾ the derivative of relu uses the gradient that arrives where out⁽²⁾ belongs.'),
    ('conv lstm', 'd_z = np.where(act1[t] > 0, d_act1[t], 0.0)', 'd_z = d_act1[t]', 'The relu between the two convolutions is not differentiated.', 'Once, at x⁽²⁾ the derivative of relu is taken to be 1: it is forgotten.'),
    ('conv lstm', '        for t in range(len1):\n            d_z', '        for t in range(len2):\n            d_z', "The loop over the first convolution's outputs runs to the length of the second one's, so the later windows are left out.", 'The gradient of x⁽²⁾ is missing from place 5 on of axis 1.'),
    ('conv lstm', ('d_pre[4 * u] =', 'd_pre[4 * u + 1] =', 'd_pre[4 * u + 2] =', 'd_pre[4 * u + 3] ='), ('d_pre[u] =', 'd_pre[hid + u] =', 'd_pre[2 * hid + u] =', 'd_pre[3 * hid + u] ='), 'The gradients of the gates are written gate after gate, while the weights have the four gates of a unit side by side.', 'At every step, what … + b in a receives from a is put back as if axis 2 came before axis 1.'),
    ('conv lstm', ('                d_c[u] *= gf\n', '* go * (1.0 - tc * tc)\n'), ('', '* go * (1.0 - tc * tc)\n                d_c[u] *= gf\n'), "The cell's gradient is multiplied by the forget gate before the gates' gradients are taken.", 'At every step, the gradient of c is multiplied with sigmoid(a[:, :, 1]) in place, before what sigmoid(a[:, :, 0]) and tanh(a[:, :, 2]) and sigmoid(a[:, :, 1]) receive.'),
    ('conv lstm', 'd_c[u] += d_h[u] * go', 'd_c[u] = d_h[u] * go', 'd_c is assigned instead of added to, so nothing comes through the cell state from later steps.', 'At every step, what c receives from … ⊙ c of the next step is missing.'),
    ('conv lstm', 'd_pre[4 * u + 3] = d_h[u] * tc * go', 'd_pre[4 * u + 3] = d_h[u] * cs[t + 1, u] * go', "The output gate's gradient is multiplied by the cell state without its tanh.", 'At every step, what sigmoid(a[:, :, 3]) receives from h uses c where tanh(c) belongs.'),
    ('conv lstm', 'for t in range(len2 - 1, -1, -1):', 'for t in range(len2 - 1, 0, -1):', 'The backward time loop ends before step 0.', 'The first step is left out, as by a loop over one step too few: nothing leaves it.'),
    ('conv lstm', '            g_conv2_b += d_z\n            for j in range(k2):\n', '            for j in range(k2):\n                g_conv2_b += d_z\n', 'The bias of the second convolution is added to once for every tap of the kernel.', 'The gradient of conv2_b is multiplied by 3, the size of a dimension.'),
    ('rate network', 'lam = (1 - alpha) * lam + (M.T @ push) * (x[t] > 0)', 'lam = (M.T @ push) * (x[t] > 0)', "The leak's own path, (1 - alpha) times the next state's gradient, is left out.", 'At every step, what h receives from (1 − alpha) ⊙ h of the next step is missing.'),
    ('rate network', 'push = alpha * lam\n', 'push = lam\n', "The factor alpha before the drive is forgotten in the weights' and the bias's gradients and in what is sent back through the weights.", 'At every step, what … + b in h receives from alpha ⊙ (… + b) in h lacks the factor alpha.'),
    ('rate network', 'dW = dM * signs[None, :] * no_self * np.sign(W)', 'dW = dM * signs[None, :] * no_self', 'The derivative of the absolute value, sign(W), is forgotten.', 'Once, at abs(W) the derivative of abs is taken to be 1: it is forgotten.'),
    ('rate network', 'dW = dM * signs[None, :] * no_self', 'dW = dM * signs[:, None] * no_self', 'The signs of excitatory and inhibitory units are applied to the rows of the weight gradient, not to the columns.', ''),
    ('rate network', 'dW = dM * signs[None, :] * no_self * np.sign(W)', 'dW = dM * signs[None, :] * np.sign(W)', 'The self-connections, which are masked out in the network, get a gradient.', 'Once, what abs(W) receives from abs(W) ⊙ … in weights lacks the factor 1 − np.eye(units).'),
    ('rate network', '(M.T @ push) * (x[t] > 0)', '(M.T @ push) * (x[t + 1] > 0)', 'Going through the recurrent weights, the rectifier is differentiated at the state after the step instead of the one before.', 'At every step, at relu(h) the derivative of relu uses h of the step after.'),
    ('rate network', 'lam = lam + (Wout.T @ dz[t] + cost_r[t])', 'lam = lam + Wout.T @ dz[t]', 'The penalty on the rates is in the loss but not in the gradient.', 'Once, what activity receives from 0.3 ⊙ activity is missing.'),
    ('rate network', 'dz = 2 * err / mask.sum()', 'dz = 2 * err / mask.size', "The error's gradient is averaged over all outputs and not over the unmasked ones.", 'At every step, what z receives from z − goal[t] is multiplied by 3/4: divided by 4 instead of 3.'),
    ('rate network', 'dalpha += (lam * (drive[t] - x[t]))', 'dalpha += (lam * drive[t])', "The leak's gradient leaves out the -x from the factor 1 - alpha.", 'At every step, what alpha receives from 1 − alpha is missing.'),
    ('rate network', '"leak": dalpha * alpha * (1 - alpha),', '"leak": dalpha,', 'The gradient of alpha is returned as that of the leak parameter: the sigmoid between them is not differentiated.', 'Once, at alpha the derivative of sigmoid is taken to be 1: it is forgotten.'),
    ('rate network', 'dalpha += (lam * (drive[t] - x[t]))', 'dalpha += (lam * (drive[t] - x[t + 1]))', "The leak's gradient is taken with the state after the step.", 'At every step, what 1 − alpha receives from (1 − alpha) ⊙ h uses h of the step after.'),
    ('rate network', 'np.einsum("tob,tnb->on", dz, r[1:])', 'np.einsum("tob,tnb->on", dz, x[1:])', "The readout's weight gradient is taken with the states, before the rectifier.", 'At every step, what Wout receives from z uses h where r belongs.'),
    ('rate network', 'lam = (1 - alpha) * lam + (M.T @ push) * (x[t] > 0)', 'lam = ((1 - alpha) * lam + M.T @ push) * (x[t] > 0)', "The rectifier's derivative is put on everything that comes back, so also on the leak's path, which does not pass through it.", 'At every step, what h receives from (1 − alpha) ⊙ h of the next step is multiplied with the derivative at relu(h).'),
    ('rate network', '(M.T @ push) * (x[t] > 0)', '(M @ push) * (x[t] > 0)', 'The effective weights are used back without the transpose.', 'At every step, what relu(h) receives from weights @ relu(h) uses weights transposed.'),
    ('rate network', '(M.T @ push) * (x[t] > 0)', '(W.T @ push) * (x[t] > 0)', 'The raw weights W, without absolute value, mask and signs, are used to send the gradient back.', 'At every step, what relu(h) receives from weights @ relu(h) uses W where weights belongs.'),
    ('rate network', 'cost_r = 2 * penalty * r[1:] /', 'cost_r = 2 * penalty * r[:-1] /', "The penalty's gradient is one index off: the rates before the step stand where those after it are penalized.", 'At every step, what r receives from r ⊙ r uses r of the step before.'),
    ('highway layernorm', ' - hat * (dhat * hat).mean(-1, keepdims=True))', ')', "Layer norm's backward pass takes the variance for a constant: the term with hat * mean(dhat * hat) is missing.", 'Everywhere alike: at every step, what the mul in a⁽¹⁾ receives from the sum in a⁽¹⁾ is missing. So too at the mul in a⁽²⁾.'),
    ('highway layernorm', 'dhat - dhat.mean(-1, keepdims=True) - hat', 'dhat - hat', "Layer norm's backward pass forgets that the mean was subtracted: the term mean(dhat) is missing.", 'Everywhere alike: at every step, what … / 4 in a⁽¹⁾ receives from … − (… / 4) in a⁽¹⁾ is missing. So too at … / 4 in a⁽²⁾.'),
    ('highway layernorm', 'dhat = dout * gain\n', 'dhat = dout\n', 'The gain is left out where the gradient goes back through layer norm.', 'Everywhere alike: at every step, what (… − (… / 4)) / … in a⁽¹⁾ receives from … ⊙ gain0 in a⁽¹⁾ lacks the factor gain0. So too at (… − (… / 4)) / … in a⁽²⁾.'),
    ('highway layernorm', '(dhat - dhat.mean(-1, keepdims=True) - hat * (dhat * hat).mean(-1, keepdims=True))', '(dhat - dhat.mean(0, keepdims=True) - hat * (dhat * hat).mean(0, keepdims=True))', "Layer norm's means in the backward pass are taken over the batch, as in batch norm.", 'Everywhere alike: at every step, what (x @ W0) + (h⁽¹⁾ @ R0) receives from (… − (… / 4)) / … in a⁽¹⁾, by all ways, is (g - mean(g) - y * mean(g * y)) / s, along axis 0, not 1. So too at (y @ W1) + (h⁽²⁾ @ R1).'),
    ('highway layernorm', 'da = inv * (dhat', 'da = inv**2 * (dhat', 'The gradient is divided by the variance instead of the standard deviation.', 'Everywhere alike: at every step, what … − (… / 4) in a⁽¹⁾ receives from (… − (… / 4)) / … in a⁽¹⁾, by all ways, is (g - y * mean(g * y)) / s / s instead of (g - y * mean(g * y)) / s. So too at … − (… / 4) in a⁽²⁾.'),
    ('highway layernorm', 'return da, (dout * hat).sum(0), dout.sum(0)', 'return da, dout.sum(0), dout.sum(0)', "The gain's gradient is not multiplied by the normalized value at all: it is the shift's.", 'Everywhere alike: at every step, what gain0 receives from … ⊙ gain0 in a⁽¹⁾ lacks the factor (… − (… / 4)) / … in a⁽¹⁾. So too at gain1.'),
    ('highway layernorm', '            g["emb"][tokens[i, t]] += dy[i]\n', '            pass\n', 'The tied matrix only gets its gradient as output matrix; its use as embedding is forgotten.', 'At every step, what emb receives from x is missing.'),
    ('highway layernorm', '        g["emb"] += dlogits.T @ tops[t]\n', '', 'The tied matrix only gets its gradient as embedding; its use in the output layer is forgotten.', 'At every step, what emb receives from embᵀ is missing.'),
    ('highway layernorm', 'dx = k * dy + da @ p[f"W{l}"].T', 'dx = da @ p[f"W{l}"].T', "The highway's carried part, k * dy, is not passed to the layer below.", 'Everywhere alike: at every step, what x receives from carry ⊙ x is missing. So too at y.'),
    ('highway layernorm', ' + dk @ p[f"G{l}"].T', '', "The carry gate's path to the layer's input is forgotten.", 'Everywhere alike: at every step, what x receives from x @ G0 is missing. So too at y.'),
    ('highway layernorm', 'dk = dy * (x - h) * k * (1 - k)', 'dk = dy * x * k * (1 - k)', "The carry gate's gradient only counts the carried input, not the state that 1 - k multiplies.", 'Everywhere alike: at every step, what carry receives from 1 − carry is missing.'),
    ('highway layernorm', ('dh = (1 - k) * dy + dh_later', 'dx = k * dy + da'), ('dh = k * dy + dh_later', 'dx = (1 - k) * dy + da'), 'k and 1 - k change places: the state gets the gradient of the carried input and the other way round.', 'Everywhere alike: at every step, every rule of its own step that needs carry uses 1 − carry.'),
    ('highway layernorm', 'dh = (1 - k) * dy + dh_later', 'dh = (1 - k) * (dy + dh_later)', 'The gradient from the next step is gated too, as if the gated output were what the layer remembers.', 'Everywhere alike: at every step, all that h⁽¹⁾ receives from the step after it is multiplied with 1 − carry, of that step. So too at h⁽²⁾.'),
    ('highway layernorm', 'dy, dh[l] = highway_bwd(p, g, l, dy, dh[l], tape[t][l])', 'dy, dh[0] = highway_bwd(p, g, l, dy, dh[0], tape[t][l])', 'Both layers keep the gradient carried to the previous step in one variable.', 'What h⁽²⁾ and h⁽¹⁾ carry is kept in one variable: h⁽¹⁾ receives what h⁽²⁾ left at this step, and h⁽²⁾ what h⁽¹⁾ left at the step after.'),
    ('highway layernorm', 'for l in (1, 0):', 'for l in (0, 1):', 'The layers are walked back in the forward order, the lower one first.', 'Once, the layers are walked back in forward order, the lowest one first: the gradients of x, y, y arrive at another of these.'),
]

STYLES, loss_of, gradients = tuple(NETWORKS), NETWORKS.loss_of, NETWORKS.gradients
