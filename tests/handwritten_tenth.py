# ruff: noqa: C408, E501, E702, E731, E741, SIM108 -- written as students write; a mistake may need what is unused
# fmt: off
"""Eight networks by another who had not seen the search, and thirteen mistakes in the backward pass of each.

A sentiment LSTM on a padded batch; an encoder and decoder of GRUs; a minimal gated unit with layer norms; a tagger in both
directions with one embedding; coupled gates under attention; two residual layers with weight decay and a Huber loss; a
multiplicative character model with tied embeddings; a GRU-D for vital signs. Each function builds the loss, its leaves
and the backward pass by hand, which takes the number of a mistake. ``SAYS`` is what the diagnosis says of each with a
single edit ("" where none is found).
"""

import numpy as np

import tinygrad_rnn as tg
import tinygrad_rnn.nn.functional as F

NETWORKS = {}
WRITTEN = {}


def network(function):
    NETWORKS[function.__name__] = function
    return function


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softmax(a, axis=-1):
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def leaf(array):
    return tg.tensor(np.asarray(array, dtype=np.float64), dtype=tg.float64, requires_grad=True)


def const(array):
    return tg.tensor(np.asarray(array, dtype=np.float64), dtype=tg.float64)


def idx(array):
    return tg.tensor(np.asarray(array, dtype=np.int64), dtype=tg.int64)


# ---------------------------------------------------------------------------------------------------------------------
# 1. Sentiment: many-to-one LSTM, padded batch, dropout before the classifier.  Style: a dictionary of caches per step.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["sentiment_lstm"] = {
    "m1": "Forgot to divide the softmax gradient by the batch size though the loss is a mean.",
    "m2": "Forgot to apply the dropout mask in the backward pass.",
    "m3": "Applied the dropout mask as zeros and ones, without the 1/keep scaling the forward used.",
    "m4": "For padded steps h is copied from before, but I didn't send dh back along that copy.",
    "m5": "Cut the concatenated [x, h] gradient at the wrong place: took its first H columns for the previous h.",
    "m6": "Ignored the padding mask in the backward pass: every step is treated as real.",
    "m7": "Used the mask of the step before (off by one) in the backward loop.",
    "m8": "Embedding gradient with dE[tok] += dx, which loses rows when a word occurs twice in the batch.",
    "m9": "The forget gate's gradient uses the new cell state instead of the previous one.",
    "m10": "The cell state's gradient from the next step is overwritten instead of added to.",
    "m11": "Derivative of tanh(c) written as 1 - c**2.",
    "m12": "Stacked the gate gradients as i, f, g, o though the forward order is i, f, o, g.",
    "m13": "The gate bias gradient is assigned in the loop (=) instead of accumulated (+=).",
}


@network
def sentiment_lstm(seed):
    rng = np.random.default_rng(seed)
    N, T, D, H, V, C = 4, 6, 3, 4, 6, 3
    E = leaf(rng.normal(size=(V, D)))
    W = leaf(rng.normal(size=(D + H, 4 * H)) * 0.6)
    b = leaf(rng.normal(size=4 * H) * 0.3)
    Wy = leaf(rng.normal(size=(H, C)))
    by = leaf(rng.normal(size=C) * 0.2)
    lengths = np.array([6, 5, 3, 2])
    tokens = rng.integers(1, V, size=(N, T))
    tokens[1, 0] = tokens[0, 0]  # the same word twice in one step
    mask = (np.arange(T)[None, :] < lengths[:, None]).astype(float)
    tokens = tokens * mask.astype(int)
    labels = rng.integers(0, C, size=N)
    drop = (rng.random((N, H)) < 0.75) / 0.75
    drop[0, 0], drop[1, 1] = 0.0, 1 / 0.75

    h, c = const(np.zeros((N, H))), const(np.zeros((N, H)))
    for t in range(T):
        x = F.embedding(idx(tokens[:, t]), E)
        z = tg.cat([x, h], 1) @ W + b
        i, f, o, g = z[:, :H].sigmoid(), z[:, H:2 * H].sigmoid(), z[:, 2 * H:3 * H].sigmoid(), z[:, 3 * H:].tanh()
        m = const(mask[:, t:t + 1])
        c_new = f * c + i * g
        h_new = o * c_new.tanh()
        c = m * c_new + (1 - m) * c
        h = m * h_new + (1 - m) * h
    loss = F.cross_entropy((h * const(drop)) @ Wy + by, idx(labels))
    leaves = dict(E=E, W=W, b=b, Wy=Wy, by=by)

    def backward(mistake=None):
        E_, W_, b_, Wy_, by_ = (p.numpy().copy() for p in leaves.values())
        # forward
        h, c = np.zeros((N, H)), np.zeros((N, H))
        caches = []
        for t in range(T):
            cache = {"tok": tokens[:, t], "m": mask[:, t:t + 1], "c_prev": c, "h_prev": h}
            cache["xh"] = np.concatenate([E_[tokens[:, t]], h], axis=1)
            z = cache["xh"] @ W_ + b_
            cache["i"], cache["f"], cache["o"] = (sigmoid(z[:, k * H:(k + 1) * H]) for k in range(3))
            cache["g"] = np.tanh(z[:, 3 * H:])
            cache["c_new"] = cache["f"] * c + cache["i"] * cache["g"]
            cache["tc"] = np.tanh(cache["c_new"])
            m = cache["m"]
            h = m * (cache["o"] * cache["tc"]) + (1 - m) * h
            c = m * cache["c_new"] + (1 - m) * c
            caches.append(cache)
        hd = h * drop
        p = softmax(hd @ Wy_ + by_)

        # backward
        grads = {k: np.zeros_like(v.numpy()) for k, v in leaves.items()}
        dlogits = p.copy()
        dlogits[np.arange(N), labels] -= 1
        if mistake != "m1":
            dlogits /= N
        grads["Wy"] = hd.T @ dlogits
        grads["by"] = dlogits.sum(0)
        dh = dlogits @ Wy_.T
        if mistake == "m2":
            pass
        elif mistake == "m3":
            dh = dh * (drop > 0)
        else:
            dh = dh * drop
        dc = np.zeros_like(dh)
        for t in reversed(range(T)):
            k = caches[t]
            m = k["m"]
            if mistake == "m6":
                m = np.ones_like(m)
            if mistake == "m7":
                m = caches[max(t - 1, 0)]["m"]
            dh_copy, dc_copy = (1 - m) * dh, (1 - m) * dc
            dh_new, dc_new = m * dh, m * dc
            do = dh_new * k["tc"]
            if mistake == "m10":
                dc_new = dh_new * k["o"] * (1 - k["tc"] ** 2)
            elif mistake == "m11":
                dc_new = dc_new + dh_new * k["o"] * (1 - k["c_new"] ** 2)
            else:
                dc_new = dc_new + dh_new * k["o"] * (1 - k["tc"] ** 2)
            di = dc_new * k["g"]
            dg = dc_new * k["i"]
            df = dc_new * (k["c_new"] if mistake == "m9" else k["c_prev"])
            di = di * k["i"] * (1 - k["i"])
            df = df * k["f"] * (1 - k["f"])
            do = do * k["o"] * (1 - k["o"])
            dg = dg * (1 - k["g"] ** 2)
            if mistake == "m12":
                dz = np.concatenate([di, df, dg, do], axis=1)
            else:
                dz = np.concatenate([di, df, do, dg], axis=1)
            grads["W"] += k["xh"].T @ dz
            if mistake == "m13":
                grads["b"] = dz.sum(0)
            else:
                grads["b"] += dz.sum(0)
            dxh = dz @ W_.T
            if mistake == "m8":
                grads["E"][k["tok"]] += dxh[:, :D]
            else:
                np.add.at(grads["E"], k["tok"], dxh[:, :D])
            dh = dxh[:, :H] if mistake == "m5" else dxh[:, D:]
            if mistake != "m4":
                dh = dh + dh_copy
            dc = dc_new * k["f"] + dc_copy
        return grads

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 2. Translator: GRU encoder, RNN decoder with the context at every step, teacher forcing.  Style: one flat script.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["translator"] = {
    "m1": "The context goes into every decoder step, but dctx is assigned, not summed, so only one step's gradient is left.",
    "m2": "The context vector's gradient never goes back to the encoder; only the initial decoder state's does.",
    "m3": "Forgot the tanh derivative in the bridge from the encoder's last state to the decoder's first.",
    "m4": "Treated the decoder's initial state as a constant for the encoder: only the context's gradient goes back.",
    "m5": "Target embedding rows get the gradient at the expected output words instead of the words that were fed in.",
    "m6": "Did not zero the logit gradient at padded target positions.",
    "m7": "Divided by batch size times target length instead of by the number of real target words.",
    "m8": "The decoder's state gradient comes only from the logits; the part from the next decoder step was left out.",
    "m9": "Sign of the update gate's gradient: (candidate - previous) though the forward is (1-z)*n + z*h.",
    "m10": "Left out the direct path z*h from the previous encoder state.",
    "m11": "In the candidate's path back to the previous state forgot to multiply by the reset gate.",
    "m12": "The reset gate's gradient uses the new state instead of the previous state.",
    "m13": "The candidate's recurrent weight gradient uses h_prev instead of r * h_prev.",
}


