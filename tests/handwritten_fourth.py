# ruff: noqa: E501 -- texts and what is said of them stay on one line
# fmt: off
"""Six networks by one who had not seen the search, and mistakes in their backward passes: run once, when all was written.

A character model in columns; an LSTM of many to one, as a class; PyTorch's GRU with a matrix a gate; encoder and decoder;
two states, one of which moves at every second step; a cell with decay, memory and a skip over two steps. Of each mistake:
the text, what was written, what it is, and what the diagnosis said of it (nothing where it was not found).
"""

import inspect

import numpy as np

import tinygrad_rnn as tg


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def draw(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.0, 0.7, shape) for name, shape in shapes.items()}


# --------------------------------------------------------------------------------------------------------------------
# 1. hello: a character model in column vectors
# --------------------------------------------------------------------------------------------------------------------

TEXT, CHARS = "hellohe", "helo"
HELLO_P = draw(1, Wxh=(3, 4), Whh=(3, 3), Why=(4, 3), bh=(3, 1), by=(4, 1))
HELLO_D = {
    "inputs": [CHARS.index(ch) for ch in TEXT[:-1]],
    "targets": [CHARS.index(ch) for ch in TEXT[1:]],
    "hprev": np.array([[0.3], [-0.5], [0.2]]),
}


def hello_loss(p, d):
    h, loss = tg.tensor(d["hprev"]), 0.0
    for t in tg.steps(len(d["inputs"])):
        x = tg.tensor(np.eye(4)[:, [d["inputs"][t]]])
        h = tg.tanh(p["Wxh"] @ x + p["Whh"] @ h + p["bh"])
        y = p["Why"] @ h + p["by"]
        loss = loss - tg.log_softmax(y, 0)[d["targets"][t], 0]
    return loss


def hello_backward(p, d):
    Wxh, Whh, Why, bh, by = p["Wxh"], p["Whh"], p["Why"], p["bh"], p["by"]
    inputs, targets = d["inputs"], d["targets"]
    vocab_size = by.shape[0]
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(d["hprev"])
    loss = 0
    # forward pass
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])
    # backward pass: gradients going backwards
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1  # softmax and cross entropy
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}


HELLO_MISTAKES = [
    ("np.dot(dhraw, hs[t - 1].T)", "np.dot(dhraw, hs[t].T)", "dWhh takes this step's state for the previous one"),
    ("np.dot(Whh.T, dhraw)", "np.dot(Whh, dhraw)", "the recurrent matrix is not transposed on the way back"),
    ("np.dot(Why.T, dy) + dhnext", "np.dot(Why.T, dy)", "what comes from the next step is not added"),
    ("np.dot(Whh.T, dhraw)", "np.dot(Whh.T, dh)", "the carry to the previous step goes past the derivative of tanh"),
    ("dWhh += ", "dWhh = ", "dWhh is overwritten at every step: only the first step's share stays"),
    ("(1 - hs[t] * hs[t]) * dh", "(1 - np.tanh(hs[t]) ** 2) * dh", "tanh applied again in its derivative: the cached value is the output already"),
    ("(1 - hs[t] * hs[t]) * dh", "hs[t] * (1 - hs[t]) * dh", "derivative of sigmoid for tanh"),
    ("dy[targets[t]] -= 1", "dy[inputs[t]] -= 1", "the input character is taken for the target"),
    ("dbh += dhraw", "dbh += dh", "the hidden bias takes the gradient of the state, not of the pre-activation"),
    ("for t in reversed(range(len(inputs))):", "for t in range(len(inputs)):", "the backward loop runs forwards in time"),
    ("np.dot(dy, hs[t].T)", "np.dot(dy, hs[t - 1].T)", "dWhy takes the previous step's state"),
    ("reversed(range(len(inputs)))", "reversed(range(1, len(inputs)))", "the backward loop leaves out the first step"),
    ("dhnext = np.dot(", "dhnext += np.dot(", "the carry is added up over the steps instead of replaced"),
    ("dy[targets[t]] -= 1", "dy[targets[t]] -= 1; dy /= len(inputs)", "divided by the number of steps, though the loss is a sum"),
    ("    return {", "    for dparam in [dWxh, dWhh, dWhy, dbh, dby]:\n        np.clip(dparam, -0.5, 0.5, out=dparam)\n    return {", "gradients are clipped before they are returned"),
]

# --------------------------------------------------------------------------------------------------------------------
# 2. lstm: many to one, a class, batch rows, the gates side by side in one matrix on [h, x]
# --------------------------------------------------------------------------------------------------------------------

LSTM_P = draw(2, W=(6, 16), b=(16,), Wy=(4, 5), by=(5,))
LSTM_D = {"x": draw(20, x=(6, 3, 2))["x"] * 1.5, "y": np.array([4, 0, 2])}


def lstm_loss(p, d):
    x = tg.tensor(d["x"])
    h = c = tg.zeros(3, 4, dtype=np.float64)
    for t in tg.steps(6):
        a = tg.cat([h, x[t]], 1) @ p["W"] + p["b"]
        f, i, o = tg.sigmoid(a[:, 0:4]), tg.sigmoid(a[:, 4:8]), tg.sigmoid(a[:, 12:16])
        g = tg.tanh(a[:, 8:12])
        c = f * c + i * g
        h = o * tg.tanh(c)
    return tg.nn.functional.cross_entropy(h @ p["Wy"] + p["by"], d["y"])


