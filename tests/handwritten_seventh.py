# ruff: noqa: E501, RUF059 -- texts and what is said of them stay on one line; a mistake may need what is unused
"""Seven networks by another who had not seen the search, and mistakes in their backward passes.

A character model whose table is used three times; an LSTM with peepholes, a clipped cell and a projected state; a masked
encoder and decoder with attention; minimal gated units in both directions; a selective state-space layer channel by
channel; normalized layers with zoneout and penalties; a mixture density on a GRU, cut into chunks. Of each mistake: the
text, what was written, what it is, and what the diagnosis says of it (nothing where no single edit is found).
"""

import numpy as np
from frame_of_handwritten import Network, Networks, const, leaves_of, sigmoid

import tinygrad_rnn as tg

NETWORKS = Networks()


F = tg.nn.functional


# ----------------------------------------------------------------------------------------------------------------------
# 1. a character model whose table is used three times: this character, the one before (mixed in), and the readout
# ----------------------------------------------------------------------------------------------------------------------


def char_program(p, text, target, smooth):
    w = leaves_of(p)
    scale = w["E"].shape[1] ** 0.5
    h, scores = w["h0"], []
    for t in tg.steps(len(text)):
        x = scale * w["E"][text[t]]
        if t > 0:
            x = x + w["mix"] * w["E"][text[t - 1]]
        h = tg.tanh(w["Wxh"] @ x + w["Whh"] @ h + w["bh"])
        scores.append(w["E"] @ (w["Who"] @ h) + w["by"])
    return F.cross_entropy(tg.stack(scores), target, label_smoothing=smooth), w


def char_loss_fun(p, text, target, smooth):
    E, Wxh, Whh, Who = p["E"], p["Wxh"], p["Whh"], p["Who"]
    mix, bh, by = (p[k].reshape(-1, 1) for k in ("mix", "bh", "by"))
    V, D = E.shape
    T = len(text)
    scale = np.sqrt(D)
    xs, hs, os, ps = {}, {}, {}, {}
    hs[-1] = p["h0"].reshape(-1, 1)
    for t in range(T):
        xs[t] = scale * E[text[t]].reshape(-1, 1)
        if t > 0:
            xs[t] += mix * E[text[t - 1]].reshape(-1, 1)
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        os[t] = Who @ hs[t]
        y = E @ os[t] + by
        ps[t] = np.exp(y - y.max())
        ps[t] /= ps[t].sum()

    dE, dWxh, dWhh, dWho = np.zeros_like(E), np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Who)
    dmix, dbh, dby = np.zeros_like(mix), np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(bh)
    for t in reversed(range(T)):
        dy = np.copy(ps[t])
        dy -= smooth / V
        dy[target[t]] -= 1 - smooth
        dy /= T
        dby += dy
        dE += dy @ os[t].T
        do = E.T @ dy
        dWho += do @ hs[t].T
        dh = Who.T @ do + dhnext
        draw = (1 - hs[t] * hs[t]) * dh
        dbh += draw
        dWxh += draw @ xs[t].T
        dWhh += draw @ hs[t - 1].T
        dx = Wxh.T @ draw
        dE[text[t]] += scale * dx[:, 0]
        if t > 0:
            dmix += dx * E[text[t - 1]].reshape(-1, 1)
            dE[text[t - 1]] += (mix * dx)[:, 0]
        dhnext = Whh.T @ draw
    return {
        "E": dE,
        "mix": dmix[:, 0],
        "Wxh": dWxh,
        "Whh": dWhh,
        "bh": dbh[:, 0],
        "Who": dWho,
        "by": dby[:, 0],
        "h0": dhnext[:, 0],
    }


def _char():
    r = np.random.default_rng(71)
    V, D, H = 6, 3, 4

    def n(*s):
        return 0.6 * r.standard_normal(s)

    params = {
        "E": n(V, D),
        "mix": n(D),
        "Wxh": n(H, D),
        "Whh": n(H, H),
        "bh": n(H),
        "Who": n(D, H),
        "by": n(V),
        "h0": n(H),
    }
    text = np.array([2, 4, 4, 1, 2])
    return params, {"text": text, "target": np.array([4, 4, 1, 2, 5]), "smooth": 0.1}


NETWORKS["char_tied"] = Network(*_char(), char_program, [char_loss_fun])


# ----------------------------------------------------------------------------------------------------------------------
# 2. an LSTM with peepholes, a clipped cell and a projected state (Sak et al. 2014), in cs231n's style of steps and caches
# ----------------------------------------------------------------------------------------------------------------------


def lstmp_program(p, x, target, clip):
    w = leaves_of(p)
    x = const(x)
    batch = x.shape[1]
    r, c = w["r0"].broadcast_to((batch, w["r0"].shape[0])), w["c0"].broadcast_to((batch, w["c0"].shape[0]))
    outputs = []
    for t in tg.steps(len(x)):
        ai, af, ag, ao = (x[t] @ w["Wx"] + r @ w["Wh"] + w["b"]).chunk(4, -1)
        i = tg.sigmoid(ai + w["pi"] * c)
        f = tg.sigmoid(af + w["pf"] * c + 1.0)
        c = tg.clip(f * c + i * tg.tanh(ag), -clip, clip)
        o = tg.sigmoid(ao + w["po"] * c)
        r = (o * tg.tanh(c)) @ w["Wr"]
        outputs.append(r @ w["Wy"])
    return F.mse_loss(tg.stack(outputs), const(target)), w


def lstmp_step_forward(x, prev_r, prev_c, p, clip):
    ai, af, ag, ao = np.split(x @ p["Wx"] + prev_r @ p["Wh"] + p["b"], 4, axis=1)
    i = sigmoid(ai + p["pi"] * prev_c)
    f = sigmoid(af + p["pf"] * prev_c + 1.0)
    g = np.tanh(ag)
    raw = f * prev_c + i * g
    c = np.clip(raw, -clip, clip)
    o = sigmoid(ao + p["po"] * c)
    tc = np.tanh(c)
    m = o * tc
    return m @ p["Wr"], c, (x, prev_r, prev_c, i, f, g, o, raw, c, tc, m)


def lstmp_step_backward(dr, dnext_c, cache, p, clip):
    x, prev_r, prev_c, i, f, g, o, raw, c, tc, m = cache
    grads = {"Wr": m.T @ dr}
    dm = dr @ p["Wr"].T
    dao = dm * tc * o * (1 - o)
    dc = dnext_c + dm * o * (1 - tc**2) + dao * p["po"]
    dc = dc * (np.abs(raw) < clip)
    dai = dc * g * i * (1 - i)
    daf = dc * prev_c * f * (1 - f)
    dag = dc * i * (1 - g**2)
    da = np.hstack((dai, daf, dag, dao))
    grads["Wx"] = x.T @ da
    grads["Wh"] = prev_r.T @ da
    grads["b"] = da.sum(axis=0)
    grads["pi"] = (dai * prev_c).sum(axis=0)
    grads["pf"] = (daf * prev_c).sum(axis=0)
    grads["po"] = (dao * c).sum(axis=0)
    dprev_c = dc * f + dai * p["pi"] + daf * p["pf"]
    dprev_r = da @ p["Wh"].T
    return dprev_r, dprev_c, grads


def lstmp_train_step(p, x, target, clip):
    T, N, _ = x.shape
    r = np.repeat(p["r0"][None], N, axis=0)
    c = np.repeat(p["c0"][None], N, axis=0)
    rs, caches = [], []
    for t in range(T):
        r, c, cache = lstmp_step_forward(x[t], r, c, p, clip)
        rs.append(r)
        caches.append(cache)
    ys = np.stack(rs) @ p["Wy"]

    total = {k: np.zeros_like(v) for k, v in p.items()}
    dys = 2 * (ys - target) / ys.size
    dr, dc = np.zeros_like(r), np.zeros_like(c)
    for t in range(T - 1, -1, -1):
        total["Wy"] += rs[t].T @ dys[t]
        dr = dr + dys[t] @ p["Wy"].T
        dr, dc, grads = lstmp_step_backward(dr, dc, caches[t], p, clip)
        for k in grads:
            total[k] += grads[k]
    total["r0"] = dr.sum(axis=0)
    total["c0"] = dc.sum(axis=0)
    return total


def _lstmp():
    r = np.random.default_rng(72)
    T, N, D, H, R, O = 5, 3, 2, 4, 3, 2  # noqa: E741

    def n(*s):
        return 0.7 * r.standard_normal(s)

    params = {
        "Wx": n(D, 4 * H),
        "Wh": n(R, 4 * H),
        "b": n(4 * H),
        "pi": n(H),
        "pf": n(H),
        "po": n(H),
        "Wr": n(H, R),
        "Wy": n(R, O),
        "r0": n(R),
        "c0": n(H),
    }
    return params, {"x": n(T, N, D) * 2, "target": n(T, N, O), "clip": 1.2}


NETWORKS["lstm_projected"] = Network(
    *_lstmp(), lstmp_program, [lstmp_step_forward, lstmp_step_backward, lstmp_train_step]
)


# ----------------------------------------------------------------------------------------------------------------------
# 3. translation: a masked encoder, additive attention, a GRU decoder with teacher forcing; a class, einsum
# ----------------------------------------------------------------------------------------------------------------------