@network
def translator(seed):
    rng = np.random.default_rng(seed + 100)
    N, S, T, D, H, VS, VT = 3, 5, 5, 3, 4, 7, 6
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.7)
    Es, Et = w(VS, D), w(VT, D)
    Wz, Uz, bz = w(D, H), w(H, H), w(H)
    Wr, Ur, br = w(D, H), w(H, H), w(H)
    Wn, Un, bn = w(D, H), w(H, H), w(H)
    B, bb = w(H, H), w(H)
    Wd, Ud, Cd, bd = w(D, H), w(H, H), w(H, H), w(H)
    Vo, bo = w(H, VT), w(VT)
    leaves = dict(Es=Es, Et=Et, Wz=Wz, Uz=Uz, bz=bz, Wr=Wr, Ur=Ur, br=br, Wn=Wn, Un=Un, bn=bn, B=B, bb=bb,
                  Wd=Wd, Ud=Ud, Cd=Cd, bd=bd, Vo=Vo, bo=bo)
    src = rng.integers(0, VS, size=(S, N))
    out = rng.integers(1, VT, size=(T, N))
    real = np.ones((T, N))
    real[4:, 1] = 0
    real[3:, 2] = 0
    out = (out * real).astype(int)
    fed = np.concatenate([np.ones((1, N), int), out[:-1]])  # 1 is <bos>, 0 is padding
    count = real.sum()

    h = const(np.zeros((N, H)))
    for t in range(S):
        x = F.embedding(idx(src[t]), Es)
        z = (x @ Wz + h @ Uz + bz).sigmoid()
        r = (x @ Wr + h @ Ur + br).sigmoid()
        n = (x @ Wn + (r * h) @ Un + bn).tanh()
        h = (1 - z) * n + z * h
    ctx = h
    s = (ctx @ B + bb).tanh()
    total = 0.0
    for t in range(T):
        s = (F.embedding(idx(fed[t]), Et) @ Wd + s @ Ud + ctx @ Cd + bd).tanh()
        logp = F.log_softmax(s @ Vo + bo, -1)
        total = total - (logp * const(np.eye(VT)[out[t]] * real[t][:, None])).sum()
    loss = total / float(count)

    def backward(mistake=None):
        p = {k: v.numpy().copy() for k, v in leaves.items()}
        # ---- encoder
        hs, zs, rs, ns, xs = [np.zeros((N, H))], [], [], [], []
        for t in range(S):
            x = p["Es"][src[t]]
            z = sigmoid(x @ p["Wz"] + hs[-1] @ p["Uz"] + p["bz"])
            r = sigmoid(x @ p["Wr"] + hs[-1] @ p["Ur"] + p["br"])
            n = np.tanh(x @ p["Wn"] + (r * hs[-1]) @ p["Un"] + p["bn"])
            hs.append((1 - z) * n + z * hs[-1])
            xs.append(x); zs.append(z); rs.append(r); ns.append(n)
        ctx = hs[-1]
        # ---- decoder
        ss, es, probs = [np.tanh(ctx @ p["B"] + p["bb"])], [], []
        for t in range(T):
            es.append(p["Et"][fed[t]])
            ss.append(np.tanh(es[-1] @ p["Wd"] + ss[-1] @ p["Ud"] + ctx @ p["Cd"] + p["bd"]))
            probs.append(softmax(ss[-1] @ p["Vo"] + p["bo"]))
        # ---- decoder, backwards
        g = {k: np.zeros_like(v) for k, v in p.items()}
        ds_next = np.zeros((N, H))
        dctx = np.zeros((N, H))
        for t in range(T - 1, -1, -1):
            dl = probs[t] - np.eye(VT)[out[t]]
            if mistake != "m6":
                dl = dl * real[t][:, None]
            dl = dl / (N * T if mistake == "m7" else count)
            g["Vo"] += ss[t + 1].T @ dl
            g["bo"] += dl.sum(0)
            ds = dl @ p["Vo"].T
            if mistake != "m8":
                ds = ds + ds_next
            da = ds * (1 - ss[t + 1] ** 2)
            g["Wd"] += es[t].T @ da
            g["Ud"] += ss[t].T @ da
            g["Cd"] += ctx.T @ da
            g["bd"] += da.sum(0)
            np.add.at(g["Et"], out[t] if mistake == "m5" else fed[t], da @ p["Wd"].T)
            if mistake == "m1":
                dctx = da @ p["Cd"].T
            else:
                dctx = dctx + da @ p["Cd"].T
            ds_next = da @ p["Ud"].T
        # ---- bridge
        dbr = ds_next if mistake == "m3" else ds_next * (1 - ss[0] ** 2)
        g["B"] = ctx.T @ dbr
        g["bb"] = dbr.sum(0)
        dh = dbr @ p["B"].T
        if mistake == "m2":
            pass
        elif mistake == "m4":
            dh = dctx
        else:
            dh = dh + dctx
        # ---- encoder, backwards
        for t in range(S - 1, -1, -1):
            x, z, r, n, hp = xs[t], zs[t], rs[t], ns[t], hs[t]
            dz = dh * (n - hp) if mistake == "m9" else dh * (hp - n)
            dn = dh * (1 - z)
            dhp = np.zeros_like(dh) if mistake == "m10" else dh * z
            dan = dn * (1 - n ** 2)
            drh = dan @ p["Un"].T
            dr = drh * (hs[t + 1] if mistake == "m12" else hp)
            dhp = dhp + (drh if mistake == "m11" else drh * r)
            daz = dz * z * (1 - z)
            dar = dr * r * (1 - r)
            dhp = dhp + daz @ p["Uz"].T + dar @ p["Ur"].T
            g["Wz"] += x.T @ daz; g["Uz"] += hp.T @ daz; g["bz"] += daz.sum(0)
            g["Wr"] += x.T @ dar; g["Ur"] += hp.T @ dar; g["br"] += dar.sum(0)
            g["Wn"] += x.T @ dan; g["bn"] += dan.sum(0)
            g["Un"] += (hp if mistake == "m13" else r * hp).T @ dan
            np.add.at(g["Es"], src[t], daz @ p["Wz"].T + dar @ p["Wr"].T + dan @ p["Wn"].T)
            dh = dhp
        return g

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 3. Minimal gated unit with layer norm inside the cell, learned first state.  Style: step_forward and step_backward.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["layernorm_mgu"] = {
    "m1": "Layer norm backward as if mean and standard deviation were constants.",
    "m2": "Layer norm backward without the term through the mean.",
    "m3": "Layer norm backward without the term through the variance.",
    "m4": "Layer norm backward divides by the variance instead of the standard deviation.",
    "m5": "Layer norm backward forgot to multiply by the gain.",
    "m6": "The gain's gradient is taken with the values before normalizing instead of the normalized ones.",
    "m7": "Layer norm backward averages over the batch axis instead of the feature axis.",
    "m8": "The gate also multiplies the state inside the candidate; its gradient from there was forgotten.",
    "m9": "The gate's gradient in h = (1-f)*h + f*n has only the n part; the minus h_prev was forgotten.",
    "m10": "Direct path to the previous state multiplied by f instead of (1-f).",
    "m11": "The step's cache holds the new h where the backward expects h_prev (h was updated before saving).",
    "m12": "Factor 2 of the squared error forgotten.",
    "m13": "Returned as the initial state's gradient the dh that arrived in the first step, not the one it passed on.",
}