def lstm_backward(p, d):
    class LSTM:
        def __init__(self, W, b):
            self.W, self.b = W, b
            self.H = b.size // 4
            self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

        def forward(self, X):
            H = self.H
            h, c = np.zeros((X.shape[1], H)), np.zeros((X.shape[1], H))
            self.cache = []
            for x in X:
                z = np.hstack([h, x])
                a = z @ self.W + self.b
                f, i = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H])
                g, o = np.tanh(a[:, 2 * H:3 * H]), sigmoid(a[:, 3 * H:])
                c_prev = c
                c = f * c_prev + i * g
                h = o * np.tanh(c)
                self.cache.append((z, f, i, g, o, c_prev, c))
            return h

        def backward(self, dh_last):
            H = self.H
            dh, dc = dh_last, np.zeros_like(dh_last)
            for z, f, i, g, o, c_prev, c in reversed(self.cache):
                tanh_c = np.tanh(c)
                do = dh * tanh_c
                dc = dc + dh * o * (1 - tanh_c ** 2)
                df = dc * c_prev
                di = dc * g
                dg = dc * i
                da = np.hstack([df * f * (1 - f), di * i * (1 - i), dg * (1 - g ** 2), do * o * (1 - o)])
                self.dW += z.T @ da
                self.db += da.sum(axis=0)
                dz = da @ self.W.T
                dh = dz[:, :H]
                dc = dc * f

    class SoftmaxLayer:
        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, h, y):
            self.h, self.y = h, y
            scores = h @ self.W + self.b
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            self.probs = e / e.sum(axis=1, keepdims=True)

        def backward(self):
            N = len(self.y)
            dscores = self.probs.copy()
            dscores[np.arange(N), self.y] -= 1
            dscores /= N
            self.dW = self.h.T @ dscores
            self.db = dscores.sum(axis=0)
            return dscores @ self.W.T

    lstm, out = LSTM(p["W"], p["b"]), SoftmaxLayer(p["Wy"], p["by"])
    out.forward(lstm.forward(d["x"]), d["y"])
    lstm.backward(out.backward())
    return {"W": lstm.dW, "b": lstm.db, "Wy": out.dW, "by": out.db}


LSTM_MISTAKES = [
    ("            dscores /= N\n", "", "the mean over the batch is forgotten"),
    ("dc = dc + dh * o", "dc = dh * o", "the cell state's gradient from the next step is lost"),
    ("                dc = dc * f\n", "", "the cell's carry is not multiplied by the forget gate"),
    ("dc = dc * f\n", "dc = dc * i\n", "input gate for forget gate in the cell's carry"),
    ("(1 - tanh_c ** 2)", "(1 - c ** 2)", "derivative of tanh from its argument instead of its value"),
    ("dg * (1 - g ** 2)", "dg * g * (1 - g)", "derivative of sigmoid for the candidate, which is a tanh"),
    ("do = dh * tanh_c", "do = dh * c", "the output gate's gradient takes c, not tanh(c)"),
    ("df = dc * c_prev", "df = dc * c", "the forget gate's gradient takes the new cell state"),
    ("di = dc * g\n                dg = dc * i", "di = dc * i\n                dg = dc * g", "input gate and candidate swapped"),
    ("df * f * (1 - f), di * i * (1 - i)", "di * i * (1 - i), df * f * (1 - f)", "the gates are put together in another order than in the forward pass"),
    ("dh = dz[:, :H]", "dh = dz[:, -H:]", "the wrong part of [h, x] goes on to the previous step"),
    ("reversed(self.cache)", "self.cache", "the cache is read forwards in time"),
    ("self.dW += z.T @ da", "self.dW = z.T @ da", "dW is overwritten at every step"),
    ("self.db += da.sum(axis=0)", "self.db += da.mean(axis=0)", "the bias takes the mean over the batch a second time"),
    ("dh * o * (1 - tanh_c ** 2)", "dh * (1 - tanh_c ** 2)", "the output gate is forgotten on the way into the cell"),
    ("dh = dz[:, :H]", "dh = dz[:, :H] + dh_last", "the loss's gradient is added at every step, though only the last state is read"),
    ("do * o * (1 - o)", "do", "the output gate lacks the derivative of its sigmoid"),
]

# --------------------------------------------------------------------------------------------------------------------
# 3. gru: regression at every step, PyTorch's form, one matrix per gate, lists of arrays
# --------------------------------------------------------------------------------------------------------------------

GRU_P = draw(3, Wir=(4, 3), Wiz=(4, 3), Win=(4, 3), Whr=(4, 4), Whz=(4, 4), Whn=(4, 4),
             br=(4,), bz=(4,), bin=(4,), bhn=(4,), Wo=(1, 4), bo=(1,))
GRU_D = {"x": draw(30, x=(5, 2, 3))["x"], "y": draw(31, y=(5, 2, 1))["y"]}


def gru_loss(p, d):
    x, target = tg.tensor(d["x"]), tg.tensor(d["y"])
    h, outputs = tg.zeros(2, 4, dtype=np.float64), []
    for t in tg.steps(5):
        r = tg.sigmoid(x[t] @ p["Wir"].T + h @ p["Whr"].T + p["br"])
        z = tg.sigmoid(x[t] @ p["Wiz"].T + h @ p["Whz"].T + p["bz"])
        n = tg.tanh(x[t] @ p["Win"].T + p["bin"] + r * (h @ p["Whn"].T + p["bhn"]))
        h = (1 - z) * n + z * h
        outputs.append(h @ p["Wo"].T + p["bo"])
    return ((tg.stack(outputs) - target) ** 2).mean()