def seq2seq_program(p, src, lens, tin, tout):
    w = leaves_of(p)
    batch, ts = src.shape
    inside = np.arange(ts)[None, :] < lens[:, None]
    h, notes = tg.zeros(batch, w["Ue"].shape[0], dtype=tg.float64), []
    with tg.scope("encoder"):
        for j in tg.steps(ts):
            m = const(inside[:, j, None])
            h = m * tg.tanh(w["Es"][src[:, j]] @ w["We"] + h @ w["Ue"] + w["be"]) + (1 - m) * h
            notes.append(h)
    notes = tg.stack(notes, 1)
    keys = notes @ w["Ua"]
    s, scores = tg.tanh(h @ w["Wi"]), []
    with tg.scope("decoder"):
        for t in tg.steps(tin.shape[1]):
            e = tg.tanh(keys + (s @ w["Wa"]).unsqueeze(1)) @ w["va"]
            a = tg.softmax(e.masked_fill(~inside, -np.inf), -1)
            context = tg.einsum("bj,bjh->bh", a, notes)
            x = tg.cat([w["Et"][tin[:, t]], context], 1)
            xr, xz, xn = (x @ w["W"] + w["b"]).chunk(3, 1)
            ur, uz, un = w["U"].chunk(3, 1)
            r, z = tg.sigmoid(xr + s @ ur), tg.sigmoid(xz + s @ uz)
            s = z * s + (1 - z) * tg.tanh(xn + (r * s) @ un)
            scores.append(tg.cat([s, context], 1) @ w["Wo"] + w["bo"])
    scores = tg.stack(scores, 1)
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), tout.reshape(-1), ignore_index=0), w


class Seq2Seq:
    def __init__(self, p, src, lens, tin, tout):
        self.p, self.src, self.tin, self.tout = p, src, tin, tout
        self.B, self.Ts = src.shape
        self.Tt = tin.shape[1]
        self.mask = (np.arange(self.Ts)[None, :] < lens[:, None]).astype(float)
        self.H, self.S = p["Wi"].shape
        self.E = p["Et"].shape[1]
        self.g = {k: np.zeros_like(v) for k, v in p.items()}

    def forward(self):
        p, S = self.p, self.S
        h = np.zeros((self.B, self.H))
        self.h_in, self.cand, self.notes = [], [], np.zeros((self.B, self.Ts, self.H))
        for j in range(self.Ts):
            m = self.mask[:, j, None]
            self.h_in.append(h)
            e = np.tanh(p["Es"][self.src[:, j]] @ p["We"] + h @ p["Ue"] + p["be"])
            self.cand.append(e)
            h = m * e + (1 - m) * h
            self.notes[:, j] = h
        self.h_last = h
        self.keys = np.einsum("bjh,ha->bja", self.notes, p["Ua"])
        s = self.s0 = np.tanh(h @ p["Wi"])
        self.steps = []
        for t in range(self.Tt):
            s_in = s
            th = np.tanh(self.keys + (s_in @ p["Wa"])[:, None, :])
            e = th @ p["va"]
            a = np.exp(e - e.max(1, keepdims=True)) * self.mask
            a /= a.sum(1, keepdims=True)
            ctx = np.einsum("bj,bjh->bh", a, self.notes)
            x = np.concatenate([p["Et"][self.tin[:, t]], ctx], 1)
            ax = x @ p["W"] + p["b"]
            r = sigmoid(ax[:, :S] + s_in @ p["U"][:, :S])
            z = sigmoid(ax[:, S : 2 * S] + s_in @ p["U"][:, S : 2 * S])
            n = np.tanh(ax[:, 2 * S :] + (r * s_in) @ p["U"][:, 2 * S :])
            s = z * s_in + (1 - z) * n
            out = np.concatenate([s, ctx], 1)
            y = out @ p["Wo"] + p["bo"]
            prob = np.exp(y - y.max(1, keepdims=True))
            prob /= prob.sum(1, keepdims=True)
            self.steps.append((s_in, th, a, x, r, z, n, s, out, prob))

    def backward(self):
        p, g, S = self.p, self.g, self.S
        d_notes, d_keys = np.zeros_like(self.notes), np.zeros_like(self.keys)
        ds = np.zeros((self.B, S))
        words = (self.tout != 0).sum()
        for t in reversed(range(self.Tt)):
            s_in, th, a, x, r, z, n, s, out, prob = self.steps[t]
            # readout
            dy = prob.copy()
            dy[np.arange(self.B), self.tout[:, t]] -= 1
            dy *= (self.tout[:, t] != 0)[:, None]
            dy /= words
            g["Wo"] += out.T @ dy
            g["bo"] += dy.sum(0)
            d_out = dy @ p["Wo"].T
            ds = ds + d_out[:, :S]
            d_ctx = d_out[:, S:]
            # GRU
            dz = ds * (s_in - n) * z * (1 - z)
            dn = ds * (1 - z) * (1 - n**2)
            ds_in = ds * z
            d_rs = dn @ p["U"][:, 2 * S :].T
            dr = d_rs * s_in * r * (1 - r)
            ds_in = ds_in + d_rs * r
            g["U"][:, :S] += s_in.T @ dr
            g["U"][:, S : 2 * S] += s_in.T @ dz
            g["U"][:, 2 * S :] += (r * s_in).T @ dn
            ds_in = ds_in + dr @ p["U"][:, :S].T + dz @ p["U"][:, S : 2 * S].T
            da_x = np.concatenate([dr, dz, dn], 1)
            g["W"] += x.T @ da_x
            g["b"] += da_x.sum(0)
            dx = da_x @ p["W"].T
            np.add.at(g["Et"], self.tin[:, t], dx[:, : self.E])
            d_ctx = d_ctx + dx[:, self.E :]
            # attention
            d_notes += np.einsum("bj,bh->bjh", a, d_ctx)
            d_a = np.einsum("bh,bjh->bj", d_ctx, self.notes)
            d_e = a * (d_a - (a * d_a).sum(1, keepdims=True))
            g["va"] += np.einsum("bj,bja->a", d_e, th)
            d_th = d_e[:, :, None] * p["va"] * (1 - th**2)
            d_keys += d_th
            dq = d_th.sum(1)
            g["Wa"] += s_in.T @ dq
            ds_in = ds_in + dq @ p["Wa"].T
            ds = ds_in
        g["Ua"] += np.einsum("bjh,bja->ha", self.notes, d_keys)
        d_notes += np.einsum("bja,ha->bjh", d_keys, p["Ua"])
        # bridge
        ds0 = ds * (1 - self.s0**2)
        g["Wi"] += self.h_last.T @ ds0
        dh = ds0 @ p["Wi"].T
        # encoder
        for j in reversed(range(self.Ts)):
            m = self.mask[:, j, None]
            dh = dh + d_notes[:, j]
            de = dh * m * (1 - self.cand[j] ** 2)
            g["We"] += p["Es"][self.src[:, j]].T @ de
            g["Ue"] += self.h_in[j].T @ de
            g["be"] += de.sum(0)
            np.add.at(g["Es"], self.src[:, j], de @ p["We"].T)
            dh = de @ p["Ue"].T + dh * (1 - m)
        return g


def seq2seq_gradients(p, src, lens, tin, tout):
    model = Seq2Seq(p, src, lens, tin, tout)
    model.forward()
    return model.backward()


def _seq2seq():
    r = np.random.default_rng(73)
    Vs, Vt, D, E, H, S, A = 7, 6, 3, 2, 4, 5, 3

    def n(*s):
        return 0.7 * r.standard_normal(s)

    params = {
        "Es": n(Vs, D),
        "We": n(D, H),
        "Ue": n(H, H),
        "be": n(H),
        "Wi": n(H, S),
        "Wa": n(S, A),
        "Ua": n(H, A),
        "va": 2 * n(A),
        "Et": n(Vt, E),
        "W": n(E + H, 3 * S),
        "U": n(S, 3 * S),
        "b": n(3 * S),
        "Wo": n(S + H, Vt),
        "bo": n(Vt),
    }
    src = np.array([[3, 5, 2, 6, 3], [4, 1, 6, 0, 0], [2, 2, 5, 1, 0]])
    tin = np.array([[1, 4, 2, 3], [1, 5, 3, 0], [1, 2, 0, 0]])
    tout = np.array([[4, 2, 3, 5], [5, 3, 2, 0], [2, 4, 0, 0]])
    return params, {"src": src, "lens": np.array([5, 3, 4]), "tin": tin, "tout": tout}


NETWORKS["seq2seq_attention"] = Network(*_seq2seq(), seq2seq_program, [Seq2Seq, seq2seq_gradients])


# ----------------------------------------------------------------------------------------------------------------------
# 4. a sentence classifier: minimal gated units in both directions, a plain layer on top, padding; one function a layer
# ----------------------------------------------------------------------------------------------------------------------


def bimgu_program(p, ids, lengths, labels):
    w = leaves_of(p)
    B, T = ids.shape
    valid = np.arange(T)[None, :] < lengths[:, None]
    mask = const(valid[:, :, None])
    x = F.embedding(ids, w["E"])

    def direction(d, order):
        h, outputs = w["h0_" + d].broadcast_to((B, w["h0_" + d].shape[0])), [None] * T
        for t in order:
            f = tg.sigmoid(x[:, t] @ w["Wf_" + d] + h @ w["Uf_" + d] + w["bf_" + d])
            new = tg.tanh(x[:, t] @ w["Wh_" + d] + (f * h) @ w["Uh_" + d] + w["bh_" + d])
            h = mask[:, t] * ((1 - f) * h + f * new) + (1 - mask[:, t]) * h
            outputs[t] = mask[:, t] * h
        return tg.stack(outputs, 1)

    with tg.scope("fw"):
        fw = direction("fw", tg.steps(T))
    with tg.scope("bw"):
        bw = direction("bw", reversed(range(T)))
    both = tg.cat([fw, bw], -1)
    y, top = tg.zeros(B, w["U2"].shape[0], dtype=tg.float64), []
    with tg.scope("top"):
        for t in tg.steps(T):
            y = mask[:, t] * tg.tanh(both[:, t] @ w["W2"] + y @ w["U2"] + w["b2"]) + (1 - mask[:, t]) * y
            top.append(mask[:, t] * y)
    top = tg.stack(top, 1)
    mean = top.sum(1) / const(lengths[:, None])
    largest = top.masked_fill(~valid[:, :, None], -np.inf).max(1).values
    return F.cross_entropy(tg.cat([mean, largest, y], 1) @ w["Wc"] + w["bc"], labels), w