@network
def layernorm_mgu(seed):
    rng = np.random.default_rng(seed + 200)
    N, T, D, H, K, eps = 3, 5, 3, 5, 2, 1e-5
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.8)
    Wf, Uf, Wn, Un = w(D, H), w(H, H), w(D, H), w(H, H)
    gf, gn = leaf(1 + 0.3 * rng.normal(size=H)), leaf(1 + 0.3 * rng.normal(size=H))
    bf, bn = w(H), w(H)
    Vy, by, h0 = w(H, K), w(K), w(N, H)
    leaves = dict(Wf=Wf, Uf=Uf, gf=gf, bf=bf, Wn=Wn, Un=Un, gn=gn, bn=bn, Vy=Vy, by=by, h0=h0)
    X, Y = rng.normal(size=(T, N, D)), rng.normal(size=(T, N, K))

    h, ys = h0, []
    for t in range(T):
        x = const(X[t])
        f = F.layer_norm(x @ Wf + h @ Uf, (H,), gf, bf, eps).sigmoid()
        n = F.layer_norm(x @ Wn + (f * h) @ Un, (H,), gn, bn, eps).tanh()
        h = (1 - f) * h + f * n
        ys.append(h @ Vy + by)
    loss = ((tg.stack(ys, 0) - const(Y)) ** 2).mean()

    def backward(mistake=None):
        P = {k: v.numpy().copy() for k, v in leaves.items()}

        def ln_forward(a, gain, bias):
            mu, var = a.mean(1, keepdims=True), a.var(1, keepdims=True)
            std = np.sqrt(var + eps)
            xhat = (a - mu) / std
            return gain * xhat + bias, (a, xhat, std, gain)

        def ln_backward(dy, cache):
            a, xhat, std, gain = cache
            dbias = dy.sum(0)
            dgain = (dy * (a if mistake == "m6" else xhat)).sum(0)
            dxhat = dy if mistake == "m5" else dy * gain
            axis = 0 if mistake == "m7" else 1
            mean = dxhat.mean(axis, keepdims=True)
            proj = xhat * (dxhat * xhat).mean(axis, keepdims=True)
            if mistake == "m1":
                da = dxhat / std
            elif mistake == "m2":
                da = (dxhat - proj) / std
            elif mistake == "m3":
                da = (dxhat - mean) / std
            elif mistake == "m4":
                da = (dxhat - mean - proj) / std ** 2
            else:
                da = (dxhat - mean - proj) / std
            return da, dgain, dbias

        def step_forward(x, h_prev):
            yf, lf = ln_forward(x @ P["Wf"] + h_prev @ P["Uf"], P["gf"], P["bf"])
            f = sigmoid(yf)
            yn, ln = ln_forward(x @ P["Wn"] + (f * h_prev) @ P["Un"], P["gn"], P["bn"])
            n = np.tanh(yn)
            h = (1 - f) * h_prev + f * n
            return h, (x, h if mistake == "m11" else h_prev, f, n, lf, ln)

        def step_backward(dh, cache, G):
            x, h_prev, f, n, lf, ln = cache
            df = dh * n if mistake == "m9" else dh * (n - h_prev)
            dh_prev = dh * (f if mistake == "m10" else 1 - f)
            dan, dgain, dbias = ln_backward(dh * f * (1 - n ** 2), ln)
            G["gn"] += dgain
            G["bn"] += dbias
            G["Wn"] += x.T @ dan
            G["Un"] += (f * h_prev).T @ dan
            dfh = dan @ P["Un"].T
            if mistake != "m8":
                df = df + dfh * h_prev
            dh_prev = dh_prev + dfh * f
            daf, dgain, dbias = ln_backward(df * f * (1 - f), lf)
            G["gf"] += dgain
            G["bf"] += dbias
            G["Wf"] += x.T @ daf
            G["Uf"] += h_prev.T @ daf
            return dh_prev + daf @ P["Uf"].T

        h, hs, caches = P["h0"], [], []
        for t in range(T):
            h, cache = step_forward(X[t], h)
            hs.append(h)
            caches.append(cache)
        G = {k: np.zeros_like(v) for k, v in P.items()}
        dh = np.zeros((N, H))
        for t in reversed(range(T)):
            err = hs[t] @ P["Vy"] + P["by"] - Y[t]
            dy = err / Y.size if mistake == "m12" else 2 * err / Y.size
            G["Vy"] += hs[t].T @ dy
            G["by"] += dy.sum(0)
            dh_in = dh + dy @ P["Vy"].T
            dh = step_backward(dh_in, caches[t], G)
        G["h0"] = dh_in if mistake == "m13" else dh
        return G

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 4. Tagger: bidirectional RNN over one shared embedding, label smoothing.  Style: einsum, weights (out, in).
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["bi_tagger"] = {
    "m1": "The right-to-left RNN is also walked back from the last step to the first, so its gradient runs the wrong way.",
    "m2": "The right-to-left recurrent weight gradient is paired with the state at t-1 instead of t+1.",
    "m3": "Split the concatenated state's gradient the wrong way round: first half to the right-to-left RNN.",
    "m4": "The shared embedding only gets the left-to-right RNN's gradient.",
    "m5": "dE[tok[t]] += dx with repeated words in one step: only one of them counts.",
    "m6": "Forgot label smoothing in the gradient: used the hard one-hot target.",
    "m7": "Divided by batch size times length, though the loss is summed over time and averaged over the batch only.",
    "m8": "Multiplied the softmax-cross-entropy gradient by p*(1-p) again.",
    "m9": "Derivative of tanh taken as 1 - tanh(h)**2 of the already squashed state.",
    "m10": "The left-to-right state gradient goes through the recurrent matrix in the wrong orientation (missing transpose).",
    "m11": "The left-to-right recurrent weight gradient is transposed (einsum letters swapped).",
    "m12": "The right-to-left RNN has no recurrent gradient: dh_next isn't carried over.",
    "m13": "Copy-paste: the right-to-left bias gradient sums the left-to-right RNN's pre-activation gradients.",
}