def gru_backward(p, d):
    x, y_true = d["x"], d["y"]
    T, B, _ = x.shape
    hs, rs, zs, ns, qs, outs = [np.zeros((B, 4))], [], [], [], [], []
    for t in range(T):
        h = hs[-1]
        r = sigmoid(x[t] @ p["Wir"].T + h @ p["Whr"].T + p["br"])
        z = sigmoid(x[t] @ p["Wiz"].T + h @ p["Whz"].T + p["bz"])
        q = h @ p["Whn"].T + p["bhn"]
        n = np.tanh(x[t] @ p["Win"].T + p["bin"] + r * q)
        h = (1 - z) * n + z * h
        for values, value in ((hs, h), (rs, r), (zs, z), (ns, n), (qs, q)):
            values.append(value)
        outs.append(h @ p["Wo"].T + p["bo"])

    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros((B, 4))
    for t in range(T - 1, -1, -1):
        r, z, n, q, h_prev = rs[t], zs[t], ns[t], qs[t], hs[t]
        dout = 2 * (outs[t] - y_true[t]) / (T * B)
        grads["Wo"] += dout.T @ hs[t + 1]
        grads["bo"] += dout.sum(0)
        dh = dout @ p["Wo"] + dh_next
        dh_prev = dh * z
        dz = dh * (h_prev - n)
        dn = dh * (1 - z)

        dan = dn * (1 - n ** 2)
        dq = dan * r
        dr = dan * q
        daz = dz * z * (1 - z)
        dar = dr * r * (1 - r)

        grads["Win"] += dan.T @ x[t]
        grads["bin"] += dan.sum(0)
        grads["Whn"] += dq.T @ h_prev
        grads["bhn"] += dq.sum(0)
        grads["Wiz"] += daz.T @ x[t]
        grads["Whz"] += daz.T @ h_prev
        grads["bz"] += daz.sum(0)
        grads["Wir"] += dar.T @ x[t]
        grads["Whr"] += dar.T @ h_prev
        grads["br"] += dar.sum(0)

        dh_prev = dh_prev + dar @ p["Whr"] + daz @ p["Whz"] + dq @ p["Whn"]
        dh_next = dh_prev
    return grads


GRU_MISTAKES = [
    ("dout = 2 * (", "dout = (", "the factor 2 of the square is forgotten"),
    ("/ (T * B)", "/ B", "the mean over the steps is forgotten"),
    ("(h_prev - n)", "(n - h_prev)", "sign: the update gate as if it weighed the candidate"),
    ("dh_prev = dh * z\n", "dh_prev = 0\n", "the direct way z * h to the previous state is missing"),
    ("dq @ p[\"Whn\"]", "dan @ p[\"Whn\"]", "the reset gate is forgotten on the way to the previous state"),
    ("dr = dan * q", "dr = dan * h_prev", "the reset gate's gradient takes the state without its matrix"),
    ("dr = dan * q", "dr = dan * (h_prev @ p[\"Whn\"].T)", "the reset gate's gradient forgets the bias inside the bracket"),
    ("grads[\"Whn\"] += dq.T @ h_prev", "grads[\"Whn\"] += dan.T @ h_prev", "dWhn without the reset gate"),
    ("grads[\"bhn\"] += dq.sum(0)", "grads[\"bhn\"] += dan.sum(0)", "the bias inside the bracket treated like the one outside"),
    ("daz @ p[\"Whz\"] + dq", "dq", "the way through the update gate to the previous state is missing"),
    ("dout.T @ hs[t + 1]", "dout.T @ hs[t]", "dWo takes the state before the step"),
    ("dout.T @ hs[t + 1]", "dout.T @ h", "stale variable: the state left over from the forward loop, for every step"),
    ("range(T - 1, -1, -1)", "range(T - 1, 0, -1)", "the backward loop stops before the first step"),
    ("dn = dh * (1 - z)", "dn = dh * z", "z for 1 - z"),
    ("grads[\"Whr\"] += dar.T", "grads[\"Whr\"] += daz.T", "copied line: dWhr with the update gate's gradient"),
    ("daz @ p[\"Whz\"]", "daz @ p[\"Whz\"].T", "one recurrent matrix transposed too much"),
    ("dh_prev = dh * z\n", "dh_prev = dh\n        dh_prev *= z\n", "no copy: dh itself is multiplied in place"),
    ("dr * r * (1 - r)", "dr * (1 - r ** 2)", "derivative of tanh for the reset gate's sigmoid"),
]

# --------------------------------------------------------------------------------------------------------------------
# 4. seq2seq: encoder and decoder, embeddings, step functions with caches, a mask on the targets
# --------------------------------------------------------------------------------------------------------------------

SEQ_P = draw(4, Esrc=(7, 3), Etgt=(6, 3), enc_Wx=(3, 4), enc_Wh=(4, 4), enc_b=(4,), Wc=(4, 5), bc=(5,),
             dec_Wx=(7, 5), dec_Wh=(5, 5), dec_b=(5,), Wy=(5, 6), by=(6,))
SEQ_D = {
    "src": np.array([[3, 1, 3, 6, 2], [5, 1, 0, 4, 3]]),
    "tgt_in": np.array([[0, 4, 2, 4], [0, 3, 5, 1]]),
    "tgt_out": np.array([[4, 2, 4, 1], [3, 5, 1, 1]]),
    "mask": np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]]),
}


def seq2seq_loss(p, d):
    h = tg.zeros(2, 4, dtype=np.float64)
    for t in tg.steps(5):
        h = tg.tanh(p["Esrc"][d["src"][:, t]] @ p["enc_Wx"] + h @ p["enc_Wh"] + p["enc_b"])
    context, loss = h, 0.0
    s = tg.tanh(context @ p["Wc"] + p["bc"])
    for t in tg.steps(4):
        x = tg.cat([p["Etgt"][d["tgt_in"][:, t]], context], 1)
        s = tg.tanh(x @ p["dec_Wx"] + s @ p["dec_Wh"] + p["dec_b"])
        logp = tg.log_softmax(s @ p["Wy"] + p["by"], 1)
        right = logp[np.arange(2), d["tgt_out"][:, t]]
        loss = loss - (right * tg.tensor(d["mask"][:, t])).sum()
    return loss / d["mask"].sum()