def mgu_layer(x, mask, p, d, reverse):
    B, T, _ = x.shape
    h = np.repeat(p["h0_" + d][None], B, 0)
    hs, saved = np.zeros((B, T, h.shape[1])), [None] * T
    for t in range(T)[::-1] if reverse else range(T):
        m = mask[:, t, None]
        f = sigmoid(x[:, t] @ p["Wf_" + d] + h @ p["Uf_" + d] + p["bf_" + d])
        new = np.tanh(x[:, t] @ p["Wh_" + d] + (f * h) @ p["Uh_" + d] + p["bh_" + d])
        saved[t] = (h, f, new)
        h = m * ((1 - f) * h + f * new) + (1 - m) * h
        hs[:, t] = m * h
    return hs, (x, mask, hs, saved)


def mgu_layer_backward(dhs, cache, p, d, reverse, grad):
    x, mask, hs, saved = cache
    _, T, _ = x.shape
    dx = np.zeros_like(x)
    dh = np.zeros_like(hs[:, 0])
    for t in range(T) if reverse else range(T)[::-1]:
        m = mask[:, t, None]
        prev, f, new = saved[t]
        dh = dh + dhs[:, t] * m
        dmix = dh * m
        dskip = dh * (1 - m)
        dnew = dmix * f * (1 - new**2)
        dprev = dmix * (1 - f)
        df = dmix * (new - prev)
        dreset = dnew @ p["Uh_" + d].T
        dprev = dprev + dreset * f
        df = df + dreset * prev
        df = df * f * (1 - f)
        dprev = dprev + df @ p["Uf_" + d].T
        grad["Wh_" + d] += x[:, t].T @ dnew
        grad["Uh_" + d] += (f * prev).T @ dnew
        grad["bh_" + d] += dnew.sum(0)
        grad["Wf_" + d] += x[:, t].T @ df
        grad["Uf_" + d] += prev.T @ df
        grad["bf_" + d] += df.sum(0)
        dx[:, t] = dnew @ p["Wh_" + d].T + df @ p["Wf_" + d].T
        dh = dprev + dskip
    grad["h0_" + d] += dh.sum(0)
    return dx


def top_layer(x, mask, p):
    B, T, _ = x.shape
    y = np.zeros((B, p["U2"].shape[0]))
    ys, saved = np.zeros((B, T, y.shape[1])), []
    for t in range(T):
        m = mask[:, t, None]
        a = np.tanh(x[:, t] @ p["W2"] + y @ p["U2"] + p["b2"])
        saved.append((y, a))
        y = m * a + (1 - m) * y
        ys[:, t] = m * y
    return ys, y, (x, mask, saved)


def top_layer_backward(dys, dlast, cache, p, grad):
    x, mask, saved = cache
    dx, carry = np.zeros_like(x), dlast
    for t in range(x.shape[1])[::-1]:
        m = mask[:, t, None]
        prev, a = saved[t]
        dy = carry + m * dys[:, t]
        dpre = m * dy * (1 - a**2)
        grad["W2"] += x[:, t].T @ dpre
        grad["U2"] += prev.T @ dpre
        grad["b2"] += dpre.sum(0)
        dx[:, t] = dpre @ p["W2"].T
        carry = dpre @ p["U2"].T + (1 - m) * dy
    return dx


def pool(ys, last, mask, lengths):
    where = np.where(mask[:, :, None] > 0, ys, -np.inf).argmax(1)
    largest = np.take_along_axis(ys, where[:, None], 1)[:, 0]
    return np.concatenate([ys.sum(1) / lengths[:, None], largest, last], 1), where


def pool_backward(dfeat, where, shape, lengths):
    B, T, Y = shape
    dmean, dmax, dlast = dfeat[:, :Y], dfeat[:, Y : 2 * Y], dfeat[:, 2 * Y :]
    dys = np.repeat((dmean / lengths[:, None])[:, None], T, 1)
    for b in range(B):
        for k in range(Y):
            dys[b, where[b, k], k] += dmax[b, k]
    return dys, dlast


def bimgu_gradients(p, ids, lengths, labels):
    B, T = ids.shape
    mask = (np.arange(T)[None, :] < lengths[:, None]).astype(float)
    x = p["E"][ids]
    fw, cache_fw = mgu_layer(x, mask, p, "fw", reverse=False)
    bw, cache_bw = mgu_layer(x, mask, p, "bw", reverse=True)
    ys, last, cache_top = top_layer(np.concatenate([fw, bw], 2), mask, p)
    feat, where = pool(ys, last, mask, lengths)
    logits = feat @ p["Wc"] + p["bc"]

    grad = {k: np.zeros_like(v) for k, v in p.items()}
    dlogits = np.exp(logits - logits.max(1, keepdims=True))
    dlogits /= dlogits.sum(1, keepdims=True)
    dlogits[np.arange(B), labels] -= 1
    dlogits /= B
    grad["Wc"] = feat.T @ dlogits
    grad["bc"] = dlogits.sum(0)
    dfeat = dlogits @ p["Wc"].T
    dys, dlast = pool_backward(dfeat, where, ys.shape, lengths)
    dboth = top_layer_backward(dys, dlast, cache_top, p, grad)
    H = fw.shape[2]
    dx = mgu_layer_backward(dboth[:, :, :H], cache_fw, p, "fw", False, grad)
    dx += mgu_layer_backward(dboth[:, :, H:], cache_bw, p, "bw", True, grad)
    np.add.at(grad["E"], ids, dx)
    return grad


def _bimgu():
    r = np.random.default_rng(74)
    V, D, H, Y, C = 8, 2, 3, 4, 3

    def n(*s):
        return 0.8 * r.standard_normal(s)

    params = {"E": 1.5 * n(V, D)}
    for d in ("fw", "bw"):
        params |= {"Wf_" + d: n(D, H), "Uf_" + d: n(H, H), "bf_" + d: n(H)}
        params |= {"Wh_" + d: n(D, H), "Uh_" + d: n(H, H), "bh_" + d: n(H), "h0_" + d: n(H)}
    params |= {"W2": n(2 * H, Y), "U2": n(Y, Y), "b2": n(Y) - 0.5, "Wc": n(3 * Y, C), "bc": n(C)}
    ids = np.array([[3, 1, 7, 2, 3], [5, 6, 0, 0, 0], [4, 2, 2, 5, 0], [1, 4, 6, 0, 0]])
    return params, {"ids": ids, "lengths": np.array([5, 2, 4, 3]), "labels": np.array([2, 0, 1, 1])}


NETWORKS["bimgu_pooled"] = Network(
    *_bimgu(),
    bimgu_program,
    [mgu_layer, mgu_layer_backward, top_layer, top_layer_backward, pool, pool_backward, bimgu_gradients],
)


# ----------------------------------------------------------------------------------------------------------------------
# 5. a selective state space layer (Mamba) with its causal convolution and gate; a port of C loops, channel by channel
# ----------------------------------------------------------------------------------------------------------------------


def mamba_program(p, u, target):
    w = leaves_of(p)
    u = const(u)
    L, (D, K) = u.shape[0], w["conv"].shape
    x, z = (u @ w["Win"].T).chunk(2, -1)
    padded = tg.cat([tg.zeros(K - 1, D, dtype=tg.float64), x])
    A = -tg.exp(w["Alog"])
    h, rows = tg.zeros(D, A.shape[1], dtype=tg.float64), []
    for t in tg.steps(L):
        xa = F.silu((padded[t : t + K] * w["conv"].T).sum(0) + w["cbias"])
        dt = F.softplus(w["Wdt"] @ xa + w["bdt"])
        b, c = w["WB"] @ xa, w["WC"] @ xa
        h = tg.exp(dt[:, None] * A) * h + (dt * xa)[:, None] * b
        rows.append(w["Wout"] @ ((h @ c + w["skip"] * xa) * F.silu(z[t])))
    return F.mse_loss(tg.stack(rows), const(target)), w


def silu_grad(v):
    s = sigmoid(v)
    return s + v * s * (1 - s)


def conv_forward(x, w, bias):
    L, D = x.shape
    K = w.shape[1]
    out = np.zeros((L, D))
    for t in range(L):
        for d in range(D):
            acc = bias[d]
            for k in range(K):
                src = t - (K - 1) + k
                if src >= 0:
                    acc += w[d, k] * x[src, d]
            out[t, d] = acc
    return out


def conv_backward(dout, x, w, gw, gbias):
    L, D = x.shape
    K = w.shape[1]
    dx = np.zeros((L, D))
    for t in range(L):
        for d in range(D):
            gbias[d] += dout[t, d]
            for k in range(K):
                src = t - (K - 1) + k
                if src >= 0:
                    gw[d, k] += dout[t, d] * x[src, d]
                    dx[src, d] += dout[t, d] * w[d, k]
    return dx