@network
def bi_tagger(seed):
    rng = np.random.default_rng(seed + 300)
    N, T, D, H, V, C, smooth = 3, 6, 3, 4, 7, 4, 0.1
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.6)
    E = leaf(rng.normal(size=(V, D)))
    Wf, Uf, bf, Wb, Ub, bb = w(H, D), w(H, H), w(H), w(H, D), w(H, H), w(H)
    Vo, bo = w(C, 2 * H), w(C)
    leaves = dict(E=E, Wf=Wf, Uf=Uf, bf=bf, Wb=Wb, Ub=Ub, bb=bb, Vo=Vo, bo=bo)
    tok = rng.integers(0, V, size=(T, N))
    tok[2, 1] = tok[2, 0]
    tags = rng.integers(0, C, size=(T, N))
    target = (1 - smooth) * np.eye(C)[tags] + smooth / C

    xs = [F.embedding(idx(tok[t]), E) for t in range(T)]
    h, left = const(np.zeros((N, H))), []
    for t in range(T):
        h = (xs[t] @ Wf.T + h @ Uf.T + bf).tanh()
        left.append(h)
    h, right = const(np.zeros((N, H))), [None] * T
    for t in reversed(range(T)):
        h = (xs[t] @ Wb.T + h @ Ub.T + bb).tanh()
        right[t] = h
    both = tg.cat([tg.stack(left, 0), tg.stack(right, 0)], 2)
    loss = -(F.log_softmax(both @ Vo.T + bo, -1) * const(target)).sum() / N

    def backward(mistake=None):
        E_, Wf_, Uf_, bf_, Wb_, Ub_, bb_, Vo_, bo_ = (v.numpy().copy() for v in leaves.values())
        x = E_[tok]
        hf, hb = np.zeros((T + 2, N, H)), np.zeros((T + 2, N, H))  # row t + 1 is step t
        for t in range(T):
            hf[t + 1] = np.tanh(np.einsum("nd,hd->nh", x[t], Wf_) + np.einsum("nk,hk->nh", hf[t], Uf_) + bf_)
        for t in reversed(range(T)):
            hb[t + 1] = np.tanh(np.einsum("nd,hd->nh", x[t], Wb_) + np.einsum("nk,hk->nh", hb[t + 2], Ub_) + bb_)
        both = np.concatenate([hf[1:-1], hb[1:-1]], axis=2)
        p = softmax(np.einsum("tnh,ch->tnc", both, Vo_) + bo_)

        dlogits = p - (np.eye(C)[tags] if mistake == "m6" else target)
        if mistake == "m8":
            dlogits = dlogits * p * (1 - p)
        dlogits = dlogits / (N * T if mistake == "m7" else N)
        dVo = np.einsum("tnc,tnh->ch", dlogits, both)
        dbo = np.einsum("tnc->c", dlogits)
        dboth = np.einsum("tnc,ch->tnh", dlogits, Vo_)
        if mistake == "m3":
            dhb, dhf = dboth[..., :H], dboth[..., H:]
        else:
            dhf, dhb = dboth[..., :H], dboth[..., H:]

        def slope(h):
            return 1 - np.tanh(h) ** 2 if mistake == "m9" else 1 - h ** 2

        daf, dab = np.zeros((T, N, H)), np.zeros((T, N, H))
        dnext = np.zeros((N, H))
        for t in reversed(range(T)):
            daf[t] = (dhf[t] + dnext) * slope(hf[t + 1])
            dnext = np.einsum("nh,kh->nk" if mistake == "m10" else "nh,hk->nk", daf[t], Uf_)
        dnext = np.zeros((N, H))
        order = reversed(range(T)) if mistake == "m1" else range(T)
        for t in order:
            if mistake == "m12":
                dab[t] = dhb[t] * slope(hb[t + 1])
            else:
                dab[t] = (dhb[t] + dnext) * slope(hb[t + 1])
            dnext = np.einsum("nh,hk->nk", dab[t], Ub_)
        dWf = np.einsum("tnh,tnd->hd", daf, x)
        dUf = np.einsum("tnh,tnk->kh" if mistake == "m11" else "tnh,tnk->hk", daf, hf[:T])
        dWb = np.einsum("tnh,tnd->hd", dab, x)
        dUb = np.einsum("tnh,tnk->hk", dab, hb[:T] if mistake == "m2" else hb[2:])
        dbf = np.einsum("tnh->h", daf)
        dbb = np.einsum("tnh->h", daf if mistake == "m13" else dab)
        dx = np.einsum("tnh,hd->tnd", daf, Wf_)
        if mistake != "m4":
            dx = dx + np.einsum("tnh,hd->tnd", dab, Wb_)
        dE = np.zeros_like(E_)
        for t in range(T):
            if mistake == "m5":
                dE[tok[t]] += dx[t]
            else:
                np.add.at(dE, tok[t], dx[t])
        return dict(E=dE, Wf=dWf, Uf=dUf, bf=dbf, Wb=dWb, Ub=dUb, bb=dbb, Vo=dVo, bo=dbo)

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 5. Fraud detector: LSTM with coupled gates (i = 1 - f) and attention pooling, BCE.  Style: a list of tuples.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["coupled_attention"] = {
    "m1": "Attention softmax backward as alpha * dalpha, without subtracting the weighted sum.",
    "m2": "Attention weights treated as constants: nothing goes back through the scores.",
    "m3": "The states only get gradient through the scores, not through the weighted sum itself.",
    "m4": "Forgot the tanh derivative in the attention scores.",
    "m5": "Coupled gates: the gradient of f has only dc * c_prev, the part from i = 1 - f was left out.",
    "m6": "Coupled gates: the part from i = 1 - f was added with plus instead of minus.",
    "m7": "The candidate's gradient is multiplied by f instead of by 1 - f.",
    "m8": "Forgot the sigmoid derivative for the output gate.",
    "m9": "The cell gradient is passed on with 1 - f instead of f.",
    "m10": "BCE gradient with the sign turned round: y - p.",
    "m11": "In the loop dh is only the attention's share; the recurrent part from the next step isn't added.",
    "m12": "Recurrent weight gradients use h_t instead of h_{t-1}.",
    "m13": "The forward pass put the new c in the tuple where c_prev should have been saved.",
}


@network
def coupled_attention(seed):
    rng = np.random.default_rng(seed + 400)
    N, T, D, H, K = 4, 6, 3, 4, 3
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.8)
    Wf, Uf, bf, Wo, Uo, bo, Wg, Ug, bg = w(D, H), w(H, H), w(H), w(D, H), w(H, H), w(H), w(D, H), w(H, H), w(H)
    A, v, q, q0 = w(H, K), w(K), w(H), w()
    leaves = dict(Wf=Wf, Uf=Uf, bf=bf, Wo=Wo, Uo=Uo, bo=bo, Wg=Wg, Ug=Ug, bg=bg, A=A, v=v, q=q, q0=q0)
    X = rng.normal(size=(T, N, D))
    y = rng.integers(0, 2, size=N).astype(float)
    lengths = np.array([6, 4, 5, 3])
    hide = np.where(np.arange(T)[:, None] < lengths, 0.0, -1e9)

    h, c, hs = const(np.zeros((N, H))), const(np.zeros((N, H))), []
    for t in range(T):
        x = const(X[t])
        f = (x @ Wf + h @ Uf + bf).sigmoid()
        o = (x @ Wo + h @ Uo + bo).sigmoid()
        g = (x @ Wg + h @ Ug + bg).tanh()
        c = f * c + (1 - f) * g
        h = o * c.tanh()
        hs.append(h)
    states = tg.stack(hs, 0)
    alpha = F.softmax((states @ A).tanh() @ v + const(hide), 0)
    pooled = (alpha.unsqueeze(2) * states).sum(0)
    loss = F.binary_cross_entropy_with_logits(pooled @ q + q0, const(y))

    def backward(mistake=None):
        p = {k: u.numpy().copy() for k, u in leaves.items()}
        h, c, saved, hs = np.zeros((N, H)), np.zeros((N, H)), [], []
        for t in range(T):
            f = sigmoid(X[t] @ p["Wf"] + h @ p["Uf"] + p["bf"])
            o = sigmoid(X[t] @ p["Wo"] + h @ p["Uo"] + p["bo"])
            g = np.tanh(X[t] @ p["Wg"] + h @ p["Ug"] + p["bg"])
            c_new = f * c + (1 - f) * g
            tc = np.tanh(c_new)
            saved.append((X[t], h, c_new if mistake == "m13" else c, f, o, g, tc))
            h, c = o * tc, c_new
            hs.append(h)
        hs = np.array(hs)
        e = np.tanh(hs @ p["A"])
        alpha = softmax(e @ p["v"] + hide, 0)
        pooled = (alpha[:, :, None] * hs).sum(0)
        prob = sigmoid(pooled @ p["q"] + p["q0"])

        G = {k: np.zeros_like(u) for k, u in p.items()}
        dlogit = (y - prob) / N if mistake == "m10" else (prob - y) / N
        G["q"] = pooled.T @ dlogit
        G["q0"] = dlogit.sum()
        dpool = np.outer(dlogit, p["q"])
        dalpha = (hs * dpool).sum(2)
        dhs = np.zeros_like(hs) if mistake == "m3" else alpha[:, :, None] * dpool
        if mistake == "m1":
            dscore = alpha * dalpha
        else:
            dscore = alpha * (dalpha - (alpha * dalpha).sum(0))
        if mistake == "m2":
            dscore = np.zeros_like(dscore)
        G["v"] = np.einsum("tn,tnk->k", dscore, e)
        de = dscore[:, :, None] * p["v"]
        if mistake != "m4":
            de = de * (1 - e ** 2)
        G["A"] = np.einsum("tnh,tnk->hk", hs, de)
        dhs = dhs + de @ p["A"].T

        dh_next, dc_next = np.zeros((N, H)), np.zeros((N, H))
        for t in range(T)[::-1]:
            x, h_prev, c_prev, f, o, g, tc = saved[t]
            dh = dhs[t] if mistake == "m11" else dhs[t] + dh_next
            dc = dc_next + dh * o * (1 - tc ** 2)
            do = dh * tc
            if mistake == "m5":
                df = dc * c_prev
            elif mistake == "m6":
                df = dc * (c_prev + g)
            else:
                df = dc * (c_prev - g)
            dg = dc * (f if mistake == "m7" else 1 - f)
            df = df * f * (1 - f)
            if mistake != "m8":
                do = do * o * (1 - o)
            dg = dg * (1 - g ** 2)
            left = hs[t] if mistake == "m12" else h_prev
            for name, d in (("f", df), ("o", do), ("g", dg)):
                G["W" + name] += x.T @ d
                G["U" + name] += left.T @ d
                G["b" + name] += d.sum(0)
            dh_next = df @ p["Uf"].T + do @ p["Uo"].T + dg @ p["Ug"].T
            dc_next = dc * (1 - f if mistake == "m9" else f)
        return G

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 6. Power load: residual stack of two RNNs, Huber loss after a warm-up, weight decay.  Style: classes.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["residual_load"] = {
    "m1": "Residual connection: the gradient along the skip was forgotten.",
    "m2": "Residual connection: only the skip's gradient goes down, the RNN's own input gradient was forgotten.",
    "m3": "Weight decay forgotten on the recurrent matrices.",
    "m4": "The decay term is lam*sum(W**2), but I added lam*W instead of 2*lam*W.",
    "m5": "Weight decay was added to the biases too.",
    "m6": "Weight decay is added inside the time loop of the RNN layer, once per step.",
    "m7": "Huber loss treated as plain squared error: the clipping of the error was forgotten.",
    "m8": "The warm-up steps do not count in the loss, but the backward pass gives them gradient too.",
    "m9": "The learned initial state is shared by the batch; I took the mean over the batch instead of the sum.",
    "m10": "dh_next was not reset between the layers: the lower layer starts with what was left from the upper one.",
    "m11": "The backward pass cuts dh_next every 3 steps (truncation), though the forward carries the state on.",
    "m12": "Recurrent weight gradient uses this step's state instead of the previous one.",
    "m13": "The tanh derivative is taken of the block's output (input + h) instead of h.",
}