def seq2seq_backward(p, d):
    src, tgt_in, tgt_out, mask = d["src"], d["tgt_in"], d["tgt_out"], d["mask"]
    (B, Ts), Tt, E = src.shape, tgt_in.shape[1], 3

    def step_forward(x, prev_h, Wx, Wh, b):
        next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
        return next_h, (x, prev_h, Wx, Wh, next_h)

    def step_backward(dnext_h, cache):
        x, prev_h, Wx, Wh, next_h = cache
        da = dnext_h * (1 - next_h ** 2)
        dx = da @ Wx.T
        dprev_h = da @ Wh.T
        dWx = x.T @ da
        dWh = prev_h.T @ da
        db = np.sum(da, axis=0)
        return dx, dprev_h, dWx, dWh, db

    def softmax(a):
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    # forward
    h, enc_caches, dec_caches, probs = np.zeros((B, 4)), [], [], []
    for t in range(Ts):
        h, cache = step_forward(p["Esrc"][src[:, t]], h, p["enc_Wx"], p["enc_Wh"], p["enc_b"])
        enc_caches.append(cache)
    ctx = h
    ss = [np.tanh(ctx @ p["Wc"] + p["bc"])]
    for t in range(Tt):
        x = np.concatenate([p["Etgt"][tgt_in[:, t]], ctx], axis=1)
        s, cache = step_forward(x, ss[-1], p["dec_Wx"], p["dec_Wh"], p["dec_b"])
        ss.append(s)
        dec_caches.append(cache)
        probs.append(softmax(s @ p["Wy"] + p["by"]))

    # backward: decoder
    g = {name: np.zeros_like(value) for name, value in p.items()}
    dctx, ds = np.zeros_like(ctx), np.zeros_like(ss[0])
    for t in reversed(range(Tt)):
        dlogits = probs[t].copy()
        dlogits[np.arange(B), tgt_out[:, t]] -= 1
        dlogits *= mask[:, t:t + 1] / mask.sum()
        g["Wy"] += ss[t + 1].T @ dlogits
        g["by"] += dlogits.sum(axis=0)
        ds = ds + dlogits @ p["Wy"].T
        dx, ds, dWx, dWh, db = step_backward(ds, dec_caches[t])
        g["dec_Wx"] += dWx
        g["dec_Wh"] += dWh
        g["dec_b"] += db
        np.add.at(g["Etgt"], tgt_in[:, t], dx[:, :E])
        dctx += dx[:, E:]
    # the decoder's first state
    da0 = ds * (1 - ss[0] ** 2)
    g["Wc"] = ctx.T @ da0
    g["bc"] = da0.sum(axis=0)
    dctx += da0 @ p["Wc"].T
    # encoder
    dh = dctx
    for t in reversed(range(Ts)):
        dx, dh, dWx, dWh, db = step_backward(dh, enc_caches[t])
        g["enc_Wx"] += dWx
        g["enc_Wh"] += dWh
        g["enc_b"] += db
        np.add.at(g["Esrc"], src[:, t], dx)
    return g


SEQ_MISTAKES = [
    ("np.add.at(g[\"Esrc\"], src[:, t], dx)", "g[\"Esrc\"][src[:, t]] = dx", "source embedding: rows are assigned, so a word that occurs again keeps one share"),
    ("np.add.at(g[\"Etgt\"], tgt_in[:, t], dx[:, :E])", "g[\"Etgt\"][tgt_in[:, t]] += dx[:, :E]", "target embedding: += with an index adds only once where both rows begin with the same token"),
    ("dctx += dx[:, E:]", "dctx = dx[:, E:]", "the context's gradient is overwritten at every decoder step"),
    ("dctx += da0 @", "dctx = da0 @", "the context gets only what comes through the decoder's first state"),
    ("dlogits *= mask[:, t:t + 1] / mask.sum()", "dlogits /= mask.sum()", "the mask is forgotten: padding has a gradient"),
    ("mask[:, t:t + 1] / mask.sum()", "mask[:, t:t + 1] / mask.size", "mean over all positions instead of those that count"),
    ("da0 = ds * (1 - ss[0] ** 2)", "da0 = ds", "the first state's tanh is forgotten"),
    ("ss[t + 1].T @ dlogits", "ss[t].T @ dlogits", "dWy takes the decoder's state before the step"),
    ("db = np.sum(da, axis=0)", "db = np.sum(da)", "the bias is summed over everything: the axis is forgotten"),
    ("step_backward(ds, dec_caches[t])", "step_backward(ds, cache)", "stale variable: the cache left over from the forward loop, for every step"),
    ("dprev_h = da @ Wh.T", "dprev_h = da @ Wh", "the recurrent matrix is not transposed, in both networks"),
    ("ds = ds + dlogits @", "ds = dlogits @", "in the decoder nothing is carried from step to step"),
    ("tgt_out[:, t]] -= 1", "tgt_in[:, t]] -= 1", "the decoder's inputs are taken for its targets"),
    ("g[\"Esrc\"], src[:, t], dx)", "g[\"Esrc\"], src[:, Ts - 1 - t], dx)", "source words counted from the wrong end"),
    ("step_backward(dh, enc_caches[t])", "step_backward(dh + dctx, enc_caches[t])", "the context's gradient is added at every encoder step"),
    ("    dh = dctx\n", "    dh = np.zeros_like(dctx)\n", "the encoder gets nothing: its loop starts from zeros"),
    ("dWh = prev_h.T @ da", "dWh = next_h.T @ da", "dWh takes the new state, in both networks"),
    ("dctx += dx[:, E:]", "dctx += dx[:, :4]", "wrong slice: the context's part of [embedding, context] begins after the embedding"),
]

# --------------------------------------------------------------------------------------------------------------------
# 5. scales: a fast state at every step, a slow leaky one at every second; einsum, all deltas kept
# --------------------------------------------------------------------------------------------------------------------

SCALES_P = draw(5, W=(2, 4), U=(4, 4), V=(3, 4), b=(4,), Q=(4, 3), R=(3, 3), c=(3,), rho=(3,), s0=(3,),
                A=(4, 2), C=(3, 2), k=(2,))