def scan_forward(x, dt, A, Bm, Cm, skip):
    L, D = x.shape
    N = A.shape[1]
    h = np.zeros((L + 1, D, N))  # h[0] is the state before the first step
    y = np.zeros((L, D))
    for d in range(D):
        for t in range(L):
            y[t, d] = skip[d] * x[t, d]
            for n in range(N):
                h[t + 1, d, n] = np.exp(dt[t, d] * A[d, n]) * h[t, d, n] + dt[t, d] * Bm[t, n] * x[t, d]
                y[t, d] += Cm[t, n] * h[t + 1, d, n]
    return y, h


def scan_backward(dy, h, x, dt, A, Bm, Cm, skip, gskip):
    L, D = x.shape
    N = A.shape[1]
    dx, ddt, dA, dB, dC = np.zeros_like(x), np.zeros_like(dt), np.zeros_like(A), np.zeros_like(Bm), np.zeros_like(Cm)
    for d in range(D):
        dh = np.zeros(N)
        for t in range(L - 1, -1, -1):
            gskip[d] += dy[t, d] * x[t, d]
            dx[t, d] += dy[t, d] * skip[d]
            for n in range(N):
                dC[t, n] += dy[t, d] * h[t + 1, d, n]
                dh[n] += dy[t, d] * Cm[t, n]
                decay = np.exp(dt[t, d] * A[d, n])
                dlog = dh[n] * h[t, d, n] * decay
                dA[d, n] += dlog * dt[t, d]
                ddt[t, d] += dlog * A[d, n]
                ddt[t, d] += dh[n] * Bm[t, n] * x[t, d]
                dB[t, n] += dh[n] * dt[t, d] * x[t, d]
                dx[t, d] += dh[n] * dt[t, d] * Bm[t, n]
                dh[n] = dh[n] * decay
    return dx, ddt, dA, dB, dC


def mamba_backward(p, u, target):
    D = p["conv"].shape[0]
    xz = u @ p["Win"].T
    x, z = xz[:, :D], xz[:, D:]
    xc = conv_forward(x, p["conv"], p["cbias"])
    xa = xc * sigmoid(xc)
    raw = xa @ p["Wdt"].T + p["bdt"]
    dt = np.log1p(np.exp(raw))
    Bm, Cm = xa @ p["WB"].T, xa @ p["WC"].T
    A = -np.exp(p["Alog"])
    y, h = scan_forward(xa, dt, A, Bm, Cm, p["skip"])
    gate = z * sigmoid(z)
    gated = y * gate
    out = gated @ p["Wout"].T

    g = {k: np.zeros_like(v) for k, v in p.items()}
    dout = 2.0 / out.size * (out - target)
    g["Wout"] = dout.T @ gated
    dgated = dout @ p["Wout"]
    dy = dgated * gate
    dz = dgated * y * silu_grad(z)
    dxa, ddt, dA, dB, dC = scan_backward(dy, h, xa, dt, A, Bm, Cm, p["skip"], g["skip"])
    g["Alog"] = dA * A
    draw = ddt * sigmoid(raw)
    g["Wdt"] = draw.T @ xa
    g["bdt"] = draw.sum(0)
    g["WB"] = dB.T @ xa
    g["WC"] = dC.T @ xa
    dxa += draw @ p["Wdt"] + dB @ p["WB"] + dC @ p["WC"]
    dxc = dxa * silu_grad(xc)
    dx = conv_backward(dxc, x, p["conv"], g["conv"], g["cbias"])
    g["Win"] = np.concatenate([dx, dz], 1).T @ u
    return g


def _mamba():
    r = np.random.default_rng(75)
    L, M, D, N, K, O = 6, 2, 3, 4, 3, 2  # noqa: E741

    def n(*s):
        return 0.6 * r.standard_normal(s)

    params = {
        "Win": n(2 * D, M),
        "conv": n(D, K),
        "cbias": n(D),
        "Wdt": n(D, D),
        "bdt": n(D),
        "WB": n(N, D),
        "WC": n(N, D),
        "Alog": 0.5 * n(D, N),
        "skip": n(D),
        "Wout": n(O, D),
    }
    return params, {"u": 2 * n(L, M), "target": n(L, O)}


NETWORKS["selective_scan"] = Network(
    *_mamba(), mamba_program, [silu_grad, conv_forward, conv_backward, scan_forward, scan_backward, mamba_backward]
)


# ----------------------------------------------------------------------------------------------------------------------
# 6. two layer-normalised layers with a residual around the second, zoneout, locked dropout, AR, TAR and weight decay
# ----------------------------------------------------------------------------------------------------------------------


def lnrnn_program(p, x, target, zone, drop, alpha, beta, decay):
    w = leaves_of(p)
    x, zone, drop = const(x), const(zone), const(drop)
    B, H = x.shape[1], w["U1"].shape[0]
    h = s = tg.zeros(B, H, dtype=tg.float64)
    hs, scores = [], []
    for t in tg.steps(len(x)):
        n1 = F.layer_norm(x[t] @ w["W1"].T + h @ w["U1"].T, H, w["g1"], w["b1"])
        h = zone[t] * h + (1 - zone[t]) * tg.tanh(n1)
        v = h * drop
        n2 = F.layer_norm(v @ w["W2"].T + s @ w["U2"].T, H, w["g2"], w["b2"])
        s = tg.tanh(n2)
        hs.append(s)
        scores.append((v + s) @ w["Wy"].T + w["by"])
    hs, scores = tg.stack(hs), tg.stack(scores)
    loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), target.reshape(-1))
    loss = loss + alpha * hs.square().mean() + beta * (hs[1:] - hs[:-1]).square().mean()
    return loss + decay * (w["U1"].square().sum() + w["U2"].square().sum()), w


def layer_norm(a, γ, β):
    μ = a.mean(-1, keepdims=True)
    σ = np.sqrt(((a - μ) ** 2).mean(-1, keepdims=True) + 1e-5)
    x̂ = (a - μ) / σ
    return γ * x̂ + β, (x̂, σ)


def layer_norm_back(d_n, γ, saved):
    x̂, σ = saved
    d_γ = (d_n * x̂).sum(0)
    d_β = d_n.sum(0)
    d_x̂ = d_n * γ
    d_a = (d_x̂ - d_x̂.mean(-1, keepdims=True) - x̂ * (d_x̂ * x̂).mean(-1, keepdims=True)) / σ
    return d_a, d_γ, d_β


def lnrnn_gradients(p, x, target, zone, drop, alpha, beta, decay):
    T, B, _ = x.shape
    H = p["U1"].shape[0]
    # ---- forward; index t + 1 is the state after step t
    h, s = np.zeros((T + 1, B, H)), np.zeros((T + 1, B, H))
    c, v, y, π, ln1, ln2 = [], [], [], [], [], []
    for t in range(T):
        n1, saved = layer_norm(x[t] @ p["W1"].T + h[t] @ p["U1"].T, p["g1"], p["b1"])
        ln1.append(saved)
        c.append(np.tanh(n1))
        h[t + 1] = zone[t] * h[t] + (1 - zone[t]) * c[t]
        v.append(h[t + 1] * drop)
        n2, saved = layer_norm(v[t] @ p["W2"].T + s[t] @ p["U2"].T, p["g2"], p["b2"])
        ln2.append(saved)
        s[t + 1] = np.tanh(n2)
        y.append(v[t] + s[t + 1])
        logits = y[t] @ p["Wy"].T + p["by"]
        e = np.exp(logits - logits.max(-1, keepdims=True))
        π.append(e / e.sum(-1, keepdims=True))
    # ---- backward
    d = {k: np.zeros_like(value) for k, value in p.items()}
    d_h, d_s = np.zeros((B, H)), np.zeros((B, H))
    for t in range(T - 1, -1, -1):
        d_logits = π[t].copy()
        d_logits[np.arange(B), target[t]] -= 1
        d_logits /= T * B
        d["Wy"] += d_logits.T @ y[t]
        d["by"] += d_logits.sum(0)
        d_y = d_logits @ p["Wy"]
        # second layer, with both regularisers of its output
        d_s = d_s + d_y
        d_s += alpha * 2 * s[t + 1] / (T * B * H)
        if t > 0:
            d_s += beta * 2 * (s[t + 1] - s[t]) / ((T - 1) * B * H)
        if t < T - 1:
            d_s -= beta * 2 * (s[t + 2] - s[t + 1]) / ((T - 1) * B * H)
        d_n2 = d_s * (1 - s[t + 1] ** 2)
        d_a2, d_γ, d_β = layer_norm_back(d_n2, p["g2"], ln2[t])
        d["g2"] += d_γ
        d["b2"] += d_β
        d["W2"] += d_a2.T @ v[t]
        d["U2"] += d_a2.T @ s[t]
        d_s = d_a2 @ p["U2"]
        d_v = d_a2 @ p["W2"] + d_y
        # first layer
        d_h = d_h + d_v * drop
        d_n1 = d_h * (1 - zone[t]) * (1 - c[t] ** 2)
        d_a1, d_γ, d_β = layer_norm_back(d_n1, p["g1"], ln1[t])
        d["g1"] += d_γ
        d["b1"] += d_β
        d["W1"] += d_a1.T @ x[t]
        d["U1"] += d_a1.T @ h[t]
        d_h = d_a1 @ p["U1"] + d_h * zone[t]
    d["U1"] += 2 * decay * p["U1"]
    d["U2"] += 2 * decay * p["U2"]
    return d