@network
def residual_load(seed):
    rng = np.random.default_rng(seed + 500)
    N, T, D, H, warm, lam, delta = 3, 7, 2, 4, 3, 0.02, 0.5
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.5)
    leaves = dict(P=w(D, H), p=w(H), W1=w(H, H), U1=w(H, H), b1=w(H), h1=w(H),
                  W2=w(H, H), U2=w(H, H), b2=w(H), h2=w(H), Q=w(H, 1), q=w(1))
    decayed = ("P", "W1", "U1", "W2", "U2", "Q")
    X, Y = rng.normal(size=(T, N, D)), rng.normal(size=(T, N, 1)) * 1.5

    y = const(X) @ leaves["P"] + leaves["p"]
    for l in "12":
        h = leaves["h" + l].unsqueeze(0).expand(N, H)
        hs = []
        for t in range(T):
            h = (y[t] @ leaves["W" + l] + h @ leaves["U" + l] + leaves["b" + l]).tanh()
            hs.append(h)
        y = y + tg.stack(hs, 0)
    predicted = y @ leaves["Q"] + leaves["q"]
    loss = F.huber_loss(predicted[warm:], const(Y[warm:]), delta=delta)
    for k in decayed:
        loss = loss + lam * (leaves[k] ** 2).sum()

    def backward(mistake=None):
        P = {k: u.numpy().copy() for k, u in leaves.items()}
        factor = lam if mistake == "m4" else 2 * lam

        class Dense:
            def __init__(self, W, b):
                self.W, self.b = P[W], P[b]
                self.names = W, b

            def forward(self, x):
                self.x = x
                return x @ self.W + self.b

            def backward(self, dy, grads):
                W, b = self.names
                grads[W] = np.einsum("tni,tno->io", self.x, dy)
                grads[b] = dy.sum((0, 1))
                return dy @ self.W.T

        class Recurrent:
            left_over = None

            def __init__(self, l):
                self.l = l
                self.W, self.U, self.b, self.h0 = (P[k + l] for k in "WUbh")

            def forward(self, x):
                self.x, self.h = x, [np.tile(self.h0, (N, 1))]
                for t in range(T):
                    self.h.append(np.tanh(x[t] @ self.W + self.h[-1] @ self.U + self.b))
                return np.array(self.h[1:])

            def backward(self, dout, grads):
                dW, dU, db = np.zeros_like(self.W), np.zeros_like(self.U), np.zeros_like(self.b)
                dx = np.zeros_like(self.x)
                dh_next = np.zeros((N, H))
                if mistake == "m10" and Recurrent.left_over is not None:
                    dh_next = Recurrent.left_over
                for t in reversed(range(T)):
                    h = self.h[t + 1]
                    if mistake == "m13":
                        da = (dout[t] + dh_next) * (1 - (self.x[t] + h) ** 2)
                    else:
                        da = (dout[t] + dh_next) * (1 - h ** 2)
                    dW += self.x[t].T @ da
                    dU += (h if mistake == "m12" else self.h[t]).T @ da
                    if mistake == "m6":
                        dW += factor * self.W
                        dU += factor * self.U
                    db += da.sum(0)
                    dx[t] = da @ self.W.T
                    dh_next = da @ self.U.T
                    if mistake == "m11" and t % 3 == 0 and t > 0:
                        dh_next = np.zeros((N, H))
                Recurrent.left_over = dh_next
                grads["h" + self.l] = dh_next.mean(0) if mistake == "m9" else dh_next.sum(0)
                grads["W" + self.l], grads["U" + self.l], grads["b" + self.l] = dW, dU, db
                return dx

        class Residual:
            def __init__(self, inner):
                self.inner = inner

            def forward(self, x):
                return x + self.inner.forward(x)

            def backward(self, dy, grads):
                dx = self.inner.backward(dy, grads)
                if mistake == "m1":
                    return dx
                if mistake == "m2":
                    return dy
                return dx + dy

        layers = [Dense("P", "p"), Residual(Recurrent("1")), Residual(Recurrent("2")), Dense("Q", "q")]
        y = X
        for layer in layers:
            y = layer.forward(y)
        error = y - Y
        dy = error if mistake == "m7" else np.clip(error, -delta, delta)
        dy = dy / Y[warm:].size
        # F.huber_loss: 0.5*e**2 inside, delta*(|e| - delta/2) outside
        if mistake != "m8":
            dy[:warm] = 0
        grads = {}
        for layer in reversed(layers):
            dy = layer.backward(dy, grads)
        for k in decayed:
            if mistake == "m3" and k in ("U1", "U2"):
                continue
            if mistake == "m6" and k[0] in "WU":
                continue  # already there
            grads[k] = grads[k] + factor * P[k]
        if mistake == "m5":
            for k in ("p", "b1", "b2", "q"):
                grads[k] = grads[k] + factor * P[k]
        return grads

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 7. Character model: multiplicative RNN, one embedding for input and output.  Style: column vectors, one sequence.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["tied_mrnn"] = {
    "m1": "Tied embedding: only the gradient as output matrix, the one as input lookup was forgotten.",
    "m2": "Tied embedding: only the gradient as input lookup, the one as output matrix was forgotten.",
    "m3": "The looked-up column's gradient is assigned (=), wiping what was there from other steps and the output.",
    "m4": "The logits are scaled by 1/sqrt(D), the backward pass forgot the scale.",
    "m5": "Product m = (Wmx x)*(Wmh h): the x factor's gradient was multiplied by itself instead of by the h factor.",
    "m6": "Product m = (Wmx x)*(Wmh h): the h factor's gradient was not multiplied by the x factor.",
    "m7": "The input's gradient through the multiplicative factor was forgotten.",
    "m8": "The input's gradient through the additive Whx was forgotten.",
    "m9": "dWhm uses the previous state h instead of the intermediate m.",
    "m10": "The loss is the mean over the steps; forgot 1/T in the backward pass.",
    "m11": "Off by one: the target of a step is taken as its own input character instead of the next one.",
    "m12": "Forgot to subtract 1 at the target in the softmax gradient.",
    "m13": "Left the elementwise clipping of dh in the loop, as for training.",
}