SCALES_D = {"x": draw(50, x=(3, 6, 2))["x"] * 1.4, "y": draw(51, y=(3, 6, 2))["y"]}


def scales_loss(p, d):
    x, target = tg.tensor(d["x"]), tg.tensor(d["y"])
    fast, slow, loss = tg.zeros(3, 4, dtype=np.float64), p["s0"].expand(3, 3), 0.0
    leak = tg.sigmoid(p["rho"])
    for t in tg.steps(6):
        fast = tg.tanh(x[:, t] @ p["W"] + fast @ p["U"] + slow @ p["V"] + p["b"])
        if t % 2 == 1:
            slow = (1 - leak) * slow + leak * tg.tanh(fast @ p["Q"] + slow @ p["R"] + p["c"])
        y = fast @ p["A"] + slow @ p["C"] + p["k"]
        loss = loss + 0.5 * ((y - target[:, t]) ** 2).sum() / 3
    return loss


def scales_backward(p, d):
    es = np.einsum
    W, U, V, Q, R, A, C = (p[name] for name in "WUVQRAC")
    x, target = d["x"], d["y"]
    B, T, _ = x.shape
    alpha = sigmoid(p["rho"])
    F, S, u = np.zeros((B, T + 1, 4)), np.zeros((B, T + 1, 3)), np.zeros((B, T, 3))
    S[:, 0] = p["s0"]
    for t in range(T):
        F[:, t + 1] = np.tanh(x[:, t] @ W + F[:, t] @ U + S[:, t] @ V + p["b"])
        S[:, t + 1] = S[:, t]
        if t % 2 == 1:
            u[:, t] = np.tanh(F[:, t + 1] @ Q + S[:, t] @ R + p["c"])
            S[:, t + 1] = (1 - alpha) * S[:, t] + alpha * u[:, t]
    Y = F[:, 1:] @ A + S[:, 1:] @ C + p["k"]

    dY = (Y - target) / B
    dF = es("bto,ho->bth", dY, A)
    dS = es("bto,ho->bth", dY, C)
    delta_f, delta_s, dalpha = np.zeros((B, T, 4)), np.zeros((B, T, 3)), np.zeros(3)
    f_carry, s_carry = np.zeros((B, 4)), np.zeros((B, 3))
    for t in range(T - 1, -1, -1):
        df = dF[:, t] + f_carry
        ds = dS[:, t] + s_carry
        if t % 2 == 1:
            dalpha += es("bh,bh->h", ds, u[:, t] - S[:, t])
            delta_s[:, t] = ds * alpha * (1 - u[:, t] ** 2)
            ds = ds * (1 - alpha) + es("bj,ij->bi", delta_s[:, t], R)
            df = df + es("bj,ij->bi", delta_s[:, t], Q)
        delta_f[:, t] = df * (1 - F[:, t + 1] ** 2)
        f_carry = es("bj,ij->bi", delta_f[:, t], U)
        s_carry = ds + es("bj,ij->bi", delta_f[:, t], V)
    return {
        "W": es("bti,btj->ij", x, delta_f),
        "U": es("bti,btj->ij", F[:, :-1], delta_f),
        "V": es("bti,btj->ij", S[:, :-1], delta_f),
        "b": es("btj->j", delta_f),
        "Q": es("bti,btj->ij", F[:, 1:], delta_s),
        "R": es("bti,btj->ij", S[:, :-1], delta_s),
        "c": es("btj->j", delta_s),
        "rho": dalpha * alpha * (1 - alpha),
        "s0": es("bi->i", s_carry),
        "A": es("bti,bto->io", F[:, 1:], dY),
        "C": es("bti,bto->io", S[:, 1:], dY),
        "k": es("bto->o", dY),
    }


SCALES_MISTAKES = [
    ("F[:, :-1], delta_f)", "F[:, 1:], delta_f)", "dU takes the new fast states: slice shifted by one"),
    ("es(\"bj,ij->bi\", delta_f[:, t], U)", "es(\"bj,ji->bi\", delta_f[:, t], U)", "U is not transposed: indices of einsum swapped"),
    ("dalpha * alpha * (1 - alpha)", "dalpha", "the derivative of the sigmoid that makes the leak is missing"),
    ("if t % 2 == 1:\n            dalpha", "if t % 2 == 0:\n            dalpha", "in the backward pass the slow state is updated at the even steps"),
    ("ds = ds * (1 - alpha) +", "ds = ds * alpha +", "leak for 1 - leak in the slow state's carry"),
    ("s_carry = ds + es(", "s_carry = es(", "the slow state's own carry is lost between the steps"),
    ("            df = df + es(\"bj,ij->bi\", delta_s[:, t], Q)\n", "", "the fast state gets nothing from the slow state's update"),
    ("F[:, 1:], delta_s)", "F[:, :-1], delta_s)", "dQ takes the old fast states"),
    ("(1 - F[:, t + 1] ** 2)", "(1 - F[:, t] ** 2)", "derivative of tanh at the previous step's state"),
    ("ds, u[:, t] - S[:, t])", "ds, u[:, t])", "the leak's gradient forgets the term of 1 - leak"),
    ("(Y - target) / B", "(Y - target) / (B * T)", "divided by the steps too, though the loss adds them"),
    ("S[:, 1:], dY)", "S[:, :-1], dY)", "dC takes the slow states before the step"),
    ("es(\"bi->i\", s_carry)", "s_carry.mean(axis=0)", "the first slow state's gradient is averaged over the batch again"),
    ("delta_s[:, t] = ds * alpha *", "delta_s[:, t] = ds *", "the leak is forgotten before the candidate"),
    ("            delta_s[:, t] = ds * alpha * (1 - u[:, t] ** 2)\n            ds = ds * (1 - alpha) + es(",
     "            ds = ds * (1 - alpha)\n            delta_s[:, t] = ds * alpha * (1 - u[:, t] ** 2)\n            ds = ds + es(",
     "order: ds is multiplied by 1 - leak before the candidate reads it"),
    ("\"c\": es(\"btj->j\", delta_s)", "\"c\": es(\"bj->j\", delta_s[:, -1])", "the slow bias gets only the last step's share"),
]