def _lnrnn():
    r = np.random.default_rng(76)
    T, B, D, H, C = 4, 3, 2, 5, 3

    def n(*s):
        return 0.7 * r.standard_normal(s)

    params = {
        "W1": n(H, D),
        "U1": n(H, H),
        "g1": 1 + n(H) / 2,
        "b1": n(H) / 2,
        "W2": n(H, H),
        "U2": n(H, H),
        "g2": 1 + n(H) / 2,
        "b2": n(H) / 2,
        "Wy": n(C, H),
        "by": n(C),
    }
    data = {
        "x": 1.5 * n(T, B, D),
        "target": r.integers(0, C, (T, B)),
        "zone": (r.random((T, B, H)) < 0.3).astype(float),
        "drop": (r.random((B, H)) < 0.7) / 0.7,
        "alpha": 0.6,
        "beta": 0.8,
        "decay": 0.05,
    }
    return params, data


NETWORKS["layernorm_zoneout"] = Network(*_lnrnn(), lnrnn_program, [layer_norm, layer_norm_back, lnrnn_gradients])


# ----------------------------------------------------------------------------------------------------------------------
# 7. a mixture density network on a GRU of the cuDNN kind, truncated backpropagation; features by batch (columns)
# ----------------------------------------------------------------------------------------------------------------------


def mdn_program(p, series, extra, chunk):
    w = leaves_of(p)
    T, B = len(series) - 1, series.shape[1]
    h, losses = tg.tanh(w["start"]).unsqueeze(0) * tg.ones(B, 1, dtype=tg.float64), []
    for t in tg.steps(T):
        if t and t % chunk == 0:
            h = h.detach()
        x = const(np.concatenate([series[t][:, None], extra[t]], 1))
        xr, xz, xn = (x @ w["Wi"].T + w["bi"]).chunk(3, -1)
        hr, hz, hn = (h @ w["Wh"].T + w["bh"]).chunk(3, -1)
        r, z = tg.sigmoid(xr + hr), tg.sigmoid(xz + hz)
        h = (1 - z) * tg.tanh(xn + r * hn) + z * h
        pi, mu, log_sigma = (h @ w["Wm"].T + w["bm"]).chunk(3, -1)
        dist = (const(series[t + 1][:, None]) - mu) / tg.exp(log_sigma)
        log_density = -0.5 * dist.square() - log_sigma - 0.5 * np.log(2 * np.pi)
        losses.append(-tg.logsumexp(tg.log_softmax(pi, -1) + log_density, -1))
    return tg.stack(losses).mean(), w


def mdn_bptt(p, series, extra, chunk):
    T, B = len(series) - 1, series.shape[1]
    Wi, Wh, Wm = p["Wi"], p["Wh"], p["Wm"]
    bi, bh, bm = p["bi"][:, None], p["bh"][:, None], p["bm"][:, None]
    H, K = Wh.shape[1], len(Wm) // 3
    R, Z, N = slice(0, H), slice(H, 2 * H), slice(2 * H, 3 * H)

    tape = []
    h = np.tanh(p["start"])[:, None] * np.ones((1, B))
    for t in range(T):
        s = {"x": np.vstack([series[t], extra[t].T]), "h0": h}
        a, b = Wi @ s["x"] + bi, Wh @ h + bh
        s["r"], s["z"] = sigmoid(a[R] + b[R]), sigmoid(a[Z] + b[Z])
        s["b_n"] = b[N]
        s["n"] = np.tanh(a[N] + s["r"] * b[N])
        h = s["h"] = (1 - s["z"]) * s["n"] + s["z"] * h
        out = Wm @ h + bm
        s["pi"] = np.exp(out[:K] - out[:K].max(axis=0))
        s["pi"] /= s["pi"].sum(axis=0)
        s["mu"], s["sigma"] = out[K : 2 * K], np.exp(out[2 * K :])
        density = s["pi"] * np.exp(-0.5 * ((series[t + 1] - s["mu"]) / s["sigma"]) ** 2) / s["sigma"]
        s["gamma"] = density / density.sum(axis=0)
        tape.append(s)

    G = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros((H, B))
    for t in reversed(range(T)):
        s = tape[t]
        gamma, mu, sigma = s["gamma"], s["mu"], s["sigma"]
        dist = (series[t + 1] - mu) / sigma
        d_pi = s["pi"] - gamma
        d_mu = -gamma * dist / sigma
        d_log_sigma = gamma * (1 - dist**2)
        d_out = np.vstack([d_pi, d_mu, d_log_sigma]) / (T * B)
        G["Wm"] += d_out @ s["h"].T
        G["bm"] += d_out.sum(axis=1)
        dh = dh + Wm.T @ d_out

        dz = dh * (s["h0"] - s["n"]) * s["z"] * (1 - s["z"])
        dn = dh * (1 - s["z"]) * (1 - s["n"] ** 2)
        dr = dn * s["b_n"] * s["r"] * (1 - s["r"])
        d_a = np.vstack([dr, dz, dn])
        d_b = np.vstack([dr, dz, dn * s["r"]])
        G["Wi"] += d_a @ s["x"].T
        G["bi"] += d_a.sum(axis=1)
        G["Wh"] += d_b @ s["h0"].T
        G["bh"] += d_b.sum(axis=1)
        dh = Wh.T @ d_b + dh * s["z"]
        if t and t % chunk == 0:
            dh = np.zeros((H, B))
    G["start"] = (dh * (1 - tape[0]["h0"] ** 2)).sum(axis=1)
    return G


def _mdn():
    r = np.random.default_rng(77)
    T, B, D, H, K = 5, 2, 2, 4, 3

    def n(*s):
        return 0.7 * r.standard_normal(s)

    params = {
        "start": n(H),
        "Wi": n(3 * H, 1 + D),
        "Wh": n(3 * H, H),
        "bi": n(3 * H),
        "bh": n(3 * H),
        "Wm": n(3 * K, H),
        "bm": n(3 * K),
    }
    return params, {"series": n(T + 1, B), "extra": n(T, B, D), "chunk": 2}


NETWORKS["gru_mixture"] = Network(*_mdn(), mdn_program, [mdn_bptt])