@network
def tied_mrnn(seed):
    rng = np.random.default_rng(seed + 600)
    T, D, H, V = 7, 3, 4, 6
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.8)
    E = leaf(rng.normal(size=(D, V)))
    leaves = dict(E=E, Wmx=w(H, D), Wmh=w(H, H), Whm=w(H, H), Whx=w(H, D), b=w(H, 1), P=w(D, H), by=w(V, 1), h0=w(H, 1))
    text = rng.integers(0, V, size=T + 1)
    text[3] = text[1]  # a character comes back
    text[T] = (text[0] + 1) % V
    Wmx, Wmh, Whm, Whx, b, P, by, h = (leaves[k] for k in ("Wmx", "Wmh", "Whm", "Whx", "b", "P", "by", "h0"))
    total = 0.0
    for t in range(T):
        x = E[:, int(text[t])].reshape(D, 1)
        m = (Wmx @ x) * (Wmh @ h)
        h = (Whm @ m + Whx @ x + b).tanh()
        logits = E.T @ (P @ h) / D ** 0.5 + by
        total = total - F.log_softmax(logits, 0)[int(text[t + 1]), 0]
    loss = total / T

    def backward(mistake=None):
        E, Wmx, Wmh, Whm, Whx, b, P, by, h0 = (u.numpy().copy() for u in leaves.values())
        x, u, s, m, q, p, h = {}, {}, {}, {}, {}, {}, {-1: h0}
        for t in range(T):
            x[t] = E[:, [text[t]]]
            u[t] = Wmx @ x[t]
            s[t] = Wmh @ h[t - 1]
            m[t] = u[t] * s[t]
            h[t] = np.tanh(Whm @ m[t] + Whx @ x[t] + b)
            q[t] = P @ h[t]
            p[t] = softmax(E.T @ q[t] / np.sqrt(D) + by, 0)

        dE, dWmx, dWmh, dWhm, dWhx = (np.zeros_like(a) for a in (E, Wmx, Wmh, Whm, Whx))
        db, dP, dby = np.zeros_like(b), np.zeros_like(P), np.zeros_like(by)
        dhnext = np.zeros_like(h0)
        for t in reversed(range(T)):
            dy = p[t].copy()
            if mistake == "m11":
                dy[text[t]] -= 1
            elif mistake != "m12":
                dy[text[t + 1]] -= 1
            if mistake != "m10":
                dy /= T
            dby += dy
            dscores = dy if mistake == "m4" else dy / np.sqrt(D)
            if mistake != "m2":
                dE += q[t] @ dscores.T
            dq = E @ dscores
            dP += dq @ h[t].T
            dh = P.T @ dq + dhnext
            if mistake == "m13":
                dh = np.clip(dh, -0.05, 0.05)
            da = dh * (1 - h[t] * h[t])
            db += da
            dWhx += da @ x[t].T
            dWhm += da @ (h[t - 1] if mistake == "m9" else m[t]).T
            dm = Whm.T @ da
            du = dm * (u[t] if mistake == "m5" else s[t])
            ds = dm if mistake == "m6" else dm * u[t]
            dWmx += du @ x[t].T
            dWmh += ds @ h[t - 1].T
            dx = np.zeros_like(x[t])
            if mistake != "m8":
                dx += Whx.T @ da
            if mistake != "m7":
                dx += Wmx.T @ du
            if mistake == "m3":
                dE[:, [text[t]]] = dx
            elif mistake != "m1":
                dE[:, [text[t]]] += dx
            dhnext = Wmh.T @ ds
        return dict(E=dE, Wmx=dWmx, Wmh=dWmh, Whm=dWhm, Whx=dWhx, b=db, P=dP, by=dby, h0=dhnext)

    return loss, leaves, backward


# ---------------------------------------------------------------------------------------------------------------------
# 8. Intensive care: GRU with decay for missing values (GRU-D), reset after the product.  Style: stacked gates r, z, n.
# ---------------------------------------------------------------------------------------------------------------------
WRITTEN["grud_vitals"] = {
    "m1": "The state is decayed before the cell; the gradient passed to the previous state wasn't multiplied by the decay.",
    "m2": "The decay's gradient is taken with the decayed state instead of the state before the decay.",
    "m3": "Derivative of exp(-a) without the minus sign.",
    "m4": "Forgot the ReLU inside the state's decay: gradient also goes where its argument was negative.",
    "m5": "The input decay's gradient uses only the last value, not last value minus mean.",
    "m6": "The imputed input only stands where the value is missing; the (1 - mask) was forgotten in the backward pass.",
    "m7": "The recurrent candidate part is multiplied by r, but the gradient to it was not.",
    "m8": "The reset gate's gradient uses the input part of the candidate instead of the recurrent part.",
    "m9": "The recurrent weight gradient uses the state before decay instead of the decayed one.",
    "m10": "The recurrent bias got the same gradient as the input bias (copied), but the candidate's part has an r in it.",
    "m11": "Put the gate gradients together as z, r, n though the columns are r, z, n.",
    "m12": "Used the sigmoid derivative n*(1-n) for the tanh candidate.",
    "m13": "The squared error is only for observed values, but the mask was forgotten in its gradient.",
}