# --------------------------------------------------------------------------------------------------------------------
# 6. decay: elapsed times, a skip over two steps, the product of two states; one sample after another, np.outer
# --------------------------------------------------------------------------------------------------------------------

DECAY_P = draw(6, Wg=(4, 3), Ug=(4, 4), bg=(4,), Wh=(4, 3), Uh=(4, 4), Vh=(4, 4), bh=(4,), kappa=(4,), m0=(4,),
               w=(4,), c=())
DECAY_D = {"x": draw(60, x=(2, 7, 3))["x"] * 1.4, "dt": np.random.default_rng(61).uniform(0.2, 1.6, (2, 7)),
           "label": np.array([[1, 0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 0, 0]], float)}


def decay_loss(p, d):
    x, dt, label = tg.tensor(d["x"]), tg.tensor(d["dt"]), tg.tensor(d["label"])
    before = h = tg.zeros(2, 4, dtype=np.float64)
    m, loss = p["m0"], 0.0
    for t in tg.steps(7):
        faded = tg.exp(-tg.softplus(p["kappa"]) * dt[:, t : t + 1]) * h
        gate = tg.sigmoid(x[:, t] @ p["Wg"].T + faded @ p["Ug"].T + p["bg"])
        new = tg.tanh(x[:, t] @ p["Wh"].T + faded @ p["Uh"].T + before @ p["Vh"].T + p["bh"])
        before, h = h, new
        m = gate * m + (1 - gate) * h
        y = (h * m) @ p["w"] + p["c"]
        loss = loss + (tg.softplus(y) - label[:, t] * y).mean()
    return loss


def decay_backward(p, d):
    Ug, Uh, Vh, w = p["Ug"], p["Uh"], p["Vh"], p["w"]
    N, T, _ = d["x"].shape
    H = 4
    grad = {name: np.zeros(np.shape(value)) for name, value in p.items()}
    rate = np.log1p(np.exp(p["kappa"]))
    for n in range(N):
        x, dt, label = d["x"][n], d["dt"][n], d["label"][n]
        # forward
        h, m = {-2: np.zeros(H), -1: np.zeros(H)}, {-1: p["m0"]}
        gamma, faded, gate, y = {}, {}, {}, {}
        for t in range(T):
            gamma[t] = np.exp(-rate * dt[t])
            faded[t] = gamma[t] * h[t - 1]
            gate[t] = sigmoid(p["Wg"] @ x[t] + Ug @ faded[t] + p["bg"])
            h[t] = np.tanh(p["Wh"] @ x[t] + Uh @ faded[t] + Vh @ h[t - 2] + p["bh"])
            m[t] = gate[t] * m[t - 1] + (1 - gate[t]) * h[t]
            y[t] = w @ (h[t] * m[t]) + p["c"]
        # backward
        dh = [np.zeros(H) for _ in range(T)]
        dm = np.zeros(H)
        for t in reversed(range(T)):
            dy = (sigmoid(y[t]) - label[t]) / N
            grad["w"] += dy * h[t] * m[t]
            grad["c"] += dy
            dq = dy * w
            dh[t] += dq * m[t]
            dm += dq * h[t]
            dh[t] += dm * (1 - gate[t])
            dgate = dm * (m[t - 1] - h[t])
            dm = dm * gate[t]

            dag = dgate * gate[t] * (1 - gate[t])
            dah = dh[t] * (1 - h[t] ** 2)
            grad["Wg"] += np.outer(dag, x[t])
            grad["Ug"] += np.outer(dag, faded[t])
            grad["bg"] += dag
            grad["Wh"] += np.outer(dah, x[t])
            grad["Uh"] += np.outer(dah, faded[t])
            grad["Vh"] += np.outer(dah, h[t - 2])
            grad["bh"] += dah

            dfaded = Ug.T @ dag + Uh.T @ dah
            dgamma = dfaded * h[t - 1]
            grad["kappa"] += -dgamma * gamma[t] * dt[t] * sigmoid(p["kappa"])
            if t >= 1:
                dh[t - 1] += dfaded * gamma[t]
            if t >= 2:
                dh[t - 2] += Vh.T @ dah
        grad["m0"] += dm
    return grad


DECAY_MISTAKES = [
    ("if t >= 2:", "if t > 2:", "the skip's condition is off by one: the first state does not get its share"),
    ("dh[t - 2] += Vh.T @ dah", "dh[t - 2] += Vh @ dah", "the skip's matrix is not transposed"),
    ("dh[t - 2] += Vh.T", "dh[t - 1] += Vh.T", "the skip's gradient goes back one step only"),
    ("            if t >= 2:\n                dh[t - 2] += Vh.T @ dah\n", "", "the skip is forgotten on the way back"),
    ("dm += dq * h[t]", "dm = dq * h[t]", "the memory's carry is overwritten"),
    ("(m[t - 1] - h[t])", "(m[t - 1])", "the gate's gradient forgets its second place, 1 - gate"),
    ("-dgamma * gamma[t] * dt[t]", "dgamma * gamma[t] * dt[t]", "sign of the exponent is forgotten"),
    (" * dt[t] * sigmoid(p[\"kappa\"])", " * dt[t]", "the derivative of softplus is forgotten"),
    ("dh[t - 1] += dfaded * gamma[t]", "dh[t - 1] += dfaded", "the decay is forgotten in the carry"),
    ("grad[\"Uh\"] += np.outer(dah, faded[t])", "grad[\"Uh\"] += np.outer(dah, h[t - 1])", "dUh takes the state before it has faded"),
    ("(sigmoid(y[t]) - label[t]) / N", "sigmoid(y[t]) - label[t]", "the mean over the samples is forgotten"),
    ("            dgate = dm * (m[t - 1] - h[t])\n            dm = dm * gate[t]\n",
     "            dm = dm * gate[t]\n            dgate = dm * (m[t - 1] - h[t])\n", "order: the gate reads dm after it has been carried to the previous step"),
    ("grad[\"m0\"] += dm", "grad[\"m0\"] = dm", "the first memory's gradient keeps the last sample only"),
    ("dh = [np.zeros(H) for _ in range(T)]", "dh = [np.zeros(H)] * T", "one array for all steps: a list of the same array T times"),
    ("Ug.T @ dag + Uh.T @ dah", "Uh.T @ dah", "the way through the gate to the previous state is missing"),
    ("dh[t] += dq * m[t]", "dh[t] += dq * m[t - 1]", "in the product the memory of the previous step"),
]