#: network, what is written, what was written instead, what is wrong, and what the diagnosis says
# fmt: off
MISTAKES = [
    ('char_tied', 'dE[text[t]] += scale * dx[:, 0]', 'dE[text[t]] += dx[:, 0]', 'the scale sqrt(D) of the looked-up row is not applied on the way back to the table', 'At every step, what E receives from E[2] is divided by 1.73205, a number of the forward pass.'),
    ('char_tied', 'dE[text[t]] += scale', 'dE[text[t]] = scale', 'the row of the current character is set instead of added to, which throws away what the row had collected', 'At every step, what E receives from E[2] is written over what its row had received from all others, not added to it.'),
    ('char_tied', '            dE[text[t - 1]] += (mix * dx)[:, 0]\n', '', "the table's second look-up, of the previous character, gets no gradient", 'At every step, what E receives from E_t is missing.'),
    ('char_tied', '        dE += dy @ os[t].T\n', '', 'the table is tied to the readout, but only its use as an embedding is differentiated', 'At every step, what E receives from E @ (Who @ h) is missing.'),
    ('char_tied', ('        dy -= smooth / V\n', 'dy[target[t]] -= 1 - smooth'), ('', 'dy[target[t]] -= 1'), 'the loss has label smoothing, the gradient is that of the plain one-hot target', 'What the where in the loss receives from 0.0166667 ⊙ … in the loss has a factor of its own at every step: 1.111, -0.'),
    ('char_tied', ('dy -= smooth / V\n', 'dy[target[t]] -= 1 - smooth'), ('dy -= smooth / (V - 1)\n', 'dy[target[t]] -= 1 - smooth - smooth / (V - 1)'), 'the smoothed mass is spread over the V-1 other classes in the gradient, over all V in the loss', 'What the where in the loss receives from 0.0166667 ⊙ … in the loss has a factor of its own at every step: 0.9778, 1.2.'),
    ('char_tied', '        dy /= T\n', '', 'the loss is the mean over the characters, its gradient is not divided by their number', 'Once, what the sum in the loss receives from the loss is not divided by the sum in the loss.'),
    ('char_tied', '"h0": dhnext[:, 0]', '"h0": draw[:, 0]', "the gradient of the initial state is read before the transition matrix, at the first step's pre-activation", 'h0 was given the gradient of Wxh @ x of step 1.'),
    ('char_tied', 'dhnext = Whh.T @ draw', 'dhnext = Whh @ draw', 'the gradient is carried back with Whh instead of its transpose', 'At every step, what h receives from Whh @ h of the next step uses Whh transposed.'),
    ('char_tied', ('dE[text[t]] += scale * dx[:, 0]', '    dhnext = np.zeros_like(bh)\n', '    return {'), ('dxs[t] = scale * dx[:, 0]', '    dhnext = np.zeros_like(bh)\n    dxs = np.zeros((T, D))\n', '    dE[text] += dxs\n    return {'), 'the rows of the table are collected and added by fancy indexing at the end, which counts a repeated character once', 'At every step, what E receives from E[2]: a row that is looked up again has only what was written there first: it was overwritten.'),
    ('char_tied', 'dmix += dx * E[text[t - 1]]', 'dmix += dx * E[text[t]]', "the mixing weights' gradient takes the current character's row, not the previous one's", 'At every step, what mix receives from mix ⊙ E_t uses E_t of the step after, of the first at the last.'),
    ('char_tied', 'dhnext = Whh.T @ draw', 'dhnext = np.clip(Whh.T @ draw, -0.05, 0.05)', 'the gradient is clipped in every step while it is carried, not once at the end', 'At every step, what h receives from the step after it is clipped to ±0.05.'),
    ('char_tied', '(mix * dx)[:, 0]', 'dx[:, 0]', 'the row of the previous character gets its gradient as though it had not been multiplied by the mixing weights', 'At every step, what E_t receives from mix ⊙ E_t lacks the factor mix.'),
    ('char_tied', 'dx = Wxh.T @ draw', 'dx = Wxh.T @ dh', "the input's gradient is taken from the gradient behind the tanh, not before it", 'At every step, in what x receives from Wxh @ x the derivative at h is forgotten.'),
    ('lstm_projected', '(dao * c).sum(axis=0)', '(dao * prev_c).sum(axis=0)', "the output gate's peephole looks at the new cell; its weight's gradient is taken with the cell before the step", 'At every step, what po receives from po ⊙ c uses c of the step before.'),
    ('lstm_projected', ' + dao * p["po"]\n', '\n', "the output gate's peephole hands no gradient on to the cell it looks at", 'At every step, what c receives from po ⊙ c is missing.'),
    ('lstm_projected', 'dprev_c = dc * f + dai * p["pi"] + daf * p["pf"]', 'dprev_c = dc * f', 'the peepholes of the input and forget gates hand no gradient on to the cell before', 'At every step, what c receives from pi ⊙ c of the next step and pf ⊙ c of the next step is missing.'),
    ('lstm_projected', '    dc = dc * (np.abs(raw) < clip)\n', '', 'the clipping of the cell is ignored on the way back: gradient also flows where it was cut', 'At every step, what (f ⊙ c) + (i ⊙ tanh(ag)) receives from c, by all ways, is that gradient as it is: the derivative is forgotten.'),
    ('lstm_projected', ('    dc = dc * (np.abs(raw) < clip)\n', 'dc = dnext_c + dm'), ('', 'dc = dnext_c * (np.abs(raw) < clip) + dm'), "only what comes from the next step's cell is stopped by the clip, not what comes from this step's output", 'what c receives from its own step is handed on to (f ⊙ c) + (i ⊙ tanh(ag)) as it is: the derivatives between them are not on it.'),
    ('lstm_projected', '"Wr": m.T @ dr', '"Wr": tc.T @ dr', "the projection's gradient is made with tanh of the cell, without the output gate on it", 'At every step, what Wr receives from r uses tanh(c) where o ⊙ tanh(c) belongs.'),
    ('lstm_projected', 'np.hstack((dai, daf, dag, dao))', 'np.hstack((dai, daf, dao, dag))', "the gates' gradients are stacked in another order (i, f, o, g) than the forward pass splits them", 'At every step, the gradients of the gates tanh(ag) and ao + (po ⊙ c) are exchanged.'),
    ('lstm_projected', 'o * (1 - tc**2)', 'o * (1 - c**2)', 'the derivative of tanh is taken with the cell in place of its tanh', 'At every step, at tanh(c) the derivative of tanh is taken to be 1 − x² of the value before it.'),
    ('lstm_projected', 'dag = dc * i * (1 - g**2)', 'dag = dc * i * g * (1 - g)', "the candidate's tanh is differentiated like a sigmoid", "At every step, at tanh(ag) the derivative of tanh is taken to be σ' (y(1 − y))."),
    ('lstm_projected', 'dr = dr + dys[t] @', 'dr = dys[t] @', "the loss's gradient at a step takes the place of what comes back from the step after, instead of joining it", 'At every step but the first, what r receives from r @ Wh of the next step is missing.'),
    ('lstm_projected', 'dprev_c = dc * f + dai', 'dprev_c = dnext_c * f + dai', "the cell hands on only what it was given by the next step, not what it got through this step's output", 'At every step, what c receives from f ⊙ c of the next step leaves out the part that came from its own step: it was computed before that part was added.'),
    ('lstm_projected', 'grads["b"] = da.sum(axis=0)', 'grads["b"] = da.mean(axis=0)', "the bias's gradient is averaged over the batch, the loss already is", 'At every step, what b receives from … + b in ai is divided by 3, the size of the batch.'),
    ('lstm_projected', '/ ys.size', '/ (T * N)', 'the squared error is the mean over all numbers, its gradient is divided only by steps and batch', 'Once, what the mul in the loss receives from the sum in the loss is summed over axis 2, and each place along it is given that.'),
    ('lstm_projected', 'daf = dc * prev_c * f', 'daf = dc * c * f', 'the forget gate multiplied the cell before the step; its gradient is made with the cell after it', 'At every step, what f receives from f ⊙ c uses c of the step after.'),
    ('lstm_projected', ('total["r0"] = dr.sum(axis=0)', 'total["c0"] = dc.sum(axis=0)'), ('total["r0"] = dr[0]', 'total["c0"] = dc[0]'), 'the gradients of the initial state are those of the first sequence alone, though all share it', 'Everywhere alike: once, what r0 receives from r is not un-broadcast: the first row instead of the sum over the batch. So too at c0.'),
    ('seq2seq_attention', 'd_e = a * (d_a - (a * d_a).sum(1, keepdims=True))', 'd_e = a * (1 - a) * d_a', 'the softmax of the attention is differentiated weight by weight, like a sigmoid', 'At every step, what where(e) receives from a is y * (g - g * y) instead of y * (g - sum(g * y)).'),
    ('seq2seq_attention', 'g["Wa"] += s_in.T @ dq', 'g["Wa"] += s.T @ dq', "the query is the decoder's state before the step; its weight's gradient is made with the state after the step", 'At every step, what Wa receives from s @ Wa uses s of the step after.'),
    ('seq2seq_attention', '            ds_in = ds_in + dq @ p["Wa"].T\n', '', "the decoder's state gets no gradient for being the attention's query", 'At every step, what s receives from s @ Wa of the next step is missing.'),
    ('seq2seq_attention', '            d_ctx = d_ctx + dx[:, self.E :]\n', '', 'the context also goes into the GRU, and that use sends no gradient back to it', 'At every step, what context receives from [Et_t, context] is missing.'),
    ('seq2seq_attention', 'd_ctx = d_ctx + dx[:, self.E :]', 'd_ctx = dx[:, self.E :]', "the context's gradient from the readout is overwritten by that from the GRU", 'At every step, what context receives from [s, context] is missing.'),
    ('seq2seq_attention', '        d_notes += np.einsum("bja,ha->bjh", d_keys, p["Ua"])\n', '', 'the annotations get gradient as what is averaged, but none as what the keys are made of', 'Once, what notes receives from keys is missing.'),
    ('seq2seq_attention', 'd_keys += d_th', 'd_keys = d_th', 'the keys serve all decoder steps, but their gradient is overwritten in each', 'At every step but the first, what keys receives from keys + … in e is missing.'),
    ('seq2seq_attention', 'ds0 = ds * (1 - self.s0**2)', 'ds0 = ds', 'the bridge from encoder to decoder is differentiated without its tanh', 'Once, at s the derivative of tanh is taken to be 1: it is forgotten.'),
    ('seq2seq_attention', 'dh = de @ p["Ue"].T + dh * (1 - m)', 'dh = de @ p["Ue"].T', 'at padded source positions the state was carried over, its gradient is not', 'At every step, what h receives from (1 − m) ⊙ h of the next step is missing.'),
    ('seq2seq_attention', ('de = dh * m *', 'dh = de @ p["Ue"].T + dh * (1 - m)'), ('de = dh *', 'dh = de @ p["Ue"].T'), "the encoder's backward pass knows nothing of padding: every position is treated as a word", 'At every step, every rule of its own step that needs m takes m to be 1: the mask is ignored.'),
    ('seq2seq_attention', 'self.tin[:, t], dx', 'self.tout[:, t], dx', 'with teacher forcing the gradient of the target embedding goes to the word to be predicted, not to the word fed in', 'At every step, what Et receives from Et_t uses the numbers of the targets where the right ones belong.'),
    ('seq2seq_attention', 'words = (self.tout != 0).sum()', 'words = self.tout.size', 'the loss is the mean over the real words, its gradient is divided by all positions, padding included', 'Every gradient is multiplied by 3/4: divided by 4 instead of 3.'),
    ('seq2seq_attention', '            dy *= (self.tout[:, t] != 0)[:, None]\n', '', 'padded target positions are left out of the loss, but not out of its gradient', 'Once, what the cross_entropy in the loss receives from the where in the loss is not masked: it is also sent where the other value was chosen.'),
    ('seq2seq_attention', '+= (r * s_in).T @ dn', '+= s_in.T @ dn', "the candidate's recurrent weights saw the reset state; their gradient is made with the state itself", 'At every step, what un receives from (r ⊙ s) @ un uses s, number 2 of the step before where r ⊙ s belongs.'),
    ('seq2seq_attention', ('dz = ds * (s_in - n)', 'dn = ds * (1 - z) *', 'ds_in = ds * z\n'), ('dz = ds * (n - s_in)', 'dn = ds * z *', 'ds_in = ds * (1 - z)\n'), 'old state and candidate change places under the update gate, as in the other convention of the GRU', 'At every step, z and 1 − z have changed places between the two products in s.'),
    ('seq2seq_attention', 'dh = dh + d_notes[:, j]', 'dh = d_notes[:, j]', "the encoder's state takes the annotation's gradient in place of the one from later words, so nothing runs through time", 'At every step, what h receives from h @ Ue of the next step and h @ Wi is missing.'),
    ('bimgu_pooled', 'for t in range(T) if reverse else range(T)[::-1]:\n        m = mask[:, t, None]\n        prev', 'for t in range(T)[::-1]:\n        m = mask[:, t, None]\n        prev', 'both directions are walked back from the last word to the first, though the second was read that way already', 'The time steps are visited in forward order: h⁽²⁾← receives the carry of the step before instead of the step after.'),
    ('bimgu_pooled', 'prev, f, new = saved[t]', '_, f, new = saved[t]\n        prev = hs[:, t - 1] if t else np.zeros_like(hs[:, 0])', 'the state before a step is always looked up one place to the left, in the reversed direction too', ''),
    ('bimgu_pooled', ('dboth[:, :, :H], cache_fw', 'dboth[:, :, H:], cache_bw'), ('dboth[:, :, H:], cache_fw', 'dboth[:, :, :H], cache_bw'), 'the halves of the concatenated output are handed to the wrong directions', "Once, fw⁽¹⁾ and bw⁽²⁾← receive each other's part of both."),
    ('bimgu_pooled', '    dx += mgu_layer_backward(', '    dx = mgu_layer_backward(', 'the word vectors feed both directions, but keep the gradient of the second one only', 'At every step, what x receives from x[:, 4] and x[:, 4] is missing.'),
    ('bimgu_pooled', 'dh = dprev + dskip', 'dh = dprev', 'in the gated layer the gradient is not carried past padded positions, where the state was only copied', 'Once, what h0_bw receives from h⁽²⁾← in bw is not un-broadcast: the first row instead of the sum over the batch.'),
    ('bimgu_pooled', '(dmean / lengths[:, None])[:, None]', '(dmean / T)[:, None]', 'mean pooling divided by the length of the sentence, its gradient is divided by the padded length', 'Once, what sum(top) receives from mean is divided by 5, not by mask.'),
    ('bimgu_pooled', 'np.where(mask[:, :, None] > 0, ys, -np.inf).argmax(1)\n    largest = np.take_along_axis(ys, where[:, None], 1)[:, 0]', 'ys.argmax(1)\n    largest = np.where(mask[:, :, None] > 0, ys, -np.inf).max(1)', 'the position of the largest output is looked for among the zeros of the padding as well', ''),
    ('bimgu_pooled', 'dmean, dmax, dlast =', 'dmax, dmean, dlast =', 'the halves of the feature vector, mean and maximum, are mixed up on the way back', "Once, mean and the reshape in the loss receive each other's part of the concat in the loss."),
    ('bimgu_pooled', '        df = df + dreset * prev\n', '', 'the gate is used twice, also on the state inside the candidate; that use gives it no gradient', 'Everywhere alike: at every step, what f⁽¹⁾ receives from f⁽¹⁾ ⊙ h⁽¹⁾ is missing.'),
    ('bimgu_pooled', '        dprev = dprev + dreset * f\n', '', 'the state before gets nothing from having been gated into the candidate', 'Everywhere alike: at every step, what h⁽¹⁾ receives from f⁽¹⁾ ⊙ h⁽¹⁾ of the next step is missing.'),
    ('bimgu_pooled', '(f * prev).T @ dnew', 'prev.T @ dnew', "the candidate's recurrent matrix is credited with the ungated state", 'Everywhere alike: at every step, what Uh_fw receives from (f⁽¹⁾ ⊙ h⁽¹⁾) @ Uh_fw uses h⁽¹⁾, number 2 of the step before where f⁽¹⁾ ⊙ h⁽¹⁾ belongs.'),
    ('bimgu_pooled', 'dpre = m * dy * (1 - a**2)', 'dpre = dy * (1 - a**2)', "the top layer's pre-activations get gradient at padded positions too", 'At every step, what the tanh in y receives from mask_t ⊙ … in y lacks the factor mask_t.'),
    ('bimgu_pooled', 'np.zeros_like(x), dlast', 'np.zeros_like(x), 0.0', "the top layer's last state is a feature too; its walk back begins with nothing", 'Once, what y receives from the concat in the loss is missing.'),
    ('bimgu_pooled', '        m = mask[:, t, None]\n        prev, f, new', '        m = mask[:, T - 1 - t if reverse else t, None]\n        prev, f, new', 'the reversed direction reads the padding mask back to front', 'At every step, every rule of their own step uses mask_t⁽²⁾←, mask[:, 0], 1 − mask[:, 0], mask[:, 0] counted from the other end.'),
    ('bimgu_pooled', ('dnew = dmix * f * (1', 'dprev = dmix * (1 - f)', 'df = dmix * (new - prev)'), ('dnew = dmix * (1 - f) * (1', 'dprev = dmix * f', 'df = dmix * (prev - new)'), "the two ends of the gate's interpolation are exchanged on the way back, as in the usual GRU", 'Everywhere alike: at every step, 1 − f⁽¹⁾ and f⁽¹⁾ have changed places between the two products in ((1 − f⁽¹⁾) ⊙ h⁽¹⁾) + (f⁽¹⁾ ⊙ new⁽¹⁾).'),
    ('bimgu_pooled', '        df = df + dreset * prev\n        df = df * f * (1 - f)\n', '        df = df * f * (1 - f)\n        df = df + dreset * prev\n', "the gate's slope is applied before its second gradient is added, so that part misses it", 'Everywhere alike: at every step, in what … + bf_fw in f⁽¹⁾ receives from f⁽¹⁾ the part that came from f⁽¹⁾ ⊙ h⁽¹⁾ is passed on as it is: the derivative is on the other summand only.'),
    ('selective_scan', 'g["Alog"] = dA * A', 'g["Alog"] = dA', 'A is minus the exponential of the parameter; the gradient handed over is that of A itself', 'Alog was given the gradient of A.'),
    ('selective_scan', 'g["Alog"] = dA * A', 'g["Alog"] = dA * -A', 'the minus sign of A = -exp(Alog) is lost in the derivative', 'Once, at exp(Alog) the derivative of exp uses A.'),
    ('selective_scan', '                ddt[t, d] += dlog * A[d, n]\n', '', 'the step size gets gradient from the input term alone, not from the decay it sets', 'At every step, what dt receives from dt[…] in h is missing.'),
    ('selective_scan', '                ddt[t, d] += dh[n] * Bm[t, n] * x[t, d]\n', '', 'the step size gets gradient from the decay alone, not from scaling the input', 'At every step, what dt receives from dt ⊙ xa is missing.'),
    ('selective_scan', 'draw = ddt * sigmoid(raw)', 'draw = ddt * sigmoid(dt)', 'the slope of softplus is taken at its result, not at its argument', 'At every step, at dt the derivative of softplus uses dt.'),
    ('selective_scan', '            dx[t, d] += dy[t, d] * skip[d]\n', '', 'the skip past the state space sends no gradient back to its input', 'At every step, what xa receives from skip ⊙ xa is missing.'),
    ('selective_scan', 'dout[t, d] * w[d, k]', 'dout[t, d] * w[d, K - 1 - k]', "the convolution's taps are flipped on the way back to its input", 'At every step, what padded[5:8] receives from padded[5:8] ⊙ convᵀ uses convᵀ with itself from the other end of axis 1 in the place of conv.'),
    ('selective_scan', 'return s + v * s * (1 - s)', 'return s * (1 - s)', 'silu is differentiated as though it were the sigmoid alone', ''),
    ('selective_scan', 'dlog = dh[n] * h[t, d, n] * decay', 'dlog = dh[n] * h[t + 1, d, n] * decay', "the decay's gradient is made with the state after the step, not the one that decayed", 'At every step, what the exp in h receives from … ⊙ h uses h of the step after.'),
    ('selective_scan', 'dlog = dh[n] * h[t, d, n] * decay', 'dlog = dh[n] * h[t, d, n]', 'the derivative of the exponential in the decay is left out', 'At every step, at the exp in h the derivative of exp is taken to be 1: it is forgotten.'),
    ('selective_scan', 'dB[t, n] += dh[n] * dt', 'dB[t, n] = dh[n] * dt', 'B is shared by all channels, each channel overwrites its gradient', 'At every step, what b receives from (dt ⊙ xa)[…] ⊙ b in h is not un-broadcast: the last row instead of the sum over the batch.'),
    ('selective_scan', '    for d in range(D):\n        dh = np.zeros(N)\n        for t in range(L - 1, -1, -1):', '    dh = np.zeros(N)\n    for d in range(D):\n        for t in range(L - 1, -1, -1):', 'the running gradient of the state is not set back to zero when the next channel begins', 'The gradient that is carried for h was not set to zero before the loop: it starts from what the row before left there.'),
    ('selective_scan', ' + dB @ p["WB"] + dC @ p["WC"]', '', 'B and C are treated as constants: that they are computed from the input sends nothing back to it', 'At every step, what xa receives from b and c is missing.'),
    ('selective_scan', '                dh[n] = dh[n] * decay\n', '                dh[n] = dh[n] * np.exp(dt[min(t + 1, L - 1), d] * A[d, n])\n', 'the state is carried back with the decay of the step after', 'At every step, what h receives from … ⊙ h of the next step uses the exp in h of the step after.'),
    ('selective_scan', 'dy[t, d] * h[t + 1, d, n]', 'dy[t, d] * h[t, d, n]', "the state's readout by C is differentiated with the state before the step", 'At every step, what c receives from h @ c uses h of the step before.'),
    ('selective_scan', 'dz = dgated * y * silu_grad(z)', 'dz = dgated * silu_grad(z)', "the gate's branch gets the gradient of the gated output without the other factor", 'At every step, what z[5] ⊙ sigmoid(z[5]) receives from the mul in the loss lacks the factor (h @ c) + (skip ⊙ xa).'),
    ('layernorm_zoneout', 'd_a = (d_x̂ - d_x̂.mean(-1, keepdims=True) - x̂ * (d_x̂ * x̂).mean(-1, keepdims=True)) / σ', 'd_a = d_x̂ / σ', 'layer normalisation is differentiated as though mean and deviation were constants', 'Everywhere alike: at every step, what sum((x⁽¹⁾ @ W1ᵀ) + (h @ U1ᵀ)) receives from … / 5 in n1 is missing. So too at the sum in n1, sum((v @ W2ᵀ) + (s @ U2ᵀ)), the sum in n2.'),
    ('layernorm_zoneout', ' - x̂ * (d_x̂ * x̂).mean(-1, keepdims=True)', '', "layer normalisation's mean is differentiated, its deviation is not", 'Everywhere alike: at every step, what the mul in n1 receives from the sum in n1 is missing. So too at the mul in n2.'),
    ('layernorm_zoneout', 'd_x̂ = d_n * γ', 'd_x̂ = d_n', 'the gain is left out on the way back through layer normalisation', 'Everywhere alike: at every step, what (… − (… / 5)) / … in n1 receives from … ⊙ g1 in n1 lacks the factor g1.'),
    ('layernorm_zoneout', 'd_x̂.mean(-1, keepdims=True) - x̂ * (d_x̂ * x̂).mean(-1, keepdims=True)', 'd_x̂.mean(0, keepdims=True) - x̂ * (d_x̂ * x̂).mean(0, keepdims=True)', "layer normalisation's backward pass averages over the batch, as batch normalisation would", 'Everywhere alike: at every step, what (x⁽¹⁾ @ W1ᵀ) + (h @ U1ᵀ) receives from (… − (… / 5)) / … in n1, by all ways, is (g - mean(g) - y * mean(g * y)) / s, along axis 0, not 1. So too at (v @ W2ᵀ) + (s @ U2ᵀ).'),
    ('layernorm_zoneout', '(d_x̂ * x̂).mean(-1, keepdims=True)) / σ', '(d_x̂ * x̂).mean(-1, keepdims=True))', 'the gradient through layer normalisation is not divided by the deviation', 'Everywhere alike: at every step, what … − (… / 5) in n1 receives from (… − (… / 5)) / … in n1, by all ways, is g - y * mean(g * y) instead of (g - y * mean(g * y)) / s.'),
    ('layernorm_zoneout', 'd_h = d_a1 @ p["U1"] + d_h * zone[t]', 'd_h = d_a1 @ p["U1"]', 'where zoneout kept the old state, its gradient is not handed to that state', 'At every step, what h receives from x⁽²⁾ ⊙ h of the next step is missing.'),
    ('layernorm_zoneout', ('d_n1 = d_h * (1 - zone[t]) *', '+ d_h * zone[t]'), ('d_n1 = d_h * zone[t] *', '+ d_h * (1 - zone[t])'), "zoneout's mask is read the wrong way round in the backward pass", 'At every step, x⁽²⁾ and 1 − … in h have changed places between the two products in h.'),
    ('layernorm_zoneout', 'd_v * drop', 'd_v * (drop > 0)', 'dropout is undone by its zeros only, without the factor 1 / keep', 'At every step, what h receives from v is multiplied by 0.7.'),
    ('layernorm_zoneout', ('d_v = d_a2 @ p["W2"] + d_y', 'd_h = d_h + d_v * drop'), ('d_v = d_a2 @ p["W2"]', 'd_h = d_h + d_v * drop + d_y'), "the residual's gradient goes around the dropout that it came through", 'At every step, in what h receives from v the part that came from v + s is passed on as it is: the derivative is on the other summand only.'),
    ('layernorm_zoneout', 'd_v = d_a2 @ p["W2"] + d_y', 'd_v = d_a2 @ p["W2"]', 'the residual connection is forgotten on the way back', 'At every step, what v receives from v + s is missing.'),
    ('layernorm_zoneout', '        if t < T - 1:\n            d_s -= beta * 2 * (s[t + 2] - s[t + 1]) / ((T - 1) * B * H)\n', '', 'the slowness penalty pulls only on the later of two neighbouring states', 'Once, what hs receives from hs[:-1] is missing.'),
    ('layernorm_zoneout', '        if t > 0:\n            d_s += beta', '        if t >= 0:\n            d_s += beta', 'the slowness penalty is taken to act at the first step too, against the zero state', ''),
    ('layernorm_zoneout', 's[t + 1] / (T * B * H)', 's[t + 1] / (B * H)', 'the activation penalty is a mean over all steps; its gradient is that of a mean over each step', 'Once, what sum(hs ⊙ hs) / 60 receives from 0.6 ⊙ … in loss is multiplied by 4, the number of time steps or the size of a dimension.'),
    ('layernorm_zoneout', '    d["U1"] += 2 * decay * p["U1"]\n    d["U2"] += 2 * decay * p["U2"]\n', '        d["U1"] += 2 * decay * p["U1"]\n        d["U2"] += 2 * decay * p["U2"]\n', 'weight decay is added in every time step of the walk', 'The gradient of U1, U2 has +0.3 times the value itself in it too, as of a penalty.'),
    ('layernorm_zoneout', ('d["U1"] += 2 * decay', 'd["U2"] += 2 * decay'), ('d["U1"] += decay', 'd["U2"] += decay'), 'the derivative of the squared norm is taken without its 2', 'Everywhere alike: once, what U1 receives from U1 ⊙ U1 is missing.'),
    ('layernorm_zoneout', 'alpha * 2 * s[t + 1] /', 'alpha * 2 * y[t] /', "the activation penalty is put on the residual sum, not on the layer's output, in the backward pass", 'what hs receives from hs ⊙ hs uses v + s at all steps where hs belongs.'),
    ('gru_mixture', 'd_mu = -gamma * dist', 'd_mu = -s["pi"] * dist', 'the means get the mixing coefficients in place of the responsibilities', ''),
    ('gru_mixture', 'd_mu = -gamma * dist / sigma', 'd_mu = -gamma * dist', "the mean's gradient is divided by sigma once, not by its square", 'At every step, what x − mu receives from dist is not divided by exp(log_sigma).'),
    ('gru_mixture', 'd_log_sigma = gamma * (1 - dist**2)', 'd_log_sigma = gamma * (1 - dist**2) / sigma', 'the network gives the logarithm of sigma; the gradient is that by sigma itself', 'At every step, the gradient of log_sigma is divided by exp(log_sigma) in place, before all lines that use it.'),
    ('gru_mixture', 'gamma * (1 - dist**2)', '-gamma * dist**2', "the density's factor 1 / sigma is left out in the gradient", 'At every step, what log_sigma receives from … − log_sigma in log_density is missing.'),
    ('gru_mixture', 'd_pi = s["pi"] - gamma', 'd_pi = -gamma / s["pi"]', 'the mixing coefficients are differentiated as though they did not pass a softmax', 'At every step, what pi receives from log_softmax(pi) is g / exp(y) instead of g - exp(y) * sum(g).'),
    ('gru_mixture', 'd_b = np.vstack([dr, dz, dn * s["r"]])', 'd_b = np.vstack([dr, dz, dn])', "the candidate's recurrent part lies inside the reset gate; its weights and state get the gradient from outside", 'At every step, what hn receives from r ⊙ hn lacks the factor r.'),
    ('gru_mixture', 'dr = dn * s["b_n"] *', 'dr = dn * (s["b_n"] - bh[N]) *', "the reset gate's gradient takes the recurrent product without the bias that is added before gating", 'At every step, what r receives from r ⊙ hn uses hn without bh.'),
    ('gru_mixture', 'dr = dn * s["b_n"] *', 'dr = Wh[N].T @ dn * s["h0"] *', 'the reset gate is taken to act on the state, as in the original paper, not on its product with the weights', ''),
    ('gru_mixture', 'G["bh"] += d_b', 'G["bh"] += d_a', "the two biases are taken for one: both get the gradient of the input's", 'bh was given the gradient of bi.'),
    ('gru_mixture', '        if t and t % chunk == 0:\n            dh = np.zeros((H, B))\n', '', 'the backward pass runs through the chunk boundaries at which the state was detached', 'The gradient of h goes on where the program detaches it.'),
    ('gru_mixture', '        if t and t % chunk == 0:\n            dh', '        if (t + 1) % chunk == 0:\n            dh', 'the chain is cut one step too late: the walk back goes one step into the chunk before', 'The gradient of h stops one time step earlier than where the program detaches it.'),
    ('gru_mixture', '            dh = np.zeros((H, B))\n', '            dh = dh - Wh.T @ d_b\n', "at a chunk boundary the gates' path is cut, the direct path through the update gate is not", 'The gradient of h goes on where the program detaches it, but for what comes from h @ Whᵀ.'),
    ('gru_mixture', 'Wh.T @ d_b + dh * s["z"]', 'Wh.T @ d_b + dh * (1 - s["z"])', "the state's direct path has the factor 1 - z, which belongs to the candidate", 'At every step, what h receives from z ⊙ h of the next step has the factor 1 − z instead of it.'),
    ('gru_mixture', 'Wh.T @ d_b + dh * s["z"]', 'Wh.T @ d_b', 'the direct path through the update gate is missing', 'At every step, what h receives from z ⊙ h of the next step is missing.'),
    ('gru_mixture', 'd_b = np.vstack([dr, dz, dn * s["r"]])', 'd_b = np.vstack([dz, dr, dn * s["r"]])', 'the gradients of reset and update gate are stacked the wrong way round for the recurrent weights', 'At every step, the gradients of the gates xn[:, :4] + hn[:, :4] and xn[:, 4:8] + hn[:, 4:8] are exchanged.'),
    ('gru_mixture', '(dh * (1 - tape[0]["h0"] ** 2)).sum(axis=1)', 'dh.sum(axis=1)', 'the learned initial state passes a tanh, which is not differentiated', 'Once, at tanh(start) the derivative of tanh is taken to be 1: it is forgotten.'),
]
# fmt: on

STYLES, loss_of, gradients = tuple(NETWORKS), NETWORKS.loss_of, NETWORKS.gradients