@network
def grud_vitals(seed):
    rng = np.random.default_rng(seed + 700)
    N, T, D, H = 3, 6, 3, 4
    w = lambda *shape: leaf(rng.normal(size=shape) * 0.7)
    leaves = dict(W=w(D, 3 * H), U=w(H, 3 * H), b=w(3 * H), c=w(3 * H),
                  wx=leaf(0.3 + 0.1 * rng.random(D)), bx=leaf(0.1 * rng.random(D)),
                  Wd=leaf(rng.normal(size=(D, H)) * 0.3), bd=leaf(0.1 * rng.normal(size=H)),
                  Vo=w(H, D), bo=w(D))
    X = rng.normal(size=(T + 1, N, D))
    M = (rng.random((T + 1, N, D)) < 0.6).astype(float)
    mean = rng.normal(size=D) * 0.3
    last, gap = np.zeros((T, N, D)), np.zeros((T, N, D))
    for t in range(1, T):
        last[t] = np.where(M[t - 1] > 0, X[t - 1], last[t - 1])
        gap[t] = 1 + np.where(M[t - 1] > 0, 0, gap[t - 1])
    count = M[1:].sum()

    W, U, b, c, wx, bx, Wd, bd, Vo, bo = leaves.values()
    h, total = const(np.zeros((N, H))), 0.0
    for t in range(T):
        d, m = const(gap[t]), const(M[t])
        gx = (-(d * wx + bx).relu()).exp()
        gh = (-(d @ Wd + bd).relu()).exp()
        x = m * const(X[t]) + (1 - m) * (gx * const(last[t]) + (1 - gx) * const(mean))
        h = gh * h
        A, B = x @ W + b, h @ U + c
        r = (A[:, :H] + B[:, :H]).sigmoid()
        z = (A[:, H:2 * H] + B[:, H:2 * H]).sigmoid()
        n = (A[:, 2 * H:] + r * B[:, 2 * H:]).tanh()
        h = (1 - z) * n + z * h
        total = total + (const(M[t + 1]) * (h @ Vo + bo - const(X[t + 1])) ** 2).sum()
    loss = total / float(count)

    def backward(mistake=None):
        W, U, b, c, wx, bx, Wd, bd, Vo, bo = (u.numpy().copy() for u in leaves.values())
        h, tape = np.zeros((N, H)), []
        for t in range(T):
            ax, ah = gap[t] * wx + bx, gap[t] @ Wd + bd
            gx, gh = np.exp(-np.maximum(ax, 0)), np.exp(-np.maximum(ah, 0))
            x = M[t] * X[t] + (1 - M[t]) * (gx * last[t] + (1 - gx) * mean)
            hd = gh * h
            A, B = x @ W + b, hd @ U + c
            rz = sigmoid(A[:, :2 * H] + B[:, :2 * H])
            r, z = rz[:, :H], rz[:, H:]
            n = np.tanh(A[:, 2 * H:] + r * B[:, 2 * H:])
            h_new = (1 - z) * n + z * hd
            tape.append([ax, ah, gx, gh, x, h, hd, A, B, r, z, n, h_new])
            h = h_new

        dW, dU, db, dc, dwx, dbx, dWd, dbd, dVo, dbo = (np.zeros_like(u) for u in (W, U, b, c, wx, bx, Wd, bd, Vo, bo))
        dh = np.zeros((N, H))
        for t in reversed(range(T)):
            ax, ah, gx, gh, x, h_prev, hd, A, B, r, z, n, h_new = tape[t]
            dp = 2 * (h_new @ Vo + bo - X[t + 1]) / count
            if mistake != "m13":
                dp = dp * M[t + 1]
            dVo += h_new.T @ dp
            dbo += dp.sum(0)
            dh = dh + dp @ Vo.T
            dz = dh * (hd - n) * z * (1 - z)
            dn = dh * (1 - z) * (n * (1 - n) if mistake == "m12" else 1 - n ** 2)
            if mistake == "m8":
                dr = dn * A[:, 2 * H:] * r * (1 - r)
            else:
                dr = dn * B[:, 2 * H:] * r * (1 - r)
            first, second = (dz, dr) if mistake == "m11" else (dr, dz)
            dA = np.hstack([first, second, dn])
            dB = np.hstack([first, second, dn if mistake == "m7" else dn * r])
            dW += x.T @ dA
            db += dA.sum(0)
            dU += (h_prev if mistake == "m9" else hd).T @ dB
            dc += (dA if mistake == "m10" else dB).sum(0)
            dhd = dh * z + dB @ U.T
            dgh = dhd * (hd if mistake == "m2" else h_prev)
            dx = dA @ W.T
            if mistake != "m6":
                dx = dx * (1 - M[t])
            dgx = dx * (last[t] if mistake == "m5" else last[t] - mean)
            sign = 1 if mistake == "m3" else -1
            dah = sign * gh * dgh
            dax = sign * gx * dgx * (ax > 0)
            if mistake != "m4":
                dah = dah * (ah > 0)
            dwx += (dax * gap[t]).sum(0)
            dbx += dax.sum(0)
            dWd += gap[t].T @ dah
            dbd += dah.sum(0)
            dh = dhd if mistake == "m1" else dhd * gh
        return dict(W=dW, U=dU, b=db, c=dc, wx=dwx, bx=dbx, Wd=dWd, bd=dbd, Vo=dVo, bo=dbo)

    return loss, leaves, backward


STYLES = tuple(NETWORKS)


def loss_of(style):
    """The network's loss, from fresh leaves."""
    loss, leaves, _ = NETWORKS[style](0)
    for name, each in leaves.items():
        each.name = name
    return loss


def gradients(style, mistake=None, _also=None):
    """The gradients by hand, by name, with a mistake or without."""
    return NETWORKS[style](0)[2](mistake)