# --------------------------------------------------------------------------------------------------------------------

TABLE = {
    "hello": (HELLO_P, HELLO_D, hello_loss, hello_backward, HELLO_MISTAKES),
    "lstm": (LSTM_P, LSTM_D, lstm_loss, lstm_backward, LSTM_MISTAKES),
    "gru": (GRU_P, GRU_D, gru_loss, gru_backward, GRU_MISTAKES),
    "seq2seq": (SEQ_P, SEQ_D, seq2seq_loss, seq2seq_backward, SEQ_MISTAKES),
    "scales": (SCALES_P, SCALES_D, scales_loss, scales_backward, SCALES_MISTAKES),
    "decay": (DECAY_P, DECAY_D, decay_loss, decay_backward, DECAY_MISTAKES),
}

#: what the diagnosis says, in the order of the mistakes
SAYS = {
    "hello": [
        "At every step, what Whh receives from Whh @ h uses h of the step after",
        "At every step, what h receives from Whh @ h of the next step uses Whh transposed",
        "At every step, what h receives from Whh @ h of the next step is missing",
        "At every step, in what h receives from Whh @ h of the next step the derivative at h is forgotten",
        "At every step but the first, what Whh receives from Whh @ h is missing",
        "At every step, at h the derivative of tanh is taken to be tanh'(y), of the result instead of the value before it",
        "At every step, at h the derivative of tanh is taken to be σ' (y(1 − y))",
        "At every step, what log_softmax(y) receives from loss uses the ones in x where the right ones belong",
        "At every step, in what bh receives from … + bh in h the derivative at h is forgotten",
        "The time steps are visited in forward order: h receives the carry of the step before instead of the step after",
        "At every step, what Why receives from Why @ h uses h of the step before",
        "The first step is left out, as by a loop over one step too few: nothing leaves it",
        "At every step, what h receives from Whh @ h of the next step is added to that of the step after, not written anew",
        "At every step, what y receives from log_softmax(y) is divided by 6, the number of time steps",
        "Every gradient is clipped to ±0.5",
    ],
    "lstm": [
        "Once, what cross_entropy((h @ Wy) + by) receives from the sum in the loss is multiplied by 3, the size of the batch",
        "At every step, what c receives from f ⊙ c of the next step is missing",
        "At every step, what c receives from f ⊙ c of the next step lacks the factor f",
        "At every step, what c receives from f ⊙ c of the next step uses i where f belongs",
        "At every step, at tanh(c) the derivative of tanh is taken to be 1 − x² of the value before it",
        "At every step, at g the derivative of tanh is taken to be σ' (y(1 − y))",
        "At every step, what o receives from h uses c where tanh(c) belongs",
        "At every step, what f receives from f ⊙ c uses c of the step after",
        "At every step, i and g receive from i ⊙ g what the other one should: each is its own factor",
        "At every step, the gradients before f and i are exchanged",
        "At every step, what h receives from [h, x_t] of the next step is cut out from place 2 on, not from 0",
        "The time steps are visited in forward order: c and h receive the carry of the step before instead of the step after, and the first what belongs to the last",
        "At every step but the first, what W receives from [h, x_t] @ W is missing",
        "At every step, what b receives from a is divided by 3, the size of the batch",
        "At every step, what tanh(c) receives from h lacks the factor o",
        "What h of step 6 receives from h @ Wy arrives at every step",
        "At every step, at o the derivative of sigmoid is taken to be 1: it is forgotten",
    ],
    "gru": [
        "Every gradient is halved (2 is the size of the batch)",
        "Once, what all (h @ Woᵀ) + bo receives from … − target is multiplied by 5, the number of time steps or the size of a dimension",
        "At every step, what … + bz in z receives from z is of the wrong sign",
        "At every step, what h receives from z ⊙ h of the next step is missing",
        "At every step, in what h receives from h @ Whnᵀ of the next step the derivative at r ⊙ … in n is forgotten",
        "At every step, what r receives from r ⊙ … in n uses h of the step before where (h @ Whnᵀ) + bhn belongs",
        "At every step, what r receives from r ⊙ … in n uses h @ Whnᵀ where (h @ Whnᵀ) + bhn belongs",
        "At every step, in what Whn receives from Whnᵀ the derivative at r ⊙ … in n is forgotten",
        "bhn was given the gradient of bin",
        "At every step, what h receives from h @ Whzᵀ of the next step is missing",
        "At every step, what Woᵀ receives from h @ Woᵀ uses h of the step before",
        "At every step, what Woᵀ receives from h @ Woᵀ uses h of the last step",
        "The first step is left out, as by a loop over one step too few: nothing leaves it",
        "At every step, what n receives from (1 − z) ⊙ n has the factor 1 − (1 − z) instead of it",
        "Whr was given the gradient of Whz",
        "At every step, what h receives from h @ Whzᵀ of the next step uses Whzᵀ transposed",
        "At every step, the gradient of h is multiplied with z in place, before what z and 1 − z and n receive",
        "At every step, at r the derivative of sigmoid is taken to be tanh' (1 − y²)",
    ],
    "seq2seq": [
        "A row of Esrc that is looked up again has only what was written there last: it was overwritten",
        "At every step, what Etgt receives from Etgt_t counts a row that is looked up twice only once",
        "At every step but the first, what h receives from [Etgt_t, h] of the next step is missing",
        "At every step, what h receives from [Etgt_t, h] of the next step is missing",
        "The masks are ignored: gradients pass as if every sequence were of full length",
        "Once, what Σ loss receives from (Σ loss) / 7 is divided by 8 instead of 7",
        "Once, at s the derivative of tanh is taken to be 1: it is forgotten",
        "At every step, what Wy receives from s @ Wy uses s of the step before",
        "Everywhere alike: at every step, what enc_b receives from … + enc_b in h is summed over all axes, to one number for all elements",
        "Every rule of the step of s uses what the last step saved",
        "Everywhere alike: at every step, what h receives from h @ enc_Wh of the next step uses enc_Wh transposed",
        "At every step but the first, what s receives from s @ dec_Wh of the next step is missing",
        "At every step, what logp receives from right uses the numbers in Etgt_t where the right ones belong",
        "At every step, what Esrc receives from Esrc_t uses the numbers in Esrc_t counted from the other end where the right ones belong",
        "What h of step 5 receives from outside of its loop arrives at every step, and twice at its own",
        "At every step, what … + enc_b in h receives from h is missing",
        "Everywhere alike: at every step, what enc_Wh receives from h @ enc_Wh uses h of the step after",
        "At every step, what h receives from [Etgt_t, h] of the next step is cut out from place 0 on, not from 3",
    ],
    "scales": [
        "At every step, what U receives from fast @ U uses fast of the step after",
        "At every step, what fast receives from fast @ U of the next step uses U transposed",
        "Once, at leak the derivative of sigmoid is taken to be 1: it is forgotten",
        "",
        "At every step, what slow receives from (1 − leak) ⊙ slow of the next step has the factor 1 − (1 − leak) instead of it",
        "At every step, what slow receives from slow @ C of the next step and slow @ V of 2 steps later and (1 − leak) ⊙ slow of 2 steps later and slow @ R of 2 steps later is missing",
        "At every step, what fast receives from fast @ Q is missing",
        "At every step, what Q receives from fast @ Q uses fast of the step before",
        "At every step, at fast the derivative of tanh uses fast of the step before",
        "At every step, what leak receives from 1 − leak is missing",
        "At every step, what y receives from y − target_t is divided by 6, the number of time steps or the size of a dimension",
        "At every step, what C receives from slow @ C uses slow, as it is read, of the step before",
        "Once, what s0 receives from slow is divided by 3, the size of the batch",
        "At every step, what the tanh in slow receives from leak ⊙ … in slow lacks the factor leak",
        "At every step, what … + c in slow receives from the tanh in slow is multiplied with 1 − leak",
        "At every step but the last, what c receives from … + c in slow is missing",
    ],
    "decay": [
        "At one step only (step 3 of 7), what new receives from new @ Vhᵀ of the next step is missing",
        "At every step, what new receives from new @ Vhᵀ of the next step uses Vhᵀ transposed",
        "What new receives from new @ Vhᵀ arrives one step late",
        "At every step, what new receives from new @ Vhᵀ of the next step is missing",
        "At every step but the first, what m receives from gate ⊙ m of the next step is missing",
        "At every step, what gate receives from 1 − gate is missing",
        "At every step, what kappa receives from softplus(kappa) comes from the gradient of neg(softplus(kappa))",
        "At every step, at softplus(kappa) the derivative of softplus is taken to be 1: it is forgotten",
        "At every step, what new receives from faded of the next step lacks the factor the exp in faded",
        "At every step, what Uhᵀ receives from faded @ Uhᵀ uses new of the step before where faded belongs",
        "At every step, what the sub in loss receives from the sum in loss is counted twice (2 is the size of the batch)",
        "At every step, what … + bg in gate receives from gate is multiplied with gate",
        "Once, what m0 receives from repeated m0 is not un-broadcast: the last row instead of the sum over the batch",
        "At every step, the gradient of new is added to that of the step after: it is not begun anew",
        "At every step, what faded receives from faded @ Ugᵀ is missing",
        "At every step, what new receives from new ⊙ m uses m of the step before",
    ],
}
STYLES = dict.fromkeys(TABLE)
MISTAKES = [
    (name, *mistake, says) for name in STYLES for mistake, says in zip(TABLE[name][4], SAYS[name], strict=True)
]


def leaves_of(network):
    """Fresh leaves of a network, by name."""
    return {k: tg.tensor(v, dtype=np.float64, requires_grad=True, name=k) for k, v in TABLE[network][0].items()}


def loss_of(network, leaves=None):
    """The network's loss, from fresh leaves unless some are given."""
    _, data, loss, _, _ = TABLE[network]
    return loss(leaves or leaves_of(network), data)


def gradients(network, old=None, new=None):
    """The hand-written gradients by name; with ``old`` and ``new``, those of the changed text."""
    values, data, _, backward, _ = TABLE[network]
    if old is not None:
        source = inspect.getsource(backward)
        if source.count(old) != 1:
            raise ValueError(f"{network}: {source.count(old)} places hold {old!r}")
        namespace = dict(globals())
        exec(compile(source.replace(old, new), f"<{network}, changed>", "exec"), namespace)
        backward = namespace[backward.__name__]
    return backward({k: v.copy() for k, v in values.items()}, data)