SAYS = {
    "sentiment_lstm": {
        "m1": "Every gradient is multiplied by 4, the size of the batch.",
        "m2": "Once, what h receives from h ⊙ m lacks the factor m.",
        "m3": "Once, what h receives from h ⊙ m is multiplied by 3/4: divided by 4 instead of 3.",
        "m4": "At every step, what h receives from (1 − m) ⊙ h of the next step is missing.",
        "m5": "At every step, what h receives from [x⁽¹⁾, h] of the next step is cut out from place 0 on, not from 3.",
        "m6": "At every step, every rule of its own step that needs m takes m to be 1: the mask is ignored.",
        "m7": "At every step, every rule of its own step that needs m uses m, number 2 of the step before.",
        "m8": "At every step, what E receives from x⁽¹⁾ counts a row that is looked up twice only once.",
        "m9": "At every step, what f receives from f ⊙ c uses c_new where c belongs.",
        "m10": "At every step, what c receives from f ⊙ c of the next step is missing.",
        "m11": "At every step, at tanh(c_new) the derivative of tanh is taken to be 1 − x² of the value before it.",
        "m12": "Once, the gradients before o and g are exchanged.",
        "m13": "At every step but the first, what b receives from z is missing, as with = instead of +=.",
    },
    "translator": {
        "m1": "At every step but the first, what h receives from h @ Cd is missing.",
        "m2": "At every step, what h receives from h @ Cd is missing.",
        "m3": "Once, at s the derivative of tanh is taken to be 1: it is forgotten.",
        "m4": "Once, what h receives from h @ B is missing.",
        "m5": "At every step, what Et receives from x uses the ones in h where the right ones belong.",
        "m6": "At every step, the mask of the loss is forgotten: rows of logp count that it leaves out, with the targets 0, 0, 0.",
        "m7": "At every step, what (s @ Vo) + bo receives from logp is multiplied by 4/5: divided by 5 instead of 4.",
        "m8": "At every step but the first, what s receives from s @ Ud of the next step is missing.",
        "m9": "At every step, what … + bz in z receives from z is of the wrong sign.",
        "m10": "At every step, what h receives from z ⊙ h of the next step is missing.",
        "m11": "At every step, what h receives from r ⊙ h of the next step lacks the factor r.",
        "m12": "At every step, what r receives from r ⊙ h uses h of the step after.",
        "m13": "At every step, what Un receives from (r ⊙ h) @ Un uses h of the step before where r ⊙ h belongs.",
    },
    "layernorm_mgu": {
        "m1": "Everywhere alike: at every step, what sum((x @ Wf) + (h @ Uf)) receives from … / 5 in f is missing. So too at the sum in f, the sum in n.",
        "m2": "Everywhere alike: at every step, what (x @ Wf) + (h @ Uf) receives from sum((x @ Wf) + (h @ Uf)) is missing. So too at (x @ Wn) + ((f ⊙ h) @ Un).",
        "m3": "Everywhere alike: at every step, what the mul in f receives from the sum in f is missing. So too at the mul in n.",
        "m4": "Everywhere alike: at every step, what … − (… / 5) in f receives from (… − (… / 5)) / … in f, by all ways, is (g - y * mean(g * y)) / s / s instead of (g - y * mean(g * y)) / s. So too at … − (… / 5) in n.",
        "m5": "Everywhere alike: at every step, what (… − (… / 5)) / … in f receives from … ⊙ gf in f lacks the factor gf. So too at (… − (… / 5)) / … in n.",
        "m6": "Everywhere alike: at every step, what gf receives from … ⊙ gf in f uses (x @ Wf) + (h @ Uf) where (… − (… / 5)) / … in f belongs. So too at gn.",
        "m7": "Everywhere alike: at every step, what (x @ Wf) + (h @ Uf) receives from (… − (… / 5)) / … in f, by all ways, is (g - mean(g) - y * mean(g * y)) / s, along axis 0, not 1. So too at (x @ Wn) + ((f ⊙ h) @ Un).",
        "m8": "At every step, what f receives from f ⊙ h is missing.",
        "m9": "At every step, what f receives from 1 − f is missing.",
        "m10": "At every step, what h receives from (1 − f) ⊙ h of the next step has the factor 1 − (1 − f) instead of it.",
        "m11": "At every step, the saved h has become that of the step after, where the next step reads it, also in what is computed from it once more.",
        "m12": "Every gradient is halved (2 is the size of a dimension).",
        "m13": "h0 was given the gradient of (1 − f) ⊙ h of step 1.",
    },
    "bi_tagger": {
        "m1": "The time steps are visited in forward order: h← receives the carry of the step before instead of the step after.",
        "m2": "At every step, what Ubᵀ receives from h← @ Ubᵀ uses h← of two steps after, 0 at the last where h← belongs.",
        "m3": "Once, all h← and all h← receive each other's part of both.",
        "m4": "At every step, what xs receives from xs @ Wbᵀ is missing.",
        "m5": "At every step, what E receives from xs counts a row that is looked up twice only once.",
        "m6": "Once, what the log_softmax in loss receives from … ⊙ target in loss uses target with 1 where it is largest and 0 elsewhere, as without smoothing.",
        "m7": "Once, what the log_softmax in loss receives from … ⊙ target in loss is divided by 6, the number of time steps or the size of a dimension.",
        "m8": "Once, what (both @ Voᵀ) + bo receives from the log_softmax in loss is (g - exp(y) * sum(g)) * exp(y) * (1 - exp(y)) instead of g - exp(y) * sum(g).",
        "m9": "Everywhere alike: at every step, at h→ the derivative of tanh is taken to be tanh'(y), of the result instead of the value before it. So too at h←.",
        "m10": "At every step, what h→ receives from h→ @ Ufᵀ of the next step uses Ufᵀ transposed.",
        "m11": "The gradient of Uf is transposed.",
        "m12": "At every step, what h← receives from h← @ Ubᵀ of the next step is missing.",
        "m13": "bb was given the gradient of bf.",
    },
    "coupled_attention": {
        "m1": "Once, what (… @ v) + x in alpha receives from alpha is y * g instead of y * (g - sum(g * y)).",
        "m2": "Once, what … @ v in alpha receives from (… @ v) + x in alpha is missing.",
        "m3": "Once, what states receives from (reshaped alpha) ⊙ states is missing.",
        "m4": "Once, at tanh(states @ A) the derivative of tanh is taken to be 1: it is forgotten.",
        "m5": "At every step, what f receives from 1 − f is missing.",
        "m6": "At every step, what f receives from 1 − f is of the wrong sign.",
        "m7": "At every step, what g receives from (1 − f) ⊙ g has the factor 1 − (1 − f) instead of it.",
        "m8": "At every step, at o the derivative of sigmoid is taken to be 1: it is forgotten.",
        "m9": "At every step, what c receives from f ⊙ c of the next step has the factor 1 − f instead of it.",
        "m10": "Once, what the add in loss receives from softplus((pooled @ q) + q0) is of the wrong sign.",
        "m11": "At every step, all that h receives from the step after it is missing.",
        "m12": "At every step, the saved h has become that of the step after.",
        "m13": "At every step, what f receives from f ⊙ c uses c of the step after.",
    },
    "residual_load": {
        "m1": "Everywhere alike: once, what (X @ P) + p receives from y is missing. So too at y.",
        "m2": "Everywhere alike: at every step, what (X @ P) + p receives from ((X @ P) + p)[6] is missing. So too at y.",
        "m3": "Everywhere alike: once, what U1 receives from U1^2 is missing. So too at U2.",
        "m4": "The gradient of P, W1, U1, W2, U2, Q has -0.02 times the value itself in it too, as of a penalty.",
        "m5": "The gradient of p, b1, b2, q has +0.04 times the value itself in it too, as of a penalty.",
        "m6": "The gradient of W1, U1, W2, U2 has +0.24 times the value itself in it too, as of a penalty.",
        "m7": "Once, what the abs in loss receives from the where in loss is not masked: it is also sent where the other value was chosen.",
        "m8": "predicted receives a gradient where predicted[3:] leaves it out, too: as if all of it counted.",
        "m9": "Everywhere alike: once, what h1 receives from reshaped h1 is divided by 3, the size of the batch.",
        "m10": "The gradient that is carried for h⁽¹⁾ was not set to zero before the loop: it starts from the gradient of h⁽²⁾.",
        "m11": "Every 3 steps (steps 1, 4, 7 of 7), all that h⁽¹⁾, h⁽²⁾, the abs in loss and 0.5 ⊙ … in loss receive from the step after it is missing.",
        "m12": "Everywhere alike: at every step, what U1 receives from h⁽¹⁾ @ U1 uses h⁽¹⁾ of the step after. So too at U2.",
        "m13": "Everywhere alike: at every step, at h⁽¹⁾ the derivative of tanh uses y. So too at h⁽²⁾.",
    },
    "tied_mrnn": {
        "m1": "At every step, what E receives from E[:, 0] is missing.",
        "m2": "At every step, what E receives from Eᵀ is missing.",
        "m3": "At every step, what E receives from E[:, 0] is written over what its row had received from all others, not added to it.",
        "m4": "At every step, what Eᵀ @ (P @ h) receives from logits, by all ways, is that gradient as it is: the derivative is forgotten.",
        "m5": "At every step, what Wmx @ x receives from m is what Wmh @ h should receive.",
        "m6": "At every step, what Wmh @ h receives from m lacks the factor Wmx @ x.",
        "m7": "At every step, what x receives from Wmx @ x is missing.",
        "m8": "At every step, what x receives from Whx @ x is missing.",
        "m9": "At every step, what Whm receives from Whm @ m uses h of the step before where m belongs.",
        "m10": "At every step, what logits receives from log_softmax(logits) is multiplied by 7, the number of time steps.",
        "m11": "At every step, what log_softmax(logits) receives from loss uses the number in E[:, 0] where the right ones belong.",
        "m12": "At every step, what logits receives from log_softmax(logits) is -(exp(y) * sum(g)) instead of g - exp(y) * sum(g).",
        "m13": "At every step, the gradient of h is clipped to ±0.05.",
    },
    "grud_vitals": {
        "m1": "At every step, what h receives from gh ⊙ h of the next step lacks the factor gh.",
        "m2": "At every step, at gh the derivative of exp is taken to be y².",
        "m3": "Everywhere alike: at every step, what relu((d ⊙ wx) + bx) receives from neg(relu((d ⊙ wx) + bx)) comes from the gradient before relu((d ⊙ wx) + bx). So too at relu((d @ Wd) + bd).",
        "m4": "At every step, at relu((d @ Wd) + bd) the derivative of relu is taken to be 1: it is forgotten.",
        "m5": "At every step, what gx receives from 1 − gx is missing.",
        "m6": "At every step, what (gx ⊙ last[t]) + … in x⁽⁶⁾ receives from (1 − m) ⊙ … in x⁽⁶⁾ lacks the factor 1 − m.",
        "m7": "At every step, what B[:, 8:] receives from r ⊙ B[:, 8:] lacks the factor r.",
        "m8": "At every step, what r receives from r ⊙ B[:, 8:] uses A[:, 8:] where B[:, 8:] belongs.",
        "m9": "At every step, what U receives from (gh ⊙ h) @ U uses h of the step before where gh ⊙ h belongs.",
        "m10": "c was given the gradient of b.",
        "m11": "Once, the gradients before r and z are exchanged.",
        "m12": "At every step, at n the derivative of tanh is taken to be σ' (y(1 − y)).",
        "m13": "At every step, what the pow in loss receives from M[t + 1] ⊙ … in loss lacks the factor M[t + 1].",
    },
}

MISTAKES = [
    (style, mistake, "", text, SAYS.get(style, {}).get(mistake, ""))
    for style, written in WRITTEN.items()
    for mistake, text in written.items()
]
